/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One job per process: each verb is one file, cmd_*.c. argv starts with the verb's name. Returns the exit
 * code. */

struct verb_context {
    const char *config_path;
};

int cmd_poll(const struct verb_context *context, int argc, char **argv);
int cmd_plan(const struct verb_context *context, int argc, char **argv);
int cmd_run(const struct verb_context *context, int argc, char **argv);
int cmd_observe(const struct verb_context *context, int argc, char **argv);
int cmd_render(const struct verb_context *context, int argc, char **argv);
int cmd_check(const struct verb_context *context, int argc, char **argv);
int cmd_relay_serve(const struct verb_context *context, int argc, char **argv);

/* Exit codes between worker and agentd, besides 0 and 1. */
enum {
    WORKER_EXIT_STOPPED = 75, /* at a step boundary, because of SIGTERM: to be resumed */
    WORKER_EXIT_LOCKED = 76,  /* another worker holds the stack's lock */
};
