/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <systemd/sd-daemon.h>

#include "agent/events.h"
#include "agent/log.h"
#include "agent/webhook.h"
#include "agentd/http.h"
#include "agentd/manager.h"
#include "agentd/workers.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"

int manager_read_config(const char *path, struct config *ret, char **ret_text, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    char *text;
    size_t len;
    if (config_read(&arena, path, &text, &len, err) < 0 || config_parse(path, text, len, ret, err) < 0)
        return -1;
    if (config_check_rights(path, ret, err) < 0 || webhook_secrets_load(ret, err) < 0) {
        config_release(ret);
        return -1;
    }
    set_text(ret_text, text); /* it was accepted, so there is no NUL in it */
    return 0;
}

/*
 * Workers read the configuration themselves. What they get is a copy of what was accepted: a file that is
 * being edited, or was refused, must not reach them. It may hold secrets, as agent.conf does.
 */
void manager_publish_config(struct manager *manager)
{
    cleanup_arena struct arena arena = {0};
    struct error err = {0};
    const char *copy = arena_printf(&arena, "%s/agent.conf", manager->config.run_dir);
    if (fs_write_atomic(copy, manager->config_text, strlen(manager->config_text), 0600, &err) < 0) {
        log_warning("%s; workers read %s itself", err.text, manager->config_path);
        copy = manager->config_path;
    }
    set_text(&manager->worker_config, copy);
}

static int check_unchanged(const struct config *old, const struct config *new, struct error *err)
{
    const char *key = !str_eq(old->state_dir, new->state_dir) ? "state_dir"
                      : !str_eq(old->run_dir, new->run_dir)   ? "run_dir"
                                                              : NULL;
    if (key)
        return error_set(err, ERR_INVALID, 0, "%s: [agent] %s cannot change while agentd runs; restart it",
                         new->path, key);
    return 0;
}

static bool same_words(char *const *a, char *const *b)
{
    size_t i = 0;
    for (; a[i] && b[i]; i++)
        if (!str_eq(a[i], b[i]))
            return false;
    return a[i] == b[i];
}

static bool same_stack(const struct stack_config *a, const struct stack_config *b)
{
    return str_eq(a->repository, b->repository) && str_eq(a->branch, b->branch) &&
           same_words(a->files, b->files) && a->poll_interval_us == b->poll_interval_us &&
           str_eq(a->env_file, b->env_file) && str_eq(a->username, b->username) &&
           str_eq(a->token_file, b->token_file) && str_eq(a->ssh_key, b->ssh_key) &&
           str_eq(a->known_hosts, b->known_hosts) && str_eq(a->ca_file, b->ca_file) &&
           a->insecure == b->insecure && a->resolve_image == b->resolve_image &&
           a->image_wait_us == b->image_wait_us && same_words(a->image_of_commit, b->image_of_commit) &&
           same_words(a->image_paths, b->image_paths) && a->follow_tags == b->follow_tags &&
           a->on_failure == b->on_failure && a->drift == b->drift && a->prune == b->prune &&
           a->approve == b->approve && str_eq(a->webhook_secret_file, b->webhook_secret_file) &&
           str_eq(a->freeze.text, b->freeze.text);
}

/* The old configuration is still there: watches point into it until here. */
static void apply_stacks(struct manager *manager, const struct config *new)
{
    for (struct watch *w = manager->watches; w; w = w->next) {
        const struct stack_config *old = w->config, *now = config_stack(new, w->name);
        w->config = now;
        if (!now && old) {
            log_notice("%s is not watched any more; its services are left as they are%s", w->name,
                       w->run ? ", and what is under way goes on to its end" : "");
            schedule_stop(w);
            timer_stop(w->restart_timer);
        } else if (now && (!old || !same_stack(old, now))) {
            log_notice("%s: its section changed", w->name);
            w->failures = 0;
            schedule_look_closely(w);
            runs_refresh(w);
        }
    }
    for (size_t i = 0; i < new->n_stacks; i++) {
        if (manager_watch(manager, new->stacks[i].name))
            continue;
        struct watch *w = watch_new(manager, &new->stacks[i]);
        log_notice("%s is watched from now on", w->name);
        watch_load(w);
        schedule_poll(w, 0);
    }
    manager_collect(manager);
}

void manager_reload(struct manager *manager)
{
    struct config new = {0};
    char *text = NULL;
    struct error err = {0};
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)mono_us());
    if (manager_read_config(manager->config_path, &new, &text, &err) < 0 ||
        check_unchanged(&manager->config, &new, &err) < 0) {
        log_event(LOG_LEVEL_ERR, MESSAGE_RELOAD_REFUSED,
                  "the configuration is refused and the old one stays in force:\n%s", err.text);
        config_release(&new);
    } else {
        struct config old = manager->config;
        manager->config = new;
        set_text(&manager->config_text, text);
        log_set_level(new.log_level);
        manager_publish_config(manager);
        apply_stacks(manager, &manager->config);
        receivers_configure(manager);
        http_open(manager);
        config_release(&old);
        log_notice("the configuration was read again: %zu stack%s", new.n_stacks,
                   new.n_stacks == 1 ? "" : "s");
        runs_dispatch(manager);
    }
    set_text(&text, NULL);
    manager_show_status(manager);
    sd_notify(0, "READY=1");
}
