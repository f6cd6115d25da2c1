/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX data movement: what sse_move.c does, with a VEX prefix; broadcasts,
 * 128-bit lanes, VZEROUPPER. Results of up to 128 bits clear the upper half.
 */
#include "backends/soft/x86_64/sse_lanes.h"

static const sq_vec nothing = {0, 0};

/* --- whole registers ------------------------------------------------- */

/* The address of a memory operand that must be aligned to its length. */
static inline uint64_t aligned_ea(struct sq_x86_cpu *c,
                                  const struct sq_x86_insn *i, unsigned len,
                                  enum sq_access access)
{
    uint64_t gva = sq_ea(c, i, len, access);

    if (SQ_UNLIKELY(gva & (len - 1)))
        sq_x86_gp(c, i, 0);
    return gva;
}

/* to = from */
#define MOVE(name, to, from)                                               \
    OP(name##_r128)                                                        \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_vex_put(c, i->to, sq_xmm_get(c, i->from));                      \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_r256)                                                        \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_ymm_put(c, i->to, sq_ymm_get(c, i->from, 0),                    \
                   sq_ymm_get(c, i->from, 1));                             \
        NEXT;                                                              \
    }
MOVE(vmov_load, reg, rm)
MOVE(vmov_store, rm, reg)

OP(vmovu_load_m128)
{
    sq_vex_check(c, i);
    sq_vex_put(c, i->reg, sq_sse_load_any(c, i));
    NEXT;
}

OP(vmovu_load_m256)
{
    sq_vec v[2];

    sq_vex_check(c, i);
    sq_avx_load(c, i, v);
    sq_ymm_put(c, i->reg, v[0], v[1]);
    NEXT;
}

OP(vmova_load_m128)
{
    sq_vex_check(c, i);
    sq_vex_put(c, i->reg, sq_sse_load(c, i));
    NEXT;
}

OP(vmova_load_m256)
{
    sq_vec v[2];

    sq_vex_check(c, i);
    aligned_ea(c, i, 32, ACCESS_R);
    sq_avx_load(c, i, v);
    sq_ymm_put(c, i->reg, v[0], v[1]);
    NEXT;
}

#define STORE(name, n, gva)                                                \
    OP(name##_m##n)                                                        \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_x86_put_area(c, i, gva, &c->ymm[i->reg], n / 8);                \
        NEXT;                                                              \
    }
STORE(vmovu_store, 128, sq_ea(c, i, 16, ACCESS_W))
STORE(vmovu_store, 256, sq_ea(c, i, 32, ACCESS_W))
STORE(vmova_store, 128, aligned_ea(c, i, 16, ACCESS_W))
STORE(vmova_store, 256, aligned_ea(c, i, 32, ACCESS_W))

