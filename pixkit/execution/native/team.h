/* A team of threads that walk the same steps, each with a part of the maps of what is worth sharing. Part of kernel.c.
 *
 * Every number is computed by one thread, as one thread alone would: how many there are changes no bit. They meet where
 * one needs what another has computed, or is to write what another reads (`stage` of an operation).
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

enum { MOST_THREADS = 64, UNIT = 16, ITSELF = -1 };
enum { SPINS = 1 << 10 }; /* looks before the processor is left to others, who may be those that are waited for */

typedef struct { i32 number, parts; } Part;
typedef struct { i64 start, end; } Span;

/* A part of `count` maps, in whole units of vectors. */
static inline Span span(i64 count, Part part) {
    if (part.parts == 1) return (Span){0, count};
    const i64 units = (count + UNIT - 1) / UNIT, end = units * (part.number + 1) / part.parts * UNIT;
    const i64 start = units * part.number / part.parts * UNIT;
    return (Span){start, end < count ? end : count};
}

/* Apart, since one is written by all while they look at the other. */
typedef struct {
    _Alignas(64) i32 arrived;
    i64 lost, begun, patience; /* nanoseconds lost by waiting; when the team began; how many may be lost in any case */
    _Alignas(64) i32 turn, parts; /* how many there are is known once all that can be had have begun */
} Team;

static inline i64 now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (i64)time.tv_sec * 1000000000 + time.tv_nsec;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Wait until a number is another one. Gives the nanoseconds that it took, once others were let run meanwhile. */
static inline i64 wait_until_not(const i32 *number, i32 old) {
    for (i32 looks = 0; looks < SPINS; looks++) {
        if (__atomic_load_n(number, __ATOMIC_ACQUIRE) != old) return 0;
        relax();
    }
    const i64 since = now();
    while (__atomic_load_n(number, __ATOMIC_ACQUIRE) == old) sched_yield();
    return now() - since;
}

/* Wait for all of the team. If much of its time is lost by waiting, as where other processes run, there is only the first
 * thread from then on. */
static inline void meet(Team *team) {
    const i32 parts = team->parts, turn = __atomic_load_n(&team->turn, __ATOMIC_RELAXED);
    if (parts == 1) return;
    if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) < parts) {
        const i64 lost = wait_until_not(&team->turn, turn);
        if (lost) __atomic_add_fetch(&team->lost, lost, __ATOMIC_RELAXED);
        return;
    }
    const i64 lost = __atomic_load_n(&team->lost, __ATOMIC_RELAXED) / (parts - 1);
    if (lost > team->patience && lost > team->patience + (now() - team->begun) / 4) team->parts = 1;
    team->arrived = 0;
    __atomic_store_n(&team->turn, turn + 1, __ATOMIC_RELEASE);
}

static void start(Team *team, i32 parts) {
    team->begun = now();
    __atomic_store_n(&team->parts, parts, __ATOMIC_RELEASE);
}

/* Begin a thread, with as much memory for what lies on its stack as a main thread mostly has; 0 if there is none. */
static i32 begin(pthread_t *thread, void *(*work)(void *), void *given) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes)) return 0;
    pthread_attr_setstacksize(&attributes, (size_t)8 << 20);
    const i32 failed = pthread_create(thread, &attributes, work, given);
    pthread_attr_destroy(&attributes);
    return !failed;
}
