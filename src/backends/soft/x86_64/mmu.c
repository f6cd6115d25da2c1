/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Behind the TLB: filling it, and the accesses that miss it.
 *
 * A write mapping is entered only when nothing needs to be told of writes:
 * the page's D bit is set, no code was decoded on it, and the dirty log has
 * it. Everything else comes here each time.
 */
#include "backends/soft/x86_64/mem.h"

#include <pthread.h>

#include "backends/soft/vm.h"
#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/debug.h"
#include "backends/soft/x86_64/jit/jit.h"
#include "backends/soft/x86_64/lockstep.h"
#include "backends/soft/x86_64/ops.h"
#include "backends/soft/x86_64/walk.h"

void sq_x86_tlb_clear(struct sq_tlb_entry *e, size_t k)
{
    e->tag = sq_tlb_no_tag(k);
    e->add = 0;
    e->host = NULL;
    e->gpa = UINT64_MAX;
}

void sq_x86_tlb_init(struct sq_x86_cpu *c)
{
    sq_x86_tlb_flush(c, false);
    c->tlb = c->tlbs[c->cpl == 3];
}

/* Generations of the jump cache, one for each privilege: keys hold them in
 * their top 16 bits. When they run out, the cache is emptied. */
static void jc_new_gen(struct sq_x86_cpu *c, bool kernel_too)
{
    if (c->jc_top >= 0x7ff0) {
        for (size_t k = 0; k < SQ_ARRAY_LEN(c->jc); k++)
            c->jc[k].key = UINT64_MAX;
        sq_jit_forget_jumps(c);
        sq_x86_tlb_forget_jumps(c);
        c->jc_top = 0;
        kernel_too = true;
    }
    c->jc_gen[1] = ++c->jc_top;
    if (kernel_too) {
        c->jc_gen[0] = ++c->jc_top;
        c->jc_local = c->jc_low = false;
        memset(c->jc_pages[1], 0, sizeof(c->jc_pages[1]));
    }
    if (!c->jc_low)
        memset(c->jc_pages[0], 0, sizeof(c->jc_pages[0]));
    c->jc_key = (uint64_t)c->jc_gen[c->cpl == 3] << 48;
}

/* Blocks may be gone: those of other address spaces, too. */
void sq_x86_jc_flush(struct sq_x86_cpu *c)
{
    sq_x86_tlb_forget_jumps(c);
    jc_new_gen(c, true);
}

void sq_x86_jc_switch(struct sq_x86_cpu *c, uint16_t gen,
                      const uint64_t pages[64])
{
    if (!gen || c->jc_local) {
        jc_new_gen(c, c->jc_local);
        return;
    }
    c->jc_gen[1] = gen;
    c->jc_key = (uint64_t)c->jc_gen[c->cpl == 3] << 48;
    for (size_t k = 0; k < 64; k++)
        c->jc_pages[0][k] = pages[k] | (c->jc_low ? c->jc_pages[0][k] : 0);
}

void sq_x86_answer_purge(struct sq_x86_cpu *c)
{
    if (SQ_LIKELY(!(atomic_load(&c->attn) & ATTN_PURGE)))
        return;
    atomic_fetch_and(&c->attn, ~(uint32_t)ATTN_PURGE);
    sq_x86_handle_purge(c);
}

static void flush_all(struct sq_x86_cpu *c)
{
    memset(&c->large, 0, sizeof(c->large));
    sq_x86_tlb_clear(&c->debug.aside, c->debug.aside_k);
    for (unsigned u = 0; u < 2; u++) {
        for (size_t k = 0; k < SQ_TLB_ALL; k++)
            sq_x86_tlb_clear(&c->tlbs[u][k], k);
        for (size_t k = 0; k < SQ_ITLB_SIZE; k++)
            c->itlb[u][k].tag = 0;
    }
    memset(c->tlb_used, 0, sizeof(c->tlb_used));
    memset(c->tlb_local, 0, sizeof(c->tlb_local));
    memset(c->itlb_local, 0, sizeof(c->itlb_local));
}

