/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite: one set of test bodies for every backend.
 *
 * A test is a function that makes a VM, puts a few bytes of guest code into
 * it, and says which exits it must see. Each test runs in a process of its
 * own with a time limit, so it may give up anywhere (CF_CHECK, cf_skip) and
 * frees nothing.
 */
#ifndef CF_CONFORM_H
#define CF_CONFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <squib/squib.h>

#include "core/backend.h"

/* --- the guest's memory ---------------------------------------------- */

/* RAM is [0, CF_HOLE) and [CF_HIGH_RAM, CF_RAM_END). Addresses are written
 * out as numbers in the guest code; these are their names. */
#define CF_HOLE 0xa0000u      /* 384 KiB that real mode can reach */
#define CF_HIGH_RAM 0x100000u
#define CF_RAM_END 0x200000u
#define CF_MMIO 0xd0000000u   /* no RAM there either */

#define CF_GDT 0x1000u
#define CF_TSS 0x1800u
#define CF_IDT 0x2000u        /* 256 gates of 16 bytes */
#define CF_PML4 0x4000u
#define CF_PDPT 0x5000u
#define CF_PD 0x6000u         /* four: 4 GiB one to one in 2 MiB pages */
#define CF_PT 0xa000u         /* of 0..2 MiB, used by cf_use_4k_pages() */
#define CF_CODE 0x10000u      /* where all guest code starts */
#define CF_CODE2 0x12000u     /* second piece of code */
#define CF_STUBS 0x18000u     /* exception stubs */
#define CF_DATA 0x20000u      /* zeroed */
#define CF_STACK 0x38000u     /* top; also RSP0 of the TSS */
#define CF_STACK3 0x48000u    /* top of ring 3's */

/* Selectors of the GDT. */
#define CF_SEL_CODE64 0x08u
#define CF_SEL_DATA 0x10u
#define CF_SEL_CODE32 0x18u
#define CF_SEL_USER_DATA 0x28u
#define CF_SEL_USER_CODE64 0x30u
#define CF_SEL_TSS 0x38u      /* 16 bytes */
#define CF_SEL_CODE16 0x48u
#define CF_SEL_DATA16 0x50u

/* Ports of the exception stubs: vector, error code, RIP, CR2 (32 bits). */
#define CF_PORT_VECTOR 0xe0u
#define CF_PORT_ERROR 0xe1u
#define CF_PORT_RIP 0xe2u
#define CF_PORT_CR2 0xe3u

/* --- tests ----------------------------------------------------------- */

/* What a test needs beyond VMs. Where the backend's own probe passes, all
 * of it must be there; elsewhere small trial guests find out. */
enum cf_need {
    CF_EXEC = 1,       /* executes guest code at all */
    CF_FPU = 2,        /* x87 and SSE in kernel mode */
    CF_CX16 = 4,       /* cmpxchg16b in kernel mode */
    CF_INT3 = 8,       /* int3 in kernel mode */
    CF_RING3 = 16,     /* user mode and back by a software interrupt */
    CF_SYSCALL = 32,   /* user mode and back by syscall */
    CF_HYPERCALL = 64, /* vmcall */
    CF_EXACT = 128,    /* a store in kernel mode that faults stores nothing */
    CF_PROMPT = 256,   /* interrupts when they are due, not some exits later */
    CF_IRQ = 512,      /* a backend with an interrupt controller */
    CF_BREAK = 1024,   /* hardware breakpoints of the backend's own */
    CF_STEP = 2048,    /* single steps of the backend's own */
};

struct cf {
    const struct squib_backend *be;
    bool weak; /* the backend's own probe fails */
    struct squib_memory *mem;
    struct squib_vm *vm;
    struct squib_vcpu *vcpu; /* vCPU 0 */
};

struct cf_test {
    const char *name;
    void (*body)(struct cf *t);
    unsigned needs;
};

/* Arrays that end with a NULL name. */
extern const struct cf_test cf_tests_common[];
extern const struct cf_test cf_tests_io[];
extern const struct cf_test cf_tests_mmio[];
extern const struct cf_test cf_tests_run[];
extern const struct cf_test cf_tests_mode[];
extern const struct cf_test cf_tests_fault[];
extern const struct cf_test cf_tests_insn[];
extern const struct cf_test cf_tests_irq[];
extern const struct cf_test cf_tests_mem[];
extern const struct cf_test cf_tests_state[];
extern const struct cf_test cf_tests_debug[];
extern const struct cf_test cf_tests_step[];

/* Ends the test. The text goes into the result line. */
void cf_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), noreturn));
void cf_skip(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));

