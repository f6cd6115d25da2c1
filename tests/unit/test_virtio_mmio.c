/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio-mmio transport and the life of a device behind it. */
#include "virtio_guest.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* A device that counts what happens to it and returns every chain. */
struct probe {
    struct sq_virtio_device dev;
    unsigned activated, resets, notified[2], config_writes;
    unsigned *freed;
    bool hold; /* leave chains alone */
};

static void probe_activate(struct sq_virtio_device *dev)
{
    SQ_CONTAINER_OF(dev, struct probe, dev)->activated++;
}

static void probe_reset(struct sq_virtio_device *dev)
{
    SQ_CONTAINER_OF(dev, struct probe, dev)->resets++;
}

static void probe_notify(struct sq_virtio_device *dev, unsigned q)
{
    struct probe *p = SQ_CONTAINER_OF(dev, struct probe, dev);
    struct sq_chain c;

    p->notified[q]++;
    if (p->hold)
        return;
    do {
        sq_queue_quiet(&dev->queue[q]);
        while (sq_virtio_pop(dev, q, &c))
            sq_virtio_push(dev, q, &c, 0);
    } while (sq_queue_rearm(&dev->queue[q]));
    sq_virtio_signal(dev, q);
}

static void probe_config(struct sq_virtio_device *dev, unsigned off,
                         unsigned len)
{
    assert_true(off + len <= 8);
    SQ_CONTAINER_OF(dev, struct probe, dev)->config_writes++;
}

static void probe_free(struct sq_virtio_device *dev)
{
    struct probe *p = SQ_CONTAINER_OF(dev, struct probe, dev);

    ++*p->freed;
    sq_virtio_device_destroy(dev);
    free(p);
}

static const struct sq_virtio_ops probe_ops = {
    .name = "probe",
    .id = 42,
    .queue_count = 2,
    .queue_size = 16,
    .activate = probe_activate,
    .reset = probe_reset,
    .notify = probe_notify,
    .config_written = probe_config,
    .free = probe_free,
};

struct fixture {
    struct guest g;
    struct probe *p;
    unsigned freed;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    guest_init(&f->g);
    f->p = calloc(1, sizeof(*f->p));
    f->p->freed = &f->freed;
    sq_virtio_device_init(&f->p->dev, &probe_ops, 1ull << 40);
    f->p->dev.config_len = 8;
    memcpy(f->p->dev.config, "abcdefgh", 8);
    guest_plug(&f->g, &f->p->dev);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    guest_fini(&f->g);
    assert_int_equal(f->freed, 1);
    free(f);
    return 0;
}

static const struct guest_buf one_buf = {GUEST_DATA, 64, true};

