/* SPDX-License-Identifier: Apache-2.0 */
/* Control and debug registers, and the rest of what only system software
 * uses; descriptor tables are in descriptor.c. */
#include "backends/soft/vm.h"
#include "backends/soft/x86_64/cpuid.h"
#include "backends/soft/x86_64/debug.h"
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/seg.h"
#include "backends/soft/x86_64/system.h"
#include "backends/soft/x86_64/x87.h"
#include "backends/soft/x86_64/walk.h"

#include <unistd.h>

/* --- control registers (SDM vol. 3, 2.5 and 4.1) --------------------- */

#define CR0_KNOWN                                                          \
    ((uint64_t)(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE |      \
                CR0_WP | CR0_AM | CR0_NW | CR0_CD) | CR0_PG)
#define CR4_KNOWN                                                          \
    (CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |  \
     CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_OSXSAVE)

int sq_x86_set_cr0(struct sq_x86_cpu *c, uint64_t v)
{
    uint64_t changed;

    if (v >> 32 || (v & CR0_PG && !(v & CR0_PE)) ||
        (v & CR0_NW && !(v & CR0_CD)))
        return -1;
    v = (v & CR0_KNOWN) | CR0_ET;
    changed = v ^ c->cr0;
    if (changed & CR0_PG) {
        if (v & CR0_PG) {
            if (c->efer & EFER_LME) {
                if (!(c->cr4 & CR4_PAE) || c->seg[SEG_CS].attr & ATTR_L)
                    return -1;
                c->efer |= EFER_LMA;
            } else if (c->cr4 & CR4_PAE && !sq_x86_load_pdptes(c, c->cr3)) {
                return -1;
            }
        } else {
            if (c->code64 || c->cr4 & CR4_PCIDE)
                return -1;
            c->efer &= ~(uint64_t)EFER_LMA;
        }
    }
    c->cr0 = v;
    if (changed & (CR0_PG | CR0_PE | CR0_WP))
        sq_x86_tlb_flush(c, false);
    if (changed & CR0_PE && !(v & CR0_PE))
        sq_x86_set_cpl(c, 0);
    sq_x86_update_mode(c);
    return 0;
}

/* PCIDE, if CPUID has it: only in long mode, set with PCID 0. */
static bool pcide_bad(struct sq_x86_cpu *c, uint64_t v)
{
    uint32_t leaf[4];

    if (!(v & CR4_PCIDE))
        return false;
    sq_x86_cpuid(c, 1, 0, leaf);
    return !(leaf[2] >> 17 & 1) || !(c->efer & EFER_LMA) ||
           (!(c->cr4 & CR4_PCIDE) && c->cr3 & 0xfff);
}

int sq_x86_set_cr4(struct sq_x86_cpu *c, uint64_t v)
{
    uint64_t changed = v ^ c->cr4;

    if (v & ~(uint64_t)(CR4_KNOWN | CR4_PCIDE) || pcide_bad(c, v) ||
        (c->efer & EFER_LMA && !(v & CR4_PAE)))
        return -1;
    c->cr4 = v;
    if (changed & CR4_PAE && c->cr0 & CR0_PG && v & CR4_PAE &&
        !sq_x86_load_pdptes(c, c->cr3)) {
        c->cr4 ^= changed;
        return -1;
    }
    if (changed & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE))
        sq_x86_tlb_flush(c, false);
    if (changed & CR4_DE)
        sq_x86_debug_update(c);
    return 0;
}

int sq_x86_set_cr3(struct sq_x86_cpu *c, uint64_t v)
{
    if (c->cr4 & CR4_PCIDE && c->efer & EFER_LMA) {
        uint16_t from = c->cr3 & 0xfff, to = v & 0xfff;
        bool keep = v >> 63;

        v &= ~(1ull << 63);
        if (v >> c->phys_bits)
            return -1;
        c->cr3 = v;
        sq_x86_tlb_switch(c, from, to, keep);
        return 0;
    }
    if (c->efer & EFER_LMA) {
        if (v >> c->phys_bits)
            return -1;
    } else {
        v = (uint32_t)v;
        if (c->cr0 & CR0_PG && c->cr4 & CR4_PAE &&
            !sq_x86_load_pdptes(c, v))
            return -1;
    }
    c->cr3 = v;
    sq_x86_tlb_flush(c, true);
    return 0;
}

