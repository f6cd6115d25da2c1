/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Architectural state of a vCPU, to and from KVM's registers by number
 * (Linux Documentation/virt/kvm/api.rst, KVM_SET_ONE_REG), and what only
 * arm64 needs around KVM_RUN.
 *
 * Order when setting: the counter before the timers, which compare with it;
 * the run state last, since it may start the vCPU.
 */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/err.h"
#include "base/util.h"

#define CORE(size, field)                                                  \
    (KVM_REG_ARM64 | KVM_REG_SIZE_##size | KVM_REG_ARM_CORE |              \
     KVM_REG_ARM_CORE_REG(field))
#define SYSREG(id) (KVM_REG_ARM64_SYSREG | KVM_REG_ARM64 |                 \
                    KVM_REG_SIZE_U64 | (id))

/* KVM's names of these two are exchanged; its numbers are what counts. */
#define REG_CNT KVM_REG_ARM_TIMER_CNT
#define REG_CVAL KVM_REG_ARM_TIMER_CVAL

/* PSTATE's mode bits: AArch64 at EL1 or EL0. */
#define PSTATE_MODE 0x1fu
#define MODE_EL0T 0x0u
#define MODE_EL1T 0x4u
#define MODE_EL1H 0x5u

#define TIMER_CTL_ISTATUS 4u /* read-only */

static struct sq_kvm_vcpu *vcpu_of(struct squib_vcpu *vcpu)
{
    return SQ_CONTAINER_OF(vcpu, struct sq_kvm_vcpu, base);
}

static struct sq_kvm_vm *vm_of(struct sq_kvm_vcpu *v)
{
    return SQ_CONTAINER_OF(v->base.vm, struct sq_kvm_vm, base);
}

static int call(struct sq_kvm_vcpu *v, unsigned long request, void *arg,
                const char *what, struct squib_error *err)
{
    if (ioctl(v->fd, request, arg) >= 0)
        return 0;
    if (errno == EINVAL)
        return sq_err_os(err, SQUIB_E_INVAL, errno, "KVM refuses %s", what);
    return sq_err_os(err, SQUIB_E_OS, errno, "KVM, %s", what);
}

/* --- registers by number --------------------------------------------- */

static int one(struct sq_kvm_vcpu *v, bool set, uint64_t id, void *value)
{
    struct kvm_one_reg r = {.id = id, .addr = (uintptr_t)value};

    return ioctl(v->fd, set ? KVM_SET_ONE_REG : KVM_GET_ONE_REG, &r);
}

struct field {
    uint64_t id;
    size_t offset; /* in struct squib_aarch64_state */
};

#define FIELD(size, reg, member)                                           \
    {CORE(size, reg), offsetof(struct squib_aarch64_state, member)}

static const struct field general[] = {
    FIELD(U64, regs.pc, pc),
    FIELD(U64, regs.pstate, pstate),
    FIELD(U64, regs.sp, sp_el0),
    FIELD(U64, sp_el1, sp_el1),
    FIELD(U64, elr_el1, elr_el1),
    FIELD(U64, spsr[KVM_SPSR_EL1], spsr_el1),
};

static const struct field vector[] = {
    FIELD(U32, fp_regs.fpcr, fpcr),
    FIELD(U32, fp_regs.fpsr, fpsr),
};

/* The counter first. */
static const struct field timer[] = {
    {REG_CNT, offsetof(struct squib_aarch64_state, cntvct)},
    {REG_CVAL, offsetof(struct squib_aarch64_state, cntv_cval)},
    {KVM_REG_ARM_TIMER_CTL, offsetof(struct squib_aarch64_state, cntv_ctl)},
};

/* Some versions of KVM emulate the physical timer and do not show it. */
static const struct field physical_timer[] = {
    {KVM_REG_ARM_PTIMER_CVAL,
     offsetof(struct squib_aarch64_state, cntp_cval)},
    {KVM_REG_ARM_PTIMER_CTL, offsetof(struct squib_aarch64_state, cntp_ctl)},
};

