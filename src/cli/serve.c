/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's command line: a machine that clients describe and drive
 * through the API socket, or that of a configuration file; its serial
 * console on stdin and stdout. Flags, texts and statuses follow Firecracker
 * 1.17 (its src/firecracker/src/main.rs).
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <squib/squib.h>

#include "api/api.h"
#include "api/config_file.h"
#include "base/err.h"
#include "base/util.h"
#include "cli/fatal.h"
#include "cli/report.h"
#include "cli/serve_options.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "os/clock.h"
#include "vmm/control.h"

#define LAST_BYTES_NS 1000000000u
#define BACKEND_ENV "SQUIB_BACKEND"
/* Snapshots have no format yet. */
#define SNAPSHOT_VERSION "v0.0.0"

struct serve {
    struct sq_serve_options options;
    int status; /* what a failure ends with */
    struct sq_fault fault; /* its words, if the error has no room for them */
    /* Texts of files, or NULL. */
    char *config, *metadata;
    size_t config_len, metadata_len;
    struct sq_poller *poller;
    struct sq_signals signals;
    bool signals_ready;
    struct sq_api api;
    struct sq_control *control;
    const struct sq_confine *confine; /* or NULL */
    int killed_by;
};

static const char *value(const struct serve *s, enum sq_serve_flag flag)
{
    return s->options.value[flag];
}

static bool has(const struct serve *s, enum sq_serve_flag flag)
{
    return value(s, flag) != NULL;
}

/* A failure where upstream panics. */
#define ABORT(s, err, ...)                                                 \
    ((s)->status = SQ_STATUS_FC_ABORT,                                     \
     sq_err_set(err, SQUIB_E_INVAL, __VA_ARGS__))

/* --- values of flags --------------------------------------------------- */

static int check_id(struct serve *s, struct squib_error *err)
{
    const char *id = value(s, SQ_SERVE_ID);
    size_t len = strlen(id);

    if (len < 1 || len > 64)
        return ABORT(s, err, "Invalid instance ID: invalid len (%zu); the "
                     "length must be between 1 and 64", len);
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)id[i]) && id[i] != '-')
            return ABORT(s, err, "Invalid instance ID: invalid char (%c) at "
                         "position %zu", id[i], i);
    return 0;
}

/* A decimal number as Rust reads it, a + before it or not. */
static bool is_number(const char *text, uint64_t *out)
{
    char *end;

    text += *text == '+';
    errno = 0;
    *out = strtoull(text, &end, 10);
    return isdigit((unsigned char)text[0]) && !*end && !errno;
}

/* 0 when the flag is not there. */
static int number(struct serve *s, enum sq_serve_flag flag, const char *type,
                  uint64_t *out, struct squib_error *err)
{
    *out = 0;
    if (!has(s, flag) || is_number(value(s, flag), out))
        return 0;
    return ABORT(s, err, "'%s' parameter expected to be of '%s' type.",
                 sq_serve_flags[flag].name, type);
}

/* --- output of flags that do nothing else ------------------------------ */

static int describe_snapshot(const char *path, struct squib_error *err)
{
    static const char before[] = "When printing Snapshot Data format: ";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return sq_err_set(err, SQUIB_E_OS, "%sUnable to open snapshot state "
                          "file: %s", before, sq_os_text(errno).text);
    close(fd);
    return sq_err_set(err, SQUIB_E_FORMAT, "%sInvalid data format version "
                      "of snapshot file: there are no snapshots in this "
                      "version of squib", before);
}

/* True when there is nothing more to do. */
static bool tell(struct serve *s, int *rc, struct squib_error *err)
{
    bool help = has(s, SQ_SERVE_HELP);

    *rc = 0;
    if (help || has(s, SQ_SERVE_VERSION))
        printf("Firecracker v%s\n\n", squib_version());
    if (help)
        sq_serve_options_help(stdout);
    if (help || has(s, SQ_SERVE_VERSION))
        return true;
    if (has(s, SQ_SERVE_SNAPSHOT_VERSION)) {
        puts(SNAPSHOT_VERSION);
        return true;
    }
    if (!has(s, SQ_SERVE_DESCRIBE_SNAPSHOT))
        return false;
    *rc = describe_snapshot(value(s, SQ_SERVE_DESCRIBE_SNAPSHOT), err);
    return true;
}

