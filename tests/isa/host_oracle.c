/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software CPU against the host's: random instructions with random
 * registers, flags and memory run natively and interpreted, and everything
 * that the architecture defines must come out the same: general registers,
 * RIP, RFLAGS, x87, MMX, YMM, MXCSR, memory, and exceptions with error code
 * and CR2.
 *
 *     host_oracle [--cases N] [--seed S] [--filter MNEMONIC] [--case K]
 *
 * The generator walks the forms of the instruction table in turn
 * (isa_forms.c), makes an encoding of each and runs it with four different
 * states, each of which is one case. At the end it prints which forms were
 * covered and why the others were not.
 *
 * To reproduce a failure, take the seed from the first line of output and
 * K from the failure's:
 *
 *     FAIL case 1234: 66 0f af c1: imul
 *     host_oracle --seed 1 --case 1234
 *
 * runs that encoding alone and prints its registers before and after on both
 * sides. (With --filter, give the same filter again: K counts encodings.)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "backends/soft/vm.h"
#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/flags.h"
#include "backends/soft/x86_64/mem.h"
#include "backends/soft/x86_64/seg.h"
#include "isa_forms.h"
#include "isa_state.h"

#if defined(__x86_64__)

#define STATES 4 /* cases an encoding */
#define TELL_MAX 40

static struct {
    uint64_t cases, seed, only;
    const char *filter;
    bool verbose;
} opt = {2000000, 1, UINT64_MAX, NULL, false};

static uint64_t cases, encodings, given_up, failures, raised[32];
static uint8_t memory_before[ISA_WINDOW_LEN];

/* --- the interpreter's CPU ------------------------------------------------ */

static struct sq_x86_cpu *cpu;
static struct sq_soft_vm *vm;
static uint8_t *guest; /* its memory: page tables, then the arena */
static struct sq_x86_block *block; /* one instruction and its end */
static struct sq_code_page code_page;
static struct squib_exit unexpected;

enum { GUEST_ARENA = 0x4000, GUEST_LEN = 0x8000 };

static void put_entry(unsigned table, unsigned index, uint64_t v)
{
    memcpy(guest + table + index * 8, &v, 8);
}

/* The arena's two pages at the address that they have natively. */
static void make_tables(void)
{
    const unsigned pte = (ISA_ARENA >> 12) & 511;

    put_entry(0, (ISA_ARENA >> 39) & 511, 0x1000 | 0x67);
    put_entry(0x1000, (ISA_ARENA >> 30) & 511, 0x2000 | 0x67);
    put_entry(0x2000, (ISA_ARENA >> 21) & 511, 0x3000 | 0x67);
    put_entry(0x3000, pte, GUEST_ARENA | 0x67);
    put_entry(0x3000, pte + 1, (GUEST_ARENA + 0x1000) | 0x67);
}

static void make_cpu(void)
{
    uint16_t sel[6];

    isa_native_selectors(sel);
    for (unsigned s = 0; s < 6; s++) {
        cpu->seg[s].sel = sel[s];
        cpu->seg[s].limit = UINT32_MAX;
        cpu->seg[s].attr = s == SEG_CS ? 0xa0fb : 0xc0f3;
    }
    cpu->seg[SEG_FS].base = isa_native_fs_base();
    cpu->seg[SEG_GS].base = ISA_GS_BASE;
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    cpu->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT |
               CR4_OSXSAVE | CR4_FSGSBASE;
    cpu->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    cpu->xcr0 = 7;
    cpu->phys_bits = 40;
    cpu->vm = vm;
    cpu->exit = &unexpected;
    cpu->delivering = -1;
    sq_x86_set_cpl(cpu, 3);
    sq_x86_tlb_init(cpu);
    sq_x86_update_mode(cpu);
    cpu->block = block;
    block->page = &code_page;
    block->n = 1;
    block->mode = MODE_64;
}

