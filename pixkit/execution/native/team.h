/* Threads that go through a plan together: each has a slice of the images, but of large linear layers a part of the
 * columns, for all images. So every weight comes from far away once, not once a thread. Part of kernel.c.
 *
 * What one thread writes and another reads lies on two sides of a meeting. Threads that wait spin, which is good only
 * while each has a processor of its own: where they wait for a good part of the time, they go on apart.
 */
#include <sched.h>

enum { SPINS = 1 << 14, YIELDS = 16, GRACE = 16 }; /* SPINS take some 20 microseconds, YIELDS of them are a step's */

/* `layout.py` has it, too. */
typedef struct {
    i64 parts;
    i64 arrived, round, yields;
    i64 apart;  /* whether they shall go on each by itself */
    i64 broken; /* whether one of them will never come */
} Team;

static void meet(Team *team) {
    const i64 round = __atomic_load_n(&team->round, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == team->parts) {
        __atomic_store_n(&team->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&team->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    for (i64 spins = 1; __atomic_load_n(&team->round, __ATOMIC_ACQUIRE) == round; spins++) {
        if (spins % SPINS == 0) {
            if (__atomic_load_n(&team->broken, __ATOMIC_RELAXED)) return;
            __atomic_add_fetch(&team->yields, 1, __ATOMIC_RELAXED);
            sched_yield();
        }
#if defined(__x86_64__)
        if (spins % 16 == 0) __builtin_ia32_pause();
#endif
    }
}

/* One part's columns of a linear layer at some sites, in all images. */
static void share(const Program *p, const Op *op, const Instr *instr, i64 part, i64 parts) {
    const i64 panels = (op->width + PANEL - 1) / PANEL, begin = panels * part / parts * PANEL;
    const i64 end = panels * (part + 1) / parts * PANEL;
    const i32 *sites = p->sites + instr->first;
    for (i32 j = 0; j < instr->count; j++)
        mix(p, op, instr->group, j, sites[j], 0, p->batch, begin, end < op->width ? end : op->width);
}

/* Steps from..to-1 by part `part` of a team, whose images are first..last-1. Gives the step that it would go on with,
 * which is `to`, or one from which on the team's parts go on apart. */
i64 run_together(const Program *p, i64 from, i64 to, i64 first, i64 last, Team *team, i64 part) {
    for (i64 step = from; step < to; step++) {
        i32 met = 0; /* whether nobody has written anything since the last meeting */
        for (i64 i = p->steps[step]; i < p->steps[step + 1]; i++) {
            const Instr *instr = p->instrs + i;
            const Op *op = p->ops + instr->op;
            if (op->shared) {
                if (!met) meet(team);
                share(p, op, instr, part, team->parts);
                meet(team);
            } else single(p, instr, first, last);
            met = op->shared;
        }
        draw_step(p, step, first, last);
        if (part == 0) {
            const i64 yields = __atomic_load_n(&team->yields, __ATOMIC_RELAXED);
            __atomic_store_n(&team->apart, yields > YIELDS * (step - from + GRACE), __ATOMIC_RELAXED);
        }
        meet(team);
        if (__atomic_load_n(&team->apart, __ATOMIC_RELAXED) || __atomic_load_n(&team->broken, __ATOMIC_RELAXED)) return step + 1;
        meet(team); /* before the first of them decides anew */
    }
    return to;
}
