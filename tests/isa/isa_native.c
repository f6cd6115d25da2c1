/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "isa_native.h"

#if defined(__x86_64__) && defined(__linux__)

#include <asm/prctl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

/*
 * Theory of operation. isa_enter saves what the C ABI wants saved, loads the
 * whole register file from isa_in and jumps to the instruction. Behind the
 * instruction, and at every place that it may branch to, stands a jump
 * through a pointer in memory, which changes no register: each leads to a
 * different exit, so that the exit tells where execution went. Exits store
 * the register file in isa_out and return to C. A signal handler stores it
 * from the signal's frame instead and goes on at isa_abandon.
 */
extern struct isa_regs isa_in, isa_out;
extern uint64_t isa_host_rsp;
extern uint32_t isa_exit_taken;
struct isa_regs isa_in, isa_out;
uint64_t isa_host_rsp;
uint32_t isa_exit_taken;
extern uint32_t isa_has_ymm;
uint32_t isa_has_ymm;
_Static_assert(offsetof(struct isa_regs, ymmh) == 512 + 160, "in isa_enter");
extern const char isa_exit_table[], isa_abandon[];
void isa_enter(void);

#define EXITS (2 * ISA_PADS + 1) /* the last: no branch was taken */
#define EXIT_LEN 16
#define ALL_16 "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"

__asm__(
    ".text\n"
    ".p2align 4\n"
    "isa_enter:\n"
    "   push %rbx\n   push %rbp\n   push %r12\n   push %r13\n"
    "   push %r14\n   push %r15\n"
    "   mov %rsp, isa_host_rsp(%rip)\n"
    "   fxrstor64 isa_in(%rip)\n"
    "   cmpl $0, isa_has_ymm(%rip)\n"
    "   je 1f\n"
    ".irp ymm, " ALL_16 "\n"
    "   vinsertf128 $1, isa_in+512+160+16*\\ymm(%rip), "
    "%ymm\\ymm, %ymm\\ymm\n"
    ".endr\n"
    "1:\n"
    "   push isa_in+512+8*17(%rip)\n"
    "   popfq\n"
    "   mov isa_in+512+8*1(%rip), %rcx\n"
    "   mov isa_in+512+8*2(%rip), %rdx\n"
    "   mov isa_in+512+8*3(%rip), %rbx\n"
    "   mov isa_in+512+8*4(%rip), %rsp\n"
    "   mov isa_in+512+8*5(%rip), %rbp\n"
    "   mov isa_in+512+8*6(%rip), %rsi\n"
    "   mov isa_in+512+8*7(%rip), %rdi\n"
    "   mov isa_in+512+8*8(%rip), %r8\n"
    "   mov isa_in+512+8*9(%rip), %r9\n"
    "   mov isa_in+512+8*10(%rip), %r10\n"
    "   mov isa_in+512+8*11(%rip), %r11\n"
    "   mov isa_in+512+8*12(%rip), %r12\n"
    "   mov isa_in+512+8*13(%rip), %r13\n"
    "   mov isa_in+512+8*14(%rip), %r14\n"
    "   mov isa_in+512+8*15(%rip), %r15\n"
    "   mov isa_in+512+8*0(%rip), %rax\n"
    "   jmp *isa_in+512+8*16(%rip)\n"
    ".p2align 4\n"
    "isa_exit_table:\n"
    ".set exit_number, 0\n"
    ".rept 17\n"
    "   .p2align 4\n"
    "   movl $exit_number, isa_exit_taken(%rip)\n"
    "   jmp isa_exit_common\n"
    "   .set exit_number, exit_number + 1\n"
    ".endr\n"
    ".p2align 4\n"
    "isa_exit_common:\n"
    "   mov %rax, isa_out+512+8*0(%rip)\n"
    "   mov %rcx, isa_out+512+8*1(%rip)\n"
    "   mov %rdx, isa_out+512+8*2(%rip)\n"
    "   mov %rbx, isa_out+512+8*3(%rip)\n"
    "   mov %rsp, isa_out+512+8*4(%rip)\n"
    "   mov %rbp, isa_out+512+8*5(%rip)\n"
    "   mov %rsi, isa_out+512+8*6(%rip)\n"
    "   mov %rdi, isa_out+512+8*7(%rip)\n"
    "   mov %r8, isa_out+512+8*8(%rip)\n"
    "   mov %r9, isa_out+512+8*9(%rip)\n"
    "   mov %r10, isa_out+512+8*10(%rip)\n"
    "   mov %r11, isa_out+512+8*11(%rip)\n"
    "   mov %r12, isa_out+512+8*12(%rip)\n"
    "   mov %r13, isa_out+512+8*13(%rip)\n"
    "   mov %r14, isa_out+512+8*14(%rip)\n"
    "   mov %r15, isa_out+512+8*15(%rip)\n"
    "   mov isa_host_rsp(%rip), %rsp\n"
    "   pushfq\n"
    "   pop isa_out+512+8*17(%rip)\n"
    "   fxsave64 isa_out(%rip)\n"
    "   cmpl $0, isa_has_ymm(%rip)\n"
    "   je isa_abandon\n"
    ".irp ymm, " ALL_16 "\n"
    "   vextractf128 $1, %ymm\\ymm, isa_out+512+160+16*\\ymm(%rip)\n"
    ".endr\n"
    "isa_abandon:\n"
    "   mov isa_host_rsp(%rip), %rsp\n"
    "   push $0x202\n"
    "   popfq\n"
    "   fninit\n"
    "   push $0x1f80\n"
    "   ldmxcsr (%rsp)\n"
    "   pop %rax\n"
    "   pop %r15\n   pop %r14\n   pop %r13\n   pop %r12\n"
    "   pop %rbp\n   pop %rbx\n"
    "   ret\n"
    ".type isa_enter, @function\n");

