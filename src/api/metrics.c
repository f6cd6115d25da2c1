/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "api/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "os/clock.h"

enum kind { COUNT, STORE, LATENCY };

static const struct {
    const char *group, *name;
    enum kind kind;
} rows[SQ_M_COUNT] = {
    [SQ_M_NONE] = {"", "", STORE},
#define M(group, name, kind) [SQ_M_##group##_##name] = {#group, #name, kind},
#include "api/metrics.def"
#undef M
};

void sq_metrics_init(struct sq_metrics *m, const char *id)
{
    memset(m, 0, sizeof(*m));
    snprintf(m->id, sizeof(m->id), "%s", id);
    m->fd = -1;
}

void sq_metrics_fini(struct sq_metrics *m)
{
    if (m->fd >= 0)
        close(m->fd);
    m->fd = -1;
    free(m->properties);
    free(m->reserve);
    m->properties = m->reserve = NULL;
}

/* More than a line of that many metrics takes, and than any group has. */
#define GROUP_MAX 64u
static size_t room_for(const struct sq_metrics *m, size_t metrics)
{
    return 512 + metrics * 192 + (m->properties ? strlen(m->properties) : 0);
}

bool sq_metrics_configure(struct sq_metrics *m,
                          const struct sq_body_metrics *b,
                          struct sq_fault *fault)
{
    static const char before[] = "Metrics error: Cannot initialize the "
                                 "metrics system due to bad user input: ";
    int fd = open(b->metrics_path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC,
                  0666);

    if (fd < 0)
        return sq_fault(fault, "%s%s", before, sq_os_text(errno).text);
    if (m->fd >= 0) {
        close(fd);
        return sq_fault(fault, "%sReinitialization of metrics not allowed.",
                        before);
    }
    if (b->properties)
        m->properties = json_dumps(b->properties, JSON_COMPACT);
    m->reserve_len = room_for(m, SQ_M_COUNT);
    m->reserve = malloc(m->reserve_len);
    if (!m->reserve || (b->properties && !m->properties)) {
        close(fd);
        sq_metrics_fini(m);
        return sq_fault(fault, "%sout of memory", before);
    }
    m->fd = fd;
    m->emit_id = b->emit_id.v;
    return true;
}

bool sq_metrics_stores(enum sq_metric which)
{
    return rows[which].kind == STORE;
}

/* --- a line ------------------------------------------------------------ */

struct text {
    char *at;
    size_t room;
};

static void put(struct text *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Words and whole numbers only, for which glibc's vsnprintf() takes neither
 * locks nor memory, so that handlers of signals may write lines, too. */
static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(t->at, t->room, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= t->room)
        n = t->room ? (int)t->room - 1 : 0;
    t->at += n;
    t->room -= (size_t)n;
}

static void put_value(struct text *t, int which, struct sq_metric_value value)
{
    put(t, "\"%s\":", rows[which].name);
    if (rows[which].kind == LATENCY)
        put(t, "{\"min_us\":%" PRIu64 ",\"max_us\":%" PRIu64
            ",\"sum_us\":%" PRIu64 "},", value.min_us, value.max_us, value.v);
    else
        put(t, "%" PRIu64 ",", value.v);
}

/* After the last entry a comma is one too many. */
static void put_end(struct text *t)
{
    if (t->at[-1] == ',') {
        t->at--;
        t->room++;
    }
    put(t, "},");
}

static void put_device(struct text *t, const struct sq_metrics_device *d)
{
    put(t, "\"%s\":{", d->name);
    for (int i = 1; i < SQ_M_COUNT; i++)
        if (strcmp(rows[i].group, d->group) == 0)
            put_value(t, i, d->value(d->ctx, (enum sq_metric)i));
    put_end(t);
}

/* The counters at one moment each: what a line tells and what the next one
 * starts from must be the same. */
struct now {
    uint64_t v[SQ_M_COUNT];
};

static void look(const struct sq_metrics *m, struct now *now)
{
    for (int i = 0; i < SQ_M_COUNT; i++)
        now->v[i] = atomic_load_explicit(&m->now[i], memory_order_relaxed);
}

static struct sq_metric_value value_of(const struct sq_metrics *m,
                                       const struct now *now, int which)
{
    return (struct sq_metric_value){
        .v = rows[which].kind == STORE ? now->v[which]
                                       : now->v[which] - m->last[which],
        .min_us = atomic_load_explicit(&m->min_us[which],
                                       memory_order_relaxed),
        .max_us = atomic_load_explicit(&m->max_us[which],
                                       memory_order_relaxed),
    };
}

/* A group's devices come before it; of vhost_user there is nothing else. */
static void put_groups(struct text *t, const struct sq_metrics *m,
                       const struct now *now,
                       const struct sq_metrics_device *devices, size_t count)
{
    for (int i = 1; i < SQ_M_COUNT;) {
        const char *group = rows[i].group;
        bool shown = strcmp(group, "vhost_user") != 0;

        for (size_t k = 0; k < count; k++)
            if (strcmp(devices[k].group, group) == 0)
                put_device(t, &devices[k]);
        if (shown)
            put(t, "\"%s\":{", group);
        for (; i < SQ_M_COUNT && strcmp(group, rows[i].group) == 0; i++)
            if (shown)
                put_value(t, i, value_of(m, now, i));
        if (shown)
            put_end(t);
    }
}

/* Ends with a newline. Returns its length. */
static size_t line(const struct sq_metrics *m, const struct now *now,
                   const struct sq_metrics_device *devices, size_t count,
                   char *at, size_t room)
{
    struct text t = {at, room};

    put(&t, "{\"utc_timestamp_ms\":%" PRIu64 ",", sq_wall_ns() / 1000000);
    if (m->emit_id)
        put(&t, "\"id\":\"%s\",", m->id);
    if (m->properties)
        put(&t, "\"properties\":%s,", m->properties);
    put_groups(&t, m, now, devices, count);
    put_end(&t);
    t.at[-1] = '\n';
    return (size_t)(t.at - at);
}

/* 0 or an errno; *done counts what was written. */
static int write_all(int fd, const char *text, size_t len, size_t *done)
{
    while (*done < len) {
        ssize_t n = write(fd, text + *done, len - *done);

        if (n >= 0)
            *done += (size_t)n;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

int sq_metrics_flush(struct sq_metrics *m,
                     const struct sq_metrics_device *devices, size_t count)
{
    size_t room = room_for(m, SQ_M_COUNT + count * GROUP_MAX), len, done = 0;
    struct now now;
    char *text;
    int e = 0;

    if (m->fd < 0)
        return 0;
    text = malloc(room);
    if (!text)
        return ENOMEM;
    look(m, &now);
    len = line(m, &now, devices, count, text, room);
    memcpy(m->last, now.v, sizeof(m->last));
    /* Half a line that a FIFO holds must not spoil this one. */
    if (m->torn)
        e = write_all(m->fd, "\n", 1, &done);
    if (!e) {
        done = 0;
        e = write_all(m->fd, text, len, &done);
        m->torn = e && done > 0;
    }
    free(text);
    if (e)
        sq_metrics_add(m, SQ_M_logger_missed_metrics_count, 1);
    return e;
}

void sq_metrics_last_line(struct sq_metrics *m, enum sq_metric which)
{
    struct now now;
    size_t len, done = 0;

    if (which != SQ_M_NONE)
        sq_metrics_set(m, which, 1);
    if (m->fd < 0)
        return;
    look(m, &now);
    len = line(m, &now, NULL, 0, m->reserve, m->reserve_len);
    write_all(m->fd, m->reserve, len, &done);
}
