/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of the host: for guests, and for code that is made at run time.
 * Functions return 0 or an errno.
 */
#ifndef SQ_OS_SHM_H
#define SQ_OS_SHM_H

#include <stddef.h>
#include <stdint.h>

/* What the host backs it with; the order is that of the API's words. */
enum sq_shm_pages {
    SQ_PAGES_NORMAL,
    SQ_PAGES_TRANSPARENT, /* huge ones where the host finds some */
    SQ_PAGES_2M, /* of the host's pool of huge pages, reserved; ENOTSUP where
                  * there is no such thing */
};

/* Zeroed shareable memory of no name, that costs nothing until it is
 * touched: *fd can be mapped by others, too, who cannot change its length
 * where the host has means against that. The caller unmaps and closes. */
int sq_shm_new(uint64_t len, enum sq_shm_pages pages, int *fd, void **hva);

/* Copies to [off, off + len), cheaper than through hva where nothing has been
 * there yet: a page costs no fault and is not cleared first. */
void sq_shm_write(int fd, void *hva, uint64_t off, const void *src,
                  size_t len);

/* Gives whole pages back: they read as zeroes afterwards. */
int sq_shm_discard(int fd, void *hva, uint64_t off, uint64_t len);

/* Memory for code: written at rw, executed at rx. sq_code_begin() and
 * sq_code_end() enclose the writing of [rx, rx + len), on the writing
 * thread. After an error both are NULL, which is also fine to free. */
int sq_code_new(size_t len, uint8_t **rw, const uint8_t **rx);
void sq_code_free(uint8_t *rw, const uint8_t *rx, size_t len);
void sq_code_begin(void);
void sq_code_end(const uint8_t *rx, size_t len);

#endif
