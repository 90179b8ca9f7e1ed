/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/migration.h"

#include "base/cleanup.h"
#include "sql/complaints.h"

static int summarise(struct arena *arena, struct migration *m, migration_read *read, void *userdata,
                     struct error *err)
{
    cleanup_arena struct arena text_arena = {0};
    const char *text;
    size_t len;
    if (read(userdata, &text_arena, m, &text, &len, err) < 0)
        return error_wrap(err, "reading %s", m->file);
    if (sql_summarise(arena, m->file, text, len, *m->version ? m->version : NULL, &m->summary, err) < 0)
        return -1;
    m->read = true;
    return 0;
}

int migration_set_summarise(struct arena *arena, struct migration_set *set, const bool *want,
                            migration_read *read, void *userdata, struct error *err)
{
    cleanup_complaints struct complaints complaints = {0};
    for (size_t i = 0; i < set->n; i++) {
        struct error one = {0};
        if ((want && !want[i]) || set->items[i].read ||
            summarise(arena, &set->items[i], read, userdata, &one) == 0)
            continue;
        if (one.kind != ERR_INVALID) {
            *err = one;
            return -1;
        }
        complain(&complaints, "%s", one.text);
    }
    return complaints_end(&complaints, err);
}
