/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <squib/error.h>

#include "os/sock.h"

/* A pipe or terminal that polls writable takes this much at once. */
#define CHUNK 4096u
/* Writes to one descriptor before others have their turn. */
#define WRITES_MAX 16

static void update(struct sq_end *end);

static bool wants_read(const struct sq_end *end)
{
    const struct sq_stream *s = end->reader;

    return s && !s->source_ended && s->tail < SQ_STREAM_BUFFER;
}

static bool wants_write(const struct sq_end *end)
{
    const struct sq_stream *s = end->writer;

    return s && !s->done && s->tail > s->head;
}

/* Empties a socket to which nothing can be sent any more. A writer that waits
 * for room in it would not be told of the shutdown otherwise. */
static void discard(int fd, void *scratch, size_t len)
{
    while (recv(fd, scratch, len, MSG_DONTWAIT) > 0)
        ;
}

static void finish(struct sq_stream *s)
{
    if (s->done)
        return;
    s->done = true;
    s->source_ended = true;
    s->head = s->tail = 0;
    /* Nobody reads the source any more: its writer must learn that. */
    if (s->source->ours && s->source->fd >= 0) {
        shutdown(s->source->fd, SHUT_RD);
        discard(s->source->fd, s->buffer, sizeof(s->buffer));
    }
    if (s->sink->ours && s->sink->fd >= 0)
        shutdown(s->sink->fd, SHUT_WR);
    if (s->on_done)
        s->on_done(s->ctx);
}

static void settle(struct sq_stream *s)
{
    if (s->head == s->tail) {
        s->head = s->tail = 0;
        if (s->source_ended)
            finish(s);
    }
}

static void take_prefix(struct sq_stream *s)
{
    size_t have = s->tail - s->head;
    size_t n = s->skip - s->skipped;

    if (n > have)
        n = have;
    if (n == 0)
        return;
    memcpy(s->prefix + s->skipped, s->buffer + s->head, n);
    s->skipped += n;
    s->head += n;
    if (s->skipped == s->skip && s->prefix_ok &&
        !s->prefix_ok(s->ctx, s->prefix))
        finish(s);
}

static void fill(struct sq_stream *s)
{
    size_t room;
    ssize_t n;

    if (s->head == s->tail)
        s->head = s->tail = 0;
    room = SQ_STREAM_BUFFER - s->tail;
    if (s->source_ended || room == 0)
        return;
    n = s->source->ours
            ? recv(s->source->fd, s->buffer + s->tail, room, MSG_DONTWAIT)
            : read(s->source->fd, s->buffer + s->tail, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        s->source_ended = true; /* an error ends it like end of file */
    } else {
        size_t len = (size_t)n;

        s->moved += len;
        if (s->filter)
            len = s->filter(s->ctx, s->buffer + s->tail, len);
        s->tail += len;
        if (s->skipped < s->skip)
            take_prefix(s);
    }
    if (!s->done)
        settle(s);
}

static ssize_t write_once(const struct sq_stream *s)
{
    const uint8_t *at = s->buffer + s->head;
    size_t len = s->tail - s->head;
    struct pollfd p = {.fd = s->sink->fd, .events = POLLOUT};

    if (s->sink->ours)
        return send(s->sink->fd, at, len, MSG_DONTWAIT | SQ_MSG_NOSIGNAL);
    if (s->sink->file)
        return write(s->sink->fd, at, len);
    if (poll(&p, 1, 0) != 1 || !(p.revents & (POLLOUT | POLLERR))) {
        errno = EAGAIN;
        return -1;
    }
    return write(s->sink->fd, at, len < CHUNK ? len : CHUNK);
}

static void drain(struct sq_stream *s)
{
    for (int i = 0; i < WRITES_MAX && s->head < s->tail; i++) {
        ssize_t n = write_once(s);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            finish(s); /* the reader has gone */
            return;
        }
        s->head += (size_t)n;
    }
    settle(s);
}

static void serve(struct sq_end *end, bool in, bool out)
{
    struct sq_stream *r = end->reader, *w = end->writer;

    if (in && wants_read(end)) {
        fill(r);
        /* Most of the time the sink is ready. */
        if (!r->done && r->tail > r->head)
            drain(r);
        update(r->sink);
        update(r->source);
    }
    if (out && end->fd >= 0 && wants_write(end)) {
        drain(w);
        update(w->source);
        update(w->sink);
    }
}

static void on_event(void *ctx, int fd, unsigned events)
{
    bool hup = (events & SQ_POLL_HUP) != 0;

    (void)fd;
    serve(ctx, hup || (events & SQ_POLL_IN), hup || (events & SQ_POLL_OUT));
}

static void on_again(void *ctx)
{
    struct sq_end *end = ctx;

    if (end->fd >= 0 && end->file) {
        serve(end, true, true);
        update(end);
    }
}

/* Watches for what the streams at this end wait for, and for nothing else:
 * a hang-up that nobody can act on would come for ever. */
static void update(struct sq_end *end)
{
    unsigned events;

    if (end->fd < 0)
        return;
    events = (wants_read(end) ? SQ_POLL_IN : 0u) |
             (wants_write(end) ? SQ_POLL_OUT : 0u);
    if (end->file) {
        if (events)
            sq_poller_post(end->poller, &end->again);
        return;
    }
    if (events == end->events && end->watched == (events != 0))
        return;
    end->events = events;
    if (!events) {
        sq_poller_del(end->poller, end->fd);
        end->watched = false;
    } else if (end->watched) {
        sq_poller_mod(end->poller, end->fd, events);
    } else if (sq_poller_add(end->poller, end->fd, events, on_event, end,
                             NULL) == 0) {
        end->watched = true;
    } else {
        /* A regular file, /dev/null; or a closed descriptor, which then
         * reports its error when it is used. */
        end->file = true;
        sq_poller_post(end->poller, &end->again);
    }
}

void sq_end_init(struct sq_end *end, struct sq_poller *poller, int fd,
                 bool ours)
{
    memset(end, 0, sizeof(*end));
    end->fd = fd;
    end->ours = ours;
    end->poller = poller;
    end->again.fn = on_again;
    end->again.ctx = end;
}

void sq_end_close(struct sq_end *end)
{
    if (end->fd < 0)
        return;
    if (end->watched)
        sq_poller_del(end->poller, end->fd);
    sq_poller_unpost(end->poller, &end->again);
    if (end->ours)
        close(end->fd);
    end->watched = false;
    end->fd = -1;
}

void sq_stream_start(struct sq_stream *s, struct sq_end *source,
                     struct sq_end *sink)
{
    s->source = source;
    s->sink = sink;
    source->reader = s;
    sink->writer = s;
    update(source);
}

void sq_stream_abandon(struct sq_stream *s)
{
    if (!s->source || s->done)
        return;
    finish(s);
    update(s->source);
    update(s->sink);
}
