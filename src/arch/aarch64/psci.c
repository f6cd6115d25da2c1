/* SPDX-License-Identifier: Apache-2.0 */
/* Function identifiers and results: DEN 0022E, chapter 5; DEN 0028C, 7. */
#include "arch/aarch64/psci.h"

#include <squib/aarch64.h>

#include "base/util.h"

#define PSCI_32(n) (0x84000000u + (n))
#define PSCI_64(n) (0xc4000000u + (n))
#define SMCCC_VERSION 0x80000000u
#define SMCCC_ARCH_FEATURES 0x80000001u
#define PSCI_FEATURES PSCI_32(0x0a)

#define VERSION_1_1 0x10001u

#define SUCCESS 0
#define NOT_SUPPORTED ((uint64_t)-1)
#define INVALID_PARAMETERS ((uint64_t)-2)
#define ALREADY_ON ((uint64_t)-4)
#define ON_PENDING ((uint64_t)-5)
#define INVALID_ADDRESS ((uint64_t)-9)

#define AFFINITY_ON 0
#define AFFINITY_OFF 1
#define AFFINITY_ON_PENDING 2
#define MIGRATE_NOT_REQUIRED 2

/* Aff3..Aff0 of MPIDR_EL1. */
#define MPIDR_MASK 0xff00ffffffull

void sq_psci_init(struct sq_psci *p, uint32_t vcpus,
                  const struct sq_psci_hooks *hooks)
{
    *p = (struct sq_psci){.hooks = *hooks, .vcpus = vcpus};
    pthread_mutex_init(&p->lock, NULL);
    p->cpu[0].on = true;
    for (uint32_t i = 0; i < vcpus; i++)
        p->caller[i] = (struct sq_psci_caller){p, i};
}

void sq_psci_fini(struct sq_psci *p)
{
    pthread_mutex_destroy(&p->lock);
}

bool sq_psci_is_on(struct sq_psci *p, uint32_t index)
{
    bool on;

    pthread_mutex_lock(&p->lock);
    on = p->cpu[index].on;
    pthread_mutex_unlock(&p->lock);
    return on;
}

bool sq_psci_take_start(struct sq_psci *p, uint32_t index, uint64_t *entry,
                        uint64_t *context)
{
    struct sq_psci_cpu *c = &p->cpu[index];
    bool fresh;

    pthread_mutex_lock(&p->lock);
    fresh = c->on && c->fresh;
    if (fresh) {
        *entry = c->entry;
        *context = c->context;
        c->fresh = false;
    }
    pthread_mutex_unlock(&p->lock);
    return fresh;
}

/* The vCPU with this affinity, or NULL. */
static struct sq_psci_cpu *find(struct sq_psci *p, uint64_t mpidr)
{
    for (uint32_t i = 0; i < p->vcpus; i++)
        if (squib_aarch64_mpidr(i) == (mpidr & MPIDR_MASK))
            return &p->cpu[i];
    return NULL;
}

static struct sq_psci *psci_of(void *ctx)
{
    return ((struct sq_psci_caller *)ctx)->psci;
}

static uint64_t version(void *ctx, const uint64_t args[6])
{
    (void)ctx;
    (void)args;
    return VERSION_1_1;
}

/* A shallow sleep may end at once, and so does every one here: guests that
 * want to sleep use WFI. */
static uint64_t suspend(void *ctx, const uint64_t args[6])
{
    (void)ctx;
    (void)args;
    return SUCCESS;
}

static uint64_t cpu_off(void *ctx, const uint64_t args[6])
{
    struct sq_psci_caller *c = ctx;
    struct sq_psci *p = c->psci;

    (void)args;
    pthread_mutex_lock(&p->lock);
    p->cpu[c->index].on = false;
    pthread_mutex_unlock(&p->lock);
    p->hooks.changed(p->hooks.ctx, c->index);
    return SUCCESS; /* nobody will see it */
}

