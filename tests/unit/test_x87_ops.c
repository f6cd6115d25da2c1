/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87 instructions: each is decoded, executed by the interpreter's own
 * functions on a made-up CPU, and compared with what the host's processor
 * makes of the same bytes: registers, control, status and tag words, memory,
 * flags. On other hosts, and for what user mode cannot do (faults, control
 * registers), known results are checked.
 *
 * The made-up CPU has one page of memory, at the address where the host has
 * it, so that both sides use the same pointers.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "backends/soft/x86_64/block.h"
#include "backends/soft/x86_64/insns.h"
#include "backends/soft/x86_64/mem.h"
#include "backends/soft/x86_64/x87.h"

#define RUNS 3000  /* random states for each instruction */
#define SLOT 512   /* bytes of memory that instructions work on */
#define IMAGE 108  /* FNSAVE, 32-bit format */

struct machine {
    struct sq_x86_cpu *c;
    struct sq_x86_block *block;
    uint8_t *page; /* guest memory */
};

static void end(struct sq_x86_cpu *c, const struct sq_x86_insn *i)
{
    (void)c, (void)i;
}

/* XCR0 may have x87 and SSE, or AVX, too. */
static const struct squib_x86_cpuid leaves[] = {
    {.leaf = 0xd, .subleaf = 0, .has_subleaf = true, .eax = 3},
    {.leaf = 0xd, .subleaf = 1, .has_subleaf = true, .eax = 7},
};
static const struct squib_x86_cpuid leaves_avx[] = {
    {.leaf = 0xd, .subleaf = 0, .has_subleaf = true, .eax = 7},
    {.leaf = 0xd, .subleaf = 1, .has_subleaf = true, .eax = 7},
};

static int setup(void **state)
{
    struct machine *m = calloc(1, sizeof(*m));
    struct sq_tlb_entry *e;

    if (!m)
        return -1;
    m->c = aligned_alloc(_Alignof(struct sq_x86_cpu), sizeof(*m->c));
    m->block = calloc(1, sizeof(*m->block) + 2 * sizeof(struct sq_x86_insn));
    m->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!m->c || !m->block || m->page == MAP_FAILED)
        return -1;
    memset(m->c, 0, sizeof(*m->c));
    m->block->n = 1;
    m->block->mode = MODE_64;
    m->c->block = m->block;
    m->c->mode = MODE_64;
    m->c->code64 = true;
    m->c->tlb = m->c->tlbs[0];
    m->c->cr0 = CR0_PE | CR0_NE | CR0_MP | CR0_ET;
    m->c->cr4 = CR4_OSFXSR | CR4_OSXSAVE;
    m->c->efer = EFER_LME | EFER_LMA;
    m->c->xcr0 = XSTATE_X87 | XSTATE_SSE;
    m->c->cpuid = leaves;
    m->c->cpuid_count = SQ_ARRAY_LEN(leaves);
    for (unsigned write = 0; write < 2; write++) {
        e = sq_tlb_at(m->c->tlb, (uintptr_t)m->page, write);
        e->tag = (uintptr_t)m->page;
        e->host = m->page;
    }
    sq_x86_fpu_reset(m->c);
    m->c->gpr[R_DX] = (uintptr_t)m->page;
    *state = m;
    return 0;
}

static int teardown(void **state)
{
    struct machine *m = *state;

    munmap(m->page, 4096);
    free(m->block);
    free(m->c);
    free(m);
    return 0;
}

/* Runs one instruction; the vector that it raised, or -1. */
static int run(struct machine *m, const uint8_t *code, unsigned len)
{
    struct sq_decode_in in = {.bytes = code, .avail = len, .mode = m->c->mode};
    struct sq_x86_insn *i = m->block->insn;
    const struct sq_x86_row *row;

    if (sq_x86_decode(&in, &i[0], &row) != DECODE_OK)
        return EXC_UD;
    assert_int_equal(i[0].len, len);
    i[1] = (struct sq_x86_insn){.exec = end, .off = i[0].len};
    if (setjmp(m->c->leave))
        return m->c->fault_vector;
    i[0].exec(m->c, i);
    return -1;
}

#define RUN(m, ...)                                                        \
    run(m, (const uint8_t[]){__VA_ARGS__},                                 \
        sizeof((const uint8_t[]){__VA_ARGS__}))

/* ---- checks on any host ---- */

static struct sq_f80 f80(uint16_t se, uint64_t sig)
{
    return (struct sq_f80){.sig = sig, .se = se};
}

#define ONE f80(0x3fff, 0x8000000000000000ull)
#define THREE f80(0x4000, 0xc000000000000000ull)

static void check_st(struct machine *m, unsigned n, struct sq_f80 want)
{
    struct sq_f80 got = sq_x87_get(m->c, n);

    assert_false(sq_x87_empty(m->c, n));
    assert_int_equal(got.se, want.se);
    assert_int_equal(got.sig, want.sig);
}

static void test_stack(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;

    for (int n = 0; n < 8; n++)
        assert_int_equal(RUN(m, 0xd9, 0xe8), -1); /* fld1 */
    assert_int_equal(c->x87.empty, 0);
    assert_int_equal(sq_x87_fsw(c), 0);
    /* one too many, masked */
    assert_int_equal(RUN(m, 0xd9, 0xe8), -1);
    check_st(m, 0, SQ_F80_INDEFINITE);
    assert_int_equal(sq_x87_fsw(c), 7 << 11 | FSW_C1 | FSW_SF | SQ_FP_IE);
    assert_int_equal(RUN(m, 0xdb, 0xe3), -1); /* fninit */
    assert_int_equal(c->x87.empty, 0xff);
    /* fadd st0, st1 of nothing, not masked: nothing changes, then #MF */
    c->x87.fcw = FCW_INIT & ~SQ_FP_IE;
    assert_int_equal(RUN(m, 0xd8, 0xc1), -1);
    assert_int_equal(c->x87.empty, 0xff);
    assert_int_equal(sq_x87_fsw(c), FSW_B | FSW_ES | FSW_SF | SQ_FP_IE);
    assert_int_equal(RUN(m, 0xd9, 0xe8), EXC_MF);
    assert_int_equal(RUN(m, 0x9b), EXC_MF);
    assert_int_equal(RUN(m, 0xdf, 0xe0), -1); /* fnstsw ax */
    assert_int_equal((uint16_t)c->gpr[R_AX],
                     FSW_B | FSW_ES | FSW_SF | SQ_FP_IE);
    assert_int_equal(RUN(m, 0xdb, 0xe2), -1); /* fnclex */
    assert_int_equal(RUN(m, 0x9b), -1);
    assert_int_equal(sq_x87_fsw(c), 0);
}

