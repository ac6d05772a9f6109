/* A team of threads that walk the same steps, each computing some of the maps where sharing pays. Part of kernel.c.
 *
 * Every number is computed by one thread, in the same way as without a team: the number of threads changes no bit. They
 * synchronise where one needs what another has computed, or is to write what another reads (`stage` of an operation).
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

enum { MOST_THREADS = 64, UNIT = 16, ITSELF = -1 };
enum { SPINS = 1 << 10 }; /* polls before yielding the processor, perhaps to those that are waited for */

typedef struct { i32 number, parts; } Part;
typedef struct { i64 start, end; } Span;

/* A share of `count` maps, in whole vectors. */
static inline Span span(i64 count, Part part) {
    if (part.parts == 1) return (Span){0, count};
    const i64 units = (count + UNIT - 1) / UNIT, end = units * (part.number + 1) / part.parts * UNIT;
    const i64 start = units * part.number / part.parts * UNIT;
    return (Span){start, end < count ? end : count};
}

/* On separate cache lines, since all write to one while they poll the other. */
typedef struct {
    _Alignas(64) i32 arrived;
    i64 lost, begun, patience; /* nanoseconds lost by waiting; when the team began; how many may be lost in any case */
    _Alignas(64) i32 turn, parts; /* the number of threads is known once all that can be started have begun */
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

/* Wait until a number changes. Returns the nanoseconds that it took, counted once the processor was yielded. */
static inline i64 wait_until_not(const i32 *number, i32 old) {
    for (i32 looks = 0; looks < SPINS; looks++) {
        if (__atomic_load_n(number, __ATOMIC_ACQUIRE) != old) return 0;
        relax();
    }
    const i64 since = now();
    while (__atomic_load_n(number, __ATOMIC_ACQUIRE) == old) sched_yield();
    return now() - since;
}

/* Wait for the whole team. If it loses much of its time by waiting, for example because other processes run, only
 * the first thread continues from then on. */
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

/* Start a thread, with as large a stack as a main thread usually has; 0 if that fails. */
static i32 begin(pthread_t *thread, void *(*work)(void *), void *given) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes)) return 0;
    pthread_attr_setstacksize(&attributes, (size_t)8 << 20);
    const i32 failed = pthread_create(thread, &attributes, work, given);
    pthread_attr_destroy(&attributes);
    return !failed;
}