bool isa_interp_init(void)
{
    cpu = aligned_alloc(_Alignof(struct sq_x86_cpu), sizeof(*cpu));
    vm = calloc(1, sizeof(*vm));
    block = calloc(1, sizeof(*block) + 2 * sizeof(block->insn[0]));
    guest = aligned_alloc(4096, GUEST_LEN);
    if (!cpu || !vm || !block || !guest)
        return false;
    memset(cpu, 0, sizeof(*cpu));
    memset(guest, 0, GUEST_LEN);
    vm->slot[0] = (struct sq_soft_slot){
        .len = GUEST_LEN, .hva = guest,
        .prot = SQUIB_PROT_READ | SQUIB_PROT_WRITE};
    vm->slot[0].pages = calloc(GUEST_LEN / 4096, sizeof(struct sq_code_page));
    vm->slot_count = 1;
    pthread_mutex_init(&vm->lock, NULL);
    pthread_mutex_init(&vm->split_lock, NULL);
    make_tables();
    make_cpu();
    return vm->slot[0].pages != NULL;
}

const uint8_t *isa_window_host(void)
{
    return (const uint8_t *)(uintptr_t)ISA_WINDOW;
}

const uint8_t *isa_window_ours(void)
{
    return guest + GUEST_ARENA + (ISA_WINDOW - ISA_ARENA);
}

bool isa_edges_agree(void)
{
    const uint8_t *host = (const uint8_t *)(uintptr_t)ISA_ARENA;
    uint8_t *ours = guest + GUEST_ARENA;
    const unsigned last = ISA_ARENA_LEN - 128;

    if (!memcmp(host, ours, 128) && !memcmp(host + last, ours + last, 128))
        return true;
    memcpy(ours, host, 128);
    memcpy(ours + last, host + last, 128);
    return false;
}

bool isa_arenas_agree(void)
{
    const uint8_t *host = (const uint8_t *)(uintptr_t)ISA_ARENA;
    const uint8_t *ours = guest + GUEST_ARENA;
    unsigned after = (unsigned)(ISA_WINDOW - ISA_ARENA) + ISA_WINDOW_LEN;

    return !memcmp(host, ours, ISA_WINDOW - ISA_ARENA) &&
           !memcmp(host + after, ours + after, ISA_ARENA_LEN - after);
}

static void fx_to_cpu(const struct isa_fx *fx)
{
    struct sq_x87 *x = &cpu->x87;

    for (unsigned k = 0; k < 16; k++)
        memcpy(&cpu->ymm[k], &fx->xmm[k], 16);
    cpu->mxcsr = fx->mxcsr;
    x->fcw = fx->fcw;
    x->fsw = fx->fsw & 0xc7ff;
    x->top = fx->fsw >> 11 & 7;
    x->empty = (uint8_t)~fx->ftw;
    x->fip = x->fdp = 0;
    x->fop = x->fcs = x->fds = 0;
    for (unsigned k = 0; k < 8; k++) {
        x->st[(x->top + k) & 7].sig = fx->st[k].sig;
        x->st[(x->top + k) & 7].se = fx->st[k].se;
    }
}

static void ymmh_to_cpu(const struct isa_regs *in)
{
    for (unsigned k = 0; k < 16; k++)
        memcpy(cpu->ymm[k].b + 16, in->ymmh[k], 16);
}

static void fx_from_cpu(struct isa_fx *fx)
{
    const struct sq_x87 *x = &cpu->x87;

    memset(fx, 0, sizeof(*fx));
    for (unsigned k = 0; k < 16; k++)
        memcpy(&fx->xmm[k], &cpu->ymm[k], 16);
    fx->mxcsr = cpu->mxcsr;
    fx->fcw = x->fcw;
    fx->fsw = (uint16_t)(x->fsw | x->top << 11);
    fx->ftw = (uint8_t)~x->empty;
    for (unsigned k = 0; k < 8; k++) {
        fx->st[k].sig = x->st[(x->top + k) & 7].sig;
        fx->st[k].se = x->st[(x->top + k) & 7].se;
    }
}

