/* SPDX-License-Identifier: Apache-2.0 */
/* Hardware breakpoints. Source: SDM vol. 3, 17.2, 17.3 and 6.8.3. */
#include "conform.h"

#include "base/util.h"

/* The handler of #DB appends what it sees to a log, clears DR6 and sets the
 * flags at 0x20008 in what it returns to. */
#define LOG 0x30000u
#define SAW_NEXT CF_DATA
#define SET_FLAGS (CF_DATA + 8)
#define DR6_ONES 0xffff0ff0u
#define RF 0x10000u

static const uint8_t handler[] = {
    0x50,                          /* push rax */
    0x53,                          /* push rbx */
    0x8b, 0x1c, 0x25, 0x00, 0x00, 0x02, 0x00, /* mov ebx, dword ptr 0x20000 */
    0x0f, 0x21, 0xf0,              /* mov rax, dr6 */
    0x48, 0x89, 0x03,              /* mov qword ptr [rbx], rax */
    0x48, 0x8b, 0x44, 0x24, 0x10,  /* mov rax, qword ptr [rsp+0x10] */
    0x48, 0x89, 0x43, 0x08,        /* mov qword ptr [rbx+0x8], rax */
    0x48, 0x8b, 0x44, 0x24, 0x20,  /* mov rax, qword ptr [rsp+0x20] */
    0x48, 0x89, 0x43, 0x10,        /* mov qword ptr [rbx+0x10], rax */
    0x48, 0x89, 0x4b, 0x18,        /* mov qword ptr [rbx+0x18], rcx */
    0x83, 0xc3, 0x20,              /* add ebx, 0x20 */
    0x89, 0x1c, 0x25, 0x00, 0x00, 0x02, 0x00, /* mov dword ptr 0x20000, ebx */
    0x31, 0xc0,                    /* xor eax, eax */
    0x0f, 0x23, 0xf0,              /* mov dr6, rax */
    /* mov rax, qword ptr 0x20008 */
    0x48, 0x8b, 0x04, 0x25, 0x08, 0x00, 0x02, 0x00,
    0x48, 0x09, 0x44, 0x24, 0x20,  /* or qword ptr [rsp+0x20], rax */
    0x5b,                          /* pop rbx */
    0x58,                          /* pop rax */
    0x48, 0xcf,                    /* iretq */
};

/* What it saw. */
struct saw {
    uint32_t dr6; /* but for the bits that are always set */
    uint32_t rip; /* from CF_CODE */
    int32_t rcx;  /* or -1: any */
};

/* The machine with these breakpoints, before the first instruction. */
static void begin(struct cf *t, const uint64_t dr[4], uint32_t dr7,
                  const void *code, size_t len)
{
    struct squib_x86_64_state st = {0};
    struct squib_error e;

    cf_vm(t, 1, false, false);
    cf_use_4k_pages(t);
    cf_gate(t, 1, CF_CODE2, 0);
    CF_PUT(t, CF_CODE2, handler);
    cf_put64(t, SAW_NEXT, LOG);
    cf_put64(t, SET_FLAGS, RF);
    cf_long(t, code, len);
    cf_long_state(&st);
    st.cr4 |= 8; /* DE */
    st.dr6 = DR6_ONES;
    st.dr7 = dr7 | 0x400;
    memcpy(st.dr, dr, sizeof(st.dr));
    CF_OK(squib_vcpu_set_state(t->vcpu,
                               SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM, &st,
                               &e), e);
}
#define BEGIN(t, dr, dr7, code) begin(t, dr, dr7, code, sizeof(code))

/* `each` happened `times` times, and no more. */
static void check_log(struct cf *t, const struct saw *each, size_t n,
                      unsigned times)
{
    uint32_t at = LOG;

    for (size_t k = 0; k < n * times && at < cf_ram32(t, SAW_NEXT); k++) {
        const struct saw *s = &each[k % n];
        uint64_t dr6 = cf_ram64(t, at), rip = cf_ram64(t, at + 8);
        uint64_t flags = cf_ram64(t, at + 16), rcx = cf_ram64(t, at + 24);

        if (dr6 != (DR6_ONES | s->dr6) || rip != CF_CODE + s->rip ||
            (s->rcx >= 0 && rcx != (uint64_t)s->rcx))
            CF_FAIL("#DB %zu has DR6 %#llx, RIP %#llx, RCX %#llx", k,
                    (unsigned long long)dr6, (unsigned long long)rip,
                    (unsigned long long)rcx);
        CF_EQ(flags & RF, 0);
        at += 32;
    }
    CF_EQ((cf_ram32(t, SAW_NEXT) - LOG) / 32, n * times);
}
#define CHECK_LOG(t, each, times)                                          \
    check_log(t, each, SQ_ARRAY_LEN(each), times)

