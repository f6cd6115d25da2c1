/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vCPU's exit means, from the numbers that the hypervisor gives: the
 * exit reason and, for an exception, the syndrome (ESR_EL2; Arm Architecture
 * Reference Manual DDI 0487, D17.2.37) and the faulting addresses. No calls
 * of the hypervisor: everything here can be fed by a test.
 *
 * The program counter. The architecture sets ELR_EL2, which the hypervisor
 * shows as PC, to the instruction itself for everything that traps, and
 * behind it for HVC, which is a call and not a trap. So `advance` is true
 * for aborts that are answered, trapped registers, SMC, WFI and WFE, and
 * false for HVC, debug exceptions and what the guest must execute again.
 */
#ifndef SQ_BACKENDS_HVF_ESR_H
#define SQ_BACKENDS_HVF_ESR_H

#include <stdbool.h>
#include <stdint.h>

#include <squib/exit.h>

/* The class of an exception. */
#define SQ_HVF_EC(syndrome) ((uint32_t)((syndrome) >> 26 & 0x3f))
/* Debug exceptions, from a lower exception level; one more from the same. */
#define SQ_HVF_EC_BREAKPOINT 0x30u
#define SQ_HVF_EC_STEP 0x32u
#define SQ_HVF_EC_WATCHPOINT 0x34u
#define SQ_HVF_EC_BRK 0x3cu /* from any */

/* What to do about an exit. */
enum sq_hvf_action {
    SQ_HVF_AGAIN,    /* nothing: run on (after `advance`) */
    SQ_HVF_MMIO,     /* a load or store: see struct sq_hvf_access */
    SQ_HVF_CALL,     /* HVC or SMC: arguments in X0 to X6, result in X0 */
    SQ_HVF_SYSREG,   /* a trapped system register: see sysreg.h */
    SQ_HVF_IDLE,     /* WFI, WFE: `exit` is that, without its deadline */
    SQ_HVF_EXIT,     /* `exit` is complete but for a pc */
    SQ_HVF_UNDEF,    /* the guest gets an Undefined Instruction exception */
    SQ_HVF_ABORT,    /* the guest gets a synchronous external abort */
    SQ_HVF_OWN,      /* the guest gets the debug exception of `exit` (never
                        from sq_hvf_decode(): the backend knows who asked) */
    SQ_HVF_CANCELED, /* somebody called hv_vcpus_exit() */
    SQ_HVF_VTIMER,   /* the virtual timer's condition is met */
};

/* A load or store of one general register. */
struct sq_hvf_access {
    uint64_t gpa;
    uint8_t len;  /* 1, 2, 4 or 8 */
    uint8_t reg;  /* Xn or Wn; 31 is the zero register */
    bool write;
    bool sign;    /* a load extends the sign */
    bool wide;    /* to 64 bits; else bits 32..63 become 0 */
};

/* A trapped MSR, MRS or SYS. */
struct sq_hvf_sysreg {
    uint16_t id; /* SQUIB_AARCH64_SYSREG() */
    uint8_t reg; /* Xn; 31 is the zero register */
    bool read;   /* MRS */
};

/* The exit of a run, decoded. */
struct sq_hvf_decoded {
    enum sq_hvf_action action;
    bool advance; /* PC goes on by 4 */
    bool fetch;   /* ABORT: of an instruction, not of data */
    bool memory;  /* a fault of stage 2: first of all it may be about
                     memory that was write-protected to log writes; then
                     nothing else here counts */
    bool write;   /* with `memory` */
    uint64_t gpa, gva; /* with `memory`, and of ABORT */
    struct sq_hvf_access access;
    struct sq_hvf_sysreg sysreg;
    struct squib_exit exit;
};

/* reason is HV_EXIT_REASON_*; the others count for exceptions only. */
void sq_hvf_decode(uint32_t reason, uint64_t syndrome, uint64_t gva,
                   uint64_t gpa, struct sq_hvf_decoded *out);

/* The exit for the monitor: for a store `value` is the register's. */
void sq_hvf_access_exit(const struct sq_hvf_access *a, uint64_t value,
                        struct squib_exit *out);
/* What a load puts into its register, from the monitor's answer. */
uint64_t sq_hvf_access_value(const struct sq_hvf_access *a,
                             const struct squib_exit *exit);

#endif
