/* SPDX-License-Identifier: Apache-2.0 */
/* The block device that another process serves, with back ends that do what
 * they should, and that do not. A back end is a thread here; it has nothing
 * but its socket and what came over it. */
#include "virtio_guest.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "dev/host/vhost_user.h"
#include "dev/virtio/vhost_blk.h"
#include "os/clock.h"

#define HEADER GUEST_DATA
#define STATUS (GUEST_DATA + 0x100)
#define DATA (GUEST_DATA + 0x1000)
#define CAPACITY 1234u
#define F_RO (1ull << 5)
#define F_FLUSH (1ull << 9)

enum mood {
    GOOD,
    NO_CONFIG,     /* does not offer to show its configuration */
    WRONG_ANSWER,  /* answers another request */
    LONG_ANSWER,   /* with more than a message holds */
    REFUSES_TABLE, /* of memory */
    BAD_HEAD,      /* returns chains that it does not have */
    TWICE,         /* returns one two times */
    DIES,          /* at the first request for data */
    SLOTS,         /* takes memory part by part, 12 of them */
};

#define MANY 12u

struct back {
    pthread_t thread;
    char path[108];
    int listener;
    enum mood mood;
    /* What it was given. */
    struct {
        uint64_t gpa, len, user;
        uint8_t *hva;
    } region[MANY];
    unsigned regions, tables, removed;
    uint64_t desc, used, avail;
    int kick, call;
    uint16_t seen;
    _Atomic unsigned served;
};

static void *from_user(struct back *b, uint64_t user)
{
    for (unsigned i = 0; i < b->regions; i++)
        if (user - b->region[i].user < b->region[i].len)
            return b->region[i].hva + (user - b->region[i].user);
    return NULL;
}

static void *from_gpa(struct back *b, uint64_t gpa)
{
    for (unsigned i = 0; i < b->regions; i++)
        if (gpa - b->region[i].gpa < b->region[i].len)
            return b->region[i].hva + (gpa - b->region[i].gpa);
    return NULL;
}

static void push_used(struct back *b, uint32_t head, uint32_t len)
{
    uint8_t *used = from_user(b, b->used);
    uint16_t idx = sq_ld16(used + 2);

    sq_st32(used + 4 + 8 * (idx % 256), head);
    sq_st32(used + 8 + 8 * (idx % 256), len);
    __atomic_store_n((uint16_t *)(void *)(used + 2), (uint16_t)(idx + 1),
                     __ATOMIC_RELEASE);
}

/* Fills what is to be written, with 0x5a, but the last byte: the status. */
static uint32_t serve_chain(struct back *b, uint16_t head)
{
    const uint8_t *table = from_user(b, b->desc);
    uint32_t written = 0;
    uint8_t *last = NULL;

    for (uint16_t at = head;;) {
        const uint8_t *d = table + 16u * at;
        uint32_t len = sq_ld32(d + 8);

        if (sq_ld16(d + 12) & D_WRITE) {
            uint8_t *p = from_gpa(b, sq_ld64(d));

            memset(p, 0x5a, len);
            written += len;
            last = p + len - 1;
        }
        if (!(sq_ld16(d + 12) & D_NEXT))
            break;
        at = sq_ld16(d + 14);
    }
    if (last)
        *last = 0;
    return written;
}

/* False: it is to die. */
static bool serve(struct back *b)
{
    const uint8_t *avail = from_user(b, b->avail);
    uint16_t end = __atomic_load_n((const uint16_t *)(const void *)(avail + 2),
                                   __ATOMIC_ACQUIRE);
    uint64_t one = 1;

    for (; b->seen != end; b->seen++) {
        uint16_t head = sq_ld16(avail + 4 + 2 * (b->seen % 256));
        uint32_t len;

        if (b->mood == DIES)
            return false;
        len = serve_chain(b, head);
        push_used(b, b->mood == BAD_HEAD ? 77777 : head, len);
        if (b->mood == TWICE)
            push_used(b, head, len);
        atomic_fetch_add(&b->served, 1);
    }
    (void)!write(b->call, &one, sizeof(one));
    return true;
}

static bool read_all(int fd, uint8_t *out, size_t len)
{
    while (len) {
        ssize_t n = read(fd, out, len);

        if (n <= 0)
            return false;
        out += n;
        len -= (size_t)n;
    }
    return true;
}

