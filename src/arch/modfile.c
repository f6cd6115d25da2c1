/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/modfile.h"

#include "base/err.h"
#include "base/util.h"

#include <stdbool.h>
#include <string.h>

/* The end of a signed file: the signature, this, then the marker. */
struct module_signature {
    uint8_t algo;
    uint8_t hash;
    uint8_t id_type;
    uint8_t signer_len;
    uint8_t key_id_len;
    uint8_t pad[3];
    uint8_t sig_len_be[4];
};

static const char signature_marker[] = "~Module signature appended~\n";
enum { MARKER_LEN = sizeof(signature_marker) - 1 };

int sq_modfile_bare_len(const uint8_t *data, size_t len, size_t *bare_len,
                        struct squib_error *err)
{
    struct module_signature info;
    size_t end, trailer;

    if (len < MARKER_LEN ||
        memcmp(data + len - MARKER_LEN, signature_marker, MARKER_LEN)) {
        *bare_len = len;
        return 0;
    }
    end = len - MARKER_LEN;
    if (end >= sizeof(info)) {
        end -= sizeof(info);
        memcpy(&info, data + end, sizeof(info));
        trailer = (size_t)info.sig_len_be[0] << 24 |
                  (size_t)info.sig_len_be[1] << 16 |
                  (size_t)info.sig_len_be[2] << 8 | info.sig_len_be[3];
        trailer += (size_t)info.signer_len + info.key_id_len;
        if (trailer <= end) {
            *bare_len = end - trailer;
            return 0;
        }
    }
    return sq_err_set(err, SQUIB_E_FORMAT,
                      "the module's signature does not fit the file");
}

int sq_modfile_check(const uint8_t *data, size_t len,
                     struct squib_error *err)
{
    static const struct {
        const char *name;
        uint8_t magic[6];
        uint8_t magic_len;
    } packed[] = {
        { "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6 },
        { "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4 },
        { "gzip", { 0x1f, 0x8b }, 2 },
    };
    size_t i;

    for (i = 0; i < SQ_ARRAY_LEN(packed); i++)
        if (len >= packed[i].magic_len &&
            !memcmp(data, packed[i].magic, packed[i].magic_len))
            return sq_err_set(err, SQUIB_E_NOSUPPORT,
                              "the module is compressed (%s); squib needs "
                              "plain .ko files",
                              packed[i].name);
    /* Magic, 64-bit, little-endian. */
    if (len < 64 || memcmp(data, "\177ELF\002\001", 6))
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "this is not a 64-bit kernel module");
    return 0;
}

/* ELF-64 section header fields used here. */
struct section {
    uint32_t name;
    uint64_t offset;
    uint64_t len;
};

/* Section `index`, if its header and its contents lie in the file. */
static bool section_at(const uint8_t *data, size_t len, size_t index,
                       struct section *out)
{
    uint64_t table = sq_ld64(data + 0x28);
    uint64_t at;

    if (sq_add_overflow(table, index * 64, &at) || len < 64 ||
        at > len - 64)
        return false;
    out->name = sq_ld32(data + at);
    out->offset = sq_ld64(data + at + 0x18);
    out->len = sq_ld64(data + at + 0x20);
    /* SHT_NOBITS occupies no file space; nothing looked for is that. */
    return out->offset <= len && out->len <= len - out->offset;
}

static bool named(const uint8_t *data, const struct section *names,
                  const struct section *section, const char *name)
{
    size_t n = strlen(name) + 1;

    return section->name <= names->len && n <= names->len - section->name &&
           !memcmp(data + names->offset + section->name, name, n);
}

/* Searches a list of NUL-terminated NAME=VALUE strings. */
static const char *find_value(const char *at, size_t len, const char *name)
{
    size_t n = strlen(name);

    while (len > 0) {
        size_t used = strnlen(at, len);

        if (used == len)
            break; /* not terminated */
        if (used > n && !memcmp(at, name, n) && at[n] == '=')
            return at + n + 1;
        at += used + 1;
        len -= used + 1;
    }
    return NULL;
}

int sq_modfile_info(const uint8_t *data, size_t len, const char *name,
                    const char **value, struct squib_error *err)
{
    struct section names, section;
    size_t count, i;
    int result = sq_modfile_check(data, len, err);

    if (result)
        return result;
    count = sq_ld16(data + 0x3c);
    if (sq_ld16(data + 0x3a) != 64 ||
        !section_at(data, len, sq_ld16(data + 0x3e), &names))
        return sq_err_set(err, SQUIB_E_FORMAT,
                          "the module's section table is damaged");
    *value = NULL;
    for (i = 0; i < count; i++) {
        if (!section_at(data, len, i, &section) ||
            !named(data, &names, &section, ".modinfo"))
            continue;
        *value = find_value((const char *)data + section.offset,
                            section.len, name);
        break;
    }
    return 0;
}
