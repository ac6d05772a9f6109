/* The GPU's kernel on a CPU: a block's lanes are fibres, and each runs until the next barrier. Between two barriers they
 * are taken forward, backward, or shuffled anew; if nothing is read before it was written, that cannot matter. */
#include <stdlib.h>
#include <ucontext.h>

static void wait_at(int line);
#define BARRIER() wait_at(__LINE__)
#include "persistent.cu"

enum { FORWARD, BACKWARD, SHUFFLED };
#define STACK 65536

typedef struct { ucontext_t context; Lane lane; int line; } Fibre; /* the line of its barrier; 0 at the end */

static ucontext_t scheduler;
static Fibre *running;
static const Program *program;
static i64 first_step, last_step;
static uint32_t state;

static void wait_at(int line) {
    running->line = line;
    swapcontext(&running->context, &scheduler);
}

static void body(void) {
    run_lane(program, &running->lane, first_step, last_step);
    running->line = 0;
}

static uint32_t random_below(uint32_t count) {
    state = state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)state * count) >> 32);
}

/* Steps from..to-1 of the whole batch. Gives 0, or the line of a barrier that not all of a block's lanes came to. */
int emulate(const Program *p, i64 from, i64 to, int lanes, int images, int order) {
    Fibre *fibres = calloc((size_t)lanes, sizeof(Fibre));
    char *stacks = malloc((size_t)lanes * STACK);
    int *turn = malloc(sizeof(int) * (size_t)lanes), line = 0, apart = 0;
    real *scratch = NULL;
    program = p, first_step = from, last_step = to, state = 1;
    for (i64 first = 0; first < p->batch && !apart; first += images) {
        scratch = aligned_alloc(64, SCRATCH);
        memset(scratch, 0xff, SCRATCH); /* no numbers, as nothing may be read that was not written */
        for (int lane = 0; lane < lanes; lane++) {
            Fibre *fibre = fibres + lane;
            getcontext(&fibre->context);
            fibre->context.uc_stack.ss_sp = stacks + (size_t)lane * STACK;
            fibre->context.uc_stack.ss_size = STACK;
            fibre->context.uc_link = &scheduler;
            makecontext(&fibre->context, body, 0);
            fibre->lane = (Lane){lane, lanes, first, (i32)(first + images > p->batch ? p->batch - first : images), scratch};
            turn[lane] = order == BACKWARD ? lanes - 1 - lane : lane;
        }
        do {
            for (int i = lanes - 1; order == SHUFFLED && i > 0; i--) {
                int other = (int)random_below((uint32_t)i + 1), held = turn[i];
                turn[i] = turn[other], turn[other] = held;
            }
            for (int i = 0; i < lanes; i++) {
                running = fibres + turn[i];
                swapcontext(&scheduler, &running->context);
                if (i == 0) line = running->line;
                else if (running->line != line) apart = line ? line : running->line;
            }
        } while (line && !apart);
        free(scratch);
    }
    free(fibres), free(stacks), free(turn);
    return apart;
}