void isa_fx_tidy(struct isa_fx *fx)
{
    fx->pad0 = 0;
    fx->fop = 0;
    fx->fip = fx->fdp = 0;
    fx->mxcsr_mask = 0;
    for (unsigned k = 0; k < 8; k++)
        memset(fx->st[k].pad, 0, sizeof(fx->st[k].pad));
}

void isa_interpret(const struct sq_x86_insn *insn, unsigned len,
                   const struct sq_x86_flags *lazy, const struct isa_regs *in,
                   struct isa_regs *out)
{
    volatile unsigned turns = 0;

    memcpy(cpu->gpr, in->gpr, sizeof(in->gpr));
    cpu->gpr[SQ_RIP] = in->rip;
    cpu->gpr[SQ_ZERO] = 0;
    if (lazy)
        cpu->fl = *lazy;
    else
        sq_set_status(cpu, (uint32_t)in->rflags);
    cpu->rflags = in->rflags & ~(uint64_t)FL_STATUS;
    fx_to_cpu(&in->fx);
    ymmh_to_cpu(in);
    out->vector = -1;
    out->error = 0;
    cpu->cr2 = 0;
    switch (setjmp(cpu->leave)) {
    case LEAVE_FAULT:
        out->vector = cpu->fault_vector;
        if (cpu->fault_error != NO_ERROR_CODE)
            out->error = cpu->fault_error;
        break;
    case LEAVE_EXIT: out->vector = -2; break; /* no instruction here may */
    case LEAVE_RESTART:
        if (++turns > 100) {
            out->vector = -3;
            break;
        }
        /* fall through */
    default:
        block->insn[0] = *insn;
        block->insn[1] = (struct sq_x86_insn){.exec = sq_x86_exec_end,
                                              .off = (uint16_t)len};
        block->insn[0].exec(cpu, block->insn);
    }
    memcpy(out->gpr, cpu->gpr, sizeof(out->gpr));
    out->rip = cpu->gpr[SQ_RIP];
    out->rflags = sq_rflags(cpu);
    out->cr2 = cpu->cr2;
    fx_from_cpu(&out->fx);
    for (unsigned k = 0; k < 16; k++)
        memcpy(out->ymmh[k], cpu->ymm[k].b + 16, 16);
}

uint32_t isa_status_of(const struct sq_x86_flags *fl)
{
    cpu->fl = *fl;
    return sq_status(cpu);
}

/* --- both arenas ---------------------------------------------------------- */

void isa_memory_fresh(const uint8_t *contents)
{
    memcpy((void *)(uintptr_t)ISA_WINDOW, contents, ISA_WINDOW_LEN);
    memcpy(guest + GUEST_ARENA + (ISA_WINDOW - ISA_ARENA), contents,
           ISA_WINDOW_LEN);
}

void isa_memory_put(uint64_t gva, uint64_t v)
{
    if (gva - ISA_ARENA > ISA_ARENA_LEN - 8)
        return;
    memcpy((void *)(uintptr_t)gva, &v, 8);
    memcpy(guest + GUEST_ARENA + (gva - ISA_ARENA), &v, 8);
}

void isa_memory_clear(uint64_t gva, uint8_t bits)
{
    if (gva - ISA_ARENA >= ISA_ARENA_LEN)
        return;
    *(uint8_t *)(uintptr_t)gva &= (uint8_t)~bits;
    guest[GUEST_ARENA + (gva - ISA_ARENA)] &= (uint8_t)~bits;
}

/* --- what is compared ----------------------------------------------------- */

static bool named(const struct isa_form *f, const char *list)
{
    const char *at = strstr(list, f->row->name);
    size_t n = strlen(f->row->name);

    return at && at[n] == ' ' && (at == list || at[-1] == ' ');
}

