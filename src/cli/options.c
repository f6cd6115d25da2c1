/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

#define HELP_COLUMN 27 /* where the words about an option begin */
#define HELP_WIDTH 79

static const struct sq_option *find_name(const struct sq_option *table,
                                         size_t count, const char *name,
                                         size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(table[i].name) == len &&
            memcmp(table[i].name, name, len) == 0)
            return &table[i];
    return NULL;
}

static const struct sq_option *find_letter(const struct sq_option *table,
                                           size_t count, char letter)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].letter && table[i].letter == letter)
            return &table[i];
    return NULL;
}

struct walk {
    const struct sq_option *table;
    size_t count;
    int argc, at;
    char *const *argv;
    sq_option_fn *fn;
    void *ctx;
};

static int next_value(struct walk *w, const char *shown, const char **value,
                      struct squib_error *err)
{
    if (w->at + 1 >= w->argc)
        return sq_err_set(err, SQUIB_E_INVAL, "option %s needs a value",
                          shown);
    *value = w->argv[++w->at];
    return 0;
}

static int take_long(struct walk *w, struct squib_error *err)
{
    const char *word = w->argv[w->at], *value = NULL;
    size_t len = strcspn(word + 2, "=");
    const struct sq_option *o = find_name(w->table, w->count, word + 2, len);
    int rc = 0;

    if (!o)
        return sq_err_set(err, SQUIB_E_INVAL, "there is no option %.80s",
                          word);
    if (word[2 + len] == '=') {
        if (!o->arg)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "option --%s takes no value", o->name);
        value = word + 2 + len + 1;
    } else if (o->arg) {
        rc = next_value(w, word, &value, err);
    }
    return rc ? rc : w->fn(w->ctx, o, value, err);
}

static int take_letters(struct walk *w, struct squib_error *err)
{
    for (const char *p = w->argv[w->at] + 1; *p; p++) {
        const struct sq_option *o = find_letter(w->table, w->count, *p);
        char shown[3] = {'-', *p, 0};
        const char *value = NULL;
        int rc = 0;

        if (!o)
            return sq_err_set(err, SQUIB_E_INVAL, "there is no option %s",
                              shown);
        if (o->arg && p[1])
            value = p[1] == '=' ? p + 2 : p + 1;
        else if (o->arg)
            rc = next_value(w, shown, &value, err);
        if (!rc)
            rc = w->fn(w->ctx, o, value, err);
        if (rc || value)
            return rc;
    }
    return 0;
}

int sq_options_parse(const struct sq_option *table, size_t count, int argc,
                     char *const argv[], int from, sq_option_fn *fn,
                     void *ctx, struct sq_options_end *end,
                     struct squib_error *err)
{
    struct walk w = {table, count, argc, from, argv, fn, ctx};

    end->dashes = false;
    for (; w.at < argc; w.at++) {
        const char *word = argv[w.at];
        int rc;

        if (word[0] != '-' || !word[1])
            break;
        if (strcmp(word, "--") == 0) {
            end->dashes = true;
            w.at++;
            break;
        }
        rc = word[1] == '-' ? take_long(&w, err) : take_letters(&w, err);
        if (rc)
            return rc;
    }
    end->rest = w.at;
    return 0;
}

/* Words beside an option that ends at column `at`, or below a long one. */
static void put_wrapped(const char *text, int at, FILE *out)
{
    bool fits = at < HELP_COLUMN;

    if (fits)
        at += fprintf(out, "%*s", HELP_COLUMN - at, "");
    while (*text) {
        int len = (int)strcspn(text, " ");

        if (!fits || at + 1 + len > HELP_WIDTH)
            at = fprintf(out, "\n%*s", HELP_COLUMN, "") - 1;
        fits = true;
        at += fprintf(out, " %.*s", len, text);
        text += len + strspn(text + len, " ");
    }
    fputc('\n', out);
}

