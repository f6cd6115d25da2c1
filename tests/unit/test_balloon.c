/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio memory balloon, and memory that goes back to the host. */
#include "virtio_guest.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev/virtio/balloon.h"
#include "os/clock.h"

#define F_STATS (1ull << 1)
#define F_OOM (1ull << 2)
#define F_HINT (1ull << 3)
#define F_REPORT (1ull << 5)

#define PFNS GUEST_DATA
#define PAGES 0x200000u /* memory that is given away */
#define MIB (1u << 20)

/* What the host has in use for the guest's memory. */
static uint64_t resident(struct guest *g)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < sq_memory_region_count(g->mem); i++) {
        struct stat st;

        assert_int_equal(fstat(sq_memory_region_at(g->mem, i)->fd, &st), 0);
        sum += (uint64_t)st.st_blocks * 512;
    }
    return sum;
}

static void dirty(struct guest *g, uint64_t gpa, uint64_t len)
{
    for (uint64_t off = 0; off < len; off += 4096)
        memset(guest_ptr(g, gpa + off, 4096), 0xa5, 4096);
}

static bool is_zero(struct guest *g, uint64_t gpa, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++)
        if (*(uint8_t *)guest_ptr(g, gpa + i, 1))
            return false;
    return true;
}

static struct guest *make(const struct sq_virtio_balloon_config *config,
                          uint64_t features)
{
    struct guest *g = calloc(1, sizeof(*g));
    struct sq_virtio_device *dev;

    guest_init(g);
    assert_int_equal(sq_virtio_balloon_new(config, &dev, NULL), 0);
    guest_plug(g, dev);
    guest_start(g, SQ_VIRTIO_F_COMMON | (features & dev->features_offered),
                256);
    return g;
}

static int setup(void **state)
{
    *state = make(&(struct sq_virtio_balloon_config){
                      .amount_mib = 3,
                      .deflate_on_oom = true,
                      .stats_interval_s = 1,
                      .reporting = true,
                      .hinting = true,
                  },
                  UINT64_MAX);
    return 0;
}

static int teardown(void **state)
{
    guest_fini(*state);
    free(*state);
    return 0;
}

static const struct sq_virtio_balloon_counters *counters(struct guest *g)
{
    return sq_virtio_balloon_counters(g->dev);
}

/* Runs one chain through queue q. */
static void request(struct guest *g, unsigned q, const struct guest_buf *buf,
                    unsigned n)
{
    uint32_t id, len;

    guest_add(g, q, buf, n);
    guest_kick(g, q);
    guest_pump(g);
    assert_true(guest_used(g, q, &id, &len));
    assert_int_equal(len, 0);
}

static void send_pfns(struct guest *g, unsigned q, const uint32_t *pfn,
                      unsigned n)
{
    const struct guest_buf buf = {PFNS, 4 * n, false};

    memcpy(guest_ptr(g, PFNS, 4 * n), pfn, 4 * n);
    request(g, q, &buf, 1);
}

static uint32_t config32(struct guest *g, unsigned off)
{
    return guest_read(g, R_CONFIG + off);
}

static void configuration(void **state)
{
    struct guest *g = *state;

    assert_int_equal(guest_read(g, R_ID), 5);
    assert_int_equal(guest_features(g) & 0xff,
                     F_STATS | F_OOM | F_HINT | F_REPORT);
    assert_int_equal(config32(g, 0), 3 * 256);
    assert_int_equal(config32(g, 4), 0);
    /* The driver reports its size; the rest is not its to write. */
    guest_write(g, R_CONFIG + 4, 700);
    guest_write(g, R_CONFIG + 0, 1);
    guest_write(g, R_CONFIG + 8, 99);
    guest_write(g, R_CONFIG + 12, 99);
    assert_int_equal(config32(g, 0), 3 * 256);
    assert_int_equal(config32(g, 4), 700);
    assert_int_equal(config32(g, 8), 0);
    assert_int_equal(config32(g, 12), 0);
    assert_int_equal(sq_virtio_balloon_target_mib(g->dev), 3);
}

