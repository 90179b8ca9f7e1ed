/* SPDX-License-Identifier: Apache-2.0 */

/* --wait: follows a deployment in the journal until it ends. */

#include <stdio.h>

#include "agentctl/view.h"
#include "base/cleanup.h"
#include "base/clock.h"

static const int64_t look_us = US_PER_S / 2;
static const int64_t ask_us = 10 * US_PER_S;      /* is agentd still there? */
static const int64_t patience_us = 60 * US_PER_S; /* a restart is no reason to give up */

struct wait {
    struct ctl *ctl;
    int64_t id;
    int64_t seen;            /* data version at the last look */
    char *told;              /* what was last said on stderr; in ctl's arena */
    int64_t asked, answered; /* monotonic */
};

/* Progress goes to stderr, each change once. */
static void tell(struct wait *w, const struct view *v)
{
    struct arena *arena = &w->ctl->arena;
    const char *text = v->waiting ? arena_printf(arena, "waiting: %s", text_safe(arena, v->waiting))
                                  : deployment_state_name(v->d.state);
    if (str_eq(text, w->told))
        return;
    w->told = arena_strdup(arena, text);
    fprintf(stderr, "#%lld %s\n", (long long)w->id, text);
}

static int finish(struct wait *w, const struct view *v)
{
    struct table table = view_table(&w->ctl->arena, false);
    view_add_row(&table, v);
    table_print(&table, true);
    return v->d.state == DEPLOYMENT_SUCCEEDED ? EXIT_GOOD : EXIT_FAILED;
}

/* -1: goes on; else the exit code. */
static int look(struct wait *w)
{
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    struct deployment d;
    struct view v;
    bool found;
    int64_t version = journal_data_version(w->ctl->journal);
    if (version == w->seen)
        return -1;
    w->seen = version;
    if (journal_deployment(w->ctl->journal, &arena, w->id, &d, &found, &err) < 0)
        return ctl_fail(&err);
    if (!found)
        return ctl_misuse("there is no deployment %lld any more", (long long)w->id), EXIT_NOT_FOUND;
    if (view_load(w->ctl, &arena, &d, &v, &err) < 0)
        return ctl_fail(&err);
    if (deployment_state_ended(d.state))
        return finish(w, &v);
    tell(w, &v);
    return -1;
}

static bool agentd_is_gone(struct wait *w)
{
    cleanup_json json_t *reply = NULL;
    struct error err = {0};
    int64_t now = mono_us();
    if (now - w->asked < ask_us)
        return false;
    w->asked = now;
    if (ctl_ask(w->ctl, "status", NULL, NULL, 5 * US_PER_S, &reply, &err) == 0 || err.kind != ERR_NOT_FOUND)
        w->answered = now;
    return now - w->answered >= patience_us;
}

int ctl_wait(struct ctl *ctl, int64_t id)
{
    struct error err = {0};
    struct wait w = {.ctl = ctl, .id = id, .seen = -2, .asked = mono_us(), .answered = mono_us()};
    if (ctl_journal(ctl, &err) < 0)
        return ctl_fail(&err);
    for (;;) {
        int code = look(&w);
        if (code >= 0)
            return code;
        if (agentd_is_gone(&w)) {
            fprintf(stderr, "agentctl: agentd is not running; #%lld goes on when it starts again\n",
                    (long long)id);
            return EXIT_NO_DAEMON;
        }
        sleep_us(look_us);
    }
}
