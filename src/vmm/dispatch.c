/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/dispatch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "os/clock.h"

enum next {
    NEXT_RUN,     /* back into the guest */
    NEXT_PARK,    /* wait for an interrupt first */
    NEXT_COMMAND, /* look at the command word */
    NEXT_STOP,    /* this vCPU is done */
};

static enum next on_MMIO(const struct sq_dispatch *d, struct squib_exit *e,
                         struct sq_vcpu_metrics *m)
{
    struct squib_exit_mmio *x = &e->mmio;
    uint64_t start_ns = sq_now_ns();
    bool claimed;

    if (x->len == 0 || x->len > sizeof(x->data)) {
        d->stop(d->ctx, SQ_OUTCOME_INTERNAL_ERROR,
                "the backend reported an MMIO access of impossible length");
        return NEXT_STOP;
    }
    claimed = x->write ? sq_bus_write(d->mmio, x->gpa, x->data, x->len)
                       : sq_bus_read(d->mmio, x->gpa, x->data, x->len);
    sq_latency_add(&m->mmio[x->write], (sq_now_ns() - start_ns) / 1000);
    if (x->write)
        sq_counter_add(&m->mmio_writes, 1);
    if (!claimed)
        sq_counter_add(&m->mmio_unclaimed, 1);
    return NEXT_RUN;
}

static enum next on_PIO(const struct sq_dispatch *d, struct squib_exit *e,
                        struct sq_vcpu_metrics *m)
{
    struct squib_exit_pio *x = &e->pio;
    uint64_t start_ns = sq_now_ns();
    bool claimed;

    if (x->len == 0 || x->len > sizeof(x->data)) {
        d->stop(d->ctx, SQ_OUTCOME_INTERNAL_ERROR,
                "the backend reported a port access of impossible length");
        return NEXT_STOP;
    }
    claimed = x->write ? sq_bus_write(d->pio, x->port, x->data, x->len)
                       : sq_bus_read(d->pio, x->port, x->data, x->len);
    sq_latency_add(&m->pio[x->write], (sq_now_ns() - start_ns) / 1000);
    if (x->write)
        sq_counter_add(&m->pio_writes, 1);
    if (!claimed)
        sq_counter_add(&m->pio_unclaimed, 1);
    return NEXT_RUN;
}

static enum next on_HYPERCALL(const struct sq_dispatch *d,
                              struct squib_exit *e,
                              struct sq_vcpu_metrics *m)
{
    struct squib_exit_hypercall *x = &e->hypercall;

    for (size_t i = 0; i < d->hypercall_count; i++) {
        const struct sq_hypercall *h = &d->hypercalls[i];

        if (h->function == x->function) {
            x->ret = h->fn(h->ctx, x->args);
            return NEXT_RUN;
        }
    }
    sq_counter_add(&m->hypercalls_unknown, 1);
    x->ret = SQ_HYPERCALL_UNKNOWN;
    return NEXT_RUN;
}

static enum next on_HLT(const struct sq_dispatch *d, struct squib_exit *e,
                        struct sq_vcpu_metrics *m)
{
    (void)d;
    (void)e;
    (void)m;
    return NEXT_PARK;
}

#define on_WFI on_HLT
#define on_WFE on_HLT

static enum next on_RESET(const struct sq_dispatch *d, struct squib_exit *e,
                          struct sq_vcpu_metrics *m)
{
    (void)e;
    (void)m;
    d->stop(d->ctx, SQ_OUTCOME_RESET, NULL);
    return NEXT_STOP;
}

static enum next on_SHUTDOWN(const struct sq_dispatch *d,
                             struct squib_exit *e, struct sq_vcpu_metrics *m)
{
    (void)m;
    d->stop(d->ctx, e->shutdown.fault ? SQ_OUTCOME_TRIPLE_FAULT
                                      : SQ_OUTCOME_SHUTDOWN, NULL);
    return NEXT_STOP;
}

static enum next on_DEBUG(const struct sq_dispatch *d, struct squib_exit *e,
                          struct sq_vcpu_metrics *m)
{
    char text[96];

    (void)m;
    snprintf(text, sizeof(text), "debug stop at pc %#" PRIx64 " without a "
             "debugger (syndrome %#" PRIx64 ")", e->debug.pc,
             e->debug.syndrome);
    d->stop(d->ctx, SQ_OUTCOME_INTERNAL_ERROR, text);
    return NEXT_STOP;
}

static enum next on_CANCELED(const struct sq_dispatch *d,
                             struct squib_exit *e, struct sq_vcpu_metrics *m)
{
    (void)d;
    (void)e;
    (void)m;
    return NEXT_COMMAND;
}

static enum next on_INTERNAL_ERROR(const struct sq_dispatch *d,
                                   struct squib_exit *e,
                                   struct sq_vcpu_metrics *m)
{
    const struct squib_exit_internal_error *x = &e->internal_error;
    char text[800];

    (void)m;
    snprintf(text, sizeof(text), "%s (%#" PRIx64 ", %#" PRIx64 ")",
             x->text ? x->text : "no reason given", x->detail[0],
             x->detail[1]);
    d->stop(d->ctx, SQ_OUTCOME_INTERNAL_ERROR, text);
    return NEXT_STOP;
}

typedef enum next handler(const struct sq_dispatch *d, struct squib_exit *e,
                          struct sq_vcpu_metrics *m);

static handler *const table[SQUIB_EXIT_COUNT] = {
#define ROW(name, text) [SQUIB_EXIT_##name] = on_##name,
    SQUIB_EXIT_LIST(ROW)
#undef ROW
};

void sq_dispatch_run(const struct sq_dispatch *d, struct squib_vcpu *vcpu,
                     struct sq_vcpu_metrics *metrics)
{
    uint32_t index = squib_vcpu_index(vcpu);

    for (;;) {
        struct squib_exit *e;

        if (d->in_turn)
            d->in_turn(d->ctx, true);
        e = squib_vcpu_run(vcpu);
        if (d->in_turn)
            d->in_turn(d->ctx, false);
        sq_counter_set(&metrics->insns, squib_vcpu_insn_count(vcpu));
        if ((unsigned)e->kind >= SQUIB_EXIT_COUNT) {
            sq_counter_add(&metrics->exits_unknown, 1);
            d->stop(d->ctx, SQ_OUTCOME_INTERNAL_ERROR,
                    "the backend reported an exit of an unknown kind");
            return;
        }
        sq_counter_add(&metrics->exits[e->kind], 1);
        switch (table[e->kind](d, e, metrics)) {
        case NEXT_RUN:
            break;
        case NEXT_PARK:
            /* What waits for the guest comes before the next timer. */
            if (d->in_turn && e->idle.deadline_ns != SQUIB_DEADLINE_NONE) {
                d->in_turn(d->ctx, true);
                d->in_turn(d->ctx, false);
            }
            squib_vcpu_park(vcpu, e->idle.deadline_ns);
            /* Park may have taken a cancel: look at the command too. */
            /* fall through */
        case NEXT_COMMAND:
            if (!d->command(d->ctx, index))
                return;
            break;
        case NEXT_STOP:
            return;
        }
    }
}
