/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine's devices and vCPUs have counted, under upstream's names.
 * To show one more counter of a device: a row in its table.
 */
#include <stddef.h>
#include <stdio.h>

#include "api/api.h"
#include "base/util.h"
#include "dev/virtio/balloon.h"
#include "dev/virtio/blk.h"
#include "dev/virtio/net.h"
#include "dev/virtio/pmem.h"
#include "dev/virtio/rng.h"
#include "dev/virtio/vsock.h"

/* Where in sq_api.counted the devices stand. */
enum {
    SLOT_DRIVES = 0,
    SLOT_NETS = SLOT_DRIVES + SQ_SPEC_DRIVES_MAX,
    SLOT_PMEMS = SLOT_NETS + SQ_SPEC_NETS_MAX,
    SLOT_SINGLE = SLOT_PMEMS + SQ_SPEC_PMEMS_MAX,
};
_Static_assert(SLOT_SINGLE + 4 == SQ_API_DEVICES_MAX, "a slot for each");

struct row {
    enum sq_metric metric;
    size_t off; /* in the device's counters */
};

#define ROW(type, group, name, member)                                      \
    {SQ_M_##group##_##name,                                                 \
     offsetof(struct sq_virtio_##type##_counters, member)}

static const struct row blk_rows[] = {
    ROW(blk, block, read_count, reads),
    ROW(blk, block, write_count, writes),
    ROW(blk, block, flush_count, flushes),
    ROW(blk, block, read_bytes, read_bytes),
    ROW(blk, block, write_bytes, written_bytes),
    ROW(blk, block, execute_fails, failed),
    ROW(blk, block, invalid_reqs_count, refused),
};

static const struct row net_rows[] = {
    ROW(net, net, rx_bytes_count, rx_bytes),
    ROW(net, net, rx_packets_count, rx_frames),
    ROW(net, net, rx_count, rx_frames),
    ROW(net, net, rx_fails, rx_failed),
    ROW(net, net, rx_tap_event_count, rx_events),
    ROW(net, net, no_rx_avail_buffer, rx_no_buffers),
    ROW(net, net, tx_bytes_count, tx_bytes),
    ROW(net, net, tx_packets_count, tx_frames),
    ROW(net, net, tx_count, tx_frames),
    ROW(net, net, tx_fails, tx_failed),
    ROW(net, net, tx_malformed_frames, tx_malformed),
    ROW(net, net, tx_spoofed_mac_count, tx_spoofed),
    ROW(net, net, activate_fails, activate_failed),
};

static const struct row vsock_rows[] = {
    ROW(vsock, vsock, rx_bytes_count, rx_bytes),
    ROW(vsock, vsock, tx_bytes_count, tx_bytes),
    ROW(vsock, vsock, rx_packets_count, rx_packets),
    ROW(vsock, vsock, tx_packets_count, tx_packets),
    ROW(vsock, vsock, conns_added, conns_opened),
    ROW(vsock, vsock, conns_removed, conns_closed),
};

static const struct row rng_rows[] = {
    ROW(rng, entropy, entropy_event_count, requests),
    ROW(rng, entropy, entropy_bytes, bytes),
    ROW(rng, entropy, host_rng_fails, host_errors),
};

static const struct row balloon_rows[] = {
    ROW(balloon, balloon, inflate_count, inflates),
    ROW(balloon, balloon, deflate_count, deflates),
    ROW(balloon, balloon, stats_updates_count, stats_updates),
    ROW(balloon, balloon, stats_update_fails, stats_failures),
    ROW(balloon, balloon, free_page_report_count, reports),
    ROW(balloon, balloon, free_page_report_freed, report_bytes),
    ROW(balloon, balloon, free_page_report_fails, report_failures),
    ROW(balloon, balloon, free_page_hint_count, hints),
    ROW(balloon, balloon, free_page_hint_freed, hint_bytes),
    ROW(balloon, balloon, free_page_hint_fails, hint_failures),
};

static const struct row pmem_rows[] = {
    ROW(pmem, pmem, queue_event_count, flushes),
    ROW(pmem, pmem, event_fails, failed),
};

#define MMDS(name) {SQ_M_mmds_##name, offsetof(struct sq_mmds_counters, name)}
static const struct row mmds_rows[] = {
    MMDS(rx_accepted), MMDS(rx_accepted_err), MMDS(rx_accepted_unusual),
    MMDS(rx_bad_eth), MMDS(rx_invalid_token), MMDS(rx_no_token),
    MMDS(rx_count), MMDS(tx_bytes), MMDS(tx_count), MMDS(tx_errors),
    MMDS(tx_frames), MMDS(connections_created), MMDS(connections_destroyed),
};

/* The rows' counters of one device since the last line. */
struct counted {
    const struct row *rows;
    size_t count;
    uint64_t diff[SQ_API_DEVICE_METRICS];
};

static void count(struct sq_api *api, size_t slot, const struct row *rows,
                  size_t rows_len, const void *counters, struct counted *out)
{
    _Static_assert(SQ_ARRAY_LEN(net_rows) <= SQ_API_DEVICE_METRICS,
                   "room for the longest table");
    out->rows = rows;
    out->count = rows_len;
    for (size_t i = 0; i < rows_len; i++) {
        const _Atomic uint64_t *at =
            (const void *)((const char *)counters + rows[i].off);
        uint64_t now = atomic_load_explicit(at, memory_order_relaxed);

        out->diff[i] = now - api->counted[slot][i];
        api->counted[slot][i] = now;
        sq_metrics_add(&api->metrics, rows[i].metric, out->diff[i]);
    }
}

static uint64_t device_value(const void *ctx, enum sq_metric which)
{
    const struct counted *c = ctx;

    for (size_t i = 0; i < c->count; i++)
        if (c->rows[i].metric == which)
            return c->diff[i];
    return 0;
}

static void count_vcpus(struct sq_api *api, struct sq_vmm *vmm)
{
    struct sq_metrics *m = &api->metrics;
    struct sq_vmm_metrics v;

    sq_vmm_metrics(vmm, &v);
    sq_metrics_set(m, SQ_M_vcpu_exit_io_in,
                   v.exits[SQUIB_EXIT_PIO] - v.pio_writes);
    sq_metrics_set(m, SQ_M_vcpu_exit_io_out, v.pio_writes);
    sq_metrics_set(m, SQ_M_vcpu_exit_mmio_read,
                   v.exits[SQUIB_EXIT_MMIO] - v.mmio_writes);
    sq_metrics_set(m, SQ_M_vcpu_exit_mmio_write, v.mmio_writes);
    sq_metrics_set(m, SQ_M_vcpu_failures,
                   v.exits[SQUIB_EXIT_INTERNAL_ERROR]);
    sq_metrics_set(m, SQ_M_squib_guest_instructions, v.insns);
}

/* Devices of which there is one at most. */
static void count_single(struct sq_api *api, struct sq_vmm *vmm)
{
    struct sq_virtio_device *vsock = sq_vmm_device(vmm, SQ_VIRTIO_ID_VSOCK,
                                                   0);
    struct sq_virtio_device *rng = sq_vmm_device(vmm, SQ_VIRTIO_ID_RNG, 0);
    struct sq_virtio_device *balloon = sq_vmm_device(vmm,
                                                     SQ_VIRTIO_ID_BALLOON, 0);
    size_t slot = SLOT_SINGLE;
    struct counted unused;

    if (vsock)
        count(api, slot, vsock_rows, SQ_ARRAY_LEN(vsock_rows),
              sq_virtio_vsock_counters(vsock), &unused);
    if (rng)
        count(api, slot + 1, rng_rows, SQ_ARRAY_LEN(rng_rows),
              sq_virtio_rng_counters(rng), &unused);
    if (balloon)
        count(api, slot + 2, balloon_rows, SQ_ARRAY_LEN(balloon_rows),
              sq_virtio_balloon_counters(balloon), &unused);
    count(api, slot + 3, mmds_rows, SQ_ARRAY_LEN(mmds_rows),
          sq_mmds_counters(api->mmds), &unused);
}

/* Adds a line's part for each drive, interface and pmem. */
static size_t count_many(struct sq_api *api, struct sq_vmm *vmm,
                         struct counted *counted,
                         struct sq_metrics_device *out)
{
    const struct sq_vm_spec *spec = api->resources.spec;
    struct sq_virtio_device *dev;
    size_t n = 0;

    for (uint32_t i = 0; i < spec->drive_count; i++) {
        dev = sq_vmm_device(vmm, SQ_VIRTIO_ID_BLK, i);
        if (!dev)
            break;
        count(api, SLOT_DRIVES + i, blk_rows, SQ_ARRAY_LEN(blk_rows),
              sq_virtio_blk_counters(dev), &counted[n]);
        snprintf(out[n].name, sizeof(out[n].name), "block_%s",
                 spec->drives[i].id);
        out[n++].group = "block";
    }
    for (uint32_t i = 0; i < spec->net_count; i++) {
        dev = sq_vmm_device(vmm, SQ_VIRTIO_ID_NET, i);
        if (!dev)
            break;
        count(api, SLOT_NETS + i, net_rows, SQ_ARRAY_LEN(net_rows),
              sq_virtio_net_counters(dev), &counted[n]);
        snprintf(out[n].name, sizeof(out[n].name), "net_%s",
                 spec->nets[i].id);
        out[n++].group = "net";
    }
    for (uint32_t i = 0; i < spec->pmem_count; i++) {
        dev = sq_vmm_device(vmm, SQ_VIRTIO_ID_PMEM, i);
        if (!dev)
            break;
        count(api, SLOT_PMEMS + i, pmem_rows, SQ_ARRAY_LEN(pmem_rows),
              sq_virtio_pmem_counters(dev), &counted[n]);
        snprintf(out[n].name, sizeof(out[n].name), "pmem_%s",
                 spec->pmems[i].id);
        out[n++].group = "pmem";
    }
    for (size_t i = 0; i < n; i++) {
        out[i].value = device_value;
        out[i].ctx = &counted[i];
    }
    return n;
}

int sq_api_flush_metrics(struct sq_api *api)
{
    struct counted counted[SLOT_SINGLE];
    struct sq_metrics_device devices[SQ_ARRAY_LEN(counted)];
    struct sq_vmm *vmm = sq_control_vmm(api->control);
    size_t n = 0;

    if (api->metrics.fd < 0)
        return 0;
    if (vmm) {
        count_vcpus(api, vmm);
        count_single(api, vmm);
        n = count_many(api, vmm, counted, devices);
    }
    pthread_mutex_lock(&api->log.lock);
    sq_metrics_set(&api->metrics, SQ_M_logger_missed_log_count,
                   api->log.missed);
    pthread_mutex_unlock(&api->log.lock);
    return sq_metrics_flush(&api->metrics, devices, n);
}
