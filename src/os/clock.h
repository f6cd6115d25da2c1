/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, in nanoseconds. Any thread. */
#ifndef SQ_OS_CLOCK_H
#define SQ_OS_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC: what every *_ns deadline in this program means. */
static inline uint64_t sq_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Wall clock since the epoch. */
static inline uint64_t sq_wall_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* CPU time of the calling thread and of the process. */
static inline uint64_t sq_process_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

#endif
