/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The relay's parts, see agent/docker.h and docs/architecture.md. */

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/docker.h"
#include "base/arena.h"

#define RELAY_LABEL      "deploy-agent.relay"
#define RELAY_SPEC_LABEL "deploy-agent.relay-spec"
#define RELAY_PROGRAM    "/relay"

/* relay/relay.c, built static, made an array by embed.py */
extern const unsigned char relay_program[];
extern const size_t relay_program_size;

/* ---- relay_image.c ---- */
/* A tar archive of one executable file, all else zero, so that it is always the same. */
void relay_tar(const char *name, const void *data, size_t len, struct str *ret);
/* The ID of an image that holds relay_program; imported when this node has none. In the arena. */
int relay_image(struct docker *docker, struct arena *arena, const char **ret_id,
                struct error *err) MUST_CHECK;

/* ---- relay_service.c ---- */
struct relay_place { /* where the relay runs */
    const char *container_id;
    const char **networks; /* IDs, NULL-terminated */
};
/* "deploy-agent-relay_STACK", shortened with a hash where Swarm's 63 bytes do not hold it */
const char *relay_service_name(struct arena *arena, const char *stack);
/* Creates or updates the service and waits for its task; strings in the arena. */
int relay_service_ensure(struct docker *docker, struct arena *arena, const char *stack,
                         const char *const *networks, int64_t timeout_us, struct relay_place *ret,
                         struct error *err) MUST_CHECK;

/* Where it runs now; nothing is changed. ERR_NOT_FOUND: it does not. */
int relay_service_find(struct docker *docker, struct arena *arena, const char *stack, struct relay_place *ret,
                       struct error *err) MUST_CHECK;

/* ---- relay_serve.c and relay_connection.c: the splicing process ---- */
/*
 * `agent-worker relay-serve` gets its orders as packets (SOCK_SEQPACKET) on its descriptor 1 and ends when
 * that is closed. A packet is one struct relay_order together with the listening socket. Whenever a
 * connection was made, or could not be, the process answers with a struct relay_failure, before it closes the
 * client's side.
 */
#define RELAY_ORDER_FD    1
#define RELAY_TARGETS_MAX 256
struct relay_order {
    uint32_t place;   /* below RELAY_TARGETS_MAX; what had this place before is forgotten */
    uint32_t number;  /* of the target, never given twice: what a connection of a forgotten one reports is
                         about no other */
    char engine[108]; /* the engine's socket */
    char api_version[16];
    char container[80];
    char host[256];
    char port[8];
};
struct relay_failure {
    uint32_t number;
    bool relay_gone; /* the container is not there, or does not run: relay_target() gets another */
    bool opened;     /* no failure: the connection was made */
    char text[300];
};

struct connection; /* one client, one exec */
/* Takes the client's descriptor. NULL: the engine does not answer; *ret says why. */
struct connection *connection_open(const struct relay_order *order, int client, struct relay_failure *ret);
void connection_close(struct connection *connection);
/* The two descriptors to wait for. */
void connection_poll(const struct connection *connection, struct pollfd fds[2]);
/* Does what can be done; false: over. */
bool connection_move(struct connection *connection, const struct pollfd fds[2]);
/* When an unfinished opening is given up; INT64_MAX once it is open. */
int64_t connection_deadline_us(const struct connection *connection);
/* Is it open since the last time that this was asked? */
bool connection_opened(struct connection *connection, struct relay_failure *ret);
/* Why it never opened; false when it did. */
bool connection_failure(const struct connection *connection, struct relay_failure *ret);
