/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: mapping, protection, dirty log. */
#define _GNU_SOURCE
#include "conform.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/guard.h"

static const struct squib_range high = {CF_HIGH_RAM,
                                        CF_RAM_END - CF_HIGH_RAM};
static const struct squib_range low = {0, CF_HOLE};

static const uint8_t dirty_code[] = {
    /* again: */
    /* mov byte ptr [0x20000], 1 */
    0xc6, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00, 0x01,
    /* mov dword ptr [0x24ffe], 2: two pages */
    0xc7, 0x04, 0x25, 0xfe, 0x4f, 0x02, 0x00, 0x02, 0x00, 0x00, 0x00,
    0x8b, 0x04, 0x25, 0x00, 0x80, 0x02, 0x00, /* mov eax, [0x28000] */
    /* mov byte ptr [0x105000], 3 */
    0xc6, 0x04, 0x25, 0x00, 0x50, 0x10, 0x00, 0x03,
    0xe6, 0xf4,                    /* out 0xf4, al */
    /* mov byte ptr [0x2c000], 4 */
    0xc6, 0x04, 0x25, 0x00, 0xc0, 0x02, 0x00, 0x04,
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xeb, 0xd0,                    /* jmp again */
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

    cf_vm(t, 1, false, true);
    cf_use_4k_pages(t);
    CF_LONG(t, dirty_code);
    /* what the tests wrote so far is in it: the host's writes count */
    CF_OK(squib_vm_dirty_log(t->vm, low, lo, &e), e);
    CF_OK(squib_vm_dirty_log(t->vm, high, hi, &e), e);
    CF_CHECK(dirty(lo, CF_CODE, 0) && dirty(lo, CF_PT, 0));
    CF_KIND(t, SQUIB_EXIT_PIO);
    cf_put64(t, 0x30ffc, 5); /* two pages */
    CF_OK(squib_vm_dirty_log(t->vm, low, lo, &e), e);
    CF_OK(squib_vm_dirty_log(t->vm, high, hi, &e), e);
    CF_CHECK(dirty(lo, 0x20000, 0));
    CF_CHECK(dirty(lo, 0x24000, 0));
    CF_CHECK(dirty(lo, 0x25000, 0));
    CF_CHECK(dirty(lo, 0x30000, 0));
    CF_CHECK(dirty(lo, 0x31000, 0));
    CF_CHECK(dirty(hi, 0x105000, CF_HIGH_RAM));
    CF_CHECK(!dirty(lo, 0x40000, 0));
    CF_CHECK(!dirty(hi, 0x106000, CF_HIGH_RAM));
    CF_KIND(t, SQUIB_EXIT_PIO);
    CF_OK(squib_vm_dirty_log(t->vm, low, lo, &e), e);
    CF_CHECK(dirty(lo, 0x2c000, 0));
    CF_CHECK(!dirty(lo, 0x20000, 0)); /* taken before */
    CF_CHECK(!dirty(lo, 0x30000, 0));
    CF_KIND(t, SQUIB_EXIT_PIO); /* and logged again */
    CF_OK(squib_vm_dirty_log(t->vm, low, lo, &e), e);
    CF_OK(squib_vm_dirty_log(t->vm, high, hi, &e), e);
    CF_CHECK(dirty(lo, 0x20000, 0));
    CF_CHECK(dirty(hi, 0x105000, CF_HIGH_RAM));
}

static const uint8_t protect_code[] = {
    0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x10, 0x00, /* mov rax, [0x100000] */
    0xba, 0x77, 0x00, 0x00, 0x00,  /* mov edx, 0x77 */
    0x89, 0x14, 0x25, 0x00, 0x00, 0x10, 0x00, /* mov [0x100000], edx */
    0x48, 0x8b, 0x1c, 0x25, 0x00, 0x00, 0x10, 0x00, /* mov rbx, [0x100000] */
    0xf4,                          /* hlt */
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
    CF_LONG(t, protect_code);
    CF_MMIO_WRITE(t, CF_HIGH_RAM, out, 4);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0x1234);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0x1234);
    CF_OK(squib_vm_protect(t->vm, high, SQUIB_PROT_RWX, &e), e);
    CF_LONG(t, protect_code);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RBX), 0x77);
    CF_EQ(cf_ram32(t, CF_HIGH_RAM), 0x77);
}

