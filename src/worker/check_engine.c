/* SPDX-License-Identifier: Apache-2.0 */
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "worker/check.h"

/* `check`: the engine, this node's place in the swarm, and the registries. */

static struct check_engine_facts engine_facts(struct check *check)
{
    static const char scheme[] = "unix://";
    static const char *const programs[] = {"/usr/sbin/dockerd", "/usr/bin/dockerd", "/usr/local/bin/dockerd"};
    struct arena *arena = &check->work.arena;
    const char *url = check->work.config.docker;
    const char *socket = str_starts(url, scheme) ? url + strlen(scheme) : url;
    struct stat st;
    const struct group *group = stat(socket, &st) == 0 ? getgrgid(st.st_gid) : NULL;
    struct check_engine_facts facts = {
        .socket = socket,
        .user = check_own_name(arena),
        .group = group ? arena_strdup(arena, group->gr_name) : NULL,
    };
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
        facts.installed |= access(programs[i], X_OK) == 0;
    return facts;
}

/* Tasks of ours on this node, which checks and databases are asked through, are not started there. */
static void check_availability(const struct swarm_info *swarm, struct arena *arena)
{
    if (!str_eq(swarm->availability, "active"))
        check_note(arena_printf(arena, "mend it with: sudo docker node update --availability active %s",
                                swarm->node_id),
                   "this node's availability is %s: checks and databases inside the stack's networks cannot "
                   "be asked from here",
                   swarm->availability);
}

void check_engine(struct check *check)
{
    struct work *work = &check->work;
    struct error err = {0};
    struct swarm_info swarm = {0};
    const char *why;
    if (work_open_docker(work, &err) < 0) { /* nothing was asked yet: its files */
        check_fail(check, mend_edit(&work->arena, work->config.path), "engine %s: %s", work->config.docker,
                   err.text);
        return;
    }
    if (docker_swarm(work->docker, &work->arena, &swarm, &err) < 0) {
        struct check_engine_facts facts = engine_facts(check);
        check_fail(check, mend_engine(&work->arena, &facts, &err), "engine %s: %s", work->config.docker,
                   err.text);
        docker_close(work->docker);
        work->docker = NULL;
        return;
    }
    const char *mend = mend_node(&work->arena, &swarm, &why);
    if (why) {
        check_fail(check, mend, "engine %s: %s", work->config.docker, why);
        return;
    }
    check_good("engine %s, API %s: manager%s, availability %s", swarm.engine_version,
               docker_api_version(work->docker),
               swarm.leader                     ? " and leader"
               : work->config.act == ACT_LEADER ? ", not the leader (act = leader: it would wait)"
                                                : "",
               swarm.availability);
    check_availability(&swarm, &work->arena);
}

static bool image_seen(const struct stack *stack, size_t before, const char *image)
{
    for (size_t i = 0; i < before; i++)
        if (strcmp(stack->services[i].image, image) == 0)
            return true;
    return false;
}

void check_images(struct check *check, const struct stack *stack)
{
    struct work *work = &check->work;
    for (size_t i = 0; work->docker && i < stack->n_services; i++) {
        struct error err = {0};
        struct image_info info = {0};
        struct image_ref ref;
        const char *image = stack->services[i].image;
        if (image_seen(stack, i, image) || image_ref_parse(&work->arena, image, &ref, &err) < 0)
            continue;
        if (docker_distribution(work->docker, &work->arena, ref.familiar, &info, &err) == 0)
            check_good("image %s is %.19s", ref.familiar, info.digest);
        else
            check_fail(check, mend_image(&work->arena, &ref, work->config.registry_auth_file, &err),
                       "image %s: %s%s", ref.familiar, err.text,
                       err.kind == ERR_REFUSED && !docker_has_auth(work->docker, ref.familiar)
                           ? "; there are no credentials for this registry in auth_file"
                           : "");
        json_decref(info.platforms);
    }
}
