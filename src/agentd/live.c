/* SPDX-License-Identifier: Apache-2.0 */
#include "agentd/live.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/summary.h"
#include "agentd/http_request.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "view/json.h"
#include "view/view.h"

enum {
    MAX_LISTENERS = 16,
    KEPT = 256,
    MAX_OPEN = 256,
    ROWS_MAX = 50,
    MAX_PIECE = 64 * 1024,
    BEAT_TICKS = 10
};
static const int64_t tick_us = US_PER_S;
static const int64_t linger_us = 60 * US_PER_S;

struct listener {
    struct http_stream *stream;
    struct listener *next;
    uint64_t position; /* the last event that it got */
    bool greeted, resumed, beat, cut;
};

struct seen { /* a deployment that had not ended */
    int64_t id;
    enum deployment_state state;
    char *steps; /* a letter for each step's state */
};

struct live {
    struct manager *manager;
    sd_event_source *timer;
    struct listener *listeners;
    unsigned n_listeners, ticks;
    int64_t left_us;  /* monotonic, when the last one left */
    uint64_t epoch;   /* numbers of events are of this one */
    uint64_t newest;  /* number of the newest event; 0: none */
    char *kept[KEPT]; /* by number */

    char *mark;        /* journal_mark() of the last look; NULL: none yet */
    int64_t newest_id; /* of a deployment */
    struct seen open[MAX_OPEN];
    size_t n_open;
};

/* ---- events ---- */

static void add_event(struct live *live, const char *name, json_t *data)
{
    cleanup_str struct str text = {0};
    cleanup_free char *line = json_dumps(data, JSON_COMPACT | JSON_PRINT);
    json_decref(data);
    if (!line)
        abort();
    live->newest++;
    str_printf(&text, "id: %" PRIx64 "-%" PRIu64 "\nevent: %s\ndata: %s\n\n", live->epoch, live->newest, name,
               line);
    set_text(&live->kept[live->newest % KEPT], str_text(&text));
    for (struct listener *l = live->listeners; l; l = l->next)
        http_stream_wake(l->stream);
}

static void add_deployment(struct live *live, const struct deployment *d)
{
    add_event(live, "deployment", view_deployment_json(d));
}

static void add_step(struct live *live, const struct deployment *d, const struct step *s)
{
    json_t *o =
        json_pack("{s:I, s:o, s:i, s:o, s:o, s:s, s:o}", "deployment", (json_int_t)d->id, "stack",
                  json_text(d->stack), "seq", (int)s->seq, "kind", json_text(s->kind), "name",
                  json_text(s->name), "state", step_state_name(s->state), "error", json_text(s->error));
    json_object_set_new(o, "started_at", json_time(s->started_us));
    json_object_set_new(o, "finished_at", json_time(s->finished_us));
    add_event(live, "step", o);
}

/* ---- looking ---- */

static struct seen *find_open(struct live *live, int64_t id)
{
    for (size_t i = 0; i < live->n_open; i++)
        if (live->open[i].id == id)
            return &live->open[i];
    return NULL;
}

static void drop_open(struct live *live, struct seen *seen)
{
    set_text(&seen->steps, NULL);
    *seen = live->open[--live->n_open];
    live->open[live->n_open] = (struct seen){0};
}

static char letter(enum step_state state)
{
    return (char)('a' + state);
}

/* Tells which steps are in another state than they were; those never seen were pending. */
static int look_at_steps(struct live *live, const struct deployment *d, struct seen *seen, bool tell,
                         struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct step *steps;
    size_t n, known = seen->steps ? strlen(seen->steps) : 0;
    if (d->state == DEPLOYMENT_REQUESTED)
        return 0;
    if (journal_step_times(live->manager->journal, &arena, d->id, &steps, &n, err) < 0)
        return -1;
    char *now = arena_alloc(&arena, n + 1);
    for (size_t i = 0; i < n; i++) {
        now[i] = letter(steps[i].state);
        if (tell && now[i] != (i < known ? seen->steps[i] : letter(STEP_PENDING)))
            add_step(live, d, &steps[i]);
    }
    set_text(&seen->steps, now);
    return 0;
}

