/* Runs a packed plan for a slice of a batch. One thread; slices of a batch are independent of each other.
 *
 * A buffer holds one operation's units as [site][image][group][map]. An instruction computes one colour group of one
 * operation at some sites. `executor.py` writes the tables that are read here; the two must change together.
 * REAL is float or double.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef REAL real;
typedef int64_t i64;
typedef int32_t i32;

#ifdef __AVX512F__
#define BYTES 64
#else
#define BYTES 32
#endif
#define LANES ((i64)(BYTES / sizeof(real)))
typedef real vec __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

typedef struct {
    real *data;
    i64 site, row, group; /* distances in elements; site is 0 where the value does not vary over sites */
    i32 maps;             /* maps of one group */
    i32 passing;          /* indexed by position within the instruction, not by site */
} Buffer;

typedef struct {
    i32 kind, out, in0, in1, in2;
    /* LINEAR: sources a site, maps a source, padded maps written, sites; EMBED: levels, entries; ATTEND: heads, maps of
     * a head's key, -, sites */
    i32 taps, inner, width, grid;
    const i32 *table;
    const real *weight, *bias;
    double alpha;
    i32 first, to, count; /* COPY, CONSTANT: first map read, first map written, how many; ATTEND: -, -, maps of a head's value */
} Op;

typedef struct { i32 op, group, count; i64 first; } Instr;

typedef struct {
    const Op *ops;
    const Buffer *buffers;
    const Instr *instrs;
    const i64 *steps;     /* [T + 1], first instruction of each step */
    const i32 *sites;
    const i64 *draws;     /* [T + 1], first drawn site of each step; NULL if the caller draws */
    const i32 *draw_site;
    const uint8_t *draw_due; /* [drawn][C] */
    const real *uniforms;    /* [B][C][S]; of a mixture [B][1 + C][S]: its indicator's, then each colour's deviate */
    i64 *pixels;             /* [S][B][C] */
    i64 batch, sites_total;
    i32 colours, groups, levels, params, head, components;
    double temperature, low, high; /* of a mixture: where log-scales are clamped */
} Program;

enum { EMBED, LINEAR, GATHER, RELU, ELU, SIGMOID, TANH, NEGATE, ADD, SUB, MUL, MAXIMUM, AFFINE, NORM, COPY, CONSTANT, CELU, MAXOUT, ATTEND };

