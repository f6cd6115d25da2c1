/* SPDX-License-Identifier: Apache-2.0 */
/* The initramfs writer, read back with a parser of its own; module files;
 * the order of modules. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "arch/initramfs.h"
#include "arch/modfile.h"
#include "arch/modules.h"
#include "base/util.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a reader of the format ---- */

struct item {
    char name[256];
    uint32_t ino, mode, nlink, rdev_major, rdev_minor;
    const uint8_t *data;
    uint32_t len;
};

static uint32_t field(const uint8_t *header, int i)
{
    char digits[9] = { 0 };
    char *end;
    unsigned long value;

    memcpy(digits, header + 6 + 8 * i, 8);
    value = strtoul(digits, &end, 16);
    assert_ptr_equal(end, digits + 8);
    return (uint32_t)value;
}

/* Reads the entry at *at and moves on; false at the trailer. */
static bool next_item(const struct sq_initramfs *archive, size_t *at,
                      struct item *item)
{
    const uint8_t *header = archive->data + *at;
    uint32_t name_len;

    assert_int_equal(*at % 4, 0);
    assert_true(*at + 110 <= archive->len);
    assert_memory_equal(header, "070701", 6);
    item->ino = field(header, 0);
    item->mode = field(header, 1);
    assert_int_equal(field(header, 2), 0); /* uid */
    assert_int_equal(field(header, 3), 0); /* gid */
    item->nlink = field(header, 4);
    assert_int_equal(field(header, 5), 0); /* mtime */
    item->len = field(header, 6);
    item->rdev_major = field(header, 9);
    item->rdev_minor = field(header, 10);
    name_len = field(header, 11);
    assert_in_range(name_len, 2, sizeof(item->name));
    assert_true(*at + 110 + name_len <= archive->len);
    memcpy(item->name, header + 110, name_len);
    assert_int_equal(strlen(item->name), name_len - 1);
    *at = (*at + 110 + name_len + 3) & ~(size_t)3;
    item->data = archive->data + *at;
    *at = (*at + item->len + 3) & ~(size_t)3;
    assert_true(*at <= archive->len);
    if (strcmp(item->name, "TRAILER!!!"))
        return true;
    assert_int_equal(*at, archive->len);
    return false;
}

static bool find_item(const struct sq_initramfs *archive, const char *name,
                      struct item *item)
{
    size_t at = 0;

    while (next_item(archive, &at, item))
        if (!strcmp(item->name, name))
            return true;
    return false;
}

static void expect_text(const struct sq_initramfs *archive,
                        const char *name, const char *text)
{
    struct item item;

    assert_true(find_item(archive, name, &item));
    assert_int_equal(item.len, strlen(text));
    assert_memory_equal(item.data, text, item.len);
}

/* ---- a tree of files to read from ---- */

struct tree {
    char path[64];
};

static int setup(void **state)
{
    struct tree *tree = calloc(1, sizeof(*tree));

    assert_non_null(tree);
    strcpy(tree->path, "/tmp/squib-modules-XXXXXX");
    assert_non_null(mkdtemp(tree->path));
    *state = tree;
    return 0;
}

static int teardown(void **state)
{
    struct tree *tree = *state;
    char command[128];
    int result;

    snprintf(command, sizeof(command), "rm -r '%s'", tree->path);
    result = system(command);
    free(tree);
    return result;
}

