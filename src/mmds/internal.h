/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share. */
#ifndef SQ_MMDS_INTERNAL_H
#define SQ_MMDS_INTERNAL_H

#include <pthread.h>

#include "mmds/mmds.h"

struct sq_mmds {
    pthread_mutex_t mutex; /* all that is not atomic; a leaf */
    json_t *data;          /* NULL: nothing was put yet */
    size_t limit_len;
    struct sq_mmds_config config;
    _Atomic uint32_t ipv4; /* the config's, for every frame */
    uint8_t key[16];       /* of tokens; constant */
    struct sq_mmds_counters counters;
};

static inline void sq_mmds_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* ---- text.c: bytes that grow ---- */

/* After a failed allocation `failed` is set and nothing more is added. */
struct sq_mmds_text {
    char *s; /* not terminated */
    size_t len, cap;
    bool failed;
};

void sq_mmds_text_add(struct sq_mmds_text *t, const char *s, size_t len);
void sq_mmds_text_str(struct sq_mmds_text *t, const char *s);
/* Compact JSON with sorted keys. */
void sq_mmds_text_json(struct sq_mmds_text *t, const json_t *v);
void sq_mmds_text_free(struct sq_mmds_text *t);

/* ---- store.c ---- */

enum sq_mmds_found {
    SQ_MMDS_FOUND,
    SQ_MMDS_NOT_FOUND,
    SQ_MMDS_UNSUPPORTED, /* has no IMDS form */
};

/* Adds what is at `path` (a JSON pointer with single slashes; one at its
 * end is ignored) to *out. Mutex held. */
enum sq_mmds_found sq_mmds_lookup(const struct sq_mmds *m, const char *path,
                                  bool as_json, struct sq_mmds_text *out);

/* ---- token.c ---- */

#define SQ_MMDS_TOKEN_LEN 48u /* without the NUL */

/* A token that is good until the monotonic clock reaches expiry_ms. False
 * when there are no random bytes. Any thread. */
bool sq_mmds_token_make(const uint8_t key[16], uint64_t expiry_ms,
                        char token[SQ_MMDS_TOKEN_LEN + 1]);
bool sq_mmds_token_valid(const uint8_t key[16], const char *token,
                         uint64_t now_ms);

/* ---- http.c ---- */

/* The largest request, and how much of one a connection keeps. */
#define SQ_MMDS_REQUEST_MAX 2500u

/* The length of the request at the start of bytes[len], 0 if its end is not
 * there yet. */
size_t sq_mmds_request_end(const char *bytes, size_t len);
/* Answers a whole request. Any thread; takes the mutex. */
void sq_mmds_answer(struct sq_mmds *m, const char *request, size_t len,
                    struct sq_mmds_text *out);

#endif
