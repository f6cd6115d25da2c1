/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio block device over real files. */
#include "virtio_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev/virtio/blk.h"

#define SECTORS 4096u /* 2 MiB */
#define HEADER GUEST_DATA
#define STATUS (GUEST_DATA + 0x100)
#define DATA (GUEST_DATA + 0x1000)

enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, ZEROES = 13 };
enum { OK = 0, IOERR = 1, UNSUPP = 2 };

#define F_RO (1ull << 5)
#define F_FLUSH (1ull << 9)
#define F_DISCARD (1ull << 13)
#define F_ZEROES (1ull << 14)

struct fixture {
    struct guest g;
    char path[64];
    int fd; /* our own view of the image */
    uint8_t *image;
};

static uint8_t pattern(uint64_t i)
{
    return (uint8_t)(i ^ i >> 9 ^ i >> 16);
}

static void image_make(struct fixture *f)
{
    strcpy(f->path, "/tmp/squib-test-blk-XXXXXX");
    f->fd = mkstemp(f->path);
    assert_true(f->fd >= 0);
    f->image = malloc(SECTORS * 512);
    for (uint64_t i = 0; i < SECTORS * 512; i++)
        f->image[i] = pattern(i);
    assert_int_equal(pwrite(f->fd, f->image, SECTORS * 512, 0),
                     SECTORS * 512);
    /* A partial sector that must not be reachable. */
    assert_int_equal(pwrite(f->fd, "tail", 4, SECTORS * 512), 4);
}

static void plug(struct fixture *f, struct sq_disk *disk,
                 enum sq_virtio_blk_cache cache)
{
    struct sq_virtio_blk_config config = {
        .disk = disk,
        .cache = cache,
        .id = "rootfs",
    };
    struct sq_virtio_device *dev;

    assert_int_equal(sq_virtio_blk_new(&config, &dev, NULL), 0);
    guest_plug(&f->g, dev);
    guest_start(&f->g, dev->features_offered, 256);
}

static struct fixture *make(bool read_only, enum sq_virtio_blk_cache cache)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sq_disk *disk;

    guest_init(&f->g);
    image_make(f);
    assert_int_equal(sq_disk_open(f->path, read_only, &disk, NULL), 0);
    plug(f, disk, cache);
    return f;
}

static int setup(void **state)
{
    *state = make(false, SQ_VIRTIO_BLK_WRITEBACK);
    return 0;
}

static int setup_ro(void **state)
{
    *state = make(true, SQ_VIRTIO_BLK_UNSAFE);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    guest_fini(&f->g);
    close(f->fd);
    unlink(f->path);
    free(f->image);
    free(f);
    return 0;
}

static void put_header(struct guest *g, uint32_t type, uint64_t sector)
{
    uint8_t *h = guest_ptr(g, HEADER, 16);

    sq_st32(h, type);
    sq_st32(h + 4, 0);
    sq_st64(h + 8, sector);
    *(uint8_t *)guest_ptr(g, STATUS, 1) = 0xee;
}

/* Runs a request of n data buffers; returns status, sets *used. */
static int request(struct guest *g, uint32_t type, uint64_t sector,
                   const struct guest_buf *data, unsigned n, uint32_t *used)
{
    struct guest_buf buf[256];
    uint32_t id, len = 0;

    put_header(g, type, sector);
    buf[0] = (struct guest_buf){HEADER, 16, false};
    if (n)
        memcpy(&buf[1], data, n * sizeof(*data));
    buf[n + 1] = (struct guest_buf){STATUS, 1, true};
    guest_add(g, 0, buf, n + 2);
    guest_kick(g, 0);
    guest_pump(g);
    assert_true(guest_used(g, 0, &id, &len));
    if (used)
        *used = len;
    return *(uint8_t *)guest_ptr(g, STATUS, 1);
}

static int one(struct guest *g, uint32_t type, uint64_t sector, uint32_t len)
{
    const struct guest_buf buf = {DATA, len, type == IN};

    return request(g, type, sector, &buf, 1, NULL);
}

static const struct sq_virtio_blk_counters *counters(struct fixture *f)
{
    return sq_virtio_blk_counters(f->g.dev);
}