static void write_file(const struct tree *tree, const char *name,
                       const void *data, size_t len)
{
    char path[256];
    FILE *file;
    size_t i;

    snprintf(path, sizeof(path), "%s/%s", tree->path, name);
    for (i = strlen(tree->path) + 1; path[i]; i++)
        if (path[i] == '/') {
            path[i] = 0;
            mkdir(path, 0755);
            path[i] = '/';
        }
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

static void write_text(const struct tree *tree, const char *name,
                       const char *text)
{
    write_file(tree, name, text, strlen(text));
}

/* An ELF-64 file with a .modinfo section, as small as can be. */
static size_t make_module(uint8_t out[512], const char *depends)
{
    static const char names[] = "\0.modinfo\0.shstrtab";
    size_t info_len;

    memset(out, 0, 512);
    memcpy(out, "\177ELF\002\001\001", 7);
    info_len = (size_t)snprintf((char *)out + 64, 128,
                                "license=GPL%cdepends=%s", 0, depends) +
               1;
    memcpy(out + 192, names, sizeof(names));
    sq_st64(out + 0x28, 256); /* e_shoff */
    sq_st16(out + 0x3a, 64);  /* e_shentsize */
    sq_st16(out + 0x3c, 3);   /* e_shnum */
    sq_st16(out + 0x3e, 2);   /* e_shstrndx */
    sq_st32(out + 256 + 64, 1);
    sq_st64(out + 256 + 64 + 0x18, 64);
    sq_st64(out + 256 + 64 + 0x20, info_len);
    sq_st32(out + 256 + 128, 10);
    sq_st64(out + 256 + 128 + 0x18, 192);
    sq_st64(out + 256 + 128 + 0x20, sizeof(names));
    return 256 + 3 * 64;
}

static size_t sign(uint8_t *data, size_t len, uint32_t sig_len)
{
    static const char marker[] = "~Module signature appended~\n";
    uint8_t info[12] = { 0, 0, 2 };

    memset(data + len, 0x5a, sig_len);
    len += sig_len;
    info[8] = (uint8_t)(sig_len >> 24);
    info[9] = (uint8_t)(sig_len >> 16);
    info[10] = (uint8_t)(sig_len >> 8);
    info[11] = (uint8_t)sig_len;
    memcpy(data + len, info, sizeof(info));
    memcpy(data + len + 12, marker, 28);
    return len + 40;
}

/* ---- the writer ---- */

static void entries_read_back(void **state)
{
    struct sq_initramfs archive = { 0 };
    struct item item;
    size_t at = 0;

    (void)state;
    assert_int_equal(sq_initramfs_add_dir(&archive, "d", 01777, NULL), 0);
    assert_int_equal(
        sq_initramfs_add_file(&archive, "d/abc", 0640, "12345", 5, NULL), 0);
    assert_int_equal(sq_initramfs_add_file(&archive, "e", 0644, "", 0, NULL),
                     0);
    assert_int_equal(sq_initramfs_add_symlink(&archive, "l", "d/abc", NULL),
                     0);
    assert_int_equal(
        sq_initramfs_add_chardev(&archive, "c", 0600, 5, 1, NULL), 0);
    assert_int_equal(sq_initramfs_finish(&archive, NULL), 0);

    assert_true(next_item(&archive, &at, &item));
    assert_string_equal(item.name, "d");
    assert_int_equal(item.mode, S_IFDIR | 01777);
    assert_int_equal(item.nlink, 2);
    assert_true(next_item(&archive, &at, &item));
    assert_string_equal(item.name, "d/abc");
    assert_int_equal(item.mode, S_IFREG | 0640);
    assert_int_equal(item.len, 5);
    assert_memory_equal(item.data, "12345\0\0\0", 8); /* padded */
    assert_true(next_item(&archive, &at, &item));
    assert_int_equal(item.len, 0);
    assert_true(next_item(&archive, &at, &item));
    assert_int_equal(item.mode & S_IFMT, S_IFLNK);
    assert_memory_equal(item.data, "d/abc", item.len);
    assert_true(next_item(&archive, &at, &item));
    assert_int_equal(item.mode, S_IFCHR | 0600);
    assert_int_equal(item.rdev_major, 5);
    assert_int_equal(item.rdev_minor, 1);
    assert_int_equal(item.ino, 5);
    assert_false(next_item(&archive, &at, &item));
    sq_initramfs_free(&archive);
    assert_null(archive.data);
}

static void grows_far(void **state)
{
    struct sq_initramfs archive = { 0 };
    enum { BIG = 3 * 1024 * 1024 + 1 };
    uint8_t *big = malloc(BIG);
    struct item item;
    size_t i;

    (void)state;
    assert_non_null(big);
    for (i = 0; i < BIG; i++)
        big[i] = (uint8_t)(i * 7);
    for (i = 0; i < 3; i++) {
        char name[8];

        snprintf(name, sizeof(name), "f%zu", i);
        assert_int_equal(sq_initramfs_add_file(&archive, name, 0644, big,
                                               BIG - i, NULL),
                         0);
    }
    assert_int_equal(sq_initramfs_finish(&archive, NULL), 0);
    assert_true(find_item(&archive, "f2", &item));
    assert_int_equal(item.len, BIG - 2);
    assert_memory_equal(item.data, big, BIG - 2);
    sq_initramfs_free(&archive);
    free(big);
}

static void bad_paths_are_refused(void **state)
{
    struct sq_initramfs archive = { 0 };
    struct squib_error err = { 0 };
    char longest[2000];

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    assert_int_equal(sq_initramfs_add_dir(&archive, "/abs", 0755, &err),
                     SQUIB_E_INVAL);
    assert_non_null(strstr(err.text, "/abs"));
    assert_int_equal(sq_initramfs_add_dir(&archive, "", 0755, NULL),
                     SQUIB_E_INVAL);
    assert_int_equal(sq_initramfs_add_dir(&archive, longest, 0755, NULL),
                     SQUIB_E_INVAL);
    assert_int_equal(archive.len, 0);
    sq_initramfs_free(&archive);
}

static void whole_layout(void **state)
{
    struct tree *tree = *state;
    uint8_t module[2048];
    size_t bare = make_module(module, ""), len = sign(module, bare, 681);
    char first[256], second[256];
    const char *const paths[] = { first, second };
    struct sq_initramfs_spec spec = {
        .agent = "AGENT",
        .agent_len = 5,
        .busybox = "BUSYBOX",
        .busybox_len = 7,
        .module_paths = paths,
        .module_count = 2,
        .config = "root=/dev/vda\n",
    };
    struct sq_initramfs archive, again;
    struct item item;

    write_file(tree, "kernel/virtio.ko", module, len);
    write_file(tree, "kernel/sub/vsock.ko", module, bare);
    snprintf(first, sizeof(first), "%s/kernel/virtio.ko", tree->path);
    snprintf(second, sizeof(second), "%s/kernel/sub/vsock.ko", tree->path);
    assert_int_equal(sq_initramfs_build(&spec, &archive, NULL), 0);

    expect_text(&archive, "init", "AGENT");
    expect_text(&archive, "squib/modules",
                "/squib/mod/virtio.ko\n/squib/mod/vsock.ko\n");
    expect_text(&archive, "squib/config", "root=/dev/vda\n");
    expect_text(&archive, "bin/busybox", "BUSYBOX");
    expect_text(&archive, "bin/sh", "busybox");
    assert_true(find_item(&archive, "init", &item));
    assert_int_equal(item.mode, S_IFREG | 0755);
    assert_true(find_item(&archive, "squib/mod/virtio.ko", &item));
    assert_int_equal(item.len, bare);
    assert_memory_equal(item.data, module, bare);
    assert_true(find_item(&archive, "squib/mod/vsock.ko", &item));
    assert_int_equal(item.len, bare);
    assert_true(find_item(&archive, "dev/console", &item));
    assert_int_equal(item.mode & S_IFMT, S_IFCHR);
    assert_true(find_item(&archive, "squib/root", &item));

    /* The same input gives the same bytes. */
    assert_int_equal(sq_initramfs_build(&spec, &again, NULL), 0);
    assert_int_equal(again.len, archive.len);
    assert_memory_equal(again.data, archive.data, archive.len);
    sq_initramfs_free(&again);
    sq_initramfs_free(&archive);
}

/* A parent comes before its children, and no name comes twice. */
static void layout_is_in_order(void **state)
{
    const struct sq_initramfs_spec spec = {
        .agent = "A", .agent_len = 1, .busybox = "B", .busybox_len = 1,
    };
    struct sq_initramfs archive;
    struct item item, other;
    size_t at = 0, start = 0;

    (void)state;
    assert_int_equal(sq_initramfs_build(&spec, &archive, NULL), 0);
    while (next_item(&archive, &at, &item)) {
        char *slash = strrchr(item.name, '/');
        bool parent = !slash;
        size_t before = 0;

        while (before < start) {
            next_item(&archive, &before, &other);
            assert_string_not_equal(other.name, item.name);
            if (slash &&
                strlen(other.name) == (size_t)(slash - item.name) &&
                !strncmp(other.name, item.name, strlen(other.name)))
                parent = S_ISDIR(other.mode);
        }
        assert_true(parent);
        start = at;
    }
    sq_initramfs_free(&archive);
}

static void without_busybox_there_is_no_shell(void **state)
{
    const struct sq_initramfs_spec spec = { .agent = "A", .agent_len = 1 };
    struct sq_initramfs archive;
    struct item item;

    (void)state;
    assert_int_equal(sq_initramfs_build(&spec, &archive, NULL), 0);
    assert_false(find_item(&archive, "bin/sh", &item));
    assert_false(find_item(&archive, "squib/config", &item));
    sq_initramfs_free(&archive);
}

static void bad_modules_are_named(void **state)
{
    struct tree *tree = *state;
    char path[256];
    const char *const paths[] = { path };
    const struct sq_initramfs_spec spec = {
        .agent = "A", .agent_len = 1, .module_paths = paths,
        .module_count = 1,
    };
    struct sq_initramfs archive;
    struct squib_error err = { 0 };

    snprintf(path, sizeof(path), "%s/a.ko", tree->path);
    assert_int_equal(sq_initramfs_build(&spec, &archive, &err),
                     SQUIB_E_NOTFOUND);
    assert_non_null(strstr(err.text, path));
    assert_null(archive.data);
    write_text(tree, "a.ko", "text");
    assert_int_equal(sq_initramfs_build(&spec, &archive, &err),
                     SQUIB_E_FORMAT);
    assert_non_null(strstr(err.text, path));
    write_file(tree, "a.ko", "\x28\xb5\x2f\xfd....", 8);
    assert_int_equal(sq_initramfs_build(&spec, &archive, &err),
                     SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "compressed (zstd)"));
}

