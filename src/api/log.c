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

void sq_log_write(struct sq_log *log, enum sq_log_level level,
                  const char *file, int line, const char *fmt, ...)
{
    static const char *const names[] = {"OFF", "ERROR", "WARN", "INFO",
                                        "DEBUG", "TRACE"};
    const char *origin = strstr(file, "src/");
    char text[SQ_LOG_TEXT_MAX], out[SQ_LOG_TEXT_MAX + 512];
    char place[128] = "", thread[16] = "main";
    struct timespec ts;
    struct tm tm = {0};
    va_list ap;
    int n;

    if (!log)
        return;
    origin = origin ? origin + 4 : file;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    clock_gettime(CLOCK_REALTIME, &ts);
    localtime_r(&ts.tv_sec, &tm);
    if (!pthread_equal(pthread_self(), log->main))
        pthread_getname_np(pthread_self(), thread, sizeof(thread));
    pthread_mutex_lock(&log->lock);
    if (level <= log->level &&
        strncmp(origin, log->module, strlen(log->module)) == 0) {
        if (log->show_origin)
            snprintf(place, sizeof(place), ":%.100s:%d", origin, line);
        n = snprintf(out, sizeof(out), "%d-%02d-%02dT%02d:%02d:%02d.%09ld "
                     "[%s:%s%s%s%s] %s\n", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     ts.tv_nsec, log->id, thread, log->show_level ? ":" : "",
                     log->show_level ? names[level] : "", place, text);
        if (n > 0 && !put(log->fd < 0 ? STDOUT_FILENO : log->fd, out,
                          (size_t)n))
            log->missed++;
    }
    pthread_mutex_unlock(&log->lock);
}
