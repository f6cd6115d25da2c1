/* SPDX-License-Identifier: Apache-2.0 */
/* What the CPUID policy makes of an Intel-like and an AMD-like offer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <squib/vm.h>

#include "arch/x86_64/cpu_template.h"
#include "arch/x86_64/cpuid.h"
#include "base/util.h"
#include "core/backend.h"

static const struct squib_x86_cpuid intel[] = {
    {.leaf = 0, .eax = 0x1f, .ebx = 0x756e6547, .ecx = 0x6c65746e,
     .edx = 0x49656e69},
    {.leaf = 1, .eax = 0x806f8, .ebx = 0xff201234, .ecx = 0x7ffafbff,
     .edx = 0xffffffff},
    {.leaf = 4, .subleaf = 0, .has_subleaf = true, .eax = 0xfc004121},
    {.leaf = 4, .subleaf = 1, .has_subleaf = true, .eax = 0xfc01c163},
    {.leaf = 4, .subleaf = 2, .has_subleaf = true, .eax = 0},
    {.leaf = 7, .subleaf = 0, .has_subleaf = true, .eax = 1,
     .ebx = ~0u, .ecx = ~0u, .edx = ~0u},
    {.leaf = 0xb, .subleaf = 0, .has_subleaf = true, .ebx = 2, .edx = 77},
    {.leaf = 0xb, .subleaf = 1, .has_subleaf = true, .ebx = 64, .edx = 77},
    {.leaf = 0xd, .subleaf = 0, .has_subleaf = true, .eax = 0xe7},
    {.leaf = 0x1f, .subleaf = 0, .has_subleaf = true, .edx = 77},
    {.leaf = 0x40000001, .eax = 0x0100000b},
};

static const struct squib_x86_cpuid amd[] = {
    {.leaf = 0, .eax = 0xd, .ebx = 0x68747541, .ecx = 0x444d4163,
     .edx = 0x69746e65},
    {.leaf = 1, .eax = 0xa20f12, .edx = 0x178bfbff},
    {.leaf = 0x80000000, .eax = 0x80000001},
    {.leaf = 0x80000001, .ecx = 1u << 22 | 1u << 16},
    {.leaf = 0x80000008, .eax = 0x3030, .ecx = 0x703f},
    {.leaf = 0x8000001d, .subleaf = 0, .has_subleaf = true, .eax = 0x4121},
    {.leaf = 0x8000001d, .subleaf = 3, .has_subleaf = true, .eax = 0x3c163},
    {.leaf = 0x8000001e, .eax = 9, .ebx = 0x0105, .ecx = 0x302},
};

struct result {
    struct squib_x86_cpuid leaf[SQUIB_X86_CPUID_MAX];
    size_t n;
};

static void apply(struct result *r, const struct squib_x86_cpuid *offer,
                  size_t n, const struct sq_x86_cpuid_config *config)
{
    struct squib_error err = {0};

    memcpy(r->leaf, offer, n * sizeof(*offer));
    r->n = n;
    if (sq_x86_cpuid_apply(config, r->leaf, &r->n, SQUIB_X86_CPUID_MAX,
                           &err))
        fail_msg("%s", err.text);
}

static const struct squib_x86_cpuid *get(const struct result *r,
                                         uint32_t leaf, uint32_t subleaf)
{
    const struct squib_x86_cpuid *hit = NULL;

    for (size_t i = 0; i < r->n; i++)
        if (r->leaf[i].leaf == leaf &&
            (!r->leaf[i].has_subleaf || r->leaf[i].subleaf == subleaf)) {
            assert_null(hit); /* never twice */
            hit = &r->leaf[i];
        }
    assert_non_null(hit);
    return hit;
}