/* exp, written without branches so that loops over it become vector code; within 2 units in the last place. */
static inline float exp_float(float x) {
    x = x > 88.0f ? 88.0f : x < -87.0f ? -87.0f : x;
    float n = rintf(x * 1.44269504f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    union { i32 i; float f; } scale = {((i32)n + 127) << 23};
    return p * scale.f;
}
static inline real exp_(real x) { return sizeof(real) == 4 ? (real)exp_float((float)x) : (real)exp((double)x); }
static inline real elu_(real x) { return x > 0 ? x : exp_(x) - 1; }

typedef struct { const real *a, *w; } Tap;

/* out[R][V vectors] = bias + sum over taps of a[R][inner] @ w[inner][V vectors] */
#define TILE(R, V)                                                                                                     \
    static void tile_##R##_##V(const Tap *taps, i32 count, i64 lda, i64 ldw, i32 inner, const real *bias, real *out,    \
                               i64 ldo, i64 column) {                                                                  \
        vec acc[R][V];                                                                                                 \
        for (int v = 0; v < V; v++)                                                                                    \
            for (int r = 0; r < R; r++) acc[r][v] = *(const vec *)(bias + column + v * LANES);                         \
        for (i32 t = 0; t < count; t++) {                                                                              \
            const real *a = taps[t].a, *w = taps[t].w + column;                                                        \
            for (i32 k = 0; k < inner; k++, w += ldw) {                                                                \
                vec wv[V];                                                                                             \
                for (int v = 0; v < V; v++) wv[v] = *(const vec *)(w + v * LANES);                                     \
                for (int r = 0; r < R; r++) {                                                                          \
                    real s = a[r * lda + k];                                                                           \
                    for (int v = 0; v < V; v++) acc[r][v] += s * wv[v];                                                \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        for (int r = 0; r < R; r++)                                                                                    \
            for (int v = 0; v < V; v++) *(vec *)(out + r * ldo + column + v * LANES) = acc[r][v];                      \
    }
TILE(1, 1) TILE(1, 2) TILE(1, 4) TILE(2, 1) TILE(2, 2) TILE(2, 4) TILE(6, 1) TILE(6, 2)
#ifdef __AVX512F__
TILE(4, 1) TILE(4, 2) TILE(4, 4) TILE(6, 4)
#define FOUR(left) ((left) == 4 || (left) == 5 || (left) == 8) /* 8 rows as 4 + 4 rather than 6 + 2 */
#else
#define FOUR(left) 0 /* too few registers */
#define tile_4_1 tile_2_1
#define tile_4_2 tile_2_2
#define tile_4_4 tile_2_4
TILE(3, 4)
#define tile_6_4(taps, count, lda, ldw, inner, bias, out, ldo, column)                                                 \
    do {                                                                                                               \
        Tap low[count > 0 ? count : 1];                                                                                \
        for (i32 i = 0; i < count; i++) low[i] = (Tap){taps[i].a + 3 * (lda), taps[i].w};                              \
        tile_3_4(taps, count, lda, ldw, inner, bias, out, ldo, column);                                                \
        tile_3_4(low, count, lda, ldw, inner, bias, (out) + 3 * (ldo), ldo, column);                                   \
    } while (0)
#endif

#define COLUMNS(R)                                                                                                     \
    for (i64 column = 0; column < width;) {                                                                            \
        i64 left = (width - column) / LANES;                                                                           \
        if (left >= 4) { tile_##R##_4(taps, count, lda, width, inner, bias, out, ldo, column); column += 4 * LANES; }  \
        else if (left >= 2) { tile_##R##_2(taps, count, lda, width, inner, bias, out, ldo, column); column += 2 * LANES; } \
        else { tile_##R##_1(taps, count, lda, width, inner, bias, out, ldo, column); column += LANES; }                \
    }

static void linear(const Tap *found, i32 count, i64 lda, i32 inner, i64 width, const real *bias, real *out, i64 ldo, i64 rows) {
    Tap taps[count > 0 ? count : 1];
    memcpy(taps, found, sizeof(Tap) * (size_t)count);
    i64 row = 0;
    while (row < rows) {
        i64 left = rows - row, block = FOUR(left) ? 4 : left >= 6 ? 6 : left >= 2 ? 2 : 1;
        if (block == 6) { COLUMNS(6) } else if (block == 4) { COLUMNS(4) } else if (block == 2) { COLUMNS(2) } else { COLUMNS(1) }
        row += block;
        out += block * ldo;
        for (i32 t = 0; t < count; t++) taps[t].a += block * lda;
    }
}

static inline real *at(const Buffer *b, i64 position, i64 site, i64 first, i32 group) {
    return b->data + (b->passing ? position : site) * b->site + first * b->row + group * b->group;
}

#define EACH(EXPRESSION)                                                                                               \
    for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row)                                                       \
        for (i32 m = 0; m < maps; m++) y[m] = EXPRESSION;                                                              \
    break
#define PAIR(EXPRESSION)                                                                                               \
    for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row, z += in1->row)                                        \
        for (i32 m = 0; m < maps; m++) y[m] = EXPRESSION;                                                              \
    break

static void norm(const Op *op, i32 maps, const real *weight, const real *bias, const real *x, real *y) {
    real mean = 0, variance = 0;
    for (i32 m = 0; m < maps; m++) mean += x[m];
    mean /= (real)maps;
    for (i32 m = 0; m < maps; m++) variance += (x[m] - mean) * (x[m] - mean);
    real scale = 1 / (real)sqrt((double)(variance / (real)maps + op->alpha));
    for (i32 m = 0; m < maps; m++) y[m] = (x[m] - mean) * scale * weight[m] + bias[m];
}

static void embed(const Program *p, const Op *op, const Buffer *out, i32 group, i64 position, i64 site, i64 first, i64 rows) {
    i32 share = p->colours / p->groups, levels = op->taps, entries = op->inner;
    real *y = at(out, position, site, first, group);
    for (i64 r = 0; r < rows; r++, y += out->row)
        for (i32 c = 0; c < share; c++) {
            i32 colour = p->groups > 1 ? group : c;
            i64 level = p->pixels[(site * p->batch + first + r) * p->colours + colour];
            const real *entry = op->weight + (colour * levels + level) * entries;
            for (i32 e = 0; e < entries; e++) y[e * share + c] = entry[e];
        }
}

static void mix(const Op *op, const Buffer *in0, const Buffer *out, i32 group, i64 position, i64 site, i64 first, i64 rows, i32 groups) {
    i64 width = op->width, block = (i64)op->inner * width;
    const i32 *sources = op->table + ((i64)group * op->grid + site) * op->taps;
    const real *weight = op->weight + (i64)group * op->taps * block;
    Tap taps[op->taps];
    i32 count = 0;
    for (i32 t = 0; t < op->taps; t++)
        if (sources[t] >= 0)
            taps[count++] = (Tap){at(in0, position, sources[t], first, t % groups), weight + t * block};
    linear(taps, count, in0->row, op->inner, width, op->bias + group * width, at(out, position, site, first, group), out->row, rows);
}

static inline real dot(const real *a, const real *b, i32 count) {
    vec sums = {0};
    i32 m = 0;
    for (; m + LANES <= count; m += LANES) sums += *(const vec *)(a + m) * *(const vec *)(b + m);
    real sum = 0;
    for (i32 lane = 0; lane < LANES; lane++) sum += sums[lane];
    for (; m < count; m++) sum += a[m] * b[m];
    return sum;
}

/* The mean of the visible sites' values, weighted by a softmax of query . key; zeros where none is visible. */
static void attend(const Program *p, const Op *op, const Buffer *out, i64 position, i64 site, i64 first, i64 rows) {
    const Buffer *queries = p->buffers + op->in0, *keys = p->buffers + op->in1, *values = p->buffers + op->in2;
    const i32 *order = op->table;
    i32 seen = op->table[op->grid + site];
    real weight[seen > 0 ? seen : 1];
    for (i64 r = first; r < first + rows; r++)
        for (i32 head = 0; head < op->taps; head++) {
            const real *query = at(queries, position, site, r, 0) + head * op->inner;
            real *y = at(out, position, site, r, 0) + head * op->count;
            real most = 0, total = 0;
            for (i32 j = 0; j < seen; j++) {
                weight[j] = (real)op->alpha * dot(query, at(keys, position, order[j], r, 0) + head * op->inner, op->inner);
                most = j == 0 || weight[j] > most ? weight[j] : most;
            }
            for (i32 j = 0; j < seen; j++) weight[j] = exp_(weight[j] - most);
            for (i32 j = 0; j < seen; j++) total += weight[j];
            for (i32 m = 0; m < op->count; m++) y[m] = 0;
            for (i32 j = 0; j < seen; j++) {
                const real *value = at(values, position, order[j], r, 0) + head * op->count;
                real share = weight[j] / total;
                for (i32 m = 0; m < op->count; m++) y[m] += share * value[m];
            }
        }
}

static void unit(const Program *p, const Op *op, i32 group, i64 position, i64 site, i64 first, i64 rows) {
    const Buffer *out = p->buffers + op->out, *in0 = p->buffers + op->in0, *in1 = p->buffers + op->in1;
    if (op->kind == EMBED) { embed(p, op, out, group, position, site, first, rows); return; }
    if (op->kind == ATTEND) { attend(p, op, out, position, site, first, rows); return; }
    if (op->kind == LINEAR) { mix(op, in0, out, group, position, site, first, rows, p->groups); return; }
    i32 maps = out->maps;
    real *y = at(out, position, site, first, group);
    if (op->kind == GATHER) {
        i32 source = op->table[(i64)group * op->grid + site];
        const real *x = source < 0 ? 0 : at(in0, position, source, first, group);
        for (i64 r = 0; r < rows; r++, y += out->row)
            for (i32 m = 0; m < maps; m++) y[m] = x ? x[r * in0->row + m] : 0;
        return;
    }
    const real *x = at(in0, position, site, first, group), *z = at(in1, position, site, first, group);
    const real *weight = op->weight + (i64)group * maps, *bias = op->bias + (i64)group * maps;
    switch (op->kind) {
    case RELU: EACH(x[m] > 0 ? x[m] : 0);
    case ELU: EACH(x[m] > 0 ? x[m] : (real)op->alpha * (exp_(x[m]) - 1));
    case SIGMOID: EACH(1 / (1 + exp_(-x[m])));
    case TANH: EACH(1 - 2 / (exp_(2 * x[m]) + 1));
    case NEGATE: EACH(-x[m]);
    case ADD: PAIR(x[m] + z[m]);
    case SUB: PAIR(x[m] - z[m]);
    case MUL: PAIR(x[m] * z[m]);
    case MAXIMUM: PAIR(x[m] > z[m] ? x[m] : z[m]);
    case AFFINE: EACH(x[m] * weight[m] + bias[m]);
    case MAXOUT: EACH(x[m] > x[m + maps] ? x[m] : x[m + maps]);
    case NORM:
        for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row) norm(op, maps, weight, bias, x, y);
        break;
    case COPY:
        for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row)
            memcpy(y + op->to, x + op->first, sizeof(real) * (size_t)op->count);
        break;
    case CONSTANT: {
        const real *values = op->weight + ((i64)group * op->grid + site) * op->count;
        for (i64 r = 0; r < rows; r++, y += out->row) memcpy(y + op->to, values, sizeof(real) * (size_t)op->count);
        break;
    }
    case CELU:
        for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row)
            for (i32 m = 0; m < maps / 2; m++) { y[m] = elu_(x[m]); y[m + maps / 2] = elu_(-x[m]); }
        break;
    }
}

#include "draw.c"

/* Steps from..to-1 for images first..last-1. */
void run(const Program *p, i64 from, i64 to, i64 first, i64 last) {
    for (i64 step = from; step < to; step++) {
        for (i64 i = p->steps[step]; i < p->steps[step + 1]; i++) {
            const Instr *instr = p->instrs + i;
            const i32 *sites = p->sites + instr->first;
            for (i32 j = 0; j < instr->count; j++) unit(p, p->ops + instr->op, instr->group, j, sites[j], first, last - first);
        }
        if (p->draws)
            for (i64 i = p->draws[step]; i < p->draws[step + 1]; i++) draw(p, i, first, last);
    }
}
