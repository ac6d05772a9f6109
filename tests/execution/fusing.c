/* The kernels of fused operations on a CPU: workers one after the other. */
static unsigned worker, workers, image;
#define KERNEL static void
#define WORKER worker
#define WORKERS workers
#define IMAGE image
#include "fusing.cu"

#define RUN(name, ...)                                                     \
    void run_##name(Shape s, u32 count, unsigned lanes, unsigned images,    \
                    const void *a, const void *b, double scale, void *c, void *d) { \
        workers = lanes;                                                   \
        for (image = 0; image < images; image++)                           \
            for (worker = 0; worker < lanes; worker++) name(s, count, __VA_ARGS__); \
    }

RUN(activate, a, b, (real)scale, c)
RUN(activate_back, a, b, (real)scale, c, d)
RUN(gate, a, b, c)
RUN(gate_back, a, b, c)
