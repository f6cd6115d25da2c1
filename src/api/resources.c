/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "api/resources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "dev/host/tap.h"
#include "dev/host/vhost_user.h"
#include "os/sock.h"

#define VCPUS_MAX 32
#define MTU_MIN 68
#define BALLOON_MIB_MAX (UINT32_MAX / 256) /* in pages it is 32 bits */
#define VIRTIO_BLK_READ_ONLY (1ull << 5) /* virtio 1.2, 5.2.3 */

int sq_resources_init(struct sq_resources *r, struct squib_error *err)
{
    memset(r, 0, sizeof(*r));
    r->uds_fd = -1;
    r->spec = malloc(sizeof(*r->spec));
    if (!r->spec)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    sq_spec_init(r->spec);
    r->spec->serial = SQ_SERIAL_STDIO;
    r->mem_mib = r->spec->mem_mib;
    return 0;
}

void sq_resources_fini(struct sq_resources *r)
{
    sq_resources_release(r);
    free(r->spec);
    r->spec = NULL;
}

static bool set_text(char *dst, size_t dst_len, const char *text)
{
    if (text && strlen(text) >= dst_len)
        return false;
    snprintf(dst, dst_len, "%s", text ? text : "");
    return true;
}

/* --- rate limiters ----------------------------------------------------- */

static void update_bucket(struct sq_bucket_config *out,
                          const struct sq_body_bucket *b)
{
    if (!b->part.set)
        return;
    *out = (struct sq_bucket_config){
        .size = b->size.v,
        .one_time_burst = b->one_time_burst.v,
        .refill_ms = b->refill_time.v,
    };
}

void sq_limiter_update(struct sq_ratelimit_config *limit,
                       const struct sq_body_limiter *b)
{
    update_bucket(&limit->bandwidth, &b->bandwidth);
    update_bucket(&limit->ops, &b->ops);
}

/* --- machine-config ---------------------------------------------------- */

bool sq_resources_machine(struct sq_resources *r,
                          const struct sq_body_machine *b,
                          struct sq_fault *fault)
{
    const struct sq_vm_spec *spec = r->spec;
    uint64_t vcpus = b->vcpu_count.set ? b->vcpu_count.v : spec->vcpus;
    uint64_t mem_mib = b->mem_size_mib.set ? b->mem_size_mib.v : r->mem_mib;
    bool smt = b->smt.set ? b->smt.v : r->smt;
    enum sq_shm_pages pages = b->huge_pages.set
                                     ? (enum sq_shm_pages)b->huge_pages.v
                                     : spec->pages;

    r->boot_path = true;
    if (vcpus < 1 || vcpus > VCPUS_MAX || (smt && vcpus > 1 && vcpus % 2))
        return sq_fault(fault, "Machine config error: The number of vCPUs "
                        "must be greater than 0, less than %d and must be 1 "
                        "or an even number if SMT is enabled.", VCPUS_MAX);
    if (mem_mib == 0 || (pages != SQ_PAGES_NORMAL && mem_mib % 2))
        return sq_fault(fault, "Machine config error: The memory size (MiB) "
                        "is either 0, or not a multiple of the configured "
                        "page size.");
    if (spec->balloon && mem_mib < spec->balloon_config.amount_mib)
        return sq_fault(fault, "Machine config error: The memory size (MiB) "
                        "is smaller than the previously set balloon device "
                        "target size.");
    r->spec->vcpus = (uint32_t)vcpus;
    r->mem_mib = mem_mib;
    r->smt = smt;
    r->spec->pages = pages;
    if (b->cpu_template.set)
        r->spec->cpu = (struct sq_cpu_template){
            .name = (enum sq_cpu_name)b->cpu_template.v,
        };
    if (b->track_dirty_pages.set)
        r->spec->dirty_log = b->track_dirty_pages.v;
    return true;
}

/* --- boot-source ------------------------------------------------------- */

static int try_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return errno;
    close(fd);
    return strlen(path) < SQ_SPEC_PATH_MAX ? 0 : ENAMETOOLONG;
}

static bool check_boot_args(const char *args, struct sq_fault *fault)
{
    static const char before[] = "Boot source error: The kernel command "
                                 "line is invalid: ";

    if (strlen(args) >= SQ_SPEC_CMDLINE_MAX)
        return sq_fault(fault, "%sInvalid cmdline capacity provided.",
                        before);
    return true;
}

