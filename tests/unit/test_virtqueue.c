/* SPDX-License-Identifier: Apache-2.0 */
/* Split virtqueues: chains of all shapes, and drivers of ill will. */
#include "virtio_guest.h"

#include <stdlib.h>

#define SIZE 8

struct fixture {
    struct guest g;
    struct sq_queue q;
    struct sq_chain c;
    unsigned writes; /* reported to the memory's watcher */
};

static void wrote(void *ctx, uint64_t gpa, uint64_t len)
{
    struct fixture *f = ctx;

    assert_true(gpa + len <= GUEST_RAM);
    f->writes++;
}

static void start(struct fixture *f, bool event_idx)
{
    guest_queue_place(&f->g, 0, SIZE);
    f->q = (struct sq_queue){
        .size_max = 16,
        .size = SIZE,
        .desc_gpa = f->g.q[0].desc,
        .avail_gpa = f->g.q[0].avail,
        .used_gpa = f->g.q[0].used,
    };
    assert_true(sq_queue_start(&f->q, f->g.mem, event_idx, true));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    guest_init(&f->g);
    sq_memory_watch(f->g.mem, (struct sq_memory_watcher){wrote, f});
    start(f, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    guest_fini(&f->g);
    free(f);
    return 0;
}

static int pop(struct fixture *f)
{
    return sq_queue_pop(&f->q, &f->c);
}

static void plain_chain(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf buf[] = {
        {0x1000, 16, false}, {0x3000, 100, true}, {0x5000, 1, true}};
    uint32_t id, len;
    uint16_t head;

    assert_int_equal(pop(f), SQ_QUEUE_EMPTY);
    f->g.q[0].next_desc = 3;
    head = guest_add(&f->g, 0, buf, 3);
    assert_int_equal(head, 3);
    assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
    assert_int_equal(f->c.head, 3);
    assert_int_equal(f->c.count, 3);
    assert_int_equal(f->c.readable, 1);
    assert_int_equal(f->c.readable_len, 16);
    assert_int_equal(f->c.writable_len, 101);
    assert_ptr_equal(f->c.iov[1].iov_base, guest_ptr(&f->g, 0x3000, 1));
    assert_int_equal(f->c.gpa[2], 0x5000);
    assert_int_equal(pop(f), SQ_QUEUE_EMPTY);

    assert_int_equal(sq_chain_write(&f->c, f->g.mem, 99, "xyz", 3), 2);
    assert_memory_equal(guest_ptr(&f->g, 0x3000 + 99, 1), "x", 1);
    assert_memory_equal(guest_ptr(&f->g, 0x5000, 1), "y", 1);
    assert_int_equal(f->writes, 2);
    sq_queue_push(&f->q, f->c.head, 101);
    assert_int_equal(f->writes, 4); /* element and index */
    assert_true(guest_used(&f->g, 0, &id, &len));
    assert_int_equal(id, 3);
    assert_int_equal(len, 101);
}

static void unpop_gives_back(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf buf = {0x1000, 16, false};

    guest_add(&f->g, 0, &buf, 1);
    assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
    sq_queue_unpop(&f->q);
    assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
    assert_int_equal(pop(f), SQ_QUEUE_EMPTY);
}

static void ring_wraps(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf buf = {0x1000, 16, true};
    uint32_t id, len;

    /* Beyond 16 bits, too. */
    for (uint32_t i = 0; i < 70000; i++) {
        uint16_t head = guest_add(&f->g, 0, &buf, 1);

        assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
        assert_int_equal(f->c.head, head);
        sq_queue_push(&f->q, head, i);
        assert_true(guest_used(&f->g, 0, &id, &len));
        assert_int_equal(id, head);
        assert_int_equal(len, i);
    }
}

static void zero_length_is_left_out(void **state)
{
    struct fixture *f = *state;
    /* The address of nothing may be anything. */
    const struct guest_buf buf[] = {
        {~0ull, 0, false}, {0x2000, 4, false}, {0x3000, 0, true}};

    guest_add(&f->g, 0, buf, 3);
    assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
    assert_int_equal(f->c.count, 1);
    assert_int_equal(f->c.readable, 1);
    assert_int_equal(f->c.writable_len, 0);
}

static void border_is_split(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf buf = {GUEST_BORDER - 3, 8, false};
    char text[8];

    squib_memory_write(f->g.mem, GUEST_BORDER - 3, "abcdefgh", 8, NULL);
    guest_add(&f->g, 0, &buf, 1);
    assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
    assert_int_equal(f->c.count, 2);
    assert_int_equal(f->c.iov[0].iov_len, 3);
    assert_int_equal(f->c.iov[1].iov_len, 5);
    assert_int_equal(f->c.gpa[1], GUEST_BORDER);
    assert_int_equal(sq_chain_read(&f->c, 0, text, 8), 8);
    assert_memory_equal(text, "abcdefgh", 8);
}

static void slices(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf buf[] = {
        {0x1000, 10, false}, {0x2000, 10, false}, {0x3000, 10, true}};
    struct iovec iov[SQ_CHAIN_PIECES_MAX];

    guest_add(&f->g, 0, buf, 3);
    assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
    assert_int_equal(sq_chain_slice(&f->c, false, 5, 10, iov), 2);
    assert_int_equal(iov[0].iov_len, 5);
    assert_ptr_equal(iov[0].iov_base, guest_ptr(&f->g, 0x1005, 1));
    assert_int_equal(iov[1].iov_len, 5);
    assert_ptr_equal(iov[1].iov_base, guest_ptr(&f->g, 0x2000, 1));
    assert_int_equal(sq_chain_slice(&f->c, false, 10, 100, iov), 1);
    assert_int_equal(iov[0].iov_len, 10);
    assert_int_equal(sq_chain_slice(&f->c, true, 10, 1, iov), 0);
    assert_int_equal(sq_chain_slice(&f->c, false, ~0ull, 1, iov), 0);
    assert_int_equal(sq_chain_slice(&f->c, true, 0, 0, iov), 0);
}

static void indirect_chain(void **state)
{
    struct fixture *f = *state;

    /* One direct descriptor, then a table. */
    guest_put_desc(&f->g, 0x20000, 0, 0x1000, 4, D_NEXT, 2);
    guest_put_desc(&f->g, 0x20000, 2, 0x2000, 8, D_WRITE, 0);
    guest_desc(&f->g, 0, 0, 0x3000, 2, D_NEXT, 1);
    guest_desc(&f->g, 0, 1, 0x20000, 48, D_INDIRECT, 0);
    guest_offer(&f->g, 0, 0);
    assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
    assert_int_equal(f->c.count, 3);
    assert_int_equal(f->c.readable_len, 6);
    assert_int_equal(f->c.writable_len, 8);
}

static void indirect_of_full_length(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < SQ_QUEUE_SIZE_MAX; i++)
        guest_put_desc(&f->g, 0x20000, i, 0x1000, 1,
                       i + 1 < SQ_QUEUE_SIZE_MAX ? D_NEXT : 0,
                       (uint16_t)(i + 1));
    guest_desc(&f->g, 0, 0, 0x20000, 16 * SQ_QUEUE_SIZE_MAX, D_INDIRECT, 0);
    guest_offer(&f->g, 0, 0);
    assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
    assert_int_equal(f->c.count, SQ_QUEUE_SIZE_MAX);
}

