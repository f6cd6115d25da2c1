/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals to the process as events of the poller. They are blocked in the
 * calling thread, so call sq_signals_init() before other threads start.
 */
#ifndef SQ_CLI_SIGNALS_H
#define SQ_CLI_SIGNALS_H

#include <signal.h>

#include <squib/error.h>

#include "os/poller.h"

struct sq_signals {
    int fd;
    struct sq_poller *poller;
    sigset_t before; /* the thread's mask, put back by _fini() */
    void (*fn)(void *ctx, int signo);
    void *ctx;
};

/* INT, TERM, HUP, QUIT, USR1, USR2 and WINCH go to fn on the event thread;
 * PIPE is ignored, unless it is handled: writes report EPIPE. */
int sq_signals_init(struct sq_signals *s, struct sq_poller *poller,
                    void (*fn)(void *ctx, int signo), void *ctx,
                    struct squib_error *err);
void sq_signals_fini(struct sq_signals *s);

#endif
