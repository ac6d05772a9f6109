/* The GPU's kernel on a CPU: a cluster's lanes are fibres, and each runs until the next barrier. Between two barriers the
 * lanes of a block are taken forward, backward, or shuffled anew, and so are the blocks of a cluster between two barriers
 * of the cluster; if nothing is read before it was written, that cannot matter. */
#include <stdlib.h>
#include <ucontext.h>

static void wait_at(int line, int all);
#define BARRIER() wait_at(__LINE__, 0)
#define TOGETHER(parts) wait_at(__LINE__, 1)
#include "persistent.cu"

enum { FORWARD, BACKWARD, SHUFFLED };
#define STACK 65536

typedef struct { ucontext_t context; Lane lane; int line, all; } Fibre; /* the line of its barrier; 0 at the end */
typedef struct { Fibre *fibres; int *turn, lanes, line, all; } Block;   /* where all its lanes are */

static ucontext_t scheduler;
static Fibre *running;
static const Program *program;
static i64 first_step, last_step;
static uint32_t state;

static void wait_at(int line, int all) {
    running->line = line, running->all = all;
    swapcontext(&running->context, &scheduler);
}

static void body(void) {
    run_lane(program, &running->lane, first_step, last_step);
    running->line = 0, running->all = 1;
}

static uint32_t random_below(uint32_t count) {
    state = state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)state * count) >> 32);
}

static void shuffle(int *turn, int count) {
    for (int i = count - 1; i > 0; i--) {
        int other = (int)random_below((uint32_t)i + 1), held = turn[i];
        turn[i] = turn[other], turn[other] = held;
    }
}

static void start(Block *block, int part, int parts, int lanes, i64 first, i32 images, int order) {
    real *scratch = aligned_alloc(64, SCRATCH);
    memset(scratch, 0xff, SCRATCH); /* no numbers, as nothing may be read that was not written */
    *block = (Block){calloc((size_t)lanes, sizeof(Fibre)), malloc(sizeof(int) * (size_t)lanes), lanes, 1, 0};
    for (int lane = 0; lane < lanes; lane++) {
        Fibre *fibre = block->fibres + lane;
        getcontext(&fibre->context);
        fibre->context.uc_stack.ss_sp = malloc(STACK);
        fibre->context.uc_stack.ss_size = STACK;
        fibre->context.uc_link = &scheduler;
        makecontext(&fibre->context, body, 0);
        fibre->lane = (Lane){lane, lanes, part, parts, first, images, scratch};
        block->turn[lane] = order == BACKWARD ? lanes - 1 - lane : lane;
    }
}

static void end(Block *block) {
    free(block->fibres[0].lane.scratch);
    for (int lane = 0; lane < block->lanes; lane++) free(block->fibres[lane].context.uc_stack.ss_sp);
    free(block->fibres), free(block->turn);
}

/* Run a block's lanes to their next barrier. Gives 0, or the line of one that not all of them came to. */
static int advance(Block *block, int order) {
    if (order == SHUFFLED) shuffle(block->turn, block->lanes);
    for (int i = 0; i < block->lanes; i++) {
        running = block->fibres + block->turn[i];
        swapcontext(&scheduler, &running->context);
        if (i == 0) block->line = running->line, block->all = running->all;
        else if (running->line != block->line) return block->line ? block->line : running->line;
    }
    return 0;
}

/* Run a cluster's blocks to its next barrier. Gives 0, or the line of one that not all of them came to. */
static int advance_all(Block *blocks, int parts, int order) {
    int apart = 0, waiting = 0, turn[parts];
    for (int part = 0; part < parts; part++) turn[part] = order == BACKWARD ? parts - 1 - part : part;
    for (int part = 0; part < parts; part++) blocks[part].all = 0;
    while (waiting < parts && !apart) {
        if (order == SHUFFLED) shuffle(turn, parts);
        for (int i = 0; i < parts && !apart; i++)
            while (!blocks[turn[i]].all && !apart) {
                apart = advance(blocks + turn[i], order);
                waiting += blocks[turn[i]].all;
                if (order == SHUFFLED) break;
            }
    }
    for (int part = 1; part < parts && !apart; part++)
        if (blocks[part].line != blocks->line) apart = blocks->line ? blocks->line : blocks[part].line;
    return apart;
}

/* Steps from..to-1 of the whole batch. Gives 0, or the line of a barrier that not all lanes came to. */
int emulate(const Program *p, i64 from, i64 to, int lanes, int images, int parts, int order) {
    Block blocks[parts];
    int apart = 0;
    program = p, first_step = from, last_step = to, state = 1;
    for (i64 first = 0; first < p->batch && !apart; first += images) {
        i32 own = (i32)(first + images > p->batch ? p->batch - first : images);
        for (int part = 0; part < parts; part++) start(blocks + part, part, parts, lanes, first, own, order);
        do apart = advance_all(blocks, parts, order);
        while (blocks->line && !apart);
        for (int part = 0; part < parts; part++) end(blocks + part);
    }
    return apart;
}
