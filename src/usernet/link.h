/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's end: frames over a stream socket, both ways. */
#ifndef SQ_USERNET_LINK_H
#define SQ_USERNET_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dev/host/net_frame.h"

/* What may wait for the monitor. Beyond it frames are lost, as they are on
 * a busy wire; at a quarter no more is asked for (link_is_full()). */
#define LINK_OUT_LEN (4u << 20)

struct link {
    int fd;
    bool gone; /* the monitor has closed */
    size_t out_at, out_len;
    uint8_t out[LINK_OUT_LEN];
    struct sq_net_unframe in;
};

/* fd becomes non-blocking. 0, or -1 with errno. */
int link_init(struct link *l, int fd);

/* Queues a frame and writes what goes. */
void link_send(struct link *l, const uint8_t *frame, size_t len);
void link_flush(struct link *l);
static inline bool link_pending(const struct link *l)
{
    return l->out_len > l->out_at;
}
static inline bool link_is_full(const struct link *l)
{
    return l->out_len - l->out_at > LINK_OUT_LEN / 4;
}

/* Reads once what is there and hands out the complete frames. */
void link_receive(struct link *l,
                  void (*fn)(void *ctx, const uint8_t *frame, size_t len),
                  void *ctx);

#endif
