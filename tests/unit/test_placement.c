/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "agent/placement.h"
#include "base/cleanup.h"

/* One manager and one worker, whose disk is an ssd; the worker is away. */
static const char manager[] =
    "{'ID': 'id1', 'Spec': {'Role': 'manager', 'Labels': {}}, 'ManagerStatus': {'Leader': true}, "
    "'Description': "
    "{'Hostname': 'node1', 'Platform': {'OS': 'linux', 'Architecture': 'x86_64'}, 'Engine': {'Labels': "
    "{'storage': 'fast'}}}}";
static const char worker[] =
    "{'ID': 'id2', 'Spec': {'Role': 'worker', 'Labels': {'disk': 'ssd', 'Zone': 'b'}, 'Availability': "
    "'drain'}, "
    "'Status': {'State': 'down'}, 'Description': {'Hostname': 'node2', 'Platform': {'OS': 'linux', "
    "'Architecture': 'aarch64'}}}";

static json_t *parse(const char *text)
{
    char *copy = strdup(text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_t *value = json_loads(copy, 0, NULL);
    free(copy);
    assert_non_null(value);
    return value;
}

static void constraints(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        bool possible;
    } cases[] = {
        {"[]", true},
        {"['node.role==manager']", true},
        {"['node.role != manager']", true},
        {"['node.role==manager', 'node.labels.disk==ssd']", false}, /* each has one of them */
        {"['node.role==worker', 'node.labels.disk==ssd']", true},   /* drained and down: that passes */
        {"['node.labels.disk==hdd']", false},
        {"['node.labels.gpu==yes']", false},
        {"['node.labels.gpu!=yes']", true}, /* a label that is not there is no such label */
        {"['node.labels.disk!=ssd', 'node.role==worker']", false},
        {"['node.labels.DISK==ssd']", false}, /* a label's name counts as written */
        {"['NODE.LABELS.disk==SSD']", true},  /* the rest does not */
        {"['node.labels.zone==b']", false},
        {"['node.hostname==NODE2']", true},
        {"['node.hostname == node3']", false},
        {"[' node.hostname\\t==  node1 ']", true},
        {"['node.id==id1', 'node.hostname==node2']", false},
        {"['node.platform.arch==aarch64', 'node.role==manager']", false},
        {"['node.platform.os==windows']", false},
        {"['engine.labels.storage==fast']", true},
        {"['engine.labels.storage==slow']", false},
        {"['node.ip==10.0.0.0/8']", true}, /* not known here: Swarm will say */
        {"['node.nonsense==x']", true},
        {"['nonsense']", true},
    };
    cleanup_json json_t *nodes = json_array(), *none = json_array();
    json_array_append_new(nodes, parse(manager));
    json_array_append_new(nodes, parse(worker));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cleanup_json json_t *list = parse(cases[i].list);
        if (placement_is_possible(list, nodes) != cases[i].possible)
            fail_msg("%s", cases[i].list);
        assert_true(placement_is_possible(list, NULL)); /* nobody was asked */
        assert_true(placement_is_possible(list, none));
    }
}

/* Its role and what it does differ for a moment. */
static void promotion(void **state)
{
    (void)state;
    cleanup_json json_t *nodes = json_array(),
                        *list = parse("['node.role==manager', 'node.labels.disk==ssd']");
    json_t *node = parse(worker);
    json_array_append_new(nodes, node);
    assert_false(placement_is_possible(list, nodes));
    json_object_set_new(node, "ManagerStatus", json_object());
    assert_true(placement_is_possible(list, nodes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(constraints), cmocka_unit_test(promotion)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
