/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The Engine API over the engine's unix socket (https://docs.docker.com/engine/api/v1.41/), version
 * negotiated by HEAD /_ping, at least 1.41. src/docker builds every request that exists: this list is what
 * the agent can ask an engine. Blocking; each call has a deadline. Objects are jansson values as the engine
 * gives them; new references belong to the caller.
 *
 * Failures: ERR_UNAVAILABLE (socket missing, connection cut, 5xx that may pass, "no leader"),
 * ERR_NOT_FOUND (404), ERR_CONFLICT (409, "update out of sequence"), ERR_REFUSED (401, 403),
 * ERR_INVALID (400 and InvalidArgument), ERR_TIMEOUT. The text holds the engine's own words.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/error.h"
#include "base/arena.h"
#include "base/str.h"

struct docker;

/* `url` is unix:///path; auth_file is Docker's config.json or NULL. No request is sent yet. */
int docker_open(const char *url, const char *auth_file, struct docker **ret, struct error *err) MUST_CHECK;
void docker_close(struct docker *docker);
/*
 * `guard` is asked before each request that changes the swarm (services, networks, secrets, configs); when it
 * fails, nothing is sent, and its error is the request's.
 */
void docker_set_guard(struct docker *docker, int (*guard)(void *userdata, struct error *err), void *userdata);
/* No request of this connection takes longer than this. */
void docker_set_limit(struct docker *docker, int64_t limit_us);
const char *docker_api_version(const struct docker *docker); /* "1.41"; NULL before the first request */

struct swarm_info {
    const char *state; /* the engine's word: inactive, pending, active, error, locked */
    bool active;       /* this node is in a swarm */
    bool manager;      /* and a reachable manager */
    bool leader;
    const char *node_id, *node_name, *availability, *engine_version, *cluster_id;
};
int docker_swarm(struct docker *docker, struct arena *arena, struct swarm_info *ret,
                 struct error *err) MUST_CHECK;

/* ---- reading; `label` is KEY=VALUE or NULL ---- */
int docker_services(struct docker *docker, const char *label, json_t **ret, struct error *err) MUST_CHECK;
int docker_service(struct docker *docker, const char *id_or_name, json_t **ret, struct error *err) MUST_CHECK;
int docker_networks(struct docker *docker, const char *label, json_t **ret, struct error *err) MUST_CHECK;
int docker_network(struct docker *docker, const char *id_or_name, json_t **ret, struct error *err) MUST_CHECK;
int docker_secrets(struct docker *docker, const char *label, json_t **ret, struct error *err) MUST_CHECK;
int docker_configs(struct docker *docker, const char *label, json_t **ret, struct error *err) MUST_CHECK;
int docker_secret(struct docker *docker, const char *id_or_name, json_t **ret, struct error *err) MUST_CHECK;
int docker_config(struct docker *docker, const char *id_or_name, json_t **ret, struct error *err) MUST_CHECK;
/* up_to_date: only tasks whose spec is the service's present one (the engine's filter _up-to-date) */
int docker_tasks(struct docker *docker, const char *service_id, bool up_to_date, json_t **ret,
                 struct error *err) MUST_CHECK;
/* Tasks by a label of their service, KEY=VALUE: those of a service that was removed meanwhile, too. */
int docker_tasks_labelled(struct docker *docker, const char *label, json_t **ret,
                          struct error *err) MUST_CHECK;
int docker_nodes(struct docker *docker, json_t **ret, struct error *err) MUST_CHECK;
/* A container of this node (health state of a local task); ERR_NOT_FOUND when it runs elsewhere. */
int docker_container(struct docker *docker, const char *id, json_t **ret, struct error *err) MUST_CHECK;

/* ---- writing ---- */
int docker_network_create(struct docker *docker, const json_t *body, char **ret_id,
                          struct error *err) MUST_CHECK; /* caller frees id */
int docker_secret_create(struct docker *docker, const json_t *body, char **ret_id,
                         struct error *err) MUST_CHECK;
int docker_config_create(struct docker *docker, const json_t *body, char **ret_id,
                         struct error *err) MUST_CHECK;
int docker_secret_update(struct docker *docker, const char *id, uint64_t version, const json_t *body,
                         struct error *err) MUST_CHECK;
int docker_config_update(struct docker *docker, const char *id, uint64_t version, const json_t *body,
                         struct error *err) MUST_CHECK;
int docker_secret_remove(struct docker *docker, const char *id, struct error *err) MUST_CHECK;
int docker_config_remove(struct docker *docker, const char *id, struct error *err) MUST_CHECK;
/* image: whose registry's credentials go along (X-Registry-Auth); NULL: none.
   Warnings of the engine are appended to *warnings, one per line, when it is not NULL. */
int docker_service_create(struct docker *docker, const json_t *spec, const char *image, char **ret_id,
                          struct str *warnings, struct error *err) MUST_CHECK;
int docker_service_update(struct docker *docker, const char *id, uint64_t version, const json_t *spec,
                          const char *image, struct str *warnings, struct error *err) MUST_CHECK;
int docker_service_remove(struct docker *docker, const char *id, struct error *err) MUST_CHECK;

/* ---- images ---- */
/* What the registry says of a reference, through the engine: GET /distribution/NAME/json. */
struct image_info {
    const char *digest; /* sha256:… */
    json_t *platforms;  /* [{"Architecture","OS"}…] for Placement.Platforms; owned by the caller */
};
/*
 * Failures tell apart: ERR_NOT_FOUND (no such tag or repository yet), ERR_REFUSED (401, 403: the
 * registry's words), ERR_UNAVAILABLE (registry unreachable or 5xx), ERR_INVALID. Engines wrap the
 * registry's answer in 500s and 403s of their own: the classification looks at the text, see image.c.
 */
