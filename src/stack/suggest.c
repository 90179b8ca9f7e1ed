/* SPDX-License-Identifier: Apache-2.0 */
#include "suggest.h"

#include <string.h>

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
    if (nearest)
        return arena_printf(arena, " (did you mean %s?)", nearest->name);
    if (known && known <= FEW)
        return arena_printf(arena, " (accepted: %s)", str_text(&list));
    return rule->names == NAMES_OBJECT ? " (names are made of letters, digits, '.', '_' and '-')" : "";
}
