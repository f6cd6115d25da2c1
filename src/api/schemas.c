/* SPDX-License-Identifier: Apache-2.0 */
/* One table a body; the order of fields is that of upstream's structs, as
 * messages list them. */
#include "api/schemas.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

/* --- checks of texts --------------------------------------------------- */

static const char *check_mac(const char *text, char *buf, size_t buf_len)
{
    bool ok = strlen(text) == 17;

    (void)buf;
    (void)buf_len;
    for (size_t i = 0; ok && i < 17; i++)
        ok = i % 3 == 2 ? text[i] == ':'
                        : strchr("0123456789abcdefABCDEF", text[i]) != NULL;
    return ok ? NULL : "The provided MAC address is invalid.";
}

int sq_log_level(const char *word)
{
    static const struct {
        const char *word;
        int level;
    } levels[] = {{"off", 0},  {"error", 1}, {"warn", 2}, {"warning", 2},
                  {"info", 3}, {"debug", 4}, {"trace", 5}};

    for (size_t i = 0; i < SQ_ARRAY_LEN(levels); i++)
        if (strcasecmp(levels[i].word, word) == 0)
            return levels[i].level;
    return -1;
}

static const char *check_level(const char *text, char *buf, size_t buf_len)
{
    (void)buf;
    (void)buf_len;
    return sq_log_level(text) < 0 ? "Invalid LevelFilter" : NULL;
}

static const char *check_ipv4(const char *text, char *buf, size_t buf_len)
{
    struct in_addr addr;

    (void)buf;
    (void)buf_len;
    return inet_pton(AF_INET, text, &addr) == 1
               ? NULL
               : "invalid IPv4 address syntax";
}

/* Digits after an optional mark, as u32. */
static const char *check_capability(const char *text, char *buf,
                                    size_t buf_len)
{
    const char *d = text[0] == '!' ? text + 1 : text;
    const char *why = NULL;
    char *end;

    if (d[0] == '+')
        d++;
    errno = 0;
    if (!d[0])
        why = "cannot parse integer from empty string";
    else if (strspn(d, "0123456789") != strlen(d))
        why = "invalid digit found in string";
    else if (strtoull(d, &end, 10) > UINT32_MAX || errno)
        why = "number too large to fit in target type";
    if (!why)
        return NULL;
    snprintf(buf, buf_len, "Failed to parse string [%.200s] as a "
             "kvm capability - can not convert to numeric: %s", text, why);
    return buf;
}

/* 0x.. or 0b.. of at most 32 bits. */
static const char *check_number(const char *text, char *buf, size_t buf_len)
{
    bool hex = strncmp(text, "0x", 2) == 0;
    const char *d = text + 2, *why = NULL;

    if (!hex && strncmp(text, "0b", 2) != 0) {
        snprintf(buf, buf_len, "No supported number system prefix found in "
                 "value [%.200s]. Make sure to prefix the number with '0x' "
                 "for hexadecimal numbers or '0b' for binary numbers.",
                 text);
        return buf;
    }
    if (d[0] == '+')
        d++;
    if (!d[0])
        why = "Empty";
    else if (strspn(d, hex ? "0123456789abcdefABCDEF" : "01") != strlen(d))
        why = "InvalidDigit";
    else if (strlen(d + strspn(d, "0")) > (hex ? 8u : 32u))
        why = "PosOverflow";
    if (!why)
        return NULL;
    snprintf(buf, buf_len, "Failed to parse string [%.200s] as a number for "
             "CPU template - ParseIntError { kind: %s }", text, why);
    return buf;
}

static const char *check_bitmap(const char *text, unsigned width, char *buf,
                                size_t buf_len)
{
    const char *d = strncmp(text, "0b", 2) == 0 ? text + 2 : text;
    unsigned bits = 0;

    for (size_t i = strlen(d); i > 0; i--) {
        char c = d[i - 1];

        if (bits == width) {
            snprintf(buf, buf_len, "Failed to parse string [%.200s] as a "
                     "bitmap - string is too long", text);
            return buf;
        }
        if (c == '_')
            continue;
        if (c != 'x' && c != '0' && c != '1') {
            snprintf(buf, buf_len, "Failed to parse string [%.200s] as a "
                     "bitmap - unknown character: %u", text,
                     (unsigned char)c);
            return buf;
        }
        bits++;
    }
    return NULL;
}

