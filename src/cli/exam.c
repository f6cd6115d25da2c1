/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `squib exam`: a program that tests the machine it runs on, like those of
 * kvm-unit-tests, on a machine with the test device. Its serial output is
 * on stdout; it ends with a status of its own.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <squib/squib.h>

#include "base/err.h"
#include "base/util.h"
#include "cli/options.h"
#include "cli/fatal.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "cli/verbs.h"
#include "os/clock.h"
#include "vmm/vmm.h"

#define LAST_BYTES_NS 1000000000u
#define MEM_MIB 128u

enum {
    O_BACKEND, O_CPUS, O_MEMORY, O_INITRD, O_TIMEOUT, O_VERBOSE, O_HELP,
};

static const struct sq_option table[] = {
    {'b', "backend", "NAME", "what runs the guest's code (default auto)",
     O_BACKEND},
    {'c', "cpus", "N", "virtual CPUs, 1 to 32 (default 1)", O_CPUS},
    {'m', "memory", "SIZE", "memory of the guest (default 128M)", O_MEMORY},
    {0, "initrd", "FILE", "a module for the program", O_INITRD},
    {0, "timeout", "TIME", "give up after this (30s, 5m)", O_TIMEOUT},
    {'v', "verbose", NULL, "say which backend, and what it did", O_VERBOSE},
    {'h', "help", NULL, "show this", O_HELP},
};

struct exam {
    struct sq_vm_spec spec;
    unsigned long long timeout_ns; /* 0: none */
    bool verbose, help;
    const char *name; /* of the backend */
    const struct squib_backend *backend;
    struct sq_poller *poller;
    struct sq_signals signals;
    struct sq_timer timeout;
    struct sq_vmm *vmm;
    int signal; /* that stopped it; 0: none */
};

static int take(void *ctx, const struct sq_option *option, const char *value,
                struct squib_error *err)
{
    struct exam *x = ctx;
    struct sq_vm_spec *s = &x->spec;

    switch (option->id) {
    case O_BACKEND:
        x->name = value;
        return 0;
    case O_CPUS:
        return sq_parse_u32("--cpus", value, &s->vcpus, err);
    case O_MEMORY:
        return sq_parse_mib("--memory", value, &s->mem_mib, err);
    case O_INITRD:
        return sq_spec_set(s->initrd, sizeof(s->initrd), "--initrd", value,
                           err);
    case O_TIMEOUT:
        return sq_parse_duration("--timeout", value, &x->timeout_ns, err);
    case O_VERBOSE:
        x->verbose = true;
        return 0;
    default:
        x->help = true;
        return 0;
    }
}

/* The command line is the program's name and its arguments, as a boot
 * loader passes them on. */
static int parse(struct exam *x, int argc, char *argv[],
                 struct squib_error *err)
{
    struct sq_options_end end;
    struct sq_vm_spec *s = &x->spec;
    int rc = sq_options_parse(table, SQ_ARRAY_LEN(table), argc, argv, 1,
                              take, x, &end, err);

    if (rc || x->help)
        return rc;
    if (end.rest >= argc)
        return sq_err_set(err, SQUIB_E_INVAL, "exam: which program?");
    if (access(argv[end.rest], R_OK) != 0)
        return sq_err_os(err, SQUIB_E_NOTFOUND, errno, "exam: %.150s",
                         argv[end.rest]);
    rc = sq_spec_set(s->kernel, sizeof(s->kernel), "the program",
                     argv[end.rest], err);
    if (!rc)
        rc = sq_spec_set(s->cmdline, sizeof(s->cmdline),
                         "the program's name", argv[end.rest], err);
    for (int i = end.rest + 1; i < argc && !rc; i++)
        rc = sq_spec_append(s, argv[i], err);
    return rc;
}

static void on_signal(void *ctx, int signo)
{
    struct exam *x = ctx;

    if (signo == SIGWINCH || signo == SIGUSR1 || signo == SIGUSR2)
        return;
    x->signal = signo;
    if (x->vmm)
        sq_vmm_stop(x->vmm, SQ_OUTCOME_KILLED, NULL);
}

