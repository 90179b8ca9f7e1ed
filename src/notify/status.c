/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent/notifier.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "notify/json.h"

/* The status beside a commit at its forge: what a deployment is at, in the forge's words. */

static const struct forge_kind *const forges[] = {
    [FORGE_GITHUB] = &forge_github,
    [FORGE_GITLAB] = &forge_gitlab,
    [FORGE_GITEA] = &forge_gitea,
};

static const struct {
    const char *state;
    enum commit_status status;
    const char *words;
} meanings[] = {
    {"running", STATUS_PENDING, "deploying"},
    {"succeeded", STATUS_SUCCESS, "deployed"},
    {"failed", STATUS_FAILURE, "failed"},
    {"rolled_back", STATUS_FAILURE, "rolled back"},
    {"halted", STATUS_FAILURE, "halted half way"},
    {"cancelled", STATUS_FAILURE, "cancelled"},
    {"stuck", STATUS_FAILURE, "stuck"},
    {"superseded", STATUS_SUPERSEDED, "superseded"},
};

bool status_is_news(const struct notice *notice, const struct verdict *told, struct verdict *ret)
{
    const struct deployment *d = &notice->deployment;
    bool same_commit = str_eq(told->commit, d->commit);
    *ret = (struct verdict){d->stack, d->commit, notice->state};
    if (str_eq(notice->state, "superseded") && !(same_commit && str_eq(told->state, "running")))
        return false;
    return !same_commit || !str_eq(told->state, notice->state);
}

/* At most max characters, the last of them … when it was longer. */
static const char *shorten(struct arena *arena, const char *text, size_t max)
{
    size_t characters = 0;
    const char *cut = text;
    for (const char *p = text; *p; p++) {
        if (((unsigned char)*p & 0xc0) == 0x80)
            continue;
        if (characters + 1 == max)
            cut = p;
        if (++characters > max)
            return arena_printf(arena, "%.*s…", (int)(cut - text), text);
    }
    return text;
}

static const char *make_body(struct arena *arena, const struct forge_kind *forge, enum commit_status status,
                             const char *words, const struct notice *n)
{
    const struct deployment *d = &n->deployment;
    const char *text =
        n->reason && status != STATUS_PENDING ? arena_printf(arena, "%s: %s", words, n->reason) : words;
    json_t *o = json_pack("{s:s, s:s}", "state", forge->states[status], "description",
                          shorten(arena, text, forge->description_max));
    json_object_set_new(o, forge->name_key, json_string(arena_printf(arena, "deploy-agent/%s", d->stack)));
    if (n->link)
        json_object_set_new(o, "target_url", json_string(n->link));
    return json_take(arena, o);
}

int status_make(struct arena *arena, const struct stack_config *stack, const char *token,
                const struct notice *notice, struct message *ret)
{
    const struct forge_kind *forge = forges[stack->forge];
    const char *commit = notice->deployment.commit;
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        if (!str_eq(meanings[i].state, notice->state))
            continue;
        *ret = (struct message){
            .url =
                arena_printf(arena, "%s/%s", stack->status_url, forge->path(arena, stack->project, commit)),
            .headers = {"Content-Type: application/json",
                        arena_printf(arena, "Idempotency-Key: %s", notice->id),
                        arena_printf(arena, "%s%s", forge->token_header, token), forge->accept},
            .body = make_body(arena, forge, meanings[i].status, meanings[i].words, notice),
            .ca_file = stack->ca_file,
        };
        return 0;
    }
    return -1;
}
