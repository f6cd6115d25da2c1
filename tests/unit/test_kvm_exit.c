/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of the KVM backend: decoding struct kvm_run, and the words
 * about a /dev/kvm that cannot be opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "backends/kvm/exit.h"
#include "backends/kvm/kvm.h"
#include "base/util.h"

/* As KVM maps it: the struct, and a page of I/O data behind. */
union area {
    struct kvm_run run;
    uint8_t bytes[8192];
};
#define DATA_AT 4096u

struct fixture {
    union area area;
    struct sq_kvm_decode d;
    struct squib_exit e;
};

static bool begin(struct fixture *f)
{
    memset(&f->e, 0xee, sizeof(f->e));
    return sq_kvm_decode_begin(&f->d, &f->area.run, sizeof(f->area), &f->e);
}

static bool next(struct fixture *f)
{
    return sq_kvm_decode_next(&f->d, &f->area.run, &f->e);
}

static void set_io(struct fixture *f, bool out, uint8_t size, uint32_t count)
{
    memset(f, 0, sizeof(*f));
    f->area.run.exit_reason = KVM_EXIT_IO;
    f->area.run.io.direction = out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
    f->area.run.io.size = size;
    f->area.run.io.port = 0x3f8;
    f->area.run.io.count = count;
    f->area.run.io.data_offset = DATA_AT;
}

static void test_out(void **state)
{
    struct fixture f;

    (void)state;
    set_io(&f, true, 2, 1);
    sq_st16(f.area.bytes + DATA_AT, 0x1234);
    assert_true(begin(&f));
    assert_int_equal(f.e.kind, SQUIB_EXIT_PIO);
    assert_int_equal(f.e.pio.port, 0x3f8);
    assert_int_equal(f.e.pio.len, 2);
    assert_true(f.e.pio.write);
    assert_int_equal(sq_ld32(f.e.pio.data), 0x1234); /* rest is zero */
    assert_false(sq_kvm_decode_more(&f.d, &f.area.run));
    assert_false(next(&f));
    assert_false(next(&f));
}

static void test_in_answer(void **state)
{
    struct fixture f;

    (void)state;
    set_io(&f, false, 4, 1);
    assert_true(begin(&f));
    assert_false(f.e.pio.write);
    sq_st32(f.e.pio.data, 0xcafebabe);
    assert_false(next(&f));
    assert_int_equal(sq_ld32(f.area.bytes + DATA_AT), 0xcafebabe);
}

static void test_string_out(void **state)
{
    struct fixture f;

    (void)state;
    set_io(&f, true, 1, 3);
    memcpy(f.area.bytes + DATA_AT, "abc", 3);
    assert_true(begin(&f));
    assert_int_equal(f.e.pio.data[0], 'a');
    assert_true(sq_kvm_decode_more(&f.d, &f.area.run));
    assert_true(next(&f));
    assert_int_equal(f.e.pio.data[0], 'b');
    assert_true(next(&f));
    assert_int_equal(f.e.pio.data[0], 'c');
    assert_false(sq_kvm_decode_more(&f.d, &f.area.run));
    assert_false(next(&f));
}

static void test_string_in(void **state)
{
    struct fixture f;

    (void)state;
    set_io(&f, false, 2, 3);
    assert_true(begin(&f));
    sq_st16(f.e.pio.data, 0x1111);
    assert_true(next(&f));
    sq_st16(f.e.pio.data, 0x2222);
    assert_true(next(&f));
    sq_st16(f.e.pio.data, 0x3333);
    assert_false(next(&f));
    assert_int_equal(sq_ld16(f.area.bytes + DATA_AT), 0x1111);
    assert_int_equal(sq_ld16(f.area.bytes + DATA_AT + 2), 0x2222);
    assert_int_equal(sq_ld16(f.area.bytes + DATA_AT + 4), 0x3333);
}

