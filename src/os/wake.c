/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "base/err.h"
#include "os/clock.h"

int sq_wake_init(struct sq_wake *w, struct squib_error *err)
{
#ifdef __linux__
    w->fd[0] = w->fd[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->fd[0] < 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "eventfd");
#else
    if (pipe(w->fd) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "pipe");
    for (int i = 0; i < 2; i++) {
        fcntl(w->fd[i], F_SETFL, O_NONBLOCK);
        fcntl(w->fd[i], F_SETFD, FD_CLOEXEC);
    }
#endif
    return 0;
}

void sq_wake_destroy(struct sq_wake *w)
{
    close(w->fd[0]);
    if (w->fd[1] != w->fd[0])
        close(w->fd[1]);
    w->fd[0] = w->fd[1] = -1;
}

void sq_wake_signal(struct sq_wake *w)
{
    const uint64_t one = 1;
    int saved = errno;

    /* A full pipe or counter means that it rings already. */
    (void)!write(w->fd[1], &one, sizeof(one));
    errno = saved;
}

void sq_wake_drain(struct sq_wake *w)
{
    uint64_t buf[8];

    while (read(w->fd[0], buf, sizeof(buf)) == (ssize_t)sizeof(buf))
        ;
}

void sq_wake_wait(struct sq_wake *w, uint64_t deadline_ns)
{
    struct pollfd pfd = {.fd = w->fd[0], .events = POLLIN};
    struct timespec ts, *limit = NULL;

    if (deadline_ns != UINT64_MAX) {
        uint64_t now = sq_now_ns();
        uint64_t left = deadline_ns > now ? deadline_ns - now : 0;

        ts.tv_sec = (time_t)(left / 1000000000u);
        ts.tv_nsec = (long)(left % 1000000000u);
        limit = &ts;
    }
#ifdef __linux__
    (void)ppoll(&pfd, 1, limit, NULL);
#else
    (void)poll(&pfd, 1, limit ? (int)(ts.tv_sec * 1000 +
                                      (ts.tv_nsec + 999999) / 1000000) : -1);
#endif
    sq_wake_drain(w);
}

int sq_wake_fd(const struct sq_wake *w)
{
    return w->fd[0];
}
