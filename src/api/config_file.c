/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "api/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/call.h"
#include "base/util.h"

/* --- the file's own table ---------------------------------------------- */

struct file_body {
    const json_t *balloon, *drives, *boot_source, *cpu_config, *logger,
        *machine_config, *metrics, *mmds_config, *network_interfaces, *vsock,
        *entropy, *pmem, *memory_hotplug;
};

#define AT(f) .off = offsetof(struct file_body, f)
#define OBJECT(key, f, T, ...)                                             \
    {.name = (key), .kind = SQ_JSON_OBJECT, .by_tree = true,               \
     .inner = &sq_##T##_schema, AT(f), __VA_ARGS__}
#define LIST(key, f, T, ...)                                               \
    {.name = (key), .kind = SQ_JSON_LIST, .inner = &sq_##T##_schema,       \
     AT(f), __VA_ARGS__}
#define MUST .required = true
#define MAY .nullable = true

static const struct sq_json_field file_fields[] = {
    OBJECT("balloon", balloon, balloon, MAY),
    LIST("drives", drives, drive, MUST),
    OBJECT("boot-source", boot_source, boot_source, MUST),
    /* An object, or the path of a file that holds one. */
    {.name = "cpu-config", .kind = SQ_JSON_ANY, AT(cpu_config), MAY},
    OBJECT("logger", logger, logger, MAY),
    OBJECT("machine-config", machine_config, machine, MAY),
    OBJECT("metrics", metrics, metrics, MAY),
    OBJECT("mmds-config", mmds_config, mmds_config, MAY),
    LIST("network-interfaces", network_interfaces, net, .required = false),
    OBJECT("vsock", vsock, vsock, MAY),
    OBJECT("entropy", entropy, entropy, MAY),
    LIST("pmem", pmem, pmem, .required = false),
    OBJECT("memory-hotplug", memory_hotplug, hotplug, MAY),
};
static const struct sq_json_schema file_schema = {
    "VmmConfig", file_fields, SQ_ARRAY_LEN(file_fields), true};

/* In the order in which they are carried out: the requests they stand for,
 * and what messages start with in place of the API's words. */
static const struct section {
    size_t off;
    const char *first, *second, *prefix;
} sections[] = {
    {offsetof(struct file_body, logger), "logger", NULL, "Logger error: "},
    {offsetof(struct file_body, metrics), "metrics", NULL,
     "Metrics error: "},
    {offsetof(struct file_body, machine_config), "machine-config", NULL,
     "VM config error: "},
    {offsetof(struct file_body, cpu_config), "cpu-config", NULL, ""},
    {offsetof(struct file_body, boot_source), "boot-source", NULL,
     "Boot source error: "},
    {offsetof(struct file_body, drives), "drives", NULL,
     "Block device error: "},
    {offsetof(struct file_body, network_interfaces), "network-interfaces",
     NULL, "Network device error: "},
    {offsetof(struct file_body, vsock), "vsock", NULL,
     "Vsock device error: "},
    {offsetof(struct file_body, balloon), "balloon", NULL,
     "Balloon device error: "},
    {offsetof(struct file_body, mmds_config), "mmds", "config",
     "MMDS config error: "},
    {offsetof(struct file_body, entropy), "entropy", NULL,
     "Entropy device error: "},
    {offsetof(struct file_body, pmem), "pmem", NULL, "Pmem device error: "},
    {offsetof(struct file_body, memory_hotplug), "hotplug", "memory",
     "Memory hotplug config error: "},
};
_Static_assert(SQ_ARRAY_LEN(sections) == SQ_ARRAY_LEN(file_fields),
               "each key of the file is a request");

/* --- carrying it out --------------------------------------------------- */

static const struct sq_endpoint *find_put(const struct section *s)
{
    for (size_t i = 0; i < sq_endpoint_count; i++) {
        const struct sq_endpoint *e = &sq_endpoints[i];
        const char *second = e->second ? e->second : "";

        if (e->method == SQ_HTTP_PUT && strcmp(e->first, s->first) == 0 &&
            strcmp(second, s->second ? s->second : "") == 0)
            return e;
    }
    return NULL;
}

/* The API's message under the file's words. */
static void rename_fault(const struct section *s, const char *from,
                         struct sq_fault *out)
{
    const char *rest = strstr(from, "error: ");

    if (s->prefix[0] && rest)
        sq_fault(out, "%s%s", s->prefix, rest + strlen("error: "));
    else
        sq_fault(out, "%s", from);
}

static bool put(struct sq_api *api, const struct section *s,
                const json_t *body, struct sq_fault *fault)
{
    static const struct sq_http_request request = {
        .method = SQ_HTTP_PUT,
        .path = "",
    };
    const struct sq_endpoint *e = find_put(s);
    struct sq_call *call = calloc(1, sizeof(*call));
    bool ok;

    if (!call || !e) {
        free(call);
        return sq_fault(fault, "out of memory");
    }
    call->api = api;
    call->request = &request;
    call->endpoint = e;
    ok = sq_json_take(e->schema, body, &call->body);
    if (!ok)
        sq_fault(fault, "/%s: not what it should be", s->first);
    else if (!(ok = e->run(call)))
        rename_fault(s, call->fault.text, fault);
    free(call->reply);
    free(call);
    return ok;
}

/* A CPU template, from the file that the text names. */
static bool put_cpu_file(struct sq_api *api, const struct section *s,
                         const char *path, struct sq_fault *fault)
{
    const struct sq_endpoint *e = find_put(s);
    char why[SQ_JSON_ERROR_MAX], *text;
    union sq_body body = {0};
    json_t *tree;
    size_t len;
    int code = sq_config_file_slurp(path, &text, &len);
    bool ok;

    if (code)
        return sq_fault(fault, "File operation error: %s",
                        sq_os_text(code).text);
    tree = sq_json_read(e->schema, text, len, &body, why);
    free(text);
    if (!tree)
        return sq_fault(fault, "Invalid JSON: %s", why);
    ok = put(api, s, tree, fault);
    json_decref(tree);
    return ok;
}

static bool put_section(struct sq_api *api, const struct section *s,
                        const json_t *v, struct sq_fault *fault)
{
    const json_t *e;
    size_t i;

    if (json_is_string(v))
        return put_cpu_file(api, s, json_string_value(v), fault);
    if (!json_is_array(v))
        return put(api, s, v, fault);
    json_array_foreach((json_t *)v, i, e)
        if (!put(api, s, e, fault))
            return false;
    return true;
}

/* The one value that the file's table does not check to the end. */
static bool cpu_fits(const json_t *v)
{
    union sq_body body = {0};

    return !v || json_is_string(v) ||
           sq_json_take(&sq_cpu_config_schema, v, &body);
}

static void warn_of_unknown(struct sq_api *api, const json_t *tree)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)tree, key, v) {
        bool known = false;

        for (size_t i = 0; i < SQ_ARRAY_LEN(file_fields); i++)
            known |= strcmp(file_fields[i].name, key) == 0;
        if (!known)
            sq_log_warn(&api->log, "The configuration file's key `%.64s` is "
                        "not known and has no effect.", key);
    }
}

