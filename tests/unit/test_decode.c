/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder, by encodings chosen for their corners (SDM vol. 2, chapter 2;
 * random ones are compared with another decoder in tests/isa). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/soft/x86_64/insns.h"

static struct sq_x86_insn insn;
static const struct sq_x86_row *row;

/* Decodes what a string like "48 89 c8" says; the result is in insn, row. */
static enum sq_decode_result decode_at(unsigned mode, unsigned off,
                                       const char *text)
{
    uint8_t b[32] = {0};
    unsigned n = 0;
    char *end = (char *)(uintptr_t)text;

    while (*end && n < sizeof(b))
        b[n++] = (uint8_t)strtoul(end, &end, 16);
    row = NULL;
    return sq_x86_decode(&(struct sq_decode_in){.bytes = b, .avail = n,
                                                .mode = (uint8_t)mode,
                                                .off = (uint16_t)off},
                         &insn, &row);
}

static enum sq_decode_result decode(const char *text)
{
    return decode_at(MODE_64, 0, text);
}

static void expect_ok(const char *text, const char *name, unsigned osz)
{
    assert_int_equal(decode(text), DECODE_OK);
    assert_string_equal(row->name, name);
    assert_int_equal(insn.osz, osz);
}

static void operand_sizes(void **state)
{
    (void)state;
    expect_ok("00 c8", "add", 0);
    expect_ok("01 c8", "add", 2);
    expect_ok("66 01 c8", "add", 1);
    expect_ok("48 01 c8", "add", 3);
    expect_ok("66 48 01 c8", "add", 3); /* REX.W wins */
    expect_ok("50", "push", 3);
    expect_ok("66 50", "push", 1);
    expect_ok("66 e8 01 02 03 04", "call", 3); /* 66 is ignored */
    assert_int_equal(insn.len, 6);
    assert_int_equal(decode_at(MODE_16, 0, "01 c8"), DECODE_OK);
    assert_int_equal(insn.osz, 1);
    assert_int_equal(decode_at(MODE_16, 0, "66 01 c8"), DECODE_OK);
    assert_int_equal(insn.osz, 2);
}

/* Mandatory prefixes: F2 and F3 before 66, the last of F2 and F3. */
static void prefix_selects(void **state)
{
    (void)state;
    expect_ok("0f 10 c1", "movups", 2);
    expect_ok("66 0f 10 c1", "movupd", 2);
    expect_ok("f3 0f 10 c1", "movss", 2);
    expect_ok("f2 0f 10 c1", "movsd", 2);
    expect_ok("66 f3 0f 10 c1", "movss", 2);
    expect_ok("f3 66 0f 10 c1", "movss", 2);
    expect_ok("f2 f3 0f 10 c1", "movss", 2);
    expect_ok("f3 f2 0f 10 c1", "movsd", 2);
    expect_ok("66 f3 0f b8 c1", "popcnt", 1);
    expect_ok("66 f2 0f 38 f1 c1", "crc32", 1);
}

/* Prefixes that make an instruction undefined where they select none. */
static void prefix_forbids(void **state)
{
    (void)state;
    assert_int_equal(decode("0f c3 07"), DECODE_OK); /* movnti */
    assert_int_equal(decode("66 0f c3 07"), DECODE_UD);
    assert_int_equal(decode("f2 0f c3 07"), DECODE_UD);
    assert_int_equal(decode("0f ae f8"), DECODE_OK); /* sfence */
    assert_int_equal(decode("66 0f ae f8"), DECODE_UD);
    assert_int_equal(decode("f2 0f c7 f8"), DECODE_UD); /* not rdseed */
    assert_int_equal(decode("66 0f c7 f8"), DECODE_OK);
    assert_int_equal(decode("f3 0f 71 d0 01"), DECODE_UD);
}

static void rex_counts_only_last(void **state)
{
    (void)state;
    expect_ok("48 89 c8", "mov", 3);
    expect_ok("48 66 89 c8", "mov", 1); /* the REX is not last */
    expect_ok("49 64 89 08", "mov", 2);
    assert_int_equal(insn.base, R_AX * 8); /* and does not extend */
    expect_ok("48 41 89 c8", "mov", 2);    /* the second one counts */
    assert_int_equal(insn.rm, 8 * 8);
    /* outside 64-bit mode these are INC and DEC */
    assert_int_equal(decode_at(MODE_32, 0, "48 89 c8"), DECODE_OK);
    assert_string_equal(row->name, "dec");
    assert_int_equal(insn.len, 1);
}

