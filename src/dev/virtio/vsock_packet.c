/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/virtio/vsock_packet.h"

#include "base/util.h"
#include "dev/virtio/vsock.h"

enum field {
    SRC_CID = 0,
    DST_CID = 8,
    SRC_PORT = 16,
    DST_PORT = 20,
    LEN = 24,
    TYPE = 28,
    OP = 30,
    FLAGS = 32,
    BUF_ALLOC = 36,
    FWD_CNT = 40,
};

void sq_vsock_packet_decode(const uint8_t raw[SQ_VSOCK_HEADER_LEN],
                            struct sq_vsock_packet *out)
{
    *out = (struct sq_vsock_packet){
        .src_cid = sq_ld64(raw + SRC_CID),
        .dst_cid = sq_ld64(raw + DST_CID),
        .src_port = sq_ld32(raw + SRC_PORT),
        .dst_port = sq_ld32(raw + DST_PORT),
        .len = sq_ld32(raw + LEN),
        .type = sq_ld16(raw + TYPE),
        .op = sq_ld16(raw + OP),
        .flags = sq_ld32(raw + FLAGS),
        .buf_alloc = sq_ld32(raw + BUF_ALLOC),
        .fwd_cnt = sq_ld32(raw + FWD_CNT),
    };
}

void sq_vsock_packet_encode(const struct sq_vsock_packet *packet,
                            uint8_t raw[SQ_VSOCK_HEADER_LEN])
{
    sq_st64(raw + SRC_CID, packet->src_cid);
    sq_st64(raw + DST_CID, packet->dst_cid);
    sq_st32(raw + SRC_PORT, packet->src_port);
    sq_st32(raw + DST_PORT, packet->dst_port);
    sq_st32(raw + LEN, packet->len);
    sq_st16(raw + TYPE, packet->type);
    sq_st16(raw + OP, packet->op);
    sq_st32(raw + FLAGS, packet->flags);
    sq_st32(raw + BUF_ALLOC, packet->buf_alloc);
    sq_st32(raw + FWD_CNT, packet->fwd_cnt);
}

enum sq_vsock_verdict sq_vsock_packet_check(const struct sq_vsock_packet *p,
                                            uint64_t guest_cid,
                                            uint64_t room)
{
    /* An RST to a made-up sender could not reach anyone. */
    if (p->src_cid != guest_cid || p->dst_cid != SQ_VSOCK_HOST_CID)
        return SQ_VSOCK_DROP;
    if (p->len > room || p->len > SQ_VSOCK_PAYLOAD_MAX)
        return SQ_VSOCK_REFUSE;
    if (p->type != SQ_VSOCK_TYPE_STREAM)
        return SQ_VSOCK_REFUSE;
    return SQ_VSOCK_ACCEPT;
}
