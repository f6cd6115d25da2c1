/* SPDX-License-Identifier: Apache-2.0 */
/* What the filters of system calls let through, and what not: by processes
 * that confine themselves and then make a call. */
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
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/util.h"
#include "os/confine.h"
#include "os/guard.h"

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* not every C library names it */
#endif
#define GOOD 0      /* the body was through */
#define TRAPPED 100 /* it met the filter */
#define CONFINED_NOT 101

static const struct sq_confine *confine;
static int told[2]; /* a pipe: the number of the call */

static void on_sigsys(int signo, siginfo_t *info, void *context)
{
    int number = info->si_syscall;

    (void)signo;
    (void)context;
    if (info->si_code != SYS_SECCOMP)
        _exit(CONFINED_NOT);
    (void)!write(told[1], &number, sizeof(number));
    _exit(TRAPPED);
}

/* How a confined process that calls body() ends; *number is the call that
 * it was stopped at. */
static int outcome(enum sq_confine_kind kind, int (*body)(void), int *number)
{
    int status;
    pid_t pid;

    *number = -1;
    fflush(NULL);
    assert_int_equal(pipe2(told, O_CLOEXEC | O_NONBLOCK), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sigaction sa = {.sa_sigaction = on_sigsys,
                               .sa_flags = SA_SIGINFO};

        sigaction(SIGSYS, &sa, NULL);
        if (sq_confine_thread(confine, kind, NULL))
            _exit(CONFINED_NOT);
        _exit(body());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)!read(told[0], number, sizeof(*number));
    close(told[0]);
    close(told[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static void refused(enum sq_confine_kind kind, const char *call,
                    int (*body)(void))
{
    const char *name;
    int number, end = outcome(kind, body, &number);

    name = sq_confine_call_name(number);
    if (end != TRAPPED || !name || strcmp(name, call) != 0)
        fail_msg("kind %d: %s: ended with %d at %s", (int)kind, call, end,
                 name ? name : "no call");
}

static void allowed(enum sq_confine_kind kind, const char *what,
                    int (*body)(void))
{
    int number, end = outcome(kind, body, &number);
    const char *name = sq_confine_call_name(number);

    if (end != GOOD)
        fail_msg("kind %d: %s: ended with %d at %s", (int)kind, what, end,
                 name ? name : "no call");
}

/* --- what hostile code would like -------------------------------------- */

static int do_execve(void)
{
    char *argv[] = {"/bin/true", NULL};

    return execve(argv[0], argv, NULL) ? 1 : 2;
}

static int do_execveat(void)
{
    return (int)syscall(SYS_execveat, -1, "", NULL, NULL, 0) ? 1 : 2;
}

static int do_open(void)
{
    return open("/etc/passwd", O_RDONLY) < 0;
}

static int do_inet(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int do_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0) < 0;
}

static int do_unix(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int do_ptrace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0;
}

static int do_fork(void)
{
    /* Not through the library, which might use clone3(). */
    long pid = syscall(SYS_clone, (long)SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0)
        _exit(0);
    return pid < 0;
}

static int do_executable(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int do_make_executable(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return mprotect(p, 4096, PROT_READ | PROT_EXEC) != 0;
}

static int do_type(void)
{
    return ioctl(STDIN_FILENO, TIOCSTI, "x") != 0;
}

static int do_uring(void)
{
    return syscall(SYS_io_uring_setup, 0, NULL) != -1; /* it is EINVAL */
}

static int do_mount(void)
{
    return (int)syscall(SYS_mount, "", "", "", 0, NULL) ? 1 : 2;
}

static int do_bpf(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0) ? 1 : 2;
}

static int do_chmod(void)
{
    return (int)syscall(SYS_fchmodat, -1, "", 0, 0) ? 1 : 2;
}

static int do_memory_of_others(void)
{
    return (int)syscall(SYS_process_vm_writev, 1, NULL, 0, NULL, 0, 0) ? 1
                                                                       : 2;
}

static void no_thread_may(void **state)
{
    static const struct {
        const char *call;
        int (*body)(void);
    } bad[] = {
        {"execve", do_execve},
        {"execveat", do_execveat},
        {"ptrace", do_ptrace},
        {"socket", do_inet},
        {"socket", do_netlink},
        {"clone", do_fork},
        {"mmap", do_executable},
        {"mprotect", do_make_executable},
        {"ioctl", do_type},
        {"mount", do_mount},
        {"bpf", do_bpf},
        {"fchmodat", do_chmod},
        {"process_vm_writev", do_memory_of_others},
    };

    (void)state;
    for (int k = 0; k < SQ_CONFINE_COUNT; k++)
        for (size_t i = 0; i < SQ_ARRAY_LEN(bad); i++)
            refused((enum sq_confine_kind)k, bad[i].call, bad[i].body);
}

static void some_may_not(void **state)
{
    (void)state;
    refused(SQ_CONFINE_VCPU, "openat", do_open);
    refused(SQ_CONFINE_VCPU, "socket", do_unix);
    refused(SQ_CONFINE_VCPU, "io_uring_setup", do_uring);
    refused(SQ_CONFINE_API, "io_uring_setup", do_uring);
}

static int tgkill_init(void)
{
    return (int)syscall(SYS_tgkill, 1, 1, 0) != 0;
}

static int kill_init(void)
{
    return kill(1, 0) != 0;
}

static int kill_hard(void)
{
    return kill(0x3fffffff, SIGKILL) == 0; /* there is no such process */
}

static void signals_stay_in_the_process(void **state)
{
    (void)state;
    for (int k = 0; k < SQ_CONFINE_COUNT; k++) {
        refused((enum sq_confine_kind)k, "tgkill", tgkill_init);
        refused((enum sq_confine_kind)k, "kill", kill_init);
    }
    refused(SQ_CONFINE_VCPU, "kill", kill_hard);
    allowed(SQ_CONFINE_VMM, "kill, to end the helper", kill_hard);
}

/* --- what the threads need --------------------------------------------- */

static void *thread_body(void *arg)
{
    atomic_uint *threads = arg;
    void *p = malloc(1 << 20);

    if (p)
        atomic_fetch_add(threads, 1);
    free(p);
    return NULL;
}

/* Everything that the C library does of its own accord. */
static int common(void)
{
    struct timespec ts = {0, 1000}, now;
    struct pollfd p = {.events = POLLIN};
    struct stat st;
    char *big;

    p.fd = told[0];
    nanosleep(&ts, NULL);
    sched_yield();
    if (poll(&p, 1, 0) < 0 || ppoll(&p, 1, &ts, NULL) < 0)
        return 1;
    if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) ||
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now))
        return 2;
    for (int i = 0; i < 4; i++) {
        big = malloc((size_t)4 << 20 << i);
        if (!big)
            return 3;
        big[12345] = 1;
        big = realloc(big, (size_t)5 << 20 << i);
        free(big);
    }
    if (fstat(told[0], &st) != 0)
        return 4;
    /* As abort() and the kicks of vCPUs do it. */
    signal(SIGUSR1, SIG_IGN);
    if (raise(SIGUSR1) != 0)
        return 5;
    (void)!isatty(told[0]);
    return GOOD;
}

