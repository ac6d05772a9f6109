/* One kernel that runs a packed plan on a GPU: one or two images per block, or cluster of blocks, and barriers instead
 * of launches.
 *
 * Expressions, layout and drawing are those of the CPU kernel; sums over taps, norms and attention are its own. All
 * lanes run the same instructions, and the blocks of a cluster share the work of each. A write to the scratch memory by
 * one lane of a block and its read by another are separated by a BARRIER. Every instruction ends with TOGETHER, which
 * waits for the cluster: the next one finds its inputs, and may use the scratch memory.
 *
 * It is C as well as C++: code that compiles it for a CPU defines the two, so that its lanes can be run one after the
 * other in any order, which must not matter.
 */
#include "elements.h"

/* An operation that is computed element by element, and those computed with it. */
SUBROUTINE void spread(const Program *p, const Lane *me, const Op *op, i32 group, const i32 *sites, i32 count) {
    i32 maps = domain(p, op), images = me->images;
    for (i32 e = me->part * me->lanes + me->lane; e < count * images * maps; e += me->parts * me->lanes) {
        i32 row = e / maps, j = row / images;
        elements(p, op, 1 + op->fused, place(me, group, j, sites[j], row % images, e % maps), -1, 0);
    }
    TOGETHER(me->parts);
}

/* Inputs of `count` sites from entry `start` of each on, at most `span` of each, and their rows of the weight. */
FUNCTION void gather(const Program *p, const Lane *me, const Op *op, i32 group, const i32 *sites, i64 position, i32 count,
                     i32 start, i32 span, i32 depth, i32 *rows, real *x) {
    const Buffer *in = p->buffers + op->in0;
    i32 inner = op->inner, length = 1 + 2 * op->taps;
    for (i32 e = me->lane; e < count * span; e += me->lanes) {
        i32 j = e / span, entry = start + e % span, tap = entry / inner, k = entry % inner;
        const i32 *found = op->table + ((i64)group * op->grid + sites[position + j]) * length;
        if (tap >= found[0]) continue;
        i32 number = found[1 + 2 * tap], source = found[2 + 2 * tap];
        rows[e] = number * inner + k;
        for (i32 r = 0; r < me->images; r++)
            x[r * depth + e] = at(in, position + j, source, me->first + r, number % p->groups)[k];
    }
}

/* out = bias + the sum over taps of a @ w. The table has the number of each site's taps, then tap and source of each.
 *
 * A lane sums some columns of one site for all images; remaining lanes share the sum, each taking some of its entries.
 * A block of a cluster takes some of the columns, and with them a part of the weight; or some of the sites, if there
 * are more of these. How the work is split depends only on the plan and the size of clusters, so that an image does not
 * depend on the others drawn with it.
 */
SUBROUTINE void linear(const Program *p, const Lane *me, const Op *op, i32 group, const i32 *sites, i32 count) {
    const i32 lanes = me->lanes, images = me->images, inner = op->inner, width = op->width, maps = p->buffers[op->out].maps;
    const i32 all = width / COLUMNS, apart = all >= me->parts || count < me->parts;
    const i32 share = apart ? (all + me->parts - 1) / me->parts : all, own = apart ? me->part * share : 0;
    const i32 blocks = least(own + share, all), together = least(share, lanes), entries = most_of(op->taps * inner, 1);
    const i32 depth = (ROOM - lanes * COLUMNS * IMAGES) / (IMAGES + 1); /* entries that fit */
    const i32 tile = most_of(least(least(lanes / together, depth / entries), count), 1);
    const real *weight = op->weight + (i64)group * op->taps * inner * width, *bias = op->bias + (i64)group * width;
    real *sums = me->scratch, *x = sums + lanes * COLUMNS * IMAGES;
    i32 *rows = (i32 *)(x + IMAGES * depth);
    for (i32 position = apart ? 0 : me->part * tile; position < count; position += apart ? tile : me->parts * tile)
        for (i32 begin = own; begin < blocks; begin += together) {
            const i32 n = least(tile, count - position), wide = least(together, blocks - begin), tasks = n * wide;
            const i32 splits = most_of(least(lanes / tasks, SPLITS), 1), span = least(entries, depth);
            const i32 split = me->lane / tasks, j = me->lane % tasks / wide, block = me->lane % wide;
            real sum[IMAGES][COLUMNS] = {{0}};
            for (i32 start = 0; start < entries; start += span) {
                if (start > 0) BARRIER();
                gather(p, me, op, group, sites, position, n, start, span, depth, rows, x);
                BARRIER();
                if (split >= splits) continue;
                const i32 *found = op->table + ((i64)group * op->grid + sites[position + j]) * (1 + 2 * op->taps);
                const i32 last = least(span, found[0] * inner - start);
                UNROLL
                for (i32 e = split; e < last; e += splits) {
                    i32 here = j * span + e;
                    Columns w = *(const Columns *)(weight + (i64)rows[here] * width + (begin + block) * COLUMNS);
                    for (i32 r = 0; r < IMAGES; r++)
                        if (r < images)
                            for (i32 c = 0; c < COLUMNS; c++) sum[r][c] += x[r * depth + here] * w.v[c];
                }
            }
            if (split < splits)
                for (i32 r = 0; r < IMAGES; r++)
                    if (r < images)
                        for (i32 c = 0; c < COLUMNS; c++)
                            sums[((split * n + j) * images + r) * wide * COLUMNS + block * COLUMNS + c] = sum[r][c];
            BARRIER();
            for (i32 e = me->lane; e < n * images * wide * COLUMNS; e += lanes) {
                i32 row = e / (wide * COLUMNS), m = begin * COLUMNS + e % (wide * COLUMNS), size = n * images * wide * COLUMNS;
                if (m >= maps) continue;
                real value = bias[m];
                for (i32 s = 0; s < splits; s++) value += sums[s * size + e];
                i32 at_position = position + row / images;
                Place where = place(me, group, at_position, sites[at_position], row % images, m);
                *(real *)element(p, op->out, &where) = value;
                elements(p, op + 1, op->fused, where, op->out, value);
            }
        }
    TOGETHER(me->parts);
}

