/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docs/api-compat.md, from the tables that the program itself works by: one
 * row for each request, field and flag, with how it compares to
 * Firecracker's and the test that shows it.
 *
 *     api_compat ROOT           prints the page
 *     api_compat ROOT --check   compares it with the one in ROOT/docs
 *
 * A row without a test is a failure, and so is a remark about a row that
 * does not exist.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/util.h"
#include "cli/serve_options.h"

#define PAGE "docs/api-compat.md"

enum status { FULL, DIFFERS, REFUSED };

/* What is not full. Path and field as the page shows them; field NULL: the
 * request itself. Flags have no method. */
static const struct remark {
    const char *what, *field;
    enum status status;
    const char *text;
} remarks[] = {
    {"PUT /machine-config", "mem_size_mib", DIFFERS,
     "the start refuses less than 16 MiB"},
    {"PATCH /machine-config", "mem_size_mib", DIFFERS,
     "the start refuses less than 16 MiB"},
    {"PUT /machine-config", "smt", DIFFERS,
     "accepted, and changes nothing in the guest"},
    {"PUT /machine-config", "cpu_template", DIFFERS,
     "the software CPU takes T2 and C3 whatever its model; T2S and T2CL "
     "change an MSR that it does not have, and the start refuses them"},
    {"PATCH /machine-config", "smt", DIFFERS,
     "accepted, and changes nothing in the guest"},
    {"PATCH /machine-config", "cpu_template", DIFFERS,
     "the software CPU takes T2 and C3 whatever its model; T2S and T2CL "
     "change an MSR that it does not have, and the start refuses them"},
    {"PUT /drives/{id}", "drive_id", DIFFERS, "at most 64 bytes"},
    {"PUT /drives/{id}", "partuuid", DIFFERS, "at most 63 bytes"},
    {"PUT /network-interfaces/{id}", "iface_id", DIFFERS,
     "at most 64 bytes"},
    {"PUT /pmem/{id}", "id", DIFFERS, "at most 64 bytes"},
    {"PUT /vsock", "guest_cid", DIFFERS,
     "the start refuses 0 to 2 and 4294967295"},
    {"PUT /logger", "module", DIFFERS, "squib's source folders"},
    {"PUT /cpu-config", "kvm_capabilities", DIFFERS,
     "at most 32; without KVM the start refuses any"},
    {"PUT /cpu-config", "cpuid_modifiers", DIFFERS,
     "at most 512 registers; the software CPU's features cannot grow"},
    {"PUT /cpu-config", "msr_modifiers", DIFFERS,
     "at most 64; those that the backend saves"},
    {"PUT /snapshot/create", NULL, REFUSED, "checked first"},
    {"PUT /snapshot/load", NULL, REFUSED, "checked first"},
    {"--backend", NULL, DIFFERS, "squib's own"},
    {"--describe-snapshot", NULL, REFUSED, "there are no snapshots yet"},
    {"--module", NULL, DIFFERS, "squib's source folders"},
    {"--seccomp-filter", NULL, REFUSED,
     "a filter of Firecracker's calls does not fit"},
    {"--snapshot-version", NULL, DIFFERS, "v0.0.0: no snapshots yet"},
};
static bool used[SQ_ARRAY_LEN(remarks)];

static const char *const case_files[] = {
    "tests/api/before_start.cases", "tests/api/running.cases",
    "tests/api/transport.cases",
};
/* Where flags are used; api tests give them in their section lines. */
static const char *const flag_files[] = {
    "tests/api/transport.cases", "tests/api/before_start.cases",
    "tests/api/running.cases", "tests/api/flags.sh",
    "tests/boot/config_file.sh", "tests/api/getting_started.sh",
    "tests/api/seccomp.sh",
};

static unsigned bad;

