/* SPDX-License-Identifier: Apache-2.0 */
/*
 * squib-bench [NAME [UNITS]]: prints nanoseconds an operation and a checksum,
 * for all workloads or one. `squib-bench check` runs a unit of each, twice,
 * and known answers. `squib-bench serve` obeys a line of commands on stdin;
 * as a guest's first program it does so on its serial console.
 *
 * Commands, and answers (which begin with '@', unlike a kernel's messages):
 *
 *   list          @row NAME|GROUP|OPERATION|OPS|UNITS|VARIANT ..., @end
 *   use NAME      gets the workload ready and runs one unit: @ready
 *   run UNITS     @done CHECKSUM WALL_NS CPU_NS
 *   busy N UNITS  the same for N processes side by side: @done 0 WALL_NS 0
 *   tsc           @done 0 KHZ 0: the time-stamp counter, by the clock
 *   disk, up, tcp, vsock: see devices.c
 *   quit          ends; a guest restarts its machine
 *
 * What fails is answered by "@fail REASON". CPU_NS is that of the process and
 * its children, and true only natively: a guest cannot know what it costs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define MAPPINGS_MAX 8

static const struct workload *const groups[] = {
    bench_integer, bench_float, bench_crypto, bench_memory, bench_system,
};

static struct {
    void *at[MAPPINGS_MAX];
    size_t len[MAPPINGS_MAX];
    size_t count;
} mappings;

void *bench_memory_get(size_t len)
{
    void *p;

    if (mappings.count == MAPPINGS_MAX)
        return NULL;
    p = mmap(NULL, len, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    mappings.at[mappings.count] = p;
    mappings.len[mappings.count++] = len;
    return p;
}

static void memory_put(void)
{
    while (mappings.count > 0) {
        mappings.count--;
        munmap(mappings.at[mappings.count], mappings.len[mappings.count]);
    }
}

uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 2685821657736338717u;
}

void bench_fold(uint64_t *sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t word = 0, s = *sum;

    for (size_t i = 0; i < len; i += sizeof(word)) {
        memcpy(&word, p + i, len - i < sizeof(word) ? len - i : sizeof(word));
        s = (s ^ word) * 0x9e3779b97f4a7c15u;
        s ^= s >> 29;
    }
    *sum = s;
}

int bench_has_avx2_fma(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

int bench_has_aes(void)
{
    return __builtin_cpu_supports("aes") &&
           __builtin_cpu_supports("pclmul") &&
           __builtin_cpu_supports("ssse3") &&
           __builtin_cpu_supports("sse4.1");
}

uint64_t bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Of this process and the children that it has waited for. */
static uint64_t cpu_ns(void)
{
    static const int who[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    uint64_t us = 0;

    for (size_t i = 0; i < 2; i++) {
        struct rusage used;

        getrusage(who[i], &used);
        us += (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) *
                  1000000u +
              (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    }
    return us * 1000;
}

/* Runs `units` units, which must agree; NULL or what went wrong. */
static const char *run_units(const struct workload *w, uint32_t units,
                             struct result *r)
{
    uint64_t wall = bench_now_ns(), cpu = cpu_ns();

    for (uint32_t i = 0; i < units; i++) {
        uint64_t sum = 0;
        int rc = w->unit(&sum);

        if (rc)
            return strerror(-rc);
        if (i > 0 && sum != r->sum)
            return "two runs of the same work have different results";
        r->sum = sum;
    }
    r->wall_ns = bench_now_ns() - wall;
    r->cpu_ns = cpu_ns() - cpu;
    return NULL;
}

static const char *use(const struct workload *w, struct result *r)
{
    memory_put();
    if (w->prepare) {
        int rc = w->prepare();

        if (rc)
            return strerror(-rc);
    }
    return run_units(w, 1, r);
}

static const struct workload *row_at(size_t n)
{
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        for (const struct workload *w = groups[i]; w->name; w++) {
            if (n-- == 0)
                return w;
        }
    }
    return NULL;
}

static const struct workload *row_find(const char *name)
{
    const struct workload *w;

    for (size_t i = 0; (w = row_at(i)) != NULL; i++) {
        if (strcmp(w->name, name) == 0)
            return w;
    }
    return NULL;
}

/* --- side by side ------------------------------------------------------- */

/* `n` processes, each pinned to a processor, that do `units` units of fib
 * each; they begin together when the gate's other end is closed. */
static const char *busy(unsigned n, uint32_t units, struct result *r)
{
    const struct workload *w = row_find("fib");
    const char *bad = NULL;
    int gate[2];
    uint64_t start;

    if (pipe(gate) != 0)
        return strerror(errno);
    for (unsigned i = 0; i < n; i++) {
        pid_t child = fork();

        if (child < 0)
            bad = strerror(errno);
        if (child == 0) {
            cpu_set_t set;
            struct result mine;
            char byte;

            CPU_ZERO(&set);
            CPU_SET(i, &set);
            if (sched_setaffinity(0, sizeof(set), &set) != 0)
                _exit(1);
            close(gate[1]);
            if (read(gate[0], &byte, 1) != 0)
                _exit(1);
            _exit(run_units(w, units, &mine) ? 1 : 0);
        }
    }
    close(gate[0]);
    /* They get to the gate first. */
    usleep(50000);
    start = bench_now_ns();
    close(gate[1]);
    for (;;) {
        int status;

        if (wait(&status) < 0)
            break;
        if (status != 0)
            bad = "a process failed (are there enough processors?)";
    }
    r->sum = 0;
    r->wall_ns = bench_now_ns() - start;
    r->cpu_ns = 0;
    return bad;
}

/* Ticks of the time-stamp counter in a millisecond. */
static uint64_t tsc_khz(void)
{
    uint64_t start = bench_now_ns(), tsc = __builtin_ia32_rdtsc(), end;

    do
        end = bench_now_ns();
    while (end - start < 50000000);
    return (__builtin_ia32_rdtsc() - tsc) * 1000000 / (end - start);
}

/* --- commands ----------------------------------------------------------- */

static void answer_list(void)
{
    const struct workload *w;

    for (size_t i = 0; (w = row_at(i)) != NULL; i++)
        printf("@row %s|%s|%s|%u|%u|%s\n", w->name, w->group, w->op, w->ops,
               w->units, w->variant ? w->variant() : "");
    puts("@end");
}

/* Whether to go on. */
static int obey(char *line, const struct workload **w)
{
    struct result r = {0};
    const char *bad = NULL;
    unsigned n, units;

    line[strcspn(line, "\r\n")] = '\0';
    if (strcmp(line, "quit") == 0)
        return 0;
    if (strcmp(line, "list") == 0) {
        answer_list();
        return 1;
    }
    if (strncmp(line, "use ", 4) == 0) {
        *w = row_find(line + 4);
        bad = *w ? use(*w, &r) : "no such workload";
        if (!bad)
            puts("@ready");
    } else if (sscanf(line, "run %u", &units) == 1) {
        bad = *w ? run_units(*w, units, &r) : "no workload in use";
        if (!bad)
            printf("@done %016llx %llu %llu\n", (unsigned long long)r.sum,
                   (unsigned long long)r.wall_ns,
                   (unsigned long long)r.cpu_ns);
    } else if (sscanf(line, "busy %u %u", &n, &units) == 2) {
        bad = busy(n, units, &r);
        if (!bad)
            printf("@done 0 %llu 0\n", (unsigned long long)r.wall_ns);
    } else if (strcmp(line, "tsc") == 0) {
        printf("@done 0 %llu 0\n", (unsigned long long)tsc_khz());
    } else {
        bad = bench_device(line, &r);
        if (!bad)
            printf("@done %llu %llu 0\n", (unsigned long long)r.sum,
                   (unsigned long long)r.wall_ns);
        else if (!bad[0])
            bad = "unknown command";
    }
    if (bad)
        printf("@fail %s\n", bad);
    return 1;
}

static int serve(void)
{
    const struct workload *w = NULL;
    char line[128];

    puts("@hello");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        if (!obey(line, &w))
            break;
        fflush(stdout);
    }
    return 0;
}

