/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/host.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

size_t sq_host_self(char *buf, size_t buf_len)
{
    ssize_t n = readlink("/proc/self/exe", buf, buf_len);

    if (n <= 0 || (size_t)n >= buf_len)
        n = 0;
    if (buf_len)
        buf[n] = '\0';
    return (size_t)n;
}

uint64_t sq_host_free_memory(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    unsigned long long kib = 0;

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib * 1024;
}

const char *sq_host_errno_text(int os_errno)
{
    return strerrordesc_np(os_errno);
}

void sq_host_name_thread(pthread_t thread, const char *name)
{
    pthread_setname_np(thread, name);
}
