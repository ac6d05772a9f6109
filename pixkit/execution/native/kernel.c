/* Run a packed plan for a slice of a batch. Slices are independent of each other; a slice belongs to one thread, or
 * to a team, each of whose threads computes some of the maps. */
#if defined(STRICT) || defined(ADDED) /* neither trains */
#define UNTRAINED
#endif
#include "program.h"
#include "team.h"
#include "linear.h"
#include "attend.h"

typedef struct { real *data; i64 row; } Rows;

static inline Rows operand(const Buffer *b, i64 position, i64 site, i64 first, i32 group) {
    return (Rows){at(b, position, site, first, group), b->row};
}

/* y = f(x, z, w) for rows of maps, element by element; contiguous rows are taken as one. */
static void elementwise(const Op *op, i64 rows, i64 start, i64 end, Rows y, Rows x, Rows z, Rows w) {
    const real a = (real)op->alpha, b = (real)op->beta;
    if (!start && y.row == end && x.row == end && z.row == end && w.row == end) { end *= rows; rows = 1; }
#define LOOP(NAME, EXPRESSION, OPERANDS)                                                                               \
    case NAME:                                                                                                         \
        for (i64 r = 0; r < rows; r++) {                                                                               \
            real *restrict out = y.data + r * y.row;                                                                   \
            const real *in0 = x.data + r * x.row, *in1 = z.data + r * z.row, *in2 = w.data + r * w.row;                \
            (void)in1, (void)in2;                                                                                      \
            for (i64 m = start; m < end; m++) { OPERANDS out[m] = EXPRESSION; }                                        \
        }                                                                                                              \
        break;
#define ONE(NAME, ...) LOOP(NAME, (__VA_ARGS__), const real x = in0[m];)
#define TWO(NAME, ...) LOOP(NAME, (__VA_ARGS__), const real x = in0[m]; const real z = in1[m];)
#define THREE(NAME, ...) LOOP(NAME, (__VA_ARGS__), const real x = in0[m]; const real z = in1[m]; const real w = in2[m];)
    (void)a, (void)b;
    switch (op->kind) { UNARY(ONE) BINARY(TWO) TERNARY(THREE) ADDED(THREE) }
}

/* In the order of the maps. */
static void norm(const Op *op, i32 maps, const real *weight, const real *bias, const real *x, real *y) {
    real mean = 0, variance = 0;
    for (i32 m = 0; m < maps; m++) mean += x[m];
    mean /= (real)maps;
    for (i32 m = 0; m < maps; m++) variance += (x[m] - mean) * (x[m] - mean);
    real scale = 1 / (real)sqrt((double)(variance / (real)maps + op->alpha));
    for (i32 m = 0; m < maps; m++) y[m] = (x[m] - mean) * scale * weight[m] + bias[m];
}

