/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One loop, one ppoll. SIGCHLD is blocked except inside ppoll, which makes
 * "a child ended" one more event without a descriptor for it. Three flows
 * carry the streams (two with a terminal); none ever blocks, so a host that
 * reads slowly stops its own stream and nothing else.
 *
 * The command's end does not end its output: bytes may sit in a pipe, and
 * processes it left behind may still write. They are killed first; then
 * every pipe has a definite end, and the flows run until that end has been
 * delivered. Only then does the caller send EXITED.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ppoll, pipe2 */
#endif

#include "session.h"

#include "flow.h"
#include "link.h"
#include "settings.h"
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441 /* the other end of a pty, without its path */
#endif

enum { STDIN, STDOUT, STDERR, STREAMS };

struct session {
    int control;
    pid_t pid;
    bool exited; /* pid was reaped; its number may be anybody's now */
    bool lost;
    int status; /* as waitpid gives it */
    int terminal; /* the pty's master for window sizes, or -1 */
    sigset_t wait_mask; /* ppoll's: SIGCHLD may come */
    struct sq_agent_command cmd;
    struct sq_agent_reader reader;
    struct flow flows[STREAMS];
};

static int fail_setup(struct spawn_failure *failure, const char *what)
{
    failure->reason = SQ_AGENT_SETUP;
    failure->error = errno;
    text_set(&failure->text, what, NULL);
    text_add_errno(&failure->text, failure->error);
    return -1;
}

static void nothing(int signo)
{
    (void)signo;
}

static void watch_children(struct session *session)
{
    struct sigaction action = { .sa_handler = nothing };
    sigset_t block;

    sigaction(SIGCHLD, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &session->wait_mask);
    sigdelset(&session->wait_mask, SIGCHLD);
}

/* Static memory for RUN: there is one per boot, and pages that a short one
 * does not touch cost nothing. */
static uint8_t *run_payload(void)
{
    static uint8_t payload[SQ_AGENT_RUN_MAX];

    return payload;
}

static int decode_run(size_t len, struct sq_agent_command *out)
{
    static const char *strings[SQ_AGENT_STRINGS_MAX + 2];

    return sq_agent_run_decode(run_payload(), len, strings,
                               SQ_AGENT_STRINGS_MAX + 2, out);
}

static int receive_run(struct session *session,
                       struct spawn_failure *failure)
{
    uint8_t raw[sizeof(struct sq_agent_header)];
    struct sq_agent_header header;

    if (link_recv(session->control, raw, sizeof(raw))) {
        session->lost = true;
        return -1;
    }
    if (sq_agent_header_decode(raw, &header) == SQ_AGENT_OK &&
        header.type == SQ_AGENT_RUN) {
        if (link_recv(session->control, run_payload(),
                      header.payload_len)) {
            session->lost = true;
            return -1;
        }
        if (decode_run(header.payload_len, &session->cmd) == SQ_AGENT_OK)
            return 0;
    }
    failure->reason = SQ_AGENT_PROTOCOL;
    failure->error = EPROTO;
    text_set(&failure->text, "the host's RUN message is malformed", NULL);
    return -1;
}

/* Connects a data stream and says whose it is. */
static int open_stream(const struct session *session, uint32_t port,
                       struct spawn_failure *failure)
{
    struct sq_agent_stream start = {
        .magic = SQ_AGENT_STREAM_MAGIC,
        .session = session->cmd.session,
        .port = port,
    };
    int fd = link_connect(port, &failure->text);

    if (fd < 0 || link_send(fd, &start, sizeof(start))) {
        if (fd >= 0) {
            close(fd);
            text_set(&failure->text, "the host closed a stream", NULL);
        }
        failure->reason = SQ_AGENT_SETUP;
        failure->error = EIO;
        return -1;
    }
    return fd;
}

