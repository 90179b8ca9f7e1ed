/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <stdarg.h>
#include <string.h>
#include <yaml.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "dialect.h"
#include "mapping.h"
#include "scalar.h"
#include "tag.h"

struct anchor {
    const char *name;
    struct node *node;
    bool open; /* its end has not been seen yet */
};

struct loader {
    yaml_parser_t parser;
    struct report *report;
    struct arena *arena;
    const char *file;
    struct dialect *dialect;
    char closing; /* of the flow collection that is being read: ']', '}', or 0 */
    struct anchor *anchors;
    size_t n_anchors, n_aliases;
    size_t n_nodes;          /* also those that aliases copied */
    size_t n_keys, n_copied; /* for the oracle's own limit on aliases */
    size_t copied_bytes;     /* text that aliases repeat */
    bool patch;              /* try dialect_patch() where libyaml fails */
    bool failed;             /* nothing more can be read */
    bool wants_patch;
};

/* ---- refusing ---- */

static struct place place_of(const struct loader *l, yaml_mark_t mark)
{
    return (struct place){l->file, (unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

/* The reader reports bytes, not lines. */
static struct place place_of_byte(const struct loader *l, size_t offset)
{
    struct place place = {l->file, 1, 1};
    for (size_t i = 0; i < offset && i < l->dialect->len; i++) {
        place.column++;
        if (l->dialect->text[i] == '\n') {
            place.line++;
            place.column = 1;
        }
    }
    return place;
}

/* For what ends the reading of this file; always NULL. */
__attribute__((format(printf, 4, 5))) static struct node *give_up(struct loader *l, yaml_mark_t mark,
                                                                  const struct path *path, const char *format,
                                                                  ...)
{
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(l->arena, format, ap);
    va_end(ap);
    report_place(l->report, place_of(l, mark), path, "%s", text);
    l->failed = true;
    return NULL;
}

static void event_free(yaml_event_t *event)
{
    yaml_event_delete(event);
}
#define cleanup_event CLEANUP(event_free)

static bool next_event(struct loader *l, yaml_event_t *event)
{
    if (yaml_parser_parse(&l->parser, event))
        return true;
    l->failed = true;
    l->wants_patch = l->patch && dialect_is_patchable(&l->parser);
    if (l->wants_patch)
        return false; /* said, if need be, the next time */
    const char *problem = l->parser.problem ? l->parser.problem : "unreadable text";
    if (l->parser.error == YAML_READER_ERROR) {
        report_place(l->report, place_of_byte(l, l->parser.problem_offset), NULL, "yaml: %s", problem);
    } else {
        report_place(l->report, place_of(l, l->parser.problem_mark), NULL, "yaml: %s%s%s", problem,
                     l->parser.context ? ", " : "", l->parser.context ? l->parser.context : "");
    }
    return false;
}

/* ---- nodes ---- */

static struct node *new_node(struct loader *l, enum node_type type, yaml_mark_t mark, const struct path *path)
{
    if (++l->n_nodes > YAML_MAX_NODES)
        return give_up(l, mark, path, "too many values (at most %d, aliases expanded)", YAML_MAX_NODES);
    struct place place = place_of(l, mark);
    struct node *node = arena_alloc(l->arena, sizeof *node);
    node->type = type;
    node->file = place.file;
    node->line = place.line;
    node->column = place.column;
    return node;
}

static struct anchor *find_anchor(struct loader *l, const char *name)
{
    for (size_t i = 0; i < l->n_anchors; i++)
        if (strcmp(l->anchors[i].name, name) == 0)
            return &l->anchors[i];
    return NULL;
}

/* Later anchors of one name replace earlier ones. */
static bool set_anchor(struct loader *l, const yaml_char_t *name, yaml_mark_t mark, struct node *node,
                       bool open)
{
    if (!name)
        return true;
    struct anchor *anchor = find_anchor(l, (const char *)name);
    if (!anchor) {
        if (l->n_anchors >= YAML_MAX_ANCHORS) {
            give_up(l, mark, NULL, "too many anchors (at most %d)", YAML_MAX_ANCHORS);
            return false;
        }
        l->anchors = arena_grow(l->arena, l->anchors, l->n_anchors, sizeof *l->anchors);
        anchor = &l->anchors[l->n_anchors++];
        anchor->name = arena_strdup(l->arena, (const char *)name);
    }
    anchor->node = node;
    anchor->open = open;
    return true;
}

/* ---- aliases: copied, because casts and messages depend on where a value stands ---- */

static struct node *copy_node(struct loader *l, const struct node *from, yaml_mark_t mark,
                              const struct path *path, unsigned depth)
{
    if (depth > YAML_MAX_DEPTH)
        return give_up(l, mark, path, "nested too deeply (at most %d levels, aliases expanded)",
                       YAML_MAX_DEPTH);
    struct node *node = new_node(l, from->type, mark, path);
    if (!node)
        return NULL;
    *node = *from;
    l->n_copied++;
    if (from->type == NODE_LIST) {
        node->list.items = arena_array(l->arena, from->list.n, sizeof *node->list.items);
        for (size_t i = 0; i < from->list.n; i++)
            if (!(node->list.items[i] = copy_node(l, from->list.items[i], mark, path, depth + 1)))
                return NULL;
    } else if (from->type == NODE_STRING && (l->copied_bytes += from->string.len) > YAML_MAX_COPIED) {
        return give_up(l, mark, path, "aliases repeat too much text (at most %d MiB)", YAML_MAX_COPIED >> 20);
    } else if (from->type == NODE_MAP) {
        node->map.pairs = arena_array(l->arena, from->map.n, sizeof *node->map.pairs);
        l->n_keys += from->map.n;
        l->n_copied += from->map.n;
        for (size_t i = 0; i < from->map.n; i++) {
            node->map.pairs[i] = from->map.pairs[i];
            if (!(node->map.pairs[i].value = copy_node(l, from->map.pairs[i].value, mark, path, depth + 1)))
                return NULL;
        }
    }
    /* the oracle's own protection (yaml.v3): more than 99 % of what it decodes comes from aliases */
    size_t decoded = l->n_nodes + l->n_keys + l->n_aliases;
    if (l->n_copied > 100 && decoded > 1000 && (double)l->n_copied / (double)decoded > 0.99)
        return give_up(l, mark, path, "yaml: document contains excessive aliasing");
    return node;
}

static struct node *load_alias(struct loader *l, const yaml_event_t *event, const struct path *path,
                               unsigned depth)
{
    const char *name = (const char *)event->data.alias.anchor;
    if (++l->n_aliases > YAML_MAX_ALIASES)
        return give_up(l, event->start_mark, path, "too many aliases (at most %d)", YAML_MAX_ALIASES);
    const struct anchor *anchor = find_anchor(l, name);
    if (!anchor)
        return give_up(l, event->start_mark, path, "yaml: unknown anchor '%s' referenced", name);
    if (anchor->open)
        return give_up(l, event->start_mark, path, "yaml: anchor '%s' value contains itself", name);
    return copy_node(l, anchor->node, event->start_mark, path, depth);
}

/* ---- scalars ---- */

static struct node *load_scalar(struct loader *l, const yaml_event_t *event, const struct path *path)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (len > YAML_MAX_SCALAR)
        return give_up(l, event->start_mark, path, "text of %zu bytes is too long (at most %d)", len,
                       YAML_MAX_SCALAR);
    struct node *node = new_node(l, NODE_STRING, event->start_mark, path);
    if (!node)
        return NULL;
    if (strlen(text) != len) {
        report_node(l->report, node, path, "text must not hold NUL");
        len = strlen(text);
    }
    const char *problem = dialect_problem(l->dialect, event, l->closing);
    if (problem)
        report_node(l->report, node, path, "yaml: %s", problem);
    bool quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    text = dialect_restore(l->dialect, l->arena, text, &len);
    tag_resolve(l->report, path, (const char *)event->data.scalar.tag, quoted, text, node);
    return node;
}

/* ---- collections ---- */

static struct node *load_node(struct loader *l, const yaml_event_t *event, const struct path *path,
                              unsigned depth);

static struct node *start_collection(struct loader *l, enum node_type type, const yaml_event_t *event,
                                     const yaml_char_t *anchor, const struct path *path, unsigned depth)
{
    /* here and not afterwards: libyaml's work is quadratic in the nesting of [ and { */
    if (depth > YAML_MAX_DEPTH)
        return give_up(l, event->start_mark, path, "nested too deeply (at most %d levels)", YAML_MAX_DEPTH);
    struct node *node = new_node(l, type, event->start_mark, path);
    return node && set_anchor(l, anchor, event->start_mark, node, true) ? node : NULL;
}

static struct node *load_list(struct loader *l, const yaml_event_t *start, const struct path *path,
                              unsigned depth)
{
    const yaml_char_t *anchor = start->data.sequence_start.anchor;
    struct node *node = start_collection(l, NODE_LIST, start, anchor, path, depth);
    char outer = l->closing;
    l->closing = start->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE ? ']' : '\0';
    struct node **items = NULL;
    for (size_t n = 0; node;) {
        cleanup_event yaml_event_t event = {0};
        if (!next_event(l, &event))
            return NULL;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            l->closing = outer;
            node->list.items = items;
            node->list.n = n;
            return set_anchor(l, anchor, start->start_mark, node, false) ? node : NULL;
        }
        struct node *item = load_node(l, &event, PATH_INDEX(path, n), depth + 1);
        if (!item)
            return NULL;
        items = arena_grow(l->arena, items, n, sizeof *items);
        items[n++] = item;
    }
    return NULL;
}

/* A key is a string, plain, quoted or an alias of one; anything else spoils the mapping for the oracle. */
static bool load_key(struct loader *l, const yaml_event_t *event, const struct path *path, unsigned depth,
                     struct raw_pair *ret)
{
    struct place place = place_of(l, event->start_mark);
    *ret = (struct raw_pair){.pair = {.key = "", .line = place.line, .column = place.column}};
    struct node *key = load_node(l, event, path, depth);
    if (!key)
        return false;
    l->n_nodes--; /* it lives on as text only */
    l->n_keys++;
    const char *tag = event->type == YAML_SCALAR_EVENT ? (const char *)event->data.scalar.tag : NULL;
    if (event->type == YAML_SCALAR_EVENT && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        ret->merge = strcmp((const char *)event->data.scalar.value, "<<") == 0 && tag_allows_merge(tag);
    if (key->type == NODE_STRING && (!tag || ret->merge || tag_is_string(tag))) {
        ret->pair.key = key->string.text;
        return true;
    }
    if (event->type == YAML_SCALAR_EVENT)
        report_place(l->report, place, path, "keys must be strings, this is %s (put it in quotes)",
                     tag && !tag_is_string(tag) ? tag : node_article(key));
    else
        report_place(l->report, place, path,
                     "keys must be strings, this is %s (text with braces needs quotes)", node_article(key));
    ret->pair.key = event->type == YAML_SCALAR_EVENT
                        ? arena_strdup(l->arena, (const char *)event->data.scalar.value)
                        : arena_printf(l->arena, "?%u:%u", place.line, place.column);
    return true;
}

static struct node *load_mapping(struct loader *l, const yaml_event_t *start, const struct path *path,
                                 unsigned depth)
{
    const yaml_char_t *anchor = start->data.mapping_start.anchor;
    struct node *node = start_collection(l, NODE_MAP, start, anchor, path, depth);
    char outer = l->closing;
    l->closing = start->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE ? '}' : '\0';
    struct raw_pair *raw = NULL;
    for (size_t n = 0; node;) {
        cleanup_event yaml_event_t key = {0}, value = {0};
        struct raw_pair pair;
        if (!next_event(l, &key))
            return NULL;
        if (key.type == YAML_MAPPING_END_EVENT) {
            l->closing = outer;
            mapping_finish(l->report, path, raw, n, node);
            return set_anchor(l, anchor, start->start_mark, node, false) ? node : NULL;
        }
        if (!load_key(l, &key, path, depth + 1, &pair) || !next_event(l, &value))
            return NULL;
        pair.alias = value.type == YAML_ALIAS_EVENT;
        pair.pair.value = load_node(l, &value, PATH_KEY(path, pair.pair.key), depth + 1);
        if (!pair.pair.value)
            return NULL;
        raw = arena_grow(l->arena, raw, n, sizeof *raw);
        raw[n++] = pair;
    }
    return NULL;
}

static struct node *load_node(struct loader *l, const yaml_event_t *event, const struct path *path,
                              unsigned depth)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return load_alias(l, event, path, depth);
    case YAML_SEQUENCE_START_EVENT:
        return load_list(l, event, path, depth);
    case YAML_MAPPING_START_EVENT:
        return load_mapping(l, event, path, depth);
    case YAML_SCALAR_EVENT: {
        struct node *node = load_scalar(l, event, path);
        if (!node || !set_anchor(l, event->data.scalar.anchor, event->start_mark, node, false))
            return NULL;
        return node;
    }
    default:
        return give_up(l, event->start_mark, path, "yaml: unexpected event");
    }
}

