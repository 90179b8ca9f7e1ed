/* SPDX-License-Identifier: Apache-2.0 */
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

#include "agentd/http.h"
#include "base/str.h"

/* What the library lets through, and this endpoint does not. */

enum { MAX_HEADERS = 32, MAX_HEADER = 8192 };

struct headers {
    unsigned n, hosts, lengths;
    bool too_long, body;
};

static enum MHD_Result look_at_header(void *userdata, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    struct headers *h = userdata;
    (void)kind;
    h->n++;
    h->too_long |= strlen(name) + (value ? strlen(value) : 0) > MAX_HEADER;
    h->hosts += strcasecmp(name, "Host") == 0;
    if (strcasecmp(name, "Content-Length") == 0) {
        h->lengths++;
        h->body |= !str_eq(value, "0");
    }
    h->body |= strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

unsigned http_check(struct MHD_Connection *connection, const char *method, const char *version,
                    const char **ret_words)
{
    struct headers h = {0};
    MHD_get_connection_values(connection, MHD_HEADER_KIND, look_at_header, &h);
    *ret_words = "the request is too large";
    if (h.too_long || h.n > MAX_HEADERS)
        return MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    *ret_words = "bad request";
    if (h.lengths > 1 || h.hosts > 1 || (h.hosts == 0 && str_eq(version, MHD_HTTP_VERSION_1_1)))
        return MHD_HTTP_BAD_REQUEST;
    *ret_words = "GET and HEAD only";
    if (!str_eq(method, MHD_HTTP_METHOD_GET) && !str_eq(method, MHD_HTTP_METHOD_HEAD))
        return MHD_HTTP_METHOD_NOT_ALLOWED;
    *ret_words = "a request has no body here";
    return h.body ? MHD_HTTP_CONTENT_TOO_LARGE : 0;
}
