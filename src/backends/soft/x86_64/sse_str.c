/* SPDX-License-Identifier: Apache-2.0 */
/* SSE4.2 string comparisons (SDM vol. 2, 4.1): PCMPESTRI, PCMPESTRM,
 * PCMPISTRI and PCMPISTRM. */
#include "backends/soft/x86_64/sse.h"

/* The immediate. */
enum {
    STR_WORDS = 0x01, STR_SIGNED = 0x02,
    STR_HOW = 0x0c, STR_ANY = 0x00, STR_RANGES = 0x04, STR_EACH = 0x08,
    STR_ORDERED = 0x0c,
    STR_NEGATE = 0x10, STR_MASKED = 0x20,
    STR_LAST = 0x40, /* index: of the last; mask: of whole elements */
};

/* One string: its elements, of which the first `len` are valid. */
struct text {
    int32_t at[16];
    unsigned len;
};

static void elements(struct text *t, sq_vec v, unsigned imm)
{
    union sq_lanes x = sq_lanes(v);

    for (unsigned k = 0; k < (imm & STR_WORDS ? 8u : 16u); k++) {
        if (imm & STR_WORDS)
            t->at[k] = imm & STR_SIGNED ? x.sw[k] : x.w[k];
        else
            t->at[k] = imm & STR_SIGNED ? x.sb[k] : x.b[k];
    }
}

/* Up to the first zero element. */
static unsigned implicit_len(const struct text *t, unsigned n)
{
    unsigned len = 0;

    while (len < n && t->at[len])
        len++;
    return len;
}

/* The magnitude of a register, saturated. */
static unsigned explicit_len(const struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i, unsigned reg,
                             unsigned n)
{
    bool w = c->code64 && i->osz & 1; /* REX.W or VEX.W */
    int64_t v = w ? (int64_t)RD(64, GPR_OFF(reg))
                  : (int32_t)RD(32, GPR_OFF(reg));
    uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    return magnitude < n ? (unsigned)magnitude : n;
}

/* Whether element j of b is in a, as a set or as pairs of bounds. */
static bool in_set(const struct text *a, int32_t v)
{
    for (unsigned k = 0; k < a->len; k++)
        if (a->at[k] == v)
            return true;
    return false;
}

static bool in_ranges(const struct text *a, int32_t v)
{
    for (unsigned k = 0; k + 1 < a->len; k += 2)
        if (a->at[k] <= v && v <= a->at[k + 1])
            return true;
    return false;
}

/* Whether a, as far as the register goes, is in b at j. */
static bool matches(const struct text *a, const struct text *b, unsigned j,
                    unsigned n)
{
    for (unsigned k = 0; k < a->len && j + k < n; k++)
        if (j + k >= b->len || a->at[k] != b->at[j + k])
            return false;
    return true;
}

static bool element_result(const struct text *a, const struct text *b,
                           unsigned j, unsigned n, unsigned imm)
{
    switch (imm & STR_HOW) {
    case STR_ANY: return j < b->len && in_set(a, b->at[j]);
    case STR_RANGES: return j < b->len && in_ranges(a, b->at[j]);
    case STR_EACH:
        return j < a->len ? j < b->len && a->at[j] == b->at[j]
                          : j >= b->len;
    default: return matches(a, b, j, n);
    }
}

/* The result bits, one for each element of b; sets the flags. */
static uint32_t compare(struct sq_x86_cpu *c, const struct text *a,
                        const struct text *b, unsigned n, unsigned imm)
{
    uint32_t r = 0;

    for (unsigned j = 0; j < n; j++)
        r |= (uint32_t)element_result(a, b, j, n, imm) << j;
    if (imm & STR_NEGATE)
        r ^= imm & STR_MASKED ? (1u << b->len) - 1 : (1u << n) - 1;
    sq_set_status(c, (r ? FL_CF : 0) | (b->len < n ? FL_ZF : 0) |
                         (a->len < n ? FL_SF : 0) | (r & 1 ? FL_OF : 0));
    return r;
}

static void put_index(struct sq_x86_cpu *c, uint32_t r, unsigned n,
                      unsigned imm)
{
    unsigned at = n;

    if (r)
        at = (unsigned)(imm & STR_LAST ? 31 - __builtin_clz(r)
                                       : __builtin_ctz(r));
    WR(32, GPR_OFF(R_CX), at);
}

static sq_vec mask_of(uint32_t r, unsigned n, unsigned imm)
{
    union sq_lanes v = {{r, 0}};

    if (imm & STR_LAST) {
        for (unsigned k = 0; k < n; k++) {
            uint16_t ones = r >> k & 1 ? 0xffff : 0;

            if (imm & STR_WORDS)
                v.w[k] = ones;
            else
                v.b[k] = (uint8_t)ones;
        }
    }
    return v.v;
}

static void put_mask(struct sq_x86_cpu *c, uint32_t r, unsigned n,
                     unsigned imm)
{
    sq_xmm_put(c, 0, mask_of(r, n, imm));
}

static void put_mask_vex(struct sq_x86_cpu *c, uint32_t r, unsigned n,
                         unsigned imm)
{
    sq_vex_put(c, 0, mask_of(r, n, imm));
}

typedef void put_fn(struct sq_x86_cpu *c, uint32_t r, unsigned n,
                    unsigned imm);

static __attribute__((noinline)) void
string_compare(struct sq_x86_cpu *c, const struct sq_x86_insn *i, sq_vec vb,
               bool explicit, put_fn *put)
{
    unsigned imm = (unsigned)i->imm, n = imm & STR_WORDS ? 8 : 16;
    struct text a, b;

    elements(&a, sq_xmm_get(c, i->reg), imm);
    elements(&b, vb, imm);
    a.len = explicit ? explicit_len(c, i, R_AX, n) : implicit_len(&a, n);
    b.len = explicit ? explicit_len(c, i, R_DX, n) : implicit_len(&b, n);
    put(c, compare(c, &a, &b, n, imm), n, imm);
}

#define STRING(name, explicit, put, put_vex)                               \
    STRING_FROM(name##_r, sq_sse_check, sq_xmm_get(c, i->rm), explicit,    \
                put)                                                       \
    STRING_FROM(name##_m, sq_sse_check, sq_sse_load_any(c, i), explicit,   \
                put)                                                       \
    STRING_FROM(v##name##_r, sq_vex_check, sq_xmm_get(c, i->rm), explicit, \
                put_vex)                                                   \
    STRING_FROM(v##name##_m, sq_vex_check, sq_sse_load_any(c, i),          \
                explicit, put_vex)                                         \
    FAM1(name, name##_r, name##_m)                                         \
    FAMW128(v##name, v##name##_r, v##name##_m)
#define STRING_FROM(name, check, source, explicit, put)                    \
    OP(name)                                                               \
    {                                                                      \
        check(c, i);                                                       \
        string_compare(c, i, source, explicit, put);                       \
        NEXT;                                                              \
    }
STRING(pcmpestrm, true, put_mask, put_mask_vex)
STRING(pcmpestri, true, put_index, put_index)
STRING(pcmpistrm, false, put_mask, put_mask_vex)
STRING(pcmpistri, false, put_index, put_index)
