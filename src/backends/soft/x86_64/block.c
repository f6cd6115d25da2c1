/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/x86_64/block.h"

#include <errno.h>
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
#define BLOCK_MAX                                                          \
    (sizeof(struct sq_x86_block) +                                         \
     (SQ_BLOCK_INSNS_MAX + 1) * sizeof(struct sq_x86_insn))

struct sq_block_cache {
    struct sq_x86_block *hash[1u << HASH_BITS]; /* by physical address */
    uint8_t *arena; /* blocks one after the other; emptied when full */
    size_t used;
    _Alignas(struct sq_x86_block) uint8_t
        single[sizeof(struct sq_x86_block) + 2 * sizeof(struct sq_x86_insn)];
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
    *out = bc;
    return 0;
}

void sq_block_cache_free(struct sq_block_cache *bc)
{
    if (!bc)
        return;
    munmap(bc->arena, ARENA_LEN);
    free(bc);
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
    uint64_t had = atomic_load(&p->granules);

    if ((had & bits) == bits)
        return;
    had = atomic_fetch_or(&p->granules, bits);
    if (!had)
        take_write_mappings(c, p, page_gpa);
}

void sq_block_mark(struct sq_x86_cpu *c, const struct sq_x86_block *b,
                   unsigned off, unsigned len)
{
    mark(c, b->page, b->pa & ~0xfffull, off, len);
}

const struct sq_x86_block *sq_block_find(struct sq_x86_cpu *c, uint64_t pa,
                                         uint32_t gen)
{
    const struct sq_x86_block *b = c->blocks->hash[hash_of(pa)];

    while (b && !(b->pa == pa && b->mode == MODE_64 && !b->crosses &&
                  b->gen == gen))
        b = b->hash_next;
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
        b->gen2 = atomic_load(&b->page2->gen);
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
    b->gen = atomic_load(&f->page->gen);
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

void sq_block_cache_forget(struct sq_x86_cpu *c)
{
    struct sq_block_cache *bc = c->blocks;

    memset(bc->hash, 0, sizeof(bc->hash));
    bc->used = 0;
    c->cut = NULL;
    sq_x86_jc_flush(c);
    sq_jit_forget(c);
}

static bool usable(struct sq_x86_cpu *c, const struct fetch *f,
                   const struct sq_x86_block *b)
{
    if (!b->crosses)
        return true;
    return atomic_load_explicit(&b->page2->gen, memory_order_relaxed) ==
               b->gen2 &&
           sq_x86_fetch_gpa(c, NULL, f->gva + f->avail) == b->pa2;
}

struct sq_x86_block *sq_block_get(struct sq_x86_cpu *c)
{
    struct sq_block_cache *bc = c->blocks;
    struct sq_x86_block **at, *b;
    struct fetch f;

    if (SQ_UNLIKELY(c->debug.code) && 
        sq_x86_debug_on_page(c, c->debug.code, fetch_gva(c)))
        return sq_block_single(c);
    fetch_begin(c, &f);
    at = &bc->hash[hash_of(f.pa)];
    while ((b = *at)) {
        if (!sq_block_fresh(b)) {
            *at = b->hash_next;
            continue;
        }
        if (b->pa == f.pa && b->mode == c->mode && usable(c, &f, b))
            goto found;
        at = &b->hash_next;
    }
    if (bc->used + BLOCK_MAX > ARENA_LEN)
        sq_block_cache_forget(c);
    b = (struct sq_x86_block *)(void *)(bc->arena + bc->used);
    decode_into(c, &f, b, SQ_BLOCK_INSNS_MAX);
    bc->used += sizeof(*b) + (b->n + 1u) * sizeof(b->insn[0]);
    b->hash_next = bc->hash[hash_of(f.pa)];
    bc->hash[hash_of(f.pa)] = b;
found:
    /* Blocks that cross a page depend on two translations, so they are
     * looked up here each time. */
    if (!b->crosses)
        sq_x86_jc_enter(c, f.gva, b);
    return b;
}

struct sq_x86_block *sq_block_single(struct sq_x86_cpu *c)
{
    struct sq_x86_block *b = (void *)c->blocks->single;
    struct fetch f;

    if (SQ_UNLIKELY(c->debug.code))
        sq_x86_debug_fetch(c, fetch_gva(c));
    fetch_begin(c, &f);
    decode_into(c, &f, b, 1);
    b->jit[0] = b->jit[1] = SQ_JIT_NEVER; /* the next one has its place */
    return b;
}
