/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/initramfs.h"

#include "arch/hostfile.h"
#include "arch/modfile.h"
#include "base/err.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    HEADER_LEN = 110, /* "070701" and 13 fields of 8 hex digits */
    PATH_MAX_LEN = 1024,
    MODULE_MAX = 64 * 1024 * 1024,
};

/* What differs between entries. */
struct entry {
    const char *path;
    uint32_t mode; /* type and permissions */
    uint32_t rdev_major;
    uint32_t rdev_minor;
    const void *data;
    size_t len;
};

/* Names that scripts and people use, as links to busybox. Not its whole
 * list: each link costs the guest time at every start, and its shell runs
 * the rest as "busybox NAME". */
static const char *const applets[] = {
    "[",        "[[",        "ar",       "ash",      "awk",      "base64",
    "basename", "bc",        "bunzip2",  "bzcat",    "bzip2",    "cat",
    "chgrp",    "chmod",     "chown",    "chroot",   "clear",    "cmp",
    "cp",       "cpio",      "crc32",    "cut",      "date",     "dc",
    "dd",       "df",        "diff",     "dirname",  "dmesg",    "du",
    "echo",     "egrep",     "env",      "expand",   "expr",     "factor",
    "false",    "fgrep",     "find",     "fold",     "free",     "getopt",
    "grep",     "groups",    "gunzip",   "gzip",     "head",     "hexdump",
    "hostid",   "hostname",  "id",       "ifconfig", "insmod",   "ip",
    "kill",     "killall",   "less",     "link",     "ln",       "logname",
    "losetup",  "ls",        "lsmod",    "lzcat",    "md5sum",   "mkdir",
    "mkfifo",   "mknod",     "mktemp",   "more",     "mount",    "mv",
    "nc",       "netstat",   "nl",       "nproc",    "nslookup", "od",
    "paste",    "patch",     "pidof",    "ping",     "poweroff", "printf",
    "ps",       "pwd",       "readlink", "realpath", "reboot",   "renice",
    "reset",    "rev",       "rm",       "rmdir",    "route",    "sed",
    "seq",      "setsid",    "sh",       "sha1sum",  "sha256sum",
    "sha512sum", "shuf",     "sleep",    "sort",     "stat",     "strings",
    "stty",     "su",        "sync",     "sysctl",   "tac",      "tail",
    "tar",      "taskset",   "tee",      "test",     "time",     "timeout",
    "top",      "touch",     "tr",       "true",     "truncate", "tty",
    "umount",   "uname",     "unexpand", "uniq",     "unlink",   "unxz",
    "unzip",    "uptime",    "usleep",   "vi",       "watch",    "wc",
    "wget",     "which",     "who",      "whoami",   "xargs",    "xxd",
    "xz",       "xzcat",     "yes",      "zcat",
};

static int reserve(struct sq_initramfs *archive, size_t more,
                   struct squib_error *err)
{
    size_t cap = archive->cap ? archive->cap : 64 * 1024;
    uint8_t *data;

    while (cap - archive->len < more) {
        if (cap > SIZE_MAX / 2)
            return sq_err_set(err, SQUIB_E_NOMEM,
                              "the initramfs is too large");
        cap *= 2;
    }
    if (cap == archive->cap)
        return 0;
    data = realloc(archive->data, cap);
    if (!data)
        return sq_err_set(err, SQUIB_E_NOMEM,
                          "no memory for an initramfs of %zu bytes",
                          archive->len + more);
    archive->data = data;
    archive->cap = cap;
    return 0;
}

/* Appends bytes and pads with zeros to a multiple of 4. Room is there. */
static void put(struct sq_initramfs *archive, const void *bytes, size_t len)
{
    size_t end = (size_t)sq_align_up(archive->len + len, 4);

    if (len)
        memcpy(archive->data + archive->len, bytes, len);
    memset(archive->data + archive->len + len, 0,
           end - archive->len - len);
    archive->len = end;
}

static int add(struct sq_initramfs *archive, const struct entry *entry,
               struct squib_error *err)
{
    size_t name_len = strlen(entry->path) + 1;
    char head[HEADER_LEN + PATH_MAX_LEN + 1];
    int result;

