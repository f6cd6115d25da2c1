/* SPDX-License-Identifier: Apache-2.0 */
/* The host's side of the agent protocol against a scripted agent that runs
 * on a thread of its own, on the socketpairs a vsock device would hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/run_relay.h"
#include "os/clock.h"

#define SECOND 1000000000ull
#define BIG (3u << 20)

struct fixture {
    struct sq_poller *poller;
    struct sq_relay *relay;
    struct sq_timer guard;
    int host_in[2], host_out[2], host_err[2]; /* pipes; the relay has [0],
                                                 [1], [1] */
    int control, in, out, err; /* the agent's ends */
    pthread_t agent;
    void (*play)(struct fixture *f);
    bool done, started, guarded;
    enum sq_relay_end end;
    int status;
    char text[320];
};

/* --- the scripted agent: blocking calls, -1 ends of descriptors --------- */

static void put_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len) {
        struct pollfd w = {.fd = fd, .events = POLLOUT};
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            poll(&w, 1, -1);
            continue;
        }
        if (n < 0)
            return; /* the test will notice */
        p += n;
        len -= (size_t)n;
    }
}

static size_t get_all(int fd, void *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        struct pollfd r = {.fd = fd, .events = POLLIN};
        ssize_t n = recv(fd, (char *)data + done, len - done, 0);

        if (n < 0 && errno == EAGAIN) {
            poll(&r, 1, -1);
            continue;
        }
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return done;
}

static void tell(struct fixture *f, struct sq_agent_msg msg)
{
    uint8_t bytes[SQ_AGENT_SMALL_MAX];

    put_all(f->control, bytes, sq_agent_encode(&msg, bytes));
}

static void hello(struct fixture *f)
{
    tell(f, (struct sq_agent_msg){.type = SQ_AGENT_HELLO,
         .hello = {SQ_AGENT_MAGIC, SQ_AGENT_VERSION}});
}

static void exited(struct fixture *f, uint32_t kind, uint32_t value)
{
    tell(f, (struct sq_agent_msg){.type = SQ_AGENT_EXITED,
         .exited = {1, kind, value}});
}

static void started(struct fixture *f)
{
    tell(f, (struct sq_agent_msg){.type = SQ_AGENT_STARTED,
         .started = {1, 100}});
}

static void get_run(struct fixture *f)
{
    struct sq_agent_header h = {0};
    uint8_t *payload;

    get_all(f->control, &h, sizeof(h));
    assert_int_equal(h.type, SQ_AGENT_RUN);
    payload = malloc(h.payload_len);
    assert_int_equal(get_all(f->control, payload, h.payload_len),
                     h.payload_len);
    free(payload);
}

static void head(int fd, uint32_t port)
{
    struct sq_agent_stream s = {SQ_AGENT_STREAM_MAGIC, 1, port};

    put_all(fd, &s, sizeof(s));
}

static void begin(struct fixture *f)
{
    hello(f);
    get_run(f);
    head(f->in, SQ_AGENT_PORT_STDIN);
    head(f->out, SQ_AGENT_PORT_STDOUT);
    if (f->err >= 0)
        head(f->err, SQ_AGENT_PORT_STDERR);
    started(f);
}

static void *agent_main(void *arg)
{
    struct fixture *f = arg;

    f->play(f);
    return NULL;
}

/* --- the fixture ------------------------------------------------------- */

static void on_done(void *ctx, enum sq_relay_end end, int status,
                    const char *text)
{
    struct fixture *f = ctx;

    assert_false(f->done);
    f->done = true;
    f->end = end;
    f->status = status;
    snprintf(f->text, sizeof(f->text), "%s", text);
    sq_poller_stop(f->poller);
}

static void on_started(void *ctx)
{
    struct fixture *f = ctx;

    f->started = true;
}

