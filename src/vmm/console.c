/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "vmm/console.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "os/clock.h"
#include "os/cond.h"

/* A pipe that polls writable takes this much without blocking. */
#define CHUNK 4096u

/* --- the last lines ---------------------------------------------------- */

/* Control sequences (ESC [ ... letter) would confuse the terminal that
 * shows the lines later, so they are left out. */
enum { PLAIN, AFTER_ESC, IN_CSI };

static void end_line(struct sq_console *c, struct sq_console_line *l)
{
    static const char panic[] = "Kernel panic";

    if (!c->panic[0] && memmem(l->text, l->len, panic, sizeof(panic) - 1)) {
        memcpy(c->panic, l->text, l->len);
        c->panic[l->len] = '\0';
    }
    c->line_no++;
    c->line[c->line_no % SQ_CONSOLE_RING].len = 0;
}

bool sq_console_panic(struct sq_console *c,
                      char line[SQ_CONSOLE_LINE_MAX + 1])
{
    pthread_mutex_lock(&c->lock);
    memcpy(line, c->panic, sizeof(c->panic));
    pthread_mutex_unlock(&c->lock);
    return line[0] != '\0';
}

static void keep_byte(struct sq_console *c, uint8_t b)
{
    struct sq_console_line *l = &c->line[c->line_no % SQ_CONSOLE_RING];

    if (c->escape == AFTER_ESC) {
        c->escape = b == '[' ? IN_CSI : PLAIN;
        return;
    }
    if (c->escape == IN_CSI) {
        if (b >= 0x40 && b <= 0x7e)
            c->escape = PLAIN;
        return;
    }
    if (b == 0x1b) {
        c->escape = AFTER_ESC;
    } else if (b == '\n') {
        if (l->len)
            end_line(c, l);
    } else if (b >= 0x20 && b != 0x7f && l->len < SQ_CONSOLE_LINE_MAX) {
        l->text[l->len++] = (char)b;
    }
}

void sq_console_tail(struct sq_console *c,
                     void (*fn)(void *ctx, const char *line), void *ctx)
{
    uint64_t first;

    pthread_mutex_lock(&c->lock);
    first = c->line_no;
    if (first && !c->line[first % SQ_CONSOLE_RING].len)
        first--; /* nothing stands in the newest yet */
    first = first >= SQ_CONSOLE_LINES - 1 ? first - (SQ_CONSOLE_LINES - 1)
                                          : 0;
    for (uint64_t no = first; no <= c->line_no; no++) {
        const struct sq_console_line *l = &c->line[no % SQ_CONSOLE_RING];
        char text[SQ_CONSOLE_LINE_MAX + 1];

        if (!l->len)
            continue;
        memcpy(text, l->text, l->len);
        text[l->len] = '\0';
        fn(ctx, text);
    }
    pthread_mutex_unlock(&c->lock);
}

/* --- the descriptor ---------------------------------------------------- */

/* Takes up to CHUNK queued bytes to write; they stay queued. */
static size_t peek(struct sq_console *c, uint8_t *buf)
{
    size_t n, at, first;

    pthread_mutex_lock(&c->lock);
    n = (size_t)(c->tail - c->head);
    if (n > CHUNK)
        n = CHUNK;
    at = c->head % SQ_CONSOLE_QUEUE;
    first = SQ_CONSOLE_QUEUE - at < n ? SQ_CONSOLE_QUEUE - at : n;
    memcpy(buf, c->queue + at, first);
    memcpy(buf + first, c->queue, n - first);
    pthread_mutex_unlock(&c->lock);
    return n;
}

static void consume(struct sq_console *c, size_t n)
{
    pthread_mutex_lock(&c->lock);
    c->head += n;
    c->stalled = false;
    pthread_cond_broadcast(&c->room);
    pthread_mutex_unlock(&c->lock);
}

static void give_up(struct sq_console *c)
{
    if (c->watched)
        sq_poller_del(c->poller, c->fd);
    c->watched = false;
    pthread_mutex_lock(&c->lock);
    c->fd = -1;
    c->dropped += c->tail - c->head;
    c->head = c->tail;
    pthread_cond_broadcast(&c->room);
    pthread_mutex_unlock(&c->lock);
}

/* One write. False when there is nothing more to do now. */
static bool write_some(struct sq_console *c)
{
    uint8_t buf[CHUNK];
    size_t n = peek(c, buf);
    ssize_t done;

    if (n == 0)
        return false;
    done = write(c->fd, buf, n);
    if (done < 0) {
        if (errno == EINTR || errno == EAGAIN)
            return false;
        give_up(c); /* the reader has gone */
        return false;
    }
    consume(c, (size_t)done);
    return true;
}

