/* SPDX-License-Identifier: Apache-2.0 */
/* Lazy status flags: struct sq_x86_flags explains the representation. */
#ifndef SQ_SOFT_X86_FLAGS_H
#define SQ_SOFT_X86_FLAGS_H

#include "backends/soft/x86_64/cpu.h"

#define SQ_SIGN 0x8000000000000000ull

static inline bool sq_cf(const struct sq_x86_cpu *c)
{
    return c->fl.cv >> 63;
}

static inline bool sq_zf(const struct sq_x86_cpu *c)
{
    return c->fl.zr == 0;
}

static inline bool sq_sf(const struct sq_x86_cpu *c)
{
    return c->fl.sp >> 63;
}

static inline bool sq_of(const struct sq_x86_cpu *c)
{
    return (c->fl.cv ^ c->fl.cv << 1) >> 63;
}

static inline bool sq_pf(const struct sq_x86_cpu *c)
{
    return !__builtin_parity((unsigned)c->fl.sp & 0xff);
}

static inline bool sq_af(const struct sq_x86_cpu *c)
{
    return c->fl.cv >> (67 - c->fl.width) & 1;
}

/* Condition codes 0..15 as instructions encode them (SDM vol. 1, B.1). */
static inline bool sq_cond(const struct sq_x86_cpu *c, unsigned cc)
{
    bool r;

    switch (cc >> 1) {
    case 0: r = sq_of(c); break;
    case 1: r = sq_cf(c); break;
    case 2: r = sq_zf(c); break;
    case 3: r = sq_cf(c) || sq_zf(c); break;
    case 4: r = sq_sf(c); break;
    case 5: r = sq_pf(c); break;
    case 6: r = sq_sf(c) ^ sq_of(c); break;
    default: r = sq_sf(c) != sq_of(c) || sq_zf(c); break;
    }
    return r ^ (cc & 1);
}

/* All six at once, in their RFLAGS places. */
static inline uint32_t sq_status(const struct sq_x86_cpu *c)
{
    return (sq_cf(c) ? FL_CF : 0) | (sq_pf(c) ? FL_PF : 0) |
           (sq_af(c) ? FL_AF : 0) | (sq_zf(c) ? FL_ZF : 0) |
           (sq_sf(c) ? FL_SF : 0) | (sq_of(c) ? FL_OF : 0);
}

static inline void sq_set_status(struct sq_x86_cpu *c, uint32_t f)
{
    bool cf = f & FL_CF, of = f & FL_OF;

    c->fl.zr = !(f & FL_ZF);
    c->fl.sp = (f & FL_SF ? SQ_SIGN : 0) | !(f & FL_PF);
    c->fl.width = 64;
    c->fl.cv = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62 |
               (f & FL_AF ? 8 : 0);
}

/* CF and OF as given, the rest from a result; AF cleared. */
static inline void sq_set_cf_of(struct sq_x86_cpu *c, bool cf, bool of)
{
    c->fl.cv = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62;
    c->fl.width = 64;
}

/* CF alone changes. */
static inline void sq_set_cf(struct sq_x86_cpu *c, bool cf)
{
    bool of = sq_of(c);
    uint64_t low = sq_af(c) ? 8 : 0;

    c->fl.cv = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62 | low;
    c->fl.width = 64;
}

/* ZF, SF and PF from a result of n bits. */
#define SQ_RESULT(c, n, r)                                                 \
    ((c)->fl.zr = (c)->fl.sp = (uint64_t)(int64_t)(int##n##_t)(r))

/* Flags of r = a + b (+ carry) and r = a - b (- borrow): the carry out of
 * bit k is the majority of the operands' and the inverted result's bits. */
#define SQ_FLAGS_ADD(c, n, a, b, r)                                        \
    do {                                                                   \
        uint##n##_t cv_ = (uint##n##_t)(((a) & (b)) | (((a) | (b)) & ~(r))); \
        SQ_RESULT(c, n, r);                                                \
        (c)->fl.cv = (uint64_t)cv_ << (64 - n);                            \
        (c)->fl.width = n;                                                 \
    } while (0)

#define SQ_FLAGS_SUB(c, n, a, b, r)                                        \
    do {                                                                   \
        uint##n##_t cv_ =                                                  \
            (uint##n##_t)((~(a) & (b)) | ((~(a) | (b)) & (r)));            \
        SQ_RESULT(c, n, r);                                                \
        (c)->fl.cv = (uint64_t)cv_ << (64 - n);                            \
        (c)->fl.width = n;                                                 \
    } while (0)

#define SQ_FLAGS_LOGIC(c, n, r)                                            \
    do {                                                                   \
        SQ_RESULT(c, n, r);                                                \
        (c)->fl.cv = 0;                                                    \
        (c)->fl.width = 64;                                                \
    } while (0)

/* RFLAGS as software sees it. */
static inline uint64_t sq_rflags(const struct sq_x86_cpu *c)
{
    return c->rflags | sq_status(c) | 2;
}

#endif
