/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a vsock packet (virtio 1.2, section 5.10.6) as a value. */
#ifndef SQ_DEV_VIRTIO_VSOCK_PACKET_H
#define SQ_DEV_VIRTIO_VSOCK_PACKET_H

#include <stdint.h>

#define SQ_VSOCK_HEADER_LEN 44u
#define SQ_VSOCK_PAYLOAD_MAX (64u * 1024u)
#define SQ_VSOCK_TYPE_STREAM 1u

enum sq_vsock_op {
    SQ_VSOCK_REQUEST = 1,
    SQ_VSOCK_RESPONSE = 2,
    SQ_VSOCK_RST = 3,
    SQ_VSOCK_SHUTDOWN = 4,
    SQ_VSOCK_RW = 5,
    SQ_VSOCK_CREDIT_UPDATE = 6,
    SQ_VSOCK_CREDIT_REQUEST = 7,
};

/* Flags of SHUTDOWN: what the sender of the packet will not do any more. */
#define SQ_VSOCK_SHUT_RECEIVE 1u
#define SQ_VSOCK_SHUT_SEND 2u
#define SQ_VSOCK_SHUT_BOTH 3u

struct sq_vsock_packet {
    uint64_t src_cid, dst_cid;
    uint32_t src_port, dst_port;
    uint32_t len; /* of the payload, bytes */
    uint16_t type, op;
    uint32_t flags;
    uint32_t buf_alloc, fwd_cnt;
};

enum sq_vsock_verdict {
    SQ_VSOCK_ACCEPT,
    SQ_VSOCK_DROP,   /* not ours, or not a packet: no answer is due */
    SQ_VSOCK_REFUSE, /* answer with RST */
};

void sq_vsock_packet_decode(const uint8_t raw[SQ_VSOCK_HEADER_LEN],
                            struct sq_vsock_packet *out);
void sq_vsock_packet_encode(const struct sq_vsock_packet *packet,
                            uint8_t raw[SQ_VSOCK_HEADER_LEN]);

/* Judges a packet from the guest; `room` is the number of bytes that came
 * after the header. */
enum sq_vsock_verdict sq_vsock_packet_check(const struct sq_vsock_packet *p,
                                            uint64_t guest_cid,
                                            uint64_t room);

#endif
