/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What vCPUs share of the code that they run: it is decoded and translated
 * once; what one overwrites the others run as soon as they have serialized,
 * and soon without; and everything goes right when the cache is full all the
 * time.
 *
 * Each guest runs interpreted, translated when hot and translated at once,
 * with two vCPUs and with four.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <squib/squib.h>

#include "backends/soft/vcpu.h"
#include "backends/soft/vm.h"
#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/jit/jit.h"
#include "base/util.h"
#include "core/memory.h"

enum {
    RAM_LEN = 0x400000, PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000,
    SHARED = 0x8000, /* words that vCPUs tell each other by */
    SEQ = SHARED, DONE = SHARED + 8, ACK = SHARED + 64, /* 64 bytes each */
    CODE = 0x10000, WRITER = 0x20000, ELSEWHERE = 0x30000,
    FUNCTIONS = 0x40000, FUNCTION_LEN = 256, FUNCTION_COUNT = 64,
    DATA = 0x100000, STACKS = 0x200000, PER_VCPU = 0x10000,
    VCPUS_MAX = 4, PORT = 0xf4,
    ROUNDS = 40, LAST = 6000, LAST_IN_STEP = 50,
};

static const char *const backends[] = {"soft,jit=off", "soft,jit=on",
                                       "soft,jit=eager"};
static const unsigned counts[] = {2, 4};

static int failed;

static void check(bool good, const char *backend, unsigned n,
                  const char *what)
{
    if (good)
        return;
    printf("not ok - %s, %u vCPUs: %s\n", backend, n, what);
    failed = 1;
}

/* --- machines ------------------------------------------------------------ */

struct machine {
    struct squib_memory *mem;
    struct squib_vm *vm;
    uint8_t *ram;
    unsigned n;
    uint64_t entry[VCPUS_MAX];
    pthread_barrier_t ready, ended;
    struct vcpu {
        struct machine *m;
        unsigned index;
        struct squib_vcpu *vcpu;
        enum squib_exit_kind last;
        uint64_t gpr[16];
    } vcpu[VCPUS_MAX];
};

static void give_up(const char *what, const struct squib_error *e)
{
    printf("not ok - %s: %s\n", what, e->text);
    exit(1);
}

static void make(struct machine *m, const char *backend, unsigned n)
{
    const struct squib_vm_config config = {.vcpus = n};
    const struct squib_backend *be = squib_backend_find(backend);
    struct squib_error e = {0};
    const uint64_t tables[][2] = {{PML4, PDPT | 7}, {PDPT, PD | 7},
                                  {PD, 0x87}, {PD + 8, 0x200087}};

    memset(m, 0, sizeof(*m));
    m->n = n;
    if (!be || squib_memory_new(&m->mem, &e) ||
        squib_memory_add(m->mem, (struct squib_range){0, RAM_LEN}, &e) ||
        squib_vm_new(be, &config, m->mem, &m->vm, &e))
        give_up(backend, &e);
    m->ram = sq_memory_ptr(m->mem, 0, RAM_LEN);
    for (size_t k = 0; k < SQ_ARRAY_LEN(tables); k++)
        memcpy(m->ram + tables[k][0], &tables[k][1], 8);
    for (unsigned k = 0; k < n; k++) {
        m->vcpu[k].m = m;
        m->vcpu[k].index = k;
        m->entry[k] = CODE;
        if (squib_vcpu_new(m->vm, k, &m->vcpu[k].vcpu, &e))
            give_up(backend, &e);
    }
    pthread_barrier_init(&m->ready, NULL, n);
    pthread_barrier_init(&m->ended, NULL, n);
}

static void unmake(struct machine *m)
{
    for (unsigned k = 0; k < m->n; k++)
        squib_vcpu_free(m->vcpu[k].vcpu);
    pthread_barrier_destroy(&m->ready);
    pthread_barrier_destroy(&m->ended);
    squib_vm_free(m->vm);
    squib_memory_free(m->mem);
}

