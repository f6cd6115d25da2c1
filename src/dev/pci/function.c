/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/pci/function.h"

#include <string.h>

#include "base/util.h"

void sq_pci_function_init(struct sq_pci_function *fn,
                          const struct sq_pci_ops *ops,
                          const struct sq_pci_ids *ids, uint64_t bar_len)
{
    memset(fn, 0, sizeof(*fn));
    fn->ops = ops;
    fn->bar_len = bar_len;
    fn->free_reg = SQ_PCI_FIRST_CAPABILITY;
    sq_st16(fn->reg + SQ_PCI_VENDOR, ids->vendor);
    sq_st16(fn->reg + SQ_PCI_DEVICE, ids->device);
    sq_st32(fn->reg + SQ_PCI_REVISION,
            ids->class_code << 8 | ids->revision);
    sq_st16(fn->reg + SQ_PCI_SUBSYSTEM_VENDOR, ids->subsystem_vendor);
    sq_st16(fn->reg + SQ_PCI_SUBSYSTEM, ids->subsystem);
    if (!bar_len)
        return;
    /* Address bits below the length are fixed, which is how a guest learns
     * it: it writes ones and looks which stay (6.2.5.1). */
    fn->reg[SQ_PCI_BAR] = SQ_PCI_BAR_64BIT;
    sq_st64(fn->writable + SQ_PCI_BAR, ~(bar_len - 1));
    sq_st16(fn->writable + SQ_PCI_COMMAND,
            SQ_PCI_COMMAND_MEMORY | SQ_PCI_COMMAND_MASTER |
                SQ_PCI_COMMAND_NO_INTX);
}

unsigned sq_pci_add_capability(struct sq_pci_function *fn, uint8_t id,
                               unsigned len)
{
    unsigned at = fn->free_reg;

    fn->reg[fn->last_capability ? fn->last_capability + 1
                                : SQ_PCI_CAPABILITIES] = (uint8_t)at;
    fn->reg[SQ_PCI_STATUS] |= SQ_PCI_STATUS_CAPABILITIES;
    fn->reg[at] = id;
    fn->last_capability = at;
    fn->free_reg = (unsigned)sq_align_up(at + len, 4);
    return at;
}

uint64_t sq_pci_bar(const struct sq_pci_function *fn)
{
    return sq_ld64(fn->reg + SQ_PCI_BAR) & ~(uint64_t)0xf;
}

void sq_pci_config_read(struct sq_pci_function *fn, unsigned off,
                        uint8_t *data, unsigned len)
{
    if (fn->ops->config_read)
        fn->ops->config_read(fn, off, len);
    for (unsigned i = 0; i < len; i++)
        data[i] = off + i < SQ_PCI_CONFIG_LEN ? fn->reg[off + i] : 0;
}

void sq_pci_config_write(struct sq_pci_function *fn, unsigned off,
                         const uint8_t *data, unsigned len)
{
    for (unsigned i = 0; i < len && off + i < SQ_PCI_CONFIG_LEN; i++) {
        uint8_t mask = fn->writable[off + i];

        fn->reg[off + i] =
            (uint8_t)((fn->reg[off + i] & ~mask) | (data[i] & mask));
    }
    if (fn->ops->config_written)
        fn->ops->config_written(fn, off, len);
}
