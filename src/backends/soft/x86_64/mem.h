/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory from inside instruction functions: effective addresses, the
 * TLB's fast path, and the slow path's interface (mmu.c).
 *
 * x86 orders stores after earlier loads and stores, and loads after earlier
 * loads. The fences here ask that of the host: on x86 they cost nothing, on
 * weaker hosts they become barriers.
 */
#ifndef SQ_SOFT_X86_MEM_H
#define SQ_SOFT_X86_MEM_H

#include "backends/soft/x86_64/cpu.h"

enum sq_access { ACCESS_R = 0, ACCESS_W = 1, ACCESS_RW = 2 };

/* --- linear addresses ------------------------------------------------ */

/* The general case: 16- and 32-bit addresses, segment limits and rights,
 * RIP-relative displacements that did not fit. `sum` is base + index * scale
 * + disp. Raises #GP or #SS. (seg.c) */
uint64_t sq_x86_ea_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        uint64_t sum, unsigned len, enum sq_access access);

/* Checks [off, off + len) of a segment outside 64-bit mode, or in it adds
 * FS/GS bases; the result is linear. For string and stack instructions.
 * (seg.c) */
uint64_t sq_x86_linear(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       unsigned seg, uint64_t off, unsigned len,
                       enum sq_access access);

/* base + index * scale + disp, before segmentation (LEA's value but for
 * its truncation). */
static inline uint64_t sq_ea_sum(const struct sq_x86_cpu *c,
                                 const struct sq_x86_insn *i)
{
    return sq_rd64(c, i->base) + (sq_rd64(c, i->index) << i->scale) +
           (uint64_t)(int64_t)i->disp;
}

/* The linear address of the memory operand, `len` bytes. */
static inline uint64_t sq_ea(struct sq_x86_cpu *c,
                             const struct sq_x86_insn *i, unsigned len,
                             enum sq_access access)
{
    uint64_t sum = sq_ea_sum(c, i);

    if (SQ_UNLIKELY(i->flags & IF_SLOW_EA))
        return sq_x86_ea_slow(c, i, sum, len, access);
    return sum + c->segbase[i->seg];
}

/* --- loads and stores ------------------------------------------------ */

static inline struct sq_tlb_entry *sq_tlb_at(struct sq_tlb_entry *tlb,
                                             uint64_t gva, bool write)
{
    return &tlb[(gva >> 12 & (SQ_TLB_SIZE - 1)) + write * SQ_TLB_SIZE];
}

/* The host address of gva, which the entry serves. */
static inline uint8_t *sq_tlb_host(const struct sq_tlb_entry *e, uint64_t gva)
{
    return (uint8_t *)(uintptr_t)(gva + e->add);
}

/* The page that the entry was filled for, if that is memory. */
static inline uint64_t sq_tlb_page(const struct sq_tlb_entry *e)
{
    return (uintptr_t)e->host - e->add;
}

/* A tag that cannot match in entry k: its page belongs to entry k ^ 1. */
static inline uint64_t sq_tlb_no_tag(size_t k)
{
    return (uint64_t)(k ^ 1) << 12;
}

/* Slow paths for any 1..16 byte access at any privilege: walk, page
 * crossing, MMIO, dirty and code tracking. (mmu.c) */
void sq_x86_read_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      uint64_t gva, void *dst, unsigned len, bool user);
void sq_x86_write_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint64_t gva, const void *src, unsigned len,
                       bool user);

/* The same for 1 to 8 bytes by value at the current privilege. */
uint64_t sq_x86_load_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          uint64_t gva, unsigned len);
void sq_x86_store_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint64_t gva, uint64_t v, unsigned len);

/* Makes sure that a later write of these bytes cannot fault. */
void sq_x86_probe_write(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        uint64_t gva, unsigned len);
void sq_x86_probe_read(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint64_t gva, unsigned len);

/* Host pointer to [gva, gva + len) within one page for direct access, or
 * NULL when the slow path must be used (MMIO, page crossing; for writes
 * also code). Raises page faults. Filled TLB entries stay valid until the
 * end of the instruction. */
void *sq_x86_ptr_slow(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      uint64_t gva, unsigned len, bool write);

static inline void *sq_mem_ptr(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, uint64_t gva,
                               unsigned len, bool write)
{
    struct sq_tlb_entry *e = sq_tlb_at(c->tlb, gva, write);

    if (SQ_LIKELY(gva - e->tag <= 4096u - len))
        return sq_tlb_host(e, gva);
    return sq_x86_ptr_slow(c, i, gva, len, write);
}

