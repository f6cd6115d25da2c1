/* SPDX-License-Identifier: Apache-2.0 */
/* Architectural state, CPUID, and what a guest sees of the hypervisor. */
#define _GNU_SOURCE
#include "conform.h"

#include <time.h>

#include "base/util.h"

#define BASICS (SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM)

static void get(struct cf *t, uint32_t parts, struct squib_x86_64_state *st)
{
    struct squib_error e;

    CF_OK(squib_vcpu_get_state(t->vcpu, parts, st, &e), e);
}

static void set(struct cf *t, uint32_t parts,
                const struct squib_x86_64_state *st)
{
    struct squib_error e;

    CF_OK(squib_vcpu_set_state(t->vcpu, parts, st, &e), e);
}

/* What is set comes back, and setting what came back changes nothing. */
static void state_roundtrip(struct cf *t)
{
    static struct squib_x86_64_state a, b, c;

    cf_vm(t, 1, true, false);
    cf_long_state(&a);
    for (unsigned i = 0; i < 16; i++)
        a.gpr[i] = 0x0101010101010101ull * i;
    a.rflags = 0x246;
    a.cr2 = 0x123456789a;
    a.cr8 = 3;
    a.dr[0] = 0x1000;
    a.dr[3] = 0x4000;
    a.seg[SQUIB_X86_FS].base = 0x7f0000001000;
    a.seg[SQUIB_X86_GS].base = 0xffff800000002000;
    set(t, BASICS, &a);
    get(t, SQUIB_STATE_ALL, &b);
    CF_CHECK(memcmp(a.gpr, b.gpr, sizeof(a.gpr)) == 0);
    CF_EQ(b.rip, a.rip);
    CF_EQ(b.rflags, a.rflags);
    for (unsigned i = 0; i < SQUIB_X86_SEG_COUNT; i++) {
        if (a.seg[i].attr & SQUIB_X86_ATTR_UNUSABLE)
            continue;
        CF_EQ(b.seg[i].selector, a.seg[i].selector);
        CF_EQ(b.seg[i].base, a.seg[i].base);
        CF_EQ(b.seg[i].limit, a.seg[i].limit);
        CF_EQ(b.seg[i].attr, a.seg[i].attr);
    }
    CF_EQ(b.gdt.base, a.gdt.base);
    CF_EQ(b.idt.limit, a.idt.limit);
    CF_EQ(b.cr0, a.cr0);
    CF_EQ(b.cr2, a.cr2);
    CF_EQ(b.cr3, a.cr3);
    CF_EQ(b.cr4, a.cr4);
    CF_EQ(b.cr8, a.cr8);
    CF_EQ(b.efer, a.efer);
    CF_EQ(b.dr[3], a.dr[3]);
    CF_EQ(b.dr7, a.dr7);
    CF_EQ(b.run_state, SQUIB_X86_RUNNABLE);
    CF_CHECK(b.msr_count > 0);
    set(t, SQUIB_STATE_ALL, &b);
    get(t, SQUIB_STATE_ALL, &c);
    CF_CHECK(memcmp(b.gpr, c.gpr, sizeof(b.gpr)) == 0);
    CF_CHECK(memcmp(b.seg, c.seg, sizeof(b.seg)) == 0);
    CF_CHECK(memcmp(b.xsave, c.xsave, 512) == 0);
    CF_EQ(b.xcr0, c.xcr0);
    CF_EQ(b.msr_count, c.msr_count);
}

/* Only the parts that were named are touched. */
static void state_parts(struct cf *t)
{
    static struct squib_x86_64_state st, back;

    cf_vm(t, 1, false, false);
    cf_long_state(&st);
    st.gpr[SQUIB_X86_RBX] = 5;
    set(t, BASICS, &st);
    st.gpr[SQUIB_X86_RBX] = 6;
    st.cr2 = 0x99;
    set(t, SQUIB_STATE_SYSTEM, &st);
    memset(&back, 0xee, sizeof(back));
    get(t, SQUIB_STATE_REGS, &back);
    CF_EQ(back.gpr[SQUIB_X86_RBX], 5);
    CF_EQ(back.cr2, 0xeeeeeeeeeeeeeeeeull);
    get(t, SQUIB_STATE_SYSTEM, &back);
    CF_EQ(back.cr2, 0x99);
}

