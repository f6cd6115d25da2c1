/* SPDX-License-Identifier: Apache-2.0 */
/* The dispatch loop, driven by scripted exits of every kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <squib/squib.h>

#include "backends/mock/mock.h"
#include "base/util.h"
#include "vmm/dispatch.h"

struct fixture {
    struct sq_mock mock;
    struct squib_memory *mem;
    struct squib_vm *vm;
    struct squib_vcpu *vcpu;
    struct sq_bus mmio, pio;
    struct sq_dispatch dispatch;
    struct sq_vcpu_metrics metrics;
    struct squib_exit script[8];
    /* What happened. */
    uint64_t wrote_off, wrote;
    unsigned wrote_len;
    int stops, commands, commands_left;
    enum sq_outcome_kind kind;
    char text[256];
};

static void dev_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    (void)dev;
    for (unsigned i = 0; i < len; i++)
        data[i] = (uint8_t)(0x10 * (off + 1) + i);
}

static void dev_write(void *dev, uint64_t off, const uint8_t *data,
                      unsigned len)
{
    struct fixture *f = dev;

    f->wrote_off = off;
    f->wrote_len = len;
    f->wrote = 0;
    memcpy(&f->wrote, data, len);
}

static const struct sq_bus_ops dev_ops = {dev_read, dev_write};

static void on_stop(void *ctx, enum sq_outcome_kind kind, const char *text)
{
    struct fixture *f = ctx;

    if (f->stops++ == 0) {
        f->kind = kind;
        snprintf(f->text, sizeof(f->text), "%s", text ? text : "");
    }
}

/* Ends the loop after commands_left looks. */
static bool on_command(void *ctx, uint32_t index)
{
    struct fixture *f = ctx;

    assert_int_equal(index, 0);
    f->commands++;
    return f->commands_left-- > 0;
}

static uint64_t call_sum(void *ctx, const uint64_t args[6])
{
    uint64_t sum = *(uint64_t *)ctx;

    for (int i = 0; i < 6; i++)
        sum += args[i];
    return sum;
}

static int setup(void **state)
{
    static uint64_t base = 1000;
    static const struct sq_hypercall calls[] = {{7, call_sum, &base}};
    struct squib_vm_config config = {.vcpus = 1};
    struct fixture *f = test_calloc(1, sizeof(*f));

    sq_mock_init(&f->mock);
    assert_int_equal(squib_memory_new(&f->mem, NULL), 0);
    assert_int_equal(squib_memory_add(f->mem, (struct squib_range){0, 4096},
                                      NULL), 0);
    sq_mock_use(&f->mock);
    assert_int_equal(squib_vm_new(&sq_backend_mock, &config, f->mem, &f->vm,
                                  NULL), 0);
    assert_int_equal(squib_vcpu_new(f->vm, 0, &f->vcpu, NULL), 0);
    assert_int_equal(sq_bus_add(&f->mmio, "m", 0xd0000000, 0x1000, &dev_ops,
                                f, NULL), 0);
    assert_int_equal(sq_bus_add(&f->pio, "p", 0x3f8, 8, &dev_ops, f, NULL),
                     0);
    f->dispatch = (struct sq_dispatch){
        .mmio = &f->mmio, .pio = &f->pio, .hypercalls = calls,
        .hypercall_count = 1, .stop = on_stop, .command = on_command,
        .ctx = f,
    };
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    squib_vcpu_free(f->vcpu);
    squib_vm_free(f->vm);
    squib_memory_free(f->mem);
    sq_mock_destroy(&f->mock);
    test_free(f);
    return 0;
}

/* Runs the script; at its end comes CANCELED and the loop is told to end.
 */
static void run(struct fixture *f, const struct squib_exit *exits, size_t n)
{
    assert_true(n < SQ_ARRAY_LEN(f->script));
    memcpy(f->script, exits, n * sizeof(*exits));
    f->script[n].kind = SQUIB_EXIT_CANCELED;
    f->mock.vcpu[0].exits = f->script;
    f->mock.vcpu[0].exit_count = n + 1;
    sq_dispatch_run(&f->dispatch, f->vcpu, &f->metrics);
}

