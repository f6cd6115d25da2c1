/* SPDX-License-Identifier: Apache-2.0 */
/* What the program says to people, all on standard error, and the statuses
 * it ends with (docs/cli.md). */
#ifndef SQ_CLI_REPORT_H
#define SQ_CLI_REPORT_H

#include <squib/error.h>

enum sq_status {
    SQ_STATUS_OK = 0,
    SQ_STATUS_FAILED = 1,  /* doctor found a problem, kernel verb failed */
    SQ_STATUS_USAGE = 2,   /* of verbs other than run and serve */
    SQ_STATUS_TIMEOUT = 124,
    SQ_STATUS_SQUIB = 125, /* run: squib or the virtual machine failed */
    /* serve, as Firecracker's FcExitCode */
    SQ_STATUS_FC_ERROR = 1,
    SQ_STATUS_FC_ABORT = 134, /* where upstream ends with SIGABRT */
    SQ_STATUS_FC_BAD_LOGGER = 152,
    SQ_STATUS_FC_BAD_ARGS = 153,
};

/* Prints to standard error as it is; at most 1023 bytes, in one write. Gives
 * up after a second when nobody reads. */
void sq_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* "squib: " + text + newline. */
void sq_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The same for an error's text, which brings its own "\n  do: ..." line. */
void sq_say_error(const struct squib_error *err);

#endif