    if (name_len == 1 || name_len > PATH_MAX_LEN || entry->path[0] == '/')
        return sq_err_set(err, SQUIB_E_INVAL,
                          "'%.64s' cannot be a path in an initramfs",
                          entry->path);
    if (entry->len > UINT32_MAX)
        return sq_err_set(err, SQUIB_E_INVAL,
                          "%s is too large for an initramfs", entry->path);
    result = reserve(archive, HEADER_LEN + name_len + entry->len + 8, err);
    if (result)
        return result;
    /* ino mode uid gid nlink mtime filesize dev(2) rdev(2) namesize check.
     * Distinct inode numbers keep files from being taken for hard links. */
    snprintf(head, sizeof(head),
             "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s",
             archive->entries + 1, entry->mode, 0u, 0u,
             S_ISDIR(entry->mode) ? 2u : 1u, 0u, (uint32_t)entry->len, 0u,
             0u, entry->rdev_major, entry->rdev_minor, (uint32_t)name_len,
             0u, entry->path);
    put(archive, head, HEADER_LEN + name_len);
    put(archive, entry->data, entry->len);
    archive->entries++;
    return 0;
}

int sq_initramfs_add_dir(struct sq_initramfs *archive, const char *path,
                         uint32_t mode, struct squib_error *err)
{
    const struct entry entry = {
        .path = path,
        .mode = S_IFDIR | (mode & 07777),
    };

    return add(archive, &entry, err);
}

int sq_initramfs_add_file(struct sq_initramfs *archive, const char *path,
                          uint32_t mode, const void *data, size_t len,
                          struct squib_error *err)
{
    const struct entry entry = {
        .path = path,
        .mode = S_IFREG | (mode & 07777),
        .data = data,
        .len = len,
    };

    return add(archive, &entry, err);
}

int sq_initramfs_add_symlink(struct sq_initramfs *archive, const char *path,
                             const char *target, struct squib_error *err)
{
    const struct entry entry = {
        .path = path,
        .mode = S_IFLNK | 0777,
        .data = target,
        .len = strlen(target),
    };

    return add(archive, &entry, err);
}

int sq_initramfs_add_chardev(struct sq_initramfs *archive, const char *path,
                             uint32_t mode, uint32_t major, uint32_t minor,
                             struct squib_error *err)
{
    const struct entry entry = {
        .path = path,
        .mode = S_IFCHR | (mode & 07777),
        .rdev_major = major,
        .rdev_minor = minor,
    };

    return add(archive, &entry, err);
}

int sq_initramfs_finish(struct sq_initramfs *archive,
                        struct squib_error *err)
{
    const struct entry entry = { .path = "TRAILER!!!" };

    return add(archive, &entry, err);
}

void sq_initramfs_free(struct sq_initramfs *archive)
{
    free(archive->data);
    memset(archive, 0, sizeof(*archive));
}

static int add_skeleton(struct sq_initramfs *archive,
                        struct squib_error *err)
{
    static const struct {
        const char *path;
        uint32_t mode;
    } dirs[] = {
        { "dev", 0755 },         { "proc", 0555 },
        { "sys", 0555 },         { "bin", 0755 },
        { "etc", 0755 },         { "root", 0700 },
        { "run", 0755 },         { "tmp", 01777 },
        { "var", 0755 },         { "squib", 0755 },
        { "squib/mod", 0755 },   { "squib/root", 0755 },
        { "squib/lower", 0755 }, { "squib/upper", 0755 },
    };
    size_t i;
    int result = 0;

    for (i = 0; i < SQ_ARRAY_LEN(dirs) && result == 0; i++)
        result = sq_initramfs_add_dir(archive, dirs[i].path, dirs[i].mode,
                                      err);
    /* The kernel opens the console for /init before anything is mounted. */
    if (result == 0)
        result = sq_initramfs_add_chardev(archive, "dev/console", 0600, 5,
                                          1, err);
    if (result == 0)
        result = sq_initramfs_add_chardev(archive, "dev/null", 0666, 1, 3,
                                          err);
    return result;
}

