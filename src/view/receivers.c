/* SPDX-License-Identifier: Apache-2.0 */
#include "view/receivers.h"

#include "agent/summary.h"
#include "view/json.h"

int receivers_read(struct journal *journal, struct arena *arena, int64_t most, struct receiver_view **ret,
                   size_t *ret_count, struct error *err)
{
    struct receiver *rows = NULL;
    size_t n = 0;
    if (journal && outbox_receivers(journal, arena, &rows, &n, err) < 0)
        return -1;
    struct receiver_view *all = arena_array(arena, n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        all[i].row = rows[i];
        if (rows[i].waiting && journal_backlog(journal, rows[i].name, most ? most : INT64_MAX, &all[i].events,
                                               &all[i].oldest_us, err) < 0)
            return -1;
    }
    *ret = all;
    *ret_count = n;
    return 0;
}

json_t *receivers_json(const struct receiver_view *all, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct receiver *r = &all[i].row;
        json_t *o = json_pack("{s:s, s:I, s:i, s:I}", "name", r->name, "waiting", (json_int_t)all[i].events,
                              "attempts", (int)r->attempts, "dropped", (json_int_t)r->dropped);
        json_object_set_new(o, "oldest", json_time(all[i].oldest_us));
        json_object_set_new(o, "failing_since", json_time(r->failing_since_us));
        json_object_set_new(o, "next_try", json_time(r->next_us));
        json_object_set_new(o, "error", json_text(r->error));
        json_array_append_new(list, o);
    }
    return list;
}
