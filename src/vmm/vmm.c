/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vmm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "os/clock.h"
#include "vmm/vmm_internal.h"

/* Event thread: the last vCPU thread is about to end. */
static void on_ended(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    /* Without a reason, which cannot happen, STOPPED would not follow. */
    sq_lifecycle_stop(&vmm->life, SQ_OUTCOME_INTERNAL_ERROR,
                      "all vCPUs ended by themselves");
    if (sq_lifecycle_step(&vmm->life, SQUIB_PHASE_STOPPED, NULL) == 0 &&
        vmm->env.stopped)
        vmm->env.stopped(vmm->env.ctx);
}

int sq_vmm_new(const struct sq_vm_spec *spec, const struct sq_vmm_env *env,
               struct sq_vmm **out, struct squib_error *err)
{
    struct sq_vmm *vmm;
    int rc = sq_spec_validate(spec, err);

    if (rc)
        return rc;
    vmm = calloc(1, sizeof(*vmm));
    if (!vmm)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    sq_spec_copy(&vmm->spec, spec);
    vmm->env = *env;
    vmm->machine.ops = sq_machine_ops(env->backend);
    vmm->machine.backend = env->backend;
    vmm->machine.vcpus = spec->vcpus;
    vmm->ended.fn = on_ended;
    vmm->ended.ctx = vmm;
    atomic_init(&vmm->test_status, SQ_VMM_NO_TEST_STATUS);
    sq_lifecycle_init(&vmm->life);
    rc = sq_vmm_build(vmm, err);
    if (rc) {
        sq_lifecycle_destroy(&vmm->life);
        free(vmm);
        return rc;
    }
    vmm->env.initrd = NULL; /* was borrowed for this call */
    vmm->env.initrd_parts = 0;
    *out = vmm;
    return 0;
}

void sq_vmm_free(struct sq_vmm *vmm)
{
    if (!vmm)
        return;
    sq_lifecycle_stop(&vmm->life, SQ_OUTCOME_KILLED, NULL);
    if (vmm->spec.deterministic)
        sq_poller_hold_no_more(vmm->env.poller);
    sq_undo_all(&vmm->undo);
    sq_lifecycle_destroy(&vmm->life);
    free(vmm);
}

int sq_vmm_start(struct sq_vmm *vmm, struct squib_error *err)
{
    int rc = sq_lifecycle_step(&vmm->life, SQUIB_PHASE_STARTING, err);

    if (rc)
        return rc;
    vmm->devices.boot_timer.start_ns = sq_now_ns();
    vmm->devices.boot_timer.start_cpu_ns = sq_process_cpu_ns();
    rc = sq_lifecycle_step(&vmm->life, SQUIB_PHASE_RUNNING, err);
    if (!rc)
        sq_vcpus_command(&vmm->vcpus, SQ_VCPU_RUN);
    return rc;
}

int sq_vmm_pause(struct sq_vmm *vmm, struct squib_error *err)
{
    int rc = sq_lifecycle_step(&vmm->life, SQUIB_PHASE_PAUSING, err);

    if (rc)
        return rc;
    sq_vcpus_command(&vmm->vcpus, SQ_VCPU_PAUSE);
    sq_vcpus_wait_paused(&vmm->vcpus);
    sq_devices_pause(&vmm->devices);
    return sq_lifecycle_step(&vmm->life, SQUIB_PHASE_PAUSED, err);
}

int sq_vmm_resume(struct sq_vmm *vmm, struct squib_error *err)
{
    int rc = sq_lifecycle_step(&vmm->life, SQUIB_PHASE_RESUMING, err);

    if (rc)
        return rc;
    sq_devices_resume(&vmm->devices);
    sq_vcpus_command(&vmm->vcpus, SQ_VCPU_RUN);
    return sq_lifecycle_step(&vmm->life, SQUIB_PHASE_RUNNING, err);
}

void sq_vmm_stop(struct sq_vmm *vmm, enum sq_outcome_kind kind,
                 const char *text)
{
    if (!sq_lifecycle_stop(&vmm->life, kind, text))
        return;
    sq_console_close(&vmm->console);
    sq_vcpus_command(&vmm->vcpus, SQ_VCPU_STOP);
    if (vmm->spec.deterministic)
        sq_poller_hold_no_more(vmm->env.poller);
}

enum squib_phase sq_vmm_phase(struct sq_vmm *vmm)
{
    return sq_lifecycle_phase(&vmm->life);
}

struct sq_outcome sq_vmm_outcome(struct sq_vmm *vmm)
{
    return sq_lifecycle_outcome(&vmm->life);
}

int sq_vmm_test_status(struct sq_vmm *vmm)
{
    return atomic_load(&vmm->test_status);
}

bool sq_vmm_ctrl_alt_del(struct sq_vmm *vmm)
{
    return vmm->devices.has_keyboard &&
           sq_i8042_ctrl_alt_del(&vmm->devices.legacy.i8042);
}

struct sq_virtio_device *sq_vmm_device(struct sq_vmm *vmm, uint32_t id,
                                       uint32_t n)
{
    return sq_devices_find(&vmm->devices, id, n);
}

/* A device with memory of its own comes and goes while no vCPU runs and the
 * other devices are at rest. *halted: they ran, and must again. */
