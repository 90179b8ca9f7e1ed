/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/control.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "steps/hint.h"
#include "worker/drift.h"
#include "worker/lease_end.h"
#include "worker/verbs.h"
#include "worker/work.h"

/*
 * What can change without a commit: the services themselves (drift), and what the tags of their images point
 * at (follow_tags: the registry is asked once per image of the last success). With --lease also a lease that
 * a worker of an ended deployment has left.
 */

struct observation {
    struct work work;
    bool lease, lease_seen;
    struct drift_look record;
    struct drift_answer drift;
};

static int answer(const struct observation *o, const char *result, int64_t deployment, const char *message)
{
    hint(json_pack("{s:s, s:I, s:o, s:o, s:b}", "result", result, "deployment", (json_int_t)deployment,
                   "message", hint_text(message), "drift", hint_text(o->drift.news), "lease", o->lease_seen));
    return EXIT_GOOD;
}

/* What the registry has now, for the images of a success whose digests are on record. */
struct present {
    struct image_record *images; /* with the present digests; NULL: as the stack file gives it */
    size_t n;
    const char *moved; /* the first that moved, for people; NULL: none */
};

static int ask_registry(struct work *w, const struct deployment *success, struct present *ret,
                        struct error *err)
{
    struct present now = {0};
    if (journal_images(w->journal, &w->arena, success->id, &now.images, &now.n, err) < 0)
        return -1;
    for (size_t i = 0; i < now.n; i++) {
        struct image_info info;
        struct image_record *image = &now.images[i];
        if (!image->digest)
            continue;
        if (docker_distribution(w->docker, &w->arena, image->reference, &info, err) < 0)
            return error_wrap(err, "image %s", image->reference);
        json_decref(info.platforms);
        if (!now.moved && !str_eq(info.digest, image->digest))
            now.moved = arena_printf(&w->arena, "%s@%s", image->reference, info.digest);
        image->digest = info.digest;
    }
    *ret = now;
    return 0;
}

static bool has(const struct image_record *images, size_t n, const struct image_record *image)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(images[i].reference, image->reference) && str_eq(images[i].digest, image->digest))
            return true;
    return false;
}

/* A hold is on commit and digests together: the same set of digests is not tried again after it failed. */
static int was_tried(struct work *w, const struct deployment *newest, const struct present *now, bool *ret,
                     struct error *err)
{
    struct image_record *images;
    size_t n;
    if (journal_images(w->journal, &w->arena, newest->id, &images, &n, err) < 0)
        return -1;
    *ret = true;
    for (size_t i = 0; i < now->n; i++)
        *ret = *ret && (!now->images[i].digest || has(images, n, &now->images[i]));
    return 0;
}

/* ---- moved tags ---- */

static int look_at_tags(struct observation *o, struct error *err)
{
    struct work *w = &o->work;
    const struct deployment *success = &o->record.success, *newest = &o->record.newest;
    struct present now = {0};
    bool tried = false;
    int64_t id;
    if (o->record.state.hold_absolute || success->trigger == TRIGGER_ROLLBACK || w->config.act == ACT_NEVER)
        return answer(o, "nothing", 0, NULL);
    if (ask_registry(w, success, &now, err) < 0)
        return -1;
    if (!now.moved)
        return answer(o, "unchanged", 0, NULL);
    if (newest->id != success->id && was_tried(w, newest, &now, &tried, err) < 0)
        return -1;
    if (tried)
        return answer(o, "held", newest->id, "the moved tag was tried and failed");
    if (freeze_until(&w->stack->freeze, wall_us()))
        return answer(o, "held", 0, "the moved tag waits for the end of the freeze");
    struct deployment_request r = {.stack = w->stack->name,
                                   .commit = success->commit,
                                   .branch = success->branch,
                                   .subject = success->subject,
                                   .author = success->author,
                                   .trigger = TRIGGER_IMAGE,
                                   .newest_id = newest->id};
    if (journal_request(w->journal, &r, &id, err) == 0)
        return answer(o, "requested", id, now.moved);
    /* while the registry was asked, a person may have rolled back: that comes first */
    return err->kind == ERR_CONFLICT ? answer(o, "nothing", 0, NULL) : -1;
}

