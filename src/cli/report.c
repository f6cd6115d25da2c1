/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long a message waits for somebody to read standard error. A machine
 * that has ended must not wait for ever for a pipe that nobody empties. */
#define PATIENCE_MS 1000

void sq_print(const char *fmt, ...)
{
    struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    /* A pipe that is ready has room for PIPE_BUF bytes, which is more. In
     * one write: a guest's console may go to the same place. */
    fflush(stderr);
    if (poll(&pfd, 1, PATIENCE_MS) == 1)
        (void)!write(STDERR_FILENO, text, strlen(text));
}

void sq_say(const char *fmt, ...)
{
    char text[1000];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    sq_print("squib: %s\n", text);
}

void sq_say_error(const struct squib_error *err)
{
    sq_say("%s", err->text[0] ? err->text : squib_code_name(err->code));
}
