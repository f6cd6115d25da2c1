/* SPDX-License-Identifier: Apache-2.0 */
/* Short texts without printf: it would be a third of the program, which
 * every boot carries into the guest. */
#ifndef SQUIB_GUEST_TEXT_H
#define SQUIB_GUEST_TEXT_H

#include <stddef.h>

/* A bounded, always NUL-terminated line; what does not fit is cut. */
struct text {
    size_t len;
    char s[240];
};

/* Empties `text` and puts the strings in it, one after the other. The last
 * argument must be NULL. */
void text_set(struct text *text, ...) __attribute__((sentinel));

/* Appends a string, and an unsigned number in decimal. */
void text_add(struct text *text, const char *string);
void text_add_number(struct text *text, unsigned long number);

/* Appends ": " and the words for an errno value. */
void text_add_errno(struct text *text, int error);

/* Writes "squib-agent: ", the strings and a newline to the console, for the
 * cases where there is no connection to report on. Last argument NULL. */
void say(const char *string, ...) __attribute__((sentinel));

#endif
