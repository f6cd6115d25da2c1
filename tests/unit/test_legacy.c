/* SPDX-License-Identifier: Apache-2.0 */
/* The legacy devices other than the serial port, as one set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dev/bus.h"
#include "dev/legacy/legacy.h"

struct fixture {
    struct sq_bus bus;
    struct sq_legacy legacy;
    bool level;
    unsigned edges, resets, shutdowns;
};

static void irq_set(void *ctx, uint32_t gsi, bool level)
{
    struct fixture *f = ctx;

    assert_int_equal(gsi, 1);
    f->edges += level && !f->level;
    f->level = level;
}

static void on_reset(void *ctx) { ((struct fixture *)ctx)->resets++; }
static void on_shutdown(void *ctx) { ((struct fixture *)ctx)->shutdowns++; }

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct sq_legacy_config config = {
        .serial_port = 0x3f8,
        .keyboard_irq = {.set = irq_set, .ctx = f, .gsi = 1},
        .sleep_port = 0x600,
        .sleep_type_off = 5,
        .reset = on_reset,
        .shutdown = on_shutdown,
        .ctx = f,
    };

    if (!f || sq_legacy_init(&f->legacy, &config, &f->bus, NULL))
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sq_legacy_fini(&f->legacy);
    free(f);
    return 0;
}

static uint8_t in(struct fixture *f, uint16_t port)
{
    uint8_t v;

    assert_true(sq_bus_read(&f->bus, port, &v, 1));
    return v;
}

static void put(struct fixture *f, uint16_t port, uint8_t v)
{
    assert_true(sq_bus_write(&f->bus, port, &v, 1));
}

/* One answer waits, and this is it. */
static void expect(struct fixture *f, uint8_t byte)
{
    assert_int_equal(in(f, 0x64) & 3, 1);
    assert_int_equal(in(f, 0x60), byte);
}

static void expect_none(struct fixture *f)
{
    assert_int_equal(in(f, 0x64) & 3, 0);
}

static void test_i8042_probe(void **state)
{
    struct fixture *f = *state;
    uint8_t ctr;

    expect_none(f);
    put(f, 0x64, 0xaa);
    expect(f, 0x55);
    put(f, 0x64, 0x20);
    ctr = in(f, 0x60);
    put(f, 0x64, 0x60);
    put(f, 0x60, ctr & 0xfe);
    put(f, 0x64, 0x20);
    expect(f, ctr & 0xfe);
    put(f, 0x64, 0xd3); /* no mouse: the echo is not marked as its byte */
    put(f, 0x60, 0x5a);
    assert_int_equal(in(f, 0x64) & 0x20, 0);
    expect(f, 0x5a);
    put(f, 0x64, 0xa9);
    expect(f, 0x01);
    put(f, 0x64, 0xab);
    expect(f, 0x00);
    put(f, 0x60, 0xf2); /* identify: a translated AT keyboard */
    expect(f, 0xfa);
    expect(f, 0xab);
    expect(f, 0x83);
    put(f, 0x60, 0xed);
    expect(f, 0xfa);
    put(f, 0x60, 0x07);
    expect(f, 0xfa);
    expect_none(f);
    assert_int_equal(f->resets, 0);
}

static void test_i8042_reset(void **state)
{
    struct fixture *f = *state;

    put(f, 0x64, 0xff); /* pulses nothing */
    assert_int_equal(f->resets, 0);
    put(f, 0x64, 0xfe);
    assert_int_equal(f->resets, 1);
    assert_int_equal(atomic_load(&f->legacy.i8042.counters.resets), 1);
    assert_int_equal(atomic_load(&f->legacy.i8042.counters.writes), 2);
    put(f, 0x64, 0xd1);
    put(f, 0x60, 0x03);
    assert_int_equal(f->resets, 1);
    put(f, 0x64, 0xd1);
    put(f, 0x60, 0x02);
    assert_int_equal(f->resets, 2);
    put(f, 0x92, 0x02);
    assert_int_equal(f->resets, 2);
    put(f, 0x92, 0x03);
    assert_int_equal(f->resets, 3);
    put(f, 0xcf9, 0x02);
    assert_int_equal(f->resets, 3);
    put(f, 0xcf9, 0x06);
    assert_int_equal(f->resets, 4);
    assert_int_equal(f->shutdowns, 0);
}

static void test_ctrl_alt_del(void **state)
{
    static const uint8_t translated[] = {0x1d, 0x38, 0xe0, 0x53,
                                         0xe0, 0xd3, 0xb8, 0x9d};
    struct fixture *f = *state;

    assert_true(sq_i8042_ctrl_alt_del(&f->legacy.i8042));
    assert_true(f->level);
    for (unsigned i = 0; i < sizeof(translated); i++) {
        assert_int_equal(f->edges, i + 1); /* each byte is an edge */
        expect(f, translated[i]);
    }
    assert_false(f->level);
    put(f, 0x64, 0xad); /* keyboard off */
    assert_false(sq_i8042_ctrl_alt_del(&f->legacy.i8042));
    expect_none(f);
    put(f, 0x64, 0xae);
    for (int i = 0; i < 8; i++)
        assert_true(sq_i8042_ctrl_alt_del(&f->legacy.i8042));
    assert_false(sq_i8042_ctrl_alt_del(&f->legacy.i8042)); /* full */
}