#define REFUSED(change)                                                    \
    do {                                                                   \
        struct squib_x86_64_state st = {0};                                \
        struct squib_error e = {0};                                        \
        cf_long_state(&st);                                                \
        change;                                                            \
        if (squib_vcpu_set_state(t->vcpu, BASICS, &st, &e) == 0)           \
            CF_FAIL("accepted: %s", #change);                              \
        CF_EQ(e.code, SQUIB_E_INVAL);                                      \
        CF_CHECK(e.text[0]);                                               \
    } while (0)

static void state_refused(struct cf *t)
{
    struct squib_x86_64_state st = {0};
    struct squib_error e = {0};

    cf_vm(t, 1, false, false);
    REFUSED(st.cr0 &= ~1ull);            /* paging without protection */
    REFUSED(st.cr0 |= 1ull << 40);
    REFUSED(st.cr0 |= 1u << 29);         /* NW without CD */
    REFUSED(st.efer &= ~0x400ull);       /* LMA does not follow */
    REFUSED(st.efer &= ~0x100ull);
    REFUSED(st.cr4 &= ~0x20ull);         /* long mode without PAE */
    REFUSED(st.xcr0 = 0);
    REFUSED(st.xcr0 = 5);                /* AVX without SSE */
    REFUSED(st.cr8 = 16);
    st.run_state = 77;
    CF_EQ(squib_vcpu_set_state(t->vcpu, SQUIB_STATE_EVENTS, &st, &e),
          SQUIB_E_INVAL);
    st.run_state = SQUIB_X86_RUNNABLE;
    st.exc_pending = 1;
    st.exc_vector = 0x40;
    CF_EQ(squib_vcpu_set_state(t->vcpu, SQUIB_STATE_EVENTS, &st, &e),
          SQUIB_E_INVAL);
    st.msr_count = SQUIB_X86_MSR_MAX + 1;
    CF_EQ(squib_vcpu_set_state(t->vcpu, SQUIB_STATE_MSRS, &st, &e),
          SQUIB_E_INVAL);
}

/* --- moving ---------------------------------------------------------- */

static const uint8_t move_code[] = {
    0xbf, 0x00, 0x00, 0x02, 0x00,  /* mov edi, 0x20000 */
    0x0f, 0x10, 0x0f,              /* movups xmm1, [rdi] */
    0xb9, 0x82, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000082: LSTAR */
    0xb8, 0xef, 0xcd, 0xab, 0x89,  /* mov eax, 0x89abcdef */
    0xba, 0xff, 0x7f, 0x00, 0x00,  /* mov edx, 0x7fff */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x02, 0x01, 0x00, 0xc0,  /* mov ecx, 0xc0000102: KERNEL_GS_BASE */
    0xb8, 0x44, 0x33, 0x22, 0x11,  /* mov eax, 0x11223344 */
    0xba, 0x66, 0x55, 0x00, 0x00,  /* mov edx, 0x5566 */
    0x0f, 0x30,                    /* wrmsr */
    0xb9, 0x77, 0x02, 0x00, 0x00,  /* mov ecx, 0x277: PAT */
    0xb8, 0x06, 0x04, 0x07, 0x00,  /* mov eax, 0x00070406 */
    0xba, 0x06, 0x04, 0x07, 0x00,  /* mov edx, 0x00070406 */
    0x0f, 0x30,                    /* wrmsr */
    /* mov r12, 0x1122334455667788 */
    0x49, 0xbc, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
    0x41, 0x54,                    /* push r12 */
    0xfd,                          /* std */
    0xf9,                          /* stc */
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    0x0f, 0x92, 0xc3,              /* setc bl */
    0x9c,                          /* pushfq */
    0x58,                          /* pop rax */
    0xc1, 0xe8, 0x0a,              /* shr eax, 10 */
    0x24, 0x01,                    /* and al, 1: DF */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0x88, 0xd8,                    /* mov al, bl */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xfc,                          /* cld */
    0x58,                          /* pop rax */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0x4c, 0x89, 0xe0,              /* mov rax, r12 */
    0x48, 0xc1, 0xe8, 0x20,        /* shr rax, 32 */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0x0f, 0x11, 0x4f, 0x10,        /* movups [rdi+16], xmm1 */
    0xb9, 0x82, 0x00, 0x00, 0xc0,  /* mov ecx, 0xc0000082 */
    0x0f, 0x32,                    /* rdmsr */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0xb9, 0x02, 0x01, 0x00, 0xc0,  /* mov ecx, 0xc0000102 */
    0x0f, 0x32,                    /* rdmsr */
    0x89, 0xd0,                    /* mov eax, edx */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0xb9, 0x77, 0x02, 0x00, 0x00,  /* mov ecx, 0x277 */
    0x0f, 0x32,                    /* rdmsr */
    0xe7, 0xf4,                    /* out 0xf4, eax */
    0xf4,                          /* hlt */
};

/* Everything of a stopped guest, as one may write it to a file. */
static struct squib_x86_64_state moved;
static uint8_t moved_low[CF_HOLE], moved_high[CF_RAM_END - CF_HIGH_RAM];

/* Continues the guest of t in a second VM. */
static void move(struct cf *t, bool irqchip)
{
    struct squib_error e;

    get(t, SQUIB_STATE_ALL, &moved);
    CF_OK(squib_memory_read(t->mem, 0, moved_low, sizeof(moved_low), &e), e);
    CF_OK(squib_memory_read(t->mem, CF_HIGH_RAM, moved_high,
                            sizeof(moved_high), &e), e);
    cf_free(t);
    cf_vm(t, 1, irqchip, false);
    CF_PUT(t, 0, moved_low);
    CF_PUT(t, CF_HIGH_RAM, moved_high);
    set(t, SQUIB_STATE_ALL, &moved);
}

static void state_moves(struct cf *t)
{
    static const uint8_t in[16] = {1, 2, 3, 4, 5, 6, 7, 8,
                                   9, 10, 11, 12, 13, 14, 15, 16};

    cf_vm(t, 1, true, false);
    CF_PUT(t, CF_DATA, in);
    CF_LONG(t, move_code);
    CF_OUT(t, 0xf0, 1, 1);
    move(t, true);
    CF_OUT(t, 0xf4, 1, 1);
    CF_OUT(t, 0xf4, 1, 1);
    CF_OUT(t, 0xf4, 4, 0x55667788);
    CF_OUT(t, 0xf4, 4, 0x11223344);
    CF_OUT(t, 0xf4, 4, 0x89abcdef);
    CF_OUT(t, 0xf4, 4, 0x5566);
    CF_OUT(t, 0xf4, 4, 0x00070406);
    CF_CHECK(memcmp(cf_ram(t, CF_DATA + 16), in, sizeof(in)) == 0);
}

static const uint8_t pending_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    0xb0, 0x02,                    /* mov al, 2 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    0xfb,                          /* sti */
    0x90,                          /* nop */
    0xb0, 0x03,                    /* mov al, 3 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    0xf4,                          /* hlt */
};
static const uint8_t pending_handler[] = {
    0xb0, 0x41,                    /* mov al, 0x41 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xbf, 0xb0, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee000b0 */
    0xc7, 0x07, 0x00, 0x00, 0x00, 0x00, /* mov dword ptr [rdi], 0 */
    0x48, 0xcf,                    /* iretq */
};

