/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log that Firecracker's clients read:
 *
 *   2026-08-22T10:11:12.123456789 [anonymous-instance:api] text
 *
 * and with the level and the origin, if wanted, after the thread. Lines go
 * to standard output until a file is set. A reader that does not read costs
 * lines, which are counted, never time. Any thread; `lock` is a leaf.
 */
#ifndef SQ_API_LOG_H
#define SQ_API_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Who writes while nobody has a name. */
#define SQ_LOG_ID_DEFAULT "anonymous-instance"
/* A longer text is cut. */
#define SQ_LOG_TEXT_MAX 3072u

enum sq_log_level {
    SQ_LOG_OFF,
    SQ_LOG_ERROR,
    SQ_LOG_WARN,
    SQ_LOG_INFO,
    SQ_LOG_DEBUG,
    SQ_LOG_TRACE,
};

struct sq_log {
    pthread_t main; /* who made it; lines call it "main" */
    pthread_mutex_t lock; /* all below */
    char id[65];
    int fd; /* -1: standard output */
    enum sq_log_level level;
    bool show_level, show_origin;
    char module[128]; /* only origins that start with it; "" for all */
    uint64_t missed;
    long utc_offset_s; /* of the zone in which lines tell the time */
};

/* What to change; NULL and negative values leave things as they are, but
 * for the level: negative is Info again. */
struct sq_log_change {
    const char *path, *module;
    int level, show_level, show_origin;
};

void sq_log_init(struct sq_log *log, const char *id);
void sq_log_fini(struct sq_log *log);

/* 0, or the errno of opening the file; then nothing changed. */
int sq_log_configure(struct sq_log *log, const struct sq_log_change *change);

/* file is __FILE__; only what follows "src/" is used. log may be NULL. */
void sq_log_write(struct sq_log *log, enum sq_log_level level,
                  const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* For handlers of signals: an error's line, whoever holds the lock. file as
 * above; a text of plain words and numbers. */
void sq_log_last_words(const struct sq_log *log, const char *file, int line,
                       const char *text);

#define sq_log_error(log, ...)                                             \
    sq_log_write(log, SQ_LOG_ERROR, __FILE__, __LINE__, __VA_ARGS__)
#define sq_log_warn(log, ...)                                              \
    sq_log_write(log, SQ_LOG_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define sq_log_info(log, ...)                                              \
    sq_log_write(log, SQ_LOG_INFO, __FILE__, __LINE__, __VA_ARGS__)

#endif
