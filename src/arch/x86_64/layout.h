/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x86-64 machine's address map, in one place.
 *
 *   0x0000_0500  GDT for the 64-bit protocol
 *   0x0000_1000  multiboot information (one page), command line (one page)
 *   0x0000_4000  to the MP table: free for a multiboot kernel, which gets
 *                none of the four below
 *   0x0000_6000  PVH start_info, module list, memory map (one page)
 *   0x0000_7000  Linux zero page (one page)
 *   0x0000_9000  page tables for the 64-bit protocol (six pages)
 *   0x0002_0000  command line (one page)
 *   0x0009_fc00  MP floating pointer and table (1 KiB, 640 KiB ends here)
 *   0x000e_0000  RSDP, then the other ACPI tables (64 KiB)
 *   0x000f_0000  VM generation identifier (16 bytes)
 *   0x0010_0000  RAM; the kernel lies where its ELF headers say,
 *                the initrd as high as RAM below 3 GiB allows
 *   0xc000_0000  end of low RAM: the rest continues at 4 GiB; boot timer
 *   0xd000_0000  virtio-mmio, one device each 4 KiB
 *   0xe000_0000  PCI configuration space, 1 MiB (with PCI only)
 *   0xfec0_0000  I/O APIC
 *   0xfee0_0000  local APICs
 *   0x1_0000_0000  high RAM; behind it persistent memory, each device on a
 *                  1 GiB boundary
 *   0xfc_0000_0000  memory of PCI devices, 4 GiB (with PCI only); below the
 *                  last 12 GiB of 40 bits, which some hosts keep for
 *                  themselves
 *
 * All values are guest-physical addresses or lengths in bytes.
 */
#ifndef SQ_ARCH_X86_64_LAYOUT_H
#define SQ_ARCH_X86_64_LAYOUT_H

#define SQ_X86_GDT_GPA 0x500u
#define SQ_X86_MULTIBOOT_GPA 0x1000u
#define SQ_X86_MULTIBOOT_CMDLINE_GPA 0x2000u
#define SQ_X86_MULTIBOOT_FREE_GPA 0x4000u
#define SQ_X86_PVH_GPA 0x6000u
#define SQ_X86_ZERO_PAGE_GPA 0x7000u
#define SQ_X86_PAGE_TABLES_GPA 0x9000u
#define SQ_X86_CMDLINE_GPA 0x20000u
/* Room for the command line with its NUL. Linux for x86 keeps 2048. */
#define SQ_X86_CMDLINE_MAX 2048u

#define SQ_X86_MPTABLE_GPA 0x9fc00u
#define SQ_X86_MPTABLE_LEN 0x400u
#define SQ_X86_ACPI_GPA 0xe0000u
#define SQ_X86_ACPI_LEN 0x10000u
#define SQ_X86_VMGENID_GPA 0xf0000u
#define SQ_X86_HIGH_MEMORY_GPA 0x100000u

/* Where low RAM ends at the latest and where the rest of it begins. */
#define SQ_X86_LOW_RAM_END 0xc0000000ull
#define SQ_X86_HIGH_RAM_GPA 0x100000000ull
/* More RAM than this does not fit the 40 address bits that every CPU has
 * beside the hole below 4 GiB. */
#define SQ_X86_RAM_MAX (512ull << 30)
#define SQ_X86_PCI_GPA 0xfc00000000ull
#define SQ_X86_PCI_LEN (4ull << 30)
#define SQ_X86_ECAM_GPA 0xe0000000u
#define SQ_X86_ECAM_LEN 0x100000u /* bus 0 */
#define SQ_X86_PCI_SLOTS 32u
#define SQ_X86_PCI_PORT 0xcf8u /* and the seven that follow */
/* Devices' memory behind RAM ends here at the latest. */
#define SQ_X86_GPA_END SQ_X86_PCI_GPA
/* Persistent memory lies behind all RAM. */
#define SQ_X86_PMEM_ALIGN (1ull << 30)

#define SQ_X86_VIRTIO_GPA 0xd0000000u
#define SQ_X86_VIRTIO_STEP 0x1000u
#define SQ_X86_VIRTIO_GSI 5u /* the first device's; the next has the next */
#define SQ_X86_VIRTIO_MAX 19u /* GSIs 5..23 */
/* "A device came": with PCI there are no virtio-mmio devices. */
#define SQ_X86_PCI_GSI SQ_X86_VIRTIO_GSI

#define SQ_X86_BOOT_TIMER_GPA 0xc0000000u
#define SQ_X86_IOAPIC_GPA 0xfec00000u
#define SQ_X86_IOAPIC_PINS 24u
#define SQ_X86_LAPIC_GPA 0xfee00000u

/* Ports and interrupt lines of the legacy devices. */
#define SQ_X86_COM1_PORT 0x3f8u
#define SQ_X86_COM1_GSI 4u
#define SQ_X86_KBD_GSI 1u
#define SQ_X86_VMGENID_GSI 3u
#define SQ_X86_RTC_PORT 0x70u
#define SQ_X86_RTC_CENTURY 0x32u /* CMOS index of the century */
#define SQ_X86_RESET_PORT 0x64u  /* i8042: writing 0xfe resets */
#define SQ_X86_RESET_VALUE 0xfeu
/* ACPI sleep control register; the status register is the next port. */
#define SQ_X86_POWER_PORT 0x600u
#define SQ_X86_SLEEP_S5 5u /* SLP_TYP that means "power off" */

#endif