/* The sum of x - mean, or of its squares: over every WIDE-th map, and then of neighbours. */
static inline real added_up(const real *x, i32 maps, real mean, i32 squares) {
    real sums[WIDE] = {0};
    i32 m = 0;
    for (; m + WIDE <= maps; m += WIDE)
        for (i32 lane = 0; lane < WIDE; lane++) {
            const real apart = x[m + lane] - mean;
            sums[lane] += squares ? apart * apart : apart;
        }
    for (i32 lane = 0; m < maps; m++, lane++) sums[lane] += squares ? (x[m] - mean) * (x[m] - mean) : x[m] - mean;
    for (i32 half = WIDE / 2; half > 0; half /= 2)
        for (i32 lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
    return sums[0];
}

/* A norm of many maps: of their differences from the mean, or of the maps themselves. */
static void wide_norm(const Op *op, i32 maps, const real *weight, const real *bias, const real *x, real *restrict y) {
    const real mean = op->kind == LAYER_NORM ? added_up(x, maps, 0, 0) / (real)maps : 0;
    const real variance = added_up(x, maps, mean, 1) / (real)maps;
    const real scale = 1 / (real)sqrt((double)(variance + (real)op->alpha));
    for (i32 m = 0; m < maps; m++) y[m] = (x[m] - mean) * scale * weight[m] + bias[m];
}

static void embed(const Program *p, const Op *op, const Buffer *out, i32 group, i64 position, i64 site, i64 first, i64 rows) {
    i32 share = p->colours / p->groups, levels = op->taps, entries = op->inner;
    real *y = at(out, position, site, first, group);
    for (i64 r = 0; r < rows; r++, y += out->row)
        for (i32 c = 0; c < share; c++) {
            i32 colour = p->groups > 1 ? group : c;
            i64 level = p->pixels[(site * p->batch + first + r) * p->colours + colour];
            if (level < 0) level = 0; /* code.h has not chosen it yet: only a damaged program asks */
            const real *entry = op->weight + (colour * levels + level) * entries;
            for (i32 e = 0; e < entries; e++) y[e * share + c] = entry[e];
        }
}

static void mix(const Program *p, const Op *op, const Buffer *in0, const Buffer *out, i32 group, i64 position, i64 site,
                i64 first, i64 rows, Part part) {
    const i64 width = op->width, high = op->paired ? (op->inner + 1) / 2 : op->inner; /* of a tap's part of the weight */
    const i64 depth = op->taps * high, number = op->first ? site : group;
    const i32 *sources = op->table + ((i64)group * op->grid + site) * op->taps;
    Tap taps[op->taps];
    i32 count = 0;
    for (i32 t = 0; t < op->taps; t++)
        if (sources[t] >= 0)
            taps[count++] = (Tap){at(in0, position, sources[t], first, t % p->groups), t * high};
    Then then[op->fused > 0 ? op->fused : 1];
    const real *sums = at(out, position, site, first, group);
    i32 made = 0;
    for (i32 i = 0; i < op->fused; i++, made++) {
        const Op *own = op + 1 + i, *projection = own->kind == LINEAR ? own : 0;
        const Buffer *b = p->buffers;
        if (projection) { /* and the sum of both */
            own++, i++;
            const Rows from = operand(b + projection->in0, position, site, first, group);
            real *y = at(b + own->out, position, site, first, group);
            then[made] = (Then){from.data, own->unread ? 0 : y, from.row, b[own->out].row, 0, LINEAR, 0,
                                projection->inner, projection->weight, projection->bias};
            sums = y;
            continue;
        }
        const Rows x = operand(b + own->in0, position, site, first, group), z = operand(b + own->in1, position, site, first, group);
        const i32 swapped = x.data != sums;
        real *y = at(b + own->out, position, site, first, group);
        then[made] = (Then){swapped ? x.data : z.data, own->unread ? 0 : y, swapped ? x.row : z.row, b[own->out].row,
                            (real)own->alpha, own->kind, swapped, 0, 0, 0};
        sums = y;
    }
    const Target to = {op->unread ? 0 : at(out, position, site, first, group), out->row, then, then + made};
    linear(taps, count, in0->row, op->inner, depth, width, span(width, part), op->weight + number * depth * width,
           op->bias + number * width, &to, rows, op->paired);
}

/* Over some sites, each with one weight for all maps. */
static void sum(const Op *op, const Buffer *in0, const Buffer *out, i32 group, i64 position, i64 site, i64 first, i64 rows,
                Part part) {
    const Span own = span(out->maps, part);
    const i32 *sources = op->table + site * op->taps;
    const real *weight = op->weight + site * op->taps;
    real *restrict y = at(out, position, site, first, group);
    for (i64 r = 0; r < rows; r++, y += out->row) {
        for (i64 m = own.start; m < own.end; m++) y[m] = op->bias[site];
        for (i32 t = 0; t < op->taps && sources[t] >= 0; t++) {
            const real *x = at(in0, position, sources[t], first + r, group);
            for (i64 m = own.start; m < own.end; m++) y[m] += weight[t] * x[m];
        }
    }
}

/* Each map from its own site, colour group and map. */
static void rearrange(const Op *op, const Buffer *in0, const Buffer *out, i32 group, i64 position, i64 site, i64 first, i64 rows) {
    const Found *found = (const Found *)op->table + ((i64)group * op->grid + site) * op->count;
    const real *from[op->count];
    real *restrict y = at(out, position, site, first, group);
    for (i32 m = 0; m < op->count; m++)
        from[m] = found[m].site == STAYS ? 0 : at(in0, position, found[m].site, first, found[m].group) + found[m].map;
    for (i64 r = 0; r < rows; r++, y += out->row)
        for (i32 m = 0; m < op->count; m++)
            if (from[m]) y[m] = from[m][r * in0->row];
}

/* New states of an LSTM: h, and the cell in its own buffer; the gates are o, f, i, g, in two halves. */
static void lstm(const Program *p, const Op *op, const Buffer *out, i32 group, i64 position, i64 site, i64 first, i64 rows,
                 Part part) {
    const Buffer *half = p->buffers + op->in0, *rest = p->buffers + op->in1, *cells = p->buffers + op->in2;
    const real *a = at(half, position, site, first, group), *b = at(rest, position, site, first, group);
    const real *carried = at(cells, position, op->table[(i64)group * op->grid + site], first, group);
    real *restrict cell = at(cells, position, site, first, group), *restrict y = at(out, position, site, first, group);
    const i32 maps = out->maps;
    const Span own = span(maps, part);
    for (i64 r = 0; r < rows; r++) {
        for (i64 m = own.start; m < own.end; m++)
            cell[m] = sigmoid_(a[m + maps] + b[m + maps]) * carried[m]
                      + sigmoid_(a[m + 2 * maps] + b[m + 2 * maps]) * tanh_(a[m + 3 * maps] + b[m + 3 * maps]);
        for (i64 m = own.start; m < own.end; m++) y[m] = sigmoid_(a[m] + b[m]) * tanh_(cell[m]);
        a += half->row, b += rest->row, carried += cells->row, cell += cells->row, y += out->row;
    }
}

static inline __attribute__((always_inline)) void unit(const Program *p, const Op *op, i32 group, i64 position, i64 site,
                                                       i64 first, i64 rows, Part part) {
    const Buffer *out = p->buffers + op->out, *in0 = p->buffers + op->in0, *in1 = p->buffers + op->in1;
    if (op->kind == EMBED) { embed(p, op, out, group, position, site, first, rows); return; }
    if (op->kind == ATTEND) { attend(p, op, out, position, site, first, rows, part); return; }
    if (op->kind == LSTM) { lstm(p, op, out, group, position, site, first, rows, part); return; }
    if (op->kind == LINEAR) { mix(p, op, in0, out, group, position, site, first, rows, part); return; }
    if (op->kind == SUM) { sum(op, in0, out, group, position, site, first, rows, part); return; }
    if (op->kind == REARRANGE) { rearrange(op, in0, out, group, position, site, first, rows); return; }
    const i32 maps = out->maps, half = maps / 2;
    real *y = at(out, position, site, first, group);
    if (op->kind == GATHER) {
        const i32 source = op->table[(i64)group * op->grid + site];
        const real *x = source < 0 ? 0 : at(in0, position, source, first, group);
        const Span own = span(op->count, part);
        for (i64 r = 0; r < rows && source != STAYS; r++, y += out->row)
            for (i64 m = own.start; m < own.end; m++) y[op->to + m] = x ? x[r * in0->row + m] : 0;
        return;
    }
    const real *x = at(in0, position, site, first, group);
    const real *weight = op->weight + (i64)group * maps, *bias = op->bias + (i64)group * maps;
    const Span own = span(op->kind == CONCATENATED_ELU ? half : op->kind == COPY || op->kind == CONSTANT ? op->count : maps, part);
    const size_t size = sizeof(real) * (size_t)(own.end - own.start);
    switch (op->kind) {
    case AFFINE:
        for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row)
            for (i64 m = own.start; m < own.end; m++) y[m] = x[m] * weight[m] + bias[m];
        break;
    case MAXOUT:
        for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row)
            for (i64 m = own.start; m < own.end; m++) y[m] = x[m] > x[m + maps] || x[m] != x[m] ? x[m] : x[m + maps];
        break;
    case GLU:
        for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row)
            for (i64 m = own.start; m < own.end; m++) y[m] = x[m] * (1 / (1 + exp_(-x[m + maps])));
        break;
    case CONCATENATED_ELU:
        for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row)
            for (i64 m = own.start; m < own.end; m++) {
                y[m] = x[m] > 0 ? x[m] : elu_(x[m]);
                y[m + half] = -x[m] > 0 ? -x[m] : elu_(-x[m]);
            }
        break;
    case NORM:
        for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row) norm(op, maps, weight, bias, x, y);
        break;
    case LAYER_NORM:
    case RMS_NORM:
        for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row) wide_norm(op, maps, weight, bias, x, y);
        break;
    case COPY:
        for (i64 r = 0; r < rows; r++, y += out->row, x += in0->row)
            memcpy(y + op->to + own.start, x + op->first + own.start, size);
        break;
    case CONSTANT: {
        const real *values = op->weight + ((i64)group * op->grid + site) * op->count;
        for (i64 r = 0; r < rows; r++, y += out->row) memcpy(y + op->to + own.start, values + own.start, size);
        break;
    }
    default:
        elementwise(op, rows, own.start, own.end, (Rows){y, out->row}, operand(in0, position, site, first, group),
                    operand(in1, position, site, first, group), operand(p->buffers + op->in2, position, site, first, group));
    }
}