static const char *check_bitmap32(const char *text, char *buf,
                                  size_t buf_len)
{
    return check_bitmap(text, 32, buf, buf_len);
}

static const char *check_bitmap64(const char *text, char *buf,
                                  size_t buf_len)
{
    return check_bitmap(text, 64, buf, buf_len);
}

static const char *check_register(const char *text, char *buf,
                                  size_t buf_len)
{
    (void)buf;
    (void)buf_len;
    if (strlen(text) == 3 && text[0] == 'e' && text[2] == 'x' &&
        text[1] >= 'a' && text[1] <= 'd')
        return NULL;
    return "Invalid CPUID register. Must be one of [eax, ebx, ecx, edx]";
}

/* --- tables ------------------------------------------------------------ */

/* Required; optional with null; optional without. */
#define MUST .required = true
#define MAY .nullable = true
/* As the fields with a default, which a list of values may leave out. */
#define MAY_LACK MAY, .may_lack = true
#define DFLT(value) .dflt = (value)
#define TEXT(T, f, ...)                                                    \
    {.name = #f, .kind = SQ_JSON_STRING,                                   \
     .off = offsetof(struct sq_body_##T, f), __VA_ARGS__}
#define PATH(T, f, ...) TEXT(T, f, .expected = "path string", __VA_ARGS__)
#define UINT(T, f, w, ...)                                                 \
    {.name = #f, .kind = SQ_JSON_UINT, .width = (w),                       \
     .off = offsetof(struct sq_body_##T, f), __VA_ARGS__}
#define BOOL(T, f, ...)                                                    \
    {.name = #f, .kind = SQ_JSON_BOOL,                                     \
     .off = offsetof(struct sq_body_##T, f), __VA_ARGS__}
#define WORD(T, f, list, ...)                                              \
    {.name = #f, .kind = SQ_JSON_WORD, .words = (list),                    \
     .off = offsetof(struct sq_body_##T, f), __VA_ARGS__}
#define PART(T, f, schema, ...)                                            \
    {.name = #f, .kind = SQ_JSON_OBJECT, .inner = &(schema),               \
     .off = offsetof(struct sq_body_##T, f), __VA_ARGS__}
#define LIST(T, f, ...)                                                    \
    {.name = #f, .kind = SQ_JSON_LIST,                                     \
     .off = offsetof(struct sq_body_##T, f), __VA_ARGS__}

/* Unused arguments leave a comma, so each row ends with one of the above
 * or with NONE. */
#define NONE .required = false

#define SCHEMA(T, title)                                                   \
    const struct sq_json_schema sq_##T##_schema = {                        \
        title, T##_fields, SQ_ARRAY_LEN(T##_fields), false}

static const struct sq_json_field bucket_fields[] = {
    UINT(bucket, size, 64, MUST),
    UINT(bucket, one_time_burst, 64, MAY),
    UINT(bucket, refill_time, 64, MUST),
};
static const struct sq_json_schema bucket_schema = {
    "TokenBucketConfig", bucket_fields, SQ_ARRAY_LEN(bucket_fields), true};

static const struct sq_json_field limiter_fields[] = {
    PART(limiter, bandwidth, bucket_schema, MAY),
    PART(limiter, ops, bucket_schema, MAY),
};
static const struct sq_json_schema limiter_schema = {
    "RateLimiterConfig", limiter_fields, SQ_ARRAY_LEN(limiter_fields),
    false};

static const char *const action_words[] = {
    [SQ_FLUSH_METRICS] = "FlushMetrics",
    [SQ_INSTANCE_START] = "InstanceStart",
    [SQ_CTRL_ALT_DEL] = "SendCtrlAltDel",
    NULL,
};
static const struct sq_json_field action_fields[] = {
    WORD(action, action_type, action_words, MUST),
};
SCHEMA(action, "ActionBody");

static const char *const state_words[] = {"Paused", "Resumed", NULL};
static const struct sq_json_field vm_state_fields[] = {
    WORD(vm_state, state, state_words, MUST),
};
SCHEMA(vm_state, "Vm");

const char *const sq_huge_words[] = {"None", "Transparent", "2M", NULL};
const char *const sq_template_words[] = {"C3", "T2", "T2S", "None", "T2CL",
                                         "T2A", NULL};
static const struct sq_json_field machine_fields[] = {
    UINT(machine, vcpu_count, 8, MUST),
    UINT(machine, mem_size_mib, 64, MUST, .expected = "usize"),
    BOOL(machine, smt, NONE),
    WORD(machine, cpu_template, sq_template_words, MAY_LACK),
    BOOL(machine, track_dirty_pages, NONE),
    WORD(machine, huge_pages, sq_huge_words, NONE),
};
SCHEMA(machine, "MachineConfig");

static const struct sq_json_field machine_patch_fields[] = {
    UINT(machine, vcpu_count, 8, MAY_LACK),
    UINT(machine, mem_size_mib, 64, MAY_LACK, .expected = "usize"),
    BOOL(machine, smt, MAY_LACK),
    WORD(machine, cpu_template, sq_template_words, MAY_LACK),
    BOOL(machine, track_dirty_pages, MAY_LACK),
    WORD(machine, huge_pages, sq_huge_words, MAY_LACK),
};
SCHEMA(machine_patch, "MachineConfigUpdate");

static const struct sq_json_field boot_source_fields[] = {
    TEXT(boot_source, kernel_image_path, MUST),
    TEXT(boot_source, initrd_path, MAY),
    TEXT(boot_source, boot_args, MAY),
};
SCHEMA(boot_source, "BootSourceConfig");

const char *const sq_cache_words[] = {"Unsafe", "Writeback", NULL};
const char *const sq_engine_words[] = {"Async", "Sync", NULL};
static const struct sq_json_field drive_fields[] = {
    TEXT(drive, drive_id, MUST),
    TEXT(drive, partuuid, MAY),
    BOOL(drive, is_root_device, MUST),
    WORD(drive, cache_type, sq_cache_words, NONE),
    BOOL(drive, is_read_only, MAY),
    TEXT(drive, path_on_host, MAY),
    PART(drive, rate_limiter, limiter_schema, MAY),
    WORD(drive, io_engine, sq_engine_words, MAY, DFLT(SQ_ENGINE_SYNC)),
    TEXT(drive, socket, MAY),
};
SCHEMA(drive, "BlockDeviceConfig");

static const struct sq_json_field drive_patch_fields[] = {
    TEXT(drive_patch, drive_id, MUST),
    TEXT(drive_patch, path_on_host, MAY),
    PART(drive_patch, rate_limiter, limiter_schema, MAY),
};
SCHEMA(drive_patch, "BlockDeviceUpdateConfig");

static const struct sq_json_field net_fields[] = {
    TEXT(net, iface_id, MUST),
    TEXT(net, host_dev_name, MUST),
    TEXT(net, guest_mac, MAY, .check = check_mac),
    UINT(net, mtu, 16, MAY),
    PART(net, rx_rate_limiter, limiter_schema, MAY),
    PART(net, tx_rate_limiter, limiter_schema, MAY),
};
SCHEMA(net, "NetworkInterfaceConfig");

static const struct sq_json_field net_patch_fields[] = {
    TEXT(net_patch, iface_id, MUST),
    PART(net_patch, rx_rate_limiter, limiter_schema, MAY),
    PART(net_patch, tx_rate_limiter, limiter_schema, MAY),
};
SCHEMA(net_patch, "NetworkInterfaceUpdateConfig");

static const struct sq_json_field vsock_fields[] = {
    TEXT(vsock, vsock_id, MAY_LACK),
    UINT(vsock, guest_cid, 32, MUST),
    TEXT(vsock, uds_path, MUST),
};
SCHEMA(vsock, "VsockDeviceConfig");

static const struct sq_json_field balloon_fields[] = {
    UINT(balloon, amount_mib, 32, MUST),
    BOOL(balloon, deflate_on_oom, MUST),
    UINT(balloon, stats_polling_interval_s, 16, NONE),
    BOOL(balloon, free_page_hinting, NONE),
    BOOL(balloon, free_page_reporting, NONE),
};
SCHEMA(balloon, "BalloonDeviceConfig");

static const struct sq_json_field balloon_patch_fields[] = {
    UINT(balloon_patch, amount_mib, 32, MUST),
};
SCHEMA(balloon_patch, "BalloonUpdateConfig");

static const struct sq_json_field balloon_stats_fields[] = {
    UINT(balloon_stats, stats_polling_interval_s, 16, MUST),
};
SCHEMA(balloon_stats, "BalloonUpdateStatsConfig");

static const struct sq_json_field balloon_hinting_fields[] = {
    BOOL(balloon_hinting, acknowledge_on_stop, DFLT(1)),
};
const struct sq_json_schema sq_balloon_hinting_schema = {
    "StartHintingCmd", balloon_hinting_fields,
    SQ_ARRAY_LEN(balloon_hinting_fields), true};

static const struct sq_json_field entropy_fields[] = {
    PART(entropy, rate_limiter, limiter_schema, MAY),
};
SCHEMA(entropy, "EntropyDeviceConfig");

static const struct sq_json_field serial_fields[] = {
    PATH(serial, serial_out_path, MAY),
    PART(serial, rate_limiter, bucket_schema, MAY),
};
SCHEMA(serial, "SerialConfig");

static const struct sq_json_field logger_fields[] = {
    PATH(logger, log_path, MAY),
    TEXT(logger, level, MAY, .check = check_level),
    BOOL(logger, show_level, MAY),
    BOOL(logger, show_log_origin, MAY),
    TEXT(logger, module, MAY),
};
SCHEMA(logger, "LoggerConfig");

static const struct sq_json_field metrics_fields[] = {
    PATH(metrics, metrics_path, MUST),
    BOOL(metrics, emit_id, NONE),
    {.name = "properties", .kind = SQ_JSON_MAP, MAY_LACK,
     .off = offsetof(struct sq_body_metrics, properties)},
};
const struct sq_json_schema sq_metrics_schema = {
    "MetricsConfig", metrics_fields, SQ_ARRAY_LEN(metrics_fields), true};

static const char *const mmds_words[] = {"V1", "V2", NULL};
static const struct sq_json_field mmds_config_fields[] = {
    WORD(mmds_config, version, mmds_words, NONE),
    LIST(mmds_config, network_interfaces, MUST),
    TEXT(mmds_config, ipv4_address, MAY, .check = check_ipv4,
         .check_reads = true,
         .expected = "IPv4 address"),
    BOOL(mmds_config, imds_compat, NONE),
};
SCHEMA(mmds_config, "MmdsConfig");

static const struct sq_json_field cpuid_register_fields[] = {
    {.name = "register", .kind = SQ_JSON_STRING, .required = true,
     .check = check_register,
     .off = offsetof(struct sq_body_cpuid_register, reg)},
    TEXT(cpuid_register, bitmap, MUST, .check = check_bitmap32),
};
const struct sq_json_schema sq_cpuid_register_schema = {
    "CpuidRegisterModifier", cpuid_register_fields,
    SQ_ARRAY_LEN(cpuid_register_fields), true};

static const struct sq_json_field cpuid_leaf_fields[] = {
    TEXT(cpuid_leaf, leaf, MUST, .check = check_number),
    TEXT(cpuid_leaf, subleaf, MUST, .check = check_number),
    UINT(cpuid_leaf, flags, 32, MUST),
    LIST(cpuid_leaf, modifiers, MUST, .inner = &sq_cpuid_register_schema),
};
const struct sq_json_schema sq_cpuid_leaf_schema = {
    "CpuidLeafModifier", cpuid_leaf_fields, SQ_ARRAY_LEN(cpuid_leaf_fields),
    true};

static const struct sq_json_field msr_fields[] = {
    TEXT(msr, addr, MUST, .check = check_number),
    TEXT(msr, bitmap, MUST, .check = check_bitmap64),
};
const struct sq_json_schema sq_msr_schema = {
    "RegisterModifier", msr_fields, SQ_ARRAY_LEN(msr_fields), true};

static const struct sq_json_field cpu_config_fields[] = {
    {.name = "kvm_capabilities", .kind = SQ_JSON_LIST,
     .check = check_capability,
     .off = offsetof(struct sq_body_cpu_config, capabilities)},
    LIST(cpu_config, cpuid_modifiers, .inner = &sq_cpuid_leaf_schema),
    LIST(cpu_config, msr_modifiers, .inner = &sq_msr_schema),
};
SCHEMA(cpu_config, "CustomCpuTemplate");

static const struct sq_json_field pmem_fields[] = {
    TEXT(pmem, id, MUST),
    TEXT(pmem, path_on_host, MUST),
    BOOL(pmem, root_device, NONE),
    BOOL(pmem, read_only, NONE),
    PART(pmem, rate_limiter, limiter_schema, MAY),
};
SCHEMA(pmem, "PmemConfig");

static const struct sq_json_field pmem_patch_fields[] = {
    TEXT(pmem_patch, id, MUST),
    PART(pmem_patch, rate_limiter, limiter_schema, MAY),
};
SCHEMA(pmem_patch, "PmemDeviceUpdateConfig");

static const struct sq_json_field hotplug_fields[] = {
    UINT(hotplug, total_size_mib, 32, MUST),
    UINT(hotplug, block_size_mib, 32, DFLT(2)),
    UINT(hotplug, slot_size_mib, 32, DFLT(128)),
};
SCHEMA(hotplug, "MemoryHotplugConfig");

static const struct sq_json_field hotplug_patch_fields[] = {
    UINT(hotplug_patch, requested_size_mib, 32, MUST),
};
SCHEMA(hotplug_patch, "MemoryHotplugSizeUpdate");

static const char *const type_words[] = {"Diff", "Full", NULL};
static const struct sq_json_field snapshot_create_fields[] = {
    WORD(snapshot_create, snapshot_type, type_words, DFLT(1)),
    PATH(snapshot_create, snapshot_path, MUST),
    PATH(snapshot_create, mem_file_path, MUST),
};
SCHEMA(snapshot_create, "CreateSnapshotParams");

static const char *const backend_words[] = {"File", "Uffd", NULL};
static const struct sq_json_field mem_backend_fields[] = {
    PATH(mem_backend, backend_path, MUST),
    WORD(mem_backend, backend_type, backend_words, MUST),
};
static const struct sq_json_schema mem_backend_schema = {
    "MemBackendConfig", mem_backend_fields,
    SQ_ARRAY_LEN(mem_backend_fields), false};

struct sq_body_net_override {
    const char *iface_id, *host_dev_name;
};
static const struct sq_json_field net_override_fields[] = {
    TEXT(net_override, iface_id, MUST),
    TEXT(net_override, host_dev_name, MUST),
};
static const struct sq_json_schema net_override_schema = {
    "NetworkOverride", net_override_fields,
    SQ_ARRAY_LEN(net_override_fields), true};

static const struct sq_json_field vsock_override_fields[] = {
    TEXT(vsock_override, uds_path, MUST),
};
static const struct sq_json_schema vsock_override_schema = {
    "VsockOverride", vsock_override_fields,
    SQ_ARRAY_LEN(vsock_override_fields), true};

static const char *const load_huge_words[] = {"Snapshot", "None",
                                              "Transparent", "2M", NULL};
static const struct sq_json_field snapshot_load_fields[] = {
    PATH(snapshot_load, snapshot_path, MUST),
    PATH(snapshot_load, mem_file_path, MAY),
    PART(snapshot_load, mem_backend, mem_backend_schema, MAY),
    BOOL(snapshot_load, enable_diff_snapshots, NONE),
    BOOL(snapshot_load, track_dirty_pages, NONE),
    BOOL(snapshot_load, resume_vm, NONE),
    LIST(snapshot_load, network_overrides, .inner = &net_override_schema),
    PART(snapshot_load, vsock_override, vsock_override_schema, MAY),
    BOOL(snapshot_load, clock_realtime, NONE),
    WORD(snapshot_load, huge_pages, load_huge_words, NONE),
};
SCHEMA(snapshot_load, "LoadSnapshotConfig");

_Static_assert(sizeof(union sq_body) <= 512, "larger than json.c's scratch");
