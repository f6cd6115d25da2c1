/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/run_relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "cli/stream.h"
#include "os/clock.h"
#include "os/sock.h"

#define SESSION 1u
/* Messages that wait for the agent to read them; more are dropped, as
 * signals are when many come at once. */
#define SENDQ_MAX (sizeof(struct sq_agent_header) + SQ_AGENT_RUN_MAX + 16384)
/* After EXITED: how long a stream may stay silent without ending. */
#define LINGER_NS 2000000000u
#define ESCAPE 0x1d /* Ctrl-] */

/* One data connection and its host descriptor(s). */
struct channel {
    struct sq_relay *relay;
    uint32_t port;
    bool expected; /* the agent will make it for this command */
    bool open;
    struct sq_end guest;
    struct sq_stream *out; /* guest to host; NULL until it is open */
    struct sq_stream *in;  /* host to guest: only of CH_STDIN */
};

enum { CH_STDIN, CH_STDOUT, CH_STDERR, CH_COUNT };

struct sq_relay {
    struct sq_relay_config config;
    bool tty;
    bool started, ended; /* ended: done() was called */
    bool escape;         /* the last key was ESCAPE */
    bool have_result;
    enum sq_relay_end result;
    int status;
    char text[SQ_AGENT_TEXT_MAX + 64];

    int control; /* -1: not connected */
    bool was_connected;
    struct sq_agent_reader reader;
    uint8_t *sendq;
    size_t send_head, send_len, send_cap;
    uint8_t *run; /* the RUN message, until it is sent */
    size_t run_len;

    struct channel channel[CH_COUNT];
    struct sq_end host[CH_COUNT];
    struct sq_timer linger;
    struct sq_work finish; /* done() from the loop, not from deep below */
    uint64_t lingered_moved;
};

static void check_finished(struct sq_relay *r);

/* --- the end ----------------------------------------------------------- */

static void on_finish(void *ctx)
{
    struct sq_relay *r = ctx;

    if (r->ended)
        return;
    r->ended = true;
    sq_timer_disarm(r->config.poller, &r->linger);
    r->config.done(r->config.ctx, r->result, r->status, r->text);
}

static void set_result(struct sq_relay *r, enum sq_relay_end result,
                       int status, const char *text)
{
    if (r->have_result)
        return;
    r->have_result = true;
    r->result = result;
    r->status = status;
    snprintf(r->text, sizeof(r->text), "%s", text ? text : "");
    check_finished(r);
}

static bool output_done(const struct sq_relay *r)
{
    for (int i = 0; i < CH_COUNT; i++) {
        const struct channel *c = &r->channel[i];

        if (c->open && !c->out->done && (i != CH_STDIN || r->tty))
            return false;
    }
    return true;
}

static uint64_t output_moved(const struct sq_relay *r)
{
    uint64_t n = 0;

    for (int i = 0; i < CH_COUNT; i++)
        if (r->channel[i].out)
            n += r->channel[i].out->moved;
    return n;
}

/* The command has ended and a stream neither ends nor brings bytes: do not
 * wait for the guest any longer. What is buffered for a slow reader on the
 * host is still delivered. */
static void on_linger(void *ctx, uint64_t now_ns)
{
    struct sq_relay *r = ctx;
    uint64_t moved = output_moved(r);

    if (moved == r->lingered_moved) {
        for (int i = 0; i < CH_COUNT; i++) {
            struct sq_stream *s = r->channel[i].out;

            if (s && s->source && !s->done && s->head == s->tail)
                sq_stream_abandon(s);
        }
    }
    r->lingered_moved = moved;
    check_finished(r);
    if (!r->ended && !output_done(r))
        sq_timer_arm(r->config.poller, &r->linger, now_ns + LINGER_NS);
}