static void answer(int fd, uint32_t request, const void *data, uint32_t len)
{
    uint8_t m[512];

    sq_st32(m, request);
    sq_st32(m + 4, 5);
    sq_st32(m + 8, len);
    memcpy(m + 12, data, len);
    (void)!write(fd, m, 12 + len);
}

/* In the place of those from `first` on. */
static void take_parts(struct back *b, const uint8_t *m, const int *fd,
                       unsigned first)
{
    b->regions = first + sq_ld32(m);
    for (unsigned i = first; i < b->regions; i++, fd++) {
        const uint8_t *r = m + 8 + 32 * (i - first);

        b->region[i].gpa = sq_ld64(r);
        b->region[i].len = sq_ld64(r + 8);
        b->region[i].user = sq_ld64(r + 16);
        b->region[i].hva = mmap(NULL, sq_ld64(r + 8),
                                PROT_READ | PROT_WRITE, MAP_SHARED, *fd,
                                (off_t)sq_ld64(r + 24));
        close(*fd);
    }
}

static void add_part(struct back *b, const uint8_t *m, int fd)
{
    uint8_t table[40];

    sq_st64(table, 1);
    memcpy(table + 8, m + 8, 32);
    assert_in_range(b->regions, 0, MANY - 1);
    take_parts(b, table, &fd, b->regions);
}

static bool remove_part(struct back *b, const uint8_t *m)
{
    for (unsigned i = 0; i < b->regions; i++)
        if (b->region[i].gpa == sq_ld64(m + 8) &&
            b->region[i].len == sq_ld64(m + 16) &&
            b->region[i].user == sq_ld64(m + 24)) {
            munmap(b->region[i].hva, b->region[i].len);
            b->region[i] = b->region[--b->regions];
            b->removed++;
            return true;
        }
    return false;
}

static void let_go(struct back *b)
{
    for (unsigned i = 0; i < b->regions; i++)
        munmap(b->region[i].hva, b->region[i].len);
    b->regions = 0;
}

/* One message. False: the connection is over. */
static bool obey(struct back *b, int fd)
{
    uint8_t head[12], body[512], out[512] = {0};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control;
    struct iovec iov = {head, sizeof(head)};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    int fds[8] = {-1};
    uint32_t request, len;
    bool refused = false;
    uint64_t value;
    struct cmsghdr *c;

    if (recvmsg(fd, &msg, MSG_WAITALL) != (ssize_t)sizeof(head))
        return false;
    c = CMSG_FIRSTHDR(&msg);
    if (c)
        memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    request = sq_ld32(head);
    len = sq_ld32(head + 8);
    if (len > sizeof(body) || !read_all(fd, body, len))
        return false;
    switch (request) {
    case 1: /* features, one of them too many for the device */
        value = 1ull << 30 | 1ull << 32 | F_RO | F_FLUSH | 1ull << 12;
        sq_st64(out, value);
        if (b->mood == LONG_ANSWER) {
            sq_st32(out, 1);
            sq_st32(out + 4, 5);
            sq_st32(out + 8, 0x7fffffff);
            (void)!write(fd, out, 12);
            break;
        }
        answer(fd, b->mood == WRONG_ANSWER ? 15 : 1, out, 8);
        break;
    case 15:
        sq_st64(out, (b->mood == NO_CONFIG ? 8 : 8 | 1 << 9) |
                         (b->mood == SLOTS ? 1 << 15 : 0));
        answer(fd, 15, out, 8);
        break;
    case 24:
        memcpy(out, body, 12);
        sq_st64(out + 12, CAPACITY);
        answer(fd, 24, out, len);
        break;
    case 11:
        answer(fd, 11, out, 8);
        if (b->mood != SLOTS)
            let_go(b);
        close(b->kick);
        close(b->call);
        b->kick = b->call = -1;
        b->seen = 0;
        break;
    case 5:
        b->tables++;
        take_parts(b, body, fds, 0);
        break;
    case 36:
        sq_st64(out, MANY);
        answer(fd, 36, out, 8);
        break;
    case 37: add_part(b, body, fds[0]); break;
    case 38: refused = !remove_part(b, body); break;
    case 9:
        b->desc = sq_ld64(body + 8);
        b->used = sq_ld64(body + 16);
        b->avail = sq_ld64(body + 24);
        break;
    case 12: b->kick = fds[0]; break;
    case 13: b->call = fds[0]; break;
    default: break;
    }
    if (sq_ld32(head + 4) & 8) { /* wants to know */
        sq_st64(out, refused || (request == 5 && b->mood == REFUSES_TABLE));
        answer(fd, request, out, 8);
    }
    return true;
}

