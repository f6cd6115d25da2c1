/* SPDX-License-Identifier: Apache-2.0 */
/* This host has no filter that a thread could give itself. */
#include "os/confine.h"

#include <stddef.h>

const struct sq_confine *sq_confine_default(const char **why)
{
    if (why)
        *why = "system calls are not filtered on this host";
    return NULL;
}

int sq_confine_thread(const struct sq_confine *c, enum sq_confine_kind kind,
                      struct squib_error *err)
{
    (void)c;
    (void)kind;
    (void)err;
    return 0;
}

const char *sq_confine_call_name(int number)
{
    (void)number;
    return NULL;
}