static void test_io_out_of_bounds(void **state)
{
    static const struct { uint8_t size; uint32_t count; uint64_t at; } bad[] =
        {{1, 4097, DATA_AT}, {4, 1, 8189}, {4, 1, 1u << 20}, {3, 1, DATA_AT},
         {0, 1, DATA_AT}, {1, 0, DATA_AT}, {4, UINT32_MAX, DATA_AT}};
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(bad); i++) {
        set_io(&f, true, bad[i].size, bad[i].count);
        f.area.run.io.data_offset = bad[i].at;
        assert_true(begin(&f));
        assert_int_equal(f.e.kind, SQUIB_EXIT_INTERNAL_ERROR);
        assert_false(next(&f));
    }
    set_io(&f, true, 1, 4096);
    assert_true(begin(&f));
    assert_int_equal(f.e.kind, SQUIB_EXIT_PIO);
}

static void test_mmio(void **state)
{
    struct fixture f;

    (void)state;
    memset(&f, 0, sizeof(f));
    f.area.run.exit_reason = KVM_EXIT_MMIO;
    f.area.run.mmio.phys_addr = 0xd0001003;
    f.area.run.mmio.len = 5;
    f.area.run.mmio.is_write = 1;
    memcpy(f.area.run.mmio.data, "12345678", 8);
    assert_true(begin(&f));
    assert_int_equal(f.e.kind, SQUIB_EXIT_MMIO);
    assert_int_equal(f.e.mmio.gpa, 0xd0001003);
    assert_int_equal(f.e.mmio.len, 5);
    assert_true(f.e.mmio.write);
    assert_memory_equal(f.e.mmio.data, "12345\0\0\0", 8);
    assert_false(next(&f));
    f.area.run.mmio.is_write = 0;
    assert_true(begin(&f));
    memcpy(f.e.mmio.data, "abcdefgh", 8);
    assert_false(next(&f));
    assert_memory_equal(f.area.run.mmio.data, "abcde678", 8);
    f.area.run.mmio.len = 9;
    assert_true(begin(&f));
    assert_int_equal(f.e.kind, SQUIB_EXIT_INTERNAL_ERROR);
    f.area.run.mmio.len = 0;
    assert_true(begin(&f));
    assert_int_equal(f.e.kind, SQUIB_EXIT_INTERNAL_ERROR);
}

static void test_hypercall(void **state)
{
    struct fixture f;

    (void)state;
    memset(&f, 0, sizeof(f));
    f.area.run.exit_reason = KVM_EXIT_HYPERCALL;
    f.area.run.hypercall.nr = 12;
    f.area.run.hypercall.args[5] = 99;
    assert_true(begin(&f));
    assert_int_equal(f.e.kind, SQUIB_EXIT_HYPERCALL);
    assert_int_equal(f.e.hypercall.function, 12);
    assert_int_equal(f.e.hypercall.args[5], 99);
    f.e.hypercall.ret = (uint64_t)-1000;
    assert_false(next(&f));
    assert_int_equal(f.area.run.hypercall.ret, (uint64_t)-1000);
}

static enum squib_exit_kind kind_of(struct fixture *f, uint32_t reason)
{
    f->area.run.exit_reason = reason;
    assert_true(begin(f));
    return f->e.kind;
}

