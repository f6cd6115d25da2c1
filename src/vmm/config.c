/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <squib/vm.h>

#include "base/err.h"

/* Where the lists begin. */
#define LISTS offsetof(struct sq_vm_spec, drives)

void sq_spec_init(struct sq_vm_spec *spec)
{
    memset(spec, 0, LISTS);
    memcpy(spec->backend, "auto", sizeof("auto"));
    spec->mem_mib = 128;
    spec->vcpus = 1;
    spec->cpu.name = SQ_CPU_NO_NAME;
    spec->guest_cid = SQ_SPEC_CID_DEFAULT;
    spec->serial = SQ_SERIAL_LOG;
}

void sq_spec_copy(struct sq_vm_spec *to, const struct sq_vm_spec *from)
{
    memcpy(to, from, LISTS);
    memcpy(to->drives, from->drives,
           from->drive_count * sizeof(to->drives[0]));
    memcpy(to->nets, from->nets, from->net_count * sizeof(to->nets[0]));
    memcpy(to->pmems, from->pmems, from->pmem_count * sizeof(to->pmems[0]));
}

int sq_spec_set(char *dst, size_t dst_len, const char *what,
                const char *value, struct squib_error *err)
{
    size_t len = strlen(value);

    if (len >= dst_len)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%s is too long: %zu bytes, at most %zu", what,
                          len, dst_len - 1);
    memcpy(dst, value, len + 1);
    return 0;
}

int sq_spec_append(struct sq_vm_spec *spec, const char *words,
                   struct squib_error *err)
{
    size_t have = strlen(spec->cmdline), add = strlen(words);
    size_t gap = have && add ? 1 : 0;

    if (have + gap + add >= sizeof(spec->cmdline))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "the kernel command line is too long: %zu bytes, "
                          "at most %zu", have + gap + add,
                          sizeof(spec->cmdline) - 1);
    if (gap)
        spec->cmdline[have] = ' ';
    memcpy(spec->cmdline + have + gap, words, add + 1);
    return 0;
}

int sq_spec_finish_cmdline(struct sq_vm_spec *spec, struct squib_error *err)
{
    const struct sq_drive_spec *d = &spec->drives[0];
    char words[128];
    int rc = spec->pci ? 0 : sq_spec_append(spec, "pci=off", err);

    for (uint32_t i = 0; i < spec->pmem_count && !rc; i++) {
        if (!spec->pmems[i].is_root)
            continue;
        snprintf(words, sizeof(words), "root=/dev/pmem%u %s", i,
                 spec->pmems[i].read_only ? "ro" : "rw");
        return sq_spec_append(spec, words, err);
    }
    if (rc || !spec->drive_count || !d->is_root)
        return rc;
    if (d->partuuid[0])
        snprintf(words, sizeof(words), "root=PARTUUID=%s %s", d->partuuid,
                 d->read_only ? "ro" : "rw");
    else
        snprintf(words, sizeof(words), "root=/dev/vda %s",
                 d->read_only ? "ro" : "rw");
    return sq_spec_append(spec, words, err);
}

struct sq_drive_spec *sq_spec_drive_add(struct sq_vm_spec *spec,
                                        struct squib_error *err)
{
    if (spec->drive_count >= SQ_SPEC_DRIVES_MAX) {
        sq_err_set(err, SQUIB_E_INVAL, "at most %d drives are possible",
                   SQ_SPEC_DRIVES_MAX);
        return NULL;
    }
    memset(&spec->drives[spec->drive_count], 0, sizeof(spec->drives[0]));
    return &spec->drives[spec->drive_count++];
}

struct sq_net_spec *sq_spec_net_add(struct sq_vm_spec *spec,
                                    struct squib_error *err)
{
    if (spec->net_count >= SQ_SPEC_NETS_MAX) {
        sq_err_set(err, SQUIB_E_INVAL, "at most %d network interfaces are "
                   "possible", SQ_SPEC_NETS_MAX);
        return NULL;
    }
    memset(&spec->nets[spec->net_count], 0, sizeof(spec->nets[0]));
    return &spec->nets[spec->net_count++];
}

