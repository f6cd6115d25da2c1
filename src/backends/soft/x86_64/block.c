/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/x86_64/block.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "backends/soft/vcpu.h"
#include "backends/soft/vm.h"
#include "backends/soft/x86_64/debug.h"
#include "backends/soft/x86_64/insns.h"
#include "backends/soft/x86_64/jit/jit.h"
#include "backends/soft/x86_64/mem.h"
#include "base/err.h"
#include "os/lazy.h"

#define HASH_BITS 16
#define ARENA_LEN (24u << 20)

typedef struct sq_x86_block *_Atomic link;

struct sq_block_cache {
    link hash[1u << HASH_BITS]; /* by physical address; any vCPU reads */
    /* vCPUs between setting granules and having asked writers */
    _Atomic uint32_t marking;
    /* the last request to writers, and which all have answered; they change
     * with the VM's lock only */
    _Atomic uint64_t asked, answered;
    pthread_mutex_t lock; /* guards what follows, and changes of `hash` */
    pthread_cond_t moved; /* running or stopping changed */
    uint8_t *arena; /* blocks one after the other; emptied when full */
    size_t used, limit;
    uint64_t count;   /* blocks that were entered */
    uint32_t epoch;   /* how often everything was forgotten */
    uint32_t running; /* vCPUs that may hold pointers to blocks */
    bool full;        /* everything is to go */
    bool stopping;    /* somebody waits until nobody is running */
};

int sq_block_cache_new(struct sq_block_cache **out, struct squib_error *err)
{
    struct sq_block_cache *bc = sq_lazy_new(sizeof(*bc), "squib-blocks");

    if (!bc)
        return sq_err_os(err, SQUIB_E_OS, errno, "code cache");
    bc->arena = sq_lazy_new(ARENA_LEN, "squib-blocks");
    if (!bc->arena) {
        int error = errno;

        munmap(bc, sizeof(*bc));
        return sq_err_os(err, SQUIB_E_OS, error, "code cache");
    }
    bc->limit = ARENA_LEN;
    pthread_mutex_init(&bc->lock, NULL);
    pthread_cond_init(&bc->moved, NULL);
    *out = bc;
    return 0;
}

void sq_block_cache_free(struct sq_block_cache *bc)
{
    if (!bc)
        return;
    munmap(bc->arena, ARENA_LEN);
    pthread_cond_destroy(&bc->moved);
    pthread_mutex_destroy(&bc->lock);
    munmap(bc, sizeof(*bc));
}

uint64_t sq_block_count(struct sq_block_cache *bc)
{
    uint64_t n;

    pthread_mutex_lock(&bc->lock);
    n = bc->count;
    pthread_mutex_unlock(&bc->lock);
    return n;
}

uint64_t sq_block_forgotten(struct sq_block_cache *bc)
{
    uint64_t n;

    pthread_mutex_lock(&bc->lock);
    n = bc->epoch;
    pthread_mutex_unlock(&bc->lock);
    return n;
}

void sq_block_limit(struct sq_block_cache *bc, size_t len)
{
    pthread_mutex_lock(&bc->lock);
    bc->limit = len < ARENA_LEN ? len : ARENA_LEN;
    pthread_mutex_unlock(&bc->lock);
}

static size_t hash_of(uint64_t pa)
{
    return (pa ^ pa >> 12) & ((1u << HASH_BITS) - 1);
}

/* The page became code: nobody may keep writing to it unseen. */
static void take_write_mappings(struct sq_x86_cpu *c, struct sq_code_page *p,
                                uint64_t page_gpa)
{
    uint32_t writers = atomic_load(&p->writers), self = 1u << c->index;
    uint64_t n;

    if (writers & self) {
        sq_x86_tlb_purge_write(c, page_gpa);
        atomic_fetch_and(&p->writers, ~self);
    }
    writers &= ~self;
    if (!writers)
        return;
    pthread_mutex_lock(&c->vm->lock);
    n = atomic_fetch_add(&c->blocks->asked, 1) + 1;
    atomic_store(&p->asked, n);
    for (; writers; writers &= writers - 1) {
        uint32_t k = (uint32_t)__builtin_ctz(writers);

        if (c->vm->vcpu[k])
            atomic_store(&c->vm->vcpu[k]->cpu.asked, n);
        sq_soft_kick_locked(c->vm, k, ATTN_PURGE);
    }
    pthread_mutex_unlock(&c->vm->lock);
}

uint64_t sq_block_asked(struct sq_x86_cpu *c)
{
    return atomic_load(&c->blocks->asked);
}