OP(mov_RC)
{
    uint64_t v;

    sq_need_cpl0(c, i);
    switch (i->reg) {
    case 0: v = c->cr0; break;
    case 2: v = c->cr2; break;
    case 3: v = c->cr3; break;
    case 4: v = c->cr4; break;
    case 8: v = c->lapic ? sq_lapic_cr8(c->lapic) : 0; break;
    default: sq_x86_ud(c, i);
    }
    if (c->code64)
        WR(64, i->rm, v);
    else
        WR(32, i->rm, v);
    NEXT;
}
FAM1(mov_RC, mov_RC, NULL)

OP(mov_CR)
{
    uint64_t v = c->code64 ? RD(64, i->rm) : RD(32, i->rm);
    uint64_t next = sq_next_rip(c, i);
    int bad = 0;

    sq_need_cpl0(c, i);
    switch (i->reg) {
    case 0: bad = sq_x86_set_cr0(c, v); break;
    case 2: c->cr2 = v; break;
    case 3: bad = sq_x86_set_cr3(c, v); break;
    case 4: bad = sq_x86_set_cr4(c, v); break;
    case 8:
        bad = c->lapic ? sq_lapic_set_cr8(c->lapic, v) : v > 15;
        sq_x86_irq_recheck(c);
        break;
    default: sq_x86_ud(c, i);
    }
    if (bad)
        sq_x86_gp(c, i, 0);
    c->gpr[SQ_RIP] = next;
}
FAM1(mov_CR, mov_CR, NULL)

static unsigned debug_index(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    unsigned n = i->reg;

    sq_need_cpl0(c, i);
    if (n > 7 || ((n == 4 || n == 5) && c->cr4 & CR4_DE))
        sq_x86_ud(c, i);
    return n == 4 || n == 5 ? n + 2 : n;
}
/* General detect: who guards the debug registers gets the access first. */
static unsigned debug_access(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i)
{
    unsigned n = debug_index(c, i);

    if (c->dr7 & DR7_GD)
        sq_x86_debug_raise(c, i, DR6_BD);
    return n;
}
OP(mov_RD)
{
    unsigned n = debug_access(c, i);
    uint64_t v = n < 4 ? c->dr[n] : n == 6 ? c->dr6 : c->dr7;

    if (c->code64)
        WR(64, i->rm, v);
    else
        WR(32, i->rm, v);
    NEXT;
}
OP(mov_DR)
{
    unsigned n = debug_access(c, i);
    uint64_t v = c->code64 ? RD(64, i->rm) : RD(32, i->rm);

    if (n >= 6 && v >> 32)
        sq_x86_gp(c, i, 0);
    if (n < 4)
        c->dr[n] = v;
    else if (n == 6)
        c->dr6 = (v & 0xe00f) | 0xffff0ff0;
    else
        c->dr7 = (v & 0xffff2bff) | 0x400;
    if (n != 6)
        sq_x86_debug_update(c);
    sq_end_block(c, i);
}
FAM1(mov_RD, mov_RD, NULL)
FAM1(mov_DR, mov_DR, NULL)

OP(clts)
{
    sq_need_cpl0(c, i);
    c->cr0 &= ~(uint64_t)CR0_TS;
    sq_end_block(c, i);
}
FAM1(clts, clts, NULL)

OP(smsw_r)
{
    sq_write_by_size(c, i, c->cr0);
    NEXT;
}
OP(smsw_m)
{
    sq_store16(c, i, c->cr0);
    NEXT;
}
FAM1(smsw, smsw_r, smsw_m)

/* LMSW sets PE, MP, EM, TS but cannot clear PE. */
static void lmsw(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                 uint16_t v)
{
    uint64_t next = sq_next_rip(c, i);

    sq_need_cpl0(c, i);
    if (sq_x86_set_cr0(c, (c->cr0 & ~(uint64_t)(CR0_MP | CR0_EM | CR0_TS)) |
                              (v & 15u)))
        sq_x86_gp(c, i, 0);
    c->gpr[SQ_RIP] = next;
}
OP(lmsw_r)
{
    lmsw(c, i, RD(16, i->rm));
}
OP(lmsw_m)
{
    lmsw(c, i, LD(16, sq_ea(c, i, 2, ACCESS_R)));
}
FAM1(lmsw, lmsw_r, lmsw_m)

