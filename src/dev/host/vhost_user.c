/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/host/vhost_user.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "os/sock.h"

enum request {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    SET_VRING_ENABLE = 18,
    GET_CONFIG = 24,
    GET_MAX_MEM_SLOTS = 36,
    ADD_MEM_REG = 37,
    REM_MEM_REG = 38,
};

#define HEADER_LEN 12u
#define FLAG_VERSION 1u
#define FLAG_REPLY 4u
#define FLAG_NEED_REPLY 8u

#define F_PROTOCOL_FEATURES (1ull << 30)
#define P_REPLY_ACK (1ull << 3)
#define P_CONFIG (1ull << 9)
#define P_MEM_SLOTS (1ull << 15)
#define P_WANTED (P_REPLY_ACK | P_CONFIG | P_MEM_SLOTS)

#define CONFIG_MAX 256u
#define PAYLOAD_MAX (12u + CONFIG_MAX)
/* Where no guest has memory: the queue's own region. */
#define RING_GPA (1ull << 50)
/* Of what can be shared in one message, and one by one. */
#define TABLE_MAX 8u
#define PARTS_MAX (SQ_MEMORY_REGIONS_MAX + 1u)

/* A range of memory that is shared. */
struct part {
    uint64_t gpa, len;
    const uint8_t *hva;
    int fd;
};

struct sq_vhost_user {
    int fd;
    bool broken;
    uint64_t features, protocol;
    uint64_t slots; /* parts that it takes one by one; 0: none */
    unsigned added_count;
    struct part added[PARTS_MAX]; /* one by one, and not taken back */
};

struct message {
    uint32_t request, flags, len;
    uint8_t payload[PAYLOAD_MAX];
    int fd[TABLE_MAX];
    unsigned fd_count;
};

static int broke(struct sq_vhost_user *vu, struct squib_error *err, int error,
                 const char *what)
{
    vu->broken = true;
    if (error)
        return sq_err_os(err, SQUIB_E_OS, error, "vhost-user: %s", what);
    return sq_err_set(err, SQUIB_E_FORMAT, "vhost-user: %s", what);
}

