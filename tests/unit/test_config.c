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

#define NET(fields)                                                        \
    "{" BOOT ", \"drives\": [], \"network-interfaces\": [{\"iface_id\": "    \
    "\"e\", " fields "}]}"

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
    assert_true(spec->drives[1].async);
    assert_false(spec->drives[0].async);
    assert_false(spec->balloon);
    assert_string_equal(notes, "");
    assert_int_equal(sq_config_finish_cmdline(spec, NULL), 0);
    assert_string_equal(spec->cmdline, "a b pci=off root=/dev/vda rw");
}

static void networks(void **state)
{
    static const uint8_t mac[6] = {0x06, 0x00, 0xac, 0x10, 0x00, 0x02};
    struct sq_vm_spec *spec = *state;
    struct squib_error err = {0};
    static const char text[] =
        "{ \"boot-source\": {\"kernel_image_path\": \"/k\"},"
        "  \"drives\": [], \"network-interfaces\": ["
        "  {\"iface_id\": \"eth0\", \"host_dev_name\": \"tap0\","
        "   \"guest_mac\": \"06:00:AC:10:00:02\", \"mtu\": 1400,"
        "   \"tx_rate_limiter\": {\"ops\": {\"size\": 5,"
        "   \"refill_time\": 100}}},"
        "  {\"iface_id\": \"eth1\", \"host_dev_name\": \"tap1\","
        "   \"guest_mac\": null, \"mtu\": null}] }";

    assert_int_equal(sq_config_parse(text, strlen(text), spec, NULL, 0,
                                     NULL), 0);
    assert_int_equal(spec->net_count, 2);
    assert_int_equal(spec->nets[0].kind, SQ_NET_TAP);
    assert_string_equal(spec->nets[0].tap, "tap0");
    assert_true(spec->nets[0].has_mac);
    assert_memory_equal(spec->nets[0].mac, mac, 6);
    assert_int_equal(spec->nets[0].mtu, 1400);
    assert_int_equal(spec->nets[0].tx_limit.ops.size, 5);
    assert_false(spec->nets[1].has_mac);
    assert_int_equal(spec->nets[1].mtu, 0);
    assert_int_equal(sq_spec_validate(spec, NULL), 0);
    spec->nets[1].has_mac = true;
    memcpy(spec->nets[1].mac, mac, 6);
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "already in use: 06:00:ac:10:00:02");
    spec->nets[1].has_mac = false;
    strcpy(spec->nets[1].id, "eth0");
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "used twice");
    strcpy(spec->nets[1].id, "eth-1");
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    spec->net_count = SQ_SPEC_NETS_MAX;
    assert_null(sq_spec_net_add(spec, &err));
}

static void metadata(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{}", "missing field `network_interfaces`"},
        {"{\"network_interfaces\": []}", "is empty"},
        {"{\"network_interfaces\": \"e\"}", "expected a sequence"},
        {"{\"network_interfaces\": [\"e\", \"x\"]}",
         "does not correspond to any existing network interface"},
        {"{\"network_interfaces\": [7]}", "does not correspond"},
        {"{\"network_interfaces\": [\"e\"], \"version\": \"V3\"}",
         "unknown variant `V3`"},
        {"{\"network_interfaces\": [\"e\"], \"ipv4_address\": "
         "\"10.0.0.1\"}", "MMDS IPv4 address is not link local"},
    };
    struct sq_vm_spec *spec = *state;
    struct squib_error err = {0};
    char text[512];

    /* Also in front of the interfaces that it names. */
    assert_int_equal(parse(spec, "{\"mmds-config\": {\"network_interfaces\":"
                           " [\"e\"], \"version\": \"V2\", "
                           "\"ipv4_address\": \"169.254.1.2\"}, " BOOT
                           ", \"drives\": [], \"network-interfaces\": ["
                           "{\"iface_id\": \"e\", \"host_dev_name\": "
                           "\"t\"}, {\"iface_id\": \"f\", "
                           "\"host_dev_name\": \"u\"}]}", &err), 0);
    assert_true(spec->mmds && spec->nets[0].mmds && !spec->nets[1].mmds);
    assert_int_equal(spec->mmds_config.version, SQ_MMDS_V2);
    assert_memory_equal(spec->mmds_config.ipv4, "\xa9\xfe\1\2", 4);
    for (size_t i = 0; i < SQ_ARRAY_LEN(bad); i++) {
        sq_spec_init(spec);
        snprintf(text, sizeof(text), "%.*s}], \"mmds-config\": %s}",
                 (int)strlen(NET("\"host_dev_name\": \"t\"")) - 3,
                 NET("\"host_dev_name\": \"t\""), bad[i].text);
        assert_int_equal(parse(spec, text, &err), SQUIB_E_INVAL);
        must_contain(&err, bad[i].says);
    }
}

