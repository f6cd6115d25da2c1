/* SPDX-License-Identifier: Apache-2.0 */
/* A machine of the Hypervisor.framework backend, unmodified, on the scripted
 * double. */
#ifndef SQ_TESTS_HVF_MACHINE_H
#define SQ_TESTS_HVF_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backends/hvf/hvf.h"
#include "base/util.h"
#include "hv_script.h"

#define RAM 0x80000000u
#define RAM_LEN 0x40000u
#define MMIO 0x09000004u
#define PC 0x80001000u

#define ESR(ec, iss) ((uint64_t)(ec) << 26 | 1u << 25 | (iss))
/* ISS of a data abort that is described: size, sign, register, X, write. */
#define ACCESS(sas, sse, srt, sf, wnr)                                     \
    (1u << 24 | (sas) << 22 | (sse) << 21 | (srt) << 16 | (sf) << 15 |     \
     (wnr) << 6 | 0x07)
#define EXC(ec, iss)                                                       \
    {.reason = HV_EXIT_REASON_EXCEPTION, .syndrome = ESR(ec, iss),         \
     .gpa = MMIO, .gva = 0xffff000009000004ull}
#define CANCELED {.reason = HV_EXIT_REASON_CANCELED}

struct machine {
    struct squib_memory *mem;
    struct squib_vm *vm;
    struct squib_vcpu *vcpu;
    struct hv_script_vcpu *hv;
    struct squib_error err;
};

static const struct squib_vm_config plain = {.vcpus = 1};
static const struct squib_vm_config with_gic = {
    .vcpus = 2,
    .irqchip = true,
    .gic = {.dist_gpa = 0x08000000, .redist_gpa = 0x08100000,
            .redist_len = 0x400000, .msi_gpa = 0x08020000, .spis = 224,
            .msi_spis = 128},
};

static inline void make_vm(struct machine *m,
                           const struct squib_vm_config *config)
{
    hv_script_reset();
    memset(m, 0, sizeof(*m));
    assert_int_equal(squib_memory_new(&m->mem, &m->err), 0);
    assert_int_equal(squib_memory_add(m->mem,
                                      (struct squib_range){RAM, RAM_LEN},
                                      &m->err), 0);
    if (squib_vm_new(&sq_backend_hvf, config, m->mem, &m->vm, &m->err) != 0)
        fail_msg("%s", m->err.text);
}

static inline void make(struct machine *m,
                        const struct squib_vm_config *config)
{
    make_vm(m, config);
    assert_int_equal(squib_vcpu_new(m->vm, 0, &m->vcpu, &m->err), 0);
    m->hv = &hv_script.vcpu[0];
    m->hv->pc = PC;
}

static inline void drop(struct machine *m)
{
    squib_vcpu_free(m->vcpu);
    squib_vm_free(m->vm);
    squib_memory_free(m->mem);
    assert_int_equal(hv_script_violations(), 0);
}

#define SCRIPT(exits) hv_script_exits(0, exits, SQ_ARRAY_LEN(exits))

static inline struct squib_exit *expect(struct machine *m,
                                        enum squib_exit_kind kind)
{
    struct squib_exit *e = squib_vcpu_run(m->vcpu);

    assert_string_equal(squib_exit_name(e->kind), squib_exit_name(kind));
    return e;
}

#endif