static void identity(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    assert_int_equal(guest_read(g, R_MAGIC), 0x74726976);
    assert_int_equal(guest_read(g, R_VERSION), 2);
    assert_int_equal(guest_read(g, R_ID), 42);
    assert_true(guest_features(g) == ((1ull << 40) | SQ_VIRTIO_F_COMMON));
    guest_write(g, R_FEATURES_SEL, 2);
    assert_int_equal(guest_read(g, R_FEATURES), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(guest_read(g, R_SHM_LEN + 4 * i), UINT32_MAX);
    assert_int_equal(guest_read(g, R_QUEUE_MAX), 16);
    guest_write(g, R_QUEUE_SEL, 2);
    assert_int_equal(guest_read(g, R_QUEUE_MAX), 0);
    guest_write(g, R_QUEUE_SEL, UINT32_MAX);
    assert_int_equal(guest_read(g, R_QUEUE_MAX), 0);
    guest_write(g, R_QUEUE_READY, 1); /* nothing to start */
    assert_int_equal(guest_read(g, R_QUEUE_READY), 0);
}

static void odd_accesses_are_harmless(void **state)
{
    struct fixture *f = *state;
    uint8_t raw[8];

    for (unsigned len = 1; len <= 8; len++) {
        for (uint64_t off = 0; off + len <= SQ_VIRTIO_MMIO_LEN; off++) {
            memset(raw, 0xaa, sizeof(raw));
            assert_true(sq_bus_read(&f->g.bus, GUEST_MMIO + off, raw, len));
            if (off < 0x100 && len != 4)
                assert_int_equal(raw[len - 1], 0);
            if (len < 8)
                assert_int_equal(raw[len], 0xaa);
            if (len != 4 || off % 4)
                sq_bus_write(&f->g.bus, GUEST_MMIO + off, raw, len);
        }
    }
    assert_int_equal(guest_read(&f->g, R_STATUS), 0);
}

static void config_space(void **state)
{
    struct fixture *f = *state;
    uint8_t raw[8];
    uint32_t before = guest_read(&f->g, R_GENERATION);

    sq_bus_read(&f->g.bus, GUEST_MMIO + R_CONFIG, raw, 8);
    assert_memory_equal(raw, "abcdefgh", 8);
    sq_bus_read(&f->g.bus, GUEST_MMIO + R_CONFIG + 6, raw, 4);
    assert_memory_equal(raw, "gh\0\0", 4);
    sq_bus_write(&f->g.bus, GUEST_MMIO + R_CONFIG + 1, (void *)"XY", 2);
    sq_bus_write(&f->g.bus, GUEST_MMIO + R_CONFIG + 7, (void *)"XY", 2);
    sq_bus_write(&f->g.bus, GUEST_MMIO + 0xfff, (void *)"X", 1);
    assert_int_equal(f->p->config_writes, 1);
    assert_int_equal(atomic_load(&f->p->dev.counters.config_failed), 2);
    assert_memory_equal(f->p->dev.config, "aXYdefgh", 8);
    sq_virtio_config_changed(&f->p->dev);
    assert_int_equal(guest_read(&f->g, R_GENERATION), before + 1);
    assert_int_equal(f->g.edges, 0); /* no driver to tell */
    guest_start(&f->g, SQ_VIRTIO_F_COMMON, 8);
    sq_virtio_config_changed(&f->p->dev);
    assert_int_equal(f->g.edges, 1);
    assert_int_equal(guest_read(&f->g, R_ISR), 2);
}

static void features_are_checked(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    /* Without VERSION_1; with one not offered; neither is accepted. */
    assert_int_equal(guest_negotiate(g, 1ull << 40), 3);
    assert_int_equal(guest_negotiate(g, SQ_VIRTIO_F_VERSION_1 | 1), 3);
    /* DRIVER_OK without FEATURES_OK is not there. */
    guest_write(g, R_STATUS, 7);
    assert_int_equal(guest_read(g, R_STATUS), 3);
    assert_int_equal(guest_negotiate(g, SQ_VIRTIO_F_VERSION_1), 11);
    /* Too late for other features. */
    guest_write(g, R_DRIVER_FEATURES_SEL, 0);
    guest_write(g, R_DRIVER_FEATURES, UINT32_MAX);
    guest_write(g, R_STATUS, 15);
    guest_pump(g);
    assert_true(f->p->dev.features_acked == SQ_VIRTIO_F_VERSION_1);
    assert_int_equal(f->p->activated, 1);
    /* FEATURES_OK without DRIVER. */
    guest_write(g, R_STATUS, 0);
    guest_write(g, R_STATUS, 9);
    assert_int_equal(guest_read(g, R_STATUS), 1);
    /* Features beyond bit 63 do not wrap around to low ones. */
    guest_write(g, R_STATUS, 0);
    guest_write(g, R_STATUS, 3);
    guest_write(g, R_DRIVER_FEATURES_SEL, 1);
    guest_write(g, R_DRIVER_FEATURES, 1);
    guest_write(g, R_DRIVER_FEATURES_SEL, 33);
    guest_write(g, R_DRIVER_FEATURES, 0xffff);
    guest_write(g, R_STATUS, 11);
    assert_int_equal(guest_read(g, R_STATUS), 11);
}

static void status_only_grows(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    guest_start(g, SQ_VIRTIO_F_COMMON, 8);
    guest_write(g, R_STATUS, 1);
    assert_int_equal(guest_read(g, R_STATUS), 15);
    guest_write(g, R_STATUS, SQ_VIRTIO_NEEDS_RESET | 15);
    assert_int_equal(guest_read(g, R_STATUS), 15);
    guest_write(g, R_STATUS, 15 | SQ_VIRTIO_FAILED);
    assert_int_equal(guest_read(g, R_STATUS), 15 | SQ_VIRTIO_FAILED);
    /* After FAILED there is no way but reset. */
    guest_write(g, R_STATUS, 0);
    guest_write(g, R_STATUS, 3 | SQ_VIRTIO_FAILED);
    guest_write(g, R_DRIVER_FEATURES_SEL, 1);
    guest_write(g, R_DRIVER_FEATURES, 1);
    guest_write(g, R_STATUS, 15 | SQ_VIRTIO_FAILED);
    assert_int_equal(guest_read(g, R_STATUS), 11 | SQ_VIRTIO_FAILED);
}

static void queues_run_on_the_loop(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    uint32_t id, len;
    uint16_t head;

    guest_start(g, SQ_VIRTIO_F_COMMON, 8);
    assert_int_equal(f->p->activated, 1);
    assert_int_equal(f->p->notified[0], 1); /* what was there before */
    head = guest_add(g, 1, &one_buf, 1);
    guest_kick(g, 1);
    assert_int_equal(f->p->notified[1], 1); /* not on this thread's stack */
    guest_pump(g);
    assert_int_equal(f->p->notified[1], 2);
    assert_int_equal(f->p->notified[0], 1);
    assert_true(guest_used(g, 1, &id, &len));
    assert_int_equal(id, head);
    assert_int_equal(g->edges, 1);
    assert_int_equal(guest_read(g, R_ISR), 1);
    guest_write(g, R_ACK, 1);
    assert_int_equal(guest_read(g, R_ISR), 0);
    guest_write(g, R_NOTIFY, 2);
    guest_write(g, R_NOTIFY, UINT32_MAX);
    guest_pump(g);
    assert_int_equal(atomic_load(&f->p->dev.counters.notifications), 1);
    assert_int_equal(atomic_load(&f->p->dev.counters.interrupts), 1);
    assert_int_equal(atomic_load(&f->p->dev.counters.guest_errors), 2);
}

static void chains_before_driver_ok_are_found(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    guest_negotiate(g, SQ_VIRTIO_F_COMMON);
    guest_queue_place(g, 0, 8);
    guest_queue_start(g, 0);
    guest_add(g, 0, &one_buf, 1);
    guest_kick(g, 0);
    guest_pump(g);
    assert_int_equal(f->p->notified[0], 0);
    assert_int_equal(guest_used_idx(g, 0), 0);
    guest_write(g, R_STATUS, 15);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 0), 1);
}