static int send_message(struct sq_vhost_user *vu, const struct message *m,
                        struct squib_error *err)
{
    uint8_t header[HEADER_LEN];
    struct iovec iov[2] = {{header, sizeof(header)},
                           {(void *)(uintptr_t)m->payload, m->len}};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(m->fd))];
    } control = {0};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = m->len ? 2 : 1};
    ssize_t n;

    if (vu->broken)
        return sq_err_set(err, SQUIB_E_STATE,
                          "vhost-user: the back end has gone");
    sq_st32(header, m->request);
    sq_st32(header + 4, m->flags | FLAG_VERSION);
    sq_st32(header + 8, m->len);
    if (m->fd_count) {
        struct cmsghdr *c;

        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(m->fd_count * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(m->fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), m->fd, m->fd_count * sizeof(int));
    }
    do {
        n = sendmsg(vu->fd, &msg, SQ_MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return broke(vu, err, errno, "cannot send to the back end");
    if ((size_t)n != HEADER_LEN + m->len)
        return broke(vu, err, 0, "the back end does not read");
    return 0;
}

/* Exactly len bytes; the socket has a time limit. */
static int receive(struct sq_vhost_user *vu, uint8_t *out, size_t len,
                   struct squib_error *err)
{
    while (len) {
        ssize_t n = recv(vu->fd, out, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return broke(vu, err, errno, "no answer from the back end");
        if (n == 0)
            return broke(vu, err, 0, "the back end has closed");
        out += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Sends *m and puts the answer in its place. */
static int ask(struct sq_vhost_user *vu, struct message *m,
               struct squib_error *err)
{
    uint8_t header[HEADER_LEN];
    int rc = send_message(vu, m, err);

    if (!rc)
        rc = receive(vu, header, sizeof(header), err);
    if (rc)
        return rc;
    m->flags = sq_ld32(header + 4);
    m->len = sq_ld32(header + 8);
    if (sq_ld32(header) != m->request || !(m->flags & FLAG_REPLY) ||
        m->len > sizeof(m->payload))
        return broke(vu, err, 0, "the back end answers something else");
    return receive(vu, m->payload, m->len, err);
}

/* Sends *m and, where the back end can tell, waits until it has obeyed. */
static int tell(struct sq_vhost_user *vu, struct message *m,
                struct squib_error *err)
{
    int rc;

    if (!(vu->protocol & P_REPLY_ACK))
        return send_message(vu, m, err);
    m->flags |= FLAG_NEED_REPLY;
    rc = ask(vu, m, err);
    if (!rc && (m->len != 8 || sq_ld64(m->payload) != 0))
        return broke(vu, err, 0, "the back end refuses a setting");
    return rc;
}

static int get_u64(struct sq_vhost_user *vu, enum request request,
                   uint64_t *out, struct squib_error *err)
{
    struct message m = {.request = request};
    int rc = ask(vu, &m, err);

    if (!rc && m.len != 8)
        return broke(vu, err, 0, "an answer has the wrong length");
    if (!rc)
        *out = sq_ld64(m.payload);
    return rc;
}

static int set_u64(struct sq_vhost_user *vu, enum request request,
                   uint64_t value, struct squib_error *err)
{
    struct message m = {.request = request, .len = 8};

    sq_st64(m.payload, value);
    return tell(vu, &m, err);
}

static int set_vring(struct sq_vhost_user *vu, enum request request,
                     uint32_t value, struct squib_error *err)
{
    struct message m = {.request = request, .len = 8};

    sq_st32(m.payload, 0);
    sq_st32(m.payload + 4, value);
    return tell(vu, &m, err);
}

static int set_event(struct sq_vhost_user *vu, enum request request, int fd,
                     struct squib_error *err)
{
    struct message m = {
        .request = request, .len = 8, .fd = {fd}, .fd_count = 1};

    sq_st64(m.payload, 0);
    return tell(vu, &m, err);
}

static int negotiate(struct sq_vhost_user *vu, struct squib_error *err)
{
    struct message owner = {.request = SET_OWNER};
    uint64_t offered = 0;
    int rc = get_u64(vu, GET_FEATURES, &vu->features, err);

    if (!rc && !(vu->features & F_PROTOCOL_FEATURES))
        return sq_err_set(err, SQUIB_E_FORMAT, "vhost-user: the back end has "
                          "no protocol features");
    if (!rc)
        rc = get_u64(vu, GET_PROTOCOL_FEATURES, &offered, err);
    if (!rc && !(offered & P_CONFIG))
        return sq_err_set(err, SQUIB_E_FORMAT, "vhost-user: the back end "
                          "does not show its configuration");
    if (!rc)
        rc = set_u64(vu, SET_PROTOCOL_FEATURES, offered & P_WANTED, err);
    vu->protocol = offered & P_WANTED;
    if (!rc)
        rc = tell(vu, &owner, err);
    if (!rc && (vu->protocol & P_MEM_SLOTS))
        rc = get_u64(vu, GET_MAX_MEM_SLOTS, &vu->slots, err);
    return rc;
}

int sq_vhost_user_connect(const char *path, struct sq_vhost_user **out,
                          struct squib_error *err)
{
    const struct timeval wait = {.tv_sec = SQ_VHOST_USER_WAIT_MS / 1000};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct sq_vhost_user *vu;
    int rc = 0;

    if (strlen(path) >= sizeof(to.sun_path))
        return sq_err_set(err, SQUIB_E_INVAL, "%s: the path of a socket has "
                          "less than %zu bytes", path, sizeof(to.sun_path));
    strcpy(to.sun_path, path);
    vu = calloc(1, sizeof(*vu));
    if (!vu)
        return sq_err_set(err, SQUIB_E_NOMEM, "vhost-user: out of memory");
    vu->fd = sq_sock_unix(false);
    if (vu->fd >= 0) {
        setsockopt(vu->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
        setsockopt(vu->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    }
    if (vu->fd < 0 ||
        connect(vu->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        rc = sq_err_os(err, errno == ENOENT ? SQUIB_E_NOTFOUND : SQUIB_E_OS,
                       errno, "vhost-user socket %s", path);
    if (!rc)
        rc = negotiate(vu, err);
    if (rc) {
        sq_vhost_user_free(vu);
        return rc;
    }
    *out = vu;
    return 0;
}

void sq_vhost_user_free(struct sq_vhost_user *vu)
{
    if (vu && vu->fd >= 0)
        close(vu->fd);
    free(vu);
}

uint64_t sq_vhost_user_features(const struct sq_vhost_user *vu)
{
    return vu->features;
}

int sq_vhost_user_fd(const struct sq_vhost_user *vu)
{
    return vu->fd;
}

int sq_vhost_user_config(struct sq_vhost_user *vu, void *out, uint32_t len,
                         struct squib_error *err)
{
    struct message m = {.request = GET_CONFIG, .len = 12 + len};
    int rc;

    if (len > CONFIG_MAX)
        return sq_err_set(err, SQUIB_E_INVAL, "vhost-user: %u bytes are too "
                          "many", len);
    sq_st32(m.payload, 0);
    sq_st32(m.payload + 4, len);
    rc = ask(vu, &m, err);
    if (!rc && m.len != 12 + len)
        return broke(vu, err, 0, "the configuration has the wrong length");
    if (!rc)
        memcpy(out, m.payload + 12, len);
    return rc;
}

/* ---- The queue ---- */

static unsigned part_count(const struct squib_memory *mem)
{
    unsigned n = 1; /* the queue's */

    for (size_t i = 0; i < sq_memory_region_count(mem); i++)
        n += !sq_memory_region_at(mem, i)->lent;
    return n;
}

/* The queue's, then those of memory. */
static void list_parts(const struct squib_memory *mem,
                       const struct sq_vhost_user_ring *ring,
                       struct part part[PARTS_MAX])
{
    *part++ = (struct part){RING_GPA, ring->len, ring->hva, ring->fd};
    for (size_t i = 0; i < sq_memory_region_count(mem); i++) {
        const struct sq_memory_region *r = sq_memory_region_at(mem, i);

        if (!r->lent)
            *part++ = (struct part){r->gpa, r->len, r->hva, r->fd};
    }
}

/* 32 bytes; the file is mapped from its begin. */
static void describe(const struct part *part, uint8_t *out)
{
    sq_st64(out, part->gpa);
    sq_st64(out + 8, part->len);
    sq_st64(out + 16, (uintptr_t)part->hva);
    sq_st64(out + 24, 0);
}

static int share_table(struct sq_vhost_user *vu, const struct part *part,
                       unsigned count, struct squib_error *err)
{
    struct message m = {
        .request = SET_MEM_TABLE, .len = 8 + 32 * count, .fd_count = count};

    _Static_assert(8 + 32 * TABLE_MAX <= PAYLOAD_MAX,
                   "all parts fit a message");
    sq_st32(m.payload, count);
    for (unsigned i = 0; i < count; i++) {
        describe(&part[i], m.payload + 8 + 32 * i);
        m.fd[i] = part[i].fd;
    }
    return tell(vu, &m, err);
}

static int share_one(struct sq_vhost_user *vu, const struct part *part,
                     bool add, struct squib_error *err)
{
    struct message m = {
        .request = add ? ADD_MEM_REG : REM_MEM_REG,
        .len = 40,
        .fd = {part->fd},
        .fd_count = add,
    };

    describe(part, m.payload + 8);
    return tell(vu, &m, err);
}

int sq_vhost_user_can_share(const struct sq_vhost_user *vu,
                            const struct squib_memory *mem,
                            struct squib_error *err)
{
    unsigned count = part_count(mem);
    uint64_t most = vu->slots > TABLE_MAX ? vu->slots : TABLE_MAX;

    if (count <= most)
        return 0;
    return sq_err_set(err, SQUIB_E_RANGE, "vhost-user: the back end takes %u "
                      "parts of memory at most, and there are %u\n  do: give "
                      "the machine less memory to plug, in larger slots",
                      (unsigned)(most - 1), count - 1);
}

static int share_memory(struct sq_vhost_user *vu,
                        const struct squib_memory *mem,
                        const struct sq_vhost_user_ring *ring,
                        struct squib_error *err)
{
    struct part part[PARTS_MAX];
    unsigned count = part_count(mem);
    int rc = sq_vhost_user_can_share(vu, mem, err);

    if (rc)
        return rc;
    list_parts(mem, ring, part);
    if (count <= TABLE_MAX)
        return share_table(vu, part, count, err);
    for (unsigned i = 0; i < count && !rc; i++) {
        rc = share_one(vu, &part[i], true, err);
        if (!rc)
            vu->added[vu->added_count++] = part[i];
    }
    return rc;
}

/* A table is replaced by the next; what was added stays until it is removed.
 */
static int unshare_memory(struct sq_vhost_user *vu, struct squib_error *err)
{
    int rc = 0;

    for (; vu->added_count && !rc; vu->added_count--)
        rc = share_one(vu, &vu->added[vu->added_count - 1], false, err);
    return rc;
}

int sq_vhost_user_start(struct sq_vhost_user *vu, uint64_t features,
                        const struct squib_memory *mem,
                        const struct sq_vhost_user_ring *ring,
                        struct squib_error *err)
{
    struct message where = {.request = SET_VRING_ADDR, .len = 40};
    int rc = set_u64(vu, SET_FEATURES,
                     (features & vu->features) | F_PROTOCOL_FEATURES, err);

    sq_st64(where.payload, 0);
    sq_st64(where.payload + 8, (uintptr_t)ring->hva + ring->desc_off);
    sq_st64(where.payload + 16, (uintptr_t)ring->hva + ring->used_off);
    sq_st64(where.payload + 24, (uintptr_t)ring->hva + ring->avail_off);
    sq_st64(where.payload + 32, 0);
    if (!rc)
        rc = share_memory(vu, mem, ring, err);
    if (!rc)
        rc = set_vring(vu, SET_VRING_NUM, ring->size, err);
    if (!rc)
        rc = set_vring(vu, SET_VRING_BASE, 0, err);
    if (!rc)
        rc = tell(vu, &where, err);
    if (!rc)
        rc = set_event(vu, SET_VRING_CALL, ring->call_fd, err);
    if (!rc)
        rc = set_event(vu, SET_VRING_KICK, ring->kick_fd, err);
    return rc ? rc : set_vring(vu, SET_VRING_ENABLE, 1, err);
}

int sq_vhost_user_stop(struct sq_vhost_user *vu, struct squib_error *err)
{
    struct message m = {.request = GET_VRING_BASE, .len = 8};
    int rc = ask(vu, &m, err);

    if (!rc && m.len != 8)
        return broke(vu, err, 0, "an answer has the wrong length");
    return rc ? rc : unshare_memory(vu, err);
}
