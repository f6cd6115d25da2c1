/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that look for a way out of translated code, or for a difference:
 * accesses around every kind of boundary, code that changes itself, is page
 * table or stack at once, is mapped elsewhere while it runs, is entered in
 * the middle of instructions, ends with memory, or is written by another
 * vCPU.
 *
 * Each guest runs interpreted, translated when hot, translated at once, and
 * in lockstep. All must end alike: exits, registers, all of memory (with the
 * exceptions that the guest logs), number of instructions. Memory lies
 * between pages that the process must not touch.
 *
 *     jit_hostile [PART-OF-A-NAME]
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <squib/squib.h>

#include "backends/soft/x86_64/jit/jit.h"
#include "base/util.h"
#include "isa_rng.h"

enum {
    RAM_LEN = 0x200000, GUARD = 0x100000,
    /* page tables, then what the processor reads */
    PML4 = 0x1000, PT_LOW = 0x4000, PT_4M = 0x5000, PT_6M = 0x70000,
    GDT = 0xf000, IDT = 0x10000, TSS = 0x11000, HANDLERS = 0x12000,
    CODE = 0x20000, CODE_LEN = 0x40000,
    /* frames of the mapped pages, see make_tables() */
    P_LOW_END = 0x60000, P_HIGH_START = 0x61000, P_LAST = 0x62000,
    P_A = 0x63000, P_B = 0x64000, P_RO = 0x65000, P_USER = 0x66000,
    P_KERNEL = 0x67000, P_C = 0x68000, P_CODE_A = 0x71000,
    P_CODE_B = 0x72000,
    STACK = 0x90000, SCRATCH = 0xa0000, COUNTER = 0xb0000,
    LOG_AT = 0xb0010, LOG = 0x100000, IST = 0xc0000,
    END_PORT = 0xf4, EXITS_MAX = 4000,
};

/* Virtual addresses of interest; below 2 MiB virtual is physical. */
#define V_RAM_END 0x401000ull   /* the last page of memory, then none */
#define V_ABSENT 0x501000ull    /* a page, then no page */
#define V_READ_ONLY 0x503000ull
#define V_SUPERVISOR 0x505000ull
#define V_FAR 0x507000ull       /* a page, then one far beyond memory */
#define V_HOLE_LOW 0x0000800000000000ull
#define V_HOLE_HIGH 0xffff800000000000ull
#define V_WRAP 0ull             /* the last page, then the first */
#define V_REMAP 0x601000ull     /* by PT_6M */

static const char *const variants[] = {
    "soft,jit=off", "soft,jit=on", "soft,jit=eager", "soft,jit=lockstep"};
/* How many of them are played: the first alone without a translator. */
static unsigned variant_count = SQ_ARRAY_LEN(variants);

/* --- the image ----------------------------------------------------------- */

static uint8_t image[RAM_LEN];

struct scene {
    const char *name;
    uint64_t entry;
    bool user;
    bool loose; /* results may differ: only survival counts */
    uint64_t want_rdx; /* at the end, unless 0 */
    unsigned want_faults; /* at least */
};

struct text {
    uint8_t *at;
};

static struct text text_at(uint64_t gpa)
{
    return (struct text){image + gpa};
}
static uint64_t here(const struct text *t)
{
    return (uint64_t)(t->at - image);
}
static void put(struct text *t, const void *bytes, size_t n)
{
    memcpy(t->at, bytes, n);
    t->at += n;
}
#define PUT(t, ...)                                                        \
    put(t, (const uint8_t[]){__VA_ARGS__},                                 \
        sizeof((const uint8_t[]){__VA_ARGS__}))
static void put32(struct text *t, uint64_t v)
{
    put(t, &v, 4);
}
static void put64(struct text *t, uint64_t v)
{
    put(t, &v, 8);
}
static void put_mov(struct text *t, unsigned r, uint64_t v)
{
    PUT(t, (uint8_t)(0x48 | r >> 3), (uint8_t)(0xb8 | (r & 7)));
    put64(t, v);
}
/* jmp, jcc or call with a 32-bit distance */
static void put_rel(struct text *t, const uint8_t *op, size_t n, uint64_t to)
{
    put(t, op, n);
    put32(t, to - (here(t) + 4));
}
#define PUT_REL(t, to, ...)                                                \
    put_rel(t, (const uint8_t[]){__VA_ARGS__},                             \
            sizeof((const uint8_t[]){__VA_ARGS__}), to)

static void entry(uint64_t table, unsigned k, uint64_t v)
{
    memcpy(image + table + 8 * k, &v, 8);
}

