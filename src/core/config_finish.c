/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/un.h>

#include "core/config_reading.h"

/* What no single line of agent.conf tells: defaults, and keys that have to fit together. */

static void complete(struct config_reading *p, struct config_part *s)
{
    for (size_t i = 0; i < n_config_keys; i++) {
        const struct config_key *key = &config_keys[i];
        if (s->set[i] || !str_eq(key->section, s->type->name) || key->flags & CONFIG_LATER)
            continue;
        if (key->flags & CONFIG_REQUIRED) {
            config_fault(p, s->line, "%s %s is missing: %s", config_part_text(p, s), key->key, key->help);
            continue;
        }
        p->line = s->line;
        config_set(p, s, key, key->fallback);
    }
}

/* Where the section sets the key; its header when it does not. */
static unsigned line_of(const struct config_part *s, const char *key)
{
    for (size_t i = 0; i < n_config_keys; i++)
        if (s->set[i] && str_eq(config_keys[i].section, s->type->name) && str_eq(config_keys[i].key, key))
            return s->set[i];
    return s->line;
}

static void check_status(struct config_reading *p, const struct config_part *s, struct stack_config *stack)
{
    if (!stack->status_token_file)
        return;
    const char *odd = config_find_forge(&p->config->arena, stack);
    if (odd)
        config_fault(p, line_of(s, "status_token_file"), "%s status_token_file: %s", config_part_text(p, s),
                     odd);
    else if (config_url_is_insecure(stack->status_url) && !stack->insecure)
        config_fault(p, line_of(s, "status_url"),
                     "%s status_url: plain http lets anybody on the way read the token; use https, or write "
                     "insecure = yes",
                     config_part_text(p, s));
}

static void check_stack(struct config_reading *p, const struct config_part *s)
{
    struct stack_config *stack = &p->config->stacks[s->index];
    for (stack->n_files = 0; stack->files && stack->files[stack->n_files];)
        stack->n_files++;
    if (!stack->repository)
        return; /* that is said already */
    bool ssh = str_starts(stack->repository, "ssh:"), http = str_starts(stack->repository, "http");
    if (config_url_is_insecure(stack->repository) && !stack->insecure)
        config_fault(
            p, line_of(s, "repository"),
            "%s repository: plain http lets anybody on the way change what is deployed; use https, or "
            "write insecure = yes",
            config_part_text(p, s));
    if (stack->token_file && !http)
        config_fault(p, line_of(s, "token_file"), "%s token_file: only for https; %s", config_part_text(p, s),
                     ssh ? "ssh takes ssh_key" : "file:// takes no credentials");
    if (stack->ssh_key && !ssh)
        config_fault(p, line_of(s, "ssh_key"), "%s ssh_key: only for ssh; %s", config_part_text(p, s),
                     http ? "https takes token_file" : "file:// takes no credentials");
    check_status(p, s, stack);
}

static void check_notify(struct config_reading *p, const struct config_part *s)
{
    struct notify_config *notify = &p->config->notify[s->index];
    if (!notify->url && !notify->url_file && !s->faulty)
        config_fault(p, s->line, "%s needs url, or url_file: where to send to", config_part_text(p, s));
    if (notify->url && notify->url_file)
        config_fault(p, line_of(s, "url_file"), "%s url_file: url is there, too; keep one of them",
                     config_part_text(p, s));
    if (notify->url && config_url_is_insecure(notify->url) && !notify->insecure)
        config_fault(p, line_of(s, "url"),
                     "%s url: plain http lets anybody on the way read it; use https, or write insecure = yes",
                     config_part_text(p, s));
    for (char **stack = notify->stacks; stack && *stack; stack++)
        if (!config_stack(p->config, *stack))
            config_fault(p, line_of(s, "stacks"), "%s stacks: there is no [stack %s]", config_part_text(p, s),
                         config_shown(p, *stack));
}

static void check_main(struct config_reading *p)
{
    static const char socket_name[] = "/control.sock";
    const struct config *config = p->config;
    size_t max = sizeof((struct sockaddr_un *)0)->sun_path;
    if (config->run_dir && strlen(config->run_dir) + sizeof socket_name > max)
        config_fault(p, 0, "[agent] run_dir: too long for the control socket in it, at most %zu bytes",
                     max - sizeof socket_name);
    if (config->run_dir && str_eq(config->run_dir, config->state_dir))
        config_fault(p, 0, "[agent] run_dir and state_dir are the same folder");
    if (config->records_postgres && config->records_postgres_file)
        config_fault(p, 0, "[records] postgres and postgres_file are both set: leave one of them out");
}

void config_finish(struct config_reading *p)
{
    for (size_t i = 0; i < n_config_sections; i++)
        if (!config_sections[i].named && !config_part_find(p, &config_sections[i], NULL)) {
            p->line = 0;
            config_part_add(p, &config_sections[i], NULL);
        }
    for (size_t i = 0; i < p->n_sections; i++)
        complete(p, &p->sections[i]);
    for (size_t i = 0; i < p->n_sections; i++)
        if (str_eq(p->sections[i].type->name, "stack"))
            check_stack(p, &p->sections[i]);
        else if (str_eq(p->sections[i].type->name, "notify"))
            check_notify(p, &p->sections[i]);
    check_main(p);
}
