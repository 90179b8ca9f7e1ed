/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/docker.h"
#include "worker/verbs.h"

int cmd_relay_serve(const struct verb_context *context, int argc, char **argv)
{
    (void)context;
    return relay_serve_main(argc, argv);
}