static void check_finished(struct sq_relay *r)
{
    if (!r->have_result || r->ended)
        return;
    if (r->result != SQ_RELAY_EXITED || output_done(r)) {
        sq_poller_post(r->config.poller, &r->finish);
        return;
    }
    if (!r->linger.armed) {
        r->lingered_moved = output_moved(r);
        sq_timer_arm(r->config.poller, &r->linger, sq_now_ns() + LINGER_NS);
    }
}

/* --- control ----------------------------------------------------------- */

static void close_control(struct sq_relay *r)
{
    if (r->control < 0)
        return;
    sq_poller_del(r->config.poller, r->control);
    close(r->control);
    r->control = -1;
}

static void lost(struct sq_relay *r, const char *text)
{
    close_control(r);
    set_result(r, SQ_RELAY_LOST, 0, text);
}

static void flush_control(struct sq_relay *r)
{
    while (r->control >= 0 && r->send_head < r->send_len) {
        ssize_t n = send(r->control, r->sendq + r->send_head,
                         r->send_len - r->send_head,
                         MSG_DONTWAIT | SQ_MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            break; /* reading will tell */
        r->send_head += (size_t)n;
    }
    if (r->send_head == r->send_len)
        r->send_head = r->send_len = 0;
    if (r->control >= 0)
        sq_poller_mod(r->config.poller, r->control,
                      SQ_POLL_IN | (r->send_len ? SQ_POLL_OUT : 0u));
}

static void send_bytes(struct sq_relay *r, const uint8_t *bytes, size_t len)
{
    if (r->control < 0 || r->send_len + len > SENDQ_MAX)
        return;
    if (r->send_len + len > r->send_cap) {
        size_t cap = r->send_len + len + 4096;
        uint8_t *q = realloc(r->sendq, cap);

        if (!q)
            return;
        r->sendq = q;
        r->send_cap = cap;
    }
    memcpy(r->sendq + r->send_len, bytes, len);
    r->send_len += len;
    flush_control(r);
}

static void send_msg(struct sq_relay *r, const struct sq_agent_msg *msg)
{
    uint8_t bytes[SQ_AGENT_SMALL_MAX];
    size_t len = sq_agent_encode(msg, bytes);

    send_bytes(r, bytes, len);
}

static void on_exited(struct sq_relay *r, const struct sq_agent_exited *e)
{
    int status = e->kind == SQ_AGENT_EXIT_SIGNAL ? 128 + (int)e->value
                                                 : (int)e->value;

    set_result(r, SQ_RELAY_EXITED, status, NULL);
}

static bool on_message(struct sq_relay *r, const struct sq_agent_msg *msg)
{
    char text[96];

    switch (msg->type) {
    case SQ_AGENT_HELLO:
        if (!r->run)
            return false;
        if (msg->hello.version != SQ_AGENT_VERSION) {
            snprintf(text, sizeof(text), "the guest's agent speaks protocol "
                     "%u, this squib %u", msg->hello.version,
                     SQ_AGENT_VERSION);
            lost(r, text);
            return true;
        }
        send_bytes(r, r->run, r->run_len);
        free(r->run);
        r->run = NULL;
        return true;
    case SQ_AGENT_STARTED:
        if (r->run || r->started || msg->started.session != SESSION)
            return false;
        r->started = true;
        if (r->config.started)
            r->config.started(r->config.ctx);
        return true;
    case SQ_AGENT_FAILED:
        set_result(r, SQ_RELAY_FAILED,
                   sq_agent_failed_status(msg->failed.reason),
                   msg->failed.text);
        return true;
    case SQ_AGENT_EXITED:
        if (!r->started || msg->exited.session != SESSION)
            return false;
        on_exited(r, &msg->exited);
        return true;
    default:
        return false;
    }
}

static void on_control(void *ctx, int fd, unsigned events)
{
    struct sq_relay *r = ctx;
    struct sq_agent_msg msg;
    size_t room;
    uint8_t *space;
    ssize_t n;
    int got;

    if (events & SQ_POLL_OUT)
        flush_control(r);
    if (!(events & (SQ_POLL_IN | SQ_POLL_HUP)))
        return;
    space = sq_agent_reader_space(&r->reader, &room);
    n = recv(fd, space, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        lost(r, "the guest's agent closed its connection");
        return;
    }
    sq_agent_reader_added(&r->reader, (size_t)n);
    while (r->control >= 0 &&
           (got = sq_agent_reader_next(&r->reader, &msg)) != 0) {
        if (got < 0 || !on_message(r, &msg)) {
            lost(r, "the guest's agent broke the protocol");
            return;
        }
    }
}

/* --- data -------------------------------------------------------------- */

static bool prefix_ok(void *ctx, const uint8_t *prefix)
{
    const struct channel *c = ctx;
    struct sq_agent_stream head;

    memcpy(&head, prefix, sizeof(head));
    return head.magic == SQ_AGENT_STREAM_MAGIC && head.session == SESSION &&
           head.port == c->port;
}

static void on_out_done(void *ctx)
{
    struct channel *c = ctx;

    check_finished(c->relay);
}

/* Ctrl-] q ends the machine, Ctrl-] twice sends one. */
static size_t filter_keys(void *ctx, uint8_t *bytes, size_t len)
{
    struct channel *c = ctx;
    struct sq_relay *r = c->relay;
    size_t keep = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t b = bytes[i];

        if (r->escape) {
            r->escape = false;
            if (b == 'q')
                set_result(r, SQ_RELAY_DETACHED, 0, NULL);
            else if (b == ESCAPE)
                bytes[keep++] = b;
        } else if (b == ESCAPE) {
            r->escape = true;
        } else {
            bytes[keep++] = b;
        }
    }
    return keep;
}

