/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "steps/lease.h"

static const struct lease_owner me = {.host_id = "abc", .node_id = "n1"};

static struct lease_record record(uint64_t version, bool held, const char *deployment, const char *node)
{
    return (struct lease_record){.id = "id",
                                 .version = version,
                                 .held = held,
                                 .deployment = deployment,
                                 .node_id = node,
                                 .node_name = "node2",
                                 .from = "",
                                 .done = "",
                                 .held_commit = "",
                                 .held_why = ""};
}

static void whose(void **state)
{
    (void)state;
    static const struct {
        const char *deployment, *node;
        bool mine;
    } cases[] = {
        {"abc/1", "n1", true},   {"abc/999", "n1", true}, {"abc/1", "n2", false}, /* a copied state directory
                                                                                   */
        {"abcd/1", "n1", false}, {"ab/1", "n1", false},   {"abc", "n1", false},   {"", "n1", false},
        {"xyz/1", "n1", false},  {"abc/1", "", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct lease_record r = record(1, true, cases[i].deployment, cases[i].node);
        if (lease_is_of(&r, &me) != cases[i].mine)
            fail_msg("%s on %s", cases[i].deployment, cases[i].node);
    }
    struct lease_record none = {0};
    assert_false(lease_is_of(&none, &me));
}

/* What a waiter sees, look after look. Its own clock counts, and nothing that another host has written. */
static void expiry(void **state)
{
    (void)state;
    static const struct {
        int64_t at_s;
        uint64_t version;
        bool held;
        const char *deployment;
        enum lease_standing standing;
    } looks[] = {
        {100, 7, true, "xyz/4", LEASE_HELD},    {129, 7, true, "xyz/4", LEASE_HELD},
        {130, 7, true, "xyz/4", LEASE_EXPIRED},                                      /* the same for 30 s */
        {131, 8, true, "xyz/4", LEASE_HELD},    {160, 9, true, "xyz/4", LEASE_HELD}, /* beats, late ones */
        {189, 9, true, "xyz/4", LEASE_HELD},    {189, 10, false, "xyz/4", LEASE_FREE},
        {250, 10, false, "xyz/4", LEASE_FREE},  {251, 11, true, "uvw/1", LEASE_HELD}, /* another one */
        {280, 12, true, "abc/3", LEASE_OURS},   {400, 12, true, "abc/3", LEASE_OURS},
        {401, 9, true, "xyz/4", LEASE_HELD}, /* a version seen long ago: the object was made anew */
    };
    struct lease_sight sight = {0};
    for (size_t i = 0; i < ARRAY_SIZE(looks); i++) {
        struct lease_record r = record(looks[i].version, looks[i].held, looks[i].deployment, "n1");
        if (lease_judge(&r, &me, &sight, looks[i].at_s * US_PER_S) != looks[i].standing)
            fail_msg("look %zu", i);
    }
    struct lease_record none = {0};
    assert_int_equal(lease_judge(&none, &me, &sight, 0), LEASE_FREE);
}

static void reading(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *full =
        json_pack("{s:s, s:{s:i}, s:{s:{s:s, s:s, s:s, s:s, s:s, s:s}}}", "ID", "x1", "Version", "Index", 12,
                  "Spec", "Labels", "deploy-agent.lease", "held", "deploy-agent.deployment", "abc/5",
                  "deploy-agent.lease-node", "n1", "deploy-agent.lease-node-name", "node1",
                  "deploy-agent.lease-from", "xyz/1", "deploy-agent.lease-done", "a b");
    struct lease_record r = lease_read(&arena, full);
    assert_string_equal(r.id, "x1");
    assert_int_equal(r.version, 12);
    assert_true(r.held && lease_is_of(&r, &me));
    assert_string_equal(r.from, "xyz/1");
    assert_string_equal(r.held_commit, "");
    assert_string_equal(lease_holder(&arena, &r), "the agent on node1 (its deployment #5)");
    /* somebody else's, or damaged */
    static const char *const odd[] = {
        "{\"ID\": \"x1\"}",
        "{\"ID\": \"x1\", \"Spec\": {\"Labels\": null}}",
        "{\"ID\": \"x1\", \"Spec\": {\"Labels\": {\"deploy-agent.lease\": 1}}}",
        "{\"ID\": \"x1\", \"Spec\": {\"Labels\": {\"deploy-agent.deployment\": {}}}}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        cleanup_json json_t *config = json_loads(odd[i], 0, NULL);
        struct lease_record strange = lease_read(&arena, config);
        assert_false(strange.held || lease_is_of(&strange, &me));
        assert_string_equal(lease_holder(&arena, &strange), "the agent on another node");
    }
}

static void lists(void **state)
{
    (void)state;
    static const struct {
        const char *list, *word;
        bool in;
    } cases[] = {
        {"", "a", false},    {"a", "a", true},           {"a b", "a", true},
        {"a b", "b", true},  {"ab b", "a", false},       {"ba b", "a", false},
        {"aa a", "a", true}, {"x/1 x/12", "x/2", false}, {"x/12", "x/1", false},
        {"a  b", "", false}, {"a", "a b", false},        {"s_mig_a_1 s_mig_a_12", "s_mig_a_12", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (lease_lists(cases[i].list, cases[i].word) != cases[i].in)
            fail_msg("\"%s\" in \"%s\"", cases[i].word, cases[i].list);
}

/* Where there is none, nothing is fenced. */
static void none(void **state)
{
    (void)state;
    struct error err = {0};
    lease_keep(NULL);
    lease_give(NULL, NULL, NULL);
    lease_close(NULL);
    assert_int_equal(lease_confirm(NULL, &err), 0);
    assert_int_equal(lease_note_job(NULL, "job", &err), 0);
    assert_false(lease_is_lost(NULL, &err) || lease_inherits(NULL, "x/1") || lease_job_is_done(NULL, "job"));
    struct lease *lease;
    const struct lease_options options = {
        .engine = "unix:///nowhere", .stack = "s", .host_id = "abc", .deployment = 1};
    assert_int_equal(lease_open(&options, &lease, &err), 0);
    lease_keep(lease);
    assert_int_equal(lease_confirm(lease, &err), 0); /* not taken: a plan without effects */
    assert_false(lease_inherits(lease, ""));
    struct swarm_info node = {.node_id = "n1", .node_name = "node1"};
    assert_int_equal(lease_look(lease, &node, false, &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    lease_close(lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whose), cmocka_unit_test(expiry),
                                       cmocka_unit_test(reading), cmocka_unit_test(lists),
                                       cmocka_unit_test(none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
