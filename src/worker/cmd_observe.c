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

static int find_moved(struct work *w, const struct deployment *success, const char **ret_moved,
                      struct error *err)
{
    struct image_record *images;
    size_t n;
    *ret_moved = NULL;
    if (journal_images(w->journal, &w->arena, success->id, &images, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n && !*ret_moved; i++) {
        struct image_info info;
        if (!images[i].digest)
            continue;
        if (docker_distribution(w->docker, &w->arena, images[i].reference, &info, err) < 0)
            return error_wrap(err, "image %s", images[i].reference);
        json_decref(info.platforms);
        if (!str_eq(info.digest, images[i].digest))
            *ret_moved = arena_printf(&w->arena, "%s@%s", images[i].reference, info.digest);
    }
    return 0;
}

/* A hold is on commit and digests together: the same digests are not tried again after they failed. */
static bool tried(struct work *w, const struct deployment *newest, const char *moved, struct error *err)
{
    struct image_record *images;
    size_t n;
    if (journal_images(w->journal, &w->arena, newest->id, &images, &n, err) < 0)
        return true;
    for (size_t i = 0; i < n; i++)
        if (images[i].digest &&
            str_eq(arena_printf(&w->arena, "%s@%s", images[i].reference, images[i].digest), moved))
            return true;
    return false;
}

static int observe_once(struct work *w, struct error *err)
{
    struct deployment success = {0}, *list;
    struct deployment_filter filter = {.stack = w->stack->name, .limit = 1};
    struct stack_state state;
    size_t n;
    const char *moved;
    int64_t id;
    if (work_open_journal(w, JOURNAL_WRITE, err) < 0 || work_open_docker(w, err) < 0 ||
        journal_last(w->journal, &w->arena, w->stack->name, DEPLOYMENT_SUCCEEDED, &success, err) < 0 ||
        journal_deployments(w->journal, &w->arena, &filter, &list, &n, err) < 0 ||
        journal_stack(w->journal, &w->arena, w->stack->name, &state, err) < 0)
        return -1;
    if (success.id == 0 || n == 0 || !deployment_state_ended(list[0].state) || state.hold_absolute ||
        success.trigger == TRIGGER_ROLLBACK || w->config.act == ACT_NEVER)
        return answer("nothing", 0, NULL);
    if (find_moved(w, &success, &moved, err) < 0)
        return -1;
    if (!moved)
        return answer("unchanged", 0, NULL);
    if (list[0].id != success.id && tried(w, &list[0], moved, err))
        return answer("held", list[0].id, "the moved tag was tried and failed");
    struct deployment_request r = {.stack = w->stack->name,
                                   .commit = success.commit,
                                   .branch = success.branch,
                                   .subject = success.subject,
                                   .author = success.author,
                                   .trigger = TRIGGER_IMAGE};
    if (journal_request(w->journal, &r, &id, err) < 0)
        return -1;
    return answer("requested", id, moved);
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
