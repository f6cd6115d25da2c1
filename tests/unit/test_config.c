/* SPDX-License-Identifier: Apache-2.0 */
/* Machine specs. */
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

static void networks_are_checked(void **state)
{
    static const uint8_t mac[6] = {0x06, 0x00, 0xac, 0x10, 0x00, 0x02};
    struct sq_vm_spec *spec = *state;
    struct squib_error err = {0};

    strcpy(spec->kernel, "/k");
    for (int i = 0; i < 2; i++) {
        struct sq_net_spec *n = sq_spec_net_add(spec, NULL);

        n->kind = SQ_NET_TAP;
        snprintf(n->id, sizeof(n->id), "eth%d", i);
        snprintf(n->tap, sizeof(n->tap), "tap%d", i);
    }
    assert_int_equal(sq_spec_validate(spec, NULL), 0);
    spec->nets[0].mtu = 67;
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "MTU 67");
    spec->nets[0].mtu = 68;
    spec->nets[0].has_mac = spec->nets[1].has_mac = true;
    memcpy(spec->nets[0].mac, mac, 6);
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

static void balloons_are_checked(void **state)
{
    struct sq_vm_spec *spec = *state;
    struct squib_error err = {0};

    strcpy(spec->kernel, "/k");
    spec->balloon = true;
    spec->balloon_config.amount_mib = 129;
    assert_int_equal(sq_spec_validate(spec, &err), SQUIB_E_INVAL);
    must_contain(&err, "129 MiB");
    spec->balloon_config.amount_mib = 128;
    assert_int_equal(sq_spec_validate(spec, &err), 0);
}

static void roots_on_the_command_line(void **state)
{
    struct sq_vm_spec *spec = *state;
    struct sq_drive_spec *d = sq_spec_drive_add(spec, NULL);

    strcpy(spec->cmdline, "a b");
    assert_int_equal(sq_spec_finish_cmdline(spec, NULL), 0);
    assert_string_equal(spec->cmdline, "a b pci=off");
    d->is_root = true;
    spec->cmdline[0] = '\0';
    assert_int_equal(sq_spec_finish_cmdline(spec, NULL), 0);
    assert_string_equal(spec->cmdline, "pci=off root=/dev/vda rw");
    d->read_only = true;
    strcpy(d->partuuid, "ab-01");
    spec->cmdline[0] = '\0';
    assert_int_equal(sq_spec_finish_cmdline(spec, NULL), 0);
    assert_string_equal(spec->cmdline, "pci=off root=PARTUUID=ab-01 ro");
}

static void pci_stays_on_where_there_is_some(void **state)
{
    struct sq_vm_spec *spec = *state;

    spec->pci = true;
    assert_int_equal(sq_spec_append(spec, "a", NULL), 0);
    assert_int_equal(sq_spec_finish_cmdline(spec, NULL), 0);
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
        assert_int_equal(list.max, 32);
        for (uint32_t n = 0; n < list.max; n++) {
            memset(sq_spec_list_entry(&list, n), 'a' + (int)n, list.len);
            ++*list.count;
        }
        sq_spec_list_remove(&list, 7);
        sq_spec_list_remove(&list, 0);
        sq_spec_list_remove(&list, 2);
        assert_int_equal(*list.count, list.max - 3);
        for (uint32_t n = 0; n < 5; n++)
            assert_int_equal(*(char *)sq_spec_list_entry(&list, n),
                             "bcefg"[n]);
    }
    assert_int_equal(spec->drives[1].path[0], 'c');
    assert_false(sq_spec_list(spec, SQ_VIRTIO_ID_RNG, &list));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_need_a_kernel), TEST(bounds), TEST(drives_are_checked),
        TEST(cmdline_has_a_limit), TEST(networks_are_checked),
        TEST(balloons_are_checked), TEST(roots_on_the_command_line),
        TEST(pci_stays_on_where_there_is_some),
        TEST(entries_of_a_list_move_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
