/* What each elementwise instruction computes for one element, defined once for kernels on CPUs and GPUs.
 *
 * A list has one line per instruction, ROW(NAME, expression). Its operands are x, then z, then w; its numbers, if it
 * has any, a and b; all are `real`. A kernel turns a list into what it needs by defining ROW. The table of operations
 * (pixkit/readiness/table.py) says which of torch's operations an instruction stands for and where its numbers come
 * from; instructions are numbered in this order. In float, RELU to TANH of UNARY and the four of BINARY are those that
 * samples have always been drawn with: to write them differently changes images.
 */
#include "functions.h"

FUNCTION real clamp_(real x, real low, real high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* exp(x) - 1. */
FUNCTION real elu_(real x) { return sizeof(real) == 4 ? exp_(x) - 1 : (real)expm1((double)x); }

/* Its error is 1 ulp of 1, even near 0. */
FUNCTION real tanh_(real x) { return sizeof(real) == 4 ? 1 - 2 / (exp_(2 * x) + 1) : (real)tanh((double)x); }

/* tanh to a few ulp of itself, from expm1(-2 |x|). */
FUNCTION real tanh_exact(real x) {
    real t = expm1_(-2 * abs_(x)), y = -t / (t + 2);
    return x < 0 ? -y : y;
}

/* log(1 + exp(x)), by exp(-|x|) so that nothing overflows. */
FUNCTION real softplus_(real x) { return (x < 0 ? 0 : x) + log1p_unit_(exp_(-abs_(x))); }

/* Below this exp counts as 0, and so does x exp(x), however large x is. */
#define LOWEST R(sizeof(real) == 4 ? -100 : -800)
FUNCTION real bounded_(real x) { return x < LOWEST ? LOWEST : x; }

/* x sigmoid(x s). */
FUNCTION real gated_(real x, real s) { return x / (1 + exp_(-x * s)); }

FUNCTION real sigmoid_(real x) { return 1 / (1 + exp_(-x)); }

/* x tanh(log(1 + exp(x))) = x n / (n + 2) with n = e (e + 2), e = exp(x). */
FUNCTION real mish_(real x) {
    real e = exp_(x < 30 ? x : 30), n = e * (e + 2);
    return x * (n / (n + 2));
}

/* The following use double precision and the C library, even for float: they need not be fast. */

/* The remainder of x / z with the sign of z. */
FUNCTION real remainder_(real x, real z) {
    real left = R(fmod((double)x, (double)z));
    return left != 0 && (z < 0) != (left < 0) ? left + z : left;
}

/* The floor of x / z, as exact as its remainder. */
FUNCTION real floor_divide_(real x, real z) {
    real left = R(fmod((double)x, (double)z)), whole = (x - left) / z, below;
    if (z == 0) return x / z;
    whole -= left != 0 && (z < 0) != (left < 0) ? R(1) : R(0);
    if (whole == 0) return R(copysign(0.0, (double)(x / z)));
    below = floor_(whole);
    return whole - below > R(0.5) ? below + 1 : below;
}

FUNCTION double sinc_(double x) {
    double turn = 3.141592653589793 * x;
    return x == 0 ? 1 : sin(turn) / turn;
}

FUNCTION double logit_(double x) { return log(x / (1 - x)); }
FUNCTION double entr_(double x) { return x > 0 ? -x * log(x) : x < 0 ? -INFINITY : x; }
FUNCTION double logaddexp_(double x, double z) {
    return x == z ? x + 0.6931471805599453 : (x > z || x != x ? x : z) + log1p(exp(-fabs(x - z)));
}
FUNCTION double logaddexp2_(double x, double z) {
    return x == z ? x + 1 : (x > z || x != x ? x : z) + 1.4426950408889634 * log1p(exp2(-fabs(x - z)));
}

/* NaN becomes z, and infinities become a and b, or the largest finite number where these are NaN. */
FUNCTION real nan_to_num_(real x, real z, real a, real b) {
    const real largest = sizeof(real) == 4 ? R(3.4028234663852886e38) : R(1.7976931348623157e308);
    return x != x ? z : x > largest ? (a != a ? largest : a) : x < -largest ? (b != b ? -largest : b) : x;
}

FUNCTION real nextafter_(real x, real z) {
    return sizeof(real) == 4 ? R(nextafterf((float)x, (float)z)) : R(nextafter((double)x, (double)z));
}

#define UNARY(ROW)                                                                                                     \
    ROW(RELU, !(x <= 0) ? x : 0)                                                                                       \
    ROW(ELU, x > 0 ? x : a * elu_(x))                                                                                  \
    ROW(SIGMOID, sigmoid_(x))                                                                                          \
    ROW(TANH, tanh_(x))                                                                                                \
    ROW(NEGATE, -x)                                                                                                    \
    ROW(LEAKY_RELU, x > 0 ? x : a * x)                                                                                 \
    ROW(SELU, x > 0 ? R(1.0507009873554805) * x : R(1.7580993408473766) * expm1_(x))                                   \
    ROW(CELU, x > 0 ? x : a * expm1_(x / a))                                                                           \
    ROW(GELU, R(0.5) * x * (1 + erf_(R(0.7071067811865476) * x)))                                                      \
    ROW(GELU_TANH, gated_(bounded_(x), R(1.5957691216057308) * (1 + R(0.044715) * x * x)))                             \
    ROW(SILU, gated_(bounded_(x), 1))                                                                                  \
    ROW(MISH, mish_(bounded_(x)))                                                                                      \
    ROW(SOFTPLUS, a * x > b ? x : softplus_(a * x) / a)                                                                \
    ROW(LOG_SIGMOID, -softplus_(-x))                                                                                   \
    ROW(SOFTSIGN, x / (1 + abs_(x)))                                                                                   \
    ROW(TANHSHRINK, x - tanh_exact(x))                                                                                 \
    ROW(SOFTSHRINK, x > a ? x - a : x < -a ? x + a : x * 0)                                                            \
    ROW(HARDSHRINK, x >= -a && x <= a ? 0 : x)                                                                         \
    ROW(HARDSIGMOID, clamp_(x + 3, 0, 6) / 6)                                                                          \
    ROW(HARDSWISH, x * clamp_(x + 3, 0, 6) / 6)                                                                        \
    ROW(THRESHOLD, x <= a ? b : x)                                                                                     \
    ROW(CLAMP, clamp_(x, a, b))                                                                                        \
    ROW(EXP, exp_wide_(x))                                                                                             \
    ROW(EXPM1, x > 80 ? exp_wide_(x) : expm1_(x))                                                                      \
    ROW(LOG, log_(x))                                                                                                  \
    ROW(LOG1P, log1p_(x))                                                                                              \
    ROW(SQRT, sqrt_(x))                                                                                                \
    ROW(RSQRT, 1 / sqrt_(x))                                                                                           \
    ROW(SQUARE, x * x)                                                                                                 \
    ROW(RECIPROCAL, 1 / x)                                                                                             \
    ROW(ABS, abs_(x))                                                                                                  \
    ROW(SIGN, (x > 0) - (x < 0))                                                                                       \
    ROW(SIN, sin_(x))                                                                                                  \
    ROW(COS, cos_(x))                                                                                                  \
    ROW(ERF, erf_(x))                                                                                                  \
    ROW(FLOOR, floor_(x))                                                                                              \
    ROW(CEIL, ceil_(x))                                                                                                \
    ROW(TRUNC, trunc_(x))                                                                                              \
    ROW(ROUND, round_(x))                                                                                              \
    ROW(TAN, R(tan((double)x)))                                                                                        \
    ROW(ASIN, R(asin((double)x)))                                                                                      \
    ROW(ACOS, R(acos((double)x)))                                                                                      \
    ROW(ATAN, R(atan((double)x)))                                                                                      \
    ROW(SINH, R(sinh((double)x)))                                                                                      \
    ROW(COSH, R(cosh((double)x)))                                                                                      \
    ROW(ASINH, R(asinh((double)x)))                                                                                    \
    ROW(ACOSH, R(acosh((double)x)))                                                                                    \
    ROW(ATANH, R(atanh((double)x)))                                                                                    \
    ROW(SINC, R(sinc_((double)x)))                                                                                     \
    ROW(EXP2, R(exp2((double)x)))                                                                                      \
    ROW(LOG2, R(log2((double)x)))                                                                                      \
    ROW(LOG10, R(log10((double)x)))                                                                                    \
    ROW(LOGIT, R(logit_((double)clamp_(x, a, 1 - a))))                                                                 \
    ROW(ERFC, R(erfc((double)x)))                                                                                      \
    ROW(NDTR, R(0.5 * erfc(-0.7071067811865476 * (double)x)))                                                          \
    ROW(ENTR, R(entr_((double)x)))                                                                                     \
    ROW(FRAC, x - trunc_(x))

#define BINARY(ROW)                                                                                                    \
    ROW(ADD, x + a * z)                                                                                                \
    ROW(SUB, x - a * z)                                                                                                \
    ROW(MUL, x * z)                                                                                                    \
    ROW(MAXIMUM, x > z || x != x ? x : z)                                                                              \
    ROW(MINIMUM, x < z || x != x ? x : z)                                                                              \
    ROW(DIV, x / z)                                                                                                    \
    ROW(POW, pow_(x, z))                                                                                               \
    ROW(PRELU, x > 0 ? x : z * x)                                                                                      \
    ROW(TRUNC_DIVIDE, trunc_(x / z))                                                                                   \
    ROW(FLOOR_DIVIDE, floor_divide_(x, z))                                                                             \
    ROW(REMAINDER, remainder_(x, z))                                                                                   \
    ROW(FMOD, R(fmod((double)x, (double)z)))                                                                           \
    ROW(FMAX, x != x || z > x ? z : x)                                                                                 \
    ROW(FMIN, x != x || z < x ? z : x)                                                                                 \
    ROW(HYPOT, R(hypot((double)x, (double)z)))                                                                         \
    ROW(ATAN2, R(atan2((double)x, (double)z)))                                                                         \
    ROW(COPYSIGN, R(copysign((double)x, (double)z)))                                                                   \
    ROW(NEXTAFTER, nextafter_(x, z))                                                                                   \
    ROW(HEAVISIDE, x == 0 ? z : x > 0 ? 1 : 0)                                                                         \
    ROW(LDEXP, R((double)x * exp2((double)z)))                                                                         \
    ROW(XLOGY, z != z ? z : x == 0 ? 0 : R((double)x * log((double)z)))                                                \
    ROW(XLOG1PY, z != z ? z : x == 0 ? 0 : R((double)x * log1p((double)z)))                                            \
    ROW(LOGADDEXP, R(logaddexp_((double)x, (double)z)))                                                                \
    ROW(LOGADDEXP2, R(logaddexp2_((double)x, (double)z)))                                                              \
    ROW(NAN_TO_NUM, nan_to_num_(x, z, a, b))

#define TERNARY(ROW)                                                                                                   \
    ROW(LERP, abs_(w) < R(0.5) ? x + w * (z - x) : z - (z - x) * (1 - w))                                              \
    ROW(ADDCMUL, x + a * z * w)                                                                                        \
    ROW(ADDCDIV, x + a * z / w)

/* Instructions that a plugin brings, of up to three operands: layout.py defines them for the networks that have some. */
#ifndef ADDED
#define ADDED(EACH)
#endif
