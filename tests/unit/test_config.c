/* SPDX-License-Identifier: Apache-2.0 */
/* Machine specs and Firecracker's configuration file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "vmm/config.h"
#include "vmm/config_json.h"

static int setup(void **state)
{
    struct sq_vm_spec *spec = test_malloc(sizeof(*spec));

    sq_spec_init(spec);
    *state = spec;
    return 0;
}

static int teardown(void **state)
{
    test_free(*state);
    return 0;
}

static void must_contain(const struct squib_error *err, const char *text)
{
    if (!strstr(err->text, text))
        fail_msg("'%s' is not in '%s'", text, err->text);
}

/* --- specs ------------------------------------------------------------- */

static void defaults_need_a_kernel(void **state)
{
    struct sq_vm_spec *spec = *state;
    struct squib_error err = {0};

    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "kernel");
    strcpy(spec->kernel, "/k");
    assert_int_equal(sq_spec_validate(spec, NULL), 0);
}

static void bounds(void **state)
{
    struct sq_vm_spec *spec = *state;
    struct squib_error err = {0};

    strcpy(spec->kernel, "/k");
    spec->vcpus = 0;
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "1 to 32");
    spec->vcpus = 33;
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "33 vCPUs");
    spec->vcpus = 32;
    assert_int_equal(sq_spec_validate(spec, NULL), 0);
    spec->mem_mib = SQ_SPEC_MEM_MIB_MIN - 1;
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "MiB");
    spec->mem_mib = SQ_SPEC_MEM_MIB_MAX;
    assert_int_equal(sq_spec_validate(spec, NULL), 0);
    spec->mem_mib++;
    assert_int_equal(sq_spec_validate(spec, NULL), SQUIB_E_INVAL);
    spec->mem_mib = 128;
    spec->vsock = true;
    spec->guest_cid = 2;
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "CID 2");
    spec->guest_cid = 3;
    strcpy(spec->cmdline, "quiet\n");
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "0xa");
}

static void drives_are_checked(void **state)
{
    struct sq_vm_spec *spec = *state;
    struct squib_error err = {0};
    struct sq_drive_spec *a = sq_spec_drive_add(spec, NULL);
    struct sq_drive_spec *b = sq_spec_drive_add(spec, NULL);

    strcpy(spec->kernel, "/k");
    strcpy(a->id, "a");
    strcpy(a->path, "/a");
    strcpy(b->id, "a");
    strcpy(b->path, "/b");
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "twice");
    strcpy(b->id, "b-1");
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "b-1");
    strcpy(b->id, "b_1");
    a->is_root = b->is_root = true;
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "A root block device already exists!");
    b->is_root = false;
    assert_int_equal(sq_spec_validate(spec, NULL), 0);
    for (int i = 2; i < SQ_SPEC_DRIVES_MAX; i++)
        assert_non_null(sq_spec_drive_add(spec, NULL));
    assert_null(sq_spec_drive_add(spec, &err));
}

static void cmdline_has_a_limit(void **state)
{
    struct sq_vm_spec *spec = *state;
    struct squib_error err = {0};
    char word[101];

    memset(word, 'x', 100);
    word[100] = '\0';
    assert_int_equal(sq_spec_append(spec, "a", NULL), 0);
    assert_int_equal(sq_spec_append(spec, "b", NULL), 0);
    assert_string_equal(spec->cmdline, "a b");
    for (int i = 0; i < 20; i++)
        assert_int_equal(sq_spec_append(spec, word, NULL), 0);
    assert_int_equal(sq_spec_append(spec, word, &err), SQUIB_E_INVAL);
    assert_int_equal(strlen(spec->cmdline), 3 + 20 * 101);
    must_contain(&err, "2047");
}

/* --- files ------------------------------------------------------------- */

#define BOOT "\"boot-source\": {\"kernel_image_path\": \"/k\"}"
#define ROOT "{\"drive_id\": \"root\", \"is_root_device\": true, " \
             "\"path_on_host\": \"/r\"}"

static int parse(struct sq_vm_spec *spec, const char *text,
                 struct squib_error *err)
{
    return sq_config_parse(text, strlen(text), spec, NULL, 0, err);
}

static void smallest_file(void **state)
{
    struct sq_vm_spec *spec = *state;

    assert_int_equal(parse(spec, "{" BOOT ", \"drives\": []}", NULL), 0);
    assert_string_equal(spec->kernel, "/k");
    assert_string_equal(spec->cmdline, SQ_CONFIG_CMDLINE_DEFAULT);
    assert_int_equal(spec->vcpus, 1);
    assert_int_equal(spec->mem_mib, 128);
    assert_int_equal(spec->drive_count, 0);
    assert_int_equal(sq_spec_validate(spec, NULL), 0);
}

