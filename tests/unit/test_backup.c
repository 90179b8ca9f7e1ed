/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/backup.h"
#include "agent/spec.h"
#include "core_fixture.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static void prefixes(void **state)
{
    (void)state;
    static const struct {
        const char *stack, *dbname, *want;
        bool hashed; /* eight digits follow */
    } cases[] = {
        {"shop", "app", "shop.app", false},
        {"my_shop-2", "wheel_analyzer-2", "my_shop-2.wheel_analyzer-2", false},
        /* never a pattern, a path, or another database's name */
        {"shop", "-rf", "shop.db-rf-", true},
        {"shop", "a b", "shop.db-a-b-", true},
        {"shop", "a*b", "shop.db-a-b-", true},
        {"shop", "a.b", "shop.db-a-b-", true},
        {"shop", "../x", "shop.db---x-", true},
        {"shop", "", "shop.db--", true},
    };
    cleanup_arena struct arena arena = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *prefix = backup_prefix(&arena, cases[i].stack, cases[i].dbname);
        size_t len = strlen(cases[i].want);
        expect_text(cases[i].dbname, arena_strndup(&arena, prefix, len), cases[i].want);
        assert_int_equal(strlen(prefix), len + (cases[i].hashed ? 8 : 0));
        assert_int_equal(strspn(prefix + len, "0123456789abcdef"), strlen(prefix + len));
    }
    assert_string_not_equal(backup_prefix(&arena, "shop", "a b"), backup_prefix(&arena, "shop", "a*b"));
    /* stacks may share a volume, and one's dumps are not another's to remove */
    assert_string_not_equal(backup_prefix(&arena, "shop", "x_app"), backup_prefix(&arena, "shop_x", "app"));
}

static void file_names(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    const char *stamp = backup_stamp(&arena, INT64_C(1787493731999999));
    assert_string_equal(stamp, "20260823T140211Z");
    assert_string_equal(backup_file(&arena, "shop.app", stamp, COMMIT),
                        "shop.app_20260823T140211Z_01234567.dump");
}

static const char quote_user[] = "o'neil";

/* What the backup borrows is the caller's to drop. */
static void sample(struct backup *b, json_t **ret_borrowed)
{
    json_t *kept = fixture_json(
        "{'mount': {'Type': 'volume', 'Source': 'shop_dumps', 'VolumeOptions': {}},"
        " 'networks': [{'Target': 'n1', 'Aliases': ['db']}],"
        " 'mounts': [{'Type': 'volume', 'Source': 'shop_pg', 'Target': '/var/lib/postgresql/data'},"
        " {'Type': 'bind', 'Source': '/x', 'Target': '/deploy-agent-backups'}]}");
    *b = (struct backup){.job = "shop_bak_db_0123456789ab",
                         .secret = "shop_bak_7",
                         .file = "shop.app_20260823T140211Z_01234567.dump",
                         .prefix = "shop.app",
                         .cutoff = "20260816T140211Z",
                         .keep = 5,
                         .needed_kib = 77,
                         .user = "app",
                         .dbname = "app",
                         .port = 5432,
                         .application_name = "deploy-agent/shop/backup/01234567",
                         .service_name = "shop_db",
                         .image = "127.0.0.1:5000/postgres:15@sha256:aa",
                         .node_id = "node1",
                         .mount = json_object_get(kept, "mount"),
                         .networks = json_object_get(kept, "networks"),
                         .mounts = json_object_get(kept, "mounts")};
    *ret_borrowed = kept;
}

