/* SPDX-License-Identifier: Apache-2.0 */
#include "agentctl/verbs.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define JSON_FLAG                                                                                            \
    {                                                                                                        \
        "--json", 0, NULL, "JSON on stdout, times in UTC"                                                    \
    }
#define WAIT_FLAG                                                                                            \
    {                                                                                                        \
        "--wait", 0, NULL, "wait for the end; exit 0 if it succeeded or there was nothing to do, else 1"     \
    }

static const struct verb verbs[] = {
    {"log",
     "[STACK]",
     0,
     1,
     verb_log,
     "history, newest first: what was deployed, what came of it, and why",
     {{"--number", 'n', "N", "only the newest N"},
      {"--state", 0, "S", "only those in this state (succeeded, failed, rolled_back, halted, …)"},
      {"--since", 0, "T", "only since then: 2026-08-23, '2026-08-23 14:02', or 2h for two hours ago"},
      {"--follow", 0, NULL, "go on printing deployments as they end, oldest first"},
      {"--wide", 0, NULL,
       "print WHY whole instead of cutting lines at 100 columns, or at the terminal's width"},
      {"--records", 0, NULL, "of all hosts, from the PostgreSQL that [records] names"},
      JSON_FLAG}},
    {"show",
     "ID",
     1,
     1,
     verb_show,
     "one deployment: commit, plan, steps, migrations, images, services, why, what to do next",
     {{"--logs", 0, NULL, "all output that was kept, not only the last lines of what failed"}, JSON_FLAG}},
    {"status",
     "[STACK]",
     0,
     1,
     verb_status,
     "what runs, what Git says, in step or not, waiting for what, held, paused",
     {JSON_FLAG}},
    {"plan",
     "[STACK]",
     0,
     1,
     verb_plan,
     "what a deployment would change, changing nothing; exit 0 nothing, 2 changes, 1 error",
     {{"--commit", 0, "C", "of this commit instead of the branch's tip"}, JSON_FLAG}},
    {"render",
     "FILE…",
     1,
     64,
     verb_render,
     "the Engine API bodies of a stack file as JSON; needs no engine but for --diff",
     {{"--stack", 0, "NAME", "name of the stack"},
      {"--env-file", 0, "F", "file with variables for interpolation"},
      {"--diff", 0, NULL, "what they would change instead; exit 0 nothing, 2 changes, 1 error"}}},
    {"sync", "[STACK]", 0, 1, verb_sync, "poll now, and deploy what is new", {WAIT_FLAG}},
    {"retry", "[STACK|ID]", 0, 1, verb_retry, "deploy a held commit again", {WAIT_FLAG}},
    {"cancel",
     "[STACK|ID]",
     0,
     1,
     verb_cancel,
     "stop the running deployment and put its services back",
     {{"--wait", 0, NULL,
       "wait for the end; exit 0 if it was cancelled, else 1: it may have been done by then"}}},
    {"approve",
     "[STACK|ID]",
     0,
     1,
     verb_approve,
     "deploy the commit that waits for a person, or for the end of a freeze",
     {{"--commit", 0, "C", "only if it is this one that waits: what was looked at, and nothing newer"}}},
    {"pause",
     "[STACK]",
     0,
     1,
     verb_pause,
     "start no new deployment; the running one ends",
     {{"--reason", 0, "R", "shown in status"},
      {"--until", 0, "T", "resume by itself: 2026-08-24, '2026-08-24 08:00', or 2h"}}},
    {"resume", "[STACK]", 0, 1, verb_resume, "end a pause, or the hold after a rollback", {{0}}},
    {"rollback",
     "[STACK] [ID]",
     0,
     2,
     verb_rollback,
     "put the services back to an earlier success, as recorded; the schema stays",
     {WAIT_FLAG}},
    {"migrate",
     "ACTION [STACK] …",
     1,
     4,
     verb_migrate,
     "SQL files and the database: status, adopt a table, resolve VERSION done|again",
     {{"--step", 0, "NAME", "of this sql step, where there are several"},
      {"--schema", 0, "S", "in this schema, of a step with for_each_schema"},
      {"--statement", 0, "N", "resolve: only the N-th statement of the file"},
      {"--commit", 0, "C", "the files of this commit instead of the branch's tip"},
      {"--json", 0, NULL, "status: JSON on stdout"}}},
    {"check",
     "[STACK]",
     0,
     1,
     verb_check,
     "try all that the configuration names; one line each, with the command that mends it",
     {{0}}},
};

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

/* ---- help ---- */

/* Characters, not bytes: the usage has an ellipsis. */
static int padding(const char *text, int width)
{
    int columns = 0;
    for (const char *p = text; *p; p++)
        columns += (*p & 0xc0) != 0x80;
    return columns < width ? width - columns : 0;
}

