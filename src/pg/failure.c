/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/secret.h"
#include "base/str.h"
#include "pg/conn.h"

/* ---- masks ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static size_t run_of(const char *p, char c)
{
    size_t n = 0;
    while (p[n] == c)
        n++;
    return n;
}

/* At the opening quote: the length up to and with the closing one; a literal that was cut ends with the text.
 */
static size_t literal_length(const char *p)
{
    bool escapes = *p == '"' ? p[-1] != '\\' : p[-1] == 'E' || p[-1] == 'e';
    size_t n = 1;
    for (; p[n]; n++) {
        if (escapes && p[n] == '\\' && p[n + 1])
            n++;
        else if (p[n] == *p && p[n + 1] == *p)
            n++;
        else if (p[n] == *p)
            return n + 1;
    }
    return n;
}

/* Inside of another literal quotes are doubled, and doubled again: up to as many as at the beginning. */
static size_t quoted_length(const char *p)
{
    size_t quotes = run_of(p, *p), n = quotes;
    if (quotes % 2 == 1)
        return literal_length(p);
    if (!p[n] || strchr(" \t\r\n;,)", p[n]))
        return n; /* an empty one */
    while (p[n]) {
        size_t run = run_of(p + n, *p);
        n += run ? run : 1;
        if (run >= quotes)
            break;
    }
    return n;
}

static size_t dollar_length(const char *p)
{
    size_t tag = 1;
    while (is_word(p[tag]))
        tag++;
    if (p[tag] != '$')
        return 0;
    cleanup_arena struct arena arena = {0};
    const char *end = strstr(p + tag + 1, arena_strndup(&arena, p, tag + 1));
    return end ? (size_t)(end - p) + tag + 1 : strlen(p);
}

/* Of 'password' => …, 'password': … and ('password', …); otherwise a literal begins here. */
static bool is_key_end(const char *p)
{
    if (*p != '\'')
        return false;
    p += 1 + strspn(p + 1, " ");
    return *p == ':' || *p == '=' || *p == ',';
}

/* After the word PASSWORD: what has to be hidden begins at *start, is that long. The word may be a key of
 * JSON or YAML, too. */
static size_t secret_length(const char *p, const char **start)
{
    bool assigned = false;
    p += strspn(p, "\\");
    bool is_key = is_key_end(p);
    p += *p == '"' || is_key;
    while (isspace((unsigned char)*p) || (*p && strchr(is_key ? "=:>\\," : "=:>\\", *p))) {
        assigned |= *p == '=' || *p == ':';
        p++;
    }
    if ((*p == 'E' || *p == 'e') && p[1] == '\'')
        p++;
    else if ((*p == 'U' || *p == 'u') && p[1] == '&' && p[2] == '\'')
        p += 2;
    *start = p;
    if (*p == '\'')
        return quoted_length(p);
    if (*p == '"')
        return assigned ? literal_length(p) : 0;
    if (*p == '$')
        return dollar_length(p);
    return assigned ? strcspn(p, " \t\r\n'\",;)}") : 0;
}

static void mask_passwords(struct str *out, const char *text)
{
    static const char word[] = "password";
    for (const char *p = text; *p;) {
        bool begins = strncasecmp(p, word, sizeof word - 1) == 0;
        const char *start;
        size_t len = begins ? secret_length(p + sizeof word - 1, &start) : 0;
        if (!len) {
            str_append_char(out, *p++);
            continue;
        }
        str_append_n(out, p, (size_t)(start - p));
        str_append(out, "'***'");
        p = start + len;
    }
}

char *pg_mask(struct arena *arena, const char *text, size_t max)
{
    cleanup_str struct str masked = {0};
    mask_passwords(&masked, text);
    const char *redacted = secret_redact(arena, str_text(&masked));
    return str_clean(arena, redacted, strlen(redacted), true, max);
}

/* ---- what the server said ---- */

/* "COPY t, line 3, column b": the number, in whatever language, is the first after the table's comma. */
static unsigned data_line(const char *context)
{
    const char *comma = context && strncmp(context, "COPY ", 5) == 0 ? strchr(context, ',') : NULL;
    if (!comma)
        return 0;
    comma += strcspn(comma, "0123456789\n");
    return (unsigned)strtoul(comma, NULL, 10);
}

/* The DETAIL of NOT NULL, CHECK and CHECK OPTION is the whole row, with whatever a table has of persons and
 * secrets; which column or constraint it is says the message. */
static bool shows_a_row(const char *state)
{
    return str_eq(state, "23502") || str_eq(state, "23514") || str_eq(state, "44000");
}

/* "COPY persons, line 3, column name: "…"" ends before the row. */
static size_t shown_length(const char *part)
{
    const char *comma = str_starts(part, "COPY ") ? strchr(part, ',') : NULL;
    return comma ? (size_t)(comma - part) + strcspn(comma, ":") : strlen(part);
}

void pg_failure_from(struct pg_failure *failure, const PGresult *res)
{
    static const struct {
        int field;
        const char *label;
    } parts[] = {{PG_DIAG_MESSAGE_PRIMARY, ""},
                 {PG_DIAG_MESSAGE_DETAIL, "; DETAIL: "},
                 {PG_DIAG_MESSAGE_HINT, "; HINT: "},
                 {PG_DIAG_CONTEXT, "; CONTEXT: "}};
    cleanup_arena struct arena arena = {0};
    cleanup_str struct str text = {0};
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *position = PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const char *part = PQresultErrorField(res, parts[i].field);
        if (part && !(parts[i].field == PG_DIAG_MESSAGE_DETAIL && shows_a_row(state)))
            str_printf(&text, "%s%.*s", parts[i].label, (int)shown_length(part), part);
    }
    if (!text.len)
        str_append(&text, PQresultErrorMessage(res));
    *failure = (struct pg_failure){.cause = PG_SERVER,
                                   .position = position ? (unsigned)strtoul(position, NULL, 10) : 0,
                                   .data_line = data_line(PQresultErrorField(res, PG_DIAG_CONTEXT)),
                                   .in_function = PQresultErrorField(res, PG_DIAG_CONTEXT) != NULL};
    snprintf(failure->sqlstate, sizeof failure->sqlstate, "%.5s", state ? state : "");
    snprintf(failure->text, sizeof failure->text, "%s",
             pg_mask(&arena, str_text(&text), sizeof failure->text - 1));
}

bool pg_failure_is(const struct pg_failure *failure, const char *sqlstate)
{
    return str_eq(failure->sqlstate, sqlstate);
}

int pg_failure_error(const struct pg_failure *failure, struct error *err)
{
    switch (failure->cause) {
    case PG_LOST:
        return error_set(err, ERR_UNAVAILABLE, 0, "%s", failure->text);
    case PG_LATE:
        return error_set(err, ERR_TIMEOUT, 0, "the step's time is over");
    case PG_STOPPED:
        return error_set(err, ERR_CANCELLED, 0, "stopped");
    case PG_SERVER:
    case PG_CROWD:
        break;
    }
    return error_set(err, ERR_FAILED, 0, "%s (%s)", failure->text, failure->sqlstate);
}

void pg_position(const char *statement, unsigned position, unsigned *line, unsigned *column)
{
    for (const char *p = statement; position > 1 && *p; position--) {
        if (*p == '\n') {
            (*line)++;
            *column = 1;
        } else {
            (*column)++;
        }
        p++;
        while ((*p & 0xC0) == 0x80)
            p++;
    }
}
