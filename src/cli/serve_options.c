/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/serve_options.h"

#include <string.h>

#include "base/err.h"
#include "base/util.h"

#define ROW(flag, name, what, text)                                        \
    [SQ_SERVE_##flag] = {0, name, what, text, SQ_SERVE_##flag}

const struct sq_option sq_serve_flags[] = {
    ROW(API_SOCK, "api-sock", "PATH",
        "the API's socket [default: /run/firecracker.socket]"),
    ROW(BACKEND, "backend", "NAME",
        "like kvm or soft; squib's own flag (also: $SQUIB_BACKEND)"),
    ROW(BOOT_TIMER, "boot-timer", NULL,
        "a device that logs when the guest says it has booted"),
    ROW(CONFIG_FILE, "config-file", "PATH",
        "JSON file that describes the machine; it starts at once"),
    ROW(DESCRIBE_SNAPSHOT, "describe-snapshot", "PATH",
        "print the version of a snapshot's format"),
    ROW(ENABLE_PCI, "enable-pci", NULL,
        "devices are on a PCI bus; some can then come and go"),
    ROW(HTTP_API_MAX_PAYLOAD_SIZE, "http-api-max-payload-size", "N",
        "largest body of a request, in bytes [default: 51200]"),
    ROW(ID, "id", "ID",
        "1 to 64 letters, digits and - [default: anonymous-instance]"),
    ROW(LEVEL, "level", "LEVEL",
        "of the log: Off, Error, Warn, Info, Debug or Trace "
        "[default: Info]"),
    ROW(LOG_PATH, "log-path", "PATH",
        "file or FIFO for the log [default: standard output]"),
    ROW(METADATA, "metadata", "PATH", "JSON file for the metadata service"),
    ROW(METRICS_PATH, "metrics-path", "PATH",
        "file or FIFO for the metrics, a JSON line a minute"),
    ROW(MMDS_SIZE_LIMIT, "mmds-size-limit", "N",
        "largest metadata, in bytes [default: as for requests]"),
    ROW(MODULE, "module", "NAME", "only the log's lines of this part"),
    ROW(NO_API, "no-api", NULL, "run without the API's socket"),
    ROW(NO_SECCOMP, "no-seccomp", NULL, "no filters of system calls"),
    ROW(PARENT_CPU_TIME_US, "parent-cpu-time-us", "N",
        "CPU time of the parent process, for a metric"),
    ROW(SECCOMP_FILTER, "seccomp-filter", "PATH",
        "a filter of system calls; refused"),
    ROW(SHOW_LEVEL, "show-level", NULL, "the log's lines tell their level"),
    ROW(SHOW_LOG_ORIGIN, "show-log-origin", NULL,
        "the log's lines tell their file and line"),
    ROW(SNAPSHOT_VERSION, "snapshot-version", NULL,
        "print the version of the snapshots' format"),
    ROW(START_TIME_CPU_US, "start-time-cpu-us", "N",
        "CPU time at the start, for a metric"),
    ROW(START_TIME_US, "start-time-us", "N", "the start, for a metric"),
    ROW(VERSION, "version", NULL, "print the version"),
    ROW(HELP, "help", NULL, "show this"),
};
_Static_assert(SQ_ARRAY_LEN(sq_serve_flags) == SQ_SERVE_COUNT,
               "each flag has a row");

static const char *const defaults[SQ_SERVE_COUNT] = {
    [SQ_SERVE_API_SOCK] = "/run/firecracker.socket",
    [SQ_SERVE_HTTP_API_MAX_PAYLOAD_SIZE] = "51200",
    [SQ_SERVE_ID] = "anonymous-instance",
};

static const struct sq_option *find(const char *name)
{
    for (size_t i = 0; i < SQ_SERVE_COUNT; i++)
        if (strcmp(sq_serve_flags[i].name, name) == 0)
            return &sq_serve_flags[i];
    return NULL;
}

static bool is_flag(const char *word)
{
    return strncmp(word, "--", 2) == 0;
}

static int unexpected(const char *name, struct squib_error *err)
{
    return sq_err_set(err, SQUIB_E_INVAL, "Found argument '%.80s' which "
                      "wasn't expected, or isn't valid in this context.",
                      name);
}

static int take(const char *const *word, const char *const *end,
                struct sq_serve_options *out, struct squib_error *err)
{
    const struct sq_option *o = is_flag(*word) ? find(*word + 2) : NULL;

    if (!o)
        return unexpected(is_flag(*word) ? *word + 2 : *word, err);
    if (out->value[o->id])
        return sq_err_set(err, SQUIB_E_INVAL, "The argument '%s' was "
                          "provided more than once.", o->name);
    if (o->arg && (word + 1 == end || is_flag(word[1])))
        return sq_err_set(err, SQUIB_E_INVAL, "The argument '%s' requires a "
                          "value, but none was supplied.", o->name);
    out->value[o->id] = o->arg ? word[1] : "";
    return 0;
}

static int check(const struct sq_serve_options *o, struct squib_error *err)
{
    if (o->value[SQ_SERVE_NO_API] && !o->value[SQ_SERVE_CONFIG_FILE])
        return sq_err_set(err, SQUIB_E_INVAL, "Argument 'config-file' "
                          "required, but not found.");
    if (o->value[SQ_SERVE_NO_SECCOMP] && o->value[SQ_SERVE_SECCOMP_FILTER])
        return sq_err_set(err, SQUIB_E_INVAL, "Argument 'seccomp-filter' "
                          "cannot be used together with argument "
                          "'no-seccomp'.");
    return 0;
}

int sq_serve_options_parse(int argc, char *const argv[],
                           struct sq_serve_options *out,
                           struct squib_error *err)
{
    const char *const *word = (const char *const *)argv + 1;
    const char *const *end = word;
    bool help = false, version = false;
    int rc;

    memset(out, 0, sizeof(*out));
    for (; end < (const char *const *)argv + argc && strcmp(*end, "--") != 0;
         end++) {
        help |= strcmp(*end, "--help") == 0 || strcmp(*end, "-h") == 0;
        version |= strcmp(*end, "--version") == 0;
    }
    if (help || version) {
        out->value[help ? SQ_SERVE_HELP : SQ_SERVE_VERSION] = "";
        return 0;
    }
    while (word < end) {
        rc = take(word, end, out, err);
        if (rc)
            return rc;
        word += find(*word + 2)->arg ? 2 : 1;
    }
    rc = check(out, err);
    for (size_t i = 0; i < SQ_SERVE_COUNT; i++)
        if (!out->value[i])
            out->value[i] = defaults[i];
    return rc;
}

void sq_serve_options_help(FILE *out)
{
    char left[64];

    fputs("optional arguments:\n", out);
    for (size_t i = 0; i < SQ_SERVE_COUNT; i++) {
        const struct sq_option *o = &sq_serve_flags[i];

        snprintf(left, sizeof(left), "--%s%s%s%s", o->name,
                 o->arg ? " <" : "", o->arg ? o->arg : "",
                 o->arg ? ">" : "");
        fprintf(out, "  %-33s   %s\n", left, o->help);
    }
}
