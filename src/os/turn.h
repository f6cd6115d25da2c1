/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns at something that must look still for a moment: a mutex whose one
 * holder takes it for short and often, and never waits for it, so that the
 * others neither starve nor can be waited for in a circle.
 */
#ifndef SQ_OS_TURN_H
#define SQ_OS_TURN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct sq_turn {
    pthread_mutex_t lock;
    atomic_uint waiting; /* in sq_turn_take() */
};

static inline void sq_turn_init(struct sq_turn *t)
{
    pthread_mutex_init(&t->lock, NULL);
    atomic_init(&t->waiting, 0);
}

static inline void sq_turn_destroy(struct sq_turn *t)
{
    pthread_mutex_destroy(&t->lock);
}

/* For those who come now and then: waits. NULL: there are no turns. */
static inline void sq_turn_take(struct sq_turn *t)
{
    if (!t)
        return;
    atomic_fetch_add(&t->waiting, 1);
    pthread_mutex_lock(&t->lock);
    atomic_fetch_sub(&t->waiting, 1);
}

/* For the one who comes all the time: false when somebody else has it or
 * waits for it. */
static inline bool sq_turn_try(struct sq_turn *t)
{
    return atomic_load(&t->waiting) == 0 &&
           pthread_mutex_trylock(&t->lock) == 0;
}

/* After sq_turn_take(), or sq_turn_try() that was true. */
static inline void sq_turn_give(struct sq_turn *t)
{
    if (t)
        pthread_mutex_unlock(&t->lock);
}

#endif
