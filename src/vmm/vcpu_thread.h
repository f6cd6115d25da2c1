/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vCPUs of one machine, a thread each. A thread creates its vCPU, sets
 * it up, waits for the first command, runs the dispatch loop and frees the
 * vCPU; nobody else touches it but to cancel it.
 *
 * One command word serves all vCPUs. Whoever changes it cancels them; a
 * vCPU reads it after each cancel and after each wait for interrupts, that
 * is, never between a device read and the run that takes its answer.
 *
 * Lock order: `lock` is a leaf, but for the backend's own locks inside
 * squib_vcpu_cancel().
 */
#ifndef SQ_VMM_VCPU_THREAD_H
#define SQ_VMM_VCPU_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <squib/error.h>
#include <squib/vm.h>

#include "vmm/dispatch.h"
#include "vmm/metrics.h"

enum sq_vcpu_command {
    SQ_VCPU_PAUSE, /* wait; the first command */
    SQ_VCPU_RUN,
    SQ_VCPU_STOP, /* final */
};

enum sq_vcpu_status {
    SQ_VCPU_NEW,     /* being created */
    SQ_VCPU_PAUSED,  /* created, obeying PAUSE */
    SQ_VCPU_RUNNING,
    SQ_VCPU_ENDED,   /* freed, or never came to be */
};

#define SQ_VCPU_SUMMARY_MAX 200

struct sq_vcpus;

struct sq_vcpu_thread {
    struct sq_vcpus *set;
    uint32_t index;
    pthread_t thread;
    bool started;               /* to be joined; the creator's */
    struct squib_vcpu *vcpu;    /* under lock; NULL when there is none */
    enum sq_vcpu_status status; /* under lock */
    char summary[SQ_VCPU_SUMMARY_MAX]; /* of its run; once it has ended */
    struct squib_error err;     /* of creation; under lock */
    struct sq_vcpu_metrics metrics;
};

struct sq_vcpus_config {
    struct squib_vm *vm;
    uint32_t count;
    const struct sq_dispatch *dispatch; /* an array: vCPU n uses the n-th */
    /* Called on the vCPU's thread once it is created: CPUID, start state. */
    int (*setup)(void *ctx, struct squib_vcpu *vcpu,
                 struct squib_error *err);
    /* Optional: whether vCPU `index` may run; while it may not, its thread
     * waits as if paused. Called with `lock` held. */
    bool (*on)(void *ctx, uint32_t index);
    /* Optional: on the vCPU's thread each time before it runs on after a
     * command was obeyed. False ends the thread. */
    bool (*enter)(void *ctx, struct squib_vcpu *vcpu);
    /* Called on the last vCPU thread just before it ends. */
    void (*ended)(void *ctx);
    void *ctx;
};

struct sq_vcpus {
    struct sq_vcpus_config config;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a status or the command */
    _Atomic int command;    /* enum sq_vcpu_command; written under lock */
    uint32_t made, left;    /* vCPUs created; past their loop; under lock */
    uint32_t ended;         /* threads that are done; under lock */
    struct sq_vcpu_thread thread[SQUIB_VCPUS_MAX];
};

/* Starts the threads and waits until each vCPU is set up. On failure none
 * is left. Errors: the backend's, setup's, SQUIB_E_OS. */
int sq_vcpus_start(struct sq_vcpus *set, const struct sq_vcpus_config *config,
                   struct squib_error *err);

/* Changes the command and makes all vCPUs see it. After STOP nothing
 * changes it any more. Any thread. */
void sq_vcpus_command(struct sq_vcpus *set, enum sq_vcpu_command command);

/* What `on` says of a vCPU has changed. Any thread that does not hold the
 * lock. */
void sq_vcpus_changed(struct sq_vcpus *set, uint32_t index);

/* For the dispatch loop: obeys the command, on the vCPU's thread. */
bool sq_vcpus_obey(struct sq_vcpus *set, uint32_t index);

/* Waits until every vCPU is paused or has ended. Not on a vCPU thread. */
void sq_vcpus_wait_paused(struct sq_vcpus *set);

/* STOP, then waits for all threads. Not on a vCPU thread. */
void sq_vcpus_join(struct sq_vcpus *set);

#endif
