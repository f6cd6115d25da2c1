/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer operations that exist on both MMX and XMM registers, as pure
 * functions of vectors. `len` is the operand's length in bytes, 8 or 16,
 * and constant where these are used; with 8 the upper halves of operands
 * are zero and that of the result means nothing. Operations on single lanes
 * do not look at it.
 *
 * Source: SDM vol. 2, under each instruction's name.
 */
#ifndef SQ_SOFT_X86_SSE_LANES_H
#define SQ_SOFT_X86_SSE_LANES_H

#include "backends/soft/x86_64/sse.h"

/* X(name) for each lane_<name>(a, b, len) whose memory source has the full
 * operand length. */
#define LANE_OPS(X)                                                        \
    X(paddb) X(paddw) X(paddd) X(paddq) X(psubb) X(psubw) X(psubd)         \
    X(psubq) X(paddsb) X(paddsw) X(paddusb) X(paddusw) X(psubsb)           \
    X(psubsw) X(psubusb) X(psubusw) X(pand) X(pandn) X(por) X(pxor)        \
    X(pcmpeqb) X(pcmpeqw) X(pcmpeqd) X(pcmpgtb) X(pcmpgtw) X(pcmpgtd)      \
    X(pminub) X(pmaxub) X(pminsw) X(pmaxsw) X(pavgb) X(pavgw) X(pmullw)    \
    X(pmulhw) X(pmulhuw) X(pmulhrsw) X(pmuludq) X(pmaddwd) X(pmaddubsw)    \
    X(psadbw) X(pabsb) X(pabsw) X(pabsd) X(psignb) X(psignw) X(psignd)     \
    X(phaddw) X(phaddd) X(phaddsw) X(phsubw) X(phsubd) X(phsubsw)          \
    X(packsswb) X(packuswb) X(packssdw) X(pshufb) X(punpckhbw)             \
    X(punpckhwd) X(punpckhdq)

/* Those whose MMX memory source is half as long. */
#define LANE_OPS_LOW(X) X(punpcklbw) X(punpcklwd) X(punpckldq)

/* Shifts, which also have an immediate count. */
#define LANE_SHIFTS(X)                                                     \
    X(psllw) X(pslld) X(psllq) X(psrlw) X(psrld) X(psrlq) X(psraw) X(psrad)

#define LANE(name)                                                         \
    static inline sq_vec lane_##name(sq_vec a, sq_vec b, unsigned len)

/* --- one lane at a time ---------------------------------------------- */

#define LANE_EXPR(name, type, expr)                                        \
    LANE(name)                                                             \
    {                                                                      \
        type x = (type)a, y = (type)b;                                     \
                                                                           \
        (void)len;                                                         \
        return (sq_vec)(expr);                                             \
    }

LANE_EXPR(paddb, sq_v16u8, x + y)
LANE_EXPR(paddw, sq_v8u16, x + y)
LANE_EXPR(paddd, sq_v4u32, x + y)
LANE_EXPR(paddq, sq_vec, x + y)
LANE_EXPR(psubb, sq_v16u8, x - y)
LANE_EXPR(psubw, sq_v8u16, x - y)
LANE_EXPR(psubd, sq_v4u32, x - y)
LANE_EXPR(psubq, sq_vec, x - y)
LANE_EXPR(pand, sq_vec, x & y)
LANE_EXPR(pandn, sq_vec, ~x & y)
LANE_EXPR(por, sq_vec, x | y)
LANE_EXPR(pxor, sq_vec, x ^ y)
LANE_EXPR(pcmpeqb, sq_v16u8, x == y)
LANE_EXPR(pcmpeqw, sq_v8u16, x == y)
LANE_EXPR(pcmpeqd, sq_v4u32, x == y)
LANE_EXPR(pcmpgtb, sq_v16s8, x > y)
LANE_EXPR(pcmpgtw, sq_v8s16, x > y)
LANE_EXPR(pcmpgtd, sq_v4s32, x > y)
LANE_EXPR(pmullw, sq_v8u16, x * y)
LANE_EXPR(pmuludq, sq_vec, (x & 0xffffffff) * (y & 0xffffffff))

