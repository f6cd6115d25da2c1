/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that mean no good, against the real program:
 *
 *   bodies   random JSON for every request that takes a body, made from the
 *            schemas' own tables and then broken; before the start and after
 *            it
 *   slow     requests that stop halfway, answers that nobody reads
 *
 * Each answer must be well-formed, and at the end the program must still
 * answer as if nothing had been.
 *
 *     hostile_clients PROGRAM COUNT [SEED]
 *
 * COUNT bodies a request and state. What failed is printed with its seed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "api/call.h"
#include "base/util.h"
#include "waiting_kernel.h"

#define WAIT_MS 60000
#define BODY_MAX 20000

static struct {
    const char *program;
    char dir[64], socket[96];
    pid_t pid;
    int fd;
    uint64_t seed, state;
    unsigned good, bad;
} t;

static void report(bool ok, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void report(bool ok, const char *fmt, ...)
{
    va_list ap;

    printf(ok ? "ok - " : "not ok - ");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
    *(ok ? &t.good : &t.bad) += 1;
}

/* --- chance ------------------------------------------------------------ */

static uint64_t next(void)
{
    /* splitmix64 */
    uint64_t z = t.state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static unsigned below(unsigned n) { return (unsigned)(next() % n); }
static bool chance(unsigned percent) { return below(100) < percent; }

/* --- bodies ------------------------------------------------------------ */

struct body {
    size_t len;
    char text[BODY_MAX + 1];
};

static void add(struct body *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct body *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(b->text + b->len, sizeof(b->text) - b->len, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    if (b->len > BODY_MAX)
        b->len = BODY_MAX;
}

/* Names of files stay in the test's folder; taps cannot come to be. */
static void add_string(struct body *b, const struct sq_json_field *f)
{
    static const char *const some[] = {
        "", "a", "disk", "missing", "0x1", "0b1x0_1", "!14", "eax", "T2",
        "169.254.1.2", "06:00:aa:bb:cc:dd", "info", "\\u0041\\ud83d\\ude00",
        "\\u0000", "\\ud800", "caf\u00e9", "a b\\\"c\\\\", "None",
        "4294967296", "0x100000000",
    };

    if (f && strcmp(f->name, "host_dev_name") == 0)
        add(b, "\"no-interface-has-this-name\"");
    else if (f && strcmp(f->name, "kernel_image_path") == 0)
        add(b, "\"missing\"");
    else if (chance(3))
        add(b, "\"%0*d\"", (int)below(5000), 0);
    else
        add(b, "\"%s\"", some[below(SQ_ARRAY_LEN(some))]);
}

static void add_number(struct body *b)
{
    static const char *const some[] = {
        "0", "1", "2", "3", "64", "128", "255", "256", "1024", "65535",
        "65536", "4294967295", "4294967296", "9223372036854775807",
        "18446744073709551615", "18446744073709551616", "-1", "-0", "1.5",
        "1e3", "1e400", "-1e-400", "01", "+1",
    };

    if (chance(30))
        add(b, "%u", below(1u << below(32)));
    else
        add(b, "%s", some[below(SQ_ARRAY_LEN(some))]);
}

static void add_any(struct body *b, unsigned depth)
{
    unsigned n = below(4);

    switch (depth > 6 ? below(5) : below(7)) {
    case 0: add(b, "null"); break;
    case 1: add(b, chance(50) ? "true" : "false"); break;
    case 2: add_number(b); break;
    case 3:
    case 4: add_string(b, NULL); break;
    case 5:
        add(b, "[");
        for (unsigned i = 0; i < n; i++) {
            add(b, i ? "," : "");
            add_any(b, depth + 1);
        }
        add(b, "]");
        break;
    default:
        add(b, "{");
        for (unsigned i = 0; i < n; i++) {
            add(b, i ? "," : "");
            add_string(b, NULL);
            add(b, ":");
            add_any(b, depth + 1);
        }
        add(b, "}");
    }
}

static void add_object(struct body *b, const struct sq_json_schema *s,
                       const char *id);

static void add_value(struct body *b, const struct sq_json_field *f,
                      const char *id)
{
    unsigned words = 0;

    if (chance(8)) {
        add_any(b, 0);
        return;
    }
    switch (f->kind) {
    case SQ_JSON_STRING:
        if (id && (strcmp(f->name, "id") == 0 ||
                   strstr(f->name, "_id")))
            add(b, "\"%s\"", id);
        else
            add_string(b, f);
        break;
    case SQ_JSON_UINT: add_number(b); break;
    case SQ_JSON_BOOL: add(b, chance(50) ? "true" : "false"); break;
    case SQ_JSON_WORD:
        while (f->words[words])
            words++;
        /* Nothing is to be started. */
        if (strcmp(f->words[0], "FlushMetrics") == 0)
            add(b, "\"%s\"", f->words[chance(50) ? 0 : 2]);
        else
            add(b, "\"%s\"", f->words[below(words)]);
        break;
    case SQ_JSON_OBJECT: add_object(b, f->inner, NULL); break;
    case SQ_JSON_LIST:
        add(b, "[");
        for (unsigned i = 0, n = below(4); i < n; i++) {
            add(b, i ? "," : "");
            if (f->inner)
                add_object(b, f->inner, NULL);
            else
                add_string(b, f);
        }
        add(b, "]");
        break;
    case SQ_JSON_MAP:
    case SQ_JSON_ANY: add_any(b, 0); break;
    }
}

static void add_object(struct body *b, const struct sq_json_schema *s,
                       const char *id)
{
    bool first = true;

    add(b, chance(5) ? " {\n" : "{");
    for (size_t i = 0; i < s->count; i++) {
        const struct sq_json_field *f = &s->fields[i];

        if (chance(f->required ? 4 : 50))
            continue;
        add(b, "%s\"%s\":", first ? "" : ",", f->name);
        first = false;
        add_value(b, f, id);
        if (chance(2))
            i--; /* once more */
    }
    if (chance(4)) {
        add(b, "%s\"other\":", first ? "" : ",");
        add_any(b, 0);
    }
    add(b, "}");
}

/* Bytes changed, put in, taken out, cut off. */
static void spoil(struct body *b)
{
    static const char likely[] = "{}[]\",:\\0123456789eE+-.truefalsn \n\t\xff";

    for (unsigned i = 0, n = 1 + below(4); i < n && b->len; i++) {
        size_t at = below((unsigned)b->len);
        char c = chance(70) ? likely[below(sizeof(likely) - 1)]
                            : (char)below(256);

        switch (below(4)) {
        case 0: b->text[at] = c; break;
        case 1:
            if (b->len < BODY_MAX) {
                memmove(b->text + at + 1, b->text + at, b->len - at);
                b->text[at] = c;
                b->len++;
            }
            break;
        case 2:
            memmove(b->text + at, b->text + at + 1, b->len - at - 1);
            b->len--;
            break;
        default: b->len = at;
        }
    }
    b->text[b->len] = '\0';
}

static void make_body(struct body *b, const struct sq_json_schema *s,
                      const char *id)
{
    b->len = 0;
    b->text[0] = '\0';
    if (s && chance(95))
        add_object(b, s, id);
    else
        add_any(b, 0);
    if (chance(20))
        spoil(b);
    if (!b->len)
        add(b, "{");
}

/* --- the program ------------------------------------------------------- */

static int connect_api(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(to.sun_path, t.socket);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool start(void)
{
    t.pid = fork();
    if (t.pid == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0);
        dup2(null, 1);
        if (chdir(t.dir) == 0)
            execl(t.program, "squib", "serve", "--api-sock", t.socket,
                  "--level", "Off", NULL);
        _exit(127);
    }
    for (int i = 0; i < WAIT_MS / 20; i++) {
        t.fd = connect_api();
        if (t.fd >= 0)
            return true;
        usleep(20000);
    }
    report(false, "the program does not come up");
    return false;
}

/* It ends as it should, which a crash or a leak is not. */
static void stop(const char *what)
{
    int status = 0;

    close(t.fd);
    kill(t.pid, SIGTERM);
    for (int i = 0; i < WAIT_MS / 20; i++) {
        if (waitpid(t.pid, &status, WNOHANG) == t.pid) {
            report(SQ_SANITIZED ? WIFEXITED(status) &&
                                      WEXITSTATUS(status) == 128 + SIGTERM
                                : WIFSIGNALED(status) &&
                                      WTERMSIG(status) == SIGTERM,
                   "%s: it ends by SIGTERM (%#x)", what, status);
            return;
        }
        usleep(20000);
    }
    kill(t.pid, SIGKILL);
    waitpid(t.pid, NULL, 0);
    report(false, "%s: it does not end", what);
}

static bool give(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

struct answer {
    unsigned status;
    char head[4096];
    size_t body_len;
    const char *body;
    char text[1 << 20];
};

/* One answer, to its last byte and none more; false: none that is one. */
static bool take_answer(int fd, struct answer *a)
{
    size_t len = 0, want = 0;
    char *end = NULL;

    while (!end || len < want) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&p, 1, WAIT_MS) == 1
                        ? recv(fd, a->text + len, sizeof(a->text) - 1 - len,
                               0)
                        : -1;
        char *length;

        if (n <= 0)
            return false;
        len += (size_t)n;
        a->text[len] = '\0';
        end = end ? end : strstr(a->text, "\r\n\r\n");
        if (!end)
            continue;
        a->body = end + 4;
        length = memmem(a->text, (size_t)(end - a->text),
                        "Content-Length: ", 16);
        a->body_len = length ? strtoul(length + 16, NULL, 10) : 0;
        want = (size_t)(a->body - a->text) + a->body_len;
    }
    return len == want && sscanf(a->text, "HTTP/1.1 %3u \r\n", &a->status) &&
           memcmp(a->text + 12, " \r\n", 3) == 0;
}

/* What an answer may be. */
static const char *judge(const struct answer *a)
{
    json_t *tree;
    bool ok;

    if (a->status == 204)
        return a->body_len ? "a body with 204" : NULL;
    if (a->status != 200 && a->status != 400 && a->status != 413)
        return "an unknown status";
    /* A body that is not even HTTP's is answered otherwise. */
    if (a->status == 400 && strncmp(a->body, "{ \"error\": ", 11) == 0)
        return NULL;
    tree = json_loadb(a->body, a->body_len, JSON_DECODE_ANY, NULL);
    ok = tree && (a->status == 200 ||
                  (json_object_size(tree) == 1 &&
                   json_string_length(json_object_get(tree,
                                                      "fault_message"))));
    json_decref(tree);
    return ok ? NULL : "a body that is no such JSON";
}

/* --- random bodies ----------------------------------------------------- */

static void path_of(const struct sq_endpoint *e, char *out, size_t len)
{
    snprintf(out, len, "/%s%s%s%s%s%s", e->first,
             e->id ? "/disk" : e->second ? "/" : "",
             e->id || !e->second ? "" : e->second, e->third ? "/" : "",
             e->third ? e->third : "", "");
}

static bool try_body(const struct sq_endpoint *e, const char *path,
                     struct body *b, struct answer *a)
{
    char head[256];
    const char *why;
    int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     sq_http_method_name(e->method), path, b->len);

    if (!give(t.fd, head, (size_t)n) || !give(t.fd, b->text, b->len) ||
        !take_answer(t.fd, a))
        why = "no answer";
    else
        why = judge(a);
    if (why)
        report(false, "seed %llu: %s %s %.*s: %s: %.300s",
               (unsigned long long)t.seed, sq_http_method_name(e->method),
               path, (int)(b->len < 600 ? b->len : 600), b->text, why,
               a->text);
    return !why;
}

static void try_endpoint(const struct sq_endpoint *e, unsigned count,
                         const char *when)
{
    static struct answer a;
    static struct body b;
    char path[128];
    unsigned accepted = 0;

    path_of(e, path, sizeof(path));
    for (unsigned i = 0; i < count; i++) {
        t.seed = t.state;
        make_body(&b, e->schema, "disk");
        if (!try_body(e, path, &b, &a))
            return;
        accepted += a.status < 300;
    }
    report(true, "%u random bodies, %u accepted, %s: %s %s", count, accepted,
           when, sq_http_method_name(e->method), path);
}

static void try_all(unsigned count, const char *when)
{
    for (size_t i = 0; i < sq_endpoint_count && !t.bad; i++)
        if (sq_endpoints[i].body != SQ_NO_BODY)
            try_endpoint(&sq_endpoints[i], count, when);
}

static bool ask(const char *method, const char *path, const char *body,
                unsigned status)
{
    static struct answer a;
    char text[512];
    int n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nContent-Length: "
                     "%zu\r\n\r\n%s", method, path, strlen(body), body);
    bool ok = give(t.fd, text, (size_t)n) && take_answer(t.fd, &a) &&
              a.status == status;

    if (!ok)
        report(false, "%s %s %s: %.300s", method, path, body, a.text);
    return ok;
}

