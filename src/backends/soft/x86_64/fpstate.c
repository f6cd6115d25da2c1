/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FXSAVE, XSAVE and their opposites: x87, SSE and AVX state as one image in
 * memory (SDM vol. 1, 10.5 and chapter 13): the 512 bytes that FXSAVE knows,
 * a header, the upper halves of the YMM registers.
 */
#include "backends/soft/x86_64/sse.h"
#include "backends/soft/x86_64/x87.h"

/* Offsets and lengths of the image's parts. */
enum {
    X87_HEAD_LEN = 24, /* words and pointers */
    MXCSR_AT = 24, MXCSR_LEN = 8, /* and its mask of valid bits */
    X87_REGS_AT = 32, X87_REGS_LEN = 128,
    XMM_AT = 160,
    LEGACY_LEN = 512,
    XSTATE_BV_AT = 512, XCOMP_BV_AT = 520,
    YMM_AT = 576, YMM_LEN = 256, /* upper halves */
};
#define XCOMP_COMPACT (1ull << 63)
#define MXCSR_INIT 0x1f80u

/* --- areas of memory ------------------------------------------------- */

void sq_x86_get_area(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     uint64_t gva, void *dst, unsigned len)
{
    const void *p = sq_mem_ptr(c, i, gva, len, false);
    uint8_t *to = dst;

    if (p) {
        memcpy(dst, p, len);
        atomic_thread_fence(memory_order_acquire);
        return;
    }
    for (unsigned n; len; gva += n, to += n, len -= n) {
        n = len < 16 ? len : 16;
        sq_ld_bytes(c, i, gva, to, n);
    }
}

void sq_x86_put_area(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     uint64_t gva, const void *src, unsigned len)
{
    void *p = sq_mem_ptr(c, i, gva, len, true);
    const uint8_t *from = src;

    if (p) {
        atomic_thread_fence(memory_order_release);
        memcpy(p, src, len);
        return;
    }
    sq_x86_probe_write(c, i, gva, len);
    for (unsigned n; len; gva += n, from += n, len -= n) {
        n = len < 16 ? len : 16;
        sq_st_bytes(c, i, gva, from, n);
    }
}

/* --- images ---------------------------------------------------------- */

/* Outside 64-bit mode only the first eight XMM registers take part. */
static unsigned xmm_count(const struct sq_x86_cpu *c)
{
    return c->code64 ? 16 : 8;
}

/* `wide`: 64-bit pointers without selectors. */
static void put_x87(const struct sq_x86_cpu *c, uint8_t *image, bool wide)
{
    const struct sq_x87 *x = &c->x87;

    memset(image, 0, X87_HEAD_LEN);
    sq_st16(image, x->fcw);
    sq_st16(image + 2, sq_x87_fsw(c));
    image[4] = (uint8_t)~x->empty;
    sq_st16(image + 6, x->fop);
    if (wide) {
        sq_st64(image + 8, x->fip);
        sq_st64(image + 16, x->fdp);
    } else {
        sq_st32(image + 8, (uint32_t)x->fip);
        sq_st16(image + 12, x->fcs);
        sq_st32(image + 16, (uint32_t)x->fdp);
        sq_st16(image + 20, x->fds);
    }
    memset(image + X87_REGS_AT, 0, X87_REGS_LEN);
    for (unsigned n = 0; n < 8; n++) {
        struct sq_f80 v = sq_x87_get(c, n);

        sq_st64(image + X87_REGS_AT + 16 * n, v.sig);
        sq_st16(image + X87_REGS_AT + 16 * n + 8, v.se);
    }
}

static void get_x87(struct sq_x86_cpu *c, const uint8_t *image, bool wide)
{
    struct sq_x87 *x = &c->x87;

    sq_x87_set_words(c, sq_ld16(image), sq_ld16(image + 2));
    x->empty = (uint8_t)~image[4];
    x->fop = sq_ld16(image + 6) & 0x7ff;
    if (wide) {
        x->fip = sq_ld64(image + 8);
        x->fdp = sq_ld64(image + 16);
        x->fcs = x->fds = 0;
    } else {
        x->fip = sq_ld32(image + 8);
        x->fcs = sq_ld16(image + 12);
        x->fdp = sq_ld32(image + 16);
        x->fds = sq_ld16(image + 20);
    }
    for (unsigned n = 0; n < 8; n++) {
        unsigned r = sq_x87_phys(c, n);

        x->st[r].sig = sq_ld64(image + X87_REGS_AT + 16 * n);
        x->st[r].se = sq_ld16(image + X87_REGS_AT + 16 * n + 8);
    }
}

