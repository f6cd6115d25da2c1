/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol between the host and the agent that is PID 1 in the guest.
 *
 * Shared source: the monitor and the guest's static program both compile
 * this header and agent_proto.c, which need nothing but <string.h>.
 *
 * Transport. Stream sockets (AF_VSOCK; the host is CID 2). The host listens
 * before the guest starts, the agent always connects:
 *
 *   port 1024  control   framed messages, both ways
 *   port 1025  stdin     host -> agent; with a tty: bytes both ways
 *   port 1026  stdout    agent -> host (not with a tty)
 *   port 1027  stderr    agent -> host (not with a tty)
 *
 * A data connection starts with one struct sq_agent_stream from the agent,
 * which says whose stream it is; everything after it is the command's own
 * bytes, unframed. End of stream is the end of the connection in that
 * direction: shutdown or close. A reader that has gone is told by closing
 * the connection; the writer then sees what a local pipe would show it.
 *
 * Order on the control connection:
 *
 *   agent  HELLO                                  once, first
 *   host   RUN                                    once, after HELLO
 *   agent  STARTED | FAILED
 *   host   SIGNAL, WINSIZE                        any number, after RUN
 *   agent  EXITED                                 last
 *   host   closes                                 or ends the machine
 *
 * Between RUN and STARTED the agent connects the streams, in the order of
 * their ports; when FAILED follows, those already there are closed empty.
 *
 * HELLO comes before the root is mounted, so FAILED may arrive at any time
 * after it, even before RUN is sent. After FAILED or EXITED the agent sends
 * nothing more.
 *
 * EXITED promises that every byte the command wrote was sent on its stream
 * before, and that a writable root is flushed and read-only: the host may
 * stop the machine at once, after it has read the streams to their ends.
 * When the host closes control, the agent kills the command and restarts
 * the machine (reboot, which the monitor takes as the end).
 *
 * Trust. Either side may be hostile to the other. All lengths are bounded
 * here and checked by the decoders; text from the guest is made printable.
 * A side that receives something malformed, or a known message where it
 * does not belong, ends the connection.
 *
 * Encoding: little-endian, fixed layout, no implicit padding.
 */
#ifndef SQ_CORE_AGENT_PROTO_H
#define SQ_CORE_AGENT_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire structs below are used in place and are little-endian"
#endif

#define SQ_AGENT_HOST_CID 2u
#define SQ_AGENT_PORT_CONTROL 1024u
#define SQ_AGENT_PORT_STDIN 1025u
#define SQ_AGENT_PORT_STDOUT 1026u
#define SQ_AGENT_PORT_STDERR 1027u
/* The agent listens here, plus a TCP port of the guest, for each port that
 * the host publishes (setting publish=); what the host connects there goes
 * on to that port of the guest's loopback, unframed. */
#define SQ_AGENT_PORT_FORWARD 0x10000u
#define SQ_AGENT_FORWARD_MAX 16

/* Raised when a change is not understood by older peers. The host refuses
 * an agent of another version. */
#define SQ_AGENT_VERSION 1u
#define SQ_AGENT_MAGIC 0x47417173u        /* "sqAG", in HELLO */
#define SQ_AGENT_STREAM_MAGIC 0x54537173u /* "sqST", in sq_agent_stream */

/* Bounds. A RUN payload holds the strings of one command; every other
 * message, header included, fits SQ_AGENT_SMALL_MAX. */
#define SQ_AGENT_RUN_MAX (1024u * 1024u)
#define SQ_AGENT_STRINGS_MAX 16384u /* arguments + environment entries */
#define SQ_AGENT_SMALL_MAX 320u
#define SQ_AGENT_TEXT_MAX 240u /* including the NUL */

/* Message types. Values are stable; 8.. are free for a later EXEC. */
enum sq_agent_type {
    SQ_AGENT_HELLO = 1,
    SQ_AGENT_RUN = 2,
    SQ_AGENT_STARTED = 3,
    SQ_AGENT_EXITED = 4,
    SQ_AGENT_FAILED = 5,
    SQ_AGENT_SIGNAL = 6,
    SQ_AGENT_WINSIZE = 7,
};

/* In front of every message. payload_len counts the bytes after it. */
struct sq_agent_header {
    uint32_t type;
    uint32_t payload_len;
};

struct sq_agent_hello {
    uint32_t magic;   /* SQ_AGENT_MAGIC */
    uint32_t version; /* SQ_AGENT_VERSION */
};

/* `session` below is the number the host chose in RUN; it tells commands
 * apart once there can be several. */
struct sq_agent_started {
    uint32_t session;
    uint32_t pid; /* in the guest, for people */
};

enum sq_agent_exit_kind {
    SQ_AGENT_EXIT_CODE = 1,   /* value = 0..255 */
    SQ_AGENT_EXIT_SIGNAL = 2, /* value = signal number 1..64 */
};

struct sq_agent_exited {
    uint32_t session;
    uint32_t kind;
    uint32_t value;
};

/* Why there is no command. sq_agent_failed_status() gives the status that
 * a shell user expects of each. */
enum sq_agent_reason {
    SQ_AGENT_NOT_FOUND = 1,      /* no such command, or its loader: 127 */
    SQ_AGENT_NOT_EXECUTABLE = 2, /* found, cannot be executed: 126 */
    SQ_AGENT_SETUP = 3,          /* root, mount, terminal, cwd: 125 */
    SQ_AGENT_PROTOCOL = 4,       /* the agent did not understand: 125 */
};

struct sq_agent_failed {
    uint32_t session; /* 0 before RUN was read */
    uint32_t reason;
    uint32_t guest_errno; /* Linux number, 0 when none fits */
    uint32_t reserved;    /* 0 */
    char text[SQ_AGENT_TEXT_MAX]; /* one line, NUL-terminated */
};

