/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flattened device tree (Devicetree Specification 0.4), by which an
 * arm64 guest finds everything. Bindings: those of Linux,
 * Documentation/devicetree/bindings.
 */
#ifndef SQ_ARCH_AARCH64_FDT_H
#define SQ_ARCH_AARCH64_FDT_H

#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#include "arch/aarch64/machine.h"

/* What the tree says beyond struct sq_arm64_boot. */
struct sq_arm64_fdt_info {
    uint64_t ram_len;
    uint64_t initrd_gpa, initrd_len; /* len 0: none */
};

/* Writes the tree into buf[0..room); *len is its length. Errors:
 * SQUIB_E_RANGE when it does not fit, SQUIB_E_INTERNAL. */
int sq_arm64_fdt_build(const struct sq_arm64_boot *boot,
                       const struct sq_arm64_fdt_info *info, void *buf,
                       size_t room, size_t *len, struct squib_error *err);

#endif
