/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-physical memory.
 *
 * A squib_memory is a set of non-overlapping ranges of guest-physical
 * addresses (GPA), each backed by host memory that it owns. All addresses
 * and lengths are bytes. Ranges start and end on 4096-byte boundaries.
 *
 * Threads: one at a time makes, adds and frees; ranges are added before any
 * VM that uses them is made.
 * read, write and fill may be called from any thread at any time; against
 * running vCPUs they are as atomic as memcpy(), that is, per byte.
 */
#ifndef SQUIB_MEMORY_H
#define SQUIB_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SQUIB_PAGE_SIZE 4096u

/* [gpa, gpa + len) */
struct squib_range {
    uint64_t gpa;
    uint64_t len;
};

/* What the guest may do with a range; 0: it finds nothing there. Where the
 * backend knows no difference (kvm, soft), what may be read may be
 * executed. */
enum squib_prot {
    SQUIB_PROT_READ = 1,
    SQUIB_PROT_WRITE = 2,
    SQUIB_PROT_EXEC = 4,
    SQUIB_PROT_RWX = 7,
};

struct squib_memory;

/* Makes an empty set. The caller owns *out and frees it after every VM that
 * uses it. Errors: SQUIB_E_NOMEM. */
int squib_memory_new(struct squib_memory **out, struct squib_error *err);

/* Frees the set and its host memory. NULL is allowed. */
void squib_memory_free(struct squib_memory *mem);

/* Adds zeroed, shareable (memfd) memory at `range`, not yet touched on the
 * host. Errors: SQUIB_E_INVAL (alignment, zero length, wrap-around),
 * SQUIB_E_RANGE (overlap, too many ranges), SQUIB_E_OS. */
int squib_memory_add(struct squib_memory *mem, struct squib_range range,
                     struct squib_error *err);

/* Sum of the lengths of all added ranges, in bytes. */
uint64_t squib_memory_size(const struct squib_memory *mem);

/* Copies `len` bytes of guest memory out or in, or fills them with a byte.
 * The span may cross from one range into an adjacent one. Errors:
 * SQUIB_E_RANGE if any byte is outside (then nothing was copied). Writes by
 * the host ignore guest protection and are recorded in the dirty log. */
int squib_memory_read(const struct squib_memory *mem, uint64_t gpa, void *dst,
                      size_t len, struct squib_error *err);
int squib_memory_write(struct squib_memory *mem, uint64_t gpa,
                       const void *src, size_t len, struct squib_error *err);
int squib_memory_fill(struct squib_memory *mem, uint64_t gpa, uint8_t byte,
                      size_t len, struct squib_error *err);

#ifdef __cplusplus
}
#endif
#endif