static int open_terminal(struct session *session, int stdio[STREAMS],
                         struct spawn_failure *failure)
{
    struct winsize size = {
        .ws_row = session->cmd.rows,
        .ws_col = session->cmd.cols,
    };
    int unlock = 0, master, slave, fd;

    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master < 0)
        return fail_setup(failure, "cannot open a terminal (/dev/ptmx)");
    session->terminal = master;
    ioctl(master, TIOCSWINSZ, &size);
    if (ioctl(master, TIOCSPTLCK, &unlock) ||
        (slave = ioctl(master, TIOCGPTPEER,
                       O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
        return fail_setup(failure, "cannot open the terminal's other end");
    stdio[STDIN] = stdio[STDOUT] = stdio[STDERR] = slave;
    /* Best effort, as login does it: the user's own terminal. */
    if (session->cmd.uid)
        (void)!fchown(slave, session->cmd.uid, (gid_t)-1);

    fd = open_stream(session, SQ_AGENT_PORT_STDIN, failure);
    if (fd < 0)
        return -1;
    flow_start(&session->flows[STDIN], fd, true,
               fcntl(master, F_DUPFD_CLOEXEC, 3), false, true);
    flow_start(&session->flows[STDOUT],
               fcntl(master, F_DUPFD_CLOEXEC, 3), false,
               fcntl(fd, F_DUPFD_CLOEXEC, 3), true, true);
    return 0;
}

/* A pipe whose `ours` end (0 read, 1 write) does not block. */
static int open_pipe(int ends[2], int ours)
{
    if (pipe2(ends, O_CLOEXEC))
        return -1;
    return fcntl(ends[ours], F_SETFL, O_NONBLOCK);
}

static int open_input(struct session *session, int stdio[STREAMS],
                      struct spawn_failure *failure)
{
    int ends[2], fd;

    if (!(session->cmd.flags & SQ_AGENT_RUN_STDIN)) {
        stdio[STDIN] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (stdio[STDIN] >= 0)
            return 0;
        /* A root without /dev: a pipe nobody writes to reads the same. */
        if (open_pipe(ends, 1))
            return fail_setup(failure, "cannot make a pipe");
        stdio[STDIN] = ends[0];
        close(ends[1]);
        return 0;
    }
    if (open_pipe(ends, 1))
        return fail_setup(failure, "cannot make a pipe");
    stdio[STDIN] = ends[0];
    fd = open_stream(session, SQ_AGENT_PORT_STDIN, failure);
    flow_start(&session->flows[STDIN], fd, true, ends[1], false, false);
    return fd < 0 ? -1 : 0;
}

static int open_output(struct session *session, int stdio[STREAMS],
                       int stream, struct spawn_failure *failure)
{
    int ends[2], fd;

    if (open_pipe(ends, 0))
        return fail_setup(failure, "cannot make a pipe");
    stdio[stream] = ends[1];
    fd = open_stream(session,
                     SQ_AGENT_PORT_STDIN + (uint32_t)stream, failure);
    flow_start(&session->flows[stream], ends[0], false, fd, true, false);
    return fd < 0 ? -1 : 0;
}

/* Opens all streams and starts the command. The child's ends are closed
 * here in any case. */
static int start(struct session *session, struct spawn_failure *failure)
{
    int stdio[STREAMS] = { -1, -1, -1 };
    bool tty = session->cmd.flags & SQ_AGENT_RUN_TTY;
    int result, i;

    if (tty)
        result = open_terminal(session, stdio, failure);
    else if ((result = open_input(session, stdio, failure)) == 0 &&
             (result = open_output(session, stdio, STDOUT, failure)) == 0)
        result = open_output(session, stdio, STDERR, failure);
    if (result == 0)
        result = spawn_command(&session->cmd, stdio, &session->pid, failure);
    for (i = 0; i < (tty ? 1 : STREAMS); i++)
        if (stdio[i] >= 0)
            close(stdio[i]);
    return result;
}

/* Reaps everything that ended. Returns whether children are left. */
static bool reap(struct session *session)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == session->pid && !session->exited) {
            session->exited = true;
            session->status = status;
        }
    }
    return pid == 0;
}

