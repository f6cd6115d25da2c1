/* SPDX-License-Identifier: Apache-2.0 */
/* Phases, the vCPU threads' commands, and a whole machine on the mock
 * backend: started, paused, resumed, stopped, and failing at each step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <squib/squib.h>

#include "backends/mock/mock.h"
#include "base/util.h"
#include "os/clock.h"
#include "os/poller.h"
#include "vmm/lifecycle.h"
#include "vmm/undo.h"
#include "vmm/vmm.h"

#define SECOND 1000000000ull

/* --- phases ------------------------------------------------------------ */

static void steps_follow_the_table(void **state)
{
    (void)state;
    for (int from = 0; from < SQUIB_PHASE_COUNT; from++) {
        for (int to = 0; to < SQUIB_PHASE_COUNT; to++) {
            struct sq_lifecycle life;
            struct squib_error err = {0};
            bool may = squib_phase_may_follow((enum squib_phase)from,
                                              (enum squib_phase)to);

            sq_lifecycle_init(&life);
            life.phase = (enum squib_phase)from;
            assert_int_equal(sq_lifecycle_step(&life, (enum squib_phase)to,
                                               &err),
                             may ? 0 : SQUIB_E_STATE);
            assert_int_equal(sq_lifecycle_phase(&life), may ? to : from);
            if (!may)
                assert_non_null(strstr(err.text, squib_phase_name(
                    (enum squib_phase)to)));
            sq_lifecycle_destroy(&life);
        }
    }
}

static void first_outcome_wins(void **state)
{
    struct sq_lifecycle life;

    (void)state;
    sq_lifecycle_init(&life);
    assert_false(sq_lifecycle_stop(&life, SQ_OUTCOME_KILLED, "early"));
    life.phase = SQUIB_PHASE_RUNNING;
    assert_true(sq_lifecycle_stop(&life, SQ_OUTCOME_RESET, "one"));
    assert_false(sq_lifecycle_stop(&life, SQ_OUTCOME_KILLED, "two"));
    assert_int_equal(sq_lifecycle_outcome(&life).kind, SQ_OUTCOME_RESET);
    assert_string_equal(sq_lifecycle_outcome(&life).text, "one");
    sq_lifecycle_destroy(&life);
}

#define RACERS 8

static void *race(void *arg)
{
    struct sq_lifecycle *life = arg;

    return sq_lifecycle_stop(life, SQ_OUTCOME_KILLED, NULL) ? arg : NULL;
}

static void one_of_many_stops(void **state)
{
    struct sq_lifecycle life;
    pthread_t t[RACERS];
    int winners = 0;

    (void)state;
    sq_lifecycle_init(&life);
    life.phase = SQUIB_PHASE_RUNNING;
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, race, &life), 0);
    for (int i = 0; i < RACERS; i++) {
        void *won;

        pthread_join(t[i], &won);
        winners += won != NULL;
    }
    assert_int_equal(winners, 1);
    sq_lifecycle_destroy(&life);
}

struct step {
    int *clock, when; /* when it was undone, 0: not yet */
};

static void note(void *ctx)
{
    struct step *step = ctx;

    step->when = ++*step->clock;
}

static void undo_is_last_in_first_out(void **state)
{
    int clock = 0;
    struct step a = {&clock, 0}, b = {&clock, 0}, c = {&clock, 0};
    struct sq_undo undo = {0};

    (void)state;
    assert_true(sq_undo_push(&undo, note, &a));
    assert_true(sq_undo_push(&undo, note, &b));
    assert_true(sq_undo_push(&undo, note, &c));
    sq_undo_all(&undo);
    assert_int_equal(c.when, 1);
    assert_int_equal(b.when, 2);
    assert_int_equal(a.when, 3);
    sq_undo_all(&undo);
    assert_int_equal(clock, 3);
}

static void full_undo_undoes_at_once(void **state)
{
    int clock = 0;
    struct step a = {&clock, 0};
    struct sq_undo undo = {0};

    (void)state;
    for (int i = 0; i < SQ_UNDO_MAX; i++)
        assert_true(sq_undo_push(&undo, note, &a));
    assert_int_equal(clock, 0);
    assert_false(sq_undo_push(&undo, note, &a));
    assert_int_equal(clock, 1);
}

