/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding and decoding of the agent protocol; see the header. Compiled
 * into the monitor and into the guest's agent. */
#include "core/agent_proto.h"

#include <string.h>

/* The structs are copied to and from the wire whole, so they must not
 * contain padding. */
_Static_assert(sizeof(struct sq_agent_header) == 8, "wire");
_Static_assert(sizeof(struct sq_agent_hello) == 8, "wire");
_Static_assert(sizeof(struct sq_agent_started) == 8, "wire");
_Static_assert(sizeof(struct sq_agent_exited) == 12, "wire");
_Static_assert(sizeof(struct sq_agent_failed) == 16 + SQ_AGENT_TEXT_MAX,
               "wire");
_Static_assert(sizeof(struct sq_agent_signal) == 8, "wire");
_Static_assert(sizeof(struct sq_agent_winsize) == 8, "wire");
_Static_assert(sizeof(struct sq_agent_run) == 32, "wire");
_Static_assert(sizeof(struct sq_agent_stream) == 12, "wire");
_Static_assert(sizeof(((struct sq_agent_msg *)0)->bytes) ==
                   sizeof(struct sq_agent_failed),
               "bytes covers the largest member");
_Static_assert(sizeof(struct sq_agent_header) +
                       sizeof(struct sq_agent_failed) <=
                   SQ_AGENT_SMALL_MAX,
               "the largest small message must fit its bound");

/* The exact payload length of a small message, 0 if there is none. */
static size_t small_len(uint32_t type)
{
    switch (type) {
    case SQ_AGENT_HELLO:
        return sizeof(struct sq_agent_hello);
    case SQ_AGENT_STARTED:
        return sizeof(struct sq_agent_started);
    case SQ_AGENT_EXITED:
        return sizeof(struct sq_agent_exited);
    case SQ_AGENT_FAILED:
        return sizeof(struct sq_agent_failed);
    case SQ_AGENT_SIGNAL:
        return sizeof(struct sq_agent_signal);
    case SQ_AGENT_WINSIZE:
        return sizeof(struct sq_agent_winsize);
    default:
        return 0;
    }
}

size_t sq_agent_encode(const struct sq_agent_msg *msg,
                       uint8_t out[SQ_AGENT_SMALL_MAX])
{
    size_t len = small_len(msg->type);
    struct sq_agent_header header = { msg->type, (uint32_t)len };

    if (len == 0)
        return 0;
    memcpy(out, &header, sizeof(header));
    memcpy(out + sizeof(header), msg->bytes, len);
    if (msg->type == SQ_AGENT_FAILED)
        out[sizeof(header) + len - 1] = 0;
    return sizeof(header) + len;
}

int sq_agent_header_decode(const uint8_t raw[sizeof(struct sq_agent_header)],
                           struct sq_agent_header *out)
{
    struct sq_agent_header header;

    memcpy(&header, raw, sizeof(header));
    if (header.type == SQ_AGENT_RUN) {
        if (header.payload_len < sizeof(struct sq_agent_run) ||
            header.payload_len > SQ_AGENT_RUN_MAX)
            return SQ_AGENT_BAD;
    } else if (small_len(header.type) == 0 ||
               header.payload_len != small_len(header.type)) {
        return SQ_AGENT_BAD;
    }
    *out = header;
    return SQ_AGENT_OK;
}

/* A text of the peer goes to somebody's terminal: no escape sequences. */
static void make_printable(char *text, size_t len)
{
    size_t i;

    text[len - 1] = 0;
    for (i = 0; text[i]; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < 0x20 || c >= 0x7f)
            text[i] = '?';
    }
    memset(text + i, 0, len - i);
}

int sq_agent_decode(const struct sq_agent_header *header,
                    const uint8_t *payload, struct sq_agent_msg *out)
{
    size_t len = small_len(header->type);

    if (len == 0 || header->payload_len != len)
        return SQ_AGENT_BAD;
    memset(out, 0, sizeof(*out));
    out->type = header->type;
    memcpy(out->bytes, payload, len);
    switch (out->type) {
    case SQ_AGENT_HELLO:
        return out->hello.magic == SQ_AGENT_MAGIC ? SQ_AGENT_OK
                                                  : SQ_AGENT_BAD;
    case SQ_AGENT_EXITED:
        if (out->exited.kind == SQ_AGENT_EXIT_CODE)
            return out->exited.value <= 255 ? SQ_AGENT_OK : SQ_AGENT_BAD;
        if (out->exited.kind == SQ_AGENT_EXIT_SIGNAL)
            return out->exited.value >= 1 && out->exited.value <= 64
                       ? SQ_AGENT_OK
                       : SQ_AGENT_BAD;
        return SQ_AGENT_BAD;
    case SQ_AGENT_FAILED:
        if (out->failed.reason < SQ_AGENT_NOT_FOUND ||
            out->failed.reason > SQ_AGENT_PROTOCOL)
            return SQ_AGENT_BAD;
        make_printable(out->failed.text, sizeof(out->failed.text));
        return SQ_AGENT_OK;
    case SQ_AGENT_SIGNAL:
        return out->signal.signo >= 1 && out->signal.signo <= 64
                   ? SQ_AGENT_OK
                   : SQ_AGENT_BAD;
    default:
        return SQ_AGENT_OK;
    }
}

/* Counts the strings of a NULL-ended vector and adds up their bytes, NULs
 * included; false when the sum leaves the bound. */
static bool measure(const char *const *vec, size_t *count, size_t *total)
{
    size_t n = 0;

    for (; vec && vec[n]; n++) {
        *total += strlen(vec[n]) + 1;
        if (*total > SQ_AGENT_RUN_MAX || n >= SQ_AGENT_STRINGS_MAX)
            return false;
    }
    *count = n;
    return true;
}

