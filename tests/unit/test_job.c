/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/plan.h"
#include "agent/spec.h"
#include "core_fixture.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define A10    "aaaaaaaaaa"

static void names(void **state)
{
    (void)state;
    static const struct {
        const char *stack, *step;
        enum job_purpose purpose;
        const char *want;
    } cases[] = {
        {"shop", "django", JOB_COMMAND, "shop_mig_django_0123456789ab"},
        {"shop", "django", JOB_CHECK, "shop_chk_django_0123456789ab"},
        {"shop", "db", JOB_BACKUP, "shop_bak_db_0123456789ab"},
        {"s", "x-1_y", JOB_COMMAND, "s_mig_x-1_y_0123456789ab"},
        /* 63 bytes fit as they are */
        {A10 A10 A10, A10 "abcde", JOB_COMMAND, A10 A10 A10 "_mig_" A10 "abcde_0123456789ab"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        expect_text(cases[i].want, job_name(&arena, cases[i].stack, cases[i].step, COMMIT, cases[i].purpose),
                    cases[i].want);
    }
}

/* What is cut is told apart by a hash: of stack, step and kind. The commit always stays whole. */
static void long_names(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    static const char *const stacks[] = {A10 A10 A10 A10 A10, A10 A10 A10 A10 A10 "b",
                                         A10 A10 A10 A10 A10 A10 A10 A10 A10 A10};
    static const char *const steps[] = {"a", "aa", A10 A10 A10 "aa", A10 A10 A10 "ab"};
    cleanup_json json_t *seen = json_object();
    for (size_t s = 0; s < ARRAY_SIZE(stacks); s++)
        for (size_t t = 0; t < ARRAY_SIZE(steps); t++)
            for (enum job_purpose p = JOB_COMMAND; p <= JOB_BACKUP; p++) {
                const char *name = job_name(&arena, stacks[s], steps[t], COMMIT, p);
                if (strlen(name) > 63 || !str_ends(name, "_0123456789ab"))
                    fail_msg("%s", name);
                if (json_object_get(seen, name))
                    fail_msg("%s twice", name);
                json_object_set_new(seen, name, json_true());
            }
}

/* A service that has everything. */
static const char stack_text[] =
    "services:\n"
    "  web:\n"
    "    image: web:1\n"
    "    entrypoint: [/entry, point]\n"
    "    command: [serve, --port, '80']\n"
    "    environment: {A: '1', B: x=y}\n"
    "    user: nobody\n"
    "    working_dir: /srv\n"
    "    hostname: www\n"
    "    labels: {a: b}\n"
    "    init: true\n"
    "    tty: true\n"
    "    read_only: true\n"
    "    stop_signal: SIGINT\n"
    "    stop_grace_period: 5s\n"
    "    extra_hosts: ['h:1.2.3.4']\n"
    "    dns: [1.1.1.1]\n"
    "    sysctls: {a.b: '1'}\n"
    "    ulimits: {nofile: 1000}\n"
    "    cap_add: [NET_ADMIN]\n"
    "    cap_drop: [ALL]\n"
    "    healthcheck: {test: [CMD, x], interval: 5s}\n"
    "    logging: {driver: syslog, options: {tag: x}}\n"
    "    ports: ['8080:80']\n"
    "    volumes: ['data:/data', '/etc:/host:ro']\n"
    "    secrets: [key]\n"
    "    configs: [{source: conf, target: /conf}]\n"
    "    networks: {front: {aliases: [www]}, back: {driver_opts: {o: p}}}\n"
    "    deploy:\n"
    "      replicas: 3\n"
    "      labels: {t: u}\n"
    "      update_config: {parallelism: 2}\n"
    "      restart_policy: {condition: any, delay: 5s}\n"
    "      endpoint_mode: vip\n"
    "      resources: {limits: {cpus: '0.5', memory: 100M, pids: 50}, reservations: {memory: 50M}}\n"
    "      placement: {constraints: [node.role == manager], preferences: [{spread: node.labels.z}], "
    "max_replicas_per_node: 1}\n"
    "networks: {front: {}, back: {}}\n"
    "volumes: {data: {}}\n"
    "secrets: {key: {external: true}}\n"
    "configs: {conf: {external: true}}\n";

static const char job_text[] =
    "{'Name': 'j', 'Labels': {}, 'Mode': {'Replicated': {'Replicas': 1}},"
    " 'EndpointSpec': {'Mode': 'dnsrr'},"
    " 'TaskTemplate': {'ContainerSpec': {'Image': 'web:1', 'Command': ['/entry', 'point'], 'Args': "
    "['migrate', ''],"
    "   'Env': ['A=1', 'B=x=y'], 'User': 'nobody', 'Dir': '/srv', 'Init': true, 'ReadOnly': true, "
    "'StopSignal': 'SIGINT',"
    "   'StopGracePeriod': 5000000000, 'Hosts': ['1.2.3.4 h'], 'DNSConfig': {'Nameservers': ['1.1.1.1']}, "
    "'Sysctls': {'a.b': '1'},"
    "   'Ulimits': [{'Name': 'nofile', 'Hard': 1000, 'Soft': 1000}], 'CapabilityAdd': ['CAP_NET_ADMIN'], "
    "'CapabilityDrop': ['ALL'],"
    "   'Healthcheck': {'Test': ['NONE']},"
    "   'Privileges': {'CredentialSpec': null, 'SELinuxContext': null, 'NoNewPrivileges': false},"
    "   'Mounts': [{'Type': 'volume', 'Source': 'shop_data', 'Target': '/data', 'VolumeOptions': {'Labels': "
    "{'com.docker.stack.namespace': 'shop'}}}, {'Type': 'bind', 'Source': '/etc', 'Target': '/host', "
    "'ReadOnly': true}],"
    "   'Secrets': [{'SecretName': 'key', 'File': {'Name': 'key', 'UID': '0', 'GID': '0', 'Mode': 292}}],"
    "   'Configs': [{'ConfigName': 'conf', 'File': {'Name': '/conf', 'UID': '0', 'GID': '0', 'Mode': 292}}]},"
    "  'Resources': {'Limits': {'NanoCPUs': 500000000, 'MemoryBytes': 104857600, 'Pids': 50}},"
    "  'RestartPolicy': {'Condition': 'none'}, 'Placement': {'Constraints': ['node.role == manager']},"
    "  'Networks': [{'Target': 'shop_back', 'DriverOpts': {'o': 'p'}}, {'Target': 'shop_front'}],"
    "  'LogDriver': {'Name': 'json-file'}, 'ForceUpdate': 0}}";

static void expect_json(const char *name, const json_t *have, const json_t *want)
{
    cleanup_free char *a = spec_text(have), *b = spec_text(want);
    expect_text(name, a, b);
}

/* What `docker compose run` would do: all that makes the job see the world as the service does, and nothing
 * more. */
static void whole(void **state)
{
    (void)state;
    static const char *const command[] = {"migrate", "", NULL};
    struct manifest m = {0};
    struct error err = {0};
    if (fixture_load(stack_text, NULL, NULL, 0, &m, &err) < 0)
        fail_msg("%s", err.text);
    cleanup_json json_t *service = json_deep_copy(m.stack->services[0].spec), *want = fixture_json(job_text);
    cleanup_json json_t *job = job_spec(m.stack->services[0].spec, "j", command);
    expect_json("job", job, want);
    expect_json("the service's own spec", m.stack->services[0].spec, service);
    manifest_release(&m);
}

static void plain(void **state)
{
    (void)state;
    static const char *const command[] = {"x", NULL};
    cleanup_json json_t *service =
        fixture_json("{'Name': 'shop_web', 'TaskTemplate': {'ContainerSpec': {'Image': 'i@sha256:1'},"
                     " 'Placement': {'Platforms': [{'OS': 'linux'}]}}}");
    cleanup_json json_t *job = job_spec(service, "j", command);
    cleanup_json json_t *want = fixture_json(
        "{'Name': 'j', 'Labels': {}, 'Mode': {'Replicated': {'Replicas': 1}},"
        " 'EndpointSpec': {'Mode': 'dnsrr'}, 'TaskTemplate': {'ContainerSpec': {'Image': 'i@sha256:1', "
        "'Args': ['x'],"
        " 'Healthcheck': {'Test': ['NONE']}}, 'Resources': {}, 'RestartPolicy': {'Condition': 'none'},"
        " 'Placement': {'Platforms': [{'OS': 'linux'}]}, 'Networks': [], 'LogDriver': {'Name': 'json-file'}, "
        "'ForceUpdate': 0}}");
    expect_json("job", job, want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(long_names),
                                       cmocka_unit_test(whole), cmocka_unit_test(plain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