void verbs_usage(FILE *to)
{
    fputs("Usage: agentctl [--config FILE] VERB …\n\n", to);
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        cleanup_str struct str left = {0};
        str_printf(&left, "%s %s", verbs[i].name, verbs[i].args);
        fprintf(to, "  %s%*s %s\n", str_text(&left), padding(str_text(&left), 21), "", verbs[i].help);
    }
    fputs("\n  --config FILE  the configuration (default " CONFIG_DEFAULT_PATH ", or $DEPLOY_AGENT_CONFIG)\n"
          "  --version      print the version and exit\n"
          "  --help         this, or after a verb that verb's flags\n\n"
          "STACK may be left out where there is only one. Exit codes: 0 good, 1 failed, 2 changes pending "
          "(plan, render --diff),\n"
          "3 not found, 4 agentd not running, 64 usage. See agentctl(1).\n",
          to);
}

void verb_usage(const struct verb *verb, FILE *to)
{
    fprintf(to, "Usage: agentctl %s %s%s\n%s\n", verb->name, verb->args,
            verb->flags[0].name ? " [FLAG…]" : "", verb->help);
    for (const struct flag *f = verb->flags; f < verb->flags + MAX_FLAGS && f->name; f++) {
        cleanup_str struct str left = {0};
        if (f->letter)
            str_printf(&left, "-%c, ", f->letter);
        str_printf(&left, "%s%s%s", f->name, f->value ? " " : "", f->value ? f->value : "");
        fprintf(to, "%s  %s%*s %s\n", f == verb->flags ? "\n" : "", str_text(&left),
                padding(str_text(&left), 14), "", f->help);
    }
}

/* ---- command lines ---- */

static int find_flag(const struct verb *verb, const char *word, size_t len)
{
    for (int i = 0; i < MAX_FLAGS && verb->flags[i].name; i++) {
        const struct flag *f = &verb->flags[i];
        bool is_letter = f->letter && word[0] == '-' && word[1] == f->letter;
        if ((strlen(f->name) == len && strncmp(f->name, word, len) == 0) || is_letter)
            return i;
    }
    return -1;
}

/* One word that begins with '-'; its value may be the next word, or follow "=" or the letter. Words used, or
 * -1. */
static int parse_flag(struct args *a, const char *word, const char *next)
{
    const char *equals = strchr(word, '=');
    bool is_long = word[1] == '-';
    size_t len = is_long && equals ? (size_t)(equals - word) : strlen(word);
    const char *attached = is_long ? (equals ? equals + 1 : NULL) : word[2] ? word + 2 : NULL;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        a->help = true;
        return 1;
    }
    static const struct flag config = {"--config", 0, "FILE", NULL};
    bool is_config = len == strlen(config.name) && strncmp(word, config.name, len) == 0;
    int i = is_config ? -1 : find_flag(a->verb, word, len);
    const struct flag *f = is_config ? &config : i >= 0 ? &a->verb->flags[i] : NULL;
    const char **value = is_config ? &a->config : &a->values[i < 0 ? 0 : i];
    if (!f)
        return ctl_misuse("%s has no flag %s; see agentctl %s --help", a->verb->name, word, a->verb->name),
               -1;
    if (!f->value && attached)
        return ctl_misuse("%s takes no value", f->name), -1;
    if (f->value && !attached && !next)
        return ctl_misuse("%s needs a value: %s", f->name, f->value), -1;
    *value = !f->value ? "" : attached ? attached : next;
    return f->value && !attached ? 2 : 1;
}

int args_parse(struct arena *arena, const struct verb *verb, int argc, char **argv, struct args *ret)
{
    struct args a = {.verb = verb, .raw = (const char *const *)argv, .n_raw = (size_t)argc};
    a.words = arena_array(arena, (size_t)argc + 1, sizeof *a.words);
    bool only_words = false;
    for (int i = 0; i < argc;) {
        const char *word = argv[i];
        int used = 1;
        if (!only_words && strcmp(word, "--") == 0)
            only_words = true;
        else if (only_words || word[0] != '-' || !word[1])
            a.words[a.n++] = word;
        else if ((used = parse_flag(&a, word, argv[i + 1])) < 0)
            return EXIT_BAD_USAGE;
        i += used;
    }
    if (!a.help && (a.n < verb->min || a.n > verb->max))
        return ctl_misuse("usage: agentctl %s %s; see agentctl %s --help", verb->name, verb->args,
                          verb->name);
    *ret = a;
    return EXIT_GOOD;
}

const char *args_get(const struct args *args, const char *flag)
{
    int i = find_flag(args->verb, flag, strlen(flag));
    return i < 0 ? NULL : args->values[i];
}
