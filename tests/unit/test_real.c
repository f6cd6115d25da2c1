/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "base/real.h"
#include "base/util.h"

static void says(double v, const char *want)
{
    char text[SQ_REAL_TEXT_MAX];

    sq_real_text(v, text);
    assert_string_equal(text, want);
}

static void forms(void **state)
{
    (void)state;
    says(0.0, "0.0");
    says(-0.0, "-0.0");
    says(1, "1.0");
    says(-1.5, "-1.5");
    says(0.1, "0.1");
    says(1000, "1000.0");
    says(123456.789, "123456.789");
    says(1e15, "1000000000000000.0");
    says(9999999999999998.0, "9999999999999998.0");
    says(1e16, "1e+16");
    says(123456789012345680.0, "1.2345678901234568e+17");
    says(18446744073709551616.0, "1.8446744073709552e+19");
    says(1e-4, "0.0001");
    says(0.000025, "0.000025");
    says(1e-5, "0.00001");
    says(1e-6, "1e-6");
    says(2.5e-7, "2.5e-7");
    says(1.5e300, "1.5e+300");
    says(DBL_MAX, "1.7976931348623157e+308");
    says(-DBL_MIN, "-2.2250738585072014e-308");
    says(5e-324, "5e-324");
    says(-0.000012345678901234567, "-0.000012345678901234568");
}

/* Each text means the number that it was made of, and fits. */
static void comes_back(void **state)
{
    uint64_t bits = 0x123456789abcdefull;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[SQ_REAL_TEXT_MAX];
        double v;

        bits = bits * 6364136223846793005ull + 1442695040888963407ull;
        memcpy(&v, &bits, sizeof(v));
        if (v - v != 0)
            continue; /* neither infinite nor no number */
        sq_real_text(v, text);
        assert_true(strlen(text) < sizeof(text));
        assert_true(strtod(text, NULL) == v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
