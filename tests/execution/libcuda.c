/* CUDA's driver as far as pixkit asks for it; what is launched runs on the CPU, lane after lane. */
#include "lanes.c"

static int64_t context = 7;
static int pushed;
int refused; /* the error that the next launch gives */

int cuDevicePrimaryCtxRetain(void **found, int device) { *found = &context; return device != 0; }
int cuCtxPushCurrent_v2(void *given) { pushed++; return given != &context; }
int cuCtxPopCurrent_v2(void **found) { pushed--; *found = &context; return 0; }
int cuModuleLoadData(void **found, const void *image) { *found = &pushed; return !pushed || memcmp(image, "kernel", 6) ? 200 : 0; }
int cuModuleGetFunction(void **found, void *module, const char *name) {
    *found = &refused;
    return module != &pushed || strcmp(name, "walk") ? 500 : 0;
}
int cuGetErrorString(int error, const char **found) { *found = error == 719 ? "unspecified launch failure" : "bad"; return 0; }

int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned lanes, unsigned y2, unsigned z2,
                   unsigned shared, void *stream, void **values, void **extra) {
    const Program *p = values[0];
    i64 from = *(i64 *)values[1], to = *(i64 *)values[2];
    int images = *(i32 *)values[3];
    if (refused) return refused;
    if (!pushed || function != &refused || y != 1 || z != 1 || y2 != 1 || z2 != 1 || extra) return 1;
    if (shared != SCRATCH || stream != (void *)12 || x != (unsigned)((p->batch + images - 1) / images)) return 1;
    return emulate(p, from, to, (int)lanes, images, BACKWARD);
}
