/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/events.h"

#include <errno.h>
#include <sys/epoll.h>

#include "os/poller.h"

#define BATCH 64

int sq_events_open(int *queue)
{
    *queue = epoll_create1(EPOLL_CLOEXEC);
    return *queue < 0 ? errno : 0;
}

int sq_events_change(int queue, int fd, unsigned before, unsigned after,
                     uint64_t key)
{
    struct epoll_event ev = {.data.u64 = key};
    int op = after == SQ_EVENTS_NONE    ? EPOLL_CTL_DEL
             : before == SQ_EVENTS_NONE ? EPOLL_CTL_ADD
                                        : EPOLL_CTL_MOD;

    if (after != SQ_EVENTS_NONE)
        ev.events = (after & SQ_POLL_IN ? EPOLLIN : 0u) |
                    (after & SQ_POLL_OUT ? EPOLLOUT : 0u);
    return epoll_ctl(queue, op, fd, &ev) == 0 ? 0 : errno;
}

int sq_events_wait(int queue, struct sq_event *out, int room, int timeout_ms,
                   int *n)
{
    struct epoll_event ev[BATCH];

    *n = epoll_wait(queue, ev, room < BATCH ? room : BATCH, timeout_ms);
    if (*n < 0) {
        *n = 0;
        return errno == EINTR ? 0 : errno;
    }
    for (int i = 0; i < *n; i++) {
        uint32_t e = ev[i].events;

        out[i] = (struct sq_event){
            .key = ev[i].data.u64,
            .events = (e & EPOLLIN ? SQ_POLL_IN : 0u) |
                      (e & EPOLLOUT ? SQ_POLL_OUT : 0u) |
                      (e & (EPOLLHUP | EPOLLERR) ? SQ_POLL_HUP : 0u),
        };
    }
    return 0;
}
