/* SPDX-License-Identifier: Apache-2.0 */
/* Disk engines, the lock on images, and what the block device makes of
 * requests that end later: batches, limits, resets and changed media. */
#include "virtio_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dev/virtio/blk.h"
#include "os/clock.h"

#define LEN (4u << 20)
#define BLOCK 4096u
#define REQUESTS 256u
#define WAIT_MS 60000 /* for what comes by itself */

struct file {
    char path[64];
    int fd;
};

static void file_make(struct file *f, uint64_t len)
{
    strcpy(f->path, "/tmp/squib-test-disk-XXXXXX");
    f->fd = mkstemp(f->path);
    assert_true(f->fd >= 0);
    assert_int_equal(ftruncate(f->fd, (off_t)len), 0);
}

static void file_end(struct file *f)
{
    unlink(f->path);
    close(f->fd);
}

static struct sq_disk *disk_open(const struct file *f, bool read_only,
                                 enum sq_disk_engine engine,
                                 struct sq_poller *poller)
{
    const struct sq_disk_config config = {
        .path = f->path,
        .read_only = read_only,
        .engine = engine,
        .poller = poller,
    };
    struct sq_disk *disk = NULL;

    assert_int_equal(sq_disk_open_config(&config, &disk, NULL), 0);
    return disk;
}

/* ---- Engines by themselves ---- */

struct io {
    struct sq_disk_request req;
    struct iovec iov[2];
    uint8_t data[BLOCK];
    int calls, error;
};

struct bench {
    struct sq_poller *poller;
    struct file file;
    struct sq_disk *disk;
    struct sq_work stop;
    struct io *io;
    unsigned batches, in_batch, batched;
};

static struct bench *current; /* requests carry no context */

static void io_done(struct sq_disk_request *req, int error)
{
    struct io *io = SQ_CONTAINER_OF(req, struct io, req);

    io->calls++;
    io->error = error;
    current->batched += current->in_batch;
}

static void on_batch(void *ctx, bool begin)
{
    struct bench *b = ctx;

    assert_int_equal(b->in_batch, !begin);
    b->in_batch = begin;
    b->batches += begin;
}

static void bench_make(struct bench *b, enum sq_disk_engine engine)
{
    *b = (struct bench){0};
    current = b;
    assert_int_equal(sq_poller_new(&b->poller, NULL), 0);
    file_make(&b->file, LEN);
    b->disk = disk_open(&b->file, false, engine, b->poller);
    b->disk->batch = on_batch;
    b->disk->batch_ctx = b;
    b->io = calloc(REQUESTS, sizeof(*b->io));
}

static void bench_end(struct bench *b)
{
    sq_disk_free(b->disk);
    sq_poller_free(b->poller);
    file_end(&b->file);
    free(b->io);
}

static void io_start(struct bench *b, unsigned i, enum sq_disk_op op,
                     uint64_t off, uint32_t len)
{
    struct io *io = &b->io[i];

    io->calls = 0;
    io->iov[0] = (struct iovec){io->data, len / 3};
    io->iov[1] = (struct iovec){io->data + len / 3, len - len / 3};
    io->req = (struct sq_disk_request){
        .op = op,
        .off = off,
        .len = len,
        .iov = io->iov,
        .iov_count = 2,
        .done = io_done,
    };
    sq_disk_submit(b->disk, &io->req);
}

static void tick(void *ctx, uint64_t now_ns)
{
    (void)now_ns;
    sq_poller_stop(ctx);
}

/* Runs the loop until the first n are done. */
static void io_finish(struct bench *b, unsigned n)
{
    struct sq_timer t = {.fn = tick, .ctx = b->poller};
    uint64_t limit = sq_now_ns() + WAIT_MS * 1000000ull;

    sq_disk_kick(b->disk);
    for (unsigned i = 0; i < n;) {
        assert_true(sq_now_ns() < limit);
        if (b->io[i].calls) {
            i++;
            continue;
        }
        sq_timer_arm(b->poller, &t, sq_now_ns() + 1000000);
        assert_int_equal(sq_poller_run(b->poller, NULL), 0);
        sq_timer_disarm(b->poller, &t);
    }
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(b->io[i].calls, 1);
}

