/* SPDX-License-Identifier: Apache-2.0 */
/* The encoders and decoders that the monitor and the guest's agent share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/agent_proto.h"

static void run_survives_the_wire(void **state)
{
    const char *const argv[] = { "a", "", "c d", NULL };
    const char *const envp[] = { "X=1", NULL };
    struct sq_agent_command cmd = {
        .session = 7, .flags = SQ_AGENT_RUN_TTY, .uid = 1, .gid = 2,
        .rows = 3, .cols = 4, .cwd = "/w", .argv = argv, .envp = envp,
    };
    struct sq_agent_command back;
    const char *vec[8];
    uint8_t wire[256];
    size_t len;

    (void)state;
    assert_int_equal(sq_agent_run_encode(&cmd, wire, 20, &len),
                     SQ_AGENT_TOO_BIG);
    assert_int_equal(sq_agent_run_encode(&cmd, wire, sizeof(wire), &len),
                     SQ_AGENT_OK);
    assert_int_equal(len, 8 + 32 + 3 + 2 + 1 + 4 + 4);
    assert_int_equal(sq_agent_run_decode(wire + 8, len - 8, vec, 5, &back),
                     SQ_AGENT_TOO_BIG);
    assert_int_equal(sq_agent_run_decode(wire + 8, len - 8, vec, 6, &back),
                     SQ_AGENT_OK);
    assert_string_equal(back.cwd, "/w");
    assert_string_equal(back.argv[0], "a");
    assert_string_equal(back.argv[1], "");
    assert_string_equal(back.argv[2], "c d");
    assert_null(back.argv[3]);
    assert_string_equal(back.envp[0], "X=1");
    assert_null(back.envp[1]);
    assert_int_equal(back.session, 7);
    assert_int_equal(back.cols, 4);
}

/* Every single-bit change of a RUN is either refused or stays inside. */
static void run_decoder_is_robust(void **state)
{
    const char *const argv[] = { "prog", "arg", NULL };
    const char *const envp[] = { "A=b", NULL };
    struct sq_agent_command cmd = { .cwd = "/", .argv = argv, .envp = envp };
    struct sq_agent_command back;
    const char *vec[16];
    uint8_t wire[128];
    size_t len, bit, n;

    (void)state;
    assert_int_equal(sq_agent_run_encode(&cmd, wire, sizeof(wire), &len),
                     SQ_AGENT_OK);
    for (bit = 0; bit < (len - 8) * 8; bit++) {
        uint8_t *copy = malloc(len - 8);

        assert_non_null(copy);
        memcpy(copy, wire + 8, len - 8);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (sq_agent_run_decode(copy, len - 8, vec, 16, &back) ==
            SQ_AGENT_OK) {
            for (n = 0; back.argv[n]; n++)
                assert_in_range((uintptr_t)back.argv[n], (uintptr_t)copy,
                                (uintptr_t)copy + len - 9);
        }
        free(copy);
    }
    for (n = 0; n < len - 8; n++)
        assert_int_not_equal(
            sq_agent_run_decode(wire + 8, n, vec, 16, &back), SQ_AGENT_OK);
}

static void run_bounds(void **state)
{
    const char *const none[] = { NULL };
    char *huge = malloc(SQ_AGENT_RUN_MAX);
    const char *const big[] = { huge, NULL };
    struct sq_agent_command cmd = { .cwd = "/", .argv = none, .envp = none };

    (void)state;
    assert_non_null(huge);
    assert_int_equal(sq_agent_run_size(&cmd), 0);
    memset(huge, 'x', SQ_AGENT_RUN_MAX - 1);
    huge[SQ_AGENT_RUN_MAX - 1] = 0;
    cmd.argv = big;
    assert_int_equal(sq_agent_run_size(&cmd), 0);
    huge[1000] = 0;
    assert_int_equal(sq_agent_run_size(&cmd), 8 + 32 + 2 + 1001);
    free(huge);
}