/* The count of a shift or rotate, as the processor masks it. */
static unsigned shift_count(const struct isa_form *f,
                            const struct sq_x86_insn *i,
                            const struct isa_regs *in)
{
    unsigned op = f->opcode[f->opcode_len - 1];
    uint64_t n;

    if (op == 0xd0 || op == 0xd1)
        n = 1;
    else if (f->imm == IMM_8)
        n = i->imm;
    else
        n = in->gpr[R_CX];
    return (unsigned)n & (f->osz == 3 ? 63 : 31);
}

/* Flags that need not agree (SDM vol. 2, each instruction's "flags
 * affected"). */
static uint32_t undefined_flags(const struct isa_form *f,
                                const struct sq_x86_insn *i,
                                const struct isa_regs *in)
{
    unsigned n, bits = 8u << f->osz;
    bool rotate = named(f, "rol ror rcl rcr ");

    if (!rotate && !named(f, "shl shr sar shld shrd "))
        return f->row->undefined;
    n = shift_count(f, i, in);
    if (n == 0)
        return 0;
    if (rotate)
        return n == 1 ? 0 : FL_OF;
    if (named(f, "shld shrd "))
        return n > bits ? FL_STATUS : n == 1 ? FL_AF : FL_AF | FL_OF;
    return FL_AF | (n == 1 ? 0u : (unsigned)FL_OF) |
           (n >= bits && !named(f, "sar ") ? (unsigned)FL_CF : 0u);
}

/* Whole results that are undefined. */
static bool undefined_result(const struct isa_form *f,
                             const struct sq_x86_insn *i,
                             const struct isa_regs *in)
{
    if (named(f, "shld shrd "))
        return shift_count(f, i, in) > 8u << f->osz;
    return f->osz == 1 && named(f, "bswap ");
}

struct difference {
    char text[4096];
    int len;
};

static void differ(struct difference *d, const char *what, uint64_t before,
                   uint64_t native, uint64_t ours)
{
    int n;

    if (d->len > (int)sizeof(d->text) - 200)
        return;
    n = snprintf(d->text + d->len, sizeof(d->text) - (unsigned)d->len,
                 "    %-8s before %016llx  host %016llx  squib %016llx\n",
                 what, (unsigned long long)before, (unsigned long long)native,
                 (unsigned long long)ours);
    d->len += n;
}

static const char *const gpr_name[] = {"rax", "rcx", "rdx", "rbx", "rsp",
                                       "rbp", "rsi", "rdi", "r8",  "r9",
                                       "r10", "r11", "r12", "r13", "r14",
                                       "r15"};

/* Comparisons. With an unmasked invalid-operand exception they set no
 * condition (SDM vol. 2, FCOM and FCOMI); AMD's processors set it, and set it
 * with an unmasked denormal-operand exception, too. */
static bool is_x87_compare(const struct isa_form *f)
{
    return named(f, "fcom fcomp fcompp ficom ficomp fucom fucomp fucompp ") ||
           (f->opcode[0] == 0xd9 && f->reg == 4 && f->rm == 4);
}

static bool is_flag_compare(const struct isa_form *f)
{
    return named(f, "fcomi fcomip fucomi fucomip ");
}

/* Bits of the x87 status word that need not agree, beside the manual's. */
static uint16_t fsw_slack(const struct isa_form *f, const struct isa_fx *host)
{
    bool stopped = host->fsw & ~host->fcw & 3;

    /* C1 tells how the last bit was rounded; PE whether it was. */
    if (isa_is_transcendental(f)) {
        /* and UE, at the edge, whether it was tiny before */
        bool edge = (host->st[0].se & 0x7fff) <= 1;

        return edge ? 0x0230 : 0x0220;
    }
    if (stopped && is_x87_compare(f))
        return 0x4500;
    /* C1 is cleared (SDM vol. 2, FCOMI); AMD's processors keep it. */
    if (is_flag_compare(f))
        return 0x0200;
    return 0;
}