/* ---- both ---- */

/* *ret_idle: there is something to compare with, and nothing is under way. */
static int load_record(struct observation *o, bool *ret_idle, struct error *err)
{
    struct work *w = &o->work;
    struct drift_look *r = &o->record;
    struct deployment_filter filter = {.stack = w->stack->name, .limit = 1};
    struct deployment *list;
    size_t n;
    if (journal_last(w->journal, &w->arena, w->stack->name, DEPLOYMENT_SUCCEEDED, &r->success, err) < 0 ||
        journal_deployments(w->journal, &w->arena, &filter, &list, &n, err) < 0 ||
        journal_stack(w->journal, &w->arena, w->stack->name, &r->state, err) < 0)
        return -1;
    if (n > 0)
        r->newest = list[0];
    *ret_idle = n > 0 && r->success.id && deployment_state_ended(r->newest.state);
    return 0;
}

/* What the leader deploys is on the leader's record: only there can drift be told from a deployment. */
static int is_ours_to_judge(struct work *w, bool *ret, struct error *err)
{
    struct swarm_info swarm = {0};
    *ret = true;
    if (w->config.act != ACT_LEADER)
        return 0;
    if (docker_swarm(w->docker, &w->arena, &swarm, err) < 0)
        return -1;
    *ret = swarm.active && swarm.manager && swarm.leader;
    return 0;
}

static int look_for_drift(struct observation *o, struct error *err)
{
    bool ours = false, news;
    if (o->work.stack->drift == DRIFT_IGNORE)
        return journal_set_drift(o->work.journal, o->work.stack->name, NULL, &news, err);
    if (is_ours_to_judge(&o->work, &ours, err) < 0)
        return drift_is_unknown(err) ? 0 : -1;
    if (!ours)
        return journal_set_drift(o->work.journal, o->work.stack->name, NULL, &news, err);
    return drift_look(&o->work, &o->record, &o->drift, err);
}

static int look_at_lease(struct observation *o, struct error *err)
{
    if (!o->lease || lease_end_left(&o->work, err) == 0)
        o->lease_seen = o->lease;
    else if (!drift_is_unknown(err))
        return -1;
    return 0;
}

static int observe_once(struct observation *o, struct error *err)
{
    bool idle;
    if (work_open_journal(&o->work, JOURNAL_WRITE, err) < 0 || work_open_docker(&o->work, err) < 0 ||
        look_at_lease(o, err) < 0 || load_record(o, &idle, err) < 0)
        return -1;
    if (!idle)
        return answer(o, "nothing", 0, NULL);
    if (look_for_drift(o, err) < 0)
        return -1;
    if (o->drift.requested)
        return answer(o, "requested", o->drift.requested, "services are put back");
    if (!o->work.stack->follow_tags)
        return answer(o, "nothing", 0, NULL);
    return look_at_tags(o, err);
}

int cmd_observe(const struct verb_context *context, int argc, char **argv)
{
    struct observation o = {0};
    struct error err = {0};
    if (argc > 1 && strcmp(argv[argc - 1], "--lease") == 0) {
        o.lease = true;
        argc--;
    }
    if (argc > 2) {
        fprintf(stderr, "usage: agent-worker observe STACK [--lease]\n");
        return EXIT_BAD_USAGE;
    }
    int r = work_open(&o.work, context->config_path, &err);
    if (r == 0)
        r = work_select_stack(&o.work, argc > 1 ? argv[1] : NULL, &err);
    if (r == 0)
        r = observe_once(&o, &err);
    if (r < 0)
        answer(&o, "error", 0, err.text);
    work_close(&o.work);
    return r < 0 ? EXIT_FAILED : EXIT_GOOD;
}