/* ---- module files ---- */

static void signature_is_dropped(void **state)
{
    uint8_t data[2048];
    size_t len = sign(data, 100, 700), bare = 0;

    (void)state;
    assert_int_equal(sq_modfile_bare_len(data, len, &bare, NULL), 0);
    assert_int_equal(bare, 100);
    /* Names of signer and key lie before it too. */
    data[len - 40 + 3] = 10;
    data[len - 40 + 4] = 20;
    assert_int_equal(sq_modfile_bare_len(data, len, &bare, NULL), 0);
    assert_int_equal(bare, 70);
    assert_int_equal(sq_modfile_bare_len(data, len - 1, &bare, NULL), 0);
    assert_int_equal(bare, len - 1);
    assert_int_equal(sq_modfile_bare_len(data, 0, &bare, NULL), 0);
    assert_int_equal(bare, 0);
}

static void damaged_signature_is_refused(void **state)
{
    uint8_t data[2048];
    size_t len = sign(data, 100, 700), bare = 0;

    (void)state;
    data[len - 40 + 8] = 0xff; /* the length's highest byte */
    assert_int_equal(sq_modfile_bare_len(data, len, &bare, NULL),
                     SQUIB_E_FORMAT);
    /* Nothing but the marker, or less than the structure before it. */
    assert_int_equal(sq_modfile_bare_len(data + len - 28, 28, &bare, NULL),
                     SQUIB_E_FORMAT);
    assert_int_equal(sq_modfile_bare_len(data + len - 39, 39, &bare, NULL),
                     SQUIB_E_FORMAT);
}

