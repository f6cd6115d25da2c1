/* SPDX-License-Identifier: Apache-2.0 */
/* Accesses to guest-physical addresses that are not memory. */
#include "a64.h"

static const uint8_t value[] = {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22,
                                0x11};
static const uint8_t in[] = {0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87};

static const uint32_t sizes_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0x58000220, /* ldr x0, value */
    0x39000280, /* strb w0, [x20] */
    0x79000680, /* strh w0, [x20, #2] */
    0xb9000680, /* str w0, [x20, #4] */
    0xf9000680, /* str x0, [x20, #8] */
    0xb900129f, /* str wzr, [x20, #16] */
    0x92800001, /* mov x1, #-1 */
    0x39400281, /* ldrb w1, [x20] */
    0x92800002, /* mov x2, #-1 */
    0x79400682, /* ldrh w2, [x20, #2] */
    0x92800003, /* mov x3, #-1 */
    0xb9400683, /* ldr w3, [x20, #4] */
    0xf9400684, /* ldr x4, [x20, #8] */
    0xf9400a9f, /* ldr xzr, [x20, #16] */
    0xf80f429f, /* str xzr, [x20, #0xf4] */
    /* done: */
    0x14000000, /* b done */
    0xd503201f, /* nop */
    /* value: */
    0x55667788, /* .quad 0x1122334455667788 */
    0x11223344,
};

static void mmio_sizes(struct cf *t)
{
    static const uint8_t zero[8];

    cf_vm(t, 1, false, false);
    CF_A64(t, sizes_code);
    CF_MMIO_WRITE(t, CF_MMIO, value, 1);
    CF_MMIO_WRITE(t, CF_MMIO + 2, value, 2);
    CF_MMIO_WRITE(t, CF_MMIO + 4, value, 4);
    CF_MMIO_WRITE(t, CF_MMIO + 8, value, 8);
    CF_MMIO_WRITE(t, CF_MMIO + 16, zero, 4);
    CF_MMIO_READ(t, CF_MMIO, in, 1);
    CF_MMIO_READ(t, CF_MMIO + 2, in, 2);
    CF_MMIO_READ(t, CF_MMIO + 4, in, 4);
    CF_MMIO_READ(t, CF_MMIO + 8, in, 8);
    CF_MMIO_READ(t, CF_MMIO + 16, in, 8);
    CF_EQ(CF_A64_OUT(t, 0xf4, 8), 0); /* the zero register took nothing */
    CF_EQ(cf_a64_x(t, 1), 0x80);
    CF_EQ(cf_a64_x(t, 2), 0x8180);
    CF_EQ(cf_a64_x(t, 3), 0x83828180);
    CF_EQ(cf_a64_x(t, 4), 0x8786858483828180);
}

static const uint32_t signed_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0x39800281, /* ldrsb x1, [x20] */
    0x79c00682, /* ldrsh w2, [x20, #2] */
    0xb9800683, /* ldrsw x3, [x20, #4] */
    0xf80f429f, /* str xzr, [x20, #0xf4] */
    /* done: */
    0x14000000, /* b done */
};

static void mmio_sign_extends(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_A64(t, signed_code);
    CF_MMIO_READ(t, CF_MMIO, in, 1);
    CF_MMIO_READ(t, CF_MMIO + 2, in, 2);
    CF_MMIO_READ(t, CF_MMIO + 4, in, 4);
    CF_A64_OUT(t, 0xf4, 8);
    /* Some emulated processors leave it out of the syndrome, and then no
     * hypervisor can know. */
    if (cf_a64_x(t, 1) == 0x80 && cf_a64_x(t, 3) == 0x83828180)
        cf_skip("this processor's syndromes do not tell sign extension");
    CF_EQ(cf_a64_x(t, 1), 0xffffffffffffff80);
    CF_EQ(cf_a64_x(t, 2), 0xffff8180);
    CF_EQ(cf_a64_x(t, 3), 0xffffffff83828180);
}

static const uint32_t unaligned_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0x580000e0, /* ldr x0, value */
    0xf8003280, /* stur x0, [x20, #3] */
    0xf8405281, /* ldur x1, [x20, #5] */
    0xb8041280, /* stur w0, [x20, #0x41] */
    0xb844d282, /* ldur w2, [x20, #0x4d] */
    0xf80f429f, /* str xzr, [x20, #0xf4] */
    /* done: */
    0x14000000, /* b done */
    /* value: */
    0x55667788, /* .quad 0x1122334455667788 */
    0x11223344,
};

