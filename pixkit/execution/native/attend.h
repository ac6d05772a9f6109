/* Attention over keys and values that are kept in the order in which they are read. Part of kernel.c.
 *
 * For each image and head, keys are kept as [block of WIDE sites][map][site of the block], so that a vector has one map
 * of WIDE sites, and values as [site][map]; sites are in the order of the table, which `place` counts. A query sees the
 * places from `low` to `high` - 1, or those among them whose bias is not minus infinity. The first query to see a site
 * stores its key and value.
 */
enum { ABREAST = 4 }; /* heads whose sums are accumulated side by side */

typedef struct {
    i64 places;        /* in a head's memory, a multiple of WIDE */
    i64 values;        /* numbers in a head's values at a site, a multiple of WIDE */
    real *key, *value; /* for an image's first head */
} Memory;

static Memory memory(const Program *p, const Op *op, i64 image) {
    const Buffer *keys = p->buffers + op->keys, *values = p->buffers + op->values;
    return (Memory){keys->maps, values->maps, keys->data + image * keys->row, values->data + image * values->row};
}

/* Store keys and values, for some of the heads, of the sites that the query at `site` is the first to see. */
static void take_in(const Program *p, const Op *op, i64 position, i64 site, i64 image, Part part) {
    const Buffer *keys = p->buffers + op->in1, *values = p->buffers + op->in2;
    const i32 *first = op->table + op->grid + 2 * (i64)op->queries, *fresh = first + op->queries + 1;
    const Memory m = memory(p, op, image);
    const i32 start = op->taps * part.number / part.parts, end = op->taps * (part.number + 1) / part.parts;
    for (i32 i = first[site]; i < first[site + 1]; i++) {
        const i64 place = fresh[i], source = op->table[place];
        const real *key = at(keys, position, source, image, 0), *value = at(values, position, source, image, 0);
        for (i32 head = start; head < end; head++) {
            real *to = m.key + (head * m.places + place / WIDE * WIDE) * op->inner + place % WIDE;
            for (i32 k = 0; k < op->inner; k++) to[k * WIDE] = key[head * op->inner + k];
            memcpy(m.value + (head * m.places + place) * m.values, value + head * op->count, sizeof(real) * (size_t)op->count);
        }
    }
}

/* Products of a query with LANES of a block's WIDE keys. Every WIDE-th map is added up first. */
static inline vec products(const real *query, const real *key, i32 inner) {
    vec sum = {0};
    const i32 whole = inner / WIDE * WIDE;
    for (i32 lane = 0; lane < WIDE && whole; lane += 4) {
        vec a = {0}, b = {0}, c = {0}, d = {0};
        for (i32 k = lane; k < whole; k += WIDE) {
            const real *next = key + k * WIDE;
            a += query[k] * *(const vec *)next, b += query[k + 1] * *(const vec *)(next + WIDE);
            c += query[k + 2] * *(const vec *)(next + 2 * WIDE), d += query[k + 3] * *(const vec *)(next + 3 * WIDE);
        }
        sum += a, sum += b, sum += c, sum += d;
    }
    for (i32 k = whole; k < inner; k++) sum += query[k] * *(const vec *)(key + k * WIDE);
    return sum;
}

typedef struct { const real *share, *value; real *y; } Head;

/* y[V vectors] = the weighted sum of values, of H heads side by side: memory serves several streams faster. */
#define MEAN(H, V)                                                                                                     \
    static void mean_##H##_##V(const Head *heads, i64 m, i64 stride, i64 count) {                                      \
        vec sum[H][V]  = {{{0}}};                                                                                      \
        for (i64 j = 0; j < count; j++)                                                                                \
            for (int h = 0; h < H; h++) {                                                                              \
                const real share = heads[h].share[j];                                                                  \
                const vec *value = (const vec *)(heads[h].value + m + j * stride);                                   \
                for (int v = 0; v < V; v++) sum[h][v] += share * value[v];                                             \
            }                                                                                                          \
        for (int h = 0; h < H; h++)                                                                                    \
            for (int v = 0; v < V; v++) ((vec *)(heads[h].y + m))[v] = sum[h][v];                                     \
    }
MEAN(1, 1) MEAN(1, 2) MEAN(1, 4) MEAN(2, 1) MEAN(2, 2) MEAN(2, 4) MEAN(4, 1) MEAN(4, 2) MEAN(4, 4)