static struct sq_soft_vm *soft(struct machine *m)
{
    return SQ_CONTAINER_OF(m->vm, struct sq_soft_vm, base);
}

static uint64_t translated(struct machine *m)
{
    struct sq_jit_made last;

    return sq_jit_made(soft(m)->jit, &last);
}

/* Runs one vCPU to its write to PORT. RDI is its number, RSI memory of its
 * own, RCX how often. */
static void run_one(struct vcpu *v)
{
    struct squib_x86_64_state *st = calloc(1, sizeof(*st));
    struct squib_error e;

    if (!st)
        abort();
    squib_x86_long_mode(st, v->m->entry[v->index], PML4);
    st->gpr[SQUIB_X86_RCX] = ROUNDS;
    st->gpr[SQUIB_X86_RDI] = v->index;
    st->gpr[SQUIB_X86_RSI] = DATA + v->index * PER_VCPU;
    st->gpr[SQUIB_X86_RSP] = STACKS + (v->index + 1) * PER_VCPU;
    if (squib_vcpu_set_state(v->vcpu, SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM,
                             st, &e))
        give_up("state", &e);
    v->last = squib_vcpu_run(v->vcpu)->kind;
    squib_vcpu_get_state(v->vcpu, SQUIB_STATE_REGS, st, &e);
    memcpy(v->gpr, st->gpr, sizeof(v->gpr));
    free(st);
}

static void *run_thread(void *ctx)
{
    struct vcpu *v = ctx;

    pthread_barrier_wait(&v->m->ready);
    run_one(v);
    pthread_barrier_wait(&v->m->ended);
    return NULL;
}

/* All at once. */
static void run_all(struct machine *m, const char *backend)
{
    pthread_t thread[VCPUS_MAX];

    for (unsigned k = 0; k < m->n; k++)
        if (pthread_create(&thread[k], NULL, run_thread, &m->vcpu[k]))
            abort();
    for (unsigned k = 0; k < m->n; k++)
        pthread_join(thread[k], NULL);
    for (unsigned k = 0; k < m->n; k++)
        check(m->vcpu[k].last == SQUIB_EXIT_PIO, backend, m->n,
              "a guest did not come to its end");
}

/* --- code ---------------------------------------------------------------- */

struct text {
    uint8_t *ram;
    uint64_t at;
};

static void put(struct text *t, const void *bytes, size_t n)
{
    memcpy(t->ram + t->at, bytes, n);
    t->at += n;
}
#define PUT(t, ...)                                                        \
    put(t, (const uint8_t[]){__VA_ARGS__},                                 \
        sizeof((const uint8_t[]){__VA_ARGS__}))
static void put32(struct text *t, uint64_t v)
{
    put(t, &v, 4);
}
/* What ends in a 32-bit distance. */
#define PUT_REL(t, to, ...)                                                \
    do {                                                                   \
        PUT(t, __VA_ARGS__);                                               \
        put32(t, (to) - ((t)->at + 4));                                    \
    } while (0)
enum { CALL = 0xe8, JMP = 0xe9 };

static void put_end(struct text *t)
{
    PUT(t, 0xe6, PORT);
    PUT(t, 0xeb, 0xfc);
}

/* mov eax, 0; ret, with the number where it can be stored at once; returns
 * where that is. */
static uint64_t put_function(uint8_t *ram, uint64_t at)
{
    struct text t = {ram, at};

    PUT(&t, 0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3);
    return at + 4;
}

/* --- translated once ----------------------------------------------------- */

