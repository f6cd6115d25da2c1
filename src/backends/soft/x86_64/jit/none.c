/* SPDX-License-Identifier: Apache-2.0 */
/* For hosts without a translator. */
#include "backends/soft/x86_64/jit/jit.h"

#include "base/err.h"

int sq_jit_check(struct squib_error *err)
{
    return sq_err_set(err, SQUIB_E_NOSUPPORT,
                      "interpreting, as there is no translator for the "
                      "host's processor");
}

int sq_jit_new(struct sq_jit **out, unsigned heat, struct squib_error *err)
{
    (void)out, (void)heat;
    return sq_err_set(err, SQUIB_E_NOSUPPORT,
                      "there is no translator for this processor");
}

void sq_jit_free(struct sq_jit *j)
{
    (void)j;
}

void sq_jit_attach(struct sq_x86_cpu *c, struct sq_jit *j)
{
    (void)c, (void)j;
}

void sq_jit_limit(struct sq_jit *j, uint64_t most)
{
    (void)j, (void)most;
}

uint64_t sq_jit_made(struct sq_jit *j, struct sq_jit_made *m)
{
    (void)j, (void)m;
    return 0;
}

void sq_jit_room(struct sq_jit *j, size_t code_len)
{
    (void)j, (void)code_len;
}

void sq_jit_forget(struct sq_jit *j)
{
    (void)j;
}

void sq_jit_renew(struct sq_x86_cpu *c)
{
    (void)c;
}

void sq_jit_forget_jumps(struct sq_x86_cpu *c)
{
    (void)c;
}

bool sq_jit_ready(struct sq_x86_cpu *c, struct sq_x86_block *b)
{
    (void)c, (void)b;
    return false;
}

void sq_jit_enter(struct sq_x86_cpu *c, struct sq_x86_block *b, int32_t fuel)
{
    (void)c, (void)b, (void)fuel;
}

uint16_t sq_jit_live(struct sq_x86_cpu *c, struct sq_x86_block *b,
                     unsigned index)
{
    (void)c, (void)b, (void)index;
    return 0;
}

bool sq_jit_run(struct sq_x86_cpu *c, struct sq_x86_block *b)
{
    (void)c, (void)b;
    return false;
}
