/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden tests of the API: requests to the real program, and answers that
 * must match to the byte.
 *
 *     api_cases PROGRAM FILE.cases...
 *
 * A file is a conversation, read line by line:
 *
 *     = NAME [OPTIONS]       a fresh program, whose first test is NAME
 *     > METHOD PATH [BODY]   a request; the answer is read at once
 *     < STATUS [+d] [BODY]   what it must be; +d: with "Deprecation: true"
 *     <~ STATUS TEXT         only the status, and that the body has TEXT
 *     <! TEXT                status 400 of a request that is not HTTP
 *     raw BYTES              bytes to send as they stand, \r \n \0 \\ \xNN
 *     got BYTES              bytes that must come next, none more
 *     x N BYTES              sends BYTES N times
 *     new                    another connection
 *     full N                 N more connections; the last gets 503
 *     file NAME              NAME must be a non-empty file of the folder
 *     no NAME                there is no such file
 *     touch NAME [SIZE]      makes one
 *     fifo NAME              makes a FIFO that nobody reads
 *     fill N METHOD PATH BODY  the request, N times, whatever the answers
 *     drain NAME             reads the FIFO empty; all its whole lines but the
 *                            last are JSON, if it was full, else all are
 *     holds TEXT, lacks TEXT what was read last has a line with TEXT, or none
 *     end STATUS             the program ends by itself, with this status
 *
 * $DIR is the folder of the test, $KERNEL a guest that waits for ever,
 * $VERSION the program's version. Other lines that start with # are
 * comments. Everything else is a mistake.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <squib/squib.h>

#include "base/util.h"
#include "waiting_kernel.h"

#define WAIT_MS 60000
#define ANSWER_MAX (1u << 20)
#define CONNS_MAX 32

static struct {
    const char *program, *file;
    unsigned line;
    char dir[128];
    char name[160], request[200];
    pid_t pid;
    int fd, idle[CONNS_MAX];
    unsigned idle_count;
    char answer[ANSWER_MAX];
    size_t answer_len;
    bool unread; /* an answer is still to be read */
    unsigned good, bad;
} t;

