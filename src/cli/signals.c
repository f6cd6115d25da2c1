/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/signals.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "os/sigfd.h"

static void on_readable(void *ctx, int fd, unsigned events)
{
    struct sq_signals *s = ctx;
    int signo;

    (void)events;
    while ((signo = sq_sigfd_read(fd)) != 0)
        s->fn(s->ctx, signo);
}

int sq_signals_init(struct sq_signals *s, struct sq_poller *poller,
                    void (*fn)(void *ctx, int signo), void *ctx,
                    struct squib_error *err)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT,
                                 SIGUSR1, SIGUSR2, SIGWINCH};
    struct sigaction old;
    sigset_t set;
    int rc;

    s->poller = poller;
    s->fn = fn;
    s->ctx = ctx;
    if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    for (size_t i = 0; i < SQ_ARRAY_LEN(wanted); i++) {
        /* nohup and shells' background jobs ignore some: keep that. */
        if (sigaction(wanted[i], NULL, &old) == 0 &&
            old.sa_handler == SIG_IGN)
            continue;
        sigaddset(&set, wanted[i]);
    }
    pthread_sigmask(SIG_BLOCK, &set, &s->before);
    s->fd = sq_sigfd_open(&set);
    if (s->fd < 0) {
        rc = sq_err_os(err, SQUIB_E_OS, errno, "signals");
        pthread_sigmask(SIG_SETMASK, &s->before, NULL);
        return rc;
    }
    rc = sq_poller_add(poller, s->fd, SQ_POLL_IN, on_readable, s, err);
    if (rc) {
        close(s->fd);
        pthread_sigmask(SIG_SETMASK, &s->before, NULL);
    }
    return rc;
}

void sq_signals_fini(struct sq_signals *s)
{
    sq_poller_del(s->poller, s->fd);
    close(s->fd);
    pthread_sigmask(SIG_SETMASK, &s->before, NULL);
}