/* Offers descriptor 0, expects the queue to break and to stay broken. */
static void expect_broken(struct fixture *f)
{
    const struct guest_buf good = {0x1000, 16, false};

    guest_offer(&f->g, 0, 0);
    assert_int_equal(pop(f), SQ_QUEUE_BROKEN);
    guest_add(&f->g, 0, &good, 1);
    assert_int_equal(pop(f), SQ_QUEUE_BROKEN);
    assert_false(sq_queue_rearm(&f->q));
    f->writes = 0;
    sq_queue_push(&f->q, 0, 0);
    assert_false(sq_queue_needs_interrupt(&f->q));
    assert_int_equal(f->writes, 0);
}

static void loop_breaks(void **state)
{
    struct fixture *f = *state;

    guest_desc(&f->g, 0, 0, 0x1000, 1, D_NEXT, 1);
    guest_desc(&f->g, 0, 1, 0x1000, 1, D_NEXT, 0);
    expect_broken(f);
}

static void self_loop_of_nothing_breaks(void **state)
{
    struct fixture *f = *state;

    guest_desc(&f->g, 0, 0, 0, 0, D_NEXT, 0);
    expect_broken(f);
}

static void next_outside_breaks(void **state)
{
    struct fixture *f = *state;

    guest_desc(&f->g, 0, 0, 0x1000, 1, D_NEXT, SIZE);
    expect_broken(f);
}

static void head_outside_breaks(void **state)
{
    struct fixture *f = *state;

    guest_offer(&f->g, 0, SIZE);
    assert_int_equal(pop(f), SQ_QUEUE_BROKEN);
}

static void index_jump_breaks(void **state)
{
    struct fixture *f = *state;

    f->g.q[0].next_avail = SIZE; /* offer makes it SIZE + 1 */
    expect_broken(f);
}

