/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/x86_64/debug.h"

#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/lockstep.h"
#include "backends/soft/x86_64/mem.h"

enum { ON_CODE = 0, ON_WRITE = 1, ON_PORT = 2, ON_ACCESS = 3 };
enum { DR6_HITS = 15 };
#define DR6_ONES 0xffff0ff0u

static unsigned condition(const struct sq_x86_cpu *c, unsigned n)
{
    return c->dr7 >> (16 + 4 * n) & 3;
}

/* Bytes that DRn covers, from its address rounded down to them. */
static unsigned length(const struct sq_x86_cpu *c, unsigned n)
{
    static const uint8_t lengths[] = {1, 2, 8, 4};

    return lengths[c->dr7 >> (18 + 4 * n) & 3];
}

void sq_x86_debug_update(struct sq_x86_cpu *c)
{
    struct sq_x86_debug *d = &c->debug;

    d->code = d->data = d->port = 0;
    for (unsigned n = 0; n < 4; n++) {
        if (!(c->dr7 >> 2 * n & 3))
            continue;
        switch (condition(c, n)) {
        case ON_CODE: d->code |= 1u << n; break;
        case ON_PORT: d->port |= c->cr4 & CR4_DE ? 1u << n : 0; break;
        default: d->data |= 1u << n;
        }
    }
    if (d->data)
        sq_x86_tlb_flush(c, false);
    if (d->code)
        sq_x86_jc_flush(c);
}

/* Those of `which` that cover any of [at, at + len). */
static uint8_t covering(const struct sq_x86_cpu *c, uint8_t which,
                        uint64_t at, unsigned len)
{
    uint8_t hits = 0;

    for (unsigned n = 0; n < 4; n++) {
        unsigned size = length(c, n);
        uint64_t first = c->dr[n] & ~(uint64_t)(size - 1);

        if (which >> n & 1 && (at - first < size || first - at < len))
            hits |= (uint8_t)(1u << n);
    }
    return hits;
}

bool sq_x86_debug_on_page(const struct sq_x86_cpu *c, uint8_t which,
                          uint64_t gva)
{
    for (unsigned n = 0; n < 4; n++)
        if (which >> n & 1 && (c->dr[n] ^ gva) >> 12 == 0)
            return true;
    return false;
}

static uint8_t code_at(const struct sq_x86_cpu *c, uint64_t gva)
{
    uint8_t hits = 0;

    for (unsigned n = 0; n < 4; n++)
        if (c->debug.code >> n & 1 && c->dr[n] == gva)
            hits |= (uint8_t)(1u << n);
    return hits;
}

static uint64_t linear_rip(const struct sq_x86_cpu *c)
{
    uint64_t gva = c->gpr[SQ_RIP] + c->fetch_base;

    return c->code64 ? gva : (uint32_t)gva;
}

void sq_x86_debug_say(struct sq_x86_cpu *c, uint32_t bits)
{
    c->dr6 = (c->dr6 & ~(uint64_t)DR6_HITS) | bits | c->debug.hits;
    c->debug.hits = 0;
}

_Noreturn void sq_x86_debug_raise(struct sq_x86_cpu *c,
                                  const struct sq_x86_insn *i, uint32_t bits)
{
    sq_x86_debug_say(c, bits);
    sq_x86_raise(c, i, EXC_DB, NO_ERROR_CODE);
}

void sq_x86_debug_fetch(struct sq_x86_cpu *c, uint64_t gva)
{
    uint8_t hits = code_at(c, gva);

    /* Behind a load of SS there is none (SDM vol. 3, 6.8.3), nor where the
     * instruction has begun already. */
    if (hits && !(c->rflags & FL_RF) &&
        !(c->ss_shadow && c->icount == c->shadow_icount) &&
        !sq_x86_replaying(c))
        sq_x86_debug_raise(c, NULL, hits);
    c->rflags &= ~(uint64_t)FL_RF;
}

static void hit(struct sq_x86_cpu *c, uint8_t hits)
{
    c->debug.hits |= hits;
    if (hits)
        atomic_fetch_or(&c->attn, ATTN_IRQ);
}

void sq_x86_debug_access(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         uint64_t gva, unsigned len, bool write)
{
    uint8_t which = c->debug.data, hits;

    for (unsigned n = 0; !write && n < 4; n++)
        if (condition(c, n) == ON_WRITE)
            which &= (uint8_t)~(1u << n);
    hits = covering(c, which, gva, len);
    if (!hits)
        return;
    if (c->lockstep)
        sq_lockstep_alone(c, i);
    hit(c, hits);
    sq_x86_stop_after(c, i);
}

void sq_x86_debug_port(struct sq_x86_cpu *c, uint16_t port, unsigned len)
{
    hit(c, covering(c, c->debug.port, port, len));
}

void sq_x86_debug_settle_rf(struct sq_x86_cpu *c)
{
    if (c->rflags & FL_RF && !code_at(c, linear_rip(c)))
        c->rflags &= ~(uint64_t)FL_RF;
}

void sq_x86_debug_repeats(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    if (c->debug.code && code_at(c, linear_rip(c) + i->off))
        c->rflags |= FL_RF;
    if (c->rflags & FL_TF)
        sq_x86_debug_raise(c, i, DR6_BS);
}

/* --- the embedder's debugger --------------------------------------------- */

void sq_x86_debug_ask(struct sq_x86_cpu *c, uint32_t flags)
{
    c->debug.asked = (uint8_t)flags;
    /* What has not been returned yet is wanted as long as it steps. */
    if (!sq_x86_stepping(c))
        c->debug.due = false;
}

static void describe(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     uint32_t why)
{
    uint64_t pc = linear_rip(c) + (i ? i->off : 0);

    c->exit->kind = SQUIB_EXIT_DEBUG;
    c->exit->debug = (struct squib_exit_debug){
        .pc = c->code64 ? pc : (uint32_t)pc, .syndrome = DR6_ONES | why};
}

struct squib_exit *sq_x86_debug_exit(struct sq_x86_cpu *c)
{
    c->debug.due = false;
    describe(c, NULL, DR6_BS);
    return c->exit;
}

void sq_x86_debug_int3(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    if (!(c->debug.asked & SQUIB_DEBUG_BREAK))
        return;
    describe(c, i, 0);
    sq_x86_leave_exit(c, i);
}
