/* SPDX-License-Identifier: Apache-2.0 */
/* The guest adds up what must work: EL1, memory, floating point, and a PSCI
 * call that KVM itself answers. */
#include "backends/kvm/kvm.h"

#include <string.h>

#include "base/util.h"

#define CODE_GPA 0x6000u
#define DONE_GPA 0x100000u /* no RAM */
#define RESULT 88u

static const uint32_t probe_code[] = {
    0xd5384244, /* mrs x4, CurrentEL */
    0xd342fc84, /* lsr x4, x4, #2 */
    0xd2940005, /* mov x5, #0xa000 */
    0xd2800506, /* mov x6, #40 */
    0xf90000a6, /* str x6, [x5] */
    0xf94000a7, /* ldr x7, [x5] */
    0x8b070084, /* add x4, x4, x7 */
    0xd2a00606, /* mov x6, #0x300000 */
    0xd5181046, /* msr CPACR_EL1, x6 */
    0xd5033fdf, /* isb */
    0x1e6f1000, /* fmov d0, #1.5 */
    0x1e602800, /* fadd d0, d0, d0 */
    0x9e780006, /* fcvtzs x6, d0 */
    0x8b060084, /* add x4, x4, x6 */
    0x52b08000, /* mov w0, #0x84000000 */
    0xd4000002, /* hvc #0 */
    0x7100001f, /* cmp w0, #0 */
    0x5400004d, /* b.le done */
    0x9100b084, /* add x4, x4, #44 */
    /* done: */
    0xd2a00205, /* mov x5, #0x100000 */
    0xb90000a4, /* str w4, [x5] */
    0x17fffffe, /* b done */
};

void sq_kvm_probe_fill(uint8_t *ram)
{
    memcpy(ram + CODE_GPA, probe_code, sizeof(probe_code));
}

int sq_kvm_probe_run(struct squib_vcpu *vcpu, struct squib_error *err)
{
    struct squib_aarch64_state st = {0};
    const struct squib_exit *e;
    int rc;

    squib_aarch64_el1(&st, CODE_GPA, 0);
    rc = squib_vcpu_set_aarch64(vcpu, SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM,
                                &st, err);
    if (rc)
        return rc;
    e = squib_vcpu_run(vcpu);
    if (e->kind == SQUIB_EXIT_MMIO && e->mmio.write &&
        e->mmio.gpa == DONE_GPA && sq_ld32(e->mmio.data) == RESULT)
        return 0;
    return sq_kvm_probe_explain(e, "EL1", err);
}
