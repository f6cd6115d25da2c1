/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "hv_script.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 0x4000u

struct hv_script hv_script;

/* What is mapped. */
static struct {
    uint64_t gpa, len;
} mapped[64];

void hv_script_reset(void)
{
    struct hv_script *h = &hv_script;

    memset(h, 0, sizeof(*h));
    memset(mapped, 0, sizeof(mapped));
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->asked, NULL);
    h->max_vcpus = HV_SCRIPT_VCPUS;
    h->spis = 988;
    h->redist_len = 0x20000;
    h->now = 1000000;
}

void hv_script_exits(unsigned i, const struct hv_script_exit *exits,
                     size_t count)
{
    hv_script.vcpu[i].exits = exits;
    hv_script.vcpu[i].exit_count = count;
    hv_script.vcpu[i].next = 0;
}

size_t hv_script_count(enum hv_script_event_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < hv_script.event_count; i++)
        n += hv_script.events[i].kind == kind;
    return n;
}

const struct hv_script_event *hv_script_last(enum hv_script_event_kind kind)
{
    for (size_t i = hv_script.event_count; i > 0; i--)
        if (hv_script.events[i - 1].kind == kind)
            return &hv_script.events[i - 1];
    return NULL;
}

unsigned hv_script_violations(void)
{
    const struct hv_script_broken *b = &hv_script.broken;

    return b->thread + b->alignment + b->order + b->overlap + b->leak;
}

static void record(enum hv_script_event_kind kind, uint64_t a, uint64_t b,
                   uint64_t c)
{
    if (hv_script.event_count < HV_SCRIPT_EVENTS)
        hv_script.events[hv_script.event_count++] =
            (struct hv_script_event){kind, a, b, c};
}

/* Whether this call shall fail. */
static bool fails(const char *call)
{
    struct hv_script *h = &hv_script;

    if (!h->fail || strcmp(h->fail, call) != 0)
        return false;
    return h->fail_after == 0 || h->fail_after-- == 0;
}

#define FAILS()                                                            \
    do {                                                                   \
        if (fails(__func__))                                               \
            return hv_script.fail_rc;                                      \
    } while (0)

/* --- objects ------------------------------------------------------------ */

struct hv_vm_config_s { int unused; };
struct hv_gic_config_s { uint64_t dist, redist, msi; };

void os_release(void *object)
{
    hv_script.objects--;
    free(object);
}

hv_vm_config_t hv_vm_config_create(void)
{
    if (fails(__func__))
        return NULL;
    hv_script.objects++;
    return calloc(1, sizeof(struct hv_vm_config_s));
}

hv_gic_config_t hv_gic_config_create(void)
{
    if (fails(__func__))
        return NULL;
    hv_script.objects++;
    return calloc(1, sizeof(struct hv_gic_config_s));
}

/* --- VM ------------------------------------------------------------------ */

hv_return_t hv_vm_config_get_max_ipa_size(uint32_t *bits)
{
    FAILS();
    *bits = 40;
    return HV_SUCCESS;
}

hv_return_t hv_vm_config_set_ipa_size(hv_vm_config_t config, uint32_t bits)
{
    FAILS();
    return config && bits <= 40 ? HV_SUCCESS : HV_BAD_ARGUMENT;
}

hv_return_t hv_vm_get_max_vcpu_count(uint32_t *count)
{
    FAILS();
    *count = hv_script.max_vcpus;
    return HV_SUCCESS;
}

hv_return_t hv_vm_create(hv_vm_config_t config)
{
    FAILS();
    (void)config;
    if (hv_script.vm)
        return HV_BUSY;
    hv_script.vm = true;
    return HV_SUCCESS;
}

hv_return_t hv_vm_destroy(void)
{
    for (unsigned i = 0; i < HV_SCRIPT_VCPUS; i++)
        hv_script.broken.leak += hv_script.vcpu[i].live;
    hv_script.broken.leak += hv_script.objects;
    hv_script.broken.order += !hv_script.vm;
    hv_script.vm = hv_script.gic = false;
    memset(mapped, 0, sizeof(mapped));
    return HV_SUCCESS;
}

static bool check_pages(uint64_t a, uint64_t b)
{
    bool good = (a | b) % PAGE == 0 && b != 0;

    hv_script.broken.alignment += !good;
    return good && hv_script.vm;
}

/* Whether [gpa, gpa + len) lies within something mapped. */
static bool is_mapped(uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < 64; i++)
        if (mapped[i].len && gpa >= mapped[i].gpa &&
            gpa + len <= mapped[i].gpa + mapped[i].len)
            return true;
    hv_script.broken.overlap++;
    return false;
}

