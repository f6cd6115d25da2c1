/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "backends/soft/vm.h"
#include "backends/soft/x86_64/jit/tr.h"

#define ROOM (64u << 10) /* more than any block needs */

/* Whether the bytes still are what the block was decoded from, where its
 * operands count from the block's start and not from the page's. Another vCPU
 * may be about to say that it overwrites them; slow paths run what was decoded
 * then (run.c), which must be the same. */
static bool as_decoded(const struct sq_tr *t, const struct sq_jit_op *op,
                       const uint8_t *bytes, unsigned room)
{
    const size_t from = offsetof(struct sq_x86_insn, off);
    struct sq_decode_in in = {.bytes = bytes, .avail = room, .mode = MODE_64,
                              .off = (uint16_t)(op->in.off - t->start)};
    const struct sq_x86_row *row = NULL;
    struct sq_x86_insn i = op->in;

    if (sq_jit_ends(op)) { /* branches: imm is relative, too */
        if (sq_x86_decode(&in, &i, &row) != DECODE_OK)
            return false;
    } else {
        i.off = in.off;
        if (i.base == SQ_RIP * 8 && !(i.flags & IF_RIPREL_RAW))
            i.disp -= (int32_t)t->start;
    }
    /* all but `exec` */
    return memcmp((const uint8_t *)&i + from,
                  (const uint8_t *)&t->b->insn[t->n] + from,
                  sizeof(i) - from) == 0;
}

/* Decodes the block's bytes anew. False: not for us. */
static bool read_ops(struct sq_tr *t)
{
    unsigned off = t->start, native = 0;

    for (t->n = 0; t->n < t->b->n; t->n++) {
        struct sq_jit_op *op = &t->op[t->n];
        uint8_t bytes[15];
        unsigned room = 4096 - off;

        if (off >= 4096)
            return false;
        if (room > sizeof(bytes))
            room = sizeof(bytes);
        memcpy(bytes, t->page + off, room);
        if (!sq_jit_op(bytes, room, off, op) || !op->in.exec)
            return false; /* goes on elsewhere, or is undefined */
        if (!as_decoded(t, op, bytes, room))
            return false;
        if (!sq_tr_native(t, op)) {
            op->kind = sq_jit_ends(op) ? JK_INTERP_END : JK_INTERP;
            op->wr = 0;
            op->touches = false;
        }
        off += op->in.len;
        native += op->kind != JK_INTERP && op->kind != JK_INTERP_END;
        if (sq_jit_ends(op) && t->n + 1u != t->b->n)
            return false;
    }
    if (sq_tr_exact(t))
        sq_tr_leave_undefined(t);
    return native != 0;
}

static uint16_t needed_at(struct sq_tr *t, uint64_t to)
{
    if (to >= 4096 || sq_tr_exact(t))
        return FL_STATUS;
    return sq_jit_flags_needed(t->c, t->b, t->page, (unsigned)to);
}

/* Flags that are read after the block. */
static uint16_t live_out(struct sq_tr *t)
{
    const struct sq_jit_op *op = &t->op[t->n - 1];
    uint64_t next = op->in.off + op->in.len;

    switch (op->kind) {
    case JK_JMP:
    case JK_CALL: return needed_at(t, op->in.imm);
    case JK_JCC: return needed_at(t, op->in.imm) | needed_at(t, next);
    default: return sq_jit_ends(op) ? FL_STATUS : needed_at(t, next);
    }
}

static void find_live(struct sq_tr *t)
{
    t->live[t->n] = live_out(t);
    for (unsigned k = t->n; k-- > 0;) {
        const struct sq_jit_op *op = &t->op[k];

        t->live[k] = (uint16_t)(op->rd | (t->live[k + 1] & ~op->wr));
        if (sq_tr_exact(t))
            t->live[k] = FL_STATUS;
    }
}

/* Flags that instructions before `index` left undefined. */
static uint16_t undefined(const struct sq_tr *t, unsigned index)
{
    unsigned off = t->start;
    uint16_t open = 0;

    for (unsigned k = 0; k < index; k++) {
        const struct sq_jit_op *op = &t->op[k];
        struct sq_decode_in in = {
            .bytes = t->page + off, .avail = 4096 - off, .mode = MODE_64};
        const struct sq_x86_row *row = NULL;
        struct sq_x86_insn i;

        off += op->in.len;
        if (sq_x86_decode(&in, &i, &row) != DECODE_OK)
            continue;
        open = (uint16_t)((open & ~op->wr) | row->undefined);
        /* Rotates by more than one. */
        if (row->name[0] == 'r' && (row->name[1] == 'o' || row->name[1] == 'c'))
            open |= FL_OF;
    }
    return open;
}

