/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ethernet frames in a byte stream: each is preceded by its length as four
 * bytes, most significant first. That is what `qemu -netdev stream`, passt
 * and gvproxy speak.
 *
 * Pure: no descriptors, no allocation. One thread at a time for one object.
 */
#ifndef SQ_DEV_HOST_NET_FRAME_H
#define SQ_DEV_HOST_NET_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "dev/host/net.h"

#define SQ_NET_PREFIX_LEN 4u

/* Room for a frame that is being read and many that were read with it. */
#define SQ_NET_UNFRAME_LEN (4 * (SQ_NET_PREFIX_LEN + SQ_NET_FRAME_MAX))

/* Bytes that came in and are not taken yet: buf[start..end). */
struct sq_net_unframe {
    size_t start, end;
    uint8_t buf[SQ_NET_UNFRAME_LEN];
};

static inline void sq_net_prefix(uint8_t raw[SQ_NET_PREFIX_LEN], size_t len)
{
    raw[0] = (uint8_t)(len >> 24);
    raw[1] = (uint8_t)(len >> 16);
    raw[2] = (uint8_t)(len >> 8);
    raw[3] = (uint8_t)len;
}

/* Where the next bytes of the stream go, and how many fit: never 0 after
 * sq_net_unframe_next() said 0. Invalidates frames that were given out. */
uint8_t *sq_net_unframe_space(struct sq_net_unframe *u, size_t *len);

/* `len` bytes were put there. */
void sq_net_unframe_put(struct sq_net_unframe *u, size_t len);

/* Takes the next frame: 1 and its place in the buffer, 0 when it is not
 * complete yet, -1 for a length that no frame has (then the stream is of no
 * further use). */
int sq_net_unframe_next(struct sq_net_unframe *u, const uint8_t **data,
                        size_t *len);

#endif
