/* Sums over taps, out = bias + sum of a @ w, in tiles of registers. Part of kernel.c. */
#ifdef __AVX512F__
#define BYTES 64
#else
#define BYTES 32
#endif
#define LANES ((i64)(BYTES / sizeof(real)))
typedef real vec __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

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
