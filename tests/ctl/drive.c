/* SPDX-License-Identifier: Apache-2.0 */

/*
 * ctl_drive JOURNAL: writes a journal as agentd and its workers do, a line from stdin at a time, its words
 * separated by tabs; each is answered by a line: "ok", with a number where there is one, or what went wrong.
 *
 *     request COMMIT SUBJECT AUTHOR     plan ID KIND NAME [KIND NAME]…     state ID STATE [REASON]
 *     begin ID SEQ      live ID SEQ JSON      end ID SEQ STATE [ERROR]      output ID SEQ TEXT
 *     waiting [TEXT]    tip COMMIT
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/journal.h"
#include "base/cleanup.h"
#include "base/str.h"

enum { WORDS_MAX = 40 };

struct line {
    struct journal *journal;
    const char *words[WORDS_MAX]; /* NULL behind the last */
    size_t n;
    long long id;
    unsigned seq;
};

static int request(struct line *l, struct error *err)
{
    int64_t id;
    struct deployment_request r = {.stack = "shop",
                                   .commit = l->words[1],
                                   .branch = "main",
                                   .subject = l->words[2],
                                   .author = l->words[3],
                                   .trigger = TRIGGER_SYNC};
    if (journal_request(l->journal, &r, &id, err) < 0)
        return -1;
    l->id = (long long)id;
    return 0;
}

static int plan(struct line *l, struct error *err)
{
    struct step steps[WORDS_MAX] = {0};
    struct plan_rows rows = {.plan = "{}", .steps = steps};
    for (size_t i = 2; i + 1 < l->n; i += 2, rows.n_steps++)
        steps[rows.n_steps] = (struct step){
            .seq = (unsigned)rows.n_steps + 1, .kind = l->words[i], .name = l->words[i + 1], .params = "{}"};
    return journal_save_plan(l->journal, l->id, &rows, err);
}

static int state(struct line *l, struct error *err)
{
    enum deployment_state state;
    if (deployment_state_parse(l->words[2], &state) < 0)
        return error_set(err, ERR_INVALID, 0, "no such state");
    return journal_set_state(l->journal, l->id, state, l->words[3], err);
}

static int begin(struct line *l, struct error *err)
{
    return journal_step_begin(l->journal, l->id, l->seq, NULL, err);
}

static int live(struct line *l, struct error *err)
{
    return journal_step_live(l->journal, l->id, l->seq, l->words[3], err);
}

static int end(struct line *l, struct error *err)
{
    enum step_state state;
    if (step_state_parse(l->words[3], &state) < 0)
        return error_set(err, ERR_INVALID, 0, "no such state");
    return journal_step_end(l->journal, l->id, l->seq, state, l->words[4], err);
}

static int output(struct line *l, struct error *err)
{
    return journal_step_append_output(l->journal, l->id, l->seq, l->words[3], strlen(l->words[3]), err);
}

static int waiting(struct line *l, struct error *err)
{
    return journal_set_waiting(l->journal, "shop", l->words[1], err);
}

static int tip(struct line *l, struct error *err)
{
    return journal_set_tip(l->journal, "shop", l->words[1], err);
}

static const struct {
    const char *name;
    size_t words;
    int (*run)(struct line *line, struct error *err);
} commands[] = {{"request", 4, request}, {"plan", 4, plan},       {"state", 3, state},
                {"begin", 3, begin},     {"live", 4, live},       {"end", 4, end},
                {"output", 4, output},   {"waiting", 1, waiting}, {"tip", 2, tip}};

static int run(struct line *l, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (str_eq(l->words[0], commands[i].name) && l->n >= commands[i].words)
            return commands[i].run(l, err);
    return error_set(err, ERR_INVALID, 0, "no such command, or too few words");
}

int main(int argc, char **argv)
{
    struct error err = {0};
    struct journal *journal;
    cleanup_free char *text = NULL;
    size_t size = 0;
    if (argc != 2 || journal_open(argv[1], JOURNAL_WRITE, &journal, &err) < 0) {
        fprintf(stderr, "ctl_drive JOURNAL: %s\n", err.text);
        return 1;
    }
    while (getline(&text, &size, stdin) > 0) {
        struct line l = {.journal = journal};
        char *rest = text;
        text[strcspn(text, "\n")] = '\0';
        while (rest && l.n + 1 < WORDS_MAX)
            l.words[l.n++] = strsep(&rest, "\t");
        l.id = l.n > 1 ? strtoll(l.words[1], NULL, 10) : 0;
        l.seq = l.n > 2 ? (unsigned)strtoul(l.words[2], NULL, 10) : 0;
        err = (struct error){0};
        if (run(&l, &err) < 0)
            printf("error %s\n", err.text);
        else
            printf("ok %lld\n", l.id);
        fflush(stdout);
    }
    journal_close(journal);
    return 0;
}
