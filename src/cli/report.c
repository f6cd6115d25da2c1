/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <stdarg.h>
#include <stdio.h>

void sq_say(const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    /* In one write: a guest's console may go to the same place. */
    fprintf(stderr, "squib: %s\n", text);
}

void sq_say_error(const struct squib_error *err)
{
    sq_say("%s", err->text[0] ? err->text : squib_code_name(err->code));
}
