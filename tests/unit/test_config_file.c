/* SPDX-License-Identifier: Apache-2.0 */
/* Firecracker's configuration file, through the API's own tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/api.h"
#include "api/config_file.h"
#include "base/util.h"

struct box {
    struct sq_api api;
    char dir[64];
    char text[16384];
    struct sq_fault fault;
};

static void touch(const struct box *b, const char *name, const char *text)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", b->dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void renew(struct box *b)
{
    struct squib_error err = {0};

    sq_api_fini(&b->api);
    assert_int_equal(sq_api_init(&b->api, "a", &err), 0);
    assert_int_equal(sq_api_limit(&b->api, 1000, 1000, &err), 0);
    b->api.log.level = SQ_LOG_OFF;
}

static int setup(void **state)
{
    struct box *b = test_calloc(1, sizeof(*b));
    struct squib_error err = {0};

    strcpy(b->dir, "/tmp/squib-test-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    touch(b, "k", "kernel");
    touch(b, "i", "initrd");
    touch(b, "d", "disk");
    touch(b, "e", "disk");
    assert_int_equal(sq_api_init(&b->api, "a", &err), 0);
    renew(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"k", "i", "d", "e", "v", "log",
                                        "metrics", "cpu"};
    struct box *b = *state;
    char path[128];

    sq_api_fini(&b->api);
    for (size_t i = 0; i < SQ_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", b->dir, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(b->dir), 0);
    test_free(b);
    return 0;
}

/* The text with @ for the directory. */
static void expand(struct box *b, const char *text)
{
    size_t n = 0;

    for (; *text; text++) {
        if (*text == '@')
            n += (size_t)sprintf(b->text + n, "%s", b->dir);
        else
            b->text[n++] = *text;
        assert_true(n + sizeof(b->dir) < sizeof(b->text));
    }
    b->text[n] = '\0';
}

static bool apply(struct box *b, const char *text)
{
    renew(b);
    memset(&b->fault, 0, sizeof(b->fault));
    expand(b, text);
    return sq_config_file_apply(&b->api, b->text, strlen(b->text),
                                &b->fault);
}

static void must_apply(struct box *b, const char *text)
{
    if (!apply(b, text))
        fail_msg("%s: %s", b->text, b->fault.text);
}

#define BOOT "\"boot-source\": {\"kernel_image_path\": \"@/k\"}"
#define SMALL BOOT ", \"drives\": []"
#define ROOT "{\"drive_id\": \"root\", \"is_root_device\": true, " \
             "\"path_on_host\": \"@/e\"}"

static void smallest_file(void **state)
{
    struct box *b = *state;
    const struct sq_vm_spec *spec = b->api.resources.spec;

    must_apply(b, "{" SMALL "}");
    spec = b->api.resources.spec;
    assert_non_null(strstr(spec->kernel, "/k"));
    assert_false(b->api.resources.has_boot_args);
    assert_int_equal(spec->vcpus, 1);
    assert_int_equal(b->api.resources.mem_mib, 128);
    assert_int_equal(spec->drive_count, 0);
}

