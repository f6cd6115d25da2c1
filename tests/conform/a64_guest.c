/* SPDX-License-Identifier: Apache-2.0 */
/* arm64 machines for the tests: exception vectors, start state, exits. */
#include "a64.h"

#include "base/util.h"

/* Each of the 16 vectors: mov x29, #its offset; b common. */
static const uint32_t vector_common[] = {
    0xd2ba001c, /* movz x28, #0xd000, lsl #16 */
    0xf907839d, /* str x29, [x28, #0xf00] */
    0xd538521e, /* mrs x30, ESR_EL1 */
    0xf907879e, /* str x30, [x28, #0xf08] */
    0xd538403e, /* mrs x30, ELR_EL1 */
    0xf9078b9e, /* str x30, [x28, #0xf10] */
    0xd538601e, /* mrs x30, FAR_EL1 */
    0xf9078f9e, /* str x30, [x28, #0xf18] */
    /* sleep: */
    0xd503207f, /* wfi */
    0x17ffffff, /* b sleep */
};

#define VECTORS_LEN 0x800u

void cf_a64_vectors(struct cf *t)
{
    const uint32_t common = CF_STUBS + VECTORS_LEN;

    CF_PUT(t, common, vector_common);
    for (uint32_t at = 0; at < VECTORS_LEN; at += 0x80) {
        uint32_t code[2] = {
            0xd280001du | at << 5,                          /* mov x29 */
            0x14000000u | (common - (CF_STUBS + at + 4)) / 4, /* b */
        };

        CF_PUT(t, CF_STUBS + at, code);
    }
}

void cf_a64_config(struct squib_vm_config *config)
{
    config->gic = (struct squib_aarch64_gic){
        .dist_gpa = CF_A64_GICD,
        .redist_gpa = CF_A64_GICR,
        .redist_len = SQUIB_VCPUS_MAX * SQUIB_AARCH64_GICR_LEN,
        .msi_gpa = CF_A64_MSI,
        .spis = 64,
        .msi_spis = 32,
    };
}

void cf_a64_state(struct squib_aarch64_state *st)
{
    squib_aarch64_el1(st, CF_CODE, 0);
    st->sp_el1 = CF_STACK;
    cf_a64_sysreg(st, SQUIB_AARCH64_VBAR_EL1, CF_STUBS);
}

void cf_a64_sysreg(struct squib_aarch64_state *st,
                   enum squib_aarch64_sysreg reg, uint64_t value)
{
    st->sysreg[reg] = value;
    st->present[reg / 64] |= 1ull << reg % 64;
}

void cf_a64_set(struct cf *t, struct squib_vcpu *vcpu, uint32_t parts,
                const struct squib_aarch64_state *st)
{
    struct squib_error e;

    (void)t;
    CF_OK(squib_vcpu_set_aarch64(vcpu, parts, st, &e), e);
}

void cf_a64_get(struct cf *t, uint32_t parts, struct squib_aarch64_state *st)
{
    struct squib_error e;

    CF_OK(squib_vcpu_get_aarch64(t->vcpu, parts, st, &e), e);
}

void cf_a64_start(struct cf *t, const void *code, size_t len)
{
    struct squib_aarch64_state st = {0};

    cf_put(t, CF_CODE, code, len);
    cf_a64_state(&st);
    cf_a64_set(t, t->vcpu, CF_A64_BASICS, &st);
}

uint64_t cf_a64_x(struct cf *t, unsigned n)
{
    struct squib_aarch64_state st;

    cf_a64_get(t, SQUIB_STATE_REGS, &st);
    return n == 31 ? st.pc : st.x[n];
}

/* Memory as normal, cached and executable memory: 4 GiB one to one. */
void cf_a64_mmu(struct squib_aarch64_state *st, struct cf *t)
{
    const uint64_t block = 1u << 10 | 3u << 8 | 1u << 2 | 1u;

    for (uint64_t i = 0; i < 4; i++)
        cf_put64(t, CF_PT + (uint32_t)i * 8, i << 30 | block);
    cf_a64_sysreg(st, SQUIB_AARCH64_MAIR_EL1, 0xff00);
    cf_a64_sysreg(st, SQUIB_AARCH64_TTBR0_EL1, CF_PT);
    /* T0SZ 32, cached walks, no TTBR1, 4 GiB of output addresses */
    cf_a64_sysreg(st, SQUIB_AARCH64_TCR_EL1,
                  32u | 1u << 8 | 1u << 10 | 3u << 12 | 1u << 23);
    st->sysreg[SQUIB_AARCH64_SCTLR_EL1] |= 1u | 1u << 2 | 1u << 12;
}

uint64_t cf_a64_out(const char *file, int line, struct cf *t, uint32_t off,
                    uint8_t len)
{
    const struct squib_exit *e = cf_run(t);

    if (e->kind != SQUIB_EXIT_MMIO || !e->mmio.write || e->mmio.len != len ||
        e->mmio.gpa != CF_MMIO + off)
        cf_fail(file, line, "expected mmio write of %u bytes at %#x, got %s",
                len, CF_MMIO + off, cf_describe(e));
    return sq_ld64(e->mmio.data);
}

void cf_a64_exception(const char *file, int line, struct cf *t,
                      uint32_t vector, uint32_t ec, uint32_t pc)
{
    uint64_t got_vector = cf_a64_out(file, line, t, 0xf00, 8);
    uint64_t esr = cf_a64_out(file, line, t, 0xf08, 8);
    uint64_t elr = cf_a64_out(file, line, t, 0xf10, 8);

    cf_a64_out(file, line, t, 0xf18, 8);
    if (got_vector != vector || (esr >> 26 & 0x3f) != ec ||
        (pc != CF_A64_ANY_PC && elr != CF_CODE + pc))
        cf_fail(file, line, "expected exception %#x at +%#x by vector %#x, "
                "got %#llx (ESR %#llx) at %#llx by vector %#llx", ec, pc,
                vector, (unsigned long long)(esr >> 26 & 0x3f),
                (unsigned long long)esr, (unsigned long long)elr,
                (unsigned long long)got_vector);
}

/* Nothing more may come, whether the guest sleeps or spins. */
void cf_a64_silence(const char *file, int line, struct cf *t)
{
    cf_cancel_after(t->vcpu, 40);
    cf_kind(file, line, t, SQUIB_EXIT_CANCELED);
}
