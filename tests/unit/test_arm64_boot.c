/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm64 kernels made here, good and bad, through the loader; where things
 * come to lie; and the device tree, read back with libfdt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>
#include <zlib.h>
#include <zstd.h>

#include <squib/vm.h>

#include "arch/aarch64/fdt.h"
#include "arch/aarch64/machine.h"
#include "base/util.h"

#define IMAGE_LEN 0x20000u
#define CLAIMED_LEN 0x50000u
#define BANNER "Linux version 6.1.0-test (someone) #1 SMP"
#define MIB ((uint64_t)1 << 20)

/* An Image with a PE header of two sections that end at IMAGE_LEN. */
static void make_image(uint8_t *d)
{
    memset(d, 0, IMAGE_LEN);
    for (size_t i = 0x400; i < IMAGE_LEN; i++)
        d[i] = (uint8_t)(i * 7 + (i >> 8));
    memcpy(d, "MZ", 2);
    sq_st64(d + 16, CLAIMED_LEN);
    sq_st64(d + 24, 0xa);
    memcpy(d + 56, "ARM\x64", 4);
    sq_st32(d + 60, 0x40);
    memcpy(d + 0x40, "PE\0\0", 4);
    sq_st16(d + 0x44, 0xaa64);
    sq_st16(d + 0x46, 2);
    sq_st16(d + 0x54, 0xa0);
    sq_st32(d + 0x58 + 0xa0 + 16, 0x8000);
    sq_st32(d + 0x58 + 0xa0 + 20, 0x1000);
    sq_st32(d + 0x58 + 0xa0 + 40 + 16, IMAGE_LEN - 0x9000);
    sq_st32(d + 0x58 + 0xa0 + 40 + 20, 0x9000);
    memcpy(d + 0x10000, BANNER, sizeof(BANNER));
}

static struct sq_arm64_kernel *open_good(const void *data, size_t len)
{
    struct sq_arm64_kernel *k = NULL;
    struct squib_error err = {0};

    if (sq_arm64_kernel_from_bytes("test", data, len, &k, &err))
        fail_msg("%s", err.text);
    return k;
}

/* The text must hold `word`, the file's name and a remedy. */
static void expect_bad(const void *data, size_t len, int code,
                       const char *word)
{
    struct sq_arm64_kernel *k = NULL;
    struct squib_error err = {0};

    assert_int_equal(sq_arm64_kernel_from_bytes("some/file", data, len, &k,
                                                &err), code);
    assert_null(k);
    if (!strstr(err.text, word) || !strstr(err.text, "some/file") ||
        !strstr(err.text, "\n  do: "))
        fail_msg("%s", err.text);
}

static size_t gzip(const uint8_t *src, size_t len, uint8_t *dst, size_t room)
{
    z_stream z = {0};

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, 0), Z_OK);
    z.next_in = (uint8_t *)(uintptr_t)src;
    z.avail_in = (uInt)len;
    z.next_out = dst;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

/* drivers/firmware/efi/libstub/zboot-header.S */
static size_t zboot(const uint8_t *payload, size_t len, uint8_t *out)
{
    memset(out, 0, 0x200);
    memcpy(out, "MZ\0\0zimg", 8);
    sq_st32(out + 8, 0x200);
    sq_st32(out + 12, (uint32_t)len);
    memcpy(out + 24, "gzip", 4);
    memcpy(out + 0x200, payload, len);
    return 0x200 + len;
}

/* --- kernel files ------------------------------------------------------ */

