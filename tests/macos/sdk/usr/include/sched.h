/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SCHED_H
#define SQ_MACOS_SCHED_H

int sched_yield(void);

#endif
