/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure CMD ARGS...: runs a command and writes one line to descriptor 3:
 *
 *   wall seconds, CPU seconds (user and system), peak shared memory and peak
 *   of all other memory in KiB, exit status
 *
 * Guest memory is shared memory (a memfd) in squib, so the fourth number is
 * what the monitor needs for itself. Peaks are sampled every 5 ms.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double seconds(struct timeval tv)
{
    return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static void sample(pid_t pid, long *shared, long *other)
{
    long anon = 0, file = 0, shmem = 0;
    char path[48], line[160];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    f = fopen(path, "r");
    if (!f)
        return;
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, "RssAnon:", 8) == 0)
            anon = atol(line + 8);
        else if (strncmp(line, "RssFile:", 8) == 0)
            file = atol(line + 8);
        else if (strncmp(line, "RssShmem:", 9) == 0)
            shmem = atol(line + 9);
    }
    fclose(f);
    if (shmem > *shared)
        *shared = shmem;
    if (anon + file > *other)
        *other = anon + file;
}

int main(int argc, char **argv)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    long shared = 0, other = 0;
    double start = now_s();
    struct rusage used;
    int status = 0;
    pid_t pid;

    if (argc < 2) {
        fprintf(stderr, "usage: measure CMD ARGS... 3>RESULT\n");
        return 2;
    }
    pid = fork();
    if (pid < 0) {
        perror("measure: fork");
        return 125;
    }
    if (pid == 0) {
        close(3);
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    for (;;) {
        pid_t done = wait4(pid, &status, WNOHANG, &used);

        if (done == pid)
            break;
        if (done < 0) {
            perror("measure: wait");
            return 125;
        }
        sample(pid, &shared, &other);
        nanosleep(&pause, NULL);
    }
    status = WIFEXITED(status) ? WEXITSTATUS(status)
                               : 128 + WTERMSIG(status);
    dprintf(3, "%.3f %.3f %ld %ld %d\n", now_s() - start,
            seconds(used.ru_utime) + seconds(used.ru_stime), shared, other,
            status);
    return status;
}
