/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Intel MultiProcessor table (version 1.4), for kernels without ACPI.
 * Every I/O APIC pin appears as the ISA interrupt of the same number, edge
 * triggered and active high, so that devices named on the kernel's command
 * line find theirs.
 */
#ifndef SQ_ARCH_X86_64_MPTABLE_H
#define SQ_ARCH_X86_64_MPTABLE_H

#include <stddef.h>
#include <stdint.h>

#include "arch/x86_64/layout.h"

/* Builds the floating pointer and, behind it, the table as they must lie at
 * SQ_X86_MPTABLE_GPA, and returns the length used. vcpus is at most
 * SQUIB_VCPUS_MAX, for which there is room. */
size_t sq_x86_mptable_build(uint32_t vcpus,
                            uint8_t buf[SQ_X86_MPTABLE_LEN]);

#endif
