/* SPDX-License-Identifier: Apache-2.0 */
/* Entering translated code, and what it calls when it cannot go on. */
#include "backends/soft/x86_64/flags.h"
#include "backends/soft/x86_64/jit/state.h"
#include "backends/soft/x86_64/mem.h"
#include "backends/soft/x86_64/strings.h"

/* Instructions between two looks at the clock. */
#define FUEL 16384

/* Status flags as translated code keeps them: LAHF's AH in the high byte,
 * OF in the low one. */
static void flags_in(struct sq_x86_cpu *c)
{
    uint16_t f = c->js.flags;

    sq_set_status(c, (f >> 8 & 0xd5u) | (f & 1u) << 11);
}

static void flags_out(struct sq_x86_cpu *c)
{
    uint32_t s = sq_status(c);

    c->js.flags = (uint16_t)((s & 0xd5) << 8 | (s >> 11 & 1));
}

static void count_in(struct sq_x86_cpu *c)
{
    c->icount += (uint64_t)(int64_t)(c->js.fuel_then - c->js.fuel);
    c->js.fuel_then = c->js.fuel;
}

/* --- slow paths ---------------------------------------------------------- */

static void end_of_one(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    (void)c, (void)i;
}

/* The CPU as the interpreter has it just before the instruction, which
 * becomes a block of its own: it has what is left to count of the real
 * one. */
static struct sq_x86_insn *one(struct sq_x86_cpu *c,
                               const struct sq_jit_site *s)
{
    struct sq_x86_block *b = (struct sq_x86_block *)(void *)c->one;

    count_in(c);
    flags_in(c);
    /* offsets of instructions count from it */
    c->gpr[SQ_RIP] = c->js.page + (s->block->pa & 0xfff);
    b->pa = s->block->pa;
    b->page = s->block->page;
    b->gen = s->block->gen;
    b->mode = s->block->mode;
    b->n = (uint16_t)(s->block->n - s->index);
    b->insn[0] = s->block->insn[s->index];
    b->insn[0].exec = s->exec;
    b->insn[1].exec = end_of_one;
    b->insn[1].off = (uint16_t)(b->insn[0].off + b->insn[0].len);
    c->block = b;
    if (SQ_UNLIKELY(s->index >= c->js.stop))
        sq_x86_stop_at(c, b->insn);
    return b->insn;
}

/* What keeps SSE instructions from the host: see sq_sse_check(), and
 * exceptions that the guest does not mask. */
static void look_at_sse(struct sq_x86_cpu *c)
{
    c->js.no_xmm = c->cr0 & (CR0_EM | CR0_TS) ||
                   !(c->cr4 & CR4_OSFXSR) || ~c->mxcsr & 0x1f80;
    c->js.no_avx = c->js.no_xmm || !(c->cr4 & CR4_OSXSAVE) ||
                   (c->xcr0 & 6) != 6;
}

/* Translations are for 64-bit code and privilege levels 0 and 3. */
static bool may_run(const struct sq_x86_cpu *c)
{
    return c->code64 && (c->cpl == 0 || c->cpl == 3);
}

static struct sq_x86_jjc *jjc_at(struct sq_x86_cpu *c, uint64_t gva,
                                 unsigned way)
{
    return &c->jjc[((uint32_t)(gva >> 12) ^ (uint32_t)gva ^ way) &
                   (SQ_JJC_SIZE - 1)];
}

static void enter_jump(struct sq_x86_cpu *c, const struct sq_x86_block *b,
                       bool user)
{
    uint64_t gva = c->gpr[SQ_RIP];
    struct sq_x86_jjc *e = jjc_at(c, gva, 0);

    if (e->gva != gva)
        *jjc_at(c, gva, 1) = *e; /* its place, too */
    e->gva = gva;
    e->key = (uint32_t)(c->jc_key >> 32);
    e->code = c->jit->rx + sq_jit_of(b, user);
    e->gen_at = &b->page->gen;
    e->gen = b->gen;
}

/* Where translated code goes on at RIP, with the registers in gpr[]: in
 * translated code, or out to the run loop. */
static const void *go_on(struct sq_x86_cpu *c)
{
    uint64_t gva = c->gpr[SQ_RIP];
    const struct sq_x86_jjc *e = jjc_at(c, gva, 0);
    const struct sq_x86_jc *jc;
    bool user = c->cpl == 3;

    c->js.xmm_back = false;
    if (!may_run(c) ||
        atomic_load_explicit(&c->attn, memory_order_relaxed) ||
        (c->det && c->budget <= 0)) /* a timer was set */
        return c->jit->rx + c->jit->exit_clean;
    if (e->gva != gva || e->key != c->jc_key >> 32 ||
        atomic_load_explicit(e->gen_at, memory_order_relaxed) != e->gen) {
        jc = sq_x86_jc_at(c, gva);
        if (jc->key != (gva ^ c->jc_key) || !sq_block_fresh(jc->block) ||
            sq_jit_of(jc->block, user) <= SQ_JIT_NEVER)
            return c->jit->rx + c->jit->exit_clean;
        enter_jump(c, jc->block, user);
    }
    c->js.page = gva & ~0xfffull;
    return e->code;
}

const void *sq_jit_miss(struct sq_x86_cpu *c, uint32_t site, uint64_t gva)
{
    const struct sq_jit_site *s = &c->jit->sites[site];

    if (!sq_canonical(gva) && !s->no_fault) {
        c->gpr[R_SP] -= (uint64_t)(int64_t)s->pop;
        return sq_jit_interp(c, site); /* which raises what is due */
    }
    c->gpr[SQ_RIP] = gva;
    return go_on(c);
}

