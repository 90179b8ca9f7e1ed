/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/lease_end.h"

#include <inttypes.h>

#include "agent/log.h"

void lease_end(struct work *work, const struct deployment *deployment, struct lease *lease)
{
    struct error ignored = {0};
    struct stack_state state = {0};
    const char *held = NULL, *why = "rolled back from by request";
    if (deployment_state_holds(deployment->state)) {
        held = deployment->commit;
        why = deployment_state_name(deployment->state);
    } else if (deployment->state == DEPLOYMENT_SUCCEEDED && deployment->trigger == TRIGGER_ROLLBACK &&
               journal_stack(work->journal, &work->arena, deployment->stack, &state, &ignored) == 0) {
        held = state.tip;
    }
    lease_give(lease, held, why);
}

static int look(struct work *work, struct lease *lease, struct error *err)
{
    struct swarm_info swarm = {0};
    struct deployment left = {0};
    bool found = false;
    if (docker_swarm(work->docker, &work->arena, &swarm, err) < 0)
        return -1;
    if (!swarm.active || !swarm.manager) /* it cannot write, and others see it expire */
        return 0;
    if (lease_look(lease, &swarm, false, err) < 0)
        return lease_is_anothers(lease) ? 0 : -1;
    int64_t id = lease_left(lease);
    if (id == 0)
        return 0;
    if (journal_deployment(work->journal, &work->arena, id, &left, &found, err) < 0)
        return -1;
    if (!found || !deployment_state_ended(left.state))
        return 0;
    log_notice("giving back the lease that deployment #%" PRId64 " has left", id);
    lease_take_left(lease);
    lease_end(work, &left, lease);
    return 0;
}

int lease_end_left(struct work *work, struct error *err)
{
    const struct lease_options options = {
        .engine = work->config.docker, .stack = work->stack->name, .host_id = work->host_id};
    struct lease *lease;
    if (lease_open(&options, &lease, err) < 0)
        return -1;
    int r = look(work, lease, err);
    lease_close(lease);
    return r;
}