bool sq_resources_boot_source(struct sq_resources *r,
                              const struct sq_body_boot_source *b,
                              struct sq_fault *fault)
{
    struct sq_vm_spec *spec = r->spec;
    int e;

    r->boot_path = true;
    e = try_open(b->kernel_image_path, O_RDONLY);
    if (e)
        return sq_fault(fault, "Boot source error: The kernel file cannot "
                        "be opened: %s", sq_os_text(e).text);
    e = b->initrd_path ? try_open(b->initrd_path, O_RDONLY) : 0;
    if (e)
        return sq_fault(fault, "Boot source error: The initrd file cannot "
                        "be opened due to invalid path or invalid "
                        "permissions. %s", sq_os_text(e).text);
    if (b->boot_args && !check_boot_args(b->boot_args, fault))
        return false;
    /* All lengths have been checked. */
    set_text(spec->kernel, sizeof(spec->kernel), b->kernel_image_path);
    set_text(spec->initrd, sizeof(spec->initrd), b->initrd_path);
    set_text(spec->cmdline, sizeof(spec->cmdline), b->boot_args);
    r->has_boot_args = b->boot_args != NULL;
    return true;
}

/* --- drives ------------------------------------------------------------ */

static bool has_pmem_root(const struct sq_vm_spec *spec)
{
    for (uint32_t i = 0; i < spec->pmem_count; i++)
        if (spec->pmems[i].is_root)
            return true;
    return false;
}

int sq_resources_find_drive(const struct sq_resources *r, const char *id)
{
    for (uint32_t i = 0; i < r->spec->drive_count; i++)
        if (strcmp(r->spec->drives[i].id, id) == 0)
            return (int)i;
    return -1;
}

/* A drive that a vhost-user back end serves: it must answer already. */
static bool read_vhost_drive(const struct sq_body_drive *b,
                             struct sq_drive_spec *d, struct sq_fault *fault)
{
    struct sq_vhost_user *back = NULL;
    struct squib_error err = {0};

    if (sq_vhost_user_connect(b->socket, &back, &err) != 0)
        return sq_fault(fault, "Drive config error: Unable to create the "
                        "virtio block device: Vhost user backend error: "
                        "Vhost-user error: %s%s",
                        err.os_errno ? "Failed to connect to UDS Unix "
                                       "stream: " : "",
                        err.os_errno ? sq_os_text(err.os_errno).text
                                     : err.text);
    d->read_only = sq_vhost_user_features(back) & VIRTIO_BLK_READ_ONLY;
    sq_vhost_user_free(back);
    d->vhost_user = true;
    return true;
}

/* What can be said without the other drives. */
static bool read_drive(const struct sq_body_drive *b,
                       struct sq_drive_spec *d, struct sq_fault *fault)
{
    static const char before[] = "Drive config error: Unable to create the "
                                 "virtio block device: ";
    int e;

    if (!b->socket == !b->path_on_host ||
        (b->socket && (b->is_read_only.set || b->io_engine.set ||
                       b->rate_limiter.part.set ||
                       strlen(b->socket) >= sizeof(d->path))))
        return sq_fault(fault, "%sInvalid block config.", before);
    e = b->socket ? 0 : try_open(b->path_on_host, b->is_read_only.v
                                                      ? O_RDONLY : O_RDWR);
    if (e)
        return sq_fault(fault, "%sVirtio backend error: Error manipulating "
                        "the backing file: %s %s", before,
                        sq_os_text(e).text, b->path_on_host);
    if (!set_text(d->id, sizeof(d->id), b->drive_id))
        return sq_fault(fault, "%sthe ID is longer than %d bytes", before,
                        SQ_SPEC_ID_MAX);
    if (!set_text(d->partuuid, sizeof(d->partuuid), b->partuuid))
        return sq_fault(fault, "%sthe partuuid is longer than %zu bytes",
                        before, sizeof(d->partuuid) - 1);
    set_text(d->path, sizeof(d->path), b->socket ? b->socket
                                                 : b->path_on_host);
    d->is_root = b->is_root_device.v;
    d->flush = b->cache_type.v == SQ_CACHE_WRITEBACK;
    if (b->socket)
        return read_vhost_drive(b, d, fault);
    d->read_only = b->is_read_only.v;
    d->async = b->io_engine.v == SQ_ENGINE_ASYNC;
    sq_limiter_update(&d->limit, &b->rate_limiter);
    return true;
}

