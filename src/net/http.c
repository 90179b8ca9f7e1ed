/* SPDX-License-Identifier: Apache-2.0 */
#include "net/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"

#define ERROR_BODY_MAX ((size_t)64 << 10)
/* a day: what the other side writes there is reckoned with */
static const long long retry_after_most_s = 86400;

struct http {
    CURL *easy;
    char message[CURL_ERROR_SIZE];
};

/* What the callbacks of one request share. */
struct transfer {
    const struct http_request *request;
    struct http_response *response;
    CURL *easy;
    size_t received;
    curl_off_t last_count;
    int64_t last_progress_us;
    bool head_complete;
    bool cut; /* at max_body, as wanted */
    bool too_large, refused_by_reader, stalled, stopped, link_local, loopback;
};

static pthread_once_t curl_started = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        abort();
}

int http_open(struct http **ret, struct error *err)
{
    (void)err;
    struct http *http = calloc(1, sizeof *http);
    if (!http)
        abort();
    *ret = http;
    return 0;
}

void http_close(struct http *http)
{
    if (!http)
        return;
    if (http->easy)
        curl_easy_cleanup(http->easy);
    free(http);
}

void http_response_release(struct http_response *response)
{
    str_release(&response->body);
    *response = (struct http_response){0};
}

static size_t on_body(char *data, size_t size, size_t count, void *userdata)
{
    struct transfer *t = userdata;
    const struct http_request *request = t->request;
    size_t len = size * count;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    bool streamed = request->on_data && status >= 200 && status < 300;

    size_t limit = request->max_body;
    if (limit == 0 && request->on_data)
        limit = streamed ? SIZE_MAX : ERROR_BODY_MAX;
    if (len > limit - t->received) {
        t->cut = request->cut_body;
        t->too_large = !t->cut;
        if (t->cut)
            str_append_n(&t->response->body, data, limit - t->received);
        return CURL_WRITEFUNC_ERROR;
    }
    t->received += len;
    if (!streamed) {
        str_append_n(&t->response->body, data, len);
    } else if (request->on_data(request->userdata, data, len) < 0) {
        t->refused_by_reader = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

/* Copies a header's value when the line is that header; values that do not fit are cut. */
static bool header_value(const char *line, size_t len, const char *name, char *ret, size_t size)
{
    size_t n = strlen(name);
    if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return false;
    const char *start = line + n + 1, *end = line + len;
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && strchr(" \t\r\n", end[-1]))
        end--;
    size_t value_len = (size_t)(end - start) < size - 1 ? (size_t)(end - start) : size - 1;
    memcpy(ret, start, value_len);
    ret[value_len] = '\0';
    return true;
}

static size_t on_header(char *line, size_t size, size_t count, void *userdata)
{
    struct transfer *t = userdata;
    struct http_response *r = t->response;
    size_t len = size * count;
    char number[24];
    if (len > 5 && memcmp(line, "HTTP/", 5) == 0)
        t->head_complete = false;
    else if (len <= 2) /* the blank line; libcurl 7.88 takes a head that is cut off for an answer */
        t->head_complete = true;
    if (header_value(line, len, "Content-Type", r->content_type, sizeof r->content_type) ||
        header_value(line, len, "Location", r->location, sizeof r->location) ||
        header_value(line, len, "Api-Version", r->api_version, sizeof r->api_version))
        return len;
    if (header_value(line, len, "Retry-After", number, sizeof number)) {
        char *end;
        long long seconds = strtoll(number, &end, 10);
        if (seconds > retry_after_most_s)
            seconds = retry_after_most_s;
        r->retry_after_s = *end == '\0' && end != number && seconds > 0 ? seconds : 0;
    }
    return len;
}

/* libcurl calls this about once a second at least, also while nothing moves. */
static int on_progress(void *userdata, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    (void)down_total;
    (void)up_total;
    struct transfer *t = userdata;
    proc_alive();
    if (t->request->stoppable && proc_stop_requested()) {
        t->stopped = true;
        return 1;
    }
    if (t->request->stall_us == 0)
        return 0;
    int64_t now = mono_us();
    if (down + up != t->last_count) {
        t->last_count = down + up;
        t->last_progress_us = now;
    }
    t->stalled = now - t->last_progress_us > t->request->stall_us;
    return t->stalled;
}

static bool is_link_local(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const void *)address;
        return (ntohl(in4->sin_addr.s_addr) >> 16) == 0xa9fe; /* 169.254.0.0/16 */
    }
    if (address->sa_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *in6 = (const void *)address;
    const unsigned char *b = in6->sin6_addr.s6_addr;
    static const unsigned char ec2_metadata[16] = {0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
    return IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) || memcmp(b, ec2_metadata, sizeof ec2_metadata) == 0 ||
           (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && b[12] == 169 && b[13] == 254);
}