static void report(bool ok, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void report(bool ok, const char *fmt, ...)
{
    char what[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    printf("%s - %s:%u %s\n", ok ? "ok" : "not ok", t.file, t.line, what);
    fflush(stdout);
    *(ok ? &t.good : &t.bad) += 1;
}

static void die(const char *what)
{
    report(false, "%s", what);
    if (t.pid > 0)
        kill(t.pid, SIGKILL);
    exit(1);
}

/* --- texts ------------------------------------------------------------- */

static void expand(const char *in, char *out, size_t out_len)
{
    size_t n = 0;

    while (*in && n + 256 < out_len) {
        if (strncmp(in, "$DIR", 4) == 0) {
            n += (size_t)sprintf(out + n, "%s", t.dir);
            in += 4;
        } else if (strncmp(in, "$KERNEL", 7) == 0) {
            n += (size_t)sprintf(out + n, "%s/kernel", t.dir);
            in += 7;
        } else if (strncmp(in, "$VERSION", 8) == 0) {
            n += (size_t)sprintf(out + n, "%s", squib_version());
            in += 8;
        } else {
            out[n++] = *in++;
        }
    }
    out[n] = '\0';
}

static size_t unescape(char *s)
{
    char *out = s, *start = s;

    for (; *s; s++) {
        if (*s != '\\') {
            *out++ = *s;
            continue;
        }
        s++;
        if (*s == 'x') {
            char hex[3] = {s[1], s[2], '\0'};

            *out++ = (char)strtol(hex, NULL, 16);
            s += 2;
        } else {
            *out++ = *s == 'r' ? '\r' : *s == 'n' ? '\n'
                   : *s == '0' ? '\0' : *s == 't' ? '\t' : *s;
        }
    }
    *out = '\0';
    return (size_t)(out - start);
}

/* --- the program ------------------------------------------------------- */

static int try_connect(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof(to.sun_path), "%.90s/api", t.dir);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int dial(void)
{
    for (int i = 0; i < WAIT_MS / 10; i++) {
        int fd = try_connect();

        if (fd >= 0)
            return fd;
        usleep(10000);
    }
    die("no connection");
    return -1;
}

static void hang_up(void)
{
    if (t.fd >= 0)
        close(t.fd);
    t.fd = -1;
    while (t.idle_count)
        close(t.idle[--t.idle_count]);
}

static void stop(void)
{
    char path[256];
    int status;

    hang_up();
    if (t.pid > 0) {
        kill(t.pid, SIGTERM);
        waitpid(t.pid, &status, 0);
        snprintf(path, sizeof(path), "%s/api", t.dir);
        report(access(path, F_OK) != 0, "%s: the socket is gone", t.name);
        report(SQ_SANITIZED ? WIFEXITED(status) &&
                                  WEXITSTATUS(status) == 128 + SIGTERM
                            : WIFSIGNALED(status) &&
                                  WTERMSIG(status) == SIGTERM,
               "%s: ended by SIGTERM", t.name);
    }
    t.pid = 0;
}

static void start(char *line)
{
    char options[1024], socket[160], out[256];
    char *argv[32] = {(char *)t.program, "serve", "--api-sock", socket,
                      "--backend", "soft"};
    size_t n = 6;
    char *rest = strchr(line, '\t');

    stop();
    if (rest)
        *rest++ = '\0';
    snprintf(t.name, sizeof(t.name), "%.150s", line);
    snprintf(socket, sizeof(socket), "%s/api", t.dir);
    expand(rest ? rest : "", options, sizeof(options));
    for (char *w = strtok(options, " "); w && n < 31; w = strtok(NULL, " "))
        argv[n++] = w;
    snprintf(out, sizeof(out), "%s/stdout", t.dir);
    t.pid = fork();
    if (t.pid == 0) {
        int fd = open(out, O_WRONLY | O_CREAT | O_APPEND, 0666);
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0);
        dup2(fd, 1);
        dup2(fd, 2);
        execv(t.program, argv);
        _exit(127);
    }
    t.fd = dial();
}

/* --- bytes ------------------------------------------------------------- */

static void give(const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(t.fd, bytes, len, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* what comes back will tell */
        bytes += n;
        len -= (size_t)n;
    }
}

/* Reads until `enough` bytes are there, or for quiet_ms after the last. */
static void take(size_t enough, int wait_ms)
{
    while (t.answer_len < enough) {
        struct pollfd p = {.fd = t.fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, wait_ms) != 1)
            return;
        n = recv(t.fd, t.answer + t.answer_len,
                 sizeof(t.answer) - 1 - t.answer_len, 0);
        if (n <= 0)
            return;
        t.answer_len += (size_t)n;
        t.answer[t.answer_len] = '\0';
    }
}

/* One whole answer into t.answer. */
static void take_answer(void)
{
    char *end = NULL, *length;

    t.answer_len = 0;
    t.answer[0] = '\0';
    while (!end) {
        size_t before = t.answer_len;

        take(before + 1, WAIT_MS);
        if (t.answer_len == before)
            return;
        end = strstr(t.answer, "\r\n\r\n");
    }
    length = strstr(t.answer, "Content-Length: ");
    if (length && length < end)
        take((size_t)(end - t.answer) + 4 + strtoul(length + 16, NULL, 10),
             WAIT_MS);
}

static void request(const char *line)
{
    static char text[65536], body[65536];
    char method[16], path[512];
    int at = 0;
    size_t n;

    if (sscanf(line, "%15s %511s %n", method, path, &at) < 2)
        die("no request");
    expand(line + at, body, sizeof(body));
    snprintf(t.request, sizeof(t.request), "%.190s", line);
    if (body[0])
        n = (size_t)snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\n"
                             "Host: localhost\r\nAccept: */*\r\n"
                             "Content-Type: application/json\r\n"
                             "Content-Length: %zu\r\n\r\n%s", method, path,
                             strlen(body), body);
    else
        n = (size_t)snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\n"
                             "Host: localhost\r\n\r\n", method, path);
    give(text, n);
    take_answer();
}

static void compare(const char *want, size_t len)
{
    bool ok = t.answer_len == len && memcmp(t.answer, want, len) == 0;

    report(ok, "%s: %s", t.name, t.request);
    if (!ok)
        printf("    wanted [%.*s]\n    got    [%s]\n", (int)len, want,
               t.answer);
}

/* The answer to raw bytes, if it was not read yet. */
static void read_raw(void)
{
    if (t.unread)
        take_answer();
    t.unread = false;
}

