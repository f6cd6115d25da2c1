/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio memory balloon (virtio 1.2, section 5.5).
 *
 * Four ways in which a guest gives memory back to the host, each of which
 * really frees it (sq_memory_discard()):
 *
 *   - the host sets a target and the guest's driver takes that many pages
 *     away from its own use ("inflates");
 *   - with `deflate_on_oom` it takes pages back when it runs out of memory;
 *   - with `reporting` it tells of free blocks as they come about;
 *   - with `hinting` it lists what is free when the host asks for it once.
 *
 * Hinted pages are the guest's again as soon as the run ends. A Linux driver
 * that is short of memory may end it by itself while hints are under way, so
 * hinting is for guests at rest.
 *
 * All functions: event thread, or before a transport has the device.
 */
#ifndef SQ_DEV_VIRTIO_BALLOON_H
#define SQ_DEV_VIRTIO_BALLOON_H

#include <squib/error.h>

#include "dev/virtio/device.h"

struct sq_virtio_balloon_config {
    uint32_t amount_mib; /* the first target */
    bool deflate_on_oom;
    uint16_t stats_interval_s; /* 0: no statistics */
    bool reporting;
    bool hinting;
};

/* What the guest's statistics may contain; numbers are the tags. */
enum sq_balloon_stat {
    SQ_BALLOON_SWAP_IN,  /* bytes */
    SQ_BALLOON_SWAP_OUT, /* bytes */
    SQ_BALLOON_MAJOR_FAULTS,
    SQ_BALLOON_MINOR_FAULTS,
    SQ_BALLOON_FREE,      /* bytes */
    SQ_BALLOON_TOTAL,     /* bytes */
    SQ_BALLOON_AVAILABLE, /* bytes */
    SQ_BALLOON_CACHES,    /* bytes */
    SQ_BALLOON_HUGETLB_ALLOC,
    SQ_BALLOON_HUGETLB_FAIL,
    SQ_BALLOON_OOM_KILL,
    SQ_BALLOON_ALLOC_STALL,
    SQ_BALLOON_ASYNC_SCAN,
    SQ_BALLOON_DIRECT_SCAN,
    SQ_BALLOON_ASYNC_RECLAIM,
    SQ_BALLOON_DIRECT_RECLAIM,
    SQ_BALLOON_STAT_COUNT,
};

struct sq_virtio_balloon_stats {
    uint32_t target_pages, actual_pages; /* of 4 KiB */
    uint32_t valid; /* bit n: the guest's last update has value[n] */
    uint64_t value[SQ_BALLOON_STAT_COUNT];
};

struct sq_virtio_balloon_hinting {
    uint32_t host_cmd; /* 0: never started, 1: done, else the run's number */
    bool guest_answered;
    uint32_t guest_cmd; /* the guest's last word; 0: its list is complete */
};

struct sq_virtio_balloon_counters {
    _Atomic uint64_t inflates, deflates; /* requests of the driver */
    _Atomic uint64_t discarded_bytes;    /* by inflation */
    _Atomic uint64_t stats_updates, stats_failures;
    _Atomic uint64_t reports, report_bytes, report_failures;
    _Atomic uint64_t hints, hint_bytes, hint_failures;
    _Atomic uint64_t discard_failures; /* of any kind: the host refused */
};

/* Errors: SQUIB_E_NOMEM, SQUIB_E_INVAL (an amount beyond all memory).
 * Release through the transport, or with dev->ops->free(dev). */
int sq_virtio_balloon_new(const struct sq_virtio_balloon_config *config,
                          struct sq_virtio_device **out,
                          struct squib_error *err);

/* Asks the guest to come to this size. Errors: SQUIB_E_STATE without an
 * active driver, SQUIB_E_INVAL. */
int sq_virtio_balloon_set_target(struct sq_virtio_device *dev,
                                 uint32_t amount_mib,
                                 struct squib_error *err);
uint32_t sq_virtio_balloon_target_mib(struct sq_virtio_device *dev);

/* Statistics are on or off for good: SQUIB_E_STATE for a change between 0
 * and another number. */
int sq_virtio_balloon_set_interval(struct sq_virtio_device *dev,
                                   uint16_t interval_s,
                                   struct squib_error *err);

/* The latest. Errors: SQUIB_E_STATE when they are off. */
int sq_virtio_balloon_stats(struct sq_virtio_device *dev,
                            struct sq_virtio_balloon_stats *out,
                            struct squib_error *err);

/* Starts a run of hinting (a new one if one is on). With
 * `acknowledge_on_stop` the guest gets its pages back when its list is
 * complete, else when _hint_stop() is called. Errors:
 * SQUIB_E_STATE when hinting was not configured or no driver does it; the
 * status can be read without one. */
int sq_virtio_balloon_hint_start(struct sq_virtio_device *dev,
                                 bool acknowledge_on_stop,
                                 struct squib_error *err);
int sq_virtio_balloon_hint_stop(struct sq_virtio_device *dev,
                                struct squib_error *err);
int sq_virtio_balloon_hint_status(struct sq_virtio_device *dev,
                                  struct sq_virtio_balloon_hinting *out,
                                  struct squib_error *err);

const struct sq_virtio_balloon_counters *
sq_virtio_balloon_counters(const struct sq_virtio_device *dev);

#endif
