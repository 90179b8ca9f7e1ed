/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A YAML file into nodes: anchors, merge keys and tags resolved the way the docker CLI's parser does it
 * (docs/stack-file.md, section 2), within limits that keep hostile files cheap.
 */

#include <stddef.h>

#include "agent/node.h"
#include "report.h"

enum {
    YAML_MAX_BYTES = 1 << 20,
    YAML_MAX_DEPTH = 64,
    YAML_MAX_NODES = 200000, /* after alias expansion; a thousand services that share anchors need many */
    YAML_MAX_ALIASES = 10000,
    YAML_MAX_ANCHORS = 1000,
    YAML_MAX_SCALAR = 64 * 1024,
    YAML_MAX_COPIED = 16 << 20,
};

/*
 * The first document's root, or NULL when the text cannot be used at all; whatever is wrong is in the
 * report, also when a node is returned. `file` must be one of report->files. Nodes and strings live in
 * report->arena.
 */
struct node *yaml_load(struct report *report, const char *file, const char *text, size_t len);
