/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that change or ask a device of the running machine. What they do
 * is done on the event thread, by the functions that end in _now.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/err.h"
#include "dev/host/disk.h"
#include "dev/virtio/balloon.h"
#include "dev/virtio/blk.h"
#include "dev/virtio/mem.h"
#include "dev/virtio/net.h"
#include "dev/virtio/pmem.h"
#include "dev/virtio/vhost_blk.h"

#define NOT_FOUND "Failed perform action on device: Device not found"
#define VERIFY "Please verify the request arguments."

/* --- drives ------------------------------------------------------------ */

struct swap {
    unsigned drive;
    bool read_only, async;
    char path[SQ_SPEC_PATH_MAX];
};

static int swap_now(struct sq_vmm *vmm, void *data, struct squib_error *err)
{
    const struct swap *s = data;
    struct sq_virtio_device *dev = sq_vmm_device(vmm, SQ_VIRTIO_ID_BLK,
                                                 s->drive);
    struct sq_disk_config config = {
        .path = s->path,
        .read_only = s->read_only,
        .engine = s->async ? SQ_DISK_ASYNC : SQ_DISK_SYNC,
        .poller = sq_vmm_poller(vmm),
        .replaces = sq_virtio_blk_disk(dev),
    };
    struct sq_disk *disk = NULL;
    int rc = sq_disk_open_config(&config, &disk, err);

    if (!rc)
        rc = sq_virtio_blk_swap(dev, disk, err);
    if (rc)
        sq_disk_free(disk);
    return rc;
}

static bool patch_failed(struct sq_call *call, const char *why)
{
    return sq_fault(&call->fault, "Drive config error: Unable to patch the "
                    "block device: %s " VERIFY, why);
}

static bool swap_disk(struct sq_call *call, unsigned drive, const char *path)
{
    struct sq_drive_spec *d = &call->api->resources.spec->drives[drive];
    struct swap *s = calloc(1, sizeof(*s));
    struct squib_error err = {0};
    bool ok = s && strlen(path) < sizeof(s->path);

    if (!ok) {
        free(s);
        return patch_failed(call, "the path is too long.");
    }
    s->drive = drive;
    s->read_only = d->read_only;
    s->async = d->async;
    strcpy(s->path, path);
    ok = sq_control_call(call->api->control, swap_now, s, sizeof(*s),
                         &err) == 0;
    free(s);
    if (ok)
        snprintf(d->path, sizeof(d->path), "%s", path);
    else if (err.os_errno)
        sq_fault(&call->fault, "Drive config error: Unable to patch the "
                 "block device: Block: Virtio backend error: Error "
                 "manipulating the backing file: %s %s " VERIFY,
                 sq_os_text(err.os_errno).text, path);
    else
        patch_failed(call, err.text);
    return ok;
}

/* New limits for one throttle of a device; bodies that were not given leave
 * a bucket alone. */
struct limit {
    uint32_t id, n;
    unsigned q;
    bool bandwidth, ops;
    struct sq_ratelimit_config config;
};

static int limit_now(struct sq_vmm *vmm, void *data, struct squib_error *err)
{
    const struct limit *l = data;
    struct sq_virtio_device *dev = sq_vmm_device(vmm, l->id, l->n);
    struct sq_throttle *t =
        l->id == SQ_VIRTIO_ID_NET    ? sq_virtio_net_throttle(dev, l->q)
        : l->id == SQ_VIRTIO_ID_PMEM ? sq_virtio_pmem_throttle(dev)
                                     : sq_virtio_blk_throttle(dev);

    (void)err;
    sq_throttle_update(t, l->bandwidth ? &l->config.bandwidth : NULL,
                       l->ops ? &l->config.ops : NULL);
    return 0;
}

static int set_limit(struct sq_call *call, uint32_t id, uint32_t n,
                     unsigned q, const struct sq_body_limiter *b,
                     struct sq_ratelimit_config *shown,
                     struct squib_error *err)
{
    struct limit l = {
        .id = id,
        .n = n,
        .q = q,
        .bandwidth = b->bandwidth.part.set,
        .ops = b->ops.part.set,
    };
    int rc;

    if (!b->part.set)
        return 0;
    sq_limiter_update(&l.config, b);
    rc = sq_control_call(call->api->control, limit_now, &l, sizeof(l), err);
    if (!rc)
        sq_limiter_update(shown, b);
    return rc;
}

static int refresh_now(struct sq_vmm *vmm, void *data,
                       struct squib_error *err)
{
    const uint32_t *n = data;

