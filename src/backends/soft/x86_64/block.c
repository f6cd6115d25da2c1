/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/x86_64/block.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "backends/soft/vm.h"
#include "backends/soft/x86_64/debug.h"
#include "backends/soft/x86_64/insns.h"
#include "backends/soft/x86_64/jit/jit.h"
#include "backends/soft/x86_64/mem.h"
#include "base/err.h"

#define HASH_BITS 17
#define ARENA_LEN (24u << 20)

typedef struct sq_x86_block *_Atomic link;

struct sq_block_cache {
    link hash[1u << HASH_BITS]; /* by physical address; any vCPU reads */
    /* vCPUs between setting granules and having asked writers */
    _Atomic uint32_t marking;
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
    struct sq_block_cache *bc = calloc(1, sizeof(*bc));

    if (!bc)
        return sq_err_set(err, SQUIB_E_NOMEM, "code cache: out of memory");
    bc->arena = mmap(NULL, ARENA_LEN, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bc->arena == MAP_FAILED) {
        free(bc);
        return sq_err_os(err, SQUIB_E_OS, errno, "code cache");
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
    free(bc);
}

uint64_t sq_block_count(struct sq_block_cache *bc)
{
    uint64_t n;

    pthread_mutex_lock(&bc->lock);
    n = bc->count;
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

    if (writers & self) {
        sq_x86_tlb_purge_write(c, page_gpa);
        atomic_fetch_and(&p->writers, ~self);
    }
    for (uint32_t k = 0; writers & ~self && k < SQUIB_VCPUS_MAX; k++)
        if (writers >> k & 1 && k != c->index)
            sq_soft_kick(c->vm, k, ATTN_PURGE);
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
    uint8_t bytes[15];
    unsigned rest = 15 - f->avail;
    struct sq_soft_slot *s;
    bool more;

    b->crosses = true;
    b->pa2 = sq_x86_fetch_gpa(c, NULL, f->gva + f->avail);
    s = sq_soft_slot_of(c->vm, b->pa2);
    memcpy(bytes, f->bytes, f->avail);
    if (s) {
        b->page2 = &s->pages[(b->pa2 - s->gpa) >> 12];
        b->gen2 = sq_code_page_gen(b->page2);
        mark(c, b->page2, b->pa2 & ~0xfffull, 0, rest);
        memcpy(bytes + f->avail, s->hva + (b->pa2 - s->gpa), rest);
    } else {
        memset(bytes + f->avail, 0xff, rest);
        b->page2 = b->page;
        b->gen2 = b->gen;
    }
    append(c, b, bytes, 15, 0, &more);
}

static void decode_into(struct sq_x86_cpu *c, struct fetch *f,
                        struct sq_x86_block *b, unsigned max)
{
    uint64_t page_gpa = f->pa & ~0xfffull;
    unsigned off = 0, start = (unsigned)(f->pa & 0xfff);
    bool go = true, more = false;

    *b = (struct sq_x86_block){.pa = f->pa, .page = f->page,
                               .mode = c->mode};
    b->gen = sq_code_page_gen(f->page);
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
    b->insn[b->n] = (struct sq_x86_insn){
        .exec = sq_x86_exec_end,
        .off = (uint16_t)(b->insn[b->n - 1].off + b->insn[b->n - 1].len)};
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
    if (renew) {
        sq_x86_jc_flush(c);
        sq_jit_renew(c);
    }
}

/* c no longer runs; the caller has the lock. */
static void stop(struct sq_block_cache *bc)
{
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
    pthread_mutex_lock(&c->blocks->lock);
    stop(c->blocks);
    pthread_mutex_unlock(&c->blocks->lock);
}

void sq_block_safepoint(struct sq_x86_cpu *c)
{
    struct sq_block_cache *bc = c->blocks;

    pthread_mutex_lock(&bc->lock);
    stop(bc);
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
    if (!b->crosses)
        return true;
    return atomic_load_explicit(&b->page2->gen, memory_order_relaxed) ==
               b->gen2 &&
           sq_x86_fetch_gpa(c, NULL, f->gva + f->avail) == b->pa2;
}

static struct sq_x86_block *find(struct sq_x86_cpu *c, const struct fetch *f)
{
    struct sq_x86_block *b = head(c->blocks, f->pa);

    while (b && !(b->pa == f->pa && b->mode == c->mode &&
                  sq_block_fresh(b) && usable(c, f, b)))
        b = next(b);
    return b;
}

/* Whether two blocks are decoded from the same bytes. */
static bool same(const struct sq_x86_block *a, const struct sq_x86_block *b)
{
    return a->pa == b->pa && a->mode == b->mode && a->gen == b->gen &&
           a->crosses == b->crosses &&
           (!a->crosses || (a->pa2 == b->pa2 && a->gen2 == b->gen2));
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
    size_t len = SQ_BLOCK_LEN(decoded->n);
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

struct sq_x86_block *sq_block_get(struct sq_x86_cpu *c)
{
    struct sq_x86_block *b;
    struct fetch f;

    if (SQ_UNLIKELY(c->debug.code) &&
        sq_x86_debug_on_page(c, c->debug.code, fetch_gva(c)))
        return sq_block_single(c);
    for (;;) {
        fetch_begin(c, &f);
        b = find(c, &f);
        if (!b) {
            struct sq_x86_block *d = (void *)c->decoded;

            decode_into(c, &f, d, SQ_BLOCK_INSNS_MAX);
            b = enter(c, d);
        }
        /* Whoever decoded it has asked us before, if we can write to its
         * page: what we have written may be missing in it. */
        if (SQ_LIKELY(!(atomic_load(&c->attn) & ATTN_PURGE)))
            break;
        sq_x86_answer_purge(c);
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