#include "draw.c"

#ifndef UNTRAINED
#define STORED real
#define FETCH(value) (value)
#define STORE(value) (value)
#define NAMED(name) name
#include "causal.h"
#include "fused.h"
#include "product.h"

/* bfloat16, rounded to nearest even, as in torch. */
static inline real widened(uint16_t bits) {
    Bits held;
    held.i = (int32_t)((uint32_t)bits << 16);
    return (real)held.f;
}

static inline uint16_t rounded(real value) {
    Bits held;
    held.f = (float)value;
    const uint32_t bits = (uint32_t)held.i;
    return held.f != held.f ? 0x7fc0 : (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

#define STORED uint16_t
#define FETCH widened
#define STORE rounded
#define NAMED(name) name##_half
#include "causal.h"
#include "fused.h"
#include "rectified.h"
#endif

/* Steps from..to-1 for images first..last-1, as one thread of a team. */
static void walk(const Program *p, i64 from, i64 to, i64 first, i64 last, Team *team, i32 number) {
    i32 stage = 0, parts = team->parts;
    for (i64 step = from; step < to; step++) {
        for (i64 i = p->steps[step]; i < p->steps[step + 1]; i++) {
            const Instr *instr = p->instrs + i;
            const Op *op = p->ops + instr->op;
            const i32 *sites = p->sites + instr->first;
            if (parts > 1 && (op->stage != stage || stage == ITSELF)) {
                meet(team), parts = team->parts, stage = op->stage;
                if (number >= parts) return;
            }
            if (parts > 1 && op->shared)
                for (i32 j = 0; j < instr->count; j++)
                    unit(p, op, instr->group, j, sites[j], first, last - first, (Part){number, parts});
            else if (!number)
                for (i32 j = 0; j < instr->count; j++) /* the same, but here the compiler knows that it is complete */
                    unit(p, op, instr->group, j, sites[j], first, last - first, (Part){0, 1});
        }
#ifndef STRICT /* where drawing becomes coding, see code.h */
        if (!p->draws || p->draws[step] == p->draws[step + 1]) continue;
        if (parts > 1) meet(team), parts = team->parts;
        if (number >= parts) return;
        for (i64 i = p->draws[step]; i < p->draws[step + 1]; i++)
            for (i64 image = first + number; image < last; image += parts) draw(p, i, image);
        if (parts > 1) meet(team), parts = team->parts;
        if (number >= parts) return;
#endif
    }
}

typedef struct { const Program *p; i64 from, to, first, last; Team *team; i32 number; } Job;

static void *work(void *given) {
    const Job *job = given;
    wait_until_not(&job->team->parts, 0);
    walk(job->p, job->from, job->to, job->first, job->last, job->team, job->number);
    return 0;
}

#ifdef STRICT
/* Results are those of IEEE 754 single precision: rounded to nearest, and subnormal numbers not flushed to zero,
 * whatever modes the process has set on its processor. */
#include <fenv.h>
#include <float.h>
_Static_assert(FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16, "float is computed in float"); /* 16: only half in half */
#define PLAIN_ARITHMETIC                                                                                               \
    fenv_t asked;                                                                                                      \
    fegetenv(&asked);                                                                                                  \
    fesetenv(FE_DFL_ENV);                                                                                              \
    UNFLUSHED
#define AS_ASKED fesetenv(&asked);
#ifdef __SSE__
#define UNFLUSHED __builtin_ia32_ldmxcsr(0x1f80);
#else
#define UNFLUSHED
#endif
#else
#define PLAIN_ARITHMETIC
#define AS_ASKED
#endif

/* Steps from..to-1 for images first..last-1, by a team of `threads` threads, or as many as can be started. Returns
 * how many there were in the end: one, if a quarter of the time, and `patience` nanoseconds, were lost by waiting
 * for others. */
i64 run(const Program *p, i64 from, i64 to, i64 first, i64 last, i64 threads, i64 patience) {
    Team team = {.patience = patience};
    Job jobs[MOST_THREADS];
    pthread_t others[MOST_THREADS];
    i32 begun = 1;
    PLAIN_ARITHMETIC
    for (; begun < threads && begun < MOST_THREADS; begun++) {
        jobs[begun] = (Job){p, from, to, first, last, &team, begun};
        if (!begin(others + begun, work, jobs + begun)) break;
    }
    start(&team, begun);
    walk(p, from, to, first, last, &team, 0);
    for (i32 i = 1; i < begun; i++) pthread_join(others[i], 0);
    AS_ASKED
    return team.parts;
}

#ifdef STRICT
#include "code.h"
#endif
