/* Concatenated ELU and gates of whole images, forward and backward, each in one launch: see fusing.py.
 *
 * Values are stored as REAL: float, double or bf16, and computed in float, or in double. A launch has a row of blocks
 * for each image. Workers are independent of each other. It is C as well as C++: code that compiles it for a CPU
 * defines KERNEL, and which WORKER of how many WORKERS, on which IMAGE, is running.
 */
typedef long long i64;
typedef unsigned int u32;
typedef struct { unsigned short bits; } bf16;

#ifdef __CUDACC__
#define KERNEL extern "C" __global__ void __launch_bounds__(256)
#define FUNCTION static __device__ __forceinline__
#define WORKER (blockIdx.x * blockDim.x + threadIdx.x)
#define WORKERS (gridDim.x * blockDim.x)
#define IMAGE blockIdx.y
#define RESTRICT __restrict__
#define GIVEN const __grid_constant__
#define EACH _Pragma("unroll")
#else
#include <math.h>
#define FUNCTION static inline
#define RESTRICT restrict
#define GIVEN const
#define EACH
#endif

#define IS_float 0
#define IS_bf16 1
#define IS_double 2
#define JOINED(a, b) a##b
#define KIND_OF(name) JOINED(IS_, name)
#define FLOAT (KIND_OF(REAL) != IS_double)
#if FLOAT
typedef float real;
#define EXP expf
#define EXPM1 expm1f
#else
typedef double real;
#define EXP exp
#define EXPM1 expm1
#endif
typedef REAL stored;

/* Elements that a worker has in flight together, so that it waits for memory once. */
enum { MANY = 4 };

/* n / by for n and by below 2^31, by multiplication: integer division is slow on a GPU. */
typedef struct { u32 by, magic, shift; } Divisor;

/* Maps of an image, and their place among those of a wider one with edges. */
typedef struct {
    u32 maps, height, width;    /* of the image */
    u32 wide, first;            /* maps of the wider one, and which of them is the image's first */
    u32 rows, columns;          /* of the wider one */
    int top, left;              /* its edges, negative where the image is cropped */
    u32 last;                   /* whether the maps of a site are adjacent in memory, for both */
    Divisor inner, across;      /* what is iterated over: maps or sites, whichever is innermost; and its width */
} Shape;

typedef struct { u32 map; int row, column; } Spot;

#if KIND_OF(REAL) == IS_bf16
FUNCTION real fetch(const stored *x) {
    union { u32 bits; float value; } held;
    held.bits = (u32)x->bits << 16;
    return held.value;
}

FUNCTION void store(stored *x, real value) { /* rounded to nearest even, as in torch */
    union { u32 bits; float value; } held;
    held.value = value;
    x->bits = value != value ? 0x7fc0 : (unsigned short)((held.bits + 0x7fff + ((held.bits >> 16) & 1)) >> 16);
}
#else
FUNCTION real fetch(const stored *x) { return *x; }
FUNCTION void store(stored *x, real value) { *x = value; }
#endif

FUNCTION u32 over(u32 n, Divisor d) { return ((u32)(((unsigned long long)n * d.magic) >> 32) + n) >> d.shift; }

/* The element with this number in memory order. */
FUNCTION Spot spot(const Shape *s, u32 number) {
    u32 outer = over(number, s->inner), inner = number - outer * s->inner.by;
    u32 site = s->last ? outer : inner, row = over(site, s->across);
    Spot found = {s->last ? inner : outer, (int)row, (int)(site - row * s->across.by)};
    return found;
}

/* The element's place in the image; -1 if it is outside. */
FUNCTION i64 in_image(const Shape *s, u32 image, Spot at) {
    if (at.row < 0 || at.row >= (int)s->height || at.column < 0 || at.column >= (int)s->width) return -1;
    u32 site = (u32)at.row * s->width + (u32)at.column, sites = s->height * s->width;
    return (i64)image * s->maps * sites + (s->last ? (i64)site * s->maps + at.map : (i64)at.map * sites + site);
}

/* The same in the wider one, whose maps are counted from the image's first. */
FUNCTION i64 in_wide(const Shape *s, u32 image, Spot at) {
    if (at.row < 0 || at.row >= (int)s->rows || at.column < 0 || at.column >= (int)s->columns) return -1;
    u32 site = (u32)at.row * s->columns + (u32)at.column, sites = s->rows * s->columns, map = s->first + at.map;
    return (i64)image * s->wide * sites + (s->last ? (i64)site * s->wide + map : (i64)map * sites + site);
}

/* The distance between the two halves of the image's maps. */
FUNCTION i64 half(const Shape *s) { return s->last ? s->maps : (i64)s->maps * s->rows * s->columns; }

FUNCTION real elu(real x) { return x > 0 ? x : EXPM1(x); }
FUNCTION real slope(real x) { return x > 0 ? (real)1 : EXP(x); }
FUNCTION real sigmoid(real x) { return 1 / (1 + EXP(-x)); }

