/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/paths.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"

int sq_path_format(char path[SQ_PATH_MAX], struct squib_error *err,
                   const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(path, SQ_PATH_MAX, fmt, ap);
    va_end(ap);
    if (n < 0 || n >= SQ_PATH_MAX)
        return sq_err_set(err, SQUIB_E_INVAL, "a path is longer than %d "
                          "bytes", SQ_PATH_MAX - 1);
    return 0;
}

static int make_parents(char *path, struct squib_error *err)
{
    for (char *p = path + 1;; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return sq_err_os(err, SQUIB_E_OS, errno, "cannot create %s",
                             path);
        *p = c;
        if (c == '\0')
            return 0;
    }
}

int sq_path_cache(char path[SQ_PATH_MAX], const char *sub, bool make,
                  struct squib_error *err)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *gap = sub[0] ? "/" : "";
    int rc;

    /* A relative XDG_CACHE_HOME is to be ignored (its specification). */
    if (xdg && xdg[0] == '/')
        rc = sq_path_format(path, err, "%s/squib%s%s", xdg, gap, sub);
    else if (home && home[0] == '/')
        rc = sq_path_format(path, err, "%s/.cache/squib%s%s", home, gap,
                            sub);
    else
        return sq_err_set(err, SQUIB_E_NOTFOUND, "there is no cache: neither "
                          "XDG_CACHE_HOME nor HOME is set");
    return rc || !make ? rc : make_parents(path, err);
}

bool sq_path_is_dir(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool sq_path_is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}