/* Upper halves of the YMM registers in a signal's frame: behind the image of
 * FXSAVE comes that of XSAVE, if its marks say so. */
static void frame_ymmh(const uint8_t *image)
{
    const uint32_t magic = 0x46505853; /* FP_XSTATE_MAGIC1 */
    uint64_t bv;

    memset(isa_out.ymmh, 0, sizeof(isa_out.ymmh));
    if (!isa_has_ymm || memcmp(image + 464, &magic, 4))
        return;
    memcpy(&bv, image + 512, 8);
    if (bv & 4)
        memcpy(isa_out.ymmh, image + 576, sizeof(isa_out.ymmh));
}

bool isa_native_has_ymm(void)
{
    return isa_has_ymm;
}

static uint64_t fs_base;
static volatile sig_atomic_t inside; /* isa_enter */

/* The instruction raised an exception. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
    static const int reg[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP,
                                REG_RBP, REG_RSI, REG_RDI, REG_R8,  REG_R9,
                                REG_R10, REG_R11, REG_R12, REG_R13, REG_R14,
                                REG_R15};
    ucontext_t *u = context;
    greg_t *g = u->uc_mcontext.gregs;

    (void)info;
    if (!inside) {
        signal(sig, SIG_DFL); /* the test's own fault */
        return;
    }
    for (unsigned k = 0; k < 16; k++)
        isa_out.gpr[k] = (uint64_t)g[reg[k]];
    isa_out.rip = (uint64_t)g[REG_RIP];
    isa_out.rflags = (uint64_t)g[REG_EFL];
    isa_out.vector = (int)g[REG_TRAPNO];
    isa_out.error = (uint32_t)g[REG_ERR];
    isa_out.cr2 = (uint64_t)g[REG_CR2];
    memcpy(&isa_out.fx, u->uc_mcontext.fpregs, sizeof(isa_out.fx));
    frame_ymmh((const uint8_t *)u->uc_mcontext.fpregs);
    g[REG_RIP] = (greg_t)(uintptr_t)isa_abandon;
    g[REG_EFL] = 0x202;
}

static bool map_at(uint64_t where, uint64_t len, int prot)
{
    void *want = (void *)(uintptr_t)where;

    return mmap(want, len, prot,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                0) == want;
}

/* All within reach of an 8-bit displacement. */
uint64_t isa_native_pad(unsigned slot, unsigned k)
{
    uint64_t base = ISA_CODE + (uint64_t)slot * ISA_SLOT_LEN;

    return base + (k < ISA_PADS ? 20 + k * 10 : 150 + (k - ISA_PADS) * 10);
}

