/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All requests there are. The order counts: the first row that fits the
 * method, the path and the presence of a body answers.
 */
#include "api/call.h"

#include "base/util.h"

#define ALWAYS (SQ_PRE | SQ_POST)
/* Method, path, states, and what else the row has. */
#define ROW(m, a, b, c, when, ...)                                          \
    {.method = SQ_HTTP_##m, .first = (a), .second = (b), .third = (c),      \
     .states = (when), __VA_ARGS__}
#define READ(name) .body = SQ_BODY, .schema = &sq_##name##_schema
#define COUNT(group, name) .count = SQ_M_##group##_requests_##name##_count
#define COUNT_BOTH(group, name) COUNT(group, name),                         \
    .fails = SQ_M_##group##_requests_##name##_fails

const struct sq_endpoint sq_endpoints[] = {
    ROW(GET, "", NULL, NULL, ALWAYS, .run = sq_run_get_info,
        COUNT(get_api, instance_info)),
    ROW(GET, "version", NULL, NULL, ALWAYS, .run = sq_run_get_version,
        COUNT(get_api, vmm_version)),

    ROW(GET, "vm", "config", NULL, ALWAYS, .run = sq_run_get_config),
    ROW(PATCH, "vm", NULL, NULL, SQ_POST, READ(vm_state),
        .run = sq_run_vm_state),
    ROW(PUT, "actions", NULL, NULL, ALWAYS, READ(action),
        .states_of = sq_states_of_action, .run = sq_run_action,
        COUNT_BOTH(put_api, actions)),

    ROW(GET, "machine-config", NULL, NULL, ALWAYS, .run = sq_run_get_machine,
        COUNT(get_api, machine_cfg)),
    ROW(PUT, "machine-config", NULL, NULL, SQ_PRE, READ(machine),
        .check = sq_check_machine, .run = sq_run_machine,
        COUNT_BOTH(put_api, machine_cfg)),
    ROW(PATCH, "machine-config", NULL, NULL, SQ_PRE, READ(machine_patch),
        .check = sq_check_machine_patch, .run = sq_run_machine,
        COUNT_BOTH(patch_api, machine_cfg)),

    ROW(PUT, "boot-source", NULL, NULL, SQ_PRE, READ(boot_source),
        .run = sq_run_boot_source, COUNT_BOTH(put_api, boot_source)),

    ROW(PUT, "drives", NULL, NULL, ALWAYS, READ(drive), .id = true,
        .check = sq_check_drive, .run = sq_run_drive,
        COUNT_BOTH(put_api, drive)),
    ROW(PATCH, "drives", NULL, NULL, SQ_POST, READ(drive_patch), .id = true,
        .check = sq_check_drive_patch, .run = sq_run_drive_patch,
        COUNT_BOTH(patch_api, drive)),
    ROW(DELETE, "drives", NULL, NULL, SQ_POST, .id = true,
        .run = sq_run_unplug),

    ROW(PUT, "network-interfaces", NULL, NULL, ALWAYS, READ(net), .id = true,
        .check = sq_check_net, .run = sq_run_net,
        COUNT_BOTH(put_api, network)),
    ROW(PATCH, "network-interfaces", NULL, NULL, SQ_POST, READ(net_patch),
        .id = true, .check = sq_check_net_patch, .run = sq_run_net_patch,
        COUNT_BOTH(patch_api, network)),
    ROW(DELETE, "network-interfaces", NULL, NULL, SQ_POST, .id = true,
        .run = sq_run_unplug),

    ROW(PUT, "pmem", NULL, NULL, ALWAYS, READ(pmem), .id = true,
        .check = sq_check_pmem, .run = sq_run_pmem, COUNT_BOTH(put_api, pmem)),
    ROW(PATCH, "pmem", NULL, NULL, SQ_POST, READ(pmem_patch), .id = true,
        .check = sq_check_pmem_patch, .run = sq_run_pmem_patch,
        COUNT_BOTH(patch_api, pmem)),
    ROW(DELETE, "pmem", NULL, NULL, SQ_POST, .id = true, .run = sq_run_unplug),

    ROW(PUT, "vsock", NULL, NULL, SQ_PRE, READ(vsock),
        .check = sq_check_vsock, .run = sq_run_vsock,
        COUNT_BOTH(put_api, vsock)),
    ROW(PUT, "entropy", NULL, NULL, SQ_PRE, READ(entropy),
        .run = sq_run_entropy),
    ROW(PUT, "serial", NULL, NULL, SQ_PRE, READ(serial), .run = sq_run_serial,
        COUNT_BOTH(put_api, serial)),
    ROW(PUT, "logger", NULL, NULL, SQ_PRE, READ(logger), .run = sq_run_logger,
        COUNT_BOTH(put_api, logger)),
    ROW(PUT, "metrics", NULL, NULL, SQ_PRE, READ(metrics),
        .run = sq_run_metrics, COUNT_BOTH(put_api, metrics)),

    ROW(GET, "balloon", "statistics", NULL, SQ_POST,
        .run = sq_run_balloon_stats),
    ROW(GET, "balloon", "hinting", "status", SQ_POST,
        .run = sq_run_hinting_status),
    ROW(GET, "balloon", NULL, NULL, ALWAYS, .check = sq_check_balloon_path,
        .run = sq_run_balloon_get),
    ROW(PUT, "balloon", NULL, NULL, SQ_PRE, READ(balloon),
        .run = sq_run_balloon),
    ROW(PATCH, "balloon", "statistics", NULL, SQ_POST, READ(balloon_stats),
        .run = sq_run_balloon_interval),
    ROW(PATCH, "balloon", "hinting", "start", SQ_POST, .body = SQ_MAYBE_BODY,
        .check = sq_check_hinting, .run = sq_run_hinting_start),
    ROW(PATCH, "balloon", "hinting", "stop", SQ_POST, .body = SQ_MAYBE_BODY,
        .run = sq_run_hinting_stop),
    ROW(PATCH, "balloon", "hinting", NULL, SQ_POST, .body = SQ_MAYBE_BODY,
        .check = sq_check_hinting_path, .run = sq_run_hinting_stop),
    ROW(PATCH, "balloon", NULL, NULL, SQ_POST, READ(balloon_patch),
        .run = sq_run_balloon_patch),

    ROW(GET, "mmds", NULL, NULL, ALWAYS, .run = sq_run_mmds_get,
        COUNT(get_api, mmds)),
    ROW(PUT, "mmds", "config", NULL, SQ_PRE, READ(mmds_config),
        .check = sq_check_mmds_config, .run = sq_run_mmds_config,
        COUNT_BOTH(put_api, mmds)),
    ROW(PUT, "mmds", NULL, NULL, ALWAYS, .body = SQ_BODY,
        .check = sq_check_mmds_path, .run = sq_run_mmds_put,
        COUNT_BOTH(put_api, mmds)),
    ROW(PATCH, "mmds", NULL, NULL, ALWAYS, .body = SQ_BODY,
        .check = sq_check_mmds, .run = sq_run_mmds_patch,
        COUNT_BOTH(patch_api, mmds)),

    ROW(PUT, "cpu-config", NULL, NULL, SQ_PRE, READ(cpu_config),
        .run = sq_run_cpu_config, COUNT_BOTH(put_api, cpu_cfg)),

    ROW(GET, "hotplug", "memory", NULL, SQ_POST, .run = sq_run_hotplug_get,
        COUNT(get_api, hotplug_memory)),
    ROW(PUT, "hotplug", "memory", NULL, SQ_PRE, READ(hotplug),
        .run = sq_run_hotplug, COUNT_BOTH(put_api, hotplug_memory)),
    ROW(PATCH, "hotplug", "memory", NULL, SQ_POST, READ(hotplug_patch),
        .run = sq_run_hotplug_patch, COUNT_BOTH(patch_api, hotplug_memory)),

    ROW(PUT, "snapshot", "create", NULL, SQ_POST, READ(snapshot_create),
        .run = sq_run_snapshot_create),
    ROW(PUT, "snapshot", "load", NULL, SQ_PRE, READ(snapshot_load),
        .check = sq_check_snapshot_load, .run = sq_run_snapshot_load),
    ROW(PUT, "snapshot", NULL, NULL, ALWAYS, .body = SQ_BODY,
        .check = sq_check_snapshot_path, .run = sq_run_snapshot_load),
};

const size_t sq_endpoint_count = SQ_ARRAY_LEN(sq_endpoints);
