/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

/* Read by signal handlers: `raw` is set last and cleared first. */
static struct {
    struct termios before;
    int fd;
    volatile sig_atomic_t raw;
    bool hooked;
} saved;

void sq_terminal_restore(void)
{
    if (!saved.raw)
        return;
    saved.raw = 0;
    tcsetattr(saved.fd, TCSADRAIN, &saved.before);
}

/* A crash: the terminal first, then what would have happened anyway. */
static void on_crash(int signo)
{
    if (saved.raw) {
        saved.raw = 0;
        tcsetattr(saved.fd, TCSANOW, &saved.before);
    }
    raise(signo); /* SA_RESETHAND: the default action now */
}

static void hook(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT,
                                  SIGSYS, SIGTRAP};
    struct sigaction sa = {.sa_handler = on_crash,
                           .sa_flags = (int)SA_RESETHAND | SA_NODEFER};

    if (saved.hooked)
        return;
    saved.hooked = true;
    atexit(sq_terminal_restore);
    for (size_t i = 0; i < SQ_ARRAY_LEN(crashes); i++) {
        struct sigaction old;

        /* A sanitizer's or backend's handler knows better. */
        if (sigaction(crashes[i], NULL, &old) == 0 &&
            !(old.sa_flags & SA_SIGINFO) && old.sa_handler == SIG_DFL)
            sigaction(crashes[i], &sa, NULL);
    }
}

int sq_terminal_raw(int fd, struct squib_error *err)
{
    struct termios t;

    if (saved.raw || !isatty(fd))
        return 0;
    if (tcgetattr(fd, &t) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "terminal");
    saved.before = t;
    saved.fd = fd;
    hook();
    cfmakeraw(&t);
    saved.raw = 1;
    if (tcsetattr(fd, TCSADRAIN, &t) != 0) {
        saved.raw = 0;
        return sq_err_os(err, SQUIB_E_OS, errno, "terminal");
    }
    return 0;
}

bool sq_terminal_size(int fd, uint16_t *rows, uint16_t *cols)
{
    struct winsize w;

    if (ioctl(fd, TIOCGWINSZ, &w) != 0 || !w.ws_row || !w.ws_col)
        return false;
    *rows = w.ws_row;
    *cols = w.ws_col;
    return true;
}
