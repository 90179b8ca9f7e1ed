/* SPDX-License-Identifier: Apache-2.0 */
#include "agentd/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "agent/log.h"
#include "agentd/http_request.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "view/receivers.h"

enum { MAX_BOUNDS = 12, MAX_KINDS = 64, STATES = DEPLOYMENT_STUCK + 1 };

/* Upper bounds of the buckets, in seconds; 0 ends them. */
static const double deployment_bounds[MAX_BOUNDS] = {5, 15, 30, 60, 120, 300, 600, 1800, 3600};
static const double step_bounds[MAX_BOUNDS] = {0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800};

struct histogram {
    uint64_t buckets[MAX_BOUNDS]; /* each counts what the ones before it do, too */
    uint64_t count;
    double sum;
};

struct watch_metrics {
    uint64_t good_polls, failed_polls, accepted, refused;
    uint64_t ended[STATES];
    struct histogram took;
};

struct metrics {
    struct {
        char *kind;
        struct histogram took;
    } steps[MAX_KINDS];
    size_t n_steps;
};

/* counting on would keep the loop from its work */
static const int64_t backlog_most = 10000;

/* ---- counting ---- */

static void observe(struct histogram *h, const double *bounds, double seconds)
{
    if (seconds < 0) /* the clock was set back meanwhile; a sum that falls is taken for a restart */
        seconds = 0;
    for (size_t i = 0; i < MAX_BOUNDS && bounds[i] > 0; i++)
        h->buckets[i] += seconds <= bounds[i];
    h->count++;
    h->sum += seconds;
}

static struct watch_metrics *of_watch(struct watch *w)
{
    if (!w->metrics && !(w->metrics = calloc(1, sizeof *w->metrics)))
        abort();
    return w->metrics;
}

void metrics_polled(struct watch *w, bool good)
{
    struct watch_metrics *m = of_watch(w);
    *(good ? &m->good_polls : &m->failed_polls) += 1;
}

void metrics_webhook(struct watch *w, bool accepted)
{
    struct watch_metrics *m = of_watch(w);
    *(accepted ? &m->accepted : &m->refused) += 1;
}

static struct histogram *of_kind(struct manager *manager, const char *kind)
{
    if (!manager->metrics && !(manager->metrics = calloc(1, sizeof *manager->metrics)))
        abort();
    struct metrics *m = manager->metrics;
    for (size_t i = 0; i < m->n_steps; i++)
        if (str_eq(m->steps[i].kind, kind))
            return &m->steps[i].took;
    if (m->n_steps == MAX_KINDS)
        return NULL;
    set_text(&m->steps[m->n_steps].kind, kind);
    return &m->steps[m->n_steps++].took;
}

static void observe_steps(struct manager *manager, const struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct step *s = &steps[i];
        struct histogram *h = s->started_us && s->finished_us ? of_kind(manager, s->kind) : NULL;
        if (h)
            observe(h, step_bounds, (double)(s->finished_us - s->started_us) / US_PER_S);
    }
}

void metrics_ended(struct watch *w, const struct deployment *d)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = w->manager;
    struct watch_metrics *m = of_watch(w);
    struct error err = {0};
    struct step *steps;
    size_t n;
    m->ended[d->state]++;
    if (d->started_us && d->finished_us)
        observe(&m->took, deployment_bounds, (double)(d->finished_us - d->started_us) / US_PER_S);
    if (!manager->journal)
        return;
    if (journal_step_times(manager->journal, &arena, d->id, &steps, &n, &err) == 0)
        observe_steps(manager, steps, n);
    else
        log_debug("the steps of #%" PRId64 " are not counted: %s", d->id, err.text);
}

void metrics_forget(struct watch *w)
{
    free(TAKE(w->metrics));
}

void metrics_free(struct manager *manager)
{
    struct metrics *m = TAKE(manager->metrics);
    for (size_t i = 0; m && i < m->n_steps; i++)
        free(m->steps[i].kind);
    free(m);
}