/* An interrupt that waits for IF moves along, and comes once. */
static void state_moves_irq(struct cf *t)
{
    struct squib_error e;

    cf_vm(t, 1, true, false);
    CF_PUT(t, 0x14000, pending_handler);
    cf_gate(t, 0x41, 0x14000, 0);
    CF_LONG(t, pending_code);
    CF_OUT(t, 0xf0, 1, 1);
    CF_OK(squib_vm_msi(t->vm, 0xfee00000, 0x41, &e), e);
    CF_OUT(t, 0xf0, 1, 2);
    move(t, true);
    CF_EQ(sq_ld32(moved.lapic + 0x220), 2); /* IRR */
    CF_OUT(t, 0xf4, 1, 0x41);
    CF_OUT(t, 0xf0, 1, 3);
}

static const uint8_t deliver_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xfb,                          /* sti */
    0xb0, 0x01,                    /* mov al, 1 */
    0xe6, 0xf0,                    /* out 0xf0, al */
    /* spin: */
    0x48, 0xff, 0xc3,              /* inc rbx */
    0xeb, 0xfb,                    /* jmp spin */
};

/* An interrupt raised just as the vCPU is canceled is not lost, wherever in
 * its delivery it was caught. */
static void state_moves_irq_in_delivery(struct cf *t)
{
    for (int i = 0; i < 10; i++) {
        struct squib_error e;

        cf_vm(t, 1, true, false);
        CF_PUT(t, 0x14000, pending_handler);
        cf_gate(t, 0x41, 0x14000, 0);
        CF_LONG(t, deliver_code);
        CF_OUT(t, 0xf0, 1, 1);
        CF_OK(squib_vm_msi(t->vm, 0xfee00000, 0x41, &e), e);
        squib_vcpu_cancel(t->vcpu);
        CF_KIND(t, SQUIB_EXIT_CANCELED);
        move(t, true);
        CF_OUT(t, 0xf4, 1, 0x41);
        cf_free(t);
    }
}

