/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What Swarm does not tell of tasks, and their containers do: failures of an update that it may overlook,
 * while tasks of the old spec still serve, and ends that it has not heard of yet.
 *
 * A node stops a task that is unhealthy. When its server then ends with 0, as a well-behaved one does, the
 * node reports the task as running before it reports its end (moby,
 * daemon/cluster/executor/container/controller.go, Start()). Swarm, when it hears of that, stops the old task
 * (order: start-first) and begins with the next one; failures it looks at between two tasks only, and those
 * that are older than `monitor` by then do not count (swarmkit, manager/orchestrator/update/updater.go). So
 * one old task after the other goes.
 *
 * The end of a task reaches Swarm when its node has reported it: half a second late on a busy machine, and
 * one second at times (seen). Until then it is reported as running.
 */

#include "agent/tasks.h"
#include "steps/gate_look.h"

/*
 * tasks, t: of the present spec. ERR_FAILED: a task that Swarm watches is unhealthy, and the one that it is
 * to replace still serves; the engine waits two seconds before it stops it, so the old spec can be back
 * before that. Only containers of this node can be asked for. *ret: another, which may be on any node, has
 * ended with 0 without having been well, and others still serve: that is for the gate to judge.
 * Other errors: the engine could not be asked. Asked only when one failure ends the update by its own terms,
 * and not on the way back, from where there is no way back.
 */
int gate_overlooked(struct gate *gate, const json_t *service, const json_t *tasks,
                    const struct tasks_judgement *t, bool *ret, struct error *err) MUST_CHECK;

/*
 * *ret, owned by t: a task that runs as far as Swarm knows, and whose container on this node does not, or is
 * gone; NULL: none. Asked on the way back, too. Errors: the engine could not be asked.
 */
int gate_ended_unheard(struct gate *gate, const struct tasks_judgement *t, const json_t **ret,
                       struct error *err) MUST_CHECK;
