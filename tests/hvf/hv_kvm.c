/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A double of Hypervisor.framework that really runs guests: on arm64 Linux,
 * with KVM. The backend's own sources, unmodified, then boot a kernel where
 * there is no Mac (in QEMU's emulation of EL2).
 *
 * KVM decodes exits where the framework gives raw syndromes, so the syndrome
 * is made again here, from the instruction that the guest is at (a64.c).
 * Likewise KVM completes an access by itself where the framework leaves that
 * to the monitor: it is let do so, and what the monitor set meanwhile is put
 * over it.
 *
 * What the framework demands of its caller is checked, and counted:
 *   thread     a vCPU used by a thread that did not create it
 *   alignment  memory that does not consist of 16 KiB pages
 *   order      calls before a VM is there, a GIC after the first vCPU, a VM
 *              destroyed under its vCPUs
 *   pc         a trapped instruction that was left where it is
 *   result     a load or a call whose result reached no register
 * At hv_vm_destroy() the sums are written to stderr, in one line.
 *
 * Not reproduced: WFI and timer exits (KVM keeps them, as the framework does
 * with its GIC), trapped registers, and Apple's feature registers.
 *
 * Needs Linux 6.4: that can forward PSCI calls.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "a64.h"
#include "backends/hvf/hv_api.h"

/* Newer than some systems' headers: Linux Documentation/virt/kvm/devices/
 * vm.rst, section 6, and api.rst, 5 (KVM_EXIT_HYPERCALL). */
#define SMCCC_CTRL 0 /* the group, and its one attribute */
#define SMCCC_FILTER 0
#define SMCCC_FORWARD 2
struct smccc_filter {
    uint32_t base, count;
    uint8_t action, pad[15];
};
#define HYPERCALL_SMC 1u /* of `flags`, in which longmode is the low half */

#define PAGE 0x4000u
#define VCPUS_MAX 32
#define PIECES_MAX 4096
#define SIGNAL (SIGRTMIN + 6)
#define SPIS 960u

/* A stretch of memory with one protection: a KVM slot of the same index. */
struct piece {
    uint64_t gpa, len;
    uint8_t *hva;
    uint64_t flags;
};

enum pending { NOTHING, ACCESS, CALL };

struct vcpu {
    int fd; /* -1: free */
    pthread_t thread;
    struct kvm_run *run;
    hv_vcpu_exit_t exit;
    bool asked; /* hv_vcpus_exit() */
    /* The exit that the caller is to answer. */
    enum pending pending;
    bool load;        /* ... and which register it must set */
    uint8_t load_reg;
    bool retry;       /* the page was made accessible: the same again */
    uint64_t fault_gpa, trap_pc;
    bool trapped;     /* PC must be moved */
    bool trap_debug;  /* debug exceptions are the caller's */
    uint32_t debug;   /* what KVM was told of it */
    /* X0 to X30, PC as the caller set them since. */
    uint64_t set[32];
    uint32_t is_set;
};

static struct {
    int kvm, vm, gic;
    bool gic_ready;
    uint64_t dist_gpa, redist_gpa, msi_gpa;
    uint32_t msi_first, msi_count;
    bool level[1024]; /* of SPIs, by INTID, until the GIC is ready */
    size_t run_len;
    struct vcpu vcpu[VCPUS_MAX];
    bool used[VCPUS_MAX]; /* even if freed since */
    struct piece piece[PIECES_MAX];
    pthread_mutex_t lock; /* of all but vcpu[] */
    struct {
        unsigned thread, alignment, order, pc, result;
    } broken;
    struct {
        unsigned runs, accesses, calls, canceled, spis, protects;
    } seen;
} hv = {.kvm = -1, .vm = -1, .gic = -1,
        .lock = PTHREAD_MUTEX_INITIALIZER};

/* The double itself failed: nothing that follows would mean anything. */
static void give_up(const char *what)
{
    fprintf(stderr, "hv_kvm: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static void must(int rc, const char *what)
{
    if (rc < 0)
        give_up(what);
}

static void broke(unsigned *count, const char *what, uint64_t detail)
{
    if ((*count)++ < 3)
        fprintf(stderr, "hv_kvm: broken rule: %s (%#llx)\n", what,
                (unsigned long long)detail);
}

/* --- objects ------------------------------------------------------------ */

struct hv_vm_config_s { uint32_t ipa_bits; };
struct hv_gic_config_s {
    uint64_t dist, redist, msi;
    uint32_t first, count;
};

void os_release(void *object)
{
    free(object);
}

hv_vm_config_t hv_vm_config_create(void)
{
    return calloc(1, sizeof(struct hv_vm_config_s));
}

hv_gic_config_t hv_gic_config_create(void)
{
    return calloc(1, sizeof(struct hv_gic_config_s));
}

/* --- VM ------------------------------------------------------------------ */

hv_return_t hv_vm_config_get_max_ipa_size(uint32_t *bits)
{
    *bits = 40;
    return HV_SUCCESS;
}

hv_return_t hv_vm_config_set_ipa_size(hv_vm_config_t config, uint32_t bits)
{
    config->ipa_bits = bits;
    return bits <= 40 ? HV_SUCCESS : HV_BAD_ARGUMENT;
}

hv_return_t hv_vm_get_max_vcpu_count(uint32_t *count)
{
    *count = VCPUS_MAX;
    return HV_SUCCESS;
}

static void on_signal(int signo)
{
    (void)signo;
}

/* The framework hands all calls out. KVM does so for PSCI's and those of
 * hypervisors' own services, which are all that guests here make. */
static void forward(uint32_t base, uint32_t count)
{
    struct smccc_filter filter = {
        .base = base, .count = count, .action = SMCCC_FORWARD};
    struct kvm_device_attr attr = {
        .group = SMCCC_CTRL,
        .attr = SMCCC_FILTER,
        .addr = (uintptr_t)&filter,
    };

    must(ioctl(hv.vm, KVM_SET_DEVICE_ATTR, &attr),
         "no SMCCC filter (Linux 6.4 or newer is needed)");
}

hv_return_t hv_vm_create(hv_vm_config_t config)
{
    struct kvm_enable_cap nisv = {.cap = KVM_CAP_ARM_NISV_TO_USER};
    struct sigaction act = {.sa_handler = on_signal};
    unsigned long type = config ? config->ipa_bits : 0;
    int max;

    if (hv.vm >= 0)
        return HV_BUSY;
    hv.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (hv.kvm < 0)
        return HV_UNSUPPORTED;
    max = ioctl(hv.kvm, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);
    if (max > 0 && (unsigned long)max < type)
        type = (unsigned long)max;
    hv.vm = ioctl(hv.kvm, KVM_CREATE_VM, type);
    must(hv.vm, "KVM_CREATE_VM");
    hv.run_len = (size_t)ioctl(hv.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    ioctl(hv.vm, KVM_ENABLE_CAP, &nisv);
    forward(0x84000000, 0x20);
    forward(0xc4000000, 0x20);
    forward(0x86000000, 0x10000);
    forward(0xc6000000, 0x10000);
    for (unsigned i = 0; i < VCPUS_MAX; i++)
        hv.vcpu[i].fd = -1;
    sigaction(SIGNAL, &act, NULL);
    return HV_SUCCESS;
}

hv_return_t hv_vm_destroy(void)
{
    for (unsigned i = 0; i < VCPUS_MAX; i++)
        if (hv.vcpu[i].fd >= 0)
            broke(&hv.broken.order, "VM destroyed under a vCPU", i);
    fprintf(stderr,
            "hv_kvm: %u violations (thread %u, alignment %u, order %u, "
            "pc %u, result %u); %u runs, %u accesses, %u calls, "
            "%u canceled, %u line changes, %u protections\n",
            hv.broken.thread + hv.broken.alignment + hv.broken.order +
                hv.broken.pc + hv.broken.result,
            hv.broken.thread, hv.broken.alignment, hv.broken.order,
            hv.broken.pc, hv.broken.result, hv.seen.runs, hv.seen.accesses,
            hv.seen.calls, hv.seen.canceled, hv.seen.spis,
            hv.seen.protects);
    if (hv.gic >= 0)
        close(hv.gic);
    close(hv.vm);
    close(hv.kvm);
    hv.gic = hv.vm = hv.kvm = -1;
    hv.gic_ready = false;
    memset(hv.piece, 0, sizeof(hv.piece));
    memset(hv.level, 0, sizeof(hv.level));
    memset(hv.used, 0, sizeof(hv.used));
    return HV_SUCCESS;
}

/* --- memory -------------------------------------------------------------- */

static bool check_pages(uint64_t gpa, uint64_t len)
{
    if (hv.vm < 0) {
        broke(&hv.broken.order, "memory without a VM", gpa);
        return false;
    }
    if ((gpa | len) % PAGE == 0 && len)
        return true;
    broke(&hv.broken.alignment, "not 16 KiB pages", gpa | len);
    return false;
}

static void show(const struct piece *p, bool on)
{
    struct kvm_userspace_memory_region r = {
        .slot = (uint32_t)(p - hv.piece),
        .flags = p->flags & HV_MEMORY_WRITE ? 0 : KVM_MEM_READONLY,
        .guest_phys_addr = p->gpa,
        .memory_size = on ? p->len : 0,
        .userspace_addr = (uintptr_t)p->hva,
    };

    if (p->flags & HV_MEMORY_READ)
        must(ioctl(hv.vm, KVM_SET_USER_MEMORY_REGION, &r), "memory slot");
}

static void add_piece(uint64_t gpa, uint64_t len, uint8_t *hva,
                      uint64_t flags)
{
    for (unsigned i = 0; len && i < PIECES_MAX; i++) {
        if (hv.piece[i].len)
            continue;
        hv.piece[i] = (struct piece){gpa, len, hva, flags};
        show(&hv.piece[i], true);
        return;
    }
    errno = ENOSPC;
    if (len)
        give_up("too many pieces of memory");
}

static struct piece *piece_at(uint64_t gpa)
{
    for (unsigned i = 0; i < PIECES_MAX; i++)
        if (hv.piece[i].len && gpa >= hv.piece[i].gpa &&
            gpa - hv.piece[i].gpa < hv.piece[i].len)
            return &hv.piece[i];
    return NULL;
}

hv_return_t hv_vm_map(void *hva, hv_ipa_t ipa, size_t len,
                      hv_memory_flags_t flags)
{
    hv_return_t rc = HV_SUCCESS;

    if (!check_pages(ipa, len) || (uintptr_t)hva % 4096 != 0)
        return HV_BAD_ARGUMENT;
    pthread_mutex_lock(&hv.lock);
    for (unsigned i = 0; i < PIECES_MAX; i++)
        if (hv.piece[i].len && ipa < hv.piece[i].gpa + hv.piece[i].len &&
            hv.piece[i].gpa < ipa + len)
            rc = HV_BAD_ARGUMENT;
    if (rc == HV_SUCCESS)
        add_piece(ipa, len, hva, flags);
    pthread_mutex_unlock(&hv.lock);
    return rc;
}

/* Takes [ipa, ipa + len) out of its pieces and, unless they go for good,
 * puts it back with other flags. */
static hv_return_t change(uint64_t ipa, uint64_t len, bool keep,
                          uint64_t flags)
{
    for (uint64_t at = ipa; at < ipa + len;) {
        struct piece *p = piece_at(at), old;
        uint64_t end;

        if (!p)
            return HV_BAD_ARGUMENT;
        old = *p;
        end = old.gpa + old.len < ipa + len ? old.gpa + old.len : ipa + len;
        if (!keep || old.flags != flags) {
            show(p, false);
            p->len = 0;
            add_piece(old.gpa, at - old.gpa, old.hva, old.flags);
            if (keep)
                add_piece(at, end - at, old.hva + (at - old.gpa), flags);
            add_piece(end, old.gpa + old.len - end,
                      old.hva + (end - old.gpa), old.flags);
        }
        at = end;
    }
    return HV_SUCCESS;
}

hv_return_t hv_vm_unmap(hv_ipa_t ipa, size_t len)
{
    hv_return_t rc = HV_BAD_ARGUMENT;

    if (!check_pages(ipa, len))
        return rc;
    pthread_mutex_lock(&hv.lock);
    rc = change(ipa, len, false, 0);
    pthread_mutex_unlock(&hv.lock);
    return rc;
}

hv_return_t hv_vm_protect(hv_ipa_t ipa, size_t len, hv_memory_flags_t flags)
{
    hv_return_t rc = HV_BAD_ARGUMENT;

    if (!check_pages(ipa, len))
        return rc;
    pthread_mutex_lock(&hv.lock);
    hv.seen.protects++;
    rc = change(ipa, len, true, flags);
    for (unsigned i = 0; i < VCPUS_MAX; i++)
        if (flags & HV_MEMORY_WRITE && hv.vcpu[i].fd >= 0 &&
            hv.vcpu[i].fault_gpa - ipa < len)
            hv.vcpu[i].retry = true;
    pthread_mutex_unlock(&hv.lock);
    return rc;
}

/* Host memory of [gpa, gpa + 8), or NULL. */
static const void *guest_word(uint64_t gpa)
{
    const struct piece *p;
    const void *at = NULL;

    pthread_mutex_lock(&hv.lock);
    p = piece_at(gpa);
    if (p && gpa - p->gpa + 8 <= p->len)
        at = p->hva + (gpa - p->gpa);
    pthread_mutex_unlock(&hv.lock);
    return at;
}

/* --- registers ------------------------------------------------------------ */

#define CORE(field)                                                        \
    (KVM_REG_ARM64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(field))
#define CORE64(field) (CORE(field) | KVM_REG_SIZE_U64)
#define CORE32(field) (CORE(field) | KVM_REG_SIZE_U32)
#define SYS64(id)                                                          \
    (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG | (id))

static int one_reg(const struct vcpu *v, unsigned long op, uint64_t id,
                   void *value)
{
    struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

    return ioctl(v->fd, op, &reg);
}

/* X(n), PC and the rest of the framework's general registers. */
static uint64_t reg_id(hv_reg_t reg)
{
    if (reg < 31)
        return CORE64(regs.regs[0]) + 2 * reg;
    switch (reg) {
    case HV_REG_PC: return CORE64(regs.pc);
    case HV_REG_CPSR: return CORE64(regs.pstate);
    case HV_REG_FPCR: return CORE32(fp_regs.fpcr);
    case HV_REG_FPSR: return CORE32(fp_regs.fpsr);
    default: return 0;
    }
}

/* Some system registers have other names in KVM's interface. */
static uint64_t sys_id(hv_sys_reg_t reg)
{
    switch (reg) {
    case 0xc208: return CORE64(regs.sp);    /* SP_EL0 */
    case 0xe208: return CORE64(sp_el1);
    case 0xc201: return CORE64(elr_el1);
    case 0xc200: return CORE64(spsr[KVM_SPSR_EL1]);
    case 0xdf19: return KVM_REG_ARM_TIMER_CTL;
    case 0xdf1a: return KVM_REG_ARM_TIMER_CVAL;
    default: return SYS64(reg);
    }
}

static uint64_t reg64(const struct vcpu *v, uint64_t id)
{
    uint64_t value = 0;

    must(one_reg(v, KVM_GET_ONE_REG, id, &value), "KVM_GET_ONE_REG");
    return value;
}

static struct vcpu *vcpu_of(hv_vcpu_t id)
{
    struct vcpu *v = id < VCPUS_MAX ? &hv.vcpu[id] : NULL;

    if (hv.vm < 0 || !v || v->fd < 0) {
        broke(&hv.broken.order, "no such vCPU", id);
        return NULL;
    }
    if (!pthread_equal(v->thread, pthread_self())) {
        broke(&hv.broken.thread, "a vCPU of another thread", id);
        return NULL;
    }
    return v;
}

hv_return_t hv_vcpu_get_reg(hv_vcpu_t vcpu, hv_reg_t reg, uint64_t *value)
{
    struct vcpu *v = vcpu_of(vcpu);

    if (!v || !reg_id(reg))
        return HV_BAD_ARGUMENT;
    *value = 0;
    if (reg < 32 && v->is_set >> reg & 1)
        *value = v->set[reg];
    else if (one_reg(v, KVM_GET_ONE_REG, reg_id(reg), value) != 0)
        return HV_ERROR;
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_set_reg(hv_vcpu_t vcpu, hv_reg_t reg, uint64_t value)
{
    struct vcpu *v = vcpu_of(vcpu);

    if (!v || !reg_id(reg))
        return HV_BAD_ARGUMENT;
    if (reg < 32) {
        v->set[reg] = value;
        v->is_set |= 1u << reg;
        return HV_SUCCESS;
    }
    return one_reg(v, KVM_SET_ONE_REG, reg_id(reg), &value) == 0
               ? HV_SUCCESS
               : HV_BAD_ARGUMENT;
}

hv_return_t hv_vcpu_get_sys_reg(hv_vcpu_t vcpu, hv_sys_reg_t reg,
                                uint64_t *value)
{
    const struct vcpu *v = vcpu_of(vcpu);

    if (!v || one_reg(v, KVM_GET_ONE_REG, sys_id(reg), value) != 0)
        return HV_BAD_ARGUMENT;
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_set_sys_reg(hv_vcpu_t vcpu, hv_sys_reg_t reg,
                                uint64_t value)
{
    const struct vcpu *v = vcpu_of(vcpu);

    if (!v || one_reg(v, KVM_SET_ONE_REG, sys_id(reg), &value) != 0)
        return HV_BAD_ARGUMENT;
    return HV_SUCCESS;
}

static uint64_t vector_id(hv_simd_fp_reg_t reg)
{
    return (CORE(fp_regs.vregs[0]) | KVM_REG_SIZE_U128) + 4 * reg;
}

hv_return_t hv_vcpu_get_simd_fp_reg(hv_vcpu_t vcpu, hv_simd_fp_reg_t reg,
                                    hv_simd_fp_uchar16_t *value)
{
    const struct vcpu *v = vcpu_of(vcpu);

    if (!v || reg > 31 ||
        one_reg(v, KVM_GET_ONE_REG, vector_id(reg), value) != 0)
        return HV_BAD_ARGUMENT;
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_set_simd_fp_reg(hv_vcpu_t vcpu, hv_simd_fp_reg_t reg,
                                    hv_simd_fp_uchar16_t value)
{
    const struct vcpu *v = vcpu_of(vcpu);

    if (!v || reg > 31 ||
        one_reg(v, KVM_SET_ONE_REG, vector_id(reg), &value) != 0)
        return HV_BAD_ARGUMENT;
    return HV_SUCCESS;
}

/* --- time ---------------------------------------------------------------- */

uint64_t mach_absolute_time(void)
{
    uint64_t count;

    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(count));
    return count;
}

int mach_timebase_info(mach_timebase_info_data_t *info)
{
    uint64_t hz;

    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
    info->numer = 1000000000;
    info->denom = (uint32_t)hz;
    return 0;
}

hv_return_t hv_vcpu_get_vtimer_offset(hv_vcpu_t vcpu, uint64_t *offset)
{
    const struct vcpu *v = vcpu_of(vcpu);

    if (!v)
        return HV_BAD_ARGUMENT;
    *offset = mach_absolute_time() - reg64(v, KVM_REG_ARM_TIMER_CNT);
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_set_vtimer_offset(hv_vcpu_t vcpu, uint64_t offset)
{
    const struct vcpu *v = vcpu_of(vcpu);
    uint64_t count = mach_absolute_time() - offset;

    if (!v || one_reg(v, KVM_SET_ONE_REG, KVM_REG_ARM_TIMER_CNT, &count))
        return HV_BAD_ARGUMENT;
    return HV_SUCCESS;
}

/* --- GIC ----------------------------------------------------------------- */

#define SET(name, member, type)                                            \
    hv_return_t hv_gic_config_set_##name(hv_gic_config_t config, type v)   \
    {                                                                      \
        config->member = v;                                                \
        return HV_SUCCESS;                                                 \
    }
SET(distributor_base, dist, hv_ipa_t)
SET(redistributor_base, redist, hv_ipa_t)
SET(msi_region_base, msi, hv_ipa_t)
#undef SET

hv_return_t hv_gic_config_set_msi_interrupt_range(hv_gic_config_t config,
                                                  uint32_t first_intid,
                                                  uint32_t count)
{
    config->first = first_intid;
    config->count = count;
    return HV_SUCCESS;
}

hv_return_t hv_gic_get_spi_interrupt_range(uint32_t *first_intid,
                                           uint32_t *count)
{
    *first_intid = 32;
    *count = SPIS;
    return HV_SUCCESS;
}

hv_return_t hv_gic_get_redistributor_size(size_t *len)
{
    *len = 0x20000;
    return HV_SUCCESS;
}

static int gic_attr(unsigned long op, uint32_t group, uint64_t attr,
                    void *addr)
{
    struct kvm_device_attr a = {
        .group = group, .attr = attr, .addr = (uintptr_t)addr};

    return ioctl(hv.gic, op, &a);
}

hv_return_t hv_gic_create(hv_gic_config_t config)
{
    struct kvm_create_device dev = {.type = KVM_DEV_TYPE_ARM_VGIC_V3};
    uint32_t irqs = 32 + SPIS;

    if (hv.vm < 0) {
        broke(&hv.broken.order, "GIC without a VM", 0);
        return HV_NO_DEVICE;
    }
    for (unsigned i = 0; i < VCPUS_MAX; i++)
        if (hv.vcpu[i].fd >= 0)
            broke(&hv.broken.order, "GIC after a vCPU", i);
    must(ioctl(hv.vm, KVM_CREATE_DEVICE, &dev), "KVM_CREATE_DEVICE");
    hv.gic = (int)dev.fd;
    hv.dist_gpa = config->dist;
    hv.redist_gpa = config->redist;
    hv.msi_gpa = config->msi;
    hv.msi_first = config->first;
    hv.msi_count = config->count;
    must(gic_attr(KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0,
                  &irqs), "GIC interrupts");
    must(gic_attr(KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR,
                  KVM_VGIC_V3_ADDR_TYPE_DIST, &hv.dist_gpa),
         "GIC distributor");
    must(gic_attr(KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_ADDR,
                  KVM_VGIC_V3_ADDR_TYPE_REDIST, &hv.redist_gpa),
         "GIC redistributors");
    return HV_SUCCESS;
}

static hv_return_t set_line(uint32_t intid, bool level)
{
    struct kvm_irq_level l = {
        .irq = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | intid,
        .level = level,
    };

    return ioctl(hv.vm, KVM_IRQ_LINE, &l) == 0 ? HV_SUCCESS : HV_ERROR;
}

/* KVM wants all vCPUs before the GIC is finished, the framework the GIC
 * before all vCPUs: so it is finished when one first runs. */
static void finish_gic(void)
{
    pthread_mutex_lock(&hv.lock);
    if (hv.gic >= 0 && !hv.gic_ready) {
        must(gic_attr(KVM_SET_DEVICE_ATTR, KVM_DEV_ARM_VGIC_GRP_CTRL,
                      KVM_DEV_ARM_VGIC_CTRL_INIT, NULL), "GIC");
        hv.gic_ready = true;
        for (uint32_t i = 32; i < 32 + SPIS; i++)
            if (hv.level[i])
                set_line(i, true);
    }
    pthread_mutex_unlock(&hv.lock);
}

hv_return_t hv_gic_set_spi(uint32_t intid, bool level)
{
    hv_return_t rc = HV_SUCCESS;

    if (hv.gic < 0 || intid < 32 || intid >= 32 + SPIS)
        return HV_BAD_ARGUMENT;
    pthread_mutex_lock(&hv.lock);
    hv.seen.spis++;
    hv.level[intid] = level;
    if (hv.gic_ready)
        rc = set_line(intid, level);
    pthread_mutex_unlock(&hv.lock);
    return rc;
}

hv_return_t hv_gic_send_msi(hv_ipa_t address, uint32_t intid)
{
    if (address != hv.msi_gpa + 0x40 || intid - hv.msi_first >= hv.msi_count)
        return HV_BAD_ARGUMENT;
    hv_gic_set_spi(intid, true);
    return hv_gic_set_spi(intid, false);
}

/* One register of a frame by 32 bits; 64-bit ones are two. */
static hv_return_t frame_reg(bool set, uint32_t group, uint64_t cpu,
                             uint32_t reg, bool wide, uint64_t *value)
{
    unsigned long op = set ? KVM_SET_DEVICE_ATTR : KVM_GET_DEVICE_ATTR;
    uint32_t part[2] = {(uint32_t)*value, (uint32_t)(*value >> 32)};

    finish_gic();
    for (unsigned i = 0; i < 1u + wide; i++)
        if (gic_attr(op, group, cpu << 32 | (reg + 4 * i), &part[i]) != 0)
            return HV_ERROR;
    if (!set)
        *value = part[0] | (wide ? (uint64_t)part[1] << 32 : 0);
    return HV_SUCCESS;
}

/* KVM's way to take the affinity: Aff3 to Aff0 in bits 63:32. */
static uint64_t affinity(const struct vcpu *v)
{
    uint64_t mpidr = reg64(v, SYS64(0xc005));

    return (mpidr & 0xffffff) | (mpidr >> 32 & 0xff) << 24;
}

static bool is_router(uint32_t reg)
{
    return reg >= 0x6000 && reg < 0x8000;
}

/* KVM's interface writes pending bits as they are and has no clearing
 * register of them. */
static bool is_clear_pending(uint32_t reg)
{
    return (reg & 0xffff) >= 0x280 && (reg & 0xffff) < 0x300;
}

hv_return_t hv_gic_get_distributor_reg(hv_gic_distributor_reg_t reg,
                                       uint64_t *value)
{
    *value = 0;
    return frame_reg(false, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, reg,
                     is_router(reg), value);
}

hv_return_t hv_gic_set_distributor_reg(hv_gic_distributor_reg_t reg,
                                       uint64_t value)
{
    if (is_clear_pending(reg))
        return HV_SUCCESS;
    return frame_reg(true, KVM_DEV_ARM_VGIC_GRP_DIST_REGS, 0, reg,
                     is_router(reg), &value);
}

hv_return_t hv_gic_get_redistributor_reg(hv_vcpu_t vcpu,
                                         hv_gic_redistributor_reg_t reg,
                                         uint64_t *value)
{
    const struct vcpu *v = vcpu_of(vcpu);

    if (!v)
        return HV_BAD_ARGUMENT;
    *value = 0;
    return frame_reg(false, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, affinity(v),
                     reg, false, value);
}

hv_return_t hv_gic_set_redistributor_reg(hv_vcpu_t vcpu,
                                         hv_gic_redistributor_reg_t reg,
                                         uint64_t value)
{
    const struct vcpu *v = vcpu_of(vcpu);

    if (!v)
        return HV_BAD_ARGUMENT;
    if (is_clear_pending(reg))
        return HV_SUCCESS;
    return frame_reg(true, KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, affinity(v),
                     reg, false, &value);
}

static hv_return_t icc_reg(hv_vcpu_t vcpu, bool set, hv_gic_icc_reg_t reg,
                           uint64_t *value)
{
    const struct vcpu *v = vcpu_of(vcpu);

    if (!v)
        return HV_BAD_ARGUMENT;
    finish_gic();
    return gic_attr(set ? KVM_SET_DEVICE_ATTR : KVM_GET_DEVICE_ATTR,
                    KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS,
                    affinity(v) << 32 | reg, value) == 0
               ? HV_SUCCESS
               : HV_BAD_ARGUMENT;
}

hv_return_t hv_gic_get_icc_reg(hv_vcpu_t vcpu, hv_gic_icc_reg_t reg,
                               uint64_t *value)
{
    return icc_reg(vcpu, false, reg, value);
}

hv_return_t hv_gic_set_icc_reg(hv_vcpu_t vcpu, hv_gic_icc_reg_t reg,
                               uint64_t value)
{
    return icc_reg(vcpu, true, reg, &value);
}

/* --- vCPU ---------------------------------------------------------------- */

hv_return_t hv_vcpu_create(hv_vcpu_t *vcpu, hv_vcpu_exit_t **exit,
                           hv_vcpu_config_t config)
{
    struct kvm_vcpu_init init = {0};
    struct vcpu *v = NULL;
    unsigned id = 0;

    (void)config;
    if (hv.vm < 0) {
        broke(&hv.broken.order, "vCPU without a VM", 0);
        return HV_NO_DEVICE;
    }
    pthread_mutex_lock(&hv.lock);
    for (; id < VCPUS_MAX && !v; id++) {
        if (hv.used[id])
            continue; /* KVM takes an index once */
        hv.used[id] = true;
        v = &hv.vcpu[id];
        v->fd = ioctl(hv.vm, KVM_CREATE_VCPU, (unsigned long)id);
        must(v->fd, "KVM_CREATE_VCPU");
        *vcpu = id;
    }
    pthread_mutex_unlock(&hv.lock);
    if (!v)
        return HV_NO_RESOURCES;
    v->thread = pthread_self();
    v->run = mmap(NULL, hv.run_len, PROT_READ | PROT_WRITE, MAP_SHARED,
                  v->fd, 0);
    if (v->run == MAP_FAILED)
        give_up("mmap");
    must(ioctl(hv.vm, KVM_ARM_PREFERRED_TARGET, &init), "target");
    init.features[0] |= 1u << KVM_ARM_VCPU_PSCI_0_2;
    must(ioctl(v->fd, KVM_ARM_VCPU_INIT, &init), "KVM_ARM_VCPU_INIT");
    v->fault_gpa = UINT64_MAX;
    *exit = &v->exit;
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_destroy(hv_vcpu_t vcpu)
{
    struct vcpu *v = vcpu_of(vcpu);

    if (!v)
        return HV_BAD_ARGUMENT;
    munmap(v->run, hv.run_len);
    close(v->fd);
    memset(v, 0, sizeof(*v));
    v->fd = -1;
    return HV_SUCCESS;
}

hv_return_t hv_vcpus_exit(hv_vcpu_t *vcpus, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct vcpu *v = &hv.vcpu[vcpus[i] % VCPUS_MAX];

        __atomic_store_n(&v->asked, true, __ATOMIC_SEQ_CST);
        __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        pthread_kill(v->thread, SIGNAL);
    }
    return HV_SUCCESS;
}

/* Where the guest's virtual address lies: a walk of stage 1 with 4 KiB
 * granule (DDI 0487, D8.3). UINT64_MAX: nowhere. */
static uint64_t translate(const struct vcpu *v, uint64_t gva)
{
    bool high = gva >> 63;
    uint64_t tcr, table;
    unsigned bits;

    if (!(reg64(v, SYS64(0xc080)) & 1)) /* SCTLR_EL1.M */
        return gva;
    tcr = reg64(v, SYS64(0xc102));
    table = reg64(v, SYS64(high ? 0xc101 : 0xc100)) & 0xfffffffff000ull;
    bits = 64 - (unsigned)(tcr >> (high ? 16 : 0) & 63);
    for (unsigned shift = 12 + 9 * ((bits - 13) / 9);; shift -= 9) {
        unsigned top = bits > shift + 9 ? shift + 9 : bits;
        uint64_t index = gva >> shift & ((1ull << (top - shift)) - 1);
        const void *at = guest_word(table + 8 * index);
        uint64_t entry;

        if (!at)
            return UINT64_MAX;
        memcpy(&entry, at, sizeof(entry));
        if (!(entry & 1))
            return UINT64_MAX;
        if (shift == 12 || !(entry & 2)) { /* page or block */
            uint64_t mask = (1ull << shift) - 1;

            return (entry & 0xfffffffff000ull & ~mask) | (gva & mask);
        }
        table = entry & 0xfffffffff000ull;
    }
}

hv_return_t hv_vcpu_set_trap_debug_exceptions(hv_vcpu_t vcpu, bool trap)
{
    struct vcpu *v = vcpu_of(vcpu);

    if (!v)
        return HV_BAD_ARGUMENT;
    v->trap_debug = trap;
    return HV_SUCCESS;
}

/* KVM takes MDSCR_EL1.SS for itself while it debugs, and has a flag. */
static void set_debug(struct vcpu *v)
{
    struct kvm_guest_debug d = {0};

    if (v->trap_debug)
        d.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
    if (v->trap_debug && reg64(v, SYS64(0x8012)) & 1)
        d.control |= KVM_GUESTDBG_SINGLESTEP;
    if (d.control == v->debug)
        return;
    must(ioctl(v->fd, KVM_SET_GUEST_DEBUG, &d), "KVM_SET_GUEST_DEBUG");
    v->debug = d.control;
}

/* The instruction at pc; 0, which is none, where there is no memory. */
static uint32_t instruction(const struct vcpu *v, uint64_t pc)
{
    uint64_t gpa = translate(v, pc);
    const void *at = guest_word(gpa & ~7ull);
    uint32_t insn = 0;

    if (at)
        memcpy(&insn, (const char *)at + (gpa & 4), sizeof(insn));
    return insn;
}

/* The address that a load or store of a pair uses, which KVM does not tell:
 * base register 9:5, signed offset 21:15 in units of the register's size,
 * not added when it comes after (24:23 are 01). */
static uint64_t pair_gva(const struct vcpu *v, uint32_t insn)
{
    uint32_t rn = insn >> 5 & 31;
    bool el1h = (reg64(v, CORE64(regs.pstate)) & 0xf) == 5;
    uint64_t base = rn < 31 ? reg64(v, reg_id(HV_REG_X0 + rn))
                    : el1h  ? reg64(v, CORE64(sp_el1))
                            : reg64(v, CORE64(regs.sp));
    int64_t offset = (int64_t)((uint64_t)insn << 42) >> 57;
    unsigned scale = insn >> 26 & 1 ? 2 + (insn >> 30) : 2 + (insn >> 31);

    return (insn >> 23 & 3) == 1 ? base : base + (uint64_t)(offset << scale);
}

/* The syndrome of the access that KVM has decoded. */
static void access_exit(struct vcpu *v)
{
    const struct kvm_run *run = v->run;
    uint64_t pc = reg64(v, CORE64(regs.pc));
    uint32_t insn = instruction(v, pc);
    const struct piece *p;
    struct a64_access a;

    a64_access(insn, &a);
    if (!a.isv || 1u << a.size != run->mmio.len ||
        a.store != run->mmio.is_write) {
        fprintf(stderr, "hv_kvm: KVM decodes %08x at %#llx otherwise\n",
                insn, (unsigned long long)pc);
        errno = EPROTO;
        give_up("syndrome");
    }
    if (a.store) {
        uint64_t value =
            a.reg == 31 ? 0 : reg64(v, reg_id(HV_REG_X0 + a.reg));

        if (memcmp(&value, run->mmio.data, run->mmio.len) != 0) {
            errno = EPROTO;
            give_up("store data");
        }
    }
    v->exit.exception.syndrome = a64_abort_syndrome(&a);
    v->exit.exception.physical_address = run->mmio.phys_addr;
    pthread_mutex_lock(&hv.lock);
    p = piece_at(run->mmio.phys_addr);
    if (p) /* memory, but not for writing: a permission fault */
        v->exit.exception.syndrome |= 0x0f;
    pthread_mutex_unlock(&hv.lock);
    v->pending = ACCESS;
    v->load = a.load && a.reg != 31;
    v->load_reg = a.reg;
    v->retry = false;
    v->fault_gpa = run->mmio.phys_addr;
    v->trapped = true;
    v->trap_pc = pc;
    hv.seen.accesses++;
}

static void call_exit(struct vcpu *v)
{
    bool smc = v->run->hypercall.longmode & HYPERCALL_SMC;

    v->exit.exception.syndrome =
        (smc ? 0x17ull : 0x16ull) << 26 | 1u << 25;
    v->pending = CALL;
    v->load = true;
    v->load_reg = 0;
    v->trapped = smc;
    hv.seen.calls++;
    if (smc) { /* KVM has moved on already */
        v->trap_pc = reg64(v, CORE64(regs.pc)) - 4;
        must(one_reg(v, KVM_SET_ONE_REG, CORE64(regs.pc), &v->trap_pc),
             "PC");
    }
}

/* What the caller did about the exit before; then its registers. */
static void settle(struct vcpu *v)
{
    uint32_t pc_bit = 1u << HV_REG_PC;

    if (v->pending == ACCESS) {
        memset(v->run->mmio.data, 0, sizeof(v->run->mmio.data));
        __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        if (ioctl(v->fd, KVM_RUN, 0) >= 0 || errno != EINTR)
            give_up("completing an access");
        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&v->asked, __ATOMIC_SEQ_CST))
            __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    }
    if (v->retry && !(v->is_set & pc_bit)) {
        v->set[HV_REG_PC] = v->trap_pc; /* KVM stored nothing */
        v->is_set |= pc_bit;
    } else if (v->trapped &&
               (!(v->is_set & pc_bit) || v->set[HV_REG_PC] == v->trap_pc)) {
        broke(&hv.broken.pc, "PC was left at a trapped instruction",
              v->trap_pc);
        v->set[HV_REG_PC] = v->trap_pc + 4; /* or it would go round */
        v->is_set |= pc_bit;
    } else if (v->pending != NOTHING && v->load &&
               !(v->is_set >> v->load_reg & 1) &&
               v->set[HV_REG_PC] == v->trap_pc + 4) {
        broke(&hv.broken.result, "no result in its register", v->load_reg);
    }
    v->pending = NOTHING;
    v->trapped = v->load = v->retry = false;
    v->fault_gpa = UINT64_MAX;
    for (unsigned i = 0; i < 32; i++)
        if (v->is_set >> i & 1)
            must(one_reg(v, KVM_SET_ONE_REG, reg_id(i), &v->set[i]),
                 "KVM_SET_ONE_REG");
    v->is_set = 0;
}

/* The frame of the GIC for messages, which KVM has not. True: it was that. */
static bool message_frame(struct vcpu *v)
{
    struct kvm_run *run = v->run;
    uint64_t off = run->mmio.phys_addr - hv.msi_gpa;
    uint32_t value = 0;

    if (hv.gic < 0 || !hv.msi_count || off >= 0x10000)
        return false;
    memcpy(&value, run->mmio.data, sizeof(value));
    if (run->mmio.is_write) {
        if (off == 0x40)
            hv_gic_send_msi(run->mmio.phys_addr, value);
        return true;
    }
    value = off == 0x008 ? hv.msi_first << 16 | hv.msi_count : 0;
    memcpy(run->mmio.data, &value, sizeof(value));
    return true;
}

/* True: v->exit is for the caller. */
static bool exit_of(struct vcpu *v)
{
    v->exit.reason = HV_EXIT_REASON_EXCEPTION;
    memset(&v->exit.exception, 0, sizeof(v->exit.exception));
    switch (v->run->exit_reason) {
    case KVM_EXIT_MMIO:
        if (message_frame(v))
            return false;
        access_exit(v);
        return true;
    case KVM_EXIT_HYPERCALL:
        call_exit(v);
        return true;
    case KVM_EXIT_ARM_NISV:
        v->exit.exception.syndrome =
            0x24ull << 26 | 1u << 25 | v->run->arm_nisv.esr_iss;
        v->exit.exception.physical_address = v->run->arm_nisv.fault_ipa;
        v->exit.exception.virtual_address =
            pair_gva(v, instruction(v, reg64(v, CORE64(regs.pc))));
        v->fault_gpa = v->run->arm_nisv.fault_ipa;
        return true;
    case KVM_EXIT_DEBUG:
        v->exit.exception.syndrome = v->run->debug.arch.hsr;
        return true;
    default:
        v->exit.reason = HV_EXIT_REASON_UNKNOWN;
        return true;
    }
}

hv_return_t hv_vcpu_run(hv_vcpu_t vcpu)
{
    struct vcpu *v = vcpu_of(vcpu);

    if (!v)
        return HV_BAD_ARGUMENT;
    finish_gic();
    settle(v);
    set_debug(v);
    __atomic_add_fetch(&hv.seen.runs, 1, __ATOMIC_RELAXED);
    for (;;) {
        if (ioctl(v->fd, KVM_RUN, 0) >= 0) {
            if (exit_of(v))
                return HV_SUCCESS;
        } else if (errno != EINTR && errno != EAGAIN) {
            fprintf(stderr, "hv_kvm: KVM_RUN: %s\n", strerror(errno));
            return HV_ERROR;
        } else if (__atomic_exchange_n(&v->asked, false,
                                       __ATOMIC_SEQ_CST)) {
            __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
            if (__atomic_load_n(&v->asked, __ATOMIC_SEQ_CST))
                __atomic_store_n(&v->run->immediate_exit, 1,
                                 __ATOMIC_SEQ_CST);
            v->exit.reason = HV_EXIT_REASON_CANCELED;
            __atomic_add_fetch(&hv.seen.canceled, 1, __ATOMIC_RELAXED);
            return HV_SUCCESS;
        }
    }
}
