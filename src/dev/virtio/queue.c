/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A queue is three arrays in guest memory: descriptors (address, length,
 * flags, next), the available ring (heads of chains, written by the driver)
 * and the used ring (heads and lengths, written by us). Both rings have a
 * free-running 16-bit index. `next_avail` is how far we have read the
 * first, `next_used` how far we have written the second.
 *
 * Trust. Host pointers to the rings are made once, in sq_queue_start(), and
 * cover the rings for the size that was checked there; indices are reduced
 * modulo that size, so no ring access can leave them. Everything else the
 * driver writes is loaded exactly once, into a local: ring fields with
 * atomic loads, descriptors with load_desc(), which ends with a compiler
 * fence so that no check is made on one value and no use of another.
 * Three bounds end every walk: a table of n descriptors is left after n
 * steps (which also finds loops), only one level of indirection is
 * followed, and the pieces of a chain are counted.
 *
 * Descriptors that cross from one memory region into an adjacent one are
 * split. Rings and indirect tables must each lie within one region; a
 * driver that puts them across a border is treated like one that puts them
 * outside memory.
 *
 * Order. The driver writes descriptors, then the available index; we load
 * the index with acquire. We write used elements, then store the used index
 * with release. Both suppression schemes (flags and event index) have the
 * same race: "I publish, then look whether the other wants to know" against
 * "I ask to know, then look whether something was published". A full fence
 * stands between publish and look on our side, in
 * sq_queue_needs_interrupt() and sq_queue_rearm(); the driver has its own.
 */
#include "dev/virtio/queue.h"

#include <stdatomic.h>
#include <string.h>

#include "base/util.h"

/* Layout: 2.7.5, 2.7.6, 2.7.8. */
#define DESC_LEN 16u
#define AVAIL_FLAGS 0u
#define AVAIL_IDX 2u
#define AVAIL_RING 4u
#define USED_FLAGS 0u
#define USED_IDX 2u
#define USED_RING 4u
#define USED_ELEM_LEN 8u

#define DESC_F_NEXT 1u
#define DESC_F_WRITE 2u
#define DESC_F_INDIRECT 4u
#define AVAIL_F_NO_INTERRUPT 1u
#define USED_F_NO_NOTIFY 1u

struct desc {
    uint64_t gpa;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

static uint16_t load16(const uint8_t *p)
{
    return __atomic_load_n((const uint16_t *)(const void *)p,
                           __ATOMIC_RELAXED);
}

static void store16(uint8_t *p, uint16_t v)
{
    __atomic_store_n((uint16_t *)(void *)p, v, __ATOMIC_RELAXED);
}

static struct desc load_desc(const uint8_t *p)
{
    struct desc d;