static void plain_has_no_features(void **state)
{
    struct guest *g =
        make(&(struct sq_virtio_balloon_config){.amount_mib = 0}, ~0ull);
    struct sq_virtio_balloon_stats stats;
    struct sq_virtio_balloon_hinting hinting;

    (void)state;
    assert_int_equal(guest_features(g) & 0xff, 0);
    assert_int_equal(sq_virtio_balloon_stats(g->dev, &stats, NULL),
                     SQUIB_E_STATE);
    assert_int_equal(sq_virtio_balloon_set_interval(g->dev, 1, NULL),
                     SQUIB_E_STATE);
    assert_int_equal(sq_virtio_balloon_hint_start(g->dev, true, NULL),
                     SQUIB_E_STATE);
    assert_int_equal(sq_virtio_balloon_hint_stop(g->dev, NULL),
                     SQUIB_E_STATE);
    assert_int_equal(
        sq_virtio_balloon_hint_status(g->dev, &hinting, NULL),
        SQUIB_E_STATE);
    guest_fini(g);
    free(g);
}

static void target(void **state)
{
    struct guest *g = *state;
    struct squib_error err;
    uint32_t generation = guest_read(g, R_GENERATION);

    assert_int_equal(sq_virtio_balloon_set_target(g->dev, 7, NULL), 0);
    assert_int_equal(config32(g, 0), 7 * 256);
    assert_int_not_equal(guest_read(g, R_GENERATION), generation);
    assert_true(guest_read(g, R_ISR) & SQ_VIRTIO_CAUSE_CONFIG);
    assert_int_equal(sq_virtio_balloon_set_target(g->dev, 1 << 24, &err),
                     SQUIB_E_INVAL);
    guest_write(g, R_STATUS, 0);
    guest_pump(g);
    assert_int_equal(sq_virtio_balloon_set_target(g->dev, 8, &err),
                     SQUIB_E_STATE);
    assert_int_equal(config32(g, 0), 7 * 256);
}

static void inflation_frees(void **state)
{
    struct guest *g = *state;
    uint32_t pfn[512];
    uint64_t before;

    dirty(g, PAGES, 4 * MIB);
    before = resident(g);
    /* 2 MiB in a wild order: 0, 511, 1, 510, ... */
    for (unsigned i = 0; i < 512; i++)
        pfn[i] = PAGES / 4096 + (i % 2 ? 511 - i / 2 : i / 2);
    send_pfns(g, 0, pfn, 512);
    assert_true(before - resident(g) >= 2 * MIB - 65536);
    assert_true(is_zero(g, PAGES, 2 * MIB));
    assert_false(is_zero(g, PAGES + 2 * MIB, 1));
    assert_int_equal(*(uint8_t *)guest_ptr(g, PAGES - 1, 1), 0);
    assert_int_equal(atomic_load(&counters(g)->inflates), 1);
    assert_int_equal(atomic_load(&counters(g)->discarded_bytes), 2 * MIB);
    /* Back: just memory again. */
    send_pfns(g, 1, pfn, 512);
    assert_int_equal(atomic_load(&counters(g)->deflates), 1);
    dirty(g, PAGES, 4096);
    assert_false(is_zero(g, PAGES, 1));
}

static void only_what_was_given(void **state)
{
    struct guest *g = *state;
    const uint32_t pfn[] = {PAGES / 4096 + 1, PAGES / 4096 + 3,
                            PAGES / 4096 + 3};

    dirty(g, PAGES, 5 * 4096);
    send_pfns(g, 0, pfn, 3);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(is_zero(g, PAGES + i * 4096, 4096),
                         i == 1 || i == 3);
}

struct watch {
    uint64_t gpa, len;
    unsigned calls;
};

static void watched(void *ctx, uint64_t gpa, uint64_t len)
{
    struct watch *w = ctx;

    if (gpa < PAGES)
        return; /* rings */
    w->calls++;
    w->gpa = gpa;
    w->len = len;
}

/* Whoever has looked at the page before (decoded code, a dirty log) hears
 * that it changed. */
static void discarding_is_writing(void **state)
{
    struct guest *g = *state;
    struct watch w = {0};
    const uint32_t pfn[] = {PAGES / 4096, PAGES / 4096 + 1};

    sq_memory_watch(g->mem, (struct sq_memory_watcher){watched, &w});
    send_pfns(g, 0, pfn, 2);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.gpa, PAGES);
    assert_int_equal(w.len, 8192);
    sq_memory_watch(g->mem, (struct sq_memory_watcher){0});
}

