/* SPDX-License-Identifier: Apache-2.0 */
#include "backends/soft/x86_64/overlay.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096u
#define EXPECT_MAX 4u

struct sq_overlay {
    struct sq_overlay_word *word;
    uint32_t *slot; /* hash of words: index + 1; twice as many as words */
    size_t count, room; /* room is a power of two */
    const uint8_t **page;
    size_t page_count, page_room;
    unsigned expected; /* of the pages, these have a copy */
    uint8_t copy[EXPECT_MAX][PAGE];
};

static size_t start(const struct sq_overlay *o, const uint8_t *host)
{
    return ((uintptr_t)host >> 3) * 0x9e3779b97f4a7c15ull >> 20 &
           (2 * o->room - 1);
}

/* The slot that has the word, or where it would be. */
static uint32_t *find(const struct sq_overlay *o, const uint8_t *host)
{
    size_t k = start(o, host);

    while (o->slot[k] && o->word[o->slot[k] - 1].host != host)
        k = (k + 1) & (2 * o->room - 1);
    return &o->slot[k];
}

static bool grow(struct sq_overlay *o)
{
    size_t room = o->room ? 2 * o->room : 256;
    struct sq_overlay_word *word = realloc(o->word, room * sizeof(*word));
    uint32_t *slot;

    if (!word)
        return false;
    o->word = word;
    slot = calloc(2 * room, sizeof(*slot));
    if (!slot)
        return false;
    free(o->slot);
    o->slot = slot;
    o->room = room;
    for (size_t k = 0; k < o->count; k++)
        *find(o, word[k].host) = (uint32_t)k + 1;
    return true;
}

struct sq_overlay *sq_overlay_new(void)
{
    struct sq_overlay *o = calloc(1, sizeof(*o));

    if (o && !grow(o)) {
        sq_overlay_free(o);
        o = NULL;
    }
    return o;
}

void sq_overlay_free(struct sq_overlay *o)
{
    if (!o)
        return;
    free(o->word);
    free(o->slot);
    free(o->page);
    free(o);
}

void sq_overlay_clear(struct sq_overlay *o)
{
    /* Each word's slot is found while all before it are there. */
    for (size_t k = o->count; k-- > 0;)
        *find(o, o->word[k].host) = 0;
    o->count = o->page_count = 0;
    o->expected = 0;
}

bool sq_overlay_has_page(const struct sq_overlay *o, const uint8_t *page)
{
    for (size_t k = o->page_count; k-- > 0;)
        if (o->page[k] == page)
            return true;
    return false;
}

static bool note_page(struct sq_overlay *o, const uint8_t *host)
{
    const uint8_t *page = host - (uintptr_t)host % PAGE;

    if (sq_overlay_has_page(o, page))
        return true;
    if (o->page_count == o->page_room) {
        size_t room = o->page_room ? 2 * o->page_room : 16;
        const uint8_t **p = realloc(o->page, room * sizeof(*p));

        if (!p)
            return false;
        o->page = p;
        o->page_room = room;
    }
    o->page[o->page_count++] = page;
    return true;
}

/* The word at `host`, new if need be; NULL: out of memory. */
static struct sq_overlay_word *word_at(struct sq_overlay *o, uint8_t *host)
{
    uint32_t *slot = find(o, host);

    if (!*slot) {
        if (o->count == o->room) {
            if (!grow(o))
                return NULL;
            slot = find(o, host);
        }
        o->word[o->count] = (struct sq_overlay_word){.host = host};
        *slot = (uint32_t)++o->count;
    }
    return &o->word[*slot - 1];
}

bool sq_overlay_put(struct sq_overlay *o, uint8_t *host, const void *src,
                    size_t len, bool data)
{
    const uint8_t *from = src;

    while (len) {
        size_t at = (uintptr_t)host % 8;
        size_t n = len < 8 - at ? len : 8 - at;
        struct sq_overlay_word *w = word_at(o, host - at);

        if (!w || (data && !note_page(o, host)))
            return false;
        for (size_t k = at; k < at + n; k++)
            if (!(w->mask >> k & 1))
                w->then[k] = w->host[k];
        memcpy(w->now + at, from, n);
        w->mask |= (uint8_t)(((1u << n) - 1) << at);
        host += n;
        from += n;
        len -= n;
    }
    return true;
}

/* Calls for the words that have something of [host, host + len). */
#define EACH_WORD(o, host, len)                                            \
    for (const uint8_t *w_ = (host) - (uintptr_t)(host) % 8,               \
                       *end_ = (host) + (len);                             \
         w_ < end_ && (o)->count; w_ += 8)

void sq_overlay_get(const struct sq_overlay *o, const uint8_t *host, void *to,
                    size_t len)
{
    EACH_WORD(o, host, len) {
        uint32_t slot = *find(o, w_);

        for (unsigned k = 0; slot && k < 8; k++)
            if (o->word[slot - 1].mask >> k & 1 && w_ + k >= host &&
                w_ + k < host + len)
                ((uint8_t *)to)[w_ + k - host] = o->word[slot - 1].now[k];
    }
}

bool sq_overlay_has(const struct sq_overlay *o, const uint8_t *host,
                    size_t len)
{
    EACH_WORD(o, host, len) {
        uint32_t slot = *find(o, w_);

        for (unsigned k = 0; slot && k < 8; k++)
            if (o->word[slot - 1].mask >> k & 1 && w_ + k >= host &&
                w_ + k < host + len)
                return true;
    }
    return false;
}

const struct sq_overlay_word *sq_overlay_differs(const struct sq_overlay *o)
{
    for (size_t n = 0; n < o->count; n++) {
        const struct sq_overlay_word *w = &o->word[n];

        for (unsigned k = 0; k < 8; k++)
            if (w->mask >> k & 1 && w->host[k] != w->now[k])
                return w;
    }
    return NULL;
}

void sq_overlay_undo(const struct sq_overlay *o)
{
    for (size_t n = 0; n < o->count; n++) {
        const struct sq_overlay_word *w = &o->word[n];

        for (unsigned k = 0; k < 8; k++)
            if (w->mask >> k & 1)
                w->host[k] = w->then[k];
    }
}

void sq_overlay_expect(struct sq_overlay *o)
{
    if (o->page_count > EXPECT_MAX)
        return;
    for (; o->expected < o->page_count; o->expected++)
        memcpy(o->copy[o->expected], o->page[o->expected], PAGE);
    for (size_t n = 0; n < o->count; n++) {
        const struct sq_overlay_word *w = &o->word[n];

        for (unsigned p = 0; p < o->expected; p++)
            for (unsigned k = 0; k < 8; k++)
                if (w->mask >> k & 1 &&
                    (uintptr_t)(w->host - o->page[p]) < PAGE)
                    o->copy[p][w->host - o->page[p] + k] = w->now[k];
    }
}

const uint8_t *sq_overlay_stray(const struct sq_overlay *o)
{
    for (unsigned p = 0; p < o->expected; p++)
        if (memcmp(o->copy[p], o->page[p], PAGE) != 0)
            return o->page[p];
    return NULL;
}