/* The sum, or the largest, of the values of `size` neighbouring lanes, for each of them; `room` has one number per
   lane. */
FUNCTION real reduced(const Lane *me, real *room, i32 size, i32 largest, real value) {
    i32 own = me->lane / size * size, end = least(own + size, me->lanes);
    room[me->lane] = value;
    BARRIER();
    if (me->lane - own < TEAM) { /* add the lanes beyond the first, whose numbers stay unchanged */
        for (i32 other = me->lane + TEAM; other < end; other += TEAM)
            value = !largest ? value + room[other] : room[other] > value ? room[other] : value;
        room[me->lane] = value;
    }
    BARRIER();
    value = room[own];
    for (i32 other = own + 1; other < least(own + TEAM, end); other++)
        value = !largest ? value + room[other] : room[other] > value ? room[other] : value;
    BARRIER();
    return value;
}

SUBROUTINE void norm(const Program *p, const Lane *me, const Op *op, i32 group, const i32 *sites, i32 count) {
    const i32 size = least(TEAM, me->lanes), teams = me->lanes / size, maps = p->buffers[op->out].maps;
    const i32 team = me->lane / size, tasks = count * me->images;
    for (i32 begin = me->part * teams; begin < tasks; begin += me->parts * teams) {
        const i32 task = begin + team, active = team < teams && task < tasks, j = active ? task / me->images : 0;
        Place where = place(me, group, j, sites[j], active ? task % me->images : 0, 0);
        const real *x = element(p, op->in0, &where);
        real sum = 0, squares = 0;
        for (i32 m = me->lane % size; active && m < maps && op->kind != RMS_NORM; m += size) sum += x[m];
        const real mean = reduced(me, me->scratch, size, 0, sum) / (real)maps;
        for (i32 m = me->lane % size; active && m < maps; m += size) squares += (x[m] - mean) * (x[m] - mean);
        const real variance = reduced(me, me->scratch, size, 0, squares) / (real)maps;
        const real scale = 1 / (real)sqrt((double)(variance + (real)op->alpha));
        for (i32 m = me->lane % size; active && m < maps; m += size) {
            where.m = m;
            real value = (x[m] - mean) * scale * op->weight[(i64)group * maps + m] + op->bias[(i64)group * maps + m];
            *(real *)element(p, op->out, &where) = value;
            elements(p, op + 1, op->fused, where, op->out, value);
        }
    }
    TOGETHER(me->parts);
}

