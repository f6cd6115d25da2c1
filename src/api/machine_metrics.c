/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine's devices and vCPUs have counted, under upstream's names.
 * To show one more counter of a device: a row in its table.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "base/util.h"
#include "dev/virtio/balloon.h"
#include "dev/virtio/blk.h"
#include "dev/virtio/mem.h"
#include "dev/virtio/net.h"
#include "dev/virtio/pmem.h"
#include "dev/virtio/rng.h"
#include "dev/virtio/vhost_blk.h"
#include "dev/virtio/vsock.h"

/* Where in sq_api.counted the devices stand. */
enum {
    SLOT_DRIVES = 0,
    SLOT_NETS = SLOT_DRIVES + SQ_SPEC_DRIVES_MAX,
    SLOT_PMEMS = SLOT_NETS + SQ_SPEC_NETS_MAX,
    SLOT_SINGLE = SLOT_PMEMS + SQ_SPEC_PMEMS_MAX,
};
_Static_assert(SLOT_SINGLE + 5 == SQ_API_DEVICES_MAX, "a slot for each");

/* Where a row's counter stands. */
enum source {
    OWN,      /* the device's counters */
    COMMON,   /* those that every virtio device has */
    THROTTLE, /* its rate limiter */
    SECOND,   /* its other one */
    SOURCES,
};

struct row {
    enum sq_metric metric;
    enum source source;
    bool latency;
    size_t off; /* in the source */
};