static void index_backwards_breaks(void **state)
{
    struct fixture *f = *state;

    f->g.q[0].next_avail = 0xfffe;
    expect_broken(f);
}

static void memory_outside_breaks(void **state)
{
    static const struct {
        uint64_t gpa;
        uint32_t len;
    } bad[] = {
        {GUEST_RAM, 1},          {GUEST_RAM - 1, 2},
        {0x1000, UINT32_MAX},    {~0ull, 1},
        {~0ull - 10, 100},       {GUEST_BORDER - 1, GUEST_RAM},
        {0x8000000000000000, 8}, {~0ull, UINT32_MAX},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < SQ_ARRAY_LEN(bad); i++) {
        start(f, false);
        guest_desc(&f->g, 0, 0, bad[i].gpa, bad[i].len,
                   i % 2 ? D_WRITE : 0, 0);
        expect_broken(f);
    }
}

static void readable_after_writable_breaks(void **state)
{
    struct fixture *f = *state;

    guest_desc(&f->g, 0, 0, 0x1000, 1, D_NEXT | D_WRITE, 1);
    guest_desc(&f->g, 0, 1, 0x1000, 1, 0, 0);
    expect_broken(f);
}

static void indirect_abuse_breaks(void **state)
{
    static const struct {
        uint64_t gpa;
        uint32_t len;
        uint16_t flags;
    } bad[] = {
        {0x20000, 0, D_INDIRECT},                   /* empty */
        {0x20000, 17, D_INDIRECT},                  /* no multiple */
        {0x20000, 32, D_INDIRECT | D_NEXT},         /* goes on */
        {GUEST_RAM - 16, 32, D_INDIRECT},           /* leaves memory */
        {~0ull - 15, 32, D_INDIRECT},               /* wraps */
        {0x20000, 16 * 257, D_INDIRECT},            /* too long */
        {0x20000, UINT32_MAX - 15, D_INDIRECT},     /* far too long */
        {GUEST_BORDER - 16, 32, D_INDIRECT},        /* across a border */
        {0x30000, 16, D_INDIRECT},                  /* nested */
        {0x31000, 32, D_INDIRECT},                  /* loops */
        {0x32000, 16, D_INDIRECT},                  /* next is outside */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < SQ_ARRAY_LEN(bad); i++) {
        start(f, false);
        guest_put_desc(&f->g, 0x20000, 0, 0x1000, 1, 0, 0);
        guest_put_desc(&f->g, 0x30000, 0, 0x20000, 16, D_INDIRECT, 0);
        guest_put_desc(&f->g, 0x31000, 0, 0x1000, 1, D_NEXT, 1);
        guest_put_desc(&f->g, 0x31000, 1, 0x1000, 1, D_NEXT, 0);
        guest_put_desc(&f->g, 0x32000, 0, 0x1000, 1, D_NEXT, 1);
        guest_desc(&f->g, 0, 0, bad[i].gpa, bad[i].len, bad[i].flags, 1);
        expect_broken(f);
    }
}

static void indirect_not_negotiated_breaks(void **state)
{
    struct fixture *f = *state;

    sq_queue_start(&f->q, f->g.mem, false, false);
    guest_put_desc(&f->g, 0x20000, 0, 0x1000, 1, 0, 0);
    guest_desc(&f->g, 0, 0, 0x20000, 16, D_INDIRECT, 0);
    expect_broken(f);
}

static void too_many_pieces_break(void **state)
{
    struct fixture *f = *state;

    /* Each of 256 descriptors crosses the border: 512 pieces. */
    for (unsigned i = 0; i < SQ_QUEUE_SIZE_MAX; i++)
        guest_put_desc(&f->g, 0x20000, i, GUEST_BORDER - 1, 2,
                       i + 1 < SQ_QUEUE_SIZE_MAX ? D_NEXT : 0,
                       (uint16_t)(i + 1));
    guest_desc(&f->g, 0, 0, 0x20000, 16 * SQ_QUEUE_SIZE_MAX, D_INDIRECT, 0);
    expect_broken(f);
}

