/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "backends/mock/mock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/util.h"
#include "os/clock.h"
#include "os/wake.h"

struct mock_vm {
    struct squib_vm base;
    struct sq_mock *m; /* NULL: nobody watches */
};

struct mock_vcpu {
    struct squib_vcpu base;
    struct sq_mock *m;
    uint32_t index;
    size_t next; /* exit of the script */
    bool out;    /* base.exit is exits[next - 1], not answered yet */
    atomic_bool cancel;
    struct sq_wake wake;
    struct squib_x86_64_state st;
    struct squib_aarch64_state a64;
};

/* The only way from a test to the VM that the code under test makes, since
 * that code knows a backend by its constant table alone. */
static _Thread_local struct sq_mock *next_mock;

void sq_mock_init(struct sq_mock *m)
{
    memset(m, 0, sizeof(*m));
    pthread_mutex_init(&m->lock, NULL);
}

void sq_mock_destroy(struct sq_mock *m)
{
    pthread_mutex_destroy(&m->lock);
}

void sq_mock_use(struct sq_mock *m)
{
    next_mock = m;
}

size_t sq_mock_count(struct sq_mock *m, enum sq_mock_event_kind kind)
{
    size_t n = 0;

    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->event_count && i < SQ_MOCK_EVENTS_MAX; i++)
        n += m->events[i].kind == kind;
    pthread_mutex_unlock(&m->lock);
    return n;
}

bool sq_mock_wait_done(struct sq_mock *m, uint32_t index, uint64_t timeout_ns)
{
    const struct timespec pause = {0, 1000000};
    uint64_t limit = sq_now_ns() + timeout_ns;
    bool done;

    for (;;) {
        pthread_mutex_lock(&m->lock);
        done = m->vcpu[index].runs > m->vcpu[index].exit_count;
        pthread_mutex_unlock(&m->lock);
        if (done || sq_now_ns() >= limit)
            return done;
        nanosleep(&pause, NULL);
    }
}

static void record(struct sq_mock *m, enum sq_mock_event_kind kind,
                   uint64_t a, uint64_t b, uint64_t c)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    if (m->event_count < SQ_MOCK_EVENTS_MAX)
        m->events[m->event_count] = (struct sq_mock_event){kind, a, b, c};
    m->event_count++;
    pthread_mutex_unlock(&m->lock);
}

static int injected(const char *what, struct squib_error *err)
{
    return sq_err_set(err, SQUIB_E_OS, "mock: %s fails as asked", what);
}

/* --- vCPU ------------------------------------------------------------ */

static struct mock_vcpu *vcpu_of(struct squib_vcpu *vcpu)
{
    return SQ_CONTAINER_OF(vcpu, struct mock_vcpu, base);
}

static void vcpu_free(struct squib_vcpu *vcpu)
{
    struct mock_vcpu *v = vcpu_of(vcpu);

    if (v->m) {
        pthread_mutex_lock(&v->m->lock);
        v->m->vcpu[v->index].live = false;
        pthread_mutex_unlock(&v->m->lock);
    }
    sq_wake_destroy(&v->wake);
    free(v);
}

static void take_answer(struct mock_vcpu *v, struct sq_mock_vcpu *r)
{
    if (!v->out)
        return;
    v->out = false;
    if (r->answer_count < SQ_MOCK_ANSWERS_MAX)
        r->answers[r->answer_count] = v->base.exit;
    r->answer_count++;
}

static void next_exit(struct mock_vcpu *v, struct sq_mock_vcpu *r)
{
    take_answer(v, r);
    if (atomic_exchange(&v->cancel, false)) {
        sq_wake_drain(&v->wake);
        v->base.exit.kind = SQUIB_EXIT_CANCELED;
        return;
    }
    r->runs++;
    if (v->next < r->exit_count) {
        v->base.exit = r->exits[v->next++];
        v->out = true;
        return;
    }
    v->base.exit.kind = SQUIB_EXIT_HLT;
    v->base.exit.idle.deadline_ns = SQUIB_DEADLINE_NONE;
}

static struct squib_exit *vcpu_run(struct squib_vcpu *vcpu)
{
    struct mock_vcpu *v = vcpu_of(vcpu);
    struct sq_mock_vcpu none = {0};

    if (!v->m) {
        next_exit(v, &none);
    } else {
        pthread_mutex_lock(&v->m->lock);
        next_exit(v, &v->m->vcpu[v->index]);
        pthread_mutex_unlock(&v->m->lock);
    }
    return &v->base.exit;
}

