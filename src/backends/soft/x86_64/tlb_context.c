/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process-context identifiers (SDM vol. 3, 4.10.1): translations that wait
 * for their address space to come back.
 *
 * The TLBs hold the entries of one context, and global ones. When CR3 gets
 * another PCID, the entries that are not global move to that context's list
 * and those of the new one, if they are still good, move back. Both cost as
 * much as a flush would; what is saved is the page walks afterwards. So the
 * fast paths, the translator's among them, know nothing of PCIDs.
 *
 * Waiting entries keep their rights to write, so everything that takes such
 * rights or drops translations of other contexts must look here, too.
 */
#include "backends/soft/x86_64/mem.h"

static struct sq_tlb_context *find(struct sq_x86_cpu *c, uint16_t pcid)
{
    for (size_t k = 0; k < SQ_ARRAY_LEN(c->context); k++)
        if (c->context[k].valid && c->context[k].pcid == pcid)
            return &c->context[k];
    return NULL;
}

/* A place for a context: the one that waited longest gives way. */
static struct sq_tlb_context *place(struct sq_x86_cpu *c)
{
    struct sq_tlb_context *x = &c->context[0];

    for (size_t k = 0; k < SQ_ARRAY_LEN(c->context) && x->valid; k++)
        if (!c->context[k].valid || c->context[k].since < x->since)
            x = &c->context[k];
    return x;
}

/* Moves entries that are not global out of the TLBs; those for which there
 * is no room are dropped. */
static void save(struct sq_x86_cpu *c, struct sq_tlb_context *x, unsigned u)
{
    for (size_t w = 0; w < SQ_ARRAY_LEN(c->tlb_local[u]); w++) {
        for (uint64_t m = c->tlb_local[u][w]; m; m &= m - 1) {
            size_t k = w * 64 + (size_t)__builtin_ctzll(m);
            struct sq_tlb_entry *e = &c->tlbs[u][k];

            if (e->host && x->n < SQ_ARRAY_LEN(x->data))
                x->data[x->n++] = (struct sq_tlb_waiting){
                    .e = *e, .k = (uint16_t)k, .user = u};
            sq_x86_tlb_clear(e, k);
        }
        c->tlb_used[u][w] &= ~c->tlb_local[u][w];
        c->tlb_local[u][w] = 0;
    }
    for (size_t w = 0; w < SQ_ARRAY_LEN(c->itlb_local[u]); w++) {
        for (uint64_t m = c->itlb_local[u][w]; m; m &= m - 1) {
            size_t k = w * 64 + (size_t)__builtin_ctzll(m);
            struct sq_itlb_entry *e = &c->itlb[u][k];

            if (e->tag && x->code_n < SQ_ARRAY_LEN(x->code))
                x->code[x->code_n++] = (struct sq_itlb_waiting){
                    .e = *e, .k = (uint16_t)k, .user = u};
            e->tag = 0;
        }
        c->itlb_local[u][w] = 0;
    }
}

static void restore(struct sq_x86_cpu *c, struct sq_tlb_context *x)
{
    for (unsigned n = 0; n < x->n; n++) {
        const struct sq_tlb_waiting *t = &x->data[n];

        sq_tlb_large_note(&c->large, sq_tlb_page(&t->e), t->e.gpa >> 1 & 3);
        c->tlbs[t->user][t->k] = t->e;
        c->tlb_used[t->user][t->k / 64] |= 1ull << (t->k & 63);
        c->tlb_local[t->user][t->k / 64] |= 1ull << (t->k & 63);
    }
    for (unsigned n = 0; n < x->code_n; n++) {
        const struct sq_itlb_waiting *t = &x->code[n];

        sq_tlb_large_note(&c->large, t->e.tag, t->e.gpa >> 1 & 3);
        c->itlb[t->user][t->k] = t->e;
        c->itlb_local[t->user][t->k / 64] |= 1ull << (t->k & 63);
    }
    x->valid = false;
}

void sq_x86_tlb_switch(struct sq_x86_cpu *c, uint16_t from, uint16_t to,
                       bool keep)
{
    struct sq_tlb_context *x = place(c), *next;

    if (from == to) {
        if (!keep)
            sq_x86_tlb_flush(c, true);
        return;
    }
    if (c->lockstep) { /* runs everything twice */
        sq_x86_tlb_flush(c, true);
        return;
    }
    sq_x86_answer_purge(c);
    x->valid = true;
    x->pcid = from;
    x->since = ++c->context_clock;
    x->n = x->code_n = 0;
    x->jc_gen = c->jc_gen[1];
    memcpy(x->jc_pages, c->jc_pages[0], sizeof(x->jc_pages));
    save(c, x, 0);
    save(c, x, 1);
    next = find(c, to);
    if (next && keep) {
        restore(c, next);
        sq_x86_jc_switch(c, next->jc_gen, next->jc_pages);
    } else {
        if (next)
            next->valid = false;
        sq_x86_jc_switch(c, 0, NULL);
    }
}

void sq_x86_tlb_forget(struct sq_x86_cpu *c, int pcid)
{
    sq_x86_answer_purge(c);
    for (size_t k = 0; k < SQ_ARRAY_LEN(c->context); k++)
        if (pcid < 0 || c->context[k].pcid == pcid)
            c->context[k].valid = false;
}

void sq_x86_tlb_forget_jumps(struct sq_x86_cpu *c)
{
    for (size_t k = 0; k < SQ_ARRAY_LEN(c->context); k++)
        c->context[k].jc_gen = 0;
}

void sq_x86_tlb_each_waiting(struct sq_x86_cpu *c, sq_tlb_entry_fn *fn,
                             void *ctx)
{
    for (size_t k = 0; k < SQ_ARRAY_LEN(c->context); k++) {
        struct sq_tlb_context *x = &c->context[k];

        for (unsigned n = 0; x->valid && n < x->n; n++)
            fn(c, &x->data[n].e, x->data[n].k, ctx);
    }
}
