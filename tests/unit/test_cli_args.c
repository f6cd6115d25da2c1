/* SPDX-License-Identifier: Apache-2.0 */
/* The option parser and the command line of `squib run`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/options.h"
#include "cli/run_options.h"

#define WORDS_MAX 32

/* Splits at blanks; "''" stands for an empty word. */
static int split(char *text, char *argv[WORDS_MAX])
{
    int n = 0;

    for (char *w = strtok(text, " "); w && n < WORDS_MAX - 1;
         w = strtok(NULL, " "))
        argv[n++] = strcmp(w, "''") == 0 ? w + 2 : w;
    argv[n] = NULL;
    return n;
}

static struct sq_run_options options;
static char line[512], *words[WORDS_MAX];

static int parse(const char *text, struct squib_error *err)
{
    snprintf(line, sizeof(line), "run %s", text);
    return sq_run_options_parse(&options, split(line, words), words, 1, err);
}

static void must_parse(const char *text)
{
    struct squib_error err = {0};

    if (parse(text, &err))
        fail_msg("'%s': %s", text, err.text);
}

static void defaults(void **state)
{
    (void)state;
    must_parse("");
    assert_int_equal(options.mem_mib, 512);
    assert_int_equal(options.vcpus, 1);
    assert_string_equal(options.backend, "auto");
    assert_null(options.root);
    assert_null(options.command[0]);
    assert_int_equal(options.tty, SQ_TTY_AUTO);
}

static void command_after_dashes(void **state)
{
    (void)state;
    must_parse("-- uname -a");
    assert_null(options.root);
    assert_string_equal(options.command[0], "uname");
    assert_string_equal(options.command[1], "-a");
    assert_null(options.command[2]);
    must_parse("-- -- x");
    assert_string_equal(options.command[0], "--");
}

static void root_and_command(void **state)
{
    (void)state;
    must_parse("./root uname -a");
    assert_string_equal(options.root, "./root");
    assert_string_equal(options.command[0], "uname");
    must_parse("./root -- sh -c ls");
    assert_string_equal(options.root, "./root");
    assert_string_equal(options.command[0], "sh");
    must_parse("./root");
    assert_null(options.command[0]);
    /* Options stop at ROOT: these belong to the command. */
    must_parse("./root -m 1G");
    assert_int_equal(options.mem_mib, 512);
    assert_string_equal(options.command[0], "-m");
}

static void all_spellings(void **state)
{
    static const char *const same[] = {
        "-m 1G", "-m1G", "-m=1G", "--memory 1G", "--memory=1G",
        "--memory 1024", "-m 1024M", "-m 1048576K", "-m 1GiB", "-m 1gi",
    };

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(same); i++) {
        must_parse(same[i]);
        assert_int_equal(options.mem_mib, 1024);
    }
    must_parse("-it --rm -c2 -vq x");
    assert_int_equal(options.tty, SQ_TTY_YES);
    assert_int_equal(options.vcpus, 2);
    assert_true(options.verbose && options.quiet);
    must_parse("-T");
    assert_int_equal(options.tty, SQ_TTY_NO);
}

static void values(void **state)
{
    (void)state;
    must_parse("-e A=1 -e B --env=C= -w /x -u 10:20 -k /k --initrd /i "
               "--append quiet --console --timeout 1500ms --backend soft "
               "--hostname box -- x");
    assert_int_equal(options.env_count, 3);
    assert_string_equal(options.env[0], "A=1");
    assert_string_equal(options.env[1], "B");
    assert_string_equal(options.env[2], "C=");
    assert_string_equal(options.workdir, "/x");
    assert_int_equal(options.uid, 10);
    assert_int_equal(options.gid, 20);
    assert_string_equal(options.kernel, "/k");
    assert_string_equal(options.initrd, "/i");
    assert_string_equal(options.append, "quiet");
    assert_true(options.console);
    assert_int_equal(options.timeout_ns, 1500000000ull);
    assert_string_equal(options.backend, "soft");
    assert_string_equal(options.hostname, "box");
    must_parse("-u 7");
    assert_int_equal(options.gid, 7);
}