static void on_guard(void *ctx, uint64_t now)
{
    struct fixture *f = ctx;

    (void)now;
    f->guarded = true;
    sq_poller_stop(f->poller);
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));

    signal(SIGPIPE, SIG_IGN);
    f->control = f->in = f->out = f->err = -1;
    assert_int_equal(sq_poller_new(&f->poller, NULL), 0);
    assert_int_equal(pipe(f->host_in), 0);
    assert_int_equal(pipe(f->host_out), 0);
    assert_int_equal(pipe(f->host_err), 0);
    f->guard = (struct sq_timer){.fn = on_guard, .ctx = f};
    sq_timer_arm(f->poller, &f->guard, sq_now_ns() + 60 * SECOND);
    *state = f;
    return 0;
}

static void close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sq_relay_free(f->relay);
    sq_poller_free(f->poller);
    close_one(&f->control);
    close_one(&f->in);
    close_one(&f->out);
    close_one(&f->err);
    for (int i = 0; i < 2; i++) {
        close_one(&f->host_in[i]);
        close_one(&f->host_out[i]);
        close_one(&f->host_err[i]);
    }
    test_free(f);
    return 0;
}

static int dial(struct fixture *f, uint32_t port)
{
    return sq_relay_host_ops.connect(f->relay, port, NULL);
}

static void make(struct fixture *f, uint32_t flags)
{
    static const char *const argv[] = {"cmd", "arg", NULL};
    static const char *const envp[] = {"A=1", NULL};
    struct sq_relay_config config = {
        .poller = f->poller,
        .command = {.flags = flags | SQ_AGENT_RUN_STDIN, .cwd = "/",
                    .argv = argv, .envp = envp},
        .in_fd = f->host_in[0],
        .out_fd = f->host_out[1],
        .err_fd = f->host_err[1],
        .started = on_started,
        .done = on_done,
        .ctx = f,
    };

    assert_int_equal(sq_relay_new(&config, &f->relay, NULL), 0);
    f->control = dial(f, SQ_AGENT_PORT_CONTROL);
    f->in = dial(f, SQ_AGENT_PORT_STDIN);
    assert_true(f->control >= 0 && f->in >= 0);
    if (flags & SQ_AGENT_RUN_TTY)
        return;
    f->out = dial(f, SQ_AGENT_PORT_STDOUT);
    f->err = dial(f, SQ_AGENT_PORT_STDERR);
    assert_true(f->out >= 0 && f->err >= 0);
}

static void play(struct fixture *f, void (*script)(struct fixture *f))
{
    f->play = script;
    assert_int_equal(pthread_create(&f->agent, NULL, agent_main, f), 0);
    assert_int_equal(sq_poller_run(f->poller, NULL), 0);
    pthread_join(f->agent, NULL);
    assert_false(f->guarded);
}

static void must_end(struct fixture *f, enum sq_relay_end end, int status)
{
    assert_true(f->done);
    if (f->end != end || f->status != status)
        fail_msg("end %d status %d text '%s'", (int)f->end, f->status,
                 f->text);
}