bool sq_config_file_apply(struct sq_api *api, const char *text,
                          size_t text_len, struct sq_fault *fault)
{
    static const char invalid[] = "Invalid JSON: ";
    struct file_body body = {0};
    char why[SQ_JSON_ERROR_MAX];
    json_t *tree = sq_json_read(&file_schema, text, text_len, &body, why);
    bool ok = true;

    if (!tree)
        return sq_fault(fault, "%s%s", invalid, why);
    if (!cpu_fits(body.cpu_config))
        ok = sq_fault(fault, "%sdata did not match any variant of untagged "
                      "enum CustomCpuTemplateOrPath", invalid);
    for (size_t i = 0; i < SQ_ARRAY_LEN(sections) && ok; i++) {
        const json_t *v = *(const json_t **)((char *)&body +
                                             sections[i].off);

        ok = !v || put_section(api, &sections[i], v, fault);
    }
    if (ok)
        warn_of_unknown(api, tree);
    json_decref(tree);
    return ok;
}

/* --- files ------------------------------------------------------------- */

int sq_config_file_slurp(const char *path, char **out, size_t *out_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), e = 0;
    char *text = fd < 0 ? NULL : malloc(SQ_CONFIG_FILE_MAX + 1);
    size_t len = 0;
    ssize_t n = 1;

    if (fd < 0)
        return errno;
    while (text && len <= SQ_CONFIG_FILE_MAX && n != 0 && !e) {
        n = read(fd, text + len, SQ_CONFIG_FILE_MAX + 1 - len);
        if (n > 0)
            len += (size_t)n;
        else if (n < 0 && errno != EINTR)
            e = errno;
    }
    close(fd);
    if (!text)
        return ENOMEM;
    if (!e && len > SQ_CONFIG_FILE_MAX)
        e = EFBIG;
    if (e) {
        free(text);
        return e;
    }
    text[len] = '\0';
    *out = text;
    *out_len = len;
    return 0;
}
