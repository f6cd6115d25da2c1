/* SPDX-License-Identifier: Apache-2.0 */
#include "isa_state.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <stdlib.h>
#include <sys/auxv.h>

/* --- values --------------------------------------------------------------- */

static uint64_t number(struct isa_rng *r)
{
    uint64_t v = isa_random(r);
    unsigned k = (unsigned)(v >> 58);

    switch (isa_below(r, 10)) {
    case 0: return (uint64_t)((int64_t)v >> 60);    /* -8..7 */
    case 1: return 1ull << k;
    case 2: return (1ull << k) - 1;
    case 3: return ~(1ull << k);
    case 4: return (uint64_t)(int64_t)(int8_t)v;
    case 5: return (uint64_t)(int64_t)(int16_t)v;
    case 6: return (uint64_t)(int64_t)(int32_t)v;
    case 7: return (uint32_t)v;
    default: return v;
    }
}

static uint32_t float32(struct isa_rng *r)
{
    static const uint32_t special[] = {
        0, 0x80000000u, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000u,
        0x7fc00000, 0xffc00000u, 0x7f800001, 0xff812345u, 1, 0x80000001u,
        0x007fffff, 0x00800000, 0x7f7fffff, 0xff7fffffu, 0x4f000000,
        0xcf000000u, 0x4effffff, 0x5f000000, 0xdf000000u, 0x3f000000,
        0x3fc00000, 0x40200000, 0x7fffffff};
    uint32_t v = (uint32_t)isa_random(r);

    switch (isa_below(r, 4)) {
    case 0: return special[isa_below(r, SQ_ARRAY_LEN(special))];
    case 1: return v;
    case 2: /* near 1, few bits */
        return (v & 0x80780000u) + 0x3c000000u;
    default: return (v & 0x83ffffffu) + 0x3c000000u;
    }
}

static uint64_t float64(struct isa_rng *r)
{
    static const uint64_t special[] = {
        0, 1ull << 63, 0x3ffull << 52, 0xbffull << 52, 0x7ffull << 52,
        0xfffull << 52, 0x7ff8ull << 48, 0xfff8ull << 48, 0x7ff0000000000001u,
        0xfff4000000000000u, 1, 0x000fffffffffffffu, 1ull << 52,
        0x7fefffffffffffffu, 0x41e0000000000000u, 0xc1e0000000000000u,
        0x41dfffffffe00000u, 0x43e0000000000000u, 0xc3e0000000000000u,
        0x3fe0000000000000u, 0x3ff8000000000000u, 0x36a0000000000000u,
        0x47efffffefffffffu, 0x380fffffffffffffu, 0x7fffffffffffffffu};
    uint64_t v = isa_random(r);

    switch (isa_below(r, 4)) {
    case 0: return special[isa_below(r, SQ_ARRAY_LEN(special))];
    case 1: return v;
    case 2: return (v & 0x8070000000000000u) + 0x3fc0000000000000u;
    default: return (v & 0x807fffffffffffffu) + 0x3fc0000000000000u;
    }
}

static void float80(struct isa_rng *r, uint64_t *sig, uint16_t *se)
{
    static const uint16_t exponent[] = {0, 0, 1, 0x7fff, 0x7fff, 0x7ffe,
                                        0x3fff, 0x3ffe, 0x4000, 0x403e};
    static const uint64_t mantissa[] = {
        1ull << 63, 0, 3ull << 62, 0xa000000000000000u, 0x8000000000000001u,
        UINT64_MAX, 0x7fffffffffffffffu, 1};

    *sig = isa_random(r) | 1ull << 63;
    *se = (uint16_t)isa_random(r);
    if (isa_percent(r, 60)) /* around 1 */
        *se = (uint16_t)((*se & 0x8000) + 0x3fff - 24 + isa_below(r, 48));
    if (isa_percent(r, 15))
        *se = exponent[isa_below(r, SQ_ARRAY_LEN(exponent))] |
              (*se & 0x8000);
    if (isa_percent(r, 20))
        *sig = mantissa[isa_below(r, SQ_ARRAY_LEN(mantissa))];
    else if (isa_percent(r, 25))
        *sig &= UINT64_MAX << isa_below(r, 64);
    else if (isa_percent(r, 3))
        *sig = isa_random(r);
    if (!(*se & 0x7fff) && isa_percent(r, 80))
        *sig &= ~(1ull << 63);
}

