/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storage behind a block device.
 *
 * Requests are submitted and complete through a callback, so that an engine
 * may finish them later and out of order. Raw files have two engines: one
 * does the work at once on the calling thread; the other hands it to the
 * kernel (io_uring) or, where that is not to be had, to threads of its own.
 *
 * A disk belongs to the event thread: all calls and all callbacks are there.
 */
#ifndef SQ_DEV_HOST_DISK_H
#define SQ_DEV_HOST_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <squib/error.h>

#include "os/poller.h"

enum sq_disk_op {
    SQ_DISK_READ,
    SQ_DISK_WRITE,
    SQ_DISK_FLUSH,   /* all completed writes are on stable storage */
    SQ_DISK_DISCARD, /* contents become undefined, space may be freed */
    SQ_DISK_ZERO,    /* reads as zeroes afterwards */
};

/* Owned by the submitter, untouched by it until done() was called. The
 * engine may change off, iov and the pieces while it works. */
struct sq_disk_request {
    enum sq_disk_op op;
    bool unmap;   /* ZERO: freeing the space is welcome */
    uint64_t off; /* bytes; off + len is within sq_disk_len() */
    uint64_t len;
    /* READ, WRITE: the pieces, len bytes together. */
    struct iovec *iov;
    unsigned iov_count; /* at most 1024 */

    /* error is 0 or an errno. Called exactly once, on the thread that
     * submits, possibly before submit returns. */
    void (*done)(struct sq_disk_request *req, int error);

    /* The engine's own. */
    struct sq_disk_request *next;
    int error;
};

struct sq_disk;

struct sq_disk_ops {
    void (*submit)(struct sq_disk *disk, struct sq_disk_request *req);
    /* Submissions may be held back until this. NULL: they are not. */
    void (*kick)(struct sq_disk *disk);
    /* Completes all submitted requests, and those that their done() submits.
     * NULL: they complete in submit. */
    void (*drain)(struct sq_disk *disk);
    /* Drains, then releases the disk. */
    void (*free)(struct sq_disk *disk);
};

/* Embedded first in each engine's own struct. Constant while in use. */
struct sq_disk {
    const struct sq_disk_ops *ops;
    uint64_t len; /* bytes */
    bool read_only;

    /* The owner's, may be NULL: called with true before and with false
     * after a number of done() calls that come from the event loop, not from
     * submit, drain or free. */
    void (*batch)(void *ctx, bool begin);
    void *batch_ctx;
};

static inline void sq_disk_submit(struct sq_disk *disk,
                                  struct sq_disk_request *req)
{
    disk->ops->submit(disk, req);
}

/* After one or more submissions. */
static inline void sq_disk_kick(struct sq_disk *disk)
{
    if (disk->ops->kick)
        disk->ops->kick(disk);
}

static inline void sq_disk_drain(struct sq_disk *disk)
{
    if (disk->ops->drain)
        disk->ops->drain(disk);
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

enum sq_disk_engine {
    SQ_DISK_SYNC,
    SQ_DISK_ASYNC,   /* io_uring, or threads where there is none */
    SQ_DISK_THREADS, /* threads in any case */
};

struct sq_disk_config {
    const char *path; /* borrowed for the call */
    bool read_only;
    enum sq_disk_engine engine;
    struct sq_poller *poller; /* not SYNC: outlives the disk */
    /* The raw file that this one will take the place of, or NULL: naming the
     * same file, they share its lock. */
    const struct sq_disk *replaces;
};

/*
 * Opens a raw image: a regular file or a block device. Its length counts in
 * whole 512-byte sectors; a last partial one is not accessible.
 *
 * The file is locked (flock) until the disk is freed, shared when read-only,
 * exclusively otherwise, so that no two machines write to it; file systems
 * without locks are accepted. Errors: SQUIB_E_NOTFOUND, SQUIB_E_OS,
 * SQUIB_E_INVAL (neither file nor device), SQUIB_E_FORMAT (shorter than one
 * sector), SQUIB_E_STATE (locked: the text names the holder's process if the
 * host tells), SQUIB_E_NOMEM.
 */
int sq_disk_open_config(const struct sq_disk_config *config,
                        struct sq_disk **out, struct squib_error *err);

/* The same with the SYNC engine. */
int sq_disk_open(const char *path, bool read_only, struct sq_disk **out,
                 struct squib_error *err);

/* Two for a disk of sq_disk_open_config(). Its file, for mapping: stays the
 * disk's. And "sync", "io_uring" or "threads". */
int sq_disk_fd(const struct sq_disk *disk);
const char *sq_disk_engine_name(const struct sq_disk *disk);

#endif