/* Whether all who could write to the page have answered, and nobody is
 * writing in the slow path. */
static bool settled(struct sq_x86_cpu *c, struct sq_code_page *p)
{
    struct sq_block_cache *bc = c->blocks;
    uint64_t asked = atomic_load(&p->asked), all;

    if (SQ_UNLIKELY(atomic_load(&p->writing)))
        return false;
    if (SQ_LIKELY(asked <= atomic_load(&bc->answered)))
        return true;
    pthread_mutex_lock(&c->vm->lock);
    all = atomic_load(&bc->asked);
    for (uint32_t k = 0; k < SQUIB_VCPUS_MAX; k++) {
        const struct sq_soft_vcpu *v = c->vm->vcpu[k];
        uint64_t n;

        if (!v || !atomic_load(&v->cpu.in_run))
            continue;
        n = atomic_load(&v->cpu.answered);
        if (n < atomic_load(&v->cpu.asked) && n < all)
            all = n;
    }
    if (all > atomic_load(&bc->answered))
        atomic_store(&bc->answered, all);
    pthread_mutex_unlock(&c->vm->lock);
    return asked <= all;
}

/* Marks [off, off + len) of a page, cut at its end, as decoded. */
static void mark(struct sq_x86_cpu *c, struct sq_code_page *p,
                 uint64_t page_gpa, unsigned off, unsigned len)
{
    unsigned first = off / 64;
    unsigned last = off + len > 4096 ? 63 : (off + len - 1) / 64;
    uint64_t bits = (UINT64_MAX >> (63 - last)) & (UINT64_MAX << first);
    struct sq_block_cache *bc = c->blocks;

    if ((atomic_load(&p->granules) & bits) != bits) {
        atomic_fetch_add(&bc->marking, 1);
        if (!atomic_fetch_or(&p->granules, bits))
            take_write_mappings(c, p, page_gpa);
        atomic_fetch_sub(&bc->marking, 1);
    }
    /* Who found the page marked must not read it before whoever marked it
     * has asked its writers. */
    while (SQ_UNLIKELY(atomic_load(&bc->marking)))
        sched_yield();
}

void sq_block_mark(struct sq_x86_cpu *c, const struct sq_x86_block *b,
                   unsigned off, unsigned len)
{
    mark(c, b->page, b->pa & ~0xfffull, off, len);
}

static struct sq_x86_block *head(struct sq_block_cache *bc, uint64_t pa)
{
    return atomic_load_explicit(&bc->hash[hash_of(pa)],
                                memory_order_acquire);
}

static struct sq_x86_block *next(const struct sq_x86_block *b)
{
    return atomic_load_explicit(&b->hash_next, memory_order_acquire);
}

const struct sq_x86_block *sq_block_find(struct sq_x86_cpu *c, uint64_t pa,
                                         uint32_t gen)
{
    const struct sq_x86_block *b = head(c->blocks, pa);

    while (b && !(b->pa == pa && b->mode == MODE_64 && !b->crosses &&
                  b->gen == gen))
        b = next(b);
    return b && sq_block_fresh(b) ? b : NULL;
}

/* Where instruction bytes come from. */
struct fetch {
    uint64_t gva; /* linear address of the block */
    uint64_t pa;
    struct sq_soft_slot *slot;
    struct sq_code_page *page;
    const uint8_t *bytes;
    unsigned avail; /* to the end of the page */
    bool settled;   /* what is read now, nobody can overwrite unseen */
};

static uint64_t fetch_gva(const struct sq_x86_cpu *c)
{
    uint64_t gva = c->gpr[SQ_RIP] + c->fetch_base;

    return c->code64 ? gva : (uint32_t)gva;
}

static void fetch_begin(struct sq_x86_cpu *c, struct fetch *f)
{
    f->gva = fetch_gva(c);
    f->pa = sq_x86_fetch_gpa(c, NULL, f->gva);
    f->slot = sq_soft_slot_of(c->vm, f->pa);
    if (!f->slot) {
        c->exit->kind = SQUIB_EXIT_INTERNAL_ERROR;
        c->exit->internal_error = (struct squib_exit_internal_error){
            .text = "the guest jumped to an address that is not memory",
            .detail = {f->gva, f->pa}};
        sq_x86_leave_exit(c, NULL);
    }
    f->page = &f->slot->pages[(f->pa - f->slot->gpa) >> 12];
    f->bytes = f->slot->hva + (f->pa - f->slot->gpa);
    f->avail = 4096 - (unsigned)(f->pa & 0xfff);
}

static void gp_too_long(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    sq_x86_gp(c, i, 0);
}

