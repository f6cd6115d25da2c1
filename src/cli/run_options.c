/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_options.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "cli/net_option.h"
#include "cli/options.h"

enum id {
    O_MEMORY, O_CPUS, O_ENV, O_WORKDIR, O_USER, O_HOSTNAME, O_KERNEL,
    O_INITRD, O_APPEND, O_NET, O_CONSOLE, O_TIMEOUT, O_BACKEND, O_TTY, O_NO_TTY,
    O_PCI, O_DETERMINISTIC, O_SEED, O_JIT_LIMIT, O_NO_HOST, O_PUBLISH, O_DISK,
    O_DRY_RUN, O_NO_SECCOMP, O_VERBOSE, O_QUIET, O_HELP, O_NOTHING, O_LATER,
};

static const struct sq_option table[] = {
    {'m', "memory", "SIZE", "memory of the guest, like 512M or 2G "
     "(default 512M)", O_MEMORY},
    {'c', "cpus", "N", "virtual CPUs, 1 to 32 (default 1)", O_CPUS},
    {'e', "env", "NAME[=VALUE]", "set a variable, or pass yours on; may be "
     "repeated", O_ENV},
    {'w', "workdir", "DIR", "directory the command starts in (default /)",
     O_WORKDIR},
    {'u', "user", "UID[:GID]", "numbers to run the command as (default 0:0)",
     O_USER},
    {0, "hostname", "NAME", "the guest's host name (default squib)",
     O_HOSTNAME},
    {'k', "kernel", "FILE", "guest kernel: vmlinux or bzImage", O_KERNEL},
    {0, "initrd", "FILE", "archive to put in front of squib's own", O_INITRD},
    {0, "append", "WORDS", "more words for the kernel command line",
     O_APPEND},
    {0, "net", "KIND", "network: none (default), user (no privileges "
     "needed), tap=NAME, unix=PATH (passt, gvproxy)", O_NET},
    {0, "no-host", NULL, "with --net user: this host's own services are out "
     "of reach", O_NO_HOST},
    {'p', "publish", "[IP:]HOST:GUEST", "a TCP port of this host (127.0.0.1 "
     "unless IP says else) leads to one of the guest; may be repeated",
     O_PUBLISH},
    {0, "disk", "FILE[:ro]", "another disk: an image that the guest may "
     "write; may be repeated", O_DISK},
    {0, "dry-run", NULL, "print the machine as Firecracker's configuration "
     "file and end", O_DRY_RUN},
    {0, "pci", NULL, "devices on a PCI bus instead of virtio-mmio", O_PCI},
    {0, "console", NULL, "show the kernel's console on standard error",
     O_CONSOLE},
    {0, "timeout", "TIME", "stop after this time (30s, 5m), status 124",
     O_TIMEOUT},
    {0, "backend", "NAME", "what runs the guest's code, like kvm or soft "
     "(default auto)", O_BACKEND},
    {0, "deterministic", NULL, "time is the count of the guest's "
     "instructions: runs repeat exactly (backend soft, 1 CPU)",
     O_DETERMINISTIC},
    {0, "seed", "N", "where the guest's entropy comes from then (default 0)",
     O_SEED},
    {0, "jit-limit", "N", "translate N blocks only: to find a wrong one",
     O_JIT_LIMIT},
    {0, "no-seccomp", NULL, "no filters of squib's own system calls",
     O_NO_SECCOMP},
    {'t', "tty", NULL, "give the command a terminal (default: when stdin and "
     "stdout are terminals)", O_TTY},
    {'T', "no-tty", NULL, "give the command plain streams", O_NO_TTY},
    {'v', "verbose", NULL, "say what is being done", O_VERBOSE},
    {'q', "quiet", NULL, "do not say which backend runs", O_QUIET},
    {'h', "help", NULL, "show this", O_HELP},
    {0, "network", "KIND", NULL, O_NET},
    /* Docker habits that are squib's defaults. */
    {'i', "interactive", NULL, NULL, O_NOTHING},
    {0, "rm", NULL, NULL, O_NOTHING},
    /* Known, but not in this version: a clear refusal beats "no option". */
    {0, "name", "NAME", NULL, O_LATER},
    {'d', "detach", NULL, NULL, O_LATER},
    {0, "volume", "HOST:GUEST", NULL, O_LATER},
    {0, "rw", NULL, NULL, O_LATER},
    {0, "env-file", "FILE", NULL, O_LATER},
    {0, "tmpfs", "DIR", NULL, O_LATER},
};

