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

static int launch(void *function, const unsigned *sizes, void *stream, void **values, void **extra, unsigned cluster) {
    const Program *p = values[0];
    i64 from = *(i64 *)values[1], to = *(i64 *)values[2];
    int images = *(i32 *)values[3], parts = *(i32 *)values[4];
    if (refused) return refused;
    if (!pushed || function != &refused || sizes[1] != 1 || sizes[2] != 1 || sizes[4] != 1 || sizes[5] != 1 || extra) return 1;
    if (sizes[6] != SCRATCH || stream != (void *)12 || parts != (int)cluster) return 1;
    if (sizes[0] != (unsigned)((p->batch + images - 1) / images) * cluster) return 1;
    return emulate(p, from, to, (int)sizes[3], images, parts, BACKWARD);
}

int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned lanes, unsigned y2, unsigned z2,
                   unsigned shared, void *stream, void **values, void **extra) {
    const unsigned sizes[] = {x, y, z, lanes, y2, z2, shared};
    return launch(function, sizes, stream, values, extra, 1);
}

/* As in cuda.h. */
typedef struct { int id; char pad[8 - sizeof(int)]; union { char pad[64]; struct { unsigned x, y, z; } cluster; } value; } Attribute;
typedef struct {
    unsigned gridX, gridY, gridZ, blockX, blockY, blockZ, shared;
    void *stream;
    Attribute *attributes;
    unsigned count;
} Config;

int cuLaunchKernelEx(const Config *config, void *function, void **values, void **extra) {
    const Attribute *of = config->attributes;
    if (config->count != 1 || of->id != 4 || of->value.cluster.y != 1 || of->value.cluster.z != 1) return 1;
    return launch(function, &config->gridX, config->stream, values, extra, of->value.cluster.x);
}