static int fd_wake = -1;

/* What a vCPU does: no descriptor is made. */
static int vcpu_work(void)
{
    uint64_t one = 1;
    uint8_t *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct timespec none = {0, 0};
    struct stat st;
    sigset_t set;

    if (p == MAP_FAILED)
        return 1;
    p[4096] = 1;
    if (madvise(p, 1 << 20, MADV_DONTNEED) || munmap(p, 1 << 20))
        return 2;
    if (write(fd_wake, &one, sizeof(one)) != (ssize_t)sizeof(one) ||
        read(fd_wake, &one, sizeof(one)) != (ssize_t)sizeof(one))
        return 3;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (syscall(SYS_tgkill, getpid(), gettid(), SIGRTMIN + 1) ||
        sigtimedwait(&set, NULL, &none) != SIGRTMIN + 1)
        return 4;
    if (fstat(fd_wake, &st) != 0)
        return 5;
    (void)ioctl(fd_wake, (unsigned long)0xae80, 0); /* KVM_RUN */
    close(fd_wake);
    return GOOD;
}

static int vmm_work(void)
{
    pthread_t thread[3];
    atomic_uint threads = 0;
    int pair[2], fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 ||
        epoll_create1(EPOLL_CLOEXEC) < 0 || eventfd(0, EFD_NONBLOCK) < 0 ||
        pwrite(fd, "x", 1, 0) != 1 || lseek(fd, 0, SEEK_SET) != 0)
        return 1;
    for (int i = 0; i < 3; i++)
        if (pthread_create(&thread[i], NULL, thread_body, &threads))
            return 2;
    for (int i = 0; i < 3; i++)
        if (pthread_join(thread[i], NULL))
            return 3;
    if (threads != 3)
        return 3;
    if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
        return 4;
    return do_uring();
}

