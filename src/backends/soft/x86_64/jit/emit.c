/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/x86_64/jit/emit.h"

#include <string.h>

void sq_emit_u8(struct sq_emit *e, uint8_t v)
{
    if (e->at < e->end)
        *e->at++ = v;
    else
        e->full = true;
}

void sq_emit_imm(struct sq_emit *e, uint64_t v, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        sq_emit_u8(e, (uint8_t)(v >> 8 * k));
}

void sq_emit_u16(struct sq_emit *e, uint16_t v)
{
    sq_emit_imm(e, v, 2);
}

void sq_emit_u32(struct sq_emit *e, uint32_t v)
{
    sq_emit_imm(e, v, 4);
}

void sq_emit_u64(struct sq_emit *e, uint64_t v)
{
    sq_emit_imm(e, v, 8);
}

static void head(struct sq_emit *e, uint32_t opc, unsigned flags,
                 unsigned reg, unsigned index, unsigned rm)
{
    uint8_t prefix = (uint8_t)(opc >> 16), rex;

    rex = (uint8_t)((flags & SQ_E_W ? 8 : 0) | (reg & 8) >> 1 |
                    (index & 8) >> 2 | (rm & 8) >> 3);
    if (flags & SQ_E_LOCK)
        sq_emit_u8(e, 0xf0);
    if (flags & SQ_E_O16)
        sq_emit_u8(e, 0x66);
    if (prefix)
        sq_emit_u8(e, prefix);
    if (rex || flags & SQ_E_REX)
        sq_emit_u8(e, 0x40 | rex);
    switch (opc >> 8 & 0xff) {
    case 1: sq_emit_u8(e, 0x0f); break;
    case 2: sq_emit_u8(e, 0x0f), sq_emit_u8(e, 0x38); break;
    case 3: sq_emit_u8(e, 0x0f), sq_emit_u8(e, 0x3a); break;
    default: break;
    }
    sq_emit_u8(e, (uint8_t)opc);
}

static void vex_head(struct sq_emit *e, uint32_t opc, unsigned flags,
                     unsigned reg, unsigned v, unsigned index, unsigned rm)
{
    uint8_t prefix = (uint8_t)(opc >> 16);
    unsigned pp = prefix == 0x66   ? 1
                  : prefix == 0xf3 ? 2
                  : prefix == 0xf2 ? 3
                                   : 0;

    sq_emit_u8(e, 0xc4);
    sq_emit_u8(e, (uint8_t)((~reg & 8) << 4 | (~index & 8) << 3 |
                            (~rm & 8) << 2 | (opc >> 8 & 0x1f)));
    sq_emit_u8(e, (uint8_t)((flags & SQ_E_W ? 0x80 : 0) | (~v & 15) << 3 |
                            (flags & SQ_E_L ? 4 : 0) | pp));
    sq_emit_u8(e, (uint8_t)opc);
}

