/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables of the machine: RSDP, XSDT, FADT (hardware-reduced), MADT and
 * a DSDT with the devices; with PCI also MCFG. (ACPI specification 6.3,
 * chapter 5.)
 *
 * Hardware-reduced means that the guest looks for no PIC, PIT or power
 * management timer. Power-off is the sleep control register at
 * SQ_X86_POWER_PORT, reset is the i8042's.
 */
#ifndef SQ_ARCH_X86_64_ACPI_H
#define SQ_ARCH_X86_64_ACPI_H

#include <squib/error.h>

#include "arch/x86_64/machine.h"

/* Builds all tables as they must lie at SQ_X86_ACPI_GPA (the RSDP first)
 * into buf[SQ_X86_ACPI_LEN]; *len is what is used. Errors: SQUIB_E_RANGE if
 * they do not fit. */
int sq_x86_acpi_build(const struct sq_x86_boot *boot, uint8_t *buf,
                      size_t *len, struct squib_error *err);

#endif