static uint64_t switch_on(struct sq_psci *p, uint64_t mpidr, uint64_t entry,
                          uint64_t context)
{
    struct sq_psci_cpu *c = find(p, mpidr);
    uint64_t rc = SUCCESS;

    if (!c)
        return INVALID_PARAMETERS;
    if (entry % 4 != 0)
        return INVALID_ADDRESS;
    pthread_mutex_lock(&p->lock);
    if (c->on)
        rc = c->fresh ? ON_PENDING : ALREADY_ON;
    else
        *c = (struct sq_psci_cpu){true, true, entry, context};
    pthread_mutex_unlock(&p->lock);
    if (rc == SUCCESS)
        p->hooks.changed(p->hooks.ctx, (uint32_t)(c - p->cpu));
    return rc;
}

static uint64_t cpu_on_64(void *ctx, const uint64_t args[6])
{
    return switch_on(psci_of(ctx), args[0], args[1], args[2]);
}

static uint64_t cpu_on_32(void *ctx, const uint64_t args[6])
{
    return switch_on(psci_of(ctx), (uint32_t)args[0], (uint32_t)args[1],
                     (uint32_t)args[2]);
}

static uint64_t affinity(struct sq_psci *p, uint64_t mpidr, uint64_t level)
{
    const struct sq_psci_cpu *c = find(p, mpidr);
    uint64_t state;

    if (!c || level != 0) /* other levels: optional since PSCI 1.0 */
        return INVALID_PARAMETERS;
    pthread_mutex_lock(&p->lock);
    state = !c->on ? AFFINITY_OFF
                   : c->fresh ? AFFINITY_ON_PENDING : AFFINITY_ON;
    pthread_mutex_unlock(&p->lock);
    return state;
}

static uint64_t affinity_64(void *ctx, const uint64_t args[6])
{
    return affinity(psci_of(ctx), args[0], args[1]);
}

static uint64_t affinity_32(void *ctx, const uint64_t args[6])
{
    return affinity(psci_of(ctx), (uint32_t)args[0], (uint32_t)args[1]);
}

static uint64_t migrate_info(void *ctx, const uint64_t args[6])
{
    (void)ctx;
    (void)args;
    return MIGRATE_NOT_REQUIRED;
}

static uint64_t system_off(void *ctx, const uint64_t args[6])
{
    struct sq_psci *p = psci_of(ctx);

    (void)args;
    p->hooks.off(p->hooks.ctx);
    return SUCCESS;
}

static uint64_t system_reset(void *ctx, const uint64_t args[6])
{
    struct sq_psci *p = psci_of(ctx);

    (void)args;
    p->hooks.reset(p->hooks.ctx);
    return SUCCESS;
}

/* Type 0 is the architecture's warm reset; bit 31 marks a vendor's own. */
static uint64_t system_reset2(void *ctx, const uint64_t args[6])
{
    return (uint32_t)args[0] == 0 ? system_reset(ctx, args)
                                  : INVALID_PARAMETERS;
}

static uint64_t features(void *ctx, const uint64_t args[6])
{
    (void)ctx;
    for (size_t i = 0; i < sq_psci_row_count; i++)
        if (sq_psci_rows[i].function == (uint32_t)args[0])
            return SUCCESS;
    return NOT_SUPPORTED;
}

/* Of the calls that it can be asked about there is its own version only:
 * what protects a guest from speculation is the hypervisor's to say. */
static uint64_t arch_features(void *ctx, const uint64_t args[6])
{
    (void)ctx;
    return (uint32_t)args[0] == SMCCC_VERSION ||
                   (uint32_t)args[0] == SMCCC_ARCH_FEATURES
               ? SUCCESS : NOT_SUPPORTED;
}

const struct sq_psci_row sq_psci_rows[] = {
    {SMCCC_VERSION, version},
    {SMCCC_ARCH_FEATURES, arch_features},
    {PSCI_32(0x00), version},
    {PSCI_32(0x01), suspend},
    {PSCI_64(0x01), suspend},
    {PSCI_32(0x02), cpu_off},
    {PSCI_32(0x03), cpu_on_32},
    {PSCI_64(0x03), cpu_on_64},
    {PSCI_32(0x04), affinity_32},
    {PSCI_64(0x04), affinity_64},
    {PSCI_32(0x06), migrate_info},
    {PSCI_32(0x08), system_off},
    {PSCI_32(0x09), system_reset},
    {PSCI_FEATURES, features},
    {PSCI_32(0x12), system_reset2},
    {PSCI_64(0x12), system_reset2},
};

const size_t sq_psci_row_count = SQ_ARRAY_LEN(sq_psci_rows);