static void on_writable(void *ctx, int fd, unsigned events)
{
    struct sq_console *c = ctx;

    (void)fd;
    if (!(events & SQ_POLL_OUT)) {
        give_up(c);
        return;
    }
    if (!write_some(c) && c->watched) {
        uint8_t buf[CHUNK];

        if (peek(c, buf) == 0) {
            sq_poller_del(c->poller, c->fd);
            c->watched = false;
        }
    }
}

/* Posted when the queue stops being empty. */
static void on_queued(void *ctx)
{
    struct sq_console *c = ctx;

    if (c->fd < 0 || c->watched)
        return;
    if (c->pollable &&
        sq_poller_add(c->poller, c->fd, SQ_POLL_OUT, on_writable, c,
                      NULL) == 0) {
        c->watched = true;
        return;
    }
    /* A regular file: always ready, and epoll refuses it. */
    c->pollable = false;
    while (c->fd >= 0 && write_some(c))
        ;
}

int sq_console_init(struct sq_console *c, struct sq_poller *poller,
                    int out_fd, struct squib_error *err)
{

    memset(c, 0, sizeof(*c));
    if (out_fd >= 0) {
        c->queue = malloc(SQ_CONSOLE_QUEUE);
        if (!c->queue)
            return sq_err_set(err, SQUIB_E_NOMEM, "console: out of memory");
    }
    pthread_mutex_init(&c->lock, NULL);
    sq_cond_init(&c->room);
    c->fd = out_fd;
    c->pollable = true;
    c->poller = poller;
    c->work.fn = on_queued;
    c->work.ctx = c;
    return 0;
}

void sq_console_limit(struct sq_console *c,
                      const struct sq_bucket_config *limit)
{
    sq_bucket_init(&c->limit, limit, sq_now_ns());
}

void sq_console_lost(struct sq_console *c, uint64_t *dropped,
                     uint64_t *limited)
{
    pthread_mutex_lock(&c->lock);
    *dropped = c->dropped;
    *limited = c->limited;
    pthread_mutex_unlock(&c->lock);
}

void sq_console_destroy(struct sq_console *c)
{
    if (c->watched)
        sq_poller_del(c->poller, c->fd);
    sq_poller_unpost(c->poller, &c->work);
    pthread_cond_destroy(&c->room);
    pthread_mutex_destroy(&c->lock);
    free(c->queue);
    c->queue = NULL;
}

/* Waits for room. Lock held; false: drop. */
static bool wait_room(struct sq_console *c)
{
    uint64_t until = sq_now_ns() + SQ_CONSOLE_STALL_NS;

    while (c->tail - c->head == SQ_CONSOLE_QUEUE) {
        if (c->closing || c->stalled || c->fd < 0)
            return false;
        if (!sq_cond_wait_until(&c->room, &c->lock, until)) {
            c->stalled = true;
            return false;
        }
    }
    return true;
}

/* Lock held. */
static bool within_limit(struct sq_console *c)
{
    if (!sq_bucket_limits(&c->limit))
        return true;
    if (sq_bucket_when(&c->limit, 1, sq_now_ns()) != 0) {
        c->limited++;
        return false;
    }
    sq_bucket_take(&c->limit, 1);
    return true;
}

void sq_console_put(struct sq_console *c, const uint8_t *bytes, size_t len)
{
    bool post = false;

    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < len; i++) {
        keep_byte(c, bytes[i]);
        if (c->fd < 0 || !within_limit(c))
            continue;
        if (c->tail - c->head == SQ_CONSOLE_QUEUE && post) {
            sq_poller_post(c->poller, &c->work);
            post = false;
        }
        if (!wait_room(c)) {
            c->dropped++;
            continue;
        }
        post |= c->tail == c->head;
        c->queue[c->tail++ % SQ_CONSOLE_QUEUE] = bytes[i];
    }
    pthread_mutex_unlock(&c->lock);
    if (post)
        sq_poller_post(c->poller, &c->work);
}

void sq_console_close(struct sq_console *c)
{
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_broadcast(&c->room);
    pthread_mutex_unlock(&c->lock);
}

void sq_console_drain(struct sq_console *c, uint64_t wait_ns)
{
    uint64_t until = sq_now_ns() + wait_ns;

    while (c->fd >= 0) {
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        uint64_t now = sq_now_ns();
        uint8_t buf[CHUNK];
        int ready;

        if (peek(c, buf) == 0)
            return;
        if (now >= until)
            break;
        ready = poll(&p, 1, (int)((until - now) / 1000000) + 1);
        if (ready > 0 && !(p.revents & POLLOUT))
            break; /* only an error or a hang-up */
        if (ready > 0)
            write_some(c);
    }
    if (c->fd >= 0)
        give_up(c);
}
