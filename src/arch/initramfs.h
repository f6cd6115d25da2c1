/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's first file system: a cpio archive in the "newc" format, built
 * in memory.
 *
 * Source: Documentation/driver-api/early-userspace/buffer-format.rst of
 * Linux. The result depends on the inputs alone (no times, no owners), so
 * it can be cached by what went in.
 *
 * Layout, which guest/ relies on:
 *
 *   /init                    the agent
 *   /squib/modules           module paths in load order, one a line
 *   /squib/config            settings (guest/settings.h), when there are any
 *   /squib/run               a command without a host (guest/session.h)
 *   /squib/mod/NAME.ko       modules without signatures
 *   /squib/{root,lower,upper} mount points for another root
 *   /bin/busybox, /bin/APPLET when there is a busybox
 *   /dev/console, /dev/null, and the usual empty directories
 *
 * One thread at a time for one archive.
 */
#ifndef SQ_ARCH_INITRAMFS_H
#define SQ_ARCH_INITRAMFS_H

#include <squib/error.h>

#include <stddef.h>
#include <stdint.h>

/* An archive being written. Zero-initialise; release with
 * sq_initramfs_free. data[0..len) is what the kernel gets, complete after
 * sq_initramfs_finish. */
struct sq_initramfs {
    uint8_t *data;
    size_t len;
    size_t cap;
    uint32_t entries;
};

/* The adding functions take a path without a leading '/'; its parent must
 * have been added. `mode` is the permission part. Contents are copied.
 * SQUIB_E_INVAL for an empty, absolute or overlong path or a file of 4 GiB
 * and more; SQUIB_E_NOMEM. After an error the archive is as before. */
int sq_initramfs_add_dir(struct sq_initramfs *archive, const char *path,
                         uint32_t mode, struct squib_error *err);
int sq_initramfs_add_file(struct sq_initramfs *archive, const char *path,
                          uint32_t mode, const void *data, size_t len,
                          struct squib_error *err);
int sq_initramfs_add_symlink(struct sq_initramfs *archive, const char *path,
                             const char *target, struct squib_error *err);
int sq_initramfs_add_chardev(struct sq_initramfs *archive, const char *path,
                             uint32_t mode, uint32_t major, uint32_t minor,
                             struct squib_error *err);

/* Ends the archive. Nothing can be added after it. */
int sq_initramfs_finish(struct sq_initramfs *archive,
                        struct squib_error *err);

/* Releases the memory and zeroes the archive. */
void sq_initramfs_free(struct sq_initramfs *archive);

/* What squib's own initramfs is made of. All borrowed for the call. */
struct sq_initramfs_spec {
    const void *agent; /* the static program for this guest architecture */
    size_t agent_len;
    const void *busybox; /* NULL: no user space of its own */
    size_t busybox_len;
    const char *const *module_paths; /* host files in load order */
    size_t module_count;
    const void *command; /* for /squib/run, or NULL */
    size_t command_len;
    const char *config; /* text for /squib/config, or NULL */
};

/* Builds the layout above into *out, which is overwritten. Reads the module
 * files (blocking). Errors as of sq_modfile_check and sq_hostfile_read,
 * with the file's path in front; on error *out is empty. */
int sq_initramfs_build(const struct sq_initramfs_spec *spec,
                       struct sq_initramfs *out, struct squib_error *err);

#endif
