/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "agentd/manager.h"
#include "agentd/workers.h"
#include "base/cleanup.h"
#include "base/clock.h"
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

/* ---- the verb `status` ---- */

static void set_time(json_t *object, const char *key, int64_t us)
{
    cleanup_arena struct arena arena = {0};
    const char *text = rfc3339_utc(&arena, us);
    json_object_set_new(object, key, text ? json_string(text) : json_null());
}

static json_t *watch_status(const struct watch *w)
{
    /* not runs_paused(): who asks must not be the one who ends a pause */
    bool paused = w->paused && (!w->paused_until_us || wall_us() < w->paused_until_us);
    json_t *o = json_pack("{s:s, s:b, s:s?, s:i, s:s?, s:s?, s:b}", "stack", w->name, "polling",
                          w->poll != NULL, "poll_error", w->poll_error, "poll_failures", (int)w->failures,
                          "step", w->step, "waiting", w->waiting, "paused", paused);
    set_time(o, "last_poll", w->last_poll_us);
    set_time(o, "next_poll", w->next_poll_us ? wall_us() + w->next_poll_us - mono_us() : 0);
    set_time(o, "frozen_until", w->frozen_until_us);
    json_object_set_new(o, "running", w->running ? json_integer(w->running) : json_null());
    json_object_set_new(o, "worker_pid", w->run ? json_integer(w->run->pid) : json_null());
    return o;
}

json_t *manager_status(struct manager *manager)
{
    json_t *agentd = json_pack("{s:s, s:i, s:s}", "version", VERSION, "pid", (int)getpid(), "config",
                               manager->config_path);
    set_time(agentd, "since", manager->started_us);
    json_object_set_new(agentd, "journal_error",
                        manager->journal ? json_null() : json_string(manager->journal_error.text));
    json_t *stacks = json_array();
    for (struct watch *w = manager->watches; w; w = w->next)
        if (w->config)
            json_array_append_new(stacks, watch_status(w));
    return json_pack("{s:o, s:o}", "agentd", agentd, "stacks", stacks);
}