static void hostile_inflation(void **state)
{
    struct guest *g = *state;
    const uint32_t wild[] = {UINT32_MAX, 0x7fffffff, GUEST_RAM / 4096,
                             GUEST_RAM / 4096 - 1, PAGES / 4096};
    const struct guest_buf odd = {PFNS, 7, false};
    const struct guest_buf huge[] = {{0, 1 << 20, false},
                                     {0, 1 << 20, false}};
    const struct guest_buf write = {PFNS, 64, true};
    uint64_t errors;

    dirty(g, PAGES, 2 * 4096);
    dirty(g, GUEST_RAM - 4096, 4096);
    send_pfns(g, 0, wild, 5);
    assert_true(is_zero(g, PAGES, 4096));
    assert_false(is_zero(g, PAGES + 4096, 1));
    assert_true(is_zero(g, GUEST_RAM - 4096, 4096));
    assert_int_equal(atomic_load(&counters(g)->discarded_bytes), 8192);
    errors = atomic_load(&g->dev->counters.guest_errors);
    request(g, 0, &odd, 1);
    request(g, 0, &write, 1);
    request(g, 1, huge, 2);
    assert_int_equal(atomic_load(&g->dev->counters.guest_errors),
                     errors + 1);
    assert_false(guest_needs_reset(g));
}

static void too_long_inflation(void **state)
{
    struct guest *g = *state;
    const struct guest_buf huge = {0x400000, 1 << 20, false};
    uint64_t errors = atomic_load(&g->dev->counters.guest_errors);

    /* All page 0x555: harmless, many, and only some are looked at. */
    for (unsigned i = 0; i < 1 << 18; i++)
        sq_st32(guest_ptr(g, 0x400000 + 4 * i, 4), 0x555);
    request(g, 0, &huge, 1);
    assert_int_equal(atomic_load(&g->dev->counters.guest_errors),
                     errors + 1);
    assert_true(atomic_load(&counters(g)->discarded_bytes) < 16384 * 4096);
}

static void reporting_frees(void **state)
{
    struct guest *g = *state;
    uint64_t before;
    /* One block across the border of two regions. */
    const struct guest_buf blocks[] = {
        {PAGES, 2 * MIB, true},
        {GUEST_BORDER - MIB, 2 * MIB, true},
    };
    const struct guest_buf small = {PAGES + 100, 5000, true};

    dirty(g, PAGES, 3 * MIB);
    dirty(g, GUEST_BORDER - MIB, 2 * MIB);
    before = resident(g);
    request(g, 4, blocks, 2);
    assert_true(before - resident(g) >= 4 * MIB - 65536);
    assert_true(is_zero(g, PAGES, 2 * MIB));
    assert_true(is_zero(g, GUEST_BORDER - MIB, 2 * MIB));
    assert_false(is_zero(g, PAGES + 2 * MIB, 1));
    assert_int_equal(atomic_load(&counters(g)->reports), 1);
    assert_int_equal(atomic_load(&counters(g)->report_bytes), 4 * MIB);
    /* Less than a page is none. */
    dirty(g, PAGES, 8192);
    request(g, 4, &small, 1);
    assert_false(is_zero(g, PAGES, 4096));
    assert_false(is_zero(g, PAGES + 4096, 4096));
    assert_int_equal(atomic_load(&counters(g)->report_bytes), 4 * MIB);
}

static void reports_of_more_than_all(void **state)
{
    struct guest *g = *state;
    struct guest_buf buf[9];

    for (unsigned i = 0; i < 9; i++)
        buf[i] = (struct guest_buf){PAGES, 2 * MIB, true};
    dirty(g, PAGES, 4096);
    request(g, 4, buf, 9);
    assert_false(is_zero(g, PAGES, 4096));
    assert_int_equal(atomic_load(&counters(g)->report_failures), 1);
    request(g, 4, buf, 1);
    assert_true(is_zero(g, PAGES, 4096));
}

static void send_cmd(struct guest *g, uint32_t cmd)
{
    const struct guest_buf buf = {PFNS, 4, false};

    sq_st32(guest_ptr(g, PFNS, 4), cmd);
    request(g, 3, &buf, 1);
}

static struct sq_virtio_balloon_hinting hinting(struct guest *g)
{
    struct sq_virtio_balloon_hinting h;

    assert_int_equal(sq_virtio_balloon_hint_status(g->dev, &h, NULL), 0);
    return h;
}

