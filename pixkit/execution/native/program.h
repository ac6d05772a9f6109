/* A packed plan: the structures that `layout.py` writes and kernel.c reads; the two must change together. Kernels on
 * CPUs and GPUs share it.
 *
 * A buffer holds one operation's units as [site][image][group][map]. An instruction computes one colour group of one
 * operation at some sites. REAL is float or double.
 */
#ifdef __CUDACC_RTC__ /* has no headers, but the functions of math.h without them */
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#else
#include <math.h>
#include <stdint.h>
#include <string.h>
#endif

typedef REAL real;
typedef int64_t i64;
typedef int32_t i32;

typedef struct {
    real *data;
    i64 site, row, group; /* strides in elements; site is 0 where the value does not vary over sites */
    i32 maps;             /* maps in one group */
    i32 passing;          /* indexed by position within the instruction, not by site */
} Buffer;

typedef struct {
    i32 kind, out, in0, in1, in2;
    /* LINEAR: sources per site, maps per source, padded maps written, sites; SUM: sources per site; EMBED: levels,
     * entries; ATTEND: heads, maps of a head's key, tables of biases, sites of keys */
    i32 taps, inner, width, grid;
    const i32 *table;
    const real *weight, *bias;
    double alpha, beta; /* an elementwise instruction's numbers a and b */
    i32 first, to, count; /* COPY, CONSTANT, GATHER: first map read (0), first map written, number of maps;
                             REARRANGE: -, -, number of maps; LINEAR: whether each site has its own weights, -, -;
                             ATTEND: -, -, maps of a head's value */
    i32 queries;      /* ATTEND: their sites */
    i32 keys, values; /* ATTEND on a CPU: its own buffers, see attend.h */
    i32 fused; /* how many of the following operations are computed with this one, element by element */
    i32 stage, shared; /* on a CPU: see team.h; whether each thread of a team computes some of its maps */
    i32 paired; /* LINEAR on a CPU: whether its weights are bfloat16, see linear.h */
    i32 unread; /* on a CPU: only the next operation, which is computed with this one, reads its results */
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
    const real *uniforms;    /* [B][C][S]; for a mixture [B][1 + C][S]: its indicator's, then each colour's deviate */
    i64 *pixels;             /* [S][B][C] */
    i64 batch, sites_total;
    i32 colours, groups, levels, params, head, components;
    double temperature, low, high; /* for a mixture: bounds of log-scales */
} Program;

#include "elementwise.h"

/* Instructions that are not elementwise, one per line, as in elementwise.h. */
#define LAYERS(ROW)                                                                                                    \
    ROW(EMBED) ROW(LINEAR) ROW(SUM) ROW(GATHER) ROW(REARRANGE) ROW(ATTEND) ROW(LSTM)                                   \
    ROW(AFFINE) ROW(NORM) ROW(LAYER_NORM) ROW(RMS_NORM) ROW(COPY) ROW(CONSTANT) ROW(CONCATENATED_ELU) ROW(MAXOUT) ROW(GLU)

#define NUMBER(NAME, ...) NAME,
enum { LAYERS(NUMBER) UNARY(NUMBER) BINARY(NUMBER) TERNARY(NUMBER) ADDED(NUMBER) };

enum { STAYS = -2 }; /* in a table of GATHER or REARRANGE: nothing is written; for GATHER, -1 writes zeros */

/* The source that REARRANGE reads for each map of a site that it writes. */
typedef struct { i32 site, group, map; } Found;

/* The maps of one group at a site of one image, or of the images from it on. */
FUNCTION real *at(const Buffer *b, i64 position, i64 site, i64 image, i32 group) {
    return b->data + (b->passing ? position : site) * b->site + image * b->row + group * b->group;
}
