/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/turn.h"

#include "agent/log.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "steps/lease.h"

static const int64_t retry_us = 2 * US_PER_S;
/* An engine that is being stopped or was just started is no manager for a moment. */
static const int64_t swarm_start_us = 20 * US_PER_S;

static int look(const struct turn *turn, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    struct step_ctx *ctx = turn->ctx;
    struct swarm_info swarm = {0};
    if (docker_swarm(ctx->docker, &arena, &swarm, err) < 0)
        return -1;
    if (!swarm.active)
        return error_set(
            err, ERR_REFUSED, 0,
            "this node is not a swarm manager; run the agent on a manager, or: docker swarm init");
    if (!swarm.manager) /* a worker, perhaps one that was demoted: others go on, and it may be promoted */
        return error_set(err, ERR_UNAVAILABLE, 0,
                         "this node is not a swarm manager now; until: docker node promote %s",
                         swarm.node_name ? swarm.node_name : "NODE");
    if (ctx->config->act == ACT_LEADER && !swarm.leader)
        return error_set(err, ERR_UNAVAILABLE, 0, "this node is not the leader of the swarm (act = leader)");
    return lease_look(ctx->lease, &swarm, turn->begun, err);
}

static bool is_passing(const struct error *err)
{
    return err->kind == ERR_UNAVAILABLE || err->kind == ERR_TIMEOUT;
}

static int rest(const struct turn *turn, struct error *err)
{
    if (turn->begun)
        step_sleep(retry_us);
    else
        step_pause(turn->ctx, retry_us);
    enum stop_reason stop = step_stop_reason(turn->ctx);
    if ((stop == STOP_SHUTDOWN || (!turn->begun && stop == STOP_CANCEL)) &&
        step_should_stop(turn->ctx, err) < 0)
        return -1;
    return turn->begun || !turn->give_up ? 0 : turn->give_up(turn->userdata, err);
}

int turn_wait(const struct turn *turn, struct error *err)
{
    bool logged = false;
    for (int64_t refused_us = 0;;) {
        struct error why = {0};
        if (look(turn, &why) == 0) {
            step_waiting(turn->ctx, NULL);
            return 0;
        }
        bool passed = why.kind == ERR_CONFLICT && why.code == LEASE_PASSED;
        refused_us = is_passing(&why) ? 0 : refused_us ? refused_us : mono_us();
        bool may_pass = !refused_us || mono_us() - refused_us < swarm_start_us;
        if (passed || (!turn->begun && !may_pass)) {
            *err = why;
            return -1;
        }
        step_waiting(turn->ctx, "%s", why.text);
        if (!logged)
            log_warning("waiting: %s", why.text);
        logged = true;
        if (rest(turn, err) < 0)
            return -1;
    }
}

int turn_take(const struct turn *turn, struct error *err)
{
    while (lease_take(turn->ctx->lease, err) < 0) {
        if (!is_passing(err))
            return -1;
        step_waiting(turn->ctx, "taking the lease of the stack: %s", err->text);
        if (rest(turn, err) < 0)
            return -1;
    }
    step_waiting(turn->ctx, NULL);
    return 0;
}