hv_return_t hv_vm_map(void *hva, hv_ipa_t ipa, size_t len,
                      hv_memory_flags_t flags)
{
    unsigned at = 64;

    FAILS();
    if (!check_pages(ipa, len) || (uintptr_t)hva % 4096 != 0)
        return HV_BAD_ARGUMENT;
    for (unsigned i = 0; i < 64; i++) {
        if (!mapped[i].len) {
            at = i;
        } else if (ipa < mapped[i].gpa + mapped[i].len &&
                   mapped[i].gpa < ipa + len) {
            hv_script.broken.overlap++;
            return HV_BAD_ARGUMENT;
        }
    }
    if (at == 64)
        return HV_NO_RESOURCES;
    mapped[at].gpa = ipa;
    mapped[at].len = len;
    record(HV_MAP, ipa, len, flags);
    return HV_SUCCESS;
}

hv_return_t hv_vm_unmap(hv_ipa_t ipa, size_t len)
{
    FAILS();
    if (!check_pages(ipa, len) || !is_mapped(ipa, len))
        return HV_BAD_ARGUMENT;
    for (unsigned i = 0; i < 64; i++)
        if (mapped[i].gpa == ipa && mapped[i].len == len)
            mapped[i].len = 0;
    record(HV_UNMAP, ipa, len, 0);
    return HV_SUCCESS;
}

hv_return_t hv_vm_protect(hv_ipa_t ipa, size_t len, hv_memory_flags_t flags)
{
    FAILS();
    if (!check_pages(ipa, len) || !is_mapped(ipa, len))
        return HV_BAD_ARGUMENT;
    record(HV_PROTECT, ipa, len, flags);
    return HV_SUCCESS;
}

/* --- vCPU --------------------------------------------------------------- */

/* The vCPU of that number if the call may be made here and now. */
static struct hv_script_vcpu *vcpu_of(hv_vcpu_t id)
{
    struct hv_script_vcpu *v = &hv_script.vcpu[id % HV_SCRIPT_VCPUS];

    if (!hv_script.vm || !v->live) {
        hv_script.broken.order++;
        return NULL;
    }
    if (!pthread_equal(v->thread, pthread_self())) {
        hv_script.broken.thread++;
        return NULL;
    }
    return v;
}

hv_return_t hv_vcpu_create(hv_vcpu_t *vcpu, hv_vcpu_exit_t **exit,
                           hv_vcpu_config_t config)
{
    FAILS();
    (void)config;
    if (!hv_script.vm) {
        hv_script.broken.order++;
        return HV_NO_DEVICE;
    }
    for (unsigned i = 0; i < HV_SCRIPT_VCPUS; i++) {
        struct hv_script_vcpu *v = &hv_script.vcpu[i];

        if (v->live)
            continue;
        v->live = true;
        v->thread = pthread_self();
        *vcpu = i;
        *exit = &v->exit;
        record(HV_VCPU, i, 0, 0);
        return HV_SUCCESS;
    }
    return HV_NO_RESOURCES;
}

