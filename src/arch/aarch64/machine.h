/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the monitor needs from the arm64 architecture: where RAM and the
 * interrupt controller lie, how a kernel gets into memory, and the state in
 * which a vCPU starts.
 *
 * Order of use: sq_arm64_ram_range() and squib_memory_add();
 * sq_arm64_gic() for squib_vm_new(); sq_arm64_kernel_open() (kernel.h);
 * sq_arm64_boot_load(); after the vCPUs are made, sq_arm64_entry_state() for
 * vCPU 0. The kernel may be closed once it is loaded. Nothing here keeps a
 * pointer after it returns.
 *
 * What a backend is told, it finds in struct squib_vm_config: the GICv3's
 * frames and numbers of interrupts, as sq_arm64_gic() fills them. The timer
 * uses the PPIs of <squib/aarch64.h>. PSCI (DEN 0022) is called by HVC: a
 * backend either answers all of it (SQUIB_CAP_PSCI), turning SYSTEM_OFF and
 * SYSTEM_RESET into SHUTDOWN and RESET exits, or hands every HVC (and SMC,
 * if a guest's SMC reaches it) out as a HYPERCALL exit; then the monitor
 * answers with psci.h.
 */
#ifndef SQ_ARCH_AARCH64_MACHINE_H
#define SQ_ARCH_AARCH64_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/aarch64.h>
#include <squib/error.h>
#include <squib/memory.h>

#include "arch/aarch64/kernel.h"
#include "arch/aarch64/layout.h"
#include "arch/bootparts.h"

/* mem_len bytes of RAM from SQ_ARM64_RAM_GPA. Errors: SQUIB_E_INVAL when it
 * is less than 8 MiB, more than SQ_ARM64_RAM_MAX or not a multiple of the
 * page size. */
int sq_arm64_ram_range(uint64_t mem_len, struct squib_range *out,
                       struct squib_error *err);

/* The machine's interrupt controller. */
void sq_arm64_gic(struct squib_aarch64_gic *out);

struct sq_arm64_boot {
    const struct sq_arm64_kernel *kernel;
    /* Parts of one initrd: laid one after the other, each on a 4-byte
     * boundary, as Linux allows for cpio archives. May be none. */
    const struct sq_boot_blob *initrd;
    size_t initrd_parts;
    bool initrd_mapped; /* the first part is a mapping of a file */
    const char *cmdline; /* NULL is "" */
    uint32_t vcpus;      /* 1 .. SQUIB_VCPUS_MAX */
    const struct sq_boot_device *devices;
    size_t device_count;
    bool serial;  /* the 16550A is there */
    bool rtc;     /* the PL031 is there */
    bool vmgenid; /* an identifier at SQ_ARM64_VMGENID_GPA */
    bool pci;     /* a PCI bus, whose messages go to the GIC's frame */
    /* 32 random bytes for the guest's random numbers and addresses, or
     * NULL. */
    const uint8_t *seed;
};

/* How vCPU 0 starts. */
struct sq_arm64_entry {
    uint64_t pc;
    uint64_t fdt_gpa;
};

/* Puts kernel, initrd and device tree into guest memory, which must be as
 * sq_arm64_ram_range() says and still all zero. Errors: SQUIB_E_RANGE when
 * something does not fit, with both sizes in the text; SQUIB_E_INVAL for a
 * setting out of bounds. */
int sq_arm64_boot_load(struct squib_memory *mem,
                       const struct sq_arm64_boot *boot,
                       struct sq_arm64_entry *out, struct squib_error *err);

/* Fills REGS and SYSTEM of *st for vCPU 0 at the entry (Linux
 * Documentation/arm64/booting.rst); other parts are left alone. */
void sq_arm64_entry_state(const struct sq_arm64_entry *entry,
                          struct squib_aarch64_state *st);

#endif
