/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that come and go while the guest runs, on a PCI bus. A request to
 * configure one is first carried out as before the start, with the same
 * bounds and words; then the machine gets what it described.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/util.h"

#define NO_PCI "PCI is not enabled"

static const struct kind {
    const char *path; /* the first part of it */
    uint32_t id;      /* enum sq_virtio_id */
    const char *before;
    int (*find)(const struct sq_resources *r, const char *id);
} kinds[] = {
    {"drives", SQ_VIRTIO_ID_BLK, "Drive config error: ",
     sq_resources_find_drive},
    {"network-interfaces", SQ_VIRTIO_ID_NET, "Network config error: ",
     sq_resources_find_net},
    {"pmem", SQ_VIRTIO_ID_PMEM, "Pmem config error: ",
     sq_resources_find_pmem},
};

static const struct kind *kind_of(const struct sq_call *call)
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(kinds); i++)
        if (strcmp(call->token[0], kinds[i].path) == 0)
            return &kinds[i];
    return NULL; /* no row of the table leads here */
}

/* Event thread from here to there and back. */
struct plug {
    struct sq_api *api;
    uint32_t id, n;
    union {
        struct sq_drive_spec drive;
        struct sq_net_spec net;
        struct sq_pmem_spec pmem;
    } entry;
};
_Static_assert(sizeof(struct plug) <= SQ_CONTROL_DATA_MAX, "it fits");

static int plug_now(struct sq_vmm *vmm, void *data, struct squib_error *err)
{
    const struct plug *p = data;

    return sq_vmm_plug(vmm, p->id, &p->entry, err);
}

static int unplug_now(struct sq_vmm *vmm, void *data,
                      struct squib_error *err)
{
    const struct plug *p = data;
    struct sq_virtio_device *dev = sq_vmm_device(vmm, p->id, p->n);
    int rc;

    /* So that nothing more is counted. */
    if (dev)
        sq_virtio_pause(dev);
    sq_api_device_going(p->api, vmm, p->id, p->n);
    rc = sq_vmm_unplug(vmm, p->id, p->n, err);
    if (rc && dev)
        sq_virtio_resume(dev);
    return rc;
}

bool sq_check_plug(struct sq_call *call)
{
    const struct sq_resources *r = &call->api->resources;
    const struct kind *kind = kind_of(call);

    if (!kind || !r->spec->pci)
        return sq_fault(&call->fault, NO_PCI);
    if (kind->find(r, call->token[1]) >= 0)
        return sq_fault(&call->fault, "Device ID in use");
    return true;
}

/* The last entry of its list is what the request described. */
bool sq_run_plug(struct sq_call *call)
{
    struct sq_resources *r = &call->api->resources;
    const struct kind *kind = kind_of(call);
    struct squib_error err = {0};
    struct sq_spec_list list;
    struct plug *p = calloc(1, sizeof(*p));
    int rc;

    if (!sq_spec_list(r->spec, kind->id, &list)) {
        free(p);
        return sq_fault(&call->fault, NO_PCI);
    }
    sq_resources_release(r); /* the machine takes it */
    if (!p) {
        sq_spec_list_remove(&list, *list.count - 1);
        return sq_fault(&call->fault, "%sout of memory", kind->before);
    }
    p->id = kind->id;
    memcpy(&p->entry, sq_spec_list_entry(&list, *list.count - 1), list.len);
    rc = sq_control_call(call->api->control, plug_now, p, sizeof(*p), &err);
    free(p);
    if (!rc)
        return true;
    sq_spec_list_remove(&list, *list.count - 1);
    return sq_fault(&call->fault, "%s%s%s", kind->before,
                    kind->id == SQ_VIRTIO_ID_PMEM
                        ? "Unable to create the virtio-pmem device: Error "
                          "accessing backing file: " : "",
                    err.text);
}

static bool is_root(const struct sq_vm_spec *spec, const struct kind *kind,
                    int n)
{
    return kind->id == SQ_VIRTIO_ID_BLK    ? spec->drives[n].is_root
           : kind->id == SQ_VIRTIO_ID_PMEM ? spec->pmems[n].is_root
                                           : false;
}

bool sq_run_unplug(struct sq_call *call)
{
    struct sq_resources *r = &call->api->resources;
    const struct kind *kind = kind_of(call);
    struct squib_error err = {0};
    struct sq_spec_list list;
    struct plug *p;
    int n, rc;

    if (!kind || !r->spec->pci || !sq_spec_list(r->spec, kind->id, &list))
        return sq_fault(&call->fault, NO_PCI);
    n = kind->find(r, call->token[1]);
    if (n < 0)
        return sq_fault(&call->fault, "Device not found");
    if (is_root(r->spec, kind, n))
        return sq_fault(&call->fault, "Cannot unplug root device");
    p = calloc(1, sizeof(*p));
    if (!p)
        return sq_fault(&call->fault, "%sout of memory", kind->before);
    p->api = call->api;
    p->id = kind->id;
    p->n = (uint32_t)n;
    rc = sq_control_call(call->api->control, unplug_now, p, sizeof(*p),
                         &err);
    free(p);
    if (rc)
        return sq_fault(&call->fault, "%s%s", kind->before, err.text);
    sq_spec_list_remove(&list, (uint32_t)n);
    if (kind->id == SQ_VIRTIO_ID_PMEM)
        sq_resources_pmem_gone(r, (uint32_t)n);
    sq_api_device_gone(call->api, kind->id, (uint32_t)n);
    return true;
}