/* Address spaces change often: only what may have to go is looked at. */
static void flush_local(struct sq_x86_cpu *c, unsigned u)
{
    for (size_t w = 0; w < SQ_ARRAY_LEN(c->tlb_local[u]); w++) {
        for (uint64_t m = c->tlb_local[u][w]; m; m &= m - 1) {
            size_t k = w * 64 + (size_t)__builtin_ctzll(m);

            sq_x86_tlb_clear(&c->tlbs[u][k], k);
        }
        c->tlb_used[u][w] &= ~c->tlb_local[u][w];
        c->tlb_local[u][w] = 0;
    }
    for (size_t w = 0; w < SQ_ARRAY_LEN(c->itlb_local[u]); w++) {
        for (uint64_t m = c->itlb_local[u][w]; m; m &= m - 1)
            c->itlb[u][w * 64 + (size_t)__builtin_ctzll(m)].tag = 0;
        c->itlb_local[u][w] = 0;
    }
}

/* Notes entry k of a set in one with a bit for each. */
static void note_local(uint64_t *set, size_t k, bool global)
{
    uint64_t bit = 1ull << (k & 63);

    if (global)
        set[k / 64] &= ~bit;
    else
        set[k / 64] |= bit;
}

void sq_x86_tlb_flush(struct sq_x86_cpu *c, bool keep_global)
{
    sq_x86_answer_purge(c);
    if (keep_global) {
        flush_local(c, 0);
        flush_local(c, 1);
    } else {
        flush_all(c);
        sq_x86_tlb_forget(c, -1);
    }
    /* Kernel code is on global pages: what was found of it stays. */
    jc_new_gen(c, !keep_global || c->jc_local);
}

void sq_x86_jc_enter(struct sq_x86_cpu *c, uint64_t gva,
                     struct sq_x86_block *b)
{
    struct sq_x86_jc *jc = sq_x86_jc_at(c, gva);
    bool user = c->cpl == 3;
    const struct sq_itlb_entry *e =
        &c->itlb[user][gva >> 12 & (SQ_ITLB_SIZE - 1)];
    uint64_t page = gva >> 12;
    bool low = !(gva >> 63);

    if (!user && !(e->gpa & 1))
        c->jc_local = true;
    if (!user && low)
        c->jc_low = true;
    c->jc_pages[!low][page >> 6 & 63] |= 1ull << (page & 63);
    jc->key = gva ^ c->jc_key;
    jc->block = b;
}

void sq_x86_tlb_flush_page(struct sq_x86_cpu *c, uint64_t gva)
{
    size_t k = gva >> 12 & (SQ_TLB_SIZE - 1);
    bool jumps = c->jc_pages[gva >> 63][gva >> 18 & 63] >> (gva >> 12 & 63) &
                 1;

    sq_x86_answer_purge(c);
    jumps |= sq_tlb_large_flush(c, gva);
    for (unsigned u = 0; u < 2; u++) {
        sq_x86_tlb_clear(&c->tlbs[u][k], k);
        sq_x86_tlb_clear(&c->tlbs[u][k + SQ_TLB_SIZE], k + SQ_TLB_SIZE);
        c->itlb[u][gva >> 12 & (SQ_ITLB_SIZE - 1)].tag = 0;
    }
    if (jumps)
        jc_new_gen(c, gva >> 63 || c->jc_low);
}

struct purge {
    uint64_t gpa;
    bool had;
};

static void purge_write(struct sq_x86_cpu *c, struct sq_tlb_entry *e,
                        size_t k, void *ctx)
{
    struct purge *p = ctx;

    (void)c;
    if (k < SQ_TLB_SIZE || e->tag == sq_tlb_no_tag(k) ||
        (p->gpa != UINT64_MAX && sq_tlb_gpa(e->gpa) != p->gpa))
        return;
    e->tag = sq_tlb_no_tag(k);
    p->had = true;
}

