/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "vmm/vcpu_thread.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "core/backend.h"
#include "os/host.h"

/* Signals for the process are the event thread's; what a backend uses to
 * interrupt a vCPU it unblocks itself. */
static void block_signals(void)
{
    static const int mine[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH,
                               SIGCHLD, SIGPIPE, SIGTSTP, SIGCONT};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(mine) / sizeof(mine[0]); i++)
        sigaddset(&set, mine[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void set_status(struct sq_vcpu_thread *t, enum sq_vcpu_status status)
{
    t->status = status; /* lock held */
    pthread_cond_broadcast(&t->set->changed);
}

static bool is_on(const struct sq_vcpus *set, uint32_t index)
{
    return !set->config.on || set->config.on(set->config.ctx, index);
}

/* Waits while the command says so, or while the vCPU is off. Returns the
 * command. */
static int wait_command(struct sq_vcpus *set, struct sq_vcpu_thread *t)
{
    int command;

    pthread_mutex_lock(&set->lock);
    while ((command = set->command) == SQ_VCPU_PAUSE ||
           (command == SQ_VCPU_RUN && !is_on(set, t->index))) {
        if (command == SQ_VCPU_RUN)
            t->status = SQ_VCPU_RUNNING; /* as far as others care */
        else if (t->status != SQ_VCPU_PAUSED)
            set_status(t, SQ_VCPU_PAUSED);
        pthread_cond_wait(&set->changed, &set->lock);
    }
    if (command == SQ_VCPU_RUN)
        t->status = SQ_VCPU_RUNNING;
    pthread_mutex_unlock(&set->lock);
    return command;
}

bool sq_vcpus_obey(struct sq_vcpus *set, uint32_t index)
{
    struct sq_vcpu_thread *t = &set->thread[index];
    int command = atomic_load_explicit(&set->command, memory_order_acquire);

    if (command != SQ_VCPU_RUN || set->config.on)
        command = wait_command(set, t);
    if (command != SQ_VCPU_RUN)
        return false;
    return !set->config.enter || set->config.enter(set->config.ctx, t->vcpu);
}

void sq_vcpus_changed(struct sq_vcpus *set, uint32_t index)
{
    pthread_mutex_lock(&set->lock);
    pthread_cond_broadcast(&set->changed);
    if (set->thread[index].vcpu)
        squib_vcpu_cancel(set->thread[index].vcpu);
    pthread_mutex_unlock(&set->lock);
}

static int create(struct sq_vcpu_thread *t, struct squib_vcpu **out,
                  struct squib_error *err)
{
    const struct sq_vcpus_config *c = &t->set->config;
    int rc = squib_vcpu_new(c->vm, t->index, out, err);

    if (rc)
        return sq_err_prefix(err, "vCPU %u: ", t->index);
    rc = c->setup ? c->setup(c->ctx, *out, err) : 0;
    if (rc) {
        squib_vcpu_free(*out);
        *out = NULL;
        return sq_err_prefix(err, "vCPU %u: ", t->index);
    }
    return 0;
}

/* Others send interrupts to a vCPU for as long as they run: none is freed
 * before all have left the guest for good. They do: whoever leaves has
 * stopped the machine. */
static void leave(struct sq_vcpu_thread *t)
{
    struct sq_vcpus *set = t->set;

    pthread_mutex_lock(&set->lock);
    t->vcpu = NULL; /* from here on nobody cancels it */
    set->left++;
    pthread_cond_broadcast(&set->changed);
    while (set->left < set->made)
        pthread_cond_wait(&set->changed, &set->lock);
    pthread_mutex_unlock(&set->lock);
}

static void *thread_main(void *arg)
{
    struct sq_vcpu_thread *t = arg;
    struct sq_vcpus *set = t->set;
    struct squib_vcpu *vcpu = NULL;
    struct squib_error err = {0};
    void (*ended)(void *ctx) = NULL;

    block_signals();
    if (create(t, &vcpu, &err) == 0) {
        pthread_mutex_lock(&set->lock);
        t->vcpu = vcpu;
        set->made++;
        pthread_mutex_unlock(&set->lock);
        if (sq_vcpus_obey(set, t->index)) {
            sq_dispatch_run(&set->config.dispatch[t->index], vcpu,
                            &t->metrics);
            if (vcpu->ops->summary)
                vcpu->ops->summary(vcpu, t->summary, sizeof(t->summary));
        }
        leave(t);
    }
    squib_vcpu_free(vcpu);
    pthread_mutex_lock(&set->lock);
    t->err = err;
    set_status(t, SQ_VCPU_ENDED);
    if (++set->ended == set->config.count)
        ended = set->config.ended;
    pthread_mutex_unlock(&set->lock);
    if (ended)
        ended(set->config.ctx);
    return NULL;
}

/* The first vCPU that could not be made. Lock held. */
static const struct squib_error *first_error(const struct sq_vcpus *set)
{
    for (uint32_t i = 0; i < set->config.count; i++)
        if (set->thread[i].status == SQ_VCPU_ENDED &&
            set->thread[i].err.code)
            return &set->thread[i].err;
    return NULL;
}

static bool all_settled(const struct sq_vcpus *set)
{
    for (uint32_t i = 0; i < set->config.count; i++)
        if (set->thread[i].started &&
            set->thread[i].status != SQ_VCPU_PAUSED &&
            set->thread[i].status != SQ_VCPU_ENDED)
            return false;
    return true;
}

void sq_vcpus_wait_paused(struct sq_vcpus *set)
{
    pthread_mutex_lock(&set->lock);
    while (!all_settled(set))
        pthread_cond_wait(&set->changed, &set->lock);
    pthread_mutex_unlock(&set->lock);
}

int sq_vcpus_start(struct sq_vcpus *set, const struct sq_vcpus_config *config,
                   struct squib_error *err)
{
    void (*ended)(void *ctx) = config->ended;
    int rc = 0;

    memset(set, 0, sizeof(*set));
    set->config = *config;
    /* Nobody is told of the end of vCPUs that were never handed out. */
    set->config.ended = NULL;
    pthread_mutex_init(&set->lock, NULL);
    pthread_cond_init(&set->changed, NULL);
    set->command = SQ_VCPU_PAUSE;
    for (uint32_t i = 0; i < config->count && !rc; i++) {
        struct sq_vcpu_thread *t = &set->thread[i];
        int e;

        t->set = set;
        t->index = i;
        e = pthread_create(&t->thread, NULL, thread_main, t);
        if (e) {
            rc = sq_err_os(err, SQUIB_E_OS, e, "vCPU %u: thread", i);
            break;
        }
        t->started = true;
        char name[16];

        snprintf(name, sizeof(name), "fc_vcpu %u", i & 0xff);
        sq_host_name_thread(t->thread, name);
    }
    sq_vcpus_wait_paused(set);
    pthread_mutex_lock(&set->lock);
    if (!rc && first_error(set)) {
        if (err)
            *err = *first_error(set);
        rc = first_error(set)->code;
    }
    set->config.ended = rc ? NULL : ended;
    pthread_mutex_unlock(&set->lock);
    if (rc)
        sq_vcpus_join(set);
    return rc;
}

void sq_vcpus_command(struct sq_vcpus *set, enum sq_vcpu_command command)
{
    pthread_mutex_lock(&set->lock);
    if (set->command != SQ_VCPU_STOP)
        set->command = command;
    pthread_cond_broadcast(&set->changed);
    if (set->command != SQ_VCPU_RUN)
        for (uint32_t i = 0; i < set->config.count; i++)
            if (set->thread[i].vcpu)
                squib_vcpu_cancel(set->thread[i].vcpu);
    pthread_mutex_unlock(&set->lock);
}

void sq_vcpus_join(struct sq_vcpus *set)
{
    sq_vcpus_command(set, SQ_VCPU_STOP);
    for (uint32_t i = 0; i < set->config.count; i++)
        if (set->thread[i].started)
            pthread_join(set->thread[i].thread, NULL);
    pthread_cond_destroy(&set->changed);
    pthread_mutex_destroy(&set->lock);
}