    return sq_virtio_vhost_blk_refresh(sq_vmm_device(vmm, SQ_VIRTIO_ID_BLK,
                                                     *n), err);
}

/* All that can change is what the back end says of its disk. */
static bool patch_vhost(struct sq_call *call, uint32_t n)
{
    const struct sq_body_drive_patch *b = &call->body.drive_patch;
    struct squib_error err = {0};

    if (b->path_on_host || b->rate_limiter.part.set)
        return patch_failed(call, "Block: Running method expected different "
                            "backend.");
    if (sq_control_call(call->api->control, refresh_now, &n, sizeof(n),
                        &err) == 0)
        return true;
    return patch_failed(call, err.text);
}

bool sq_run_drive_patch(struct sq_call *call)
{
    const struct sq_body_drive_patch *b = &call->body.drive_patch;
    int n = sq_resources_find_drive(&call->api->resources, b->drive_id);
    struct squib_error err = {0};

    if (n < 0)
        return patch_failed(call, NOT_FOUND);
    if (call->api->resources.spec->drives[n].vhost_user)
        return patch_vhost(call, (uint32_t)n);
    if (!b->path_on_host && !b->rate_limiter.part.set)
        return patch_failed(call, "Block: Running method expected different "
                            "backend.");
    if (b->path_on_host && !swap_disk(call, (unsigned)n, b->path_on_host))
        return false;
    if (set_limit(call, SQ_VIRTIO_ID_BLK, (uint32_t)n, 0, &b->rate_limiter,
                  &call->api->resources.spec->drives[n].limit, &err))
        return patch_failed(call, err.text);
    return true;
}

/* --- pmem -------------------------------------------------------------- */

bool sq_run_pmem_patch(struct sq_call *call)
{
    static const char before[] = "Pmem config error: Unable to patch the "
                                 "pmem device: ";
    const struct sq_body_pmem_patch *b = &call->body.pmem_patch;
    int n = sq_resources_find_pmem(&call->api->resources, b->id);
    struct squib_error err = {0};

    if (!b->rate_limiter.part.set)
        return true; /* nothing to change */
    if (n < 0)
        return sq_fault(&call->fault, "%s" NOT_FOUND " " VERIFY, before);
    if (set_limit(call, SQ_VIRTIO_ID_PMEM, (uint32_t)n, 0, &b->rate_limiter,
                  &call->api->resources.spec->pmems[n].limit, &err))
        return sq_fault(&call->fault, "%s%s " VERIFY, before, err.text);
    return true;
}

/* --- network ----------------------------------------------------------- */

bool sq_run_net_patch(struct sq_call *call)
{
    const struct sq_body_net_patch *b = &call->body.net_patch;
    int n = sq_resources_find_net(&call->api->resources, b->iface_id);
    struct squib_error err = {0};
    struct sq_net_spec *spec;
    int rc;

    if (n < 0)
        return sq_fault(&call->fault, "Network config error: Unable to "
                        "update the net device: " NOT_FOUND);
    spec = &call->api->resources.spec->nets[n];
    rc = set_limit(call, SQ_VIRTIO_ID_NET, (uint32_t)n, SQ_VIRTIO_NET_RX,
                   &b->rx_rate_limiter, &spec->rx_limit, &err);
    if (!rc)
        rc = set_limit(call, SQ_VIRTIO_ID_NET, (uint32_t)n, SQ_VIRTIO_NET_TX,
                       &b->tx_rate_limiter, &spec->tx_limit, &err);
    if (rc)
        return sq_fault(&call->fault, "Network config error: Unable to "
                        "update the net device: %s", err.text);
    return true;
}

/* --- balloon ----------------------------------------------------------- */

/* One call to the balloon, there and back. */
struct balloon {
    uint32_t amount_mib;
    bool too_large; /* for the machine's memory */
    uint16_t interval_s;
    bool acknowledge;
    struct sq_virtio_balloon_stats stats;
    struct sq_virtio_balloon_hinting hinting;
};

typedef int balloon_fn(struct sq_virtio_device *dev, struct balloon *b,
                       struct squib_error *err);

struct balloon_call {
    balloon_fn *fn;
    struct balloon b;
};

static int balloon_now(struct sq_vmm *vmm, void *data,
                       struct squib_error *err)
{
    struct balloon_call *c = data;

    return c->fn(sq_vmm_device(vmm, SQ_VIRTIO_ID_BALLOON, 0), &c->b, err);
}