static void check_load(const void *data, size_t len, const uint8_t *image)
{
    struct sq_arm64_kernel *k = open_good(data, len);
    struct squib_memory *mem;
    struct squib_error err = {0};
    struct sq_arm64_image where;
    uint8_t *back = malloc(IMAGE_LEN);

    assert_non_null(back);
    assert_int_equal(squib_memory_new(&mem, &err), 0);
    assert_int_equal(squib_memory_add(mem, (struct squib_range){
        SQ_ARM64_RAM_GPA, 8 * MIB}, &err), 0);
    assert_int_equal(sq_arm64_kernel_load(k, mem, SQ_ARM64_KERNEL_GPA,
                                          SQ_ARM64_RAM_GPA + 8 * MIB, &where,
                                          &err), 0);
    assert_int_equal(where.entry_gpa, SQ_ARM64_KERNEL_GPA);
    assert_int_equal(where.end_gpa, SQ_ARM64_KERNEL_GPA + CLAIMED_LEN);
    assert_int_equal(squib_memory_read(mem, where.entry_gpa, back, IMAGE_LEN,
                                       &err), 0);
    assert_memory_equal(back, image, IMAGE_LEN);
    sq_arm64_kernel_close(k);
    squib_memory_free(mem);
    free(back);
}

static void test_formats(void **state)
{
    uint8_t *image = malloc(IMAGE_LEN), *packed = malloc(2 * IMAGE_LEN);
    uint8_t *boxed = malloc(2 * IMAGE_LEN);
    size_t len;

    (void)state;
    assert_true(image && packed && boxed);
    make_image(image);
    check_load(image, IMAGE_LEN, image);
    len = gzip(image, IMAGE_LEN, packed, 2 * IMAGE_LEN);
    check_load(packed, len, image);
    check_load(boxed, zboot(packed, len, boxed), image);
    len = ZSTD_compress(packed, 2 * IMAGE_LEN, image, IMAGE_LEN, 3);
    assert_false(ZSTD_isError(len));
    check_load(packed, len, image);
    check_load(boxed, zboot(packed, len, boxed), image);
    free(image);
    free(packed);
    free(boxed);
}

/* A kernel from before Linux 3.17 does not say how large it is. */
static void test_old_image(void **state)
{
    uint8_t *image = calloc(1, IMAGE_LEN);
    struct squib_memory *mem;
    struct squib_error err = {0};
    struct sq_arm64_image where;
    struct sq_arm64_kernel *k;

    (void)state;
    assert_non_null(image);
    memcpy(image + 56, "ARM\x64", 4);
    k = open_good(image, IMAGE_LEN);
    assert_int_equal(squib_memory_new(&mem, &err), 0);
    assert_int_equal(squib_memory_add(mem, (struct squib_range){
        SQ_ARM64_RAM_GPA, 8 * MIB}, &err), 0);
    assert_int_equal(sq_arm64_kernel_load(k, mem, SQ_ARM64_KERNEL_GPA,
                                          SQ_ARM64_RAM_GPA + 8 * MIB, &where,
                                          &err), 0);
    assert_int_equal(where.entry_gpa, SQ_ARM64_KERNEL_GPA + 0x80000);
    sq_arm64_kernel_close(k);
    squib_memory_free(mem);
    free(image);
}

