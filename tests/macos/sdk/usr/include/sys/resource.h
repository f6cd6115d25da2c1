/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_RESOURCE_H
#define SQ_MACOS_SYS_RESOURCE_H

#include <stdint.h>

struct rlimit {
    uint64_t rlim_cur, rlim_max;
};
#define RLIMIT_CORE 4
int setrlimit(int which, const struct rlimit *limit);

#endif
