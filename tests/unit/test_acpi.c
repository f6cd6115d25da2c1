/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's tables: ACPI, also through ACPICA's disassembler where it is
 * installed, and the MP table.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <squib/vm.h>

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/aml.h"
#include "arch/x86_64/mptable.h"
#include "base/util.h"

struct tables {
    uint8_t buf[SQ_X86_ACPI_LEN];
    size_t len;
};

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;

    while (len--)
        s = (uint8_t)(s + *p++);
    return s;
}

static void build(struct tables *t, uint32_t vcpus, size_t devices,
                  bool keyboard)
{
    struct sq_boot_device dev[SQ_X86_VIRTIO_MAX];
    struct sq_x86_boot boot = {.vcpus = vcpus, .serial = true,
                               .keyboard = keyboard, .devices = dev,
                               .vmgenid = true,
                               .device_count = devices};
    struct squib_error err = {0};

    for (size_t i = 0; i < devices; i++)
        dev[i] = (struct sq_boot_device){
            .gpa = (uint32_t)(SQ_X86_VIRTIO_GPA + i * SQ_X86_VIRTIO_STEP),
            .len = SQ_X86_VIRTIO_STEP,
            .irq = (uint32_t)(SQ_X86_VIRTIO_GSI + i),
        };
    memset(t, 0, sizeof(*t));
    if (sq_x86_acpi_build(&boot, t->buf, &t->len, &err))
        fail_msg("%s", err.text);
    assert_in_range(t->len, 1, SQ_X86_ACPI_LEN);
}

/* The table at a guest address, with its header checked. */
static const uint8_t *table(const struct tables *t, uint64_t gpa,
                            const char *signature)
{
    const uint8_t *p;
    uint32_t len;

    assert_in_range(gpa, SQ_X86_ACPI_GPA, SQ_X86_ACPI_GPA + t->len - 36);
    p = t->buf + (gpa - SQ_X86_ACPI_GPA);
    assert_memory_equal(p, signature, 4);
    len = sq_ld32(p + 4);
    assert_in_range(len, 36, t->len - (gpa - SQ_X86_ACPI_GPA));
    assert_int_equal(sum(p, len), 0);
    return p;
}

static const uint8_t *find(const struct tables *t, const char *signature)
{
    const uint8_t *xsdt, *fadt;

    assert_memory_equal(t->buf, "RSD PTR ", 8);
    assert_int_equal(sum(t->buf, 20), 0);
    assert_int_equal(sum(t->buf, 36), 0);
    xsdt = table(t, sq_ld64(t->buf + 24), "XSDT");
    if (strcmp(signature, "MCFG") == 0)
        return sq_ld32(xsdt + 4) < 36 + 3 * 8
                   ? NULL
                   : table(t, sq_ld64(xsdt + 52), "MCFG");
    fadt = table(t, sq_ld64(xsdt + 36), "FACP");
    if (strcmp(signature, "FACP") == 0)
        return fadt;
    if (strcmp(signature, "DSDT") == 0)
        return table(t, sq_ld64(fadt + 140), "DSDT");
    return table(t, sq_ld64(xsdt + 44), signature);
}

static void test_fadt(void **state)
{
    struct tables t;
    const uint8_t *p;

    (void)state;
    build(&t, 1, 0, false);
    p = find(&t, "FACP");
    assert_int_equal(sq_ld32(p + 4), 276);
    assert_int_equal(sq_ld32(p + 40), sq_ld64(p + 140));
    assert_int_equal(sq_ld32(p + 112) & (1u << 20), 1u << 20);
    assert_int_equal(sq_ld32(p + 112) & (1u << 10), 1u << 10);
    assert_int_equal(sq_ld16(p + 109) & 2, 0);
    assert_int_equal(p[116], 1);
    assert_int_equal(sq_ld64(p + 120), 0x64);
    assert_int_equal(p[128], 0xfe);
    assert_int_equal(sq_ld64(p + 248), SQ_X86_POWER_PORT);
    assert_int_equal(sq_ld64(p + 260), SQ_X86_POWER_PORT + 1);
    build(&t, 1, 0, true);
    assert_int_equal(sq_ld16(find(&t, "FACP") + 109) & 2, 2);
}

