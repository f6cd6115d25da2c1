/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/hostfile.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads until the end or until `cap` bytes are there. */
static ssize_t read_all(int fd, uint8_t *data, size_t cap)
{
    size_t len = 0;

    while (len < cap) {
        ssize_t n = read(fd, data + len, cap - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int read_open(int fd, const char *path, size_t max_len,
                     uint8_t **data, size_t *len, struct squib_error *err)
{
    struct stat status;
    uint8_t *bytes;
    ssize_t n;

    if (fstat(fd, &status))
        return sq_err_os(err, SQUIB_E_OS, errno, "cannot read %s", path);
    if (!S_ISREG(status.st_mode))
        return sq_err_set(err, SQUIB_E_FORMAT, "%s is not a regular file",
                          path);
    if ((uintmax_t)status.st_size > max_len)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "%s is too large (%jd bytes, at most %zu)", path,
                          (intmax_t)status.st_size, max_len);
    bytes = malloc((size_t)status.st_size + 1);
    if (!bytes)
        return sq_err_set(err, SQUIB_E_NOMEM, "no memory to read %s", path);
    n = read_all(fd, bytes, (size_t)status.st_size);
    if (n < 0) {
        int error = errno;

        free(bytes);
        return sq_err_os(err, SQUIB_E_OS, error, "cannot read %s", path);
    }
    bytes[n] = 0;
    *data = bytes;
    *len = (size_t)n;
    return 0;
}

int sq_hostfile_read(const char *path, size_t max_len, uint8_t **data,
                     size_t *len, struct squib_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int result;

    if (fd < 0)
        return sq_err_os(err,
                         errno == ENOENT ? SQUIB_E_NOTFOUND : SQUIB_E_OS,
                         errno, "cannot open %s", path);
    result = read_open(fd, path, max_len, data, len, err);
    close(fd);
    return result;
}
