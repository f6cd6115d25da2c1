/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's command line: a machine that clients describe and drive
 * through the API socket, or that of a configuration file; its serial
 * console on stdin and stdout. Flags, texts and statuses follow Firecracker
 * 1.17 (its src/firecracker/src/main.rs).
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <squib/squib.h>

#include "api/api.h"
#include "base/err.h"
#include "base/util.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "os/clock.h"
#include "vmm/config_json.h"
#include "vmm/control.h"

#define LAST_BYTES_NS 1000000000u
#define BACKEND_ENV "SQUIB_BACKEND"
#define SOCKET_DEFAULT "/run/firecracker.socket"
#define ID_DEFAULT "anonymous-instance"

enum id {
    O_API_SOCK, O_ID, O_CONFIG, O_NO_API, O_BOOT_TIMER, O_LEVEL, O_VERSION,
    O_HELP, O_BACKEND, O_LOG_PATH, O_SHOW_LEVEL, O_SHOW_ORIGIN, O_MODULE,
    O_METRICS_PATH, O_METADATA, O_PAYLOAD_MAX, O_MMDS_MAX, O_START_US,
    O_START_CPU_US, O_PARENT_CPU_US, O_PCI, O_NOTHING, O_LATER,
    O_SNAPSHOT_VERSION,
};

static const struct sq_option table[] = {
    {0, "api-sock", "PATH", "socket of the API (" SOCKET_DEFAULT ")",
     O_API_SOCK},
    {0, "config-file", "PATH", "JSON file that describes the machine; it "
     "starts at once", O_CONFIG},
    {0, "no-api", NULL, "run without the API (needs --config-file)",
     O_NO_API},
    {0, "id", "ID", "name of the machine: 1 to 64 letters, digits and -",
     O_ID},
    {0, "log-path", "PATH", "file or FIFO for the log (stdout)", O_LOG_PATH},
    {0, "level", "LEVEL", "Off, Error, Warn, Info, Debug or Trace (Info)",
     O_LEVEL},
    {0, "show-level", NULL, "each line tells its level", O_SHOW_LEVEL},
    {0, "show-log-origin", NULL, "each line tells where it comes from",
     O_SHOW_ORIGIN},
    {0, "module", "NAME", "only lines of this part", O_MODULE},
    {0, "metrics-path", "PATH", "file or FIFO for metrics, a JSON line a "
     "minute", O_METRICS_PATH},
    {0, "metadata", "PATH", "JSON file for the metadata service",
     O_METADATA},
    {0, "http-api-max-payload-size", "N", "largest body of a request "
     "(51200)", O_PAYLOAD_MAX},
    {0, "mmds-size-limit", "N", "largest metadata (as for requests)",
     O_MMDS_MAX},
    {0, "boot-timer", NULL, "report when the guest says it has booted",
     O_BOOT_TIMER},
    {0, "enable-pci", NULL, "devices on a PCI bus; drives, interfaces and "
     "pmem can then come and go", O_PCI},
    {0, "backend", "NAME", "auto, kvm or soft (squib's own; also "
     "$" BACKEND_ENV ")", O_BACKEND},
    {0, "version", NULL, "print the version", O_VERSION},
    {'h', "help", NULL, "show this", O_HELP},
    /* The jailer's, for a metric. */
    {0, "start-time-us", "N", NULL, O_START_US},
    {0, "start-time-cpu-us", "N", NULL, O_START_CPU_US},
    {0, "parent-cpu-time-us", "N", NULL, O_PARENT_CPU_US},
    {0, "no-seccomp", NULL, NULL, O_NOTHING}, /* there is no filter yet */
    {0, "seccomp-filter", "PATH", NULL, O_LATER},
    {0, "snapshot-version", NULL, NULL, O_LATER},
    {0, "describe-snapshot", "PATH", NULL, O_LATER},
};

struct serve {
    const char *config, *id, *backend, *api_sock, *metrics, *metadata;
    bool no_api, boot_timer, pci, version, help;
    unsigned payload_max, mmds_max;
    uint64_t start_us, start_cpu_us, parent_cpu_us; /* 0: not told */
    struct sq_log_change log;
    int bad_status;
    struct sq_poller *poller;
    struct sq_signals signals;
    bool signals_ready, api_ready;
    struct sq_api api;
    struct sq_control *control;
    int killed_by;
};

static int check_id(const char *id, struct squib_error *err)
{
    size_t len = strlen(id);

    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)id[i]) && id[i] != '-')
            return sq_err_set(err, SQUIB_E_INVAL, "Invalid instance ID: "
                              "invalid char (%c) at position %zu", id[i], i);
    if (len < 1 || len > 64)
        return sq_err_set(err, SQUIB_E_INVAL, "Invalid instance ID: invalid "
                          "len (%zu); the length must be between 1 and 64",
                          len);
    return 0;
}