static int fields(struct sq_kvm_vcpu *v, bool set, const struct field *f,
                  size_t n, struct squib_aarch64_state *st,
                  struct squib_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (one(v, set, f[i].id, (uint8_t *)st + f[i].offset) != 0)
            return sq_err_os(err, errno == EINVAL ? SQUIB_E_INVAL
                                                  : SQUIB_E_OS, errno,
                             "KVM, register %#llx",
                             (unsigned long long)f[i].id);
    return 0;
}

/* A row of 31 or 32 registers. */
static int row(struct sq_kvm_vcpu *v, bool set, uint64_t id, uint64_t step,
               void *value, size_t len, size_t n, struct squib_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (one(v, set, id + i * step, (uint8_t *)value + i * len) != 0)
            return sq_err_os(err, SQUIB_E_OS, errno, "KVM, register %#llx",
                             (unsigned long long)(id + i * step));
    return 0;
}

static int regs(struct sq_kvm_vcpu *v, bool set,
                struct squib_aarch64_state *st, struct squib_error *err)
{
    int rc = row(v, set, CORE(U64, regs.regs[0]),
                 KVM_REG_ARM_CORE_REG(regs.regs[1]) -
                     KVM_REG_ARM_CORE_REG(regs.regs[0]),
                 st->x, sizeof(st->x[0]), SQ_ARRAY_LEN(st->x), err);

    return rc ? rc : fields(v, set, general, SQ_ARRAY_LEN(general), st, err);
}

static int fpu(struct sq_kvm_vcpu *v, bool set,
               struct squib_aarch64_state *st, struct squib_error *err)
{
    int rc = row(v, set, CORE(U128, fp_regs.vregs[0]),
                 KVM_REG_ARM_CORE_REG(fp_regs.vregs[1]) -
                     KVM_REG_ARM_CORE_REG(fp_regs.vregs[0]),
                 st->v, sizeof(st->v[0]), SQ_ARRAY_LEN(st->v), err);

    return rc ? rc : fields(v, set, vector, SQ_ARRAY_LEN(vector), st, err);
}

static int timers(struct sq_kvm_vcpu *v, bool set,
                  struct squib_aarch64_state *st, struct squib_error *err)
{
    uint64_t probe;
    int rc = fields(v, set, timer, SQ_ARRAY_LEN(timer), st, err);

    if (rc)
        return rc;
    if (one(v, false, KVM_REG_ARM_PTIMER_CTL, &probe) == 0)
        return fields(v, set, physical_timer, SQ_ARRAY_LEN(physical_timer),
                      st, err);
    if (!set)
        st->cntp_ctl = st->cntp_cval = 0;
    return 0;
}

/* --- system registers ------------------------------------------------ */

static int get_system(struct sq_kvm_vcpu *v, struct squib_aarch64_state *st,
                      struct squib_error *err)
{
    memset(st->sysreg, 0, sizeof(st->sysreg));
    memset(st->present, 0, sizeof(st->present));
    for (unsigned i = 0; i < SQUIB_AARCH64_SYSREG_COUNT; i++) {
        if (one(v, false, SYSREG(squib_aarch64_sysreg_id(i)),
                &st->sysreg[i]) == 0)
            st->present[i / 64] |= 1ull << i % 64;
        else if (errno != ENOENT && errno != EINVAL)
            return sq_err_os(err, SQUIB_E_OS, errno, "KVM, %s",
                             squib_aarch64_sysreg_name(i));
    }
    return 0;
}

/* A register that this CPU does not have is accepted when it holds 0. */
static int set_system(struct sq_kvm_vcpu *v,
                      const struct squib_aarch64_state *st,
                      struct squib_error *err)
{
    for (unsigned i = 0; i < SQUIB_AARCH64_SYSREG_COUNT; i++) {
        uint64_t value = st->sysreg[i];

        if (!(st->present[i / 64] >> i % 64 & 1))
            continue;
        if (one(v, true, SYSREG(squib_aarch64_sysreg_id(i)), &value) != 0 &&
            value)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "KVM refuses %#llx for %s",
                              (unsigned long long)value,
                              squib_aarch64_sysreg_name(i));
    }
    return 0;
}