/* --- machines ---------------------------------------------------------- */

struct fixture {
    struct sq_mock mock;
    struct sq_poller *poller;
    struct sq_vm_spec *spec;
    struct sq_vmm *vmm;
    struct sq_timer later, guard;
    int action, stopped;
    char kernel[32];
};

/* The smallest file that loads as a kernel; the mock never runs it. */
static void write_kernel(char *path)
{
    struct {
        Elf64_Ehdr eh;
        Elf64_Phdr ph;
        uint8_t code[4096];
    } file = {
        .eh = {
            .e_type = ET_EXEC, .e_machine = EM_X86_64,
            .e_version = EV_CURRENT, .e_entry = 0x1000000,
            .e_phoff = sizeof(Elf64_Ehdr), .e_ehsize = sizeof(Elf64_Ehdr),
            .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1,
        },
        .ph = {
            .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = 120,
            .p_vaddr = 0x1000000, .p_paddr = 0x1000000, .p_filesz = 4096,
            .p_memsz = 4096, .p_align = 8,
        },
        .code = {0xf4},
    };
    int fd;

    memcpy(file.eh.e_ident, ELFMAG, SELFMAG);
    file.eh.e_ident[EI_CLASS] = ELFCLASS64;
    file.eh.e_ident[EI_DATA] = ELFDATA2LSB;
    file.eh.e_ident[EI_VERSION] = EV_CURRENT;
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, &file, sizeof(file)), sizeof(file));
    close(fd);
}

static void on_stopped(void *ctx)
{
    struct fixture *f = ctx;

    f->stopped++;
    sq_poller_stop(f->poller);
}

static void on_guard(void *ctx, uint64_t now)
{
    struct fixture *f = ctx;

    (void)now;
    f->stopped = -100;
    sq_poller_stop(f->poller);
}

static int setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));

    sq_mock_init(&f->mock);
    assert_int_equal(sq_poller_new(&f->poller, NULL), 0);
    f->spec = test_calloc(1, sizeof(*f->spec));
    strcpy(f->kernel, "/tmp/squib-test-XXXXXX");
    write_kernel(f->kernel);
    sq_spec_init(f->spec);
    f->spec->mem_mib = 32;
    f->spec->vcpus = 3;
    strcpy(f->spec->kernel, f->kernel);
    f->guard = (struct sq_timer){.fn = on_guard, .ctx = f};
    sq_timer_arm(f->poller, &f->guard, sq_now_ns() + 60 * SECOND);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sq_vmm_free(f->vmm);
    sq_poller_free(f->poller);
    assert_int_equal(f->mock.vms_live, 0);
    sq_mock_destroy(&f->mock);
    unlink(f->kernel);
    test_free(f->spec);
    test_free(f);
    return 0;
}

static int make(struct fixture *f, struct squib_error *err)
{
    struct sq_vmm_env env = {
        .backend = &sq_backend_mock,
        .poller = f->poller,
        .stopped = on_stopped,
        .ctx = f,
    };

    sq_mock_use(&f->mock);
    return sq_vmm_new(f->spec, &env, &f->vmm, err);
}

static void must_make(struct fixture *f)
{
    struct squib_error err = {0};

    if (make(f, &err))
        fail_msg("%s", err.text);
}

static void loop(struct fixture *f)
{
    assert_int_equal(sq_poller_run(f->poller, NULL), 0);
    assert_int_equal(f->stopped, 1);
}

static void script(struct fixture *f, uint32_t vcpu,
                   const struct squib_exit *exits, size_t n)
{
    f->mock.vcpu[vcpu].exits = exits;
    f->mock.vcpu[vcpu].exit_count = n;
}

