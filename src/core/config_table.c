/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config_table.h"

#include "agent/config.h"
#include "base/cleanup.h"

#define MAIN(field)   offsetof(struct config, field)
#define STACK(field)  offsetof(struct stack_config, field)
#define NOTIFY(field) offsetof(struct notify_config, field)

const struct config_section config_sections[] = {
    {"agent", false, 0}, {"registry", false, 0}, {"records", false, 0},
    {"http", false, 0},  {"notify", true, 0},    {"stack", true, 0},
};
const size_t n_config_sections = ARRAY_SIZE(config_sections);

/* clang-format off: one row per key */
const struct config_key config_keys[] = {
    {"agent", "state_dir", config_parse_absolute, MAIN(state_dir), 0, "/var/lib/deploy-agent",
     "the record of deployments, Git mirrors and locks"},
    {"agent", "run_dir", config_parse_absolute, MAIN(run_dir), 0, "/run/deploy-agent", "the control socket"},
    {"agent", "docker", config_parse_docker, MAIN(docker), 0, "unix:///var/run/docker.sock",
     "the engine's socket"},
    {"agent", "act", config_parse_act, MAIN(act), 0, "leader",
     "deploy where this node is the Swarm leader (leader), always, or never (watch only)"},
    {"agent", "log_level", config_parse_log_level, MAIN(log_level), 0, "info",
     "err, warning, notice, info or debug"},
    {"agent", "parallel", config_parse_parallel, MAIN(parallel), 0, "2",
     "stacks deployed at the same time, 1 to 64"},
    {"agent", "remove_images", config_parse_bool, MAIN(remove_images), 0, "no",
     "after a success, remove images of older deployments from this node that no rollback needs"},
    {"agent", "control_uids", config_parse_uids, 0, 0, "",
     "numeric user ids that may do more than ask: sync, retry, cancel, approve, pause, resume, rollback, "
     "migrate"},

    {"registry", "auth_file", config_parse_optional_path, MAIN(registry_auth_file), 0, "",
     "Docker's own config.json, credential helpers included"},

    {"records", "postgres", config_parse_postgres, MAIN(records_postgres), 0, "",
     "URL of a PostgreSQL database that gets a copy of the records; this file must be closed to others then"},
    {"records", "postgres_file", config_parse_optional_path, MAIN(records_postgres_file), 0, "",
     "file that holds that URL instead"},
    {"records", "keep", config_parse_keep, MAIN(records_keep), 0, "1000",
     "ended deployments kept per stack, 1 to 1000000; the last success always is"},

    {"http", "listen", config_parse_listen, MAIN(http_listen), 0, "127.0.0.1:9180",
     "address of the HTTP endpoint, empty for none"},
    {"http", "link", config_parse_base_url, MAIN(http_link), 0, "",
     "URL under which people reach the endpoint, for links in messages"},

    {"notify", "url", config_parse_notify_url, NOTIFY(url), 0, "",
     "where to send to, a secret: then this file is for root and the group deploy-agent only"},
    {"notify", "url_file", config_parse_optional_path, NOTIFY(url_file), 0, "",
     "a file that holds the URL instead"},
    {"notify", "shape", config_parse_shape, NOTIFY(shape), 0, "generic",
     "form of the message: generic (JSON), slack, discord or ntfy"},
    {"notify", "on", config_parse_states, NOTIFY(on), 0, "failed rolled_back halted stuck",
     "what is told; also succeeded, cancelled, superseded, running, polls_stalled, approval_needed, ..."},
    {"notify", "stacks", config_parse_stacks, NOTIFY(stacks), 0, "", "only these stacks; empty for all"},
    {"notify", "ca_file", config_parse_optional_path, NOTIFY(ca_file), 0, "",
     "certificate authority of a private receiver"},
    {"notify", "insecure", config_parse_bool, NOTIFY(insecure), 0, "no", "allow plain http beyond this host"},

    {"stack", "repository", config_parse_repository, STACK(repository), CONFIG_REQUIRED, NULL,
     "URL of the Git repository: https, ssh or file; http on this host only, see insecure"},
    {"stack", "branch", config_parse_branch, STACK(branch), 0, "main", "the branch whose tip is deployed"},
    {"stack", "file", config_parse_files, STACK(files), CONFIG_REQUIRED, NULL,
     "stack file, from the repository's root; several merge as `docker stack deploy -c -c` does"},
    {"stack", "poll_interval", config_parse_poll_interval, STACK(poll_interval_us), 0, "30s",
     "time between two looks at the branch, 1s to 1d"},
    {"stack", "env_file", config_parse_optional_path, STACK(env_file), 0, "",
     "variables for the stack file; readable by root, the agent and the group deploy-agent only"},
    {"stack", "username", config_parse_username, STACK(username), 0, "",
     "user for https with token_file, or for ssh"},
    {"stack", "token_file", config_parse_optional_path, STACK(token_file), 0, "",
     "file with the password or access token for https"},
    {"stack", "ssh_key", config_parse_optional_path, STACK(ssh_key), 0, "",
     "private key for ssh, ed25519 or ecdsa"},
    {"stack", "known_hosts", config_parse_absolute, STACK(known_hosts), 0, "/etc/deploy-agent/known_hosts",
     "host keys accepted for ssh"},
    {"stack", "ca_file", config_parse_optional_path, STACK(ca_file), 0, "",
     "certificate authority of a private https server"},
    {"stack", "insecure", config_parse_bool, STACK(insecure), 0, "no", "allow plain http beyond this host"},
    {"stack", "allowed_signers", NULL, 0, CONFIG_LATER, "",
     "SSH keys whose commits are deployed (not supported by this version yet)"},
    {"stack", "allowed_keyring", NULL, 0, CONFIG_LATER, "",
     "PGP keys whose commits are deployed (not supported by this version yet)"},
    {"stack", "signatures", NULL, 0, CONFIG_LATER, "off",
     "which commits must be signed (not supported by this version yet)"},
    {"stack", "resolve_image", config_parse_resolve_image, STACK(resolve_image), 0, "always",
     "each new commit resolves every tag (always), or only those whose image text changed (changed)"},
    {"stack", "image_wait", config_parse_image_wait, STACK(image_wait_us), 0, "15m",
     "how long to wait for an image that is not in the registry yet, at most 7d"},
    {"stack", "image_of_commit", config_parse_images, STACK(image_of_commit), 0, "",
     "image repositories whose image must carry the commit in its label org.opencontainers.image.revision"},
    {"stack", "image_paths", config_parse_paths, STACK(image_paths), 0, ".",
     "image_of_commit is waited for when one of these paths changed"},
    {"stack", "follow_tags", config_parse_bool, STACK(follow_tags), 0, "no",
     "a tag that moves without a commit is deployed too"},
    {"stack", "on_failure", config_parse_on_failure, STACK(on_failure), 0, "rollback",
     "put the services back (rollback) or leave everything as it is (halt)"},
    {"stack", "drift", config_parse_drift, STACK(drift), 0, "report",
     "services that others changed: say so in status (report), put them back too (correct), or ignore"},
    {"stack", "prune", config_parse_bool, STACK(prune), 0, "yes",
     "remove what the stack file no longer has of ours: services, and configs and secrets that no rollback "
     "needs"},
    {"stack", "approve", config_parse_bool, STACK(approve), 0, "no",
     "deploy a commit only after `agentctl approve`"},
    {"stack", "freeze", config_parse_freeze, STACK(freeze), 0, "",
     "times in which nothing is deployed by itself, local time: Fri 16:00..Mon 08:00, 22:00..06:00"},
    {"stack", "status_token_file", config_parse_optional_path, STACK(status_token_file), 0, "",
     "token for writing commit statuses at the repository's forge"},
    {"stack", "status_forge", config_parse_forge, STACK(forge), 0, "auto",
     "github, gitlab, gitea (also Forgejo), or known by the repository's host (auto)"},
    {"stack", "status_url", config_parse_base_url, STACK(status_url), 0, "",
     "base URL of the forge's API, where it is not the usual one of the repository's host"},
    {"stack", "webhook_secret_file", config_parse_optional_path, STACK(webhook_secret_file), 0, "",
     "file with the secret of the webhook that means \"poll now\", at least 32 characters"},
};
/* clang-format on */
const size_t n_config_keys = ARRAY_SIZE(config_keys);
_Static_assert(ARRAY_SIZE(config_keys) <= CONFIG_MAX_KEYS, "struct config_part has no room for another key");
