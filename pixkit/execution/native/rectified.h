/* Convolutions of ReLUs for training on a CPU in bfloat16, and their gradients, where the processor multiplies pairs of
 * bfloat16 numbers. Images have the maps of a site side by side; results have the image's height and width.
 *
 * Products are of pairs of neighbouring maps or, in the weights' gradient, sites: `dpbf16` adds two of them to each of 16
 * float32 sums. What is read is packed for that first, image by image, with edges of zeros. Part of kernel.c.
 */
#if defined(__x86_64__) && defined(__has_include)
#if __has_include(<avx512bf16intrin.h>)
#define IN_PAIRS
#include <immintrin.h>
#define PAIRED __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
typedef int32_t pair __attribute__((may_alias)); /* of bfloat16 numbers */
enum { VECTOR = 16, BROAD = 2 * VECTOR, NEARBY = 112 }; /* sums of a vector, columns of a tile, sites of a strip */

/* A convolution of an image: sides, maps read and written, the kernel's sides, edges of zeros above and on the left,
 * and bits of the taps that are used. */
typedef struct { i64 height, width, inner, outs, rows, columns, top, left, used; } Filter;

static inline int used(const Filter *f, i64 tap) { return tap > 62 || (f->used >> tap & 1); }

/* One of several convolutions, each of the ReLU of what is before it, over whole batches: see `_Link` of rectified.py.
 * Packed weights and biases, for the convolution and for its gradient, and sums of gradients per block are filled here. */
typedef struct {
    Filter filter, back;
    i64 added; /* at the end of a block, its convolutions: what the first of them reads is added; else 0 */
    const float *weight, *bias; /* [outs][inner][taps]; [outs], or null */
    const uint16_t *x;
    uint16_t *out, *packed, *packed_back;
    float *biases, *zeros, *sums, *to_weight, *to_bias;
} Link;

static inline uint16_t to_half(float value) {
    Bits held;
    held.f = value;
    const uint32_t bits = (uint32_t)held.i;
    return value != value ? 0x7fc0 : (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* max(x, 0) of 32 numbers; NaN stays, whatever its sign. */
PAIRED static inline __m512i positive(__m512i x) {
    return _mm512_maskz_mov_epi16(_mm512_cmpgt_epi16_mask(x, _mm512_set1_epi16((short)0xff80)), x);
}

/* `count` numbers or, if `rectify`, their ReLUs. */
PAIRED static void copied(i64 count, const uint16_t *restrict x, int rectify, uint16_t *restrict to) {
    if (!rectify) { memcpy(to, x, 2 * (size_t)count); return; }
    i64 i = 0;
    for (; i + 32 <= count; i += 32) _mm512_storeu_si512(to + i, positive(_mm512_loadu_si512(x + i)));
    const __mmask32 rest = (__mmask32)((1u << (count - i)) - 1);
    if (rest) _mm512_mask_storeu_epi16(to + i, rest, positive(_mm512_maskz_loadu_epi16(rest, x + i)));
}

/* Rows of an image with its edges, [many][width + columns - 1][inner], of its ReLU if `rectify`; y counts edges. */
PAIRED static void bordered(const Filter *f, i64 y, i64 many, const uint16_t *x, int rectify, uint16_t *to) {
    const i64 across = (f->width + f->columns - 1) * f->inner, before = f->left * f->inner, own = f->width * f->inner;
    for (const i64 end = y + many; y < end; y++, to += across) {
        const i64 from = y - f->top;
        if (from < 0 || from >= f->height) { memset(to, 0, 2 * (size_t)across); continue; }
        memset(to, 0, 2 * (size_t)before), memset(to + before + own, 0, 2 * (size_t)(across - before - own));
        copied(own, x + from * own, rectify, to + before);
    }
}

/* The rows, or of a single one the sites, that are worked on together, so that copies stay in the first cache. */
static inline i64 nearby(i64 sites) { return sites < NEARBY ? NEARBY / sites : 1; }

/* ROWS x BROAD sums over `count` pairs, of a[r * a_row + k * a_pair] b[k][BROAD]; pairs are 32 bits. */
#define PAIR_TILE(ROWS)                                                                                                \
    PAIRED static inline __attribute__((always_inline)) void pairs_##ROWS(                                             \
        i64 count, const pair *a, i64 a_row, i64 a_pair, const uint16_t *b, __m512 sum[ROWS][2]) {                  \
        for (i64 k = 0; k < count; k++, a += a_pair, b += 2 * BROAD) {                                                 \
            const __m512bh first = (__m512bh)_mm512_loadu_si512(b), second = (__m512bh)_mm512_loadu_si512(b + BROAD);  \
            for (int r = 0; r < ROWS; r++) {                                                                           \
                const __m512bh own = (__m512bh)_mm512_set1_epi32(a[r * a_row]);                                        \
                sum[r][0] = _mm512_dpbf16_ps(sum[r][0], own, first);                                                   \
                sum[r][1] = _mm512_dpbf16_ps(sum[r][1], own, second);                                                  \
            }                                                                                                          \
        }                                                                                                              \
    }

/* Results of ROWS neighbouring sites and BROAD maps, of which `wide` are stored. */
#define SITE_TILE(ROWS)                                                                                                \
    PAIR_TILE(ROWS)                                                                                                    \
    PAIRED static void sites_##ROWS(const Filter *f, const uint16_t *image, i64 across, const uint16_t *weight,        \
                                    const float *bias, i64 wide, const uint16_t *gate, const uint16_t *added,          \
                                    uint16_t *out) {                                                                   \
        __m512 sum[ROWS][2];                                                                                           \
        for (int r = 0; r < ROWS; r++) sum[r][0] = _mm512_loadu_ps(bias), sum[r][1] = _mm512_loadu_ps(bias + VECTOR);  \
        for (i64 y = 0; y < f->rows; y++)                                                                              \
            for (i64 x = 0; x < f->columns; x++, weight += f->inner * BROAD)                                           \
                if (used(f, y * f->columns + x)) pairs_##ROWS(f->inner / 2, (const pair *)(image + y * across + x * f->inner), f->inner / 2, 1,      \
                             weight, sum);                                                                             \
        if (wide >= BROAD) {                                                                                           \
            _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; r++) {                                                   \
                stored(sum[r][0], VECTOR, r * f->outs, gate, added, out);                                              \
                stored(sum[r][1], VECTOR, r * f->outs + VECTOR, gate, added, out);                                     \
            }                                                                                                          \
        } else                                                                                                         \
            _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; r++) {                                                   \
                stored(sum[r][0], wide, r * f->outs, gate, added, out);                                                \
                stored(sum[r][1], wide - VECTOR, r * f->outs + VECTOR, gate, added, out);                              \
            }                                                                                                          \
    }

