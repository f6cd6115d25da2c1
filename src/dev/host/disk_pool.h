/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that do disk requests: the engine where the kernel has no
 * asynchronous interface, and for what that cannot do. Event thread. */
#ifndef SQ_DEV_HOST_DISK_POOL_H
#define SQ_DEV_HOST_DISK_POOL_H

#include "dev/host/disk.h"

struct sq_disk_pool;

/* No thread starts before there is work. `disk` says whom to tell about
 * batches. The file descriptor stays the caller's. */
int sq_disk_pool_new(int fd, struct sq_disk *disk, struct sq_poller *poller,
                     struct sq_disk_pool **out, struct squib_error *err);

/* The request completes in a later round of the event loop. */
void sq_disk_pool_submit(struct sq_disk_pool *pool,
                         struct sq_disk_request *req);

/* Requests that were submitted and have not completed. */
unsigned sq_disk_pool_busy(const struct sq_disk_pool *pool);

/* Waits until at least one request is ready, if any is busy, and completes
 * those that are, without the disk's batch hook. */
void sq_disk_pool_wait(struct sq_disk_pool *pool);

/* Only when nothing is busy; NULL is allowed. */
void sq_disk_pool_free(struct sq_disk_pool *pool);

#endif
