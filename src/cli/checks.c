/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <squib/backend.h>

#include "arch/modules.h"
#include "base/util.h"
#include "cli/doctor.h"
#include "cli/guest_boot.h"
#include "cli/root.h"
#include "os/confine.h"
#include "os/host.h"

static void fact(struct sq_finding *f, enum sq_check_result result,
                 const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void fact(struct sq_finding *f, enum sq_check_result result,
                 const char *fmt, ...)
{
    va_list ap;

    f->result = result;
    va_start(ap, fmt);
    vsnprintf(f->fact, sizeof(f->fact), fmt, ap);
    va_end(ap);
}

static void remedy(struct sq_finding *f, const char *text)
{
    snprintf(f->remedy, sizeof(f->remedy), "%s", text);
}

/* Splits "fact\n  do: remedy". */
static void from_error(struct sq_finding *f, enum sq_check_result result,
                       const struct squib_error *err)
{
    const char *cut = strstr(err->text, "\n  do: ");

    fact(f, result, "%.*s", cut ? (int)(cut - err->text)
                                : (int)strlen(err->text), err->text);
    if (cut)
        remedy(f, cut + strlen("\n  do: "));
}

static void check_host(const struct sq_doctor *d, struct sq_finding *f)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct utsname u;

    (void)d;
    if (uname(&u) != 0) {
        fact(f, SQ_CHECK_WARN, "the host does not say what it is");
        return;
    }
    fact(f, SQ_CHECK_OK, "%s %s on %s, %ld CPU%s", u.sysname, u.release,
         u.machine, cpus, cpus == 1 ? "" : "s");
}

static void check_memory(const struct sq_doctor *d, struct sq_finding *f)
{
    unsigned long long kib = sq_host_free_memory() / 1024;

    (void)d;
    if (!kib) {
        fact(f, SQ_CHECK_OK, "free memory is not known here");
        return;
    }
    fact(f, kib < 700 * 1024 ? SQ_CHECK_WARN : SQ_CHECK_OK,
         "%llu MiB of memory are free", kib / 1024);
    if (f->result == SQ_CHECK_WARN)
        remedy(f, "give guests less than the default 512M with --memory");
}

/* Hardware backends are welcome, not needed. */
static void check_hardware(const struct sq_doctor *d, struct sq_finding *f)
{
    struct squib_error err = {0};
    bool any = false;

    (void)d;
    for (size_t i = 0; squib_backend_at(i); i++) {
        const struct squib_backend *be = squib_backend_at(i);

        if (!(squib_backend_caps(be) & SQUIB_CAP_HARDWARE))
            continue;
        any = true;
        if (squib_backend_probe(be, &err) == 0) {
            fact(f, SQ_CHECK_OK, "backend %s works",
                 squib_backend_name(be));
            return;
        }
    }
    if (any)
        from_error(f, SQ_CHECK_WARN, &err);
    else
        fact(f, SQ_CHECK_WARN, "this squib has no hardware backend");
}

static void check_backend(const struct sq_doctor *d, struct sq_finding *f)
{
    const struct squib_backend *be;
    struct squib_error err = {0};
    char why[256];

    (void)d;
    if (squib_backend_choose("auto", &be, why, sizeof(why), &err))
        from_error(f, SQ_CHECK_FAIL, &err);
    else
        fact(f, SQ_CHECK_OK, "auto takes %s: %s", squib_backend_name(be),
             why);
}

static void check_kernel(const struct sq_doctor *d, struct sq_finding *f)
{
    if (d->kernel_err.code) {
        from_error(f, SQ_CHECK_FAIL, &d->kernel_err);
        if (!f->remedy[0])
            remedy(f, "squib kernel fetch");
        return;
    }
    fact(f, SQ_CHECK_OK, "%s%s%s", d->kernel.path,
         d->kernel.release[0] ? ", Linux " : "", d->kernel.release);
}

