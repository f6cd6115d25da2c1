/* SPDX-License-Identifier: Apache-2.0 */
/* AES-NI (FIPS 197), PCLMULQDQ and SHA (FIPS 180-4); SDM vol. 2 for how the
 * steps are cut into instructions. */
#include "backends/soft/x86_64/sse.h"

/* --- AES: the state is a column of four bytes for each doubleword ---- */

static const uint8_t sub_byte[256] = {
    0x63, 0x7c, 0x77, 0x7b, 0xf2, 0x6b, 0x6f, 0xc5, 0x30, 0x01, 0x67, 0x2b,
    0xfe, 0xd7, 0xab, 0x76, 0xca, 0x82, 0xc9, 0x7d, 0xfa, 0x59, 0x47, 0xf0,
    0xad, 0xd4, 0xa2, 0xaf, 0x9c, 0xa4, 0x72, 0xc0, 0xb7, 0xfd, 0x93, 0x26,
    0x36, 0x3f, 0xf7, 0xcc, 0x34, 0xa5, 0xe5, 0xf1, 0x71, 0xd8, 0x31, 0x15,
    0x04, 0xc7, 0x23, 0xc3, 0x18, 0x96, 0x05, 0x9a, 0x07, 0x12, 0x80, 0xe2,
    0xeb, 0x27, 0xb2, 0x75, 0x09, 0x83, 0x2c, 0x1a, 0x1b, 0x6e, 0x5a, 0xa0,
    0x52, 0x3b, 0xd6, 0xb3, 0x29, 0xe3, 0x2f, 0x84, 0x53, 0xd1, 0x00, 0xed,
    0x20, 0xfc, 0xb1, 0x5b, 0x6a, 0xcb, 0xbe, 0x39, 0x4a, 0x4c, 0x58, 0xcf,
    0xd0, 0xef, 0xaa, 0xfb, 0x43, 0x4d, 0x33, 0x85, 0x45, 0xf9, 0x02, 0x7f,
    0x50, 0x3c, 0x9f, 0xa8, 0x51, 0xa3, 0x40, 0x8f, 0x92, 0x9d, 0x38, 0xf5,
    0xbc, 0xb6, 0xda, 0x21, 0x10, 0xff, 0xf3, 0xd2, 0xcd, 0x0c, 0x13, 0xec,
    0x5f, 0x97, 0x44, 0x17, 0xc4, 0xa7, 0x7e, 0x3d, 0x64, 0x5d, 0x19, 0x73,
    0x60, 0x81, 0x4f, 0xdc, 0x22, 0x2a, 0x90, 0x88, 0x46, 0xee, 0xb8, 0x14,
    0xde, 0x5e, 0x0b, 0xdb, 0xe0, 0x32, 0x3a, 0x0a, 0x49, 0x06, 0x24, 0x5c,
    0xc2, 0xd3, 0xac, 0x62, 0x91, 0x95, 0xe4, 0x79, 0xe7, 0xc8, 0x37, 0x6d,
    0x8d, 0xd5, 0x4e, 0xa9, 0x6c, 0x56, 0xf4, 0xea, 0x65, 0x7a, 0xae, 0x08,
    0xba, 0x78, 0x25, 0x2e, 0x1c, 0xa6, 0xb4, 0xc6, 0xe8, 0xdd, 0x74, 0x1f,
    0x4b, 0xbd, 0x8b, 0x8a, 0x70, 0x3e, 0xb5, 0x66, 0x48, 0x03, 0xf6, 0x0e,
    0x61, 0x35, 0x57, 0xb9, 0x86, 0xc1, 0x1d, 0x9e, 0xe1, 0xf8, 0x98, 0x11,
    0x69, 0xd9, 0x8e, 0x94, 0x9b, 0x1e, 0x87, 0xe9, 0xce, 0x55, 0x28, 0xdf,
    0x8c, 0xa1, 0x89, 0x0d, 0xbf, 0xe6, 0x42, 0x68, 0x41, 0x99, 0x2d, 0x0f,
    0xb0, 0x54, 0xbb, 0x16,
};

