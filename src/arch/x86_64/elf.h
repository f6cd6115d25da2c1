/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF64 executables for x86-64, and ELF32 ones for i386, as far as loading
 * a kernel goes. (System V ABI, chapters 4 and 5; the PVH note: Xen's
 * elfnote.h, type 18.)
 */
#ifndef SQ_ARCH_X86_64_ELF_H
#define SQ_ARCH_X86_64_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#define SQ_ELF_SEGMENTS_MAX 32
#define SQ_ELF_NOTES_MAX 8 /* more are not looked at */

struct sq_elf_segment {
    uint64_t off, file_len; /* in the file; checked to lie within */
    uint64_t gpa, mem_len;  /* in memory; file_len <= mem_len, no wrap */
};

struct sq_elf {
    size_t count; /* at least 1; by gpa, not overlapping, none empty */
    struct sq_elf_segment seg[SQ_ELF_SEGMENTS_MAX];
    uint64_t entry_gpa; /* 0 if it lies in no segment */
    uint64_t pvh_gpa;   /* 0 if there is no such note */
    size_t note_count;
    struct { uint64_t off, len; } note[SQ_ELF_NOTES_MAX]; /* in the file */
};

bool sq_elf_is(const uint8_t *data, size_t len);

/* Reads the headers; data may be hostile. Error texts are without the
 * file's name. Errors: SQUIB_E_FORMAT. */
int sq_elf_parse(const uint8_t *data, size_t len, struct sq_elf *out,
                 struct squib_error *err);

/* The same in pieces, for a file that is not there as a whole.
 * sq_elf_parse_head() reads the headers, which must lie within the first
 * `len` bytes; segments and notes then lie anywhere. sq_elf_note() looks at
 * the contents of a note, and sq_elf_finish() comes last. */
int sq_elf_parse_head(const uint8_t *data, size_t len, struct sq_elf *out,
                      struct squib_error *err);
void sq_elf_note(struct sq_elf *out, const uint8_t *data, size_t len);
int sq_elf_finish(struct sq_elf *out, struct squib_error *err);

/* The same for an ELF32 executable for i386; there is no PVH note then. */
int sq_elf_parse32(const uint8_t *data, size_t len, struct sq_elf *out,
                   struct squib_error *err);

#endif
