/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

void text_add(struct text *text, const char *string)
{
    size_t room = sizeof(text->s) - 1 - text->len;
    size_t n = strlen(string);

    if (n > room)
        n = room;
    memcpy(text->s + text->len, string, n);
    text->len += n;
    text->s[text->len] = 0;
}

static void add_all(struct text *text, va_list strings)
{
    const char *string;

    while ((string = va_arg(strings, const char *)))
        text_add(text, string);
}

void text_set(struct text *text, ...)
{
    va_list strings;

    text->len = 0;
    text->s[0] = 0;
    va_start(strings, text);
    add_all(text, strings);
    va_end(strings);
}

void text_add_number(struct text *text, unsigned long number)
{
    char digits[24];
    size_t at = sizeof(digits) - 1;

    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    text_add(text, digits + at);
}

void text_add_errno(struct text *text, int error)
{
    text_add(text, ": ");
    text_add(text, strerror(error));
}

void say(const char *string, ...)
{
    struct text line;
    va_list strings;
    ssize_t n;

    text_set(&line, "squib-agent: ", string, NULL);
    va_start(strings, string);
    add_all(&line, strings);
    va_end(strings);
    if (line.len == sizeof(line.s) - 1)
        line.len--;
    line.s[line.len++] = '\n';
    /* One write, so that kernel messages do not come in between; nothing
     * can be done about a console that fails. */
    n = write(STDERR_FILENO, line.s, line.len);
    (void)n;
}
