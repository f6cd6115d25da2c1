/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/fatal.h"

#include <signal.h>
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

int sq_fatal_status(int signo)
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(fatal); i++)
        if (fatal[i].signo == signo)
            return fatal[i].status;
    return 0;
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

    (void)info;
    (void)context;
    sq_terminal_restore();
    say(before, sizeof(before) - 1);
    say(signo < 10 ? digits + 1 : digits, signo < 10 ? 2 : 3);
    _exit(sq_fatal_status(signo));
}

void sq_fatal_hook(void)
{
    struct sigaction sa = {.sa_sigaction = on_fatal,
                           .sa_flags = SA_SIGINFO};

    for (size_t i = 0; i < SQ_ARRAY_LEN(fatal); i++) {
        struct sigaction old;

        /* SIGHUP has an orderly way (signals.h). */
        if (fatal[i].signo != SIGHUP &&
            sigaction(fatal[i].signo, NULL, &old) == 0 &&
            !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
            sigaction(fatal[i].signo, &sa, NULL);
    }
}
