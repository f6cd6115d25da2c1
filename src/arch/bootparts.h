/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest of any architecture is started with. */
#ifndef SQ_ARCH_BOOTPARTS_H
#define SQ_ARCH_BOOTPARTS_H

#include <stddef.h>
#include <stdint.h>

/* A virtio-mmio device as the guest's tables describe it. */
struct sq_boot_device {
    uint64_t gpa; /* x86-64: below 4 GiB */
    uint32_t len;
    uint32_t irq; /* edge-triggered: a pin of the I/O APIC, an SPI */
};

/* Bytes that the caller owns. */
struct sq_boot_blob {
    const void *data;
    size_t len;
};

#endif
