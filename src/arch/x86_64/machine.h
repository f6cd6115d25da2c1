/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the monitor needs from the x86-64 architecture: where RAM lies, how
 * a kernel gets into it, and the state in which vCPU 0 starts.
 *
 * Order of use: sq_x86_ram_ranges() and squib_memory_add() for each range;
 * sq_x86_kernel_open() (kernel.h); sq_x86_boot_load(); after the vCPUs are
 * made, sq_x86_entry_state() for vCPU 0. The kernel may be closed once it
 * is loaded. Nothing here keeps a pointer after it returns.
 */
#ifndef SQ_ARCH_X86_64_MACHINE_H
#define SQ_ARCH_X86_64_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>
#include <squib/memory.h>
#include <squib/vcpu.h>

#include "arch/bootparts.h"
#include "arch/x86_64/kernel.h"
#include "arch/x86_64/layout.h"

/* Splits mem_len bytes of RAM around the hole below 4 GiB. out[0] starts at
 * 0; *n is 1 or 2. Errors: SQUIB_E_INVAL when mem_len is less than 2 MiB,
 * more than SQ_X86_RAM_MAX or not a multiple of the page size. */
int sq_x86_ram_ranges(uint64_t mem_len, struct squib_range out[2], size_t *n,
                      struct squib_error *err);

struct sq_x86_boot {
    const struct sq_x86_kernel *kernel;
    /* Parts of one initrd: laid one after the other, each on a 4-byte
     * boundary, as Linux allows for cpio archives. May be none. */
    const struct sq_boot_blob *initrd;
    size_t initrd_parts;
    bool initrd_mapped; /* the first part is a mapping of a file */
    const char *cmdline; /* NULL is "" */
    uint32_t vcpus;      /* 1 .. SQUIB_VCPUS_MAX */
    const struct sq_boot_device *devices;
    size_t device_count; /* at most SQ_X86_VIRTIO_MAX */
    bool serial;         /* COM1 is there */
    bool keyboard;       /* an i8042 that Linux should probe */
    bool vmgenid;        /* an identifier at SQ_X86_VMGENID_GPA */
    bool pci;            /* a PCI bus, and notices at SQ_X86_PCI_GSI */
};

enum sq_x86_protocol {
    SQ_X86_PROTOCOL_PVH,     /* 32-bit, start_info in EBX */
    SQ_X86_PROTOCOL_MULTIBOOT, /* 32-bit, information in EBX */
    SQ_X86_PROTOCOL_LINUX64, /* 64-bit, zero page in RSI */
};

/* How vCPU 0 starts. */
struct sq_x86_entry {
    enum sq_x86_protocol protocol;
    uint64_t rip;
    uint64_t info_gpa; /* of the protocol */
    uint64_t cr3;      /* LINUX64 only */
};

/* Puts kernel, initrd, command line, memory map, ACPI tables and MP table
 * into guest memory, which must be as sq_x86_ram_ranges() says and still
 * all zero (bytes that must be zero are not written, so that the host need
 * not back them). Errors: SQUIB_E_RANGE when something does not fit, with
 * both sizes in the text; SQUIB_E_INVAL for a setting out of bounds;
 * SQUIB_E_FORMAT for a kernel without a usable entry. */
int sq_x86_boot_load(struct squib_memory *mem, const struct sq_x86_boot *boot,
                     struct sq_x86_entry *out, struct squib_error *err);

/* Fills REGS and SYSTEM of *st for vCPU 0 at the entry; other parts are
 * left alone. */
void sq_x86_entry_state(const struct sq_x86_entry *entry,
                        struct squib_x86_64_state *st);

#endif