static void *run_back(void *arg)
{
    struct back *b = arg;
    int fd = accept(b->listener, NULL, NULL);

    b->kick = b->call = -1;
    for (;;) {
        fd_set set;
        int max = fd;

        FD_ZERO(&set);
        FD_SET(fd, &set);
        if (b->kick >= 0) {
            FD_SET(b->kick, &set);
            max = b->kick > fd ? b->kick : fd;
        }
        if (select(max + 1, &set, NULL, NULL, NULL) < 0)
            break;
        if (b->kick >= 0 && FD_ISSET(b->kick, &set)) {
            uint64_t n;

            (void)!read(b->kick, &n, sizeof(n));
            if (!serve(b))
                break;
        }
        if (FD_ISSET(fd, &set) && !obey(b, fd))
            break;
    }
    let_go(b);
    close(fd);
    if (b->kick >= 0)
        close(b->kick);
    if (b->call >= 0)
        close(b->call);
    return NULL;
}

static void back_start(struct back *b, enum mood mood)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    memset(b, 0, sizeof(*b));
    b->mood = mood;
    snprintf(b->path, sizeof(b->path), "/tmp/squib-test-vhost-%d",
             (int)getpid());
    unlink(b->path);
    strcpy(to.sun_path, b->path);
    b->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(b->listener, (struct sockaddr *)&to, sizeof(to)),
                     0);
    assert_int_equal(listen(b->listener, 1), 0);
    assert_int_equal(pthread_create(&b->thread, NULL, run_back, b), 0);
}

static void back_end(struct back *b)
{
    pthread_join(b->thread, NULL);
    close(b->listener);
    unlink(b->path);
}

static int connect_to(struct back *b, struct sq_virtio_device **dev,
                      struct squib_error *err)
{
    return sq_virtio_vhost_blk_new(
        &(struct sq_virtio_vhost_blk_config){b->path, true}, dev, err);
}

static struct guest *machine(struct back *b, enum mood mood)
{
    struct guest *g = calloc(1, sizeof(*g));
    struct sq_virtio_device *dev;

    back_start(b, mood);
    guest_init(g);
    assert_int_equal(connect_to(b, &dev, NULL), 0);
    guest_plug(g, dev);
    return g;
}

static void machine_end(struct guest *g, struct back *b)
{
    guest_fini(g);
    free(g);
    back_end(b);
}

static void offer_read(struct guest *g, uint64_t data_gpa, uint32_t len)
{
    const struct guest_buf buf[] = {
        {HEADER, 16, false}, {data_gpa, len, true}, {STATUS, 1, true}};

    memset(guest_ptr(g, HEADER, 16), 0, 16);
    *(uint8_t *)guest_ptr(g, STATUS, 1) = 0xee;
    guest_add(g, 0, buf, 3);
    guest_kick(g, 0);
}

/* Until so many are answered, or the device is broken. */
static void wait_used(struct guest *g, uint16_t n)
{
    uint64_t end = sq_now_ns() + 60000000000u;

    while (guest_used_idx(g, 0) < n && !guest_needs_reset(g) &&
           sq_now_ns() < end) {
        guest_pump(g);
        usleep(1000);
    }
}

static void requests_pass(void **state)
{
    struct back b;
    struct guest *g = machine(&b, GOOD);
    const uint8_t *data = guest_ptr(g, DATA, 8192);
    uint32_t id, len;

    (void)state;
    assert_int_equal(guest_features(g) & 0xffffff, F_RO | F_FLUSH);
    assert_int_equal(guest_read(g, R_CONFIG), CAPACITY);
    for (int life = 0; life < 3; life++) {
        guest_start(g, g->dev->features_offered, 16);
        memset(guest_ptr(g, DATA, 8192), 0, 8192);
        offer_read(g, DATA, 4096);
        wait_used(g, 1);
        assert_true(guest_used(g, 0, &id, &len));
        assert_int_equal(len, 4097);
        assert_int_equal(*(uint8_t *)guest_ptr(g, STATUS, 1), 0);
        assert_int_equal(data[0], 0x5a);
        assert_int_equal(data[4095], 0x5a);
        assert_int_equal(data[4096], 0);
        /* Across two regions of memory. */
        offer_read(g, GUEST_BORDER - 512, 1024);
        wait_used(g, 2);
        assert_int_equal(*(uint8_t *)guest_ptr(g, GUEST_BORDER - 1, 1), 0x5a);
        assert_int_equal(*(uint8_t *)guest_ptr(g, GUEST_BORDER, 1), 0x5a);
        assert_false(guest_needs_reset(g));
        memset(guest_ptr(g, GUEST_BORDER - 512, 512), 0, 512);
        memset(guest_ptr(g, GUEST_BORDER, 512), 0, 512);
    }
    assert_int_equal(atomic_load(&b.served), 6);
    machine_end(g, &b);
}