/* --- TLB, caches ----------------------------------------------------- */

OP(invlpg)
{
    sq_need_cpl0(c, i);
    sq_x86_tlb_flush_page(c, sq_ea_sum(c, i) + (i->flags & IF_RIPREL_RAW
                                                    ? i->off + i->len
                                                    : 0) +
                                 (c->code64 ? c->segbase[i->seg]
                                            : c->seg[i->seg].base));
    sq_end_block(c, i);
}
FAM1(invlpg, NULL, invlpg)
/* One address of a PCID, or all of it; everything; all but global pages. */
OP(invpcid)
{
    uint64_t type = c->code64 ? RD(64, i->reg) : RD(32, i->reg);
    uint64_t d[2], pcid;
    uint32_t leaf[4];
    bool current;

    sq_x86_cpuid(c, 7, 0, leaf);
    if (!(leaf[1] >> 10 & 1) || !(c->cr0 & CR0_PE))
        sq_x86_ud(c, i);
    sq_need_cpl0(c, i);
    sq_ld_bytes(c, i, sq_ea(c, i, 16, ACCESS_R), d, 16);
    pcid = d[0];
    current = !(c->cr4 & CR4_PCIDE) || pcid == (c->cr3 & 0xfff);
    if (type > 3 || (type < 2 && (pcid >> 12 || (pcid && !(c->cr4 &
                                                           CR4_PCIDE)))) ||
        (type == 0 && c->efer & EFER_LMA && !sq_canonical(d[1])))
        sq_x86_gp(c, i, 0);
    if (type < 2 && !current)
        sq_x86_tlb_forget(c, (int)pcid);
    else if (type == 0)
        sq_x86_tlb_flush_page(c, d[1]);
    else
        sq_x86_tlb_flush(c, type != 2);
    if (type == 3)
        sq_x86_tlb_forget(c, -1);
    sq_end_block(c, i);
}
FAM1(invpcid, NULL, invpcid)
OP(wbinvd)
{
    sq_need_cpl0(c, i);
    NEXT;
}
FAM1(wbinvd, wbinvd, NULL)

/* --- interrupts' flag and HLT ---------------------------------------- */

static void need_iopl(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    if (c->cr0 & CR0_PE && c->cpl > (c->rflags & FL_IOPL) >> 12)
        sq_x86_gp(c, i, 0);
    if (c->rflags & FL_VM && (c->rflags & FL_IOPL) != FL_IOPL)
        sq_x86_gp(c, i, 0);
}
OP(cli)
{
    need_iopl(c, i);
    c->rflags &= ~(uint64_t)FL_IF;
    NEXT;
}
OP(sti)
{
    need_iopl(c, i);
    if (!(c->rflags & FL_IF)) {
        c->rflags |= FL_IF;
        sq_cast_shadow(c, false);
        sq_x86_irq_recheck(c);
    }
    sq_end_block(c, i);
}
OP(hlt)
{
    sq_need_cpl0(c, i);
    sq_end_block(c, i);
    c->irq_shadow = false;
    if (c->rflags & FL_TF)
        return; /* the trap behind it ends the halt at once */
    c->run_state = SQUIB_X86_HALTED;
    sq_x86_leave_restart(c);
}
FAM1(cli, cli, NULL)
FAM1(sti, sti, NULL)
FAM1(hlt, hlt, NULL)

/* --- MSRs, counters, identity ---------------------------------------- */

