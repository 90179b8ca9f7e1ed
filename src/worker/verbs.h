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
int cmd_migrate(const struct verb_context *context, int argc, char **argv);
int cmd_notify(const struct verb_context *context, int argc, char **argv);
int cmd_health(const struct verb_context *context, int argc, char **argv);
int cmd_records(const struct verb_context *context, int argc, char **argv);
int cmd_relay_serve(const struct verb_context *context, int argc, char **argv);