bool sq_x86_tlb_purge_write(struct sq_x86_cpu *c, uint64_t gpa)
{
    struct purge p = {.gpa = gpa};

    for (size_t n = SQ_TLB_SIZE / 64 * 2;
         n < 2 * SQ_ARRAY_LEN(c->tlb_used[0]); n++) {
        size_t u = n & 1, w = n >> 1;

        for (uint64_t m = c->tlb_used[u][w]; m; m &= m - 1) {
            size_t k = w * 64 + (size_t)__builtin_ctzll(m);

            purge_write(c, &c->tlbs[u][k], k, &p);
        }
    }
    sq_x86_tlb_each_waiting(c, purge_write, &p);
    return p.had;
}

static void purge_code(struct sq_x86_cpu *c, struct sq_tlb_entry *e,
                       size_t k, void *ctx)
{
    struct sq_soft_slot *s;
    struct sq_code_page *p;
    uint64_t gpa = sq_tlb_gpa(e->gpa);

    (void)ctx;
    if (k < SQ_TLB_SIZE || e->tag == sq_tlb_no_tag(k))
        return;
    s = sq_soft_slot_of(c->vm, gpa);
    if (!s)
        return;
    p = &s->pages[(gpa - s->gpa) >> 12];
    if (!atomic_load(&p->granules))
        return;
    /* We may have written since it was decoded. */
    e->tag = sq_tlb_no_tag(k);
    atomic_fetch_and(&p->writers, ~(1u << c->index));
    sq_code_page_drop(p, ~0ull);
}

void sq_x86_handle_purge(struct sq_x86_cpu *c)
{
    uint64_t asked = sq_block_asked(c);

    for (unsigned u = 0; u < 2; u++)
        for (size_t k = SQ_TLB_SIZE; k < SQ_TLB_ALL; k++)
            purge_code(c, &c->tlbs[u][k], k, NULL);
    sq_x86_tlb_each_waiting(c, purge_code, NULL);
    purge_code(c, &c->debug.aside, c->debug.aside_k, NULL);
    atomic_store(&c->answered, asked);
}

_Noreturn static void page_fault(struct sq_x86_cpu *c,
                                 const struct sq_x86_insn *i, uint64_t gva,
                                 uint32_t error)
{
    c->cr2 = gva;
    sq_x86_raise(c, i, EXC_PF, error);
}

/* Checks the form of a linear address; returns it as the walk wants it. */
static uint64_t check_linear(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i, uint64_t gva)
{
    if (!(c->efer & EFER_LMA))
        return (uint32_t)gva;
    if (SQ_LIKELY(sq_canonical(gva)))
        return gva;
    /* Stack references give #SS (SDM vol. 3, 6.15): those through RSP or
     * RBP without an override. */
    if (i && i->seg == SEG_NONE &&
        (i->base == R_SP * 8 || i->base == R_BP * 8))
        sq_x86_raise(c, i, EXC_SS, 0);
    sq_x86_gp(c, i, 0);
}

