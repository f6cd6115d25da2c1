/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io_uring for disk requests: reads, writes and flushes. Event thread.
 *
 * What io_uring leaves to do (short transfers, which happen at the end of a
 * file that shrank, and interrupted ones) comes back as `again`.
 */
#ifndef SQ_DEV_HOST_DISK_RING_H
#define SQ_DEV_HOST_DISK_RING_H

#include "dev/host/disk.h"

struct sq_disk_ring;

struct sq_disk_ring_config {
    int fd;               /* stays the caller's */
    struct sq_disk *disk; /* whom to tell about batches */
    struct sq_poller *poller;
    /* A request that must be done (or go on) in another way. Its off and
     * iov say what is left. */
    void (*again)(struct sq_disk *disk, struct sq_disk_request *req);
};

/* Errors: SQUIB_E_NOSUPPORT when this build or host has no io_uring, or
 * does not let us. */
int sq_disk_ring_new(const struct sq_disk_ring_config *config,
                     struct sq_disk_ring **out, struct squib_error *err);

/* READ, WRITE or FLUSH. False when there is no room: do it otherwise. It
 * starts with the next kick. */
bool sq_disk_ring_submit(struct sq_disk_ring *ring,
                         struct sq_disk_request *req);
void sq_disk_ring_kick(struct sq_disk_ring *ring);

/* As for the pool (disk_pool.h). */
unsigned sq_disk_ring_busy(const struct sq_disk_ring *ring);
void sq_disk_ring_wait(struct sq_disk_ring *ring);
void sq_disk_ring_free(struct sq_disk_ring *ring);

#endif
