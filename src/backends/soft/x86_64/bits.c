/* SPDX-License-Identifier: Apache-2.0 */
/* Bit tests, scans, counts, CRC32. */
#include "backends/soft/x86_64/ops.h"

/* BT and its kin change CF alone (the rest is undefined, ZF is kept). */
#define BIT_OPS(n)                                                         \
    static inline U(n) bt##n(struct sq_x86_cpu *c, U(n) a, unsigned k)     \
    {                                                                      \
        sq_set_cf(c, a >> (k % n) & 1);                                    \
        return a;                                                          \
    }                                                                      \
    static inline U(n) bts##n(struct sq_x86_cpu *c, U(n) a, unsigned k)    \
    {                                                                      \
        sq_set_cf(c, a >> (k % n) & 1);                                    \
        return (U(n))(a | (U(n))1 << (k % n));                             \
    }                                                                      \
    static inline U(n) btr##n(struct sq_x86_cpu *c, U(n) a, unsigned k)    \
    {                                                                      \
        sq_set_cf(c, a >> (k % n) & 1);                                    \
        return (U(n))(a & ~((U(n))1 << (k % n)));                          \
    }                                                                      \
    static inline U(n) btc##n(struct sq_x86_cpu *c, U(n) a, unsigned k)    \
    {                                                                      \
        sq_set_cf(c, a >> (k % n) & 1);                                    \
        return (U(n))(a ^ (U(n))1 << (k % n));                             \
    }                                                                      \
    /* With a memory operand the register's offset is signed and reaches   \
     * beyond the operand (SDM vol. 2, 3.1.1.9). */                        \
    static inline uint64_t bit_ea##n(struct sq_x86_cpu *c,                 \
                                     const struct sq_x86_insn *i,          \
                                     enum sq_access access)                \
    {                                                                      \
        int64_t k = (S(n))RD(n, i->reg);                                   \
        uint64_t sum = sq_ea_sum(c, i) +                                   \
                       (uint64_t)((k >> (n == 64   ? 6                     \
                                         : n == 32 ? 5                     \
                                                   : 4)) *                 \
                                  (n / 8));                                \
                                                                           \
        if (i->flags & IF_SLOW_EA)                                         \
            return sq_x86_ea_slow(c, i, sum, n / 8, access);               \
        return sum + c->segbase[i->seg];                                   \
    }                                                                      \
    OP(bt_EG_r##n)                                                         \
    {                                                                      \
        bt##n(c, RD(n, i->rm), (unsigned)RD(n, i->reg));                   \
        NEXT;                                                              \
    }                                                                      \
    OP(bt_EG_m##n)                                                         \
    {                                                                      \
        bt##n(c, LD(n, bit_ea##n(c, i, ACCESS_R)),                         \
              (unsigned)RD(n, i->reg));                                    \
        NEXT;                                                              \
    }                                                                      \
    OP(bt_EI_r##n)                                                         \
    {                                                                      \
        bt##n(c, RD(n, i->rm), (unsigned)i->imm);                          \
        NEXT;                                                              \
    }                                                                      \
    OP(bt_EI_m##n)                                                         \
    {                                                                      \
        bt##n(c, LD(n, sq_ea(c, i, n / 8, ACCESS_R)), (unsigned)i->imm);   \
        NEXT;                                                              \
    }                                                                      \
    BIT_RMW(n, bts)                                                        \
    BIT_RMW(n, btr)                                                        \
    BIT_RMW(n, btc)                                                        \
    OP(bsf_r##n)                                                           \
    {                                                                      \
        scan_forward(c, i, RD(n, i->rm), n);                               \
        NEXT;                                                              \
    }                                                                      \
    OP(bsf_m##n)                                                           \
    {                                                                      \
        scan_forward(c, i, LD(n, sq_ea(c, i, n / 8, ACCESS_R)), n);        \
        NEXT;                                                              \
    }                                                                      \
    OP(bsr_r##n)                                                           \
    {                                                                      \
        scan_reverse(c, i, RD(n, i->rm), n);                               \
        NEXT;                                                              \
    }                                                                      \
    OP(bsr_m##n)                                                           \
    {                                                                      \
        scan_reverse(c, i, LD(n, sq_ea(c, i, n / 8, ACCESS_R)), n);        \
        NEXT;                                                              \
    }                                                                      \
    OP(popcnt_r##n)                                                        \
    {                                                                      \
        WR(n, i->reg, popcount(c, RD(n, i->rm)));                          \
        NEXT;                                                              \
    }                                                                      \
    OP(popcnt_m##n)                                                        \
    {                                                                      \
        WR(n, i->reg,                                                      \
           popcount(c, LD(n, sq_ea(c, i, n / 8, ACCESS_R))));              \
        NEXT;                                                              \
    }
#define BIT_RMW(n, op)                                                     \
    OP(op##_EG_r##n)                                                       \
    {                                                                      \
        WR(n, i->rm, op##n(c, RD(n, i->rm), (unsigned)RD(n, i->reg)));     \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_EG_m##n)                                                       \
    {                                                                      \
        RMW(n, bit_ea##n(c, i, ACCESS_RW), op##n,                          \
            (unsigned)RD(n, i->reg));                                      \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_EI_r##n)                                                       \
    {                                                                      \
        WR(n, i->rm, op##n(c, RD(n, i->rm), (unsigned)i->imm));            \
        NEXT;                                                              \
    }                                                                      \
    OP(op##_EI_m##n)                                                       \
    {                                                                      \
        RMW(n, sq_ea(c, i, n / 8, ACCESS_RW), op##n, (unsigned)i->imm);    \
        NEXT;                                                              \
    }

/* Writes a scan's result. A zero source leaves the destination alone (and
 * sets ZF): documented by AMD, done by all. Even its upper half is kept
 * with 32-bit operands. */
static void scan_result(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        bool found, unsigned at, unsigned n)
{
    uint32_t f = sq_status(c) & ~(uint32_t)FL_ZF;

    if (!found) {
        sq_set_status(c, f | FL_ZF);
        return;
    }
    sq_set_status(c, f);
    if (n == 16)
        WR(16, i->reg, at);
    else
        WR(64, i->reg, at);
}
static void scan_forward(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         uint64_t v, unsigned n)
{
    scan_result(c, i, v, v ? (unsigned)__builtin_ctzll(v) : 0, n);
}
static void scan_reverse(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         uint64_t v, unsigned n)
{
    scan_result(c, i, v, v ? 63 - (unsigned)__builtin_clzll(v) : 0, n);
}
static unsigned popcount(struct sq_x86_cpu *c, uint64_t v)
{
    sq_set_status(c, v ? 0 : FL_ZF);
    return (unsigned)__builtin_popcountll(v);
}

EACH_V(BIT_OPS)
FAM3(bt_EG, bt_EG)
FAM3(bt_EI, bt_EI)
FAM3(bts_EG, bts_EG)
FAM3(bts_EI, bts_EI)
FAM3(btr_EG, btr_EG)
FAM3(btr_EI, btr_EI)
FAM3(btc_EG, btc_EG)
FAM3(btc_EI, btc_EI)
FAM3(bsf, bsf)
FAM3(bsr, bsr)
FAM3(popcnt, popcnt)

/* CRC32 with the Castagnoli polynomial, reflected, four bits at a time. */
static uint32_t crc32c(uint32_t crc, uint64_t v, unsigned len)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
        0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    for (unsigned k = 0; k < len; k++) {
        crc ^= (uint8_t)(v >> (8 * k));
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return crc;
}
#define CRC(n)                                                             \
    OP(crc32_r##n)                                                         \
    {                                                                      \
        WR(32, i->reg, crc32c(RD(32, i->reg), RD(n, i->rm), n / 8));       \
        NEXT;                                                              \
    }                                                                      \
    OP(crc32_m##n)                                                         \
    {                                                                      \
        uint64_t v = LD(n, sq_ea(c, i, n / 8, ACCESS_R));                  \
                                                                           \
        WR(32, i->reg, crc32c(RD(32, i->reg), v, n / 8));                  \
        NEXT;                                                              \
    }
EACH_SIZE(CRC)
FAM4(crc32, crc32)
