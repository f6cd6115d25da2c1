/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a machine: a table of steps. Each step pushes what undoes it, so
 * that a failure anywhere and an orderly end take the same way back.
 *
 * The order is the order of dependence: devices need the VM for their
 * interrupt lines, the kernel's tables need the devices, vCPUs need the
 * loaded kernel's entry point. Taken back in reverse, threads end before
 * anything they use goes away.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "core/backend.h"
#include "vmm/vmm_internal.h"

static int push(struct sq_vmm *vmm, sq_undo_fn *fn, struct squib_error *err)
{
    if (sq_undo_push(&vmm->undo, fn, vmm))
        return 0;
    return sq_err_set(err, SQUIB_E_INTERNAL, "too many build steps");
}

/* --- console ----------------------------------------------------------- */

static void undo_console(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    sq_console_destroy(&vmm->console);
}

static void undo_serial(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    close(vmm->serial_fd);
}

/* Reading as well, so that a FIFO does not have to have a reader yet. */
static int open_serial(struct sq_vmm *vmm, struct squib_error *err)
{
    vmm->serial_fd = open(vmm->spec.serial_path,
                          O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);
    if (vmm->serial_fd < 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "cannot open serial output "
                         "%s", vmm->spec.serial_path);
    return push(vmm, undo_serial, err);
}

static int build_console(struct sq_vmm *vmm, struct squib_error *err)
{
    static const int fds[] = {
        [SQ_SERIAL_LOG] = -1,
        [SQ_SERIAL_STDERR] = STDERR_FILENO,
        [SQ_SERIAL_STDIO] = STDOUT_FILENO,
    };
    int fd = fds[vmm->spec.serial], rc = 0;

    if (vmm->spec.serial == SQ_SERIAL_STDIO && vmm->spec.serial_path[0]) {
        rc = open_serial(vmm, err);
        fd = vmm->serial_fd;
    }
    if (!rc)
        rc = sq_console_init(&vmm->console, vmm->env.poller, fd, err);
    if (!rc)
        sq_console_limit(&vmm->console, &vmm->spec.serial_limit);
    return rc ? rc : push(vmm, undo_console, err);
}

/* --- memory and VM ----------------------------------------------------- */

static int check_cpu(struct sq_vmm *vmm, struct squib_error *err)
{
    return sq_cpu_template_resolve(&vmm->spec.cpu, vmm->env.backend, err);
}

static void undo_memory(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    squib_memory_free(vmm->mem);
    vmm->mem = NULL;
}

static int build_memory(struct sq_vmm *vmm, struct squib_error *err)
{
    int rc = squib_memory_new(&vmm->mem, err);

    if (!rc)
        rc = push(vmm, undo_memory, err);
    if (!rc)
        sq_memory_set_pages(vmm->mem, vmm->spec.pages);
    if (!rc)
        rc = vmm->machine.ops->add_memory(vmm->mem, vmm->spec.mem_mib, err);
    return rc;
}

static void undo_vm(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    sq_poller_set_turn(vmm->env.poller, NULL);
    squib_vm_free(vmm->vm);
    vmm->vm = NULL;
}

static int build_vm(struct sq_vmm *vmm, struct squib_error *err)
{
    uint64_t caps = squib_backend_caps(vmm->env.backend);
    struct squib_vm_config config = {
        .vcpus = vmm->spec.vcpus,
        .irqchip = true,
        .dirty_log = vmm->spec.dirty_log,
        .deterministic = vmm->spec.deterministic,
        .seed = vmm->spec.seed,
        .translations_max = vmm->spec.translations_max,
    };
    int rc;

    if (!(caps & SQUIB_CAP_VCPU_EXITS))
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "backend %s has devices of its own and shows no "
                          "accesses to squib's",
                          squib_backend_name(vmm->env.backend));
    if (vmm->spec.vcpus > 1 && !(caps & SQUIB_CAP_SMP))
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "backend %s runs one vCPU only",
                          squib_backend_name(vmm->env.backend));
    if (vmm->machine.ops->vm_config)
        vmm->machine.ops->vm_config(&config);
    rc = squib_vm_new(vmm->env.backend, &config, vmm->mem, &vmm->vm, err);
    if (rc)
        return rc;
    sq_poller_set_turn(vmm->env.poller, vmm->vm->turn);
    return push(vmm, undo_vm, err);
}

/* --- devices ----------------------------------------------------------- */

static void serial_out(void *ctx, const uint8_t *data, size_t len)
{
    struct sq_vmm *vmm = ctx;

    sq_console_put(&vmm->console, data, len);
}

