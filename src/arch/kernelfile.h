/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loaders of all architectures do with a kernel file: map it, name
 * it in messages, tell what it is when it is something else.
 */
#ifndef SQ_ARCH_KERNELFILE_H
#define SQ_ARCH_KERNELFILE_H

#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#define SQ_KERNELFILE_NAME_MAX 80

struct sq_kernelfile {
    char name[SQ_KERNELFILE_NAME_MAX + 1]; /* the path, shortened */
    void *map;                             /* NULL: the caller's bytes */
    const uint8_t *data;
    size_t len;
};

/* `uname -r` of a kernel, the name of its folder in /lib/modules. */
#define SQ_RELEASE_LEN 65

/* Maps `path`; the file must not be truncated while it is open. `wanted` is
 * for the remedy: "a vmlinux or bzImage". Errors name the file:
 * SQUIB_E_NOTFOUND, SQUIB_E_OS, SQUIB_E_FORMAT (not a file). close() in any
 * case. */
int sq_kernelfile_open(struct sq_kernelfile *f, const char *path,
                       const char *wanted, struct squib_error *err);
/* Bytes that the caller keeps until close. */
void sq_kernelfile_bytes(struct sq_kernelfile *f, const char *name,
                         const void *data, size_t len);
void sq_kernelfile_close(struct sq_kernelfile *f);

/* What a file is that is no kernel: "a cpio archive (an initrd)". NULL when
 * nothing better can be said. Kernels of any architecture are told too. */
const char *sq_kernelfile_kind(const uint8_t *data, size_t len);

/* Whether these are the first bytes of an arm64 Image; of an EFI zboot
 * image; of a bzImage. */
int sq_kernelfile_is_arm64(const uint8_t *data, size_t len);
int sq_kernelfile_is_zboot(const uint8_t *data, size_t len);
int sq_kernelfile_is_bzimage(const uint8_t *data, size_t len);

/* Copies a release up to the first byte that does not belong to one; "" if
 * there is none. It becomes part of a path, so nothing else may pass. */
void sq_kernelfile_copy_release(char out[SQ_RELEASE_LEN], const uint8_t *src,
                                size_t len);
/* Looks for the banner "Linux version ..." in an unpacked kernel. */
void sq_kernelfile_find_release(char out[SQ_RELEASE_LEN],
                                const uint8_t *image, size_t len);

/* Writes out_path by way of a temporary file beside it and a rename, so that
 * a reader sees all or nothing. */
int sq_kernelfile_write(const char *out_path, const uint8_t *data, size_t len,
                        struct squib_error *err);

#endif
