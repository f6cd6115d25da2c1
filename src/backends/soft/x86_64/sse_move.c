/* SPDX-License-Identifier: Apache-2.0 */
/* SSE data movement: loads, stores, inserts, extracts, masks; MXCSR. */
#include "backends/soft/x86_64/sse.h"

void sq_sse_refuse(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    if (c->cr0 & CR0_EM || !(c->cr4 & CR4_OSFXSR))
        sq_x86_ud(c, i);
    sq_x86_raise(c, i, EXC_NM, NO_ERROR_CODE);
}

void sq_vex_refuse(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    uint64_t both = XSTATE_SSE | XSTATE_AVX;

    if (!(c->cr0 & CR0_PE) || c->rflags & FL_VM ||
        !(c->cr4 & CR4_OSXSAVE) || (c->xcr0 & both) != both)
        sq_x86_ud(c, i);
    sq_x86_raise(c, i, EXC_NM, NO_ERROR_CODE);
}

/* --- whole registers ------------------------------------------------- */

static inline void store_any(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i)
{
    sq_vec v = sq_xmm_get(c, i->reg);

    sq_st_bytes(c, i, sq_ea(c, i, 16, ACCESS_W), &v, 16);
}

static inline void store_aligned(struct sq_x86_cpu *c,
                                 const struct sq_x86_insn *i)
{
    uint64_t gva = sq_ea(c, i, 16, ACCESS_W);
    sq_vec v = sq_xmm_get(c, i->reg);

    if (SQ_UNLIKELY(gva & 15))
        sq_x86_gp(c, i, 0);
    sq_st_bytes(c, i, gva, &v, 16);
}

/* reg = rm */
OP(mov_load_r)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->reg, sq_xmm_get(c, i->rm));
    NEXT;
}

OP(mova_load_m)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->reg, sq_sse_load(c, i));
    NEXT;
}

OP(movu_load_m)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->reg, sq_sse_load_any(c, i));
    NEXT;
}

/* rm = reg */
OP(mov_store_r)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->rm, sq_xmm_get(c, i->reg));
    NEXT;
}

OP(mova_store_m)
{
    sq_sse_check(c, i);
    store_aligned(c, i);
    NEXT;
}

OP(movu_store_m)
{
    sq_sse_check(c, i);
    store_any(c, i);
    NEXT;
}

FAM1(sse_mova_load, mov_load_r, mova_load_m)
FAM1(sse_movu_load, mov_load_r, movu_load_m)
FAM1(sse_mova_store, mov_store_r, mova_store_m)
FAM1(sse_movu_store, mov_store_r, movu_store_m)
/* Memory only: MOVNTDQA, LDDQU, MOVNTPS and so on. Caching hints mean
 * nothing here. */
FAM1(sse_mova_load_M, NULL, mova_load_m)
FAM1(sse_movu_load_M, NULL, movu_load_m)
FAM1(sse_mova_store_M, NULL, mova_store_m)

/* --- one lane -------------------------------------------------------- */

/* MOVSS and MOVSD: from memory they clear the rest, between registers they
 * leave it. */
OP(movss_load_r)
{
    sq_sse_check(c, i);
    c->ymm[i->reg].d[0] = c->ymm[i->rm].d[0];
    NEXT;
}

OP(movss_load_m)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->reg, (sq_vec){sq_sse_load32(c, i), 0});
    NEXT;
}

OP(movss_store_r)
{
    sq_sse_check(c, i);
    c->ymm[i->rm].d[0] = c->ymm[i->reg].d[0];
    NEXT;
}

OP(movss_store_m)
{
    sq_sse_check(c, i);
    sq_sse_store32(c, i, c->ymm[i->reg].d[0]);
    NEXT;
}

OP(movsd_load_r)
{
    sq_sse_check(c, i);
    c->ymm[i->reg].q[0] = c->ymm[i->rm].q[0];
    NEXT;
}

OP(movq_load_m)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->reg, (sq_vec){sq_sse_load64(c, i), 0});
    NEXT;
}

OP(movsd_store_r)
{
    sq_sse_check(c, i);
    c->ymm[i->rm].q[0] = c->ymm[i->reg].q[0];
    NEXT;
}

OP(movq_store_m)
{
    sq_sse_check(c, i);
    sq_sse_store64(c, i, c->ymm[i->reg].q[0]);
    NEXT;
}

/* MOVQ clears the rest in either direction. */
OP(movq_load_r)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->reg, (sq_vec){c->ymm[i->rm].q[0], 0});
    NEXT;
}

