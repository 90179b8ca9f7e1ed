/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/drift.h"
#include "agent/spec.h"
#include "core_fixture.h"

/* In cases, `'` stands for `"`. */
#define SPEC_OF(name, label, image, env, replicas)                                                           \
    "{'Name': 'shop_" name "', 'Labels': {'com.docker.stack.namespace': 'shop'" label                        \
    "}, 'TaskTemplate': {'ContainerSpec': {'Image': '" image "', 'Env': [" env                               \
    "]}, 'ForceUpdate': 0}, 'Mode': {'Replicated': {'Replicas': " replicas "}}}"
#define BY(who)                    ", 'deploy-agent.deployment': '" who "'"
#define SPEC(image, env, replicas) SPEC_OF("web", BY("host/7"), image, env, replicas)
#define SERVICE(spec, status)      "{'ID': 's1', 'Spec': " spec status "}"
#define STATUS(state, message)     ", 'UpdateStatus': {'State': '" state "', 'Message': '" message "'}"
#define AS_LEFT                    SPEC("web:1@sha256:a", "'A=1', 'B=2'", "2")
#define FORCED                                                                                               \
    "{'Name': 'shop_web', 'Labels': {'com.docker.stack.namespace': 'shop'" BY(                               \
        "host/7") "}, 'TaskTemplate': {'ContainerSpec': {'Image': 'web:1@sha256:a', 'Env': ['A=1', "         \
                  "'B=2']}, 'ForceUpdate': 4}, 'Mode': {'Replicated': {'Replicas': 2}}}"

static const struct {
    const char *name, *services; /* the engine's */
    const char *want;            /* "KIND BY|text" of each, one behind the other */
    bool corrected;
} found[] = {
    {"as it was left", SERVICE(AS_LEFT, ""), "", false},
    {"forced", SERVICE(FORCED, ""), "", false},
    {"updated, and Swarm took it back", SERVICE(AS_LEFT, STATUS("rollback_completed", "done")), "", false},
    {"the order of variables", SERVICE(SPEC("web:1@sha256:a", "'B=2', 'A=1'", "2"), ""), "", false},
    {"replicas", SERVICE(SPEC("web:1@sha256:a", "'A=1', 'B=2'", "5"), ""),
     "changed -|web: changed by someone else: replicas 2 → 5\n", true},
    {"image and environment", SERVICE(SPEC("web:2", "'A=secret', 'C=3'", "2"), ""),
     "changed -|web: changed by someone else: image, env A, env C, env B removed\n", true},
    {"removed", "", "removed -|web: removed by someone else\n", true},
    {"removed, and made anew without labels",
     SERVICE(SPEC_OF("web", "", "web:1@sha256:a", "'A=1', 'B=2'", "1"), ""),
     "changed -|web: changed by someone else: replicas 2 → 1\n", true},
    {"docker service rollback",
     SERVICE(SPEC("web:0", "'A=1', 'B=2'", "2"), STATUS("rollback_completed", "rollback completed")),
     "rolled_back swarm|web: Swarm rolled the update back: rollback completed (or docker service rollback "
     "did): image\n",
     true},
    {"paused half way", SERVICE(AS_LEFT, STATUS("paused", "update paused due to failure")),
     "paused swarm|web: Swarm paused the update: update paused due to failure; tasks of two specs may run\n",
     false},
    {"changed, and paused", SERVICE(SPEC("web:2", "'A=1', 'B=2'", "2"), STATUS("paused", "failure")),
     "changed -|web: changed by someone else: image; Swarm paused the update: failure\n", true},
    {"another agent", SERVICE(SPEC_OF("web", BY("other/3"), "web:2", "'A=1', 'B=2'", "2"), ""),
     "changed other/3|web: changed by another agent (deployment other/3): image\n", false},
    {"a host with our name as its beginning",
     SERVICE(SPEC_OF("web", BY("host2/3"), "web:2", "'A=1', 'B=2'", "2"), ""),
     "changed host2/3|web: changed by another agent (deployment host2/3): image\n", false},
    {"a stranger", SERVICE(AS_LEFT, "") "," SERVICE(SPEC_OF("extra", "", "web:1", "", "1"), ""),
     "foreign -|extra: is in the stack's namespace, and was made by someone else\n", false},
    {"a stranger of another agent",
     SERVICE(AS_LEFT, "") "," SERVICE(SPEC_OF("extra", BY("other/1"), "web:1", "", "1"), ""),
     "foreign other/1|extra: is in the stack's namespace, and was made by someone else\n", false},
    {"one of ours that the stack file lost",
     SERVICE(AS_LEFT, "") "," SERVICE(SPEC_OF("old", BY("host/2"), "web:1", "", "1"), ""), "", false},
    {"two at once",
     SERVICE(SPEC("web:1@sha256:a", "'A=1', 'B=2'", "0"), "") "," SERVICE(SPEC_OF("x", "", "w", "", "1"), ""),
     "changed -|web: changed by someone else: replicas 2 → 0\nforeign -|x: is in the stack's namespace, and "
     "was made by someone else\n",
     true},
};