static void start_guest(void)
{
    ask("PUT", "/boot-source", "{\"kernel_image_path\":\"kernel\"}", 204);
    ask("PUT", "/drives/disk", "{\"drive_id\":\"disk\",\"path_on_host\":"
        "\"disk\",\"is_root_device\":false}", 204);
    ask("PUT", "/pmem/disk2", "{\"id\":\"disk2\",\"path_on_host\":\"pmem\"}",
        204);
    ask("PUT", "/balloon", "{\"amount_mib\":0,\"deflate_on_oom\":true,"
        "\"stats_polling_interval_s\":1,\"free_page_hinting\":true}", 204);
    ask("PUT", "/entropy", "{}", 204);
    ask("PUT", "/vsock", "{\"guest_cid\":3,\"uds_path\":\"vsock\"}", 204);
    ask("PUT", "/hotplug/memory", "{\"total_size_mib\":1024}", 204);
    ask("PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", 204);
}

/* --- slow clients ------------------------------------------------------ */

static bool still_answers(const char *what)
{
    bool ok = ask("GET", "/version", "", 200);

    report(ok, "%s", what);
    return ok;
}

static void slow_clients(void)
{
    static const char half[] = "PUT /actions HTTP/1.1\r\nContent-Length: "
                               "100\r\n\r\n{\"action_type\":";
    static const char all[] = "GET /vm/config HTTP/1.1\r\n\r\n";
    static struct answer a;
    int fd[8];

    for (int i = 0; i < 8; i++) {
        fd[i] = connect_api();
        give(fd[i], half, 1 + (size_t)i * (sizeof(half) - 2) / 7);
    }
    still_answers("eight clients stopped in the middle of a request");
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    still_answers("four of them went away");
    for (int i = 4; i < 8; i++)
        shutdown(fd[i], SHUT_WR);
    still_answers("four half-closed");
    for (int i = 4; i < 8; i++)
        close(fd[i]);

    /* Requests without end, and nobody reads the answers. */
    fd[0] = connect_api();
    fcntl(fd[0], F_SETFL, O_NONBLOCK);
    for (int i = 0, stuck = 0; i < 200000 && stuck < 50; i++) {
        if (send(fd[0], all, sizeof(all) - 1, MSG_NOSIGNAL) > 0)
            continue;
        stuck++;
        usleep(2000);
    }
    still_answers("a client that does not read its answers");
    close(fd[0]);
    still_answers("it went away");

    fd[0] = connect_api();
    give(fd[0], all, sizeof(all) - 1);
    shutdown(fd[0], SHUT_WR);
    report(take_answer(fd[0], &a) && a.status == 200,
           "a client that half-closes gets its answer");
    close(fd[0]);

    for (int i = 0; i < 2000; i++) {
        fd[0] = connect_api();
        if (i & 1)
            give(fd[0], all, (size_t)(i % (int)sizeof(all)));
        close(fd[0]);
    }
    still_answers("2000 connections, opened and closed");
}