/* Puts it in its place: a known ID's, or the last; a root comes first. */
static void place_drive(struct sq_vm_spec *spec, int old,
                        const struct sq_drive_spec *d)
{
    uint32_t at = old >= 0 ? (uint32_t)old : spec->drive_count++;

    if (d->is_root && old < 0)
        memmove(&spec->drives[1], &spec->drives[0], at * sizeof(*d));
    else if (d->is_root && at)
        spec->drives[at] = spec->drives[0];
    spec->drives[d->is_root ? 0 : at] = *d;
}

bool sq_resources_drive(struct sq_resources *r,
                        const struct sq_body_drive *b,
                        struct sq_fault *fault)
{
    struct sq_vm_spec *spec = r->spec;
    int old = sq_resources_find_drive(r, b->drive_id);
    struct sq_drive_spec *d;
    bool ok;

    r->boot_path = true;
    if (b->is_root_device.v && spec->drive_count &&
        spec->drives[0].is_root && old != 0)
        return sq_fault(fault, "Drive config error: A root block device "
                        "already exists!");
    if (b->is_root_device.v && has_pmem_root(spec))
        return sq_fault(fault, "Drive config error: Attempt to add block as "
                        "a root device while the root device defined as a "
                        "pmem device");
    if (old < 0 && spec->drive_count == SQ_SPEC_DRIVES_MAX)
        return sq_fault(fault, "Drive config error: at most %d drives are "
                        "possible", SQ_SPEC_DRIVES_MAX);
    d = calloc(1, sizeof(*d));
    if (!d)
        return sq_fault(fault, "Drive config error: out of memory");
    ok = read_drive(b, d, fault);
    if (ok)
        place_drive(spec, old, d);
    free(d);
    return ok;
}

/* --- network-interfaces ------------------------------------------------ */

int sq_resources_find_net(const struct sq_resources *r, const char *id)
{
    for (uint32_t i = 0; i < r->spec->net_count; i++)
        if (strcmp(r->spec->nets[i].id, id) == 0)
            return (int)i;
    return -1;
}

static bool mac_in_use(const struct sq_vm_spec *spec,
                       const struct sq_net_spec *n)
{
    for (uint32_t i = 0; i < spec->net_count; i++) {
        const struct sq_net_spec *o = &spec->nets[i];

        if (n->has_mac && o->has_mac && strcmp(o->id, n->id) != 0 &&
            memcmp(o->mac, n->mac, sizeof(n->mac)) == 0)
            return true;
    }
    return false;
}

#define NOT_CREATED "Network config error: Could not create the network "    \
                    "device: "

static bool read_net(const struct sq_vm_spec *spec,
                     const struct sq_body_net *b, struct sq_net_spec *n,
                     struct sq_fault *fault)
{
    if (!set_text(n->id, sizeof(n->id), b->iface_id))
        return sq_fault(fault, NOT_CREATED "the ID is longer than %d bytes",
                        SQ_SPEC_ID_MAX);
    if (b->guest_mac)
        n->has_mac = sq_spec_parse_mac(b->guest_mac, n->mac);
    if (mac_in_use(spec, n))
        return sq_fault(fault, "Network config error: The MAC address is "
                        "already in use: %02x:%02x:%02x:%02x:%02x:%02x",
                        n->mac[0], n->mac[1], n->mac[2], n->mac[3],
                        n->mac[4], n->mac[5]);
    set_text(n->tap, sizeof(n->tap), b->host_dev_name);
    n->kind = SQ_NET_TAP;
    n->mtu = (uint16_t)b->mtu.v;
    sq_limiter_update(&n->rx_limit, &b->rx_rate_limiter);
    sq_limiter_update(&n->tx_limit, &b->tx_rate_limiter);
    return true;
}

/* As upstream: the old one goes, even if the new one is not to be had; the
 * last takes its place, and the new one is the last. */
