/* SPDX-License-Identifier: Apache-2.0 */
/* The work itself, on a file: for the engines in this folder. */
#ifndef SQ_DEV_HOST_DISK_FILE_H
#define SQ_DEV_HOST_DISK_FILE_H

#include <stddef.h>

#include "dev/host/disk.h"

/* Does a request and waits for it; 0 or an errno. A file that ends early is
 * an I/O error. Any thread. */
int sq_disk_file_perform(int fd, struct sq_disk_request *req);

/* Notes that the first `len` bytes are transferred; off and iov go on from
 * there. */
void sq_disk_file_advance(struct sq_disk_request *req, size_t len);

/* Locks the file of `fd`, as sq_disk_open_config() says. */
int sq_disk_file_lock(int fd, const char *path, bool exclusive,
                      struct squib_error *err);

#endif