/* Decodes the instruction at b's end. Returns false when it must not be
 * followed by another. `n_bytes` there are. */
static bool append(struct sq_x86_cpu *c, struct sq_x86_block *b,
                   const uint8_t *bytes, unsigned n_bytes, unsigned off,
                   bool *more)
{
    struct sq_decode_in in = {.bytes = bytes, .avail = n_bytes,
                              .mode = c->mode, .off = (uint16_t)off};
    struct sq_x86_insn *i = &b->insn[b->n];
    const struct sq_x86_row *row = NULL;

    *more = false;
    switch (sq_x86_decode(&in, i, &row)) {
    case DECODE_OK: b->n++; return !(row->attr & A_END);
    case DECODE_MORE: *more = true; return false;
    case DECODE_UD: i->exec = sq_x86_exec_ud; break;
    case DECODE_GP: i->exec = gp_too_long; break;
    }
    i->off = (uint16_t)off;
    b->n++;
    return false;
}

/* The first instruction goes on in the next page. */
static void decode_crossing(struct sq_x86_cpu *c, struct fetch *f,
                            struct sq_x86_block *b)
{
    struct sq_x86_cross *x = sq_block_cross(b);
    uint8_t bytes[15];
    unsigned rest = 15 - f->avail;
    struct sq_soft_slot *s;
    bool more;

    b->crosses = true;
    x->pa = sq_x86_fetch_gpa(c, NULL, f->gva + f->avail);
    s = sq_soft_slot_of(c->vm, x->pa);
    memcpy(bytes, f->bytes, f->avail);
    if (s) {
        x->page = &s->pages[(x->pa - s->gpa) >> 12];
        x->gen = sq_code_page_gen(x->page);
        mark(c, x->page, x->pa & ~0xfffull, 0, rest);
        f->settled &= settled(c, x->page);
        memcpy(bytes + f->avail, s->hva + (x->pa - s->gpa), rest);
    } else {
        memset(bytes + f->avail, 0xff, rest);
        x->page = b->page;
        x->gen = b->gen;
    }
    append(c, b, bytes, 15, 0, &more);
}

static void decode_into(struct sq_x86_cpu *c, struct fetch *f,
                        struct sq_x86_block *b, unsigned max)
{
    uint64_t page_gpa = f->pa & ~0xfffull;
    unsigned off = 0, start = (unsigned)(f->pa & 0xfff);
    bool go = true, more = false;
    struct sq_x86_insn *end;

    *b = (struct sq_x86_block){.pa = f->pa, .page = f->page,
                               .mode = c->mode};
    b->gen = sq_code_page_gen(f->page);
    mark(c, f->page, page_gpa, start, 15);
    f->settled = settled(c, f->page);
    while (go && b->n < max && off < f->avail) {
        unsigned room = f->avail - off;

        mark(c, f->page, page_gpa, start + off, 15);
        go = append(c, b, f->bytes + off, room < 15 ? room : 15, off, &more);
        if (more)
            break;
        off += b->insn[b->n - 1].len;
    }
    if (more && b->n == 0)
        decode_crossing(c, f, b);
    end = &b->insn[b->n];
    end->exec = sq_x86_exec_end;
    end->off = (uint16_t)(end[-1].off + end[-1].len);
    end->len = end->flags = 0;
    end->disp = 0;
}

/* --- all of it goes ------------------------------------------------------ */

/* Nobody runs; the caller has the lock. */
static void forget(struct sq_soft_vm *vm)
{
    struct sq_block_cache *bc = vm->blocks;

    memset((void *)bc->hash, 0, sizeof(bc->hash));
    bc->used = 0;
    bc->full = false;
    bc->epoch++;
    sq_jit_forget(vm->jit);
}

void sq_block_cache_forget(struct sq_soft_vm *vm)
{
    pthread_mutex_lock(&vm->blocks->lock);
    forget(vm);
    pthread_mutex_unlock(&vm->blocks->lock);
}

static void young_forget(struct sq_x86_cpu *c)
{
    c->young.used = 0;
    memset(c->young.slot, 0, sizeof(c->young.slot));
}

/* Waits until c may run; the caller has the lock, which is released. */
static void go_on(struct sq_x86_cpu *c)
{
    struct sq_block_cache *bc = c->blocks;
    bool renew;

    while (bc->stopping)
        pthread_cond_wait(&bc->moved, &bc->lock);
    bc->running++;
    renew = c->code_epoch != bc->epoch;
    c->code_epoch = bc->epoch;
    pthread_mutex_unlock(&bc->lock);
    /* Say that we may write, then look whether we may; who asks does it the
     * other way round. */
    atomic_store(&c->in_run, true);
    sq_x86_answer_purge(c);
    if (renew) {
        young_forget(c);
        sq_x86_jc_flush(c);
        sq_jit_renew(c);
    }
}