static void full_file(void **state)
{
    struct box *b = *state;
    const struct sq_vm_spec *spec;

    must_apply(b,
        "{ \"boot-source\": {\"kernel_image_path\": \"@/k\", "
        "  \"initrd_path\": \"@/i\", \"boot_args\": \"a b\"},"
        "  \"machine-config\": {\"vcpu_count\": 2, \"mem_size_mib\": 256,"
        "    \"smt\": false, \"track_dirty_pages\": true,"
        "    \"huge_pages\": \"None\", \"cpu_template\": null},"
        "  \"drives\": [{\"drive_id\": \"d1\", \"is_root_device\": false,"
        "    \"path_on_host\": \"@/d\", \"is_read_only\": true,"
        "    \"cache_type\": \"Writeback\", \"io_engine\": \"Async\","
        "    \"rate_limiter\": {\"ops\": {\"size\": 7, \"refill_time\": 9,"
        "    \"one_time_burst\": null, \"new\": []}}, \"socket\": null}, "
        ROOT "],"
        "  \"vsock\": {\"guest_cid\": 9, \"uds_path\": \"@/v\"},"
        "  \"entropy\": {}, \"network-interfaces\": [],"
        "  \"pmem\": [{\"id\": \"p\", \"path_on_host\": \"@/d\"}],"
        "  \"balloon\": {\"amount_mib\": 256, \"deflate_on_oom\": true,"
        "    \"stats_polling_interval_s\": 65535},"
        "  \"logger\": {\"log_path\": \"@/log\", \"level\": \"off\"},"
        "  \"metrics\": {\"metrics_path\": \"@/metrics\"},"
        "  \"cpu-config\": null, \"mmds-config\": null }");
    spec = b->api.resources.spec;
    assert_non_null(strstr(spec->initrd, "/i"));
    assert_string_equal(spec->cmdline, "a b");
    assert_int_equal(spec->vcpus, 2);
    assert_int_equal(b->api.resources.mem_mib, 256);
    assert_true(spec->dirty_log);
    assert_true(spec->rng);
    assert_true(spec->vsock);
    assert_int_equal(spec->guest_cid, 9);
    assert_int_equal(spec->drive_count, 2);
    /* The root comes first wherever it stood. */
    assert_string_equal(spec->drives[0].id, "root");
    assert_false(spec->drives[0].read_only);
    assert_false(spec->drives[0].async);
    assert_true(spec->drives[1].read_only);
    assert_true(spec->drives[1].flush);
    assert_true(spec->drives[1].async);
    assert_int_equal(spec->drives[1].limit.ops.size, 7);
    assert_int_equal(spec->pmem_count, 1);
    assert_true(spec->balloon);
    assert_int_equal(spec->balloon_config.stats_interval_s, 65535);
    assert_true(b->api.log.fd >= 0);
    assert_int_equal(b->api.log.level, SQ_LOG_OFF);
    assert_true(b->api.metrics.fd >= 0);
    /* What is shown is what a file may say. */
    {
        json_t *shown = sq_resources_show(&b->api.resources, b->api.mmds);
        char *text = json_dumps(shown, 0);

        sq_resources_release(&b->api.resources);
        must_apply(b, text);
        free(text);
        json_decref(shown);
    }
}

static void cpu_template(void **state)
{
    struct box *b = *state;

    must_apply(b, "{" SMALL ", \"cpu-config\": {}}");
    touch(b, "cpu", "{\"cpuid_modifiers\": []}");
    must_apply(b, "{" SMALL ", \"cpu-config\": \"@/cpu\"}");
    touch(b, "cpu", "{\"cpuid_modifiers\": 1}");
    assert_false(apply(b, "{" SMALL ", \"cpu-config\": \"@/cpu\"}"));
    assert_non_null(strstr(b->fault.text, "Invalid JSON: invalid type"));
    assert_false(apply(b, "{" SMALL ", \"cpu-config\": \"@/none\"}"));
    assert_string_equal(b->fault.text, "File operation error: No such file "
                        "or directory (os error 2)");
    assert_false(apply(b, "{" SMALL ", \"cpu-config\": 1}"));
    assert_non_null(strstr(b->fault.text, "did not match any variant"));
}

#define JSON "Invalid JSON: "

