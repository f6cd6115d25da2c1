/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executes one instruction on the host's processor with all of its registers
 * given, and tells what became of them. x86-64 Linux only; one thread.
 *
 * The instruction stands in a slot of an executable page below 2 GiB, among
 * landing pads for branches; what it does to memory should stay in the
 * arena, two pages below 2 GiB between pages that fault.
 */
#ifndef SQ_TEST_ISA_NATIVE_H
#define SQ_TEST_ISA_NATIVE_H

#include <stdbool.h>
#include <stdint.h>

#define ISA_ARENA 0x10000000ull   /* two pages; faulting ones around them */
#define ISA_ARENA_LEN 8192u
#define ISA_CODE 0x20000000ull
#define ISA_SLOT_LEN 256u
#define ISA_SLOTS 64u
#define ISA_PADS 8u /* before the instruction, and as many behind it */
#define ISA_GS_BASE 0x12340ull

/* The image of FXSAVE64 as far as it is compared. */
struct isa_fx {
    uint16_t fcw, fsw;
    uint8_t ftw, pad0; /* bit n: physical register n holds something */
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    struct {
        uint64_t sig;
        uint16_t se, pad[3];
    } st[8]; /* in stack order */
    union {
        uint8_t b[16];
        uint64_t q[2];
    } xmm[16];
    uint8_t rest[96];
} __attribute__((aligned(64)));

/* Before and after. */
struct isa_regs {
    struct isa_fx fx;
    uint64_t gpr[16]; /* in instruction encoding order */
    uint64_t rip, rflags;
    int vector; /* of the exception that it raised, or -1 */
    uint32_t error;
    uint64_t cr2;
    uint64_t ymmh[16][2]; /* upper halves; zero if the host has none */
};

/* Maps arena and code and installs signal handlers; false with a reason. */
bool isa_native_init(const char **why);

/* Where the instruction of a slot goes. `shift` 0..7 moves it. */
uint64_t isa_native_place(unsigned slot, unsigned shift);

/* A place to branch to: k < 2 * ISA_PADS. */
uint64_t isa_native_pad(unsigned slot, unsigned k);

/* Puts an instruction of at most 15 bytes there. */
void isa_native_write(uint64_t where, const uint8_t *bytes, unsigned len);

/* Whether the host has YMM registers. */
bool isa_native_has_ymm(void);

/* Runs it: in->rip is where it stands. */
void isa_native_run(const struct isa_regs *in, struct isa_regs *out,
                    unsigned slot, unsigned len);

/* The base that FS has natively, and the selectors of ES..GS. */
uint64_t isa_native_fs_base(void);
void isa_native_selectors(uint16_t sel[6]);

#endif