static void test_madt(void **state)
{
    (void)state;
    for (uint32_t vcpus = 1; vcpus <= SQUIB_VCPUS_MAX; vcpus++) {
        struct tables t;
        const uint8_t *p, *end;
        unsigned cpus = 0, ioapics = 0, nmis = 0;

        build(&t, vcpus, 3, false);
        p = find(&t, "APIC");
        end = p + sq_ld32(p + 4);
        assert_int_equal(sq_ld32(p + 36), SQ_X86_LAPIC_GPA);
        assert_int_equal(sq_ld32(p + 40) & 1, 0);
        for (p += 44; p < end; p += p[1]) {
            assert_int_not_equal(p[1], 0);
            if (p[0] == 0) {
                assert_int_equal(p[3], cpus++);
                assert_int_equal(sq_ld32(p + 4), 1);
            } else if (p[0] == 1) {
                assert_int_equal(sq_ld32(p + 4), SQ_X86_IOAPIC_GPA);
                assert_int_equal(sq_ld32(p + 8), 0);
                ioapics++;
            } else {
                assert_int_equal(p[0], 4);
                nmis++;
            }
        }
        assert_ptr_equal(p, end);
        assert_int_equal(cpus, vcpus);
        assert_int_equal(ioapics, 1);
        assert_int_equal(nmis, 1);
    }
}

static void test_mcfg(void **state)
{
    struct sq_x86_boot boot = {.vcpus = 1, .pci = true};
    struct tables t = {0};
    const uint8_t *p;

    (void)state;
    assert_int_equal(sq_x86_acpi_build(&boot, t.buf, &t.len, NULL), 0);
    p = find(&t, "MCFG");
    assert_non_null(p);
    assert_int_equal(sq_ld32(p + 4), 36 + 8 + 16);
    assert_int_equal(sq_ld64(p + 44), SQ_X86_ECAM_GPA);
    assert_int_equal(sq_ld32(p + 52), 0); /* segment 0, bus 0 alone */
    build(&t, 1, 1, true);
    assert_null(find(&t, "MCFG"));
}

static void test_no_room(void **state)
{
    struct sq_boot_device *dev = calloc(2000, sizeof(*dev));
    struct sq_x86_boot boot = {.vcpus = 32, .devices = dev,
                               .device_count = 2000};
    struct tables *t = calloc(1, sizeof(*t));
    struct squib_error err = {0};

    (void)state;
    assert_int_equal(sq_x86_acpi_build(&boot, t->buf, &t->len, &err),
                     SQUIB_E_RANGE);
    free(t);
    free(dev);
}

static void test_aml(void **state)
{
    static const uint8_t want[] = {
        0x08, 'A', 'B', '_', '_', 0x0c, 0x41, 0xd0, 0x05, 0x01,
        0x08, '\\', '_', 'S', '5', '_', 0x12, 0x06, 2, 0x0a, 5, 0x00, 0x01,
    };
    uint8_t buf[8192] = {0};
    struct sq_aml a = {.buf = buf, .cap = sizeof(buf)};
    size_t mark;

    (void)state;
    sq_aml_name(&a, "AB");
    sq_aml_eisa_id(&a, "PNP0501");
    sq_aml_name(&a, "\\_S5");
    mark = sq_aml_package(&a, 2);
    sq_aml_integer(&a, 5);
    sq_aml_integer(&a, 0);
    sq_aml_integer(&a, 1);
    sq_aml_end(&a, mark);
    assert_int_equal(a.len, sizeof(want));
    assert_memory_equal(buf, want, sizeof(want));

    /* Lengths of one, two and three bytes, at their edges. */
    for (unsigned body = 60; body <= 4100; body += body < 70 ? 1 : 2015) {
        unsigned n = body < 63 ? 1 : body < 4094 ? 2 : 3, len;

        memset(&a, 0, sizeof(a));
        a.buf = buf;
        a.cap = sizeof(buf);
        mark = sq_aml_package(&a, 0); /* one byte of the body */
        for (unsigned i = 1; i < body; i++)
            sq_aml_integer(&a, 0);
        sq_aml_end(&a, mark);
        assert_false(a.full);
        assert_int_equal(a.len, 1 + n + body);
        assert_int_equal(buf[1] >> 6, n - 1);
        len = n == 1 ? buf[1]
                     : (buf[1] & 15u) | (unsigned)buf[2] << 4 |
                           (n == 3 ? (unsigned)buf[3] << 12 : 0);
        assert_int_equal(len, n + body);
    }
    /* Full: nothing is written past the end. */
    for (size_t cap = 0; cap < 40; cap++) {
        memset(buf, 0xee, sizeof(buf));
        a = (struct sq_aml){.buf = buf, .cap = cap};
        mark = sq_aml_device(&a, "DEV");
        sq_aml_name(&a, "_HID");
        sq_aml_string(&a, "LNRO0005");
        sq_aml_name(&a, "_CRS");
        sq_aml_resources_end(&a, sq_aml_resources(&a));
        sq_aml_end(&a, mark);
        assert_int_equal(buf[cap], 0xee);
        assert_int_equal(a.full, cap < 34);
    }
}