static void job(void **state)
{
    (void)state;
    struct backup b;
    cleanup_json json_t *kept = NULL, *spec = NULL, *want = NULL;
    sample(&b, &kept);
    spec = backup_job(&b);
    json_t *container = json_object_get(json_object_get(spec, "TaskTemplate"), "ContainerSpec");
    json_t *command = json_object_get(container, "Command");
    assert_int_equal(json_array_size(command), 4);
    assert_string_equal(json_string_value(json_array_get(command, 0)), "/bin/sh");
    assert_string_equal(json_string_value(json_array_get(command, 1)), "-c");
    assert_true(str_starts(json_string_value(json_array_get(command, 2)), "#!/bin/sh\n"));
    json_object_del(container, "Command");
    want = fixture_json(
        "{'Name': 'shop_bak_db_0123456789ab', 'Labels': {}, 'Mode': {'Replicated': {'Replicas': 1}}, "
        "'EndpointSpec': {'Mode': 'dnsrr'}, 'TaskTemplate': {'ForceUpdate': 0,"
        " 'LogDriver': {'Name': 'json-file'}, 'Networks': [{'Target': 'n1'}], 'Resources': {},"
        " 'RestartPolicy': {'Condition': 'none'}, 'Placement': {'Constraints': ['node.id==node1']},"
        " 'ContainerSpec': {'Image': '127.0.0.1:5000/postgres:15@sha256:aa', 'User': '0:0',"
        " 'Args': ['/deploy-agent-backups', '/run/secrets/deploy-agent-password',"
        " 'shop.app_20260823T140211Z_01234567.dump', 'shop.app', '5', '20260816T140211Z', '77'],"
        " 'Env': ['PGHOST=tasks.shop_db', 'PGPORT=5432', 'PGUSER=app', 'PGDATABASE=app',"
        " 'PGAPPNAME=deploy-agent/shop/backup/01234567', 'PGCONNECT_TIMEOUT=30'],"
        " 'Healthcheck': {'Test': ['NONE']}, 'StopGracePeriod': 20000000000,"
        " 'Mounts': [{'Type': 'volume', 'Source': 'shop_dumps', 'Target': '/deploy-agent-backups',"
        " 'VolumeOptions': {}}, {'Type': 'tmpfs', 'Target': '/var/lib/postgresql/data', 'TmpfsOptions':"
        " {'SizeBytes': 1048576}}],"
        " 'Secrets': [{'SecretName': 'shop_bak_7', 'File': {'Name': 'deploy-agent-password', 'UID': '0',"
        " 'GID': '0', 'Mode': 256}}]}}}");
    cleanup_free char *have_text = spec_text(spec), *want_text = spec_text(want);
    assert_string_equal(have_text, want_text);
    /* what was handed over stays as it was */
    assert_null(json_object_get(b.mount, "Target"));
}

static void job_without_a_password(void **state)
{
    (void)state;
    struct backup b;
    cleanup_json json_t *kept = NULL;
    sample(&b, &kept);
    b.secret = b.user = b.dbname = NULL;
    cleanup_json json_t *spec = backup_job(&b);
    cleanup_free char *text = spec_text(spec);
    assert_null(strstr(text, "SecretName"));
    assert_null(strstr(text, "PGUSER="));
    assert_null(strstr(text, "PGDATABASE="));
}

static void restoring(void **state)
{
    (void)state;
    struct backup b;
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *kept = NULL;
    sample(&b, &kept);
    assert_string_equal(
        backup_restore_command(&arena, &b),
        "c=$(docker ps -qf label=com.docker.swarm.service.name=shop_db) && docker exec $c createdb -U app "
        "app_restored && docker run --rm --entrypoint cat -v shop_dumps:/backups:ro "
        "127.0.0.1:5000/postgres:15@sha256:aa /backups/shop.app_20260823T140211Z_01234567.dump | "
        "docker exec -i $c pg_restore -U app --exit-on-error -d app_restored");
    b.user = quote_user;
    b.dbname = "a b";
    b.port = 6000;
    const char *command = backup_restore_command(&arena, &b);
    assert_non_null(strstr(command, "createdb -U 'o'\\''neil' -p 6000 'a b_restored'"));
    assert_non_null(strstr(command, "pg_restore -U 'o'\\''neil' -p 6000 --exit-on-error -d 'a b_restored'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes),  cmocka_unit_test(file_names),
        cmocka_unit_test(job),       cmocka_unit_test(job_without_a_password),
        cmocka_unit_test(restoring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
