/* SPDX-License-Identifier: Apache-2.0 */
/* Source of the layouts: Linux Documentation/virt/kvm/api.rst, section 5. */
#include "backends/kvm/exit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

void sq_kvm_internal_error(struct squib_exit *out, const char *text,
                           uint64_t a, uint64_t b)
{
    out->kind = SQUIB_EXIT_INTERNAL_ERROR;
    out->internal_error = (struct squib_exit_internal_error){
        .text = text, .detail = {a, b}};
}

static void suberror(struct sq_kvm_decode *d, const struct kvm_run *run,
                     struct squib_exit *out)
{
    uint32_t sub = run->internal.suberror;

    if (sq_kvm_decode_suberror(d, run, out))
        return;
    snprintf(d->text, sizeof(d->text), "KVM internal error %u%s", sub,
             sub == KVM_INTERNAL_ERROR_DELIVERY_EV
                 ? ": an exit in the middle of event delivery" : "");
    sq_kvm_internal_error(out, d->text, sub,
                          run->internal.ndata ? run->internal.data[0] : 0);
}

/* --- input and output ------------------------------------------------ */

static void io_element(const struct kvm_run *run, uint32_t element,
                       struct squib_exit *out)
{
    const uint8_t *at = (const uint8_t *)run + run->io.data_offset +
                        (size_t)element * run->io.size;

    out->kind = SQUIB_EXIT_PIO;
    out->pio = (struct squib_exit_pio){
        .port = run->io.port,
        .len = run->io.size,
        .write = run->io.direction == KVM_EXIT_IO_OUT,
    };
    if (out->pio.write)
        memcpy(out->pio.data, at, out->pio.len);
}

static void begin_io(struct sq_kvm_decode *d, const struct kvm_run *run,
                     size_t run_len, struct squib_exit *out)
{
    uint8_t size = run->io.size;
    uint64_t bytes = (uint64_t)size * run->io.count;

    if ((size != 1 && size != 2 && size != 4) || run->io.count == 0 ||
        run->io.data_offset > run_len ||
        bytes > run_len - run->io.data_offset) {
        sq_kvm_internal_error(out, "KVM returned an impossible port access",
                              size, run->io.count);
        return;
    }
    d->answer = true;
    io_element(run, 0, out);
}

static void begin_mmio(struct sq_kvm_decode *d, const struct kvm_run *run,
                       struct squib_exit *out)
{
    if (run->mmio.len < 1 || run->mmio.len > 8) {
        sq_kvm_internal_error(out, "KVM returned an impossible memory access",
                              run->mmio.phys_addr, run->mmio.len);
        return;
    }
    d->answer = true;
    out->kind = SQUIB_EXIT_MMIO;
    out->mmio = (struct squib_exit_mmio){
        .gpa = run->mmio.phys_addr,
        .len = (uint8_t)run->mmio.len,
        .write = run->mmio.is_write,
    };
    if (out->mmio.write)
        memcpy(out->mmio.data, run->mmio.data, out->mmio.len);
}

static void begin_hypercall(struct sq_kvm_decode *d,
                            const struct kvm_run *run,
                            struct squib_exit *out)
{
    d->answer = true;
    out->kind = SQUIB_EXIT_HYPERCALL;
    memset(&out->hypercall, 0, sizeof(out->hypercall));
    out->hypercall.function = run->hypercall.nr;
    memcpy(out->hypercall.args, run->hypercall.args,
           sizeof(out->hypercall.args));
}

static void system_event(const struct kvm_run *run, struct squib_exit *out)
{
    switch (run->system_event.type) {
    case KVM_SYSTEM_EVENT_RESET:
        out->kind = SQUIB_EXIT_RESET;
        break;
    case KVM_SYSTEM_EVENT_SHUTDOWN:
    case KVM_SYSTEM_EVENT_CRASH:
        out->kind = SQUIB_EXIT_SHUTDOWN;
        out->shutdown.fault =
            run->system_event.type == KVM_SYSTEM_EVENT_CRASH;
        break;
    default:
        sq_kvm_internal_error(out, "KVM reports a system event that is not "
                              "known", run->system_event.type, 0);
    }
}

bool sq_kvm_decode_begin(struct sq_kvm_decode *d, const struct kvm_run *run,
                         size_t run_len, struct squib_exit *out)
{
    d->element = 0;
    d->answer = false;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        begin_io(d, run, run_len, out);
        return true;
    case KVM_EXIT_MMIO:
        begin_mmio(d, run, out);
        return true;
    case KVM_EXIT_HYPERCALL:
        begin_hypercall(d, run, out);
        return true;
    case KVM_EXIT_HLT:
        out->kind = SQUIB_EXIT_HLT;
        out->idle.deadline_ns = SQUIB_DEADLINE_NONE;
        return true;
    case KVM_EXIT_SHUTDOWN:
        out->kind = SQUIB_EXIT_SHUTDOWN;
        out->shutdown.fault = true;
        return true;
    case KVM_EXIT_SYSTEM_EVENT:
        system_event(run, out);
        return true;
    case KVM_EXIT_DEBUG:
        out->kind = SQUIB_EXIT_DEBUG;
        sq_kvm_decode_debug(run, &out->debug);
        return true;
    case KVM_EXIT_INTERNAL_ERROR:
        suberror(d, run, out);
        return true;
    case KVM_EXIT_FAIL_ENTRY:
        snprintf(d->text, sizeof(d->text),
                 "the processor refused to enter the guest, reason %#llx",
                 (unsigned long long)
                     run->fail_entry.hardware_entry_failure_reason);
        sq_kvm_internal_error(out, d->text,
                              run->fail_entry.hardware_entry_failure_reason,
                              run->fail_entry.cpu);
        return true;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
        return false;
    default:
        if (sq_kvm_decode_arch(d, run, out))
            return true;
        snprintf(d->text, sizeof(d->text),
                 "KVM returned an exit that squib does not know, reason %u",
                 run->exit_reason);
        sq_kvm_internal_error(out, d->text, run->exit_reason,
                              run->hw.hardware_exit_reason);
        return true;
    }
}

bool sq_kvm_decode_more(const struct sq_kvm_decode *d,
                        const struct kvm_run *run)
{
    return d->answer && run->exit_reason == KVM_EXIT_IO &&
           d->element + 1 < run->io.count;
}

bool sq_kvm_decode_next(struct sq_kvm_decode *d, struct kvm_run *run,
                        struct squib_exit *io)
{
    if (!d->answer)
        return false;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        if (run->io.direction == KVM_EXIT_IO_IN)
            memcpy((uint8_t *)run + run->io.data_offset +
                       (size_t)d->element * run->io.size,
                   io->pio.data, run->io.size);
        if (sq_kvm_decode_more(d, run)) {
            io_element(run, ++d->element, io);
            return true;
        }
        break;
    case KVM_EXIT_MMIO:
        if (!run->mmio.is_write)
            memcpy(run->mmio.data, io->mmio.data, run->mmio.len);
        break;
    case KVM_EXIT_HYPERCALL:
        run->hypercall.ret = io->hypercall.ret;
        break;
    }
    d->answer = false;
    return false;
}

void sq_kvm_decode_errno(struct sq_kvm_decode *d, int os_errno,
                         struct squib_exit *out)
{
    d->answer = false;
    if (os_errno == EFAULT)
        snprintf(d->text, sizeof(d->text), "KVM could not reach the host "
                 "memory behind a guest address");
    else
        snprintf(d->text, sizeof(d->text), "KVM could not run the vCPU: %s",
                 strerror(os_errno));
    sq_kvm_internal_error(out, d->text, (uint64_t)os_errno, 0);
}