static const uint8_t exec_code[] = {
    0xb8, 0x00, 0x00, 0x10, 0x00,  /* mov eax, 0x100000 */
    0xff, 0xe0,                    /* jmp rax */
};
static const uint8_t high_code[] = {
    0xb0, 0x08,                    /* mov al, 8 */
    0xe6, 0xf4,                    /* out 0xf4, al */
    0xf4,                          /* hlt */
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
    CF_LONG(t, exec_code);
    CF_OUT(t, 0xf4, 1, 8);
}

static void protect_keeps_dirty_log(struct cf *t)
{
    uint64_t hi[4];
    struct squib_error e;

    cf_vm(t, 1, false, true);
    CF_LONG(t, protect_code);
    CF_HLT(t);
    CF_OK(squib_vm_protect(t->vm, high, SQUIB_PROT_READ | SQUIB_PROT_EXEC,
                           &e), e);
    CF_OK(squib_vm_dirty_log(t->vm, high, hi, &e), e);
    CF_CHECK(dirty(hi, CF_HIGH_RAM, CF_HIGH_RAM));
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
    CF_LONG(t, protect_code);
    CF_MMIO_READ(t, CF_HIGH_RAM, in, 8);
    CF_MMIO_WRITE(t, CF_HIGH_RAM, out, 4);
    CF_MMIO_READ(t, CF_HIGH_RAM, in, 8);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0x0807060504030201ull);
    CF_OK(squib_vm_map(t->vm, high, cf_ram(t, CF_HIGH_RAM), SQUIB_PROT_RWX,
                       &e), e);
    CF_LONG(t, protect_code);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0x4321);
}

static const uint8_t map_code[] = {
    0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x40, 0x00, /* mov rax, [0x400000] */
    /* mov dword ptr [0x400008], 0x99 */
    0xc7, 0x04, 0x25, 0x08, 0x00, 0x40, 0x00, 0x99, 0x00, 0x00, 0x00,
    0xf4,                          /* hlt */
};

static void map_own(struct cf *t)
{
    const struct squib_range range = {0x400000, 0x1000};
    uint64_t *mine = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct squib_error e;

    CF_CHECK(mine != MAP_FAILED);
    mine[0] = 0x55667788;
    cf_vm(t, 1, false, false);
    CF_OK(squib_vm_map(t->vm, range, mine, SQUIB_PROT_RWX, &e), e);
    CF_LONG(t, map_code);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0x55667788);
    CF_EQ(mine[1], 0x99);
}

/* map_code again, on a file that becomes shorter after the first round. */
static void map_lost(struct cf *t)
{
    const struct squib_range range = {0x400000, 0x1000};
    struct sq_guard guard = {.len = 0x1000};
    char path[] = "/tmp/squib-conform-XXXXXX";
    struct squib_error e;
    uint64_t *mine;

    guard.fd = mkstemp(path);
    CF_CHECK(guard.fd >= 0 && unlink(path) == 0);
    CF_CHECK(ftruncate(guard.fd, 0x1000) == 0);
    mine = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, guard.fd,
                0);
    CF_CHECK(mine != MAP_FAILED);
    guard.hva = (uint8_t *)mine;
    CF_OK(sq_guard_add(&guard, &e), e);
    mine[0] = 0x55667788;
    cf_vm(t, 1, false, false);
    CF_OK(squib_vm_map(t->vm, range, mine, SQUIB_PROT_RWX, &e), e);
    CF_LONG(t, map_code);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0x55667788);
    CF_EQ(mine[1], 0x99);
    CF_CHECK(ftruncate(guard.fd, 0) == 0);
    CF_LONG(t, map_code);
    CF_HLT(t);
    CF_EQ(cf_gpr(t, SQUIB_X86_RAX), 0);
    CF_CHECK(atomic_load(&guard.lost));
    CF_EQ(mine[1], 0x99);
}

const struct cf_test cf_tests_mem[] = {
    {"dirty_log", dirty_log, CF_EXEC},
    {"read_only", read_only, CF_EXEC},
    {"read_only_code", read_only_code, CF_EXEC},
    {"protect_keeps_dirty_log", protect_keeps_dirty_log, CF_EXEC},
    {"unmap", unmap, CF_EXEC},
    {"map_own", map_own, CF_EXEC},
    {"map_lost", map_lost, CF_EXEC},
    {0},
};
