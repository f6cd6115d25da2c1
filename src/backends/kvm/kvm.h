/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM backend (Linux, x86-64), inside.
 *
 * kvm.c    the backend table: device node, capabilities, CPUID, VM creation
 * access.c why /dev/kvm cannot be opened, in words
 * probe.c  a small guest that finds out whether this KVM can run Linux
 * vm.c     memory slots, dirty log, interrupts
 * vcpu.c   running and canceling
 * exit.c   pure decoding of struct kvm_run
 * x86_64.c architectural state
 *
 * Guest-physical addresses that KVM takes for itself, and that must not be
 * memory: SQ_KVM_IDENTITY_MAP_GPA up to 4 pages (real mode on older Intel
 * processors), the local APIC page 0xfee00000 and, with an interrupt
 * controller, the I/O APIC page 0xfec00000. The ports of the PICs (0x20,
 * 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1) are then KVM's too; no line is routed to
 * them.
 *
 * One realtime signal, SIGRTMIN + SQ_KVM_SIGNAL, is used between the threads
 * of this process: see vcpu.c.
 */
#ifndef SQ_BACKENDS_KVM_H
#define SQ_BACKENDS_KVM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/kvm.h>

#include "backends/kvm/exit.h"
#include "core/backend.h"
#include "os/wake.h"

#define SQ_KVM_IDENTITY_MAP_GPA 0xfffbc000u
#define SQ_KVM_TSS_GPA 0xfffbd000u
#define SQ_KVM_SIGNAL 5 /* SIGRTMIN + this kicks a vCPU's thread */
#define SQ_KVM_SLOTS_MAX 128
#define SQ_KVM_IOAPIC_PINS 24

extern const struct squib_backend sq_backend_kvm;

/* One mapped range. */
struct sq_kvm_slot {
    struct squib_range range;
    uint8_t *hva;
    uint32_t prot;
    bool used;
    bool in_kvm; /* false while the guest may not even read it */
    /* Pages that the host wrote or that KVM's log was moved out of; NULL
     * without a dirty log. One bit a page. */
    _Atomic uint64_t *dirty;
};

struct sq_kvm_vm {
    struct squib_vm base;
    int sys_fd, fd;
    size_t run_len; /* bytes of a vCPU's shared page area */
    bool irqchip, dirty_log, has_xcrs;
    /* Guards slot[] between map, unmap, protect (writers) and the dirty
     * log and the watcher of host writes (readers). Innermost lock. */
    pthread_rwlock_t slot_lock;
    struct sq_kvm_slot slot[SQ_KVM_SLOTS_MAX];
};

struct sq_kvm_vcpu {
    struct squib_vcpu base;
    int fd;
    pid_t tid; /* the one thread that creates, runs and frees it */
    struct kvm_run *run;
    size_t run_len;
    struct sq_kvm_decode decode;
    struct sq_wake wake;
    atomic_bool cancel;
    bool exit_ready;  /* *run holds an exit that was not handed out yet */
    bool unfinished;  /* KVM completes the last MMIO/PIO on its next entry */
};

/* kvm.c: opens /dev/kvm and checks version and extensions. The descriptor,
 * or a negative code with *err filled. */
int sq_kvm_open(struct squib_error *err);
/* KVM_GET_SUPPORTED_CPUID with what the in-kernel APIC adds. */
int sq_kvm_cpuid(int sys_fd, struct squib_x86_cpuid *leaves, size_t *n,
                 struct squib_error *err);

/* access.c: fills *err for an open() of `path` that failed with os_errno. */
int sq_kvm_open_error(const char *path, int os_errno,
                      struct squib_error *err);
/* The same for EACCES with all facts given: mode and owner of the node, the
 * text of /etc/group, the process's user name, and whether its groups
 * include the node's. Pure. */
int sq_kvm_access_error(const char *path, unsigned mode, unsigned uid,
                        unsigned gid, const char *group_file,
                        const char *user, struct squib_error *err);

/* probe.c */
int sq_kvm_probe(struct squib_error *err);

/* vm.c */
int sq_kvm_vm_new(const struct squib_vm_config *config,
                  struct squib_memory *mem, struct squib_vm **out,
                  struct squib_error *err);

/* vcpu.c */
int sq_kvm_vcpu_new(struct squib_vm *vm, uint32_t index,
                    struct squib_vcpu **out, struct squib_error *err);

/* x86_64.c: see struct sq_vcpu_ops. */
int sq_kvm_vcpu_set_cpuid(struct squib_vcpu *vcpu,
                          const struct squib_x86_cpuid *leaves, size_t n,
                          struct squib_error *err);
int sq_kvm_vcpu_get_state(struct squib_vcpu *vcpu, uint32_t parts,
                          struct squib_x86_64_state *st,
                          struct squib_error *err);
int sq_kvm_vcpu_set_state(struct squib_vcpu *vcpu, uint32_t parts,
                          const struct squib_x86_64_state *st,
                          struct squib_error *err);
/* Default CPUID, and a local APIC that the others can reach. */
int sq_kvm_vcpu_setup(struct sq_kvm_vcpu *v, struct sq_kvm_vm *vm,
                      uint32_t index, struct squib_error *err);
/* vcpu.c: completes a write that KVM still has to finish, so that the
 * registers are those after the instruction. */
int sq_kvm_vcpu_finish(struct sq_kvm_vcpu *v, struct squib_error *err);

#endif
