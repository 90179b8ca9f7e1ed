/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What went wrong, in words a person can act on.
 *
 * Every function that can fail returns 0 or -1 and takes a caller-owned `struct error *err` as its last
 * parameter. On success *err is untouched. On failure it is set where the failure happens, and wrapped
 * (prefixed) only by a layer that adds a fact: "reading deploy/stack.yml: no such file in commit 9f3c1ab".
 * The text is stored in the journal and shown to the user as it is, so it names what failed and, where
 * that is not obvious, what to do next. It never holds a secret.
 *
 *     struct error err = {0};
 *     if (repo_fetch(repo, &err) < 0)
 *         return error_wrap(&err, "fetching %s", url);
 */

enum error_kind {
    ERR_NONE = 0,
    ERR_INVALID,     /* input of ours is wrong: configuration, stack file, arguments */
    ERR_NOT_FOUND,   /* the thing asked for does not exist */
    ERR_REFUSED,     /* the other side said no and will say no again: 401, 403, host key */
    ERR_UNAVAILABLE, /* trouble that may pass: network, 5xx, registry, engine restarting */
    ERR_TIMEOUT,     /* a deadline of ours passed */
    ERR_CONFLICT,    /* somebody else changed or holds it */
    ERR_FAILED,      /* the deployed thing itself failed: task crashed, migration exited 1 */
    ERR_CANCELLED,   /* we were asked to stop */
    ERR_SYSTEM,      /* a system call failed; code is errno */
    ERR_INTERNAL,    /* a defect of ours */
};

/* Longer texts are cut with "…". Zeroed is "no error". */
struct error {
    enum error_kind kind;
    int code; /* errno, HTTP status or exit code; 0 when there is none */
    char text[4096];
};

/* Both return -1, so that they can be returned. error_wrap() puts "PREFIX: " before the text. */
int error_set(struct error *err, enum error_kind kind, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* errno as it is at the call: "FORMAT: No such file or directory" */
int error_errno(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define MUST_CHECK __attribute__((warn_unused_result))
