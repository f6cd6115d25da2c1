/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dev/vmgenid.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h> /* getentropy(): here or in unistd.h */
#include <unistd.h>

#include "base/err.h"

static int generate(struct sq_vmgenid *v, struct squib_error *err)
{
    if (getentropy(v->id, sizeof(v->id)) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "VM generation ID");
    return squib_memory_write(v->mem, v->gpa, v->id, sizeof(v->id), err);
}

int sq_vmgenid_init(struct sq_vmgenid *v, struct squib_memory *mem,
                    uint64_t gpa, struct sq_irq irq, struct squib_error *err)
{
    *v = (struct sq_vmgenid){.mem = mem, .gpa = gpa, .irq = irq};
    return generate(v, err);
}

int sq_vmgenid_set(struct sq_vmgenid *v, const uint8_t id[16],
                   struct squib_error *err)
{
    memcpy(v->id, id, sizeof(v->id));
    return squib_memory_write(v->mem, v->gpa, v->id, sizeof(v->id), err);
}

int sq_vmgenid_renew(struct sq_vmgenid *v, struct squib_error *err)
{
    int rc = generate(v, err);

    if (!rc)
        sq_irq_pulse(&v->irq);
    return rc;
}