static const char *in_words(struct arena *arena, const json_t *entries)
{
    cleanup_str struct str text = {0};
    const json_t *entry;
    size_t i;
    json_array_foreach (entries, i, entry) {
        const char *by = json_path_string(entry, "by", NULL);
        str_printf(&text, "%s %s|%s\n", json_path_string(entry, "kind", NULL), by ? by : "-",
                   json_path_string(entry, "text", NULL));
    }
    return arena_strdup(arena, str_text(&text));
}

static json_t *find(struct arena *arena, const char *services)
{
    cleanup_json json_t *left = fixture_json(AS_LEFT);
    cleanup_json json_t *list = fixture_json(arena_printf(arena, "[%s]", services));
    cleanup_free char *after = spec_text(left);
    const struct service_record expected[] = {
        {.service = "web", .name = "shop_web", .action = "update", .after = after},
        {.service = "gone", .name = "shop_gone", .action = "remove"},
        {.service = "unknown", .name = "shop_unknown", .action = "none"},
    };
    const struct drift_input input = {.stack = "shop",
                                      .host_id = "host",
                                      .expected = expected,
                                      .n_expected = ARRAY_SIZE(expected),
                                      .services = list};
    return drift_find(arena, &input);
}

static void differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(found); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_json json_t *entries = find(&arena, found[i].services);
        const struct drift_situation situation = {.correct = true};
        const char *note, *got = in_words(&arena, entries);
        if (strcmp(got, found[i].want) != 0)
            fail_msg("%s:\n%swanted:\n%s", found[i].name, got, found[i].want);
        if (drift_is_corrected(entries, &situation, &note) != found[i].corrected || note)
            fail_msg("%s: corrected?", found[i].name);
    }
}

/* Values are never shown, and what others wrote is cut to what a terminal and a row can bear. */
static void strange_words(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *entries =
        find(&arena, SERVICE(SPEC("web:1@sha256:a", "'A=hunter2', 'B=2'", "2"), ""));
    assert_null(strstr(drift_text(&arena, entries), "hunter2"));
    cleanup_str struct str many = {0};
    str_append(&many, SERVICE(AS_LEFT, ""));
    for (unsigned i = 0; i < 150; i++)
        str_printf(&many, ",{'Spec': {'Name': 'shop_%u\\u001b[1m'}}", i);
    cleanup_json json_t *cut = find(&arena, str_text(&many));
    assert_in_range(json_array_size(cut), 50, 100);
    assert_null(strchr(drift_text(&arena, cut), '\033'));
    const char *text = drift_text(&arena, cut);
    assert_string_equal(text + strlen(text) - strlen(" more services"), " more services");
}

/* A row of the journal holds 16 KiB: what is longer would be no JSON any more. */
static void long_rows(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    cleanup_str struct str spec = {0}, many = {0};
    str_append(&spec, "'A=1'");
    for (unsigned i = 0; i < 40; i++)
        str_printf(&spec, ", 'A_RATHER_LONG_NAME_OF_A_VARIABLE_%0300u=x'", i);
    str_printf(&many, SERVICE(SPEC("web:1", "%s", "2"), ""), str_text(&spec));
    for (unsigned i = 0; i < 99; i++)
        str_printf(&many, ",{'Spec': {'Name': 'shop_%0180u'}}", i);
    cleanup_json json_t *entries = find(&arena, str_text(&many));
    cleanup_free char *row = json_dumps(entries, 0);
    assert_in_range(strlen(row), 1000, 14000);
    assert_string_equal(json_path_string(json_array_get(entries, 0), "service", NULL), "web");
    assert_non_null(strstr(drift_text(&arena, entries), " more services"));
}

static void what_follows(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct drift_situation situation;
        bool corrected;
        const char *note; /* a part of it */
    } cases[] = {
        {"report", {.correct = false}, false, NULL},
        {"report, paused", {.paused = true, .corrections = 9}, false, NULL},
        {"correct", {.correct = true}, true, NULL},
        {"twice before", {.correct = true, .corrections = 2}, true, NULL},
        {"three times before", {.correct = true, .corrections = 3}, false, "3 times within an hour"},
        {"more", {.correct = true, .corrections = 30}, false, "3 times within an hour"},
        {"frozen", {.correct = true, .frozen = true, .corrections = 3}, false, "the freeze"},
        {"report, frozen", {.frozen = true}, false, NULL},
        {"paused", {.correct = true, .paused = true, .corrections = 3}, false, "paused"},
        {"held", {.correct = true, .held = true}, false, "held"},
        {"act = never", {.correct = true, .watches = true, .paused = true}, false, "act = never"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_json json_t *entries = find(&arena, "");
        const char *note;
        bool corrected = drift_is_corrected(entries, &cases[i].situation, &note);
        if (corrected != cases[i].corrected || !note != !cases[i].note ||
            (note && !strstr(note, cases[i].note)))
            fail_msg("%s: %d, %s", cases[i].name, corrected, note ? note : "no note");
        cleanup_json json_t *nothing = json_array();
        assert_false(drift_is_corrected(nothing, &cases[i].situation, &note));
        assert_null(note);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences),
        cmocka_unit_test(strange_words),
        cmocka_unit_test(long_rows),
        cmocka_unit_test(what_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
