/* SPDX-License-Identifier: Apache-2.0 */
/* The option parser and the command line of `squib run`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/options.h"
#include "cli/run_options.h"
#include "cli/serve_options.h"

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
        {"-p 80", SQUIB_E_INVAL, "'80' is not [IP:]HOST:GUEST"},
        {"-p :80", SQUIB_E_INVAL, "':80' is not"},
        {"-p 80:", SQUIB_E_INVAL, "'80:' is not"},
        {"-p 65536:1", SQUIB_E_INVAL, "from 1 to 65535"},
        {"-p 1:65536", SQUIB_E_INVAL, "from 1 to 65535"},
        {"-p 1:0", SQUIB_E_INVAL, "'1:0' is not"},
        {"-p localhost:1:2", SQUIB_E_INVAL, "is not"},
        {"-p ::1:1:2", SQUIB_E_INVAL, "is not"},
        {"-p [::1:1:2", SQUIB_E_INVAL, "is not"},
        {"-p 1:1:1:1", SQUIB_E_INVAL, "is not"},
        {"--disk /none", SQUIB_E_OS, "--disk /none: No such file"},
        {"--disk /none:ro", SQUIB_E_OS, "--disk /none: No such file"},
        {"--no-host", SQUIB_E_INVAL, "--net user"},
        {"--no-host --net tap=t", SQUIB_E_INVAL, "--net user"},
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

static void published_ports(void **state)
{
    static const struct {
        const char *text, *address;
        int family;
        unsigned host, guest;
    } cases[] = {
        {"8080:80", "127.0.0.1", AF_INET, 8080, 80},
        {"0:65535", "127.0.0.1", AF_INET, 0, 65535},
        {"0.0.0.0:1:2", "0.0.0.0", AF_INET, 1, 2},
        {"[::1]:65535:1", "::1", AF_INET6, 65535, 1},
    };
    struct sq_publish_port ports[SQ_ARRAY_LEN(cases)];
    char text[64];

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(cases); i++) {
        struct sq_publish_port *p = &ports[i];
        const struct sockaddr_in *v4 = (const void *)&p->host;
        const struct sockaddr_in6 *v6 = (const void *)&p->host;
        bool is_v4 = cases[i].family == AF_INET;

        assert_int_equal(sq_publish_parse(cases[i].text, p, NULL), 0);
        assert_int_equal(p->host.ss_family, cases[i].family);
        assert_int_equal(p->guest, cases[i].guest);
        assert_int_equal(ntohs(is_v4 ? v4->sin_port : v6->sin6_port),
                         cases[i].host);
        inet_ntop(cases[i].family, is_v4 ? (const void *)&v4->sin_addr
                                         : &v6->sin6_addr, text,
                  sizeof(text));
        assert_string_equal(text, cases[i].address);
    }
    sq_publish_setting(ports, SQ_ARRAY_LEN(cases), text, sizeof(text));
    assert_string_equal(text, "80,65535,2,1");
}

/* Firecracker's parser: its rules and its words. */
static void serve_flags(void **state)
{
    static const struct {
        const char *text, *says; /* NULL: fine */
    } cases[] = {
        {"serve", NULL},
        {"serve --no-api --config-file f", NULL},
        {"serve --id a -- --nonsense", NULL},
        {"serve --nonsense --version", NULL},
        {"serve --nonsense -h", NULL},
        {"serve --nonsense", "Found argument 'nonsense' which wasn't "
         "expected, or isn't valid in this context."},
        {"serve word", "Found argument 'word' which wasn't"},
        {"serve --id=a", "Found argument 'id=a' which wasn't"},
        {"serve --id", "The argument 'id' requires a value, but none was "
         "supplied."},
        {"serve --id --no-api", "The argument 'id' requires a value"},
        {"serve --id a --id b", "The argument 'id' was provided more than "
         "once."},
        {"serve --no-api", "Argument 'config-file' required, but not "
         "found."},
        {"serve --no-seccomp --seccomp-filter f", "Argument "
         "'seccomp-filter' cannot be used together with argument "
         "'no-seccomp'."},
    };
    struct sq_serve_options o;

    (void)state;
    for (size_t i = 0; i < SQ_ARRAY_LEN(cases); i++) {
        struct squib_error err = {0};
        int n, rc;

        snprintf(line, sizeof(line), "%s", cases[i].text);
        n = split(line, words);
        rc = sq_serve_options_parse(n, words, &o, &err);
        if (!rc != !cases[i].says ||
            (rc && !strstr(err.text, cases[i].says)))
            fail_msg("'%s': %s", cases[i].text, err.text);
    }
    strcpy(line, "serve --boot-timer --level Warn");
    assert_int_equal(sq_serve_options_parse(split(line, words), words, &o,
                                            NULL), 0);
    assert_string_equal(o.value[SQ_SERVE_LEVEL], "Warn");
    assert_string_equal(o.value[SQ_SERVE_ID], "anonymous-instance");
    assert_string_equal(o.value[SQ_SERVE_API_SOCK],
                        "/run/firecracker.socket");
    assert_non_null(o.value[SQ_SERVE_BOOT_TIMER]);
    assert_null(o.value[SQ_SERVE_NO_API]);
    for (int i = 0; i < SQ_SERVE_COUNT; i++)
        assert_int_equal(sq_serve_flags[i].id, i);
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
    assert_non_null(strstr(text, "-p, --publish [IP:]HOST:GUEST"));
    assert_null(strstr(text, "--detach"));
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
        cmocka_unit_test(published_ports),
        cmocka_unit_test(serve_flags),
        cmocka_unit_test(too_many_variables),
        cmocka_unit_test(help_lists_every_shown_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
