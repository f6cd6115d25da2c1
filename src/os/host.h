/* SPDX-License-Identifier: Apache-2.0 */
/* What a program may ask its host about itself and the machine. */
#ifndef SQ_OS_HOST_H
#define SQ_OS_HOST_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* The path of the running program in buf, NUL-terminated; its length, or 0
 * when the host does not tell or buf is too small. */
size_t sq_host_self(char *buf, size_t buf_len);

/* Bytes of memory that programs can have now; 0 when the host does not
 * tell. */
uint64_t sq_host_free_memory(void);

/* What an errno means, in English whatever the locale; NULL when the host
 * does not know the number. Static storage. */
const char *sq_host_errno_text(int os_errno);

/* Names a thread for people who look at the process. A name has at most 15
 * bytes. Some hosts can only name the calling thread. */
void sq_host_name_thread(pthread_t thread, const char *name);

#endif
