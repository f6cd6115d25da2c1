/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "dev/host/disk_pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/err.h"
#include "dev/host/disk_file.h"

/* Enough to keep a disk's queue filled; more would fight for the file. */
#define THREADS_MAX 4u

struct list {
    struct sq_disk_request *first, **end;
};

struct sq_disk_pool {
    int fd;
    struct sq_disk *disk;
    struct sq_poller *poller;
    struct sq_work reap; /* posted when `done` becomes filled */

    /* Event thread. */
    unsigned busy;
    unsigned thread_count;
    pthread_t thread[THREADS_MAX];

    pthread_mutex_t lock; /* a leaf, for what follows */
    pthread_cond_t work;  /* for threads: todo or stop */
    pthread_cond_t ready; /* for the event thread: done */
    struct list todo, done;
    unsigned idle;    /* threads that wait */
    unsigned waiting; /* requests in todo */
    bool stop;
};

static void list_put(struct list *l, struct sq_disk_request *req)
{
    req->next = NULL;
    *l->end = req;
    l->end = &req->next;
}

static void list_init(struct list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static struct sq_disk_request *list_take(struct list *l)
{
    struct sq_disk_request *req = l->first;

    l->first = req->next;
    if (!l->first)
        l->end = &l->first;
    return req;
}

static void *worker(void *ctx)
{
    struct sq_disk_pool *pool = ctx;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        struct sq_disk_request *req;

        if (!pool->todo.first) {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
            continue;
        }
        req = list_take(&pool->todo);
        pool->waiting--;
        pthread_mutex_unlock(&pool->lock);
        req->error = sq_disk_file_perform(pool->fd, req);
        pthread_mutex_lock(&pool->lock);
        if (!pool->done.first)
            sq_poller_post(pool->poller, &pool->reap);
        list_put(&pool->done, req);
        pthread_cond_signal(&pool->ready);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are other threads' business. */
static bool thread_start(struct sq_disk_pool *pool)
{
    sigset_t all, before;
    bool ok;

    sigfillset(&all);
    sigdelset(&all, SIGSYS); /* of a forbidden call, which this one made */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ok = pthread_create(&pool->thread[pool->thread_count], NULL, worker,
                        pool) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pool->thread_count += ok;
    return ok;
}

void sq_disk_pool_submit(struct sq_disk_pool *pool,
                         struct sq_disk_request *req)
{
    bool short_handed;

    pool->busy++;
    pthread_mutex_lock(&pool->lock);
    list_put(&pool->todo, req);
    pool->waiting++;
    short_handed = pool->waiting > pool->idle;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    if (!short_handed || pool->thread_count == THREADS_MAX ||
        thread_start(pool) || pool->thread_count)
        return;
    /* The host has no thread for us: nobody else has seen the request. */
    pthread_mutex_lock(&pool->lock);
    req = list_take(&pool->todo);
    pool->waiting--;
    pthread_mutex_unlock(&pool->lock);
    pool->busy--;
    req->done(req, sq_disk_file_perform(pool->fd, req));
}

/* Takes one at a time: a done() may drain the disk, which waits for all that
 * is busy, and what would be held here could never end. */
static void complete(struct sq_disk_pool *pool)
{
    for (;;) {
        struct sq_disk_request *req = NULL;

        pthread_mutex_lock(&pool->lock);
        if (pool->done.first)
            req = list_take(&pool->done);
        pthread_mutex_unlock(&pool->lock);
        if (!req)
            return;
        pool->busy--;
        req->done(req, req->error);
    }
}

/* Event loop. The batch may begin with a drain, after which nothing is left
 * here. */
static void reap(void *ctx)
{
    struct sq_disk_pool *pool = ctx;
    struct sq_disk *disk = pool->disk;

    if (!pool->busy)
        return;
    if (disk->batch)
        disk->batch(disk->batch_ctx, true);
    complete(pool);
    if (disk->batch)
        disk->batch(disk->batch_ctx, false);
}

unsigned sq_disk_pool_busy(const struct sq_disk_pool *pool)
{
    return pool->busy;
}

void sq_disk_pool_wait(struct sq_disk_pool *pool)
{
    if (!pool->busy)
        return;
    pthread_mutex_lock(&pool->lock);
    while (!pool->done.first)
        pthread_cond_wait(&pool->ready, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    complete(pool);
}

int sq_disk_pool_new(int fd, struct sq_disk *disk, struct sq_poller *poller,
                     struct sq_disk_pool **out, struct squib_error *err)
{
    struct sq_disk_pool *pool = calloc(1, sizeof(*pool));

    if (!pool)
        return sq_err_set(err, SQUIB_E_NOMEM, "disk: out of memory");
    pool->fd = fd;
    pool->disk = disk;
    pool->poller = poller;
    pool->reap = (struct sq_work){.fn = reap, .ctx = pool};
    list_init(&pool->todo);
    list_init(&pool->done);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->ready, NULL);
    *out = pool;
    return 0;
}

void sq_disk_pool_free(struct sq_disk_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->thread[i], NULL);
    sq_poller_unpost(pool->poller, &pool->reap);
    pthread_cond_destroy(&pool->ready);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
