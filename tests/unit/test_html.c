/* SPDX-License-Identifier: Apache-2.0 */

/* What goes into a page, and how it comes out. The pages themselves are read by tests/page. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "html/pages.h"

static const char *written(struct html *h)
{
    return str_text(&h->out);
}

static void text(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain words", "plain words"},
        {"", ""},
        {NULL, ""},
        {"<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"},
        {"a & b &amp; c", "a &amp; b &amp;amp; c"},
        {"\" onload=\"x", "&quot; onload=&quot;x"},
        {"' onload='x", "&#39; onload=&#39;x"},
        {"%s %d %n 100%", "%s %d %n 100%"},
        {"\x1b[31mred\x1b[0m", "[31mred[0m"},
        {"two\nlines\tand a tab\r", "two lines and a tab"},
        {"\xe2\x80\xaeturned\xe2\x80\xac", "turned"},
        {"\xe2\x81\xa6isolated\xe2\x81\xa9", "isolated"},
        {"\xc2\x85next", "next"},
        {"caf\xc3\xa9 \xe2\x86\x92 \xf0\x9f\x9a\x80", "caf\xc3\xa9 \xe2\x86\x92 \xf0\x9f\x9a\x80"},
        {"broken \xff\xc3", "broken \xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\xbcscript>", "\xef\xbf\xbd\xef\xbf\xbdscript&gt;"}, /* an overlong < */
        {"</pre><!-- ]]>", "&lt;/pre&gt;&lt;!-- ]]&gt;"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct html h = {.arena = &arena};
        html(&h, "<p title=\"%s\">%s</p>", cases[i].in, cases[i].in);
        const char *expected = arena_printf(&arena, "<p title=\"%s\">%s</p>", cases[i].out, cases[i].out);
        assert_string_equal(written(&h), expected);
        str_release(&h.out);
    }
}

static void numbers(void **state)
{
    cleanup_arena struct arena arena = {0};
    struct html h = {.arena = &arena};
    (void)state;
    html(&h, "%d %u %zu %lld %%", -1, 4000000000U, (size_t)7, -9000000000LL);
    assert_string_equal(written(&h), "-1 4000000000 7 -9000000000 %");
    str_release(&h.out);
}

static void long_text(void **state)
{
    cleanup_arena struct arena arena = {0};
    struct html h = {.arena = &arena};
    char *words = arena_alloc(&arena, HTML_TEXT_MAX + 100);
    (void)state;
    memset(words, 'x', HTML_TEXT_MAX + 99);
    html(&h, "%s", words);
    assert_int_equal(h.out.len, HTML_TEXT_MAX + strlen("…"));
    assert_true(str_ends(written(&h), "x…"));
    str_release(&h.out);
}