/* --- run state and pending errors ------------------------------------ */

static int get_events(struct sq_kvm_vcpu *v, struct squib_aarch64_state *st,
                      struct squib_error *err)
{
    struct kvm_mp_state mp;
    struct kvm_vcpu_events e;
    int rc = call(v, KVM_GET_MP_STATE, &mp, "the run state", err);

    if (!rc)
        rc = call(v, KVM_GET_VCPU_EVENTS, &e, "events", err);
    if (rc)
        return rc;
    st->power = mp.mp_state == KVM_MP_STATE_STOPPED ? SQUIB_AARCH64_OFF
                                                    : SQUIB_AARCH64_ON;
    st->serror_pending = e.exception.serror_pending;
    st->serror_has_esr = e.exception.serror_has_esr;
    st->serror_esr = e.exception.serror_esr;
    return 0;
}

static int set_events(struct sq_kvm_vcpu *v,
                      const struct squib_aarch64_state *st,
                      struct squib_error *err)
{
    struct kvm_mp_state mp = {.mp_state = KVM_MP_STATE_RUNNABLE};
    struct kvm_vcpu_events e = {0};
    int rc;

    if (st->power > SQUIB_AARCH64_OFF)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "impossible vCPU state: power %u", st->power);
    if (st->power == SQUIB_AARCH64_OFF)
        mp.mp_state = KVM_MP_STATE_STOPPED;
    e.exception.serror_pending = !!st->serror_pending;
    e.exception.serror_has_esr = st->serror_pending && st->serror_has_esr;
    e.exception.serror_esr = e.exception.serror_has_esr ? st->serror_esr : 0;
    rc = call(v, KVM_SET_VCPU_EVENTS, &e, "the events", err);
    return rc ? rc : call(v, KVM_SET_MP_STATE, &mp, "the run state", err);
}

/* --- together -------------------------------------------------------- */

static int get_aarch64(struct squib_vcpu *vcpu, uint32_t parts,
                       struct squib_aarch64_state *st,
                       struct squib_error *err)
{
    struct sq_kvm_vcpu *v = vcpu_of(vcpu);
    int rc = sq_kvm_vcpu_finish(v, err);

    if (!rc && (parts & SQUIB_STATE_REGS))
        rc = regs(v, false, st, err);
    if (!rc && (parts & SQUIB_STATE_SYSTEM))
        rc = get_system(v, st, err);
    if (!rc && (parts & SQUIB_STATE_TIMER)) {
        rc = timers(v, false, st, err);
        st->cntv_ctl &= ~(uint64_t)TIMER_CTL_ISTATUS;
        st->cntp_ctl &= ~(uint64_t)TIMER_CTL_ISTATUS;
    }
    if (!rc && (parts & SQUIB_STATE_FPU))
        rc = fpu(v, false, st, err);
    if (!rc && (parts & SQUIB_STATE_GIC)) {
        memset(&st->gic, 0, sizeof(st->gic));
        if (vm_of(v)->irqchip)
            rc = sq_kvm_get_gic_cpu(v, &st->gic, err);
    }
    if (!rc && (parts & SQUIB_STATE_EVENTS))
        rc = get_events(v, st, err);
    return rc;
}

static int check_pstate(uint64_t pstate, struct squib_error *err)
{
    unsigned mode = pstate & PSTATE_MODE;

    if (pstate >> 32 == 0 &&
        (mode == MODE_EL0T || mode == MODE_EL1T || mode == MODE_EL1H))
        return 0;
    return sq_err_set(err, SQUIB_E_INVAL, "impossible vCPU state: PSTATE "
                      "%#llx is not EL0 or EL1 of AArch64",
                      (unsigned long long)pstate);
}

static int set_aarch64(struct squib_vcpu *vcpu, uint32_t parts,
                       const struct squib_aarch64_state *state,
                       struct squib_error *err)
{
    struct sq_kvm_vcpu *v = vcpu_of(vcpu);
    struct squib_aarch64_state copy = *state, *st = &copy;
    int rc = sq_kvm_vcpu_finish(v, err);

