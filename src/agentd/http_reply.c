/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <string.h>

#include "agentd/http_server.h"
#include "agentd/manager.h"
#include "base/cleanup.h"
#include "base/hash.h"

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
    if (r.etag && http_etag_matches(http_header(request, "If-None-Match"), r.etag)) {
        r.status = HTTP_NOT_MODIFIED;
        r.len = 0;
    }
    /* the library does not write to it; its interface knows no const */
    void *body = (void *)(uintptr_t)(r.len ? r.body : "");
    return queue(request, &r, MHD_create_response_from_buffer(r.len, body, MHD_RESPMEM_MUST_COPY));
}

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
