/* SPDX-License-Identifier: Apache-2.0 */
/* x87 instructions on registers only. */
#include "backends/soft/x86_64/x87.h"

#define STI (i->rm & 7u)

typedef struct sq_f80 binary_fn(struct sq_f80 a, struct sq_f80 b,
                                struct sq_fp_env *env);
typedef struct sq_f80 unary_fn(struct sq_f80 a, struct sq_fp_env *env);

/* --- arithmetic ------------------------------------------------------ */

/* ST(dst) = op(ST(a), ST(b)); true when that was done. */
static inline bool binary(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          binary_fn *op, unsigned dst, unsigned a,
                          unsigned b)
{
    struct sq_f80 r = SQ_F80_INDEFINITE;
    struct sq_fp_env env;

    sq_x87_begin(c, i);
    env = sq_x87_env(c);
    if (SQ_UNLIKELY(sq_x87_empty(c, a) || sq_x87_empty(c, b)))
        sq_x87_underflow(&env);
    else
        r = op(sq_x87_get(c, a), sq_x87_get(c, b), &env);
    if (!sq_x87_done(c, i, &env))
        return false;
    sq_x87_set(c, dst, r);
    return true;
}

/* D8: to ST(0). DC: to ST(i). DE: to ST(i), pops. "r" exchanges the
 * operands: without it, the destination comes first. */
