/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM backend (Linux on x86-64 and arm64), inside.
 *
 * kvm.c    opening the device node and asking what it can do
 * access.c why /dev/kvm cannot be opened, in words
 * probe.c  a small guest that finds out whether this KVM can run Linux
 * vm.c     memory slots, dirty log, eventfds, creation
 * vcpu.c   running and canceling
 * exit.c   pure decoding of struct kvm_run
 *
 * and for the architecture of the host, by folder, x86_64/ or aarch64/:
 *
 * vm.c     the backend's table, extensions, interrupts
 * state.c  architectural state and set-up of a vCPU
 * exit.c, probe.c  their parts of the above
 * gic.c    (arm64) the state of the interrupt controller
 *
 * x86-64: guest-physical addresses that KVM takes for itself, and that must
 * not be memory: SQ_KVM_IDENTITY_MAP_GPA up to 4 pages (real mode on older
 * Intel processors), the local APIC page 0xfee00000 and, with an interrupt
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
#include "core/slots.h"
#include "os/wake.h"

#define SQ_KVM_IDENTITY_MAP_GPA 0xfffbc000u
#define SQ_KVM_TSS_GPA 0xfffbd000u
#define SQ_KVM_SIGNAL 5 /* SIGRTMIN + this kicks a vCPU's thread */
#define SQ_KVM_IOAPIC_PINS 24

extern const struct squib_backend sq_backend_kvm;

/* The GICv3 of an arm64 VM. KVM can finish it only when all vCPUs are there
 * and takes none after that: it is finished with the last vCPU, or when the
 * first one runs. */
struct sq_kvm_gic {
    int fd; /* the device; -1 without */
    struct squib_aarch64_gic config;
    pthread_mutex_t lock; /* all below; leaf */
    uint32_t vcpus;       /* that exist */
    atomic_bool ready;    /* finished; also read without the lock */
    uint32_t level[8]; /* of lines that were raised before it was ready */
};

struct sq_kvm_vm {
    struct squib_vm base;
    int sys_fd, fd;
    size_t run_len; /* bytes of a vCPU's shared page area */
    uint32_t vcpus;
    bool irqchip;
    bool has_xcrs; /* x86-64 */
    struct sq_kvm_gic gic; /* arm64 */
    struct sq_slots slots;
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
    bool prepared;    /* sq_kvm_vcpu_prepare() has been called */
    uint32_t losses;  /* of mapped files, that it knows of (os/guard.h) */
};

/* kvm.c: opens /dev/kvm and checks version and extensions. The descriptor,
 * or a negative code with *err filled. */
int sq_kvm_open(struct squib_error *err);

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
/* Why the guest did not end as it should. */
int sq_kvm_probe_explain(const struct squib_exit *e, const char *what,
                         struct squib_error *err);

/* vm.c; the operations are those of struct sq_vm_ops. */
int sq_kvm_vm_new(const struct squib_vm_config *config,
                  struct squib_memory *mem, struct squib_vm **out,
                  struct squib_error *err);
void sq_kvm_vm_free(struct squib_vm *base);
int sq_kvm_vm_map(struct squib_vm *base, struct squib_range range, void *hva,
                  uint32_t prot, struct squib_error *err);
int sq_kvm_vm_unmap(struct squib_vm *base, struct squib_range range,
                    struct squib_error *err);
int sq_kvm_vm_protect(struct squib_vm *base, struct squib_range range,
                      uint32_t prot, struct squib_error *err);
int sq_kvm_vm_dirty_log(struct squib_vm *base, struct squib_range range,
                        uint64_t *bitmap, struct squib_error *err);
int sq_kvm_vm_ioeventfd(struct squib_vm *base, bool pio, uint64_t where,
                        uint32_t len, int fd, bool assign,
                        struct squib_error *err);
int sq_kvm_vm_irqfd(struct squib_vm *base, uint32_t gsi, int fd, bool assign,
                    struct squib_error *err);

/* An MMIO exit that is none: KVM's emulator takes memory that the host cannot
 * read any more for a device's. Where that is a mapped file's (os/guard.h),
 * does the access and returns true. */
bool sq_kvm_vm_reach(struct sq_kvm_vm *vm, struct squib_exit_mmio *access);

/* vcpu.c; the operations are those of struct sq_vcpu_ops. */
int sq_kvm_vcpu_new(struct squib_vm *vm, uint32_t index,
                    struct squib_vcpu **out, struct squib_error *err);
