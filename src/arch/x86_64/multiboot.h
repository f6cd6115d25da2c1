/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels of the multiboot specification, version 0.6.96: how one is known
 * and where its own header has it loaded. What is handed to it, boot.c
 * writes.
 */
#ifndef SQ_ARCH_X86_64_MULTIBOOT_H
#define SQ_ARCH_X86_64_MULTIBOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#include "arch/x86_64/elf.h"

/* What EAX holds at the entry. */
#define SQ_MULTIBOOT_MAGIC 0x2badb002u

/* Whether the file has a multiboot header where one must be (3.1.1): within
 * the first 8 KiB, on a 4-byte boundary, with the right sum. An ELF64 file
 * is not looked at: the protocol enters 32-bit code. data may be hostile. */
bool sq_multiboot_is(const uint8_t *data, size_t len);

/* Where a file that sq_multiboot_is() goes: from the address fields of the
 * header where it has them, else from the ELF32 headers. Error texts are
 * without the file's name. Errors: SQUIB_E_FORMAT, SQUIB_E_NOSUPPORT (it
 * demands what squib has not, like a video mode). */
int sq_multiboot_parse(const uint8_t *data, size_t len, struct sq_elf *out,
                       struct squib_error *err);

#endif
