/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agentd/http_server.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/hash.h"

enum { PIECE = 16 * 1024 };

/* Everything that a page may load comes from here, and nothing in it is code. */
static const char content_security_policy[] =
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

char *http_etag(struct arena *arena, const char *bytes, size_t len)
{
    char hex[SHA256_HEX_SIZE];
    sha256_hex(bytes, len, hex);
    return arena_printf(arena, "\"%.32s\"", hex);
}

/* Without the mark of a weak one: for GET they compare the same. */
static const char *opaque(const char *tag)
{
    return str_starts(tag, "W/") ? tag + 2 : tag;
}

bool http_etag_matches(const char *header, const char *etag)
{
    const char *mine = opaque(etag);
    while (header && *header) {
        header += strspn(header, " \t,");
        const char *tag = opaque(header);
        size_t len = strcspn(tag, " \t,");
        if ((len == 1 && *tag == '*') || (len == strlen(mine) && memcmp(tag, mine, len) == 0))
            return true;
        header = tag + len;
    }
    return false;
}

bool http_is_known(const struct http_request *request, const char *etag)
{
    return http_etag_matches(http_header(request, "If-None-Match"), etag);
}

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
    return !value || MHD_add_response_header(response, name, value) == MHD_YES;
}

static bool add_headers(struct MHD_Response *response, const struct http_reply *reply)
{
    const char *type = reply->type ? reply->type : "application/json";
    bool html = str_starts(type, "text/html");
    return add_header(response, "Content-Type", type) && add_header(response, "ETag", reply->etag) &&
           add_header(response, "Cache-Control", reply->etag ? "private, no-cache" : "no-store") &&
           add_header(response, "X-Content-Type-Options", "nosniff") &&
           add_header(response, "Content-Security-Policy", html ? content_security_policy : NULL) &&
           add_header(response, "Referrer-Policy", html ? "no-referrer" : NULL) &&
           /* or a proxy would keep events until it has a lot of them */
           add_header(response, "X-Accel-Buffering", str_eq(type, "text/event-stream") ? "no" : NULL) &&
           add_header(response, "Link", reply->link) && add_header(response, "Allow", reply->allow) &&
           add_header(response, "Connection", "close");
}

static int queue(struct http_request *request, const struct http_reply *reply, struct MHD_Response *response)
{
    if (!response)
        return -1;
    bool good = add_headers(response, reply) &&
                MHD_queue_response(request->own->connection, reply->status ? reply->status : HTTP_OK,
                                   response) == MHD_YES;
    MHD_destroy_response(response);
    return good ? 0 : -1;
}

int http_reply(struct http_request *request, const struct http_reply *reply)
{
    struct http_reply r = *reply;
    if (r.etag && http_is_known(request, r.etag)) {
        r.status = HTTP_NOT_MODIFIED;
        r.len = 0;
    }
    /* the library does not write to it; its interface knows no const */
    void *body = (void *)(uintptr_t)(r.len ? r.body : "");
    return queue(request, &r, MHD_create_response_from_buffer(r.len, body, MHD_RESPMEM_MUST_COPY));
}

/* ---- in pieces ---- */

struct http_stream *http_stream_new(struct http_request *request)
{
    struct http_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        abort();
    stream->manager = request->manager;
    stream->own = request->own;
    return stream;
}

void http_stream_free(struct http_stream *stream)
{
    if (stream->ended)
        stream->ended(stream);
    arena_release(&stream->arena);
    str_release(&stream->piece);
    free(stream);
}

static void on_stream_end(void *userdata)
{
    http_stream_free(userdata);
}

static int make_piece(struct http_stream *stream)
{
    struct error err = {0};
    str_clear(&stream->piece);
    stream->sent = 0;
    int r = stream->next(stream, &stream->piece, &err);
    stream->last = r == 0;
    if (r < 0)
        log_debug("http: an answer is cut short: %s", err.text);
    return r;
}

static ssize_t on_room(void *userdata, uint64_t position, char *to, size_t room)
{
    struct http_stream *stream = userdata;
    (void)position;
    if (stream->sent == stream->piece.len && !stream->last && make_piece(stream) < 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t left = stream->piece.len - stream->sent, n = left < room ? left : room;
    if (n == 0) {
        if (stream->last)
            return MHD_CONTENT_READER_END_OF_STREAM;
        http_suspend(stream->own);
        return 0;
    }
    memcpy(to, stream->piece.data + stream->sent, n);
    stream->sent += n;
    return (ssize_t)n;
}

int http_reply_stream(struct http_request *request, const struct http_reply *reply,
                      struct http_stream *stream)
{
    if (stream->endless)
        http_let_last(request->own);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE, on_room, stream, on_stream_end);
    if (!response)
        http_stream_free(stream);
    return queue(request, reply, response);
}

void http_stream_wake(struct http_stream *stream)
{
    http_resume(stream->own);
}

/* ---- JSON ---- */

int http_json(struct http_request *request, unsigned status, const char *body)
{
    cleanup_str struct str line = {0};
    str_printf(&line, "%s\n", body);
    return http_reply(request, &(struct http_reply){.status = status, .body = line.data, .len = line.len});
}

static char *error_body(const char *words)
{
    cleanup_json json_t *object = json_pack("{s:s}", "error", words);
    char *body = json_dumps(object, JSON_COMPACT);
    if (!body)
        abort();
    return body;
}

int http_error(struct http_request *request, unsigned status, const char *words)
{
    cleanup_free char *body = error_body(words);
    return http_json(request, status, body);
}

int http_no_journal(struct http_request *request)
{
    return http_error(request, HTTP_UNAVAILABLE, "the journal cannot be read at the moment");
}