/* A control word that uncovers a flag makes it pending, and FNSTENV, which
 * masks everything, undoes that. */
static void test_pending(void **state)
{
    struct machine *m = *state;

    m->c->x87.fsw = SQ_FP_ZE;
    sq_st16(m->page, FCW_INIT & ~SQ_FP_ZE);
    assert_int_equal(RUN(m, 0xd9, 0x2a), -1); /* fldcw [rdx] */
    assert_int_equal(m->c->x87.fsw, FSW_B | FSW_ES | SQ_FP_ZE);
    assert_int_equal(RUN(m, 0xd9, 0x2a), EXC_MF);
    assert_int_equal(RUN(m, 0xd9, 0x32), -1); /* fnstenv [rdx] */
    assert_int_equal(m->c->x87.fsw, SQ_FP_ZE);
    assert_int_equal(m->c->x87.fcw, FCW_INIT);
    assert_int_equal(sq_ld32(m->page + 4), 0xffff0000 | FSW_B | FSW_ES |
                                               SQ_FP_ZE);
    assert_int_equal(RUN(m, 0xd9, 0x22), -1); /* fldenv [rdx] */
    assert_int_equal(RUN(m, 0x9b), EXC_MF);
    assert_int_equal(RUN(m, 0xdb, 0xe3), -1);
}

static void test_not_available(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;

    c->x87.fsw = FSW_B | FSW_ES | SQ_FP_IE;
    c->x87.fcw = FCW_INIT & ~SQ_FP_IE;
    for (int em = 0; em < 2; em++) {
        c->cr0 &= ~(uint64_t)(CR0_TS | CR0_EM);
        c->cr0 |= em ? CR0_EM : CR0_TS;
        assert_int_equal(RUN(m, 0xd9, 0xe8), EXC_NM);
        assert_int_equal(RUN(m, 0xdb, 0xe3), EXC_NM); /* fninit */
        assert_int_equal(RUN(m, 0xdf, 0xe0), EXC_NM);
        assert_int_equal(RUN(m, 0x0f, 0xae, 0x02), EXC_NM); /* fxsave */
        assert_int_equal(RUN(m, 0x9b), em ? EXC_MF : EXC_NM);
    }
    c->cr0 = (c->cr0 & ~(uint64_t)(CR0_MP | CR0_EM)) | CR0_TS;
    assert_int_equal(RUN(m, 0x9b), EXC_MF);
    /* what is undefined is so before all else */
    assert_int_equal(RUN(m, 0xd9, 0xd1), EXC_UD);
    assert_int_equal(RUN(m, 0xd9, 0xe2), EXC_UD);
    assert_int_equal(RUN(m, 0xd9, 0xef), EXC_UD);
    assert_int_equal(RUN(m, 0xdb, 0xe5), EXC_UD);
    assert_int_equal(RUN(m, 0xdf, 0xe1), EXC_UD);
    assert_int_equal(RUN(m, 0xd9, 0x0a), EXC_UD);
    assert_int_equal(RUN(m, 0xda, 0xe8), EXC_UD);
    assert_int_equal(RUN(m, 0xde, 0xd8), EXC_UD);
}

/* The four layouts of the environment. */
static void test_environment(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;
    uint8_t *p = m->page;

    assert_int_equal(RUN(m, 0xd9, 0xe8), -1);
    assert_int_equal(RUN(m, 0xd9, 0xee), -1); /* fldz */
    c->x87.fip = 0x12345678;
    c->x87.fdp = 0x9abcdef0;
    c->x87.fcs = 0x10;
    c->x87.fds = 0x18;
    c->x87.fop = 0x5aa;
    memset(p, 0x77, SLOT);
    assert_int_equal(RUN(m, 0xd9, 0x32), -1);
    assert_int_equal(sq_ld32(p), 0xffff037f);
    assert_int_equal(sq_ld32(p + 4), 0xffff3000);
    assert_int_equal(sq_ld32(p + 8), 0xffff1fff);
    assert_int_equal(sq_ld32(p + 12), 0x12345678);
    assert_int_equal(sq_ld32(p + 16), 0x05aa0010);
    assert_int_equal(sq_ld32(p + 20), 0x9abcdef0);
    assert_int_equal(sq_ld32(p + 24), 0xffff0018);
    assert_int_equal(p[28], 0x77);
    memset(p, 0x77, SLOT);
    assert_int_equal(RUN(m, 0x66, 0xd9, 0x32), -1);
    assert_int_equal(sq_ld16(p), 0x037f);
    assert_int_equal(sq_ld16(p + 2), 0x3000);
    assert_int_equal(sq_ld16(p + 4), 0x1fff);
    assert_int_equal(sq_ld16(p + 6), 0x5678);
    assert_int_equal(sq_ld16(p + 8), 0x10);
    assert_int_equal(sq_ld16(p + 10), 0xdef0);
    assert_int_equal(sq_ld16(p + 12), 0x18);
    assert_int_equal(p[14], 0x77);
    /* real mode's addresses, though in 64-bit code here */
    c->cr0 &= ~(uint64_t)CR0_PE;
    assert_int_equal(RUN(m, 0xd9, 0x32), -1);
    assert_int_equal(sq_ld32(p + 12), 0x5778);
    assert_int_equal(sq_ld32(p + 16), 0x1234000 | 0x5aa);
    assert_int_equal(sq_ld32(p + 20), 0xe070);
    assert_int_equal(sq_ld32(p + 24), 0x9abc000);
    assert_int_equal(RUN(m, 0xdb, 0xe3), -1);
    assert_int_equal(RUN(m, 0xd9, 0x22), -1);
    assert_int_equal(c->x87.fip, 0x12345778);
    assert_int_equal(c->x87.fdp, 0x9abce070);
    assert_int_equal(c->x87.fcs, 0);
    assert_int_equal(c->x87.fop, 0x5aa);
    assert_int_equal(c->x87.top, 6);
    assert_int_equal(c->x87.empty, 0x3f);
    assert_int_equal(RUN(m, 0x66, 0xd9, 0x32), -1);
    assert_int_equal(sq_ld16(p + 6), 0x5778);
    assert_int_equal(sq_ld16(p + 8), 0x4000 | 0x5aa);
    c->cr0 |= CR0_PE;
    /* whole state, both sizes */
    for (int o16 = 0; o16 < 2; o16++) {
        unsigned at = o16 ? 14 : 28;

        assert_int_equal(RUN(m, 0xdb, 0xe3), -1);
        assert_int_equal(RUN(m, 0xd9, 0xe8), -1);
        memset(p, 0x77, SLOT);
        assert_int_equal(o16 ? RUN(m, 0x66, 0xdd, 0x32)
                             : RUN(m, 0xdd, 0x32),
                         -1);
        assert_int_equal(sq_ld64(p + at), ONE.sig);
        assert_int_equal(sq_ld16(p + at + 8), ONE.se);
        assert_int_equal(p[at + 80], 0x77);
        assert_int_equal(c->x87.empty, 0xff);
        assert_int_equal(o16 ? RUN(m, 0x66, 0xdd, 0x22)
                             : RUN(m, 0xdd, 0x22),
                         -1);
        check_st(m, 0, ONE);
        assert_int_equal(c->x87.empty, 0x7f);
    }
}