static int look_at(struct live *live, const struct deployment *d, bool tell, struct error *err)
{
    struct seen *seen = find_open(live, d->id);
    bool is_new = !seen, ended = deployment_state_ended(d->state);
    if (is_new && live->n_open < MAX_OPEN) {
        seen = &live->open[live->n_open++];
        *seen = (struct seen){.id = d->id, .state = d->state};
    }
    if (d->id > live->newest_id)
        live->newest_id = d->id;
    if (seen && look_at_steps(live, d, seen, tell, err) < 0)
        return -1;
    if (tell && (is_new || seen->state != d->state))
        add_deployment(live, d);
    if (seen && ended)
        drop_open(live, seen);
    else if (seen)
        seen->state = d->state;
    return 0;
}

static int read_rows(struct live *live, struct arena *arena, const struct deployment_filter *filter,
                     bool tell, size_t *ret_n, struct error *err)
{
    struct deployment *rows;
    size_t n;
    if (journal_deployments(live->manager->journal, arena, filter, &rows, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (look_at(live, &rows[i], tell, err) < 0)
            return -1;
    *ret_n = n;
    return 0;
}

/* The first look: what has not ended, however long ago it was requested, and where news begin. */
static int look_first(struct live *live, struct arena *arena, struct error *err)
{
    static const enum deployment_state states[] = {DEPLOYMENT_REQUESTED, DEPLOYMENT_PLANNED,
                                                   DEPLOYMENT_RUNNING, DEPLOYMENT_INTERRUPTED};
    const struct deployment_filter newest = {.limit = 1};
    size_t n;
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        const struct deployment_filter open = {.state = &states[i], .limit = MAX_OPEN};
        if (read_rows(live, arena, &open, false, &n, err) < 0)
            return -1;
    }
    return read_rows(live, arena, &newest, false, &n, err);
}

/* Those that had not ended, then new ones. */
static int look_on(struct live *live, struct error *err)
{
    int64_t ids[MAX_OPEN];
    size_t n = live->n_open, taken;
    for (size_t i = 0; i < n; i++)
        ids[i] = live->open[i].id;
    for (size_t i = 0; i < n; i++) {
        cleanup_arena struct arena arena = {0};
        const struct deployment_filter one = {.after_id = ids[i] - 1, .before_id = ids[i] + 1, .limit = 1};
        if (read_rows(live, &arena, &one, true, &taken, err) < 0)
            return -1;
    }
    do {
        cleanup_arena struct arena arena = {0};
        /* 0 would be without an order from the oldest on */
        const struct deployment_filter news = {.after_id = live->newest_id ? live->newest_id : -1,
                                               .limit = ROWS_MAX};
        if (read_rows(live, &arena, &news, true, &taken, err) < 0)
            return -1;
    } while (taken == ROWS_MAX);
    return 0;
}

/* A journal that was begun anew counts from 1. */
static int is_another(struct live *live, struct arena *arena, bool *ret, struct error *err)
{
    const struct deployment_filter newest = {.limit = 1};
    struct deployment *rows;
    size_t n;
    if (journal_deployments(live->manager->journal, arena, &newest, &rows, &n, err) < 0)
        return -1;
    *ret = live->newest_id > (n ? rows[0].id : 0);
    return 0;
}

/* Nothing that they wait for comes any more: they ask anew, and hear how it is. */
static void cut_all(struct live *live)
{
    for (struct listener *l = live->listeners; l; l = l->next) {
        l->cut = true;
        http_stream_wake(l->stream);
    }
}

static void forget(struct live *live)
{
    while (live->n_open)
        drop_open(live, &live->open[0]);
    for (size_t i = 0; i < KEPT; i++)
        set_text(&live->kept[i], NULL);
    set_text(&live->mark, NULL);
    live->newest_id = 0;
    live->newest = 0;
}

static void begin(struct live *live)
{
    cut_all(live);
    forget(live);
    live->epoch = (uint64_t)wall_us();
}

static int look_again(struct live *live, struct arena *arena, struct error *err)
{
    bool another = false;
    if (live->mark && is_another(live, arena, &another, err) < 0)
        return -1;
    if (another)
        begin(live);
    return live->mark ? look_on(live, err) : look_first(live, arena, err);
}

static void look(struct live *live)
{
    cleanup_arena struct arena arena = {0};
    struct manager *manager = live->manager;
    struct error err = {0};
    if (!manager->journal) {
        cut_all(live);
        return;
    }
    const char *mark = journal_mark(manager->journal, &arena);
    if (str_eq(mark, live->mark))
        return;
    if (look_again(live, &arena, &err) < 0)
        manager_journal_failed(manager, &err, "looking for what is new");
    else
        set_text(&live->mark, mark);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
    struct live *live = userdata;
    (void)source;
    (void)usec;
    if (!live->listeners && mono_us() - live->left_us > linger_us) {
        forget(live);
        return 0;
    }
    look(live);
    if (++live->ticks % BEAT_TICKS == 0)
        for (struct listener *l = live->listeners; l; l = l->next) {
            l->beat = true;
            http_stream_wake(l->stream);
        }
    timer_set(live->manager->event, &live->timer, tick_us, on_tick, live);
    return 0;
}

void live_progress(struct watch *w)
{
    struct live *live = w->manager->live;
    if (!live || !live->mark)
        return;
    json_t *o = json_pack("{s:s, s:o, s:o, s:o}", "stack", w->name, "deployment", json_id(w->running), "step",
                          json_text(w->step), "waiting", json_text(w->waiting));
    cleanup_free char *text = json_dumps(o, JSON_COMPACT);
    if (str_eq(text, w->told)) {
        json_decref(o);
        return;
    }
    set_text(&w->told, text);
    add_event(live, "progress", o);
}

/* ---- listeners ---- */

static void greet(struct listener *l, const struct live *live, struct str *to)
{
    cleanup_json json_t *o = json_pack("{s:s, s:b}", "version", VERSION, "resumed", l->resumed);
    cleanup_free char *line = json_dumps(o, JSON_COMPACT);
    str_printf(to, "retry: 3000\nid: %" PRIx64 "-%" PRIu64 "\nevent: hello\ndata: %s\n\n", live->epoch,
               l->position, line ? line : "{}");
    l->greeted = true;
}

static int next_events(struct http_stream *stream, struct str *to, struct error *err)
{
    struct live *live = stream->manager->live;
    struct listener *l = stream->state;
    if (!l->greeted)
        greet(l, live, to);
    if (l->cut)
        return error_set(err, ERR_UNAVAILABLE, 0, "the journal is closed, or another one");
    if (live->newest - l->position > KEPT)
        return error_set(err, ERR_FAILED, 0, "a listener does not keep up");
    while (l->position < live->newest && to->len < MAX_PIECE)
        str_append(to, live->kept[++l->position % KEPT]);
    if (TAKE(l->beat) && !to->len)
        str_append(to, ":\n\n");
    return 1;
}

static void end_listening(struct http_stream *stream)
{
    struct live *live = stream->manager->live;
    for (struct listener **place = &live->listeners; *place; place = &(*place)->next)
        if ((*place)->stream == stream) {
            *place = (*place)->next;
            live->n_listeners--;
            break;
        }
    live->left_us = mono_us();
}

static struct live *open_live(struct manager *manager)
{
    struct live *live = manager->live;
    if (!live && !(live = manager->live = calloc(1, sizeof *live)))
        abort();
    live->manager = manager;
    if (!live->mark) {
        begin(live);
        look(live);
        timer_set(manager->event, &live->timer, tick_us, on_tick, live);
    }
    return live;
}

/* Where the listener goes on; false: what it has seen last is not kept any more. */
static bool read_position(const struct live *live, const char *text, uint64_t *ret)
{
    uint64_t epoch, number;
    char rest;
    *ret = live->newest;
    if (!text || sscanf(text, "%" SCNx64 "-%" SCNu64 "%c", &epoch, &number, &rest) != 2)
        return false;
    if (epoch != live->epoch || number > live->newest || live->newest - number > KEPT)
        return false;
    *ret = number;
    return true;
}

int http_events(struct http_request *request)
{
    struct manager *manager = request->manager;
    if (!manager->journal)
        return http_no_journal(request);
    struct live *live = open_live(manager);
    if (live->n_listeners >= MAX_LISTENERS)
        return http_error(request, HTTP_UNAVAILABLE, "there are too many listeners");
    struct http_stream *stream = http_stream_new(request);
    struct listener *l = stream->state = arena_alloc(&stream->arena, sizeof *l);
    *l = (struct listener){.stream = stream, .next = live->listeners};
    l->resumed = read_position(live, http_header(request, "Last-Event-ID"), &l->position);
    live->listeners = l;
    live->n_listeners++;
    stream->next = next_events;
    stream->ended = end_listening;
    stream->endless = true;
    return http_reply_stream(request, &(struct http_reply){.type = "text/event-stream"}, stream);
}

void live_free(struct manager *manager)
{
    struct live *live = TAKE(manager->live);
    if (!live)
        return;
    forget(live);
    sd_event_source_disable_unref(live->timer);
    free(live);
}
