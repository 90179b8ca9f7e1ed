/* SPDX-License-Identifier: Apache-2.0 */
#include "steps/lease.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/fault.h"
#include "agent/log.h"
#include "agent/spec.h"
#include "agent/step.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "stack/base64.h"

const int64_t lease_patience_us = 30 * US_PER_S;
/* Several beats fit into the patience: one may be late, another lost. */
static const int64_t beat_us = 5 * US_PER_S;
/* What was confirmed just now is not asked again for each of several effects in a row. Far below the
 * patience. */
static const int64_t fresh_us = US_PER_S;
/* A beat is written from within other waits: an engine that does not answer must not hold them up. */
static const int64_t request_limit_us = 5 * US_PER_S;

#define LABEL_LEASE       "deploy-agent.lease" /* held, free */
#define LABEL_LEASE_NODE  "deploy-agent.lease-node"
#define LABEL_LEASE_NAME  "deploy-agent.lease-node-name"
#define LABEL_LEASE_FROM  "deploy-agent.lease-from"
#define LABEL_LEASE_DONE  "deploy-agent.lease-done"
#define LABEL_LEASE_HELD  "deploy-agent.lease-held-commit"
#define LABEL_LEASE_WHY   "deploy-agent.lease-held-why"
#define LABEL_LEASE_BEATS "deploy-agent.lease-beats"

/* ---- pure ---- */

static const char *label(struct arena *arena, const json_t *config, const char *name)
{
    const char *text = json_path_string(config, "Spec", "Labels", name, NULL);
    return arena_strdup(arena, text ? text : "");
}

struct lease_record lease_read(struct arena *arena, const json_t *config)
{
    return (struct lease_record){
        .id = arena_strdup(arena, json_path_string(config, "ID", NULL)),
        .version = (uint64_t)json_path_integer(config, 0, "Version", "Index", NULL),
        .held = str_eq(label(arena, config, LABEL_LEASE), "held"),
        .deployment = label(arena, config, LABEL_DEPLOYMENT),
        .node_id = label(arena, config, LABEL_LEASE_NODE),
        .node_name = label(arena, config, LABEL_LEASE_NAME),
        .from = label(arena, config, LABEL_LEASE_FROM),
        .done = label(arena, config, LABEL_LEASE_DONE),
        .held_commit = label(arena, config, LABEL_LEASE_HELD),
        .held_why = label(arena, config, LABEL_LEASE_WHY),
    };
}

bool lease_is_of(const struct lease_record *record, const struct lease_owner *owner)
{
    return record->id && label_own_deployment(record->deployment, owner->host_id) &&
           str_eq(record->node_id, owner->node_id);
}

enum lease_standing lease_judge(const struct lease_record *record, const struct lease_owner *owner,
                                struct lease_sight *sight, int64_t now_us)
{
    if (!record->id || !record->held)
        return LEASE_FREE;
    /* two workers of one agent are kept apart by the stack's lock: the other one is dead */
    if (lease_is_of(record, owner))
        return LEASE_OURS;
    if (record->version != sight->version)
        *sight = (struct lease_sight){.version = record->version, .since_us = now_us};
    return now_us - sight->since_us >= lease_patience_us ? LEASE_EXPIRED : LEASE_HELD;
}

bool lease_lists(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = list; len && (at = strstr(at, word)); at += len)
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
            return true;
    return false;
}

const char *lease_holder(struct arena *arena, const struct lease_record *record)
{
    const char *name = record->node_name, *slash = strchr(record->deployment, '/');
    name = *name ? str_clean(arena, name, strlen(name), true, 64) : "another node";
    if (!slash)
        return arena_printf(arena, "the agent on %s", name);
    return arena_printf(arena, "the agent on %s (its deployment #%s)", name,
                        str_clean(arena, slash + 1, strlen(slash + 1), true, 24));
}

/* ---- the object ---- */

struct lease {
    struct arena arena;
    struct docker *docker;
    const char *name, *stack, *deployment, *node_name, *commit;
    /* what it is to say, see struct lease_record */
    const char *from, *done, *held_commit, *held_why;
    struct lease_owner owner;
    struct lease_sight sight;
    enum lease_standing standing; /* at the last look, as what follows */
    struct lease_record seen;
    struct arena looks; /* its strings */
    json_int_t beats;
    int64_t confirmed_us, next_beat_us;
    bool taken, busy, told;
    const char *lost_to; /* NULL: it is not */
};

