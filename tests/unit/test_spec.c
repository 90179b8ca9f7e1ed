/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "agent/spec.h"
#include "core_fixture.h"

/*
 * Specs are written as what differs from a plain one: "TaskTemplate.ContainerSpec.Env" and a JSON value. In
 * cases, `'` stands for `"`.
 */

/* The engine's list; the swarm's twin of "host" is not in it. */
static const char networks_text[] =
    "[{'Name': 'shop_default', 'Id': 'aaaaaaaaaaaaaaaaaaaaaaaa1', 'Scope': 'swarm'},"
    " {'Name': 'shop_back', 'Id': 'aaaaaaaaaaaaaaaaaaaaaaaa2', 'Scope': 'swarm'},"
    " {'Name': 'host', 'Id': '9634b5efe2faa7b3b6af6da9242e02951f1906a2e5c545e73a2c4e292715acde', 'Scope': "
    "'local'}]";

/* As the stack code makes it, and as the engine gives it back. */
static const char sent_text[] =
    "{'Name': 'shop_web', 'Labels': {'com.docker.stack.namespace': 'shop', 'com.docker.stack.image': 'web'},"
    " 'TaskTemplate': {'ContainerSpec': {'Image': 'web:latest@sha256:1', 'Labels': "
    "{'com.docker.stack.namespace': 'shop'},"
    "  'Env': ['A=1', 'B=2'], 'Privileges': {'CredentialSpec': null, 'SELinuxContext': null, "
    "'NoNewPrivileges': false}},"
    "  'Resources': {}, 'Placement': {}, 'Networks': [{'Target': 'shop_default', 'Aliases': ['web']}], "
    "'ForceUpdate': 0},"
    " 'Mode': {'Replicated': {}}, 'EndpointSpec': {}}";
static const char read_text[] =
    "{'Name': 'shop_web', 'Labels': {'com.docker.stack.namespace': 'shop', 'com.docker.stack.image': 'web'},"
    " 'TaskTemplate': {'ContainerSpec': {'Image': 'web:latest@sha256:1', 'Labels': "
    "{'com.docker.stack.namespace': 'shop'},"
    "  'Env': ['A=1', 'B=2'], 'Privileges': {'CredentialSpec': null, 'SELinuxContext': null}, 'Isolation': "
    "'default'},"
    "  'Resources': {}, 'Placement': {}, 'Networks': [{'Target': 'aaaaaaaaaaaaaaaaaaaaaaaa1', 'Aliases': "
    "['web']}],"
    "  'ForceUpdate': 0, 'Runtime': 'container'},"
    " 'Mode': {'Replicated': {'Replicas': 1}}, 'EndpointSpec': {'Mode': 'vip'}}";

/* "PATH = JSON; PATH = JSON": sets each, or removes it when JSON is "-". */
static json_t *changed(const char *base, const char *changes)
{
    cleanup_arena struct arena arena = {0};
    json_t *spec = fixture_json(base);
    char *rest = arena_strdup(&arena, changes);
    for (char *change; (change = strsep(&rest, ";"));) {
        char *equals = strstr(change, " = "), *path = change + strspn(change, " "), *key;
        if (!equals)
            continue;
        *equals = '\0';
        json_t *at = spec;
        while ((key = strsep(&path, ".")) && path) {
            if (!json_object_get(at, key))
                json_object_set_new(at, key, json_object());
            at = json_object_get(at, key);
        }
        if (strcmp(equals + 3, "-") == 0)
            json_object_del(at, key);
        else
            json_object_set_new(at, key, fixture_json(equals + 3));
    }
    return spec;
}

#define CS   "TaskTemplate.ContainerSpec"
#define TASK "TaskTemplate"

/* ---- what the engine changes ---- */

