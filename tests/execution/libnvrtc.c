/* NVRTC as far as pixkit asks for it. A program's machine code, or PTX, is a list of what it was compiled from and with. */
#include <stdio.h>
#include <string.h>

typedef struct {
    char said[4096];
    int broken;
} Source;

static Source only;
int alive; /* programs that are not destroyed */

const char *nvrtcGetErrorString(int code) { return code == 6 ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_OTHER"; }
int nvrtcVersion(int *major, int *minor) { *major = 99, *minor = 3; return 0; }
int nvrtcGetNumSupportedArchs(int *count) { *count = 3; return 0; }
int nvrtcGetSupportedArchs(int *found) { found[0] = 100, found[1] = 75, found[2] = 90; return 0; }

static void say(const char *text) { strcat(strcat(only.said, text), "\n"); }

int nvrtcCreateProgram(Source **program, const char *text, const char *name, int count, const char *const *headers,
                       const char *const *names) {
    char line[200];
    memset(&only, 0, sizeof only);
    only.broken = strstr(text, "broken") != NULL;
    snprintf(line, sizeof line, "%s %d", name, (int)strlen(text)), say(line);
    for (int i = 0; i < count; i++) snprintf(line, sizeof line, "%s %d", names[i], (int)strlen(headers[i])), say(line);
    *program = &only, alive++;
    return 0;
}
int nvrtcCompileProgram(Source *program, int count, const char *const *options) {
    for (int i = 0; i < count; i++) say(options[i]);
    return program->broken ? 6 : 0;
}
int nvrtcDestroyProgram(Source **program) { *program = NULL, alive--; return 0; }

#define GIVE(What, BEFORE, TEXT)                                                                              \
    int nvrtcGet##What##Size(Source *program, size_t *size) { *size = strlen(BEFORE) + strlen(TEXT); return 0; } \
    int nvrtcGet##What(Source *program, char *out) {                                                              \
        memcpy(out, BEFORE, strlen(BEFORE));                                                                  \
        memcpy(out + strlen(BEFORE), TEXT, strlen(TEXT));                                                     \
        return 0;                                                                                             \
    }
GIVE(CUBIN, "machine code\n", program->said)
GIVE(PTX, "PTX\n", program->said)
GIVE(ProgramLog, "", "a.cu(1): warning: w\na.cu(2): error: one\na.cu(3): error: two\na.cu(4): error: three\n")