/* Round `many` sums, set to 0 where `gate` has no ReLU, after adding `added`. */
PAIRED static inline __attribute__((always_inline)) void stored(__m512 sum, i64 many, i64 at, const uint16_t *gate, const uint16_t *added, uint16_t *out) {
    if (many <= 0) return;
    const int full = many >= VECTOR; /* plain loads and stores are much faster than masked ones of 16 bits */
    const __mmask16 wanted = full ? 0xffff : (__mmask16)((1 << many) - 1);
    if (gate) {
        const __m256i held = full ? _mm256_loadu_si256((const __m256i *)(gate + at)) : _mm256_maskz_loadu_epi16(wanted, gate + at);
        const __m256i least = _mm256_set1_epi16((short)0xff80);
        sum = _mm512_maskz_mov_ps(_mm256_cmpgt_epi16_mask(held, _mm256_setzero_si256()) | _mm256_cmpgt_epu16_mask(held, least), sum);
    }
    if (added) {
        const __m256i more = full ? _mm256_loadu_si256((const __m256i *)(added + at)) : _mm256_maskz_loadu_epi16(wanted, added + at);
        sum = _mm512_add_ps(sum, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(more), 16)));
    }
    const __m256i half = (__m256i)_mm512_cvtneps_pbh(sum);
    if (full) _mm256_storeu_si256((__m256i *)(out + at), half);
    else _mm256_mask_storeu_epi16(out + at, wanted, half);
}
SITE_TILE(8) SITE_TILE(4) SITE_TILE(1)

/* Sites first..last-1 of a result's row from `image`, a copy that begins at the row's edge, of which a row is `across`. */
PAIRED static void row_of(const Filter *f, i64 first, i64 last, const uint16_t *image, i64 across, const uint16_t *weight,
                          const float *bias, const uint16_t *gate, const uint16_t *added, uint16_t *out) {
    for (i64 panel = 0; panel < f->outs; panel += BROAD, weight += BROAD * f->rows * f->columns * f->inner)
        for (i64 column = first, many; column < last; column += many) {
            const i64 at = column * f->outs + panel, left = last - column;
            many = left >= 8 ? 8 : left >= 4 ? 4 : 1;
            (many == 8 ? sites_8 : many == 4 ? sites_4 : sites_1)(f, image + (column - first) * f->inner, across, weight,
                                                                bias + panel, f->outs - panel, gate ? gate + at : 0,
                                                                added ? added + at : 0, out + at);
        }
}

