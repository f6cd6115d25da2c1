/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual CPUs: running them, and their state as architecture.
 *
 * A vCPU is created, run, inspected and freed on one thread (Apple's
 * Hypervisor.framework demands it and the others follow).
 * squib_vcpu_cancel() alone may be called from any thread and from signal
 * handlers.
 */
#ifndef SQUIB_VCPU_H
#define SQUIB_VCPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/aarch64.h>
#include <squib/error.h>
#include <squib/exit.h>

#ifdef __cplusplus
extern "C" {
#endif

struct squib_vm;
struct squib_vcpu;

/* --- x86-64 state ------------------------------------------------------ */

/* General register numbers as instructions encode them. */
enum squib_x86_gpr {
    SQUIB_X86_RAX, SQUIB_X86_RCX, SQUIB_X86_RDX, SQUIB_X86_RBX,
    SQUIB_X86_RSP, SQUIB_X86_RBP, SQUIB_X86_RSI, SQUIB_X86_RDI,
    SQUIB_X86_R8,  SQUIB_X86_R9,  SQUIB_X86_R10, SQUIB_X86_R11,
    SQUIB_X86_R12, SQUIB_X86_R13, SQUIB_X86_R14, SQUIB_X86_R15,
};

/* Segment register numbers as instructions encode them, then the two
 * system segments. */
enum squib_x86_seg_index {
    SQUIB_X86_ES, SQUIB_X86_CS, SQUIB_X86_SS, SQUIB_X86_DS,
    SQUIB_X86_FS, SQUIB_X86_GS, SQUIB_X86_LDTR, SQUIB_X86_TR,
    SQUIB_X86_SEG_COUNT
};

/* A segment register with its hidden part. `attr` holds descriptor bits
 * 40..55 with bits 8..11 (limit 19:16) zero: type 3:0, S 4, DPL 6:5, P 7,
 * AVL 12, L 13, D/B 14, G 15; bit 16 set = unusable. `limit` is in bytes,
 * already scaled by G. (Intel SDM vol. 3, 3.4.5 and 24.4.1.) */
struct squib_x86_seg {
    uint64_t base;
    uint32_t limit;
    uint32_t attr;
    uint16_t selector;
    uint16_t reserved[3];
};

#define SQUIB_X86_ATTR_UNUSABLE 0x10000u

struct squib_x86_table { /* GDTR, IDTR */
    uint64_t base;
    uint16_t limit;
    uint16_t reserved[3];
};

struct squib_x86_msr {
    uint32_t index;
    uint32_t reserved;
    uint64_t value;
};

#define SQUIB_X86_MSR_MAX 64
#define SQUIB_X86_XSAVE_LEN 4096

/* All architectural state of one x86-64 vCPU. Which part a call reads or
 * writes is chosen by a mask of SQUIB_STATE_* bits. Little-endian, no
 * pointers: it may be written to a file as it is. */
struct squib_x86_64_state {
    /* SQUIB_STATE_REGS */
    uint64_t gpr[16]; /* enum squib_x86_gpr */
    uint64_t rip;
    uint64_t rflags;
    /* SQUIB_STATE_SYSTEM */
    struct squib_x86_seg seg[SQUIB_X86_SEG_COUNT];
    struct squib_x86_table gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer, xcr0;
    uint64_t dr[4], dr6, dr7;
    /* SQUIB_STATE_MSRS: getting fills in those that the backend keeps,
     * setting writes those that are here and leaves others alone */
    uint32_t msr_count;
    uint32_t reserved0;
    struct squib_x86_msr msr[SQUIB_X86_MSR_MAX];
    /* SQUIB_STATE_FPU: XSAVE image, standard form (SDM vol. 1, 13.4) */
    uint8_t xsave[SQUIB_X86_XSAVE_LEN];
    /* SQUIB_STATE_LAPIC: registers as the xAPIC MMIO page shows them */
    uint8_t lapic[1024];
    /* SQUIB_STATE_EVENTS */
    uint8_t run_state; /* enum squib_x86_run_state */
    uint8_t nmi_pending; /* 2: there is one more behind it */
    uint8_t nmi_blocked;
    uint8_t irq_shadow;    /* one instruction after STI or MOV SS */
    uint8_t exc_pending;   /* an exception waits to be delivered */
    uint8_t exc_vector, exc_has_error, sipi_vector;
    uint32_t exc_error;
    uint32_t reserved1;
};

/* What a vCPU does when it is run. */
enum squib_x86_run_state {
    SQUIB_X86_RUNNABLE,
    SQUIB_X86_HALTED,
    SQUIB_X86_WAIT_SIPI, /* after INIT: waits for a start-up IPI */
};

/* Parts of the state, as a mask; arm64's other names are in aarch64.h. */
enum squib_state_part {
    SQUIB_STATE_REGS = 1,
    SQUIB_STATE_SYSTEM = 2,
    SQUIB_STATE_MSRS = 4,
    SQUIB_STATE_FPU = 8,
    SQUIB_STATE_LAPIC = 16,
    SQUIB_STATE_EVENTS = 32,
    SQUIB_STATE_ALL = 63,
};

/* One CPUID leaf. `has_subleaf` tells whether ECX selects among leaves. */
struct squib_x86_cpuid {
    uint32_t leaf, subleaf;
    bool has_subleaf;
    uint8_t reserved[3];
    uint32_t eax, ebx, ecx, edx;
};

#define SQUIB_X86_CPUID_MAX 128

/* Fills REGS and SYSTEM of *st for 16-bit real mode at cs_base >> 4 : ip
 * with flat 64 KiB segments (SDM vol. 3, 9.1.4 but for CS). cs_base must be
 * below 1 MiB and a multiple of 16. Other parts are left alone. */
void squib_x86_real_mode(struct squib_x86_64_state *st, uint32_t cs_base,
                         uint16_t ip);
/* The same for 32-bit protected mode without paging, flat 4 GiB segments,
 * entry at eip (the PVH start state when rbx is set by the caller). */
void squib_x86_flat32(struct squib_x86_64_state *st, uint32_t eip);
/* The same for 64-bit mode: page tables at cr3 must map what runs. */
void squib_x86_long_mode(struct squib_x86_64_state *st, uint64_t rip,
                         uint64_t cr3);

/* --- vCPUs ------------------------------------------------------------- */

/* Creates vCPU `index` (0 .. config.vcpus-1, each once) of vm on the
 * calling thread. vCPU 0 starts runnable; others wait for a start-up IPI
 * when the VM has an interrupt controller, else they are runnable. On arm64
 * they are off when the backend answers PSCI (SQUIB_CAP_PSCI), else
 * runnable: whoever answers PSCI then runs a vCPU only while it is on.
 * Errors: SQUIB_E_INVAL, SQUIB_E_NOMEM, SQUIB_E_OS. */
int squib_vcpu_new(struct squib_vm *vm, uint32_t index,
                   struct squib_vcpu **out, struct squib_error *err);

/* Frees a vCPU that is not running, on its thread. NULL is allowed. */
void squib_vcpu_free(struct squib_vcpu *vcpu);

/* Sets the CPUID leaves that the guest sees; before the first run. `n` is
 * at most SQUIB_X86_CPUID_MAX. Without this call the guest sees the
 * backend's own default (squib_backend_cpuid). Leaves are copied. Errors:
 * SQUIB_E_INVAL, SQUIB_E_NOSUPPORT for guests that are not x86-64,
 * SQUIB_E_OS. */
int squib_vcpu_set_cpuid(struct squib_vcpu *vcpu,
                         const struct squib_x86_cpuid *leaves, size_t n,
                         struct squib_error *err);

/* Runs the guest until it needs the caller; blocks, on the vCPU's thread.
 * The exit belongs to the vCPU (exit.h). Never returns NULL: what the
 * backend cannot handle comes as INTERNAL_ERROR. */
struct squib_exit *squib_vcpu_run(struct squib_vcpu *vcpu);

/* Makes the current or, if none is under way, the next squib_vcpu_run()
 * return CANCELED soon, and ends squib_vcpu_park(). Calls before that
 * return count as one. Any thread; async-signal-safe. */
void squib_vcpu_cancel(struct squib_vcpu *vcpu);

/* After WFI, WFE or HLT: blocks until the vCPU has an interrupt, the
 * deadline (CLOCK_MONOTONIC, or SQUIB_DEADLINE_NONE) passed or cancel was
 * called. May return early for no reason. On the vCPU's thread. */
void squib_vcpu_park(struct squib_vcpu *vcpu, uint64_t deadline_ns);

/* Reads or writes the chosen parts (SQUIB_STATE_* mask) of the state; the
 * others stay as they are. On the vCPU's thread, not while running, and not
 * between an MMIO or PIO read and the run that takes its answer. Errors:
 * SQUIB_E_INVAL for what the architecture forbids, SQUIB_E_NOSUPPORT for
 * guests of another architecture, SQUIB_E_OS; after an error of set, the
 * chosen parts may be half set. */
int squib_vcpu_get_state(struct squib_vcpu *vcpu, uint32_t parts,
                         struct squib_x86_64_state *st,
                         struct squib_error *err);
int squib_vcpu_set_state(struct squib_vcpu *vcpu, uint32_t parts,
                         const struct squib_x86_64_state *st,
                         struct squib_error *err);

/* The same for arm64 guests. Each pair of functions answers
 * SQUIB_E_NOSUPPORT for the other kind. */
int squib_vcpu_get_aarch64(struct squib_vcpu *vcpu, uint32_t parts,
                           struct squib_aarch64_state *st,
                           struct squib_error *err);
int squib_vcpu_set_aarch64(struct squib_vcpu *vcpu, uint32_t parts,
                           const struct squib_aarch64_state *st,
                           struct squib_error *err);

/* What a debugger asks for; both may be set, 0 is none.
 *
 * A step is an instruction, one turn of an instruction that repeats (REP),
 * or the way into the handler of an exception or interrupt. Its DEBUG exit
 * follows the exits that the instruction itself makes (MMIO, PIO, HYPERCALL)
 * and comes before those of a vCPU that sleeps behind it (HLT, WFI). With
 * BREAK a breakpoint instruction exits each time that it is about to be
 * executed; to get past it the caller writes the guest's own instruction
 * back (squib_memory_write), steps and writes it again, or asks for steps
 * alone, which execute it. docs/backends.md has what differs where the
 * processor makes the steps. */
enum squib_debug_flag {
    SQUIB_DEBUG_STEP = 1,  /* a DEBUG exit after every instruction */
    SQUIB_DEBUG_BREAK = 2, /* one before a breakpoint instruction (int3,
                              BRK), instead of the guest's exception */
};

/* From the next run on. Needs capability SQUIB_CAP_DEBUG. Not while running.
 * Errors: SQUIB_E_NOSUPPORT, SQUIB_E_INVAL, SQUIB_E_OS. */
int squib_vcpu_debug(struct squib_vcpu *vcpu, uint32_t flags,
                     struct squib_error *err);

/* Guest instructions retired so far, exact for backends with capability
 * SQUIB_CAP_INSN_COUNT, else 0: an instruction counts once it is complete,
 * faults and interrupts do not count, and a string instruction with a repeat
 * prefix counts once. Only on the vCPU's thread, or after it has stopped. */
uint64_t squib_vcpu_insn_count(const struct squib_vcpu *vcpu);

/* The index that the vCPU was created with. Any thread. */
uint32_t squib_vcpu_index(const struct squib_vcpu *vcpu);

#ifdef __cplusplus
}
#endif
#endif
