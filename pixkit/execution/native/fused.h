/* Fused operations for training on a CPU, forward and backward, for images begin..end-1: those of fusing.cu, and more.
 *
 * kernel.c includes this once per storage type: STORED, read by FETCH and written by STORE, and NAMED gives a
 * function's name. Computations use `real`. Images are stored map by map, or with the maps of a site adjacent (`last`).
 * Inner loops go over adjacent memory, without branches, so that they are vectorised.
 */
#ifndef FUSED_SHAPE
#define FUSED_SHAPE
typedef struct { uint32_t by, magic, shift; } Divisor;

/* Maps of an image, and their place among those of a wider one with edges: `Shape` of cuda/fusing.py. */
typedef struct {
    uint32_t maps, height, width; /* of the image */
    uint32_t wide, first;         /* maps of the wider one, and which of them is the image's first */
    uint32_t rows, columns;       /* of the wider one */
    int32_t top, left;            /* its edges, negative where the image is cropped */
    uint32_t last;
    Divisor inner, across; /* for GPUs */
} Shape;

/* The range from..to-1 of n columns for which the column `shift` further left lies within `size`; to >= from. */
static inline void within(i64 n, i64 shift, i64 size, i64 *from, i64 *to) {
    *from = shift > 0 ? shift : 0;
    *to = shift + size < n ? shift + size : n;
    if (*from > n) *from = n;
    if (*to < *from) *to = *from;
}

/* Bytes that are 1 with probability `below` / 2^32, by Philox 4x32-10 (Salmon et al., 2011) of the key and a count. */
void keep(uint8_t *out, i64 count, uint64_t key, uint32_t below) {
    uint8_t rest[256];
    for (i64 begin = 0; begin < count; begin += 256) {
        uint8_t *restrict to = count - begin < 256 ? rest : out + begin;
        for (uint32_t j = 0; j < 64; j++) {
            const uint64_t at = (uint64_t)begin / 4;
            uint32_t a = (uint32_t)at + j, b = (uint32_t)(at >> 32), c = 0, d = 0, k = (uint32_t)key, l = (uint32_t)(key >> 32);
            for (int round = 0; round < 10; round++) {
                uint64_t p = (uint64_t)a * 0xD2511F53u, q = (uint64_t)c * 0xCD9E8D57u;
                a = (uint32_t)(q >> 32) ^ b ^ k, b = (uint32_t)q, c = (uint32_t)(p >> 32) ^ d ^ l, d = (uint32_t)p;
                k += 0x9E3779B9u, l += 0xBB67AE85u;
            }
            to[j] = a < below, to[64 + j] = b < below, to[128 + j] = c < below, to[192 + j] = d < below;
        }
        if (to == rest) memcpy(out + begin, rest, (size_t)(count - begin));
    }
}
#endif

/* elu of x and of -x; and the gradient of x from theirs. */
#define ACTIVE(PLUS, MINUS)                                                                                            \
    for (i64 i = 0; i < n; i++) {                                                                                      \
        const real v = FETCH(x[i]), e = expm1_(-abs_(v));                                                              \
        plus[i] = STORE((v > 0 ? v : e) PLUS), minus[i] = STORE((v > 0 ? e : -v) MINUS);                               \
    }
#define SLOPES(PLUS, MINUS)                                                                                            \
    for (i64 i = 0; i < n; i++) {                                                                                      \
        const real v = FETCH(x[i]), e = exp_(-abs_(v)), p = FETCH(plus[i]) PLUS, m = FETCH(minus[i]) MINUS;            \
        out[i] = STORE((v > 0 ? p : p * e) - (v < 0 ? m : m * e));                                                     \
    }
#define UP *(scale * (real)up[i])
#define DOWN *(scale * (real)down[i])

static void NAMED(active_row)(i64 n, const STORED *restrict x, const uint8_t *restrict up, const uint8_t *restrict down,
                              real scale, STORED *restrict plus, STORED *restrict minus) {
    if (up) ACTIVE(UP, DOWN)
    else ACTIVE(, )
}

static void NAMED(active_row_back)(i64 n, const STORED *restrict x, const uint8_t *restrict up,
                                   const uint8_t *restrict down, real scale, const STORED *restrict plus,
                                   const STORED *restrict minus, STORED *restrict out) {
    if (up) SLOPES(UP, DOWN)
    else SLOPES(, )
}

