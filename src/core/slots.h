/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ranges of guest memory that a hypervisor was told of, for backends
 * that have one: each is mapped as a whole, at most once, and with a dirty
 * log has a bitmap.
 *
 * Lock order: `lock` is innermost. map, unmap and what changes a slot hold
 * it for writing; the dirty log, guest faults and the watcher of host writes
 * for reading.
 */
#ifndef SQ_CORE_SLOTS_H
#define SQ_CORE_SLOTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <squib/error.h>
#include <squib/memory.h>

#define SQ_SLOTS_MAX 128

struct sq_slot {
    struct squib_range range;
    uint8_t *hva;
    uint32_t prot;
    bool used;
    bool shown; /* false while the guest may not even read it */
    /* One bit a page; NULL without a dirty log. What the bits mean beside
     * the hypervisor's own log is the backend's matter. */
    _Atomic uint64_t *dirty;
};

struct sq_slots;

/* Called with the lock held for writing; the slot has its range, hva, prot
 * and bitmap, and both keep `shown`. show leaves a slot alone that the guest
 * may not read: any access comes out as MMIO then. */
struct sq_slots_ops {
    int (*show)(struct sq_slots *slots, struct sq_slot *slot,
                struct squib_error *err);
    int (*hide)(struct sq_slots *slots, struct sq_slot *slot,
                struct squib_error *err);
};

struct sq_slots {
    const struct sq_slots_ops *ops;
    bool dirty_log;
    pthread_rwlock_t lock;
    struct sq_slot slot[SQ_SLOTS_MAX];
};

/* On a zeroed struct. Errors: SQUIB_E_OS. */
int sq_slots_init(struct sq_slots *slots, const struct sq_slots_ops *ops,
                  bool dirty_log, struct squib_error *err);
/* Hides nothing. */
void sq_slots_fini(struct sq_slots *slots);

/* The contracts of squib_vm_map() and squib_vm_unmap(). Errors:
 * SQUIB_E_RANGE, SQUIB_E_NOMEM, and those of show and hide. */
int sq_slots_map(struct sq_slots *slots, struct squib_range range, void *hva,
                 uint32_t prot, struct squib_error *err);
int sq_slots_unmap(struct sq_slots *slots, struct squib_range range,
                   struct squib_error *err);

/* With the lock: the slot of exactly this range; the one that holds all of
 * it. NULL with *err filled (SQUIB_E_RANGE) if there is none. */
struct sq_slot *sq_slots_find(struct sq_slots *slots,
                              struct squib_range range,
                              struct squib_error *err);
struct sq_slot *sq_slots_around(struct sq_slots *slots,
                                struct squib_range range,
                                struct squib_error *err);

/* A struct sq_memory_watcher's function, with the struct sq_slots as its
 * context: the monitor wrote guest memory itself. The guest's permissions do
 * not matter to it. */
void sq_slots_host_wrote(void *slots, uint64_t gpa, uint64_t len);

#endif