static int take_user(struct sq_run_options *o, const char *value,
                     struct squib_error *err)
{
    const char *colon = strchr(value, ':');
    char uid[16];
    size_t len = colon ? (size_t)(colon - value) : strlen(value);
    int rc;

    if (len >= sizeof(uid))
        return sq_err_set(err, SQUIB_E_INVAL, "--user: '%.40s' is not a "
                          "number", value);
    memcpy(uid, value, len);
    uid[len] = '\0';
    rc = sq_parse_u32("--user", uid, &o->uid, err);
    o->gid = o->uid;
    return rc || !colon ? rc
                        : sq_parse_u32("--user", colon + 1, &o->gid, err);
}

static int take_env(struct sq_run_options *o, const char *value,
                    struct squib_error *err)
{
    if (!value[0] || value[0] == '=')
        return sq_err_set(err, SQUIB_E_INVAL, "--env: '%.40s' has no name",
                          value);
    if (o->env_count == SQ_RUN_ENV_MAX)
        return sq_err_set(err, SQUIB_E_INVAL, "--env: more than %d "
                          "variables", SQ_RUN_ENV_MAX);
    o->env[o->env_count++] = value;
    return 0;
}

static int take_port(struct sq_run_options *o, const char *value,
                     struct squib_error *err)
{
    if (o->publish_count == SQ_PUBLISH_MAX)
        return sq_err_set(err, SQUIB_E_INVAL, "-p: at most %d ports are "
                          "possible", SQ_PUBLISH_MAX);
    return sq_publish_parse(value, &o->publish[o->publish_count++], err);
}

static int take_disk(struct sq_run_options *o, const char *value,
                     struct squib_error *err)
{
    struct sq_run_disk *d = &o->disk[o->disk_count];
    size_t len = strlen(value);
    int e;

    if (o->disk_count == SQ_RUN_DISKS_MAX)
        return sq_err_set(err, SQUIB_E_INVAL, "--disk: at most %d are "
                          "possible", SQ_RUN_DISKS_MAX);
    d->read_only = len > 3 && strcmp(value + len - 3, ":ro") == 0;
    len -= d->read_only ? 3 : 0;
    if (!len || len >= sizeof(d->path))
        return sq_err_set(err, SQUIB_E_INVAL, "--disk: '%.60s' is no path of "
                          "a file", value);
    memcpy(d->path, value, len);
    d->path[len] = '\0';
    o->disk_count++;
    if (access(d->path, d->read_only ? R_OK : R_OK | W_OK) == 0)
        return 0;
    e = errno;
    return sq_err_set(err, SQUIB_E_OS, "--disk %.150s: %s\n  do: %s", d->path,
                      strerror(e),
                      e == ENOENT ? "make the image (truncate -s 1G FILE)"
                      : d->read_only
                          ? "give a disk image that can be read"
                          : "give a disk image that can be written, or "
                            "FILE:ro");
}

static int check_hostname(const char *name, struct squib_error *err)
{
    size_t len = strlen(name);

    if (!len || len > 64 || strcspn(name, " \t\n=") != len)
        return sq_err_set(err, SQUIB_E_INVAL, "--hostname: '%.64s' is no "
                          "host name", name);
    return 0;
}

static int take(void *ctx, const struct sq_option *option, const char *value,
                struct squib_error *err)
{
    struct sq_run_options *o = ctx;

