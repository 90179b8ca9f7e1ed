/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agent/control.h"
#include "base/cleanup.h"
#include "worker/prepare.h"
#include "worker/verbs.h"

static int show_plan(struct work *work, const char *commit, bool json, struct error *err)
{
    struct prepared prepared;
    char tip[COMMIT_HEX_SIZE];
    if (work_open_journal(work, JOURNAL_WRITE, err) < 0 || work_open_docker(work, err) < 0 ||
        work_open_repo(work, err) < 0)
        return -1;
    /* the newest commit, unless one is named that the mirror has */
    if (!commit || !repo_has_commit(work->repo, commit)) {
        if (repo_tip(work->stack, tip, err) < 0 ||
            (!repo_has_commit(work->repo, tip) && repo_fetch(work->repo, tip, err) < 0))
            return -1;
        if (!commit)
            commit = tip;
    }
    struct prepare_request request = {.work = work, .commit = commit};
    if (prepare(&request, &prepared, err) < 0)
        return -1;
    if (json) {
        json_dumpf(prepared.plan.json, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        fputs(plan_text(&prepared.arena, prepared.plan.json), stdout);
    }
    bool empty = prepared.plan.empty;
    prepared_release(&prepared);
    return empty ? EXIT_GOOD : EXIT_CHANGES;
}

int cmd_plan(const struct verb_context *context, int argc, char **argv)
{
    struct work work;
    struct error err = {0};
    const char *stack = NULL, *commit = NULL;
    bool json = false, bad = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--commit") == 0 && i + 1 < argc)
            commit = argv[++i];
        else if (argv[i][0] != '-' && !stack)
            stack = argv[i];
        else
            bad = true;
    }
    if (bad) {
        fprintf(stderr, "usage: agent-worker plan STACK [--commit C] [--json]\n");
        return EXIT_BAD_USAGE;
    }
    int r = work_open(&work, context->config_path, &err);
    if (r == 0)
        r = work_select_stack(&work, stack, &err);
    if (r == 0)
        r = show_plan(&work, commit, json, &err);
    if (r < 0)
        fprintf(stderr, "%s\n", err.text);
    work_close(&work);
    return r < 0 ? EXIT_FAILED : r;
}
