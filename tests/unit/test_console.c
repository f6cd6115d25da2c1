/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's console: last lines, delivery, and a guest that floods it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/poller.h"
#include "vmm/console.h"

/* For what comes by itself. */
#define PATIENCE_NS 60000000000ull

struct fixture {
    struct sq_poller *poller;
    struct sq_console console;
    int pipe[2];
    char lines[SQ_CONSOLE_LINES + 2][SQ_CONSOLE_LINE_MAX + 1];
    int count;
};

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(sq_poller_new(&f->poller, NULL), 0);
    assert_int_equal(pipe(f->pipe), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sq_console_destroy(&f->console);
    sq_poller_free(f->poller);
    close(f->pipe[0]);
    close(f->pipe[1]);
    test_free(f);
    return 0;
}

static void init(struct fixture *f, int fd)
{
    assert_int_equal(sq_console_init(&f->console, f->poller, fd, NULL), 0);
}

static void put(struct fixture *f, const char *text)
{
    sq_console_put(&f->console, (const uint8_t *)text, strlen(text));
}

static void keep(void *ctx, const char *line)
{
    struct fixture *f = ctx;

    assert_true(f->count < SQ_CONSOLE_LINES + 1);
    snprintf(f->lines[f->count++], sizeof(f->lines[0]), "%s", line);
}

static void tail(struct fixture *f)
{
    f->count = 0;
    sq_console_tail(&f->console, keep, f);
}

static void keeps_the_last_lines(void **state)
{
    struct fixture *f = *state;
    char text[16];

    init(f, -1);
    tail(f);
    assert_int_equal(f->count, 0);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "line %d\r\n", i);
        put(f, text);
    }
    tail(f);
    assert_int_equal(f->count, SQ_CONSOLE_LINES);
    assert_string_equal(f->lines[0], "line 80");
    assert_string_equal(f->lines[19], "line 99");
    put(f, "unfinished");
    tail(f);
    assert_int_equal(f->count, SQ_CONSOLE_LINES);
    assert_string_equal(f->lines[0], "line 81");
    assert_string_equal(f->lines[19], "unfinished");
}

static void lines_are_harmless(void **state)
{
    struct fixture *f = *state;
    char longest[1000];

    init(f, -1);
    put(f, "\n\n\033[31mred\033[0m\033[2J \a\bplain\x7f\n\n");
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    put(f, longest);
    put(f, "\nafter\n");
    tail(f);
    assert_int_equal(f->count, 3);
    assert_string_equal(f->lines[0], "red plain");
    assert_int_equal(strlen(f->lines[1]), SQ_CONSOLE_LINE_MAX);
    assert_string_equal(f->lines[2], "after");
}

static void remembers_a_panic(void **state)
{
    struct fixture *f = *state;
    char line[SQ_CONSOLE_LINE_MAX + 1];

    init(f, -1);
    put(f, "booting\n");
    assert_false(sq_console_panic(&f->console, line));
    put(f, "[ 1.0] Kernel panic - not syncing: VFS\n");
    put(f, "Kernel panic again\n");
    for (int i = 0; i < 50; i++)
        put(f, "trace\n");
    assert_true(sq_console_panic(&f->console, line));
    assert_string_equal(line, "[ 1.0] Kernel panic - not syncing: VFS");
}

static void stop_when_empty(void *ctx, uint64_t now)
{
    (void)now;
    sq_poller_stop(ctx);
}

static void run_for(struct fixture *f, uint64_t ns)
{
    struct sq_timer t = {.fn = stop_when_empty, .ctx = f->poller};

    sq_timer_arm(f->poller, &t, sq_now_ns() + ns);
    assert_int_equal(sq_poller_run(f->poller, NULL), 0);
}

/* Runs the loop until the pipe has given these bytes. */
static void expect(struct fixture *f, const char *text)
{
    struct pollfd p = {.fd = f->pipe[0], .events = POLLIN};
    uint64_t limit = sq_now_ns() + PATIENCE_NS;
    char buf[64] = "";
    size_t n = 0;

    while (n < strlen(text)) {
        assert_true(sq_now_ns() < limit);
        run_for(f, 1000000);
        if (poll(&p, 1, 0) == 1) {
            ssize_t got = read(f->pipe[0], buf + n, sizeof(buf) - 1 - n);

            assert_true(got > 0);
            n += (size_t)got;
        }
    }
    assert_string_equal(buf, text);
}

static void delivers_to_a_pipe(void **state)
{
    struct fixture *f = *state;

    init(f, f->pipe[1]);
    put(f, "one ");
    put(f, "two");
    expect(f, "one two");
    put(f, "!");
    expect(f, "!");
    assert_int_equal(f->console.dropped, 0);
}

