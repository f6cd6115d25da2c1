/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of watched descriptors over the host's events. It is indexed by
 * slot, and an event carries the slot and its generation, so an event that was
 * collected before its descriptor was deleted in the same round is dropped.
 */
#define _GNU_SOURCE
#include "os/poller.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "os/clock.h"
#include "os/events.h"
#include "os/wake.h"

#define BATCH 64

struct watch {
    int fd; /* -1: free slot */
    uint32_t gen;
    unsigned events;
    sq_poll_fn *fn;
    void *ctx;
};

struct sq_poller {
    int queue;
    struct sq_wake wake;
    atomic_bool stop;
    struct watch *watches;
    size_t watch_count;
    struct sq_timer *timers;
    struct sq_turn *turn, *taken; /* for callbacks; taken now; or NULL */
    pthread_mutex_t lock; /* guards work and .queued of what is in it */
    struct sq_work *work, **work_tail;
    /* sq_poller_hold() and _release(); under the lock */
    pthread_cond_t held_changed;
    bool wanted, held, free;
};

int sq_poller_new(struct sq_poller **out, struct squib_error *err)
{
    struct sq_poller *p = calloc(1, sizeof(*p));
    int rc, e;

    if (!p)
        return sq_err_set(err, SQUIB_E_NOMEM, "event loop: out of memory");
    p->work_tail = &p->work;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->held_changed, NULL);
    rc = sq_wake_init(&p->wake, err);
    if (rc) {
        free(p);
        return rc;
    }
    p->queue = -1;
    e = sq_events_open(&p->queue);
    if (!e)
        e = sq_events_change(p->queue, sq_wake_fd(&p->wake), SQ_EVENTS_NONE,
                             SQ_POLL_IN, UINT64_MAX);
    if (e) {
        rc = sq_err_os(err, SQUIB_E_OS, e, "event loop");
        if (p->queue >= 0)
            close(p->queue);
        sq_wake_destroy(&p->wake);
        free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void sq_poller_free(struct sq_poller *p)
{
    if (!p)
        return;
    close(p->queue);
    sq_wake_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->watches);
    free(p);
}

static void begin_turn(struct sq_poller *p)
{
    p->taken = p->turn;
    sq_turn_take(p->taken);
}

static void end_turn(struct sq_poller *p)
{
    sq_turn_give(p->taken);
    p->taken = NULL;
}

void sq_poller_set_turn(struct sq_poller *p, struct sq_turn *turn)
{
    end_turn(p); /* what is taken may go away */
    p->turn = turn;
}

static struct watch *find(struct sq_poller *p, int fd)
{
    for (size_t i = 0; i < p->watch_count; i++)
        if (p->watches[i].fd == fd)
            return &p->watches[i];
    return NULL;
}

static uint64_t slot_key(const struct sq_poller *p, const struct watch *w)
{
    return (uint64_t)(w - p->watches) | (uint64_t)w->gen << 32;
}

int sq_poller_add(struct sq_poller *p, int fd, unsigned events,
                  sq_poll_fn *fn, void *ctx, struct squib_error *err)
{
    struct watch *w = find(p, -1);
    int e;

    if (!w) {
        size_t n = p->watch_count ? p->watch_count * 2 : 16;

        w = realloc(p->watches, n * sizeof(*w));
        if (!w)
            return sq_err_set(err, SQUIB_E_NOMEM, "event loop: no memory");
        p->watches = w;
        for (size_t i = p->watch_count; i < n; i++)
            p->watches[i] = (struct watch){.fd = -1};
        w = &p->watches[p->watch_count];
        p->watch_count = n;
    }
    e = sq_events_change(p->queue, fd, SQ_EVENTS_NONE, events,
                         slot_key(p, w));
    if (e)
        return sq_err_os(err, SQUIB_E_OS, e, "event loop: watch %d", fd);
    w->fd = fd;
    w->events = events;
    w->fn = fn;
    w->ctx = ctx;
    return 0;
}

int sq_poller_mod(struct sq_poller *p, int fd, unsigned events)
{
    struct watch *w = find(p, fd);

    if (!w || fd < 0)
        return SQUIB_E_NOTFOUND;
    if (sq_events_change(p->queue, fd, w->events, events, slot_key(p, w)))
        return SQUIB_E_OS;
    w->events = events;
    return 0;
}

void sq_poller_del(struct sq_poller *p, int fd)
{
    struct watch *w = fd < 0 ? NULL : find(p, fd);

    if (!w)
        return;
    sq_events_change(p->queue, fd, w->events, SQ_EVENTS_NONE, 0);
    w->fd = -1;
    w->gen++;
}