static void modinfo_is_found(void **state)
{
    uint8_t data[512];
    size_t len = make_module(data, "virtio,virtio_ring");
    const char *value;

    (void)state;
    assert_int_equal(sq_modfile_info(data, len, "depends", &value, NULL), 0);
    assert_string_equal(value, "virtio,virtio_ring");
    assert_int_equal(sq_modfile_info(data, len, "license", &value, NULL), 0);
    assert_string_equal(value, "GPL");
    assert_int_equal(sq_modfile_info(data, len, "depend", &value, NULL), 0);
    assert_null(value);
}

/* Any single byte of the file wrong, any length cut: no harm. The copy is
 * on the heap so that a sanitizer sees every access. */
static void modinfo_reader_is_robust(void **state)
{
    uint8_t data[512];
    size_t len = make_module(data, "virtio"), i, cut;
    static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
    const char *value;

    (void)state;
    for (i = 0; i < len * SQ_ARRAY_LEN(values); i++) {
        uint8_t *copy = malloc(len);

        assert_non_null(copy);
        memcpy(copy, data, len);
        copy[i % len] = values[i / len];
        if (!sq_modfile_info(copy, len, "depends", &value, NULL) && value)
            assert_in_range((uintptr_t)value + strlen(value),
                            (uintptr_t)copy, (uintptr_t)copy + len - 1);
        free(copy);
    }
    for (cut = 1; cut < len; cut++) {
        uint8_t *copy = malloc(cut);

        assert_non_null(copy);
        memcpy(copy, data, cut);
        if (!sq_modfile_info(copy, cut, "depends", &value, NULL) && value)
            assert_in_range((uintptr_t)value + strlen(value),
                            (uintptr_t)copy, (uintptr_t)copy + cut - 1);
        free(copy);
    }
}

