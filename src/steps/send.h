/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Writing a service so that afterwards it is known whether the write took effect. */

#include "agent/step.h"

/* How long an engine may refuse everything before a write or a look gives up; one that is away is waited for.
 */
extern const int64_t send_patience_us;

/* HOSTID/ID: what services and jobs of this deployment carry in the label deploy-agent.deployment. */
const char *send_label(struct step_ctx *ctx);

/*
 * The body to send: spec plus our labels, IDs of the secrets and configs it names, ForceUpdate of the live
 * service (NULL: new). New reference in *ret.
 */
int send_body(struct step_ctx *ctx, const json_t *spec, const json_t *live, json_t **ret,
              struct error *err) MUST_CHECK;

/*
 * Creates the service, or finds that it is there already with our label. Waits while the engine does not
 * answer. *ret_id is in the arena.
 */
int send_create(struct step_ctx *ctx, const json_t *spec, const char **ret_id, struct error *err) MUST_CHECK;

/* Code of the ERR_CONFLICT that means: somebody else's change was found, nothing was sent. */
enum { SEND_FOREIGN = 1 };

/*
 * Makes `body` the spec of the service. `expected` is the exact spec it must have now: an index that moved by
 * itself is read again; a spec that somebody else changed is ERR_CONFLICT (SEND_FOREIGN) and stays. When it
 * has taken effect already, nothing is sent.
 */
struct send_update {
    const char *service, *id;
    const json_t *expected;
    const json_t *spec; /* to send; our labels and IDs are added when `labels` */
    bool labels;
};
int send_update(struct step_ctx *ctx, const struct send_update *update, struct error *err) MUST_CHECK;

/* Asks again while the engine does not answer, until a stop is requested. */
int send_read_service(struct step_ctx *ctx, const char *id_or_name, json_t **ret,
                      struct error *err) MUST_CHECK;
int send_read_tasks(struct step_ctx *ctx, const char *service_id, json_t **ret, struct error *err) MUST_CHECK;
bool send_is_transient(const struct error *err);
/*
 * After a request that failed (err): 0 to try it again, a second later; -1 to give up, with err as it is or
 * ERR_CANCELLED. *since_us: the caller's, 0 before the first.
 */
int send_wait(struct step_ctx *ctx, int64_t *since_us, struct error *err) MUST_CHECK;
