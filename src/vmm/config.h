/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a virtual machine is to be, as a plain value.
 *
 * A spec is filled (by the command line or from a JSON file), validated
 * once and then copied; nothing built from it keeps a pointer into it. It
 * is large: keep it on the heap. Any thread, no shared state.
 */
#ifndef SQ_VMM_CONFIG_H
#define SQ_VMM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/error.h>

#include "arch/x86_64/cpu_template.h"
#include "core/memory.h"
#include "dev/ratelimit.h"
#include "dev/virtio/balloon.h"
#include "dev/virtio/mem.h"

#define SQ_SPEC_PATH_MAX 4096
#define SQ_SPEC_ID_MAX 64
/* Of each kind; as many as there are PCI slots. */
#define SQ_SPEC_DRIVES_MAX 32
#define SQ_SPEC_PMEMS_MAX 32
#define SQ_SPEC_NETS_MAX 32
#define SQ_SPEC_TAP_MAX 15
/* With the NUL; the kernel's own limit on x86 (COMMAND_LINE_SIZE). */
#define SQ_SPEC_CMDLINE_MAX 2048
/* What Firecracker boots with when boot_args is absent. */
#define SQ_SPEC_CMDLINE_DEFAULT                                            \
    "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux "   \
    "i8042.dumbkbd swiotlb=noforce"
#define SQ_SPEC_UDS_MAX 108 /* with the NUL; a Unix socket's path */
#define SQ_SPEC_MEM_MIB_MIN 16u
#define SQ_SPEC_MEM_MIB_MAX (512u * 1024u)
#define SQ_SPEC_CID_DEFAULT 3u

/* Where the guest's first serial port goes. Its last lines are kept for
 * error reports in every mode. */
enum sq_serial_mode {
    SQ_SERIAL_LOG,    /* nowhere else */
    SQ_SERIAL_STDERR, /* output also to standard error */
    SQ_SERIAL_STDIO,  /* output to standard output, input from stdin */
};

struct sq_drive_spec {
    char id[SQ_SPEC_ID_MAX + 1]; /* [A-Za-z0-9_]+, unique */
    char path[SQ_SPEC_PATH_MAX];
    bool read_only;
    bool is_root;         /* at most one; it comes first on the bus */
    bool flush;           /* offer the guest a flush that reaches the disk */
    bool async;           /* requests are done beside the event thread */
    bool vhost_user;      /* path is a socket, of who serves the requests;
                             of the rest, only flush and is_root count */
    struct sq_ratelimit_config limit;
    char partuuid[64];    /* root=PARTUUID=..., "" = root=/dev/vda */
};

/* What is at the other end of a network interface. */
enum sq_net_kind {
    SQ_NET_TAP,    /* a tap interface of this host */
    SQ_NET_USER,   /* squib's helper: no privileges needed */
    SQ_NET_SOCKET, /* a Unix socket that speaks frames (passt, gvproxy) */
};

struct sq_net_spec {
    char id[SQ_SPEC_ID_MAX + 1]; /* [A-Za-z0-9_]+, unique */
    enum sq_net_kind kind;
    char tap[SQ_SPEC_TAP_MAX + 1];
    bool no_host; /* USER: this host's services are out of reach */
    bool tap_must_exist; /* else one is made, as Firecracker does */
    char path[SQ_SPEC_PATH_MAX]; /* USER: the helper; SOCKET: the socket */
    bool has_mac; /* else the guest chooses; unique */
    uint8_t mac[6];
    uint16_t mtu; /* 0: not told */
    struct sq_ratelimit_config rx_limit, tx_limit;
    bool mmds; /* the metadata service answers here */
};

/* A file that the guest has as memory. */
struct sq_pmem_spec {
    char id[SQ_SPEC_ID_MAX + 1]; /* [A-Za-z0-9_]+, unique */
    char path[SQ_SPEC_PATH_MAX];
    bool read_only;
    bool is_root; /* at most one, and then no drive is */
    struct sq_ratelimit_config limit;
};