static void test_pointers(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;

    c->gpr[SQ_RIP] = 0xffffffff81234560ull;
    assert_int_equal(RUN(m, 0xd9, 0x42, 0x10), -1); /* fld m32 [rdx+16] */
    assert_int_equal(c->x87.fip, 0xffffffff81234560ull);
    assert_int_equal(c->x87.fdp, (uintptr_t)m->page + 16);
    c->gpr[SQ_RIP] += 3;
    assert_int_equal(RUN(m, 0xdc, 0xc8), -1); /* fmul st0, st0 */
    assert_int_equal(c->x87.fip, 0xffffffff81234563ull);
    assert_int_equal(c->x87.fop, 0x4c8);
    assert_int_equal(c->x87.fdp, (uintptr_t)m->page + 16);
    c->gpr[SQ_RIP] += 2;
    assert_int_equal(RUN(m, 0xd9, 0x3a), -1); /* fnstcw does not count */
    assert_int_equal(c->x87.fip, 0xffffffff81234563ull);
}

/* Unmasked exceptions: what is written nevertheless. */
static void test_unmasked(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;

    assert_int_equal(RUN(m, 0xd9, 0xee), -1); /* 0 */
    assert_int_equal(RUN(m, 0xd9, 0xe8), -1); /* 1 */
    c->x87.fcw = FCW_INIT & ~SQ_FP_ZE;
    assert_int_equal(RUN(m, 0xde, 0xf1), -1); /* fdivrp: 1 / 0 */
    check_st(m, 0, ONE);
    check_st(m, 1, f80(0, 0));
    assert_int_equal(c->x87.fsw, FSW_B | FSW_ES | SQ_FP_ZE);
    /* 1 / 3 with PE: written and popped, then pending */
    assert_int_equal(RUN(m, 0xdb, 0xe3), -1);
    sq_x87_push(c, THREE);
    sq_x87_push(c, ONE);
    c->x87.fcw = FCW_INIT & ~SQ_FP_PE;
    assert_int_equal(RUN(m, 0xde, 0xf1), -1);
    check_st(m, 0, f80(0x3ffd, 0xaaaaaaaaaaaaaaabull));
    assert_int_equal(c->x87.empty, 0x7f);
    assert_int_equal(c->x87.fsw, FSW_B | FSW_ES | FSW_C1 | SQ_FP_PE);
    /* a store that overflows: memory and stack stay */
    assert_int_equal(RUN(m, 0xdb, 0xe3), -1);
    sq_x87_push(c, f80(0x5000, ONE.sig));
    c->x87.fcw = FCW_INIT & ~SQ_FP_OE;
    memset(m->page, 0x77, 16);
    assert_int_equal(RUN(m, 0xd9, 0x1a), -1); /* fstp m32 */
    assert_int_equal(sq_ld32(m->page), 0x77777777);
    assert_int_equal(c->x87.empty, 0x7f);
    assert_true(c->x87.fsw & FSW_ES);
}

/* ---- FXSAVE, XSAVE ---- */

static void fill_state(struct sq_x86_cpu *c)
{
    sq_x86_fpu_reset(c);
    sq_x87_push(c, THREE);
    sq_x87_push(c, ONE);
    c->x87.fsw = FSW_C3 | SQ_FP_PE;
    c->x87.fcw = 0x27f;
    c->x87.fop = 0x123;
    c->x87.fip = 0x1122334455667788ull;
    c->x87.fdp = 0x99aabbccddeeff00ull;
    c->mxcsr = 0x9fc0;
    for (unsigned n = 0; n < 16; n++) {
        c->ymm[n].q[0] = 0x1111111111111111ull * n;
        c->ymm[n].q[1] = ~c->ymm[n].q[0];
    }
}

static void check_state(struct machine *m, unsigned xmms)
{
    struct sq_x86_cpu *c = m->c;

    check_st(m, 0, ONE);
    check_st(m, 1, THREE);
    assert_int_equal(sq_x87_fsw(c), 6 << 11 | FSW_C3 | SQ_FP_PE);
    assert_int_equal(c->x87.fcw, 0x27f);
    assert_int_equal(c->x87.empty, 0x3f);
    assert_int_equal(c->mxcsr, 0x9fc0);
    for (unsigned n = 0; n < xmms; n++) {
        assert_int_equal(c->ymm[n].q[0], 0x1111111111111111ull * n);
        assert_int_equal(c->ymm[n].q[1], ~c->ymm[n].q[0]);
    }
}