static void test_topology(void **state)
{
    (void)state;
    for (uint32_t vcpus = 1; vcpus <= SQUIB_VCPUS_MAX; vcpus++)
        for (uint32_t index = 0; index < vcpus; index++) {
            const struct sq_x86_cpuid_config config = {.index = index,
                                                       .vcpus = vcpus};
            const struct squib_x86_cpuid *c;
            struct result r;
            uint32_t ids = 1;

            while (ids < vcpus)
                ids *= 2;
            apply(&r, intel, SQ_ARRAY_LEN(intel), &config);
            c = get(&r, 1, 0);
            assert_int_equal(c->ebx >> 24, index);
            assert_int_equal(c->ebx >> 16 & 0xff, ids);
            assert_int_equal(c->ebx & 0xffff, 0x1234);
            assert_int_equal(c->edx >> 28 & 1, vcpus > 1);
            assert_int_equal(get(&r, 4, 0)->eax >> 26, ids - 1);
            assert_int_equal(get(&r, 4, 0)->eax >> 14 & 0xfff, 0);
            assert_int_equal(get(&r, 4, 1)->eax >> 14 & 0xfff, ids - 1);
            assert_int_equal(get(&r, 4, 2)->eax, 0);
            for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x14) {
                c = get(&r, leaf, 1);
                assert_int_equal(1u << c->eax, ids);
                assert_int_equal(c->ebx, vcpus);
                assert_int_equal(c->ecx, 0x201);
                assert_int_equal(c->edx, index);
                assert_int_equal(get(&r, leaf, 0)->ebx, 1);
                assert_int_equal(get(&r, leaf, 0)->ecx, 0x100);
                assert_int_equal(get(&r, leaf, 2)->ebx, 0);
            }
            apply(&r, amd, SQ_ARRAY_LEN(amd), &config);
            assert_int_equal(get(&r, 0, 0)->eax, 0xd);
            c = get(&r, 0x80000008, 0);
            assert_int_equal(c->ecx & 0xff, vcpus - 1);
            assert_int_equal(1u << (c->ecx >> 12 & 15), ids);
            assert_int_equal(get(&r, 0x8000001e, 0)->eax, index);
            assert_int_equal(get(&r, 0x8000001e, 0)->ebx, index);
            assert_int_equal(get(&r, 0x8000001d, 3)->eax >> 14 & 0xfff,
                             ids - 1);
            assert_int_equal(get(&r, 0x80000001, 0)->ecx >> 1 & 1,
                             vcpus > 1);
            assert_int_equal(get(&r, 0xb, 1)->ebx, vcpus);
        }
}

static void test_hypervisor(void **state)
{
    const struct sq_x86_cpuid_config config = {.vcpus = 1};
    const struct squib_x86_cpuid *c;
    struct result r;

    (void)state;
    apply(&r, intel, SQ_ARRAY_LEN(intel), &config);
    assert_int_equal(get(&r, 1, 0)->ecx >> 31, 1);
    assert_int_equal(get(&r, 1, 0)->ecx >> 27 & 1, 0);
    assert_int_equal(get(&r, 1, 0)->ecx >> 26 & 1, 1);
    c = get(&r, 0x40000000, 0);
    assert_memory_equal(&c->ebx, "KVMKVMKVM\0\0\0", 12);
    assert_in_range(c->eax, 0x40000001, 0x400000ff);
    assert_int_equal(get(&r, 0x40000001, 0)->eax, 0x0100000b); /* kept */
    assert_int_equal(get(&r, 6, 0)->eax & 4, 4);
    apply(&r, amd, SQ_ARRAY_LEN(amd), &config);
    assert_int_equal(get(&r, 0x40000001, 0)->eax, 0);
    /* From nothing at all. */
    apply(&r, amd, 0, &config);
    assert_int_equal(get(&r, 0, 0)->eax, 0xb);
}

static void test_no_xsave(void **state)
{
    const struct sq_x86_cpuid_config config = {
        .vcpus = 1, .hide = sq_x86_cpuid_template("no-xsave")};
    struct result r;
    const struct squib_x86_cpuid *c;

    (void)state;
    assert_non_null(config.hide);
    apply(&r, intel, SQ_ARRAY_LEN(intel), &config);
    assert_int_equal(get(&r, 1, 0)->ecx & 0x3c001000, 0);
    assert_int_equal(get(&r, 1, 0)->ecx & (1u << 20), 1u << 20); /* SSE4.2 */
    c = get(&r, 7, 0);
    assert_int_equal(c->ebx & (1u << 5 | 1u << 16), 0);
    assert_int_equal(c->ebx & (1u << 3 | 1u << 8), 1u << 3 | 1u << 8);
    assert_int_equal(get(&r, 0xd, 0)->eax, 0);
    apply(&r, amd, SQ_ARRAY_LEN(amd), &config);
    assert_int_equal(get(&r, 0x80000001, 0)->ecx >> 16 & 1, 0);
    assert_non_null(sq_x86_cpuid_template("none"));
    assert_null(sq_x86_cpuid_template("no-such"));
}