/* --- running ----------------------------------------------------------- */

static void on_stopped(void *ctx)
{
    struct serve *s = ctx;

    sq_poller_stop(s->poller);
}

static void on_boot(void *ctx, uint64_t wall_ns, uint64_t cpu_ns)
{
    static const char text[] = "Guest-boot-time = %6" PRIu64 " us %" PRIu64
                               " ms, %6" PRIu64 " CPU us %" PRIu64
                               " CPU ms";
    struct serve *s = ctx;

    sq_log_info(&s->api.log, text, wall_ns / 1000, wall_ns / 1000000,
                cpu_ns / 1000, cpu_ns / 1000000);
}

static void on_trouble(void *ctx, const char *text)
{
    struct serve *s = ctx;

    sq_log_error(&s->api.log, "%s", text);
}

static void on_signal(void *ctx, int signo)
{
    struct serve *s = ctx;
    struct sq_vmm *vmm = s->control ? sq_control_vmm(s->control) : NULL;

    if (signo == SIGWINCH || signo == SIGUSR1 || signo == SIGUSR2)
        return;
    s->killed_by = signo;
    if (sq_fatal_status(signo))
        sq_api_signal(&s->api, signo, 0);
    if (vmm)
        sq_vmm_stop(vmm, SQ_OUTCOME_KILLED, NULL);
    else
        sq_poller_stop(s->poller);
}

static void on_chosen(void *ctx, const char *why)
{
    struct serve *s = ctx;

    sq_say("%s", why);
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
        return sq_fatal_status(s->killed_by) ? sq_fatal_status(s->killed_by)
                                             : 128 + s->killed_by;
    if (o.kind == SQ_OUTCOME_INTERNAL_ERROR) {
        sq_say("%s: %s", sq_outcome_name(o.kind), o.text);
        return SQ_STATUS_FC_ERROR;
    }
    /* As upstream: for the monitor a guest that ends is a success. */
    if (o.kind == SQ_OUTCOME_TRIPLE_FAULT)
        sq_say("%s", sq_outcome_name(o.kind));
    return SQ_STATUS_OK;
}

/* A handler of signals. */
static void on_fatal(void *ctx, const siginfo_t *info)
{
    struct serve *s = ctx;

    if (info->si_signo == SIGPIPE)
        sq_api_signal(&s->api, info->si_signo, info->si_code);
    else
        sq_api_died(&s->api, info);
}

/* --- setting up -------------------------------------------------------- */

static int open_log(struct serve *s, struct squib_error *err)
{
    const char *level = value(s, SQ_SERVE_LEVEL);
    struct sq_log_change change = {
        .path = value(s, SQ_SERVE_LOG_PATH),
        .module = value(s, SQ_SERVE_MODULE),
        .level = level ? sq_log_level(level) : -1,
        .show_level = has(s, SQ_SERVE_SHOW_LEVEL) ? 1 : -1,
        .show_origin = has(s, SQ_SERVE_SHOW_LOG_ORIGIN) ? 1 : -1,
    };
    int e;

    if (level && change.level < 0) {
        s->status = SQ_STATUS_FC_BAD_LOGGER;
        return sq_err_set(err, SQUIB_E_INVAL, "Invalid value for logger "
                          "level: Failed to parse string to level filter: "
                          "%.40s.Possible values: [Error, Warning, Info, "
                          "Debug]", level);
    }
    e = sq_log_configure(&s->api.log, &change);
    if (e)
        return sq_err_set(err, SQUIB_E_OS, "Could not initialize logger: "
                          "Failed to open target file: %s",
                          sq_os_text(e).text);
    sq_log_info(&s->api.log, "Running Firecracker v%s", squib_version());
    return 0;
}

