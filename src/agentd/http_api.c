/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/summary.h"
#include "agentd/http_request.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "view/json.h"
#include "view/page.h"
#include "view/receivers.h"
#include "view/status.h"

/* /api/v1: what `agentctl log`, `show` and `status` print with --json. */

enum {
    LIMIT_DEFAULT = 50,
    LIMIT_MAX = 500,
    PIECE = 16 * 1024,
    NUMBER_MAX = 18,
    COUNT_MAX = 10000,
    NAME_MAX_LEN = 48
};

/* The answer is another one when this text is. */
static char *etag_of(struct http_request *request, const char *what)
{
    struct arena *arena = &request->arena;
    const char *text = arena_printf(arena, "%s\n%s", journal_mark(request->manager->journal, arena), what);
    return http_etag(arena, text, strlen(text));
}

static int reply_known(struct http_request *request, const char *etag)
{
    return http_reply(request, &(struct http_reply){.etag = etag});
}

static int reply_failed(struct http_request *request, const struct error *err, const char *doing)
{
    manager_journal_failed(request->manager, err, doing);
    return http_no_journal(request);
}

static void append_json(struct str *to, const json_t *value)
{
    cleanup_free char *text = json_dumps(value, JSON_COMPACT | JSON_PRINT | JSON_ENCODE_ANY);
    if (!text)
        abort();
    str_append(to, text);
}

/* ---- /api/v1/deployments ---- */

struct listing {
    struct deployment *rows;
    size_t n, done;
    const char *next; /* path of the next page; NULL: this is the last */
};

/* false: it is no number from 1 to `most`. */
static bool read_number(const char *text, int64_t most, int64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > NUMBER_MAX || text[digits])
        return false;
    *ret = strtoll(text, NULL, 10);
    return *ret > 0 && *ret <= most;
}

static bool is_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return len > 0 && len <= NAME_MAX_LEN && text[len] == '\0';
}

struct query {
    struct deployment_filter filter;
    enum deployment_state state;
    int64_t since_us;
};

/* NULL: all is well; else what is wrong. */
static const char *read_query(struct http_request *request, struct query *q)
{
    const char *limit = http_query(request, "limit"), *before = http_query(request, "before"),
               *stack = http_query(request, "stack"), *state = http_query(request, "state"),
               *since = http_query(request, "since");
    struct error err = {0};
    int64_t number = LIMIT_DEFAULT;
    if (limit && !read_number(limit, LIMIT_MAX, &number))
        return "limit is a number from 1 to 500";
    q->filter.limit = (unsigned)number;
    if (before && !read_number(before, INT64_MAX, &q->filter.before_id))
        return "before is the id of a deployment";
    if (stack && !is_name(stack))
        return "stack is the name of a stack";
    if (state && deployment_state_parse(state, &q->state) < 0)
        return "there is no such state";
    if (since && time_parse(since, &q->since_us, &err) < 0)
        return "since is a time, such as 2026-08-23T14:00:00Z";
    q->since_us -= q->since_us % US_PER_S;
    q->filter.stack = stack;
    q->filter.state = state ? &q->state : NULL;
    return NULL;
}

/* The same question, from where this page ended. */
static const char *next_page(struct arena *arena, const struct query *q, int64_t before)
{
    cleanup_str struct str path = {0};
    str_printf(&path, "/api/v1/deployments?limit=%u&before=%" PRId64, q->filter.limit, before);
    if (q->filter.stack)
        str_printf(&path, "&stack=%s", q->filter.stack);
    if (q->filter.state)
        str_printf(&path, "&state=%s", deployment_state_name(*q->filter.state));
    if (q->since_us)
        str_printf(&path, "&since=%s", rfc3339_utc(arena, q->since_us));
    return arena_strdup(arena, str_text(&path));
}

/* Rows are in the order of their requests: the first that is older ends the list. Asking the journal for the
 * time would walk its whole length. */
static size_t count_since(const struct deployment *rows, size_t n, int64_t since_us)
{
    size_t i = 0;
    while (i < n && rows[i].requested_us >= since_us)
        i++;
    return i;
}

