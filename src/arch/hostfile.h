/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a host file whole. Blocking; any thread. */
#ifndef SQ_ARCH_HOSTFILE_H
#define SQ_ARCH_HOSTFILE_H

#include <squib/error.h>

#include <stddef.h>
#include <stdint.h>

/* Reads a regular file of at most `max_len` bytes into memory that the
 * caller frees; a NUL that *len does not count follows the contents.
 * SQUIB_E_NOTFOUND, SQUIB_E_OS, SQUIB_E_NOMEM, or SQUIB_E_FORMAT for what is
 * not a regular file or is larger. */
int sq_hostfile_read(const char *path, size_t max_len, uint8_t **data,
                     size_t *len, struct squib_error *err);

#endif
