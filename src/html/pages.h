/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The pages that agentd shows at [http] listen, written from what view/ has read: pure, records in and HTML
 * out. Read-only: there is no form and no button, each thing that can be done is said as the agentctl command
 * that does it. Everything works without the script, which only reads the same page again (live.js).
 *
 * Markup: landmarks and headings in order, one h1; a state is always a word, its colour and shape only help;
 * tables have captions, scopes, and roles, which narrow screens need since rows become blocks there. No
 * inline style or script: the Content-Security-Policy forbids both.
 *
 *     frame.c       head, navigation, footer, refusals
 *     parts.c       states, times, commands: what more than one page needs
 *     history.c     the table of deployments
 *     stacks.c      a stack as it stands; the page of all of them
 *     notices.c     what a person should know
 *     stack.c       one stack, and what is pending
 *     deployment.c  one deployment; timeline.c its steps; made_of.c migrations, services, images
 */

#include "html/html.h"
#include "view/page.h"
#include "view/receivers.h"
#include "view/status.h"

struct site { /* what each page says of where it is */
    const char *host, *version;
    const char *const *stacks; /* configured ones */
    size_t n_stacks;
    int64_t now_us;
};

struct history {
    const struct view *rows; /* newest first */
    size_t n;
    bool several;      /* of several stacks: they are named */
    const char *path;  /* of the page that it stands on */
    int64_t before_id; /* only older ones were asked for; 0: the newest */
    bool more;         /* there are older ones than the last row */
};

struct stack_view {
    struct status status;
    const char *branch;       /* as configured */
    const struct step *steps; /* of the deployment under way */
    size_t n_steps;
};

struct pending {               /* what Git says that is not deployed yet */
    struct deployment planned; /* the newest of this commit, or what deploys it again; id 0: there is none */
    const char *plan;          /* in words, as `agentctl plan` prints it; NULL: not known */
};

/* Events that wait for a receiver are counted up to here. */
enum { RECEIVER_EVENTS_MAX = 1000 };

struct agent_view { /* what is true for all stacks */
    const char *state_dir;
    const char *room; /* of its disk: "120.0 MiB of 40.0 GiB are free"; NULL: there is enough */
    const struct receiver_view *receivers;
    size_t n_receivers;
};

void page_stacks(struct html *h, const struct site *site, const struct agent_view *agent,
                 const struct stack_view *stacks, size_t n, const struct history *history);
void page_stack(struct html *h, const struct site *site, const struct stack_view *stack,
                const struct pending *pending, const struct history *history);
void page_deployment(struct html *h, const struct site *site, const struct page *page);
void page_refusal(struct html *h, const struct site *site, const char *title, const char *words);

/* ---- frame.c ---- */

/* title: what the page says in a few words; it is read aloud when it changes. stack: NULL, or the one it is
 * about. */
void frame_begin(struct html *h, const struct site *site, const char *title, const char *stack);
void frame_end(struct html *h, const struct site *site);

/* ---- parts.c ---- */

/* A class of style.css: what a state means, not how it looks. */
enum tone { TONE_PLAIN, TONE_GOOD, TONE_BAD, TONE_CAREFUL, TONE_BUSY, TONE_FAINT };
const char *tone_class(enum tone tone);
enum tone tone_of_deployment(enum deployment_state state);
enum tone tone_of_step(enum step_state state);
enum tone tone_of_service(const char *state);

void part_state(struct html *h, const char *word, enum tone tone);
void part_deployment_state(struct html *h, enum deployment_state state);
void part_time(struct html *h, int64_t us);                          /* 2026-08-23 14:02; 0: nothing */
void part_running(struct html *h, int64_t since_us, int64_t now_us); /* 1m04s, which the script counts on */
void part_commit(struct html *h, const char *commit);                /* its first seven digits */
void part_deployment(struct html *h, int64_t id);                    /* #42, a link */
void part_digest(struct html *h, const char *image);                 /* NAME@sha256:… shortened */
void part_commands(struct html *h, const char *before, const char *const *commands); /* NULL-terminated */
void part_next(struct html *h, const struct ending *ending);

/* ---- history.c, stacks.c ---- */

void part_history(struct html *h, const struct site *site, const struct history *history);

struct headline {
    const char *word;
    enum tone tone;
};
struct headline stack_headline(const struct status *status);
void part_runs(struct html *h, const struct stack_view *stack);
void part_doing(struct html *h, const struct site *site, const struct stack_view *stack);
void part_services(struct html *h, const struct status *status);

/* ---- notices.c ---- */

void part_agent(struct html *h, const struct agent_view *agent);
void part_notices(struct html *h, const struct status *status);

/* ---- timeline.c, made_of.c ---- */

void part_timeline(struct html *h, const struct site *site, const struct page *page);
void part_migrations(struct html *h, const struct page *page);
void part_backup(struct html *h, const struct page *page);
void part_page_services(struct html *h, const struct page *page);
void part_images(struct html *h, const struct page *page);
void part_answers(struct html *h, const struct page *page);