/* 0.0.0.0 and :: lead there, too. */
static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        uint32_t first = ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24;
        return first == 127 || first == 0;
    }
    if (address->sa_family != AF_INET6)
        return false;
    const struct in6_addr *in6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(in6) || IN6_IS_ADDR_UNSPECIFIED(in6) ||
           (IN6_IS_ADDR_V4MAPPED(in6) && (in6->s6_addr[12] == 127 || in6->s6_addr[12] == 0));
}

/* Does the URL's own text say which address it means, or that it means this host? */
static bool names_address(const char *url)
{
    CURLU *parsed = curl_url();
    char *host = NULL;
    struct in_addr v4;
    bool named = parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                 curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                 (*host == '[' || strcasecmp(host, "localhost") == 0 || inet_pton(AF_INET, host, &v4) == 1);
    curl_free(host);
    curl_url_cleanup(parsed);
    return named;
}

static curl_socket_t open_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct transfer *t = userdata;
    if (is_link_local(&address->addr)) {
        t->link_local = true;
        return CURL_SOCKET_BAD;
    }
    if (t->request->loopback_by_name && is_loopback(&address->addr) && !names_address(t->request->url)) {
        t->loopback = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool has_header(const struct http_request *request, const char *name)
{
    size_t n = strlen(name);
    for (const char *const *h = request->headers; h && *h; h++)
        if (strncasecmp(*h, name, n) == 0 && (*h)[n] == ':')
            return true;
    return false;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(list, line);
    if (!longer)
        abort();
    return longer;
}

static struct curl_slist *make_headers(const struct http_request *request)
{
    struct curl_slist *list = NULL;
    for (const char *const *h = request->headers; h && *h; h++)
        list = add_header(list, *h);
    list = add_header(list, "Expect:");
    if (!has_header(request, "Content-Type"))
        list = add_header(list, "Content-Type:"); /* libcurl would call every body a form */
    return list;
}

static long to_ms(int64_t us)
{
    return us > 0 && us < 1000 ? 1 : (long)(us / 1000);
}

static void set_method(CURL *easy, const struct http_request *request)
{
    const char *method = request->method ? request->method : "GET";
    bool has_body = request->body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (has_body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
    }
    if (strcmp(method, "GET") != 0 || has_body)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    if (strcmp(method, "GET") != 0)
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
}

static void set_transfer(CURL *easy, struct transfer *t, char *message)
{
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
}

static void set_options(CURL *easy, const struct http_request *request)
{
    int64_t connect_us = request->connect_timeout_us ? request->connect_timeout_us : request->timeout_us / 3;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "deploy-agent/" VERSION);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, to_ms(request->timeout_us));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, to_ms(connect_us));
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (request->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca_file);
    if (request->unix_socket)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);
    if (request->username) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, request->username);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, request->password ? request->password : "");
    }
}