static void test_bad_files(void **state)
{
    static const uint8_t elf[64] = {0x7f, 'E', 'L', 'F', 2, 1,
                                    [18] = 62}; /* x86-64 */
    static const uint8_t cpio[] = "070701000000000000000000";
    uint8_t *image = malloc(IMAGE_LEN), *packed = malloc(2 * IMAGE_LEN);
    uint8_t *boxed = malloc(2 * IMAGE_LEN), bzimage[0x300] = {0};
    size_t len;

    (void)state;
    assert_true(image && packed && boxed);
    make_image(image);
    len = gzip(image, IMAGE_LEN, packed, 2 * IMAGE_LEN);
    expect_bad(image, 0, SQUIB_E_FORMAT, "it is empty");
    expect_bad(image, IMAGE_LEN - 1, SQUIB_E_FORMAT,
               "it is truncated: 131071 bytes, but its kernel ends at "
               "131072");
    expect_bad(image, 32, SQUIB_E_FORMAT, "Windows or EFI");
    expect_bad(packed, len / 2, SQUIB_E_FORMAT, "ends too early");
    len = zboot(packed, len, boxed);
    expect_bad(boxed, len - 1, SQUIB_E_FORMAT, "it is truncated");
    sq_st32(boxed + 12, 0);
    expect_bad(boxed, len, SQUIB_E_FORMAT, "without a payload");
    sq_st32(boxed + 12, 0xffffffff);
    expect_bad(boxed, len, SQUIB_E_FORMAT, "it is truncated");
    len = zboot(cpio, sizeof(cpio), boxed);
    expect_bad(boxed, len, SQUIB_E_FORMAT, "unknown format (30 37 30 37)");
    len = gzip(elf, sizeof(elf), packed, 2 * IMAGE_LEN);
    expect_bad(packed, len, SQUIB_E_FORMAT, "ELF file for x86-64");
    expect_bad(elf, sizeof(elf), SQUIB_E_FORMAT, "ELF file for x86-64");
    sq_st16(bzimage + 0x1fe, 0xaa55);
    memcpy(bzimage + 0x202, "HdrS", 4);
    expect_bad(bzimage, sizeof(bzimage), SQUIB_E_FORMAT, "bzImage for x86");
    expect_bad(cpio, sizeof(cpio), SQUIB_E_FORMAT, "cpio archive");
    expect_bad("BZh91AY", 7, SQUIB_E_NOSUPPORT, "bzip2");
    sq_st64(image + 24, 1);
    expect_bad(image, IMAGE_LEN, SQUIB_E_NOSUPPORT, "big-endian");
    sq_st64(image + 24, 0xa);
    sq_st64(image + 8, 1ull << 40);
    expect_bad(image, IMAGE_LEN, SQUIB_E_FORMAT, "damaged");
    sq_st64(image + 8, 0);
    sq_st64(image + 16, UINT64_MAX - 5);
    expect_bad(image, IMAGE_LEN, SQUIB_E_FORMAT, "damaged");
    free(image);
    free(packed);
    free(boxed);
}

/* Header fields that lie must not lead out of the file. */
static void test_lying_headers(void **state)
{
    uint8_t *image = malloc(IMAGE_LEN);
    uint32_t seed = 1;

    (void)state;
    assert_non_null(image);
    for (int i = 0; i < 2000; i++) {
        size_t len = 0x200;
        struct sq_arm64_kernel *k = NULL;

        make_image(image);
        for (int j = 0; j < 6; j++) {
            seed = seed * 1103515245u + 12345u;
            image[8 + (seed >> 8) % 0x130] = (uint8_t)(seed >> 20);
        }
        memcpy(image + 56, "ARM\x64", 4);
        if (sq_arm64_kernel_from_bytes("x", image, len, &k, NULL) == 0)
            sq_arm64_kernel_close(k);
    }
    free(image);
}

/* --- the machine ------------------------------------------------------- */

struct machine {
    struct squib_memory *mem;
    struct sq_arm64_kernel *kernel;
    struct sq_arm64_boot boot;
    struct sq_boot_device dev[SQ_ARM64_VIRTIO_MAX];
    uint8_t *image;
};

static void machine_init(struct machine *m, uint64_t ram_len)
{
    static const uint8_t seed[32] = {1, 2, 3};
    struct squib_error err = {0};
    struct squib_range ram;

    memset(m, 0, sizeof(*m));
    m->image = malloc(IMAGE_LEN);
    assert_non_null(m->image);
    make_image(m->image);
    m->kernel = open_good(m->image, IMAGE_LEN);
    assert_int_equal(squib_memory_new(&m->mem, &err), 0);
    assert_int_equal(sq_arm64_ram_range(ram_len, &ram, &err), 0);
    assert_int_equal(squib_memory_add(m->mem, ram, &err), 0);
    m->boot = (struct sq_arm64_boot){
        .kernel = m->kernel, .cmdline = "console=ttyS0", .vcpus = 2,
        .devices = m->dev, .device_count = 3, .serial = true, .rtc = true,
        .vmgenid = true, .seed = seed,
    };
    for (uint32_t i = 0; i < SQ_ARM64_VIRTIO_MAX; i++)
        m->dev[i] = (struct sq_boot_device){
            .gpa = SQ_ARM64_VIRTIO_GPA + i * SQ_ARM64_VIRTIO_STEP,
            .len = 0x200,
            .irq = SQ_ARM64_VIRTIO_SPI + i,
        };
}