#define FAM_MOVE(name, how, way)                                           \
    const struct sq_x86_family sq_f_##name = {                             \
        {{vmov_##way##_r128, vmov_##way##_r128, vmov_##way##_r256,         \
          vmov_##way##_r256},                                              \
         {how##_##way##_m128, how##_##way##_m128, how##_##way##_m256,      \
          how##_##way##_m256}}};
/* Memory only: VMOVNTDQA, VLDDQU, VMOVNTPS and so on. */
#define FAM_MEMORY(name, f)                                                \
    const struct sq_x86_family sq_f_##name = {                             \
        {{NULL}, {f##_m128, f##_m128, f##_m256, f##_m256}}};
FAM_MOVE(vmovu_load, vmovu, load)
FAM_MOVE(vmova_load, vmova, load)
FAM_MOVE(vmovu_store, vmovu, store)
FAM_MOVE(vmova_store, vmova, store)
FAM_MEMORY(vmovu_load_M, vmovu_load)
FAM_MEMORY(vmova_load_M, vmova_load)
FAM_MEMORY(vmova_store_M, vmova_store)

/* --- one lane -------------------------------------------------------- */

/* Of all but the lowest lane vvvv's register keeps what it has. */
static inline void put_32(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          unsigned to, uint32_t v)
{
    union sq_lanes r = sq_lanes(sq_xmm_get(c, i->imm2));

    r.d[0] = v;
    sq_vex_put(c, to, r.v);
}

static inline void put_64(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          unsigned to, uint64_t v)
{
    sq_vex_put(c, to, (sq_vec){v, c->ymm[i->imm2].q[1]});
}

#define ONE_LANE(name, n, field)                                           \
    OP(name##_load_r)                                                      \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        put_##n(c, i, i->reg, c->ymm[i->rm].field[0]);                     \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_load_m)                                                      \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_vex_put(c, i->reg, (sq_vec){sq_sse_load##n(c, i), 0});          \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_store_r)                                                     \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        put_##n(c, i, i->rm, c->ymm[i->reg].field[0]);                     \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_store_m)                                                     \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_sse_store##n(c, i, c->ymm[i->reg].field[0]);                    \
        NEXT;                                                              \
    }                                                                      \
    FAM1(name##_load, name##_load_r, name##_load_m)                        \
    FAM1(name##_store, name##_store_r, name##_store_m)
ONE_LANE(vmovss, 32, d)
ONE_LANE(vmovsd, 64, q)

OP(vmovq_load_r)
{
    sq_vex_check(c, i);
    sq_vex_put(c, i->reg, (sq_vec){c->ymm[i->rm].q[0], 0});
    NEXT;
}

OP(vmovq_store_r)
{
    sq_vex_check(c, i);
    sq_vex_put(c, i->rm, (sq_vec){c->ymm[i->reg].q[0], 0});
    NEXT;
}

FAMW128(vmovq_load, vmovq_load_r, vmovsd_load_m)
FAMW128(vmovq_store, vmovq_store_r, vmovsd_store_m)

/* With general registers. */
#define GENERAL(n, field)                                                  \
    OP(vmovd_load_r##n)                                                    \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_vex_put(c, i->reg, (sq_vec){RD(n, i->rm), 0});                  \
        NEXT;                                                              \
    }                                                                      \
    OP(vmovd_store_r##n)                                                   \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        WR(n, i->rm, c->ymm[i->reg].field[0]);                             \
        NEXT;                                                              \
    }
GENERAL(32, d)
GENERAL(64, q)

/* 128 bits only, and VEX.W is the size of the general register. */
#define FAM_GENERAL(name, r32, r64, m32, m64)                              \
    const struct sq_x86_family sq_f_##name = {                             \
        {{r32, r64, NULL, NULL}, {m32, m64, NULL, NULL}}};
FAM_GENERAL(vmovd_load, vmovd_load_r32, vmovd_load_r64, vmovss_load_m,
            vmovsd_load_m)
FAM_GENERAL(vmovd_store, vmovd_store_r32, vmovd_store_r64, vmovss_store_m,
            vmovsd_store_m)

/* --- halves of 128 bits ---------------------------------------------- */

#define HALVES(name, low, high)                                            \
    OP(name)                                                               \
    {                                                                      \
        const union sq_ymm *a = &c->ymm[i->imm2];                          \
                                                                           \
        sq_vex_check(c, i);                                                \
        sq_vex_put(c, i->reg, (sq_vec){low, high});                        \
        NEXT;                                                              \
    }
HALVES(vmovhlps_r, c->ymm[i->rm].q[1], a->q[1])
HALVES(vmovlhps_r, a->q[0], c->ymm[i->rm].q[0])
HALVES(vmovlp_load_m, sq_sse_load64(c, i), a->q[1])
HALVES(vmovhp_load_m, a->q[0], sq_sse_load64(c, i))

OP(vmovhp_store_m)
{
    sq_vex_check(c, i);
    sq_sse_store64(c, i, c->ymm[i->reg].q[1]);
    NEXT;
}

FAMW128(vmovlps_load, vmovhlps_r, vmovlp_load_m)
FAMW128(vmovlpd_load, NULL, vmovlp_load_m)
FAMW128(vmovlp_store, NULL, vmovsd_store_m)
FAMW128(vmovhps_load, vmovlhps_r, vmovhp_load_m)
FAMW128(vmovhpd_load, NULL, vmovhp_load_m)
FAMW128(vmovhp_store, NULL, vmovhp_store_m)

/* --- the same lane in several places --------------------------------- */

static inline sq_vec twice_q(uint64_t v)
{
    return (sq_vec){v, v};
}

OP(vmovddup_r128)
{
    sq_vex_check(c, i);
    sq_vex_put(c, i->reg, twice_q(c->ymm[i->rm].q[0]));
    NEXT;
}

OP(vmovddup_m128)
{
    sq_vex_check(c, i);
    sq_vex_put(c, i->reg, twice_q(sq_sse_load64(c, i)));
    NEXT;
}

OP(vmovddup_r256)
{
    sq_vex_check(c, i);
    sq_ymm_put(c, i->reg, twice_q(c->ymm[i->rm].q[0]),
               twice_q(c->ymm[i->rm].q[2]));
    NEXT;
}

OP(vmovddup_m256)
{
    sq_vec v[2];

    sq_vex_check(c, i);
    sq_avx_load(c, i, v);
    sq_ymm_put(c, i->reg, twice_q(v[0][0]), twice_q(v[1][0]));
    NEXT;
}

FAMW(vmovddup, vmovddup)

#define BROADCAST(name, n, field, ones)                                    \
    static inline sq_vec name##_all(uint64_t v)                            \
    {                                                                      \
        return twice_q(v * (ones));                                        \
    }                                                                      \
    BROADCAST_FROM(name, r, c->ymm[i->rm].field[0])                        \
    BROADCAST_FROM(name, m, sq_sse_load##n(c, i))
#define BROADCAST_FROM(name, rm, source)                                   \
    OP(name##_##rm##128)                                                   \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_vex_put(c, i->reg, name##_all(source));                         \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_##rm##256)                                                   \
    {                                                                      \
        sq_vec v;                                                          \
                                                                           \
        sq_vex_check(c, i);                                                \
        v = name##_all(source);                                            \
        sq_ymm_put(c, i->reg, v, v);                                       \
        NEXT;                                                              \
    }
BROADCAST(vpbroadcastb, 8, b, 0x0101010101010101ull)
BROADCAST(vpbroadcastw, 16, w, 0x0001000100010001ull)
BROADCAST(vpbroadcastd, 32, d, 0x0000000100000001ull)
BROADCAST(vpbroadcastq, 64, q, 1)

OP(vbroadcast128_m)
{
    sq_vec v;

    sq_vex_check(c, i);
    v = sq_sse_load_any(c, i);
    sq_ymm_put(c, i->reg, v, v);
    NEXT;
}

FAMW0(vpbroadcastb, vpbroadcastb)
FAMW0(vpbroadcastw, vpbroadcastw)
FAMW0(vpbroadcastd, vpbroadcastd)
FAMW0(vpbroadcastq, vpbroadcastq)
FAMW0_256(vbroadcastsd, vpbroadcastq_r256, vpbroadcastq_m256)
FAMW0_256(vbroadcast128, NULL, vbroadcast128_m)

/* --- 128-bit lanes --------------------------------------------------- */

static inline void insert_lane(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, sq_vec v)
{
    if (i->imm & 1)
        sq_ymm_put(c, i->reg, sq_ymm_get(c, i->imm2, 0), v);
    else
        sq_ymm_put(c, i->reg, v, sq_ymm_get(c, i->imm2, 1));
}

OP(vinsert128_r)
{
    sq_vex_check(c, i);
    insert_lane(c, i, sq_xmm_get(c, i->rm));
    NEXT;
}

OP(vinsert128_m)
{
    sq_vex_check(c, i);
    insert_lane(c, i, sq_sse_load_any(c, i));
    NEXT;
}

OP(vextract128_r)
{
    sq_vex_check(c, i);
    sq_vex_put(c, i->rm, sq_ymm_get(c, i->reg, i->imm & 1));
    NEXT;
}

OP(vextract128_m)
{
    sq_vex_check(c, i);
    sq_x86_put_area(c, i, sq_ea(c, i, 16, ACCESS_W),
                    c->ymm[i->reg].b + 16 * (i->imm & 1), 16);
    NEXT;
}

FAMW0_256(vinsert128, vinsert128_r, vinsert128_m)
FAMW0_256(vextract128, vextract128_r, vextract128_m)

/* Outside 64-bit mode there are eight registers. */
OP(vzeroupper)
{
    sq_vex_check(c, i);
    for (unsigned n = 0; n < (c->code64 ? 16 : 8); n++)
        sq_vex_put(c, n, sq_xmm_get(c, n));
    NEXT;
}

OP(vzeroall)
{
    sq_vex_check(c, i);
    for (unsigned n = 0; n < (c->code64 ? 16 : 8); n++)
        sq_ymm_put(c, n, nothing, nothing);
    NEXT;
}

const struct sq_x86_family sq_f_vzero = {
    {{vzeroupper, vzeroupper, vzeroall, vzeroall}}};

/* --- masks ----------------------------------------------------------- */

#define MOVE_MASK(name, bits, expr)                                        \
    static inline uint32_t name##_bits(sq_vec v)                           \
    {                                                                      \
        return expr;                                                       \
    }                                                                      \
    OP(name##_r128)                                                        \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        WR(32, i->reg, name##_bits(sq_xmm_get(c, i->rm)));                 \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_r256)                                                        \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        WR(32, i->reg, name##_bits(sq_xmm_get(c, i->rm)) |                 \
                           name##_bits(sq_ymm_get(c, i->rm, 1)) << bits);  \
        NEXT;                                                              \
    }                                                                      \
    const struct sq_x86_family sq_f_##name = {                             \
        {{name##_r128, name##_r128, name##_r256, name##_r256}}};
MOVE_MASK(vpmovmskb, 16, lane_pmovmskb(v, 16))
MOVE_MASK(vmovmskpd, 2, (uint32_t)(v[0] >> 63 | v[1] >> 63 << 1))
MOVE_MASK(vmovmskps, 4,
          (uint32_t)(v[0] >> 31 & 1) | (uint32_t)(v[0] >> 63) << 1 |
              (uint32_t)(v[1] >> 31 & 1) << 2 |
              (uint32_t)(v[1] >> 63) << 3)

OP(vmaskmovdqu_r)
{
    sq_vex_check(c, i);
    sq_sse_store_masked(c, i, c->ymm[i->reg].b, c->ymm[i->rm].b, 16);
    NEXT;
}

FAMW128(vmaskmovdqu, vmaskmovdqu_r, NULL)

/* --- insert and extract ---------------------------------------------- */

#define EXTRACT(name, n, field, mask)                                      \
    OP(name##_r)                                                           \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        WR(64, i->rm, c->ymm[i->reg].field[i->imm & (mask)]);              \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        sq_vex_check(c, i);                                                \
        sq_sse_store##n(c, i, c->ymm[i->reg].field[i->imm & (mask)]);      \
        NEXT;                                                              \
    }
EXTRACT(vpextrb, 8, b, 15)
EXTRACT(vpextrw, 16, w, 7)
EXTRACT(vpextrd, 32, d, 3)
EXTRACT(vpextrq, 64, q, 1)

OP(vpextrw_GX_r)
{
    sq_vex_check(c, i);
    WR(64, i->reg, c->ymm[i->rm].w[i->imm & 7]);
    NEXT;
}

FAMW128(vpextrb, vpextrb_r, vpextrb_m)
FAMW128(vpextrw_E, vpextrw_r, vpextrw_m)
FAMW128(vextractps, vpextrd_r, vpextrd_m)
FAMW128(vpextrw, vpextrw_GX_r, NULL)
FAM_GENERAL(vpextrd, vpextrd_r, vpextrq_r, vpextrd_m, vpextrq_m)

#define INSERT(name, n, field, mask)                                       \
    INSERT_FROM(name, r, field, mask, RD(n, i->rm))                        \
    INSERT_FROM(name, m, field, mask, sq_sse_load##n(c, i))
#define INSERT_FROM(name, rm, field, mask, source)                         \
    OP(name##_##rm)                                                        \
    {                                                                      \
        union sq_lanes v;                                                  \
                                                                           \
        sq_vex_check(c, i);                                                \
        v = sq_lanes(sq_xmm_get(c, i->imm2));                              \
        v.field[i->imm & (mask)] = source;                                 \
        sq_vex_put(c, i->reg, v.v);                                        \
        NEXT;                                                              \
    }
INSERT(vpinsrb, 8, b, 15)
INSERT(vpinsrw, 16, w, 7)
INSERT(vpinsrd, 32, d, 3)
INSERT(vpinsrq, 64, q, 1)

FAMW128(vpinsrb, vpinsrb_r, vpinsrb_m)
FAMW128(vpinsrw, vpinsrw_r, vpinsrw_m)
FAM_GENERAL(vpinsrd, vpinsrd_r, vpinsrq_r, vpinsrd_m, vpinsrq_m)

static inline void insertps(struct sq_x86_cpu *c,
                            const struct sq_x86_insn *i, uint32_t v)
{
    union sq_lanes x = sq_lanes(sq_xmm_get(c, i->imm2));

    x.d[i->imm >> 4 & 3] = v;
    for (unsigned k = 0; k < 4; k++)
        if (i->imm >> k & 1)
            x.d[k] = 0;
    sq_vex_put(c, i->reg, x.v);
}

OP(vinsertps_r)
{
    sq_vex_check(c, i);
    insertps(c, i, c->ymm[i->rm].d[i->imm >> 6 & 3]);
    NEXT;
}

OP(vinsertps_m)
{
    sq_vex_check(c, i);
    insertps(c, i, sq_sse_load32(c, i));
    NEXT;
}

FAMW128(vinsertps, vinsertps_r, vinsertps_m)

/* --- MXCSR ----------------------------------------------------------- */

OP(vldmxcsr_m)
{
    uint32_t v;

    sq_vex_check(c, i);
    v = sq_sse_load32(c, i);
    if (v & ~(uint32_t)MXCSR_VALID)
        sq_x86_gp(c, i, 0);
    c->mxcsr = v;
    NEXT;
}

OP(vstmxcsr_m)
{
    sq_vex_check(c, i);
    sq_sse_store32(c, i, c->mxcsr);
    NEXT;
}

FAMW128(vldmxcsr, NULL, vldmxcsr_m)
FAMW128(vstmxcsr, NULL, vstmxcsr_m)
