/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * /metrics, in the text format 0.0.4 of Prometheus. What counts up is counted in memory since agentd's start;
 * what is true now comes from memory and from short queries. Labels: stacks of the configuration, kinds of
 * steps, states, receivers; nothing that a commit or a stranger could make more of. docs/metrics.md lists
 * them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/outbox.h"
#include "agent/summary.h"
#include "base/str.h"

struct manager;
struct metrics;
struct watch;
struct watch_metrics;

/* ---- what happened ---- */
void metrics_polled(struct watch *watch, bool good);
void metrics_webhook(struct watch *watch, bool accepted);
/* A deployment came to its end. */
void metrics_ended(struct watch *watch, const struct deployment *d);

void metrics_forget(struct watch *watch);
void metrics_free(struct manager *manager);

/* ---- printing ---- */
void metrics_print(struct manager *manager, struct str *to);

/* "# HELP" and "# TYPE"; samples follow. */
void metrics_head(struct str *to, const char *name, const char *type, const char *help);
/* name{label="value"} number; label NULL: none. A second label may follow. */
void metrics_sample(struct str *to, const char *name, const char *label, const char *value, double number);
void metrics_sample2(struct str *to, const char *name, const char *label, const char *value,
                     const char *label2, const char *value2, double number);

/* ---- metrics_stacks.c ---- */
struct stack_sample { /* of one stack, read once for all its metrics */
    struct watch *watch;
    bool known; /* the journal could be read: what follows */
    struct stack_state row;
    struct stack_summary summary;
};
void metrics_print_stacks(struct str *to, const struct stack_sample *samples, size_t n);

/* ---- metrics_process.c ---- */
void metrics_print_process(const struct manager *manager, struct str *to);