static void machine_fini(struct machine *m)
{
    sq_arm64_kernel_close(m->kernel);
    squib_memory_free(m->mem);
    free(m->image);
}

static uint32_t cell(const void *fdt, int node, const char *name, int i)
{
    int len;
    const fdt32_t *p = fdt_getprop(fdt, node, name, &len);

    assert_non_null(p);
    assert_true(len >= 4 * (i + 1));
    return fdt32_to_cpu(p[i]);
}

static int at(const void *fdt, const char *path)
{
    int node = fdt_path_offset(fdt, path);

    if (node < 0)
        fail_msg("no %s: %s", path, fdt_strerror(node));
    return node;
}

static void test_boot(void **state)
{
    static const uint8_t one[] = "first", two[] = "second part";
    const struct sq_boot_blob parts[] = {{one, 5}, {two, 11}};
    struct sq_arm64_entry entry = {0};
    struct squib_aarch64_state st = {0};
    struct squib_error err = {0};
    struct machine m;
    uint8_t *fdt = malloc(SQ_ARM64_FDT_MAX), back[24];
    uint64_t initrd;
    int node, len;

    (void)state;
    assert_non_null(fdt);
    machine_init(&m, 16 * MIB);
    m.boot.initrd = parts;
    m.boot.initrd_parts = 2;
    if (sq_arm64_boot_load(m.mem, &m.boot, &entry, &err))
        fail_msg("%s", err.text);
    assert_int_equal(entry.pc, SQ_ARM64_KERNEL_GPA);
    sq_arm64_entry_state(&entry, &st);
    assert_int_equal(st.pc, entry.pc);
    assert_int_equal(st.x[0], SQ_ARM64_FDT_GPA);
    assert_int_equal(st.pstate, SQUIB_AARCH64_PSTATE_EL1H);

    assert_int_equal(squib_memory_read(m.mem, entry.fdt_gpa, fdt,
                                       SQ_ARM64_FDT_MAX, &err), 0);
    assert_int_equal(fdt_check_full(fdt, SQ_ARM64_FDT_MAX), 0);
    node = at(fdt, "/chosen");
    assert_string_equal(fdt_getprop(fdt, node, "bootargs", &len),
                        "console=ttyS0");
    initrd = (uint64_t)cell(fdt, node, "linux,initrd-start", 0) << 32 |
             cell(fdt, node, "linux,initrd-start", 1);
    assert_int_equal(cell(fdt, node, "linux,initrd-end", 1) -
                         (uint32_t)initrd, 19);
    assert_true(initrd >= SQ_ARM64_KERNEL_GPA + CLAIMED_LEN);
    assert_int_equal(squib_memory_read(m.mem, initrd, back, 19, &err), 0);
    assert_memory_equal(back, "first\0\0\0second part", 19);
    assert_non_null(fdt_getprop(fdt, node, "rng-seed", &len));

    node = at(fdt, "/memory@80000000");
    assert_int_equal(cell(fdt, node, "reg", 1), SQ_ARM64_RAM_GPA);
    assert_int_equal(cell(fdt, node, "reg", 3), 16 * MIB);
    assert_string_equal(fdt_getprop(fdt, at(fdt, "/psci"), "method", &len),
                        "hvc");
    node = at(fdt, "/interrupt-controller@8000000");
    assert_int_equal(cell(fdt, node, "reg", 1), SQ_ARM64_GICD_GPA);
    assert_int_equal(cell(fdt, node, "reg", 5), SQ_ARM64_GICR_GPA);
    assert_int_equal(cell(fdt, node, "phandle", 0),
                     cell(fdt, 0, "interrupt-parent", 0));
    node = at(fdt, "/timer");
    assert_int_equal(cell(fdt, node, "interrupts", 7), 11);
    node = at(fdt, "/serial@9000000");
    assert_int_equal(cell(fdt, node, "interrupts", 1), SQ_ARM64_SERIAL_SPI);
    at(fdt, "/rtc@9010000");
    node = at(fdt, "/virtio_mmio@a002000");
    assert_int_equal(cell(fdt, node, "interrupts", 1),
                     SQ_ARM64_VIRTIO_SPI + 2);
    assert_true(fdt_path_offset(fdt, "/virtio_mmio@a003000") < 0);
    assert_int_equal(fdt_num_mem_rsv(fdt), 1);
    machine_fini(&m);
    free(fdt);
}

