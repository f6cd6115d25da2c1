/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "api/metrics.h"

#include <errno.h>
#include <fcntl.h>
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
    json_decref(m->properties);
    m->properties = NULL;
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
    m->fd = fd;
    m->emit_id = b->emit_id.v;
    m->properties = json_incref((json_t *)b->properties);
    return true;
}

bool sq_metrics_stores(enum sq_metric which)
{
    return rows[which].kind == STORE;
}

static json_t *show(enum kind kind, struct sq_metric_value value)
{
    if (kind == LATENCY)
        return json_pack("{s:I, s:I, s:I}", "min_us",
                         (json_int_t)value.min_us, "max_us",
                         (json_int_t)value.max_us, "sum_us",
                         (json_int_t)value.v);
    return json_integer((json_int_t)value.v);
}

static void add_device(json_t *root, const struct sq_metrics_device *d)
{
    json_t *part = json_object();

    for (int i = 1; i < SQ_M_COUNT; i++)
        if (strcmp(rows[i].group, d->group) == 0)
            json_object_set_new(part, rows[i].name,
                                show(rows[i].kind,
                                     d->value(d->ctx, (enum sq_metric)i)));
    json_object_set_new(root, d->name, part);
}

static json_t *line(struct sq_metrics *m,
                    const struct sq_metrics_device *devices, size_t count)
{
    json_t *root = json_object(), *part = NULL;
    const char *group = "";

    json_object_set_new(root, "utc_timestamp_ms",
                        json_integer((json_int_t)(sq_wall_ns() / 1000000)));
    if (m->emit_id)
        json_object_set_new(root, "id", json_string(m->id));
    if (m->properties)
        json_object_set(root, "properties", m->properties);
    for (int i = 1; i < SQ_M_COUNT; i++) {
        uint64_t now = atomic_load_explicit(&m->now[i],
                                            memory_order_relaxed);
        struct sq_metric_value v = {
            .v = rows[i].kind == STORE ? now : now - m->last[i],
            .min_us = atomic_load_explicit(&m->min_us[i],
                                           memory_order_relaxed),
            .max_us = atomic_load_explicit(&m->max_us[i],
                                           memory_order_relaxed),
        };

        if (strcmp(group, rows[i].group) != 0) {
            group = rows[i].group;
            for (size_t k = 0; k < count; k++)
                if (strcmp(devices[k].group, group) == 0)
                    add_device(root, &devices[k]);
            part = NULL;
            if (strcmp(group, "vhost_user") != 0) {
                part = json_object();
                json_object_set_new(root, group, part);
            }
        }
        if (part)
            json_object_set_new(part, rows[i].name, show(rows[i].kind, v));
        m->last[i] = now;
    }
    return root;
}

/* 0 or an errno; *done counts what was written. */
static int put(int fd, const char *text, size_t len, size_t *done)
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
    json_t *root;
    size_t len, done = 0;
    char *text;
    int e = 0;

    if (m->fd < 0)
        return 0;
    root = line(m, devices, count);
    text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!text)
        return ENOMEM;
    /* The newline takes the place of the NUL: one write, one line. */
    len = strlen(text);
    text[len] = '\n';
    /* Half a line that a FIFO holds must not spoil this one. */
    if (m->torn)
        e = put(m->fd, "\n", 1, &done);
    if (!e) {
        done = 0;
        e = put(m->fd, text, len + 1, &done);
        m->torn = e && done > 0;
    }
    free(text);
    if (e)
        sq_metrics_add(m, SQ_M_logger_missed_metrics_count, 1);
    return e;
}
