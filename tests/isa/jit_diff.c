/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator against the interpreter: random programs of random
 * instructions, with branches, calls, memory of every alignment, accesses
 * outside memory and code that changes itself, run in two machines of which
 * one translates everything at once. Exits, registers, memory and the count
 * of instructions must be the same.
 *
 *     jit_diff [--cases N] [--seed S] [--case K] [--float]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include <squib/squib.h>

#include "base/util.h"
#include "core/memory.h"
#include "isa_forms.h"

enum {
    RAM_LEN = 0x200000, PML4 = 0x1000, PDPT = 0x2000, PD = 0x3000,
    CODE = 0x10000, DATA = 0x40000, DATA_LEN = 0x20000, STACK = 0x90000,
    COUNTER = 0x80000, CODE_MAX = 0x3000, EXITS_MAX = 200,
};

struct machine {
    struct squib_memory *mem;
    struct squib_vm *vm;
    struct squib_vcpu *vcpu;
    uint8_t *ram;
    struct squib_x86_64_state st;
    struct squib_exit last;
    uint64_t count;
};

static struct {
    uint64_t cases, seed, only;
    bool floats;
} opt = {20000, 1, UINT64_MAX, false};

/* --- programs ------------------------------------------------------------ */

struct program {
    uint8_t b[CODE_MAX];
    unsigned len;
    uint64_t at; /* address */
};

static void put(struct program *p, const void *bytes, unsigned n)
{
    if (p->len + n > sizeof(p->b))
        return;
    memcpy(p->b + p->len, bytes, n);
    p->len += n;
}

#define PUT(p, ...)                                                        \
    put(p, (const uint8_t[]){__VA_ARGS__},                                 \
        sizeof((const uint8_t[]){__VA_ARGS__}))

static void put_mov(struct program *p, unsigned r, uint64_t v)
{
    PUT(p, (uint8_t)(0x48 | r >> 3), (uint8_t)(0xb8 | (r & 7)));
    put(p, &v, 8);
}

static uint64_t some_target(struct isa_rng *r)
{
    uint64_t page = DATA + 0x1000ull * (1 + isa_below(r, 28));

    switch (isa_below(r, 16)) {
    case 0: return page - isa_below(r, 16); /* crosses */
    case 1: return 0x70000000 + isa_below(r, 64) * 8; /* no memory */
    case 2: return page + isa_below(r, 4096);
    default: return page + 16ull * isa_below(r, 200);
    }
}

/* Puts registers so that the memory operand is somewhere sensible. */
static void aim(struct program *p, struct isa_rng *r, struct isa_code *c,
                const struct sq_x86_insn *i)
{
    uint64_t target = some_target(r), index = 0;
    unsigned base = i->base / 8, idx = i->index / 8;

    if (idx < 16 && idx != base) {
        index = isa_below(r, 64);
        put_mov(p, idx, index);
    }
    if (base < 16) {
        put_mov(p, base, target - (uint64_t)(int64_t)i->disp -
                             (index << i->scale));
    } else if (c->disp_len == 4) {
        uint64_t from = base == SQ_RIP ? p->at + p->len + c->len : 0;
        uint32_t disp = (uint32_t)(target - from);

        memcpy(c->bytes + c->disp_at, &disp, 4);
    }
}

static bool usable(const struct isa_form *f)
{
    const char *name = f->row->name;

    if (f->skip || f->uses & (IS_BRANCH | IS_INDIRECT | IS_RETURN) ||
        f->row->attr & (A_PRIV | A_END))
        return false;
    if (f->uses & IS_FLOAT && !opt.floats)
        return false;
    return strcmp(name, "cpuid") && strcmp(name, "rdtsc") &&
           strcmp(name, "enter") && strcmp(name, "xlat");
}

/* Counts and results that the architecture leaves open. */
static bool open_result(const struct isa_form *f)
{
    const char *n = f->row->name;

    return f->osz == 1 && (!strcmp(n, "bswap") || !strcmp(n, "shld") ||
                           !strcmp(n, "shrd"));
}

