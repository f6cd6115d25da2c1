/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "core/slots.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "core/dirty.h"

int sq_slots_init(struct sq_slots *slots, const struct sq_slots_ops *ops,
                  bool dirty_log, struct squib_error *err)
{
    int rc = pthread_rwlock_init(&slots->lock, NULL);

    if (rc)
        return sq_err_os(err, SQUIB_E_OS, rc, "guest memory: lock");
    slots->ops = ops;
    slots->dirty_log = dirty_log;
    return 0;
}

void sq_slots_fini(struct sq_slots *slots)
{
    for (size_t i = 0; i < SQ_SLOTS_MAX; i++)
        free(slots->slot[i].dirty);
    pthread_rwlock_destroy(&slots->lock);
}

static struct sq_slot *no_slot(struct squib_range range,
                               struct squib_error *err)
{
    sq_err_set(err, SQUIB_E_RANGE,
               "guest range %#llx+%#llx is not one that was mapped",
               (unsigned long long)range.gpa, (unsigned long long)range.len);
    return NULL;
}

struct sq_slot *sq_slots_find(struct sq_slots *slots,
                              struct squib_range range,
                              struct squib_error *err)
{
    for (size_t i = 0; i < SQ_SLOTS_MAX; i++) {
        struct sq_slot *s = &slots->slot[i];

        if (s->used && s->range.gpa == range.gpa &&
            s->range.len == range.len)
            return s;
    }
    return no_slot(range, err);
}

struct sq_slot *sq_slots_around(struct sq_slots *slots,
                                struct squib_range range,
                                struct squib_error *err)
{
    for (size_t i = 0; i < SQ_SLOTS_MAX; i++) {
        struct sq_slot *s = &slots->slot[i];

        if (s->used && range.gpa >= s->range.gpa &&
            range.gpa - s->range.gpa < s->range.len &&
            range.len <= s->range.len - (range.gpa - s->range.gpa))
            return s;
    }
    return no_slot(range, err);
}

/* A free slot for the range, or NULL with *err filled. */
static struct sq_slot *free_slot(struct sq_slots *slots,
                                 struct squib_range range,
                                 struct squib_error *err)
{
    struct sq_slot *found = NULL;

    for (size_t i = 0; i < SQ_SLOTS_MAX; i++) {
        struct sq_slot *s = &slots->slot[i];

        if (!s->used) {
            found = found ? found : s;
        } else if (sq_overlaps(range.gpa, range.len, s->range.gpa,
                               s->range.len)) {
            sq_err_set(err, SQUIB_E_RANGE,
                       "guest range %#llx+%#llx is mapped already",
                       (unsigned long long)range.gpa,
                       (unsigned long long)range.len);
            return NULL;
        }
    }
    if (!found)
        sq_err_set(err, SQUIB_E_RANGE, "more than %d ranges of guest memory",
                   SQ_SLOTS_MAX);
    return found;
}

static void drop(struct sq_slot *s)
{
    free(s->dirty);
    *s = (struct sq_slot){0};
}

static int map_locked(struct sq_slots *slots, struct squib_range range,
                      void *hva, uint32_t prot, struct squib_error *err)
{
    struct sq_slot *s = free_slot(slots, range, err);
    int rc;

    if (!s)
        return SQUIB_E_RANGE;
    *s = (struct sq_slot){.range = range, .hva = hva, .prot = prot};
    if (slots->dirty_log) {
        s->dirty = calloc(sq_dirty_words(range.len), sizeof(*s->dirty));
        if (!s->dirty)
            return sq_err_set(err, SQUIB_E_NOMEM, "dirty log: no memory");
    }
    rc = slots->ops->show(slots, s, err);
    if (rc)
        drop(s);
    else
        s->used = true;
    return rc;
}

int sq_slots_map(struct sq_slots *slots, struct squib_range range, void *hva,
                 uint32_t prot, struct squib_error *err)
{
    int rc;

    pthread_rwlock_wrlock(&slots->lock);
    rc = map_locked(slots, range, hva, prot, err);
    pthread_rwlock_unlock(&slots->lock);
    return rc;
}

int sq_slots_unmap(struct sq_slots *slots, struct squib_range range,
                   struct squib_error *err)
{
    struct sq_slot *s;
    int rc = SQUIB_E_RANGE;

    pthread_rwlock_wrlock(&slots->lock);
    s = sq_slots_find(slots, range, err);
    if (s)
        rc = slots->ops->hide(slots, s, err);
    if (!rc)
        drop(s);
    pthread_rwlock_unlock(&slots->lock);
    return rc;
}

void sq_slots_host_wrote(void *ctx, uint64_t gpa, uint64_t len)
{
    struct sq_slots *slots = ctx;

    pthread_rwlock_rdlock(&slots->lock);
    for (size_t i = 0; i < SQ_SLOTS_MAX; i++) {
        struct sq_slot *s = &slots->slot[i];

        if (s->used && s->dirty)
            sq_dirty_mark(s->dirty, s->range, gpa, len);
    }
    pthread_rwlock_unlock(&slots->lock);
}