static void put_mxcsr(const struct sq_x86_cpu *c, uint8_t *image)
{
    sq_st32(image + MXCSR_AT, c->mxcsr);
    sq_st32(image + MXCSR_AT + 4, MXCSR_VALID);
}

static bool mxcsr_bad(const uint8_t *image)
{
    return sq_ld32(image + MXCSR_AT) & ~(uint32_t)MXCSR_VALID;
}

static void put_xmm(const struct sq_x86_cpu *c, uint8_t *image, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        memcpy(image + XMM_AT + 16 * k, &c->ymm[k], 16);
}

static void get_xmm(struct sq_x86_cpu *c, const uint8_t *image, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        memcpy(&c->ymm[k], image + XMM_AT + 16 * k, 16);
}

static void put_ymm(const struct sq_x86_cpu *c, uint8_t *image, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        memcpy(image + YMM_AT + 16 * k, c->ymm[k].b + 16, 16);
}

static void get_ymm(struct sq_x86_cpu *c, const uint8_t *image, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        memcpy(c->ymm[k].b + 16, image + YMM_AT + 16 * k, 16);
}

/* Initial configurations (SDM vol. 1, 13.6). */
static void init_x87(struct sq_x86_cpu *c)
{
    sq_x87_init(c);
    memset(c->x87.st, 0, sizeof(c->x87.st));
}

static void init_xmm(struct sq_x86_cpu *c, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        memset(&c->ymm[k], 0, 16);
}

static void init_ymm(struct sq_x86_cpu *c, unsigned n)
{
    for (unsigned k = 0; k < n; k++)
        memset(c->ymm[k].b + 16, 0, 16);
}

static bool ymm_used(const struct sq_x86_cpu *c, unsigned n)
{
    uint64_t any = 0;

    for (unsigned k = 0; k < n; k++)
        any |= c->ymm[k].q[2] | c->ymm[k].q[3];
    return any != 0;
}

/* Components that are not in their initial configuration. */
static uint64_t in_use(const struct sq_x86_cpu *c)
{
    const struct sq_x87 *x = &c->x87;
    uint64_t use = 0, any = x->fip | x->fdp;

    for (unsigned n = 0; n < 8; n++)
        any |= x->st[n].sig | x->st[n].se;
    if (any || x->fcw != FCW_INIT || x->fsw || x->top || x->empty != 0xff ||
        x->fop || x->fcs || x->fds)
        use |= XSTATE_X87;
    any = c->mxcsr ^ MXCSR_INIT;
    for (unsigned n = 0; n < xmm_count(c); n++)
        any |= c->ymm[n].q[0] | c->ymm[n].q[1];
    if (any)
        use |= XSTATE_SSE;
    if (ymm_used(c, xmm_count(c)))
        use |= XSTATE_AVX;
    return use;
}

void sq_x86_fpu_reset(struct sq_x86_cpu *c)
{
    init_x87(c);
    init_xmm(c, 16);
    init_ymm(c, 16);
    c->mxcsr = MXCSR_INIT;
}

void sq_x86_fpu_export(const struct sq_x86_cpu *c, uint8_t xsave[4096])
{
    memset(xsave, 0, 4096);
    put_x87(c, xsave, true);
    put_mxcsr(c, xsave);
    put_xmm(c, xsave, 16);
    put_ymm(c, xsave, 16);
    sq_st64(xsave + XSTATE_BV_AT,
            XSTATE_X87 | XSTATE_SSE | (ymm_used(c, 16) ? XSTATE_AVX : 0));
}

int sq_x86_fpu_import(struct sq_x86_cpu *c, const uint8_t xsave[4096])
{
    uint64_t bv = sq_ld64(xsave + XSTATE_BV_AT);

    if (bv & ~(uint64_t)XSTATE_ALL || sq_ld64(xsave + XCOMP_BV_AT) ||
        (bv & XSTATE_SSE && mxcsr_bad(xsave)))
        return -1;
    sq_x86_fpu_reset(c);
    if (bv & XSTATE_X87)
        get_x87(c, xsave, true);
    if (bv & XSTATE_SSE) {
        get_xmm(c, xsave, 16);
        c->mxcsr = sq_ld32(xsave + MXCSR_AT);
    }
    if (bv & XSTATE_AVX)
        get_ymm(c, xsave, 16);
    return 0;
}

bool sq_x86_xcr0_valid(uint64_t v)
{
    return v & XSTATE_X87 && !(v & ~(uint64_t)XSTATE_ALL) &&
           (!(v & XSTATE_AVX) || v & XSTATE_SSE);
}

