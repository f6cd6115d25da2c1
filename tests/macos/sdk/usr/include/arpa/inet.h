/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_ARPA_INET_H
#define SQ_MACOS_ARPA_INET_H

#include <sys/socket.h>

struct in_addr {
    uint32_t s_addr;
};
struct in6_addr {
    uint8_t s6_addr[16];
};
struct sockaddr_in {
    uint8_t sin_len;
    sa_family_t sin_family;
    uint16_t sin_port;
    struct in_addr sin_addr;
    char sin_zero[8];
};
struct sockaddr_in6 {
    uint8_t sin6_len;
    sa_family_t sin6_family;
    uint16_t sin6_port;
    uint32_t sin6_flowinfo;
    struct in6_addr sin6_addr;
    uint32_t sin6_scope_id;
};
#define IPPROTO_TCP 6
#define INADDR_LOOPBACK 0x7f000001u
int inet_pton(int family, const char *text, void *out);
const char *inet_ntop(int family, const void *addr, char *text,
                      socklen_t len);
#define INET_ADDRSTRLEN 16
#define INET6_ADDRSTRLEN 46
#define htons(v) __builtin_bswap16(v)
#define ntohs(v) __builtin_bswap16(v)
#define htonl(v) __builtin_bswap32(v)
#define ntohl(v) __builtin_bswap32(v)

#endif
