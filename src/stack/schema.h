/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The shape of a Compose file, versions 3.0 to 3.13: tables of rules
 * (schema_table.c) and one validator that reports every violation in the oracle's words.
 */

#include <stdbool.h>
#include <stddef.h>

#include "agent/node.h"
#include "report.h"

enum {
    T_STRING = 1 << 0,
    T_INTEGER = 1 << 1, /* also a float with an integral value */
    T_NUMBER = 1 << 2,
    T_BOOLEAN = 1 << 3,
    T_NULL = 1 << 4,
    T_LIST = 1 << 5,
    T_MAP = 1 << 6,
    T_ANY = (1 << 7) - 1,
};

/* The keys that a rule's `other` applies to. */
enum names {
    NAMES_NONE,
    NAMES_ANY,    /* .+ */
    NAMES_OBJECT, /* [a-zA-Z0-9._-]+ */
    NAMES_LOWER,  /* [a-z]+ */
};

struct field;
struct rule {
    unsigned types;
    const char *must; /* "a string": what the message says to any other type */
    bool duration;    /* a string in Go's duration syntax */
    bool not_negative;
    bool timestamps; /* a timestamp may stand for a string here */
    const char *const *words;
    size_t n_words;

    const struct rule *item; /* of a list */
    bool unique;

    const struct field *fields; /* of a mapping */
    size_t n_fields;
    enum names names;
    const struct rule *other;
    const struct rule *rest; /* of all other keys */
    bool open;               /* other keys are let through unchecked */
    unsigned x_since;        /* minor version that lets x-* through; 0: none does */
    const char *required[2];
};

/* Rows of one name with different versions may follow each other. */
struct field {
    const char *name;
    const struct rule *rule;
    unsigned since, until; /* minor versions; until 0: still there */
};

extern const struct rule schema_root;

enum { SCHEMA_NEWEST = 13 };

/* Minor version of a file (13 when it names none), or -1 with a refusal. `root` is a mapping. */
int schema_version(struct report *report, const struct node *root);

void schema_check(struct report *report, const struct node *root, int minor);

/* Properties that are refused, ignored or deprecated by name (4.4), of every service. */
void schema_check_forbidden(struct report *report, const struct node *root);
void schema_warn(struct report *report, const struct node *const *roots, size_t n_roots);