static void write_file(const char *dir, const char *name,
                       const uint8_t *data, size_t len)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

static void run(const char *dir, const char *command)
{
    char line[300];

    snprintf(line, sizeof(line), "cd %s && { %s; } >log 2>&1", dir, command);
    if (system(line) != 0) {
        snprintf(line, sizeof(line), "cat %s/log >&2", dir);
        fail_msg("%s failed (%d)", command, system(line));
    }
}

static bool has(const char *dir, const char *name, const char *pattern)
{
    char line[300];

    snprintf(line, sizeof(line), "grep -qE '%s' %s/%s", pattern, dir, name);
    return system(line) == 0;
}

static void test_iasl(void **state)
{
    char dir[] = "/tmp/squib-acpi-XXXXXX", line[64];
    struct tables t;
    const uint8_t *p;

    (void)state;
    if (system("command -v iasl >/dev/null 2>&1") != 0) {
        print_message("  iasl (package acpica-tools) is not installed\n");
        skip();
    }
    build(&t, 4, SQ_X86_VIRTIO_MAX, true);
    assert_non_null(mkdtemp(dir));
    p = find(&t, "DSDT");
    write_file(dir, "dsdt.aml", p, sq_ld32(p + 4));
    p = find(&t, "FACP");
    write_file(dir, "facp.aml", p, sq_ld32(p + 4));
    p = find(&t, "APIC");
    write_file(dir, "apic.aml", p, sq_ld32(p + 4));
    run(dir, "iasl -d dsdt.aml && iasl -d facp.aml && iasl -d apic.aml");
    assert_false(has(dir, "log", "[Ee]rror|[Ww]arning|Invalid"));
    assert_true(has(dir, "dsdt.dsl", "\"LNRO0005\""));
    assert_true(has(dir, "dsdt.dsl", "EisaId \\(\"PNP0501\"\\)"));
    assert_true(has(dir, "dsdt.dsl", "EisaId \\(\"PNP0303\"\\)"));
    assert_true(has(dir, "dsdt.dsl", "0xD0012000, +// Address Base"));
    assert_true(has(dir, "dsdt.dsl", "Edge, ActiveHigh, Exclusive"));
    assert_true(has(dir, "dsdt.dsl", "Name \\(.?_S5"));
    assert_true(has(dir, "dsdt.dsl", "_CID, \"VM_Gen_Counter\""));
    assert_true(has(dir, "dsdt.dsl", "0x000F0000"));
    assert_true(has(dir, "dsdt.dsl", "\"ACPI0013\""));
    assert_true(has(dir, "dsdt.dsl", "Method \\(_EVT, 1, Serialized\\)"));
    assert_true(has(dir, "dsdt.dsl", "\\(Arg0 == 0x03\\)"));
    assert_true(has(dir, "dsdt.dsl", "Notify \\(.*VGEN, 0x80\\)"));
    assert_true(has(dir, "facp.dsl", "Hardware Reduced \\(V5\\) : 1"));
    /* What it read must compile again to the same devices. */
    run(dir, "iasl -p again dsdt.dsl");
    assert_true(has(dir, "log", " 0 Errors, 0 Warnings"));
    snprintf(line, sizeof(line), "rm -r %s", dir);
    assert_int_equal(system(line), 0);
}

