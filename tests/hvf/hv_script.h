/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A double of Hypervisor.framework that follows a script: hv_vcpu_run()
 * returns canned exits, registers are plain memory, and everything the
 * backend asks for is recorded and held against the framework's rules. The
 * framework is one for a process, and so is this.
 */
#ifndef HVF_HV_SCRIPT_H
#define HVF_HV_SCRIPT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/hvf/hv_api.h"

#define HV_SCRIPT_VCPUS 4
#define HV_SCRIPT_EVENTS 256

struct hv_script_exit {
    uint32_t reason;
    uint64_t syndrome, gva, gpa;
    /* Blocks until hv_vcpus_exit(), then is CANCELED. */
    bool wait;
};

struct hv_script_vcpu {
    bool live;
    pthread_t thread;
    uint64_t x[31], pc, cpsr, fpcr, fpsr;
    uint64_t sys[0x10000]; /* by name */
    hv_simd_fp_uchar16_t q[32];
    uint64_t vtimer_offset;
    bool trap_debug;
    uint64_t redist[0x20000 / 4];
    uint64_t icc[0x10000];
    hv_vcpu_exit_t exit;
    /* The script; past its end: CANCELED. */
    const struct hv_script_exit *exits;
    size_t exit_count, next;
    size_t runs;
    bool exit_asked; /* hv_vcpus_exit() before or during a run */
};

enum hv_script_event_kind {
    HV_MAP,      /* gpa, len, flags */
    HV_UNMAP,    /* gpa, len */
    HV_PROTECT,  /* gpa, len, flags */
    HV_GIC,      /* distributor, redistributors, messages */
    HV_MSI_RANGE, /* first, count */
    HV_SPI,      /* intid, level */
    HV_MSI,      /* address, intid */
    HV_VCPU,     /* index */
};

struct hv_script_event {
    enum hv_script_event_kind kind;
    uint64_t a, b, c;
};

/* The rules that were broken, by number of times. */
struct hv_script_broken {
    unsigned thread;    /* a vCPU from a thread that did not create it */
    unsigned alignment; /* memory in other pages than 16 KiB */
    unsigned order;     /* no VM yet, GIC after a vCPU, dead vCPU */
    unsigned overlap;   /* mapped twice, or not mapped */
    unsigned leak;      /* a vCPU or object alive at hv_vm_destroy() */
};

struct hv_script {
    struct hv_script_vcpu vcpu[HV_SCRIPT_VCPUS];
    struct hv_script_event events[HV_SCRIPT_EVENTS];
    size_t event_count;
    struct hv_script_broken broken;
    bool vm, gic;
    unsigned objects; /* configurations that nobody released */
    uint64_t dist[0x10000 / 4];
    uint64_t now; /* mach_absolute_time(), 24 MHz as on Apple silicon */
    uint32_t max_vcpus, spis;
    size_t redist_len;
    /* A call by its name that fails with fail_rc, after fail_after calls
     * that do not. */
    const char *fail;
    hv_return_t fail_rc;
    unsigned fail_after;
    pthread_mutex_t lock;
    pthread_cond_t asked;
};

/* The one there is; zeroed but for sensible limits. */
extern struct hv_script hv_script;
void hv_script_reset(void);

/* vCPU i of the next test will see these exits. */
void hv_script_exits(unsigned i, const struct hv_script_exit *exits,
                     size_t count);

/* Number of events of a kind, and the last one (NULL if none). */
size_t hv_script_count(enum hv_script_event_kind kind);
const struct hv_script_event *hv_script_last(enum hv_script_event_kind kind);

/* Sum of all broken rules. */
unsigned hv_script_violations(void);

#endif