static void read_back(void **state)
{
    (void)state;
    static const struct {
        const char *name, *sent, *read;
    } cases[] = {
        {"nothing", "", ""},
        /* the table of what comes back changed, line by line */
        {"host network", TASK ".Networks = [{'Target': 'host'}]",
         TASK ".Networks = [{'Target': 'wl0qx2jldckqnfa0m7qyi7lmh'}]"},
        {"bridge network", TASK ".Networks = [{'Target': 'bridge'}]",
         TASK ".Networks = [{'Target': 'vuc1ce3xyzzjulidnxvlzc4fq'}]"},
        {"host network, when the list has its twin", TASK ".Networks = [{'Target': 'host'}]",
         TASK ".Networks = [{'Target': 'host'}]"},
        {"two networks", TASK ".Networks = [{'Target': 'shop_back'}, {'Target': 'shop_default'}]",
         TASK
         ".Networks = [{'Target': 'aaaaaaaaaaaaaaaaaaaaaaaa2'}, {'Target': 'aaaaaaaaaaaaaaaaaaaaaaaa1'}]"},
        {"no networks", TASK ".Networks = []", TASK ".Networks = -"},
        {"runtime", TASK ".Runtime = -", TASK ".Runtime = 'container'"},
        {"isolation", "", CS ".Isolation = 'default'"},
        {"isolation given", CS ".Isolation = 'default'", CS ".Isolation = 'default'"},
        {"isolation in capitals", CS ".Isolation = 'Process'", CS ".Isolation = 'process'"},
        {"isolation of an unknown word", CS ".Isolation = 'foo'", CS ".Isolation = 'default'"},
        {"endpoint mode vip given", "EndpointSpec = {'Mode': 'vip'}", "EndpointSpec = {'Mode': 'vip'}"},
        {"endpoint mode dnsrr", "EndpointSpec = {'Mode': 'dnsrr'}", "EndpointSpec = {'Mode': 'dnsrr'}"},
        {"ports", "EndpointSpec = {'Ports': [{'TargetPort': 80}]}",
         "EndpointSpec = {'Mode': 'vip', 'Ports': [{'Protocol': 'tcp', 'TargetPort': 80, 'PublishMode': "
         "'ingress'}]}"},
        {"ports in capitals",
         "EndpointSpec = {'Ports': [{'Protocol': 'UDP', 'TargetPort': 80, 'PublishedPort': 8080, "
         "'PublishMode': 'HOST'}]}",
         "EndpointSpec = {'Mode': 'vip', 'Ports': [{'Protocol': 'udp', 'TargetPort': 80, 'PublishedPort': "
         "8080, 'PublishMode': "
         "'host'}]}"},
        {"ports with unknown words",
         "EndpointSpec = {'Ports': [{'Protocol': 'quic', 'TargetPort': 80, 'PublishMode': 'foo'}]}",
         "EndpointSpec = {'Mode': 'vip', 'Ports': [{'Protocol': 'tcp', 'TargetPort': 80, 'PublishMode': "
         "'ingress'}]}"},
        {"ports in another order",
         "EndpointSpec = {'Ports': [{'TargetPort': 1, 'PublishedPort': 9}, {'TargetPort': 2, "
         "'PublishedPort': 9}]}",
         "EndpointSpec = {'Mode': 'vip', 'Ports': [{'Protocol': 'tcp', 'TargetPort': 2, 'PublishedPort': 9, "
         "'PublishMode': "
         "'ingress'}, {'Protocol': 'tcp', 'TargetPort': 1, 'PublishedPort': 9, 'PublishMode': 'ingress'}]}"},
        {"replicas", "Mode = {'Replicated': {'Replicas': 0}}", "Mode = {'Replicated': {'Replicas': 0}}"},
        {"no mode", "Mode = -", "Mode = {'Replicated': {'Replicas': 1}}"},
        {"empty mode", "Mode = {}", "Mode = {'Replicated': {'Replicas': 1}}"},
        {"global", "Mode = {'Global': {}}", "Mode = {'Global': {}}"},
        {"global job", "Mode = {'GlobalJob': {}}", "Mode = {'GlobalJob': {}}"},
        {"job", "Mode = {'ReplicatedJob': {}}",
         "Mode = {'ReplicatedJob': {'MaxConcurrent': 1, 'TotalCompletions': 1}}"},
        {"job of three", "Mode = {'ReplicatedJob': {'MaxConcurrent': 3}}",
         "Mode = {'ReplicatedJob': {'MaxConcurrent': 3, 'TotalCompletions': 3}}"},
        {"job of none", "Mode = {'ReplicatedJob': {'MaxConcurrent': 0, 'TotalCompletions': 0}}",
         "Mode = {'ReplicatedJob': {'MaxConcurrent': 0, 'TotalCompletions': 0}}"},
        {"update config", "UpdateConfig = {'Parallelism': 1, 'MaxFailureRatio': 0, 'Order': ''}",
         "UpdateConfig = {'Parallelism': 1, 'FailureAction': 'pause', 'MaxFailureRatio': 0, 'Order': "
         "'stop-first'}"},
        {"update config, all at once",
         "UpdateConfig = {'Parallelism': 0, 'MaxFailureRatio': 0.0, 'Order': 'start-first'}",
         "UpdateConfig = {'Parallelism': 0, 'FailureAction': 'pause', 'MaxFailureRatio': 0, 'Order': "
         "'start-first'}"},
        {"rollback config",
         "RollbackConfig = {'Parallelism': 2, 'Delay': 5, 'FailureAction': 'continue', 'MaxFailureRatio': 0, "
         "'Order': ''}",
         "RollbackConfig = {'Parallelism': 2, 'Delay': 5, 'FailureAction': 'continue', 'MaxFailureRatio': 0, "
         "'Order': 'stop-first'}"},
        {"ratio is a float32", "UpdateConfig = {'MaxFailureRatio': 0.3}",
         "UpdateConfig = {'MaxFailureRatio': 0.30000001192092896, 'FailureAction': 'pause', 'Order': "
         "'stop-first'}"},
        {"ratio, short", "UpdateConfig = {'MaxFailureRatio': 0.12345679}",
         "UpdateConfig = {'MaxFailureRatio': 0.123456789, 'FailureAction': 'pause', 'Order': 'stop-first'}"},
        {"ratio, whole", "UpdateConfig = {'MaxFailureRatio': 1.0}",
         "UpdateConfig = {'MaxFailureRatio': 1, 'FailureAction': 'pause', 'Order': 'stop-first'}"},
        {"restart policy", TASK ".RestartPolicy = {}",
         TASK ".RestartPolicy = {'Condition': 'any', 'MaxAttempts': 0}"},
        {"restart policy given", TASK ".RestartPolicy = {'Condition': 'any'}",
         TASK ".RestartPolicy = {'Condition': 'any', 'MaxAttempts': 0}"},
        {"restart policy, zeros",
         TASK ".RestartPolicy = {'Condition': 'none', 'Delay': 0, 'MaxAttempts': 0, 'Window': 0}",
         TASK ".RestartPolicy = {'Condition': 'none', 'Delay': 0, 'MaxAttempts': 0, 'Window': 0}"},
        {"restart policy, without limit",
         TASK ".RestartPolicy = {'Condition': 'on-failure', 'MaxAttempts': -1}",
         TASK ".RestartPolicy = {'Condition': 'on-failure', 'MaxAttempts': -1}"},
        {"mount without type",
         CS ".Mounts = [{'Source': '/etc', 'Target': '/d', 'VolumeOptions': {'Labels': {'a': ''}}}]",
         CS ".Mounts = [{'Type': 'bind', 'Source': '/etc', 'Target': '/d', 'VolumeOptions': {'Labels': {'a': "
            "''}}}]"},
        {"mount consistency",
         CS ".Mounts = [{'Type': 'volume', 'Source': 'v', 'Target': '/d', 'Consistency': 'cached'}]",
         CS ".Mounts = [{'Type': 'volume', 'Source': 'v', 'Target': '/d'}]"},
        {"bind options", CS ".Mounts = [{'Type': 'bind', 'Source': '/a', 'Target': '/d', 'BindOptions': {}}]",
         CS ".Mounts = [{'Type': 'bind', 'Source': '/a', 'Target': '/d'}]"},
        {"tmpfs options", CS ".Mounts = [{'Type': 'tmpfs', 'Target': '/d', 'TmpfsOptions': {}}]",
         CS ".Mounts = [{'Type': 'tmpfs', 'Target': '/d', 'TmpfsOptions': {}}]"},
        {"driver config",
         CS ".Mounts = [{'Type': 'volume', 'Target': '/d', 'VolumeOptions': {'DriverConfig': {}}}]",
         CS ".Mounts = [{'Type': 'volume', 'Target': '/d', 'VolumeOptions': {'DriverConfig': {}, 'Labels': "
            "null}}]"},
        {"cluster options",
         CS ".Mounts = [{'Type': 'cluster', 'Target': '/d', 'Source': 'x', 'ClusterOptions': {}}]",
         CS ".Mounts = [{'Type': 'cluster', 'Target': '/d', 'Source': 'x'}]"},
        {"privileges of 1.44", "",
         CS ".Privileges = {'CredentialSpec': null, 'NoNewPrivileges': false, 'SELinuxContext': null}"},
        {"credential spec",
         CS ".Privileges = {'CredentialSpec': {'Config': '', 'File': 'x', 'Registry': ''}, "
            "'NoNewPrivileges': false}",
         CS ".Privileges = {'CredentialSpec': {'Config': '', 'File': 'x', 'Registry': ''}, 'SELinuxContext': "
            "null}"},
        {"credential spec in a config",
         CS ".Privileges = {'CredentialSpec': {'Config': 'shop_cred', 'File': '', 'Registry': ''}}; " CS
            ".Configs = [{'Runtime': {}, 'ConfigName': 'shop_cred'}]",
         CS ".Privileges = {'CredentialSpec': {'Config': 'x1', 'File': '', 'Registry': ''}}; " CS
            ".Configs = [{'Runtime': {}, 'ConfigID': 'x1', 'ConfigName': 'shop_cred'}]"},
        {"healthcheck", CS ".Healthcheck = {}", CS ".Healthcheck = {}"},
        {"healthcheck empty", CS ".Healthcheck = {'Test': []}", CS ".Healthcheck = -"},
        {"healthcheck none", CS ".Healthcheck = {'Test': ['NONE']}", CS ".Healthcheck = {'Test': ['NONE']}"},
        {"secrets by name",
         CS ".Secrets = [{'SecretName': 'a', 'File': {'Name': 'a', 'UID': '0', 'GID': '0', 'Mode': 292}}]",
         CS ".Secrets = [{'SecretID': 'x1', 'SecretName': 'a', 'File': {'Name': 'a', 'UID': '0', 'GID': '0', "
            "'Mode': 292}}]"},
        {"one secret twice, in any order",
         CS ".Secrets = [{'SecretName': 'a', 'File': {'Name': 'x'}}, {'SecretName': 'a', 'File': {'Name': "
            "'y'}}]",
         CS ".Secrets = [{'SecretID': 'x1', 'SecretName': 'a', 'File': {'Name': 'y'}}, {'SecretID': 'x1', "
            "'SecretName': 'a', 'File': "
            "{'Name': 'x'}}]"},
        {"configs by name", CS ".Configs = [{'ConfigName': 'a', 'File': {'Name': 'a', 'Mode': 0}}]",
         CS ".Configs = [{'ConfigID': 'x1', 'ConfigName': 'a', 'File': {'Name': 'a', 'Mode': 0}}]"},
        {"empty arguments", CS ".Args = ['', 'a', '']", CS ".Args = ['', 'a', '']"},
        {"order of variables", CS ".Env = ['B=2', 'A=1']", ""},
        {"dns", CS ".DNSConfig = {}", CS ".DNSConfig = -"},
        {"log driver", TASK ".LogDriver = {}", TASK ".LogDriver = {}"},
        {"resources", TASK ".Resources = {'Limits': {}, 'Reservations': {}}",
         TASK ".Resources = {'Limits': {}}"},
        {"no labels", "Labels = null", "Labels = {}"},
        {"our labels", "",
         "Labels = {'com.docker.stack.namespace': 'shop', 'com.docker.stack.image': 'web', "
         "'deploy-agent.deployment': 'h/1', "
         "'deploy-agent.commit': 'c'}"},
        {"force update", "", TASK ".ForceUpdate = 3"},
        {"platforms", TASK ".Placement = {'Platforms': [{'Architecture': 'amd64', 'OS': 'linux'}]}", ""},
        {"platforms gone", "", TASK ".Placement = {'Platforms': [{'Architecture': 'amd64', 'OS': 'linux'}]}"},
        {"strange names", "Labels = {'é.\\n': '\\u0001'}", "Labels = {'é.\\n': '\\u0001'}"},
    };
    cleanup_json json_t *networks = fixture_json(networks_text), *names = json_object();
    json_t *network;
    size_t n;
    json_array_foreach (networks, n, network) {
        json_object_set(names, json_path_string(network, "Id", NULL), json_object_get(network, "Name"));
    }
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_json json_t *sent = changed(sent_text, cases[i].sent),
                            *read = changed(read_text, cases[i].read);
        cleanup_json json_t *before = json_deep_copy(sent);
        if (!spec_same(sent, read, networks) || !spec_same(sent, read, names) ||
            spec_differences(&arena, sent, read, networks)[0])
            fail_msg("%s: not the same: %s", cases[i].name,
                     spec_differences(&arena, sent, read, networks)[0]);
        assert_true(json_equal(sent, before));
        /* what is in effect already is the same as itself, however often it was normalised */
        assert_true(spec_same(read, read, networks));
        cleanup_json json_t *once = spec_normalise(read, networks), *twice = spec_normalise(once, networks);
        if (!json_equal(once, twice))
            fail_msg("%s: the comparable form is not stable", cases[i].name);
    }
}