/* --- FXSAVE and FXRSTOR ---------------------------------------------- */

static uint64_t fx_begin(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         enum sq_access access)
{
    uint64_t gva;

    sq_x87_begin_nowait(c, i);
    gva = sq_ea(c, i, LEGACY_LEN, access);
    if (gva & 15)
        sq_x86_gp(c, i, 0);
    return gva;
}

/* With EFER.FFXSR the kernel's FXSAVE leaves XMM registers out. */
static unsigned fx_xmm_count(const struct sq_x86_cpu *c)
{
    if (c->efer & EFER_FFXSR && c->code64 && c->cpl == 0)
        return 0;
    return xmm_count(c);
}

/* The end of the image, which is the software's, is not written. */
OP(fxsave)
{
    uint64_t gva = fx_begin(c, i, ACCESS_W);
    unsigned n = fx_xmm_count(c);
    uint8_t image[LEGACY_LEN];

    put_x87(c, image, i->osz == 3);
    put_mxcsr(c, image);
    put_xmm(c, image, n);
    sq_x86_put_area(c, i, gva, image, XMM_AT + 16 * n);
    NEXT;
}

OP(fxrstor)
{
    uint64_t gva = fx_begin(c, i, ACCESS_R);
    unsigned n = fx_xmm_count(c);
    uint8_t image[LEGACY_LEN];

    sq_x86_get_area(c, i, gva, image, XMM_AT + 16 * n);
    if (mxcsr_bad(image))
        sq_x86_gp(c, i, 0);
    get_x87(c, image, i->osz == 3);
    c->mxcsr = sq_ld32(image + MXCSR_AT);
    get_xmm(c, image, n);
    NEXT;
}
FAM1(fxsave, NULL, fxsave)
FAM1(fxrstor, NULL, fxrstor)

/* --- XSAVE and XRSTOR (SDM vol. 1, 13.7 to 13.10) -------------------- */

/* The components asked for: EDX:EAX of those that XCR0 has. */
static uint64_t requested(const struct sq_x86_cpu *c)
{
    return (c->gpr[R_DX] << 32 | (uint32_t)c->gpr[R_AX]) & c->xcr0;
}

/* As there is one component behind the header, its place does not depend on
 * the image's form. */
static unsigned image_len(uint64_t components)
{
    return components & XSTATE_AVX ? YMM_AT + YMM_LEN : YMM_AT;
}

static uint64_t xs_begin(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                         unsigned len, enum sq_access access)
{
    uint64_t gva;

    if (!(c->cr4 & CR4_OSXSAVE))
        sq_x86_ud(c, i);
    if (c->cr0 & CR0_TS)
        sq_x86_raise(c, i, EXC_NM, NO_ERROR_CODE);
    gva = sq_ea(c, i, len, access);
    if (gva & 63)
        sq_x86_gp(c, i, 0);
    return gva;
}

/* XSAVE writes all that was asked for. XSAVEOPT and XSAVEC leave out the
 * components in their initial configuration; the latter's image is compact. */
enum xsave_kind { PLAIN, OPTIMIZED, COMPACT };

static void do_xsave(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                     enum xsave_kind kind)
{
    uint64_t rfbm = requested(c), use = in_use(c);
    uint64_t put = kind == PLAIN ? rfbm : rfbm & use, bv = 0;
    uint64_t with_mxcsr = kind == COMPACT ? put & XSTATE_SSE
                                          : rfbm & (XSTATE_SSE | XSTATE_AVX);
    unsigned len = image_len(rfbm), n = xmm_count(c);
    uint64_t gva = xs_begin(c, i, len, ACCESS_W);
    uint8_t image[YMM_AT + YMM_LEN];

    sq_x86_probe_write(c, i, gva, len);
    if (kind != COMPACT)
        bv = LD(64, gva + XSTATE_BV_AT);
    put_x87(c, image, i->osz == 3);
    put_mxcsr(c, image);
    put_xmm(c, image, n);
    put_ymm(c, image, n);
    if (put & XSTATE_X87) {
        sq_x86_put_area(c, i, gva, image, X87_HEAD_LEN);
        sq_x86_put_area(c, i, gva + X87_REGS_AT, image + X87_REGS_AT,
                        X87_REGS_LEN);
    }
    if (with_mxcsr)
        sq_x86_put_area(c, i, gva + MXCSR_AT, image + MXCSR_AT, MXCSR_LEN);
    if (put & XSTATE_SSE)
        sq_x86_put_area(c, i, gva + XMM_AT, image + XMM_AT, 16 * n);
    if (put & XSTATE_AVX)
        sq_x86_put_area(c, i, gva + YMM_AT, image + YMM_AT, 16 * n);
    ST(64, gva + XSTATE_BV_AT, (bv & ~rfbm) | (use & rfbm));
    if (kind == COMPACT)
        ST(64, gva + XCOMP_BV_AT, rfbm | XCOMP_COMPACT);
}