/* "host:port" of a URL, or the socket's path: what an error may name. */
static void describe_peer(const struct http_request *request, struct str *ret)
{
    if (request->unix_socket) {
        str_append(ret, request->unix_socket);
        return;
    }
    CURLU *url = curl_url();
    char *host = NULL, *port = NULL;
    if (url && curl_url_set(url, CURLUPART_URL, request->url, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        str_append(ret, host);
        if (curl_url_get(url, CURLUPART_PORT, &port, 0) == CURLUE_OK)
            str_printf(ret, ":%s", port);
    } else {
        str_append(ret, "request");
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
}

static bool was_connected(const struct transfer *t)
{
    curl_off_t connected_us = 0;
    curl_easy_getinfo(t->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
    return connected_us > 0;
}

static int set_timeout_error(const struct transfer *t, const char *peer, struct error *err)
{
    if (t->stalled)
        return error_set(err, ERR_TIMEOUT, 0, "%s: nothing came for %lld s", peer,
                         (long long)(t->request->stall_us / US_PER_S));
    if (!was_connected(t))
        return error_set(err, ERR_TIMEOUT, 0, "%s: no connection in time", peer);
    return error_set(err, ERR_TIMEOUT, 0, "%s: no complete answer within %.3g s", peer,
                     (double)t->request->timeout_us / (double)US_PER_S);
}

static int set_error(const struct transfer *t, CURLcode code, const char *message, struct error *err)
{
    cleanup_str struct str peer = {0};
    describe_peer(t->request, &peer);
    const char *why = message[0] ? message : curl_easy_strerror(code);
    long os_errno = 0;
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_errno);

    if (t->stopped || t->refused_by_reader)
        return error_set(err, ERR_CANCELLED, 0, "%s: request cancelled", peer.data);
    if (t->too_large)
        return error_set(err, ERR_INVALID, 0, "%s: the answer is larger than %zu bytes", peer.data,
                         t->request->max_body ? t->request->max_body : ERROR_BODY_MAX);
    if (t->link_local)
        return error_set(err, ERR_REFUSED, 0, "%s: link-local addresses are not connected to", peer.data);

    if (t->loopback)
        return error_set(err, ERR_REFUSED, 0,
                         "%s: the name leads to this host; write localhost if it is meant", peer.data);

    switch (code) {
    case CURLE_OUT_OF_MEMORY:
        abort();
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_ABORTED_BY_CALLBACK:
        return set_timeout_error(t, peer.data, err);
    case CURLE_COULDNT_CONNECT:
        return error_set(err, os_errno == EACCES ? ERR_REFUSED : ERR_UNAVAILABLE, (int)os_errno, "%s: %s",
                         peer.data, os_errno ? strerror((int)os_errno) : why);
    case CURLE_COULDNT_RESOLVE_HOST:
        return error_set(err, ERR_UNAVAILABLE, 0, "%s: the name does not resolve", peer.data);
    case CURLE_GOT_NOTHING:
        return error_set(err, ERR_UNAVAILABLE, 0, "%s: connection closed without a complete answer",
                         peer.data);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return error_set(err, ERR_REFUSED, 0, "%s: %s", peer.data, why);
    case CURLE_UNSUPPORTED_PROTOCOL:
        if (was_connected(t)) /* libcurl's words: HTTP/0.9 */
            return error_set(err, ERR_UNAVAILABLE, 0, "%s: the answer is not HTTP", peer.data);
        return error_set(err, ERR_INVALID, 0, "%s: %s", peer.data, why);
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CACERT_BADFILE:
        return error_set(err, ERR_INVALID, 0, "%s: %s", peer.data, why);
    default:
        return error_set(err, ERR_UNAVAILABLE, 0, "%s: %s", peer.data, why);
    }
}

static bool has_good_head(const struct transfer *t)
{
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return t->head_complete && status >= 200 && status <= 299;
}

int http_send(struct http *http, const struct http_request *request, struct http_response *ret,
              struct error *err)
{
    if (request->timeout_us <= 0) /* libcurl would take it as "no limit" */
        return error_set(err, ERR_TIMEOUT, 0, "no time left for a request");
    pthread_once(&curl_started, start_curl);
    if (!http->easy && !(http->easy = curl_easy_init()))
        abort();
    http_response_release(ret);

    struct http_response response = {0};
    struct transfer t = {
        .request = request, .response = &response, .easy = http->easy, .last_progress_us = mono_us()};
    struct curl_slist *headers = make_headers(request);
    curl_easy_reset(http->easy); /* options only: connections are kept */
    http->message[0] = '\0';
    set_options(http->easy, request);
    set_method(http->easy, request);
    set_transfer(http->easy, &t, http->message);
    curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, headers);

    CURLcode code = curl_easy_perform(http->easy);
    curl_slist_free_all(headers);
    if (t.cut || (request->good_head_is_all && has_good_head(&t)))
        code = CURLE_OK;
    if (code == CURLE_OK && !t.head_complete)
        code = CURLE_GOT_NOTHING;
    if (code != CURLE_OK) {
        http_response_release(&response);
        return set_error(&t, code, http->message, err);
    }
    curl_off_t total_us = 0;
    curl_easy_getinfo(http->easy, CURLINFO_TOTAL_TIME_T, &total_us);
    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &response.status);
    response.total_us = total_us;
    *ret = response;
    return 0;
}