static void bad_rings_are_refused(void **state)
{
    struct fixture *f = *state;
    struct sq_queue good = f->q;
    static const uint16_t sizes[] = {0, 3, 12, 32, 0xffff};

    for (size_t i = 0; i < SQ_ARRAY_LEN(sizes); i++) {
        f->q = good;
        f->q.size = sizes[i];
        assert_false(sq_queue_start(&f->q, f->g.mem, false, false));
    }
#define REFUSED(field, value)                                              \
    do {                                                                   \
        f->q = good;                                                       \
        f->q.field = (value);                                              \
        assert_false(sq_queue_start(&f->q, f->g.mem, false, false));       \
    } while (0)
    REFUSED(desc_gpa, 0x10008);             /* alignment */
    REFUSED(avail_gpa, 0x14001);
    REFUSED(used_gpa, 0x18002);
    REFUSED(desc_gpa, GUEST_RAM - 16);      /* beyond memory */
    REFUSED(avail_gpa, GUEST_RAM - 8);
    REFUSED(used_gpa, GUEST_RAM);
    REFUSED(used_gpa, ~0ull - 3);
    REFUSED(desc_gpa, GUEST_BORDER - 16);   /* across regions */
#undef REFUSED
    sq_queue_reset(&f->q);
    assert_int_equal(f->q.size_max, 16);
    assert_int_equal(pop(f), SQ_QUEUE_EMPTY);
}

static void flags_suppress(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf buf = {0x1000, 16, true};
    uint8_t *avail = guest_ptr(&f->g, f->g.q[0].avail, 4);
    uint8_t *used = guest_ptr(&f->g, f->g.q[0].used, 4);

    assert_false(sq_queue_needs_interrupt(&f->q));
    for (uint16_t flags = 0; flags < 2; flags++) {
        sq_st16(avail, flags);
        sq_queue_push(&f->q, 0, 0);
        assert_int_equal(sq_queue_needs_interrupt(&f->q), !flags);
        assert_false(sq_queue_needs_interrupt(&f->q));
    }
    sq_queue_quiet(&f->q);
    assert_int_equal(sq_ld16(used), 1);
    guest_add(&f->g, 0, &buf, 1);
    assert_true(sq_queue_rearm(&f->q));
    assert_int_equal(sq_ld16(used), 0);
    assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
    assert_false(sq_queue_rearm(&f->q));
}

static void event_index_suppresses(void **state)
{
    struct fixture *f = *state;
    const struct guest_buf buf = {0x1000, 16, true};
    uint8_t *used_event, *avail_event;

    start(f, true);
    used_event =
        (uint8_t *)guest_ptr(&f->g, f->g.q[0].avail, 64) + 4 + 2 * SIZE;
    avail_event =
        (uint8_t *)guest_ptr(&f->g, f->g.q[0].used, 128) + 4 + 8 * SIZE;
    /* "Tell me when used passes 2": at the third. */
    sq_st16(used_event, 2);
    sq_queue_push(&f->q, 0, 0);
    assert_false(sq_queue_needs_interrupt(&f->q));
    sq_queue_push(&f->q, 0, 0);
    assert_false(sq_queue_needs_interrupt(&f->q));
    sq_queue_push(&f->q, 0, 0);
    assert_true(sq_queue_needs_interrupt(&f->q));
    sq_queue_push(&f->q, 0, 0);
    assert_false(sq_queue_needs_interrupt(&f->q));
    /* A batch that passes it. */
    sq_st16(used_event, 5);
    for (int i = 0; i < 4; i++)
        sq_queue_push(&f->q, 0, 0);
    assert_true(sq_queue_needs_interrupt(&f->q));
    /* The interrupt flag means nothing now. */
    sq_st16(guest_ptr(&f->g, f->g.q[0].avail, 2), 1);
    sq_st16(used_event, 8);
    sq_queue_push(&f->q, 0, 0);
    assert_true(sq_queue_needs_interrupt(&f->q));

    guest_add(&f->g, 0, &buf, 1);
    assert_int_equal(pop(f), SQ_QUEUE_CHAIN);
    sq_queue_quiet(&f->q);
    assert_int_equal(sq_ld16(avail_event), 0);
    assert_int_equal(sq_ld16(guest_ptr(&f->g, f->g.q[0].used, 2)), 0);
    assert_false(sq_queue_rearm(&f->q));
    assert_int_equal(sq_ld16(avail_event), 1);
    guest_add(&f->g, 0, &buf, 1);
    assert_true(sq_queue_rearm(&f->q));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(plain_chain),
        T(unpop_gives_back),
        T(ring_wraps),
        T(zero_length_is_left_out),
        T(border_is_split),
        T(slices),
        T(indirect_chain),
        T(indirect_of_full_length),
        T(loop_breaks),
        T(self_loop_of_nothing_breaks),
        T(next_outside_breaks),
        T(head_outside_breaks),
        T(index_jump_breaks),
        T(index_backwards_breaks),
        T(memory_outside_breaks),
        T(readable_after_writable_breaks),
        T(indirect_abuse_breaks),
        T(indirect_not_negotiated_breaks),
        T(too_many_pieces_break),
        T(bad_rings_are_refused),
        T(flags_suppress),
        T(event_index_suppresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
