/* SPDX-License-Identifier: Apache-2.0 */
/* How the life of a virtual machine ended. */
#ifndef SQ_VMM_OUTCOME_H
#define SQ_VMM_OUTCOME_H

/* X(name, text) */
#define SQ_OUTCOME_LIST(X)                                                 \
    X(NONE, "still running")                                               \
    X(RESET, "the guest restarted")                                        \
    X(SHUTDOWN, "the guest powered off")                                   \
    X(TRIPLE_FAULT, "the guest's CPU met a triple fault")                  \
    X(INTERNAL_ERROR, "the virtual CPU could not go on")                   \
    X(KILLED, "the virtual machine was stopped")                           \
    X(TIMEOUT, "the time limit ran out")

enum sq_outcome_kind {
#define SQ_OUTCOME_ENUM(name, text) SQ_OUTCOME_##name,
    SQ_OUTCOME_LIST(SQ_OUTCOME_ENUM)
#undef SQ_OUTCOME_ENUM
    SQ_OUTCOME_COUNT
};

/* The first reason given wins; `text` adds what is known about it ("" if
 * nothing). */
struct sq_outcome {
    enum sq_outcome_kind kind;
    char text[800];
};

/* Static text of a kind; "?" outside the enum. */
const char *sq_outcome_name(enum sq_outcome_kind kind);

#endif
