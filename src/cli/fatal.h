/* SPDX-License-Identifier: Apache-2.0 */
/* The signals that end Firecracker's process with a status of its own. */
#ifndef SQ_CLI_FATAL_H
#define SQ_CLI_FATAL_H

/* From now on each of them restores the terminal, says on standard error
 * which signal it was and ends the process. Signals that somebody handles
 * already (a sanitizer does) are left alone. Main thread, once. */
void sq_fatal_hook(void);

/* The status for a signal, 0: it has none. */
int sq_fatal_status(int signo);

#endif