/* An image's convolution or, if `rectify`, that of its ReLU, with weights [panel][tap][inner / 2][BROAD][2] and biases
 * of whole panels; then 0 where `gate` is not positive, and plus `added`: [outs], like `out`, or null. */
PAIRED static void convolved(const Filter *f, int rectify, const uint16_t *x, const uint16_t *weight, const float *bias,
                             const uint16_t *gate, const uint16_t *added, uint16_t *out, uint16_t *scratch) {
    const i64 across = (f->width + f->columns - 1) * f->inner, row = f->width * f->outs, tall = nearby(f->width);
    if (f->rows * f->columns == 1) {
        for (i64 first = 0, sites = f->height * f->width; first < sites; first += NEARBY) {
            const i64 last = sites - first < NEARBY ? sites : first + NEARBY;
            if (rectify) copied((last - first) * f->inner, x + first * f->inner, 1, scratch);
            row_of(f, first, last, rectify ? scratch : x + first * f->inner, 0, weight, bias, gate, added, out);
        }
        return;
    }
    for (i64 y = 0; y < f->height; y++) {
        if (y % tall == 0) bordered(f, y, (f->height - y < tall ? f->height - y : tall) + f->rows - 1, x, rectify, scratch);
        row_of(f, 0, f->width, scratch + y % tall * across, across, weight, bias, gate ? gate + y * row : 0,
               added ? added + y * row : 0, out + y * row);
    }
}

/* Weights [outs][inner][taps], or those of the gradient, whose maps and taps change places, as `rectified` reads them. */
static void paired_weights(i64 outs, i64 inner, i64 taps, int back, const float *weight, uint16_t *to) {
    const i64 ins = back ? outs : inner, many = back ? inner : outs;
    for (i64 panel = 0; panel * BROAD < many; panel++)
        for (i64 tap = 0; tap < taps; tap++)
            for (i64 i = 0; i < ins; i++)
                for (i64 c = 0; c < BROAD; c++) {
                    const i64 o = panel * BROAD + c;
                    const float *from = back ? weight + (i * inner + o) * taps + taps - 1 - tap : weight + (o * inner + i) * taps + tap;
                    to[(((panel * taps + tap) * (ins / 2) + i / 2) * BROAD + c) * 2 + i % 2] = o < many ? to_half(*from) : 0;
                }
}

/* 16 float32 numbers of 32 of half as many bits, the first or the last. */
#define HALF_OF(x, which)                                                                                              \
    _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(x, which)), 16))

/* `many` pairs of neighbouring sites, [panel][many][BROAD][2], panels `far` apart, the first pair at `first`; beyond the
 * row's `sites`, of which `row` is null or the first, and beyond its maps they are 0. Of ReLUs if `rectify`; sums, if not
 * null, get each map's sum. */
PAIRED static void neighbours(i64 sites, i64 maps, i64 first, i64 many, const uint16_t *row, int rectify, uint16_t *to,
                              i64 far, float *sums) {
    uint16_t order[2 * BROAD];
    for (int i = 0; i < 2 * BROAD; i++) order[i] = (uint16_t)(i / 2 + i % 2 * BROAD);
    const __m512i low = _mm512_loadu_si512(order), high = _mm512_loadu_si512(order + BROAD), none = _mm512_setzero_si512();
    for (i64 panel = 0; panel < maps; panel += BROAD, to += far) {
        const __mmask32 wide = maps - panel < BROAD ? (__mmask32)((1u << (maps - panel)) - 1) : 0xffffffff;
        __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
        if (sums) sum[0] = _mm512_loadu_ps(sums + panel), sum[1] = _mm512_loadu_ps(sums + panel + VECTOR);
        for (i64 k = 0, s = first; k < many; k++, s += 2) {
            const i64 at = s * maps + panel;
            __m512i one = row && s >= 0 && s < sites ? _mm512_maskz_loadu_epi16(wide, row + at) : none;
            __m512i two = row && s + 1 >= 0 && s + 1 < sites ? _mm512_maskz_loadu_epi16(wide, row + at + maps) : none;
            if (rectify) one = positive(one), two = positive(two);
            if (sums) {
                sum[0] = _mm512_add_ps(_mm512_add_ps(sum[0], HALF_OF(one, 0)), HALF_OF(two, 0));
                sum[1] = _mm512_add_ps(_mm512_add_ps(sum[1], HALF_OF(one, 1)), HALF_OF(two, 1));
            }
            _mm512_storeu_si512(to + k * 2 * BROAD, _mm512_permutex2var_epi16(one, low, two));
            _mm512_storeu_si512(to + k * 2 * BROAD + BROAD, _mm512_permutex2var_epi16(one, high, two));
        }
        if (sums) _mm512_storeu_ps(sums + panel, sum[0]), _mm512_storeu_ps(sums + panel + VECTOR, sum[1]);
    }
}