static const uint8_t fetch_code[] = {
    0xb9, 0x32, 0x00, 0x00, 0x00,  /* mov ecx, 0x32 */
    /* warm: */
    0xe8, 0x2f, 0x00, 0x00, 0x00,  /* call 39 <again> */
    0xe2, 0xf9,                    /* loop 5 <warm> */
    0xb8, 0x39, 0x00, 0x01, 0x00,  /* mov eax, 0x10039 */
    0x0f, 0x23, 0xc0,              /* mov dr0, rax */
    0x0f, 0x23, 0xd8,              /* mov dr3, rax */
    0xb8, 0xc3, 0x00, 0x00, 0x00,  /* mov eax, 0xc3 */
    0x0f, 0x23, 0xf8,              /* mov dr7, rax */
    0xb9, 0x03, 0x00, 0x00, 0x00,  /* mov ecx, 0x3 */
    /* hot: */
    0xe8, 0x10, 0x00, 0x00, 0x00,  /* call 39 <again> */
    0xe2, 0xf9,                    /* loop 24 <hot> */
    0x31, 0xc0,                    /* xor eax, eax */
    0x0f, 0x23, 0xf8,              /* mov dr7, rax */
    0xe8, 0x04, 0x00, 0x00, 0x00,  /* call 39 <again> */
    0xf4,                          /* hlt */
    0x90,                          /* nop */
    0x90,                          /* nop */
    0x90,                          /* nop */
    /* again: */
    0xff, 0xc6,                    /* inc esi */
    0xc3,                          /* ret */
};

/* Instruction breakpoints come and go in code that is warm. */
static void break_fetch(struct cf *t)
{
    static const struct saw saw[] = {{9, 0x39, -1}};

    BEGIN(t, ((uint64_t[4]){0}), 0, fetch_code);
    CF_HLT(t);
    CHECK_LOG(t, saw, 3);
    CF_EQ(cf_gpr(t, SQUIB_X86_RSI), 54);
}

static const uint8_t resume_code[] = {
    0xb8, 0x00, 0x20, 0x02, 0x00,  /* mov eax, 0x22000 */
    /* at: */
    0x8b, 0x18,                    /* mov ebx, dword ptr [rax] */
    0xff, 0xc2,                    /* inc edx */
    0xf4,                          /* hlt */
};
static const uint8_t pf_code[] = {
    0x48, 0x83, 0xc4, 0x08,        /* add rsp, 0x8 */
    0x50,                          /* push rax */
    0x48, 0x8b, 0x44, 0x24, 0x18,  /* mov rax, qword ptr [rsp+0x18] */
    /* mov qword ptr 0x20010, rax */
    0x48, 0x89, 0x04, 0x25, 0x10, 0x00, 0x02, 0x00,
    0x48, 0xc7, 0xc0, 0x07, 0x20, 0x02, 0x00, /* mov rax, 0x22007 */
    /* mov qword ptr 0xa110, rax */
    0x48, 0x89, 0x04, 0x25, 0x10, 0xa1, 0x00, 0x00,
    0x58,                          /* pop rax */
    0x48, 0xcf,                    /* iretq */
};

/* RF comes with the fault of the instruction, and lets it run again. */
static void break_resume(struct cf *t)
{
    static const struct saw saw[] = {{1, 5, -1}};

    BEGIN(t, ((uint64_t[4]){CF_CODE + 5}), 1, resume_code);
    cf_gate(t, 14, 0x14000, 0);
    CF_PUT(t, 0x14000, pf_code);
    cf_put64(t, CF_PT + 0x22 * 8, 0);
    CF_HLT(t);
    CHECK_LOG(t, saw, 1);
    CF_EQ(cf_ram64(t, CF_DATA + 0x10) & RF, RF);
    CF_EQ(cf_gpr(t, SQUIB_X86_RDX), 1);
}

