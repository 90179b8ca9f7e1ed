/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Log lines go to the systemd journal with the fields STACK= DEPLOYMENT= COMMIT= STEP= of the current
 * context, or to stderr ("level: text") when the process does not run under systemd. A function
 * either logs or returns an error, never both; one failure is one line.
 * Texts are redacted (base/secret.h) and cleaned of control characters here, at the single sink.
 */

#include <stdint.h>

enum log_level {
    LOG_LEVEL_ERR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_NOTICE = 5,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

/* Context fields of all later lines; NULL or 0 clears one. Strings are copied. */
void log_context(const char *stack, int64_t deployment, const char *commit);
void log_context_step(const char *step);
void log_set_level(enum log_level level);
/*
 * From now on lines that come again and again are counted instead of written, see base/fold.h. Not those of a
 * deployment: each of them is about one event.
 */
void log_fold(void);
void log_fold_tell(void); /* how many they were; to be called every now and then */
int log_level_parse(const char *name, enum log_level *ret); /* "err warning notice info debug" */

void log_line(enum log_level level, const char *message_id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...)   log_line(LOG_LEVEL_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, NULL, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, NULL, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)
/* An event with an entry in packaging/deploy-agent.catalog: id is a MESSAGE_* of include/agent/events.h */
#define log_event(level, id, ...) log_line(level, id, __VA_ARGS__)