/* m ? x : y where m is a comparison's mask. */
#define LANE_PICK(type, m, x, y)                                           \
    (((type)(m) & (type)(x)) | (~(type)(m) & (type)(y)))

LANE_EXPR(pminub, sq_v16u8, LANE_PICK(sq_v16u8, x < y, x, y))
LANE_EXPR(pmaxub, sq_v16u8, LANE_PICK(sq_v16u8, x > y, x, y))
LANE_EXPR(pminsw, sq_v8s16, LANE_PICK(sq_v8s16, x < y, x, y))
LANE_EXPR(pmaxsw, sq_v8s16, LANE_PICK(sq_v8s16, x > y, x, y))

/* Unsigned saturation: a sum that wrapped is all ones, a difference zero. */
LANE_EXPR(paddusb, sq_v16u8, (x + y) | (sq_v16u8)((x + y) < x))
LANE_EXPR(paddusw, sq_v8u16, (x + y) | (sq_v8u16)((x + y) < x))
LANE_EXPR(psubusb, sq_v16u8, (x - y) & (sq_v16u8)(x > y))
LANE_EXPR(psubusw, sq_v8u16, (x - y) & (sq_v8u16)(x > y))

/* Rounded averages without a wider type. */
LANE_EXPR(pavgb, sq_v16u8, (x | y) - ((x ^ y) >> 1))
LANE_EXPR(pavgw, sq_v8u16, (x | y) - ((x ^ y) >> 1))

/* Signed saturation: towards the sign of the first operand, where the
 * result's sign cannot be right. */
#define LANE_SATURATE(name, utype, stype, op, wrong, top)                  \
    LANE(name)                                                             \
    {                                                                      \
        utype x = (utype)a, y = (utype)b, r = x op y;                      \
        utype limit = (utype)((stype)x < 0) ^ top;                         \
                                                                           \
        (void)len;                                                         \
        return (sq_vec)LANE_PICK(utype, (stype)(wrong) < 0, limit, r);     \
    }
LANE_SATURATE(paddsb, sq_v16u8, sq_v16s8, +, (x ^ r) & (y ^ r), 0x7f)
LANE_SATURATE(paddsw, sq_v8u16, sq_v8s16, +, (x ^ r) & (y ^ r), 0x7fff)
LANE_SATURATE(psubsb, sq_v16u8, sq_v16s8, -, (x ^ y) & (x ^ r), 0x7f)
LANE_SATURATE(psubsw, sq_v8u16, sq_v8s16, -, (x ^ y) & (x ^ r), 0x7fff)

/* Absolute values of b, and b with a's sign: m ^ (b + m) negates where m is
 * all ones. */
#define LANE_SIGNS(abs, sign, utype, stype)                                \
    LANE(abs)                                                              \
    {                                                                      \
        utype m = (utype)((stype)b < 0);                                   \
                                                                           \
        (void)a, (void)len;                                                \
        return (sq_vec)(((utype)b + m) ^ m);                               \
    }                                                                      \
    LANE(sign)                                                             \
    {                                                                      \
        utype m = (utype)((stype)b < 0);                                   \
                                                                           \
        (void)len;                                                         \
        return (sq_vec)((((utype)a + m) ^ m) & (utype)((stype)b != 0));    \
    }
LANE_SIGNS(pabsb, psignb, sq_v16u8, sq_v16s8)
LANE_SIGNS(pabsw, psignw, sq_v8u16, sq_v8s16)
LANE_SIGNS(pabsd, psignd, sq_v4u32, sq_v4s32)

/* --- products -------------------------------------------------------- */

/* A loop over n lanes of r, from x and y. */
#define LANE_LOOP(name, n, stmt)                                           \
    LANE(name)                                                             \
    {                                                                      \
        union sq_lanes x = sq_lanes(a), y = sq_lanes(b), r;                \
                                                                           \
        (void)len;                                                         \
        for (unsigned k = 0; k < n; k++)                                   \
            stmt;                                                          \
        return r.v;                                                        \
    }

