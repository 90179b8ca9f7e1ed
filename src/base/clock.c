/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <string.h>
#include <time.h>

#include "base/str.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

int64_t wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void sleep_us(int64_t us)
{
    if (us <= 0)
        return;
    struct timespec ts = {.tv_sec = us / US_PER_S, .tv_nsec = us % US_PER_S * 1000};
    nanosleep(&ts, NULL);
}

char *rfc3339_utc(struct arena *arena, int64_t us)
{
    struct tm tm;
    time_t t = us / US_PER_S;
    if (us == 0 || !gmtime_r(&t, &tm))
        return NULL;
    return arena_printf(arena, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                        tm.tm_hour, tm.tm_min, tm.tm_sec);
}

char *local_minute(struct arena *arena, int64_t us)
{
    struct tm tm;
    time_t t = us / US_PER_S;
    if (!localtime_r(&t, &tm))
        return arena_strdup(arena, "-");
    return arena_printf(arena, "%04d-%02d-%02d %02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                        tm.tm_hour, tm.tm_min);
}

int time_parse(const char *text, int64_t *ret_us, struct error *err)
{
    static const struct {
        const char *format;
        bool utc;
    } formats[] = {{"%Y-%m-%dT%H:%M:%SZ", true},
                   {"%Y-%m-%dT%H:%M:%S", false},
                   {"%Y-%m-%d %H:%M:%S", false},
                   {"%Y-%m-%d %H:%M", false},
                   {"%Y-%m-%d", false}};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct tm tm = {.tm_isdst = -1};
        const char *end = strptime(text, formats[i].format, &tm);
        if (!end || *end)
            continue;
        time_t t = formats[i].utc ? timegm(&tm) : mktime(&tm);
        *ret_us = (int64_t)t * US_PER_S;
        return 0;
    }
    int64_t ago;
    struct error ignored = {0};
    if (duration_parse(text, &ago, &ignored) < 0)
        return error_set(err, ERR_INVALID, 0,
                         "'%s' is no time: use 2026-08-23, '2026-08-23 14:02', or 2h for two hours ago",
                         text);
    *ret_us = wall_us() - ago;
    return 0;
}

char *time_local(struct arena *arena, int64_t us)
{
    struct tm tm;
    time_t t = (time_t)(us / US_PER_S);
    char text[32];
    if (us == 0 || !localtime_r(&t, &tm) || strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        return arena_strdup(arena, "-");
    return arena_strdup(arena, text);
}