/* On a channel that only brings bytes to the guest: all after the prefix is
 * nothing we asked for. */
static size_t drop_all(void *ctx, uint8_t *bytes, size_t len)
{
    const struct channel *c = ctx;
    size_t want = c->out->skip - c->out->skipped;

    (void)bytes;
    return len < want ? len : want;
}

static int open_channel(struct sq_relay *r, struct channel *c, int fd,
                        struct squib_error *err)
{
    int i = (int)(c - r->channel);
    bool from_host = i == CH_STDIN;

    if (from_host)
        c->in = calloc(1, sizeof(*c->in));
    c->out = calloc(1, sizeof(*c->out));
    if ((from_host && !c->in) || !c->out) {
        free(c->in);
        free(c->out);
        c->in = c->out = NULL;
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    }
    c->open = true;
    sq_end_init(&c->guest, r->config.poller, fd, true);
    c->out->skip = sizeof(struct sq_agent_stream);
    c->out->prefix_ok = prefix_ok;
    c->out->on_done = on_out_done;
    c->out->ctx = c;
    if (from_host && !r->tty)
        c->out->filter = drop_all;
    sq_stream_start(c->out, &c->guest, &r->host[r->tty ? CH_STDOUT : i]);
    if (c->in) {
        c->in->ctx = c;
        if (r->tty)
            c->in->filter = filter_keys;
        sq_stream_start(c->in, &r->host[CH_STDIN], &c->guest);
    }
    return 0;
}

/* The agent connects to a port. Device mutex held: no calls back. */
static int host_connect(void *ctx, uint32_t port, struct squib_error *err)
{
    struct sq_relay *r = ctx;
    struct channel *c = NULL;
    int pair[2], rc;

    for (int i = 0; i < CH_COUNT; i++)
        if (r->channel[i].expected && r->channel[i].port == port)
            c = &r->channel[i];
    if (port == SQ_AGENT_PORT_CONTROL ? r->was_connected : !c || c->open)
        return sq_err_set(err, SQUIB_E_NOTFOUND, "nobody listens on vsock "
                          "port %u", port);
    if (sq_sock_pair(pair, true) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "socketpair");
    if (c) {
        rc = open_channel(r, c, pair[0], err);
    } else {
        rc = sq_poller_add(r->config.poller, pair[0], SQ_POLL_IN, on_control,
                           r, err);
        if (!rc) {
            r->control = pair[0];
            r->was_connected = true;
        }
    }
    if (rc) {
        close(pair[0]);
        close(pair[1]);
        return rc;
    }
    return pair[1];
}

