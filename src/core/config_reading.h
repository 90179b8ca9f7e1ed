/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Shared by the two halves of config_parse(): config_parse.c goes through the lines, config_finish.c
 * completes what they say and holds it together. Errors are collected, so that one run names all of them.
 */

#include "base/str.h"
#include "core/config_table.h"

/* A [section] of the file, and where it set which key: rows of config_keys. */
struct config_part {
    const struct config_section *type;
    const char *name; /* of [stack NAME] */
    unsigned line;
    unsigned set[CONFIG_MAX_KEYS]; /* 0: not set */
    bool faulty;                   /* a value of it was refused, and that is said */
    size_t index;                  /* in config->stacks or config->notify */
};

struct config_reading {
    struct config *config;
    struct arena scratch;
    unsigned line;
    struct config_part *sections;
    size_t n_sections;
    struct config_part *current; /* NULL: before the first section, or in one that is not known */
    bool skipping;               /* in a section that is not known: its keys make no further errors */
    struct str errors;
    unsigned n_errors, n_left_out;
    unsigned listed; /* bit per section type whose keys were already listed in a message */
};

/* line 0: of the file as a whole. */
void config_fault(struct config_reading *p, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "[stack web]" */
const char *config_part_text(struct config_reading *p, const struct config_part *s);
/* Foreign words in a message: short and harmless. */
const char *config_shown(struct config_reading *p, const char *text);

struct config_part *config_part_find(struct config_reading *p, const struct config_section *type,
                                     const char *name);
struct config_part *config_part_add(struct config_reading *p, const struct config_section *type,
                                    const char *name);
/* Parses the value into its place in the configuration; what is wrong with it is a fault at p->line. */
void config_set(struct config_reading *p, struct config_part *s, const struct config_key *key,
                const char *value);
/* Defaults of what no line set, and what no single line tells. */
void config_finish(struct config_reading *p);