/* 16 bytes of some kind that some instruction finds meaning in. */
static void chunk(struct isa_rng *r, void *to)
{
    uint64_t q[2] = {isa_random(r), isa_random(r)};
    uint16_t se;

    switch (isa_below(r, 8)) {
    case 0:
    case 1:
        q[0] = float32(r) | (uint64_t)float32(r) << 32;
        q[1] = float32(r) | (uint64_t)float32(r) << 32;
        break;
    case 2:
    case 3:
        q[0] = float64(r);
        q[1] = float64(r);
        break;
    case 4:
        float80(r, &q[0], &se);
        q[1] = se;
        break;
    case 5: /* packed decimal */
        for (unsigned k = 0; k < 16; k++) {
            q[0] = q[0] << 4 | isa_below(r, 10);
            q[1] = q[1] << 4 | isa_below(r, 10);
        }
        break;
    case 6:
        q[0] = number(r);
        q[1] = number(r);
        break;
    default: break;
    }
    memcpy(to, q, 16);
}

/* Fresh memory contents are cut from here. */
#define POOL_LEN (256u << 10)
static uint8_t *pool;

bool isa_state_init(uint64_t seed)
{
    struct isa_rng r = {seed ^ 0x5bd1e995};

    pool = malloc(POOL_LEN);
    for (unsigned k = 0; pool && k < POOL_LEN; k += 16)
        chunk(&r, pool + k);
    return pool != NULL;
}

/* --- plans ---------------------------------------------------------------- */

static bool fix(struct isa_setup *s, unsigned reg, uint64_t v)
{
    if (s->fixed >> reg & 1)
        return s->gpr[reg] == v;
    s->fixed |= (uint16_t)(1u << reg);
    s->gpr[reg] = v;
    return true;
}

static bool is_fixed(const struct isa_setup *s, unsigned reg)
{
    return s->fixed >> reg & 1;
}

/* Where a memory operand is to be. */
static uint64_t pick_target(const struct isa_form *f, bool locked,
                            struct isa_rng *r)
{
    const uint64_t middle = ISA_ARENA + 4096;
    uint64_t t = middle - 768 + isa_below(r, 1024);

    /* A locked access that crosses a cache line may stop the machine. */
    locked |= f->uses & (IS_LOCKED | USES_BIT_OFFSET | IS_ALIGNED);
    if (isa_percent(r, 3)) {
        if (locked)
            return ISA_ARENA + ISA_ARENA_LEN + 16 * isa_below(r, 16);
        return isa_percent(r, 50)
                   ? ISA_ARENA + ISA_ARENA_LEN - isa_below(r, 20)
                   : ISA_ARENA - isa_below(r, 20);
    }
    if (locked)
        return t & ~15ull;
    if (isa_percent(r, 10))
        return middle - isa_below(r, 18);
    return isa_percent(r, 75) ? t & ~15ull : t;
}

/* The inverse of an odd number modulo 2^64. */
static uint64_t inverse(uint64_t n)
{
    uint64_t x = n;

    for (unsigned k = 0; k < 5; k++)
        x *= 2 - n * x;
    return x;
}

static void patch_disp(struct isa_code *code_, uint64_t v)
{
    uint32_t d = (uint32_t)v;

    memcpy(code_->bytes + code_->disp_at, &d, 4);
}

/* Gives base and index registers values so that the operand is at t. */
static bool aim(const struct isa_form *f, struct isa_code *code_,
                const struct sq_x86_insn *i, struct isa_setup *s,
                struct isa_rng *r)
{
    bool a32 = i->flags & IF_ASZ32;
    bool locked = i->flags & IF_LOCK;
    uint64_t t = pick_target(f, locked, r), d = (uint64_t)(int64_t)i->disp;
    unsigned base = i->base / 8, index = i->index / 8;
    uint64_t segbase = i->seg == SEG_FS   ? isa_native_fs_base()
                       : i->seg == SEG_GS ? ISA_GS_BASE
                                          : 0;
    uint64_t rest, scale = 1ull << i->scale;