void sq_timer_disarm(struct sq_poller *p, struct sq_timer *t)
{
    if (!t->armed)
        return;
    for (struct sq_timer **at = &p->timers; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    t->armed = false;
}

void sq_timer_arm(struct sq_poller *p, struct sq_timer *t,
                  uint64_t deadline_ns)
{
    struct sq_timer **at = &p->timers;

    sq_timer_disarm(p, t);
    t->deadline_ns = deadline_ns;
    while (*at && (*at)->deadline_ns <= deadline_ns)
        at = &(*at)->next;
    t->next = *at;
    *at = t;
    t->armed = true;
}

void sq_poller_post(struct sq_poller *p, struct sq_work *w)
{
    bool ring = false;

    pthread_mutex_lock(&p->lock);
    if (!w->queued) {
        w->queued = true;
        w->next = NULL;
        ring = p->work == NULL;
        *p->work_tail = w;
        p->work_tail = &w->next;
    }
    pthread_mutex_unlock(&p->lock);
    if (ring)
        sq_wake_signal(&p->wake);
}

void sq_poller_unpost(struct sq_poller *p, struct sq_work *w)
{
    pthread_mutex_lock(&p->lock);
    if (w->queued) {
        struct sq_work **at = &p->work;

        while (*at && *at != w)
            at = &(*at)->next;
        if (*at == w)
            *at = w->next;
        if (p->work_tail == &w->next)
            p->work_tail = at;
        w->queued = false;
    }
    pthread_mutex_unlock(&p->lock);
}

static void run_work(struct sq_poller *p)
{
    /* One at a time from the shared list, so that unpost() by a callback
     * always finds what has not run yet. No more than were there: work that
     * posts itself lets the rest of the loop have its turn. */
    size_t left = 0;

    pthread_mutex_lock(&p->lock);
    for (const struct sq_work *w = p->work; w; w = w->next)
        left++;
    while (p->work && left--) {
        struct sq_work *w = p->work;

        p->work = w->next;
        if (!p->work)
            p->work_tail = &p->work;
        w->queued = false;
        pthread_mutex_unlock(&p->lock);
        w->fn(w->ctx);
        pthread_mutex_lock(&p->lock);
    }
    if (p->work)
        sq_wake_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static int run_timers(struct sq_poller *p)
{
    while (p->timers) {
        uint64_t now = sq_now_ns();
        struct sq_timer *t = p->timers;

        if (t->deadline_ns > now) {
            uint64_t ms = (t->deadline_ns - now + 999999) / 1000000;

            return ms > 60000 ? 60000 : (int)ms;
        }
        p->timers = t->next;
        t->armed = false;
        t->fn(t->ctx, now);
    }
    return -1;
}

/* --- held by another thread ---------------------------------------------- */

void sq_poller_hold(struct sq_poller *p)
{
    pthread_mutex_lock(&p->lock);
    p->wanted = !p->free;
    if (p->wanted)
        sq_wake_signal(&p->wake);
    while (!p->held && !p->free)
        pthread_cond_wait(&p->held_changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void sq_poller_release(struct sq_poller *p)
{
    pthread_mutex_lock(&p->lock);
    p->held = p->wanted = false;
    pthread_cond_broadcast(&p->held_changed);
    pthread_mutex_unlock(&p->lock);
}

void sq_poller_hold_no_more(struct sq_poller *p)
{
    pthread_mutex_lock(&p->lock);
    p->free = true;
    p->held = p->wanted = false;
    pthread_cond_broadcast(&p->held_changed);
    pthread_mutex_unlock(&p->lock);
}

static bool is_wanted(struct sq_poller *p)
{
    bool wanted;

    pthread_mutex_lock(&p->lock);
    wanted = p->wanted;
    pthread_mutex_unlock(&p->lock);
    return wanted;
}

/* After a wait that brought `n` events: lets itself be held when there is
 * nothing to do, and does nothing while it is. */
static void be_held(struct sq_poller *p, int n)
{
    pthread_mutex_lock(&p->lock);
    if (n == 0 && p->wanted && !p->work) {
        p->wanted = false;
        p->held = true;
        pthread_cond_broadcast(&p->held_changed);
    }
    while (n > 0 && p->held)
        pthread_cond_wait(&p->held_changed, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

int sq_poller_run(struct sq_poller *p, struct squib_error *err)
{
    struct sq_event ev[BATCH];

    while (!atomic_load(&p->stop)) {
        int timeout_ms, n, e;

        begin_turn(p);
        timeout_ms = run_timers(p);
        end_turn(p);
        e = sq_events_wait(p->queue, ev, BATCH,
                           is_wanted(p) ? 0 : timeout_ms, &n);

        if (e)
            return sq_err_os(err, SQUIB_E_OS, e, "event loop: wait");
        be_held(p, n);
        begin_turn(p);
        for (int i = 0; i < n; i++) {
            uint32_t slot = (uint32_t)ev[i].key;
            uint32_t gen = (uint32_t)(ev[i].key >> 32);
            struct watch *w;

            if (ev[i].key == UINT64_MAX) {
                sq_wake_drain(&p->wake);
                run_work(p);
                continue;
            }
            w = &p->watches[slot];
            if (w->fd < 0 || w->gen != gen)
                continue; /* deleted earlier in this round */
            w->fn(w->ctx, w->fd, ev[i].events);
        }
        end_turn(p);
    }
    atomic_store(&p->stop, false);
    return 0;
}

void sq_poller_stop(struct sq_poller *p)
{
    atomic_store(&p->stop, true);
    sq_wake_signal(&p->wake);
}
