/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "vmm/config_json.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

/* One field of an object. Values go into a struct at `off`. */
enum field_kind {
    F_STRING, /* char[size] */
    F_UINT,   /* uint32_t, min..max */
    F_BOOL,   /* bool */
    F_WORD,   /* uint32_t: index into words */
    F_LIMIT,  /* struct sq_ratelimit_config */
    F_LIST,   /* an array, read by its section */
};

struct field {
    const char *name;
    enum field_kind kind;
    bool required;
    bool nullable; /* null means absent */
    size_t off, size;
    uint64_t min, max;
    const char *const *words; /* NULL-ended */
};

struct schema {
    const char *prefix; /* of every message */
    const struct field *fields;
    size_t count;
};

static const char *type_name(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT: return "map";
    case JSON_ARRAY: return "sequence";
    case JSON_STRING: return "string";
    case JSON_INTEGER: return "integer";
    case JSON_REAL: return "floating point";
    case JSON_TRUE:
    case JSON_FALSE: return "boolean";
    default: return "null";
    }
}

static int bad_type(const struct schema *s, const char *name,
                    const json_t *v, const char *want,
                    struct squib_error *err)
{
    return sq_err_set(err, SQUIB_E_INVAL,
                      "%s`%.64s`: invalid type: %s, expected %s", s->prefix,
                      name, type_name(v), want);
}

static int take_word(const struct schema *s, const struct field *f,
                     const json_t *v, uint32_t *out, struct squib_error *err)
{
    char list[96] = "";
    size_t n = 0;

    if (!json_is_string(v))
        return bad_type(s, f->name, v, "a word", err);
    for (uint32_t i = 0; f->words[i]; i++) {
        if (strcmp(json_string_value(v), f->words[i]) == 0) {
            *out = i;
            return 0;
        }
        if (n < sizeof(list))
            n += (size_t)snprintf(list + n, sizeof(list) - n, "%s`%s`",
                                  i ? ", " : "", f->words[i]);
    }
    return sq_err_set(err, SQUIB_E_INVAL,
                      "%s`%s`: unknown variant `%.32s`, expected one of %s",
                      s->prefix, f->name, json_string_value(v), list);
}

/* A number of a token bucket; what else a bucket has is not looked at. */
static int take_tokens(const struct schema *s, const json_t *bucket,
                       const char *name, bool required, uint64_t *out,
                       struct squib_error *err)
{
    const json_t *v = json_object_get(bucket, name);

    if (!v && required)
        return sq_err_set(err, SQUIB_E_INVAL, "%smissing field `%s`",
                          s->prefix, name);
    if (!v || (json_is_null(v) && !required))
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return bad_type(s, name, v, "u64", err);
    *out = (uint64_t)json_integer_value(v);
    return 0;
}

static int take_limit(const struct schema *s, const char *name,
                      const json_t *v, struct sq_ratelimit_config *out,
                      struct squib_error *err)
{
    const char *key;
    json_t *bucket;