    if (f->row->form == FORM_VSIB) {
        s->vsib = i->index;
        s->vsib_scale = i->scale;
        s->vsib_len = f->opcode[2] & 1 ? 8 : 4;
        index = SQ_ZERO;
    }
    if (a32 && i->seg == SEG_FS)
        return false;
    s->ea = t;
    t -= segbase;
    if (base == SQ_RIP) {
        d = t - (s->rip + code_->len);
        if ((int64_t)d != (int32_t)d)
            return false;
        patch_disp(code_, d);
        return true;
    }
    if (base == SQ_ZERO && index == SQ_ZERO) {
        if ((int64_t)t != (int32_t)t)
            return false;
        patch_disp(code_, t);
        return true;
    }
    if (base == index) {
        if (is_fixed(s, base))
            return false;
        rest = t - d;
        if (i->scale == 0) {
            if (rest & 1)
                return false;
            return fix(s, base, rest / 2);
        }
        return fix(s, base, rest * inverse(1 + scale));
    }
    if (base != SQ_ZERO && !is_fixed(s, base)) {
        uint64_t x = number(r);

        if (index != SQ_ZERO) {
            if (is_fixed(s, index))
                x = s->gpr[index];
            fix(s, index, x);
            rest = t - d - (x << i->scale);
        } else {
            rest = t - d;
        }
        if (a32) /* the upper half does not count */
            rest = (uint32_t)rest | (isa_random(r) & ~0xffffffffull);
        return fix(s, base, rest);
    }
    rest = t - d - (base == SQ_ZERO ? 0 : s->gpr[base]);
    if (index != SQ_ZERO && !is_fixed(s, index)) {
        if (rest & (scale - 1))
            return false;
        rest >>= i->scale;
        if (a32)
            rest = (uint32_t)rest;
        return fix(s, index, rest);
    }
    if (code_->disp_len != 4)
        return false;
    d = t - (base == SQ_ZERO ? 0 : s->gpr[base]) -
        (index == SQ_ZERO ? 0 : s->gpr[index] << i->scale);
    if ((int64_t)d != (int32_t)d)
        return false;
    patch_disp(code_, d);
    return true;
}

static bool plan_strings(const struct isa_code *code_,
                         const struct sq_x86_insn *i, struct isa_setup *s,
                         struct isa_rng *r)
{
    const uint64_t middle = ISA_ARENA + 4096;
    bool a32 = i->flags & IF_ASZ32;
    uint64_t at[2], segbase = 0;

    if (i->seg == SEG_FS)
        segbase = isa_native_fs_base();
    if (i->seg == SEG_GS)
        segbase = ISA_GS_BASE;
    if (a32 && i->seg == SEG_FS)
        return false;
    for (unsigned k = 0; k < 2; k++) {
        at[k] = middle - 200 + isa_below(r, 400);
        if (isa_percent(r, 50))
            at[k] &= ~7ull;
        if (isa_percent(r, 2))
            at[k] = ISA_ARENA + (isa_percent(r, 50) ? 30u : ISA_ARENA_LEN - 30);
    }
    if (isa_percent(r, 30)) /* overlapping */
        at[1] = at[0] + isa_below(r, 17) - 8;
    at[0] -= segbase;
    if (a32) {
        at[0] = (uint32_t)at[0] | (isa_random(r) & ~0xffffffffull);
        at[1] |= isa_random(r) & ~0xffffffffull;
    }
    fix(s, R_SI, at[0]);
    fix(s, R_DI, at[1]);
    if (code_->repeats)
        fix(s, R_CX, isa_below(r, 25) |
                         (a32 ? isa_random(r) & ~0xffffffffull : 0));
    return true;
}

static bool plan_branch(const struct isa_form *f, struct isa_code *code_,
                        unsigned slot, struct isa_setup *s,
                        const struct sq_x86_insn *i, struct isa_rng *r)
{
    uint64_t pad = isa_native_pad(slot, isa_below(r, 2 * ISA_PADS));

    if (f->uses & IS_BRANCH) {
        int64_t d = (int64_t)(pad - (s->rip + code_->len));

        memcpy(code_->bytes + code_->imm_at, &d, code_->imm_len);
    }
    if (f->uses & IS_INDIRECT && !f->mem)
        return i->rm != R_SP * 8 && fix(s, i->rm / 8, pad);
    s->poke = pad;
    return true;
}

