/* SPDX-License-Identifier: Apache-2.0 */
#include "base/real.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers from 0.00001 to below 1e16 are written without an exponent. */
#define POINT_MIN (-4)
#define POINT_MAX 16
#define DIGITS_MAX 17 /* that a double needs */

static char *put(char *out, const char *text, int len)
{
    memcpy(out, text, (size_t)len);
    return out + len;
}

static char *put_zeroes(char *out, int count)
{
    memset(out, '0', (size_t)count);
    return out + count;
}

void sq_real_text(double v, char out[SQ_REAL_TEXT_MAX])
{
    char sci[40], digits[DIGITS_MAX];
    const char *from = sci;
    int n = 0, point, exponent;

    for (int places = 0; places < DIGITS_MAX; places++) {
        snprintf(sci, sizeof(sci), "%.*e", places, v);
        if (strtod(sci, NULL) == v)
            break;
    }
    if (*from == '-')
        *out++ = *from++;
    for (; *from && *from != 'e' && n < DIGITS_MAX; from++)
        if (*from != '.')
            digits[n++] = *from;
    exponent = (int)strtol(from + (*from == 'e'), NULL, 10);
    point = exponent + 1; /* so many digits are in front of it */
    if (point < POINT_MIN || point > POINT_MAX) {
        out = put(out, digits, 1);
        if (n > 1)
            out = put(put(out, ".", 1), digits + 1, n - 1);
        snprintf(out, sizeof("e+308"), "e%+d", exponent);
        return;
    }
    if (point <= 0) {
        out = put_zeroes(put(out, "0.", 2), -point);
        point = 0;
    } else if (point < n) {
        out = put(put(out, digits, point), ".", 1);
    } else {
        out = put_zeroes(put(out, digits, n), point - n);
        out = put(out, ".0", 2);
        point = n;
    }
    out = put(out, digits + point, n - point);
    *out = '\0';
}