static void high_bytes_without_rex(void **state)
{
    (void)state;
    expect_ok("88 e0", "mov", 0); /* mov al, ah */
    assert_int_equal(insn.reg, 1);
    assert_int_equal(insn.rm, 0);
    expect_ok("40 88 e0", "mov", 0); /* mov al, spl */
    assert_int_equal(insn.reg, R_SP * 8);
    expect_ok("b7 01", "mov", 0); /* mov bh, 1 */
    assert_int_equal(insn.rm, R_BX * 8 + 1);
    expect_ok("41 b7 01", "mov", 0); /* mov r15b, 1 */
    assert_int_equal(insn.rm, 15 * 8);
    /* the destination of CRC32 is no byte register */
    expect_ok("f2 0f 38 f0 e4", "crc32", 0); /* crc32 esp, ah */
    assert_int_equal(insn.reg, R_SP * 8);
    assert_int_equal(insn.rm, 1);
    expect_ok("0f b6 e4", "movzx", 2); /* movzx esp, ah */
    assert_int_equal(insn.reg, R_SP * 8);
    assert_int_equal(insn.rm, 1);
}

static void segment_registers_ignore_rex(void **state)
{
    (void)state;
    expect_ok("8c d8", "mov", 2);
    assert_int_equal(insn.reg, SEG_DS);
    expect_ok("44 8c d8", "mov", 2);
    assert_int_equal(insn.reg, SEG_DS);
}

static void memory_forms(void **state)
{
    (void)state;
    expect_ok("8b 44 8a f0", "mov", 2); /* [rdx + rcx * 4 - 16] */
    assert_int_equal(insn.base, R_DX * 8);
    assert_int_equal(insn.index, R_CX * 8);
    assert_int_equal(insn.scale, 2);
    assert_int_equal(insn.disp, -16);
    expect_ok("8b 04 24", "mov", 2); /* [rsp] */
    assert_int_equal(insn.base, R_SP * 8);
    assert_int_equal(insn.index, SQ_ZERO * 8);
    expect_ok("42 8b 04 20", "mov", 2); /* [rax + r12]: an index after all */
    assert_int_equal(insn.index, 12 * 8);
    expect_ok("8b 04 25 10 00 00 80", "mov", 2); /* absolute */
    assert_int_equal(insn.base, SQ_ZERO * 8);
    assert_int_equal(insn.disp, INT32_MIN + 16);
    expect_ok("41 8b 04 25 10 00 00 00", "mov", 2); /* REX.B or not */
    assert_int_equal(insn.base, SQ_ZERO * 8);
    expect_ok("41 8b 45 00", "mov", 2); /* [r13] */
    assert_int_equal(insn.base, 13 * 8);
    assert_int_equal(insn.len, 4);
}

static void rip_relative(void **state)
{
    (void)state;
    /* Displacements count from the block's start: 77 + 6 + 0x100. */
    assert_int_equal(decode_at(MODE_64, 77, "8b 05 00 01 00 00"), DECODE_OK);
    assert_int_equal(insn.base, SQ_RIP * 8);
    assert_int_equal(insn.disp, 77 + 6 + 0x100);
    assert_false(insn.flags & IF_SLOW_EA);
    /* An immediate behind the displacement counts, too. */
    assert_int_equal(decode_at(MODE_64, 0, "80 3d 00 00 00 00 01"), DECODE_OK);
    assert_int_equal(insn.disp, 7);
    /* One that does not fit is left to the slow path. */
    assert_int_equal(decode_at(MODE_64, 77, "8b 05 ff ff ff 7f"), DECODE_OK);
    assert_int_equal(insn.disp, INT32_MAX);
    assert_true(insn.flags & IF_RIPREL_RAW);
    assert_true(insn.flags & IF_SLOW_EA);
    /* Elsewhere the same form is absolute. */
    assert_int_equal(decode_at(MODE_32, 77, "8b 05 00 01 00 00"), DECODE_OK);
    assert_int_equal(insn.base, SQ_ZERO * 8);
    assert_int_equal(insn.disp, 0x100);
}

