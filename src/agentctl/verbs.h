/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The verbs of agentctl: one row each in verbs.c, from which command lines are parsed and help is made. A new
 * verb is one function and one row.
 */

#include <stdio.h>

#include "agentctl/ctl.h"

enum { MAX_FLAGS = 8 };

struct flag {
    const char *name;  /* "--state" */
    char letter;       /* 'n' for "-n"; 0: none */
    const char *value; /* what the help calls its value; NULL: it takes none */
    const char *help;
};

struct args;

struct verb {
    const char *name;
    const char *args; /* of the usage line: "[STACK] [ID]" */
    size_t min, max;  /* how many of them */
    int (*run)(struct ctl *ctl, const struct args *args);
    const char *help;             /* one line */
    struct flag flags[MAX_FLAGS]; /* ended by an empty one */
};

struct args {
    const struct verb *verb;
    const char **words; /* without the flags; NULL-terminated */
    size_t n;
    const char *values[MAX_FLAGS]; /* of verb->flags; NULL: not given */
    const char *const *raw;        /* everything after the verb as it was given, NULL-terminated */
    size_t n_raw;
    bool help;
    const char *config; /* --config after the verb */
};

int ctl_main(int argc, char **argv); /* the program; its exit code */

const struct verb *verb_find(const char *name); /* NULL: none */
void verbs_usage(FILE *to);
void verb_usage(const struct verb *verb, FILE *to);

/* Exit code; EXIT_GOOD: *ret is filled. Words live in the arena. */
int args_parse(struct arena *arena, const struct verb *verb, int argc, char **argv,
               struct args *ret) MUST_CHECK;
/* The value of a flag, "" for one that takes none; NULL: not given. The name is that of the table. */
const char *args_get(const struct args *args, const char *flag);

int verb_log(struct ctl *ctl, const struct args *args);
int verb_show(struct ctl *ctl, const struct args *args);
int verb_status(struct ctl *ctl, const struct args *args);
int verb_plan(struct ctl *ctl, const struct args *args);
int verb_migrate(struct ctl *ctl, const struct args *args);
int verb_check(struct ctl *ctl, const struct args *args);
int verb_render(struct ctl *ctl, const struct args *args);
int verb_sync(struct ctl *ctl, const struct args *args);
int verb_retry(struct ctl *ctl, const struct args *args);
int verb_cancel(struct ctl *ctl, const struct args *args);
int verb_approve(struct ctl *ctl, const struct args *args);
int verb_pause(struct ctl *ctl, const struct args *args);
int verb_resume(struct ctl *ctl, const struct args *args);
int verb_rollback(struct ctl *ctl, const struct args *args);
