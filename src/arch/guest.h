/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `squib run` must know of a guest's architecture before there is a
 * machine: its kernels, its agent, its programs. One row a kind of guest.
 */
#ifndef SQ_ARCH_GUEST_H
#define SQ_ARCH_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <squib/backend.h>
#include <squib/error.h>

#include "arch/kernelfile.h"

struct sq_guest_kernel_id {
    bool packed; /* worth unpacking into the cache */
    char release[SQ_RELEASE_LEN]; /* "" when it does not say */
};

struct sq_guest_arch {
    enum squib_arch arch;
    const char *name;        /* for people: "x86-64" */
    uint16_t elf_machine;    /* of its programs: e_machine */
    const char *kernel;      /* for people: "a vmlinux or a bzImage" */
    const char *kernel_files[2]; /* names in a folder, best first */
    const char *package;     /* Debian's kernel */
    const char *cache;       /* name of the default in the kernel cache */
    const char *cmdline;     /* what its kernel needs to be told */
    /* guest/ built for it; empty where the build could not. */
    const unsigned char *agent, *agent_end;
    int (*identify)(const char *path, struct sq_guest_kernel_id *out,
                    struct squib_error *err);
    int (*extract)(const char *path, const char *out_path,
                   struct squib_error *err);
};

const struct sq_guest_arch *sq_guest_arch(enum squib_arch arch);

#endif
