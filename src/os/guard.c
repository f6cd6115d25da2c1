/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* Of the process, as signals are. Slots are taken and given back under
 * `lock`; the handler reads them, counted by `readers`. */
static struct {
    pthread_mutex_t lock;
    struct sigaction before;
    _Atomic(struct sq_guard *) slot[SQ_GUARDS_MAX];
    _Atomic uint32_t readers;
    _Atomic uint32_t losses;
    _Atomic uint32_t count; /* of slots in use */
} guards = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Everything from here to on_sigbus() is async-signal-safe. */

static bool replace(struct sq_guard *g, uint64_t from, uint64_t end)
{
    if (mmap(g->hva + from, end - from, PROT_READ | PROT_WRITE,
             MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
             0) == MAP_FAILED)
        return false;
    atomic_fetch_add(&guards.losses, 1);
    if (!atomic_exchange(&g->lost, true))
        sq_wake_signal(&g->wake);
    return true;
}

/* Replaces what lies behind the file's end. Busy. */
static bool replace_tail(struct sq_guard *g)
{
    struct stat st;
    uint64_t end;

    if (fstat(g->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return true;
    end = sq_align_up((uint64_t)st.st_size, g->page_len);
    if (end >= g->left)
        return true;
    if (!replace(g, end, g->left))
        return false;
    g->left = end;
    return true;
}

static void take(struct sq_guard *g)
{
    while (atomic_flag_test_and_set(&g->busy))
        ;
}

/* The page at hva + off could not be touched. */
static bool mend_page(struct sq_guard *g, uint64_t off)
{
    bool ok;

    take(g);
    ok = replace_tail(g);
    off &= ~(g->page_len - 1);
    /* The file has it, but the host cannot read it. */
    if (ok && off < g->left)
        ok = replace(g, off, off + g->page_len);
    atomic_flag_clear(&g->busy);
    return ok;
}

static bool mend_at(uintptr_t hva)
{
    bool ok = false;

    atomic_fetch_add(&guards.readers, 1);
    for (size_t i = 0; i < SQ_GUARDS_MAX && !ok; i++) {
        struct sq_guard *g = atomic_load(&guards.slot[i]);

        if (g && hva - (uintptr_t)g->hva < g->len)
            ok = mend_page(g, hva - (uintptr_t)g->hva);
    }
    atomic_fetch_sub(&guards.readers, 1);
    return ok;
}

static void on_sigbus(int signo, siginfo_t *info, void *context)
{
    int saved = errno;

    /* Codes up to 0 are of signals that somebody sent. */
    if (info->si_code > 0 && mend_at((uintptr_t)info->si_addr)) {
        errno = saved;
        return;
    }
    if (guards.before.sa_flags & SA_SIGINFO) {
        guards.before.sa_sigaction(signo, info, context);
    } else if (guards.before.sa_handler == SIG_DFL ||
               guards.before.sa_handler == SIG_IGN) {
        /* Again, with the effect that it has then. */
        sigaction(signo, &guards.before, NULL);
        if (info->si_code <= 0)
            raise(signo);
    } else {
        guards.before.sa_handler(signo);
    }
    errno = saved;
}

/* Also if somebody has put another one in its place. The lock is held. */
static int hook(struct squib_error *err)
{
    struct sigaction sa = {.sa_sigaction = on_sigbus,
                           .sa_flags = SA_SIGINFO};
    struct sigaction now;

    if (sigaction(SIGBUS, NULL, &now) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "SIGBUS");
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigbus)
        return 0;
    /* Where to go on must be known before the first one comes. */
    guards.before = now;
    if (sigaction(SIGBUS, &sa, NULL) != 0)
        return sq_err_os(err, SQUIB_E_OS, errno, "SIGBUS");
    return 0;
}

static int enter(struct sq_guard *g, struct squib_error *err)
{
    size_t i = 0;
    int rc;

    pthread_mutex_lock(&guards.lock);
    rc = hook(err);
    while (i < SQ_GUARDS_MAX && atomic_load(&guards.slot[i]))
        i++;
    if (!rc && i == SQ_GUARDS_MAX)
        rc = sq_err_set(err, SQUIB_E_RANGE, "more than %u mapped files",
                        SQ_GUARDS_MAX);
    if (!rc) {
        atomic_store(&guards.slot[i], g);
        atomic_fetch_add(&guards.count, 1);
    }
    pthread_mutex_unlock(&guards.lock);
    return rc;
}

int sq_guard_add(struct sq_guard *g, struct squib_error *err)
{
    int rc = sq_wake_init(&g->wake, err);

    if (rc)
        return rc;
    g->page_len = (uint64_t)sysconf(_SC_PAGESIZE);
    g->len = g->left = sq_align_up(g->len, g->page_len);
    atomic_init(&g->lost, false);
    atomic_flag_clear(&g->busy);
    rc = enter(g, err);
    if (rc)
        sq_wake_destroy(&g->wake);
    return rc;
}

void sq_guard_remove(struct sq_guard *g)
{
    pthread_mutex_lock(&guards.lock);
    for (size_t i = 0; i < SQ_GUARDS_MAX; i++)
        if (atomic_load(&guards.slot[i]) == g) {
            atomic_store(&guards.slot[i], NULL);
            atomic_fetch_sub(&guards.count, 1);
        }
    pthread_mutex_unlock(&guards.lock);
    /* A handler on another thread may be looking at it yet. */
    while (atomic_load(&guards.readers))
        ;
    sq_wake_destroy(&g->wake);
}

/* ---- For callers ---- */

/* A thread that is busy must not get a SIGBUS that wants to be. None of the
 * functions above touches a guarded range, so it does not. */
bool sq_guard_check(struct sq_guard *g)
{
    take(g);
    replace_tail(g);
    atomic_flag_clear(&g->busy);
    return atomic_load(&g->lost);
}

bool sq_guard_any(void)
{
    return atomic_load_explicit(&guards.count, memory_order_relaxed) != 0;
}

bool sq_guard_covers(const void *hva, uint64_t len)
{
    bool ok = false;

    atomic_fetch_add(&guards.readers, 1);
    for (size_t i = 0; i < SQ_GUARDS_MAX && !ok; i++) {
        const struct sq_guard *g = atomic_load(&guards.slot[i]);
        uint64_t off = g ? (uint64_t)((uintptr_t)hva - (uintptr_t)g->hva) : 0;

        ok = g && off < g->len && len <= g->len - off;
    }
    atomic_fetch_sub(&guards.readers, 1);
    return ok;
}

bool sq_guard_mend(uint32_t *seen)
{
    uint32_t losses;
    bool news;

    atomic_fetch_add(&guards.readers, 1);
    for (size_t i = 0; i < SQ_GUARDS_MAX; i++) {
        struct sq_guard *g = atomic_load(&guards.slot[i]);

        if (g)
            sq_guard_check(g);
    }
    atomic_fetch_sub(&guards.readers, 1);
    losses = atomic_load(&guards.losses);
    news = losses != *seen;
    *seen = losses;
    return news;
}
