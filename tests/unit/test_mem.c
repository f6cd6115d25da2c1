/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio memory device: plugging, unplugging, what goes back to the
 * host, and a driver that asks for what it must not have. */
#include "virtio_guest.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "dev/virtio/mem.h"

#define MIB (1ull << 20)
#define REGION (1ull << 30) /* gpa */
#define REQUEST GUEST_DATA
#define ANSWER (GUEST_DATA + 0x100)
#define SIZES {.total_mib = 512, .block_mib = 4, .slot_mib = 128}
#define WINDOWS 4

enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK = 0, ERROR = 3 };
enum { PLUGGED, UNPLUGGED, MIXED };

struct fixture {
    struct guest g;
    void *hva[WINDOWS];
    bool shown[WINDOWS];
    bool refuse; /* to show a window */
};

static int show(void *ctx, struct squib_range window, bool shown)
{
    struct fixture *f = ctx;
    uint64_t i = (window.gpa - REGION) / (128 * MIB);

    assert_int_equal(window.len, 128 * MIB);
    assert_true(i < WINDOWS);
    assert_int_not_equal(f->shown[i], shown);
    if (f->refuse && shown)
        return SQUIB_E_OS;
    f->shown[i] = shown;
    sq_memory_show(f->g.mem, window.gpa, shown);
    return 0;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct sq_virtio_mem_config config = {
        .sizes = SIZES,
        .gpa = REGION,
        .show = show,
        .ctx = f,
    };
    struct sq_virtio_device *dev;

    guest_init(&f->g);
    assert_int_equal(sq_virtio_mem_window_len(&config.sizes), 128 * MIB);
    for (unsigned i = 0; i < WINDOWS; i++)
        assert_int_equal(
            sq_memory_reserve(f->g.mem,
                              (struct squib_range){REGION + i * 128 * MIB,
                                                   128 * MIB},
                              &f->hva[i], NULL),
            0);
    assert_int_equal(sq_virtio_mem_new(&config, &dev, NULL), 0);
    guest_plug(&f->g, dev);
    guest_start(&f->g, dev->features_offered, 16);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    guest_fini(&f->g);
    free(f);
    return 0;
}

/* Returns the answer's type; *state_out the state it tells. */
static int ask(struct fixture *f, uint16_t type, uint64_t gpa,
               uint16_t blocks, unsigned *state_out)
{
    const struct guest_buf buf[] = {{REQUEST, 24, false}, {ANSWER, 10, true}};
    uint8_t *r = guest_ptr(&f->g, REQUEST, 24);
    uint8_t *a = guest_ptr(&f->g, ANSWER, 10);
    uint32_t id, len;

    memset(r, 0, 24);
    memset(a, 0xee, 10);
    sq_st16(r, type);
    sq_st64(r + 8, gpa);
    sq_st16(r + 16, blocks);
    guest_add(&f->g, 0, buf, 2);
    guest_kick(&f->g, 0);
    guest_pump(&f->g);
    assert_true(guest_used(&f->g, 0, &id, &len));
    assert_int_equal(len, 10);
    if (state_out)
        *state_out = sq_ld16(a + 8);
    return sq_ld16(a);
}

static uint64_t config64(struct fixture *f, unsigned off)
{
    return guest_read(&f->g, R_CONFIG + off) |
           (uint64_t)guest_read(&f->g, R_CONFIG + off + 4) << 32;
}

static uint64_t usable(struct fixture *f) { return config64(f, 32); }
static uint64_t plugged(struct fixture *f) { return config64(f, 40); }

static size_t resident(const void *hva, size_t len)
{
    size_t pages = len / 4096, n = 0;
    unsigned char *in = malloc(pages);

    assert_int_equal(mincore((void *)(uintptr_t)hva, len, in), 0);
    for (size_t i = 0; i < pages; i++)
        n += in[i] & 1;
    free(in);
    return n * 4096;
}

static void configuration(void **state)
{
    struct fixture *f = *state;
    struct sq_virtio_mem_status s;

    assert_int_equal(config64(f, 0), 4 * MIB);
    assert_int_equal(config64(f, 16), REGION);
    assert_int_equal(config64(f, 24), 512 * MIB);
    assert_int_equal(usable(f), 0);
    assert_int_equal(plugged(f), 0);
    assert_int_equal(config64(f, 48), 0);
    assert_true(f->g.dev->features_offered & 2);
    assert_int_equal(sq_virtio_mem_request(f->g.dev, 132, NULL), 0);
    assert_int_equal(config64(f, 48), 132 * MIB);
    assert_int_equal(usable(f), 256 * MIB);
    assert_true(guest_read(&f->g, R_ISR) & SQ_VIRTIO_CAUSE_CONFIG);
    s = sq_virtio_mem_status(f->g.dev);
    assert_int_equal(s.requested_mib, 132);
    assert_int_equal(s.plugged_mib, 0);
    assert_int_equal(s.sizes.total_mib, 512);
}

