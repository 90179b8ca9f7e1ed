/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Telling others over HTTP: messages to people ([notify NAME] of agent.conf), and statuses beside commits
 * (status_token_file). One file per shape of a message and per forge, and a row in the tables below.
 *
 *     notice_load(journal, &arena, &event, link, &notice, err)      what there is to say, from the record
 *     message_make(&arena, config, url, &notice, &message)          how it is said
 *     status_make(&arena, stack, token, &notice, &message)
 *     message_send(http, &arena, &message, &answer, err)            one POST
 *
 * Requests follow no redirect, use no proxy, and never reach link-local addresses; see net/http.h. URL and
 * token are secrets: no error holds them.
 */

#include "agent/config.h"
#include "agent/outbox.h"
#include "net/http.h"
#include "view/ending.h"

/* What happened to a deployment. Texts are as the journal has them: cleaned, but written by anybody. */
struct notice {
    const char *id;   /* the same when it is told again: HOST-EVENT */
    const char *host; /* of this journal, see journal_identity() */
    const char *state;
    const char *reason;           /* NULL: none */
    struct deployment deployment; /* id 0: the stack itself is meant, and nothing but ->stack is set */
    struct ending_migrations migrations;
    int64_t at_us, took_us; /* took 0: not known, or not at its end */
    int64_t dropped;        /* messages before this one that never came */
    const char *link;       /* its page; NULL: none */
};
/* *ret_found false: the deployment is not on record any more. link: see struct config, may be NULL. */
int notice_load(struct journal *journal, struct arena *arena, const struct event *event, const char *link,
                struct notice *ret, bool *ret_found, struct error *err) MUST_CHECK;

/* Is there something to tell one who was last told this of the stack (commit NULL: nothing yet)? The same
   verdict of the same commit is told once in a row; what is under way each time. before: see
   outbox_verdict_before(): an end that was not to be told is still one in between. *ret: what it has been
   told then; commit NULL: no verdict. */
bool notice_is_news(const struct notice *notice, const struct verdict *told, const struct verdict *before,
                    struct verdict *ret);

/* "shop: rolled back (9f3c1ab)": ASCII, nothing in it is from a commit */
const char *notice_title(struct arena *arena, const struct notice *notice);
/* What it means for production, and what to do next. A line each; "" when there is nothing to say. */
const char *notice_affected(struct arena *arena, const struct notice *notice);
const char *notice_next(struct arena *arena, const struct notice *notice);
/* All of it in plain lines, without the title. `quote` makes harmless what others wrote; NULL: as it is. */
typedef const char *(*notice_quote)(struct arena *arena, const char *text);
const char *notice_text(struct arena *arena, const struct notice *notice, notice_quote quote);

struct message {
    const char *url;
    const char *headers[8]; /* NULL-terminated */
    const char *body;
    const char *ca_file;
};

/* ---- shapes of messages: enum shape of agent/config.h ---- */

struct shape_kind {
    const char *content_type;
    const char *(*body)(struct arena *arena, const struct notice *notice);
    /* headers besides Content-Type and Idempotency-Key; returns how many. NULL: none */
    size_t (*headers)(struct arena *arena, const struct notice *notice, const char **ret);
};
extern const struct shape_kind shape_generic, shape_slack, shape_discord, shape_ntfy;

void message_make(struct arena *arena, const struct notify_config *config, const char *url,
                  const struct notice *notice, struct message *ret);

/* ---- commit statuses: enum forge of agent/config.h ---- */

enum commit_status { STATUS_PENDING, STATUS_SUCCESS, STATUS_FAILURE, STATUS_SUPERSEDED };

struct forge_kind {
    const char *states[4];    /* its words, in the order of enum commit_status */
    const char *token_header; /* "Authorization: Bearer " */
    const char *accept;       /* a header; NULL: none */
    size_t description_max;   /* characters */
    const char *name_key;     /* "context" */
    const char *(*path)(struct arena *arena, const char *project, const char *commit);
};
extern const struct forge_kind forge_github, forge_gitlab, forge_gitea;

/* The same for the status of a commit, where what is under way counts, too. What was superseded before it
   began has none that could be left pending. */
bool status_is_news(const struct notice *notice, const struct verdict *told, struct verdict *ret);
/* -1: nothing to tell of this state. */
int status_make(struct arena *arena, const struct stack_config *stack, const char *token,
                const struct notice *notice, struct message *ret);

/* ---- sending ---- */

struct answer {
    long status;            /* 0: none came */
    bool refused;           /* this message, for what it says (400, 413, 422): it will never be taken */
    int64_t retry_after_us; /* 0: not said */
};
/* -1: it did not arrive, or nobody knows; the text has the status and what the receiver said. */
int message_send(struct http *http, struct arena *arena, const struct message *message, struct answer *ret,
                 struct error *err) MUST_CHECK;