/* Translates one page's worth and enters it in the TLB where allowed. */
static struct sq_tlb_entry *fill_entry(struct sq_x86_cpu *c,
                                 const struct sq_x86_insn *i, uint64_t gva,
                                 bool write, bool user)
{
    struct sq_tlb_entry *e = sq_tlb_at(c->tlbs[user], gva, write);
    size_t k = (size_t)(e - c->tlbs[user]);
    struct sq_walk w;
    struct sq_soft_slot *s;
    uint32_t error;

    gva = check_linear(c, i, gva);
    if (!sq_x86_walk(c, gva, (write ? WALK_W : 0u) | (user ? WALK_U : 0u),
                     &w, &error))
        page_fault(c, i, gva, error);
    sq_tlb_large_note(&c->large, gva, sq_tlb_size_of(w.shift));
    /* Only this entry: the instruction may hold pointers of others. A request
     * that a look without a fence misses is covered in block.h. */
    if (SQ_UNLIKELY(atomic_load(&c->attn) & ATTN_PURGE))
        purge_code(c, e, k, NULL);
    sq_x86_tlb_clear(e, k);
    c->tlb_used[user][k / 64] |= 1ull << (k & 63);
    note_local(c->tlb_local[user], k, w.global);
    e->gpa = w.gpa | sq_tlb_size_of(w.shift) << 1 | w.global;
    s = sq_soft_slot_of(c->vm, w.gpa);
    if (!s || !(s->prot & SQUIB_PROT_READ))
        return e;
    e->host = s->hva + (w.gpa - s->gpa);
    e->add = (uintptr_t)e->host - (gva & ~0xfffull);
    if (!write) {
        e->tag = gva & ~0xfffull;
    } else if (w.writable && s->prot & SQUIB_PROT_WRITE) {
        size_t n = (w.gpa - s->gpa) >> 12;
        struct sq_code_page *p = &s->pages[n];

        if (s->dirty && !(atomic_load_explicit(&s->dirty[n / 64],
                                               memory_order_relaxed) >>
                              (n % 64) & 1))
            atomic_fetch_or(&s->dirty[n / 64], 1ull << (n % 64));
        /* First tell that we write, then look for code: the decoder does
         * it the other way round, so one of us sees the other. */
        atomic_fetch_or(&p->writers, 1u << c->index);
        if (!atomic_load(&p->granules))
            e->tag = gva & ~0xfffull;
    }
    return e;
}

static struct sq_tlb_entry *fill(struct sq_x86_cpu *c,
                                 const struct sq_x86_insn *i, uint64_t gva,
                                 bool write, bool user)
{
    struct sq_tlb_entry *e;

    if (SQ_LIKELY(!c->lockstep))
        return fill_entry(c, i, gva, write, user);
    sq_lockstep_fill(c, sq_tlb_at(c->tlbs[user], gva, write));
    e = fill_entry(c, i, gva, write, user);
    sq_lockstep_filled(c, e, write);
    return e;
}

/* Pages with data breakpoints are not to be found in the TLB. */
static struct sq_tlb_entry *put_aside(struct sq_x86_cpu *c, bool user,
                                      struct sq_tlb_entry *e)
{
    struct sq_x86_debug *d = &c->debug;

    if (atomic_load(&c->attn) & ATTN_PURGE)
        purge_code(c, &d->aside, d->aside_k, NULL);
    d->aside = *e;
    d->aside_k = (size_t)(e - c->tlbs[user]);
    sq_x86_tlb_clear(e, d->aside_k);
    return &d->aside;
}

/* The entry that serves gva, filled if needed. */
static struct sq_tlb_entry *lookup(struct sq_x86_cpu *c,
                                   const struct sq_x86_insn *i, uint64_t gva,
                                   bool write, bool user)
{
    struct sq_tlb_entry *e;

    if (!(c->efer & EFER_LMA))
        gva = (uint32_t)gva;
    e = sq_tlb_at(c->tlbs[user], gva, write);
    if (gva - e->tag < 4096)
        return e;
    e = fill(c, i, gva, write, user);
    if (SQ_UNLIKELY(c->debug.data) &&
        sq_x86_debug_on_page(c, c->debug.data, gva))
        return put_aside(c, user, e);
    return e;
}

static inline void note_access(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, uint64_t gva,
                               unsigned len, bool write)
{
    if (SQ_UNLIKELY(c->debug.data) && i)
        sq_x86_debug_access(c, i, gva, len, write);
}

