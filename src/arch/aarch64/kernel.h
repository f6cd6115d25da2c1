/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel files of arm64: what is accepted, how it becomes an Image.
 *
 * Accepted are an Image (Linux Documentation/arm64/booting.rst), the same
 * compressed as a plain file (gzip, xz, lzma, lz4, zstd), and an EFI zboot
 * image whose payload is one of these. All are unpacked on the host.
 *
 * All errors name the file and, after "\n  do: ", a remedy:
 * SQUIB_E_NOTFOUND (no such file), SQUIB_E_OS (cannot be read),
 * SQUIB_E_FORMAT (not a kernel for arm64, damaged, or truncated),
 * SQUIB_E_NOSUPPORT (a compression that squib does not unpack),
 * SQUIB_E_NOMEM.
 */
#ifndef SQ_ARCH_AARCH64_KERNEL_H
#define SQ_ARCH_AARCH64_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>
#include <squib/memory.h>

#include "arch/kernelfile.h"

struct sq_arm64_kernel;

/* Opens, checks and, where needed, unpacks. The caller closes *out. The
 * file is mapped: it must not be truncated while open. */
int sq_arm64_kernel_open(const char *path, struct sq_arm64_kernel **out,
                         struct squib_error *err);

/* The same from bytes that the caller keeps until close; `name` is for
 * messages and is copied. */
int sq_arm64_kernel_from_bytes(const char *name, const void *data, size_t len,
                               struct sq_arm64_kernel **out,
                               struct squib_error *err);

/* NULL is allowed. */
void sq_arm64_kernel_close(struct sq_arm64_kernel *kernel);

/* Where sq_arm64_kernel_load() put it. */
struct sq_arm64_image {
    uint64_t entry_gpa;
    uint64_t end_gpa; /* behind all that the kernel claims for itself */
};

/* Copies the kernel to the first fitting place from `gpa` on, a multiple of
 * 2 MiB; memory must be zero. Errors: SQUIB_E_RANGE when the VM is too small
 * (says how much is needed). */
int sq_arm64_kernel_load(const struct sq_arm64_kernel *kernel,
                         struct squib_memory *mem, uint64_t gpa,
                         uint64_t ram_end, struct sq_arm64_image *out,
                         struct squib_error *err);

struct sq_arm64_kernel_id {
    bool packed; /* opening it means unpacking */
    /* "" if it is not Linux or does not say. */
    char release[SQ_RELEASE_LEN];
};

/* Says what a file is. */
int sq_arm64_kernel_identify(const char *path, struct sq_arm64_kernel_id *out,
                             struct squib_error *err);

/* Writes the unpacked Image to out_path, as sq_kernelfile_write() does. */
int sq_arm64_kernel_extract(const char *path, const char *out_path,
                            struct squib_error *err);

#endif