/* Counted without the lock: a cancel may come from a signal handler. */
static void vcpu_cancel(struct squib_vcpu *vcpu)
{
    struct mock_vcpu *v = vcpu_of(vcpu);

    if (v->m)
        __atomic_add_fetch(&v->m->vcpu[v->index].cancels, 1,
                           __ATOMIC_RELAXED);
    atomic_store(&v->cancel, true);
    sq_wake_signal(&v->wake);
}

static void vcpu_park(struct squib_vcpu *vcpu, uint64_t deadline_ns)
{
    struct mock_vcpu *v = vcpu_of(vcpu);

    record(v->m, SQ_MOCK_PARK, v->index, deadline_ns, 0);
    if (!atomic_load(&v->cancel))
        sq_wake_wait(&v->wake, deadline_ns);
}

static int vcpu_set_cpuid(struct squib_vcpu *vcpu,
                          const struct squib_x86_cpuid *leaves, size_t n,
                          struct squib_error *err)
{
    struct mock_vcpu *v = vcpu_of(vcpu);

    (void)leaves;
    (void)err;
    record(v->m, SQ_MOCK_CPUID, v->index, n, 0);
    return 0;
}

/* Copies the chosen parts, which lie one after the other in the struct. */
static void copy_parts(struct squib_x86_64_state *dst,
                       const struct squib_x86_64_state *src, uint32_t parts)
{
    static const size_t start[] = {
        0,
        offsetof(struct squib_x86_64_state, seg),
        offsetof(struct squib_x86_64_state, msr_count),
        offsetof(struct squib_x86_64_state, xsave),
        offsetof(struct squib_x86_64_state, lapic),
        offsetof(struct squib_x86_64_state, run_state),
        sizeof(struct squib_x86_64_state),
    };

    for (size_t i = 0; i + 1 < SQ_ARRAY_LEN(start); i++)
        if (parts >> i & 1)
            memcpy((char *)dst + start[i], (const char *)src + start[i],
                   start[i + 1] - start[i]);
}

static int vcpu_get_state(struct squib_vcpu *vcpu, uint32_t parts,
                          struct squib_x86_64_state *st,
                          struct squib_error *err)
{
    (void)err;
    copy_parts(st, &vcpu_of(vcpu)->st, parts);
    return 0;
}

static int vcpu_set_state(struct squib_vcpu *vcpu, uint32_t parts,
                          const struct squib_x86_64_state *st,
                          struct squib_error *err)
{
    struct mock_vcpu *v = vcpu_of(vcpu);

    record(v->m, SQ_MOCK_SET_STATE, v->index, parts, 0);
    if (v->m && v->m->fail_set_state)
        return injected("set_state", err);
    copy_parts(&v->st, st, parts);
    return 0;
}

static const struct sq_vcpu_ops vcpu_ops = {
    .free = vcpu_free,
    .run = vcpu_run,
    .cancel = vcpu_cancel,
    .park = vcpu_park,
    .set_cpuid = vcpu_set_cpuid,
    .get_state = vcpu_get_state,
    .set_state = vcpu_set_state,
};

/* The whole state, whatever the parts: nothing is executed. */
static int vcpu_get_aarch64(struct squib_vcpu *vcpu, uint32_t parts,
                            struct squib_aarch64_state *st,
                            struct squib_error *err)
{
    (void)parts;
    (void)err;
    *st = vcpu_of(vcpu)->a64;
    return 0;
}

static int vcpu_set_aarch64(struct squib_vcpu *vcpu, uint32_t parts,
                            const struct squib_aarch64_state *st,
                            struct squib_error *err)
{
    struct mock_vcpu *v = vcpu_of(vcpu);

    record(v->m, SQ_MOCK_SET_STATE, v->index, st->pc, st->x[0]);
    (void)parts;
    if (v->m && v->m->fail_set_state)
        return injected("set_aarch64", err);
    v->a64 = *st;
    return 0;
}

static const struct sq_vcpu_ops vcpu_ops_arm64 = {
    .free = vcpu_free,
    .run = vcpu_run,
    .cancel = vcpu_cancel,
    .park = vcpu_park,
    .get_aarch64 = vcpu_get_aarch64,
    .set_aarch64 = vcpu_set_aarch64,
};

/* --- VM -------------------------------------------------------------- */