    switch ((enum id)option->id) {
    case O_MEMORY:
        return sq_parse_mib("--memory", value, &o->mem_mib, err);
    case O_CPUS:
        return sq_parse_u32("--cpus", value, &o->vcpus, err);
    case O_ENV:
        return take_env(o, value, err);
    case O_WORKDIR:
        if (value[0] != '/')
            return sq_err_set(err, SQUIB_E_INVAL, "--workdir: '%.80s' is not "
                              "an absolute path in the guest", value);
        o->workdir = value;
        return 0;
    case O_USER:
        return take_user(o, value, err);
    case O_HOSTNAME:
        o->hostname = value;
        return check_hostname(value, err);
    case O_KERNEL:
        o->kernel = value;
        return 0;
    case O_INITRD:
        o->initrd = value;
        return 0;
    case O_APPEND:
        o->append = value;
        return 0;
    case O_NET:
        o->net = value;
        return sq_net_option_check(value, err);
    case O_NO_HOST:
        o->no_host = true;
        return 0;
    case O_PUBLISH:
        return take_port(o, value, err);
    case O_DISK:
        return take_disk(o, value, err);
    case O_DRY_RUN:
        o->dry_run = true;
        return 0;
    case O_PCI:
        o->pci = true;
        return 0;
    case O_CONSOLE:
        o->console = true;
        return 0;
    case O_TIMEOUT:
        o->timeout_text = value;
        return sq_parse_duration("--timeout", value, &o->timeout_ns, err);
    case O_BACKEND:
        o->backend = value;
        return 0;
    case O_TTY:
        o->tty = SQ_TTY_YES;
        return 0;
    case O_NO_TTY:
        o->tty = SQ_TTY_NO;
        return 0;
    case O_DETERMINISTIC:
        o->deterministic = true;
        return 0;
    case O_SEED:
        return sq_parse_u32("--seed", value, &o->seed, err);
    case O_JIT_LIMIT:
        return sq_parse_u32("--jit-limit", value, &o->jit_limit, err);
    case O_NO_SECCOMP:
        o->no_seccomp = true;
        return 0;
    case O_VERBOSE:
        o->verbose = true;
        return 0;
    case O_QUIET:
        o->quiet = true;
        return 0;
    case O_HELP:
        o->help = true;
        return 0;
    case O_NOTHING:
        return 0;
    case O_LATER:
        break;
    }
    return sq_err_set(err, SQUIB_E_NOSUPPORT,
                      "option --%s is not in this version\n  do: leave it "
                      "away; squib help run lists what there is",
                      option->name);
}

int sq_run_options_parse(struct sq_run_options *o, int argc,
                         char *const argv[], int from,
                         struct squib_error *err)
{
    struct sq_options_end end;
    int rc;

    memset(o, 0, sizeof(*o));
    o->mem_mib = 512;
    o->vcpus = 1;
    o->backend = "auto";
    rc = sq_options_parse(table, SQ_ARRAY_LEN(table), argc, argv, from, take,
                          o, &end, err);
    if (!rc && o->no_host && !sq_net_option_is_user(o->net))
        rc = sq_err_set(err, SQUIB_E_INVAL, "--no-host is about --net user");
    if (rc)
        return rc;
    if (!end.dashes && end.rest < argc) {
        o->root = argv[end.rest++];
        if (end.rest < argc && strcmp(argv[end.rest], "--") == 0)
            end.rest++;
    }
    o->command = argv + end.rest;
    return 0;
}

void sq_run_options_help(FILE *out)
{
    fputs("usage: squib run [OPTIONS] [ROOT] [--] [COMMAND [ARGUMENT...]]\n"
          "\n"
          "Runs a command in a fresh virtual machine and ends with its "
          "status.\n"
          "ROOT is a directory or an ext4, EROFS or squashfs image; what the "
          "guest\nwrites is thrown away. Without ROOT there is a small "
          "busybox system.\nWithout COMMAND there is a shell.\n"
          "\n"
          "  squib run -- uname -a\n"
          "  squib run -m 1G -c 2 ./rootfs python3 -V\n"
          "  tar c . | squib run -- tar t\n"
          "\n", out);
    sq_options_help(table, SQ_ARRAY_LEN(table), out);
    fputs("\n"
          "On a terminal Ctrl-] q stops the machine.\n"
          "Status: the command's; 128+N after signal N; 124 --timeout; 125 "
          "squib or the\nmachine failed; 126 not executable; 127 not "
          "found.\n", out);
}
