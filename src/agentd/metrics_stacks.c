/* SPDX-License-Identifier: Apache-2.0 */
#include "agentd/manager.h"
#include "agentd/metrics.h"
#include "base/cleanup.h"
#include "base/clock.h"

/* What is true of each stack now: one row per metric. */

/* Times are seconds since 1970, and 0 for never or not. */
static double at(int64_t us)
{
    return (double)us / US_PER_S;
}

static double poll_interval(const struct stack_sample *s)
{
    return at(s->watch->config->poll_interval_us);
}

static double last_poll(const struct stack_sample *s)
{
    return at(s->watch->last_poll_us);
}

static double last_good_poll(const struct stack_sample *s)
{
    return at(s->watch->good_poll_us);
}

static double poll_failing_since(const struct stack_sample *s)
{
    return at(s->row.poll_failing_since_us);
}

static double in_step(const struct stack_sample *s)
{
    /* since it was started, agentd has asked, and the last answer was none that failed */
    bool seen = s->watch->good_poll_us && !s->watch->poll_error;
    return seen && s->summary.success.id && str_eq(s->summary.success.commit, s->row.tip) &&
           !s->row.held_id && !s->row.hold_absolute;
}

static double held(const struct stack_sample *s)
{
    return s->row.held_id || s->row.hold_absolute;
}

static double paused(const struct stack_sample *s)
{
    return s->row.paused && (!s->row.paused_until_us || s->row.paused_until_us > wall_us());
}

static double frozen_until(const struct stack_sample *s)
{
    return at(s->watch->frozen_until_us);
}

static double approval_needed(const struct stack_sample *s)
{
    return s->row.alarm_commit != NULL;
}

static double drift_since(const struct stack_sample *s)
{
    return s->row.drift ? at(s->row.drift_since_us) : 0;
}

static bool begun(const struct stack_sample *s)
{
    return s->summary.under_way.id && s->summary.under_way.state != DEPLOYMENT_REQUESTED;
}

static double running_since(const struct stack_sample *s)
{
    return begun(s) ? at(s->summary.under_way.started_us) : 0;
}

static double requested_since(const struct stack_sample *s)
{
    return s->summary.under_way.id && !begun(s) ? at(s->summary.under_way.requested_us) : 0;
}

static double waiting_since(const struct stack_sample *s)
{
    return s->summary.under_way.id && s->row.waiting ? at(s->row.waiting_since_us) : 0;
}

static double last_end(const struct stack_sample *s)
{
    return at(s->summary.last.finished_us);
}

static double last_took(const struct stack_sample *s)
{
    const struct deployment_brief *d = &s->summary.last;
    return d->started_us ? at(d->finished_us - d->started_us) : 0;
}

static double last_success(const struct stack_sample *s)
{
    return at(s->summary.success.finished_us);
}

static const struct stack_metric {
    const char *name, *help;
    double (*value)(const struct stack_sample *sample);
    bool from_memory; /* also while the journal cannot be read */
} stack_metrics[] = {
    {"deploy_agent_poll_interval_seconds", "Time between two looks at the branch, as configured.",
     poll_interval, true},
    {"deploy_agent_last_poll_timestamp_seconds",
     "When the last poll ended, well or not, in seconds since 1970; 0: not since agentd started.", last_poll,
     true},
    {"deploy_agent_last_good_poll_timestamp_seconds",
     "When the last poll ended well, in seconds since 1970; 0: not since agentd started.", last_good_poll,
     true},
    {"deploy_agent_poll_failing_since_timestamp_seconds",
     "Since when polls fail, in seconds since 1970; 0: they do not.", poll_failing_since, false},
    {"deploy_agent_in_step",
     "1 when the newest commit seen on the branch is the deployed one and nothing is held.", in_step, false},
    {"deploy_agent_held", "1 when the newest commit is held: until a new commit, retry or resume.", held,
     false},
    {"deploy_agent_paused", "1 when the stack is paused.", paused, false},
    {"deploy_agent_frozen_until_timestamp_seconds",
     "When the freeze ends that is in force, in seconds since 1970; 0: none is.", frozen_until, true},
    {"deploy_agent_approval_needed", "1 when a commit waits for agentctl approve.", approval_needed, false},
    {"deploy_agent_drift_since_timestamp_seconds",
     "Since when services differ from what was deployed, in seconds since 1970; 0: they do not.", drift_since,
     false},
    {"deploy_agent_deployment_requested_timestamp_seconds",
     "When the deployment was requested that has not begun yet, in seconds since 1970; 0: there is none.",
     requested_since, false},
    {"deploy_agent_deployment_started_timestamp_seconds",
     "When the deployment began that is under way, in seconds since 1970; 0: none is.", running_since, false},
    {"deploy_agent_deployment_waiting_since_timestamp_seconds",
     "Since when the deployment under way waits for something, in seconds since 1970; 0: it does not.",
     waiting_since, false},
    {"deploy_agent_last_deployment_timestamp_seconds",
     "When the last deployment ended, in seconds since 1970; 0: none has.", last_end, false},
    {"deploy_agent_last_deployment_duration_seconds", "How long the last deployment took.", last_took, false},
    {"deploy_agent_last_success_timestamp_seconds",
     "When the last deployment that succeeded ended, in seconds since 1970; 0: none has.", last_success,
     false},
};

/* One of them is 1, or none before the first end. */
static const enum deployment_state end_states[] = {DEPLOYMENT_SUCCEEDED,   DEPLOYMENT_FAILED,
                                                   DEPLOYMENT_ROLLED_BACK, DEPLOYMENT_HALTED,
                                                   DEPLOYMENT_CANCELLED,   DEPLOYMENT_STUCK};

static void print_states(struct str *to, const struct stack_sample *samples, size_t n)
{
    static const char name[] = "deploy_agent_last_deployment_state";
    metrics_head(to, name, "gauge", "1 for the state that the last deployment ended in.");
    for (size_t i = 0; i < n; i++) {
        const struct deployment_brief *d = &samples[i].summary.last;
        for (size_t k = 0; samples[i].known && k < ARRAY_SIZE(end_states); k++)
            metrics_sample2(to, name, "stack", samples[i].watch->name, "state",
                            deployment_state_name(end_states[k]), d->id && d->state == end_states[k]);
    }
}

void metrics_print_stacks(struct str *to, const struct stack_sample *samples, size_t n)
{
    for (size_t m = 0; m < ARRAY_SIZE(stack_metrics); m++) {
        const struct stack_metric *metric = &stack_metrics[m];
        metrics_head(to, metric->name, "gauge", metric->help);
        for (size_t i = 0; i < n; i++)
            if (samples[i].known || metric->from_memory)
                metrics_sample(to, metric->name, "stack", samples[i].watch->name, metric->value(&samples[i]));
    }
    print_states(to, samples, n);
}
