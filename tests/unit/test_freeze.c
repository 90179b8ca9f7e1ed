/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/freeze.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

/* Rules instead of names of places: nothing depends on the tzdata of the machine. */
#define BERLIN  "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEWYORK "EST5EDT,M3.2.0,M11.1.0"
#define SYDNEY  "AEST-10AEDT,M10.1.0,M4.1.0/3"
#define KOLKATA "IST-5:30"
#define WEEKEND "Fri 16:00..Mon 08:00"

static void refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"Fri", "'Fri' is no window such as Fri 16:00..Mon 08:00"},
        {"Fri 16:00", "is no window"},
        {"Fri 16:00..", "is no window"},
        {"..Mon 08:00", "is no window"},
        {"Fri..Mon", "is no window"},
        {"Fri 16:00-Mon 08:00", "is no window"},
        {"Frid 16:00..Mon 08:00", "is no window"},
        {"Fri 16..Mon 08", "is no window"},
        {"Fri 6:00..Mon 08:00", "is no window"},
        {"Fri 16:60..Mon 08:00", "is no window"},
        {"Fri 24:01..Mon 08:00", "is no window"},
        {"Fri 24:00..Mon 08:00", "is no window"}, /* begins on Saturday: write that */
        {"Fri 16:00 CET..Mon 08:00", "is no window"},
        {"16:00..Mon 08:00", "is no window"}, /* the one every day, the other once a week */
        {"Fri 16:00..2026-12-20 08:00", "is no window"},
        {"2026-12-20 16:00..Mon 08:00", "is no window"},
        {"2026-02-29 12:00..2026-03-02 12:00", "is no window"},
        {"2026-13-01 12:00..2027-01-02 12:00", "is no window"},
        {"1969-12-01 12:00..2027-01-02 12:00", "is no window"},
        {"2027-01-02 12:00..2026-12-20 12:00", "ends when it begins, or before"},
        {"2026-12-20 12:00..2026-12-20 12:00", "ends when it begins, or before"},
        {"12:00..12:00", "ends when it begins"},
        {"Fri 12:00..12:00", "ends when it begins"},
        {WEEKEND ",", "'' is no window"},
        {WEEKEND ",,12:00..13:00", "'' is no window"},
        {WEEKEND "; 12:00..13:00", "is no window"},
        {"00:00..24:00", "no time of the week is left"},
        {"Fri 16:00..Fri 16:00", "no time of the week is left"},
        {"Mon 08:00..Fri 16:00, " WEEKEND, "no time of the week is left"},
        {"00:00..12:00, 11:00..00:00", "no time of the week is left"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cleanup_arena struct arena arena = {0};
        struct freeze freeze;
        struct error err = {0};
        if (freeze_parse(&arena, cases[i].text, &freeze, &err) == 0)
            fail_msg("'%s' is taken", cases[i].text);
        if (err.kind != ERR_INVALID || !strstr(err.text, cases[i].want))
            fail_msg("'%s': %s", cases[i].text, err.text);
    }
}

static void too_many(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct freeze freeze;
    struct error err = {0};
    cleanup_str struct str text = {0};
    for (int i = 0; i < 32; i++)
        str_printf(&text, "%s12:00..13:00", i ? "," : "");
    assert_int_equal(freeze_parse(&arena, str_text(&text), &freeze, &err), 0);
    assert_int_equal(freeze.n, 32);
    str_append(&text, ",12:00..13:00");
    assert_int_equal(freeze_parse(&arena, str_text(&text), &freeze, &err), -1);
    assert_non_null(strstr(err.text, "more than 32 windows"));
}

