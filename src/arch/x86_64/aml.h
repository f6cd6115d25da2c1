/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small writer of ACPI Machine Language (ACPI 6.3, chapter 20) into a
 * fixed buffer. When it is full, further calls do nothing and `full` tells.
 *
 * Scopes, devices, packages and resource lists are opened and closed in
 * pairs: the opening call returns a mark for sq_aml_end() or
 * sq_aml_resources_end().
 */
#ifndef SQ_ARCH_X86_64_AML_H
#define SQ_ARCH_X86_64_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sq_aml {
    uint8_t *buf;
    size_t cap, len;
    bool full;
};

/* Names are paths: four-character segments (shorter ones are padded with
 * '_') joined by '.', with '\' before them for the root. */
size_t sq_aml_scope(struct sq_aml *a, const char *name);
size_t sq_aml_device(struct sq_aml *a, const char *name);
size_t sq_aml_package(struct sq_aml *a, uint8_t elements);
/* A serialized method with `args` arguments; statements follow. */
size_t sq_aml_method(struct sq_aml *a, const char *name, uint8_t args);
void sq_aml_end(struct sq_aml *a, size_t mark);

/* Name (NAME, ...) without its object, which the next call adds. */
void sq_aml_name(struct sq_aml *a, const char *name);
void sq_aml_integer(struct sq_aml *a, uint64_t value);
void sq_aml_string(struct sq_aml *a, const char *text);
/* A compressed EISA identifier: "PNP0501". */
void sq_aml_eisa_id(struct sq_aml *a, const char id[7]);

/* Statement: If (Arg0 == value) { Notify (device, code) }. */
void sq_aml_notify_if(struct sq_aml *a, uint64_t value, const char *device,
                      uint8_t code);

/* A buffer that holds resource descriptors (ACPI 6.3, 6.4). */
size_t sq_aml_resources(struct sq_aml *a);
void sq_aml_memory32(struct sq_aml *a, uint32_t gpa, uint32_t len);
void sq_aml_io(struct sq_aml *a, uint16_t port, uint8_t len);
/* Windows that a bridge forwards: memory with 64-bit addresses, and bus
 * numbers from 0. */
void sq_aml_window64(struct sq_aml *a, uint64_t gpa, uint64_t len);
void sq_aml_window_buses(struct sq_aml *a, uint16_t count);
/* Edge-triggered, active high, exclusive. */
void sq_aml_interrupt(struct sq_aml *a, uint32_t gsi);
void sq_aml_resources_end(struct sq_aml *a, size_t mark);

#endif