static const uint8_t halted_code[] = {
    0xbf, 0x00, 0x00, 0xe0, 0xfe,  /* mov edi, 0xfee00000 */
    /* mov dword ptr [rdi+0xf0], 0x1ff */
    0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xfb,                          /* sti */
    0xf4,                          /* hlt */
    0xb0, 0x03,                    /* mov al, 3 */
    0xe6, 0xf0,                    /* out 0xf0, al */
};

/* A sleeping vCPU moves, sleeps on, and wakes. */
static void state_moves_halted(struct cf *t)
{
    struct squib_error e;

    cf_vm(t, 1, true, false);
    CF_PUT(t, 0x14000, pending_handler);
    cf_gate(t, 0x41, 0x14000, 0);
    CF_LONG(t, halted_code);
    cf_cancel_after(t->vcpu, 30);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    move(t, true);
    CF_EQ(moved.run_state, SQUIB_X86_HALTED);
    cf_cancel_after(t->vcpu, 30);
    CF_KIND(t, SQUIB_EXIT_CANCELED);
    CF_OK(squib_vm_msi(t->vm, 0xfee00000, 0x41, &e), e);
    CF_OUT(t, 0xf4, 1, 0x41);
    CF_OUT(t, 0xf0, 1, 3);
}

static const uint8_t nop_code[] = {
    0x90,                          /* nop */
    0x90,                          /* nop */
    0xf4,                          /* hlt */
};

static void state_pending_events(struct cf *t)
{
    struct squib_x86_64_state st = {0};

    cf_vm(t, 1, false, false);
    CF_LONG(t, nop_code);
    st.exc_pending = 1;
    st.exc_vector = 13;
    st.exc_has_error = 1;
    st.exc_error = 0x10;
    set(t, SQUIB_STATE_EVENTS, &st);
    CF_EXCEPTION(t, 13, 0x10, 0, 0);
    CF_HLT(t);
    CF_LONG(t, nop_code);
    memset(&st, 0, sizeof(st));
    st.nmi_pending = 1;
    set(t, SQUIB_STATE_EVENTS, &st);
    CF_OUT(t, CF_PORT_VECTOR, 4, 2);
    get(t, SQUIB_STATE_EVENTS, &st);
    CF_EQ(st.nmi_pending, 0);
    CF_EQ(st.nmi_blocked, 1);
    CF_EQ(st.exc_pending, 0);
}

/* --- CPUID and the hypervisor's face --------------------------------- */

