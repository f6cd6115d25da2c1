/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to guest memory that are held back: lockstep's interpreter sees
 * them as done, nobody else sees them. Then the translation writes, and the
 * overlay says what it should have written. For one thread.
 */
#ifndef SQ_SOFT_X86_OVERLAY_H
#define SQ_SOFT_X86_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sq_overlay;

/* Eight aligned bytes; bit n of `mask`: byte n was written. */
struct sq_overlay_word {
    uint8_t *host;
    uint8_t now[8], then[8];
    uint8_t mask;
};

struct sq_overlay *sq_overlay_new(void); /* NULL: out of memory */
void sq_overlay_free(struct sq_overlay *o);
void sq_overlay_clear(struct sq_overlay *o);

/* Holds back a write. `data`: it may be followed by others that go straight
 * to its page. False: out of memory. */
bool sq_overlay_put(struct sq_overlay *o, uint8_t *host, const void *src,
                    size_t len, bool data);
/* Puts what was held back of [host, host + len) over what is at `to`. */
void sq_overlay_get(const struct sq_overlay *o, const uint8_t *host, void *to,
                    size_t len);
/* Whether any of these bytes, or of this page's data, was written. */
bool sq_overlay_has(const struct sq_overlay *o, const uint8_t *host,
                    size_t len);
bool sq_overlay_has_page(const struct sq_overlay *o, const uint8_t *page);

/* The first word that memory does not have as it was written, or NULL. */
const struct sq_overlay_word *sq_overlay_differs(const struct sq_overlay *o);
/* Writes back what was there before. */
void sq_overlay_undo(const struct sq_overlay *o);

/* Remembers how the written pages are to be when all is written, unless they
 * are many; and where one of them is not so, or NULL. */
void sq_overlay_expect(struct sq_overlay *o);
const uint8_t *sq_overlay_stray(const struct sq_overlay *o);

#endif
