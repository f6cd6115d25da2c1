/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of ill will against the virtio-mmio transport and the devices
 * behind it: register accesses, ring contents and notifications come from
 * the fuzzer. What must hold: no access outside memory, no endless loop, no
 * leak, and a reset always leads back to a working device.
 *
 * Build: clang -std=gnu17 -g -O1 -fsanitize=fuzzer,address,undefined
 *        -Iinclude -Isrc fuzz/fuzz_virtqueue.c and the sources of base, os,
 *        core/memory.c and dev.
 * Run:   ./fuzz_virtqueue -max_len=4096
 *
 * Input: byte 0 chooses the device; then commands of 8 bytes each, see
 * step(). The rings are preset to sane places, so that random contents get
 * past the queue's start; the fuzzer may move them. With the top bit of byte
 * 0, another thread changes rings and buffers all the while, as another vCPU
 * can.
 *
 * `make check` runs it with random input, see random.c.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "dev/bus.h"
#include "dev/virtio/balloon.h"
#include "dev/virtio/blk.h"
#include "dev/virtio/mem.h"
#include "dev/virtio/mmio.h"
#include "dev/virtio/net.h"
#include "dev/virtio/pmem.h"
#include "dev/virtio/rng.h"
#include "dev/virtio/vsock.h"

#define MMIO 0x10000000ull
#define REGION 0x40000u /* two of them, adjacent */
#define RAM (2 * REGION)
#define DISK_LEN 65536u
#define RING(q) (0x1000u * ((q) + 1))
#define PACKET 0x8000u /* a well-formed vsock header is kept here */

enum { R_STATUS = 0x70, R_NOTIFY = 0x50 };

struct machine {
    struct squib_memory *mem;
    struct sq_poller *poller;
    struct sq_bus bus;
    struct sq_virtio_mmio *mmio;
    struct sq_virtio_device *dev;
    struct sq_work stop;
    unsigned queues;
    int peer[4];
    unsigned peers;
};

static void stop(void *ctx) { sq_poller_stop(ctx); }
static void irq(void *ctx, uint32_t gsi, bool level)
{
    (void)ctx;
    (void)gsi;
    (void)level;
}

/* ---- The host side of the devices ---- */

struct ram_disk {
    struct sq_disk disk;
    uint8_t bytes[DISK_LEN];
};

static void ram_submit(struct sq_disk *disk, struct sq_disk_request *req)
{
    struct ram_disk *d = SQ_CONTAINER_OF(disk, struct ram_disk, disk);
    uint64_t off = req->off, sum = 0;

    if (off > DISK_LEN || req->len > DISK_LEN - off)
        abort(); /* the device has to check this */
    for (unsigned i = 0; i < req->iov_count; i++) {
        void *p = req->iov[i].iov_base;
        size_t n = req->iov[i].iov_len;

        sum += n;
        if (sum > req->len)
            abort();
        if (req->op == SQ_DISK_READ)
            memcpy(p, d->bytes + off, n);
        else
            memcpy(d->bytes + off, p, n);
        off += n;
    }
    req->done(req, 0);
}

static void ram_free(struct sq_disk *disk)
{
    free(SQ_CONTAINER_OF(disk, struct ram_disk, disk));
}

static const struct sq_disk_ops ram_ops = {.submit = ram_submit,
                                           .free = ram_free};

static int host_connect(void *ctx, uint32_t port, struct squib_error *err)
{
    struct machine *m = ctx;
    int fd[2];

    (void)err;
    if (port > 3 || m->peers == SQ_ARRAY_LEN(m->peer) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) != 0)
        return SQUIB_E_NOTFOUND;
    m->peer[m->peers++] = fd[1];
    return fd[0];
}

static const struct sq_vsock_host_ops host_ops = {host_connect};

/* A network that gives back what it gets, header and all, so that the guest
 * decides what it receives. */
struct echo_net {
    struct sq_net_backend net;
    size_t len; /* of the frame that waits; 0: none */
    uint8_t header[SQ_NET_HEADER_LEN];
    uint8_t frame[SQ_NET_FRAME_MAX];
};

