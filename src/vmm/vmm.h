/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual machine from its configuration to its end.
 *
 *   sq_vmm_new()     builds everything; no guest instruction runs
 *   sq_vmm_start()   lets the vCPUs run
 *   ...              the caller runs the poller: that is the event thread
 *   hooks.stopped    the vCPUs have ended; sq_vmm_outcome() says how
 *   sq_vmm_free()    takes everything down, in any phase
 *
 * A process may have many. All calls belong to the event thread except
 * sq_vmm_stop(), _phase(), _outcome(), _tail(), _panic() and those that say
 * so.
 */
#ifndef SQ_VMM_VMM_H
#define SQ_VMM_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/squib.h>

#include "dev/virtio/vsock.h"
#include "mmds/mmds.h"
#include "os/poller.h"
#include "vmm/config.h"
#include "vmm/machine.h"
#include "vmm/metrics.h"
#include "vmm/outcome.h"

struct sq_vmm;

/* What the machine stands on and whom it tells. Copied by sq_vmm_new(). */
struct sq_vmm_env {
    const struct squib_backend *backend; /* chosen and probed */
    struct sq_poller *poller;            /* outlives the machine */
    /* Further parts of the initrd, after the spec's file; borrowed for the
     * call of sq_vmm_new(). At most 4. */
    const struct sq_boot_blob *initrd;
    size_t initrd_parts;
    /* What interfaces with `mmds` answer from; outlives the machine. NULL:
     * none of them does. */
    struct sq_mmds *mmds;
    /* Answers the guest's vsock connections; NULL refuses them. */
    const struct sq_vsock_host_ops *vsock_host;
    void *vsock_ctx;
    /* Event thread: the vCPUs have all ended. */
    void (*stopped)(void *ctx);
    /* A vCPU thread: the guest told the boot timer. May be NULL. */
    void (*boot_done)(void *ctx, uint64_t wall_ns, uint64_t cpu_ns);
    /* Event thread: the host fails a device, and the guest is told in the
     * device's way; a line for people. May be NULL. */
    void (*trouble)(void *ctx, const char *text);
    void *ctx;
};

/* Errors: SQUIB_E_INVAL for the spec, or what the failing step says. */
int sq_vmm_new(const struct sq_vm_spec *spec, const struct sq_vmm_env *env,
               struct sq_vmm **out, struct squib_error *err);

/* Stops what runs, waits for it, and releases all. NULL is allowed. */
void sq_vmm_free(struct sq_vmm *vmm);

int sq_vmm_start(struct sq_vmm *vmm, struct squib_error *err);

/* Both return when the vCPUs obey. Errors: SQUIB_E_STATE. */
int sq_vmm_pause(struct sq_vmm *vmm, struct squib_error *err);
int sq_vmm_resume(struct sq_vmm *vmm, struct squib_error *err);

/* Ends the machine; the first reason counts. Returns at once; the stopped
 * hook follows. No effect on a machine that was not started or has ended.
 * `text` may be NULL. Any thread. */
void sq_vmm_stop(struct sq_vmm *vmm, enum sq_outcome_kind kind,
                 const char *text);

enum squib_phase sq_vmm_phase(struct sq_vmm *vmm);
struct sq_outcome sq_vmm_outcome(struct sq_vmm *vmm);

/* What the guest gave the test device (struct sq_vm_spec) as status: 1 to
 * 255, odd; or that it has not. Any thread. */
#define SQ_VMM_NO_TEST_STATUS (-1)
int sq_vmm_test_status(struct sq_vmm *vmm);

/* Presses Ctrl-Alt-Del; false when the guest does not read its keyboard.
 * Any thread. */
bool sq_vmm_ctrl_alt_del(struct sq_vmm *vmm);

/* The n-th device with this identifier (enum sq_virtio_id), drives and
 * interfaces in the order of the spec; NULL if there are not as many. What
 * may be done with it on which thread, its header says. Any thread. */
struct sq_virtio_device *sq_vmm_device(struct sq_vmm *vmm, uint32_t id,
                                       uint32_t n);

/* Devices that come and go while the guest runs, with PCI. `entry` is what
 * the spec's list for this virtio identifier has (sq_spec_list()); it is
 * copied, becomes the last one, and the guest is told to look. Unplugging
 * takes the n-th away whether or not the guest has let go of it. For pmem
 * the vCPUs stop for a moment. Errors: SQUIB_E_NOSUPPORT without PCI or for
 * other devices, SQUIB_E_RANGE (too many), SQUIB_E_NOTFOUND, or what making
 * the device says. */
int sq_vmm_plug(struct sq_vmm *vmm, uint32_t id, const void *entry,
                struct squib_error *err);
int sq_vmm_unplug(struct sq_vmm *vmm, uint32_t id, uint32_t n,
                  struct squib_error *err);

/* The event loop it was built on. Any thread. */
struct sq_poller *sq_vmm_poller(struct sq_vmm *vmm);

/* The last lines of the console; see sq_console_tail(). */
void sq_vmm_tail(struct sq_vmm *vmm,
                 void (*fn)(void *ctx, const char *line), void *ctx);

/* The line in which the guest's kernel said that it panicked, into
 * line[len] (cut if need be); false if it has not. Any thread. */
bool sq_vmm_panic(struct sq_vmm *vmm, char *line, size_t len);

/* Writes out what the console still holds, waiting at most wait_ns. */
void sq_vmm_drain_console(struct sq_vmm *vmm, uint64_t wait_ns);

/* Sums over all vCPUs, and what the legacy devices have counted. */
struct sq_vmm_metrics {
    uint64_t exits[SQUIB_EXIT_COUNT];
    uint64_t mmio_writes, pio_writes;
    uint64_t mmio_unclaimed, pio_unclaimed, hypercalls_unknown;
    uint64_t insns; /* up to each vCPU's last exit; 0 when not counted */
    uint64_t uart_sent, uart_received; /* bytes */
    uint64_t i8042_reads, i8042_writes, i8042_resets;
    /* Bytes of console output: nobody took them; the limit was reached. */
    uint64_t console_dropped, console_limited;
    /* In the device: reads, writes. */
    struct sq_vmm_latency {
        uint64_t min_us, max_us, sum_us;
    } pio[2], mmio[2];
};
void sq_vmm_metrics(struct sq_vmm *vmm, struct sq_vmm_metrics *out);

/* What the backend says of the run of vCPU 0, a line at most; "" when it
 * says nothing. After the vCPUs have ended. */
const char *sq_vmm_summary(const struct sq_vmm *vmm);

#endif
