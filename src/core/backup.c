/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/backup.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "core/backup_script.h"
#include "core/job_parts.h"

#define FOLDER      "/deploy-agent-backups"
#define SECRET_FILE "deploy-agent-password"

/* pg_dump is given this long to end before it is killed */
static const json_int_t stop_grace_ns = 20 * INT64_C(1000000000);

/* ---- names ---- */

static const char *fit_for_a_file(struct arena *arena, const char *dbname)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t len = strlen(dbname);
    char hex[SHA256_HEX_SIZE];
    if (len && len <= 100 && strspn(dbname, fine) == len && *dbname != '-')
        return dbname;
    char *safe = arena_strndup(arena, dbname, 100);
    for (char *p = safe; *p; p++)
        if (!strchr(fine, *p))
            *p = '-';
    sha256_hex(dbname, len, hex);
    return arena_printf(arena, "db%s%s-%.8s", *safe == '-' ? "" : "-", safe, hex);
}

const char *backup_prefix(struct arena *arena, const char *stack, const char *dbname)
{
    /* neither name has a point: no two stacks and databases share a prefix */
    return arena_printf(arena, "%s.%s", stack, fit_for_a_file(arena, dbname));
}

const char *backup_stamp(struct arena *arena, int64_t wall)
{
    time_t seconds = (time_t)(wall / US_PER_S);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &tm);
    return arena_strdup(arena, text);
}

const char *backup_file(struct arena *arena, const char *prefix, const char *stamp, const char *commit)
{
    return arena_printf(arena, "%s_%s_%.8s.dump", prefix, stamp, commit);
}

/* ---- the job ---- */

json_t *backup_params(const struct backup_settings *settings, const char *service, const char *service_name,
                      const char *url_from, const json_t *mount)
{
    return json_pack("{s:s, s:s, s:s, s:O, s:I, s:I, s:b}", "service", service, "name", service_name,
                     "url_from", url_from, "mount", mount, "keep", (json_int_t)settings->keep, "timeout_us",
                     (json_int_t)settings->timeout_us, "required", settings->required);
}

static json_t *environment(const struct backup *b)
{
    json_t *env = json_array();
    /* the tasks' own addresses, whatever the endpoint mode of the service */
    json_array_append_new(env, json_sprintf("PGHOST=tasks.%s", b->service_name));
    json_array_append_new(env, json_sprintf("PGPORT=%u", b->port));
    if (b->user)
        json_array_append_new(env, json_sprintf("PGUSER=%s", b->user));
    if (b->dbname)
        json_array_append_new(env, json_sprintf("PGDATABASE=%s", b->dbname));
    json_array_append_new(env, json_sprintf("PGAPPNAME=%s", b->application_name));
    json_array_append_new(env, json_string("PGCONNECT_TIMEOUT=30"));
    return env;
}

static json_t *arguments(const struct backup *b)
{
    return json_pack("[s, s, s, s, o, s, o]", FOLDER, "/run/secrets/" SECRET_FILE, b->file, b->prefix,
                     json_sprintf("%u", b->keep), b->cutoff,
                     json_sprintf("%llu", (unsigned long long)b->needed_kib));
}

static json_t *secrets(const struct backup *b)
{
    if (!b->secret)
        return json_array();
    return json_pack("[{s:s, s:{s:s, s:s, s:s, s:i}}]", "SecretName", b->secret, "File", "Name", SECRET_FILE,
                     "UID", "0", "GID", "0", "Mode", 0400);
}

/* The image declares a volume where the server keeps its data; uncovered, each job would leave an anonymous
 * one. */
static void cover(json_t *mounts, const json_t *of_the_service)
{
    size_t i;
    const json_t *mount;
    json_array_foreach (of_the_service, i, mount) {
        const json_t *target = json_object_get(mount, "Target");
        if (target && !str_eq(json_string_value(target), FOLDER))
            json_array_append_new(mounts, json_pack("{s:s, s:O, s:{s:i}}", "Type", "tmpfs", "Target", target,
                                                    "TmpfsOptions", "SizeBytes", 1 << 20));
    }
}

json_t *backup_job(const struct backup *b)
{
    json_t *mounts = json_array();
    json_t *mount = json_deep_copy(b->mount);
    json_object_set_new(mount, "Target", json_string(FOLDER));
    json_array_append_new(mounts, mount);
    cover(mounts, b->mounts);
    /* root: a volume that no image has filled is root's, and so the dumps are for root's eyes */
    json_t *container =
        json_pack("{s:s, s:[s, s, s, s], s:o, s:o, s:s, s:o, s:o, s:{s:[s]}, s:I}", "Image", b->image,
                  "Command", "/bin/sh", "-c", (const char *)backup_script, "backup.sh", "Args", arguments(b),
                  "Env", environment(b), "User", "0:0", "Mounts", mounts, "Secrets", secrets(b),
                  "Healthcheck", "Test", "NONE", "StopGracePeriod", stop_grace_ns);
    json_t *placement = json_pack("{s:[o]}", "Constraints", json_sprintf("node.id==%s", b->node_id));
    return job_body(b->job, container, json_object(), placement, job_networks(b->networks));
}

/* ---- the way back ---- */

static const char *quoted(struct arena *arena, const char *text)
{
    static const char fine[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,";
    cleanup_str struct str out = {0};
    if (*text && strspn(text, fine) == strlen(text))
        return text;
    str_append_char(&out, '\'');
    for (const char *p = text; *p; p++)
        if (*p == '\'')
            str_append(&out, "'\\''");
        else
            str_append_char(&out, *p);
    str_append_char(&out, '\'');
    return arena_strdup(arena, str_text(&out));
}

const char *backup_restore_command(struct arena *arena, const struct backup *b)
{
    const char *dbname = b->dbname ? b->dbname
                         : b->user ? b->user
                                   : "postgres",
               *into = quoted(arena, arena_printf(arena, "%s_restored", dbname)),
               *volume = json_string_value(json_object_get(b->mount, "Source"));
    const char *login =
        arena_printf(arena, "%s%s%s", b->user ? " -U " : "", b->user ? quoted(arena, b->user) : "",
                     b->port == 5432 ? "" : arena_printf(arena, " -p %u", b->port));
    return arena_printf(arena,
                        "c=$(docker ps -qf label=com.docker.swarm.service.name=%s) && "
                        "docker exec $c createdb%s %s && "
                        "docker run --rm --entrypoint cat -v %s:/backups:ro %s /backups/%s | "
                        "docker exec -i $c pg_restore%s --exit-on-error -d %s",
                        quoted(arena, b->service_name), login, into, quoted(arena, volume),
                        quoted(arena, b->image), b->file, login, into);
}