static uint32_t config32(struct guest *g, unsigned off)
{
    return guest_read(g, R_CONFIG + off);
}

static void configuration(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(guest_read(&f->g, R_ID), 2);
    assert_int_equal(config32(&f->g, 0), SECTORS);
    assert_int_equal(config32(&f->g, 4), 0);
    assert_int_equal(config32(&f->g, 12), 254);
    assert_int_equal(config32(&f->g, 20), 512);
    assert_int_equal(config32(&f->g, 40), 1);
    assert_int_equal(guest_features(&f->g) &
                         (F_RO | F_FLUSH | F_DISCARD | F_ZEROES),
                     F_FLUSH | F_DISCARD | F_ZEROES);
}

static void configuration_read_only(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(guest_features(&f->g) &
                         (F_RO | F_FLUSH | F_DISCARD | F_ZEROES),
                     F_RO);
}

static void reads_exact_bytes(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    /* Odd pieces, one across the border of two memory regions. */
    const struct guest_buf buf[] = {
        {DATA, 1, true},
        {DATA + 0x2001, 1000, true},
        {GUEST_BORDER - 7, 511, true},
        {DATA + 0x4000, 24, true},
    };
    uint8_t got[512];
    uint32_t used;

    assert_int_equal(request(g, IN, 17, buf, 4, &used), OK);
    assert_int_equal(used, 1536 + 1);
    assert_memory_equal(guest_ptr(g, DATA, 1), f->image + 17 * 512, 1);
    assert_memory_equal(guest_ptr(g, DATA + 0x2001, 1000),
                        f->image + 17 * 512 + 1, 1000);
    squib_memory_read(g->mem, GUEST_BORDER - 7, got, 511, NULL);
    assert_memory_equal(got, f->image + 17 * 512 + 1001, 511);
    assert_memory_equal(guest_ptr(g, DATA + 0x4000, 24),
                        f->image + 17 * 512 + 1512, 24);
    assert_int_equal(atomic_load(&counters(f)->reads), 1);
    assert_int_equal(atomic_load(&counters(f)->read_bytes), 1536);
}

static void reads_all_of_it(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(one(&f->g, IN, 0, SECTORS * 512), OK);
    assert_memory_equal(guest_ptr(&f->g, DATA, SECTORS * 512), f->image,
                        SECTORS * 512);
}

static void writes_exact_bytes(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    const struct guest_buf buf[] = {{DATA, 700, false},
                                    {DATA + 0x1000, 324, false}};
    uint8_t *got = malloc(SECTORS * 512);

    memset(guest_ptr(g, DATA, 700), 0x11, 700);
    memset(guest_ptr(g, DATA + 0x1000, 324), 0x22, 324);
    assert_int_equal(request(g, OUT, SECTORS - 2, buf, 2, NULL), OK);
    memset(f->image + (SECTORS - 2) * 512, 0x11, 700);
    memset(f->image + (SECTORS - 2) * 512 + 700, 0x22, 324);
    assert_int_equal(pread(f->fd, got, SECTORS * 512, 0), SECTORS * 512);
    assert_memory_equal(got, f->image, SECTORS * 512);
    assert_int_equal(pread(f->fd, got, 8, SECTORS * 512), 4);
    assert_memory_equal(got, "tail", 4);
    free(got);
    assert_int_equal(request(g, FLUSH, 0, NULL, 0, NULL), OK);
    assert_int_equal(atomic_load(&counters(f)->writes), 1);
    assert_int_equal(atomic_load(&counters(f)->written_bytes), 1024);
    assert_int_equal(atomic_load(&counters(f)->flushes), 1);
}

