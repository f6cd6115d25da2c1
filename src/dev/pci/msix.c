/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/pci/msix.h"

#include <string.h>

#include "base/util.h"

void sq_msix_init(struct sq_msix *m, uint32_t count, struct sq_msi msi)
{
    memset(m, 0, sizeof(*m));
    pthread_mutex_init(&m->lock, NULL);
    m->count = count;
    m->msi = msi;
    for (uint32_t i = 0; i < count; i++)
        m->vector[i].masked = true;
}

void sq_msix_destroy(struct sq_msix *m)
{
    pthread_mutex_destroy(&m->lock);
}

/* Lock held. What is pending and may go, goes. */
static void flush(struct sq_msix *m)
{
    if (!m->enabled || m->mask_all || !m->pending)
        return;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct sq_msix_vector *v = &m->vector[i];

        if (!(m->pending & 1u << i) || v->masked)
            continue;
        m->pending &= ~(1u << i);
        sq_msi_send(&m->msi, v->gpa, v->data);
    }
}

void sq_msix_control(struct sq_msix *m, uint16_t control)
{
    pthread_mutex_lock(&m->lock);
    m->enabled = control & SQ_MSIX_ENABLE;
    m->mask_all = control & SQ_MSIX_MASK_ALL;
    if (!m->enabled)
        m->pending = 0;
    flush(m);
    pthread_mutex_unlock(&m->lock);
}

bool sq_msix_raise(struct sq_msix *m, uint32_t vector)
{
    bool enabled;

    pthread_mutex_lock(&m->lock);
    enabled = m->enabled;
    if (enabled && vector < m->count) {
        m->pending |= 1u << vector;
        flush(m);
    }
    pthread_mutex_unlock(&m->lock);
    return enabled;
}

static bool fits(uint64_t off, unsigned len, uint64_t total)
{
    return (len == 4 || len == 8) && off % len == 0 && off < total;
}

static uint32_t read_word(const struct sq_msix_vector *v, unsigned word)
{
    switch (word) {
    case 0: return (uint32_t)v->gpa;
    case 1: return (uint32_t)(v->gpa >> 32);
    case 2: return v->data;
    default: return v->masked;
    }
}

static void write_word(struct sq_msix_vector *v, unsigned word, uint32_t x)
{
    switch (word) {
    case 0: v->gpa = (v->gpa & ~(uint64_t)UINT32_MAX) | (x & ~3u); break;
    case 1: v->gpa = (v->gpa & UINT32_MAX) | (uint64_t)x << 32; break;
    case 2: v->data = x; break;
    default: v->masked = x & 1; break;
    }
}

void sq_msix_table_read(struct sq_msix *m, uint64_t off, uint8_t *data,
                        unsigned len)
{
    memset(data, 0, len);
    if (!fits(off, len, m->count * SQ_MSIX_ENTRY_LEN))
        return;
    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < len; i += 4)
        sq_st32(data + i, read_word(&m->vector[off / SQ_MSIX_ENTRY_LEN],
                                    (off + i) / 4 % 4));
    pthread_mutex_unlock(&m->lock);
}

void sq_msix_table_write(struct sq_msix *m, uint64_t off,
                         const uint8_t *data, unsigned len)
{
    if (!fits(off, len, m->count * SQ_MSIX_ENTRY_LEN))
        return;
    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < len; i += 4)
        write_word(&m->vector[off / SQ_MSIX_ENTRY_LEN], (off + i) / 4 % 4,
                   sq_ld32(data + i));
    flush(m);
    pthread_mutex_unlock(&m->lock);
}

void sq_msix_pending_read(struct sq_msix *m, uint64_t off, uint8_t *data,
                          unsigned len)
{
    memset(data, 0, len);
    if (!fits(off, len, 8) || off)
        return;
    pthread_mutex_lock(&m->lock);
    sq_st32(data, m->pending);
    pthread_mutex_unlock(&m->lock);
}