/* ---- what differs ---- */

static void differences(void **state)
{
    (void)state;
    static const struct {
        const char *name, *from, *to, *want;
        bool restarts;
    } cases[] = {
        {"image", "", CS ".Image = 'web:latest@sha256:2'", "image", true},
        {"image text", "",
         "Labels = {'com.docker.stack.namespace': 'shop', 'com.docker.stack.image': 'web:1'}", "image",
         false},
        {"image and its text", "",
         CS ".Image = 'web:1@sha256:2'; Labels = {'com.docker.stack.namespace': 'shop', "
            "'com.docker.stack.image': 'web:1'}",
         "image", true},
        {"variable", "", CS ".Env = ['A=1', 'B=secret']", "env B", true},
        {"variables", CS ".Env = ['A=1', 'B=2', 'C=3', 'D', 'E=']",
         CS ".Env = ['B=3', 'C', 'D=', 'E=', 'F=1']", "env B, env C, env D, env F, env A removed", true},
        {"variable that begins like another", CS ".Env = ['AB=1']", CS ".Env = ['A=1', 'AB=1']", "env A",
         true},
        {"all variables", "", CS ".Env = -", "env A removed, env B removed", true},
        {"variable that is there twice", "", CS ".Env = ['A=1', 'A=1', 'B=2']", "env", true},
        {"variable with a strange name", "", CS ".Env = ['A=1', 'B=2', 'C\\u001b[31m\\nx=3']", "env C[31m x",
         true},
        {"replicas", "Mode = {'Replicated': {'Replicas': 2}}", "Mode = {'Replicated': {'Replicas': 3}}",
         "replicas 2 → 3", false},
        {"default replicas", "Mode = {'Replicated': {'Replicas': 3}}", "", "replicas 3 → 1", false},
        {"replicas per node", TASK ".Placement = {'MaxReplicas': 2}", TASK ".Placement = {'MaxReplicas': 3}",
         "placement", false},
        {"mode", "", "Mode = {'Global': {}}", "mode", false},
        {"job", "Mode = {'ReplicatedJob': {}}", "Mode = {'ReplicatedJob': {'MaxConcurrent': 2}}", "mode",
         false},
        {"new label", "",
         "Labels = {'com.docker.stack.namespace': 'shop', 'com.docker.stack.image': 'web', 'a.b': '1'}",
         "label a.b", false},
        {"new label without a value", "",
         "Labels = {'com.docker.stack.namespace': 'shop', 'com.docker.stack.image': 'web', 'traefik.enable': "
         "''}",
         "label traefik.enable", false},
        {"label becomes empty", "Labels = {'a': '1'}", "Labels = {'a': ''}", "label a", false},
        {"label removed", "Labels = {'a': '1'}", "Labels = {}", "label a", false},
        {"container label", "", CS ".Labels = {'com.docker.stack.namespace': 'shop', 'a': ''}",
         "container label a", true},
        {"our label on the container", "",
         CS ".Labels = {'com.docker.stack.namespace': 'shop', 'deploy-agent.x': ''}",
         "container label deploy-agent.x", true},
        {"sysctl", CS ".Sysctls = {'a': '1'}", CS ".Sysctls = {'a': ''}", "Sysctls.a", true},
        {"logging option", TASK ".LogDriver = {'Name': 'json-file'}",
         TASK ".LogDriver = {'Name': 'json-file', 'Options': {'tag': ''}}", "logging", true},
        {"command", "", CS ".Args = ['a']", "command", true},
        {"an empty argument more", CS ".Args = ['a']", CS ".Args = ['a', '']", "command", true},
        {"entrypoint", CS ".Command = ['a']", "", "entrypoint", true},
        {"user", "", CS ".User = 'nobody'", "User", true},
        {"init", CS ".Init = true", CS ".Init = false", "Init", true},
        {"init given", "", CS ".Init = false", "Init", true},
        {"grace period of 0", "", CS ".StopGracePeriod = 0", "StopGracePeriod", true},
        {"healthcheck", "", CS ".Healthcheck = {'Test': ['NONE']}", "healthcheck", true},
        {"healthcheck interval", CS ".Healthcheck = {'Test': ['CMD', 'x'], 'Interval': 1}",
         CS ".Healthcheck = {'Test': ['CMD', 'x'], 'Interval': 2}", "healthcheck", true},
        {"start interval", CS ".Healthcheck = {'Test': ['CMD', 'x']}",
         CS ".Healthcheck = {'Test': ['CMD', 'x'], 'StartInterval': 2}", "healthcheck", true},
        {"mount", "", CS ".Mounts = [{'Type': 'tmpfs', 'Target': '/d'}]", "volumes", true},
        {"bind or volume", CS ".Mounts = [{'Source': 'a', 'Target': '/d'}]",
         CS ".Mounts = [{'Type': 'volume', 'Source': 'a', 'Target': '/d'}]", "volumes", true},
        {"order of mounts", CS ".Mounts = [{'Target': '/d'}, {'Target': '/e'}]",
         CS ".Mounts = [{'Target': '/e'}, {'Target': '/d'}]", "volumes", true},
        {"secret", CS ".Secrets = [{'SecretName': 'a', 'SecretID': 'x'}]",
         CS ".Secrets = [{'SecretName': 'a_0123456789ab'}]", "secrets", true},
        {"config's mode", CS ".Configs = [{'ConfigName': 'a', 'File': {'Mode': 292}}]",
         CS ".Configs = [{'ConfigName': 'a', 'File': {'Mode': 0}}]", "configs", true},
        {"network", "", TASK ".Networks = [{'Target': 'shop_back', 'Aliases': ['web']}]", "networks", true},
        {"alias", "", TASK ".Networks = [{'Target': 'shop_default', 'Aliases': ['www', 'web']}]", "networks",
         true},
        {"network that is not listed", TASK ".Networks = [{'Target': 'bbbbbbbbbbbbbbbbbbbbbbbb9'}]", "",
         "networks", true},
        {"to the host's network", "", TASK ".Networks = [{'Target': 'host'}]", "networks", true},
        {"published port", "", "EndpointSpec = {'Ports': [{'TargetPort': 80}]}", "ports", true},
        {"endpoint mode", "", "EndpointSpec = {'Mode': 'dnsrr'}", "endpoint_mode", true},
        {"endpoint mode and ports", "EndpointSpec = {'Mode': 'vip'}",
         "EndpointSpec = {'Mode': 'dnsrr', 'Ports': [{'TargetPort': 80}]}", "endpoint_mode, ports", true},
        {"update config", "", "UpdateConfig = {'Parallelism': 2, 'Order': 'start-first'}", "update_config",
         false},
        {"ratio", "UpdateConfig = {'MaxFailureRatio': 0.3}", "UpdateConfig = {'MaxFailureRatio': 0.31}",
         "update_config", false},
        {"all at once", "UpdateConfig = {'Parallelism': 1}", "UpdateConfig = {'Parallelism': 0}",
         "update_config", false},
        {"rollback config", "RollbackConfig = {'Parallelism': 2}", "", "rollback_config", false},
        {"restart condition", TASK ".RestartPolicy = {'Condition': 'none'}", "", "restart_policy", true},
        {"restart delay of 0", "", TASK ".RestartPolicy = {'Delay': 0}", "restart_policy", true},
        {"limits", "", TASK ".Resources = {'Limits': {'Pids': 100}}", "resources", true},
        {"constraint", "", TASK ".Placement = {'Constraints': ['node.role==manager']}", "placement", true},
        {"spread", "",
         TASK ".Placement = {'Preferences': [{'Spread': {'SpreadDescriptor': 'node.labels.z'}}]}",
         "placement", false},
        {"credential spec", "", CS ".Privileges = {'CredentialSpec': {'File': 'x'}}",
         "Privileges.CredentialSpec.File", true},
        {"no new privileges", "", CS ".Privileges = {'NoNewPrivileges': true}", "Privileges.NoNewPrivileges",
         true},
        {"ulimit of 0", CS ".Ulimits = [{'Name': 'core', 'Hard': -1, 'Soft': -1}]",
         CS ".Ulimits = [{'Name': 'core', 'Hard': 0, 'Soft': 0}]", "Ulimits", true},
    };
    cleanup_json json_t *networks = fixture_json(networks_text);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_str struct str have = {0};
        cleanup_json json_t *from = changed(read_text, cases[i].from), *to = changed(sent_text, cases[i].to);
        const char **words = spec_differences(&arena, to, from, networks);
        if (spec_same(to, from, networks))
            fail_msg("%s: the same", cases[i].name);
        for (size_t k = 0; words[k]; k++)
            str_printf(&have, "%s%s", k ? ", " : "", words[k]);
        expect_text(cases[i].name, str_text(&have), cases[i].want);
        if (spec_restarts_tasks(to, from, networks) != cases[i].restarts)
            fail_msg("%s: restarts: %d", cases[i].name, !cases[i].restarts);
    }
}

