/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of decoded blocks of one vCPU, and the protocol that keeps it
 * true when code is overwritten.
 *
 * A page that holds decoded code has bits in `granules`. No vCPU keeps a
 * write mapping of such a page in its TLB, so every write to it takes the
 * slow path, which looks at the granules it touches: if code was there it
 * bumps the page's generation, and every block of that page, in every
 * vCPU's cache, is stale at its next entry. Writes between the code on a
 * mixed page cost time but invalidate nothing.
 *
 * A vCPU that decodes on a page first sets the granules, then asks the
 * vCPUs in `writers` to give up their write mappings (ATTN_PURGE), then
 * reads the bytes. Whoever gives one up bumps the generation, because it
 * may have written in between. Interrupts are sent only after pending
 * purges were answered, so code that is changed by one vCPU and announced
 * by an interrupt is seen by the other.
 */
#ifndef SQ_SOFT_X86_BLOCK_H
#define SQ_SOFT_X86_BLOCK_H

#include "backends/soft/x86_64/cpu.h"

struct sq_block_cache;

int sq_block_cache_new(struct sq_block_cache **out, struct squib_error *err);
void sq_block_cache_free(struct sq_block_cache *bc);

/* Forgets every decoded block of one vCPU, which is not running. */
void sq_block_cache_forget(struct sq_x86_cpu *c);

/* The block at c's RIP in its mode, decoded if needed. Raises faults of
 * the instruction fetch. */
struct sq_x86_block *sq_block_get(struct sq_x86_cpu *c);

/* One instruction at RIP as a block of its own that is not kept: for
 * single steps. Valid until the next call. */
struct sq_x86_block *sq_block_single(struct sq_x86_cpu *c);

/* The fresh block at a physical address in 64-bit mode that was decoded
 * when its page had generation `gen`, or NULL. */
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

/* Bytes in `granule_mask` of the page were overwritten. Any thread. */
static inline void sq_code_page_drop(struct sq_code_page *p,
                                     uint64_t granule_mask)
{
    if (atomic_load(&p->granules) & granule_mask) {
        atomic_store(&p->granules, 0);
        atomic_fetch_add(&p->gen, 1);
    }
}

/* Ends a block in its middle: sets RIP to instruction i and returns to the
 * run loop, giving back the instructions that did not run. (run.c) */
sq_x86_exec sq_x86_exec_stop;
/* Ends a block after its last instruction. (run.c) */
sq_x86_exec sq_x86_exec_end;
/* What cannot be decoded: #UD. (run.c) */
sq_x86_exec sq_x86_exec_ud;

#endif
