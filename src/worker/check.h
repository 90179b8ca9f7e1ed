/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * `check`: each thing the configuration names, tried for real; one line each, with the command that mends it.
 * The check_*.c try; what mends is in check_mends.c, which is pure.
 */

#include "agent/pg.h"
#include "worker/snapshot.h"
#include "worker/work.h"

struct check {
    struct work work;
    unsigned failed;
};

/* "ok", "note" (fine, but look), "FAIL"; mend: what check_mends.c says, NULL: the text says it itself. */
void check_good(const char *format, ...) __attribute__((format(printf, 1, 2)));
void check_note(const char *mend, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_fail(struct check *check, const char *mend, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Root becomes the agent's user, the owner of state_dir, so that what is tried is what the service will meet.
 */
void check_user(struct check *check, const char *config_path);
const char *check_own_name(struct arena *arena);
void check_state_dir(struct check *check);
void check_agentd(struct check *check);
/* path NULL: not configured, which is well. false: it failed, and was told. */
bool check_secret_file(struct check *check, const char *key, const char *path);
/* Leaves check->work.docker open when the engine answers. */
void check_engine(struct check *check);
void check_images(struct check *check, const struct stack *stack);
void check_database(struct check *check, const struct snapshot *snapshot);
void check_receivers(struct check *check);
void check_webhook(struct check *check, const struct stack_config *config);

/* ---- check_mends.c: the command that mends a failure, or shows more about it. NULL: the error says it ----
 */

/* What a person has to write otherwise into that file. */
char *mend_edit(struct arena *arena, const char *path);
char *mend_config(struct arena *arena, const char *path, const struct error *err);
char *mend_state_dir(struct arena *arena, const char *path, const char *user, const struct error *err);
char *mend_secret_file(struct arena *arena, const char *path, const struct error *err);
struct check_engine_facts {
    const char *socket, *user; /* who asks */
    const char *group;         /* of the socket; NULL: there is none */
    bool installed;            /* the engine's program is there */
};
char *mend_engine(struct arena *arena, const struct check_engine_facts *facts, const struct error *err);
/* Of a node that answers: why it cannot deploy. *ret_why NULL: it can. */
char *mend_node(struct arena *arena, const struct swarm_info *swarm, const char **ret_why);
/* The stack files of a commit, and what they are filled with. */
char *mend_commit(struct arena *arena, const struct stack_config *stack, const struct error *err);
/* A server that is reached by its URL; file: where that stands. */
char *mend_server(struct arena *arena, const struct pg_url *url, const char *file, const struct error *err);
char *mend_repository(struct arena *arena, const struct stack_config *stack, const char *config_path,
                      const struct error *err);
/* auth_file NULL: none is configured */
char *mend_image(struct arena *arena, const struct image_ref *ref, const char *auth_file,
                 const struct error *err);