static void kill_all(const struct session *session)
{
    if (getpid() == 1)
        kill(-1, SIGKILL);
    else
        kill(-session->pid, SIGKILL);
}

/* Ends the processes the command left behind, so that its pipes end. One
 * that cannot die (stuck in the kernel) is not waited for longer than 2 s
 * of guest time. */
static void end_leftovers(struct session *session)
{
    const struct timespec step = { .tv_nsec = 100 * 1000 * 1000 };
    int tries;

    if (!reap(session))
        return;
    kill_all(session);
    for (tries = 0; tries < 20 && reap(session); tries++)
        ppoll(NULL, 0, &step, &session->wait_mask);
}

static void take_message(struct session *session,
                         const struct sq_agent_msg *msg)
{
    struct winsize size = { 0 };

    switch (msg->type) {
    case SQ_AGENT_SIGNAL:
        if (!session->exited)
            kill(-session->pid, (int)msg->signal.signo);
        break;
    case SQ_AGENT_WINSIZE:
        size.ws_row = msg->winsize.rows;
        size.ws_col = msg->winsize.cols;
        if (session->terminal >= 0)
            ioctl(session->terminal, TIOCSWINSZ, &size);
        break;
    default:
        session->lost = true;
        break;
    }
}

static void read_control(struct session *session)
{
    struct sq_agent_msg msg;
    size_t room;
    uint8_t *at = sq_agent_reader_space(&session->reader, &room);
    ssize_t n = recv(session->control, at, room, MSG_DONTWAIT);
    int result;

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            session->lost = true;
        return;
    }
    sq_agent_reader_added(&session->reader, (size_t)n);
    while ((result = sq_agent_reader_next(&session->reader, &msg)) == 1)
        take_message(session, &msg);
    if (result < 0)
        session->lost = true;
}

/* The host's input is over: what a person would do is press Ctrl-D, twice
 * when the line has been begun. Raw terminals have no such thing. */
static void end_terminal_input(const struct session *session)
{
    const struct flow *flow = &session->flows[STDIN];
    struct termios mode;
    char end[2];

    if (tcgetattr(session->terminal, &mode) || !(mode.c_lflag & ICANON))
        return;
    end[0] = end[1] = (char)mode.c_cc[VEOF];
    (void)!write(session->terminal, end, flow->last == '\n' ? 1 : 2);
}

/* With entries NULL every end is tried. Returns whether anything moved. */
static bool move_streams(struct session *session,
                         const struct pollfd *entries)
{
    struct flow *input = &session->flows[STDIN];
    bool open_before = !flow_done(input);
    bool moved = false;
    int i;

    for (i = 0; i < STREAMS; i++)
        moved |= flow_move(&session->flows[i],
                           entries ? entries + 2 * i : NULL);
    if (session->terminal >= 0 && open_before && flow_done(input) &&
        !session->exited)
        end_terminal_input(session);
    return moved;
}

static bool output_done(const struct session *session)
{
    return flow_done(&session->flows[STDOUT]) &&
           flow_done(&session->flows[STDERR]);
}

/* Nobody can write or read the streams' guest ends any more. */
static void enter_drain(struct session *session)
{
    int i;

    end_leftovers(session);
    flow_stop(&session->flows[STDIN]);
    for (i = STDOUT; i < STREAMS; i++)
        session->flows[i].final = true;
}

