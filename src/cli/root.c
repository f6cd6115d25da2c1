/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/root.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/hostfile.h"
#include "base/elf.h"
#include "base/err.h"
#include "base/util.h"

extern char **environ;

/* --- busybox ----------------------------------------------------------- */

#define BUSYBOX_MAX (16u * 1024 * 1024)
#define PHDRS_MAX 64

/* A static program: an ELF file for the guest without an interpreter. */
static bool is_static_program(const struct sq_guest_arch *guest,
                              const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    Elf64_Ehdr eh;
    bool ok = false;

    if (fd < 0)
        return false;
    if (pread(fd, &eh, sizeof(eh), 0) == (ssize_t)sizeof(eh) &&
        memcmp(eh.e_ident, ELFMAG, SELFMAG) == 0 &&
        eh.e_ident[EI_CLASS] == ELFCLASS64 &&
        eh.e_machine == guest->elf_machine &&
        eh.e_phentsize == sizeof(Elf64_Phdr) && eh.e_phnum <= PHDRS_MAX) {
        ok = true;
        for (unsigned i = 0; i < eh.e_phnum && ok; i++) {
            Elf64_Phdr ph;

            ok = pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff +
                       i * sizeof(ph))) == (ssize_t)sizeof(ph) &&
                 ph.p_type != PT_INTERP;
        }
    }
    close(fd);
    return ok;
}

int sq_root_find_busybox(const struct sq_guest_arch *guest,
                         char path[SQ_PATH_MAX], struct squib_error *err)
{
    const char *env = getenv("SQUIB_BUSYBOX");
    char name[32];
    const char *const places[] = {
#ifdef SQUIB_BUSYBOX_PATH
        SQUIB_BUSYBOX_PATH,
#endif
        "/bin/busybox", "/usr/bin/busybox",
    };

    if (env && env[0]) {
        if (!is_static_program(guest, env))
            return sq_err_set(err, SQUIB_E_NOTFOUND, "$SQUIB_BUSYBOX, "
                              "%.100s, %s\n  do: unset it, or name a static "
                              "busybox for %s", env,
                              access(env, F_OK) != 0 ? "does not exist"
                              : "is not a static program", guest->name);
        return sq_path_format(path, err, "%s", env);
    }
    for (size_t i = 0; i < SQ_ARRAY_LEN(places); i++)
        if (is_static_program(guest, places[i]))
            return sq_path_format(path, err, "%s", places[i]);
    snprintf(name, sizeof(name), "busybox-%s", squib_arch_name(guest->arch));
    if (!sq_path_cache(path, name, false, NULL) &&
        is_static_program(guest, path))
        return 0;
    return sq_err_set(err, SQUIB_E_NOTFOUND,
                      "the built-in root needs a static busybox; /bin/busybox "
                      "is none\n  do: apt install busybox-static, or give a "
                      "ROOT directory or image");
}

/* --- images ------------------------------------------------------------ */

const char *sq_root_identify(const char *path, struct squib_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    uint8_t head[2048] = {0};
    ssize_t n;

    if (fd < 0) {
        sq_err_os(err, SQUIB_E_OS, errno, "cannot open the root %s", path);
        return NULL;
    }
    n = pread(fd, head, sizeof(head), 0);
    close(fd);
    if (n >= 1024 + 58 && sq_ld16(head + 1024 + 56) == 0xef53)
        return "ext4"; /* the ext4 driver takes ext2 and ext3 too */
    if (n >= 1024 + 4 && sq_ld32(head + 1024) == 0xe0f5e1e2)
        return "erofs";
    if (n >= 4 && memcmp(head, "hsqs", 4) == 0)
        return "squashfs";
    if (n >= 262 && memcmp(head + 257, "ustar", 5) == 0)
        sq_err_set(err, SQUIB_E_NOSUPPORT, "the root %s is a tar archive\n"
                   "  do: unpack it into a directory and give that", path);
    else
        sq_err_set(err, SQUIB_E_FORMAT, "the root %s is %s\n  do: give a "
                   "directory, or an ext4, EROFS or squashfs image", path,
                   n <= 0 ? "empty" : "no file system image");
    return NULL;
}

/* --- directories ------------------------------------------------------- */

struct tree {
    uint64_t blocks, inodes;
};

static int measure(const char *dir, struct tree *tree,
                   struct squib_error *err)
{
    char *const roots[] = {(char *)dir, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    const FTSENT *e = NULL;
    int rc = 0;

    while (walk && !rc && (errno = 0, e = fts_read(walk))) {
        if (e->fts_info == FTS_DP)
            continue; /* a directory again, on the way back */
        if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR ||
            e->fts_info == FTS_NS) {
            rc = sq_err_os(err, SQUIB_E_OS, e->fts_errno, "cannot read "
                           "%.160s for the root", e->fts_path);
            break;
        }
        tree->inodes++;
        /* Links and special files: at most one block. */
        tree->blocks += 1;
        if (e->fts_info == FTS_F || e->fts_info == FTS_D)
            tree->blocks += ((uint64_t)e->fts_statp->st_size + 4095) / 4096;
    }
    if (!rc && (!walk || (!e && errno)))
        rc = sq_err_os(err, SQUIB_E_OS, errno, "cannot read the root %.160s",
                       dir);
    if (walk)
        fts_close(walk);
    return rc;
}

