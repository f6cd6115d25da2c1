/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `squib run`: one command in a fresh virtual machine.
 *
 * The main thread is the machine's event thread. What can happen, and who
 * ends what:
 *
 *   command ends     relay done -> stop the machine -> stopped -> loop ends
 *   machine dies     stopped -> what the relay still holds goes out -> ends
 *   signal           to the command; a second one stops the machine
 *   --timeout        stops the machine
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "cli/dry_run.h"
#include "cli/guest_boot.h"
#include "cli/publish.h"
#include "cli/report.h"
#include "cli/run_options.h"
#include "cli/run_relay.h"
#include "cli/signals.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "os/clock.h"
#include "vmm/vmm.h"

/* A second signal within this time stops the machine. */
#define SECOND_SIGNAL_NS 2000000000u
/* How long the last bytes may take after the machine died. */
#define LAST_BYTES_NS 300000000u
/* How long a machine may take to restart after its agent has gone. */
#define AGENT_GONE_NS 5000000000u

struct run {
    struct sq_run_options o;
    const struct squib_backend *backend;
    struct sq_poller *poller;
    struct sq_signals signals;
    struct sq_relay *relay;
    struct sq_publish *publish; /* or NULL */
    struct sq_vmm *vmm;
    struct sq_timer timeout, last_bytes, agent_gone;
    bool tty;
    uint64_t start_ns, started_ns, signal_ns;
    int last_signal; /* that stopped the machine; 0: none */

    bool relay_done, stopped;
    enum sq_relay_end end;
    int status;
    char text[320];
};

/* --- events ------------------------------------------------------------ */

static void finish_if_done(struct run *r)
{
    if (!r->stopped)
        return;
    if (r->relay_done || !sq_relay_started(r->relay))
        sq_poller_stop(r->poller);
    else if (!r->last_bytes.armed)
        sq_timer_arm(r->poller, &r->last_bytes, sq_now_ns() + LAST_BYTES_NS);
}

static void on_last_bytes(void *ctx, uint64_t now_ns)
{
    struct run *r = ctx;

    (void)now_ns;
    sq_poller_stop(r->poller);
}

static void on_stopped(void *ctx)
{
    struct run *r = ctx;

    r->stopped = true;
    finish_if_done(r);
}

static void on_timeout(void *ctx, uint64_t now_ns)
{
    struct run *r = ctx;

    (void)now_ns;
    sq_vmm_stop(r->vmm, SQ_OUTCOME_TIMEOUT, NULL);
}

static void on_agent_gone(void *ctx, uint64_t now_ns)
{
    struct run *r = ctx;

    (void)now_ns;
    sq_vmm_stop(r->vmm, SQ_OUTCOME_KILLED, r->text);
}

static void on_started(void *ctx)
{
    struct run *r = ctx;
    uint16_t rows, cols;

    r->started_ns = sq_now_ns();
    if (r->publish)
        sq_publish_start(r->publish, r->vmm);
    if (!r->tty)
        return;
    sq_terminal_raw(STDIN_FILENO, NULL);
    if (sq_terminal_size(STDIN_FILENO, &rows, &cols))
        sq_relay_winsize(r->relay, rows, cols);
}

static void on_relay_done(void *ctx, enum sq_relay_end end, int status,
                          const char *text)
{
    struct run *r = ctx;

    r->relay_done = true;
    r->end = end;
    r->status = status;
    snprintf(r->text, sizeof(r->text), "%s", text);
    if (end == SQ_RELAY_LOST && !r->stopped) {
        /* Most likely the machine is about to end and to say more. */
        sq_timer_arm(r->poller, &r->agent_gone, sq_now_ns() + AGENT_GONE_NS);
        return;
    }
    sq_vmm_stop(r->vmm, SQ_OUTCOME_KILLED, NULL);
    finish_if_done(r);
}

static void on_signal(void *ctx, int signo)
{
    struct run *r = ctx;
    uint64_t now = sq_now_ns();
    uint16_t rows, cols;
    bool again;

    if (signo == SIGWINCH) {
        if (r->tty && r->relay &&
            sq_terminal_size(STDIN_FILENO, &rows, &cols))
            sq_relay_winsize(r->relay, rows, cols);
        return;
    }
    again = r->signal_ns && now - r->signal_ns < SECOND_SIGNAL_NS &&
            signo != SIGUSR1 && signo != SIGUSR2;
    if (!again && r->relay && sq_relay_started(r->relay)) {
        if (signo != SIGUSR1 && signo != SIGUSR2)
            r->signal_ns = now;
        sq_relay_signal(r->relay, (uint32_t)signo);
        return;
    }
    r->last_signal = signo;
    if (r->vmm)
        sq_vmm_stop(r->vmm, SQ_OUTCOME_KILLED, NULL);
}

