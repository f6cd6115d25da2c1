/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An index of the tree is built from modules.dep or modules.order, sorted
 * by module name, with the texts parsed in place. Resolving is a walk in
 * depth over it: a module is emitted after what it depends on, and a mark
 * on each entry makes it appear once and uncovers cycles.
 */
#include "arch/modules.h"

#include "arch/hostfile.h"
#include "arch/modfile.h"
#include "base/err.h"
#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_MAX = 16 * 1024 * 1024, /* modules.dep of a full kernel: 0.6 MB */
    MODULE_MAX = 64 * 1024 * 1024,
    NAME_MAX_LEN = 64, /* the kernel's MODULE_NAME_LEN is 56 */
    DEPTH_MAX = 64,
};

enum mark { MARK_NEW, MARK_OPEN, MARK_DONE };

struct entry {
    const char *path; /* below the tree */
    const char *needs; /* paths, separated by spaces; NULL: ask the file */
    enum mark mark;
};

struct index {
    uint8_t *text; /* what the entries point into */
    struct entry *entries;
    size_t count;
};

struct resolver {
    const char *tree;
    struct index files;
    struct index builtin;
    struct sq_module_list *out;
    struct squib_error *err;
};

/* A path's or a name's module name: from the last '/' to the first '.' (or
 * a separator), with '-' as '_'. Too long ones are cut; they match nothing
 * a kernel accepts. */
static void module_name(const char *path, char name[NAME_MAX_LEN])
{
    const char *base = path;
    size_t i;

    for (i = 0; path[i] && path[i] != ' ' && path[i] != ','; i++)
        if (path[i] == '/')
            base = path + i + 1;
    for (i = 0; i < NAME_MAX_LEN - 1 && base[i] && !strchr(". ,", base[i]);
         i++)
        name[i] = base[i] == '-' ? '_' : base[i];
    name[i] = 0;
}

static int compare_entries(const void *a, const void *b)
{
    char name_a[NAME_MAX_LEN], name_b[NAME_MAX_LEN];

    module_name(((const struct entry *)a)->path, name_a);
    module_name(((const struct entry *)b)->path, name_b);
    return strcmp(name_a, name_b);
}

static struct entry *index_find(const struct index *index, const char *name)
{
    struct entry key = { .path = name };

    if (index->count == 0)
        return NULL;
    return bsearch(&key, index->entries, index->count, sizeof(key),
                   compare_entries);
}

static void index_free(struct index *index)
{
    free(index->entries);
    free(index->text);
    memset(index, 0, sizeof(*index));
}

