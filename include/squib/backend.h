/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backends: what executes guest code.
 *
 * A backend is one immutable object with static lifetime; all calls here
 * may be made from any thread.
 */
#ifndef SQUIB_BACKEND_H
#define SQUIB_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>
#include <squib/vcpu.h>

#ifdef __cplusplus
extern "C" {
#endif

struct squib_backend;

/* What kind of guest a backend runs. */
enum squib_arch {
    SQUIB_ARCH_X86_64,
    SQUIB_ARCH_AARCH64,
    SQUIB_ARCH_COUNT
};

/* "x86_64", "aarch64", as `uname -m` says it; "?" past the list. */
const char *squib_arch_name(enum squib_arch arch);

/* What a backend can do beyond the basics. A VM configuration that needs an
 * absent capability is refused before anything starts. */
enum squib_cap {
    SQUIB_CAP_HARDWARE = 1 << 0,   /* runs on virtualization hardware */
    SQUIB_CAP_IRQCHIP = 1 << 1,    /* has local APICs and an I/O APIC,
                                      or a GICv3 */
    SQUIB_CAP_SMP = 1 << 2,        /* more than one vCPU */
    SQUIB_CAP_DIRTY_LOG = 1 << 3,  /* squib_vm_dirty_log() */
    SQUIB_CAP_IOEVENTFD = 1 << 4,  /* the monitor's own use, not public: */
    SQUIB_CAP_IRQFD = 1 << 5,      /* events and interrupts without an exit */
    SQUIB_CAP_INSN_COUNT = 1 << 6, /* squib_vcpu_insn_count() is exact */
    SQUIB_CAP_DEBUG = 1 << 7,      /* single step, DEBUG exits */
    /* vCPU exits reach the caller. Without it the backend keeps the guest's
     * devices to itself, as Virtualization.framework does: one run is the
     * guest's whole life, and squib_exit_is_lifecycle() is true of what it
     * returns. */
    SQUIB_CAP_VCPU_EXITS = 1 << 8,
    SQUIB_CAP_READONLY_MEM = 1 << 9, /* write to read-only = MMIO exit */
    SQUIB_CAP_PSCI = 1 << 10, /* arm64: answers PSCI calls by itself */
    SQUIB_CAP_DETERMINISTIC = 1 << 11, /* time can be the instruction count */
};

/* Backends in probe order, hardware first. NULL past the end. */
const struct squib_backend *squib_backend_at(size_t i);

/* The name that finds it again ("kvm"), and a few words for people ("the
 * software CPU"). Static storage. */
const char *squib_backend_name(const struct squib_backend *be);
const char *squib_backend_summary(const struct squib_backend *be);

/* What its guests are. */
enum squib_arch squib_backend_arch(const struct squib_backend *be);

/* A mask of enum squib_cap. Constant; a backend that does not pass its
 * probe has capabilities all the same. */
uint64_t squib_backend_caps(const struct squib_backend *be);

/* By name, without a probe; NULL if there is none. Beside the backends
 * above, names of variants work here and below: a backend's name with
 * settings behind commas, in any order: "soft,jit=off,cpu=v3". */
const struct squib_backend *squib_backend_find(const char *name);

/* Finds out by running a few guest instructions whether the backend can
 * run Linux here. 0, or an error whose text says what is missing and what
 * to do about it. Takes a few milliseconds and keeps nothing open. */
int squib_backend_probe(const struct squib_backend *be,
                        struct squib_error *err);

/* Chooses by name. "auto" takes the first backend that passes its probe.
 * `why` (optional, `why_len` bytes, cut if need be) receives one line for
 * people that says which was taken, why others were not, and what the host
 * keeps from it, such as memory to translate to. Errors, with *out left
 * alone: SQUIB_E_NOTFOUND for an unknown name, the named backend's probe
 * error, SQUIB_E_NOSUPPORT if "auto" finds none. */
int squib_backend_choose(const char *name, const struct squib_backend **out,
                         char *why, size_t why_len, struct squib_error *err);

/* The CPUID leaves that this backend can offer, for squib_vcpu_set_cpuid()
 * to be given all or some of. *n is the room in leaves on entry
 * (SQUIB_X86_CPUID_MAX is enough) and their number on return. Errors:
 * SQUIB_E_RANGE if *n is small, SQUIB_E_NOSUPPORT if its guests are not
 * x86-64. */
int squib_backend_cpuid(const struct squib_backend *be,
                        struct squib_x86_cpuid *leaves, size_t *n,
                        struct squib_error *err);

/* Whether the hypervisor under the backend has KVM's extension of this
 * number (KVM_CAP_*); false where there is no KVM. */
bool squib_backend_extension(const struct squib_backend *be,
                             uint32_t number);

#ifdef __cplusplus
}
#endif
#endif