/* --- set-up ------------------------------------------------------------ */

static int choose_backend(struct run *r, struct squib_error *err)
{
    char why[256];
    int rc = squib_backend_choose(r->o.backend, &r->backend, why,
                                  sizeof(why), err);

    if (rc || r->o.quiet)
        return rc;
    if (strcmp(r->o.backend, "auto") == 0 &&
        !(squib_backend_caps(r->backend) & SQUIB_CAP_HARDWARE))
        sq_say("%s (slower; --backend kvm to insist)", why);
    else
        sq_say("%s", why);
    return 0;
}

/* The environment: a base, the terminal's, then --env, the later winning.
 * Strings made here are freed with the array by free_env(). */
struct env {
    const char *list[SQ_RUN_ENV_MAX + 8];
    char *made[SQ_RUN_ENV_MAX + 8];
    size_t count, made_count;
};

static void env_put(struct env *e, const char *entry)
{
    size_t len = strcspn(entry, "=") + 1;

    for (size_t i = 0; i < e->count; i++) {
        if (strncmp(e->list[i], entry, len) == 0) {
            e->list[i] = entry;
            return;
        }
    }
    e->list[e->count++] = entry;
}

static int env_pass_on(struct env *e, const char *name,
                       struct squib_error *err)
{
    const char *value = getenv(name);
    char *entry;

    if (!value)
        return 0; /* as docker: not set here, not set there */
    if (asprintf(&entry, "%s=%s", name, value) < 0)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    e->made[e->made_count++] = entry;
    env_put(e, entry);
    return 0;
}

static void free_env(struct env *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->made_count; i++)
        free(e->made[i]);
    free(e);
}

static int build_env(const struct run *r, struct env *e,
                     struct squib_error *err)
{
    int rc = 0;

    env_put(e, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
               "/sbin:/bin");
    env_put(e, r->o.uid ? "HOME=/" : "HOME=/root");
    if (r->tty) {
        env_put(e, "TERM=linux");
        rc = env_pass_on(e, "TERM", err);
    }
    for (size_t i = 0; i < r->o.env_count && !rc; i++) {
        if (strchr(r->o.env[i], '='))
            env_put(e, r->o.env[i]);
        else
            rc = env_pass_on(e, r->o.env[i], err);
    }
    e->list[e->count] = NULL;
    return rc;
}

/* What the guest is to run; the environment is made for it. */
static int describe_command(const struct run *r, struct env *env,
                            struct sq_agent_command *out,
                            struct squib_error *err)
{
    static const char *const shell[] = {"/bin/sh", NULL};
    int rc = build_env(r, env, err);

    *out = (struct sq_agent_command){
        .flags = SQ_AGENT_RUN_STDIN | (r->tty ? SQ_AGENT_RUN_TTY : 0u),
        .uid = r->o.uid,
        .gid = r->o.gid,
        .cwd = r->o.workdir ? r->o.workdir : "",
        .argv = r->o.command[0] ? (const char *const *)r->o.command : shell,
        .envp = env->list,
    };
    if (r->tty)
        sq_terminal_size(STDIN_FILENO, &out->rows, &out->cols);
    return rc;
}

static int make_relay(struct run *r, const struct sq_agent_command *command,
                      struct squib_error *err)
{
    struct sq_relay_config config = {
        .poller = r->poller,
        .command = *command,
        .in_fd = STDIN_FILENO,
        .out_fd = STDOUT_FILENO,
        .err_fd = STDERR_FILENO,
        .started = on_started,
        .done = on_relay_done,
        .ctx = r,
    };

    return sq_relay_new(&config, &r->relay, err);
}

static int prepare(struct run *r, const struct sq_agent_command *alone,
                   struct sq_guest_boot *boot, struct sq_vm_spec *spec,
                   struct squib_error *err)
{
    int rc = sq_guest_boot_prepare(&r->o, r->backend, alone, boot, spec,
                                   err);

    if (rc == SQUIB_E_NOTFOUND && !boot->kernel.path[0] &&
        boot->kernel.tried[0]) {
        /* The list is longer than an error's text. */
        sq_say("%s; looked at:\n%s  do: squib kernel fetch (or: make "
               "kernel-fetch, apt install %s)",
               err->text, boot->kernel.tried, boot->kernel.guest->package);
        err->text[0] = '\0';
    }
    if (!rc && r->o.verbose) {
        sq_say("kernel %s, %zu modules, initramfs %zu KiB", boot->kernel.boot,
               boot->module_count, boot->initramfs.len / 1024);
        sq_say("command line: %s", spec->cmdline);
    }
    return rc;
}

