/* SPDX-License-Identifier: Apache-2.0 */
#include "agentctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* ---- width ---- */

static const struct {
    uint32_t first, last;
    size_t columns;
} odd_widths[] = {
    {0x0300, 0x036f, 0},   {0x200b, 0x200d, 0},   {0x20d0, 0x20ff, 0}, {0xfe00, 0xfe0f, 0},
    {0x1100, 0x115f, 2},   {0x2e80, 0xa4cf, 2},   {0xac00, 0xd7a3, 2}, {0xf900, 0xfaff, 2},
    {0xfe30, 0xfe6f, 2},   {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2}, {0x1f300, 0x1f64f, 2},
    {0x1f680, 0x1faff, 2}, {0x20000, 0x3fffd, 2},
};

/* Text is clean, so valid UTF-8. */
static size_t next_character(const char *p, uint32_t *ret)
{
    unsigned char c = (unsigned char)*p;
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    *ret = len == 1 ? c : c & (0x7fU >> len);
    for (size_t i = 1; i < len; i++)
        *ret = *ret << 6 | ((unsigned char)p[i] & 0x3fU);
    return len;
}

static size_t columns_of(uint32_t character)
{
    for (size_t i = 0; i < ARRAY_SIZE(odd_widths); i++)
        if (character >= odd_widths[i].first && character <= odd_widths[i].last)
            return odd_widths[i].columns;
    return 1;
}

size_t text_columns(const char *text)
{
    size_t columns = 0;
    uint32_t c;
    for (const char *p = text; *p;) {
        p += next_character(p, &c);
        columns += columns_of(c);
    }
    return columns;
}

char *text_cut(struct arena *arena, const char *text, size_t columns)
{
    if (text_columns(text) <= columns)
        return arena_strdup(arena, text);
    if (columns == 0)
        return arena_strdup(arena, "");
    const char *p = text;
    uint32_t c;
    for (size_t used = 0; *p;) {
        size_t len = next_character(p, &c);
        if (used + columns_of(c) > columns - 1)
            break;
        used += columns_of(c);
        p += len;
    }
    return arena_printf(arena, "%.*s…", (int)(p - text), text);
}

size_t text_terminal(FILE *stream)
{
    struct winsize size = {0};
    int fd = fileno(stream);
    if (fd < 0 || !isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) < 0)
        return 0;
    return size.ws_col ? size.ws_col : TABLE_WIDTH; /* a serial line does not know */
}

/* How much of the text goes into a line of so many columns: up to a blank where there is one. */
static size_t line_length(const char *text, size_t columns)
{
    const char *p = text, *blank = NULL;
    uint32_t c;
    for (size_t used = 0; *p;) {
        size_t len = next_character(p, &c);
        if (used + columns_of(c) > columns)
            return blank ? (size_t)(blank - text) : p > text ? (size_t)(p - text) : len;
        if (c == ' ')
            blank = p;
        used += columns_of(c);
        p += len;
    }
    return (size_t)(p - text);
}

void text_tail(struct str *to, const char *text, size_t lines, const char *indent)
{
    const char *end = text + strlen(text), *start = end;
    if (start > text && start[-1] == '\n')
        end = --start;
    while (start > text && (start[-1] != '\n' || --lines > 0))
        start--;
    while (start < end) {
        size_t len = strcspn(start, "\n");
        str_printf(to, "%s%.*s\n", indent, (int)len, start);
        start += len + (start[len] == '\n');
    }
}

/* ---- colour and time ---- */

static bool colours(void)
{
    static int known; /* 0: not asked yet */
    if (!known) {
        const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
        known = isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0 ? 1 : -1;
    }
    return known > 0;
}

const char *colour_on(enum colour colour)
{
    static const char *const codes[] = {
        [COLOUR_NONE] = "",         [COLOUR_GOOD] = "\033[32m",
        [COLOUR_BAD] = "\033[31m",  [COLOUR_CAREFUL] = "\033[33m",
        [COLOUR_FAINT] = "\033[2m", [COLOUR_BOLD] = "\033[1m",
    };
    return colours() ? codes[colour] : "";
}

const char *colour_off(void)
{
    return colours() ? "\033[0m" : "";
}

void text_wrap(const char *first, const char *rest, enum colour colour, const char *text)
{
    enum { USEFUL = 16 };
    size_t columns = text_terminal(stdout), indent = text_columns(rest);
    bool whole = columns < indent + USEFUL;
    fputs(first, stdout);
    do {
        size_t len = whole ? strlen(text) : line_length(text, columns - indent);
        printf("%s%.*s%s\n", colour_on(colour), (int)len, text, colour ? colour_off() : "");
        text += len;
        text += strspn(text, " ");
        if (*text)
            fputs(rest, stdout);
    } while (*text);
}