/* c no longer runs; takes the lock. */
static void stop(struct sq_x86_cpu *c)
{
    struct sq_block_cache *bc = c->blocks;

    sq_x86_answer_purge(c);
    atomic_store(&c->in_run, false);
    pthread_mutex_lock(&bc->lock);
    bc->running--;
    if (bc->stopping && !bc->running)
        pthread_cond_broadcast(&bc->moved);
}

void sq_block_begin(struct sq_x86_cpu *c)
{
    pthread_mutex_lock(&c->blocks->lock);
    go_on(c);
}

void sq_block_end(struct sq_x86_cpu *c)
{
    stop(c);
    pthread_mutex_unlock(&c->blocks->lock);
}

void sq_block_safepoint(struct sq_x86_cpu *c)
{
    struct sq_block_cache *bc = c->blocks;

    stop(c);
    if (bc->full && !bc->stopping) {
        bc->stopping = true;
        for (uint32_t k = 0; bc->running && k < SQUIB_VCPUS_MAX; k++)
            if (k != c->index)
                sq_soft_kick(c->vm, k, ATTN_STOP);
        while (bc->running)
            pthread_cond_wait(&bc->moved, &bc->lock);
        forget(c->vm);
        bc->stopping = false;
        pthread_cond_broadcast(&bc->moved);
    }
    go_on(c);
}

void sq_block_full(struct sq_x86_cpu *c)
{
    pthread_mutex_lock(&c->blocks->lock);
    c->blocks->full = true;
    pthread_mutex_unlock(&c->blocks->lock);
    atomic_fetch_or(&c->attn, ATTN_STOP);
}

/* --- looking up ---------------------------------------------------------- */

static bool usable(struct sq_x86_cpu *c, const struct fetch *f,
                   const struct sq_x86_block *b)
{
    const struct sq_x86_cross *x = sq_block_cross(b);

    if (!b->crosses)
        return true;
    return atomic_load_explicit(&x->page->gen, memory_order_relaxed) ==
               x->gen &&
           sq_x86_fetch_gpa(c, NULL, f->gva + f->avail) == x->pa;
}

static struct sq_x86_block *find(struct sq_x86_cpu *c, const struct fetch *f)
{
    struct sq_x86_block *b = head(c->blocks, f->pa);

    while (b && !(b->pa == f->pa && b->mode == c->mode &&
                  sq_block_fresh(b) && usable(c, f, b)))
        b = next(b);
    return b;
}

static size_t len_of(const struct sq_x86_block *b)
{
    return b->crosses ? SQ_BLOCK_ROOM(b->n) : SQ_BLOCK_LEN(b->n);
}

/* Whether two blocks are decoded from the same bytes. */
static bool same(const struct sq_x86_block *a, const struct sq_x86_block *b)
{
    const struct sq_x86_cross *x = sq_block_cross(a), *y = sq_block_cross(b);

    return a->pa == b->pa && a->mode == b->mode && a->gen == b->gen &&
           a->crosses == b->crosses &&
           (!a->crosses || (x->pa == y->pa && x->gen == y->gen));
}

/* Takes stale blocks out of a chain. Returns what is like `b`, or NULL. */
static struct sq_x86_block *prune(link *at, const struct sq_x86_block *b)
{
    struct sq_x86_block *k, *found = NULL;

    while ((k = *at)) {
        if (!sq_block_fresh(k)) {
            *at = k->hash_next;
            continue;
        }
        if (same(k, b))
            found = k;
        at = &k->hash_next;
    }
    return found;
}

/* Enters what was decoded, unless another vCPU has done so. */
static struct sq_x86_block *enter(struct sq_x86_cpu *c,
                                  const struct sq_x86_block *decoded)
{
    struct sq_block_cache *bc = c->blocks;
    link *chain = &bc->hash[hash_of(decoded->pa)];
    size_t len = len_of(decoded);
    struct sq_x86_block *b;

    pthread_mutex_lock(&bc->lock);
    while (bc->used && bc->used + len > bc->limit) {
        bc->full = true;
        pthread_mutex_unlock(&bc->lock);
        sq_block_safepoint(c);
        pthread_mutex_lock(&bc->lock);
    }
    b = prune(chain, decoded);
    if (!b) {
        b = (struct sq_x86_block *)(void *)(bc->arena + bc->used);
        memcpy((void *)b, decoded, len);
        bc->used += len;
        bc->count++;
        atomic_store_explicit(&b->hash_next, *chain, memory_order_relaxed);
        atomic_store_explicit(chain, b, memory_order_release);
    }
    pthread_mutex_unlock(&bc->lock);
    return b;
}