static const uint8_t inv_sub_byte[256] = {
    0x52, 0x09, 0x6a, 0xd5, 0x30, 0x36, 0xa5, 0x38, 0xbf, 0x40, 0xa3, 0x9e,
    0x81, 0xf3, 0xd7, 0xfb, 0x7c, 0xe3, 0x39, 0x82, 0x9b, 0x2f, 0xff, 0x87,
    0x34, 0x8e, 0x43, 0x44, 0xc4, 0xde, 0xe9, 0xcb, 0x54, 0x7b, 0x94, 0x32,
    0xa6, 0xc2, 0x23, 0x3d, 0xee, 0x4c, 0x95, 0x0b, 0x42, 0xfa, 0xc3, 0x4e,
    0x08, 0x2e, 0xa1, 0x66, 0x28, 0xd9, 0x24, 0xb2, 0x76, 0x5b, 0xa2, 0x49,
    0x6d, 0x8b, 0xd1, 0x25, 0x72, 0xf8, 0xf6, 0x64, 0x86, 0x68, 0x98, 0x16,
    0xd4, 0xa4, 0x5c, 0xcc, 0x5d, 0x65, 0xb6, 0x92, 0x6c, 0x70, 0x48, 0x50,
    0xfd, 0xed, 0xb9, 0xda, 0x5e, 0x15, 0x46, 0x57, 0xa7, 0x8d, 0x9d, 0x84,
    0x90, 0xd8, 0xab, 0x00, 0x8c, 0xbc, 0xd3, 0x0a, 0xf7, 0xe4, 0x58, 0x05,
    0xb8, 0xb3, 0x45, 0x06, 0xd0, 0x2c, 0x1e, 0x8f, 0xca, 0x3f, 0x0f, 0x02,
    0xc1, 0xaf, 0xbd, 0x03, 0x01, 0x13, 0x8a, 0x6b, 0x3a, 0x91, 0x11, 0x41,
    0x4f, 0x67, 0xdc, 0xea, 0x97, 0xf2, 0xcf, 0xce, 0xf0, 0xb4, 0xe6, 0x73,
    0x96, 0xac, 0x74, 0x22, 0xe7, 0xad, 0x35, 0x85, 0xe2, 0xf9, 0x37, 0xe8,
    0x1c, 0x75, 0xdf, 0x6e, 0x47, 0xf1, 0x1a, 0x71, 0x1d, 0x29, 0xc5, 0x89,
    0x6f, 0xb7, 0x62, 0x0e, 0xaa, 0x18, 0xbe, 0x1b, 0xfc, 0x56, 0x3e, 0x4b,
    0xc6, 0xd2, 0x79, 0x20, 0x9a, 0xdb, 0xc0, 0xfe, 0x78, 0xcd, 0x5a, 0xf4,
    0x1f, 0xdd, 0xa8, 0x33, 0x88, 0x07, 0xc7, 0x31, 0xb1, 0x12, 0x10, 0x59,
    0x27, 0x80, 0xec, 0x5f, 0x60, 0x51, 0x7f, 0xa9, 0x19, 0xb5, 0x4a, 0x0d,
    0x2d, 0xe5, 0x7a, 0x9f, 0x93, 0xc9, 0x9c, 0xef, 0xa0, 0xe0, 0x3b, 0x4d,
    0xae, 0x2a, 0xf5, 0xb0, 0xc8, 0xeb, 0xbb, 0x3c, 0x83, 0x53, 0x99, 0x61,
    0x17, 0x2b, 0x04, 0x7e, 0xba, 0x77, 0xd6, 0x26, 0xe1, 0x69, 0x14, 0x63,
    0x55, 0x21, 0x0c, 0x7d,
};

/* ShiftRows and SubBytes, in either direction: row r of column k comes from
 * column k + r * step. */
static inline sq_vec shift_and_sub(sq_vec v, const uint8_t *box,
                                   unsigned step)
{
    union sq_lanes x = sq_lanes(v);
    sq_v4u32 r = {0};

    for (unsigned k = 0; k < 4; k++)
        r[k] = (uint32_t)box[x.b[4 * k]] |
               (uint32_t)box[x.b[4 * ((k + step) & 3) + 1]] << 8 |
               (uint32_t)box[x.b[4 * ((k + 2) & 3) + 2]] << 16 |
               (uint32_t)box[x.b[4 * ((k + 3 * step) & 3) + 3]] << 24;
    return (sq_vec)r;
}