void *sq_x86_ptr_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      uint64_t gva, unsigned len, bool write)
{
    struct sq_tlb_entry *e;

    if (!(c->efer & EFER_LMA))
        gva = (uint32_t)gva;
    note_access(c, i, gva, len, write);
    if ((gva & 0xfff) + len > 4096) {
        /* Both pages must be there before anything happens. */
        lookup(c, i, gva, write, c->cpl == 3);
        lookup(c, i, (gva + len - 1) & ~0xfffull, write, c->cpl == 3);
        return NULL;
    }
    e = lookup(c, i, gva, write, c->cpl == 3);
    if (gva - e->tag > 4096u - len)
        return NULL;
    if (SQ_UNLIKELY(c->lockstep) &&
        sq_lockstep_holds(c, e->host + (gva & 0xfff), len, write))
        return NULL;
    return e->host + (gva & 0xfff);
}

/* --- slow accesses --------------------------------------------------- */

void sq_x86_read_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      uint64_t gva, void *dst, unsigned len, bool user)
{
    uint8_t *to = dst;
    unsigned room = 4096 - (unsigned)(gva & 0xfff);

    note_access(c, i, c->efer & EFER_LMA ? gva : (uint32_t)gva, len, false);
    /* Memory answers before devices see anything. */
    if (len > room)
        lookup(c, i, gva + room, false, user);
    while (len) {
        unsigned n = len < room ? len : room;
        struct sq_tlb_entry *e = lookup(c, i, gva, false, user);
        uint64_t va = c->efer & EFER_LMA ? gva : (uint32_t)gva;

        if (va - e->tag < 4096) {
            memcpy(to, sq_tlb_host(e, va), n);
            if (SQ_UNLIKELY(c->lockstep))
                sq_lockstep_read(c, sq_tlb_host(e, va), to, n);
        } else {
            sq_x86_mmio_read(c, i, sq_tlb_gpa(e->gpa) + (gva & 0xfff), to, n);
        }
        gva += n;
        to += n;
        len -= n;
        room = 4096;
    }
}

/* A write within one page that the TLB does not serve. */
static void write_page(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       struct sq_tlb_entry *e, uint64_t gva,
                       const uint8_t *src, unsigned n)
{
    uint64_t gpa = sq_tlb_gpa(e->gpa) + (gva & 0xfff);
    struct sq_soft_slot *s = sq_soft_slot_of(c->vm, gpa);
    struct sq_code_page *p;

    if (!s || !(s->prot & SQUIB_PROT_WRITE)) {
        sq_x86_mmio_write(c, i, gpa, src, n);
        return;
    }
    p = &s->pages[(gpa - s->gpa) >> 12];
    if (SQ_UNLIKELY(c->lockstep)) {
        if (atomic_load(&p->granules) & sq_code_granules(gpa, n))
            sq_lockstep_alone(c, i);
        if (sq_lockstep_write(c, s->hva + (gpa - s->gpa), src, n))
            return;
    }
    sq_code_page_write_begin(p, sq_code_granules(gpa, n));
    memcpy(s->hva + (gpa - s->gpa), src, n);
    sq_soft_wrote(c->vm, gpa, n);
    sq_code_page_write_end(p);
    /* If that was our own code, the rest of this block is stale: let it end
     * after this instruction. */
    if (i && !sq_block_fresh(c->block))
        sq_x86_stop_stale(i);
}

void sq_x86_write_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint64_t gva, const void *src, unsigned len,
                       bool user)
{
    const uint8_t *from = src;
    unsigned room = 4096 - (unsigned)(gva & 0xfff);

    note_access(c, i, c->efer & EFER_LMA ? gva : (uint32_t)gva, len, true);
    if (len > room)
        lookup(c, i, gva + room, true, user);
    while (len) {
        unsigned n = len < room ? len : room;
        struct sq_tlb_entry *e = lookup(c, i, gva, true, user);
        uint64_t va = c->efer & EFER_LMA ? gva : (uint32_t)gva;

        if (va - e->tag >= 4096) {
            write_page(c, i, e, gva, from, n);
        } else if (!SQ_UNLIKELY(c->lockstep) ||
                   !sq_lockstep_write(c, sq_tlb_host(e, va), from, n)) {
            memcpy(sq_tlb_host(e, va), from, n);
        }
        gva += n;
        from += n;
        len -= n;
        room = 4096;
    }
}