static uint64_t seen(const struct fixture *f, enum squib_exit_kind kind)
{
    return sq_counter_get(&f->metrics.exits[kind]);
}

static void mmio(void **state)
{
    struct fixture *f = *state;
    const struct squib_exit exits[] = {
        {.kind = SQUIB_EXIT_MMIO,
         .mmio = {.gpa = 0xd0000004, .len = 4, .write = true,
                  .data = {1, 2, 3, 4}}},
        {.kind = SQUIB_EXIT_MMIO, .mmio = {.gpa = 0xd0000001, .len = 8}},
        {.kind = SQUIB_EXIT_MMIO, .mmio = {.gpa = 0xdead0000, .len = 2}},
        {.kind = SQUIB_EXIT_MMIO,
         .mmio = {.gpa = 0xdead0000, .len = 2, .write = true}},
    };
    const struct squib_exit *a = f->mock.vcpu[0].answers;

    run(f, exits, SQ_ARRAY_LEN(exits));
    assert_int_equal(f->wrote_off, 4);
    assert_int_equal(f->wrote_len, 4);
    assert_int_equal(f->wrote, 0x04030201);
    assert_int_equal(a[1].mmio.data[0], 0x20);
    assert_int_equal(a[1].mmio.data[7], 0x27);
    assert_int_equal(a[2].mmio.data[0], 0xff); /* nobody there */
    assert_int_equal(a[2].mmio.data[1], 0xff);
    assert_int_equal(seen(f, SQUIB_EXIT_MMIO), 4);
    assert_int_equal(sq_counter_get(&f->metrics.mmio_unclaimed), 2);
    assert_int_equal(f->stops, 0);
}

static void pio(void **state)
{
    struct fixture *f = *state;
    const struct squib_exit exits[] = {
        {.kind = SQUIB_EXIT_PIO,
         .pio = {.port = 0x3fb, .len = 1, .write = true, .data = {0x80}}},
        {.kind = SQUIB_EXIT_PIO, .pio = {.port = 0x3f9, .len = 2}},
        {.kind = SQUIB_EXIT_PIO, .pio = {.port = 0xffff, .len = 4}},
    };
    const struct squib_exit *a = f->mock.vcpu[0].answers;

    run(f, exits, SQ_ARRAY_LEN(exits));
    assert_int_equal(f->wrote_off, 3);
    assert_int_equal(f->wrote, 0x80);
    assert_int_equal(a[1].pio.data[0], 0x20);
    assert_int_equal(a[1].pio.data[1], 0x21);
    assert_int_equal(a[2].pio.data[3], 0xff);
    assert_int_equal(sq_counter_get(&f->metrics.pio_unclaimed), 1);
    assert_int_equal(seen(f, SQUIB_EXIT_PIO), 3);
}

static void hypercalls(void **state)
{
    struct fixture *f = *state;
    const struct squib_exit exits[] = {
        {.kind = SQUIB_EXIT_HYPERCALL,
         .hypercall = {.function = 7, .args = {1, 2, 3, 4, 5, 6}}},
        {.kind = SQUIB_EXIT_HYPERCALL, .hypercall = {.function = 8}},
    };
    const struct squib_exit *a = f->mock.vcpu[0].answers;

    run(f, exits, SQ_ARRAY_LEN(exits));
    assert_int_equal(a[0].hypercall.ret, 1021);
    assert_true(a[1].hypercall.ret == SQ_HYPERCALL_UNKNOWN);
    assert_int_equal(sq_counter_get(&f->metrics.hypercalls_unknown), 1);
}