static inline sq_vec encrypt_bytes(sq_vec v)
{
    return shift_and_sub(v, sub_byte, 1);
}

static inline sq_vec decrypt_bytes(sq_vec v)
{
    return shift_and_sub(v, inv_sub_byte, 3);
}

/* Each byte times two in the field. */
static inline sq_v4u32 twice(sq_v4u32 x)
{
    return (x & 0x7f7f7f7f) << 1 ^ (x >> 7 & 0x01010101) * 0x1b;
}

static inline sq_v4u32 rotate_right(sq_v4u32 x, unsigned n)
{
    return x >> n | x << (32 - n);
}

/* Byte 0 of a column becomes 2 b0 + 3 b1 + b2 + b3, and so on around. */
static inline sq_vec mix_columns(sq_vec v)
{
    sq_v4u32 x = (sq_v4u32)v, y = rotate_right(x, 8);

    return (sq_vec)(twice(x ^ y) ^ y ^ rotate_right(x ^ y, 16));
}

/* The inverse is MixColumns after byte 0 becomes 5 b0 + 4 b2, and so on. */
static inline sq_vec inv_mix_columns(sq_vec v)
{
    sq_v4u32 x = (sq_v4u32)v;

    x ^= twice(twice(x ^ rotate_right(x, 16)));
    return mix_columns((sq_vec)x);
}

static inline uint32_t sub_word(uint32_t v)
{
    return (uint32_t)sub_byte[v & 0xff] |
           (uint32_t)sub_byte[v >> 8 & 0xff] << 8 |
           (uint32_t)sub_byte[v >> 16 & 0xff] << 16 |
           (uint32_t)sub_byte[v >> 24] << 24;
}

static inline sq_vec key_assist(sq_vec v, uint32_t rcon)
{
    sq_v4u32 x = (sq_v4u32)v;
    uint32_t s1 = sub_word(x[1]), s3 = sub_word(x[3]);

    return (sq_vec)(sq_v4u32){s1, (s1 >> 8 | s1 << 24) ^ rcon, s3,
                              (s3 >> 8 | s3 << 24) ^ rcon};
}

AVX_OP128(aesenc, mix_columns(encrypt_bytes(a)) ^ b)
AVX_OP128(aesenclast, encrypt_bytes(a) ^ b)
AVX_OP128(aesdec, inv_mix_columns(decrypt_bytes(a)) ^ b)
AVX_OP128(aesdeclast, decrypt_bytes(a) ^ b)
AVX_OP128(aesimc, inv_mix_columns(b))
AVX_OP128(aeskeygenassist, key_assist(b, imm))

/* --- carry-less product ---------------------------------------------- */

/* With one operand bit in four, ordinary products have room for their
 * carries: no more than 15 terms meet in a place as long as one factor has
 * 15 bits. So x gives 60 bits; its top four are added one by one. */
static inline sq_vec carryless(uint64_t x, uint64_t y)
{
    const uint64_t every4 = 0x1111111111111111;
    unsigned __int128 r = 0;

    for (unsigned k = 0; k < 4; k++) {
        unsigned __int128 sum = 0;

        for (unsigned n = 0; n < 4; n++) {
            uint64_t p = x << 4 >> 4 & every4 << n;
            uint64_t q = y & every4 << ((k - n) & 3);

            sum ^= (unsigned __int128)p * q;
        }
        r |= sum & ((unsigned __int128)every4 << 64 | every4) << k;
    }
    for (unsigned k = 60; k < 64; k++)
        r ^= (unsigned __int128)(y & (0 - (x >> k & 1))) << k;
    return (sq_vec){(uint64_t)r, (uint64_t)(r >> 64)};
}

AVX_OP128(pclmulqdq, carryless(a[imm & 1], b[imm >> 4 & 1]))

/* --- SHA ------------------------------------------------------------- */