struct sq_vm_spec {
    char backend[16]; /* "auto" or a backend's name */
    char kernel[SQ_SPEC_PATH_MAX];
    char initrd[SQ_SPEC_PATH_MAX]; /* "" = none */
    char cmdline[SQ_SPEC_CMDLINE_MAX];
    uint32_t mem_mib;
    uint32_t vcpus;
    bool dirty_log;
    enum sq_shm_pages pages;
    struct sq_cpu_template cpu;
    bool pci; /* virtio devices on a PCI bus; else each in an MMIO slot */
    bool deterministic; /* as struct squib_vm_config; no drives, networks */
    uint64_t seed;
    uint64_t translations_max;
    uint32_t drive_count, net_count, pmem_count;
    bool vsock;
    uint32_t guest_cid;
    char vsock_path[SQ_SPEC_UDS_MAX]; /* "": the caller answers itself */
    bool rng;
    struct sq_ratelimit_config rng_limit;
    bool balloon;
    struct sq_virtio_balloon_config balloon_config; /* <= mem_mib */
    bool hotplug; /* memory that comes and goes while the guest runs */
    struct sq_virtio_mem_sizes hotplug_sizes;
    bool boot_timer;
    bool test_device; /* dev/legacy/testdev.h; x86-64 guests only */
    enum sq_serial_mode serial;
    /* STDIO: output goes to this file or FIFO instead, and there is no
     * input. "": it does not. */
    char serial_path[SQ_SPEC_PATH_MAX];
    /* Output beyond this many bytes is dropped; all zero: no limit. */
    struct sq_bucket_config serial_limit;
    /* Last, because most of them are not in use: what is behind the counts
     * is never read, copied or touched. */
    struct sq_drive_spec drives[SQ_SPEC_DRIVES_MAX];
    struct sq_net_spec nets[SQ_SPEC_NETS_MAX];
    struct sq_pmem_spec pmems[SQ_SPEC_PMEMS_MAX];
};

/* The defaults: backend auto, 1 vCPU, 128 MiB, serial to the log. */
void sq_spec_init(struct sq_vm_spec *spec);

/* *to becomes what *from is. */
void sq_spec_copy(struct sq_vm_spec *to, const struct sq_vm_spec *from);

/* Checks every bound that needs no file to be opened. Errors:
 * SQUIB_E_INVAL; the text names the setting and the bound. */
int sq_spec_validate(const struct sq_vm_spec *spec, struct squib_error *err);

/* Only the bounds of these two; sq_spec_validate() checks them too. */
int sq_spec_check_size(uint32_t vcpus, uint32_t mem_mib,
                       struct squib_error *err);

/* Copies a string setting. SQUIB_E_INVAL (naming `what`) when it does not
 * fit. */
int sq_spec_set(char *dst, size_t dst_len, const char *what,
                const char *value, struct squib_error *err);

/* Appends " words" to the kernel command line. */
int sq_spec_append(struct sq_vm_spec *spec, const char *words,
                   struct squib_error *err);

/* Adds what Firecracker adds to the command line: pci=off unless there is
 * PCI, root=... */
int sq_spec_finish_cmdline(struct sq_vm_spec *spec, struct squib_error *err);

/* Adds an empty drive and returns it, or NULL with SQUIB_E_INVAL in *err
 * when there are SQ_SPEC_DRIVES_MAX already. */
struct sq_drive_spec *sq_spec_drive_add(struct sq_vm_spec *spec,
                                        struct squib_error *err);

/* The same for persistent memory. */
struct sq_pmem_spec *sq_spec_pmem_add(struct sq_vm_spec *spec,
                                      struct squib_error *err);

/* The same for network interfaces. */
struct sq_net_spec *sq_spec_net_add(struct sq_vm_spec *spec,
                                    struct squib_error *err);

/* The entries of a spec for one kind of device that there may be several
 * of. They move when one is removed. */
struct sq_spec_list {
    unsigned char *first;
    uint32_t *count, max;
    size_t len; /* of one entry */
};

/* The list for a virtio identifier: block, network and pmem. False: there is
 * none. */
bool sq_spec_list(struct sq_vm_spec *spec, uint32_t id,
                  struct sq_spec_list *out);
void *sq_spec_list_entry(const struct sq_spec_list *list, uint32_t n);
void sq_spec_list_remove(const struct sq_spec_list *list, uint32_t n);

/* "06:00:AC:10:00:02" to six bytes; false if it is not that. */
bool sq_spec_parse_mac(const char *text, uint8_t mac[6]);

#endif
