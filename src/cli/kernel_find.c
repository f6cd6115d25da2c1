/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/kernel_find.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/err.h"
#include "os/file.h"

static void note(struct sq_kernel_choice *c, const char *what,
                 const char *path)
{
    size_t n = strlen(c->tried);

    snprintf(c->tried + n, sizeof(c->tried) - n, "  %s%s%s\n", what,
             path[0] ? ": " : "", path);
}

static void copy_path(char *dst, const char *src)
{
    size_t len = strlen(src);

    if (len >= SQ_PATH_MAX)
        len = 0;
    memcpy(dst, src, len);
    dst[len] = '\0';
}

/* A file as it is; in a directory one of the names that it may have. */
static bool take(struct sq_kernel_choice *c, const char *what,
                 const char *path)
{
    const char *const *names = c->guest->kernel_files;
    char in_dir[SQ_PATH_MAX];

    if (!sq_path_is_dir(path)) {
        note(c, what, path);
        if (access(path, F_OK) != 0)
            return false;
        copy_path(c->path, path);
        return c->path[0] != '\0';
    }
    for (int i = 0; i < 2; i++) {
        if (sq_path_format(in_dir, NULL, "%s/%s", path, names[i]))
            continue;
        note(c, what, in_dir);
        if (access(in_dir, F_OK) == 0) {
            copy_path(c->path, in_dir);
            return true;
        }
    }
    return false;
}

static bool find_in_cache(struct sq_kernel_choice *c)
{
    struct squib_error err = {0};
    char dir[SQ_PATH_MAX];

    if (sq_path_cache(dir, c->guest->cache, false, &err)) {
        note(c, "cache", err.text);
        return false;
    }
    if (sq_path_is_dir(dir))
        return take(c, "cache", dir);
    note(c, "cache", dir);
    return false;
}

/* Whether the host's kernels are for such guests. */
static bool is_hosts(const struct sq_guest_arch *guest)
{
    struct utsname u;

    return uname(&u) == 0 &&
           strcmp(u.machine, squib_arch_name(guest->arch)) == 0;
}

/* Whether a names a newer version than b: numbers count by their value. */
static bool is_newer(const char *a, const char *b)
{
    while (*a && *b) {
        char *a_end, *b_end;
        unsigned long long x, y;

        if (!isdigit((unsigned char)*a) || !isdigit((unsigned char)*b)) {
            if (*a != *b)
                return *a > *b;
            a++;
            b++;
            continue;
        }
        x = strtoull(a, &a_end, 10);
        y = strtoull(b, &b_end, 10);
        if (x != y)
            return x > y;
        a = a_end;
        b = b_end;
    }
    return *a != '\0';
}

static bool find_in_boot(struct sq_kernel_choice *c)
{
    DIR *d = opendir("/boot");
    char best[NAME_MAX + 1] = "", path[SQ_PATH_MAX];
    const struct dirent *e;

    note(c, "host", "/boot/vmlinuz-*");
    while (d && (e = readdir(d)))
        if (strncmp(e->d_name, "vmlinuz-", 8) == 0 &&
            (!best[0] || is_newer(e->d_name, best)))
            snprintf(best, sizeof(best), "%s", e->d_name);
    if (d)
        closedir(d);
    if (!best[0] || sq_path_format(path, NULL, "/boot/%s", best))
        return false;
    copy_path(c->path, path);
    return true;
}

/* A tree is one that modules.h can read. */
static bool is_module_tree(const char *dir)
{
    static const char *const names[] = {"modules.dep", "modules.order"};
    char path[SQ_PATH_MAX];

    for (int i = 0; i < 2; i++)
        if (!sq_path_format(path, NULL, "%s/%s", dir, names[i]) &&
            sq_path_is_file(path))
            return true;
    return false;
}

