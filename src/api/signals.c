/* SPDX-License-Identifier: Apache-2.0 */
/* What the log and the metrics say of the process's signals (Firecracker
 * 1.17, its src/vmm/src/signal_handler.rs). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>

#include "api/api.h"
#include "base/util.h"

#define BAD_SYSCALL 1 /* SYS_SECCOMP, of Linux alone */

static const struct {
    int signo;
    enum sq_metric metric;
} deadly[] = {
    {SIGBUS, SQ_M_signals_sigbus},   {SIGSEGV, SQ_M_signals_sigsegv},
    {SIGXFSZ, SQ_M_signals_sigxfsz}, {SIGXCPU, SQ_M_signals_sigxcpu},
    {SIGHUP, SQ_M_signals_sighup},   {SIGILL, SQ_M_signals_sigill},
    {SIGSYS, SQ_M_seccomp_num_faults},
};

static enum sq_metric metric_of(int signo)
{
    for (size_t i = 0; i < SQ_ARRAY_LEN(deadly); i++)
        if (deadly[i].signo == signo)
            return deadly[i].metric;
    return SQ_M_NONE;
}

static void log_signal(const struct sq_api *api, const char *what, int signo,
                       int code)
{
    char text[96];

    snprintf(text, sizeof(text), "%s signal %d, code %d.", what, signo, code);
    sq_log_last_words(&api->log, __FILE__, __LINE__, text);
}

void sq_api_signal(struct sq_api *api, int signo, int code)
{
    if (signo == SIGPIPE) {
        sq_metrics_add(&api->metrics, SQ_M_signals_sigpipe, 1);
        log_signal(api, "Received", signo, code);
        return;
    }
    log_signal(api, "Shutting down VM after intercepting", signo, code);
    if (metric_of(signo) != SQ_M_NONE)
        sq_metrics_set(&api->metrics, metric_of(signo), 1);
}

void sq_api_died(struct sq_api *api, const siginfo_t *info)
{
    sq_api_signal(api, info->si_signo, info->si_code);
#ifdef __linux__
    if (info->si_signo == SIGSYS && info->si_code == BAD_SYSCALL) {
        char text[96];

        snprintf(text, sizeof(text), "Shutting down VM after intercepting a "
                 "bad syscall (%d).", info->si_syscall);
        sq_log_last_words(&api->log, __FILE__, __LINE__, text);
    }
#endif
    sq_metrics_last_line(&api->metrics, metric_of(info->si_signo));
}