/* wide = elu of [x, -x], times scale where `kept`, which is [2 maps, height, width] in the image's order, or null. */
KERNEL activate(GIVEN Shape s, u32 count, const stored *RESTRICT x, const unsigned char *RESTRICT kept, real scale,
                stored *RESTRICT wide) {
    const i64 sites = (i64)s.height * s.width, whole = 2 * (i64)s.maps * sites;
    for (u32 begin = WORKER; begin < count; begin += MANY * WORKERS) {
        real value[MANY], up[MANY], down[MANY];
        i64 target[MANY];
        EACH for (int i = 0; i < MANY; i++) {
            u32 number = begin + i * WORKERS;
            target[i] = -1, value[i] = 0, up[i] = down[i] = scale;
            if (number >= count) continue;
            Spot to = spot(&s, number), from = to;
            from.row -= s.top, from.column -= s.left;
            target[i] = in_wide(&s, IMAGE, to);
            i64 source = in_image(&s, IMAGE, from);
            if (source < 0) continue;
            value[i] = fetch(x + source);
            if (kept) {
                i64 own = source - (i64)IMAGE * s.maps * sites, site = (i64)from.row * s.width + from.column;
                i64 mask = IMAGE * whole + (s.last ? site * 2 * s.maps + from.map : own);
                up[i] = kept[mask] ? scale : 0;
                down[i] = kept[mask + (s.last ? s.maps : s.maps * sites)] ? scale : 0;
            }
        }
        EACH for (int i = 0; i < MANY; i++) {
            if (target[i] < 0) continue;
            store(wide + target[i], elu(value[i]) * up[i]);
            store(wide + target[i] + half(&s), elu(-value[i]) * down[i]);
        }
    }
}

/* The gradient of x from that of `wide`. */
KERNEL activate_back(GIVEN Shape s, u32 count, const stored *RESTRICT x, const unsigned char *RESTRICT kept, real scale,
                     const stored *RESTRICT wide, stored *RESTRICT out) {
    const i64 sites = (i64)s.height * s.width, whole = 2 * (i64)s.maps * sites;
    for (u32 begin = WORKER; begin < count; begin += MANY * WORKERS) {
        real value[MANY], up[MANY], down[MANY];
        i64 target[MANY];
        EACH for (int i = 0; i < MANY; i++) {
            u32 number = begin + i * WORKERS;
            target[i] = -1, value[i] = up[i] = down[i] = 0;
            if (number >= count) continue;
            Spot from = spot(&s, number), to = from;
            to.row += s.top, to.column += s.left;
            target[i] = in_image(&s, IMAGE, from);
            i64 source = in_wide(&s, IMAGE, to);
            value[i] = fetch(x + target[i]);
            if (source < 0) continue;
            up[i] = fetch(wide + source) * scale, down[i] = fetch(wide + source + half(&s)) * scale;
            if (kept) {
                i64 own = target[i] - (i64)IMAGE * s.maps * sites, site = (i64)from.row * s.width + from.column;
                i64 mask = IMAGE * whole + (s.last ? site * 2 * s.maps + from.map : own);
                if (!kept[mask]) up[i] = 0;
                if (!kept[mask + (s.last ? s.maps : s.maps * sites)]) down[i] = 0;
            }
        }
        EACH for (int i = 0; i < MANY; i++)
            if (target[i] >= 0) store(out + target[i], up[i] * slope(value[i]) - down[i] * slope(-value[i]));
    }
}

/* out = x + a sigmoid(b), where a and b are the halves of `wide`. */
KERNEL gate(GIVEN Shape s, u32 count, const stored *RESTRICT x, const stored *RESTRICT wide, stored *RESTRICT out) {
    for (u32 begin = WORKER; begin < count; begin += MANY * WORKERS) {
        real value[MANY], a[MANY], b[MANY];
        i64 target[MANY];
        EACH for (int i = 0; i < MANY; i++) {
            u32 number = begin + i * WORKERS;
            target[i] = -1, value[i] = a[i] = b[i] = 0;
            if (number >= count) continue;
            Spot at = spot(&s, number);
            i64 source = in_wide(&s, IMAGE, at);
            target[i] = in_image(&s, IMAGE, at);
            value[i] = fetch(x + target[i]), a[i] = fetch(wide + source), b[i] = fetch(wide + source + half(&s));
        }
        EACH for (int i = 0; i < MANY; i++)
            if (target[i] >= 0) store(out + target[i], value[i] + a[i] * sigmoid(b[i]));
    }
}

/* The gradient of `wide` from that of x + a sigmoid(b); that of x is the same. */
KERNEL gate_back(GIVEN Shape s, u32 count, const stored *RESTRICT given, const stored *RESTRICT wide, stored *RESTRICT out) {
    for (u32 begin = WORKER; begin < count; begin += MANY * WORKERS) {
        real value[MANY], a[MANY], b[MANY];
        i64 target[MANY];
        EACH for (int i = 0; i < MANY; i++) {
            u32 number = begin + i * WORKERS;
            target[i] = -1, value[i] = a[i] = b[i] = 0;
            if (number >= count) continue;
            Spot at = spot(&s, number);
            target[i] = in_wide(&s, IMAGE, at);
            value[i] = fetch(given + in_image(&s, IMAGE, at));
            a[i] = fetch(wide + target[i]), b[i] = fetch(wide + target[i] + half(&s));
        }
        EACH for (int i = 0; i < MANY; i++) {
            if (target[i] < 0) continue;
            real open = sigmoid(b[i]);
            store(out + target[i], value[i] * open);
            store(out + target[i] + half(&s), value[i] * a[i] * open * (1 - open));
        }
    }
}
