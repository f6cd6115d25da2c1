/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/lifecycle.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

const char *sq_outcome_name(enum sq_outcome_kind kind)
{
    static const char *const names[] = {
#define NAME(name, text) [SQ_OUTCOME_##name] = text,
        SQ_OUTCOME_LIST(NAME)
#undef NAME
    };

    return (unsigned)kind < SQ_OUTCOME_COUNT ? names[kind] : "?";
}

void sq_lifecycle_init(struct sq_lifecycle *life)
{
    memset(life, 0, sizeof(*life));
    pthread_mutex_init(&life->lock, NULL);
    life->phase = SQUIB_PHASE_CONFIGURING;
}

void sq_lifecycle_destroy(struct sq_lifecycle *life)
{
    pthread_mutex_destroy(&life->lock);
}

enum squib_phase sq_lifecycle_phase(struct sq_lifecycle *life)
{
    enum squib_phase phase;

    pthread_mutex_lock(&life->lock);
    phase = life->phase;
    pthread_mutex_unlock(&life->lock);
    return phase;
}

int sq_lifecycle_step(struct sq_lifecycle *life, enum squib_phase to,
                      struct squib_error *err)
{
    enum squib_phase from;
    bool ok;

    pthread_mutex_lock(&life->lock);
    from = life->phase;
    ok = squib_phase_may_follow(from, to);
    if (ok)
        life->phase = to;
    pthread_mutex_unlock(&life->lock);
    if (ok)
        return 0;
    return sq_err_set(err, SQUIB_E_STATE,
                      "the virtual machine is %s and cannot become %s",
                      squib_phase_name(from), squib_phase_name(to));
}

bool sq_lifecycle_stop(struct sq_lifecycle *life, enum sq_outcome_kind kind,
                       const char *text)
{
    bool ok;

    pthread_mutex_lock(&life->lock);
    ok = squib_phase_may_follow(life->phase, SQUIB_PHASE_STOPPING);
    if (ok) {
        life->phase = SQUIB_PHASE_STOPPING;
        life->outcome.kind = kind;
        snprintf(life->outcome.text, sizeof(life->outcome.text), "%s",
                 text ? text : "");
    }
    pthread_mutex_unlock(&life->lock);
    return ok;
}

struct sq_outcome sq_lifecycle_outcome(struct sq_lifecycle *life)
{
    struct sq_outcome outcome;

    pthread_mutex_lock(&life->lock);
    outcome = life->outcome;
    pthread_mutex_unlock(&life->lock);
    return outcome;
}