    memcpy(&d, p, sizeof(d));
    atomic_signal_fence(memory_order_seq_cst);
    return d;
}

static uint64_t avail_len(uint16_t size) { return 6 + 2ull * size; }
static uint64_t used_len(uint16_t size) { return 6 + 8ull * size; }

static uint8_t *used_event(const struct sq_queue *q)
{
    return q->avail + AVAIL_RING + 2u * q->size;
}

static uint32_t avail_event_off(const struct sq_queue *q)
{
    return USED_RING + USED_ELEM_LEN * q->size;
}

void sq_queue_reset(struct sq_queue *q)
{
    *q = (struct sq_queue){.size_max = q->size_max};
}

bool sq_queue_start(struct sq_queue *q, struct squib_memory *mem,
                    bool event_idx, bool indirect)
{
    if (q->size == 0 || q->size > q->size_max ||
        (q->size & (q->size - 1)) != 0)
        return false;
    if (q->desc_gpa % 16 || q->avail_gpa % 2 || q->used_gpa % 4)
        return false;
    q->desc = sq_memory_ptr(mem, q->desc_gpa, DESC_LEN * (uint64_t)q->size);
    q->avail = sq_memory_ptr(mem, q->avail_gpa, avail_len(q->size));
    q->used = sq_memory_ptr(mem, q->used_gpa, used_len(q->size));
    if (!q->desc || !q->avail || !q->used)
        return false;
    q->mem = mem;
    q->event_idx = event_idx;
    q->indirect = indirect;
    q->next_avail = q->next_used = q->signalled = 0;
    q->quiet = q->broken = false;
    q->ready = true;
    return true;
}

bool sq_queue_lies_in(const struct sq_queue *q, struct squib_range range)
{
    return q->ready &&
           (sq_overlaps(q->desc_gpa, DESC_LEN * (uint64_t)q->size,
                        range.gpa, range.len) ||
            sq_overlaps(q->avail_gpa, avail_len(q->size), range.gpa,
                        range.len) ||
            sq_overlaps(q->used_gpa, used_len(q->size), range.gpa,
                        range.len));
}

/* Adds one buffer to the chain, in one piece a region. */
static bool add_buffer(const struct sq_queue *q, struct sq_chain *c,
                       const struct desc *d)
{
    bool write = d->flags & DESC_F_WRITE;
    uint64_t gpa = d->gpa, left = d->len, end;

    if (sq_add_overflow(gpa, left, &end))
        return false;
    if (write)
        c->writable_len += left;
    else if (c->count > c->readable)
        return false; /* readable after writable */
    else
        c->readable_len += left;
    while (left) {
        uint64_t n = left;
        uint8_t *hva = sq_memory_piece(q->mem, gpa, &n);

        if (!hva || c->count == SQ_CHAIN_PIECES_MAX)
            return false;
        c->iov[c->count] = (struct iovec){hva, n};
        c->gpa[c->count] = gpa;
        c->count++;
        c->readable += !write;
        gpa += n;
        left -= n;
    }
    return true;
}

static bool walk(const struct sq_queue *q, struct sq_chain *c,
                 const uint8_t *table, uint32_t table_count, uint32_t at,
                 bool nested)
{
    for (uint32_t steps = 0; steps < table_count; steps++) {
        struct desc d = load_desc(table + DESC_LEN * at);

        if (d.flags & DESC_F_INDIRECT) {
            uint32_t n = d.len / DESC_LEN;
            const uint8_t *inner;

            if (!q->indirect || nested || (d.flags & DESC_F_NEXT) ||
                d.len % DESC_LEN || n == 0 || n > SQ_QUEUE_SIZE_MAX)
                return false;
            inner = sq_memory_ptr(q->mem, d.gpa, d.len);
            return inner && walk(q, c, inner, n, 0, true);
        }
        if (!add_buffer(q, c, &d))
            return false;
        if (!(d.flags & DESC_F_NEXT))
            return true;
        at = d.next;
        if (at >= table_count)
            return false;
    }
    return false; /* more steps than descriptors: a loop */
}

static uint16_t load_avail_idx(const struct sq_queue *q)
{
    return __atomic_load_n(
        (const uint16_t *)(const void *)(q->avail + AVAIL_IDX),
        __ATOMIC_ACQUIRE);
}

enum sq_queue_result sq_queue_pop(struct sq_queue *q, struct sq_chain *chain)
{
    uint16_t waiting, head;