static void edx_eax(struct sq_x86_cpu *c, uint64_t v)
{
    c->gpr[R_AX] = (uint32_t)v;
    c->gpr[R_DX] = v >> 32;
}
OP(rdmsr)
{
    uint64_t v;

    sq_need_cpl0(c, i);
    if (sq_x86_msr_read(c, (uint32_t)c->gpr[R_CX], &v))
        sq_x86_gp(c, i, 0);
    edx_eax(c, v);
    NEXT;
}
OP(wrmsr)
{
    uint64_t v = (uint32_t)c->gpr[R_AX] | c->gpr[R_DX] << 32;
    uint64_t next = sq_next_rip(c, i);

    sq_need_cpl0(c, i);
    if (sq_x86_msr_write(c, (uint32_t)c->gpr[R_CX], v))
        sq_x86_gp(c, i, 0);
    c->gpr[SQ_RIP] = next;
}
OP(rdtsc)
{
    if (c->cr4 & CR4_TSD && c->cpl != 0)
        sq_x86_gp(c, i, 0);
    edx_eax(c, sq_x86_tsc_at(c, i));
    NEXT;
}
/* No performance counters. */
OP(rdpmc)
{
    sq_x86_gp(c, i, 0);
}
OP(cpuid)
{
    uint32_t out[4];

    sq_x86_cpuid(c, (uint32_t)c->gpr[R_AX], (uint32_t)c->gpr[R_CX], out);
    c->gpr[R_AX] = out[0];
    c->gpr[R_BX] = out[1];
    c->gpr[R_CX] = out[2];
    c->gpr[R_DX] = out[3];
    sq_end_block(c, i);
}
FAM1(rdmsr, rdmsr, NULL)
FAM1(wrmsr, wrmsr, NULL)
FAM1(rdtsc, rdtsc, NULL)
FAM1(rdpmc, rdpmc, NULL)
FAM1(cpuid, cpuid, NULL)

