/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm64 guests: the state of a vCPU and of the interrupt controller as the
 * architecture names them, and what a VM must know before it is made.
 *
 * Guests run at EL1 and EL0. What the numbers mean is in the Arm
 * Architecture Reference Manual (DDI 0487) for registers, the GICv3
 * specification (IHI 0069) for the interrupt controller and DEN 0022 for
 * PSCI.
 */
#ifndef SQUIB_AARCH64_H
#define SQUIB_AARCH64_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- interrupts -------------------------------------------------------- */

/* Interrupt identifiers (INTID): 0..15 are SGIs and 16..31 PPIs, a set for
 * each vCPU; 32 and up are SPIs. squib_vm_irq() counts SPIs from 0. */
#define SQUIB_AARCH64_PPI(n) (16u + (n))
#define SQUIB_AARCH64_SPI(n) (32u + (n))

/* The generic timer's interrupts, level-triggered, as PPI numbers. They are
 * what Linux's and every hypervisor's default is. */
#define SQUIB_AARCH64_PPI_TIMER_SECURE 13u
#define SQUIB_AARCH64_PPI_TIMER_PHYSICAL 14u
#define SQUIB_AARCH64_PPI_TIMER_VIRTUAL 11u
#define SQUIB_AARCH64_PPI_TIMER_HYP 10u

/* Lengths of a GICv3's register frames. */
#define SQUIB_AARCH64_GICD_LEN 0x10000u
#define SQUIB_AARCH64_GICR_LEN 0x20000u /* a vCPU; they follow each other */
#define SQUIB_AARCH64_MSI_LEN 0x10000u
/* A write of an INTID to this place of the MSI frame makes it pending (the
 * GICv2m layout: Arm Server Base System Architecture, appendix E). */
#define SQUIB_AARCH64_MSI_SETSPI 0x40u

#define SQUIB_AARCH64_SPIS_MAX 224u /* INTIDs up to 255 */

/* A GICv3 with `spis` shared interrupts (a multiple of 32). Of these the
 * last `msi_spis` are reserved for messages, edge-triggered; the others are
 * squib_vm_irq()'s. All addresses are multiples of 64 KiB. The redistributor
 * region ends at redist_gpa + redist_len and must hold
 * SQUIB_AARCH64_GICR_LEN bytes for every vCPU. */
struct squib_aarch64_gic {
    uint64_t dist_gpa;
    uint64_t redist_gpa;
    uint64_t redist_len;
    uint64_t msi_gpa; /* 0: no messages */
    uint32_t spis;
    uint32_t msi_spis;
};

/* MPIDR_EL1's affinity of vCPU `index`, without the RES1 bit 31: at most 16
 * vCPUs share a value of Aff1, since an SGI can address no more. */
uint64_t squib_aarch64_mpidr(uint32_t index);

/* --- a vCPU ------------------------------------------------------------ */

/* The 16-bit name of a system register, from the fields of MRS and MSR. It
 * is also what hypervisors' interfaces use. */
#define SQUIB_AARCH64_SYSREG(op0, op1, crn, crm, op2)                      \
    ((uint16_t)((op0) << 14 | (op1) << 11 | (crn) << 7 | (crm) << 3 |      \
                (op2)))

/* X(n) for the up to 16 breakpoints and watchpoints. */
#define SQUIB_AARCH64_DEBUG_LIST(X)                                        \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)                                \
    X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

/* X(name, op0, op1, CRn, CRm, op2): system registers that software at EL1
 * and EL0 changes and that are not elsewhere in the state. Order is ABI;
 * new ones are only appended. Breakpoints and watchpoints follow the list,
 * four for each n. */
#define SQUIB_AARCH64_SYSREG_LIST(X)                                       \
    X(SCTLR_EL1, 3, 0, 1, 0, 0)                                            \
    X(ACTLR_EL1, 3, 0, 1, 0, 1)                                            \
    X(CPACR_EL1, 3, 0, 1, 0, 2)                                            \
    X(TTBR0_EL1, 3, 0, 2, 0, 0)                                            \
    X(TTBR1_EL1, 3, 0, 2, 0, 1)                                            \
    X(TCR_EL1, 3, 0, 2, 0, 2)                                              \
    X(APIAKEYLO_EL1, 3, 0, 2, 1, 0)                                        \
    X(APIAKEYHI_EL1, 3, 0, 2, 1, 1)                                        \
    X(APIBKEYLO_EL1, 3, 0, 2, 1, 2)                                        \
    X(APIBKEYHI_EL1, 3, 0, 2, 1, 3)                                        \
    X(APDAKEYLO_EL1, 3, 0, 2, 2, 0)                                        \
    X(APDAKEYHI_EL1, 3, 0, 2, 2, 1)                                        \
    X(APDBKEYLO_EL1, 3, 0, 2, 2, 2)                                        \
    X(APDBKEYHI_EL1, 3, 0, 2, 2, 3)                                        \
    X(APGAKEYLO_EL1, 3, 0, 2, 3, 0)                                        \
    X(APGAKEYHI_EL1, 3, 0, 2, 3, 1)                                        \
    X(AFSR0_EL1, 3, 0, 5, 1, 0)                                            \
    X(AFSR1_EL1, 3, 0, 5, 1, 1)                                            \
    X(ESR_EL1, 3, 0, 5, 2, 0)                                              \
    X(FAR_EL1, 3, 0, 6, 0, 0)                                              \
    X(PAR_EL1, 3, 0, 7, 4, 0)                                              \
    X(MAIR_EL1, 3, 0, 10, 2, 0)                                            \
    X(AMAIR_EL1, 3, 0, 10, 3, 0)                                           \
    X(VBAR_EL1, 3, 0, 12, 0, 0)                                            \
    X(CONTEXTIDR_EL1, 3, 0, 13, 0, 1)                                      \
    X(TPIDR_EL1, 3, 0, 13, 0, 4)                                           \
    X(CNTKCTL_EL1, 3, 0, 14, 1, 0)                                         \
    X(CSSELR_EL1, 3, 2, 0, 0, 0)                                           \
    X(TPIDR_EL0, 3, 3, 13, 0, 2)                                           \
    X(TPIDRRO_EL0, 3, 3, 13, 0, 3)                                         \
    X(MDSCR_EL1, 2, 0, 0, 2, 2)