static void round_trip(enum sq_disk_engine engine)
{
    struct bench b;

    bench_make(&b, engine);
    for (unsigned i = 0; i < REQUESTS; i++) {
        memset(b.io[i].data, (int)(i * 7 + 1), BLOCK);
        io_start(&b, i, SQ_DISK_WRITE, (uint64_t)i * BLOCK, BLOCK);
    }
    io_finish(&b, REQUESTS);
    io_start(&b, 0, SQ_DISK_FLUSH, 0, 0);
    io_finish(&b, 1);
    assert_int_equal(b.io[0].error, 0);
    for (unsigned i = 0; i < REQUESTS; i++) {
        assert_int_equal(b.io[i].error, 0);
        io_start(&b, i, SQ_DISK_READ, (uint64_t)(255 - i) * BLOCK, BLOCK);
    }
    io_finish(&b, REQUESTS);
    for (unsigned i = 0; i < REQUESTS; i++) {
        uint8_t want[BLOCK];

        memset(want, (int)((255 - i) * 7 + 1), BLOCK);
        assert_int_equal(b.io[i].error, 0);
        assert_memory_equal(b.io[i].data, want, BLOCK);
    }
    if (engine != SQ_DISK_SYNC) {
        assert_true(b.batches > 0);
        assert_int_equal(b.batched, 2 * REQUESTS + 1);
    }
    bench_end(&b);
}

static void sync_round_trip(void **state)
{
    (void)state;
    round_trip(SQ_DISK_SYNC);
}

static void async_round_trip(void **state)
{
    (void)state;
    round_trip(SQ_DISK_ASYNC);
}

static void threads_round_trip(void **state)
{
    (void)state;
    round_trip(SQ_DISK_THREADS);
}

static void ranges_and_ends(enum sq_disk_engine engine)
{
    struct bench b;
    uint8_t got[3 * BLOCK], want[BLOCK];

    bench_make(&b, engine);
    memset(want, 0xaa, BLOCK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pwrite(b.file.fd, want, BLOCK, i * BLOCK), BLOCK);
    io_start(&b, 0, SQ_DISK_ZERO, BLOCK, BLOCK);
    io_start(&b, 1, SQ_DISK_DISCARD, 8 * BLOCK, BLOCK);
    io_start(&b, 2, SQ_DISK_READ, 0, 0);
    io_finish(&b, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(b.io[i].error, 0);
    assert_int_equal(pread(b.file.fd, got, sizeof(got), 0), sizeof(got));
    assert_memory_equal(got, want, BLOCK);
    assert_memory_equal(got + 2 * BLOCK, want, BLOCK);
    memset(want, 0, BLOCK);
    assert_memory_equal(got + BLOCK, want, BLOCK);
    /* The file loses its end behind our back: half a request is there. */
    assert_int_equal(ftruncate(b.file.fd, 2 * BLOCK + 100), 0);
    io_start(&b, 0, SQ_DISK_READ, 2 * BLOCK, BLOCK);
    io_start(&b, 1, SQ_DISK_READ, 4 * BLOCK, BLOCK);
    io_start(&b, 2, SQ_DISK_READ, BLOCK, BLOCK);
    io_finish(&b, 3);
    assert_int_equal(b.io[0].error, EIO);
    assert_int_equal(b.io[1].error, EIO);
    assert_int_equal(b.io[2].error, 0);
    bench_end(&b);
}

static void async_ranges_and_ends(void **state)
{
    (void)state;
    ranges_and_ends(SQ_DISK_ASYNC);
}

static void threads_ranges_and_ends(void **state)
{
    (void)state;
    ranges_and_ends(SQ_DISK_THREADS);
}

/* drain() and free() complete what is under way, without the loop. */
static void drains(enum sq_disk_engine engine)
{
    struct bench b;

    bench_make(&b, engine);
    for (unsigned i = 0; i < 100; i++)
        io_start(&b, i, i % 9 ? SQ_DISK_WRITE : SQ_DISK_ZERO,
                 (uint64_t)i * BLOCK, BLOCK);
    sq_disk_drain(b.disk); /* also what was not kicked */
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(b.io[i].calls, 1);
        assert_int_equal(b.io[i].error, 0);
    }
    assert_int_equal(b.batches, 0);
    for (unsigned i = 0; i < 100; i++)
        io_start(&b, i, SQ_DISK_READ, (uint64_t)i * BLOCK, BLOCK);
    sq_disk_free(b.disk);
    b.disk = NULL;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(b.io[i].calls, 1);
    bench_end(&b);
}

