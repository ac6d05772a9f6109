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
enum { VECTOR = 16, BROAD = 2 * VECTOR }; /* sums of a vector, and columns of a tile */

/* A convolution of an image: sides, maps read and written, the kernel's sides, edges of zeros above and on the left. */
typedef struct { i64 height, width, inner, outs, rows, columns, top, left; } Filter;

/* One of several convolutions, each of the ReLU of the one before, over whole batches: see `_Link` of rectified.py.
 * Packed weights and biases, for the convolution and for its gradient, and sums of gradients per block are filled here. */
typedef struct {
    Filter filter, back;
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

/* max(x, 0); NaN stays, whatever its sign. */
static inline uint16_t positive(uint16_t x) { return x >= 0x8000 && x <= 0xff80 ? 0 : x; }

/* An image with its edges, [height + rows - 1][width + columns - 1][inner], of its ReLU if `rectify`. */
PAIRED static void bordered(const Filter *f, const uint16_t *restrict x, int rectify, uint16_t *restrict to) {
    const i64 across = (f->width + f->columns - 1) * f->inner, before = f->left * f->inner, own = f->width * f->inner;
    for (i64 y = 0; y < f->height + f->rows - 1; y++, to += across) {
        const i64 from = y - f->top;
        if (from < 0 || from >= f->height) { memset(to, 0, 2 * (size_t)across); continue; }
        memset(to, 0, 2 * (size_t)before), memset(to + before + own, 0, 2 * (size_t)(across - before - own));
        if (!rectify) memcpy(to + before, x + from * own, 2 * (size_t)own);
        else
            for (i64 i = 0; i < own; i++) to[before + i] = positive(x[from * own + i]);
    }
}

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
                pairs_##ROWS(f->inner / 2, (const pair *)(image + y * across + x * f->inner), f->inner / 2, 1,      \
                             weight, sum);                                                                             \
        for (int r = 0; r < ROWS; r++)                                                                                 \
            for (int v = 0; v < 2; v++) stored(sum[r][v], wide - v * VECTOR, r * f->outs + v * VECTOR, gate, added, out); \
    }