/* The same spec, but Swarm compares what it is sent literally. */
static void restarts_by_order(void **state)
{
    (void)state;
    cleanup_json json_t *networks = fixture_json(networks_text);
    cleanup_json json_t *to = changed(sent_text, ""), *from = changed(read_text, CS ".Env = ['B=2', 'A=1']");
    assert_true(spec_same(to, from, networks));
    assert_true(spec_restarts_tasks(to, from, networks));
}

/* ---- the rest ---- */

static void reading(void **state)
{
    (void)state;
    cleanup_json json_t *spec =
        fixture_json("{'Labels': {'a': '1', 'b': ''}, 'V': {'Index': 18, 'x': {'y': -1}}, 'n': 4, 's': 't'}");
    assert_string_equal(spec_label(spec, "a"), "1");
    assert_string_equal(spec_label(spec, "b"), "");
    assert_null(spec_label(spec, "c"));
    assert_null(spec_label(NULL, "a"));
    assert_null(json_path(spec, "V", "Index", "z", NULL));
    assert_null(json_path_string(spec, "V", NULL));
    assert_ptr_equal(json_path(spec, NULL), spec);
    assert_int_equal(json_path_integer(spec, 7, "n", NULL, NULL), 4);
    assert_int_equal(json_path_integer(spec, 7, "V", "Index", NULL), 18);
    assert_int_equal(json_path_integer(spec, 7, "V", "x", "y"), -1);
    assert_int_equal(json_path_integer(spec, 7, "V", "x", "z"), 7);
    assert_int_equal(json_path_integer(spec, 7, "s", NULL, NULL), 7);
    assert_int_equal(json_path_integer(NULL, 7, "s", "t", "u"), 7);
    cleanup_free char *text = spec_text(spec);
    assert_string_equal(
        text,
        "{\"Labels\":{\"a\":\"1\",\"b\":\"\"},\"V\":{\"Index\":18,\"x\":{\"y\":-1}},\"n\":4,\"s\":\"t\"}");
}