/* More than the ring holds: what does not fit waits for what ends. */
static void many_pieces(void **state)
{
    struct back b;
    struct guest *g = machine(&b, GOOD);
    struct guest_buf buf[60];

    (void)state;
    guest_start(g, g->dev->features_offered, 128);
    buf[0] = (struct guest_buf){HEADER, 16, false};
    for (unsigned i = 1; i < 59; i++)
        buf[i] = (struct guest_buf){DATA + 512 * i, 512, true};
    buf[59] = (struct guest_buf){STATUS, 1, true};
    for (unsigned i = 0; i < 40; i++) {
        guest_add(g, 0, buf, 60);
        if (i % 2) { /* two of them fill the guest's queue */
            guest_kick(g, 0);
            wait_used(g, (uint16_t)(i + 1));
            assert_int_equal(guest_used_idx(g, 0), i + 1);
        }
    }
    assert_int_equal(atomic_load(&b.served), 40);
    machine_end(g, &b);
}

/* Memory that the back end does not have, and a request without an answer. */
static void refusals(void **state)
{
    struct back b;
    struct guest *g = machine(&b, GOOD);
    void *lent = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct guest_buf mute[] = {{HEADER, 16, false}};

    (void)state;
    assert_int_equal(sq_memory_lend(g->mem,
                                    (struct squib_range){1u << 30, 1u << 20},
                                    lent, NULL), 0);
    guest_start(g, g->dev->features_offered, 16);
    offer_read(g, 1u << 30, 4096);
    wait_used(g, 1);
    assert_int_equal(*(uint8_t *)guest_ptr(g, STATUS, 1), 1);
    assert_int_equal(atomic_load(&b.served), 0);
    guest_add(g, 0, mute, 1);
    guest_kick(g, 0);
    guest_pump(g);
    assert_true(guest_needs_reset(g));
    guest_start(g, g->dev->features_offered, 16);
    offer_read(g, DATA, 512);
    wait_used(g, 1);
    assert_int_equal(*(uint8_t *)guest_ptr(g, STATUS, 1), 0);
    machine_end(g, &b);
    munmap(lent, 1 << 20);
}

static void pause_waits(void **state)
{
    struct back b;
    struct guest *g = machine(&b, GOOD);

    (void)state;
    guest_start(g, g->dev->features_offered, 16);
    offer_read(g, DATA, 512);
    guest_pump(g);
    sq_virtio_pause(g->dev);
    assert_int_equal(guest_used_idx(g, 0), 1);
    offer_read(g, DATA, 512);
    guest_pump(g);
    assert_int_equal(atomic_load(&b.served), 1);
    sq_virtio_resume(g->dev);
    wait_used(g, 2);
    assert_int_equal(atomic_load(&b.served), 2);
    machine_end(g, &b);
}

/* Each is found out when it is connected to, with a word on it. */
static void bad_greetings(void **state)
{
    static const struct {
        enum mood mood;
        const char *text;
    } moods[] = {
        {NO_CONFIG, "does not show its configuration"},
        {WRONG_ANSWER, "answers something else"},
        {LONG_ANSWER, "answers something else"},
    };
    struct sq_virtio_device *dev;
    struct squib_error err;
    struct back b;

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(moods); i++) {
        back_start(&b, moods[i].mood);
        assert_int_equal(connect_to(&b, &dev, &err), SQUIB_E_FORMAT);
        assert_non_null(strstr(err.text, moods[i].text));
        back_end(&b);
    }
    assert_int_equal(connect_to(&b, &dev, &err), SQUIB_E_NOTFOUND);
}

