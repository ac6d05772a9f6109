/* Sums over taps, out = bias + sum of a @ w, in register tiles. Part of kernel.c. */
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16 /* SSE2, NEON: compilers split wider vectors into single numbers */
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
#define REGISTERS 32
#else
#define REGISTERS 16
#endif
#define LANES ((i64)(BYTES / sizeof(real)))
typedef real vec __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

/* The numbers summed side by side in a sum over one row: the same on all processors, so that the order is the same. */
enum { WIDE = 64 / (int)sizeof(real) };

/* A row of the input, and the row of the weight for its first map. */
typedef struct { const real *a; i64 row; } Tap;

/* Weights are stored in panels of this many columns, the last perhaps narrower, so that a panel is read
   sequentially. */
enum { PANEL = 64 };

/* Rows of a weight that are prefetched: large weights are far away in memory. */
enum { AHEAD = 64 };

/* Operations applied to sums while these are in registers, as in elementwise.h: x is a vector of the sums, z of the
 * other operand, a the operation's number. */
#define AFTERWARDS(ROW)                                                                                                \
    ROW(RELU, (vec)((whole)x & ~(x <= 0)))                                                                             \
    ROW(ADD, then->swapped ? z + a * x : x + a * z)                                                                    \
    ROW(SUB, then->swapped ? z - a * x : x - a * z)                                                                    \
    ROW(MUL, x * z)
typedef __typeof__((vec){0} <= 0) whole;

/* One of them: its other operand, and where its results go if anything reads them there. */
typedef struct {
    const real *other;
    real *out;
    i64 other_row, out_row;
    real a;
    i32 kind, swapped; /* whether the sums are its second operand */
    i32 inner;         /* LINEAR, a projection that is added to the sums: maps of its input, the other operand */
    const real *weight, *bias;
} Then;

/* Where sums go, if anything reads them there, and the operations that follow. */
typedef struct { real *out; i64 out_row; const Then *then, *end; } Target;

/* bfloat16 weights are stored in pairs, those of two rows in 32 bits, with the earlier row's in the lower half; sums
 * are taken in the same order. Only for single precision. */
#define EARLIER(pair) ((vec)((pair) << 16))
#define LATER(pair) ((vec)((pair) & ~(__typeof__((pair)[0]))0xffff))
#define ADD_UP(k, WEIGHT)                                                                                              \
    for (int r = 0; r < rows; r++) {                                                                                   \
        const real s = a[r * lda + (k)];                                                                               \
        for (int v = 0; v < vectors; v++) acc[r][v] += s * WEIGHT;                                                     \
    }

#define PUT(to)                                                                                                        \
    for (int r = 0; r < rows && (to)->out; r++)                                                                        \
        for (int v = 0; v < vectors; v++)                                                                              \
            *(vec *)((to)->out + (row + r) * (to)->out_row + column + v * LANES) = acc[r][v];
#define WITH_OTHER(NAME, EXPRESSION)                                                                                   \
    case NAME:                                                                                                         \
        for (int r = 0; r < rows; r++)                                                                                 \
            for (int v = 0; v < vectors; v++) {                                                                        \
                const vec x = acc[r][v], z = *(const vec *)(other + r * then->other_row + v * LANES);                  \
                acc[r][v] = EXPRESSION;                                                                                \
            }                                                                                                          \
        break;

#define WITH_PROJECTION                                                                                                \
    case LINEAR: {                                                                                                     \
        const real *w = then->weight + column / PANEL * PANEL * then->inner + column % PANEL;                          \
        const real *from = then->other + row * then->other_row;                                                        \
        for (int r = 0; r < rows; r++)                                                                                 \
            for (int v = 0; v < vectors; v++) acc[r][v] += *(const vec *)(then->bias + column + v * LANES);            \
        for (i32 k = 0; k < then->inner; k++, w += ldw)                                                                \
            for (int r = 0; r < rows; r++)                                                                             \
                for (int v = 0; v < vectors; v++)                                                                      \
                    acc[r][v] += from[r * then->other_row + k] * *(const vec *)(w + v * LANES);                        \
        break;                                                                                                         \
    }

/* bias + sum over taps of a[R][inner] @ w[inner][V vectors], for the target's rows and columns from `row` and
   `column` on. */
#define TILE(R, V) TILE_OF(tile, R, V, 0)
#define TILE_OF(NAME, R, V, PAIRED)                                                                                    \
    static void NAME##_##R##_##V(const Tap *taps, i32 count, i64 lda, i64 ldw, i32 inner, const real *weight,          \
                                 const real *bias, const Target *to, i64 row, i64 column) {                            \
        enum { rows = R, vectors = V, paired = PAIRED };                                                               \
        vec acc[R][V];                                                                                                 \
        for (int v = 0; v < V; v++)                                                                                    \
            for (int r = 0; r < R; r++) acc[r][v] = *(const vec *)(bias + v * LANES);                                  \
        for (i32 t = 0; t < count; t++) {                                                                              \
            const real *a = taps[t].a, *w = weight + taps[t].row * ldw;                                                \
            for (i32 k = 0; k < inner; k += 1 + paired, w += ldw) {                                                    \
                vec wv[V];                                                                                             \
                for (int v = 0; v < V; v++) wv[v] = *(const vec *)(w + v * LANES);                                     \
                for (int v = 0; v < V && R >= 6; v++) __builtin_prefetch(w + AHEAD * ldw + v * LANES, 0, 2);           \
                if (!paired) ADD_UP(k, wv[v])                                                                          \
                else ADD_UP(k, EARLIER((whole)wv[v]))                                                                  \
                if (paired && k + 1 < inner) ADD_UP(k + 1, LATER((whole)wv[v]))                                        \
            }                                                                                                          \
        }                                                                                                              \
        PUT(to)                                                                                                        \
        for (const Then *then = to->then; then < to->end; then++) {                                                    \
            const real *other = then->other + row * then->other_row + column, a = then->a;                             \
            switch (then->kind) { AFTERWARDS(WITH_OTHER) WITH_PROJECTION }                                             \
            PUT(then)                                                                                                  \
        }                                                                                                              \
    }
