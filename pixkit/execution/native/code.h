/* Levels to words and back, by the distributions that a walk computes: in integers, and in single precision that is the
 * same on all processors. Part of the strict kernel. It gives the same words as pixkit/codec, against which it is
 * tested: frequencies.py, mixture.py, packing.py, rangecoder.py. Included where draw.c's `logits` and `levels_of` are.
 */
typedef uint64_t u64;

enum { PRECISION = 24, WHOLE = 1 << PRECISION, NARROW = 1 << 20, DIGIT = 4, DIGITS = 1 << DIGIT, ROOM = 38 };
enum { CATEGORICAL, BINARY, LOGISTIC, NORMAL };

/* The state of coding. `next` counts the words written or read. */
typedef struct {
    u64 low, range, point; /* state of the range coder */
    i64 start, width;      /* the interval of 2^24 of the symbols since the range coder's last one */
    i64 wanted;            /* which of the 2^24 numbers is coded; -1: not known yet */
    i64 held, next, count;
    uint32_t *words;
    i64 *below;            /* [B][K + 1]: the weight below each level of a colour */
    float *parts;          /* [K]: logits */
    uint32_t first;        /* for the words that are held back */
    i32 damaged;
} Coder;

static void settle(Coder *c, u64 carried) {
    c->words[c->next++] = c->first + (uint32_t)carried;
    for (; c->held > 1; c->held--) c->words[c->next++] = carried ? 0 : UINT32_MAX;
    c->held = 0;
}

static void encode_symbol(Coder *c, u64 start, u64 frequency) {
    const u64 scale = c->range >> PRECISION, carried = c->low + scale * start < c->low;
    c->low += scale * start, c->range = scale * frequency;
    if (c->held && (carried || c->low <= UINT64_MAX - c->range)) settle(c, carried);
    if (c->range > UINT32_MAX) return;
    const uint32_t word = (uint32_t)(c->low >> 32);
    c->low <<= 32, c->range <<= 32;
    if (c->held) c->held++;
    else if (c->low > UINT64_MAX - c->range) c->held = 1, c->first = word;
    else c->words[c->next++] = word;
}

/* Which of the 2^24 numbers is coded; out of range for damaged words. */
static i64 quantile(const Coder *c) { return (i64)((c->point - c->low) / (c->range >> PRECISION)); }

static void take(Coder *c, u64 start, u64 frequency) {
    const u64 scale = c->range >> PRECISION;
    c->low += scale * start, c->range = scale * frequency;
    if (c->range > UINT32_MAX) return;
    c->low <<= 32, c->range <<= 32;
    c->point = c->point << 32 | (c->next < c->count ? c->words[c->next] : 0);
    c->next++;
}

/* Where the part of digit j begins in an interval, for `count` digits with cumulative weights `below`. */
static i64 edge(const i64 *below, i64 count, i64 width, i64 j) {
    return j + (i64)((u64)below[j] * (u64)(width - count) / (u64)below[count]);
}

/* Replace the interval by the part of a digit. */
static void narrow(Coder *c, const i64 *below, i64 count, i64 digit) {
    const i64 low = edge(below, count, c->width, digit);
    c->width = edge(below, count, c->width, digit + 1) - low, c->start += low;
}

static void put(Coder *c, const i64 *below, i64 count, i64 digit) {
    narrow(c, below, count, digit);
    if (c->width >= NARROW) return;
    encode_symbol(c, (u64)c->start, (u64)c->width);
    c->start = 0, c->width = WHOLE;
}

static i64 get(Coder *c, const i64 *below, i64 count) {
    if (c->wanted < 0 && (c->wanted = quantile(c)) >= WHOLE) { c->damaged = 1; return 0; }
    i64 digit = 0;
    for (i64 end = count, middle; end - digit > 1;) {
        middle = (digit + end) / 2;
        if (c->start + edge(below, count, c->width, middle) <= c->wanted) digit = middle;
        else end = middle;
    }
    narrow(c, below, count, digit);
    if (c->width < NARROW) {
        take(c, (u64)c->start, (u64)c->width);
        c->start = 0, c->width = WHOLE, c->wanted = -1;
    }
    return digit;
}

/* The cumulative weights of all levels; NaN counts as 0. */
static void add_up_levels(const Program *p, Logits of, float *x, i64 *below) {
    const i32 count = p->levels, bits = 32 - __builtin_clz((uint32_t)count - 1);
    const float unit = power_of_two(ROOM - bits);
    float most = -INFINITY;
    for (i32 k = 0; k < count; k++) x[k] = p->head == BINARY ? (k ? *of.logit : 0) : of.logit[k * of.stride];
    for (i32 k = 0; k < count; k++) most = x[k] > most ? x[k] : most;
    for (i32 k = 0; k < count; k++) x[k] = exp_float(x[k] - most) * unit;
    below[0] = 0;
    for (i32 k = 0; k < count; k++) below[k + 1] = below[k] + 1 + (x[k] >= 0 ? (i64)x[k] : 0);
}