static bool decode(const struct isa_form *f, const struct isa_code *code_,
                   struct sq_x86_insn *i)
{
    struct sq_decode_in in = {.bytes = code_->bytes, .avail = code_->len,
                              .mode = MODE_64};
    const struct sq_x86_row *row = NULL;

    return sq_x86_decode(&in, i, &row) == DECODE_OK && row == f->row &&
           i->len == code_->len && i->osz == f->osz;
}

bool isa_state_plan(const struct isa_form *f, struct isa_code *code_,
                    unsigned slot, struct isa_rng *r, struct isa_setup *s,
                    struct sq_x86_insn *i)
{
    const uint64_t middle = ISA_ARENA + 4096;
    uint64_t stack = middle - 256 + isa_below(r, 512);
    uint64_t segbase;

    if (!decode(f, code_, i))
        return false;
    memset(s, 0, sizeof(*s));
    s->vsib = -1;
    s->rip = isa_native_place(slot, isa_below(r, 8));
    if (isa_percent(r, 80))
        stack &= ~7ull;
    if (isa_percent(r, 2))
        stack = ISA_ARENA + (isa_percent(r, 50) ? 4u : ISA_ARENA_LEN - 4);
    if (f->uses & (USES_STACK | IS_RETURN | USES_RBP) ||
        (f->uses & IS_INDIRECT && !strcmp(f->row->name, "call")))
        fix(s, R_SP, stack);
    if (f->uses & USES_RBP)
        fix(s, R_BP, middle - 128 + isa_below(r, 256));
    segbase = i->seg == SEG_FS   ? isa_native_fs_base()
              : i->seg == SEG_GS ? ISA_GS_BASE
                                 : 0;
    if (segbase > UINT32_MAX && i->flags & IF_ASZ32 &&
        (f->mem || f->imm == IMM_MOFFS ||
         f->uses & (USES_STRINGS | USES_XLAT | USES_MASKMOV)))
        return false;
    if (f->uses & USES_STRINGS && !plan_strings(code_, i, s, r))
        return false;
    if (f->uses & USES_XLAT)
        fix(s, R_BX, middle - 128 - segbase);
    if (f->uses & USES_MASKMOV)
        fix(s, R_DI, middle - 24 + isa_below(r, 48) - segbase);
    if (f->uses & (IS_BRANCH | IS_INDIRECT | IS_RETURN) &&
        !plan_branch(f, code_, slot, s, i, r))
        return false;
    if (f->uses & USES_BIT_OFFSET)
        fix(s, i->reg / 8, (uint64_t)(int64_t)((int)isa_below(r, 2047) -
                                               1024));
    if (f->mem && !aim(f, code_, i, s, r))
        return false;
    if (f->imm == IMM_MOFFS) {
        uint64_t t = pick_target(f, false, r) - segbase;

        memcpy(code_->bytes + code_->imm_at, &t, code_->imm_len);
    }
    if (f->row->form == FORM_I16I8 && isa_percent(r, 90))
        code_->bytes[code_->imm_at + 1] = 0; /* ENTER: a small frame */
    if (!decode(f, code_, i))
        return false;
    if (s->poke) {
        s->poke_gva = f->uses & IS_RETURN          ? s->gpr[R_SP]
                      : f->uses & IS_INDIRECT && f->mem ? s->ea
                                                        : 0;
    }
    return true;
}

/* --- states --------------------------------------------------------------- */

static void make_fx(const struct isa_form *f, struct isa_rng *r,
                    struct isa_fx *fx)
{
    bool usual = !(f->uses & IS_FLOAT) || isa_percent(r, 50);