static void delivers_to_a_file(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/squib-test-XXXXXX", buf[16] = "";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    unlink(path);
    init(f, fd);
    put(f, "text");
    run_for(f, 20000000);
    assert_int_equal(pread(fd, buf, sizeof(buf), 0), 4);
    assert_string_equal(buf, "text");
    close(fd);
}

/* A reader that never reads: the guest waits once, then bytes are dropped,
 * and neither time nor memory grow with what it writes. */
static void flood_without_reader(void **state)
{
    struct fixture *f = *state;
    uint64_t start = sq_now_ns();
    char *block = test_malloc(65537);

    memset(block, 'y', 65536);
    block[65536] = '\0';
    init(f, f->pipe[1]);
    for (int i = 0; i < 100; i++)
        put(f, block);
    /* Once, not a hundred times. */
    assert_true(sq_now_ns() - start < 50 * (uint64_t)SQ_CONSOLE_STALL_NS);
    assert_int_equal(f->console.dropped, 99 * 65536);
    sq_console_close(&f->console);
    sq_console_drain(&f->console, 50000000);
    assert_true(f->console.head == f->console.tail); /* written or given up */
    test_free(block);
}

static void gone_reader(void **state)
{
    struct fixture *f = *state;
    uint64_t limit = sq_now_ns() + PATIENCE_NS;

    init(f, f->pipe[1]);
    close(f->pipe[0]);
    put(f, "nobody hears this");
    while (f->console.fd >= 0) {
        assert_true(sq_now_ns() < limit);
        run_for(f, 1000000);
    }
    assert_int_equal(f->console.fd, -1);
    put(f, "nor this\n");
    tail(f);
    assert_int_equal(f->count, 1);
    f->pipe[0] = dup(f->pipe[1]);
}

#define FLOOD (4u << 20)

static void *flood(void *arg)
{
    struct fixture *f = arg;
    uint8_t buf[997];

    for (size_t done = 0; done < FLOOD;) {
        size_t n = FLOOD - done < sizeof(buf) ? FLOOD - done : sizeof(buf);

        for (size_t i = 0; i < n; i++)
            buf[i] = (uint8_t)((done + i) * 31 >> 3);
        sq_console_put(&f->console, buf, n);
        done += n;
    }
    return NULL;
}

static void *take_all(void *arg)
{
    struct fixture *f = arg;
    uint8_t buf[4096];

    for (size_t done = 0; done < FLOOD;) {
        ssize_t n = read(f->pipe[0], buf, sizeof(buf));

        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal(buf[i],
                             (uint8_t)((done + (size_t)i) * 31 >> 3));
        done += (size_t)n;
    }
    sq_poller_stop(f->poller);
    return NULL;
}

/* With a reader, however slow its turns, nothing is lost. */
static void flood_with_reader(void **state)
{
    struct fixture *f = *state;
    pthread_t writer, reader;

    init(f, f->pipe[1]);
    assert_int_equal(pthread_create(&writer, NULL, flood, f), 0);
    assert_int_equal(pthread_create(&reader, NULL, take_all, f), 0);
    assert_int_equal(sq_poller_run(f->poller, NULL), 0);
    pthread_join(writer, NULL);
    pthread_join(reader, NULL);
    assert_int_equal(f->console.dropped, 0);
}

/* What exceeds the limit is dropped and counted; the last lines are whole. */
static void limit_drops(void **state)
{
    struct fixture *f = *state;
    const struct sq_bucket_config limit = {
        .size = 10,
        .one_time_burst = 6,
        .refill_ms = 3600000, /* no more comes while this runs */
    };
    uint64_t dropped, limited;
    char got[64] = "";

    init(f, f->pipe[1]);
    sq_console_limit(&f->console, &limit);
    put(f, "0123456789abcdefghij\n");
    sq_console_drain(&f->console, 1000000000u);
    assert_int_equal(read(f->pipe[0], got, sizeof(got)), 16);
    assert_string_equal(got, "0123456789abcdef");
    sq_console_lost(&f->console, &dropped, &limited);
    assert_int_equal(dropped, 0);
    assert_int_equal(limited, 5);
    tail(f);
    assert_int_equal(f->count, 1);
    assert_string_equal(f->lines[0], "0123456789abcdefghij");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keeps_the_last_lines), TEST(lines_are_harmless),
        TEST(remembers_a_panic),
        TEST(delivers_to_a_pipe), TEST(delivers_to_a_file),
        TEST(flood_without_reader), TEST(gone_reader),
        TEST(flood_with_reader), TEST(limit_drops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