static void address_size(void **state)
{
    (void)state;
    expect_ok("67 8b 00", "mov", 2);
    assert_true(insn.flags & IF_ASZ32);
    assert_true(insn.flags & IF_SLOW_EA);
    assert_int_equal(decode_at(MODE_16, 0, "8b 00"), DECODE_OK);
    assert_true(insn.flags & IF_ASZ16);
    assert_int_equal(insn.base, R_BX * 8);
    assert_int_equal(insn.index, R_SI * 8);
    assert_int_equal(insn.seg, SEG_DS);
    assert_int_equal(decode_at(MODE_16, 0, "8b 46 fe"), DECODE_OK);
    assert_int_equal(insn.base, R_BP * 8);
    assert_int_equal(insn.disp, -2);
    assert_int_equal(insn.seg, SEG_SS);
    assert_int_equal(decode_at(MODE_16, 0, "8b 06 34 12"), DECODE_OK);
    assert_int_equal(insn.base, SQ_ZERO * 8);
    assert_int_equal(insn.disp, 0x1234);
    assert_int_equal(decode_at(MODE_16, 0, "67 8b 00"), DECODE_OK);
    assert_true(insn.flags & IF_ASZ32);
    assert_int_equal(decode_at(MODE_32, 0, "67 8b 00"), DECODE_OK);
    assert_true(insn.flags & IF_ASZ16);
}

static void segments(void **state)
{
    (void)state;
    expect_ok("8b 00", "mov", 2);
    assert_int_equal(insn.seg, SEG_NONE);
    expect_ok("2e 8b 00", "mov", 2); /* ignored in 64-bit mode */
    assert_int_equal(insn.seg, SEG_NONE);
    expect_ok("65 2e 8b 00", "mov", 2); /* and does not undo GS */
    assert_int_equal(insn.seg, SEG_GS);
    expect_ok("65 64 8b 00", "mov", 2); /* the last one */
    assert_int_equal(insn.seg, SEG_FS);
    assert_int_equal(decode_at(MODE_32, 0, "2e 8b 00"), DECODE_OK);
    assert_int_equal(insn.seg, SEG_CS);
    assert_int_equal(decode_at(MODE_32, 0, "8b 04 24"), DECODE_OK);
    assert_int_equal(insn.seg, SEG_SS);
}

static void absolute_offsets(void **state)
{
    (void)state;
    expect_ok("a1 88 77 66 55 44 33 22 11", "mov", 2);
    assert_int_equal(insn.imm, 0x1122334455667788);
    assert_int_equal(insn.len, 9);
    expect_ok("67 a1 44 33 22 81", "mov", 2);
    assert_int_equal(insn.imm, 0x81223344); /* not sign-extended */
    assert_int_equal(decode_at(MODE_16, 0, "a1 34 92"), DECODE_OK);
    assert_int_equal(insn.imm, 0x9234);
    assert_int_equal(insn.len, 3);
}

static void immediates(void **state)
{
    (void)state;
    expect_ok("48 b8 88 77 66 55 44 33 22 11", "mov", 3);
    assert_int_equal(insn.imm, 0x1122334455667788);
    expect_ok("48 c7 c0 ff ff ff ff", "mov", 3); /* sign-extended */
    assert_true(insn.imm == UINT64_MAX);
    expect_ok("66 81 c0 34 12", "add", 1);
    assert_int_equal(insn.imm, 0x1234);
    expect_ok("c8 34 12 05", "enter", 3);
    assert_int_equal(insn.imm, 0x1234);
    assert_int_equal(insn.imm2, 5);
    /* Branch targets are relative to the block's start. */
    assert_int_equal(decode_at(MODE_64, 100, "eb fe"), DECODE_OK);
    assert_int_equal(insn.imm, 100);
    assert_int_equal(decode_at(MODE_32, 0, "ea 44 33 22 11 08 00"), DECODE_OK);
    assert_int_equal(insn.imm, 0x11223344);
    assert_int_equal(insn.disp, 8);
}

static void lock_needs_memory(void **state)
{
    (void)state;
    assert_int_equal(decode("f0 01 08"), DECODE_OK);
    assert_true(insn.flags & IF_LOCK);
    assert_int_equal(decode("f0 01 c8"), DECODE_UD);
    assert_int_equal(decode("f0 03 08"), DECODE_UD);
    assert_int_equal(decode("f0 39 08"), DECODE_UD);
    assert_int_equal(decode("f0 90"), DECODE_UD);
}

