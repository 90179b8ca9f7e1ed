/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/control.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "worker/snapshot.h"
#include "worker/verbs.h"
#include "worker/work.h"

/* Each thing the configuration names, tried for real; one line each, with what mends it. */

struct report {
    unsigned failed;
};

static void good(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void bad(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void good(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("ok    ", stdout);
    vprintf(format, ap);
    putchar('\n');
    va_end(ap);
}

static void bad(struct report *report, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("FAIL  ", stdout);
    vprintf(format, ap);
    putchar('\n');
    va_end(ap);
    report->failed++;
}

/* No failure yet: the line is there to be seen, and the exit code stays. */
static void check_space(const struct work *work)
{
    cleanup_arena struct arena arena = {0};
    struct fs_space space;
    struct error ignored = {0};
    if (fs_space(work->config.state_dir, &space, &ignored) == 0 && fs_space_is_low(&space))
        printf("note  the disk of %s is nearly full: %s; when it is full, nothing is deployed\n",
               work->config.state_dir, fs_space_text(&arena, &space));
}

static void check_state_dir(struct work *work, struct report *report)
{
    struct error err = {0};
    struct arena arena = {0};
    const char *probe = arena_printf(&arena, "%s/.check", work->config.state_dir);
    if (fs_mkdir(work->config.state_dir, 0750, &err) < 0 || fs_write_atomic(probe, "ok\n", 3, 0600, &err) < 0)
        bad(report, "state_dir: %s; it must belong to the agent's user", err.text);
    else
        good("state_dir %s can be written", work->config.state_dir);
    check_space(work);
    unlink(probe);
    arena_release(&arena);
}

static void check_engine(struct work *work, struct report *report)
{
    struct error err = {0};
    struct swarm_info swarm = {0};
    if (work_open_docker(work, &err) < 0 || docker_swarm(work->docker, &work->arena, &swarm, &err) < 0)
        bad(report, "engine %s: %s; is the agent's user in group docker?", work->config.docker, err.text);
    else if (!swarm.active || !swarm.manager)
        bad(report,
            "engine %s: this node is not a swarm manager; run the agent on a manager, or: docker swarm init",
            work->config.docker);
    else
        good("engine %s, API %s: manager%s, availability %s", swarm.engine_version,
             docker_api_version(work->docker),
             swarm.leader                     ? " and leader"
             : work->config.act == ACT_LEADER ? ", not the leader (act = leader: it would wait)"
                                              : "",
             swarm.availability);
}

static void check_private(const char *what, const char *path, struct report *report)
{
    struct error err = {0};
    struct arena arena = {0};
    char *text;
    size_t len;
    if (!path)
        return;
    if (fs_read_private(&arena, path, 1024 * 1024, &text, &len, &err) < 0)
        bad(report, "%s: %s", what, err.text);
    else
        good("%s %s is readable and closed to others", what, path);
    arena_release(&arena);
}

static int fetch_tip(struct work *work, char tip[COMMIT_HEX_SIZE], struct error *err)
{
    if (repo_tip(work->stack, tip, err) < 0 || work_open_repo(work, err) < 0)
        return -1;
    return repo_has_commit(work->repo, tip) ? 0 : repo_fetch(work->repo, tip, err);
}

static void check_images(struct work *work, const struct stack *stack, struct report *report)
{
    for (size_t i = 0; work->docker && i < stack->n_services; i++) {
        const struct stack_service *service = &stack->services[i];
        struct error err = {0};
        struct image_info info = {0};
        struct image_ref ref;
        bool repeated = false;
        for (size_t j = 0; j < i; j++)
            repeated |= strcmp(stack->services[j].image, service->image) == 0;
        if (repeated || image_ref_parse(&work->arena, service->image, &ref, &err) < 0)
            continue;
        if (docker_distribution(work->docker, &work->arena, ref.familiar, &info, &err) < 0)
            bad(report, "image %s: %s%s", ref.familiar, err.text,
                err.kind == ERR_REFUSED && !docker_has_auth(work->docker, ref.familiar)
                    ? "; there are no credentials for this registry in auth_file"
                    : "");
        else
            good("image %s is %.19s", ref.familiar, info.digest);
        json_decref(info.platforms);
    }
}

/* The zone is what one gets wrong. */
static void check_freeze(const struct stack_config *config)
{
    cleanup_arena struct arena arena = {0};
    int64_t now = wall_us(), until = freeze_until(&config->freeze, now);
    if (config->freeze.n > 0)
        good("stack %s: freeze %s; by these clocks it is %s, %s%s", config->name, config->freeze.text,
             local_minute(&arena, now), until ? "frozen until " : "not frozen",
             until ? local_minute(&arena, until) : "");
}

static void check_stack(struct work *work, const struct stack_config *config, struct report *report)
{
    struct error err = {0};
    struct snapshot snapshot;
    char tip[COMMIT_HEX_SIZE];
    work->stack = config;
    check_freeze(config);
    check_private("env_file", config->env_file, report);
    check_private("token_file", config->token_file, report);
    check_private("ssh_key", config->ssh_key, report);
    if (fetch_tip(work, tip, &err) < 0) {
        bad(report, "stack %s: repository: %s", config->name, err.text);
    } else {
        good("stack %s: branch %s of %s is at %.12s", config->name, config->branch, config->repository, tip);
        if (snapshot_load(work, tip, &snapshot, &err) < 0) {
            bad(report, "stack %s: %s", config->name, err.text);
        } else {
            good("stack %s: %s is valid, %zu services", config->name, config->files[0],
                 snapshot.manifest.stack->n_services);
            check_images(work, snapshot.manifest.stack, report);
            snapshot_release(&snapshot);
        }
    }
    repo_close(work->repo);
    work->repo = NULL;
}

int cmd_check(const struct verb_context *context, int argc, char **argv)
{
    struct work work;
    struct error err = {0};
    struct report report = {0};
    if (argc > 2) {
        fprintf(stderr, "usage: agent-worker check [STACK]\n");
        return EXIT_BAD_USAGE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (work_open(&work, context->config_path, &err) < 0) {
        bad(&report, "configuration: %s", err.text);
        return EXIT_FAILED;
    }
    good("configuration %s: %zu stack%s", work.config.path, work.config.n_stacks,
         work.config.n_stacks == 1 ? "" : "s");
    if (argc == 2 && work_select_stack(&work, argv[1], &err) < 0) {
        bad(&report, "%s", err.text);
    } else {
        check_state_dir(&work, &report);
        work.salt = ""; /* hashes are not compared here */
        check_engine(&work, &report);
        for (size_t i = 0; i < work.config.n_stacks; i++)
            if (argc < 2 || strcmp(work.config.stacks[i].name, argv[1]) == 0)
                check_stack(&work, &work.config.stacks[i], &report);
    }
    work_close(&work);
    return report.failed ? EXIT_FAILED : EXIT_GOOD;
}