static void compare_fx(const struct isa_form *f, const struct isa_fx *in,
                       const struct isa_regs *host_regs,
                       const struct isa_fx *ours, struct difference *d)
{
    const struct isa_fx *host = &host_regs->fx;
    char name[16];
    bool loose = isa_is_transcendental(f);
    /* Whether MMX state was entered before #XM is nobody's promise. */
    bool skip_x87 = isa_is_mmx_source_in_memory(f) ||
                    (host_regs->vector == EXC_XM &&
                     named(f, "cvtpi2ps cvtps2pi cvttps2pi cvtpd2pi "
                              "cvttpd2pi "));

    if (host->mxcsr != ours->mxcsr)
        differ(d, "mxcsr", in->mxcsr, host->mxcsr, ours->mxcsr);
    if (host->fcw != ours->fcw)
        differ(d, "fcw", in->fcw, host->fcw, ours->fcw);
    if (!skip_x87 && (host->fsw ^ ours->fsw) & ~fsw_slack(f, host))
        differ(d, "fsw", in->fsw, host->fsw, ours->fsw);
    if (!skip_x87 && host->ftw != ours->ftw)
        differ(d, "ftw", in->ftw, host->ftw, ours->ftw);
    for (unsigned k = 0; k < 8 && !skip_x87; k++) {
        if (host->st[k].sig == ours->st[k].sig &&
            host->st[k].se == ours->st[k].se)
            continue;
        if (loose && isa_f80_close(host->st[k].sig, host->st[k].se,
                                   ours->st[k].sig, ours->st[k].se))
            continue;
        snprintf(name, sizeof(name), "st%u", k);
        differ(d, name, in->st[k].sig, host->st[k].sig, ours->st[k].sig);
        differ(d, "  exp", in->st[k].se, host->st[k].se, ours->st[k].se);
    }
}

/* A gather that faults has read some elements: how many is not defined. */
static bool partly_done(const struct isa_form *f,
                        const struct sq_x86_insn *i,
                        const struct isa_regs *host, unsigned k)
{
    return f->row->form == FORM_VSIB && host->vector >= 0 &&
           (k == i->reg || k == i->imm2);
}

static void compare_ymm(const struct isa_form *f,
                        const struct sq_x86_insn *i,
                        const struct isa_regs *in,
                        const struct isa_regs *host,
                        const struct isa_regs *ours, struct difference *d)
{
    char name[16];

    for (unsigned k = 0; k < 16; k++) {
        uint64_t h[4], o[4], b[4];

        memcpy(h, &host->fx.xmm[k], 16);
        memcpy(h + 2, host->ymmh[k], 16);
        memcpy(o, &ours->fx.xmm[k], 16);
        memcpy(o + 2, ours->ymmh[k], 16);
        memcpy(b, &in->fx.xmm[k], 16);
        memcpy(b + 2, in->ymmh[k], 16);
        if (!memcmp(h, o, 32) || partly_done(f, i, host, k) ||
            (isa_is_estimate(f) &&
             isa_f32_close((uint8_t *)h, (uint8_t *)o) &&
             isa_f32_close((uint8_t *)(h + 2), (uint8_t *)(o + 2))))
            continue;
        for (unsigned q = 0; q < 4; q++) {
            snprintf(name, sizeof(name), "ymm%u.%u", k, q);
            if (h[q] != o[q])
                differ(d, name, b[q], h[q], o[q]);
        }
    }
}

