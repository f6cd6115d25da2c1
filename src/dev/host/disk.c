/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dev/host/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

#define SECTOR 512u
#define ZEROES_LEN 65536u

struct file_disk {
    struct sq_disk disk;
    int fd;
};

/* Transfers all pieces; a file that ends early is an I/O error. */
static int transfer(int fd, bool write, struct iovec *iov, unsigned count,
                    uint64_t off)
{
    while (count) {
        ssize_t n;

        if (iov->iov_len == 0) {
            iov++;
            count--;
            continue;
        }
        n = write ? pwritev(fd, iov, (int)count, (off_t)off)
                  : preadv(fd, iov, (int)count, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            return EIO;
        off += (uint64_t)n;
        while (n > 0) {
            size_t step = iov->iov_len < (size_t)n ? iov->iov_len : (size_t)n;

            iov->iov_base = (uint8_t *)iov->iov_base + step;
            iov->iov_len -= step;
            n -= (ssize_t)step;
            if (iov->iov_len == 0) {
                iov++;
                count--;
            }
        }
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
        struct iovec iov = {zeroes, len < ZEROES_LEN ? len : ZEROES_LEN};
        uint64_t n = iov.iov_len;

        error = transfer(fd, true, &iov, 1, off);
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

static int perform(int fd, struct sq_disk_request *req)
{
    int error;

    switch (req->op) {
    case SQ_DISK_READ:
        return transfer(fd, false, req->iov, req->iov_count, req->off);
    case SQ_DISK_WRITE:
        return transfer(fd, true, req->iov, req->iov_count, req->off);
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

static void submit(struct sq_disk *disk, struct sq_disk_request *req)
{
    struct file_disk *f = SQ_CONTAINER_OF(disk, struct file_disk, disk);

    req->done(req, perform(f->fd, req));
}

static void file_free(struct sq_disk *disk)
{
    struct file_disk *f = SQ_CONTAINER_OF(disk, struct file_disk, disk);

    close(f->fd);
    free(f);
}

static const struct sq_disk_ops file_ops = {
    .submit = submit,
    .free = file_free,
};

/* Checks what was opened. *len is set in whole sectors. */
static int measure(int fd, const char *path, uint64_t *len,
                   struct squib_error *err)
{
    struct stat st;
    off_t end;

    if (fstat(fd, &st) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "disk %s", path);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "disk %s is neither a file nor a block device",
                          path);
    end = lseek(fd, 0, SEEK_END); /* st_size is 0 for block devices */
    if (end < 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "disk %s", path);
    *len = (uint64_t)end / SECTOR * SECTOR;
    if (*len == 0)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "disk %s is shorter than one sector (%u bytes)",
                          path, SECTOR);
    return 0;
}

int sq_disk_open(const char *path, bool read_only, struct sq_disk **out,
                 struct squib_error *err)
{
    /* O_NONBLOCK: the path may name a FIFO, which must not hold us up. */
    int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC |
                            O_NONBLOCK);
    struct file_disk *f;
    uint64_t len = 0;
    int rc;

    if (fd < 0)
        return sq_err_os(err,
                         errno == ENOENT ? SQUIB_E_NOTFOUND : SQUIB_E_OS,
                         errno, "disk %s", path);
    rc = measure(fd, path, &len, err);
    f = rc ? NULL : calloc(1, sizeof(*f));
    if (!rc && !f)
        rc = sq_err_set(err, SQUIB_E_NOMEM, "disk %s: out of memory", path);
    if (rc) {
        close(fd);
        return rc;
    }
    *f = (struct file_disk){
        .disk = {.ops = &file_ops, .len = len, .read_only = read_only},
        .fd = fd,
    };
    *out = &f->disk;
    return 0;
}