#define SQ_MEM_ACCESS(n)                                                   \
    static inline uint##n##_t sq_ld##n##v(                                 \
        struct sq_x86_cpu *c, const struct sq_x86_insn *i, uint64_t gva)   \
    {                                                                      \
        struct sq_tlb_entry *e = sq_tlb_at(c->tlb, gva, false);            \
        uint##n##_t v;                                                     \
                                                                           \
        if (SQ_UNLIKELY(gva - e->tag > 4096u - sizeof(v)))                 \
            return (uint##n##_t)sq_x86_load_slow(c, i, gva, sizeof(v));    \
        memcpy(&v, sq_tlb_host(e, gva), sizeof(v));                        \
        atomic_thread_fence(memory_order_acquire);                         \
        return v;                                                          \
    }                                                                      \
    static inline void sq_st##n##v(struct sq_x86_cpu *c,                   \
                                   const struct sq_x86_insn *i,            \
                                   uint64_t gva, uint##n##_t v)            \
    {                                                                      \
        struct sq_tlb_entry *e = sq_tlb_at(c->tlb, gva, true);             \
                                                                           \
        atomic_thread_fence(memory_order_release);                         \
        if (SQ_LIKELY(gva - e->tag <= 4096u - sizeof(v)))                  \
            memcpy(sq_tlb_host(e, gva), &v, sizeof(v));                    \
        else                                                               \
            sq_x86_store_slow(c, i, gva, v, sizeof(v));                    \
    }
SQ_MEM_ACCESS(8)
SQ_MEM_ACCESS(16)
SQ_MEM_ACCESS(32)
SQ_MEM_ACCESS(64)
#undef SQ_MEM_ACCESS

/* 16-byte and odd-sized operands (SSE, x87, FXSAVE pieces). len <= 16. */
static inline void sq_ld_bytes(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, uint64_t gva,
                               void *dst, unsigned len)
{
    struct sq_tlb_entry *e = sq_tlb_at(c->tlb, gva, false);

    if (SQ_LIKELY(gva - e->tag <= 4096u - len))
        memcpy(dst, sq_tlb_host(e, gva), len);
    else
        sq_x86_read_slow(c, i, gva, dst, len, c->cpl == 3);
    atomic_thread_fence(memory_order_acquire);
}

static inline void sq_st_bytes(struct sq_x86_cpu *c,
                               const struct sq_x86_insn *i, uint64_t gva,
                               const void *src, unsigned len)
{
    struct sq_tlb_entry *e = sq_tlb_at(c->tlb, gva, true);

    atomic_thread_fence(memory_order_release);
    if (SQ_LIKELY(gva - e->tag <= 4096u - len))
        memcpy(sq_tlb_host(e, gva), src, len);
    else
        sq_x86_write_slow(c, i, gva, src, len, c->cpl == 3);
}

/* Accesses that the processor makes itself (descriptor tables, TSS, IDT
 * stacks): supervisor rights whatever the CPL. */
#define SQ_SYS_ACCESS(n)                                                   \
    static inline uint##n##_t sq_sys_ld##n(                                \
        struct sq_x86_cpu *c, const struct sq_x86_insn *i, uint64_t gva)   \
    {                                                                      \
        uint##n##_t v;                                                     \
                                                                           \
        sq_x86_read_slow(c, i, gva, &v, sizeof(v), false);                 \
        return v;                                                          \
    }                                                                      \
    static inline void sq_sys_st##n(struct sq_x86_cpu *c,                  \
                                    const struct sq_x86_insn *i,           \
                                    uint64_t gva, uint##n##_t v)           \
    {                                                                      \
        sq_x86_write_slow(c, i, gva, &v, sizeof(v), false);                \
    }
SQ_SYS_ACCESS(8)
SQ_SYS_ACCESS(16)
SQ_SYS_ACCESS(32)
SQ_SYS_ACCESS(64)
#undef SQ_SYS_ACCESS

/* --- devices (device.c) ---------------------------------------------- */

/* Accesses at a gpa that is not memory, 1..16 bytes; ports of 1, 2 or 4
 * bytes, whose permission was checked. Reads may leave with an exit and
 * then return when the instruction runs again. */
void sq_x86_mmio_read(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      uint64_t gpa, uint8_t *dst, unsigned len);
void sq_x86_mmio_write(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint64_t gpa, const uint8_t *src, unsigned len);
uint32_t sq_x86_port_in(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        uint16_t port, unsigned len);
void sq_x86_port_out(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     uint16_t port, unsigned len, uint32_t v);

