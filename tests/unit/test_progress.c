/* SPDX-License-Identifier: Apache-2.0 */

/* What a running step tells: the words for it, the layers of a pull, and how often it is written. */

#include "journal_fixture.h"

#include "agent/progress.h"
#include "agent/step.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/secret.h"
#include "base/str.h"
#include "docker/layers.h"

/* ---- a clock of our own: deadlines are told in the one, and kept in the other ---- */

static int64_t mono = 50 * US_PER_S, wall = 1755957731 * US_PER_S;

int64_t __wrap_mono_us(void);
int64_t __wrap_mono_us(void)
{
    return mono;
}

int64_t __wrap_wall_us(void);
int64_t __wrap_wall_us(void)
{
    return wall;
}

static void tick(int64_t us)
{
    mono += us;
    wall += us;
}

/* ---- words ---- */

static void words(void **state)
{
    (void)state;
    static const struct {
        struct progress p;
        const char *want;
    } cases[] = {
        {{0}, ""},
        {{.of = "replicas", .done = 1, .total = 2, .note = "starting"}, "1 of 2 replicas up: starting"},
        {{.of = "replicas", .done = 1, .total = 1}, "1 of 1 replica up"},
        {{.of = "replicas"}, "0 of 0 replicas up"},
        {{.of = "tasks", .total = 3}, "0 of 3 tasks completed"},
        {{.of = "layers", .done = 3, .total = 7, .bytes = 41234567, .bytes_total = 118000000},
         "3 of 7 layers pulled, 41 MB of 118 MB"},
        {{.of = "layers", .done = 0, .total = 7, .bytes = 9949}, "0 of 7 layers pulled, 9.9 kB"},
        {{.of = "files", .done = 1, .note = "0119_x.sql"}, "1 file applied: 0119_x.sql"},
        {{.of = "schemas", .done = 2, .total = 40, .note = "acme: 7.sql"},
         "2 of 40 schemas done: acme: 7.sql"},
        {{.doing = "putting it back", .of = "replicas", .total = 2}, "putting it back, 0 of 2 replicas up"},
        {{.doing = "check of django"}, "check of django"},
        {{.of = "samples", .done = 2, .total = 5}, "2 of 5 samples taken"},
        {{.note = "the engine does not answer"}, "the engine does not answer"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct progress back;
        assert_string_equal(progress_words(&arena, &cases[i].p), cases[i].want);
        assert_true(progress_parse(&arena, progress_text(&arena, &cases[i].p), &back));
        assert_string_equal(progress_words(&arena, &back), cases[i].want);
    }
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        const char *want;
    } cases[] = {{0, "0 B"},         {999, "999 B"},     {1000, "1.0 kB"},      {9960, "10 kB"},
                 {999499, "999 kB"}, {999600, "1.0 MB"}, {2500000000, "2.5 GB"}};
    cleanup_arena struct arena arena = {0};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(bytes_text(&arena, cases[i].bytes), cases[i].want);
}

static void notes_are_clean(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct progress p;
    secret_register("hunter22");
    const char *text = progress_text(&arena, &(struct progress){.note = "\033[31mlogin\nhunter22"});
    assert_null(strstr(text, "hunter22"));
    assert_true(progress_parse(&arena, text, &p));
    assert_string_equal(p.note, "[31mlogin ***");
    secret_forget_all();
    assert_false(progress_parse(&arena, NULL, &p));
    assert_false(progress_parse(&arena, "[]", &p));
    assert_false(progress_parse(&arena, "{", &p));
    assert_true(
        progress_parse(&arena, "{\"of\":7,\"done\":-1,\"total\":99999999999,\"note\":\"\\u001b]0;x\"}", &p));
    assert_null(p.of);
    assert_int_equal(p.done, 0);
    assert_string_equal(p.note, "]0;x");
}

/* ---- layers ---- */