static int open_metrics(struct serve *s, struct squib_error *err)
{
    struct sq_body_metrics b = {
        .metrics_path = value(s, SQ_SERVE_METRICS_PATH),
    };
    static const char before[] = "Metrics error: ";
    struct sq_fault fault;

    if (!b.metrics_path ||
        sq_metrics_configure(&s->api.metrics, &b, &fault))
        return 0;
    return sq_err_set(err, SQUIB_E_OS, "Could not initialize metrics: %.180s",
                      fault.text + strlen(before));
}

static int choose_filter(struct serve *s, struct squib_error *err)
{
    const char *path = value(s, SQ_SERVE_SECCOMP_FILTER), *why;

    if (path && access(path, R_OK) != 0)
        return sq_err_set(err, SQUIB_E_OS, "Seccomp error: Filter file open "
                          "error: %s", sq_os_text(errno).text);
    if (path)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "Seccomp error: a filter "
                          "for Firecracker's system calls does not fit "
                          "squib's\n  do: leave --seccomp-filter out");
    if (has(s, SQ_SERVE_NO_SECCOMP))
        return 0;
    s->confine = sq_confine_default(&why);
    if (!s->confine)
        sq_log_warn(&s->api.log, "%s", why);
    s->api.confine = s->confine;
    return 0;
}

/* The text of a file that must be there, if the flag is. */
static int slurp(struct serve *s, enum sq_serve_flag flag, const char *what,
                 char **out, size_t *out_len, struct squib_error *err)
{
    const char *path = value(s, flag);
    int e = path ? sq_config_file_slurp(path, out, out_len) : 0;

    return e ? ABORT(s, err, "Unable to open or read from the %s file: "
                     "%.100s: %s", what, path, sq_os_text(e).text)
             : 0;
}

static int put_metadata(struct serve *s, struct squib_error *err)
{
    char why[SQ_JSON_ERROR_MAX];
    struct squib_error cause = {0};
    json_t *data;
    int rc;

    if (!s->metadata)
        return 0;
    data = sq_json_read_any(s->metadata, s->metadata_len, why);
    if (!data)
        return ABORT(s, err, "MMDS error: metadata provided not valid json: "
                     "%.150s", why);
    rc = sq_mmds_put(s->api.mmds, data, &cause);
    json_decref(data);
    if (rc)
        return sq_err_set(err, rc, "%s%s", s->config
                          ? "Configuration for VMM from one single json "
                            "failed: MMDS error: "
                          : "Populating MMDS from file failed: ",
                          cause.text);
    sq_log_info(&s->api.log, "Successfully added metadata to mmds from "
                "file");
    return 0;
}

static int listen_api(struct serve *s, struct squib_error *err)
{
    const char *path = value(s, SQ_SERVE_API_SOCK);
    int rc;

    if (has(s, SQ_SERVE_NO_API))
        return 0;
    rc = sq_api_listen(&s->api, path, err);
    if (rc == SQUIB_E_STATE)
        return sq_err_set(err, rc, "RunWithApiError error: Failed to open "
                          "the API socket at: %.108s. Check that it is not "
                          "already used.", path);
    if (!rc)
        sq_log_info(&s->api.log, "Listening on API socket (\"%s\").", path);
    return rc;
}

static int make_control(struct serve *s, struct squib_error *err)
{
    const char *name = value(s, SQ_SERVE_BACKEND);
    struct sq_control_config config = {
        .env = {
            .poller = s->poller,
            .mmds = s->api.mmds,
            .confine = s->confine,
            .stopped = on_stopped,
            .boot_done = on_boot,
            .trouble = on_trouble,
            .ctx = s,
        },
        .chosen = on_chosen,
        .starting = on_starting,
    };
    int rc;

    name = name ? name : getenv(BACKEND_ENV);
    config.backend = name && name[0] ? name : "auto";
    rc = sq_control_new(&config, &s->control, err);
    s->api.control = s->control;
    s->api.boot_timer = has(s, SQ_SERVE_BOOT_TIMER);
    return rc;
}

