/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet, ARP (RFC 826) and IPv4 (RFC 791) around the connections. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "mmds/tcp.h"
#include "os/clock.h"

#define CONNECTIONS_MAX 30u
#define RESETS_MAX 100u
/* A connection that was silent for so long makes room for a new one. */
#define IDLE_NS 10000000000ull
#define PORT 80u

#define ETH_LEN 14u
#define ARP_LEN 28u
#define IP_LEN 20u
#define TCP_LEN 20u
#define TYPE_IPV4 0x0800u
#define TYPE_ARP 0x0806u
#define PROTOCOL_TCP 6u
#define ARP_REQUEST 1u
#define ARP_REPLY 2u

/* The service's hardware address, the same in every guest. */
static const uint8_t our_mac[6] = {0x06, 0x01, 0x23, 0x45, 0x67, 0x01};

/* What is owed to somebody who is not connected. */
struct reset {
    uint8_t guest_ip[4], guest_mac[6];
    struct sq_mmds_segment s;
};

struct sq_mmds_net {
    struct sq_mmds *m;
    bool arp_due;
    uint8_t arp_ip[4], arp_mac[6]; /* who asked */
    uint16_t ip_id;
    unsigned turn; /* the connection that is looked at next */
    unsigned reset_at, reset_count;
    struct reset reset[RESETS_MAX];
    struct sq_mmds_conn conn[CONNECTIONS_MAX];
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

int sq_mmds_net_new(struct sq_mmds *m, struct sq_mmds_net **out,
                    struct squib_error *err)
{
    struct sq_mmds_net *net = calloc(1, sizeof(*net));

    if (!net)
        return sq_err_set(err, SQUIB_E_NOMEM, "metadata: out of memory");
    net->m = m;
    *out = net;
    return 0;
}

void sq_mmds_net_free(struct sq_mmds_net *net)
{
    if (!net)
        return;
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        sq_mmds_conn_close(net->m, &net->conn[i]);
    free(net);
}

/* ---- From the guest ---- */

static bool is_ours(const struct sq_mmds_net *net, const uint8_t *ipv4)
{
    return sq_ld32(ipv4) == atomic_load(&net->m->ipv4);
}

bool sq_mmds_net_wants(struct sq_mmds_net *net, const uint8_t *head,
                       size_t len)
{
    if (len < ETH_LEN + IP_LEN)
        return false;
    switch (get16(head + 12)) {
    case TYPE_IPV4:
        return is_ours(net, head + ETH_LEN + 16);
    case TYPE_ARP:
        return len >= ETH_LEN + ARP_LEN && is_ours(net, head + ETH_LEN + 24);
    default:
        return false;
    }
}

static bool take_arp(struct sq_mmds_net *net, const uint8_t *arp, size_t len)
{
    /* Ethernet, IPv4, their lengths, a question. */
    static const uint8_t kind[8] = {0, 1, 8, 0, 6, 4, 0, ARP_REQUEST};

    if (len < ARP_LEN || memcmp(arp, kind, sizeof(kind)) != 0)
        return false;
    memcpy(net->arp_mac, arp + 8, sizeof(net->arp_mac));
    memcpy(net->arp_ip, arp + 14, sizeof(net->arp_ip));
    net->arp_due = true;
    return true;
}

/* RFC 9293, section 3.5.2: so that it makes sense to whoever sent `s`. */
static void owe_reset(struct sq_mmds_net *net, const uint8_t *frame,
                      const struct sq_mmds_segment *s, uint16_t our_port)
{
    struct reset *r;

    if ((s->flags & SQ_MMDS_TCP_RST) || net->reset_count == RESETS_MAX)
        return;
    r = &net->reset[(net->reset_at + net->reset_count++) % RESETS_MAX];
    memcpy(r->guest_mac, frame + 6, sizeof(r->guest_mac));
    memcpy(r->guest_ip, frame + ETH_LEN + 12, sizeof(r->guest_ip));
    r->s = (struct sq_mmds_segment){
        .guest_port = s->guest_port,
        /* No window in a reset; the field carries our port here. */
        .window = our_port,
        .flags = SQ_MMDS_TCP_RST,
    };
    if (s->flags & SQ_MMDS_TCP_ACK) {
        r->s.seq = s->ack;
    } else {
        r->s.flags |= SQ_MMDS_TCP_ACK;
        r->s.ack = s->seq + (uint32_t)s->len +
                   ((s->flags & SQ_MMDS_TCP_SYN) ? 1 : 0) +
                   ((s->flags & SQ_MMDS_TCP_FIN) ? 1 : 0);
    }
}

static uint16_t find_mss(const uint8_t *options, size_t len)
{
    for (size_t i = 0; i < len && options[i] != 0;) {
        if (options[i] == 1) {
            i++;
            continue;
        }
        if (i + 2 > len || options[i + 1] < 2 || options[i + 1] > len - i)
            break;
        if (options[i] == 2 && options[i + 1] == 4)
            return get16(options + i + 2);
        i += options[i + 1];
    }
    return 0;
}

static struct sq_mmds_conn *find_conn(struct sq_mmds_net *net,
                                      const uint8_t *ip, uint16_t port)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct sq_mmds_conn *c = &net->conn[i];