static void framing_is_free(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    /* Header in three pieces with the data's start; data and status in one
     * buffer (2.7.4: a device must not care). */
    const struct guest_buf out[] = {
        {HEADER, 3, false},
        {HEADER + 3, 5, false},
        {HEADER + 8, 8 + 512, false},
        {STATUS, 1, true},
    };
    const struct guest_buf in[] = {{HEADER, 16, false}, {DATA, 513, true}};
    uint8_t got[512];
    uint32_t id, len = 0;

    put_header(g, OUT, 3);
    memset(guest_ptr(g, HEADER + 16, 512), 0x5a, 512);
    *(uint8_t *)guest_ptr(g, HEADER + 16 + 511, 1) = 0x5b;
    put_header(g, OUT, 3);
    guest_add(g, 0, out, 4);
    guest_kick(g, 0);
    guest_pump(g);
    assert_true(guest_used(g, 0, &id, &len));
    assert_int_equal(len, 1);
    assert_int_equal(pread(f->fd, got, 512, 3 * 512), 512);
    assert_int_equal(got[0], 0x5a);
    assert_int_equal(got[511], 0x5b);

    put_header(g, IN, 3);
    *(uint8_t *)guest_ptr(g, DATA + 512, 1) = 0xee;
    guest_add(g, 0, in, 2);
    guest_kick(g, 0);
    guest_pump(g);
    assert_true(guest_used(g, 0, &id, &len));
    assert_int_equal(len, 513);
    assert_memory_equal(guest_ptr(g, DATA, 512), got, 512);
    assert_int_equal(*(uint8_t *)guest_ptr(g, DATA + 512, 1), OK);
}

static void bounds_hold(void **state)
{
    static const struct {
        uint64_t sector;
        uint32_t len;
        int status;
    } t[] = {
        {SECTORS - 1, 512, OK},      {SECTORS - 1, 1024, IOERR},
        {SECTORS, 512, IOERR},       {SECTORS, 0, OK},
        {SECTORS + 1, 0, IOERR},     {UINT64_MAX, 512, IOERR},
        {UINT64_MAX / 512, 512, IOERR},
        {UINT64_MAX / 512 + 1, 512, IOERR},
        {0, 511, IOERR},             {0, 513, IOERR},
        {0, SECTORS * 512 + 512, IOERR},
    };
    struct fixture *f = *state;
    struct stat st;

    for (size_t i = 0; i < SQ_ARRAY_LEN(t); i++) {
        assert_int_equal(one(&f->g, IN, t[i].sector, t[i].len), t[i].status);
        assert_int_equal(one(&f->g, OUT, t[i].sector, t[i].len),
                         t[i].status);
    }
    assert_int_equal(fstat(f->fd, &st), 0);
    assert_int_equal(st.st_size, SECTORS * 512 + 4);
    assert_int_equal(atomic_load(&counters(f)->refused), 18);
    assert_false(guest_needs_reset(&f->g));
}

static void read_only_is(void **state)
{
    struct fixture *f = *state;
    uint8_t got[512];

    assert_int_equal(one(&f->g, IN, 5, 512), OK);
    assert_int_equal(one(&f->g, OUT, 5, 512), IOERR);
    assert_int_equal(one(&f->g, DISCARD, 0, 16), UNSUPP);
    assert_int_equal(request(&f->g, FLUSH, 0, NULL, 0, NULL), UNSUPP);
    assert_int_equal(pread(f->fd, got, 512, 5 * 512), 512);
    assert_memory_equal(got, f->image + 5 * 512, 512);
}

static void id(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf buf = {DATA, 20, true}, small = {DATA, 3, true};
    uint32_t used;

    memset(guest_ptr(&f->g, DATA, 32), 0xff, 32);
    assert_int_equal(request(&f->g, GET_ID, 0, &small, 1, &used), OK);
    assert_int_equal(used, 4);
    assert_memory_equal(guest_ptr(&f->g, DATA, 4), "roo\xff", 4);
    assert_int_equal(request(&f->g, GET_ID, 0, &buf, 1, &used), OK);
    assert_int_equal(used, 21);
    assert_memory_equal(guest_ptr(&f->g, DATA, 21),
                        "rootfs\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff", 21);
}

static int range(struct fixture *f, uint32_t type, uint64_t sector,
                 uint32_t sectors, uint32_t flags)
{
    uint8_t *s = guest_ptr(&f->g, DATA, 16);

    sq_st64(s, sector);
    sq_st32(s + 8, sectors);
    sq_st32(s + 12, flags);
    return one(&f->g, type, 0, 16);
}