static void test_iasl_pci(void **state)
{
    char dir[] = "/tmp/squib-acpi-XXXXXX", line[64];
    struct sq_x86_boot boot = {.vcpus = 32, .serial = true,
                               .keyboard = true, .vmgenid = true,
                               .pci = true};
    struct tables t = {0};
    const uint8_t *p;

    (void)state;
    if (system("command -v iasl >/dev/null 2>&1") != 0) {
        print_message("  iasl (package acpica-tools) is not installed\n");
        skip();
    }
    assert_int_equal(sq_x86_acpi_build(&boot, t.buf, &t.len, NULL), 0);
    assert_non_null(mkdtemp(dir));
    p = find(&t, "DSDT");
    write_file(dir, "dsdt.aml", p, sq_ld32(p + 4));
    p = find(&t, "MCFG");
    write_file(dir, "mcfg.aml", p, sq_ld32(p + 4));
    run(dir, "iasl -d dsdt.aml && iasl -d mcfg.aml");
    assert_false(has(dir, "log", "[Ee]rror|[Ww]arning|Invalid"));
    assert_true(has(dir, "dsdt.dsl", "EisaId \\(\"PNP0A08\"\\)"));
    assert_true(has(dir, "dsdt.dsl", "WordBusNumber"));
    assert_true(has(dir, "dsdt.dsl",
                    "NonCacheable, ReadWrite|0x000000FC00000000"));
    assert_true(has(dir, "dsdt.dsl", "0x000000FCFFFFFFFF, +// Range Max"));
    assert_true(has(dir, "dsdt.dsl", "0x0000000100000000, +// Length"));
    assert_true(has(dir, "dsdt.dsl", "Device \\(S1F\\)"));
    assert_true(has(dir, "dsdt.dsl", "_ADR, 0x001F0000"));
    assert_true(has(dir, "dsdt.dsl", "Notify \\(.*PCI0, Zero\\)"));
    assert_true(has(dir, "dsdt.dsl", "Notify \\(.*VGEN, 0x80\\)"));
    assert_true(has(dir, "mcfg.dsl", "Base Address : 00000000E0000000"));
    run(dir, "iasl -p again dsdt.dsl");
    assert_true(has(dir, "log", " 0 Errors, 0 Warnings"));
    snprintf(line, sizeof(line), "rm -r %s", dir);
    assert_int_equal(system(line), 0);
}

static void test_mptable(void **state)
{
    (void)state;
    for (uint32_t vcpus = 1; vcpus <= SQUIB_VCPUS_MAX; vcpus++) {
        uint8_t buf[SQ_X86_MPTABLE_LEN];
        size_t len = sq_x86_mptable_build(vcpus, buf);
        const uint8_t *t = buf + (sq_ld32(buf + 4) - SQ_X86_MPTABLE_GPA);
        const uint8_t *e = t + 44;
        unsigned n = sq_ld16(t + 34), cpus = 0, pins = 0, boot = 0;

        assert_in_range(len, 1, sizeof(buf));
        assert_memory_equal(buf, "_MP_", 4);
        assert_int_equal(sum(buf, 16u * buf[8]), 0);
        assert_memory_equal(t, "PCMP", 4);
        assert_int_equal(sum(t, sq_ld16(t + 4)), 0);
        while (n--) {
            if (e[0] == 0) {
                assert_int_equal(e[1], cpus++);
                boot += e[3] >> 1 & 1;
            } else if (e[0] == 2) {
                assert_int_equal(e[1], vcpus);
                assert_int_equal(sq_ld32(e + 4), SQ_X86_IOAPIC_GPA);
            } else if (e[0] == 3) {
                assert_int_equal(e[5], e[7]);
                assert_int_equal(e[6], vcpus);
                pins++;
            }
            e += e[0] == 0 ? 20 : 8;
        }
        assert_ptr_equal(e, t + sq_ld16(t + 4));
        assert_int_equal(cpus, vcpus);
        assert_int_equal(boot, 1);
        assert_int_equal(pins, SQ_X86_IOAPIC_PINS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aml),
        cmocka_unit_test(test_fadt),
        cmocka_unit_test(test_madt),
        cmocka_unit_test(test_mcfg),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_iasl),
        cmocka_unit_test(test_iasl_pci),
        cmocka_unit_test(test_mptable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
