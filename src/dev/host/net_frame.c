/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/host/net_frame.h"

#include <string.h>

uint8_t *sq_net_unframe_space(struct sq_net_unframe *u, size_t *len)
{
    if (u->start == u->end) {
        u->start = u->end = 0;
    } else if (u->start > sizeof(u->buf) / 2) {
        /* A quarter of the buffer holds the largest frame, so less than
         * one is moved, once for half a buffer of input. */
        memmove(u->buf, u->buf + u->start, u->end - u->start);
        u->end -= u->start;
        u->start = 0;
    }
    *len = sizeof(u->buf) - u->end;
    return u->buf + u->end;
}

void sq_net_unframe_put(struct sq_net_unframe *u, size_t len)
{
    u->end += len;
}

int sq_net_unframe_next(struct sq_net_unframe *u, const uint8_t **data,
                        size_t *len)
{
    const uint8_t *p = u->buf + u->start;
    size_t have = u->end - u->start, n;

    if (have < SQ_NET_PREFIX_LEN)
        return 0;
    n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (n == 0 || n > SQ_NET_FRAME_MAX)
        return -1;
    if (have - SQ_NET_PREFIX_LEN < n)
        return 0;
    *data = p + SQ_NET_PREFIX_LEN;
    *len = n;
    u->start += SQ_NET_PREFIX_LEN + n;
    return 1;
}