    if (!json_is_object(v))
        return bad_type(s, name, v, "an object", err);
    json_object_foreach((json_t *)v, key, bucket) {
        struct sq_bucket_config *b =
            strcmp(key, "bandwidth") == 0 ? &out->bandwidth
            : strcmp(key, "ops") == 0     ? &out->ops
                                          : NULL;
        int rc;

        if (!b)
            return sq_err_set(err, SQUIB_E_INVAL, "%sunknown field `%.64s`",
                              s->prefix, key);
        if (json_is_null(bucket))
            continue;
        if (!json_is_object(bucket))
            return bad_type(s, key, bucket, "an object", err);
        rc = take_tokens(s, bucket, "size", true, &b->size, err);
        if (!rc)
            rc = take_tokens(s, bucket, "refill_time", true, &b->refill_ms,
                             err);
        if (!rc)
            rc = take_tokens(s, bucket, "one_time_burst", false,
                             &b->one_time_burst, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int take_value(const struct schema *s, const struct field *f,
                      const json_t *v, void *base, struct squib_error *err)
{
    char *at = (char *)base + f->off;

    switch (f->kind) {
    case F_STRING: {
        int rc;

        if (!json_is_string(v))
            return bad_type(s, f->name, v, "a string", err);
        if (strlen(json_string_value(v)) != json_string_length(v))
            return sq_err_set(err, SQUIB_E_INVAL, "%s`%s` has a NUL byte",
                              s->prefix, f->name);
        rc = sq_spec_set(at, f->size, f->name, json_string_value(v), err);
        return rc ? sq_err_prefix(err, "%s", s->prefix) : 0;
    }
    case F_UINT: {
        json_int_t n = json_integer_value(v);

        if (!json_is_integer(v))
            return bad_type(s, f->name, v, "an integer", err);
        if (n < 0 || (uint64_t)n < f->min || (uint64_t)n > f->max)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "%s`%s` is %lld; %llu to %llu are possible",
                              s->prefix, f->name, (long long)n,
                              (unsigned long long)f->min,
                              (unsigned long long)f->max);
        sq_st32(at, (uint32_t)n);
        return 0;
    }
    case F_BOOL:
        if (!json_is_boolean(v))
            return bad_type(s, f->name, v, "a boolean", err);
        *(bool *)(void *)at = json_is_true(v);
        return 0;
    case F_WORD:
        return take_word(s, f, v, (uint32_t *)(void *)at, err);
    case F_LIMIT:
        return take_limit(s, f->name, v, (void *)at, err);
    case F_LIST:
        return json_is_array(v)
                   ? 0
                   : bad_type(s, f->name, v, "a sequence", err);
    }
    return sq_err_set(err, SQUIB_E_INTERNAL, "%s`%s`: unknown kind of field",
                      s->prefix, f->name);
}

static int take_object(const struct schema *s, const json_t *obj, void *base,
                       struct squib_error *err)
{
    const char *key;
    json_t *v;

    if (!json_is_object(obj))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%sinvalid type: %s, expected an object",
                          s->prefix, type_name(obj));
    json_object_foreach((json_t *)obj, key, v) {
        const struct field *f = NULL;
        int rc;

        for (size_t i = 0; i < s->count && !f; i++)
            if (strcmp(s->fields[i].name, key) == 0)
                f = &s->fields[i];
        if (!f)
            return sq_err_set(err, SQUIB_E_INVAL, "%sunknown field `%.64s`",
                              s->prefix, key);
        if (json_is_null(v) && f->nullable)
            continue;
        rc = take_value(s, f, v, base, err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < s->count; i++)
        if (s->fields[i].required &&
            !json_object_get(obj, s->fields[i].name))
            return sq_err_set(err, SQUIB_E_INVAL, "%smissing field `%s`",
                              s->prefix, s->fields[i].name);
    return 0;
}

/* --- the objects ------------------------------------------------------- */

struct boot_source {
    char kernel[SQ_SPEC_PATH_MAX], initrd[SQ_SPEC_PATH_MAX];
    char args[SQ_SPEC_CMDLINE_MAX];
};

struct machine_config {
    uint32_t vcpus, mem_mib, huge_pages, cpu_template;
    bool smt, dirty_log;
};

struct drive_config {
    struct sq_drive_spec drive;
    char socket[SQ_SPEC_PATH_MAX];
    uint32_t cache, engine;
};

static const char *const huge_words[] = {"None", "Transparent", "2M", NULL};
static const char *const template_words[] = {"None", "C3", "T2", "T2S",
                                             "T2CL", "T2A", NULL};
static const char *const cache_words[] = {"Unsafe", "Writeback", NULL};
static const char *const engine_words[] = {"Sync", "Async", NULL};

#define AT(type, member) offsetof(type, member), \
                         sizeof(((type *)0)->member)
#define UINT(type, member, lo, hi) .kind = F_UINT, \
    .off = offsetof(type, member), .min = (lo), .max = (hi)

static const struct field boot_fields[] = {
    {"kernel_image_path", F_STRING, true, false, AT(struct boot_source,
     kernel), 0, 0, NULL},
    {"initrd_path", F_STRING, false, true, AT(struct boot_source, initrd),
     0, 0, NULL},
    {"boot_args", F_STRING, false, true, AT(struct boot_source, args), 0, 0,
     NULL},
};

static const struct field machine_fields[] = {
    {.name = "vcpu_count", .required = true,
     UINT(struct machine_config, vcpus, 1, 32)},
    {.name = "mem_size_mib", .required = true,
     UINT(struct machine_config, mem_mib, SQ_SPEC_MEM_MIB_MIN,
          SQ_SPEC_MEM_MIB_MAX)},
    {"smt", F_BOOL, false, true, AT(struct machine_config, smt), 0, 0, NULL},
    {"track_dirty_pages", F_BOOL, false, true,
     AT(struct machine_config, dirty_log), 0, 0, NULL},
    {"huge_pages", F_WORD, false, true,
     AT(struct machine_config, huge_pages), 0, 0, huge_words},
    {"cpu_template", F_WORD, false, true,
     AT(struct machine_config, cpu_template), 0, 0, template_words},
};

static const struct field drive_fields[] = {
    {"drive_id", F_STRING, true, false, AT(struct drive_config, drive.id),
     0, 0, NULL},
    {"is_root_device", F_BOOL, true, false,
     AT(struct drive_config, drive.is_root), 0, 0, NULL},
    {"path_on_host", F_STRING, false, true,
     AT(struct drive_config, drive.path), 0, 0, NULL},
    {"socket", F_STRING, false, true, AT(struct drive_config, socket), 0, 0,
     NULL},
    {"is_read_only", F_BOOL, false, true,
     AT(struct drive_config, drive.read_only), 0, 0, NULL},
    {"partuuid", F_STRING, false, true,
     AT(struct drive_config, drive.partuuid), 0, 0, NULL},
    {"cache_type", F_WORD, false, true, AT(struct drive_config, cache), 0,
     0, cache_words},
    {"io_engine", F_WORD, false, true, AT(struct drive_config, engine), 0,
     0, engine_words},
    {"rate_limiter", F_LIMIT, false, true,
     AT(struct drive_config, drive.limit), 0, 0, NULL},
};

struct vsock_config {
    uint32_t cid;
    char path[SQ_SPEC_UDS_MAX], old_id[64];
};

static const struct field vsock_fields[] = {
    {.name = "guest_cid", .required = true,
     UINT(struct vsock_config, cid, 3, UINT32_MAX - 1)},
    {"uds_path", F_STRING, true, false, AT(struct vsock_config, path), 0, 0,
     NULL},
    {"vsock_id", F_STRING, false, true, AT(struct vsock_config, old_id), 0,
     0, NULL},
};

static const struct field entropy_fields[] = {
    {"rate_limiter", F_LIMIT, false, true, AT(struct sq_vm_spec, rng_limit),
     0, 0, NULL},
};

static const struct field pmem_fields[] = {
    {"id", F_STRING, true, false, AT(struct sq_pmem_spec, id), 0, 0, NULL},
    {"path_on_host", F_STRING, true, false, AT(struct sq_pmem_spec, path), 0,
     0, NULL},
    {"root_device", F_BOOL, false, false, AT(struct sq_pmem_spec, is_root),
     0, 0, NULL},
    {"read_only", F_BOOL, false, false, AT(struct sq_pmem_spec, read_only),
     0, 0, NULL},
    {"rate_limiter", F_LIMIT, false, true, AT(struct sq_pmem_spec, limit), 0,
     0, NULL},
};

struct balloon_json {
    uint32_t amount_mib, interval_s;
    bool oom, hinting, reporting;
};

static const struct field balloon_fields[] = {
    {.name = "amount_mib", .required = true,
     UINT(struct balloon_json, amount_mib, 0, UINT32_MAX)},
    {"deflate_on_oom", F_BOOL, true, false, AT(struct balloon_json, oom), 0,
     0, NULL},
    {.name = "stats_polling_interval_s",
     UINT(struct balloon_json, interval_s, 0, UINT16_MAX)},
    {"free_page_hinting", F_BOOL, false, false,
     AT(struct balloon_json, hinting), 0, 0, NULL},
    {"free_page_reporting", F_BOOL, false, false,
     AT(struct balloon_json, reporting), 0, 0, NULL},
};

struct net_json {
    struct sq_net_spec net;
    char mac[32];
    uint32_t mtu;
};

static const struct field net_fields[] = {
    {"iface_id", F_STRING, true, false, AT(struct net_json, net.id), 0, 0,
     NULL},
    {"host_dev_name", F_STRING, true, false, AT(struct net_json, net.tap),
     0, 0, NULL},
    {"guest_mac", F_STRING, false, true, AT(struct net_json, mac), 0, 0,
     NULL},
    {.name = "mtu", .nullable = true, UINT(struct net_json, mtu, 68, 65535)},
    {"rx_rate_limiter", F_LIMIT, false, true,
     AT(struct net_json, net.rx_limit), 0, 0, NULL},
    {"tx_rate_limiter", F_LIMIT, false, true,
     AT(struct net_json, net.tx_limit), 0, 0, NULL},
};

struct mmds_json {
    uint32_t version;
    char ipv4[32];
    bool imds_compat;
};

static const char *const version_words[] = {"V1", "V2", NULL};

static const struct field mmds_fields[] = {
    {.name = "network_interfaces", .kind = F_LIST, .required = true},
    {"version", F_WORD, false, false, AT(struct mmds_json, version), 0, 0,
     version_words},
    {"ipv4_address", F_STRING, false, true, AT(struct mmds_json, ipv4), 0, 0,
     NULL},
    {"imds_compat", F_BOOL, false, false, AT(struct mmds_json, imds_compat),
     0, 0, NULL},
};

#define SCHEMA(prefix, fields) {prefix, fields, SQ_ARRAY_LEN(fields)}
static const struct schema boot_schema =
    SCHEMA("Boot source error: ", boot_fields);
static const struct schema machine_schema =
    SCHEMA("Machine config error: ", machine_fields);
static const struct schema drive_schema =
    SCHEMA("Drive config error: ", drive_fields);
static const struct schema vsock_schema =
    SCHEMA("Vsock config error: ", vsock_fields);
static const struct schema net_schema =
    SCHEMA("Network config error: ", net_fields);
static const struct schema mmds_schema =
    SCHEMA("MMMDS config error: ", mmds_fields);
static const struct schema entropy_schema =
    SCHEMA("Entropy config error: ", entropy_fields);
static const struct schema pmem_schema =
    SCHEMA("Pmem config error: ", pmem_fields);
static const struct schema balloon_schema =
    SCHEMA("Balloon config error: ", balloon_fields);

static int take_boot(const json_t *v, struct sq_vm_spec *spec, char *notes,
                     size_t notes_len, struct squib_error *err)
{
    struct boot_source *b = calloc(1, sizeof(*b));
    const json_t *args = json_object_get(v, "boot_args");
    int rc;

    (void)notes;
    (void)notes_len;
    if (!b)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    rc = take_object(&boot_schema, v, b, err);
    if (!rc) {
        memcpy(spec->kernel, b->kernel, sizeof(spec->kernel));
        memcpy(spec->initrd, b->initrd, sizeof(spec->initrd));
        if (json_is_string(args))
            memcpy(spec->cmdline, b->args, sizeof(spec->cmdline));
        else
            memcpy(spec->cmdline, SQ_CONFIG_CMDLINE_DEFAULT,
                   sizeof(SQ_CONFIG_CMDLINE_DEFAULT));
    }
    free(b);
    return rc;
}

static int take_machine(const json_t *v, struct sq_vm_spec *spec,
                        char *notes, size_t notes_len,
                        struct squib_error *err)
{
    struct machine_config m = {0};
    int rc = take_object(&machine_schema, v, &m, err);

    (void)notes;
    (void)notes_len;
    if (rc)
        return rc;
    if (m.smt && m.vcpus > 1 && m.vcpus % 2)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%svcpu_count must be 1 or an even number when "
                          "smt is on", machine_schema.prefix);
    if (m.huge_pages)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "%shuge_pages %s is not supported yet\n  do: use "
                          "None", machine_schema.prefix,
                          huge_words[m.huge_pages]);
    if (m.cpu_template)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "%scpu_template %s is not supported yet\n  do: "
                          "use None", machine_schema.prefix,
                          template_words[m.cpu_template]);
    spec->vcpus = m.vcpus;
    spec->mem_mib = m.mem_mib;
    spec->dirty_log = m.dirty_log;
    return 0;
}

