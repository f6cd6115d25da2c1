/* SPDX-License-Identifier: Apache-2.0 */
#include "os/host.h"

#include <limits.h>
#include <mach-o/dyld.h>
#include <mach/mach.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t sq_host_self(char *buf, size_t buf_len)
{
    char given[PATH_MAX], real[PATH_MAX];
    uint32_t given_len = sizeof(given);

    if (buf_len == 0)
        return 0;
    buf[0] = '\0';
    if (_NSGetExecutablePath(given, &given_len) != 0 ||
        !realpath(given, real) || strlen(real) >= buf_len)
        return 0;
    memcpy(buf, real, strlen(real) + 1);
    return strlen(real);
}

uint64_t sq_host_free_memory(void)
{
    vm_statistics64_data_t stat;
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;

    if (host_statistics64(mach_host_self(), HOST_VM_INFO64,
                          (host_info64_t)&stat, &count) != KERN_SUCCESS)
        return 0;
    return ((uint64_t)stat.free_count + stat.inactive_count) *
           (uint64_t)getpagesize();
}

const char *sq_host_errno_text(int os_errno)
{
    return strerror(os_errno); /* no locale is ever set */
}

void sq_host_name_thread(pthread_t thread, const char *name)
{
    if (pthread_equal(thread, pthread_self()))
        pthread_setname_np(name);
}
