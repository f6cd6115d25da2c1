/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PSCI 1.1 (Arm DEN 0022E) and the discovery calls of the SMC Calling
 * Convention 1.1 (DEN 0028), for backends whose hypervisor does not serve
 * them: which vCPUs are on, where one starts, and the end of the machine.
 *
 * The calls come in as rows of the machine's hypercall table, on the thread
 * of the vCPU that makes them. A vCPU that is off does not run: before each
 * entry into the guest its thread asks sq_psci_is_on(), and takes the start
 * state that a CPU_ON left for it.
 *
 * Lock order: the lock in here is a leaf; hooks are called without it.
 */
#ifndef SQ_ARCH_AARCH64_PSCI_H
#define SQ_ARCH_AARCH64_PSCI_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/vm.h>

struct sq_psci_hooks {
    /* vCPU `index` was switched on or off: have its thread look. */
    void (*changed)(void *ctx, uint32_t index);
    /* SYSTEM_OFF, SYSTEM_RESET. May be called again before it took effect. */
    void (*off)(void *ctx);
    void (*reset)(void *ctx);
    void *ctx;
};

struct sq_psci;

/* Who calls: the context of a row of the table. */
struct sq_psci_caller {
    struct sq_psci *psci;
    uint32_t index;
};

struct sq_psci_cpu {
    bool on;
    bool fresh; /* was switched on and has not taken its start state */
    uint64_t entry, context;
};

struct sq_psci {
    struct sq_psci_hooks hooks;
    uint32_t vcpus;
    struct sq_psci_caller caller[SQUIB_VCPUS_MAX];
    pthread_mutex_t lock; /* all below */
    struct sq_psci_cpu cpu[SQUIB_VCPUS_MAX];
};

/* vCPU 0 is on, the others off. fini once no vCPU runs. */
void sq_psci_init(struct sq_psci *p, uint32_t vcpus,
                  const struct sq_psci_hooks *hooks);
void sq_psci_fini(struct sq_psci *p);

bool sq_psci_is_on(struct sq_psci *p, uint32_t index);

/* Whether vCPU `index` was switched on since it was last asked: then it
 * starts at *entry with *context in X0, else as it was left. */
bool sq_psci_take_start(struct sq_psci *p, uint32_t index, uint64_t *entry,
                        uint64_t *context);

/* The functions. fn's ctx is a struct sq_psci_caller; the result goes to
 * X0. What is not listed is answered with NOT_SUPPORTED, which is all ones
 * like any unknown call. */
struct sq_psci_row {
    uint32_t function;
    uint64_t (*fn)(void *ctx, const uint64_t args[6]);
};

extern const struct sq_psci_row sq_psci_rows[];
extern const size_t sq_psci_row_count;

#endif
