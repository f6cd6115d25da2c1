/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86_64/aml.h"

#include <string.h>

#include "base/util.h"

/* Opcodes (ACPI 6.3, 20.2). */
#define OP_NAME 0x08
#define OP_BYTE 0x0a
#define OP_WORD 0x0b
#define OP_DWORD 0x0c
#define OP_STRING 0x0d
#define OP_QWORD 0x0e
#define OP_SCOPE 0x10
#define OP_BUFFER 0x11
#define OP_PACKAGE 0x12
#define OP_METHOD 0x14
#define OP_EXT 0x5b
#define OP_ARG0 0x68
#define OP_NOTIFY 0x86
#define OP_EQUAL 0x93
#define OP_IF 0xa0
#define METHOD_SERIALIZED 0x08
#define OP_EXT_DEVICE 0x82
#define DUAL_NAME 0x2e
#define MULTI_NAME 0x2f

static void put(struct sq_aml *a, const void *data, size_t n)
{
    if (a->full || n > a->cap - a->len) {
        a->full = true;
        return;
    }
    memcpy(a->buf + a->len, data, n);
    a->len += n;
}

static void put8(struct sq_aml *a, uint8_t v) { put(a, &v, 1); }
static void put16(struct sq_aml *a, uint16_t v) { put(a, &v, 2); }
static void put32(struct sq_aml *a, uint32_t v) { put(a, &v, 4); }

static void put_path(struct sq_aml *a, const char *name)
{
    size_t segments = 1;

    if (*name == '\\') {
        put8(a, '\\');
        name++;
    }
    if (!*name) {
        put8(a, 0); /* the root alone */
        return;
    }
    for (const char *p = name; *p; p++)
        segments += *p == '.';
    if (segments == 2) {
        put8(a, DUAL_NAME);
    } else if (segments > 2) {
        put8(a, MULTI_NAME);
        put8(a, (uint8_t)segments);
    }
    while (segments--) {
        char seg[4] = {'_', '_', '_', '_'};

        for (int i = 0; i < 4 && *name && *name != '.'; i++)
            seg[i] = *name++;
        put(a, seg, 4);
        if (*name == '.')
            name++;
    }
}

/* PkgLength (20.2.4) counts itself, and its own size depends on the count:
 * so it is put in front of the contents when these are known. */
void sq_aml_end(struct sq_aml *a, size_t mark)
{
    size_t body = a->len - mark, n, total;
    uint8_t enc[4];

    if (a->full)
        return;
    for (n = 1; n < 4; n++)
        if (body + n < (n == 1 ? 64u : 1u << (4 + 8 * (n - 1))))
            break;
    total = body + n;
    if (n == 1) {
        enc[0] = (uint8_t)total;
    } else {
        enc[0] = (uint8_t)((n - 1) << 6 | (total & 0xf));
        for (size_t i = 1; i < n; i++)
            enc[i] = (uint8_t)(total >> (4 + 8 * (i - 1)));
    }
    put(a, enc, n); /* makes the room */
    if (a->full)
        return;
    memmove(a->buf + mark + n, a->buf + mark, body);
    memcpy(a->buf + mark, enc, n);
}

size_t sq_aml_scope(struct sq_aml *a, const char *name)
{
    size_t mark;

    put8(a, OP_SCOPE);
    mark = a->len;
    put_path(a, name);
    return mark;
}

size_t sq_aml_device(struct sq_aml *a, const char *name)
{
    size_t mark;

    put8(a, OP_EXT);
    put8(a, OP_EXT_DEVICE);
    mark = a->len;
    put_path(a, name);
    return mark;
}

size_t sq_aml_package(struct sq_aml *a, uint8_t elements)
{
    size_t mark;

    put8(a, OP_PACKAGE);
    mark = a->len;
    put8(a, elements);
    return mark;
}

size_t sq_aml_method(struct sq_aml *a, const char *name, uint8_t args)
{
    size_t mark;

    put8(a, OP_METHOD);
    mark = a->len;
    put_path(a, name);
    put8(a, (uint8_t)(args | METHOD_SERIALIZED));
    return mark;
}