/* now and until are UTC; until NULL: not frozen */
static const struct {
    const char *zone, *text, *now, *until;
} table[] = {
    {"UTC", "", "2026-11-21T12:00:00Z", NULL},
    /* the week wraps: 2026-11-20 is a Friday */
    {"UTC", WEEKEND, "2026-11-20T15:59:59Z", NULL},
    {"UTC", WEEKEND, "2026-11-20T16:00:00Z", "2026-11-23T08:00:00Z"},
    {"UTC", WEEKEND, "2026-11-22T00:00:00Z", "2026-11-23T08:00:00Z"},
    {"UTC", WEEKEND, "2026-11-23T07:59:59Z", "2026-11-23T08:00:00Z"},
    {"UTC", WEEKEND, "2026-11-23T08:00:00Z", NULL},
    {"UTC", WEEKEND, "2026-11-25T12:00:00Z", NULL},
    {"UTC", "friday 16:00..MONDAY 08:00", "2026-11-22T00:00:00Z", "2026-11-23T08:00:00Z"},
    {"UTC", " Fri  16:00 .. Mon 08:00 ", "2026-11-22T00:00:00Z", "2026-11-23T08:00:00Z"},
    /* all but an hour of the week */
    {"UTC", "Fri 16:00..Fri 15:00", "2026-11-20T14:59:59Z", "2026-11-20T15:00:00Z"},
    {"UTC", "Fri 16:00..Fri 15:00", "2026-11-20T15:30:00Z", NULL},
    {"UTC", "Fri 16:00..Fri 15:00", "2026-11-20T16:00:00Z", "2026-11-27T15:00:00Z"},
    /* over midnight, and not */
    {"UTC", "22:00..06:00", "2026-11-20T21:59:59Z", NULL},
    {"UTC", "22:00..06:00", "2026-11-20T22:00:00Z", "2026-11-21T06:00:00Z"},
    {"UTC", "22:00..06:00", "2026-11-21T05:59:59Z", "2026-11-21T06:00:00Z"},
    {"UTC", "22:00..06:00", "2026-11-21T06:00:00Z", NULL},
    {"UTC", "06:00..22:00", "2026-11-21T05:59:59Z", NULL},
    {"UTC", "06:00..22:00", "2026-11-21T06:00:00Z", "2026-11-21T22:00:00Z"},
    {"UTC", "Wed 12:00..13:00", "2026-11-25T12:30:00Z", "2026-11-25T13:00:00Z"},
    {"UTC", "Wed 12:00..13:00", "2026-11-26T12:30:00Z", NULL},
    {"UTC", "Wed 22:00..06:00", "2026-11-26T05:00:00Z", "2026-11-26T06:00:00Z"},
    {"UTC", "Wed 22:00..06:00", "2026-11-25T05:00:00Z", NULL},
    {"UTC", "Sat 00:00..24:00", "2026-11-20T23:59:59Z", NULL},
    {"UTC", "Sat 00:00..24:00", "2026-11-21T23:59:59Z", "2026-11-22T00:00:00Z"},
    {"UTC", "Sat 00:00..24:00", "2026-11-22T00:00:00Z", NULL},
    /* dates */
    {"UTC", "2026-12-20 12:00..2027-01-04 08:00", "2026-12-20T11:59:59Z", NULL},
    {"UTC", "2026-12-20 12:00..2027-01-04 08:00", "2026-12-31T23:00:00Z", "2027-01-04T08:00:00Z"},
    {"UTC", "2026-12-20 12:00..2027-01-04 08:00", "2027-01-04T08:00:00Z", NULL},
    {"UTC", "2026-12-24 12:00..18:00", "2026-12-24T13:00:00Z", "2026-12-24T18:00:00Z"},
    {"UTC", "2028-02-29 00:00..24:00", "2028-02-29T13:00:00Z", "2028-03-01T00:00:00Z"},
    /* several: apart, overlapping, touching */
    {"UTC", WEEKEND ", Wed 12:00..13:00", "2026-11-25T12:30:00Z", "2026-11-25T13:00:00Z"},
    {"UTC", WEEKEND ", 22:00..09:00", "2026-11-20T17:00:00Z", "2026-11-23T09:00:00Z"},
    {"UTC", WEEKEND ",Mon 08:00..12:00", "2026-11-21T12:00:00Z", "2026-11-23T12:00:00Z"},
    {"UTC", WEEKEND ",Mon 08:01..12:00", "2026-11-21T12:00:00Z", "2026-11-23T08:00:00Z"},
    {"UTC", "Fri 00:00..24:00, 2026-11-21 00:00..24:00, Sun 00:00..24:00", "2026-11-20T12:00:00Z",
     "2026-11-23T00:00:00Z"},
    /* zones: local time, and a day of the week that is another one in UTC */
    {BERLIN, WEEKEND, "2026-11-20T15:00:00Z", "2026-11-23T07:00:00Z"},
    {BERLIN, WEEKEND, "2026-11-20T14:59:59Z", NULL},
    {NEWYORK, "Fri 20:00..Mon 08:00", "2026-11-21T01:00:00Z", "2026-11-23T13:00:00Z"},
    {SYDNEY, "Mon 06:00..07:00", "2026-11-22T19:30:00Z", "2026-11-22T20:00:00Z"},
    {KOLKATA, "12:00..13:00", "2026-11-22T06:30:00Z", "2026-11-22T07:30:00Z"},
    /* clocks go forward within a weekend: 2026-03-29 02:00 → 03:00; and back: 2026-10-25 03:00 → 02:00 */
    {BERLIN, WEEKEND, "2026-03-27T15:00:00Z", "2026-03-30T06:00:00Z"},
    {BERLIN, WEEKEND, "2026-10-23T14:00:00Z", "2026-10-26T07:00:00Z"},
    {SYDNEY, WEEKEND, "2026-10-03T00:00:00Z", "2026-10-04T21:00:00Z"},
    /* a time that does not come is the jump: 01:00 UTC */
    {BERLIN, "02:30..04:00", "2026-03-29T00:59:59Z", NULL},
    {BERLIN, "02:30..04:00", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
    {BERLIN, "01:00..02:30", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"},
    {BERLIN, "01:00..02:30", "2026-03-29T01:00:00Z", NULL},
    {BERLIN, "02:10..02:50", "2026-03-29T01:00:00Z", NULL}, /* there is no such time that night */
    {NEWYORK, "02:30..04:00", "2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z"},
    /* one that comes twice: from the first to the last */
    {BERLIN, "02:30..04:00", "2026-10-25T00:29:59Z", NULL},
    {BERLIN, "02:30..04:00", "2026-10-25T00:30:00Z", "2026-10-25T03:00:00Z"},
    {BERLIN, "02:30..04:00", "2026-10-25T01:10:00Z", "2026-10-25T03:00:00Z"},
    {BERLIN, "01:00..02:30", "2026-10-25T00:40:00Z", "2026-10-25T01:30:00Z"},
    {BERLIN, "01:00..02:30", "2026-10-25T01:30:00Z", NULL},
    {NEWYORK, "00:30..01:30", "2026-11-01T05:45:00Z", "2026-11-01T06:30:00Z"},
};

static void set_zone(const char *zone)
{
    if (zone)
        setenv("TZ", zone, 1);
    else
        unsetenv("TZ");
}

static void windows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        cleanup_arena struct arena arena = {0};
        struct freeze freeze;
        struct error err = {0};
        int64_t now;
        set_zone(table[i].zone);
        assert_int_equal(time_parse(table[i].now, &now, &err), 0);
        if (freeze_parse(&arena, table[i].text, &freeze, &err) < 0)
            fail_msg("%s", err.text);
        const char *until = rfc3339_utc(&arena, freeze_until(&freeze, now));
        if (!str_eq(until, table[i].until))
            fail_msg("%s '%s' at %s: until %s, not %s", table[i].zone, table[i].text, table[i].now,
                     until ? until : "never", table[i].until ? table[i].until : "never");
    }
    set_zone(NULL);
}

