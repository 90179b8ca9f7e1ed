/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside src/docker: how a request is made. The requests that exist are the table in endpoint.c. */

#include <jansson.h>

#include "agent/docker.h"
#include "agent/error.h"
#include "base/str.h"
#include "docker/auth.h"
#include "docker/endpoint.h"
#include "net/http.h"

struct docker {
    char *socket; /* path */
    char *auth_file;
    struct http *http;
    char version[16]; /* "" before the first request */
    bool negotiated;  /* cleared when the engine goes away: another one may come back */
    struct registry_auth *auth;
    int (*guard)(void *userdata, struct error *err); /* NULL: none */
    void *guard_userdata;
    int64_t limit_us; /* 0: none but the endpoints' */
};

struct call {
    enum endpoint endpoint;
    const char *object; /* fills {} of the endpoint's path; percent-encoded here */
    const char *about;  /* names the object in errors; NULL: `object` does */
    struct str query;   /* "a=b&c=d", see call_query(); released by docker_send() */
    const void *body;   /* NULL: none */
    size_t body_len;
    bool body_is_tar;   /* else JSON */
    const char *image;  /* its registry's credentials go along */
    int64_t timeout_us; /* 0: the endpoint's */
    int64_t stall_us;
    int (*on_data)(void *userdata, const char *data, size_t len);
    void *userdata;
};

/* Appends NAME=VALUE, percent-encoded. */
void call_query(struct call *call, const char *name, const char *value);
/* filters={"KEY":["VALUE"]} for one filter; VALUE may be NULL: nothing is appended */
void call_filter(struct call *call, const char *key, const char *value);

/*
 * Sends and classifies. *ret_body, when not NULL, gets the body of a 2xx answer. An answer that is not 2xx is
 * an error with the engine's words: "reading service web: service web not found".
 */
int docker_send(struct docker *docker, struct call *call, struct str *ret_body, struct error *err) MUST_CHECK;
/* The same for an answer that is JSON; `type` is JSON_OBJECT or JSON_ARRAY. */
int docker_send_json(struct docker *docker, struct call *call, json_type type, json_t **ret,
                     struct error *err) MUST_CHECK;
/* Negotiates the version when that has not happened yet. */
int docker_negotiate(struct docker *docker, struct error *err) MUST_CHECK;
/* "1.44" against "1.41": is the negotiated version at least this one? */
bool docker_api_at_least(const struct docker *docker, unsigned minor);

/* IDs of this node's images that carry a label KEY=VALUE. */

/* ---- engine JSON (json.c) ---- */
/*
 * jansson holds signed 64-bit integers only, and Swarm has an unsigned one: RestartPolicy.MaxAttempts
 * 18446744073709551615 (the CLI writes it for `max_attempts: -1`). Integers beyond int64 are read as -1,
 * and MaxAttempts -1 is written as 18446744073709551615, so that the value survives the way there and back.
 */
json_t *engine_json_decode(char *text, size_t len,
                           struct error *err);                  /* changes `text`; NULL: ERR_UNAVAILABLE */
char *engine_json_encode(const json_t *value, size_t *ret_len); /* caller frees */

/* ---- classification (classify.c) ---- */
enum error_kind engine_error_kind(long status, const char *message);
/* The same for distribution and pull, where engines wrap the registry's answer in statuses of their own. */
enum error_kind registry_error_kind(long status, const char *message);
/* {"message": …} of an error body, else its first line, made harmless; "HTTP status N" when there is nothing.
 */
char *engine_error_text(struct arena *arena, long status, const char *body, size_t len);
/* Is the object the one asked for, by ID or by exact name? Engines also match prefixes of IDs. */
bool is_object_named(const json_t *object, const char *id_or_name);

/* ---- text (encode.c) ---- */
void percent_encode(struct str *ret, const char *text,
                    const char *keep); /* keep: bytes left alone besides unreserved ones */
