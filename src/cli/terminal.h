/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal that squib runs in: raw mode while a guest has it, and the
 * way back on every end of the process, a crash included.
 *
 * A process has one terminal, so this is the one module with state of its
 * own. Main thread.
 */
#ifndef SQ_CLI_TERMINAL_H
#define SQ_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include <squib/error.h>

/* Puts the terminal on fd into raw mode. Nothing happens (and 0 is
 * returned) when fd is no terminal or it is raw already. */
int sq_terminal_raw(int fd, struct squib_error *err);

/* Back to what it was. May be called at any time, any number of times. */
void sq_terminal_restore(void);

/* The window's size; false when fd is no terminal or it is not known. */
bool sq_terminal_size(int fd, uint16_t *rows, uint16_t *cols);

#endif