static void test_ends(void **state)
{
    struct fixture f;

    (void)state;
    memset(&f, 0, sizeof(f));
    assert_int_equal(kind_of(&f, KVM_EXIT_HLT), SQUIB_EXIT_HLT);
    assert_true(f.e.idle.deadline_ns == SQUIB_DEADLINE_NONE);
    assert_int_equal(kind_of(&f, KVM_EXIT_SHUTDOWN), SQUIB_EXIT_SHUTDOWN);
    assert_true(f.e.shutdown.fault);
    f.area.run.system_event.type = KVM_SYSTEM_EVENT_RESET;
    assert_int_equal(kind_of(&f, KVM_EXIT_SYSTEM_EVENT), SQUIB_EXIT_RESET);
    f.area.run.system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN;
    assert_int_equal(kind_of(&f, KVM_EXIT_SYSTEM_EVENT),
                     SQUIB_EXIT_SHUTDOWN);
    assert_false(f.e.shutdown.fault);
    f.area.run.system_event.type = KVM_SYSTEM_EVENT_CRASH;
    assert_int_equal(kind_of(&f, KVM_EXIT_SYSTEM_EVENT),
                     SQUIB_EXIT_SHUTDOWN);
    assert_true(f.e.shutdown.fault);
    f.area.run.system_event.type = 77;
    assert_int_equal(kind_of(&f, KVM_EXIT_SYSTEM_EVENT),
                     SQUIB_EXIT_INTERNAL_ERROR);
    assert_int_equal(f.e.internal_error.detail[0], 77);
    f.area.run.debug.arch.pc = 0x1234;
    f.area.run.debug.arch.dr6 = 0x4000;
    assert_int_equal(kind_of(&f, KVM_EXIT_DEBUG), SQUIB_EXIT_DEBUG);
    assert_int_equal(f.e.debug.pc, 0x1234);
    assert_int_equal(f.e.debug.syndrome, 0x4000);
}

static void test_nothing_for_caller(void **state)
{
    struct fixture f;

    (void)state;
    memset(&f, 0, sizeof(f));
    f.area.run.exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
    assert_false(begin(&f));
    f.area.run.exit_reason = KVM_EXIT_INTR;
    assert_false(begin(&f));
}

static void test_emulation_error(void **state)
{
    static const uint8_t insn[] = {0xf0, 0x48, 0x0f, 0xc7, 0x0e};
    struct fixture f;
    uint8_t *raw;

    (void)state;
    memset(&f, 0, sizeof(f));
    f.area.run.internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    f.area.run.internal.ndata = 4;
    f.area.run.internal.data[0] = 1;
    raw = (uint8_t *)&f.area.run.internal.data[1];
    raw[0] = sizeof(insn);
    memcpy(raw + 1, insn, sizeof(insn));
    assert_int_equal(kind_of(&f, KVM_EXIT_INTERNAL_ERROR),
                     SQUIB_EXIT_INTERNAL_ERROR);
    assert_string_equal(f.e.internal_error.text,
                        "KVM could not emulate the instruction cmpxchg16b, "
                        "bytes f0 48 0f c7 0e");
    raw[0] = 255; /* nonsense stays within bounds */
    assert_int_equal(kind_of(&f, KVM_EXIT_INTERNAL_ERROR),
                     SQUIB_EXIT_INTERNAL_ERROR);
    f.area.run.internal.ndata = 0;
    assert_int_equal(kind_of(&f, KVM_EXIT_INTERNAL_ERROR),
                     SQUIB_EXIT_INTERNAL_ERROR);
    assert_non_null(strstr(f.e.internal_error.text, "could not fetch"));
    f.area.run.internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
    assert_int_equal(kind_of(&f, KVM_EXIT_INTERNAL_ERROR),
                     SQUIB_EXIT_INTERNAL_ERROR);
    assert_int_equal(f.e.internal_error.detail[0],
                     KVM_INTERNAL_ERROR_DELIVERY_EV);
}

static void test_other_errors(void **state)
{
    struct fixture f;

    (void)state;
    memset(&f, 0, sizeof(f));
    f.area.run.fail_entry.hardware_entry_failure_reason = 0x80000021;
    assert_int_equal(kind_of(&f, KVM_EXIT_FAIL_ENTRY),
                     SQUIB_EXIT_INTERNAL_ERROR);
    assert_int_equal(f.e.internal_error.detail[0], 0x80000021);
    assert_non_null(strstr(f.e.internal_error.text, "0x80000021"));
    assert_int_equal(kind_of(&f, 9999), SQUIB_EXIT_INTERNAL_ERROR);
    assert_non_null(strstr(f.e.internal_error.text, "9999"));
    sq_kvm_decode_errno(&f.d, EFAULT, &f.e);
    assert_int_equal(f.e.kind, SQUIB_EXIT_INTERNAL_ERROR);
    assert_non_null(strstr(f.e.internal_error.text, "host memory"));
    sq_kvm_decode_errno(&f.d, EIO, &f.e);
    assert_int_equal(f.e.internal_error.detail[0], EIO);
}