/* wide = elu of [x, -x], times scale where `kept`, which is [2 maps, height, width] in the image's order, or null. */
static void NAMED(activate_one)(const Shape *s, i64 image, const STORED *x, const uint8_t *kept, real scale, STORED *wide) {
    const i64 maps = s->maps, sites = (i64)s->height * s->width, spots = (i64)s->rows * s->columns;
    const i64 row = s->last ? maps : 1, wide_row = s->last ? s->wide : 1, far = s->last ? maps : maps * spots;
    const i64 gap = s->last ? maps : maps * sites, line = s->width * row, whole = s->last ? 2 * row : row;
    const int plain = !s->last && sites == spots && s->rows == s->height && !s->top && !s->left;
    const i64 planes = s->last ? 1 : maps, height = plain ? 1 : s->rows, n = plain ? spots : s->columns;
    for (i64 plane = 0; plane < planes; plane++)
        for (i64 r = 0; r < height; r++) {
            const i64 y = plain ? 0 : r - s->top;
            i64 from, to;
            within(n, plain ? 0 : s->left, plain ? sites : s->width, &from, &to);
            if (!plain && (y < 0 || y >= s->height)) from = to = n;
            STORED *out = wide + image * s->wide * spots + s->first * (s->last ? 1 : spots) + plane * spots + r * n * wide_row;
            const i64 at = plane * sites + y * line + (from - (plain ? 0 : s->left)) * row;
            const STORED *in = x + image * maps * sites + at;
            const uint8_t *mask = kept ? kept + image * 2 * maps * sites + (s->last ? 2 * at : at) : 0;
            if (!s->last) {
                memset(out, 0, sizeof(STORED) * (size_t)from), memset(out + far, 0, sizeof(STORED) * (size_t)from);
                memset(out + to, 0, sizeof(STORED) * (size_t)(n - to));
                memset(out + far + to, 0, sizeof(STORED) * (size_t)(n - to));
                if (to > from) NAMED(active_row)(to - from, in, mask, mask ? mask + gap : 0, scale, out + from, out + far + from);
                continue;
            }
            for (i64 c = 0; c < n; c++) {
                STORED *here = out + c * wide_row;
                if (c < from || c >= to) memset(here, 0, sizeof(STORED) * 2 * (size_t)maps);
                else {
                    const i64 past = c - from;
                    const uint8_t *own = mask ? mask + past * whole : 0;
                    NAMED(active_row)(maps, in + past * row, own, own ? own + gap : 0, scale, here, here + far);
                }
            }
        }
}

/* The gradient of x from that of `wide`. */
static void NAMED(activate_back_one)(const Shape *s, i64 image, const STORED *x, const uint8_t *kept, real scale,
                                     const STORED *wide, STORED *out) {
    const i64 maps = s->maps, sites = (i64)s->height * s->width, spots = (i64)s->rows * s->columns;
    const i64 row = s->last ? maps : 1, wide_row = s->last ? s->wide : 1, far = s->last ? maps : maps * spots;
    const i64 gap = s->last ? maps : maps * sites, whole = s->last ? 2 * row : row;
    for (i64 plane = 0; plane < (s->last ? 1 : maps); plane++)
        for (i64 y = 0; y < s->height; y++) {
            const i64 r = y + s->top, at = plane * sites + y * s->width * row;
            i64 from, to;
            within(s->width, -s->left, s->columns, &from, &to);
            if (r < 0 || r >= s->rows) from = to = s->width;
            const STORED *in = x + image * maps * sites + at;
            STORED *here = out + image * maps * sites + at;
            const STORED *given = wide + image * s->wide * spots + s->first * (s->last ? 1 : spots) + plane * spots
                                  + (r * s->columns + from + s->left) * wide_row;
            const uint8_t *mask = kept ? kept + image * 2 * maps * sites + (s->last ? 2 * at : at) + from * whole : 0;
            memset(here, 0, sizeof(STORED) * (size_t)(from * row));
            memset(here + to * row, 0, sizeof(STORED) * (size_t)((s->width - to) * row));
            if (to == from) continue;
            if (!s->last) {
                NAMED(active_row_back)(to - from, in + from, mask, mask ? mask + gap : 0, scale, given, given + far, here + from);
                continue;
            }
            for (i64 c = from; c < to; c++, given += wide_row, mask = mask ? mask + whole : 0)
                NAMED(active_row_back)(maps, in + c * row, mask, mask ? mask + gap : 0, scale, given, given + far, here + c * row);
        }
}

