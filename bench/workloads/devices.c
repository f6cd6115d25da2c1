/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's disk, network and vsock, as a program uses them:
 *
 *   disk PATH read|write seq|rand BLOCK THREADS COUNT
 *                            COUNT blocks by each thread, past the page cache
 *   up ADDRESS               gives eth0 an address, /24
 *   tcp ADDRESS PORT send|recv BYTES
 *   vsock PORT send|recv BYTES            to the host
 *
 * Who is sent to answers with one byte when all has come; who sends closes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define THREADS_MAX 16u
#define BLOCK_MAX (4u * 1024 * 1024)
#define CHUNK (256u * 1024)

/* musl has no <linux/vm_sockets.h>. */
struct vsock_address {
    sa_family_t family;
    uint16_t reserved;
    uint32_t port, cid;
    uint8_t zero[4];
};
#define VSOCK_CID_HOST 2u

/* --- disk --------------------------------------------------------------- */

struct disk_job {
    pthread_t thread;
    int fd;
    int write, random;
    uint32_t block, count, number;
    uint64_t blocks; /* of the disk */
    int error;
};

static void *disk_main(void *arg)
{
    struct disk_job *job = arg;
    uint64_t seed = job->number + 1, at = (uint64_t)job->number * job->count;
    void *buffer;

    if (posix_memalign(&buffer, 4096, job->block) != 0) {
        job->error = ENOMEM;
        return NULL;
    }
    memset(buffer, 0x5a, job->block);
    for (uint32_t i = 0; i < job->count && !job->error; i++, at++) {
        uint64_t block = job->random ? bench_random(&seed) >> 16 : at;
        off_t offset = (off_t)(block % job->blocks * job->block);
        ssize_t n = job->write
                        ? pwrite(job->fd, buffer, job->block, offset)
                        : pread(job->fd, buffer, job->block, offset);

        if (n != (ssize_t)job->block)
            job->error = n < 0 ? errno : EIO;
    }
    free(buffer);
    return NULL;
}

static const char *disk(const char *path, int write, int random,
                        uint32_t block, uint32_t threads, uint32_t count,
                        struct result *r)
{
    struct disk_job jobs[THREADS_MAX];
    int fd, error = 0;
    off_t len;

    if (threads == 0 || threads > THREADS_MAX || block == 0 ||
        block > BLOCK_MAX)
        return "too many threads, or too large a block";
    fd = open(path, (write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    if (fd < 0)
        return strerror(errno);
    len = lseek(fd, 0, SEEK_END);
    if (len < (off_t)block) {
        close(fd);
        return "the disk is smaller than a block";
    }
    r->wall_ns = bench_now_ns();
    for (uint32_t i = 0; i < threads; i++) {
        jobs[i] = (struct disk_job){
            .fd = fd, .write = write, .random = random, .block = block,
            .count = count, .number = i, .blocks = (uint64_t)len / block,
        };
        if (pthread_create(&jobs[i].thread, NULL, disk_main, &jobs[i]) != 0) {
            threads = i;
            error = EAGAIN;
        }
    }
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(jobs[i].thread, NULL);
        if (jobs[i].error)
            error = jobs[i].error;
    }
    if (write && !error && fsync(fd) != 0)
        error = errno;
    r->wall_ns = bench_now_ns() - r->wall_ns;
    r->sum = (uint64_t)block * threads * count;
    close(fd);
    return error ? strerror(error) : NULL;
}

/* --- network ------------------------------------------------------------ */

static const char *interface_up(const char *ip)
{
    struct ifreq ifr = {.ifr_name = "eth0"};
    struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;

    if (fd < 0)
        return strerror(errno);
    in->sin_family = AF_INET;
    rc = inet_pton(AF_INET, ip, &in->sin_addr) == 1
             ? ioctl(fd, SIOCSIFADDR, &ifr)
             : -1;
    in->sin_addr.s_addr = htonl(0xffffff00);
    if (rc == 0)
        rc = ioctl(fd, SIOCSIFNETMASK, &ifr);
    ifr.ifr_flags = IFF_UP | IFF_RUNNING;
    if (rc == 0)
        rc = ioctl(fd, SIOCSIFFLAGS, &ifr);
    close(fd);
    return rc == 0 ? NULL : "eth0 cannot be given this address";
}

static int stream(int fd, int send, uint64_t bytes)
{
    static uint8_t chunk[CHUNK];
    uint64_t done = 0;
    ssize_t n;

    while (done < bytes) {
        size_t len = bytes - done < CHUNK ? (size_t)(bytes - done) : CHUNK;

        n = send ? write(fd, chunk, len) : read(fd, chunk, len);
        if (n <= 0)
            return n < 0 ? errno : EPIPE;
        done += (uint64_t)n;
    }
    if (send) {
        n = read(fd, chunk, 1);
        if (n != 1)
            return n < 0 ? errno : EPIPE;
    }
    return 0;
}

static const char *connect_and_stream(const struct sockaddr *to,
                                      socklen_t to_len, const char *way,
                                      uint64_t bytes, struct result *r)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;

    if (fd < 0)
        return strerror(errno);
    if (connect(fd, to, to_len) != 0)
        error = errno;
    r->wall_ns = bench_now_ns();
    if (!error)
        error = stream(fd, strcmp(way, "send") == 0, bytes);
    r->wall_ns = bench_now_ns() - r->wall_ns;
    r->sum = bytes;
    close(fd);
    return error ? strerror(error) : NULL;
}

const char *bench_device(const char *line, struct result *r)
{
    char path[64], way[8], order[8];
    unsigned block, threads, count, port;
    unsigned long long bytes;

    if (sscanf(line, "disk %63s %7s %7s %u %u %u", path, way, order, &block,
               &threads, &count) == 6)
        return disk(path, strcmp(way, "write") == 0,
                    strcmp(order, "rand") == 0, block, threads, count, r);
    if (sscanf(line, "up %63s", path) == 1)
        return interface_up(path);
    if (sscanf(line, "tcp %63s %u %7s %llu", path, &port, way, &bytes) == 4) {
        struct sockaddr_in in = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port)};

        if (inet_pton(AF_INET, path, &in.sin_addr) != 1)
            return "no such address";
        return connect_and_stream((const struct sockaddr *)&in, sizeof(in),
                                  way, bytes, r);
    }
    if (sscanf(line, "vsock %u %7s %llu", &port, way, &bytes) == 3) {
        const struct vsock_address vm = {
            .family = AF_VSOCK, .port = port, .cid = VSOCK_CID_HOST};

        return connect_and_stream((const struct sockaddr *)&vm, sizeof(vm),
                                  way, bytes, r);
    }
    return "";
}

void bench_load_modules(void)
{
    char path[16];

    for (unsigned i = 0;; i++) {
        int fd;

        snprintf(path, sizeof(path), "/ko/%u", i);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return;
        if (syscall(SYS_finit_module, fd, "", 0) != 0)
            fprintf(stderr, "squib-bench: %s: %s\n", path, strerror(errno));
        close(fd);
    }
}