/* splitmix64 */
static uint64_t next_seeded(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* The guest may seed its generator from this alone, so it is the host's
 * own entropy every time, but in deterministic machines. CF tells success. */
static void random_value(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    uint64_t v = 0;
    bool ok = true;

    if (c->det)
        v = next_seeded(&c->rng_state);
    else
        ok = getentropy(&v, sizeof(v)) == 0;

    sq_write_by_size(c, i, v);
    sq_set_status(c, ok ? FL_CF : 0);
}
OP(rdrand)
{
    random_value(c, i);
    NEXT;
}
OP(rdseed)
{
    random_value(c, i);
    NEXT;
}
FAM1(rdrand, rdrand, NULL)
FAM1(rdseed, rdseed, NULL)
OP(rdpid)
{
    WR(64, i->rm, (uint32_t)c->tsc_aux);
    NEXT;
}
FAM1(rdpid, rdpid, NULL)

static void need_fsgsbase(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    if (!(c->cr4 & CR4_FSGSBASE) || !c->code64)
        sq_x86_ud(c, i);
}
static void write_base(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned seg)
{
    uint64_t v;

    need_fsgsbase(c, i);
    v = i->osz == 3 ? RD(64, i->rm) : RD(32, i->rm);
    if (!sq_canonical(v))
        sq_x86_gp(c, i, 0);
    c->seg[seg].base = c->segbase[seg] = v;
}
static void read_base(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      unsigned seg)
{
    need_fsgsbase(c, i);
    if (i->osz == 3)
        WR(64, i->rm, c->seg[seg].base);
    else
        WR(32, i->rm, c->seg[seg].base);
}
OP(rdfsbase)
{
    read_base(c, i, SEG_FS);
    NEXT;
}
OP(rdgsbase)
{
    read_base(c, i, SEG_GS);
    NEXT;
}
OP(wrfsbase)
{
    write_base(c, i, SEG_FS);
    NEXT;
}
OP(wrgsbase)
{
    write_base(c, i, SEG_GS);
    NEXT;
}
FAM1(rdfsbase, rdfsbase, NULL)
FAM1(rdgsbase, rdgsbase, NULL)
FAM1(wrfsbase, wrfsbase, NULL)
FAM1(wrgsbase, wrgsbase, NULL)

/* --- 0F 01 with register operands: /reg picks the function, rm the rest --- */

#define RM(i) ((i)->rm / 8u & 7u)

/* KVM_HC_SEND_IPI (Linux Documentation/virt/kvm/x86/hypercalls.rst): an ICR's
 * low half for the APIC IDs from rDX on that rBX and rCX have bits for. How
 * many took it goes to rAX, or an error. */
static bool send_ipis(struct sq_x86_cpu *c)
{
    unsigned width = c->code64 ? 64 : 32;
    uint64_t bits[2] = {c->gpr[R_BX], c->gpr[R_CX]};
    uint32_t first = (uint32_t)c->gpr[R_DX], icr = (uint32_t)c->gpr[R_SI];
    uint32_t leaf[4];
    struct sq_apic_msg msg = {
        .src = c->lapic, .vector = (uint8_t)icr,
        .delivery = icr >> 8 & 7, .wide = true};
    int64_t taken = 0;

    sq_x86_cpuid(c, 0x40000001, 0, leaf);
    if (c->gpr[R_AX] != 10 || !(leaf[0] >> SQ_KVM_SEND_IPI_BIT & 1))
        return false;
    if (c->cpl != 0)
        taken = -1; /* EPERM */
    else if (icr & 0xc0800 ||
             (msg.delivery != SQ_APIC_FIXED && msg.delivery != SQ_APIC_NMI))
        taken = -22; /* EINVAL */
    /* An IPI must not overtake what this vCPU wrote (block.h). */
    sq_x86_answer_purge(c);
    for (unsigned k = 0; taken >= 0 && k < 2 * width; k++) {
        msg.dest = first + k;
        if (msg.dest < first || msg.dest == UINT32_MAX) /* all of them */
            break;
        if (bits[k / width] >> k % width & 1)
            taken += sq_apic_bus_deliver(&c->vm->apic_bus, &msg);
    }
    c->gpr[R_AX] = c->code64 ? (uint64_t)taken : (uint32_t)taken;
    sq_x86_irq_recheck(c);
    return true;
}

/* VMCALL and VMMCALL: a hypercall in KVM's convention. The answer arrives
 * in rAX when the vCPU runs again. */
static void hypercall(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    if (send_ipis(c)) {
        sq_end_block(c, i);
        return;
    }
    c->exit->kind = SQUIB_EXIT_HYPERCALL;
    c->exit->hypercall = (struct squib_exit_hypercall){
        .function = c->gpr[R_AX],
        .args = {c->gpr[R_BX], c->gpr[R_CX], c->gpr[R_DX], c->gpr[R_SI]}};
    sq_end_block(c, i);
    c->hypercall_pending = true;
    sq_x86_leave_exit(c, NULL);
}
OP(g7_r0)
{
    if (RM(i) != 1)
        sq_x86_ud(c, i);
    hypercall(c, i);
}
OP(g7_r1) /* MONITOR, MWAIT, CLAC, STAC: none is offered */
{
    sq_x86_ud(c, i);
}
OP(g7_r2)
{
    uint32_t index = (uint32_t)c->gpr[R_CX];

    if (RM(i) == 0) {
        edx_eax(c, sq_x86_xgetbv(c, i, index));
    } else if (RM(i) == 1) {
        sq_need_cpl0(c, i);
        sq_x86_xsetbv(c, i, index,
                      (uint32_t)c->gpr[R_AX] | c->gpr[R_DX] << 32);
    } else {
        sq_x86_ud(c, i);
    }
    sq_end_block(c, i);
}
OP(g7_r3)
{
    if (RM(i) != 1)
        sq_x86_ud(c, i);
    hypercall(c, i);
}
OP(g7_r7)
{
    if (RM(i) == 0 && c->code64) { /* SWAPGS */
        uint64_t base = c->seg[SEG_GS].base;

        sq_need_cpl0(c, i);
        c->seg[SEG_GS].base = c->segbase[SEG_GS] = c->kernel_gs_base;
        c->kernel_gs_base = base;
    } else if (RM(i) == 1) { /* RDTSCP */
        if (c->cr4 & CR4_TSD && c->cpl != 0)
            sq_x86_gp(c, i, 0);
        edx_eax(c, sq_x86_tsc_at(c, i));
        c->gpr[R_CX] = (uint32_t)c->tsc_aux;
    } else {
        sq_x86_ud(c, i);
    }
    NEXT;
}
FAM1(g7_r0, g7_r0, NULL)
FAM1(g7_r1, g7_r1, NULL)
FAM1(g7_r2, g7_r2, NULL)
FAM1(g7_r3, g7_r3, NULL)
FAM1(g7_r7, g7_r7, NULL)
