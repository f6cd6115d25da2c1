/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software x86-64 CPU: state and the rules all its files share.
 *
 * Theory of operation
 * -------------------
 * Guest code is decoded once into blocks: runs of instructions on one
 * physical page that end at a branch or at an instruction that changes how
 * code is fetched. A decoded instruction (struct sq_x86_insn) carries a
 * pointer to the C function that executes it; each such function ends by
 * calling the next instruction's (SQ_NEXT), which the compiler turns into a
 * jump. The last one returns to the run loop (run.c).
 *
 * RIP is not advanced instruction by instruction: gpr[SQ_RIP] holds the
 * address of the block's first instruction while the block runs, and every
 * instruction knows its offset. What ends a block stores the new RIP there.
 *
 * Faults leave by sq_x86_raise(), which computes RIP from the instruction
 * that was passed down and jumps (longjmp) to the run loop. Therefore every
 * instruction function follows one rule: read and check everything that can
 * fault first, change architectural state last.
 *
 * Reads of what is not memory leave the same way. The run loop returns an
 * exit to the caller, takes the answer and runs the instruction again from
 * its start; struct sq_x86_replay remembers the reads that it has already
 * made, so that each happens once. Writes to what is not memory are posted:
 * the instruction completes, the block ends after it, and then the exit is
 * returned (device.c).
 *
 * Everything here belongs to the vCPU's thread, but for `attn`, what struct
 * sq_code_page says, and decoded blocks with their translations: those are
 * the VM's (block.h, jit/jit.h), as is everything that they point to.
 */
#ifndef SQ_SOFT_X86_CPU_H
#define SQ_SOFT_X86_CPU_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/vcpu.h>

#include "base/util.h"
#include "irqchip/lapic.h"

struct sq_x86_cpu;
struct sq_x86_insn;
struct sq_x86_block;
struct sq_soft_vm;

typedef void sq_x86_exec(struct sq_x86_cpu *c, const struct sq_x86_insn *i);

/* --- architecture constants (SDM vol. 1, 3.4.3; vol. 3, 2.5) --------- */

enum {
    FL_CF = 0x1, FL_PF = 0x4, FL_AF = 0x10, FL_ZF = 0x40, FL_SF = 0x80,
    FL_TF = 0x100, FL_IF = 0x200, FL_DF = 0x400, FL_OF = 0x800,
    FL_IOPL = 0x3000, FL_NT = 0x4000, FL_RF = 0x10000, FL_VM = 0x20000,
    FL_AC = 0x40000, FL_VIF = 0x80000, FL_VIP = 0x100000, FL_ID = 0x200000,
    FL_STATUS = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF,
};

enum {
    CR0_PE = 0x1, CR0_MP = 0x2, CR0_EM = 0x4, CR0_TS = 0x8, CR0_ET = 0x10,
    CR0_NE = 0x20, CR0_WP = 0x10000, CR0_AM = 0x40000, CR0_NW = 0x20000000,
    CR0_CD = 0x40000000,
};
#define CR0_PG 0x80000000u

enum {
    CR4_VME = 0x1, CR4_PVI = 0x2, CR4_TSD = 0x4, CR4_DE = 0x8, CR4_PSE = 0x10,
    CR4_PAE = 0x20, CR4_MCE = 0x40, CR4_PGE = 0x80, CR4_PCE = 0x100,
    CR4_OSFXSR = 0x200, CR4_OSXMMEXCPT = 0x400, CR4_UMIP = 0x800,
    CR4_FSGSBASE = 0x10000, CR4_PCIDE = 0x20000, CR4_OSXSAVE = 0x40000,
    CR4_SMEP = 0x100000, CR4_SMAP = 0x200000,
};

enum {
    EFER_SCE = 0x1, EFER_LME = 0x100, EFER_LMA = 0x400, EFER_NXE = 0x800,
    EFER_FFXSR = 0x4000,
};

enum { DR6_BD = 0x2000, DR6_BS = 0x4000, DR7_GD = 0x2000 };

enum {
    EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5,
    EXC_UD = 6, EXC_NM = 7, EXC_DF = 8, EXC_TS = 10, EXC_NP = 11,
    EXC_SS = 12, EXC_GP = 13, EXC_PF = 14, EXC_MF = 16, EXC_AC = 17,
    EXC_MC = 18, EXC_XM = 19,
};
#define NO_ERROR_CODE UINT32_MAX /* for exceptions that push none */

enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR };
#define SEG_NONE 6 /* in sq_x86_insn.seg and c->segbase: base zero */

/* --- registers ------------------------------------------------------- */

enum {
    R_AX, R_CX, R_DX, R_BX, R_SP, R_BP, R_SI, R_DI,
    SQ_RIP = 16,  /* address of the running block's first instruction */
    SQ_ZERO = 17, /* always 0: "no base", "no index" */
    SQ_GPR_COUNT = 18,
};

union sq_ymm { /* the low half is the XMM register */
    uint8_t b[32];
    uint16_t w[16];
    uint32_t d[8];
    uint64_t q[4];
};

/* x87 (SDM vol. 1, chapter 8). st[] are the physical registers R0..R7 in
 * 80-bit form; MMX registers alias their significands. */
struct sq_x87 {
    struct { uint64_t sig; uint16_t se; } st[8];
    uint16_t fcw, fsw; /* fsw without TOP, which is below */
    uint8_t top;
    uint8_t empty; /* bit n: physical register n is empty */
    uint16_t fop;
    uint64_t fip, fdp;
    uint16_t fcs, fds;
};

struct sq_x86_segreg {
    uint64_t base;
    uint32_t limit; /* in bytes */
    uint32_t attr;  /* as struct squib_x86_seg */
    uint16_t sel;
};

/* The six status flags are kept lazily, as the values that they derive
 * from: ZF = (zr == 0), SF = bit 63 of sp, PF = parity of the low byte of
 * sp, CF = bit 63 of cv, OF = bit 63 ^ bit 62 of cv, AF = bit (67 - width)
 * of cv, that is: cv is the vector of carries out of each bit, shifted up
 * so that the carry out of the operand's top bit is bit 63. See flags.h. */
struct sq_x86_flags {
    uint64_t zr, sp, cv;
    uint8_t width; /* 8, 16, 32, 64: where cv has AF */
};

/* --- decoded code ---------------------------------------------------- */

enum {
    IF_SLOW_EA = 1, /* the effective address needs sq_x86_ea_slow() */
    IF_LOCK = 2,
    IF_REP = 4,   /* F3 */
    IF_REPNE = 8, /* F2 */
    IF_ASZ16 = 16, IF_ASZ32 = 32, /* address size; neither: 64 */
    IF_RIPREL_RAW = 64, /* disp counts from the end of the instruction */
    IF_O16 = 128,       /* an operand-size prefix was given */
};

/* One decoded instruction. Register operands are byte offsets into the CPU
 * struct for general registers (so AH is 1) and plain numbers for all other
 * kinds. All vCPUs run it and nothing in it changes, but for `exec`: see
 * sq_x86_set_exec(). */
struct sq_x86_insn {
    sq_x86_exec *exec;
    uint16_t off;  /* from the block's start */
    uint8_t len;
    uint8_t flags; /* IF_* */
    int32_t disp;  /* displacement; RIP-relative: from the block's start */
    /* the end of a block has no more than this */
    uint64_t imm;  /* immediate, sign-extended; near branches: the target
                      relative to the block's start */
    uint8_t reg, rm;
    uint8_t base, index, scale;
    uint8_t seg;   /* index into c->segbase; legacy modes: segment number */
    uint8_t osz;   /* 0: 8 bits, 1: 16, 2: 32, 3: 64; or OSZ_WL's index */
    uint8_t imm2;  /* ENTER's level, opcode low bits where they matter; with
                      VEX the register of vvvv, as reg is */
};

/* How code is decoded: a block belongs to one mode. */
enum sq_x86_mode { MODE_16, MODE_32, MODE_64 };

/* What is known of a page of guest memory that holds decoded code. Shared
 * by all vCPUs of the VM and by devices; see block.c for the protocol. */
struct sq_code_page {
    _Atomic uint32_t gen;      /* grows by 2 when code on it was overwritten;
                                  odd: somebody is about to forget the code */
    _Atomic uint32_t writers;  /* bit n: vCPU n may hold a write mapping */
    _Atomic uint64_t granules; /* bit n: bytes 64n..64n+63 were decoded */
    _Atomic uint64_t asked;    /* the last time that writers were asked to
                                  give it up, 0: never */
    _Atomic uint32_t writing;  /* vCPUs in the slow path of a write to it */
};

