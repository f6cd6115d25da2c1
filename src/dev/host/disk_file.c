/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dev/host/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "os/file.h"

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
        error = sq_file_punch(fd, req->off, req->len);
    if (error == ENOTSUP)
        error = sq_file_zero(fd, req->off, req->len);
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
        return sq_file_sync(fd);
    case SQ_DISK_DISCARD:
        /* A hint: a file system that cannot do it leaves the bytes. */
        error = sq_file_punch(fd, req->off, req->len);
        return error == ENOTSUP ? 0 : error;
    case SQ_DISK_ZERO:
        return zero(fd, req);
    }
    return ENOTSUP;
}

/* ---- The lock ---- */

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
    pid = sq_file_lock_holder(fd);
    if (pid == (long)getpid())
        return 0; /* a machine may have one file twice, as upstream's */
    if (pid > 0)
        return sq_err_set(err, SQUIB_E_STATE,
                          "disk %s is locked by another VM (process %ld)",
                          path, pid);
    return sq_err_set(err, SQUIB_E_STATE,
                      "disk %s is locked by another VM", path);
}