static void test_brand(void **state)
{
    const struct sq_x86_cpuid_config config = {
        .vcpus = 1,
        .brand = "squib software CPU, which has quite a long name to cut"};
    char text[49] = {0};
    struct result r;

    (void)state;
    apply(&r, amd, SQ_ARRAY_LEN(amd), &config);
    for (uint32_t i = 0; i < 3; i++)
        memcpy(text + 16 * i, &get(&r, 0x80000002 + i, 0)->eax, 16);
    assert_int_equal(strlen(text), 47);
    assert_memory_equal(text, config.brand, 47);
    assert_true(get(&r, 0x80000000, 0)->eax >= 0x80000004);
}

static void test_errors(void **state)
{
    struct sq_x86_cpuid_config config = {.vcpus = 0};
    struct squib_x86_cpuid leaf[SQUIB_X86_CPUID_MAX] = {0};
    size_t n = 0;

    (void)state;
    assert_int_equal(sq_x86_cpuid_apply(&config, leaf, &n, 10, NULL),
                     SQUIB_E_INVAL);
    config.vcpus = 33;
    assert_int_equal(sq_x86_cpuid_apply(&config, leaf, &n, 10, NULL),
                     SQUIB_E_INVAL);
    config.vcpus = config.index = 2;
    assert_int_equal(sq_x86_cpuid_apply(&config, leaf, &n, 10, NULL),
                     SQUIB_E_INVAL);
    config.index = 1;
    for (size_t cap = 1; cap < 20; cap++) {
        size_t want = 8; /* 0, 1, 6, 0xb three times, two of KVM's */
        int rc;

        n = 0;
        rc = sq_x86_cpuid_apply(&config, leaf, &n, cap, NULL);
        assert_int_equal(rc, cap < want ? SQUIB_E_RANGE : 0);
        assert_int_equal(n, cap < want ? 0 : want);
    }
}

/* --- templates --------------------------------------------------------- */

static void test_template_changes(void **state)
{
    static struct sq_cpu_template t = {
        .name = SQ_CPU_NO_NAME,
        .cpuid_count = 3,
        .cpuid = {
            {.leaf = 1, .reg = 2, .mask = 0xf0000001, .value = 0x10000000},
            {.leaf = 7, .reg = 1, .mask = 0xff, .value = 0x5a},
            {.leaf = 0xb, .subleaf = 1, .reg = 3, .mask = ~0u, .value = 5},
        },
        .msr_count = 1,
        .msr = {{.index = 0x10a, .mask = 0xff, .value = 0xf}},
    };
    static struct squib_x86_64_state st = {
        .msr_count = 2,
        .msr = {{.index = 0x10, .value = 1}, {.index = 0x10a,
                                              .value = 0x1234}},
    };
    struct squib_x86_cpuid leaf[SQ_ARRAY_LEN(intel)];
    struct squib_error err = {0};

    (void)state;
    memcpy(leaf, intel, sizeof(leaf));
    assert_int_equal(sq_cpu_template_cpuid(&t, leaf, SQ_ARRAY_LEN(leaf),
                                           NULL), 0);
    assert_int_equal(leaf[1].ecx, 0x1ffafbfe);
    assert_int_equal(leaf[5].ebx, 0xffffff5a);
    assert_int_equal(leaf[6].edx, 77);
    assert_int_equal(leaf[7].edx, 5);
    t.cpuid[0].subleaf = 1; /* leaf 1 has none */
    assert_int_equal(sq_cpu_template_cpuid(&t, leaf, SQ_ARRAY_LEN(leaf),
                                           &err), SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "Leaf: 1, Subleaf: 1"));
    assert_int_equal(sq_cpu_template_msrs(&t, &st, NULL), 0);
    assert_int_equal(st.msr[0].value, 1);
    assert_int_equal(st.msr[1].value, 0x120f);
    t.msr[0].index = 0x10b;
    assert_int_equal(sq_cpu_template_msrs(&t, &st, &err),
                     SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "Register Address: 10b"));
}