static void refusals(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", JSON "EOF while parsing a value at line 1 column 0"},
        {"{", JSON "EOF while parsing an object at line 1 column 1"},
        {"[]", JSON "invalid length 0, expected struct VmmConfig with 13 "
         "elements at line 1 column 2"},
        {"{" BOOT "}", JSON "missing field `drives` at line 1 column"},
        {"{\"drives\": []}", JSON "missing field `boot-source` at line 1 "
         "column 14"},
        {"{\"boot-source\": {}, \"drives\": []}",
         JSON "missing field `kernel_image_path` at line 1 column 18"},
        {"{\"boot-source\": null, \"drives\": []}",
         JSON "invalid type: null, expected struct BootSourceConfig"},
        {"{" BOOT ", \"drives\": null}", "expected a sequence"},
        {"{" SMALL ", \"network-interfaces\": null}",
         "expected a sequence"},
        {"{" SMALL ", \"drives\": []}", "duplicate field `drives`"},
        {"{\"boot-source\": {\"kernel_image_path\": \"a\", \"k\": 1}, "
         "\"drives\": []}", "unknown field `k`"},
        {"{\"boot-source\": {\"kernel_image_path\": \"@/none\"}, "
         "\"drives\": []}", "Boot source error: The kernel file cannot be "
         "opened: No such file or directory (os error 2)"},
        {"{" BOOT ", \"drives\": [{\"drive_id\": \"a\", "
         "\"is_root_device\": true}]}", "Block device error: Unable to "
         "create the virtio block device: Invalid block config."},
        {"{" BOOT ", \"drives\": [" ROOT ", {\"drive_id\": \"b\", "
         "\"is_root_device\": true, \"path_on_host\": \"@/d\"}]}",
         "Block device error: A root block device already exists!"},
        {"{" SMALL ", \"machine-config\": {\"mem_size_mib\": 128}}",
         JSON "missing field `vcpu_count`"},
        {"{" SMALL ", \"machine-config\": {\"vcpu_count\": 33, "
         "\"mem_size_mib\": 128}}", "VM config error: The number of vCPUs"},
        {"{" SMALL ", \"balloon\": {\"amount_mib\": 129, "
         "\"deflate_on_oom\": true}}", "Balloon device error: Amount of "
         "pages requested is too large."},
        {"{" SMALL ", \"vsock\": {\"guest_cid\": 3, \"uds_path\": "
         "\"@/none/v\"}}", "Vsock device error: Cannot create backend"},
        {"{" SMALL ", \"mmds-config\": {\"network_interfaces\": []}}",
         "MMDS config error: The list of network interface IDs that allow "
         "forwarding MMDS requests is empty."},
        {"{" SMALL ", \"mmds-config\": {\"network_interfaces\": [\"e\"], "
         "\"version\": \"V3\"}}", "unknown variant `V3`"},
        {"{" SMALL ", \"network-interfaces\": [{\"iface_id\": \"e\", "
         "\"host_dev_name\": \"t\", \"mtu\": 67}]}",
         "Network device error: Could not create the network device: MTU"},
        {"{" SMALL ", \"logger\": {\"log_path\": \"@/none/log\"}}",
         "Logger error: Failed to open target file: No such file"},
        {"{" SMALL ", \"logger\": {\"level\": \"x\"}}",
         JSON "Invalid LevelFilter"},
        {"{" SMALL ", \"metrics\": {\"metrics_path\": \"@/none/m\"}}",
         "Metrics error: Cannot initialize the metrics system due to bad "
         "user input: No such file"},
    };

    for (size_t i = 0; i < SQ_ARRAY_LEN(cases); i++) {
        if (apply(*state, cases[i].text))
            fail_msg("%s was taken", cases[i].text);
        if (!strstr(((struct box *)*state)->fault.text, cases[i].says))
            fail_msg("%s: %s", cases[i].text,
                     ((struct box *)*state)->fault.text);
    }
}

static void unknown_keys_are_skipped(void **state)
{
    must_apply(*state, "{" SMALL ", \"x\": 1, \"serial\": {}}");
}

static void long_paths_are_refused(void **state)
{
    struct box *b = *state;
    char *text = test_malloc(8192), *at = text;

    at += sprintf(at, "{\"boot-source\": {\"kernel_image_path\": \"");
    memset(at, 'k', 5000);
    strcpy(at + 5000, "\"}, \"drives\": []}");
    assert_false(apply(b, text));
    assert_non_null(strstr(b->fault.text, "File name too long"));
    test_free(text);
}

/* Whatever is cut off, the reader answers with a fault. */
static void truncated_files(void **state)
{
    struct box *b = *state;
    static char whole[16384];

    expand(b, "{" BOOT ", \"drives\": [" ROOT "]}");
    snprintf(whole, sizeof(whole), "%s", b->text);
    for (size_t len = 0; len < strlen(whole); len++) {
        char *text = test_malloc(len + 1);

        memcpy(text, whole, len);
        text[len] = '\0';
        assert_false(sq_config_file_apply(&b->api, text, len, &b->fault));
        test_free(text);
    }
}

static void files_are_bounded(void **state)
{
    struct box *b = *state;
    char path[128], *text;
    size_t len;

    snprintf(path, sizeof(path), "%s/k", b->dir);
    assert_int_equal(sq_config_file_slurp(path, &text, &len), 0);
    assert_int_equal(len, 6);
    assert_string_equal(text, "kernel");
    free(text);
    assert_int_not_equal(sq_config_file_slurp("/dev/zero", &text, &len), 0);
    assert_int_not_equal(sq_config_file_slurp("/tmp", &text, &len), 0);
    assert_int_not_equal(sq_config_file_slurp("/none", &text, &len), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(smallest_file), TEST(full_file), TEST(cpu_template),
        TEST(refusals), TEST(unknown_keys_are_skipped),
        TEST(long_paths_are_refused), TEST(truncated_files),
        TEST(files_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