/* Some rows of a weight's gradient, in place, from an image's pairs. */
#define WEIGHT_TILE(ROWS)                                                                                              \
    PAIRED static void weights_##ROWS(i64 height, i64 pairs, const uint16_t *given, i64 given_row, const uint16_t *b,  \
                                      i64 b_row, float *to, i64 to_row) {                                              \
        __m512 sum[ROWS][2];                                                                                           \
        for (int r = 0; r < ROWS; r++)                                                                                 \
            for (int v = 0; v < 2; v++) sum[r][v] = _mm512_loadu_ps(to + r * to_row + v * VECTOR);                     \
        for (i64 y = 0; y < height; y++)                                                                               \
            pairs_##ROWS(pairs, (const pair *)(given + y * given_row), 1, BROAD, b + y * b_row, sum);               \
        for (int r = 0; r < ROWS; r++)                                                                                 \
            for (int v = 0; v < 2; v++) _mm512_storeu_ps(to + r * to_row + v * VECTOR, sum[r][v]);                     \
    }
WEIGHT_TILE(8) WEIGHT_TILE(1)

/* Add an image's gradients of weights to [taps][outs][panels of inner], and of biases to [panels of outs], from that of
 * the result, strip by strip: rows or, of a kernel of one tap, sites of the only row. */
PAIRED static void weighed(const Filter *f, const uint16_t *x, const uint16_t *given, float *to, float *to_bias, uint16_t *scratch) {
    const i64 taps = f->rows * f->columns, deep = (f->inner + BROAD - 1) / BROAD, odd = f->columns > 1;
    const i64 span = taps == 1 && f->width > NEARBY ? NEARBY : f->width, tall = nearby(span);
    const i64 pairs = (span + 1) / 2, line = pairs * 2 * BROAD, held = pairs + f->columns / 2, row = held * 2 * BROAD;
    const i64 far = (tall + f->rows - 1) * row;
    uint16_t *sides[2] = {scratch, scratch + deep * far}, *slopes = scratch + (1 + odd) * deep * far;
    for (i64 y = 0; y < f->height; y += tall)
        for (i64 first = 0; first < f->width; first += span) {
            const i64 rows = f->height - y < tall ? f->height - y : tall, last = first + span < f->width ? first + span : f->width;
            for (i64 r = 0; r < rows + f->rows - 1; r++) {
                const i64 from = y + r - f->top;
                const uint16_t *own = from < 0 || from >= f->height ? 0 : x + from * f->width * f->inner;
                for (i64 side = 0; side <= odd; side++)
                    neighbours(f->width, f->inner, first + side - f->left, held, own, 1, sides[side] + r * row, far, 0);
            }
            for (i64 r = 0; r < rows; r++)
                neighbours(last, f->outs, first, pairs, given + (y + r) * f->width * f->outs, 0, slopes + r * line, tall * line, to_bias);
            for (i64 tap = 0; tap < taps; tap++) {
                const i64 dy = tap / f->columns, dx = tap % f->columns;
                if (!used(f, tap)) continue;
                for (i64 d = 0; d < deep; d++) {
                    const uint16_t *b = sides[dx % 2] + d * far + dy * row + dx / 2 * 2 * BROAD;
                    for (i64 o = 0, many; o < f->outs; o += many) {
                        const uint16_t *a = slopes + o / BROAD * tall * line + o % BROAD * 2;
                        float *into = to + ((tap * f->outs + o) * deep + d) * BROAD;
                        many = f->outs - o >= 8 ? 8 : 1;
                        (many == 8 ? weights_8 : weights_1)(rows, pairs, a, line, b, row, into, deep * BROAD);
                    }
                }
            }
        }
}