static int take_drive(const json_t *v, struct sq_vm_spec *spec, char *notes,
                      size_t notes_len, struct squib_error *err)
{
    struct drive_config *d = calloc(1, sizeof(*d));
    struct sq_drive_spec *slot;
    int rc;

    if (!d)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    rc = take_object(&drive_schema, v, d, err);
    if (!rc && d->socket[0])
        rc = sq_err_set(err, SQUIB_E_NOSUPPORT,
                        "%s`socket` (vhost-user) is not supported yet\n"
                        "  do: use path_on_host", drive_schema.prefix);
    if (!rc && !d->drive.path[0])
        rc = sq_err_set(err, SQUIB_E_INVAL, "%smissing field `path_on_host`",
                        drive_schema.prefix);
    (void)notes;
    (void)notes_len;
    if (!rc) {
        slot = sq_spec_drive_add(spec, err);
        if (slot) {
            *slot = d->drive;
            slot->flush = d->cache == 1;
            slot->async = d->engine == 1;
        } else {
            rc = SQUIB_E_INVAL;
        }
    }
    free(d);
    return rc;
}

static int take_drives(const json_t *v, struct sq_vm_spec *spec, char *notes,
                       size_t notes_len, struct squib_error *err)
{
    if (!json_is_array(v))
        return sq_err_set(err, SQUIB_E_INVAL, "%sinvalid type: %s, expected "
                          "a sequence", drive_schema.prefix, type_name(v));
    for (size_t i = 0; i < json_array_size(v); i++) {
        int rc = take_drive(json_array_get(v, i), spec, notes, notes_len,
                            err);

        if (rc)
            return rc;
    }
    /* The root device is /dev/vda wherever it stood in the file. */
    for (uint32_t i = 1; i < spec->drive_count; i++) {
        if (spec->drives[i].is_root && !spec->drives[0].is_root) {
            struct sq_drive_spec *root = malloc(sizeof(*root));

            if (!root)
                return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
            *root = spec->drives[i];
            memmove(&spec->drives[1], &spec->drives[0], i * sizeof(*root));
            spec->drives[0] = *root;
            free(root);
        }
    }
    return 0;
}

