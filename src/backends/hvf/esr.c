/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/hvf/esr.h"

#include <string.h>

#include "backends/hvf/hv_api.h"

/* Exception classes, ESR_ELx.EC. */
enum {
    EC_UNKNOWN = 0x00,
    EC_WFX = 0x01,
    EC_FP = 0x07,
    EC_PAUTH = 0x09,
    EC_LS64 = 0x0a,
    EC_BTI = 0x0d,
    EC_ILLEGAL = 0x0e,
    EC_HVC64 = 0x16,
    EC_SMC64 = 0x17,
    EC_SYSREG = 0x18,
    EC_SVE = 0x19,
    EC_SME = 0x1d,
    EC_IABT = 0x20,
    EC_DABT = 0x24,
};

/* Of a data abort. */
#define ISS_ISV (1u << 24)
#define ISS_SAS_SHIFT 22
#define ISS_SSE (1u << 21)
#define ISS_SRT_SHIFT 16
#define ISS_SF (1u << 15)
#define ISS_CM (1u << 8)
#define ISS_S1PTW (1u << 7)
#define ISS_WNR (1u << 6)

static void internal_error(struct sq_hvf_decoded *out, const char *text,
                           uint64_t a, uint64_t b)
{
    out->action = SQ_HVF_EXIT;
    out->advance = false;
    out->exit.kind = SQUIB_EXIT_INTERNAL_ERROR;
    out->exit.internal_error = (struct squib_exit_internal_error){
        .text = text, .detail = {a, b}};
}

/* Fault status codes that say where stage 2 stopped: address size,
 * translation, access flag and permission faults of levels -1 to 3. */
static bool is_stage2_fault(uint32_t fsc)
{
    return fsc <= 0x0f || fsc == 0x29 || fsc == 0x2b;
}

/* External aborts and parity errors, of an access or of a table walk: the
 * host's memory failed. */
static bool is_host_fault(uint32_t fsc)
{
    return (fsc >= 0x10 && fsc <= 0x1f) || fsc == 0x30;
}

static void decode_dabt(uint32_t iss, struct sq_hvf_decoded *out)
{
    uint32_t fsc = iss & 0x3f;

    if (is_host_fault(fsc)) {
        internal_error(out, "Hypervisor.framework reports a fault of the "
                       "host's memory", iss, out->gpa);
        return;
    }
    out->action = SQ_HVF_ABORT;
    out->memory = is_stage2_fault(fsc);
    out->write = iss & ISS_WNR;
    if (!out->memory)
        return; /* exclusive or atomic access where there is no memory */
    if (iss & ISS_S1PTW) {
        /* A page table that lies where no memory is, or is write-protected
         * and needs an access flag set. */
        out->write = true;
        return;
    }
    if (iss & ISS_CM) {
        /* Cache maintenance by address, always a "write": there is no cache
         * of a device. */
        out->action = SQ_HVF_AGAIN;
        out->advance = true;
        return;
    }
    if (!(iss & ISS_ISV))
        return; /* pairs, vectors, write-back: no register is named */
    out->action = SQ_HVF_MMIO;
    out->advance = true;
    out->access = (struct sq_hvf_access){
        .gpa = out->gpa,
        .len = (uint8_t)(1u << (iss >> ISS_SAS_SHIFT & 3)),
        .reg = iss >> ISS_SRT_SHIFT & 0x1f,
        .write = out->write,
        .sign = iss & ISS_SSE,
        .wide = iss & ISS_SF,
    };
}

/* ISS of MSR, MRS and SYS: op0 21:20, op2 19:17, op1 16:14, CRn 13:10, Rt
 * 9:5, CRm 4:1, direction 0. */
static void decode_sysreg(uint32_t iss, struct sq_hvf_decoded *out)
{
    uint32_t op0 = iss >> 20 & 3, op2 = iss >> 17 & 7, op1 = iss >> 14 & 7;
    uint32_t crn = iss >> 10 & 15, crm = iss >> 1 & 15;

    out->action = SQ_HVF_SYSREG;
    out->advance = true;
    out->sysreg = (struct sq_hvf_sysreg){
        .id = (uint16_t)(op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2),
        .reg = iss >> 5 & 0x1f,
        .read = iss & 1,
    };
}