OP(movq_store_r)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->rm, (sq_vec){c->ymm[i->reg].q[0], 0});
    NEXT;
}

FAM1(movss_load, movss_load_r, movss_load_m)
FAM1(movss_store, movss_store_r, movss_store_m)
FAM1(movsd_load, movsd_load_r, movq_load_m)
FAM1(movsd_store, movsd_store_r, movq_store_m)
FAM1(movq_load, movq_load_r, movq_load_m)
FAM1(movq_store, movq_store_r, movq_store_m)

/* MOVD and MOVQ with general registers; the load from memory is that of
 * MOVSS and MOVQ. */
OP(movd_load_r32)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->reg, (sq_vec){RD(32, i->rm), 0});
    NEXT;
}

OP(movd_load_r64)
{
    sq_sse_check(c, i);
    sq_xmm_put(c, i->reg, (sq_vec){RD(64, i->rm), 0});
    NEXT;
}

OP(movd_store_r32)
{
    sq_sse_check(c, i);
    WR(32, i->rm, c->ymm[i->reg].d[0]);
    NEXT;
}

OP(movd_store_r64)
{
    sq_sse_check(c, i);
    WR(64, i->rm, c->ymm[i->reg].q[0]);
    NEXT;
}

FAMY(movd_load, movd_load_r32, movd_load_r64, movss_load_m, movq_load_m)
FAMY(movd_store, movd_store_r32, movd_store_r64, movss_store_m,
     movq_store_m)

/* --- halves ---------------------------------------------------------- */

OP(movhlps_r)
{
    sq_sse_check(c, i);
    c->ymm[i->reg].q[0] = c->ymm[i->rm].q[1];
    NEXT;
}

OP(movlp_load_m)
{
    sq_sse_check(c, i);
    c->ymm[i->reg].q[0] = sq_sse_load64(c, i);
    NEXT;
}

OP(movlhps_r)
{
    sq_sse_check(c, i);
    c->ymm[i->reg].q[1] = c->ymm[i->rm].q[0];
    NEXT;
}

OP(movhp_load_m)
{
    sq_sse_check(c, i);
    c->ymm[i->reg].q[1] = sq_sse_load64(c, i);
    NEXT;
}

OP(movhp_store_m)
{
    sq_sse_check(c, i);
    sq_sse_store64(c, i, c->ymm[i->reg].q[1]);
    NEXT;
}

FAM1(movlps_load, movhlps_r, movlp_load_m)
FAM1(movlpd_load, NULL, movlp_load_m)
FAM1(movlp_store, NULL, movq_store_m)
FAM1(movhps_load, movlhps_r, movhp_load_m)
FAM1(movhpd_load, NULL, movhp_load_m)
FAM1(movhp_store, NULL, movhp_store_m)

OP(movddup_r)
{
    uint64_t v = c->ymm[i->rm].q[0];

    sq_sse_check(c, i);
    sq_xmm_put(c, i->reg, (sq_vec){v, v});
    NEXT;
}

OP(movddup_m)
{
    uint64_t v;

    sq_sse_check(c, i);
    v = sq_sse_load64(c, i);
    sq_xmm_put(c, i->reg, (sq_vec){v, v});
    NEXT;
}

FAM1(movddup, movddup_r, movddup_m)
AVX_OP(movsldup, 0, (b & 0xffffffff) | b << 32)
AVX_OP(movshdup, 0, b >> 32 | (b & 0xffffffff00000000))

/* --- masks ----------------------------------------------------------- */

OP(movmskps_r)
{
    const union sq_ymm *x = &c->ymm[i->rm];

    sq_sse_check(c, i);
    WR(32, i->reg,
       x->d[0] >> 31 | (x->d[1] >> 31) << 1 | (x->d[2] >> 31) << 2 |
           (x->d[3] >> 31) << 3);
    NEXT;
}

OP(movmskpd_r)
{
    const union sq_ymm *x = &c->ymm[i->rm];

    sq_sse_check(c, i);
    WR(32, i->reg, x->q[0] >> 63 | (x->q[1] >> 63) << 1);
    NEXT;
}

FAM1(movmskps, movmskps_r, NULL)
FAM1(movmskpd, movmskpd_r, NULL)

