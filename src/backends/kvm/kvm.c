/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the device node. */
#define _GNU_SOURCE
#include "backends/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"

#define KVM_PATH "/dev/kvm"
static int check_extensions(int fd, struct squib_error *err)
{
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);

    if (version != KVM_API_VERSION)
        return sq_err_set(err, SQUIB_E_NOSUPPORT,
                          KVM_PATH " speaks version %d, not %d", version,
                          KVM_API_VERSION);
    for (size_t i = 0; i < sq_kvm_needed_count; i++)
        if (ioctl(fd, KVM_CHECK_EXTENSION, sq_kvm_needed[i].cap) <= 0)
            return sq_err_set(err, SQUIB_E_NOSUPPORT,
                              "this KVM is too old: it has not %s\n"
                              "  do: use Linux %s or newer",
                              sq_kvm_needed[i].text, sq_kvm_needed_linux);
    return 0;
}

int sq_kvm_open(struct squib_error *err)
{
    int fd = open(KVM_PATH, O_RDWR | O_CLOEXEC);
    int rc;

    if (fd < 0)
        return sq_kvm_open_error(KVM_PATH, errno, err);
    rc = check_extensions(fd, err);
    if (rc) {
        close(fd);
        return rc;
    }
    return fd;
}