static int take_entropy(const json_t *v, struct sq_vm_spec *spec,
                        char *notes, size_t notes_len,
                        struct squib_error *err)
{
    (void)notes;
    (void)notes_len;
    spec->rng = true;
    return take_object(&entropy_schema, v, spec, err);
}

static int take_pmems(const json_t *v, struct sq_vm_spec *spec, char *notes,
                      size_t notes_len, struct squib_error *err)
{
    (void)notes;
    (void)notes_len;
    if (!json_is_array(v))
        return sq_err_set(err, SQUIB_E_INVAL, "%sinvalid type: %s, expected "
                          "a sequence", pmem_schema.prefix, type_name(v));
    for (size_t i = 0; i < json_array_size(v); i++) {
        struct sq_pmem_spec *slot = sq_spec_pmem_add(spec, err);
        int rc;

        if (!slot)
            return SQUIB_E_INVAL;
        rc = take_object(&pmem_schema, json_array_get(v, i), slot, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int take_balloon(const json_t *v, struct sq_vm_spec *spec,
                        char *notes, size_t notes_len,
                        struct squib_error *err)
{
    struct balloon_json b = {0};
    int rc = take_object(&balloon_schema, v, &b, err);

    (void)notes;
    (void)notes_len;
    if (rc)
        return rc;
    spec->balloon = true;
    spec->balloon_config = (struct sq_virtio_balloon_config){
        .amount_mib = b.amount_mib,
        .deflate_on_oom = b.oom,
        .stats_interval_s = (uint16_t)b.interval_s,
        .reporting = b.reporting,
        .hinting = b.hinting,
    };
    return 0;
}

static int take_net(const json_t *v, struct sq_vm_spec *spec,
                    struct squib_error *err)
{
    struct net_json *n = calloc(1, sizeof(*n));
    struct sq_net_spec *slot;
    int rc;

    if (!n)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    rc = take_object(&net_schema, v, n, err);
    if (!rc && json_is_string(json_object_get(v, "guest_mac"))) {
        n->net.has_mac = sq_spec_parse_mac(n->mac, n->net.mac);
        if (!n->net.has_mac)
            rc = sq_err_set(err, SQUIB_E_INVAL, "%s`guest_mac`: '%s' is not "
                            "a MAC address", net_schema.prefix, n->mac);
    }
    if (!rc) {
        n->net.kind = SQ_NET_TAP;
        n->net.mtu = (uint16_t)n->mtu;
        slot = sq_spec_net_add(spec, err);
        if (slot)
            *slot = n->net;
        else
            rc = SQUIB_E_INVAL;
    }
    free(n);
    return rc;
}

static int take_nets(const json_t *v, struct sq_vm_spec *spec, char *notes,
                     size_t notes_len, struct squib_error *err)
{
    (void)notes;
    (void)notes_len;
    if (!json_is_array(v))
        return sq_err_set(err, SQUIB_E_INVAL, "%sinvalid type: %s, expected "
                          "a sequence", net_schema.prefix, type_name(v));
    for (size_t i = 0; i < json_array_size(v); i++) {
        int rc = take_net(json_array_get(v, i), spec, err);

        if (rc)
            return rc;
    }
    return 0;
}

static struct sq_net_spec *find_net(struct sq_vm_spec *spec, const json_t *id)
{
    for (uint32_t i = 0; json_is_string(id) && i < spec->net_count; i++)
        if (strcmp(spec->nets[i].id, json_string_value(id)) == 0)
            return &spec->nets[i];
    return NULL;
}

/* It names interfaces, so it is read after them wherever it stands. */
static int finish_mmds(const json_t *v, struct sq_vm_spec *spec,
                       struct squib_error *err)
{
    struct mmds_json m = {.ipv4 = "169.254.169.254"};
    const json_t *list;
    int rc;

    if (!v || json_is_null(v))
        return 0;
    rc = take_object(&mmds_schema, v, &m, err);
    if (rc)
        return rc;
    list = json_object_get(v, "network_interfaces");
    if (!sq_mmds_parse_ipv4(m.ipv4, spec->mmds_config.ipv4))
        return sq_err_set(err, SQUIB_E_INVAL, "%sThe MMDS IPv4 address is "
                          "not link local.", mmds_schema.prefix);
    if (!json_array_size(list))
        return sq_err_set(err, SQUIB_E_INVAL, "%sThe list of network "
                          "interface IDs that allow forwarding MMDS requests "
                          "is empty.", mmds_schema.prefix);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct sq_net_spec *n = find_net(spec, json_array_get(list, i));

        if (!n)
            return sq_err_set(err, SQUIB_E_INVAL, "%sThe list of network "
                              "interface IDs provided contains at least one "
                              "ID that does not correspond to any existing "
                              "network interface.", mmds_schema.prefix);
        n->mmds = true;
    }
    spec->mmds = true;
    spec->mmds_config.version = m.version ? SQ_MMDS_V2 : SQ_MMDS_V1;
    spec->mmds_config.imds_compat = m.imds_compat;
    return 0;
}

static int take_later(const json_t *v, struct sq_vm_spec *spec, char *notes,
                      size_t notes_len, struct squib_error *err)
{
    (void)v;
    (void)spec;
    (void)notes;
    (void)notes_len;
    (void)err;
    return 0;
}

static int take_vsock(const json_t *v, struct sq_vm_spec *spec, char *notes,
                      size_t notes_len, struct squib_error *err)
{
    struct vsock_config c = {0};
    int rc = take_object(&vsock_schema, v, &c, err);

    (void)notes;
    (void)notes_len;
    if (rc)
        return rc;
    spec->vsock = true;
    spec->guest_cid = c.cid;
    memcpy(spec->vsock_path, c.path, sizeof(spec->vsock_path));
    return 0;
}

/* --- the top level ----------------------------------------------------- */

typedef int take_fn(const json_t *v, struct sq_vm_spec *spec, char *notes,
                    size_t notes_len, struct squib_error *err);

static const struct {
    const char *name;
    bool required;
    take_fn *take; /* NULL: known, not supported yet */
} sections[] = {
    {"boot-source", true, take_boot},
    {"drives", true, take_drives},
    {"machine-config", false, take_machine},
    {"entropy", false, take_entropy},
    {"balloon", false, take_balloon},
    {"cpu-config", false, NULL},
    {"logger", false, NULL},
    {"memory-hotplug", false, NULL},
    {"metrics", false, NULL},
    {"mmds-config", false, take_later},
    {"network-interfaces", false, take_nets},
    {"pmem", false, take_pmems},
    {"serial", false, NULL},
    {"vsock", false, take_vsock},
};

static bool is_empty(const json_t *v)
{
    return json_is_null(v) || (json_is_array(v) && !json_array_size(v));
}

static int take_section(const char *key, const json_t *v,
                        struct sq_vm_spec *spec, char *notes,
                        size_t notes_len, struct squib_error *err)
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(sections); i++) {
        if (strcmp(sections[i].name, key) != 0)
            continue;
        if (json_is_null(v) && !sections[i].required)
            return 0;
        if (sections[i].take)
            return sections[i].take(v, spec, notes, notes_len, err);
        if (is_empty(v))
            return 0;
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "`%s` is not supported yet\n  do: remove it",
                          key);
    }
    snprintf(notes, notes_len, "unknown key `%.64s` was skipped", key);
    return 0;
}