static void async_drains(void **state)
{
    (void)state;
    drains(SQ_DISK_ASYNC);
}

static void threads_drain(void **state)
{
    (void)state;
    drains(SQ_DISK_THREADS);
}

static void on_batch_drain(void *ctx, bool begin)
{
    struct bench *b = ctx;

    on_batch(ctx, begin);
    if (begin)
        sq_disk_drain(b->disk);
}

/* A device that was just reset drains when a batch begins. */
static void a_batch_may_drain(void **state)
{
    struct bench b;

    (void)state;
    for (int engine = SQ_DISK_ASYNC; engine <= SQ_DISK_THREADS; engine++) {
        bench_make(&b, (enum sq_disk_engine)engine);
        b.disk->batch = on_batch_drain;
        for (unsigned i = 0; i < 50; i++)
            io_start(&b, i, SQ_DISK_READ, (uint64_t)i * BLOCK, BLOCK);
        io_finish(&b, 50);
        assert_true(b.batches > 0);
        bench_end(&b);
    }
}

static void engines_have_names(void **state)
{
    struct bench b;
    const char *name;

    (void)state;
    bench_make(&b, SQ_DISK_THREADS);
    assert_string_equal(sq_disk_engine_name(b.disk), "threads");
    bench_end(&b);
    bench_make(&b, SQ_DISK_SYNC);
    assert_string_equal(sq_disk_engine_name(b.disk), "sync");
    bench_end(&b);
    bench_make(&b, SQ_DISK_ASYNC);
    name = sq_disk_engine_name(b.disk);
    print_message("asynchronous engine: %s\n", name);
    assert_true(!strcmp(name, "io_uring") || !strcmp(name, "threads"));
    bench_end(&b);
}

/* ---- The lock ---- */

static int try_open(const char *path, bool read_only,
                    const struct sq_disk *replaces, struct sq_disk **out,
                    struct squib_error *err)
{
    const struct sq_disk_config config = {
        .path = path,
        .read_only = read_only,
        .replaces = replaces,
    };

    return sq_disk_open_config(&config, out, err);
}

static void images_are_locked(void **state)
{
    struct file f;
    struct sq_disk *a = NULL, *b = NULL, *c = NULL;

    (void)state;
    file_make(&f, LEN);
    assert_int_equal(try_open(f.path, true, NULL, &a, NULL), 0);
    assert_int_equal(try_open(f.path, true, NULL, &b, NULL), 0);
    /* One machine may have it twice; that is its user's affair. */
    assert_int_equal(try_open(f.path, false, NULL, &c, NULL), 0);
    sq_disk_free(a);
    sq_disk_free(b);
    sq_disk_free(c);
    assert_int_equal(try_open(f.path, false, NULL, &a, NULL), 0);
    /* In the place of the first, the same file may be opened again. */
    assert_int_equal(try_open(f.path, false, a, &b, NULL), 0);
    sq_disk_free(a);
    sq_disk_free(b);
    assert_int_equal(try_open(f.path, false, NULL, &c, NULL), 0);
    sq_disk_free(c);
    file_end(&f);
}

