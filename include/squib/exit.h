/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit union: why a virtual CPU stopped.
 *
 * A backend decodes its own native exit completely into one of these kinds:
 * it has advanced the program counter, split string and wide accesses and
 * picked register numbers apart. The reader sees addresses and bytes only.
 *
 * Lifetime: the exit belongs to its vCPU. The pointer that squib_vcpu_run()
 * returns is valid until the next call on that vCPU. For a read (MMIO or
 * PIO with `write` false) the caller stores the answer in `data`; the guest
 * receives it inside the next squib_vcpu_run(). Likewise HYPERCALL's `ret`.
 *
 * Growth: kinds are only appended. A caller that meets a kind it does not
 * know must treat it as INTERNAL_ERROR.
 */
#ifndef SQUIB_EXIT_H
#define SQUIB_EXIT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, text): the one list of kinds. Order is ABI. */
#define SQUIB_EXIT_LIST(X)                                                 \
    X(MMIO, "mmio")                                                        \
    X(PIO, "pio")                                                          \
    X(HYPERCALL, "hypercall")                                              \
    X(WFI, "wfi")                                                          \
    X(WFE, "wfe")                                                          \
    X(HLT, "hlt")                                                          \
    X(RESET, "reset")                                                      \
    X(SHUTDOWN, "shutdown")                                                \
    X(DEBUG, "debug")                                                      \
    X(CANCELED, "canceled")                                                \
    X(INTERNAL_ERROR, "internal-error")

enum squib_exit_kind {
#define SQUIB_EXIT_ENUM(name, text) SQUIB_EXIT_##name,
    SQUIB_EXIT_LIST(SQUIB_EXIT_ENUM)
#undef SQUIB_EXIT_ENUM
    SQUIB_EXIT_COUNT /* number of kinds this header knows */
};

/* "No deadline": wait for an interrupt for ever. */
#define SQUIB_DEADLINE_NONE UINT64_MAX

/* The guest touched a physical address that is not memory, or wrote to
 * memory that it may only read (SQUIB_CAP_READONLY_MEM). Little-endian
 * data of 1 to 8 bytes, any alignment; wider accesses come as several
 * exits. Bytes past `len` are zero for writes and ignored for reads. */
struct squib_exit_mmio {
    uint64_t gpa;
    uint8_t len; /* 1..8 */
    bool write;
    uint8_t data[8];
};

/* x86 port I/O, one element of 1, 2 or 4 bytes, little-endian. */
struct squib_exit_pio {
    uint16_t port;
    uint8_t len; /* 1, 2 or 4 */
    bool write;
    uint8_t data[4];
};

/* A call from the guest to the monitor (vmcall, hvc, smc) that the backend
 * does not answer itself. On arm64 `function` is W0 (the SMC Calling
 * Convention's identifier), the arguments are X1 to X6, and `ret` goes to
 * X0. */
struct squib_exit_hypercall {
    uint64_t function;
    uint64_t args[6];
    uint64_t ret; /* filled by the caller */
};

/* WFI, WFE, HLT: the vCPU has nothing to do until an interrupt arrives or
 * the host's monotonic clock reaches deadline_ns (then run again). Use
 * squib_vcpu_park() to wait for both. */
struct squib_exit_idle {
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; SQUIB_DEADLINE_NONE */
};

/* A breakpoint or single step that the debugger asked for
 * (squib_vcpu_debug()). */
struct squib_exit_debug {
    uint64_t pc; /* what is executed next; x86: with the base of CS */
    uint64_t syndrome; /* x86: DR6, with BS (0x4000) after a step; arm64:
                          ESR */
};

/* The backend cannot go on. `text` is for people and lives in static
 * storage or in the vCPU; the numbers are the backend's own detail. */
struct squib_exit_internal_error {
    const char *text;
    uint64_t detail[2];
};

/* RESET: the guest asked for a restart. SHUTDOWN: the guest powered off or
 * cannot go on by the architecture's rules (x86 triple fault): then
 * `fault` is true. CANCELED: squib_vcpu_cancel() was called. */
struct squib_exit_shutdown {
    bool fault;
};

struct squib_exit {
    enum squib_exit_kind kind;
    union {
        struct squib_exit_mmio mmio;
        struct squib_exit_pio pio;
        struct squib_exit_hypercall hypercall;
        struct squib_exit_idle idle; /* WFI, WFE, HLT */
        struct squib_exit_debug debug;
        struct squib_exit_internal_error internal_error;
        struct squib_exit_shutdown shutdown;
    };
};

/* Whether the kind is about the machine's life and not about one of its
 * CPUs: RESET, SHUTDOWN, CANCELED, INTERNAL_ERROR. A backend without
 * SQUIB_CAP_VCPU_EXITS returns these alone. Any thread. */
bool squib_exit_is_lifecycle(enum squib_exit_kind kind);

/* The kind's name in lower case ("mmio"); "unknown" past the list. Static
 * storage, any thread. */
const char *squib_exit_name(enum squib_exit_kind kind);

#ifdef __cplusplus
}
#endif
#endif