int sq_config_parse(const char *text, size_t text_len,
                    struct sq_vm_spec *spec, char *notes, size_t notes_len,
                    struct squib_error *err)
{
    json_error_t where;
    json_t *root = json_loadb(text, text_len, JSON_REJECT_DUPLICATES,
                              &where);
    char unused[8];
    const char *key;
    json_t *v;
    int rc = 0;

    if (!notes) {
        notes = unused;
        notes_len = sizeof(unused);
    }
    notes[0] = '\0';
    if (!root)
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "not valid JSON: %.120s at line %d column %d",
                          where.text, where.line, where.column);
    if (!json_is_object(root))
        rc = sq_err_set(err, SQUIB_E_FORMAT,
                        "invalid type: %s, expected an object",
                        type_name(root));
    else
        json_object_foreach(root, key, v) {
            rc = take_section(key, v, spec, notes, notes_len, err);
            if (rc)
                break;
        }
    if (!rc)
        rc = finish_mmds(json_object_get(root, "mmds-config"), spec, err);
    for (size_t i = 0; i < SQ_ARRAY_LEN(sections) && !rc; i++)
        if (sections[i].required && !json_object_get(root, sections[i].name))
            rc = sq_err_set(err, SQUIB_E_INVAL, "missing field `%s`",
                            sections[i].name);
    json_decref(root);
    return rc;
}

