/* SPDX-License-Identifier: Apache-2.0 */
/* What src/os promises on every host. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "os/clock.h"
#include "os/cond.h"
#include "os/events.h"
#include "os/file.h"
#include "os/host.h"
#include "os/poller.h"
#include "os/shm.h"
#include "os/sigfd.h"
#include "os/sock.h"

#define MIB (1u << 20)

static void shared_memory(void **state)
{
    uint8_t *a, *b;
    void *hva;
    int fd;

    (void)state;
    assert_int_equal(sq_shm_new(MIB, SQ_PAGES_NORMAL, &fd, &hva), 0);
    a = hva;
    assert_int_equal(a[12345], 0);
    memset(a, 0x5a, MIB);
    /* Whoever has the descriptor sees the same. */
    b = mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(b != MAP_FAILED);
    assert_int_equal(b[MIB - 1], 0x5a);
    assert_int_equal(sq_shm_discard(fd, hva, 0x10000, 0x20000), 0);
    assert_int_equal(a[0xffff], 0x5a);
    assert_int_equal(a[0x10000], 0);
    assert_int_equal(a[0x2ffff], 0);
    assert_int_equal(a[0x30000], 0x5a);
    a[0x10000] = 7;
    assert_int_equal(b[0x10000], 7);
    /* It keeps its length, which an access beyond would not survive. */
#ifdef __linux__
    assert_int_equal(ftruncate(fd, 0), -1);
#endif
    assert_int_equal(a[MIB - 1], 0x5a);
    munmap(b, MIB);
    munmap(a, MIB);
    close(fd);
}

/* A function that returns 42, written and called. */
static void code(void **state)
{
#if defined(__x86_64__)
    static const uint8_t bytes[] = {0xb8, 42, 0, 0, 0, 0xc3};
#elif defined(__aarch64__)
    static const uint8_t bytes[] = {0x40, 0x05, 0x80, 0x52,
                                    0xc0, 0x03, 0x5f, 0xd6};
#else
    static const uint8_t bytes[] = {0};
    skip();
#endif
    const size_t len = 0x10000;
    const uint8_t *rx;
    uint8_t *rw;
    int (*fn)(void);

    (void)state;
    assert_int_equal(sq_code_new(len, &rw, &rx), 0);
    sq_code_begin();
    memcpy(rw + 64, bytes, sizeof(bytes));
    sq_code_end(rx + 64, sizeof(bytes));
    memcpy(&fn, &(const uint8_t *){rx + 64}, sizeof(fn));
    assert_int_equal(fn(), 42);
    sq_code_free(rw, rx, len);
    sq_code_free(NULL, NULL, len);
}

