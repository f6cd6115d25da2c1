/* SPDX-License-Identifier: Apache-2.0 */
/* Virtio persistent memory, and memory that a device lends to the others. */
#include "virtio_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dev/virtio/pmem.h"
#include "os/clock.h"

#define GPA (1ull << 32)
#define LEN (3u << 20) /* 2 MiB and a half: rounded up to 4 */
#define REQUEST GUEST_DATA
#define ANSWER (GUEST_DATA + 64)

struct fixture {
    struct guest g;
    char path[64];
    int fd;
    unsigned losses;
};

static void note_loss(void *ctx, const struct sq_virtio_device *dev)
{
    struct fixture *f = ctx;

    assert_ptr_equal(dev, f->g.dev);
    f->losses++;
}

static void plug(struct fixture *f, bool read_only)
{
    const struct sq_virtio_pmem_config config = {
        .path = f->path,
        .read_only = read_only,
        .gpa = GPA,
        .poller = f->g.poller,
        .lost = note_loss,
        .lost_ctx = f,
    };
    struct sq_virtio_device *dev;

    assert_int_equal(sq_virtio_pmem_new(&config, &dev, NULL), 0);
    guest_plug(&f->g, dev);
    guest_start(&f->g, SQ_VIRTIO_F_COMMON, 64);
}

static struct fixture *make(bool read_only)
{
    struct fixture *f = calloc(1, sizeof(*f));

    guest_init(&f->g);
    strcpy(f->path, "/tmp/squib-test-pmem-XXXXXX");
    f->fd = mkstemp(f->path);
    assert_true(f->fd >= 0);
    assert_int_equal(ftruncate(f->fd, LEN), 0);
    assert_int_equal(pwrite(f->fd, "persistent", 10, 4096), 10);
    plug(f, read_only);
    return f;
}

static int setup(void **state)
{
    *state = make(false);
    return 0;
}

static int setup_ro(void **state)
{
    *state = make(true);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    guest_fini(&f->g);
    unlink(f->path);
    close(f->fd);
    free(f);
    return 0;
}

static void stop(void *ctx, uint64_t now_ns)
{
    (void)now_ns;
    sq_poller_stop(ctx);
}

static void wait_used(struct guest *g, unsigned n)
{
    uint64_t end = sq_now_ns() + 60000000000ull;
    struct sq_timer t = {.fn = stop, .ctx = g->poller};

    while (guest_used_idx(g, 0) < n) {
        assert_true(sq_now_ns() < end);
        sq_timer_arm(g->poller, &t, sq_now_ns() + 1000000);
        assert_int_equal(sq_poller_run(g->poller, NULL), 0);
        sq_timer_disarm(g->poller, &t);
    }
}

/* Sends a request of `len` bytes; returns the answer. */
static uint32_t request(struct guest *g, uint32_t type, uint32_t len)
{
    const struct guest_buf buf[] = {{REQUEST, len, false},
                                    {ANSWER, 4, true}};
    uint32_t id, used;

    sq_st32(guest_ptr(g, REQUEST, 4), type);
    sq_st32(guest_ptr(g, ANSWER, 4), 0xeeeeeeee);
    guest_add(g, 0, buf, 2);
    guest_kick(g, 0);
    wait_used(g, (uint16_t)(g->q[0].seen_used + 1));
    assert_true(guest_used(g, 0, &id, &used));
    assert_int_equal(used, 4);
    return sq_ld32(guest_ptr(g, ANSWER, 4));
}

static void configuration(void **state)
{
    struct fixture *f = *state;
    struct sq_virtio_pmem_region r = sq_virtio_pmem_region(f->g.dev);

    assert_int_equal(guest_read(&f->g, R_ID), 27);
    assert_int_equal(guest_read(&f->g, R_CONFIG), (uint32_t)GPA);
    assert_int_equal(guest_read(&f->g, R_CONFIG + 4), GPA >> 32);
    assert_int_equal(guest_read(&f->g, R_CONFIG + 8), 4u << 20);
    assert_int_equal(guest_read(&f->g, R_CONFIG + 12), 0);
    assert_int_equal(r.range.gpa, GPA);
    assert_int_equal(r.range.len, 4u << 20);
    assert_int_equal(r.prot, SQUIB_PROT_RWX);
}

