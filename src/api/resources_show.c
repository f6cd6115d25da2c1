/* SPDX-License-Identifier: Apache-2.0 */
/* The machine as JSON, field for field as upstream shows it. */
#include <stdio.h>

#include "api/resources.h"

static bool limits(const struct sq_bucket_config *b)
{
    return b->size && b->refill_ms && b->refill_ms <= UINT64_MAX / 1000000;
}

static json_t *show_bucket(const struct sq_bucket_config *b)
{
    return json_pack("{s:o, s:o, s:o}", "size", sq_json_uint(b->size),
                     "one_time_burst", b->one_time_burst
                                           ? sq_json_uint(b->one_time_burst)
                                           : json_null(),
                     "refill_time", sq_json_uint(b->refill_ms));
}

/* A limiter in force. */
static json_t *show_limiter(const struct sq_ratelimit_config *limit)
{
    bool bandwidth = limits(&limit->bandwidth), ops = limits(&limit->ops);

    if (!bandwidth && !ops)
        return json_null();
    return json_pack("{s:o, s:o}", "bandwidth",
                     bandwidth ? show_bucket(&limit->bandwidth)
                               : json_null(),
                     "ops", ops ? show_bucket(&limit->ops) : json_null());
}

static json_t *show_asked_bucket(const struct sq_body_bucket *b)
{
    if (!b->part.set)
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "size", sq_json_uint(b->size.v),
                     "one_time_burst",
                     b->one_time_burst.set
                         ? sq_json_uint(b->one_time_burst.v)
                         : json_null(),
                     "refill_time", sq_json_uint(b->refill_time.v));
}

static json_t *show_asked_limiter(const struct sq_body_limiter *b)
{
    if (!b->part.set)
        return json_null();
    return json_pack("{s:o, s:o}", "bandwidth",
                     show_asked_bucket(&b->bandwidth), "ops",
                     show_asked_bucket(&b->ops));
}

json_t *sq_resources_show_machine(const struct sq_resources *r)
{
    enum sq_cpu_name cpu = r->spec->cpu.name;

    /* Left out, not null, without a template; upstream too. */
    return json_pack("{s:I, s:o, s:b, s:s*, s:b, s:s}",
                     "vcpu_count", (json_int_t)r->spec->vcpus,
                     "mem_size_mib", sq_json_uint(r->mem_mib),
                     "smt", (int)r->smt,
                     "cpu_template", cpu == SQ_CPU_NO_NAME
                                         ? NULL : sq_template_words[cpu],
                     "track_dirty_pages", (int)r->spec->dirty_log,
                     "huge_pages", sq_huge_words[r->spec->pages]);
}

json_t *sq_resources_show_balloon(const struct sq_resources *r)
{
    const struct sq_virtio_balloon_config *b = &r->spec->balloon_config;

    return json_pack("{s:I, s:b, s:I, s:b, s:b}",
                     "amount_mib", (json_int_t)b->amount_mib,
                     "deflate_on_oom", (int)b->deflate_on_oom,
                     "stats_polling_interval_s",
                     (json_int_t)b->stats_interval_s,
                     "free_page_hinting", (int)b->hinting,
                     "free_page_reporting", (int)b->reporting);
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static json_t *show_drives(const struct sq_vm_spec *spec)
{
    json_t *out = json_array();

    for (uint32_t i = 0; i < spec->drive_count; i++) {
        const struct sq_drive_spec *d = &spec->drives[i];

        json_array_append_new(out, json_pack(
            "{s:s, s:s?, s:b, s:s, s:o, s:s?, s:o, s:s?, s:s?}",
            "drive_id", d->id,
            "partuuid", or_null(d->partuuid),
            "is_root_device", (int)d->is_root,
            "cache_type", sq_cache_words[d->flush ? SQ_CACHE_WRITEBACK
                                                  : SQ_CACHE_UNSAFE],
            "is_read_only", d->vhost_user ? json_null()
                                          : json_boolean(d->read_only),
            "path_on_host", d->vhost_user ? NULL : d->path,
            "rate_limiter", show_limiter(&d->limit),
            "io_engine", d->vhost_user ? NULL
                         : sq_engine_words[d->async ? SQ_ENGINE_ASYNC
                                                    : SQ_ENGINE_SYNC],
            "socket", d->vhost_user ? d->path : NULL));
    }
    return out;
}

static json_t *show_nets(const struct sq_vm_spec *spec)
{
    json_t *out = json_array();

    for (uint32_t i = 0; i < spec->net_count; i++) {
        const struct sq_net_spec *n = &spec->nets[i];
        char mac[18];

        snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x",
                 n->mac[0], n->mac[1], n->mac[2], n->mac[3], n->mac[4],
                 n->mac[5]);
        json_array_append_new(out, json_pack(
            "{s:s, s:s, s:s?, s:o, s:o, s:o}",
            "iface_id", n->id,
            "host_dev_name", n->kind == SQ_NET_TAP ? n->tap : "",
            "guest_mac", n->has_mac ? mac : NULL,
            "mtu", n->mtu ? json_integer(n->mtu) : json_null(),
            "rx_rate_limiter", show_limiter(&n->rx_limit),
            "tx_rate_limiter", show_limiter(&n->tx_limit)));
    }
    return out;
}