static inline uint32_t rol(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static inline uint32_t ror(uint32_t v, unsigned n)
{
    return v >> n | v << (32 - n);
}

/* Ch, Parity and Maj. */
static inline uint32_t choose(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (~x & z);
}

static inline uint32_t majority(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (x & z) ^ (y & z);
}

/* Four rounds: a is A..D from the top lane down, b the schedule with E in
 * the top lane's word. */
static inline sq_vec sha1_rounds(sq_vec va, sq_vec vb, unsigned which)
{
    static const uint32_t constant[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc,
                                         0xca62c1d6};
    sq_v4u32 x = (sq_v4u32)va, w = (sq_v4u32)vb;
    uint32_t a = x[3], b = x[2], c = x[1], d = x[0], e = 0;

    for (int k = 3; k >= 0; k--) {
        uint32_t f = which == 0   ? choose(b, c, d)
                     : which == 2 ? majority(b, c, d)
                                  : b ^ c ^ d;
        uint32_t t = f + rol(a, 5) + w[k] + e + constant[which];

        e = d;
        d = c;
        c = rol(b, 30);
        b = a;
        a = t;
    }
    return (sq_vec)(sq_v4u32){d, c, b, a};
}

static inline sq_vec sha1_next_e(sq_vec a, sq_vec b)
{
    sq_v4u32 x = (sq_v4u32)a, y = (sq_v4u32)b;

    y[3] += rol(x[3], 30);
    return (sq_vec)y;
}

static inline sq_vec sha1_schedule1(sq_vec a, sq_vec b)
{
    return a ^ (sq_vec){b[1], a[0]};
}

static inline sq_vec sha1_schedule2(sq_vec a, sq_vec b)
{
    sq_v4u32 x = (sq_v4u32)a, y = (sq_v4u32)b;
    uint32_t w16 = rol(x[3] ^ y[2], 1);

    return (sq_vec)(sq_v4u32){rol(x[0] ^ w16, 1), rol(x[1] ^ y[0], 1),
                              rol(x[2] ^ y[1], 1), w16};
}

/* Two rounds: a is C, D, G, H from the top lane down, b is A, B, E, F, and
 * wk the schedule with constants added. */
static inline sq_vec sha256_rounds(sq_vec va, sq_vec vb, sq_vec wk)
{
    sq_v4u32 x = (sq_v4u32)va, y = (sq_v4u32)vb, w = (sq_v4u32)wk;
    uint32_t a = y[3], b = y[2], c = x[3], d = x[2];
    uint32_t e = y[1], f = y[0], g = x[1], h = x[0];

    for (unsigned k = 0; k < 2; k++) {
        uint32_t t = choose(e, f, g) + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) +
                     w[k] + h;

        h = g;
        g = f;
        f = e;
        e = d + t;
        t += majority(a, b, c) + (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22));
        d = c;
        c = b;
        b = a;
        a = t;
    }
    return (sq_vec)(sq_v4u32){f, e, b, a};
}

static inline uint32_t sigma0(uint32_t v)
{
    return ror(v, 7) ^ ror(v, 18) ^ v >> 3;
}

static inline uint32_t sigma1(uint32_t v)
{
    return ror(v, 17) ^ ror(v, 19) ^ v >> 10;
}

static inline sq_vec sha256_schedule1(sq_vec a, sq_vec b)
{
    sq_v4u32 x = (sq_v4u32)a, y = (sq_v4u32)b;

    return (sq_vec)(sq_v4u32){x[0] + sigma0(x[1]), x[1] + sigma0(x[2]),
                              x[2] + sigma0(x[3]), x[3] + sigma0(y[0])};
}

static inline sq_vec sha256_schedule2(sq_vec a, sq_vec b)
{
    sq_v4u32 x = (sq_v4u32)a, y = (sq_v4u32)b;

    x[0] += sigma1(y[2]);
    x[1] += sigma1(y[3]);
    x[2] += sigma1(x[0]);
    x[3] += sigma1(x[1]);
    return (sq_vec)x;
}

SSE_OP(sha1rnds4, sha1_rounds(a, b, i->imm & 3))
SSE_OP(sha1nexte, sha1_next_e(a, b))
SSE_OP(sha1msg1, sha1_schedule1(a, b))
SSE_OP(sha1msg2, sha1_schedule2(a, b))
SSE_OP(sha256rnds2, sha256_rounds(a, b, sq_xmm_get(c, 0)))
SSE_OP(sha256msg1, sha256_schedule1(a, b))
SSE_OP(sha256msg2, sha256_schedule2(a, b))