static void memory_is_the_file(void **state)
{
    struct fixture *f = *state;
    struct sq_virtio_pmem_region r = sq_virtio_pmem_region(f->g.dev);
    char got[10];

    assert_memory_equal((char *)r.hva + 4096, "persistent", 10);
    memcpy((char *)r.hva + LEN - 10, "0123456789", 10);
    memset((char *)r.hva + LEN, 1, (4u << 20) - LEN); /* the rest is there */
    assert_int_equal(request(&f->g, 0, 4), 0);
    assert_int_equal(pread(f->fd, got, 10, LEN - 10), 10);
    assert_memory_equal(got, "0123456789", 10);
    assert_int_equal(lseek(f->fd, 0, SEEK_END), LEN);
    assert_int_equal(
        atomic_load(&sq_virtio_pmem_counters(f->g.dev)->flushes), 1);
}

static void read_only_stays(void **state)
{
    struct fixture *f = *state;
    struct sq_virtio_pmem_region r = sq_virtio_pmem_region(f->g.dev);
    char got[10];

    assert_int_equal(r.prot, SQUIB_PROT_READ | SQUIB_PROT_EXEC);
    memcpy((char *)r.hva + 4096, "overwritten", 11); /* by a device, say */
    assert_int_equal(request(&f->g, 0, 4), 0);
    assert_int_equal(pread(f->fd, got, 10, 4096), 10);
    assert_memory_equal(got, "persistent", 10);
}

static void bad_requests(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf lone = {REQUEST, 4, false};

    assert_int_equal(request(&f->g, 1, 4), 1);
    assert_int_equal(request(&f->g, 0, 3), 1);
    assert_int_equal(request(&f->g, 0, 64), 0);
    assert_int_equal(
        atomic_load(&sq_virtio_pmem_counters(f->g.dev)->refused), 2);
    assert_false(guest_needs_reset(&f->g));
    guest_add(&f->g, 0, &lone, 1);
    guest_kick(&f->g, 0);
    guest_pump(&f->g);
    assert_true(guest_needs_reset(&f->g));
}

static void floods_and_resets(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    const struct guest_buf buf[] = {{REQUEST, 4, false}, {ANSWER, 4, true}};
    uint16_t head;

    sq_st32(guest_ptr(g, REQUEST, 4), 0);
    head = guest_add(g, 0, buf, 2);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 60; i++)
            guest_offer(g, 0, head);
        guest_kick(g, 0);
        guest_pump(g);
    }
    guest_start(g, SQ_VIRTIO_F_COMMON, 64);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 0), 0);
    assert_int_equal(request(g, 0, 4), 0);
}

static void bad_files(void **state)
{
    struct fixture *f = *state;
    struct sq_virtio_pmem_config config = {
        .path = f->path,
        .gpa = GPA,
        .poller = f->g.poller,
    };
    struct sq_virtio_device *dev;

    /* The device of the fixture has the file, too: one machine may. */
    assert_int_equal(sq_virtio_pmem_new(&config, &dev, NULL), 0);
    dev->ops->free(dev);
    config.path = "/nonexistent/pmem";
    assert_int_equal(sq_virtio_pmem_new(&config, &dev, NULL),
                     SQUIB_E_NOTFOUND);
    config.path = "/tmp";
    assert_true(sq_virtio_pmem_new(&config, &dev, NULL) < 0);
    config.gpa = 4096;
    assert_int_equal(sq_virtio_pmem_new(&config, &dev, NULL), SQUIB_E_INVAL);
}

/* Lent memory can be transferred to but is no RAM. */
static void lending(void **state)
{
    struct fixture *f = *state;
    struct squib_memory *mem = f->g.mem;
    struct sq_virtio_pmem_region r = sq_virtio_pmem_region(f->g.dev);
    char got[10];

    assert_null(sq_memory_ptr(mem, GPA, 1));
    assert_int_equal(sq_memory_lend(mem, r.range, r.hva, NULL), 0);
    assert_ptr_equal(sq_memory_ptr(mem, GPA + 4096, 1),
                     (char *)r.hva + 4096);
    assert_int_equal(squib_memory_read(mem, GPA + 4096, got, 10, NULL), 0);
    assert_memory_equal(got, "persistent", 10);
    assert_int_equal(squib_memory_size(mem), GUEST_RAM);
    assert_int_equal(sq_memory_discard(mem, GPA, r.range.len, NULL), 0);
    assert_memory_equal((char *)r.hva + 4096, "persistent", 10);
    assert_int_equal(sq_memory_lend(mem, r.range, r.hva, NULL),
                     SQUIB_E_RANGE);
    sq_memory_take_back(mem, 0); /* that is not lent */
    assert_non_null(sq_memory_ptr(mem, 0, 1));
    sq_memory_take_back(mem, GPA);
    assert_null(sq_memory_ptr(mem, GPA, 1));
    assert_int_equal(sq_memory_region_count(mem), 2);
}

