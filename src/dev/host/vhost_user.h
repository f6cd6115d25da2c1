/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front end of vhost-user (QEMU's documentation, "Vhost-user Protocol"):
 * asks a back end, another process behind a Unix socket, to serve one queue
 * in memory that it shares.
 *
 * Event thread. Requests wait for their answers, at most
 * SQ_VHOST_USER_WAIT_MS; a back end that does not answer, or not what it
 * must, is given up: all later requests fail.
 */
#ifndef SQ_DEV_HOST_VHOST_USER_H
#define SQ_DEV_HOST_VHOST_USER_H

#include <stdint.h>

#include <squib/error.h>

#include "core/memory.h"

#define SQ_VHOST_USER_WAIT_MS 3000

struct sq_vhost_user;

/* Connects and agrees on features. Errors: SQUIB_E_NOTFOUND, SQUIB_E_OS,
 * SQUIB_E_FORMAT (the back end's answers), SQUIB_E_NOMEM. */
int sq_vhost_user_connect(const char *path, struct sq_vhost_user **out,
                          struct squib_error *err);
void sq_vhost_user_free(struct sq_vhost_user *vu); /* NULL is allowed */

/* What it offers as a device. */
uint64_t sq_vhost_user_features(const struct sq_vhost_user *vu);
/* The socket, to be watched for a hang-up; nothing else comes on it. */
int sq_vhost_user_fd(const struct sq_vhost_user *vu);

/* Reads the first len bytes (at most 256) of its configuration space. */
int sq_vhost_user_config(struct sq_vhost_user *vu, void *out, uint32_t len,
                         struct squib_error *err);

/* The queue: memory that the front end mapped, of the same file at offset 0,
 * and where in it the three rings begin. */
struct sq_vhost_user_ring {
    int fd;
    uint8_t *hva;
    uint64_t len;
    uint16_t size;
    uint32_t desc_off, avail_off, used_off;
    int kick_fd, call_fd; /* it reads the one and writes the other */
};

/* Whether it takes as many parts as this memory has: every back end takes 7,
 * and those that configure memory slots say how many. Errors: SQUIB_E_RANGE.
 */
int sq_vhost_user_can_share(const struct sq_vhost_user *vu,
                            const struct squib_memory *mem,
                            struct squib_error *err);

/* Has it serve the queue with these features, from both indices 0 on. The
 * addresses in descriptors are `mem`'s; lent memory is not shared. Errors:
 * those of sq_vhost_user_can_share(), or as above. */
int sq_vhost_user_start(struct sq_vhost_user *vu, uint64_t features,
                        const struct squib_memory *mem,
                        const struct sq_vhost_user_ring *ring,
                        struct squib_error *err);
/* It has let go of queue and memory when this returns 0. */
int sq_vhost_user_stop(struct sq_vhost_user *vu, struct squib_error *err);

#endif
