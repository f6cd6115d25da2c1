/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel files: what is accepted, how it becomes an ELF image.
 *
 * Accepted are a multiboot kernel (multiboot.h), an ELF64 x86-64 vmlinux,
 * the same compressed as a plain file (gzip, xz, lzma, lz4, zstd), and a
 * bzImage whose payload is one of these.
 * A bzImage is unpacked on the host, which is much faster than letting the
 * guest do it; the guest never runs its setup code.
 *
 * All errors name the file and, after "\n  do: ", a remedy:
 * SQUIB_E_NOTFOUND (no such file), SQUIB_E_OS (cannot be read),
 * SQUIB_E_FORMAT (not a kernel for x86-64, damaged, or truncated),
 * SQUIB_E_NOSUPPORT (a compression that squib does not unpack),
 * SQUIB_E_NOMEM.
 */
#ifndef SQ_ARCH_X86_64_KERNEL_H
#define SQ_ARCH_X86_64_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>
#include <squib/memory.h>

struct sq_x86_kernel;

/* Opens, checks and, where needed, unpacks. The caller closes *out. The
 * file is mapped: it must not be truncated while open (a new file renamed
 * over it is harmless). */
int sq_x86_kernel_open(const char *path, struct sq_x86_kernel **out,
                       struct squib_error *err);

/* The same, but what is compressed stays so until sq_x86_kernel_load()
 * unpacks it piece by piece into guest memory, without room for all of it
 * elsewhere; it also finds what is wrong with it. Until then there is only
 * the name to be asked. */
int sq_x86_kernel_open_packed(const char *path, struct sq_x86_kernel **out,
                              struct squib_error *err);

/* As sq_x86_kernel_open(), from bytes that the caller keeps until close;
 * `name` is for messages and is copied. */
int sq_x86_kernel_from_bytes(const char *name, const void *data, size_t len,
                             struct sq_x86_kernel **out,
                             struct squib_error *err);

/* NULL is allowed. */
void sq_x86_kernel_close(struct sq_x86_kernel *kernel);

/* What sq_x86_kernel_load() found out. */
struct sq_x86_image {
    uint64_t entry_gpa; /* ELF entry point, or 0 if outside the image */
    uint64_t pvh_gpa;   /* PVH entry point, or 0 if there is none */
    uint64_t start_gpa; /* [start, end) covers all segments */
    uint64_t end_gpa;
    bool multiboot;     /* to be entered by that protocol */
};

/* Copies the segments into guest memory. [1 MiB, ram_end) is free for them,
 * to a multiboot kernel also [SQ_X86_MULTIBOOT_FREE_GPA, MP table); memory
 * must be zero. Errors: SQUIB_E_RANGE when the VM is too small (says how
 * much is needed), SQUIB_E_FORMAT, SQUIB_E_NOMEM. */
int sq_x86_kernel_load(const struct sq_x86_kernel *kernel,
                       struct squib_memory *mem, uint64_t ram_end,
                       struct sq_x86_image *out, struct squib_error *err);

enum sq_x86_kernel_kind {
    SQ_X86_KERNEL_ELF,
    SQ_X86_KERNEL_BZIMAGE,
    SQ_X86_KERNEL_PACKED, /* an ELF file, compressed */
};

struct sq_x86_kernel_id {
    enum sq_x86_kernel_kind kind;
    const char *packing; /* "lz4", ...; "" if not compressed */
    /* `uname -r` of the kernel, the name of its folder in /lib/modules;
     * "" if it is not Linux or does not say. */
    char release[65];
};

/* Says what a file is without unpacking a bzImage. */
int sq_x86_kernel_identify(const char *path, struct sq_x86_kernel_id *out,
                           struct squib_error *err);

/* Writes the unpacked ELF file to out_path, by way of a temporary file
 * beside it and a rename, so that a reader sees all or nothing. Opening
 * that file skips the unpacking. */
int sq_x86_kernel_extract(const char *path, const char *out_path,
                          struct squib_error *err);

/* The file name given at open, shortened for messages. */
const char *sq_x86_kernel_name(const struct sq_x86_kernel *kernel);

#endif