static void decode_exception(uint64_t esr, struct sq_hvf_decoded *out)
{
    uint32_t ec = SQ_HVF_EC(esr), iss = esr & 0x1ffffff;

    switch (ec) {
    case EC_WFX: /* bit 0 of TI tells WFE from WFI, also with a timeout */
        out->action = SQ_HVF_IDLE;
        out->advance = true;
        out->exit.kind = iss & 1 ? SQUIB_EXIT_WFE : SQUIB_EXIT_WFI;
        out->exit.idle.deadline_ns = SQUIB_DEADLINE_NONE;
        break;
    case EC_HVC64:
        out->action = SQ_HVF_CALL;
        break;
    case EC_SMC64:
        out->action = SQ_HVF_CALL;
        out->advance = true;
        break;
    case EC_SYSREG:
        decode_sysreg(iss, out);
        break;
    case EC_DABT:
        decode_dabt(iss, out);
        break;
    case EC_IABT:
        if (is_host_fault(iss & 0x3f)) {
            internal_error(out, "Hypervisor.framework reports a fault of "
                           "the host's memory", esr, out->gpa);
            break;
        }
        out->action = SQ_HVF_ABORT;
        out->fetch = true;
        out->memory = is_stage2_fault(iss & 0x3f);
        break;
    case SQ_HVF_EC_BREAKPOINT: case SQ_HVF_EC_BREAKPOINT + 1:
    case SQ_HVF_EC_STEP: case SQ_HVF_EC_STEP + 1:
    case SQ_HVF_EC_WATCHPOINT: case SQ_HVF_EC_WATCHPOINT + 1:
    case SQ_HVF_EC_BRK:
        out->action = SQ_HVF_EXIT;
        out->exit.kind = SQUIB_EXIT_DEBUG;
        out->exit.debug = (struct squib_exit_debug){.syndrome = esr};
        break;
    case EC_UNKNOWN: case EC_FP: case EC_PAUTH: case EC_LS64: case EC_BTI:
    case EC_ILLEGAL: case EC_SVE: case EC_SME:
        /* Instructions that this hypervisor does not let a guest use. */
        out->action = SQ_HVF_UNDEF;
        break;
    default:
        internal_error(out, "Hypervisor.framework reports an exception of a "
                       "class that is not known", esr, ec);
    }
}

void sq_hvf_decode(uint32_t reason, uint64_t syndrome, uint64_t gva,
                   uint64_t gpa, struct sq_hvf_decoded *out)
{
    *out = (struct sq_hvf_decoded){.gpa = gpa, .gva = gva};
    switch (reason) {
    case HV_EXIT_REASON_CANCELED:
        out->action = SQ_HVF_CANCELED;
        break;
    case HV_EXIT_REASON_EXCEPTION:
        decode_exception(syndrome, out);
        break;
    case HV_EXIT_REASON_VTIMER_ACTIVATED:
        out->action = SQ_HVF_VTIMER;
        break;
    default:
        internal_error(out, "Hypervisor.framework does not say why the vCPU "
                       "stopped", reason, syndrome);
    }
}

void sq_hvf_access_exit(const struct sq_hvf_access *a, uint64_t value,
                        struct squib_exit *out)
{
    out->kind = SQUIB_EXIT_MMIO;
    out->mmio = (struct squib_exit_mmio){
        .gpa = a->gpa, .len = a->len, .write = a->write};
    if (a->write)
        memcpy(out->mmio.data, &value, a->len);
}

uint64_t sq_hvf_access_value(const struct sq_hvf_access *a,
                             const struct squib_exit *exit)
{
    uint64_t value = 0;
    unsigned unused = 64 - 8u * a->len;

    memcpy(&value, exit->mmio.data, a->len);
    if (a->sign)
        value = (uint64_t)((int64_t)(value << unused) >> unused);
    return a->wide ? value : (uint32_t)value;
}