/* Does not change once it is in the cache, but for the atomic members. */
struct sq_x86_block {
    uint64_t pa;
    struct sq_code_page *page;
    uint32_t gen; /* of page when decoded: a difference means stale */
    uint16_t n;   /* instructions */
    uint8_t mode; /* enum sq_x86_mode */
    bool crosses; /* a single instruction that continues on the next page:
                     see struct sq_x86_cross */
    _Atomic uint32_t jit[2]; /* its translations for kernel and user mode:
                                offsets in the code, or SQ_JIT_* */
    _Atomic uint16_t heat;   /* executions before translation, about */
    _Atomic bool xmm, avx;   /* a translation uses XMM registers, with VEX */
    struct sq_x86_block *_Atomic hash_next;
    struct sq_x86_insn insn[]; /* n, then a sentinel that ends the block */
};

enum { SQ_JIT_NONE = 0, SQ_JIT_NEVER = 1 };

/* Whether a block may still be executed. */
static inline bool sq_block_fresh(const struct sq_x86_block *b)
{
    return atomic_load_explicit(&b->page->gen, memory_order_relaxed) ==
           b->gen;
}

/* Where a block goes on that crosses a page; it lies behind its end. */
struct sq_x86_cross {
    _Alignas(16) struct sq_code_page *page;
    uint64_t pa;
    uint32_t gen;
};

#define SQ_JC_BITS 13
#define SQ_BLOCK_INSNS_MAX 48
/* Bytes of a block of n instructions; the room to make one in. */
#define SQ_BLOCK_LEN(n)                                                    \
    (sizeof(struct sq_x86_block) + (n) * sizeof(struct sq_x86_insn) +      \
     offsetof(struct sq_x86_insn, imm))
#define SQ_BLOCK_ROOM(n)                                                   \
    (SQ_BLOCK_LEN(n) + sizeof(struct sq_x86_cross))

static inline struct sq_x86_cross *
sq_block_cross(const struct sq_x86_block *b)
{
    return (struct sq_x86_cross *)((uintptr_t)b + SQ_BLOCK_LEN(1));
}

/* Blocks that have run once on this vCPU (block.c). */
#define SQ_YOUNG_SLOTS 512u
#define SQ_YOUNG_LEN (96u << 10)
#define SQ_YOUNG_BITS 18
struct sq_x86_young {
    _Alignas(16) uint8_t room[SQ_YOUNG_LEN]; /* one after the other, */
    size_t used;                             /* from the start when full */
    struct sq_x86_block *slot[SQ_YOUNG_SLOTS]; /* by physical address */
    /* hashed set of the physical addresses of blocks that ran */
    uint64_t ran[(1u << SQ_YOUNG_BITS) / 64];
    uint32_t ran_count;
};

struct sq_x86_jc { /* jump cache: RIP to block */
    uint64_t key;
    struct sq_x86_block *block;
};

/* The translator's jump cache: RIP to translated code, in the entry that its
 * hash says or in that one's neighbour (n ^ 1). */
#define SQ_JJC_SIZE 8192u
struct sq_x86_jjc {
    uint64_t gva;
    const void *code;
    _Atomic uint32_t *gen_at; /* the code page's generation now and then */
    uint32_t gen;
    uint32_t key; /* c->jc_key >> 32 of then */
};

/* What translated code uses beside the guest's registers (jit/). */
struct sq_x86_jit_state {
    uint64_t page;    /* address of the running page: RIP is it + offset */
    void *host_sp;    /* the thread's stack */
    const void *go_on; /* slow paths: where to go on, */
    uint64_t gva, add; /* and with which address, and its way to the host's */
    uint64_t tmp;
    int32_t fuel, fuel_then; /* instructions until the clock is looked at;
                                the same when icount was right */
    uint32_t stop;  /* slow paths go no further than this instruction of
                       their block (lockstep.h) */
    uint32_t link;  /* the jump that was left through, + 1 */
    uint16_t flags; /* status flags: AH after LAHF << 8 | OF */
    bool no_xmm;   /* SSE is not to run natively now, */
    bool no_avx;   /* AVX is not */
    bool xmm_in;   /* XMM registers and MXCSR are in the host's, */
    bool xmm_back; /* and shall be again after a slow path */
    uint32_t host_mxcsr;
};

/* --- TLB ------------------------------------------------------------- */

