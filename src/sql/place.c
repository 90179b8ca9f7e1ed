/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/place.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sql_place(struct sql_lexer *lexer, const char *at, unsigned *ret_line, unsigned *ret_column)
{
    const char *from = lexer->text + lexer->counted, *newline;
    while (from < at && (newline = memchr(from, '\n', (size_t)(at - from))) != NULL) {
        lexer->line++;
        lexer->column = 1;
        from = newline + 1;
    }
    for (; from < at; from++)
        lexer->column += (*from & 0xc0) != 0x80; /* bytes that continue a character do not count */
    lexer->counted = (size_t)(at - lexer->text);
    *ret_line = lexer->line;
    *ret_column = lexer->column;
}

unsigned sql_line_of(struct sql_lexer *lexer, const char *at)
{
    unsigned line, column;
    sql_place(lexer, at, &line, &column);
    return line;
}

int sql_fail(struct sql_lexer *lexer, const char *at, struct error *err, const char *format, ...)
{
    char text[512];
    unsigned line, column;
    va_list ap;
    sql_place(lexer, at, &line, &column);
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return error_set(err, ERR_INVALID, 0, "%s:%u:%u: %s", lexer->file, line, column, text);
}
