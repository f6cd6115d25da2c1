/* SPDX-License-Identifier: Apache-2.0 */
/* Filling struct squib_error. All functions accept err == NULL and return
 * the code, so `return sq_err_set(err, SQUIB_E_INVAL, ...)` is the habit. */
#ifndef SQ_BASE_ERR_H
#define SQ_BASE_ERR_H

#include <squib/error.h>

/* Records a code and a printf-formatted text (cut at 255 bytes). */
int sq_err_set(struct squib_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: code is `code`, os_errno is kept and
 * ": " + strerror(os_errno) is appended to the fact, before a remedy. */
int sq_err_os(struct squib_error *err, int code, int os_errno,
              const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Puts a prefix ("drive rootfs: ") before the recorded text on the way up.
 * Returns the recorded code, or SQUIB_E_INTERNAL when err is NULL. */
int sq_err_prefix(struct squib_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