static struct pull_progress pull(const char *const *lines)
{
    struct layers layers = {0};
    for (; *lines; lines++) {
        cleanup_json json_t *line = json_loads(*lines, 0, NULL);
        assert_non_null(line);
        (void)layers_note(&layers, line);
    }
    struct pull_progress p = layers_count(&layers);
    layers_release(&layers);
    return p;
}

static void layers(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"status\":\"Pulling from library/web\",\"id\":\"sha256:1\"}",
        "{\"status\":\"Already exists\",\"progressDetail\":{},\"id\":\"aa\"}",
        "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"bb\"}",
        "{\"status\":\"Pulling fs layer\",\"progressDetail\":{},\"id\":\"cc\"}",
        "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":100,\"total\":1000},\"id\":\"bb\"}",
        NULL,
        "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":20,\"total\":50},\"id\":\"cc\"}",
        NULL,
        "{\"status\":\"Download complete\",\"progressDetail\":{},\"id\":\"cc\"}",
        "{\"status\":\"Extracting\",\"progressDetail\":{\"current\":7,\"total\":50},\"id\":\"cc\"}",
        "{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"cc\"}",
        "{\"status\":\"Digest: sha256:1\"}",
        NULL,
    };
    static const struct pull_progress want[] = {{3, 1, 100, 0}, {3, 1, 120, 1050}, {3, 2, 150, 1050}};
    const char *seen[ARRAY_SIZE(lines) + 1] = {NULL};
    size_t n = 0, k = 0;
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        if (lines[i]) {
            seen[n++] = lines[i];
            continue;
        }
        struct pull_progress p = pull(seen);
        assert_int_equal(p.layers, want[k].layers);
        assert_int_equal(p.done, want[k].done);
        assert_int_equal(p.bytes, want[k].bytes);
        assert_int_equal(p.bytes_total, want[k++].bytes_total);
    }
    assert_int_equal(k, ARRAY_SIZE(want));
}

/* Whatever a registry makes an engine say. */
static void odd_layers(void **state)
{
    (void)state;
    struct layers layers = {0};
    for (unsigned i = 0; i < 3 * LAYERS_MAX; i++) {
        cleanup_json json_t *line =
            json_pack("{s:s, s:o, s:{s:i, s:i}}", "status", "Downloading", "id", json_sprintf("%u", i),
                      "progressDetail", "current", 7, "total", i % 2 ? -5 : 3);
        (void)layers_note(&layers, line);
    }
    struct pull_progress p = layers_count(&layers);
    assert_int_equal(p.layers, LAYERS_MAX);
    assert_true(p.bytes >= 0 && p.bytes_total >= 0);
    cleanup_json json_t *odd = json_pack("{s:i, s:s}", "status", 7, "id", "0123456789abcdef0");
    assert_false(layers_note(&layers, odd));
    layers_release(&layers);
}

/* ---- how often it is written ---- */

static const char *told(struct fixture *f, int64_t id, unsigned seq)
{
    struct step *steps;
    size_t n;
    OK(journal_steps(f->journal, &f->arena, id, &steps, &n, &f->err));
    return steps[seq - 1].live;
}

static struct step_ctx *begun(struct fixture *f, struct deployment *d)
{
    static const struct step steps[] = {{.seq = 1, .kind = "roll", .name = "web"},
                                        {.seq = 2, .kind = "soak", .name = "shop"}};
    struct step_ctx *ctx = arena_alloc(&f->arena, sizeof *ctx);
    int64_t id = request(f, "shop", commit_a);
    OK(journal_save_plan(f->journal, id, &(struct plan_rows){.plan = "{}", .steps = steps, .n_steps = 2},
                         &f->err));
    OK(journal_set_state(f->journal, id, DEPLOYMENT_RUNNING, NULL, &f->err));
    OK(journal_step_begin(f->journal, id, 1, NULL, &f->err));
    *d = get(f, id);
    *ctx = (struct step_ctx){.arena = &f->arena, .journal = f->journal, .deployment = d};
    return ctx;
}

