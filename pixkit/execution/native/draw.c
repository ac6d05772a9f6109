/* Draw a site's levels, as each head's `quantile` does. Part of kernels on CPUs and GPUs. */

enum { SOFTMAX, BERNOULLI, MIXTURE };

#ifndef MIXED
#define MIXED(colours) (colours) /* the number of colours of a mixture; a GPU's array needs a constant bound */
#endif

/* The logits of one colour are `stride` apart. */
typedef struct { const real *logit; i32 stride; } Logits;

FUNCTION Logits logits(const Program *p, i64 site, i64 image, i32 c) {
    i32 apart = p->groups > 1;
    Logits found;
    found.logit = at(p->buffers + p->params, 0, site, image, apart ? c : 0) + (apart ? 0 : c);
    found.stride = p->colours / p->groups;
    return found;
}

FUNCTION const real *numbers_of(const Program *p, i64 site, i64 image) {
    return p->uniforms + image * (p->colours + (p->head == MIXTURE)) * p->sites_total + site;
}

FUNCTION i64 *levels_of(const Program *p, i64 site, i64 image) {
    return p->pixels + (site * p->batch + image) * p->colours;
}

FUNCTION real weight_of(real logit, real most, real heat) { return exp_((logit - most) / heat); }

/* The number of the first `count` categories whose cumulative weight is at most the fraction u of the total; never
 * one of weight 0. WEIGHT is that of category k. */
#define PICK(found, count, u, WEIGHT)                                                                                  \
    do {                                                                                                               \
        real total = 0, below = 0;                                                                                     \
        for (i32 k = 0; k < (count); k++) total += WEIGHT;                                                             \
        (u) *= total;                                                                                                  \
        for (i32 k = 0; k < (count) - 1; k++) {                                                                        \
            below += WEIGHT;                                                                                           \
            (found) += (u) >= below && below < total;                                                                  \
        }                                                                                                              \
    } while (0)

FUNCTION i64 category(const real *logit, i32 count, i32 stride, real heat, real u) {
    real most = logit[0];
    i64 found = 0;
    for (i32 k = 1; k < count; k++) most = logit[k * stride] > most ? logit[k * stride] : most;
    PICK(found, count, u, weight_of(logit[k * stride], most, heat));
    return found;
}

/* Colours of a mixture, with one indicator for all: each is a deviate, scaled, shifted and rounded; later ones read
   it. */
FUNCTION void draw_mixture(const Program *p, const real *params, const uint8_t *due, const real *numbers, i64 *levels) {
    i32 colours = p->colours, m = p->components, pairs = colours * (colours - 1) / 2;
    real heat = (real)p->temperature, half = (real)(p->levels - 1) / 2, x[MIXED(colours)];
    i64 k = category(params, m, 1, heat, numbers[0]);
    const real *mean = params + m + k * colours, *log_scale = mean + m * colours;
    const real *coupling = params + m + 2 * m * colours + k * pairs;
    for (i32 c = 0; c < colours; coupling += c++) {
        real location = mean[c], s = log_scale[c];
        for (i32 j = 0; j < c; j++) location += (real)tanh((double)coupling[j]) * x[j];
        s = s < (real)p->low ? (real)p->low : s > (real)p->high ? (real)p->high : s;
        real value = rint((double)((location + exp_(s) * heat * numbers[(c + 1) * p->sites_total] + 1) * half));
        value = !(value > 0) ? 0 : value > p->levels - 1 ? p->levels - 1 : value; /* NaN gives 0, not a wild index */
        x[c] = value / half - 1;
        if (due[c]) levels[c] = (i64)value;
    }
}

/* Draw what is due at one site of one image. */
FUNCTION void draw(const Program *p, i64 index, i64 image) {
    i64 site = p->draw_site[index], *levels = levels_of(p, site, image);
    const uint8_t *due = p->draw_due + index * p->colours;
    const real *numbers = numbers_of(p, site, image);
    real heat = (real)p->temperature;
    if (p->head == MIXTURE) { draw_mixture(p, at(p->buffers + p->params, 0, site, image, 0), due, numbers, levels); return; }
    for (i32 c = 0; c < p->colours; c++) {
        if (!due[c]) continue;
        Logits of = logits(p, site, image, c);
        real u = numbers[c * p->sites_total];
        if (p->head == SOFTMAX) levels[c] = category(of.logit, p->levels, of.stride, heat, u);
        else levels[c] = u >= 1 / (1 + exp_(*of.logit / heat));
    }
}
