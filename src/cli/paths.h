/* SPDX-License-Identifier: Apache-2.0 */
/* File names: squib's cache and small helpers around it. */
#ifndef SQ_CLI_PATHS_H
#define SQ_CLI_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#include <squib/error.h>

#define SQ_PATH_MAX 4096

/* printf into path[SQ_PATH_MAX]; SQUIB_E_INVAL when it does not fit. */
int sq_path_format(char path[SQ_PATH_MAX], struct squib_error *err,
                   const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ${XDG_CACHE_HOME:-$HOME/.cache}/squib/SUB; with `make` it and its parents
 * are created (mode 0700 for new ones). Errors: SQUIB_E_NOTFOUND (neither
 * variable is set), SQUIB_E_OS. */
int sq_path_cache(char path[SQ_PATH_MAX], const char *sub, bool make,
                  struct squib_error *err);

bool sq_path_is_dir(const char *path);
bool sq_path_is_file(const char *path);

#endif