static const uint8_t cpuid_code[] = {
    0x8b, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, /* mov eax, [0x20000] */
    0x8b, 0x0c, 0x25, 0x04, 0x00, 0x02, 0x00, /* mov ecx, [0x20004] */
    0x0f, 0xa2,                    /* cpuid */
    0x89, 0x04, 0x25, 0x10, 0x00, 0x02, 0x00, /* mov [0x20010], eax */
    0x89, 0x1c, 0x25, 0x14, 0x00, 0x02, 0x00, /* mov [0x20014], ebx */
    0x89, 0x0c, 0x25, 0x18, 0x00, 0x02, 0x00, /* mov [0x20018], ecx */
    0x89, 0x14, 0x25, 0x1c, 0x00, 0x02, 0x00, /* mov [0x2001c], edx */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

static void guest_cpuid(struct cf *t, uint32_t leaf, uint32_t subleaf,
                        uint32_t out[4])
{
    cf_put64(t, CF_DATA, leaf | (uint64_t)subleaf << 32);
    CF_LONG(t, cpuid_code);
    CF_KIND(t, SQUIB_EXIT_PIO);
    for (uint32_t i = 0; i < 4; i++)
        out[i] = cf_ram32(t, CF_DATA + 0x10 + i * 4);
}

static void cpuid_default(struct cf *t)
{
    uint32_t r[4];

    cf_vm(t, 1, true, false);
    guest_cpuid(t, 1, 0, r);
    CF_CHECK(r[2] >> 31 & 1); /* hypervisor */
    CF_CHECK(r[2] >> 21 & 1); /* x2APIC */
    CF_CHECK(r[2] >> 24 & 1); /* TSC deadline */
    CF_EQ(r[1] >> 24, 0);     /* APIC ID */
    CF_CHECK(r[3] & 1);       /* x87 */
    guest_cpuid(t, 0x80000001, 0, r);
    CF_CHECK(r[3] >> 29 & 1); /* long mode */
}

static void cpuid_set(struct cf *t)
{
    struct squib_x86_cpuid leaf[SQUIB_X86_CPUID_MAX];
    struct squib_error e;
    size_t n = SQ_ARRAY_LEN(leaf);
    uint32_t r[4];

    CF_OK(squib_backend_cpuid(t->be, leaf, &n, &e), e);
    for (size_t i = 0; i < n; i++) {
        if (leaf[i].leaf == 0) {
            leaf[i].ebx = 0x69757153; /* "SquibTestCPU" */
            leaf[i].edx = 0x73655462;
            leaf[i].ecx = 0x55504374;
        }
        if (leaf[i].leaf == 1)
            leaf[i].eax = 0x12345;
    }
    cf_vm(t, 1, false, false);
    CF_OK(squib_vcpu_set_cpuid(t->vcpu, leaf, n, &e), e);
    guest_cpuid(t, 0, 0, r);
    CF_EQ(r[1], 0x69757153);
    CF_EQ(r[3], 0x73655462);
    CF_EQ(r[2], 0x55504374);
    guest_cpuid(t, 1, 0, r);
    CF_EQ(r[0], 0x12345);
}

static void cpuid_room(struct cf *t)
{
    struct squib_x86_cpuid leaf[SQUIB_X86_CPUID_MAX];
    struct squib_error e;
    size_t n = 1;

    CF_EQ(squib_backend_cpuid(t->be, leaf, &n, &e), SQUIB_E_RANGE);
    n = SQ_ARRAY_LEN(leaf);
    CF_OK(squib_backend_cpuid(t->be, leaf, &n, &e), e);
    CF_CHECK(n > 1 && n <= SQ_ARRAY_LEN(leaf));
}

static const uint8_t hypercall_code[] = {
    0xb8, 0x34, 0x12, 0x00, 0x00,  /* mov eax, 0x1234 */
    0xbb, 0x01, 0x00, 0x00, 0x00,  /* mov ebx, 1 */
    0xb9, 0x02, 0x00, 0x00, 0x00,  /* mov ecx, 2 */
    0x0f, 0x01, 0xc1,              /* vmcall */
    0xf4,                          /* hlt */
};

/* The backend says ENOSYS itself, or the caller does. */
static void hypercall_unknown(struct cf *t)
{
    struct squib_exit *e;

    cf_vm(t, 1, true, false);
    CF_LONG(t, hypercall_code);
    cf_cancel_after(t->vcpu, 500);
    e = cf_run(t);
    if (e->kind == SQUIB_EXIT_HYPERCALL) {
        CF_EQ(e->hypercall.function, 0x1234);
        CF_EQ(e->hypercall.args[0], 1);
        CF_EQ(e->hypercall.args[1], 2);
        e->hypercall.ret = (uint64_t)-1000;
        e = cf_run(t);
    }
    CF_CHECK(e->kind == SQUIB_EXIT_CANCELED); /* asleep in HLT */
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), (uint64_t)-1000);
}

