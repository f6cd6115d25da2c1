/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions that the guest takes itself, EL0, and what a processor does. */
#include "a64.h"

static const uint32_t undef_code[] = {
    0xd503201f, /* nop */
    0x00000000, /* udf #0 */
};

static void fault_undefined(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_A64(t, undef_code);
    CF_A64_EXCEPTION(t, CF_A64_SYNC, CF_A64_EC_UNKNOWN, 4);
}

static const uint32_t brk_code[] = {
    0xd503201f, /* nop */
    0xd4202460, /* brk #0x123 */
};

static void fault_brk(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_A64(t, brk_code);
    CF_A64_EXCEPTION(t, CF_A64_SYNC, CF_A64_EC_BRK, 4);
}

static const uint32_t svc_code[] = {
    0xd503201f, /* nop */
    0xd40008a1, /* svc #0x45 */
};

static void fault_svc(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_A64(t, svc_code);
    CF_A64_EXCEPTION(t, CF_A64_SYNC, CF_A64_EC_SVC, 8);
}

static const uint32_t el0_code[] = {
    0xd2a00021, /* movz x1, #1, lsl #16 */
    0xf2840001, /* movk x1, #0x2000 */
    0xd5184021, /* msr ELR_EL1, x1 */
    0xd518401f, /* msr SPSR_EL1, xzr */
    0xd69f03e0, /* eret */
};

static const uint32_t el0_user[] = {
    0xd28000a0, /* mov x0, #5 */
    0xd40000e1, /* svc #7 */
};

static const uint32_t el0_priv[] = {
    0xd5381000, /* mrs x0, SCTLR_EL1 */
};

static void el0_svc(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_CODE2, el0_user);
    CF_A64(t, el0_code);
    CF_A64_EXCEPTION(t, CF_A64_SYNC_EL0, CF_A64_EC_SVC,
                     CF_CODE2 - CF_CODE + 8);
    CF_EQ(cf_a64_x(t, 0), 5);
}

static void el0_privileged(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_CODE2, el0_priv);
    CF_A64(t, el0_code);
    CF_A64_EXCEPTION(t, CF_A64_SYNC_EL0, CF_A64_EC_UNKNOWN,
                     CF_CODE2 - CF_CODE);
}

static const uint32_t self_code[] = {
    0xd2a00021, /* movz x1, #1, lsl #16 */
    0xf2840001, /* movk x1, #0x2000 */
    0x180001a2, /* ldr w2, patch */
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xd63f0020, /* blr x1 */
    0xb9000280, /* str w0, [x20] */
    0xb9000022, /* str w2, [x1] */
    0xd50b7b21, /* dc cvau, x1 */
    0xd5033b9f, /* dsb ish */
    0xd50b7521, /* ic ivau, x1 */
    0xd5033b9f, /* dsb ish */
    0xd5033fdf, /* isb */
    0xd63f0020, /* blr x1 */
    0xb9000680, /* str w0, [x20, #4] */
    /* done: */
    0x14000000, /* b done */
    /* patch: */
    0x528000e0, /* .word 0x528000e0 */
};

static const uint32_t self_callee[] = {
    0x52800060, /* mov w0, #3 */
    0xd65f03c0, /* ret */
};

static void self_modifying(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_CODE2, self_callee);
    CF_A64(t, self_code);
    CF_EQ(CF_A64_OUT(t, 0, 4), 3);
    CF_EQ(CF_A64_OUT(t, 4, 4), 7);
}

static const uint32_t fpu_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xd2a00606, /* mov x6, #0x300000 */
    0xd5181046, /* msr CPACR_EL1, x6 */
    0xd5033fdf, /* isb */
    0x6f03f700, /* fmov v0.2d, #1.5 */
    0x4e60d401, /* fadd v1.2d, v0.2d, v0.2d */
    0x9e780020, /* fcvtzs x0, d1 */
    0xf9000280, /* str x0, [x20] */
    0x4e31b822, /* addv b2, v1.16b */
    0x9e660021, /* fmov x1, d1 */
    0xf9000681, /* str x1, [x20, #8] */
    /* done: */
    0x14000000, /* b done */
};

static void insn_vector(struct cf *t)
{
    cf_vm(t, 1, false, false);
    CF_A64(t, fpu_code);
    CF_EQ(CF_A64_OUT(t, 0, 8), 3);
    CF_EQ(CF_A64_OUT(t, 8, 8), 0x4008000000000000); /* 3.0 */
}

static const uint32_t atomic_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xd2a00041, /* movz x1, #2, lsl #16 */
    /* again: */
    0xc85ffc22, /* ldaxr x2, [x1] */
    0x91001c42, /* add x2, x2, #7 */
    0xc803fc22, /* stlxr w3, x2, [x1] */
    0x35ffffa3, /* cbnz w3, again */
    0xf9000282, /* str x2, [x20] */
    /* done: */
    0x14000000, /* b done */
};

/* Exclusives want cached memory. */
static void insn_exclusive(struct cf *t)
{
    struct squib_aarch64_state st = {0};

    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_CODE, atomic_code);
    cf_put64(t, CF_DATA, 5);
    cf_a64_state(&st);
    cf_a64_mmu(&st, t);
    cf_a64_set(t, t->vcpu, CF_A64_BASICS, &st);
    CF_EQ(CF_A64_OUT(t, 0, 8), 12);
    CF_EQ(cf_ram64(t, CF_DATA), 12);
}

const struct cf_test cf_tests_a64_fault[] = {
    {"fault_undefined", fault_undefined, CF_EXEC},
    {"fault_brk", fault_brk, CF_EXEC},
    {"fault_svc", fault_svc, CF_EXEC},
    {"el0_svc", el0_svc, CF_EXEC},
    {"el0_privileged", el0_privileged, CF_EXEC},
    {"self_modifying", self_modifying, CF_EXEC},
    {"insn_vector", insn_vector, CF_EXEC},
    {"insn_exclusive", insn_exclusive, CF_EXEC},
    {0},
};
