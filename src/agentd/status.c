/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/str.h"

/* "2 stacks, shop: deploying 9f3c1ab (#42, roll web); blog: polls fail" */
static void describe(struct manager *manager, struct str *line)
{
    size_t n = manager->config.n_stacks;
    const char *separator = ", ";
    str_printf(line, "%zu stack%s", n, n == 1 ? "" : "s");
    if (manager->stopping)
        str_append(line, ", stopping");
    else if (!manager->journal)
        str_printf(line, ", NO DEPLOYMENT STARTS: %s", manager->journal_error.text);
    for (const struct watch *w = manager->watches; w; w = w->next) {
        if (!w->run && !w->failures)
            continue;
        str_printf(line, "%s%s: ", separator, w->name);
        if (w->run)
            str_printf(line, "deploying %.7s (#%" PRId64 "%s%s%s%s)", w->commit, w->running,
                       w->step ? ", " : "", w->step ? w->step : "", w->waiting ? ", waiting: " : "",
                       w->waiting ? w->waiting : "");
        else
            str_append(line, "polls fail");
        separator = "; ";
    }
}

void manager_show_status(struct manager *manager)
{
    cleanup_arena struct arena arena = {0};
    cleanup_str struct str line = {0};
    describe(manager, &line);
    const char *text = str_clean(&arena, str_text(&line), line.len, true, 500);
    if (str_eq(text, manager->status))
        return;
    set_text(&manager->status, text);
    sd_notifyf(0, "STATUS=%s", text);
}