int lease_open(const struct lease_options *options, struct lease **ret, struct error *err)
{
    struct lease *lease = calloc(1, sizeof *lease);
    if (!lease)
        abort();
    if (docker_open(options->engine, NULL, &lease->docker, err) < 0) {
        lease_close(lease);
        return -1;
    }
    docker_set_limit(lease->docker, request_limit_us);
    lease->stack = arena_strdup(&lease->arena, options->stack);
    /* a stack's own configs have an underscore after its name, and it has no dot itself */
    lease->name = arena_printf(&lease->arena, "%s.deploy-agent", options->stack);
    lease->deployment = arena_printf(&lease->arena, "%s/%" PRId64, options->host_id, options->deployment);
    lease->owner.host_id = arena_strdup(&lease->arena, options->host_id);
    lease->commit = arena_strdup(&lease->arena, options->commit);
    lease->owner.node_id = lease->node_name = lease->from = lease->done = "";
    lease->held_commit = lease->held_why = "";
    *ret = lease;
    return 0;
}

void lease_close(struct lease *lease)
{
    if (!lease)
        return;
    docker_close(lease->docker);
    arena_release(&lease->looks);
    arena_release(&lease->arena);
    free(lease);
}

/* *ret_config is a new reference; NULL: there is none. */
static int look(struct lease *lease, struct arena *arena, struct lease_record *ret, json_t **ret_config,
                struct error *err)
{
    *ret = (struct lease_record){0};
    *ret_config = NULL;
    if (docker_config(lease->docker, lease->name, ret_config, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    *ret = lease_read(arena, *ret_config);
    return 0;
}

static json_t *labels(struct lease *lease, bool held)
{
    cleanup_arena struct arena arena = {0};
    const char *beats = arena_printf(&arena, "%" JSON_INTEGER_FORMAT, ++lease->beats);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", LABEL_STACK, lease->stack,
                     LABEL_LEASE, held ? "held" : "free", LABEL_DEPLOYMENT, lease->deployment,
                     LABEL_LEASE_NODE, lease->owner.node_id, LABEL_LEASE_NAME, lease->node_name,
                     LABEL_LEASE_FROM, lease->from, LABEL_LEASE_DONE, lease->done, LABEL_LEASE_HELD,
                     lease->held_commit, LABEL_LEASE_WHY, lease->held_why, LABEL_LEASE_BEATS, beats);
}

/* Only labels of a config can ever change. ERR_CONFLICT: somebody wrote first. */
static int put(struct lease *lease, const json_t *config, bool held, struct error *err)
{
    static const char data[] = "Which agent deploys this stack: see the labels.\n";
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *body = NULL;
    cleanup_free char *id = NULL;
    int64_t now = mono_us();
    if (config) {
        uint64_t version = (uint64_t)json_path_integer(config, 0, "Version", "Index", NULL);
        body = json_deep_copy(json_object_get(config, "Spec"));
        json_object_set_new(body, "Labels", labels(lease, held));
        if (docker_config_update(lease->docker, json_path_string(config, "ID", NULL), version, body, err) < 0)
            return -1;
    } else {
        body = json_pack("{s:s, s:s, s:o}", "Name", lease->name, "Data",
                         base64_encode(&arena, data, strlen(data)), "Labels", labels(lease, held));
        if (docker_config_create(lease->docker, body, &id, err) < 0)
            return -1;
    }
    /* as of before the request: no waiter has seen the new version earlier */
    lease->confirmed_us = now;
    lease->next_beat_us = now + beat_us;
    return 0;
}

/* ---- taking ---- */

int lease_look(struct lease *lease, const struct swarm_info *node, bool begun, struct error *err)
{
    cleanup_json json_t *config = NULL;
    cleanup_arena struct arena arena = {0};
    if (!str_eq(lease->owner.node_id, node->node_id)) {
        lease->owner.node_id = arena_strdup(&lease->arena, node->node_id);
        lease->node_name = arena_strdup(&lease->arena, node->node_name ? node->node_name : "");
    }
    arena_release(&lease->looks);
    if (look(lease, &lease->looks, &lease->seen, &config, err) < 0)
        return -1;
    lease->standing = lease_judge(&lease->seen, &lease->owner, &lease->sight, mono_us());
    if (lease->standing == LEASE_HELD)
        return error_set(err, ERR_UNAVAILABLE, 0, "stack %s is being deployed by %s", lease->stack,
                         lease_holder(&arena, &lease->seen));
    if (begun && lease->seen.id && !lease_is_of(&lease->seen, &lease->owner))
        return error_set(err, ERR_CONFLICT, LEASE_PASSED, "by %s, which has taken the stack over since",
                         lease_holder(&arena, &lease->seen));
    return 0;
}

static const char *append(struct lease *lease, const char *list, const char *word)
{
    return lease_lists(list, word) ? list
                                   : arena_printf(&lease->arena, "%s%s%s", list, *list ? " " : "", word);
}

/* Jobs are named by their commit: what another agent has deployed to its end is found, too. */
static void inherit_jobs(struct lease *lease)
{
    const struct lease_record *seen = &lease->seen;
    if (lease->standing != LEASE_FREE || !seen->id || lease_is_of(seen, &lease->owner) || !lease->commit)
        return;
    const char *end = arena_printf(&lease->arena, "_%.12s", lease->commit);
    for (const char *at = seen->done; *at;) {
        const char *word = arena_strndup(&lease->arena, at, strcspn(at, " "));
        if (str_ends(word, end))
            lease->done = append(lease, lease->done, word);
        at += strlen(word) + (at[strlen(word)] == ' ');
    }
}

/* What others have done whose work this goes on with, and dead workers of this deployment. */
static void inherit(struct lease *lease)
{
    const struct lease_record *seen = &lease->seen;
    bool goes_on = lease->standing == LEASE_OURS && str_eq(seen->deployment, lease->deployment);
    inherit_jobs(lease);
    if (lease->standing != LEASE_EXPIRED && !goes_on)
        return;
    lease->from = arena_strdup(&lease->arena, seen->from);
    lease->done = arena_strdup(&lease->arena, seen->done);
    if (!goes_on)
        lease->from = append(lease, lease->from, seen->deployment);
}

static void tell(const struct lease *lease)
{
    cleanup_arena struct arena arena = {0};
    if (lease->standing == LEASE_EXPIRED)
        log_warning("taking stack %s over from %s, which has not been heard of for %d s: what it has done is "
                    "looked at anew",
                    lease->stack, lease_holder(&arena, &lease->seen), (int)(lease_patience_us / US_PER_S));
    else
        log_debug("lease of stack %s taken", lease->stack);
}

int lease_take(struct lease *lease, struct error *err)
{
    cleanup_json json_t *config = NULL;
    cleanup_arena struct arena arena = {0};
    struct lease_record now;
    fault_point("lease.take");
    if (look(lease, &arena, &now, &config, err) < 0)
        return -1;
    /* ours already: a dead worker's, or one whose answer was lost on the way */
    bool ours = now.held && str_eq(now.deployment, lease->deployment) && lease_is_of(&now, &lease->owner);
    if (!ours && (now.version != lease->seen.version || !str_eq(now.id, lease->seen.id)))
        return error_set(err, ERR_CONFLICT, LEASE_MOVED, "another agent has deployed stack %s meanwhile",
                         lease->stack);
    inherit(lease);
    if (put(lease, config, true, err) < 0) {
        if (err->kind == ERR_CONFLICT)
            err->code = LEASE_MOVED;
        return -1;
    }
    lease->taken = true;
    tell(lease);
    fault_point("lease.taken");
    return 0;
}

/* ---- holding ---- */

bool lease_is_lost(const struct lease *lease, struct error *err)
{
    if (!lease || !lease->lost_to)
        return false;
    if (err)
        (void)error_set(err, ERR_CANCELLED, STOP_LEASE,
                        "stack %s was taken over by %s; nothing was put back, and that one goes on from what "
                        "it finds",
                        lease->stack, lease->lost_to);
    return true;
}

/* A beat; or the finding that the lease is another's. */
static int beat_once(struct lease *lease, struct error *err)
{
    cleanup_json json_t *config = NULL;
    cleanup_arena struct arena arena = {0};
    struct lease_record now;
    if (look(lease, &arena, &now, &config, err) < 0)
        return -1;
    /* an object that somebody removed is made again: of two that try, one is refused */
    if (config && !(now.held && lease_is_of(&now, &lease->owner))) {
        lease->lost_to = arena_strdup(&lease->arena, lease_holder(&arena, &now));
        (void)lease_is_lost(lease, err);
        return -1;
    }
    if (put(lease, config, true, err) < 0)
        return -1;
    fault_point("lease.renewed");
    return 0;
}

static int beat(struct lease *lease, struct error *err)
{
    lease->busy = true; /* the requests themselves give signs of life */
    int r = beat_once(lease, err);
    /* somebody wrote between the two: looking again tells who */
    if (r < 0 && err->kind == ERR_CONFLICT)
        r = beat_once(lease, err);
    if (r < 0 && err->kind == ERR_CONFLICT)
        err->kind = ERR_UNAVAILABLE;
    lease->busy = false;
    return r;
}

int lease_confirm(struct lease *lease, struct error *err)
{
    if (!lease || !lease->taken)
        return 0;
    if (lease_is_lost(lease, err))
        return -1;
    return mono_us() - lease->confirmed_us < fresh_us ? 0 : beat(lease, err);
}

void lease_keep(struct lease *lease)
{
    struct error err = {0};
    if (!lease || !lease->taken || lease->busy || lease->lost_to || mono_us() < lease->next_beat_us)
        return;
    lease->next_beat_us = mono_us() + beat_us;
    bool beaten = beat(lease, &err) == 0;
    if (!beaten && !lease->told)
        log_debug("lease of stack %s: %s", lease->stack, err.text);
    lease->told = !beaten;
}

bool lease_inherits(const struct lease *lease, const char *deployment)
{
    return lease && lease->taken && deployment && lease_lists(lease->from, deployment);
}

bool lease_doubts(const struct lease *lease, const char *deployment)
{
    if (!lease || !lease->seen.id || !deployment)
        return false;
    const struct lease_record *seen = &lease->seen;
    bool no_end = lease->standing == LEASE_EXPIRED || *seen->held_commit;
    return no_end && (str_eq(seen->deployment, deployment) || lease_lists(seen->from, deployment));
}

bool lease_job_is_done(const struct lease *lease, const char *job)
{
    return lease && lease->taken && lease_lists(lease->done, job);
}

int lease_note_job(struct lease *lease, const char *job, struct error *err)
{
    if (!lease || !lease->taken || lease_lists(lease->done, job))
        return 0;
    if (lease_is_lost(lease, err))
        return -1;
    const char *before = lease->done;
    lease->done = append(lease, before, job);
    if (beat(lease, err) == 0) {
        fault_point("lease.noted");
        return 0;
    }
    lease->done = before; /* whether it was written is not known: to be said again */
    return -1;
}

static int give_once(struct lease *lease, struct error *err)
{
    cleanup_json json_t *config = NULL;
    cleanup_arena struct arena arena = {0};
    struct lease_record now;
    if (look(lease, &arena, &now, &config, err) < 0)
        return -1;
    if (!config || !now.held || !lease_is_of(&now, &lease->owner) ||
        !str_eq(now.deployment, lease->deployment))
        return 0; /* somebody was faster */
    return put(lease, config, false, err);
}

void lease_give(struct lease *lease, const char *held_commit, const char *why)
{
    struct error err = {0};
    int r;
    if (!lease || !lease->taken || lease->lost_to)
        return;
    lease->taken = false;
    if (held_commit) {
        lease->held_commit = arena_strdup(&lease->arena, held_commit);
        lease->held_why = arena_strdup(&lease->arena, why);
    }
    for (int64_t until = mono_us() + lease_patience_us; (r = give_once(lease, &err)) < 0;
         step_sleep(fresh_us))
        if (err.kind == ERR_REFUSED || proc_stop_requested() || mono_us() >= until)
            break;
    if (r < 0)
        log_info("the lease of stack %s could not be given back now: %s", lease->stack, err.text);
    fault_point("lease.given");
}

bool lease_is_anothers(const struct lease *lease)
{
    return lease->standing == LEASE_HELD;
}

int64_t lease_left(const struct lease *lease)
{
    return lease->standing == LEASE_OURS ? label_own_deployment(lease->seen.deployment, lease->owner.host_id)
                                         : 0;
}

void lease_take_left(struct lease *lease)
{
    const struct lease_record *seen = &lease->seen;
    if (lease->standing != LEASE_OURS)
        return;
    lease->deployment = arena_strdup(&lease->arena, seen->deployment);
    lease->from = arena_strdup(&lease->arena, seen->from);
    lease->done = arena_strdup(&lease->arena, seen->done);
    lease->taken = true;
}

int lease_check_hold(const struct lease *lease, const char *commit, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    const struct lease_record *seen = &lease->seen;
    if (!seen->id || seen->held || !*seen->held_commit || !str_eq(seen->held_commit, commit) ||
        lease_is_of(seen, &lease->owner))
        return 0;
    return error_set(err, ERR_REFUSED, 0,
                     "commit %.7s is held since %s has deployed the stack: %s; agentctl retry %s, "
                     "or push a new commit",
                     commit, lease_holder(&arena, seen),
                     str_clean(&arena, seen->held_why, strlen(seen->held_why), true, 64), lease->stack);
}
