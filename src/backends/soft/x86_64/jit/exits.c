/* SPDX-License-Identifier: Apache-2.0 */
/* How translated code goes on to other blocks, or leaves. */
#include "backends/soft/x86_64/jit/tr.h"

uint32_t sq_tr_site(struct sq_tr *t, unsigned len, bool write)
{
    const struct sq_jit_op *op = sq_tr_op(t);

    t->j->sites[t->j->site_count] = (struct sq_jit_site){
        .block = t->b, .exec = op->in.exec, .index = (uint8_t)t->k,
        .len = (uint8_t)len, .write = write, .end = sq_jit_ends(op)};
    return t->j->site_count++;
}

struct sq_tr_cold *sq_tr_cold(struct sq_tr *t, enum sq_tr_cold_kind kind,
                              uint8_t *at)
{
    struct sq_tr_cold *cold = &t->cold[t->cold_count];

    if (t->cold_count < SQ_TR_COLD_MAX - 1)
        t->cold_count++;
    else
        t->e.full = true;
    *cold = (struct sq_tr_cold){.kind = (uint8_t)kind, .at = at};
    return cold;
}

static void to_stub(struct sq_tr *t, uint32_t stub)
{
    sq_emit_patch(sq_emit_jump(&t->e, H_NONE), t->j->rw + stub);
}

/* To a stub that takes a number in R10. */
static void to_stub_with(struct sq_tr *t, uint32_t stub, uint32_t number)
{
    sq_emit_mov_imm(&t->e, H_10, number);
    to_stub(t, stub);
}

void sq_tr_interp_if(struct sq_tr *t, unsigned cc)
{
    uint32_t site = sq_tr_site(t, 0, false);

    if (cc != H_NONE) {
        sq_tr_cold(t, COLD_INTERP, sq_emit_jump(&t->e, cc))->site = site;
        return;
    }
    to_stub_with(t, t->j->interp, site);
}

/* --- to other blocks ----------------------------------------------------- */

/* The code of the block at a page offset, or NULL. */
static uint8_t *translated(struct sq_tr *t, unsigned off)
{
    const struct sq_x86_block *b;
    uint32_t code;

    if (off == t->start)
        return t->entry;
    b = sq_block_find(t->c, (t->b->pa & ~0xfffull) + off, t->b->gen);
    code = b ? sq_jit_of(b, t->user) : SQ_JIT_NONE;
    return code > SQ_JIT_NEVER ? t->j->rw + code : NULL;
}

/* Jumps to R9, through C if the jump cache does not have it. `raises`: a
 * target that is not canonical is a fault of the current instruction, and
 * RSP is `pop` less for it. */
static void jump_r9(struct sq_tr *t, int32_t pop, bool raises)
{
    uint32_t site = sq_tr_site(t, 0, false);

    t->j->sites[site].pop = pop;
    t->j->sites[site].no_fault = !raises;
    if (pop)
        sq_tr_move_rsp(t, pop);
    sq_jit_emit_probe(&t->e, t->j->host, 0);
    to_stub_with(t, t->j->miss, site);
}

static void jump_far(struct sq_tr *t, int64_t to)
{
    struct sq_emit *e = &t->e;

    sq_emit_load(e, H_9, sq_jit_cpu(CPU(js.page)));
    if (to == (int32_t)to) {
        sq_emit_lea(e, H_9,
                    (struct sq_emit_mem){H_9, H_NONE, 0, (int32_t)to});
    } else {
        sq_emit_mov_imm(e, H_10, (uint64_t)to);
        sq_emit_rr(e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_9, H_10);
    }
    jump_r9(t, 0, false);
}

