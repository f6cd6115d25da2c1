/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large pages enter the TLBs piecemeal, but INVLPG on any of their addresses
 * drops the whole page (SDM vol. 3, 4.10.4.1). What is kept here tells which
 * addresses may be on one: the pages themselves, so that a page that was
 * dropped is forgotten, and whatever is mapped there later costs nothing. A
 * set that overflows says "maybe" to all of its addresses.
 */
#include "backends/soft/x86_64/mem.h"

static const uint8_t shifts[] = {12, 21, 22, 30};

static size_t set_of(uint64_t gva, unsigned size)
{
    return gva >> shifts[size] & (SQ_TLB_LARGE_SETS - 1);
}

static uint64_t page_of(uint64_t gva, unsigned size)
{
    return gva >> shifts[size] << 2 | size; /* not 0: size is not */
}

unsigned sq_tlb_size_of(unsigned shift)
{
    unsigned size = 0;

    while (shifts[size] < shift)
        size++;
    return size;
}

void sq_tlb_large_note(struct sq_tlb_large *l, uint64_t gva, unsigned size)
{
    size_t n = set_of(gva, size);
    uint64_t page = page_of(gva, size);

    if (!size)
        return;
    l->sizes |= 1u << size;
    for (size_t k = 0; k < SQ_ARRAY_LEN(l->set[n]); k++) {
        if (l->set[n][k] == page)
            return;
        if (!l->set[n][k]) {
            l->set[n][k] = page;
            return;
        }
    }
    l->full[n / 64] |= 1ull << (n & 63);
}

/* Whether a page of this size may be there; it is no longer. */
static bool take(struct sq_tlb_large *l, uint64_t gva, unsigned size)
{
    size_t n = set_of(gva, size), last = SQ_ARRAY_LEN(l->set[n]);
    uint64_t page = page_of(gva, size);

    while (last > 0 && !l->set[n][last - 1])
        last--;
    for (size_t k = 0; k < last; k++) {
        if (l->set[n][k] != page)
            continue;
        l->set[n][k] = l->set[n][last - 1];
        l->set[n][last - 1] = 0;
        return true;
    }
    return l->full[n / 64] >> (n & 63) & 1;
}

static void drop_data(struct sq_x86_cpu *c, unsigned u, uint64_t gva,
                      unsigned shift)
{
    for (size_t w = 0; w < SQ_ARRAY_LEN(c->tlb_used[u]); w++) {
        for (uint64_t m = c->tlb_used[u][w]; m; m &= m - 1) {
            size_t k = w * 64 + (size_t)__builtin_ctzll(m);
            struct sq_tlb_entry *e = &c->tlbs[u][k];

            if ((sq_tlb_page(e) ^ gva) >> shift)
                continue;
            sq_x86_tlb_clear(e, k);
            c->tlb_used[u][w] &= ~(1ull << (k & 63));
        }
    }
}

static void drop_code(struct sq_x86_cpu *c, unsigned u, uint64_t gva,
                      unsigned shift)
{
    for (size_t k = 0; k < SQ_ITLB_SIZE; k++)
        if ((c->itlb[u][k].tag ^ gva) >> shift == 0)
            c->itlb[u][k].tag = 0;
}

bool sq_tlb_large_flush(struct sq_x86_cpu *c, uint64_t gva)
{
    struct sq_tlb_large *l = &c->large;
    bool any = false;

    for (unsigned size = 1; size < SQ_ARRAY_LEN(shifts); size++) {
        unsigned shift = shifts[size];
        uint64_t begin = gva >> shift << shift;
        /* the jump cache's pages are hashed by their lowest bits */
        size_t pages = shift > 24 ? 4096 : (size_t)1 << (shift - 12);
        size_t first = shift > 24 ? 0 : begin >> 18 & 63;

        if (!(l->sizes >> size & 1) || !take(l, gva, size))
            continue;
        for (unsigned u = 0; u < 2; u++) {
            drop_data(c, u, gva, shift);
            drop_code(c, u, gva, shift);
        }
        for (size_t k = 0; k < pages / 64; k++)
            any |= c->jc_pages[gva >> 63][first + k] != 0;
    }
    return any;
}