struct sq_agent_signal {
    uint32_t session;
    uint32_t signo; /* 1..64; goes to the command's process group */
};

struct sq_agent_winsize {
    uint32_t session;
    uint16_t rows;
    uint16_t cols;
};

/* A terminal: one data connection on the stdin port, a pty in the guest. */
#define SQ_AGENT_RUN_TTY (1u << 0)
/* The command has a stdin stream. Without it stdin is /dev/null and no
 * connection is made. Implied by TTY. */
#define SQ_AGENT_RUN_STDIN (1u << 1)
#define SQ_AGENT_RUN_FLAGS (SQ_AGENT_RUN_TTY | SQ_AGENT_RUN_STDIN)

/* The start of a RUN payload. Then strings_len bytes follow: NUL-terminated
 * strings, the working directory first ("" = "/"), then argc arguments,
 * then envc entries of the form NAME=VALUE. */
struct sq_agent_run {
    uint32_t session;
    uint32_t flags;
    uint32_t uid;
    uint32_t gid;
    uint16_t rows; /* used with TTY; 0 = unknown */
    uint16_t cols;
    uint32_t argc; /* at least 1 */
    uint32_t envc;
    uint32_t strings_len;
};

/* The first bytes of a data connection. */
struct sq_agent_stream {
    uint32_t magic; /* SQ_AGENT_STREAM_MAGIC */
    uint32_t session;
    uint32_t port; /* SQ_AGENT_PORT_STDIN.. of the stream */
};

/* Any message but RUN, decoded. */
struct sq_agent_msg {
    uint32_t type; /* enum sq_agent_type */
    union {
        struct sq_agent_hello hello;
        struct sq_agent_started started;
        struct sq_agent_exited exited;
        struct sq_agent_failed failed;
        struct sq_agent_signal signal;
        struct sq_agent_winsize winsize;
        uint8_t bytes[16 + SQ_AGENT_TEXT_MAX]; /* all of the above */
    };
};

/* RUN as a value: strings are borrowed, argv and envp are NULL-ended. */
struct sq_agent_command {
    uint32_t session;
    uint32_t flags; /* SQ_AGENT_RUN_* */
    uint32_t uid;
    uint32_t gid;
    uint16_t rows;
    uint16_t cols;
    const char *cwd;
    const char *const *argv;
    const char *const *envp;
};

/* Results of the functions below that can refuse their input. */
enum sq_agent_result {
    SQ_AGENT_OK = 0,
    SQ_AGENT_BAD = -1,     /* malformed, or not allowed by the protocol */
    SQ_AGENT_TOO_BIG = -2, /* beyond the bounds above, or `cap` */
};

/* Encodes a message other than RUN, header included, into `out`. Fields are
 * not judged; a FAILED text is cut at its bound. Returns the number of
 * bytes, or 0 for a type that has no small message. */
size_t sq_agent_encode(const struct sq_agent_msg *msg,
                       uint8_t out[SQ_AGENT_SMALL_MAX]);

/* Checks 8 received bytes: a known type, and a length that belongs to it.
 * SQ_AGENT_OK or SQ_AGENT_BAD. */
int sq_agent_header_decode(const uint8_t raw[sizeof(struct sq_agent_header)],
                           struct sq_agent_header *out);

/* Decodes the payload of a checked header (not RUN) and judges the fields:
 * magic, reason, signal and exit ranges, text terminated and printable
 * (other bytes become '?'). An unknown HELLO version is *not* refused here,
 * so that the caller can name it. SQ_AGENT_OK or SQ_AGENT_BAD. */
int sq_agent_decode(const struct sq_agent_header *header,
                    const uint8_t *payload, struct sq_agent_msg *out);

/* The bytes that RUN needs for `cmd`, header included; 0 when it exceeds
 * the bounds or has no argv[0]. */
size_t sq_agent_run_size(const struct sq_agent_command *cmd);

/* Encodes RUN, header included, into out[cap] and sets *len.
 * SQ_AGENT_OK or SQ_AGENT_TOO_BIG. */
int sq_agent_run_encode(const struct sq_agent_command *cmd, uint8_t *out,
                        size_t cap, size_t *len);

/* Decodes a RUN payload. The strings stay in `payload`, which the caller
 * keeps alive; `vec` receives argv and envp and needs argc + envc + 2
 * places, at most SQ_AGENT_STRINGS_MAX + 2. SQ_AGENT_OK, SQ_AGENT_BAD or
 * SQ_AGENT_TOO_BIG. */
int sq_agent_run_decode(const uint8_t *payload, size_t payload_len,
                        const char **vec, size_t vec_cap,
                        struct sq_agent_command *out);

/* 127, 126 or 125 for enum sq_agent_reason (125 for unknown ones). */
int sq_agent_failed_status(uint32_t reason);

/* Collects small messages from a byte stream. Zero-initialise; no release.
 * Not for the agent's first message (RUN), which is larger. One thread. */
struct sq_agent_reader {
    size_t len;
    uint8_t buf[SQ_AGENT_SMALL_MAX];
};

/* Where to read into, and how much fits (never 0 after sq_agent_reader_next
 * has said "more" or before the first byte). */
uint8_t *sq_agent_reader_space(struct sq_agent_reader *reader,
                               size_t *space_len);

/* Adds the `n` bytes that were read there. */
void sq_agent_reader_added(struct sq_agent_reader *reader, size_t n);

/* Takes the next message out: 1 and *msg is set; 0 more bytes are needed;
 * SQ_AGENT_BAD the stream is malformed (end the connection). Call until it
 * does not return 1. */
int sq_agent_reader_next(struct sq_agent_reader *reader,
                         struct sq_agent_msg *msg);

#endif