static void refusals(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        {"--frob", SQUIB_E_INVAL, "--frob"},
        {"-Z", SQUIB_E_INVAL, "-Z"},
        {"-m", SQUIB_E_INVAL, "needs a value"},
        {"--memory", SQUIB_E_INVAL, "needs a value"},
        {"--console=yes", SQUIB_E_INVAL, "takes no value"},
        {"-m x", SQUIB_E_INVAL, "not a number"},
        {"-m -1", SQUIB_E_INVAL, "not a number"},
        {"-m ''", SQUIB_E_INVAL, "not a number"},
        {"-m 1X", SQUIB_E_INVAL, "not a size"},
        {"-m 1Mx", SQUIB_E_INVAL, "not a size"},
        {"-m 99999999999999999999G", SQUIB_E_INVAL, "not a number"},
        {"-m 9999999999T", SQUIB_E_INVAL, "not a size"},
        {"-m 1000K", SQUIB_E_INVAL, "whole number of MiB"},
        {"-c 1.5", SQUIB_E_INVAL, "--cpus"},
        {"-c 4294967296", SQUIB_E_INVAL, "--cpus"},
        {"--timeout 0", SQUIB_E_INVAL, "out of range"},
        {"--timeout 5d", SQUIB_E_INVAL, "not a time"},
        {"--timeout 9999999h", SQUIB_E_INVAL, "out of range"},
        {"-e =x", SQUIB_E_INVAL, "no name"},
        {"-w rel", SQUIB_E_INVAL, "absolute"},
        {"-u root", SQUIB_E_INVAL, "--user"},
        {"-u 1:x", SQUIB_E_INVAL, "--user"},
        {"--hostname a=b", SQUIB_E_INVAL, "host name"},
        {"--name x", SQUIB_E_NOSUPPORT, "not in this version"},
        {"-d", SQUIB_E_NOSUPPORT, "--detach"},
        {"-p 80:80", SQUIB_E_NOSUPPORT, "--publish"},
    };

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(cases); i++) {
        struct squib_error err = {0};
        int rc = parse(cases[i].text, &err);

        if (rc != cases[i].code || !strstr(err.text, cases[i].says))
            fail_msg("'%s': %s, '%s'", cases[i].text, squib_code_name(rc),
                     err.text);
    }
}

static void too_many_variables(void **state)
{
    static char words_text[2 * SQ_RUN_ENV_MAX + 4][4];
    char *argv[2 * SQ_RUN_ENV_MAX + 5];
    int n = 0;

    (void)state;
    argv[n++] = words_text[0];
    for (int i = 0; i <= SQ_RUN_ENV_MAX; i++) {
        strcpy(words_text[n], "-e");
        argv[n] = words_text[n];
        n++;
        strcpy(words_text[n], "A=");
        argv[n] = words_text[n];
        n++;
    }
    argv[n] = NULL;
    assert_int_equal(sq_run_options_parse(&options, n, argv, 1, NULL),
                     SQUIB_E_INVAL);
    assert_int_equal(sq_run_options_parse(&options, n - 2, argv, 1, NULL),
                     0);
}

static void help_lists_every_shown_option(void **state)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    (void)state;
    assert_non_null(f);
    sq_run_options_help(f);
    fclose(f);
    assert_non_null(strstr(text, "-m, --memory SIZE"));
    assert_non_null(strstr(text, "    --timeout TIME"));
    assert_null(strstr(text, "--publish"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(command_after_dashes),
        cmocka_unit_test(root_and_command),
        cmocka_unit_test(all_spellings),
        cmocka_unit_test(values),
        cmocka_unit_test(refusals),
        cmocka_unit_test(too_many_variables),
        cmocka_unit_test(help_lists_every_shown_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
