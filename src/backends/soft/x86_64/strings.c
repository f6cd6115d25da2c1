/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String instructions. REP MOVS and REP STOS go page by page with one copy
 * or fill each; everything else iterates. An iteration commits its
 * registers before the next one starts, so a fault leaves the instruction
 * exactly half done, as the architecture wants (SDM vol. 1, 7.3.9.3).
 */
#include "backends/soft/x86_64/debug.h"
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/strings.h"

/* The most elements that one go handles before it looks at interrupts. */
#define CHUNK 65536u

/* Step of rSI and rDI. */
static inline int64_t step(const struct sq_x86_cpu *c, unsigned len)
{
    return c->rflags & FL_DF ? -(int64_t)len : (int64_t)len;
}

static inline uint64_t masked(const struct sq_x86_insn *i, uint64_t v)
{
    return i->flags & IF_ASZ32 ? (uint32_t)v
         : i->flags & IF_ASZ16 ? (uint16_t)v
                               : v;
}

uint64_t sq_string_count(const struct sq_x86_cpu *c,
                         const struct sq_x86_insn *i)
{
    return masked(i, c->gpr[R_CX]);
}

static void set_reg(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                    unsigned r, uint64_t v)
{
    if (i->flags & IF_ASZ16)
        WR(16, GPR_OFF(r), v);
    else
        c->gpr[r] = masked(i, v);
}

void sq_string_advance(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned r, unsigned len)
{
    set_reg(c, i, r, c->gpr[r] + (uint64_t)step(c, len));
}

static void advance_by(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned r, int64_t by)
{
    set_reg(c, i, r, c->gpr[r] + (uint64_t)by);
}

void sq_string_set_count(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         uint64_t n)
{
    set_reg(c, i, R_CX, n);
}

uint64_t sq_string_src(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned len)
{
    uint64_t off = masked(i, c->gpr[R_SI]);

    if (SQ_LIKELY(c->code64))
        return off + c->segbase[i->seg];
    return sq_x86_linear(c, i, i->seg, off, len, ACCESS_R);
}

uint64_t sq_string_dst(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned len, enum sq_access access)
{
    uint64_t off = masked(i, c->gpr[R_DI]);

    if (SQ_LIKELY(c->code64))
        return off;
    return sq_x86_linear(c, i, SEG_ES, off, len, access);
}

void sq_string_again(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    /* Leave the block with RIP at this instruction: the run loop looks at
     * interrupts and comes back. */
    sq_x86_replay_reset(c);
    sq_x86_debug_repeats(c, i);
    sq_x86_stop_at(c, i);
}

/* How many elements fit between gva and its page's end in direction
 * `down`; at least one if the element itself does not cross. */
static uint64_t room(uint64_t gva, unsigned len, bool down)
{
    uint64_t off = gva & 0xfff;

    if (down)
        return off + len > 4096 ? 0 : off / len + 1;
    return (4096 - off) / len;
}

/* Who watches an access or a turn wants to see each. */
static bool one_by_one(const struct sq_x86_cpu *c, uint64_t gva)
{
    return c->debug.data && sq_x86_debug_on_page(c, c->debug.data, gva);
}

/* Turns are steps. */
static bool turn_by_turn(const struct sq_x86_cpu *c)
{
    return c->rflags & FL_TF || sq_x86_stepping(c);
}

static inline uint64_t min64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One MOVS. */
static void movs_one(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     unsigned len)
{
    uint8_t buf[8];
    uint64_t src = sq_string_src(c, i, len);
    uint64_t dst = sq_string_dst(c, i, len, ACCESS_W);

    sq_ld_bytes(c, i, src, buf, len);
    sq_st_bytes(c, i, dst, buf, len);
    sq_string_advance(c, i, R_SI, len);
    sq_string_advance(c, i, R_DI, len);
}

/* Copies like a loop of elements going up would: if the destination starts
 * inside the source, the first bytes repeat. */
static void copy_up(uint8_t *dst, const uint8_t *src, uint64_t n,
                    unsigned len)
{
    if (dst <= src || (uint64_t)(dst - src) >= n) {
        memmove(dst, src, n);
        return;
    }
    for (uint64_t k = 0; k < n; k += len) {
        uint8_t buf[8];

        memcpy(buf, src + k, len);
        memcpy(dst + k, buf, len);
    }
}