/* --- files ------------------------------------------------------------- */

static int slurp(const char *path, char **out, size_t *out_len,
                 struct squib_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t len = 0;
    char *text;
    ssize_t n;

    if (fd < 0)
        return sq_err_os(err, errno == ENOENT ? SQUIB_E_NOTFOUND
                                              : SQUIB_E_OS, errno,
                         "cannot open %s", path);
    text = malloc(SQ_CONFIG_FILE_MAX + 1);
    if (!text) {
        close(fd);
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    }
    while (len <= SQ_CONFIG_FILE_MAX &&
           (n = read(fd, text + len, SQ_CONFIG_FILE_MAX + 1 - len)) != 0) {
        if (n < 0) {
            int e = errno;

            close(fd);
            free(text);
            return sq_err_os(err, SQUIB_E_OS, e, "cannot read %s", path);
        }
        len += (size_t)n;
    }
    close(fd);
    if (len > SQ_CONFIG_FILE_MAX) {
        free(text);
        return sq_err_set(err, SQUIB_E_FORMAT, "%s is larger than %u bytes",
                          path, SQ_CONFIG_FILE_MAX);
    }
    *out = text;
    *out_len = len;
    return 0;
}

static int check_path(const char *what, const char *path, bool writable,
                      struct squib_error *err)
{
    struct stat st;