static void idle_kinds_park(void **state)
{
    struct fixture *f = *state;
    const struct squib_exit exits[] = {
        {.kind = SQUIB_EXIT_HLT, .idle = {111}},
        {.kind = SQUIB_EXIT_WFI, .idle = {222}},
        {.kind = SQUIB_EXIT_WFE, .idle = {333}},
    };

    f->commands_left = 3;
    run(f, exits, SQ_ARRAY_LEN(exits));
    assert_int_equal(sq_mock_count(&f->mock, SQ_MOCK_PARK), 3);
    for (uint64_t i = 0; i < 3; i++)
        for (size_t k = 0, n = 0; k < f->mock.event_count; k++)
            if (f->mock.events[k].kind == SQ_MOCK_PARK && n++ == i)
                assert_int_equal(f->mock.events[k].b, 111 * (i + 1));
    /* After each wait the command word is read: park may take a cancel. */
    assert_int_equal(f->commands, 4);
    assert_int_equal(f->stops, 0);
}

static void canceled_reads_command(void **state)
{
    struct fixture *f = *state;
    const struct squib_exit exits[] = {
        {.kind = SQUIB_EXIT_CANCELED},
        {.kind = SQUIB_EXIT_CANCELED},
        {.kind = SQUIB_EXIT_RESET},
    };

    f->commands_left = 1;
    run(f, exits, SQ_ARRAY_LEN(exits));
    assert_int_equal(f->commands, 2);
    assert_int_equal(f->stops, 0); /* it was told to end before RESET */
}

static void check_stop(struct fixture *f, struct squib_exit exit,
                       enum sq_outcome_kind kind, const char *text)
{
    run(f, &exit, 1);
    assert_int_equal(f->stops, 1);
    assert_int_equal(f->kind, kind);
    if (!strstr(f->text, text))
        fail_msg("'%s' is not in '%s'", text, f->text);
    assert_int_equal(f->commands, 0);
}

static void reset(void **state)
{
    check_stop(*state, (struct squib_exit){.kind = SQUIB_EXIT_RESET},
               SQ_OUTCOME_RESET, "");
}

static void shutdown(void **state)
{
    check_stop(*state, (struct squib_exit){.kind = SQUIB_EXIT_SHUTDOWN},
               SQ_OUTCOME_SHUTDOWN, "");
}

static void triple_fault(void **state)
{
    check_stop(*state, (struct squib_exit){.kind = SQUIB_EXIT_SHUTDOWN,
                                           .shutdown = {.fault = true}},
               SQ_OUTCOME_TRIPLE_FAULT, "");
}

static void internal_error(void **state)
{
    check_stop(*state, (struct squib_exit){
                   .kind = SQUIB_EXIT_INTERNAL_ERROR,
                   .internal_error = {"no such opcode", {0x12, 0x34}}},
               SQ_OUTCOME_INTERNAL_ERROR, "no such opcode (0x12, 0x34)");
}

static void debug(void **state)
{
    check_stop(*state, (struct squib_exit){.kind = SQUIB_EXIT_DEBUG,
                                           .debug = {0x1000, 1}},
               SQ_OUTCOME_INTERNAL_ERROR, "0x1000");
}

static void unknown_kind(void **state)
{
    struct fixture *f = *state;

    check_stop(f, (struct squib_exit){
                   .kind = (enum squib_exit_kind)SQUIB_EXIT_COUNT},
               SQ_OUTCOME_INTERNAL_ERROR, "unknown kind");
    assert_int_equal(sq_counter_get(&f->metrics.exits_unknown), 1);
}

static void impossible_length(void **state)
{
    check_stop(*state, (struct squib_exit){.kind = SQUIB_EXIT_MMIO,
                                           .mmio = {.len = 9}},
               SQ_OUTCOME_INTERNAL_ERROR, "length");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mmio), TEST(pio), TEST(hypercalls), TEST(idle_kinds_park),
        TEST(canceled_reads_command), TEST(reset), TEST(shutdown),
        TEST(triple_fault), TEST(internal_error), TEST(debug),
        TEST(unknown_kind), TEST(impossible_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