/* Enough of /etc for programs that ask who they are. */
static int add_busybox(struct sq_initramfs *archive, const void *busybox,
                       size_t len, struct squib_error *err)
{
    static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                                 "nobody:x:65534:65534:nobody:/:/bin/false\n";
    static const char group[] = "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n";
    static const char hosts[] = "127.0.0.1 localhost\n::1 localhost\n";
    char path[64];
    size_t i;
    int result = sq_initramfs_add_file(archive, "bin/busybox", 0755,
                                       busybox, len, err);

    for (i = 0; i < SQ_ARRAY_LEN(applets) && result == 0; i++) {
        snprintf(path, sizeof(path), "bin/%s", applets[i]);
        result = sq_initramfs_add_symlink(archive, path, "busybox", err);
    }
    if (result == 0)
        result = sq_initramfs_add_file(archive, "etc/passwd", 0644, passwd,
                                       sizeof(passwd) - 1, err);
    if (result == 0)
        result = sq_initramfs_add_file(archive, "etc/group", 0644, group,
                                       sizeof(group) - 1, err);
    if (result == 0)
        result = sq_initramfs_add_file(archive, "etc/hosts", 0644, hosts,
                                       sizeof(hosts) - 1, err);
    return result;
}

/* Adds one module file and its line of the load list. */
static int add_module(struct sq_initramfs *archive, const char *host_path,
                      char *list, size_t list_cap, struct squib_error *err)
{
    const char *slash = strrchr(host_path, '/');
    const char *base = slash ? slash + 1 : host_path;
    size_t used = strlen(list), len;
    char path[PATH_MAX_LEN];
    uint8_t *data;
    int result = sq_hostfile_read(host_path, MODULE_MAX, &data, &len, err);

    if (result)
        return result;
    result = sq_modfile_check(data, len, err);
    /* Checking a signature costs the guest millions of instructions, and
     * it has no key the host does not have. */
    if (result == 0)
        result = sq_modfile_bare_len(data, len, &len, err);
    if (result) {
        free(data);
        sq_err_prefix(err, "%s: ", host_path);
        return result;
    }
    snprintf(path, sizeof(path), "squib/mod/%s", base);
    snprintf(list + used, list_cap - used, "/%s\n", path);
    result = sq_initramfs_add_file(archive, path, 0644, data, len, err);
    free(data);
    return result;
}

static int add_modules(struct sq_initramfs *archive,
                       const struct sq_initramfs_spec *spec,
                       struct squib_error *err)
{
    size_t list_cap = 1, i;
    char *list;
    int result = 0;

    for (i = 0; i < spec->module_count; i++)
        list_cap += strlen(spec->module_paths[i]) + sizeof("/squib/mod/\n");
    list = calloc(1, list_cap);
    if (!list)
        return sq_err_set(err, SQUIB_E_NOMEM, "no memory for module names");
    for (i = 0; i < spec->module_count && result == 0; i++)
        result = add_module(archive, spec->module_paths[i], list, list_cap,
                            err);
    if (result == 0)
        result = sq_initramfs_add_file(archive, "squib/modules", 0644, list,
                                       strlen(list), err);
    free(list);
    return result;
}

int sq_initramfs_build(const struct sq_initramfs_spec *spec,
                       struct sq_initramfs *out, struct squib_error *err)
{
    int result;

    memset(out, 0, sizeof(*out));
    result = add_skeleton(out, err);
    if (result == 0)
        result = sq_initramfs_add_file(out, "init", 0755, spec->agent,
                                       spec->agent_len, err);
    if (result == 0 && spec->busybox)
        result = add_busybox(out, spec->busybox, spec->busybox_len, err);
    if (result == 0)
        result = add_modules(out, spec, err);
    if (result == 0 && spec->config)
        result = sq_initramfs_add_file(out, "squib/config", 0644,
                                       spec->config, strlen(spec->config),
                                       err);
    if (result == 0 && spec->command)
        result = sq_initramfs_add_file(out, "squib/run", 0600, spec->command,
                                       spec->command_len, err);
    if (result == 0)
        result = sq_initramfs_finish(out, err);
    if (result)
        sq_initramfs_free(out);
    return result;
}
