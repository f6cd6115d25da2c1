/* SPDX-License-Identifier: Apache-2.0 */
/* Backends and their settings by name; what the software CPU then shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <squib/squib.h>

static void settings_in_any_order(void **state)
{
    const struct squib_backend *be = squib_backend_find("soft,jit=on,cpu=v3");

    (void)state;
    assert_non_null(be);
    assert_ptr_equal(squib_backend_find("soft,cpu=v3,jit=on"), be);
    assert_ptr_not_equal(squib_backend_find("soft,cpu=v3"), be);
    assert_non_null(squib_backend_find("soft"));
    assert_null(squib_backend_find("soft,"));
    assert_null(squib_backend_find("soft,jit=on,jit=on"));
    assert_null(squib_backend_find("soft,jit=on,cpu=v4"));
    assert_null(squib_backend_find("jit=on,soft"));
    assert_null(squib_backend_find(""));
}

static uint32_t ecx_of_leaf_1(const char *name)
{
    struct squib_x86_cpuid leaf[SQUIB_X86_CPUID_MAX];
    size_t n = SQUIB_X86_CPUID_MAX;
    struct squib_error err = {0};

    assert_int_equal(squib_backend_cpuid(squib_backend_find(name), leaf, &n,
                                         &err), 0);
    for (size_t k = 0; k < n; k++)
        if (leaf[k].leaf == 1)
            return leaf[k].ecx;
    return 0;
}

static void levels(void **state)
{
    const uint32_t avx = 1u << 28, fma = 1u << 12, aes = 1u << 25;

    (void)state;
    assert_int_equal(ecx_of_leaf_1("soft,jit=off") & (avx | fma | aes), aes);
    assert_int_equal(ecx_of_leaf_1("soft,cpu=v2") & (avx | fma), 0);
    assert_int_equal(ecx_of_leaf_1("soft,cpu=v3") & (avx | fma | aes),
                     avx | fma | aes);
    assert_int_equal(ecx_of_leaf_1("soft,jit=on,cpu=v3") & aes, aes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_in_any_order),
        cmocka_unit_test(levels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
