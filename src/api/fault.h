/* SPDX-License-Identifier: Apache-2.0 */
/* What a refused request is answered with. */
#ifndef SQ_API_FAULT_H
#define SQ_API_FAULT_H

#include <stdbool.h>

/* A path (4095 bytes at most) and what is said about it. */
#define SQ_FAULT_TEXT_MAX 5120u

struct sq_fault {
    unsigned status; /* HTTP */
    char text[SQ_FAULT_TEXT_MAX];
};

/* Records status 400 and a text; always false, for `return sq_fault(...)`.
 */
bool sq_fault(struct sq_fault *fault, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* An errno as upstream's messages have it, "No such file or directory (os
 * error 2)". */
struct sq_os_text {
    char text[128];
};
struct sq_os_text sq_os_text(int os_errno);

#endif