uint64_t isa_native_place(unsigned slot, unsigned shift)
{
    return ISA_CODE + (uint64_t)slot * ISA_SLOT_LEN + 112 + (shift & 7);
}

static uint64_t exit_pointer(unsigned k)
{
    return ISA_CODE + ISA_SLOTS * ISA_SLOT_LEN + 8ull * k;
}

/* jmp *pointer(%rip) */
static void write_exit(uint64_t where, unsigned k)
{
    uint8_t *p = (uint8_t *)(uintptr_t)where;
    int32_t disp = (int32_t)(exit_pointer(k) - (where + 6));

    p[0] = 0xff;
    p[1] = 0x25;
    memcpy(p + 2, &disp, 4);
}

static bool install_handlers(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct sigaction sa = {.sa_sigaction = on_signal,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK};
    stack_t ss = {.ss_size = 256 << 10};

    ss.ss_sp = mmap(NULL, ss.ss_size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ss.ss_sp == MAP_FAILED || sigaltstack(&ss, NULL))
        return false;
    for (unsigned k = 0; k < sizeof(signals) / sizeof(signals[0]); k++)
        if (sigaction(signals[k], &sa, NULL))
            return false;
    return true;
}

bool isa_native_init(const char **why)
{
    const uint64_t code_len = ISA_SLOTS * ISA_SLOT_LEN + 4096;

    isa_has_ymm = __builtin_cpu_supports("avx2") != 0;
    *why = "fixed addresses below 2 GiB are not free";
    if (!map_at(ISA_ARENA - 4096, 4096, PROT_NONE) ||
        !map_at(ISA_ARENA, ISA_ARENA_LEN, PROT_READ | PROT_WRITE) ||
        !map_at(ISA_ARENA + ISA_ARENA_LEN, 4096, PROT_NONE))
        return false;
    if (!map_at(ISA_CODE, code_len, PROT_READ | PROT_WRITE | PROT_EXEC)) {
        *why = "no memory that is writable and executable";
        return false;
    }
    *why = "signal handlers cannot be installed";
    if (!install_handlers())
        return false;
    *why = "arch_prctl() is refused";
    if (syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_base) ||
        syscall(SYS_arch_prctl, ARCH_SET_GS, ISA_GS_BASE))
        return false;
    memset((void *)(uintptr_t)ISA_CODE, 0xcc, code_len);
    for (unsigned k = 0; k < EXITS; k++) {
        const char *to = isa_exit_table + k * EXIT_LEN;

        memcpy((void *)(uintptr_t)exit_pointer(k), &to, sizeof(to));
    }
    for (unsigned s = 0; s < ISA_SLOTS; s++)
        for (unsigned k = 0; k < 2 * ISA_PADS; k++)
            write_exit(isa_native_pad(s, k), k);
    return true;
}

void isa_native_write(uint64_t where, const uint8_t *bytes, unsigned len)
{
    memcpy((void *)(uintptr_t)where, bytes, len);
    write_exit(where + len, EXITS - 1);
}

void isa_native_run(const struct isa_regs *in, struct isa_regs *out,
                    unsigned slot, unsigned len)
{
    memcpy(&isa_in, in, sizeof(isa_in));
    isa_out.vector = -1;
    isa_out.error = 0;
    isa_out.cr2 = 0;
    inside = 1;
    isa_enter();
    inside = 0;
    memcpy(out, &isa_out, sizeof(*out));
    if (out->vector < 0)
        out->rip = isa_exit_taken == EXITS - 1
                       ? in->rip + len
                       : isa_native_pad(slot, isa_exit_taken);
}

uint64_t isa_native_fs_base(void)
{
    return fs_base;
}

void isa_native_selectors(uint16_t sel[6])
{
    __asm__ volatile("mov %%es, %0" : "=r"(sel[0]));
    __asm__ volatile("mov %%cs, %0" : "=r"(sel[1]));
    __asm__ volatile("mov %%ss, %0" : "=r"(sel[2]));
    __asm__ volatile("mov %%ds, %0" : "=r"(sel[3]));
    __asm__ volatile("mov %%fs, %0" : "=r"(sel[4]));
    __asm__ volatile("mov %%gs, %0" : "=r"(sel[5]));
}

#else

bool isa_native_init(const char **why)
{
    *why = "the host is not x86-64 Linux";
    return false;
}

#endif
