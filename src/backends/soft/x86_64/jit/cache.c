/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code memory, and the tables that find what is in it.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/soft/x86_64/jit/state.h"
#include "base/err.h"
#include "base/util.h"
#include "os/lazy.h"
#include "os/shm.h"

static int map_code(struct sq_jit *j, struct squib_error *err)
{
    int e = sq_code_new(SQ_JIT_CODE_LEN, &j->rw, &j->rx);

    if (!e)
        return 0;
    return sq_err_os(err, SQUIB_E_NOSUPPORT, e, "interpreting, as the host "
                     "refuses executable memory");
}

static void unmap_code(struct sq_jit *j)
{
    sq_code_free(j->rw, j->rx, SQ_JIT_CODE_LEN);
}

/* What __builtin_cpu_supports() of older compilers has no name for. */
static bool host_has_rest_of_v3(void)
{
    enum { C1_MOVBE = 1 << 22, C1_F16C = 1 << 29, C81_LZCNT = 1 << 5 };
    unsigned a, b, c1 = 0, c81 = 0, d;

    return __get_cpuid(1, &a, &b, &c1, &d) &&
           __get_cpuid(0x80000001, &a, &b, &c81, &d) && c1 & C1_MOVBE &&
           c1 & C1_F16C && c81 & C81_LZCNT;
}

static uint8_t host_has(void)
{
    uint8_t has = 0;

    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
        host_has_rest_of_v3())
        has |= SQ_JIT_V3;
    if (__builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul"))
        has |= SQ_JIT_AES;
    return has;
}

/* What the host's processor and this build must be. */
static int check_host(struct squib_error *err)
{
    /* It cannot follow jumps from one stack to another. */
    if (SQ_SANITIZED)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "interpreting, as the address sanitizer allows "
                          "no translator");
    if (!__builtin_cpu_supports("popcnt") ||
        !__builtin_cpu_supports("sse4.2"))
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          "interpreting, as the host's processor lacks "
                          "SSE4.2 or POPCNT");
    return 0;
}

int sq_jit_check(struct squib_error *err)
{
    struct sq_jit j = {0};
    int rc = check_host(err);

    if (!rc)
        rc = map_code(&j, err);
    unmap_code(&j);
    return rc;
}

int sq_jit_new(struct sq_jit **out, unsigned heat, struct squib_error *err)
{
    struct sq_jit *j;
    int rc = check_host(err);

    if (rc)
        return rc;
    j = calloc(1, sizeof(*j));
    if (!j)
        return sq_err_set(err, SQUIB_E_NOMEM, "translator: out of memory");
    pthread_mutex_init(&j->lock, NULL);
    rc = map_code(j, err);
    if (rc) {
        sq_jit_free(j);
        return rc;
    }
    j->sites = sq_lazy_new(SQ_JIT_SITES_MAX * sizeof(*j->sites),
                           "squib-jit");
    j->links = sq_lazy_new(SQ_JIT_LINKS_MAX * sizeof(*j->links),
                           "squib-jit");
    if (!j->sites || !j->links) {
        sq_jit_free(j);
        return sq_err_set(err, SQUIB_E_NOMEM, "translator: out of memory");
    }
    j->heat = heat;
    j->host = host_has();
    j->most = UINT64_MAX;
    j->room = SQ_JIT_CODE_LEN;
    sq_jit_emit_stubs(j);
    sq_jit_forget(j);
    *out = j;
    return 0;
}

void sq_jit_attach(struct sq_x86_cpu *c, struct sq_jit *j)
{
    c->jit = j;
    c->js.stop = UINT32_MAX;
    c->translated = j ? sq_jit_run : NULL;
}

void sq_jit_free(struct sq_jit *j)
{
    if (!j)
        return;
    unmap_code(j);
    if (j->sites)
        munmap(j->sites, SQ_JIT_SITES_MAX * sizeof(*j->sites));
    if (j->links)
        munmap(j->links, SQ_JIT_LINKS_MAX * sizeof(*j->links));
    pthread_mutex_destroy(&j->lock);
    free(j);
}

void sq_jit_room(struct sq_jit *j, size_t code_len)
{
    pthread_mutex_lock(&j->lock);
    j->room = code_len < SQ_JIT_CODE_LEN ? code_len : SQ_JIT_CODE_LEN;
    pthread_mutex_unlock(&j->lock);
}

void sq_jit_limit(struct sq_jit *j, uint64_t most)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->most = j->made + most;
    pthread_mutex_unlock(&j->lock);
}

uint64_t sq_jit_made(struct sq_jit *j, struct sq_jit_made *m)
{
    uint64_t made;

    if (!j)
        return 0;
    pthread_mutex_lock(&j->lock);
    made = j->made;
    if (made)
        *m = j->last;
    pthread_mutex_unlock(&j->lock);
    return made;
}

void sq_jit_forget_jumps(struct sq_x86_cpu *c)
{
    if (c->jit)
        memset(c->jjc, 0, sizeof(c->jjc));
}

void sq_jit_forget(struct sq_jit *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->used = (j->stubs_len + 63) & ~(size_t)63;
    j->cold_used = SQ_JIT_CODE_LEN / 2;
    j->site_count = j->link_count = 0;
    pthread_mutex_unlock(&j->lock);
}

void sq_jit_renew(struct sq_x86_cpu *c)
{
    unsigned a, b, cx, d;

    if (!c->jit)
        return;
    c->js.link = 0;
    sq_jit_forget_jumps(c);
    /* Other code is about to lie where this processor may have fetched some:
     * CPUID serializes (SDM vol. 3, 9.1.3). */
    __cpuid(0, a, b, cx, d);
    (void)a, (void)b, (void)cx, (void)d;
}
