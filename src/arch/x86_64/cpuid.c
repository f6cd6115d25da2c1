/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86_64/cpuid.h"

#include <stdbool.h>
#include <string.h>

#include <squib/vm.h>

#include "base/err.h"
#include "base/util.h"

#define BIT(n) (1u << (n))

#define LEAF_KVM 0x40000000u
#define LEAF_KVM_FEATURES 0x40000001u

struct list {
    struct squib_x86_cpuid *leaf;
    size_t n, cap;
    bool full;
};

static const struct sq_x86_cpuid_mask no_xsave[] = {
    /* XSAVE, OSXSAVE, AVX, F16C, FMA */
    {.leaf = 1, .ecx = BIT(26) | BIT(27) | BIT(28) | BIT(29) | BIT(12)},
    {.leaf = 7,
     .subleaf = 0,
     /* AVX2, MPX, AVX-512 (F DQ IFMA PF ER CD BW VL) */
     .ebx = BIT(5) | BIT(14) | BIT(16) | BIT(17) | BIT(21) | BIT(26) |
            BIT(27) | BIT(28) | BIT(30) | BIT(31),
     /* VBMI, PKU, OSPKE, VBMI2, CET, VAES, VPCLMUL, VNNI, BITALG, POPCNT */
     .ecx = BIT(1) | BIT(3) | BIT(4) | BIT(6) | BIT(7) | BIT(9) | BIT(10) |
            BIT(11) | BIT(12) | BIT(14),
     /* 4VNNIW, 4FMAPS, VP2INTERSECT, CET-IBT, AMX, FP16 */
     .edx = BIT(2) | BIT(3) | BIT(8) | BIT(20) | BIT(22) | BIT(23) |
            BIT(24) | BIT(25)},
    /* AVX-VNNI, BF16, AVX-IFMA */
    {.leaf = 7, .subleaf = 1, .eax = BIT(4) | BIT(5) | BIT(23), .edx = ~0u},
    {.leaf = 0xd, .subleaf = 0, .eax = ~0u, .ebx = ~0u, .ecx = ~0u,
     .edx = ~0u},
    {.leaf = 0xd, .subleaf = 1, .eax = ~0u, .ebx = ~0u, .ecx = ~0u,
     .edx = ~0u},
    /* XOP, LWP, FMA4 */
    {.leaf = 0x80000001, .ecx = BIT(11) | BIT(15) | BIT(16)},
};

static const struct sq_x86_cpuid_template templates[] = {
    {"none", NULL, 0},
    {"no-xsave", no_xsave, SQ_ARRAY_LEN(no_xsave)},
};

const struct sq_x86_cpuid_template *sq_x86_cpuid_template(const char *name)
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(templates); i++)
        if (strcmp(templates[i].name, name) == 0)
            return &templates[i];
    return NULL;
}

static struct squib_x86_cpuid *find(struct list *l, uint32_t leaf,
                                    uint32_t subleaf)
{
    for (size_t i = 0; i < l->n; i++) {
        struct squib_x86_cpuid *c = &l->leaf[i];

        if (c->leaf == leaf && (!c->has_subleaf || c->subleaf == subleaf))
            return c;
    }
    return NULL;
}

/* Finds or adds; never NULL: when the list is full its last entry stands
 * in, and apply() fails at the end. */
static struct squib_x86_cpuid *need(struct list *l, uint32_t leaf,
                                    uint32_t subleaf, bool has_subleaf)
{
    struct squib_x86_cpuid *c = find(l, leaf, subleaf);

    if (c)
        return c;
    if (l->n == l->cap) {
        l->full = true;
        return &l->leaf[l->n - 1];
    }
    c = &l->leaf[l->n++];
    *c = (struct squib_x86_cpuid){
        .leaf = leaf, .subleaf = subleaf, .has_subleaf = has_subleaf};
    return c;
}

static void drop(struct list *l, uint32_t leaf)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->n; i++)
        if (l->leaf[i].leaf != leaf)
            l->leaf[kept++] = l->leaf[i];
    l->n = kept;
}

static void hide(struct list *l, const struct sq_x86_cpuid_template *t)
{
    for (size_t i = 0; t && i < t->count; i++) {
        const struct sq_x86_cpuid_mask *m = &t->mask[i];
        struct squib_x86_cpuid *c = find(l, m->leaf, m->subleaf);

        if (!c)
            continue;
        c->eax &= ~m->eax;
        c->ebx &= ~m->ebx;
        c->ecx &= ~m->ecx;
        c->edx &= ~m->edx;
    }
}

/* How many bits an APIC id takes within the package. */
static uint32_t id_bits(uint32_t vcpus)
{
    uint32_t bits = 0;

    while (1u << bits < vcpus)
        bits++;
    return bits;
}

