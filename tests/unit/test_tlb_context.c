/* SPDX-License-Identifier: Apache-2.0 */
/* Translations that wait while another address space runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/soft/x86_64/mem.h"

/* entries for writes */
enum { LOCAL = SQ_TLB_SIZE + 5, GLOBAL = SQ_TLB_SIZE + 6, GPA = 0x8000 };

static uint8_t page[4096];

static void enter(struct sq_x86_cpu *c, size_t k, bool global)
{
    uint64_t gva = 0x400000 + k * 4096;

    c->tlbs[1][k] = (struct sq_tlb_entry){
        .tag = gva, .add = (uintptr_t)page - gva, .host = page,
        .gpa = GPA | global};
    c->tlb_used[1][k / 64] |= 1ull << k % 64;
    if (!global)
        c->tlb_local[1][k / 64] |= 1ull << k % 64;
}

static bool there(const struct sq_x86_cpu *c, size_t k)
{
    return c->tlbs[1][k].host == page;
}

static int setup(void **state)
{
    struct sq_x86_cpu *c = aligned_alloc(_Alignof(struct sq_x86_cpu),
                                         sizeof(*c));

    if (!c)
        return -1;
    memset(c, 0, sizeof(*c));
    sq_x86_tlb_init(c);
    enter(c, LOCAL, false);
    enter(c, GLOBAL, true);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void comes_back(void **state)
{
    struct sq_x86_cpu *c = *state;
    uint16_t gen = c->jc_gen[1];

    sq_x86_tlb_switch(c, 0, 1, true);
    assert_false(there(c, LOCAL));
    assert_true(there(c, GLOBAL));
    assert_int_not_equal(c->jc_gen[1], gen);
    sq_x86_tlb_switch(c, 1, 0, true);
    assert_true(there(c, LOCAL));
    assert_true(c->tlb_used[1][LOCAL / 64] >> LOCAL % 64 & 1);
    assert_int_equal(c->jc_gen[1], gen);
    assert_int_equal(c->tlbs[1][LOCAL].tag, 0x400000 + LOCAL * 4096);
}

/* Unless it was asked to be dropped, in either of three ways. */
static void is_dropped(void **state)
{
    struct sq_x86_cpu *c = *state;
    uint16_t gen = c->jc_gen[1];

    sq_x86_tlb_switch(c, 0, 1, true);
    sq_x86_tlb_switch(c, 1, 0, false); /* CR3 without bit 63 */
    assert_false(there(c, LOCAL));
    assert_int_not_equal(c->jc_gen[1], gen);
    enter(c, LOCAL, false);
    sq_x86_tlb_switch(c, 0, 1, true);
    sq_x86_tlb_forget(c, 2);
    sq_x86_tlb_switch(c, 1, 0, true);
    assert_true(there(c, LOCAL));
    sq_x86_tlb_switch(c, 0, 1, true);
    sq_x86_tlb_forget(c, 0);
    sq_x86_tlb_switch(c, 1, 0, true);
    assert_false(there(c, LOCAL));
    enter(c, LOCAL, false);
    sq_x86_tlb_switch(c, 0, 1, true);
    sq_x86_tlb_flush(c, false); /* everything */
    assert_false(there(c, GLOBAL));
    sq_x86_tlb_switch(c, 1, 0, true);
    assert_false(there(c, LOCAL));
}

/* A page on which code is found loses its write mapping here, too; and a
 * jump cache that was emptied does not come back. */
static void loses_rights_while_waiting(void **state)
{
    struct sq_x86_cpu *c = *state;
    uint16_t gen = c->jc_gen[1];

    c->tlbs[1][GLOBAL].tag = sq_tlb_no_tag(GLOBAL);
    sq_x86_tlb_switch(c, 0, 1, true);
    assert_false(sq_x86_tlb_purge_write(c, GPA + 4096));
    assert_true(sq_x86_tlb_purge_write(c, GPA));
    sq_x86_jc_flush(c);
    sq_x86_tlb_switch(c, 1, 0, true);
    assert_true(there(c, LOCAL));
    assert_int_equal(c->tlbs[1][LOCAL].tag, sq_tlb_no_tag(LOCAL));
    assert_int_not_equal(c->jc_gen[1], gen);
}

/* More of them than there is room for: the oldest go. */
static void many_address_spaces(void **state)
{
    struct sq_x86_cpu *c = *state;

    for (uint16_t k = 0; k < SQ_TLB_CONTEXTS; k++)
        sq_x86_tlb_switch(c, k, k + 1, true);
    sq_x86_tlb_switch(c, SQ_TLB_CONTEXTS, 100, true);
    sq_x86_tlb_switch(c, 100, 0, true);
    assert_false(there(c, LOCAL));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(comes_back),
        TEST(is_dropped),
        TEST(loses_rights_while_waiting),
        TEST(many_address_spaces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
