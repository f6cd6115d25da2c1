/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kqueue (kqueue(2) of macOS) has a filter for reading and one for writing,
 * each with its own events, so one descriptor may be told twice in a round.
 * The end of the other side comes as EV_EOF of either. A descriptor that is
 * watched for hang-ups alone has a read filter whose low-water mark no
 * amount of data reaches.
 */
#include "os/events.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/event.h>
#include <sys/time.h>

#include "os/poller.h"

#define BATCH 64

int sq_events_open(int *queue)
{
    *queue = kqueue();
    if (*queue < 0)
        return errno;
    fcntl(*queue, F_SETFD, FD_CLOEXEC);
    return 0;
}

static int change_one(int queue, int fd, int16_t filter, uint16_t flags,
                      uint32_t fflags, int64_t data, uint64_t key)
{
    struct kevent ev = {
        .ident = (uintptr_t)fd,
        .filter = filter,
        .flags = flags,
        .fflags = fflags,
        .data = (intptr_t)data,
        .udata = (void *)(uintptr_t)key,
    };

    return kevent(queue, &ev, 1, NULL, 0, NULL) == 0 ? 0 : errno;
}

int sq_events_change(int queue, int fd, unsigned before, unsigned after,
                     uint64_t key)
{
    bool wrote = before != SQ_EVENTS_NONE && before & SQ_POLL_OUT;
    int rc = 0;

    if (after == SQ_EVENTS_NONE) {
        rc = change_one(queue, fd, EVFILT_READ, EV_DELETE, 0, 0, key);
        if (wrote)
            change_one(queue, fd, EVFILT_WRITE, EV_DELETE, 0, 0, key);
        return rc;
    }
    if (after & SQ_POLL_IN)
        rc = change_one(queue, fd, EVFILT_READ, EV_ADD, 0, 0, key);
    else
        rc = change_one(queue, fd, EVFILT_READ, EV_ADD, NOTE_LOWAT, INT_MAX,
                        key);
    if (!rc && after & SQ_POLL_OUT)
        rc = change_one(queue, fd, EVFILT_WRITE, EV_ADD, 0, 0, key);
    else if (!rc && wrote)
        rc = change_one(queue, fd, EVFILT_WRITE, EV_DELETE, 0, 0, key);
    return rc;
}

/* As poll(2) would say it: at the end of the other side there is something
 * to read (the end), and a writer may find out by writing. */
static unsigned events_of(const struct kevent *ev)
{
    unsigned events = ev->filter == EVFILT_WRITE ? SQ_POLL_OUT : SQ_POLL_IN;

    if (ev->flags & EV_EOF)
        events |= SQ_POLL_HUP;
    if (ev->flags & EV_ERROR)
        events = SQ_POLL_HUP;
    return events;
}

int sq_events_wait(int queue, struct sq_event *out, int room, int timeout_ms,
                   int *n)
{
    struct kevent ev[BATCH];
    const struct timespec limit = {timeout_ms / 1000,
                                   timeout_ms % 1000 * 1000000l};

    *n = kevent(queue, NULL, 0, ev, room < BATCH ? room : BATCH,
                timeout_ms < 0 ? NULL : &limit);
    if (*n < 0) {
        *n = 0;
        return errno == EINTR ? 0 : errno;
    }
    for (int i = 0; i < *n; i++)
        out[i] = (struct sq_event){.key = (uint64_t)(uintptr_t)ev[i].udata,
                                   .events = events_of(&ev[i])};
    return 0;
}