void sq_aml_notify_if(struct sq_aml *a, uint64_t value, const char *device,
                      uint8_t code)
{
    size_t mark;

    put8(a, OP_IF);
    mark = a->len;
    put8(a, OP_EQUAL);
    put8(a, OP_ARG0);
    sq_aml_integer(a, value);
    put8(a, OP_NOTIFY);
    put_path(a, device);
    sq_aml_integer(a, code);
    sq_aml_end(a, mark);
}

void sq_aml_name(struct sq_aml *a, const char *name)
{
    put8(a, OP_NAME);
    put_path(a, name);
}

void sq_aml_integer(struct sq_aml *a, uint64_t value)
{
    if (value <= 1) {
        put8(a, (uint8_t)value); /* ZeroOp, OneOp */
    } else if (value <= UINT8_MAX) {
        put8(a, OP_BYTE);
        put8(a, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        put8(a, OP_WORD);
        put16(a, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        put8(a, OP_DWORD);
        put32(a, (uint32_t)value);
    } else {
        put8(a, OP_QWORD);
        put(a, &value, 8);
    }
}

void sq_aml_string(struct sq_aml *a, const char *text)
{
    put8(a, OP_STRING);
    put(a, text, strlen(text) + 1);
}

static uint32_t hex_digit(char c)
{
    return (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10) & 0xf;
}

/* Three letters of five bits, four hexadecimal digits, big-endian. */
void sq_aml_eisa_id(struct sq_aml *a, const char id[7])
{
    uint32_t v = 0;

    for (int i = 0; i < 3; i++)
        v = v << 5 | ((uint32_t)(id[i] - 'A' + 1) & 0x1f);
    for (int i = 3; i < 7; i++)
        v = v << 4 | hex_digit(id[i]);
    put8(a, OP_DWORD);
    put32(a, __builtin_bswap32(v));
}

/* BufferOp PkgLength BufferSize bytes: the size is kept to one word constant
 * and filled in at the end. */
size_t sq_aml_resources(struct sq_aml *a)
{
    size_t mark;

    put8(a, OP_BUFFER);
    mark = a->len;
    put8(a, OP_WORD);
    put16(a, 0);
    return mark;
}

void sq_aml_resources_end(struct sq_aml *a, size_t mark)
{
    put8(a, 0x79); /* end tag */
    put8(a, 0);    /* its checksum is not used */
    if (!a->full)
        sq_st16(a->buf + mark + 1, (uint16_t)(a->len - mark - 3));
    sq_aml_end(a, mark);
}

void sq_aml_memory32(struct sq_aml *a, uint32_t gpa, uint32_t len)
{
    put8(a, 0x86);
    put16(a, 9);
    put8(a, 1); /* writable */
    put32(a, gpa);
    put32(a, len);
}

void sq_aml_io(struct sq_aml *a, uint16_t port, uint8_t len)
{
    put8(a, 0x47);
    put8(a, 1); /* decodes 16 bits */
    put16(a, port);
    put16(a, port);
    put8(a, 1); /* alignment */
    put8(a, len);
}

/* 6.4.3.5.1, 6.4.3.5.3: type, then what the flags of the type mean. */
void sq_aml_window64(struct sq_aml *a, uint64_t gpa, uint64_t len)
{
    const uint64_t field[] = {0, gpa, gpa + len - 1, 0, len};

    put8(a, 0x8a);
    put16(a, 43);
    put8(a, 0);    /* memory */
    put8(a, 0x0c); /* produced, both ends fixed */
    put8(a, 0x01); /* writable, not cacheable */
    put(a, field, sizeof(field));
}

void sq_aml_window_buses(struct sq_aml *a, uint16_t count)
{
    const uint16_t field[] = {0, 0, (uint16_t)(count - 1), 0, count};

    put8(a, 0x88);
    put16(a, 13);
    put8(a, 2); /* bus numbers */
    put8(a, 0x0c);
    put8(a, 0);
    put(a, field, sizeof(field));
}

void sq_aml_interrupt(struct sq_aml *a, uint32_t gsi)
{
    put8(a, 0x89);
    put16(a, 6);
    put8(a, 0x03); /* consumer, edge, active high, exclusive */
    put8(a, 1);
    put32(a, gsi);
}
