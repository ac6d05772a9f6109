/* Elementary functions for kernels on CPUs and GPUs: plain C without branches, so that loops over them are vectorised.
 *
 * For float each is a polynomial, fitted to the minimax error given; for double it is the C library's function. No sum
 * has two products in it, so that a compiler has no choice of which to fuse, and all vector widths give the same bits.
 * `real` is float or double. Errors are in units in the last place (ulp) of a float, measured over the whole range.
 */
#ifdef __CUDACC__ /* nvcc and NVRTC */
#define FUNCTION static __device__ __forceinline__
#else
#define FUNCTION static inline
#endif

#define R(number) ((real)(number))

typedef union { int32_t i; float f; } Bits;

FUNCTION float power_of_two(int32_t n) { /* for -126..127 */
    Bits scale;
    scale.i = (int32_t)((uint32_t)(n + 127) << 23); /* for NaN, n may be any number: the shift must not overflow */
    return scale.f;
}

/* exp within 2 ulp; clamped below -87 and above 88, which is enough for a sigmoid. */
FUNCTION float exp_float(float x) {
    x = x > 88.0f ? 88.0f : x < -87.0f ? -87.0f : x;
    float n = rintf(x * 1.44269504f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    return p * power_of_two((int32_t)n);
}

/* exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1), exact near 0; clamped like exp_float. */
FUNCTION float expm1_float(float x) {
    x = x > 88.0f ? 88.0f : x < -87.0f ? -87.0f : x;
    float n = rintf(x * 1.44269504f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r;
    float scale = power_of_two((int32_t)n);
    return p * scale + (scale - 1.0f);
}

/* exp where the value may be infinite, or below the normal range: 2^n in two factors. */
FUNCTION float exp_wide_float(float x) {
    float bounded = x > 89.0f ? 89.0f : x < -104.0f ? -104.0f : x;
    float n = rintf(bounded * 1.44269504f);
    int32_t half = (int32_t)n >> 1;
    float r = bounded - n * 0.693359375f + n * 2.12194440e-4f;
    return (expm1_float(r) + 1.0f) * power_of_two(half) * power_of_two((int32_t)n - half);
}

/* log of a positive number: x = 2^e (1 + f), 1 + f from sqrt(1/2) to sqrt(2); the polynomial's error is 7e-10. */
FUNCTION float log_float(float x) {
    Bits bits;
    float small = x < 1.17549435e-38f ? 8388608.0f : 1.0f;
    bits.f = x * small;
    /* Unsigned differences, since those of a negative x, whose log is not used, would overflow. */
    int32_t e = (int32_t)((uint32_t)bits.i - 0x3f3504f3u) >> 23;
    bits.i = (int32_t)((uint32_t)bits.i - ((uint32_t)e << 23));
    float f = bits.f - 1.0f, n = (float)e - (small > 1.0f ? 23.0f : 0.0f);
    float p = 6.915125996e-2f;
    p = p * f - 1.178968474e-1f;
    p = p * f + 1.187302023e-1f;
    p = p * f - 1.238437220e-1f;
    p = p * f + 1.421865523e-1f;
    p = p * f - 1.666924953e-1f;
    p = p * f + 2.000222653e-1f;
    p = p * f - 2.499998659e-1f;
    p = p * f + 3.333331048e-1f;
    p = (p * f - 0.5f) * (f * f) + f;
    p = p + n * -2.12194440e-4f + n * 0.693359375f;
    p = x > 3.4028234e38f ? x : p;
    return x > 0.0f ? p : x == 0.0f ? -INFINITY : NAN;
}

/* log(1 + x), corrected for the rounding of 1 + x. */
FUNCTION float log1p_float(float x) {
    float sum = 1.0f + x, lost = x - (sum - 1.0f), found = log_float(sum);
    return lost != 0.0f && sum <= 3.4028234e38f && sum > 0.0f ? found + lost / sum : found;
}

/* log(1 + x) for x in 0..1; the polynomial's error is 5e-9. */
FUNCTION float log1p_unit_float(float x) {
    float p = -3.243980929e-3f;
    p = p * x + 1.985126361e-2f;
    p = p * x - 5.695915967e-2f;
    p = p * x + 1.060361713e-1f;
    p = p * x - 1.530556977e-1f;
    p = p * x + 1.967593133e-1f;
    p = p * x - 2.495413274e-1f;
    p = p * x + 3.332996368e-1f;
    p = p * x - 4.999990165e-1f;
    return p * x * x + x;
}

/* erf: x times a polynomial in x^2 up to 0.93, and 1 - exp(-polynomial) above it; errors 1.7e-8 of erf and 1.6e-9. */
FUNCTION float erf_float(float x) {
    float t = fabsf(x), s = x * x;
    t = t > 4.0f ? 4.0f : t;
    float p = -5.976893590e-4f;
    p = p * s + 4.990980029e-3f;
    p = p * s - 2.676556632e-2f;
    p = p * s + 1.128180251e-1f;
    p = p * s - 3.761249483e-1f;
    p = p * s + 1.283791512e-1f;
    float near = p * x + x;
    float q = -1.971826277e-4f;
    q = q * t + 3.055615583e-3f;
    q = q * t - 2.227711678e-2f;
    q = q * t + 1.040374190e-1f;
    q = q * t + 6.370596886e-1f;
    q = q * t + 1.127749562f;
    q = q * t + 1.774872508e-4f;
    float far = 1.0f - exp_float(-q);
    return fabsf(x) < 0.93f || x != x ? near : x < 0.0f ? -far : far;
}

/* Selected by the precision of `real`; a constant for the compiler. */
#define EITHER(NAME, FLOAT, DOUBLE)                                                                                    \
    FUNCTION real NAME(real x) { return sizeof(real) == 4 ? (real)FLOAT((float)x) : (real)DOUBLE((double)x); }
EITHER(exp_, exp_float, exp)
EITHER(exp_wide_, exp_wide_float, exp)
EITHER(expm1_, expm1_float, expm1)
EITHER(log_, log_float, log)
EITHER(log1p_, log1p_float, log1p)
EITHER(log1p_unit_, log1p_unit_float, log1p)
EITHER(erf_, erf_float, erf)
EITHER(sqrt_, sqrtf, sqrt)
EITHER(abs_, fabsf, fabs)
EITHER(sin_, sinf, sin)
EITHER(cos_, cosf, cos)
EITHER(floor_, floorf, floor)
EITHER(ceil_, ceilf, ceil)
EITHER(trunc_, truncf, trunc)
EITHER(round_, rintf, rint)

FUNCTION real pow_(real x, real z) {
    return sizeof(real) == 4 ? (real)powf((float)x, (float)z) : (real)pow((double)x, (double)z);
}
