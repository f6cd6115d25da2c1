/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "core/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "os/shm.h"

struct squib_memory {
    size_t count;
    struct sq_memory_region region[SQ_MEMORY_REGIONS_MAX]; /* by gpa */
    struct sq_memory_watcher watcher;
    enum sq_shm_pages pages;
};

int squib_memory_new(struct squib_memory **out, struct squib_error *err)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return sq_err_set(err, SQUIB_E_NOMEM, "guest memory: no memory");
    return 0;
}

void squib_memory_free(struct squib_memory *mem)
{
    if (!mem)
        return;
    for (size_t i = 0; i < mem->count; i++) {
        if (mem->region[i].lent)
            continue;
        munmap(mem->region[i].hva, mem->region[i].len);
        close(mem->region[i].fd);
    }
    free(mem);
}

void sq_memory_set_pages(struct squib_memory *mem,
                         enum sq_shm_pages pages)
{
    mem->pages = pages;
}

static int region_map(struct sq_memory_region *r, enum sq_shm_pages pages,
                      struct squib_error *err)
{
    void *hva;
    int e = sq_shm_new(r->len, pages, &r->fd, &hva);

    if (e)
        return sq_err_os(err, SQUIB_E_OS, e,
                         "guest memory: cannot map %llu MiB%s",
                         (unsigned long long)(r->len >> 20),
                         pages == SQ_PAGES_2M
                             ? " of huge pages (vm.nr_hugepages)" : "");
    r->hva = hva;
    return 0;
}

static int range_check(const struct squib_memory *mem,
                       struct squib_range range, struct squib_error *err)
{
    uint64_t end;

    if (range.len == 0 || (range.gpa | range.len) % SQUIB_PAGE_SIZE != 0 ||
        sq_add_overflow(range.gpa, range.len, &end) || end > 1ull << 52)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "guest memory: range %#llx+%#llx is not "
                          "page-aligned or too large",
                          (unsigned long long)range.gpa,
                          (unsigned long long)range.len);
    if (mem->count == SQ_MEMORY_REGIONS_MAX)
        return sq_err_set(err, SQUIB_E_RANGE,
                          "guest memory: more than %d ranges",
                          SQ_MEMORY_REGIONS_MAX);
    for (size_t i = 0; i < mem->count; i++)
        if (sq_overlaps(range.gpa, range.len, mem->region[i].gpa,
                        mem->region[i].len))
            return sq_err_set(err, SQUIB_E_RANGE,
                              "guest memory: range %#llx+%#llx overlaps",
                              (unsigned long long)range.gpa,
                              (unsigned long long)range.len);
    return 0;
}

/* The regions stay in the order of their addresses. */
static void region_insert(struct squib_memory *mem,
                          const struct sq_memory_region *r)
{
    size_t at = 0;

    while (at < mem->count && mem->region[at].gpa < r->gpa)
        at++;
    memmove(&mem->region[at + 1], &mem->region[at],
            (mem->count - at) * sizeof(*r));
    mem->region[at] = *r;
    mem->count++;
}

int squib_memory_add(struct squib_memory *mem, struct squib_range range,
                     struct squib_error *err)
{
    struct sq_memory_region r = {.gpa = range.gpa, .len = range.len};
    int rc = range_check(mem, range, err);

    if (!rc)
        rc = region_map(&r, mem->pages, err);
    if (!rc)
        region_insert(mem, &r);
    return rc;
}

int sq_memory_reserve(struct squib_memory *mem, struct squib_range range,
                      void **hva, struct squib_error *err)
{
    struct sq_memory_region r = {
        .gpa = range.gpa,
        .len = range.len,
        .reserved = true,
        .hidden = true,
    };
    int rc = range_check(mem, range, err);

    if (!rc)
        /* The pool is not for memory that may never be used. */
        rc = region_map(&r, mem->pages == SQ_PAGES_2M ? SQ_PAGES_NORMAL
                                                      : mem->pages, err);
    if (!rc) {
        region_insert(mem, &r);
        *hva = r.hva;
    }
    return rc;
}

void sq_memory_show(struct squib_memory *mem, uint64_t gpa, bool shown)
{
    for (size_t i = 0; i < mem->count; i++)
        if (mem->region[i].reserved && mem->region[i].gpa == gpa)
            atomic_store(&mem->region[i].hidden, !shown);
}

uint64_t sq_memory_present(const struct squib_memory *mem)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < mem->count; i++)
        if (!mem->region[i].lent && !mem->region[i].hidden)
            sum += mem->region[i].len;
    return sum;
}