hv_return_t hv_vcpu_destroy(hv_vcpu_t vcpu)
{
    struct hv_script_vcpu *v = vcpu_of(vcpu);

    if (!v)
        return HV_BAD_ARGUMENT;
    v->live = false;
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_run(hv_vcpu_t vcpu)
{
    struct hv_script_vcpu *v = vcpu_of(vcpu);
    struct hv_script_exit e = {.reason = HV_EXIT_REASON_CANCELED};

    FAILS();
    if (!v)
        return HV_BAD_ARGUMENT;
    v->runs++;
    pthread_mutex_lock(&hv_script.lock);
    if (!v->exit_asked && v->next < v->exit_count) {
        e = v->exits[v->next++];
        while (e.wait && !v->exit_asked)
            pthread_cond_wait(&hv_script.asked, &hv_script.lock);
        if (e.wait)
            e.reason = HV_EXIT_REASON_CANCELED;
    }
    if (e.reason == HV_EXIT_REASON_CANCELED)
        v->exit_asked = false;
    pthread_mutex_unlock(&hv_script.lock);
    v->exit.reason = e.reason;
    v->exit.exception = (hv_vcpu_exit_exception_t){
        .syndrome = e.syndrome,
        .virtual_address = e.gva,
        .physical_address = e.gpa,
    };
    /* As hardware leaves it: HVC is a call, all else stays. */
    if (e.reason == HV_EXIT_REASON_EXCEPTION && e.syndrome >> 26 == 0x16)
        v->pc += 4;
    return HV_SUCCESS;
}

hv_return_t hv_vcpus_exit(hv_vcpu_t *vcpus, uint32_t count)
{
    pthread_mutex_lock(&hv_script.lock);
    for (uint32_t i = 0; i < count; i++)
        hv_script.vcpu[vcpus[i] % HV_SCRIPT_VCPUS].exit_asked = true;
    pthread_cond_broadcast(&hv_script.asked);
    pthread_mutex_unlock(&hv_script.lock);
    return HV_SUCCESS;
}

static uint64_t *reg_of(struct hv_script_vcpu *v, hv_reg_t reg)
{
    switch (reg) {
    case HV_REG_PC: return &v->pc;
    case HV_REG_CPSR: return &v->cpsr;
    case HV_REG_FPCR: return &v->fpcr;
    case HV_REG_FPSR: return &v->fpsr;
    default: return reg < 31 ? &v->x[reg] : NULL;
    }
}

#define VCPU_CALL()                                                        \
    struct hv_script_vcpu *v = vcpu_of(vcpu);                              \
    FAILS();                                                               \
    if (!v)                                                                \
        return HV_BAD_ARGUMENT

hv_return_t hv_vcpu_get_reg(hv_vcpu_t vcpu, hv_reg_t reg, uint64_t *value)
{
    VCPU_CALL();
    if (!reg_of(v, reg))
        return HV_BAD_ARGUMENT;
    *value = *reg_of(v, reg);
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_set_reg(hv_vcpu_t vcpu, hv_reg_t reg, uint64_t value)
{
    VCPU_CALL();
    if (!reg_of(v, reg))
        return HV_BAD_ARGUMENT;
    *reg_of(v, reg) = value;
    return HV_SUCCESS;
}

/* AFSR0_EL1 stands for what a processor has not. */
#define NO_SUCH_REG 0xc288

hv_return_t hv_vcpu_get_sys_reg(hv_vcpu_t vcpu, hv_sys_reg_t reg,
                                uint64_t *value)
{
    VCPU_CALL();
    if (reg == NO_SUCH_REG)
        return HV_BAD_ARGUMENT;
    *value = v->sys[reg];
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_set_sys_reg(hv_vcpu_t vcpu, hv_sys_reg_t reg,
                                uint64_t value)
{
    VCPU_CALL();
    if (reg == NO_SUCH_REG)
        return HV_BAD_ARGUMENT;
    v->sys[reg] = value;
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_get_simd_fp_reg(hv_vcpu_t vcpu, hv_simd_fp_reg_t reg,
                                    hv_simd_fp_uchar16_t *value)
{
    VCPU_CALL();
    *value = v->q[reg % 32];
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_set_simd_fp_reg(hv_vcpu_t vcpu, hv_simd_fp_reg_t reg,
                                    hv_simd_fp_uchar16_t value)
{
    VCPU_CALL();
    v->q[reg % 32] = value;
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_set_trap_debug_exceptions(hv_vcpu_t vcpu, bool trap)
{
    VCPU_CALL();
    v->trap_debug = trap;
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_get_vtimer_offset(hv_vcpu_t vcpu, uint64_t *offset)
{
    VCPU_CALL();
    *offset = v->vtimer_offset;
    return HV_SUCCESS;
}

hv_return_t hv_vcpu_set_vtimer_offset(hv_vcpu_t vcpu, uint64_t offset)
{
    VCPU_CALL();
    v->vtimer_offset = offset;
    return HV_SUCCESS;
}

/* --- GIC ----------------------------------------------------------------- */

hv_return_t hv_gic_config_set_distributor_base(hv_gic_config_t config,
                                               hv_ipa_t base)
{
    FAILS();
    config->dist = base;
    return HV_SUCCESS;
}

hv_return_t hv_gic_config_set_redistributor_base(hv_gic_config_t config,
                                                 hv_ipa_t base)
{
    FAILS();
    config->redist = base;
    return HV_SUCCESS;
}

hv_return_t hv_gic_config_set_msi_region_base(hv_gic_config_t config,
                                              hv_ipa_t base)
{
    FAILS();
    config->msi = base;
    return HV_SUCCESS;
}

hv_return_t hv_gic_config_set_msi_interrupt_range(hv_gic_config_t config,
                                                  uint32_t first_intid,
                                                  uint32_t count)
{
    FAILS();
    (void)config;
    record(HV_MSI_RANGE, first_intid, count, 0);
    return HV_SUCCESS;
}

hv_return_t hv_gic_get_spi_interrupt_range(uint32_t *first_intid,
                                           uint32_t *count)
{
    FAILS();
    *first_intid = 32;
    *count = hv_script.spis;
    return HV_SUCCESS;
}

hv_return_t hv_gic_get_redistributor_size(size_t *len)
{
    FAILS();
    *len = hv_script.redist_len;
    return HV_SUCCESS;
}

hv_return_t hv_gic_create(hv_gic_config_t config)
{
    FAILS();
    for (unsigned i = 0; i < HV_SCRIPT_VCPUS; i++)
        hv_script.broken.order += hv_script.vcpu[i].live;
    hv_script.broken.order += !hv_script.vm;
    hv_script.gic = true;
    record(HV_GIC, config->dist, config->redist, config->msi);
    return HV_SUCCESS;
}

hv_return_t hv_gic_set_spi(uint32_t intid, bool level)
{
    FAILS();
    if (!hv_script.gic)
        return HV_NO_DEVICE;
    record(HV_SPI, intid, level, 0);
    return HV_SUCCESS;
}

hv_return_t hv_gic_send_msi(hv_ipa_t address, uint32_t intid)
{
    FAILS();
    record(HV_MSI, address, intid, 0);
    return HV_SUCCESS;
}

/* Writing ones to the set or clear half of a pair (offsets 0x100 to 0x3ff)
 * sets or clears; all else is memory. */
static void gic_write(uint64_t *frame, uint32_t at, uint64_t value)
{
    uint32_t off = at & 0xffff;

    if (off < 0x100 || off >= 0x400)
        frame[at / 4] = value;
    else if (off & 0x80)
        frame[(at & ~0x80u) / 4] &= ~value;
    else
        frame[at / 4] |= value;
}

hv_return_t hv_gic_get_distributor_reg(hv_gic_distributor_reg_t reg,
                                       uint64_t *value)
{
    FAILS();
    if (!hv_script.gic || reg >= 0x10000)
        return HV_BAD_ARGUMENT;
    *value = hv_script.dist[reg / 4];
    return HV_SUCCESS;
}

hv_return_t hv_gic_set_distributor_reg(hv_gic_distributor_reg_t reg,
                                       uint64_t value)
{
    FAILS();
    if (!hv_script.gic || reg >= 0x10000)
        return HV_BAD_ARGUMENT;
    gic_write(hv_script.dist, reg, value);
    return HV_SUCCESS;
}

hv_return_t hv_gic_get_redistributor_reg(hv_vcpu_t vcpu,
                                         hv_gic_redistributor_reg_t reg,
                                         uint64_t *value)
{
    VCPU_CALL();
    if (reg >= 0x20000)
        return HV_BAD_ARGUMENT;
    *value = v->redist[reg / 4];
    return HV_SUCCESS;
}

hv_return_t hv_gic_set_redistributor_reg(hv_vcpu_t vcpu,
                                         hv_gic_redistributor_reg_t reg,
                                         uint64_t value)
{
    VCPU_CALL();
    if (reg >= 0x20000)
        return HV_BAD_ARGUMENT;
    gic_write(v->redist, reg, value);
    return HV_SUCCESS;
}

/* Five bits of priority: one active priorities register of each group. */
static bool has_icc(hv_gic_icc_reg_t reg)
{
    return !(reg >= 0xc645 && reg <= 0xc647) &&
           !(reg >= 0xc649 && reg <= 0xc64b);
}

hv_return_t hv_gic_get_icc_reg(hv_vcpu_t vcpu, hv_gic_icc_reg_t reg,
                               uint64_t *value)
{
    VCPU_CALL();
    if (!has_icc(reg))
        return HV_BAD_ARGUMENT;
    *value = v->icc[reg];
    return HV_SUCCESS;
}

hv_return_t hv_gic_set_icc_reg(hv_vcpu_t vcpu, hv_gic_icc_reg_t reg,
                               uint64_t value)
{
    VCPU_CALL();
    if (!has_icc(reg))
        return HV_BAD_ARGUMENT;
    v->icc[reg] = value;
    return HV_SUCCESS;
}

/* --- the host's counter -------------------------------------------------- */

uint64_t mach_absolute_time(void)
{
    return hv_script.now;
}

int mach_timebase_info(mach_timebase_info_data_t *info)
{
    info->numer = 125;
    info->denom = 3;
    return 0;
}
