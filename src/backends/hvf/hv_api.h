/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of Apple's Hypervisor.framework for arm64 that squib calls, as
 * declarations of its own: the names, types and numbers of the public
 * interface of macOS 15 (developer.apple.com/documentation/hypervisor).
 * With them the backend compiles on any host, and the doubles in tests/hvf
 * are held to the same prototypes.
 *
 * Rules of the framework that the backend lives by:
 * - One virtual machine a process.
 * - Every call that names a vCPU comes from the thread that created it;
 *   hv_vcpus_exit() alone comes from anywhere. It also ends the next run if
 *   none is under way.
 * - Addresses and lengths of memory are multiples of the host's 16 KiB page.
 * - The interrupt controller is created after the VM and before its first
 *   vCPU; a vCPU finds its redistributor by its MPIDR_EL1.
 * - hv_vcpu_run() returns HV_SUCCESS whatever the guest did; the reason is
 *   in the struct that hv_vcpu_create() gave.
 */
#ifndef SQ_BACKENDS_HVF_HV_API_H
#define SQ_BACKENDS_HVF_HV_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int32_t hv_return_t; /* a Mach error number */
#define HV_SUCCESS 0
#define HV_ERROR ((hv_return_t)0xfae94001)
#define HV_BUSY ((hv_return_t)0xfae94002)
#define HV_BAD_ARGUMENT ((hv_return_t)0xfae94003)
#define HV_ILLEGAL_GUEST_STATE ((hv_return_t)0xfae94004)
#define HV_NO_RESOURCES ((hv_return_t)0xfae94005)
#define HV_NO_DEVICE ((hv_return_t)0xfae94006)
#define HV_DENIED ((hv_return_t)0xfae94007)
#define HV_UNSUPPORTED ((hv_return_t)0xfae9400f)

typedef uint64_t hv_ipa_t; /* what squib calls a gpa */
typedef uint64_t hv_vcpu_t;
typedef uint64_t hv_memory_flags_t;
enum { HV_MEMORY_READ = 1, HV_MEMORY_WRITE = 2, HV_MEMORY_EXEC = 4 };

/* Reference-counted objects; os_release() gives one up. */
typedef struct hv_vm_config_s *hv_vm_config_t;
typedef struct hv_vcpu_config_s *hv_vcpu_config_t;
typedef struct hv_gic_config_s *hv_gic_config_t;
void os_release(void *object);

/* --- why a vCPU stopped ------------------------------------------------ */

typedef uint32_t hv_exit_reason_t;
enum {
    HV_EXIT_REASON_CANCELED = 0,
    HV_EXIT_REASON_EXCEPTION = 1,
    HV_EXIT_REASON_VTIMER_ACTIVATED = 2, /* masked by the framework */
    HV_EXIT_REASON_UNKNOWN = 3,
};

typedef struct {
    uint64_t syndrome;         /* as ESR_EL2 */
    uint64_t virtual_address;  /* as FAR_EL2 */
    hv_ipa_t physical_address; /* of an abort, all bits */
} hv_vcpu_exit_exception_t;

typedef struct {
    hv_exit_reason_t reason;
    hv_vcpu_exit_exception_t exception;
} hv_vcpu_exit_t;

/* --- registers --------------------------------------------------------- */

typedef uint32_t hv_reg_t; /* X0 to X30 are 0 to 30 */
enum {
    HV_REG_X0 = 0,
    HV_REG_PC = 31,
    HV_REG_FPCR = 32,
    HV_REG_FPSR = 33,
    HV_REG_CPSR = 34,
};

/* A system register is named as SQUIB_AARCH64_SYSREG() does it. */
typedef uint16_t hv_sys_reg_t;
typedef uint32_t hv_simd_fp_reg_t; /* Q0 to Q31 are 0 to 31 */
typedef uint8_t hv_simd_fp_uchar16_t __attribute__((vector_size(16)));

/* --- VM ---------------------------------------------------------------- */

hv_vm_config_t hv_vm_config_create(void);
hv_return_t hv_vm_config_get_max_ipa_size(uint32_t *bits);
hv_return_t hv_vm_config_set_ipa_size(hv_vm_config_t config, uint32_t bits);
hv_return_t hv_vm_get_max_vcpu_count(uint32_t *count);
hv_return_t hv_vm_create(hv_vm_config_t config);
hv_return_t hv_vm_destroy(void);
hv_return_t hv_vm_map(void *hva, hv_ipa_t ipa, size_t len,
                      hv_memory_flags_t flags);
hv_return_t hv_vm_unmap(hv_ipa_t ipa, size_t len);
hv_return_t hv_vm_protect(hv_ipa_t ipa, size_t len,
                          hv_memory_flags_t flags);