static void complain(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

static void complain(const char *fmt, ...)
{
    va_list ap;

    bad++;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* --- the tests --------------------------------------------------------- */

static char *slurp(const char *root, const char *name)
{
    char path[4096], *text = NULL;
    size_t len = 0;
    FILE *f;
    int c;

    snprintf(path, sizeof(path), "%s/%s", root, name);
    f = fopen(path, "r");
    if (!f)
        return NULL;
    {
        FILE *m = open_memstream(&text, &len);

        while ((c = getc(f)) != EOF)
            putc(c, m);
        fclose(m);
    }
    fclose(f);
    return text;
}

/* A request of a golden test. */
struct request {
    const char *file, *section, *line;
};

static struct request requests[4096];
static size_t request_count;

static void read_cases(const char *root, const char *name)
{
    char *text = slurp(root, name), *save = NULL;
    const char *section = "";

    if (!text) {
        complain("%s is missing", name);
        return;
    }
    for (char *l = strtok_r(text, "\n", &save); l;
         l = strtok_r(NULL, "\n", &save)) {
        if (strncmp(l, "= ", 2) == 0) {
            section = l + 2;
            l[strcspn(l, "\t")] = '\0';
        } else if (strncmp(l, "> ", 2) == 0 &&
                   request_count < SQ_ARRAY_LEN(requests)) {
            requests[request_count++] =
                (struct request){strrchr(name, '/') + 1, section, l + 2};
        }
    }
    /* The text stays: requests point into it. */
}

/* "PUT /drives/{id}" is a pattern; a name ends it. */
static bool is_request(const char *line, const char *what)
{
    for (; *what; what++) {
        if (*what == '{') {
            line += strcspn(line, "/ ");
            what = strchr(what, '}');
        } else if (*line++ != *what) {
            return false;
        }
    }
    return !*line || *line == ' ';
}

/* A section that is named after the request is the better proof. */
static bool is_about(const char *section, const char *what)
{
    const char *first = strchr(what, '/') + 1;
    char name[64];

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(first, "/"), first);
    return name[0] && strstr(section, name);
}

static const struct request *find_test(const char *what, const char *field)
{
    const struct request *any = NULL;
    char quoted[80];

    snprintf(quoted, sizeof(quoted), "\"%s\"", field ? field : "");
    for (size_t i = 0; i < request_count; i++) {
        const struct request *r = &requests[i];

        if (!is_request(r->line, what) ||
            (field && !strstr(r->line, quoted)))
            continue;
        if (is_about(r->section, what))
            return r;
        any = any ? any : r;
    }
    return any;
}

/* --- rows -------------------------------------------------------------- */

static void row(FILE *out, const char *what, const char *field,
                const char *type, const char *test)
{
    static const char *const names[] = {"full", "differs", "refused"};
    enum status status = FULL;
    const char *text = "";

    for (size_t i = 0; i < SQ_ARRAY_LEN(remarks); i++) {
        const struct remark *r = &remarks[i];

        if (strcmp(r->what, what) != 0 ||
            (r->field && (!field || strcmp(r->field, field) != 0)))
            continue;
        used[i] = true;
        status = r->status;
        text = r->text;
    }
    fprintf(out, "| %s%s%s | %s | %s%s%s | %s |\n", field ? "`" : "",
            field ? field : "", field ? "`" : "(the request)", type,
            names[status], text[0] ? ": " : "", text, test);
}

static const char *show_test(const struct request *r, const char *what,
                             const char *field, char *out, size_t len)
{
    if (r)
        snprintf(out, len, "%s, %s", r->file, r->section);
    else
        complain("no golden test for %s%s%s", what, field ? ", " : "",
                 field ? field : "");
    return r ? out : "";
}

static void show_type(const struct sq_json_field *f, char *out, size_t len)
{
    static const char *const kinds[] = {
        [SQ_JSON_STRING] = "string", [SQ_JSON_UINT] = "u",
        [SQ_JSON_BOOL] = "bool",     [SQ_JSON_WORD] = "",
        [SQ_JSON_OBJECT] = "object", [SQ_JSON_LIST] = "list",
        [SQ_JSON_MAP] = "strings by name", [SQ_JSON_ANY] = "any",
    };
    size_t n = (size_t)snprintf(out, len, "%s", kinds[f->kind]);

    if (f->kind == SQ_JSON_UINT)
        n += (size_t)snprintf(out + n, len - n, "%u", f->width);
    for (size_t i = 0; f->kind == SQ_JSON_WORD && f->words[i]; i++)
        n += (size_t)snprintf(out + n, len - n, "%s%s", i ? " " : "",
                              f->words[i]);
    if (f->required)
        n += (size_t)snprintf(out + n, len - n, ", required");
    if (f->nullable)
        n += (size_t)snprintf(out + n, len - n, ", may be null");
    if (f->kind == SQ_JSON_UINT && f->dflt)
        snprintf(out + n, len - n, ", %u", (unsigned)f->dflt);
}

/* Fields, and those of the objects in them as "outer.inner". */
static void fields(FILE *out, const char *what,
                   const struct sq_json_schema *s, const char *outer)
{
    for (size_t i = 0; s && i < s->count; i++) {
        const struct sq_json_field *f = &s->fields[i];
        char name[160], type[200], test[200];

        snprintf(name, sizeof(name), "%s%s%s", outer, outer[0] ? "." : "",
                 f->name);
        show_type(f, type, sizeof(type));
        row(out, what, name, type,
            show_test(find_test(what, f->name), what, name, test,
                      sizeof(test)));
        if (f->inner)
            fields(out, what, f->inner, name);
    }
}

static void endpoint(FILE *out, const struct sq_endpoint *e)
{
    static const char *const states[] = {
        [SQ_PRE] = "before the start",
        [SQ_POST] = "after the start",
        [SQ_PRE | SQ_POST] = "before and after the start",
    };
    char what[120], test[200];

    if (e->check == sq_check_snapshot_path ||
        e->check == sq_check_hinting_path)
        return; /* refuse all other paths */
    snprintf(what, sizeof(what), "%s /%s%s%s%s%s",
             sq_http_method_name(e->method), e->first, e->second ? "/" : "",
             e->second ? e->second : "", e->third ? "/" : "",
             e->third ? e->third : "");
    if (e->id)
        strcat(what, "/{id}");
    fprintf(out, "\n### %s\n\n| Field | Type | Status | Test |\n"
            "|---|---|---|---|\n", what);
    row(out, what, NULL,
        e->states_of ? "by its action" : states[e->states],
        show_test(find_test(what, NULL), what, NULL, test, sizeof(test)));
    fields(out, what, e->check == sq_check_hinting
                          ? &sq_balloon_hinting_schema : e->schema, "");
}

static void flags(FILE *out, const char *root)
{
    fputs("\n## Flags\n\n| Flag | Status | Test |\n|---|---|---|\n", out);
    for (size_t i = 0; i < SQ_SERVE_COUNT; i++) {
        const struct sq_option *o = &sq_serve_flags[i];
        enum status status = FULL;
        const char *text = "", *where = NULL;
        char name[64];

        snprintf(name, sizeof(name), "--%s", o->name);
        for (size_t k = 0; k < SQ_ARRAY_LEN(flag_files) && !where; k++) {
            char *file = slurp(root, flag_files[k]);
            const char *at = file ? strstr(file, name) : NULL;

            while (at && (at[strlen(name)] == '-' ||
                          at[strlen(name)] == '='))
                at = strstr(at + 1, name);
            if (at)
                where = strrchr(flag_files[k], '/') + 1;
            free(file);
        }
        if (!where)
            complain("no test uses %s", name);
        for (size_t k = 0; k < SQ_ARRAY_LEN(remarks); k++) {
            if (strcmp(remarks[k].what, name) == 0) {
                used[k] = true;
                status = remarks[k].status;
                text = remarks[k].text;
            }
        }
        fprintf(out, "| `%s%s%s` | %s%s%s | %s |\n", name,
                o->arg ? " " : "", o->arg ? o->arg : "",
                status == FULL ? "full" : status == DIFFERS ? "differs"
                                                            : "refused",
                text[0] ? ": " : "", text, where ? where : "");
    }
}

static void page(FILE *out, const char *root)
{
    fputs("# Compatibility with Firecracker\n"
          "\n"
          "Each request, field and flag of Firecracker 1.17, from squib's "
          "own tables (`make docs`).\n"
          "*full*: the same fields, bounds, defaults, states, answers and "
          "messages. *differs*:\n"
          "how. *refused*: with a `fault_message` or a line that says so, "
          "before anything has\n"
          "changed. A test is a file of `tests/api` or `tests/boot` and a "
          "section of it. What\n"
          "holds for all requests is in [api.md](api.md).\n"
          "\n## Requests\n", out);
    for (size_t i = 0; i < sq_endpoint_count; i++)
        endpoint(out, &sq_endpoints[i]);
    flags(out, root);
}

static void check(const char *root, const char *text)
{
    char *old = slurp(root, PAGE);

    if (!old || strcmp(old, text) != 0)
        complain(PAGE " is not what the tables say\n  do: make docs");
    free(old);
}

int main(int argc, char *argv[])
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (argc < 2 || !out)
        return 2;
    for (size_t i = 0; i < SQ_ARRAY_LEN(case_files); i++)
        read_cases(argv[1], case_files[i]);
    page(out, argv[1]);
    fclose(out);
    for (size_t i = 0; i < SQ_ARRAY_LEN(remarks); i++)
        if (!used[i])
            complain("%s %s: a remark about no row", remarks[i].what,
                     remarks[i].field ? remarks[i].field : "");
    if (argc > 2)
        check(argv[1], text);
    else
        fputs(text, stdout);
    free(text);
    if (!bad && argc > 2)
        puts("ok - " PAGE " is what the tables say");
    return bad ? 1 : 0;
}
