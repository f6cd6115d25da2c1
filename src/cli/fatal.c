/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/fatal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "cli/terminal.h"
#include "os/confine.h"

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

static bool is_bad_call(const siginfo_t *info)
{
    return info->si_signo == SIGSYS && info->si_code == BAD_SYSCALL;
}

/* Which call it was that the filter of this thread does not have. */
static void say_bad_call(const siginfo_t *info)
{
#ifdef __linux__
    const char *name = sq_confine_call_name(info->si_syscall);
    char text[128];

    snprintf(text, sizeof(text), "squib: Shutting down VM after "
             "intercepting a bad syscall (%d%s%s).\n", info->si_syscall,
             name ? ", " : "", name ? name : "");
    say(text, strlen(text));
#else
    (void)info;
#endif
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
    if (is_bad_call(info))
        say_bad_call(info);
    /* Upstream's "not possible": the kernel did not refuse a call. */
    if (signo == SIGSYS && !is_bad_call(info))
        _exit(STATUS_UNEXPECTED);
    _exit(sq_fatal_status(signo));
}

/* SA_RESETHAND: the signal then ends the process. */
static void on_bad_call(int signo, siginfo_t *info, void *context)
{
    (void)context;
    sq_terminal_restore();
    if (is_bad_call(info))
        say_bad_call(info);
    raise(signo);
}

void sq_fatal_hook_calls(void)
{
    struct sigaction sa = {.sa_sigaction = on_bad_call,
                           .sa_flags = SA_SIGINFO | (int)SA_RESETHAND};

    sigaction(SIGSYS, &sa, NULL);
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
