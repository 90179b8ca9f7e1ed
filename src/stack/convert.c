/* SPDX-License-Identifier: Apache-2.0 */
#include "convert.h"

void convert_project(struct converter *c, struct stack *ret)
{
    const struct project *p = c->project;
    c->network_used = arena_array(c->arena, p->networks.n, sizeof *c->network_used);
    ret->services = arena_array(c->arena, p->n_services, sizeof *ret->services);
    for (size_t i = 0; i < p->n_services; i++)
        convert_service(c, &p->services[i], &ret->services[ret->n_services++]);
    convert_networks(c, ret);
    convert_volumes(c, ret);
    ret->configs = convert_blobs(c, OBJECT_CONFIG, &ret->n_configs);
    ret->secrets = convert_blobs(c, OBJECT_SECRET, &ret->n_secrets);
}
