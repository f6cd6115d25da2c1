/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why /dev/kvm cannot be opened, and the one thing to do about it.
 *
 * User and group names come from /etc/passwd and /etc/group read as text:
 * the C library's lookups load shared objects, which a static binary cannot
 * promise. Names kept elsewhere (LDAP) then show as numbers.
 */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

#define FILE_MAX (64 * 1024)

/* Field `n` of a colon-separated line: start and length. */
static const char *field(const char *line, size_t line_len, unsigned n,
                         size_t *len)
{
    const char *end = line + line_len;

    for (; n; n--) {
        line = memchr(line, ':', (size_t)(end - line));
        if (!line)
            return NULL;
        line++;
    }
    *len = (size_t)(end - line);
    for (size_t i = 0; i < *len; i++)
        if (line[i] == ':')
            *len = i;
    return line;
}

/* The line of a passwd or group file whose third field is `id`. */
static const char *line_by_id(const char *file, unsigned id, size_t *len)
{
    while (*file) {
        size_t n = strcspn(file, "\n"), id_len = 0;
        const char *f = field(file, n, 2, &id_len);

        if (f && id_len && strtoul(f, NULL, 10) == id && *f >= '0' &&
            *f <= '9') {
            *len = n;
            return file;
        }
        file += n + (file[n] == '\n');
    }
    return NULL;
}

static void name_of(const char *file, unsigned id, char *out, size_t out_len)
{
    size_t n, name_len = 0;
    const char *line = line_by_id(file, id, &n);
    const char *name = line ? field(line, n, 0, &name_len) : NULL;

    if (name && name_len && name_len < out_len)
        snprintf(out, out_len, "%.*s", (int)name_len, name);
    else
        snprintf(out, out_len, "%u", id);
}

static bool is_member(const char *group_file, unsigned gid, const char *user)
{
    size_t n, len = 0, user_len = strlen(user);
    const char *line = line_by_id(group_file, gid, &n);
    const char *m = line ? field(line, n, 3, &len) : NULL;

    while (m && len) {
        const char *comma = memchr(m, ',', len);
        size_t one = comma ? (size_t)(comma - m) : len;

        if (one == user_len && memcmp(m, user, one) == 0)
            return true;
        m += one;
        len -= one;
        if (len) {
            m++;
            len--;
        }
    }
    return false;
}

int sq_kvm_access_error(const char *path, unsigned mode, unsigned uid,
                        unsigned gid, const char *group_file,
                        const char *user, struct squib_error *err)
{
    char group[40], owner[16];

    name_of(group_file, gid, group, sizeof(group));
    if (uid == 0)
        snprintf(owner, sizeof(owner), "root");
    else
        snprintf(owner, sizeof(owner), "%u", uid);
    if (!(mode & 040) || gid == 0)
        return sq_err_set(err, SQUIB_E_OS,
                          "%s is %s:%s %04o: only its owner may use it\n"
                          "  do: sudo chgrp kvm %s && sudo chmod 0660 %s",
                          path, owner, group, mode & 07777, path, path);
    if (is_member(group_file, gid, user))
        return sq_err_set(err, SQUIB_E_OS,
                          "%s is %s:%s %04o; you were added to group %s "
                          "after this login\n  do: log in again",
                          path, owner, group, mode & 07777, group);
    return sq_err_set(err, SQUIB_E_OS,
                      "%s is %s:%s %04o; you are not in group %s\n"
                      "  do: sudo usermod -aG %s $USER, then log in again",
                      path, owner, group, mode & 07777, group, group);
}

/* All of a small text file, NUL-terminated; "" if there is none. */
static void read_text(const char *path, char *buf, size_t buf_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t n = 1;

    while (fd >= 0 && n > 0 && used < buf_len - 1) {
        n = read(fd, buf + used, buf_len - 1 - used);
        if (n > 0)
            used += (size_t)n;
    }
    buf[used] = '\0';
    if (fd >= 0)
        close(fd);
}

static int no_permission(const char *path, struct squib_error *err)
{
    struct stat st;
    char *text, user[40];
    int rc;

    if (stat(path, &st) != 0)
        return sq_err_os(err, SQUIB_E_OS, EACCES, "%s", path);
    text = malloc(FILE_MAX);
    if (!text)
        return sq_err_set(err, SQUIB_E_NOMEM, "%s: no memory", path);
    read_text("/etc/passwd", text, FILE_MAX);
    name_of(text, (unsigned)geteuid(), user, sizeof(user));
    read_text("/etc/group", text, FILE_MAX);
    rc = sq_kvm_access_error(path, st.st_mode, st.st_uid, st.st_gid, text,
                             user, err);
    free(text);
    if (err)
        err->os_errno = EACCES;
    return rc;
}

int sq_kvm_open_error(const char *path, int os_errno,
                      struct squib_error *err)
{
    switch (os_errno) {
    case ENOENT:
        return sq_err_set(err, SQUIB_E_NOTFOUND,
                          "no %s\n  do: %s", path, sq_kvm_absent_remedy);
    case ENODEV:
    case ENXIO:
        return sq_err_os(err, SQUIB_E_NOSUPPORT, os_errno,
                         "%s has no driver behind it", path);
    case EACCES:
    case EPERM:
        return no_permission(path, err);
    default:
        return sq_err_os(err, SQUIB_E_OS, os_errno, "cannot open %s", path);
    }
}
