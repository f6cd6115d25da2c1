/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dev/host/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"

#define ZEROES_LEN 65536u

/* ---- Requests ---- */

void sq_disk_file_advance(struct sq_disk_request *req, size_t len)
{
    req->off += len;
    while (req->iov_count) {
        struct iovec *v = req->iov;

        if (len < v->iov_len) {
            v->iov_base = (uint8_t *)v->iov_base + len;
            v->iov_len -= len;
            return;
        }
        len -= v->iov_len;
        req->iov++;
        req->iov_count--;
    }
}

static int transfer(int fd, struct sq_disk_request *req)
{
    sq_disk_file_advance(req, 0); /* past empty pieces */
    while (req->iov_count) {
        ssize_t n = req->op == SQ_DISK_WRITE
                        ? pwritev(fd, req->iov, (int)req->iov_count,
                                  (off_t)req->off)
                        : preadv(fd, req->iov, (int)req->iov_count,
                                 (off_t)req->off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return EIO;
        sq_disk_file_advance(req, (size_t)n);
    }
    return 0;
}

/* One fallocate() mode; ENOTSUP where host or file system has none. */
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

static int write_zeroes(int fd, uint64_t off, uint64_t len)
{
    uint8_t *zeroes = calloc(1, ZEROES_LEN);
    int error = zeroes ? 0 : ENOMEM;

    while (!error && len) {
        uint64_t n = len < ZEROES_LEN ? len : ZEROES_LEN;
        struct iovec iov = {zeroes, n};
        struct sq_disk_request req = {
            .op = SQ_DISK_WRITE, .off = off, .iov = &iov, .iov_count = 1,
        };

        error = transfer(fd, &req);
        off += n;
        len -= n;
    }
    free(zeroes);
    return error;
}

static int zero(int fd, const struct sq_disk_request *req)
{
    int error = ENOTSUP;

    if (req->unmap)
        error = allocate(fd, FALLOC_FL_PUNCH_HOLE, req->off, req->len);
#ifdef FALLOC_FL_ZERO_RANGE /* not every C library names it */
    if (error == ENOTSUP)
        error = allocate(fd, FALLOC_FL_ZERO_RANGE, req->off, req->len);
#endif
    if (error == ENOTSUP)
        error = write_zeroes(fd, req->off, req->len);
    return error;
}

int sq_disk_file_perform(int fd, struct sq_disk_request *req)
{
    int error;

    switch (req->op) {
    case SQ_DISK_READ:
    case SQ_DISK_WRITE:
        return transfer(fd, req);
    case SQ_DISK_FLUSH:
        return fdatasync(fd) == 0 ? 0 : errno;
    case SQ_DISK_DISCARD:
        /* A hint: a file system that cannot do it leaves the bytes. */
        error = allocate(fd, FALLOC_FL_PUNCH_HOLE, req->off, req->len);
        return error == ENOTSUP ? 0 : error;
    case SQ_DISK_ZERO:
        return zero(fd, req);
    }
    return ENOTSUP;
}

/* ---- The lock ---- */

/* Who has an flock on the file, as the kernel's table tells; 0: unknown. */
static long holder(int fd)
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

int sq_disk_file_lock(int fd, const char *path, bool exclusive,
                      struct squib_error *err)
{
    int rc;
    long pid;

    do {
        rc = flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0 || errno != EWOULDBLOCK)
        return 0; /* no locks here: nothing to go by */
    pid = holder(fd);
    if (pid == (long)getpid())
        return sq_err_set(err, SQUIB_E_STATE,
                          "disk %s is locked by another drive of this "
                          "process (%ld)", path, pid);
    if (pid > 0)
        return sq_err_set(err, SQUIB_E_STATE,
                          "disk %s is locked by another VM (process %ld)",
                          path, pid);
    return sq_err_set(err, SQUIB_E_STATE,
                      "disk %s is locked by another VM", path);
}
