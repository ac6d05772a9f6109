/* Matrix products of linear layers for training on a CPU: results, and the gradients of inputs.
 *
 * The weight is packed in the order in which it is read, and the sums of a tile stay in registers. Sums have one order,
 * however many threads there are. The gradients of weights are left to torch, which is as fast at these.
 * Part of kernel.c, after causal.h.
 */
enum {
    STRIP = 128, /* rows that go through all columns together: they fit the second-level cache */
    DEEP = 256   /* terms of a sum between two additions to the result: a panel of them fits the first-level cache */
};
#define ACROSS (2 * LANES) /* columns of a panel, and of a tile */

/* Columns of panels for `count` columns. */
static inline i64 panels(i64 count) { return up_to(count, ACROSS); }

/* to[ACROSS columns][rows][ACROSS] from[row * row_stride + column * column_stride], zeros beyond `count` columns. */
static void pack(i64 rows, i64 count, const real *from, i64 row, i64 column, real *to) {
    for (i64 first = 0; first < count; first += ACROSS) {
        const i64 wide = count - first < ACROSS ? count - first : ACROSS;
        for (i64 r = 0; r < rows; r++, to += ACROSS) {
            const real *own = from + r * row + first * column;
            if (column == 1 && wide == ACROSS) { memcpy(to, own, sizeof(real) * (size_t)ACROSS); continue; }
            for (i64 c = 0; c < wide; c++) to[c] = own[c * column];
            for (i64 c = wide; c < ACROSS; c++) to[c] = 0;
        }
    }
}

/* ROWS x ACROSS sums: start, or zeros, + sum over k of a[r * a_row + k * a_inner] b[k]. */
#define PRODUCT(ROWS)                                                                                                  \
    static inline void product_##ROWS(i64 inner, const real *restrict a, i64 a_row, i64 a_inner, const real *restrict b, \
                                   const real *start, i64 start_row, real *to, i64 to_row) {                           \
        vec sum[ROWS][2];                                                                                              \
        for (int r = 0; r < ROWS; r++)                                                                                 \
            for (int v = 0; v < 2; v++)                                                                                \
                sum[r][v] = start ? *(const vec *)(start + r * start_row + v * LANES) : (vec){0};                      \
        for (i64 k = 0; k < inner; k++, a += a_inner, b += ACROSS) {                                                   \
            const vec first = *(const vec *)b, second = *(const vec *)(b + LANES);                                     \
            for (int r = 0; r < ROWS; r++) sum[r][0] += a[r * a_row] * first, sum[r][1] += a[r * a_row] * second;      \
        }                                                                                                              \
        for (int r = 0; r < ROWS; r++)                                                                                 \
            for (int v = 0; v < 2; v++) *(vec *)(to + r * to_row + v * LANES) = sum[r][v];                             \
    }
PRODUCT(1)
#if REGISTERS == 32
PRODUCT(8)
enum { HIGH = 8 };
#define PRODUCT_HIGH product_8
#else
PRODUCT(4)
enum { HIGH = 4 };
#define PRODUCT_HIGH product_4
#endif

/* The tiles of some rows and one panel, of which `wide` columns are wanted. */
static void strip(i64 rows, i64 wide, i64 inner, const real *a, i64 a_row, i64 a_inner, const real *b, const real *start,
                  i64 start_row, real *to, i64 to_row) {
    real whole[HIGH * ACROSS], from[HIGH * ACROSS];
    for (i64 r = 0, high; r < rows; r += high, a += high * a_row, to += high * to_row) {
        high = rows - r >= HIGH ? HIGH : 1;
        const real *own = start ? start + r * start_row : 0;
        const i64 own_row = wide == ACROSS ? start_row : ACROSS, out_row = wide == ACROSS ? to_row : ACROSS;
        if (wide < ACROSS && own) {
            memset(from, 0, sizeof from);
            for (i64 i = 0; i < high; i++) memcpy(from + i * ACROSS, own + i * start_row, sizeof(real) * (size_t)wide);
            own = from;
        }
        real *out = wide == ACROSS ? to : whole;
        if (high == HIGH) PRODUCT_HIGH(inner, a, a_row, a_inner, b, own, own_row, out, out_row);
        else product_1(inner, a, a_row, a_inner, b, own, own_row, out, out_row);
        if (wide == ACROSS) continue;
        for (i64 i = 0; i < high; i++) memcpy(to + i * to_row, whole + i * ACROSS, sizeof(real) * (size_t)wide);
    }
}

/* Rows begin..end-1 of out [rows][outs] = bias, if any, + x [rows][inner] w, where w[k][o] is at k * w_inner + o * w_out;
 * scratch: inner numbers for each of panels(outs). */
void product(i64 begin, i64 end, i64 inner, i64 outs, i64 w_inner, i64 w_out, const real *x, const real *w,
             const real *bias, real *out, real *scratch) {
    pack(inner, outs, w, w_inner, w_out, scratch);
    for (i64 row = begin; row < end; row += STRIP) {
        const i64 rows = end - row < STRIP ? end - row : STRIP;
        for (i64 first = 0; first < outs; first += ACROSS) {
            const i64 wide = outs - first < ACROSS ? outs - first : ACROSS;
            real *to = out + row * outs + first;
            for (i64 k = 0; k < inner; k += DEEP) {
                const i64 deep = inner - k < DEEP ? inner - k : DEEP;
                const real *start = k ? to : bias ? bias + first : 0, *b = scratch + first * inner + k * ACROSS;
                strip(rows, wide, deep, x + row * inner + k, inner, 1, b, start, k ? outs : 0, to, outs);
            }
        }
    }
}

#undef PRODUCT
#undef PRODUCT_HIGH