    if (!q->ready)
        return SQ_QUEUE_EMPTY;
    if (q->broken)
        return SQ_QUEUE_BROKEN;
    waiting = (uint16_t)(load_avail_idx(q) - q->next_avail);
    if (waiting == 0)
        return SQ_QUEUE_EMPTY;
    if (waiting > q->size) {
        q->broken = true;
        return SQ_QUEUE_BROKEN;
    }
    head = load16(q->avail + AVAIL_RING + 2u * (q->next_avail % q->size));
    chain->head = head;
    chain->count = chain->readable = 0;
    chain->readable_len = chain->writable_len = 0;
    if (head >= q->size ||
        !walk(q, chain, q->desc, q->size, head, false)) {
        q->broken = true;
        return SQ_QUEUE_BROKEN;
    }
    q->next_avail++;
    return SQ_QUEUE_CHAIN;
}

uint16_t sq_queue_waiting(const struct sq_queue *q)
{
    uint16_t n;

    if (!q->ready || q->broken)
        return 0;
    n = (uint16_t)(load16(q->avail + AVAIL_IDX) - q->next_avail);
    return n < q->size ? n : q->size;
}

void sq_queue_unpop(struct sq_queue *q)
{
    q->next_avail--;
}

void sq_queue_push_all(struct sq_queue *q, const struct sq_used *used,
                       unsigned count)
{
    if (!q->ready || q->broken || !count)
        return;
    for (unsigned i = 0; i < count; i++) {
        uint32_t off = USED_RING + USED_ELEM_LEN * (q->next_used % q->size);

        sq_st32(q->used + off, used[i].head);
        sq_st32(q->used + off + 4, used[i].written);
        sq_memory_wrote(q->mem, q->used_gpa + off, USED_ELEM_LEN);
        q->next_used++;
    }
    __atomic_store_n((uint16_t *)(void *)(q->used + USED_IDX), q->next_used,
                     __ATOMIC_RELEASE);
    sq_memory_wrote(q->mem, q->used_gpa + USED_IDX, 2);
}

void sq_queue_push(struct sq_queue *q, uint16_t head, uint32_t written)
{
    sq_queue_push_all(q, &(struct sq_used){head, written}, 1);
}

bool sq_queue_needs_interrupt(struct sq_queue *q)
{
    uint16_t was = q->signalled;

    if (!q->ready || q->broken || q->next_used == was)
        return false;
    q->signalled = q->next_used;
    atomic_thread_fence(memory_order_seq_cst);
    if (!q->event_idx)
        return !(load16(q->avail + AVAIL_FLAGS) & AVAIL_F_NO_INTERRUPT);
    /* Was the index that the driver waits for among those just passed? */
    return (uint16_t)(q->next_used - load16(used_event(q)) - 1) <
           (uint16_t)(q->next_used - was);
}

void sq_queue_quiet(struct sq_queue *q)
{
    /* With event indices an old avail_event is quiet enough. */
    if (!q->ready || q->event_idx || q->quiet)
        return;
    q->quiet = true;
    store16(q->used + USED_FLAGS, USED_F_NO_NOTIFY);
    sq_memory_wrote(q->mem, q->used_gpa + USED_FLAGS, 2);
}

bool sq_queue_rearm(struct sq_queue *q)
{
    if (!q->ready || q->broken)
        return false;
    if (q->event_idx) {
        uint32_t off = avail_event_off(q);

        store16(q->used + off, q->next_avail);
        sq_memory_wrote(q->mem, q->used_gpa + off, 2);
    } else {
        q->quiet = false;
        store16(q->used + USED_FLAGS, 0);
        sq_memory_wrote(q->mem, q->used_gpa + USED_FLAGS, 2);
    }
    atomic_thread_fence(memory_order_seq_cst);
    return load_avail_idx(q) != q->next_avail;
}

/* ---- Contents of chains ---- */

/* One run of bytes within a piece. */
struct run {
    uint8_t *hva;
    uint64_t gpa;
    uint64_t len;
};

/* Walks bytes [off, off + len) of one part: false at its end. `i` starts as
 * 0 and is the caller's cursor, like off and len. */
static bool next_run(const struct sq_chain *c, bool writable, unsigned *i,
                     uint64_t *off, uint64_t *len, struct run *out)
{
    unsigned first = writable ? c->readable : 0;
    unsigned end = writable ? c->count : c->readable;

    for (; *len && first + *i < end; (*i)++) {
        const struct iovec *v = &c->iov[first + *i];

        if (*off >= v->iov_len) {
            *off -= v->iov_len;
            continue;
        }
        out->hva = (uint8_t *)v->iov_base + *off;
        out->gpa = c->gpa[first + *i] + *off;
        out->len = v->iov_len - *off;
        if (out->len > *len)
            out->len = *len;
        *len -= out->len;
        *off = 0;
        (*i)++;
        return true;
    }
    return false;
}

size_t sq_chain_read(const struct sq_chain *chain, uint64_t off, void *dst,
                     size_t len)
{
    uint64_t left = len;
    size_t n = 0;
    unsigned i = 0;
    struct run r;

    while (next_run(chain, false, &i, &off, &left, &r)) {
        memcpy((uint8_t *)dst + n, r.hva, r.len);
        n += r.len;
    }
    /* What the caller checks is what it uses, even if this is inlined. */
    atomic_signal_fence(memory_order_seq_cst);
    return n;
}

size_t sq_chain_write(const struct sq_chain *chain, struct squib_memory *mem,
                      uint64_t off, const void *src, size_t len)
{
    uint64_t left = len;
    size_t n = 0;
    unsigned i = 0;
    struct run r;

    while (next_run(chain, true, &i, &off, &left, &r)) {
        memcpy(r.hva, (const uint8_t *)src + n, r.len);
        sq_memory_wrote(mem, r.gpa, r.len);
        n += r.len;
    }
    return n;
}

void sq_chain_wrote(const struct sq_chain *chain, struct squib_memory *mem,
                    uint64_t off, uint64_t len)
{
    unsigned i = 0;
    struct run r;

    while (next_run(chain, true, &i, &off, &len, &r))
        sq_memory_wrote(mem, r.gpa, r.len);
}

unsigned sq_chain_slice(const struct sq_chain *chain, bool writable,
                        uint64_t off, uint64_t len, struct iovec *out)
{
    unsigned i = 0, n = 0;
    struct run r;

    while (next_run(chain, writable, &i, &off, &len, &r))
        out[n++] = (struct iovec){r.hva, r.len};
    return n;
}
