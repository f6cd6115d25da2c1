/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wrong translation does not stay hidden: code that was translated is
 * changed behind the translator's back, one byte at a time, and lockstep
 * must name the block and what went wrong; then, without lockstep, halving
 * the number of blocks that are translated must find the same block.
 */
#include <stdio.h>
#include <string.h>

#include <squib/squib.h>

#include "backends/soft/vcpu.h"
#include "backends/soft/x86_64/jit/state.h"
#include "backends/soft/x86_64/lockstep.h"
#include "base/util.h"
#include "core/memory.h"

enum {
    RAM_LEN = 0x200000, PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000,
    CODE = 0x10000, DATA = 0x40000, STACK = 0x90000,
    BLOCKS = 40, BLOCK_LEN = 64, ROUNDS = 20,
};

/* Numbers of the guest's block n, all of which are the only ones of their
 * kind in the guest, and in its translation mean the same. */
#define IMM_ADD(n) (0x01230000u + (n))
#define IMM_MOV(n) (0x04560000u + (n))
#define IMM_CMP(n) (0x07890000u + (n))
#define DISP(n) (0x1000u + 0x10u * (n))

struct machine {
    struct squib_memory *mem;
    struct squib_vm *vm;
    struct squib_vcpu *vcpu;
    uint8_t *ram;
    struct squib_x86_64_state st;
};

static int failed;

static bool make(struct machine *m, const char *backend)
{
    const struct squib_vm_config config = {.vcpus = 1};
    const struct squib_backend *be = squib_backend_find(backend);
    struct squib_error e = {0};

    if (!be || squib_memory_new(&m->mem, &e) ||
        squib_memory_add(m->mem, (struct squib_range){0, RAM_LEN}, &e) ||
        squib_vm_new(be, &config, m->mem, &m->vm, &e) ||
        squib_vcpu_new(m->vm, 0, &m->vcpu, &e)) {
        printf("not ok - %s: %s\n", backend, e.text);
        failed = 1;
        return false;
    }
    m->ram = sq_memory_ptr(m->mem, 0, RAM_LEN);
    return true;
}

static void unmake(struct machine *m)
{
    squib_vcpu_free(m->vcpu);
    squib_vm_free(m->vm);
    squib_memory_free(m->mem);
}

static struct sq_x86_cpu *cpu_of(struct machine *m)
{
    return &SQ_CONTAINER_OF(m->vcpu, struct sq_soft_vcpu, base)->cpu;
}

/* --- the guest ----------------------------------------------------------- */

struct text {
    uint8_t *at;
};

static void put(struct text *t, const void *bytes, size_t n)
{
    memcpy(t->at, bytes, n);
    t->at += n;
}
#define PUT(t, ...)                                                        \
    put(t, (const uint8_t[]){__VA_ARGS__},                                 \
        sizeof((const uint8_t[]){__VA_ARGS__}))
static void put32(struct text *t, uint32_t v)
{
    put(t, &v, 4);
}

static uint64_t block_at(unsigned n)
{
    return CODE + n * BLOCK_LEN;
}

static void put_block(uint8_t *ram, unsigned n)
{
    struct text t = {ram + block_at(n)};

    PUT(&t, 0x48, 0x05); /* add rax, imm */
    put32(&t, IMM_ADD(n));
    PUT(&t, 0x48, 0x31, 0xc3); /* xor rbx, rax */
    PUT(&t, 0xc7, 0x87);       /* mov dword [rdi + disp], imm */
    put32(&t, DISP(n));
    put32(&t, IMM_MOV(n));
    PUT(&t, 0x48, 0x81, 0xfb); /* cmp rbx, imm */
    put32(&t, IMM_CMP(n));
    PUT(&t, 0xeb, (uint8_t)(BLOCK_LEN - (size_t)(t.at + 2 - ram -
                                                 block_at(n)) - 8));
    t.at = ram + block_at(n) + BLOCK_LEN - 8;
    PUT(&t, 0x48, 0x83, 0xd2, 0x00); /* adc rdx, 0: reads CF */
    if (n + 1 < BLOCKS) {
        PUT(&t, 0xeb, 0x02, 0x90, 0x90);
    } else { /* dec ecx; jmp to the tail */
        PUT(&t, 0xff, 0xc9, 0x75, 0x01);
        PUT(&t, 0xf4);
        PUT(&t, 0xe9);
        put32(&t, (uint32_t)(CODE - (block_at(n) + BLOCK_LEN - 8 + 8 + 1 +
                                     5)));
    }
}

/* Runs the guest to its HLT, or to what else comes. */
static struct squib_exit *run(struct machine *m)
{
    struct squib_error e;
    uint64_t v = PDPT | 7;

    memset(m->ram, 0, RAM_LEN);
    memcpy(m->ram + PML4, &v, 8);
    v = PD | 7;
    memcpy(m->ram + PDPT, &v, 8);
    v = 0x87;
    memcpy(m->ram + PD, &v, 8);
    for (unsigned n = 0; n < BLOCKS; n++)
        put_block(m->ram, n);
    memset(&m->st, 0, sizeof(m->st));
    squib_x86_long_mode(&m->st, CODE, PML4);
    m->st.gpr[SQUIB_X86_RCX] = ROUNDS;
    m->st.gpr[SQUIB_X86_RDI] = DATA;
    m->st.gpr[SQUIB_X86_RSP] = STACK;
    squib_vcpu_set_state(m->vcpu, SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM,
                         &m->st, &e);
    return squib_vcpu_run(m->vcpu);
}