static void put_work(struct machine *m)
{
    struct text t = {m->ram, CODE};
    uint64_t loop;

    for (unsigned k = 0; k < FUNCTION_COUNT; k++) {
        struct text f = {m->ram, FUNCTIONS + k * FUNCTION_LEN};

        PUT(&f, 0x48, 0x05); /* add rax, imm */
        put32(&f, 0x1234567 * (k + 1));
        PUT(&f, 0x48, 0x31, 0xc3, 0x48, 0x89, 0x86); /* xor rbx, rax; mov */
        put32(&f, 8 * k);                            /* [rsi + 8k], rax */
        PUT(&f, 0xa8, 0x01, 0x74, 0x03);  /* test al, 1; jz */
        PUT(&f, 0x48, 0xff, 0xc3);        /* inc rbx */
        PUT(&f, 0x48, 0x03, 0x9e);        /* add rbx, [rsi + 8 (63 - k)] */
        put32(&f, 8 * (FUNCTION_COUNT - 1 - k));
        PUT(&f, 0xc3);
    }
    loop = t.at;
    for (unsigned k = 0; k < FUNCTION_COUNT; k++)
        PUT_REL(&t, FUNCTIONS + k * FUNCTION_LEN, CALL);
    PUT(&t, 0xff, 0xc9); /* dec ecx */
    PUT_REL(&t, loop, 0x0f, 0x85);
    put_end(&t);
}

static void same_results(struct machine *m, const char *backend,
                         uint64_t want)
{
    for (unsigned k = 0; k < m->n; k++)
        check(m->vcpu[k].gpr[SQUIB_X86_RBX] == want, backend, m->n,
              "another result");
}

/* Returns what the work computes. */
static uint64_t once(const char *backend, unsigned n)
{
    struct machine m;
    uint64_t blocks, made, want;

    make(&m, backend, n);
    put_work(&m);
    run_one(&m.vcpu[0]);
    blocks = sq_block_count(soft(&m)->blocks);
    made = translated(&m);
    want = m.vcpu[0].gpr[SQUIB_X86_RBX];
    check(blocks > 2 * FUNCTION_COUNT, backend, n, "nothing was decoded");
    check(!soft(&m)->jit || made > 2 * FUNCTION_COUNT, backend, n,
          "nothing was translated");
    for (unsigned k = 1; k < n; k++)
        run_one(&m.vcpu[k]);
    check(sq_block_count(soft(&m)->blocks) == blocks, backend, n,
          "the next vCPU decoded code again");
    check(translated(&m) == made, backend, n,
          "the next vCPU translated code again");
    same_results(&m, backend, want);
    unmake(&m);

    make(&m, backend, n);
    put_work(&m);
    run_all(&m, backend);
    check(sq_block_count(soft(&m)->blocks) == blocks, backend, n,
          "vCPUs side by side decoded code twice");
    check(translated(&m) <= made, backend, n,
          "vCPUs side by side translated code twice");
    same_results(&m, backend, want);
    unmake(&m);
    return want;
}

/* --- the cache is full --------------------------------------------------- */

/* Too little room for decoded blocks or, with four vCPUs, for code. */
static void fill_up(struct machine *m)
{
    struct sq_soft_vm *vm = soft(m);

    if (vm->jit && m->n > 2) /* what one block must find free, and a little */
        sq_jit_room(vm->jit, 2 * ((64 << 10) + 8192));
    else
        sq_block_limit(vm->blocks, 8192);
}

static void full(const char *backend, unsigned n, uint64_t want)
{
    struct machine m;

    make(&m, backend, n);
    put_work(&m);
    fill_up(&m);
    run_all(&m, backend);
    check(sq_block_forgotten(soft(&m)->blocks) > 2, backend, n,
          "the cache was hardly ever full");
    check(!soft(&m)->jit || n == 2 || translated(&m) > 0, backend, n,
          "nothing was translated");
    same_results(&m, backend, want);
    unmake(&m);
}

/* --- code that changes ---------------------------------------------------- */

/* The first vCPU counts up in a function and says so in SEQ, the others run
 * it. With `serialize` they execute CPUID between reading SEQ and calling,
 * and must not see less than SEQ said; without, they must not see less than
 * before, and must see the last value some time. With `in_step` each value is
 * waited for. `at`: where the function is. */
