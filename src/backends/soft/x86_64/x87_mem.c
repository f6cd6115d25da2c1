/* SPDX-License-Identifier: Apache-2.0 */
/* x87 arithmetic, loads and stores with a memory operand. */
#include "backends/soft/x86_64/x87.h"

typedef struct sq_f80 binary_fn(struct sq_f80 a, struct sq_f80 b,
                                struct sq_fp_env *env);

/* Formats in memory. */
enum format { F32, F64, F80, I16, I32, I64, BCD };

static inline unsigned format_len(enum format f)
{
    switch (f) {
    case I16: return 2;
    case F32:
    case I32: return 4;
    case F64:
    case I64: return 8;
    default: return 10;
    }
}

/* A value as it is in memory. */
union datum {
    uint8_t bytes[16];
    uint16_t w;
    uint32_t d;
    uint64_t q;
};

static inline union datum load(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, uint64_t gva,
                               enum format f)
{
    union datum m = {0};

    switch (format_len(f)) {
    case 2: m.w = LD(16, gva); break;
    case 4: m.d = LD(32, gva); break;
    case 8: m.q = LD(64, gva); break;
    default: sq_ld_bytes(c, i, gva, m.bytes, 10); break;
    }
    return m;
}

static inline void store(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         uint64_t gva, enum format f, const union datum *m)
{
    switch (format_len(f)) {
    case 2: ST(16, gva, m->w); break;
    case 4: ST(32, gva, m->d); break;
    case 8: ST(64, gva, m->q); break;
    default: sq_st_bytes(c, i, gva, m->bytes, 10); break;
    }
}

/* --- arithmetic and comparison --------------------------------------- */

/* The operand in register format. */
static inline struct sq_f80 operand(const union datum *m, enum format f,
                                    struct sq_f80 st0, struct sq_fp_env *env)
{
    switch (f) {
    case F32: return sq_f80_operand_f32(m->d, st0, env);
    case F64: return sq_f80_operand_f64(m->q, st0, env);
    case I16: return sq_f80_from_i64((int16_t)m->w);
    default: return sq_f80_from_i64((int32_t)m->d);
    }
}

/* ST(0) = op(ST(0), memory), or with the operands exchanged. */
static inline void binary(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          binary_fn *op, enum format f, bool reverse)
{
    struct sq_f80 a, b, r = SQ_F80_INDEFINITE;
    struct sq_fp_env env;
    union datum m;
    uint64_t gva;

    sq_x87_begin(c, i);
    gva = sq_ea(c, i, format_len(f), ACCESS_R);
    m = load(c, i, gva, f);
    env = sq_x87_env(c);
    if (SQ_UNLIKELY(sq_x87_empty(c, 0))) {
        sq_x87_underflow(&env);
    } else {
        a = sq_x87_get(c, 0);
        b = operand(&m, f, a, &env);
        /* a denormal value by zero is ZE alone */
        if (op == sq_f80_div && reverse &&
            sq_f80_classify(a) == SQ_F80_ZERO)
            env.flags = 0;
        if (!sq_fp_unmasked(&env))
            r = reverse ? op(b, a, &env) : op(a, b, &env);
    }
    if (sq_x87_done_mem(c, i, gva, &env))
        sq_x87_set(c, 0, r);
}

static inline void compare(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                           enum format f, bool pop)
{
    enum sq_fp_rel rel = SQ_FP_UNORDERED;
    struct sq_fp_env env;
    struct sq_f80 a, b;
    union datum m;
    uint64_t gva;

    sq_x87_begin(c, i);
    gva = sq_ea(c, i, format_len(f), ACCESS_R);
    m = load(c, i, gva, f);
    env = sq_x87_env(c);
    if (SQ_UNLIKELY(sq_x87_empty(c, 0))) {
        sq_x87_underflow(&env);
    } else {
        a = sq_x87_get(c, 0);
        b = operand(&m, f, a, &env);
        if (!sq_fp_unmasked(&env))
            rel = sq_f80_compare(a, b, true, &env);
    }
    if (!sq_x87_done_mem(c, i, gva, &env))
        return;
    sq_x87_set_relation(c, rel);
    if (pop)
        sq_x87_pop(c);
}