/* Leaf 0xb or 0x1f: one level of threads (one each), one of cores. */
static void topology_leaf(struct list *l, uint32_t leaf,
                          const struct sq_x86_cpuid_config *cfg)
{
    drop(l, leaf);
    for (uint32_t sub = 0; sub < 3; sub++) {
        struct squib_x86_cpuid *c = need(l, leaf, sub, true);

        c->ecx = sub | (sub < 2 ? (sub + 1) << 8 : 0);
        c->edx = cfg->index;
        if (sub == 0) {
            c->ebx = 1;
        } else if (sub == 1) {
            c->eax = id_bits(cfg->vcpus);
            c->ebx = cfg->vcpus;
        }
    }
}

/* Caches of leaf 4 (Intel) and 0x8000001d (AMD): the third level is shared
 * by the package, the others belong to a core. */
static void cache_leaf(struct list *l, uint32_t leaf,
                       const struct sq_x86_cpuid_config *cfg)
{
    uint32_t ids = (1u << id_bits(cfg->vcpus)) - 1;

    for (size_t i = 0; i < l->n; i++) {
        struct squib_x86_cpuid *c = &l->leaf[i];
        bool shared = (c->eax >> 5 & 7) >= 3;

        if (c->leaf != leaf || (c->eax & 0x1f) == 0)
            continue;
        c->eax = (c->eax & 0x3fff) | (shared ? ids << 14 : 0) |
                 (leaf == 4 ? ids << 26 : 0);
    }
}

static void basic(struct list *l, const struct sq_x86_cpuid_config *cfg)
{
    struct squib_x86_cpuid *c = need(l, 0, 0, false);

    if (c->eax < 0xb)
        c->eax = 0xb;
    c = need(l, 1, 0, false);
    c->ebx = (c->ebx & 0xffff) | cfg->index << 24 |
             (1u << id_bits(cfg->vcpus)) << 16;
    /* The hypervisor is there; OSXSAVE follows CR4, which is 0 here. */
    c->ecx = (c->ecx | BIT(31)) & ~BIT(27);
    if (cfg->vcpus > 1)
        c->edx |= BIT(28);
    else
        c->edx &= ~BIT(28);
    cache_leaf(l, 4, cfg);
    /* ARAT: the local APIC's timer never stops. */
    need(l, 6, 0, false)->eax |= BIT(2);
    topology_leaf(l, 0xb, cfg);
    if (find(l, 0x1f, 0))
        topology_leaf(l, 0x1f, cfg);
}

static void extended(struct list *l, const struct sq_x86_cpuid_config *cfg)
{
    struct squib_x86_cpuid *c = find(l, 0x80000001, 0);

    /* Bit 1 says on AMD that a package has several cores. */
    if (c && c->ecx & BIT(22))
        c->ecx = cfg->vcpus > 1 ? c->ecx | BIT(1) : c->ecx & ~BIT(1);
    c = find(l, 0x80000008, 0);
    if (c)
        c->ecx = (c->ecx & ~0xf0ffu) | id_bits(cfg->vcpus) << 12 |
                 (cfg->vcpus - 1);
    cache_leaf(l, 0x8000001d, cfg);
    c = find(l, 0x8000001e, 0);
    if (c) {
        c->eax = cfg->index;
        c->ebx = (c->ebx & ~0xffffu) | cfg->index;
        c->ecx &= ~0x7ffu;
    }
}

static void hypervisor(struct list *l)
{
    struct squib_x86_cpuid *c = need(l, LEAF_KVM, 0, false);

    if (c->eax < LEAF_KVM_FEATURES)
        c->eax = LEAF_KVM_FEATURES;
    c->ebx = 0x4b4d564b; /* "KVMKVMKVM" */
    c->ecx = 0x564b4d56;
    c->edx = 0x4d;
    need(l, LEAF_KVM_FEATURES, 0, false);
}

static void brand(struct list *l, const char *text)
{
    char name[48] = {0};
    struct squib_x86_cpuid *c = need(l, 0x80000000, 0, false);

    memcpy(name, text, strnlen(text, sizeof(name) - 1));
    if (c->eax < 0x80000004)
        c->eax = 0x80000004;
    for (uint32_t i = 0; i < 3; i++) {
        c = need(l, 0x80000002 + i, 0, false);
        c->eax = sq_ld32(name + 16 * i);
        c->ebx = sq_ld32(name + 16 * i + 4);
        c->ecx = sq_ld32(name + 16 * i + 8);
        c->edx = sq_ld32(name + 16 * i + 12);
    }
}

int sq_x86_cpuid_apply(const struct sq_x86_cpuid_config *config,
                       struct squib_x86_cpuid *leaves, size_t *n, size_t cap,
                       struct squib_error *err)
{
    struct list l = {.leaf = leaves, .n = *n, .cap = cap};

    if (config->vcpus < 1 || config->vcpus > SQUIB_VCPUS_MAX ||
        config->index >= config->vcpus || cap == 0 || *n > cap)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "CPUID: vCPU %u of %u is not possible",
                          config->index, config->vcpus);
    basic(&l, config);
    extended(&l, config);
    hypervisor(&l);
    if (config->brand)
        brand(&l, config->brand);
    hide(&l, config->hide);
    if (l.full)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "CPUID: more than %zu leaves", cap);
    *n = l.n;
    return 0;
}