void NAMED(activate)(const Shape *s, i64 begin, i64 end, const STORED *x, const uint8_t *kept, real scale, STORED *wide) {
    for (i64 image = begin; image < end; image++) NAMED(activate_one)(s, image, x, kept, scale, wide);
}

void NAMED(activate_back)(const Shape *s, i64 begin, i64 end, const STORED *x, const uint8_t *kept, real scale,
                          const STORED *wide, STORED *out) {
    for (i64 image = begin; image < end; image++) NAMED(activate_back_one)(s, image, x, kept, scale, wide, out);
}

/* Operations on the halves a and b of an image's maps, n neighbours each. Rows shorter than SHORT are put side by
 * side before and scattered after, so that none is too short for a vector. */
enum { NAMED(TOGETHER) = 512, NAMED(SHORT) = 64 };
typedef void NAMED(Halves)(i64 count, const STORED *in, const STORED *first, const STORED *second, STORED *to, STORED *other);

/* `x` is null if it is not read; the operation gives `parts` parts of the result. */
static inline void NAMED(halves)(const Shape *s, i64 begin, i64 end, const STORED *x, const STORED *wide, STORED *out,
                                 int parts, NAMED(Halves) *work) {
    const i64 sites = (i64)s->height * s->width, all = s->maps * sites, n = s->last ? s->maps : all, stop = end * (all / n);
    const i64 many = n < NAMED(SHORT) ? NAMED(TOGETHER) / n : 1;
    const size_t size = sizeof(STORED) * (size_t)n;
    STORED in[NAMED(TOGETHER)], first[NAMED(TOGETHER)], second[NAMED(TOGETHER)], one[NAMED(TOGETHER)], two[NAMED(TOGETHER)];
    for (i64 row = begin * (all / n); row < stop; row += many) {
        const STORED *own = x ? x + row * n : 0, *here = wide + row * 2 * n;
        STORED *to = out + row * parts * n;
        if (many == 1) { work(n, own, here, here + n, to, to + n); continue; }
        const i64 rows = stop - row < many ? stop - row : many;
        for (i64 r = 0; r < rows; r++, here += 2 * n) {
            if (x) memcpy(in + r * n, own + r * n, size);
            memcpy(first + r * n, here, size), memcpy(second + r * n, here + n, size);
        }
        work(rows * n, in, first, second, one, two);
        for (i64 r = 0; r < rows; r++)
            for (int p = 0; p < parts; p++, to += n) memcpy(to, (p ? two : one) + r * n, size);
    }
}

