/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure [-m] CMD ARGS...: runs a command and writes one line to descriptor
 * 3:
 *
 *   wall seconds, CPU seconds (user and system, waited-for children too), peak
 *   guest memory and peak of all other memory in KiB, exit status
 *
 * Memory is looked at with -m alone, every 10 ms: mappings of the memory files
 * that squib and QEMU keep a guest's memory in, and all others. A page that is
 * mapped twice counts once (it is the proportional size, Pss), as translated
 * code is.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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

static void sample(pid_t pid, long *guest, long *other)
{
    long guest_now = 0, other_now = 0, kib;
    char path[48], line[512];
    int is_guest = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
    f = fopen(path, "r");
    if (!f)
        return;
    while (fgets(line, sizeof(line), f)) {
        /* A mapping begins with its addresses in small hex digits. */
        if ((line[0] >= '0' && line[0] <= '9') ||
            (line[0] >= 'a' && line[0] <= 'f'))
            is_guest = strstr(line, "memfd:guest-memory") ||
                       strstr(line, "memfd:memory-backend-memfd");
        else if (sscanf(line, "Pss: %ld", &kib) == 1)
            *(is_guest ? &guest_now : &other_now) += kib;
    }
    fclose(f);
    if (guest_now > *guest)
        *guest = guest_now;
    if (other_now > *other)
        *other = other_now;
}

int main(int argc, char **argv)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    long guest = 0, other = 0;
    double start = now_s();
    struct rusage used;
    int status = 0, memory = 0;
    pid_t pid;

    if (argc > 1 && strcmp(argv[1], "-m") == 0) {
        memory = 1;
        argv++;
        argc--;
    }
    if (argc < 2) {
        fprintf(stderr, "usage: measure [-m] CMD ARGS... 3>RESULT\n");
        return 2;
    }
    pid = fork();
    if (pid < 0) {
        perror("measure: fork");
        return 125;
    }
    if (pid == 0) {
        close(3);
        /* Whoever ends a measurement ends what is measured. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    for (;;) {
        pid_t done = wait4(pid, &status, memory ? WNOHANG : 0, &used);

        if (done == pid)
            break;
        if (done < 0) {
            perror("measure: wait");
            return 125;
        }
        sample(pid, &guest, &other);
        nanosleep(&pause, NULL);
    }
    status = WIFEXITED(status) ? WEXITSTATUS(status)
                               : 128 + WTERMSIG(status);
    dprintf(3, "%.3f %.3f %ld %ld %d\n", now_s() - start,
            seconds(used.ru_utime) + seconds(used.ru_stime), guest, other,
            status);
    return status;
}
