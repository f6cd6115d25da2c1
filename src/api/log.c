/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "api/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void sq_log_init(struct sq_log *log, const char *id)
{
    memset(log, 0, sizeof(*log));
    pthread_mutex_init(&log->lock, NULL);
    snprintf(log->id, sizeof(log->id), "%s", id);
    log->fd = -1;
    log->level = SQ_LOG_INFO;
    log->main = pthread_self();
}

void sq_log_fini(struct sq_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
    pthread_mutex_destroy(&log->lock);
}

int sq_log_configure(struct sq_log *log, const struct sq_log_change *change)
{
    int fd = -1;

    if (change->path) {
        fd = open(change->path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC,
                  0666);
        if (fd < 0)
            return errno;
    }
    pthread_mutex_lock(&log->lock);
    log->level = change->level < 0 ? SQ_LOG_INFO
                                   : (enum sq_log_level)change->level;
    if (fd >= 0) {
        if (log->fd >= 0)
            close(log->fd);
        log->fd = fd;
    }
    if (change->show_level >= 0)
        log->show_level = change->show_level;
    if (change->show_origin >= 0)
        log->show_origin = change->show_origin;
    if (change->module)
        snprintf(log->module, sizeof(log->module), "%s", change->module);
    pthread_mutex_unlock(&log->lock);
    return 0;
}

/* Writes only as much as nobody has to wait for. */
static bool put(int fd, const char *text, size_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    ssize_t n;

    if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
        return false;
    do
        n = write(fd, text, len);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len;
}

/* What stands in a line besides the text. */
struct head {
    enum sq_log_level level;
    const char *origin;
    int line;
    struct timespec time;
    struct tm tm; /* the same */
    char thread[16];
};

static void head_init(struct head *h, const struct sq_log *log,
                      enum sq_log_level level, const char *file, int line)
{
    const char *origin = strstr(file, "src/");

    *h = (struct head){
        .level = level,
        .origin = origin ? origin + 4 : file,
        .line = line,
        .thread = "main",
    };
    clock_gettime(CLOCK_REALTIME, &h->time);
    if (!pthread_equal(pthread_self(), log->main))
        pthread_getname_np(pthread_self(), h->thread, sizeof(h->thread));
}

static bool wanted(const struct sq_log *log, const struct head *h)
{
    return h->level <= log->level &&
           strncmp(h->origin, log->module, strlen(log->module)) == 0;
}

/* Its length. */
static size_t format(const struct sq_log *log, const struct head *h,
                     const char *text, char *out, size_t room)
{
    static const char *const names[] = {"OFF", "ERROR", "WARN", "INFO",
                                        "DEBUG", "TRACE"};
    char place[128] = "";
    int n;

    if (log->show_origin)
        snprintf(place, sizeof(place), ":%.100s:%d", h->origin, h->line);
    n = snprintf(out, room, "%d-%02d-%02dT%02d:%02d:%02d.%09ld "
                 "[%s:%s%s%s%s] %s\n", h->tm.tm_year + 1900,
                 h->tm.tm_mon + 1, h->tm.tm_mday, h->tm.tm_hour,
                 h->tm.tm_min, h->tm.tm_sec, h->time.tv_nsec, log->id,
                 h->thread, log->show_level ? ":" : "",
                 log->show_level ? names[h->level] : "", place, text);
    return n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

/* A text is one line: its newlines are spelled. */
static void spell_newlines(char text[SQ_LOG_TEXT_MAX])
{
    char copy[SQ_LOG_TEXT_MAX];
    size_t n = 0;

    if (!strchr(text, '\n'))
        return;
    strcpy(copy, text);
    for (const char *p = copy; *p && n + 2 < SQ_LOG_TEXT_MAX; p++) {
        if (*p == '\n')
            text[n++] = '\\';
        text[n++] = *p == '\n' ? 'n' : *p;
    }
    text[n] = '\0';
}

void sq_log_write(struct sq_log *log, enum sq_log_level level,
                  const char *file, int line, const char *fmt, ...)
{
    char text[SQ_LOG_TEXT_MAX], out[SQ_LOG_TEXT_MAX + 512];
    struct head h;
    va_list ap;

    if (!log)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    spell_newlines(text);
    head_init(&h, log, level, file, line);
    localtime_r(&h.time.tv_sec, &h.tm);
    pthread_mutex_lock(&log->lock);
    log->utc_offset_s = h.tm.tm_gmtoff;
    if (wanted(log, &h)) {
        size_t n = format(log, &h, text, out, sizeof(out));

        if (!put(log->fd < 0 ? STDOUT_FILENO : log->fd, out, n))
            log->missed++;
    }
    pthread_mutex_unlock(&log->lock);
}

/* Days of a year that begins in March: it ends with the next February. */
static int days_of(int year)
{
    int next = year + 1;

    return 365 + ((next % 4 == 0 && next % 100 != 0) || next % 400 == 0);
}

/* The calendar without localtime_r(), which takes locks. */
static void civil(int64_t seconds, struct tm *tm)
{
    int64_t day = seconds / 86400 + 719468; /* from 0000-03-01 */
    int rest = (int)(seconds % 86400);
    int year = (int)(day / 146097) * 400; /* 400 years are as many days */
    int n = (int)(day % 146097);

    while (n >= days_of(year))
        n -= days_of(year++);
    tm->tm_mon = (5 * n + 2) / 153; /* March is 0; 31 and 30 days by turns */
    tm->tm_mday = n - (153 * tm->tm_mon + 2) / 5 + 1;
    tm->tm_mon = (tm->tm_mon + 2) % 12;
    tm->tm_year = year - 1900 + (tm->tm_mon < 2);
    tm->tm_hour = rest / 3600;
    tm->tm_min = rest / 60 % 60;
    tm->tm_sec = rest % 60;
}

void sq_log_last_words(const struct sq_log *log, const char *file, int line,
                       const char *text)
{
    char out[512];
    struct head h;

    head_init(&h, log, SQ_LOG_ERROR, file, line);
    civil(h.time.tv_sec + log->utc_offset_s, &h.tm);
    if (wanted(log, &h))
        put(log->fd < 0 ? STDOUT_FILENO : log->fd, out,
            format(log, &h, text, out, sizeof(out)));
}
