/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stack of clean-ups. Each step of building that succeeded pushes what
 * takes it back; a failed build and an orderly shutdown pop the same stack.
 * One thread.
 */
#ifndef SQ_VMM_UNDO_H
#define SQ_VMM_UNDO_H

#include <stddef.h>

#define SQ_UNDO_MAX 128

typedef void sq_undo_fn(void *ctx);

struct sq_undo {
    struct {
        sq_undo_fn *fn;
        void *ctx;
    } entry[SQ_UNDO_MAX];
    size_t count;
};

/* False when the stack is full; then fn(ctx) has been called, so that the
 * caller only has to report the failure. */
static inline _Bool sq_undo_push(struct sq_undo *u, sq_undo_fn *fn,
                                 void *ctx)
{
    if (u->count == SQ_UNDO_MAX) {
        fn(ctx);
        return 0;
    }
    u->entry[u->count].fn = fn;
    u->entry[u->count].ctx = ctx;
    u->count++;
    return 1;
}

static inline void sq_undo_all(struct sq_undo *u)
{
    while (u->count) {
        u->count--;
        u->entry[u->count].fn(u->entry[u->count].ctx);
    }
}

#endif
