/* SPDX-License-Identifier: Apache-2.0 */
#include "dialect.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

/* Unicode noncharacters: libyaml takes them for text, and no stack file has them (if one does, it is not
 * patched). */
#define COLON   "\xef\xb7\x90" /* U+FDD0 for a colon that is text */
#define NOTHING "\xef\xb7\x91" /* U+FDD1 for the backslash before a single quote */
enum { MARKER_LEN = 3, PATCH_BYTES = 4 << 20 /* copied and scanned again, all patches together */ };

static bool fails_at_colon(const yaml_parser_t *p)
{
    return str_eq(p->problem, "found unexpected ':'");
}

static bool fails_at_escape(const yaml_parser_t *p)
{
    return str_eq(p->problem, "found unknown escape character");
}

bool dialect_is_patchable(const yaml_parser_t *parser)
{
    return parser->error == YAML_SCANNER_ERROR && (fails_at_colon(parser) || fails_at_escape(parser));
}

/* ---- from libyaml's marks, which count characters, to bytes ---- */

static bool is_utf8(const struct dialect *d)
{
    return d->len < 2 || (memcmp(d->text, "\xff\xfe", 2) != 0 && memcmp(d->text, "\xfe\xff", 2) != 0);
}

/* Marks are asked for in the order of the file, mostly: the way goes on from the last one. */
static size_t byte_of(struct dialect *d, size_t character)
{
    if (character < d->cursor.character || d->cursor.byte == 0) {
        bool bom = d->len >= 3 && memcmp(d->text, "\xef\xbb\xbf", 3) == 0;
        d->cursor = (struct dialect_cursor){0, bom ? 3 : 0};
    }
    size_t i = d->cursor.byte;
    for (size_t n = d->cursor.character; n < character && i < d->len; n++) {
        i++;
        while (i < d->len && ((unsigned char)d->text[i] & 0xc0) == 0x80)
            i++;
    }
    d->cursor = (struct dialect_cursor){character, i};
    return i;
}

/* ---- what libyaml does not take ---- */

/* Reads the first document until libyaml fails; false if it does not, or at something else. */
static bool find_failure(const struct dialect *d, unsigned max_depth, yaml_mark_t *ret_mark, bool *ret_colon)
{
    yaml_parser_t parser;
    bool found = false;
    unsigned depth = 0;
    if (!yaml_parser_initialize(&parser))
        return false;
    yaml_parser_set_input_string(&parser, (const unsigned char *)d->text, d->len);
    for (bool more = true; more;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            found = dialect_is_patchable(&parser);
            *ret_mark = parser.problem_mark;
            *ret_colon = fails_at_colon(&parser);
            break;
        }
        depth += event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT;
        depth -= event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
        more = event.type != YAML_DOCUMENT_END_EVENT && event.type != YAML_STREAM_END_EVENT &&
               depth <= max_depth;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return found;
}

static bool can_patch(const struct dialect *d, size_t at, bool colon)
{
    const char *wanted = colon ? ":" : "\\'";
    return at < d->len && strncmp(d->text + at, wanted, strlen(wanted)) == 0;
}

static bool patch_one(struct dialect *d, struct arena *arena, size_t at, bool colon)
{
    if (!can_patch(d, at, colon))
        return false;
    char *copy = arena_alloc(arena, d->len + MARKER_LEN);
    memcpy(copy, d->text, at);
    memcpy(copy + at, colon ? COLON : NOTHING, MARKER_LEN);
    memcpy(copy + at + MARKER_LEN, d->text + at + 1, d->len - at - 1);
    d->text = copy;
    d->len += MARKER_LEN - 1;
    d->cursor = (struct dialect_cursor){0};
    d->patched = true;
    return true;
}

bool dialect_patch(struct dialect *d, struct arena *arena, unsigned max_depth)
{
    size_t bytes = 0;
    yaml_mark_t mark;
    bool colon;
    if (!is_utf8(d) || memmem(d->text, d->len, COLON, MARKER_LEN) ||
        memmem(d->text, d->len, NOTHING, MARKER_LEN))
        return false;
    while (find_failure(d, max_depth, &mark, &colon)) {
        bytes += d->len;
        if (bytes > PATCH_BYTES || !patch_one(d, arena, byte_of(d, mark.index), colon))
            break;
    }
    return d->patched;
}

