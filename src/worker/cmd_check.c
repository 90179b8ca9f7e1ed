/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"
#include "worker/check.h"
#include "worker/verbs.h"

/* ---- lines ---- */

static void __attribute__((format(printf, 3, 0)))
print_line(const char *word, const char *mend, const char *format, va_list ap)
{
    cleanup_arena struct arena arena = {0};
    cleanup_free char *text = NULL;
    if (vasprintf(&text, format, ap) < 0)
        abort();
    const char *line = mend ? arena_printf(&arena, "%s; %s", text, mend) : text;
    const char *shown = secret_redact(&arena, line);
    printf("%-4s  %s\n", word, str_clean(&arena, shown, strlen(shown), false, 0));
}

void check_good(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    print_line("ok", NULL, format, ap);
    va_end(ap);
}

void check_note(const char *mend, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    print_line("note", mend, format, ap);
    va_end(ap);
}

void check_fail(struct check *check, const char *mend, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    print_line("FAIL", mend, format, ap);
    va_end(ap);
    check->failed++;
}

/* ---- stacks ---- */

static int fetch_tip(struct work *work, char tip[COMMIT_HEX_SIZE], struct error *err)
{
    if (repo_tip(work->stack, tip, err) < 0 || work_open_repo(work, err) < 0)
        return -1;
    return repo_has_commit(work->repo, tip) ? 0 : repo_fetch(work->repo, tip, err);
}

static void check_commit(struct check *check, const char *tip)
{
    const struct stack_config *config = check->work.stack;
    struct snapshot snapshot;
    struct error err = {0};
    if (snapshot_load(&check->work, tip, &snapshot, &err) < 0) {
        check_fail(check, mend_commit(&check->work.arena, config, &err), "stack %s: %s", config->name,
                   err.text);
        return;
    }
    check_good("stack %s: %s is valid, %zu services", config->name, config->files[0],
               snapshot.manifest.stack->n_services);
    check_images(check, snapshot.manifest.stack);
    check_database(check, &snapshot);
    snapshot_release(&snapshot);
}

/* The zone is what one gets wrong. */
static void check_freeze(const struct stack_config *config)
{
    cleanup_arena struct arena arena = {0};
    int64_t now = wall_us(), until = freeze_until(&config->freeze, now);
    if (config->freeze.n > 0)
        check_good("stack %s: freeze %s; by these clocks it is %s, %s%s", config->name, config->freeze.text,
                   local_minute(&arena, now), until ? "frozen until " : "not frozen",
                   until ? local_minute(&arena, until) : "");
}

static void check_stack(struct check *check, const struct stack_config *config)
{
    struct work *work = &check->work;
    struct error err = {0};
    char tip[COMMIT_HEX_SIZE];
    work->stack = config;
    check_freeze(config);
    bool env = check_secret_file(check, "env_file", config->env_file),
         token = check_secret_file(check, "token_file", config->token_file),
         key = check_secret_file(check, "ssh_key", config->ssh_key);
    check_secret_file(check, "status_token_file", config->status_token_file);
    check_webhook(check, config);
    if (!token || !key) /* what follows from it is not told again */
        return;
    if (fetch_tip(work, tip, &err) < 0) {
        check_fail(check, mend_repository(&work->arena, config, work->config.path, &err),
                   "stack %s: repository: %s", config->name, err.text);
    } else {
        check_good("stack %s: branch %s of %s is at %.12s", config->name, config->branch, config->repository,
                   tip);
        if (env)
            check_commit(check, tip);
    }
    repo_close(work->repo);
    work->repo = NULL;
}

/* ---- the verb ---- */

static void check_all(struct check *check, const char *config_path, const char *only)
{
    struct work *work = &check->work;
    check_user(check, config_path);
    check_state_dir(check);
    work->salt = ""; /* hashes are not compared here */
    check_secret_file(check, "auth_file", work->config.registry_auth_file);
    check_engine(check);
    check_receivers(check);
    if (work->config.n_stacks == 0)
        check_fail(
            check, mend_edit(&work->arena, work->config.path),
            "no stack is configured: agent.conf needs a section [stack NAME] with repository and file");
    for (size_t i = 0; i < work->config.n_stacks; i++)
        if (!only || str_eq(work->config.stacks[i].name, only))
            check_stack(check, &work->config.stacks[i]);
    check_agentd(check);
}

int cmd_check(const struct verb_context *context, int argc, char **argv)
{
    struct check check = {0};
    struct error err = {0};
    cleanup_arena struct arena arena = {0};
    const char *only = argc == 2 ? argv[1] : NULL;
    if (argc > 2) {
        fprintf(stderr, "usage: agent-worker check [STACK]\n");
        return EXIT_BAD_USAGE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (work_open(&check.work, context->config_path, &err) < 0) {
        check_fail(&check, mend_config(&arena, context->config_path, &err), "configuration: %s", err.text);
        return EXIT_FAILED;
    }
    check_good("configuration %s: %zu stack%s", check.work.config.path, check.work.config.n_stacks,
               check.work.config.n_stacks == 1 ? "" : "s");
    if (only && work_select_stack(&check.work, only, &err) < 0)
        check_fail(&check, mend_edit(&check.work.arena, check.work.config.path), "%s", err.text);
    else
        check_all(&check, context->config_path, only);
    work_close(&check.work);
    return check.failed ? EXIT_FAILED : EXIT_GOOD;
}
