/* The work of a single lane in the GPU's kernel: elements, one after the other. Part of persistent.cu. */
#define MIXED(colours) 16 /* MOST_COLOURS of persistent.py */
#include "program.h"
#include "draw.c"

#ifdef __CUDACC__
#define SUBROUTINE static __device__ __noinline__
#define BARRIER() __syncthreads()
#if __CUDA_ARCH__ >= 900
/* Writes before it, including those to global memory, are visible after it in all blocks of the cluster. */
FUNCTION void join(i32 parts) {
    if (parts == 1) __syncthreads();
    else asm volatile("barrier.cluster.arrive.release;\n\tbarrier.cluster.wait.acquire;" ::: "memory");
}
#define TOGETHER(parts) join(parts)
#else
#define TOGETHER(parts) __syncthreads() /* no clusters */
#endif
#define UNROLL _Pragma("unroll 4")
#else
#define SUBROUTINE static
#define UNROLL
#endif

enum {
    IMAGES = 2,   /* per block, at most */
    COLUMNS = 4,  /* of a linear layer that one lane sums */
    SPLITS = 32,  /* parts, at most, into which a sum over taps is split */
    TEAM = 32,    /* lanes that reduce something together */
    FEW = 16,     /* categories that one lane draws from on its own */
    ROOM = SCRATCH / (int)sizeof(real) /* numbers in the scratch memory, of SCRATCH bytes */
};

/* Neighbouring columns, read in one access. */
typedef struct { real v[COLUMNS]; } __attribute__((aligned(16))) Columns;

typedef struct {
    i32 lane, lanes; /* this lane's number in its block, and their number */
    i32 part, parts; /* this block's number among the blocks of its cluster, which work on the same images, and their
                        number */
    i64 first;       /* their first image */
    i32 images;
    real *scratch;   /* shared by the lanes of a block, as large as ROOM says */
} Lane;

FUNCTION i32 least(i32 a, i32 b) { return a < b ? a : b; }
FUNCTION i32 most_of(i32 a, i32 b) { return a > b ? a : b; }

/* The number of maps per site that an operation computes one by one. */
FUNCTION i32 domain(const Program *p, const Op *op) {
    i32 maps = p->buffers[op->out].maps, some = op->kind == COPY || op->kind == CONSTANT || op->kind == GATHER || op->kind == REARRANGE;
    return some ? op->count : op->kind == CONCATENATED_ELU ? maps / 2 : maps;
}

/* The place of one element. */
typedef struct { i64 position, site, image; i32 group, m; } Place;

FUNCTION const real *element(const Program *p, i32 buffer, const Place *where) {
    return at(p->buffers + buffer, where->position, where->site, where->image, where->group) + where->m;
}

FUNCTION real embedded(const Program *p, const Op *op, const Place *where) {
    i32 share = p->colours / p->groups, c = p->groups > 1 ? where->group : where->m % share;
    i64 level = levels_of(p, where->site, where->image)[c];
    return op->weight[(c * op->taps + level) * op->inner + where->m / share];
}

FUNCTION i32 source_of(const Op *op, const Place *where) { return op->table[(i64)where->group * op->grid + where->site]; }

/* One element of a gather: 0 where a site reads none. */
FUNCTION real gathered(const Program *p, const Op *op, const Place *where, i32 source) {
    if (source < 0) return 0;
    return at(p->buffers + op->in0, where->position, source, where->image, where->group)[where->m];
}

/* The source of an element of a rearrangement; null where it stays unchanged. */
FUNCTION const real *rearranged(const Program *p, const Op *op, const Place *where) {
    const Found *found = (const Found *)op->table + ((i64)where->group * op->grid + where->site) * op->count + where->m;
    if (found->site == STAYS) return 0;
    return at(p->buffers + op->in0, where->position, found->site, where->image, found->group) + found->map;
}

/* One element of an LSTM's new states: the cell is written, the hidden state returned. */
FUNCTION real remembered(const Program *p, const Op *op, const Place *where, i32 source) {
    const real *a = element(p, op->in0, where), *b = element(p, op->in1, where);
    const real carried = at(p->buffers + op->in2, where->position, source, where->image, where->group)[where->m];
    const i32 maps = p->buffers[op->out].maps;
    const real cell = sigmoid_(a[maps] + b[maps]) * carried + sigmoid_(a[2 * maps] + b[2 * maps]) * tanh_(a[3 * maps] + b[3 * maps]);
    *(real *)element(p, op->in2, where) = cell;
    return sigmoid_(a[0] + b[0]) * tanh_(cell);
}

/* An instruction of elementwise.h. */
FUNCTION real pointwise(const Op *op, real x, real z, real w) {
    const real a = (real)op->alpha, b = (real)op->beta;
    (void)a, (void)b;
#define CASE(NAME, ...) case NAME: return (real)(__VA_ARGS__);
    switch (op->kind) { UNARY(CASE) BINARY(CASE) TERNARY(CASE) ADDED(CASE) }
    return 0;
}

/* The operations from op on, in order, for one element. Buffer `before` has `value` there, unless it is -1. */
SUBROUTINE void elements(const Program *p, const Op *op, i32 count, Place where, i32 before, real value) {
    for (; count > 0; count--, op++) {
        i32 kind = op->kind, maps = p->buffers[op->out].maps, m = where.m;
        real *y = (real *)element(p, op->out, &where);
        real x = 0;
        if (kind == EMBED) value = embedded(p, op, &where);
        else if (kind == LSTM) value = remembered(p, op, &where, source_of(op, &where));
        else if (kind == GATHER) {
            i32 source = source_of(op, &where);
            y += op->to;
            value = source == STAYS ? *y : gathered(p, op, &where, source);
        } else if (kind == REARRANGE) {
            const real *from = rearranged(p, op, &where);
            value = from ? *from : *y;
        } else if (kind == CONSTANT) y[op->to] = op->weight[((i64)where.group * op->grid + where.site) * op->count + m];
        else {
            const real *from = element(p, op->in0, &where);
            x = kind == COPY ? from[op->first] : op->in0 == before ? value : *from;
            if (kind == COPY) y[op->to] = x;
            else if (kind == CONCATENATED_ELU) {
                y[0] = x > 0 ? x : elu_(x);
                y[maps / 2] = -x > 0 ? -x : elu_(-x);
            } else if (kind == AFFINE) value = x * op->weight[(i64)where.group * maps + m] + op->bias[(i64)where.group * maps + m];
            else if (kind == MAXOUT) value = x > from[maps] || x != x ? x : from[maps];
            else if (kind == GLU) value = x * (1 / (1 + exp_(-from[maps])));
            else value = pointwise(op, x, op->in1 == before ? value : *element(p, op->in1, &where),
                                   op->in2 == before ? value : *element(p, op->in2, &where));
        }
        if (kind == COPY || kind == CONSTANT || kind == CONCATENATED_ELU) { before = -1; continue; }
        *y = value;
        before = op->out;
    }
}

FUNCTION Place place(const Lane *me, i32 group, i64 position, i64 site, i32 image, i32 m) {
    Place where;
    where.position = position, where.site = site, where.image = me->first + image, where.group = group, where.m = m;
    return where;
}