const char *dialect_restore(const struct dialect *d, struct arena *arena, const char *text, size_t *len)
{
    char *copy = arena_strndup(arena, text, *len), *to = copy;
    if (!d->patched)
        return copy;
    for (const char *from = copy; *from; from++) {
        bool colon = strncmp(from, COLON, MARKER_LEN) == 0;
        if (colon)
            *to++ = ':';
        if (colon || strncmp(from, NOTHING, MARKER_LEN) == 0)
            from += MARKER_LEN - 1;
        else
            *to++ = *from;
    }
    *to = '\0';
    *len = (size_t)(to - copy);
    return copy;
}

/* ---- what only libyaml takes ---- */

static bool has_escaped_slash(const char *text, size_t len)
{
    for (size_t i = 0; i + 1 < len; i++)
        if (text[i] == '\\' && text[++i] == '/')
            return true;
    return false;
}

size_t dialect_stray_mark(struct dialect *d, const yaml_event_t *end)
{
    static const char bom[] = "\xef\xbb\xbf";
    size_t stop =
        is_utf8(d) && memmem(d->text, d->len, bom, MARKER_LEN) ? byte_of(d, end->end_mark.index) : 0;
    for (size_t i = 1; i + MARKER_LEN <= stop; i++)
        if ((d->text[i - 1] == '\n' || d->text[i - 1] == '\r') && memcmp(d->text + i, bom, MARKER_LEN) == 0)
            return i;
    return d->len;
}

/* True: the scanner failed before it had all tokens up to the last of `wanted` behind the first. */
static bool fails_within(yaml_parser_t *p, ptrdiff_t wanted)
{
    yaml_token_t token;
    for (ptrdiff_t n = -2; n < wanted; n++) { /* the stream's start and the first token go before */
        bool last;
        if (!yaml_parser_scan(p, &token))
            /* libyaml goes on where a token may turn out to be a key: it has more than it gave */
            return n + (p->tokens.tail - p->tokens.head) < wanted;
        last = token.type == YAML_STREAM_END_TOKEN;
        yaml_token_delete(&token);
        if (last)
            break;
    }
    return false;
}

const char *dialect_problem_behind(struct dialect *d, struct arena *arena, const yaml_event_t *end,
                                   size_t *ret_at)
{
    yaml_parser_t parser;
    const char *problem = NULL;
    if (!is_utf8(d) || !yaml_parser_initialize(&parser))
        return NULL;
    size_t start = byte_of(d, end->start_mark.index);
    while (start && d->text[start - 1] != '\n' && d->text[start - 1] != '\r')
        start--; /* what stands before the token is indentation */
    struct dialect rest = {.text = d->text + start, .len = d->len - start};
    yaml_parser_set_input_string(&parser, (const unsigned char *)rest.text, rest.len);
    if (fails_within(&parser, 2)) {
        size_t at = byte_of(&rest, parser.problem_mark.index);
        if (!dialect_is_patchable(&parser) || !can_patch(&rest, at, fails_at_colon(&parser)))
            problem = arena_strdup(arena, parser.problem ? parser.problem : "unreadable text");
        *ret_at = start + at;
    }
    yaml_parser_delete(&parser);
    return problem;
}

const char *dialect_problem(struct dialect *d, const yaml_event_t *scalar, char closing)
{
    const char *value = (const char *)scalar->data.scalar.value;
    yaml_scalar_style_t style = scalar->data.scalar.style;
    if (style == YAML_PLAIN_SCALAR_STYLE && closing && strchr(value, '?'))
        return closing == ']'
                   ? "did not find expected ',' or ']' (text with a question mark needs quotes here)"
                   : "did not find expected ',' or '}' (text with a question mark needs quotes here)";
    if (style == YAML_DOUBLE_QUOTED_SCALAR_STYLE && strchr(value, '/') && is_utf8(d)) {
        size_t start = byte_of(d, scalar->start_mark.index), end = byte_of(d, scalar->end_mark.index);
        if (has_escaped_slash(d->text + start, end - start))
            return "found unknown escape character \\/";
    }
    return NULL;
}