/* Pack the weights and biases of `count` convolutions, which all images share. */
void rectified_packed(i64 count, const Link *links) {
    for (const Link *l = links; l < links + count; l++) {
        const Filter *f = &l->filter;
        const i64 taps = f->rows * f->columns;
        paired_weights(f->outs, f->inner, taps, 0, l->weight, l->packed);
        paired_weights(f->outs, f->inner, taps, 1, l->weight, l->packed_back);
        memset(l->biases, 0, sizeof(float) * (size_t)((f->outs + BROAD - 1) / BROAD * BROAD));
        memset(l->zeros, 0, sizeof(float) * (size_t)((f->inner + BROAD - 1) / BROAD * BROAD));
        if (l->bias) memcpy(l->biases, l->bias, sizeof(float) * (size_t)f->outs);
    }
}

static i64 broad(i64 maps) { return (maps + BROAD - 1) / BROAD * BROAD; }
/* Sums of a block of images for weights; after them, as many as `broad` says for biases. */
static i64 sums_of(const Filter *f) { return f->rows * f->columns * f->outs * broad(f->inner); }

/* Images begin..end-1 through all convolutions. */
void rectified(i64 begin, i64 end, i64 count, const Link *links, uint16_t *scratch) {
    for (i64 image = begin; image < end; image++)
        for (const Link *l = links; l < links + count; l++) {
            const Filter *f = &l->filter;
            const i64 sites = f->height * f->width;
            const uint16_t *more = l->added ? (l + 1 - l->added)->x + image * sites * f->outs : 0;
            convolved(f, 1, l->x + image * sites * f->inner, l->packed, l->biases, 0, more, l->out + image * sites * f->outs, scratch);
        }
}

/* The same backwards for blocks begin..end-1 of `block` images, from the gradient of the last result: that of the first
 * image in `out`, and each block's sums for weights and biases. `room`: numbers of one gradient in the scratch memory. */
void rectified_back(i64 begin, i64 end, i64 count, const Link *links, i64 block, i64 images, const uint16_t *given,
                    uint16_t *out, i64 room, uint16_t *scratch) {
    for (i64 one = begin; one < end; one++)
        for (i64 image = one * block; image < (one + 1) * block && image < images; image++) {
            const uint16_t *slopes = 0, *whole = 0;
            const Link *start = 0; /* of the block that ends with `whole` */
            for (const Link *l = links + count - 1; l >= links; l--) {
                const Filter *f = &l->filter;
                const i64 sites = f->height * f->width, size = sums_of(f), all = size + broad(f->outs);
                float *sums = l->sums + one * all;
                const uint16_t *x = l->x + image * sites * f->inner;
                if (!slopes) slopes = given + image * sites * f->outs;
                if (l->added) whole = slopes, start = l + 1 - l->added;
                if (image == one * block) memset(sums, 0, sizeof(float) * (size_t)all);
                weighed(f, x, slopes, sums, sums + size, scratch + 3 * room);
                uint16_t *to = scratch;
                while (to == slopes || to == whole) to += room;
                if (l == links) to = out + image * sites * f->inner;
                convolved(&l->back, 0, slopes, l->packed_back, l->zeros, x, l == start ? whole : 0, to, scratch + 3 * room);
                slopes = to;
            }
        }
}

/* Gradients of weights, laid out like these, and of biases: the blocks' sums, added up in their order. */
void rectified_sums(i64 count, const Link *links, i64 blocks) {
    for (const Link *l = links; l < links + count; l++) {
        const Filter *f = &l->filter;
        const i64 taps = f->rows * f->columns, deep = broad(f->inner), size = sums_of(f), all = size + broad(f->outs);
        for (i64 block = 1; block < blocks; block++)
            for (i64 i = 0; i < all; i++) l->sums[i] += l->sums[block * all + i];
        for (i64 o = 0; o < f->outs; o++)
            for (i64 i = 0; i < f->inner; i++)
                for (i64 tap = 0; tap < taps; tap++)
                    l->to_weight[(o * f->inner + i) * taps + tap] = l->sums[(tap * f->outs + o) * deep + i];
        memcpy(l->to_bias, l->sums + size, sizeof(float) * (size_t)f->outs);
    }
}
#undef HALF_OF
#undef PAIR_TILE
#undef SITE_TILE
#undef WEIGHT_TILE
#endif
#endif