static void bounds_of_requests(void **state)
{
    struct fixture *f = *state;
    struct squib_error err;

    assert_int_equal(sq_virtio_mem_request(f->g.dev, 6, &err),
                     SQUIB_E_INVAL);
    assert_string_equal(err.text, "Size 6291456 is invalid: it must be a "
                        "multiple of block size and less than the total "
                        "size");
    assert_int_equal(sq_virtio_mem_request(f->g.dev, 516, NULL),
                     SQUIB_E_INVAL);
    assert_int_equal(sq_virtio_mem_request(f->g.dev, 512, NULL), 0);
    assert_int_equal(usable(f), 512 * MIB);
    guest_write(&f->g, R_STATUS, 0);
    guest_pump(&f->g);
    assert_int_equal(sq_virtio_mem_request(f->g.dev, 512, &err),
                     SQUIB_E_STATE);
    assert_string_equal(err.text, "Device is not active");
}

static void plug_and_unplug(void **state)
{
    struct fixture *f = *state;
    unsigned st;
    uint8_t *p;

    assert_int_equal(sq_virtio_mem_request(f->g.dev, 256, NULL), 0);
    assert_null(sq_memory_ptr(f->g.mem, REGION, 1));
    assert_int_equal(ask(f, PLUG, REGION, 2, NULL), ACK);
    assert_true(f->shown[0] && !f->shown[1]);
    assert_int_equal(plugged(f), 8 * MIB);
    p = sq_memory_ptr(f->g.mem, REGION, 8 * MIB);
    assert_ptr_equal(p, f->hva[0]);
    memset(p, 0x5a, 8 * MIB);
    assert_int_equal(resident(p, 128 * MIB), 8 * MIB);
    /* Across a border, which shows the next window as well. */
    assert_int_equal(ask(f, PLUG, REGION + 124 * MIB, 2, NULL), ACK);
    assert_true(f->shown[1]);
    assert_int_equal(ask(f, STATE, REGION, 2, &st), ACK);
    assert_int_equal(st, PLUGGED);
    assert_int_equal(ask(f, STATE, REGION, 3, &st), ACK);
    assert_int_equal(st, MIXED);
    assert_int_equal(ask(f, STATE, REGION + 8 * MIB, 3, &st), ACK);
    assert_int_equal(st, UNPLUGGED);
    /* One block: its memory is the host's again, the other's stays. */
    assert_int_equal(ask(f, UNPLUG, REGION, 1, NULL), ACK);
    assert_int_equal(resident(p, 4 * MIB), 0);
    assert_int_equal(resident(p + 4 * MIB, 4 * MIB), 4 * MIB);
    /* What was never plugged goes with the window's last block. */
    memset(p + 64 * MIB, 1, MIB);
    assert_int_equal(ask(f, UNPLUG, REGION + 124 * MIB, 2, NULL), ACK);
    assert_true(f->shown[0] && !f->shown[1]);
    assert_int_equal(ask(f, UNPLUG, REGION + 4 * MIB, 1, NULL), ACK);
    assert_false(f->shown[0]);
    assert_int_equal(resident(p, 128 * MIB), 0);
    assert_int_equal(plugged(f), 0);
    assert_null(sq_memory_ptr(f->g.mem, REGION, 1));
    assert_false(guest_needs_reset(&f->g));
}

