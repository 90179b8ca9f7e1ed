/* SPDX-License-Identifier: Apache-2.0 */
#include "suggest.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

enum { LONGEST = 32 };

/* Edits between two short words (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), row[LONGEST + 1];
    if (n > LONGEST || m > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[m];
}

/* What people bring along from docker compose. */
static const char *compose_hint(struct arena *arena, const char *key)
{
    static const struct {
        const char *key, *instead;
    } rows[] = {
        {"annotations", NULL},
        {"attach", NULL},
        {"blkio_config", NULL},
        {"content", "file, or external: true"},
        {"cpu_count", "deploy.resources.limits.cpus"},
        {"cpu_percent", "deploy.resources.limits.cpus"},
        {"cpu_period", "deploy.resources.limits.cpus"},
        {"cpus", "deploy.resources.limits.cpus"},
        {"develop", NULL},
        {"device_cgroup_rules", NULL},
        {"dns_opt", NULL},
        {"enable_ipv6", NULL},
        {"environment", "file, or external: true"},
        {"gpus", "deploy.resources.reservations.generic_resources"},
        {"group_add", NULL},
        {"include", "several stack files"},
        {"label_file", "labels"},
        {"mem_reservation", "deploy.resources.reservations.memory"},
        {"mem_swappiness", NULL},
        {"models", NULL},
        {"name", "the stack's name of the agent's configuration"},
        {"oom_kill_disable", NULL},
        {"pids_limit", "deploy.resources.limits.pids"},
        {"platform", "deploy.placement.constraints"},
        {"post_start", NULL},
        {"pre_stop", NULL},
        {"profiles", NULL},
        {"pull_policy", NULL},
        {"runtime", NULL},
        {"scale", "deploy.replicas"},
        {"storage_opt", NULL},
        {"uts", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (str_eq(rows[i].key, key))
            return rows[i].instead
                       ? arena_printf(arena, " (only docker compose has it; use %s)", rows[i].instead)
                       : " (only docker compose has it)";
    return NULL;
}

static bool counts(const struct field *field, unsigned minor)
{
    return minor >= field->since && (!field->until || minor <= field->until);
}

const char *suggest_key(struct arena *arena, const struct rule *rule, const char *key, unsigned minor)
{
    enum { FEW = 9 };
    const struct field *nearest = NULL;
    size_t best = 3, known = 0;
    cleanup_str struct str list = {0};
    for (size_t i = 0; i < rule->n_fields; i++) {
        const struct field *field = &rule->fields[i];
        if (str_eq(field->name, key))
            return arena_printf(arena, " (it needs version \"3.%u\")", field->since);
        if (!counts(field, minor))
            continue;
        str_printf(&list, "%s%s", known++ ? ", " : "", field->name);
        size_t d = distance(key, field->name);
        if (d < best && d < strlen(key)) {
            best = d;
            nearest = field;
        }
    }
    const char *hint = rule->n_fields ? compose_hint(arena, key) : NULL;
    if (hint)
        return hint;
    if (nearest)
        return arena_printf(arena, " (did you mean %s?)", nearest->name);
    if (known && known <= FEW)
        return arena_printf(arena, " (accepted: %s)", str_text(&list));
    if (known)
        return " (docs/stack-file.md, section 4, has the keys of a service)";
    return rule->names == NAMES_OBJECT ? " (names are made of letters, digits, '.', '_' and '-')" : "";
}
