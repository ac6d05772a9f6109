/* A disk that fails on command, for processes that are started with this library in LD_PRELOAD.

   Calls of the file system that concern a folder are counted, in Python, its libraries and native code alike, and
   those of some numbers fail. Nothing is counted until `disk_watch` is called. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define SHORT 0

static char watched[PATH_MAX];
static const char *counted = "";
static long count, first, last;
static int failure, tally = -1;

/* Watch the folder `under`. Calls whose kinds are named in `kinds` (" open write ...") are counted from 1 and listed,
   a line each, in the file `list`; those of the numbers from `from` to `to` fail with the error `number`. The number 0
   stands for half of the bytes of what reads and writes, and no error. */
void disk_watch(const char *under, const char *kinds, long from, long to, int number, int list) {
    snprintf(watched, sizeof watched, "%s", under);
    counted = strdup(kinds);
    first = from, last = to, failure = number, tally = list;
}

static int concerns(const char *kind, int folder, const char *path) {
    char link[64], base[PATH_MAX] = "", whole[2 * PATH_MAX], line[3 * PATH_MAX], name[64];
    if (tally < 0) return 0;
    snprintf(name, sizeof name, " %s ", kind);
    if (!strstr(counted, name)) return 0;
    if (path == NULL || path[0] != '/') {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        if (folder == AT_FDCWD ? getcwd(base, sizeof base) == NULL : readlink(link, base, sizeof base - 1) < 0)
            return 0;
    }
    snprintf(whole, sizeof whole, "%s%s%s", base, path && base[0] ? "/" : "", path ? path : "");
    size_t length = strlen(watched);
    if (strncmp(whole, watched, length) || (whole[length] && whole[length] != '/')) return 0;
    long number = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    int due = first <= number && number <= last;
    int bytes = snprintf(line, sizeof line, "%ld %s %s\n", number, kind, whole + length);
    NEXT(write)(tally, line, bytes);
    return due;
}

static int fails(const char *kind, int folder, const char *path) {
    int before = errno, due = concerns(kind, folder, path);
    errno = due && failure != SHORT ? failure : before;
    return due;
}

#define OPEN(name, parameters, folder, ...)                                                                            \
    int name parameters {                                                                                              \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                                                      \
        va_end(rest);                                                                                                  \
        int changes = flags & (O_WRONLY | O_RDWR | O_CREAT);                                                           \
        return fails(changes ? "open" : "open-to-read", folder, path) ? -1 : NEXT(name)(__VA_ARGS__, flags, mode);     \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(openat, (int folder, const char *path, int flags, ...), folder, folder, path)
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, folder, path)

#define CALL(result, wrong, name, kind, parameters, folder, path, ...)                                                 \
    result name parameters { return fails(kind, folder, path) ? wrong : NEXT(name)(__VA_ARGS__); }

CALL(int, -1, fsync, "fsync", (int file), file, NULL, file)
CALL(int, -1, fdatasync, "fsync", (int file), file, NULL, file)
CALL(int, -1, rename, "rename", (const char *path, const char *to), AT_FDCWD, path, path, to)
CALL(int, -1, renameat, "rename", (int folder, const char *path, int there, const char *to), folder, path, folder, path,
     there, to)
CALL(int, -1, unlink, "unlink", (const char *path), AT_FDCWD, path, path)
CALL(int, -1, unlinkat, "unlink", (int folder, const char *path, int flags), folder, path, folder, path, flags)
CALL(int, -1, rmdir, "rmdir", (const char *path), AT_FDCWD, path, path)
CALL(int, -1, mkdir, "mkdir", (const char *path, mode_t mode), AT_FDCWD, path, path, mode)
CALL(int, -1, mkdirat, "mkdir", (int folder, const char *path, mode_t mode), folder, path, folder, path, mode)
CALL(int, -1, link, "link", (const char *path, const char *to), AT_FDCWD, to, path, to)
CALL(int, -1, truncate, "truncate", (const char *path, off_t size), AT_FDCWD, path, path, size)
CALL(int, -1, truncate64, "truncate", (const char *path, off64_t size), AT_FDCWD, path, path, size)
CALL(int, -1, ftruncate, "truncate", (int file, off_t size), file, NULL, file, size)
CALL(int, -1, ftruncate64, "truncate", (int file, off64_t size), file, NULL, file, size)
CALL(int, -1, flock, "lock", (int file, int how), file, NULL, file, how)
CALL(int, -1, stat, "stat", (const char *path, struct stat *to), AT_FDCWD, path, path, to)
CALL(int, -1, stat64, "stat", (const char *path, struct stat64 *to), AT_FDCWD, path, path, to)
CALL(int, -1, lstat, "stat", (const char *path, struct stat *to), AT_FDCWD, path, path, to)
CALL(int, -1, lstat64, "stat", (const char *path, struct stat64 *to), AT_FDCWD, path, path, to)
CALL(int, -1, fstat, "stat", (int file, struct stat *to), file, NULL, file, to)
CALL(int, -1, fstat64, "stat", (int file, struct stat64 *to), file, NULL, file, to)
CALL(int, -1, fstatat, "stat", (int folder, const char *path, struct stat *to, int flags), folder, path, folder, path,
     to, flags)
CALL(int, -1, fstatat64, "stat", (int folder, const char *path, struct stat64 *to, int flags), folder, path, folder,
     path, to, flags)
CALL(DIR *, NULL, opendir, "list", (const char *path), AT_FDCWD, path, path)
CALL(DIR *, NULL, fdopendir, "list", (int file), file, NULL, file)

/* A file is closed even where that fails: what fails is the last writing, on network file systems. */
int close(int file) {
    int due = (fcntl(file, F_GETFL) & O_ACCMODE) != O_RDONLY && fails("close", file, NULL);
    int done = NEXT(close)(file);
    if (due) errno = failure;
    return due ? -1 : done;
}

#define MOVE(name, kind, parameters, ...)                                                                              \
    ssize_t name parameters {                                                                                          \
        int due = fails(kind, file, NULL);                                                                             \
        if (due && failure != SHORT) return -1;                                                                        \
        if (due && size > 1) size /= 2;                                                                                \
        return NEXT(name)(__VA_ARGS__);                                                                                \
    }

MOVE(write, "write", (int file, const void *data, size_t size), file, data, size)
MOVE(pwrite, "write", (int file, const void *data, size_t size, off_t at), file, data, size, at)
MOVE(pwrite64, "write", (int file, const void *data, size_t size, off64_t at), file, data, size, at)
MOVE(writev, "write", (int file, const struct iovec *data, int size), file, data, size)
MOVE(read, "read", (int file, void *data, size_t size), file, data, size)
MOVE(pread64, "read", (int file, void *data, size_t size, off64_t at), file, data, size, at)