static void ranges(void **state)
{
    struct fixture *f = *state;
    uint8_t *got = malloc(SECTORS * 512), zero[512] = {0};
    struct stat before, after;

    /* Zeroes, without and with freeing the space. */
    assert_int_equal(range(f, ZEROES, 100, 9, 0), OK);
    assert_int_equal(range(f, ZEROES, 201, 333, 1), OK);
    memset(f->image + 100 * 512, 0, 9 * 512);
    memset(f->image + 201 * 512, 0, 333 * 512);
    assert_int_equal(pread(f->fd, got, SECTORS * 512, 0), SECTORS * 512);
    assert_memory_equal(got, f->image, SECTORS * 512);
    /* Discard gives space back where the file system can. */
    fstat(f->fd, &before);
    assert_int_equal(range(f, DISCARD, 1024, 1024, 0), OK);
    fstat(f->fd, &after);
    assert_true(after.st_blocks <= before.st_blocks);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(pread(f->fd, got, 512, 1023 * 512), 512);
    assert_memory_equal(got, f->image + 1023 * 512, 512);
    assert_int_equal(pread(f->fd, got, 512, 2048 * 512), 512);
    assert_memory_equal(got, f->image + 2048 * 512, 512);
    if (after.st_blocks < before.st_blocks) {
        assert_int_equal(pread(f->fd, got, 512, 1500 * 512), 512);
        assert_memory_equal(got, zero, 512);
    }
    assert_int_equal(atomic_load(&counters(f)->discards), 3);
    /* What is not allowed. */
    assert_int_equal(range(f, DISCARD, 0, 8, 1), UNSUPP);
    assert_int_equal(range(f, ZEROES, 0, 8, 2), UNSUPP);
    assert_int_equal(range(f, ZEROES, SECTORS - 1, 2, 0), IOERR);
    assert_int_equal(range(f, DISCARD, UINT64_MAX, 1, 0), IOERR);
    assert_int_equal(range(f, DISCARD, 0, UINT32_MAX, 0), IOERR);
    assert_int_equal(one(&f->g, DISCARD, 0, 32), IOERR);
    assert_int_equal(one(&f->g, ZEROES, 0, 15), IOERR);
    fstat(f->fd, &after);
    assert_int_equal(after.st_size, before.st_size);
    free(got);
}

static void malformed(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    const struct guest_buf short_header[] = {{HEADER, 15, false},
                                             {STATUS, 1, true}};
    const struct guest_buf no_status = {HEADER, 16, false};

    assert_int_equal(one(g, 12345, 0, 512), UNSUPP);
    put_header(g, IN, 0);
    guest_add(g, 0, short_header, 2);
    guest_kick(g, 0);
    guest_pump(g);
    assert_int_equal(*(uint8_t *)guest_ptr(g, STATUS, 1), IOERR);
    assert_false(guest_needs_reset(g));
    guest_add(g, 0, &no_status, 1);
    guest_kick(g, 0);
    guest_pump(g);
    assert_true(guest_needs_reset(g));
}

static void truncated_image_is_an_io_error(void **state)
{
    struct fixture *f = *state;
    uint32_t used;
    const struct guest_buf buf = {DATA, 1024, true};

    assert_int_equal(ftruncate(f->fd, 100 * 512), 0);
    assert_int_equal(request(&f->g, IN, 99, &buf, 1, &used), IOERR);
    assert_int_equal(used, 0);
    assert_int_equal(one(&f->g, IN, 99, 512), OK);
    assert_int_equal(atomic_load(&counters(f)->failed), 1);
}

static void many_at_once(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    uint32_t id, len = 0;

    /* 85 requests in one go, each with its own header and status. */
    for (unsigned i = 0; i < 85; i++) {
        struct guest_buf buf[] = {
            {HEADER + 0x10000 + 16 * i, 16, false},
            {DATA + 0x10000 + 512 * i, 512, true},
            {STATUS + 0x20000 + i, 1, true},
        };
        uint8_t *h = guest_ptr(g, buf[0].gpa, 16);

        sq_st64(h, IN);
        sq_st64(h + 8, 84 - i);
        guest_add(g, 0, buf, 3);
    }
    guest_kick(g, 0);
    guest_pump(g);
    for (unsigned i = 0; i < 85; i++) {
        assert_true(guest_used(g, 0, &id, &len));
        assert_int_equal(len, 513);
        assert_memory_equal(guest_ptr(g, DATA + 0x10000 + 512 * i, 512),
                            f->image + 512 * (84 - i), 512);
    }
    assert_false(guest_used(g, 0, &id, &len));
    assert_int_equal(g->edges, 1); /* one interrupt for the batch */
}