/* The guest is told to reset; that does not bring it back, nor hang. */
static void bad_service(void **state)
{
    static const enum mood moods[] = {REFUSES_TABLE, BAD_HEAD, TWICE, DIES};
    struct back b;

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(moods); i++) {
        struct guest *g = machine(&b, moods[i]);

        assert_int_equal(guest_negotiate(g, g->dev->features_offered), 11);
        guest_queue_place(g, 0, 16);
        guest_queue_start(g, 0);
        guest_write(g, R_STATUS, 15);
        guest_pump(g);
        if (!guest_needs_reset(g))
            offer_read(g, DATA, 512);
        wait_used(g, 2);
        assert_true(guest_needs_reset(g));
        guest_write(g, R_STATUS, 0);
        guest_pump(g);
        assert_int_equal(guest_negotiate(g, g->dev->features_offered), 11);
        guest_queue_place(g, 0, 16);
        guest_queue_start(g, 0);
        guest_write(g, R_STATUS, 15);
        guest_pump(g);
        assert_true(guest_needs_reset(g));
        machine_end(g, &b);
    }
}

static void add_windows(struct guest *g, unsigned n)
{
    void *hva;

    for (unsigned i = 0; i < n; i++)
        assert_int_equal(
            sq_memory_reserve(g->mem,
                              (struct squib_range){(1ull << 32) + (i << 20),
                                                   1u << 20},
                              &hva, NULL),
            0);
}

/* With its own the ring makes 12 of 2 and 9. */
static void memory_part_by_part(void **state)
{
    struct back b;
    struct guest *g = machine(&b, SLOTS);
    const uint64_t last = (1ull << 32) + (8u << 20);

    (void)state;
    add_windows(g, 9);
    assert_int_equal(sq_virtio_vhost_blk_check(g->dev, g->mem, NULL), 0);
    sq_memory_show(g->mem, last, true);
    for (int life = 0; life < 3; life++) {
        guest_start(g, g->dev->features_offered, 16);
        memset(guest_ptr(g, last, 8192), 0, 8192);
        offer_read(g, last, 4096);
        wait_used(g, 1);
        assert_int_equal(*(uint8_t *)guest_ptr(g, STATUS, 1), 0);
        assert_int_equal(*(uint8_t *)guest_ptr(g, last + 4095, 1), 0x5a);
        assert_false(guest_needs_reset(g));
    }
    guest_write(g, R_STATUS, 0);
    guest_pump(g);
    assert_int_equal(b.tables, 0);
    assert_int_equal(b.removed, 3 * MANY);
    assert_int_equal(b.regions, 0);
    machine_end(g, &b);
}

/* Where it all fits, one message does. */
static void few_parts_in_a_table(void **state)
{
    struct back b;
    struct guest *g = machine(&b, SLOTS);

    (void)state;
    guest_start(g, g->dev->features_offered, 16);
    offer_read(g, DATA, 512);
    wait_used(g, 1);
    assert_int_equal(*(uint8_t *)guest_ptr(g, STATUS, 1), 0);
    assert_int_equal(b.tables, 1);
    machine_end(g, &b);
}

static void too_many_parts(void **state)
{
    static const struct {
        enum mood mood;
        unsigned fit;
    } moods[] = {{GOOD, 5}, {SLOTS, 9}};
    struct squib_error err = {0};
    struct back b;

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(moods); i++) {
        struct guest *g = machine(&b, moods[i].mood);

        add_windows(g, moods[i].fit);
        assert_int_equal(sq_virtio_vhost_blk_check(g->dev, g->mem, NULL), 0);
        assert_int_equal(
            squib_memory_add(g->mem,
                             (struct squib_range){1ull << 40, 1u << 20},
                             NULL),
            0);
        assert_int_equal(sq_virtio_vhost_blk_check(g->dev, g->mem, &err),
                         SQUIB_E_RANGE);
        assert_non_null(strstr(err.text, "parts of memory at most"));
        machine_end(g, &b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_pass), cmocka_unit_test(many_pieces),
        cmocka_unit_test(refusals),      cmocka_unit_test(pause_waits),
        cmocka_unit_test(bad_greetings), cmocka_unit_test(bad_service),
        cmocka_unit_test(memory_part_by_part),
        cmocka_unit_test(few_parts_in_a_table),
        cmocka_unit_test(too_many_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
