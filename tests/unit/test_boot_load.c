/* SPDX-License-Identifier: Apache-2.0 */
/* What a loaded x86-64 kernel finds in memory: memory map, initrd, command
 * line, and the boot protocols' structures. */
#include "small_kernel.h"

static int load_with(uint8_t *elf, uint64_t mib, size_t initrd_len,
                     struct squib_error *err)
{
    struct squib_memory *mem = make_memory(mib);
    uint8_t *initrd = calloc(1, initrd_len + 1);
    const struct sq_boot_blob blob = {initrd, initrd_len};
    struct sq_x86_entry entry;
    struct sq_x86_kernel *k;
    struct sq_x86_boot boot;
    int rc;

    *err = (struct squib_error){0};
    assert_int_equal(sq_x86_kernel_from_bytes("test", elf, ELF_LEN, &k, err),
                     0);
    boot = boot_of(k);
    boot.initrd = &blob;
    boot.initrd_parts = 1;
    rc = sq_x86_boot_load(mem, &boot, &entry, err);
    sq_x86_kernel_close(k);
    squib_memory_free(mem);
    free(initrd);
    free(elf);
    return rc;
}

static void test_does_not_fit(void **state)
{
    struct squib_error err;
    uint8_t *elf;

    (void)state;
    assert_int_equal(load_with(make_elf(true), 19, 0, &err), 0);
    assert_int_equal(load_with(make_elf(true), 18, 0, &err), SQUIB_E_RANGE);
    assert_string_equal(err.text, "kernel test: it needs 19 MiB, the VM has "
                                  "18\n  do: give the VM more memory");
    assert_int_equal(load_with(make_elf(true), 20, 2 << 20, &err),
                     SQUIB_E_RANGE);
    assert_non_null(strstr(err.text, "initrd (2 MiB)"));
    assert_int_equal(load_with(make_elf(true), 21, 2 << 20, &err), 0);
    elf = make_elf(true);
    set_ph(elf, 0, PH(p_paddr), 0x9000);
    assert_int_equal(load_with(elf, 64, 0, &err), SQUIB_E_FORMAT);
    assert_non_null(strstr(err.text, "below 1 MiB"));
    elf = make_elf(true);
    set_ph(elf, 0, PH(p_memsz), 1ull << 45);
    assert_int_equal(load_with(elf, 64, 0, &err), SQUIB_E_RANGE);
    /* Neither a note nor a physical entry. */
    elf = make_elf(false);
    sq_st64(elf + offsetof(Elf64_Ehdr, e_entry), 0xffffffff81000000);
    assert_int_equal(load_with(elf, 64, 0, &err), SQUIB_E_FORMAT);
    assert_non_null(strstr(err.text, "CONFIG_PVH=y"));
}

