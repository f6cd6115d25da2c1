/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a vCPU, and stopping it from outside.
 *
 * Everything but cancel happens on the thread that created the vCPU, as the
 * framework demands.
 *
 * Cancel. `cancel` (the flag) is the truth. hv_vcpus_exit() ends the run
 * that is under way or, if there is none, the next one at once, so it may
 * come late and then costs one empty round. The flag is taken between two
 * runs: by then the instruction of the exit before has been completed, so a
 * canceled vCPU always shows a complete state.
 *
 * Answers. The program counter moves on when an exit is handed out; what a
 * load or a call gives to a register is written at the start of the next
 * run, when the caller has filled it in.
 */
#define _GNU_SOURCE
#include "backends/hvf/hvf.h"

#include <errno.h>
#include <stdlib.h>

#include "backends/hvf/inject.h"
#include "base/err.h"
#include "base/util.h"
#include "os/clock.h"

#define REG_ZR 31
#define MPIDR_RES1 0x80000000u
/* WFE waits for an event that no exit tells of; so not for long. */
#define WFE_PAUSE_NS 50000u

/* --- registers ------------------------------------------------------- */

static void note(struct sq_hvf_vcpu *v, hv_return_t rc)
{
    if (rc != HV_SUCCESS && v->failed == HV_SUCCESS)
        v->failed = rc;
}

static uint64_t get_reg(struct sq_hvf_vcpu *v, hv_reg_t reg)
{
    uint64_t value = 0;

    note(v, hv_vcpu_get_reg(v->id, reg, &value));
    return value;
}

static void set_reg(struct sq_hvf_vcpu *v, hv_reg_t reg, uint64_t value)
{
    note(v, hv_vcpu_set_reg(v->id, reg, value));
}

static uint64_t get_sys(struct sq_hvf_vcpu *v, hv_sys_reg_t reg)
{
    uint64_t value = 0;

    note(v, hv_vcpu_get_sys_reg(v->id, reg, &value));
    return value;
}

static void set_sys(struct sq_hvf_vcpu *v, hv_sys_reg_t reg, uint64_t value)
{
    note(v, hv_vcpu_set_sys_reg(v->id, reg, value));
}

/* --- exits ----------------------------------------------------------- */

static void internal_error(struct sq_hvf_vcpu *v, const char *text,
                           uint64_t a, uint64_t b)
{
    v->base.exit.kind = SQUIB_EXIT_INTERNAL_ERROR;
    v->base.exit.internal_error = (struct squib_exit_internal_error){
        .text = text, .detail = {a, b}};
}

/* When the virtual timer will interrupt, as a host time. */
static uint64_t timer_deadline(struct sq_hvf_vcpu *v)
{
    uint64_t ctl = get_sys(v, SQ_HVF_CNTV_CTL_EL0), now = sq_now_ns();
    uint64_t count = mach_absolute_time() - v->vtimer_offset;
    mach_timebase_info_data_t base = {1, 1};
    unsigned __int128 left;

    if ((ctl & 3) != 1) /* off, or masked */
        return SQUIB_DEADLINE_NONE;
    left = get_sys(v, SQ_HVF_CNTV_CVAL_EL0);
    if (left <= count)
        return now;
    mach_timebase_info(&base);
    left = (left - count) * base.numer / base.denom;
    return left < SQUIB_DEADLINE_NONE - now ? now + (uint64_t)left
                                            : SQUIB_DEADLINE_NONE;
}

static void begin_mmio(struct sq_hvf_vcpu *v, const struct sq_hvf_access *a)
{
    uint64_t value = 0;

    if (!a->write) {
        v->load = *a;
        v->pending = SQ_HVF_LOAD;
    } else if (a->reg != REG_ZR) {
        value = get_reg(v, HV_REG_X0 + a->reg);
    }
    sq_hvf_access_exit(a, value, &v->base.exit);
}

static void begin_call(struct sq_hvf_vcpu *v)
{
    struct squib_exit *out = &v->base.exit;

    out->kind = SQUIB_EXIT_HYPERCALL;
    out->hypercall = (struct squib_exit_hypercall){
        .function = (uint32_t)get_reg(v, HV_REG_X0)};
    for (uint32_t i = 0; i < SQ_ARRAY_LEN(out->hypercall.args); i++)
        out->hypercall.args[i] = get_reg(v, HV_REG_X0 + 1 + i);
    v->pending = SQ_HVF_RESULT;
}

/* Gives an exception to the guest. True: an exit instead. */
static bool inject(struct sq_hvf_vcpu *v, const struct sq_hvf_decoded *d)
{
    struct sq_hvf_el1 r = {
        .pc = get_reg(v, HV_REG_PC),
        .cpsr = get_reg(v, HV_REG_CPSR),
        .vbar = get_sys(v, SQ_HVF_VBAR_EL1),
        .sctlr = get_sys(v, SQ_HVF_SCTLR_EL1),
    };

    if (!sq_hvf_inject(d, &r)) {
        /* No memory where its exception vectors are: it cannot go on. */
        v->base.exit.kind = SQUIB_EXIT_SHUTDOWN;
        v->base.exit.shutdown.fault = true;
        return true;
    }
    set_reg(v, HV_REG_PC, r.pc);
    set_reg(v, HV_REG_CPSR, r.cpsr);
    set_sys(v, SQ_HVF_ELR_EL1, r.elr);
    set_sys(v, SQ_HVF_SPSR_EL1, r.spsr);
    set_sys(v, SQ_HVF_ESR_EL1, r.esr);
    if (d->action != SQ_HVF_UNDEF)
        set_sys(v, SQ_HVF_FAR_EL1, r.far);
    return false;
}

