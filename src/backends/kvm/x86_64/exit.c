/* SPDX-License-Identifier: Apache-2.0 */
/* What exits carry that only x86-64 has. */
#include "backends/kvm/exit.h"

#include <stdio.h>

#define SHOWN_BYTES 8

/* --- instructions that could not be emulated ------------------------- */

static bool is_prefix(uint8_t b)
{
    switch (b) {
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
    case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3:
        return true;
    default:
        return false;
    }
}

static const char *name_0fae(uint8_t modrm, bool wide)
{
    static const char *const mem[2][8] = {
        {"fxsave", "fxrstor", "ldmxcsr", "stmxcsr", "xsave", "xrstor",
         "xsaveopt", "clflush"},
        {"fxsave64", "fxrstor64", "ldmxcsr", "stmxcsr", "xsave64",
         "xrstor64", "xsaveopt64", "clflush"},
    };

    return modrm < 0xc0 ? mem[wide][modrm >> 3 & 7] : NULL;
}

static const char *name_0fc7(uint8_t modrm, bool wide)
{
    unsigned reg = modrm >> 3 & 7;

    if (modrm >= 0xc0)
        return reg == 6 ? "rdrand" : reg == 7 ? "rdseed" : NULL;
    if (reg == 1)
        return wide ? "cmpxchg16b" : "cmpxchg8b";
    if (reg == 3)
        return "xrstors";
    return reg == 4 ? "xsavec" : reg == 5 ? "xsaves" : NULL;
}

static const char *name_0f(const uint8_t *b, size_t len, bool wide)
{
    if (len >= 2 && b[0] == 0xae)
        return name_0fae(b[1], wide);
    if (len >= 2 && b[0] == 0xc7)
        return name_0fc7(b[1], wide);
    if (len >= 2 && b[0] == 0x01)
        return b[1] == 0xd1 ? "xsetbv" : b[1] == 0xd0 ? "xgetbv" : NULL;
    if (len >= 1 && (b[0] == 0x0b || b[0] == 0xb9))
        return "ud2";
    if (len >= 1 && (b[0] & 0xf0) >= 0x50 && (b[0] & 0xf0) <= 0x70)
        return "an SSE instruction";
    if (len >= 1 && b[0] >= 0xd0)
        return "an SSE instruction";
    return NULL;
}

const char *sq_kvm_insn_name(const uint8_t *bytes, size_t len)
{
    size_t i = 0;
    bool wide = false;

    while (i < len && is_prefix(bytes[i]))
        i++;
    /* REX counts only in 64-bit mode; elsewhere 0x40..0x4f would be a
     * one-byte instruction that every KVM can do. */
    if (i + 1 < len && (bytes[i] & 0xf0) == 0x40)
        wide = bytes[i++] & 8;
    if (i >= len)
        return NULL;
    if (bytes[i] == 0xcc)
        return "int3";
    if (bytes[i] == 0xc5 || bytes[i] == 0xc4)
        return "an AVX instruction";
    if (bytes[i] >= 0xd8 && bytes[i] <= 0xdf)
        return "an x87 instruction";
    if (bytes[i] == 0x0f)
        return name_0f(bytes + i + 1, len - i - 1, wide);
    return NULL;
}

/* internal.data of KVM_INTERNAL_ERROR_EMULATION: flags, then (when bit 0 of
 * flags is set) one byte of length and up to 15 bytes of instruction. */
static void emulation_error(struct sq_kvm_decode *d,
                            const struct kvm_run *run,
                            struct squib_exit *out)
{
    const uint8_t *raw = (const uint8_t *)&run->internal.data[1];
    size_t len = 0;
    int used;
    const char *name;

    if (run->internal.ndata >= 3 && (run->internal.data[0] & 1))
        len = raw[0] <= 15 ? raw[0] : 15;
    if (len == 0) {
        sq_kvm_internal_error(out, "KVM could not fetch or emulate an "
                              "instruction of the guest",
                              KVM_INTERNAL_ERROR_EMULATION, 0);
        return;
    }
    name = sq_kvm_insn_name(raw + 1, len);
    used = snprintf(d->text, sizeof(d->text),
                    "KVM could not emulate the instruction %s%sbytes",
                    name ? name : "", name ? ", " : "");
    /* What follows the instruction may be in there too; a few will do. */
    for (size_t i = 0; i < len && i < SHOWN_BYTES; i++)
        used += snprintf(d->text + used, sizeof(d->text) - (size_t)used,
                         " %02x", raw[1 + i]);
    sq_kvm_internal_error(out, d->text, KVM_INTERNAL_ERROR_EMULATION, len);
}

bool sq_kvm_decode_suberror(struct sq_kvm_decode *d,
                            const struct kvm_run *run,
                            struct squib_exit *out)
{
    if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
        return false;
    emulation_error(d, run, out);
    return true;
}

void sq_kvm_decode_debug(const struct kvm_run *run,
                         struct squib_exit_debug *out)
{
    out->pc = run->debug.arch.pc;
    out->syndrome = run->debug.arch.dr6;
}

bool sq_kvm_decode_arch(struct sq_kvm_decode *d, const struct kvm_run *run,
                        struct squib_exit *out)
{
    (void)d;
    (void)run;
    (void)out;
    return false;
}
