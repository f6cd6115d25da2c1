/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one loop that acts on exits, whatever backend they come from.
 *
 * A row of the table exists for each kind of SQUIB_EXIT_LIST; a kind
 * without a row does not compile. To add a kind: append it to the list and
 * write its on_<NAME> in dispatch.c.
 */
#ifndef SQ_VMM_DISPATCH_H
#define SQ_VMM_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/exit.h>
#include <squib/vcpu.h>

#include "dev/bus.h"
#include "vmm/metrics.h"
#include "vmm/outcome.h"

/* What the guest gets for a call that nobody answers, as by the SMC Calling
 * Convention. */
#define SQ_HYPERCALL_UNKNOWN UINT64_MAX

struct sq_hypercall {
    uint64_t function;
    uint64_t (*fn)(void *ctx, const uint64_t args[6]);
    void *ctx;
};

/* What the loop works with. Constant while vCPUs run; shared by them all. */
struct sq_dispatch {
    const struct sq_bus *mmio, *pio;
    const struct sq_hypercall *hypercalls; /* the machine's, may be NULL */
    size_t hypercall_count;
    /* Ends the VM; called on a vCPU thread. */
    void (*stop)(void *ctx, enum sq_outcome_kind kind, const char *text);
    /* Obeys vCPU `index`'s command word: may block while it is to pause.
     * False: end the loop. */
    bool (*command)(void *ctx, uint32_t index);
    /* NULL, or for deterministic machines: called before the guest runs,
     * when it waits until nothing else has anything to do, and after. */
    void (*in_turn)(void *ctx, bool run);
    void *ctx;
};

/* Runs the vCPU until the VM ends or a command says so. On the vCPU's
 * thread. */
void sq_dispatch_run(const struct sq_dispatch *d, struct squib_vcpu *vcpu,
                     struct sq_vcpu_metrics *metrics);

#endif
