/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/config.h"

#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"

/* The configuration as others use it: loaded from its file, whose rights are looked at, and looked up. */

/* ---- the file ---- */

int config_read(struct arena *arena, const char *path, char **ret_text, size_t *ret_len, struct error *err)
{
    struct stat st;
    if (fs_read(arena, path, CONFIG_MAX_SIZE, ret_text, ret_len, err) < 0)
        return -1;
    /* who may write it decides what runs on the Swarm */
    if (stat(path, &st) == 0 && st.st_mode & S_IWOTH)
        return error_set(err, ERR_INVALID, 0, "%s: every user may write it; mend it with: chmod o-w %s", path,
                         path);
    return 0;
}

/* "[notify chat] url", "[records] postgres": a key whose value is a secret; NULL: there is none. */
static const char *secret_key(struct arena *arena, const struct config *config)
{
    const char *url = config->records_postgres, *host = url ? strstr(url, "://") + 3 : "";
    const char *at = memrchr(host, '@', strcspn(host, "/?"));
    if (at && memchr(host, ':', (size_t)(at - host)))
        return "[records] postgres";
    for (size_t i = 0; i < config->n_notify; i++)
        if (config->notify[i].url)
            return arena_printf(arena, "[notify %s] url", config->notify[i].name);
    return NULL;
}

int config_check_rights(const char *path, const struct config *config, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct stat st;
    const char *key = secret_key(&arena, config);
    if (!key || stat(path, &st) < 0 || !(st.st_mode & S_IROTH))
        return 0;
    return error_set(err, ERR_INVALID, 0,
                     "%s: every user may read it, and %s is a secret; mend it with: chgrp "
                     "deploy-agent %s && chmod 0640 %s, or write %s_file instead",
                     path, key, path, path, strchr(key, ']') + 2);
}

int config_load(const char *path, struct config *ret, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    char *text;
    size_t len;
    if (config_read(&arena, path, &text, &len, err) < 0 || config_parse(path, text, len, ret, err) < 0)
        return -1;
    if (config_check_rights(path, ret, err) == 0)
        return 0;
    config_release(ret);
    return -1;
}

void config_release(struct config *config)
{
    for (size_t i = 0; i < config->n_stacks; i++)
        if (config->stacks[i].webhook_secret)
            explicit_bzero(config->stacks[i].webhook_secret, strlen(config->stacks[i].webhook_secret));
    arena_release(&config->arena);
    *config = (struct config){0};
}

/* ---- lookups ---- */

const struct stack_config *config_stack(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->n_stacks; i++)
        if (str_eq(config->stacks[i].name, name))
            return &config->stacks[i];
    return NULL;
}

const struct notify_config *config_notify(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->n_notify; i++)
        if (str_eq(config->notify[i].name, name))
            return &config->notify[i];
    return NULL;
}

/* ---- places ---- */

int64_t config_poll_alarm_us(const struct stack_config *stack)
{
    static const int64_t shortest_us = 15 * 60 * US_PER_S;
    int64_t ten_us = 10 * stack->poll_interval_us;
    return ten_us > shortest_us ? ten_us : shortest_us;
}

char *config_journal_path(struct arena *arena, const struct config *config)
{
    return arena_printf(arena, "%s/journal.db", config->state_dir);
}

char *config_control_path(struct arena *arena, const struct config *config)
{
    return arena_printf(arena, "%s/control.sock", config->run_dir);
}

char *config_repo_path(struct arena *arena, const struct config *config, const struct stack_config *stack)
{
    return arena_printf(arena, "%s/repo/%s", config->state_dir, stack->name);
}

char *config_lock_path(struct arena *arena, const struct config *config, const char *stack)
{
    return arena_printf(arena, "%s/stack-%s.lock", config->state_dir, stack);
}
