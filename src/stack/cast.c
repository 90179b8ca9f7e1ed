/* SPDX-License-Identifier: Apache-2.0 */
#include "cast.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "syntax.h"

enum cast_type { CAST_INTEGER, CAST_FLOAT, CAST_BOOLEAN };

/* "*" is any key, "[]" any list element */
static const struct {
    const char *pattern;
    enum cast_type type;
} casts[] = {
    {"services.*.configs.[].mode", CAST_INTEGER},
    {"services.*.secrets.[].mode", CAST_INTEGER},
    {"services.*.healthcheck.retries", CAST_INTEGER},
    {"services.*.healthcheck.disable", CAST_BOOLEAN},
    {"services.*.deploy.replicas", CAST_INTEGER},
    {"services.*.deploy.update_config.parallelism", CAST_INTEGER},
    {"services.*.deploy.update_config.max_failure_ratio", CAST_FLOAT},
    {"services.*.deploy.rollback_config.parallelism", CAST_INTEGER},
    {"services.*.deploy.rollback_config.max_failure_ratio", CAST_FLOAT},
    {"services.*.deploy.restart_policy.max_attempts", CAST_INTEGER},
    {"services.*.deploy.placement.max_replicas_per_node", CAST_INTEGER},
    {"services.*.ports.[].target", CAST_INTEGER},
    {"services.*.ports.[].published", CAST_INTEGER},
    {"services.*.ulimits.*", CAST_INTEGER},
    {"services.*.ulimits.*.hard", CAST_INTEGER},
    {"services.*.ulimits.*.soft", CAST_INTEGER},
    {"services.*.oom_score_adj", CAST_INTEGER},
    {"services.*.privileged", CAST_BOOLEAN},
    {"services.*.read_only", CAST_BOOLEAN},
    {"services.*.stdin_open", CAST_BOOLEAN},
    {"services.*.tty", CAST_BOOLEAN},
    {"services.*.volumes.[].read_only", CAST_BOOLEAN},
    {"services.*.volumes.[].volume.nocopy", CAST_BOOLEAN},
    {"networks.*.external", CAST_BOOLEAN},
    {"networks.*.internal", CAST_BOOLEAN},
    {"networks.*.attachable", CAST_BOOLEAN},
    {"volumes.*.external", CAST_BOOLEAN},
    {"secrets.*.external", CAST_BOOLEAN},
    {"configs.*.external", CAST_BOOLEAN},
};

/* ---- finding the row ---- */

/* Compares from the end, as the chain of paths runs; pattern[0..n) is what is left. */
static bool matches(const char *pattern, size_t n, const struct path *path)
{
    while (path) {
        const char *dot = memrchr(pattern, '.', n);
        const char *part = dot ? dot + 1 : pattern;
        size_t len = (size_t)(pattern + n - part);
        if (len == 1 && *part == '*') {
            /* a key with a dot defeats the oracle's match */
            if (!path->key || strchr(path->key, '.'))
                return false;
        } else if (len == 2 && memcmp(part, "[]", 2) == 0) {
            if (path->key)
                return false;
        } else if (!path->key || strlen(path->key) != len || memcmp(path->key, part, len) != 0) {
            return false;
        }
        path = path->up;
        if (!dot)
            return !path;
        n = (size_t)(dot - pattern);
    }
    return false;
}

/* ---- the conversions ---- */

/* NULL, or what the oracle says */
static const char *cast_integer(const char *text, struct node *node)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (!*digits || digits[strspn(digits, "0123456789")])
        return "invalid syntax";
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno)
        return "value out of range";
    node->type = NODE_INT;
    node->integer = value;
    return NULL;
}

static bool cast_boolean(const char *text, struct node *node)
{
    static const char *const words[] = {"y", "yes", "true", "on", "n", "no", "false", "off"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strcasecmp(text, words[i]) == 0) {
            node->type = NODE_BOOL;
            node->boolean = i < 4;
            return true;
        }
    return false;
}

void cast(struct report *report, const struct path *path, struct node *node)
{
    const char *text = node->string.text;
    for (size_t i = 0; i < ARRAY_SIZE(casts); i++) {
        if (!matches(casts[i].pattern, strlen(casts[i].pattern), path))
            continue;
        static const char failed[] = "failed to cast to expected type";
        const char *problem = casts[i].type == CAST_INTEGER ? cast_integer(text, node) : NULL;
        if (problem)
            report_node(report, node, path, "%s: strconv.Atoi: parsing \"%s\": %s (a decimal integer)",
                        failed, text, problem);
        double real;
        bool is_float = casts[i].type == CAST_FLOAT && go_float_parse(report->arena, text, &real);
        if (is_float) {
            node->type = NODE_FLOAT;
            node->real = real;
        }
        if (casts[i].type == CAST_FLOAT && !is_float)
            report_node(report, node, path, "%s: strconv.ParseFloat: parsing \"%s\": invalid syntax", failed,
                        text);
        if (casts[i].type == CAST_BOOLEAN && !cast_boolean(text, node))
            report_node(report, node, path, "%s: invalid boolean: %s (true, yes, y, on, false, no, n, off)",
                        failed, text);
        return;
    }
}