/* The engine is outside: whatever it says, no crash. */
static void strange_specs(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{'Labels': 7, 'Mode': 'x', 'EndpointSpec': [], 'TaskTemplate': 'x'}",
        "{'Mode': {'Replicated': 7, 'ReplicatedJob': 'x'}, 'UpdateConfig': 3}",
        "{'TaskTemplate': {'ContainerSpec': [], 'Networks': {'a': 1}, 'RestartPolicy': 'any', 'Placement': "
        "1}}",
        "{'TaskTemplate': {'ContainerSpec': {'Env': 'A=1', 'Secrets': {}, 'Configs': [1, null], 'Mounts': "
        "['x', null], 'Privileges': 1}}}",
        "{'TaskTemplate': {'ContainerSpec': {'Env': [1, null, {}]}, 'Networks': [1, {'Target': 2}]}, "
        "'EndpointSpec': {'Ports': [1]}}",
        "{'UpdateConfig': {'MaxFailureRatio': 1e300}, 'RollbackConfig': {'MaxFailureRatio': -1e300}}",
    };
    cleanup_json json_t *networks = fixture_json("[1, {'Name': 3, 'Id': 'x'}, {'Id': 4}, null]");
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        for (size_t k = 0; k < ARRAY_SIZE(texts); k++) {
            cleanup_arena struct arena arena = {0};
            cleanup_json json_t *a = fixture_json(texts[i]), *b = fixture_json(texts[k]);
            bool same = spec_same(a, b, networks);
            assert_int_equal(same, spec_differences(&arena, a, b, networks)[0] == NULL);
            assert_true(same || i != k);
            assert_false(spec_restarts_tasks(a, b, networks) && i == k);
        }
}

/* ---- for tests/core/test_readback.py ---- */

/* A line of {"desired", "live", "networks"} on stdin, a line of words on stdout. */
static int compare_lines(void)
{
    cleanup_free char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        cleanup_arena struct arena arena = {0};
        cleanup_str struct str words = {0};
        cleanup_json json_t *input = json_loads(line, 0, NULL);
        const json_t *desired = json_object_get(input, "desired"), *live = json_object_get(input, "live");
        const json_t *networks = json_object_get(input, "networks");
        const char **list = spec_differences(&arena, desired, live, networks);
        for (size_t i = 0; list[i]; i++)
            str_printf(&words, "%s%s", i ? ", " : "", list[i]);
        printf("%s\n", spec_same(desired, live, networks) ? "same" : str_text(&words));
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && str_eq(argv[1], "--compare"))
        return compare_lines();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_back), cmocka_unit_test(differences),   cmocka_unit_test(restarts_by_order),
        cmocka_unit_test(reading),   cmocka_unit_test(strange_specs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
