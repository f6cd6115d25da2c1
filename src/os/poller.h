/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of one virtual machine: file descriptors, timers and work
 * posted from other threads, all answered on the one thread that runs it.
 *
 * Everything here belongs to that thread except sq_poller_post() and
 * sq_poller_stop(), which any thread may call. Before the loop runs, the
 * thread that builds the machine counts as the event thread.
 */
#ifndef SQ_OS_POLLER_H
#define SQ_OS_POLLER_H

#include <stdbool.h>
#include <stdint.h>

#include <squib/error.h>

#include "os/turn.h"

struct sq_poller;

enum sq_poll_events { SQ_POLL_IN = 1, SQ_POLL_OUT = 2, SQ_POLL_HUP = 4 };

/* `events` is what is true now (SQ_POLL_*; HUP also stands for errors). */
typedef void sq_poll_fn(void *ctx, int fd, unsigned events);
typedef void sq_timer_fn(void *ctx, uint64_t now_ns);
typedef void sq_work_fn(void *ctx);

/* Embedded in its owner; zero it before the first use. */
struct sq_timer {
    uint64_t deadline_ns;
    sq_timer_fn *fn;
    void *ctx;
    struct sq_timer *next; /* the poller's list, sorted by deadline */
    bool armed;
};

/* Embedded in its owner. Posting one that is already queued is a no-op, so
 * a device posts its queue work on every notification. */
struct sq_work {
    sq_work_fn *fn;
    void *ctx;
    struct sq_work *next;
    bool queued; /* under the poller's lock */
};

int sq_poller_new(struct sq_poller **out, struct squib_error *err);
void sq_poller_free(struct sq_poller *p);

/* Watches fd; the caller keeps owning it and deletes it before closing.
 * HUP is always reported. events may be 0. Level-triggered. */
int sq_poller_add(struct sq_poller *p, int fd, unsigned events,
                  sq_poll_fn *fn, void *ctx, struct squib_error *err);
int sq_poller_mod(struct sq_poller *p, int fd, unsigned events);
/* No callback for fd runs after this returns. */
void sq_poller_del(struct sq_poller *p, int fd);

/* Callbacks run in turns with whoever else takes `turn`, from the next round
 * of the loop on; NULL: by themselves again, at once. */
void sq_poller_set_turn(struct sq_poller *p, struct sq_turn *turn);

/* For runs that must not depend on which thread is faster: waits until the
 * loop has nothing to do, and from then on it does nothing, but for timers,
 * until release. For one other thread at a time; while the loop runs. */
void sq_poller_hold(struct sq_poller *p);
void sq_poller_release(struct sq_poller *p);
/* Ends what hold does, now and for ever. Any thread. */
void sq_poller_hold_no_more(struct sq_poller *p);

/* (Re)arms a one-shot timer. fn and ctx are set by the owner before. */
void sq_timer_arm(struct sq_poller *p, struct sq_timer *t,
                  uint64_t deadline_ns);
void sq_timer_disarm(struct sq_poller *p, struct sq_timer *t);

/* Any thread: fn(ctx) will run on the event thread. */
void sq_poller_post(struct sq_poller *p, struct sq_work *w);
/* Event thread or after the loop ended: takes posted work back. */
void sq_poller_unpost(struct sq_poller *p, struct sq_work *w);

/* Runs callbacks until sq_poller_stop(). Errors: SQUIB_E_OS. */
int sq_poller_run(struct sq_poller *p, struct squib_error *err);
/* Any thread, async-signal-safe: makes run return soon. */
void sq_poller_stop(struct sq_poller *p);

#endif
