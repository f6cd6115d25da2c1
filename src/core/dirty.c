/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dirty.h"

#include <string.h>

void sq_dirty_mark(_Atomic uint64_t *bits, struct squib_range of,
                   uint64_t gpa, uint64_t len)
{
    uint64_t from, to;

    if (len == 0 || gpa >= of.gpa + of.len || gpa + len <= of.gpa)
        return;
    from = gpa > of.gpa ? gpa - of.gpa : 0;
    to = gpa + len - of.gpa;
    if (to > of.len)
        to = of.len;
    for (uint64_t page = from / SQUIB_PAGE_SIZE;
         page <= (to - 1) / SQUIB_PAGE_SIZE; page++)
        atomic_fetch_or_explicit(&bits[page / 64], 1ull << (page % 64),
                                 memory_order_relaxed);
}

void sq_dirty_take(_Atomic uint64_t *bits, uint64_t first, uint64_t pages,
                   uint64_t *bitmap)
{
    memset(bitmap, 0, (size_t)((pages + 63) / 64) * sizeof(*bitmap));
    for (uint64_t done = 0; done < pages;) {
        uint64_t at = first + done;
        unsigned shift = at % 64, into = done % 64;
        unsigned n = 64 - (shift > into ? shift : into);
        uint64_t mask, taken;

        if (n > pages - done)
            n = (unsigned)(pages - done);
        mask = n == 64 ? UINT64_MAX : ((1ull << n) - 1) << shift;
        taken = atomic_fetch_and_explicit(&bits[at / 64], ~mask,
                                          memory_order_relaxed) & mask;
        bitmap[done / 64] |= taken >> shift << into;
        done += n;
    }
}
