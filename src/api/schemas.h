/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies of all requests (Firecracker 1.17, src/vmm/src/vmm_config), as
 * structs and as the schemas that fill them. Strings and lists borrow from
 * the tree that sq_json_read() returned.
 */
#ifndef SQ_API_SCHEMAS_H
#define SQ_API_SCHEMAS_H

#include "api/json.h"
#include "mmds/mmds.h"

/* X(type, schema): struct sq_body_<type> is filled by sq_<type>_schema. */
#define SQ_BODY_LIST(X)                                                    \
    X(action)                                                              \
    X(vm_state)                                                            \
    X(machine)                                                             \
    X(machine_patch)                                                       \
    X(boot_source)                                                         \
    X(drive)                                                               \
    X(drive_patch)                                                         \
    X(net)                                                                 \
    X(net_patch)                                                           \
    X(vsock)                                                               \
    X(balloon)                                                             \
    X(balloon_patch)                                                       \
    X(balloon_stats)                                                       \
    X(balloon_hinting)                                                     \
    X(entropy)                                                             \
    X(serial)                                                              \
    X(logger)                                                              \
    X(metrics)                                                             \
    X(mmds_config)                                                         \
    X(cpu_config)                                                          \
    X(pmem)                                                                \
    X(pmem_patch)                                                          \
    X(hotplug)                                                             \
    X(hotplug_patch)                                                       \
    X(snapshot_create)                                                     \
    X(snapshot_load)

struct sq_body_bucket {
    struct sq_json_part part;
    struct sq_json_num size, one_time_burst, refill_time;
};

struct sq_body_limiter {
    struct sq_json_part part;
    struct sq_body_bucket bandwidth, ops;
};

enum sq_action { SQ_FLUSH_METRICS, SQ_INSTANCE_START, SQ_CTRL_ALT_DEL };
struct sq_body_action {
    struct sq_json_num action_type;
};

enum sq_vm_state { SQ_VM_PAUSED, SQ_VM_RESUMED };
struct sq_body_vm_state {
    struct sq_json_num state;
};

/* As enum sq_shm_pages. */
extern const char *const sq_huge_words[];
/* As enum sq_cpu_name. */
extern const char *const sq_template_words[];
struct sq_body_machine {
    struct sq_json_num vcpu_count, mem_size_mib, smt, cpu_template,
        track_dirty_pages, huge_pages;
};
#define sq_body_machine_patch sq_body_machine

struct sq_body_boot_source {
    const char *kernel_image_path, *initrd_path, *boot_args;
};

enum sq_cache_type { SQ_CACHE_UNSAFE, SQ_CACHE_WRITEBACK };
extern const char *const sq_cache_words[];
enum sq_io_engine { SQ_ENGINE_ASYNC, SQ_ENGINE_SYNC };
extern const char *const sq_engine_words[];
struct sq_body_drive {
    const char *drive_id, *partuuid, *path_on_host, *socket;
    struct sq_json_num is_root_device, cache_type, is_read_only, io_engine;
    struct sq_body_limiter rate_limiter;
};

struct sq_body_drive_patch {
    const char *drive_id, *path_on_host;
    struct sq_body_limiter rate_limiter;
};

struct sq_body_net {
    const char *iface_id, *host_dev_name, *guest_mac;
    struct sq_json_num mtu;
    struct sq_body_limiter rx_rate_limiter, tx_rate_limiter;
};

struct sq_body_net_patch {
    const char *iface_id;
    struct sq_body_limiter rx_rate_limiter, tx_rate_limiter;
};

struct sq_body_vsock {
    const char *vsock_id, *uds_path;
    struct sq_json_num guest_cid;
};

struct sq_body_balloon {
    struct sq_json_num amount_mib, deflate_on_oom, stats_polling_interval_s,
        free_page_hinting, free_page_reporting;
};

struct sq_body_balloon_patch {
    struct sq_json_num amount_mib;
};

struct sq_body_balloon_stats {
    struct sq_json_num stats_polling_interval_s;
};

struct sq_body_balloon_hinting {
    struct sq_json_num acknowledge_on_stop;
};

struct sq_body_entropy {
    struct sq_json_part part;
    struct sq_body_limiter rate_limiter;
};

struct sq_body_serial {
    const char *serial_out_path;
    struct sq_body_bucket rate_limiter;
};

struct sq_body_logger {
    const char *log_path, *level, *module;
    struct sq_json_num show_level, show_log_origin;
};

struct sq_body_metrics {
    const char *metrics_path;
    struct sq_json_num emit_id;
    const json_t *properties;
};

struct sq_body_mmds_config {
    struct sq_json_num version, imds_compat;
    const json_t *network_interfaces;
    const char *ipv4_address;
};

struct sq_body_cpu_config {
    const json_t *capabilities, *cpuid_modifiers, *msr_modifiers;
};

struct sq_body_pmem {
    const char *id, *path_on_host;
    struct sq_json_num root_device, read_only;
    struct sq_body_limiter rate_limiter;
};

struct sq_body_pmem_patch {
    const char *id;
    struct sq_body_limiter rate_limiter;
};

struct sq_body_hotplug {
    struct sq_json_num total_size_mib, block_size_mib, slot_size_mib;
};

struct sq_body_hotplug_patch {
    struct sq_json_num requested_size_mib;
};

struct sq_body_snapshot_create {
    struct sq_json_num snapshot_type;
    const char *snapshot_path, *mem_file_path;
};

struct sq_body_mem_backend {
    struct sq_json_part part;
    const char *backend_path;
    struct sq_json_num backend_type;
};

struct sq_body_vsock_override {
    struct sq_json_part part;
    const char *uds_path;
};

struct sq_body_snapshot_load {
    const char *snapshot_path, *mem_file_path;
    struct sq_body_mem_backend mem_backend;
    struct sq_json_num enable_diff_snapshots, track_dirty_pages, resume_vm,
        clock_realtime, huge_pages;
    const json_t *network_overrides;
    struct sq_body_vsock_override vsock_override;
};

#define SQ_BODY_EXTERN(type) extern const struct sq_json_schema              \
    sq_##type##_schema;
SQ_BODY_LIST(SQ_BODY_EXTERN)
#undef SQ_BODY_EXTERN

/* Elements of lists. */
struct sq_body_cpuid_register {
    const char *reg, *bitmap;
};

struct sq_body_cpuid_leaf {
    const char *leaf, *subleaf;
    struct sq_json_num flags;
    const json_t *modifiers;
};

struct sq_body_msr {
    const char *addr, *bitmap;
};

extern const struct sq_json_schema sq_cpuid_register_schema,
    sq_cpuid_leaf_schema, sq_msr_schema;

/* Any one of them. */
union sq_body {
#define SQ_BODY_MEMBER(type) struct sq_body_##type type;
    SQ_BODY_LIST(SQ_BODY_MEMBER)
#undef SQ_BODY_MEMBER
};

/* The level's number, 0 (Off) to 5 (Trace), any case; -1: there is none. */
int sq_log_level(const char *word);

#endif
