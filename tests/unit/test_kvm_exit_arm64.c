/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding struct kvm_run, the parts that arm64 has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "backends/kvm/exit.h"

static bool begin(struct kvm_run *run, struct sq_kvm_decode *d,
                  struct squib_exit *e)
{
    memset(e, 0xee, sizeof(*e));
    return sq_kvm_decode_begin(d, run, sizeof(*run), e);
}

static void test_mmio(void **state)
{
    struct kvm_run run = {.exit_reason = KVM_EXIT_MMIO};
    struct sq_kvm_decode d;
    struct squib_exit e;

    (void)state;
    run.mmio.phys_addr = 0x9000003;
    run.mmio.len = 8;
    assert_true(begin(&run, &d, &e));
    assert_int_equal(e.kind, SQUIB_EXIT_MMIO);
    assert_int_equal(e.mmio.gpa, 0x9000003);
    assert_false(e.mmio.write);
    memset(e.mmio.data, 0x5a, 8);
    assert_false(sq_kvm_decode_next(&d, &run, &e));
    assert_int_equal(run.mmio.data[7], 0x5a);
}

static void test_system_events(void **state)
{
    struct kvm_run run = {.exit_reason = KVM_EXIT_SYSTEM_EVENT};
    struct sq_kvm_decode d;
    struct squib_exit e;

    (void)state;
    run.system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN;
    assert_true(begin(&run, &d, &e));
    assert_int_equal(e.kind, SQUIB_EXIT_SHUTDOWN);
    assert_false(e.shutdown.fault);
    run.system_event.type = KVM_SYSTEM_EVENT_RESET;
    assert_true(begin(&run, &d, &e));
    assert_int_equal(e.kind, SQUIB_EXIT_RESET);
}

/* An access without a syndrome: the backend answers it with an abort; where
 * KVM cannot inject one, this is what is said. */
static void test_no_syndrome(void **state)
{
    struct kvm_run run = {.exit_reason = KVM_EXIT_ARM_NISV};
    struct sq_kvm_decode d;
    struct squib_exit e;

    (void)state;
    run.arm_nisv.fault_ipa = 0xa001000;
    run.arm_nisv.esr_iss = 1u << 6;
    assert_true(begin(&run, &d, &e));
    assert_int_equal(e.kind, SQUIB_EXIT_INTERNAL_ERROR);
    assert_string_equal(e.internal_error.text, "the guest wrote device "
                        "address 0xa001000 with an instruction that cannot "
                        "be emulated");
    run.arm_nisv.esr_iss = 0;
    assert_true(begin(&run, &d, &e));
    assert_non_null(strstr(e.internal_error.text, "the guest read"));
}

static void test_debug(void **state)
{
    struct kvm_run run = {.exit_reason = KVM_EXIT_DEBUG};
    struct sq_kvm_decode d;
    struct squib_exit e;

    (void)state;
    run.debug.arch.hsr = 0xf2000005;
    assert_true(begin(&run, &d, &e));
    assert_int_equal(e.kind, SQUIB_EXIT_DEBUG);
    assert_int_equal(e.debug.syndrome, 0xf2000005);
}

static void test_unknown(void **state)
{
    struct kvm_run run = {.exit_reason = 9999};
    struct sq_kvm_decode d;
    struct squib_exit e;

    (void)state;
    assert_true(begin(&run, &d, &e));
    assert_int_equal(e.kind, SQUIB_EXIT_INTERNAL_ERROR);
    assert_non_null(strstr(e.internal_error.text, "reason 9999"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mmio),
        cmocka_unit_test(test_system_events),
        cmocka_unit_test(test_no_syndrome),
        cmocka_unit_test(test_debug),
        cmocka_unit_test(test_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