    if (!path[0])
        return 0;
    if (access(path, writable ? R_OK | W_OK : R_OK) != 0)
        return sq_err_os(err, errno == ENOENT ? SQUIB_E_NOTFOUND
                                              : SQUIB_E_OS, errno,
                         "%scannot open %s", what, path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return sq_err_set(err, SQUIB_E_INVAL, "%s%s is a directory", what,
                          path);
    return 0;
}

int sq_config_load(const char *path, struct sq_vm_spec *spec, char *notes,
                   size_t notes_len, struct squib_error *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = slurp(path, &text, &len, err);

    if (rc)
        return rc;
    rc = sq_config_parse(text, len, spec, notes, notes_len, err);
    free(text);
    if (rc)
        return sq_err_prefix(err, "%s: ", path);
    rc = check_path(boot_schema.prefix, spec->kernel, false, err);
    if (!rc)
        rc = check_path(boot_schema.prefix, spec->initrd, false, err);
    for (uint32_t i = 0; i < spec->drive_count && !rc; i++)
        rc = check_path(drive_schema.prefix, spec->drives[i].path,
                        !spec->drives[i].read_only, err);
    for (uint32_t i = 0; i < spec->pmem_count && !rc; i++)
        rc = check_path(pmem_schema.prefix, spec->pmems[i].path,
                        !spec->pmems[i].read_only, err);
    return rc;
}

int sq_config_finish_cmdline(struct sq_vm_spec *spec,
                             struct squib_error *err)
{
    const struct sq_drive_spec *d = &spec->drives[0];
    char words[128];
    int rc = spec->pci ? 0 : sq_spec_append(spec, "pci=off", err);

    for (uint32_t i = 0; i < spec->pmem_count && !rc; i++) {
        if (!spec->pmems[i].is_root)
            continue;
        snprintf(words, sizeof(words), "root=/dev/pmem%u %s", i,
                 spec->pmems[i].read_only ? "ro" : "rw");
        return sq_spec_append(spec, words, err);
    }
    if (rc || !spec->drive_count || !d->is_root)
        return rc;
    if (d->partuuid[0])
        snprintf(words, sizeof(words), "root=PARTUUID=%s %s", d->partuuid,
                 d->read_only ? "ro" : "rw");
    else
        snprintf(words, sizeof(words), "root=/dev/vda %s",
                 d->read_only ? "ro" : "rw");
    return sq_spec_append(spec, words, err);
}
