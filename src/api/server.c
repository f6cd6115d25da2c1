/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "api/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "os/host.h"
#include "os/sock.h"

#define BACKLOG 128

/* A connection reads until it has something to answer, and then writes until
 * that is gone; so what waits is bounded by what fits into one read. */
struct conn {
    struct sq_api_server *server;
    int fd; /* -1: free */
    struct sq_http_parser parser;
    char *body;
    char *out;
    size_t out_len, out_room, out_done;
    bool broken; /* no memory for an answer */
};

struct sq_api_server {
    struct sq_api_server_config config;
    struct sockaddr_un where;
    struct sq_poller *poller;
    int fd;
    dev_t dev; /* of the socket file */
    ino_t ino;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* the rest of the thread's start */
    pthread_cond_t changed;
    bool ready; /* rc and err are set */
    int rc;
    struct squib_error err;
    struct conn conn[SQ_API_CONNECTIONS_MAX];
};

static void close_conn(struct conn *c)
{
    sq_poller_del(c->server->poller, c->fd);
    close(c->fd);
    c->fd = -1;
    free(c->body);
    free(c->out);
    c->body = c->out = NULL;
    c->out_len = c->out_room = c->out_done = 0;
    c->broken = false;
}

/* --- answers ----------------------------------------------------------- */

static void put(struct conn *c, const char *bytes, size_t len)
{
    if (c->out_room - c->out_len < len) {
        size_t room = c->out_room ? c->out_room : 1024;
        char *more;

        while (room - c->out_len < len)
            room *= 2;
        more = realloc(c->out, room);
        if (!more) {
            c->broken = true;
            return;
        }
        c->out = more;
        c->out_room = room;
    }
    memcpy(c->out + c->out_len, bytes, len);
    c->out_len += len;
}

static void put_answer(struct conn *c, unsigned status, bool deprecated,
                       const char *body)
{
    char head[SQ_HTTP_HEAD_MAX];
    size_t len = body ? strlen(body) : 0;

    put(c, head, sq_http_head(head, status, deprecated,
                              body ? (long long)len : -1));
    if (len)
        put(c, body, len);
}

static void on_request(void *ctx, const struct sq_http_request *request)
{
    struct conn *c = ctx;
    struct sq_api_answer answer = {0};

    c->server->config.answer(c->server->config.ctx, request, &answer);
    put_answer(c, answer.status, answer.deprecated, answer.body);
    free(answer.body);
}

static void on_proceed(void *ctx, bool http10)
{
    char head[SQ_HTTP_HEAD_MAX];

    put(ctx, head, sq_http_proceed(head, http10));
}

static void put_parse_error(struct conn *c)
{
    static const char before[] = "{ \"error\": \"";
    static const char after[] = "\nAll previous unanswered requests will be "
                                "dropped.\" }";
    char body[SQ_HTTP_ERROR_MAX + sizeof(before) + sizeof(after)];
    size_t len = strlen(c->parser.error);

    memcpy(body, before, sizeof(before) - 1);
    memcpy(body + sizeof(before) - 1, c->parser.error, len);
    memcpy(body + sizeof(before) - 1 + len, after, sizeof(after));
    put_answer(c, 400, false, body);
}

/* --- connections ------------------------------------------------------- */

/* Writes what it can; closes the connection if it is gone. */
static void flush(struct conn *c)
{
    while (c->out_done < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_done,
                         c->out_len - c->out_done, SQ_MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            sq_poller_mod(c->server->poller, c->fd, SQ_POLL_OUT);
            return;
        }
        if (n <= 0) {
            close_conn(c);
            return;
        }
        c->out_done += (size_t)n;
    }
    c->out_len = c->out_done = 0;
    sq_poller_mod(c->server->poller, c->fd, SQ_POLL_IN);
}

static void read_some(struct conn *c)
{
    const struct sq_http_sink sink = {on_request, on_proceed, c};
    char bytes[16384];
    size_t room = sq_http_room(&c->parser);
    ssize_t n = recv(c->fd, bytes, room < sizeof(bytes) ? room
                                                        : sizeof(bytes), 0);

    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        close_conn(c);
        return;
    }
    if (!sq_http_feed(&c->parser, bytes, (size_t)n, &sink))
        put_parse_error(c);
    if (c->broken)
        close_conn(c);
    else if (c->out_len)
        flush(c);
}

static void on_conn(void *ctx, int fd, unsigned events)
{
    struct conn *c = ctx;

    (void)fd;
    if (events & SQ_POLL_IN)
        read_some(c);
    else if (events & SQ_POLL_HUP)
        close_conn(c);
    else if (events & SQ_POLL_OUT)
        flush(c);
}

static struct conn *free_conn(struct sq_api_server *s)
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(s->conn); i++)
        if (s->conn[i].fd < 0)
            return &s->conn[i];
    return NULL;
}