/* The bus, and the frame that its functions' messages go to. */
static void test_pci(void **state)
{
    static const uint32_t ranges[] = {
        0x02000000, 0, SQ_ARM64_PCI_GPA, 0, SQ_ARM64_PCI_GPA, 0,
        SQ_ARM64_PCI_LEN,
    };
    struct sq_arm64_entry entry;
    struct squib_error err = {0};
    struct machine m;
    uint8_t *fdt = malloc(SQ_ARM64_FDT_MAX);
    int node, frame;

    (void)state;
    assert_non_null(fdt);
    machine_init(&m, 16 * MIB);
    m.boot.device_count = 0;
    m.boot.pci = true;
    if (sq_arm64_boot_load(m.mem, &m.boot, &entry, &err))
        fail_msg("%s", err.text);
    assert_int_equal(squib_memory_read(m.mem, entry.fdt_gpa, fdt,
                                       SQ_ARM64_FDT_MAX, &err), 0);
    assert_int_equal(fdt_check_full(fdt, SQ_ARM64_FDT_MAX), 0);
    frame = at(fdt, "/interrupt-controller@8000000/v2m@8020000");
    assert_int_equal(cell(fdt, frame, "reg", 1), SQ_ARM64_MSI_GPA);
    node = at(fdt, "/pcie@3d000000");
    assert_int_equal(cell(fdt, node, "msi-parent", 0),
                     cell(fdt, frame, "phandle", 0));
    assert_int_equal(cell(fdt, node, "reg", 3), SQ_ARM64_ECAM_LEN);
    for (int i = 0; i < 7; i++)
        assert_int_equal(cell(fdt, node, "ranges", i), ranges[i]);
    assert_true(fdt_path_offset(fdt, "/virtio_mmio@a000000") < 0);
    machine_fini(&m);
    free(fdt);
}

/* As many vCPUs and devices as there may be; MPIDR's second level. */
static void test_large(void **state)
{
    struct sq_arm64_entry entry;
    struct squib_error err = {0};
    struct machine m;
    uint8_t *fdt = malloc(SQ_ARM64_FDT_MAX);
    int node, n = 0;

    (void)state;
    assert_non_null(fdt);
    machine_init(&m, 16 * MIB);
    m.boot.vcpus = SQUIB_VCPUS_MAX;
    m.boot.device_count = SQ_ARM64_VIRTIO_MAX;
    if (sq_arm64_boot_load(m.mem, &m.boot, &entry, &err))
        fail_msg("%s", err.text);
    assert_int_equal(squib_memory_read(m.mem, entry.fdt_gpa, fdt,
                                       SQ_ARM64_FDT_MAX, &err), 0);
    node = at(fdt, "/cpus/cpu@10f"); /* the last */
    assert_int_equal(cell(fdt, node, "reg", 0), 0x10f);
    fdt_for_each_subnode(node, fdt, at(fdt, "/cpus"))
        n++;
    assert_int_equal(n, SQUIB_VCPUS_MAX);
    machine_fini(&m);
    free(fdt);
}

static void expect_refused(struct machine *m, int code, const char *word)
{
    struct sq_arm64_entry entry;
    struct squib_error err = {0};

    assert_int_equal(sq_arm64_boot_load(m->mem, &m->boot, &entry, &err),
                     code);
    if (!strstr(err.text, word) || !strstr(err.text, "\n  do: "))
        fail_msg("%s", err.text);
}