/* ---- the format ---- */

void metrics_head(struct str *to, const char *name, const char *type, const char *help)
{
    str_printf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_label(struct str *to, const char *label, const char *value)
{
    str_printf(to, "%s=\"", label);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            str_append_char(to, '\\');
        if (*value == '\n')
            str_append(to, "\\n");
        else
            str_append_char(to, *value);
    }
    str_append_char(to, '"');
}

static void add_number(struct str *to, double number)
{
    if (number == floor(number))
        str_printf(to, " %.0f\n", number);
    else
        str_printf(to, " %.6f\n", number);
}

void metrics_sample2(struct str *to, const char *name, const char *label, const char *value,
                     const char *label2, const char *value2, double number)
{
    str_append(to, name);
    if (label) {
        str_append_char(to, '{');
        add_label(to, label, value);
        if (label2) {
            str_append_char(to, ',');
            add_label(to, label2, value2);
        }
        str_append_char(to, '}');
    }
    add_number(to, number);
}

void metrics_sample(struct str *to, const char *name, const char *label, const char *value, double number)
{
    metrics_sample2(to, name, label, value, NULL, NULL, number);
}

static void print_histogram(struct str *to, const char *name, const char *label, const char *value,
                            const struct histogram *h, const double *bounds)
{
    char part[80], bound[32];
    snprintf(part, sizeof part, "%s_bucket", name);
    for (size_t i = 0; i < MAX_BOUNDS && bounds[i] > 0; i++) {
        snprintf(bound, sizeof bound, "%g", bounds[i]);
        metrics_sample2(to, part, label, value, "le", bound, (double)h->buckets[i]);
    }
    metrics_sample2(to, part, label, value, "le", "+Inf", (double)h->count);
    snprintf(part, sizeof part, "%s_sum", name);
    metrics_sample(to, part, label, value, h->sum);
    snprintf(part, sizeof part, "%s_count", name);
    metrics_sample(to, part, label, value, (double)h->count);
}

/* ---- printing ---- */

static void print_counters(struct str *to, const struct stack_sample *samples, size_t n)
{
    static const char polls[] = "deploy_agent_polls_total", webhooks[] = "deploy_agent_webhooks_total",
                      ended[] = "deploy_agent_deployments_total";
    metrics_head(to, polls, "counter", "Polls since agentd started, by result.");
    for (size_t i = 0; i < n; i++) {
        const struct watch_metrics *m = of_watch(samples[i].watch);
        metrics_sample2(to, polls, "stack", samples[i].watch->name, "result", "good", (double)m->good_polls);
        metrics_sample2(to, polls, "stack", samples[i].watch->name, "result", "failed",
                        (double)m->failed_polls);
    }
    metrics_head(to, webhooks, "counter", "Webhooks since agentd started, by result.");
    for (size_t i = 0; i < n; i++) {
        const struct watch_metrics *m = of_watch(samples[i].watch);
        if (!samples[i].watch->config->webhook_secret)
            continue;
        metrics_sample2(to, webhooks, "stack", samples[i].watch->name, "result", "accepted",
                        (double)m->accepted);
        metrics_sample2(to, webhooks, "stack", samples[i].watch->name, "result", "refused",
                        (double)m->refused);
    }
    metrics_head(to, ended, "counter",
                 "Deployments that ended since agentd started, by the state they ended in.");
    for (size_t i = 0; i < n; i++)
        for (unsigned s = 0; s < STATES; s++)
            if (deployment_state_ended(s) && s != DEPLOYMENT_SUPERSEDED) /* which never ran */
                metrics_sample2(to, ended, "stack", samples[i].watch->name, "state", deployment_state_name(s),
                                (double)of_watch(samples[i].watch)->ended[s]);
}