uint16_t sq_jit_live(struct sq_x86_cpu *c, struct sq_x86_block *b,
                     unsigned index)
{
    struct sq_soft_slot *s = sq_soft_slot_of(c->vm, b->pa);
    struct sq_tr t = {
        .c = c, .j = c->jit, .b = b, .start = (unsigned)(b->pa & 0xfff)};

    if (!s)
        return 0;
    t.page = s->hva + ((b->pa & ~0xfffull) - s->gpa);
    if (!read_ops(&t))
        return 0;
    find_live(&t);
    return t.live[index] & ~undefined(&t, index);
}

/* Looks for reasons to leave, counts. */
static void emit_head(struct sq_tr *t)
{
    struct sq_emit *e = &t->e;

    sq_emit_rm(e, SQ_OPC(0, 0, 0x83), 0, 7, sq_jit_cpu(CPU(attn)));
    sq_emit_u8(e, 0);
    sq_tr_cold(t, COLD_ATTN, sq_emit_jump(e, 5));
    sq_emit_rm(e, SQ_OPC(0, 0, 0x83), 0, 5, sq_jit_cpu(CPU(js.fuel)));
    sq_emit_u8(e, (uint8_t)t->n);
    sq_tr_cold(t, COLD_FUEL, sq_emit_jump(e, 8));
}

static void find_xmm(struct sq_tr *t)
{
    for (unsigned k = 0; k < t->n; k++)
        if (t->op[k].kind == JK_SSE) {
            t->b->xmm = true;
            if (t->op[k].is_vex)
                t->b->avx = true;
        }
}

static bool has_room(const struct sq_jit *j)
{
    return j->used + ROOM <= j->room / 2 &&
           j->cold_used + ROOM <= (SQ_JIT_CODE_LEN + j->room) / 2 &&
           SQ_JIT_SITES_MAX - j->site_count >= SQ_TR_COLD_MAX &&
           SQ_JIT_LINKS_MAX - j->link_count >= SQ_TR_COLD_MAX;
}

bool sq_jit_translate(struct sq_x86_cpu *c, struct sq_x86_block *b, bool user)
{
    struct sq_jit *j = c->jit;
    struct sq_soft_slot *s = sq_soft_slot_of(c->vm, b->pa);
    uint32_t sites = j->site_count, links = j->link_count;
    struct sq_tr t = {
        .c = c, .j = j, .b = b, .user = user,
        .start = (unsigned)(b->pa & 0xfff), .mem_ok = true};
    uint8_t *end, *at;
    bool full;

    if (!has_room(j))
        return false;
    /* Others interpret it meanwhile. */
    atomic_store(&b->jit[user], SQ_JIT_NEVER);
    if (!s)
        return true;
    t.page = s->hva + ((b->pa & ~0xfffull) - s->gpa);
    if (!read_ops(&t))
        return true;
    t.e = (struct sq_emit){j->rw + j->used, j->rw + j->used + ROOM, false};
    t.entry = t.e.at;
    find_live(&t);
    emit_head(&t);
    find_xmm(&t);
    if (b->xmm)
        sq_tr_xmm_in(&t, b->avx);
    for (t.k = 0; t.k < t.n;) {
        unsigned n = sq_tr_run(&t);

        if (!n) {
            sq_tr_insn(&t);
            n = 1;
        }
        t.k += n;
    }
    t.k = t.n - 1;
    if (!sq_jit_ends(&t.op[t.k])) {
        if (t.live[t.n])
            sq_tr_flags_save(&t);
        sq_tr_jump(&t, H_NONE, t.op[t.k].in.off + t.op[t.k].in.len);
    }
    end = t.e.at;
    full = t.e.full;
    at = j->rw + j->cold_used;
    t.e = (struct sq_emit){at, at + ROOM, full};
    sq_tr_finish(&t); /* may come back to instructions of the block */
    /* Written to meanwhile: what was read may be half of each. */
    if (t.e.full || !sq_block_fresh(b)) {
        j->site_count = sites;
        j->link_count = links;
        return true;
    }
    atomic_store_explicit(&b->jit[user], (uint32_t)(t.entry - j->rw),
                          memory_order_release);
    j->used = ((size_t)(end - j->rw) + 15) & ~(size_t)15;
    j->cold_used = (size_t)(t.e.at - j->rw);
    return true;
}