static const uint8_t data_code[] = {
    0xb9, 0x14, 0x00, 0x00, 0x00,  /* mov ecx, 0x14 */
    /* again: */
    0x89, 0x04, 0x25, 0x02, 0x10, 0x02, 0x00, /* mov dword ptr 0x21002, eax */
    0x8b, 0x1c, 0x25, 0x04, 0x10, 0x02, 0x00, /* mov ebx, dword ptr 0x21004 */
    0x8a, 0x1c, 0x25, 0x17, 0x10, 0x02, 0x00, /* mov bl, byte ptr 0x21017 */
    0x8a, 0x1c, 0x25, 0x18, 0x10, 0x02, 0x00, /* mov bl, byte ptr 0x21018 */
    /* lock add dword ptr 0x21010, 0x1 */
    0xf0, 0x83, 0x04, 0x25, 0x10, 0x10, 0x02, 0x00, 0x01,
    /* cmpxchg dword ptr 0x21004, esi */
    0x0f, 0xb1, 0x34, 0x25, 0x04, 0x10, 0x02, 0x00,
    /* movups xmmword ptr 0x20ff8, xmm0 */
    0x0f, 0x11, 0x04, 0x25, 0xf8, 0x0f, 0x02, 0x00,
    0xff, 0x34, 0x25, 0x10, 0x10, 0x02, 0x00, /* push qword ptr 0x21010 */
    /* movzx ebx, word ptr 0x2101f */
    0x0f, 0xb7, 0x1c, 0x25, 0x1f, 0x10, 0x02, 0x00,
    /* add dword ptr 0x21014, 0x1 */
    0x83, 0x04, 0x25, 0x14, 0x10, 0x02, 0x00, 0x01,
    /* mov ax, word ptr 0x21022 */
    0x66, 0x8b, 0x04, 0x25, 0x22, 0x10, 0x02, 0x00,
    0x5b,                          /* pop rbx */
    0xff, 0xc9,                    /* dec ecx */
    0x75, 0xa7,                    /* jne 5 <again> */
    0xf4,                          /* hlt */
};

/* DR1: writes to 4 bytes; DR2: accesses to 8; DR3: accesses to 2. */
static void break_data(struct cf *t)
{
    static const struct saw saw[] = {
        {2, 0x0c, -1}, {4, 0x1a, -1}, {4, 0x2a, -1}, {2, 0x32, -1},
        {2, 0x3a, -1}, {4, 0x41, -1}, {8, 0x49, -1}, {4, 0x51, -1},
    };

    BEGIN(t, ((uint64_t[4]){0, 0x21004, 0x21010, 0x21020}), 0x7bd00054,
          data_code);
    CF_HLT(t);
    CHECK_LOG(t, saw, 20);
    CF_EQ(cf_ram64(t, 0x21010), 20ull << 32 | 20);
}

static const uint8_t string_code[] = {
    0xbf, 0x04, 0x10, 0x02, 0x00,  /* mov edi, 0x21004 */
    0xbe, 0x00, 0x18, 0x02, 0x00,  /* mov esi, 0x21800 */
    0xb9, 0x08, 0x00, 0x00, 0x00,  /* mov ecx, 0x8 */
    /* at_stos: */
    0xf3, 0xaa,                    /* rep stos byte ptr es:[rdi], al */
    0xbf, 0x02, 0x18, 0x02, 0x00,  /* mov edi, 0x21802 */
    0xb9, 0x08, 0x00, 0x00, 0x00,  /* mov ecx, 0x8 */
    /* at_movs: */
    0xf3, 0xa4,                    /* rep movsb */
    0x9c,                          /* pushf */
    0x81, 0x0c, 0x24, 0x00, 0x01, 0x00, 0x00, /* or dword ptr [rsp], 0x100 */
    0x9d,                          /* popf */
    0xb9, 0x03, 0x00, 0x00, 0x00,  /* mov ecx, 0x3 */
    /* at_scas: */
    0xf3, 0xae,                    /* repz scas al, byte ptr es:[rdi] */
    0x9c,                          /* pushf */
    /* and dword ptr [rsp], 0xfffffeff */
    0x81, 0x24, 0x24, 0xff, 0xfe, 0xff, 0xff,
    0x9d,                          /* popf */
    0x90,                          /* nop */
    0xf4,                          /* hlt */
};

