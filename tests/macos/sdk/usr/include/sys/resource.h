/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_RESOURCE_H
#define SQ_MACOS_SYS_RESOURCE_H

#include <stdint.h>

typedef uint64_t rlim_t;
struct rlimit {
    rlim_t rlim_cur, rlim_max;
};
#define RLIMIT_CORE 4
int setrlimit(int resource, const struct rlimit *limit);

#endif