const struct sq_vsock_host_ops sq_relay_host_ops = {host_connect};

/* --- life -------------------------------------------------------------- */

static int encode_run(struct sq_relay *r, struct squib_error *err)
{
    struct sq_agent_command command = r->config.command;
    size_t size;

    command.session = SESSION;
    size = sq_agent_run_size(&command);
    if (!size)
        return sq_err_set(err, SQUIB_E_INVAL, "the command and its "
                          "environment are too large: at most %u KiB",
                          SQ_AGENT_RUN_MAX / 1024);
    r->run = malloc(size);
    if (!r->run)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    if (sq_agent_run_encode(&command, r->run, size, &r->run_len) !=
        SQ_AGENT_OK)
        return sq_err_set(err, SQUIB_E_INVAL, "the command is too large");
    return 0;
}

int sq_relay_new(const struct sq_relay_config *config, struct sq_relay **out,
                 struct squib_error *err)
{
    static const uint32_t ports[CH_COUNT] = {
        SQ_AGENT_PORT_STDIN, SQ_AGENT_PORT_STDOUT, SQ_AGENT_PORT_STDERR,
    };
    struct sq_relay *r = calloc(1, sizeof(*r));
    int fds[CH_COUNT] = {config->in_fd, config->out_fd, config->err_fd};
    int rc;

    if (!r)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    r->config = *config;
    r->control = -1;
    r->tty = (config->command.flags & SQ_AGENT_RUN_TTY) != 0;
    r->linger.fn = on_linger;
    r->linger.ctx = r;
    r->finish.fn = on_finish;
    r->finish.ctx = r;
    for (int i = 0; i < CH_COUNT; i++) {
        r->channel[i].relay = r;
        r->channel[i].port = ports[i];
        r->channel[i].expected = i == CH_STDIN || !r->tty;
        sq_end_init(&r->host[i], config->poller, fds[i], false);
    }
    rc = encode_run(r, err);
    if (rc) {
        sq_relay_free(r);
        return rc;
    }
    memset(&r->config.command, 0, sizeof(r->config.command));
    *out = r;
    return 0;
}

void sq_relay_free(struct sq_relay *r)
{
    if (!r)
        return;
    close_control(r);
    sq_timer_disarm(r->config.poller, &r->linger);
    sq_poller_unpost(r->config.poller, &r->finish);
    for (int i = 0; i < CH_COUNT; i++) {
        if (r->channel[i].open)
            sq_end_close(&r->channel[i].guest);
        sq_end_close(&r->host[i]);
    }
    for (int i = 0; i < CH_COUNT; i++) {
        free(r->channel[i].in);
        free(r->channel[i].out);
    }
    free(r->sendq);
    free(r->run);
    free(r);
}

bool sq_relay_connected(const struct sq_relay *r)
{
    return r->was_connected;
}

bool sq_relay_started(const struct sq_relay *r)
{
    return r->started;
}

void sq_relay_signal(struct sq_relay *r, uint32_t signo)
{
    struct sq_agent_msg msg = {
        .type = SQ_AGENT_SIGNAL,
        .signal = {SESSION, signo},
    };

    if (r->started && !r->have_result)
        send_msg(r, &msg);
}

void sq_relay_winsize(struct sq_relay *r, uint16_t rows, uint16_t cols)
{
    struct sq_agent_msg msg = {
        .type = SQ_AGENT_WINSIZE,
        .winsize = {SESSION, rows, cols},
    };

    if (r->started && r->tty && !r->have_result)
        send_msg(r, &msg);
}
