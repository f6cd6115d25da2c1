/* SPDX-License-Identifier: Apache-2.0 */
/* A kqueue of signals: it is told of blocked ones, and is readable itself
 * while it has something to tell. They stay pending, so they are taken away
 * when read. */
#include "os/sigfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

int sq_sigfd_open(const sigset_t *set)
{
    int queue = kqueue();

    if (queue < 0)
        return -1;
    fcntl(queue, F_SETFD, FD_CLOEXEC);
    for (int signo = 1; signo < NSIG; signo++) {
        struct kevent ev = {.ident = (uintptr_t)signo,
                            .filter = EVFILT_SIGNAL, .flags = EV_ADD};

        if (sigismember(set, signo) == 1 &&
            kevent(queue, &ev, 1, NULL, 0, NULL) != 0) {
            int error = errno;

            close(queue);
            errno = error;
            return -1;
        }
    }
    return queue;
}

int sq_sigfd_read(int fd)
{
    const struct timespec now = {0, 0};
    struct kevent ev;
    sigset_t one, pending;
    int signo;

    if (kevent(fd, NULL, 0, &ev, 1, &now) != 1)
        return 0;
    signo = (int)ev.ident;
    sigemptyset(&one);
    sigaddset(&one, signo);
    if (sigpending(&pending) == 0 && sigismember(&pending, signo) == 1)
        sigwait(&one, &signo);
    return signo;
}
