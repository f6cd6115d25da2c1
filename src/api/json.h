/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON bodies into C structs, by tables of fields.
 *
 * A schema names the fields of an object, their types and where their values
 * go. Reading is strict: unknown and missing fields, wrong types, numbers
 * out of range and duplicates are refused, with the words, line and column
 * that Firecracker's clients see (serde_json 1.0 over #[derive(Deserialize)]
 * structs). jansson decides what is JSON; only after a refusal a second walk
 * over the text (json_explain.c) finds the words for it.
 *
 * Any thread; no shared state.
 */
#ifndef SQ_API_JSON_H
#define SQ_API_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* The longest text of a refusal, with the NUL; longer ones are cut. */
#define SQ_JSON_ERROR_MAX 1024u
/* Nesting beyond this is refused (serde_json's limit). */
#define SQ_JSON_DEPTH_MAX 128u

/* A number, bool or word. */
struct sq_json_num {
    bool set;   /* it was in the text, and not as null */
    uint64_t v; /* what it said, or the field's default */
};

/* An inner object; the struct for it starts with this. */
struct sq_json_part {
    bool set;
};

enum sq_json_kind {
    SQ_JSON_STRING, /* const char *, NULL when absent; borrowed */
    SQ_JSON_UINT,   /* struct sq_json_num; `width` bits */
    SQ_JSON_BOOL,   /* struct sq_json_num, 0 or 1 */
    SQ_JSON_WORD,   /* struct sq_json_num, index into `words` */
    SQ_JSON_OBJECT, /* a struct that starts with struct sq_json_part */
    SQ_JSON_LIST,   /* const json_t *, NULL when absent; elements checked */
    SQ_JSON_MAP,    /* the same: strings by name */
    SQ_JSON_ANY,    /* the same, any value */
};

struct sq_json_field;

struct sq_json_schema {
    const char *name; /* "MachineConfig": what messages call it */
    const struct sq_json_field *fields;
    size_t count;
    bool lenient; /* unknown fields are skipped */
};

struct sq_json_field {
    const char *name;
    enum sq_json_kind kind;
    bool required;
    bool nullable; /* null is as good as absent */
    bool may_lack; /* nullable, but see sq_json_lacks() */
    bool by_tree;  /* OBJECT: checked as ever, then kept as const json_t * */
    size_t off;    /* of the value in the struct */
    unsigned width;  /* UINT: 8, 16, 32, 64 */
    uint64_t dflt;   /* UINT, BOOL, WORD */
    const char *const *words;           /* WORD: NULL-ended */
    const struct sq_json_schema *inner; /* OBJECT, LIST of objects */
    /* LIST without inner: strings. STRING, and strings in a LIST: a further
     * check; NULL or what is wrong with the text. */
    const char *(*check)(const char *text, char *buf, size_t buf_len);
    /* It belongs to the reading of the text: messages tell where the text
     * ends, and not where the object around it does. */
    bool check_reads;
    /* What messages say was expected; NULL: the kind's usual words. */
    const char *expected;
};

/* An object may also be written as an array of its fields' values. What it
 * ends before must have a default: null is none. */
static inline bool sq_json_lacks(const struct sq_json_field *f)
{
    return f->required || (f->nullable && !f->may_lack);
}

/* Reads text[text_len], which a NUL follows, into *out, zeroed by the
 * caller. Returns the tree that *out borrows from, to be released with
 * json_decref(); or NULL with words in error[]. */
json_t *sq_json_read(const struct sq_json_schema *schema, const char *text,
                     size_t text_len, void *out,
                     char error[SQ_JSON_ERROR_MAX]);

/* Fills *out from a value that was parsed before. False: it does not fit. */
bool sq_json_take(const struct sq_json_schema *schema, const json_t *value,
                  void *out);

/* A number for an answer, which sq_json_text() turns into text: jansson has
 * none of 64 bits. */
json_t *sq_json_uint(uint64_t v);
char *sq_json_text(const json_t *tree); /* compact; for free() */

/* Any JSON value. Of names that stand twice the last counts, and integers
 * beyond 63 bits become numbers with a fraction. */
json_t *sq_json_read_any(const char *text, size_t text_len,
                         char error[SQ_JSON_ERROR_MAX]);

/* Why the text is refused; schema NULL: any value is expected. False, and
 * nothing written, when it finds no fault. */
bool sq_json_explain(const struct sq_json_schema *schema, const char *text,
                     size_t text_len, char error[SQ_JSON_ERROR_MAX]);

#endif