static void test_template_of_the_software_cpu(void **state)
{
    const struct squib_backend *soft = squib_backend_find("soft");
    static struct sq_cpu_template t = {
        .name = SQ_CPU_NO_NAME,
        .cpuid_count = 1,
        .cpuid = {{.leaf = 1, .reg = 2}},
    };
    struct squib_error err = {0};

    (void)state;
    assert_non_null(soft);
    assert_int_equal(sq_cpu_template_resolve(&t, soft, NULL), 0);
    t.cpuid[0].mask = 1u << 25; /* AES can go */
    assert_int_equal(sq_cpu_template_resolve(&t, soft, NULL), 0);
    t.cpuid[0].mask = t.cpuid[0].value = 1u << 5; /* VMX cannot come */
    assert_int_equal(sq_cpu_template_resolve(&t, soft, &err),
                     SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "bits 0x20 of register ecx of CPUID "
                           "leaf 0x1"));
    t.cpuid_count = 0;
    t.cap_count = 1;
    assert_int_equal(sq_cpu_template_resolve(&t, soft, &err),
                     SQUIB_E_NOSUPPORT);
    t.cap_count = 0;
    t.name = SQ_CPU_T2A;
    assert_int_equal(sq_cpu_template_resolve(&t, soft, &err),
                     SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "CPU vendor mismatched"));
    /* Intel's apply to it, whatever their models. */
    t.name = SQ_CPU_T2;
    assert_int_equal(sq_cpu_template_resolve(&t, soft, NULL), 0);
    assert_int_equal(t.cpuid_count, 11);
    t.name = SQ_CPU_C3;
    assert_int_equal(sq_cpu_template_resolve(&t, soft, NULL), 0);
}

/* --- templates by name ------------------------------------------------- */

#define SUB(l, s) .leaf = l, .subleaf = s, .has_subleaf = true
#define ONES .eax = ~0u, .ebx = ~0u, .ecx = ~0u, .edx = ~0u

/* Every bit is set, but for vendor and model. */
static struct squib_x86_cpuid full[] = {
    {.leaf = 0, .eax = 0x16, .ebx = 0x756e6547},
    {.leaf = 1, .ebx = ~0u, .ecx = ~0u, .edx = ~0u},
    {SUB(7, 0), ONES},
    {SUB(0xd, 0), ONES},
    {SUB(0xd, 1), ONES},
    {.leaf = 0x80000001, ONES},
    {.leaf = 0x80000008, ONES},
};

static uint64_t fake_caps(void)
{
    return SQUIB_CAP_VCPU_EXITS | SQUIB_CAP_HARDWARE;
}

static int fake_cpuid(struct squib_x86_cpuid *leaves, size_t *n,
                      struct squib_error *err)
{
    (void)err;
    memcpy(leaves, full, sizeof(full));
    *n = SQ_ARRAY_LEN(full);
    return 0;
}

static const struct squib_backend fake = {
    .name = "fake",
    .arch = SQUIB_ARCH_X86_64,
    .caps = fake_caps,
    .cpuid = fake_cpuid,
};