static void test_fxsave(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;
    uint8_t *p = m->page;

    fill_state(c);
    memset(p, 0x77, 1024);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x02), -1); /* fxsave64 */
    assert_int_equal(sq_ld16(p), 0x27f);
    assert_int_equal(sq_ld16(p + 2), 6 << 11 | FSW_C3 | SQ_FP_PE);
    assert_int_equal(sq_ld16(p + 4), 0xc0);
    assert_int_equal(sq_ld16(p + 6), 0x123);
    assert_int_equal(sq_ld64(p + 8), 0x1122334455667788ull);
    assert_int_equal(sq_ld64(p + 16), 0x99aabbccddeeff00ull);
    assert_int_equal(sq_ld32(p + 24), 0x9fc0);
    assert_int_equal(sq_ld32(p + 28), 0xffff);
    assert_int_equal(sq_ld64(p + 32), ONE.sig);
    assert_int_equal(sq_ld64(p + 40), ONE.se);
    assert_int_equal(sq_ld64(p + 160 + 15 * 16), 0xffffffffffffffffull);
    for (unsigned n = 416; n < 1024; n++)
        assert_int_equal(p[n], 0x77);
    sq_x86_fpu_reset(c);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x0a), -1); /* fxrstor64 */
    check_state(m, 16);
    assert_int_equal(c->x87.fip, 0x1122334455667788ull);
    assert_int_equal(c->x87.fdp, 0x99aabbccddeeff00ull);
    /* 32-bit pointers */
    c->x87.fcs = 0x10;
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x02), -1);
    assert_int_equal(sq_ld64(p + 8), 0x0000001055667788ull);
    assert_int_equal(sq_ld64(p + 16), 0x00000000ddeeff00ull);
    sq_x86_fpu_reset(c);
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x0a), -1);
    check_state(m, 16);
    assert_int_equal(c->x87.fip, 0x55667788);
    assert_int_equal(c->x87.fcs, 0x10);
    /* faults change nothing */
    sq_st32(p + 24, 0x10000);
    sq_st16(p, 0x37f);
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x0a), EXC_GP);
    check_state(m, 16);
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x4a, 0x08), EXC_GP);
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x42, 0x08), EXC_GP);
}

static void set_mask(struct sq_x86_cpu *c, uint64_t mask)
{
    c->gpr[R_AX] = (uint32_t)mask;
    /* EDX:EAX, but RDX is the pointer here: high bits of the mask cannot
     * matter, XCR0 has none. */
}

static void test_xsave(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;
    uint8_t *p = m->page;

    fill_state(c);
    memset(p, 0x77, 1024);
    sq_st64(p + 512, 0x8000000000000000ull);
    set_mask(c, ~0ull);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x22), -1); /* xsave64 */
    assert_int_equal(sq_ld64(p + 512), 0x8000000000000003ull);
    for (unsigned n = 416; n < 512; n++)
        assert_int_equal(p[n], 0x77);
    for (unsigned n = 520; n < 1024; n++)
        assert_int_equal(p[n], 0x77);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), EXC_GP);
    memset(p + 512, 0, 64);
    p[512] = 3;
    p[535] = 1; /* reserved in the header */
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), EXC_GP);
    p[535] = 0;
    p[527] = 0x80; /* compacted */
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), EXC_GP);
    p[527] = 0;
    p[26] = 1; /* MXCSR, reserved */
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), EXC_GP);
    set_mask(c, XSTATE_X87); /* not asked for: no matter */
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), -1);
    p[26] = 0;
    set_mask(c, ~0ull);
    sq_x86_fpu_reset(c);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), -1); /* xrstor64 */
    check_state(m, 16);
    assert_int_equal(c->x87.fip, 0x1122334455667788ull);
    /* components that are not there are initialised, MXCSR is read */
    p[512] = 0;
    sq_st32(p + 24, 0x1fc0);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), -1);
    assert_int_equal(c->x87.fcw, FCW_INIT);
    assert_int_equal(c->x87.empty, 0xff);
    assert_int_equal(c->ymm[15].q[1], 0);
    assert_int_equal(c->mxcsr, 0x1fc0);
    /* only what was asked for */
    fill_state(c);
    set_mask(c, XSTATE_X87);
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x2a), -1);
    assert_int_equal(c->x87.empty, 0xff);
    assert_int_equal(c->mxcsr, 0x9fc0);
    assert_int_equal(c->ymm[15].q[0], 0xffffffffffffffffull);
    set_mask(c, XSTATE_SSE);
    memset(p, 0x77, 1024);
    sq_st64(p + 512, 1);
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x22), -1);
    assert_int_equal(sq_ld64(p + 512), 3);
    assert_int_equal(sq_ld64(p), 0x7777777777777777ull);
    assert_int_equal(sq_ld64(p + 32), 0x7777777777777777ull);
    assert_int_equal(sq_ld64(p + 176), 0x1111111111111111ull);
    /* xsaveopt leaves out the x87, which is in its initial state */
    set_mask(c, ~0ull);
    memset(p, 0x77, 1024);
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x32), -1);
    assert_int_equal(sq_ld64(p + 512), 0x7777777777777776ull);
    assert_int_equal(sq_ld64(p + 32), 0x7777777777777777ull);
    assert_int_equal(sq_ld32(p + 24), 0x9fc0);
    assert_int_equal(sq_ld64(p + 176), 0x1111111111111111ull);
    /* rules */
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x62, 0x10), EXC_GP);
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x6a, 0x20), EXC_GP);
    c->cr0 |= CR0_TS;
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x22), EXC_NM);
    c->cr4 = 0;
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x22), EXC_UD);
    assert_int_equal(RUN(m, 0x0f, 0xae, 0x2a), EXC_UD);
}

static int try_xsetbv(struct machine *m, uint32_t ecx, uint64_t val)
{
    if (setjmp(m->c->leave))
        return m->c->fault_vector;
    sq_x86_xsetbv(m->c, m->block->insn, ecx, val);
    return 0;
}

static void test_xcr0(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;
    static const struct {
        uint32_t ecx;
        uint64_t val;
        uint8_t cpl;
        bool osxsave;
        int vector;
    } set[] = {
        {0, 3, 0, true, 0},       {0, 1, 0, true, 0},
        {0, 2, 0, true, EXC_GP},  {0, 7, 0, true, EXC_GP},
        {0, 0, 0, true, EXC_GP},  {1, 3, 0, true, EXC_GP},
        {0, 3, 3, true, EXC_GP},  {0, 3, 0, false, EXC_UD},
        {0, 1ull << 63 | 1, 0, true, EXC_GP},
    };

    for (size_t n = 0; n < SQ_ARRAY_LEN(set); n++) {
        int vector;

        c->xcr0 = 1;
        c->cpl = set[n].cpl;
        c->cr4 = set[n].osxsave ? CR4_OSXSAVE : 0;
        vector = try_xsetbv(m, set[n].ecx, set[n].val);
        assert_int_equal(vector, set[n].vector);
        assert_int_equal(c->xcr0, vector ? 1 : set[n].val);
    }
    c->cr4 = CR4_OSXSAVE;
    assert_int_equal(sq_x86_xgetbv(c, m->block->insn, 0), 1);
    c->cpuid = leaves_avx;
    assert_int_equal(try_xsetbv(m, 0, 7), 0);
    assert_int_equal(try_xsetbv(m, 0, 5), EXC_GP); /* AVX without SSE */
    assert_int_equal(try_xsetbv(m, 0, 15), EXC_GP);
    sq_x86_fpu_reset(c);
    assert_int_equal(sq_x86_xgetbv(c, m->block->insn, 1), 0);
    c->ymm[3].q[3] = 1;
    assert_int_equal(sq_x86_xgetbv(c, m->block->insn, 1), XSTATE_AVX);
}