#define SQ_TLB_BITS 10
#define SQ_TLB_SIZE (1u << SQ_TLB_BITS)
/* Entries for reads, then as many for writes: a copy's source and target
 * would push each other out where they are a multiple of the TLB apart. */
#define SQ_TLB_ALL (2 * SQ_TLB_SIZE)

/* The tag is the address of the page that the entry serves; if it serves
 * none, of a page that maps to another entry. (gva - tag) <= 4096 - size is
 * the whole check: page, permission and page crossing at once, and what
 * remains is the offset in the page at `host`. */
struct sq_tlb_entry {
    uint64_t tag;
    uint64_t add;  /* host - page: gva + add is the host address of gva */
    uint8_t *host; /* NULL: not memory */
    uint64_t gpa; /* page | size << 1 (sq_tlb_size_of()) | global */
};

static inline uint64_t sq_tlb_gpa(uint64_t gpa)
{
    return gpa & ~0xfffull;
}

#define SQ_ITLB_SIZE 256u

struct sq_itlb_entry { /* for instruction fetch, one set for each privilege */
    uint64_t tag; /* gva page | 1 when valid */
    uint64_t gpa; /* as in struct sq_tlb_entry */
};

/* The large pages that have entries in the TLBs (tlb_large.c). */
#define SQ_TLB_LARGE_SETS 256u
struct sq_tlb_large {
    uint64_t set[SQ_TLB_LARGE_SETS][4];
    uint64_t full[SQ_TLB_LARGE_SETS / 64]; /* bit n: set n has lost some */
    uint32_t sizes;          /* bit n: there are pages of size n */
};

/* Translations of an address space that is not the current one: what was in
 * the TLBs, and where (tlb_context.c). */
struct sq_tlb_waiting {
    struct sq_tlb_entry e;
    uint16_t k;
    uint8_t user;
};

struct sq_itlb_waiting {
    struct sq_itlb_entry e;
    uint16_t k;
    uint8_t user;
};

#define SQ_TLB_CONTEXTS 6 /* as many as Linux uses */

struct sq_tlb_context {
    uint64_t since; /* when it began to wait */
    uint16_t pcid;
    bool valid;
    uint16_t jc_gen; /* its entries in the jump cache, 0: none */
    uint16_t n, code_n;
    uint64_t jc_pages[64];
    struct sq_tlb_waiting data[768];
    struct sq_itlb_waiting code[256];
};

/* --- accesses outside memory ----------------------------------------- */

struct sq_x86_access {
    uint64_t where; /* gpa or port */
    uint64_t data;
    uint8_t len;
    bool pio;
};

/* No instruction reads or writes more pieces than these outside memory: the
 * largest operand that is not probed to be memory has 16 bytes, on two
 * pages. */
#define SQ_REPLAY_MAX 16
#define SQ_POSTED_MAX 16

struct sq_x86_replay {
    uint64_t rip, icount; /* the instruction that the log belongs to */
    uint8_t count, pos;
    struct sq_x86_access access[SQ_REPLAY_MAX];
};

struct sq_x86_posted { /* writes not yet returned as exits */
    uint8_t count, pos;
    struct sq_x86_access access[SQ_POSTED_MAX];
};

/* Time in deterministic machines: the instruction count, and what halts
 * have skipped (deterministic.h). */
struct sq_x86_det {
    uint64_t skipped_ns;
    uint64_t ahead; /* of the running instruction: what is counted already */
    uint64_t until;  /* instruction count at which to look around */
    uint64_t pause;  /* and at which to return to the caller */
    bool (*translated)(struct sq_x86_cpu *c, struct sq_x86_block *b);
};

/* The guest's breakpoints, where bit n stands for DRn, and the embedder's
 * debugger (debug.h). */
struct sq_x86_debug {
    uint8_t code, data, port; /* enabled as what */
    uint8_t hits;  /* by data and ports, until the instruction's end */
    uint8_t asked; /* SQUIB_DEBUG_* */
    bool due;      /* a step is complete; its exit comes next */
    struct sq_tlb_entry aside; /* for the page that an access goes to, */
    size_t aside_k;            /* and where it would be in the TLB */
};

/* Where time begins there: 2026-01-01. */
#define SQ_DET_DATE_S 1767225600ull

/* --- reasons to look up from the run loop ---------------------------- */

