/* SPDX-License-Identifier: Apache-2.0 */
/* macOS has no choice of clock for them, but a wait of some length. */
#include "os/cond.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

#include "os/clock.h"

void sq_cond_init(pthread_cond_t *cond)
{
    pthread_cond_init(cond, NULL);
}

bool sq_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock,
                        uint64_t until_ns)
{
    uint64_t now = sq_now_ns(), left = until_ns > now ? until_ns - now : 0;
    const struct timespec ts = {
        .tv_sec = (time_t)(left / 1000000000u),
        .tv_nsec = (long)(left % 1000000000u),
    };

    return pthread_cond_timedwait_relative_np(cond, lock, &ts) != ETIMEDOUT;
}
