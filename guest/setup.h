/* SPDX-License-Identifier: Apache-2.0 */
/* Making the initramfs into a system: mounts, modules, the root. Linux
 * only, as PID 1 only. Whatever is best effort says nothing when a kernel
 * lacks it: the command will say what it misses. */
#ifndef SQUIB_GUEST_SETUP_H
#define SQUIB_GUEST_SETUP_H

#include "settings.h"
#include "text.h"

/* Descriptors 0..2 become usable: the console, else /dev/null. First. */
void setup_console(void);

/* Mounts /dev and /proc of the initramfs, which are moved into the root
 * later. Best effort. */
void setup_first_mounts(void);

/* Reads /squib/config and the kernel command line. After the above. */
void setup_read_settings(struct settings *settings);

/* Loads the modules named in /squib/modules, one a line in load order:
 * PATH, then optionally a space and the module's parameters. One that is
 * already there is fine; another failure is said on the console and the
 * next is tried. */
void setup_load_modules(void);

/* Makes the root the settings ask for into "/". 0, or a negative errno
 * with one line in *why. */
int setup_root(const struct settings *settings, struct text *why);

/* In the final root: hostname, loopback, the network, /sys, /dev/pts,
 * /dev/shm, /run, control groups. Best effort. */
void setup_system(const struct settings *settings);

/* Puts everything written on stable storage and leaves the root read-only.
 * The command and its children are gone. Does nothing for roots that keep
 * nothing. */
void setup_quiesce(const struct settings *settings);

#endif