static const void *execute(struct sq_x86_cpu *c, const struct sq_jit_site *s,
                           struct sq_x86_insn *i)
{
    i->exec(c, i);
    look_at_sse(c);
    flags_out(c);
    if (c->js.no_xmm)
        c->js.xmm_back = false;
    /* Code that was overwritten meanwhile, by whomever, ends here: this may
     * have been an instruction behind which that must be seen. */
    if (i[1].exec == end_of_one && !s->end && !sq_block_fresh(c->block)) {
        sq_x86_set_exec(i + 1, sq_x86_exec_stop);
        sq_x86_exec_stop(c, i + 1);
    }
    if (i[1].exec != end_of_one) {
        c->js.xmm_back = false;
        return c->jit->rx + c->jit->exit_clean;
    }
    if (s->end)
        return go_on(c);
    return c->jit->rx + s->done;
}

const void *sq_jit_interp(struct sq_x86_cpu *c, uint32_t site)
{
    const struct sq_jit_site *s = &c->jit->sites[site];

    return execute(c, s, one(c, s));
}

const void *sq_jit_slow(struct sq_x86_cpu *c, uint32_t site, uint64_t gva)
{
    const struct sq_jit_site *s = &c->jit->sites[site];
    struct sq_x86_insn *i = one(c, s);
    void *p = NULL;

    /* Over a page boundary the interpreter knows which page faults; and it
     * sees breakpoints. */
    if ((gva & 0xfff) + s->len <= 4096 && !c->debug.data)
        p = sq_x86_ptr_slow(c, i, gva, s->len, s->write);
    /* We may just have got leave to write to our own page unseen, because
     * this code is stale: direct jumps within it must not be taken then. */
    if (!p || (s->write && !sq_block_fresh(c->block)))
        return execute(c, s, i);
    c->js.gva = gva;
    c->js.add = (uintptr_t)p - gva;
    return c->jit->rx + s->op;
}

/* --- entry --------------------------------------------------------------- */

static void link_up(struct sq_x86_cpu *c, struct sq_x86_block *b, bool user)
{
    const struct sq_jit_link *l = &c->jit->links[c->js.link - 1];

    c->js.link = 0;
    if (l->target == sq_jit_target(b->pa, user) && l->gen == b->gen)
        sq_emit_patch_live(c->jit->rw + l->at,
                           c->jit->rw + sq_jit_of(b, user));
}

static void note_made(struct sq_x86_cpu *c, const struct sq_x86_block *b,
                      bool user)
{
    struct sq_jit *j = c->jit;
    uint32_t code = sq_jit_of(b, user);

    j->made++;
    j->last = (struct sq_jit_made){
        .rip = c->gpr[SQ_RIP], .pa = b->pa, .len = b->insn[b->n].off,
        .user = user};
    if (j->spoil)
        j->spoil(j->spoil_ctx, &j->last, j->rw + code, j->used - code);
}

/* Counts an execution. All vCPUs do, and now and then one is lost. */
static bool is_hot(const struct sq_x86_cpu *c, struct sq_x86_block *b)
{
    unsigned n = atomic_load_explicit(&b->heat, memory_order_relaxed) + 1u;
    bool hot = n >= c->jit->heat;

    atomic_store_explicit(&b->heat, (uint16_t)(hot ? 0 : n),
                          memory_order_relaxed);
    return hot;
}

/* Translates b, unless another vCPU does so or is translating at the
 * moment. */
static void make(struct sq_x86_cpu *c, struct sq_x86_block *b, bool user)
{
    struct sq_jit *j = c->jit;
    bool room = true;

    if (pthread_mutex_trylock(&j->lock))
        return;
    if (sq_jit_of(b, user) == SQ_JIT_NONE && j->made < j->most) {
        room = sq_jit_translate(c, b, user);
        if (sq_jit_of(b, user) > SQ_JIT_NEVER)
            note_made(c, b, user);
    }
    pthread_mutex_unlock(&j->lock);
    if (!room)
        sq_block_full(c);
}

bool sq_jit_ready(struct sq_x86_cpu *c, struct sq_x86_block *b)
{
    bool user = c->cpl == 3;
    uint32_t code = sq_jit_of(b, user);

    if (!may_run(c))
        goto no;
    if (code <= SQ_JIT_NEVER) {
        if (code == SQ_JIT_NEVER || b->crosses || !is_hot(c, b))
            goto no;
        make(c, b, user);
        if (sq_jit_of(b, user) <= SQ_JIT_NEVER)
            goto no;
    }
    look_at_sse(c);
    if (!(b->xmm && c->js.no_xmm) && !(b->avx && c->js.no_avx))
        return true;
no:
    c->js.link = 0;
    return false;
}

void sq_jit_enter(struct sq_x86_cpu *c, struct sq_x86_block *b, int32_t fuel)
{
    bool user = c->cpl == 3;
    struct sq_jit *j = c->jit;
    void (*enter)(struct sq_x86_cpu *, const void *);

    if (c->js.link)
        link_up(c, b, user);
    enter_jump(c, b, user);
    flags_out(c);
    c->js.xmm_in = c->js.xmm_back = false;
    c->js.page = c->gpr[SQ_RIP] & ~0xfffull;
    c->js.fuel = c->js.fuel_then = fuel;
    *(const void **)(void *)&enter = j->rx + j->enter;
    enter(c, j->rx + sq_jit_of(b, user));
    count_in(c);
    flags_in(c);
}

bool sq_jit_run(struct sq_x86_cpu *c, struct sq_x86_block *b)
{
    if (!sq_jit_ready(c, b))
        return false;
    sq_jit_enter(c, b, c->js.fuel > SQ_BLOCK_INSNS_MAX ? c->js.fuel : FUEL);
    return true;
}
