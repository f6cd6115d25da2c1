/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets in simulated time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/util.h"
#include "dev/ratelimit.h"

#define MS 1000000ull
#define S (1000 * MS)

/* Passes requests of `cost` as fast as the bucket lets them, with a timer
 * that is `late_ns` late each time. Returns the tokens that passed. */
static uint64_t run(struct sq_ratelimit *r, uint64_t cost, uint64_t from_ns,
                    uint64_t to_ns, uint64_t late_ns)
{
    uint64_t now = from_ns, next = 0, sum = 0;

    while (now < to_ns) {
        if (sq_ratelimit_take(r, cost, 1, now, &next)) {
            sum += cost;
            continue;
        }
        assert_true(next > now);
        now = next + late_ns;
    }
    return sum;
}

static void holds_the_rate(void **state)
{
    static const struct {
        uint64_t size, refill_ms, burst, cost, late_ns;
    } t[] = {
        {1 << 20, 100, 0, 4096, 0},
        {1 << 20, 100, 0, 4096, MS},
        {1 << 20, 100, 5 << 20, 65536, MS},
        {65536, 10, 0, 1 << 20, MS},    /* requests larger than the bucket */
        {4096, 1, 0, 4096, MS * 9 / 10}, /* exactly the bucket */
        {1000, 7, 0, 333, 12345},        /* nothing divides */
        {3, 1000, 0, 1, MS},
        {10ull << 30, 1000, 0, 1 << 20, MS},
        {1, 1, 0, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(t); i++) {
        struct sq_ratelimit_config config = {
            .bandwidth = {t[i].size, t[i].burst, t[i].refill_ms},
        };
        struct sq_ratelimit r;
        uint64_t start = 12345678901ull, got, want;

        sq_ratelimit_init(&r, &config, start);
        /* What is there at the start, then the rate over 10 s. */
        got = run(&r, t[i].cost, start, start + 10 * S, t[i].late_ns);
        want = t[i].size + t[i].burst + t[i].size * 10000 / t[i].refill_ms;
        assert_in_range(got, want * 97 / 100, want + want / 100 +
                                                  t[i].cost);
    }
}

static void ops_are_counted(void **state)
{
    struct sq_ratelimit_config config = {.ops = {100, 0, 1000}};
    struct sq_ratelimit r;

    (void)state;
    sq_ratelimit_init(&r, &config, 0);
    assert_true(sq_ratelimit_limits(&r));
    assert_int_equal(run(&r, 1, 0, 10 * S, 0), 1099); /* not yet 10 s */
}

static void both_or_nothing(void **state)
{
    struct sq_ratelimit_config config = {
        .bandwidth = {1000, 0, 1000},
        .ops = {2, 0, 1000},
    };
    struct sq_ratelimit r;
    uint64_t next = 0;

    (void)state;
    sq_ratelimit_init(&r, &config, 0);
    assert_true(sq_ratelimit_take(&r, 10, 1, 0, &next));
    assert_true(sq_ratelimit_take(&r, 10, 1, 0, &next));
    assert_false(sq_ratelimit_take(&r, 10, 1, 0, &next));
    assert_int_equal(next, S / 2); /* the first operation is back */
    assert_int_equal(r.bandwidth.level, 980); /* not taken from */
    assert_false(sq_ratelimit_take(&r, 10, 1, next - 1, &next));
    assert_true(sq_ratelimit_take(&r, 10, 1, next, &next));
    assert_int_equal(r.bandwidth.level, 990);
}

static void zero_limits_nothing(void **state)
{
    struct sq_ratelimit_config config = {
        .bandwidth = {0, 5, 1000},
        .ops = {1000, 5, 0},
    };
    struct sq_ratelimit r;
    uint64_t next = 7;

    (void)state;
    sq_ratelimit_init(&r, &config, 5);
    assert_false(sq_ratelimit_limits(&r));
    for (int i = 0; i < 1000; i++)
        assert_true(sq_ratelimit_take(&r, UINT64_MAX, 1000000, 5, &next));
    assert_int_equal(next, 7);
}

static void bursts_come_once(void **state)
{
    struct sq_bucket_config config = {100, 50, 1000};
    struct sq_bucket b;

    (void)state;
    sq_bucket_init(&b, &config, 0);
    assert_int_equal(sq_bucket_when(&b, 30, 0), 0);
    sq_bucket_take(&b, 30);
    assert_int_equal(b.level, 100); /* from the burst */
    assert_int_equal(sq_bucket_when(&b, 30, 0), 0);
    sq_bucket_take(&b, 30);
    assert_int_equal(b.burst, 0);
    assert_int_equal(b.level, 90);
    assert_int_equal(sq_bucket_when(&b, 90, 100 * S), 0);
    assert_int_equal(b.level, 100); /* no more than the size */
    assert_int_equal(b.burst, 0);
}

static void debts_are_paid(void **state)
{
    struct sq_bucket_config config = {100, 0, 1000};
    struct sq_bucket b;

    (void)state;
    sq_bucket_init(&b, &config, 0);
    assert_int_equal(sq_bucket_when(&b, 450, 0), 0);
    sq_bucket_take(&b, 450);
    assert_int_equal(b.debt, 350);
    assert_int_equal(sq_bucket_when(&b, 1, 0), 3510 * MS);
    assert_int_equal(sq_bucket_when(&b, 1, 3510 * MS - 1), 3510 * MS);
    assert_int_equal(sq_bucket_when(&b, 1, 3510 * MS), 0);
    assert_int_equal(b.level, 1);
}

static void updates(void **state)
{
    struct sq_ratelimit_config config = {
        .bandwidth = {100, 0, 1000},
        .ops = {1, 0, 1000},
    };
    const struct sq_bucket_config ops = {10, 0, 1000}, none = {0, 0, 0};
    struct sq_ratelimit r;
    uint64_t next;

    (void)state;
    sq_ratelimit_init(&r, &config, 0);
    assert_true(sq_ratelimit_take(&r, 60, 1, 0, &next));
    assert_false(sq_ratelimit_take(&r, 10, 1, 0, &next));
    sq_ratelimit_update(&r, NULL, &ops, 0);
    assert_int_equal(r.bandwidth.level, 40); /* left alone */
    assert_true(sq_ratelimit_take(&r, 10, 1, 0, &next));
    sq_ratelimit_update(&r, &none, &none, 0);
    assert_false(sq_ratelimit_limits(&r));
}

/* The largest numbers that a configuration can have: no overflow, and the
 * level stays within its bounds. */
static void extremes(void **state)
{
    static const uint64_t v[] = {1, 2, UINT64_MAX / 2, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(v); i++) {
        for (size_t j = 0; j < SQ_ARRAY_LEN(v); j++) {
            struct sq_bucket_config config = {v[i], v[j], v[j]};
            struct sq_bucket b;
            uint64_t now = 1;

            sq_bucket_init(&b, &config, now);
            for (int n = 0; n < 200; n++) {
                uint64_t when = sq_bucket_when(&b, v[n % 4], now);

                assert_true(b.level <= b.config.size);
                assert_true(b.fraction < b.refill_ns);
                if (when == 0)
                    sq_bucket_take(&b, v[n % 4]);
                else
                    assert_true(when > now);
                now = n % 50 == 49 ? UINT64_MAX - 200 + (unsigned)n : now + 1;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_the_rate),
        cmocka_unit_test(ops_are_counted),
        cmocka_unit_test(both_or_nothing),
        cmocka_unit_test(zero_limits_nothing),
        cmocka_unit_test(bursts_come_once),
        cmocka_unit_test(debts_are_paid),
        cmocka_unit_test(updates),
        cmocka_unit_test(extremes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
