/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies into structs, and the words for those that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/schemas.h"
#include "base/util.h"

static void bad(const struct sq_json_schema *schema, const char *text,
                const char *want)
{
    union sq_body body = {0};
    char why[SQ_JSON_ERROR_MAX];

    assert_null(sq_json_read(schema, text, strlen(text), &body, why));
    assert_string_equal(why, want);
}

static void values_arrive(void **state)
{
    static const char text[] =
        "{\"drive_id\":\"d\\u00e4\",\"is_root_device\":true,"
        "\"path_on_host\":\"/p\",\"partuuid\":null,\"io_engine\":\"Async\","
        "\"rate_limiter\":{\"ops\":{\"size\":9223372036854775807,"
        "\"refill_time\":0,\"what\":[{}]}}}";
    struct sq_body_drive b = {0};
    char why[SQ_JSON_ERROR_MAX];
    json_t *tree = sq_json_read(&sq_drive_schema, text, strlen(text), &b,
                                why);

    (void)state;
    assert_non_null(tree);
    assert_string_equal(b.drive_id, "d\xc3\xa4");
    assert_string_equal(b.path_on_host, "/p");
    assert_null(b.partuuid);
    assert_null(b.socket);
    assert_true(b.is_root_device.set && b.is_root_device.v == 1);
    assert_false(b.is_read_only.set);
    assert_int_equal(b.io_engine.v, SQ_ENGINE_ASYNC);
    assert_false(b.cache_type.set);
    assert_true(b.rate_limiter.part.set);
    assert_true(b.rate_limiter.ops.part.set);
    assert_false(b.rate_limiter.bandwidth.part.set);
    assert_true(b.rate_limiter.ops.size.v == INT64_MAX);
    assert_true(b.rate_limiter.ops.refill_time.set);
    json_decref(tree);
}

/* The parser's own mark for large numbers makes none of a client's string. */
static void strings_are_no_numbers(void **state)
{
    (void)state;
    bad(&sq_machine_schema,
        "{\"vcpu_count\": \"\\u00014\", \"mem_size_mib\": 128}",
        "invalid type: string \"\\u{1}4\", expected u8 at line 1 column 24");
    bad(&sq_machine_schema,
        "{\"vcpu_count\": 1, \"mem_size_mib\": \"\\u0001 99x\"}",
        "invalid type: string \"\\u{1} 99x\", expected usize at line 1 "
        "column 46");
}

static void defaults(void **state)
{
    struct sq_body_hotplug b = {0};
    struct sq_body_balloon_hinting h = {0};
    char why[SQ_JSON_ERROR_MAX];
    json_t *tree = sq_json_read(&sq_hotplug_schema,
                                "{\"total_size_mib\":1}", 20, &b, why);

    (void)state;
    assert_non_null(tree);
    assert_int_equal(b.block_size_mib.v, 2);
    assert_int_equal(b.slot_size_mib.v, 128);
    json_decref(tree);
    tree = sq_json_read(&sq_balloon_hinting_schema, "{}", 2, &h, why);
    assert_non_null(tree);
    assert_int_equal(h.acknowledge_on_stop.v, 1);
    json_decref(tree);
}

/* Lines and columns as serde_json counts them. */
static void places(void **state)
{
    (void)state;
    bad(&sq_machine_schema, "{\"vcpu_count\": 1}",
        "missing field `mem_size_mib` at line 1 column 17");
    bad(&sq_machine_schema, "{\n  \"vcpu_count\": 1\n}",
        "missing field `mem_size_mib` at line 3 column 1");
    bad(&sq_machine_schema, "{\n \"vcpus\" : 1}",
        "unknown field `vcpus`, expected one of `vcpu_count`, "
        "`mem_size_mib`, `smt`, `cpu_template`, `track_dirty_pages`, "
        "`huge_pages` at line 2 column 9");
    bad(&sq_machine_schema, "{\"vcpu_count\":[1]}",
        "invalid type: sequence, expected u8 at line 1 column 14");
    bad(&sq_machine_schema, "{\"vcpu_count\":{}}",
        "invalid type: map, expected u8 at line 1 column 14");
    bad(&sq_machine_schema, "{\"vcpu_count\":true}",
        "invalid type: boolean `true`, expected u8 at line 1 column 18");
    bad(&sq_machine_schema, "{\"vcpu_count\":1e2}",
        "invalid type: floating point `100.0`, expected u8 at line 1 column "
        "17");
    bad(&sq_machine_schema, "{\"vcpu_count\":99999999999999999999}",
        "invalid type: floating point `1e+20`, expected "
        "u8 at line 1 column 34");
    bad(&sq_machine_schema, "\"x\"", "invalid type: string \"x\", expected "
        "struct MachineConfig at line 1 column 3");
    bad(&sq_machine_schema, "", "EOF while parsing a value at line 1 column "
        "0");
    bad(&sq_machine_schema, " \n", "EOF while parsing a value at line 2 "
        "column 0");
    bad(&sq_logger_schema, "{\"level\":\"x\" }",
        "Invalid LevelFilter at line 1 column 14");
    bad(&sq_logger_schema, "{\"level\":\"x\",\"module\":\"y\"}",
        "Invalid LevelFilter at line 1 column 12");
    bad(&sq_mmds_config_schema, "{\"network_interfaces\":[\"a\",1]}",
        "invalid type: integer `1`, expected a string at line 1 column 28");
    bad(&sq_snapshot_load_schema, "{\"snapshot_path\":1}",
        "invalid type: integer `1`, expected path string at line 1 column "
        "18");
    bad(&sq_metrics_schema,
        "{\"metrics_path\":\"p\",\"properties\":{\"a\":1}}",
        "invalid type: integer `1`, expected a string at line 1 column 39");
}

