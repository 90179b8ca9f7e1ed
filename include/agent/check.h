/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One question to one task: is it well? Whoever could not ask says so, which is no answer. */

#include <stdbool.h>

#include "agent/release.h"

struct checker; /* keeps connections and compiled expressions */

struct check_result {
    bool passed;
    bool unasked;    /* the way to the task was broken on our side: says nothing about the task */
    bool away;       /* the engine was: nothing can be asked */
    unsigned status; /* HTTP; 0: no answer */
    int64_t took_us; /* of an HTTP answer, the way through the relay included; 0: not measured */
    char text[256];  /* "200", "500", "no answer within 5s", "body does not match" */
};

int checker_open(struct checker **ret, struct error *err) MUST_CHECK;
void checker_close(struct checker *checker);
/* Of an http check. socket: a unix socket whose connections end at the task (relay_target()). */
void checker_ask(struct checker *checker, const struct health_check *check, const char *socket,
                 struct check_result *ret);
/* A connection that the peer accepts; nothing is sent. The socket accepts by itself: `opened` says whether
   the peer did. */
void check_tcp(const char *socket, int64_t timeout_us, bool (*opened)(void *userdata), void *userdata,
               struct check_result *ret);
