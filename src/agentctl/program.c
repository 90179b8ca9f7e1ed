/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "agentctl/verbs.h"
#include "base/arena.h"
#include "base/str.h"

static int run_verb(struct ctl *ctl, const char *config, int argc, char **argv)
{
    struct args args;
    const struct verb *verb = verb_find(argv[0]);
    if (!verb)
        return ctl_misuse("there is no verb '%s'; see agentctl --help", argv[0]);
    int code = args_parse(&ctl->arena, verb, argc - 1, argv + 1, &args);
    if (code != EXIT_GOOD)
        return code;
    if (args.help) {
        verb_usage(verb, stdout);
        return EXIT_GOOD;
    }
    code = ctl_configure(ctl, args.config ? args.config : config);
    if (code != EXIT_GOOD)
        return code;
    return verb->run(ctl, &args);
}

static int run(int argc, char **argv)
{
    struct ctl ctl;
    const char *config = NULL;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            puts("agentctl " VERSION);
            return EXIT_GOOD;
        }
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            verbs_usage(stdout);
            return EXIT_GOOD;
        }
        if (str_starts(argv[i], "--config="))
            config = argv[i] + strlen("--config=");
        else if (strcmp(argv[i], "--config") == 0 && argv[i + 1])
            config = argv[++i];
        else
            return ctl_misuse("unknown option %s; see agentctl --help", argv[i]);
    }
    if (i == argc) {
        verbs_usage(stderr);
        return EXIT_BAD_USAGE;
    }
    ctl_init(&ctl);
    int code = run_verb(&ctl, config, argc - i, argv + i);
    ctl_release(&ctl);
    return code;
}

int ctl_main(int argc, char **argv)
{
    memory_json_is_sure();
    int code = run(argc, argv);
    /* a full disk or a closed pipe must not look like a good end */
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    perror("agentctl: writing the output");
    return code == EXIT_GOOD ? EXIT_FAILED : code;
}
