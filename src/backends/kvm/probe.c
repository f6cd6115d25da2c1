/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can this KVM run Linux? That is found out by a guest of a few bytes, which
 * is the architecture's: x86_64/probe.c, aarch64/probe.c.
 *
 * The guest runs on a thread of its own, so that a guest that hangs can be
 * canceled and nothing of the calling thread is changed.
 */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <string.h>

#include <squib/vm.h>

#include "base/err.h"
#include "os/clock.h"

#define TIME_LIMIT_NS 1000000000ull

struct probe {
    struct squib_memory *mem;
    struct squib_vm *vm;
    pthread_mutex_t lock; /* of vcpu, against its being freed */
    struct squib_vcpu *vcpu;
    atomic_bool finished;
    struct sq_wake done; /* rung when finished */
    struct squib_error err;
    int rc;
};

int sq_kvm_probe_explain(const struct squib_exit *e, const char *what,
                         struct squib_error *err)
{
    const char *text = "it computes wrong results";

    if (e->kind == SQUIB_EXIT_CANCELED) {
        text = "it hangs";
    } else if (e->kind == SQUIB_EXIT_INTERNAL_ERROR) {
        text = e->internal_error.text;
        if (strncmp(text, "KVM ", 4) == 0)
            text += 4;
    } else if (e->kind != SQUIB_EXIT_PIO && e->kind != SQUIB_EXIT_MMIO) {
        text = squib_exit_name(e->kind);
    }
    return sq_err_set(err, SQUIB_E_NOSUPPORT,
                      "KVM here cannot run Linux: in %s, %s\n"
                      "  do: use the software CPU (--backend soft)", what,
                      text);
}

static void *probe_thread(void *arg)
{
    struct probe *p = arg;
    struct squib_vcpu *vcpu;

    p->rc = squib_vcpu_new(p->vm, 0, &vcpu, &p->err);
    if (!p->rc) {
        pthread_mutex_lock(&p->lock);
        p->vcpu = vcpu;
        pthread_mutex_unlock(&p->lock);
        p->rc = sq_kvm_probe_run(vcpu, &p->err);
        pthread_mutex_lock(&p->lock);
        p->vcpu = NULL;
        pthread_mutex_unlock(&p->lock);
        squib_vcpu_free(vcpu);
    }
    atomic_store(&p->finished, true);
    sq_wake_signal(&p->done);
    return NULL;
}

/* Waits for the thread; at the limit, cancels what it runs. */
static int watch(struct probe *p, struct squib_error *err)
{
    uint64_t limit = sq_now_ns() + TIME_LIMIT_NS;
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, probe_thread, p);

    if (rc)
        return sq_err_os(err, SQUIB_E_OS, rc, "KVM probe: thread");
    while (!atomic_load(&p->finished)) {
        sq_wake_wait(&p->done, limit);
        if (sq_now_ns() < limit)
            continue;
        pthread_mutex_lock(&p->lock);
        if (p->vcpu)
            squib_vcpu_cancel(p->vcpu);
        pthread_mutex_unlock(&p->lock);
        limit += TIME_LIMIT_NS;
    }
    pthread_join(thread, NULL);
    if (p->rc && err)
        *err = p->err;
    return p->rc;
}

int sq_kvm_probe(struct squib_error *err)
{
    const struct squib_range range = {0, SQ_KVM_PROBE_LEN};
    const struct squib_vm_config config = {.vcpus = 1};
    struct probe p = {.lock = PTHREAD_MUTEX_INITIALIZER};
    int rc = squib_memory_new(&p.mem, err);

    if (rc)
        return rc;
    rc = squib_memory_add(p.mem, range, err);
    if (!rc) {
        sq_kvm_probe_fill(sq_memory_ptr(p.mem, 0, SQ_KVM_PROBE_LEN));
        rc = squib_vm_new(&sq_backend_kvm, &config, p.mem, &p.vm, err);
    }
    if (!rc) {
        rc = sq_wake_init(&p.done, err);
        if (!rc) {
            rc = watch(&p, err);
            sq_wake_destroy(&p.done);
        }
        squib_vm_free(p.vm);
    }
    squib_memory_free(p.mem);
    return rc;
}
