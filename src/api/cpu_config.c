/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT /cpu-config: the texts of a CPU template as numbers. The schema has
 * checked their form.
 */
#include <stdlib.h>
#include <string.h>

#include "api/resources.h"

/* "0x1f", "0b11" */
static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text + 2, NULL, text[1] == 'x' ? 16 : 2);
}

/* "0b01_xx10": 0 and 1 are set, x is left alone. */
static void bitmap(const char *text, uint64_t *mask, uint64_t *value)
{
    *mask = *value = 0;
    text += strncmp(text, "0b", 2) == 0 ? 2 : 0;
    for (; *text; text++) {
        if (*text == '_')
            continue;
        *mask = *mask << 1 | (*text != 'x');
        *value = *value << 1 | (*text == '1');
    }
}

static bool too_many(struct sq_fault *fault, const char *what, int most)
{
    return sq_fault(fault, "Configure CPU error: %s: at most %d are "
                    "possible", what, most);
}

/* What must be there. What need not is not asked for. */
static bool take_caps(const json_t *list, struct sq_cpu_template *t,
                      struct sq_fault *fault)
{
    const json_t *e;
    size_t i;

    json_array_foreach((json_t *)list, i, e) {
        const char *text = json_string_value(e);

        if (text[0] == '!')
            continue;
        if (t->cap_count == SQ_CPU_CAPS_MAX)
            return too_many(fault, "kvm_capabilities", SQ_CPU_CAPS_MAX);
        t->cap[t->cap_count++] = (uint32_t)strtoul(text, NULL, 10);
    }
    return true;
}

static bool take_leaf(const struct sq_body_cpuid_leaf *leaf,
                      struct sq_cpu_template *t, struct sq_fault *fault)
{
    const json_t *e;
    size_t i;

    json_array_foreach((json_t *)leaf->modifiers, i, e) {
        struct sq_body_cpuid_register r = {0};
        uint64_t mask, value;

        if (!sq_json_take(&sq_cpuid_register_schema, e, &r) ||
            t->cpuid_count == SQ_CPU_CPUID_MAX)
            return too_many(fault, "cpuid_modifiers", SQ_CPU_CPUID_MAX);
        bitmap(r.bitmap, &mask, &value);
        t->cpuid[t->cpuid_count++] = (struct sq_cpuid_change){
            .leaf = number(leaf->leaf),
            .subleaf = number(leaf->subleaf),
            .reg = (uint32_t)(r.reg[1] - 'a'),
            .mask = (uint32_t)mask,
            .value = (uint32_t)value,
        };
    }
    return true;
}

static bool take_leaves(const json_t *list, struct sq_cpu_template *t,
                        struct sq_fault *fault)
{
    const json_t *e;
    size_t i;

    json_array_foreach((json_t *)list, i, e) {
        struct sq_body_cpuid_leaf leaf = {0};

        if (!sq_json_take(&sq_cpuid_leaf_schema, e, &leaf) ||
            !take_leaf(&leaf, t, fault))
            return false;
    }
    return true;
}

static bool take_msrs(const json_t *list, struct sq_cpu_template *t,
                      struct sq_fault *fault)
{
    const json_t *e;
    size_t i;

    json_array_foreach((json_t *)list, i, e) {
        struct sq_msr_change *m = &t->msr[t->msr_count];
        struct sq_body_msr b = {0};

        if (!sq_json_take(&sq_msr_schema, e, &b) ||
            t->msr_count == SQ_CPU_MSRS_MAX)
            return too_many(fault, "msr_modifiers", SQ_CPU_MSRS_MAX);
        m->index = number(b.addr);
        bitmap(b.bitmap, &m->mask, &m->value);
        t->msr_count++;
    }
    return true;
}

bool sq_resources_cpu(struct sq_resources *r,
                      const struct sq_body_cpu_config *b,
                      struct sq_fault *fault)
{
    struct sq_cpu_template *t = calloc(1, sizeof(*t));
    bool ok;

    if (!t)
        return sq_fault(fault, "Configure CPU error: out of memory");
    t->name = SQ_CPU_NO_NAME;
    ok = take_caps(b->capabilities, t, fault) &&
         take_leaves(b->cpuid_modifiers, t, fault) &&
         take_msrs(b->msr_modifiers, t, fault);
    if (ok)
        r->spec->cpu = *t;
    free(t);
    return ok;
}
