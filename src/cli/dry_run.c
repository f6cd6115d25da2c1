/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/dry_run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/resources.h"
#include "arch/hostfile.h"
#include "base/err.h"
#include "cli/net_option.h"
#include "cli/paths.h"

#define INITRD_MAX (1u << 30)

int sq_dry_run_check(const struct sq_run_options *o,
                     struct squib_error *err)
{
    const char *what = NULL;

    if (sq_net_option_wanted(o->net) && !sq_net_option_is_tap(o->net))
        what = "--net user and --net unix=PATH have";
    if (o->publish_count)
        what = "-p has";
    if (o->pci)
        what = "--pci (there a flag, --enable-pci) has";
    if (what)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "--dry-run: %s no equal in "
                          "Firecracker's configuration file\n  do: leave it "
                          "out; of networks use --net tap=NAME", what);
    return 0;
}

/* --- the initramfs as a file ------------------------------------------- */

/* FNV-1a: the same machine has the same file, others have others. */
static uint64_t mix(uint64_t hash, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static int put(int fd, const uint8_t *bytes, size_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

/* One archive after the other, each at a multiple of 4. */
static int write_parts(const char *path, const uint8_t *first,
                       size_t first_len, const struct sq_initramfs *second,
                       struct squib_error *err)
{
    static const uint8_t zeros[3];
    char temp[SQ_PATH_MAX];
    int fd, e, rc = sq_path_format(temp, err, "%s.%ld", path, (long)getpid());

    if (rc)
        return rc;
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "cannot write %s", temp);
    e = put(fd, first, first_len);
    if (!e)
        e = put(fd, zeros, (4 - first_len % 4) % 4);
    if (!e)
        e = put(fd, second->data, second->len);
    close(fd);
    if (!e && rename(temp, path) != 0)
        e = errno;
    if (e)
        unlink(temp);
    return e ? sq_err_os(err, SQUIB_E_OS, e, "cannot write %s", path) : 0;
}

static int keep_initrd(const struct sq_guest_boot *boot,
                       struct sq_vm_spec *spec, struct squib_error *err)
{
    char dir[SQ_PATH_MAX], path[SQ_PATH_MAX];
    uint8_t *first = NULL;
    size_t first_len = 0;
    uint64_t hash = 0xcbf29ce484222325u;
    int rc = sq_path_cache(dir, "dry-run", true, err);

    if (!rc && spec->initrd[0])
        rc = sq_hostfile_read(spec->initrd, INITRD_MAX, &first, &first_len,
                              err);
    if (!rc) {
        hash = mix(hash, first, first_len);
        hash = mix(hash, boot->initramfs.data, boot->initramfs.len);
        rc = sq_path_format(path, err, "%s/%016" PRIx64 ".initrd", dir,
                            hash);
    }
    if (!rc)
        rc = write_parts(path, first, first_len, &boot->initramfs, err);
    free(first);
    return rc ? rc : sq_spec_set(spec->initrd, sizeof(spec->initrd),
                                 "the initrd's path", path, err);
}

/* --- the machine ------------------------------------------------------- */

/* Wherever the file is read from. */
static void make_absolute(char path[SQ_SPEC_PATH_MAX])
{
    char *real = path[0] ? realpath(path, NULL) : NULL;

    if (real && strlen(real) < SQ_SPEC_PATH_MAX)
        strcpy(path, real);
    free(real);
}

static int print(const struct sq_resources *r, struct squib_error *err)
{
    json_t *shown = sq_resources_show(r, NULL);
    char *text = shown ? json_dumps(shown, JSON_INDENT(2)) : NULL;

    json_decref(shown);
    if (!text)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    puts(text);
    free(text);
    return 0;
}

int sq_dry_run_print(struct sq_guest_boot *boot,
                     const struct sq_vm_spec *spec, struct squib_error *err)
{
    struct sq_resources r;
    int rc = sq_resources_init(&r, err);

    if (rc)
        return rc;
    sq_spec_copy(r.spec, spec);
    r.mem_mib = spec->mem_mib;
    r.has_boot_args = true;
    /* The command comes with the initramfs; nobody is there to talk to. */
    r.spec->vsock = false;
    rc = keep_initrd(boot, r.spec, err);
    make_absolute(r.spec->kernel);
    for (uint32_t i = 0; i < spec->drive_count; i++) {
        make_absolute(r.spec->drives[i].path);
        /* The initramfs mounts it, not the kernel. */
        r.spec->drives[i].is_root = false;
    }
    if (!rc)
        rc = print(&r, err);
    if (!rc)
        boot->root.temporary = false; /* the file names it */
    sq_resources_fini(&r);
    return rc;
}