static bool run_measure(const struct sq_agent_command *cmd, size_t *argc,
                        size_t *envc, size_t *strings_len)
{
    *strings_len = strlen(cmd->cwd ? cmd->cwd : "") + 1;
    return measure(cmd->argv, argc, strings_len) &&
           measure(cmd->envp, envc, strings_len) && *argc >= 1 &&
           *argc + *envc <= SQ_AGENT_STRINGS_MAX &&
           *strings_len + sizeof(struct sq_agent_run) <= SQ_AGENT_RUN_MAX;
}

size_t sq_agent_run_size(const struct sq_agent_command *cmd)
{
    size_t argc, envc, strings_len;

    if (!run_measure(cmd, &argc, &envc, &strings_len))
        return 0;
    return sizeof(struct sq_agent_header) + sizeof(struct sq_agent_run) +
           strings_len;
}

static uint8_t *put_string(uint8_t *at, const char *string)
{
    size_t n = strlen(string) + 1;

    memcpy(at, string, n);
    return at + n;
}

int sq_agent_run_encode(const struct sq_agent_command *cmd, uint8_t *out,
                        size_t cap, size_t *len)
{
    struct sq_agent_header header;
    struct sq_agent_run run = {
        .session = cmd->session,
        .flags = cmd->flags,
        .uid = cmd->uid,
        .gid = cmd->gid,
        .rows = cmd->rows,
        .cols = cmd->cols,
    };
    size_t argc, envc, strings_len, i;
    uint8_t *at = out;

    if (!run_measure(cmd, &argc, &envc, &strings_len) ||
        sizeof(header) + sizeof(run) + strings_len > cap)
        return SQ_AGENT_TOO_BIG;
    run.argc = (uint32_t)argc;
    run.envc = (uint32_t)envc;
    run.strings_len = (uint32_t)strings_len;
    header.type = SQ_AGENT_RUN;
    header.payload_len = (uint32_t)(sizeof(run) + strings_len);
    memcpy(at, &header, sizeof(header));
    at += sizeof(header);
    memcpy(at, &run, sizeof(run));
    at = put_string(at + sizeof(run), cmd->cwd ? cmd->cwd : "");
    for (i = 0; i < argc; i++)
        at = put_string(at, cmd->argv[i]);
    for (i = 0; i < envc; i++)
        at = put_string(at, cmd->envp[i]);
    *len = (size_t)(at - out);
    return SQ_AGENT_OK;
}

int sq_agent_run_decode(const uint8_t *payload, size_t payload_len,
                        const char **vec, size_t vec_cap,
                        struct sq_agent_command *out)
{
    struct sq_agent_run run;
    const char *at, *end;
    size_t slot = 0, i;

    if (payload_len < sizeof(run) || payload_len > SQ_AGENT_RUN_MAX)
        return SQ_AGENT_BAD;
    memcpy(&run, payload, sizeof(run));
    if (run.strings_len != payload_len - sizeof(run) ||
        run.strings_len == 0 || (run.flags & ~SQ_AGENT_RUN_FLAGS) ||
        run.argc < 1 || run.argc > SQ_AGENT_STRINGS_MAX ||
        run.envc > SQ_AGENT_STRINGS_MAX - run.argc)
        return SQ_AGENT_BAD;
    if ((size_t)run.argc + run.envc + 2 > vec_cap)
        return SQ_AGENT_TOO_BIG;
    at = (const char *)payload + sizeof(run);
    end = at + run.strings_len;
    if (end[-1] != 0)
        return SQ_AGENT_BAD;

    memset(out, 0, sizeof(*out));
    out->cwd = at;
    at += strlen(at) + 1;
    for (i = 0; i < (size_t)run.argc + run.envc; i++) {
        if (at >= end)
            return SQ_AGENT_BAD;
        if (i == run.argc)
            vec[slot++] = NULL;
        vec[slot++] = at;
        at += strlen(at) + 1;
    }
    if (at != end)
        return SQ_AGENT_BAD;
    if (run.envc == 0)
        vec[slot++] = NULL;
    vec[slot] = NULL;

    out->session = run.session;
    out->flags = run.flags;
    out->uid = run.uid;
    out->gid = run.gid;
    out->rows = run.rows;
    out->cols = run.cols;
    out->argv = vec;
    out->envp = vec + run.argc + 1;
    return SQ_AGENT_OK;
}

int sq_agent_failed_status(uint32_t reason)
{
    switch (reason) {
    case SQ_AGENT_NOT_FOUND:
        return 127;
    case SQ_AGENT_NOT_EXECUTABLE:
        return 126;
    default:
        return 125;
    }
}

uint8_t *sq_agent_reader_space(struct sq_agent_reader *reader,
                               size_t *space_len)
{
    *space_len = sizeof(reader->buf) - reader->len;
    return reader->buf + reader->len;
}

void sq_agent_reader_added(struct sq_agent_reader *reader, size_t n)
{
    size_t space = sizeof(reader->buf) - reader->len;

    reader->len += n < space ? n : space;
}

int sq_agent_reader_next(struct sq_agent_reader *reader,
                         struct sq_agent_msg *msg)
{
    struct sq_agent_header header;
    size_t used;

    if (reader->len < sizeof(header))
        return 0;
    if (sq_agent_header_decode(reader->buf, &header) != SQ_AGENT_OK ||
        header.type == SQ_AGENT_RUN)
        return SQ_AGENT_BAD;
    used = sizeof(header) + header.payload_len;
    if (reader->len < used)
        return 0;
    if (sq_agent_decode(&header, reader->buf + sizeof(header), msg) !=
        SQ_AGENT_OK)
        return SQ_AGENT_BAD;
    reader->len -= used;
    memmove(reader->buf, reader->buf + used, reader->len);
    return 1;
}
