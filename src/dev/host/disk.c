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
#include "dev/host/disk_file.h"
#include "dev/host/disk_pool.h"
#include "dev/host/disk_ring.h"

#define SECTOR 512u

struct file_disk {
    struct sq_disk disk;
    int fd;
    struct sq_disk_ring *ring; /* ASYNC, where there is io_uring */
    struct sq_disk_pool *pool; /* ASYNC and THREADS */
};

static struct file_disk *file_of(const struct sq_disk *disk)
{
    return SQ_CONTAINER_OF(disk, struct file_disk, disk);
}

static void close_file(struct sq_disk *disk)
{
    struct file_disk *f = file_of(disk);

    close(f->fd); /* and with it the lock */
    free(f);
}

/* ---- The engine that works at once ---- */

static void sync_submit(struct sq_disk *disk, struct sq_disk_request *req)
{
    req->done(req, sq_disk_file_perform(file_of(disk)->fd, req));
}

static const struct sq_disk_ops sync_ops = {
    .submit = sync_submit,
    .free = close_file,
};

/* ---- The one that works later ---- */

static void to_pool(struct sq_disk *disk, struct sq_disk_request *req)
{
    sq_disk_pool_submit(file_of(disk)->pool, req);
}

static void async_submit(struct sq_disk *disk, struct sq_disk_request *req)
{
    struct file_disk *f = file_of(disk);
    bool plain = req->op == SQ_DISK_READ || req->op == SQ_DISK_WRITE ||
                 req->op == SQ_DISK_FLUSH;

    /* A transfer without bytes has no pieces, which the ring may refuse. */
    if (req->op != SQ_DISK_FLUSH && req->len == 0)
        req->done(req, 0);
    else if (!f->ring || !plain || !sq_disk_ring_submit(f->ring, req))
        to_pool(disk, req);
}

static void async_kick(struct sq_disk *disk)
{
    struct file_disk *f = file_of(disk);

    if (f->ring)
        sq_disk_ring_kick(f->ring);
}

static void async_drain(struct sq_disk *disk)
{
    struct file_disk *f = file_of(disk);

    while ((f->ring && sq_disk_ring_busy(f->ring)) ||
           sq_disk_pool_busy(f->pool)) {
        if (f->ring)
            sq_disk_ring_wait(f->ring);
        sq_disk_pool_wait(f->pool);
    }
}

static void async_free(struct sq_disk *disk)
{
    struct file_disk *f = file_of(disk);

    if (f->pool)
        async_drain(disk);
    sq_disk_ring_free(f->ring);
    sq_disk_pool_free(f->pool);
    close_file(disk);
}

static const struct sq_disk_ops async_ops = {
    .submit = async_submit,
    .kick = async_kick,
    .drain = async_drain,
    .free = async_free,
};

static int make_async(struct file_disk *f,
                      const struct sq_disk_config *config,
                      struct squib_error *err)
{
    const struct sq_disk_ring_config ring = {
        .fd = f->fd,
        .disk = &f->disk,
        .poller = config->poller,
        .again = to_pool,
    };

    f->disk.ops = &async_ops;
    /* That there is no ring is no error: the threads do it all then. */
    if (config->engine == SQ_DISK_ASYNC &&
        sq_disk_ring_new(&ring, &f->ring, NULL) != 0)
        f->ring = NULL;
    return sq_disk_pool_new(f->fd, &f->disk, config->poller, &f->pool, err);
}

/* ---- Opening ---- */

/* Checks what was opened. *len is set in whole sectors; as upstream there
 * may be none. */
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
    return 0;
}

static bool same_file(int a, int b)
{
    struct stat sa, sb;

    return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 &&
           sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* The lock belongs to an open file, not to the process: the same file in
 * the same place keeps it through a second descriptor of it. */
static int lock(int *fd, const struct sq_disk_config *config,
                struct squib_error *err)
{
    const struct file_disk *old =
        config->replaces ? file_of(config->replaces) : NULL;
    int twin;

    if (!old || old->disk.read_only != config->read_only ||
        !same_file(*fd, old->fd))
        return sq_disk_file_lock(*fd, config->path, !config->read_only, err);
    twin = fcntl(old->fd, F_DUPFD_CLOEXEC, 0);
    if (twin < 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "disk %s", config->path);
    close(*fd);
    *fd = twin;
    return 0;
}

static int open_file(const struct sq_disk_config *config, int *fd,
                     uint64_t *len, struct squib_error *err)
{
    int rc;

    /* O_NONBLOCK: the path may name a FIFO, which must not hold us up. */
    *fd = open(config->path, (config->read_only ? O_RDONLY : O_RDWR) |
                                 O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return sq_err_os(err,
                         errno == ENOENT ? SQUIB_E_NOTFOUND : SQUIB_E_OS,
                         errno, "disk %s", config->path);
    rc = measure(*fd, config->path, len, err);
    if (!rc)
        rc = lock(fd, config, err);
    if (rc)
        close(*fd);
    return rc;
}

int sq_disk_open_config(const struct sq_disk_config *config,
                        struct sq_disk **out, struct squib_error *err)
{
    struct file_disk *f = calloc(1, sizeof(*f));
    int rc;

    if (!f)
        return sq_err_set(err, SQUIB_E_NOMEM, "disk %s: out of memory",
                          config->path);
    rc = open_file(config, &f->fd, &f->disk.len, err);
    if (rc) {
        free(f);
        return rc;
    }
    f->disk.ops = &sync_ops;
    f->disk.read_only = config->read_only;
    if (config->engine != SQ_DISK_SYNC) {
        rc = make_async(f, config, err);
        if (rc) {
            async_free(&f->disk);
            return rc;
        }
    }
    *out = &f->disk;
    return 0;
}

int sq_disk_open(const char *path, bool read_only, struct sq_disk **out,
                 struct squib_error *err)
{
    struct sq_disk_config config = {
        .path = path,
        .read_only = read_only,
        .engine = SQ_DISK_SYNC,
    };

    return sq_disk_open_config(&config, out, err);
}

int sq_disk_fd(const struct sq_disk *disk)
{
    return file_of(disk)->fd;
}

const char *sq_disk_engine_name(const struct sq_disk *disk)
{
    const struct file_disk *f = file_of(disk);

    return f->ring ? "io_uring" : f->pool ? "threads" : "sync";
}