/* The machine of the configuration file. */
static int boot_config(struct serve *s, struct squib_error *err)
{
    const char *run = has(s, SQ_SERVE_NO_API) ? "RunWithoutApiError"
                                              : "RunWithApiError";
    struct sq_fault why;
    int rc;

    if (!s->config)
        return 0;
    if (!sq_config_file_apply(&s->api, s->config, s->config_len, &why)) {
        sq_fault(&s->fault, "%s error: Failed to build MicroVM from Json: "
                 "Configuration for VMM from one single json failed: %.4900s",
                 run, why.text);
        return SQUIB_E_INVAL;
    }
    rc = sq_api_boot(&s->api, sq_control_boot, err);
    if (rc) {
        sq_fault(&s->fault, "%s error: Failed to build MicroVM from Json: "
                 "Could not Start MicroVM from one single json: %s", run,
                 err->text);
        return rc;
    }
    sq_log_info(&s->api.log, "Successfully started microvm that was "
                "configured from one single json");
    return 0;
}

/* How long it took to come here, if the jailer told when it began. */
static int count_start_up(struct serve *s, struct squib_error *err)
{
    uint64_t now_us = sq_now_ns() / 1000;
    uint64_t cpu_us = sq_process_cpu_ns() / 1000;
    uint64_t start_us, start_cpu_us, parent_cpu_us;
    int rc = number(s, SQ_SERVE_START_TIME_US, "u64", &start_us, err);

    if (!rc)
        rc = number(s, SQ_SERVE_START_TIME_CPU_US, "u64", &start_cpu_us,
                    err);
    if (!rc)
        rc = number(s, SQ_SERVE_PARENT_CPU_TIME_US, "u64", &parent_cpu_us,
                    err);
    if (rc)
        return rc;
    if (start_us && now_us > start_us)
        sq_metrics_set(&s->api.metrics, SQ_M_api_server_process_startup_time_us,
                       now_us - start_us);
    if (start_cpu_us && cpu_us > start_cpu_us)
        sq_metrics_set(&s->api.metrics,
                       SQ_M_api_server_process_startup_time_cpu_us,
                       cpu_us - start_cpu_us + parent_cpu_us);
    return 0;
}

/* In upstream's order, which decides which of two faults is told. */
static int set_up(struct serve *s, struct squib_error *err)
{
    uint64_t payload_max, mmds_max;
    int rc = open_log(s, err);

    s->api.resources.spec->pci = has(s, SQ_SERVE_ENABLE_PCI);
    if (!rc)
        rc = open_metrics(s, err);
    if (!rc)
        rc = choose_filter(s, err);
    if (!rc)
        rc = slurp(s, SQ_SERVE_CONFIG_FILE, "configuration", &s->config,
                   &s->config_len, err);
    if (!rc)
        rc = slurp(s, SQ_SERVE_METADATA, "mmds content", &s->metadata,
                   &s->metadata_len, err);
    if (!rc)
        rc = number(s, SQ_SERVE_HTTP_API_MAX_PAYLOAD_SIZE, "usize",
                    &payload_max, err);
    if (!rc)
        rc = number(s, SQ_SERVE_MMDS_SIZE_LIMIT, "usize", &mmds_max, err);
    if (rc)
        return rc;
    rc = sq_api_limit(&s->api, payload_max,
                      has(s, SQ_SERVE_MMDS_SIZE_LIMIT) ? mmds_max
                                                       : payload_max, err);
    if (!rc && !has(s, SQ_SERVE_NO_API))
        rc = count_start_up(s, err);
    if (!rc)
        rc = sq_poller_new(&s->poller, err);
    /* Before any thread is made. */
    if (!rc)
        rc = sq_signals_init(&s->signals, s->poller, on_signal, s, err);
    s->signals_ready = !rc;
    if (!rc)
        rc = listen_api(s, err);
    if (!rc)
        rc = put_metadata(s, err);
    if (!rc)
        rc = make_control(s, err);
    if (!rc)
        rc = boot_config(s, err);
    return rc;
}

