/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/control.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "worker/verbs.h"

static const struct verb {
    const char *name, *args, *help;
    int (*run)(const struct verb_context *context, int argc, char **argv);
} verbs[] = {
    {"poll", "STACK [--known TIP] [--sync]",
     "look at the branch; request a deployment when there is something new", cmd_poll},
    {"plan", "STACK [--commit C] [--json]", "show what a deployment would change", cmd_plan},
    {"run", "ID", "run a requested deployment to its end", cmd_run},
    {"observe", "STACK", "look for what changed without a commit: services (drift), followed tags",
     cmd_observe},
    {"render", "FILE... --stack NAME [--env-file F] [--diff]",
     "print the Engine API bodies of a stack file, or what they would change", cmd_render},
    {"migrate", "status|adopt|resolve STACK ...",
     "what a database has of the sql steps; a table that was there before; a person's word about a version",
     cmd_migrate},
    {"notify", "RECEIVER", "tell a receiver of deployments what waits for it in the outbox", cmd_notify},
    {"check", "[STACK]", "try everything that the configuration names", cmd_check},
    {"health", "[STACK]", "print what the database has and lacks of the deployed commit", cmd_health},
    {"records", "[STACK] [--state S] [--since MICROSECONDS] [-n N]",
     "print what all hosts have delivered to the records, newest first, a line of JSON each", cmd_records},
    {"relay-serve", "", "serve the sockets into an overlay network; started by the worker itself",
     cmd_relay_serve},
};

static void usage(FILE *to)
{
    fprintf(to, "usage: agent-worker [--config FILE] VERB ...\n\nOne job of the deploy agent, as agentd "
                "starts it; also useful by hand.\n\n");
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        fprintf(to, "  %s %s\n      %s\n", verbs[i].name, verbs[i].args, verbs[i].help);
}

static int run(int argc, char **argv)
{
    struct verb_context context = {.config_path = CONFIG_DEFAULT_PATH};
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            puts("agent-worker " VERSION);
            return 0;
        }
        if (strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            return 0;
        }
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            context.config_path = argv[++i];
        } else {
            usage(stderr);
            return EXIT_BAD_USAGE;
        }
    }
    for (size_t v = 0; i < argc && v < ARRAY_SIZE(verbs); v++)
        if (strcmp(argv[i], verbs[v].name) == 0)
            return verbs[v].run(&context, argc - i, argv + i);
    usage(stderr);
    return EXIT_BAD_USAGE;
}

int main(int argc, char **argv)
{
    memory_json_is_sure();
    /* the pipe behind stdout is agentd's: who deploys goes on when it dies */
    (void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    int code = run(argc, argv);
    /* a full disk or a closed pipe must not look like a good end */
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    perror("agent-worker: writing the output");
    return code == EXIT_GOOD ? EXIT_FAILED : code;
}
