/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fold.h"
#include "base/journald.h"
#include "base/secret.h"
#include "base/str.h"

static enum log_level max_level = LOG_LEVEL_INFO;
static char context_stack[64], context_deployment[32], context_commit[48], context_step[96];

static void set_field(char *field, size_t size, const char *value)
{
    snprintf(field, size, "%s", value ? value : "");
}

void log_context(const char *stack, int64_t deployment, const char *commit)
{
    set_field(context_stack, sizeof context_stack, stack);
    set_field(context_commit, sizeof context_commit, commit);
    context_deployment[0] = '\0';
    if (deployment)
        snprintf(context_deployment, sizeof context_deployment, "%" PRId64, deployment);
    context_step[0] = '\0';
}

void log_context_step(const char *step)
{
    set_field(context_step, sizeof context_step, step);
}

void log_set_level(enum log_level level)
{
    max_level = level;
}

static const struct {
    const char *name;
    enum log_level level;
} level_names[] = {{"err", LOG_LEVEL_ERR},
                   {"warning", LOG_LEVEL_WARNING},
                   {"notice", LOG_LEVEL_NOTICE},
                   {"info", LOG_LEVEL_INFO},
                   {"debug", LOG_LEVEL_DEBUG}};

int log_level_parse(const char *name, enum log_level *ret)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(name, level_names[i].name) == 0) {
            *ret = level_names[i].level;
            return 0;
        }
    return -1;
}

/* Nobody waits for journald: what it does not take is lost, and that is said once it takes lines again. */
static void say_lost(unsigned *lost)
{
    char text[96];
    snprintf(text, sizeof text, "MESSAGE=%u line%s before this one could not be written to the journal",
             *lost, *lost == 1 ? "" : "s");
    if (journald_send((const char *const[]){text, "PRIORITY=4"}, 2) == 0)
        *lost = 0;
}

static void to_journal(struct arena *arena, enum log_level level, const char *message_id, const char *text)
{
    const struct {
        const char *name, *value;
    } fields[] = {{"SYSLOG_IDENTIFIER", program_invocation_short_name},
                  {"MESSAGE_ID", message_id},
                  {"STACK", context_stack},
                  {"DEPLOYMENT", context_deployment},
                  {"COMMIT", context_commit},
                  {"STEP", context_step}};
    static unsigned lost;
    size_t n = 0;
    const char *parts[8];
    parts[n++] = arena_printf(arena, "MESSAGE=%s", text);
    parts[n++] = arena_printf(arena, "PRIORITY=%d", (int)level);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].value && *fields[i].value)
            parts[n++] = arena_printf(arena, "%s=%s", fields[i].name, fields[i].value);
    if (lost)
        say_lost(&lost);
    lost += journald_send(parts, n) < 0;
}

/* systemd sets JOURNAL_STREAM to device:inode of the stderr it gave; a child's may have been turned elsewhere
 * since. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;
    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

static const char *level_name(enum log_level level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (level_names[i].level == level)
            return level_names[i].name;
    return "info";
}

static void emit(struct arena *arena, enum log_level level, const char *message_id, const char *text)
{
    if (stderr_is_journal())
        to_journal(arena, level, message_id, text);
    else if (context_deployment[0])
        fprintf(stderr, "%s: [%s #%s] %s\n", level_name(level), context_stack, context_deployment, text);
    else if (context_stack[0])
        fprintf(stderr, "%s: [%s] %s\n", level_name(level), context_stack, text);
    else
        fprintf(stderr, "%s: %s\n", level_name(level), text);
}

/* ---- lines that come again and again ---- */

static struct fold fold;
static bool folding;

void log_fold(void)
{
    folding = true;
}

void log_fold_tell(void)
{
    struct arena arena = {0};
    char stack[sizeof context_stack];
    const struct fold_kind *kind;
    memcpy(stack, context_stack, sizeof stack);
    while (folding && (kind = fold_due(&fold, mono_us()))) {
        set_field(context_stack, sizeof context_stack, kind->stack);
        emit(&arena, (enum log_level)kind->level, NULL,
             arena_printf(&arena,
                          "%s (this was the last of %u such lines that were not written in the last hour)",
                          str_clean(&arena, kind->last, strlen(kind->last), false, 0), kind->hidden));
    }
    memcpy(context_stack, stack, sizeof stack);
    arena_release(&arena);
}

static bool is_folded(enum log_level level, const char *format, const char *text)
{
    return folding && level < LOG_LEVEL_DEBUG && !context_deployment[0] &&
           fold_hides(&fold, format, context_stack, (int)level, text, mono_us());
}

void log_line(enum log_level level, const char *message_id, const char *format, ...)
{
    if (level > max_level)
        return;
    struct arena arena = {0};
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(&arena, format, ap);
    va_end(ap);
    text = secret_redact(&arena, text);
    text = str_clean(&arena, text, strlen(text), false, 8192);
    if (!is_folded(level, format, text))
        emit(&arena, level, message_id, text);
    arena_release(&arena);
}
