/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/cond.h"

#include <errno.h>
#include <time.h>

void sq_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool sq_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock,
                        uint64_t until_ns)
{
    const struct timespec ts = {
        .tv_sec = (time_t)(until_ns / 1000000000u),
        .tv_nsec = (long)(until_ns % 1000000000u),
    };

    return pthread_cond_timedwait(cond, lock, &ts) != ETIMEDOUT;
}