/* ----------------------------------------------------------------------- */

static void write_file(const char *name, off_t size)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", t.dir, name);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, size) != 0)
        report(false, "cannot make %s", path);
    close(fd);
}

static int remove_it(const char *path, const struct stat *st, int type,
                     struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int main(int argc, char *argv[])
{
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    char kernel[128];

    if (argc < 3 || !count)
        return 2;
    t.program = realpath(argv[1], NULL);
    t.state = argc > 3 ? strtoull(argv[3], NULL, 0)
                       : (uint64_t)time(NULL) << 20;
    printf("# seed %llu\n", (unsigned long long)t.state);
    strcpy(t.dir, "/tmp/squib-api-XXXXXX");
    if (!t.program || !mkdtemp(t.dir))
        return 1;
    snprintf(t.socket, sizeof(t.socket), "%s/api.sock", t.dir);
    snprintf(kernel, sizeof(kernel), "%s/kernel", t.dir);
    if (!write_waiting_kernel(kernel))
        return 1;
    write_file("disk", 1 << 20);
    write_file("pmem", 2 << 20);
    if (start()) {
        try_all(count, "before the start");
        if (!t.bad)
            slow_clients();
        stop("before the start");
    }
    if (!t.bad && start()) {
        start_guest();
        if (!t.bad)
            try_all(count, "after the start");
        stop("after the start");
    }
    nftw(t.dir, remove_it, 16, FTW_DEPTH | FTW_PHYS);
    return t.bad != 0;
}