        if (c->state != SQ_MMDS_TCP_CLOSED && c->guest_port == port &&
            memcmp(c->guest_ip, ip, sizeof(c->guest_ip)) == 0)
            return c;
    }
    return NULL;
}

/* A free place, or that of the connection that was silent for longest. */
static struct sq_mmds_conn *place(struct sq_mmds_net *net, uint64_t now_ns)
{
    struct sq_mmds_conn *oldest = &net->conn[0];

    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct sq_mmds_conn *c = &net->conn[i];

        if (c->state == SQ_MMDS_TCP_CLOSED)
            return c;
        if (c->active_ns < oldest->active_ns)
            oldest = c;
    }
    if (now_ns - oldest->active_ns < IDLE_NS)
        return NULL;
    sq_mmds_conn_close(net->m, oldest);
    return oldest;
}

static void take_segment(struct sq_mmds_net *net, const uint8_t *frame,
                         const struct sq_mmds_segment *s, uint16_t our_port)
{
    struct sq_mmds_counters *counters = &net->m->counters;
    const uint8_t *ip = frame + ETH_LEN + 12;
    struct sq_mmds_conn *c = find_conn(net, ip, s->guest_port);
    uint64_t now_ns = sq_now_ns();
    uint32_t isn = 0;

    if (our_port != PORT) {
        owe_reset(net, frame, s, our_port);
        return;
    }
    if (c) {
        c->active_ns = now_ns;
        sq_mmds_conn_take(net->m, c, s);
        return;
    }
    if ((s->flags & (SQ_MMDS_TCP_SYN | SQ_MMDS_TCP_ACK | SQ_MMDS_TCP_RST |
                     SQ_MMDS_TCP_FIN)) == SQ_MMDS_TCP_SYN)
        c = place(net, now_ns);
    if (!c || getentropy(&isn, sizeof(isn)) != 0) {
        owe_reset(net, frame, s, our_port);
        return;
    }
    sq_mmds_conn_open(c, s, isn);
    memcpy(c->guest_ip, ip, sizeof(c->guest_ip));
    memcpy(c->guest_mac, frame + 6, sizeof(c->guest_mac));
    c->active_ns = now_ns;
    sq_mmds_count(&counters->connections_created, 1);
}

static bool take_ip(struct sq_mmds_net *net, const uint8_t *frame, size_t len)
{
    const uint8_t *ip = frame + ETH_LEN, *tcp;
    size_t header, total, options;
    struct sq_mmds_segment s;

    len -= ETH_LEN;
    header = (size_t)(ip[0] & 15) * 4;
    total = get16(ip + 2);
    /* Version 4, room for both headers, no part of something larger. A
     * frame may have padding behind the packet. */
    if (ip[0] >> 4 != 4 || header < IP_LEN || total > len ||
        total < header + TCP_LEN || (get16(ip + 6) & 0x3fff) ||
        ip[9] != PROTOCOL_TCP)
        return false;
    tcp = ip + header;
    total -= header;
    options = (size_t)(tcp[12] >> 4) * 4;
    if (options < TCP_LEN || options > total)
        return false;
    s = (struct sq_mmds_segment){
        .guest_port = get16(tcp),
        .seq = get32(tcp + 4),
        .ack = get32(tcp + 8),
        .flags = tcp[13],
        .window = get16(tcp + 14),
        .mss = find_mss(tcp + TCP_LEN, options - TCP_LEN),
        .data = tcp + options,
        .len = total - options,
    };
    take_segment(net, frame, &s, get16(tcp + 2));
    return true;
}

void sq_mmds_net_take(struct sq_mmds_net *net, const uint8_t *frame,
                      size_t len)
{
    struct sq_mmds_counters *counters = &net->m->counters;
    bool ok = false;

    if (len < ETH_LEN + IP_LEN) {
        sq_mmds_count(&counters->rx_bad_eth, 1);
        return;
    }
    sq_mmds_count(&counters->rx_accepted, 1);
    if (get16(frame + 12) == TYPE_ARP)
        ok = take_arp(net, frame + ETH_LEN, len - ETH_LEN);
    else if (get16(frame + 12) == TYPE_IPV4)
        ok = take_ip(net, frame, len);
    sq_mmds_count(ok ? &counters->rx_count : &counters->rx_accepted_err, 1);
}