static void built_and_freed(void **state)
{
    struct fixture *f = *state;

    must_make(f);
    assert_int_equal(sq_vmm_phase(f->vmm), SQUIB_PHASE_CONFIGURING);
    assert_int_equal(f->mock.vms_live, 1);
    assert_int_equal(sq_mock_count(&f->mock, SQ_MOCK_CPUID), 3);
    /* Only the first vCPU gets a start state. */
    assert_int_equal(sq_mock_count(&f->mock, SQ_MOCK_SET_STATE), 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(f->mock.vcpu[i].runs, 0);
}

/* The monitor's devices are of no use where no access reaches them. */
static void needs_vcpu_exits(void **state)
{
    struct fixture *f = *state;
    const struct sq_vmm_env env = {
        .backend = &sq_backend_mock_lifecycle,
        .poller = f->poller,
        .stopped = on_stopped,
        .ctx = f,
    };
    struct squib_error err = {0};

    sq_mock_use(&f->mock);
    assert_int_equal(sq_vmm_new(f->spec, &env, &f->vmm, &err),
                     SQUIB_E_NOSUPPORT);
    assert_non_null(strstr(err.text, "devices of its own"));
    sq_mock_use(NULL);
}

static void guest_resets(void **state)
{
    static const struct squib_exit exits[] = {
        {.kind = SQUIB_EXIT_PIO,
         .pio = {.port = 0x3f8, .len = 1, .write = true, .data = {'h'}}},
        {.kind = SQUIB_EXIT_PIO, /* the keyboard controller's reset */
         .pio = {.port = 0x64, .len = 1, .write = true, .data = {0xfe}}},
    };
    struct fixture *f = *state;
    struct sq_vmm_metrics m;

    script(f, 0, exits, SQ_ARRAY_LEN(exits));
    must_make(f);
    assert_int_equal(sq_vmm_start(f->vmm, NULL), 0);
    loop(f);
    assert_int_equal(sq_vmm_phase(f->vmm), SQUIB_PHASE_STOPPED);
    assert_int_equal(sq_vmm_outcome(f->vmm).kind, SQ_OUTCOME_RESET);
    sq_vmm_metrics(f->vmm, &m);
    assert_int_equal(m.exits[SQUIB_EXIT_PIO], 2);
    /* What ended cannot be started, paused or resumed. */
    assert_int_equal(sq_vmm_start(f->vmm, NULL), SQUIB_E_STATE);
    assert_int_equal(sq_vmm_pause(f->vmm, NULL), SQUIB_E_STATE);
    assert_int_equal(sq_vmm_resume(f->vmm, NULL), SQUIB_E_STATE);
}

static void guest_powers_off(void **state)
{
    static const struct squib_exit exits[] = {
        {.kind = SQUIB_EXIT_PIO, /* ACPI: SLP_TYP 5, SLP_EN */
         .pio = {.port = 0x600, .len = 1, .write = true, .data = {0x34}}},
    };
    struct fixture *f = *state;

    script(f, 2, exits, SQ_ARRAY_LEN(exits)); /* any vCPU may */
    must_make(f);
    assert_int_equal(sq_vmm_start(f->vmm, NULL), 0);
    loop(f);
    assert_int_equal(sq_vmm_outcome(f->vmm).kind, SQ_OUTCOME_SHUTDOWN);
}

static void internal_error_keeps_its_text(void **state)
{
    static const struct squib_exit exits[] = {
        {.kind = SQUIB_EXIT_INTERNAL_ERROR,
         .internal_error = {"it broke", {1, 2}}},
    };
    struct fixture *f = *state;

    script(f, 1, exits, 1);
    must_make(f);
    assert_int_equal(sq_vmm_start(f->vmm, NULL), 0);
    loop(f);
    assert_int_equal(sq_vmm_outcome(f->vmm).kind,
                     SQ_OUTCOME_INTERNAL_ERROR);
    assert_non_null(strstr(sq_vmm_outcome(f->vmm).text, "it broke"));
}

/* Pause and resume many times while all vCPUs idle, then stop. */
static void on_later(void *ctx, uint64_t now)
{
    struct fixture *f = ctx;

    (void)now;
    for (int i = 0; i < 50; i++) {
        struct squib_error err = {0};

        if (sq_vmm_pause(f->vmm, &err))
            fail_msg("%s", err.text);
        assert_int_equal(sq_vmm_phase(f->vmm), SQUIB_PHASE_PAUSED);
        assert_int_equal(sq_vmm_pause(f->vmm, NULL), SQUIB_E_STATE);
        assert_int_equal(sq_vmm_resume(f->vmm, NULL), 0);
        assert_int_equal(sq_vmm_phase(f->vmm), SQUIB_PHASE_RUNNING);
        assert_int_equal(sq_vmm_resume(f->vmm, NULL), SQUIB_E_STATE);
    }
    if (f->action)
        assert_int_equal(sq_vmm_pause(f->vmm, NULL), 0);
    sq_vmm_stop(f->vmm, SQ_OUTCOME_TIMEOUT, "late");
}

static void pause_and_resume(void **state)
{
    struct fixture *f = *state;

    must_make(f);
    f->later = (struct sq_timer){.fn = on_later, .ctx = f};
    sq_timer_arm(f->poller, &f->later, sq_now_ns() + SECOND / 100);
    assert_int_equal(sq_vmm_start(f->vmm, NULL), 0);
    loop(f);
    assert_int_equal(sq_vmm_outcome(f->vmm).kind, SQ_OUTCOME_TIMEOUT);
    assert_string_equal(sq_vmm_outcome(f->vmm).text, "late");
}

static void stopped_while_paused(void **state)
{
    struct fixture *f = *state;

    f->action = 1;
    pause_and_resume(state);
}

/* A paused vCPU does not run: its exit counter stands still. */
static void paused_vcpus_stand_still(void **state)
{
    struct fixture *f = *state;
    size_t runs[3];

    must_make(f);
    assert_int_equal(sq_vmm_start(f->vmm, NULL), 0);
    assert_int_equal(sq_vmm_pause(f->vmm, NULL), 0);
    for (int i = 0; i < 3; i++)
        runs[i] = f->mock.vcpu[i].runs;
    usleep(20000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(f->mock.vcpu[i].runs, runs[i]);
}

static void freed_while_running(void **state)
{
    struct fixture *f = *state;

    must_make(f);
    assert_int_equal(sq_vmm_start(f->vmm, NULL), 0);
    sq_vmm_free(f->vmm);
    f->vmm = NULL;
    assert_int_equal(f->mock.vms_live, 0);
    assert_false(f->mock.vcpu[0].live);
}

/* Whatever step fails, nothing is left behind (teardown and the sanitizers
 * look) and the text says what it was. */
static void must_fail(struct fixture *f, const char *says)
{
    struct squib_error err = {0};

    assert_int_not_equal(make(f, &err), 0);
    assert_null(f->vmm);
    assert_int_equal(f->mock.vms_live, 0);
    if (!strstr(err.text, says))
        fail_msg("'%s' is not in '%s'", says, err.text);
}

static void failing_steps(void **state)
{
    struct fixture *f = *state;

    f->mock.fail_vm_new = true;
    must_fail(f, "");
    f->mock.fail_vm_new = false;
    f->mock.fail_map = true;
    must_fail(f, "");
    f->mock.fail_map = false;
    for (int i = 0; i < 3; i++) {
        char text[16];

        f->mock.fail_vcpu_new = i + 1;
        snprintf(text, sizeof(text), "vCPU %d: ", i);
        must_fail(f, text);
    }
    f->mock.fail_vcpu_new = 0;
    f->mock.fail_set_state = true;
    must_fail(f, "vCPU 0: ");
    f->mock.fail_set_state = false;
    f->spec->vcpus = 33;
    must_fail(f, "33 vCPUs");
    f->spec->vcpus = 1;
    strcpy(f->spec->initrd, "/nonexistent/initrd");
    must_fail(f, "/nonexistent/initrd");
    f->spec->initrd[0] = '\0';
    strcpy(f->spec->kernel, "/dev/null");
    must_fail(f, "/dev/null");
    strcpy(f->spec->kernel, f->kernel);
    strcpy(f->spec->drives[0].id, "d0");
    strcpy(f->spec->drives[0].path, "/nonexistent/disk");
    f->spec->drive_count = 1;
    must_fail(f, "drive d0: ");
    f->spec->drive_count = 0;
    must_make(f);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_follow_the_table),
        cmocka_unit_test(first_outcome_wins),
        cmocka_unit_test(one_of_many_stops),
        cmocka_unit_test(undo_is_last_in_first_out),
        cmocka_unit_test(full_undo_undoes_at_once),
        TEST(built_and_freed), TEST(needs_vcpu_exits),
        TEST(guest_resets), TEST(guest_powers_off),
        TEST(internal_error_keeps_its_text), TEST(pause_and_resume),
        TEST(stopped_while_paused), TEST(paused_vcpus_stand_still),
        TEST(freed_while_running), TEST(failing_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
