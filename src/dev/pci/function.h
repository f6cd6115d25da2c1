/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One PCI function as the bus sees it: 256 bytes of configuration space
 * with a mask of what the guest may write, capabilities, and at most one
 * base address register, 64 bits wide (PCI Local Bus 3.0, chapter 6).
 *
 * A device embeds struct sq_pci_function, initialises it, adds its
 * capabilities and gives it to a bus (bus.h). From then on the bus's lock
 * covers it; the callbacks say how.
 */
#ifndef SQ_DEV_PCI_FUNCTION_H
#define SQ_DEV_PCI_FUNCTION_H

#include <stdint.h>

#define SQ_PCI_CONFIG_LEN 256u

/* Registers (6.1). */
enum sq_pci_reg {
    SQ_PCI_VENDOR = 0x00,
    SQ_PCI_DEVICE = 0x02,
    SQ_PCI_COMMAND = 0x04,
    SQ_PCI_STATUS = 0x06,
    SQ_PCI_REVISION = 0x08, /* then three bytes of class code */
    SQ_PCI_BAR = 0x10,
    SQ_PCI_SUBSYSTEM_VENDOR = 0x2c,
    SQ_PCI_SUBSYSTEM = 0x2e,
    SQ_PCI_CAPABILITIES = 0x34,
    SQ_PCI_FIRST_CAPABILITY = 0x40,
};

#define SQ_PCI_COMMAND_MEMORY 0x0002u
#define SQ_PCI_COMMAND_MASTER 0x0004u
#define SQ_PCI_COMMAND_NO_INTX 0x0400u
#define SQ_PCI_STATUS_CAPABILITIES 0x0010u
#define SQ_PCI_BAR_64BIT 0x4u

enum sq_pci_capability {
    SQ_PCI_CAP_VENDOR = 0x09,
    SQ_PCI_CAP_MSIX = 0x11,
};

struct sq_pci_function;

/* `off` is within the region, `len` 1..8, the access within it. Accesses to
 * configuration space come one at a time, those to memory from several
 * threads at once, and never beside one to configuration space. NULL where
 * there is nothing to do. */
struct sq_pci_ops {
    void (*bar_read)(struct sq_pci_function *fn, uint64_t off,
                     uint8_t *data, unsigned len);
    void (*bar_write)(struct sq_pci_function *fn, uint64_t off,
                      const uint8_t *data, unsigned len);
    /* reg[off .. off + len) is about to be read, or has been written. */
    void (*config_read)(struct sq_pci_function *fn, unsigned off,
                        unsigned len);
    void (*config_written)(struct sq_pci_function *fn, unsigned off,
                           unsigned len);
    /* fn->base was this and is about to change: 0 is "nowhere". */
    void (*leaving)(struct sq_pci_function *fn);
    /* fn->base is new. */
    void (*arrived)(struct sq_pci_function *fn);
};

struct sq_pci_function {
    const struct sq_pci_ops *ops;
    uint64_t bar_len; /* a power of two, 16 or more; 0: there is none */
    uint8_t reg[SQ_PCI_CONFIG_LEN];
    uint8_t writable[SQ_PCI_CONFIG_LEN]; /* bits that the guest may change */
    unsigned last_capability, free_reg;
    uint64_t base; /* gpa at which the BAR is decoded now; 0: nowhere */
};

struct sq_pci_ids {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits: class, subclass, interface */
    uint8_t revision;
};

void sq_pci_function_init(struct sq_pci_function *fn,
                          const struct sq_pci_ops *ops,
                          const struct sq_pci_ids *ids, uint64_t bar_len);

/* Adds a capability of len bytes (6.7), all zero but for its first two.
 * Returns where it is; before the function is on a bus. The caller sees to
 * it that they fit. */
unsigned sq_pci_add_capability(struct sq_pci_function *fn, uint8_t id,
                               unsigned len);

/* Where the guest has put the BAR, decoded or not. */
uint64_t sq_pci_bar(const struct sq_pci_function *fn);

/* ---- For the bus ---- */

/* Any off and len: what lies outside reads as zero and is not written. */
void sq_pci_config_read(struct sq_pci_function *fn, unsigned off,
                        uint8_t *data, unsigned len);
void sq_pci_config_write(struct sq_pci_function *fn, unsigned off,
                         const uint8_t *data, unsigned len);

#endif
