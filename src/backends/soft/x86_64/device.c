/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses that are not memory: MMIO and ports.
 *
 * Reads are replayed and writes are posted; cpu.h explains both.
 */
#include "backends/soft/vm.h"
#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/debug.h"
#include "backends/soft/x86_64/lockstep.h"
#include "backends/soft/x86_64/mem.h"

static void describe(struct sq_x86_cpu *c, const struct sq_x86_access *a,
                     bool write)
{
    if (a->pio) {
        c->exit->kind = SQUIB_EXIT_PIO;
        c->exit->pio = (struct squib_exit_pio){
            .port = (uint16_t)a->where, .len = a->len, .write = write};
        memcpy(c->exit->pio.data, &a->data, a->len);
    } else {
        c->exit->kind = SQUIB_EXIT_MMIO;
        c->exit->mmio = (struct squib_exit_mmio){
            .gpa = a->where, .len = a->len, .write = write};
        memcpy(c->exit->mmio.data, &a->data, a->len);
    }
}

/* The interrupt controllers' timers go by the time, which is exact. */
static void exact_time(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    if (SQ_UNLIKELY(c->det))
        c->det->ahead = i ? c->block->n - (uint64_t)(i - c->block->insn) : 0;
}

static void time_again(struct sq_x86_cpu *c)
{
    if (SQ_UNLIKELY(c->det))
        c->det->ahead = 0;
}

/* --- reads ----------------------------------------------------------- */

/* The instruction's exact place in time, to know its replay log again. */
static uint64_t icount_at(const struct sq_x86_cpu *c,
                          const struct sq_x86_insn *i)
{
    return c->icount - c->block->n + (uint64_t)(i - c->block->insn);
}

static uint64_t device_read(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                            struct sq_x86_access want)
{
    struct sq_x86_replay *log = &c->replay;
    uint64_t rip = c->gpr[SQ_RIP] + (i ? i->off : 0);
    uint64_t when = i ? icount_at(c, i) : c->icount;

    if (log->count && (log->rip != rip || log->icount != when))
        log->count = log->pos = 0;
    log->rip = rip;
    log->icount = when;
    if (log->pos < log->count) {
        struct sq_x86_access *a = &log->access[log->pos];

        if (a->where == want.where && a->len == want.len &&
            a->pio == want.pio) {
            log->pos++;
            return a->data;
        }
        /* The guest's tables changed under the instruction: what was read
         * is read, go on from here. */
        log->count = log->pos;
    }
    if (log->count == SQ_REPLAY_MAX)
        log->count = log->pos = 0;
    log->access[log->count++] = want;
    describe(c, &want, false);
    sq_x86_leave_exit(c, i);
}

bool sq_x86_replaying(const struct sq_x86_cpu *c)
{
    return c->replay.count && c->replay.rip == c->gpr[SQ_RIP] &&
           c->replay.icount == c->icount;
}

void sq_x86_replay_answer(struct sq_x86_cpu *c)
{
    struct sq_x86_access *a;

    if (!sq_x86_replaying(c))
        return;
    a = &c->replay.access[c->replay.count - 1];
    a->data = 0;
    memcpy(&a->data, a->pio ? c->exit->pio.data : c->exit->mmio.data, a->len);
    c->replay.pos = 0;
}

void sq_x86_mmio_read(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                      uint64_t gpa, uint8_t *dst, unsigned len)
{
    if (SQ_UNLIKELY(c->lockstep))
        sq_lockstep_alone(c, i);
    while (len) {
        unsigned n = len < 8 ? len : 8;

        bool done;

        exact_time(c, i);
        done = sq_soft_irqchip_read(c->vm, c, gpa, dst, n);
        time_again(c);
        if (!done) {
            uint64_t v = device_read(
                c, i, (struct sq_x86_access){.where = gpa,
                                             .len = (uint8_t)n});

            memcpy(dst, &v, n);
        }
        gpa += n;
        dst += n;
        len -= n;
    }
}

uint32_t sq_x86_port_in(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                        uint16_t port, unsigned len)
{
    uint32_t v = (uint32_t)device_read(
        c, i, (struct sq_x86_access){
                  .where = port, .len = (uint8_t)len, .pio = true});

    if (SQ_UNLIKELY(c->debug.port))
        sq_x86_debug_port(c, port, len);
    return v;
}

/* --- writes ---------------------------------------------------------- */

/* There is always a sentinel behind the last instruction. */
void sq_x86_stop_stale(const struct sq_x86_insn *i)
{
    sq_x86_set_exec(i + 1, sq_x86_exec_stop);
}

void sq_x86_mend_block(struct sq_x86_cpu *c)
{
    if (c->cut)
        sq_x86_set_exec(c->cut, c->cut_exec);
    c->cut = NULL;
}

/* Where several vCPUs share the block, it stays cut here, which is where it
 * will end the next time, too; a block may end anywhere, so the others do not
 * mind. */
void sq_x86_stop_after(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    sq_x86_mend_block(c);
    if (c->vm->base.config.vcpus == 1) {
        c->cut = i + 1;
        c->cut_exec = i[1].exec;
    }
    sq_x86_stop_stale(i);
}

static void post(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                 struct sq_x86_access a)
{
    struct sq_x86_posted *q = &c->posted;

    if (q->count == SQ_POSTED_MAX)
        return; /* cannot be: see SQ_POSTED_MAX */
    q->access[q->count++] = a;
    atomic_fetch_or(&c->attn, ATTN_POSTED);
    if (i)
        sq_x86_stop_after(c, i);
}

bool sq_x86_next_posted(struct sq_x86_cpu *c)
{
    struct sq_x86_posted *q = &c->posted;

    if (q->pos == q->count) {
        q->pos = q->count = 0;
        return false;
    }
    describe(c, &q->access[q->pos++], true);
    return true;
}

void sq_x86_mmio_write(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint64_t gpa, const uint8_t *src, unsigned len)
{
    if (SQ_UNLIKELY(c->lockstep))
        sq_lockstep_alone(c, i);
    while (len) {
        unsigned n = len < 8 ? len : 8;

        bool done;

        exact_time(c, i);
        done = sq_soft_irqchip_write(c->vm, c, gpa, src, n);
        time_again(c);
        if (done) {
            if (i)
                sq_x86_stop_after(c, i); /* it may have sent an interrupt */
        } else {
            struct sq_x86_access a = {.where = gpa, .len = (uint8_t)n};

            memcpy(&a.data, src, n);
            post(c, i, a);
        }
        gpa += n;
        src += n;
        len -= n;
    }
}

void sq_x86_port_out(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     uint16_t port, unsigned len, uint32_t v)
{
    post(c, i, (struct sq_x86_access){.where = port, .data = v,
                                      .len = (uint8_t)len, .pio = true});
    if (SQ_UNLIKELY(c->debug.port))
        sq_x86_debug_port(c, port, len);
}
