/* SPDX-License-Identifier: Apache-2.0 */
#include <squib/exit.h>

bool squib_exit_is_lifecycle(enum squib_exit_kind kind)
{
    return kind == SQUIB_EXIT_RESET || kind == SQUIB_EXIT_SHUTDOWN ||
           kind == SQUIB_EXIT_CANCELED || kind == SQUIB_EXIT_INTERNAL_ERROR;
}

const char *squib_exit_name(enum squib_exit_kind kind)
{
    static const char *const names[] = {
#define NAME(name, text) [SQUIB_EXIT_##name] = text,
        SQUIB_EXIT_LIST(NAME)
#undef NAME
    };

    return (unsigned)kind < SQUIB_EXIT_COUNT ? names[kind] : "unknown";
}