static void make_tables(void)
{
    const uint64_t all = 7;

    entry(PML4, 0, 0x2000 | all);
    entry(0x2000, 0, 0x3000 | all);
    entry(0x3000, 0, PT_LOW | all);
    for (unsigned k = 0; k < 512; k++)
        entry(PT_LOW, k, (uint64_t)k << 12 | all);
    entry(0x3000, 2, PT_4M | all);
    entry(PT_4M, 0x000, (RAM_LEN - 0x1000) | all);
    entry(PT_4M, 0x001, RAM_LEN | all);
    entry(PT_4M, 0x100, P_A | all);
    entry(PT_4M, 0x102, P_B | all);
    entry(PT_4M, 0x103, P_RO | 5);
    entry(PT_4M, 0x104, P_USER | all);
    entry(PT_4M, 0x105, P_KERNEL | 3);
    entry(PT_4M, 0x106, P_C | all);
    entry(PT_4M, 0x107, 0xffffff000ull | all);
    entry(0x3000, 3, PT_6M | all);
    entry(PT_6M, 0, P_A | all);
    entry(PT_6M, 1, P_CODE_A | all);
    /* the ends of both halves */
    entry(PML4, 255, 0x6000 | all);
    entry(0x6000, 511, 0x7000 | all);
    entry(0x7000, 511, 0x8000 | all);
    entry(0x8000, 511, P_LOW_END | all);
    entry(PML4, 256, 0x9000 | all);
    entry(0x9000, 0, 0xa000 | all);
    entry(0xa000, 0, 0xb000 | all);
    entry(0xb000, 0, P_HIGH_START | all);
    entry(PML4, 511, 0xc000 | all);
    entry(0xc000, 511, 0xd000 | all);
    entry(0xd000, 511, 0xe000 | all);
    entry(0xe000, 511, P_LAST | all);
}

/* Logs vector, error, CR2 and RIP, and goes on at R15. Status flags are
 * cleared: those that nothing reads may differ. */
static void make_handlers(void)
{
    struct text t = text_at(HANDLERS + 0x800);
    uint64_t common = here(&t), v = LOG;

    PUT(&t, 0x50, 0x51);                         /* push rax; push rcx */
    PUT(&t, 0x48, 0x8b, 0x04, 0x25);             /* mov rax, [LOG_AT] */
    put32(&t, LOG_AT);
    PUT(&t, 0x48, 0x8b, 0x4c, 0x24, 0x10, 0x48, 0x89, 0x08); /* vector */
    PUT(&t, 0x48, 0x8b, 0x4c, 0x24, 0x18, 0x48, 0x89, 0x48, 0x08);
    PUT(&t, 0x0f, 0x20, 0xd1, 0x48, 0x89, 0x48, 0x10); /* cr2 */
    PUT(&t, 0x48, 0x8b, 0x4c, 0x24, 0x20, 0x48, 0x89, 0x48, 0x18);
    PUT(&t, 0x48, 0x83, 0xc0, 0x20);             /* add rax, 32 */
    PUT(&t, 0x48, 0x89, 0x04, 0x25);
    put32(&t, LOG_AT);
    PUT(&t, 0x4c, 0x89, 0x7c, 0x24, 0x20);       /* mov [rsp+32], r15 */
    PUT(&t, 0x48, 0x81, 0x64, 0x24, 0x30);       /* and [rsp+48], ~status */
    put32(&t, ~0x8d5u);
    PUT(&t, 0x59, 0x58, 0x48, 0x83, 0xc4, 0x10, 0x48, 0xcf);
    memcpy(image + LOG_AT, &v, 8);
    for (unsigned n = 0; n < 32; n++) {
        uint64_t at = HANDLERS + n * 16, gate[2];
        bool code = n == 8 || (n >= 10 && n <= 14) || n == 17;

        t = text_at(at);
        if (!code)
            PUT(&t, 0x6a, 0x00);
        PUT(&t, 0x6a, (uint8_t)n);
        PUT_REL(&t, common, 0xe9);
        gate[0] = (at & 0xffff) | 0x08u << 16 | 1ull << 32 |
                  0xeeull << 40 | (at >> 16) << 48;
        gate[1] = 0;
        memcpy(image + IDT + n * 16, gate, 16);
    }
    entry(GDT, 1, 0x00af9b000000ffffull);
    entry(GDT, 2, 0x00cf93000000ffffull);
    entry(GDT, 3, 0x00cff3000000ffffull);
    entry(GDT, 4, 0x00affb000000ffffull);
    v = IST;
    memcpy(image + TSS + 4, &v, 8);
    memcpy(image + TSS + 36, &v, 8);
}

static void new_image(void)
{
    struct isa_rng r = {7};

    memset(image, 0, sizeof(image));
    make_tables();
    make_handlers();
    for (unsigned k = 0; k < 0x1000; k += 2) /* ud2 where stray jumps go */
        memcpy(image + k, "\x0f\x0b", 2);
    isa_fill(&r, image + P_LOW_END, 0x9000);
    isa_fill(&r, image + RAM_LEN - 0x1000, 0x1000);
}

/* Every scene is a loop that ends with a write to END_PORT. */
static struct text begin(struct scene *s, const char *name, unsigned rounds)
{
    *s = (struct scene){.name = name, .entry = CODE};
    new_image();
    memcpy(image + COUNTER, &rounds, 4);
    return text_at(CODE);
}

static void finish(struct text *t, uint64_t loop)
{
    PUT(t, 0xff, 0x0c, 0x25); /* dec dword [COUNTER] */
    put32(t, COUNTER);
    PUT_REL(t, loop, 0x0f, 0x85);
    PUT(t, 0xe6, END_PORT);
    PUT(t, 0xeb, 0xfc);
}

/* --- machines ------------------------------------------------------------ */

