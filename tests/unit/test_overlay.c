/* SPDX-License-Identifier: Apache-2.0 */
/* Writes that lockstep holds back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/soft/x86_64/overlay.h"
#include "base/util.h"

enum { PAGES = 8, LEN = PAGES * 4096 };

struct state {
    struct sq_overlay *o;
    uint8_t *mem, *model;
};

static int setup(void **state)
{
    struct state *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->o = sq_overlay_new();
    s->mem = aligned_alloc(4096, LEN);
    s->model = malloc(LEN);
    assert_non_null(s->o);
    assert_non_null(s->mem);
    assert_non_null(s->model);
    for (size_t k = 0; k < LEN; k++)
        s->mem[k] = s->model[k] = (uint8_t)(k * 7 + k / 4096);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct state *s = *state;

    sq_overlay_free(s->o);
    free(s->mem);
    free(s->model);
    free(s);
    return 0;
}

static void put(struct state *s, size_t at, const void *src, size_t len)
{
    assert_true(sq_overlay_put(s->o, s->mem + at, src, len, true));
    memcpy(s->model + at, src, len);
}

static void check_reads(struct state *s)
{
    uint8_t buf[16];

    for (size_t at = 0; at + 16 <= LEN; at += 13) {
        memcpy(buf, s->mem + at, 16);
        sq_overlay_get(s->o, s->mem + at, buf, 16);
        assert_memory_equal(buf, s->model + at, 16);
    }
}

/* What is held back is read, and nobody else sees it. */
static void test_reads(void **state)
{
    struct state *s = *state;
    uint8_t src[16], before[LEN];
    uint32_t seed = 1;

    memcpy(before, s->mem, LEN);
    for (unsigned k = 0; k < 5000; k++) {
        size_t len;

        seed = seed * 1664525 + 1013904223;
        len = 1 + (seed >> 28);
        for (unsigned n = 0; n < 16; n++)
            src[n] = (uint8_t)(seed >> n);
        put(s, (seed >> 8) % (LEN - 16), src, len);
    }
    check_reads(s);
    assert_memory_equal(s->mem, before, LEN);
    sq_overlay_clear(s->o);
    memcpy(s->model, before, LEN);
    check_reads(s);
    assert_false(sq_overlay_has(s->o, s->mem, LEN));
    put(s, 5, "x", 1); /* and again, in what has grown */
    check_reads(s);
}

static void test_has(void **state)
{
    struct state *s = *state;

    put(s, 4096 + 13, "abc", 3);
    assert_true(sq_overlay_put(s->o, s->mem + 8192, "12345678", 8, false));
    assert_false(sq_overlay_has(s->o, s->mem + 4096, 13));
    assert_true(sq_overlay_has(s->o, s->mem + 4096, 14));
    assert_true(sq_overlay_has(s->o, s->mem + 4096 + 15, 1));
    assert_false(sq_overlay_has(s->o, s->mem + 4096 + 16, 16));
    assert_true(sq_overlay_has(s->o, s->mem + 8199, 4));
    assert_true(sq_overlay_has_page(s->o, s->mem + 4096));
    assert_false(sq_overlay_has_page(s->o, s->mem + 8192));
    assert_false(sq_overlay_has_page(s->o, s->mem));
}

/* Memory is compared with what it should be, byte by byte and by pages. */
static void test_compares(void **state)
{
    struct state *s = *state;
    uint8_t before[LEN];
    const struct sq_overlay_word *w;

    memcpy(before, s->mem, LEN);
    put(s, 100, "hello", 5);
    put(s, 102, "L", 1);
    put(s, 3 * 4096 - 2, "over", 4);
    sq_overlay_expect(s->o);
    w = sq_overlay_differs(s->o);
    assert_non_null(w);
    assert_ptr_equal(w->host, s->mem + 96);
    assert_ptr_equal(sq_overlay_stray(s->o), s->mem);
    memcpy(s->mem, s->model, LEN);
    assert_null(sq_overlay_differs(s->o));
    assert_null(sq_overlay_stray(s->o));
    s->mem[3 * 4096 + 2]++; /* beside what was written */
    assert_null(sq_overlay_differs(s->o));
    assert_ptr_equal(sq_overlay_stray(s->o), s->mem + 3 * 4096);
    s->mem[3 * 4096 + 2]--;
    s->mem[3 * 4096 + 1]++;
    assert_ptr_equal(sq_overlay_differs(s->o)->host, s->mem + 3 * 4096);
    sq_overlay_undo(s->o);
    assert_memory_equal(s->mem, before, LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_has, setup, teardown),
        cmocka_unit_test_setup_teardown(test_compares, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