void sq_kvm_vcpu_free(struct squib_vcpu *vcpu);
struct squib_exit *sq_kvm_vcpu_run(struct squib_vcpu *vcpu);
void sq_kvm_vcpu_cancel(struct squib_vcpu *vcpu);
void sq_kvm_vcpu_park(struct squib_vcpu *vcpu, uint64_t deadline_ns);
int sq_kvm_vcpu_debug(struct squib_vcpu *vcpu, uint32_t flags,
                      struct squib_error *err);
/* Completes a write that KVM still has to finish, so that the registers are
 * those after the instruction. */
int sq_kvm_vcpu_finish(struct sq_kvm_vcpu *v, struct squib_error *err);

/* --- what each architecture's folder provides ------------------------ */

struct sq_kvm_extension {
    int cap;
    const char *text;
};

extern const struct sq_kvm_extension sq_kvm_needed[];
extern const size_t sq_kvm_needed_count;
/* The Linux that has them all; what to do where there is no KVM. */
extern const char sq_kvm_needed_linux[], sq_kvm_absent_remedy[];
extern const struct sq_vm_ops sq_kvm_vm_ops;
extern const struct sq_vcpu_ops sq_kvm_vcpu_ops;

/* KVM_CREATE_VM's argument. */
unsigned long sq_kvm_vm_type(int sys_fd);
/* init: fields only, cannot fail; setup: the VM's descriptor is open; fini:
 * before that is closed, also after a failure. */
void sq_kvm_vm_arch_init(struct sq_kvm_vm *vm,
                         const struct squib_vm_config *config);
int sq_kvm_vm_setup(struct sq_kvm_vm *vm, struct squib_error *err);
void sq_kvm_vm_arch_fini(struct sq_kvm_vm *vm);
/* Makes a new vCPU what <squib/vcpu.h> promises. */
int sq_kvm_vcpu_setup(struct sq_kvm_vcpu *v, struct sq_kvm_vm *vm,
                      uint32_t index, struct squib_error *err);
/* Before the first KVM_RUN. False: *out says why it cannot be. */
bool sq_kvm_vcpu_prepare(struct sq_kvm_vcpu *v, struct squib_exit *out);
/* After a KVM_RUN that returned 0: whether the exit has been dealt with, so
 * that the guest runs on. */
bool sq_kvm_vcpu_absorb(struct sq_kvm_vcpu *v);
/* Fills in of a DEBUG exit what struct kvm_run does not tell. */
void sq_kvm_vcpu_debug_exit(struct sq_kvm_vcpu *v,
                            struct squib_exit_debug *out);

/* The probe's guest: RAM of SQ_KVM_PROBE_LEN bytes at 0, and running it. */
#define SQ_KVM_PROBE_LEN 0x10000u
void sq_kvm_probe_fill(uint8_t *ram);
int sq_kvm_probe_run(struct squib_vcpu *vcpu, struct squib_error *err);

/* x86-64: KVM_GET_SUPPORTED_CPUID with what the in-kernel APIC adds. */
int sq_kvm_cpuid(int sys_fd, struct squib_x86_cpuid *leaves, size_t *n,
                 struct squib_error *err);
int sq_kvm_vcpu_set_cpuid(struct squib_vcpu *vcpu,
                          const struct squib_x86_cpuid *leaves, size_t n,
                          struct squib_error *err);
int sq_kvm_vcpu_get_state(struct squib_vcpu *vcpu, uint32_t parts,
                          struct squib_x86_64_state *st,
                          struct squib_error *err);
int sq_kvm_vcpu_set_state(struct squib_vcpu *vcpu, uint32_t parts,
                          const struct squib_x86_64_state *st,
                          struct squib_error *err);

/* arm64: finishes the GIC if it is time to; counts a new vCPU. */
int sq_kvm_gic_finish(struct sq_kvm_vm *vm, bool new_vcpu,
                      struct squib_error *err);
/* arm64: see struct sq_vm_ops and struct sq_vcpu_ops. */
int sq_kvm_get_gic(struct squib_vm *base, struct squib_aarch64_gic_dist *gic,
                   struct squib_error *err);
int sq_kvm_set_gic(struct squib_vm *base,
                   const struct squib_aarch64_gic_dist *gic,
                   struct squib_error *err);
int sq_kvm_get_gic_cpu(struct sq_kvm_vcpu *v,
                       struct squib_aarch64_gic_cpu *gic,
                       struct squib_error *err);
int sq_kvm_set_gic_cpu(struct sq_kvm_vcpu *v,
                       const struct squib_aarch64_gic_cpu *gic,
                       struct squib_error *err);

#endif
