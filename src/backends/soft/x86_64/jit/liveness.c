/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which status flags the code after a block may read. Bytes that are looked
 * at here are marked as code, as if they had been decoded: when they are
 * overwritten, the translation that relied on them is stale, too.
 */
#include <string.h>

#include "backends/soft/x86_64/jit/state.h"

#define SCAN_MAX 24
#define DEPTH 2

struct scan {
    struct sq_x86_cpu *c;
    struct sq_x86_block *b;
    const uint8_t *page;
    unsigned left; /* instructions that may still be looked at */
};

static uint16_t needed(struct scan *s, uint64_t off, uint16_t ask,
                       unsigned depth)
{
    uint16_t read = 0;

    while (ask) {
        struct sq_jit_op op;
        uint8_t bytes[15];
        unsigned room;

        if (off >= 4096 || s->left == 0)
            return read | ask;
        s->left--;
        room = 4096 - (unsigned)off;
        if (room > sizeof(bytes))
            room = sizeof(bytes);
        sq_block_mark(s->c, s->b, (unsigned)off, room);
        memcpy(bytes, s->page + off, room);
        if (!sq_jit_op(bytes, room, (unsigned)off, &op))
            return read | ask;
        read |= op.rd & ask;
        ask &= (uint16_t)~(op.rd | op.wr);
        switch (op.kind) {
        case JK_JMP:
        case JK_CALL: off = op.in.imm; continue;
        case JK_JCC:
            if (depth == 0)
                return read | ask;
            read |= needed(s, op.in.imm, ask, depth - 1);
            ask &= (uint16_t)~read;
            break;
        default:
            if (sq_jit_ends(&op))
                return read | ask;
        }
        off += op.in.len;
    }
    return read;
}

uint16_t sq_jit_flags_needed(struct sq_x86_cpu *c, struct sq_x86_block *b,
                             const uint8_t *page, unsigned off)
{
    struct scan s = {c, b, page, SCAN_MAX};

    return needed(&s, off, FL_STATUS, DEPTH);
}