/* Strings trap behind each turn that hits, and with TF behind each turn. */
static void break_string(struct cf *t)
{
    static const struct saw saw[] = {
        {2, 0x0f, 5}, {4, 0x1b, 2}, {4, 0x1d, 0}, {0x4000, 0x2b, 3},
        {0x4000, 0x2b, 2}, {0x4000, 0x2b, 1}, {0x4000, 0x2d, 0},
        {0x4000, 0x2e, 0}, {0x4000, 0x35, 0}, {0x4000, 0x36, 0},
    };

    BEGIN(t, ((uint64_t[4]){0, 0x21006, 0x21807}), 0x03100014, string_code);
    CF_HLT(t);
    CHECK_LOG(t, saw, 1);
}

static const uint8_t shadow_code[] = {
    0xb8, 0x10, 0x00, 0x00, 0x00,  /* mov eax, 0x10 */
    /* mov qword ptr 0x21010, rax */
    0x48, 0x89, 0x04, 0x25, 0x10, 0x10, 0x02, 0x00,
    0x8e, 0x14, 0x25, 0x10, 0x10, 0x02, 0x00, /* mov ss, word ptr 0x21010 */
    0x90,                          /* nop */
    0x90,                          /* nop */
    0x8e, 0x14, 0x25, 0x10, 0x10, 0x02, 0x00, /* mov ss, word ptr 0x21010 */
    0xcd, 0x20,                    /* int 0x20 */
    0x8e, 0x14, 0x25, 0x10, 0x10, 0x02, 0x00, /* mov ss, word ptr 0x21010 */
    0xf1,                          /* int1 */
    0xfb,                          /* sti */
    /* one: */
    0x90,                          /* nop */
    0x8e, 0xd0,                    /* mov ss, eax */
    /* two: */
    0x90,                          /* nop */
    0xf4,                          /* hlt */
};
static const uint8_t iret_code[] = {
    0x48, 0xcf,                    /* iretq */
};

/* What a load of SS hits waits for the next instruction, INT's handler and
 * INT1 too; and there is no instruction breakpoint behind it. */
static void break_shadow(struct cf *t)
{
    static const struct saw saw[] = {
        {4, 0x0d, -1}, {4, 0x15, -1}, {4, 0x4000, -1}, {4, 0x27, -1},
        {1, 0x28, -1},
    };

    BEGIN(t, ((uint64_t[4]){CF_CODE + 0x28, 0, 0x21010, CF_CODE + 0x2b}),
          0x07000051, shadow_code);
    cf_gate(t, 0x20, 0x14000, 0);
    CF_PUT(t, 0x14000, iret_code);
    CF_HLT(t);
    CHECK_LOG(t, saw, 1);
}

static const uint8_t ports_code[] = {
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xe4, 0xf6,                    /* in al, 0xf6 */
    0xe6, 0xf7,                    /* out 0xf7, al */
    0xe5, 0xf2,                    /* in eax, 0xf2 */
    0x0f, 0x20, 0xe0,              /* mov rax, cr4 */
    0x48, 0x83, 0xe0, 0xf7,        /* and rax, 0xfffffffffffffff7 */
    0x0f, 0x22, 0xe0,              /* mov cr4, rax */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
};

/* Ports count while CR4.DE is set. */
static void break_ports(struct cf *t)
{
    static const struct saw saw[] = {{1, 2, -1}, {2, 4, -1}, {2, 6, -1},
                                     {1, 8, -1}};

    BEGIN(t, ((uint64_t[4]){0xf4, 0xf6}), 0x00620005, ports_code);
    CF_OUT(t, 0xf4, 1, 0);
    CF_IN(t, 0xf6, 1, 0x55);
    CF_OUT(t, 0xf7, 1, 0x55);
    CF_IN(t, 0xf2, 4, 0);
    CF_KIND(t, SQUIB_EXIT_PIO);
    CF_HLT(t);
    CHECK_LOG(t, saw, 1);
}

const struct cf_test cf_tests_debug[] = {
    {"break_fetch", break_fetch, CF_BREAK},
    {"break_resume", break_resume, CF_BREAK},
    {"break_data", break_data, CF_BREAK},
    {"break_string", break_string, CF_BREAK},
    {"break_shadow", break_shadow, CF_BREAK},
    {"break_ports", break_ports, CF_BREAK},
    {NULL, NULL, 0},
};