/* Round `many` sums, set to 0 where `gate` has no ReLU, after adding `added`. */
PAIRED static inline void stored(__m512 sum, i64 many, i64 at, const uint16_t *gate, const uint16_t *added, uint16_t *out) {
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

/* An image's convolution or, if `rectify`, that of its ReLU, with weights [panel][tap][inner / 2][BROAD][2] and biases
 * of whole panels; then 0 where `gate` is not positive, and plus `added`: [outs], like `out`, or null. */
PAIRED static void convolved(const Filter *f, int rectify, const uint16_t *x, const uint16_t *weight, const float *bias,
                             const uint16_t *gate, const uint16_t *added, uint16_t *out, uint16_t *scratch) {
    const int copied = rectify || f->rows * f->columns > 1;
    const uint16_t *image = copied ? scratch : x;
    if (copied) bordered(f, x, rectify, scratch);
    const i64 across = (f->width + f->columns - 1) * f->inner;
    for (i64 first = 0; first < f->outs; first += BROAD) {
        const uint16_t *panel = weight + first * f->rows * f->columns * f->inner;
        for (i64 y = 0; y < f->height; y++)
            for (i64 column = 0, many; column < f->width; column += many) {
                const i64 at = (y * f->width + column) * f->outs + first, left = f->width - column;
                const uint16_t *from = image + y * across + column * f->inner;
                const uint16_t *held = gate ? gate + at : 0, *more = added ? added + at : 0;
                many = left >= 8 ? 8 : left >= 4 ? 4 : 1;
                (many == 8 ? sites_8 : many == 4 ? sites_4 : sites_1)(f, from, across, panel, bias + first, f->outs - first,
                                                                    held, more, out + at);
            }
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

/* Pairs of neighbouring sites from a row of `sites`, [panel][(sites - shift) / 2, rounded up][BROAD][2], panels `far`
 * apart; beyond the row and the maps they are 0. */
PAIRED static void neighbours(i64 sites, i64 maps, i64 shift, const uint16_t *restrict row, uint16_t *restrict to, i64 far) {
    for (i64 first = 0; first < maps; first += BROAD, to += far) {
        const i64 wide = maps - first < BROAD ? maps - first : BROAD;
        uint16_t *own = to;
        for (i64 s = shift; s < sites; s += 2, own += 2 * BROAD) {
            const uint16_t *one = row + s * maps + first;
            if (wide < BROAD) memset(own, 0, 4 * BROAD);
            if (s + 1 < sites)
                for (i64 c = 0; c < wide; c++) own[2 * c] = one[c], own[2 * c + 1] = one[maps + c];
            else
                for (i64 c = 0; c < wide; c++) own[2 * c] = one[c], own[2 * c + 1] = 0;
        }
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

/* Add an image's gradients of weights to [taps][outs][panels of inner], and of biases to [outs], from that of the result. */
PAIRED static void weighed(const Filter *f, const uint16_t *x, const uint16_t *given, float *to, float *to_bias, uint16_t *image) {
    const i64 wide = f->width + f->columns - 1, tall = f->height + f->rows - 1, sites = f->height * f->width;
    const i64 pairs = (f->width + 1) / 2, held = (wide + 1) / 2 + 1, row = held * 2 * BROAD, far = tall * row;
    const i64 deep = (f->inner + BROAD - 1) / BROAD, taps = f->rows * f->columns, line = pairs * 2 * BROAD;
    uint16_t *even = image + tall * wide * f->inner, *odd = even + deep * far, *slopes = odd + (f->columns > 1 ? deep * far : 0);
    bordered(f, x, 1, image);
    for (i64 y = 0; y < tall; y++)
        for (i64 shift = 0; shift < (f->columns > 1 ? 2 : 1); shift++)
            neighbours(wide, f->inner, shift, image + y * wide * f->inner, (shift ? odd : even) + y * row, far);
    for (i64 y = 0; y < f->height; y++)
        neighbours(f->width, f->outs, 0, given + y * f->width * f->outs, slopes + y * line, f->height * line);
    for (i64 s = 0; s < sites; s++)
        for (i64 o = 0; o < f->outs; o++) {
            Bits value;
            value.i = (int32_t)((uint32_t)given[s * f->outs + o] << 16), to_bias[o] += value.f;
        }
    for (i64 tap = 0; tap < taps; tap++) {
        const i64 dy = tap / f->columns, dx = tap % f->columns;
        for (i64 d = 0; d < deep; d++) {
            const uint16_t *b = (dx % 2 ? odd : even) + d * far + dy * row + dx / 2 * 2 * BROAD;
            for (i64 o = 0, rows; o < f->outs; o += rows) {
                const uint16_t *a = slopes + o / BROAD * f->height * line + o % BROAD * 2;
                float *into = to + ((tap * f->outs + o) * deep + d) * BROAD;
                rows = f->outs - o >= 8 ? 8 : 1;
                (rows == 8 ? weights_8 : weights_1)(f->height, pairs, a, line, b, row, into, deep * BROAD);
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

/* Images begin..end-1 through all convolutions; the last result is plus the first image, if `added`. */
void rectified(i64 begin, i64 end, i64 count, const Link *links, i64 added, uint16_t *scratch) {
    for (i64 image = begin; image < end; image++)
        for (const Link *l = links; l < links + count; l++) {
            const Filter *f = &l->filter;
            const i64 sites = f->height * f->width;
            const uint16_t *more = added && l == links + count - 1 ? links->x + image * sites * links->filter.inner : 0;
            convolved(f, 1, l->x + image * sites * f->inner, l->packed, l->biases, 0, more, l->out + image * sites * f->outs, scratch);
        }
}

/* The same backwards for blocks begin..end-1 of `block` images, from the gradient of the last result: that of the first
 * image in `out`, and each block's sums for weights and biases. `room`: numbers of one gradient in the scratch memory. */
void rectified_back(i64 begin, i64 end, i64 count, const Link *links, i64 added, i64 block, i64 images,
                    const uint16_t *given, uint16_t *out, i64 room, uint16_t *scratch) {
    for (i64 one = begin; one < end; one++)
        for (i64 image = one * block; image < (one + 1) * block && image < images; image++) {
            const uint16_t *slopes = 0, *whole = 0;
            for (const Link *l = links + count - 1; l >= links; l--) {
                const Filter *f = &l->filter;
                const i64 sites = f->height * f->width, deep = (f->inner + BROAD - 1) / BROAD * BROAD;
                const i64 size = f->rows * f->columns * f->outs * deep;
                float *sums = l->sums + one * (size + f->outs);
                const uint16_t *x = l->x + image * sites * f->inner;
                if (!slopes) slopes = whole = given + image * sites * f->outs;
                if (image == one * block) memset(sums, 0, sizeof(float) * (size_t)(size + f->outs));
                weighed(f, x, slopes, sums, sums + size, scratch + 2 * room);
                uint16_t *to = l == links ? out + image * sites * f->inner : scratch + (l - links) % 2 * room;
                convolved(&l->back, 0, slopes, l->packed_back, l->zeros, x, added && l == links ? whole : 0, to, scratch + 2 * room);
                slopes = to;
            }
        }
}

/* Gradients of weights, laid out like these, and of biases: the blocks' sums, added up in their order. */
void rectified_sums(i64 count, const Link *links, i64 blocks) {
    for (const Link *l = links; l < links + count; l++) {
        const Filter *f = &l->filter;
        const i64 taps = f->rows * f->columns, deep = (f->inner + BROAD - 1) / BROAD * BROAD, size = taps * f->outs * deep;
        for (i64 block = 0; block < blocks; block++) {
            const float *sums = l->sums + block * (size + f->outs);
            for (i64 o = 0; o < f->outs; o++) {
                for (i64 tap = 0; tap < taps; tap++)
                    for (i64 i = 0; i < f->inner; i++) {
                        float *to = l->to_weight + (o * f->inner + i) * taps + tap;
                        *to = (block ? *to : 0) + sums[(tap * f->outs + o) * deep + i];
                    }
                l->to_bias[o] = (block ? l->to_bias[o] : 0) + sums[size + o];
            }
        }
    }
}
#undef PAIR_TILE
#undef SITE_TILE
#undef WEIGHT_TILE
#endif
#endif