static void syntax(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"{", "EOF while parsing an object at line 1 column 1"},
        {"{\"state\"", "EOF while parsing an object at line 1 column 8"},
        {"{\"state\":", "EOF while parsing a value at line 1 column 9"},
        {"{\"state\":\"Pa", "EOF while parsing a string at line 1 column 12"},
        {"{\"state\" \"Paused\"}", "expected `:` at line 1 column 10"},
        {"{state:1}", "key must be a string at line 1 column 2"},
        {"{,}", "key must be a string at line 1 column 2"},
        {"{\"state\":\"Paused\",}", "trailing comma at line 1 column 19"},
        {"{\"state\":\"Paused\" 1}",
         "expected `,` or `}` at line 1 column 19"},
        {"{\"state\":\"Paused\"}}", "trailing characters at line 1 column "
         "19"},
        {"{\"state\":\"\\q\"}", "invalid escape at line 1 column 12"},
        {"{\"state\":\"\x01\"}", "control character (\\u0000-\\u001F) found "
         "while parsing a string at line 1 column 11"},
        {"{\"state\":tru}", "expected value at line 1 column 10"},
        {"{\"state\":\"\xff\"}", "invalid unicode code point at line 1 "
         "column 12"},
        {"{\"state\":\"\\ud800x\"}", "unexpected end of hex escape at line 1 "
         "column 17"},
    };

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(rows); i++)
        bad(&sq_vm_state_schema, rows[i].text, rows[i].want);
    bad(&sq_balloon_patch_schema, "{\"amount_mib\":01}",
        "invalid number at line 1 column 16");
    bad(&sq_balloon_patch_schema, "{\"amount_mib\":1.}",
        "invalid number at line 1 column 17");
    bad(&sq_balloon_patch_schema, "{\"amount_mib\":-}",
        "invalid number at line 1 column 16");
}

static void deep_values(void **state)
{
    char text[600], why[SQ_JSON_ERROR_MAX];
    json_t *tree;

    (void)state;
    memset(text, '[', 300);
    memset(text + 300, ']', 300);
    assert_null(sq_json_read_any(text, 600, why));
    assert_string_equal(why, "recursion limit exceeded at line 1 column "
                        "128");
    tree = sq_json_read_any(text + 200, 200, why);
    assert_non_null(tree);
    json_decref(tree);
}

/* Random texts, made from pieces: reading and explaining agree on what is
 * wrong, and nothing reads beyond the text (its copy has an exact size). */
static void readers_agree(void **state)
{
    static const char *const pieces[] = {
        "{", "}", "[", "]", ",", ":", "\"drive_id\"", "\"a\"", "1", "-1",
        "1.5", "true", "null", " ", "\n", "\"is_root_device\"",
        "\"rate_limiter\"", "\"ops\"", "\"size\"", "\"refill_time\"", "\"",
        "\\", "\\u00", "\xc3", "\"path_on_host\"", "e", "0",
        "{\"drive_id\":\"a\",\"is_root_device\":true",
    };
    uint32_t seed = 1;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char text[512], why[SQ_JSON_ERROR_MAX], *copy;
        struct sq_body_drive b = {0};
        size_t len = 0;
        json_t *tree;

        for (int i = (int)(seed >> 16) % 12; i >= 0; i--) {
            const char *piece;

            seed = seed * 1103515245u + 12345u;
            piece = pieces[(seed >> 16) % SQ_ARRAY_LEN(pieces)];
            memcpy(text + len, piece, strlen(piece));
            len += strlen(piece);
        }
        copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, text, len);
        copy[len] = '\0';
        tree = sq_json_read(&sq_drive_schema, copy, len, &b, why);
        if (tree)
            assert_false(sq_json_explain(&sq_drive_schema, copy, len, why));
        else
            assert_true(sq_json_explain(&sq_drive_schema, copy, len, why));
        json_decref(tree);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(strings_are_no_numbers),
        cmocka_unit_test(defaults),
        cmocka_unit_test(places),
        cmocka_unit_test(syntax),
        cmocka_unit_test(deep_values),
        cmocka_unit_test(readers_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
