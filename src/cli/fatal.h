/* SPDX-License-Identifier: Apache-2.0 */
/* The signals that Firecracker's process handles: those that end it with a
 * status of its own, and SIGPIPE, which does not. */
#ifndef SQ_CLI_FATAL_H
#define SQ_CLI_FATAL_H

#include <signal.h>

/* From now on each of the former restores the terminal, says on standard
 * error which signal it was and ends the process. Signals that somebody
 * handles already (a sanitizer does) are left alone. Main thread, once. */
void sq_fatal_hook(void);

/* Instead, for what is not Firecracker's: from now on a system call that the
 * thread's filter does not have is told on standard error before SIGSYS ends
 * the process. Main thread, once. */
void sq_fatal_hook_calls(void);

/* `tell` hears of each signal, before the process ends, on the thread that
 * got it: only what is async-signal-safe may be done there. NULL: nobody
 * does. Main thread. */
void sq_fatal_listen(void (*tell)(void *ctx, const siginfo_t *info),
                     void *ctx);

/* The status for a signal, 0: it has none. */
int sq_fatal_status(int signo);

#endif