static int make_machine(struct run *r, struct sq_guest_boot *boot,
                        struct squib_error *err)
{
    struct sq_vm_spec *spec = calloc(1, sizeof(*spec));
    struct sq_boot_blob initrd;
    struct sq_vmm_env env = {
        .backend = r->backend,
        .poller = r->poller,
        .initrd = &initrd,
        .initrd_parts = 1,
        .vsock_host = &sq_relay_host_ops,
        .vsock_ctx = r->relay,
        .stopped = on_stopped,
        .ctx = r,
    };
    int rc;

    if (!spec)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    rc = prepare(r, NULL, boot, spec, err);
    if (!rc) {
        initrd.data = boot->initramfs.data;
        initrd.len = boot->initramfs.len;
        rc = sq_vmm_new(spec, &env, &r->vmm, err);
    }
    free(spec);
    return rc;
}

/* The same machine, described. */
static int dry_run(struct run *r, const struct sq_agent_command *command,
                   struct sq_guest_boot *boot, struct squib_error *err)
{
    struct sq_vm_spec *spec = calloc(1, sizeof(*spec));
    struct sq_agent_command alone = *command;
    int rc;

    if (!spec)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    /* The console is a terminal, but must not control the command: the
     * kernel drops a terminal's output when what it controls ends. */
    alone.flags = SQ_AGENT_RUN_STDIN;
    rc = prepare(r, &alone, boot, spec, err);
    if (!rc)
        rc = sq_dry_run_print(boot, spec, err);
    if (!rc && r->o.pci)
        sq_say("--pci is not in the file: start it with --enable-pci");
    free(spec);
    return rc;
}

/* --- the end ----------------------------------------------------------- */

static void say_line(void *ctx, const char *line)
{
    int *lines = ctx;

    if ((*lines)++ == 0)
        sq_print("  the guest's last console lines:\n");
    sq_print("  | %s\n", line);
}

static void say_tail(struct run *r)
{
    int lines = 0;

    if (r->o.console)
        return; /* it was shown as it came */
    sq_vmm_tail(r->vmm, say_line, &lines);
    if (!lines)
        sq_print("  (the guest wrote nothing to its console)\n");
}

static int machine_died(struct run *r, const struct sq_outcome *outcome)
{
    const char *when = !sq_relay_connected(r->relay)
                           ? "before its agent answered"
                           : !sq_relay_started(r->relay)
                                 ? "before the command started"
                                 : "before the command ended";
    char panic[200];

    if (outcome->kind == SQ_OUTCOME_RESET &&
        sq_vmm_panic(r->vmm, panic, sizeof(panic)))
        sq_say("the guest's kernel panicked %s\n  %s", when, panic);
    else
        sq_say("%s %s%s%s", sq_outcome_name(outcome->kind), when,
               outcome->text[0] ? "\n  " : "", outcome->text);
    say_tail(r);
    return SQ_STATUS_SQUIB;
}

static int final_status(struct run *r)
{
    struct sq_outcome outcome = sq_vmm_outcome(r->vmm);

    if (r->last_signal)
        return 128 + r->last_signal;
    if (outcome.kind == SQ_OUTCOME_TIMEOUT) {
        const char *t = r->o.timeout_text;

        /* a bare number is seconds */
        sq_say("the time limit of %s%s ran out (--timeout)", t,
               t[strspn(t, "0123456789.")] ? "" : " s");
        if (!sq_relay_started(r->relay))
            say_tail(r);
        return SQ_STATUS_TIMEOUT;
    }
    if (r->relay_done && r->end == SQ_RELAY_EXITED)
        return r->status;
    if (r->relay_done && r->end == SQ_RELAY_DETACHED)
        return 128 + SIGKILL;
    if (r->relay_done && r->end == SQ_RELAY_FAILED) {
        sq_say("%s", r->text[0] ? r->text : "the command did not start");
        return r->status;
    }
    return machine_died(r, &outcome);
}

static void say_metrics(const struct run *r)
{
    struct sq_vmm_metrics m;
    uint64_t now = sq_now_ns();

    sq_vmm_metrics(r->vmm, &m);
    sq_say("%.2f s in all, %.2f s to the command, %" PRIu64 " guest "
           "instructions", (double)(now - r->start_ns) / 1e9,
           r->started_ns ? (double)(r->started_ns - r->start_ns) / 1e9 : 0.0,
           m.insns);
    sq_print("squib: exits:");
    for (unsigned k = 0; k < SQUIB_EXIT_COUNT; k++)
        if (m.exits[k])
            sq_print(" %s %" PRIu64, squib_exit_name(k), m.exits[k]);
    sq_print("\n");
    if (sq_vmm_summary(r->vmm)[0])
        sq_say("%s", sq_vmm_summary(r->vmm));
}