static void test_power(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(in(f, 0x600), 0);
    assert_int_equal(in(f, 0x601), 0);
    put(f, 0x601, 0x80);
    put(f, 0x600, 5 << 2); /* without SLP_EN */
    put(f, 0x600, 3 << 2 | 0x20);
    put(f, 0x601, 5 << 2 | 0x20);
    assert_int_equal(f->shutdowns, 0);
    put(f, 0x600, 5 << 2 | 0x20);
    assert_int_equal(f->shutdowns, 1);
    assert_int_equal(f->resets, 0);
}

static void test_quiet_ports(void **state)
{
    struct fixture *f = *state;

    put(f, 0x80, 0x42);
    put(f, 0x21, 0xfb);
    assert_int_equal(in(f, 0x21), 0xff); /* "no PIC" */
    assert_int_equal(in(f, 0x61) & 0x20, 0x20);
    assert_int_equal(in(f, 0x42), 0);
}

static int64_t fixed_time(void *ctx)
{
    return *(int64_t *)ctx;
}

static uint8_t cmos(struct sq_bus *bus, uint8_t index)
{
    uint8_t v = index;

    assert_true(sq_bus_write(bus, 0x70, &v, 1));
    assert_true(sq_bus_read(bus, 0x71, &v, 1));
    return v;
}

static void cmos_set(struct sq_bus *bus, uint8_t index, uint8_t v)
{
    assert_true(sq_bus_write(bus, 0x70, &index, 1));
    assert_true(sq_bus_write(bus, 0x71, &v, 1));
}

static void test_rtc(void **state)
{
    int64_t now = 1709229599; /* Thu 2024-02-29 17:59:59 UTC */
    const struct sq_rtc_config config = {.now = fixed_time, .ctx = &now};
    struct sq_bus *bus = calloc(1, sizeof(*bus));
    struct sq_rtc rtc;

    (void)state;
    assert_int_equal(sq_rtc_init(&rtc, &config, NULL), 0);
    assert_int_equal(sq_bus_add(bus, "rtc", 0x70, 2, &sq_rtc_ops, &rtc,
                                NULL), 0);
    assert_int_equal(cmos(bus, 10) & 0x80, 0); /* never updating */
    assert_int_equal(cmos(bus, 11) & 0x06, 0x02);
    assert_int_equal(cmos(bus, 13), 0x80);
    assert_int_equal(cmos(bus, 0), 0x59);
    assert_int_equal(cmos(bus, 2), 0x59);
    assert_int_equal(cmos(bus, 4), 0x17);
    assert_int_equal(cmos(bus, 6), 5);
    assert_int_equal(cmos(bus, 7), 0x29);
    assert_int_equal(cmos(bus, 8), 0x02);
    assert_int_equal(cmos(bus, 9), 0x24);
    assert_int_equal(cmos(bus, 0x32), 0x20);
    cmos_set(bus, 0, 0x11); /* the host's clock stays */
    assert_int_equal(cmos(bus, 0), 0x59);
    cmos_set(bus, 11, 0x04); /* binary, 12 hours */
    assert_int_equal(cmos(bus, 0), 59);
    assert_int_equal(cmos(bus, 4), 5 | 0x80);
    assert_int_equal(cmos(bus, 0x32), 20);
    now += 6 * 3600 + 1; /* midnight */
    assert_int_equal(cmos(bus, 4), 12);
    cmos_set(bus, 0x40, 0xab);
    assert_int_equal(cmos(bus, 0x40 | 0x80), 0xab);
    now = INT64_MAX; /* beyond any calendar */
    for (unsigned i = 0; i < 256; i++)
        cmos(bus, (uint8_t)i);
    sq_rtc_fini(&rtc);
    free(bus);
}

static void test_conflict(void **state)
{
    struct fixture *f = *state;
    struct sq_legacy_config config = {.sleep_port = 0x60};
    struct sq_bus *bus = calloc(1, sizeof(*bus));
    struct sq_legacy legacy;

    (void)f;
    assert_int_equal(sq_legacy_init(&legacy, &config, bus, NULL),
                     SQUIB_E_RANGE);
    memset(bus, 0, sizeof(*bus));
    config.sleep_port = 0x600;
    config.real_pic = config.real_pit = true;
    assert_int_equal(sq_legacy_init(&legacy, &config, bus, NULL), 0);
    for (uint16_t port = 0x20; port < 0x62; port++) {
        uint8_t v;

        assert_int_equal(sq_bus_read(bus, port, &v, 1), port == 0x60);
    }
    sq_legacy_fini(&legacy);
    free(bus);
}

static void test_hostile(void **state)
{
    static const uint16_t bases[] = {0x20, 0x40, 0x5e, 0x62, 0x6e, 0x80,
                                     0x90, 0xa0, 0x3f8, 0x4d0, 0x5fe, 0xcf6};
    struct fixture *f = *state;
    uint32_t noise = 99;

    for (int i = 0; i < 300000; i++) {
        uint8_t data[4];
        uint16_t port;
        unsigned len;

        noise = noise * 1664525 + 1013904223;
        port = (uint16_t)(bases[(noise >> 8) % 12] + (noise >> 28 & 7));
        len = 1u << (noise >> 26) % 3;
        memset(data, (int)(noise >> 16), sizeof(data));
        if (noise >> 9 & 1)
            sq_bus_write(&f->bus, port, data, len);
        else
            sq_bus_read(&f->bus, port, data, len);
        if (i % 1000 == 0)
            sq_i8042_ctrl_alt_del(&f->legacy.i8042);
    }
    assert_in_range(f->legacy.i8042.count, 0, SQ_I8042_QUEUE_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_i8042_probe), TEST(test_i8042_reset),
        TEST(test_ctrl_alt_del), TEST(test_power), TEST(test_quiet_ports),
        TEST(test_rtc),         TEST(test_conflict), TEST(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
