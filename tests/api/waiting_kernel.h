/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_TESTS_WAITING_KERNEL_H
#define SQ_TESTS_WAITING_KERNEL_H

#include <stdbool.h>

/* Writes a 64-bit kernel that waits for interrupts with none enabled. */
bool write_waiting_kernel(const char *path);

#endif