static int read_listing(struct manager *manager, struct arena *arena, const struct query *q,
                        struct listing *ret, struct error *err)
{
    struct deployment_filter filter = q->filter;
    struct listing l = {0};
    filter.limit++; /* is there another page? */
    if (journal_deployments(manager->journal, arena, &filter, &l.rows, &l.n, err) < 0)
        return -1;
    l.n = count_since(l.rows, l.n, q->since_us);
    if (l.n > q->filter.limit) {
        l.n = q->filter.limit;
        l.next = next_page(arena, q, l.rows[l.n - 1].id);
    }
    *ret = l;
    return 0;
}

static int next_rows(struct http_stream *stream, struct str *to, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct listing *l = stream->state;
    struct journal *journal = stream->manager->journal;
    if (!journal)
        return error_set(err, ERR_UNAVAILABLE, 0, "the journal was closed");
    if (l->done == 0)
        str_append(to, "{\"deployments\":[");
    for (; to->len < PIECE && l->done < l->n; l->done++) {
        struct view view;
        if (view_read(journal, &arena, &l->rows[l->done], &view, err) < 0)
            return -1;
        cleanup_json json_t *o = view_json(&view);
        str_append(to, l->done ? ",\n" : "\n");
        append_json(to, o);
    }
    if (l->done < l->n)
        return 1;
    cleanup_json json_t *next = json_text(l->next);
    str_append(to, "\n],\"next\":");
    append_json(to, next);
    str_append(to, "}\n");
    return 0;
}

int http_api_deployments(struct http_request *request)
{
    struct manager *manager = request->manager;
    struct query q = {0};
    struct error err = {0};
    if (!manager->journal)
        return http_no_journal(request);
    const char *wrong = read_query(request, &q);
    if (wrong)
        return http_error(request, HTTP_BAD_REQUEST, wrong);
    const char *etag = etag_of(request, next_page(&request->arena, &q, q.filter.before_id));
    if (http_is_known(request, etag))
        return reply_known(request, etag);
    struct http_stream *stream = http_stream_new(request);
    struct listing *l = stream->state = arena_alloc(&stream->arena, sizeof *l);
    stream->next = next_rows;
    if (read_listing(manager, &stream->arena, &q, l, &err) < 0) {
        http_stream_free(stream);
        return reply_failed(request, &err, "listing deployments");
    }
    const char *link = l->next ? arena_printf(&request->arena, "<%s>; rel=\"next\"", l->next) : NULL;
    return http_reply_stream(request, &(struct http_reply){.etag = etag, .link = link}, stream);
}

/* ---- /api/v1/deployments/ID ---- */

struct shown {
    struct page page;
    bool begun;
    size_t steps, services; /* done */
};

static void end_shown(struct http_stream *stream)
{
    struct shown *shown = stream->state;
    page_release(&shown->page);
}

/* All but the closing brace: members follow. */
static void append_head(struct str *to, const struct page *page)
{
    cleanup_json json_t *head = page_head_json(page);
    append_json(to, head);
    to->data[--to->len] = '\0';
    str_append(to, ",\"steps\":[");
}

static int append_step(struct journal *journal, struct str *to, const struct step *step, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct step copy = *step; /* its output is needed no longer than here */
    if (page_read_output(journal, &arena, &copy, PAGE_ENDS, err) < 0)
        return -1;
    cleanup_json json_t *o = page_step_json(&copy, false);
    append_json(to, o);
    return 0;
}

static int next_part(struct http_stream *stream, struct str *to, struct error *err)
{
    struct shown *s = stream->state;
    const struct page *page = &s->page;
    if (!stream->manager->journal)
        return error_set(err, ERR_UNAVAILABLE, 0, "the journal was closed");
    if (!s->begun)
        append_head(to, page);
    s->begun = true;
    for (; s->steps < page->n_steps && to->len < PIECE; s->steps++) {
        str_append(to, s->steps ? ",\n" : "\n");
        if (append_step(stream->manager->journal, to, &page->steps[s->steps], err) < 0)
            return -1;
    }
    if (s->steps < page->n_steps || to->len >= PIECE)
        return 1;
    if (s->services == 0)
        str_append(to, "],\"services\":[");
    for (; s->services < page->n_services && to->len < PIECE; s->services++) {
        cleanup_json json_t *o = page_service_json(page, &page->services[s->services]);
        str_append(to, s->services ? ",\n" : "\n");
        append_json(to, o);
    }
    if (s->services < page->n_services)
        return 1;
    str_append(to, "]}\n");
    return 0;
}

