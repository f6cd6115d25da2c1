/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as values.
 *
 * Every function of libsquib that can fail returns 0 or a negative
 * SQUIB_E_* code and, when its last argument `err` is not NULL, fills *err.
 * *err is left untouched on success. No memory is owned by an error, so it
 * needs no release and may be copied freely.
 */
#ifndef SQUIB_ERROR_H
#define SQUIB_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* Result codes. Values are stable; new ones are only appended. */
enum squib_code {
    SQUIB_OK = 0,
    SQUIB_E_INVAL = -1,    /* an argument or a setting is not acceptable */
    SQUIB_E_NOMEM = -2,    /* the host has no memory left */
    SQUIB_E_OS = -3,       /* a host system call failed: see os_errno */
    SQUIB_E_NOTFOUND = -4, /* a file, device or name does not exist */
    SQUIB_E_NOSUPPORT = -5, /* this backend or host cannot do that */
    SQUIB_E_STATE = -6,    /* not possible in the present phase */
    SQUIB_E_RANGE = -7,    /* outside guest memory or overlapping */
    SQUIB_E_FORMAT = -8,   /* a file's contents are not what they must be */
    SQUIB_E_GUEST = -9,    /* the guest died (panic, triple fault) */
    SQUIB_E_INTERNAL = -10, /* a backend met something it cannot explain */
    SQUIB_E_TIMEOUT = -11, /* a limit of time ran out */
};

/* What went wrong. `text` is a complete UTF-8 sentence fragment for people,
 * always NUL-terminated; it names the fact and, where one exists, the
 * remedy after "\n  do: ". */
struct squib_error {
    int code;     /* enum squib_code, 0 when nothing was recorded */
    int os_errno; /* errno of the failed system call, 0 if none */
    char text[256];
};

/* The symbolic name of a code ("SQUIB_E_INVAL"); "SQUIB_E_?" for unknown
 * ones. Static storage, any thread. */
const char *squib_code_name(int code);

#ifdef __cplusplus
}
#endif
#endif