static void full_file(void **state)
{
    struct sq_vm_spec *spec = *state;
    char notes[100];
    static const char text[] =
        "{ \"boot-source\": {\"kernel_image_path\": \"/k\", "
        "  \"initrd_path\": \"/i\", \"boot_args\": \"a b\"},"
        "  \"machine-config\": {\"vcpu_count\": 2, \"mem_size_mib\": 256,"
        "    \"smt\": false, \"track_dirty_pages\": true,"
        "    \"huge_pages\": \"None\", \"cpu_template\": null},"
        "  \"drives\": [{\"drive_id\": \"d1\", \"is_root_device\": false,"
        "    \"path_on_host\": \"/d\", \"is_read_only\": true,"
        "    \"cache_type\": \"Writeback\", \"io_engine\": \"Async\","
        "    \"rate_limiter\": null, \"socket\": null}, " ROOT "],"
        "  \"vsock\": {\"guest_cid\": 9, \"uds_path\": \"/tmp/v\"},"
        "  \"entropy\": {}, \"balloon\": null, \"network-interfaces\": [] }";

    assert_int_equal(sq_config_parse(text, strlen(text), spec, notes,
                                     sizeof(notes), NULL), 0);
    assert_string_equal(spec->initrd, "/i");
    assert_string_equal(spec->cmdline, "a b");
    assert_int_equal(spec->vcpus, 2);
    assert_int_equal(spec->mem_mib, 256);
    assert_true(spec->dirty_log);
    assert_true(spec->rng);
    assert_true(spec->vsock);
    assert_int_equal(spec->guest_cid, 9);
    assert_string_equal(spec->vsock_path, "/tmp/v");
    assert_int_equal(spec->drive_count, 2);
    /* The root comes first wherever it stood. */
    assert_string_equal(spec->drives[0].id, "root");
    assert_false(spec->drives[0].read_only);
    assert_string_equal(spec->drives[1].path, "/d");
    assert_true(spec->drives[1].read_only);
    assert_true(spec->drives[1].flush);
    assert_non_null(strstr(notes, "Async"));
    assert_int_equal(sq_config_finish_cmdline(spec, NULL), 0);
    assert_string_equal(spec->cmdline, "a b pci=off root=/dev/vda rw");
}

static void partuuid_root(void **state)
{
    struct sq_vm_spec *spec = *state;

    assert_int_equal(parse(spec, "{" BOOT ", \"drives\": [{\"drive_id\": "
                           "\"r\", \"is_root_device\": true, "
                           "\"is_read_only\": true, \"partuuid\": \"ab-01\", "
                           "\"path_on_host\": \"/r\"}]}", NULL), 0);
    spec->cmdline[0] = '\0';
    assert_int_equal(sq_config_finish_cmdline(spec, NULL), 0);
    assert_string_equal(spec->cmdline, "pci=off root=PARTUUID=ab-01 ro");
}

static void unknown_top_key_is_noted(void **state)
{
    char notes[100];
    static const char text[] = "{" BOOT ", \"drives\": [], \"x\": 1}";

    assert_int_equal(sq_config_parse(text, strlen(text), *state, notes,
                                     sizeof(notes), NULL), 0);
    assert_non_null(strstr(notes, "`x`"));
}

