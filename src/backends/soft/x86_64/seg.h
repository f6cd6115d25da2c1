/* SPDX-License-Identifier: Apache-2.0 */
/* Segmentation: descriptors, segment loads, privilege changes. */
#ifndef SQ_SOFT_X86_SEG_H
#define SQ_SOFT_X86_SEG_H

#include "backends/soft/x86_64/cpu.h"

enum {
    ATTR_TYPE = 0xf, ATTR_A = 1, ATTR_RW = 2, ATTR_CE = 4, ATTR_CODE = 8,
    ATTR_S = 0x10, ATTR_DPL_SHIFT = 5, ATTR_DPL = 0x60, ATTR_P = 0x80,
    ATTR_L = 0x2000, ATTR_DB = 0x4000, ATTR_G = 0x8000,
};

/* A descriptor as read from a table. */
struct sq_desc {
    uint64_t lo;  /* the 8 bytes */
    uint64_t hi;  /* upper 8 bytes of system descriptors in long mode */
    uint64_t gva; /* where it is */
};

static inline uint32_t sq_desc_attr(uint64_t lo)
{
    return (uint32_t)(lo >> 40) & 0xf0ff;
}
static inline unsigned sq_desc_dpl(uint64_t lo)
{
    return (unsigned)(lo >> 45) & 3;
}
static inline bool sq_desc_present(uint64_t lo)
{
    return lo >> 47 & 1;
}

/* Whether the CPU uses descriptor tables at all: protected mode, not
 * virtual-8086. */
static inline bool sq_protected(const struct sq_x86_cpu *c)
{
    return c->cr0 & CR0_PE && !(c->rflags & FL_VM);
}

/* Reads the descriptor of a selector from GDT or LDT. False if it is
 * outside the table. */
bool sq_desc_read(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                  uint16_t sel, bool wide, struct sq_desc *d);
/* Base and limit as the hidden part keeps them. */
void sq_desc_unpack(const struct sq_desc *d, uint16_t sel, bool wide,
                    struct sq_x86_segreg *out);
/* Sets the accessed bit of a code or data descriptor in its table. */
void sq_desc_touch(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                   struct sq_desc *d);

/* Loads a data segment register as MOV does, with all checks (SDM vol. 2,
 * MOV). `seg` is not CS. */
void sq_seg_load(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                 unsigned seg, uint16_t sel);
/* Real mode and virtual-8086: base = selector * 16. */
void sq_seg_load_real(struct sq_x86_cpu *c, unsigned seg, uint16_t sel);
/* Installs a segment register that was checked before. */
void sq_seg_set(struct sq_x86_cpu *c, unsigned seg,
                const struct sq_x86_segreg *v);

/* A flat segment as SYSCALL and its kin make them. */
struct sq_x86_segreg sq_seg_flat(uint16_t sel, uint32_t attr);

/* Sets CPL and what follows from it; recomputes the mode from CS, CR0,
 * EFER. Call after every change of those. */
void sq_x86_set_cpl(struct sq_x86_cpu *c, unsigned cpl);
void sq_x86_update_mode(struct sq_x86_cpu *c);

/* RSPn / ISTn of the 64-bit TSS, or SSn:ESPn of the 32/16-bit one. */
uint64_t sq_tss_rsp(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                    unsigned index);
void sq_tss_stack(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                  unsigned cpl, uint16_t *ss, uint32_t *esp);

/* Checks a stack segment for a privilege change to `cpl`: raises `vector`
 * (#TS, #SS, #GP as the case needs) with its selector. */
void sq_seg_check_ss(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     uint16_t sel, unsigned cpl, uint8_t vector,
                     struct sq_x86_segreg *out);

/* Pops CS:rIP, and SS:rSP when returning outward or if take_ss, from a
 * frame of `len`-byte words whose SS:rSP part is ss_at bytes up; drops
 * `extra` bytes of arguments. With iret, `flags` are installed too.
 * (interrupt.c) */
void sq_x86_far_return(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned len, unsigned ss_at, bool take_ss,
                       uint64_t extra, bool iret, uint64_t flags);

/* Delivers an interrupt or exception through the IDT. `soft` marks INT n,
 * INT3 and INTO (DPL is checked). RIP to push is gpr[SQ_RIP]. Faults of the
 * delivery raise with no instruction. (interrupt.c) */
void sq_x86_interrupt(struct sq_x86_cpu *c, unsigned vector, bool soft,
                      uint32_t error);

#endif
