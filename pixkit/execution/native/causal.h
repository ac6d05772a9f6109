/* Causal attention for training on a CPU, forward and backward: softmax(scale q k^T) v over keys no later than the
 * query.
 *
 * Works in blocks, so that logits stay in the nearest caches and those of later keys are not computed (FlashAttention,
 * Dao et al., 2022, arXiv 2205.14135). kernel.c includes this once per storage type, like fused.h; sums are `real`.
 * Part of kernel.c.
 */
#ifndef CAUSAL_SIZES
#define CAUSAL_SIZES
enum {
    TALL = REGISTERS == 32 ? 8 : 4, /* rows of sums in registers, two vectors each */
    BLOCKED = 64                    /* queries, and keys, in a block: a multiple of both, and of WIDE */
};

/* Strides of a tensor [images, heads, sites, maps] in elements; the maps of a site are adjacent. */
typedef struct { i64 image, head, site; } Strides;

/* Laid out by `_sizes` of causal.py. */
typedef struct { i64 heads, sites, inner, values; Strides query, key, value, out, given, to_query, to_key, to_value; } Heads;

static inline i64 up_to(i64 count, i64 unit) { return (count + unit - 1) / unit * unit; }

/* to[TALL][V vectors] = or, if `more`, += sums over k of a[r * a_row + k * a_inner] b[k]. */
#define SUMS(V)                                                                                                        \
    static inline void sums_##V(i64 inner, const real *a, i64 a_row, i64 a_inner, const real *b, i64 b_row, real *to,  \
                                i64 to_row, i32 more) {                                                                \
        vec sum[TALL][V];                                                                                              \
        for (int r = 0; r < TALL; r++)                                                                                 \
            for (int v = 0; v < V; v++) sum[r][v] = more ? *(const vec *)(to + r * to_row + v * LANES) : (vec){0};     \
        for (i64 k = 0; k < inner; k++, a += a_inner, b += b_row)                                                      \
            for (int r = 0; r < TALL; r++)                                                                             \
                for (int v = 0; v < V; v++) sum[r][v] += a[r * a_row] * *(const vec *)(b + v * LANES);                 \
        for (int r = 0; r < TALL; r++)                                                                                 \
            for (int v = 0; v < V; v++) *(vec *)(to + r * to_row + v * LANES) = sum[r][v];                             \
    }
SUMS(1) SUMS(2)

/* The same for all rows, padded to a multiple of TALL, and `width` columns, a multiple of LANES. */
static void sums(i64 rows, i64 width, i64 inner, const real *a, i64 a_row, i64 a_inner, const real *b, i64 b_row, real *to,
                 i64 to_row, i32 more) {
    for (i64 column = 0; column < width; column += 2 * LANES)
        for (i64 r = 0; r < rows; r += TALL) {
            const real *from = a + r * a_row, *with = b + column;
            real *own = to + r * to_row + column;
            if (width - column >= 2 * LANES) sums_2(inner, from, a_row, a_inner, with, b_row, own, to_row, more);
            else sums_1(inner, from, a_row, a_inner, with, b_row, own, to_row, more);
        }
}

/* [sites][maps] to [map][BLOCKED sites]. */
static void turn(i64 sites, i64 maps, const real *from, i64 row, real *to) {
    for (i64 m = 0; m < maps; m++)
        for (i64 s = 0; s < sites; s++) to[m * BLOCKED + s] = from[s * row + m];
}

/* Logits are stored key by key, so that neighbouring queries are processed together. The number of queries that must
 * not see a key: those before it; the block's first key is `start` keys before its first query. */
static inline i64 blind(i64 key, i64 start, i64 first) { return start + key > first ? start + key - first : 0; }

static void raise(i64 n, const real *restrict logits, real *restrict most) {
    for (i64 q = 0; q < n; q++) most[q] = logits[q] > most[q] ? logits[q] : most[q];
}

static void shares(i64 n, real *restrict logits, const real *restrict most, real *restrict total) {
    for (i64 q = 0; q < n; q++) {
        const real share = exp_(logits[q] - most[q]);
        logits[q] = share, total[q] += share;
    }
}

static void slopes_of(i64 n, real *restrict logits, const real *restrict level, const real *restrict along, real *restrict slopes) {
    for (i64 q = 0; q < n; q++) {
        const real share = exp_(logits[q] - level[q]);
        logits[q] = share, slopes[q] = share * (slopes[q] - along[q]);
    }
}