static void compare_memory(struct difference *d)
{
    const uint8_t *host = isa_window_host(), *ours = isa_window_ours();
    char name[16];

    if (!isa_edges_agree())
        differ(d, "edges", 0, 0, 1);
    if (!memcmp(host, ours, ISA_WINDOW_LEN))
        return;
    for (unsigned k = 0; k < ISA_WINDOW_LEN; k += 8) {
        uint64_t b, h, o;

        memcpy(&b, memory_before + k, 8);
        memcpy(&h, host + k, 8);
        memcpy(&o, ours + k, 8);
        snprintf(name, sizeof(name), "%llx",
                 (unsigned long long)(ISA_WINDOW + k));
        if (h != o)
            differ(d, name, b, h, o);
    }
}

static void compare(const struct isa_form *f, const struct sq_x86_insn *i,
                    const struct isa_regs *in, const struct isa_regs *host,
                    const struct isa_regs *ours, struct difference *d)
{
    /* RF is set in the image that an exception saves. */
    uint64_t flags = 0x3fffffull & ~(uint64_t)FL_RF, cr2_mask = UINT64_MAX;

    d->len = 0;
    if (host->vector != ours->vector) {
        differ(d, "vector", (uint64_t)in->vector, (uint64_t)host->vector,
               (uint64_t)ours->vector);
    } else if (host->vector >= 0) {
        if (host->error != ours->error &&
            (host->vector == EXC_PF || host->vector == EXC_GP))
            differ(d, "error", 0, host->error, ours->error);
        /* Areas are read in pieces; which comes first is not defined. */
        if (named(f, "fldenv fnstenv frstor fnsave fxsave fxrstor "))
            cr2_mask = ~0xfffull;
        if (host->vector == EXC_PF && (host->cr2 ^ ours->cr2) & cr2_mask)
            differ(d, "cr2", 0, host->cr2, ours->cr2);
    }
    if (host->vector < 0 || host->vector != ours->vector)
        flags &= ~(uint64_t)undefined_flags(f, i, in);
    if (is_flag_compare(f) && host->fx.fsw & ~host->fx.fcw & 3)
        flags &= ~(uint64_t)FL_STATUS;
    if (host->rip != ours->rip)
        differ(d, "rip", in->rip, host->rip, ours->rip);
    if ((host->rflags ^ ours->rflags) & flags)
        differ(d, "rflags", in->rflags & flags, host->rflags & flags,
               ours->rflags & flags);
    if (host->vector < 0 && undefined_result(f, i, in)) {
        isa_edges_agree();
        return;
    }
    for (unsigned k = 0; k < 16; k++)
        if (host->gpr[k] != ours->gpr[k])
            differ(d, gpr_name[k], in->gpr[k], host->gpr[k], ours->gpr[k]);
    compare_fx(f, &in->fx, host, &ours->fx, d);
    compare_ymm(f, i, in, host, ours, d);
    compare_memory(d);
}

/* Whole cases in which the host may do otherwise. */
static bool makers_differ(const struct isa_form *f,
                          const struct isa_regs *host,
                          const struct isa_regs *ours)
{
    /* FLD of a denormal with that exception unmasked does not load (SDM
     * vol. 1, 8.5.2); AMD's processors load and set ES. */
    if (named(f, "fld ") && f->mem && host->fx.fsw & ~host->fx.fcw & 2)
        return true;
    /* MOVSXD with 16-bit operands reads 16 bits (SDM vol. 2); AMD's
     * processors read 32. */
    if (named(f, "movsxd ") && f->osz == 1 && host->vector == EXC_PF)
        return true;
    /* AMD's MXCSR has a bit more, 17: misaligned exceptions off. */
    return named(f, "ldmxcsr vldmxcsr fxrstor ") && host->fx.mxcsr & 0x20000 &&
           ours->vector == EXC_GP;
}

/* --- telling of it -------------------------------------------------------- */