static void on_listener(void *ctx, int fd, unsigned events)
{
    struct sq_api_server *s = ctx;
    struct conn *c = free_conn(s);
    int to = sq_sock_accept(fd);

    (void)events;
    if (to < 0)
        return;
    if (!c) {
        send(to, sq_http_full, strlen(sq_http_full), SQ_MSG_NOSIGNAL);
        close(to);
        return;
    }
    c->body = malloc(s->config.payload_max + 1);
    if (!c->body ||
        sq_poller_add(s->poller, to, SQ_POLL_IN, on_conn, c, NULL) != 0) {
        free(c->body);
        c->body = NULL;
        close(to);
        return;
    }
    c->fd = to;
    sq_http_init(&c->parser, c->body, s->config.payload_max);
}

/* --- the server -------------------------------------------------------- */

static int listen_on(struct sq_api_server *s, struct squib_error *err)
{
    const char *path = s->config.path;
    struct stat st;

    if (strlen(path) >= sizeof(s->where.sun_path))
        return sq_err_set(err, SQUIB_E_INVAL, "the API socket's path is "
                          "longer than %zu bytes",
                          sizeof(s->where.sun_path) - 1);
    s->where.sun_family = AF_UNIX;
    strcpy(s->where.sun_path, path);
    s->fd = sq_sock_unix(true);
    if (s->fd < 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "API socket");
    if (bind(s->fd, (struct sockaddr *)&s->where, sizeof(s->where)) != 0)
        return sq_err_os(err, errno == EADDRINUSE ? SQUIB_E_STATE
                                                  : SQUIB_E_OS,
                         errno, "API socket %s", path);
    if (stat(path, &st) == 0) {
        s->dev = st.st_dev;
        s->ino = st.st_ino;
    }
    if (listen(s->fd, BACKLOG) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "API socket %s", path);
    return sq_poller_add(s->poller, s->fd, SQ_POLL_IN, on_listener, s, err);
}

int sq_api_server_new(const struct sq_api_server_config *config,
                      struct sq_api_server **out, struct squib_error *err)
{
    struct sq_api_server *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return sq_err_set(err, SQUIB_E_NOMEM, "API: out of memory");
    s->config = *config;
    s->fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    for (size_t i = 0; i < SQ_ARRAY_LEN(s->conn); i++) {
        s->conn[i].server = s;
        s->conn[i].fd = -1;
    }
    rc = sq_poller_new(&s->poller, err);
    if (!rc)
        rc = listen_on(s, err);
    if (rc) {
        sq_api_server_free(s);
        return rc;
    }
    *out = s;
    return 0;
}

struct sq_poller *sq_api_server_poller(struct sq_api_server *s)
{
    return s->poller;
}

/* Whether requests may be answered: the thread is confined. */
static bool get_ready(struct sq_api_server *s)
{
    struct squib_error err = {0};
    int rc = sq_confine_thread(s->config.confine, SQ_CONFINE_API, &err);

    pthread_mutex_lock(&s->lock);
    s->rc = rc;
    s->err = err;
    s->ready = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return rc == 0;
}

static void *thread_main(void *arg)
{
    struct sq_api_server *s = arg;

    /* By itself, so that its first line of the log has the name. */
    sq_host_name_thread(pthread_self(), "fc_api");
    if (!get_ready(s))
        return NULL;
    sq_poller_run(s->poller, NULL);
    for (size_t i = 0; i < SQ_ARRAY_LEN(s->conn); i++)
        if (s->conn[i].fd >= 0 && s->conn[i].out_len)
            flush(&s->conn[i]);
    return NULL;
}

int sq_api_server_start(struct sq_api_server *s, struct squib_error *err)
{
    sigset_t all, before;
    int e;

    /* Signals for the process are the event thread's; the new one is born
     * with all of them blocked, so that none comes to it meanwhile, but the
     * one of a forbidden call, which the thread itself made. */
    sigfillset(&all);
    sigdelset(&all, SIGSYS);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    e = pthread_create(&s->thread, NULL, thread_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (e)
        return sq_err_os(err, SQUIB_E_OS, e, "API thread");
    s->started = true;
    pthread_mutex_lock(&s->lock);
    while (!s->ready)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    if (s->rc && err)
        *err = s->err;
    return s->rc;
}

void sq_api_server_stop(struct sq_api_server *s)
{
    if (!s->started)
        return;
    sq_poller_stop(s->poller);
    pthread_join(s->thread, NULL);
    s->started = false;
}

void sq_api_server_free(struct sq_api_server *s)
{
    struct stat st;

    if (!s)
        return;
    sq_api_server_stop(s);
    for (size_t i = 0; i < SQ_ARRAY_LEN(s->conn); i++)
        if (s->conn[i].fd >= 0)
            close_conn(&s->conn[i]);
    if (s->fd >= 0) {
        sq_poller_del(s->poller, s->fd);
        close(s->fd);
    }
    if (s->ino && stat(s->where.sun_path, &st) == 0 && st.st_dev == s->dev &&
        st.st_ino == s->ino)
        unlink(s->where.sun_path);
    sq_poller_free(s->poller);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
