/* SPDX-License-Identifier: Apache-2.0 */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/check.h"
#include "base/clock.h"
#include "base/str.h"
#include "net/http.h"

struct checker {
    struct http *http;
};

/* Of a larger page the beginning is looked at, and nothing else is fetched. */
static const size_t body_max = 64 * 1024;

int checker_open(struct checker **ret, struct error *err)
{
    struct checker *checker = calloc(1, sizeof *checker);
    if (!checker)
        abort();
    if (http_open(&checker->http, err) < 0) {
        free(checker);
        return -1;
    }
    *ret = checker;
    return 0;
}

void checker_close(struct checker *checker)
{
    if (!checker)
        return;
    http_close(checker->http);
    free(checker);
}

static int compile(const struct health_check *check, regex_t *ret, struct error *err)
{
    int r = regcomp(ret, check->body, REG_EXTENDED | REG_NOSUB | REG_NEWLINE);
    if (r == 0)
        return 0;
    char text[128];
    regerror(r, ret, text, sizeof text);
    return error_set(err, ERR_INVALID, 0, "check %s: body '%s' is no extended regular expression: %s",
                     check->label, check->body, text);
}

static bool body_matches(const struct health_check *check, const char *body)
{
    regex_t re;
    struct error err = {0};
    if (!check->body)
        return true;
    if (compile(check, &re, &err) < 0)
        return false;
    bool matches = regexec(&re, body, 0, NULL, 0) == 0;
    regfree(&re);
    return matches;
}

static const char **request_headers(struct arena *arena, const struct health_check *check)
{
    size_t n = 0;
    while (check->headers[n])
        n++;
    const char **headers = arena_array(arena, n + 4, sizeof *headers);
    memcpy(headers, check->headers, n * sizeof *headers);
    headers[n++] = arena_printf(arena, "Host: %s", check->host_header);
    headers[n++] = "User-Agent: deploy-agent";
    headers[n++] = "Connection: close"; /* each sample is a new connection to the task */
    return headers;
}

void checker_ask(struct checker *checker, const struct health_check *check, const char *socket,
                 struct check_result *ret)
{
    struct arena arena = {0};
    struct error err = {0};
    struct http_response response = {0};
    struct http_request request = {
        .url = arena_printf(&arena, "http://%s:%u%s", check->host, check->port, check->path),
        .unix_socket = socket,
        .headers = request_headers(&arena, check),
        .timeout_us = check->timeout_us,
        .max_body = body_max,
        .cut_body = true,
    };
    *ret = (struct check_result){0};
    if (http_send(checker->http, &request, &response, &err) < 0) {
        if (err.kind == ERR_TIMEOUT)
            snprintf(ret->text, sizeof ret->text, "no answer within %.3gs", (double)check->timeout_us / 1e6);
        else
            snprintf(ret->text, sizeof ret->text, "%.200s", err.text);
    } else {
        ret->status = (unsigned)response.status;
        bool status = ret->status == check->status,
             body = status && body_matches(check, str_text(&response.body));
        ret->passed = status && body;
        ret->took_us = response.total_us;
        snprintf(ret->text, sizeof ret->text, status && !body ? "%u but its body does not match" : "%u",
                 ret->status);
    }
    http_response_release(&response);
    arena_release(&arena);
}