/* The mean of the visible sites' values, weighted by a softmax of query . key; zeros where none is visible. */
SUBROUTINE void attend(const Program *p, const Lane *me, const Op *op, const i32 *sites, i32 count) {
    const Buffer *keys = p->buffers + op->in1, *values = p->buffers + op->in2;
    real *room = me->scratch, *weight = room + me->lanes;
    for (i32 task = me->part; task < count * me->images * op->taps; task += me->parts) {
        const i32 head = task % op->taps, row = task / op->taps, j = row / me->images;
        Place where = place(me, 0, j, sites[j], row % me->images, 0);
        const i32 *span = op->table + op->grid + 2 * where.site, *order = op->table + span[0], seen = span[1] - span[0];
        const real *added = op->bias ? op->bias + ((i64)(head % op->width) * op->queries + where.site) * op->grid + span[0] : 0;
        const real *query = element(p, op->in0, &where) + head * op->inner;
        real *y = (real *)element(p, op->out, &where) + head * op->count;
        real most = -INFINITY, total = 0;
        for (i32 i = me->lane; i < seen; i += me->lanes) {
            const real *key = at(keys, where.position, order[i], where.image, 0) + head * op->inner;
            real sum = 0;
            for (i32 m = 0; m < op->inner; m++) sum += query[m] * key[m];
            weight[i] = (real)op->alpha * sum + (added ? added[i] : 0);
            most = weight[i] > most ? weight[i] : most;
        }
        most = reduced(me, room, me->lanes, 1, most);
        for (i32 i = me->lane; i < seen; i += me->lanes) total += weight[i] = weight[i] > -INFINITY ? exp_(weight[i] - most) : 0;
        total = reduced(me, room, me->lanes, 0, total);
        const i32 columns = least(op->count, me->lanes), splits = me->lanes / columns, split = me->lane / columns;
        for (i32 begin = 0; begin < op->count; begin += columns) {
            const i32 m = begin + me->lane % columns;
            real sum = 0;
            for (i32 i = split; m < op->count && split < splits && i < seen; i += splits)
                sum += weight[i] / total * at(values, where.position, order[i], where.image, 0)[head * op->count + m];
            room[me->lane] = sum;
            BARRIER();
            if (split == 0 && m < op->count) {
                for (i32 s = 1; s < splits; s++) sum += room[s * columns + me->lane];
                y[m] = sum;
            }
            BARRIER();
        }
    }
    TOGETHER(me->parts);
}

/* One colour from many categories: all lanes compute weights, and one adds them up in order. */
SUBROUTINE void draw_colour(const Program *p, const Lane *me, i64 site, i64 image, i32 c) {
    const Logits of = logits(p, site, image, c);
    real *weight = me->scratch + me->lanes, most = of.logit[0];
    for (i32 k = me->lane; k < p->levels; k += me->lanes)
        most = of.logit[k * of.stride] > most ? of.logit[k * of.stride] : most;
    most = reduced(me, me->scratch, me->lanes, 1, most);
    for (i32 k = me->lane; k < p->levels; k += me->lanes)
        weight[k] = weight_of(of.logit[k * of.stride], most, (real)p->temperature);
    BARRIER();
    if (me->lane == 0) {
        real u = numbers_of(p, site, image)[c * p->sites_total];
        i64 found = 0;
        PICK(found, p->levels, u, weight[k]);
        levels_of(p, site, image)[c] = found;
    }
}

SUBROUTINE void draw_step(const Program *p, const Lane *me, i64 first, i64 last) {
    const i32 rows = (i32)(last - first) * me->images;
    const i32 shared = p->head == SOFTMAX && p->levels > FEW && p->levels <= ROOM - me->lanes;
    if (!shared || rows * p->colours > me->lanes / FEW) {
        for (i32 row = me->part * me->lanes + me->lane; row < rows; row += me->parts * me->lanes)
            draw(p, first + row / me->images, me->first + row % me->images);
    } else {
        for (i32 task = me->part; task < rows * p->colours; task += me->parts) {
            const i32 row = task / p->colours, c = task % p->colours;
            if (p->draw_due[(first + row / me->images) * p->colours + c])
                draw_colour(p, me, p->draw_site[first + row / me->images], me->first + row % me->images, c);
        }
    }
    TOGETHER(me->parts);
}

/* Steps from..to-1 for the images of a cluster. */
SUBROUTINE void run_lane(const Program *p, const Lane *me, i64 from, i64 to) {
    Instr now = p->instrs[p->steps[from]];
    for (i64 step = from; step < to; step++) {
        for (i64 i = p->steps[step]; i < p->steps[step + 1]; i++) {
            const Instr next = p->instrs[i + 1]; /* prefetched: it takes long to arrive */
            const Op *op = p->ops + now.op;
            const i32 *sites = p->sites + now.first;
            if (op->kind == LINEAR) linear(p, me, op, now.group, sites, now.count);
            else if (op->kind == NORM || op->kind == LAYER_NORM || op->kind == RMS_NORM) norm(p, me, op, now.group, sites, now.count);
            else if (op->kind == ATTEND) attend(p, me, op, sites, now.count);
            else spread(p, me, op, now.group, sites, now.count);
            now = next;
        }
        if (p->draws) draw_step(p, me, p->draws[step], p->draws[step + 1]);
    }
}

#ifdef __CUDACC__
extern __shared__ double2 shared_scratch[];

/* Steps from..to-1, `images` images of the batch for each cluster of `parts` blocks. */
extern "C" __global__ void __launch_bounds__(MOST_LANES)
walk(const __grid_constant__ Program p, i64 from, i64 to, i32 images, i32 parts) {
    Lane me;
    me.lane = threadIdx.x, me.lanes = blockDim.x, me.part = blockIdx.x % parts, me.parts = parts;
    me.first = (i64)(blockIdx.x / parts) * images;
    me.images = me.first + images > p.batch ? (i32)(p.batch - me.first) : images;
    me.scratch = (real *)shared_scratch;
    run_lane(&p, &me, from, to);
}
#endif