void sq_tr_jump(struct sq_tr *t, unsigned cc, int64_t to)
{
    uint8_t *code;

    if ((uint64_t)to >= 4096) {
        if (cc == H_NONE)
            jump_far(t, to);
        else
            sq_tr_cold(t, COLD_FAR, sq_emit_jump(&t->e, cc))->to = to;
        return;
    }
    code = translated(t, (unsigned)to);
    if (code)
        sq_emit_patch(sq_emit_jump(&t->e, cc), code);
    else
        sq_tr_cold(t, COLD_LINK, sq_emit_jump_aligned(&t->e, cc))->to = to;
}

void sq_tr_jump_indirect(struct sq_tr *t, int32_t pop)
{
    jump_r9(t, pop, true);
}

/* --- what was put off ---------------------------------------------------- */

static void leave_at(struct sq_tr *t, uint32_t off, uint32_t stub)
{
    sq_emit_mov_imm(&t->e, H_9, off);
    to_stub(t, stub);
}

static void link(struct sq_tr *t, const struct sq_tr_cold *cold)
{
    struct sq_jit *j = t->j;

    j->links[j->link_count++] = (struct sq_jit_link){
        .target = sq_jit_target((t->b->pa & ~0xfffull) + (uint64_t)cold->to,
                                t->user),
        .at = (uint32_t)(cold->at - j->rw), .gen = t->b->gen};
    sq_emit_mov_imm(&t->e, H_10, j->link_count);
    leave_at(t, (uint32_t)cold->to, j->exit_link);
}

static void emit_cold(struct sq_tr *t, const struct sq_tr_cold *cold)
{
    struct sq_emit *e = &t->e;
    struct sq_jit *j = t->j;

    if (cold->at)
        sq_emit_patch(cold->at, e->at);
    switch (cold->kind) {
    case COLD_CHECK:
        sq_emit_rm(e, SQ_OPC(0, 0, 0x03), SQ_E_W, H_9,
                   (struct sq_emit_mem){H_SP, H_10, 0, cold->tag});
        to_stub_with(t, j->slow, cold->site);
        break;
    case COLD_INTERP: to_stub_with(t, j->interp, cold->site); break;
    case COLD_DONE:
        for (uint32_t s = cold->site; s < j->site_count &&
                                      j->sites[s].index == (uint16_t)cold->to;
             s++)
            j->sites[s].done = (uint32_t)(e->at - j->rw);
        t->host_ok = false;
        sq_tr_flags_restore(t);
        sq_emit_patch(sq_emit_jump(e, H_NONE), cold->back);
        break;
    case COLD_ATTN: leave_at(t, t->start, j->exit_at); break;
    case COLD_FUEL: /* give back what the head took */
        sq_emit_rm(e, SQ_OPC(0, 0, 0x81), 0, 0, sq_jit_cpu(CPU(js.fuel)));
        sq_emit_u32(e, t->n);
        leave_at(t, t->start, j->exit_fuel);
        break;
    case COLD_NO_AVX:
    case COLD_XMM: /* or leaves; R10 and js.tmp say with what undone */
        sq_emit_rm(e, SQ_OPC(0, 0, 0xc7), 0, 0, sq_jit_cpu(CPU(js.tmp)));
        sq_emit_u32(e, t->n - cold->index);
        sq_emit_mov_imm(e, H_10, t->op[cold->index].in.off);
        if (cold->kind == COLD_NO_AVX) {
            to_stub(t, j->exit_before);
            break;
        }
        sq_emit_mov_imm(e, H_9, (uint64_t)(uintptr_t)(
                                    j->rx + (cold->back - j->rw)));
        to_stub(t, j->xmm_in);
        break;
    case COLD_LINK: link(t, cold); break;
    case COLD_RUN:
        if (cold->at2)
            sq_emit_patch(cold->at2, e->at);
        sq_tr_cold_run(t, cold);
        break;
    default: jump_far(t, cold->to); break;
    }
}

void sq_tr_finish(struct sq_tr *t)
{
    for (unsigned k = 0; k < t->cold_count; k++)
        emit_cold(t, &t->cold[k]);
}