static void serial_drained(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    sq_serial_input_drained(&vmm->input);
}

static void guest_shutdown(void *ctx)
{
    sq_vmm_stop(ctx, SQ_OUTCOME_SHUTDOWN, NULL);
}

static void guest_reset(void *ctx)
{
    sq_vmm_stop(ctx, SQ_OUTCOME_RESET, NULL);
}

/* The program's status as QEMU makes it: odd, so that it differs from what
 * the monitor itself ends with when all is well. */
static void guest_test_exit(void *ctx, uint32_t value)
{
    struct sq_vmm *vmm = ctx;
    int none = SQ_VMM_NO_TEST_STATUS;

    atomic_compare_exchange_strong(&vmm->test_status, &none,
                                   (int)((value << 1 | 1u) & 0xffu));
    sq_vmm_stop(vmm, SQ_OUTCOME_SHUTDOWN, NULL);
}

static void guest_booted(void *ctx, uint64_t wall_ns, uint64_t cpu_ns)
{
    struct sq_vmm *vmm = ctx;

    if (vmm->env.boot_done)
        vmm->env.boot_done(vmm->env.ctx, wall_ns, cpu_ns);
}

static void host_trouble(void *ctx, const char *text)
{
    struct sq_vmm *vmm = ctx;

    if (vmm->env.trouble)
        vmm->env.trouble(vmm->env.ctx, text);
}

struct sq_devices_env sq_vmm_devices_env(struct sq_vmm *vmm)
{
    return (struct sq_devices_env){
        .spec = &vmm->spec,
        .machine = vmm->machine.ops,
        .vm = vmm->vm,
        .mem = vmm->mem,
        .poller = vmm->env.poller,
        .undo = &vmm->undo,
        .serial_out = serial_out,
        .serial_drained = serial_drained,
        .shutdown = guest_shutdown,
        .reset = guest_reset,
        .test_exit = guest_test_exit,
        .boot_done = guest_booted,
        .trouble = host_trouble,
        .ctx = vmm,
        .mmds = vmm->env.mmds,
        .vsock_host = vmm->env.vsock_host,
        .vsock_ctx = vmm->env.vsock_ctx,
    };
}

static int build_devices(struct sq_vmm *vmm, struct squib_error *err)
{
    struct sq_devices_env env = sq_vmm_devices_env(vmm);

    return sq_devices_build(&vmm->devices, &env, err);
}

static void undo_input(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    sq_serial_input_fini(&vmm->input);
}

static int build_input(struct sq_vmm *vmm, struct squib_error *err)
{
    bool wanted = vmm->spec.serial == SQ_SERIAL_STDIO &&
                  !vmm->spec.serial_path[0];
    int rc = sq_serial_input_init(&vmm->input, vmm->env.poller,
                                  &vmm->devices.legacy.serial,
                                  wanted ? STDIN_FILENO : -1, err);

    return rc ? rc : push(vmm, undo_input, err);
}

/* --- kernel and vCPUs -------------------------------------------------- */

static int build_kernel(struct sq_vmm *vmm, struct squib_error *err)
{
    return vmm->machine.ops->load(&vmm->machine, &vmm->spec, vmm->env.initrd,
                                  vmm->env.initrd_parts, &vmm->devices,
                                  vmm->mem, err);
}

static int setup_vcpu(void *ctx, struct squib_vcpu *vcpu,
                      struct squib_error *err)
{
    struct sq_vmm *vmm = ctx;

    int rc = vmm->machine.ops->setup_vcpu(&vmm->machine, vcpu, err);

    /* The last thing before guest code. */
    return rc ? rc : sq_confine_thread(vmm->env.confine, SQ_CONFINE_VCPU,
                                       err);
}

static void vcpus_ended(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    sq_poller_post(vmm->env.poller, &vmm->ended);
}

static void undo_vcpus(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    sq_console_close(&vmm->console);
    sq_vcpus_join(&vmm->vcpus);
    sq_poller_unpost(vmm->env.poller, &vmm->ended);
}

static void stop_vm(void *ctx, enum sq_outcome_kind kind, const char *text)
{
    sq_vmm_stop(ctx, kind, text);
}

static bool obey(void *ctx, uint32_t index)
{
    struct sq_vmm *vmm = ctx;

    return sq_vcpus_obey(&vmm->vcpus, index);
}

/* The clock of the year, by the instructions as of the last exit. */
static int64_t counted_time(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    return 1767225600 + (int64_t)(sq_counter_get(
               &vmm->vcpus.thread[0].metrics.insns) / 1000000000u);
}

