/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * agent.conf as structs. config_load() reads, checks and completes; nothing else reads the file.
 * All strings live in the config's arena and are never NULL unless said so. Durations are in µs.
 * Errors name file, line and key: "/etc/deploy-agent/agent.conf:12: [stack web] poll_interval: …";
 * all errors of a file are listed, one per line.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "agent/freeze.h"
#include "agent/log.h"
#include "base/arena.h"

#define CONFIG_DEFAULT_PATH "/etc/deploy-agent/agent.conf"
enum { CONFIG_MAX_SIZE = 1 << 20 };

enum act { ACT_LEADER, ACT_ALWAYS, ACT_NEVER };
enum resolve_image { RESOLVE_ALWAYS, RESOLVE_CHANGED };
enum on_failure { ON_FAILURE_ROLLBACK, ON_FAILURE_HALT };
enum drift { DRIFT_IGNORE, DRIFT_REPORT, DRIFT_CORRECT };
enum shape { SHAPE_GENERIC, SHAPE_SLACK, SHAPE_DISCORD, SHAPE_NTFY };
enum forge { FORGE_NONE, FORGE_GITHUB, FORGE_GITLAB, FORGE_GITEA };

struct stack_config {
    const char *name; /* [a-z0-9][a-z0-9_-]*, at most 48 bytes; Swarm's namespace */
    const char *repository, *branch;
    char **files; /* NULL-terminated, at least one; paths from the repository's root */
    size_t n_files;
    int64_t poll_interval_us;
    const char *env_file; /* NULL: none */
    const char *username, *token_file, *ssh_key, *known_hosts,
        *ca_file; /* NULL: not set, but known_hosts has a default */
    bool insecure;
    enum resolve_image resolve_image;
    int64_t image_wait_us;
    char **image_of_commit; /* image repositories, NULL-terminated, may be empty */
    char **image_paths;     /* NULL-terminated, default "." */
    bool follow_tags;
    enum on_failure on_failure;
    enum drift drift;
    bool prune;
    bool approve;
    struct freeze freeze;
    const char *status_token_file;   /* NULL: no commit statuses, and what follows is not used */
    enum forge forge;                /* as configured, or known by the repository's host */
    const char *status_url;          /* base of its API, without a slash at the end */
    const char *project;             /* OWNER/REPOSITORY there */
    const char *webhook_secret_file; /* NULL: no webhook */
    char *webhook_secret;            /* its content: webhook_secrets_load() of agent/webhook.h; else NULL */
    unsigned line;                   /* of the section header */
};

struct notify_config {
    const char *name;
    const char *url, *url_file; /* one of them; what it holds is a secret */
    enum shape shape;
    char **on;     /* names of deployment states, NULL-terminated */
    char **stacks; /* NULL-terminated; empty: all */
    const char *ca_file;
    bool insecure;
    unsigned line;
};

struct config {
    struct arena arena;
    const char *path;
    const char *state_dir, *run_dir;
    const char *docker; /* unix:///var/run/docker.sock */
    enum act act;
    enum log_level log_level;
    unsigned parallel;
    bool remove_images;
    unsigned *control_uids;
    size_t n_control_uids;
    const char *registry_auth_file;                       /* NULL: none */
    const char *records_postgres, *records_postgres_file; /* URL, or where it is; NULL: not set */
    unsigned records_keep;
    const char *http_listen; /* NULL: no HTTP */
    const char *http_link;   /* where people reach the page, without a slash at the end; NULL: nowhere */
    struct notify_config *notify;
    size_t n_notify;
    struct stack_config *stacks; /* in file order */
    size_t n_stacks;
};

int config_load(const char *path, struct config *ret, struct error *err) MUST_CHECK;
/* The first half of it: the file's text, refused when every user may write it, or when it is too large. */
int config_read(struct arena *arena, const char *path, char **ret_text, size_t *ret_len,
                struct error *err) MUST_CHECK;
/* Pure: the same from memory; `path` is for messages. Files that it names are not looked at. */
int config_parse(const char *path, const char *text, size_t len, struct config *ret,
                 struct error *err) MUST_CHECK;
/* Refuses a file that every user may read while it holds a secret; part of config_load(). */
int config_check_rights(const char *path, const struct config *config, struct error *err) MUST_CHECK;
void config_release(struct config *config);
/* http_listen as a socket's address: 127.0.0.1:9180, [::1]:9180 */
struct sockaddr_storage;
int config_listen_address(const char *text, struct sockaddr_storage *ret, unsigned *ret_size,
                          struct error *err) MUST_CHECK;
const struct stack_config *config_stack(const struct config *config, const char *name);   /* NULL: none */
const struct notify_config *config_notify(const struct config *config, const char *name); /* NULL: none */
/* Is this a URL that a message can be sent to? NULL, or what is wrong with it. Registers it as a secret. */
const char *config_notify_url_fault(const char *url);
/* What can be told of a stack itself, besides the states of its deployments; NULL-terminated. */
extern const char *const config_stack_words[];
/* Is it plain http to a host that is not this one? */
bool config_url_is_insecure(const char *url);

/* Polls that failed for as long are an alarm: fifteen minutes, or ten polls where those take longer. */
int64_t config_poll_alarm_us(const struct stack_config *stack);

/* STATE_DIR/journal.db, RUN_DIR/control.sock, STATE_DIR/repo/…: one place knows them */
char *config_journal_path(struct arena *arena, const struct config *config);
char *config_control_path(struct arena *arena, const struct config *config);
char *config_repo_path(struct arena *arena, const struct config *config, const struct stack_config *stack);
char *config_lock_path(struct arena *arena, const struct config *config, const char *stack);
