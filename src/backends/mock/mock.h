/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mock backend, for unit tests of what stands above backends.
 *
 * It executes nothing. A test describes in a struct sq_mock which exits each
 * vCPU shall return, gives it to sq_mock_use(), and lets the code under test
 * make a VM of sq_backend_mock. Afterwards the struct tells what happened:
 * the answers that the caller left in its exits, interrupts, memory calls.
 *
 * Threads: the test may look at the recorded parts when the vCPU threads
 * have ended, or through the sq_mock_* functions, which lock, at any time.
 * The struct must outlive the VM.
 */
#ifndef SQ_BACKENDS_MOCK_H
#define SQ_BACKENDS_MOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/backend.h"

#define SQ_MOCK_ANSWERS_MAX 64 /* recorded per vCPU; later ones are counted */
#define SQ_MOCK_EVENTS_MAX 64

extern const struct squib_backend sq_backend_mock;
/* The same without SQUIB_CAP_VCPU_EXITS and what needs them. */
extern const struct squib_backend sq_backend_mock_lifecycle;
/* The same with arm64 vCPUs, and without PSCI of its own. */
extern const struct squib_backend sq_backend_mock_arm64;

enum sq_mock_event_kind {
    SQ_MOCK_IRQ,    /* a: gsi, b: level */
    SQ_MOCK_MSI,    /* a: gpa, b: data */
    SQ_MOCK_MAP,    /* a: gpa, b: length, c: protection */
    SQ_MOCK_UNMAP,  /* a: gpa, b: length */
    SQ_MOCK_PROTECT, /* a: gpa, b: length, c: protection */
    SQ_MOCK_IOEVENTFD, /* a: address, b: length, c: assign */
    SQ_MOCK_IRQFD,  /* a: gsi, c: assign */
    SQ_MOCK_CPUID,  /* a: vCPU, b: number of leaves */
    SQ_MOCK_SET_STATE, /* a: vCPU, b: parts; arm64: b: pc, c: x0 */
    SQ_MOCK_PARK,   /* a: vCPU, b: deadline in ns */
};

struct sq_mock_event {
    enum sq_mock_event_kind kind;
    uint64_t a, b, c;
};

struct sq_mock_vcpu {
    /* The script, by the test. Past its end a vCPU is idle: it returns HLT
     * without a deadline again and again. */
    const struct squib_exit *exits;
    size_t exit_count;
    /* Recorded: answers[i] is exits[i] as the caller left it when it called
     * run again. */
    struct squib_exit answers[SQ_MOCK_ANSWERS_MAX];
    size_t answer_count; /* may exceed the array */
    size_t runs, cancels;
    bool live;
};

struct sq_mock {
    struct sq_mock_vcpu vcpu[SQUIB_VCPUS_MAX];
    /* Failures to inject: the call fails with SQUIB_E_OS. */
    bool fail_vm_new, fail_map, fail_set_state;
    int fail_vcpu_new; /* 1 + index of the vCPU that fails, 0 for none */
    /* Recorded. */
    struct sq_mock_event events[SQ_MOCK_EVENTS_MAX];
    size_t event_count; /* may exceed the array */
    int vms_live;
    pthread_mutex_t lock; /* of the recorded parts; sq_mock_init makes it */
};

/* Clears *m and makes its lock. */
void sq_mock_init(struct sq_mock *m);
void sq_mock_destroy(struct sq_mock *m);

/* The next VM of sq_backend_mock made on this thread is described by *m.
 * Without it a VM has no script and records nothing. */
void sq_mock_use(struct sq_mock *m);

/* How many events of that kind were recorded so far. */
size_t sq_mock_count(struct sq_mock *m, enum sq_mock_event_kind kind);

/* Waits until vCPU `index` has used up its script; false if that takes
 * longer than timeout_ns. */
bool sq_mock_wait_done(struct sq_mock *m, uint32_t index,
                       uint64_t timeout_ns);

#endif
