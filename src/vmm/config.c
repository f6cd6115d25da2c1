/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config.h"

#include <ctype.h>
#include <string.h>

#include <squib/vm.h>

#include "base/err.h"

void sq_spec_init(struct sq_vm_spec *spec)
{
    memset(spec, 0, sizeof(*spec));
    memcpy(spec->backend, "auto", sizeof("auto"));
    spec->mem_mib = 128;
    spec->vcpus = 1;
    spec->guest_cid = SQ_SPEC_CID_DEFAULT;
    spec->serial = SQ_SERIAL_LOG;
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

struct sq_drive_spec *sq_spec_drive_add(struct sq_vm_spec *spec,
                                        struct squib_error *err)
{
    if (spec->drive_count >= SQ_SPEC_DRIVES_MAX) {
        sq_err_set(err, SQUIB_E_INVAL, "at most %d drives are possible",
                   SQ_SPEC_DRIVES_MAX);
        return NULL;
    }
    return &spec->drives[spec->drive_count++];
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
                          "%u vCPUs asked for; 1 to %d are possible", vcpus,
                          SQUIB_VCPUS_MAX);
    if (mem_mib < SQ_SPEC_MEM_MIB_MIN || mem_mib > SQ_SPEC_MEM_MIB_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%u MiB of memory asked for; %u to %u MiB are "
                          "possible", mem_mib, SQ_SPEC_MEM_MIB_MIN,
                          SQ_SPEC_MEM_MIB_MAX);
    return 0;
}

int sq_spec_validate(const struct sq_vm_spec *spec, struct squib_error *err)
{
    int rc = sq_spec_check_size(spec->vcpus, spec->mem_mib, err);

    if (rc)
        return rc;
    if (!spec->kernel[0])
        return sq_err_set(err, SQUIB_E_INVAL, "no kernel is configured");
    for (const char *p = spec->cmdline; *p; p++)
        if (*p < 0x20 || *p > 0x7e)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "the kernel command line has a byte %#x; only "
                              "printable ASCII is possible",
                              (unsigned char)*p);
    if (spec->vsock && (spec->guest_cid < 3 || spec->guest_cid == UINT32_MAX))
        return sq_err_set(err, SQUIB_E_INVAL,
                          "guest CID %u is reserved; use 3 or more",
                          spec->guest_cid);
    for (uint32_t i = 0; i < spec->drive_count; i++) {
        rc = check_drive(spec, i, err);
        if (rc)
            return rc;
    }
    return 0;
}