/* --- blocks that ran once ------------------------------------------------ */

/* Much code runs once: what starts up, and what is woken up now and then. A
 * block enters the cache when it runs for the second time, usually soon,
 * from a small room of the vCPU's own where it was decoded to; or if it is no
 * longer there by then, decoded again. */

static struct sq_x86_block **young_at(struct sq_x86_cpu *c, uint64_t pa)
{
    return &c->young.slot[(pa ^ pa >> 9) % SQ_YOUNG_SLOTS];
}

/* The block if it is still there; it leaves its slot. */
static struct sq_x86_block *young_take(struct sq_x86_cpu *c,
                                       const struct fetch *f)
{
    struct sq_x86_block **at = young_at(c, f->pa), *b = *at;

    if (!b || b->pa != f->pa || b->mode != c->mode || !sq_block_fresh(b) ||
        !usable(c, f, b))
        return NULL;
    *at = NULL;
    return b;
}

/* Room to decode into, until the next time. */
static struct sq_x86_block *young_room(struct sq_x86_cpu *c)
{
    if (c->young.used + SQ_BLOCK_ROOM(SQ_BLOCK_INSNS_MAX) > SQ_YOUNG_LEN)
        young_forget(c);
    return (struct sq_x86_block *)(void *)(c->young.room + c->young.used);
}

static void young_keep(struct sq_x86_cpu *c, struct sq_x86_block *b)
{
    *young_at(c, b->pa) = b;
    c->young.used += len_of(b);
}

/* Whether a block at pa may have run before; it has, from now on. */
static bool ran(struct sq_x86_cpu *c, uint64_t pa)
{
    struct sq_x86_young *y = &c->young;
    uint64_t h = pa * 0x9e3779b97f4a7c15ull >> (64 - SQ_YOUNG_BITS);
    uint64_t bit = 1ull << (h & 63);

    if (y->ran[h / 64] & bit)
        return true;
    if (++y->ran_count > (1u << SQ_YOUNG_BITS) / 4) {
        memset(y->ran, 0, sizeof(y->ran));
        y->ran_count = 1;
    }
    y->ran[h / 64] |= bit;
    return false;
}

/* What is translated the first time has to be in the cache. */
static bool is_first(struct sq_x86_cpu *c, uint64_t pa)
{
    return c->vm->jit_heat != 1 && !ran(c, pa);
}

/* Decodes a block. True: it is for this time only. */
static bool decode_new(struct sq_x86_cpu *c, struct fetch *f,
                       struct sq_x86_block **out)
{
    struct sq_x86_block *b = *out = young_room(c);
    bool first = is_first(c, f->pa);

    sq_x86_answer_purge(c); /* ours is waited for, too */
    decode_into(c, f, b, SQ_BLOCK_INSNS_MAX);
    if (!f->settled) {
        b->jit[0] = b->jit[1] = SQ_JIT_NEVER;
        return true;
    }
    if (!first)
        return false;
    young_keep(c, b);
    return true;
}

struct sq_x86_block *sq_block_get(struct sq_x86_cpu *c)
{
    struct sq_x86_block *b;
    struct fetch f;

    if (SQ_UNLIKELY(c->debug.code) &&
        sq_x86_debug_on_page(c, c->debug.code, fetch_gva(c)))
        return sq_block_single(c);
    fetch_begin(c, &f);
    b = find(c, &f);
    if (!b) {
        b = young_take(c, &f);
        if (!b && decode_new(c, &f, &b))
            return b;
        b = enter(c, b);
    }
    /* Blocks that cross a page depend on two translations, so they are
     * looked up here each time. */
    if (!b->crosses)
        sq_x86_jc_enter(c, f.gva, b);
    return b;
}

struct sq_x86_block *sq_block_single(struct sq_x86_cpu *c)
{
    struct sq_x86_block *b = (void *)c->single;
    struct fetch f;

    if (SQ_UNLIKELY(c->debug.code))
        sq_x86_debug_fetch(c, fetch_gva(c));
    fetch_begin(c, &f);
    decode_into(c, &f, b, 1);
    b->jit[0] = b->jit[1] = SQ_JIT_NEVER; /* the next one has its place */
    return b;
}
