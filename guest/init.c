/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PID 1 of the guest: makes the initramfs into a system, runs the one
 * command the host asks for, and ends the machine.
 *
 * The order is chosen for the start's length: the host is told HELLO before
 * the root is mounted, so that its answer is there when it is needed.
 */
#include "forward.h"
#include "link.h"
#include "session.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef SQ_AGENT_TEST
#include <sys/prctl.h>
#else
#include "setup.h"

#include <sys/reboot.h>
#endif

static int say_hello(int control)
{
    const struct sq_agent_msg hello = {
        .type = SQ_AGENT_HELLO,
        .hello = { SQ_AGENT_MAGIC, SQ_AGENT_VERSION },
    };

    return link_send_msg(control, &hello);
}

/* The last message must leave the guest before the machine does: the host
 * answers by closing. A host that does not is not waited for longer. */
static void wait_for_close(int control)
{
    struct pollfd entry = { .fd = control, .events = POLLIN };
    char skipped[64];
    int tries;

    for (tries = 0; tries < 100; tries++) {
        int ready = poll(&entry, 1, 5000);

        if (ready == 0 ||
            (ready > 0 &&
             recv(control, skipped, sizeof(skipped), MSG_DONTWAIT) <= 0))
            break;
    }
}

#ifdef SQ_AGENT_TEST

/* As an ordinary process: DIRECTORY [PORTS]; it holds the host's sockets. */
int main(int argc, char **argv)
{
    struct sq_agent_msg last;
    struct text why;
    int control;

    if (argc < 2)
        return 2;
    link_use_directory(argv[1]);
    if (argc > 2)
        forward_start(argv[2]);
    /* Orphans come here, as they do to PID 1. */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    control = link_connect(SQ_AGENT_PORT_CONTROL, &why);
    if (control < 0) {
        say(why.s, NULL);
        return 1;
    }
    if (say_hello(control))
        return 1;
    if (session_run(control, &last))
        return 1;
    link_send_msg(control, &last);
    wait_for_close(control);
    return 0;
}

#else

static void serve(int control, const struct settings *settings)
{
    struct sq_agent_msg last;
    struct text why;
    int error = setup_root(settings, &why);

    if (error) {
        say(why.s, NULL);
        link_fill_failed(&last, 0, SQ_AGENT_SETUP, -error, &why);
    } else {
        setup_system(settings);
        forward_start(settings->publish);
        error = session_run(control, &last);
        setup_quiesce(settings);
        if (error)
            return;
    }
    link_send_msg(control, &last);
    wait_for_close(control);
}

/* Without a host to talk to: the console has it all. */
static void serve_alone(const struct settings *settings)
{
    struct text why;

    if (setup_root(settings, &why)) {
        say(why.s, NULL);
        return;
    }
    setup_system(settings);
    session_alone();
    setup_quiesce(settings);
}

int main(void)
{
    static struct settings settings;
    struct text why;
    int control;

    setup_console();
    setup_first_mounts();
    setup_read_settings(&settings);
    setup_load_modules();
    if (session_read_alone()) {
        serve_alone(&settings);
    } else {
        control = link_connect(SQ_AGENT_PORT_CONTROL, &why);
        if (control < 0)
            say(why.s, NULL);
        else if (!say_hello(control))
            serve(control, &settings);
    }
    /* The monitor takes the machine's reset as its end. */
    reboot(RB_AUTOBOOT);
    for (;;)
        pause();
}

#endif
