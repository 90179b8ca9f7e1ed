/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the verbs of agentctl share: where things are, the journal (opened when first asked for), agentd, and
 * how a failure becomes a message and an exit code. One struct ctl per process.
 *
 * Verbs return an exit code (agent/control.h). Data goes to stdout, messages to stderr.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/control.h"
#include "agent/error.h"
#include "agent/journal.h"
#include "base/arena.h"

struct ctl {
    struct arena arena;
    const char *config_path;
    bool config_given;    /* by --config or the environment, not the default */
    struct config config; /* empty when the file cannot be read */
    bool has_config;
    struct error config_error; /* why it has none */
    const char *journal_path, *control_path;
    struct journal *journal;
};

void ctl_init(struct ctl *ctl);
void ctl_release(struct ctl *ctl);
/*
 * Finds the folders; EXIT_GOOD, or the message was printed. A default configuration that this user may not
 * read is no reason to complain: the default folders are right for most, and the journal's own rights decide.
 * With errors in it they are named, and history can be read all the same. One that was asked for has to be
 * good.
 */
int ctl_configure(struct ctl *ctl, const char *config_option) MUST_CHECK;

int ctl_journal(struct ctl *ctl, struct error *err) MUST_CHECK; /* makes sure that ctl->journal is open */

/* "agentctl: TEXT" on stderr; the exit code that belongs to the kind of error. */
int ctl_fail(const struct error *err);
/* A wrong command line: "agentctl: …" on stderr, EXIT_BAD_USAGE. */
int ctl_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- stacks ---- */
/* Configured ones when the configuration can be read, else those the journal knows. */
int ctl_stacks(struct ctl *ctl, const char *const **ret, size_t *ret_count, struct error *err) MUST_CHECK;
/* The stack meant by an argument that may be NULL: then the only one there is. Unknown: ERR_NOT_FOUND. */
int ctl_stack(struct ctl *ctl, const char *argument, const char **ret, struct error *err) MUST_CHECK;
/* STACK or a deployment's ID, or nothing. *ret_deployment.id is 0 where no ID was given. */
int ctl_target(struct ctl *ctl, const char *argument, const char **ret_stack,
               struct deployment *ret_deployment, struct error *err) MUST_CHECK;
int ctl_deployment(struct ctl *ctl, const char *id, struct deployment *ret, struct error *err) MUST_CHECK;
bool ctl_is_id(const char *text); /* digits only */

/* ---- agentd ---- */
/*
 * Asks agentd; args may be NULL and are taken over. EXIT_GOOD: *ret_reply is an answer with ok true, the
 * caller's. Else the message was printed.
 */
int ctl_call(struct ctl *ctl, const char *verb, const char *stack, json_t *args, int64_t timeout_us,
             json_t **ret_reply) MUST_CHECK;
/* The same without messages, and -1: for those who get along without agentd. */
int ctl_ask(struct ctl *ctl, const char *verb, const char *stack, json_t *args, int64_t timeout_us,
            json_t **ret_reply, struct error *err) MUST_CHECK;
/* Becomes agent-worker; returns only when that failed. argv[0] is filled in. */
int ctl_become_worker(struct ctl *ctl, const char **argv);
/* Prints reply's `message` on stdout, or the text given where there is none. */
void ctl_print_message(const json_t *reply, const char *otherwise);

/* Follows a deployment in the journal until it ends, prints its line; EXIT_GOOD when that is how it ended. */
int ctl_wait(struct ctl *ctl, int64_t id, enum deployment_state wanted);