static enum sq_net_sent echo_send(struct sq_net_backend *net,
                                  struct iovec *iov, unsigned iov_count,
                                  size_t len)
{
    struct echo_net *e = SQ_CONTAINER_OF(net, struct echo_net, net);
    size_t at = 0;

    if (len < SQ_NET_FRAME_MIN || len > SQ_NET_FRAME_MAX ||
        iov[0].iov_len != SQ_NET_HEADER_LEN)
        abort(); /* the device has to check this */
    if (e->len)
        return SQ_NET_BUSY;
    memcpy(e->header, iov[0].iov_base, SQ_NET_HEADER_LEN);
    for (unsigned i = 1; i < iov_count; i++) {
        if (iov[i].iov_len > len - at)
            abort();
        memcpy(e->frame + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    if (at != len)
        abort();
    e->len = len;
    eventfd_write(net->fd, 1);
    return SQ_NET_SENT;
}

static int echo_recv(struct sq_net_backend *net, struct sq_net_frame *frame)
{
    struct echo_net *e = SQ_CONTAINER_OF(net, struct echo_net, net);

    eventfd_read(net->fd, &(eventfd_t){0});
    if (!e->len)
        return 0;
    *frame = (struct sq_net_frame){e->header, e->frame, e->len};
    e->len = 0;
    return 1;
}

static void echo_free(struct sq_net_backend *net)
{
    close(net->fd);
    free(SQ_CONTAINER_OF(net, struct echo_net, net));
}

static const struct sq_net_backend_ops echo_ops = {
    .send = echo_send,
    .recv = echo_recv,
    .free = echo_free,
};

static int net_new(struct machine *m, unsigned offloads)
{
    struct echo_net *e = calloc(1, sizeof(*e));
    int rc;

    if (!e)
        return -1;
    e->net = (struct sq_net_backend){&echo_ops, eventfd(0, EFD_NONBLOCK),
                                     offloads};
    rc = sq_virtio_net_new(
        &(struct sq_virtio_net_config){.backend = &e->net, .mtu = 1500},
        &m->dev, NULL);
    if (rc)
        echo_free(&e->net);
    return rc;
}

/* Memory that comes and goes: two windows, shown and hidden as it says. */
#define PLUG_GPA (1ull << 30)
#define PLUG_WINDOW (128ull << 20)

static int show(void *ctx, struct squib_range window, bool shown)
{
    struct machine *m = ctx;

    if (window.len != PLUG_WINDOW || (window.gpa - PLUG_GPA) % PLUG_WINDOW ||
        window.gpa - PLUG_GPA >= 2 * PLUG_WINDOW)
        abort(); /* the device has to check this */
    sq_memory_show(m->mem, window.gpa, shown);
    return 0;
}

static int mem_new(struct machine *m)
{
    const struct sq_virtio_mem_config config = {
        .sizes = {.total_mib = 256, .block_mib = 2, .slot_mib = 128},
        .gpa = PLUG_GPA,
        .show = show,
        .ctx = m,
    };
    void *hva;

    for (unsigned i = 0; i < 2; i++)
        if (sq_memory_reserve(m->mem,
                              (struct squib_range){
                                  PLUG_GPA + i * PLUG_WINDOW, PLUG_WINDOW},
                              &hva, NULL))
            return -1;
    return sq_virtio_mem_new(&config, &m->dev, NULL);
}

/* A file of a page; nothing of the guest's reaches its mapping here. */
static int pmem_new(struct machine *m)
{
    char path[] = "/tmp/fuzz-pmem-XXXXXX";
    int fd = mkstemp(path), rc = -1;

    if (fd >= 0 && ftruncate(fd, 4096) == 0)
        rc = sq_virtio_pmem_new(
            &(struct sq_virtio_pmem_config){
                .path = path, .gpa = PLUG_GPA, .poller = m->poller},
            &m->dev, NULL);
    if (fd >= 0) {
        unlink(path);
        close(fd);
    }
    return rc;
}

static int device_new(struct machine *m, uint8_t kind)
{
    struct sq_virtio_vsock_config vsock = {3, &host_ops, m};
    const struct sq_virtio_balloon_config plain = {.amount_mib = 1};
    const struct sq_virtio_balloon_config balloon = {
        .amount_mib = 1,
        .deflate_on_oom = true,
        .stats_interval_s = 1,
        .reporting = true,
        .hinting = true,
    };
    struct ram_disk *disk;
    int rc;

    switch (kind % 10) {
    case 0:
        return sq_virtio_rng_new(&m->dev, NULL);
    case 1:
    case 2:
        disk = calloc(1, sizeof(*disk));
        if (!disk)
            return -1;
        disk->disk = (struct sq_disk){
            .ops = &ram_ops,
            .len = DISK_LEN,
            .read_only = kind % 10 == 2,
        };
        rc = sq_virtio_blk_new(
            &(struct sq_virtio_blk_config){
                &disk->disk, SQ_VIRTIO_BLK_WRITEBACK, "fuzz"},
            &m->dev, NULL);
        if (rc)
            free(disk);
        return rc;
    case 3:
        return sq_virtio_vsock_new(&vsock, &m->dev, NULL);
    case 6:
        return net_new(m, SQ_NET_HEADERS);
    case 7:
        return net_new(m, SQ_NET_TRUSTED);
    case 8:
        return mem_new(m);
    case 9:
        return pmem_new(m);
    default: /* with all features, and with few */
        return sq_virtio_balloon_new(kind % 10 == 4 ? &balloon : &plain,
                                     &m->dev, NULL);
    }
}

/* ---- The guest ---- */

static void put(struct machine *m, uint64_t off, uint32_t v)
{
    uint8_t raw[4];

    sq_st32(raw, v);
    sq_bus_write(&m->bus, MMIO + off, raw, 4);
}

static uint32_t get(struct machine *m, uint64_t off)
{
    uint8_t raw[4];

    sq_bus_read(&m->bus, MMIO + off, raw, 4);
    return sq_ld32(raw);
}

static void pump(struct machine *m)
{
    sq_poller_post(m->poller, &m->stop);
    sq_poller_run(m->poller, NULL);
}

static void start(struct machine *m, uint32_t low_features)
{
    put(m, R_STATUS, 0);
    put(m, R_STATUS, 3);
    put(m, 0x24, 0);
    put(m, 0x20, low_features & get(m, 0x10));
    put(m, 0x24, 1);
    put(m, 0x20, 1);
    put(m, R_STATUS, 11);
    for (unsigned q = 0; q < m->queues; q++) {
        put(m, 0x30, q);
        put(m, 0x38, 8);
        put(m, 0x80, RING(q));
        put(m, 0x90, RING(q) + 0x400);
        put(m, 0xa0, RING(q) + 0x800);
        put(m, 0x44, 1);
    }
    put(m, R_STATUS, 15);
}

/* One command: an operation, a small number, a halfword and a word. */
static void step(struct machine *m, const uint8_t *c)
{
    unsigned op = c[0], q = c[1] % m->queues;
    uint16_t h = sq_ld16(c + 2);
    uint32_t w = sq_ld32(c + 4);
    uint8_t raw[16] = {0};
    uint8_t *ring = sq_memory_ptr(m->mem, RING(q), 0x1000);

    switch (op % 13) {
    case 0: put(m, h % 0x120 & ~3u, w); break;
    case 1: /* any access */
        memcpy(raw, c + 1, 7);
        if (h & 0x8000)
            sq_bus_read(&m->bus, MMIO + h % 0xff8, raw, c[1] % 8 + 1);
        else
            sq_bus_write(&m->bus, MMIO + h % 0xff8, raw, c[1] % 8 + 1);
        break;
    case 2: start(m, w); break;
    case 3: put(m, R_NOTIFY, q); break;
    case 4: /* a descriptor's address and length */
        sq_st64(ring + 16 * (h % 8), w % (RAM + 64));
        sq_st32(ring + 16 * (h % 8) + 8, (uint32_t)h << (c[1] >> 4));
        break;
    case 5: /* its flags and next */
        sq_st16(ring + 16 * (h % 8) + 12, (uint16_t)(w % 8));
        sq_st16(ring + 16 * (h % 8) + 14, (uint16_t)(w >> 16) % 10);
        break;
    case 6: /* an available entry */
        sq_st16(ring + 0x400 + 4 + 2 * (h % 9), (uint16_t)w % 10);
        break;
    case 7: /* the available index: mostly one further */
        sq_st16(ring + 0x402, w % 16 ? (uint16_t)(sq_ld16(ring + 0x402) + 1)
                                     : h);
        break;
    case 8: /* any word of memory */
        sq_st32(sq_memory_ptr(m->mem, (h * 4ull) % RAM, 4), w);
        break;
    case 9: /* a packet, or a block request: header fields */
        sq_st64((uint8_t *)sq_memory_ptr(m->mem, PACKET, 64), c[1] % 16);
        sq_st64((uint8_t *)sq_memory_ptr(m->mem, PACKET + 8, 8), h % 256);
        break;
    case 10: { /* a vsock packet in one go */
        uint8_t *p = sq_memory_ptr(m->mem, PACKET, 64);

        memset(p, 0, 44);
        sq_st64(p, 3);
        sq_st64(p + 8, 2);
        sq_st32(p + 16, c[1] >> 6);
        sq_st32(p + 20, w >> 30);
        sq_st32(p + 24, h);
        sq_st16(p + 28, 1);
        sq_st16(p + 30, c[1] % 9);
        sq_st32(p + 32, w & 3);
        sq_st32(p + 36, w & 0xffff);
        sq_st32(p + 40, w >> 8 & 0xff);
        break;
    }
    case 12: /* a request for memory, and what the host wants */
        sq_st64((uint8_t *)sq_memory_ptr(m->mem, PACKET, 64), c[1] % 5);
        sq_st64((uint8_t *)sq_memory_ptr(m->mem, PACKET + 8, 8),
                PLUG_GPA + ((uint64_t)(w % 130) << 21) + (w >> 31));
        sq_st64((uint8_t *)sq_memory_ptr(m->mem, PACKET + 16, 8), h % 80);
        if (m->dev->ops->id == SQ_VIRTIO_ID_MEM)
            (void)sq_virtio_mem_request(m->dev, h % 300, NULL);
        break;
    case 11: /* the host application moves */
        if (m->peers) {
            int fd = m->peer[c[1] % m->peers];

            if (w % 8 == 0)
                shutdown(fd, (int)(w >> 8) % 3);
            else if (w % 2)
                (void)!send(fd, raw, sizeof(raw), MSG_NOSIGNAL);
            else
                (void)!recv(fd, raw, sizeof(raw), 0);
        }
        break;
    }
    if (op >= 0x80)
        pump(m);
}

static void check_alive(struct machine *m)
{
    static const uint8_t zero[0x6000];

    memcpy(sq_memory_ptr(m->mem, RING(0), sizeof(zero)), zero,
           sizeof(zero));
    start(m, UINT32_MAX);
    pump(m);
    if (get(m, R_STATUS) != 15)
        abort();
}

/* ---- Another vCPU ---- */

struct scribbler {
    uint8_t *ring;
    unsigned queues;
    _Atomic bool stop;
};

/* Mostly what a descriptor, an index or a header could hold. */
static void *scribble(void *arg)
{
    struct scribbler *s = arg;
    uint32_t x = 12345;

    while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
        uint32_t at, v;

        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        at = x % (s->queues * 0x1000 + 0x1000) & ~3u;
        v = x & 0x100 ? x >> 9 & 0xf : x >> 12 & 0xfffff;
        if (x & 0x600) /* descriptors and the available ring */
            at = at / 0x1000 * 0x1000 + (x >> 20 & 0x47c);
        if (at < s->queues * 0x1000)
            atomic_store_explicit(
                (_Atomic uint32_t *)(void *)(s->ring + at), v,
                memory_order_relaxed);
    }
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct machine m = {0};
    struct sq_virtio_mmio_config config = {.irq = {irq, NULL, 5}};
    struct scribbler other = {0};
    pthread_t thread;

    if (size < 1 || squib_memory_new(&m.mem, NULL) != 0)
        return 0;
    if (squib_memory_add(m.mem, (struct squib_range){0, REGION}, NULL) ||
        squib_memory_add(m.mem, (struct squib_range){REGION, REGION},
                         NULL) ||
        sq_poller_new(&m.poller, NULL) || device_new(&m, data[0] & 0x7f))
        abort();
    m.stop = (struct sq_work){.fn = stop, .ctx = m.poller};
    m.queues = m.dev->ops->queue_count;
    config.dev = m.dev;
    config.mem = m.mem;
    config.poller = m.poller;
    if (sq_virtio_mmio_new(&config, &m.mmio, NULL) ||
        sq_bus_add(&m.bus, "fuzz", MMIO, SQ_VIRTIO_MMIO_LEN,
                   &sq_virtio_mmio_bus_ops, m.mmio, NULL))
        abort();
    start(&m, UINT32_MAX);
    other.ring = sq_memory_ptr(m.mem, RING(0), 0x1000 * m.queues);
    other.queues = m.queues;
    if ((data[0] & 0x80) &&
        pthread_create(&thread, NULL, scribble, &other) != 0)
        abort();
    for (size_t at = 1; at + 8 <= size; at += 8)
        step(&m, data + at);
    pump(&m);
    atomic_store(&other.stop, true);
    if (data[0] & 0x80)
        pthread_join(thread, NULL);
    pump(&m);
    check_alive(&m);
    sq_transport_free(m.dev->transport);
    sq_poller_free(m.poller);
    squib_memory_free(m.mem);
    for (unsigned i = 0; i < m.peers; i++)
        close(m.peer[i]);
    return 0;
}