static void opening(void **state)
{
    struct sq_disk *disk = NULL;
    struct squib_error err;
    char path[] = "/tmp/squib-test-blk-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_int_equal(sq_disk_open("/nonexistent/x", true, &disk, &err),
                     SQUIB_E_NOTFOUND);
    assert_non_null(strstr(err.text, "/nonexistent/x"));
    assert_int_equal(sq_disk_open("/", true, &disk, &err), SQUIB_E_INVAL);
    assert_int_equal(sq_disk_open("/dev/null", true, &disk, &err),
                     SQUIB_E_INVAL);
    /* A disk without a sector is one. */
    assert_int_equal(sq_disk_open(path, true, &disk, &err), 0);
    assert_int_equal(sq_disk_len(disk), 0);
    sq_disk_free(disk);
    assert_int_equal(ftruncate(fd, 1025), 0);
    assert_int_equal(sq_disk_open(path, true, &disk, &err), 0);
    assert_int_equal(sq_disk_len(disk), 1024);
    sq_disk_free(disk);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* must not block */
    assert_true(sq_disk_open(path, true, &disk, &err) < 0);
    unlink(path);
    close(fd);
}

/* ---- Limits ---- */

struct flipper {
    uint32_t *type;
    atomic_bool stop;
};

/* Another vCPU, which changes a request while it is looked at. */
static void *flip(void *arg)
{
    struct flipper *flipper = arg;

    while (!atomic_load(&flipper->stop)) {
        __atomic_store_n(flipper->type, GET_ID, __ATOMIC_RELAXED);
        __atomic_store_n(flipper->type, IN, __ATOMIC_RELAXED);
    }
    return NULL;
}

/* A request pays for what it does, whatever it looked like before: there are
 * tokens for five reads, and no more while this runs. */
static void limits_cannot_be_dodged(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    const struct sq_bucket_config five = {.size = 5 * 4096,
                                          .refill_ms = 360000000};
    const struct guest_buf buf[] = {
        {HEADER, 16, false}, {DATA, 4096, true}, {STATUS, 1, true}};
    const struct sq_virtio_blk_counters *c = sq_virtio_blk_counters(g->dev);
    struct flipper flipper = {.type = guest_ptr(g, HEADER, 4)};
    struct sq_throttle *t = sq_virtio_blk_throttle(g->dev);
    pthread_t thread;
    uint16_t head;

    sq_throttle_update(t, &five, NULL);
    put_header(g, IN, 0);
    head = guest_add(g, 0, buf, 3);
    assert_int_equal(pthread_create(&thread, NULL, flip, &flipper), 0);
    for (int i = 0; i < 20000; i++) {
        if (guest_used_idx(g, 0) == g->q[0].next_avail)
            guest_offer(g, 0, head);
        guest_kick(g, 0);
        sq_throttle_update(t, NULL, NULL); /* has it looked at again */
        guest_pump(g);
    }
    atomic_store(&flipper.stop, true);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&c->reads) <= 5);
}

/* ---- An engine that completes later ---- */

struct slow_disk {
    struct sq_disk disk;
    struct sq_disk_request *held[256];
    unsigned count;
    bool freed;
};

static void slow_submit(struct sq_disk *disk, struct sq_disk_request *req)
{
    struct slow_disk *s = SQ_CONTAINER_OF(disk, struct slow_disk, disk);

    s->held[s->count++] = req;
}

static void slow_free(struct sq_disk *disk)
{
    struct slow_disk *s = SQ_CONTAINER_OF(disk, struct slow_disk, disk);

    while (s->count) {
        struct sq_disk_request *req = s->held[--s->count];

        req->done(req, EIO);
    }
    s->freed = true;
}

static const struct sq_disk_ops slow_ops = {.submit = slow_submit,
                                            .free = slow_free};

