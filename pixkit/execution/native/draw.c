/* Drawing a site's levels, as each head's `quantile` does. Part of kernel.c. */

enum { SOFTMAX, BERNOULLI, MIXTURE };

/* The number of categories, `stride` apart, whose cumulative probability is at most u; never one of probability 0. */
static i64 category(const real *logit, i32 count, i32 stride, real heat, real u) {
    real most = logit[0], total = 0, below = 0;
    i64 found = 0;
    for (i32 k = 1; k < count; k++) most = logit[k * stride] > most ? logit[k * stride] : most;
    for (i32 k = 0; k < count; k++) total += exp_((logit[k * stride] - most) / heat);
    u *= total;
    for (i32 k = 0; k < count - 1; k++) {
        below += exp_((logit[k * stride] - most) / heat);
        found += u >= below && below < total;
    }
    return found;
}

/* Colours of a mixture, one indicator for all: each is a deviate, scaled and moved, rounded; later ones read it. */
static void draw_mixture(const Program *p, const real *params, const uint8_t *due, const real *numbers, i64 *levels) {
    i32 colours = p->colours, m = p->components, pairs = colours * (colours - 1) / 2;
    real heat = (real)p->temperature, half = (real)(p->levels - 1) / 2, x[colours];
    i64 k = category(params, m, 1, heat, numbers[0]);
    const real *mean = params + m + k * colours, *log_scale = mean + m * colours;
    const real *coupling = params + m + 2 * m * colours + k * pairs;
    for (i32 c = 0; c < colours; coupling += c++) {
        real location = mean[c], s = log_scale[c];
        for (i32 j = 0; j < c; j++) location += (real)tanh((double)coupling[j]) * x[j];
        s = s < (real)p->low ? (real)p->low : s > (real)p->high ? (real)p->high : s;
        real value = rint((double)((location + exp_(s) * heat * numbers[(c + 1) * p->sites_total] + 1) * half));
        value = !(value > 0) ? 0 : value > p->levels - 1 ? p->levels - 1 : value; /* no number is 0, not a wild index */
        x[c] = value / half - 1;
        if (due[c]) levels[c] = (i64)value;
    }
}

static void draw(const Program *p, i64 index, i64 first, i64 last) {
    i64 site = p->draw_site[index];
    const Buffer *params = p->buffers + p->params;
    const uint8_t *due = p->draw_due + index * p->colours;
    i32 apart = p->groups > 1, share = p->colours / p->groups;
    real heat = (real)p->temperature;
    for (i64 image = first; image < last; image++) {
        i64 *levels = p->pixels + (site * p->batch + image) * p->colours;
        const real *numbers = p->uniforms + image * (p->colours + (p->head == MIXTURE)) * p->sites_total + site;
        if (p->head == MIXTURE) { draw_mixture(p, at(params, 0, site, image, 0), due, numbers, levels); continue; }
        for (i32 c = 0; c < p->colours; c++) {
            if (!due[c]) continue;
            const real *logit = at(params, 0, site, image, apart ? c : 0) + (apart ? 0 : c);
            real u = numbers[c * p->sites_total];
            if (p->head == SOFTMAX) levels[c] = category(logit, p->levels, share, heat, u);
            else levels[c] = u >= 1 / (1 + exp_(*logit / heat));
        }
    }
}
