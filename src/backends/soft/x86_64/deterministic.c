/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/x86_64/deterministic.h"

#include <stdlib.h>
#include <string.h>

#include "backends/soft/vcpu.h"
#include "backends/soft/vm.h"
#include "backends/soft/x86_64/jit/jit.h"
#include "backends/soft/x86_64/lockstep.h"
#include "base/err.h"

/* How many more than one block surely end before that many instructions
 * have retired. */
static int32_t blocks_in(uint64_t insns)
{
    uint64_t n = insns / SQ_BLOCK_INSNS_MAX;

    return n > 1024 ? 1024 : n ? (int32_t)n - 1 : 0;
}

static uint64_t left(const struct sq_x86_cpu *c)
{
    return c->det->until > c->icount ? c->det->until - c->icount : 0;
}

/* In place of sq_jit_run(): not past where the interpreter would look
 * around. */
static bool run_translated(struct sq_x86_cpu *c, struct sq_x86_block *b)
{
    uint64_t most = left(c);

    if (most < b->n || !sq_jit_ready(c, b)) {
        c->js.link = 0;
        return false;
    }
    sq_jit_enter(c, b, most > 16384 ? 16384 : (int32_t)most);
    if (c->budget > 0)
        c->budget = blocks_in(left(c));
    return true;
}

int sq_det_new(struct sq_x86_cpu *c, uint64_t seed, struct squib_error *err)
{
    c->det = calloc(1, sizeof(*c->det));
    if (!c->det)
        return sq_err_set(err, SQUIB_E_NOMEM, "vCPU: out of memory");
    c->det->pause = SQ_DET_PAUSE;
    c->rng_state = seed;
    if (c->translated && !c->lockstep)
        c->translated = run_translated;
    return 0;
}

void sq_det_free(struct sq_x86_cpu *c)
{
    free(c->det);
    c->det = NULL;
}

bool sq_det_plan(struct sq_x86_cpu *c)
{
    struct sq_x86_det *d = c->det;
    uint64_t timer = c->lapic ? sq_lapic_next_deadline_ns(c->lapic)
                              : UINT64_MAX;

    if (c->icount >= d->pause) {
        d->pause = c->icount + SQ_DET_PAUSE;
        c->budget = 0;
        return true;
    }
    d->until = d->pause;
    if (timer != UINT64_MAX && timer < d->skipped_ns + d->until)
        d->until = timer > d->skipped_ns ? timer - d->skipped_ns : 0;
    c->budget = blocks_in(left(c));
    return false;
}

void sq_det_skip_to(struct sq_x86_cpu *c, uint64_t deadline_ns)
{
    uint64_t now = sq_x86_now(c);

    if (deadline_ns > now)
        c->det->skipped_ns += deadline_ns - now;
}

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
    const uint8_t *p = data;

    for (; len >= 8; len -= 8, p += 8) {
        h = (h ^ sq_ld64(p)) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 32;
    }
    return h;
}

uint64_t sq_det_hash(struct squib_vcpu *vcpu)
{
    struct sq_x86_cpu *c =
        &SQ_CONTAINER_OF(vcpu, struct sq_soft_vcpu, base)->cpu;
    struct squib_x86_64_state *st = calloc(1, sizeof(*st));
    uint64_t h = 1;

    if (!st || sq_soft_get_state(vcpu, SQUIB_STATE_ALL, st, NULL)) {
        free(st);
        return 0;
    }
    h = mix(h, st, sizeof(*st) & ~(size_t)7);
    free(st);
    for (size_t k = 0; k < c->vm->slot_count; k++)
        h = mix(h, c->vm->slot[k].hva, c->vm->slot[k].len);
    return h;
}
