/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/x86_64/walk.h"

#include "backends/soft/vm.h"
#include "backends/soft/x86_64/lockstep.h"
#include "backends/soft/x86_64/mem.h"

enum {
    PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40,
    PTE_PS = 0x80, PTE_G = 0x100,
};
#define PTE_NX 0x8000000000000000ull

/* Reads a table entry of 4 or 8 bytes; false outside memory. Entries are
 * naturally aligned, so the load is atomic. */
static bool pte_load(struct sq_x86_cpu *c, uint64_t gpa, bool wide,
                     uint64_t *v)
{
    struct sq_soft_slot *s = sq_soft_slot_of(c->vm, gpa);

    if (!s)
        return false;
    if (wide)
        *v = __atomic_load_n((uint64_t *)(void *)(s->hva + (gpa - s->gpa)),
                             __ATOMIC_ACQUIRE);
    else
        *v = __atomic_load_n((uint32_t *)(void *)(s->hva + (gpa - s->gpa)),
                             __ATOMIC_ACQUIRE);
    if (SQ_UNLIKELY(c->lockstep))
        sq_lockstep_read(c, s->hva + (gpa - s->gpa), v, wide ? 8 : 4);
    return true;
}

/* Sets A or D bits of an entry that was read as *v; false if it changed
 * meanwhile (then the walk starts again). */
static bool pte_mark(struct sq_x86_cpu *c, uint64_t gpa, bool wide,
                     uint64_t v, uint64_t bits)
{
    struct sq_soft_slot *s = sq_soft_slot_of(c->vm, gpa);
    void *p = s->hva + (gpa - s->gpa);
    bool ok;

    if (SQ_UNLIKELY(c->lockstep) &&
        sq_lockstep_mark(c, p, v | bits, wide ? 8 : 4))
        return true;
    if (wide) {
        ok = __atomic_compare_exchange_n((uint64_t *)p, &v, v | bits, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    } else {
        uint32_t v32 = (uint32_t)v;

        ok = __atomic_compare_exchange_n((uint32_t *)p, &v32,
                                         v32 | (uint32_t)bits, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    if (ok)
        sq_soft_wrote(c->vm, gpa, wide ? 8 : 4);
    return ok;
}

bool sq_x86_load_pdptes(struct sq_x86_cpu *c, uint64_t cr3)
{
    uint64_t v[4];

    for (unsigned k = 0; k < 4; k++) {
        if (!pte_load(c, (cr3 & 0xffffffe0u) + k * 8, true, &v[k]))
            v[k] = 0;
        if (v[k] & PTE_P &&
            (v[k] & 0x1e6) | (v[k] >> c->phys_bits))
            return false;
    }
    memcpy(c->pdpte, v, sizeof(v));
    return true;
}

/* One attempt. Returns 1: done, 0: fault, -1: an entry changed, again. */
static int walk_once(struct sq_x86_cpu *c, uint64_t gva, unsigned kind,
                     struct sq_walk *out, uint32_t *error)
{
    const bool pae = c->cr4 & CR4_PAE, lma = c->efer & EFER_LMA;
    const bool nxe = c->efer & EFER_NXE;
    const uint64_t addr_mask =
        (pae ? (1ull << c->phys_bits) - 1 : 0xffffffffull) & ~0xfffull;
    const uint64_t rsvd = pae ? (0x000fffffffffffffull &
                                 ~((1ull << c->phys_bits) - 1)) |
                                (nxe ? 0 : PTE_NX)
                              : 0;
    const unsigned bits = pae ? 9 : 10;
    /* rights gathered on the way: all levels must agree */
    uint64_t table, v = 0, at = 0, rights = PTE_W | PTE_U, nx = 0;
    unsigned level;
    uint32_t fault = (kind & WALK_W ? PF_W : 0) | (kind & WALK_U ? PF_U : 0) |
                     (kind & WALK_X && pae && nxe ? PF_I : 0);
    uint64_t page_mask, mark;
    bool user_page, may_write;

    if (lma) {
        table = c->cr3 & addr_mask;
        level = 4;
    } else if (pae) {
        uint64_t e = c->pdpte[gva >> 30 & 3];

        if (!(e & PTE_P)) {
            *error = fault;
            return 0;
        }
        table = e & addr_mask;
        level = 2;
    } else {
        table = c->cr3 & 0xfffff000u;
        level = 2;
    }
    for (;; level--) {
        unsigned shift = 12 + (level - 1) * bits;
        uint64_t index = gva >> shift & ((1u << bits) - 1);
        bool leaf;

        at = table + index * (pae ? 8 : 4);
        if (!pte_load(c, at, pae, &v) || !(v & PTE_P)) {
            *error = fault;
            return 0;
        }
        leaf = level == 1 ||
               (v & PTE_PS && level < 4 &&
                (level == 3 ? lma : pae || c->cr4 & CR4_PSE));
        if (v & rsvd || (pae && level == 4 && v & PTE_PS) ||
            (leaf && level > 1 && pae &&
             v & (((1ull << shift) - 1) & ~0x1fffull))) {
            *error = fault | PF_P | PF_RSVD;
            return 0;
        }
        rights &= v;
        nx |= v & PTE_NX;
        if (leaf) {
            page_mask = (1ull << shift) - 1;
            break;
        }
        if (!(v & PTE_A) && !pte_mark(c, at, pae, v, PTE_A))
            return -1;
        table = v & addr_mask;
    }
    user_page = rights & PTE_U;
    may_write = rights & PTE_W || (!(kind & WALK_U) && !(c->cr0 & CR0_WP));
    if ((kind & WALK_U && !user_page) || (kind & WALK_W && !may_write) ||
        (kind & WALK_X && nxe && nx) ||
        (kind & WALK_X && !(kind & WALK_U) && user_page &&
         c->cr4 & CR4_SMEP)) {
        *error = fault | PF_P;
        return 0;
    }
    mark = PTE_A | (kind & WALK_W ? PTE_D : 0);
    if ((v & mark) != mark) {
        if (!pte_mark(c, at, pae, v, mark))
            return -1;
        v |= mark;
    }
    if (page_mask == 0xfff)
        out->gpa = v & addr_mask;
    else if (pae)
        out->gpa = (v & addr_mask & ~page_mask) | (gva & page_mask & ~0xfffull);
    else /* PSE-36: bits 20:13 are address bits 39:32 */
        out->gpa = (v & 0xffc00000u) | (v >> 13 & 0xff) << 32 |
                   (gva & page_mask & ~0xfffull);
    out->writable = may_write && v & PTE_D;
    out->global = v & PTE_G && c->cr4 & CR4_PGE;
    out->shift = (uint8_t)__builtin_popcountll(page_mask);
    return 1;
}

bool sq_x86_walk(struct sq_x86_cpu *c, uint64_t gva, unsigned kind,
                 struct sq_walk *out, uint32_t *error)
{
    int r;

    if (!(c->cr0 & CR0_PG)) {
        *out = (struct sq_walk){.gpa = gva & 0xfffff000u, .writable = true,
                                .shift = 12};
        return true;
    }
    /* Another vCPU that keeps changing the entry makes progress itself,
     * and each turn needs a change, so this ends. */
    do
        r = walk_once(c, gva, kind, out, error);
    while (r < 0);
    return r > 0;
}
