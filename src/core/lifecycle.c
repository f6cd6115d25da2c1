/* SPDX-License-Identifier: Apache-2.0 */
#include <squib/lifecycle.h>

const char *squib_phase_name(enum squib_phase phase)
{
    static const char *const names[] = {
#define NAME(name, text, wire) [SQUIB_PHASE_##name] = text,
        SQUIB_PHASE_LIST(NAME)
#undef NAME
    };

    return (unsigned)phase < SQUIB_PHASE_COUNT ? names[phase] : "?";
}

enum squib_wire_state squib_phase_wire(enum squib_phase phase)
{
    static const enum squib_wire_state wires[] = {
#define WIRE(name, text, wire) [SQUIB_PHASE_##name] = SQUIB_WIRE_##wire,
        SQUIB_PHASE_LIST(WIRE)
#undef WIRE
    };

    return (unsigned)phase < SQUIB_PHASE_COUNT ? wires[phase]
                                               : SQUIB_WIRE_NOT_STARTED;
}

const char *squib_wire_name(enum squib_wire_state wire)
{
    switch (wire) {
    case SQUIB_WIRE_NOT_STARTED: return "Not started";
    case SQUIB_WIRE_RUNNING: return "Running";
    case SQUIB_WIRE_PAUSED: return "Paused";
    }
    return "?";
}

#define TO(p) (1u << SQUIB_PHASE_##p)

bool squib_phase_may_follow(enum squib_phase from, enum squib_phase to)
{
    static const unsigned next[SQUIB_PHASE_COUNT] = {
        [SQUIB_PHASE_CONFIGURING] = TO(STARTING) | TO(STOPPED),
        /* A start that fails before the first instruction goes back. A
         * loaded snapshot starts paused. */
        [SQUIB_PHASE_STARTING] =
            TO(RUNNING) | TO(PAUSED) | TO(CONFIGURING) | TO(STOPPING),
        [SQUIB_PHASE_RUNNING] = TO(PAUSING) | TO(STOPPING),
        [SQUIB_PHASE_PAUSING] = TO(PAUSED) | TO(STOPPING),
        [SQUIB_PHASE_PAUSED] = TO(RESUMING) | TO(STOPPING),
        [SQUIB_PHASE_RESUMING] = TO(RUNNING) | TO(STOPPING),
        [SQUIB_PHASE_STOPPING] = TO(STOPPED),
        [SQUIB_PHASE_STOPPED] = 0,
    };

    return (unsigned)from < SQUIB_PHASE_COUNT &&
           (unsigned)to < SQUIB_PHASE_COUNT && (next[from] >> to & 1);
}