static int check_level(struct serve *s, const char *level,
                       struct squib_error *err)
{
    s->log.level = sq_log_level(level);
    if (s->log.level >= 0)
        return 0;
    s->bad_status = SQ_STATUS_FC_BAD_LOGGER;
    return sq_err_set(err, SQUIB_E_INVAL, "--level: there is no level "
                      "'%.40s'", level);
}

static int parse_us(const struct sq_option *option, const char *value,
                    uint64_t *out, struct squib_error *err)
{
    char *end;

    *out = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end)
        return sq_err_set(err, SQUIB_E_INVAL, "--%s: '%.40s' is no number",
                          option->name, value);
    return 0;
}

static int take(void *ctx, const struct sq_option *option, const char *value,
                struct squib_error *err)
{
    struct serve *s = ctx;

    switch ((enum id)option->id) {
    case O_API_SOCK: s->api_sock = value; return 0;
    case O_CONFIG: s->config = value; return 0;
    case O_NO_API: s->no_api = true; return 0;
    case O_BOOT_TIMER: s->boot_timer = true; return 0;
    case O_VERSION: s->version = true; return 0;
    case O_HELP: s->help = true; return 0;
    case O_BACKEND: s->backend = value; return 0;
    case O_LOG_PATH: s->log.path = value; return 0;
    case O_MODULE: s->log.module = value; return 0;
    case O_SHOW_LEVEL: s->log.show_level = 1; return 0;
    case O_SHOW_ORIGIN: s->log.show_origin = 1; return 0;
    case O_METRICS_PATH: s->metrics = value; return 0;
    case O_METADATA: s->metadata = value; return 0;
    case O_PCI: s->pci = true; return 0;
    case O_NOTHING: return 0;
    case O_LEVEL: return check_level(s, value, err);
    case O_ID:
        s->id = value;
        return check_id(value, err);
    case O_PAYLOAD_MAX:
        return sq_parse_u32(option->name, value, &s->payload_max, err);
    case O_MMDS_MAX:
        return sq_parse_u32(option->name, value, &s->mmds_max, err);
    case O_START_US: return parse_us(option, value, &s->start_us, err);
    case O_START_CPU_US:
        return parse_us(option, value, &s->start_cpu_us, err);
    case O_PARENT_CPU_US:
        return parse_us(option, value, &s->parent_cpu_us, err);
    case O_SNAPSHOT_VERSION:
    case O_LATER:
        break;
    }
    return sq_err_set(err, SQUIB_E_NOSUPPORT, "--%s is not in this version",
                      option->name);
}

/* --help and --version win over bad arguments. */
static bool wants_info(int argc, char *argv[], const char *word)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], word) == 0 ||
            (strcmp(word, "--help") == 0 && strcmp(argv[i], "-h") == 0))
            return true;
    return false;
}

static void show_help(void)
{
    puts("usage: squib serve [OPTIONS]\n\n"
         "Firecracker's program: clients describe a machine through the API "
         "socket and\nstart it, or a configuration file does. The machine's "
         "serial console is on\nstdin and stdout.\n");
    sq_options_help(table, SQ_ARRAY_LEN(table), stdout);
    puts("\nStatus: 0 the guest ended, 1 error, 152 bad --level, 153 bad "
         "arguments.");
}

/* --- running ----------------------------------------------------------- */

static void on_stopped(void *ctx)
{
    struct serve *s = ctx;

    sq_poller_stop(s->poller);
}

/* Whether the log is read: else what matters goes to people. */
static bool has_log(const struct serve *s)
{
    return s->log.path || !s->no_api;
}

static void on_boot(void *ctx, uint64_t wall_ns, uint64_t cpu_ns)
{
    static const char text[] = "Guest-boot-time = %6" PRIu64 " us %" PRIu64
                               " ms, %6" PRIu64 " CPU us %" PRIu64
                               " CPU ms";
    struct serve *s = ctx;
    char line[160];

    snprintf(line, sizeof(line), text, wall_ns / 1000, wall_ns / 1000000,
             cpu_ns / 1000, cpu_ns / 1000000);
    if (has_log(s))
        sq_log_info(&s->api.log, "%s", line);
    else
        fprintf(stderr, "%s\n", line);
}

static void on_signal(void *ctx, int signo)
{
    struct serve *s = ctx;
    struct sq_vmm *vmm = s->control ? sq_control_vmm(s->control) : NULL;

    if (signo == SIGWINCH || signo == SIGUSR1 || signo == SIGUSR2)
        return;
    s->killed_by = signo;
    if (vmm)
        sq_vmm_stop(vmm, SQ_OUTCOME_KILLED, NULL);
    else
        sq_poller_stop(s->poller);
}