/* A component of a mixture: the weight of a colour below `count` levels, starting at `first`, `size` apart. */
static void component(const Program *p, const real *params, const i64 *levels, i32 k, i32 colour, i64 first, i64 size, i32 count,
                      float *found) {
    const i32 colours = p->colours, m = p->components;
    const float half = (float)(p->levels - 1) / 2;
    const real *mean = params + m + k * colours, *log_scale = mean + m * colours;
    const real *coupling = params + m + 2 * m * colours + k * (colours * (colours - 1) / 2) + colour * (colour - 1) / 2;
    float location = mean[colour], scale = log_scale[colour];
    for (i32 j = 0; j < colour; j++) location = location + tanh_(coupling[j]) * ((float)levels[j] / half - 1);
    scale = scale > (float)p->low ? scale : (float)p->low;
    scale = exp_float(-(scale < (float)p->high ? scale : (float)p->high));
    for (i32 e = 0; e < count; e++) {
        const float z = (((float)(first + e * size) - 0.5f) / half - 1 - location) * scale;
        found[e] = p->head == LOGISTIC ? sigmoid_(z) : 0.5f * (1 + erf_float(z * 0.7071067811865476f));
    }
    for (i32 e = 0; e < count; e++) {
        if (first + e * size <= 0) found[e] = 0;
        if (first + e * size >= p->levels) found[e] = 1;
    }
}

/* A mixture's weight below the edges of digits, `size` levels apart, starting at `first`. */
static void add_up_mixture(const Program *p, const real *params, const i64 *levels, i32 colour, i64 first, i64 size, i64 *below) {
    float share[DIGITS + 1] = {0}, part[DIGITS + 1], total = 0, most = params[0];
    for (i32 k = 1; k < p->components; k++) most = params[k] > most || params[k] != params[k] ? params[k] : most;
    for (i32 k = 0; k < p->components; k++) {
        float weight = exp_float(params[k] - most);
        for (i32 j = 0; j < colour; j++) {
            component(p, params, levels, k, j, levels[j], 1, 2, part);
            weight = weight * (part[1] - part[0] + 5.9604644775390625e-8f);
        }
        component(p, params, levels, k, colour, first, size, DIGITS + 1, part);
        for (i32 e = 0; e <= DIGITS; e++) share[e] = share[e] + weight * part[e];
        total = total + weight;
    }
    i64 most_yet = 0;
    for (i32 e = 0; e <= DIGITS; e++) {
        const float found = share[e] / total;
        const float bounded = found > 0 ? found < 1 ? found : 1 : 0;
        const i64 place = first + e * size;
        const i64 weight = (i64)((place <= 0 ? 0 : place >= p->levels ? 1 : bounded) * power_of_two(ROOM));
        below[e] = most_yet = weight > most_yet ? weight : most_yet;
    }
}

/* The digit with the largest weight; the first in a tie. */
static i64 likeliest(const i64 *below, i64 count) {
    i64 found = 0;
    for (i64 j = 1; j < count; j++)
        if (below[j + 1] - below[j] > below[found + 1] - below[found]) found = j;
    return found;
}

/* Code one digit of one image's level, whose earlier digits are known: encode it into words, or decode it from them.
 * A negative level to encode stands for any: the likeliest digits are encoded, and those so far are ~level
 * meanwhile. */
static void code_digit(const Program *p, Coder *c, i64 site, i64 image, i32 colour, i32 left, i32 decoding) {
    i64 *levels = levels_of(p, site, image);
    const i64 level = levels[colour], any = level < 0;
    const i64 size = (i64)1 << DIGIT * left, first = (any ? ~level : decoding ? level : level >> DIGIT * (left + 1)) << DIGIT * (left + 1);
    const i64 there = (p->levels - first + size - 1) / size, count = there < DIGITS ? there : DIGITS;
    i64 below[DIGITS + 1], digit = 0;
    if (p->head < LOGISTIC) {
        const i64 *all = c->below + image * (p->levels + 1);
        for (i64 j = 0; j <= DIGITS; j++) below[j] = all[first + size * j < p->levels ? first + size * j : p->levels];
    } else
        add_up_mixture(p, at(p->buffers + p->params, 0, site, image, 0), levels, colour, first, size, below);
    for (i64 j = DIGITS; j >= 0; j--) below[j] -= below[0];
    if (!below[count])
        for (i64 j = 0; j <= count; j++) below[j] = j;
    if (count > 1) {
        if (decoding) digit = get(c, below, count);
        else put(c, below, count, digit = any ? likeliest(below, count) : level >> DIGIT * left & (DIGITS - 1));
    }
    if (any) levels[colour] = ~(~level << DIGIT | digit);
    else if (decoding) levels[colour] = level << DIGIT | digit;
}

/* Code what is drawn at a step, once the walk has computed it: image by image, digit by digit. Returns whether words
   are damaged. */
i32 code(const Program *p, Coder *c, i64 step, i32 decoding) {
    const i32 digits = (31 - __builtin_clz((uint32_t)p->levels - 1)) / DIGIT + 1;
    PLAIN_ARITHMETIC
    for (i64 i = p->draws[step]; i < p->draws[step + 1]; i++)
        for (i32 colour = 0; colour < p->colours; colour++) {
            const i64 site = p->draw_site[i];
            if (!p->draw_due[i * p->colours + colour]) continue;
            for (i64 image = 0; image < p->batch; image++) {
                if (decoding) levels_of(p, site, image)[colour] = 0;
                if (p->head < LOGISTIC)
                    add_up_levels(p, logits(p, site, image, colour), c->parts, c->below + image * (p->levels + 1));
            }
            for (i32 left = digits - 1; left >= 0; left--)
                for (i64 image = 0; image < p->batch && !c->damaged; image++)
                    code_digit(p, c, site, image, colour, left, decoding);
            for (i64 image = 0; image < p->batch; image++)
                if (levels_of(p, site, image)[colour] < 0) levels_of(p, site, image)[colour] = ~levels_of(p, site, image)[colour];
        }
    AS_ASKED
    return c->damaged;
}
