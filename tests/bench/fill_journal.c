/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fills a journal with deployments as a busy year leaves them: four services, images, one migration, a plan;
 * one in ten fails or is rolled back. For `agentctl log` over a long history.
 *
 *     fill_journal FILE COUNT
 */

#include <stdio.h>
#include <stdlib.h>

#include "agent/journal.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/str.h"

enum { SERVICES = 4, STEPS = 7 };

static const char *const keys[SERVICES] = {"db", "redis", "worker", "web"};

/* About what the spec of a Django service comes to. */
static char *spec(struct arena *arena, const char *service, unsigned number)
{
    cleanup_str struct str env = {0};
    for (unsigned i = 0; i < 30; i++)
        str_printf(&env, "%s\"VARIABLE_%u=value %u\"", i ? "," : "", i, i);
    return arena_printf(arena,
                        "{\"Name\":\"shop_%s\",\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":\"registry."
                        "example/shop/%s:%u\","
                        "\"Env\":[%s]}},\"Mode\":{\"Replicated\":{\"Replicas\":2}}}",
                        service, service, number, str_text(&env));
}

static int plan(struct journal *journal, struct arena *arena, int64_t id, unsigned number,
                const char *migration, struct error *err)
{
    struct service_record services[SERVICES];
    struct image_record images[SERVICES];
    struct step steps[STEPS];
    char digest[SHA256_HEX_SIZE];
    sha256_hex(&number, sizeof number, digest);
    for (unsigned i = 0; i < SERVICES; i++) {
        bool changes = i >= 2;
        const char *before = spec(arena, keys[i], changes ? number : 1),
                   *after = spec(arena, keys[i], changes ? number + 1 : 1);
        services[i] = (struct service_record){.service = keys[i],
                                              .name = arena_printf(arena, "shop_%s", keys[i]),
                                              .action = changes ? "update" : "none",
                                              .state = changes ? "healthy" : "unchanged",
                                              .before = before,
                                              .after = after};
        images[i] = (struct image_record){keys[i],
                                          arena_printf(arena, "registry.example/shop/%s:%u", keys[i], number),
                                          arena_printf(arena, "sha256:%s", digest)};
    }
    for (unsigned i = 0; i < STEPS; i++)
        steps[i] = (struct step){.seq = i + 1,
                                 .kind = i == 3 ? "run" : "roll",
                                 .name = i == 3 ? "django" : "web",
                                 .params = services[3].after};
    struct migration_record m = {
        "django", arena_printf(arena, "%012x", number), "uv run manage.py migrate", migration, NULL, -1, -1};
    const struct plan_rows rows = {
        .plan = arena_printf(arena, "{\"empty\":false,\"services\":[%s]}", services[3].after),
        .base_id = id - 1,
        .steps = steps,
        .n_steps = STEPS,
        .services = services,
        .n_services = SERVICES,
        .images = images,
        .n_images = SERVICES,
        .migrations = &m,
        .n_migrations = 1};
    return journal_save_plan(journal, id, &rows, err);
}

static int deploy(struct journal *journal, unsigned number, struct error *err)
{
    static const struct {
        enum deployment_state end;
        const char *migration, *reason;
    } ends[] = {
        {DEPLOYMENT_SUCCEEDED, "applied", "4 services, 60s stable"},
        {DEPLOYMENT_FAILED, "failed", "django: exit 1: lock timeout; no service was touched"},
        {DEPLOYMENT_ROLLED_BACK, "applied",
         "web /health: 5 of 5 before, 0 of 5 now (200 before, 500 now); back on the one before"},
    };
    cleanup_arena struct arena arena = {0};
    unsigned end = number % 20 == 7 ? 1 : number % 20 == 13 ? 2 : 0;
    int64_t id;
    struct deployment_request request = {
        .stack = "shop",
        .commit = arena_printf(&arena, "%08x0c4d5e6f708192a3b4c5d6e7f80912a3", number * 2654435761U),
        .branch = "main",
        .subject = arena_printf(&arena, "Change number %u", number),
        .author = number % 3 ? "alice" : "bob",
        .trigger = TRIGGER_POLL};
    if (journal_request(journal, &request, &id, err) < 0 ||
        plan(journal, &arena, id, number, ends[end].migration, err) < 0 ||
        journal_set_state(journal, id, DEPLOYMENT_RUNNING, NULL, err) < 0 ||
        journal_step_begin(journal, id, 4, NULL, err) < 0 ||
        journal_step_append_output(journal, id, 4, "Applying app.0001... OK\n", 24, err) < 0 ||
        journal_step_end(journal, id, 4, end == 1 ? STEP_FAILED : STEP_DONE,
                         end == 1 ? "exit 1: lock timeout" : NULL, err) < 0)
        return -1;
    return journal_set_state(journal, id, ends[end].end, ends[end].reason, err);
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct journal *journal = NULL;
    if (argc != 3) {
        fputs("Usage: fill_journal FILE COUNT\n", stderr);
        return 64;
    }
    int r = journal_open(argv[1], JOURNAL_WRITE, &journal, &err);
    unsigned long count = strtoul(argv[2], NULL, 10);
    for (unsigned long i = 1; r == 0 && i <= count; i++)
        r = deploy(journal, (unsigned)i, &err);
    if (r < 0)
        fprintf(stderr, "fill_journal: %s\n", err.text);
    journal_close(journal);
    return r < 0;
}