static const uint8_t clock_code[] = {
    0xb9, 0x01, 0x4d, 0x56, 0x4b,  /* mov ecx, 0x4b564d01 */
    /* mov eax, 0x21001: the page at 0x21000, enable */
    0xb8, 0x01, 0x10, 0x02, 0x00,
    0x31, 0xd2,                    /* xor edx, edx */
    0x0f, 0x30,                    /* wrmsr */
    /* again: */
    0x8b, 0x04, 0x25, 0x00, 0x10, 0x02, 0x00, /* mov eax, [0x21000]: version */
    0xa8, 0x01,                    /* test al, 1 */
    0x75, 0xf5,                    /* jnz again */
    0x0f, 0x31,                    /* rdtsc */
    0x48, 0xc1, 0xe2, 0x20,        /* shl rdx, 32 */
    0x48, 0x09, 0xd0,              /* or rax, rdx */
    0x48, 0x2b, 0x04, 0x25, 0x08, 0x10, 0x02, 0x00, /* sub rax, [0x21008] */
    0x8a, 0x0c, 0x25, 0x1c, 0x10, 0x02, 0x00, /* mov cl, [0x2101c]: shift */
    0x84, 0xc9,                    /* test cl, cl */
    0x78, 0x05,                    /* js right */
    0x48, 0xd3, 0xe0,              /* shl rax, cl */
    0xeb, 0x05,                    /* jmp scaled */
    /* right: */
    0xf6, 0xd9,                    /* neg cl */
    0x48, 0xd3, 0xe8,              /* shr rax, cl */
    /* scaled: */
    /* mov ebx, [0x21018]: multiplier */
    0x8b, 0x1c, 0x25, 0x18, 0x10, 0x02, 0x00,
    0x48, 0xf7, 0xe3,              /* mul rbx */
    0x48, 0x0f, 0xac, 0xd0, 0x20,  /* shrd rax, rdx, 32 */
    0x48, 0x03, 0x04, 0x25, 0x10, 0x10, 0x02, 0x00, /* add rax, [0x21010] */
    0x48, 0x89, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, /* mov [0x20000], rax */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xeb, 0xac,                    /* jmp again */
};

/* KVM's clock page: nanoseconds that go on as the host's do. */
static void kvm_clock(struct cf *t)
{
    const struct timespec pause = {0, 50000000};
    uint64_t first, second;
    uint32_t r[4];

    cf_vm(t, 1, true, false);
    guest_cpuid(t, 0x40000000, 0, r);
    CF_EQ(r[1], 0x4b4d564b); /* "KVMKVMKVM" */
    CF_EQ(r[2], 0x564b4d56);
    CF_EQ(r[3], 0x4d);
    guest_cpuid(t, 0x40000001, 0, r);
    CF_CHECK(r[0] >> 3 & 1); /* the clock at this MSR */
    CF_LONG(t, clock_code);
    CF_KIND(t, SQUIB_EXIT_PIO);
    first = cf_ram64(t, CF_DATA);
    nanosleep(&pause, NULL);
    CF_KIND(t, SQUIB_EXIT_PIO);
    second = cf_ram64(t, CF_DATA);
    CF_CHECK(second > first);
    CF_CHECK(second - first > 40000000);
    CF_CHECK(second - first < 5000000000);
}

const struct cf_test cf_tests_state[] = {
    {"state_roundtrip", state_roundtrip, CF_EXEC | CF_IRQ},
    {"state_parts", state_parts, 0},
    {"state_refused", state_refused, CF_EXEC},
    {"state_moves", state_moves, CF_EXEC | CF_IRQ},
    {"state_moves_irq", state_moves_irq, CF_EXEC | CF_IRQ | CF_PROMPT},
    {"state_moves_irq_in_delivery", state_moves_irq_in_delivery,
     CF_EXEC | CF_IRQ},
    {"state_moves_halted", state_moves_halted, CF_EXEC | CF_IRQ},
    {"state_pending_events", state_pending_events, CF_EXEC},
    {"cpuid_default", cpuid_default, CF_EXEC | CF_IRQ},
    {"cpuid_set", cpuid_set, CF_EXEC},
    {"cpuid_room", cpuid_room, 0},
    {"hypercall_unknown", hypercall_unknown,
     CF_EXEC | CF_HYPERCALL | CF_IRQ},
    {"kvm_clock", kvm_clock, CF_EXEC | CF_IRQ},
    {0},
};