static void limits_and_balloon(void **state)
{
    struct sq_vm_spec *spec = *state;
    struct squib_error err = {0};

    assert_int_equal(
        parse(spec, "{" BOOT ", \"drives\": [{\"drive_id\": \"r\", "
              "\"is_root_device\": true, \"path_on_host\": \"/r\", "
              "\"rate_limiter\": {\"ops\": null, \"bandwidth\": "
              "{\"size\": 1000, \"refill_time\": 200, "
              "\"one_time_burst\": 5, \"new\": []}}}], "
              "\"entropy\": {\"rate_limiter\": {\"ops\": {\"size\": 7, "
              "\"refill_time\": 9, \"one_time_burst\": null}}}, "
              "\"balloon\": {\"amount_mib\": 129, \"deflate_on_oom\": "
              "true, \"stats_polling_interval_s\": 65535, "
              "\"free_page_reporting\": true}}", NULL), 0);
    assert_int_equal(spec->drives[0].limit.bandwidth.size, 1000);
    assert_int_equal(spec->drives[0].limit.bandwidth.refill_ms, 200);
    assert_int_equal(spec->drives[0].limit.bandwidth.one_time_burst, 5);
    assert_int_equal(spec->drives[0].limit.ops.size, 0);
    assert_int_equal(spec->rng_limit.ops.size, 7);
    assert_int_equal(spec->rng_limit.ops.refill_ms, 9);
    assert_true(spec->balloon);
    assert_int_equal(spec->balloon_config.stats_interval_s, 65535);
    assert_true(spec->balloon_config.deflate_on_oom);
    assert_true(spec->balloon_config.reporting);
    assert_false(spec->balloon_config.hinting);
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "129 MiB");
    spec->balloon_config.amount_mib = 128;
    assert_int_equal(sq_spec_validate(spec, &err), 0);
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

static void pci_stays_on_where_there_is_some(void **state)
{
    struct sq_vm_spec *spec = *state;

    spec->pci = true;
    assert_int_equal(sq_spec_append(spec, "a", NULL), 0);
    assert_int_equal(sq_config_finish_cmdline(spec, NULL), 0);
    assert_string_equal(spec->cmdline, "a");
}

static void entries_of_a_list_move_up(void **state)
{
    static const uint32_t ids[] = {
        SQ_VIRTIO_ID_BLK, SQ_VIRTIO_ID_NET, SQ_VIRTIO_ID_PMEM,
    };
    struct sq_vm_spec *spec = *state;
    struct sq_spec_list list;

    for (unsigned i = 0; i < 3; i++) {
        assert_true(sq_spec_list(spec, ids[i], &list));
        assert_int_equal(*list.count, 0);
        assert_int_equal(list.max, 8);
        for (uint32_t n = 0; n < list.max; n++) {
            memset(sq_spec_list_entry(&list, n), 'a' + (int)n, list.len);
            ++*list.count;
        }
        sq_spec_list_remove(&list, 7);
        sq_spec_list_remove(&list, 0);
        sq_spec_list_remove(&list, 2);
        assert_int_equal(*list.count, 5);
        for (uint32_t n = 0; n < 5; n++)
            assert_int_equal(*(char *)sq_spec_list_entry(&list, n),
                             "bcefg"[n]);
    }
    assert_int_equal(spec->drives[1].path[0], 'c');
    assert_false(sq_spec_list(spec, SQ_VIRTIO_ID_RNG, &list));
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
         "true, \"path_on_host\": \"/r\", \"rate_limiter\": 7}]}",
         SQUIB_E_INVAL, "rate_limiter"},
        {"{" BOOT ", \"drives\": [{\"drive_id\": \"a\", \"is_root_device\": "
         "true, \"path_on_host\": \"/r\", \"rate_limiter\": {\"x\": 1}}]}",
         SQUIB_E_INVAL, "unknown field `x`"},
        {"{" BOOT ", \"drives\": [], \"entropy\": {\"rate_limiter\": "
         "{\"ops\": {\"size\": 1}}}}", SQUIB_E_INVAL,
         "missing field `refill_time`"},
        {"{" BOOT ", \"drives\": [], \"entropy\": {\"rate_limiter\": "
         "{\"ops\": {\"size\": -1, \"refill_time\": 1}}}}", SQUIB_E_INVAL,
         "expected u64"},
        {"{" BOOT ", \"drives\": [], \"balloon\": {\"amount_mib\": 1}}",
         SQUIB_E_INVAL, "missing field `deflate_on_oom`"},
        {"{" BOOT ", \"drives\": [], \"balloon\": {\"amount_mib\": 1, "
         "\"deflate_on_oom\": true, \"stats_polling_interval_s\": 65536}}",
         SQUIB_E_INVAL, "65536"},
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
         SQUIB_E_INVAL, "missing field `iface_id`"},
        {"{" BOOT ", \"drives\": [], \"network-interfaces\": {}}",
         SQUIB_E_INVAL, "expected a sequence"},
        {"{" BOOT ", \"drives\": [], \"network-interfaces\": ["
         "{\"iface_id\": \"e\"}]}",
         SQUIB_E_INVAL, "missing field `host_dev_name`"},
        {NET("\"host_dev_name\": \"sixteen-letters!\""), SQUIB_E_INVAL,
         "host_dev_name is too long"},
        {NET("\"host_dev_name\": \"t\", \"guest_mac\": \"06:00:aa\""),
         SQUIB_E_INVAL, "`guest_mac`: '06:00:aa' is not a MAC address"},
        {NET("\"host_dev_name\": \"t\", \"guest_mac\": "
             "\"06:00:aa:bb:cc:dd:ee\""), SQUIB_E_INVAL, "MAC address"},
        {NET("\"host_dev_name\": \"t\", \"mtu\": 67"), SQUIB_E_INVAL,
         "68 to 65535"},
        {NET("\"host_dev_name\": \"t\", \"mtu\": 65536"), SQUIB_E_INVAL,
         "68 to 65535"},
        {NET("\"host_dev_name\": \"t\", \"rx_rate_limiter\": {\"bandwidth\""
             ": {\"size\": 1}}"), SQUIB_E_INVAL,
         "missing field `refill_time`"},
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
        TEST(limits_and_balloon),
        TEST(networks),
        TEST(metadata),
        TEST(partuuid_root), TEST(pci_stays_on_where_there_is_some),
        TEST(entries_of_a_list_move_up),
        TEST(unknown_top_key_is_noted), TEST(refusals),
        TEST(long_values_are_refused), TEST(truncated_files),
        TEST(load_checks_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
