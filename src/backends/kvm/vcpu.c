/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a vCPU, and stopping it from outside.
 *
 * Theory of operation of cancel. KVM_RUN must return at once whether the
 * request comes before, during or after the moment of entry. Two things
 * together do that: `immediate_exit` in the shared page, which KVM looks at
 * on entry, and a signal to the vCPU's thread, which ends an entry that is
 * under way. The signal has no handler and no other effect: the thread
 * blocks it, and KVM_SET_SIGNAL_MASK unblocks it only while the guest runs.
 * So nothing of the process but one blocked signal in the threads that
 * create vCPUs is touched, and no other system call of such a thread ever
 * sees EINTR from it. It stays blocked in that thread when the vCPU is freed,
 * since another vCPU of the same thread may still need it.
 *
 * The other signals of the thread keep, while the guest runs, the mask that
 * the thread had when it created the vCPU.
 *
 * `cancel` (the flag) is the truth; immediate_exit and the signal may come
 * late and then cost one empty round through KVM_RUN. The flag is taken only
 * after KVM_RUN said EINTR: by then KVM has finished the instruction of the
 * exit before, so a canceled vCPU always shows a complete state.
 */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "os/guard.h"

static struct sq_kvm_vcpu *vcpu_of(struct squib_vcpu *vcpu)
{
    return SQ_CONTAINER_OF(vcpu, struct sq_kvm_vcpu, base);
}

static struct sq_kvm_vm *vm_of(struct sq_kvm_vcpu *v)
{
    return SQ_CONTAINER_OF(v->base.vm, struct sq_kvm_vm, base);
}

static void set_immediate_exit(struct sq_kvm_vcpu *v, bool on)
{
    __atomic_store_n(&v->run->immediate_exit, on, __ATOMIC_SEQ_CST);
}

void sq_kvm_vcpu_cancel(struct squib_vcpu *vcpu)
{
    struct sq_kvm_vcpu *v = vcpu_of(vcpu);
    int saved = errno;

    if (!atomic_exchange(&v->cancel, true)) {
        set_immediate_exit(v, true);
        sq_wake_signal(&v->wake);
        syscall(SYS_tgkill, getpid(), v->tid, SIGRTMIN + SQ_KVM_SIGNAL);
    }
    errno = saved;
}

static void take_signal(void)
{
    const struct timespec none = {0, 0};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + SQ_KVM_SIGNAL);
    while (sigtimedwait(&set, NULL, &none) > 0)
        ;
}

/* After EINTR: whether it was a cancel. */
static bool take_cancel(struct sq_kvm_vcpu *v)
{
    take_signal();
    if (atomic_load(&v->cancel))
        sq_wake_drain(&v->wake);
    set_immediate_exit(v, false);
    return atomic_exchange(&v->cancel, false);
}

struct squib_exit *sq_kvm_vcpu_run(struct squib_vcpu *vcpu)
{
    struct sq_kvm_vcpu *v = vcpu_of(vcpu);
    struct squib_exit *out = &v->base.exit;

    if (v->exit_ready) {
        v->exit_ready = false;
        v->unfinished = true;
        if (sq_kvm_decode_begin(&v->decode, v->run, v->run_len, out))
            return out;
    } else if (sq_kvm_decode_next(&v->decode, v->run, out)) {
        return out;
    }
    if (!v->prepared && !sq_kvm_vcpu_prepare(v, out))
        return out;
    for (;;) {
        v->unfinished = false;
        if (ioctl(v->fd, KVM_RUN, 0) >= 0) {
            if (sq_kvm_vcpu_absorb(v))
                continue;
            if (sq_kvm_decode_begin(&v->decode, v->run, v->run_len, out)) {
                if (out->kind == SQUIB_EXIT_MMIO &&
                    sq_kvm_vm_reach(vm_of(v), &out->mmio)) {
                    sq_kvm_decode_next(&v->decode, v->run, out);
                    continue;
                }
                v->unfinished = v->decode.answer;
                if (out->kind == SQUIB_EXIT_DEBUG)
                    sq_kvm_vcpu_debug_exit(v, &out->debug);
                return out;
            }
        } else if (errno == EINTR) {
            if (take_cancel(v)) {
                out->kind = SQUIB_EXIT_CANCELED;
                return out;
            }
        } else if (errno == EFAULT && sq_guard_mend(&v->losses)) {
            continue; /* a file behind guest memory has become shorter */
        } else if (errno != EAGAIN) { /* EAGAIN: woken by a start-up IPI */
            sq_kvm_decode_errno(&v->decode, errno, out);
            return out;
        }
    }
}