static void test_insn_names(void **state)
{
    static const struct { uint8_t b[8]; size_t len; const char *name; } t[] = {
        {{0xcc}, 1, "int3"},
        {{0x48, 0x0f, 0xae, 0x2f}, 4, "xrstor64"},
        {{0x0f, 0xae, 0x0f}, 3, "fxrstor"},
        {{0x0f, 0xc7, 0x0e}, 3, "cmpxchg8b"},
        {{0x0f, 0x01, 0xd1}, 3, "xsetbv"},
        {{0x66, 0x0f, 0xfe, 0xc0}, 4, "an SSE instruction"},
        {{0xd9, 0xe8}, 2, "an x87 instruction"},
        {{0xc5, 0xf8, 0x77}, 3, "an AVX instruction"},
        {{0x90}, 1, NULL},
        {{0x66, 0x66}, 2, NULL},
        {{0x0f}, 1, NULL},
        {{0x0f, 0xae}, 2, NULL},
        {{0x48}, 1, NULL},
        {{0}, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(t); i++) {
        const char *name = sq_kvm_insn_name(t[i].b, t[i].len);

        if (t[i].name)
            assert_string_equal(name, t[i].name);
        else
            assert_null(name);
    }
}

static const char groups[] = "root:x:0:\nkvm:x:104:alice,bob\n"
                             "kvmtoo:x:1104:carol\n";

static void test_access(void **state)
{
    struct squib_error e;

    (void)state;
    assert_int_equal(sq_kvm_access_error("/dev/kvm", 020660, 0, 104, groups,
                                         "carol", &e), SQUIB_E_OS);
    assert_string_equal(e.text,
                        "/dev/kvm is root:kvm 0660; you are not in group "
                        "kvm\n  do: sudo usermod -aG kvm $USER, then log in "
                        "again");
    sq_kvm_access_error("/dev/kvm", 020660, 0, 104, groups, "bob", &e);
    assert_string_equal(e.text,
                        "/dev/kvm is root:kvm 0660; you were added to group "
                        "kvm after this login\n  do: log in again");
    sq_kvm_access_error("/dev/kvm", 020660, 0, 104, groups, "bo", &e);
    assert_non_null(strstr(e.text, "not in group"));
    sq_kvm_access_error("/dev/kvm", 020600, 0, 0, groups, "bob", &e);
    assert_non_null(strstr(e.text, "only its owner"));
    sq_kvm_access_error("/dev/kvm", 020660, 7, 555, "bad\n::\nx:y:", "bob",
                        &e);
    assert_non_null(strstr(e.text, "is 7:555 0660"));
    assert_int_equal(sq_kvm_open_error("/no/kvm", ENOENT, &e),
                     SQUIB_E_NOTFOUND);
    assert_non_null(strstr(e.text, "no /no/kvm\n  do: "));
    assert_int_equal(sq_kvm_open_error("/dev/kvm", ENXIO, &e),
                     SQUIB_E_NOSUPPORT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out),
        cmocka_unit_test(test_in_answer),
        cmocka_unit_test(test_string_out),
        cmocka_unit_test(test_string_in),
        cmocka_unit_test(test_io_out_of_bounds),
        cmocka_unit_test(test_mmio),
        cmocka_unit_test(test_hypercall),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_nothing_for_caller),
        cmocka_unit_test(test_emulation_error),
        cmocka_unit_test(test_other_errors),
        cmocka_unit_test(test_insn_names),
        cmocka_unit_test(test_access),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