static void hinting_runs(void **state)
{
    struct guest *g = *state;
    const struct guest_buf block = {PAGES, MIB, true};
    uint32_t cmd;

    assert_int_equal(hinting(g).host_cmd, 0);
    assert_false(hinting(g).guest_answered);
    assert_int_equal(sq_virtio_balloon_hint_start(g->dev, true, NULL), 0);
    cmd = config32(g, 8);
    assert_int_equal(cmd, 2);
    assert_int_equal(hinting(g).host_cmd, cmd);
    assert_true(guest_read(g, R_ISR) & SQ_VIRTIO_CAUSE_CONFIG);
    /* Not started by the guest yet: nothing counts. */
    dirty(g, PAGES, MIB);
    request(g, 3, &block, 1);
    assert_false(is_zero(g, PAGES, 1));
    send_cmd(g, cmd);
    assert_true(hinting(g).guest_answered);
    assert_int_equal(hinting(g).guest_cmd, cmd);
    request(g, 3, &block, 1);
    assert_true(is_zero(g, PAGES, MIB));
    assert_int_equal(atomic_load(&counters(g)->hint_bytes), MIB);
    /* The guest's list is complete: it gets the pages back. */
    send_cmd(g, 0);
    assert_int_equal(config32(g, 8), 1);
    assert_int_equal(hinting(g).host_cmd, 1);
    assert_int_equal(hinting(g).guest_cmd, 0);
    dirty(g, PAGES, MIB);
    request(g, 3, &block, 1);
    assert_false(is_zero(g, PAGES, 1));
}

static void hinting_is_stopped(void **state)
{
    struct guest *g = *state;
    const struct guest_buf block = {PAGES, MIB, true};

    assert_int_equal(sq_virtio_balloon_hint_start(g->dev, false, NULL), 0);
    send_cmd(g, 2);
    send_cmd(g, 0);
    assert_int_equal(config32(g, 8), 2); /* waits for us */
    assert_int_equal(sq_virtio_balloon_hint_stop(g->dev, NULL), 0);
    assert_int_equal(config32(g, 8), 1);
    /* A new run has a new number; the guest still talks of the old one. */
    assert_int_equal(sq_virtio_balloon_hint_start(g->dev, true, NULL), 0);
    assert_int_equal(config32(g, 8), 3);
    send_cmd(g, 2);
    dirty(g, PAGES, MIB);
    request(g, 3, &block, 1);
    assert_false(is_zero(g, PAGES, 1));
    send_cmd(g, 3);
    request(g, 3, &block, 1);
    assert_true(is_zero(g, PAGES, MIB));
    /* A reset ends it; later numbers are not repeated. */
    guest_start(g, SQ_VIRTIO_F_COMMON | F_STATS | F_HINT | F_REPORT, 256);
    assert_int_equal(hinting(g).host_cmd, 0);
    assert_false(hinting(g).guest_answered);
    assert_int_equal(sq_virtio_balloon_hint_start(g->dev, true, NULL), 0);
    assert_int_equal(config32(g, 8), 4);
}

/* Linux numbers its queues without gaps. */
static void queues_without_gaps(void **state)
{
    struct guest *g = calloc(1, sizeof(*g));
    struct sq_virtio_device *dev;
    const struct sq_virtio_balloon_config config = {.reporting = true};
    const struct guest_buf block = {PAGES, MIB, true};

    (void)state;
    guest_init(g);
    assert_int_equal(sq_virtio_balloon_new(&config, &dev, NULL), 0);
    guest_plug(g, dev);
    assert_int_equal(guest_negotiate(g, SQ_VIRTIO_F_COMMON | F_REPORT), 11);
    for (unsigned q = 0; q < 3; q++) {
        guest_queue_place(g, q, 256);
        guest_queue_start(g, q);
    }
    guest_write(g, R_STATUS, 15);
    guest_pump(g);
    dirty(g, PAGES, MIB);
    request(g, 2, &block, 1);
    assert_true(is_zero(g, PAGES, MIB));
    guest_fini(g);
    free(g);
}

static void queues_with_gaps(void **state)
{
    struct guest *g =
        make(&(struct sq_virtio_balloon_config){.reporting = true}, ~0ull);
    const struct guest_buf block = {PAGES, MIB, true};

    (void)state;
    dirty(g, PAGES, MIB);
    request(g, 2, &block, 1); /* no such queue: comes back */
    assert_false(is_zero(g, PAGES, 1));
    request(g, 4, &block, 1);
    assert_true(is_zero(g, PAGES, MIB));
    guest_fini(g);
    free(g);
}

static void give_stats(struct guest *g, unsigned n, uint64_t base)
{
    const struct guest_buf buf = {PFNS, 10 * n, false};

    for (unsigned i = 0; i < n; i++) {
        uint8_t *r = guest_ptr(g, PFNS + 10 * i, 10);

        sq_st16(r, (uint16_t)i);
        sq_st64(r + 2, base + i);
    }
    guest_add(g, 2, &buf, 1);
    guest_kick(g, 2);
    guest_pump(g);
}

