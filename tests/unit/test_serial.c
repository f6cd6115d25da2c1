/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port, driven through a port bus as Linux's driver does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dev/bus.h"
#include "dev/legacy/serial.h"

#define COM1 0x3f8

struct fixture {
    struct sq_bus bus;
    struct sq_serial serial;
    bool level;
    unsigned edges, drained;
    uint8_t out[64];
    size_t out_len;
};

static void irq_set(void *ctx, uint32_t gsi, bool level)
{
    struct fixture *f = ctx;

    assert_int_equal(gsi, 4);
    assert_int_not_equal(f->level, level); /* changes only */
    f->edges += level;
    f->level = level;
}

static void out(void *ctx, const uint8_t *data, size_t len)
{
    struct fixture *f = ctx;

    for (size_t i = 0; i < len; i++)
        f->out[f->out_len++ % sizeof(f->out)] = data[i];
}

static void drained(void *ctx)
{
    struct fixture *f = ctx;

    f->drained++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct sq_serial_config config = {
        .irq = {.set = irq_set, .ctx = f, .gsi = 4},
        .out = out,
        .drained = drained,
        .ctx = f,
    };

    if (!f || sq_serial_init(&f->serial, &config, NULL) ||
        sq_bus_add(&f->bus, "serial", COM1, SQ_SERIAL_PORTS, &sq_serial_ops,
                   &f->serial, NULL))
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sq_serial_fini(&f->serial);
    free(f);
    return 0;
}

static uint8_t in(struct fixture *f, unsigned reg)
{
    uint8_t v;

    assert_true(sq_bus_read(&f->bus, COM1 + reg, &v, 1));
    return v;
}

static void put(struct fixture *f, unsigned reg, uint8_t v)
{
    assert_true(sq_bus_write(&f->bus, COM1 + reg, &v, 1));
}

static void test_output(void **state)
{
    struct fixture *f = *state;

    for (const char *p = "hello\n"; *p; p++) {
        assert_int_equal(in(f, 5) & 0x60, 0x60);
        put(f, 0, (uint8_t)*p);
    }
    assert_int_equal(f->out_len, 6);
    assert_memory_equal(f->out, "hello\n", 6);
    assert_int_equal(f->edges, 0); /* nothing was enabled */
    assert_int_equal(atomic_load(&f->serial.counters.sent), 6);
    in(f, 0); /* nothing there */
    assert_int_equal(sq_serial_input(&f->serial, (const uint8_t *)"ab", 2),
                     2);
    assert_int_equal(in(f, 0), 'a');
    assert_int_equal(atomic_load(&f->serial.counters.received), 1);
}

/* The steps by which drivers tell a 16550A from its relatives. */
static void test_probe(void **state)
{
    struct fixture *f = *state;

    put(f, 1, 0);
    assert_int_equal(in(f, 1), 0);
    put(f, 1, 0x0f);
    assert_int_equal(in(f, 1) & 0x0f, 0x0f);
    put(f, 1, 0xff);
    assert_int_equal(in(f, 1), 0x0f); /* no sleep mode: not a 16750 */
    put(f, 1, 0);
    put(f, 4, 0x1a); /* loopback, OUT2, RTS */
    assert_int_equal(in(f, 6) & 0xf0, 0x90);
    put(f, 4, 0);
    put(f, 7, 0xa5);
    assert_int_equal(in(f, 7), 0xa5);
    put(f, 2, 1);
    assert_int_equal(in(f, 2) >> 6, 3); /* has a working FIFO */
    put(f, 3, 0x80);
    put(f, 0, 0x34);
    put(f, 1, 0x12);
    assert_int_equal(in(f, 0), 0x34);
    assert_int_equal(in(f, 1), 0x12);
    put(f, 3, 0x03);
    assert_int_equal(in(f, 1), 0); /* IER was not touched */
    put(f, 2, 0);
    assert_int_equal(in(f, 2) >> 6, 0);
}

static void test_thre_interrupt(void **state)
{
    struct fixture *f = *state;

    put(f, 1, 2); /* enabling finds the transmitter empty */
    assert_true(f->level);
    assert_int_equal(in(f, 2) & 0x0f, 2);
    assert_false(f->level); /* reading IIR acknowledged it */
    assert_int_equal(in(f, 2) & 0x0f, 1);
    put(f, 0, 'x');
    assert_true(f->level);
    put(f, 1, 0);
    assert_false(f->level);
    put(f, 1, 2); /* again at once */
    assert_true(f->level);
    assert_int_equal(f->edges, 3);
}

