/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's root file system from the ROOT argument: none (the built-in
 * busybox root in the initramfs), a directory (packed into an ext4 image
 * with mke2fs), or an image file. Images are attached read-only; the guest
 * lays a throw-away overlay on them.
 */
#ifndef SQ_CLI_ROOT_H
#define SQ_CLI_ROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#include "arch/guest.h"
#include "cli/paths.h"

struct sq_root {
    char image[SQ_PATH_MAX]; /* "" for the built-in root */
    const char *fstype;      /* "ext4", "erofs", "squashfs"; NULL built-in */
    bool temporary;          /* sq_root_release() removes the image */
    /* Built-in root only. */
    char busybox_path[SQ_PATH_MAX];
    uint8_t *busybox;
    size_t busybox_len;
};

/* root is a path or NULL. May take a second for a directory. Errors name
 * the path; SQUIB_E_NOTFOUND, SQUIB_E_FORMAT, SQUIB_E_NOSUPPORT (a tool or
 * busybox is missing), SQUIB_E_OS. *out needs sq_root_release() even then.
 */
int sq_root_open(const char *root, const struct sq_guest_arch *guest,
                 struct sq_root *out, struct squib_error *err);

/* Removes a temporary image; a machine that has it open keeps it. May be
 * called early and twice. */
void sq_root_release(struct sq_root *root);

/* The file system in an image by its magic number, or NULL. */
const char *sq_root_identify(const char *path, struct squib_error *err);

/* The busybox of the built-in root: $SQUIB_BUSYBOX, what the build was told,
 * /bin/busybox, /usr/bin/busybox, CACHE/busybox-ARCH; the first that is a
 * static program for such guests. Errors: SQUIB_E_NOTFOUND. */
int sq_root_find_busybox(const struct sq_guest_arch *guest,
                         char path[SQ_PATH_MAX], struct squib_error *err);

/* The program that packs directories, or NULL. */
const char *sq_root_find_mke2fs(void);

#endif
