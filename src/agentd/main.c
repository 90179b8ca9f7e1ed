/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "agent/config.h"
#include "agent/log.h"
#include "agentd/manager.h"
#include "base/arena.h"

static const char usage[] =
    "Usage: agentd [--config FILE]\n"
    "Watches Git branches and deploys their stacks; stays in the foreground. See agentd(8).\n"
    "\n"
    "  --config FILE  the configuration (default " CONFIG_DEFAULT_PATH ")\n"
    "  --version      print the version and exit\n"
    "  --help         print this and exit\n";

static int serve(const char *config_path)
{
    struct manager *manager;
    struct error err = {0};
    log_fold();
    if (manager_new(config_path, &manager, &err) < 0) {
        log_error("%s", err.text);
        return err.kind == ERR_INVALID ? EX_CONFIG : EXIT_FAILURE;
    }
    int r = manager_run(manager, &err);
    if (r < 0)
        log_error("%s", err.text);
    manager_free(manager);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *config_path = CONFIG_DEFAULT_PATH;
    memory_json_is_sure();
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;)
        switch (c) {
        case 'c':
            config_path = optarg;
            break;
        case 'v':
            puts("agentd " VERSION);
            return EXIT_SUCCESS;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return EX_USAGE;
        }
    if (optind < argc) {
        fprintf(stderr, "agentd takes no arguments: %s\n%s", argv[optind], usage);
        return EX_USAGE;
    }
    return serve(config_path);
}