static struct sq_mock *mock_of(struct squib_vm *vm)
{
    return SQ_CONTAINER_OF(vm, struct mock_vm, base)->m;
}

static void vm_free(struct squib_vm *vm)
{
    struct sq_mock *m = mock_of(vm);

    if (m) {
        pthread_mutex_lock(&m->lock);
        m->vms_live--;
        pthread_mutex_unlock(&m->lock);
    }
    free(SQ_CONTAINER_OF(vm, struct mock_vm, base));
}

static int vm_map(struct squib_vm *vm, struct squib_range range, void *hva,
                  uint32_t prot, struct squib_error *err)
{
    struct sq_mock *m = mock_of(vm);

    (void)hva;
    if (m && m->fail_map)
        return injected("map", err);
    record(m, SQ_MOCK_MAP, range.gpa, range.len, prot);
    return 0;
}

static int vm_unmap(struct squib_vm *vm, struct squib_range range,
                    struct squib_error *err)
{
    (void)err;
    record(mock_of(vm), SQ_MOCK_UNMAP, range.gpa, range.len, 0);
    return 0;
}

static int vm_protect(struct squib_vm *vm, struct squib_range range,
                      uint32_t prot, struct squib_error *err)
{
    (void)err;
    record(mock_of(vm), SQ_MOCK_PROTECT, range.gpa, range.len, prot);
    return 0;
}

static int vm_irq(struct squib_vm *vm, uint32_t gsi, bool level,
                  struct squib_error *err)
{
    (void)err;
    record(mock_of(vm), SQ_MOCK_IRQ, gsi, level, 0);
    return 0;
}

static int vm_msi(struct squib_vm *vm, uint64_t gpa, uint32_t data,
                  struct squib_error *err)
{
    (void)err;
    record(mock_of(vm), SQ_MOCK_MSI, gpa, data, 0);
    return 0;
}

/* Over-reports: all pages. */
static int vm_dirty_log(struct squib_vm *vm, struct squib_range range,
                        uint64_t *bitmap, struct squib_error *err)
{
    uint64_t pages = range.len / SQUIB_PAGE_SIZE;

    (void)vm;
    (void)err;
    memset(bitmap, 0, (size_t)((pages + 63) / 64) * sizeof(*bitmap));
    for (uint64_t i = 0; i < pages; i++)
        bitmap[i / 64] |= 1ull << (i % 64);
    return 0;
}

static int vm_ioeventfd(struct squib_vm *vm, bool pio, uint64_t where,
                        uint32_t len, int fd, bool assign,
                        struct squib_error *err)
{
    (void)pio;
    (void)fd;
    (void)err;
    record(mock_of(vm), SQ_MOCK_IOEVENTFD, where, len, assign);
    return 0;
}

static int vm_irqfd(struct squib_vm *vm, uint32_t gsi, int fd, bool assign,
                    struct squib_error *err)
{
    (void)fd;
    (void)err;
    record(mock_of(vm), SQ_MOCK_IRQFD, gsi, 0, assign);
    return 0;
}

/* Whether the vCPU may be made; it then counts as live. */
static int claim(struct sq_mock *m, uint32_t index, struct squib_error *err)
{
    int rc = 0;

    pthread_mutex_lock(&m->lock);
    if (m->fail_vcpu_new == (int)index + 1)
        rc = injected("vcpu_new", err);
    else if (m->vcpu[index].live)
        rc = sq_err_set(err, SQUIB_E_INVAL, "vCPU %u was created before",
                        index);
    else
        m->vcpu[index].live = true;
    pthread_mutex_unlock(&m->lock);
    return rc;
}

static int vcpu_new(struct squib_vm *vm, uint32_t index,
                    struct squib_vcpu **out, struct squib_error *err)
{
    struct sq_mock *m = mock_of(vm);
    struct mock_vcpu *v = calloc(1, sizeof(*v));
    int rc = 0;

    if (!v)
        return sq_err_set(err, SQUIB_E_NOMEM, "mock: no memory");
    if (m)
        rc = claim(m, index, err);
    if (!rc)
        rc = sq_wake_init(&v->wake, err);
    if (rc) {
        free(v);
        return rc;
    }
    v->base.ops = vm->backend->arch == SQUIB_ARCH_AARCH64 ? &vcpu_ops_arm64
                                                          : &vcpu_ops;
    v->m = m;
    v->index = index;
    atomic_init(&v->cancel, false);
    squib_x86_real_mode(&v->st, 0xf0000, 0xfff0);
    v->st.run_state =
        index ? SQUIB_X86_WAIT_SIPI : SQUIB_X86_RUNNABLE;
    *out = &v->base;
    return 0;
}