/* ---- tables ---- */

enum { GAP = 2, LAST_MIN = 20, LAST_BESIDE = 32, NARROWED_MIN = 16, BENEATH = 4 };

void table_put_first(struct table *table, const char *title, size_t cap)
{
    size_t n = table->n_columns++;
    memmove(table->titles + 1, table->titles, n * sizeof *table->titles);
    memmove(table->caps + 1, table->caps, n * sizeof *table->caps);
    memmove(table->goes + 1, table->goes, n * sizeof *table->goes);
    table->titles[0] = title;
    table->caps[0] = cap;
    table->goes[0] = 0;
    table->gives_way++;
}

void table_add(struct table *table, const struct cell *cells)
{
    table->rows = arena_grow(table->arena, table->rows, table->n_rows, sizeof *table->rows);
    struct cell *row = table->rows[table->n_rows++];
    for (size_t i = 0; i < table->n_columns; i++) {
        row[i] = cells[i];
        if (table->caps[i])
            row[i].text = text_cut(table->arena, cells[i].text, table->caps[i]);
        size_t columns = text_columns(row[i].text);
        if (columns > table->widths[i])
            table->widths[i] = columns;
    }
}

static size_t width_before_last(const struct table *table)
{
    size_t width = 0;
    for (size_t i = 0; i + 1 < table->n_columns; i++)
        if (!table->hidden[i])
            width += table->widths[i] + GAP;
    return width;
}

/* A narrow terminal: one column after the other goes, until the others fit. */
static void hide(struct table *table, size_t line)
{
    while (width_before_last(table) > line + GAP) {
        size_t next = table->n_columns;
        for (size_t i = 0; i + 1 < table->n_columns; i++)
            if (!table->hidden[i] && table->goes[i] &&
                (next == table->n_columns || table->goes[i] > table->goes[next]))
                next = i;
        if (next == table->n_columns)
            return;
        table->hidden[next] = true;
    }
}

/* What is left for the last column: beneath the others where too little is left beside them, and there is a
 * terminal to read two lines as one; else once the one that gives way has given what it can. */
static size_t settle(struct table *table)
{
    for (size_t i = 0; i < table->n_columns; i++)
        if (table->widths[i] < strlen(table->titles[i]))
            table->widths[i] = strlen(table->titles[i]);
    size_t *narrowed = &table->widths[table->gives_way], terminal = text_terminal(stdout),
           line = terminal ? terminal : TABLE_WIDTH;
    table->beneath = terminal && !table->wide && width_before_last(table) + LAST_BESIDE > line;
    if (table->beneath) {
        hide(table, line);
        return line > BENEATH ? line - BENEATH : 1;
    }
    while (width_before_last(table) + LAST_MIN > line && *narrowed > NARROWED_MIN)
        (*narrowed)--;
    size_t before = width_before_last(table);
    return before < line ? line - before : 1;
}

static size_t without_blanks(const struct str *line)
{
    size_t len = line->len;
    while (len > 0 && line->data[len - 1] == ' ')
        len--;
    return len;
}

static void print_row(const struct table *table, const struct cell *cells, size_t last, bool titles)
{
    cleanup_str struct str line = {0};
    const struct cell *end = &cells[table->n_columns - 1];
    for (size_t i = 0; i + 1 < table->n_columns; i++) {
        if (table->hidden[i])
            continue;
        const char *text = text_cut(table->arena, cells[i].text, table->widths[i]);
        str_printf(&line, "%s%s%s%*s", colour_on(cells[i].colour), text, cells[i].colour ? colour_off() : "",
                   (int)(table->widths[i] - text_columns(text) + GAP), "");
    }
    const char *text = table->wide ? end->text : text_cut(table->arena, end->text, last);
    if (table->beneath) {
        printf("%.*s\n", (int)without_blanks(&line), str_text(&line));
        str_clear(&line);
        if (titles || !*text)
            return;
        str_printf(&line, "%*s", BENEATH, "");
    }
    str_printf(&line, "%s%s%s", colour_on(end->colour), text, end->colour ? colour_off() : "");
    printf("%.*s\n", (int)without_blanks(&line), str_text(&line));
}

void table_print(struct table *table, bool titles)
{
    size_t last = settle(table);
    struct cell title_row[TABLE_COLUMNS_MAX] = {{0}};
    for (size_t i = 0; i < table->n_columns; i++)
        title_row[i] = (struct cell){table->titles[i], COLOUR_BOLD};
    if (titles)
        print_row(table, title_row, last, true);
    for (size_t i = 0; i < table->n_rows; i++)
        print_row(table, table->rows[i], last, false);
}
