/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's network interface, when the host says what to make of it. */
#ifndef SQUIB_GUEST_NET_H
#define SQUIB_GUEST_NET_H

#include <stdint.h>

/* All in network byte order; 0 where there is none. */
struct net_plan {
    uint32_t address, mask, router, nameserver;
};

/* "ADDRESS/PREFIX[,ROUTER[,NAMESERVER]]", which is modified. 0, or -1. */
int net_parse(char *text, struct net_plan *plan);

/* Gives eth0 its address and route, and the system its name server: in
 * /etc/resolv.conf, which is covered for this boot and not changed when it
 * is there already. What fails is said on the console. In the final root,
 * with /run mounted. `setting` as for net_parse(). */
void net_up(const char *setting);

#endif
