/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: mapping, protection, dirty log. */
#define _GNU_SOURCE
#include "a64.h"

#include <sys/mman.h>

static const struct squib_range high = {CF_HIGH_RAM,
                                        CF_RAM_END - CF_HIGH_RAM};
static const struct squib_range low = {0, CF_HOLE};

static const uint32_t dirty_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xd2a00041, /* movz x1, #2, lsl #16 */
    0xd2a00202, /* movz x2, #0x10, lsl #16 */
    0x52800020, /* mov w0, #1 */
    /* again: */
    0x39000020, /* strb w0, [x1] */
    0xd289ff83, /* mov x3, #0x4ffc */
    0x8b010063, /* add x3, x3, x1 */
    0xb9000060, /* str w0, [x3] */
    0xd2900003, /* mov x3, #0x8000 */
    0xb8636824, /* ldr w4, [x1, x3] */
    0xd28a0003, /* mov x3, #0x5000 */
    0x38236840, /* strb w0, [x2, x3] */
    0xb9000280, /* str w0, [x20] */
    0xd2980003, /* mov x3, #0xc000 */
    0x38236820, /* strb w0, [x1, x3] */
    0xb9000280, /* str w0, [x20] */
    0x17fffff4, /* b again */
};

static bool dirty(const uint64_t *bitmap, uint64_t gpa, uint64_t base)
{
    uint64_t page = (gpa - base) / SQUIB_PAGE_SIZE;

    return bitmap[page / 64] >> (page % 64) & 1;
}

static void dirty_log(struct cf *t)
{
    uint64_t lo[4], hi[4];
    struct squib_error e;

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_DIRTY_LOG))
        cf_skip("the backend has no dirty log");
    cf_vm(t, 1, false, true);
    CF_A64(t, dirty_code);
    CF_OK(squib_vm_dirty_log(t->vm, low, lo, &e), e);
    CF_OK(squib_vm_dirty_log(t->vm, high, hi, &e), e);
    CF_CHECK(dirty(lo, CF_CODE, 0)); /* the host's writes count */
    CF_A64_OUT(t, 0, 4);
    cf_put64(t, 0x30ffc, 5); /* two pages */
    CF_OK(squib_vm_dirty_log(t->vm, low, lo, &e), e);
    CF_OK(squib_vm_dirty_log(t->vm, high, hi, &e), e);
    CF_CHECK(dirty(lo, 0x20000, 0));
    CF_CHECK(dirty(lo, 0x24000, 0));
    CF_CHECK(dirty(lo, 0x30000, 0));
    CF_CHECK(dirty(lo, 0x31000, 0));
    CF_CHECK(dirty(hi, 0x105000, CF_HIGH_RAM));
    CF_CHECK(!dirty(lo, 0x40000, 0));
    CF_CHECK(!dirty(hi, 0x110000, CF_HIGH_RAM));
    CF_A64_OUT(t, 0, 4);
    CF_OK(squib_vm_dirty_log(t->vm, low, lo, &e), e);
    CF_CHECK(dirty(lo, 0x2c000, 0));
    CF_CHECK(!dirty(lo, 0x20000, 0)); /* taken before */
    CF_CHECK(!dirty(lo, 0x30000, 0));
    CF_A64_OUT(t, 0, 4); /* and logged again */
    CF_OK(squib_vm_dirty_log(t->vm, low, lo, &e), e);
    CF_OK(squib_vm_dirty_log(t->vm, high, hi, &e), e);
    CF_CHECK(dirty(lo, 0x20000, 0));
    CF_CHECK(dirty(hi, 0x105000, CF_HIGH_RAM));
}

static const uint32_t protect_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xd2a00201, /* movz x1, #0x10, lsl #16 */
    0xf9400020, /* ldr x0, [x1] */
    0x52800ee2, /* mov w2, #0x77 */
    0xb9000022, /* str w2, [x1] */
    0xf9400023, /* ldr x3, [x1] */
    0xf9000283, /* str x3, [x20] */
    /* done: */
    0x14000000, /* b done */
};