    if (!rc && (parts & SQUIB_STATE_REGS))
        rc = check_pstate(st->pstate, err);
    if (!rc && (parts & SQUIB_STATE_SYSTEM))
        rc = set_system(v, st, err);
    if (!rc && (parts & SQUIB_STATE_REGS))
        rc = regs(v, true, st, err);
    if (!rc && (parts & SQUIB_STATE_FPU))
        rc = fpu(v, true, st, err);
    if (!rc && (parts & SQUIB_STATE_TIMER))
        rc = timers(v, true, st, err);
    if (!rc && (parts & SQUIB_STATE_GIC) && vm_of(v)->irqchip)
        rc = sq_kvm_set_gic_cpu(v, &st->gic, err);
    if (!rc && (parts & SQUIB_STATE_EVENTS))
        rc = set_events(v, st, err);
    return rc;
}

/* --- set-up and the hooks of vcpu.c ---------------------------------- */

static bool has(struct sq_kvm_vm *vm, int cap)
{
    return ioctl(vm->fd, KVM_CHECK_EXTENSION, cap) > 0;
}

static void feature(struct kvm_vcpu_init *init, unsigned bit)
{
    init->features[bit / 32] |= 1u << bit % 32;
}

int sq_kvm_vcpu_setup(struct sq_kvm_vcpu *v, struct sq_kvm_vm *vm,
                      uint32_t index, struct squib_error *err)
{
    struct kvm_vcpu_init init = {0};

    if (ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_ARM_PREFERRED_TARGET");
    feature(&init, KVM_ARM_VCPU_PSCI_0_2);
    if (index)
        feature(&init, KVM_ARM_VCPU_POWER_OFF);
    /* Only both together are possible. */
    if (has(vm, KVM_CAP_ARM_PTRAUTH_ADDRESS) &&
        has(vm, KVM_CAP_ARM_PTRAUTH_GENERIC)) {
        feature(&init, KVM_ARM_VCPU_PTRAUTH_ADDRESS);
        feature(&init, KVM_ARM_VCPU_PTRAUTH_GENERIC);
    }
    if (ioctl(v->fd, KVM_ARM_VCPU_INIT, &init) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_ARM_VCPU_INIT");
    return sq_kvm_gic_finish(vm, true, err);
}

bool sq_kvm_vcpu_prepare(struct sq_kvm_vcpu *v, struct squib_exit *out)
{
    struct squib_error err = {0};

    if (sq_kvm_gic_finish(vm_of(v), false, &err) != 0) {
        memcpy(v->decode.text, err.text, sizeof(v->decode.text) - 1);
        sq_kvm_internal_error(out, v->decode.text, (uint64_t)err.os_errno,
                              0);
        return false;
    }
    v->prepared = true;
    return true;
}

/* A device access that cannot be emulated aborts, as on a bus that cannot
 * carry it: a guest's matter (KVM's own default is to give up). */
static bool inject_abort(struct sq_kvm_vcpu *v)
{
    struct kvm_vcpu_events e;

    if (ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e) != 0)
        return false;
    e.exception.ext_dabt_pending = 1;
    return ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e) == 0;
}

bool sq_kvm_vcpu_absorb(struct sq_kvm_vcpu *v)
{
    return v->run->exit_reason == KVM_EXIT_ARM_NISV && inject_abort(v);
}

void sq_kvm_vcpu_debug_exit(struct sq_kvm_vcpu *v,
                            struct squib_exit_debug *out)
{
    if (one(v, false, CORE(U64, regs.pc), &out->pc) != 0)
        out->pc = 0;
}

const struct sq_vcpu_ops sq_kvm_vcpu_ops = {
    .free = sq_kvm_vcpu_free,
    .run = sq_kvm_vcpu_run,
    .cancel = sq_kvm_vcpu_cancel,
    .park = sq_kvm_vcpu_park,
    .get_aarch64 = get_aarch64,
    .set_aarch64 = set_aarch64,
    .debug = sq_kvm_vcpu_debug,
};