/* What else would differ from run to run. */
static int build_deterministic(struct sq_vmm *vmm, struct squib_error *err)
{
    const struct sq_vm_spec *s = &vmm->spec;
    uint8_t id[16] = {0};

    if (!s->deterministic)
        return 0;
    if (s->drive_count || s->net_count || s->pmem_count || s->rng ||
        s->balloon)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "a deterministic machine has no drives, networks, "
                          "entropy device or balloon\n  do: use the built-in "
                          "root, without --net");
    vmm->devices.legacy.rtc.config.now = counted_time;
    vmm->devices.legacy.rtc.config.ctx = vmm;
    memcpy(id, &s->seed, sizeof(s->seed));
    return sq_vmgenid_set(&vmm->devices.vmgenid, id, err);
}

static void in_turn(void *ctx, bool run)
{
    struct sq_vmm *vmm = ctx;

    if (run)
        sq_poller_hold(vmm->env.poller);
    else
        sq_poller_release(vmm->env.poller);
}

static void vcpu_changed(void *ctx, uint32_t index)
{
    struct sq_vmm *vmm = ctx;

    sq_vcpus_changed(&vmm->vcpus, index);
}

static bool vcpu_on(void *ctx, uint32_t index)
{
    struct sq_vmm *vmm = ctx;

    return vmm->machine.ops->vcpu_on(&vmm->machine, index);
}

static bool vcpu_enter(void *ctx, struct squib_vcpu *vcpu)
{
    struct sq_vmm *vmm = ctx;
    struct squib_error err = {0};

    if (vmm->machine.ops->vcpu_enter(&vmm->machine, vcpu, &err) == 0)
        return true;
    sq_vmm_stop(vmm, SQ_OUTCOME_INTERNAL_ERROR, err.text);
    return false;
}

static void undo_machine(void *ctx)
{
    struct sq_vmm *vmm = ctx;

    vmm->machine.ops->end(&vmm->machine);
}

/* Has the machine answer the guest's calls, where it is to. */
static int build_calls(struct sq_vmm *vmm, struct sq_vcpus_config *config,
                       struct squib_error *err)
{
    const struct sq_machine_ops *ops = vmm->machine.ops;
    const struct sq_machine_hooks hooks = {
        .vcpu_changed = vcpu_changed,
        .shutdown = guest_shutdown,
        .reset = guest_reset,
        .ctx = vmm,
    };

    if (!ops->start ||
        (squib_backend_caps(vmm->env.backend) & SQUIB_CAP_PSCI))
        return 0;
    ops->start(&vmm->machine, &hooks);
    for (uint32_t i = 0; i < config->count; i++) {
        vmm->dispatch[i].hypercalls = vmm->calls[i];
        vmm->dispatch[i].hypercall_count =
            ops->hypercalls(&vmm->machine, i, vmm->calls[i]);
    }
    config->on = vcpu_on;
    config->enter = vcpu_enter;
    return push(vmm, undo_machine, err);
}

static int build_vcpus(struct sq_vmm *vmm, struct squib_error *err)
{
    struct sq_vcpus_config config = {
        .vm = vmm->vm,
        .count = vmm->spec.vcpus,
        .dispatch = vmm->dispatch,
        .setup = setup_vcpu,
        .ended = vcpus_ended,
        .ctx = vmm,
    };
    int rc;

    for (uint32_t i = 0; i < config.count; i++)
        vmm->dispatch[i] = (struct sq_dispatch){
            .mmio = &vmm->devices.mmio,
            .pio = &vmm->devices.pio,
            .stop = stop_vm,
            .command = obey,
            .in_turn = vmm->spec.deterministic ? in_turn : NULL,
            .ctx = vmm,
        };
    rc = build_calls(vmm, &config, err);
    if (!rc)
        rc = sq_vcpus_start(&vmm->vcpus, &config, err);
    return rc ? rc : push(vmm, undo_vcpus, err);
}

/* ----------------------------------------------------------------------- */

int sq_vmm_build(struct sq_vmm *vmm, struct squib_error *err)
{
    static int (*const steps[])(struct sq_vmm *, struct squib_error *) = {
        check_cpu, build_console, build_memory, build_vm, build_devices,
        build_deterministic,
        build_input, build_kernel, build_vcpus,
    };

    for (size_t i = 0; i < SQ_ARRAY_LEN(steps); i++) {
        int rc = steps[i](vmm, err);

        if (rc) {
            sq_undo_all(&vmm->undo);
            return rc;
        }
    }
    return 0;
}
