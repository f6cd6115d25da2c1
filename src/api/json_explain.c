/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words for JSON that was refused.
 *
 * The walk reads the text once, from the front, in the order in which
 * serde_json reads it for a derived struct, and stops at the first fault.
 * So the fault it names is the one that Firecracker names, and the position
 * is counted at the same moment:
 *
 *   a fault of syntax          after the byte that was looked at
 *   a value of a wrong type    after that value (before it for [ and {)
 *   an unknown or second name  after the name
 *   a missing field            after the closing brace
 *
 * The last two are noticed by the struct, which has no position; it is added
 * when the object that holds the struct is left, after one more attempt to
 * read its end. `placed` tells the two apart.
 */
#include "api/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/real.h"
#include "base/util.h"

struct walk {
    const char *text;
    size_t len, i;
    unsigned depth;
    bool failed, placed;
    char *error;
    size_t error_len; /* without the position */
    /* The string read last, unescaped and cut. */
    char string[512];
    size_t string_len;
};

/* --- faults ------------------------------------------------------------ */

static bool fault(struct walk *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A fault without a position yet. */
static bool fault(struct walk *w, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(w->error, SQ_JSON_ERROR_MAX - 64, fmt, ap);
    va_end(ap);
    w->error_len = n < 0 ? 0 : (size_t)n;
    if (w->error_len >= SQ_JSON_ERROR_MAX - 64)
        w->error_len = SQ_JSON_ERROR_MAX - 65;
    w->failed = true;
    w->placed = false;
    return false;
}

/* Adds where: `at` bytes have been read. */
static bool place(struct walk *w, size_t at)
{
    size_t line = 1, start = 0;

    if (w->placed)
        return false;
    if (at > w->len)
        at = w->len;
    for (size_t i = 0; i < at; i++) {
        if (w->text[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    snprintf(w->error + w->error_len, SQ_JSON_ERROR_MAX - w->error_len,
             " at line %zu column %zu", line, at - start);
    w->placed = true;
    return false;
}

/* A fault that the next byte shows. */
static bool fault_ahead(struct walk *w, const char *what)
{
    fault(w, "%s", what);
    return place(w, w->i + 1);
}

static bool fault_here(struct walk *w, const char *what)
{
    fault(w, "%s", what);
    return place(w, w->i);
}

/* --- lexemes ----------------------------------------------------------- */

/* The next byte that is not blank, -1 at the end. */
static int peek(struct walk *w)
{
    while (w->i < w->len &&
           (w->text[w->i] == ' ' || w->text[w->i] == '\n' ||
            w->text[w->i] == '\t' || w->text[w->i] == '\r'))
        w->i++;
    return w->i < w->len ? (unsigned char)w->text[w->i] : -1;
}

static int at(const struct walk *w)
{
    return w->i < w->len ? (unsigned char)w->text[w->i] : -1;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static void keep(struct walk *w, const char *bytes, size_t n)
{
    if (w->string_len + n < sizeof(w->string)) {
        memcpy(w->string + w->string_len, bytes, n);
        w->string_len += n;
        w->string[w->string_len] = '\0';
    }
}

static bool hex4(struct walk *w, unsigned *out)
{
    bool bad = false;

    *out = 0;
    if (w->len - w->i < 4) {
        w->i = w->len;
        return fault_here(w, "EOF while parsing a string");
    }
    for (int k = 0; k < 4; k++) {
        int c = at(w);

        w->i++;
        if (is_digit(c))
            *out = *out * 16 + (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            *out = *out * 16 + (unsigned)((c | 32) - 'a' + 10);
        else
            bad = true;
    }
    return bad ? fault_here(w, "invalid escape") : true;
}

static void keep_utf8(struct walk *w, unsigned c)
{
    char b[4];

    if (c < 0x80) {
        b[0] = (char)c;
        keep(w, b, 1);
    } else if (c < 0x800) {
        b[0] = (char)(0xc0 | c >> 6);
        b[1] = (char)(0x80 | (c & 0x3f));
        keep(w, b, 2);
    } else if (c < 0x10000) {
        b[0] = (char)(0xe0 | c >> 12);
        b[1] = (char)(0x80 | (c >> 6 & 0x3f));
        b[2] = (char)(0x80 | (c & 0x3f));
        keep(w, b, 3);
    } else {
        b[0] = (char)(0xf0 | c >> 18);
        b[1] = (char)(0x80 | (c >> 12 & 0x3f));
        b[2] = (char)(0x80 | (c >> 6 & 0x3f));
        b[3] = (char)(0x80 | (c & 0x3f));
        keep(w, b, 4);
    }
}

static bool unicode_escape(struct walk *w)
{
    unsigned c, low;

    if (!hex4(w, &c))
        return false;
    if (c >= 0xdc00 && c <= 0xdfff)
        return fault_here(w, "lone leading surrogate in hex escape");
    if (c >= 0xd800 && c <= 0xdbff) {
        if (at(w) != '\\')
            return fault_ahead(w, "unexpected end of hex escape");
        w->i++;
        if (at(w) != 'u')
            return fault_ahead(w, "unexpected end of hex escape");
        w->i++;
        if (!hex4(w, &low))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return fault_here(w, "lone leading surrogate in hex escape");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    keep_utf8(w, c);
    return true;
}

static bool escape(struct walk *w)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = at(w);
    const char *hit;

    if (c < 0)
        return fault_here(w, "EOF while parsing a string");
    w->i++;
    if (c == 'u')
        return unicode_escape(w);
    hit = c ? strchr(from, c) : NULL;
    if (!hit)
        return fault_here(w, "invalid escape");
    keep(w, &to[hit - from], 1);
    return true;
}

/* The length of a well-formed UTF-8 character at w->i, or 0. */
static size_t utf8_len(const struct walk *w)
{
    const unsigned char *b = (const unsigned char *)w->text + w->i;
    size_t n = b[0] < 0x80 ? 1 : b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;

    if (n == 1)
        return 1;
    if (b[0] < 0xc2 || b[0] > 0xf4 || w->len - w->i < n)
        return 0;
    for (size_t k = 1; k < n; k++)
        if ((b[k] & 0xc0) != 0x80)
            return 0;
    if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
        (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
        return 0;
    return n;
}

/* A string, its opening quote is next; it is left in w->string. */
static bool string(struct walk *w)
{
    bool malformed = false;

    w->i++;
    w->string_len = 0;
    w->string[0] = '\0';
    while (true) {
        int c = at(w);
        size_t n;

        if (c < 0)
            return fault_here(w, "EOF while parsing a string");
        if (c == '"') {
            w->i++;
            return malformed
                       ? fault_here(w, "invalid unicode code point")
                       : true;
        }
        if (c == '\\') {
            w->i++;
            if (!escape(w))
                return false;
            continue;
        }
        if (c < 0x20) {
            w->i++;
            return fault_here(w, "control character (\\u0000-\\u001F) found "
                              "while parsing a string");
        }
        n = utf8_len(w);
        malformed |= n == 0;
        keep(w, w->text + w->i, n);
        w->i += n ? n : 1;
    }
}

struct number {
    bool real, negative;
    uint64_t v; /* of an integer, without its sign */
    double f;
};

static bool digits(struct walk *w)
{
    if (!is_digit(at(w)))
        return at(w) < 0 ? fault_ahead(w, "EOF while parsing a value")
                         : fault_ahead(w, "invalid number");
    while (is_digit(at(w)))
        w->i++;
    return true;
}

static bool number(struct walk *w, struct number *out)
{
    size_t start = w->i;
    char copy[128];
    size_t n;

    *out = (struct number){.negative = at(w) == '-'};
    if (out->negative)
        w->i++;
    if (at(w) == '0') {
        w->i++;
        if (is_digit(at(w)))
            return fault_ahead(w, "invalid number");
    } else if (!digits(w)) {
        return false;
    }
    for (size_t k = start + out->negative; k < w->i; k++)
        if (__builtin_mul_overflow(out->v, 10, &out->v) ||
            __builtin_add_overflow(out->v, (uint64_t)(w->text[k] - '0'),
                                   &out->v))
            out->real = true;
    if (out->negative && (out->v == 0 || out->v > (uint64_t)1 << 63))
        out->real = true;
    if (at(w) == '.') {
        w->i++;
        out->real = true;
        if (!digits(w))
            return false;
    }
    if (at(w) == 'e' || at(w) == 'E') {
        w->i++;
        out->real = true;
        if (at(w) == '+' || at(w) == '-')
            w->i++;
        if (!digits(w))
            return false;
    }
    n = w->i - start < sizeof(copy) ? w->i - start : sizeof(copy) - 1;
    memcpy(copy, w->text + start, n);
    copy[n] = '\0';
    out->f = strtod(copy, NULL);
    if (out->real && !isfinite(out->f))
        return fault_here(w, "number out of range");
    return true;
}

static bool literal(struct walk *w, const char *word)
{
    for (w->i++, word++; *word; word++) {
        if (at(w) < 0)
            return fault_ahead(w, "EOF while parsing a value");
        w->i++;
        if (w->text[w->i - 1] != *word)
            return fault_here(w, "expected ident");
    }
    return true;
}

/* --- values ------------------------------------------------------------ */

/* What a struct expects of the text, one call a value. */
static bool value(struct walk *w, const struct sq_json_field *f);
static bool skip(struct walk *w);

static int broken(struct walk *w, const char *what)
{
    fault_ahead(w, what);
    return -1;
}

/* Between elements. 1: another follows, 0: the end is next, -1: fault. */
static int next(struct walk *w, bool first, int close)
{
    bool list = close == ']';
    int c = peek(w);

    if (c == close)
        return 0;
    if (c < 0)
        return broken(w, list ? "EOF while parsing a list"
                              : "EOF while parsing an object");
    if (first)
        return 1;
    if (c != ',')
        return broken(w, list ? "expected `,` or `]`"
                              : "expected `,` or `}`");
    w->i++;
    c = peek(w);
    if (c == close)
        return broken(w, "trailing comma");
    if (c < 0)
        return broken(w, "EOF while parsing a value");
    return 1;
}

/* Leaves a list or object in which a fault without a position was met. */
static void leave(struct walk *w, int close)
{
    int c = peek(w);

    if (c == close) {
        w->i++;
    } else if (c == ',' && close == ']') {
        w->i++;
        peek(w);
    }
    place(w, w->i);
}

static bool enter(struct walk *w)
{
    if (++w->depth > SQ_JSON_DEPTH_MAX - 1)
        return fault_ahead(w, "recursion limit exceeded");
    w->i++;
    return true;
}

static bool key(struct walk *w)
{
    if (peek(w) != '"')
        return fault_ahead(w, "key must be a string");
    return string(w);
}

static bool colon(struct walk *w)
{
    int c = peek(w);

    if (c < 0)
        return fault_ahead(w, "EOF while parsing an object");
    if (c != ':')
        return fault_ahead(w, "expected `:`");
    w->i++;
    return true;
}

static bool skip_inside(struct walk *w, int close)
{
    bool first = true;
    int more;

    if (!enter(w))
        return false;
    while ((more = next(w, first, close)) > 0) {
        first = false;
        if (close == '}' && (!key(w) || !colon(w)))
            return false;
        if (!skip(w))
            return false;
    }
    w->depth--;
    w->i++;
    return more == 0;
}

static bool skip(struct walk *w)
{
    struct number n;
    int c = peek(w);

    if (c < 0)
        return fault_ahead(w, "EOF while parsing a value");
    switch (c) {
    case '{': return skip_inside(w, '}');
    case '[': return skip_inside(w, ']');
    case '"': return string(w);
    case 't': return literal(w, "true");
    case 'f': return literal(w, "false");
    case 'n': return literal(w, "null");
    default:
        if (c == '-' || is_digit(c))
            return number(w, &n);
        return fault_ahead(w, "expected value");
    }
}

/* "string \"x\"": what is there instead of what was expected. */
static bool wrong_number(struct walk *w, const struct number *n,
                         const char *why, const char *want)
{
    char real[SQ_REAL_TEXT_MAX];

    if (n->real) {
        sq_real_text(n->f, real);
        fault(w, "invalid type: floating point `%s`, expected %s", real,
              want);
    } else {
        fault(w, "invalid %s: integer `%s%" PRIu64 "`, expected %s", why,
              n->negative ? "-" : "", n->v, want);
    }
    return place(w, w->i);
}

static void quote(const struct walk *w, char *out, size_t out_len)
{
    static const char from[] = "\"\\\n\r\t", to[] = "\"\\nrt";
    size_t n = 0;

    for (size_t i = 0; i < w->string_len && n + 8 < out_len; i++) {
        unsigned char c = (unsigned char)w->string[i];
        const char *hit = c ? strchr(from, c) : NULL;

        if (hit) {
            out[n++] = '\\';
            out[n++] = to[hit - from];
        } else if (c == 0) {
            out[n++] = '\\';
            out[n++] = '0';
        } else if (c < 0x20 || c == 0x7f) {
            n += (size_t)snprintf(out + n, out_len - n, "\\u{%x}", c);
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
}

/* The next value is not what was wanted. */
static bool wrong_type(struct walk *w, const char *want)
{
    char quoted[700];
    struct number n;
    int c = peek(w);

    switch (c) {
    case '"':
        if (!string(w))
            return false;
        quote(w, quoted, sizeof(quoted));
        fault(w, "invalid type: string \"%s\", expected %s", quoted, want);
        break;
    case 't':
    case 'f':
        if (!literal(w, c == 't' ? "true" : "false"))
            return false;
        fault(w, "invalid type: boolean `%s`, expected %s",
              c == 't' ? "true" : "false", want);
        break;
    case 'n':
        if (!literal(w, "null"))
            return false;
        fault(w, "invalid type: null, expected %s", want);
        break;
    case '[':
        fault(w, "invalid type: sequence, expected %s", want);
        break;
    case '{':
        fault(w, "invalid type: map, expected %s", want);
        break;
    default:
        if (c != '-' && !is_digit(c))
            return fault_ahead(w, "expected value");
        return number(w, &n) && wrong_number(w, &n, "type", want);
    }
    return place(w, w->i);
}

/* "`a` or `b`", "one of `a`, `b`, `c`" */
static void list_names(char *out, size_t out_len, size_t count,
                       const char *(*name)(const void *ctx, size_t i),
                       const void *ctx)
{
    size_t n = 0;

    out[0] = '\0';
    if (count > 2)
        n = (size_t)snprintf(out, out_len, "one of ");
    for (size_t i = 0; i < count && n < out_len; i++) {
        const char *gap = i == 0 ? "" : count == 2 ? " or " : ", ";

        n += (size_t)snprintf(out + n, out_len - n, "%s`%s`", gap,
                              name(ctx, i));
    }
}

static const char *word_name(const void *ctx, size_t i)
{
    return ((const char *const *)ctx)[i];
}

static const char *field_name(const void *ctx, size_t i)
{
    return ((const struct sq_json_field *)ctx)[i].name;
}

/* One of the names. */
static bool variant(struct walk *w, const struct sq_json_field *f)
{
    char names[256];
    size_t count = 0;
    int c = peek(w);

    if (c != '"')
        return fault_ahead(w, c < 0 ? "EOF while parsing a value"
                                    : "expected value");
    if (!string(w))
        return false;
    for (; f->words[count]; count++)
        if (strcmp(f->words[count], w->string) == 0)
            return true;
    list_names(names, sizeof(names), count, word_name, f->words);
    fault(w, "unknown variant `%s`, expected %s", w->string, names);
    return place(w, w->i);
}

/* "name", or {"name": null}. */
static bool word(struct walk *w, const struct sq_json_field *f)
{
    if (peek(w) != '{')
        return variant(w, f);
    if (!enter(w) || !variant(w, f) || !colon(w))
        return false;
    if (peek(w) != 'n')
        return wrong_type(w, "unit");
    if (!literal(w, "null"))
        return false;
    if (peek(w) != '}')
        return fault_ahead(w, "expected value");
    w->depth--;
    w->i++;
    return true;
}

static bool unsigned_integer(struct walk *w, const struct sq_json_field *f)
{
    uint64_t max = f->width >= 64 ? UINT64_MAX
                                  : ((uint64_t)1 << f->width) - 1;
    char type[8];
    const char *want = f->expected;
    struct number n;
    int c = peek(w);

    if (!want) {
        snprintf(type, sizeof(type), "u%u", f->width);
        want = type;
    }
    if (c != '-' && !is_digit(c))
        return wrong_type(w, want);
    if (!number(w, &n))
        return false;
    if (n.real)
        return wrong_number(w, &n, "type", want);
    if (n.negative || n.v > max)
        return wrong_number(w, &n, "value", want);
    return true;
}

static bool text(struct walk *w, const struct sq_json_field *f)
{
    char buf[SQ_JSON_ERROR_MAX];
    const char *wrong;

    if (peek(w) != '"')
        return wrong_type(w, f->expected ? f->expected : "a string");
    if (!string(w))
        return false;
    wrong = f->check ? f->check(w->string, buf, sizeof(buf)) : NULL;
    if (!wrong)
        return true;
    fault(w, "%s", wrong);
    return f->check_reads ? place(w, w->i) : false;
}

static bool object(struct walk *w, const struct sq_json_schema *s);

static bool list(struct walk *w, const struct sq_json_field *f)
{
    bool first = true;
    int more;

    if (peek(w) != '[')
        return wrong_type(w, "a sequence");
    if (!enter(w))
        return false;
    while ((more = next(w, first, ']')) > 0) {
        bool ok = f->inner ? object(w, f->inner) : text(w, f);

        first = false;
        if (!ok) {
            leave(w, ']');
            return false;
        }
    }
    w->depth--;
    w->i++;
    return more == 0;
}

static bool map(struct walk *w)
{
    static const struct sq_json_field element = {.kind = SQ_JSON_STRING};
    bool first = true;
    int more;

    if (peek(w) != '{')
        return wrong_type(w, "a map");
    if (!enter(w))
        return false;
    while ((more = next(w, first, '}')) > 0) {
        first = false;
        if (!key(w) || !colon(w) || !text(w, &element))
            return false;
    }
    w->depth--;
    w->i++;
    return more == 0;
}

static bool value(struct walk *w, const struct sq_json_field *f)
{
    int c = peek(w);

    if (c < 0)
        return fault_ahead(w, "EOF while parsing a value");
    if (c == 'n' && f->nullable)
        return literal(w, "null");
    switch (f->kind) {
    case SQ_JSON_STRING: return text(w, f);
    case SQ_JSON_UINT: return unsigned_integer(w, f);
    case SQ_JSON_BOOL:
        if (c == 't' || c == 'f')
            return literal(w, c == 't' ? "true" : "false");
        return wrong_type(w, "a boolean");
    case SQ_JSON_WORD: return word(w, f);
    case SQ_JSON_OBJECT: return object(w, f->inner);
    case SQ_JSON_LIST: return list(w, f);
    case SQ_JSON_MAP: return map(w);
    case SQ_JSON_ANY: break;
    }
    return skip(w);
}

/* One "name": value of a struct; `seen` has a bit a field. */
static bool member(struct walk *w, const struct sq_json_schema *s,
                   uint64_t *seen)
{
    const struct sq_json_field *f = NULL;
    char names[512];

    if (!key(w))
        return false;
    for (size_t i = 0; i < s->count && !f; i++)
        if (strcmp(s->fields[i].name, w->string) == 0)
            f = &s->fields[i];
    if (!f && !s->lenient) {
        list_names(names, sizeof(names), s->count, field_name, s->fields);
        return fault(w, "unknown field `%s`, expected %s", w->string,
                     s->count ? names : "there are no fields");
    }
    if (!f)
        return colon(w) && skip(w);
    if (*seen >> (f - s->fields) & 1)
        return fault(w, "duplicate field `%s`", f->name);
    *seen |= (uint64_t)1 << (f - s->fields);
    return colon(w) && value(w, f);
}

static bool members(struct walk *w, const struct sq_json_schema *s)
{
    bool first = true;
    uint64_t seen = 0;
    int more;

    while ((more = next(w, first, '}')) > 0) {
        first = false;
        if (!member(w, s, &seen))
            return false;
    }
    if (more < 0)
        return false;
    for (size_t i = 0; i < s->count; i++)
        if (s->fields[i].required && !(seen >> i & 1))
            return fault(w, "missing field `%s`", s->fields[i].name);
    return true;
}

/* The values of a struct in the order of its fields; those at the end may
 * be missing. */
static bool elements(struct walk *w, const struct sq_json_schema *s)
{
    int more = 1;

    for (size_t i = 0; i < s->count; i++) {
        if (more > 0)
            more = next(w, i == 0, ']');
        if (more < 0 || (more && !value(w, &s->fields[i])))
            return false;
        if (!more && sq_json_lacks(&s->fields[i]))
            return fault(w, "invalid length %zu, expected struct %s with "
                         "%zu element%s", i, s->name, s->count,
                         s->count == 1 ? "" : "s");
    }
    if (peek(w) == ']')
        return true;
    if (at(w) < 0)
        return fault_ahead(w, "EOF while parsing a list");
    if (at(w) == ',')
        w->i++;
    return fault_ahead(w, peek(w) == ']' ? "trailing comma"
                                         : "trailing characters");
}

static bool object(struct walk *w, const struct sq_json_schema *s)
{
    char want[96];
    int c = peek(w);

    if (c < 0)
        return fault_ahead(w, "EOF while parsing a value");
    if (c != '{' && c != '[') {
        snprintf(want, sizeof(want), "struct %s", s->name);
        return wrong_type(w, want);
    }
    if (!enter(w))
        return false;
    if (c == '{' ? !members(w, s) : !elements(w, s)) {
        if (!w->placed)
            leave(w, c == '{' ? '}' : ']');
        return false;
    }
    w->depth--;
    w->i++;
    return true;
}

bool sq_json_explain(const struct sq_json_schema *schema, const char *text,
                     size_t text_len, char error[SQ_JSON_ERROR_MAX])
{
    struct walk w = {.text = text, .len = text_len, .error = error};
    bool ok = schema ? object(&w, schema) : skip(&w);

    if (ok && peek(&w) >= 0)
        fault_ahead(&w, "trailing characters");
    else if (w.failed && !w.placed)
        place(&w, w.i);
    return w.failed;
}
