/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty bitmaps: one bit a page of SQUIB_PAGE_SIZE, set by any thread, moved
 * out by one. Pure.
 */
#ifndef SQ_CORE_DIRTY_H
#define SQ_CORE_DIRTY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/memory.h>

/* Words for a range of `len` bytes. */
static inline size_t sq_dirty_words(uint64_t len)
{
    return (size_t)((len / SQUIB_PAGE_SIZE + 63) / 64);
}

/* Sets the bits of the pages of `of` that [gpa, gpa + len) touches; bits[0]
 * is of's first page. The span may lie outside, partly or wholly, but does
 * not wrap. */
void sq_dirty_mark(_Atomic uint64_t *bits, struct squib_range of,
                   uint64_t gpa, uint64_t len);

/* Moves `pages` bits from page `first` on to bit 0 and up of `bitmap`. */
void sq_dirty_take(_Atomic uint64_t *bits, uint64_t first, uint64_t pages,
                   uint64_t *bitmap);

#endif
