/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A journal in a folder of its own, for the tests of src/journal. A failing call fails the test with its
 * text. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/journal.h"

struct fixture {
    char folder[64], path[80];
    struct arena arena;
    struct error err;
    struct journal *journal;
};

#define OK(call)                                                                                             \
    do {                                                                                                     \
        if ((call) < 0)                                                                                      \
            fail_msg("%s: %s", #call, f->err.text);                                                          \
    } while (0)
#define FAILS(call, kind_)                                                                                   \
    do {                                                                                                     \
        f->err = (struct error){0};                                                                          \
        assert_int_equal((call), -1);                                                                        \
        if (f->err.kind != (kind_))                                                                          \
            fail_msg("%s: kind %d, text %s", #call, f->err.kind, f->err.text);                               \
    } while (0)

static const char commit_a[] = "9f3c1ab0c4d5e6f708192a3b4c5d6e7f80912a3b";
static const char commit_b[] = "77be0d2c4d5e6f708192a3b4c5d6e7f80912a3b4";

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static int fixture_new(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *base = getenv("TMPDIR");
    snprintf(f->folder, sizeof f->folder, "%s/journal-XXXXXX", base && strlen(base) < 40 ? base : "/tmp");
    if (!mkdtemp(f->folder))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/journal.db", f->folder);
    *state = f;
    return 0;
}

static int fixture_open(void **state)
{
    if (fixture_new(state) < 0)
        return -1;
    struct fixture *f = *state;
    return journal_open(f->path, JOURNAL_WRITE, &f->journal, &f->err);
}

static int fixture_free(void **state)
{
    struct fixture *f = *state;
    journal_close(f->journal);
    arena_release(&f->arena);
    nftw(f->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static inline int64_t request(struct fixture *f, const char *stack, const char *commit)
{
    struct deployment_request r = {.stack = stack,
                                   .commit = commit,
                                   .branch = "main",
                                   .subject = "Add it",
                                   .author = "alice",
                                   .trigger = TRIGGER_POLL};
    int64_t id = 0;
    OK(journal_request(f->journal, &r, &id, &f->err));
    return id;
}

/* A deployment taken to its end through the states that lead there. */
static inline int64_t ended(struct fixture *f, const char *stack, const char *commit,
                            enum deployment_state end)
{
    int64_t id = request(f, stack, commit);
    OK(journal_set_state(f->journal, id, DEPLOYMENT_PLANNED, NULL, &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_set_state(f->journal, id, end, "for a reason", &f->err));
    return id;
}

static inline struct deployment get(struct fixture *f, int64_t id)
{
    struct deployment d;
    bool found = false;
    OK(journal_deployment(f->journal, &f->arena, id, &d, &found, &f->err));
    assert_true(found);
    return d;
}
