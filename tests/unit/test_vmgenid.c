/* SPDX-License-Identifier: Apache-2.0 */
/* The VM generation identifier. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "dev/vmgenid.h"

#define GPA 0x1230u

static unsigned edges;

static void irq(void *ctx, uint32_t gsi, bool level)
{
    (void)ctx;
    assert_int_equal(gsi, 3);
    edges += level;
}

static void changes_and_tells(void **state)
{
    struct squib_memory *mem;
    struct sq_vmgenid v;
    uint8_t first[16], got[16], zero[16] = {0};
    const struct sq_irq line = {irq, NULL, 3};

    (void)state;
    assert_int_equal(squib_memory_new(&mem, NULL), 0);
    assert_int_equal(
        squib_memory_add(mem, (struct squib_range){0, 0x2000}, NULL), 0);
    assert_int_equal(sq_vmgenid_init(&v, mem, GPA, line, NULL), 0);
    assert_int_equal(edges, 0);
    squib_memory_read(mem, GPA, first, 16, NULL);
    assert_memory_equal(first, v.id, 16);
    assert_memory_not_equal(first, zero, 16);
    assert_int_equal(sq_vmgenid_renew(&v, NULL), 0);
    assert_int_equal(edges, 1);
    squib_memory_read(mem, GPA, got, 16, NULL);
    assert_memory_equal(got, v.id, 16);
    assert_memory_not_equal(got, first, 16);
    squib_memory_read(mem, GPA - 16, got, 16, NULL);
    assert_memory_equal(got, zero, 16);
    squib_memory_read(mem, GPA + 16, got, 16, NULL);
    assert_memory_equal(got, zero, 16);
    assert_int_equal(sq_vmgenid_init(&v, mem, 0x1ff8, line, NULL),
                     SQUIB_E_RANGE);
    squib_memory_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_and_tells),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