/* From x, a and b, `real` numbers, to `one` and, with two PARTS, `two`. */
#define HALVES(NAME, READ, PARTS, ...)                                                                                 \
    static void NAMED(NAME##_row)(i64 count, const STORED *restrict in, const STORED *restrict first,                  \
                                  const STORED *restrict second, STORED *restrict to, STORED *restrict other) {        \
        (void)in, (void)other;                                                                                         \
        for (i64 i = 0; i < count; i++) {                                                                              \
            const real x = READ ? FETCH(in[i]) : 0, a = FETCH(first[i]), b = FETCH(second[i]);                         \
            real one, two = 0;                                                                                         \
            (void)x, (void)two;                                                                                        \
            __VA_ARGS__                                                                                                \
            to[i] = STORE(one);                                                                                        \
            if (PARTS == 2) other[i] = STORE(two);                                                                     \
        }                                                                                                              \
    }                                                                                                                  \
    void NAMED(NAME)(const Shape *s, i64 begin, i64 end, const STORED *x, const STORED *wide, STORED *out) {           \
        NAMED(halves)(s, begin, end, READ ? x : 0, wide, out, PARTS, NAMED(NAME##_row));                               \
    }

/* out = x + a sigmoid(b), or tanh(a) sigmoid(b), which does not read x. */
HALVES(gate, 1, 1, one = x + a * sigmoid_(b);)
HALVES(gate_tanh, 0, 1, one = tanh_exact(a) * sigmoid_(b);)

/* The gradients of a and b from x, which is that of the result. */
HALVES(gate_back, 1, 2, {
    const real open = sigmoid_(b);
    one = x * open, two = one * a * (1 - open);
})
HALVES(gate_tanh_back, 1, 2, {
    const real open = sigmoid_(b), held = tanh_exact(a), given = x * open;
    one = given * (1 - held * held), two = given * held * (1 - open);
})

/* tanh(a) sigmoid(b) and its gradients with one division: both divide by products of -+(t + 2) and 1 + e. */
#define QUOTIENT                                                                                                       \
    const real t = expm1_(-2 * abs_(a)), e = exp_(-abs_(b)), top = b < 0 ? e : 1, rise = a < 0 ? t : -t;
HALVES(gate_quotient, 0, 1, { QUOTIENT one = rise * top / ((t + 2) * (1 + e)); })
HALVES(gate_quotient_back, 1, 2, {
    QUOTIENT
    const real over = 1 / ((t + 2) * (1 + e)), open = top * (t + 2) * over, held = rise * (1 + e) * over, given = x * open;
    one = given * (1 - held * held), two = given * held * (1 - open);
})

static void NAMED(drop_row)(i64 n, const STORED *restrict x, const uint8_t *restrict kept, real scale, STORED *restrict out) {
    for (i64 i = 0; i < n; i++) out[i] = STORE(FETCH(x[i]) * (scale * (real)kept[i]));
}

/* Elements times scale where `kept`: dropout, and its gradient. */
void NAMED(drop)(i64 begin, i64 end, const STORED *x, const uint8_t *kept, real scale, STORED *out) {
    NAMED(drop_row)(end - begin, x + begin, kept + begin, scale, out + begin);
}

/* Sums of 16 elements at a time, in one order whatever the vector width. */
static real NAMED(squares)(i64 n, const STORED *restrict x) {
    real part[16] = {0}, sum = 0;
    for (i64 i = 0; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) part[j] += FETCH(x[i + j]) * FETCH(x[i + j]);
    for (int j = 0; j < 16; j++) sum += part[j];
    for (i64 i = n - n % 16; i < n; i++) sum += FETCH(x[i]) * FETCH(x[i]);
    return sum;
}

static real NAMED(weighted)(i64 n, const STORED *restrict x, const STORED *restrict weight, const STORED *restrict given) {
    real part[16] = {0}, sum = 0;
    for (i64 i = 0; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) part[j] += FETCH(x[i + j]) * (FETCH(weight[i + j]) * FETCH(given[i + j]));
    for (int j = 0; j < 16; j++) sum += part[j];
    for (i64 i = n - n % 16; i < n; i++) sum += FETCH(x[i]) * (FETCH(weight[i]) * FETCH(given[i]));
    return sum;
}

static void NAMED(rms_row)(i64 n, const STORED *restrict x, const STORED *restrict weight, real scale, STORED *restrict out) {
    for (i64 i = 0; i < n; i++) out[i] = STORE(FETCH(x[i]) * scale * FETCH(weight[i]));
}

static void NAMED(rms_row_back)(i64 n, const STORED *restrict x, const STORED *restrict weight, const STORED *restrict given,
                                real scale, real back, STORED *restrict out, real *restrict to_weight) {
    for (i64 i = 0; i < n; i++) {
        const real v = FETCH(x[i]), g = FETCH(given[i]);
        out[i] = STORE(g * FETCH(weight[i]) * scale - v * back);
        to_weight[i] += g * v * scale;
    }
}

/* Normalise rows of n to a mean square of 1, and multiply by the weight. */
void NAMED(rms)(i64 begin, i64 end, i64 n, const STORED *x, const STORED *weight, real added, STORED *out) {
    for (i64 row = begin; row < end; row++) {
        const STORED *own = x + row * n;
        NAMED(rms_row)(n, own, weight, 1 / sqrt_(NAMED(squares)(n, own) / (real)n + added), out + row * n);
    }
}

/* Gradients of the rows, and of the weight from each block of `many` rows; blocks begin..end-1 of `rows`. */
void NAMED(rms_back)(i64 begin, i64 end, i64 n, i64 many, i64 rows, const STORED *x, const STORED *weight, real added,
                     const STORED *given, STORED *out, real *to_weight) {
    for (i64 block = begin; block < end; block++)
        for (i64 row = block * many; row < (block + 1) * many && row < rows; row++) {
            const STORED *own = x + row * n, *from = given + row * n;
            const real scale = 1 / sqrt_(NAMED(squares)(n, own) / (real)n + added);
            const real back = NAMED(weighted)(n, own, weight, from) * scale * scale * scale / (real)n;
            NAMED(rms_row_back)(n, own, weight, from, scale, back, out + row * n, to_weight + block * n);
        }
}

/* A front of a recurrence (layers/scan.py): `states` of `taps` windows, `far` apart, side by side in each row of
   `maps`. */
void NAMED(scan_read)(i64 begin, i64 end, i64 maps, i64 taps, i64 far, const real *states, STORED *out) {
    for (i64 row = begin; row < end; row++)
        for (i64 tap = 0; tap < taps; tap++) {
            const real *restrict in = states + tap * far + row * maps;
            STORED *restrict to = out + (row * taps + tap) * maps;
            for (i64 m = 0; m < maps; m++) to[m] = STORE(in[m]);
        }
}

/* The gradients of the states from those of the values read: rows from several windows go to one place. */
void NAMED(scan_read_back)(i64 begin, i64 end, i64 maps, i64 taps, i64 far, const STORED *given, real *states) {
    for (i64 row = begin; row < end; row++)
        for (i64 tap = 0; tap < taps; tap++) {
            const STORED *restrict in = given + (row * taps + tap) * maps;
            real *restrict to = states + tap * far + row * maps;
            for (i64 m = 0; m < maps; m++) to[m] += FETCH(in[m]);
        }
}

static void NAMED(cell_row)(i64 n, STORED *restrict output, STORED *restrict forget, STORED *restrict enter,
                            STORED *restrict content, const real *restrict before, real *restrict cell, real *restrict state) {
    for (i64 m = 0; m < n; m++) {
        const real o = sigmoid_(FETCH(output[m])), f = sigmoid_(FETCH(forget[m])), i = sigmoid_(FETCH(enter[m]));
        const real g = tanh_exact(FETCH(content[m])), c = f * before[m] + i * g;
        cell[m] = c, state[m] = o * tanh_exact(c);
        output[m] = STORE(o), forget[m] = STORE(f), enter[m] = STORE(i), content[m] = STORE(g);
    }
}

static void NAMED(cell_row_back)(i64 n, const STORED *restrict gates, const real *restrict before, const real *restrict cell,
                                 const real *restrict to_state, const real *restrict to_cell, STORED *restrict to_output,
                                 STORED *restrict to_forget, STORED *restrict to_enter, STORED *restrict to_content,
                                 real *restrict to_before) {
    for (i64 m = 0; m < n; m++) {
        const real o = FETCH(gates[m]), f = FETCH(gates[n + m]), i = FETCH(gates[2 * n + m]), g = FETCH(gates[3 * n + m]);
        const real t = tanh_exact(cell[m]), given = to_cell[m] + to_state[m] * o * (1 - t * t);
        to_output[m] = STORE(to_state[m] * t * o * (1 - o)), to_forget[m] = STORE(given * before[m] * f * (1 - f));
        to_enter[m] = STORE(given * g * i * (1 - i)), to_content[m] = STORE(given * i * (1 - g * g));
        to_before[m] = given * f;
    }
}

/* Turn rows of sums [4 maps] for output, forget, input and content into gates; compute new cells and states. */
void NAMED(scan_cell)(i64 begin, i64 end, i64 n, STORED *gates, const real *carried, real *cells, real *states) {
    for (i64 row = begin; row < end; row++) {
        STORED *own = gates + row * 4 * n;
        NAMED(cell_row)(n, own, own + n, own + 2 * n, own + 3 * n, carried + row * n, cells + row * n, states + row * n);
    }
}

/* The gradients of the sums, and of the carried cells, from those of the new states and cells. */
void NAMED(scan_cell_back)(i64 begin, i64 end, i64 n, const STORED *gates, const real *carried, const real *cells,
                           const real *to_states, const real *to_cells, STORED *to_sums, real *to_carried) {
    for (i64 row = begin, at = begin * n; row < end; row++, at += n) {
        STORED *own = to_sums + 4 * at;
        NAMED(cell_row_back)(n, gates + 4 * at, carried + at, cells + at, to_states + at, to_cells + at, own, own + n,
                             own + 2 * n, own + 3 * n, to_carried + at);
    }
}
#undef HALVES
#undef QUOTIENT
#undef ACTIVE
#undef SLOPES
#undef UP
#undef DOWN
#undef STORED
#undef FETCH
#undef STORE
#undef NAMED
