/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agentd/http_server.h"

/* What the library lets through, and this endpoint does not. */

enum { MAX_HEADERS = 32, MAX_HEADER = 8192, MAX_DIGITS = 15 };

struct headers {
    unsigned n, hosts, lengths;
    bool too_long, bad_length;
    struct http_body body;
};

static void look_at_length(struct headers *h, const char *value)
{
    size_t digits = value ? strspn(value, "0123456789") : 0;
    h->lengths++;
    if (digits == 0 || value[digits] != '\0' || digits > MAX_DIGITS) {
        h->bad_length = true;
        return;
    }
    h->body.length = strtoull(value, NULL, 10);
    h->body.any |= h->body.length > 0;
}

static enum MHD_Result look_at_header(void *userdata, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    struct headers *h = userdata;
    (void)kind;
    h->n++;
    h->too_long |= strlen(name) + (value ? strlen(value) : 0) > MAX_HEADER;
    h->hosts += strcasecmp(name, "Host") == 0;
    if (strcasecmp(name, "Content-Length") == 0)
        look_at_length(h, value);
    if (strcasecmp(name, "Transfer-Encoding") == 0)
        h->body.any = h->body.chunked = true;
    return MHD_YES;
}

unsigned http_check(struct MHD_Connection *connection, const char *version, struct http_body *ret_body,
                    const char **ret_words)
{
    struct headers h = {0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, look_at_header, &h);
    *ret_body = h.body;
    *ret_words = "the request is too large";
    if (h.too_long || h.n > MAX_HEADERS)
        return HTTP_HEADERS_TOO_LARGE;
    *ret_words = "bad request";
    if (h.lengths > 1 || h.bad_length || h.hosts > 1 ||
        (h.hosts == 0 && str_eq(version, MHD_HTTP_VERSION_1_1)))
        return HTTP_BAD_REQUEST;
    return 0;
}