/* What the relay wrote to a pipe so far. */
static size_t got(int fd, char *buf, size_t len)
{
    ssize_t n;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    n = read(fd, buf, len - 1);
    buf[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* --- tests ------------------------------------------------------------- */

static void simple_agent(struct fixture *f)
{
    char buf[16] = "";

    begin(f);
    put_all(f->err, "error", 5);
    close_one(&f->err);
    assert_int_equal(get_all(f->in, buf, sizeof(buf)), 5); /* to the end */
    put_all(f->out, buf, 5);
    close_one(&f->out);
    exited(f, SQ_AGENT_EXIT_CODE, 7);
}

static void streams_and_status(void **state)
{
    struct fixture *f = *state;
    char buf[64];

    make(f, 0);
    assert_int_equal(write(f->host_in[1], "in\0\xff\n", 5), 5);
    close_one(&f->host_in[1]);
    play(f, simple_agent);
    must_end(f, SQ_RELAY_EXITED, 7);
    assert_true(f->started);
    assert_int_equal(got(f->host_out[0], buf, sizeof(buf)), 5);
    assert_memory_equal(buf, "in\0\xff\n", 5);
    got(f->host_err[0], buf, sizeof(buf));
    assert_string_equal(buf, "error");
}

static void killed_agent(struct fixture *f)
{
    begin(f);
    close_one(&f->out);
    close_one(&f->err);
    exited(f, SQ_AGENT_EXIT_SIGNAL, 9);
}

static void signal_status(void **state)
{
    make(*state, 0);
    play(*state, killed_agent);
    must_end(*state, SQ_RELAY_EXITED, 137);
}

static void big_agent(struct fixture *f)
{
    uint8_t *data = malloc(BIG);
    size_t n;

    begin(f);
    n = get_all(f->in, data, BIG);
    put_all(f->out, data, n);
    free(data);
    close_one(&f->out);
    close_one(&f->err);
    exited(f, SQ_AGENT_EXIT_CODE, n == BIG ? 0 : 1);
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

static void *feed(void *arg)
{
    struct fixture *f = arg;
    uint8_t buf[1000];

    for (size_t done = 0; done < BIG;) {
        size_t n = BIG - done < sizeof(buf) ? BIG - done : sizeof(buf);

        for (size_t i = 0; i < n; i++)
            buf[i] = pattern(done + i);
        assert_int_equal(write(f->host_in[1], buf, n), n);
        done += n;
    }
    close_one(&f->host_in[1]);
    return NULL;
}

static void *slurp(void *arg)
{
    struct fixture *f = arg;
    uint8_t buf[3000];
    size_t done = 0;

    while (done < BIG) {
        ssize_t n = read(f->host_out[0], buf, sizeof(buf));

        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != pattern(done + (size_t)i))
                return (void *)"bytes differ";
        done += (size_t)n;
        if (done % 7 == 0)
            usleep(100); /* a slow reader: back-pressure */
    }
    return done == BIG ? NULL : (void *)"bytes are missing";
}

static void megabytes_with_back_pressure(void **state)
{
    struct fixture *f = *state;
    pthread_t in, out;
    void *fault;

    make(f, 0);
    assert_int_equal(pthread_create(&in, NULL, feed, f), 0);
    assert_int_equal(pthread_create(&out, NULL, slurp, f), 0);
    play(f, big_agent);
    must_end(f, SQ_RELAY_EXITED, 0);
    close_one(&f->host_out[1]);
    pthread_join(in, NULL);
    pthread_join(out, &fault);
    assert_null(fault);
}

/* The host's reader goes away, as head does: the writer in the guest must
 * be told, and the end still comes. */
static void yes_agent(struct fixture *f)
{
    char block[4096];
    int rounds = 0;

    memset(block, 'y', sizeof(block));
    begin(f);
    while (rounds++ < 100000 &&
           (send(f->out, block, sizeof(block), MSG_NOSIGNAL) > 0 ||
            errno == EAGAIN))
        usleep(10);
    close_one(&f->err);
    exited(f, SQ_AGENT_EXIT_CODE, rounds < 100000 ? 3 : 4);
}

static void reader_goes_away(void **state)
{
    struct fixture *f = *state;

    make(f, 0);
    close_one(&f->host_out[0]);
    play(f, yes_agent);
    must_end(f, SQ_RELAY_EXITED, 3);
}

static void files_agent(struct fixture *f)
{
    char buf[64] = "";
    size_t n;

    begin(f);
    n = get_all(f->in, buf, sizeof(buf));
    put_all(f->out, buf, n);
    close_one(&f->out);
    close_one(&f->err);
    exited(f, SQ_AGENT_EXIT_CODE, 0);
}

/* Regular files cannot be polled. */
static void redirected_files(void **state)
{
    struct fixture *f = *state;
    FILE *in = tmpfile(), *out = tmpfile();
    char buf[16] = "";

    assert_non_null(in);
    assert_non_null(out);
    fputs("from file", in);
    rewind(in);
    dup2(fileno(in), f->host_in[0]);
    dup2(fileno(out), f->host_out[1]);
    make(f, 0);
    play(f, files_agent);
    must_end(f, SQ_RELAY_EXITED, 0);
    assert_int_equal(pread(fileno(out), buf, sizeof(buf), 0), 9);
    assert_string_equal(buf, "from file");
    fclose(in);
    fclose(out);
}

static void failed_agent(struct fixture *f)
{
    struct sq_agent_msg msg = {
        .type = SQ_AGENT_FAILED,
        .failed = {.session = 1, .reason = SQ_AGENT_NOT_FOUND,
                   .guest_errno = 2},
    };

    hello(f);
    get_run(f);
    strcpy(msg.failed.text, "cmd: not found");
    tell(f, msg);
}

static void command_not_found(void **state)
{
    struct fixture *f = *state;

    make(f, 0);
    play(f, failed_agent);
    must_end(f, SQ_RELAY_FAILED, 127);
    assert_string_equal(f->text, "cmd: not found");
    assert_false(f->started);
}

static void other_version(struct fixture *f)
{
    tell(f, (struct sq_agent_msg){.type = SQ_AGENT_HELLO,
         .hello = {SQ_AGENT_MAGIC, SQ_AGENT_VERSION + 1}});
}

static void early_exit(struct fixture *f)
{
    hello(f);
    get_run(f);
    exited(f, SQ_AGENT_EXIT_CODE, 0); /* without STARTED */
}

static void garbage(struct fixture *f)
{
    put_all(f->control, "GET / HTTP/1.1\r\n\r\n", 18);
}

static void hang_up(struct fixture *f)
{
    begin(f);
    close_one(&f->control);
}

static void bad_agents(void **state)
{
    static void (*const agents[])(struct fixture *f) = {
        other_version, early_exit, garbage, hang_up,
    };
    static const char *const says[] = {
        "protocol 2", "broke", "broke", "closed",
    };

    for (size_t i = 0; i < 4; i++) {
        struct fixture *f;

        if (i) {
            teardown(state);
            setup(state);
        }
        f = *state;
        make(f, 0);
        play(f, agents[i]);
        must_end(f, SQ_RELAY_LOST, 0);
        if (!strstr(f->text, says[i]))
            fail_msg("'%s' is not in '%s'", says[i], f->text);
    }
}

static void liar(struct fixture *f)
{
    hello(f);
    get_run(f);
    head(f->in, SQ_AGENT_PORT_STDIN);
    head(f->out, SQ_AGENT_PORT_STDERR); /* not what this connection is */
    put_all(f->out, "secret", 6);
    head(f->err, SQ_AGENT_PORT_STDERR);
    started(f);
    close_one(&f->err);
    exited(f, SQ_AGENT_EXIT_CODE, 0);
}

static void wrong_stream_head_ends_the_stream(void **state)
{
    struct fixture *f = *state;
    char buf[16];

    make(f, 0);
    play(f, liar);
    must_end(f, SQ_RELAY_EXITED, 0);
    assert_int_equal(got(f->host_out[0], buf, sizeof(buf)), 0);
}

static void ports_answer_once(void **state)
{
    struct fixture *f = *state;

    make(f, 0);
    assert_true(dial(f, SQ_AGENT_PORT_CONTROL) < 0);
    assert_true(dial(f, SQ_AGENT_PORT_STDOUT) < 0);
    assert_true(dial(f, 22) < 0);
}

/* A background process keeps the stream open after the command's end. */
static void lingering(struct fixture *f)
{
    begin(f);
    put_all(f->out, "x", 1);
    exited(f, SQ_AGENT_EXIT_CODE, 0);
}

static void open_streams_do_not_hold_the_end(void **state)
{
    struct fixture *f = *state;
    char buf[16];

    make(f, 0);
    play(f, lingering);
    must_end(f, SQ_RELAY_EXITED, 0);
    got(f->host_out[0], buf, sizeof(buf));
    assert_string_equal(buf, "x");
}

static void terminal_agent(struct fixture *f)
{
    char buf[8] = "";

    hello(f);
    get_run(f);
    head(f->in, SQ_AGENT_PORT_STDIN);
    started(f);
    assert_int_equal(get_all(f->in, buf, 3), 3);
    assert_memory_equal(buf, "a\x1d" "b", 3); /* Ctrl-] twice is one */
    put_all(f->in, "out", 3);
    close_one(&f->in);
    exited(f, SQ_AGENT_EXIT_CODE, 0);
}

static void terminal_is_one_stream(void **state)
{
    struct fixture *f = *state;
    char buf[16];

    make(f, SQ_AGENT_RUN_TTY);
    assert_true(dial(f, SQ_AGENT_PORT_STDOUT) < 0);
    assert_int_equal(write(f->host_in[1], "a\x1d\x1d" "b", 4), 4);
    play(f, terminal_agent);
    must_end(f, SQ_RELAY_EXITED, 0);
    got(f->host_out[0], buf, sizeof(buf));
    assert_string_equal(buf, "out");
}

static void patient_agent(struct fixture *f)
{
    hello(f);
    get_run(f);
    head(f->in, SQ_AGENT_PORT_STDIN);
    started(f);
    /* A user types while the command runs. */
    assert_int_equal(write(f->host_in[1], "\x1dq", 2), 2);
}

static void escape_key(void **state)
{
    struct fixture *f = *state;

    make(f, SQ_AGENT_RUN_TTY);
    play(f, patient_agent);
    must_end(f, SQ_RELAY_DETACHED, 0);
}

static void signalled_agent(struct fixture *f)
{
    struct sq_agent_reader reader = {0};
    struct sq_agent_msg msg = {0};
    size_t room;
    ssize_t n;

    begin(f);
    for (;;) {
        uint8_t *space = sq_agent_reader_space(&reader, &room);
        struct pollfd r = {.fd = f->control, .events = POLLIN};

        poll(&r, 1, -1);
        n = recv(f->control, space, room, 0);
        if (n <= 0)
            break;
        sq_agent_reader_added(&reader, (size_t)n);
        if (sq_agent_reader_next(&reader, &msg) == 1)
            break;
    }
    close_one(&f->out);
    close_one(&f->err);
    exited(f, SQ_AGENT_EXIT_SIGNAL, msg.type == SQ_AGENT_SIGNAL
                                        ? msg.signal.signo : 1);
}

static void send_signal(void *ctx, uint64_t now)
{
    struct fixture *f = ctx;

    sq_relay_winsize(f->relay, 24, 80); /* no terminal: not sent */
    sq_relay_signal(f->relay, 15);
    if (!f->started)
        sq_timer_arm(f->poller, &f->guard, now + SECOND / 100);
}

static void signals_are_forwarded(void **state)
{
    struct fixture *f = *state;

    make(f, 0);
    f->guard.fn = send_signal;
    sq_timer_arm(f->poller, &f->guard, sq_now_ns() + SECOND / 100);
    play(f, signalled_agent);
    must_end(f, SQ_RELAY_EXITED, 128 + 15);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(streams_and_status), TEST(signal_status),
        TEST(megabytes_with_back_pressure), TEST(reader_goes_away),
        TEST(redirected_files), TEST(command_not_found), TEST(bad_agents),
        TEST(wrong_stream_head_ends_the_stream), TEST(ports_answer_once),
        TEST(open_streams_do_not_hold_the_end),
        TEST(terminal_is_one_stream), TEST(escape_key),
        TEST(signals_are_forwarded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
