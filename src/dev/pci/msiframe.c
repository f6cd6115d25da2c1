/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/pci/msiframe.h"

#include <string.h>

#include "base/util.h"

#define MSI_TYPER 0x008u /* first interrupt in 25:16, their number in 9:0 */
#define MSI_SETSPI 0x040u

static void frame_read(void *dev, uint64_t off, uint8_t *data, unsigned len)
{
    const struct sq_msi_frame *f = dev;

    memset(data, 0, len);
    if (off == MSI_TYPER && len == 4)
        sq_st32(data, f->first << 16 | f->count);
}

static void frame_write(void *dev, uint64_t off, const uint8_t *data,
                        unsigned len)
{
    const struct sq_msi_frame *f = dev;

    if (off == MSI_SETSPI && len == 4)
        sq_msi_send(&f->msi, f->gpa + off, sq_ld32(data));
}

const struct sq_bus_ops sq_msi_frame_ops = {frame_read, frame_write};
