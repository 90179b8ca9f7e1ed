/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/freeze.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

enum { EVERY_DAY = 7, MAX_WINDOWS = 32, DAY_MINUTES = 1440, WEEK_MINUTES = 7 * DAY_MINUTES };
static const char separator[] = "..";

struct freeze_window {
    bool once;      /* from a date, else from `weekday` */
    int weekday;    /* 0 is Sunday, as in struct tm; EVERY_DAY */
    int64_t date;   /* days since 1970 */
    int start, end; /* minutes of their days; an end may be 24:00 */
    int days;       /* from the day of the start to that of the end */
};

/* ---- reading ---- */

/* One side of a window: "Fri 16:00", "2026-12-20 12:00", "22:00". */
struct point {
    enum { POINT_TIME, POINT_WEEKDAY, POINT_DATE } kind;
    int weekday;
    int64_t date;
    int minute;
};

static bool parse_weekday(const char *word, int *ret)
{
    static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
    size_t len = strlen(word);
    for (int i = 0; i < 7; i++)
        if ((len == 3 || len == strlen(names[i])) && strncasecmp(word, names[i], len) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

static bool parse_digits(const char *text, size_t n, int *ret)
{
    *ret = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        *ret = *ret * 10 + (text[i] - '0');
    }
    return true;
}

static bool parse_minute(const char *word, int *ret)
{
    int hours, minutes;
    if (strlen(word) != 5 || word[2] != ':' || !parse_digits(word, 2, &hours) ||
        !parse_digits(word + 3, 2, &minutes))
        return false;
    *ret = hours * 60 + minutes;
    return minutes < 60 && *ret <= DAY_MINUTES;
}

static bool parse_date(const char *word, int64_t *ret)
{
    int year, month, day;
    if (strlen(word) != 10 || word[4] != '-' || word[7] != '-' || !parse_digits(word, 4, &year) ||
        !parse_digits(word + 5, 2, &month) || !parse_digits(word + 8, 2, &day))
        return false;
    struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    time_t t = timegm(&tm); /* puts 02-30 right: then it was no date */
    *ret = (int64_t)t / 86400;
    return year >= 1970 && tm.tm_mon == month - 1 && tm.tm_mday == day;
}

static bool parse_point(struct arena *arena, const char *text, struct point *ret)
{
    size_t n;
    char **words = words_split(arena, text, &n);
    *ret = (struct point){.kind = POINT_TIME};
    if (n < 1 || n > 2 || !parse_minute(words[n - 1], &ret->minute))
        return false;
    if (n == 1)
        return true;
    ret->kind = parse_date(words[0], &ret->date) ? POINT_DATE : POINT_WEEKDAY;
    return ret->kind == POINT_DATE || parse_weekday(words[0], &ret->weekday);
}

static int days_between(const struct point *start, const struct point *end)
{
    bool later = end->minute > start->minute;
    if (end->kind == POINT_TIME)
        return later ? 0 : 1;
    if (end->kind == POINT_DATE)
        return (int)(end->date - start->date);
    int days = (end->weekday - start->weekday + 7) % 7;
    return days == 0 && !later ? 7 : days;
}

static int parse_window(struct arena *arena, const char *text, struct freeze_window *ret, struct error *err)
{
    struct point start, end;
    const char *middle = strstr(text, separator);
    if (!middle || !parse_point(arena, arena_strndup(arena, text, (size_t)(middle - text)), &start) ||
        !parse_point(arena, middle + strlen(separator), &end) || start.minute == DAY_MINUTES ||
        (end.kind != POINT_TIME && end.kind != start.kind))
        return error_set(err, ERR_INVALID, 0,
                         "'%.80s' is no window such as Fri 16:00..Mon 08:00, 22:00..06:00 or 2026-12-20 "
                         "12:00..2027-01-04 08:00",
                         text);
    *ret = (struct freeze_window){.once = start.kind == POINT_DATE,
                                  .weekday = start.kind == POINT_WEEKDAY ? start.weekday : EVERY_DAY,
                                  .date = start.date,
                                  .start = start.minute,
                                  .end = end.minute,
                                  .days = days_between(&start, &end)};
    int64_t minutes = (int64_t)ret->days * DAY_MINUTES + ret->end - ret->start;
    if (minutes <= 0 || (end.kind == POINT_TIME && end.minute == start.minute))
        return error_set(err, ERR_INVALID, 0, "'%.80s' ends when it begins, or before", text);
    return 0;
}

/* Is there a minute of an ordinary week that no window takes? Windows with a date are left out: they pass. */
static bool leaves_time(const struct freeze_window *windows, size_t n)
{
    bool taken[WEEK_MINUTES] = {false};
    for (size_t i = 0; i < n; i++) {
        const struct freeze_window *w = &windows[i];
        if (w->once)
            continue;
        int length = w->days * DAY_MINUTES + w->end - w->start;
        for (int day = 0; day < 7; day++)
            for (int m = 0; (w->weekday == EVERY_DAY || w->weekday == day) && m < length; m++)
                taken[(day * DAY_MINUTES + w->start + m) % WEEK_MINUTES] = true;
    }
    return memchr(taken, false, sizeof taken);
}

int freeze_parse(struct arena *arena, const char *text, struct freeze *ret, struct error *err)
{
    struct freeze_window *windows = arena_array(arena, MAX_WINDOWS, sizeof *windows);
    size_t n = 0;
    *ret = (struct freeze){.text = arena_strdup(arena, text)};
    for (const char *p = text; *text;) {
        size_t len = strcspn(p, ",");
        char *one = arena_strndup(arena, p + strspn(p, " \t"), len - strspn(p, " \t"));
        if (n == MAX_WINDOWS)
            return error_set(err, ERR_INVALID, 0, "more than %d windows", MAX_WINDOWS);
        if (parse_window(arena, one, &windows[n++], err) < 0)
            return -1;
        if (!p[len])
            break;
        p += len + 1;
    }
    if (!leaves_time(windows, n))
        return error_set(err, ERR_INVALID, 0,
                         "no time of the week is left to deploy in; to stop for now: agentctl pause; to only "
                         "watch: act = never");
    ret->windows = windows;
    ret->n = n;
    return 0;
}

/* ---- when ---- */

/* What a clock on the wall shows, in minutes since 1970: a number that jumps when daylight saving does. */
static int64_t shown_at(time_t t)
{
    struct tm tm = {0};
    localtime_r(&t, &tm);
    tm.tm_sec = 0;
    return (int64_t)timegm(&tm) / 60;
}

/* The jump over `wanted`: the first moment around `near` at which clocks show it or more. */
static time_t skipped_at(int64_t wanted, time_t near)
{
    time_t before = near - 3 * 3600, after = near + 3 * 3600;
    while (after - before > 1) {
        time_t middle = before + (after - before) / 2;
        if (shown_at(middle) >= wanted)
            after = middle;
        else
            before = middle;
    }
    return after;
}

/* The moment at which clocks show that minute of that day, the first or the last one where there are two. */
static time_t moment(int64_t date, int minute, bool last)
{
    int64_t wanted = date * DAY_MINUTES + minute;
    time_t naive = (time_t)wanted * 60;
    struct tm tm;
    gmtime_r(&naive, &tm);
    tm.tm_isdst = -1;
    time_t t = mktime(&tm), found = t;
    if (shown_at(t) != wanted)
        return skipped_at(wanted, t);
    for (int shift = -7200; shift <= 7200; shift += 1800)
        if (shown_at(t + shift) == wanted && (last ? shift > 0 : shift < 0 && t + shift < found))
            found = t + shift;
    return found;
}

static int weekday_of(int64_t date)
{
    return (int)((date + 4) % 7); /* 1970-01-01 was a Thursday */
}

/* The latest end of the window's occurrences that hold `now`; 0: none does. */
static time_t window_until(const struct freeze_window *w, time_t now)
{
    int64_t today = shown_at(now) / DAY_MINUTES;
    time_t until = 0;
    /* one day more than it lasts: clocks may jump over midnight */
    int64_t oldest = w->once ? w->date : today - w->days - 1, newest = w->once ? w->date : today + 1;
    for (int64_t date = oldest; date <= newest; date++) {
        if (!w->once && w->weekday != EVERY_DAY && w->weekday != weekday_of(date))
            continue;
        time_t end = moment(date + w->days, w->end, true);
        if (moment(date, w->start, false) <= now && now < end && end > until)
            until = end;
    }
    return until;
}

static time_t latest_until(const struct freeze *freeze, time_t now)
{
    time_t until = 0;
    for (size_t i = 0; i < freeze->n; i++) {
        time_t end = window_until(&freeze->windows[i], now);
        if (end > until)
            until = end;
    }
    return until;
}

int64_t freeze_until(const struct freeze *freeze, int64_t now_us)
{
    time_t until = 0, now = (time_t)(now_us / US_PER_S);
    if (freeze->n == 0)
        return 0;
    tzset(); /* the host's time zone may have been changed */
    for (time_t end = latest_until(freeze, now); end; end = latest_until(freeze, end))
        until = end;
    return (int64_t)until * US_PER_S;
}
