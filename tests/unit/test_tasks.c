/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/spec.h"
#include "agent/tasks.h"
#include "core_fixture.h"

/* more: further members of Status */
#define TASK_OF(id, state, desired, more, rest)                                                              \
    "{'ID': '" id "', 'DesiredState': '" desired "', 'NodeID': 'n', 'Status': {'State': '" state "'" more    \
    "}" rest "}"
#define TASK(id, state, desired)            TASK_OF(id, state, desired, "", "")
#define TASK_MORE(id, state, desired, more) TASK_OF(id, state, desired, ", " more, "")
#define RUN(id, state, desired, index)      TASK_OF(id, state, desired, "", ", 'JobIteration': " index)

#define SERVICE(mode, more) "{'Spec': {'Mode': " mode ", 'TaskTemplate': {" more "}}}"
#define RESTART(condition)  "'RestartPolicy': {'Condition': '" condition "'}"
#define JOB(mode, index)    "{'Spec': {'Mode': " mode "}, 'JobStatus': {'JobIteration': " index "}}"

#define REPLICAS(n) "{'Replicated': {'Replicas': " n "}}"
#define GLOBAL      "{'Global': {}}"
#define JOB_OF(n)   "{'ReplicatedJob': {'MaxConcurrent': " n ", 'TotalCompletions': " n "}}"
#define GLOBAL_JOB  "{'GlobalJob': {}}"

#define UNHEALTHY                                                                                            \
    "'Err': 'task: non-zero exit (137): dockerexec: unhealthy container', 'ContainerStatus': "               \
    "{'ContainerID': 'c', 'ExitCode': 137}"
#define NO_NODE                                                                                              \
    "'Message': 'pending task scheduling', 'Err': 'no suitable node (scheduling constraints not satisfied "  \
    "on 1 node)'"