static void modify(const char *backend, unsigned n, uint64_t at,
                   bool serialize, bool in_step, bool tiny)
{
    unsigned last = in_step ? LAST_IN_STEP : LAST;
    struct machine m;
    struct text t, w;
    uint64_t loop, number, wait;

    make(&m, backend, n);
    if (tiny)
        fill_up(&m);
    number = put_function(m.ram, at);

    w = (struct text){m.ram, WRITER};
    m.entry[0] = WRITER;
    PUT(&w, 0x45, 0x31, 0xc0); /* xor r8d, r8d */
    loop = w.at;
    PUT(&w, 0x41, 0xff, 0xc0, 0x44, 0x89, 0x04, 0x25); /* inc r8d; mov */
    put32(&w, number);
    PUT(&w, 0x44, 0x89, 0x04, 0x25);
    put32(&w, SEQ);
    for (unsigned k = 1; in_step && k < n; k++) {
        wait = w.at;
        PUT(&w, 0xf3, 0x90, 0x44, 0x39, 0x04, 0x25); /* cmp [ACK], r8d */
        put32(&w, ACK + 64 * k);
        PUT_REL(&w, wait, 0x0f, 0x82);
    }
    PUT(&w, 0x41, 0x81, 0xf8);
    put32(&w, last);
    PUT_REL(&w, loop, 0x0f, 0x85);
    put_end(&w);

    t = (struct text){m.ram, CODE};
    PUT(&t, 0xc1, 0xe7, 0x06);                   /* shl edi, 6 */
    PUT(&t, 0x45, 0x31, 0xc9, 0x4d, 0x31, 0xd2); /* r9d, r10 = 0 */
    loop = t.at;
    if (serialize) {
        PUT(&t, 0x44, 0x8b, 0x0c, 0x25); /* mov r9d, [SEQ] */
        put32(&t, SEQ);
        PUT(&t, 0x31, 0xc0, 0x0f, 0xa2); /* cpuid */
    }
    PUT_REL(&t, at, CALL);
    PUT(&t, 0x44, 0x39, 0xc8, 0x73, 0x03, 0x49, 0xff, 0xc2); /* r10++ if < */
    if (!serialize)
        PUT(&t, 0x41, 0x89, 0xc1); /* mov r9d, eax */
    PUT(&t, 0x44, 0x89, 0x8f);     /* mov [ACK + rdi], r9d */
    put32(&t, ACK);
    PUT(&t, 0x41, 0x81, 0xf9);
    put32(&t, last);
    PUT_REL(&t, loop, 0x0f, 0x85);
    put_end(&t);

    run_all(&m, backend);
    for (unsigned k = 1; k < n; k++)
        check(m.vcpu[k].gpr[SQUIB_X86_R10] == 0, backend, n,
              serialize ? "old code after serializing"
                        : "older code after newer code");
    unmake(&m);
}

/* A vCPU that can write to a page has been asked to give that up, and has not
 * got round to it: this test is that vCPU, and writes. Who runs the code must
 * see what it wrote. */
static void unanswered(const char *backend)
{
    enum { WRITES = 100 };
    struct machine m;
    struct text t, w;
    uint64_t number, blocks;
    struct sq_x86_cpu *writer;

    make(&m, backend, 2);
    number = put_function(m.ram, ELSEWHERE);
    w = (struct text){m.ram, WRITER};
    m.entry[0] = WRITER;
    PUT(&w, 0xc7, 0x04, 0x25); /* mov dword [number], 1 */
    put32(&w, number);
    put32(&w, 1);
    put_end(&w);
    t = (struct text){m.ram, CODE};
    PUT_REL(&t, ELSEWHERE, CALL);
    put_end(&t);
    run_one(&m.vcpu[0]);
    writer = &soft(&m)->vcpu[0]->cpu;
    atomic_store(&writer->in_run, true);
    run_one(&m.vcpu[1]);
    check(m.vcpu[1].gpr[SQUIB_X86_RAX] == 1, backend, 2,
          "a store did not reach the code");
    run_one(&m.vcpu[1]); /* what runs again enters the cache */
    blocks = sq_block_count(soft(&m)->blocks);
    for (unsigned k = 2; k < WRITES; k++) {
        sq_st32(m.ram + number, k);
        run_one(&m.vcpu[1]);
        check(m.vcpu[1].gpr[SQUIB_X86_RAX] == k, backend, 2,
              "old code from a page that can be written");
    }
    check(sq_block_count(soft(&m)->blocks) == blocks, backend, 2,
          "the cache has code from a page that can be written");
    atomic_store(&writer->in_run, false);
    run_one(&m.vcpu[1]);
    run_one(&m.vcpu[1]);
    check(sq_block_count(soft(&m)->blocks) > blocks, backend, 2,
          "the cache does not take what nobody can write to");
    unmake(&m);
}

