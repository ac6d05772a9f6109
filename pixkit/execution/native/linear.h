/* Sums over taps, out = bias + sum of a @ w, in tiles of registers. Part of kernel.c. */
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16 /* SSE2, NEON: what is wider than its registers a compiler takes apart one number at a time */
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
#define REGISTERS 32
#else
#define REGISTERS 16
#endif
#define LANES ((i64)(BYTES / sizeof(real)))
typedef real vec __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

/* The numbers that are added up side by side where a sum is of one row: the same on all processors, and so its order. */
enum { WIDE = 64 / (int)sizeof(real) };

/* A row of what is read, and the row of the weight that its first map has. */
typedef struct { const real *a; i64 row; } Tap;

/* Weights lie in panels of that many columns, the last perhaps of fewer, so that whoever reads one reads on and on. */
enum { PANEL = 64 };

/* Rows of a weight that are asked for before their turn: large weights come from far away. */
enum { AHEAD = 64 };

/* out[R][V vectors] = bias + sum over taps of a[R][inner] @ w[inner][V vectors] */
#define TILE(R, V)                                                                                                     \
    static void tile_##R##_##V(const Tap *taps, i32 count, i64 lda, i64 ldw, i32 inner, const real *weight,            \
                               const real *bias, real *out, i64 ldo) {                                                 \
        vec acc[R][V];                                                                                                 \
        for (int v = 0; v < V; v++)                                                                                    \
            for (int r = 0; r < R; r++) acc[r][v] = *(const vec *)(bias + v * LANES);                                  \
        for (i32 t = 0; t < count; t++) {                                                                              \
            const real *a = taps[t].a, *w = weight + taps[t].row * ldw;                                                \
            for (i32 k = 0; k < inner; k++, w += ldw) {                                                                \
                vec wv[V];                                                                                             \
                for (int v = 0; v < V; v++) wv[v] = *(const vec *)(w + v * LANES);                                     \
                for (int v = 0; v < V && R >= 6; v++) __builtin_prefetch(w + AHEAD * ldw + v * LANES, 0, 2);           \
                for (int r = 0; r < R; r++) {                                                                          \
                    real s = a[r * lda + k];                                                                           \
                    for (int v = 0; v < V; v++) acc[r][v] += s * wv[v];                                                \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        for (int r = 0; r < R; r++)                                                                                    \
            for (int v = 0; v < V; v++) *(vec *)(out + r * ldo + v * LANES) = acc[r][v];                               \
    }
TILE(1, 1) TILE(1, 2) TILE(1, 4) TILE(2, 1) TILE(2, 2) TILE(2, 4) TILE(6, 1) TILE(6, 2)
#ifdef __AVX512F__
TILE(4, 1) TILE(4, 2) TILE(4, 4) TILE(6, 4) TILE(8, 1) TILE(8, 2)
#define BLOCK(left) ((left) >= 8 ? 8 : (left) >= 6 ? 6 : (left) >= 4 ? 4 : (left) >= 2 ? 2 : 1)
#else
#define BLOCK(left) ((left) >= 6 ? 6 : (left) >= 2 ? 2 : 1) /* for more there are too few registers */
#define tile_4_1 tile_2_1
#define tile_4_2 tile_2_2
#define tile_4_4 tile_2_4
#define tile_8_1 tile_2_1
#define tile_8_2 tile_2_2
TILE(3, 4)
#define tile_6_4(taps, count, lda, ldw, inner, weight, bias, out, ldo)                                                 \
    do {                                                                                                               \
        Tap low[count > 0 ? count : 1];                                                                                \
        for (i32 i = 0; i < count; i++) low[i] = (Tap){taps[i].a + 3 * (lda), taps[i].row};                            \
        tile_3_4(taps, count, lda, ldw, inner, weight, bias, out, ldo);                                                \
        tile_3_4(low, count, lda, ldw, inner, weight, bias, (out) + 3 * (ldo), ldo);                                   \
    } while (0)
#endif
#define tile_8_4(...) /* never taken */

/* The columns of a panel for R rows, at most MOST vectors at a time. */
#define COLUMNS(R, MOST)                                                                                               \
    for (i64 c = 0; c < columns;) {                                                                                    \
        const i64 left = (columns - c) / LANES, taken = MOST >= 4 && left >= 4 ? 4 : left >= 2 ? 2 : 1;                \
        if (taken == 4) tile_##R##_4(here, count, lda, columns, inner, panel + c, bias + c, y + c, ldo);               \
        else if (taken == 2) tile_##R##_2(here, count, lda, columns, inner, panel + c, bias + c, y + c, ldo);          \
        else tile_##R##_1(here, count, lda, columns, inner, panel + c, bias + c, y + c, ldo);                          \
        c += taken * LANES;                                                                                            \
    }

/* `depth` is how many rows the weight has. */
static void linear(const Tap *taps, i32 count, i64 lda, i32 inner, i64 depth, i64 width, const real *weight, const real *bias,
                   real *out, i64 ldo, i64 rows) {
    Tap here[count > 0 ? count : 1];
    for (i64 first = 0; first < width; first += PANEL) {
        const i64 columns = width - first < PANEL ? width - first : PANEL;
        const real *panel = weight + first * depth;
        real *y = out + first;
        memcpy(here, taps, sizeof(Tap) * (size_t)count);
        for (i64 row = 0, block; row < rows; row += block, y += block * ldo) {
            block = BLOCK(rows - row);
            if (block == 8) { COLUMNS(8, 2) }
            else if (block == 6) { COLUMNS(6, 4) }
            else if (block == 4) { COLUMNS(4, 4) }
            else if (block == 2) { COLUMNS(2, 4) }
            else { COLUMNS(1, 4) }
            for (i32 t = 0; t < count; t++) here[t].a += block * lda;
        }
        bias += columns;
    }
}
