/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio persistent memory (virtio 1.2, section 5.19): a file that the guest
 * has as memory and, with a DAX file system, uses without a copy.
 *
 * The file is mapped at a guest-physical address beside RAM. What the guest
 * writes there is in the file; a flush makes it durable. The mapping is a
 * multiple of 2 MiB, which Linux wants; what lies beyond the file's end is
 * ordinary memory that is lost.
 *
 * If the file is cut short under the guest, or the host cannot read it, what
 * is gone reads as zeroes from then on; the device asks to be reset, and no
 * flush succeeds again.
 */
#ifndef SQ_DEV_VIRTIO_PMEM_H
#define SQ_DEV_VIRTIO_PMEM_H

#include <squib/error.h>
#include <squib/memory.h>

#include "dev/virtio/device.h"
#include "dev/virtio/throttle.h"

#define SQ_VIRTIO_PMEM_ALIGN (2u << 20)

struct sq_virtio_pmem_config {
    const char *path; /* locked like a disk (host/disk.h) */
    bool read_only;
    uint64_t gpa; /* a multiple of SQ_VIRTIO_PMEM_ALIGN */
    struct sq_poller *poller;
    /* Event thread, at most once: part of the file is gone. May be NULL. */
    void (*lost)(void *ctx, const struct sq_virtio_device *dev);
    void *lost_ctx;
};

struct sq_virtio_pmem_counters {
    _Atomic uint64_t flushes; /* done, good */
    _Atomic uint64_t failed;  /* the host could not */
    _Atomic uint64_t refused; /* not a flush */
    _Atomic uint64_t lost;    /* part of the file is gone: 1 */
};

/* Errors: what sq_disk_open_config() says, SQUIB_E_INVAL for the address,
 * SQUIB_E_OS. Release through the transport, or with dev->ops->free(dev). */
int sq_virtio_pmem_new(const struct sq_virtio_pmem_config *config,
                       struct sq_virtio_device **out,
                       struct squib_error *err);

/* What the machine has to map for the guest: where, which host memory and
 * with which rights (enum squib_prot). It is writable for the host in any
 * case; a transfer to read-only memory changes only what this guest sees.
 * Unmap it before the device is released. */
struct sq_virtio_pmem_region {
    struct squib_range range;
    void *hva;
    uint32_t prot;
};
struct sq_virtio_pmem_region
sq_virtio_pmem_region(const struct sq_virtio_device *dev);

struct sq_throttle *sq_virtio_pmem_throttle(struct sq_virtio_device *dev);
const struct sq_virtio_pmem_counters *
sq_virtio_pmem_counters(const struct sq_virtio_device *dev);

#endif
