/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host tells the agent before there is a connection.
 *
 * Two places with one grammar, words NAME=VALUE separated by white space:
 * the file /squib/config (names as below) and then the kernel command line
 * (names with the prefix "squib.", which the kernel itself ignores). The
 * later word wins; unknown names are skipped so that an older agent boots.
 *
 *   root=SOURCE       block device, or the tag of a virtiofs export;
 *                     absent or "initramfs": the initramfs is the root
 *   rootfstype=A,B    file systems to try in this order
 *                     (default ext4,erofs,squashfs)
 *   rootmode=MODE     ro: read-only (default); rw: writable, changes stay;
 *                     overlay: read-only below a throw-away tmpfs
 *   hostname=NAME     (default squib)
 *   net=ADDRESS/PREFIX[,ROUTER[,NAMESERVER]]
 *                     IPv4 for eth0; absent: nobody configures it
 *   publish=PORT,...  TCP ports that the host may connect to (forward.h)
 */
#ifndef SQUIB_GUEST_SETTINGS_H
#define SQUIB_GUEST_SETTINGS_H

#include <stdbool.h>

enum root_mode { ROOT_RO, ROOT_RW, ROOT_OVERLAY };

struct settings {
    char root[128];       /* "" = the initramfs */
    char rootfstype[128]; /* comma separated */
    char hostname[65];
    char net[64]; /* "" = leave the network alone */
    char publish[128]; /* TCP ports, comma separated */
    enum root_mode rootmode;
};

/* Fills in the defaults. */
void settings_init(struct settings *settings);

/* Takes the words of `text`, which is modified. With `prefixed` only words
 * that start with "squib." count. A value that is too long or a mode that
 * is unknown is said on the console and skipped. */
void settings_parse(struct settings *settings, char *text, bool prefixed);

/* Reads a whole small file into buf[cap], NUL-terminated and cut at cap-1.
 * Returns its length, or -1 with errno. */
long read_small_file(const char *path, char *buf, unsigned long cap);

#endif