static void refusals(void **state)
{
    struct fixture *f = *state;
    const struct sq_virtio_mem_counters *c =
        sq_virtio_mem_counters(f->g.dev);

    /* Nothing was asked for. */
    assert_int_equal(ask(f, PLUG, REGION, 1, NULL), ERROR);
    assert_int_equal(sq_virtio_mem_request(f->g.dev, 8, NULL), 0);
    assert_int_equal(ask(f, PLUG, REGION, 3, NULL), ERROR);
    assert_int_equal(ask(f, PLUG, REGION, 0, NULL), ERROR);
    assert_int_equal(ask(f, PLUG, REGION + 4096, 1, NULL), ERROR);
    assert_int_equal(ask(f, PLUG, REGION - 4 * MIB, 1, NULL), ERROR);
    assert_int_equal(ask(f, PLUG, REGION + 128 * MIB, 1, NULL), ERROR);
    assert_int_equal(ask(f, PLUG, REGION + 124 * MIB, 2, NULL), ERROR);
    assert_int_equal(ask(f, PLUG, UINT64_MAX & ~(4 * MIB - 1), 65535, NULL),
                     ERROR);
    assert_int_equal(ask(f, PLUG, 0, 1, NULL), ERROR);
    assert_int_equal(ask(f, UNPLUG, REGION, 1, NULL), ERROR);
    assert_int_equal(ask(f, STATE, REGION, 65535, NULL), ERROR);
    assert_int_equal(ask(f, 4, REGION, 1, NULL), ERROR);
    assert_int_equal(ask(f, 65535, REGION, 1, NULL), ERROR);
    assert_int_equal(plugged(f), 0);
    assert_int_equal(ask(f, PLUG, REGION, 1, NULL), ACK);
    assert_int_equal(ask(f, PLUG, REGION, 1, NULL), ERROR); /* again */
    assert_int_equal(ask(f, PLUG, REGION, 2, NULL), ERROR); /* in part */
    assert_int_equal(ask(f, UNPLUG, REGION, 2, NULL), ERROR);
    assert_int_equal(plugged(f), 4 * MIB);
    /* The host cannot show it. */
    f->refuse = true;
    assert_int_equal(ask(f, UNPLUG, REGION, 1, NULL), ACK);
    assert_int_equal(ask(f, PLUG, REGION, 1, NULL), ERROR);
    assert_int_equal(plugged(f), 0);
    assert_int_equal(atomic_load(&c->plugs), 13);
    assert_int_equal(atomic_load(&c->plugs_failed), 12);
    assert_int_equal(atomic_load(&c->plug_bytes), 4 * MIB);
    assert_int_equal(atomic_load(&c->unplugs), 3);
    assert_int_equal(atomic_load(&c->unplug_bytes), 4 * MIB);
    assert_int_equal(atomic_load(&c->states_failed), 1);
    assert_false(guest_needs_reset(&f->g));
}

static void unplug_all(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(sq_virtio_mem_request(f->g.dev, 512, NULL), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(ask(f, PLUG, REGION + i * 128 * MIB, 32, NULL),
                         ACK);
        memset(f->hva[i], 1, MIB);
    }
    assert_int_equal(plugged(f), 512 * MIB);
    /* A reset changes nothing of that. */
    guest_start(&f->g, f->g.dev->features_offered, 16);
    assert_int_equal(plugged(f), 512 * MIB);
    assert_true(f->shown[3]);
    assert_int_equal(sq_virtio_mem_request(f->g.dev, 100, NULL), 0);
    assert_int_equal(usable(f), 512 * MIB); /* not while blocks may be used */
    assert_int_equal(ask(f, UNPLUG_ALL, 0, 0, NULL), ACK);
    assert_int_equal(plugged(f), 0);
    assert_int_equal(usable(f), 128 * MIB);
    for (unsigned i = 0; i < 4; i++) {
        assert_false(f->shown[i]);
        assert_int_equal(resident(f->hva[i], 128 * MIB), 0);
    }
}

static void bad_framing(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf buf[] = {{REQUEST, 23, false}, {ANSWER, 10, true}};
    const struct guest_buf deaf[] = {{REQUEST, 24, false}, {ANSWER, 9, true}};

    guest_add(&f->g, 0, buf, 2);
    guest_kick(&f->g, 0);
    guest_pump(&f->g);
    assert_true(guest_needs_reset(&f->g));
    guest_start(&f->g, f->g.dev->features_offered, 16);
    guest_add(&f->g, 0, deaf, 2);
    guest_kick(&f->g, 0);
    guest_pump(&f->g);
    assert_true(guest_needs_reset(&f->g));
    guest_start(&f->g, f->g.dev->features_offered, 16);
    assert_int_equal(ask(f, STATE, REGION, 1, NULL), ERROR);
    assert_false(guest_needs_reset(&f->g));
}

/* Large regions have larger windows, never more of them. */
static void windows(void **state)
{
    const struct sq_virtio_mem_sizes few = {256, 2, 128};
    const struct sq_virtio_mem_sizes many = {33 * 128, 2, 128};
    const struct sq_virtio_mem_sizes huge = {512 * 1024, 2, 128};

    (void)state;
    assert_int_equal(sq_virtio_mem_window_len(&few), 128 * MIB);
    assert_int_equal(sq_virtio_mem_window_len(&many), 256 * MIB);
    assert_int_equal(sq_virtio_mem_window_len(&huge), 16384 * MIB);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(configuration), T(bounds_of_requests), T(plug_and_unplug),
        T(refusals), T(unplug_all), T(bad_framing),
        cmocka_unit_test(windows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
