/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "api/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "os/host.h"

bool sq_fault(struct sq_fault *fault, const char *fmt, ...)
{
    va_list ap;

    fault->status = 400;
    va_start(ap, fmt);
    vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
    va_end(ap);
    return false;
}

struct sq_os_text sq_os_text(int os_errno)
{
    struct sq_os_text out;
    const char *words = sq_host_errno_text(os_errno);

    snprintf(out.text, sizeof(out.text), "%.96s (os error %d)",
             words ? words : "Unknown error", os_errno);
    return out;
}