static void modes_have_their_own(void **state)
{
    (void)state;
    assert_int_equal(decode("06"), DECODE_UD);
    assert_int_equal(decode_at(MODE_32, 0, "06"), DECODE_OK);
    assert_int_equal(decode("82 c0 01"), DECODE_UD);
    assert_int_equal(decode_at(MODE_32, 0, "82 c0 01"), DECODE_OK);
    assert_int_equal(decode("f3 0f ae c0"), DECODE_OK); /* rdfsbase */
    assert_int_equal(decode_at(MODE_32, 0, "f3 0f ae c0"), DECODE_UD);
}

static void groups_by_operand_kind(void **state)
{
    (void)state;
    expect_ok("0f c7 08", "cmpxchg8b", 2);
    expect_ok("0f c7 f0", "rdrand", 2);
    assert_int_equal(decode("0f c7 c8"), DECODE_UD);
    assert_int_equal(decode("8d c0"), DECODE_UD); /* LEA of a register */
    assert_int_equal(decode("d9 0f"), DECODE_UD);
    expect_ok("d9 c9", "fxch", 2);
}

static void limit_of_15_bytes(void **state)
{
    (void)state;
    /* 14 prefixes and NOP; one more is too many. */
    assert_int_equal(decode("66 66 66 66 66 66 66 66 66 66 66 66 66 66 90"),
                     DECODE_OK);
    assert_int_equal(insn.len, 15);
    assert_int_equal(
        decode("66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90"),
        DECODE_GP);
    /* The immediate ends at byte 15, and at byte 16. */
    assert_int_equal(decode("2e 2e 2e 2e 66 81 84 80 00 00 00 00 01 02"),
                     DECODE_OK);
    assert_int_equal(
        decode("2e 2e 2e 2e 2e 2e 66 81 84 80 00 00 00 00 01 02"),
        DECODE_GP);
}

static void asks_for_more(void **state)
{
    /* lock add qword [rax + rax * 4 + disp32], imm32 */
    static const char *const text =
        "f0 48 81 84 80 78 56 34 12 ef be ad de";
    char cut[64];

    (void)state;
    assert_int_equal(decode(text), DECODE_OK);
    assert_int_equal(insn.len, 13);
    for (size_t n = 0; n < 12; n++) {
        snprintf(cut, sizeof(cut), "%.*s", (int)(n * 3 + 2), text);
        assert_int_equal(decode(cut), DECODE_MORE);
    }
    assert_int_equal(decode("0f"), DECODE_MORE);
    assert_int_equal(decode("0f 38"), DECODE_MORE);
    assert_int_equal(decode("d9"), DECODE_MORE);
}

/* VEX: C5 R vvvv L pp, and C4 RXB mmmmm, W vvvv L pp. */
static void vex_operands(void **state)
{
    (void)state;
    expect_ok("c5 f0 58 c2", "vaddps", 0); /* xmm0, xmm1, xmm2 */
    assert_int_equal(insn.reg, 0);
    assert_int_equal(insn.imm2, 1);
    assert_int_equal(insn.rm, 2);
    assert_int_equal(insn.len, 4);
    expect_ok("c5 34 58 0a", "vaddps", 2); /* ymm9, ymm9, [rdx] */
    assert_int_equal(insn.reg, 9);
    assert_int_equal(insn.imm2, 9);
    assert_int_equal(insn.base, 2 * 8);
    expect_ok("c4 41 71 58 c2", "vaddpd", 0); /* xmm8, xmm1, xmm10 */
    assert_int_equal(insn.reg, 8);
    assert_int_equal(insn.rm, 10);
    expect_ok("c4 e2 f5 98 c2", "vfmadd132p", 3); /* W1 L1: double */
    expect_ok("c4 e2 a0 f2 c2", "andn", 3);       /* rax, r11, rdx */
    assert_int_equal(insn.imm2, 11 * 8);
    expect_ok("c4 e2 78 f3 ca", "blsr", 2); /* vvvv is the destination */
    assert_int_equal(insn.imm2, 0);
    expect_ok("c4 e3 fb f0 c2 07", "rorx", 3);
    assert_int_equal(insn.imm, 7);
    expect_ok("c5 f1 73 d2 05", "vpsrlq", 0);
    assert_int_equal(insn.imm2, 1);
    expect_ok("c4 c3 71 4c c2 30", "vpblendvb", 0);
    /* a gather's index may be register 4 and is no general register */
    expect_ok("c4 e2 71 90 54 a0 08", "vpgatherd", 0);
    assert_int_equal(insn.index, 4);
    assert_int_equal(insn.scale, 2);
    assert_int_equal(insn.disp, 8);
}