static void find_modules(struct sq_kernel_choice *c)
{
    const char *slash = strrchr(c->path, '/');
    int dir_len = slash ? (int)(slash - c->path) : 1;
    char tree[SQ_PATH_MAX];

    if (!sq_path_format(tree, NULL, "%.*s/modules", dir_len,
                        slash ? c->path : ".") && is_module_tree(tree))
        copy_path(c->modules, tree);
    else if (c->release[0] &&
             !sq_path_format(tree, NULL, "/lib/modules/%s", c->release) &&
             is_module_tree(tree))
        copy_path(c->modules, tree);
}

/* A kernel that somebody named is the only place to look at. */
static int named_is_absent(struct sq_kernel_choice *c, const char *how,
                           const char *path, struct squib_error *err)
{
    c->tried[0] = '\0';
    return sq_err_set(err, SQUIB_E_NOTFOUND, "there is no kernel %.120s (%s)"
                      "\n  do: give the path of %s", path, how,
                      c->guest->kernel);
}

const struct sq_guest_arch *sq_kernel_guest(void)
{
    const struct squib_backend *be = NULL;

    if (squib_backend_choose("auto", &be, NULL, 0, NULL))
        return sq_guest_arch(SQUIB_ARCH_X86_64);
    return sq_guest_arch(squib_backend_arch(be));
}

int sq_kernel_find(const struct sq_guest_arch *guest, const char *option,
                   struct sq_kernel_choice *c, struct squib_error *err)
{
    const char *env = getenv("SQUIB_KERNEL");
    struct sq_guest_kernel_id id = {0};
    int rc;

    memset(c, 0, sizeof(*c));
    c->guest = guest;
    if (option && !take(c, "--kernel", option))
        return named_is_absent(c, "--kernel", option, err);
    if (!option && env && env[0] && !take(c, "$SQUIB_KERNEL", env))
        return named_is_absent(c, "SQUIB_KERNEL in the environment", env,
                               err);
    if (!c->path[0] && !(env && env[0]))
        note(c, "$SQUIB_KERNEL is not set", "");
    if (!c->path[0] && !find_in_cache(c) &&
        !(is_hosts(guest) && find_in_boot(c)))
        return sq_err_set(err, SQUIB_E_NOTFOUND, "no guest kernel was found");
    rc = guest->identify(c->path, &id, err);
    if (rc)
        return rc;
    memcpy(c->release, id.release, sizeof(c->release));
    copy_path(c->boot, c->path);
    find_modules(c);
    return 0;
}

/* --- unpacking --------------------------------------------------------- */

/* FNV-1a: only tells files apart. */
static uint64_t hash_text(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 0x100000001b3u;
    return h;
}

/* Removes what was unpacked from earlier contents of the same file. */
static void prune(const char *dir, const char *prefix, const char *keep)
{
    DIR *d = opendir(dir);
    const struct dirent *e;

    while (d && (e = readdir(d)))
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 &&
            strcmp(e->d_name, keep) != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
}

void sq_kernel_unpack(struct sq_kernel_choice *c)
{
    struct sq_guest_kernel_id id;
    char dir[SQ_PATH_MAX], out[SQ_PATH_MAX], real[PATH_MAX];
    char prefix[32], name[96];
    struct stat st;

    if (c->guest->identify(c->path, &id, NULL) || !id.packed ||
        !realpath(c->path, real) ||
        stat(real, &st) != 0 || sq_path_cache(dir, "unpacked", true, NULL))
        return;
    snprintf(prefix, sizeof(prefix), "%016" PRIx64 "-", hash_text(real));
    snprintf(name, sizeof(name), "%s%llx-%llx-%lx", prefix,
             (unsigned long long)st.st_size,
             (unsigned long long)sq_file_mtime(&st).tv_sec,
             sq_file_mtime(&st).tv_nsec);
    if (sq_path_format(out, NULL, "%s/%s", dir, name))
        return;
    if (!sq_path_is_file(out)) {
        if (c->guest->extract(c->path, out, NULL))
            return; /* booting the packed one reports the error */
        prune(dir, prefix, name);
    }
    copy_path(c->boot, out);
}