/* ---- the order of modules ---- */

static void expect_paths(const struct tree *tree,
                         const struct sq_module_list *list,
                         const char *const *want, size_t count)
{
    size_t prefix = strlen(tree->path) + 1, i;

    assert_int_equal(list->count, count);
    for (i = 0; i < count; i++) {
        assert_memory_equal(list->paths[i], tree->path, prefix - 1);
        assert_string_equal(list->paths[i] + prefix, want[i]);
    }
}

static const char dep_text[] =
    "kernel/drivers/virtio/virtio_ring.ko:\n"
    "kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko\n"
    "kernel/drivers/virtio/virtio_mmio.ko: "
    "kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko\n"
    "kernel/drivers/char/hw_random/virtio-rng.ko: "
    "kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko\n"
    "kernel/fs/fuse/fuse.ko:\n"
    "kernel/fs/fuse/virtiofs.ko: kernel/fs/fuse/fuse.ko "
    "kernel/drivers/virtio/virtio.ko kernel/lib/builtin-lib.ko\n"
    "kernel/bad/a.ko: kernel/bad/b.ko\n"
    "kernel/bad/b.ko: kernel/bad/c.ko\n"
    "kernel/bad/c.ko: kernel/bad/a.ko\n"
    "kernel/bad/self.ko: kernel/bad/self.ko\n"
    "kernel/bad/needy.ko: kernel/bad/absent.ko\n";

static void dependencies_come_first(void **state)
{
    struct tree *tree = *state;
    static const char *const wanted[] = { "virtio_rng", "virtio-mmio",
                                          "virtiofs", "ext4", "virtio_rng",
                                          "nothing", "fuse" };
    static const char *const want[] = {
        "kernel/drivers/virtio/virtio_ring.ko",
        "kernel/drivers/virtio/virtio.ko",
        "kernel/drivers/char/hw_random/virtio-rng.ko",
        "kernel/drivers/virtio/virtio_mmio.ko",
        "kernel/fs/fuse/fuse.ko",
        "kernel/fs/fuse/virtiofs.ko",
    };
    struct sq_module_list list;

    write_text(tree, "modules.dep", dep_text);
    write_text(tree, "modules.builtin",
               "kernel/fs/ext4/ext4.ko\nkernel/lib/builtin-lib.ko\n");
    assert_int_equal(sq_modules_resolve(tree->path, wanted,
                                        SQ_ARRAY_LEN(wanted), &list, NULL),
                     0);
    expect_paths(tree, &list, want, SQ_ARRAY_LEN(want));
    assert_int_equal(list.missing_count, 1);
    assert_string_equal(list.missing[0], "nothing");
    sq_modules_free(&list);
    assert_null(list.paths);
    sq_modules_free(&list);
}

static void expect_refusal(const struct tree *tree, const char *name,
                           int code, const char *part)
{
    const char *const wanted[] = { "virtio_mmio", name };
    struct sq_module_list list;
    struct squib_error err = { 0 };

    assert_int_equal(sq_modules_resolve(tree->path, wanted, 2, &list, &err),
                     code);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" does not name \"%s\"", err.text, part);
    assert_int_equal(list.count, 0);
    assert_null(list.paths);
}

static void cycles_are_refused(void **state)
{
    struct tree *tree = *state;

    write_text(tree, "modules.dep", dep_text);
    expect_refusal(tree, "a", SQUIB_E_FORMAT, "kernel/bad/a.ko");
    expect_refusal(tree, "self", SQUIB_E_FORMAT, "kernel/bad/self.ko");
}