#define BINARY(name, op)                                                   \
    OP(f##name##_0i)                                                       \
    {                                                                      \
        binary(c, i, op, 0, 0, STI);                                       \
        NEXT;                                                              \
    }                                                                      \
    OP(f##name##_i0)                                                       \
    {                                                                      \
        binary(c, i, op, STI, STI, 0);                                     \
        NEXT;                                                              \
    }                                                                      \
    OP(f##name##p)                                                         \
    {                                                                      \
        if (binary(c, i, op, STI, STI, 0))                                 \
            sq_x87_pop(c);                                                 \
        NEXT;                                                              \
    }                                                                      \
    FAM1(f##name##_0i, f##name##_0i, NULL)                                 \
    FAM1(f##name##_i0, f##name##_i0, NULL)                                 \
    FAM1(f##name##p, f##name##p, NULL)

#define REVERSED(name, op)                                                 \
    OP(f##name##_0i)                                                       \
    {                                                                      \
        binary(c, i, op, 0, STI, 0);                                       \
        NEXT;                                                              \
    }                                                                      \
    OP(f##name##_i0)                                                       \
    {                                                                      \
        binary(c, i, op, STI, 0, STI);                                     \
        NEXT;                                                              \
    }                                                                      \
    OP(f##name##p)                                                         \
    {                                                                      \
        if (binary(c, i, op, STI, 0, STI))                                 \
            sq_x87_pop(c);                                                 \
        NEXT;                                                              \
    }                                                                      \
    FAM1(f##name##_0i, f##name##_0i, NULL)                                 \
    FAM1(f##name##_i0, f##name##_i0, NULL)                                 \
    FAM1(f##name##p, f##name##p, NULL)

BINARY(add, sq_f80_add)
BINARY(mul, sq_f80_mul)
BINARY(sub, sq_f80_sub)
REVERSED(subr, sq_f80_sub)
BINARY(div, sq_f80_div)
REVERSED(divr, sq_f80_div)

static struct sq_f80 change_sign(struct sq_f80 a, struct sq_fp_env *env)
{
    (void)env;
    a.se ^= 0x8000;
    return a;
}

static struct sq_f80 absolute(struct sq_f80 a, struct sq_fp_env *env)
{
    (void)env;
    a.se &= 0x7fff;
    return a;
}

/* ST(0) = op(ST(0)) */
static void unary(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                  unary_fn *op)
{
    struct sq_f80 r = SQ_F80_INDEFINITE;
    struct sq_fp_env env = sq_x87_env(c);

    if (sq_x87_empty(c, 0))
        sq_x87_underflow(&env);
    else
        r = op(sq_x87_get(c, 0), &env);
    if (sq_x87_done(c, i, &env))
        sq_x87_set(c, 0, r);
}

/* --- comparison ------------------------------------------------------ */

/* Compares ST(0) with ST(n); true unless an unmasked exception stops it. */
static inline bool compare(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                           unsigned n, bool signaling, enum sq_fp_rel *rel)
{
    struct sq_fp_env env;

    sq_x87_begin(c, i);
    env = sq_x87_env(c);
    *rel = SQ_FP_UNORDERED;
    if (SQ_UNLIKELY(sq_x87_empty(c, 0) || sq_x87_empty(c, n)))
        sq_x87_underflow(&env);
    else
        *rel = sq_f80_compare(sq_x87_get(c, 0), sq_x87_get(c, n), signaling,
                              &env);
    return sq_x87_done(c, i, &env);
}

static inline void fpu_compare(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, unsigned n,
                               bool signaling, unsigned pops)
{
    enum sq_fp_rel rel;

    if (!compare(c, i, n, signaling, &rel))
        return;
    sq_x87_set_relation(c, rel);
    while (pops--)
        sq_x87_pop(c);
}

/* To ZF, PF and CF instead; the other status flags become 0. */
static inline void flag_compare(struct sq_x86_cpu *c,
                                const struct sq_x86_insn *i, bool signaling,
                                bool pop)
{
    enum sq_fp_rel rel;

    if (!compare(c, i, STI, signaling, &rel))
        return;
    sq_set_status(c, rel == SQ_FP_UNORDERED ? FL_ZF | FL_PF | FL_CF
                     : rel == SQ_FP_LESS    ? FL_CF
                     : rel == SQ_FP_EQUAL   ? FL_ZF
                                            : 0u);
    if (pop)
        sq_x87_pop(c);
}

#define COMPARE(name, call)                                                \
    OP(name)                                                               \
    {                                                                      \
        call;                                                              \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name, name, NULL)
COMPARE(fcom, fpu_compare(c, i, STI, true, 0))
COMPARE(fcomp, fpu_compare(c, i, STI, true, 1))
COMPARE(fucom, fpu_compare(c, i, STI, false, 0))
COMPARE(fucomp, fpu_compare(c, i, STI, false, 1))
COMPARE(fcomi, flag_compare(c, i, true, false))
COMPARE(fcomip, flag_compare(c, i, true, true))
COMPARE(fucomi, flag_compare(c, i, false, false))
COMPARE(fucomip, flag_compare(c, i, false, true))

/* DE D9 and DA E9 */
OP(fcompp)
{
    if (STI != 1)
        sq_x86_ud(c, i);
    fpu_compare(c, i, 1, true, 2);
    NEXT;
}
OP(fucompp)
{
    if (STI != 1)
        sq_x86_ud(c, i);
    fpu_compare(c, i, 1, false, 2);
    NEXT;
}
FAM1(fcompp, fcompp, NULL)
FAM1(fucompp, fucompp, NULL)

static void ftst(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    struct sq_fp_env env = sq_x87_env(c);
    enum sq_fp_rel rel = SQ_FP_UNORDERED;

    if (sq_x87_empty(c, 0))
        sq_x87_underflow(&env);
    else
        rel = sq_f80_compare(sq_x87_get(c, 0), (struct sq_f80){0}, true,
                             &env);
    if (sq_x87_done(c, i, &env))
        sq_x87_set_relation(c, rel);
}

static void fxam(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    struct sq_f80 a = sq_x87_get(c, 0);
    unsigned class = sq_x87_empty(c, 0) ? 5 : sq_f80_classify(a);

    sq_x87_note(c, i, 0xc0 | STI);
    c->x87.fsw &= (uint16_t)~(FSW_CC | FSW_C1);
    c->x87.fsw |= (uint16_t)((class & 4 ? FSW_C3 : 0) |
                             (class & 2 ? FSW_C2 : 0) |
                             (class & 1 ? FSW_C0 : 0) |
                             (a.se & 0x8000 ? FSW_C1 : 0));
}

/* --- moves within the stack ------------------------------------------ */

/* Pushes v, or the indefinite NaN when the stack is full. */
static void push_value(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       struct sq_f80 v)
{
    struct sq_fp_env env = sq_x87_env(c);

    if (!sq_x87_empty(c, 7)) {
        sq_x87_overflow(&env);
        v = SQ_F80_INDEFINITE;
    }
    if (sq_x87_done(c, i, &env))
        sq_x87_push(c, v);
}

OP(fld_i)
{
    struct sq_fp_env env;

    sq_x87_begin(c, i);
    if (sq_x87_empty(c, STI)) {
        env = sq_x87_env(c);
        sq_x87_underflow(&env);
        if (sq_x87_done(c, i, &env))
            sq_x87_push(c, SQ_F80_INDEFINITE);
    } else {
        push_value(c, i, sq_x87_get(c, STI));
    }
    NEXT;
}
FAM1(fld_i, fld_i, NULL)

static inline bool fst(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    struct sq_f80 v = sq_x87_get(c, 0);
    struct sq_fp_env env;

    sq_x87_begin(c, i);
    env = sq_x87_env(c);
    if (sq_x87_empty(c, 0)) {
        sq_x87_underflow(&env);
        v = SQ_F80_INDEFINITE;
    }
    if (!sq_x87_done(c, i, &env))
        return false;
    sq_x87_set(c, STI, v);
    return true;
}

OP(fst_i)
{
    fst(c, i);
    NEXT;
}
OP(fstp_i)
{
    if (fst(c, i))
        sq_x87_pop(c);
    NEXT;
}
FAM1(fst_i, fst_i, NULL)
FAM1(fstp_i, fstp_i, NULL)

OP(fxch)
{
    struct sq_f80 a, b;
    struct sq_fp_env env;

    sq_x87_begin(c, i);
    env = sq_x87_env(c);
    a = sq_x87_empty(c, 0) ? SQ_F80_INDEFINITE : sq_x87_get(c, 0);
    b = sq_x87_empty(c, STI) ? SQ_F80_INDEFINITE : sq_x87_get(c, STI);
    if (sq_x87_empty(c, 0) || sq_x87_empty(c, STI))
        sq_x87_underflow(&env);
    if (sq_x87_done(c, i, &env)) {
        sq_x87_set(c, 0, b);
        sq_x87_set(c, STI, a);
    }
    NEXT;
}
FAM1(fxch, fxch, NULL)

/* DA: below, equal, below or equal, unordered; DB: their opposites. */
OP(fcmov)
{
    static const uint8_t condition[4] = {2, 4, 6, 10};
    unsigned cc = condition[i->reg & 3] | (i->imm2 & 1);
    struct sq_fp_env env;

    sq_x87_begin(c, i);
    if (sq_x87_empty(c, 0) || sq_x87_empty(c, STI)) {
        env = sq_x87_env(c);
        sq_x87_underflow(&env);
        if (sq_x87_done(c, i, &env))
            sq_x87_set(c, 0, SQ_F80_INDEFINITE);
    } else {
        /* C1 stays as it was */
        sq_x87_note(c, i, 0xc0 | STI);
        if (sq_cond(c, cc))
            sq_x87_set(c, 0, sq_x87_get(c, STI));
    }
    NEXT;
}
FAM1(fcmov, fcmov, NULL)

/* Before those that change only tags and TOP. */
static void begin_quiet(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    sq_x87_begin(c, i);
    sq_x87_note(c, i, 0xc0 | STI);
    c->x87.fsw &= (uint16_t)~FSW_C1;
}

OP(ffree)
{
    begin_quiet(c, i);
    sq_x87_free(c, STI);
    NEXT;
}
OP(ffreep)
{
    begin_quiet(c, i);
    sq_x87_free(c, STI);
    sq_x87_pop(c);
    NEXT;
}
/* D9 D8..DF, FSTPNCE: as FSTP, but an empty ST(0) is just popped. */
OP(fstp1)
{
    if (sq_x87_empty(c, 0)) {
        begin_quiet(c, i);
        sq_x87_pop(c);
    } else if (fst(c, i)) {
        sq_x87_pop(c);
    }
    NEXT;
}
FAM1(fstp1, fstp1, NULL)
FAM1(ffree, ffree, NULL)
FAM1(ffreep, ffreep, NULL)

OP(fnop)
{
    if (STI != 0)
        sq_x86_ud(c, i);
    sq_x87_begin(c, i);
    sq_x87_note(c, i, 0xc0);
    NEXT;
}
FAM1(fnop, fnop, NULL)

/* --- D9 E0..EF ------------------------------------------------------- */

OP(fgroup_d9_4)
{
    if (STI == 2 || STI == 3 || STI >= 6)
        sq_x86_ud(c, i);
    sq_x87_begin(c, i);
    switch (STI) {
    case 0: unary(c, i, change_sign); break;
    case 1: unary(c, i, absolute); break;
    case 4: ftst(c, i); break;
    default: fxam(c, i); break;
    }
    NEXT;
}
FAM1(fgroup_d9_4, fgroup_d9_4, NULL)

OP(fld_const)
{
    static const uint8_t which[7] = {
        [1] = SQ_F80_LOG2_10, [2] = SQ_F80_LOG2_E, [3] = SQ_F80_PI,
        [4] = SQ_F80_LOG10_2, [5] = SQ_F80_LN_2};
    struct sq_fp_env env;
    struct sq_f80 v = {0};

    if (STI == 7)
        sq_x86_ud(c, i);
    sq_x87_begin(c, i);
    env = sq_x87_env(c);
    if (STI == 0)
        v = SQ_F80_ONE;
    else if (STI != 6)
        v = sq_f80_load_constant((enum sq_f80_constant)which[STI], &env);
    push_value(c, i, v);
    NEXT;
}
FAM1(fld_const, fld_const, NULL)

/* --- D9 F0..FF: transcendentals and remainders ----------------------- */

/* ST(1) = op(ST(1), ST(0)), pops. */
static void binary_pop(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       binary_fn *op)
{
    if (binary(c, i, op, 1, 1, 0))
        sq_x87_pop(c);
}

/* For those that replace ST(0) and push another result: whether the stack
 * allows it. */
static bool can_push(struct sq_x86_cpu *c, struct sq_fp_env *env)
{
    if (sq_x87_empty(c, 0))
        sq_x87_underflow(env);
    else if (!sq_x87_empty(c, 7))
        sq_x87_overflow(env);
    else
        return true;
    return false;
}

static void fxtract(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    struct sq_f80 exponent = SQ_F80_INDEFINITE, sig = SQ_F80_INDEFINITE;
    struct sq_fp_env env = sq_x87_env(c);

    if (can_push(c, &env))
        sig = sq_f80_extract(sq_x87_get(c, 0), &exponent, &env);
    if (sq_x87_done(c, i, &env)) {
        sq_x87_set(c, 0, exponent);
        sq_x87_push(c, sig);
    }
}

static void set_c2(struct sq_x86_cpu *c, bool out_of_range)
{
    c->x87.fsw &= (uint16_t)~FSW_C2;
    if (out_of_range)
        c->x87.fsw |= FSW_C2;
}

static void set_quotient(struct sq_x86_cpu *c, unsigned q)
{
    c->x87.fsw &= (uint16_t)~(FSW_C0 | FSW_C3);
    c->x87.fsw |= (q & 4 ? FSW_C0 : 0) | (q & 2 ? FSW_C3 : 0);
}

/* FPREM and FPREM1 */
static void frem(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                 bool nearest)
{
    struct sq_f80 r = SQ_F80_INDEFINITE;
    struct sq_fp_env env = sq_x87_env(c);
    bool incomplete = false;
    uint8_t q = 0;

    if (sq_x87_empty(c, 0) || sq_x87_empty(c, 1))
        sq_x87_underflow(&env);
    else
        r = sq_f80_rem(sq_x87_get(c, 0), sq_x87_get(c, 1), nearest, &q,
                       &incomplete, &env);
    env.rounded_up = q & 1;
    set_c2(c, incomplete);
    if (!sq_x87_done(c, i, &env))
        return;
    if (sq_f80_classify(r) != SQ_F80_NAN) /* else C0 and C3 stay */
        set_quotient(c, q);
    sq_x87_set(c, 0, r);
}

/* FSIN and FCOS */
static void trig(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                 bool (*op)(struct sq_f80 a, struct sq_f80 *r,
                            struct sq_fp_env *env))
{
    struct sq_f80 r = SQ_F80_INDEFINITE;
    struct sq_fp_env env = sq_x87_env(c);
    bool ok = true;

    if (sq_x87_empty(c, 0))
        sq_x87_underflow(&env);
    else
        ok = op(sq_x87_get(c, 0), &r, &env);
    set_c2(c, !ok);
    if (sq_x87_done(c, i, &env) && ok)
        sq_x87_set(c, 0, r);
}

/* FPTAN and FSINCOS: a second value goes on top. */
static void trig_push(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      bool tangent)
{
    struct sq_f80 a = sq_x87_get(c, 0), r = SQ_F80_INDEFINITE;
    struct sq_f80 top = SQ_F80_INDEFINITE;
    struct sq_fp_env env = sq_x87_env(c);
    bool ok = true;

    if (can_push(c, &env)) {
        if (tangent) {
            ok = sq_f80_tan(a, &r, &env);
            /* a NaN result is pushed as well, not 1 */
            top = sq_f80_classify(r) == SQ_F80_NAN ? r : SQ_F80_ONE;
        } else {
            ok = sq_f80_sincos(a, &r, &top, &env);
        }
    }
    set_c2(c, !ok);
    if (sq_x87_done(c, i, &env) && ok) {
        sq_x87_set(c, 0, r);
        sq_x87_push(c, top);
    }
}

OP(fgroup_d9_6)
{
    if (STI >= 6) {
        begin_quiet(c, i);
        sq_x87_turn(c, STI == 6 ? 7 : 1);
        NEXT;
    }
    sq_x87_begin(c, i);
    switch (STI) {
    case 0: unary(c, i, sq_f80_exp2m1); break;
    case 1: binary_pop(c, i, sq_f80_ylog2x); break;
    case 2: trig_push(c, i, true); break;
    case 3: binary_pop(c, i, sq_f80_atan2); break;
    case 4: fxtract(c, i); break;
    default: frem(c, i, true); break;
    }
    NEXT;
}
FAM1(fgroup_d9_6, fgroup_d9_6, NULL)

OP(fgroup_d9_7)
{
    sq_x87_begin(c, i);
    switch (STI) {
    case 0: frem(c, i, false); break;
    case 1: binary_pop(c, i, sq_f80_ylog2xp1); break;
    case 2: unary(c, i, sq_f80_sqrt); break;
    case 3: trig_push(c, i, false); break;
    case 4: unary(c, i, sq_f80_round); break;
    case 5: binary(c, i, sq_f80_scale, 0, 0, 1); break;
    case 6: trig(c, i, sq_f80_sin); break;
    default: trig(c, i, sq_f80_cos); break;
    }
    NEXT;
}
FAM1(fgroup_d9_7, fgroup_d9_7, NULL)
