/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arm64 machine's address map and interrupts, in one place.
 *
 *   0x0800_0000  GICv3 distributor (64 KiB)
 *   0x0802_0000  message-signalled interrupts (64 KiB)
 *   0x0900_0000  serial port, a 16550A with registers of one byte
 *   0x0901_0000  PL031 clock
 *   0x0a00_0000  virtio-mmio, one device each 4 KiB
 *   0x1000_0000  memory of PCI functions
 *   0x3d00_0000  PCI configuration space of bus 0
 *   0x3e00_0000  GICv3 redistributors (128 KiB a vCPU, up to 32). Nothing
 *                else in these 32 MiB: Hypervisor.framework claims the room
 *                of 256 for itself
 *   0x4000_0000  boot timer
 *   0x8000_0000  RAM: device tree (up to 2 MiB less a page), VM generation
 *                identifier (the page below the kernel), kernel, initrd
 *                right behind the kernel. Behind RAM persistent memory,
 *                each device on a 1 GiB boundary
 *
 * SPIs 0 to 95 are lines, 96 to 223 are for messages. All values are
 * guest-physical addresses, lengths in bytes or SPI numbers, which are 32
 * less than their INTID. Frames lie on 64 KiB boundaries, so that hosts with
 * larger pages than 4 KiB can map them too.
 */
#ifndef SQ_ARCH_AARCH64_LAYOUT_H
#define SQ_ARCH_AARCH64_LAYOUT_H

#define SQ_ARM64_GICD_GPA 0x08000000u
#define SQ_ARM64_MSI_GPA 0x08020000u
#define SQ_ARM64_GICR_GPA 0x3e000000u
#define SQ_ARM64_GICR_ROOM_LEN 0x00400000u /* 32 redistributors */
#define SQ_ARM64_SPIS 224u
#define SQ_ARM64_MSI_SPIS 128u

#define SQ_ARM64_SERIAL_GPA 0x09000000u
#define SQ_ARM64_SERIAL_LEN 0x1000u
#define SQ_ARM64_SERIAL_SPI 0u
/* The rate of the chip's clock that a driver divides; any will do. */
#define SQ_ARM64_SERIAL_HZ 1843200u
#define SQ_ARM64_RTC_GPA 0x09010000u
#define SQ_ARM64_RTC_LEN 0x1000u
#define SQ_ARM64_RTC_SPI 1u
#define SQ_ARM64_VMGENID_SPI 2u

#define SQ_ARM64_VIRTIO_GPA 0x0a000000u
#define SQ_ARM64_VIRTIO_STEP 0x1000u
#define SQ_ARM64_VIRTIO_SPI 16u /* the first device's; then one by one */
#define SQ_ARM64_VIRTIO_MAX 19u /* as many as on x86-64 */

#define SQ_ARM64_PCI_GPA 0x10000000u
#define SQ_ARM64_PCI_LEN 0x2d000000u
#define SQ_ARM64_ECAM_GPA 0x3d000000u
#define SQ_ARM64_ECAM_LEN 0x00100000u /* one bus */
#define SQ_ARM64_BOOT_TIMER_GPA 0x40000000u

#define SQ_ARM64_RAM_GPA 0x80000000ull
#define SQ_ARM64_FDT_GPA SQ_ARM64_RAM_GPA
#define SQ_ARM64_FDT_MAX 0x1ff000u
#define SQ_ARM64_VMGENID_GPA (SQ_ARM64_RAM_GPA + SQ_ARM64_FDT_MAX)
#define SQ_ARM64_KERNEL_GPA (SQ_ARM64_RAM_GPA + 0x200000u)
#define SQ_ARM64_KERNEL_ALIGN 0x200000u
/* 40 bits of address are what every CPU with virtualization offers, but
 * for some that have 36. */
#define SQ_ARM64_RAM_MAX (512ull << 30)
#define SQ_ARM64_GPA_END (1ull << 40)
#define SQ_ARM64_PMEM_ALIGN (1ull << 30)

/* With the NUL; Linux for arm64 keeps this much. */
#define SQ_ARM64_CMDLINE_MAX 2048u

#endif