static void test_refused(void **state)
{
    static char line[SQ_ARM64_CMDLINE_MAX + 1];
    static const uint8_t initrd[1];
    const struct sq_boot_blob large[] = {{initrd, 14 * MIB}};
    const struct sq_boot_blob absurd[] = {{initrd, SIZE_MAX / 2},
                                           {initrd, SIZE_MAX / 2 + 2}};
    struct squib_error err = {0};
    struct squib_range ram;
    struct machine m;

    (void)state;
    machine_init(&m, 16 * MIB);
    m.boot.vcpus = 33;
    expect_refused(&m, SQUIB_E_INVAL,
                   "33 vCPUs: the interrupt controller has room for 1 to 32 "
                   "redistributors");
    m.boot.vcpus = 1;
    memset(line, 'a', SQ_ARM64_CMDLINE_MAX);
    m.boot.cmdline = line;
    expect_refused(&m, SQUIB_E_RANGE, "2048 bytes, at most 2047");
    m.boot.cmdline = NULL;
    m.boot.initrd = large;
    m.boot.initrd_parts = 1;
    expect_refused(&m, SQUIB_E_RANGE, "the initrd has 14336 KiB");
    m.boot.initrd = absurd;
    m.boot.initrd_parts = 2;
    expect_refused(&m, SQUIB_E_RANGE, "the initrd has");
    m.boot.initrd_parts = 0;
    m.boot.device_count = SQ_ARM64_VIRTIO_MAX + 1;
    expect_refused(&m, SQUIB_E_INVAL, "20 devices: at most 19");
    m.boot.device_count = 0;
    machine_fini(&m);

    machine_init(&m, 8 * MIB);
    sq_arm64_kernel_close(m.kernel);
    sq_st64(m.image + 16, 7 * MIB);
    m.kernel = open_good(m.image, IMAGE_LEN);
    m.boot.kernel = m.kernel;
    expect_refused(&m, SQUIB_E_RANGE, "it needs 9 MiB, the VM has 8");
    machine_fini(&m);

    assert_int_equal(sq_arm64_ram_range(4 * MIB, &ram, &err), SQUIB_E_INVAL);
    assert_int_equal(sq_arm64_ram_range(SQ_ARM64_RAM_MAX + MIB, &ram, &err),
                     SQUIB_E_INVAL);
}

/* A device tree for which there is no room: at any size, one clear line and
 * no byte beyond. */
static void test_tree_does_not_fit(void **state)
{
    const struct sq_arm64_fdt_info info = {.ram_len = 16 * MIB};
    struct squib_error err = {0};
    struct machine m;
    size_t len, whole;
    uint8_t *buf = malloc(0x10000);

    (void)state;
    assert_non_null(buf);
    machine_init(&m, 16 * MIB);
    assert_int_equal(sq_arm64_fdt_build(&m.boot, &info, buf, 0x10000, &whole,
                                        &err), 0);
    for (size_t room = 0; room < whole; room += 61) {
        memset(buf, 0xee, 0x10000);
        err.text[0] = 0;
        assert_int_equal(sq_arm64_fdt_build(&m.boot, &info, buf, room, &len,
                                            &err), SQUIB_E_RANGE);
        assert_non_null(strstr(err.text, "the device tree does not fit into "
                               "its"));
        for (size_t i = room; i < 0x10000; i++)
            assert_int_equal(buf[i], 0xee);
    }
    machine_fini(&m);
    free(buf);
}

/* The map's parts agree with each other and with the interface. */
static void test_map(void **state)
{
    struct squib_aarch64_gic gic;

    (void)state;
    sq_arm64_gic(&gic);
    assert_int_equal(gic.redist_len / SQUIB_AARCH64_GICR_LEN,
                     SQUIB_VCPUS_MAX);
    assert_true(gic.spis <= SQUIB_AARCH64_SPIS_MAX);
    assert_true(SQ_ARM64_VIRTIO_SPI + SQ_ARM64_VIRTIO_MAX <=
                gic.spis - gic.msi_spis);
    assert_true(SQ_ARM64_PCI_GPA + SQ_ARM64_PCI_LEN <= SQ_ARM64_ECAM_GPA);
    assert_true(SQ_ARM64_ECAM_GPA + SQ_ARM64_ECAM_LEN <= SQ_ARM64_GICR_GPA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_old_image),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_lying_headers),
        cmocka_unit_test(test_boot),
        cmocka_unit_test(test_pci),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tree_does_not_fit),
        cmocka_unit_test(test_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