static bool open_flags(const struct isa_form *f)
{
    const char *n = f->row->name;

    return f->row->undefined || !strncmp(n, "ro", 2) || !strncmp(n, "rc", 2);
}

static void one(struct program *p, struct isa_rng *r)
{
    const struct isa_form *f;
    struct isa_code c;
    const struct sq_x86_row *row;
    struct sq_x86_insn i;
    struct sq_decode_in in = {.bytes = c.bytes, .avail = 15,
                              .mode = MODE_64};

    do {
        do
            f = &isa_forms[isa_below(r, isa_form_count)];
        while (!usable(f) || open_result(f));
    } while (!isa_encode(f, r, &c));
    if (f->uses & USES_STRINGS) {
        put_mov(p, R_SI, some_target(r));
        put_mov(p, R_DI, some_target(r));
        put_mov(p, R_CX, isa_below(r, 40));
    }
    if (f->uses & (USES_STACK | USES_RBP)) {
        put_mov(p, R_BP, STACK - 8 * isa_below(r, 1200));
        put_mov(p, R_SP, STACK - isa_below(r, 3) * 4 - 8 * isa_below(r, 900));
    }
    if (f->uses & USES_DIVIDEND && isa_percent(r, 70))
        put_mov(p, R_DX, isa_percent(r, 50) ? 0 : isa_random(r) >> 60);
    if (f->uses & USES_BIT_OFFSET && f->mem)
        return;
    if (sq_x86_decode(&in, &i, &row) != DECODE_OK || i.len != c.len)
        return;
    if (f->mem)
        aim(p, r, &c, &i);
    put(p, c.bytes, c.len);
    if (open_flags(f))
        PUT(p, 0x44, 0x39, 0xc8); /* cmp eax, r9d */
}

/* Reads and writes what is not a general register; flags go through. */
static void of_the_system(struct program *p, struct isa_rng *r)
{
    unsigned g = R_SP + 1 + isa_below(r, 11), k = isa_below(r, 16);
    uint8_t rex = (uint8_t)(0x40 | (isa_percent(r, 50) ? 8 : 0) | g >> 3);
    uint8_t rm = 0xc0 | (g & 7);

    if (k < 6) {
        PUT(p, rex, 0x8c, (uint8_t)(rm | k << 3)); /* mov g, segment */
    } else if (k < 10) { /* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE */
        if (isa_percent(r, 80))
            put_mov(p, g, some_target(r));
        PUT(p, 0xf3, rex, 0x0f, 0xae, (uint8_t)(rm | (k - 6) << 3));
    } else if (k < 15) { /* mov g, control register */
        PUT(p, rex, 0x0f, 0x20, (uint8_t)(rm | (k - 10) << 3));
    } else {
        PUT(p, 0xfc); /* cld */
    }
    PUT(p, 0x48, 0x11, 0xc3); /* adc rbx, rax */
}