/* --- as the first program of a guest -------------------------------------- */

static int guest(const char *what)
{
    struct termios tio;
    int fd;

    if (strcmp(what, "halt") == 0)
        return reboot(RB_AUTOBOOT);
    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    /* /dev may be mounted already, by the kernel. */
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    mkdir("/dev/shm", 0755);
    mount("shm", "/dev/shm", "tmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    bench_load_modules();
    fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    if (fd < 0 || tcgetattr(fd, &tio) != 0) {
        perror("squib-bench: /dev/ttyS0");
        return 1;
    }
    cfmakeraw(&tio);
    tcsetattr(fd, TCSANOW, &tio);
    dup2(fd, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    serve();
    return reboot(RB_AUTOBOOT);
}

static int check(void)
{
    const char *bad = bench_crypto_check();
    const struct workload *w;

    printf("%s - known answers%s%s\n", bad ? "not ok" : "ok",
           bad ? ": " : "", bad ? bad : "");
    for (size_t i = 0; (w = row_at(i)) != NULL; i++) {
        struct result first, second = {0};
        const char *why = use(w, &first);

        if (!why)
            why = run_units(w, 1, &second);
        if (!why && first.sum != second.sum)
            why = "two runs of the same work have different results";
        if (why)
            printf("not ok - %s: %s\n", w->name, why);
        else
            printf("ok - %s %016llx\n", w->name,
                   (unsigned long long)first.sum);
        if (why)
            bad = why;
    }
    return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
    const struct workload *w;
    int found = 0;

    __builtin_cpu_init();
    if (argc > 1 && strcmp(argv[1], "exit") == 0)
        return 3;
    if (getpid() == 1)
        return guest(argc > 1 ? argv[1] : "serve");
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return serve();
    if (argc > 1 && strcmp(argv[1], "check") == 0)
        return check();
    for (size_t i = 0; (w = row_at(i)) != NULL; i++) {
        uint32_t units = argc > 2 ? (uint32_t)atoi(argv[2]) : w->units;
        struct result r = {0};
        const char *bad;

        if (argc > 1 && strcmp(argv[1], w->name) != 0)
            continue;
        found = 1;
        bad = use(w, &r);
        if (!bad)
            bad = run_units(w, units > 0 ? units : 1, &r);
        memory_put();
        if (bad) {
            fprintf(stderr, "squib-bench: %s: %s\n", w->name, bad);
            return 1;
        }
        printf("%-20s %12.3f ns/%-12s %016llx %8.2f ms%s%s\n", w->name,
               (double)r.wall_ns / w->ops / (units > 0 ? units : 1), w->op,
               (unsigned long long)r.sum, (double)r.wall_ns / 1e6,
               w->variant ? "  " : "", w->variant ? w->variant() : "");
    }
    if (!found) {
        fprintf(stderr, "usage: squib-bench [check | serve | NAME [UNITS]]\n");
        return 2;
    }
    return 0;
}