static void get_state(struct machine *m)
{
    struct squib_error e;

    squib_vcpu_get_state(m->vcpu, SQUIB_STATE_REGS, &m->st, &e);
}

/* --- faults -------------------------------------------------------------- */

struct fault {
    const char *what;
    uint32_t find, put; /* 32-bit number in the translation */
    const char *says;   /* in lockstep's message */
    unsigned times;     /* that it is there: checked, then used */
};

static const struct fault faults[] = {
    {"a wrong number added", IMM_ADD(7), IMM_ADD(7) + 1, "rax is ", 1},
    {"a wrong number stored", IMM_MOV(7), IMM_MOV(7) ^ 0x100, "memory is ", 1},
    {"a store to another place", DISP(7), DISP(7) + 8, "memory is ", 2},
    {"a store to another page", DISP(7), DISP(7) + 0x3000,
     "it wrote elsewhere", 2},
    {"a wrong comparison", IMM_CMP(7), IMM_CMP(7) | 0x70000000, "flags are ",
     1},
};

struct spoiler {
    const struct fault *fault;
    unsigned done;
};

static void spoil(void *ctx, const struct sq_jit_made *made, uint8_t *code,
                  size_t len)
{
    struct spoiler *s = ctx;

    if (made->rip != block_at(7))
        return;
    for (size_t k = 0; k + 4 <= len; k++) {
        if (sq_ld32(code + k) != s->fault->find)
            continue;
        sq_st32(code + k, s->fault->put);
        s->done++;
    }
}

static void spoil_with(struct machine *m, struct spoiler *s)
{
    cpu_of(m)->jit->spoil = spoil;
    cpu_of(m)->jit->spoil_ctx = s;
}

static void check(bool good, const char *what, const char *more)
{
    printf("%s - %s%s%s\n", good ? "ok" : "not ok", what, good ? "" : ": ",
           good ? "" : more);
    failed |= !good;
}

static void lockstep(const struct fault *f)
{
    struct machine m;
    struct spoiler s = {.fault = f};
    struct squib_exit *x;
    char where[32], what[100];
    const char *text;

    if (!make(&m, "soft,jit=lockstep"))
        return;
    spoil_with(&m, &s);
    x = run(&m);
    text = x->kind == SQUIB_EXIT_INTERNAL_ERROR ? x->internal_error.text
                                                : squib_exit_name(x->kind);
    snprintf(where, sizeof(where), "%#llx ", (unsigned long long)block_at(7));
    snprintf(what, sizeof(what), "lockstep finds %s", f->what);
    check(s.done == f->times && strstr(text, where) &&
              strstr(text, f->says), what, text);
    unmake(&m);
}

static void lockstep_unspoiled(void)
{
    struct machine m;
    struct squib_exit *x;

    if (!make(&m, "soft,jit=lockstep"))
        return;
    x = run(&m);
    check(x->kind == SQUIB_EXIT_HLT &&
              sq_lockstep_counts(cpu_of(&m)).pairs >= ROUNDS * BLOCKS &&
              sq_lockstep_counts(cpu_of(&m)).alone < 10,
          "lockstep finds nothing where nothing is wrong",
          x->kind == SQUIB_EXIT_INTERNAL_ERROR ? x->internal_error.text
                                               : squib_exit_name(x->kind));
    unmake(&m);
}

/* --- without lockstep ---------------------------------------------------- */

/* Runs with at most `most` translations; whether the end is as it should
 * be. The last block that was translated goes to *last. */
static bool right_with(const struct machine *want, const struct fault *f,
                       uint64_t most, uint64_t *made,
                       struct sq_jit_made *last)
{
    struct spoiler s = {.fault = f};
    struct machine m;
    bool same;

    if (!make(&m, "soft,jit=eager"))
        return false;
    spoil_with(&m, &s);
    sq_jit_limit(cpu_of(&m)->jit, most);
    run(&m);
    get_state(&m);
    *made = sq_jit_made(cpu_of(&m)->jit, last);
    same = memcmp(m.st.gpr, want->st.gpr, sizeof(m.st.gpr)) == 0 &&
           memcmp(m.ram + DATA, want->ram + DATA, 0x10000) == 0;
    unmake(&m);
    return same;
}

static void bisect(const struct machine *want, const struct fault *f)
{
    struct sq_jit_made last = {0};
    uint64_t made, good = 0, bad;
    char what[100];

    snprintf(what, sizeof(what), "halving finds %s", f->what);
    if (right_with(want, f, UINT32_MAX, &bad, &last)) {
        check(false, what, "the fault makes no difference");
        return;
    }
    if (!right_with(want, f, 0, &made, &last)) {
        check(false, what, "it differs without any translation");
        return;
    }
    while (bad - good > 1) {
        uint64_t most = good + (bad - good) / 2;

        *(right_with(want, f, most, &made, &last) ? &good : &bad) = most;
    }
    right_with(want, f, bad, &made, &last);
    check(made == bad && last.rip == block_at(7), what,
          "it names another block");
}

int main(void)
{
    struct machine want;
    struct squib_error e;

    if (sq_jit_check(&e)) {
        printf("skip: %s\n", e.text);
        return 77;
    }
    lockstep_unspoiled();
    for (size_t k = 0; k < SQ_ARRAY_LEN(faults); k++)
        lockstep(&faults[k]);
    if (!make(&want, "soft,jit=off"))
        return 1;
    run(&want);
    get_state(&want);
    for (size_t k = 0; k < SQ_ARRAY_LEN(faults); k++)
        bisect(&want, &faults[k]);
    unmake(&want);
    return failed;
}
