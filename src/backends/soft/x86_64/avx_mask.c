/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX loads and stores of some elements: VMASKMOVPS and its kin, gathers.
 * Elements that the mask leaves out are not accessed and cannot fault.
 */
#include "backends/soft/x86_64/sse.h"

/* The linear address of the element `off` bytes behind the operand. */
static inline uint64_t element_gva(struct sq_x86_cpu *c,
                                   const struct sq_x86_insn *i, uint64_t sum,
                                   unsigned len, enum sq_access access)
{
    if (SQ_UNLIKELY(i->flags & IF_SLOW_EA))
        return sq_x86_ea_slow(c, i, sum, len, access);
    return sum + c->segbase[i->seg];
}

/* Whether element k of `len` bytes is selected: its top bit. */
static inline bool selected(const union sq_ymm *mask, unsigned k,
                            unsigned len)
{
    return mask->b[(k + 1) * len - 1] & 0x80;
}

/* --- VMASKMOVPS, VPMASKMOVQ and so on -------------------------------- */

static void masked_load(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        unsigned len, unsigned total)
{
    const union sq_ymm *mask = &c->ymm[i->imm2];
    union sq_ymm r = {{0}};

    sq_vex_check(c, i);
    for (unsigned k = 0; k < total / len; k++) {
        if (!selected(mask, k, len))
            continue;
        sq_ld_bytes(c, i,
                    element_gva(c, i, sq_ea_sum(c, i) + k * len, len,
                                ACCESS_R),
                    r.b + k * len, len);
    }
    c->ymm[i->reg] = r;
}

static void masked_store(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         unsigned len, unsigned total)
{
    const union sq_ymm *mask = &c->ymm[i->imm2];
    uint64_t gva[8];

    sq_vex_check(c, i);
    for (unsigned k = 0; k < total / len; k++) {
        if (!selected(mask, k, len))
            continue;
        gva[k] = element_gva(c, i, sq_ea_sum(c, i) + k * len, len, ACCESS_W);
        sq_x86_probe_write(c, i, gva[k], len);
    }
    for (unsigned k = 0; k < total / len; k++)
        if (selected(mask, k, len))
            sq_st_bytes(c, i, gva[k], c->ymm[i->reg].b + k * len, len);
}

#define MASKED(name, fn, len, total)                                       \
    OP(name)                                                               \
    {                                                                      \
        fn(c, i, len, total);                                              \
        NEXT;                                                              \
    }
MASKED(load_d128, masked_load, 4, 16)
MASKED(load_q128, masked_load, 8, 16)
MASKED(load_d256, masked_load, 4, 32)
MASKED(load_q256, masked_load, 8, 32)
MASKED(store_d128, masked_store, 4, 16)
MASKED(store_q128, masked_store, 8, 16)
MASKED(store_d256, masked_store, 4, 32)
MASKED(store_q256, masked_store, 8, 32)

#define FAM_MEMORY(name, w0_128, w1_128, w0_256, w1_256)                   \
    const struct sq_x86_family sq_f_##name = {                             \
        {{NULL}, {w0_128, w1_128, w0_256, w1_256}}};
FAM_MEMORY(vmaskmovps_load, load_d128, NULL, load_d256, NULL)
FAM_MEMORY(vmaskmovpd_load, load_q128, NULL, load_q256, NULL)
FAM_MEMORY(vmaskmovps_store, store_d128, NULL, store_d256, NULL)
FAM_MEMORY(vmaskmovpd_store, store_q128, NULL, store_q256, NULL)
FAM_MEMORY(vpmaskmov_load, load_d128, load_q128, load_d256, load_q256)
FAM_MEMORY(vpmaskmov_store, store_d128, store_q128, store_d256, store_q256)

/* --- gathers --------------------------------------------------------- */

/* `n` elements of `len` bytes, by indices of `index_len` bytes. An element's
 * mask is cleared when it is there, so that after a fault, or a device's
 * answer, the instruction goes on with those that are left (SDM vol. 2,
 * VPGATHERDD). */
static void gather(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                   unsigned n, unsigned len, unsigned index_len)
{
    union sq_ymm *to = &c->ymm[i->reg], *mask = &c->ymm[i->imm2];
    const union sq_ymm *index = &c->ymm[i->index];
    uint64_t base = sq_rd64(c, i->base) + (uint64_t)(int64_t)i->disp;

    sq_vex_check(c, i);
    if (i->reg == i->imm2 || i->reg == i->index || i->imm2 == i->index)
        sq_x86_ud(c, i);
    for (unsigned k = 0; k < n; k++)
        memset(mask->b + k * len, selected(mask, k, len) ? 0xff : 0, len);
    memset(mask->b + n * len, 0, 32 - n * len);
    for (unsigned k = 0; k < n; k++) {
        int64_t at = index_len == 4 ? (int32_t)index->d[k]
                                    : (int64_t)index->q[k];
        uint64_t v;

        if (!selected(mask, k, len))
            continue;
        sq_ld_bytes(c, i,
                    element_gva(c, i, base + ((uint64_t)at << i->scale), len,
                                ACCESS_R),
                    &v, len);
        memcpy(to->b + k * len, &v, len);
        memset(mask->b + k * len, 0, len);
        sq_x86_replay_reset(c);
    }
    memset(to->b + n * len, 0, 32 - n * len);
}

#define GATHER(name, n, len, index_len)                                    \
    OP(name)                                                               \
    {                                                                      \
        gather(c, i, n, len, index_len);                                   \
        NEXT;                                                              \
    }
GATHER(gather_dd128, 4, 4, 4)
GATHER(gather_dd256, 8, 4, 4)
GATHER(gather_dq128, 2, 8, 4)
GATHER(gather_dq256, 4, 8, 4)
GATHER(gather_qd128, 2, 4, 8)
GATHER(gather_qd256, 4, 4, 8)
GATHER(gather_qq128, 2, 8, 8)
GATHER(gather_qq256, 4, 8, 8)

FAM_MEMORY(vgatherd, gather_dd128, gather_dq128, gather_dd256, gather_dq256)
FAM_MEMORY(vgatherq, gather_qd128, gather_qq128, gather_qd256, gather_qq256)