struct machine {
    struct squib_memory *mem;
    struct squib_vm *vm;
    struct squib_vcpu *vcpu[2];
    uint8_t *area, *ram;
    struct squib_x86_64_state st;
    uint64_t exits, count;
    enum squib_exit_kind last;
    atomic_bool stop;
};

static int failed;
static unsigned run_scenes;

static bool make(struct machine *m, const char *backend, uint32_t vcpus)
{
    const struct squib_vm_config config = {.vcpus = vcpus};
    const struct squib_backend *be = squib_backend_find(backend);
    struct squib_error e = {0};

    memset(m, 0, sizeof(*m));
    m->area = mmap(NULL, RAM_LEN + 2 * GUARD, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    m->ram = m->area + GUARD;
    if (m->area == MAP_FAILED ||
        mprotect(m->ram, RAM_LEN, PROT_READ | PROT_WRITE) ||
        squib_memory_new(&m->mem, &e) ||
        squib_vm_new(be, &config, m->mem, &m->vm, &e) ||
        squib_vm_map(m->vm, (struct squib_range){0, RAM_LEN}, m->ram,
                     SQUIB_PROT_RWX, &e)) {
        printf("not ok - %s: %s\n", backend, e.text);
        exit(1);
    }
    if (squib_vcpu_new(m->vm, 0, &m->vcpu[0], &e)) {
        printf("not ok - %s: %s\n", backend, e.text);
        exit(1);
    }
    return true;
}

static void unmake(struct machine *m)
{
    squib_vcpu_free(m->vcpu[0]);
    squib_vm_free(m->vm);
    squib_memory_free(m->mem);
    munmap(m->area, RAM_LEN + 2 * GUARD);
}

static void start_state(struct squib_x86_64_state *st, const struct scene *s)
{
    memset(st, 0, sizeof(*st));
    squib_x86_long_mode(st, s->entry, PML4);
    st->gdt = (struct squib_x86_table){.base = GDT, .limit = 0x7f};
    st->idt = (struct squib_x86_table){.base = IDT, .limit = 0x1ff};
    st->seg[SQUIB_X86_TR] = (struct squib_x86_seg){
        .base = TSS, .limit = 0x67, .attr = 0x8b, .selector = 0x38};
    st->seg[SQUIB_X86_CS].selector = s->user ? 0x23 : 0x08;
    st->seg[SQUIB_X86_SS].selector = s->user ? 0x1b : 0x10;
    if (s->user) {
        st->seg[SQUIB_X86_CS].attr |= 0x60;
        st->seg[SQUIB_X86_SS].attr |= 0x60;
    }
    st->seg[SQUIB_X86_FS].base = 0x10;
    st->cr0 |= 0x10000; /* WP */
    st->rflags = 0x3002;
    st->gpr[SQUIB_X86_RSP] = STACK;
    st->gpr[SQUIB_X86_R15] = s->entry;
}

/* No guest here runs for long. */
static struct squib_vcpu *running;

static void on_alarm(int sig)
{
    (void)sig;
    if (running)
        squib_vcpu_cancel(running);
}

static void mix(struct machine *m, uint64_t v)
{
    m->exits = (m->exits ^ v) * 0x9e3779b97f4a7c15ull;
    m->exits ^= m->exits >> 29;
}

static void run(struct machine *m, const struct scene *s)
{
    struct squib_error e;

    start_state(&m->st, s);
    if (squib_vcpu_set_state(m->vcpu[0],
                             SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM, &m->st,
                             &e)) {
        printf("not ok - %s: %s\n", s->name, e.text);
        exit(1);
    }
    running = m->vcpu[0];
    alarm(60);
    for (unsigned n = 0; n < EXITS_MAX; n++) {
        struct squib_exit *x = squib_vcpu_run(m->vcpu[0]);

        m->last = x->kind;
        mix(m, x->kind);
        if (x->kind == SQUIB_EXIT_MMIO) {
            struct isa_rng r = {x->mmio.gpa};
            uint64_t v = isa_random(&r);

            mix(m, x->mmio.gpa << 8 | (uint64_t)x->mmio.len << 1 |
                       x->mmio.write);
            if (x->mmio.write)
                mix(m, sq_ld64(x->mmio.data));
            else
                memcpy(x->mmio.data, &v, 8);
            continue;
        }
        if (x->kind == SQUIB_EXIT_INTERNAL_ERROR)
            printf("# %s: %.200s\n", s->name, x->internal_error.text);
        break;
    }
    alarm(0);
    running = NULL;
    squib_vcpu_get_state(m->vcpu[0],
                         SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM |
                             SQUIB_STATE_FPU, &m->st, &e);
    m->count = squib_vcpu_insn_count(m->vcpu[0]);
}

/* --- comparison ---------------------------------------------------------- */

static const char *wanted; /* part of the names of scenes to play */

static void fail(const struct scene *s, const char *variant, const char *what,
                 uint64_t a, uint64_t b)
{
    printf("not ok - %s: %s: %s %#llx, not %#llx\n", s->name, variant, what,
           (unsigned long long)b, (unsigned long long)a);
    failed = 1;
}

static void compare(const struct scene *s, const char *variant,
                    const struct machine *a, const struct machine *b)
{
    int before = failed;

#define SAME(what, x)                                                      \
    if (failed == before && a->x != b->x)                                  \
        fail(s, variant, what, a->x, b->x)
    failed = 0;
    before = 0;
    SAME("last exit", last);
    SAME("exits", exits);
    SAME("rip", st.rip);
    SAME("cr2", st.cr2);
    for (unsigned k = 0; k < 16; k++)
        SAME("a register", st.gpr[k]);
    for (unsigned k = 0; k < RAM_LEN && !failed; k += 8)
        if (memcmp(a->ram + k, b->ram + k, 8) != 0) {
            printf("# memory at %#x\n", k);
            fail(s, variant, "memory", sq_ld64(a->ram + k),
                 sq_ld64(b->ram + k));
        }
    SAME("instructions", count);
    if (!failed && memcmp(a->st.xsave, b->st.xsave, 512) != 0)
        fail(s, variant, "FPU state", 0, 1);
#undef SAME
}

static unsigned faults(const struct machine *m)
{
    return (unsigned)((sq_ld64(m->ram + LOG_AT) - LOG) / 32);
}

static void play(const struct scene *s)
{
    struct machine m[2];
    int bad = failed;

    if (wanted && !strstr(s->name, wanted))
        return;
    for (unsigned v = 0; v < variant_count; v++) {
        make(&m[v > 0], variants[v], 1);
        memcpy(m[v > 0].ram, image, RAM_LEN);
        run(&m[v > 0], s);
        failed = 0;
        if (m[v > 0].last == SQUIB_EXIT_CANCELED)
            fail(s, variants[v], "endless, at", 0, m[v > 0].st.rip);
        if (!s->loose && s->want_rdx &&
            m[v > 0].st.gpr[SQUIB_X86_RDX] != s->want_rdx)
            fail(s, variants[v], "rdx", s->want_rdx,
                 m[v > 0].st.gpr[SQUIB_X86_RDX]);
        if (!failed && faults(&m[v > 0]) < s->want_faults)
            fail(s, variants[v], "faults", s->want_faults,
                 faults(&m[v > 0]));
        if (!failed && v && !s->loose)
            compare(s, variants[v], &m[0], &m[1]);
        bad |= failed;
        if (v)
            unmake(&m[1]);
    }
    unmake(&m[0]);
    failed = bad;
    run_scenes++;
}

/* --- accesses around boundaries ------------------------------------------ */

static const struct access {
    const char *name;
    uint8_t len, bytes[24];
} accesses[] = {
#define A(name, ...)                                                       \
    {name, sizeof((const uint8_t[]){__VA_ARGS__}), {__VA_ARGS__}}
    A("movzx eax, byte [rbx]", 0x0f, 0xb6, 0x03),
    A("mov eax, [rbx]", 0x8b, 0x03),
    A("mov rax, [rbx]", 0x48, 0x8b, 0x03),
    A("mov [rbx], dx", 0x66, 0x89, 0x13),
    A("mov [rbx], rdx", 0x48, 0x89, 0x13),
    A("add [rbx], rdx", 0x48, 0x01, 0x13),
    A("cmp [rbx], dl", 0x38, 0x13),
    A("lock xadd [rbx], rax", 0xf0, 0x48, 0x0f, 0xc1, 0x03),
    A("xchg [rbx], rax", 0x48, 0x87, 0x03),
    A("cmpxchg [rbx], edx", 0x0f, 0xb1, 0x13),
    A("movdqu xmm1, [rbx]", 0xf3, 0x0f, 0x6f, 0x0b),
    A("movdqu [rbx], xmm1", 0xf3, 0x0f, 0x7f, 0x0b),
    A("movaps xmm2, [rbx]", 0x0f, 0x28, 0x13),
    A("movsd [rbx], xmm2", 0xf2, 0x0f, 0x11, 0x13),
    A("push rdx", 0x48, 0x89, 0xdc, 0x52),
    A("push rdx twice", 0x48, 0x89, 0xdc, 0x52, 0x52),
    A("pop rax", 0x48, 0x89, 0xdc, 0x58),
    A("pop rax, rax, rax", 0x48, 0x89, 0xdc, 0x58, 0x58, 0x58),
    A("call", 0x48, 0x89, 0xdc, 0xe8, 0, 0, 0, 0),
    A("ret", 0x48, 0x89, 0xdc, 0xc3),
    A("leave", 0x48, 0x89, 0xdd, 0xc9),
    A("rep stosb", 0x48, 0x89, 0xdf, 0xb9, 20, 0, 0, 0, 0xf3, 0xaa),
    A("rep movsq from", 0x48, 0x89, 0xde, 0xbf, 0, 0, 0x0a, 0, 0xb9, 3, 0, 0,
      0, 0xf3, 0x48, 0xa5),
    A("std; rep movsd to", 0x48, 0x89, 0xdf, 0xbe, 0, 0, 0x0a, 0, 0xb9, 5, 0,
      0, 0, 0xfd, 0xf3, 0xa5, 0xfc),
    A("bt [rbx], rcx = -1000", 0x48, 0xc7, 0xc1, 0x18, 0xfc, 0xff, 0xff,
      0x48, 0x0f, 0xa3, 0x0b),
    A("lock bts [rbx], rcx = 1000", 0x48, 0xc7, 0xc1, 0xe8, 0x03, 0, 0,
      0xf0, 0x48, 0x0f, 0xab, 0x0b),
    A("bts [rbx], 63", 0x48, 0x0f, 0xba, 0x2b, 0x3f),
    A("lock cmpxchg16b [rbx]", 0xf0, 0x48, 0x0f, 0xc7, 0x0b),
    A("jmp rbx", 0xff, 0xe3),
    A("call rbx", 0xff, 0xd3),
    A("jmp [rbx]", 0xff, 0x23),
    /* rcx * 8 is 8 modulo 2^64 */
    A("mov rax, [rbx + rcx * 8 - 8]", 0x48, 0xb9, 1, 0, 0, 0, 0, 0, 0, 0x20,
      0x48, 0x8b, 0x44, 0xcb, 0xf8),
    A("mov eax, [ebx]", 0x67, 0x8b, 0x03),
    A("mov rax, fs:[rbx - 16]", 0x64, 0x48, 0x8b, 0x43, 0xf0),
    A("div qword [rbx]", 0x31, 0xd2, 0x48, 0xf7, 0x33),
    A("fld qword [rbx]", 0xdb, 0xe3, 0xdd, 0x03),
    A("fxsave [rbx]", 0x0f, 0xae, 0x03),
    A("movsx of a read that changes its base", 0x48, 0x8b, 0x1b),
    A("pop [rbx]", 0x8f, 0x03),
    A("push [rbx]", 0xff, 0x33),
    A("xlat", 0xd7),
#undef A
};

static const struct {
    const char *name;
    uint64_t at;
} edges[] = {
    {"the end of memory", V_RAM_END}, {"an absent page", V_ABSENT},
    {"a read-only page", V_READ_ONLY}, {"a supervisor page", V_SUPERVISOR},
    {"a page far beyond memory", V_FAR},
    {"the start of the hole", V_HOLE_LOW}, {"its end", V_HOLE_HIGH},
    {"the end of all addresses", V_WRAP},
};

static void boundaries(bool user)
{
    static const int offs[] = {-17, -16, -15, -9, -8, -7, -4, -3, -2, -1, 0,
                               1, 8, 15};

    for (size_t a = 0; a < SQ_ARRAY_LEN(accesses); a++) {
        for (size_t b = 0; b < SQ_ARRAY_LEN(edges); b++) {
            struct scene s;
            struct text t;
            uint64_t loop;
            char name[100];

            snprintf(name, sizeof(name), "%s around %s%s", accesses[a].name,
                     edges[b].name, user ? ", user mode" : "");
            t = begin(&s, name, 16);
            s.user = user;
            /* This one faults after it has written the return address
             * where the stack is free. */
            s.loose = !strcmp(accesses[a].name, "call rbx") &&
                      (edges[b].at == V_HOLE_LOW || edges[b].at == V_HOLE_HIGH);
            loop = here(&t);
            for (size_t k = 0; k < SQ_ARRAY_LEN(offs); k++) {
                uint64_t resume = here(&t) + 10 + 10 + accesses[a].len;

                put_mov(&t, 15, resume);
                put_mov(&t, 3, edges[b].at + (uint64_t)(int64_t)offs[k]);
                put(&t, accesses[a].bytes, accesses[a].len);
                PUT(&t, 0xfc);             /* cld */
                PUT(&t, 0x48, 0x01, 0xc2); /* add rdx, rax */
                put_mov(&t, 4, STACK);
            }
            finish(&t, loop);
            play(&s);
        }
    }
}

/* --- code that changes ---------------------------------------------------- */

/* add dword [the next one's operand], 3; mov eax, 1; add rdx, rax */
static void next_operand(void)
{
    struct scene s;
    struct text t = begin(&s, "code changes its next operand", 50);
    uint64_t loop = here(&t);

    PUT(&t, 0x83, 0x04, 0x25);
    put32(&t, here(&t) + 5 + 1);
    PUT(&t, 3);
    PUT(&t, 0xb8, 1, 0, 0, 0);
    PUT(&t, 0x48, 0x01, 0xc2);
    finish(&t, loop);
    for (unsigned k = 1; k <= 50; k++)
        s.want_rdx += 1 + 3 * k;
    play(&s);
}

/* A block in the same page, or another one, is changed before each call;
 * through its own address or an alias. */
static void called_block(uint64_t at, uint64_t written, const char *name)
{
    struct scene s;
    struct text t = begin(&s, name, 60);
    struct text f = text_at(at);
    uint64_t loop = here(&t);

    PUT(&f, 0xb8, 7, 0, 0, 0, 0xc3); /* mov eax, 7; ret */
    PUT(&t, 0x83, 0x04, 0x25);
    put32(&t, written + 1);
    PUT(&t, 5);
    PUT_REL(&t, at, 0xe8);
    PUT(&t, 0x48, 0x01, 0xc2);
    finish(&t, loop);
    for (unsigned k = 1; k <= 60; k++)
        s.want_rdx += 7 + 5 * k;
    play(&s);
}

/* A store over a page boundary whose second half is code. */
static void crossing_store(void)
{
    struct scene s;
    struct text t = begin(&s, "a store from data into code", 60);
    struct text f = text_at(CODE + 0x2000);
    uint64_t loop = here(&t);

    PUT(&f, 0xb8, 7, 0, 0, 0, 0xc3);
    PUT(&t, 0x48, 0x83, 0x04, 0x25); /* add qword [page - 3], 0 */
    put32(&t, CODE + 0x2000 - 3);
    PUT(&t, 0);
    PUT(&t, 0x66, 0x83, 0x04, 0x25); /* add word [operand], 1 */
    put32(&t, CODE + 0x2001);
    PUT(&t, 1);
    PUT(&t, 0x48, 0xff, 0x04, 0x25); /* inc qword [page - 7]: no carry */
    put32(&t, CODE + 0x2000 - 7);
    PUT_REL(&t, CODE + 0x2000, 0xe8);
    PUT(&t, 0x48, 0x01, 0xc2);
    finish(&t, loop);
    for (unsigned k = 1; k <= 60; k++)
        s.want_rdx += 7 + k;
    play(&s);
}

/* REP STOSB makes NOPs of the code right behind it, and puts it back. */
static void string_store(void)
{
    struct scene s;
    struct text t = begin(&s, "a string store over what follows it", 40);
    uint64_t loop = here(&t), at;

    PUT(&t, 0xb0, 0x90);             /* mov al, 0x90 */
    PUT(&t, 0xb9, 3, 0, 0, 0, 0xbf); /* mov ecx, 3; mov edi, target */
    at = here(&t) + 4 + 2;
    put32(&t, at);
    PUT(&t, 0xf3, 0xaa);
    PUT(&t, 0x48, 0xff, 0xc2);       /* inc rdx, gone by now */
    PUT(&t, 0x48, 0x83, 0xc2, 0x02); /* add rdx, 2 */
    PUT(&t, 0x66, 0xc7, 0x04, 0x25); /* and there again */
    put32(&t, at);
    PUT(&t, 0x48, 0xff);
    PUT(&t, 0xc6, 0x04, 0x25);
    put32(&t, at + 2);
    PUT(&t, 0xc2);
    finish(&t, loop);
    s.want_rdx = 80;
    play(&s);
}

/* The stack is in the code: what is pushed is run next. */
static void stack_in_code(void)
{
    struct scene s;
    struct text t = begin(&s, "what is pushed is run next", 50);
    uint64_t loop = here(&t), at;

    /* the bytes: inc rdx and NOPs; add rdx, 2 and NOPs */
    put_mov(&t, 0, 0x9090909090c2ff48ull);
    put_mov(&t, 1, 0x9090909002c28348ull);
    put_mov(&t, 4, 0);
    at = here(&t) - 8;
    PUT(&t, 0x50);                               /* push rax */
    sq_st64(image + at, here(&t) + 8);
    PUT(&t, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90);
    PUT(&t, 0x48, 0x83, 0xc4, 0x08);             /* add rsp, 8 */
    PUT(&t, 0x48, 0x83, 0xc4, 0x1a, 0x51);       /* add rsp, 26; push rcx */
    PUT(&t, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90);
    PUT(&t, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90);
    PUT(&t, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90);
    put_mov(&t, 4, STACK);
    finish(&t, loop);
    s.want_rdx = 50 * 3;
    play(&s);
}

/* Calls and returns with the stack in the page that runs. */
static void stack_on_page(void)
{
    struct scene s;
    struct text t = begin(&s, "calls with the stack on their own page", 50);
    uint64_t loop = here(&t);
    struct text f = text_at(CODE + 0x400);

    PUT(&f, 0x50, 0x48, 0xff, 0xc2, 0x58, 0xc3);
    put_mov(&t, 4, CODE + 0x440);
    for (unsigned k = 0; k < 4; k++)
        PUT_REL(&t, CODE + 0x400, 0xe8);
    put_mov(&t, 4, STACK);
    finish(&t, loop);
    s.want_rdx = 200;
    play(&s);
}

/* The page that runs is the page table of the data that it reads. */
static void page_table_in_code(bool flush)
{
    struct scene s;
    struct text t = begin(&s, flush ? "code in its own page table"
                                    : "the same without INVLPG", 60);
    struct text f = text_at(PT_6M + 0x800);
    uint64_t loop;

    PUT_REL(&t, PT_6M + 0x800, 0xe9);
    loop = here(&f);
    PUT(&f, 0x48, 0x81, 0x34, 0x25); /* xor qword [PT_6M], ... */
    put32(&f, PT_6M);
    put32(&f, P_A ^ P_B);
    if (flush) {
        PUT(&f, 0x0f, 0x01, 0x3c, 0x25); /* invlpg [0x600000] */
        put32(&f, 0x600000);
    }
    PUT(&f, 0x48, 0x03, 0x14, 0x25); /* add rdx, [0x600000] */
    put32(&f, 0x600000);
    PUT(&f, 0xff, 0x04, 0x25);       /* inc dword [0x600000] */
    put32(&f, 0x600000);
    finish(&f, loop);
    s.loose = !flush;
    if (flush) {
        uint64_t a = sq_ld64(image + P_A), b = sq_ld64(image + P_B);

        for (unsigned k = 0; k < 30; k++) {
            s.want_rdx += a + b;
            a = (a & ~0xffffffffull) | (uint32_t)(a + 1);
            b = (b & ~0xffffffffull) | (uint32_t)(b + 1);
        }
    }
    play(&s);
}

/* A page of code is mapped to one and to the other of two frames. */
static void remap(const char *name, const uint8_t *flush, size_t flush_len,
                  bool indirect)
{
    struct scene s;
    struct text t = begin(&s, name, 300), f = text_at(P_CODE_A + 0xff0);
    uint64_t loop;

    PUT(&f, 0xb8, 3, 0, 0, 0, 0xc3);
    f = text_at(P_CODE_B + 0xff0);
    PUT(&f, 0xb8, 11, 0, 0, 0, 0xc3);
    put_mov(&t, 3, V_REMAP);
    loop = here(&t);
    PUT(&t, 0x48, 0x81, 0x34, 0x25);
    put32(&t, PT_6M + 8);
    put32(&t, P_CODE_A ^ P_CODE_B);
    put(&t, flush, flush_len);
    if (indirect) {
        put_mov(&t, 1, V_REMAP + 0xff0);
        PUT(&t, 0xff, 0xd1);
    } else {
        PUT_REL(&t, V_REMAP + 0xff0, 0xe8);
    }
    PUT(&t, 0x48, 0x01, 0xc2);
    finish(&t, loop);
    s.loose = !flush_len;
    s.want_rdx = flush_len ? 150 * (3 + 11) : 0;
    play(&s);
}

static void remaps(void)
{
    static const uint8_t invlpg[] = {0x0f, 0x01, 0x3b};
    static const uint8_t cr3[] = {0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8};
    static const uint8_t cr4[] = {0x0f, 0x20, 0xe0, 0x34, 0x80, 0x0f, 0x22,
                                  0xe0, 0x34, 0x80, 0x0f, 0x22, 0xe0};

    for (int k = 0; k < 2; k++) {
        remap("a storm of INVLPG", invlpg, sizeof(invlpg), k);
        remap("a storm of CR3", cr3, sizeof(cr3), k);
        remap("a storm of CR4.PGE", cr4, sizeof(cr4), k);
        remap("mappings that are stale", invlpg, 0, k);
    }
}

/* INVLPG of everything, the running page and no address at all. */
static void invlpg_misuse(void)
{
    static const uint64_t where[] = {
        0, CODE, CODE + 0x1000, STACK, PML4, PT_LOW, V_RAM_END, V_ABSENT,
        V_FAR, V_HOLE_LOW, V_HOLE_LOW - 1, V_HOLE_HIGH, V_HOLE_HIGH - 1,
        UINT64_MAX, UINT64_MAX - 0xfff, 0x123456789abcdefull};
    struct scene s;
    struct text t = begin(&s, "INVLPG of all sorts", 40);
    uint64_t loop = here(&t);

    for (size_t k = 0; k < SQ_ARRAY_LEN(where); k++) {
        put_mov(&t, 15, here(&t) + 10 + 10 + 3);
        put_mov(&t, 3, where[k]);
        PUT(&t, 0x0f, 0x01, 0x3b, 0x52, 0x5a); /* push rdx; pop rdx */
        PUT(&t, 0x48, 0xff, 0xc2);
    }
    finish(&t, loop);
    s.want_rdx = 40 * SQ_ARRAY_LEN(where);
    play(&s);
}

/* The same bytes as two streams of instructions. */
static void middle(void)
{
    struct scene s;
    struct text t = begin(&s, "jumps into the middle of instructions", 60);
    uint64_t loop = here(&t), mid;

    /* mov rax, imm64, whose operand is: add rdx, 5; jmp +2; NOPs */
    mid = here(&t) + 10 + 2 + 2;
    put_mov(&t, 1, mid);
    PUT(&t, 0xeb, 0x00);
    PUT(&t, 0x48, 0xb8);
    PUT(&t, 0x48, 0x83, 0xc2, 0x05, 0xeb, 0x04, 0x90, 0x90);
    PUT(&t, 0xff, 0xe1);       /* jmp rcx: into the operand */
    PUT(&t, 0x90, 0x90);
    PUT(&t, 0x48, 0xff, 0xc2); /* inc rdx */
    PUT(&t, 0xeb, 0xff, 0xc0); /* jmp into itself: inc eax */
    PUT(&t, 0x01, 0xc2);       /* add edx, eax */
    PUT(&t, 0x29, 0xc2);       /* sub edx, eax */
    finish(&t, loop);
    s.want_rdx = 60 * 6;
    play(&s);
}

/* --- the ends of memory --------------------------------------------------- */

static void code_at_end(uint64_t gva, uint64_t gpa, unsigned from,
                        const char *name)
{
    struct scene s;
    struct text t = begin(&s, name, 30);
    uint64_t loop = here(&t), resume = loop + 10 + 10 + 2;

    memset(image + gpa + from, 0x90, 0x1000 - from);
    if (from + 3 <= 0x1000)
        memcpy(image + gpa + from, "\x48\xff\xc2", 3);
    image[gpa + 0xffe] = 0xb8; /* an operand that is not there */
    put_mov(&t, 15, resume);
    put_mov(&t, 3, gva + from);
    PUT(&t, 0xff, 0xe3);
    finish(&t, loop);
    play(&s);
}

/* --- another vCPU --------------------------------------------------------- */

static void *other_vcpu(void *ctx)
{
    struct machine *m = ctx;
    struct squib_x86_64_state st;
    struct squib_error e;
    const struct scene s = {.entry = CODE + 0x4000};

    if (squib_vcpu_new(m->vm, 1, &m->vcpu[1], &e))
        return NULL;
    start_state(&st, &s);
    st.gpr[SQUIB_X86_RSP] = STACK - 0x8000;
    squib_vcpu_set_state(m->vcpu[1], SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM,
                         &st, &e);
    /* Until the other one is done: a vCPU that does not run does not say
     * that it has written to code. */
    while (!atomic_load(&m->stop))
        squib_vcpu_run(m->vcpu[1]);
    squib_vcpu_free(m->vcpu[1]);
    return m;
}

/* One vCPU counts up in the other's code, which must see it go up and in
 * the end the last value. */
static void cross_modifying(void)
{
    enum { LAST = 30000 };

    if (wanted && !strstr("code written by another vCPU", wanted))
        return;
    for (unsigned v = 0; v < variant_count && v < 3; v++) {
        struct scene s;
        struct text t = begin(&s, "code written by another vCPU", 1);
        struct text f = text_at(CODE + 0x2000);
        struct text w = text_at(CODE + 0x4000);
        struct machine m;
        pthread_t thread;
        void *done = NULL;
        uint64_t loop = here(&t);

        PUT(&f, 0x90, 0x90, 0x90, 0xb8, 0, 0, 0, 0, 0xc3);
        /* call; rdx counts steps back; until the last value */
        PUT_REL(&t, CODE + 0x2000, 0xe8);
        PUT(&t, 0x39, 0xc8, 0x73, 0x03, 0x48, 0xff, 0xc2, 0x89, 0xc1);
        PUT(&t, 0x3d);
        put32(&t, LAST);
        PUT_REL(&t, loop, 0x0f, 0x85);
        PUT(&t, 0xe6, END_PORT);
        /* the writer */
        loop = here(&w);
        PUT(&w, 0xff, 0x04, 0x25); /* inc dword [operand] */
        put32(&w, CODE + 0x2004);
        PUT(&w, 0x81, 0x3c, 0x25);
        put32(&w, CODE + 0x2004);
        put32(&w, LAST);
        PUT_REL(&w, loop, 0x0f, 0x85);
        loop = here(&w);
        PUT(&w, 0xe6, END_PORT);
        PUT_REL(&w, loop, 0xe9);
        make(&m, variants[v], 2);
        memcpy(m.ram, image, RAM_LEN);
        if (pthread_create(&thread, NULL, other_vcpu, &m))
            exit(1);
        run(&m, &s);
        atomic_store(&m.stop, true);
        pthread_join(thread, &done);
        if (!done || m.last != SQUIB_EXIT_PIO || m.st.gpr[0] != LAST)
            fail(&s, variants[v], "the last value", LAST, m.st.gpr[0]);
        if (m.st.gpr[SQUIB_X86_RDX])
            fail(&s, variants[v], "steps back", 0, m.st.gpr[SQUIB_X86_RDX]);
        unmake(&m);
        run_scenes++;
    }
}

int main(int argc, char **argv)
{
    struct squib_error e;
    unsigned n;

    if (sq_jit_check(&e)) {
        printf("skip translated guests: %s\n", e.text);
        variant_count = 1;
    }
    wanted = argc > 1 ? argv[1] : NULL;
    signal(SIGALRM, on_alarm);

    boundaries(false);
    n = run_scenes;
    printf("%s - %u guests around boundaries\n", failed ? "not ok" : "ok", n);
    boundaries(true);
    printf("%s - %u in user mode\n", failed ? "not ok" : "ok",
           run_scenes - n);
    n = run_scenes;
    next_operand();
    called_block(CODE + 0x300, CODE + 0x300, "code changed on its page");
    called_block(CODE + 0x3000, CODE + 0x3000, "code changed elsewhere");
    called_block(P_A, 0x500000, "code changed by another address");
    crossing_store();
    string_store();
    stack_in_code();
    stack_on_page();
    page_table_in_code(true);
    page_table_in_code(false);
    remaps();
    invlpg_misuse();
    middle();
    code_at_end(V_RAM_END - 0x1000, RAM_LEN - 0x1000, 0xfe0,
                "code runs off the end of memory");
    code_at_end(V_RAM_END - 0x1000, RAM_LEN - 0x1000, 0xffe,
                "code that ends with memory");
    code_at_end(V_HOLE_LOW - 0x1000, P_LOW_END, 0xff0,
                "code runs into the hole");
    code_at_end(0ull - 0x1000, P_LAST, 0xff0, "code runs over the top");
    code_at_end(V_ABSENT - 0x1000, P_A, 0xff0, "code runs into no page");
    cross_modifying();
    printf("%s - %u guests that change code and mappings\n",
           failed ? "not ok" : "ok", run_scenes - n);
    return failed;
}