    memset(fx, 0, 32);
    fx->fcw = 0x37f;
    fx->mxcsr = 0x1f80;
    fx->ftw = 0xff;
    if (!usual) {
        uint64_t v = isa_random(r);

        fx->mxcsr = (uint32_t)(v & 0xe07f) | 0x1f80;
        fx->fcw = (uint16_t)((v >> 16 & 0x1f00) | 0x7f);
        if (isa_percent(r, 30)) {
            fx->mxcsr = (uint32_t)v & 0xffff;
            fx->fcw = (uint16_t)((v >> 16 & 0x1f3f) | 0x40);
        }
        if (isa_percent(r, 70))
            fx->mxcsr &= ~0x3fu;
        fx->fsw = (uint16_t)(v >> 32 & 0x7f00);
        if (isa_percent(r, 30))
            fx->fsw |= v >> 48 & (isa_percent(r, 20) ? 0x7f : fx->fcw & 0x7f);
        if (isa_is_mmx_source_in_memory(f))
            fx->fcw |= 0x3f; /* is a pending exception noticed? */
        if (fx->fsw & ~fx->fcw & 0x3f)
            fx->fsw |= 0x8080;
        if (isa_percent(r, 50))
            fx->ftw = isa_percent(r, 30) ? 0 : (uint8_t)(v >> 56);
    } else if (isa_percent(r, 50)) {
        fx->ftw = 0x7f; /* room for one */
    }
    for (unsigned k = 0; k < 8; k++)
        float80(r, &fx->st[k].sig, &fx->st[k].se);
    for (unsigned k = 0; k < 16; k++)
        memcpy(&fx->xmm[k], pool + 16 * isa_below(r, POOL_LEN / 16), 16);
}

/* Upper halves, and the indices of a gather: few far away. */
static void make_ymm(const struct isa_setup *s, struct isa_rng *r,
                     struct isa_regs *in)
{
    memset(in->ymmh, 0, sizeof(in->ymmh));
    if (!isa_native_has_ymm())
        return;
    for (unsigned k = 0; k < 16; k++)
        memcpy(in->ymmh[k], pool + 16 * isa_below(r, POOL_LEN / 16), 16);
    for (unsigned k = 0; s->vsib >= 0 && k < 32; k += s->vsib_len) {
        int64_t v = (int64_t)isa_below(r, 512) - 256;
        uint8_t *to = k < 16 ? in->fx.xmm[s->vsib].b + k
                             : (uint8_t *)in->ymmh[s->vsib] + k - 16;

        v = v * (1 << (3 - s->vsib_scale)) / 8;
        memcpy(to, &v, s->vsib_len);
    }
}

static void make_flags(struct isa_setup *s, struct isa_rng *r,
                       struct isa_regs *in)
{
    uint64_t v = isa_random(r);

    in->rflags = FL_IF | 2;
    if (v & 0x700000 ? 0 : 1)
        in->rflags |= FL_DF;
    if (!(v & 0xf000000))
        in->rflags |= v >> 40 & (FL_ID | FL_NT);
    s->lazy = v & 1;
    if (!s->lazy) {
        in->rflags |= v >> 8 & FL_STATUS;
        return;
    }
    s->fl.width = (uint8_t)(8u << (v >> 1 & 3));
    s->fl.cv = isa_random(r) << (64 - s->fl.width);
    s->fl.zr = v & 8 ? 0 : v;
    s->fl.sp = isa_random(r);
    in->rflags |= isa_status_of(&s->fl);
}

/* So that not nearly all divisions overflow. */
static void make_dividend(const struct isa_form *f, struct isa_rng *r,
                          struct isa_regs *in)
{
    unsigned bits = 8u << f->osz;

    if (isa_percent(r, 15))
        return;
    if (f->osz == 0) {
        in->gpr[R_AX] = (in->gpr[R_AX] & ~0xffffull) |
                        (isa_percent(r, 50)
                             ? (uint8_t)in->gpr[R_AX]
                             : (uint16_t)(int16_t)(int8_t)in->gpr[R_AX]);
        return;
    }
    in->gpr[R_DX] = isa_percent(r, 50) ? isa_below(r, 4)
                    : in->gpr[R_AX] >> (bits - 1) & 1 ? UINT64_MAX
                                                      : 0;
}

void isa_memory_tidy(const struct isa_form *f, const struct isa_setup *s)
{
    /* MXCSR_MASK: AMD's has bit 17 */
    if (!strcmp(f->row->name, "fxsave"))
        isa_memory_clear(s->ea + 30, 2);
}