/* As many MOVS as stay on one source and one destination page. Returns the
 * number done, 0 when the element path has to do one. */
static uint64_t movs_page(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          unsigned len, uint64_t n)
{
    bool down = c->rflags & FL_DF;
    uint64_t src, dst;
    uint8_t *to;
    const uint8_t *from;

    if (!c->code64 || down)
        return 0;
    src = sq_string_src(c, i, len);
    dst = sq_string_dst(c, i, len, ACCESS_W);
    n = min64(n, min64(room(src, len, false), room(dst, len, false)));
    if (n < 2 || one_by_one(c, src) || one_by_one(c, dst))
        return 0;
    if (i->flags & IF_ASZ32 && (src + n * len > 1ull << 32 ||
                                dst + n * len > 1ull << 32))
        return 0;
    /* The first fill may push the other entry out of the TLB, but not out
     * of the host's address space: the pointers stay good. */
    from = sq_mem_ptr(c, i, src, len, false);
    to = sq_mem_ptr(c, i, dst, len, true);
    if (!from || !to)
        return 0;
    copy_up(to, from, n * len, len);
    advance_by(c, i, R_SI, (int64_t)(n * len));
    advance_by(c, i, R_DI, (int64_t)(n * len));
    return n;
}

static void stos_one(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     unsigned len)
{
    uint64_t dst = sq_string_dst(c, i, len, ACCESS_W);

    sq_st_bytes(c, i, dst, &c->gpr[R_AX], len);
    sq_string_advance(c, i, R_DI, len);
}

static uint64_t stos_page(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          unsigned len, uint64_t n)
{
    uint64_t dst, v = c->gpr[R_AX];
    uint8_t *to;

    if (!c->code64 || c->rflags & FL_DF)
        return 0;
    dst = sq_string_dst(c, i, len, ACCESS_W);
    n = min64(n, room(dst, len, false));
    if (n < 2 || (i->flags & IF_ASZ32 && dst + n * len > 1ull << 32) ||
        one_by_one(c, dst))
        return 0;
    to = sq_mem_ptr(c, i, dst, len, true);
    if (!to)
        return 0;
    if (len == 1 || v << (64 - 8 * len) == 0)
        memset(to, (uint8_t)v, n * len);
    else
        for (uint64_t k = 0; k < n; k++)
            memcpy(to + k * len, &v, len);
    advance_by(c, i, R_DI, (int64_t)(n * len));
    return n;
}

typedef void one_fn(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                    unsigned len);
typedef uint64_t page_fn(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         unsigned len, uint64_t n);

/* REP: until rCX is zero; false when it stopped early to look around. */
static bool rep(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                unsigned len, one_fn *one, page_fn *page)
{
    uint64_t budget = CHUNK;
    bool each = turn_by_turn(c);

    for (;;) {
        uint64_t n = sq_string_count(c, i), done = 0;

        if (!n)
            return true;
        if (!budget)
            return false;
        if (page && !each)
            done = page(c, i, len, min64(n, budget));
        if (!done) {
            one(c, i, len);
            sq_x86_replay_reset(c);
            done = 1;
        }
        sq_string_set_count(c, i, n - done);
        budget -= min64(budget, done);
        if (SQ_UNLIKELY(each || c->debug.hits) && n != done)
            return false;
        /* Our own code may have been overwritten. */
        if (SQ_UNLIKELY(!sq_block_fresh(c->block)) && n != done)
            return false;
        if (SQ_UNLIKELY(atomic_load_explicit(&c->attn,
                                             memory_order_relaxed)) &&
            n != done)
            return false;
    }
}