static int api_work(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    return fd < 0 || do_unix() || epoll_create1(EPOLL_CLOEXEC) < 0 ||
           write(fd, "x", 1) != 1;
}

static void *api_thread(void *arg)
{
    (void)arg;
    if (sq_confine_thread(confine, SQ_CONFINE_API, NULL))
        _exit(CONFINED_NOT);
    _exit(api_work());
}

/* As when a configuration file starts the machine before the API thread is
 * made: both filters apply to that. */
static int api_after_vmm(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, api_thread, NULL))
        return 1;
    pthread_join(thread, NULL);
    return 2;
}

static void threads_have_what_they_need(void **state)
{
    (void)state;
    fd_wake = eventfd(0, EFD_NONBLOCK);
    assert_true(fd_wake >= 0);
    allowed(SQ_CONFINE_VCPU, "a vCPU's work", vcpu_work);
    close(fd_wake);
    allowed(SQ_CONFINE_VMM, "the event thread's work", vmm_work);
    allowed(SQ_CONFINE_API, "the API thread's work", api_work);
    allowed(SQ_CONFINE_VMM, "the API thread after it", api_after_vmm);
    for (int k = 0; k < SQ_CONFINE_COUNT; k++)
        allowed((enum sq_confine_kind)k, "the C library", common);
}

/* A mapped file that is cut short under a vCPU. */
static struct sq_guard guard;
static int cut_fd;

static int touch_what_is_gone(void)
{
    volatile uint8_t *p = guard.hva;

    p[8192] = 3;
    return p[8192] == 3 && atomic_load(&guard.lost) ? GOOD : 1;
}

static void a_vcpu_survives_a_cut_file(void **state)
{
    char path[] = "/tmp/squib-confine-XXXXXX";

    (void)state;
    cut_fd = mkstemp(path);
    assert_true(cut_fd >= 0);
    unlink(path);
    assert_int_equal(ftruncate(cut_fd, 65536), 0);
    guard.fd = cut_fd;
    guard.len = 65536;
    guard.hva = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, cut_fd,
                     0);
    assert_true((void *)guard.hva != MAP_FAILED);
    assert_int_equal(sq_guard_add(&guard, NULL), 0);
    assert_int_equal(ftruncate(cut_fd, 4096), 0);
    allowed(SQ_CONFINE_VCPU, "a cut file", touch_what_is_gone);
    sq_guard_remove(&guard);
    munmap(guard.hva, 65536);
    close(cut_fd);
}

static int do_abort(void)
{
    abort();
}

/* A process that gives up does so as ever. */
static void abort_is_abort(void **state)
{
    int number;

    (void)state;
    for (int k = 0; k < SQ_CONFINE_COUNT; k++) {
        int end = outcome((enum sq_confine_kind)k, do_abort, &number);

        assert_int_equal(number, -1);
        assert_true(end >= 1000 && WTERMSIG(end - 1000) == SIGABRT);
    }
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(sq_confine_call_name(SYS_execve), "execve");
    assert_string_equal(sq_confine_call_name(SYS_read), "read");
    assert_null(sq_confine_call_name(-1));
    assert_null(sq_confine_call_name(100000));
}

static void no_filter_is_none(void **state)
{
    const struct sq_confine *all = confine;
    int number;

    (void)state;
    confine = NULL;
    assert_int_equal(outcome(SQ_CONFINE_VCPU, do_inet, &number), GOOD);
    confine = all;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(no_filter_is_none),
        cmocka_unit_test(no_thread_may),
        cmocka_unit_test(some_may_not),
        cmocka_unit_test(signals_stay_in_the_process),
        cmocka_unit_test(threads_have_what_they_need),
        cmocka_unit_test(a_vcpu_survives_a_cut_file),
        cmocka_unit_test(abort_is_abort),
    };
    const char *why;

    confine = sq_confine_default(&why);
    if (!confine) {
        printf("skip: %s\n", why);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