/* ---- the document ---- */

static bool check_directives(struct loader *l, const yaml_event_t *event)
{
    const yaml_version_directive_t *version = event->data.document_start.version_directive;
    if (!version || (version->major == 1 && version->minor == 1))
        return true;
    give_up(l, event->start_mark, NULL, "yaml: found incompatible YAML document (%%YAML 1.1 is accepted)");
    return false;
}

static struct node *load_document(struct loader *l)
{
    cleanup_event yaml_event_t stream = {0}, start = {0}, root = {0}, end = {0}, after = {0};
    if (!next_event(l, &stream) || !next_event(l, &start))
        return NULL;
    if (start.type == YAML_STREAM_END_EVENT)
        return give_up(l, start.start_mark, NULL, "top-level object must be a mapping (the file is empty)");
    if (!check_directives(l, &start) || !next_event(l, &root))
        return NULL;
    struct node *node = load_node(l, &root, NULL, 1);
    if (!node || !next_event(l, &end))
        return NULL;
    size_t at = dialect_stray_mark(l->dialect, &end);
    const char *problem = "a byte order mark may only start the file";
    if (at == l->dialect->len)
        problem = dialect_problem_behind(l->dialect, l->arena, &end, &at);
    if (problem) {
        l->failed = true;
        report_place(l->report, place_of_byte(l, at), NULL, "yaml: %s", problem);
        return NULL;
    }
    /* the oracle looks no further, and neither minds what stands there */
    if (!yaml_parser_parse(&l->parser, &after) || after.type != YAML_STREAM_END_EVENT)
        report_warning(l->report, "%s: only the first document of the file is used", l->file);
    if (node->type != NODE_MAP)
        return give_up(l, root.start_mark, NULL, "top-level object must be a mapping");
    return node;
}

static struct node *parse(struct loader *l)
{
    if (!yaml_parser_initialize(&l->parser))
        return give_up(l, (yaml_mark_t){0}, NULL, "out of memory");
    yaml_parser_set_input_string(&l->parser, (const unsigned char *)l->dialect->text, l->dialect->len);
    struct node *node = load_document(l);
    yaml_parser_delete(&l->parser);
    return l->failed ? NULL : node;
}

struct node *yaml_load(struct report *report, const char *file, const char *text, size_t len)
{
    struct dialect dialect = {.text = text, .len = len};
    struct loader l = {
        .report = report, .arena = report->arena, .file = file, .dialect = &dialect, .patch = true};
    if (len > YAML_MAX_BYTES)
        return give_up(&l, (yaml_mark_t){0}, NULL, "file of %zu bytes is too large (at most %d)", len,
                       YAML_MAX_BYTES);
    struct node *node = parse(&l);
    if (!l.wants_patch)
        return node;
    dialect_patch(&dialect, report->arena, YAML_MAX_DEPTH);
    l = (struct loader){.report = report, .arena = report->arena, .file = file, .dialect = &dialect};
    return parse(&l);
}
