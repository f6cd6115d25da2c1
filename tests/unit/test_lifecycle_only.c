/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend that tells of a machine's life alone, as one on
 * Virtualization.framework would: the guest stopped, stopped with an error,
 * or was stopped from here. Its exits go through the same dispatch loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <squib/squib.h>

#include "backends/mock/mock.h"
#include "vmm/dispatch.h"

struct fixture {
    struct sq_mock mock;
    struct squib_memory *mem;
    struct squib_vm *vm;
    struct squib_vcpu *vcpu;
    struct sq_vcpu_metrics metrics;
    int stops, commands;
    enum sq_outcome_kind kind;
    char text[800];
};

static void on_stop(void *ctx, enum sq_outcome_kind kind, const char *text)
{
    struct fixture *f = ctx;

    f->stops++;
    f->kind = kind;
    snprintf(f->text, sizeof(f->text), "%s", text ? text : "");
}

static bool on_command(void *ctx, uint32_t index)
{
    struct fixture *f = ctx;

    (void)index;
    f->commands++;
    return false;
}

static void open_vm(struct fixture *f)
{
    const struct squib_vm_config config = {.vcpus = 1};

    memset(f, 0, sizeof(*f));
    sq_mock_init(&f->mock);
    sq_mock_use(&f->mock);
    assert_int_equal(squib_memory_new(&f->mem, NULL), 0);
    assert_int_equal(squib_vm_new(&sq_backend_mock_lifecycle, &config,
                                  f->mem, &f->vm, NULL), 0);
    assert_int_equal(squib_vcpu_new(f->vm, 0, &f->vcpu, NULL), 0);
}

static void close_vm(struct fixture *f)
{
    squib_vcpu_free(f->vcpu);
    squib_vm_free(f->vm);
    squib_memory_free(f->mem);
    sq_mock_destroy(&f->mock);
}

/* One exit through the dispatch loop, with no device anywhere. */
static void dispatch(struct fixture *f, const struct squib_exit *e)
{
    const struct sq_bus none = {0};
    const struct sq_dispatch d = {
        .mmio = &none, .pio = &none, .stop = on_stop,
        .command = on_command, .ctx = f,
    };

    f->mock.vcpu[0].exits = e;
    f->mock.vcpu[0].exit_count = 1;
    sq_dispatch_run(&d, f->vcpu, &f->metrics);
}

static void kinds(void **state)
{
    unsigned n = 0;

    (void)state;
    for (unsigned k = 0; k < SQUIB_EXIT_COUNT + 2u; k++)
        n += squib_exit_is_lifecycle((enum squib_exit_kind)k);
    assert_int_equal(n, 4);
    assert_true(squib_exit_is_lifecycle(SQUIB_EXIT_SHUTDOWN));
    assert_true(squib_exit_is_lifecycle(SQUIB_EXIT_INTERNAL_ERROR));
    assert_false(squib_exit_is_lifecycle(SQUIB_EXIT_MMIO));
}

/* What needs exits or interrupts is refused before anything starts. */
static void refused(void **state)
{
    const struct squib_vm_config irqchip = {.vcpus = 1, .irqchip = true};
    const struct squib_vm_config log = {.vcpus = 1, .dirty_log = true};
    const struct squib_backend *be = &sq_backend_mock_lifecycle;
    struct squib_memory *mem;
    struct squib_vm *vm;

    (void)state;
    assert_int_equal(squib_memory_new(&mem, NULL), 0);
    assert_false(squib_backend_caps(be) & SQUIB_CAP_VCPU_EXITS);
    assert_int_equal(squib_vm_new(be, &irqchip, mem, &vm, NULL),
                     SQUIB_E_NOSUPPORT);
    assert_int_equal(squib_vm_new(be, &log, mem, &vm, NULL),
                     SQUIB_E_NOSUPPORT);
    squib_memory_free(mem);
}

static void guest_stopped(void **state)
{
    const struct squib_exit e = {.kind = SQUIB_EXIT_SHUTDOWN};
    struct fixture f;

    (void)state;
    open_vm(&f);
    dispatch(&f, &e);
    assert_int_equal(f.stops, 1);
    assert_int_equal(f.kind, SQ_OUTCOME_SHUTDOWN);
    close_vm(&f);
}

static void stopped_with_error(void **state)
{
    const struct squib_exit e = {
        .kind = SQUIB_EXIT_INTERNAL_ERROR,
        .internal_error = {.text = "the virtual machine stopped unexpectedly",
                           .detail = {1, 0}}};
    struct fixture f;

    (void)state;
    open_vm(&f);
    dispatch(&f, &e);
    assert_int_equal(f.stops, 1);
    assert_int_equal(f.kind, SQ_OUTCOME_INTERNAL_ERROR);
    assert_non_null(strstr(f.text, "stopped unexpectedly"));
    close_vm(&f);
}

static void stopped_from_here(void **state)
{
    const struct squib_exit e = {.kind = SQUIB_EXIT_SHUTDOWN};
    struct fixture f;

    (void)state;
    open_vm(&f);
    squib_vcpu_cancel(f.vcpu);
    dispatch(&f, &e);
    assert_int_equal(f.commands, 1);
    assert_int_equal(f.stops, 0);
    close_vm(&f);
}

/* A backend that breaks its word is found out and not obeyed. */
static void breaks_its_word(void **state)
{
    const struct squib_exit e = {
        .kind = SQUIB_EXIT_MMIO,
        .mmio = {.gpa = 0x1000, .len = 4, .write = true}};
    struct fixture f;

    (void)state;
    open_vm(&f);
    dispatch(&f, &e);
    assert_int_equal(f.kind, SQ_OUTCOME_INTERNAL_ERROR);
    assert_int_equal(sq_counter_get(&f.metrics.exits[SQUIB_EXIT_MMIO]), 0);
    close_vm(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(refused),
        cmocka_unit_test(guest_stopped),
        cmocka_unit_test(stopped_with_error),
        cmocka_unit_test(stopped_from_here),
        cmocka_unit_test(breaks_its_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
