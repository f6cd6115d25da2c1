/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of decoded blocks of a VM, and the protocol that keeps it true
 * when code is overwritten.
 *
 * A page that holds decoded code has bits in `granules`. No vCPU keeps a
 * write mapping of such a page in its TLB, so every write to it takes the
 * slow path, which looks at the granules it touches: if code was there it
 * bumps the page's generation, and every block of that page is stale at its
 * next entry. Writes between the code on a mixed page cost time but
 * invalidate nothing.
 *
 * A vCPU that decodes on a page first sets the granules, then asks the
 * vCPUs in `writers` to give up their write mappings (ATTN_PURGE), then
 * reads the bytes. Whoever gives one up bumps the generation, because it
 * may have written in between. Interrupts are sent only after pending
 * purges were answered, so code that is changed by one vCPU and announced
 * by an interrupt is seen by the other.
 *
 * What is announced otherwise, by a flag in memory, must be seen as well,
 * once the other vCPU has serialized; and a vCPU must see its own writes,
 * even in what another one decoded. Therefore a block is entered in the cache
 * only when all writers had answered before its bytes were read, which is
 * known by counting: requests are numbered, every vCPU says up to which it has
 * answered, and one that runs no guest code has answered all. Until then what
 * is decoded runs once and is decoded again the next time. So whatever is in
 * the cache and fresh, nobody can overwrite unseen.
 *
 * "Before" matters for a mapping that goes for another reason, to make room
 * in the TLB, just when it is asked for. Its vCPU looks for a request first,
 * but without a fence: the look may come before the request and a write
 * before it, from the store buffer, after the decoder has read. Then nobody
 * bumps the generation. But the vCPU's answer is stored after that write, and
 * who sees the answer and reads then, reads what was written.
 *
 * A write to cached code bumps the generation twice: before the bytes change,
 * so that nobody who has executed the new ones, decoding them, then finds the
 * old ones in the cache; and behind it, for those who decoded meanwhile. What
 * they decoded is not kept, either: they see that somebody writes, or who
 * writes sees their granules.
 *
 * Two blocks in five run only once. So a block enters the cache when it runs
 * for the second time on one vCPU; the first time it is the vCPU's own
 * (struct sq_x86_young).
 *
 * All vCPUs run the same blocks. They are found without a lock; they are
 * entered, complete, with one. A block that is stale leaves the
 * chain that it is found by, but stays in memory, because other vCPUs may
 * run it. Memory is taken back all at once: when it is full, every vCPU that
 * is between sq_block_begin() and sq_block_end() is stopped between two of
 * its blocks (ATTN_STOP, sq_block_safepoint()), everything is forgotten,
 * translations as well, and `epoch` counts up. A vCPU whose `code_epoch` is
 * another one empties its own caches of pointers before it looks for a block
 * again.
 */
#ifndef SQ_SOFT_X86_BLOCK_H
#define SQ_SOFT_X86_BLOCK_H

#include "backends/soft/x86_64/cpu.h"

struct sq_block_cache;

int sq_block_cache_new(struct sq_block_cache **out, struct squib_error *err);
void sq_block_cache_free(struct sq_block_cache *bc);

/* Forgets every block and translation of a VM of which no vCPU runs. */
void sq_block_cache_forget(struct sq_soft_vm *vm);

/* How many blocks were decoded and entered. Any thread. */
uint64_t sq_block_count(struct sq_block_cache *bc);
/* How often everything was forgotten. Any thread. */
uint64_t sq_block_forgotten(struct sq_block_cache *bc);
/* For tests: the cache is full when it holds `len` bytes of blocks. */
void sq_block_limit(struct sq_block_cache *bc, size_t len);

/* Around everything that a vCPU does with blocks; its thread. */
void sq_block_begin(struct sq_x86_cpu *c);
void sq_block_end(struct sq_x86_cpu *c);
/* Between them, where c holds no pointer to a block or into translated code:
 * waits until others have forgotten everything, or does it if it is due. */
void sq_block_safepoint(struct sq_x86_cpu *c);
/* No room: everything is to go at c's next safepoint, which is soon. */
void sq_block_full(struct sq_x86_cpu *c);

/* The block at c's RIP in its mode, decoded if needed. Raises faults of
 * the instruction fetch. May be a safepoint. */
struct sq_x86_block *sq_block_get(struct sq_x86_cpu *c);

/* One instruction at RIP as a block of its own that is not kept: for
 * single steps. Valid until the next call. */
struct sq_x86_block *sq_block_single(struct sq_x86_cpu *c);

/* The number of the last request to writers; who has given up all write
 * mappings of code after that stores it in its `answered`. */
uint64_t sq_block_asked(struct sq_x86_cpu *c);

/* The fresh block at a physical address in 64-bit mode that was decoded
 * when its page had generation `gen`, or NULL. Not a safepoint. */
const struct sq_x86_block *sq_block_find(struct sq_x86_cpu *c, uint64_t pa,
                                         uint32_t gen);

/* Marks [off, off + len) of b's page, cut at its end, as decoded: b depends
 * on these bytes, which are to be read after this. */
void sq_block_mark(struct sq_x86_cpu *c, const struct sq_x86_block *b,
                   unsigned off, unsigned len);

/* The granules of [gpa, gpa + len), which is in one page. */
static inline uint64_t sq_code_granules(uint64_t gpa, uint64_t len)
{
    uint64_t first = (gpa & 0xfff) / 64, last = ((gpa & 0xfff) + len - 1) / 64;

    return (UINT64_MAX >> (63 - last)) & (UINT64_MAX << first);
}

/* Bytes in `granule_mask` of the page were overwritten. Any thread.
 *
 * Blocks become stale before anybody can write to the page unseen, which is
 * when granules are gone; and blocks that are decoded meanwhile, with
 * granules that are about to go, are stale at once, as the generation that
 * they were decoded in is odd. If another thread is between these steps,
 * what is stale for it is stale for us, too: whoever decodes when it is done
 * reads what we have written. */
static inline void sq_code_page_drop(struct sq_code_page *p,
                                     uint64_t granule_mask)
{
    uint32_t gen;

    if (!(atomic_load(&p->granules) & granule_mask))
        return;
    gen = atomic_load(&p->gen);
    if (gen & 1 || !atomic_compare_exchange_strong(&p->gen, &gen, gen + 1))
        return;
    atomic_store(&p->granules, 0);
    atomic_store(&p->gen, gen + 2);
}

/* Around a vCPU's write that the TLB does not serve: before it, and after
 * sq_soft_wrote(). */
static inline void sq_code_page_write_begin(struct sq_code_page *p,
                                            uint64_t granule_mask)
{
    atomic_fetch_add(&p->writing, 1);
    sq_code_page_drop(p, granule_mask);
}

static inline void sq_code_page_write_end(struct sq_code_page *p)
{
    atomic_fetch_sub(&p->writing, 1);
}

/* The generation that what is decoded from now on belongs to. */
static inline uint32_t sq_code_page_gen(struct sq_code_page *p)
{
    return atomic_load(&p->gen) & ~1u;
}

/* Ends a block in its middle: sets RIP to instruction i and returns to the
 * run loop, giving back the instructions that did not run. (run.c) */
sq_x86_exec sq_x86_exec_stop;
/* Ends a block after its last instruction. (run.c) */
sq_x86_exec sq_x86_exec_end;
/* What cannot be decoded: #UD. (run.c) */
sq_x86_exec sq_x86_exec_ud;

#endif