static void print_regs(const char *who, const struct isa_regs *r)
{
    printf("  %s: rip %llx rflags %llx vector %d error %x cr2 %llx\n", who,
           (unsigned long long)r->rip, (unsigned long long)r->rflags,
           r->vector, r->error, (unsigned long long)r->cr2);
    for (unsigned k = 0; k < 16; k++)
        printf("    %-4s %016llx%s", gpr_name[k],
               (unsigned long long)r->gpr[k], k % 4 == 3 ? "\n" : "");
    printf("    fcw %04x fsw %04x ftw %02x mxcsr %04x\n", r->fx.fcw,
           r->fx.fsw, r->fx.ftw, r->fx.mxcsr);
    for (unsigned k = 0; k < 8; k++)
        printf("    st%u  %04x:%016llx%s", k, r->fx.st[k].se,
               (unsigned long long)r->fx.st[k].sig, k % 3 == 2 ? "\n" : "");
    printf("\n");
    for (unsigned k = 0; k < 16; k++)
        printf("    ymm%-2u %016llx %016llx %016llx %016llx\n", k,
               (unsigned long long)r->ymmh[k][1],
               (unsigned long long)r->ymmh[k][0],
               (unsigned long long)r->fx.xmm[k].q[1],
               (unsigned long long)r->fx.xmm[k].q[0]);
}

static void tell(uint64_t number, const struct isa_form *f,
                 const struct isa_code *code, const struct isa_regs *in,
                 const struct isa_regs *host, const struct isa_regs *ours,
                 const struct difference *d)
{
    char name[64];

    isa_form_name(f, name, sizeof(name));
    printf("FAIL case %llu:", (unsigned long long)number);
    for (unsigned k = 0; k < code->len; k++)
        printf(" %02x", code->bytes[k]);
    printf(": %s\n%.*s", name, d->len, d->text);
    if (opt.verbose) {
        print_regs("before", in);
        print_regs("host", host);
        print_regs("squib", ours);
    }
}

static uint64_t failed_forms[ISA_FORMS_MAX];

/* --- the run -------------------------------------------------------------- */

static void one_state(uint64_t number, struct isa_form *f,
                      const struct isa_code *code,
                      const struct sq_x86_insn *insn, unsigned slot,
                      struct isa_setup *setup, struct isa_rng *rng)
{
    static struct isa_regs in, host, ours;
    static struct difference d;

    isa_state_make(f, setup, rng, &in);
    memcpy(memory_before, isa_window_host(), ISA_WINDOW_LEN);
    isa_native_run(&in, &host, slot, code->len);
    isa_interpret(insn, code->len, setup->lazy ? &setup->fl : NULL, &in,
                  &ours);
    isa_memory_tidy(f, setup);
    isa_fx_tidy(&host.fx);
    isa_fx_tidy(&ours.fx);
    cases++;
    f->cases++;
    if (host.vector >= 0 && host.vector < 32)
        raised[host.vector]++;
    compare(f, insn, &in, &host, &ours, &d);
    if (d.len && !makers_differ(f, &host, &ours)) {
        uint64_t *n = &failed_forms[f - isa_forms];

        failures++;
        if (opt.verbose || (++*n <= 2 && failures <= TELL_MAX))
            tell(number, f, code, &in, &host, &ours, &d);
    } else if (opt.verbose) {
        print_regs("before", &in);
        print_regs("both", &host);
    }
}

static void one_encoding(uint64_t number, struct isa_form *f)
{
    struct isa_rng rng = {opt.seed * 0xd1342543de82ef95ull +
                          number * 0xaf251af3b0f025b5ull};
    unsigned slot = (unsigned)(number % ISA_SLOTS);

    isa_random(&rng);
    for (unsigned attempt = 0; attempt < 20; attempt++) {
        struct isa_code code;
        struct sq_x86_insn insn;
        struct isa_setup setup;

        if (!isa_encode(f, &rng, &code) ||
            !isa_state_plan(f, &code, slot, &rng, &setup, &insn))
            continue;
        encodings++;
        isa_native_write(setup.rip, code.bytes, code.len);
        for (unsigned k = 0; k < STATES; k++)
            one_state(number, f, &code, &insn, slot, &setup, &rng);
        return;
    }
    given_up++;
}