enum squib_aarch64_sysreg {
#define SQUIB_AARCH64_ENUM(name, op0, op1, crn, crm, op2)                  \
    SQUIB_AARCH64_##name,
    SQUIB_AARCH64_SYSREG_LIST(SQUIB_AARCH64_ENUM)
#undef SQUIB_AARCH64_ENUM
#define SQUIB_AARCH64_ENUM(n)                                              \
    SQUIB_AARCH64_DBGBVR##n##_EL1, SQUIB_AARCH64_DBGBCR##n##_EL1,          \
    SQUIB_AARCH64_DBGWVR##n##_EL1, SQUIB_AARCH64_DBGWCR##n##_EL1,
    SQUIB_AARCH64_DEBUG_LIST(SQUIB_AARCH64_ENUM)
#undef SQUIB_AARCH64_ENUM
    SQUIB_AARCH64_SYSREG_COUNT
};

/* The 16-bit name of list entry i; 0 past the end. Static, any thread. */
uint16_t squib_aarch64_sysreg_id(unsigned i);
/* "SCTLR_EL1"; "?" past the end. */
const char *squib_aarch64_sysreg_name(unsigned i);

/* What one vCPU has in the interrupt controller: the redistributor's SGIs
 * and PPIs (IHI 0069, 12.11) and the CPU interface (12.2). Registers as
 * software reads them, but that the pending bits include no level input of
 * now: that is `line_level`. */
struct squib_aarch64_gic_cpu {
    uint32_t gicr_ctlr, gicr_waker;
    uint32_t igroupr0, isenabler0, ispendr0, isactiver0;
    uint32_t icfgr[2];
    uint32_t line_level; /* bit n: input of INTID n is high */
    uint32_t reserved;
    uint8_t ipriorityr[32];
    /* ICC_*_EL1 */
    uint64_t sre, ctlr, pmr, bpr0, bpr1, igrpen0, igrpen1;
    uint64_t ap0r[4], ap1r[4]; /* those that do not exist are 0 */
};

/* The distributor (IHI 0069, 12.9), for INTIDs 32..255. Index 0 of each
 * array is for INTID 0, as in the frame; what belongs to SGIs and PPIs is 0
 * here. */
struct squib_aarch64_gic_dist {
    uint32_t ctlr;
    uint32_t spis; /* must be the VM's */
    uint32_t igroupr[8], isenabler[8], ispendr[8], isactiver[8];
    uint32_t icfgr[16];
    uint32_t line_level[8];
    uint8_t ipriorityr[256];
    uint64_t irouter[256];
};

enum squib_aarch64_power {
    SQUIB_AARCH64_ON,
    SQUIB_AARCH64_OFF, /* until PSCI CPU_ON names it */
};

/* All architectural state of one arm64 vCPU; little-endian, no pointers: it
 * may be written to a file as it is. The parts are chosen by a mask of
 * SQUIB_STATE_* bits; two have another name here. */
#define SQUIB_STATE_TIMER SQUIB_STATE_MSRS
#define SQUIB_STATE_GIC SQUIB_STATE_LAPIC

struct squib_aarch64_state {
    /* SQUIB_STATE_REGS */
    uint64_t x[31];
    uint64_t pc;
    uint64_t pstate; /* as SPSR_EL2 would hold it: NZCV, DAIF, mode */
    uint64_t sp_el0, sp_el1, elr_el1, spsr_el1;
    /* SQUIB_STATE_SYSTEM. A clear bit in `present` (bit i % 64 of word
     * i / 64): this CPU has no such register, or nothing is known of it;
     * setting leaves it alone. */
    uint64_t sysreg[SQUIB_AARCH64_SYSREG_COUNT];
    uint64_t present[2];
    /* SQUIB_STATE_TIMER: the virtual timer, and the physical one where the
     * guest has one (else 0). cntvct is the virtual counter now; one for
     * the whole VM, so set it on one vCPU while none runs. */
    uint64_t cntvct;
    uint64_t cntv_ctl, cntv_cval;
    uint64_t cntp_ctl, cntp_cval;
    /* SQUIB_STATE_FPU */
    uint64_t v[32][2]; /* low half first */
    uint32_t fpcr, fpsr;
    /* SQUIB_STATE_GIC; ignored when the VM has no interrupt controller */
    struct squib_aarch64_gic_cpu gic;
    /* SQUIB_STATE_EVENTS */
    uint8_t power; /* enum squib_aarch64_power */
    uint8_t serror_pending, serror_has_esr;
    uint8_t reserved[5];
    uint64_t serror_esr;
};

#define SQUIB_AARCH64_PSTATE_EL1H 0x3c5u /* EL1h, all interrupts masked */

/* Fills REGS and SYSTEM of *st for EL1 with MMU and caches off at pc, as
 * PSCI and Linux's boot protocol want it. Other parts are left alone. */
void squib_aarch64_el1(struct squib_aarch64_state *st, uint64_t pc,
                       uint64_t x0);

#ifdef __cplusplus
}
#endif
#endif
