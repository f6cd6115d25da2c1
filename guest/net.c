/* SPDX-License-Identifier: Apache-2.0 */
#include "net.h"

#include "text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define INTERFACE "eth0"
#define RESOLVER "/etc/resolv.conf"
#define OURS "/run/squib-resolv.conf"

static int take_address(const char *text, uint32_t *address)
{
    struct in_addr in;

    if (!text || !inet_aton(text, &in))
        return -1;
    *address = in.s_addr;
    return 0;
}

int net_parse(char *text, struct net_plan *plan)
{
    char *save = NULL, *end;
    char *address = strtok_r(text, ",", &save);
    char *router = strtok_r(NULL, ",", &save);
    char *nameserver = strtok_r(NULL, ",", &save);
    char *slash = address ? strchr(address, '/') : NULL;
    unsigned long prefix;

    memset(plan, 0, sizeof(*plan));
    if (!slash || strtok_r(NULL, ",", &save))
        return -1;
    *slash = 0;
    prefix = strtoul(slash + 1, &end, 10);
    if (end == slash + 1 || *end || prefix < 1 || prefix > 32)
        return -1;
    plan->mask = htonl((uint32_t)(0xffffffffu << (32 - prefix)));
    if (take_address(address, &plan->address) ||
        (router && take_address(router, &plan->router)) ||
        (nameserver && take_address(nameserver, &plan->nameserver)))
        return -1;
    return 0;
}

static void set_address(struct sockaddr *to, uint32_t address)
{
    struct sockaddr_in in = { .sin_family = AF_INET };

    in.sin_addr.s_addr = address;
    memcpy(to, &in, sizeof(in));
}

/* Address, mask, up, route: one errno for whatever fails first. */
static int configure(int fd, const struct net_plan *plan)
{
    struct ifreq request;
    struct rtentry route;

    memset(&request, 0, sizeof(request));
    strcpy(request.ifr_name, INTERFACE);
    set_address(&request.ifr_addr, plan->address);
    if (ioctl(fd, SIOCSIFADDR, &request))
        return errno;
    set_address(&request.ifr_netmask, plan->mask);
    if (ioctl(fd, SIOCSIFNETMASK, &request))
        return errno;
    memset(&request.ifr_ifru, 0, sizeof(request.ifr_ifru));
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request))
        return errno;
    if (!plan->router)
        return 0;
    memset(&route, 0, sizeof(route));
    set_address(&route.rt_dst, 0);
    set_address(&route.rt_genmask, 0);
    set_address(&route.rt_gateway, plan->router);
    route.rt_flags = RTF_UP | RTF_GATEWAY;
    route.rt_dev = (char *)INTERFACE;
    return ioctl(fd, SIOCADDRT, &route) ? errno : 0;
}

static int write_file(const char *path, const char *text)
{
    size_t len = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int error = fd < 0 || write(fd, text, len) != (ssize_t)len ? errno : 0;

    if (fd >= 0)
        close(fd);
    return error;
}

/* The file may belong to a disk that keeps what is written, be read-only,
 * or be a link to nothing. */
static int use_nameserver(uint32_t nameserver)
{
    struct in_addr in = { .s_addr = nameserver };
    char text[48] = "nameserver ";
    int error;

    strcat(text, inet_ntoa(in));
    strcat(text, "\n");
    mkdir("/run", 0755);
    error = write_file(OURS, text);
    if (error)
        return error;
    chmod(OURS, 0644);
    if (!mount(OURS, RESOLVER, NULL, MS_BIND, NULL))
        return 0;
    if (errno != ENOENT)
        return errno;
    mkdir("/etc", 0755);
    unlink(RESOLVER);
    return write_file(RESOLVER, text);
}

void net_up(const char *setting)
{
    char text[64];
    struct net_plan plan;
    int fd, error;

    if (strlen(setting) >= sizeof(text) ||
        net_parse(strcpy(text, setting), &plan)) {
        say("net=", setting, " is not ADDRESS/PREFIX[,ROUTER[,NAMESERVER]]",
            NULL);
        return;
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    error = fd < 0 ? errno : configure(fd, &plan);
    if (fd >= 0)
        close(fd);
    if (error)
        say("cannot configure " INTERFACE ": ", strerror(error), NULL);
    if (plan.nameserver && (error = use_nameserver(plan.nameserver)))
        say("cannot set the name server: ", strerror(error), NULL);
}