/* Normal memory may be accessed at any address, also where there is none. */
static void mmio_unaligned(struct cf *t)
{
    struct squib_aarch64_state st = {0};

    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_CODE, unaligned_code);
    cf_a64_state(&st);
    cf_a64_mmu(&st, t);
    cf_a64_set(t, t->vcpu, CF_A64_BASICS, &st);
    CF_MMIO_WRITE(t, CF_MMIO + 3, value, 8);
    CF_MMIO_READ(t, CF_MMIO + 5, in, 8);
    CF_MMIO_WRITE(t, CF_MMIO + 0x41, value, 4);
    CF_MMIO_READ(t, CF_MMIO + 0x4d, in, 4);
    CF_A64_OUT(t, 0xf4, 8);
    CF_EQ(cf_a64_x(t, 1), 0x8786858483828180);
    CF_EQ(cf_a64_x(t, 2), 0x83828180);
}

static const uint32_t edge_code[] = {
    0xd2a00133, /* movz x19, #9, lsl #16 */
    0xf29fff13, /* movk x19, #0xfff8 */
    0x52a88660, /* movz w0, #0x4433, lsl #16 */
    0x72844220, /* movk w0, #0x2211 */
    0xb9000660, /* str w0, [x19, #4] */
    0xb9400a61, /* ldr w1, [x19, #8] */
    0xb9000a60, /* str w0, [x19, #8] */
    /* done: */
    0x14000000, /* b done */
};

/* The last word of memory is memory, the next one is not. */
static void mmio_memory_edge(struct cf *t)
{
    static const uint8_t out[] = {0x11, 0x22, 0x33, 0x44};
    static const uint8_t answer[] = {1, 2, 3, 4};

    cf_vm(t, 1, false, false);
    CF_A64(t, edge_code);
    CF_MMIO_READ(t, CF_HOLE, answer, 4);
    CF_MMIO_WRITE(t, CF_HOLE, out, 4);
    CF_EQ(cf_ram32(t, CF_HOLE - 4), 0x44332211);
    CF_EQ(cf_a64_x(t, 1), 0x04030201);
}

static const uint32_t pair_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xa9000680, /* stp x0, x1, [x20] */
    /* done: */
    0x14000000, /* b done */
};

/* No syndrome tells the registers of a pair: the guest gets an abort, unless
 * the backend can look at the instruction; then it is two accesses. */
static void mmio_pair(struct cf *t)
{
    struct squib_exit *e;

    cf_vm(t, 1, false, false);
    CF_A64(t, pair_code);
    e = cf_run(t);
    if (e->kind == SQUIB_EXIT_MMIO && e->mmio.gpa == CF_MMIO) {
        CF_EQ(CF_A64_OUT(t, 8, 8), 0);
        return;
    }
    if (e->kind != SQUIB_EXIT_MMIO || e->mmio.gpa != CF_MMIO + 0xf00)
        CF_FAIL("expected an abort, got %s", cf_describe(e));
    CF_EQ(CF_A64_OUT(t, 0xf08, 8) >> 26 & 0x3f, CF_A64_EC_DATA);
    CF_EQ(CF_A64_OUT(t, 0xf10, 8), CF_CODE + 4);
    CF_EQ(CF_A64_OUT(t, 0xf18, 8), CF_MMIO);
}

static const uint32_t jump_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xd61f0280, /* br x20 */
};

/* Code where no memory is: an abort of the fetch, or an internal error that
 * says so, but no endless loop. */
static void jump_to_nowhere(struct cf *t)
{
    struct squib_exit *e;

    cf_vm(t, 1, false, false);
    CF_A64(t, jump_code);
    e = cf_run(t);
    if (e->kind == SQUIB_EXIT_INTERNAL_ERROR) {
        CF_CHECK(e->internal_error.text && e->internal_error.text[0]);
        return;
    }
    if (e->kind != SQUIB_EXIT_MMIO || e->mmio.gpa != CF_MMIO + 0xf00)
        CF_FAIL("expected an abort, got %s", cf_describe(e));
    CF_EQ(CF_A64_OUT(t, 0xf08, 8) >> 26 & 0x3f, CF_A64_EC_FETCH);
}

const struct cf_test cf_tests_a64_mmio[] = {
    {"mmio_sizes", mmio_sizes, CF_EXEC},
    {"mmio_sign_extends", mmio_sign_extends, CF_EXEC},
    {"mmio_unaligned", mmio_unaligned, CF_EXEC},
    {"mmio_memory_edge", mmio_memory_edge, CF_EXEC},
    {"mmio_pair", mmio_pair, CF_EXEC},
    {"jump_to_nowhere", jump_to_nowhere, CF_EXEC},
    {0},
};