#define CF_FAIL(...) cf_fail(__FILE__, __LINE__, __VA_ARGS__)
#define CF_CHECK(cond)                                                     \
    do {                                                                   \
        if (!(cond))                                                       \
            CF_FAIL("%s", #cond);                                          \
    } while (0)
#define CF_EQ(got, want)                                                   \
    cf_eq(__FILE__, __LINE__, #got, (uint64_t)(got), (uint64_t)(want))
void cf_eq(const char *file, int line, const char *what, uint64_t got,
           uint64_t want);
/* Calls that must succeed: CF_OK(squib_vm_map(..., &e), e). */
#define CF_OK(call, e)                                                     \
    do {                                                                   \
        if ((call) != 0)                                                   \
            CF_FAIL("%s: %s", #call, (e).text);                            \
    } while (0)

/* trial.c: skips the test if a weak backend lacks any of `needs`. */
void cf_check_needs(struct cf *t, unsigned needs);

/* --- machines (guest.c) ---------------------------------------------- */

/* Whether the backend's guests are arm64: see a64.h. */
bool cf_is_a64(const struct cf *t);

/* Makes memory with the tables above, a VM and its vCPU 0. */
void cf_vm(struct cf *t, uint32_t vcpus, bool irqchip, bool dirty_log);
/* The same with memory only; and the VM and vCPU later. */
void cf_memory(struct cf *t);
void cf_vm_on_memory(struct cf *t, uint32_t vcpus, bool irqchip,
                     bool dirty_log);
void cf_free(struct cf *t);

uint8_t *cf_ram(struct cf *t, uint32_t gpa);
uint32_t cf_ram32(struct cf *t, uint32_t gpa);
uint64_t cf_ram64(struct cf *t, uint32_t gpa);
/* Tells the memory about it, as code is being written. */
void cf_put(struct cf *t, uint32_t gpa, const void *bytes, size_t len);
#define CF_PUT(t, gpa, array) cf_put(t, gpa, array, sizeof(array))
void cf_put64(struct cf *t, uint32_t gpa, uint64_t value);

/* A 64-bit interrupt gate. */
void cf_gate(struct cf *t, uint8_t vector, uint32_t handler_gpa,
             unsigned dpl);
/* Maps 0..2 MiB by 4 KiB pages, one to one, present, writable, user. */
void cf_use_4k_pages(struct cf *t);

/* Puts `code` at CF_CODE and vCPU 0 at its start, in real mode with DS and
 * ES at CF_DATA, in flat protected mode, or in long mode with everything of
 * above. */
void cf_real(struct cf *t, const void *code, size_t len);
void cf_prot(struct cf *t, const void *code, size_t len);
void cf_long(struct cf *t, const void *code, size_t len);
#define CF_REAL(t, code) cf_real(t, code, sizeof(code))
#define CF_PROT(t, code) cf_prot(t, code, sizeof(code))
#define CF_LONG(t, code) cf_long(t, code, sizeof(code))
/* The state that cf_long() sets: REGS and SYSTEM. */
void cf_long_state(struct squib_x86_64_state *st);

uint64_t cf_gpr(struct cf *t, enum squib_x86_gpr r);

/* --- exits ----------------------------------------------------------- */

/* Runs vCPU 0 to its next exit, waiting out idle exits of a VM with an
 * interrupt controller. */
struct squib_exit *cf_run(struct cf *t);
struct squib_exit *cf_run_vcpu(struct squib_vcpu *vcpu);

/* Notes that the backend produced it: for the table of exits. */
void cf_seen(const struct squib_exit *e);

/* A text of at most 200 bytes about an exit; static. */
const char *cf_describe(const struct squib_exit *e);

/* The next exit must be this. */
#define CF_OUT(t, port, len, value)                                        \
    cf_out(__FILE__, __LINE__, t, port, len, value)
#define CF_IN(t, port, len, answer)                                        \
    cf_in(__FILE__, __LINE__, t, port, len, answer)
#define CF_HLT(t) cf_kind(__FILE__, __LINE__, t, SQUIB_EXIT_HLT)
#define CF_KIND(t, kind) cf_kind(__FILE__, __LINE__, t, kind)
void cf_out(const char *file, int line, struct cf *t, uint16_t port,
            uint8_t len, uint32_t value);
void cf_in(const char *file, int line, struct cf *t, uint16_t port,
           uint8_t len, uint32_t answer);
struct squib_exit *cf_kind(const char *file, int line, struct cf *t,
                           enum squib_exit_kind kind);

/* The next exits must together be one access of `len` bytes at gpa, in
 * pieces that go upwards without a gap. `data` is compared or handed in. */
#define CF_MMIO_WRITE(t, gpa, data, len)                                   \
    cf_mmio(__FILE__, __LINE__, t, gpa, true, data, len)
#define CF_MMIO_READ(t, gpa, data, len)                                    \
    cf_mmio(__FILE__, __LINE__, t, gpa, false, data, len)
void cf_mmio(const char *file, int line, struct cf *t, uint64_t gpa,
             bool write, const void *data, size_t len);

/* The stubs must report this exception. rip is an address in CF_CODE's
 * first 64 KiB, relative to CF_CODE; cr2 only for vector 14. */
#define CF_EXCEPTION(t, vector, error, rip, cr2)                           \
    cf_exception(__FILE__, __LINE__, t, vector, error, rip, cr2)
void cf_exception(const char *file, int line, struct cf *t, uint8_t vector,
                  uint32_t error, uint32_t rip, uint32_t cr2);

/* Calls squib_vcpu_cancel() from another thread after `ms`. */
void cf_cancel_after(struct squib_vcpu *vcpu, unsigned ms);

#endif