/* POPF must not set flags that would trap the test itself. */
static void tame_popf(uint64_t rsp)
{
    isa_memory_clear(rsp + 1, FL_TF >> 8);
    isa_memory_clear(rsp + 2, FL_AC >> 16);
}

void isa_state_make(const struct isa_form *f, struct isa_setup *s,
                    struct isa_rng *r, struct isa_regs *in)
{
    const uint8_t *fresh = pool + 16 * isa_below(r, (POOL_LEN -
                                                     ISA_WINDOW_LEN) / 16);

    for (unsigned k = 0; k < 16; k++)
        in->gpr[k] = number(r);
    if (isa_percent(r, 10)) /* equal operands */
        in->gpr[isa_below(r, 16)] = in->gpr[isa_below(r, 16)];
    if (f->uses & USES_DIVIDEND)
        make_dividend(f, r, in);
    if (isa_percent(r, 30))
        in->gpr[R_CX] = (in->gpr[R_CX] & ~0xffull) | isa_below(r, 70);
    for (unsigned k = 0; k < 16; k++)
        if (s->fixed >> k & 1)
            in->gpr[k] = s->gpr[k];
    in->rip = s->rip;
    in->vector = -1;
    make_flags(s, r, in);
    make_fx(f, r, &in->fx);
    make_ymm(s, r, in);
    isa_memory_fresh(fresh);
    if (!strcmp(f->row->name, "popf"))
        tame_popf(in->gpr[R_SP]);
    if (f->uses & LOADS_MXCSR && isa_percent(r, 80)) {
        uint64_t at = s->ea + (strcmp(f->row->name, "fxrstor") ? 0 : 24);

        isa_memory_clear(at + 2, 0xff);
        isa_memory_clear(at + 3, 0xff);
    }
    if (s->poke_gva)
        isa_memory_put(s->poke_gva, s->poke);
}

/* --- tolerances ----------------------------------------------------------- */

/* Within two units of the last place. */
bool isa_f80_close(uint64_t sig_a, uint16_t se_a, uint64_t sig_b,
                   uint16_t se_b)
{
    int64_t d = (int64_t)(sig_a - sig_b);

    if (se_a != se_b) { /* 0.fff and 1.000 */
        if (se_a - se_b == 1)
            return sig_a == 1ull << 63 && sig_b >= UINT64_MAX - 2;
        return se_b - se_a == 1 && sig_b == 1ull << 63 &&
               sig_a >= UINT64_MAX - 2;
    }
    return d >= -2 && d <= 2;
}

/* Each within a relative error of 1.5 * 2^-11: the manual promises
 * 1.5 * 2^-12 to both sides. */
bool isa_f32_close(const uint8_t *a, const uint8_t *b)
{
    for (unsigned k = 0; k < 4; k++) {
        uint32_t x, y;
        float fx, fy, d;

        memcpy(&x, a + 4 * k, 4);
        memcpy(&y, b + 4 * k, 4);
        if (x == y)
            continue;
        memcpy(&fx, &x, 4);
        memcpy(&fy, &y, 4);
        d = fx > fy ? fx - fy : fy - fx;
        if (!(d <= (fx < 0 ? -fx : fx) * 0x1.8p-11f))
            return false;
    }
    return true;
}

/* --- kinds of instructions and hosts -------------------------------------- */

bool isa_is_transcendental(const struct isa_form *f)
{
    /* F2XM1, FYL2X, FPTAN, FPATAN; FYL2XP1, FSINCOS, FSIN, FCOS */
    return f->opcode[0] == 0xd9 &&
           ((f->reg == 6 && f->rm <= 3 && f->rm >= 0) ||
            (f->reg == 7 && (f->rm == 1 || f->rm == 3 || f->rm >= 6)));
}

bool isa_is_estimate(const struct isa_form *f)
{
    return f->opcode_len == 2 && f->opcode[0] == 0x0f &&
           (f->opcode[1] == 0x52 || f->opcode[1] == 0x53);
}

bool isa_is_mmx_source_in_memory(const struct isa_form *f)
{
    return f->mem && !strcmp(f->row->name, "cvtpi2ps");
}

