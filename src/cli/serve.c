/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's command line: the machine of a configuration file, serial
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
#include <strings.h>
#include <unistd.h>

#include <squib/squib.h>

#include "base/err.h"
#include "base/util.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "os/clock.h"
#include "vmm/config_json.h"
#include "vmm/vmm.h"

#define LAST_BYTES_NS 1000000000u
#define BACKEND_ENV "SQUIB_BACKEND"

enum id {
    O_API_SOCK, O_ID, O_CONFIG, O_NO_API, O_BOOT_TIMER, O_LEVEL, O_VERSION,
    O_HELP, O_BACKEND, O_NUMBER, O_NOTHING, O_LATER, O_SNAPSHOT_VERSION,
};

static const struct sq_option table[] = {
    {0, "no-api", NULL, "run without the API (needs --config-file)",
     O_NO_API},
    {0, "config-file", "PATH", "JSON file that describes the machine",
     O_CONFIG},
    {0, "id", "ID", "name of the machine: 1 to 64 letters, digits and -",
     O_ID},
    {0, "boot-timer", NULL, "report when the guest says it has booted",
     O_BOOT_TIMER},
    {0, "backend", "NAME", "auto, kvm or soft (squib's own; also "
     "$" BACKEND_ENV ")", O_BACKEND},
    {0, "version", NULL, "print the version", O_VERSION},
    {'h', "help", NULL, "show this", O_HELP},
    {0, "api-sock", "PATH", NULL, O_API_SOCK},
    {0, "level", "LEVEL", NULL, O_LEVEL},
    /* No effect here: there is no filter yet, and the log is small. */
    {0, "no-seccomp", NULL, NULL, O_NOTHING},
    {0, "show-level", NULL, NULL, O_NOTHING},
    {0, "show-log-origin", NULL, NULL, O_NOTHING},
    {0, "module", "NAME", NULL, O_NOTHING},
    {0, "http-api-max-payload-size", "N", NULL, O_NUMBER},
    {0, "mmds-size-limit", "N", NULL, O_NUMBER},
    {0, "start-time-us", "N", NULL, O_NUMBER},
    {0, "start-time-cpu-us", "N", NULL, O_NUMBER},
    {0, "parent-cpu-time-us", "N", NULL, O_NUMBER},
    {0, "log-path", "PATH", NULL, O_LATER},
    {0, "metrics-path", "PATH", NULL, O_LATER},
    {0, "metadata", "PATH", NULL, O_LATER},
    {0, "seccomp-filter", "PATH", NULL, O_LATER},
    {0, "enable-pci", NULL, NULL, O_LATER},
    {0, "snapshot-version", NULL, NULL, O_LATER},
    {0, "describe-snapshot", "PATH", NULL, O_LATER},
};

struct serve {
    const char *config, *id, *backend;
    bool no_api, api_sock, boot_timer, version, help;
    int bad_status;
    struct sq_poller *poller;
    struct sq_signals signals;
    struct sq_vmm *vmm;
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
    static const char *const levels[] = {"off", "error", "warn", "warning",
                                         "info", "debug", "trace"};

    for (size_t i = 0; i < SQ_ARRAY_LEN(levels); i++)
        if (strcasecmp(level, levels[i]) == 0)
            return 0;
    s->bad_status = SQ_STATUS_FC_BAD_LOGGER;
    return sq_err_set(err, SQUIB_E_INVAL, "--level: there is no level "
                      "'%.40s'", level);
}

static int take(void *ctx, const struct sq_option *option, const char *value,
                struct squib_error *err)
{
    struct serve *s = ctx;
    unsigned n;

