/* SPDX-License-Identifier: Apache-2.0 */
/* `squib doctor`: runs all checks and shows what they found. */
#include "cli/doctor.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/verbs.h"

static const char *const words[] = {
    [SQ_CHECK_OK] = "ok",
    [SQ_CHECK_WARN] = "warn",
    [SQ_CHECK_FAIL] = "fail",
};

enum { O_JSON, O_HELP };

static const struct sq_option table[] = {
    {0, "json", NULL, "print the findings as JSON", O_JSON},
    {'h', "help", NULL, "show this", O_HELP},
};

struct options {
    bool json, help;
};

static int take(void *ctx, const struct sq_option *option, const char *value,
                struct squib_error *err)
{
    struct options *o = ctx;

    (void)value;
    (void)err;
    if (option->id == O_JSON)
        o->json = true;
    else
        o->help = true;
    return 0;
}

static void show_text(const char *id, const struct sq_finding *f)
{
    printf("%-4s  %-9s %s\n", words[f->result], id, f->fact);
    if (f->remedy[0] && f->result != SQ_CHECK_OK)
        printf("                do: %s\n", f->remedy);
}

static int show_json(json_t *list, bool good)
{
    json_t *top = json_pack("{s:b, s:o}", "ok", good, "checks", list);
    int rc = top ? json_dumpf(top, stdout, JSON_INDENT(2)) : -1;

    putchar('\n');
    json_decref(top);
    return rc;
}

int sq_verb_doctor(int argc, char *argv[])
{
    struct options o = {0};
    struct sq_options_end end;
    struct squib_error err = {0};
    struct sq_doctor *d;
    json_t *list;
    bool good = true;

    if (sq_options_parse(table, SQ_ARRAY_LEN(table), argc, argv, 1, take, &o,
                         &end, &err) == 0 && end.rest < argc)
        snprintf(err.text, sizeof(err.text), "doctor takes no argument '%s'",
                 argv[end.rest]);
    if (err.text[0]) {
        sq_say_error(&err);
        sq_print("  do: squib help doctor\n");
        return SQ_STATUS_USAGE;
    }
    if (o.help) {
        puts("usage: squib doctor [--json]\n\nChecks what squib needs here; "
             "status 1 if something is missing.\n");
        sq_options_help(table, SQ_ARRAY_LEN(table), stdout);
        return SQ_STATUS_OK;
    }
    d = calloc(1, sizeof(*d));
    list = json_array();
    if (!d || !list) {
        sq_say("out of memory");
        return SQ_STATUS_FAILED;
    }
    d->guest = sq_kernel_guest();
    sq_kernel_find(d->guest, NULL, &d->kernel, &d->kernel_err);
    for (size_t i = 0; i < sq_check_count; i++) {
        struct sq_finding f = {0};

        sq_checks[i].fn(d, &f);
        good = good && f.result != SQ_CHECK_FAIL;
        if (!o.json)
            show_text(sq_checks[i].id, &f);
        else
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}",
                "id", sq_checks[i].id, "result", words[f.result],
                "fact", f.fact, "remedy", f.remedy));
    }
    if (o.json)
        show_json(list, good);
    else
        json_decref(list);
    free(d);
    return good ? SQ_STATUS_OK : SQ_STATUS_FAILED;
}