enum {
    ATTN_IRQ = 1,    /* the local APIC may have something */
    ATTN_CANCEL = 2, /* squib_vcpu_cancel() */
    ATTN_PURGE = 4,  /* a page became code: check write mappings */
    ATTN_FLUSH = 8,  /* the VM's memory map changed */
    ATTN_POSTED = 16, /* writes wait to be returned as exits */
    ATTN_STOP = 32,   /* all blocks are about to go (block.h) */
};

/* Values of longjmp() to the run loop. */
enum { LEAVE_FAULT = 1, LEAVE_EXIT = 2, LEAVE_RESTART = 3 };

/* --- the CPU --------------------------------------------------------- */

struct sq_x86_cpu {
    uint64_t gpr[SQ_GPR_COUNT]; /* first: instructions hold byte offsets */
    struct sq_x86_flags fl;
    struct sq_tlb_entry *tlb; /* tlbs[cpl == 3] */
    uint64_t segbase[8];      /* bases as 64-bit addressing adds them */
    _Atomic uint32_t attn;    /* ATTN_*; any thread */
    /* Near attn, because translated code uses both all the time: processors
     * guess that accesses depend on each other from the low bits of their
     * offsets, so a field 2^12 times k bytes from attn costs an order of
     * magnitude. */
    struct sq_x86_jit_state js;
    bool code64;              /* mode == MODE_64 */
    uint8_t mode;             /* enum sq_x86_mode */
    uint8_t cpl;
    bool irq_shadow;          /* no interrupt before the next instruction, */
    bool ss_shadow;           /* nor a breakpoint; both only while */
    uint64_t shadow_icount;   /* this is still the count: sq_in_shadow() */
    uint64_t icount;          /* retired instructions */
    uint64_t jc_key;          /* jc_gen[cpl == 3] << 48 */
    uint64_t fetch_base;      /* CS base, 0 in 64-bit mode */

    uint64_t rflags;          /* all but the six status bits */
    _Alignas(32) union sq_ymm ymm[16];
    uint32_t mxcsr;
    struct sq_x87 x87;

    struct sq_x86_segreg seg[8]; /* SEG_* */
    struct { uint64_t base; uint16_t limit; } gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
    uint64_t pdpte[4]; /* PAE paging without long mode */
    uint64_t dr[4], dr6, dr7;

    uint64_t star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t tsc_offset; /* guest TSC = host monotonic ns - tsc_offset */
    uint64_t tsc_aux, misc_enable, pat;
    uint64_t kvm_system_time, kvm_wall_clock;
    uint32_t kvm_clock_version;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_var[16];

    uint8_t run_state; /* enum squib_x86_run_state */
    uint8_t nmi_pending; /* how many: one while they are blocked, else two */
    bool nmi_blocked;
    /* Set by an instruction behind which there is no single-step trap
     * although the trap flag was set before it. */
    bool no_step;
    bool split_locked; /* holds vm->split_lock; leaving releases it */
    /* POP with a memory operand computes its address with the new stack
     * pointer; on a fault RSP goes back to pop_rsp. */
    bool pop_active;
    uint64_t pop_rsp;
    bool hypercall_pending; /* exit->hypercall.ret goes to rAX */
    /* INT n delivers with RIP past itself, but its faults report RIP here. */
    bool soft_int;
    uint64_t soft_int_rip;
    /* fault being raised, across longjmp */
    uint8_t fault_vector;
    uint32_t fault_error;
    bool fault_waits; /* loaded state: deliver it first */
    int delivering; /* vector of the exception being delivered, or -1 */

    struct sq_x86_block *block; /* running */
    const struct sq_x86_insn *cut; /* where one was cut short, or NULL, */
    sq_x86_exec *cut_exec;         /* and what is to be there again */
    struct sq_x86_replay replay;
    struct sq_x86_posted posted;
    jmp_buf leave;
    int32_t budget; /* blocks until the clock is looked at */

    const struct squib_x86_cpuid *cpuid;
    uint32_t cpuid_count;
    uint32_t phys_bits;

    struct sq_lapic *lapic; /* NULL without interrupt controller */
    struct sq_soft_vm *vm;
    struct squib_exit *exit; /* where an exit is described */
    uint32_t index;
    struct sq_x86_det *det; /* deterministic.h; NULL: real time */
    uint64_t rng_state;     /* RDRAND's generator then */