static void drop_net(struct sq_resources *r, int old)
{
    uint32_t last = r->spec->net_count - 1;

    if (r->held[old])
        sq_net_backend_free(r->held[old]);
    r->spec->nets[old] = r->spec->nets[last];
    r->held[old] = r->held[last];
    r->held[last] = NULL;
    r->spec->net_count = last;
}

static bool open_tap(struct sq_resources *r, const struct sq_body_net *b,
                     struct sq_fault *fault)
{
    struct squib_error err = {0};
    uint32_t last = r->spec->net_count;

    if (last == SQ_SPEC_NETS_MAX)
        return sq_fault(fault, "Network config error: at most %d interfaces "
                        "are possible", SQ_SPEC_NETS_MAX);
    if (b->mtu.set && b->mtu.v < MTU_MIN)
        return sq_fault(fault, NOT_CREATED "MTU %u is out of range [68, "
                        "65535]", (unsigned)b->mtu.v);
    if (strlen(b->host_dev_name) > SQ_SPEC_TAP_MAX)
        return sq_fault(fault, NOT_CREATED "Open tap device failed: Invalid "
                        "interface name");
    if (sq_tap_open(b->host_dev_name, SQ_TAP_CREATE, &r->held[last],
                    &err) == 0)
        return true;
    r->held[last] = NULL;
    if (err.os_errno == EBUSY || err.code == SQUIB_E_INVAL)
        return sq_fault(fault, NOT_CREATED "Open tap device failed: Error "
                        "while creating ifreq structure: %s. Invalid "
                        "TUN/TAP Backend provided by %s. Check our "
                        "documentation on setting up the network devices.",
                        sq_os_text(err.os_errno ? err.os_errno
                                                : EINVAL).text,
                        b->host_dev_name);
    return sq_fault(fault, NOT_CREATED "Open tap device failed: %s",
                    err.text);
}

bool sq_resources_net(struct sq_resources *r, const struct sq_body_net *b,
                      struct sq_fault *fault)
{
    int old = sq_resources_find_net(r, b->iface_id);
    struct sq_net_spec *n = calloc(1, sizeof(*n));
    bool ok;

    r->boot_path = true;
    ok = n ? read_net(r->spec, b, n, fault)
           : sq_fault(fault, "Network config error: out of memory");
    if (ok && old >= 0)
        drop_net(r, old);
    if (ok && open_tap(r, b, fault))
        r->spec->nets[r->spec->net_count++] = *n;
    else
        ok = false;
    free(n);
    return ok;
}

/* --- metadata ---------------------------------------------------------- */

bool sq_resources_has_mmds(const struct sq_resources *r)
{
    for (uint32_t i = 0; i < r->spec->net_count; i++)
        if (r->spec->nets[i].mmds)
            return true;
    return false;
}

bool sq_resources_mmds(struct sq_resources *r,
                       const struct sq_body_mmds_config *b,
                       struct sq_fault *fault)
{
    static const char before[] = "MMMDS config error: ";
    const json_t *id;
    size_t i;

    r->boot_path = true;
    if (json_array_size(b->network_interfaces) == 0)
        return sq_fault(fault, "%sThe list of network interface IDs that "
                        "allow forwarding MMDS requests is empty.", before);
    json_array_foreach((json_t *)b->network_interfaces, i, id)
        if (sq_resources_find_net(r, json_string_value(id)) < 0)
            return sq_fault(fault, "%sThe list of network interface IDs "
                            "provided contains at least one ID that does "
                            "not correspond to any existing network "
                            "interface.", before);
    for (uint32_t k = 0; k < r->spec->net_count; k++)
        r->spec->nets[k].mmds = false;
    json_array_foreach((json_t *)b->network_interfaces, i, id)
        r->spec->nets[sq_resources_find_net(r, json_string_value(id))].mmds =
            true;
    return true;
}

/* --- pmem -------------------------------------------------------------- */

int sq_resources_find_pmem(const struct sq_resources *r, const char *id)
{
    for (uint32_t i = 0; i < r->spec->pmem_count; i++)
        if (strcmp(r->spec->pmems[i].id, id) == 0)
            return (int)i;
    return -1;
}

void sq_resources_pmem_gone(struct sq_resources *r, uint32_t n)
{
    memmove(&r->pmem_limit[n], &r->pmem_limit[n + 1],
            (SQ_SPEC_PMEMS_MAX - n - 1) * sizeof(r->pmem_limit[0]));
}

