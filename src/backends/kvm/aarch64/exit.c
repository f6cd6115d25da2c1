/* SPDX-License-Identifier: Apache-2.0 */
/* What exits carry that only arm64 has. */
#include "backends/kvm/exit.h"

#include <stdio.h>

/* ISS of a data abort (DDI 0487, ESR_ELx): bit 6 says it was a write. */
#define ISS_WNR (1u << 6)

bool sq_kvm_decode_suberror(struct sq_kvm_decode *d,
                            const struct kvm_run *run,
                            struct squib_exit *out)
{
    (void)d;
    (void)run;
    (void)out;
    return false;
}

/* The program counter is not in struct kvm_run: vcpu.c's hook adds it. */
void sq_kvm_decode_debug(const struct kvm_run *run,
                         struct squib_exit_debug *out)
{
    out->pc = run->debug.arch.far;
    out->syndrome = run->debug.arch.hsr;
}

/* An access to a device by an instruction of which the processor does not
 * tell the operands (load pair, vectors, write-back). */
bool sq_kvm_decode_arch(struct sq_kvm_decode *d, const struct kvm_run *run,
                        struct squib_exit *out)
{
    if (run->exit_reason != KVM_EXIT_ARM_NISV)
        return false;
    snprintf(d->text, sizeof(d->text), "the guest %s device address %#llx "
             "with an instruction that cannot be emulated",
             run->arm_nisv.esr_iss & ISS_WNR ? "wrote" : "read",
             (unsigned long long)run->arm_nisv.fault_ipa);
    sq_kvm_internal_error(out, d->text, run->arm_nisv.fault_ipa,
                          run->arm_nisv.esr_iss);
    return true;
}
