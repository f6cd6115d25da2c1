/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arm64 half of the suite. Memory is laid out as in conform.h; guest code
 * is at CF_CODE, runs at EL1 with the MMU off, and tells things by writing
 * to CF_MMIO. The exception vectors are at CF_STUBS: all of them report.
 */
#ifndef CF_A64_H
#define CF_A64_H

#include "conform.h"

#define CF_A64_GICD 0x08000000u
#define CF_A64_MSI 0x08020000u
#define CF_A64_GICR 0x08100000u

#define CF_A64_BASICS (SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM)

/* Vectors of exceptions from EL1 with SP_EL1, and from EL0. */
#define CF_A64_SYNC 0x200u
#define CF_A64_IRQ 0x280u
#define CF_A64_SYNC_EL0 0x400u

/* Exception classes (ESR_ELx.EC). */
#define CF_A64_EC_UNKNOWN 0x00u
#define CF_A64_EC_SVC 0x15u
#define CF_A64_EC_SYSREG 0x18u
#define CF_A64_EC_FETCH 0x21u
#define CF_A64_EC_DATA 0x25u
#define CF_A64_EC_BRK 0x3cu

extern const struct cf_test cf_tests_a64_mmio[];
extern const struct cf_test cf_tests_a64_run[];
extern const struct cf_test cf_tests_a64_fault[];
extern const struct cf_test cf_tests_a64_mem[];
extern const struct cf_test cf_tests_a64_irq[];
extern const struct cf_test cf_tests_a64_state[];

/* Vectors into memory; the interrupt controller into the configuration. */
void cf_a64_vectors(struct cf *t);
void cf_a64_config(struct squib_vm_config *config);

/* Puts `code` at CF_CODE and vCPU 0 at its start. */
void cf_a64_start(struct cf *t, const void *code, size_t len);
#define CF_A64(t, code) cf_a64_start(t, code, sizeof(code))
/* The state that it sets: REGS and SYSTEM. */
void cf_a64_state(struct squib_aarch64_state *st);
void cf_a64_sysreg(struct squib_aarch64_state *st,
                   enum squib_aarch64_sysreg reg, uint64_t value);
/* Adds translation: all of it one to one, as normal memory. */
void cf_a64_mmu(struct squib_aarch64_state *st, struct cf *t);
void cf_a64_set(struct cf *t, struct squib_vcpu *vcpu, uint32_t parts,
                const struct squib_aarch64_state *st);
void cf_a64_get(struct cf *t, uint32_t parts, struct squib_aarch64_state *st);

/* A general register of vCPU 0; 31 is the program counter. */
uint64_t cf_a64_x(struct cf *t, unsigned n);

/* The next exit must be a write to CF_MMIO + off; its data. */
#define CF_A64_OUT(t, off, len) cf_a64_out(__FILE__, __LINE__, t, off, len)
uint64_t cf_a64_out(const char *file, int line, struct cf *t, uint32_t off,
                    uint8_t len);

/* The vectors must report this exception, taken at CF_CODE + pc. */
#define CF_A64_ANY_PC UINT32_MAX
#define CF_A64_EXCEPTION(t, vector, ec, pc)                                \
    cf_a64_exception(__FILE__, __LINE__, t, vector, ec, pc)
void cf_a64_exception(const char *file, int line, struct cf *t,
                      uint32_t vector, uint32_t ec, uint32_t pc);

/* Nothing may come for a while. */
#define CF_A64_SILENCE(t) cf_a64_silence(__FILE__, __LINE__, t)
void cf_a64_silence(const char *file, int line, struct cf *t);

#endif