/* The upper halves of the YMM registers, in both forms of image. */
static void test_xsave_avx(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;
    uint8_t *p = m->page;

    c->xcr0 = XSTATE_ALL;
    for (unsigned n = 0; n < 16; n++)
        c->ymm[n].q[3] = 0x100 + n;
    set_mask(c, XSTATE_AVX);
    memset(p, 0, 1024);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x22), -1); /* xsave64 */
    assert_int_equal(sq_ld64(p + 512), XSTATE_AVX);
    assert_int_equal(sq_ld32(p + 24), 0x1f80); /* MXCSR comes with AVX */
    assert_int_equal(sq_ld64(p + 576 + 8), 0x100);
    assert_int_equal(sq_ld64(p + 576 + 248), 0x10f);
    sq_x86_fpu_reset(c);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), -1); /* xrstor64 */
    assert_int_equal(c->ymm[15].q[3], 0x10f);
    /* not in the image: initialised */
    sq_st64(p + 512, 0);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), -1);
    assert_int_equal(c->ymm[15].q[3], 0);

    /* XSAVEC writes what is in use, and only that */
    c->ymm[2].q[2] = 7;
    set_mask(c, ~0ull);
    memset(p, 0x77, 1024);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xc7, 0x22), -1); /* xsavec64 */
    assert_int_equal(sq_ld64(p + 512), XSTATE_AVX);
    assert_int_equal(sq_ld64(p + 520), 1ull << 63 | XSTATE_ALL);
    assert_int_equal(sq_ld64(p), 0x7777777777777777ull);
    assert_int_equal(sq_ld32(p + 24), 0x77777777);
    assert_int_equal(sq_ld64(p + 160), 0x7777777777777777ull);
    assert_int_equal(sq_ld64(p + 576 + 32), 7);
    memset(p + 528, 0, 48);
    c->mxcsr = 0x9fc0;
    memset(c->ymm, 0xff, sizeof(c->ymm));
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), -1);
    assert_int_equal(c->ymm[2].q[2], 7);
    assert_int_equal(c->ymm[2].q[0], 0);
    assert_int_equal(c->mxcsr, 0x1f80); /* with SSE not in the image */
    /* a component that XCOMP_BV has not; one that XCR0 has not */
    sq_st64(p + 520, 1ull << 63 | 3);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), EXC_GP);
    sq_st64(p + 520, 1ull << 63 | 15);
    assert_int_equal(RUN(m, 0x48, 0x0f, 0xae, 0x2a), EXC_GP);
}

/* What is asked before an instruction with a VEX prefix runs. */
static void test_vex_rules(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;

    c->xcr0 = XSTATE_ALL;
    assert_int_equal(RUN(m, 0xc5, 0xfc, 0x58, 0xc0), -1); /* vaddps ymm */
    assert_int_equal(RUN(m, 0xc5, 0xf8, 0x77), -1);       /* vzeroupper */
    c->cr0 |= CR0_TS;
    assert_int_equal(RUN(m, 0xc5, 0xfc, 0x58, 0xc0), EXC_NM);
    assert_int_equal(RUN(m, 0xc5, 0xf8, 0x77), EXC_NM);
    /* general registers do not mind */
    assert_int_equal(RUN(m, 0xc4, 0xe2, 0x78, 0xf2, 0xc0), -1); /* andn */
    c->xcr0 = XSTATE_X87 | XSTATE_SSE; /* #UD comes before #NM */
    assert_int_equal(RUN(m, 0xc5, 0xfc, 0x58, 0xc0), EXC_UD);
    c->cr0 &= ~(uint64_t)CR0_TS;
    assert_int_equal(RUN(m, 0xc5, 0xf8, 0x58, 0xc0), EXC_UD); /* xmm, too */
    assert_int_equal(RUN(m, 0xc4, 0xe2, 0x78, 0xf2, 0xc0), -1);
    c->xcr0 = XSTATE_ALL;
    c->cr4 &= ~(uint64_t)CR4_OSXSAVE;
    assert_int_equal(RUN(m, 0xc5, 0xfc, 0x58, 0xc0), EXC_UD);
    c->cr4 |= CR4_OSXSAVE;
    c->cr0 |= CR0_EM; /* means nothing to AVX */
    assert_int_equal(RUN(m, 0xc5, 0xfc, 0x58, 0xc0), -1);
    /* no alignment but where it is asked for */
    assert_int_equal(RUN(m, 0xc5, 0xfc, 0x58, 0x42, 0x01), -1);
    assert_int_equal(RUN(m, 0xc5, 0xfc, 0x28, 0x42, 0x10), EXC_GP);
    assert_int_equal(RUN(m, 0xc5, 0xf8, 0x28, 0x42, 0x10), -1);
    /* a gather's registers must be three */
    assert_int_equal(RUN(m, 0xc4, 0xe2, 0x6d, 0x90, 0x04, 0x12), EXC_UD);
    /* neither real mode nor virtual-8086 mode has VEX */
    c->code64 = false;
    c->rflags |= FL_VM;
    assert_int_equal(RUN(m, 0xc5, 0xfc, 0x58, 0xc0), EXC_UD);
    assert_int_equal(RUN(m, 0xc4, 0xe2, 0x78, 0xf2, 0xc0), EXC_UD);
    c->rflags &= ~(uint64_t)FL_VM;
    c->code64 = true;
}