/* For 1, 2 or 4 heads. */
static void mean(const Head *heads, i32 abreast, i64 stride, i64 count) {
    for (i64 m = 0, taken; m < stride; m += taken) {
        const i64 left = (stride - m) / LANES, vectors = left >= 4 && REGISTERS > 16 ? 4 : left >= 2 ? 2 : 1;
        taken = vectors * LANES;
#define TAKE(H) (vectors == 4 ? mean_##H##_4 : vectors == 2 ? mean_##H##_2 : mean_##H##_1)
        (abreast == 4 ? TAKE(4) : abreast == 2 ? TAKE(2) : TAKE(1))(heads, m, stride, count);
    }
}

static real largest(const real *x, i64 count) {
    real most[WIDE];
    for (int i = 0; i < WIDE; i++) most[i] = x[0];
    i64 j = 0;
    for (; j + WIDE <= count; j += WIDE)
        for (int i = 0; i < WIDE; i++) most[i] = x[j + i] > most[i] ? x[j + i] : most[i];
    for (; j < count; j++) most[0] = x[j] > most[0] ? x[j] : most[0];
    for (int i = 1; i < WIDE; i++) most[0] = most[i] > most[0] ? most[i] : most[0];
    return most[0];
}

/* Turn the logits of `count` values into weights that sum to 1, for some heads. */
static void softmax(real *weight, i64 stride, i32 heads, i64 count, i32 masked) {
    for (i32 h = 0; h < heads; h++) {
        real *own = weight + h * stride;
        const real most = largest(own, count);
        if (masked) for (i64 j = 0; j < count; j++) own[j] = own[j] > -INFINITY ? exp_(own[j] - most) : 0;
        else for (i64 j = 0; j < count; j++) own[j] = exp_(own[j] - most);
    }
    const real *a = weight, *b = a + (heads > 1) * stride, *c = b + (heads > 2) * stride, *d = c + (heads > 3) * stride;
    real total[ABREAST] = {0};
    for (i64 j = 0; j < count; j++) total[0] += a[j], total[1] += b[j], total[2] += c[j], total[3] += d[j];
    for (i32 h = 0; h < heads; h++) {
        const real own = total[h];
        for (i64 j = 0; j < count; j++) weight[h * stride + j] /= own;
    }
}

/* The mean of the visible sites' values, weighted by a softmax of query . key; zeros where none is visible. */
static void attend(const Program *p, const Op *op, const Buffer *out, i64 position, i64 site, i64 first, i64 rows, Part part) {
    const Buffer *queries = p->buffers + op->in0;
    const i32 *seen = op->table + op->grid + 2 * site;
    const i64 low = seen[0], count = seen[1] - low, start = low / WIDE * WIDE, before = low - start;
    const i64 stride = (seen[1] - start + WIDE - 1) / WIDE * WIDE;
    real weight[ABREAST * (stride > 0 ? stride : 1)], mixed[ABREAST * (op->count + WIDE)];
    const i32 last = op->taps * (part.number + 1) / part.parts; /* of this thread's share of the heads */
    for (i64 r = first; r < first + rows; r++) {
        const Memory own = memory(p, op, r);
        take_in(p, op, position, site, r, part);
        for (i32 head = op->taps * part.number / part.parts, heads; head < last; head += heads) {
            const i32 left = last - head;
            heads = left >= ABREAST ? ABREAST : left >= 2 ? 2 : 1;
            real *y = at(out, position, site, r, 0) + head * op->count;
            if (count <= 0) { memset(y, 0, sizeof(real) * (size_t)(heads * op->count)); continue; }
            const real *query = at(queries, position, site, r, 0) + head * op->inner;
            for (i64 j = 0; j < stride; j += WIDE)
                for (i32 h = 0; h < heads; h++) {
                    const real *key = own.key + ((head + h) * own.places + start + j) * op->inner;
                    real *to = weight + h * stride + j;
                    for (i32 lane = 0; lane < WIDE; lane += (i32)LANES)
                        *(vec *)(to + lane) = (real)op->alpha * products(query + h * op->inner, key + lane, op->inner);
                }
            if (op->bias)
                for (i32 h = 0; h < heads; h++) {
                    const real *added = op->bias + ((head + h) % op->width * (i64)op->queries + site) * op->grid + low;
                    for (i64 j = 0; j < count; j++) weight[h * stride + before + j] += added[j];
                }
            softmax(weight + before, stride, heads, count, op->bias != 0);
            Head of[ABREAST];
            for (i32 h = 0; h < heads; h++)
                of[h] = (Head){weight + h * stride + before, own.value + ((head + h) * own.places + low) * own.values,
                               mixed + h * own.values};
            mean(of, heads, own.values, count);
            for (i32 h = 0; h < heads; h++) memcpy(y + h * op->count, of[h].y, sizeof(real) * (size_t)op->count);
        }
    }
}