    uint16_t jc_gen[2], jc_top; /* in use; the last one given */
    struct sq_tlb_large large;
    bool jc_local; /* it has kernel-mode entries on non-global pages, */
    bool jc_low;   /* in the lower half of the address space */
    /* hashed sets of the pages that it has entries of, by half */
    uint64_t jc_pages[2][64];
    /* bit n: entry n may hold a translation; one that is not global, as
     * only those have to go when the address space changes */
    uint64_t tlb_used[2][SQ_TLB_ALL / 64], tlb_local[2][SQ_TLB_ALL / 64];
    uint64_t itlb_local[2][SQ_ITLB_SIZE / 64];
    struct sq_itlb_entry itlb[2][SQ_ITLB_SIZE];
    struct sq_tlb_entry tlbs[2][SQ_TLB_ALL];
    struct sq_x86_jc jc[1u << SQ_JC_BITS];
    struct sq_block_cache *blocks; /* the VM's */
    struct sq_jit *jit;            /* the VM's; NULL: none */
    /* Runs a block in translated code (jit.h), NULL: never; and what checks
     * it meanwhile (lockstep.h), NULL: nothing. */
    bool (*translated)(struct sq_x86_cpu *c, struct sq_x86_block *b);
    struct sq_lockstep *lockstep;
    struct sq_x86_jjc jjc[SQ_JJC_SIZE];
    uint64_t context_clock;
    struct sq_tlb_context context[SQ_TLB_CONTEXTS];
    uint32_t code_epoch; /* of `blocks` that jc and jjc are for */
    /* Between sq_block_begin() and sq_block_end(), but for safepoints; the
     * last time that this vCPU was asked to give up write mappings, and up to
     * which it has answered (block.h). Other vCPUs read these. */
    _Atomic bool in_run;
    _Atomic uint64_t asked, answered;
    /* Blocks that are not in the cache: for single steps, for translated
     * code's slow paths, and those that may enter it. */
    _Alignas(16) uint8_t single[SQ_BLOCK_ROOM(1)];
    _Alignas(16) uint8_t one[SQ_BLOCK_ROOM(1)];
    struct sq_x86_young young;
    struct sq_x86_debug debug;
};

/* Whether the last instruction keeps interrupts from the next one. */
static inline bool sq_in_shadow(const struct sq_x86_cpu *c)
{
    return c->irq_shadow && c->icount == c->shadow_icount;
}
/* It does: STI, or with `ss` a load of SS. It is its block's last one. */
static inline void sq_cast_shadow(struct sq_x86_cpu *c, bool ss)
{
    c->irq_shadow = true;
    c->ss_shadow = ss;
    c->shadow_icount = c->icount;
}

/* Whether a 64-bit address is canonical for 48 bits (SDM vol. 1, 3.3.7.1). */
static inline bool sq_canonical(uint64_t gva)
{
    return (uint64_t)((int64_t)(gva << 16) >> 16) == gva;
}

/* --- control flow of instruction functions --------------------------- */

#if defined(__clang__) && __has_attribute(musttail) && defined(__OPTIMIZE__)
#define SQ_TAILCALL __attribute__((musttail)) return
#else
#define SQ_TAILCALL return
#endif

/* Goes on with the instruction after `i`: the last statement of every
 * instruction function that does not end a block. */
#define SQ_NEXT(c, i) SQ_TAILCALL (i)[1].exec((c), (i) + 1)

/* Has another function execute i from now on. Other vCPUs may run it at the
 * moment: they take the old one or the new one, and both must be right. */
static inline void sq_x86_set_exec(const struct sq_x86_insn *i,
                                   sq_x86_exec *exec)
{
    __atomic_store_n(&((struct sq_x86_insn *)(uintptr_t)i)->exec, exec,
                     __ATOMIC_RELAXED);
}

/* The address of instruction i and of what follows it. */
static inline uint64_t sq_insn_rip(const struct sq_x86_cpu *c,
                                   const struct sq_x86_insn *i)
{
    return c->gpr[SQ_RIP] + i->off;
}

static inline uint64_t sq_next_rip(const struct sq_x86_cpu *c,
                                   const struct sq_x86_insn *i)
{
    uint64_t rip = c->gpr[SQ_RIP] + i->off + i->len;

    return c->code64 ? rip : (uint32_t)rip;
}

/* Raises a fault of instruction i: architectural state is as before it.
 * `error` is NO_ERROR_CODE for vectors that push none. (run.c) */