void sq_emit_vex_rr(struct sq_emit *e, uint32_t opc, unsigned flags,
                    unsigned reg, unsigned v, unsigned rm)
{
    vex_head(e, opc, flags, reg, v, 0, rm);
    sq_emit_u8(e, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

void sq_emit_rr(struct sq_emit *e, uint32_t opc, unsigned flags,
                unsigned reg, unsigned rm)
{
    head(e, opc, flags, reg, 0, rm);
    sq_emit_u8(e, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

/* ModRM, SIB and displacement. */
static void operand(struct sq_emit *e, unsigned reg, struct sq_emit_mem m)
{
    bool base = m.base != H_NONE, index = m.index != H_NONE;
    bool sib = index || !base || (m.base & 7) == H_SP;
    uint8_t field = (uint8_t)((reg & 7) << 3), mod;

    if (!base)
        mod = 0; /* 32 bits of displacement */
    else if (m.disp == 0 && (m.base & 7) != H_BP)
        mod = 0;
    else if (m.disp == (int8_t)m.disp)
        mod = 0x40;
    else
        mod = 0x80;
    sq_emit_u8(e, (uint8_t)(mod | field | (sib ? 4 : m.base & 7)));
    if (sib)
        sq_emit_u8(e, (uint8_t)(m.scale << 6 |
                                (index ? m.index & 7 : 4) << 3 |
                                (base ? m.base & 7 : 5)));
    if (mod == 0x40)
        sq_emit_u8(e, (uint8_t)m.disp);
    else if (mod == 0x80 || !base)
        sq_emit_u32(e, (uint32_t)m.disp);
}

void sq_emit_rm(struct sq_emit *e, uint32_t opc, unsigned flags,
                unsigned reg, struct sq_emit_mem m)
{
    head(e, opc, flags, reg, m.index != H_NONE ? m.index : 0u,
         m.base != H_NONE ? m.base : 0u);
    operand(e, reg, m);
}

void sq_emit_vex_rm(struct sq_emit *e, uint32_t opc, unsigned flags,
                    unsigned reg, unsigned v, struct sq_emit_mem m)
{
    vex_head(e, opc, flags, reg, v, m.index != H_NONE ? m.index : 0u,
             m.base != H_NONE ? m.base : 0u);
    operand(e, reg, m);
}

void sq_emit_mov(struct sq_emit *e, unsigned to, unsigned from)
{
    sq_emit_rr(e, SQ_OPC(0, 0, 0x8b), SQ_E_W, to, from);
}

void sq_emit_mov_imm(struct sq_emit *e, unsigned to, uint64_t v)
{
    if (v == (uint64_t)(int64_t)(int32_t)v && v >> 31) {
        sq_emit_rr(e, SQ_OPC(0, 0, 0xc7), SQ_E_W, 0, to);
        sq_emit_u32(e, (uint32_t)v);
        return;
    }
    if (v >> 32)
        sq_emit_u8(e, (uint8_t)(0x48 | to >> 3));
    else if (to >> 3)
        sq_emit_u8(e, 0x41);
    sq_emit_u8(e, (uint8_t)(0xb8 | (to & 7)));
    sq_emit_imm(e, v, v >> 32 ? 8 : 4);
}

void sq_emit_load(struct sq_emit *e, unsigned to, struct sq_emit_mem m)
{
    sq_emit_rm(e, SQ_OPC(0, 0, 0x8b), SQ_E_W, to, m);
}

void sq_emit_store(struct sq_emit *e, struct sq_emit_mem m, unsigned from)
{
    sq_emit_rm(e, SQ_OPC(0, 0, 0x89), SQ_E_W, from, m);
}

void sq_emit_lea(struct sq_emit *e, unsigned to, struct sq_emit_mem m)
{
    sq_emit_rm(e, SQ_OPC(0, 0, 0x8d), SQ_E_W, to, m);
}

uint8_t *sq_emit_call(struct sq_emit *e)
{
    sq_emit_u8(e, 0xe8);
    sq_emit_u32(e, 0);
    return e->at - 4;
}

uint8_t *sq_emit_jump(struct sq_emit *e, unsigned cc)
{
    uint8_t *at;

    if (cc == H_NONE) {
        sq_emit_u8(e, 0xe9);
    } else {
        sq_emit_u8(e, 0x0f);
        sq_emit_u8(e, (uint8_t)(0x80 | cc));
    }
    at = e->at;
    sq_emit_u32(e, 0);
    return at;
}

uint8_t *sq_emit_jump_aligned(struct sq_emit *e, unsigned cc)
{
    unsigned opcode_len = cc == H_NONE ? 1 : 2;

    /* Segment overrides, which mean nothing to jumps, not instructions. */
    while (((uintptr_t)e->at + opcode_len) & 3 && !e->full)
        sq_emit_u8(e, 0x2e);
    return sq_emit_jump(e, cc);
}

void sq_emit_patch(uint8_t *at, const uint8_t *to)
{
    int32_t rel = (int32_t)(to - (at + 4));

    memcpy(at, &rel, 4);
}

void sq_emit_patch_live(uint8_t *at, const uint8_t *to)
{
    int32_t rel = (int32_t)(to - (at + 4));

    __atomic_store_n((int32_t *)(void *)at, rel, __ATOMIC_RELEASE);
}
