/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: descriptors, timers, work from other threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/poller.h"

#define MS 1000000u

struct fixture {
    struct sq_poller *poller;
    int pair[2];
    char log[64];
    size_t len;
    struct sq_timer guard;
};

static void record(struct fixture *f, char c)
{
    if (f->len < sizeof(f->log) - 1)
        f->log[f->len++] = c;
}

/* A test that hangs fails instead. */
static void on_guard(void *ctx, uint64_t now)
{
    struct fixture *f = ctx;

    (void)now;
    record(f, '!');
    sq_poller_stop(f->poller);
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));

    assert_int_equal(sq_poller_new(&f->poller, NULL), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, f->pair), 0);
    f->guard = (struct sq_timer){.fn = on_guard, .ctx = f};
    sq_timer_arm(f->poller, &f->guard, sq_now_ns() + 60000 * (uint64_t)MS);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sq_poller_del(f->poller, f->pair[0]);
    sq_poller_free(f->poller);
    close(f->pair[0]);
    close(f->pair[1]);
    test_free(f);
    return 0;
}

static void loop(struct fixture *f, const char *want)
{
    assert_int_equal(sq_poller_run(f->poller, NULL), 0);
    assert_string_equal(f->log, want);
}

static void read_one(void *ctx, int fd, unsigned events)
{
    struct fixture *f = ctx;
    char c;

    assert_true(events & (SQ_POLL_IN | SQ_POLL_HUP));
    if (read(fd, &c, 1) != 1) {
        record(f, '.');
        sq_poller_stop(f->poller);
        return;
    }
    record(f, c);
}

static void reads_until_hangup(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(sq_poller_add(f->poller, f->pair[0], SQ_POLL_IN,
                                   read_one, f, NULL), 0);
    assert_int_equal(write(f->pair[1], "abc", 3), 3);
    shutdown(f->pair[1], SHUT_WR);
    loop(f, "abc.");
}

static void write_one(void *ctx, int fd, unsigned events)
{
    struct fixture *f = ctx;

    (void)fd;
    record(f, events & SQ_POLL_OUT ? 'o' : '?');
    assert_int_equal(sq_poller_mod(f->poller, f->pair[0], 0), 0);
    sq_poller_stop(f->poller);
}

static void mod_changes_events(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(sq_poller_add(f->poller, f->pair[0], SQ_POLL_IN,
                                   write_one, f, NULL), 0);
    assert_int_equal(sq_poller_mod(f->poller, f->pair[0], SQ_POLL_OUT), 0);
    loop(f, "o");
    assert_int_equal(sq_poller_mod(f->poller, 99, 0), SQUIB_E_NOTFOUND);
}

/* Both ends are ready in one round; the first callback deletes the other,
 * whose event has been collected already. */
static void delete_other(void *ctx, int fd, unsigned events)
{
    struct fixture *f = ctx;

    (void)events;
    record(f, 'x');
    sq_poller_del(f->poller, f->pair[0]);
    sq_poller_del(f->poller, f->pair[1]);
    (void)fd;
    sq_poller_stop(f->poller);
}

static void deleted_is_silent(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(sq_poller_add(f->poller, f->pair[0], SQ_POLL_OUT,
                                   delete_other, f, NULL), 0);
    assert_int_equal(sq_poller_add(f->poller, f->pair[1], SQ_POLL_OUT,
                                   delete_other, f, NULL), 0);
    loop(f, "x");
}

static void regular_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct squib_error err = {0};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(sq_poller_add(f->poller, fd, SQ_POLL_IN, read_one, f,
                                   &err), SQUIB_E_OS);
    assert_int_equal(err.os_errno, EPERM);
    close(fd);
}

