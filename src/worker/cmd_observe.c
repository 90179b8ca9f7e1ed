/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/control.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "steps/hint.h"
#include "worker/verbs.h"
#include "worker/work.h"

/* follow_tags: asks the registry once per image of the last success whether its tag points elsewhere now. */

static int answer(const char *result, int64_t deployment, const char *message)
{
    hint(json_pack("{s:s, s:I, s:s?}", "result", result, "deployment", (json_int_t)deployment, "message",
                   message));
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

static int observe_once(struct work *w, struct error *err)
{
    struct deployment success = {0}, *list;
    struct deployment_filter filter = {.stack = w->stack->name, .limit = 1};
    struct stack_state state;
    size_t n;
    struct present now = {0};
    bool tried = false;
    int64_t id;
    if (work_open_journal(w, JOURNAL_WRITE, err) < 0 || work_open_docker(w, err) < 0 ||
        journal_last(w->journal, &w->arena, w->stack->name, DEPLOYMENT_SUCCEEDED, &success, err) < 0 ||
        journal_deployments(w->journal, &w->arena, &filter, &list, &n, err) < 0 ||
        journal_stack(w->journal, &w->arena, w->stack->name, &state, err) < 0)
        return -1;
    if (success.id == 0 || n == 0 || !deployment_state_ended(list[0].state) || state.hold_absolute ||
        success.trigger == TRIGGER_ROLLBACK || w->config.act == ACT_NEVER)
        return answer("nothing", 0, NULL);
    if (ask_registry(w, &success, &now, err) < 0)
        return -1;
    if (!now.moved)
        return answer("unchanged", 0, NULL);
    if (list[0].id != success.id && was_tried(w, &list[0], &now, &tried, err) < 0)
        return -1;
    if (tried)
        return answer("held", list[0].id, "the moved tag was tried and failed");
    struct deployment_request r = {.stack = w->stack->name,
                                   .commit = success.commit,
                                   .branch = success.branch,
                                   .subject = success.subject,
                                   .author = success.author,
                                   .trigger = TRIGGER_IMAGE};
    if (journal_request(w->journal, &r, &id, err) < 0)
        return -1;
    return answer("requested", id, now.moved);
}

int cmd_observe(const struct verb_context *context, int argc, char **argv)
{
    struct work work;
    struct error err = {0};
    if (argc > 2) {
        fprintf(stderr, "usage: agent-worker observe STACK\n");
        return EXIT_BAD_USAGE;
    }
    int r = work_open(&work, context->config_path, &err);
    if (r == 0)
        r = work_select_stack(&work, argc > 1 ? argv[1] : NULL, &err);
    if (r == 0)
        r = observe_once(&work, &err);
    if (r < 0)
        answer("error", 0, err.text);
    work_close(&work);
    return r < 0 ? EXIT_FAILED : EXIT_GOOD;
}