int sq_memory_lend(struct squib_memory *mem, struct squib_range range,
                   void *hva, struct squib_error *err)
{
    const struct sq_memory_region r = {
        .gpa = range.gpa,
        .len = range.len,
        .hva = hva,
        .fd = -1,
        .lent = true,
    };
    int rc = range_check(mem, range, err);

    if (!rc)
        region_insert(mem, &r);
    return rc;
}

void sq_memory_take_back(struct squib_memory *mem, uint64_t gpa)
{
    for (size_t i = 0; i < mem->count; i++) {
        if (!mem->region[i].lent || mem->region[i].gpa != gpa)
            continue;
        mem->count--;
        memmove(&mem->region[i], &mem->region[i + 1],
                (mem->count - i) * sizeof(mem->region[0]));
        return;
    }
}

uint64_t squib_memory_size(const struct squib_memory *mem)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < mem->count; i++)
        if (!mem->region[i].lent && !mem->region[i].reserved)
            sum += mem->region[i].len;
    return sum;
}

size_t sq_memory_region_count(const struct squib_memory *mem)
{
    return mem->count;
}

const struct sq_memory_region *
sq_memory_region_at(const struct squib_memory *mem, size_t i)
{
    return &mem->region[i];
}

static const struct sq_memory_region *
region_of(const struct squib_memory *mem, uint64_t gpa)
{
    for (size_t i = 0; i < mem->count; i++) {
        const struct sq_memory_region *r = &mem->region[i];

        if (gpa >= r->gpa && gpa - r->gpa < r->len && !r->hidden)
            return r;
    }
    return NULL;
}

void *sq_memory_ptr(const struct squib_memory *mem, uint64_t gpa,
                    uint64_t len)
{
    const struct sq_memory_region *r = region_of(mem, gpa);

    if (!r || len > r->len - (gpa - r->gpa))
        return NULL;
    return r->hva + (gpa - r->gpa);
}

void *sq_memory_piece(const struct squib_memory *mem, uint64_t gpa,
                      uint64_t *len)
{
    const struct sq_memory_region *r = region_of(mem, gpa);

    if (!r)
        return NULL;
    if (*len > r->len - (gpa - r->gpa))
        *len = r->len - (gpa - r->gpa);
    return r->hva + (gpa - r->gpa);
}

void sq_memory_wrote(struct squib_memory *mem, uint64_t gpa, uint64_t len)
{
    if (mem->watcher.wrote && len)
        mem->watcher.wrote(mem->watcher.ctx, gpa, len);
}

/* Whole host pages of one region. 0 or an errno; *done grows. */
static int region_discard(struct squib_memory *mem,
                          const struct sq_memory_region *r, uint64_t from,
                          uint64_t to, int64_t *done)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t off = sq_align_up(from, page), end = to & ~(page - 1);
    int error;

    if (off >= end)
        return 0;
    error = sq_shm_discard(r->fd, r->hva, off, end - off);
    /* Also after a failure: part of it may be gone. */
    sq_memory_wrote(mem, r->gpa + off, end - off);
    if (!error)
        *done += (int64_t)(end - off);
    return error;
}

int64_t sq_memory_discard(struct squib_memory *mem, uint64_t gpa,
                          uint64_t len, struct squib_error *err)
{
    uint64_t end;
    int64_t done = 0;

    if (sq_add_overflow(gpa, len, &end))
        end = UINT64_MAX;
    for (size_t i = 0; i < mem->count; i++) {
        const struct sq_memory_region *r = &mem->region[i];
        uint64_t from = gpa > r->gpa ? gpa - r->gpa : 0;
        uint64_t to = end > r->gpa ? end - r->gpa : 0;
        int error;

        if (r->lent)
            continue;
        if (to > r->len)
            to = r->len;
        error = region_discard(mem, r, from, to, &done);
        if (error)
            return sq_err_os(err, SQUIB_E_OS, error,
                             "guest memory: cannot give back %#llx+%#llx",
                             (unsigned long long)(r->gpa + from),
                             (unsigned long long)(to - from));
    }
    return done;
}

void sq_memory_watch(struct squib_memory *mem,
                     struct sq_memory_watcher watcher)
{
    mem->watcher = watcher;
}

