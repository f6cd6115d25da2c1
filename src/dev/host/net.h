/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network device stands on: something that takes and gives Ethernet
 * frames. Engines: tap.h (a Linux tap) and net_stream.h (frames over a Unix
 * socket, as user-mode networks speak it).
 *
 * Nothing here blocks. The device watches `fd` and calls recv() until it
 * says that there is nothing, send() until it says busy. All of it belongs
 * to the event thread.
 */
#ifndef SQ_DEV_HOST_NET_H
#define SQ_DEV_HOST_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* In front of every frame between device and engine: struct virtio_net_hdr
 * with num_buffers (virtio 1.2, section 5.1.6), little-endian. */
#define SQ_NET_HEADER_LEN 12u

/* An Ethernet header and what is left of a frame at least and at most. The
 * upper bound is what stream peers may send, above the 65535 bytes of an IP
 * packet with its link header. */
#define SQ_NET_FRAME_MIN 14u
#define SQ_NET_FRAME_MAX 69632u

/* What the engine can be given or may give, beyond finished frames. */
enum sq_net_offload {
    /* Reads and writes the header: checksums and segmentation. */
    SQ_NET_HEADERS = 1,
    /* Frames come over a path that cannot damage them: the guest need not
     * verify their checksums. */
    SQ_NET_TRUSTED = 2,
    /* For set_offloads(): what the guest takes. */
    SQ_NET_GUEST_CSUM = 4,
    SQ_NET_GUEST_TSO4 = 8,
    SQ_NET_GUEST_TSO6 = 16,
    SQ_NET_GUEST_ECN = 32,
    SQ_NET_GUEST_UFO = 64,
};

enum sq_net_sent {
    SQ_NET_SENT,   /* taken */
    SQ_NET_BUSY,   /* not now: wait for fd to become writable */
    SQ_NET_FAILED, /* this frame is lost */
    SQ_NET_DEAD,   /* and all later ones: the other end has gone */
};

/* A frame from outside. The engine's memory, until the next recv(). */
struct sq_net_frame {
    const uint8_t *header; /* SQ_NET_HEADER_LEN bytes */
    const uint8_t *data;
    size_t len; /* of data: 1..SQ_NET_FRAME_MAX */
};

struct sq_net_backend;

struct sq_net_backend_ops {
    /* Sends one frame. iov[0] is the header, exactly; the others make up
     * the frame of `len` bytes (SQ_NET_FRAME_MIN..MAX), in guest memory or
     * not. The engine may change the array. */
    enum sq_net_sent (*send)(struct sq_net_backend *net, struct iovec *iov,
                             unsigned iov_count, size_t len);
    /* 1: *frame is filled; 0: none now; -1: the other end has gone. */
    int (*recv)(struct sq_net_backend *net, struct sq_net_frame *frame);
    /* Writes what send() took but could not pass on yet. True: nothing is
     * left. NULL: nothing ever is. */
    bool (*flush)(struct sq_net_backend *net);
    /* What the guest takes from now on (SQ_NET_GUEST_*). NULL where
     * SQ_NET_HEADERS is not offered. */
    void (*set_offloads)(struct sq_net_backend *net, unsigned offloads);
    void (*free)(struct sq_net_backend *net);
};

/* Embedded first in each engine's own struct. Constant while in use. */
struct sq_net_backend {
    const struct sq_net_backend_ops *ops;
    int fd;
    unsigned offloads; /* SQ_NET_HEADERS, SQ_NET_TRUSTED */
};

/* NULL is allowed. */
static inline void sq_net_backend_free(struct sq_net_backend *net)
{
    if (net)
        net->ops->free(net);
}

#endif