static void writes(void **state)
{
    struct fixture *f = *state;
    struct deployment d;
    struct step_ctx *ctx = begun(f, &d);
    struct progress p = {.of = "replicas", .total = 2};
    step_live(ctx, &p); /* no step has begun */
    assert_null(told(f, d.id, 1));
    step_live_begin(ctx, 1);
    step_live(ctx, &p);
    const char *first = told(f, d.id, 1);
    assert_string_equal(first, "{\"done\":0,\"of\":\"replicas\",\"total\":2}");
    /* what comes within a second waits for the next call */
    p.done = 1;
    tick(900000);
    step_live(ctx, &p);
    assert_string_equal(told(f, d.id, 1), first);
    tick(100000);
    step_live_flush(ctx); /* or for a sign of life: nobody may have more to tell for long */
    assert_non_null(strstr(told(f, d.id, 1), "\"done\":1"));
    p.done = 2;
    step_live(ctx, &p);
    p.done = 1; /* what was told is true again */
    step_live(ctx, &p);
    tick(US_PER_S);
    step_live_flush(ctx);
    assert_non_null(strstr(told(f, d.id, 1), "\"done\":1"));
    OK(journal_step_end(f->journal, d.id, 1, STEP_DONE, NULL, &f->err));
    assert_null(told(f, d.id, 1));
    /* being put back: told of again, and forgotten at its end */
    step_live_begin(ctx, 1);
    step_live(ctx, &p);
    assert_non_null(told(f, d.id, 1));
    step_live_end(ctx);
    assert_null(told(f, d.id, 1));
    step_live(ctx, &p);
    assert_null(told(f, d.id, 1));
}

/* An unchanged text is not written, and a deadline that jitters is unchanged. */
static void writes_changes_only(void **state)
{
    struct fixture *f = *state;
    struct deployment d;
    struct step_ctx *ctx = begun(f, &d);
    struct journal *reader;
    OK(journal_open(f->path, JOURNAL_READ, &reader, &f->err));
    struct progress p = {.of = "replicas", .total = 2, .deadline_us = mono + 300 * US_PER_S};
    step_live_begin(ctx, 1);
    step_live(ctx, &p);
    int64_t seen = journal_data_version(reader);
    struct progress back;
    assert_true(progress_parse(&f->arena, told(f, d.id, 1), &back));
    assert_int_equal(back.deadline_us, wall + 300 * US_PER_S);
    for (unsigned i = 0; i < 20; i++) {
        tick(US_PER_S);
        wall += i % 2 ? -1500000 : 1500000;
        step_live(ctx, &p);
    }
    assert_int_equal(journal_data_version(reader), seen);
    tick(US_PER_S);
    p.deadline_us += 10 * US_PER_S; /* the engine was away: its clock stood still */
    step_live(ctx, &p);
    assert_true(progress_parse(&f->arena, told(f, d.id, 1), &back));
    assert_true(back.deadline_us > wall + 280 * US_PER_S);
    assert_int_not_equal(journal_data_version(reader), seen);
    journal_close(reader);
}

/* Who begins a step again begins without what a dead worker has told. */
static void begins_without(void **state)
{
    struct fixture *f = *state;
    struct deployment d;
    struct step_ctx *ctx = begun(f, &d);
    step_live_begin(ctx, 1);
    step_live(ctx, &(struct progress){.note = "x"});
    assert_non_null(told(f, d.id, 1));
    OK(journal_step_begin(f->journal, d.id, 1, NULL, &f->err));
    assert_null(told(f, d.id, 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),   cmocka_unit_test(sizes),      cmocka_unit_test(notes_are_clean),
        cmocka_unit_test(layers),  cmocka_unit_test(odd_layers), TEST(writes),
        TEST(writes_changes_only), TEST(begins_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