/* A trapped register. False: there is none of that name. */
static bool answer_sysreg(struct sq_hvf_vcpu *v,
                          const struct sq_hvf_sysreg *s)
{
    uint64_t value;

    if (!sq_hvf_sysreg_answer(s, mach_absolute_time(), &value))
        return false;
    if (s->read && s->reg != REG_ZR)
        set_reg(v, HV_REG_X0 + s->reg, value);
    return true;
}

/* True: base.exit is for the caller. False: run on. */
static bool handle(struct sq_hvf_vcpu *v, struct sq_hvf_decoded *d)
{
    if (d->memory && d->write && sq_hvf_vm_write_fault(v->vm, d->gpa))
        return false; /* the same instruction again */
    if (d->action == SQ_HVF_SYSREG && !answer_sysreg(v, &d->sysreg)) {
        d->action = SQ_HVF_UNDEF;
        d->advance = false;
    }
    if (d->action == SQ_HVF_EXIT && d->exit.kind == SQUIB_EXIT_DEBUG &&
        !sq_hvf_debug_asked(v, d->exit.debug.syndrome))
        d->action = SQ_HVF_OWN;
    if (d->advance) {
        set_reg(v, HV_REG_PC, get_reg(v, HV_REG_PC) + 4);
        note(v, sq_hvf_debug_completed(v));
    }
    switch (d->action) {
    case SQ_HVF_AGAIN:
    case SQ_HVF_SYSREG:
    case SQ_HVF_CANCELED: /* the flag is looked at before each run */
        return false;
    case SQ_HVF_VTIMER:
        /* Only without the framework's GIC, so the interrupt has nowhere
         * to go. The framework has masked the timer; WFI's deadline still
         * tells of it. */
        return false;
    case SQ_HVF_MMIO:
        begin_mmio(v, &d->access);
        return true;
    case SQ_HVF_CALL:
        begin_call(v);
        return true;
    case SQ_HVF_UNDEF:
    case SQ_HVF_ABORT:
    case SQ_HVF_OWN:
        return inject(v, d);
    case SQ_HVF_IDLE:
        v->base.exit = d->exit;
        v->base.exit.idle.deadline_ns = d->exit.kind == SQUIB_EXIT_WFE
                                            ? sq_now_ns() + WFE_PAUSE_NS
                                            : timer_deadline(v);
        return true;
    case SQ_HVF_EXIT:
        v->base.exit = d->exit;
        if (d->exit.kind == SQUIB_EXIT_DEBUG)
            v->base.exit.debug.pc = get_reg(v, HV_REG_PC);
        return true;
    }
    return true;
}

/* Gives the guest what the caller answered to the exit before. */
static void finish(struct sq_hvf_vcpu *v)
{
    const struct squib_exit *e = &v->base.exit;

    if (v->pending == SQ_HVF_LOAD && v->load.reg != REG_ZR)
        set_reg(v, HV_REG_X0 + v->load.reg,
                sq_hvf_access_value(&v->load, e));
    else if (v->pending == SQ_HVF_RESULT)
        set_reg(v, HV_REG_X0, e->hypercall.ret);
    v->pending = SQ_HVF_NOTHING;
}

static void take_over_offset(struct sq_hvf_vcpu *v)
{
    uint64_t offset = atomic_load(&v->vm->vtimer_offset);

    if (offset == v->vtimer_offset)
        return;
    note(v, hv_vcpu_set_vtimer_offset(v->id, offset));
    v->vtimer_offset = offset;
}

static struct squib_exit *vcpu_run(struct squib_vcpu *vcpu)
{
    struct sq_hvf_vcpu *v = sq_hvf_vcpu_of(vcpu);
    struct sq_hvf_decoded d;
    bool ready = false;

    finish(v);
    while (!ready && v->failed == HV_SUCCESS) {
        hv_return_t rc;

        if (atomic_exchange(&v->cancel, false)) {
            sq_wake_drain(&v->wake);
            v->base.exit.kind = SQUIB_EXIT_CANCELED;
            return &v->base.exit;
        }
        take_over_offset(v);
        note(v, sq_hvf_debug_enter(v));
        rc = hv_vcpu_run(v->id);
        if (rc != HV_SUCCESS) {
            internal_error(v, "Hypervisor.framework cannot run the vCPU",
                           (uint32_t)rc, 0);
            return &v->base.exit;
        }
        sq_hvf_decode(v->native->reason, v->native->exception.syndrome,
                      v->native->exception.virtual_address,
                      v->native->exception.physical_address, &d);
        ready = handle(v, &d);
    }
    if (v->failed != HV_SUCCESS) {
        internal_error(v, "Hypervisor.framework refuses a register",
                       (uint32_t)v->failed, 0);
        v->pending = SQ_HVF_NOTHING;
        v->failed = HV_SUCCESS;
    }
    return &v->base.exit;
}