static void queue_registers_stand_still(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    /* Before FEATURES_OK nothing can be started. */
    guest_write(g, R_STATUS, 3);
    guest_queue_place(g, 0, 8);
    guest_queue_start(g, 0);
    assert_int_equal(guest_read(g, R_QUEUE_READY), 0);
    guest_start(g, SQ_VIRTIO_F_COMMON, 8);
    guest_write(g, R_QUEUE_SEL, 0);
    guest_write(g, R_QUEUE_NUM, 4);
    guest_write(g, R_DESC, 0);
    assert_int_equal(f->p->dev.queue[0].size, 8);
    assert_int_equal(f->p->dev.queue[0].desc_gpa, 0x10000);
    /* Stopped, it stays stopped until reset. */
    guest_write(g, R_QUEUE_READY, 0);
    assert_int_equal(guest_read(g, R_QUEUE_READY), 0);
    guest_write(g, R_QUEUE_READY, 1);
    assert_int_equal(guest_read(g, R_QUEUE_READY), 0);
    guest_add(g, 0, &one_buf, 1);
    guest_kick(g, 0);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 0), 0);
}

static void bad_queue_needs_reset(void **state)
{
    static const struct {
        uint64_t desc;
        uint16_t size;
    } bad[] = {
        {0x10000, 0}, {0x10000, 7}, {0x10000, 32}, {0x10000, 0xffff},
        {0x10001, 8}, {1ull << 40, 8}, {~0ull << 4, 8},
    };
    struct fixture *f = *state;
    struct guest *g = &f->g;

    for (size_t i = 0; i < SQ_ARRAY_LEN(bad); i++) {
        guest_negotiate(g, SQ_VIRTIO_F_COMMON);
        guest_queue_place(g, 0, 8);
        g->q[0].desc = bad[i].desc;
        g->q[0].size = bad[i].size;
        guest_queue_start(g, 0);
        assert_int_equal(guest_read(g, R_QUEUE_READY), 0);
        assert_true(guest_needs_reset(g));
        assert_int_equal(g->edges, 0); /* not before DRIVER_OK */
    }
    guest_start(g, SQ_VIRTIO_F_COMMON, 8); /* the way out */
    assert_true(atomic_load(&f->p->dev.counters.activate_failed) > 0);
    assert_false(guest_needs_reset(g));
}

static void guest_error_needs_reset(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    const struct guest_buf bad = {GUEST_RAM, 64, true};

    guest_start(g, SQ_VIRTIO_F_COMMON, 8);
    guest_add(g, 0, &bad, 1);
    guest_kick(g, 0);
    guest_pump(g);
    assert_true(guest_needs_reset(g));
    assert_int_equal(g->edges, 1);
    assert_int_equal(guest_read(g, R_ISR), 2);
    assert_int_equal(atomic_load(&f->p->dev.counters.guest_errors), 1);
    /* All queues are silent, and the error is told once. */
    guest_add(g, 1, &one_buf, 1);
    guest_kick(g, 1);
    guest_kick(g, 0);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 1), 0);
    assert_int_equal(g->edges, 1);
    /* Writing the bit back does not clear it; reset does. */
    guest_write(g, R_STATUS, 15);
    assert_true(guest_needs_reset(g));
    guest_start(g, SQ_VIRTIO_F_COMMON, 8);
    guest_add(g, 1, &one_buf, 1);
    guest_kick(g, 1);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 1), 1);
    assert_int_equal(f->p->resets, 1);
    assert_int_equal(f->p->activated, 2);
}

