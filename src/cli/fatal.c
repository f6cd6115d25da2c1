/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/fatal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/terminal.h"

/* Firecracker 1.17: FcExitCode in src/vmm/src/lib.rs. */
static const struct {
    int signo, status;
} fatal[] = {
    {SIGSYS, 148},  {SIGBUS, 149},  {SIGSEGV, 150}, {SIGXFSZ, 151},
    {SIGXCPU, 154}, {SIGHUP, 156},  {SIGILL, 157},
};

#define STATUS_UNEXPECTED 2
#define BAD_SYSCALL 1 /* SYS_SECCOMP, of Linux alone */

int sq_fatal_status(int signo)
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(fatal); i++)
        if (fatal[i].signo == signo)
            return fatal[i].status;
    return 0;
}

typedef void tell_fn(void *ctx, const siginfo_t *info);

/* Read by signal handlers: `tell` is set last and cleared first. */
static struct {
    _Atomic(tell_fn *) tell;
    void *ctx;
} listener;

static void tell(const siginfo_t *info)
{
    tell_fn *fn = listener.tell;

    if (fn)
        fn(listener.ctx, info);
}

static void on_pipe(int signo, siginfo_t *info, void *context)
{
    int saved = errno;

    (void)signo;
    (void)context;
    tell(info);
    errno = saved;
}

static void say(const char *text, size_t len)
{
    (void)!write(STDERR_FILENO, text, len);
}

static void on_fatal(int signo, siginfo_t *info, void *context)
{
    static const char before[] = "squib: Shutting down VM after "
                                 "intercepting signal ";
    char digits[3] = {(char)('0' + signo / 10 % 10),
                      (char)('0' + signo % 10), '\n'};

    (void)context;
    sq_terminal_restore();
    tell(info);
    say(before, sizeof(before) - 1);
    say(signo < 10 ? digits + 1 : digits, signo < 10 ? 2 : 3);
    /* Upstream's "not possible": the kernel did not refuse a call. */
    if (signo == SIGSYS && info->si_code != BAD_SYSCALL)
        _exit(STATUS_UNEXPECTED);
    _exit(sq_fatal_status(signo));
}

void sq_fatal_listen(void (*fn)(void *ctx, const siginfo_t *info), void *ctx)
{
    if (!fn)
        listener.tell = NULL;
    listener.ctx = ctx;
    listener.tell = fn;
}

void sq_fatal_hook(void)
{
    struct sigaction sa = {.sa_sigaction = on_fatal,
                           .sa_flags = SA_SIGINFO};
    struct sigaction pipe = {.sa_sigaction = on_pipe,
                             .sa_flags = SA_SIGINFO | SA_RESTART};

    sigaction(SIGPIPE, &pipe, NULL);
    for (size_t i = 0; i < SQ_ARRAY_LEN(fatal); i++) {
        struct sigaction old;

        /* SIGHUP has an orderly way (signals.h). */
        if (fatal[i].signo != SIGHUP &&
            sigaction(fatal[i].signo, NULL, &old) == 0 &&
            !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
            sigaction(fatal[i].signo, &sa, NULL);
    }
}