#define MOVE_OP(op, page)                                                  \
    static void op(struct sq_x86_cpu *c, const struct sq_x86_insn *i,      \
                   unsigned len)                                           \
    {                                                                      \
        if (!(i->flags & (IF_REP | IF_REPNE)))                             \
            op##_one(c, i, len);                                           \
        else if (!rep(c, i, len, op##_one, page))                          \
            sq_string_again(c, i);                                         \
    }
MOVE_OP(movs, movs_page)
MOVE_OP(stos, stos_page)

static void lods_one(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     unsigned len)
{
    uint64_t src = sq_string_src(c, i, len);

    switch (len) {
    case 1: WR(8, 0, LD(8, src)); break;
    case 2: WR(16, 0, LD(16, src)); break;
    case 4: WR(32, 0, LD(32, src)); break;
    default: WR(64, 0, LD(64, src)); break;
    }
    sq_string_advance(c, i, R_SI, len);
}
MOVE_OP(lods, NULL)

/* --- comparisons ----------------------------------------------------- */

static void compare(struct sq_x86_cpu *c, uint64_t a, uint64_t b,
                    unsigned len)
{
    switch (len) {
    case 1: {
        uint8_t x = (uint8_t)a, y = (uint8_t)b, r = (uint8_t)(x - y);

        SQ_FLAGS_SUB(c, 8, x, y, r);
        break;
    }
    case 2: {
        uint16_t x = (uint16_t)a, y = (uint16_t)b, r = (uint16_t)(x - y);

        SQ_FLAGS_SUB(c, 16, x, y, r);
        break;
    }
    case 4: {
        uint32_t x = (uint32_t)a, y = (uint32_t)b, r = x - y;

        SQ_FLAGS_SUB(c, 32, x, y, r);
        break;
    }
    default: {
        uint64_t r = a - b;

        SQ_FLAGS_SUB(c, 64, a, b, r);
    }
    }
}

static void cmps_one(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     unsigned len)
{
    uint64_t a = 0, b = 0;
    uint64_t src = sq_string_src(c, i, len);
    uint64_t dst = sq_string_dst(c, i, len, ACCESS_R);

    sq_ld_bytes(c, i, src, &a, len);
    sq_ld_bytes(c, i, dst, &b, len);
    compare(c, a, b, len);
    sq_string_advance(c, i, R_SI, len);
    sq_string_advance(c, i, R_DI, len);
}

static void scas_one(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     unsigned len)
{
    uint64_t b = 0;
    uint64_t dst = sq_string_dst(c, i, len, ACCESS_R);

    sq_ld_bytes(c, i, dst, &b, len);
    compare(c, c->gpr[R_AX], b, len);
    sq_string_advance(c, i, R_DI, len);
}

/* REPE goes on while equal, REPNE while not. */
static bool rep_compare(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        unsigned len, one_fn *one)
{
    bool want = i->flags & IF_REP, each = turn_by_turn(c);

    for (uint64_t budget = CHUNK;; budget--) {
        uint64_t n = sq_string_count(c, i);

        if (!n)
            return true;
        if (!budget ||
            (budget != CHUNK &&
             atomic_load_explicit(&c->attn, memory_order_relaxed)))
            return false;
        one(c, i, len);
        sq_x86_replay_reset(c);
        sq_string_set_count(c, i, n - 1);
        if (sq_zf(c) != want)
            return true;
        if (SQ_UNLIKELY(each || c->debug.hits) && n > 1)
            return false;
    }
}

#define COMPARE_OP(op)                                                     \
    static void op(struct sq_x86_cpu *c, const struct sq_x86_insn *i,      \
                   unsigned len)                                           \
    {                                                                      \
        if (!(i->flags & (IF_REP | IF_REPNE)))                             \
            op##_one(c, i, len);                                           \
        else if (!rep_compare(c, i, len, op##_one))                        \
            sq_string_again(c, i);                                         \
    }
COMPARE_OP(cmps)
COMPARE_OP(scas)

#define STRING_SIZED(n)                                                    \
    OP(movs##n) { movs(c, i, n / 8); NEXT; }                               \
    OP(stos##n) { stos(c, i, n / 8); NEXT; }                               \
    OP(lods##n) { lods(c, i, n / 8); NEXT; }                               \
    OP(cmps##n) { cmps(c, i, n / 8); NEXT; }                               \
    OP(scas##n) { scas(c, i, n / 8); NEXT; }
EACH_SIZE(STRING_SIZED)
FAMZ(movs, movs)
FAMZ(stos, stos)
FAMZ(lods, lods)
FAMZ(cmps, cmps)
FAMZ(scas, scas)
