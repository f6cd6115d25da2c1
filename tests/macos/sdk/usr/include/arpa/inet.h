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