int docker_distribution(struct docker *docker, struct arena *arena, const char *image, struct image_info *ret,
                        struct error *err) MUST_CHECK;
/* Registries say "denied" of a repository that does not exist yet, too: is it such a refusal? */
bool docker_may_not_exist(const struct error *err);
struct pull_progress {
    unsigned layers, done; /* done: here already, or pulled and unpacked */
    int64_t bytes;         /* downloaded so far */
    int64_t bytes_total;   /* to be downloaded in all; 0: not known of each layer yet */
};
typedef void (*pull_progress_fn)(void *userdata, const struct pull_progress *progress);
/* Pulls onto this node, reading the progress stream to its end: an errorDetail in it is a failure. Each line
 * of it tells `fn` how far it is; NULL: nobody wants to know. */
int docker_image_pull(struct docker *docker, const char *image, int64_t timeout_us, pull_progress_fn fn,
                      void *userdata, struct error *err) MUST_CHECK;
int docker_image(struct docker *docker, const char *name, json_t **ret,
                 struct error *err) MUST_CHECK; /* inspect */
/* Creates an image from a tar in memory (POST /images/create?fromSrc=-); its ID goes to *ret_id (caller
 * frees). */
int docker_image_import(struct docker *docker, const void *tar, size_t len, const char *const *changes,
                        char **ret_id, struct error *err) MUST_CHECK;
/* The images of this node with that label; NULL: all. */
int docker_images(struct docker *docker, const char *label, json_t **ret, struct error *err) MUST_CHECK;
/* Takes a name from an image of this node; with the last one the image goes. One that a container uses is
 * refused: ERR_CONFLICT. */
int docker_image_remove(struct docker *docker, const char *name, struct error *err) MUST_CHECK;
/* Is anything known for this image's registry in auth_file? For `check`. */
bool docker_has_auth(struct docker *docker, const char *image);

/* ---- logs ---- */
/*
 * Up to where a log was read, by the engine's timestamps, which is all it can be asked by: ns since 1970 of
 * the last line of each stream; 0: none. Each stream is in order, but not the two of them: a line may be
 * stamped, and written only after later ones of the other stream have been read.
 */
struct log_position {
    int64_t out_ns, err_ns;
};

/* Reads a service's log (stdout and stderr demultiplexed) to its present end, what is behind `since` (NULL:
   all). Each line goes to the callback with its timestamp; returning non-zero stops. Lines longer than 64 KiB
   are cut. ERR_UNAVAILABLE and ERR_TIMEOUT may mean that one node did not answer: lines of the others were
   delivered. */
typedef int (*docker_log_fn)(void *userdata, int64_t timestamp_ns, bool is_stderr, const char *line,
                             size_t len);
int docker_service_logs(struct docker *docker, const char *id, const struct log_position *since,
                        unsigned tail, docker_log_fn fn, void *userdata,
                        struct error *err) MUST_CHECK; /* tail 0: all */
/* The same of one task. */
int docker_task_logs(struct docker *docker, const char *id, unsigned tail, docker_log_fn fn, void *userdata,
                     struct error *err) MUST_CHECK;

/* ---- relay (relay.c): a tiny task of ours on the stack's networks, see docs/architecture.md ---- */
struct relay;
/*
 * Makes sure the stack's relay service runs on this node on the given networks (names) and returns a handle;
 * waits up to timeout_us. The service is outside the stack's namespace, named deploy-agent-relay_STACK,
 * labels deploy-agent.relay=STACK; image imported by us and addressed by its ID. The handle uses `docker` as
 * long as it lives.
 */
int relay_ensure(struct docker *docker, const char *stack, const char *const *networks, int64_t timeout_us,
                 const char *run_dir, struct relay **ret, struct error *err) MUST_CHECK;
/* A handle on the one that runs already, as it is: nothing is made or changed. ERR_NOT_FOUND: none does. */
int relay_find(struct docker *docker, const char *stack, const char *run_dir, struct relay **ret,
               struct error *err) MUST_CHECK;
void relay_close(struct relay *relay); /* the service stays, the sockets and the splicing process go */
/* A unix socket path on which each connection is a TCP connection to host:port inside the overlay;
   host is a task address or a service name. Same target, same socket, until so many others were asked for
   that its place was needed: then there is nothing at that path any more, and connections that were made go
   on. Owned by the relay. Its name is .s.PGSQL.PORT in a folder of its own: libpq takes host=FOLDER
   port=PORT. A target that cannot be reached accepts, and closes at once; relay_failure() says why. Asked
   again after the relay's task was found gone (an engine restarted), it starts a new one first, which takes
   seconds: ask for the socket before each use. */
int relay_target(struct relay *relay, const char *host, unsigned port, const char **ret_socket,
                 struct error *err) MUST_CHECK;
/* Why the last connection through this socket was never made ("10.0.1.7:8000: Connection refused"); NULL: not
   known, or asked before. Owned by the relay. */
const char *relay_failure(struct relay *relay, const char *socket);
/* Was a connection through this socket made since it was asked the last time? */
bool relay_opened(struct relay *relay, const char *socket);
/* Networks (IDs) the relay is attached to: a task address on one of them is reachable. */
bool relay_on_network(const struct relay *relay, const char *network_id);
/* The splicing process behind the sockets: agent-worker execs itself for it. argv[0] is the verb. */
int relay_serve_main(int argc, char **argv);
int relay_remove(struct docker *docker, const char *stack, struct error *err) MUST_CHECK;
