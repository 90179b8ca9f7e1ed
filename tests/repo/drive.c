/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A hand for tests/repo: one call of src/repo per run, the answer on stdout, an error as "KIND: text" on
 * stderr with exit code 1.
 *
 *     repo_drive [KEY=VALUE…] tip | open DIR | fetch DIR | commit DIR C | read DIR C PATH | list DIR C PATH |
 * blob DIR ID | ancestor DIR OLD C | changed DIR OLD C PATH… | has DIR C
 *
 * Keys: repository branch username token_file ssh_key known_hosts ca_file insecure timeout_ms max stop (heed
 * SIGTERM)
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "repo/internal.h"

static const char *const kinds[] = {"none",     "invalid", "not_found", "refused", "unavailable", "timeout",
                                    "conflict", "failed",  "cancelled", "system",  "internal"};

struct drive {
    struct stack_config stack;
    int64_t timeout_us;
    size_t max;
    struct arena arena;
    struct error err;
};

static bool take_key(struct drive *drive, const char *word)
{
    const struct {
        const char *name, **value;
    } keys[] = {
        {"repository", &drive->stack.repository}, {"branch", &drive->stack.branch},
        {"username", &drive->stack.username},     {"token_file", &drive->stack.token_file},
        {"ssh_key", &drive->stack.ssh_key},       {"known_hosts", &drive->stack.known_hosts},
        {"ca_file", &drive->stack.ca_file},
    };
    const char *equals = strchr(word, '=');
    if (!equals)
        return false;
    char *name = arena_strndup(&drive->arena, word, (size_t)(equals - word));
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (str_eq(keys[i].name, name))
            *keys[i].value = equals + 1;
    if (str_eq(name, "insecure"))
        drive->stack.insecure = str_eq(equals + 1, "yes");
    if (str_eq(name, "stop"))
        proc_catch_stop();
    if (str_eq(name, "timeout_ms"))
        drive->timeout_us = strtoll(equals + 1, NULL, 10) * 1000;
    if (str_eq(name, "max"))
        drive->max = strtoul(equals + 1, NULL, 10);
    return true;
}

static void print_bool(bool value)
{
    puts(value ? "yes" : "no");
}

static int run_read(struct drive *drive, struct repo *repo, char **args)
{
    const char *data;
    size_t len;
    if (repo_read(repo, &drive->arena, args[0], args[1], drive->max, &data, &len, &drive->err) < 0)
        return -1;
    fwrite(data, 1, len, stdout);
    return 0;
}

static int run_blob(struct drive *drive, struct repo *repo, char **args)
{
    const char *data;
    size_t len;
    if (repo_read_blob(repo, &drive->arena, args[0], "blob", drive->max, &data, &len, &drive->err) < 0)
        return -1;
    fwrite(data, 1, len, stdout);
    return 0;
}

static int run_list(struct drive *drive, struct repo *repo, char **args)
{
    static const char *const kinds_of_entries[] = {
        [REPO_ENTRY_FILE] = "file", [REPO_ENTRY_FOLDER] = "folder", [REPO_ENTRY_LINK] = "link"};
    struct repo_entry *entries;
    size_t n;
    if (repo_list(repo, &drive->arena, args[0], args[1], &entries, &n, &drive->err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        printf("%s %s %s %llu\n", kinds_of_entries[entries[i].kind], entries[i].blob, entries[i].name,
               (unsigned long long)entries[i].size);
    return 0;
}

static int run_commit(struct drive *drive, struct repo *repo, char **args)
{
    struct commit commit;
    if (repo_commit(repo, &drive->arena, args[0], &commit, &drive->err) < 0)
        return -1;
    printf("%s\n%s\n%s\n%s\n%lld\n", commit.id, commit.subject, commit.author, commit.tag ? commit.tag : "-",
           (long long)commit.committed_us);
    return 0;
}

static int run_history(struct drive *drive, struct repo *repo, const char *verb, char **args)
{
    struct error *err = &drive->err;
    bool yes;
    int r = str_eq(verb, "ancestor")
                ? repo_is_ancestor(repo, args[0], args[1], &yes, err)
                : repo_changed(repo, args[0], args[1], (const char *const *)(args + 2), &yes, err);
    if (r == 0)
        print_bool(yes);
    return r;
}

static int run(struct drive *drive, const char *verb, char **args)
{
    struct error *err = &drive->err;
    char id[COMMIT_HEX_SIZE];
    if (str_eq(verb, "tip")) {
        if (repo_tip_within(&drive->stack, drive->timeout_us, id, err) < 0)
            return -1;
        puts(id);
        return 0;
    }

    struct repo *repo;
    if (repo_open(args[0], &drive->stack, &repo, err) < 0)
        return -1;
    repo->fetch_timeout_us = repo->lock_patience_us = drive->timeout_us;
    int r = 0;
    if (str_eq(verb, "fetch")) {
        if ((r = repo_fetch(repo, id, err)) == 0)
            puts(id);
    } else if (str_eq(verb, "commit")) {
        r = run_commit(drive, repo, args + 1);
    } else if (str_eq(verb, "read")) {
        r = run_read(drive, repo, args + 1);
    } else if (str_eq(verb, "list")) {
        r = run_list(drive, repo, args + 1);
    } else if (str_eq(verb, "blob")) {
        r = run_blob(drive, repo, args + 1);
    } else if (str_eq(verb, "has")) {
        print_bool(repo_has_commit(repo, args[1]));
    } else if (!str_eq(verb, "open")) {
        r = run_history(drive, repo, verb, args + 1);
    }
    repo_close(repo);
    return r;
}

int main(int argc, char **argv)
{
    struct drive drive = {.stack = {.name = "test", .branch = "main", .repository = ""},
                          .timeout_us = 30 * US_PER_S,
                          .max = 1 << 20};
    int i = 1;
    while (i < argc && take_key(&drive, argv[i]))
        i++;
    if (i >= argc)
        return 64;
    int r = run(&drive, argv[i], argv + i + 1);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", kinds[drive.err.kind], drive.err.text);
    arena_release(&drive.arena);
    return r < 0 ? 1 : 0;
}