static void stop(void *ctx, uint64_t now_ns)
{
    (void)now_ns;
    sq_poller_stop(ctx);
}

static void run_for(struct guest *g, uint64_t ms)
{
    struct sq_timer t = {.fn = stop, .ctx = g->poller};

    sq_timer_arm(g->poller, &t, sq_now_ns() + ms * 1000000);
    assert_int_equal(sq_poller_run(g->poller, NULL), 0);
}

static void statistics(void **state)
{
    struct guest *g = *state;
    struct sq_virtio_balloon_stats s;
    const struct guest_buf odd = {PFNS, 11, false};
    uint32_t id, len;

    assert_int_equal(sq_virtio_balloon_stats(g->dev, &s, NULL), 0);
    assert_int_equal(s.valid, 0);
    assert_int_equal(s.target_pages, 768);
    give_stats(g, 20, 1000); /* with tags nobody knows */
    assert_int_equal(sq_virtio_balloon_stats(g->dev, &s, NULL), 0);
    assert_int_equal(s.valid, 0xffff);
    assert_int_equal(s.value[SQ_BALLOON_FREE], 1004);
    assert_int_equal(s.value[SQ_BALLOON_DIRECT_RECLAIM], 1015);
    assert_false(guest_used(g, 2, &id, &len)); /* we keep the buffer */
    run_for(g, 1100);
    assert_true(guest_used(g, 2, &id, &len)); /* and ask for new numbers */
    assert_false(guest_used(g, 2, &id, &len));
    give_stats(g, 3, 77);
    assert_int_equal(sq_virtio_balloon_stats(g->dev, &s, NULL), 0);
    assert_int_equal(s.valid, 7);
    assert_int_equal(s.value[SQ_BALLOON_MAJOR_FAULTS], 79);
    /* One buffer too many returns the older. */
    give_stats(g, 4, 88);
    assert_true(guest_used(g, 2, &id, &len));
    assert_int_equal(atomic_load(&counters(g)->stats_updates), 3);
    guest_add(g, 2, &odd, 1);
    guest_kick(g, 2);
    guest_pump(g);
    assert_int_equal(atomic_load(&counters(g)->stats_failures), 1);
    assert_int_equal(sq_virtio_balloon_set_interval(g->dev, 0, NULL),
                     SQUIB_E_STATE);
    assert_int_equal(sq_virtio_balloon_set_interval(g->dev, 3600, NULL), 0);
    guest_write(g, R_CONFIG + 4, 512);
    assert_int_equal(sq_virtio_balloon_stats(g->dev, &s, NULL), 0);
    assert_int_equal(s.actual_pages, 512);
    /* After a reset the old buffer is forgotten. */
    guest_start(g, SQ_VIRTIO_F_COMMON | F_STATS | F_HINT | F_REPORT, 256);
    assert_int_equal(sq_virtio_balloon_set_interval(g->dev, 1, NULL), 0);
    run_for(g, 1100);
    assert_int_equal(guest_used_idx(g, 2), 0);
}

static void discarding_by_itself(void **state)
{
    struct guest *g = *state;

    dirty(g, PAGES, 4 * MIB);
    assert_int_equal(sq_memory_discard(g->mem, PAGES + 1, 8192, NULL), 4096);
    assert_true(is_zero(g, PAGES + 4096, 4096));
    assert_false(is_zero(g, PAGES, 1));
    assert_false(is_zero(g, PAGES + 8192, 1));
    assert_int_equal(sq_memory_discard(g->mem, PAGES, 0, NULL), 0);
    assert_int_equal(sq_memory_discard(g->mem, PAGES + 1, 4094, NULL), 0);
    assert_int_equal(sq_memory_discard(g->mem, GUEST_RAM, 8192, NULL), 0);
    assert_int_equal(
        sq_memory_discard(g->mem, GUEST_RAM - 4096, UINT64_MAX, NULL), 4096);
    assert_int_equal(sq_memory_discard(g->mem, PAGES, UINT64_MAX, NULL),
                     GUEST_RAM - PAGES);
    assert_true(resident(g) <= PAGES);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(configuration),
        cmocka_unit_test(plain_has_no_features),
        T(target),
        T(inflation_frees),
        T(only_what_was_given),
        T(discarding_is_writing),
        T(hostile_inflation),
        T(too_long_inflation),
        T(reporting_frees),
        T(reports_of_more_than_all),
        T(hinting_runs),
        T(hinting_is_stopped),
        cmocka_unit_test(queues_without_gaps),
        cmocka_unit_test(queues_with_gaps),
        T(statistics),
        T(discarding_by_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