static void test_ram_ranges(void **state)
{
    struct squib_range r[2];
    size_t n;

    (void)state;
    assert_int_equal(sq_x86_ram_ranges(3ull << 30, r, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(r[0].len, 3ull << 30);
    assert_int_equal(sq_x86_ram_ranges(5ull << 30, r, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(r[0].len, 3ull << 30);
    assert_int_equal(r[1].gpa, 4ull << 30);
    assert_int_equal(r[1].len, 2ull << 30);
    assert_int_equal(sq_x86_ram_ranges(0, r, &n, NULL), SQUIB_E_INVAL);
    assert_int_equal(sq_x86_ram_ranges(1 << 20, r, &n, NULL),
                     SQUIB_E_INVAL);
    assert_int_equal(sq_x86_ram_ranges((64 << 20) + 1, r, &n, NULL),
                     SQUIB_E_INVAL);
    assert_int_equal(sq_x86_ram_ranges(UINT64_MAX & ~4095ull, r, &n, NULL),
                     SQUIB_E_INVAL);
}

static struct sq_x86_entry load_parts(struct squib_memory *mem, bool pvh)
{
    static const struct sq_boot_blob parts[] = {{"abcde", 5}, {"fgh", 3}};
    uint8_t *elf = make_elf(pvh);
    struct squib_error err = {0};
    struct sq_x86_entry entry;
    struct sq_x86_kernel *k;
    struct sq_x86_boot boot;

    assert_int_equal(sq_x86_kernel_from_bytes("test", elf, ELF_LEN, &k,
                                              NULL), 0);
    boot = boot_of(k);
    boot.initrd = parts;
    boot.initrd_parts = 2;
    if (sq_x86_boot_load(mem, &boot, &entry, &err))
        fail_msg("%s", err.text);
    sq_x86_kernel_close(k);
    free(elf);
    return entry;
}

static void check_e820(const uint8_t *p, size_t step, unsigned n)
{
    static const struct { uint64_t gpa, end; uint32_t type; } want[] = {
        {0, 0x9fc00, 1},
        {0x9fc00, 0x100000, 2},
        {0x100000, 0xc0000000, 1},
        {0x100000000, 0x140000000, 1},
    };

    assert_int_equal(n, 4);
    for (unsigned i = 0; i < n; i++, p += step) {
        assert_int_equal(sq_ld64(p), want[i].gpa);
        assert_int_equal(sq_ld64(p + 8), want[i].end - want[i].gpa);
        assert_int_equal(sq_ld32(p + 16), want[i].type);
    }
}

static void check_initrd(const struct squib_memory *mem, uint64_t gpa,
                         uint64_t len)
{
    assert_int_equal(len, 11);
    assert_int_equal(gpa, SQ_X86_LOW_RAM_END - 4096);
    assert_memory_equal(sq_memory_ptr(mem, gpa, len), "abcde\0\0\0fgh", 11);
}

static void test_pvh_start_info(void **state)
{
    static struct squib_x86_64_state st;
    struct squib_memory *mem = make_memory(4096);
    struct sq_x86_entry entry = load_parts(mem, true);
    const uint8_t *p, *mod;

    (void)state;
    sq_x86_entry_state(&entry, &st);
    assert_int_equal(st.rip, PVH_GPA);
    assert_int_equal(st.cr0 & 0x80000001, 1);
    p = sq_memory_ptr(mem, st.gpr[SQUIB_X86_RBX], 56);
    assert_non_null(p);
    assert_int_equal(sq_ld32(p), 0x336ec578);
    assert_int_equal(sq_ld32(p + 4), 1);
    assert_int_equal(sq_ld32(p + 12), 1);
    mod = sq_memory_ptr(mem, sq_ld64(p + 16), 32);
    assert_non_null(mod);
    check_initrd(mem, sq_ld64(mod), sq_ld64(mod + 8));
    assert_string_equal(sq_memory_ptr(mem, sq_ld64(p + 24), 16),
                        "console=ttyS0");
    assert_memory_equal(sq_memory_ptr(mem, sq_ld64(p + 32), 8), "RSD PTR ",
                        8);
    check_e820(sq_memory_ptr(mem, sq_ld64(p + 40), 96), 24,
               sq_ld32(p + 48));
    squib_memory_free(mem);
}

static void test_linux64(void **state)
{
    static struct squib_x86_64_state st;
    struct squib_memory *mem = make_memory(4096);
    struct sq_x86_entry entry = load_parts(mem, false);
    const uint8_t *p;
    const uint64_t *pml4, *pdpt, *pd;

    (void)state;
    assert_int_equal(entry.protocol, SQ_X86_PROTOCOL_LINUX64);
    sq_x86_entry_state(&entry, &st);
    assert_int_equal(st.rip, TEXT_GPA);
    assert_int_equal(st.cr0 & 0x80000001, 0x80000001);
    assert_int_equal(st.efer & 0x500, 0x500);
    assert_int_equal(st.seg[SQUIB_X86_CS].selector, 0x10);
    assert_int_equal(st.seg[SQUIB_X86_DS].selector, 0x18);
    /* The selectors' descriptors say the same. */
    p = sq_memory_ptr(mem, st.gdt.base, st.gdt.limit + 1u);
    assert_int_equal(sq_ld64(p + 0x10) >> 40 & 0xf0ff,
                     st.seg[SQUIB_X86_CS].attr);
    assert_int_equal(sq_ld64(p + 0x18) >> 40 & 0xf0ff,
                     st.seg[SQUIB_X86_DS].attr);
    p = sq_memory_ptr(mem, st.gpr[SQUIB_X86_RSI], 4096);
    assert_int_equal(sq_ld16(p + 0x1fe), 0xaa55);
    assert_memory_equal(p + 0x202, "HdrS", 4);
    assert_int_not_equal(p[0x210], 0);
    assert_string_equal(sq_memory_ptr(mem, sq_ld32(p + 0x228), 16),
                        "console=ttyS0");
    assert_memory_equal(sq_memory_ptr(mem, sq_ld64(p + 0x70), 8),
                        "RSD PTR ", 8);
    check_initrd(mem, sq_ld32(p + 0x218), sq_ld32(p + 0x21c));
    check_e820(p + 0x2d0, 20, p[0x1e8]);
    /* Every 2 MiB of the first 4 GiB maps to itself. */
    pml4 = sq_memory_ptr(mem, st.cr3, 4096);
    assert_int_equal(pml4[0] & 0xfff, 3);
    pdpt = sq_memory_ptr(mem, pml4[0] & ~0xfffull, 4096);
    for (uint64_t gpa = 0; gpa < 4ull << 30; gpa += 2 << 20) {
        assert_int_equal(pdpt[gpa >> 30] & 0xfff, 3);
        pd = sq_memory_ptr(mem, pdpt[gpa >> 30] & ~0xfffull, 4096);
        assert_int_equal(pd[gpa >> 21 & 511], gpa | 0x83);
    }
    squib_memory_free(mem);
}

static void test_settings(void **state)
{
    struct squib_memory *mem = make_memory(64);
    uint8_t *elf = make_elf(true);
    struct sq_boot_device dev[SQ_X86_VIRTIO_MAX + 1] = {{.irq = 5}};
    char cmdline[SQ_X86_CMDLINE_MAX + 1];
    struct sq_x86_entry entry;
    struct sq_x86_kernel *k;
    struct sq_x86_boot boot;

    (void)state;
    assert_int_equal(sq_x86_kernel_from_bytes("test", elf, ELF_LEN, &k,
                                              NULL), 0);
    memset(cmdline, 'a', sizeof(cmdline));
    cmdline[SQ_X86_CMDLINE_MAX] = 0;
    boot = boot_of(k);
    boot.cmdline = cmdline;
    assert_int_equal(sq_x86_boot_load(mem, &boot, &entry, NULL),
                     SQUIB_E_INVAL);
    cmdline[SQ_X86_CMDLINE_MAX - 1] = 0;
    assert_int_equal(sq_x86_boot_load(mem, &boot, &entry, NULL), 0);
    boot = boot_of(k);
    boot.vcpus = 0;
    assert_int_equal(sq_x86_boot_load(mem, &boot, &entry, NULL),
                     SQUIB_E_INVAL);
    boot.vcpus = 33;
    assert_int_equal(sq_x86_boot_load(mem, &boot, &entry, NULL),
                     SQUIB_E_INVAL);
    boot = boot_of(k);
    boot.devices = dev;
    boot.device_count = SQ_X86_VIRTIO_MAX + 1;
    assert_int_equal(sq_x86_boot_load(mem, &boot, &entry, NULL),
                     SQUIB_E_INVAL);
    boot.device_count = 1;
    dev[0].irq = 24;
    assert_int_equal(sq_x86_boot_load(mem, &boot, &entry, NULL),
                     SQUIB_E_INVAL);
    sq_x86_kernel_close(k);
    squib_memory_free(mem);
    free(elf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_does_not_fit),
        cmocka_unit_test(test_ram_ranges),
        cmocka_unit_test(test_pvh_start_info),
        cmocka_unit_test(test_linux64),
        cmocka_unit_test(test_settings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