#define FOR_FORMAT(name, f, call)                                          \
    OP(name##_##f)                                                         \
    {                                                                      \
        call;                                                              \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name##_##f, NULL, name##_##f)
#define ARITH(f, F)                                                        \
    FOR_FORMAT(fadd, f, binary(c, i, sq_f80_add, F, false))                \
    FOR_FORMAT(fmul, f, binary(c, i, sq_f80_mul, F, false))                \
    FOR_FORMAT(fsub, f, binary(c, i, sq_f80_sub, F, false))                \
    FOR_FORMAT(fsubr, f, binary(c, i, sq_f80_sub, F, true))                \
    FOR_FORMAT(fdiv, f, binary(c, i, sq_f80_div, F, false))                \
    FOR_FORMAT(fdivr, f, binary(c, i, sq_f80_div, F, true))                \
    FOR_FORMAT(fcom, f, compare(c, i, F, false))                           \
    FOR_FORMAT(fcomp, f, compare(c, i, F, true))
ARITH(m32, F32)
ARITH(m64, F64)
ARITH(i16, I16)
ARITH(i32, I32)

/* --- loads ----------------------------------------------------------- */

static inline struct sq_f80 to_register(const union datum *m, enum format f,
                                        struct sq_fp_env *env)
{
    struct sq_f80 v;

    switch (f) {
    case F32: return sq_f80_from_f32(m->d, env);
    case F64: return sq_f80_from_f64(m->q, env);
    case F80:
        v.sig = m->q;
        memcpy(&v.se, m->bytes + 8, sizeof(v.se));
        return v;
    case I16: return sq_f80_from_i64((int16_t)m->w);
    case I32: return sq_f80_from_i64((int32_t)m->d);
    case I64: return sq_f80_from_i64((int64_t)m->q);
    default: return sq_f80_from_bcd(m->bytes);
    }
}

static inline void fld(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       enum format f)
{
    struct sq_f80 v = SQ_F80_INDEFINITE;
    struct sq_fp_env env;
    union datum m;
    uint64_t gva;

    sq_x87_begin(c, i);
    gva = sq_ea(c, i, format_len(f), ACCESS_R);
    m = load(c, i, gva, f);
    env = sq_x87_env(c);
    if (SQ_UNLIKELY(!sq_x87_empty(c, 7)))
        sq_x87_overflow(&env);
    else
        v = to_register(&m, f, &env);
    if (sq_x87_done_mem(c, i, gva, &env))
        sq_x87_push(c, v);
}
FOR_FORMAT(fld, m32, fld(c, i, F32))
FOR_FORMAT(fld, m64, fld(c, i, F64))
FOR_FORMAT(fld, m80, fld(c, i, F80))
FOR_FORMAT(fild, m16, fld(c, i, I16))
FOR_FORMAT(fild, m32, fld(c, i, I32))
FOR_FORMAT(fild, m64, fld(c, i, I64))
FOR_FORMAT(fbld, m80, fld(c, i, BCD))

/* --- stores ---------------------------------------------------------- */

static inline union datum from_register(struct sq_f80 v, enum format f,
                                        bool trunc, struct sq_fp_env *env)
{
    union datum m = {0};

    switch (f) {
    case F32: m.d = sq_f80_to_f32(v, env); break;
    case F64: m.q = sq_f80_to_f64(v, env); break;
    case F80:
        m.q = v.sig;
        memcpy(m.bytes + 8, &v.se, sizeof(v.se));
        break;
    case I16: m.w = (uint16_t)sq_f80_to_i16(v, trunc, env); break;
    case I32: m.d = (uint32_t)sq_f80_to_i32(v, trunc, env); break;
    case I64: m.q = (uint64_t)sq_f80_to_i64(v, trunc, env); break;
    default: sq_f80_to_bcd(v, m.bytes, env); break;
    }
    return m;
}

/* The masked answer to an empty ST(0) is the format's indefinite: what the
 * indefinite NaN converts to. An unmasked exception other than PE leaves
 * memory and stack alone. */
static inline void fst(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       enum format f, bool trunc, bool pop)
{
    struct sq_f80 v = SQ_F80_INDEFINITE;
    struct sq_fp_env env;
    union datum m;
    uint64_t gva;
    bool stop;

    sq_x87_begin(c, i);
    gva = sq_ea(c, i, format_len(f), ACCESS_W);
    env = sq_x87_env(c);
    if (SQ_LIKELY(!sq_x87_empty(c, 0)))
        v = sq_x87_get(c, 0);
    m = from_register(v, f, trunc, &env);
    if (SQ_UNLIKELY(sq_x87_empty(c, 0)))
        sq_x87_underflow(&env);
    stop = sq_fp_unmasked(&env) & ~SQ_FP_PE;
    if (!stop)
        store(c, i, gva, f, &m);
    else /* a page fault comes first all the same */
        sq_x86_probe_write(c, i, gva, format_len(f));
    sq_x87_done_mem(c, i, gva, &env);
    if (pop && !stop)
        sq_x87_pop(c);
}
FOR_FORMAT(fst, m32, fst(c, i, F32, false, false))
FOR_FORMAT(fst, m64, fst(c, i, F64, false, false))
FOR_FORMAT(fstp, m32, fst(c, i, F32, false, true))
FOR_FORMAT(fstp, m64, fst(c, i, F64, false, true))
FOR_FORMAT(fstp, m80, fst(c, i, F80, false, true))
FOR_FORMAT(fist, m16, fst(c, i, I16, false, false))
FOR_FORMAT(fist, m32, fst(c, i, I32, false, false))
FOR_FORMAT(fistp, m16, fst(c, i, I16, false, true))
FOR_FORMAT(fistp, m32, fst(c, i, I32, false, true))
FOR_FORMAT(fistp, m64, fst(c, i, I64, false, true))
FOR_FORMAT(fisttp, m16, fst(c, i, I16, true, true))
FOR_FORMAT(fisttp, m32, fst(c, i, I32, true, true))
FOR_FORMAT(fisttp, m64, fst(c, i, I64, true, true))
FOR_FORMAT(fbstp, m80, fst(c, i, BCD, false, true))
