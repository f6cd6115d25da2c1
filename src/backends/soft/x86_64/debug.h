/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who stops the guest between instructions: the guest itself with hardware
 * breakpoints, and the embedder's debugger.
 *
 * Hardware breakpoints: DR0 to DR3 under DR7 (SDM vol. 3, 17.2 and 17.3).
 * Nothing on the fast paths knows of them. Pages with an instruction
 * breakpoint are kept out of the jump cache, and so out of translated code:
 * their instructions are fetched one by one, and the fetch looks. Pages with
 * a data breakpoint are kept out of the TLB, and the slow path looks. What an
 * access hit waits in c->debug.hits for the end of its instruction.
 *
 * Accesses that are not an instruction's own do not count: page walks, the
 * delivery of interrupts.
 *
 * The embedder's debugger (squib_vcpu_debug()) uses nothing of that, so the
 * guest does not see it. While it steps, the run loop executes instructions
 * one by one, which makes a step due; so does entering a handler. The exit is
 * returned before anything else happens, but after what the instruction wrote
 * to devices. INT3 itself looks whether it is to leave.
 *
 * All for the vCPU's thread.
 */
#ifndef SQ_SOFT_X86_DEBUG_H
#define SQ_SOFT_X86_DEBUG_H

#include "backends/soft/x86_64/cpu.h"

/* DR0 to DR3, DR7 or CR4.DE changed. */
void sq_x86_debug_update(struct sq_x86_cpu *c);

/* Whether an instruction or a data breakpoint is on gva's page. */
bool sq_x86_debug_on_page(const struct sq_x86_cpu *c, uint8_t which,
                          uint64_t gva);

/* The instruction at gva is next: raises #DB if a breakpoint is there and
 * RF does not let it pass. */
void sq_x86_debug_fetch(struct sq_x86_cpu *c, uint64_t gva);

/* Instruction i accesses [gva, gva + len), or a port. */
void sq_x86_debug_access(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         uint64_t gva, unsigned len, bool write);
void sq_x86_debug_port(struct sq_x86_cpu *c, uint16_t port, unsigned len);

/* RF has come with a new RIP. It is kept only where a breakpoint waits for
 * it, so that elsewhere no instruction needs to clear it. */
void sq_x86_debug_settle_rf(struct sq_x86_cpu *c);

/* Instruction i repeats, and is about to be left between two turns: the
 * next one is no new begin, and with the trap flag there is a trap. */
void sq_x86_debug_repeats(struct sq_x86_cpu *c, const struct sq_x86_insn *i);

/* What the debugger asks for, SQUIB_DEBUG_*: from the next run on. */
void sq_x86_debug_ask(struct sq_x86_cpu *c, uint32_t flags);

static inline bool sq_x86_stepping(const struct sq_x86_cpu *c)
{
    return c->debug.asked & SQUIB_DEBUG_STEP;
}

/* The guest has got ahead by a step. */
static inline void sq_x86_debug_stepped(struct sq_x86_cpu *c)
{
    c->debug.due = sq_x86_stepping(c);
}

/* The DEBUG exit of a step that is due. */
struct squib_exit *sq_x86_debug_exit(struct sq_x86_cpu *c);

/* Before INT3, instruction i (NULL: it is at RIP): leaves if the debugger
 * wants it. */
void sq_x86_debug_int3(struct sq_x86_cpu *c, const struct sq_x86_insn *i);
/* Whether i is one. (interrupt.c) */
bool sq_x86_is_int3(const struct sq_x86_insn *i);

/* DR6 says why: `bits` and the hits that wait. */
void sq_x86_debug_say(struct sq_x86_cpu *c, uint32_t bits);

/* Raises #DB at instruction i (NULL: behind the last one). */
_Noreturn void sq_x86_debug_raise(struct sq_x86_cpu *c,
                                  const struct sq_x86_insn *i,
                                  uint32_t bits);

#endif