static int set_target(struct sq_virtio_device *dev, struct balloon *b,
                      struct squib_error *err)
{
    if (b->too_large && sq_virtio_enter(dev)) {
        sq_virtio_leave(dev);
        return sq_err_set(err, SQUIB_E_INVAL, "Requested memory should be "
                          "less than %uMiB", b->amount_mib);
    }
    return sq_virtio_balloon_set_target(dev, b->amount_mib, err);
}

static int set_interval(struct sq_virtio_device *dev, struct balloon *b,
                        struct squib_error *err)
{
    return sq_virtio_balloon_set_interval(dev, b->interval_s, err);
}

static int get_stats(struct sq_virtio_device *dev, struct balloon *b,
                     struct squib_error *err)
{
    return sq_virtio_balloon_stats(dev, &b->stats, err);
}

static int hint_start(struct sq_virtio_device *dev, struct balloon *b,
                      struct squib_error *err)
{
    return sq_virtio_balloon_hint_start(dev, b->acknowledge, err);
}

static int hint_stop(struct sq_virtio_device *dev, struct balloon *b,
                     struct squib_error *err)
{
    (void)b;
    return sq_virtio_balloon_hint_stop(dev, err);
}

static int hint_status(struct sq_virtio_device *dev, struct balloon *b,
                       struct squib_error *err)
{
    return sq_virtio_balloon_hint_status(dev, &b->hinting, err);
}

/* False with the fault. `why` is what upstream says when the balloon is not
 * in a state for it; the device's own words otherwise. */
static bool balloon_call(struct sq_call *call, const char *before,
                         const char *why, balloon_fn *fn, struct balloon *b)
{
    struct balloon_call c = {.fn = fn, .b = *b};
    struct squib_error err = {0};
    int rc;

    if (!call->api->resources.spec->balloon)
        return sq_fault(&call->fault, "%s" NOT_FOUND, before);
    rc = sq_control_call(call->api->control, balloon_now, &c, sizeof(c),
                         &err);
    *b = c.b;
    if (!rc)
        return true;
    return sq_fault(&call->fault, "%sBalloon: %s", before,
                    rc == SQUIB_E_STATE ? why : err.text);
}

#define UPDATE "Balloon update error: "
#define INACTIVE "Device not activated yet."

bool sq_run_balloon_get(struct sq_call *call)
{
    const struct sq_resources *r = &call->api->resources;

    if (!r->spec->balloon)
        return sq_fault(&call->fault, "%s",
                        call->started ? "Internal VMM error: " NOT_FOUND
                                      : "Balloon config error: No balloon "
                                        "device found.");
    return sq_call_reply(call, sq_resources_show_balloon(r));
}

bool sq_run_balloon_patch(struct sq_call *call)
{
    struct sq_resources *r = &call->api->resources;
    struct balloon b = {
        .amount_mib = (uint32_t)call->body.balloon_patch.amount_mib.v,
    };

    b.too_large = b.amount_mib > r->mem_mib;
    if (!balloon_call(call, UPDATE, INACTIVE, set_target, &b))
        return false;
    r->spec->balloon_config.amount_mib = b.amount_mib;
    return true;
}

bool sq_run_balloon_interval(struct sq_call *call)
{
    const struct sq_json_num *want =
        &call->body.balloon_stats.stats_polling_interval_s;
    struct balloon b = {.interval_s = (uint16_t)want->v};

    if (!balloon_call(call, UPDATE, "Statistics cannot be enabled/disabled "
                      "after activation.", set_interval, &b))
        return false;
    call->api->resources.spec->balloon_config.stats_interval_s =
        b.interval_s;
    return true;
}