static void judge(void **state)
{
    (void)state;
    static const struct {
        const char *name, *service, *tasks, *excused;
        /* "DESIRED running=N failed=N rejected=N completed=N", zeros left out; then trouble and pending */
        const char *want, *trouble, *pending;
    } cases[] = {
        {"nothing yet", SERVICE(REPLICAS("2"), ""), "", "", "2", NULL, NULL},
        {"no replicas wanted", SERVICE(REPLICAS("0"), ""), "", "", "0", NULL, NULL},
        {"default replicas", SERVICE("{'Replicated': {}}", ""), "", "", "1", NULL, NULL},
        {"all run", SERVICE(REPLICAS("2"), ""),
         TASK("a", "running", "running") "," TASK("b", "running", "running"), "", "2 running=2", NULL, NULL},
        {"one is on its way down", SERVICE(REPLICAS("1"), ""),
         TASK("a", "running", "shutdown") "," TASK("b", "running", "running"), "", "1 running=1", NULL, NULL},
        {"ready, not to be started yet", SERVICE(REPLICAS("1"), ""), TASK("a", "ready", "ready"), "", "1",
         NULL, NULL},
        {"starting", SERVICE(REPLICAS("1"), ""),
         TASK_MORE("a", "starting", "running", "'Message': 'starting'"), "", "1", NULL, "starting: starting"},
        {"without words", SERVICE(REPLICAS("1"), ""), TASK("a", "preparing", "running"), "", "1", NULL,
         "preparing: "},
        {"no node", SERVICE(REPLICAS("1"), ""), TASK_MORE("a", "pending", "running", NO_NODE), "", "1", NULL,
         "pending: no suitable node (scheduling constraints not satisfied on 1 node)"},
        {"strange words", SERVICE(REPLICAS("1"), ""),
         TASK_MORE("a", "pending", "running", "'Err': 'a\\u001b[31m\\nb'"), "", "1", NULL,
         "pending: a[31m b"},
        {"no longer wanted there", SERVICE(REPLICAS("1"), ""), TASK_MORE("a", "pending", "shutdown", NO_NODE),
         "", "1", NULL, NULL},
        {"shut down on request", SERVICE(REPLICAS("1"), ""),
         TASK_MORE("a", "shutdown", "shutdown", "'Message': 'shutdown'") "," TASK("b", "running", "running"),
         "", "1 running=1", NULL, NULL},
        {"node lost", SERVICE(REPLICAS("1"), ""),
         TASK("a", "orphaned", "shutdown") "," TASK("b", "remove", "remove"), "", "1", NULL, NULL},
        /* failures */
        {"unhealthy", SERVICE(REPLICAS("1"), ""),
         TASK_MORE("0123456789abcdef", "failed", "shutdown", UNHEALTHY) "," TASK("b", "ready", "ready"), "",
         "1 failed=1",
         "task 0123456789ab failed, exit 137: task: non-zero exit (137): dockerexec: unhealthy container",
         NULL},
        {"failed without words", SERVICE(REPLICAS("1"), ""), TASK("a", "failed", "shutdown"), "",
         "1 failed=1", "task a failed: ", NULL},
        {"rejected by a node that was just starting", SERVICE(REPLICAS("1"), ""),
         TASK_MORE("a", "rejected", "shutdown",
                   "'Message': 'preparing', 'Err': 'cannot create a swarm scoped network when swarm is not "
                   "active'"),
         "", "1", "task a rejected: cannot create a swarm scoped network when swarm is not active", NULL},
        {"rejected", SERVICE(REPLICAS("1"), ""),
         TASK_MORE("a", "rejected", "shutdown", "'Message': 'preparing', 'Err': 'No such image: nope:1'"), "",
         "1 rejected=1", "task a rejected: No such image: nope:1", NULL},
        {"an old failure decides nothing", SERVICE(REPLICAS("1"), ""),
         TASK_MORE("a", "failed", "shutdown",
                   UNHEALTHY) "," TASK("b", "rejected", "shutdown") "," TASK("c", "running", "running"),
         "'a', 'b'", "1 running=1", NULL, NULL},
        {"a new failure beside an old one", SERVICE(REPLICAS("1"), ""),
         TASK("a", "failed", "shutdown") "," TASK("b", "failed", "shutdown"), "'a'", "1 failed=1",
         "task b failed: ", NULL},
        {"ended although it should go on", SERVICE(REPLICAS("1"), RESTART("any")),
         TASK_MORE("a", "complete", "shutdown", "'Message': 'finished'"), "", "1 failed=1",
         "task a ended with exit 0: finished", NULL},
        {"ended, no policy is any", SERVICE(REPLICAS("1"), ""), TASK("a", "complete", "shutdown"), "",
         "1 failed=1", "task a ended with exit 0: ", NULL},
        {"ended before, though it should have gone on", SERVICE(REPLICAS("1"), ""),
         TASK("a", "complete", "shutdown"), "'a'", "1", NULL, NULL},
        {"newest failure first in the list", SERVICE(REPLICAS("3"), ""),
         TASK_MORE("b", "failed", "shutdown", "'Timestamp': '2026-08-23T14:02:06.1Z'") "," TASK_MORE(
             "c", "rejected", "shutdown",
             "'Timestamp': '2026-08-23T14:02:05.999999999Z'") "," TASK_MORE("a", "failed", "shutdown",
                                                                            "'Timestamp': "
                                                                            "'2026-08-23T14:02:06Z'"),
         "", "3 failed=2 rejected=1", "task b failed: ", NULL},
        {"newest failure in the same second", SERVICE(REPLICAS("3"), ""),
         TASK_MORE("a", "failed", "shutdown", "'Timestamp': '2026-08-23T14:02:06.12Z'") "," TASK_MORE(
             "b", "failed", "shutdown",
             "'Timestamp': '2026-08-23T14:02:06.121Z'") "," TASK_MORE("c", "failed", "shutdown",
                                                                      "'Timestamp': "
                                                                      "'2026-08-23T14:02:06.1Z'"),
         "", "3 failed=3", "task b failed: ", NULL},
        /* policies that let a task end */
        {"none: done", SERVICE(REPLICAS("1"), RESTART("none")), TASK("a", "complete", "shutdown"), "",
         "1 completed=1", NULL, NULL},
        {"on-failure: done", SERVICE(REPLICAS("1"), RESTART("on-failure")), TASK("a", "complete", "shutdown"),
         "", "1 completed=1", NULL, NULL},
        {"on-failure: failed", SERVICE(REPLICAS("1"), RESTART("on-failure")),
         TASK_MORE("a", "failed", "shutdown",
                   "'Err': 'task: non-zero exit (1)', 'ContainerStatus': {'ExitCode': 1}"),
         "", "1 failed=1", "task a failed, exit 1: task: non-zero exit (1)", NULL},
        {"none: was done before", SERVICE(REPLICAS("1"), RESTART("none")), TASK("a", "complete", "shutdown"),
         "'a'", "1 completed=1", NULL, NULL},
        /* global */
        {"global, nothing seen", SERVICE(GLOBAL, ""), "", "", "1", NULL, NULL},
        {"global on two nodes", SERVICE(GLOBAL, ""),
         TASK("a", "running", "running") "," TASK("b", "preparing", "running"), "", "2 running=1", NULL,
         "preparing: "},
        {"global, one was replaced", SERVICE(GLOBAL, ""),
         TASK("a", "shutdown", "shutdown") "," TASK("b", "running", "running"), "", "1 running=1", NULL,
         NULL},
        {"global, one ended and began again", SERVICE(GLOBAL, ""),
         TASK("a", "complete", "shutdown") "," TASK("b", "running", "running"), "'a'", "1 running=1", NULL,
         NULL},
        {"global, may end", SERVICE(GLOBAL, RESTART("none")),
         TASK("a", "complete", "shutdown") "," TASK("b", "running", "running"), "", "2 running=1 completed=1",
         NULL, NULL},
        /* jobs */
        {"job runs", JOB(JOB_OF("2"), "{}"),
         RUN("a", "running", "complete", "{}") "," RUN("b", "complete", "complete", "{}"), "",
         "2 running=1 completed=1", NULL, NULL},
        {"job is pending", JOB(JOB_OF("1"), "{}"), TASK_MORE("a", "pending", "complete", NO_NODE), "", "1",
         NULL, "pending: no suitable node (scheduling constraints not satisfied on 1 node)"},
        {"job of the default size", JOB("{'ReplicatedJob': {}}", "{}"),
         RUN("a", "complete", "complete", "{}"), "", "1 completed=1", NULL, NULL},
        {"job failed", JOB(JOB_OF("1"), "{}"), RUN("a", "failed", "shutdown", "{}"), "", "1 failed=1",
         "task a failed: ", NULL},
        {"job's first run, while the second is on", JOB(JOB_OF("1"), "{'Index': 9}"),
         RUN("a", "complete", "complete", "{}") "," RUN("b", "failed", "shutdown", "{'Index': 3}") "," RUN(
             "c", "running", "complete", "{'Index': 9}"),
         "", "1 running=1", NULL, NULL},
        {"task of the job's first run", JOB(JOB_OF("1"), "{}"), RUN("a", "complete", "complete", "{}"), "",
         "1 completed=1", NULL, NULL},
        {"global job", JOB(GLOBAL_JOB, "{'Index': 5}"),
         RUN("a", "complete", "complete", "{'Index': 5}") "," RUN(
             "b", "running", "complete", "{'Index': 5}") "," RUN("c", "complete", "complete", "{'Index': 4}"),
         "", "2 running=1 completed=1", NULL, NULL},
        /* the engine is outside */
        {"strange tasks", SERVICE(REPLICAS("1"), ""),
         "1, null, {}, {'ID': 7}, {'Status': {'State': 'running'}}, {'Status': 1, 'DesiredState': 'running'},"
         "{'Status': {'State': 'failed'}, 'DesiredState': 'shutdown'}",
         "", "1 failed=1", "task  failed: ", NULL},
        {"strange service", "{'Spec': 7}", TASK("a", "running", "running"), "", "1 running=1", NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_str struct str have = {0};
        cleanup_json json_t *service = fixture_json(cases[i].service);
        cleanup_json json_t *tasks = fixture_json(arena_printf(&arena, "[%s]", cases[i].tasks));
        cleanup_json json_t *excused =
            *cases[i].excused ? fixture_json(arena_printf(&arena, "[%s]", cases[i].excused)) : NULL;
        struct tasks_judgement j;
        tasks_judge(&arena, service, tasks, excused, &j);
        const struct {
            const char *name;
            unsigned n;
        } counts[] = {{"running", j.running},
                      {"failed", j.failed},
                      {"rejected", j.rejected},
                      {"completed", j.completed}};
        str_printf(&have, "%u", j.desired);
        for (size_t k = 0; k < ARRAY_SIZE(counts); k++)
            if (counts[k].n)
                str_printf(&have, " %s=%u", counts[k].name, counts[k].n);
        expect_text(cases[i].name, str_text(&have), cases[i].want);
        expect_text(cases[i].name, j.trouble ? j.trouble : "-", cases[i].trouble ? cases[i].trouble : "-");
        expect_text(cases[i].name, j.pending ? j.pending : "-", cases[i].pending ? cases[i].pending : "-");
        assert_int_equal(j.n_active, j.running);
    }
}

static void active(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *service = fixture_json(SERVICE(REPLICAS("2"), ""));
    cleanup_json json_t *tasks = fixture_json("[" TASK("a", "failed", "shutdown") "," TASK_MORE(
        "b", "running", "running", "'ContainerStatus': {'ContainerID': 'cb'}") "," TASK("c", "running",
                                                                                        "running") "]");
    cleanup_json json_t *excused = fixture_json("['c']");
    struct tasks_judgement j;
    tasks_judge(&arena, service, tasks, excused, &j);
    assert_int_equal(j.n_active, 2);
    assert_ptr_equal(j.active[0], json_array_get(tasks, 1));
    assert_ptr_equal(j.active[1], json_array_get(tasks, 2)); /* excused, and it runs */
    cleanup_json json_t *ids = task_ids(tasks), *want = fixture_json("['a', 'b', 'c']");
    assert_true(json_equal(ids, want));
}

static void updates(void **state)
{
    (void)state;
    static const struct {
        const char *service, *trouble;
        bool in_progress;
    } cases[] = {
        {"{}", NULL, false},
        {"{'UpdateStatus': {}}", NULL, false},
        {"{'UpdateStatus': {'State': 'updating', 'Message': 'update in progress'}}", NULL, true},
        {"{'UpdateStatus': {'State': 'completed', 'Message': 'update completed'}}", NULL, false},
        {"{'UpdateStatus': {'State': 'paused', 'Message': 'update paused due to failure or early termination "
         "of task x'}}",
         "Swarm paused the update: update paused due to failure or early termination of task x", false},
        {"{'UpdateStatus': {'State': 'paused'}}", "Swarm paused the update: ", false},
        {"{'UpdateStatus': {'State': 'rollback_started', 'Message': 'a\\u001bb'}}",
         "Swarm began to roll the update back: ab", false},
        {"{'UpdateStatus': {'State': 'rollback_paused', 'Message': 'x'}}",
         "Swarm's rollback of the update is paused: x", false},
        {"{'UpdateStatus': {'State': 'rollback_completed', 'Message': 'x'}}",
         "Swarm rolled the update back: x", false},
        {"{'UpdateStatus': 'paused'}", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_json json_t *service = fixture_json(cases[i].service);
        const char *trouble = update_trouble(&arena, service);
        expect_text(cases[i].service, trouble ? trouble : "-", cases[i].trouble ? cases[i].trouble : "-");
        assert_int_equal(update_in_progress(service), cases[i].in_progress);
    }
}

static void update_terms(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        bool at_once;
    } cases[] = {
        {"{}", true}, /* the engine's default is pause, at any failure */
        {"{'UpdateConfig': {}}", true},
        {"{'UpdateConfig': {'FailureAction': 'pause', 'MaxFailureRatio': 0}}", true},
        {"{'UpdateConfig': {'FailureAction': 'rollback'}}", true},
        {"{'UpdateConfig': {'FailureAction': 'continue'}}", false},
        {"{'UpdateConfig': {'MaxFailureRatio': 0.34}}", false},
        {"{'UpdateConfig': {'MaxFailureRatio': 1}}", false},
        {"{'UpdateConfig': {'MaxFailureRatio': 'all'}}", true},
        {"{'UpdateConfig': 7}", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_json json_t *service = fixture_json(arena_printf(&arena, "{'Spec': %s}", cases[i].spec));
        if (update_ends_at_once(service) != cases[i].at_once)
            fail_msg("%s", cases[i].spec);
    }
}

#define CONTAINER "'ContainerStatus': {'ContainerID': 'c'}"

static void containers(void **state)
{
    (void)state;
    static const struct {
        const char *task, *container;
        bool starting;
    } cases[] = {
        {TASK_MORE("a", "starting", "running", CONTAINER), "c", true},
        {TASK_MORE("a", "starting", "running", "'Message': 'starting'"), "-", true},
        {TASK_MORE("a", "starting", "running", "'ContainerStatus': {'ContainerID': ''}"), "-", true},
        {TASK_MORE("a", "starting", "shutdown", CONTAINER), "c", false}, /* Swarm wants it gone already */
        {TASK_MORE("a", "running", "running", CONTAINER), "c", false},
        {TASK_MORE("a", "complete", "shutdown", CONTAINER), "c", false},
        {"{}", "-", false},
        {"{'Status': 1, 'DesiredState': 'running'}", "-", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_json json_t *task = fixture_json(cases[i].task);
        const char *id = task_container(task);
        expect_text(cases[i].task, id ? id : "-", cases[i].container);
        assert_int_equal(task_is_starting(task), cases[i].starting);
    }
}

static void unhealthy(void **state)
{
    (void)state;
    static const struct {
        const char *state, *want;
    } cases[] = {
        {"'Running': true, 'Health': {'Status': 'unhealthy', 'Log': [{'Output': 'first'}, {'Output': 'HTTP "
         "500\\n'}]}",
         "HTTP 500"},
        {"'Running': true, 'Health': {'Status': 'unhealthy', 'Log': [{'Output': 'a\\u001b[31mb'}]}",
         "a[31mb"},
        {"'Running': true, 'Health': {'Status': 'unhealthy', 'Log': []}", ""},
        {"'Running': true, 'Health': {'Status': 'unhealthy'}", ""},
        {"'Running': true, 'Health': {'Status': 'starting', 'Log': [{'Output': 'x'}]}", "-"},
        {"'Running': true, 'Health': {'Status': 'healthy', 'Log': [{'Output': 'x'}]}", "-"},
        /* the engine says so of what has crashed, and of what is paused */
        {"'Running': false, 'ExitCode': 7, 'Health': {'Status': 'unhealthy'}", "-"},
        {"'Running': true, 'Paused': true, 'Health': {'Status': 'unhealthy'}", "-"},
        {"'Health': {'Status': 'unhealthy'}", "-"},
        {"'Running': true", "-"},
        {"'Running': true, 'Health': 'unhealthy'", "-"},
        {"", "-"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_json json_t *container =
            fixture_json(arena_printf(&arena, "{'State': {%s}}", cases[i].state));
        const char *said = NULL;
        bool bad = container_is_unhealthy(&arena, container, &said);
        expect_text(cases[i].state, bad ? said : "-", cases[i].want);
    }
    cleanup_arena struct arena arena = {0};
    const char *said;
    assert_false(container_is_unhealthy(&arena, NULL, &said));
}

/* In a place: a slot or a node, as JSON members; made at a second of the same minute. */
#define IN_PLACE(id, place, second, status, desired)                                                         \
    "{'ID': '" id "', " place ", 'CreatedAt': '2026-11-22T17:00:" second "Z', 'Status': {'State': '" status  \
    "'}, 'DesiredState': '" desired "'}"
#define SLOT(n)  "'Slot': " n ", 'NodeID': 'n'"
#define NODE(id) "'NodeID': '" id "'"

static void replacements(void **state)
{
    (void)state;
    static const struct {
        const char *name, *old, *current; /* the first of the current ones is asked for */
        bool replaces, serves_here, serves_anywhere;
    } cases[] = {
        {"start-first: the old one serves", IN_PLACE("o", SLOT("1"), "01", "running", "running"),
         IN_PLACE("a", SLOT("1"), "09", "starting", "running"), true, true, true},
        {"the old one is being stopped", IN_PLACE("o", SLOT("1"), "01", "running", "shutdown"),
         IN_PLACE("a", SLOT("1"), "09", "starting", "running"), true, false, false},
        {"the old one has ended", IN_PLACE("o", SLOT("1"), "01", "shutdown", "shutdown"),
         IN_PLACE("a", SLOT("1"), "09", "starting", "running"), true, false, false},
        {"another serves",
         IN_PLACE("o", SLOT("1"), "01", "shutdown", "shutdown") "," IN_PLACE("p", SLOT("2"), "01", "running",
                                                                             "running"),
         IN_PLACE("a", SLOT("1"), "09", "starting", "running"), true, false, true},
        {"an added replica", IN_PLACE("o", SLOT("1"), "01", "running", "running"),
         IN_PLACE("a", SLOT("2"), "09", "starting", "running"), false, false, true},
        {"what takes the place of a new one that ended", IN_PLACE("o", SLOT("1"), "01", "running", "running"),
         IN_PLACE("b", SLOT("1"), "12", "starting", "running") "," IN_PLACE("a", SLOT("1"), "09", "complete",
                                                                            "shutdown"),
         false, true, true},
        {"the first of two new ones", IN_PLACE("o", SLOT("1"), "01", "running", "running"),
         IN_PLACE("a", SLOT("1"), "09", "complete", "shutdown") "," IN_PLACE("b", SLOT("1"), "12", "starting",
                                                                             "running"),
         true, true, true},
        {"global", IN_PLACE("o", NODE("n1"), "01", "running", "running"),
         IN_PLACE("a", NODE("n1"), "09", "starting", "running"), true, true, true},
        {"global, a node that joined", IN_PLACE("o", NODE("n1"), "01", "running", "running"),
         IN_PLACE("a", NODE("n2"), "09", "starting", "running"), false, false, true},
        {"created", "", IN_PLACE("a", SLOT("1"), "09", "starting", "running"), false, false, false},
        {"strange", "1, null, {}, {'Slot': 1}, {'ID': 'o', 'Slot': '1', 'CreatedAt': 7}",
         IN_PLACE("a", SLOT("1"), "09", "starting", "running"), false, false, false},
        {"strange, too", IN_PLACE("o", SLOT("1"), "01", "running", "running"), "{}", false, false, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_json json_t *current = fixture_json(arena_printf(&arena, "[%s]", cases[i].current));
        cleanup_json json_t *all = fixture_json(
            arena_printf(&arena, "[%s%s%s]", cases[i].current, *cases[i].old ? "," : "", cases[i].old));
        cleanup_json json_t *ids = task_ids(current);
        const json_t *task = json_array_get(current, 0);
        if (task_is_replacement(all, ids, task) != cases[i].replaces ||
            task_predecessor_runs(all, ids, task) != cases[i].serves_here ||
            task_predecessor_runs(all, ids, NULL) != cases[i].serves_anywhere)
            fail_msg("%s", cases[i].name);
    }
}

static void addresses(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *task = fixture_json(
        "{'NetworksAttachments': [{'Network': {'ID': 'ingress'}, 'Addresses': ['10.255.0.7/16']},"
        "{'Network': {'ID': 'a'}, 'Addresses': ['10.0.1.7/24', '10.0.1.8/24']},"
        "{'Network': {'ID': 'b'}}, {'Network': {'ID': 'c'}, 'Addresses': []},"
        "{'Network': {'ID': 'd'}, 'Addresses': ['fd00::7']}, 1]}");
    assert_string_equal(task_address(&arena, task, "a"), "10.0.1.7");
    assert_string_equal(task_address(&arena, task, "d"), "fd00::7");
    assert_null(task_address(&arena, task, "b"));
    assert_null(task_address(&arena, task, "c"));
    assert_null(task_address(&arena, task, "e"));
    assert_null(task_address(&arena, NULL, "a"));
}

/* What failed in the minutes before: of that service, of any spec, asked to stop or not. */
static void failures_before(void **state)
{
    (void)state;
#define ENDED(service, state, at)                                                                            \
    "{'ServiceID': '" service "', 'DesiredState': 'shutdown', 'Status': {'State': '" state                   \
    "', 'Timestamp': '2026-08-23T" at "Z'}}"
#define OF(mode, more) "{'ID': 's', 'Spec': {'Mode': " mode ", 'TaskTemplate': {" more "}}}"
    static const struct {
        const char *service, *tasks;
        unsigned failures;
    } cases[] = {
        {OF(REPLICAS("1"), ""), "", 0},
        {OF(REPLICAS("1"), ""), ENDED("s", "failed", "14:00:00"), 1},
        {OF(REPLICAS("1"), ""), ENDED("s", "failed", "14:00:00.5") "," ENDED("s", "rejected", "14:07:00.123"),
         2},
        {OF(REPLICAS("1"), ""), ENDED("s", "failed", "13:59:59.999999999"), 0},
        {OF(REPLICAS("1"), ""), ENDED("other", "failed", "14:01:00"), 0},
        /* an update, scaling down, a service that goes on */
        {OF(REPLICAS("1"), ""), ENDED("s", "shutdown", "14:01:00") "," ENDED("s", "running", "14:01:00"), 0},
        {OF(REPLICAS("1"), ""), ENDED("s", "complete", "14:01:00"), 1},
        {OF(REPLICAS("1"), RESTART("on-failure")), ENDED("s", "complete", "14:01:00"), 0},
        {OF(REPLICAS("1"), ""), "{'ServiceID': 's', 'Status': {'State': 'failed'}}, 1", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_json json_t *service = fixture_json(cases[i].service),
                            *tasks = fixture_json(arena_printf(&arena, "[%s]", cases[i].tasks));
        unsigned n = tasks_failed_since(service, tasks, "2026-08-23T14:00:00Z");
        if (n != cases[i].failures)
            fail_msg("%zu: %u", i, n);
    }
    cleanup_arena struct arena arena = {0};
    assert_string_equal(tasks_failed_words(&arena, 1), "1 task failure in the 10 minutes before");
    assert_string_equal(tasks_failed_words(&arena, 3), "3 task failures in the 10 minutes before");
}

/* Only what is certain: all else may have left its traces in a database. */
static void never_ran(void **state)
{
    (void)state;
#define STARTING "starting container failed: "
#define REMOUNT                                                                                              \
    STARTING "unable to remount dir as readonly: mount tmpfs:/var/lib/docker/containers/c/mounts/secrets, "  \
             "flags: 0x21, data: uid=0,gid=0: device or resource busy"
#define FAILED(state, text) TASK_MORE("a", state, "shutdown", "'Err': '" text "'")
    static const struct {
        const char *tasks;
        bool never_ran;
    } cases[] = {
        {"", true},
        {FAILED("failed", REMOUNT), true},
        {FAILED("failed", REMOUNT) "," FAILED("failed", REMOUNT), true},
        {FAILED("failed", REMOUNT) "," TASK("b", "running", "running"), false},
        {TASK("b", "complete", "shutdown") "," FAILED("failed", REMOUNT), false},
        {FAILED("complete", REMOUNT), false},
        {FAILED("starting", REMOUNT), false},
        {FAILED("failed", "task: non-zero exit (1): " REMOUNT), false},
        {FAILED("failed", STARTING "context deadline exceeded"), false},
        {FAILED("failed", STARTING "OCI runtime create failed: executable file not found in $PATH"), false},
        {FAILED("failed", "task: non-zero exit (128)"), false},
        {TASK("a", "failed", "shutdown"), false},
        {"null", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_json json_t *tasks = fixture_json(arena_printf(&arena, "[%s]", cases[i].tasks));
        if (tasks_never_ran(tasks) != cases[i].never_ran)
            fail_msg("%zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(judge),           cmocka_unit_test(active),
                                       cmocka_unit_test(updates),         cmocka_unit_test(update_terms),
                                       cmocka_unit_test(containers),      cmocka_unit_test(unhealthy),
                                       cmocka_unit_test(replacements),    cmocka_unit_test(addresses),
                                       cmocka_unit_test(failures_before), cmocka_unit_test(never_ran)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
