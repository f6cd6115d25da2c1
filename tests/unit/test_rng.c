/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio entropy device. */
#include "virtio_guest.h"

#include <stdlib.h>

#include "dev/virtio/rng.h"

static int setup(void **state)
{
    struct guest *g = calloc(1, sizeof(*g));
    struct sq_virtio_device *dev;

    guest_init(g);
    assert_int_equal(sq_virtio_rng_new(&dev, NULL), 0);
    guest_plug(g, dev);
    guest_start(g, SQ_VIRTIO_F_COMMON, 64);
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    guest_fini(*state);
    free(*state);
    return 0;
}

static uint32_t request(struct guest *g, const struct guest_buf *buf,
                        unsigned n)
{
    uint32_t id, len = 0;

    guest_add(g, 0, buf, n);
    guest_kick(g, 0);
    guest_pump(g);
    assert_true(guest_used(g, 0, &id, &len));
    return len;
}

static void fills_exactly(void **state)
{
    struct guest *g = *state;
    const struct guest_buf buf[] = {{GUEST_DATA, 64, true},
                                    {GUEST_DATA + 100, 300, true}};
    uint8_t zero[400] = {0}, *data = guest_ptr(g, GUEST_DATA, 500), old[400];

    assert_int_equal(request(g, buf, 2), 364);
    assert_memory_not_equal(data, zero, 64);
    assert_memory_equal(data + 64, zero, 36); /* between the buffers */
    assert_memory_not_equal(data + 384, zero, 16);
    assert_memory_equal(data + 400, zero, 100);
    memcpy(old, data, 400);
    request(g, buf, 2);
    assert_memory_not_equal(old, data, 64);
    assert_int_equal(atomic_load(&sq_virtio_rng_counters(g->dev)->bytes),
                     728);
}

static void is_bounded(void **state)
{
    struct guest *g = *state;
    const struct guest_buf buf = {GUEST_DATA, 1 << 20, true};
    uint8_t zero[64] = {0};

    assert_int_equal(request(g, &buf, 1), SQ_VIRTIO_RNG_REQUEST_MAX);
    assert_memory_not_equal(
        guest_ptr(g, GUEST_DATA + SQ_VIRTIO_RNG_REQUEST_MAX - 64, 64), zero,
        64);
    assert_memory_equal(
        guest_ptr(g, GUEST_DATA + SQ_VIRTIO_RNG_REQUEST_MAX, 64), zero, 64);
}

static void nothing_to_fill(void **state)
{
    struct guest *g = *state;
    const struct guest_buf buf = {GUEST_DATA, 64, false};

    assert_int_equal(request(g, &buf, 1), 0);
    assert_false(guest_needs_reset(g));
}

static void floods_are_served_in_turns(void **state)
{
    struct guest *g = *state;
    const struct guest_buf buf = {GUEST_DATA, 8, true};

    for (int i = 0; i < 64; i++)
        guest_add(g, 0, &buf, 1);
    guest_kick(g, 0);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 0), 64);
}

static void limits_hold(void **state)
{
    struct guest *g = *state;
    struct sq_throttle *t = sq_virtio_rng_throttle(g->dev);
    const struct guest_buf buf = {GUEST_DATA, 64, true};
    const struct sq_bucket_config bytes = {100, 0, 3600000};

    sq_throttle_update(t, &bytes, NULL);
    for (int i = 0; i < 3; i++)
        guest_add(g, 0, &buf, 1);
    guest_kick(g, 0);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 0), 2); /* the second on credit */
    assert_int_equal(atomic_load(&t->refusals), 1);
    assert_true(t->waiting);
    guest_kick(g, 0); /* does not help */
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 0), 2);
    sq_throttle_update(t, &(struct sq_bucket_config){0}, NULL);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 0), 3);
    assert_false(t->timer.armed);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(fills_exactly),
        T(is_bounded),
        T(nothing_to_fill),
        T(floods_are_served_in_turns),
        T(limits_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