static int run_machine(struct run *r, struct squib_error *err)
{
    int rc = sq_vmm_start(r->vmm, err);

    if (!rc && r->o.timeout_ns)
        sq_timer_arm(r->poller, &r->timeout, r->start_ns + r->o.timeout_ns);
    if (!rc)
        rc = sq_poller_run(r->poller, err);
    sq_timer_disarm(r->poller, &r->timeout);
    sq_timer_disarm(r->poller, &r->last_bytes);
    sq_timer_disarm(r->poller, &r->agent_gone);
    sq_terminal_restore();
    return rc;
}

static bool want_tty(const struct run *r)
{
    if (r->o.tty == SQ_TTY_AUTO)
        return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    return r->o.tty == SQ_TTY_YES;
}

/* Everything before the machine runs. */
static int set_up(struct run *r, struct sq_guest_boot *boot,
                  struct squib_error *err)
{
    struct env *env = calloc(1, sizeof(*env));
    struct sq_agent_command command;
    int rc;

    if (!env)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    rc = sq_spec_check_size(r->o.vcpus, r->o.mem_mib, err);
    if (!rc && r->o.dry_run)
        rc = sq_dry_run_check(&r->o, err);
    if (!rc)
        rc = sq_poller_new(&r->poller, err);
    if (!rc) {
        rc = sq_signals_init(&r->signals, r->poller, on_signal, r, err);
        if (rc) {
            sq_poller_free(r->poller);
            r->poller = NULL;
        }
    }
    if (!rc && r->o.publish_count && !r->o.dry_run)
        rc = sq_publish_new(r->o.publish, r->o.publish_count, r->poller,
                            &r->publish, err);
    if (!rc)
        rc = choose_backend(r, err);
    if (!rc)
        rc = describe_command(r, env, &command, err);
    if (!rc && r->o.dry_run)
        rc = dry_run(r, &command, boot, err);
    else if (!rc && (rc = make_relay(r, &command, err)) == 0)
        rc = make_machine(r, boot, err);
    free_env(env);
    return rc;
}

static int run_all(struct run *r)
{
    struct sq_guest_boot *boot = calloc(1, sizeof(*boot));
    struct squib_error err = {0};
    int status = SQ_STATUS_SQUIB, rc;

    if (!boot)
        return status;
    rc = set_up(r, boot, &err);
    sq_guest_boot_release(boot);
    free(boot);
    if (!rc && r->o.dry_run)
        status = SQ_STATUS_OK;
    else if (!rc)
        rc = run_machine(r, &err);
    if (!rc && !r->o.dry_run) {
        sq_vmm_drain_console(r->vmm, LAST_BYTES_NS);
        status = final_status(r);
        if (r->o.verbose)
            say_metrics(r);
    } else if (rc && err.text[0]) {
        sq_say_error(&err);
    }
    sq_publish_free(r->publish);
    sq_vmm_free(r->vmm);
    sq_relay_free(r->relay);
    if (r->poller)
        sq_signals_fini(&r->signals);
    sq_poller_free(r->poller);
    return status;
}

/* Options typed behind the command would silently go to the guest. */
static void hint_late_options(const struct sq_run_options *o)
{
    if (!o->quiet && o->command[0] && o->command[0][0] == '-')
        sq_say("note: '%s' after ROOT or -- is the command, not an option "
               "of squib", o->command[0]);
}

int sq_verb_run(int argc, char *argv[])
{
    struct run *r = calloc(1, sizeof(*r));
    struct squib_error err = {0};
    int status = SQ_STATUS_SQUIB;

    if (!r)
        return status;
    r->start_ns = sq_now_ns();
    r->timeout.fn = on_timeout;
    r->last_bytes.fn = on_last_bytes;
    r->agent_gone.fn = on_agent_gone;
    r->timeout.ctx = r->last_bytes.ctx = r->agent_gone.ctx = r;
    if (sq_run_options_parse(&r->o, argc, argv, 1, &err)) {
        sq_say_error(&err);
        if (err.code != SQUIB_E_NOSUPPORT && !strstr(err.text, "do: "))
            sq_print("  do: squib help run\n");
    } else if (r->o.help) {
        sq_run_options_help(stdout);
        status = SQ_STATUS_OK;
    } else {
        r->tty = want_tty(r);
        hint_late_options(&r->o);
        status = run_all(r);
    }
    free(r);
    return status;
}
