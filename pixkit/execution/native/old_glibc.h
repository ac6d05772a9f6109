/* For functions with a new version in newer C libraries, the version that every Linux on x86-64 has: a build against
 * a new library then runs with an old one. Included before everything else when a wheel is built, by hatch_build.py,
 * which refuses a kernel that needs more than glibc 2.17. */
#define OLD(NAME) __asm__(".symver " #NAME "," #NAME "@GLIBC_2.2.5");
OLD(exp) OLD(exp2) OLD(log) OLD(log2) OLD(pow) OLD(expf) OLD(exp2f) OLD(logf) OLD(log2f) OLD(powf) OLD(hypot) OLD(hypotf)
OLD(fmod) OLD(fmodf) OLD(lgamma) OLD(lgammaf) OLD(pthread_create) OLD(pthread_join) OLD(pthread_attr_setstacksize)
