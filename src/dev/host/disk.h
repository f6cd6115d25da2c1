/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage behind a block device.
 *
 * Requests are submitted and complete through a callback, so that an engine
 * may finish them later and out of order. The engine here, a raw file, does
 * the work at once on the calling thread.
 */
#ifndef SQ_DEV_HOST_DISK_H
#define SQ_DEV_HOST_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <squib/error.h>

enum sq_disk_op {
    SQ_DISK_READ,
    SQ_DISK_WRITE,
    SQ_DISK_FLUSH,   /* all completed writes are on stable storage */
    SQ_DISK_DISCARD, /* contents become undefined, space may be freed */
    SQ_DISK_ZERO,    /* reads as zeroes afterwards */
};

/* Owned by the submitter, untouched by it until done() was called. */
struct sq_disk_request {
    enum sq_disk_op op;
    bool unmap;   /* ZERO: freeing the space is welcome */
    uint64_t off; /* bytes; off + len is within sq_disk_len() */
    uint64_t len;
    /* READ, WRITE: the pieces, len bytes together. The engine may change
     * the array while it works. */
    struct iovec *iov;
    unsigned iov_count; /* at most 1024 */

    /* error is 0 or an errno. Called exactly once, on the thread that
     * submits, possibly before submit returns. */
    void (*done)(struct sq_disk_request *req, int error);
};

struct sq_disk;

struct sq_disk_ops {
    void (*submit)(struct sq_disk *disk, struct sq_disk_request *req);
    /* Completes all submitted requests, then releases the disk. */
    void (*free)(struct sq_disk *disk);
};

/* Embedded first in each engine's own struct. Constant while in use. */
struct sq_disk {
    const struct sq_disk_ops *ops;
    uint64_t len; /* bytes */
    bool read_only;
};

static inline void sq_disk_submit(struct sq_disk *disk,
                                  struct sq_disk_request *req)
{
    disk->ops->submit(disk, req);
}

static inline void sq_disk_free(struct sq_disk *disk)
{
    if (disk)
        disk->ops->free(disk);
}

static inline uint64_t sq_disk_len(const struct sq_disk *disk)
{
    return disk->len;
}

/* Opens a raw image: a regular file or a block device. Its length counts in
 * whole 512-byte sectors; a last partial one is not accessible. Errors:
 * SQUIB_E_NOTFOUND, SQUIB_E_OS, SQUIB_E_INVAL (neither file nor device),
 * SQUIB_E_FORMAT (shorter than one sector), SQUIB_E_NOMEM. */
int sq_disk_open(const char *path, bool read_only, struct sq_disk **out,
                 struct squib_error *err);

#endif