/* The API thread, or without it the metrics that it would have written. */
static int start_api(struct serve *s, struct squib_error *err)
{
    if (!has(s, SQ_SERVE_NO_API))
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
    if (s->control &&
        (sq_control_vmm(s->control) || sq_fatal_status(s->killed_by)))
        sq_api_flush_metrics(&s->api);
    sq_control_free(s->control);
    if (s->signals_ready)
        sq_signals_fini(&s->signals);
    sq_poller_free(s->poller);
}

static int run(struct serve *s, struct squib_error *err)
{
    int rc = set_up(s, err);

    if (!rc)
        rc = start_api(s, err);
    if (!rc)
        rc = sq_poller_run(s->poller, err);
    if (!rc && sq_control_vmm(s->control))
        sq_vmm_drain_console(sq_control_vmm(s->control), LAST_BYTES_NS);
    sq_terminal_restore();
    if (!rc)
        s->status = final_status(s);
    return rc;
}

static void conclude(struct serve *s, int rc, const struct squib_error *err)
{
    const char *text = s->fault.text[0] ? s->fault.text : err->text;

    if (rc) {
        sq_say("%s", text);
        sq_log_error(&s->api.log, "%s", text);
    }
    if (s->status == SQ_STATUS_OK)
        sq_log_info(&s->api.log, "Firecracker exiting successfully. "
                    "exit_code=0");
    else if (s->status != SQ_STATUS_FC_ABORT && !s->killed_by)
        sq_log_error(&s->api.log, "Firecracker exiting with error. "
                     "exit_code=%d", s->status);
}

/* What waits for this process sees that the signal ended it, as it would of
 * upstream: a client may ask. */
static void die_of(int signo)
{
    const struct rlimit none = {0};
    sigset_t set;

    fflush(stdout);
    setrlimit(RLIMIT_CORE, &none);
    signal(signo, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, signo);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(signo);
}

int sq_verb_serve(int argc, char *argv[])
{
    struct serve *s = calloc(1, sizeof(*s)); /* the metrics are large */
    struct squib_error err = {0}, cause = {0};
    bool told = false;
    int rc, status, killed_by;

    if (!s)
        return SQ_STATUS_FC_ERROR;
    s->status = SQ_STATUS_FC_ERROR;
    sq_fatal_hook();
    rc = sq_serve_options_parse(argc, argv, &s->options, &cause);
    if (rc) {
        s->status = SQ_STATUS_FC_BAD_ARGS;
        sq_err_set(&err, rc, "Arguments parsing error: %s \n\nFor more "
                   "information try --help.", cause.text);
    } else if (tell(s, &rc, &err)) {
        told = true;
        s->status = rc ? SQ_STATUS_FC_ERROR : SQ_STATUS_OK;
    }
    fflush(stdout); /* the log does not go through it */
    if (!rc && !told)
        rc = check_id(s, &err);
    if (sq_api_init(&s->api, rc || told ? SQ_LOG_ID_DEFAULT
                                        : value(s, SQ_SERVE_ID), &err)) {
        free(s);
        return SQ_STATUS_FC_ERROR;
    }
    sq_fatal_listen(on_fatal, s);
    if (!rc && !told)
        rc = run(s, &err);
    conclude(s, rc, &err);
    tear_down(s);
    sq_fatal_listen(NULL, NULL);
    sq_api_fini(&s->api);
    status = s->status;
    killed_by = status == SQ_STATUS_FC_ABORT ? SIGABRT : s->killed_by;
    free(s->config);
    free(s->metadata);
    free(s);
    /* A sanitizer looks for leaks only where a program returns. */
    if (killed_by && !sq_fatal_status(killed_by) && !SQ_SANITIZED)
        die_of(killed_by);
    return status;
}