    switch ((enum id)option->id) {
    case O_API_SOCK:
        s->api_sock = true;
        return 0;
    case O_ID:
        s->id = value;
        return check_id(value, err);
    case O_CONFIG:
        s->config = value;
        return 0;
    case O_NO_API:
        s->no_api = true;
        return 0;
    case O_BOOT_TIMER:
        s->boot_timer = true;
        return 0;
    case O_LEVEL:
        return check_level(s, value, err);
    case O_VERSION:
        s->version = true;
        return 0;
    case O_HELP:
        s->help = true;
        return 0;
    case O_BACKEND:
        s->backend = value;
        return 0;
    case O_NUMBER:
        return sq_parse_u32(option->name, value, &n, err);
    case O_NOTHING:
        return 0;
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
    puts("usage: squib serve --no-api --config-file PATH [OPTIONS]\n\n"
         "Runs the machine of a Firecracker configuration file, its serial "
         "console on\nstdin and stdout.\n");
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

static void on_boot(void *ctx, uint64_t wall_ns, uint64_t cpu_ns)
{
    (void)ctx;
    fprintf(stderr, "Guest-boot-time = %6" PRIu64 " us %" PRIu64 " ms, %6"
            PRIu64 " CPU us %" PRIu64 " CPU ms\n", wall_ns / 1000,
            wall_ns / 1000000, cpu_ns / 1000, cpu_ns / 1000000);
}

static void on_signal(void *ctx, int signo)
{
    struct serve *s = ctx;

    if (signo == SIGWINCH || signo == SIGUSR1 || signo == SIGUSR2)
        return;
    s->killed_by = signo;
    if (s->vmm)
        sq_vmm_stop(s->vmm, SQ_OUTCOME_KILLED, NULL);
}

static int final_status(struct serve *s)
{
    struct sq_outcome o = sq_vmm_outcome(s->vmm);

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

static int build(struct serve *s, struct sq_vm_spec *spec,
                 struct squib_error *err)
{
    const struct squib_backend *backend;
    struct sq_vmm_env env = {
        .poller = s->poller,
        .stopped = on_stopped,
        .boot_done = on_boot,
        .ctx = s,
    };
    const char *name = s->backend ? s->backend : getenv(BACKEND_ENV);
    char notes[160], why[256];
    int rc;

    sq_spec_init(spec);
    rc = sq_config_load(s->config, spec, notes, sizeof(notes), err);
    if (rc)
        return rc;
    if (notes[0])
        sq_say("note: %s", notes);
    spec->serial = SQ_SERIAL_STDIO;
    spec->boot_timer = s->boot_timer;
    rc = sq_config_finish_cmdline(spec, err);
    if (!rc)
        rc = squib_backend_choose(name && name[0] ? name : "auto", &backend,
                                  why, sizeof(why), err);
    if (rc)
        return rc;
    sq_say("%s", why);
    env.backend = backend;
    return sq_vmm_new(spec, &env, &s->vmm, err);
}

static int serve_config(struct serve *s)
{
    struct sq_vm_spec *spec = calloc(1, sizeof(*spec));
    struct squib_error err = {0};
    int status = SQ_STATUS_FC_ERROR, rc;

    if (!spec)
        return status;
    rc = sq_poller_new(&s->poller, &err);
    if (!rc) {
        rc = sq_signals_init(&s->signals, s->poller, on_signal, s, &err);
        if (rc) {
            sq_poller_free(s->poller);
            s->poller = NULL;
        }
    }
    if (!rc)
        rc = build(s, spec, &err);
    free(spec);
    if (!rc)
        rc = sq_terminal_raw(STDIN_FILENO, &err);
    if (!rc)
        rc = sq_vmm_start(s->vmm, &err);
    if (!rc)
        rc = sq_poller_run(s->poller, &err);
    if (!rc)
        sq_vmm_drain_console(s->vmm, LAST_BYTES_NS);
    sq_terminal_restore();
    if (rc)
        sq_say_error(&err);
    else
        status = final_status(s);
    sq_vmm_free(s->vmm);
    if (s->poller)
        sq_signals_fini(&s->signals);
    sq_poller_free(s->poller);
    return status;
}

static int usage(const char *text, const char *fix)
{
    sq_say("Arguments parsing error: %s\n  do: %s", text, fix);
    return SQ_STATUS_FC_BAD_ARGS;
}

int sq_verb_serve(int argc, char *argv[])
{
    struct serve s = {.bad_status = SQ_STATUS_FC_BAD_ARGS};
    struct sq_options_end end;
    struct squib_error err = {0};

    if (wants_info(argc, argv, "--help")) {
        show_help();
        return SQ_STATUS_OK;
    }
    if (wants_info(argc, argv, "--version")) {
        printf("Firecracker v%s\n", squib_version());
        return SQ_STATUS_OK;
    }
    if (sq_options_parse(table, SQ_ARRAY_LEN(table), argc, argv, 1, take, &s,
                         &end, &err)) {
        sq_say("Arguments parsing error: %s", err.text);
        return s.bad_status;
    }
    if (end.rest < argc && !end.dashes)
        return usage("found argument that is no option", "squib serve "
                     "--help");
    if (s.no_api && !s.config)
        return usage("--no-api needs --config-file",
                     "squib --no-api --config-file vm.json");
    if (!s.no_api) {
        sq_say("the API server is not in this version\n  do: squib --no-api "
               "--config-file vm.json");
        return SQ_STATUS_FC_ERROR;
    }
    return serve_config(&s);
}