static void refusals(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        {"", SQUIB_E_FORMAT, "not valid JSON"},
        {"{", SQUIB_E_FORMAT, "line 1"},
        {"[]", SQUIB_E_FORMAT, "expected an object"},
        {"{" BOOT "}", SQUIB_E_INVAL, "missing field `drives`"},
        {"{\"drives\": []}", SQUIB_E_INVAL, "missing field `boot-source`"},
        {"{" BOOT ", " BOOT ", \"drives\": []}", SQUIB_E_FORMAT,
         "duplicate"},
        {"{\"boot-source\": {}, \"drives\": []}", SQUIB_E_INVAL,
         "Boot source error: missing field `kernel_image_path`"},
        {"{\"boot-source\": null, \"drives\": []}", SQUIB_E_INVAL,
         "expected an object"},
        {"{\"boot-source\": {\"kernel_image_path\": 1}, \"drives\": []}",
         SQUIB_E_INVAL, "expected a string"},
        {"{\"boot-source\": {\"kernel_image_path\": \"a\", \"k\": 1}, "
         "\"drives\": []}", SQUIB_E_INVAL, "unknown field `k`"},
        {"{" BOOT ", \"drives\": {}}", SQUIB_E_INVAL, "sequence"},
        {"{" BOOT ", \"drives\": [{\"drive_id\": \"a\", "
         "\"is_root_device\": true}]}", SQUIB_E_INVAL, "path_on_host"},
        {"{" BOOT ", \"drives\": [{\"drive_id\": \"a\", \"is_root_device\": "
         "true, \"socket\": \"/s\"}]}", SQUIB_E_NOSUPPORT, "vhost-user"},
        {"{" BOOT ", \"drives\": [{\"drive_id\": \"a\", \"is_root_device\": "
         "true, \"path_on_host\": \"/r\", \"rate_limiter\": {}}]}",
         SQUIB_E_NOSUPPORT, "rate_limiter"},
        {"{" BOOT ", \"drives\": [{\"drive_id\": \"a\", \"is_root_device\": "
         "true, \"path_on_host\": \"/r\", \"cache_type\": \"No\"}]}",
         SQUIB_E_INVAL, "unknown variant `No`"},
        {"{" BOOT ", \"drives\": [], \"machine-config\": {\"vcpu_count\": 0,"
         " \"mem_size_mib\": 128}}", SQUIB_E_INVAL, "1 to 32"},
        {"{" BOOT ", \"drives\": [], \"machine-config\": {\"vcpu_count\": "
         "33, \"mem_size_mib\": 128}}", SQUIB_E_INVAL, "1 to 32"},
        {"{" BOOT ", \"drives\": [], \"machine-config\": {\"vcpu_count\": "
         "-1, \"mem_size_mib\": 128}}", SQUIB_E_INVAL, "-1"},
        {"{" BOOT ", \"drives\": [], \"machine-config\": {\"vcpu_count\": "
         "1.0, \"mem_size_mib\": 128}}", SQUIB_E_INVAL, "floating point"},
        {"{" BOOT ", \"drives\": [], \"machine-config\": {\"vcpu_count\": "
         "3, \"mem_size_mib\": 128, \"smt\": true}}", SQUIB_E_INVAL,
         "even"},
        {"{" BOOT ", \"drives\": [], \"machine-config\": {\"vcpu_count\": "
         "1}}", SQUIB_E_INVAL, "missing field `mem_size_mib`"},
        {"{" BOOT ", \"drives\": [], \"machine-config\": {\"vcpu_count\": "
         "1, \"mem_size_mib\": 128, \"huge_pages\": \"2M\"}}",
         SQUIB_E_NOSUPPORT, "huge_pages"},
        {"{" BOOT ", \"drives\": [], \"machine-config\": {\"vcpu_count\": "
         "1, \"mem_size_mib\": 99999999999999999999}}", SQUIB_E_FORMAT,
         "too big"},
        {"{" BOOT ", \"drives\": [], \"network-interfaces\": [{}]}",
         SQUIB_E_NOSUPPORT, "`network-interfaces` is not supported yet"},
        {"{" BOOT ", \"drives\": [], \"vsock\": {\"guest_cid\": 2, "
         "\"uds_path\": \"/v\"}}", SQUIB_E_INVAL, "guest_cid"},
        {"{\"boot-source\": {\"kernel_image_path\": \"a\\u0000b\"}, "
         "\"drives\": []}", SQUIB_E_FORMAT, "not valid JSON"},
    };

    for (size_t i = 0; i < SQ_ARRAY_LEN(cases); i++) {
        struct squib_error err = {0};
        struct sq_vm_spec *spec = *state;
        int rc;

        sq_spec_init(spec);
        rc = parse(spec, cases[i].text, &err);
        if (rc != cases[i].code)
            fail_msg("%s: %s, %s", cases[i].text, squib_code_name(rc),
                     err.text);
        must_contain(&err, cases[i].says);
    }
}

static void long_values_are_refused(void **state)
{
    struct squib_error err = {0};
    char *text = test_malloc(16384), *at = text;

    at += sprintf(at, "{\"boot-source\": {\"kernel_image_path\": \"");
    memset(at, 'k', 5000);
    at += 5000;
    strcpy(at, "\"}, \"drives\": []}");
    assert_int_equal(parse(*state, text, &err), SQUIB_E_INVAL);
    must_contain(&err, "too long");
    test_free(text);
}

/* Whatever is cut off, the parser answers with an error. */
static void truncated_files(void **state)
{
    static const char text[] = "{" BOOT ", \"drives\": [" ROOT "]}";

    for (size_t len = 0; len < strlen(text); len++)
        assert_int_equal(sq_config_parse(text, len, *state, NULL, 0, NULL),
                         SQUIB_E_FORMAT);
}

static void load_checks_paths(void **state)
{
    struct sq_vm_spec *spec = *state;
    struct squib_error err = {0};
    char path[] = "/tmp/squib-test-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] =
        "{\"boot-source\": {\"kernel_image_path\": \"/nonexistent/k\"}, "
        "\"drives\": []}";

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    assert_int_equal(sq_config_load(path, spec, NULL, 0, &err),
                     SQUIB_E_NOTFOUND);
    must_contain(&err, "Boot source error: cannot open /nonexistent/k");
    unlink(path);
    assert_int_equal(sq_config_load(path, spec, NULL, 0, &err),
                     SQUIB_E_NOTFOUND);
    assert_int_not_equal(sq_config_load("/dev/zero", spec, NULL, 0, &err),
                         0);
    assert_int_not_equal(sq_config_load("/tmp", spec, NULL, 0, &err), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_need_a_kernel), TEST(bounds), TEST(drives_are_checked),
        TEST(cmdline_has_a_limit), TEST(smallest_file), TEST(full_file),
        TEST(partuuid_root), TEST(unknown_top_key_is_noted), TEST(refusals),
        TEST(long_values_are_refused), TEST(truncated_files),
        TEST(load_checks_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