static void on_timeout(void *ctx, uint64_t now_ns)
{
    struct exam *x = ctx;

    (void)now_ns;
    sq_vmm_stop(x->vmm, SQ_OUTCOME_TIMEOUT, NULL);
}

static void on_stopped(void *ctx)
{
    struct exam *x = ctx;

    sq_poller_stop(x->poller);
}

static int run(struct exam *x, struct squib_error *err)
{
    char why[256];
    struct sq_vmm_env env = {
        .confine = sq_confine_default(NULL),
        .stopped = on_stopped,
        .ctx = x,
    };
    int rc = sq_poller_new(&x->poller, err);

    if (rc)
        return rc;
    rc = sq_signals_init(&x->signals, x->poller, on_signal, x, err);
    if (rc) {
        sq_poller_free(x->poller);
        x->poller = NULL;
        return rc;
    }
    sq_fatal_hook_calls();
    rc = squib_backend_choose(x->name, &x->backend, why, sizeof(why), err);
    if (rc)
        return rc;
    if (x->verbose)
        sq_say("%s", why);
    env.backend = x->backend;
    env.poller = x->poller;
    rc = sq_vmm_new(&x->spec, &env, &x->vmm, err);
    if (!rc)
        rc = sq_vmm_start(x->vmm, err);
    if (!rc && x->timeout_ns)
        sq_timer_arm(x->poller, &x->timeout, sq_now_ns() + x->timeout_ns);
    if (!rc)
        rc = sq_poller_run(x->poller, err);
    if (!rc)
        sq_vmm_drain_console(x->vmm, LAST_BYTES_NS);
    return rc;
}

static int final_status(struct exam *x)
{
    struct sq_outcome o = sq_vmm_outcome(x->vmm);
    int status = sq_vmm_test_status(x->vmm);

    if (x->verbose && sq_vmm_summary(x->vmm)[0])
        sq_say("%s", sq_vmm_summary(x->vmm));
    if (x->signal)
        return 128 + x->signal;
    if (status != SQ_VMM_NO_TEST_STATUS)
        return status;
    sq_say("exam: no status: %s%s%s", sq_outcome_name(o.kind),
           o.text[0] ? ": " : "", o.text);
    return o.kind == SQ_OUTCOME_TIMEOUT ? SQ_STATUS_TIMEOUT
                                        : SQ_STATUS_SQUIB;
}

static void show_help(void)
{
    puts("usage: squib exam [OPTIONS] PROGRAM [ARGUMENTS]\n"
         "\n"
         "Runs a multiboot program, like those of kvm-unit-tests, on a "
         "machine with QEMU's\ntest devices. Its serial port is stdin and "
         "stdout. The exit status is twice the\nvalue that it writes to "
         "port 0xf4, plus one; 124 when the time ran out; 125 when\nit "
         "ended otherwise.\n");
    sq_options_help(table, SQ_ARRAY_LEN(table), stdout);
}

int sq_verb_exam(int argc, char *argv[])
{
    struct exam *x = calloc(1, sizeof(*x));
    struct squib_error err = {0};
    int status = SQ_STATUS_SQUIB;

    if (!x)
        return status;
    sq_spec_init(&x->spec);
    x->spec.mem_mib = MEM_MIB;
    x->name = "auto";
    x->spec.serial = SQ_SERIAL_STDIO;
    x->spec.test_device = true;
    x->timeout.fn = on_timeout;
    x->timeout.ctx = x;
    if (parse(x, argc, argv, &err)) {
        sq_say_error(&err);
        sq_print("  do: squib help exam\n");
    } else if (x->help) {
        show_help();
        status = SQ_STATUS_OK;
    } else if (run(x, &err)) {
        sq_say_error(&err);
    } else {
        status = final_status(x);
    }
    sq_vmm_free(x->vmm);
    if (x->poller)
        sq_signals_fini(&x->signals);
    sq_poller_free(x->poller);
    free(x);
    return status;
}
