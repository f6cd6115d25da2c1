/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest agent as an ordinary process (its SQ_AGENT_TEST build), with
 * this program as the host: Unix sockets in a directory stand for the
 * vsock ports.
 *
 * SQUIB_TEST_AGENT in the environment, or the macro of that name, says
 * where the agent is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/agent_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SQUIB_TEST_AGENT
#define SQUIB_TEST_AGENT "build/guest/squib-agent-test"
#endif

enum { CONTROL, INPUT, OUTPUT, ERRORS, PORTS };
enum { WAIT_MS = 60000 };

struct bytes {
    uint8_t *at;
    size_t len;
};

struct host {
    char directory[64];
    int listener[PORTS];
    int fd[PORTS]; /* accepted, -1 before and after */
    pid_t agent;
    struct sq_agent_reader reader;
    struct sq_agent_msg last; /* EXITED or FAILED */
    struct bytes out[PORTS];  /* OUTPUT and ERRORS; with a tty INPUT */
};

static void socket_path(const struct host *host, int i, char *path,
                        size_t cap)
{
    snprintf(path, cap, "%s/%u", host->directory,
             SQ_AGENT_PORT_CONTROL + (unsigned)i);
}

static int setup(void **state)
{
    struct host *host = calloc(1, sizeof(*host));
    const char *program = getenv("SQUIB_TEST_AGENT");
    int i;

    assert_non_null(host);
    strcpy(host->directory, "/tmp/squib-agent-XXXXXX");
    assert_non_null(mkdtemp(host->directory));
    for (i = 0; i < PORTS; i++) {
        struct sockaddr_un name = { .sun_family = AF_UNIX };

        socket_path(host, i, name.sun_path, sizeof(name.sun_path));
        host->listener[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(host->listener[i] >= 0);
        assert_int_equal(bind(host->listener[i], (struct sockaddr *)&name,
                              sizeof(name)),
                         0);
        assert_int_equal(listen(host->listener[i], 4), 0);
        host->fd[i] = -1;
    }
    host->agent = fork();
    assert_true(host->agent >= 0);
    if (host->agent == 0) {
        int fd, signo;

        /* What this program inherited is not the agent's doing. */
        for (fd = 3; fd < 256; fd++)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        for (signo = 1; signo < 65; signo++)
            signal(signo, SIG_DFL);
        execl(program ? program : SQUIB_TEST_AGENT, "agent",
              host->directory, (char *)NULL);
        _exit(99);
    }
    *state = host;
    return 0;
}

/* Stops whatever is left and waits for the agent; its exit status. */
static int end_agent(struct host *host)
{
    int status = -1, i, tries;

    for (i = 0; i < PORTS; i++) {
        if (host->fd[i] >= 0)
            close(host->fd[i]);
        host->fd[i] = -1;
    }
    for (tries = 0; host->agent && tries < WAIT_MS / 10; tries++) {
        if (waitpid(host->agent, &status, WNOHANG) == host->agent)
            host->agent = 0;
        else
            usleep(10000);
    }
    if (host->agent) {
        kill(host->agent, SIGKILL);
        waitpid(host->agent, &status, 0);
        host->agent = 0;
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int teardown(void **state)
{
    struct host *host = *state;
    int status, i;

    /* An agent whose connection nobody took sees it end by this. */
    for (i = 0; i < PORTS; i++)
        close(host->listener[i]);
    status = host->agent ? end_agent(host) : 0;
    for (i = 0; i < PORTS; i++) {
        char path[128];

        socket_path(host, i, path, sizeof(path));
        unlink(path);
        free(host->out[i].at);
    }
    rmdir(host->directory);
    free(host);
    return status < 0 ? -1 : 0;
}

/* Like accept, but a lost agent fails the test instead of hanging it. */
static int accept_from(int listener)
{
    struct pollfd entry = { .fd = listener, .events = POLLIN };

    assert_int_equal(poll(&entry, 1, WAIT_MS), 1);
    return accept(listener, NULL, NULL);
}

static void read_exactly(int fd, void *to, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = read(fd, (char *)to + done, len - done);

        assert_true(n > 0);
        done += (size_t)n;
    }
}

static void send_msg(struct host *host, const struct sq_agent_msg *msg)
{
    uint8_t wire[SQ_AGENT_SMALL_MAX];
    size_t len = sq_agent_encode(msg, wire);

    assert_int_equal(write(host->fd[CONTROL], wire, len), len);
}

static void send_signal(struct host *host, uint32_t session, int signo)
{
    struct sq_agent_msg msg = {
        .type = SQ_AGENT_SIGNAL,
        .signal = { session, (uint32_t)signo },
    };

    send_msg(host, &msg);
}

/* The next message, waited for. False when the agent closed. */
static bool next_msg(struct host *host, struct sq_agent_msg *msg)
{
    int result;

    while ((result = sq_agent_reader_next(&host->reader, msg)) == 0) {
        struct pollfd entry = { .fd = host->fd[CONTROL], .events = POLLIN };
        size_t room;
        uint8_t *at = sq_agent_reader_space(&host->reader, &room);
        ssize_t n;

        assert_int_equal(poll(&entry, 1, WAIT_MS), 1);
        n = read(entry.fd, at, room);
        if (n <= 0)
            return false;
        sq_agent_reader_added(&host->reader, (size_t)n);
    }
    assert_int_equal(result, 1);
    return true;
}

static void connect_control(struct host *host)
{
    struct sq_agent_msg msg;

    host->fd[CONTROL] = accept_from(host->listener[CONTROL]);
    assert_true(host->fd[CONTROL] >= 0);
    assert_true(next_msg(host, &msg));
    assert_int_equal(msg.type, SQ_AGENT_HELLO);
    assert_int_equal(msg.hello.version, SQ_AGENT_VERSION);
}

static void send_run(struct host *host, const struct sq_agent_command *cmd)
{
    size_t size = sq_agent_run_size(cmd), len = 0, done = 0;
    uint8_t *wire = malloc(size);

    assert_true(size > 0);
    assert_non_null(wire);
    assert_int_equal(sq_agent_run_encode(cmd, wire, size, &len),
                     SQ_AGENT_OK);
    assert_int_equal(len, size);
    while (done < len) {
        ssize_t n = write(host->fd[CONTROL], wire + done, len - done);

        assert_true(n > 0);
        done += (size_t)n;
    }
    free(wire);
}

static void accept_stream(struct host *host, int port, uint32_t session)
{
    struct sq_agent_stream start;

    host->fd[port] = accept_from(host->listener[port]);
    assert_true(host->fd[port] >= 0);
    read_exactly(host->fd[port], &start, sizeof(start));
    assert_int_equal(start.magic, SQ_AGENT_STREAM_MAGIC);
    assert_int_equal(start.session, session);
    assert_int_equal(start.port, SQ_AGENT_PORT_CONTROL + (unsigned)port);
}

/* HELLO, RUN, all streams, STARTED. */
static void start_command(struct host *host,
                          const struct sq_agent_command *cmd)
{
    struct sq_agent_msg msg;

    connect_control(host);
    send_run(host, cmd);
    if (cmd->flags)
        accept_stream(host, INPUT, cmd->session);
    if (!(cmd->flags & SQ_AGENT_RUN_TTY)) {
        accept_stream(host, OUTPUT, cmd->session);
        accept_stream(host, ERRORS, cmd->session);
    }
    assert_true(next_msg(host, &msg));
    assert_int_equal(msg.type, SQ_AGENT_STARTED);
    assert_int_equal(msg.started.session, cmd->session);
    assert_true(msg.started.pid > 0);
}

static void keep(struct bytes *to, const uint8_t *from, size_t len)
{
    to->at = realloc(to->at, to->len + len + 1);
    assert_non_null(to->at);
    memcpy(to->at + to->len, from, len);
    to->len += len;
    to->at[to->len] = 0;
}

/* Reads what one stream has. At its end the connection is closed. */
static void collect(struct host *host, int port, size_t chunk)
{
    static uint8_t buffer[65536];
    ssize_t n = read(host->fd[port], buffer, chunk);

    if (n > 0) {
        keep(&host->out[port], buffer, (size_t)n);
        return;
    }
    close(host->fd[port]);
    host->fd[port] = -1;
}

/* Feeds `input` (then half-closes) and collects all output, until all
 * streams have ended; then takes the last message. Checks the promise that
 * EXITED comes after everything. */
static void finish(struct host *host, const uint8_t *input, size_t input_len,
                   size_t chunk)
{
    size_t sent = 0;
    bool feeding = host->fd[INPUT] >= 0;

    for (;;) {
        struct pollfd entries[PORTS];
        int i;

        for (i = INPUT; i < PORTS; i++) {
            entries[i].fd = host->fd[i];
            entries[i].events = POLLIN;
            entries[i].revents = 0;
        }
        if (feeding)
            entries[INPUT].events |= POLLOUT;
        if (host->fd[INPUT] < 0 && host->fd[OUTPUT] < 0 &&
            host->fd[ERRORS] < 0)
            break;
        assert_true(poll(entries + INPUT, PORTS - INPUT, WAIT_MS) > 0);
        if (feeding && (entries[INPUT].revents & POLLOUT)) {
            ssize_t n = send(host->fd[INPUT], input + sent,
                             input_len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

            if (n > 0)
                sent += (size_t)n;
            if (sent == input_len || (n < 0 && errno != EAGAIN)) {
                shutdown(host->fd[INPUT], SHUT_WR);
                feeding = false;
            }
        }
        for (i = INPUT; i < PORTS; i++)
            if (entries[i].revents & (POLLIN | POLLHUP | POLLERR))
                collect(host, i, chunk);
    }
    assert_true(next_msg(host, &host->last));
}

#define SESSION 42u

static struct sq_agent_command command(const char *const *argv,
                                       uint32_t flags)
{
    static const char *const none[] = { NULL };
    struct sq_agent_command cmd = {
        .session = SESSION,
        .flags = flags,
        .uid = geteuid(),
        .gid = getegid(),
        .cwd = "/",
        .argv = argv,
        .envp = none,
    };

    /* An ordinary user may not change the identity, not even to its own
     * through setgroups. */
    if (geteuid() != 0)
        cmd.uid = cmd.gid = 0;
    return cmd;
}

static struct sq_agent_command shell(const char *const **argv,
                                     const char *script, uint32_t flags)
{
    static const char *words[4];

    words[0] = "sh";
    words[1] = "-c";
    words[2] = script;
    words[3] = NULL;
    *argv = words;
    return command(words, flags);
}

static void expect_exit(const struct host *host, uint32_t kind,
                        uint32_t value)
{
    assert_int_equal(host->last.type, SQ_AGENT_EXITED);
    assert_int_equal(host->last.exited.session, SESSION);
    assert_int_equal(host->last.exited.kind, kind);
    assert_int_equal(host->last.exited.value, value);
}

static void expect_bytes(const struct bytes *got, const char *want)
{
    assert_int_equal(got->len, strlen(want));
    if (got->len)
        assert_memory_equal(got->at, want, got->len);
}

static void streams_are_separate(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd =
        shell(&argv, "echo out; echo err >&2; echo more", 0);

    start_command(host, &cmd);
    finish(host, NULL, 0, 4096);
    expect_bytes(&host->out[OUTPUT], "out\nmore\n");
    expect_bytes(&host->out[ERRORS], "err\n");
    expect_exit(host, SQ_AGENT_EXIT_CODE, 0);
    assert_int_equal(end_agent(host), 0);
}

/* A MiB of every byte value there and back, read in pieces of `chunk`. */
static void echo_bytes(struct host *host, size_t chunk)
{
    enum { LEN = 1024 * 1024 + 13 };
    const char *const argv[] = { "cat", NULL };
    struct sq_agent_command cmd = command(argv, SQ_AGENT_RUN_STDIN);
    uint8_t *input = malloc(LEN);
    uint32_t x = 1;
    size_t i;

    assert_non_null(input);
    for (i = 0; i < LEN; i++) {
        x = x * 1664525u + 1013904223u;
        input[i] = (uint8_t)(x >> 24);
    }
    start_command(host, &cmd);
    finish(host, input, LEN, chunk);
    assert_int_equal(host->out[OUTPUT].len, LEN);
    assert_memory_equal(host->out[OUTPUT].at, input, LEN);
    assert_int_equal(host->out[ERRORS].len, 0);
    expect_exit(host, SQ_AGENT_EXIT_CODE, 0);
    free(input);
}

static void stdin_to_stdout_is_exact(void **state)
{
    echo_bytes(*state, 65536);
}

static void slow_reader_loses_nothing(void **state)
{
    echo_bytes(*state, 777);
}

/* The connection is full when the command exits: its last bytes are still in
 * the agent and in the pipe, and are delivered before EXITED. */
static void output_is_drained_after_exit(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd = shell(
        &argv, "head -c 1000000 /dev/zero; echo end; exec echo last >&2", 0);

    start_command(host, &cmd);
    usleep(200000);
    finish(host, NULL, 0, 999);
    assert_int_equal(host->out[OUTPUT].len, 1000000 + 4);
    assert_memory_equal(host->out[OUTPUT].at + 1000000, "end\n", 4);
    expect_bytes(&host->out[ERRORS], "last\n");
}

static void exit_code_is_exact(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd = shell(&argv, "exit 7", 0);

    start_command(host, &cmd);
    finish(host, NULL, 0, 4096);
    expect_exit(host, SQ_AGENT_EXIT_CODE, 7);
}

static void killed_by_signal(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd = shell(&argv, "kill -9 $$", 0);

    start_command(host, &cmd);
    finish(host, NULL, 0, 4096);
    expect_exit(host, SQ_AGENT_EXIT_SIGNAL, SIGKILL);
}

static void signals_reach_the_group(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd = shell(
        &argv,
        "trap 'echo got; exit 3' TERM; echo ready; "
        "while :; do sleep 0.05; done",
        0);

    start_command(host, &cmd);
    while (host->out[OUTPUT].len < 6)
        collect(host, OUTPUT, 6);
    send_signal(host, SESSION, SIGTERM);
    finish(host, NULL, 0, 4096);
    expect_bytes(&host->out[OUTPUT], "ready\ngot\n");
    expect_exit(host, SQ_AGENT_EXIT_CODE, 3);
}

/* Signal dispositions of the agent must not leak into the command. */
static void command_starts_with_clean_signals(void **state)
{
    struct host *host = *state;
    const char *const argv[] = { "grep", "-E", "^Sig(Blk|Ign)",
                                 "/proc/self/status", NULL };
    struct sq_agent_command cmd = command(argv, 0);

    /* 32 and 33 are the C library's own, and what started this test may
     * have left them ignored. */
    const uint64_t internal = 3ull << 31;
    unsigned long long blocked, ignored;
    char text[128] = "";

    start_command(host, &cmd);
    finish(host, NULL, 0, 4096);
    assert_true(host->out[OUTPUT].len < sizeof(text));
    memcpy(text, host->out[OUTPUT].at, host->out[OUTPUT].len);
    assert_int_equal(sscanf(text, "SigBlk: %llx SigIgn: %llx", &blocked,
                            &ignored), 2);
    assert_int_equal(blocked & ~internal, 0);
    assert_int_equal(ignored & ~internal, 0);
}

/* Only the three streams are open in the command. */
static void no_descriptor_leaks(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd = shell(
        &argv,
        "fd=0; while [ $fd -lt 64 ]; do "
        "[ -e /proc/$$/fd/$fd ] && echo $fd; fd=$((fd+1)); done; exit 0",
        SQ_AGENT_RUN_STDIN);

    start_command(host, &cmd);
    finish(host, NULL, 0, 4096);
    expect_bytes(&host->out[OUTPUT], "0\n1\n2\n");
}

static void expect_failure(struct host *host,
                           const struct sq_agent_command *cmd,
                           uint32_t reason, const char *part)
{
    connect_control(host);
    send_run(host, cmd);
    assert_true(next_msg(host, &host->last));
    assert_int_equal(host->last.type, SQ_AGENT_FAILED);
    assert_int_equal(host->last.failed.session, SESSION);
    assert_int_equal(host->last.failed.reason, reason);
    if (!strstr(host->last.failed.text, part))
        fail_msg("\"%s\" does not name \"%s\"", host->last.failed.text,
                 part);
    assert_int_equal(end_agent(host), 0);
}

static void unknown_command_is_127(void **state)
{
    const char *const argv[] = { "no-such-command", NULL };
    const char *const envp[] = { "PATH=/usr/bin::/bin", NULL };
    struct sq_agent_command cmd = command(argv, 0);

    cmd.envp = envp;
    expect_failure(*state, &cmd, SQ_AGENT_NOT_FOUND,
                   "'no-such-command' is not in the root (PATH is "
                   "/usr/bin::/bin)");
    assert_int_equal(sq_agent_failed_status(SQ_AGENT_NOT_FOUND), 127);
}

static void unknown_path_is_127(void **state)
{
    const char *const argv[] = { "/no/such", NULL };
    struct sq_agent_command cmd = command(argv, 0);

    expect_failure(*state, &cmd, SQ_AGENT_NOT_FOUND, "'/no/such'");
}

/* A file in the host's directory, removed by the caller. */
static void make_file(const struct host *host, const char *name,
                      const char *text, int mode, char path[128])
{
    int fd;

    snprintf(path, 128, "%s/%s", host->directory, name);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    fchmod(fd, (mode_t)mode);
    close(fd);
}

static void not_executable_is_126(void **state)
{
    struct host *host = *state;
    char path[128];
    const char *const argv[] = { path, NULL };
    struct sq_agent_command cmd = command(argv, 0);

    make_file(host, "plain", "data\n", 0644, path);
    expect_failure(host, &cmd, SQ_AGENT_NOT_EXECUTABLE, path);
    assert_int_equal(sq_agent_failed_status(SQ_AGENT_NOT_EXECUTABLE), 126);
    unlink(path);
}

static void found_in_path_but_not_executable_is_126(void **state)
{
    struct host *host = *state;
    char path[128], variable[160];
    const char *const argv[] = { "plain", NULL };
    const char *const envp[] = { variable, NULL };
    struct sq_agent_command cmd = command(argv, 0);

    make_file(host, "plain", "data\n", 0644, path);
    snprintf(variable, sizeof(variable), "PATH=/bin:%s:/usr/bin",
             host->directory);
    cmd.envp = envp;
    expect_failure(host, &cmd, SQ_AGENT_NOT_EXECUTABLE, path);
    unlink(path);
}

static void wrong_format_is_126(void **state)
{
    struct host *host = *state;
    char path[128];
    const char *const argv[] = { path, NULL };
    struct sq_agent_command cmd = command(argv, 0);

    make_file(host, "odd", "\177ELF nonsense", 0755, path);
    expect_failure(host, &cmd, SQ_AGENT_NOT_EXECUTABLE, "Exec format");
    unlink(path);
}

static void directory_is_126(void **state)
{
    const char *const argv[] = { "/usr", NULL };
    struct sq_agent_command cmd = command(argv, 0);

    expect_failure(*state, &cmd, SQ_AGENT_NOT_EXECUTABLE, "'/usr'");
}

static void missing_interpreter_is_named(void **state)
{
    struct host *host = *state;
    char path[128];
    const char *const argv[] = { path, NULL };
    struct sq_agent_command cmd = command(argv, 0);

    make_file(host, "script", "#! /no/python9 -u\n", 0755, path);
    expect_failure(host, &cmd, SQ_AGENT_NOT_FOUND,
                   "needs '/no/python9', which is not in the root");
    unlink(path);
}

/* An ELF file with nothing but a PT_INTERP entry. */
static void missing_loader_is_named(void **state)
{
    struct host *host = *state;
    char path[128];
    const char *const argv[] = { path, NULL };
    struct sq_agent_command cmd = command(argv, 0);
    uint8_t file[160] = { 0x7f, 'E', 'L', 'F', 2, 1, 1 };
    static const char loader[] = "/lib64/ld-none.so.2";
    int fd;

    file[16] = 2; /* ET_EXEC */
#ifdef __aarch64__
    file[18] = 183;
#else
    file[18] = 62; /* EM_X86_64 */
#endif
    file[20] = 1;
    file[32] = 64; /* e_phoff */
    file[52] = 64; /* e_ehsize */
    file[54] = 56; /* e_phentsize */
    file[56] = 1;  /* e_phnum */
    file[64] = 3;  /* PT_INTERP */
    file[72] = 120; /* p_offset */
    file[96] = sizeof(loader);
    memcpy(file + 120, loader, sizeof(loader));
    make_file(host, "elf", "", 0755, path);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, file, sizeof(file)), sizeof(file));
    close(fd);
    expect_failure(host, &cmd, SQ_AGENT_NOT_FOUND,
                   "needs '/lib64/ld-none.so.2'");
    unlink(path);
}

static void bad_cwd_is_125(void **state)
{
    const char *const argv[] = { "true", NULL };
    struct sq_agent_command cmd = command(argv, SQ_AGENT_RUN_STDIN);

    cmd.cwd = "/no/where";
    expect_failure(*state, &cmd, SQ_AGENT_SETUP, "'/no/where'");
    assert_int_equal(sq_agent_failed_status(SQ_AGENT_SETUP), 125);
}

static void cwd_and_environment(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    const char *const envp[] = { "NAME=two words", "EMPTY=", NULL };
    struct sq_agent_command cmd = shell(
        &argv, "pwd; echo \"$NAME|${EMPTY-unset}|$HOME|${TERM-none}\"", 0);

    cmd.cwd = "/usr/bin";
    cmd.envp = envp;
    start_command(host, &cmd);
    finish(host, NULL, 0, 4096);
    expect_bytes(&host->out[OUTPUT],
                 "/usr/bin\ntwo words||/root|none\n");
}

static void relative_command_is_seen_from_cwd(void **state)
{
    struct host *host = *state;
    const char *const argv[] = { "./echo", "x", "", "y", NULL };
    struct sq_agent_command cmd = command(argv, 0);

    cmd.cwd = "/bin";
    start_command(host, &cmd);
    finish(host, NULL, 0, 4096);
    expect_bytes(&host->out[OUTPUT], "x  y\n");
}

static void other_user(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd =
        shell(&argv, "id -u; id -g; id -G; echo $HOME", 0);

    if (geteuid() != 0)
        skip();
    cmd.uid = 1234;
    cmd.gid = 2345;
    start_command(host, &cmd);
    finish(host, NULL, 0, 4096);
    expect_bytes(&host->out[OUTPUT], "1234\n2345\n2345\n/\n");
}

static void without_stdin_there_is_nothing_to_read(void **state)
{
    struct host *host = *state;
    const char *const argv[] = { "cat", NULL };
    struct sq_agent_command cmd = command(argv, 0);

    start_command(host, &cmd);
    finish(host, NULL, 0, 4096);
    assert_int_equal(host->out[OUTPUT].len, 0);
    expect_exit(host, SQ_AGENT_EXIT_CODE, 0);
}

/* The reader of stdout goes away: as in `yes | head`, SIGPIPE. */
static void closed_stdout_stops_the_writer(void **state)
{
    struct host *host = *state;
    const char *const argv[] = { "yes", NULL };
    struct sq_agent_command cmd = command(argv, 0);

    start_command(host, &cmd);
    collect(host, OUTPUT, 100);
    close(host->fd[OUTPUT]);
    host->fd[OUTPUT] = -1;
    finish(host, NULL, 0, 4096);
    expect_exit(host, SQ_AGENT_EXIT_SIGNAL, SIGPIPE);
}

/* The command closes stdin early; the host's bytes are nobody's problem. */
static void closed_stdin_is_tolerated(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    static const uint8_t input[300000];
    struct sq_agent_command cmd =
        shell(&argv, "exec <&-; sleep 0.2; exit 4", SQ_AGENT_RUN_STDIN);

    start_command(host, &cmd);
    finish(host, input, sizeof(input), 4096);
    expect_exit(host, SQ_AGENT_EXIT_CODE, 4);
}

/* stdout ends for the host when the command closes it, not at its exit. */
static void early_close_of_stdout_is_seen(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd =
        shell(&argv, "echo a; exec >&-; read x; echo $x >&2",
              SQ_AGENT_RUN_STDIN);

    start_command(host, &cmd);
    while (host->fd[OUTPUT] >= 0)
        collect(host, OUTPUT, 100);
    expect_bytes(&host->out[OUTPUT], "a\n");
    finish(host, (const uint8_t *)"later\n", 6, 4096);
    expect_bytes(&host->out[ERRORS], "later\n");
}

/* A background process that holds stdout does not hold the end. */
static void leftovers_are_killed(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd = shell(&argv, "sleep 1000 & echo x", 0);

    start_command(host, &cmd);
    finish(host, NULL, 0, 4096);
    expect_bytes(&host->out[OUTPUT], "x\n");
    expect_exit(host, SQ_AGENT_EXIT_CODE, 0);
    assert_int_equal(end_agent(host), 0);
}

static void host_that_goes_away_ends_the_command(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd = shell(&argv, "echo $$; sleep 1000", 0);
    pid_t pid;

    start_command(host, &cmd);
    while (!host->out[OUTPUT].at ||
           !strchr((char *)host->out[OUTPUT].at, '\n'))
        collect(host, OUTPUT, 100);
    pid = atoi((char *)host->out[OUTPUT].at);
    assert_true(pid > 1);
    assert_int_equal(end_agent(host), 1);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void broken_message_ends_the_command(void **state)
{
    struct host *host = *state;
    const char *const argv[] = { "sleep", "1000", NULL };
    struct sq_agent_command cmd = command(argv, 0);
    struct sq_agent_msg msg;

    start_command(host, &cmd);
    assert_int_equal(write(host->fd[CONTROL], "nonsense nonsense", 17), 17);
    assert_false(next_msg(host, &msg));
    assert_int_equal(end_agent(host), 1);
}

static void broken_run_is_refused(void **state)
{
    struct host *host = *state;
    const struct sq_agent_header header = { SQ_AGENT_RUN, 40 };
    uint8_t wire[48] = { 0 };

    memcpy(wire, &header, sizeof(header));
    connect_control(host);
    assert_int_equal(write(host->fd[CONTROL], wire, sizeof(wire)),
                     sizeof(wire));
    assert_true(next_msg(host, &host->last));
    assert_int_equal(host->last.type, SQ_AGENT_FAILED);
    assert_int_equal(host->last.failed.reason, SQ_AGENT_PROTOCOL);
}

static void terminal(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd = shell(
        &argv,
        "stty -echo; tty >/dev/null && stty size; "
        "trap 'stty size; exit 5' WINCH; echo ready; "
        "while :; do sleep 0.05; done",
        SQ_AGENT_RUN_TTY);
    struct sq_agent_msg size = {
        .type = SQ_AGENT_WINSIZE,
        .winsize = { SESSION, 50, 132 },
    };

    cmd.rows = 24;
    cmd.cols = 80;
    start_command(host, &cmd);
    while (!host->out[INPUT].at ||
           !strstr((char *)host->out[INPUT].at, "ready\r\n"))
        collect(host, INPUT, 4096);
    send_msg(host, &size);
    while (host->fd[INPUT] >= 0)
        collect(host, INPUT, 4096);
    assert_true(next_msg(host, &host->last));
    expect_bytes(&host->out[INPUT], "24 80\r\nready\r\n50 132\r\n");
    expect_exit(host, SQ_AGENT_EXIT_CODE, 5);
}

/* Keys work: Ctrl-C interrupts, because the terminal is controlling. */
static void terminal_keys(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd = shell(
        &argv, "stty -echo; echo ready; exec sleep 1000", SQ_AGENT_RUN_TTY);

    start_command(host, &cmd);
    while (!host->out[INPUT].at ||
           !strstr((char *)host->out[INPUT].at, "ready\r\n"))
        collect(host, INPUT, 4096);
    assert_int_equal(write(host->fd[INPUT], "\003", 1), 1);
    while (host->fd[INPUT] >= 0)
        collect(host, INPUT, 4096);
    assert_true(next_msg(host, &host->last));
    expect_exit(host, SQ_AGENT_EXIT_SIGNAL, SIGINT);
}

/* The end of the host's input is the end of a terminal's input, also in
 * the middle of a line. */
static void terminal_input_ends(void **state)
{
    struct host *host = *state;
    const char *const *argv;
    struct sq_agent_command cmd = shell(
        &argv, "stty -echo; echo ready; exec cat", SQ_AGENT_RUN_TTY);

    start_command(host, &cmd);
    while (!host->out[INPUT].at ||
           !strstr((char *)host->out[INPUT].at, "ready\r\n"))
        collect(host, INPUT, 4096);
    finish(host, (const uint8_t *)"one\ntwo", 7, 4096);
    expect_bytes(&host->out[INPUT], "ready\r\none\r\ntwo");
    expect_exit(host, SQ_AGENT_EXIT_CODE, 0);
}

#define RUN_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_TEST(streams_are_separate),
        RUN_TEST(stdin_to_stdout_is_exact),
        RUN_TEST(slow_reader_loses_nothing),
        RUN_TEST(output_is_drained_after_exit),
        RUN_TEST(exit_code_is_exact),
        RUN_TEST(killed_by_signal),
        RUN_TEST(signals_reach_the_group),
        RUN_TEST(command_starts_with_clean_signals),
        RUN_TEST(no_descriptor_leaks),
        RUN_TEST(unknown_command_is_127),
        RUN_TEST(unknown_path_is_127),
        RUN_TEST(not_executable_is_126),
        RUN_TEST(found_in_path_but_not_executable_is_126),
        RUN_TEST(wrong_format_is_126),
        RUN_TEST(directory_is_126),
        RUN_TEST(missing_interpreter_is_named),
        RUN_TEST(missing_loader_is_named),
        RUN_TEST(bad_cwd_is_125),
        RUN_TEST(cwd_and_environment),
        RUN_TEST(relative_command_is_seen_from_cwd),
        RUN_TEST(other_user),
        RUN_TEST(without_stdin_there_is_nothing_to_read),
        RUN_TEST(closed_stdout_stops_the_writer),
        RUN_TEST(closed_stdin_is_tolerated),
        RUN_TEST(early_close_of_stdout_is_seen),
        RUN_TEST(leftovers_are_killed),
        RUN_TEST(host_that_goes_away_ends_the_command),
        RUN_TEST(broken_message_ends_the_command),
        RUN_TEST(broken_run_is_refused),
        RUN_TEST(terminal),
        RUN_TEST(terminal_keys),
        RUN_TEST(terminal_input_ends),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
