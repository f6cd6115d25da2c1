/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands to one machine from a thread that is not the event thread.
 *
 * The machine lives on the event thread; each command is posted there,
 * carried out between two events, and waited for, but not for ever: after
 * SQ_CONTROL_WAIT_NS the caller gets SQUIB_E_TIMEOUT, and so do all further
 * commands until the event thread has caught up.
 *
 * Threads: _new(), _boot() and _free() belong to the event thread; _start()
 * and _call() to one other thread; the rest to any.
 *
 * Lock order: `lock` is taken before the poller's and the lifecycle's.
 */
#ifndef SQ_VMM_CONTROL_H
#define SQ_VMM_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include <squib/lifecycle.h>

#include "vmm/config.h"
#include "vmm/vmm.h"

#define SQ_CONTROL_WAIT_NS 60000000000u
/* Of what a call takes with it and brings back. */
#define SQ_CONTROL_DATA_MAX 8192u

struct sq_control;

struct sq_control_config {
    /* For sq_vmm_new(), but for `backend`, which is chosen by name. */
    struct sq_vmm_env env;
    const char *backend;
    /* Event thread, both optional, ctx is env.ctx: the backend is chosen,
     * `why` tells which; the machine is built and about to run. */
    void (*chosen)(void *ctx, const char *why);
    int (*starting)(void *ctx, struct squib_error *err);
};

int sq_control_new(const struct sq_control_config *config,
                   struct sq_control **out, struct squib_error *err);
/* Frees the machine as well. The loop has ended, no command is under way.
 * NULL is allowed. */
void sq_control_free(struct sq_control *c);

/* Builds and starts the machine at once, on the event thread. */
int sq_control_boot(struct sq_control *c, const struct sq_vm_spec *spec,
                    struct squib_error *err);

/* The same from the other thread; spec is copied. Errors: SQUIB_E_TIMEOUT,
 * SQUIB_E_STATE (it is started already, or the loop has ended), or what
 * building says; then it may be tried again. */
int sq_control_start(struct sq_control *c, const struct sq_vm_spec *spec,
                     struct squib_error *err);

/* Calls fn on the event thread with the machine and a copy of data[len],
 * which is copied back afterwards. Errors: SQUIB_E_STATE (not started, or
 * the loop has ended), SQUIB_E_TIMEOUT, or what fn says. */
typedef int sq_control_fn(struct sq_vmm *vmm, void *data,
                          struct squib_error *err);
int sq_control_call(struct sq_control *c, sq_control_fn *fn, void *data,
                    size_t len, struct squib_error *err);

/* The machine, NULL before it is started; it stays until _free(). */
struct sq_vmm *sq_control_vmm(struct sq_control *c);
/* Whether the guest has been started. */
bool sq_control_started(struct sq_control *c);
enum squib_wire_state sq_control_state(struct sq_control *c);

/* The event loop has ended: whoever waits returns with SQUIB_E_STATE, and so
 * does every command from now on. */
void sq_control_close(struct sq_control *c);

#endif