static void print_durations(const struct manager *manager, struct str *to, const struct stack_sample *samples,
                            size_t n)
{
    static const char took[] = "deploy_agent_deployment_duration_seconds",
                      steps[] = "deploy_agent_step_duration_seconds";
    metrics_head(to, took, "histogram", "How long deployments took that ended since agentd started.");
    for (size_t i = 0; i < n; i++)
        print_histogram(to, took, "stack", samples[i].watch->name, &of_watch(samples[i].watch)->took,
                        deployment_bounds);
    metrics_head(to, steps, "histogram",
                 "How long steps took, by kind, of deployments that ended since agentd started.");
    for (size_t i = 0; manager->metrics && i < manager->metrics->n_steps; i++)
        print_histogram(to, steps, "kind", manager->metrics->steps[i].kind, &manager->metrics->steps[i].took,
                        step_bounds);
}

/* What waits for PostgreSQL, chats and Git servers. */
static void print_outbox(struct manager *manager, struct str *to)
{
    static const char events[] = "deploy_agent_outbox_events",
                      oldest[] = "deploy_agent_outbox_oldest_timestamp_seconds",
                      failing[] = "deploy_agent_outbox_failing_since_timestamp_seconds";
    cleanup_arena struct arena arena = {0};
    struct receiver_view *all;
    struct error err = {0};
    size_t n;
    if (!manager->journal || receivers_read(manager->journal, &arena, backlog_most, &all, &n, &err) < 0)
        return;
    metrics_head(to, events, "gauge", "Events that wait to be delivered; 10000: as many or more.");
    for (size_t i = 0; i < n; i++)
        metrics_sample(to, events, "receiver", all[i].row.name, (double)all[i].events);
    metrics_head(to, oldest, "gauge",
                 "When the oldest of them happened, in seconds since 1970; 0: none waits.");
    for (size_t i = 0; i < n; i++)
        metrics_sample(to, oldest, "receiver", all[i].row.name, (double)all[i].oldest_us / US_PER_S);
    metrics_head(to, failing, "gauge", "Since when deliveries fail, in seconds since 1970; 0: they do not.");
    for (size_t i = 0; i < n; i++)
        metrics_sample(to, failing, "receiver", all[i].row.name,
                       (double)all[i].row.failing_since_us / US_PER_S);
}

static struct stack_sample *read_samples(struct manager *manager, struct arena *arena, size_t *ret_count)
{
    struct stack_sample *samples = NULL;
    struct error err = {0};
    size_t n = 0;
    for (struct watch *w = manager->watches; w; w = w->next) {
        if (!w->config)
            continue;
        samples = arena_grow(arena, samples, n, sizeof *samples);
        struct stack_sample *s = &samples[n++];
        *s = (struct stack_sample){.watch = w};
        s->known = manager->journal && journal_stack(manager->journal, arena, w->name, &s->row, &err) == 0 &&
                   journal_summary(manager->journal, w->name, &s->summary, &err) == 0;
    }
    *ret_count = n;
    return samples;
}

void metrics_print(struct manager *manager, struct str *to)
{
    cleanup_arena struct arena arena = {0};
    size_t n;
    const struct stack_sample *samples = read_samples(manager, &arena, &n);
    metrics_head(to, "deploy_agent_build_info", "gauge", "1, with the version.");
    metrics_sample(to, "deploy_agent_build_info", "version", VERSION, 1);
    metrics_head(to, "deploy_agent_journal_usable", "gauge",
                 "1 while the journal can be read and written; else no deployment starts.");
    metrics_sample(to, "deploy_agent_journal_usable", NULL, NULL, manager->journal != NULL);
    metrics_print_stacks(to, samples, n);
    print_counters(to, samples, n);
    print_durations(manager, to, samples, n);
    print_outbox(manager, to);
    metrics_print_process(manager, to);
}

int http_metrics(struct http_request *request)
{
    cleanup_str struct str text = {0};
    metrics_print(request->manager, &text);
    return http_reply(request, &(struct http_reply){.type = "text/plain; version=0.0.4; charset=utf-8",
                                                    .body = text.data,
                                                    .len = text.len});
}