static void the_holder_is_named(void **state)
{
    struct file f;
    struct sq_disk *disk = NULL;
    struct squib_error err = {0};
    int up[2], down[2];
    char byte, want[64];
    pid_t pid;

    (void)state;
    file_make(&f, LEN);
    assert_int_equal(pipe(up) | pipe(down), 0);
    pid = fork();
    if (pid == 0) { /* another monitor */
        close(down[1]);
        if (sq_disk_open(f.path, false, &disk, NULL) == 0 &&
            write(up[1], "x", 1) == 1)
            _exit(read(down[0], &byte, 1) != 0);
        _exit(1);
    }
    assert_int_equal(read(up[0], &byte, 1), 1);
    assert_int_equal(sq_disk_open(f.path, false, &disk, &err),
                     SQUIB_E_STATE);
    snprintf(want, sizeof(want), "locked by another VM (process %ld)",
             (long)pid);
    assert_non_null(strstr(err.text, "locked by another VM"));
    if (access("/proc/locks", R_OK) == 0)
        assert_non_null(strstr(err.text, want));
    /* It ends, however it ends, and the lock is gone. */
    close(down[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(sq_disk_open(f.path, false, &disk, &err), 0);
    sq_disk_free(disk);
    close(down[0]);
    close(up[0]);
    close(up[1]);
    file_end(&f);
}

/* ---- The block device ---- */

#define HEADER GUEST_DATA
#define STATUS (GUEST_DATA + 0x8000)
#define DATA (GUEST_DATA + 0x10000)

struct machine {
    struct guest g;
    struct file file;
    struct sq_disk *disk;
};

static struct machine *machine_make(enum sq_disk_engine engine)
{
    struct machine *m = calloc(1, sizeof(*m));
    struct sq_virtio_blk_config config = {
        .cache = SQ_VIRTIO_BLK_WRITEBACK,
    };
    struct sq_virtio_device *dev;

    guest_init(&m->g);
    file_make(&m->file, LEN);
    config.disk = disk_open(&m->file, false, engine, m->g.poller);
    assert_int_equal(sq_virtio_blk_new(&config, &dev, NULL), 0);
    guest_plug(&m->g, dev);
    guest_start(&m->g, dev->features_offered, 256);
    return m;
}

static void machine_end(struct machine *m)
{
    guest_fini(&m->g);
    file_end(&m->file);
    free(m);
}

static void offer(struct machine *m, unsigned i, bool write, uint64_t sector)
{
    const struct guest_buf buf[] = {
        {HEADER + 16 * i, 16, false},
        {DATA + BLOCK * i, BLOCK, !write},
        {STATUS + i, 1, true},
    };
    uint8_t *h = guest_ptr(&m->g, HEADER + 16 * i, 16);

    sq_st32(h, write);
    sq_st32(h + 4, 0);
    sq_st64(h + 8, sector);
    *(uint8_t *)guest_ptr(&m->g, STATUS + i, 1) = 0xee;
    guest_add(&m->g, 0, buf, 3);
}

/* Runs the loop until n requests are answered or the time is over. */
static unsigned wait_used(struct machine *m, unsigned n, uint64_t ms)
{
    uint64_t end = sq_now_ns() + ms * 1000000;
    struct sq_timer t = {.fn = tick, .ctx = m->g.poller};

    while (guest_used_idx(&m->g, 0) < n && sq_now_ns() < end) {
        sq_timer_arm(m->g.poller, &t, sq_now_ns() + 1000000);
        assert_int_equal(sq_poller_run(m->g.poller, NULL), 0);
        sq_timer_disarm(m->g.poller, &t);
    }
    return guest_used_idx(&m->g, 0);
}

static void device_on(enum sq_disk_engine engine)
{
    struct machine *m = machine_make(engine);
    uint8_t got[BLOCK];

    for (unsigned i = 0; i < 80; i++) {
        memset(guest_ptr(&m->g, DATA + BLOCK * i, BLOCK), (int)i + 1, BLOCK);
        offer(m, i, true, i * 8);
    }
    guest_kick(&m->g, 0);
    assert_int_equal(wait_used(m, 80, WAIT_MS), 80);
    for (unsigned i = 0; i < 80; i++) {
        assert_int_equal(*(uint8_t *)guest_ptr(&m->g, STATUS + i, 1), 0);
        assert_int_equal(pread(m->file.fd, got, BLOCK, i * BLOCK), BLOCK);
        assert_memory_equal(got, guest_ptr(&m->g, DATA + BLOCK * i, BLOCK),
                            BLOCK);
    }
    assert_true(m->g.edges > 0 && m->g.edges <= 80);
    assert_int_equal(
        atomic_load(&sq_virtio_blk_counters(m->g.dev)->written_bytes),
        80 * BLOCK);
    machine_end(m);
}

static void device_async(void **state)
{
    (void)state;
    device_on(SQ_DISK_ASYNC);
}

static void device_threads(void **state)
{
    (void)state;
    device_on(SQ_DISK_THREADS);
}

/* After a reset nothing of the life before touches memory any more. */
static void reset_drains(void **state)
{
    struct machine *m;
    uint8_t *data, zero[BLOCK] = {0};

    (void)state;
    for (int engine = SQ_DISK_ASYNC; engine <= SQ_DISK_THREADS; engine++) {
        m = machine_make((enum sq_disk_engine)engine);
        memset(zero, 0x77, BLOCK);
        assert_int_equal(pwrite(m->file.fd, zero, BLOCK, 0), BLOCK);
        for (unsigned i = 0; i < 80; i++)
            offer(m, i, false, 0);
        guest_kick(&m->g, 0);
        guest_pump(&m->g); /* submits them */
        guest_start(&m->g, m->g.dev->features_offered, 256);
        memset(zero, 0, BLOCK);
        data = guest_ptr(&m->g, DATA, 80 * BLOCK);
        memset(data, 0, 80 * BLOCK);
        usleep(20000);
        assert_int_equal(wait_used(m, 1, 20), 0);
        for (unsigned i = 0; i < 80; i++)
            assert_memory_equal(data + i * BLOCK, zero, BLOCK);
        offer(m, 0, false, 0); /* and it works */
        guest_kick(&m->g, 0);
        assert_int_equal(wait_used(m, 1, WAIT_MS), 1);
        assert_int_equal(data[0], 0x77);
        machine_end(m);
    }
}

/* A machine that is paused leaves its image alone: what was begun has ended,
 * what comes after waits, and is done when the machine goes on. */
static void pause_drains(void **state)
{
    struct machine *m;
    uint8_t before[BLOCK], got[BLOCK];

    (void)state;
    for (int engine = SQ_DISK_SYNC; engine <= SQ_DISK_THREADS; engine++) {
        m = machine_make((enum sq_disk_engine)engine);
        for (unsigned i = 0; i < 80; i++) {
            memset(guest_ptr(&m->g, DATA + BLOCK * i, BLOCK), 0x40, BLOCK);
            offer(m, i, true, i * 8);
        }
        guest_kick(&m->g, 0);
        sq_poller_post(m->g.poller, &m->g.stop); /* submits some of them */
        assert_int_equal(sq_poller_run(m->g.poller, NULL), 0);
        sq_virtio_pause(m->g.dev);
        /* Each request is done and answered, or neither. */
        for (unsigned i = 0; i < 80; i++) {
            bool done = *(uint8_t *)guest_ptr(&m->g, STATUS + i, 1) == 0;

            assert_int_equal(pread(m->file.fd, got, BLOCK, i * BLOCK), BLOCK);
            assert_int_equal(got[0], done ? 0x40 : 0);
        }
        guest_pump(&m->g);
        memset(guest_ptr(&m->g, DATA + BLOCK * 80, BLOCK), 0x50, BLOCK);
        memcpy(before, got, BLOCK);
        offer(m, 80, true, 79 * 8);
        guest_kick(&m->g, 0);
        assert_int_equal(wait_used(m, 81, 20), 80);
        assert_int_equal(pread(m->file.fd, got, BLOCK, 79 * BLOCK), BLOCK);
        assert_memory_equal(got, before, BLOCK);
        sq_virtio_resume(m->g.dev);
        assert_int_equal(wait_used(m, 81, WAIT_MS), 81);
        assert_int_equal(pread(m->file.fd, got, BLOCK, 79 * BLOCK), BLOCK);
        assert_int_equal(got[0], 0x50);
        machine_end(m);
    }
}

static void media_can_change(void **state)
{
    struct machine *m = machine_make(SQ_DISK_ASYNC);
    struct file other;
    struct sq_disk *disk;
    struct squib_error err;
    uint32_t generation;
    uint8_t *data = guest_ptr(&m->g, DATA, BLOCK);

    (void)state;
    file_make(&other, 2 * LEN + 512);
    assert_int_equal(pwrite(other.fd, "other", 5, 0), 5);
    offer(m, 0, true, 0);
    data[0] = 'x';
    guest_kick(&m->g, 0);
    guest_pump(&m->g);
    /* A medium of the other kind is refused. */
    assert_int_equal(sq_disk_open(other.path, true, &disk, NULL), 0);
    assert_int_equal(sq_virtio_blk_swap(m->g.dev, disk, &err),
                     SQUIB_E_INVAL);
    sq_disk_free(disk);
    generation = guest_read(&m->g, R_GENERATION);
    disk = disk_open(&other, false, SQ_DISK_ASYNC, m->g.poller);
    assert_int_equal(sq_virtio_blk_swap(m->g.dev, disk, NULL), 0);
    assert_int_equal(guest_used_idx(&m->g, 0), 1); /* on the old one */
    assert_int_equal(pread(m->file.fd, data, 1, 0), 1);
    assert_int_equal(data[0], 'x');
    assert_true(guest_read(&m->g, R_ISR) & SQ_VIRTIO_CAUSE_CONFIG);
    assert_int_not_equal(guest_read(&m->g, R_GENERATION), generation);
    assert_int_equal(guest_read(&m->g, R_CONFIG), (2 * LEN + 512) / 512);
    offer(m, 1, false, 0);
    guest_kick(&m->g, 0);
    assert_int_equal(wait_used(m, 2, WAIT_MS), 2);
    assert_memory_equal(guest_ptr(&m->g, DATA + BLOCK, 5), "other", 5);
    /* The old one is closed and its lock gone. */
    assert_int_equal(sq_disk_open(m->file.path, false, &disk, NULL), 0);
    sq_disk_free(disk);
    machine_end(m);
    file_end(&other);
}

static void the_limit_holds(void **state)
{
    struct machine *m = machine_make(SQ_DISK_ASYNC);
    struct sq_throttle *throttle = sq_virtio_blk_throttle(m->g.dev);
    /* 16 KiB each 50 ms; 64 requests of 4 KiB take 15 refills. */
    const struct sq_bucket_config bytes = {4 * BLOCK, 0, 50};
    const struct sq_bucket_config none = {0, 0, 0};
    uint64_t start_ns;

    (void)state;
    sq_throttle_update(throttle, &bytes, NULL);
    for (unsigned i = 0; i < 64; i++)
        offer(m, i, false, i * 8);
    start_ns = sq_now_ns();
    guest_kick(&m->g, 0);
    assert_int_equal(wait_used(m, 64, WAIT_MS), 64);
    /* Not sooner; how much later is up to the host. test_ratelimit has the
     * rate in a time of its own. */
    assert_true(sq_now_ns() - start_ns >= 700000000);
    assert_true(atomic_load(&throttle->refusals) > 0);
    assert_true(atomic_load(&throttle->wakeups) > 0);
    /* A limit that is lifted lets go what waits. */
    for (unsigned i = 0; i < 64; i++)
        offer(m, i, false, i * 8);
    guest_kick(&m->g, 0);
    guest_pump(&m->g);
    assert_true(throttle->waiting);
    sq_throttle_update(throttle, &none, NULL);
    assert_int_equal(wait_used(m, 128, WAIT_MS), 128);
    /* A reset ends a wait. */
    sq_throttle_update(throttle, NULL,
                       &(struct sq_bucket_config){1, 0, 3600000});
    offer(m, 0, false, 0);
    offer(m, 1, false, 0);
    guest_kick(&m->g, 0);
    assert_int_equal(wait_used(m, 129, WAIT_MS), 129);
    assert_true(throttle->waiting);
    guest_start(&m->g, m->g.dev->features_offered, 256);
    assert_false(throttle->waiting);
    assert_false(throttle->timer.armed);
    machine_end(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_have_names),
        cmocka_unit_test(sync_round_trip),
        cmocka_unit_test(async_round_trip),
        cmocka_unit_test(threads_round_trip),
        cmocka_unit_test(async_ranges_and_ends),
        cmocka_unit_test(threads_ranges_and_ends),
        cmocka_unit_test(async_drains),
        cmocka_unit_test(threads_drain),
        cmocka_unit_test(a_batch_may_drain),
        cmocka_unit_test(images_are_locked),
        cmocka_unit_test(the_holder_is_named),
        cmocka_unit_test(device_async),
        cmocka_unit_test(device_threads),
        cmocka_unit_test(reset_drains),
        cmocka_unit_test(pause_drains),
        cmocka_unit_test(media_can_change),
        cmocka_unit_test(the_limit_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