/* Checks that all of a span is memory: adjacent regions join up. */
static int span_check(const struct squib_memory *mem, uint64_t gpa,
                      uint64_t len, struct squib_error *err)
{
    uint64_t at = gpa, left = len;

    while (left) {
        const struct sq_memory_region *r = region_of(mem, at);
        uint64_t room;

        if (!r)
            return sq_err_set(err, SQUIB_E_RANGE,
                              "guest memory: %#llx+%#llx is outside",
                              (unsigned long long)gpa,
                              (unsigned long long)len);
        room = r->len - (at - r->gpa);
        if (room >= left)
            break;
        at += room;
        left -= room;
    }
    return 0;
}

enum copy_op { COPY_OUT, COPY_IN, COPY_FILL };

static int span_copy(const struct squib_memory *mem, uint64_t gpa,
                     uint8_t *buf, uint8_t byte, size_t len, enum copy_op op,
                     struct squib_error *err)
{
    int rc = span_check(mem, gpa, len, err);

    while (!rc && len) {
        const struct sq_memory_region *r = region_of(mem, gpa);
        uint64_t room = r->len - (gpa - r->gpa);
        size_t n = len < room ? len : (size_t)room;
        uint8_t *hva = r->hva + (gpa - r->gpa);

        switch (op) {
        case COPY_OUT: memcpy(buf, hva, n); break;
        case COPY_IN: memcpy(hva, buf, n); break;
        case COPY_FILL: memset(hva, byte, n); break;
        }
        if (buf)
            buf += n;
        gpa += n;
        len -= n;
    }
    return rc;
}

int squib_memory_read(const struct squib_memory *mem, uint64_t gpa, void *dst,
                      size_t len, struct squib_error *err)
{
    return span_copy(mem, gpa, dst, 0, len, COPY_OUT, err);
}

int squib_memory_write(struct squib_memory *mem, uint64_t gpa,
                       const void *src, size_t len, struct squib_error *err)
{
    int rc = span_copy(mem, gpa, (uint8_t *)(uintptr_t)src, 0, len, COPY_IN,
                       err);

    if (!rc)
        sq_memory_wrote(mem, gpa, len);
    return rc;
}

int squib_memory_fill(struct squib_memory *mem, uint64_t gpa, uint8_t byte,
                      size_t len, struct squib_error *err)
{
    int rc = span_copy(mem, gpa, NULL, byte, len, COPY_FILL, err);

    if (!rc)
        sq_memory_wrote(mem, gpa, len);
    return rc;
}

/* --- what the guest starts with -------------------------------------- */

#define LOAD_STEP (1u << 20) /* what of a file is mapped in at a time */

static bool all_zero(const uint8_t *p, size_t len)
{
    return !p[0] && memcmp(p, p + 1, len - 1) == 0;
}

/* Writes what is not zero of [off, off + len), page by page of memory. */
static void region_load(const struct sq_memory_region *r, uint64_t off,
                        const uint8_t *src, size_t len)
{
    size_t from = 0, at = 0; /* [from, at) is to be written */

    while (at < len) {
        size_t n = SQUIB_PAGE_SIZE - (off + at) % SQUIB_PAGE_SIZE;

        if (n > len - at)
            n = len - at;
        if (all_zero(src + at, n)) {
            sq_shm_write(r->fd, r->hva, off + from, src + from, at - from);
            from = at + n;
        }
        at += n;
    }
    sq_shm_write(r->fd, r->hva, off + from, src + from, at - from);
}

void sq_memory_forget_file(const void *from, const void *to)
{
    uintptr_t mask = ~(uintptr_t)(sysconf(_SC_PAGESIZE) - 1);
    uintptr_t first = (uintptr_t)from & mask, end = (uintptr_t)to & mask;

    if (first < end)
        (void)madvise((void *)first, end - first, MADV_DONTNEED);
}

int sq_memory_load(struct squib_memory *mem, uint64_t gpa, const void *src,
                   size_t len, bool mapped, struct squib_error *err)
{
    const uint8_t *bytes = src;
    int rc = span_check(mem, gpa, len, err);
    size_t done = 0;

    while (!rc && done < len) {
        const struct sq_memory_region *r = region_of(mem, gpa + done);
        uint64_t off = gpa + done - r->gpa;
        size_t n = len - done < LOAD_STEP ? len - done : LOAD_STEP;

        if (n > r->len - off)
            n = (size_t)(r->len - off);
        region_load(r, off, bytes + done, n);
        if (mapped)
            sq_memory_forget_file(bytes + done, bytes + done + n);
        done += n;
    }
    if (!rc)
        sq_memory_wrote(mem, gpa, len);
    return rc;
}
