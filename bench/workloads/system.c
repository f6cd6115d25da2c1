/* SPDX-License-Identifier: Apache-2.0 */
/* What programs ask of their kernel. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define GETPIDS 20000u
#define FORKS 20u
#define EXECS 10u
#define ROUND_TRIPS 500u
#define MAPS 500u
#define FAULTS 1024u
#define SIGNALS 2000u
#define THREADS 50u
#define FILES 300u
#define CLOCKS 50000u
#define PAGE 4096u

static volatile sig_atomic_t signals;

static int getpid_unit(uint64_t *sum)
{
    const long self = syscall(SYS_getpid);

    for (uint32_t i = 0; i < GETPIDS; i++)
        *sum += syscall(SYS_getpid) == self;
    return 0;
}

/* Adds the child's exit status. */
static int reap(pid_t child, uint64_t *sum)
{
    int status;

    if (waitpid(child, &status, 0) != child)
        return -errno;
    if (!WIFEXITED(status))
        return -ECHILD;
    *sum += (uint64_t)WEXITSTATUS(status);
    return 0;
}

static int fork_unit(uint64_t *sum)
{
    for (uint32_t i = 0; i < FORKS; i++) {
        pid_t child = fork();
        int rc;

        if (child < 0)
            return -errno;
        if (child == 0)
            _exit(3);
        rc = reap(child, sum);
        if (rc)
            return rc;
    }
    return 0;
}

static int exec_unit(uint64_t *sum)
{
    for (uint32_t i = 0; i < EXECS; i++) {
        pid_t child = fork();
        int rc;

        if (child < 0)
            return -errno;
        if (child == 0) {
            execl("/proc/self/exe", "squib-bench", "exit", (char *)NULL);
            _exit(127);
        }
        rc = reap(child, sum);
        if (rc)
            return rc;
    }
    return 0;
}

static int pipe_unit(uint64_t *sum)
{
    int there[2], back[2], rc = 0;
    uint8_t byte = 0;
    pid_t child;

    if (pipe(there) != 0 || pipe(back) != 0)
        return -errno;
    child = fork();
    if (child < 0)
        return -errno;
    if (child == 0) {
        close(there[1]);
        close(back[0]);
        while (read(there[0], &byte, 1) == 1) {
            byte++;
            if (write(back[1], &byte, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    close(there[0]);
    close(back[1]);
    for (uint32_t i = 0; i < ROUND_TRIPS && !rc; i++) {
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            rc = -EPIPE;
    }
    close(there[1]);
    close(back[0]);
    *sum += byte;
    return rc ? rc : reap(child, sum);
}

static uint8_t *map_pages(size_t len)
{
    uint8_t *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static int mmap_unit(uint64_t *sum)
{
    for (uint32_t i = 0; i < MAPS; i++) {
        uint8_t *p = map_pages(2 * PAGE);

        if (!p)
            return -errno;
        *sum += p[0]++;
        *sum += ++p[PAGE];
        if (munmap(p, 2 * PAGE) != 0)
            return -errno;
    }
    return 0;
}

static int fault_unit(uint64_t *sum)
{
    uint8_t *p = map_pages(FAULTS * PAGE);

    if (!p)
        return -errno;
    /* Kernels without huge pages refuse this, and need it not. */
    (void)madvise(p, FAULTS * PAGE, MADV_NOHUGEPAGE);
    for (uint32_t i = 0; i < FAULTS; i++)
        *sum += ++p[(size_t)i * PAGE];
    return munmap(p, FAULTS * PAGE) == 0 ? 0 : -errno;
}

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static int signal_unit(uint64_t *sum)
{
    struct sigaction action = {.sa_handler = on_signal};
    const pid_t self = getpid();

    if (sigaction(SIGUSR1, &action, NULL) != 0)
        return -errno;
    signals = 0;
    for (uint32_t i = 0; i < SIGNALS; i++)
        kill(self, SIGUSR1);
    *sum += (uint64_t)signals;
    return 0;
}

static void *thread_main(void *arg)
{
    ++*(uint64_t *)arg;
    return NULL;
}

static int thread_unit(uint64_t *sum)
{
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        int rc = pthread_create(&thread, NULL, thread_main, sum);

        if (!rc)
            rc = pthread_join(thread, NULL);
        if (rc)
            return -rc;
    }
    return 0;
}

static int file_unit(uint64_t *sum)
{
    static const char path[] = "/dev/shm/squib-bench";
    char text[256], back[256];

    memset(text, 'x', sizeof(text));
    for (uint32_t i = 0; i < FILES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        if (fd < 0)
            return -errno;
        memcpy(text, &i, sizeof(i));
        if (write(fd, text, sizeof(text)) != (ssize_t)sizeof(text) ||
            lseek(fd, 0, SEEK_SET) != 0 ||
            read(fd, back, sizeof(back)) != (ssize_t)sizeof(back)) {
            close(fd);
            return -EIO;
        }
        close(fd);
        bench_fold(sum, back, sizeof(back));
    }
    return unlink(path) == 0 ? 0 : -errno;
}

static int clock_unit(uint64_t *sum)
{
    int64_t last = 0;

    for (uint32_t i = 0; i < CLOCKS; i++) {
        struct timespec ts;
        int64_t now;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        now = ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
        *sum += now >= last;
        last = now;
    }
    return 0;
}

const struct workload bench_system[] = {
    {"getpid", "system", "call", GETPIDS, 10, NULL, getpid_unit, NULL},
    {"fork+exit", "system", "child", FORKS, 10, NULL, fork_unit, NULL},
    {"fork+exec", "system", "child", EXECS, 10, NULL, exec_unit, NULL},
    {"pipe ping-pong", "system", "round trip", ROUND_TRIPS, 10, NULL,
     pipe_unit, NULL},
    {"mmap+touch2+munmap", "system", "mapping", MAPS, 20, NULL, mmap_unit,
     NULL},
    {"page fault", "system", "fault", FAULTS, 20, NULL, fault_unit, NULL},
    {"signal", "system", "signal", SIGNALS, 10, NULL, signal_unit, NULL},
    {"thread", "system", "thread", THREADS, 10, NULL, thread_unit, NULL},
    {"file", "system", "open, write, read, close", FILES, 20, NULL,
     file_unit, NULL},
    {"clock_gettime", "system", "call", CLOCKS, 10, NULL, clock_unit, NULL},
    {0},
};