static void relay(struct session *session)
{
    static const struct timespec at_once;
    struct pollfd entries[2 * STREAMS + 1];
    struct pollfd *control = &entries[2 * STREAMS];
    bool draining = false, again = false;
    int i;

    while (!session->lost && !(draining && output_done(session))) {
        for (i = 0; i < STREAMS; i++)
            flow_prepare(&session->flows[i], entries + 2 * i);
        control->fd = session->control;
        control->events = POLLIN;
        control->revents = 0;
        if (ppoll(entries, 2 * STREAMS + 1, again ? &at_once : NULL,
                  &session->wait_mask) < 0) {
            /* Interrupted by SIGCHLD. */
            for (i = 0; i <= 2 * STREAMS; i++)
                entries[i].revents = 0;
        }
        if (control->revents)
            read_control(session);
        /* While draining, every end is tried, and poll is for sinks alone:
         * it would not report a source that is empty, which is the end
         * then, but still held open by a process that cannot die. */
        again = move_streams(session, draining ? NULL : entries) && draining;
        reap(session);
        if (session->exited && !draining) {
            draining = again = true;
            enter_drain(session);
        }
    }
}

static void stop(struct session *session)
{
    int i;

    for (i = 0; i < STREAMS; i++)
        flow_stop(&session->flows[i]);
    if (session->terminal >= 0)
        close(session->terminal);
}

static void describe_exit(const struct session *session,
                          struct sq_agent_msg *msg)
{
    memset(msg, 0, sizeof(*msg));
    msg->type = SQ_AGENT_EXITED;
    msg->exited.session = session->cmd.session;
    if (WIFSIGNALED(session->status)) {
        msg->exited.kind = SQ_AGENT_EXIT_SIGNAL;
        msg->exited.value = (uint32_t)WTERMSIG(session->status);
    } else {
        msg->exited.kind = SQ_AGENT_EXIT_CODE;
        msg->exited.value = (uint32_t)WEXITSTATUS(session->status);
    }
}

int session_run(int control, struct sq_agent_msg *last)
{
    static struct session session;
    struct spawn_failure failure = { .reason = SQ_AGENT_SETUP };
    struct sq_agent_msg started = { .type = SQ_AGENT_STARTED };
    int i;

    session.control = control;
    session.terminal = -1;
    for (i = 0; i < STREAMS; i++)
        flow_none(&session.flows[i]);
    watch_children(&session);
    if (receive_run(&session, &failure) || start(&session, &failure)) {
        stop(&session);
        if (session.lost)
            return -1;
        link_fill_failed(last, session.cmd.session, failure.reason,
                         failure.error, &failure.text);
        return 0;
    }
    started.started.session = session.cmd.session;
    started.started.pid = (uint32_t)session.pid;
    if (link_send_msg(control, &started))
        session.lost = true;
    relay(&session);
    if (session.lost)
        end_leftovers(&session);
    stop(&session);
    describe_exit(&session, last);
    return session.lost ? -1 : 0;
}

/* --- without a host ---------------------------------------------------- */

#ifndef SQ_AGENT_TEST

static struct sq_agent_command *alone(void)
{
    static struct sq_agent_command cmd;

    return &cmd;
}

bool session_read_alone(void)
{
    long len = read_small_file("/squib/run", (char *)run_payload(),
                               SQ_AGENT_RUN_MAX);

    return len > 0 && decode_run((size_t)len, alone()) == SQ_AGENT_OK;
}

void session_alone(void)
{
    struct spawn_failure failure = { .reason = SQ_AGENT_SETUP };
    char console[64] = "/dev/";
    int stdio[STREAMS], i;
    pid_t pid, ended;

    /* The terminal behind /dev/console, which itself controls nobody. */
    if (read_small_file("/sys/class/tty/console/active", console + 5,
                        sizeof(console) - 5) <= 0)
        strcpy(console, "/dev/console");
    console[strcspn(console, " \n")] = 0;
    for (i = 0; i < STREAMS; i++)
        stdio[i] = open(console, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (stdio[STDERR] < 0) {
        say("cannot open ", console, NULL);
        return;
    }
    if (spawn_command(alone(), stdio, &pid, &failure)) {
        say(failure.text.s, NULL);
        return;
    }
    do
        ended = wait(NULL);
    while (ended != pid && (ended > 0 || errno == EINTR));
    tcdrain(stdio[STDOUT]);
}

#endif