void sq_options_help(const struct sq_option *table, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct sq_option *o = &table[i];
        char left[40];

        if (!o->help)
            continue;
        snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? ", " : "  ",
                 o->name, o->arg ? " " : "", o->arg ? o->arg : "");
        put_wrapped(o->help, fprintf(out, "  %s", left), out);
    }
}

/* --- values ------------------------------------------------------------ */

/* A decimal number and what follows it. */
static int parse_number(const char *what, const char *text,
                        unsigned long long *out, const char **rest,
                        struct squib_error *err)
{
    char *end;

    errno = 0;
    *out = isdigit((unsigned char)text[0]) ? strtoull(text, &end, 10) : 0;
    if (!isdigit((unsigned char)text[0]) || errno)
        return sq_err_set(err, SQUIB_E_INVAL, "%s: '%.40s' is not a number",
                          what, text);
    *rest = end;
    return 0;
}

int sq_parse_u32(const char *what, const char *text, unsigned *out,
                 struct squib_error *err)
{
    unsigned long long n;
    const char *rest;
    int rc = parse_number(what, text, &n, &rest, err);

    if (rc)
        return rc;
    if (*rest || n > UINT_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%s: '%.40s' is not a number that fits", what,
                          text);
    *out = (unsigned)n;
    return 0;
}

int sq_parse_mib(const char *what, const char *text, unsigned *out,
                 struct squib_error *err)
{
    static const struct {
        const char *unit;
        unsigned shift; /* to KiB */
    } units[] = {
        {"", 10}, {"k", 0}, {"m", 10}, {"g", 20}, {"t", 30},
        {"ki", 0}, {"mi", 10}, {"gi", 20}, {"ti", 30},
        {"kib", 0}, {"mib", 10}, {"gib", 20}, {"tib", 30},
    };
    unsigned long long n;
    const char *rest;
    char unit[8] = "";
    int rc = parse_number(what, text, &n, &rest, err);

    if (rc)
        return rc;
    for (size_t i = 0; rest[i] && i < sizeof(unit) - 1; i++)
        unit[i] = (char)tolower((unsigned char)rest[i]);
    for (size_t i = 0; i < SQ_ARRAY_LEN(units); i++) {
        unsigned long long kib = n << units[i].shift;

        if (strcmp(unit, units[i].unit) != 0 || strlen(rest) > 3)
            continue;
        if (kib >> units[i].shift != n || kib >> 10 > UINT_MAX)
            break;
        if (kib % 1024)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "%s: '%.40s' is not a whole number of MiB",
                              what, text);
        *out = (unsigned)(kib >> 10);
        return 0;
    }
    return sq_err_set(err, SQUIB_E_INVAL,
                      "%s: '%.40s' is not a size\n  do: write it as 512M or "
                      "2G", what, text);
}

int sq_parse_duration(const char *what, const char *text,
                      unsigned long long *out_ns, struct squib_error *err)
{
    static const struct {
        const char *unit;
        unsigned long long ns;
    } units[] = {
        {"", 1000000000ull}, {"s", 1000000000ull}, {"ms", 1000000ull},
        {"m", 60000000000ull}, {"h", 3600000000000ull},
    };
    const unsigned long long max_ns = 1000ull * 3600 * 1000000000;
    unsigned long long n;
    const char *rest;
    int rc = parse_number(what, text, &n, &rest, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < SQ_ARRAY_LEN(units); i++) {
        if (strcmp(rest, units[i].unit) != 0)
            continue;
        if (n == 0 || n > max_ns / units[i].ns)
            return sq_err_set(err, SQUIB_E_INVAL,
                              "%s: '%.40s' is out of range (1ms to 1000h)",
                              what, text);
        *out_ns = n * units[i].ns;
        return 0;
    }
    return sq_err_set(err, SQUIB_E_INVAL,
                      "%s: '%.40s' is not a time\n  do: write it as 30s, "
                      "500ms, 5m or 1h", what, text);
}