/* ---- To the guest ---- */

static uint32_t add_sum(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += get16(p + i);
    if (len & 1)
        sum += (uint32_t)p[len - 1] << 8;
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void write_eth(uint8_t *frame, const uint8_t *to, unsigned type)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, our_mac, 6);
    put16(frame + 12, type);
}

static size_t write_arp(struct sq_mmds_net *net, uint8_t *frame)
{
    static const uint8_t kind[8] = {0, 1, 8, 0, 6, 4, 0, ARP_REPLY};
    uint8_t *arp = frame + ETH_LEN;

    write_eth(frame, net->arp_mac, TYPE_ARP);
    memcpy(arp, kind, sizeof(kind));
    memcpy(arp + 8, our_mac, 6);
    sq_st32(arp + 14, atomic_load(&net->m->ipv4));
    memcpy(arp + 18, net->arp_mac, 6);
    memcpy(arp + 24, net->arp_ip, 4);
    return ETH_LEN + ARP_LEN;
}

static size_t write_segment(struct sq_mmds_net *net, uint8_t *frame,
                            const uint8_t *mac, const uint8_t *guest_ip,
                            uint16_t our_port,
                            const struct sq_mmds_segment *s)
{
    size_t header = TCP_LEN + (s->mss ? 4 : 0), total = header + s->len;
    uint8_t *ip = frame + ETH_LEN, *tcp = ip + IP_LEN;

    write_eth(frame, mac, TYPE_IPV4);
    memset(ip, 0, IP_LEN + header);
    ip[0] = 0x45;
    put16(ip + 2, (uint32_t)(IP_LEN + total));
    put16(ip + 4, net->ip_id++);
    put16(ip + 6, 0x4000); /* do not fragment */
    ip[8] = 64;
    ip[9] = PROTOCOL_TCP;
    sq_st32(ip + 12, atomic_load(&net->m->ipv4));
    memcpy(ip + 16, guest_ip, 4);
    put16(ip + 10, fold(add_sum(0, ip, IP_LEN)));

    put16(tcp, our_port);
    put16(tcp + 2, s->guest_port);
    put32(tcp + 4, s->seq);
    put32(tcp + 8, s->ack);
    tcp[12] = (uint8_t)(header / 4 << 4);
    tcp[13] = s->flags;
    put16(tcp + 14, s->window);
    if (s->mss) {
        tcp[20] = 2;
        tcp[21] = 4;
        put16(tcp + 22, s->mss);
    }
    if (s->len)
        memcpy(tcp + header, s->data, s->len);
    put16(tcp + 16,
          fold(add_sum(add_sum(PROTOCOL_TCP + (uint32_t)total, ip + 12, 8),
                       tcp, total)));
    sq_mmds_count(&net->m->counters.tx_bytes, s->len);
    return ETH_LEN + IP_LEN + total;
}

static size_t next(struct sq_mmds_net *net, uint8_t *frame)
{
    struct sq_mmds_segment s;

    if (net->arp_due) {
        net->arp_due = false;
        return write_arp(net, frame);
    }
    if (net->reset_count) {
        struct reset *r = &net->reset[net->reset_at];
        uint16_t our_port = r->s.window;

        net->reset_at = (net->reset_at + 1) % RESETS_MAX;
        net->reset_count--;
        r->s.window = 0;
        return write_segment(net, frame, r->guest_mac, r->guest_ip,
                             our_port, &r->s);
    }
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        struct sq_mmds_conn *c = &net->conn[net->turn];

        net->turn = (net->turn + 1) % CONNECTIONS_MAX;
        if (sq_mmds_conn_next(net->m, c, &s))
            return write_segment(net, frame, c->guest_mac, c->guest_ip,
                                 PORT, &s);
    }
    return 0;
}

size_t sq_mmds_net_next(struct sq_mmds_net *net, uint8_t *frame, size_t cap)
{
    struct sq_mmds_counters *counters = &net->m->counters;
    size_t len;

    if (cap < ETH_LEN + IP_LEN + TCP_LEN + 4 + SQ_MMDS_MSS_MAX) {
        sq_mmds_count(&counters->tx_errors, 1);
        return 0;
    }
    len = next(net, frame);
    if (len) {
        sq_mmds_count(&counters->tx_frames, 1);
        sq_mmds_count(&counters->tx_count, 1);
    }
    return len;
}