uint64_t sq_x86_load_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          uint64_t gva, unsigned len)
{
    uint64_t v = 0;

    sq_x86_read_slow(c, i, gva, &v, len, c->cpl == 3);
    atomic_thread_fence(memory_order_acquire);
    return v;
}

void sq_x86_store_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint64_t gva, uint64_t v, unsigned len)
{
    sq_x86_write_slow(c, i, gva, &v, len, c->cpl == 3);
}

void sq_x86_probe_write(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        uint64_t gva, unsigned len)
{
    lookup(c, i, gva, true, c->cpl == 3);
    if ((gva & 0xfff) + len > 4096)
        lookup(c, i, (gva + len - 1) & ~0xfffull, true, c->cpl == 3);
}

void sq_x86_probe_read(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint64_t gva, unsigned len)
{
    lookup(c, i, gva, false, c->cpl == 3);
    if ((gva & 0xfff) + len > 4096)
        lookup(c, i, (gva + len - 1) & ~0xfffull, false, c->cpl == 3);
}

uint64_t sq_x86_fetch_gpa(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          uint64_t gva)
{
    bool user = c->cpl == 3;
    struct sq_itlb_entry *e = &c->itlb[user][gva >> 12 & (SQ_ITLB_SIZE - 1)];
    struct sq_walk w;
    uint32_t error;

    if (e->tag == ((gva & ~0xfffull) | 1))
        return sq_tlb_gpa(e->gpa) + (gva & 0xfff);
    if (c->efer & EFER_LMA && !sq_canonical(gva))
        sq_x86_gp(c, i, 0);
    if (!sq_x86_walk(c, gva, WALK_X | (user ? WALK_U : 0u), &w, &error))
        page_fault(c, i, gva, error);
    sq_tlb_large_note(&c->large, gva, sq_tlb_size_of(w.shift));
    e->tag = (gva & ~0xfffull) | 1;
    e->gpa = w.gpa | sq_tlb_size_of(w.shift) << 1 | w.global;
    note_local(c->itlb_local[user], (size_t)(e - c->itlb[user]), w.global);
    return w.gpa + (gva & 0xfff);
}

/* --- locked accesses without a host atomic --------------------------- */

void sq_x86_rmw_slow_begin(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    if (i->flags & IF_LOCK && !c->split_locked) {
        pthread_mutex_lock(&c->vm->split_lock);
        c->split_locked = true;
    }
}

void sq_x86_rmw_slow_end(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    (void)i;
    if (c->split_locked) {
        c->split_locked = false;
        pthread_mutex_unlock(&c->vm->split_lock);
    }
}

/* On x86 hosts the compiler's 16-byte builtin is one instruction; elsewhere
 * it may not exist, and these are serialized among themselves, which is how
 * guests use them (heads of lists, never mixed with narrower atomics). */
#ifdef __x86_64__
__attribute__((target("cx16")))
static bool host_cas16(unsigned __int128 *p, unsigned __int128 want,
                       unsigned __int128 v, unsigned __int128 *seen)
{
    *seen = __sync_val_compare_and_swap(p, want, v);
    return true;
}
#else
static bool host_cas16(unsigned __int128 *p, unsigned __int128 want,
                       unsigned __int128 v, unsigned __int128 *seen)
{
    (void)p, (void)want, (void)v, (void)seen;
    return false;
}
#endif

unsigned __int128 sq_x86_cas16(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, uint64_t gva,
                               unsigned __int128 want, unsigned __int128 v)
{
    unsigned __int128 seen, *p = sq_mem_ptr(c, i, gva, 16, true);

    if (p && host_cas16(p, want, v, &seen))
        return seen;
    sq_x86_rmw_slow_begin(c, i);
    sq_ld_bytes(c, i, gva, &seen, 16);
    sq_st_bytes(c, i, gva, seen == want ? &v : &seen, 16);
    sq_x86_rmw_slow_end(c, i);
    return seen;
}