bool sq_resources_pmem(struct sq_resources *r, const struct sq_body_pmem *b,
                       struct sq_fault *fault)
{
    static const char before[] = "Pmem config error: ";
    struct sq_vm_spec *spec = r->spec;
    int old = sq_resources_find_pmem(r, b->id);
    struct sq_pmem_spec *p;

    r->boot_path = true;
    if (b->root_device.v && spec->drive_count && spec->drives[0].is_root)
        return sq_fault(fault, "%sAttempt to add pmem as a root device "
                        "while the root device defined as a block device",
                        before);
    if (b->root_device.v && has_pmem_root(spec) &&
        (old < 0 || !spec->pmems[old].is_root))
        return sq_fault(fault, "%sA root pmem device already exist", before);
    if (old < 0 && spec->pmem_count == SQ_SPEC_PMEMS_MAX)
        return sq_fault(fault, "%sat most %d devices are possible", before,
                        SQ_SPEC_PMEMS_MAX);
    if (strlen(b->id) > SQ_SPEC_ID_MAX ||
        strlen(b->path_on_host) >= SQ_SPEC_PATH_MAX)
        return sq_fault(fault, "%sthe ID or the path is too long", before);
    p = &spec->pmems[old >= 0 ? (uint32_t)old : spec->pmem_count++];
    memset(p, 0, sizeof(*p));
    set_text(p->id, sizeof(p->id), b->id);
    set_text(p->path, sizeof(p->path), b->path_on_host);
    p->read_only = b->read_only.v;
    p->is_root = b->root_device.v;
    sq_limiter_update(&p->limit, &b->rate_limiter);
    r->pmem_limit[p - spec->pmems] = b->rate_limiter;
    return true;
}

/* --- vsock ------------------------------------------------------------- */