/* Accesses of this thread stand for those of a vCPU. The device is made
 * here: cmocka, too, sets handlers of signals, before each test. */
static void cut_short(void **state)
{
    struct fixture *f = make(false);
    struct guest *g = &f->g;
    volatile char *at = sq_virtio_pmem_region(g->dev).hva;

    at[LEN - 1] = 7;
    assert_int_equal(request(g, 0, 4), 0);
    assert_int_equal(ftruncate(f->fd, 8192), 0);
    assert_int_equal(at[LEN - 1], 0);
    at[LEN - 2] = 8; /* it is memory */
    assert_int_equal(at[LEN - 2], 8);
    at[8192] = 9;
    assert_int_equal(at[4096], 'p'); /* and this is the file yet */
    guest_pump(g);
    assert_int_equal(f->losses, 1);
    assert_true(guest_needs_reset(g));
    assert_int_equal(atomic_load(&sq_virtio_pmem_counters(g->dev)->lost), 1);

    guest_start(g, SQ_VIRTIO_F_COMMON, 64);
    guest_pump(g);
    assert_false(guest_needs_reset(g));
    assert_int_equal(request(g, 0, 4), 1); /* nothing is kept */
    assert_int_equal(ftruncate(f->fd, 0), 0);
    assert_int_equal(at[4096], 0);
    assert_int_equal(at[8192], 9);
    assert_int_equal(request(g, 0, 4), 1);
    assert_int_equal(f->losses, 1);
    *state = f;
    teardown(state);
}

/* A flush finds out before anybody touches what is gone. */
static void cut_before_flush(void **state)
{
    struct fixture *f = *state;
    volatile char *at = sq_virtio_pmem_region(f->g.dev).hva;

    assert_int_equal(ftruncate(f->fd, 4096), 0);
    assert_int_equal(request(&f->g, 0, 4), 1);
    guest_pump(&f->g);
    assert_true(guest_needs_reset(&f->g));
    assert_int_equal(at[4096], 0);
}

/* The rings of a device in memory that is unplugged: not a byte of it may be
 * touched from then on, and before that all that was begun has ended. */
static void rings_in_lent_memory(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    struct sq_virtio_pmem_region r = sq_virtio_pmem_region(g->dev);
    const struct squib_range beside = {GPA - (1u << 20), 1u << 20};
    const struct guest_buf buf[] = {{REQUEST, 4, false},
                                    {GPA + 64, 4, true}};

    assert_int_equal(sq_memory_lend(g->mem, r.range, r.hva, NULL), 0);
    assert_int_equal(guest_negotiate(g, SQ_VIRTIO_F_VERSION_1), 11);
    g->q[0] = (struct guest_queue){
        .size = 64,
        .desc = GPA + 0x10000,
        .avail = GPA + 0x14000,
        .used = GPA + 0x18000,
    };
    guest_queue_start(g, 0);
    guest_write(g, R_STATUS, 15);
    assert_int_equal(guest_read(g, R_QUEUE_READY), 1);
    assert_int_equal(request(g, 0, 4), 0);
    for (int i = 0; i < 30; i++)
        guest_add(g, 0, buf, 2);
    guest_kick(g, 0);
    guest_pump(g);
    sq_virtio_pause(g->dev);
    assert_int_equal(guest_used_idx(g, 0), 31);

    sq_virtio_lose_memory(g->dev, beside);
    assert_false(guest_needs_reset(g));
    sq_virtio_lose_memory(g->dev, r.range);
    assert_true(guest_needs_reset(g));
    assert_int_equal(guest_read(g, R_QUEUE_READY), 0);
    sq_memory_take_back(g->mem, GPA);
    assert_int_equal(mprotect(r.hva, r.range.len, PROT_NONE), 0);
    sq_virtio_resume(g->dev);
    guest_kick(g, 0);
    guest_pump(g);

    assert_int_equal(mprotect(r.hva, r.range.len, PROT_READ | PROT_WRITE),
                     0);
    guest_start(g, SQ_VIRTIO_F_COMMON, 64);
    assert_int_equal(request(g, 0, 4), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(configuration),
        T(memory_is_the_file),
        cmocka_unit_test_setup_teardown(read_only_stays, setup_ro, teardown),
        T(bad_requests),
        T(floods_and_resets),
        T(bad_files),
        T(lending),
        cmocka_unit_test(cut_short),
        T(cut_before_flush),
        T(rings_in_lent_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
