/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "vmm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/x86_64/cpuid.h"
#include "base/err.h"

#define BLOBS_MAX 4

int sq_machine_add_memory(struct squib_memory *mem, uint32_t mem_mib,
                          struct squib_error *err)
{
    struct squib_range ram[2];
    size_t n = 0;
    int rc = sq_x86_ram_ranges((uint64_t)mem_mib << 20, ram, &n, err);

    for (size_t i = 0; i < n && !rc; i++)
        rc = squib_memory_add(mem, ram[i], err);
    return rc;
}

/* Maps a file; *data is NULL and *len 0 for an empty one. */
static int map_file(const char *path, void **data, size_t *len,
                    struct squib_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    int rc = 0;

    *data = NULL;
    *len = 0;
    if (fd < 0)
        return sq_err_os(err, errno == ENOENT ? SQUIB_E_NOTFOUND
                                              : SQUIB_E_OS, errno,
                         "initrd %s", path);
    if (fstat(fd, &st) != 0)
        rc = sq_err_os(err, SQUIB_E_OS, errno, "initrd %s", path);
    else if (!S_ISREG(st.st_mode))
        rc = sq_err_set(err, SQUIB_E_INVAL, "initrd %s is not a file", path);
    else if (st.st_size == 0)
        rc = sq_err_set(err, SQUIB_E_FORMAT, "initrd %s is empty", path);
    if (!rc) {
        *len = (size_t)st.st_size;
        *data = mmap(NULL, *len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (*data == MAP_FAILED) {
            *data = NULL;
            rc = sq_err_os(err, SQUIB_E_OS, errno, "initrd %s", path);
        }
    }
    close(fd);
    return rc;
}

int sq_machine_load(struct sq_machine *machine,
                    const struct sq_vm_spec *spec,
                    const struct sq_machine_blob *blobs, size_t blob_count,
                    const struct sq_devices *devices,
                    const struct squib_backend *backend,
                    struct squib_memory *mem, struct squib_error *err)
{
    struct sq_x86_blob initrd[BLOBS_MAX + 1];
    struct sq_x86_kernel *kernel = NULL;
    struct sq_x86_boot boot = {
        .initrd = initrd,
        .cmdline = spec->cmdline,
        .vcpus = spec->vcpus,
        .devices = devices->where,
        .device_count = devices->slot_count,
        .serial = true,
        .keyboard = true,
        .vmgenid = true,
    };
    void *file = NULL;
    size_t file_len = 0;
    int rc = sq_x86_kernel_open(spec->kernel, &kernel, err);

    if (!rc && spec->initrd[0]) {
        rc = map_file(spec->initrd, &file, &file_len, err);
        if (!rc)
            initrd[boot.initrd_parts++] = (struct sq_x86_blob){file,
                                                               file_len};
    }
    for (size_t i = 0; i < blob_count && i < BLOBS_MAX; i++)
        initrd[boot.initrd_parts++] = (struct sq_x86_blob){blobs[i].data,
                                                           blobs[i].len};
    if (!rc) {
        boot.kernel = kernel;
        rc = sq_x86_boot_load(mem, &boot, &machine->entry, err);
    }
    sq_x86_kernel_close(kernel);
    if (file)
        munmap(file, file_len);
    machine->vcpus = spec->vcpus;
    machine->cpu = &spec->cpu;
    machine->backend = backend;
    return rc;
}

static int setup_cpuid(const struct sq_machine *machine,
                       struct squib_vcpu *vcpu, struct squib_error *err)
{
    struct squib_x86_cpuid leaves[SQUIB_X86_CPUID_MAX];
    size_t n = SQUIB_X86_CPUID_MAX;
    struct sq_x86_cpuid_config config = {
        .index = squib_vcpu_index(vcpu),
        .vcpus = machine->vcpus,
    };
    int rc = squib_backend_cpuid(machine->backend, leaves, &n, err);

    if (!rc)
        rc = sq_cpu_template_cpuid(machine->cpu, leaves, n, err);
    if (!rc)
        rc = sq_x86_cpuid_apply(&config, leaves, &n, SQUIB_X86_CPUID_MAX,
                                err);
    if (!rc)
        rc = squib_vcpu_set_cpuid(vcpu, leaves, n, err);
    return rc;
}

static int setup_msrs(const struct sq_machine *machine,
                      struct squib_vcpu *vcpu,
                      struct squib_x86_64_state *st, struct squib_error *err)
{
    int rc;

    if (!machine->cpu->msr_count)
        return 0;
    rc = squib_vcpu_get_state(vcpu, SQUIB_STATE_MSRS, st, err);
    if (!rc)
        rc = sq_cpu_template_msrs(machine->cpu, st, err);
    return rc ? rc : squib_vcpu_set_state(vcpu, SQUIB_STATE_MSRS, st, err);
}

int sq_machine_setup_vcpu(const struct sq_machine *machine,
                          struct squib_vcpu *vcpu, struct squib_error *err)
{
    struct squib_x86_64_state *st;
    uint32_t parts = SQUIB_STATE_REGS | SQUIB_STATE_SYSTEM;
    int rc = setup_cpuid(machine, vcpu, err);

    if (rc)
        return rc;
    st = calloc(1, sizeof(*st));
    if (!st)
        return sq_err_set(err, SQUIB_E_NOMEM, "out of memory");
    rc = setup_msrs(machine, vcpu, st, err);
    if (rc || squib_vcpu_index(vcpu) != 0) {
        free(st);
        return rc; /* the others wait for the guest's start-up IPI */
    }
    rc = squib_vcpu_get_state(vcpu, parts, st, err);
    if (!rc) {
        sq_x86_entry_state(&machine->entry, st);
        rc = squib_vcpu_set_state(vcpu, parts, st, err);
    }
    free(st);
    return rc;
}