/* Legacy SSE keeps the upper half, VEX clears it. */
static void test_upper_halves(void **state)
{
    struct machine *m = *state;
    struct sq_x86_cpu *c = m->c;

    c->xcr0 = XSTATE_ALL;
    c->ymm[0].q[2] = c->ymm[0].q[3] = 5;
    assert_int_equal(RUN(m, 0x0f, 0x28, 0xc1), -1); /* movaps xmm0, xmm1 */
    assert_int_equal(c->ymm[0].q[2], 5);
    assert_int_equal(RUN(m, 0xf3, 0x0f, 0x58, 0xc1), -1); /* addss */
    assert_int_equal(c->ymm[0].q[3], 5);
    assert_int_equal(RUN(m, 0xc5, 0xf8, 0x28, 0xc1), -1); /* vmovaps */
    assert_int_equal(c->ymm[0].q[2] | c->ymm[0].q[3], 0);
    c->ymm[15].q[2] = c->ymm[15].q[0] = 6;
    assert_int_equal(RUN(m, 0xc5, 0xf8, 0x77), -1); /* vzeroupper */
    assert_int_equal(c->ymm[15].q[2], 0);
    assert_int_equal(c->ymm[15].q[0], 6);
    assert_int_equal(RUN(m, 0xc5, 0xfc, 0x77), -1); /* vzeroall */
    assert_int_equal(c->ymm[15].q[0], 0);
}

static void test_image(void **state)
{
    struct machine *m = *state;
    uint8_t *image = m->page;

    fill_state(m->c);
    m->c->ymm[9].q[2] = 99;
    sq_x86_fpu_export(m->c, image);
    sq_x86_fpu_reset(m->c);
    assert_int_equal(m->c->ymm[9].q[2], 0);
    assert_int_equal(sq_x86_fpu_import(m->c, image), 0);
    check_state(m, 16);
    assert_int_equal(m->c->ymm[9].q[2], 99);
    assert_int_equal(m->c->x87.fip, 0x1122334455667788ull);
    image[512] = 15;
    assert_int_equal(sq_x86_fpu_import(m->c, image), -1);
    image[512] = 3;
    image[527] = 0x80;
    assert_int_equal(sq_x86_fpu_import(m->c, image), -1);
    image[527] = 0;
    image[26] = 1;
    assert_int_equal(sq_x86_fpu_import(m->c, image), -1);
    check_state(m, 16);
    memset(image, 0, 4096);
    assert_int_equal(sq_x86_fpu_import(m->c, image), 0);
    assert_int_equal(m->c->x87.fcw, FCW_INIT);
    assert_int_equal(m->c->x87.empty, 0xff);
    assert_int_equal(m->c->mxcsr, 0x1f80);
    assert_int_equal(m->c->ymm[3].q[0], 0);
}

/* ---- against the host ---- */

#if defined(__x86_64__)

static uint64_t rng = 0x9e3779b97f4a7c15ull;

static uint64_t random64(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng * 0x2545f4914f6cdd1dull;
}

static unsigned pick(unsigned n)
{
    return (unsigned)((random64() >> 32) % n);
}

static struct sq_f80 random_f80(void)
{
    uint64_t top = 1ull << 63, sig = random64();
    uint16_t sign = (uint16_t)(random64() & 0x8000);

    if (pick(3) == 0)
        sig &= ~0ull << pick(64);
    switch (pick(16)) {
    case 0: return f80(sign, 0);
    case 1: return f80(sign | 0x7fff, top);
    case 2: return f80(sign | 0x7fff, sig | top | 1ull << 62);
    case 3: return f80(sign | 0x7fff, ((sig | 1) & ~(3ull << 62)) | top);
    case 4: return f80(sign, sig & ~top);
    case 5: return f80((uint16_t)(sign | pick(0x8000)), sig);
    case 6: return f80((uint16_t)(sign | pick(0x7fff)), sig | top);
    case 7: return f80(sign, sig | top); /* pseudo-denormal */
    case 8: /* about the edges of single and double */
        return f80((uint16_t)(sign | (0x3fff + (pick(2) ? 127 : 1023) *
                                                   (pick(2) ? 1 : -1) +
                                      (int)pick(60) - 50)),
                   sig | top);
    case 9: return f80((uint16_t)(sign | (0x3fff + pick(66))), sig | top);
    default:
        return f80((uint16_t)(sign | (0x3ff0 + pick(0x20))), sig | top);
    }
}

/* FNSAVE's image: a state without pending exceptions. */
static void random_image(uint8_t *image, bool masked)
{
    unsigned fcw = (unsigned)(random64() & (FCW_VALID & ~0x1000u)) | FCW_ONE;
    unsigned fsw = (unsigned)random64() & 0x7f7f, ftw = 0;
    unsigned empty = pick(3) ? 0x80u | (1u << pick(9)) : (unsigned)random64();

    if (masked)
        fcw |= SQ_FP_ALL;
    fsw &= ~(SQ_FP_ALL & ~fcw);
    for (unsigned n = 0; n < 8; n++)
        if (empty >> n & 1)
            ftw |= 3u << 2 * ((n + (fsw >> 11)) & 7);
    memset(image, 0, IMAGE);
    sq_st32(image, fcw);
    sq_st32(image + 4, fsw);
    sq_st32(image + 8, ftw);
    for (unsigned n = 0; n < 8; n++) {
        struct sq_f80 v = random_f80();

        sq_st64(image + 28 + 10 * n, v.sig);
        sq_st16(image + 36 + 10 * n, v.se);
    }
}

/* Operands in memory: bits, or values that the formats hold. */
static void random_memory(uint8_t *mem)
{
    float f;
    double d;
    struct sq_fp_env env = {.precision = 64, .masks = SQ_FP_ALL};

    for (unsigned n = 0; n < 32; n += 8)
        sq_st64(mem + n, random64());
    switch (pick(6)) {
    case 0:
        f = (float)(int32_t)random64() / 1024;
        memcpy(mem, &f, sizeof(f));
        break;
    case 1:
        d = (double)(int64_t)random64() / 1e12;
        memcpy(mem, &d, sizeof(d));
        break;
    case 2: sq_st32(mem, sq_f80_to_f32(random_f80(), &env)); break;
    case 3: sq_st64(mem, sq_f80_to_f64(random_f80(), &env)); break;
    case 4:
        for (unsigned n = 0; n < 9; n++)
            mem[n] = (uint8_t)(pick(10) << 4 | pick(10));
        mem[9] = (uint8_t)(random64() & 0x80);
        break;
    default: {
        struct sq_f80 v = random_f80();

        sq_st64(mem, v.sig);
        sq_st16(mem + 8, v.se);
    }
    }
}

typedef uint64_t host_fn(const uint8_t *in, uint8_t *out, uint8_t *mem,
                         uint64_t flags);

/* frstor [rdi]; flags; the instruction; rax to [rdx + SLOT - 8];
 * fnsave [rsi]; flags to rax */