static void check_modules(const struct sq_doctor *d, struct sq_finding *f)
{
    const char *wanted[SQ_GUEST_MODULES_MAX];
    size_t n = sq_guest_modules("ext4", true, false, false, wanted);
    struct sq_module_list list = {0};
    struct squib_error err = {0};

    if (d->kernel_err.code) {
        fact(f, SQ_CHECK_WARN, "not looked at: no kernel");
    } else if (!d->kernel.modules[0]) {
        fact(f, SQ_CHECK_OK, "none beside this kernel: it must have all "
             "drivers built in");
    } else if (sq_modules_resolve(d->kernel.modules, wanted, n, &list,
                                  &err)) {
        from_error(f, SQ_CHECK_FAIL, &err);
    } else if (list.missing_count) {
        fact(f, SQ_CHECK_FAIL, "%s is not in %s", list.missing[0],
             d->kernel.modules);
        remedy(f, "squib kernel fetch");
    } else {
        fact(f, SQ_CHECK_OK, "%zu needed ones are in %s", list.count,
             d->kernel.modules);
    }
    sq_modules_free(&list);
}

static void check_agent(const struct sq_doctor *d, struct sq_finding *f)
{
    size_t len = (size_t)(d->guest->agent_end - d->guest->agent);

    if (len) {
        fact(f, SQ_CHECK_OK, "the guest agent for %s is built in (%zu KiB)",
             d->guest->name, (len + 1023) / 1024);
        return;
    }
    fact(f, SQ_CHECK_FAIL, "this squib was built without the guest agent "
         "for %s", d->guest->name);
    remedy(f, "apt install musl-tools, then build squib again");
}

static void check_busybox(const struct sq_doctor *d, struct sq_finding *f)
{
    struct squib_error err = {0};
    char path[SQ_PATH_MAX];

    if (sq_root_find_busybox(d->guest, path, &err))
        from_error(f, SQ_CHECK_FAIL, &err);
    else
        fact(f, SQ_CHECK_OK, "the built-in root uses %s", path);
}

static void check_packer(const struct sq_doctor *d, struct sq_finding *f)
{
    const char *tool = sq_root_find_mke2fs();

    (void)d;
    if (tool) {
        fact(f, SQ_CHECK_OK, "directories are packed with %s", tool);
        return;
    }
    fact(f, SQ_CHECK_WARN, "no mke2fs: a directory cannot be the root");
    remedy(f, "apt install e2fsprogs");
}

static void check_filters(const struct sq_doctor *d, struct sq_finding *f)
{
    const char *why;

    (void)d;
    if (sq_confine_default(&why))
        fact(f, SQ_CHECK_OK, "squib's own system calls are filtered");
    else
        fact(f, SQ_CHECK_WARN, "%s", why);
    if (f->result == SQ_CHECK_WARN)
        remedy(f, "rely on other walls around squib: a user of its own, a "
               "container");
}

static void check_cache(const struct sq_doctor *d, struct sq_finding *f)
{
    struct squib_error err = {0};
    char path[SQ_PATH_MAX];
    struct statvfs v;

    (void)d;
    if (sq_path_cache(path, "", true, &err)) {
        from_error(f, SQ_CHECK_WARN, &err);
    } else if (access(path, W_OK) != 0 || statvfs(path, &v) != 0) {
        fact(f, SQ_CHECK_WARN, "%s cannot be written", path);
    } else {
        unsigned long long mib =
            (unsigned long long)v.f_bavail * v.f_frsize >> 20;

        fact(f, mib < 300 ? SQ_CHECK_WARN : SQ_CHECK_OK,
             "%s, %llu MiB free", path, mib);
    }
    if (f->result == SQ_CHECK_WARN)
        remedy(f, "set XDG_CACHE_HOME to a directory with room");
}

const struct sq_check sq_checks[] = {
    {"host", check_host},
    {"memory", check_memory},
    {"hardware", check_hardware},
    {"backend", check_backend},
    {"kernel", check_kernel},
    {"modules", check_modules},
    {"agent", check_agent},
    {"busybox", check_busybox},
    {"mke2fs", check_packer},
    {"cache", check_cache},
    {"filters", check_filters},
};

const size_t sq_check_count = SQ_ARRAY_LEN(sq_checks);