bool sq_spec_list(struct sq_vm_spec *spec, uint32_t id,
                  struct sq_spec_list *out)
{
    switch (id) {
    case SQ_VIRTIO_ID_BLK:
        *out = (struct sq_spec_list){(void *)spec->drives,
                                     &spec->drive_count, SQ_SPEC_DRIVES_MAX,
                                     sizeof(spec->drives[0])};
        return true;
    case SQ_VIRTIO_ID_NET:
        *out = (struct sq_spec_list){(void *)spec->nets, &spec->net_count,
                                     SQ_SPEC_NETS_MAX,
                                     sizeof(spec->nets[0])};
        return true;
    case SQ_VIRTIO_ID_PMEM:
        *out = (struct sq_spec_list){(void *)spec->pmems, &spec->pmem_count,
                                     SQ_SPEC_PMEMS_MAX,
                                     sizeof(spec->pmems[0])};
        return true;
    default:
        return false;
    }
}

void *sq_spec_list_entry(const struct sq_spec_list *list, uint32_t n)
{
    return list->first + n * list->len;
}

void sq_spec_list_remove(const struct sq_spec_list *list, uint32_t n)
{
    unsigned char *at = list->first + n * list->len;

    --*list->count;
    memmove(at, at + list->len, (*list->count - n) * list->len);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool sq_spec_parse_mac(const char *text, uint8_t mac[6])
{
    for (int i = 0; i < 6; i++, text += 3) {
        int hi = hex_digit(text[0]), lo = hi < 0 ? -1 : hex_digit(text[1]);

        if (lo < 0 || text[2] != (i < 5 ? ':' : '\0'))
            return false;
        mac[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

static bool is_id(const char *id)
{
    for (const char *p = id; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_')
            return false;
    return *id != '\0';
}

static int check_net(const struct sq_vm_spec *spec, uint32_t i,
                     struct squib_error *err)
{
    const struct sq_net_spec *n = &spec->nets[i];

    if (!is_id(n->id))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "Network config error: the ID '%s' may only "
                          "contain letters, digits and underscores, and at "
                          "least one", n->id);
    if (n->mtu && n->mtu < 68)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "Network config error: Could not create the "
                          "network device: MTU %u is out of range [68, "
                          "65535]", n->mtu);
    if (n->kind == SQ_NET_TAP ? !n->tap[0] : !n->path[0])
        return sq_err_set(err, SQUIB_E_INVAL,
                          "Network config error: interface %s has nothing "
                          "at its other end", n->id);
    for (uint32_t k = 0; k < i; k++) {
        const struct sq_net_spec *o = &spec->nets[k];

        if (strcmp(o->id, n->id) == 0)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "Network config error: the ID '%s' is used "
                              "twice", n->id);
        if (o->has_mac && n->has_mac && memcmp(o->mac, n->mac, 6) == 0)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "Network config error: The MAC address is "
                              "already in use: %02x:%02x:%02x:%02x:%02x:%02x",
                              n->mac[0], n->mac[1], n->mac[2], n->mac[3],
                              n->mac[4], n->mac[5]);
    }
    return 0;
}

struct sq_pmem_spec *sq_spec_pmem_add(struct sq_vm_spec *spec,
                                      struct squib_error *err)
{
    if (spec->pmem_count >= SQ_SPEC_PMEMS_MAX) {
        sq_err_set(err, SQUIB_E_INVAL, "at most %d pmem devices are possible",
                   SQ_SPEC_PMEMS_MAX);
        return NULL;
    }
    memset(&spec->pmems[spec->pmem_count], 0, sizeof(spec->pmems[0]));
    return &spec->pmems[spec->pmem_count++];
}

static int check_pmem(const struct sq_vm_spec *spec, uint32_t i,
                      struct squib_error *err)
{
    const struct sq_pmem_spec *p = &spec->pmems[i];

    if (!p->id[0] || !p->path[0])
        return sq_err_set(err, SQUIB_E_INVAL,
                          "Pmem config error: a device has no %s",
                          p->id[0] ? "path" : "ID");
    for (const char *c = p->id; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            return sq_err_set(err, SQUIB_E_INVAL,
                              "Pmem config error: the ID '%s' may only "
                              "contain letters, digits and underscores",
                              p->id);
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(spec->pmems[k].id, p->id) == 0)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "Pmem config error: the ID '%s' is used "
                              "twice", p->id);
    for (uint32_t k = 0; k < i && p->is_root; k++)
        if (spec->pmems[k].is_root)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "Pmem config error: a root device already "
                              "exists");
    for (uint32_t k = 0; k < spec->drive_count && p->is_root; k++)
        if (spec->drives[k].is_root)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "Pmem config error: drive %s is the root "
                              "device already", spec->drives[k].id);
    return 0;
}