/* Parses lines "PATH" or "PATH: PATH PATH ...". */
static int index_load(struct index *index, const char *tree,
                      const char *file, struct squib_error *err)
{
    char path[4096], *line, *save = NULL;
    size_t len, lines = 0, i;
    int result;

    snprintf(path, sizeof(path), "%s/%s", tree, file);
    result = sq_hostfile_read(path, TEXT_MAX, &index->text, &len, err);
    if (result)
        return result;
    for (i = 0; i < len; i++)
        lines += index->text[i] == '\n';
    index->entries = calloc(lines + 1, sizeof(*index->entries));
    if (!index->entries)
        return sq_err_set(err, SQUIB_E_NOMEM, "no memory to read %s", path);
    for (line = strtok_r((char *)index->text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        struct entry *entry = &index->entries[index->count];
        char *colon = strchr(line, ':');

        /* A NUL byte in the file can only make fewer lines. */
        entry->path = line;
        if (colon) {
            *colon = 0;
            entry->needs = colon + 1;
        }
        index->count++;
    }
    qsort(index->entries, index->count, sizeof(*index->entries),
          compare_entries);
    return 0;
}

/* A list has room for every module of the tree or every wanted name. */
static int append(char **list, size_t *count, char *string,
                  struct squib_error *err)
{
    if (!string)
        return sq_err_set(err, SQUIB_E_NOMEM, "no memory for module names");
    list[(*count)++] = string;
    return 0;
}

static char *full_path(const char *tree, const char *path)
{
    size_t len = strlen(tree) + 1 + strlen(path) + 1;
    char *full = malloc(len);

    if (full)
        snprintf(full, len, "%s/%s", tree, path);
    return full;
}

static int resolve_entry(struct resolver *resolver, struct entry *entry,
                         unsigned depth);

/* Resolves each name of a list separated by spaces or commas. */
static int resolve_needs(struct resolver *resolver,
                         const struct entry *entry, const char *needs,
                         unsigned depth)
{
    static const char separators[] = " ,\t";
    char name[NAME_MAX_LEN];
    int result = 0;

    for (needs += strspn(needs, separators); *needs && result == 0;
         needs += strspn(needs, separators)) {
        struct entry *needed = index_find(&resolver->files, needs);

        if (needed) {
            result = resolve_entry(resolver, needed, depth + 1);
        } else if (!index_find(&resolver->builtin, needs)) {
            module_name(needs, name);
            result = sq_err_set(resolver->err, SQUIB_E_NOTFOUND,
                                "module %s needs %s, which is not in %s",
                                entry->path, name, resolver->tree);
        }
        needs += strcspn(needs, separators);
    }
    return result;
}

/* The same with the list that the module itself carries. */
static int resolve_own_needs(struct resolver *resolver,
                             const struct entry *entry, const char *path,
                             unsigned depth)
{
    const char *needs = NULL;
    uint8_t *data;
    size_t len;
    int result =
        sq_hostfile_read(path, MODULE_MAX, &data, &len, resolver->err);

    if (result)
        return result;
    result = sq_modfile_info(data, len, "depends", &needs, resolver->err);
    if (result)
        sq_err_prefix(resolver->err, "%s: ", path);
    else if (needs)
        result = resolve_needs(resolver, entry, needs, depth);
    free(data);
    return result;
}

static int resolve_entry(struct resolver *resolver, struct entry *entry,
                         unsigned depth)
{
    char *path;
    int result;

    if (entry->mark == MARK_DONE)
        return 0;
    if (entry->mark == MARK_OPEN || depth > DEPTH_MAX)
        return sq_err_set(resolver->err, SQUIB_E_FORMAT,
                          "%s: the dependencies of %s form a cycle or are "
                          "too deep",
                          resolver->tree, entry->path);
    entry->mark = MARK_OPEN;
    path = full_path(resolver->tree, entry->path);
    if (!path)
        return sq_err_set(resolver->err, SQUIB_E_NOMEM,
                          "no memory for module names");
    result = entry->needs
                 ? resolve_needs(resolver, entry, entry->needs, depth)
                 : resolve_own_needs(resolver, entry, path, depth);
    if (result) {
        free(path);
        return result;
    }
    entry->mark = MARK_DONE;
    return append(resolver->out->paths, &resolver->out->count, path,
                  resolver->err);
}

static int load_indexes(struct resolver *resolver)
{
    struct squib_error *err = resolver->err;
    struct squib_error ignored;
    int result = index_load(&resolver->files, resolver->tree, "modules.dep",
                            &ignored);

    if (result == SQUIB_E_NOTFOUND)
        result = index_load(&resolver->files, resolver->tree,
                            "modules.order", &ignored);
    if (result == SQUIB_E_NOTFOUND)
        return sq_err_set(err, SQUIB_E_NOTFOUND,
                          "%s is not a module tree: it has neither "
                          "modules.dep nor modules.order",
                          resolver->tree);
    if (result) {
        if (err)
            *err = ignored;
        return result;
    }
    result = index_load(&resolver->builtin, resolver->tree,
                        "modules.builtin", &ignored);
    if (result == SQUIB_E_NOTFOUND)
        return 0;
    if (result && err)
        *err = ignored;
    return result;
}

static int resolve_all(struct resolver *resolver, const char *const *wanted,
                       size_t wanted_count)
{
    struct sq_module_list *out = resolver->out;
    size_t i;
    int result = load_indexes(resolver);

    if (result)
        return result;
    out->paths = calloc(resolver->files.count + 1, sizeof(*out->paths));
    out->missing = calloc(wanted_count + 1, sizeof(*out->missing));
    if (!out->paths || !out->missing)
        return sq_err_set(resolver->err, SQUIB_E_NOMEM,
                          "no memory for module names");
    for (i = 0; i < wanted_count && result == 0; i++) {
        struct entry *entry = index_find(&resolver->files, wanted[i]);

        if (entry)
            result = resolve_entry(resolver, entry, 0);
        else if (!index_find(&resolver->builtin, wanted[i]))
            result = append(out->missing, &out->missing_count,
                            strdup(wanted[i]), resolver->err);
    }
    return result;
}

int sq_modules_resolve(const char *tree, const char *const *wanted,
                       size_t wanted_count, struct sq_module_list *out,
                       struct squib_error *err)
{
    struct resolver resolver = { .tree = tree, .out = out, .err = err };
    int result;

    memset(out, 0, sizeof(*out));
    result = resolve_all(&resolver, wanted, wanted_count);
    if (result)
        sq_modules_free(out);
    index_free(&resolver.files);
    index_free(&resolver.builtin);
    return result;
}

void sq_modules_free(struct sq_module_list *list)
{
    size_t i;

    for (i = 0; i < list->count; i++)
        free(list->paths[i]);
    for (i = 0; i < list->missing_count; i++)
        free(list->missing[i]);
    free(list->paths);
    free(list->missing);
    memset(list, 0, sizeof(*list));
}