/* Control flow and self-modification. */
static void special(struct program *p, struct isa_rng *r)
{
    struct program inner = {.at = p->at + p->len};
    unsigned k = isa_below(r, 10);

    switch (k) {
    case 0:
    case 1: /* jcc over something */
        inner.at += 6;
        one(&inner, r);
        PUT(p, 0x0f, (uint8_t)(0x80 | isa_below(r, 16)));
        put(p, (uint32_t[]){inner.len}, 4);
        put(p, inner.b, inner.len);
        break;
    case 2: /* call f; jmp over; f: ...; ret; over: */
        put_mov(p, R_SP, STACK - 8 * isa_below(r, 1000));
        inner.at = p->at + p->len + 7;
        PUT(&inner, 0x48, 0x01, 0xc3); /* add rbx, rax */
        PUT(&inner, 0xc3);
        PUT(p, 0xe8, 2, 0, 0, 0, 0xeb, (uint8_t)inner.len);
        put(p, inner.b, inner.len);
        break;
    case 3: { /* through a register */
        /* not RSP: the return address would become code, at random */
        unsigned reg = R_SP + 1 + isa_below(r, 11);

        put_mov(p, R_SP, STACK - 8 * isa_below(r, 1000));
        put_mov(p, reg, p->at + p->len + 10 + 3);
        PUT(p, (uint8_t)(0x40 | reg >> 3), 0xff,
            (uint8_t)((isa_percent(r, 50) ? 0xd0 : 0xe0) | (reg & 7)));
        break;
    }
    case 4: /* change the next instruction's operand */
        PUT(p, 0xc6, 0x05, 1, 0, 0, 0, (uint8_t)isa_random(r));
        PUT(p, 0xb8, 1, 2, 3, 4);
        break;
    case 5: /* pushes and pops, often over a page */
        put_mov(p, R_SP, STACK - 0x1000 * isa_below(r, 3) +
                             isa_below(r, 50) - 10);
        PUT(p, 0x53, 0x41, 0x52, 0x50, 0x54, 0x6a, 0x85, 0x41, 0x59, 0x5b, 0x41,
            0x5c, 0x5e, 0x41, 0x5a);
        break;
    case 6: /* over a page */
        if (p->at + p->len < CODE + 0x1000) {
            uint32_t n = 0x40 + isa_below(r, 0x700);

            PUT(p, 0xe9);
            put(p, &n, 4);
            for (; n; n--)
                PUT(p, 0xf4);
        }
        break;
    case 8: of_the_system(p, r); break;
    case 7: /* flags through memory and back */
        put_mov(p, R_SP, STACK - 8 * isa_below(r, 1000));
        PUT(p, 0x9c, 0x41, 0x58); /* pushfq; pop r8 */
        break;
    default: { /* loop on rcx */
        put_mov(p, R_CX, 1 + isa_below(r, 6));
        PUT(p, 0x48, 0x11, 0xc3); /* adc rbx, rax */
        PUT(p, 0xff, 0xc9, 0x75, 0xf9); /* dec ecx; jnz */
    }
    }
}

static void make_program(struct program *p, struct isa_rng *r)
{
    unsigned n = 2 + isa_below(r, 12);
    uint64_t start;
    int32_t back;

    p->len = 0;
    p->at = CODE + isa_below(r, 0xfff);
    start = 0;
    while (n--) {
        if (isa_percent(r, 20))
            special(p, r);
        else
            one(p, r);
        if (p->len > CODE_MAX - 0xa00)
            break;
    }
    /* dec dword [COUNTER]; jnz start; hlt */
    PUT(p, 0xff, 0x0c, 0x25);
    put(p, (uint32_t[]){COUNTER}, 4);
    back = (int32_t)(start - (p->len + 6));
    PUT(p, 0x0f, 0x85);
    put(p, &back, 4);
    PUT(p, 0xf4);
}

/* --- machines ------------------------------------------------------------ */

/* Programs may have overwritten them. */
static void put_tables(struct machine *m)
{
    uint64_t v;

    v = PDPT | 7;
    memcpy(m->ram + PML4, &v, 8);
    for (uint64_t k = 0; k < 4; k++) {
        v = (PD + k * 0x1000) | 7;
        memcpy(m->ram + PDPT + k * 8, &v, 8);
    }
    for (uint64_t k = 0; k < 2048; k++) {
        v = k << 21 | 0x87;
        memcpy(m->ram + PD + k * 8, &v, 8);
    }
}