static json_t *show_pmems(const struct sq_resources *r)
{
    const struct sq_vm_spec *spec = r->spec;
    json_t *out = json_array();

    for (uint32_t i = 0; i < spec->pmem_count; i++) {
        const struct sq_pmem_spec *p = &spec->pmems[i];

        json_array_append_new(out, json_pack(
            "{s:s, s:s, s:b, s:b, s:o}",
            "id", p->id,
            "path_on_host", p->path,
            "root_device", (int)p->is_root,
            "read_only", (int)p->read_only,
            "rate_limiter", show_asked_limiter(&r->pmem_limit[i])));
    }
    return out;
}

static json_t *show_hotplug(const struct sq_virtio_mem_sizes *sizes)
{
    return json_pack("{s:I, s:I, s:I}",
                     "total_size_mib", (json_int_t)sizes->total_mib,
                     "block_size_mib", (json_int_t)sizes->block_mib,
                     "slot_size_mib", (json_int_t)sizes->slot_mib);
}

static json_t *show_mmds(const struct sq_resources *r, struct sq_mmds *mmds)
{
    json_t *ids = json_array();
    struct sq_mmds_config c;
    char ip[16];

    if (!mmds || !sq_resources_has_mmds(r)) {
        json_decref(ids);
        return json_null();
    }
    for (uint32_t i = 0; i < r->spec->net_count; i++)
        if (r->spec->nets[i].mmds)
            json_array_append_new(ids, json_string(r->spec->nets[i].id));
    c = sq_mmds_config(mmds);
    snprintf(ip, sizeof(ip), "%u.%u.%u.%u", c.ipv4[0], c.ipv4[1], c.ipv4[2],
             c.ipv4[3]);
    return json_pack("{s:s, s:o, s:s, s:b}",
                     "version", c.version == SQ_MMDS_V1 ? "V1" : "V2",
                     "network_interfaces", ids,
                     "ipv4_address", ip,
                     "imds_compat", (int)c.imds_compat);
}

json_t *sq_resources_show(const struct sq_resources *r,
                          struct sq_mmds *mmds)
{
    const struct sq_vm_spec *spec = r->spec;

    return json_pack(
        "{s:o, s:o, s:{s:s, s:s?, s:s?}, s:n, s:n, s:o, s:n, s:o, s:o,"
        " s:o, s:o, s:o, s:o}",
        "balloon", spec->balloon ? sq_resources_show_balloon(r)
                                 : json_null(),
        "drives", show_drives(spec),
        "boot-source",
        "kernel_image_path", spec->kernel,
        "initrd_path", or_null(spec->initrd),
        "boot_args", r->has_boot_args ? spec->cmdline : NULL,
        "cpu-config",
        "logger",
        "machine-config", sq_resources_show_machine(r),
        "metrics",
        "mmds-config", show_mmds(r, mmds),
        "network-interfaces", show_nets(spec),
        "vsock", spec->vsock
                     ? json_pack("{s:I, s:s}", "guest_cid",
                                 (json_int_t)spec->guest_cid, "uds_path",
                                 spec->vsock_path)
                     : json_null(),
        "entropy", spec->rng ? json_pack("{s:o}", "rate_limiter",
                                         show_limiter(&spec->rng_limit))
                             : json_null(),
        "pmem", show_pmems(r),
        "memory-hotplug", spec->hotplug ? show_hotplug(&spec->hotplug_sizes)
                                        : json_null());
}
