/* SPDX-License-Identifier: Apache-2.0 */
/* The backend table of Hypervisor.framework, its errors in words, and the
 * probe. */
#define _GNU_SOURCE
#include "backends/hvf/hvf.h"

#include <string.h>

#include <squib/vm.h>

#include "base/err.h"
#include "base/util.h"

static const struct {
    hv_return_t rc;
    int code;
    const char *text;
} errors[] = {
    {HV_BUSY, SQUIB_E_STATE, "this process has a virtual machine already; "
                             "macOS allows one"},
    {HV_BAD_ARGUMENT, SQUIB_E_INVAL, "refused as a bad argument"},
    {HV_ILLEGAL_GUEST_STATE, SQUIB_E_INTERNAL, "impossible guest state"},
    {HV_NO_RESOURCES, SQUIB_E_NOMEM, "macOS has no resources left for it"},
    {HV_NO_DEVICE, SQUIB_E_NOSUPPORT, "there is no such device"},
    {HV_DENIED, SQUIB_E_NOSUPPORT,
     "macOS does not let this program use virtualization\n  do: sign it: "
     "codesign --sign - --entitlements tools/squib.entitlements --force squib"},
    {HV_UNSUPPORTED, SQUIB_E_NOSUPPORT,
     "this Mac has no virtualization for arm64 guests"},
};

int sq_hvf_error(struct squib_error *err, const char *call, hv_return_t rc)
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(errors); i++)
        if (errors[i].rc == rc)
            return sq_err_set(err, errors[i].code, "%s: %s", call,
                              errors[i].text);
    return sq_err_set(err, SQUIB_E_INTERNAL, "%s: error %#x", call,
                      (unsigned)rc);
}

static uint64_t backend_caps(void)
{
    return SQUIB_CAP_HARDWARE | SQUIB_CAP_IRQCHIP | SQUIB_CAP_SMP |
           SQUIB_CAP_DIRTY_LOG | SQUIB_CAP_VCPU_EXITS |
           SQUIB_CAP_READONLY_MEM | SQUIB_CAP_DEBUG;
}

/* --- probe ----------------------------------------------------------- */

#define PROBE_RAM_GPA 0x80000000u
#define PROBE_MMIO_GPA 0x09000000u
#define PROBE_RESULT 0x57u
#define PROBE_CALL 0x84000000u /* PSCI_VERSION */

static const uint32_t probe_code[] = {
    0xd2800aa0, /* mov x0, #0x55 */
    0x91000800, /* add x0, x0, #2 */
    0xd2a12001, /* mov x1, #0x9000000 */
    0x39000020, /* strb w0, [x1] */
    0x39400022, /* ldrb w2, [x1] */
    0xd2b08000, /* mov x0, #0x84000000 */
    0xd4000002, /* hvc #0 */
};

static int wrong(const struct squib_exit *e, struct squib_error *err)
{
    const char *text = e->kind == SQUIB_EXIT_INTERNAL_ERROR
                           ? e->internal_error.text
                           : squib_exit_name(e->kind);

    return sq_err_set(err, SQUIB_E_NOSUPPORT, "Hypervisor.framework cannot "
                      "run a few instructions: %s\n  do: use the software "
                      "CPU (--backend soft)", text);
}

static int probe_run(struct squib_vcpu *vcpu, struct squib_error *err)
{
    struct squib_aarch64_state st = {0};
    struct squib_exit *e;
    int rc;

    squib_aarch64_el1(&st, PROBE_RAM_GPA, 0);
    rc = squib_vcpu_set_aarch64(vcpu, SQUIB_STATE_REGS, &st, err);
    if (rc)
        return rc;
    e = squib_vcpu_run(vcpu);
    if (e->kind != SQUIB_EXIT_MMIO || !e->mmio.write || e->mmio.len != 1 ||
        e->mmio.gpa != PROBE_MMIO_GPA || e->mmio.data[0] != PROBE_RESULT)
        return wrong(e, err);
    e = squib_vcpu_run(vcpu);
    if (e->kind != SQUIB_EXIT_MMIO || e->mmio.write ||
        e->mmio.gpa != PROBE_MMIO_GPA)
        return wrong(e, err);
    e->mmio.data[0] = PROBE_RESULT;
    e = squib_vcpu_run(vcpu);
    if (e->kind != SQUIB_EXIT_HYPERCALL ||
        e->hypercall.function != PROBE_CALL ||
        e->hypercall.args[1] != PROBE_RESULT)
        return wrong(e, err);
    return 0;
}

static int backend_probe(struct squib_error *err)
{
    const struct squib_range range = {PROBE_RAM_GPA, SQ_HVF_PAGE_LEN};
    const struct squib_vm_config config = {.vcpus = 1};
    struct squib_memory *mem;
    struct squib_vm *vm = NULL;
    struct squib_vcpu *vcpu = NULL;
    int rc = squib_memory_new(&mem, err);

    if (rc)
        return rc;
    rc = squib_memory_add(mem, range, err);
    if (!rc)
        rc = squib_memory_write(mem, PROBE_RAM_GPA, probe_code,
                                sizeof(probe_code), err);
    if (!rc)
        rc = squib_vm_new(&sq_backend_hvf, &config, mem, &vm, err);
    if (!rc)
        rc = squib_vcpu_new(vm, 0, &vcpu, err);
    if (!rc)
        rc = probe_run(vcpu, err);
    squib_vcpu_free(vcpu);
    squib_vm_free(vm);
    squib_memory_free(mem);
    return rc;
}

const struct squib_backend sq_backend_hvf = {
    .name = "hvf",
    .summary = "hardware virtualization (Hypervisor.framework)",
    .arch = SQUIB_ARCH_AARCH64,
    .caps = backend_caps,
    .probe = backend_probe,
    .vm_new = sq_hvf_vm_new,
};