static void on_chosen(void *ctx, const char *why)
{
    struct serve *s = ctx;

    sq_say("%s", why);
    if (has_log(s))
        sq_log_info(&s->api.log, "%s", why);
}

static int on_starting(void *ctx, struct squib_error *err)
{
    struct serve *s = ctx;

    if (s->api.resources.spec->serial_path[0])
        return 0;
    return sq_terminal_raw(STDIN_FILENO, err);
}

static int final_status(struct serve *s)
{
    struct sq_vmm *vmm = sq_control_vmm(s->control);
    struct sq_outcome o = {0};

    if (vmm)
        o = sq_vmm_outcome(vmm);
    if (s->killed_by)
        return 128 + s->killed_by;
    if (o.kind == SQ_OUTCOME_INTERNAL_ERROR) {
        sq_say("%s: %s", sq_outcome_name(o.kind), o.text);
        return SQ_STATUS_FC_ERROR;
    }
    /* As upstream: for the monitor a guest that ends is a success. */
    if (o.kind == SQ_OUTCOME_TRIPLE_FAULT)
        sq_say("%s", sq_outcome_name(o.kind));
    return SQ_STATUS_OK;
}

/* --- setting up -------------------------------------------------------- */

static int open_log(struct serve *s, struct squib_error *err)
{
    int e = sq_log_configure(&s->api.log, &s->log);

    if (e)
        return sq_err_set(err, SQUIB_E_OS, "Could not initialize logger: "
                          "Failed to open target file: %s",
                          sq_os_text(e).text);
    if (has_log(s))
        sq_log_info(&s->api.log, "Running Firecracker v%s",
                    squib_version());
    return 0;
}

static int open_metrics(struct serve *s, struct squib_error *err)
{
    struct sq_body_metrics b = {.metrics_path = s->metrics};
    struct sq_fault fault;

    if (!s->metrics || sq_metrics_configure(&s->api.metrics, &b, &fault))
        return 0;
    return sq_err_set(err, SQUIB_E_OS, "Could not initialize metrics: %.200s",
                      fault.text);
}

static int load_metadata(struct serve *s, struct squib_error *err)
{
    json_error_t where;
    json_t *data;
    int rc;

    if (!s->metadata)
        return 0;
    data = json_load_file(s->metadata, JSON_DECODE_ANY, &where);
    if (!data)
        return sq_err_set(err, SQUIB_E_FORMAT, "--metadata %.80s: %.100s",
                          s->metadata, where.text);
    rc = sq_mmds_put(s->api.mmds, data, err);
    json_decref(data);
    return rc;
}

static int listen_api(struct serve *s, struct squib_error *err)
{
    int rc;

    if (s->no_api)
        return 0;
    rc = sq_api_listen(&s->api, s->api_sock, err);
    if (rc == SQUIB_E_STATE)
        return sq_err_set(err, rc, "Failed to open the API socket at: %s. "
                          "Check that it is not already used.",
                          s->api_sock);
    if (!rc)
        sq_log_info(&s->api.log, "Listening on API socket (\"%s\").",
                    s->api_sock);
    return rc;
}

static int make_control(struct serve *s, struct squib_error *err)
{
    const char *name = s->backend ? s->backend : getenv(BACKEND_ENV);
    struct sq_control_config config = {
        .env = {
            .poller = s->poller,
            .mmds = s->api.mmds,
            .stopped = on_stopped,
            .boot_done = on_boot,
            .ctx = s,
        },
        .backend = name && name[0] ? name : "auto",
        .chosen = on_chosen,
        .starting = on_starting,
    };
    int rc = sq_control_new(&config, &s->control, err);

    s->api.control = s->control;
    s->api.boot_timer = s->boot_timer;
    return rc;
}

/* The machine of the configuration file. */
static int boot_config(struct serve *s, struct squib_error *err)
{
    struct sq_vm_spec *spec;
    char notes[160];
    int rc;

    if (!s->config)
        return 0;
    spec = calloc(1, sizeof(*spec));
    if (!spec)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    sq_spec_init(spec);
    spec->serial = SQ_SERIAL_STDIO;
    spec->pci = s->pci;
    rc = sq_config_load(s->config, spec, notes, sizeof(notes), err);
    if (!rc && notes[0])
        sq_say("note: %s", notes);
    if (!rc) {
        sq_resources_from_spec(&s->api.resources, spec);
        rc = sq_resources_to_spec(&s->api.resources, spec, err);
    }
    spec->boot_timer = s->boot_timer;
    if (!rc)
        rc = sq_control_boot(s->control, spec, err);
    free(spec);
    return rc;
}