TILE(1, 1) TILE(1, 2) TILE(1, 3) TILE(1, 4) TILE(2, 1) TILE(2, 2) TILE(2, 3) TILE(2, 4) TILE(6, 1) TILE(6, 2)
TILE_OF(half, 1, 1, 1) TILE_OF(half, 1, 2, 1) TILE_OF(half, 1, 3, 1) TILE_OF(half, 1, 4, 1)
TILE_OF(half, 2, 1, 1) TILE_OF(half, 2, 2, 1) TILE_OF(half, 2, 3, 1) TILE_OF(half, 2, 4, 1)
#define tile_4_3(...) /* never taken */
#define tile_6_3(...)
#define tile_8_3(...)
#ifdef __AVX512F__
TILE(4, 1) TILE(4, 2) TILE(4, 4) TILE(6, 4) TILE(8, 1) TILE(8, 2)
#define BLOCK(left) ((left) >= 8 ? 8 : (left) >= 6 ? 6 : (left) >= 4 ? 4 : (left) >= 2 ? 2 : 1)
#else
#define BLOCK(left) ((left) >= 6 ? 6 : (left) >= 2 ? 2 : 1) /* there are too few registers for more */
#define tile_4_1 tile_2_1
#define tile_4_2 tile_2_2
#define tile_4_4 tile_2_4
#define tile_8_1 tile_2_1
#define tile_8_2 tile_2_2
TILE(3, 4)
#define tile_6_4(taps, count, lda, ldw, inner, weight, bias, to, row, column)                                          \
    do {                                                                                                               \
        Tap low[count > 0 ? count : 1];                                                                                \
        for (i32 i = 0; i < count; i++) low[i] = (Tap){taps[i].a + 3 * (lda), taps[i].row};                            \
        tile_3_4(taps, count, lda, ldw, inner, weight, bias, to, row, column);                                         \
        tile_3_4(low, count, lda, ldw, inner, weight, bias, to, (row) + 3, column);                                    \
    } while (0)
#endif
#define tile_8_4(...) /* never taken */

/* The columns of a panel for R rows, at most MOST vectors at a time. */
#define COLUMNS(NAME, R, MOST)                                                                                         \
    for (i64 c = start; c < end;) {                                                                                    \
        const i64 left = (end - c) / LANES;                                                                            \
        const i64 taken = MOST >= 4 && left >= 4 ? 4 : R <= 2 && left == 3 ? 3 : left >= 2 ? 2 : 1;                    \
        const real *w = panel + c, *b = bias + first + c;                                                              \
        if (taken == 4) NAME##_##R##_4(here, count, lda, columns, inner, w, b, to, row, first + c);                    \
        else if (taken == 3) { NAME##_##R##_3(here, count, lda, columns, inner, w, b, to, row, first + c); }           \
        else if (taken == 2) NAME##_##R##_2(here, count, lda, columns, inner, w, b, to, row, first + c);               \
        else NAME##_##R##_1(here, count, lda, columns, inner, w, b, to, row, first + c);                               \
        c += taken * LANES;                                                                                            \
    }

/* The columns `of` a weight, which has `depth` rows of `width`; of pairs of rows, if they are in pairs. */
static void linear(const Tap *taps, i32 count, i64 lda, i32 inner, i64 depth, i64 width, Span of, const real *weight,
                   const real *bias, const Target *to, i64 rows, i32 paired) {
    Tap here[count > 0 ? count : 1];
    for (i64 first = of.start / PANEL * PANEL; first < of.end; first += PANEL) {
        const i64 columns = width - first < PANEL ? width - first : PANEL;
        const i64 start = of.start > first ? of.start - first : 0, end = of.end - first < columns ? of.end - first : columns;
        const real *panel = weight + first * depth;
        memcpy(here, taps, sizeof(Tap) * (size_t)count);
        for (i64 row = 0, block; row < rows; row += block) {
            block = paired ? rows - row >= 2 ? 2 : 1 : BLOCK(rows - row);
            if (paired && block == 2) { COLUMNS(half, 2, 4) }
            else if (paired) { COLUMNS(half, 1, 4) }
            else if (block == 8) { COLUMNS(tile, 8, 2) }
            else if (block == 6) { COLUMNS(tile, 6, 4) }
            else if (block == 4) { COLUMNS(tile, 4, 4) }
            else if (block == 2) { COLUMNS(tile, 2, 4) }
            else { COLUMNS(tile, 1, 4) }
            for (i32 t = 0; t < count; t++) here[t].a += block * lda;
        }
    }
}
