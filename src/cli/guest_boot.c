/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/guest_boot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/guest.h"
#include "arch/modules.h"
#include "base/err.h"
#include "cli/net_option.h"

/* For kernels that would look for a PCI bus where there is none. */
#define CMDLINE_NO_PCI "pci=off"
/* On the software CPU there is nothing to leak to, and each costs. */
#define CMDLINE_SOFT "mitigations=off"

size_t sq_guest_modules(const char *fstype, bool disks, bool net, bool pci,
                        const char *out[SQ_GUEST_MODULES_MAX])
{
    size_t n = 0;

    out[n++] = pci ? "virtio_pci" : "virtio_mmio";
    out[n++] = "vmw_vsock_virtio_transport";
    if (fstype || disks)
        out[n++] = "virtio_blk";
    if (fstype) {
        out[n++] = fstype;
        out[n++] = "overlay";
    }
    if (net)
        out[n++] = "virtio_net"; /* and with it failover, net_failover */
    return n;
}

static int find_modules(const struct sq_run_options *o,
                        const struct sq_guest_boot *boot,
                        struct sq_module_list *list, struct squib_error *err)
{
    const char *wanted[SQ_GUEST_MODULES_MAX];
    size_t n = sq_guest_modules(boot->root.fstype, o->disk_count > 0,
                                sq_net_option_wanted(o->net), o->pci, wanted);
    int rc;

    memset(list, 0, sizeof(*list));
    if (!boot->kernel.modules[0])
        return 0;
    rc = sq_modules_resolve(boot->kernel.modules, wanted, n, list, err);
    if (!rc && list->missing_count)
        rc = sq_err_set(err, SQUIB_E_NOTFOUND, "this kernel has no %s: it is "
                        "not in %.100s\n  do: squib kernel fetch, or choose "
                        "a kernel with --kernel", list->missing[0],
                        boot->kernel.modules);
    return rc;
}

static int build_initramfs(const struct sq_run_options *o,
                           const void *command, size_t command_len,
                           struct sq_guest_boot *boot,
                           struct squib_error *err)
{
    struct sq_module_list modules;
    const struct sq_guest_arch *guest = boot->kernel.guest;
    char config[512], ports[128];
    struct sq_initramfs_spec spec = {
        .agent = guest->agent,
        .agent_len = (size_t)(guest->agent_end - guest->agent),
        .busybox = boot->root.busybox,
        .busybox_len = boot->root.busybox_len,
        .config = config,
        .command = command,
        .command_len = command_len,
    };
    int rc, n = 0;

    if (!spec.agent_len)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "this squib was built "
                          "without the guest agent for %s\n  do: build it "
                          "with musl-gcc installed (apt install musl-tools)",
                          guest->name);
    rc = find_modules(o, boot, &modules, err);
    if (!rc) {
        config[0] = '\0';
        if (o->hostname)
            n = snprintf(config, sizeof(config), "hostname=%s\n",
                         o->hostname);
        if (sq_net_option_is_user(o->net))
            n += snprintf(config + n, sizeof(config) - (size_t)n,
                          "net=" SQ_NET_USER_SETTING "\n");
        sq_publish_setting(o->publish, o->publish_count, ports,
                           sizeof(ports));
        if (ports[0])
            n += snprintf(config + n, sizeof(config) - (size_t)n,
                          "publish=%s\n", ports);
        if (boot->root.fstype)
            snprintf(config + n, sizeof(config) - (size_t)n,
                     "root=/dev/vda\nrootfstype=%s\nrootmode=overlay\n",
                     boot->root.fstype);
        spec.module_paths = (const char *const *)modules.paths;
        spec.module_count = modules.count;
        boot->module_count = modules.count;
        rc = sq_initramfs_build(&spec, &boot->initramfs, err);
    }
    sq_modules_free(&modules);
    return rc;
}

static int add_root_drive(const struct sq_guest_boot *boot,
                          struct sq_vm_spec *spec, struct squib_error *err)
{
    struct sq_drive_spec *d;

    if (!boot->root.image[0])
        return 0;
    d = sq_spec_drive_add(spec, err);
    if (!d)
        return SQUIB_E_INVAL;
    memcpy(d->id, "root", sizeof("root"));
    d->read_only = true;
    d->is_root = true;
    return sq_spec_set(d->path, sizeof(d->path), "the root's path",
                       boot->root.image, err);
}