static void answer(char *line)
{
    static char want[65536], body[65536];
    unsigned long status = strtoul(line, &line, 10);
    bool deprecated = strncmp(line, " +d", 3) == 0;
    size_t n;

    read_raw();
    if (deprecated)
        line += 3;
    while (*line == ' ')
        line++;
    expand(line, body, sizeof(body));
    n = (size_t)snprintf(want, sizeof(want), "HTTP/1.1 %lu \r\n"
                         "Server: Firecracker API\r\n"
                         "Connection: keep-alive\r\n%s", status,
                         deprecated ? "Deprecation: true\r\n" : "");
    if (body[0])
        n += (size_t)snprintf(want + n, sizeof(want) - n,
                              "Content-Type: application/json\r\n"
                              "Content-Length: %zu\r\n\r\n%s", strlen(body),
                              body);
    else
        n += (size_t)snprintf(want + n, sizeof(want) - n, "\r\n");
    compare(want, n);
}

static void answer_bad(char *line)
{
    char body[4096];

    unescape(line);
    snprintf(body, sizeof(body), "400 { \"error\": \"%s\nAll previous "
             "unanswered requests will be dropped.\" }", line);
    answer(body);
}

static void answer_has(char *line)
{
    static char want[4096];
    char status[32], *text = strchr(line, ' '), *body;
    bool ok;

    read_raw();
    body = strstr(t.answer, "\r\n\r\n");
    snprintf(status, sizeof(status), "HTTP/1.1 %.3s \r\n", line);
    expand(text ? text + 1 : "", want, sizeof(want));
    ok = strncmp(t.answer, status, strlen(status)) == 0 && body &&
         strstr(body, want);
    report(ok, "%s: %s", t.name, t.request);
    if (!ok)
        printf("    wanted %s with [%s]\n    got    [%s]\n", line, want,
               t.answer);
}

static void raw(char *text, unsigned long times)
{
    size_t n;

    snprintf(t.request, sizeof(t.request), "%.190s", text);
    n = unescape(text);
    while (times--)
        give(text, n);
    t.unread = true;
}

static void got(char *text)
{
    size_t n = unescape(text);

    t.unread = false;
    t.answer_len = 0;
    t.answer[0] = '\0';
    take(n, WAIT_MS);
    take(n + 1, 30); /* and no more */
    compare(text, n);
}

/* --- files ------------------------------------------------------------- */

static void path_of(const char *name, char *out, size_t out_len)
{
    snprintf(out, out_len, "%s/%s", t.dir, name);
}

static void want_file(const char *name, bool wanted)
{
    char path[512];
    struct stat st;
    bool ok;

    path_of(name, path, sizeof(path));
    ok = (stat(path, &st) == 0 && (st.st_size > 0 ||
                                   S_ISSOCK(st.st_mode))) == wanted;
    report(ok, "%s: %s%s", t.name, wanted ? "" : "no ", name);
}

static void touch(char *line)
{
    char path[512], *size = strchr(line, ' ');
    int fd;

    if (size)
        *size++ = '\0';
    path_of(line, path, sizeof(path));
    fd = open(path, O_RDWR | O_CREAT, 0666);
    if (fd < 0 || ftruncate(fd, size ? atol(size) : 0) != 0)
        die("cannot make a file");
    close(fd);
}

static void write_kernel(void)
{
    char path[256];

    path_of("kernel", path, sizeof(path));
    if (!write_waiting_kernel(path))
        die("cannot write the kernel");
}

/* --- FIFOs ------------------------------------------------------------- */

static void make_fifo(const char *name)
{
    char path[512];

    path_of(name, path, sizeof(path));
    if (mkfifo(path, 0600) != 0)
        die("cannot make a FIFO");
}

static void fill(char *line)
{
    unsigned long times = strtoul(line, &line, 10);

    while (times--)
        request(line + 1);
}

static char fifo_text[1 << 20];

/* Lines that are JSON; what a full FIFO cut off is followed by a newline and
 * counts as one that is not. */