/* Every vCPU counts up in the next one's function and runs its own; all are
 * on one page. In the end all agree. */
static void each_other(const char *backend, unsigned n, bool tiny)
{
    struct machine m;
    struct text t;
    uint64_t loop, wait, number[VCPUS_MAX];

    make(&m, backend, n);
    if (tiny)
        fill_up(&m);
    for (unsigned k = 0; k < n; k++)
        number[k] = put_function(m.ram, ELSEWHERE + 64 * k);
    for (unsigned k = 0; k < n; k++) {
        t = (struct text){m.ram, CODE + 0x1000 * k};
        m.entry[k] = t.at;
        PUT(&t, 0xb9);
        put32(&t, LAST);
        PUT(&t, 0x45, 0x31, 0xc9, 0x4d, 0x31, 0xd2); /* r9d, r10 = 0 */
        loop = t.at;
        PUT(&t, 0xff, 0x04, 0x25); /* inc dword [the next one's] */
        put32(&t, number[(k + 1) % n]);
        PUT_REL(&t, ELSEWHERE + 64 * k, CALL);
        PUT(&t, 0x44, 0x39, 0xc8, 0x73, 0x03, 0x49, 0xff, 0xc2);
        PUT(&t, 0x41, 0x89, 0xc1, 0xff, 0xc9);
        PUT_REL(&t, loop, 0x0f, 0x85);
        PUT(&t, 0xf0, 0xff, 0x04, 0x25); /* lock inc dword [DONE] */
        put32(&t, DONE);
        wait = t.at;
        PUT(&t, 0xf3, 0x90, 0x83, 0x3c, 0x25); /* until all have */
        put32(&t, DONE);
        PUT(&t, (uint8_t)n);
        PUT_REL(&t, wait, 0x0f, 0x82);
        PUT(&t, 0x31, 0xc0, 0x0f, 0xa2); /* cpuid */
        PUT_REL(&t, ELSEWHERE + 64 * k, CALL);
        put_end(&t);
    }
    run_all(&m, backend);
    for (unsigned k = 0; k < n; k++) {
        check(m.vcpu[k].gpr[SQUIB_X86_R10] == 0, backend, n,
              "older code after newer code, each other's");
        check(m.vcpu[k].gpr[SQUIB_X86_RAX] == LAST, backend, n,
              "old code in the end, each other's");
    }
    unmake(&m);
}

int main(void)
{
    for (size_t b = 0; b < SQ_ARRAY_LEN(backends); b++) {
        unanswered(backends[b]);
        for (size_t c = 0; c < SQ_ARRAY_LEN(counts); c++) {
            const char *be = backends[b];
            unsigned n = counts[c];
            uint64_t want = once(be, n);

            full(be, n, want);
            for (unsigned k = 0; k < 8; k++)
                modify(be, n, k & 1 ? CODE + 0x800 : ELSEWHERE, k & 2,
                       k & 4, false);
            modify(be, n, CODE + 0x800, true, false, true);
            each_other(be, n, false);
            each_other(be, n, true);
            if (!failed)
                printf("ok - %s, %u vCPUs\n", be, n);
            fflush(stdout);
        }
    }
    return failed;
}