static const struct sq_vm_ops vm_ops = {
    .free = vm_free,
    .map = vm_map,
    .unmap = vm_unmap,
    .protect = vm_protect,
    .vcpu_new = vcpu_new,
    .irq = vm_irq,
    .msi = vm_msi,
    .dirty_log = vm_dirty_log,
    .ioeventfd = vm_ioeventfd,
    .irqfd = vm_irqfd,
};

/* Without interrupts and a log: what a lifecycle-only backend has. */
static const struct sq_vm_ops lifecycle_ops = {
    .free = vm_free,
    .map = vm_map,
    .unmap = vm_unmap,
    .protect = vm_protect,
    .vcpu_new = vcpu_new,
};

static int make_vm(const struct sq_vm_ops *ops, struct squib_vm **out,
                   struct squib_error *err)
{
    struct sq_mock *m = next_mock;
    struct mock_vm *vm;

    next_mock = NULL;
    if (m && m->fail_vm_new)
        return injected("vm_new", err);
    vm = calloc(1, sizeof(*vm));
    if (!vm)
        return sq_err_set(err, SQUIB_E_NOMEM, "mock: no memory");
    vm->base.ops = ops;
    vm->m = m;
    if (m) {
        pthread_mutex_lock(&m->lock);
        m->vms_live++;
        pthread_mutex_unlock(&m->lock);
    }
    *out = &vm->base;
    return 0;
}

static int vm_new(const struct squib_vm_config *config,
                  struct squib_memory *mem, struct squib_vm **out,
                  struct squib_error *err)
{
    (void)config;
    (void)mem;
    return make_vm(&vm_ops, out, err);
}

static int lifecycle_vm_new(const struct squib_vm_config *config,
                            struct squib_memory *mem, struct squib_vm **out,
                            struct squib_error *err)
{
    (void)config;
    (void)mem;
    return make_vm(&lifecycle_ops, out, err);
}

/* --- backend --------------------------------------------------------- */

static uint64_t backend_caps(void)
{
    return SQUIB_CAP_IRQCHIP | SQUIB_CAP_SMP | SQUIB_CAP_DIRTY_LOG |
           SQUIB_CAP_IOEVENTFD | SQUIB_CAP_IRQFD | SQUIB_CAP_VCPU_EXITS |
           SQUIB_CAP_READONLY_MEM;
}

static int backend_probe(struct squib_error *err)
{
    (void)err;
    return 0;
}

static int backend_cpuid(struct squib_x86_cpuid *leaves, size_t *n,
                         struct squib_error *err)
{
    static const struct squib_x86_cpuid offered[] = {
        {.leaf = 0, .eax = 1, .ebx = 0x636f6d2d, .ecx = 0x206b, .edx = 0},
        {.leaf = 1, .eax = 0x600, .edx = 0x078bfbff, .ecx = 0x80202001},
    };

    if (*n < SQ_ARRAY_LEN(offered)) {
        *n = SQ_ARRAY_LEN(offered);
        return sq_err_set(err, SQUIB_E_RANGE, "%zu CPUID leaves",
                          SQ_ARRAY_LEN(offered));
    }
    memcpy(leaves, offered, sizeof(offered));
    *n = SQ_ARRAY_LEN(offered);
    return 0;
}

const struct squib_backend sq_backend_mock = {
    .name = "mock",
    .summary = "scripted exits, for tests",
    .caps = backend_caps,
    .probe = backend_probe,
    .cpuid = backend_cpuid,
    .vm_new = vm_new,
};

static uint64_t lifecycle_caps(void)
{
    return SQUIB_CAP_HARDWARE;
}

const struct squib_backend sq_backend_mock_lifecycle = {
    .name = "mock-lifecycle",
    .summary = "scripted lives of machines, for tests",
    .caps = lifecycle_caps,
    .probe = backend_probe,
    .cpuid = backend_cpuid,
    .vm_new = lifecycle_vm_new,
};

const struct squib_backend sq_backend_mock_arm64 = {
    .name = "mock",
    .summary = "scripted exits of arm64 guests, for tests",
    .arch = SQUIB_ARCH_AARCH64,
    .caps = backend_caps,
    .probe = backend_probe,
    .vm_new = vm_new,
};