static void vcpu_cancel(struct squib_vcpu *vcpu)
{
    struct sq_hvf_vcpu *v = sq_hvf_vcpu_of(vcpu);
    int saved = errno;

    if (!atomic_exchange(&v->cancel, true)) {
        sq_wake_signal(&v->wake);
        hv_vcpus_exit(&v->id, 1);
    }
    errno = saved;
}

static void vcpu_park(struct squib_vcpu *vcpu, uint64_t deadline_ns)
{
    struct sq_hvf_vcpu *v = sq_hvf_vcpu_of(vcpu);

    atomic_store(&v->parked, true);
    if (!atomic_load(&v->cancel))
        sq_wake_wait(&v->wake, deadline_ns);
    atomic_store(&v->parked, false);
}

void sq_hvf_vcpus_wake(struct sq_hvf_vm *vm)
{
    pthread_mutex_lock(&vm->vcpu_lock);
    for (uint32_t i = 0; i < vm->vcpus; i++)
        if (vm->vcpu[i] && atomic_load(&vm->vcpu[i]->parked))
            sq_wake_signal(&vm->vcpu[i]->wake);
    pthread_mutex_unlock(&vm->vcpu_lock);
}

/* --- life ------------------------------------------------------------ */

static void vcpu_free(struct squib_vcpu *vcpu)
{
    struct sq_hvf_vcpu *v = sq_hvf_vcpu_of(vcpu);

    pthread_mutex_lock(&v->vm->vcpu_lock);
    for (uint32_t i = 0; i < v->vm->vcpus; i++)
        if (v->vm->vcpu[i] == v)
            v->vm->vcpu[i] = NULL;
    pthread_mutex_unlock(&v->vm->vcpu_lock);
    if (v->created)
        hv_vcpu_destroy(v->id);
    sq_wake_destroy(&v->wake);
    free(v);
}

static const struct sq_vcpu_ops vcpu_ops = {
    .free = vcpu_free,
    .run = vcpu_run,
    .cancel = vcpu_cancel,
    .park = vcpu_park,
    .get_aarch64 = sq_hvf_vcpu_get_state,
    .set_aarch64 = sq_hvf_vcpu_set_state,
    .debug = sq_hvf_vcpu_debug,
};

/* EL1 with everything off, and the affinity by which the GIC finds it. */
static int setup(struct sq_hvf_vcpu *v, uint32_t index,
                 struct squib_error *err)
{
    hv_return_t rc = hv_vcpu_create(&v->id, &v->native, NULL);

    if (rc != HV_SUCCESS)
        return sq_hvf_error(err, "hv_vcpu_create", rc);
    v->created = true;
    set_sys(v, SQ_HVF_MPIDR_EL1, MPIDR_RES1 | squib_aarch64_mpidr(index));
    set_reg(v, HV_REG_CPSR, SQUIB_AARCH64_PSTATE_EL1H);
    v->vtimer_offset = atomic_load(&v->vm->vtimer_offset);
    note(v, hv_vcpu_set_vtimer_offset(v->id, v->vtimer_offset));
    rc = v->failed;
    v->failed = HV_SUCCESS;
    return rc == HV_SUCCESS ? 0 : sq_hvf_error(err, "a new vCPU", rc);
}

/* Takes the place; an index can be used once. */
static int claim(struct sq_hvf_vm *vm, uint32_t index, struct sq_hvf_vcpu *v,
                 struct squib_error *err)
{
    bool taken;

    pthread_mutex_lock(&vm->vcpu_lock);
    taken = vm->vcpu[index] != NULL;
    if (!taken)
        vm->vcpu[index] = v;
    pthread_mutex_unlock(&vm->vcpu_lock);
    return taken ? sq_err_set(err, SQUIB_E_INVAL,
                              "vCPU %u was created before", index)
                 : 0;
}

int sq_hvf_vcpu_new(struct squib_vm *base, uint32_t index,
                    struct squib_vcpu **out, struct squib_error *err)
{
    struct sq_hvf_vcpu *v = calloc(1, sizeof(*v));
    int rc;

    if (!v)
        return sq_err_set(err, SQUIB_E_NOMEM, "vCPU %u: no memory", index);
    v->base.ops = &vcpu_ops;
    v->base.vm = base;
    v->vm = sq_hvf_vm_of(base);
    atomic_init(&v->cancel, false);
    atomic_init(&v->parked, false);
    rc = sq_wake_init(&v->wake, err);
    if (rc) {
        free(v);
        return rc;
    }
    rc = claim(v->vm, index, v, err);
    if (!rc)
        rc = setup(v, index, err);
    if (rc) {
        vcpu_free(&v->base);
        return rc;
    }
    *out = &v->base;
    return 0;
}