static int halt_for(struct sq_vmm *vmm, uint32_t id, bool *halted,
                    struct squib_error *err)
{
    *halted = id == SQ_VIRTIO_ID_PMEM &&
              sq_vmm_phase(vmm) != SQUIB_PHASE_PAUSED;
    return *halted ? sq_vmm_pause(vmm, err) : 0;
}

/* Whether devices of this kind can come and go. */
static int can_plug(struct sq_vmm *vmm, uint32_t id,
                    struct sq_spec_list *list, struct squib_error *err)
{
    if (!vmm->spec.pci || !sq_spec_list(&vmm->spec, id, list))
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "PCI is not enabled");
    if (!vmm->devices.layout->pci_irq)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "a guest of this machine "
                          "cannot be told of devices that come or go"
                          "\n  do: configure them before it starts");
    return 0;
}

int sq_vmm_plug(struct sq_vmm *vmm, uint32_t id, const void *entry,
                struct squib_error *err)
{
    struct sq_devices_env env = sq_vmm_devices_env(vmm);
    struct sq_spec_list list;
    bool halted;
    int rc = can_plug(vmm, id, &list, err);

    if (rc)
        return rc;
    if (*list.count == list.max)
        return sq_err_set(err, SQUIB_E_RANGE, "at most %u devices of this "
                          "kind are possible", list.max);
    rc = halt_for(vmm, id, &halted, err);
    if (rc)
        return rc;
    memcpy(sq_spec_list_entry(&list, *list.count), entry, list.len);
    ++*list.count;
    rc = sq_devices_plug(&vmm->devices, &env, id, err);
    if (halted)
        sq_vmm_resume(vmm, NULL);
    if (rc)
        --*list.count;
    return rc;
}

int sq_vmm_unplug(struct sq_vmm *vmm, uint32_t id, uint32_t n,
                  struct squib_error *err)
{
    struct sq_spec_list list;
    bool halted;
    int rc = can_plug(vmm, id, &list, err);

    if (rc)
        return rc;
    if (n >= *list.count)
        return sq_err_set(err, SQUIB_E_NOTFOUND, "there is no such device");
    rc = halt_for(vmm, id, &halted, err);
    if (rc)
        return rc;
    sq_devices_unplug(&vmm->devices, id, n);
    if (halted)
        sq_vmm_resume(vmm, NULL);
    sq_spec_list_remove(&list, n);
    return 0;
}

struct sq_poller *sq_vmm_poller(struct sq_vmm *vmm)
{
    return vmm->env.poller;
}

void sq_vmm_tail(struct sq_vmm *vmm,
                 void (*fn)(void *ctx, const char *line), void *ctx)
{
    sq_console_tail(&vmm->console, fn, ctx);
}

bool sq_vmm_panic(struct sq_vmm *vmm, char *line, size_t len)
{
    char whole[SQ_CONSOLE_LINE_MAX + 1];
    bool told = sq_console_panic(&vmm->console, whole);

    snprintf(line, len, "%s", whole);
    return told;
}

void sq_vmm_drain_console(struct sq_vmm *vmm, uint64_t wait_ns)
{
    sq_console_drain(&vmm->console, wait_ns);
}

static void add_latency(struct sq_vmm_latency *sum,
                        const struct sq_latency *l)
{
    uint64_t min = atomic_load(&l->min_us), max = atomic_load(&l->max_us);

    if (min && (min < sum->min_us || !sum->min_us))
        sum->min_us = min;
    if (max > sum->max_us)
        sum->max_us = max;
    sum->sum_us += atomic_load(&l->sum_us);
}

void sq_vmm_metrics(struct sq_vmm *vmm, struct sq_vmm_metrics *out)
{
    const struct sq_legacy *l = &vmm->devices.legacy;

    *out = (struct sq_vmm_metrics){
        .uart_sent = atomic_load(&l->serial.counters.sent),
        .uart_received = atomic_load(&l->serial.counters.received),
        .i8042_reads = atomic_load(&l->i8042.counters.reads),
        .i8042_writes = atomic_load(&l->i8042.counters.writes),
        .i8042_resets = atomic_load(&l->i8042.counters.resets),
    };
    sq_console_lost(&vmm->console, &out->console_dropped,
                    &out->console_limited);
    for (uint32_t i = 0; i < vmm->spec.vcpus; i++) {
        const struct sq_vcpu_metrics *m = &vmm->vcpus.thread[i].metrics;

        for (unsigned k = 0; k < SQUIB_EXIT_COUNT; k++)
            out->exits[k] += sq_counter_get(&m->exits[k]);
        out->mmio_writes += sq_counter_get(&m->mmio_writes);
        out->pio_writes += sq_counter_get(&m->pio_writes);
        out->mmio_unclaimed += sq_counter_get(&m->mmio_unclaimed);
        out->pio_unclaimed += sq_counter_get(&m->pio_unclaimed);
        out->hypercalls_unknown += sq_counter_get(&m->hypercalls_unknown);
        out->insns += sq_counter_get(&m->insns);
        for (unsigned w = 0; w < 2; w++) {
            add_latency(&out->pio[w], &m->pio[w]);
            add_latency(&out->mmio[w], &m->mmio[w]);
        }
    }
}

const char *sq_vmm_summary(const struct sq_vmm *vmm)
{
    return vmm->vcpus.thread[0].summary;
}
