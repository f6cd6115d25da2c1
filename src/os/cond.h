/* SPDX-License-Identifier: Apache-2.0 */
/* Condition variables with deadlines of the monotonic clock. */
#ifndef SQ_OS_COND_H
#define SQ_OS_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* As pthread_cond_init(), for sq_cond_wait_until(). */
void sq_cond_init(pthread_cond_t *cond);

/* Waits, with the lock held, at most until the clock of sq_now_ns() says
 * until_ns; false when it did. May return early for no reason. */
bool sq_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock,
                        uint64_t until_ns);

#endif
