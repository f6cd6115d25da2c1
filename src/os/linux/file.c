/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* One fallocate() mode. */
static int allocate(int fd, int mode, uint64_t off, uint64_t len)
{
    int rc;

    if (len == 0)
        return 0;
    do {
        rc = fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)off,
                       (off_t)len);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return 0;
    return errno == EOPNOTSUPP || errno == ENOSYS ? ENOTSUP : errno;
}

int sq_file_punch(int fd, uint64_t off, uint64_t len)
{
    return allocate(fd, FALLOC_FL_PUNCH_HOLE, off, len);
}

int sq_file_zero(int fd, uint64_t off, uint64_t len)
{
#ifdef FALLOC_FL_ZERO_RANGE /* not every C library names it */
    return allocate(fd, FALLOC_FL_ZERO_RANGE, off, len);
#else
    (void)fd;
    (void)off;
    (void)len;
    return ENOTSUP;
#endif
}

int sq_file_sync(int fd)
{
    return fdatasync(fd) == 0 ? 0 : errno;
}

/* From the kernel's table. */
long sq_file_lock_holder(int fd)
{
    FILE *table = fopen("/proc/locks", "re");
    struct stat st;
    char line[256];
    long found = 0;

    if (!table)
        return 0;
    if (fstat(fd, &st) != 0)
        st.st_ino = 0;
    while (st.st_ino && fgets(line, sizeof(line), table)) {
        unsigned maj, min;
        unsigned long long ino;
        long pid;

        /* 1: FLOCK  ADVISORY  WRITE 4711 08:01:131072 0 EOF; those who wait
         * have "->" before the kind and do not match. */
        if (sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%llu", &pid, &maj,
                   &min, &ino) != 4 || ino != st.st_ino || pid <= 0)
            continue;
        if (maj == major(st.st_dev) && min == minor(st.st_dev)) {
            found = pid;
            break;
        }
        /* Stacked file systems show another device than stat() does. */
        found = pid;
    }
    fclose(table);
    return found;
}