static struct sq_disk_request *slow_take(struct slow_disk *s)
{
    assert_true(s->count > 0);
    return s->held[--s->count];
}

static void late_completion(void **state)
{
    struct slow_disk slow = {.disk = {.ops = &slow_ops,
                                      .len = 1 << 20}};
    struct fixture *f = calloc(1, sizeof(*f));
    struct guest *g = &f->g;
    const struct guest_buf buf[] = {
        {HEADER, 16, false}, {DATA, 512, true}, {STATUS, 1, true}};
    struct sq_disk_request *r;
    uint32_t id, len = 0;
    uint16_t first, second;

    (void)state;
    guest_init(g);
    plug(f, &slow.disk, SQ_VIRTIO_BLK_WRITEBACK);
    put_header(g, IN, 0);
    first = guest_add(g, 0, buf, 3);
    second = guest_add(g, 0, buf, 3);
    guest_kick(g, 0);
    guest_pump(g);
    assert_int_equal(slow.count, 2);
    assert_int_equal(guest_used_idx(g, 0), 0);
    r = slow_take(&slow); /* out of order */
    r->done(r, 0);
    assert_true(guest_used(g, 0, &id, &len));
    assert_int_equal(id, second);
    assert_int_equal(len, 513);
    assert_int_equal(g->edges, 1);
    r = slow_take(&slow);
    r->done(r, EIO);
    assert_true(guest_used(g, 0, &id, &len));
    assert_int_equal(id, first);
    assert_int_equal(*(uint8_t *)guest_ptr(g, STATUS, 1), IOERR);

    /* Requests of before a reset end in silence. */
    guest_add(g, 0, buf, 3);
    guest_add(g, 0, buf, 3);
    guest_kick(g, 0);
    guest_pump(g);
    guest_start(g, SQ_VIRTIO_F_COMMON, 256); /* without FLUSH */
    r = slow_take(&slow);
    r->done(r, 0);
    assert_int_equal(guest_used_idx(g, 0), 0);
    guest_write(g, R_STATUS, 0);
    r = slow_take(&slow);
    r->done(r, 0); /* the loop has not seen the reset yet */
    assert_int_equal(guest_used_idx(g, 0), 0);

    /* A driver without flushes gets write-through. */
    guest_start(g, SQ_VIRTIO_F_COMMON, 256);
    put_header(g, OUT, 0);
    guest_add(g, 0,
              (const struct guest_buf[]){{HEADER, 16, false},
                                         {DATA, 512, false},
                                         {STATUS, 1, true}},
              3);
    guest_kick(g, 0);
    guest_pump(g);
    r = slow_take(&slow);
    assert_int_equal(r->op, SQ_DISK_WRITE);
    r->done(r, 0);
    assert_int_equal(guest_used_idx(g, 0), 0);
    r = slow_take(&slow);
    assert_int_equal(r->op, SQ_DISK_FLUSH);
    r->done(r, 0);
    assert_int_equal(guest_used_idx(g, 0), 1);

    /* A chain offered twice over: more requests than slots must wait. */
    put_header(g, IN, 0);
    guest_add(g, 0, buf, 3);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 200; i++)
            guest_offer(g, 0, 3);
        guest_kick(g, 0);
        guest_pump(g);
        guest_pump(g);
    }
    assert_int_equal(slow.count, 256);
    r = slow_take(&slow);
    r->done(r, 0);
    guest_pump(g);
    assert_int_equal(slow.count, 256); /* the next one took its place */
    guest_fini(g);
    assert_true(slow.freed);
    free(f);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define RO(name) cmocka_unit_test_setup_teardown(name, setup_ro, teardown)
    const struct CMUnitTest tests[] = {
        T(configuration),
        RO(configuration_read_only),
        T(reads_exact_bytes),
        T(reads_all_of_it),
        T(writes_exact_bytes),
        T(framing_is_free),
        T(bounds_hold),
        RO(read_only_is),
        T(id),
        T(ranges),
        T(malformed),
        T(truncated_image_is_an_io_error),
        T(many_at_once),
        T(limits_cannot_be_dodged),
        cmocka_unit_test(opening),
        cmocka_unit_test(late_completion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