void sq_sse_store_masked(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         const uint8_t *v, const uint8_t *mask, unsigned len)
{
    uint64_t off = c->gpr[R_DI], gva;
    unsigned first = 0, end = len;

    if (i->flags & IF_ASZ16)
        off = (uint16_t)off;
    else if (i->flags & IF_ASZ32)
        off = (uint32_t)off;
    gva = sq_x86_linear(c, i, i->seg, off, len, ACCESS_W);
    while (first < len && !(mask[first] & 0x80))
        first++;
    while (end > first && !(mask[end - 1] & 0x80))
        end--;
    if (first == end)
        return;
    sq_x86_probe_write(c, i, gva + first, end - first);
    while (first < end) {
        unsigned n = 0;

        while (first + n < end && mask[first + n] & 0x80)
            n++;
        if (n)
            sq_st_bytes(c, i, gva + first, v + first, n);
        first += n + 1;
    }
}

OP(maskmovdqu_r)
{
    sq_sse_check(c, i);
    sq_sse_store_masked(c, i, c->ymm[i->reg].b, c->ymm[i->rm].b, 16);
    NEXT;
}

FAM1(maskmovdqu, maskmovdqu_r, NULL)

/* --- insert and extract ---------------------------------------------- */

/* Element imm of reg to a register (zero-extended) or to memory. */
#define EXTRACT(name, n, field, mask)                                      \
    OP(name##_r)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        WR(64, i->rm, c->ymm[i->reg].field[i->imm & (mask)]);              \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        sq_sse_store##n(c, i, c->ymm[i->reg].field[i->imm & (mask)]);      \
        NEXT;                                                              \
    }
EXTRACT(pextrb, 8, b, 15)
EXTRACT(pextrw, 16, w, 7)
EXTRACT(pextrd, 32, d, 3)
EXTRACT(pextrq, 64, q, 1)

FAM1(pextrb, pextrb_r, pextrb_m)
FAM1(pextrw_E, pextrw_r, pextrw_m)
FAM1(extractps, pextrd_r, pextrd_m)
FAMY(pextrd, pextrd_r, pextrq_r, pextrd_m, pextrq_m)

/* The older PEXTRW has its operands the other way round. */
OP(pextrw_GX_r)
{
    sq_sse_check(c, i);
    WR(64, i->reg, c->ymm[i->rm].w[i->imm & 7]);
    NEXT;
}

FAM1(pextrw, pextrw_GX_r, NULL)

#define INSERT(name, n, field, mask)                                       \
    OP(name##_r)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        c->ymm[i->reg].field[i->imm & (mask)] = RD(n, i->rm);              \
        NEXT;                                                              \
    }                                                                      \
    OP(name##_m)                                                           \
    {                                                                      \
        sq_sse_check(c, i);                                                \
        c->ymm[i->reg].field[i->imm & (mask)] = sq_sse_load##n(c, i);      \
        NEXT;                                                              \
    }
INSERT(pinsrb, 8, b, 15)
INSERT(pinsrw, 16, w, 7)
INSERT(pinsrd, 32, d, 3)
INSERT(pinsrq, 64, q, 1)

FAM1(pinsrb, pinsrb_r, pinsrb_m)
FAM1(pinsrw, pinsrw_r, pinsrw_m)
FAMY(pinsrd, pinsrd_r, pinsrq_r, pinsrd_m, pinsrq_m)

static inline void insertps(union sq_ymm *x, uint32_t v, unsigned imm)
{
    x->d[imm >> 4 & 3] = v;
    for (unsigned k = 0; k < 4; k++)
        if (imm >> k & 1)
            x->d[k] = 0;
}

OP(insertps_r)
{
    sq_sse_check(c, i);
    insertps(&c->ymm[i->reg], c->ymm[i->rm].d[i->imm >> 6 & 3],
             (unsigned)i->imm);
    NEXT;
}

OP(insertps_m)
{
    sq_sse_check(c, i);
    insertps(&c->ymm[i->reg], sq_sse_load32(c, i), (unsigned)i->imm);
    NEXT;
}

FAM1(insertps, insertps_r, insertps_m)

/* --- MXCSR ----------------------------------------------------------- */

OP(ldmxcsr_m)
{
    uint32_t v;

    sq_sse_check(c, i);
    v = sq_sse_load32(c, i);
    if (v & ~(uint32_t)MXCSR_VALID)
        sq_x86_gp(c, i, 0);
    c->mxcsr = v;
    NEXT;
}

OP(stmxcsr_m)
{
    sq_sse_check(c, i);
    sq_sse_store32(c, i, c->mxcsr);
    NEXT;
}

FAM1(ldmxcsr, NULL, ldmxcsr_m)
FAM1(stmxcsr, NULL, stmxcsr_m)
