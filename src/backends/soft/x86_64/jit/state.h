/* SPDX-License-Identifier: Apache-2.0 */
/* The translator's own state and what its files share. */
#ifndef SQ_SOFT_X86_JIT_STATE_H
#define SQ_SOFT_X86_JIT_STATE_H

#include <pthread.h>

#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/jit/emit.h"
#include "backends/soft/x86_64/jit/jit.h"
#include "backends/soft/x86_64/jit/op.h"

/* An instruction that translated code may hand to C: what the slow paths
 * need to raise its faults or to run its interpreter function. */
struct sq_jit_site { /* does not change once its translation is in use */
    struct sq_x86_block *block;
    sq_x86_exec *exec; /* of the instruction, where the block may be cut */
    uint32_t op;   /* offset in the code of what follows the check, with R9 */
                   /* the guest address and R10 its way to the host's */
    uint32_t done; /* of what follows the instruction */
    int32_t pop; /* a jump by R9: what it adds to RSP */
    uint8_t index;  /* of the instruction in the block */
    uint8_t len;    /* of the access */
    bool write : 1;
    bool end : 1; /* the instruction ends the block: RIP is in gpr[] after it */
    bool no_fault : 1; /* a jump by R9 that is not to raise faults */
};

/* A jump within a guest page whose target was not translated yet. */
struct sq_jit_link {
    uint64_t target; /* its physical address, and in bit 63 whether the jump
                        is in user mode */
    uint32_t at;     /* offset of the displacement in the code; aligned */
    uint32_t gen;    /* of the page that both are on */
};

static inline uint64_t sq_jit_target(uint64_t pa, bool user)
{
    return pa | (uint64_t)user << 63;
}

#define SQ_JIT_CODE_LEN (32u << 20)
#define SQ_JIT_SITES_MAX (256u << 10)
#define SQ_JIT_LINKS_MAX (256u << 10)

/* Constant, but for what the lock guards. Sites and links are read without
 * it by code that is in use, of which they are part. */
struct sq_jit {
    uint8_t *rw;       /* the code, writable */
    const uint8_t *rx; /* the same memory, executable */
    size_t stubs_len;
    unsigned heat;
    pthread_mutex_t lock; /* guards what grows */
    /* Blocks' hot code grows in the first half of the code, what is rarely
     * run in the second: so the hot code is dense. */
    size_t used, cold_used, room; /* room: for both together */
    struct sq_jit_site *sites;
    struct sq_jit_link *links;
    uint32_t site_count, link_count;
    /* offsets of shared code (stubs.c) */
    uint32_t enter, exit_clean, exit_at, exit_r9, exit_fuel, exit_link;
    uint32_t slow, interp, miss, tsc, xmm_in, exit_before;
    uint8_t host; /* SQ_JIT_*: what it has */
    /* For finding faults: translations made and allowed, the last one, and
     * what tests do to each. */
    uint64_t made, most;
    struct sq_jit_made last;
    void (*spoil)(void *ctx, const struct sq_jit_made *m, uint8_t *code,
                  size_t len);
    void *spoil_ctx;
};

/* The translation of b, or SQ_JIT_*. */
static inline uint32_t sq_jit_of(const struct sq_x86_block *b, bool user)
{
    return atomic_load_explicit(&b->jit[user], memory_order_acquire);
}

/* Offsets from RSP, which points to the CPU. */
#define CPU(field) ((int32_t)offsetof(struct sq_x86_cpu, field))
static inline struct sq_emit_mem sq_jit_cpu(int32_t off)
{
    return (struct sq_emit_mem){H_SP, H_NONE, 0, off};
}
#define HOME(g) sq_jit_cpu((int32_t)(g) * 8)

/* Host register of guest register g; R9, R10 and R11 live in c->gpr[]. */
static inline bool sq_jit_homed(unsigned g)
{
    return g >= 9 && g <= 11;
}
static inline unsigned sq_jit_host(unsigned g)
{
    return g == R_SP ? H_11 : g;
}

/* Emits what all blocks share; called with empty code memory. (stubs.c) */
void sq_jit_emit_stubs(struct sq_jit *j);
/* R10 = R9's low 32 bits, shifted right; its top `by` bits are anything. */
void sq_jit_emit_shifted(struct sq_emit *e, unsigned host, uint8_t by);
/* Jumps to R9 if way 0 or 1 of the jump cache has it; goes on behind with R9
 * unchanged if not. R10 and flags are lost. */
void sq_jit_emit_probe(struct sq_emit *e, unsigned host, unsigned way);

/* Translates b for user or kernel mode; b->jit[user] is set, or marked as
 * not to be tried again. False: there is no room. The caller has the lock.
 * (translate.c) */
bool sq_jit_translate(struct sq_x86_cpu *c, struct sq_x86_block *b,
                      bool user);

/* Status flags that code at offset `off` of b's page may read before it
 * writes them. (liveness.c) */
uint16_t sq_jit_flags_needed(struct sq_x86_cpu *c, struct sq_x86_block *b,
                             const uint8_t *page, unsigned off);

/* Slow paths: return where translated code goes on. (run.c) */
const void *sq_jit_slow(struct sq_x86_cpu *c, uint32_t site, uint64_t gva);
const void *sq_jit_interp(struct sq_x86_cpu *c, uint32_t site);
/* A jump to gva that the jump cache does not have. */
const void *sq_jit_miss(struct sq_x86_cpu *c, uint32_t site, uint64_t gva);

#endif
