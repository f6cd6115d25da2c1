/* SPDX-License-Identifier: Apache-2.0 */
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int sq_file_punch(int fd, uint64_t off, uint64_t len)
{
    struct fpunchhole hole = {.fp_offset = (off_t)off,
                              .fp_length = (off_t)len};

    if (len == 0 || fcntl(fd, F_PUNCHHOLE, &hole) == 0)
        return 0;
    /* EINVAL: not whole blocks of the file system. */
    return errno == EINVAL ? ENOTSUP : errno;
}

int sq_file_zero(int fd, uint64_t off, uint64_t len)
{
    (void)fd;
    (void)off;
    (void)len;
    return ENOTSUP;
}

int sq_file_sync(int fd)
{
    /* fsync() leaves the data in the drive's own memory. */
    if (fcntl(fd, F_FULLFSYNC) == 0)
        return 0;
    return fsync(fd) == 0 ? 0 : errno;
}

long sq_file_lock_holder(int fd)
{
    (void)fd;
    return 0;
}
