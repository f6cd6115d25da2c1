/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQ_MACOS_SYS_EVENT_H
#define SQ_MACOS_SYS_EVENT_H

#include <sq_macos.h>

struct kevent {
    uintptr_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    intptr_t data;
    void *udata;
};
#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_SIGNAL (-6)
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_EOF 0x8000
#define EV_ERROR 0x4000
#define NOTE_LOWAT 0x00000001
int kqueue(void);
int kevent(int queue, const struct kevent *changes, int n_changes,
           struct kevent *events, int n_events, const struct timespec *ts);

#endif