/* Rescale earlier sums by the exponential of how much the largest logits have grown. */
static void lessen(i64 n, real *restrict most, const real *restrict now, real *restrict less, real *restrict total) {
    for (i64 q = 0; q < n; q++) less[q] = exp_(most[q] - now[q]), total[q] *= less[q], most[q] = now[q];
}
#endif

/* Convert rows of `maps` numbers, times `scale`, to rows of `row` padded with zeros; and back. */
static void NAMED(widen)(i64 sites, i64 maps, const STORED *from, i64 stride, real scale, real *to, i64 row) {
    for (i64 s = 0; s < sites; s++) {
        for (i64 m = 0; m < maps; m++) to[s * row + m] = scale * FETCH(from[s * stride + m]);
        for (i64 m = maps; m < row; m++) to[s * row + m] = 0;
    }
}

static void NAMED(narrow)(i64 sites, i64 maps, const real *from, i64 row, real scale, STORED *to, i64 stride) {
    for (i64 s = 0; s < sites; s++)
        for (i64 m = 0; m < maps; m++) to[s * stride + m] = STORE(scale * from[s * row + m]);
}

#define AT(tensor, name) ((tensor) + image * h->name.image + head * h->name.head)

/* Heads begin..end-1 over all images; `logs` [heads][sites] are the logarithms of the softmax's denominators. */
void NAMED(causal)(i64 begin, i64 end, const Heads *h, real scale, const STORED *query, const STORED *key,
                   const STORED *value, STORED *out, real *logs, real *scratch) {
    const i64 inner = h->inner, wide = up_to(h->values, LANES), all = up_to(h->sites, BLOCKED);
    real *keys = scratch, *values = keys + all * inner, *queries = values + all * wide, *turned = queries + BLOCKED * inner;
    real *mixed = turned + BLOCKED * inner, logits[BLOCKED * BLOCKED], most[BLOCKED], now[BLOCKED], less[BLOCKED], total[BLOCKED];
    memset(scratch, 0, sizeof(real) * (size_t)((all + 2 * BLOCKED) * inner + (all + BLOCKED) * wide));
    for (i64 one = begin; one < end; one++) {
        const i64 image = one / h->heads, head = one % h->heads;
        NAMED(widen)(h->sites, inner, AT(key, key), h->key.site, 1, keys, inner);
        NAMED(widen)(h->sites, h->values, AT(value, value), h->value.site, 1, values, wide);
        for (i64 first = 0; first < h->sites; first += BLOCKED) {
            const i64 count = h->sites - first < BLOCKED ? h->sites - first : BLOCKED, width = up_to(count, WIDE);
            NAMED(widen)(count, inner, AT(query, query) + first * h->query.site, h->query.site, scale, queries, inner);
            turn(count, inner, queries, inner, turned);
            memset(mixed, 0, sizeof(real) * (size_t)(BLOCKED * wide));
            for (i64 q = 0; q < BLOCKED; q++) most[q] = now[q] = -INFINITY, total[q] = 0;
            for (i64 start = 0; start <= first; start += BLOCKED) {
                const i64 many = h->sites - start < BLOCKED ? h->sites - start : BLOCKED;
                sums(many, width, inner, keys + start * inner, inner, 1, turned, BLOCKED, logits, BLOCKED, 0);
                for (i64 k = 0, none; k < many; k++) {
                    none = blind(k, start, first);
                    raise(width - none, logits + k * BLOCKED + none, now + none);
                }
                lessen(width, most, now, less, total);
                for (i64 k = 0, none; k < many; k++) {
                    none = blind(k, start, first);
                    memset(logits + k * BLOCKED, 0, sizeof(real) * (size_t)none);
                    shares(width - none, logits + k * BLOCKED + none, now + none, total + none);
                }
                for (i64 q = 0; q < count; q++)
                    for (i64 m = 0; m < wide; m++) mixed[q * wide + m] *= less[q];
                sums(count, wide, many, logits, 1, BLOCKED, values + start * wide, wide, mixed, wide, 1);
            }
            for (i64 q = 0; q < count; q++) {
                logs[one * h->sites + first + q] = most[q] + log_(total[q]);
                NAMED(narrow)(1, h->values, mixed + q * wide, wide, 1 / total[q], AT(out, out) + (first + q) * h->out.site, 0);
            }
        }
    }
}

