/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_MACH_MACH_H
#define SQ_MACOS_MACH_MACH_H

#include <sq_macos.h>

typedef uint32_t mach_port_t;
typedef int kern_return_t;
typedef uint32_t mach_msg_type_number_t;
typedef int *host_info64_t;
#define KERN_SUCCESS 0
#define HOST_VM_INFO64 4
typedef struct {
    uint32_t free_count, active_count, inactive_count, wire_count;
    uint64_t counters[9];
    uint32_t purgeable_count, speculative_count;
    uint64_t more[4];
    uint32_t compressor_page_count, throttled_count, external_page_count;
    uint32_t internal_page_count;
    uint64_t total_uncompressed;
} vm_statistics64_data_t;
#define HOST_VM_INFO64_COUNT                                               \
    ((mach_msg_type_number_t)(sizeof(vm_statistics64_data_t) / sizeof(int)))
mach_port_t mach_host_self(void);
kern_return_t host_statistics64(mach_port_t host, int flavor,
                                host_info64_t info,
                                mach_msg_type_number_t *count);

#endif