_Noreturn void sq_x86_raise(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                            uint8_t vector, uint32_t error);
_Noreturn static inline void sq_x86_ud(struct sq_x86_cpu *c,
                                       const struct sq_x86_insn *i)
{
    sq_x86_raise(c, i, EXC_UD, NO_ERROR_CODE);
}
_Noreturn static inline void sq_x86_gp(struct sq_x86_cpu *c,
                                       const struct sq_x86_insn *i,
                                       uint32_t error)
{
    sq_x86_raise(c, i, EXC_GP, error);
}
/* Leaves to the run loop before instruction i with *c->exit filled; the
 * instruction runs again afterwards. (run.c) */
_Noreturn void sq_x86_leave_exit(struct sq_x86_cpu *c,
                                 const struct sq_x86_insn *i);
/* Leaves the block to the run loop; registers are complete. (run.c) */
/* The trap behind an instruction that ran with the trap flag set. */
_Noreturn void sq_x86_step_trap(struct sq_x86_cpu *c);
_Noreturn void sq_x86_leave_restart(struct sq_x86_cpu *c);

/* Looks at interrupts before the next block: call after anything that may
 * have unmasked them. (run.c) */
void sq_x86_irq_recheck(struct sq_x86_cpu *c);

/* The time that the guest's clocks and timers go by, in ns. (msr.c) */
uint64_t sq_x86_now(const struct sq_x86_cpu *c);
/* Guest time stamp counter: 1 GHz; exactly at instruction i. (msr.c) */
uint64_t sq_x86_tsc(const struct sq_x86_cpu *c);
uint64_t sq_x86_tsc_at(const struct sq_x86_cpu *c,
                       const struct sq_x86_insn *i);
/* 0, or -1 for #GP. (msr.c) */
int sq_x86_msr_read(struct sq_x86_cpu *c, uint32_t index, uint64_t *v);
int sq_x86_msr_write(struct sq_x86_cpu *c, uint32_t index, uint64_t v);
/* The leaf that CPUID shows, with the bits that follow CR4 and XCR0.
 * (cpuid.c) */
void sq_x86_cpuid(const struct sq_x86_cpu *c, uint32_t leaf,
                  uint32_t subleaf, uint32_t out[4]);
/* Checks and installs control registers: 0, or -1 for #GP. (system.c) */
int sq_x86_set_cr0(struct sq_x86_cpu *c, uint64_t v);
int sq_x86_set_cr4(struct sq_x86_cpu *c, uint64_t v);
int sq_x86_set_cr3(struct sq_x86_cpu *c, uint64_t v);

/* --- general registers by byte offset -------------------------------- */

#define SQ_REG_ACCESS(n)                                                   \
    static inline uint##n##_t sq_rd##n(const struct sq_x86_cpu *c,         \
                                       uint8_t off)                        \
    {                                                                      \
        uint##n##_t v;                                                     \
                                                                           \
        memcpy(&v, (const uint8_t *)c + off, sizeof(v));                   \
        return v;                                                          \
    }
SQ_REG_ACCESS(8)
SQ_REG_ACCESS(16)
SQ_REG_ACCESS(32)
SQ_REG_ACCESS(64)
#undef SQ_REG_ACCESS

static inline void sq_wr8(struct sq_x86_cpu *c, uint8_t off, uint8_t v)
{
    *((uint8_t *)c + off) = v;
}
static inline void sq_wr16(struct sq_x86_cpu *c, uint8_t off, uint16_t v)
{
    memcpy((uint8_t *)c + off, &v, sizeof(v));
}
/* A 32-bit result clears the upper half (SDM vol. 1, 3.4.1.1). */
static inline void sq_wr32(struct sq_x86_cpu *c, uint8_t off, uint32_t v)
{
    uint64_t w = v;

    memcpy((uint8_t *)c + off, &w, sizeof(w));
}
static inline void sq_wr64(struct sq_x86_cpu *c, uint8_t off, uint64_t v)
{
    memcpy((uint8_t *)c + off, &v, sizeof(v));
}

/* --- instruction families -------------------------------------------- */

/* The functions of one instruction: [0] register operand, [1] memory; then
 * by operand size 8, 16, 32, 64 (families without sizes fill all four), or
 * for vectors with a VEX prefix by W + 2 * L. NULL: undefined opcode. */
struct sq_x86_family {
    sq_x86_exec *fn[2][4];
};

#endif