static unsigned assemble(uint8_t *code, const uint8_t *insn, unsigned len)
{
    static const uint8_t before[] = {0xdd, 0x27, 0x31, 0xc0, 0x51, 0x9d};
    static const uint8_t after[] = {
        0x48, 0x89, 0x82, (SLOT - 8) & 0xff, (SLOT - 8) >> 8, 0, 0,
        0xdd, 0x36, 0x9c, 0x58, 0xc3};
    uint8_t *p = code;

    memcpy(p, before, sizeof(before));
    p += sizeof(before);
    memcpy(p, insn, len);
    p += len;
    memcpy(p, after, sizeof(after));
    return sizeof(before);
}

static void load_image(struct sq_x86_cpu *c, const uint8_t *image)
{
    unsigned ftw = sq_ld16(image + 8);

    sq_x86_fpu_reset(c);
    sq_x87_set_words(c, sq_ld16(image), sq_ld16(image + 4));
    for (unsigned n = 0; n < 8; n++) {
        unsigned p = sq_x87_phys(c, n);

        sq_x87_set(c, n, f80(sq_ld16(image + 36 + 10 * n),
                             sq_ld64(image + 28 + 10 * n)));
        if ((ftw >> (2 * p) & 3) == 3)
            sq_x87_free(c, n);
    }
}

static void save_image(const struct sq_x86_cpu *c, uint8_t *image)
{
    memset(image, 0, IMAGE);
    sq_st16(image, c->x87.fcw);
    sq_st16(image + 4, sq_x87_fsw(c));
    sq_st16(image + 8, sq_x87_ftw(c));
    for (unsigned n = 0; n < 8; n++) {
        struct sq_f80 v = sq_x87_get(c, n);

        sq_st64(image + 28 + 10 * n, v.sig);
        sq_st16(image + 36 + 10 * n, v.se);
    }
}

/* How closely results are compared. */
enum {
    EXACT = 0,
    NEAR = 1, /* a transcendental: registers within some units in the last
                 place, C1 and the flags of the result not at all */
    COMPARE = 2, /* after an unmasked exception, the relation is ignored */
    COMPARE_I = 3, /* and C1 always */
    ARITH = 4, /* COMPARE for /2 and /3, else EXACT */
    LOAD = 5, /* not after an unmasked denormal operand */
};

/*
 * Where processors differ, the interpreter does what the Intel manual says
 * (vol. 1, 8.5.2; vol. 2, FCOM, FCOMI); others set the result of a
 * comparison and push a denormal value even if an unmasked exception
 * reports it, and have FCOMI leave C1 alone.
 */

static bool near(const uint8_t *a, const uint8_t *b)
{
    uint64_t x = sq_ld64(a), y = sq_ld64(b);
    int de = sq_ld16(a + 8) - sq_ld16(b + 8);

    if (de == 0)
        return x - y + 2 <= 4;
    /* on the two sides of a power of two */
    return (de == 1 && x - (1ull << 63) < 2 && ~y < 2) ||
           (de == -1 && y - (1ull << 63) < 2 && ~x < 2);
}

static bool same(const uint8_t *got, const uint8_t *want, int how)
{
    unsigned ignore = 0;

    if (how == NEAR)
        ignore = FSW_C1 | SQ_FP_PE | SQ_FP_UE | SQ_FP_OE;
    if ((how == COMPARE || how == COMPARE_I) && sq_ld16(got + 4) & FSW_ES)
        ignore = FSW_CC;
    if (how == COMPARE_I)
        ignore |= FSW_C1;
    if (how == LOAD && sq_ld16(want + 4) & ~sq_ld16(want) & SQ_FP_DE)
        return true;
    if (sq_ld16(got) != sq_ld16(want) || sq_ld16(got + 8) != sq_ld16(want + 8))
        return false;
    if ((sq_ld16(got + 4) ^ sq_ld16(want + 4)) & ~ignore)
        return false;
    for (unsigned n = 0; n < 8; n++) {
        const uint8_t *a = got + 28 + 10 * n, *b = want + 28 + 10 * n;

        if (memcmp(a, b, 10) && (how == EXACT || !near(a, b)))
            return false;
    }
    return true;
}

static void print_image(const char *what, const uint8_t *image)
{
    print_message("%s: fcw %04x fsw %04x ftw %04x\n", what, sq_ld16(image),
                  sq_ld16(image + 4), sq_ld16(image + 8));
    for (unsigned n = 0; n < 8; n++)
        print_message("   st%u %04x %016llx\n", n,
                      sq_ld16(image + 36 + 10 * n),
                      (unsigned long long)sq_ld64(image + 28 + 10 * n));
}

struct one {
    const char *name;
    uint8_t len, bytes[3];
    uint8_t how;
};

/* One instruction on many states; the number of differences. */
static unsigned sweep(struct machine *m, uint8_t *code, const struct one *t,
                      bool masked)
{
    static const uint64_t arithmetic = FL_STATUS;
    uint8_t in[IMAGE], want[IMAGE], got[IMAGE];
    uint8_t before[SLOT], host_mem[SLOT];
    struct sq_x86_cpu *c = m->c;
    unsigned at, bad = 0;
    host_fn *fn;

    at = assemble(code, t->bytes, t->len);
    memcpy(&fn, &code, sizeof(fn));
    c->gpr[SQ_RIP] = (uintptr_t)code + at;
    for (unsigned k = 0; k < RUNS; k++) {
        uint64_t flags = (random64() & arithmetic) | FL_IF | 2, host_flags;
        bool ok;

        random_image(in, masked);
        memset(before, 0, sizeof(before));
        random_memory(before);
        memcpy(m->page, before, SLOT);
        host_flags = fn(in, want, m->page, flags);
        memcpy(host_mem, m->page, SLOT);
        memcpy(m->page, before, SLOT);
        load_image(c, in);
        sq_set_status(c, (uint32_t)(flags & arithmetic));
        c->gpr[R_AX] = 0;
        if (run(m, t->bytes, t->len) != -1) {
            print_message("%s: refused\n", t->name);
            return 1;
        }
        sq_st64(m->page + SLOT - 8, c->gpr[R_AX]);
        save_image(c, got);
        ok = same(got, want, t->how) && !memcmp(m->page, host_mem, SLOT) &&
             (sq_status(c) == (host_flags & arithmetic) ||
              (t->how == COMPARE_I && c->x87.fsw & FSW_ES));
        if (ok || bad++)
            continue;
        print_message("%s (%02x %02x)%s\n", t->name, t->bytes[0],
                      t->bytes[1], masked ? "" : " with unmasked");
        print_image("before", in);
        print_image("host", want);
        print_image("here", got);
        for (unsigned n = 0; n < 16; n += 8)
            print_message("memory %016llx host %016llx here %016llx\n",
                          (unsigned long long)sq_ld64(before + n),
                          (unsigned long long)sq_ld64(host_mem + n),
                          (unsigned long long)sq_ld64(m->page + n));
        print_message("flags %llx host %llx here %x, ax %llx %llx\n",
                      (unsigned long long)flags,
                      (unsigned long long)host_flags, sq_status(c),
                      (unsigned long long)sq_ld64(host_mem + SLOT - 8),
                      (unsigned long long)c->gpr[R_AX]);
    }
    if (bad)
        print_message("%s: %u of %u differ\n\n", t->name, bad, RUNS);
    return bad;
}