static int add_disks(const struct sq_run_options *o, struct sq_vm_spec *spec,
                     struct squib_error *err)
{
    for (size_t i = 0; i < o->disk_count; i++) {
        struct sq_drive_spec *d = sq_spec_drive_add(spec, err);

        if (!d)
            return SQUIB_E_INVAL;
        snprintf(d->id, sizeof(d->id), "disk%zu", i + 1);
        memcpy(d->path, o->disk[i].path, sizeof(d->path));
        d->read_only = o->disk[i].read_only;
        d->flush = true; /* what the guest syncs is on the disk */
    }
    return 0;
}

static int fill_spec(const struct sq_run_options *o,
                     const struct squib_backend *backend,
                     const struct sq_guest_boot *boot,
                     struct sq_vm_spec *spec, struct squib_error *err)
{
    bool soft = !(squib_backend_caps(backend) & SQUIB_CAP_HARDWARE);
    int rc;

    sq_spec_init(spec);
    spec->mem_mib = o->mem_mib;
    spec->vcpus = o->vcpus;
    spec->deterministic = o->deterministic;
    spec->seed = o->seed;
    spec->translations_max = o->jit_limit;
    spec->vsock = true;
    spec->pci = o->pci;
    spec->serial = o->console ? SQ_SERIAL_STDERR : SQ_SERIAL_LOG;
    rc = sq_spec_set(spec->kernel, sizeof(spec->kernel), "--kernel",
                     boot->kernel.boot, err);
    if (!rc && o->initrd)
        rc = sq_spec_set(spec->initrd, sizeof(spec->initrd), "--initrd",
                         o->initrd, err);
    if (!rc)
        rc = sq_spec_append(spec, boot->kernel.guest->cmdline, err);
    if (!rc && !o->pci)
        rc = sq_spec_append(spec, CMDLINE_NO_PCI, err);
    if (!rc && !o->console)
        rc = sq_spec_append(spec, "quiet", err);
    if (!rc && soft)
        rc = sq_spec_append(spec, CMDLINE_SOFT, err);
    if (!rc && o->append)
        rc = sq_spec_append(spec, o->append, err);
    if (!rc)
        rc = add_root_drive(boot, spec, err);
    if (!rc)
        rc = add_disks(o, spec, err);
    if (!rc)
        rc = sq_net_option_apply(o->net, o->no_host, spec, err);
    return rc;
}

/* A RUN message as the agent finds it in the initramfs: its payload. */
static int encode(const struct sq_agent_command *cmd, uint8_t **out,
                  size_t *len, struct squib_error *err)
{
    const size_t head = sizeof(struct sq_agent_header);
    size_t size = cmd ? sq_agent_run_size(cmd) : 0;

    *out = NULL;
    *len = 0;
    if (!cmd)
        return 0;
    if (!size)
        return sq_err_set(err, SQUIB_E_INVAL, "the command line and the "
                          "environment are too long");
    *out = malloc(size);
    if (!*out || sq_agent_run_encode(cmd, *out, size, len) != SQ_AGENT_OK)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    *len -= head;
    memmove(*out, *out + head, *len);
    return 0;
}

int sq_guest_boot_prepare(const struct sq_run_options *o,
                          const struct squib_backend *backend,
                          const struct sq_agent_command *alone,
                          struct sq_guest_boot *boot,
                          struct sq_vm_spec *spec, struct squib_error *err)
{
    uint8_t *command = NULL;
    size_t command_len = 0;
    int rc;

    memset(boot, 0, sizeof(*boot));
    rc = sq_kernel_find(sq_guest_arch(squib_backend_arch(backend)),
                        o->kernel, &boot->kernel, err);
    if (rc)
        return rc;
    sq_kernel_unpack(&boot->kernel);
    rc = sq_root_open(o->root, boot->kernel.guest, &boot->root, err);
    if (!rc)
        rc = encode(alone, &command, &command_len, err);
    if (!rc)
        rc = build_initramfs(o, command, command_len, boot, err);
    free(command);
    if (!rc)
        rc = fill_spec(o, backend, boot, spec, err);
    return rc;
}

void sq_guest_boot_release(struct sq_guest_boot *boot)
{
    sq_root_release(&boot->root);
    sq_initramfs_free(&boot->initramfs);
}