#define FROM(source, type, group, name, member)                             \
    {SQ_M_##group##_##name, source, false, offsetof(struct type, member)}
#define ROW(type, group, name, member)                                      \
    FROM(OWN, sq_virtio_##type##_counters, group, name, member)
#define ALL(group, name, member)                                            \
    FROM(COMMON, sq_virtio_counters, group, name, member)
#define LIMITED(source, group, refused, woken)                              \
    FROM(source, sq_throttle, group, refused, refusals),                    \
    FROM(source, sq_throttle, group, woken, wakeups)
#define TIMES(type, group, name, member)                                    \
    {SQ_M_##group##_##name, OWN, true,                                      \
     offsetof(struct sq_virtio_##type##_counters, member)}

static const struct row blk_rows[] = {
    ALL(block, activate_fails, activate_failed),
    ALL(block, cfg_fails, config_failed),
    ROW(blk, block, read_count, reads),
    ROW(blk, block, write_count, writes),
    ROW(blk, block, flush_count, flushes),
    ROW(blk, block, read_bytes, read_bytes),
    ROW(blk, block, write_bytes, written_bytes),
    ROW(blk, block, execute_fails, failed),
    ROW(blk, block, invalid_reqs_count, refused),
    ROW(blk, block, no_avail_buffer, idle_notifications),
    ROW(blk, block, remaining_reqs_count, left_waiting),
    ROW(blk, block, update_count, swaps),
    ROW(blk, block, io_engine_throttled_events, stalls),
    ALL(block, queue_event_count, queue_events[0]),
    ALL(block, event_fails, failures),
    LIMITED(THROTTLE, block, rate_limiter_throttled_events,
            rate_limiter_event_count),
    TIMES(blk, block, read_agg, read_latency),
    TIMES(blk, block, write_agg, write_latency),
};

static const struct row vhost_blk_rows[] = {
    ALL(vhost_user, activate_fails, activate_failed),
    ALL(vhost_user, cfg_fails, config_failed),
    ROW(vhost_blk, vhost_user, activate_fails, activate_failed),
    ROW(vhost_blk, vhost_user, cfg_fails, config_failed),
    ROW(vhost_blk, vhost_user, init_time_us, init_us),
    ROW(vhost_blk, vhost_user, activate_time_us, activate_us),
    ROW(vhost_blk, vhost_user, config_change_time_us, config_us),
};

static const struct row net_rows[] = {
    ALL(net, activate_fails, activate_failed),
    ALL(net, cfg_fails, config_failed),
    ROW(net, net, rx_bytes_count, rx_bytes),
    ROW(net, net, rx_packets_count, rx_frames),
    ROW(net, net, rx_count, rx_frames),
    ROW(net, net, rx_fails, rx_failed),
    ROW(net, net, tap_read_fails, rx_broken),
    ROW(net, net, rx_tap_event_count, rx_events),
    ROW(net, net, no_rx_avail_buffer, rx_no_buffers),
    ROW(net, net, no_tx_avail_buffer, tx_idle),
    ROW(net, net, tx_bytes_count, tx_bytes),
    ROW(net, net, tx_packets_count, tx_frames),
    ROW(net, net, tx_count, tx_frames),
    ROW(net, net, tx_fails, tx_failed),
    ROW(net, net, tap_write_fails, tx_failed),
    ROW(net, net, tx_malformed_frames, tx_malformed),
    ROW(net, net, tx_spoofed_mac_count, tx_spoofed),
    ROW(net, net, tx_remaining_reqs_count, tx_left_waiting),
    ROW(net, net, activate_fails, activate_failed),
    ALL(net, rx_queue_event_count, queue_events[SQ_VIRTIO_NET_RX]),
    ALL(net, tx_queue_event_count, queue_events[SQ_VIRTIO_NET_TX]),
    ALL(net, event_fails, failures),
    LIMITED(THROTTLE, net, rx_rate_limiter_throttled,
            rx_event_rate_limiter_count),
    LIMITED(SECOND, net, tx_rate_limiter_throttled,
            tx_rate_limiter_event_count),
    TIMES(net, net, tap_write_agg, tx_latency),
};

static const struct row vsock_rows[] = {
    ALL(vsock, activate_fails, activate_failed),
    ALL(vsock, cfg_fails, config_failed),
    ROW(vsock, vsock, rx_bytes_count, rx_bytes),
    ROW(vsock, vsock, tx_bytes_count, tx_bytes),
    ROW(vsock, vsock, rx_packets_count, rx_packets),
    ROW(vsock, vsock, tx_packets_count, tx_packets),
    ROW(vsock, vsock, conns_added, conns_opened),
    ROW(vsock, vsock, conns_removed, conns_closed),
    ROW(vsock, vsock, conns_killed, aborted),
    ROW(vsock, vsock, conn_event_fails, bad_packets),
    ROW(vsock, vsock, rx_read_fails, read_failed),
    ROW(vsock, vsock, tx_write_fails, write_failed),
    ALL(vsock, rx_queue_event_count, queue_events[0]),
    ALL(vsock, tx_queue_event_count, queue_events[1]),
    ALL(vsock, muxer_event_fails, failures),
};

static const struct row rng_rows[] = {
    ALL(entropy, activate_fails, activate_failed),
    ROW(rng, entropy, entropy_event_count, requests),
    ROW(rng, entropy, entropy_bytes, bytes),
    ROW(rng, entropy, host_rng_fails, host_errors),
    ALL(entropy, entropy_event_fails, failures),
    LIMITED(THROTTLE, entropy, entropy_rate_limiter_throttled,
            rate_limiter_event_count),
};

static const struct row balloon_rows[] = {
    ALL(balloon, activate_fails, activate_failed),
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
    ALL(balloon, event_fails, failures),
};

static const struct row mem_rows[] = {
    ALL(memory_hotplug, activate_fails, activate_failed),
    ALL(memory_hotplug, queue_event_count, queue_events[0]),
    ALL(memory_hotplug, queue_event_fails, failures),
    ROW(mem, memory_hotplug, plug_count, plugs),
    ROW(mem, memory_hotplug, plug_bytes, plug_bytes),
    ROW(mem, memory_hotplug, plug_fails, plugs_failed),
    ROW(mem, memory_hotplug, unplug_count, unplugs),
    ROW(mem, memory_hotplug, unplug_bytes, unplug_bytes),
    ROW(mem, memory_hotplug, unplug_fails, unplugs_failed),
    ROW(mem, memory_hotplug, unplug_discard_fails, discards_failed),
    ROW(mem, memory_hotplug, unplug_all_count, unplug_alls),
    ROW(mem, memory_hotplug, unplug_all_fails, unplug_alls_failed),
    ROW(mem, memory_hotplug, state_count, states),
    ROW(mem, memory_hotplug, state_fails, states_failed),
    TIMES(mem, memory_hotplug, plug_agg, plug_latency),
    TIMES(mem, memory_hotplug, unplug_agg, unplug_latency),
    TIMES(mem, memory_hotplug, unplug_all_agg, unplug_all_latency),
    TIMES(mem, memory_hotplug, state_agg, state_latency),
};

static const struct row pmem_rows[] = {
    ROW(pmem, pmem, event_fails, lost),
    ALL(pmem, activate_fails, activate_failed),
    ALL(pmem, cfg_fails, config_failed),
    ROW(pmem, pmem, event_fails, failed),
    ALL(pmem, queue_event_count, queue_events[0]),
    LIMITED(THROTTLE, pmem, rate_limiter_throttled_events,
            rate_limiter_event_count),
};

#define MMDS(name)                                                          \
    {SQ_M_mmds_##name, OWN, false, offsetof(struct sq_mmds_counters, name)}
static const struct row mmds_rows[] = {
    MMDS(rx_accepted), MMDS(rx_accepted_err), MMDS(rx_accepted_unusual),
    MMDS(rx_bad_eth), MMDS(rx_invalid_token), MMDS(rx_no_token),
    MMDS(rx_count), MMDS(tx_bytes), MMDS(tx_count), MMDS(tx_errors),
    MMDS(tx_frames), MMDS(connections_created), MMDS(connections_destroyed),
};

/* Every virtio device, besides its own. */
static const struct row common_rows[] = {
    ALL(interrupts, triggers, interrupts),
    ALL(interrupts, config_updates, config_changes),
};

/* What one thing has counted since the last line. */
struct counted {
    const struct row *rows;
    size_t count;
    struct sq_metric_value value[SQ_API_DEVICE_METRICS];
};

static uint64_t load(const void *base, size_t off)
{
    const _Atomic uint64_t *at = (const void *)((const char *)base + off);

    return atomic_load_explicit(at, memory_order_relaxed);
}

/* Adds what is new to the metrics and to *out. `seen` is what was counted at
 * the last line. */
static void count_rows(struct sq_api *api, uint64_t *seen,
                       const struct row *rows, size_t rows_len,
                       const void *const source[SOURCES], bool alone,
                       struct counted *out)
{
    out->rows = rows;
    out->count = rows_len;
    for (size_t i = 0; i < rows_len; i++) {
        const struct row *r = &rows[i];
        const void *base = source[r->source];
        struct sq_metric_value *v = &out->value[i];
        size_t sum = r->latency ? offsetof(struct sq_latency, sum_us) : 0;
        uint64_t now = load(base, r->off + sum);

        *v = (struct sq_metric_value){.v = now - seen[i]};
        seen[i] = now;
        sq_metrics_add(&api->metrics, r->metric, v->v);
        if (!r->latency)
            continue;
        v->min_us = load(base, r->off + offsetof(struct sq_latency, min_us));
        v->max_us = load(base, r->off + offsetof(struct sq_latency, max_us));
        /* Where devices are shown one by one, their sum has neither. */
        if (alone)
            sq_metrics_set_extremes(&api->metrics, r->metric, *v);
    }
}

/* One device. */
struct group {
    const struct row *rows;
    size_t rows_len;
    const void *own;
    const struct sq_throttle *throttle, *second; /* or NULL */
    bool alone; /* there is one at most */
};

static void count(struct sq_api *api, size_t slot,
                  const struct sq_virtio_device *dev, const struct group *g,
                  struct counted *out)
{
    const void *const source[SOURCES] = {
        [OWN] = g->own,
        [COMMON] = &dev->counters,
        [THROTTLE] = g->throttle,
        [SECOND] = g->second,
    };
    uint64_t *seen = api->counted[slot];
    struct counted unused;

    _Static_assert(SQ_ARRAY_LEN(net_rows) + SQ_ARRAY_LEN(common_rows) <=
                       SQ_API_DEVICE_METRICS,
                   "room for the longest table");
    count_rows(api, seen, g->rows, g->rows_len, source, g->alone, out);
    count_rows(api, seen + SQ_API_DEVICE_METRICS - SQ_ARRAY_LEN(common_rows),
               common_rows, SQ_ARRAY_LEN(common_rows), source, true,
               &unused);
}

static struct sq_metric_value device_value(const void *ctx,
                                           enum sq_metric which)
{
    const struct counted *c = ctx;
    struct sq_metric_value sum = {0};

    for (size_t i = 0; i < c->count; i++)
        if (c->rows[i].metric == which) {
            sum.v += c->value[i].v;
            sum.min_us = c->value[i].min_us;
            sum.max_us = c->value[i].max_us;
        }
    return sum;
}

static void set_latency(struct sq_metrics *m, enum sq_metric which,
                        const struct sq_vmm_latency *l)
{
    const struct sq_metric_value v = {l->sum_us, l->min_us, l->max_us};

    sq_metrics_set(m, which, v.v);
    sq_metrics_set_extremes(m, which, v);
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
    set_latency(m, SQ_M_vcpu_exit_io_in_agg, &v.pio[0]);
    set_latency(m, SQ_M_vcpu_exit_io_out_agg, &v.pio[1]);
    set_latency(m, SQ_M_vcpu_exit_mmio_read_agg, &v.mmio[0]);
    set_latency(m, SQ_M_vcpu_exit_mmio_write_agg, &v.mmio[1]);
    sq_metrics_set(m, SQ_M_uart_write_count, v.uart_sent);
    sq_metrics_set(m, SQ_M_uart_read_count, v.uart_received);
    sq_metrics_set(m, SQ_M_uart_missed_write_count, v.console_dropped);
    sq_metrics_set(m, SQ_M_uart_rate_limiter_dropped_bytes,
                   v.console_limited);
    sq_metrics_set(m, SQ_M_i8042_read_count, v.i8042_reads);
    sq_metrics_set(m, SQ_M_i8042_reset_count, v.i8042_resets);
    sq_metrics_set(m, SQ_M_i8042_write_count, v.i8042_writes);
    sq_metrics_set(m, SQ_M_squib_guest_instructions, v.insns);
}

#define GROUP(kind, dev) kind##_rows, SQ_ARRAY_LEN(kind##_rows),             \
                         sq_virtio_##kind##_counters(dev)

/* Devices of which there is one at most. */
static void count_single(struct sq_api *api, struct sq_vmm *vmm)
{
    struct sq_virtio_device *vsock = sq_vmm_device(vmm, SQ_VIRTIO_ID_VSOCK,
                                                   0);
    struct sq_virtio_device *rng = sq_vmm_device(vmm, SQ_VIRTIO_ID_RNG, 0);
    struct sq_virtio_device *balloon = sq_vmm_device(vmm,
                                                     SQ_VIRTIO_ID_BALLOON, 0);
    struct sq_virtio_device *mem = sq_vmm_device(vmm, SQ_VIRTIO_ID_MEM, 0);
    const void *const mmds[SOURCES] = {sq_mmds_counters(api->mmds)};
    size_t slot = SLOT_SINGLE;
    struct counted unused;

    if (vsock)
        count(api, slot, vsock,
              &(struct group){GROUP(vsock, vsock), .alone = true}, &unused);
    if (rng)
        count(api, slot + 1, rng,
              &(struct group){GROUP(rng, rng),
                              .throttle = sq_virtio_rng_throttle(rng),
                              .alone = true},
              &unused);
    if (balloon)
        count(api, slot + 2, balloon,
              &(struct group){GROUP(balloon, balloon), .alone = true},
              &unused);
    if (mem)
        count(api, slot + 4, mem,
              &(struct group){GROUP(mem, mem), .alone = true}, &unused);
    count_rows(api, api->counted[slot + 3], mmds_rows,
               SQ_ARRAY_LEN(mmds_rows), mmds, true, &unused);
}

/* Its times are values that stay, so they are not taken as differences. */
static void count_vhost(struct sq_api *api, size_t slot,
                        const struct sq_virtio_device *dev,
                        struct counted *out)
{
    const struct group g = {GROUP(vhost_blk, dev), .alone = false};

    count(api, slot, dev, &g, out);
    for (size_t i = 0; i < out->count; i++)
        if (sq_metrics_stores(out->rows[i].metric))
            out->value[i].v = load(sq_virtio_vhost_blk_counters(dev),
                                   out->rows[i].off);
}

/* Names a device's part of a line. */
static void name_part(struct sq_metrics_device *out, const char *group,
                      const char *before, const char *id,
                      const struct counted *counted)
{
    out->group = group;
    snprintf(out->name, sizeof(out->name), "%s_%s", before, id);
    out->value = device_value;
    out->ctx = counted;
}

static void count_drive(struct sq_api *api, struct sq_virtio_device *dev,
                        uint32_t i, struct counted *c,
                        struct sq_metrics_device *out)
{
    const struct sq_drive_spec *d = &api->resources.spec->drives[i];

    if (d->vhost_user) {
        count_vhost(api, SLOT_DRIVES + i, dev, c);
        name_part(out, "vhost_user", "vhost_user_block", d->id, c);
        return;
    }
    count(api, SLOT_DRIVES + i, dev,
          &(struct group){GROUP(blk, dev),
                          .throttle = sq_virtio_blk_throttle(dev)},
          c);
    name_part(out, "block", "block", d->id, c);
}

static void count_net(struct sq_api *api, struct sq_virtio_device *dev,
                      uint32_t i, struct counted *c,
                      struct sq_metrics_device *out)
{
    count(api, SLOT_NETS + i, dev,
          &(struct group){
              GROUP(net, dev),
              .throttle = sq_virtio_net_throttle(dev, SQ_VIRTIO_NET_RX),
              .second = sq_virtio_net_throttle(dev, SQ_VIRTIO_NET_TX)},
          c);
    name_part(out, "net", "net", api->resources.spec->nets[i].id, c);
}

static void count_pmem(struct sq_api *api, struct sq_virtio_device *dev,
                       uint32_t i, struct counted *c,
                       struct sq_metrics_device *out)
{
    count(api, SLOT_PMEMS + i, dev,
          &(struct group){GROUP(pmem, dev),
                          .throttle = sq_virtio_pmem_throttle(dev)},
          c);
    name_part(out, "pmem", "pmem", api->resources.spec->pmems[i].id, c);
}

/* Those of which there may be several. */
static const struct {
    uint32_t id; /* enum sq_virtio_id */
    uint32_t first, max; /* in api->counted */
    void (*count)(struct sq_api *api, struct sq_virtio_device *dev,
                  uint32_t i, struct counted *c,
                  struct sq_metrics_device *out);
} many[] = {
    {SQ_VIRTIO_ID_BLK, SLOT_DRIVES, SQ_SPEC_DRIVES_MAX, count_drive},
    {SQ_VIRTIO_ID_NET, SLOT_NETS, SQ_SPEC_NETS_MAX, count_net},
    {SQ_VIRTIO_ID_PMEM, SLOT_PMEMS, SQ_SPEC_PMEMS_MAX, count_pmem},
};

/* Adds a line's part for each drive, interface and pmem. */
static size_t count_many(struct sq_api *api, struct sq_vmm *vmm,
                         struct counted *counted,
                         struct sq_metrics_device *out)
{
    struct sq_virtio_device *dev;
    size_t n = 0;

    for (size_t k = 0; k < SQ_ARRAY_LEN(many); k++)
        for (uint32_t i = 0; i < many[k].max; i++, n++) {
            dev = sq_vmm_device(vmm, many[k].id, i);
            if (!dev)
                break;
            many[k].count(api, dev, i, &counted[n], &out[n]);
        }
    return n;
}

void sq_api_device_going(struct sq_api *api, struct sq_vmm *vmm, uint32_t id,
                         uint32_t n)
{
    struct sq_virtio_device *dev = sq_vmm_device(vmm, id, n);
    struct sq_metrics_device unused;
    struct counted counted;

    for (size_t k = 0; dev && k < SQ_ARRAY_LEN(many); k++)
        if (many[k].id == id)
            many[k].count(api, dev, n, &counted, &unused);
}

/* Those behind it move up; the last place is ready for the next device. */
void sq_api_device_gone(struct sq_api *api, uint32_t id, uint32_t n)
{
    for (size_t k = 0; k < SQ_ARRAY_LEN(many); k++) {
        uint64_t (*at)[SQ_API_DEVICE_METRICS] = &api->counted[many[k].first];
        uint32_t last = many[k].max - 1;

        if (many[k].id != id)
            continue;
        memmove(at + n, at + n + 1, (last - n) * sizeof(*at));
        memset(at + last, 0, sizeof(*at));
    }
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