void isa_skip_what_host_lacks(void)
{
    static const struct {
        uint8_t op[3]; /* op[1] 0: any of the map's from op[2] on */
        uint8_t last, prefix;
        const char *name;
        unsigned bit; /* of leaf 1's ECX; 32 + bit: leaf 7's EBX */
    } needs[] = {
        {{0x0f, 0x38, 0x00}, 0x0b, 0, "ssse3", 9},
        {{0x0f, 0x38, 0x1c}, 0x1e, 0, "ssse3", 9},
        {{0x0f, 0x3a, 0x0f}, 0x0f, 0, "ssse3", 9},
        {{0x0f, 0x38, 0x10}, 0x17, 0x66, "sse4.1", 19},
        {{0x0f, 0x38, 0x20}, 0x41, 0x66, "sse4.1", 19},
        {{0x0f, 0x3a, 0x08}, 0x0e, 0x66, "sse4.1", 19},
        {{0x0f, 0x3a, 0x14}, 0x42, 0x66, "sse4.1", 19},
        {{0x0f, 0x38, 0x37}, 0x37, 0x66, "sse4.2", 20},
        {{0x0f, 0x3a, 0x60}, 0x63, 0x66, "sse4.2", 20},
        {{0x0f, 0x38, 0xf0}, 0xf1, 0xf2, "sse4.2", 20},
        {{0x0f, 0x3a, 0x44}, 0x44, 0x66, "pclmulqdq", 1},
        {{0x0f, 0x38, 0xdb}, 0xdf, 0x66, "aes", 25},
        {{0x0f, 0x3a, 0xdf}, 0xdf, 0x66, "aes", 25},
        {{0x0f, 0x38, 0xf0}, 0xf1, 0x66, "movbe", 22},
        {{0x0f, 0x38, 0xf0}, 0xf1, 0, "movbe", 22},
        {{0x0f, 0x38, 0xc8}, 0xcd, 0, "sha", 32 + 29},
        {{0x0f, 0x3a, 0xcc}, 0xcc, 0, "sha", 32 + 29},
        {{0x0f, 0x38, 0xf6}, 0xf6, 0x66, "adx", 32 + 19},
        {{0x0f, 0x38, 0xf6}, 0xf6, 0xf3, "adx", 32 + 19},
    };
    unsigned a, b, c = 0, d, c1 = 0, b7 = 0, lzcnt = 0;
    bool fsgsbase = getauxval(AT_HWCAP2) & 2;
    bool v3 = isa_native_has_ymm() && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi") &&
              __builtin_cpu_supports("bmi2") &&
              __builtin_cpu_supports("aes") &&
              __builtin_cpu_supports("pclmul");

    if (__get_cpuid(1, &a, &b, &c, &d))
        c1 = c;
    v3 = v3 && c1 >> 29 & 1; /* F16C */
    if (__get_cpuid(0x80000001, &a, &b, &c, &d))
        lzcnt = c >> 5 & 1;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
        b7 = b;
    for (unsigned k = 0; k < isa_form_count; k++) {
        struct isa_form *f = &isa_forms[k];

        if (f->vex) {
            if (!v3 && !f->skip)
                f->skip = "the host has not all of x86-64-v3";
            continue;
        }
        if ((!strcmp(f->row->name, "lzcnt") && !lzcnt) ||
            (!strcmp(f->row->name, "tzcnt") && !(b7 >> 3 & 1)))
            f->skip = "the host takes it for BSR or BSF";
        if (!strcmp(f->row->name, "popcnt") && !(c1 >> 23 & 1))
            f->skip = "the host has no popcnt";
        if (strstr(f->row->name, "sbase") && !f->skip && !fsgsbase)
            f->skip = "the host's kernel does not enable it";
        for (unsigned n = 0; n < SQ_ARRAY_LEN(needs); n++) {
            unsigned bit = needs[n].bit;

            if (f->opcode_len != 3 || f->opcode[1] != needs[n].op[1] ||
                f->opcode[2] < needs[n].op[2] ||
                f->opcode[2] > needs[n].last ||
                (needs[n].prefix && f->prefix != needs[n].prefix))
                continue;
            if (!((bit < 32 ? c1 : b7) >> (bit & 31) & 1))
                f->skip = "the host has no such extension";
        }
    }
}

#endif