static void read_only(struct cf *t)
{
    static const uint8_t out[] = {0x77, 0, 0, 0};
    const uint32_t rx = SQUIB_PROT_READ | SQUIB_PROT_EXEC;
    struct squib_error e;

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_READONLY_MEM))
        cf_skip("the backend has no read-only memory");
    cf_vm(t, 1, false, false);
    cf_put64(t, CF_HIGH_RAM, 0x1234);
    CF_OK(squib_vm_protect(t->vm, high, rx, &e), e);
    CF_A64(t, protect_code);
    CF_MMIO_WRITE(t, CF_HIGH_RAM, out, 4);
    CF_EQ(CF_A64_OUT(t, 0, 8), 0x1234);
    CF_OK(squib_vm_protect(t->vm, high, SQUIB_PROT_RWX, &e), e);
    CF_A64(t, protect_code);
    CF_EQ(CF_A64_OUT(t, 0, 8), 0x77);
    CF_EQ(cf_ram32(t, CF_HIGH_RAM), 0x77);
}

static const uint32_t exec_code[] = {
    0xd2a00201, /* movz x1, #0x10, lsl #16 */
    0xd61f0020, /* br x1 */
};

static const uint32_t high_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0x52800100, /* mov w0, #8 */
    0xb9000280, /* str w0, [x20] */
    /* done: */
    0x14000000, /* b done */
};

static void read_only_code(struct cf *t)
{
    struct squib_error e;

    if (!(squib_backend_caps(t->be) & SQUIB_CAP_READONLY_MEM))
        cf_skip("the backend has no read-only memory");
    cf_vm(t, 1, false, false);
    CF_PUT(t, CF_HIGH_RAM, high_code);
    CF_OK(squib_vm_protect(t->vm, high, SQUIB_PROT_READ | SQUIB_PROT_EXEC,
                           &e), e);
    CF_A64(t, exec_code);
    CF_EQ(CF_A64_OUT(t, 0, 4), 8);
}

/* Memory taken away is MMIO; given again, it is memory with its contents. */
static void unmap(struct cf *t)
{
    static const uint8_t in[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t out[] = {0x77, 0, 0, 0};
    struct squib_error e;

    cf_vm(t, 1, false, false);
    cf_put64(t, CF_HIGH_RAM, 0x4321);
    CF_OK(squib_vm_unmap(t->vm, high, &e), e);
    CF_A64(t, protect_code);
    CF_MMIO_READ(t, CF_HIGH_RAM, in, 8);
    CF_MMIO_WRITE(t, CF_HIGH_RAM, out, 4);
    CF_MMIO_READ(t, CF_HIGH_RAM, in, 8);
    CF_EQ(CF_A64_OUT(t, 0, 8), 0x0807060504030201);
    CF_OK(squib_vm_map(t->vm, high, cf_ram(t, CF_HIGH_RAM), SQUIB_PROT_RWX,
                       &e), e);
    CF_A64(t, protect_code);
    CF_EQ(CF_A64_OUT(t, 0, 8), 0x77);
}

static const uint32_t map_code[] = {
    0xd2ba0014, /* movz x20, #0xd000, lsl #16 */
    0xd2a00801, /* movz x1, #0x40, lsl #16 */
    0xf9400020, /* ldr x0, [x1] */
    0x52801322, /* mov w2, #0x99 */
    0xf9000422, /* str x2, [x1, #8] */
    0xf9000280, /* str x0, [x20] */
    /* done: */
    0x14000000, /* b done */
};

/* A page of 16 KiB, the largest that hosts of these backends have. */
static void map_own(struct cf *t)
{
    const struct squib_range range = {0x400000, 0x4000};
    uint64_t *mine = mmap(NULL, range.len, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct squib_error e;

    CF_CHECK(mine != MAP_FAILED);
    mine[0] = 0x55667788;
    cf_vm(t, 1, false, false);
    CF_OK(squib_vm_map(t->vm, range, mine, SQUIB_PROT_RWX, &e), e);
    CF_A64(t, map_code);
    CF_EQ(CF_A64_OUT(t, 0, 8), 0x55667788);
    CF_EQ(mine[1], 0x99);
}

const struct cf_test cf_tests_a64_mem[] = {
    {"dirty_log", dirty_log, CF_EXEC},
    {"read_only", read_only, CF_EXEC},
    {"read_only_code", read_only_code, CF_EXEC},
    {"unmap", unmap, CF_EXEC},
    {"map_own", map_own, CF_EXEC},
    {0},
};