static void lines(void **state)
{
    static const struct {
        const char *in;
        size_t max;
        const char *out;
    } cases[] = {
        {"one\ntwo <b>\n", 100, "one\ntwo &lt;b&gt;\n"},
        {"one\ntwo\nthree\n", 10, "two\nthree\n"},
        {"one\ntwo\nthree\n", 8, "three\n"},
        {"no line end at all", 6, "at all"},
        {"a \x1b[2Jclear\r\n", 100, "a [2Jclear\n"},
        {"", 10, ""},
        {NULL, 10, ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct html h = {.arena = &arena};
        html_lines(&h, cases[i].in, cases[i].max);
        assert_string_equal(written(&h), cases[i].out);
        str_release(&h.out);
    }
}

/* What a person reads first is the gravest of what is true, and nothing is well that was not seen. */
static void verdicts(void **state)
{
    static const struct deployment good = {.id = 5, .commit = "a", .state = DEPLOYMENT_SUCCEEDED};
    static const struct deployment bad = {.id = 6, .commit = "b", .state = DEPLOYMENT_FAILED};
    static const struct deployment running = {.id = 7, .state = DEPLOYMENT_RUNNING};
    static const struct deployment requested = {.id = 7, .state = DEPLOYMENT_REQUESTED};
    static const struct deployment interrupted = {.id = 7, .state = DEPLOYMENT_INTERRUPTED};
    static const char asked[] = "{\"last_poll\":\"2026-08-23T14:02:11Z\"}",
                      not_asked[] = "{\"last_poll\":null}";
    const struct { /* not static: rows are copies of the ones above */
        const char *word, *agentd;
        enum tone tone;
        struct status status;
    } cases[] = {
        {"in step", asked, TONE_GOOD, {.row = {.tip = "a"}, .deployed = good}},
        {"not asked yet", not_asked, TONE_PLAIN, {.row = {.tip = "a"}, .deployed = good}},
        {"not watched", NULL, TONE_PLAIN, {.row = {.tip = "a"}, .deployed = good}},
        {"polling fails", asked, TONE_BAD, {.row = {.tip = "a", .poll_error = "403"}, .deployed = good}},
        {"changed by others", asked, TONE_CAREFUL, {.row = {.tip = "a", .drift = "{}"}, .deployed = good}},
        {"behind", asked, TONE_CAREFUL, {.row = {.tip = "b"}, .deployed = good}},
        {"frozen", asked, TONE_CAREFUL, {.row = {.tip = "b"}, .deployed = good, .frozen_until_us = 1}},
        {"frozen", asked, TONE_CAREFUL, {.row = {.tip = "b"}, .under_way = requested, .frozen_until_us = 1}},
        {"in step", asked, TONE_GOOD, {.row = {.tip = "a"}, .deployed = good, .frozen_until_us = 1}},
        {"not deployed yet", asked, TONE_PLAIN, {.row = {.tip = "a"}}},
        {"paused", asked, TONE_CAREFUL, {.row = {.tip = "a", .paused = true}, .deployed = good}},
        {"held", asked, TONE_BAD, {.row = {.tip = "b"}, .deployed = good, .held = bad}},
        {"held", asked, TONE_CAREFUL, {.row = {.tip = "b", .hold_absolute = true}, .deployed = good}},
        {"held", asked, TONE_BAD, {.row = {.tip = "b", .paused = true}, .deployed = good, .held = bad}},
        {"deploying", asked, TONE_BUSY, {.row = {.tip = "b"}, .deployed = good, .under_way = running}},
        {"requested", asked, TONE_BUSY, {.row = {.tip = "b"}, .under_way = requested}},
        {"paused", asked, TONE_CAREFUL, {.row = {.tip = "b", .paused = true}, .under_way = requested}},
        {"waiting", asked, TONE_CAREFUL, {.row = {.waiting = "an image"}, .under_way = running}},
        {"interrupted", asked, TONE_CAREFUL, {.row = {.tip = "b"}, .under_way = interrupted}},
        {"needs a person",
         asked,
         TONE_BAD,
         {.row = {.tip = "a", .alarm = "rewritten"}, .under_way = running}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct status status = cases[i].status;
        cleanup_json json_t *agentd = cases[i].agentd ? json_loads(cases[i].agentd, 0, NULL) : NULL;
        status.agentd = agentd;
        struct headline verdict = stack_headline(&status);
        assert_string_equal(verdict.word, cases[i].word);
        assert_int_equal(verdict.tone, cases[i].tone);
    }
}

/* Each thing that stops a stack is said, with the command that goes on. */
static void notices(void **state)
{
    const struct deployment bad = {
        .id = 6, .commit = "bbbbbbb1", .state = DEPLOYMENT_FAILED, .reason = "it broke"};
    const struct {
        struct status status;
        const char *words, *command;
    } cases[] = {
        {{.row = {.alarm = "main was rewritten"}}, "main was rewritten", ""},
        {{.row = {.stack = "shop"}, .held = bad}, "it broke", ">agentctl retry 6<"},
        {{.row = {.stack = "shop", .tip = "c", .hold_absolute = true}},
         "after a rollback",
         ">agentctl resume shop<"},
        {{.row = {.stack = "shop", .paused = true, .pause_reason = "lunch"}},
         "lunch",
         ">agentctl resume shop<"},
        {{.row = {.stack = "shop", .tip = "ccc"}, .frozen_until_us = 1},
         "Frozen",
         ">agentctl approve shop --commit ccc<"},
        {{.row = {.stack = "shop", .poll_error = "no route"}}, "no route", ">agentctl check shop<"},
        {{.row = {.drift = "{\"services\":[{\"text\":\"web: removed\"}],\"note\":\"only told\"}"}},
         "web: removed",
         ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct html h = {.arena = &arena};
        part_notices(&h, &cases[i].status);
        assert_non_null(strstr(written(&h), cases[i].words));
        assert_non_null(strstr(written(&h), cases[i].command));
        str_release(&h.out);
    }
}

static void agent(void **state)
{
    const struct receiver_view receivers[] = {
        {.row = {.name = "records"}, .events = 3},
        {.row = {.name = "notify <chat>", .failing_since_us = 1, .error = "503"},
         .events = RECEIVER_EVENTS_MAX},
    };
    const struct agent_view well = {.receivers = receivers, .n_receivers = 1},
                            ill = {.state_dir = "/srv/x",
                                   .room = "1 of 2 are free",
                                   .receivers = receivers,
                                   .n_receivers = 2};
    cleanup_arena struct arena arena = {0};
    struct html h = {.arena = &arena};
    (void)state;
    part_agent(&h, &well);
    assert_string_equal(written(&h), "");
    part_agent(&h, &ill);
    assert_non_null(strstr(written(&h), "The disk of /srv/x is nearly full:</strong> 1 of 2 are free."));
    assert_non_null(strstr(written(&h), "notify &lt;chat&gt;"));
    assert_non_null(strstr(written(&h), "503. 1000 or more are waiting."));
    assert_null(strstr(written(&h), "records"));
    str_release(&h.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),  cmocka_unit_test(numbers),  cmocka_unit_test(long_text),
        cmocka_unit_test(lines), cmocka_unit_test(verdicts), cmocka_unit_test(notices),
        cmocka_unit_test(agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