static void vex_forbids(void **state)
{
    static const char *const undefined[] = {
        "66 c5 f0 58 c2", "f2 c5 f0 58 c2", "f3 c5 f0 58 c2",
        "f0 c5 f0 58 02", "48 c5 f0 58 c2",
        "c5 f0 51 c2",          /* vsqrtps has no second source */
        "c5 f4 12 c2",          /* vmovhlps: L must be 0 */
        "c4 e2 74 f2 c2",       /* andn, too */
        "c4 e3 71 06 c2 00",    /* vperm2f128: L must be 1 */
        "c4 e3 f5 06 c2 00",    /* and W 0 */
        "c4 e3 7d 00 c2 00",    /* vpermq: W must be 1 */
        "c4 e0 70 58 c2",       /* opcode maps 0, 4 */
        "c4 e4 70 58 c2",
        "c4 e2 71 90 10",       /* a gather without SIB, */
        "c4 e2 71 90 c0",       /* or with a register */
        "c5 f2 10 02",          /* vmovss from memory has no vvvv */
    };

    (void)state;
    for (size_t k = 0; k < sizeof(undefined) / sizeof(undefined[0]); k++)
        if (decode(undefined[k]) != DECODE_UD)
            fail_msg("%s is defined", undefined[k]);
    expect_ok("c5 f2 10 c2", "vmovss", 0);
    expect_ok("67 c5 f0 58 02", "vaddps", 0);
    expect_ok("48 67 c5 f0 58 02", "vaddps", 0); /* that REX is void */
}

/* Outside 64-bit mode C4 and C5 are LES and LDS, whose operand is never a
 * register. */
static void vex_or_far_pointer(void **state)
{
    (void)state;
    assert_int_equal(decode_at(MODE_32, 0, "c5 30"), DECODE_OK);
    assert_string_equal(row->name, "lds");
    assert_int_equal(decode_at(MODE_32, 0, "c4 30"), DECODE_OK);
    assert_string_equal(row->name, "les");
    assert_int_equal(decode_at(MODE_32, 0, "c5 f0 58 c2"), DECODE_OK);
    assert_string_equal(row->name, "vaddps");
    assert_int_equal(decode_at(MODE_32, 0, "c5"), DECODE_MORE);
    assert_int_equal(decode_at(MODE_32, 0, "c4 e2"), DECODE_MORE);
    /* eight registers; W does not make operands wide */
    assert_int_equal(decode_at(MODE_32, 0, "c4 c2 a0 f2 c2"), DECODE_OK);
    assert_string_equal(row->name, "andn");
    assert_int_equal(insn.osz, 2);
    assert_int_equal(insn.imm2, 3 * 8);
    assert_int_equal(insn.rm, 2 * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operand_sizes),
        cmocka_unit_test(prefix_selects),
        cmocka_unit_test(prefix_forbids),
        cmocka_unit_test(rex_counts_only_last),
        cmocka_unit_test(high_bytes_without_rex),
        cmocka_unit_test(segment_registers_ignore_rex),
        cmocka_unit_test(memory_forms),
        cmocka_unit_test(rip_relative),
        cmocka_unit_test(address_size),
        cmocka_unit_test(segments),
        cmocka_unit_test(absolute_offsets),
        cmocka_unit_test(immediates),
        cmocka_unit_test(lock_needs_memory),
        cmocka_unit_test(modes_have_their_own),
        cmocka_unit_test(groups_by_operand_kind),
        cmocka_unit_test(limit_of_15_bytes),
        cmocka_unit_test(asks_for_more),
        cmocka_unit_test(vex_operands),
        cmocka_unit_test(vex_forbids),
        cmocka_unit_test(vex_or_far_pointer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