static void test_input(void **state)
{
    struct fixture *f = *state;

    put(f, 2, 0x81); /* FIFO, trigger level 8 */
    put(f, 1, 1);
    assert_int_equal(sq_serial_input(&f->serial, (uint8_t *)"abc", 3), 3);
    assert_true(f->level);
    assert_int_equal(in(f, 2) & 0x0f, 0x0c); /* below the trigger */
    assert_int_equal(in(f, 5) & 1, 1);
    assert_int_equal(in(f, 0), 'a');
    assert_true(f->level); /* more to read */
    assert_int_equal(in(f, 0), 'b');
    assert_int_equal(in(f, 0), 'c');
    assert_false(f->level);
    assert_int_equal(in(f, 5) & 1, 0);
    assert_int_equal(in(f, 0), 0);
    assert_int_equal(sq_serial_input(&f->serial, (uint8_t *)"12345678", 8),
                     8);
    assert_int_equal(in(f, 2) & 0x0f, 4);
    put(f, 2, 0x83); /* thrown away */
    assert_false(f->level);
    assert_int_equal(f->edges, 2);
    /* Input before output in priority. */
    put(f, 1, 3);
    assert_int_equal(sq_serial_input(&f->serial, (uint8_t *)"z", 1), 1);
    assert_int_equal(in(f, 2) & 0x0f, 0x0c);
    in(f, 0);
    assert_int_equal(in(f, 2) & 0x0f, 2);
}

static void test_flood(void **state)
{
    struct fixture *f = *state;
    uint8_t data[3000];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    assert_int_equal(sq_serial_room(&f->serial), SQ_SERIAL_INPUT_MAX);
    assert_int_equal(sq_serial_input(&f->serial, data, sizeof(data)),
                     SQ_SERIAL_INPUT_MAX);
    assert_int_equal(sq_serial_room(&f->serial), 0);
    assert_int_equal(sq_serial_input(&f->serial, data, 1), 0);
    for (size_t i = 0; i < SQ_SERIAL_INPUT_MAX; i++) {
        assert_int_equal(f->drained, 0);
        assert_int_equal(in(f, 0), (uint8_t)i);
    }
    assert_int_equal(f->drained, 1);
    /* The next is not counted: the queue was not full. */
    assert_int_equal(sq_serial_input(&f->serial, data, 1), 1);
    in(f, 0);
    assert_int_equal(f->drained, 1);
}

static void test_loopback(void **state)
{
    struct fixture *f = *state;

    put(f, 1, 0x0f);
    while ((in(f, 2) & 1) == 0)
        continue;
    put(f, 4, 0x10);
    in(f, 6);
    put(f, 0, 'L');
    assert_int_equal(f->out_len, 0);
    assert_false(f->level); /* the chip's output is off */
    assert_int_equal(in(f, 5) & 1, 1);
    assert_int_equal(in(f, 0), 'L');
    assert_int_equal(sq_serial_input(&f->serial, (uint8_t *)"x", 1), 0);
    put(f, 4, 0x12); /* RTS comes back as CTS, as a change */
    assert_int_equal(in(f, 6), 0x11);
    assert_int_equal(in(f, 6), 0x10);
    /* A full queue tells of the loss once. */
    for (int i = 0; i < SQ_SERIAL_INPUT_MAX + 5; i++)
        put(f, 0, 'q');
    assert_int_equal(in(f, 5) & 3, 3);
    assert_int_equal(in(f, 5) & 3, 1);
}

/* Any access of any width and value: nothing but the state changes. */
static void test_hostile(void **state)
{
    struct fixture *f = *state;
    uint32_t noise = 7;

    for (int i = 0; i < 300000; i++) {
        uint8_t data[8];
        unsigned len, off;

        noise = noise * 1664525 + 1013904223;
        off = noise >> 28 & 7;
        len = 1u << (noise >> 26 & 3);
        memset(data, (int)(noise >> 10), sizeof(data));
        if (noise >> 9 & 1)
            sq_bus_write(&f->bus, COM1 + off, data, len);
        else
            sq_bus_read(&f->bus, COM1 + off, data, len);
        if (i % 7 == 0)
            sq_serial_input(&f->serial, data, len);
        assert_in_range(sq_serial_room(&f->serial), 0, SQ_SERIAL_INPUT_MAX);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_output),
        TEST(test_probe),
        TEST(test_thre_interrupt),
        TEST(test_input),
        TEST(test_flood),
        TEST(test_loopback),
        TEST(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