/* How long it took to come here, if the jailer told when it began. */
static void count_start_up(struct serve *s)
{
    uint64_t now_us = sq_now_ns() / 1000;
    uint64_t cpu_us = sq_process_cpu_ns() / 1000;

    if (s->start_us && now_us > s->start_us)
        sq_metrics_set(&s->api.metrics, SQ_M_api_server_process_startup_time_us,
                       now_us - s->start_us);
    if (s->start_cpu_us && cpu_us > s->start_cpu_us)
        sq_metrics_set(&s->api.metrics,
                       SQ_M_api_server_process_startup_time_cpu_us,
                       cpu_us - s->start_cpu_us + s->parent_cpu_us);
}

static int set_up(struct serve *s, struct squib_error *err)
{
    int rc = sq_api_init(&s->api, s->id, s->payload_max, s->mmds_max, err);

    if (rc)
        return rc;
    s->api_ready = true;
    s->api.resources.spec->pci = s->pci;
    rc = open_log(s, err);
    if (!rc)
        rc = open_metrics(s, err);
    if (!rc)
        rc = load_metadata(s, err);
    if (!rc)
        rc = sq_poller_new(&s->poller, err);
    /* Before any thread is made. */
    if (!rc)
        rc = sq_signals_init(&s->signals, s->poller, on_signal, s, err);
    s->signals_ready = !rc;
    if (!rc)
        rc = listen_api(s, err);
    if (!rc)
        rc = make_control(s, err);
    if (!rc)
        rc = boot_config(s, err);
    return rc;
}

/* The API thread, or without it the metrics that it would have written. */
static int start_api(struct serve *s, struct squib_error *err)
{
    count_start_up(s);
    if (!s->no_api)
        return sq_api_start(&s->api, err);
    s->api.flush_on = s->poller;
    sq_api_start_metrics(&s->api);
    return 0;
}

static void tear_down(struct serve *s)
{
    sq_terminal_restore();
    if (s->control)
        sq_control_close(s->control);
    sq_api_stop(&s->api);
    s->api.flush_on = NULL;
    if (s->control && sq_control_vmm(s->control))
        sq_api_flush_metrics(&s->api);
    sq_control_free(s->control);
    if (s->api_ready)
        sq_api_fini(&s->api);
    if (s->signals_ready)
        sq_signals_fini(&s->signals);
    sq_poller_free(s->poller);
}

static int run(struct serve *s)
{
    struct squib_error err = {0};
    int status = SQ_STATUS_FC_ERROR;
    int rc = set_up(s, &err);

    if (!rc)
        rc = start_api(s, &err);
    if (!rc)
        rc = sq_poller_run(s->poller, &err);
    if (!rc && sq_control_vmm(s->control))
        sq_vmm_drain_console(sq_control_vmm(s->control), LAST_BYTES_NS);
    if (rc) {
        sq_terminal_restore();
        sq_say_error(&err);
        if (s->api_ready && has_log(s))
            sq_log_error(&s->api.log, "%s", err.text);
    } else {
        status = final_status(s);
    }
    tear_down(s);
    return status;
}

static int usage(const char *text, const char *fix)
{
    sq_say("Arguments parsing error: %s\n  do: %s", text, fix);
    return SQ_STATUS_FC_BAD_ARGS;
}

int sq_verb_serve(int argc, char *argv[])
{
    struct serve *s;
    struct sq_options_end end;
    struct squib_error err = {0};
    int status;

    if (wants_info(argc, argv, "--help")) {
        show_help();
        return SQ_STATUS_OK;
    }
    if (wants_info(argc, argv, "--version")) {
        printf("Firecracker v%s\n", squib_version());
        return SQ_STATUS_OK;
    }
    s = calloc(1, sizeof(*s)); /* the metrics are large */
    if (!s)
        return SQ_STATUS_FC_ERROR;
    s->bad_status = SQ_STATUS_FC_BAD_ARGS;
    s->id = ID_DEFAULT;
    s->api_sock = SOCKET_DEFAULT;
    s->payload_max = SQ_HTTP_PAYLOAD_DEFAULT;
    s->log = (struct sq_log_change){.level = -1, .show_level = -1,
                                    .show_origin = -1};
    if (sq_options_parse(table, SQ_ARRAY_LEN(table), argc, argv, 1, take, s,
                         &end, &err)) {
        sq_say("Arguments parsing error: %s", err.text);
        status = s->bad_status;
    } else if (end.rest < argc && !end.dashes) {
        status = usage("found argument that is no option", "squib serve "
                       "--help");
    } else if (s->no_api && !s->config) {
        status = usage("--no-api needs --config-file",
                       "squib --no-api --config-file vm.json");
    } else {
        if (!s->mmds_max)
            s->mmds_max = s->payload_max;
        status = run(s);
    }
    free(s);
    return status;
}
