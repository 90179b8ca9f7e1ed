/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/internal.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "repo/pktline.h"
#include "repo/remote.h"
#include "repo/smart_http.h"
#include "repo/url.h"

#define TIP_TIMEOUT_US (30 * US_PER_S)
#define LISTING_MAX    ((size_t)4 << 20)

/* Version 2: the server sends the one reference we ask for. */
static int ask(struct smart_http *http, const char *ref, bool object_format, struct ref_listing *ret,
               struct error *err)
{
    cleanup_str struct str body = {0};
    struct http_response response = {0};
    pkt_make_ls_refs(&body, ref, object_format);
    struct smart_http_call call = {.body = body.data, .len = body.len, .version2 = true, .max = LISTING_MAX};
    if (smart_http_send(http, &call, &response, err) < 0)
        return -1;
    int r = pkt_parse_ls_refs(str_text(&response.body), response.body.len, ref, ret, err);
    http_response_release(&response);
    return r;
}

/* As gitprotocol-http(5) has it: first what the server can do, with versions 0 and 1 that is the listing. */
static int list(struct smart_http *http, const char *ref, struct ref_listing *ret, struct error *err)
{
    struct http_response response = {0};
    struct smart_http_call call = {.version2 = true, .max = LISTING_MAX};
    if (smart_http_send(http, &call, &response, err) < 0)
        return -1;
    int r = pkt_parse_advertisement(str_text(&response.body), response.body.len, ref, ret, err);
    http_response_release(&response);
    return r < 0 || !ret->version2 ? r : ask(http, ref, ret->sends_object_format, ret, err);
}

/* Would another question be answered differently? A password is shown once, a busy server asked once. */
static bool is_final(const struct error *err)
{
    switch (err->kind) {
    case ERR_REFUSED:
    case ERR_TIMEOUT:
    case ERR_CANCELLED:
    case ERR_SYSTEM:
        return true;
    case ERR_UNAVAILABLE:
        return err->code != 500 && err->code != 501;
    default:
        return false;
    }
}

/*
 * HTTP has no state between requests, so the capabilities need not be read before asking, and version 2 has
 * been the rule since 2018: one request, one connection, half the work at both ends. A server that does not
 * understand it says so in one way or another and is asked in the old way, which costs what git costs.
 */
static int list_http(struct smart_http *http, const char *ref, struct ref_listing *ret, struct error *err)
{
    struct error why = {0};
    if (ask(http, ref, false, ret, &why) == 0)
        return 0;
    if (!is_final(&why))
        return list(http, ref, ret, err);
    *err = why;
    return -1;
}

static int tip_http(const struct stack_config *stack, const struct repo_url *url, int64_t deadline_us,
                    char ret[COMMIT_HEX_SIZE], struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct smart_http http = {0};
    struct ref_listing listing = {0};
    if (smart_http_open(stack, url, deadline_us, &http, err) < 0)
        return -1;
    int r = list_http(&http, arena_printf(&arena, "refs/heads/%s", stack->branch), &listing, err);
    smart_http_close(&http);
    if (r < 0)
        return -1;
    if (!listing.found)
        return error_set(err, ERR_NOT_FOUND, 0, "the repository has no branch %s", stack->branch);
    memcpy(ret, listing.id, COMMIT_HEX_SIZE);
    return 0;
}

static int tip_libgit(const struct stack_config *stack, const struct repo_url *url, int64_t deadline_us,
                      char ret[COMMIT_HEX_SIZE], struct error *err)
{
    struct remote remote;
    git_oid tip;
    if (libgit_start(err) < 0 || remote_open(&remote, stack, url, NULL, NULL, deadline_us, err) < 0)
        return -1;
    int r = remote_find_branch(&remote, &tip, err);
    remote_close(&remote);
    if (r < 0)
        return -1;
    git_oid_tostr(ret, COMMIT_HEX_SIZE, &tip);
    return 0;
}

int repo_tip_within(const struct stack_config *stack, int64_t timeout_us, char ret[COMMIT_HEX_SIZE],
                    struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct repo_url url;
    int64_t deadline_us = mono_us() + timeout_us;
    if (repo_url_parse(&arena, stack->repository, stack->insecure, &url, err) < 0 ||
        repo_branch_check(stack->branch, err) < 0)
        return -1;
    bool http = url.scheme == REPO_HTTP || url.scheme == REPO_HTTPS;
    int r =
        http ? tip_http(stack, &url, deadline_us, ret, err) : tip_libgit(stack, &url, deadline_us, ret, err);
    return r < 0 ? error_wrap(err, "%s", url.text) : 0;
}

int repo_tip(const struct stack_config *stack, char ret[COMMIT_HEX_SIZE], struct error *err)
{
    return repo_tip_within(stack, TIP_TIMEOUT_US, ret, err);
}