static void sockets(void **state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/squib-os-XXXXXX", byte;
    int pair[2], listener, client, server;

    (void)state;
    assert_int_equal(sq_sock_pair(pair, true), 0);
    assert_true(fcntl(pair[0], F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(pair[1], F_GETFL) & O_NONBLOCK);
    assert_int_equal(read(pair[0], &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    close(pair[1]);
    /* No SIGPIPE, which would end this process. */
    assert_int_equal(send(pair[0], "x", 1, SQ_MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    close(pair[0]);

    assert_non_null(mkdtemp(dir));
    snprintf(to.sun_path, sizeof(to.sun_path), "%s/s", dir);
    listener = sq_sock_unix(true);
    assert_int_equal(bind(listener, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(sq_sock_accept(listener), -1);
    assert_int_equal(errno, EAGAIN);
    client = sq_sock_unix(false);
    assert_false(fcntl(client, F_GETFL) & O_NONBLOCK);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
    server = sq_sock_accept(listener);
    assert_true(server >= 0);
    assert_true(fcntl(server, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(server, F_GETFD) & FD_CLOEXEC);
    close(server);
    close(client);
    close(listener);
    unlink(to.sun_path);
    rmdir(dir);
}

static unsigned wait_for(int queue, uint64_t key)
{
    struct sq_event ev[4];
    unsigned seen = 0;
    int n;

    assert_int_equal(sq_events_wait(queue, ev, 4, 0, &n), 0);
    for (int i = 0; i < n; i++)
        if (ev[i].key == key)
            seen |= ev[i].events;
    return seen;
}

static void events(void **state)
{
    const uint64_t key = 0x100000002ull;
    int queue, pair[2];

    (void)state;
    assert_int_equal(sq_events_open(&queue), 0);
    assert_int_equal(sq_sock_pair(pair, true), 0);
    assert_int_equal(sq_events_change(queue, pair[0], SQ_EVENTS_NONE,
                                      SQ_POLL_IN, key), 0);
    assert_int_equal(wait_for(queue, key), 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(wait_for(queue, key), SQ_POLL_IN);
    assert_int_equal(wait_for(queue, key), SQ_POLL_IN); /* level */
    assert_int_equal(sq_events_change(queue, pair[0], SQ_POLL_IN,
                                      SQ_POLL_IN | SQ_POLL_OUT, key), 0);
    assert_int_equal(wait_for(queue, key), SQ_POLL_IN | SQ_POLL_OUT);
    /* Nothing wanted: hang-ups are told all the same. */
    assert_int_equal(sq_events_change(queue, pair[0],
                                      SQ_POLL_IN | SQ_POLL_OUT, 0, key), 0);
    assert_int_equal(wait_for(queue, key), 0);
    close(pair[1]);
    assert_true(wait_for(queue, key) & SQ_POLL_HUP);
    assert_int_equal(sq_events_change(queue, pair[0], 0, SQ_EVENTS_NONE, 0),
                     0);
    assert_int_equal(wait_for(queue, key), 0);
    close(pair[0]);
    close(queue);
}

static void signals(void **state)
{
    sigset_t set, before;
    int fd;

    (void)state;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    fd = sq_sigfd_open(&set);
    assert_true(fd >= 0);
    assert_int_equal(sq_sigfd_read(fd), 0);
    kill(getpid(), SIGUSR1);
    assert_int_equal(sq_sigfd_read(fd), SIGUSR1);
    assert_int_equal(sq_sigfd_read(fd), 0);
    close(fd);
    /* It was taken: unblocked, it would end this process. */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void files(void **state)
{
    char path[] = "/tmp/squib-os-XXXXXX", block[4096];
    int fd = mkstemp(path), rc;
    struct stat st;

    (void)state;
    assert_true(fd >= 0);
    unlink(path);
    memset(block, 0x5a, sizeof(block));
    for (int i = 0; i < 16; i++)
        assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
    assert_int_equal(sq_file_sync(fd), 0);
    rc = sq_file_punch(fd, 0x4000, 0x8000);
    assert_true(rc == 0 || rc == ENOTSUP);
    assert_int_equal(pread(fd, block, 1, 0x4000), 1);
    assert_int_equal(block[0], rc == 0 ? 0 : 0x5a);
    assert_int_equal(pread(fd, block, 1, 0xc000), 1);
    assert_int_equal(block[0], 0x5a);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0x10000);
    assert_true(sq_file_mtime(&st).tv_sec > 1600000000);
    assert_int_equal(sq_file_punch(fd, 0, 0), 0);
    close(fd);
}

static void conditions(void **state)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    uint64_t until = sq_now_ns() + 5000000;
    pthread_cond_t cond;

    (void)state;
    sq_cond_init(&cond);
    pthread_mutex_lock(&lock);
    while (sq_cond_wait_until(&cond, &lock, until))
        ; /* woken for no reason */
    assert_true(sq_now_ns() >= until);
    assert_false(sq_cond_wait_until(&cond, &lock, 0));
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&cond);
}

static void about_the_host(void **state)
{
    char self[4096], small[4];

    (void)state;
    assert_true(sq_host_self(self, sizeof(self)) > 0);
    assert_int_equal(self[0], '/');
    assert_int_equal(access(self, X_OK), 0);
    assert_int_equal(sq_host_self(small, sizeof(small)), 0);
    assert_string_equal(small, "");
    assert_true(sq_host_free_memory() > MIB);
    assert_string_equal(sq_host_errno_text(ENOENT),
                        "No such file or directory");
    sq_host_name_thread(pthread_self(), "test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_memory),
        cmocka_unit_test(code),
        cmocka_unit_test(sockets),
        cmocka_unit_test(events),
        cmocka_unit_test(signals),
        cmocka_unit_test(files),
        cmocka_unit_test(conditions),
        cmocka_unit_test(about_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
