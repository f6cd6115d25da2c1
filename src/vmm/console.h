/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's console on the host: a memory of its last lines for error
 * reports and, optionally, a descriptor that everything goes to.
 *
 * Bytes arrive on vCPU threads and are queued; the event thread writes the
 * queue out when the descriptor has room. A guest that floods the console
 * costs a fixed amount of memory: when the queue is full its vCPU waits, as
 * behind a real serial line, but at most SQ_CONSOLE_STALL_NS; after that
 * bytes are dropped (and counted) until the reader moves on again.
 *
 * Lock order: `lock` is taken after a device's lock and before the
 * poller's.
 */
#ifndef SQ_VMM_CONSOLE_H
#define SQ_VMM_CONSOLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#include "dev/ratelimit.h"
#include "os/poller.h"

#define SQ_CONSOLE_LINES 20
#define SQ_CONSOLE_RING (SQ_CONSOLE_LINES + 1)
#define SQ_CONSOLE_LINE_MAX 240 /* longer lines are cut */
#define SQ_CONSOLE_QUEUE 65536u
#define SQ_CONSOLE_STALL_NS 500000000u

struct sq_console_line {
    uint16_t len;
    char text[SQ_CONSOLE_LINE_MAX];
};

struct sq_console {
    pthread_mutex_t lock;
    pthread_cond_t room;
    /* The last complete lines and the one being written. */
    struct sq_console_line line[SQ_CONSOLE_RING];
    uint64_t line_no; /* of the one being written */
    uint8_t escape;   /* inside a terminal control sequence */
    char panic[SQ_CONSOLE_LINE_MAX + 1]; /* the first line that tells one */
    /* The queue to fd; positions grow for ever, modulo the queue. */
    uint8_t *queue;
    uint64_t head, tail;
    uint64_t dropped;
    struct sq_bucket limit; /* a token is a byte */
    uint64_t limited;       /* bytes that it kept from fd */
    bool stalled, closing;
    /* Event thread. */
    int fd; /* -1: none */
    bool watched, pollable;
    struct sq_poller *poller;
    struct sq_work work;
};

/* out_fd is borrowed, -1 for none. Event thread. */
int sq_console_init(struct sq_console *c, struct sq_poller *poller,
                    int out_fd, struct squib_error *err);
/* What exceeds the rate does not reach the descriptor; the last lines have it
 * nevertheless. Before the guest runs. */
void sq_console_limit(struct sq_console *c,
                      const struct sq_bucket_config *limit);
/* Bytes that did not reach the descriptor: nobody took them, and the limit.
 * Any thread. */
void sq_console_lost(struct sq_console *c, uint64_t *dropped,
                     uint64_t *limited);
/* Event thread, after all vCPUs have ended. */
void sq_console_destroy(struct sq_console *c);

/* Output of the guest. Any thread; may block for SQ_CONSOLE_STALL_NS. */
void sq_console_put(struct sq_console *c, const uint8_t *bytes, size_t len);

/* From now on nobody waits for room: the VM is to stop. Any thread. */
void sq_console_close(struct sq_console *c);

/* Writes out what is queued, waiting at most wait_ns for the reader. Event
 * thread. */
void sq_console_drain(struct sq_console *c, uint64_t wait_ns);

/* Calls fn for each kept line, oldest first: printable ASCII and UTF-8, no
 * newline. Empty lines are left out. Any thread; fn must not call back. */
void sq_console_tail(struct sq_console *c,
                     void (*fn)(void *ctx, const char *line), void *ctx);

/* The line in which Linux said that it panicked; false if it has not. Its
 * trace is usually longer than the lines kept. Any thread. */
bool sq_console_panic(struct sq_console *c,
                      char line[SQ_CONSOLE_LINE_MAX + 1]);

#endif
