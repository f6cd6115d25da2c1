/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio memory device (virtio 1.2, section 5.15): guest memory that comes
 * and goes while the guest runs.
 *
 * The device has a region of guest-physical addresses, cut into blocks. The
 * host asks for an amount (`requested`); the driver plugs and unplugs blocks
 * to meet it. What is unplugged goes back to the host at once. The region is
 * also cut into windows of many blocks; one without a plugged block is not
 * there for the guest, nor for other devices that it names it to.
 *
 * The memory itself, in one reserved range a window (sq_memory_reserve()),
 * is the machine's.
 */
#ifndef SQ_DEV_VIRTIO_MEM_H
#define SQ_DEV_VIRTIO_MEM_H

#include <squib/error.h>

#include "base/latency.h"
#include "dev/virtio/device.h"

#define SQ_VIRTIO_MEM_BLOCK_MIB_MIN 2u
#define SQ_VIRTIO_MEM_SLOT_MIB_MIN 128u
#define SQ_VIRTIO_MEM_WINDOWS_MAX 32u

/* block: a power of 2, at least the minimum; slot: a multiple of block, at
 * least the minimum; total: a multiple of slot, not 0. */
struct sq_virtio_mem_sizes {
    uint32_t total_mib, block_mib, slot_mib;
};

/* The length of a window in bytes: a slot, or a number of slots where a
 * region would have more windows than SQ_VIRTIO_MEM_WINDOWS_MAX. The last
 * one may be cut by the region's end. */
uint64_t sq_virtio_mem_window_len(const struct sq_virtio_mem_sizes *sizes);

struct sq_virtio_mem_config {
    struct sq_virtio_mem_sizes sizes;
    uint64_t gpa; /* of the region; a multiple of the block's size */
    /* Shows a window to the guest and the devices, or hides it. Event
     * thread, device mutex held; 0 or an SQUIB_E_* code. */
    int (*show)(void *ctx, struct squib_range window, bool shown);
    void *ctx;
};

/* Requests of the driver. */
struct sq_virtio_mem_counters {
    _Atomic uint64_t plugs, plug_bytes, plugs_failed;
    _Atomic uint64_t unplugs, unplug_bytes, unplugs_failed;
    _Atomic uint64_t unplug_alls, unplug_alls_failed;
    _Atomic uint64_t states, states_failed;
    _Atomic uint64_t discards_failed; /* the host kept the memory */
    struct sq_latency plug_latency, unplug_latency, unplug_all_latency,
        state_latency;
};

/* Nothing is plugged or requested. Errors: SQUIB_E_NOMEM. Release through
 * the transport, or with dev->ops->free(dev) while no transport has it. */
int sq_virtio_mem_new(const struct sq_virtio_mem_config *config,
                      struct sq_virtio_device **out, struct squib_error *err);

/* How much the guest is to have plugged. Event thread. Errors:
 * SQUIB_E_INVAL (not a multiple of a block, more than there is),
 * SQUIB_E_STATE (no driver is active). */
int sq_virtio_mem_request(struct sq_virtio_device *dev,
                          uint32_t requested_mib, struct squib_error *err);

struct sq_virtio_mem_status {
    struct sq_virtio_mem_sizes sizes;
    uint32_t plugged_mib, requested_mib;
};
/* Any thread. */
struct sq_virtio_mem_status
sq_virtio_mem_status(struct sq_virtio_device *dev);

const struct sq_virtio_mem_counters *
sq_virtio_mem_counters(const struct sq_virtio_device *dev);

#endif