static void reset_is_immediate(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    guest_start(g, SQ_VIRTIO_F_COMMON, 8);
    sq_virtio_config_changed(&f->p->dev);
    guest_add(g, 0, &one_buf, 1);
    guest_kick(g, 0);
    guest_write(g, R_STATUS, 0); /* before the loop came round */
    assert_int_equal(guest_read(g, R_STATUS), 0);
    assert_int_equal(guest_read(g, R_QUEUE_READY), 0);
    assert_int_equal(guest_read(g, R_ISR), 0);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 0), 0);
    assert_int_equal(f->p->resets, 1);
    guest_write(g, R_STATUS, 0);
    guest_pump(g);
    assert_int_equal(f->p->resets, 1); /* only after activation */
}

static void enter_sees_resets_first(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;

    assert_false(sq_virtio_enter(&f->p->dev));
    guest_start(g, SQ_VIRTIO_F_COMMON, 8);
    assert_true(sq_virtio_enter(&f->p->dev));
    sq_virtio_leave(&f->p->dev);
    /* A reset and a new start, both before the loop knows. */
    assert_int_equal(guest_negotiate(g, SQ_VIRTIO_F_COMMON), 11);
    guest_queue_place(g, 0, 8);
    guest_queue_start(g, 0);
    guest_add(g, 0, &one_buf, 1);
    guest_write(g, R_STATUS, 15);
    assert_false(sq_virtio_enter(&f->p->dev)); /* the old life is over */
    assert_int_equal(f->p->resets, 1);
    assert_int_equal(f->p->activated, 2);
    assert_true(sq_virtio_enter(&f->p->dev));
    sq_virtio_leave(&f->p->dev);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 0), 1);
}

static void notify_descriptor(void **state)
{
    struct fixture *f = *state;
    struct guest *g = &f->g;
    uint64_t one = 1;
    int fd = sq_transport_notify_fd(g->dev->transport, NULL);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, &one, 8), 8);
    guest_pump(g); /* no driver: nothing happens */
    guest_start(g, SQ_VIRTIO_F_COMMON, 8);
    guest_add(g, 1, &one_buf, 1);
    assert_int_equal(write(fd, &one, 8), 8);
    guest_pump(g);
    assert_int_equal(guest_used_idx(g, 1), 1);
    assert_int_equal(atomic_load(&f->p->dev.counters.notifications), 1);
}

/* vCPU threads that reset, start and notify while the loop works. */
static void *vcpu(void *arg)
{
    struct fixture *f = arg;
    struct guest *g = &f->g;

    for (int i = 0; i < 300; i++) {
        guest_negotiate(g, SQ_VIRTIO_F_COMMON);
        guest_queue_place(g, 0, 8);
        guest_queue_start(g, 0);
        guest_write(g, R_STATUS, 15);
        for (int k = 0; k < 8; k++) {
            guest_add(g, 0, &one_buf, 1);
            guest_kick(g, 0);
        }
        if (i % 3 == 0)
            while (guest_used_idx(g, 0) != 8)
                guest_write(g, R_ACK, guest_read(g, R_ISR));
    }
    guest_write(g, R_STATUS, 0);
    sq_poller_stop(g->poller);
    return NULL;
}

static void threads(void **state)
{
    struct fixture *f = *state;
    pthread_t t;

    assert_int_equal(pthread_create(&t, NULL, vcpu, f), 0);
    assert_int_equal(sq_poller_run(f->g.poller, NULL), 0);
    pthread_join(t, NULL);
    guest_pump(&f->g);
    assert_int_equal(f->p->activated, f->p->resets);
    assert_int_equal(atomic_load(&f->p->dev.counters.guest_errors), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(identity),
        T(odd_accesses_are_harmless),
        T(config_space),
        T(features_are_checked),
        T(status_only_grows),
        T(queues_run_on_the_loop),
        T(chains_before_driver_ok_are_found),
        T(queue_registers_stand_still),
        T(bad_queue_needs_reset),
        T(guest_error_needs_reset),
        T(reset_is_immediate),
        T(enter_sees_resets_first),
        T(notify_descriptor),
        T(threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
