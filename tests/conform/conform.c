/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conform BACKEND [TEST...]: runs the conformance suite, or the tests whose
 * names start with one of the words, on a backend (kvm, soft, mock).
 *
 * One line a test: ok, FAIL or skip, milliseconds, name, reason. The last
 * line is "N passed, N failed, N skipped". Exit status 0 if none failed, 1
 * if one failed, 2 for a wrong command line. -t SECONDS sets the time limit
 * of one test (10). -m prints the table of docs/backends.md instead.
 */
#define _GNU_SOURCE
#include "a64.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/mock/mock.h"
#include "base/util.h"
#include "kinds.h"
#include "os/clock.h"

#define STATUS_FAIL 1
#define STATUS_SKIP 2

enum verdict { OK, FAILED, SKIPPED };

static const struct cf_test *const x86_64[] = {
    cf_tests_common, cf_tests_io,    cf_tests_mmio, cf_tests_run,
    cf_tests_mode,   cf_tests_fault, cf_tests_insn, cf_tests_irq,
    cf_tests_mem,    cf_tests_state, cf_tests_debug, cf_tests_step, NULL,
};

static const struct cf_test *const aarch64[] = {
    cf_tests_common,    cf_tests_a64_mmio, cf_tests_a64_run,
    cf_tests_a64_fault, cf_tests_a64_irq,  cf_tests_a64_mem,
    cf_tests_a64_state, NULL,
};

static const struct cf_test *const *const groups[SQUIB_ARCH_COUNT] = {
    [SQUIB_ARCH_X86_64] = x86_64,
    [SQUIB_ARCH_AARCH64] = aarch64,
};

/* Shared by the tests' processes. */
static _Atomic uint32_t *seen;

void cf_seen(const struct squib_exit *e)
{
    if (seen && (unsigned)e->kind < SQUIB_EXIT_COUNT)
        *seen |= 1u << e->kind;
}

/* In the test's process, stdout is the pipe to the runner. */
void cf_fail(const char *file, int line, const char *fmt, ...)
{
    const char *base = strrchr(file, '/');
    va_list ap;

    printf("%s:%d: ", base ? base + 1 : file, line);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    fflush(stdout);
    _exit(STATUS_FAIL);
}

void cf_skip(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    fflush(stdout);
    _exit(STATUS_SKIP);
}

void cf_eq(const char *file, int line, const char *what, uint64_t got,
           uint64_t want)
{
    if (got != want)
        cf_fail(file, line, "%s is %#llx, not %#llx", what,
                (unsigned long long)got, (unsigned long long)want);
}

static void child(const struct cf_test *test, const struct cf *start,
                  int out, unsigned limit_s)
{
    struct cf t = *start;

    dup2(out, STDOUT_FILENO);
    alarm(limit_s);
    cf_check_needs(&t, test->needs);
    test->body(&t);
    _exit(0);
}

/* The first line of what the test said. */
static void read_reason(int fd, char *buf, size_t buf_len)
{
    size_t used = 0;
    ssize_t n;

    while (used < buf_len - 1) {
        n = read(fd, buf + used, buf_len - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    buf[used] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
}

static enum verdict judge(int status, char *reason, size_t reason_len,
                          unsigned limit_s)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return OK;
    if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_SKIP)
        return SKIPPED;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(reason, reason_len, "no end within %u s", limit_s);
    else if (WIFSIGNALED(status))
        snprintf(reason, reason_len, "killed by signal %d",
                 WTERMSIG(status));
    return FAILED;
}

static enum verdict run_one(const struct cf_test *test,
                            const struct cf *start, unsigned limit_s)
{
    static const char *const word[] = {"ok", "FAIL", "skip"};
    uint64_t began = sq_now_ns();
    char reason[400] = "";
    enum verdict v;
    int status = 0, fd[2];
    pid_t pid;

    fflush(stdout);
    if (pipe(fd) != 0)
        return FAILED;
    pid = fork();
    if (pid == 0)
        child(test, start, fd[1], limit_s);
    close(fd[1]);
    read_reason(fd[0], reason, sizeof(reason));
    close(fd[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    v = pid > 0 ? judge(status, reason, sizeof(reason), limit_s) : FAILED;
    printf("%-4s %5llu ms  %s%s%s\n", word[v],
           (unsigned long long)(sq_now_ns() - began) / 1000000, test->name,
           *reason ? ": " : "", reason);
    fflush(stdout);
    return v;
}

static bool wanted(const char *name, char *const *words)
{
    if (!*words)
        return true;
    for (; *words; words++)
        if (strncmp(name, *words, strlen(*words)) == 0)
            return true;
    return false;
}

static const struct squib_backend *find_backend(const char *name)
{
    if (strcmp(name, "mock") == 0)
        return &sq_backend_mock;
    return squib_backend_find(name);
}

/* Whether a VM can be made at all; else why not. */
static bool usable(const struct squib_backend *be, struct squib_error *e)
{
    const struct squib_vm_config config = {.vcpus = 1};
    struct squib_memory *mem;
    struct squib_vm *vm;
    bool ok = false;

    if (squib_memory_new(&mem, e) != 0)
        return false;
    if (squib_vm_new(be, &config, mem, &vm, e) == 0) {
        squib_vm_free(vm);
        ok = true;
    }
    squib_memory_free(mem);
    return ok;
}

static int run_suite(const struct squib_backend *be, char *const *words,
                     unsigned limit_s)
{
    struct cf start = {.be = be};
    struct squib_error e = {0};
    unsigned count[3] = {0};
    const struct cf_test *const *g = groups[squib_backend_arch(be)];
    bool can = usable(be, &e);

    if (can && squib_backend_probe(be, &e) != 0) {
        start.weak = true;
        printf("# %.*s\n", (int)strcspn(e.text, "\n"), e.text);
    }
    seen = cf_kinds_new();
    for (; *g; g++) {
        for (const struct cf_test *t = *g; t->name; t++) {
            if (!wanted(t->name, words))
                continue;
            if (!can || (be == &sq_backend_mock && t->needs)) {
                const char *why = can ? "the mock executes nothing" : e.text;

                printf("skip           %s: %.*s\n", t->name,
                       (int)strcspn(why, "\n"), why);
                count[SKIPPED]++;
                continue;
            }
            count[run_one(t, &start, limit_s)]++;
        }
    }
    /* A weak backend, or a part of the suite, proves nothing of it. */
    if (can && !start.weak && !*words && be != &sq_backend_mock && seen)
        count[cf_kinds_check(be, *seen) ? OK : FAILED]++;
    printf("%u passed, %u failed, %u skipped\n", count[OK], count[FAILED],
           count[SKIPPED]);
    return count[FAILED] ? 1 : 0;
}

int main(int argc, char **argv)
{
    const struct squib_backend *be;
    unsigned limit_s = 60;
    int opt;

    while ((opt = getopt(argc, argv, "mt:")) == 't')
        limit_s = (unsigned)strtoul(optarg, NULL, 10);
    if (opt == 'm') {
        cf_kinds_table();
        return 0;
    }
    if (opt != -1 || optind >= argc || limit_s == 0) {
        fprintf(stderr, "usage: conform [-t SECONDS] BACKEND [TEST...] | -m\n");
        return 2;
    }
    be = find_backend(argv[optind]);
    if (!be) {
        fprintf(stderr, "conform: there is no backend '%s'\n", argv[optind]);
        return 2;
    }
    return run_suite(be, argv + optind + 1, limit_s);
}