int sq_kvm_vcpu_finish(struct sq_kvm_vcpu *v, struct squib_error *err)
{
    int rc;

    if (v->exit_ready || sq_kvm_decode_more(&v->decode, v->run))
        return sq_err_set(err, SQUIB_E_STATE, "the vCPU is in the middle of "
                          "an instruction; run it once more");
    if (!v->unfinished)
        return 0;
    sq_kvm_decode_next(&v->decode, v->run, &v->base.exit);
    set_immediate_exit(v, true);
    do
        rc = ioctl(v->fd, KVM_RUN, 0);
    while (rc < 0 && errno == EAGAIN);
    if (rc < 0 && errno != EINTR) {
        rc = errno;
        set_immediate_exit(v, atomic_load(&v->cancel));
        return sq_err_os(err, SQUIB_E_OS, rc, "KVM_RUN");
    }
    /* A cancel that comes between these two lines is seen by the second. */
    set_immediate_exit(v, false);
    if (atomic_load(&v->cancel))
        set_immediate_exit(v, true);
    v->unfinished = false;
    if (rc >= 0) {
        v->exit_ready = true; /* the next part of a split access */
        return sq_kvm_vcpu_finish(v, err);
    }
    return 0;
}

void sq_kvm_vcpu_park(struct squib_vcpu *vcpu, uint64_t deadline_ns)
{
    struct sq_kvm_vcpu *v = vcpu_of(vcpu);

    if (!atomic_load(&v->cancel))
        sq_wake_wait(&v->wake, deadline_ns);
}

int sq_kvm_vcpu_debug(struct squib_vcpu *vcpu, uint32_t flags,
                      struct squib_error *err)
{
    struct kvm_guest_debug d = {0};

    if (flags)
        d.control = KVM_GUESTDBG_ENABLE;
    if (flags & SQUIB_DEBUG_STEP)
        d.control |= KVM_GUESTDBG_SINGLESTEP;
    if (flags & SQUIB_DEBUG_BREAK)
        d.control |= KVM_GUESTDBG_USE_SW_BP;
    if (ioctl(vcpu_of(vcpu)->fd, KVM_SET_GUEST_DEBUG, &d) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_SET_GUEST_DEBUG");
    return 0;
}

void sq_kvm_vcpu_free(struct squib_vcpu *vcpu)
{
    struct sq_kvm_vcpu *v = vcpu_of(vcpu);

    take_signal();
    if (v->run)
        munmap(v->run, v->run_len);
    if (v->fd >= 0)
        close(v->fd);
    sq_wake_destroy(&v->wake);
    free(v);
}

/* Blocks our signal in this thread, and lets it through in KVM_RUN only. */
static int setup_signal(struct sq_kvm_vcpu *v, struct squib_error *err)
{
    union {
        struct kvm_signal_mask head;
        uint8_t room[sizeof(struct kvm_signal_mask) + sizeof(uint64_t)];
    } mask = {.head.len = sizeof(uint64_t)};
    sigset_t ours, before;
    int rc;

    sigemptyset(&ours);
    sigaddset(&ours, SIGRTMIN + SQ_KVM_SIGNAL);
    rc = pthread_sigmask(SIG_BLOCK, &ours, &before);
    if (rc)
        return sq_err_os(err, SQUIB_E_OS, rc, "signal mask");
    sigdelset(&before, SIGRTMIN + SQ_KVM_SIGNAL);
    /* The kernel's set is the first 64 bits of libc's on Linux. */
    memcpy(mask.head.sigset, &before, sizeof(uint64_t));
    if (ioctl(v->fd, KVM_SET_SIGNAL_MASK, &mask) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_SET_SIGNAL_MASK");
    return 0;
}

static int open_vcpu(struct sq_kvm_vcpu *v, struct sq_kvm_vm *vm,
                     uint32_t index, struct squib_error *err)
{
    v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (v->fd < 0 && errno == EEXIST)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "vCPU %u was created before", index);
    if (v->fd < 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "KVM_CREATE_VCPU %u",
                         index);
    v->run_len = vm->run_len;
    v->run = mmap(NULL, v->run_len, PROT_READ | PROT_WRITE, MAP_SHARED,
                  v->fd, 0);
    if (v->run == MAP_FAILED) {
        v->run = NULL;
        return sq_err_os(err, SQUIB_E_OS, errno, "vCPU %u: mmap", index);
    }
    return 0;
}

int sq_kvm_vcpu_new(struct squib_vm *base, uint32_t index,
                    struct squib_vcpu **out, struct squib_error *err)
{
    struct sq_kvm_vm *vm = SQ_CONTAINER_OF(base, struct sq_kvm_vm, base);
    struct sq_kvm_vcpu *v = calloc(1, sizeof(*v));
    int rc;

    if (!v)
        return sq_err_set(err, SQUIB_E_NOMEM, "vCPU %u: no memory", index);
    v->base.ops = &sq_kvm_vcpu_ops;
    v->base.vm = base;
    v->fd = -1;
    v->tid = (pid_t)syscall(SYS_gettid);
    atomic_init(&v->cancel, false);
    rc = sq_wake_init(&v->wake, err);
    if (rc) {
        free(v);
        return rc;
    }
    rc = open_vcpu(v, vm, index, err);
    if (!rc)
        rc = setup_signal(v, err);
    if (!rc)
        rc = sq_kvm_vcpu_setup(v, vm, index, err);
    if (rc) {
        sq_kvm_vcpu_free(&v->base);
        return rc;
    }
    *out = &v->base;
    return 0;
}