static int stream_deployment(struct http_request *request, int64_t id, const char *etag)
{
    struct journal *journal = request->manager->journal;
    struct http_stream *stream = http_stream_new(request);
    struct shown *shown = stream->state = arena_alloc(&stream->arena, sizeof *shown);
    struct error err = {0};
    struct deployment d;
    bool found = false;
    stream->next = next_part;
    stream->ended = end_shown;
    int r = journal_deployment(journal, &stream->arena, id, &d, &found, &err);
    if (r == 0 && found)
        r = page_read(journal, &stream->arena, &d, PAGE_NONE, &shown->page, &err);
    if (r == 0 && found)
        return http_reply_stream(request, &(struct http_reply){.etag = etag}, stream);
    http_stream_free(stream);
    return r < 0 ? reply_failed(request, &err, "reading a deployment")
                 : http_error(request, HTTP_NOT_FOUND, "no such deployment");
}

int http_api_deployment(struct http_request *request)
{
    int64_t id;
    if (!request->manager->journal)
        return http_no_journal(request);
    if (!read_number(request->word, INT64_MAX, &id))
        return http_error(request, HTTP_BAD_REQUEST, "a deployment's id is a number");
    const char *etag = etag_of(request, request->path);
    return http_is_known(request, etag) ? reply_known(request, etag) : stream_deployment(request, id, etag);
}

/* ---- /api/v1/stacks ---- */

struct overview {
    char **names; /* NULL-terminated */
    size_t done;
    json_t *agentd;
};

static void end_stacks(struct http_stream *stream)
{
    struct overview *o = stream->state;
    json_decref(o->agentd);
}

static int append_receivers(struct journal *journal, struct arena *arena, struct str *to, struct error *err)
{
    struct receiver_view *receivers;
    size_t n;
    if (receivers_read(journal, arena, COUNT_MAX, &receivers, &n, err) < 0)
        return -1;
    cleanup_json json_t *list = receivers_json(receivers, n);
    append_json(to, list);
    return 0;
}

static int next_stack(struct http_stream *stream, struct str *to, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct overview *o = stream->state;
    struct status status;
    if (!stream->manager->journal)
        return error_set(err, ERR_UNAVAILABLE, 0, "the journal was closed");
    if (o->done == 0) {
        str_append(to, "{\"agentd\":");
        append_json(to, json_object_get(o->agentd, "agentd"));
        str_append(to, ",\"stacks\":[");
    }
    if (o->names[o->done]) {
        if (status_read(stream->manager->journal, &arena, o->names[o->done], o->agentd, &status, err) < 0)
            return -1;
        cleanup_json json_t *stack = status_stack_json(&arena, &status);
        str_append(to, o->done ? ",\n" : "\n");
        append_json(to, stack);
        o->done++;
    }
    if (o->names[o->done])
        return 1;
    str_append(to, "\n],\"receivers\":");
    if (append_receivers(stream->manager->journal, &arena, to, err) < 0)
        return -1;
    str_append(to, "}\n");
    return 0;
}

static char **stack_names(const struct config *config, struct arena *arena)
{
    char **names = arena_array(arena, config->n_stacks + 1, sizeof *names);
    for (size_t i = 0; i < config->n_stacks; i++)
        names[i] = arena_strdup(arena, config->stacks[i].name);
    return names;
}

int http_api_stacks(struct http_request *request)
{
    struct manager *manager = request->manager;
    if (!manager->journal)
        return http_no_journal(request);
    json_t *agentd = manager_status(manager);
    cleanup_free char *text = json_dumps(agentd, JSON_COMPACT);
    const char *etag = etag_of(request, text ? text : "");
    if (http_is_known(request, etag)) {
        json_decref(agentd);
        return reply_known(request, etag);
    }
    struct http_stream *stream = http_stream_new(request);
    struct overview *o = stream->state = arena_alloc(&stream->arena, sizeof *o);
    *o = (struct overview){.names = stack_names(&manager->config, &stream->arena), .agentd = agentd};
    stream->next = next_stack;
    stream->ended = end_stacks;
    return http_reply_stream(request, &(struct http_reply){.etag = etag}, stream);
}