/* The gradients of queries, keys and values from that of the result, `given`. */
void NAMED(causal_back)(i64 begin, i64 end, const Heads *h, real scale, const STORED *query, const STORED *key,
                        const STORED *value, const STORED *out, const real *logs, const STORED *given, STORED *to_query,
                        STORED *to_key, STORED *to_value, real *scratch) {
    const i64 deep = up_to(h->inner, LANES), wide = up_to(h->values, LANES), all = up_to(h->sites, BLOCKED);
    real *keys = scratch, *values = keys + all * deep, *back = values + all * wide, *back_values = back + all * deep;
    real *queries = back_values + all * wide, *turned = queries + BLOCKED * deep, *to_rows = turned + BLOCKED * deep;
    real *grads = to_rows + BLOCKED * deep, *turned_grads = grads + BLOCKED * wide;
    real shared[BLOCKED * BLOCKED], slopes[BLOCKED * BLOCKED], level[BLOCKED], along[BLOCKED];
    memset(scratch, 0, sizeof(real) * (size_t)((2 * all + 3 * BLOCKED) * deep + (2 * all + 2 * BLOCKED) * wide));
    for (i64 one = begin; one < end; one++) {
        const i64 image = one / h->heads, head = one % h->heads;
        NAMED(widen)(h->sites, h->inner, AT(key, key), h->key.site, 1, keys, deep);
        NAMED(widen)(h->sites, h->values, AT(value, value), h->value.site, 1, values, wide);
        memset(back, 0, sizeof(real) * (size_t)(all * (deep + wide)));
        for (i64 first = 0; first < h->sites; first += BLOCKED) {
            const i64 count = h->sites - first < BLOCKED ? h->sites - first : BLOCKED, width = up_to(count, WIDE);
            NAMED(widen)(count, h->inner, AT(query, query) + first * h->query.site, h->query.site, scale, queries, deep);
            NAMED(widen)(count, h->values, AT(given, given) + first * h->given.site, h->given.site, 1, grads, wide);
            turn(count, deep, queries, deep, turned), turn(count, wide, grads, wide, turned_grads);
            for (i64 q = 0; q < BLOCKED; q++) level[q] = q < count ? logs[one * h->sites + first + q] : 0, along[q] = 0;
            for (i64 q = 0; q < count; q++)
                for (i64 m = 0; m < h->values; m++)
                    along[q] += FETCH(AT(out, out)[(first + q) * h->out.site + m]) * grads[q * wide + m];
            memset(to_rows, 0, sizeof(real) * (size_t)(BLOCKED * deep));
            for (i64 start = 0; start <= first; start += BLOCKED) {
                const i64 many = h->sites - start < BLOCKED ? h->sites - start : BLOCKED;
                sums(many, width, deep, keys + start * deep, deep, 1, turned, BLOCKED, shared, BLOCKED, 0);
                sums(many, width, wide, values + start * wide, wide, 1, turned_grads, BLOCKED, slopes, BLOCKED, 0);
                for (i64 k = 0; k < many; k++) {
                    const i64 none = blind(k, start, first), at = k * BLOCKED;
                    memset(shared + at, 0, sizeof(real) * (size_t)none), memset(slopes + at, 0, sizeof(real) * (size_t)none);
                    slopes_of(width - none, shared + at + none, level + none, along + none, slopes + at + none);
                }
                sums(many, wide, count, shared, BLOCKED, 1, grads, wide, back_values + start * wide, wide, 1);
                sums(many, deep, count, slopes, BLOCKED, 1, queries, deep, back + start * deep, deep, 1);
                sums(count, deep, many, slopes, 1, BLOCKED, keys + start * deep, deep, to_rows, deep, 1);
            }
            NAMED(narrow)(count, h->inner, to_rows, deep, scale, AT(to_query, to_query) + first * h->to_query.site, h->to_query.site);
        }
        NAMED(narrow)(h->sites, h->inner, back, deep, 1, AT(to_key, to_key), h->to_key.site);
        NAMED(narrow)(h->sites, h->values, back_values, wide, 1, AT(to_value, to_value), h->to_value.site);
    }
}
#undef AT
