/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a virtual machine.
 *
 * Phases are what the monitor distinguishes; wire states are the three
 * words that Firecracker's API knows (GET /, field "state"). Pure functions,
 * for any thread; what is in a phase, and its lock, is the caller's.
 */
#ifndef SQUIB_LIFECYCLE_H
#define SQUIB_LIFECYCLE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, text, wire state) */
#define SQUIB_PHASE_LIST(X)                                                \
    X(CONFIGURING, "configuring", NOT_STARTED)                             \
    X(STARTING, "starting", NOT_STARTED)                                   \
    X(RUNNING, "running", RUNNING)                                         \
    X(PAUSING, "pausing", RUNNING)                                         \
    X(PAUSED, "paused", PAUSED)                                            \
    X(RESUMING, "resuming", PAUSED)                                        \
    X(STOPPING, "stopping", RUNNING)                                       \
    X(STOPPED, "stopped", NOT_STARTED)

enum squib_phase {
#define SQUIB_PHASE_ENUM(name, text, wire) SQUIB_PHASE_##name,
    SQUIB_PHASE_LIST(SQUIB_PHASE_ENUM)
#undef SQUIB_PHASE_ENUM
    SQUIB_PHASE_COUNT
};

enum squib_wire_state {
    SQUIB_WIRE_NOT_STARTED, /* "Not started" */
    SQUIB_WIRE_RUNNING,     /* "Running" */
    SQUIB_WIRE_PAUSED,      /* "Paused" */
};

/* "running", "Running": static storage; "?" for values outside the enum. */
const char *squib_phase_name(enum squib_phase phase);
const char *squib_wire_name(enum squib_wire_state wire);

/* What a client is told of a phase; NOT_STARTED for values outside. */
enum squib_wire_state squib_phase_wire(enum squib_phase phase);

/* Whether the state table allows to go from one phase to the other in one
 * step. The same phase twice is never a step. */
bool squib_phase_may_follow(enum squib_phase from, enum squib_phase to);

#ifdef __cplusplus
}
#endif
#endif
