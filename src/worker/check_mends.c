/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "worker/check.h"

/* Commands stand after "mend it with: ", as one would type them; "look with: " where only a person can tell.
 */

static const char example[] = PKGDOCDIR "/examples/agent.conf.example";
static const char secret_mode[] = "sudo install -o root -g deploy-agent -m 0640";

char *mend_edit(struct arena *arena, const char *path)
{
    return arena_printf(arena, "mend it with: sudoedit %s", path);
}

char *mend_config(struct arena *arena, const char *path, const struct error *err)
{
    if (strstr(err->text, "mend it with"))
        return NULL;
    if (err->code == ENOENT)
        return arena_printf(arena, "mend it with: %s -D %s %s && sudoedit %s", secret_mode, example, path,
                            path);
    if (err->code == EACCES) /* it is closed to those who are not of the group, as it should be */
        return arena_strdup(arena, "mend it with: sudo agentctl check");
    return err->kind == ERR_INVALID ? mend_edit(arena, path) : NULL;
}

char *mend_state_dir(struct arena *arena, const char *path, const char *user, const struct error *err)
{
    if (err->code == ENOSPC || err->code == EROFS || err->code == EDQUOT)
        return arena_printf(arena, "look with: df -h %s", path);
    return arena_printf(arena, "mend it with: sudo install -d -o %s -g %s -m 0750 %s && sudo chown -R %s: %s",
                        user, user, path, user, path);
}

char *mend_secret_file(struct arena *arena, const char *path, const struct error *err)
{
    if (err->code == ENOENT)
        return arena_printf(arena, "mend it with: %s /dev/null %s && sudoedit %s", secret_mode, path, path);
    if (err->code == EACCES)
        return arena_printf(arena, "mend it with: sudo chgrp deploy-agent %s && sudo chmod 0640 %s", path,
                            path);
    return NULL;
}

/* ---- the engine ---- */

char *mend_engine(struct arena *arena, const struct check_engine_facts *facts, const struct error *err)
{
    if (err->code == EACCES && facts->group && !str_eq(facts->group, "root"))
        return arena_printf(arena,
                            "mend it with: sudo usermod -aG %s %s && sudo systemctl try-restart deploy-agent",
                            facts->group, facts->user);
    if (err->code == EACCES)
        return arena_printf(arena, "mend it with: sudo chgrp docker %s && sudo chmod 0660 %s", facts->socket,
                            facts->socket);
    if ((err->code == ENOENT || err->code == ECONNREFUSED) && !facts->installed)
        return arena_strdup(arena, "mend it with: sudo apt install docker.io");
    if (err->code == ENOENT || err->code == ECONNREFUSED)
        return arena_strdup(arena, "mend it with: sudo systemctl start docker");
    if (strstr(err->text, "does not have a leader"))
        return arena_strdup(arena, "more than half of the managers are gone; look with: docker node ls, "
                                   "on another manager");
    return arena_strdup(arena, "look with: journalctl -u docker -n 50");
}

char *mend_node(struct arena *arena, const struct swarm_info *swarm, const char **ret_why)
{
    *ret_why = NULL;
    if (str_eq(swarm->state, "locked")) {
        *ret_why = "the swarm is locked on this node";
        return arena_strdup(arena, "mend it with: sudo docker swarm unlock");
    }
    if (str_eq(swarm->state, "pending") || str_eq(swarm->state, "error")) {
        *ret_why = "this node has not got into its swarm";
        return arena_strdup(arena, "look with: sudo docker info");
    }
    if (!swarm->active) {
        *ret_why = "this node is in no swarm";
        return arena_strdup(arena, "mend it with: sudo docker swarm init");
    }
    if (!swarm->manager) {
        *ret_why = "this node is not a swarm manager";
        return arena_printf(arena, "mend it with, on a manager: sudo docker node promote %s",
                            swarm->node_name);
    }
    return NULL;
}

/* ---- Git ---- */