/* Runs a program with output into `log`; the wait status or -1. */
static int run_tool(const char *const argv[], const char *log)
{
    posix_spawn_file_actions_t fa;
    sigset_t none;
    posix_spawnattr_t attr;
    int status = -1;
    pid_t pid;

    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&fa, 1, log, O_WRONLY | O_CREAT |
                                     O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&fa, 1, 2);
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    if (posix_spawn(&pid, argv[0], &fa, &attr, (char *const *)argv,
                    environ) == 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&fa);
    return status;
}

const char *sq_root_find_mke2fs(void)
{
    static const char *const places[] = {
        "/sbin/mke2fs", "/usr/sbin/mke2fs", "/usr/local/sbin/mke2fs",
        "/usr/bin/mke2fs",
    };

    for (size_t i = 0; i < SQ_ARRAY_LEN(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

/* The last line that the tool wrote. */
static void last_line(const char *log, char *out, size_t out_len)
{
    FILE *f = fopen(log, "re");
    char line[160];

    out[0] = '\0';
    while (f && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0])
            snprintf(out, out_len, "%s", line);
    }
    if (f)
        fclose(f);
}

static int pack(const char *dir, const char *tool, struct sq_root *out,
                struct squib_error *err)
{
    char log[SQ_PATH_MAX + 8], inodes[32], size[32], why[160];
    struct tree tree = {0};
    uint64_t kib;
    int status;

    if (measure(dir, &tree, err))
        return SQUIB_E_OS;
    /* Contents, inodes (256 bytes), extent and directory blocks, and room
     * to spare; what is not used stays a hole in the file. */
    tree.inodes += 64;
    kib = tree.blocks * 4 + tree.inodes / 4;
    kib += kib / 10 + 16 * 1024;
    snprintf(size, sizeof(size), "%lluk", (unsigned long long)kib);
    snprintf(inodes, sizeof(inodes), "%llu",
             (unsigned long long)tree.inodes);
    snprintf(log, sizeof(log), "%s.log", out->image);
    const char *const argv[] = {
        tool, "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256",
        "-O", "^has_journal,^resize_inode", "-m", "0", "-N", inodes,
        "-E", "lazy_itable_init=1,nodiscard", "-d", dir,
        out->image, size, NULL,
    };

    status = run_tool(argv, log);
    last_line(log, why, sizeof(why));
    unlink(log);
    if (status != 0)
        return sq_err_set(err, SQUIB_E_OS, "cannot pack the root %.60s with "
                          "mke2fs: %s", dir, why[0] ? why : "it crashed");
    return 0;
}

static int open_directory(const char *dir, struct sq_root *out,
                          struct squib_error *err)
{
    const char *tool = sq_root_find_mke2fs();
    char cache[SQ_PATH_MAX], real[PATH_MAX];
    int rc, fd;

    if (!realpath(dir, real))
        return sq_err_os(err, SQUIB_E_OS, errno, "the root %.100s", dir);
    if (strcmp(real, "/") == 0)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "this machine's own / as "
                          "the root is not in this version\n  do: give a "
                          "directory that holds a system of its own");

    if (!tool)
        return sq_err_set(err, SQUIB_E_NOSUPPORT, "a directory as the root "
                          "needs mke2fs, which is not installed\n  do: apt "
                          "install e2fsprogs");
    rc = sq_path_cache(cache, "root", true, err);
    if (!rc)
        rc = sq_path_format(out->image, err, "%s/dir-XXXXXX", cache);
    if (rc) {
        out->image[0] = '\0';
        return rc;
    }
    fd = mkostemp(out->image, O_CLOEXEC);
    if (fd < 0) {
        rc = sq_err_os(err, SQUIB_E_OS, errno, "cannot create %s",
                       out->image);
        out->image[0] = '\0';
        return rc;
    }
    close(fd);
    out->temporary = true;
    out->fstype = "ext4";
    return pack(real, tool, out, err);
}

/* ----------------------------------------------------------------------- */

static int open_builtin(const struct sq_guest_arch *guest,
                        struct sq_root *out, struct squib_error *err)
{
    int rc = sq_root_find_busybox(guest, out->busybox_path, err);

    return rc ? rc : sq_hostfile_read(out->busybox_path, BUSYBOX_MAX,
                                      &out->busybox, &out->busybox_len, err);
}

int sq_root_open(const char *root, const struct sq_guest_arch *guest,
                 struct sq_root *out, struct squib_error *err)
{
    struct stat st;
    int rc;

    memset(out, 0, sizeof(*out));
    if (!root)
        return open_builtin(guest, out, err);
    if (stat(root, &st) != 0) {
        if (errno == ENOENT && strchr(root, ':'))
            return sq_err_set(err, SQUIB_E_NOTFOUND, "there is no root "
                              "%.80s; images by name and shared directories "
                              "are not in this version\n  do: give a "
                              "directory or an image file", root);
        if (errno == ENOENT)
            return sq_err_set(err, SQUIB_E_NOTFOUND, "there is no root "
                              "%.80s\n  do: did you mean: squib run -- "
                              "%.80s ...", root, root);
        return sq_err_os(err, SQUIB_E_OS, errno, "the root %.100s", root);
    }
    if (S_ISDIR(st.st_mode))
        return open_directory(root, out, err);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return sq_err_set(err, SQUIB_E_INVAL, "the root %s is neither a "
                          "directory nor an image", root);
    rc = sq_path_format(out->image, err, "%s", root);
    if (rc)
        return rc;
    out->fstype = sq_root_identify(root, err);
    return out->fstype ? 0 : SQUIB_E_FORMAT;
}

void sq_root_release(struct sq_root *root)
{
    if (root->temporary)
        unlink(root->image);
    root->temporary = false;
    free(root->busybox);
    root->busybox = NULL;
}