static bool make(struct machine *m, const char *backend)
{
    const struct squib_vm_config config = {.vcpus = 1};
    const struct squib_backend *be = squib_backend_find(backend);
    struct squib_error e = {0};

    if (!be || squib_memory_new(&m->mem, &e) ||
        squib_memory_add(m->mem, (struct squib_range){0, RAM_LEN}, &e) ||
        squib_vm_new(be, &config, m->mem, &m->vm, &e) ||
        squib_vcpu_new(m->vm, 0, &m->vcpu, &e)) {
        fprintf(stderr, "jit_diff: %s: %s\n", backend, e.text);
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

static uint64_t answer(uint64_t gpa)
{
    struct isa_rng r = {gpa};

    return isa_random(&r);
}

/* Some programs never end. */
static struct squib_vcpu *running;

static void on_alarm(int sig)
{
    (void)sig;
    if (running)
        squib_vcpu_cancel(running);
}

static void limit(long ms)
{
    const struct timeval each = {ms / 1000, ms % 1000 * 1000};
    const struct itimerval t = {each, each};

    setitimer(ITIMER_REAL, &t, NULL);
}

/* YMM registers of random bits and, in the lower half, of small numbers. */
static void put_fpu(struct machine *m, struct isa_rng *r)
{
    static const uint32_t mxcsr[] = {0x1f80, 0x1f80, 0x9fc0, 0x5f80, 0x1f00};
    uint8_t *x = m->st.xsave;

    memset(x, 0, sizeof(m->st.xsave));
    sq_st32(x, 0x37f);
    sq_st32(x + 24, mxcsr[isa_below(r, SQ_ARRAY_LEN(mxcsr))]);
    x[512] = 7;
    isa_fill(r, x + 160, 256);
    isa_fill(r, x + 576, 256);
    for (unsigned k = 0; k < 16; k++) {
        double d = (double)(int32_t)isa_random(r) / 64;
        float f = (float)d;

        if (isa_percent(r, 50))
            memcpy(x + 160 + k * 16 + 8 * isa_below(r, 2), &d, 8);
        else
            memcpy(x + 160 + k * 16 + 4 * isa_below(r, 4), &f, 4);
    }
}

static const uint8_t nothing[RAM_LEN];

static void run(struct machine *m, const struct program *p, uint64_t seed,
                long limit_ms)
{
    struct isa_rng r = {seed};
    struct squib_error e;
    uint64_t before = squib_vcpu_insn_count(m->vcpu);

    squib_memory_write(m->mem, 0, nothing, sizeof(nothing), &e);
    put_tables(m);
    isa_fill(&r, m->ram + DATA, DATA_LEN);
    isa_fill(&r, m->ram + STACK - 0x4000, 0x5000);
    memset(m->ram + COUNTER, 0, 8);
    m->ram[COUNTER] = 3;
    squib_memory_write(m->mem, p->at, p->b, p->len, &e);
    squib_x86_long_mode(&m->st, p->at, PML4);
    m->st.cr4 |= 1u << 18; /* OSXSAVE */
    if (seed % 8 > 2)
        m->st.cr4 |= 1u << 16; /* FSGSBASE */
    m->st.xcr0 = 7;
    if (seed % 4 == 3) { /* in user mode; HLT is the end there, too */
        m->st.seg[SQUIB_X86_CS].attr |= 0x60;
        m->st.seg[SQUIB_X86_CS].selector |= 3;
        m->st.seg[SQUIB_X86_SS].attr |= 0x60;
        m->st.seg[SQUIB_X86_SS].selector |= 3;
    }
    for (unsigned k = 0; k < 16; k++)
        m->st.gpr[k] = isa_percent(&r, 50) ? isa_random(&r)
                                           : some_target(&r);
    m->st.gpr[SQUIB_X86_RSP] = STACK;
    m->st.rflags = 2 | (isa_random(&r) & 0x8d5);
    put_fpu(m, &r);
    squib_vcpu_set_state(m->vcpu, SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM |
                         SQUIB_STATE_FPU, &m->st, &e);
    running = m->vcpu;
    limit(limit_ms);
    for (unsigned n = 0; n < EXITS_MAX; n++) {
        struct squib_exit *x = squib_vcpu_run(m->vcpu);

        m->last = *x;
        if (x->kind == SQUIB_EXIT_MMIO) {
            uint64_t v = answer(x->mmio.gpa);

            if (!x->mmio.write)
                memcpy(x->mmio.data, &v, 8);
            continue;
        }
        break;
    }
    limit(0);
    running = NULL;
    squib_vcpu_get_state(m->vcpu, SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM |
                         SQUIB_STATE_FPU, &m->st, &e);
    m->count = squib_vcpu_insn_count(m->vcpu) - before;
}

/* --- comparison ---------------------------------------------------------- */

static bool differs(const struct machine *a, const struct machine *b,
                    bool tell)
{
    bool bad = false;

#define CMP(what, x, y)                                                    \
    do {                                                                   \
        if ((x) != (y)) {                                                  \
            bad = true;                                                    \
            if (tell)                                                      \
                printf("    %-8s interpreter %016llx translator %016llx\n", \
                       what, (unsigned long long)(x),                      \
                       (unsigned long long)(y));                           \
        }                                                                  \
    } while (0)
    CMP("exit", a->last.kind, b->last.kind);
    CMP("count", a->count, b->count);
    CMP("rip", a->st.rip, b->st.rip);
    CMP("cr2", a->st.cr2, b->st.cr2);
    if (a->last.kind == SQUIB_EXIT_HLT)
        CMP("rflags", a->st.rflags, b->st.rflags);
    for (unsigned k = 0; k < 16; k++) {
        char name[8];

        snprintf(name, sizeof(name), "r%u", k);
        CMP(name, a->st.gpr[k], b->st.gpr[k]);
    }
    if (opt.floats)
        for (unsigned k = 0; k < 832; k += 8)
            CMP("fpu", sq_ld64(a->st.xsave + k), sq_ld64(b->st.xsave + k));
    for (unsigned k = CODE; k < RAM_LEN; k += 8) {
        if (memcmp(a->ram + k, b->ram + k, 8) == 0)
            continue;
        if (tell)
            printf("    at %x\n", k);
        CMP("memory", sq_ld64(a->ram + k), sq_ld64(b->ram + k));
        break;
    }
    return bad;
}

static void show(const struct program *p)
{
    printf("    at %llx:", (unsigned long long)p->at);
    for (unsigned k = 0; k < p->len && k < 700; k++)
        printf(" %02x", p->b[k]);
    printf("\n");
}

int main(int argc, char **argv)
{
    static struct machine a, b;
    static struct program p;
    uint64_t failures = 0, halts = 0;

    for (int k = 1; k < argc; k++) {
        if (!strcmp(argv[k], "--float"))
            opt.floats = true;
        else if (k + 1 < argc && !strcmp(argv[k], "--cases"))
            opt.cases = strtoull(argv[++k], NULL, 0);
        else if (k + 1 < argc && !strcmp(argv[k], "--seed"))
            opt.seed = strtoull(argv[++k], NULL, 0);
        else if (k + 1 < argc && !strcmp(argv[k], "--case"))
            opt.only = strtoull(argv[++k], NULL, 0);
        else
            return 2;
    }
    signal(SIGALRM, on_alarm);
    isa_forms_init();
    if (!make(&a, "soft,jit=off") || !make(&b, "soft,jit=eager"))
        return 1;
    printf("seed %llu\n", (unsigned long long)opt.seed);
    for (uint64_t n = 0; n < opt.cases && failures < 10; n++) {
        struct isa_rng r = {opt.seed * 0x10001 + n};

        if (opt.only != UINT64_MAX && n != opt.only)
            continue;
        make_program(&p, &r);
        run(&a, &p, n, 200);
        if (a.last.kind == SQUIB_EXIT_CANCELED)
            continue;
        /* It has an end, however long the host takes to get there. */
        run(&b, &p, n, 60000);
        halts += a.last.kind == SQUIB_EXIT_HLT;
        if (differs(&a, &b, false)) {
            failures++;
            printf("FAIL case %llu\n", (unsigned long long)n);
            differs(&a, &b, true);
            show(&p);
        }
    }
    printf("%s jit_diff: %llu of %llu reached the end\n",
           failures ? "not ok" : "ok", (unsigned long long)halts,
           (unsigned long long)opt.cases);
    unmake(&a);
    unmake(&b);
    return failures != 0;
}