/* Rows with a memory operand get [rdx], those of registers each ST(i). */
static const struct {
    const char *name;
    uint8_t escape, low, high; /* ModRM, both included */
    uint8_t how;
} instructions[] = {
    /* memory: ModRM.reg in steps of 8 */
    {"arith m32", 0xd8, 0x02, 0x3a, ARITH},
    {"fld m32", 0xd9, 0x02, 0x02, LOAD},
    {"fst, fstp m32", 0xd9, 0x12, 0x1a, EXACT},
    {"fldenv, fldcw, fnstenv, fnstcw", 0xd9, 0x22, 0x3a, EXACT},
    {"arith i32", 0xda, 0x02, 0x3a, ARITH},
    {"i32", 0xdb, 0x02, 0x1a, EXACT},
    {"fld m80", 0xdb, 0x2a, 0x2a, EXACT},
    {"fstp m80", 0xdb, 0x3a, 0x3a, EXACT},
    {"arith m64", 0xdc, 0x02, 0x3a, ARITH},
    {"fld m64", 0xdd, 0x02, 0x02, LOAD},
    {"fisttp, fst, fstp m64", 0xdd, 0x0a, 0x1a, EXACT},
    {"frstor", 0xdd, 0x22, 0x22, EXACT},
    {"fnsave, fnstsw", 0xdd, 0x32, 0x3a, EXACT},
    {"arith i16", 0xde, 0x02, 0x3a, ARITH},
    {"i16", 0xdf, 0x02, 0x1a, EXACT},
    {"fbld", 0xdf, 0x22, 0x22, EXACT},
    {"fild, fbstp, fistp", 0xdf, 0x2a, 0x3a, EXACT},
    /* registers */
    {"arith st0, sti", 0xd8, 0xc0, 0xff, ARITH},
    {"fld, fxch", 0xd9, 0xc0, 0xcf, EXACT},
    {"fnop", 0xd9, 0xd0, 0xd0, EXACT},
    {"fstp1", 0xd9, 0xd8, 0xdf, EXACT},
    {"fchs, fabs", 0xd9, 0xe0, 0xe1, EXACT},
    {"ftst, fxam", 0xd9, 0xe4, 0xe5, COMPARE},
    {"constants", 0xd9, 0xe8, 0xee, EXACT},
    {"f2xm1, fyl2x, fptan, fpatan", 0xd9, 0xf0, 0xf3, NEAR},
    {"fxtract, fprem1, fdecstp, fincstp", 0xd9, 0xf4, 0xf7, EXACT},
    {"fprem", 0xd9, 0xf8, 0xf8, EXACT},
    {"fyl2xp1", 0xd9, 0xf9, 0xf9, NEAR},
    {"fsqrt", 0xd9, 0xfa, 0xfa, EXACT},
    {"fsincos", 0xd9, 0xfb, 0xfb, NEAR},
    {"frndint, fscale", 0xd9, 0xfc, 0xfd, EXACT},
    {"fsin, fcos", 0xd9, 0xfe, 0xff, NEAR},
    {"fcmov", 0xda, 0xc0, 0xdf, EXACT},
    {"fucompp", 0xda, 0xe9, 0xe9, COMPARE},
    {"fcmovn", 0xdb, 0xc0, 0xdf, EXACT},
    {"fneni..fnsetpm", 0xdb, 0xe0, 0xe4, EXACT},
    {"fucomi, fcomi", 0xdb, 0xe8, 0xf7, COMPARE_I},
    {"arith sti, st0", 0xdc, 0xc0, 0xff, ARITH},
    {"ffree..fstp", 0xdd, 0xc0, 0xdf, EXACT},
    {"fucom, fucomp", 0xdd, 0xe0, 0xef, COMPARE},
    {"arith with pop", 0xde, 0xc0, 0xd7, ARITH},
    {"fcompp", 0xde, 0xd9, 0xd9, COMPARE},
    {"arith with pop", 0xde, 0xe0, 0xff, EXACT},
    {"ffreep..fstp9", 0xdf, 0xc0, 0xdf, EXACT},
    {"fnstsw ax", 0xdf, 0xe0, 0xe0, EXACT},
    {"fucomip, fcomip", 0xdf, 0xe8, 0xf7, COMPARE_I},
};

static void test_host(void **state)
{
    struct machine *m = *state;
    uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned bad = 0;

    if (code == MAP_FAILED) {
        print_message("skipped: no memory to execute generated code in\n");
        skip();
    }
    for (size_t n = 0; n < SQ_ARRAY_LEN(instructions); n++) {
        unsigned rm = instructions[n].low;

        for (; rm <= instructions[n].high; rm += rm < 0xc0 ? 8 : 1) {
            struct one t = {.name = instructions[n].name, .len = 2,
                            .bytes = {instructions[n].escape, (uint8_t)rm},
                            .how = instructions[n].how};

            if (instructions[n].how == ARITH)
                t.how = (rm & 0x30) == 0x10 ? COMPARE : EXACT;

            bad += sweep(m, code, &t, true) > 0;
            bad += sweep(m, code, &t, false) > 0;
        }
    }
    munmap(code, 4096);
    assert_int_equal(bad, 0);
}

#else

static void test_host(void **state)
{
    (void)state;
    print_message("skipped: the host is no x86-64\n");
    skip();
}

#endif

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_stack),    TEST(test_pending), TEST(test_not_available),
        TEST(test_environment), TEST(test_pointers), TEST(test_unmasked),
        TEST(test_fxsave),   TEST(test_xsave),   TEST(test_xcr0),
        TEST(test_xsave_avx), TEST(test_vex_rules), TEST(test_upper_halves),
        TEST(test_image),    TEST(test_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