static int check_drive(const struct sq_vm_spec *spec, uint32_t i,
                       struct squib_error *err)
{
    const struct sq_drive_spec *d = &spec->drives[i];

    if (!d->id[0])
        return sq_err_set(err, SQUIB_E_INVAL,
                          "Drive config error: the ID cannot be empty");
    for (const char *p = d->id; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_')
            return sq_err_set(err, SQUIB_E_INVAL,
                              "Drive config error: the ID '%s' may only "
                              "contain letters, digits and underscores",
                              d->id);
    if (!d->path[0])
        return sq_err_set(err, SQUIB_E_INVAL,
                          "Drive config error: drive %s has no path", d->id);
    for (uint32_t k = 0; k < i; k++) {
        if (strcmp(spec->drives[k].id, d->id) == 0)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "Drive config error: the ID '%s' is used "
                              "twice", d->id);
        if (spec->drives[k].is_root && d->is_root)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "Drive config error: A root block device "
                              "already exists!");
    }
    return 0;
}

int sq_spec_check_size(uint32_t vcpus, uint32_t mem_mib,
                       struct squib_error *err)
{
    if (vcpus < 1 || vcpus > SQUIB_VCPUS_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%u vCPUs asked for; 1 to %d are possible\n"
                          "  do: choose a number in between", vcpus,
                          SQUIB_VCPUS_MAX);
    if (mem_mib < SQ_SPEC_MEM_MIB_MIN || mem_mib > SQ_SPEC_MEM_MIB_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%u MiB of memory asked for; %u to %u MiB are "
                          "possible\n  do: choose a size in between",
                          mem_mib, SQ_SPEC_MEM_MIB_MIN, SQ_SPEC_MEM_MIB_MAX);
    return 0;
}

int sq_spec_validate(const struct sq_vm_spec *spec, struct squib_error *err)
{
    int rc = sq_spec_check_size(spec->vcpus, spec->mem_mib, err);

    if (rc)
        return rc;
    if (!spec->kernel[0])
        return sq_err_set(err, SQUIB_E_INVAL, "no kernel is configured");
    if (spec->vsock && (spec->guest_cid < 3 || spec->guest_cid == UINT32_MAX))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "guest CID %u is reserved; use 3 or more",
                          spec->guest_cid);
    if (spec->balloon && spec->balloon_config.amount_mib > spec->mem_mib)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "Balloon config error: a balloon of %u MiB is "
                          "larger than the guest's memory (%u MiB)",
                          spec->balloon_config.amount_mib, spec->mem_mib);
    for (uint32_t i = 0; i < spec->drive_count; i++) {
        rc = check_drive(spec, i, err);
        if (rc)
            return rc;
    }
    for (uint32_t i = 0; i < spec->pmem_count; i++) {
        rc = check_pmem(spec, i, err);
        if (rc)
            return rc;
    }
    for (uint32_t i = 0; i < spec->net_count; i++) {
        rc = check_net(spec, i, err);
        if (rc)
            return rc;
    }
    return 0;
}
