/* SPDX-License-Identifier: Apache-2.0 */
/* What needs no guest code: creation, parking, mapping, and errors. */
#define _GNU_SOURCE
#include "conform.h"

#include <sys/mman.h>

#include "os/clock.h"

static const struct squib_range low = {0, CF_HOLE};

static void park_ends(struct cf *t)
{
    uint64_t began;

    cf_vm(t, 1, false, false);
    began = sq_now_ns();
    while (sq_now_ns() < began + 20000000) /* it may return early */
        squib_vcpu_park(t->vcpu, began + 20000000);
    cf_cancel_after(t->vcpu, 20);
    squib_vcpu_park(t->vcpu, SQUIB_DEADLINE_NONE);
    squib_vcpu_cancel(t->vcpu);
    squib_vcpu_park(t->vcpu, SQUIB_DEADLINE_NONE);
}

static void vcpus_32(struct cf *t)
{
    struct squib_vcpu *vcpu[SQUIB_VCPUS_MAX];
    struct squib_error e;

    cf_vm(t, SQUIB_VCPUS_MAX, true, false);
    for (uint32_t i = 1; i < SQUIB_VCPUS_MAX; i++) {
        CF_OK(squib_vcpu_new(t->vm, i, &vcpu[i], &e), e);
        CF_EQ(squib_vcpu_index(vcpu[i]), i);
    }
    for (uint32_t i = 1; i < SQUIB_VCPUS_MAX; i++)
        squib_vcpu_free(vcpu[i]);
    cf_free(t);
}

/* An optional operation is there exactly when its bit is. */
static void caps_match_tables(struct cf *t)
{
    uint64_t caps = squib_backend_caps(t->be);

    cf_vm(t, 1, false, false);
#define CF_MATCH(ops, op, cap)                                             \
    do {                                                                   \
        if (((ops)->op != NULL) != ((caps & (cap)) != 0))                  \
            CF_FAIL("%s without its operation, or %s without its bit",    \
                    #cap, #op);                                            \
    } while (0)
    CF_MATCH(t->vm->ops, irq, SQUIB_CAP_IRQCHIP);
    CF_MATCH(t->vm->ops, msi, SQUIB_CAP_IRQCHIP);
    CF_MATCH(t->vm->ops, dirty_log, SQUIB_CAP_DIRTY_LOG);
    CF_MATCH(t->vm->ops, ioeventfd, SQUIB_CAP_IOEVENTFD);
    CF_MATCH(t->vm->ops, irqfd, SQUIB_CAP_IRQFD);
    CF_MATCH(t->vcpu->ops, debug, SQUIB_CAP_DEBUG);
    CF_MATCH(t->vcpu->ops, insn_count, SQUIB_CAP_INSN_COUNT);
#undef CF_MATCH
    cf_free(t);
}

static void create_free(struct cf *t)
{
    for (int i = 0; i < 5; i++) {
        cf_vm(t, 2, i & 1, i & 2);
        cf_free(t);
    }
}

static void create_refused(struct cf *t)
{
    struct squib_vm_config config = {.vcpus = 0};
    struct squib_vcpu *vcpu;
    struct squib_vm *vm;
    struct squib_error e;

    cf_vm(t, 2, false, false);
    CF_EQ(squib_vm_new(t->be, &config, t->mem, &vm, &e), SQUIB_E_INVAL);
    config.vcpus = SQUIB_VCPUS_MAX + 1;
    CF_EQ(squib_vm_new(t->be, &config, t->mem, &vm, &e), SQUIB_E_INVAL);
    CF_EQ(squib_vcpu_new(t->vm, 2, &vcpu, &e), SQUIB_E_INVAL);
    CF_EQ(squib_vm_irq(t->vm, 5, true, &e), SQUIB_E_STATE);
    CF_EQ(squib_vm_msi(t->vm, 0xfee00000, 0x41, &e), SQUIB_E_STATE);
}

static void vcpu_twice_refused(struct cf *t)
{
    struct squib_vcpu *vcpu;
    struct squib_error e = {0};

    cf_vm(t, 2, false, false);
    CF_EQ(squib_vcpu_new(t->vm, 0, &vcpu, &e), SQUIB_E_INVAL);
    CF_CHECK(e.text[0] && e.code == SQUIB_E_INVAL);
}

static void dirty_log_refused(struct cf *t)
{
    uint64_t bits[16];
    struct squib_error e;

    cf_vm(t, 1, false, false);
    CF_EQ(squib_vm_dirty_log(t->vm, low, bits, &e), SQUIB_E_STATE);
    cf_free(t);
    cf_vm(t, 1, false, true);
    CF_EQ(squib_vm_dirty_log(t->vm, (struct squib_range){CF_HOLE, 0x1000},
                             bits, &e), SQUIB_E_RANGE);
    CF_EQ(squib_vm_dirty_log(t->vm, (struct squib_range){1, 0x1000}, bits,
                             &e), SQUIB_E_INVAL);
}

static void map_refused(struct cf *t)
{
    void *host = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct squib_error e;

    CF_CHECK(host != MAP_FAILED);
    cf_vm(t, 1, false, false);
    CF_EQ(squib_vm_map(t->vm, (struct squib_range){CF_HOLE - 0x1000, 0x2000},
                       host, SQUIB_PROT_RWX, &e), SQUIB_E_RANGE);
    CF_EQ(squib_vm_map(t->vm, (struct squib_range){0x400800, 0x1000}, host,
                       SQUIB_PROT_RWX, &e), SQUIB_E_INVAL);
    CF_EQ(squib_vm_map(t->vm, (struct squib_range){0x400000, 0}, host,
                       SQUIB_PROT_RWX, &e), SQUIB_E_INVAL);
    CF_EQ(squib_vm_unmap(t->vm, (struct squib_range){0x400000, 0x1000}, &e),
          SQUIB_E_RANGE);
    CF_EQ(squib_vm_unmap(t->vm, (struct squib_range){0, 0x1000}, &e),
          SQUIB_E_RANGE);
    CF_EQ(squib_vm_protect(t->vm, (struct squib_range){0x400000, 0x1000},
                           SQUIB_PROT_READ, &e), SQUIB_E_RANGE);
}

const struct cf_test cf_tests_common[] = {
    {"park_ends", park_ends, 0},
    {"vcpus_32", vcpus_32, 0},
    {"caps_match_tables", caps_match_tables, 0},
    {"create_free", create_free, 0},
    {"create_refused", create_refused, 0},
    {"vcpu_twice_refused", vcpu_twice_refused, CF_EXEC},
    {"dirty_log_refused", dirty_log_refused, CF_EXEC},
    {"map_refused", map_refused, CF_EXEC},
    {0},
};