static void drain(const char *name)
{
    char path[512];
    size_t len = 0;
    ssize_t n;
    unsigned torn = 0, whole = 0;
    int fd;

    path_of(name, path, sizeof(path));
    fd = open(path, O_RDONLY | O_NONBLOCK);
    while (fd >= 0 && len < sizeof(fifo_text) - 1 &&
           (n = read(fd, fifo_text + len, sizeof(fifo_text) - 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    fifo_text[len] = '\0';
    for (char *l = fifo_text; *l; l += strcspn(l, "\n")) {
        l += *l == '\n';
        if (*l == '{' && l[strcspn(l, "\n")] &&
            l[strcspn(l, "\n") - 1] == '}')
            whole++;
        else
            torn += *l && *l != '\n';
    }
    report(whole && torn <= 1, "%s: %u lines, %u cut off", t.name, whole,
           torn);
}

static void holds(const char *text, bool wanted)
{
    report((strstr(fifo_text, text) != NULL) == wanted, "%s: %s%s", t.name,
           wanted ? "" : "no ", text);
}

static void want_end(unsigned long status)
{
    int got = 0;
    bool ok = false;

    for (int i = 0; i < WAIT_MS / 10 && !ok; i++) {
        ok = waitpid(t.pid, &got, WNOHANG) == t.pid;
        if (!ok)
            usleep(10000);
    }
    if (ok)
        t.pid = 0;
    report(ok && WIFEXITED(got) &&
               WEXITSTATUS(got) == (int)status,
           "%s: ends with status %lu", t.name, status);
    hang_up();
}

/* --- the file of cases ------------------------------------------------- */

static bool starts(char **line, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*line, word, n) != 0)
        return false;
    *line += n;
    return true;
}

static void obey(char *line)
{
    if (starts(&line, "= ")) {
        start(line);
    } else if (starts(&line, "> ")) {
        request(line);
    } else if (starts(&line, "< ")) {
        answer(line);
    } else if (starts(&line, "<~ ")) {
        answer_has(line);
    } else if (starts(&line, "<! ")) {
        answer_bad(line);
    } else if (starts(&line, "raw ")) {
        raw(line, 1);
    } else if (starts(&line, "x ")) {
        unsigned long times = strtoul(line, &line, 10);

        raw(line + 1, times);
    } else if (starts(&line, "got ")) {
        got(line);
    } else if (strcmp(line, "new") == 0) {
        hang_up();
        usleep(20000); /* the program notices */
        t.fd = dial();
    } else if (starts(&line, "full ")) {
        unsigned long count = strtoul(line, NULL, 10);

        while (--count)
            t.idle[t.idle_count++] = dial();
        usleep(50000);
        t.idle[t.idle_count++] = t.fd;
        t.fd = dial();
        snprintf(t.request, sizeof(t.request), "one connection more");
    } else if (starts(&line, "file ")) {
        want_file(line, true);
    } else if (starts(&line, "no ")) {
        want_file(line, false);
    } else if (starts(&line, "touch ")) {
        touch(line);
    } else if (starts(&line, "fifo ")) {
        make_fifo(line);
    } else if (starts(&line, "fill ")) {
        fill(line);
    } else if (starts(&line, "drain ")) {
        drain(line);
    } else if (starts(&line, "holds ")) {
        holds(line, true);
    } else if (starts(&line, "lacks ")) {
        holds(line, false);
    } else if (starts(&line, "end ")) {
        want_end(strtoul(line, NULL, 10));
    } else if (line[0] && line[0] != '#') {
        die(line);
    }
}

static void run_file(const char *path)
{
    static char line[65536];
    FILE *f = fopen(path, "r");
    const char *slash = strrchr(path, '/');

    t.file = slash ? slash + 1 : path;
    t.line = 0;
    if (!f)
        die("cannot open the cases");
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        t.line++;
        obey(line);
    }
    fclose(f);
    stop();
}

int main(int argc, char *argv[])
{
    char command[256];

    if (argc < 3) {
        fprintf(stderr, "usage: %s PROGRAM FILE...\n", argv[0]);
        return 2;
    }
    t.program = argv[1];
    t.fd = -1;
    snprintf(t.dir, sizeof(t.dir), "/tmp/squib-api-XXXXXX");
    if (!mkdtemp(t.dir))
        return 1;
    write_kernel();
    for (int i = 2; i < argc; i++)
        run_file(argv[i]);
    snprintf(command, sizeof(command), "rm -rf '%s'", t.dir);
    if (system(command) != 0)
        return 1;
    return t.bad != 0;
}
