/* SPDX-License-Identifier: Apache-2.0 */

/* agentctl show. The page for people is show_text.c. */

#include "agentctl/show.h"

#include <stdio.h>

#include "agentctl/verbs.h"
#include "base/cleanup.h"

int verb_show(struct ctl *ctl, const struct args *args)
{
    struct error err = {0};
    struct deployment d;
    struct page page;
    bool logs = args_get(args, "--logs") != NULL;
    if (ctl_deployment(ctl, args->words[0], &d, &err) < 0 ||
        page_read(ctl->journal, &ctl->arena, &d, PAGE_WHOLE, &page, &err) < 0)
        return ctl_fail(&err);
    if (args_get(args, "--json")) {
        cleanup_json json_t *o = page_json(&page, logs);
        json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRINT);
        fputs("\n", stdout);
    } else {
        show_text(&ctl->arena, &page, logs);
    }
    page_release(&page);
    return EXIT_GOOD;
}