static inline int16_t sat_sw(int32_t v)
{
    return (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
}

LANE_LOOP(pmulhw, 8, r.w[k] = (uint16_t)(x.sw[k] * y.sw[k] >> 16))
LANE_LOOP(pmulhuw, 8, r.w[k] = (uint16_t)((uint32_t)x.w[k] * y.w[k] >> 16))
LANE_LOOP(pmulhrsw, 8,
          r.w[k] = (uint16_t)(((x.sw[k] * y.sw[k] >> 14) + 1) >> 1))
LANE_LOOP(pmaddwd, 4,
          r.d[k] = (uint32_t)(x.sw[2 * k] * y.sw[2 * k]) +
                   (uint32_t)(x.sw[2 * k + 1] * y.sw[2 * k + 1]))
LANE_LOOP(pmaddubsw, 8,
          r.sw[k] = sat_sw(x.b[2 * k] * y.sb[2 * k] +
                           x.b[2 * k + 1] * y.sb[2 * k + 1]))

LANE(psadbw)
{
    union sq_lanes x = sq_lanes(a), y = sq_lanes(b), r;

    (void)len;
    for (unsigned h = 0; h < 2; h++) {
        uint32_t sum = 0;

        for (unsigned k = 8 * h; k < 8 * h + 8; k++)
            sum += (uint32_t)(x.b[k] > y.b[k] ? x.b[k] - y.b[k]
                                              : y.b[k] - x.b[k]);
        r.q[h] = sum;
    }
    return r.v;
}

/* --- across lanes ---------------------------------------------------- */

/* Sums or differences of neighbours: a's, then b's. */
#define LANE_PAIRS(name, width, field, type, expr)                         \
    LANE(name)                                                             \
    {                                                                      \
        union sq_lanes x = sq_lanes(a), y = sq_lanes(b), r = {{0}};        \
        unsigned half = len / (width) / 2;                                 \
                                                                           \
        for (unsigned k = 0; k < half; k++) {                              \
            type p = x.field[2 * k], q = x.field[2 * k + 1];               \
                                                                           \
            r.field[k] = expr;                                             \
            p = y.field[2 * k], q = y.field[2 * k + 1];                    \
            r.field[half + k] = expr;                                      \
        }                                                                  \
        return r.v;                                                        \
    }
LANE_PAIRS(phaddw, 2, w, uint16_t, (uint16_t)(p + q))
LANE_PAIRS(phaddd, 4, d, uint32_t, p + q)
LANE_PAIRS(phaddsw, 2, sw, int16_t, sat_sw(p + q))
LANE_PAIRS(phsubw, 2, w, uint16_t, (uint16_t)(p - q))
LANE_PAIRS(phsubd, 4, d, uint32_t, p - q)
LANE_PAIRS(phsubsw, 2, sw, int16_t, sat_sw(p - q))

/* Narrowing: a's lanes, then b's. */
#define LANE_PACK(name, width, from, to, expr)                             \
    LANE(name)                                                             \
    {                                                                      \
        union sq_lanes x = sq_lanes(a), y = sq_lanes(b), r = {{0}};        \
        unsigned n = len / (width);                                        \
                                                                           \
        for (unsigned k = 0; k < n; k++) {                                 \
            int32_t v = x.from[k];                                         \
                                                                           \
            r.to[k] = expr;                                                \
            v = y.from[k];                                                 \
            r.to[n + k] = expr;                                            \
        }                                                                  \
        return r.v;                                                        \
    }
LANE_PACK(packsswb, 2, sw, sb,
          (int8_t)(v < -128 ? -128 : v > 127 ? 127 : v))
LANE_PACK(packuswb, 2, sw, b, (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v))
LANE_PACK(packssdw, 4, sd, sw, sat_sw(v))
LANE_PACK(packusdw, 4, sd, w,
          (uint16_t)(v < 0 ? 0 : v > 65535 ? 65535 : v))

/* Interleaves the low or the high halves. Those of an 8-byte operand are
 * the halves of what the low 16-byte operation makes of it. */
#define LANE_UNPACK(low, high, type, low_lanes, high_lanes)                \
    LANE(low)                                                              \
    {                                                                      \
        (void)len;                                                         \
        return (sq_vec)__builtin_shufflevector((type)a, (type)b,           \
                                               LANE_LIST low_lanes);       \
    }                                                                      \
    LANE(high)                                                             \
    {                                                                      \
        if (len == 8)                                                      \
            return (sq_vec){lane_##low(a, b, len)[1], 0};                  \
        return (sq_vec)__builtin_shufflevector((type)a, (type)b,           \
                                               LANE_LIST high_lanes);      \
    }
#define LANE_LIST(...) __VA_ARGS__
LANE_UNPACK(punpcklbw, punpckhbw, sq_v16u8,
            (0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
            (8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31))
LANE_UNPACK(punpcklwd, punpckhwd, sq_v8u16, (0, 8, 1, 9, 2, 10, 3, 11),
            (4, 12, 5, 13, 6, 14, 7, 15))
LANE_UNPACK(punpckldq, punpckhdq, sq_v4u32, (0, 4, 1, 5), (2, 6, 3, 7))
LANE_UNPACK(punpcklqdq, punpckhqdq, sq_vec, (0, 2), (1, 3))

LANE(pshufb)
{
    union sq_lanes x = sq_lanes(a), y = sq_lanes(b), r = {{0}};

    for (unsigned k = 0; k < len; k++)
        r.b[k] = y.b[k] & 0x80 ? 0 : x.b[y.b[k] & (len - 1)];
    return r.v;
}

static inline unsigned __int128 lane_wide(sq_vec v)
{
    return (unsigned __int128)v[1] << 64 | v[0];
}

static inline sq_vec lane_from_wide(unsigned __int128 v)
{
    return (sq_vec){(uint64_t)v, (uint64_t)(v >> 64)};
}

/* Bytes imm.. of a:b, as one number twice as long. */
static inline sq_vec lane_palignr(sq_vec a, sq_vec b, unsigned imm,
                                  unsigned len)
{
    unsigned __int128 x = lane_wide(a), y = lane_wide(b);

    if (len == 8)
        y |= x << 64, x = 0;
    if (imm >= 32)
        return (sq_vec){0, 0};
    if (imm >= 16)
        return lane_from_wide(x >> (imm - 16) * 8);
    if (imm == 0)
        return lane_from_wide(y);
    return lane_from_wide(y >> imm * 8 | x << (128 - imm * 8));
}

/* The four words of q that imm selects. */
static inline uint64_t lane_words(uint64_t q, unsigned imm)
{
    uint64_t r = 0;

    for (unsigned k = 0; k < 4; k++)
        r |= (q >> (imm >> 2 * k & 3) * 16 & 0xffff) << 16 * k;
    return r;
}

/* The sign bits of the bytes, first byte lowest. */
static inline uint32_t lane_pmovmskb(sq_vec a, unsigned len)
{
    union sq_lanes x = sq_lanes(a);
    uint32_t r = 0;

    /* The product gathers bits 7, 15, .. 63 in the top byte. */
    for (unsigned h = 0; h < len / 8; h++)
        r |= (uint32_t)((x.q[h] >> 7 & 0x0101010101010101ull) *
                            0x0102040810204080ull >> 56) << 8 * h;
    return r;
}

/* --- shifts: the count is the low quadword of b ---------------------- */

#define LANE_SHIFT(name, type, elem, width, op)                            \
    LANE(name)                                                             \
    {                                                                      \
        uint64_t n = b[0];                                                 \
                                                                           \
        (void)len;                                                         \
        if (n >= (width))                                                  \
            return (sq_vec){0, 0};                                         \
        return (sq_vec)((type)a op (elem)n);                               \
    }
LANE_SHIFT(psllw, sq_v8u16, uint16_t, 16, <<)
LANE_SHIFT(pslld, sq_v4u32, uint32_t, 32, <<)
LANE_SHIFT(psllq, sq_vec, uint64_t, 64, <<)
LANE_SHIFT(psrlw, sq_v8u16, uint16_t, 16, >>)
LANE_SHIFT(psrld, sq_v4u32, uint32_t, 32, >>)
LANE_SHIFT(psrlq, sq_vec, uint64_t, 64, >>)

LANE(psraw)
{
    uint64_t n = b[0];

    (void)len;
    return (sq_vec)((sq_v8s16)a >> (int16_t)(n > 15 ? 15 : n));
}

LANE(psrad)
{
    uint64_t n = b[0];

    (void)len;
    return (sq_vec)((sq_v4s32)a >> (int32_t)(n > 31 ? 31 : n));
}

#endif