OP(xsave)
{
    do_xsave(c, i, PLAIN);
    NEXT;
}
OP(xsaveopt)
{
    do_xsave(c, i, OPTIMIZED);
    NEXT;
}
OP(xsavec)
{
    do_xsave(c, i, COMPACT);
    NEXT;
}

static bool all_zero(const uint8_t *p, unsigned len)
{
    for (unsigned k = 0; k < len; k++)
        if (p[k])
            return false;
    return true;
}

/* What the header may be: the form's rules. */
static bool header_bad(const struct sq_x86_cpu *c, const uint8_t *image)
{
    uint64_t bv = sq_ld64(image + XSTATE_BV_AT);
    uint64_t comp = sq_ld64(image + XCOMP_BV_AT);

    if (!(comp & XCOMP_COMPACT))
        return bv & ~c->xcr0 || !all_zero(image + XCOMP_BV_AT, 16);
    comp &= ~XCOMP_COMPACT;
    return comp & ~c->xcr0 || bv & ~comp ||
           !all_zero(image + XCOMP_BV_AT + 8, 48);
}

OP(xrstor)
{
    uint64_t rfbm = requested(c), bv;
    uint64_t gva = xs_begin(c, i, image_len(rfbm), ACCESS_R);
    uint8_t image[YMM_AT + YMM_LEN];
    unsigned n = xmm_count(c);
    bool compact, from_image;

    sq_x86_get_area(c, i, gva, image, YMM_AT);
    bv = sq_ld64(image + XSTATE_BV_AT);
    compact = sq_ld64(image + XCOMP_BV_AT) & XCOMP_COMPACT;
    /* In the standard form MXCSR comes from memory even when the registers
     * get their initial values. */
    from_image = compact ? rfbm & bv & XSTATE_SSE
                         : rfbm & (XSTATE_SSE | XSTATE_AVX);
    if (header_bad(c, image) || (from_image && mxcsr_bad(image)))
        sq_x86_gp(c, i, 0);
    if (rfbm & bv & XSTATE_AVX)
        sq_x86_get_area(c, i, gva + YMM_AT, image + YMM_AT, 16 * n);
    if (rfbm & bv & XSTATE_X87)
        get_x87(c, image, i->osz == 3);
    else if (rfbm & XSTATE_X87)
        init_x87(c);
    if (from_image)
        c->mxcsr = sq_ld32(image + MXCSR_AT);
    else if (rfbm & XSTATE_SSE)
        c->mxcsr = MXCSR_INIT;
    if (rfbm & bv & XSTATE_SSE)
        get_xmm(c, image, n);
    else if (rfbm & XSTATE_SSE)
        init_xmm(c, n);
    if (rfbm & bv & XSTATE_AVX)
        get_ymm(c, image, n);
    else if (rfbm & XSTATE_AVX)
        init_ymm(c, n);
    NEXT;
}
FAM1(xsave, NULL, xsave)
FAM1(xsaveopt, NULL, xsaveopt)
FAM1(xsavec, NULL, xsavec)
FAM1(xrstor, NULL, xrstor)

/* --- XCR0 ------------------------------------------------------------ */

uint64_t sq_x86_xgetbv(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                       uint32_t ecx)
{
    uint32_t leaf[4];

    if (!(c->cr4 & CR4_OSXSAVE))
        sq_x86_ud(c, i);
    sq_x86_cpuid(c, 0xd, 1, leaf);
    if (ecx == 1 && leaf[0] & 4)
        return c->xcr0 & in_use(c);
    if (ecx != 0)
        sq_x86_gp(c, i, 0);
    return c->xcr0;
}

void sq_x86_xsetbv(struct sq_x86_cpu *c, const struct sq_x86_insn *i,
                   uint32_t ecx, uint64_t val)
{
    uint32_t leaf[4];

    if (!(c->cr4 & CR4_OSXSAVE))
        sq_x86_ud(c, i);
    sq_x86_cpuid(c, 0xd, 0, leaf);
    if (c->cpl != 0 || ecx != 0 || val & ~(uint64_t)leaf[0] ||
        !sq_x86_xcr0_valid(val))
        sq_x86_gp(c, i, 0);
    c->xcr0 = val;
}