static char *mend_login(struct arena *arena, const struct stack_config *stack, const char *config_path)
{
    const char *file = arena_printf(arena, "/etc/deploy-agent/%s", stack->name);
    if (str_starts(stack->repository, "ssh:"))
        return arena_printf(arena,
                            "mend it with: sudo ssh-keygen -t ed25519 -N '' -f %s.key && sudo chgrp "
                            "deploy-agent %s.key && sudo chmod 0640 %s.key; then give %s.key.pub to the "
                            "server, and ssh_key = %s.key below [stack %s]: sudoedit %s",
                            file, file, file, file, file, stack->name, config_path);
    return arena_printf(
        arena,
        "mend it with: %s /dev/null %s.token && sudoedit %s.token; then token_file = %s.token "
        "below [stack %s]: sudoedit %s",
        secret_mode, file, file, file, stack->name, config_path);
}

char *mend_repository(struct arena *arena, const struct stack_config *stack, const char *config_path,
                      const struct error *err)
{
    bool has_login = stack->token_file || stack->ssh_key;
    if (strstr(err->text, "host key"))
        return NULL; /* it shows the line to be added */
    if (err->kind == ERR_NOT_FOUND && strstr(err->text, "no branch"))
        return arena_printf(arena, "look with: git ls-remote --heads %s", stack->repository);
    if (!has_login && !str_starts(stack->repository, "file:") &&
        (err->kind == ERR_REFUSED || err->kind == ERR_NOT_FOUND))
        return mend_login(arena, stack, config_path);
    if (err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT || err->kind == ERR_NOT_FOUND)
        return arena_printf(arena, "look with: git ls-remote --heads %s", stack->repository);
    return NULL;
}

char *mend_commit(struct arena *arena, const struct stack_config *stack, const struct error *err)
{
    if (err->kind == ERR_NOT_FOUND && str_starts(err->text, "stack file"))
        return arena_strdup(arena, "file in agent.conf is its path from the repository's root");
    if (strstr(err->text, "required variable") || (stack->env_file && strstr(err->text, stack->env_file)))
        return mend_edit(arena, stack->env_file ? stack->env_file : "ENV_FILE");
    if (err->kind == ERR_INVALID)
        return arena_printf(arena, "mend it in the repository, push, and look with: agentctl render %s",
                            stack->name);
    return arena_printf(arena, "look with: agentctl render %s", stack->name);
}

/* ---- PostgreSQL ---- */

char *mend_server(struct arena *arena, const struct pg_url *url, const char *file, const struct error *err)
{
    if (url->host && (err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT))
        return arena_printf(arena, "look with: pg_isready -h %s -p %u", url->host, url->port);
    return mend_edit(arena, file);
}

/* ---- registries ---- */

static char *mend_registry_login(struct arena *arena, const struct image_ref *ref, const char *auth_file)
{
    static const char name[] = "/config.json";
    const char *folder = "/etc/deploy-agent/docker", *then = "";
    if (auth_file && str_ends(auth_file, name))
        folder = arena_strndup(arena, auth_file, strlen(auth_file) - strlen(name));
    else
        then = arena_printf(arena, "; then auth_file = %s%s below [registry]", folder, name);
    const char *registry = str_eq(ref->domain, "docker.io") ? "" : arena_printf(arena, " %s", ref->domain);
    return arena_printf(arena,
                        "mend it with: sudo docker --config %s login%s && sudo chgrp -R deploy-agent %s && "
                        "sudo chmod 0750 %s && sudo chmod 0640 %s%s%s",
                        folder, registry, folder, folder, folder, name, then);
}

char *mend_image(struct arena *arena, const struct image_ref *ref, const char *auth_file,
                 const struct error *err)
{
    if (err->kind == ERR_REFUSED)
        return mend_registry_login(arena, ref, auth_file);
    if (err->kind == ERR_NOT_FOUND)
        return arena_printf(arena, "has it been pushed? mend it with: docker push %s", ref->familiar);
    if (err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT)
        return arena_printf(arena, "look with: docker pull %s", ref->familiar);
    return NULL;
}