static void print_coverage(void)
{
    uint64_t covered = 0, selected = 0;
    char name[64];

    for (unsigned k = 0; k < isa_form_count; k++) {
        if (opt.filter && strcmp(isa_forms[k].row->name, opt.filter) != 0)
            continue;
        selected++;
        covered += isa_forms[k].cases != 0;
    }
    printf("forms covered: %llu of %llu\n", (unsigned long long)covered,
           (unsigned long long)selected);
    for (unsigned k = 0; k < isa_form_count; k++) {
        const struct isa_form *f = &isa_forms[k];

        if (f->cases || (opt.filter && strcmp(f->row->name, opt.filter)))
            continue;
        isa_form_name(f, name, sizeof(name));
        printf("  not covered: %s: %s\n", name,
               f->skip ? f->skip : "no case was made");
    }
    for (unsigned v = 0; v < 32; v++)
        if (raised[v])
            printf("exception %u: %llu cases\n", v,
                   (unsigned long long)raised[v]);
    for (unsigned k = 0; k < isa_form_count; k++) {
        if (!failed_forms[k])
            continue;
        isa_form_name(&isa_forms[k], name, sizeof(name));
        printf("  failed: %s: %llu of %llu\n", name,
               (unsigned long long)failed_forms[k],
               (unsigned long long)isa_forms[k].cases);
    }
}

static void run(void)
{
    static unsigned chosen[ISA_FORMS_MAX];
    unsigned n = 0;

    for (unsigned k = 0; k < isa_form_count; k++)
        if (!isa_forms[k].skip &&
            (!opt.filter || !strcmp(isa_forms[k].row->name, opt.filter)))
            chosen[n++] = k;
    if (!n) {
        printf("FAIL no form has that name\n");
        exit(1);
    }
    if (opt.only != UINT64_MAX) {
        opt.verbose = true;
        one_encoding(opt.only, &isa_forms[chosen[opt.only % n]]);
        return;
    }
    for (uint64_t k = 0; cases < opt.cases && given_up < 100000; k++)
        one_encoding(k, &isa_forms[chosen[k % n]]);
}

int main(int argc, char **argv)
{
    const char *why;

    for (int k = 1; k + 1 < argc; k += 2) {
        if (!strcmp(argv[k], "--cases"))
            opt.cases = strtoull(argv[k + 1], NULL, 0);
        else if (!strcmp(argv[k], "--seed"))
            opt.seed = strtoull(argv[k + 1], NULL, 0);
        else if (!strcmp(argv[k], "--case"))
            opt.only = strtoull(argv[k + 1], NULL, 0);
        else if (!strcmp(argv[k], "--filter"))
            opt.filter = argv[k + 1];
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!isa_native_init(&why)) {
        printf("skip host_oracle: %s\n", why);
        return 77;
    }
    isa_forms_init();
    isa_skip_what_host_lacks();
    if (!isa_interp_init() || !isa_state_init(opt.seed)) {
        printf("FAIL out of memory\n");
        return 1;
    }
    printf("seed %llu, %u forms\n", (unsigned long long)opt.seed,
           isa_form_count);
    run();
    if (opt.only == UINT64_MAX) {
        print_coverage();
        printf("%llu cases, %llu encodings, %llu given up\n",
               (unsigned long long)cases, (unsigned long long)encodings,
               (unsigned long long)given_up);
    }
    if (!isa_arenas_agree()) {
        printf("FAIL memory outside the window was written\n");
        failures++;
    }
    if (failures) {
        printf("FAIL host_oracle: %llu cases differ\n",
               (unsigned long long)failures);
        return 1;
    }
    printf("ok host_oracle\n");
    return 0;
}

#else

int main(void)
{
    printf("skip host_oracle: the host is not x86-64\n");
    return 77;
}

#endif