static void absent_dependency_is_named(void **state)
{
    struct tree *tree = *state;

    write_text(tree, "modules.dep", dep_text);
    expect_refusal(tree, "needy", SQUIB_E_NOTFOUND, "needs absent");
}

static void not_a_tree(void **state)
{
    struct tree *tree = *state;

    expect_refusal(tree, "x", SQUIB_E_NOTFOUND, tree->path);
}

static void endless_chain_is_refused(void **state)
{
    struct tree *tree = *state;
    char *text = calloc(1, 64 * 1000);
    size_t used = 0;
    int i;

    assert_non_null(text);
    for (i = 0; i < 1000; i++)
        used += (size_t)sprintf(text + used, "k/m%d.ko: k/m%d.ko\n", i,
                                i + 1);
    strcpy(text + used, "k/m1000.ko:\nk/virtio_mmio.ko:\n");
    write_text(tree, "modules.dep", text);
    expect_refusal(tree, "m0", SQUIB_E_FORMAT, "too deep");
    free(text);
}

static void odd_files_are_survived(void **state)
{
    struct tree *tree = *state;
    static const char *const wanted[] = { "x", "", "kernel" };
    struct sq_module_list list;

    write_file(tree, "modules.dep", "\0\0\n:\n: :\n\n::::\nx", 15);
    assert_int_equal(sq_modules_resolve(tree->path, wanted, 3, &list, NULL),
                     0);
    sq_modules_free(&list);
    write_text(tree, "modules.dep", "");
    assert_int_equal(sq_modules_resolve(tree->path, wanted, 3, &list, NULL),
                     0);
    assert_int_equal(list.missing_count, 3);
    sq_modules_free(&list);
}

/* An unpacked tree: no modules.dep, the files know. */
static void unpacked_tree(void **state)
{
    struct tree *tree = *state;
    static const char *const wanted[] = { "virtio-mmio", "none" };
    static const char *const want[] = { "kernel/v/virtio_ring.ko",
                                        "kernel/v/virtio.ko",
                                        "kernel/v/virtio_mmio.ko" };
    struct sq_module_list list;
    struct squib_error err = { 0 };
    uint8_t module[512];

    write_text(tree, "modules.order",
               "kernel/v/virtio.ko\nkernel/v/virtio_mmio.ko\n"
               "kernel/v/virtio_ring.ko\nkernel/v/packed.ko\n");
    write_file(tree, "kernel/v/virtio.ko", module,
               make_module(module, "virtio_ring"));
    write_file(tree, "kernel/v/virtio_ring.ko", module,
               make_module(module, ""));
    write_file(tree, "kernel/v/virtio_mmio.ko", module,
               make_module(module, "virtio,virtio_ring"));
    write_file(tree, "kernel/v/packed.ko", "\xfd" "7zXZ\0..", 8);
    assert_int_equal(sq_modules_resolve(tree->path, wanted, 2, &list, &err),
                     0);
    expect_paths(tree, &list, want, 3);
    assert_int_equal(list.missing_count, 1);
    sq_modules_free(&list);
    expect_refusal(tree, "packed", SQUIB_E_NOSUPPORT, "compressed (xz)");
}

#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_read_back),
        cmocka_unit_test(grows_far),
        cmocka_unit_test(bad_paths_are_refused),
        TREE_TEST(whole_layout),
        cmocka_unit_test(layout_is_in_order),
        cmocka_unit_test(without_busybox_there_is_no_shell),
        TREE_TEST(bad_modules_are_named),
        cmocka_unit_test(signature_is_dropped),
        cmocka_unit_test(damaged_signature_is_refused),
        cmocka_unit_test(modinfo_is_found),
        cmocka_unit_test(modinfo_reader_is_robust),
        TREE_TEST(dependencies_come_first),
        TREE_TEST(cycles_are_refused),
        TREE_TEST(absent_dependency_is_named),
        TREE_TEST(not_a_tree),
        TREE_TEST(endless_chain_is_refused),
        TREE_TEST(odd_files_are_survived),
        TREE_TEST(unpacked_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
