/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes from a descriptor of the host into the guest's serial port, no
 * faster than the guest reads them. Event thread but for _drained().
 */
#ifndef SQ_VMM_SERIAL_INPUT_H
#define SQ_VMM_SERIAL_INPUT_H

#include <stdbool.h>

#include <squib/error.h>

#include "dev/legacy/serial.h"
#include "os/poller.h"

struct sq_serial_input {
    struct sq_poller *poller;
    struct sq_serial *serial;
    int fd; /* borrowed; -1 when there is or was nothing to read */
    bool watched;
    bool waiting; /* for the guest to make room */
    struct sq_work drained;
    struct sq_work more; /* a regular file, which is always readable */
};

int sq_serial_input_init(struct sq_serial_input *in, struct sq_poller *poller,
                         struct sq_serial *serial, int fd,
                         struct squib_error *err);
void sq_serial_input_fini(struct sq_serial_input *in);

/* The port has room again. Any thread. */
void sq_serial_input_drained(struct sq_serial_input *in);

#endif
