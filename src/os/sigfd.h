/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as something that can be polled. */
#ifndef SQ_OS_SIGFD_H
#define SQ_OS_SIGFD_H

#include <signal.h>

/* A non-blocking descriptor that is readable while one of `set`, which the
 * caller has blocked in all threads, is there; -1 and errno. */
int sq_sigfd_open(const sigset_t *set);

/* The next signal's number; 0 when there is none. */
int sq_sigfd_read(int fd);

#endif
