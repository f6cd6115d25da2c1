/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/control.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <squib/backend.h>

#include "base/err.h"
#include "os/clock.h"
#include "os/cond.h"

enum state {
    IDLE,
    POSTED,   /* the event thread has it */
    FINISHED, /* rc and err are set */
};

struct sq_control {
    struct sq_control_config config;
    struct sq_work work;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t done;
    enum state state;
    bool closed;
    int rc;
    struct squib_error err;
    struct sq_vmm *vmm; /* set by the event thread */
    /* The command; the event thread's while POSTED. fn NULL: start. */
    sq_control_fn *fn;
    struct sq_vm_spec *spec;
    _Alignas(16) unsigned char data[SQ_CONTROL_DATA_MAX];
};

/* --- event thread ------------------------------------------------------ */

static void set_vmm(struct sq_control *c, struct sq_vmm *vmm)
{
    pthread_mutex_lock(&c->lock);
    c->vmm = vmm;
    pthread_mutex_unlock(&c->lock);
}

int sq_control_boot(struct sq_control *c, const struct sq_vm_spec *spec,
                    struct squib_error *err)
{
    struct sq_vmm_env env = c->config.env;
    struct sq_vmm *vmm = NULL;
    char why[256];
    int rc;

    if (sq_control_vmm(c))
        return sq_err_set(err, SQUIB_E_STATE, "the machine was started "
                          "before");
    rc = squib_backend_choose(c->config.backend, &env.backend, why,
                              sizeof(why), err);
    if (rc)
        return rc;
    if (c->config.chosen)
        c->config.chosen(env.ctx, why);
    rc = sq_vmm_new(spec, &env, &vmm, err);
    if (!rc && c->config.starting)
        rc = c->config.starting(env.ctx, err);
    if (!rc) {
        /* First, so that a guest that ends at once finds it. */
        set_vmm(c, vmm);
        rc = sq_vmm_start(vmm, err);
    }
    if (rc) {
        set_vmm(c, NULL);
        sq_vmm_free(vmm);
    }
    return rc;
}

static int obey(struct sq_control *c, struct squib_error *err)
{
    struct sq_vmm *vmm = sq_control_vmm(c);

    if (!c->fn)
        return sq_control_boot(c, c->spec, err);
    if (!vmm)
        return sq_err_set(err, SQUIB_E_STATE, "no machine is started");
    return c->fn(vmm, c->data, err);
}

static void on_command(void *ctx)
{
    struct sq_control *c = ctx;
    struct squib_error err = {0};
    int rc = obey(c, &err);

    pthread_mutex_lock(&c->lock);
    c->rc = rc;
    c->err = err;
    c->state = FINISHED;
    pthread_cond_broadcast(&c->done);
    pthread_mutex_unlock(&c->lock);
}

int sq_control_new(const struct sq_control_config *config,
                   struct sq_control **out, struct squib_error *err)
{
    struct sq_control *c = calloc(1, sizeof(*c));
    struct sq_vm_spec *spec = calloc(1, sizeof(*spec));

    if (!c || !spec) {
        free(c);
        free(spec);
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    }
    c->config = *config;
    c->spec = spec;
    c->work.fn = on_command;
    c->work.ctx = c;
    pthread_mutex_init(&c->lock, NULL);
    sq_cond_init(&c->done);
    *out = c;
    return 0;
}

void sq_control_free(struct sq_control *c)
{
    if (!c)
        return;
    sq_poller_unpost(c->config.env.poller, &c->work);
    sq_vmm_free(c->vmm);
    pthread_cond_destroy(&c->done);
    pthread_mutex_destroy(&c->lock);
    free(c->spec);
    free(c);
}

/* --- the other thread -------------------------------------------------- */

/* Waits for what was posted. Lock held; false when time ran out. */
static bool wait_done(struct sq_control *c)
{
    uint64_t until = sq_now_ns() + SQ_CONTROL_WAIT_NS;

    while (c->state == POSTED && !c->closed)
        if (!sq_cond_wait_until(&c->done, &c->lock, until))
            return c->state != POSTED;
    return true;
}

/* The lock is held. */
static int post(struct sq_control *c, sq_control_fn *fn,
                const struct sq_vm_spec *spec, void *data, size_t len,
                struct squib_error *err)
{
    int rc;

    if (c->closed)
        return sq_err_set(err, SQUIB_E_STATE, "the machine has ended");
    if (c->state == POSTED)
        return sq_err_set(err, SQUIB_E_TIMEOUT, "the previous command is "
                          "still being carried out");
    c->state = POSTED;
    c->fn = fn;
    if (spec)
        sq_spec_copy(c->spec, spec);
    if (len)
        memcpy(c->data, data, len);
    sq_poller_post(c->config.env.poller, &c->work);
    if (!wait_done(c))
        return sq_err_set(err, SQUIB_E_TIMEOUT, "no answer after %u s",
                          (unsigned)(SQ_CONTROL_WAIT_NS / 1000000000u));
    if (c->state != FINISHED)
        return sq_err_set(err, SQUIB_E_STATE, "the machine has ended");
    c->state = IDLE;
    rc = c->rc;
    if (rc && err)
        *err = c->err;
    if (len)
        memcpy(data, c->data, len);
    return rc;
}

int sq_control_start(struct sq_control *c, const struct sq_vm_spec *spec,
                     struct squib_error *err)
{
    int rc;

    pthread_mutex_lock(&c->lock);
    rc = post(c, NULL, spec, NULL, 0, err);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

int sq_control_call(struct sq_control *c, sq_control_fn *fn, void *data,
                    size_t len, struct squib_error *err)
{
    int rc;

    if (len > sizeof(c->data))
        return sq_err_set(err, SQUIB_E_INVAL, "%zu bytes are too many for "
                          "a command", len);
    pthread_mutex_lock(&c->lock);
    rc = post(c, fn, NULL, data, len, err);
    pthread_mutex_unlock(&c->lock);
    return rc;
}

/* --- any thread -------------------------------------------------------- */

struct sq_vmm *sq_control_vmm(struct sq_control *c)
{
    struct sq_vmm *vmm;

    pthread_mutex_lock(&c->lock);
    vmm = c->vmm;
    pthread_mutex_unlock(&c->lock);
    return vmm;
}

bool sq_control_started(struct sq_control *c)
{
    struct sq_vmm *vmm = sq_control_vmm(c);

    return vmm && sq_vmm_phase(vmm) > SQUIB_PHASE_STARTING;
}

enum squib_wire_state sq_control_state(struct sq_control *c)
{
    struct sq_vmm *vmm = sq_control_vmm(c);

    return vmm ? squib_phase_wire(sq_vmm_phase(vmm))
               : SQUIB_WIRE_NOT_STARTED;
}

void sq_control_close(struct sq_control *c)
{
    pthread_mutex_lock(&c->lock);
    c->closed = true;
    pthread_cond_broadcast(&c->done);
    pthread_mutex_unlock(&c->lock);
}