/* The host moves, or somebody mends /etc/localtime, while the process runs. */
static void zone_changes(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct freeze freeze;
    struct error err = {0};
    int64_t now;
    assert_int_equal(time_parse("2026-11-20T15:30:00Z", &now, &err), 0);
    assert_int_equal(freeze_parse(&arena, WEEKEND, &freeze, &err), 0);
    set_zone("UTC");
    assert_int_equal(freeze_until(&freeze, now), 0);
    set_zone(BERLIN);
    assert_true(freeze_until(&freeze, now) > now);
    set_zone(NEWYORK);
    assert_int_equal(freeze_until(&freeze, now), 0);
    set_zone(NULL);
}

/* Whatever the day of the year: what ends is over then, and what is frozen has an end ahead. */
static void every_half_hour_of_a_year(void **state)
{
    (void)state;
    static const char *const zones[] = {BERLIN, NEWYORK, SYDNEY, KOLKATA};
    cleanup_arena struct arena arena = {0};
    struct freeze freeze;
    struct error err = {0};
    int64_t start;
    assert_int_equal(freeze_parse(&arena, WEEKEND ", 23:00..02:30, Wed 01:30..03:00", &freeze, &err), 0);
    assert_int_equal(time_parse("2026-01-01T00:00:00Z", &start, &err), 0);
    for (size_t z = 0; z < sizeof zones / sizeof *zones; z++) {
        set_zone(zones[z]);
        for (int64_t i = 0; i < 365 * 48; i++) {
            int64_t now = start + i * 1800 * US_PER_S, until = freeze_until(&freeze, now);
            if (until && (until <= now || until - now > 4 * 86400 * US_PER_S ||
                          freeze_until(&freeze, until) || !freeze_until(&freeze, until - US_PER_S)))
                fail_msg("%s: half hour %lld", zones[z], (long long)i);
        }
    }
    set_zone(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals),
        cmocka_unit_test(too_many),
        cmocka_unit_test(windows),
        cmocka_unit_test(zone_changes),
        cmocka_unit_test(every_half_hour_of_a_year),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