bool sq_run_balloon_stats(struct sq_call *call)
{
    static const char *const names[SQ_BALLOON_STAT_COUNT] = {
        [SQ_BALLOON_SWAP_IN] = "swap_in",
        [SQ_BALLOON_SWAP_OUT] = "swap_out",
        [SQ_BALLOON_MAJOR_FAULTS] = "major_faults",
        [SQ_BALLOON_MINOR_FAULTS] = "minor_faults",
        [SQ_BALLOON_FREE] = "free_memory",
        [SQ_BALLOON_TOTAL] = "total_memory",
        [SQ_BALLOON_AVAILABLE] = "available_memory",
        [SQ_BALLOON_CACHES] = "disk_caches",
        [SQ_BALLOON_HUGETLB_ALLOC] = "hugetlb_allocations",
        [SQ_BALLOON_HUGETLB_FAIL] = "hugetlb_failures",
        [SQ_BALLOON_OOM_KILL] = "oom_kill",
        [SQ_BALLOON_ALLOC_STALL] = "alloc_stall",
        [SQ_BALLOON_ASYNC_SCAN] = "async_scan",
        [SQ_BALLOON_DIRECT_SCAN] = "direct_scan",
        [SQ_BALLOON_ASYNC_RECLAIM] = "async_reclaim",
        [SQ_BALLOON_DIRECT_RECLAIM] = "direct_reclaim",
    };
    struct balloon b = {0};
    const struct sq_virtio_balloon_stats *s = &b.stats;
    json_t *out;

    if (!balloon_call(call, "Internal VMM error: ", "Received stats query "
                      "when stats are disabled.", get_stats, &b))
        return false;
    out = json_pack("{s:I, s:I, s:I, s:I}",
                    "target_pages", (json_int_t)s->target_pages,
                    "actual_pages", (json_int_t)s->actual_pages,
                    "target_mib", (json_int_t)(s->target_pages / 256),
                    "actual_mib", (json_int_t)(s->actual_pages / 256));
    for (int i = 0; i < SQ_BALLOON_STAT_COUNT; i++)
        if (s->valid >> i & 1)
            json_object_set_new(out, names[i],
                                json_integer((json_int_t)s->value[i]));
    return sq_call_reply(call, out);
}

/* Off for good, or only without a driver that does it. */
static const char *hinting_why(const struct sq_call *call)
{
    return call->api->resources.spec->balloon_config.hinting
               ? INACTIVE
               : "Attempting to use hinting when not enabled";
}

bool sq_run_hinting_start(struct sq_call *call)
{
    struct balloon b = {
        .acknowledge = !call->request->body ||
                       call->body.balloon_hinting.acknowledge_on_stop.v,
    };

    return balloon_call(call, UPDATE, hinting_why(call), hint_start, &b);
}

bool sq_run_hinting_stop(struct sq_call *call)
{
    struct balloon b = {0};

    return balloon_call(call, UPDATE, hinting_why(call), hint_stop, &b);
}

bool sq_run_hinting_status(struct sq_call *call)
{
    struct balloon b = {0};
    json_t *guest;

    if (!balloon_call(call, UPDATE, hinting_why(call), hint_status, &b))
        return false;
    guest = b.hinting.guest_answered
                ? json_integer((json_int_t)b.hinting.guest_cmd)
                : json_null();
    return sq_call_reply(call, json_pack("{s:I, s:o}", "host_cmd",
                                         (json_int_t)b.hinting.host_cmd,
                                         "guest_cmd", guest));
}

/* --- memory hotplug ---------------------------------------------------- */

bool sq_run_hotplug(struct sq_call *call)
{
    return sq_resources_hotplug(&call->api->resources, &call->body.hotplug,
                                &call->fault);
}

static int request_now(struct sq_vmm *vmm, void *data,
                       struct squib_error *err)
{
    const uint32_t *requested_mib = data;

    return sq_virtio_mem_request(sq_vmm_device(vmm, SQ_VIRTIO_ID_MEM, 0),
                                 *requested_mib, err);
}

bool sq_run_hotplug_patch(struct sq_call *call)
{
    static const char before[] = "Memory hotplug update error: ";
    uint32_t requested_mib =
        (uint32_t)call->body.hotplug_patch.requested_size_mib.v;
    struct squib_error err = {0};

    if (!call->api->resources.spec->hotplug)
        return sq_fault(&call->fault, "%s" NOT_FOUND, before);
    if (sq_control_call(call->api->control, request_now, &requested_mib,
                        sizeof(requested_mib), &err) == 0)
        return true;
    return sq_fault(&call->fault, "%sFailed to create memory hotplug "
                    "device: %s", before, err.text);
}

bool sq_run_hotplug_get(struct sq_call *call)
{
    struct sq_vmm *vmm = sq_control_vmm(call->api->control);
    struct sq_virtio_device *dev = sq_vmm_device(vmm, SQ_VIRTIO_ID_MEM, 0);
    struct sq_virtio_mem_status s;

    if (!dev)
        return sq_fault(&call->fault, "Internal VMM error: " NOT_FOUND);
    s = sq_virtio_mem_status(dev);
    return sq_call_reply(call, json_pack(
        "{s:I, s:I, s:I, s:I, s:I}",
        "block_size_mib", (json_int_t)s.sizes.block_mib,
        "total_size_mib", (json_int_t)s.sizes.total_mib,
        "slot_size_mib", (json_int_t)s.sizes.slot_mib,
        "plugged_size_mib", (json_int_t)s.plugged_mib,
        "requested_size_mib", (json_int_t)s.requested_mib));
}