/* Takes the path; 0 or an errno. */
static int take_uds(struct sq_resources *r, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd;

    snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
    fd = sq_sock_unix(false);
    if (fd < 0)
        return errno;
    if (bind(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        int e = errno;

        close(fd);
        return e;
    }
    r->uds_fd = fd;
    return 0;
}

static void release_uds(struct sq_resources *r)
{
    if (r->uds_fd < 0)
        return;
    close(r->uds_fd);
    r->uds_fd = -1;
    unlink(r->spec->vsock_path);
}

void sq_resources_release(struct sq_resources *r)
{
    release_uds(r);
    for (int i = 0; i < SQ_SPEC_NETS_MAX; i++) {
        if (r->held[i])
            sq_net_backend_free(r->held[i]);
        r->held[i] = NULL;
    }
}

void sq_resources_retake(struct sq_resources *r)
{
    if (r->spec->vsock && r->uds_fd < 0)
        (void)take_uds(r, r->spec->vsock_path);
}

bool sq_resources_vsock(struct sq_resources *r,
                        const struct sq_body_vsock *b,
                        struct sq_fault *fault)
{
    static const char before[] = "Vsock config error: Cannot create backend "
                                 "for vsock device: Error binding to the "
                                 "host-side Unix socket: ";
    struct sq_vm_spec *spec = r->spec;
    int e;

    r->boot_path = true;
    release_uds(r);
    spec->vsock = false;
    if (!b->uds_path[0] || !set_text(spec->vsock_path,
                                     sizeof(spec->vsock_path), b->uds_path))
        return sq_fault(fault, "%spath must be shorter than SUN_LEN",
                        before);
    e = take_uds(r, spec->vsock_path);
    if (e)
        return sq_fault(fault, "%s%s", before, sq_os_text(e).text);
    spec->vsock = true;
    spec->guest_cid = (uint32_t)b->guest_cid.v;
    return true;
}

/* --- balloon, entropy, serial ------------------------------------------ */

bool sq_resources_balloon(struct sq_resources *r,
                          const struct sq_body_balloon *b,
                          struct sq_fault *fault)
{
    r->boot_path = true;
    if (b->amount_mib.v > r->mem_mib)
        return sq_fault(fault, "Balloon config error: Amount of pages "
                        "requested is too large.");
    if (b->amount_mib.v > BALLOON_MIB_MAX)
        return sq_fault(fault, "Balloon config error: Error creating the "
                        "balloon device: Requested memory should be less "
                        "than %uMiB", BALLOON_MIB_MAX);
    r->spec->balloon = true;
    r->spec->balloon_config = (struct sq_virtio_balloon_config){
        .amount_mib = (uint32_t)b->amount_mib.v,
        .deflate_on_oom = b->deflate_on_oom.v,
        .stats_interval_s = (uint16_t)b->stats_polling_interval_s.v,
        .reporting = b->free_page_reporting.v,
        .hinting = b->free_page_hinting.v,
    };
    return true;
}

bool sq_resources_entropy(struct sq_resources *r,
                          const struct sq_body_entropy *b,
                          struct sq_fault *fault)
{
    (void)fault;
    r->boot_path = true;
    r->spec->rng = true;
    memset(&r->spec->rng_limit, 0, sizeof(r->spec->rng_limit));
    sq_limiter_update(&r->spec->rng_limit, &b->rate_limiter);
    return true;
}

bool sq_resources_serial(struct sq_resources *r,
                         const struct sq_body_serial *b,
                         struct sq_fault *fault)
{
    memset(&r->spec->serial_limit, 0, sizeof(r->spec->serial_limit));
    update_bucket(&r->spec->serial_limit, &b->rate_limiter);
    if (!set_text(r->spec->serial_path, sizeof(r->spec->serial_path),
                  b->serial_out_path))
        return sq_fault(fault, "Serial config error: the path is too long");
    return true;
}

/* --- memory hotplug ---------------------------------------------------- */

bool sq_resources_hotplug(struct sq_resources *r,
                          const struct sq_body_hotplug *b,
                          struct sq_fault *fault)
{
    static const char before[] = "Memory hotplug config error: ";
    uint64_t total = b->total_size_mib.v;
    uint64_t slot = b->slot_size_mib.v;
    uint64_t block = b->block_size_mib.v;

    r->boot_path = true;
    if (block < SQ_VIRTIO_MEM_BLOCK_MIB_MIN)
        return sq_fault(fault, "%sBlock size must not be lower than %u MiB",
                        before, SQ_VIRTIO_MEM_BLOCK_MIB_MIN);
    if (block & (block - 1))
        return sq_fault(fault, "%sBlock size must be a power of 2", before);
    if (slot < SQ_VIRTIO_MEM_SLOT_MIB_MIN)
        return sq_fault(fault, "%sSlot size must not be lower than %u MiB",
                        before, SQ_VIRTIO_MEM_SLOT_MIB_MIN);
    if (slot % block)
        return sq_fault(fault, "%sSlot size must be a multiple of block "
                        "size (%u MiB)", before, (unsigned)block);
    if (total < slot)
        return sq_fault(fault, "%sTotal size must not be lower than slot "
                        "size (%u MiB)", before, (unsigned)slot);
    if (total % slot)
        return sq_fault(fault, "%sTotal size must be a multiple of slot "
                        "size (%u MiB)", before, (unsigned)slot);
    r->spec->hotplug = true;
    r->spec->hotplug_sizes = (struct sq_virtio_mem_sizes){
        .total_mib = (uint32_t)total,
        .block_mib = (uint32_t)block,
        .slot_mib = (uint32_t)slot,
    };
    return true;
}

/* --- to a spec --------------------------------------------------------- */

int sq_resources_to_spec(const struct sq_resources *r,
                         struct sq_vm_spec *spec, struct squib_error *err)
{
    int rc = 0;

    sq_spec_copy(spec, r->spec);
    if (!spec->kernel[0])
        return sq_err_set(err, SQUIB_E_INVAL, "Cannot start microvm without "
                          "kernel configuration.");
    if (r->mem_mib > SQ_SPEC_MEM_MIB_MAX)
        return sq_err_set(err, SQUIB_E_NOMEM, "Invalid Memory Configuration: "
                          "Cannot create mmap region: Out of memory (os "
                          "error 12)");
    spec->mem_mib = (uint32_t)r->mem_mib;
    if (!r->has_boot_args)
        rc = sq_spec_set(spec->cmdline, sizeof(spec->cmdline), "boot_args",
                         SQ_SPEC_CMDLINE_DEFAULT, err);
    return rc ? rc : sq_spec_finish_cmdline(spec, err);
}