static int decode_one(const struct sq_agent_msg *msg,
                      struct sq_agent_msg *back)
{
    struct sq_agent_reader reader = { 0 };
    uint8_t wire[SQ_AGENT_SMALL_MAX];
    size_t len = sq_agent_encode(msg, wire), i, room;
    int result = 0;

    /* Byte by byte, as a slow peer might send it. */
    for (i = 0; i < len; i++) {
        assert_int_equal(result, 0);
        *sq_agent_reader_space(&reader, &room) = wire[i];
        assert_true(room > 0);
        sq_agent_reader_added(&reader, 1);
        result = sq_agent_reader_next(&reader, back);
    }
    return result;
}

static void small_messages_are_judged(void **state)
{
    struct sq_agent_msg msg, back;

    (void)state;
    memset(&msg, 0, sizeof(msg));
    assert_int_equal(sq_agent_encode(&msg, (uint8_t[SQ_AGENT_SMALL_MAX]){ 0 }),
                     0);
    msg.type = SQ_AGENT_HELLO;
    assert_int_equal(decode_one(&msg, &back), SQ_AGENT_BAD);
    msg.hello.magic = SQ_AGENT_MAGIC;
    msg.hello.version = 99;
    assert_int_equal(decode_one(&msg, &back), 1);
    assert_int_equal(back.hello.version, 99);

    msg.type = SQ_AGENT_EXITED;
    msg.exited = (struct sq_agent_exited){ 1, SQ_AGENT_EXIT_CODE, 255 };
    assert_int_equal(decode_one(&msg, &back), 1);
    msg.exited.value = 256;
    assert_int_equal(decode_one(&msg, &back), SQ_AGENT_BAD);
    msg.exited = (struct sq_agent_exited){ 1, SQ_AGENT_EXIT_SIGNAL, 0 };
    assert_int_equal(decode_one(&msg, &back), SQ_AGENT_BAD);
    msg.exited = (struct sq_agent_exited){ 1, 3, 1 };
    assert_int_equal(decode_one(&msg, &back), SQ_AGENT_BAD);

    msg.type = SQ_AGENT_SIGNAL;
    msg.signal = (struct sq_agent_signal){ 1, 65 };
    assert_int_equal(decode_one(&msg, &back), SQ_AGENT_BAD);
    msg.signal.signo = 64;
    assert_int_equal(decode_one(&msg, &back), 1);

    msg.type = SQ_AGENT_FAILED;
    memset(&msg.failed, 'x', sizeof(msg.failed));
    msg.failed.reason = SQ_AGENT_SETUP;
    msg.failed.text[3] = '\033';
    assert_int_equal(decode_one(&msg, &back), 1);
    assert_int_equal(strlen(back.failed.text), SQ_AGENT_TEXT_MAX - 1);
    assert_int_equal(back.failed.text[3], '?');
    msg.failed.reason = 0;
    assert_int_equal(decode_one(&msg, &back), SQ_AGENT_BAD);
}

static void header_lengths_are_judged(void **state)
{
    static const struct sq_agent_header bad[] = {
        { 0, 8 },
        { 8, 8 },
        { SQ_AGENT_HELLO, 7 },
        { SQ_AGENT_HELLO, 9 },
        { SQ_AGENT_FAILED, 0xffffffff },
        { SQ_AGENT_RUN, 31 },
        { SQ_AGENT_RUN, SQ_AGENT_RUN_MAX + 1 },
    };
    struct sq_agent_header out;
    uint8_t raw[8];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memcpy(raw, &bad[i], sizeof(raw));
        assert_int_equal(sq_agent_header_decode(raw, &out), SQ_AGENT_BAD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_survives_the_wire),
        cmocka_unit_test(run_decoder_is_robust),
        cmocka_unit_test(run_bounds),
        cmocka_unit_test(small_messages_are_judged),
        cmocka_unit_test(header_lengths_are_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
