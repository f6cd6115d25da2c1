/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dev/host/disk_ring.h"

#include "base/err.h"

#ifdef SQ_HAVE_URING

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "base/util.h"
#include "dev/host/disk_file.h"
#include "os/clock.h"

#define ENTRIES 256u
#define RETRY_NS 1000000u

struct sq_disk_ring {
    struct io_uring uring;
    struct sq_disk_ring_config config;
    struct sq_timer retry; /* the kernel had no memory for a submission */
    unsigned busy;
};

bool sq_disk_ring_submit(struct sq_disk_ring *ring,
                         struct sq_disk_request *req)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    int fd = ring->config.fd;

    if (!sqe) {
        io_uring_submit(&ring->uring);
        sqe = io_uring_get_sqe(&ring->uring);
    }
    if (!sqe)
        return false;
    switch (req->op) {
    case SQ_DISK_READ:
        io_uring_prep_readv(sqe, fd, req->iov, req->iov_count, req->off);
        break;
    case SQ_DISK_WRITE:
        io_uring_prep_writev(sqe, fd, req->iov, req->iov_count, req->off);
        break;
    default:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    }
    io_uring_sqe_set_data(sqe, req);
    ring->busy++;
    return true;
}

void sq_disk_ring_kick(struct sq_disk_ring *ring)
{
    int rc;

    while (io_uring_sq_ready(&ring->uring)) {
        rc = io_uring_submit(&ring->uring);
        if (rc >= 0 || rc == -EINTR)
            continue;
        sq_timer_arm(ring->config.poller, &ring->retry,
                     sq_now_ns() + RETRY_NS);
        return;
    }
}

static void retry(void *ctx, uint64_t now_ns)
{
    (void)now_ns;
    sq_disk_ring_kick(ctx);
}

static void finish(struct sq_disk_ring *ring, struct sq_disk_request *req,
                   int res)
{
    ring->busy--;
    if (res == -EINTR || res == -EAGAIN) {
        ring->config.again(ring->config.disk, req);
        return;
    }
    if (res < 0 || req->op == SQ_DISK_FLUSH) {
        req->done(req, res < 0 ? -res : 0);
        return;
    }
    sq_disk_file_advance(req, (size_t)res);
    if (req->iov_count)
        ring->config.again(ring->config.disk, req);
    else
        req->done(req, 0);
}

/* Each entry is taken out before its request's done(), which may submit. */
static void complete(struct sq_disk_ring *ring)
{
    struct io_uring_cqe *cqe;

    while (io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
        struct sq_disk_request *req = io_uring_cqe_get_data(cqe);
        int res = cqe->res;

        io_uring_cqe_seen(&ring->uring, cqe);
        finish(ring, req, res);
    }
}

/* Event loop: there are completions. */
static void readable(void *ctx, int fd, unsigned events)
{
    struct sq_disk_ring *ring = ctx;
    struct sq_disk *disk = ring->config.disk;

    (void)fd;
    (void)events;
    if (disk->batch)
        disk->batch(disk->batch_ctx, true);
    complete(ring);
    if (disk->batch)
        disk->batch(disk->batch_ctx, false);
    sq_disk_ring_kick(ring);
}

unsigned sq_disk_ring_busy(const struct sq_disk_ring *ring)
{
    return ring->busy;
}

void sq_disk_ring_wait(struct sq_disk_ring *ring)
{
    if (!ring->busy)
        return;
    /* What it returns does not matter: without a completion, the caller
     * comes again. */
    io_uring_submit_and_wait(&ring->uring, 1);
    complete(ring);
}

int sq_disk_ring_new(const struct sq_disk_ring_config *config,
                     struct sq_disk_ring **out, struct squib_error *err)
{
    struct sq_disk_ring *ring = calloc(1, sizeof(*ring));
    int rc;

    if (!ring)
        return sq_err_set(err, SQUIB_E_NOMEM, "disk: out of memory");
    ring->config = *config;
    ring->retry = (struct sq_timer){.fn = retry, .ctx = ring};
    rc = io_uring_queue_init(ENTRIES, &ring->uring, 0);
    if (rc < 0) {
        free(ring);
        return sq_err_os(err, SQUIB_E_NOSUPPORT, -rc, "io_uring");
    }
    /* Without these two a request's pieces would have to stay in place until
     * it is done, and completions could be lost. */
    if ((ring->uring.features &
         (IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_NODROP)) !=
        (IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_NODROP))
        rc = sq_err_set(err, SQUIB_E_NOSUPPORT, "io_uring is too old");
    else
        rc = sq_poller_add(config->poller, ring->uring.ring_fd, SQ_POLL_IN,
                           readable, ring, err);
    if (rc) {
        io_uring_queue_exit(&ring->uring);
        free(ring);
        return rc;
    }
    *out = ring;
    return 0;
}

void sq_disk_ring_free(struct sq_disk_ring *ring)
{
    if (!ring)
        return;
    sq_timer_disarm(ring->config.poller, &ring->retry);
    sq_poller_del(ring->config.poller, ring->uring.ring_fd);
    io_uring_queue_exit(&ring->uring);
    free(ring);
}

#else /* no liburing */

int sq_disk_ring_new(const struct sq_disk_ring_config *config,
                     struct sq_disk_ring **out, struct squib_error *err)
{
    (void)config;
    (void)out;
    return sq_err_set(err, SQUIB_E_NOSUPPORT, "built without io_uring");
}

bool sq_disk_ring_submit(struct sq_disk_ring *ring,
                         struct sq_disk_request *req)
{
    (void)ring;
    (void)req;
    return false;
}

void sq_disk_ring_kick(struct sq_disk_ring *ring)
{
    (void)ring;
}

unsigned sq_disk_ring_busy(const struct sq_disk_ring *ring)
{
    (void)ring;
    return 0;
}

void sq_disk_ring_wait(struct sq_disk_ring *ring)
{
    (void)ring;
}

void sq_disk_ring_free(struct sq_disk_ring *ring)
{
    (void)ring;
}

#endif
