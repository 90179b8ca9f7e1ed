/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/complaints.h"

#include "base/cleanup.h"

/* So that the end of the text, which says how many there are, is not what struct error cuts off. */
enum { SHOWN_MAX = 3000 };

void complain(struct complaints *complaints, const char *format, ...)
{
    complaints->n++;
    if (complaints->text.len > SHOWN_MAX)
        return;
    va_list ap;
    va_start(ap, format);
    cleanup_arena struct arena arena = {0};
    const char *line = arena_vprintf(&arena, format, ap);
    va_end(ap);
    str_printf(&complaints->text, "%s%s", complaints->n > 1 ? "\n" : "", line);
    if (complaints->text.len > SHOWN_MAX)
        str_append(&complaints->text, "\n…");
}

int complaints_end(const struct complaints *complaints, struct error *err)
{
    if (complaints->n == 0)
        return 0;
    if (complaints->text.len > SHOWN_MAX)
        return error_set(err, ERR_INVALID, 0, "%s (%zu in all)", str_text(&complaints->text), complaints->n);
    return error_set(err, ERR_INVALID, 0, "%s", str_text(&complaints->text));
}

void complaints_release(struct complaints *complaints)
{
    str_release(&complaints->text);
}