/* Ends the running block after instruction i; with one vCPU this time only:
 * the caller sees to it that the run loop looks around next, which mends it. */
void sq_x86_stop_after(struct sq_x86_cpu *c, const struct sq_x86_insn *i);
void sq_x86_mend_block(struct sq_x86_cpu *c);
/* The same for a block that is stale. */
void sq_x86_stop_stale(const struct sq_x86_insn *i);

/* The run loop's side: takes the caller's answer to a read; whether an
 * instruction waits to be run again; makes the next posted write the exit,
 * false when there is none. */
void sq_x86_replay_answer(struct sq_x86_cpu *c);
bool sq_x86_replaying(const struct sq_x86_cpu *c);
bool sq_x86_next_posted(struct sq_x86_cpu *c);

/* An instruction that repeats (REP) has committed one iteration: its later
 * accesses are new ones. */
static inline void sq_x86_replay_reset(struct sq_x86_cpu *c)
{
    c->replay.count = c->replay.pos = 0;
}

/* --- maintenance ----------------------------------------------------- */

void sq_x86_tlb_init(struct sq_x86_cpu *c);
/* Drops translations: all, or all but global ones (CR3 load). */
void sq_x86_tlb_flush(struct sq_x86_cpu *c, bool keep_global);
void sq_x86_tlb_flush_page(struct sq_x86_cpu *c, uint64_t gva);
/* Takes write rights, which entries from SQ_TLB_SIZE on give, from those of
 * one guest page, or with UINT64_MAX from all. Returns whether any had
 * them. */
bool sq_x86_tlb_purge_write(struct sq_x86_cpu *c, uint64_t gpa);
/* ATTN_PURGE: another vCPU decoded code on a page that we may write. */
void sq_x86_handle_purge(struct sq_x86_cpu *c);
/* The same, if ATTN_PURGE is set: before entries go or an interrupt is sent,
 * whoever asked is to hear that we may have written meanwhile. */
void sq_x86_answer_purge(struct sq_x86_cpu *c);

/* Large pages (tlb_large.c). The number of a page size in entries, 0 for
 * 4 KiB; a page of it gets an entry; INVLPG: drops what is on the same large
 * page. The latter returns whether the jump cache may hold some of it. */
unsigned sq_tlb_size_of(unsigned shift);
void sq_tlb_large_note(struct sq_tlb_large *l, uint64_t gva, unsigned size);
bool sq_tlb_large_flush(struct sq_x86_cpu *c, uint64_t gva);

/* An entry that serves nothing. */
void sq_x86_tlb_clear(struct sq_tlb_entry *e, size_t k);

/* Process-context identifiers (tlb_context.c). CR3 changes from one to the
 * other; `keep`: what is known of the new one is still good. */
void sq_x86_tlb_switch(struct sq_x86_cpu *c, uint16_t from, uint16_t to,
                       bool keep);
/* Drops what waits, of one PCID or with -1 of all. */
void sq_x86_tlb_forget(struct sq_x86_cpu *c, int pcid);
/* Entries of the jump cache that wait are no longer good. */
void sq_x86_tlb_forget_jumps(struct sq_x86_cpu *c);
typedef void sq_tlb_entry_fn(struct sq_x86_cpu *c, struct sq_tlb_entry *e,
                             size_t k, void *ctx);
void sq_x86_tlb_each_waiting(struct sq_x86_cpu *c, sq_tlb_entry_fn *fn,
                             void *ctx);
/* Another address space: takes up the user's jumps of generation `gen`, which
 * are on `pages`, or with 0 begins anew. (mmu.c) */
void sq_x86_jc_switch(struct sq_x86_cpu *c, uint16_t gen,
                      const uint64_t pages[64]);

/* Forgets the jump cache, not the blocks. */
void sq_x86_jc_flush(struct sq_x86_cpu *c);
/* Enters the block at gva, which was just translated for fetching. */
void sq_x86_jc_enter(struct sq_x86_cpu *c, uint64_t gva,
                     struct sq_x86_block *b);
static inline struct sq_x86_jc *sq_x86_jc_at(struct sq_x86_cpu *c,
                                             uint64_t gva)
{
    return &c->jc[(gva ^ gva >> SQ_JC_BITS) & ((1u << SQ_JC_BITS) - 1)];
}

/* Translates for instruction fetch; raises on faults with `i` as the
 * faulting instruction. */
uint64_t sq_x86_fetch_gpa(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                          uint64_t gva);

#endif