static void test_named_templates(void **state)
{
    enum { INTEL = 0x756e6547, AMD = 0x68747541 };
    static const struct {
        enum sq_cpu_name name;
        uint32_t vendor, model;
        const char *refused; /* or NULL, and what becomes of `full`: */
        uint32_t leaf1[4], leaf7[4], ecx, edx, ebx;
        uint64_t msr; /* of ones; 0: none */
    } cases[] = {
        {SQ_CPU_T2, INTEL, 0x50654, NULL,
         {0x306f2, ~0u, 0xfffb3203, 0x179bffff},
         {~0u, 0x001027eb, 0xbfbea0a1, 0xfffffee3},
         0xdffffeff, 0xfbffffff, 0xfffffdff, 0},
        {SQ_CPU_T2S, INTEL, 0x50657, NULL,
         {0x306f2, ~0u, 0xfffb3203, 0x179bffff},
         {~0u, 0x001027eb, 0xbfbea0a1, 0xfffffee3},
         0xdffffeff, 0xfbffffff, 0xfffffdff, 0x0c0a0c4c},
        {SQ_CPU_T2CL, INTEL, 0x606a6, NULL,
         {0x306f2, ~0u, 0xfffb3203, 0x179bffff},
         {~0u, 0x001027eb, 0xbfbea0a1, 0xfffffee3},
         0xdffffe3f, 0xf83fffff, 0xfffffdff, 0x1d0ae1ff},
        {SQ_CPU_T2A, AMD, 0xa00f11, NULL,
         {0x306f2, ~0u, 0xfffb3203, 0x179bffff},
         {~0u, 0x001027eb, 0xbfbea0a1, 0xfffffee3},
         0xdffffe3b, 0xf9bfffff, 0xfffffdfe, 0},
        {SQ_CPU_C3, INTEL, 0x50654, NULL,
         {0x306e4, ~0u, 0xffbf22c3, 0x579bffff},
         {~0u, 0x005022c3, 0xbfbeb7e1, 0xfffffff3},
         0xfffffedf, 0xfbffffff, ~0u, 0},
        {SQ_CPU_T2, AMD, 0xa00f11, "CPU vendor mismatched", {0}, {0}, 0, 0,
         0, 0},
        {SQ_CPU_T2A, INTEL, 0x50654, "CPU vendor mismatched", {0}, {0}, 0,
         0, 0, 0},
        {SQ_CPU_T2S, INTEL, 0x606a6, "CPU model is not permitted", {0}, {0},
         0, 0, 0, 0},
        {SQ_CPU_T2CL, INTEL, 0x50654, "CPU model is not permitted", {0}, {0},
         0, 0, 0, 0},
        {SQ_CPU_C3, INTEL, 0x806f8, "CPU model is not permitted", {0}, {0},
         0, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(cases); i++) {
        static struct sq_cpu_template t;
        static struct squib_x86_64_state st;
        struct squib_x86_cpuid leaf[SQ_ARRAY_LEN(full)];
        struct squib_error err = {0};
        int rc;

        t = (struct sq_cpu_template){.name = cases[i].name};
        full[0].ebx = cases[i].vendor;
        full[1].eax = cases[i].model;
        rc = sq_cpu_template_resolve(&t, &fake, &err);
        if (cases[i].refused) {
            assert_int_equal(rc, SQUIB_E_NOSUPPORT);
            assert_non_null(strstr(err.text, cases[i].refused));
            continue;
        }
        if (rc)
            fail_msg("%zu: %s", i, err.text);
        memcpy(leaf, full, sizeof(leaf));
        assert_int_equal(sq_cpu_template_cpuid(&t, leaf, SQ_ARRAY_LEN(leaf),
                                               NULL), 0);
        assert_memory_equal(&leaf[1].eax, cases[i].leaf1, 16);
        assert_memory_equal(&leaf[2].eax, cases[i].leaf7, 16);
        assert_int_equal(leaf[3].eax, 0xfffffd07);
        assert_int_equal(leaf[4].eax, 0xfffffff1);
        assert_int_equal(leaf[5].ecx, cases[i].ecx);
        assert_int_equal(leaf[5].edx, cases[i].edx);
        assert_int_equal(leaf[6].ebx, cases[i].ebx);
        assert_int_equal(t.msr_count, cases[i].msr ? 1 : 0);
        st.msr_count = 1;
        st.msr[0].index = 0x10a;
        st.msr[0].value = ~0ull;
        assert_int_equal(sq_cpu_template_msrs(&t, &st, NULL), 0);
        if (cases[i].msr)
            assert_int_equal(st.msr[0].value, cases[i].msr);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topology),
        cmocka_unit_test(test_hypervisor),
        cmocka_unit_test(test_no_xsave),
        cmocka_unit_test(test_brand),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_template_changes),
        cmocka_unit_test(test_template_of_the_software_cpu),
        cmocka_unit_test(test_named_templates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