/* --- vCPU -------------------------------------------------------------- */

hv_return_t hv_vcpu_create(hv_vcpu_t *vcpu, hv_vcpu_exit_t **exit,
                           hv_vcpu_config_t config);
hv_return_t hv_vcpu_destroy(hv_vcpu_t vcpu);
hv_return_t hv_vcpu_run(hv_vcpu_t vcpu);
hv_return_t hv_vcpus_exit(hv_vcpu_t *vcpus, uint32_t count);
hv_return_t hv_vcpu_get_reg(hv_vcpu_t vcpu, hv_reg_t reg, uint64_t *value);
hv_return_t hv_vcpu_set_reg(hv_vcpu_t vcpu, hv_reg_t reg, uint64_t value);
hv_return_t hv_vcpu_get_sys_reg(hv_vcpu_t vcpu, hv_sys_reg_t reg,
                                uint64_t *value);
hv_return_t hv_vcpu_set_sys_reg(hv_vcpu_t vcpu, hv_sys_reg_t reg,
                                uint64_t value);
hv_return_t hv_vcpu_get_simd_fp_reg(hv_vcpu_t vcpu, hv_simd_fp_reg_t reg,
                                    hv_simd_fp_uchar16_t *value);
hv_return_t hv_vcpu_set_simd_fp_reg(hv_vcpu_t vcpu, hv_simd_fp_reg_t reg,
                                    hv_simd_fp_uchar16_t value);
/* Whether debug exceptions (BRK, steps, breakpoints, watchpoints) end a run
 * instead of going to the guest; off in a new vCPU. */
hv_return_t hv_vcpu_set_trap_debug_exceptions(hv_vcpu_t vcpu, bool trap);
/* The guest's virtual counter is mach_absolute_time() less the offset. */
hv_return_t hv_vcpu_get_vtimer_offset(hv_vcpu_t vcpu, uint64_t *offset);
hv_return_t hv_vcpu_set_vtimer_offset(hv_vcpu_t vcpu, uint64_t offset);

/* --- GICv3 (macOS 15) -------------------------------------------------- */

/* Registers of distributor and redistributor are named by their offset in
 * the frame, the others like system registers. */
typedef uint32_t hv_gic_distributor_reg_t;
typedef uint32_t hv_gic_redistributor_reg_t;
typedef uint16_t hv_gic_icc_reg_t;

hv_gic_config_t hv_gic_config_create(void);
hv_return_t hv_gic_config_set_distributor_base(hv_gic_config_t config,
                                               hv_ipa_t base);
hv_return_t hv_gic_config_set_redistributor_base(hv_gic_config_t config,
                                                 hv_ipa_t base);
hv_return_t hv_gic_config_set_msi_region_base(hv_gic_config_t config,
                                              hv_ipa_t base);
hv_return_t hv_gic_config_set_msi_interrupt_range(hv_gic_config_t config,
                                                  uint32_t first_intid,
                                                  uint32_t count);
hv_return_t hv_gic_get_spi_interrupt_range(uint32_t *first_intid,
                                           uint32_t *count);
hv_return_t hv_gic_get_redistributor_size(size_t *len);
hv_return_t hv_gic_create(hv_gic_config_t config);
hv_return_t hv_gic_set_spi(uint32_t intid, bool level);
hv_return_t hv_gic_send_msi(hv_ipa_t address, uint32_t intid);
hv_return_t hv_gic_get_distributor_reg(hv_gic_distributor_reg_t reg,
                                       uint64_t *value);
hv_return_t hv_gic_set_distributor_reg(hv_gic_distributor_reg_t reg,
                                       uint64_t value);
hv_return_t hv_gic_get_redistributor_reg(hv_vcpu_t vcpu,
                                         hv_gic_redistributor_reg_t reg,
                                         uint64_t *value);
hv_return_t hv_gic_set_redistributor_reg(hv_vcpu_t vcpu,
                                         hv_gic_redistributor_reg_t reg,
                                         uint64_t value);
hv_return_t hv_gic_get_icc_reg(hv_vcpu_t vcpu, hv_gic_icc_reg_t reg,
                               uint64_t *value);
hv_return_t hv_gic_set_icc_reg(hv_vcpu_t vcpu, hv_gic_icc_reg_t reg,
                               uint64_t value);

/* --- the host's counter (libSystem) ------------------------------------ */

typedef struct {
    uint32_t numer, denom; /* nanoseconds = ticks * numer / denom */
} mach_timebase_info_data_t;
uint64_t mach_absolute_time(void);
int mach_timebase_info(mach_timebase_info_data_t *info);

#endif