static void many_descriptors(void **state)
{
    struct fixture *f = *state;
    int pairs[40][2];

    for (int i = 0; i < 40; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
        assert_int_equal(sq_poller_add(f->poller, pairs[i][0], SQ_POLL_IN,
                                       read_one, f, NULL), 0);
    }
    assert_int_equal(write(pairs[37][1], "z", 1), 1);
    shutdown(pairs[37][1], SHUT_WR);
    loop(f, "z.");
    for (int i = 0; i < 40; i++) {
        sq_poller_del(f->poller, pairs[i][0]);
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
}

/* --- timers ------------------------------------------------------------ */

static struct fixture *timer_fixture; /* of the test that runs */

static void on_timer(void *ctx, uint64_t now)
{
    const char *name = ctx;

    assert_true(now <= sq_now_ns());
    record(timer_fixture, *name);
    if (*name == 'e')
        sq_poller_stop(timer_fixture->poller);
}

static void timers_in_order(void **state)
{
    struct fixture *f = *state;
    uint64_t now = sq_now_ns();
    struct sq_timer a = {.fn = on_timer, .ctx = (void *)"a"};
    struct sq_timer b = {.fn = on_timer, .ctx = (void *)"b"};
    struct sq_timer c = {.fn = on_timer, .ctx = (void *)"c"};
    struct sq_timer e = {.fn = on_timer, .ctx = (void *)"e"};

    timer_fixture = f;
    sq_timer_arm(f->poller, &e, now + 30 * MS);
    sq_timer_arm(f->poller, &b, now + 20 * MS);
    sq_timer_arm(f->poller, &a, now + 10 * MS);
    sq_timer_arm(f->poller, &c, now + 5 * MS);
    sq_timer_disarm(f->poller, &c);
    sq_timer_arm(f->poller, &b, now + 2 * MS); /* moves it forward */
    loop(f, "bae");
    assert_true(sq_now_ns() >= now + 30 * MS);
    assert_false(a.armed || b.armed || c.armed || e.armed);
}

/* --- work -------------------------------------------------------------- */

struct job {
    struct fixture *f;
    struct sq_work work, *other;
    char name;
};

static void on_job(void *ctx)
{
    struct job *j = ctx;

    record(j->f, j->name);
    if (j->other)
        sq_poller_unpost(j->f->poller, j->other);
    if (j->name == 'e')
        sq_poller_stop(j->f->poller);
}

static void job_init(struct job *j, struct fixture *f, char name)
{
    *j = (struct job){.f = f, .name = name};
    j->work = (struct sq_work){.fn = on_job, .ctx = j};
}

static void work_once_per_post(void **state)
{
    struct fixture *f = *state;
    struct job a, b, e;

    job_init(&a, f, 'a');
    job_init(&b, f, 'b');
    job_init(&e, f, 'e');
    sq_poller_post(f->poller, &a.work);
    sq_poller_post(f->poller, &a.work);
    sq_poller_post(f->poller, &b.work);
    sq_poller_post(f->poller, &e.work);
    sq_poller_unpost(f->poller, &b.work);
    loop(f, "ae");
}

static void unpost_from_callback(void **state)
{
    struct fixture *f = *state;
    struct job a, b, e;

    job_init(&a, f, 'a');
    job_init(&b, f, 'b');
    job_init(&e, f, 'e');
    a.other = &b.work;
    sq_poller_post(f->poller, &a.work);
    sq_poller_post(f->poller, &b.work);
    sq_poller_post(f->poller, &e.work);
    loop(f, "ae");
}

static void again(void *ctx)
{
    struct job *j = ctx;

    record(j->f, j->name);
    if (j->name++ == 'c')
        sq_poller_stop(j->f->poller);
    else
        sq_poller_post(j->f->poller, &j->work);
}

static void work_may_post_itself(void **state)
{
    struct fixture *f = *state;
    struct job a;

    job_init(&a, f, 'a');
    a.work.fn = again;
    sq_poller_post(f->poller, &a.work);
    loop(f, "abc");
}

/* The first of two takes the second back and posts itself for ever: the round
 * ends all the same, and with it, here, the loop. */
static void again_without_end(void *ctx)
{
    struct job *j = ctx;

    sq_poller_unpost(j->f->poller, j->other);
    record(j->f, j->name);
    if (j->f->len < sizeof(j->f->log) - 1)
        sq_poller_post(j->f->poller, &j->work);
    else
        sq_poller_stop(j->f->poller);
}

static void unposting_the_last_ends_the_round(void **state)
{
    struct fixture *f = *state;
    struct sq_timer e = {.fn = on_timer, .ctx = (void *)"e"};
    struct job a, b;

    job_init(&a, f, 'a');
    job_init(&b, f, 'b');
    a.work.fn = again_without_end;
    a.other = &b.work;
    timer_fixture = f;
    sq_poller_post(f->poller, &a.work);
    sq_poller_post(f->poller, &b.work);
    sq_timer_arm(f->poller, &e, 0);
    loop(f, "eaa");
}

#define POSTS 1000

struct poster {
    struct fixture *f;
    struct sq_work work;
    int ran;
};

static void on_post(void *ctx)
{
    struct poster *p = ctx;

    __atomic_add_fetch(&p->ran, 1, __ATOMIC_SEQ_CST);
}

static void *post_thread(void *arg)
{
    struct poster *p = arg;

    for (int i = 0; i < POSTS; i++) {
        int before = __atomic_load_n(&p->ran, __ATOMIC_SEQ_CST);

        sq_poller_post(p->f->poller, &p->work);
        while (__atomic_load_n(&p->ran, __ATOMIC_SEQ_CST) == before)
            sched_yield();
    }
    sq_poller_stop(p->f->poller);
    return NULL;
}

static void posts_from_a_thread_all_run(void **state)
{
    struct fixture *f = *state;
    struct poster p = {.f = f, .work = {.fn = on_post, .ctx = &p}};
    pthread_t t;

    assert_int_equal(pthread_create(&t, NULL, post_thread, &p), 0);
    loop(f, "");
    pthread_join(t, NULL);
    assert_int_equal(p.ran, POSTS);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_until_hangup), TEST(mod_changes_events),
        TEST(deleted_is_silent), TEST(regular_file_is_refused),
        TEST(many_descriptors), TEST(timers_in_order),
        TEST(work_once_per_post), TEST(unpost_from_callback),
        TEST(work_may_post_itself),
        TEST(unposting_the_last_ends_the_round),
        TEST(posts_from_a_thread_all_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
