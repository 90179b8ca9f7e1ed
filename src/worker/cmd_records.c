/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/control.h"
#include "agent/deployment.h"
#include "agent/records.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "worker/records.h"
#include "worker/verbs.h"

/* For `agentctl log --records`: deployments of all hosts, newest first, each a line of JSON. */

static const int64_t timeout_us = 60 * US_PER_S;

static const char usage[] = "usage: agent-worker records [STACK] [--state S] [--since MICROSECONDS] [-n N]\n";

static bool parse_number(const char *text, unsigned long long max, unsigned long long *ret)
{
    char *end;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && errno == 0 && *ret <= max;
}

static bool parse(struct records_filter *f, int argc, char **argv)
{
    enum deployment_state state;
    unsigned long long n;
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (argv[i][0] != '-' && !f->stack) {
            f->stack = argv[i];
        } else if (strcmp(argv[i], "--state") == 0 && has_value &&
                   deployment_state_parse(argv[i + 1], &state) == 0) {
            f->state = argv[++i];
        } else if (strcmp(argv[i], "--since") == 0 && has_value && parse_number(argv[i + 1], INT64_MAX, &n)) {
            f->since_us = (int64_t)n;
            i++;
        } else if (strcmp(argv[i], "-n") == 0 && has_value && parse_number(argv[i + 1], UINT32_MAX, &n)) {
            f->limit = (unsigned)n;
            i++;
        } else {
            return false;
        }
    }
    return true;
}

/* Who reads may have seen enough. */
static int print_row(void *userdata, const char *json, struct error *err)
{
    (void)userdata;
    puts(json);
    return ferror(stdout) ? error_errno(err, "writing the output") : 0;
}

static int read_records(struct work *work, const char *config_path, const struct records_filter *filter,
                        struct error *err)
{
    struct pg_url url;
    if (work_open(work, config_path, err) < 0 || records_target(work, &url, err) < 0)
        return -1;
    if (records_read(&url, filter, timeout_us, print_row, NULL, err) == 0)
        return 0;
    const char *hint = records_hint(&url, err);
    return *hint ? error_set(err, err->kind, 0, "%s%s", arena_strdup(&work->arena, err->text), hint) : -1;
}

int cmd_records(const struct verb_context *context, int argc, char **argv)
{
    struct work work = {0};
    struct error err = {0};
    struct records_filter filter = {0};
    if (!parse(&filter, argc, argv)) {
        fputs(usage, stderr);
        return EXIT_BAD_USAGE;
    }
    proc_catch_stop();
    int r = read_records(&work, context->config_path, &filter, &err);
    if (r < 0)
        fprintf(stderr, "%s\n", err.text);
    work_close(&work);
    return r == 0 ? EXIT_GOOD : err.kind == ERR_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_FAILED;
}
