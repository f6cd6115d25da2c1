/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *squib_code_name(int code)
{
    switch (code) {
#define NAME(c) case c: return #c;
    NAME(SQUIB_OK)
    NAME(SQUIB_E_INVAL)
    NAME(SQUIB_E_NOMEM)
    NAME(SQUIB_E_OS)
    NAME(SQUIB_E_NOTFOUND)
    NAME(SQUIB_E_NOSUPPORT)
    NAME(SQUIB_E_STATE)
    NAME(SQUIB_E_RANGE)
    NAME(SQUIB_E_FORMAT)
    NAME(SQUIB_E_GUEST)
    NAME(SQUIB_E_INTERNAL)
    NAME(SQUIB_E_TIMEOUT)
#undef NAME
    default: return "SQUIB_E_?";
    }
}

int sq_err_set(struct squib_error *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;

        err->code = code;
        err->os_errno = 0;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, ap);
        va_end(ap);
    }
    return code;
}

int sq_err_os(struct squib_error *err, int code, int os_errno,
              const char *fmt, ...)
{
    if (err) {
        char text[sizeof(err->text)];
        size_t fact;
        va_list ap;

        err->code = code;
        err->os_errno = os_errno;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        fact = strcspn(text, "\n");
        snprintf(err->text, sizeof(err->text), "%.*s: %s%s", (int)fact, text,
                 strerror(os_errno), text + fact);
    }
    return code;
}

int sq_err_prefix(struct squib_error *err, const char *fmt, ...)
{
    char text[sizeof(err->text)];
    va_list ap;
    size_t n;

    if (!err)
        return SQUIB_E_INTERNAL;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    n = strlen(text);
    snprintf(text + n, sizeof(text) - n, "%s", err->text);
    memcpy(err->text, text, sizeof(text));
    return err->code;
}
