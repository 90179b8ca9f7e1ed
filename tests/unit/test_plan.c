/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "base/hash.h"
#include "plan_fixture.h"

/* ---- a plan in one line ---- */

static void say_steps(struct str *out, const struct plan *plan)
{
    if (plan->empty)
        str_append(out, "empty");
    for (size_t i = 0; i < plan->rows.n_steps && !plan->empty; i++) {
        const struct step *s = &plan->rows.steps[i];
        cleanup_json json_t *params = json_loads(s->params, 0, NULL);
        const char *image = json_path_string(params, "image", NULL); /* of pulls; shown without the digest */
        assert_int_equal(s->seq, i + 1);
        assert_true(!image || strncmp(s->name, image, strcspn(image, "@")) == 0);
        str_printf(out, "%s%s %s%s", i ? ", " : "", s->kind, image ? image : s->name,
                   s->state == STEP_SKIPPED ? " (skipped)" : "");
    }
}

/* "web=update!(image)": ! where tasks restart */
static void say_services(struct str *out, const struct plan *plan)
{
    json_t *service, *change;
    size_t i, k;
    json_array_foreach (json_object_get(plan->json, "services"), i, service) {
        const json_t *changes = json_object_get(service, "changes");
        str_printf(out, "%s%s=%s%s", i ? ", " : "", json_path_string(service, "service", NULL),
                   json_path_string(service, "action", NULL),
                   json_is_true(json_object_get(service, "restarts")) ? "!" : "");
        json_array_foreach (changes, k, change) {
            str_printf(out, "%s%s%s", k ? ", " : "(", json_string_value(change),
                       k + 1 == json_array_size(changes) ? ")" : "");
        }
    }
}

static void say_warnings(struct str *out, const struct plan *plan)
{
    json_t *warning;
    size_t i;
    json_array_foreach (json_object_get(plan->json, "warnings"), i, warning) {
        str_printf(out, "%s%s", i ? "; " : "", json_string_value(warning));
    }
}

/* ---- from one stack file to the next ---- */

static const struct fixture_file files[] = {
    {"a", "content a"}, {"b", "content b"}, {"c", "content c"}, {NULL, NULL}};

#define CONTENT_B "c4363f384691"
#define CONTENT_C "3f0b9198a291"

#define HEALTHY      "healthcheck: {test: [CMD, x]}"
#define WEB          "web: {image: web, " HEALTHY "}"
#define WEB_AND(x)   "services: {web: {image: web, " HEALTHY ", " x "}}\n"
#define ONE          "services: {" WEB "}\n"
#define TWO          "services: {" WEB ", worker: {image: worker, " HEALTHY "}}\n"
#define NO_SOAK      "x-release: {gate: {soak: 0}}\n"
#define RELEASE(x)   "x-release: {gate: {soak: 0}, " x "}\n"
#define STEP(x)      "{run: {name: django, service: web, command: [migrate, --noinput]" x "}}"
#define STEPS(x)     RELEASE("steps: [" STEP(x) "]")
#define STEPS_ONLY   "steps: [" STEP("") "]"
#define SECRET(file) WEB_AND("secrets: [key]") "secrets: {key: {file: " file "}}\n" NO_SOAK
#define CONFIG(file) WEB_AND("configs: [conf]") "configs: {conf: {file: " file "}}\n" NO_SOAK

static void foreign_network(struct world *w)
{
    world_put_network(w, "shop_default", "swarm", "other");
}

static void local_network(struct world *w)
{
    world_put_network(w, "shop_default", "local", NULL);
}

static void local_and_our_network(struct world *w)
{
    world_put_network(w, "shop_default", "local", NULL);
    world_put_network(w, "shop_default", "swarm", "shop");
    world_put_network(w, "shop_default", "local", "other");
}

static void outside_network(struct world *w)
{
    world_put_network(w, "outside", "local", NULL);
    world_put_network(w, "outside", "swarm", NULL);
}

static void local_outside_network(struct world *w)
{
    world_put_network(w, "outside", "local", NULL);
}

static void foreign_secret(struct world *w)
{
    world_put_blob(w, w->observed.secrets, "shop_key", NULL, NULL, NULL);
}

static void foreign_config(struct world *w)
{
    world_put_blob(w, w->observed.configs, "shop_conf", "Y29udGVudCBh", NULL, NULL);
}

static void other_foreign_config(struct world *w)
{
    world_put_blob(w, w->observed.configs, "shop_conf", "eA==", NULL, NULL);
}

static void external_objects(struct world *w)
{
    world_put_blob(w, w->observed.secrets, "theirs", NULL, NULL, NULL);
    world_put_blob(w, w->observed.configs, "theirs", "eA==", NULL, NULL);
}

/* Services as `docker stack deploy` leaves them: without our label. */
static void without_our_labels(struct world *w)
{
    json_t *live;
    size_t i;
    json_array_foreach (w->observed.services, i, live) {
        json_object_del(json_object_get(json_object_get(live, "Spec"), "Labels"), LABEL_DEPLOYMENT);
    }
}

static void without_platforms(struct world *w)
{
    json_t *live;
    size_t i;
    json_array_foreach (w->observed.services, i, live) {
        json_t *task = json_object_get(json_object_get(live, "Spec"), "TaskTemplate");
        json_object_del(json_object_get(task, "Placement"), "Platforms");
        json_object_set_new(task, "ForceUpdate", json_integer(7));
    }
}

static void scaled_by_hand(struct world *w)
{
    json_t *spec = json_object_get(world_find(w->observed.services, "shop_web"), "Spec");
    json_object_set_new(spec, "Mode", json_pack("{s:{s:i}}", "Replicated", "Replicas", 5));
}

static void set_update_status(struct world *w, const char *state, const char *message)
{
    json_object_set_new(world_find(w->observed.services, "shop_web"), "UpdateStatus",
                        json_pack("{s:s, s:s}", "State", state, "Message", message));
}

static void paused_by_swarm(struct world *w)
{
    set_update_status(w, "paused", "task failed");
}

static void rolled_back_by_swarm(struct world *w)
{
    scaled_by_hand(w);
    set_update_status(w, "rollback_completed", "rollback completed");
}

static void taken_back_by_swarm(struct world *w)
{
    set_update_status(w, "rollback_completed", "rollback completed");
}

static void network_remade(struct world *w)
{
    json_array_clear(w->observed.networks);
    world_put_network(w, "shop_default", "swarm", "shop");
}

static void old_engine(struct world *w)
{
    w->observed.api_version = "1.41";
}

static void engine_1_45(struct world *w)
{
    w->observed.api_version = "1.45";
}

static void plain_secret_removed(struct world *w)
{
    world_remove(w->observed.secrets, "shop_key");
}

static void prune_off(struct world *w)
{
    w->no_prune = true;
}

/* It was sent by one that came to no good end. */
static void doubtful_web(struct world *w)
{
    json_t *spec = json_object_get(world_find(w->observed.services, "shop_web"), "Spec");
    json_object_set_new(json_object_get(spec, "Labels"), LABEL_DEPLOYMENT, json_string("h/0"));
    w->observed.doubtful = json_pack("{s:{}, s:{}}", "h/9", "h/0");
}

static void no_record(struct world *w)
{
    w->deployed = false;
    json_object_clear(w->fingerprints);
}

/* Configs of ours that nothing refers to, of this stack and of another one. */
static void leftovers(struct world *w)
{
    world_put_blob(w, w->observed.configs, "shop_old", "eA==", "shop", "hash");
    world_put_blob(w, w->observed.configs, "other_old", "eA==", "other", "hash");
    world_put_blob(w, w->observed.configs, "shop_theirs", "eA==", "shop", NULL);
    world_put_blob(w, w->observed.secrets, "shop_old", NULL, "shop", "hash");
    world_put_blob(w, w->observed.secrets, "other_old", NULL, "other", "hash");
    world_put_blob(w, w->observed.secrets, "shop_theirs", NULL, "shop", NULL);
}

/* The last success, and a service that is not ours, still refer to them. */
static void retained_leftovers(struct world *w)
{
    leftovers(w);
    json_array_append_new(
        w->retained,
        fixture_json("{'TaskTemplate': {'ContainerSpec': {'Configs': [{'ConfigName': 'shop_old'}]}}}"));
    json_array_append_new(
        w->observed.services,
        fixture_json(
            "{'ID': 'x', 'Spec': {'Name': 'shop_hand', 'TaskTemplate': {'ContainerSpec': {'Secrets': "
            "[{'SecretName': 'shop_old'}]}}}}"));
}

struct transition {
    const char *name, *before, *after; /* before NULL: the first deployment */
    void (*change)(struct world *);    /* what happens to the swarm in between */
    struct world_options options;      /* of the second plan */
    const char *steps, *services; /* want; services NULL: the plan is refused, and steps is the message */
    const char *warnings;
};

static const struct transition transitions[] = {
    /* ---- services ---- */
    {.name = "first deployment",
     .after = TWO,
     .steps = "pull web:latest@sha256:1, pull worker:latest@sha256:1, network shop_default, roll web, roll "
              "worker, soak shop",
     .services = "web=create, worker=create"},
    {.name = "nothing changed",
     .before = TWO,
     .after = TWO,
     .steps = "empty",
     .services = "web=none, worker=none"},
    {.name = "left by a deployment that did not see it work",
     .before = TWO,
     .after = TWO,
     .change = doubtful_web,
     .steps = "pull web:latest@sha256:1, baseline stack shop, roll web, soak shop",
     .services = "web=update(not yet seen to work), worker=none"},
    {.name = "only the commit changed",
     .before = TWO,
     .after = TWO,
     .options.commit = COMMIT_2,
     .steps = "empty",
     .services = "web=none, worker=none"},
    {.name = "taken over from docker stack deploy",
     .before = TWO,
     .after = TWO,
     .change = without_our_labels,
     .steps = "empty",
     .services = "web=none, worker=none"},
    {.name = "what restarts nothing differs",
     .before = TWO,
     .after = TWO,
     .change = without_platforms,
     .steps = "empty",
     .services = "web=none, worker=none"},
    {.name = "image moved",
     .before = TWO,
     .after = TWO,
     .options.digest = "sha256:2",
     .steps = "pull web:latest@sha256:2, pull worker:latest@sha256:2, roll web, roll worker, soak shop",
     .services = "web=update!(image), worker=update!(image)"},
    {.name = "image not known",
     .before = ONE NO_SOAK,
     .after = ONE NO_SOAK,
     .options.digest = "",
     .steps = "pull web:latest, roll web",
     .services = "web=update!(image)"},
    {.name = "image by digest in the file",
     .after = "services: {web: {image: "
              "'web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef', " HEALTHY
              "}}\n" NO_SOAK,
     .options.digest = "",
     .steps = "pull web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, network "
              "shop_default, roll web",
     .services = "web=create"},
    {.name = "only a label changed",
     .before = ONE,
     .after = WEB_AND("deploy: {labels: {a: ''}}"),
     .steps = "pull web:latest@sha256:1, roll web, soak shop",
     .services = "web=update(label a)"},
    {.name = "environment changed",
     .before = TWO NO_SOAK,
     .after = "services: {web: {image: web, environment: {A: hunter2}, " HEALTHY
              "}, worker: {image: worker, " HEALTHY "}}\n" NO_SOAK,
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update!(env A), worker=none"},
    {.name = "scaled by hand",
     .before = ONE NO_SOAK,
     .after = ONE NO_SOAK,
     .change = scaled_by_hand,
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update(replicas 5 → 1)"},
    {.name = "paused by Swarm",
     .before = ONE NO_SOAK,
     .after = ONE NO_SOAK,
     .change = paused_by_swarm,
     .steps = "empty",
     .services = "web=none",
     .warnings = "service web, as it runs before this deployment: Swarm paused the update: task failed"},
    {.name = "rolled back by Swarm",
     .before = ONE NO_SOAK,
     .after = ONE NO_SOAK,
     .change = rolled_back_by_swarm,
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update(replicas 5 → 1)",
     .warnings = "service web, as it runs before this deployment: Swarm rolled the update back: rollback "
                 "completed"},
    {.name = "rolled back by Swarm to what is wanted",
     .before = ONE NO_SOAK,
     .after = ONE NO_SOAK,
     .change = taken_back_by_swarm,
     .steps = "empty",
     .services = "web=none"},
    {.name = "service added",
     .before = ONE NO_SOAK,
     .after = TWO NO_SOAK,
     .steps = "pull worker:latest@sha256:1, roll worker",
     .services = "web=none, worker=create"},
    {.name = "service removed",
     .before = TWO,
     .after = ONE,
     .steps = "prune shop",
     .services = "web=none, worker=remove"},
    {.name = "service removed, prune = no",
     .before = TWO,
     .after = ONE,
     .options.no_prune = true,
     .steps = "empty",
     .services = "web=none",
     .warnings = "service shop_worker is not in the stack file and is left running (prune = no)"},
    {.name = "service that the agent did not make",
     .before = TWO,
     .after = ONE,
     .change = without_our_labels,
     .steps = "empty",
     .services = "web=none",
     .warnings =
         "service shop_worker is not in the stack file and is left running: the agent did not make it"},
    {.name = "mode changed",
     .before = ONE,
     .after = WEB_AND("deploy: {mode: global}"),
     .steps = "stack.yml:1:17: deploy.mode: service web runs as replicated, and Swarm cannot make it global; "
              "remove it first (docker "
              "service rm shop_web), or rename it"},
    {.name = "no healthcheck, no check",
     .after = "services: {web: {image: web}, worker: {image: worker, healthcheck: {disable: true}}, api: "
              "{image: api}}\n" RELEASE("health: {api: [{http: 'http://api/'}]}"),
     .steps = "pull web:latest@sha256:1, pull worker:latest@sha256:1, pull api:latest@sha256:1, network "
              "shop_default, relay shop, baseline stack shop (skipped), roll "
              "web, roll worker, roll api",
     .services = "web=create, worker=create, api=create",
     .warnings = "service web has no healthcheck and no check: its update can only be seen to run, not to "
                 "work (unverified); service "
                 "worker has no healthcheck and no check: its update can only be seen to run, not to work "
                 "(unverified)"},
    {.name = "unverified, but it stays as it is",
     .before = "services: {web: {image: web}}\n",
     .after = "services: {web: {image: web}}\n",
     .steps = "empty",
     .services = "web=none"},
    {.name = "order and before",
     .after = "services: {web: {image: web, depends_on: [db], " HEALTHY "}, db: {image: db, " HEALTHY
              "}, cache: {image: db, " HEALTHY
              "}}\n" RELEASE("database: {service: db}, rollout: {before: [cache]}"),
     .steps = "pull db:latest@sha256:1, pull web:latest@sha256:1, network shop_default, before db, before "
              "cache, roll web",
     .services = "db=create, cache=create, web=create"},
    {.name = "only a before service changed: no soak",
     .before = "services: {web: {image: web, " HEALTHY "}, db: {image: db, " HEALTHY
               "}}\nx-release: {database: {service: db}}\n",
     .after = "services: {web: {image: web, " HEALTHY "}, db: {image: db, user: u, " HEALTHY
              "}}\nx-release: {database: {service: db}}\n",
     .steps = "pull db:latest@sha256:1, before db",
     .services = "db=update!(User), web=none"},
    {.name = "start interval, known to the engine",
     .before = "services: {web: {image: web, healthcheck: {test: [CMD, x]}}}\n" NO_SOAK,
     .after = "services: {web: {image: web, healthcheck: {test: [CMD, x], start_period: 1s, start_interval: "
              "1s}}}\n" NO_SOAK,
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update!(healthcheck)"},
    {.name = "what an old engine does not know",
     .before = "services: {web: {image: web, healthcheck: {test: [CMD, x]}, volumes: [{type: volume, source: "
               "v, target: /v}]}}\nvolumes: "
               "{v: {}}\n",
     .after = "services: {web: {image: web, healthcheck: {test: [CMD, x], start_interval: 1s}, volumes: "
              "[{type: volume, source: v, "
              "target: /v, volume: {subpath: s}}]}}\nvolumes: {v: {}}\n",
     .change = old_engine,
     .steps = "empty",
     .services = "web=none",
     .warnings = "service web: healthcheck.start_interval needs engine 25 and is left out; service web: "
                 "volume.subpath needs engine 26.1 "
                 "and is left out: the whole volume is mounted at /v"},
    {.name = "what a newer engine does know",
     .before = "services: {web: {image: web, healthcheck: {test: [CMD, x]}, volumes: [{type: volume, source: "
               "v, target: /v}]}}\nvolumes: "
               "{v: {}}\n" NO_SOAK,
     .after = "services: {web: {image: web, healthcheck: {test: [CMD, x], start_interval: 1s}, volumes: "
              "[{type: volume, source: v, "
              "target: /v, volume: {subpath: s}}]}}\nvolumes: {v: {}}\n" NO_SOAK,
     .change = engine_1_45,
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update!(healthcheck, volumes)"},
    /* ---- networks ---- */
    {.name = "a foreign network",
     .after = ONE,
     .change = foreign_network,
     .steps = "networks: a network named shop_default exists and does not belong to this stack; rename one "
              "of the two, or declare it "
              "external"},
    {.name = "a local network of that name",
     .after = ONE,
     .change = local_network,
     .steps = "networks: a network named shop_default exists and does not belong to this stack; rename one "
              "of the two, or declare it "
              "external"},
    {.name = "local networks of the same name beside ours",
     .after = ONE NO_SOAK,
     .change = local_and_our_network,
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=create"},
    {.name = "our network was removed and made again",
     .before = ONE NO_SOAK,
     .after = ONE NO_SOAK,
     .change = network_remade,
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update!(networks)"},
    {.name = "an external network",
     .after = WEB_AND("networks: [n]") "networks: {n: {external: true, name: outside}}\n" NO_SOAK,
     .change = outside_network,
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=create"},
    {.name = "an external network that is missing",
     .after = WEB_AND("networks: [n]") "networks: {n: {external: true, name: outside}}\n",
     .steps = "stack.yml:2:15: networks: network \"outside\" is declared as external, but could not be "
              "found. You need to create a "
              "swarm-scoped network before the stack is deployed"},
    {.name = "an external network of the wrong scope",
     .after = WEB_AND("networks: [n]") "networks: {n: {external: true, name: outside}}\n",
     .change = local_outside_network,
     .steps = "stack.yml:2:15: networks: network \"outside\" is declared as external, but it is not in the "
              "right scope: \"local\" instead "
              "of \"swarm\""},
    {.name = "the host's network",
     .before = WEB_AND("networks: [n]") "networks: {n: {external: true, name: host}}\n",
     .after = WEB_AND("networks: [n]") "networks: {n: {external: true, name: host}}\n",
     .steps = "empty",
     .services = "web=none"},
    /* ---- secrets and configs ---- */
    {.name = "a secret is made",
     .after = SECRET("a"),
     .steps = "pull web:latest@sha256:1, network shop_default, secret shop_key, roll web",
     .services = "web=create"},
    {.name = "the same secret",
     .before = SECRET("a"),
     .after = SECRET("a"),
     .steps = "empty",
     .services = "web=none"},
    {.name = "a changed secret",
     .before = SECRET("a"),
     .after = SECRET("b"),
     .steps = "pull web:latest@sha256:1, secret shop_key_" CONTENT_B ", roll web",
     .services = "web=update!(secrets)"},
    {.name = "the plain secret was removed by hand",
     .before = SECRET("a"),
     .after = SECRET("a"),
     .change = plain_secret_removed,
     .steps = "secret shop_key",
     .services = "web=none"},
    {.name = "another salt: the plain secret cannot be compared",
     .before = SECRET("a"),
     .after = SECRET("b"),
     .options.salt = "other",
     .steps = "pull web:latest@sha256:1, secret shop_key_" CONTENT_B ", roll web",
     .services = "web=update!(secrets)"},
    {.name = "a secret that somebody else made",
     .after = SECRET("a"),
     .change = foreign_secret,
     .steps = "pull web:latest@sha256:1, network shop_default, secret shop_key, roll web",
     .services = "web=create",
     .warnings = "secret shop_key was made by someone else; its content is compared by the engine when its "
                 "label is set"},
    {.name = "a config is made",
     .after = CONFIG("a"),
     .steps = "pull web:latest@sha256:1, network shop_default, config shop_conf, roll web",
     .services = "web=create"},
    {.name = "the same config",
     .before = CONFIG("a"),
     .after = CONFIG("a"),
     .steps = "empty",
     .services = "web=none"},
    {.name = "the same config, another salt",
     .before = CONFIG("a"),
     .after = CONFIG("a"),
     .options.salt = "other",
     .steps = "empty",
     .services = "web=none"},
    {.name = "a changed config",
     .before = CONFIG("a"),
     .after = CONFIG("c"),
     .steps = "pull web:latest@sha256:1, config shop_conf_" CONTENT_C ", roll web",
     .services = "web=update!(configs)"},
    {.name = "a config becomes a template",
     .before = CONFIG("a"),
     .after = WEB_AND("configs: [conf]") "configs: {conf: {file: a, template_driver: golang}}\n" NO_SOAK,
     .steps = "pull web:latest@sha256:1, config shop_conf_0069ffe84817, roll web",
     .services = "web=update!(configs)"},
    {.name = "a config that somebody else made, with our content",
     .after = CONFIG("a"),
     .change = foreign_config,
     .steps = "pull web:latest@sha256:1, network shop_default, config shop_conf, roll web",
     .services = "web=create"},
    {.name = "a config that somebody else made, with other content",
     .after = CONFIG("b"),
     .change = other_foreign_config,
     .steps = "pull web:latest@sha256:1, network shop_default, config shop_conf_" CONTENT_B ", roll web",
     .services = "web=create"},
    {.name = "an unused config is made, too",
     .before = ONE,
     .after = ONE "configs: {conf: {file: a}}\n",
     .steps = "config shop_conf",
     .services = "web=none"},
    {.name = "external objects",
     .after = WEB_AND("secrets: [theirs], configs: [theirs]") "secrets: {theirs: {external: true}}\nconfigs: "
                                                              "{theirs: {external: "
                                                              "true}}\n" NO_SOAK,
     .change = external_objects,
     .steps = "pull web:latest@sha256:1, network shop_default, roll web",
     .services = "web=create"},
    {.name = "an external secret that is missing",
     .after = WEB_AND("secrets: [theirs]") "secrets: {theirs: {external: true}}\n",
     .steps = "stack.yml:2:19: secret: secret not found: theirs (it is declared as external and must exist)"},
    {.name = "an external config that is missing",
     .after = WEB_AND("configs: [theirs]") "configs: {theirs: {external: true}}\n",
     .steps = "stack.yml:2:19: config: config not found: theirs (it is declared as external and must exist)"},
    {.name = "leftovers alone are no reason",
     .before = ONE,
     .after = ONE,
     .change = leftovers,
     .steps = "empty",
     .services = "web=none"},
    {.name = "leftovers go",
     .before = ONE,
     .after = WEB_AND("user: u") NO_SOAK,
     .change = leftovers,
     .steps = "pull web:latest@sha256:1, roll web, prune shop",
     .services = "web=update!(User)"},
    {.name = "leftovers stay, prune = no",
     .before = ONE,
     .after = WEB_AND("user: u") NO_SOAK,
     .change = leftovers,
     .options.no_prune = true,
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update!(User)"},
    {.name = "what is referred to stays",
     .before = ONE,
     .after = WEB_AND("user: u") NO_SOAK,
     .change = retained_leftovers,
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update!(User)",
     .warnings = "service shop_hand is not in the stack file and is left running: the agent did not make it"},
    /* ---- run steps ---- */
    {.name = "a step on the first deployment",
     .after = ONE STEPS(""),
     .steps = "pull web:latest@sha256:1, network shop_default, run django, roll web",
     .services = "web=create"},
    {.name = "a step again: nothing to do",
     .before = ONE STEPS(""),
     .after = ONE STEPS(""),
     .options.commit = COMMIT_2,
     .steps = "empty",
     .services = "web=none"},
    {.name = "a new step",
     .before = ONE NO_SOAK,
     .after = ONE STEPS(""),
     .steps = "pull web:latest@sha256:1, baseline stack shop, run django, compare stack shop",
     .services = "web=none"},
    {.name = "a step less",
     .before = ONE STEPS(""),
     .after = ONE NO_SOAK,
     .steps = "empty",
     .services = "web=none"},
    {.name = "the stack was deployed by someone else until now, or the record was lost",
     .before = ONE STEPS(""),
     .after = ONE STEPS(", when: first_deploy"),
     .change = no_record,
     .steps = "empty",
     .services = "web=none"},
    {.name = "the same with a change",
     .before = ONE STEPS(""),
     .after = TWO STEPS(", when: first_deploy"),
     .change = no_record,
     .steps = "pull worker:latest@sha256:1, run django (skipped), roll worker",
     .services = "web=none, worker=create"},
    {.name = "a first deployment that failed has left the services before its steps",
     .before = ONE,
     .after = TWO RELEASE("steps: [{run: {name: django, service: worker, command: [migrate, --noinput], "
                          "when: first_deploy}}], rollout: {before: [web]}"),
     .change = no_record,
     .steps = "pull worker:latest@sha256:1, baseline stack shop, run django, compare stack shop, roll worker",
     .services = "web=none, worker=create"},
    {.name = "a step with a new image",
     .before = ONE STEPS(""),
     .after = ONE STEPS(""),
     .options.digest = "sha256:2",
     .steps = "pull web:latest@sha256:2, run django, roll web",
     .services = "web=update!(image)"},
    {.name = "a step with a new environment",
     .before = ONE STEPS(""),
     .after = WEB_AND("environment: {A: b}") STEPS(""),
     .steps = "pull web:latest@sha256:1, run django, roll web",
     .services = "web=update!(env A)"},
    {.name = "a step that people regret",
     .after = WEB_AND("environment: {DJANGO_MANAGEPY_MIGRATE: 'on'}")
         RELEASE("steps: [{run: {name: django, service: web, command: [manage.py, makemigrations, "
                 "--fake-initial]}}]"),
     .steps = "pull web:latest@sha256:1, network shop_default, run django, roll web",
     .services = "web=create",
     .warnings = "step django: makemigrations writes files that nobody has seen or tested; step django: "
                 "--fake-initial records migrations that did not run; service web migrates by itself when it "
                 "starts (DJANGO_MANAGEPY_MIGRATE=on), beside step django: set it to off"},
    {.name = "a step with a new secret",
     .before = WEB_AND("secrets: [key]") "secrets: {key: {file: a}}\n" STEPS(""),
     .after = WEB_AND("secrets: [key]") "secrets: {key: {file: b}}\n" STEPS(""),
     .steps = "pull web:latest@sha256:1, secret shop_key_" CONTENT_B ", run django, roll web",
     .services = "web=update!(secrets)"},
    {.name = "a step with another timeout",
     .before = ONE STEPS(""),
     .after = ONE STEPS(", timeout: 1m"),
     .steps = "pull web:latest@sha256:1, baseline stack shop, run django, compare stack shop",
     .services = "web=none"},
    {.name = "a step with another command",
     .before = ONE STEPS(""),
     .after = ONE RELEASE("steps: [{run: {name: django, service: web, command: [migrate]}}]"),
     .steps = "pull web:latest@sha256:1, baseline stack shop, run django, compare stack shop",
     .services = "web=none"},
    {.name = "a step under another name",
     .before = ONE STEPS(""),
     .after = ONE RELEASE("steps: [{run: {name: django2, service: web, command: [migrate, --noinput]}}]"),
     .steps = "pull web:latest@sha256:1, baseline stack shop, run django2, compare stack shop",
     .services = "web=none"},
    {.name = "a step whose platforms were not asked for again",
     .before = ONE STEPS(""),
     .after = ONE STEPS(""),
     .options.no_platforms = true,
     .steps = "empty",
     .services = "web=none"},
    {.name = "a step with a new check",
     .before = ONE STEPS(""),
     .after = ONE STEPS(", check: [check]"),
     .steps = "pull web:latest@sha256:1, baseline stack shop, run django, compare stack shop",
     .services = "web=none"},
    {.name = "a step that may fail now",
     .before = ONE STEPS(""),
     .after = ONE STEPS(", allow_failure: true"),
     .steps = "pull web:latest@sha256:1, baseline stack shop, run django, compare stack shop",
     .services = "web=none"},
    {.name = "a service that the step does not use changed: it runs all the same",
     .before = TWO STEPS(""),
     .after = "services: {" WEB ", worker: {image: worker, user: u, " HEALTHY "}}\n" STEPS(""),
     .steps = "pull worker:latest@sha256:1, pull web:latest@sha256:1, baseline stack shop, run django, "
              "compare stack shop, roll worker",
     .services = "web=none, worker=update!(User)"},
    {.name = "first_deploy on the first",
     .after = ONE STEPS(", when: first_deploy"),
     .steps = "pull web:latest@sha256:1, network shop_default, run django, roll web",
     .services = "web=create"},
    {.name = "first_deploy later",
     .before = ONE NO_SOAK,
     .after = ONE STEPS(", when: first_deploy"),
     .steps = "empty",
     .services = "web=none"},
    {.name = "first_deploy later, with a change",
     .before = ONE STEPS(", when: first_deploy"),
     .after = TWO STEPS(", when: first_deploy"),
     .steps = "pull worker:latest@sha256:1, run django (skipped), roll worker",
     .services = "web=none, worker=create"},
    {.name = "first_deploy becomes always",
     .before = ONE STEPS(", when: first_deploy"),
     .after = ONE STEPS(", when: always"),
     .steps = "pull web:latest@sha256:1, baseline stack shop, run django, compare stack shop",
     .services = "web=none"},
    {.name = "changed, on the first",
     .after = ONE STEPS(", when: {changed: [seed]}"),
     .steps = "pull web:latest@sha256:1, network shop_default, run django, roll web",
     .services = "web=create"},
    {.name = "changed, but not its paths",
     .before = ONE STEPS(", when: {changed: [seed]}"),
     .after = TWO STEPS(", when: {changed: [seed]}"),
     .steps = "pull worker:latest@sha256:1, run django (skipped), roll worker",
     .services = "web=none, worker=create"},
    {.name = "changed, and nothing else",
     .before = ONE STEPS(", when: {changed: [seed]}"),
     .after = ONE STEPS(", when: {changed: [seed]}"),
     .options.paths_changed = true,
     .steps = "pull web:latest@sha256:1, baseline stack shop, run django, compare stack shop",
     .services = "web=none"},
    {.name = "changed paths mean nothing to other steps",
     .before = ONE STEPS(""),
     .after = ONE STEPS(""),
     .options.paths_changed = true,
     .steps = "empty",
     .services = "web=none"},
    /* ---- relay and database ---- */
    {.name = "a check needs the relay",
     .before = ONE NO_SOAK,
     .after = WEB_AND("user: u") RELEASE("health: {web: [{http: 'http://web/'}]}"),
     .steps = "pull web:latest@sha256:1, relay shop, baseline stack shop, roll web",
     .services = "web=update!(User)"},
    {.name = "migrations: the checks are asked again",
     .before = ONE RELEASE("health: {web: [{http: 'http://web/'}]}"),
     .after =
         ONE RELEASE("health: {web: [{http: 'http://web/'}]}, steps: [{run: {name: django, service: web, "
                     "command: [x]}}]"),
     .steps = "pull web:latest@sha256:1, relay shop, baseline stack shop, run django, compare stack shop",
     .services = "web=none"},
    {.name = "no baselines",
     .before = ONE NO_SOAK,
     .after = WEB_AND("user: u") "x-release: {gate: {baseline_samples: 0, soak: 0}, health: {web: [{http: "
                                 "'http://web/'}]}}\n",
     .steps = "pull web:latest@sha256:1, relay shop, baseline stack shop (skipped), roll web",
     .services = "web=update!(User)"},
    {.name = "Swarm's monitor ends before the healthcheck can fail",
     .after =
         "services: {web: {image: web, healthcheck: {test: [CMD, x], interval: 10s, retries: 3}, deploy: "
         "{update_config: {failure_action: rollback, monitor: 29s}}}}\n" NO_SOAK,
     .steps = "pull web:latest@sha256:1, network shop_default, roll web",
     .services = "web=create",
     .warnings =
         "service web: its healthcheck needs 0m30s to fail, and update_config.monitor is 0m29s: Swarm's own "
         "rollback will not see it"},
    {.name = "it does not: defaults",
     .after = "services: {web: {image: web, healthcheck: {test: [CMD, x]}, deploy: {update_config: "
              "{failure_action: rollback, monitor: 90s}}}, api: {image: api, healthcheck: {test: [CMD, x]}, "
              "deploy: {update_config: {failure_action: rollback}}}}\n" NO_SOAK,
     .steps = "pull web:latest@sha256:1, pull api:latest@sha256:1, network shop_default, roll web, roll api",
     .services = "web=create, api=create",
     .warnings =
         "service api: its healthcheck needs 1m30s to fail, and update_config.monitor is 0m05s: Swarm's own "
         "rollback will not see it"},
    {.name = "start-first and a port of the node",
     .after =
         "services: {web: {image: web, healthcheck: {test: [CMD, x]}, ports: [{target: 80, published: 8080, "
         "mode: host}], deploy: {update_config: {order: start-first}}}}\n" NO_SOAK,
     .steps = "pull web:latest@sha256:1, network shop_default, roll web",
     .services = "web=create",
     .warnings =
         "service web: order: start-first with port 8080 in mode host: where the old task holds it the "
         "new one cannot start"},
#define PORTS(rest)                                                                                          \
    "services: {web: {image: web, healthcheck: {test: [CMD, x]}, ports: ['80:80'], " rest "}}\n" NO_SOAK
    {.name = "the only replica stops first",
     .before = PORTS(""),
     .after = PORTS("user: u"),
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update!(User)",
     .warnings =
         "service web: one replica that is stopped before the new one starts is not reachable meanwhile; "
         "update_config.order: start-first avoids that"},
    {.name = "one of two replicas stops first",
     .before = PORTS("deploy: {replicas: 2}"),
     .after = PORTS("user: u, deploy: {replicas: 2}"),
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update!(User)"},
    {.name = "the only replica starts first",
     .before = PORTS("deploy: {update_config: {order: start-first}}"),
     .after = PORTS("user: u, deploy: {update_config: {order: start-first}}"),
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update!(User)"},
    {.name = "what it has mounted is not for two",
     .before = PORTS("volumes: ['/data']"),
     .after = PORTS("user: u, volumes: ['/data']"),
     .steps = "pull web:latest@sha256:1, roll web",
     .services = "web=update!(User)"},
    {.name = "a healthcheck of what stays, for the soak",
     .before = "services: {web: {image: web}, api: {image: api, healthcheck: {test: [CMD, x]}}}\n",
     .after = "services: {web: {image: web, user: u}, api: {image: api, healthcheck: {test: [CMD, x]}}}\n",
     .steps = "pull web:latest@sha256:1, baseline stack shop, roll web, soak shop",
     .warnings = "service web has no healthcheck and no check: its update can only be seen to run, not to "
                 "work (unverified)",
     .services = "web=update!(User), api=none"},
    {.name = "a new check alone is no reason",
     .before = ONE NO_SOAK,
     .after = ONE RELEASE("health: {web: [{http: 'http://web/'}]}"),
     .steps = "empty",
     .services = "web=none"},
    {.name = "no relay on the host's network",
     .after = WEB_AND("networks: [n]") "networks: {n: {external: true, name: host}}\n" RELEASE(
         "health: {web: [{http: 'http://web/'}]}"),
     .steps = "pull web:latest@sha256:1, baseline stack shop (skipped), roll web",
     .services = "web=create"},
    {.name = "a database service",
     .after = TWO RELEASE("database: {service: worker, url_from: URL, ready_timeout: 3s}"),
     .steps = "pull worker:latest@sha256:1, pull web:latest@sha256:1, network shop_default, relay shop, "
              "before worker, ready worker, roll web",
     .services = "worker=create, web=create"},
    {.name = "a database elsewhere",
     .after = ONE RELEASE("database: {url_from: URL}"),
     .steps = "pull web:latest@sha256:1, network shop_default, ready server, roll web",
     .services = "web=create"},
};

static void load(const char *name, const char *text, struct manifest *ret)
{
    struct error err = {0};
    if (fixture_load(text, files, NULL, 0, ret, &err) < 0)
        fail_msg("%s: %s", name, err.text);
}

/* Plan, do it, and the world is as the file says. */
static void deploy(struct world *w, const char *name, const struct manifest *m,
                   const struct world_options *options)
{
    struct plan plan = {0};
    struct error err = {0};
    if (world_plan(w, m, options, &plan, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    world_deploy(w, m, &plan);
    plan_release(&plan);
}

static void expect_plan(const struct transition *t, const struct plan *plan)
{
    cleanup_str struct str steps = {0}, services = {0}, warnings = {0};
    say_steps(&steps, plan);
    say_services(&services, plan);
    say_warnings(&warnings, plan);
    if (t->steps)
        expect_text(t->name, str_text(&steps), t->steps);
    expect_text(t->name, str_text(&services), t->services);
    expect_text(t->name, str_text(&warnings), t->warnings ? t->warnings : "");
    assert_null(strstr(plan->rows.plan, "hunter2")); /* values are never shown */
}

/* What is planned is done; then nothing is left to do, whatever it was. */
static void expect_converged(const struct transition *t, struct world *w, const struct manifest *m)
{
    struct plan plan = {0};
    struct error err = {0};
    struct world_options options = t->options;
    deploy(w, t->name, m, &options);
    options.paths_changed = false;
    options.commit = COMMIT_2;
    if (world_plan(w, m, &options, &plan, &err) < 0)
        fail_msg("%s: again: %s", t->name, err.text);
    if (!plan.empty)
        fail_msg("%s: not empty when done: %s", t->name, plan.rows.plan);
    plan_release(&plan);
}

static void transitions_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(transitions); i++) {
        const struct transition *t = &transitions[i];
        struct manifest before = {0}, after = {0};
        struct world w;
        struct plan plan = {0};
        struct error err = {0};
        world_init(&w);
        load(t->name, t->after, &after);
        if (t->before) {
            load(t->name, t->before, &before);
            deploy(&w, t->name, &before, &(struct world_options){0});
        }
        if (t->change)
            t->change(&w);
        int r = world_plan(&w, &after, &t->options, &plan, &err);
        if (t->services && r < 0)
            fail_msg("%s: %s", t->name, err.text);
        if (!t->services) {
            assert_int_equal(r, -1);
            assert_int_equal(err.kind, ERR_INVALID);
            expect_text(t->name, err.text, t->steps);
        } else {
            expect_plan(t, &plan);
            plan_release(&plan);
            expect_converged(t, &w, &after);
        }
        world_release(&w);
        manifest_release(&before);
        manifest_release(&after);
    }
}

static const char everything_text[] =
    "services:\n"
    "  db: {image: db, " HEALTHY ", networks: [back]}\n"
    "  web: {image: web, configs: [conf], networks: [back, front, default]}\n"
    "networks: {back: {name: backbone}, front: {attachable: true}}\n"
    "configs: {conf: {file: a}}\n"
    "secrets: {key: {file: b}}\n"
    "x-release:\n"
    "  database: {service: db, url_from: URL, ready_timeout: 3s}\n"
    "  steps: [{run: {name: django, service: web, command: [migrate, --noinput], check: [check], timeout: "
    "1m, allow_failure: true}},\n"
    "          {run: {name: seed, service: db, command: [s], when: {changed: [x]}}}]\n"
    "  health: {web: [{http: 'http://web/'}]}\n";

/* From one stack file to another, whatever they are: then there is nothing left to do. false: the plan is
 * refused */
static bool converges(const struct manifest *before, const struct manifest *after)
{
    const struct transition t = {.name = "any to any"};
    struct plan plan = {0};
    struct error err = {0};
    struct world w;
    world_init(&w);
    outside_network(&w);
    external_objects(&w);
    deploy(&w, t.name, before, &(struct world_options){0});
    int r = world_plan(&w, after, &t.options, &plan, &err);
    if (r == 0) {
        plan_release(&plan);
        expect_converged(&t, &w, after);
    }
    world_release(&w);
    return r == 0;
}

static void any_to_any(void **state)
{
    (void)state;
    enum { N = ARRAY_SIZE(transitions) + 1 };
    cleanup_json json_t *seen = json_object();
    struct manifest m[N] = {0};
    unsigned refused = 0, done = 0;
    size_t n = 0;
    for (size_t i = 0; i < N; i++) {
        const char *text = i + 1 < N ? transitions[i].after : everything_text;
        if (!json_object_get(seen, text))
            load("any to any", text, &m[n++]);
        json_object_set_new(seen, text, json_true());
    }
    for (size_t from = 0; from < n; from++)
        for (size_t to = from % 5; to < n; to += 5) { /* a part of them: it is slow with sanitizers */
            bool ok = converges(&m[from], &m[to]);
            done += ok;
            refused += !ok;
        }
    for (size_t i = 0; i < n; i++)
        manifest_release(&m[i]);
    print_message("# %u ways, %u refused\n", done, refused);
    assert_true(done > 10 * refused);
}

/* ---- secrets and configs over time ---- */

static void say_names(struct str *out, const json_t *list)
{
    const json_t *item;
    size_t i;
    json_array_foreach (list, i, item) {
        str_printf(out, "%s%s", i ? " " : "", json_path_string(item, "Spec", "Name", NULL));
    }
}

static const char *refers_to(const struct world *w, const char *list, const char *member)
{
    const json_t *spec = json_object_get(world_find(w->observed.services, "shop_web"), "Spec");
    const json_t *references = json_path(spec, "TaskTemplate", "ContainerSpec", list, NULL);
    return json_path_string(json_array_get(references, 0), member, NULL);
}

/*
 * The plain name stays with its first content; later contents get names of their own, and go when neither the
 * present nor the last success needs them.
 */
static void rotation(void **state)
{
    (void)state;
    static const struct {
        const char *file, *refers, *exist;
    } rounds[] = {
        {"a", "", ""},
        {"b", "_" CONTENT_B, " shop_X_" CONTENT_B},
        {"c", "_" CONTENT_C, " shop_X_" CONTENT_B " shop_X_" CONTENT_C},
        {"c", "_" CONTENT_C, " shop_X_" CONTENT_B " shop_X_" CONTENT_C}, /* nothing to do, nothing pruned */
        {"a", "", " shop_X_" CONTENT_C},
        {"b", "_" CONTENT_B, " shop_X_" CONTENT_B},
    };
    static const struct {
        const char *kind, *list, *member, *name, *text;
    } kinds[] = {{"secret", "Secrets", "SecretName", "shop_key", SECRET("%s")},
                 {"config", "Configs", "ConfigName", "shop_conf", CONFIG("%s")}};
    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        struct world w;
        world_init(&w);
        const json_t *list = k == 0 ? w.observed.secrets : w.observed.configs;
        for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
            cleanup_arena struct arena arena = {0};
            cleanup_str struct str want = {0}, have = {0};
            struct manifest m = {0};
            const char *name = arena_printf(&arena, "%s of round %zu", kinds[k].kind, i);
            const char *at = strstr(kinds[k].text, "%s");
            load(name,
                 arena_printf(&arena, "%.*s%s%s", (int)(at - kinds[k].text), kinds[k].text, rounds[i].file,
                              at + 2),
                 &m);
            deploy(&w, name, &m, &(struct world_options){.commit = i % 2 ? COMMIT_1 : COMMIT_2});
            expect_text(name, refers_to(&w, kinds[k].list, kinds[k].member),
                        arena_printf(&arena, "%s%s", kinds[k].name, rounds[i].refers));
            say_names(&have, list);
            str_append(&want, kinds[k].name);
            for (const char *p = rounds[i].exist; *p; p++)
                if (str_starts(p, "shop_X")) {
                    str_append(&want, kinds[k].name);
                    p += strlen("shop_X") - 1;
                } else {
                    str_append_char(&want, *p);
                }
            expect_text(name, str_text(&have), str_text(&want));
            manifest_release(&m);
        }
        world_release(&w);
    }
}

/* The same content with other labels is the same object: it gets the labels, as `docker stack deploy` does
 * it. */
static void labels_of_objects(void **state)
{
    (void)state;
    static const struct {
        const char *labels, *action;
    } rounds[] = {{"{}", "create"},
                  {"{a: '1'}", "label"},
                  {"{a: '1'}", "none"},
                  {"{b: '1'}", "label"},
                  {"{}", "label"}};
    static const char *const texts[] = {"configs: {conf: {file: b, labels: ",
                                        "secrets: {key: {file: b, labels: "};
    for (size_t k = 0; k < ARRAY_SIZE(texts); k++) {
        struct world w;
        world_init(&w);
        for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
            cleanup_arena struct arena arena = {0};
            struct manifest m = {0};
            struct plan plan = {0};
            struct error err = {0};
            const char *name = arena_printf(&arena, "%.7s, round %zu", texts[k], i);
            load(name,
                 arena_printf(&arena, "version: '3.8'\n%s%s}}\nservices: {}\n", texts[k], rounds[i].labels),
                 &m);
            assert_int_equal(world_plan(&w, &m, &(struct world_options){0}, &plan, &err), 0);
            const char *action =
                json_path_string(json_array_get(json_object_get(plan.json, "objects"), 0), "action", NULL);
            expect_text(name, action ? action : "none", rounds[i].action);
            world_deploy(&w, &m, &plan);
            assert_int_equal(json_array_size(k ? w.observed.secrets : w.observed.configs), 1);
            plan_release(&plan);
            manifest_release(&m);
        }
        world_release(&w);
    }
}

static void a_service_of_someone_else(void **state)
{
    (void)state;
    struct manifest m = {0};
    struct plan plan = {0};
    struct error err = {0};
    struct world w;
    world_init(&w);
    w.observed.strangers =
        json_pack("[{s:s, s:{s:s, s:{}}}]", "ID", "x", "Spec", "Name", "shop_web", "Labels");
    load("stranger", "version: '3.8'\nservices:\n  web: {image: a}\n", &m);
    assert_int_equal(world_plan(&w, &m, &(struct world_options){0}, &plan, &err), -1);
    expect_text(
        "stranger", err.text,
        "stack.yml:3:8: services.web: a service named shop_web exists and does not belong to this stack; "
        "rename one of the two, or remove it (docker service rm shop_web)");
    manifest_release(&m);
    world_release(&w);
}

/* Swarm would take it, end the tasks that run, and start none. */
static void nowhere_to_run(void **state)
{
    (void)state;
    struct manifest m = {0};
    struct plan plan = {0};
    struct error err = {0};
    struct world w;
    world_init(&w);
    w.observed.nodes = json_pack("[{s:s, s:{s:s, s:{}}}]", "ID", "n1", "Spec", "Role", "manager", "Labels");
    load(
        "placement",
        "version: '3.8'\nservices:\n  web: {image: a, deploy: {placement: {constraints: [node.role==manager, "
        "node.labels.gpu==yes]}}}\n",
        &m);
    assert_int_equal(world_plan(&w, &m, &(struct world_options){0}, &plan, &err), -1);
    expect_text("placement", err.text,
                "stack.yml:3:8: deploy.placement.constraints: no node of the swarm meets the constraints of "
                "service web (node.role==manager, node.labels.gpu==yes): Swarm would end its tasks and start "
                "none");
    json_object_set_new(
        json_object_get(json_object_get(json_array_get(w.observed.nodes, 0), "Spec"), "Labels"), "gpu",
        json_string("yes"));
    assert_int_equal(world_plan(&w, &m, &(struct world_options){0}, &plan, &err), 0);
    plan_release(&plan);
    manifest_release(&m);
    world_release(&w);
}

static void names_that_are_taken(void **state)
{
    (void)state;
    struct manifest m = {0};
    struct plan plan = {0};
    struct error err = {0};
    struct world w;
    /* a config with the name of our content, and other content */
    world_init(&w);
    world_put_blob(&w, w.observed.configs, "shop_conf", "eA==", NULL, NULL);
    world_put_blob(&w, w.observed.configs, "shop_conf_" CONTENT_B, "eA==", NULL, NULL);
    load("config", CONFIG("b"), &m);
    assert_int_equal(world_plan(&w, &m, &(struct world_options){0}, &plan, &err), -1);
    expect_text("config", err.text,
                "stack.yml:2:17: config: both shop_conf and shop_conf_" CONTENT_B
                " exist and hold other content; give the config another name");
    assert_null(plan.json);
    manifest_release(&m);
    world_release(&w);
    /* a secret with the name of our content, labelled by another installation: the name is as good as the
     * label */
    world_init(&w);
    world_put_blob(&w, w.observed.secrets, "shop_key", NULL, "shop", "other");
    world_put_blob(&w, w.observed.secrets, "shop_key_" CONTENT_B, NULL, "shop", "other");
    load("secret", SECRET("b"), &m);
    deploy(&w, "secret", &m, &(struct world_options){0});
    assert_string_equal(refers_to(&w, "Secrets", "SecretName"), "shop_key_" CONTENT_B);
    assert_int_equal(json_array_size(w.observed.secrets), 2);
    manifest_release(&m);
    world_release(&w);
}

/* Swarm's names have at most 64 bytes. */
static void long_names(void **state)
{
    (void)state;
    static const char text[] = "services: {web: {image: web, configs: [%s]}}\nconfigs: {%s: {file: %s}}\n";
    cleanup_arena struct arena arena = {0};
    const char *name = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"; /* shop_… has 62 */
    struct world w;
    world_init(&w);
    for (const char *file = "ab"; *file; file++) {
        struct manifest m = {0};
        load("long", arena_printf(&arena, text, name, name, arena_strndup(&arena, file, 1)), &m);
        deploy(&w, "long", &m, &(struct world_options){0});
        assert_true(strlen(refers_to(&w, "Configs", "ConfigName")) <= 64);
        manifest_release(&m);
    }
    expect_text("long", refers_to(&w, "Configs", "ConfigName"),
                arena_printf(&arena, "shop_%.46s_" CONTENT_B, name));
    world_release(&w);
}

/* ---- what the rows hold ---- */

static const struct step *find_step(const struct plan *plan, const char *kind, const char *name)
{
    for (size_t i = 0; i < plan->rows.n_steps; i++)
        if (str_eq(plan->rows.steps[i].kind, kind) && str_eq(plan->rows.steps[i].name, name))
            return &plan->rows.steps[i];
    fail_msg("no step %s %s", kind, name);
    return NULL;
}

static void expect_params(const struct plan *plan, const char *kind, const char *name, const char *want)
{
    cleanup_json json_t *value = fixture_json(want);
    cleanup_free char *text = spec_text(value);
    expect_text(name, find_step(plan, kind, name)->params, text);
}

#define SPEC_DB                                                                                              \
    "{'Name': 'shop_db', 'Labels': {'com.docker.stack.namespace': 'shop', 'com.docker.stack.image': 'db'},"  \
    " 'Mode': {'Replicated': {}}, 'EndpointSpec': {}, 'TaskTemplate': {'ContainerSpec': {'Image': "          \
    "'db:latest@sha256:1', 'Labels': {'com.docker.stack.namespace': 'shop'}, 'Healthcheck': {'Test': "       \
    "['CMD', 'x']}, 'Privileges': {'CredentialSpec': null, 'SELinuxContext': null, 'NoNewPrivileges': "      \
    "false}}, 'Resources': {}, 'ForceUpdate': 0, 'Placement': {'Platforms': [{'Architecture': 'amd64', "     \
    "'OS': 'linux'}]}, 'Networks': [{'Target': 'backbone', 'Aliases': ['db']}]}}"

static void rows(void **state)
{
    (void)state;
    cleanup_arena struct arena arena = {0};
    struct manifest m = {0};
    struct plan plan = {0};
    struct error err = {0};
    struct world w;
    char hex[SHA256_HEX_SIZE];
    world_init(&w);
    load("everything", everything_text, &m);
    if (world_plan(&w, &m, &(struct world_options){0}, &plan, &err) < 0)
        fail_msg("%s", err.text);
    expect_params(&plan, STEP_PULL, "web:latest", "{'image': 'web:latest@sha256:1'}");
    expect_params(&plan, STEP_NETWORK, "shop_front",
                  "{'name': 'shop_front', 'body': {'Name': 'shop_front', 'CheckDuplicate': true, 'Driver': "
                  "'overlay', 'Scope': '', 'IPAM': null, 'Internal': "
                  "false, 'Attachable': true, 'Ingress': false, 'ConfigOnly': false, 'ConfigFrom': null, "
                  "'Options': null, 'Labels': "
                  "{'com.docker.stack.namespace': 'shop'}}}");
    sha256_salted_hex("salt", "content a", strlen("content a"), hex);
    expect_params(&plan, STEP_CONFIG, "shop_conf",
                  arena_printf(&arena,
                               "{'key': 'conf', 'name': 'shop_conf', 'action': 'create', 'content': '%s'}",
                               hex));
    sha256_salted_hex("salt", "content b", strlen("content b"), hex);
    expect_params(
        &plan, STEP_SECRET, "shop_key",
        arena_printf(&arena, "{'key': 'key', 'name': 'shop_key', 'action': 'create', 'content': '%s'}", hex));
    expect_params(
        &plan, STEP_BEFORE, "db",
        "{'service': 'db', 'name': 'shop_db', 'action': 'create', 'id': null, 'version': 0, 'spec': " SPEC_DB
        "}");
    expect_params(&plan, STEP_RELAY, "shop", "{'networks': ['backbone', 'shop_default', 'shop_front']}");
    expect_params(&plan, STEP_READY, "db", "{'name': 'shop_db', 'url_from': 'URL', 'timeout_us': 3000000}");
    expect_params(&plan, STEP_SOAK, "shop", "{}");

    cleanup_json json_t *run = json_loads(find_step(&plan, STEP_RUN, "django")->params, 0, NULL);
    static const char *const command[] = {"migrate", "--noinput", NULL}, *const check[] = {"check", NULL};
    cleanup_json json_t *roll = json_loads(find_step(&plan, STEP_ROLL, "web")->params, 0, NULL);
    cleanup_json json_t *job =
        job_spec(json_object_get(roll, "spec"), "shop_mig_django_111111111111", command);
    cleanup_json json_t *check_job =
        job_spec(json_object_get(roll, "spec"), "shop_chk_django_111111111111", check);
    json_t *env = json_pack("[s, s]", "PGAPPNAME=deploy-agent/shop/django", "PGOPTIONS=-c lock_timeout=5s");
    json_object_set(json_object_get(json_object_get(job, "TaskTemplate"), "ContainerSpec"), "Env", env);
    json_object_set_new(json_object_get(json_object_get(check_job, "TaskTemplate"), "ContainerSpec"), "Env",
                        env);
    cleanup_json json_t *want =
        json_pack("{s:s, s:s, s:O, s:O, s:i, s:b}", "step", "django", "service", "web", "job", job, "check",
                  check_job, "timeout_us", 60000000, "allow_failure", 1);
    assert_true(json_equal(run, want));
    cleanup_json json_t *seed = json_loads(find_step(&plan, STEP_RUN, "seed")->params, 0, NULL);
    assert_true(json_is_null(json_object_get(seed, "check")));

    assert_int_equal(plan.rows.n_migrations, 2);
    assert_string_equal(plan.rows.migrations[0].step, "django");
    assert_string_equal(plan.rows.migrations[0].version, "111111111111");
    assert_string_equal(plan.rows.migrations[0].name, "migrate --noinput");
    assert_string_equal(plan.rows.migrations[0].state, "pending");
    assert_int_equal(plan.rows.n_images, 2);
    assert_string_equal(plan.rows.images[0].service, "db");
    assert_string_equal(plan.rows.images[0].reference, "db:latest");
    assert_string_equal(plan.rows.images[0].digest, "sha256:1");
    assert_int_equal(plan.rows.n_services, 2);
    assert_string_equal(plan.rows.services[0].name, "shop_db");
    assert_string_equal(plan.rows.services[0].action, "create");
    assert_string_equal(plan.rows.services[0].state, "pending");
    assert_null(plan.rows.services[0].before);
    world_deploy(&w, &m, &plan);
    plan_release(&plan);
    manifest_release(&m);
    world_release(&w);
}

/* An update says what was there before, exactly, and which index the plan was made from. */
static void rows_of_an_update(void **state)
{
    (void)state;
    struct manifest before = {0}, after = {0};
    struct plan plan = {0};
    struct error err = {0};
    struct world w;
    world_init(&w);
    load("before", TWO, &before);
    load("after", ONE, &after);
    deploy(&w, "before", &before, &(struct world_options){0});
    if (world_plan(&w, &after, &(struct world_options){.digest = "sha256:2"}, &plan, &err) < 0)
        fail_msg("%s", err.text);
    const json_t *web = world_find(w.observed.services, "shop_web"),
                 *worker = world_find(w.observed.services, "shop_worker");
    cleanup_json json_t *roll = json_loads(find_step(&plan, STEP_ROLL, "web")->params, 0, NULL);
    cleanup_json json_t *prune = json_loads(find_step(&plan, STEP_PRUNE, "shop")->params, 0, NULL);
    cleanup_json json_t *want =
        json_pack("{s:[{s:s, s:s, s:O}], s:[], s:[]}", "services", "service", "worker", "name", "shop_worker",
                  "id", json_object_get(worker, "ID"), "secrets", "configs");
    assert_true(json_equal(prune, want));
    assert_string_equal(json_path_string(roll, "action", NULL), "update");
    assert_string_equal(json_path_string(roll, "id", NULL), json_path_string(web, "ID", NULL));
    assert_int_equal(json_path_integer(roll, 0, "version", NULL, NULL), 2);
    for (size_t i = 0; i < plan.rows.n_services; i++) {
        const json_t *live = world_find(w.observed.services, plan.rows.services[i].name);
        cleanup_json json_t *spec = json_loads(plan.rows.services[i].before, 0, NULL);
        assert_true(json_equal(spec, json_object_get(live, "Spec")));
    }
    plan_release(&plan);
    manifest_release(&before);
    manifest_release(&after);
    world_release(&w);
}

/* What goes back when the spec that runs was left by a deployment that did not see it work: never that. */
static void before_of_what_was_left(void **state)
{
    (void)state;
    static const struct {
        const char *name, *live, *previous; /* labels; NULL: there is none before */
        const char *recorded;               /* label of what live's own deployment took the place of */
        const char *want;
    } cases[] = {
        {"the engine has kept it", "h/9", "h/1", NULL, "h/1"},
        {"so has the record", "h/9", "h/1", "h/1", "h/1"},
        {"two tries: the engine has kept the first, which is of no deployment that runs", "h/9", "h/8", "h/1",
         "h/1"},
        {"two tries, and both are known as such", "h/9", "h/0", "h/1", "h/1"},
        {"taken back by Swarm: the engine has kept none", "h/9", NULL, "h/1", "h/1"},
        {"nothing else is known", "h/9", NULL, NULL, "h/9"},
        {"nothing but another try", "h/9", "h/0", NULL, "h/9"},
        {"seen to work: what runs", "h/2", "h/1", "h/1", "h/2"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct manifest m = {0};
        struct plan plan = {0};
        struct error err = {0};
        struct world w;
        world_init(&w);
        load(cases[i].name, ONE, &m);
        deploy(&w, cases[i].name, &m, &(struct world_options){0});
        json_t *web = world_find(w.observed.services, "shop_web"), *spec = json_object_get(web, "Spec");
        cleanup_json json_t *other = json_deep_copy(spec);
        w.observed.doubtful = json_pack("{s:{}, s:{}}", "h/9", "h/0");
        if (cases[i].recorded) {
            json_t *labels = json_object_get(other, "Labels");
            json_object_set_new(labels, LABEL_DEPLOYMENT, json_string(cases[i].recorded));
            json_object_set_new(json_object_get(w.observed.doubtful, "h/9"), "shop_web",
                                json_deep_copy(other));
        }
        if (cases[i].previous) {
            json_t *labels = json_object_get(other, "Labels");
            json_object_set_new(labels, LABEL_DEPLOYMENT, json_string(cases[i].previous));
            json_object_set(web, "PreviousSpec", other);
        }
        json_object_set_new(json_object_get(spec, "Labels"), LABEL_DEPLOYMENT, json_string(cases[i].live));
        if (world_plan(&w, &m, &(struct world_options){0}, &plan, &err) < 0)
            fail_msg("%s: %s", cases[i].name, err.text);
        cleanup_json json_t *before = json_loads(plan.rows.services[0].before, 0, NULL);
        if (!str_eq(spec_label(before, LABEL_DEPLOYMENT), cases[i].want))
            fail_msg("%s: %s, not %s", cases[i].name, spec_label(before, LABEL_DEPLOYMENT), cases[i].want);
        plan_release(&plan);
        manifest_release(&m);
        world_release(&w);
    }
}

/* An empty plan has rows that keep the fingerprints, and shows no steps. */
static void rows_of_nothing(void **state)
{
    (void)state;
    struct manifest m = {0};
    struct plan plan = {0};
    struct error err = {0};
    struct world w;
    world_init(&w);
    load("m", everything_text, &m);
    deploy(&w, "m", &m, &(struct world_options){0});
    if (world_plan(&w, &m, &(struct world_options){.commit = COMMIT_2}, &plan, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(plan.empty);
    assert_int_equal(plan.rows.n_steps, 3);
    assert_int_equal(plan.rows.n_migrations, 0);
    for (size_t i = 0; i < plan.rows.n_steps; i++) {
        assert_string_equal(plan.rows.steps[i].kind, i < 2 ? STEP_RUN : STEP_BASELINE);
        assert_int_equal(plan.rows.steps[i].state, STEP_SKIPPED);
        assert_string_equal(plan.rows.steps[i].fingerprint,
                            json_path_string(w.fingerprints, plan.rows.steps[i].name, NULL));
    }
    assert_int_equal(json_array_size(json_object_get(plan.json, "steps")), 0);
    plan_release(&plan);
    manifest_release(&m);
    world_release(&w);
}

/* ---- properties ---- */

static void expect_equal_plans(const struct plan *a, const struct plan *b)
{
    assert_string_equal(a->rows.plan, b->rows.plan);
    assert_string_equal(a->rows.warnings, b->rows.warnings);
    assert_int_equal(a->rows.n_steps, b->rows.n_steps);
    for (size_t i = 0; i < a->rows.n_steps; i++) {
        assert_string_equal(a->rows.steps[i].kind, b->rows.steps[i].kind);
        assert_string_equal(a->rows.steps[i].name, b->rows.steps[i].name);
        assert_string_equal(a->rows.steps[i].params, b->rows.steps[i].params);
        assert_true(str_eq(a->rows.steps[i].fingerprint, b->rows.steps[i].fingerprint));
    }
}

/* The same world gives the same plan, to the byte, also when the world has been through JSON. */
static void deterministic(void **state)
{
    (void)state;
    struct manifest first = {0}, second = {0}, again = {0};
    struct plan a = {0}, b = {0};
    struct error err = {0};
    struct world w;
    world_init(&w);
    load("first", SECRET("a"), &first);
    load("second", everything_text, &second);
    load("again", everything_text, &again);
    deploy(&w, "first", &first, &(struct world_options){0});
    assert_int_equal(world_plan(&w, &second, &(struct world_options){0}, &a, &err), 0);
    json_t **lists[] = {&w.observed.services, &w.observed.networks, &w.observed.secrets, &w.observed.configs,
                        &w.retained};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        cleanup_free char *text = json_dumps(*lists[i], JSON_COMPACT | JSON_SORT_KEYS);
        json_decref(*lists[i]);
        *lists[i] = json_loads(text, 0, NULL);
    }
    assert_int_equal(world_plan(&w, &again, &(struct world_options){0}, &b, &err), 0);
    expect_equal_plans(&a, &b);
    cleanup_json json_t *shown = json_loads(a.rows.plan, 0, NULL);
    assert_true(json_equal(shown, a.json));
    plan_release(&a);
    plan_release(&b);
    manifest_release(&first);
    manifest_release(&second);
    manifest_release(&again);
    world_release(&w);
}

/* A stack of a thousand services, configs and checks; the second plan has to see that nothing changed. */
static void a_thousand_services(void **state)
{
    (void)state;
    enum { N = 1000 };
    cleanup_str struct str text = {0};
    struct manifest m = {0};
    struct plan plan = {0};
    struct error err = {0};
    struct world w;
    world_init(&w);
    str_append(&text, "services:\n");
    for (int i = 0; i < N; i++)
        str_printf(&text,
                   "  s%d: {image: 'i:%d', environment: {A: '1', B: '2', C: '3', D: '4', E: '5'}, configs: "
                   "[c%d], networks: [n%d], "
                   "deploy: {labels: {a: b, c: d}, resources: {limits: {memory: 100M}}, update_config: "
                   "{order: start-first}}, " HEALTHY "}\n",
                   i, i, i, i % 100);
    str_append(&text, "networks:\n");
    for (int i = 0; i < 100; i++)
        str_printf(&text, "  n%d: {}\n", i);
    str_append(&text, "configs:\n");
    for (int i = 0; i < N; i++)
        str_printf(&text, "  c%d: {file: a}\n", i);
    load("thousand", str_text(&text), &m);
    for (int round = 0; round < 3; round++) {
        clock_t started = clock(); /* of this process alone */
        if (world_plan(&w, &m, &(struct world_options){.digest = round == 2 ? "sha256:2" : NULL}, &plan,
                       &err) < 0)
            fail_msg("%s", err.text);
        int64_t took_ms = (clock() - started) * 1000 / CLOCKS_PER_SEC;
        print_message("# %s: %lld ms\n",
                      round == 0   ? "first"
                      : round == 1 ? "nothing to do"
                                   : "every image moved",
                      (long long)took_ms);
        assert_int_equal(plan.empty, round == 1);
        assert_true(took_ms < 5000); /* a quadratic one takes minutes with sanitizers */
        if (round == 0)
            world_deploy(&w, &m, &plan);
        plan_release(&plan);
    }
    manifest_release(&m);
    world_release(&w);
}

/* ---- the way back ---- */

static void record_success(struct arena *arena, const struct world *w, const struct plan *plan,
                           struct service_record *ret)
{
    for (size_t i = 0; i < plan->rows.n_services; i++) {
        const struct service_record *r = &plan->rows.services[i];
        const json_t *live = world_find(w->observed.services, r->name);
        cleanup_free char *after = live ? spec_text(json_object_get(live, "Spec")) : NULL;
        ret[i] = (struct service_record){.service = arena_strdup(arena, r->service),
                                         .name = arena_strdup(arena, r->name),
                                         .action = r->action,
                                         .after = arena_strdup(arena, after)};
    }
}

static void rollback(void **state)
{
    (void)state;
    static const struct {
        const char *name, *target, *present;
        void (*change)(struct world *);
        const char *steps, *services; /* services NULL: refused */
    } cases[] = {
        {"as it is", TWO, TWO, NULL, "empty", "web=none, worker=none"},
        {"image and environment", ONE,
         "services: {web: {image: 'web:2', environment: {A: b}, " HEALTHY "}}\n", NULL, "roll web",
         "web=update!(image, env A removed)"},
        {"a service that is gone comes back", TWO, ONE, NULL, "roll worker", "web=none, worker=create"},
        {"a service that came since goes", ONE, TWO, NULL, "prune shop", "web=none, worker=remove"},
        {"a service that came since stays (prune = no)", ONE, TWO, prune_off, "empty", "web=none"},
        {"a service that somebody else made stays", ONE, TWO, without_our_labels, "empty", "web=none"},
        {"a secret of before", SECRET("a"), SECRET("b"), NULL, "roll web", "web=update!(secrets)"},
        {"a secret that is gone", SECRET("a"), SECRET("b"), plain_secret_removed,
         "deployment #7 cannot be gone back to: secret shop_key of service web does not exist any more",
         NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        cleanup_str struct str steps = {0}, services = {0};
        struct manifest target = {0}, present = {0};
        struct plan plan = {0};
        struct error err = {0};
        struct world w;
        world_init(&w);
        load(cases[i].name, cases[i].target, &target);
        load(cases[i].name, cases[i].present, &present);
        if (world_plan(&w, &target, &(struct world_options){0}, &plan, &err) < 0)
            fail_msg("%s", err.text);
        world_deploy(&w, &target, &plan);
        struct service_record *records = arena_array(&arena, plan.rows.n_services, sizeof *records);
        record_success(&arena, &w, &plan, records);
        size_t n = plan.rows.n_services;
        plan_release(&plan);
        deploy(&w, cases[i].name, &present, &(struct world_options){0});
        if (cases[i].change)
            cases[i].change(&w);
        const struct image_record images[] = {{"web", "web:latest", "sha256:1"}};
        const struct rollback_input input = {.stack = "shop",
                                             .observed = &w.observed,
                                             .services = records,
                                             .n_services = n,
                                             .images = images,
                                             .n_images = 1,
                                             .commit = COMMIT_1,
                                             .target_id = 7,
                                             .prune = !w.no_prune};
        int r = plan_make_rollback(&input, &plan, &err);
        if (!cases[i].services) {
            assert_int_equal(r, -1);
            expect_text(cases[i].name, err.text, cases[i].steps);
        } else {
            if (r < 0)
                fail_msg("%s: %s", cases[i].name, err.text);
            say_steps(&steps, &plan);
            say_services(&services, &plan);
            expect_text(cases[i].name, str_text(&steps), cases[i].steps);
            expect_text(cases[i].name, str_text(&services), cases[i].services);
            assert_int_equal(plan.rows.n_images, 1);
            plan_release(&plan);
        }
        world_release(&w);
        manifest_release(&target);
        manifest_release(&present);
    }
}

/* A service whose spec was not recorded is neither changed nor removed; a broken record is said. */
static void rollback_without_record(void **state)
{
    (void)state;
    struct manifest m = {0};
    struct plan plan = {0};
    struct error err = {0};
    struct world w;
    world_init(&w);
    load("m", TWO, &m);
    deploy(&w, "m", &m, &(struct world_options){0});
    struct service_record records[] = {
        {.service = "web", .name = "shop_web", .action = "create"},
        {.service = "worker", .name = "shop_worker", .action = "none", .after = NULL},
        {.service = "old", .name = "shop_old", .action = "remove"}};
    struct rollback_input input = {.stack = "shop",
                                   .observed = &w.observed,
                                   .services = records,
                                   .n_services = 3,
                                   .commit = COMMIT_1,
                                   .target_id = 7};
    assert_int_equal(plan_make_rollback(&input, &plan, &err), 0);
    assert_true(plan.empty);
    plan_release(&plan);
    records[1].after = "{";
    assert_int_equal(plan_make_rollback(&input, &plan, &err), -1);
    expect_text("broken", err.text, "the record of service worker in deployment #7 cannot be read");
    manifest_release(&m);
    world_release(&w);
}

/* Context for verdicts, in the plan and with the step that rolls: it changes nothing of what is done. */
static void failures_before(void **state)
{
    (void)state;
    struct manifest m, next;
    struct plan plan;
    struct world w;
    struct error err = {0};
    cleanup_arena struct arena arena = {0};
    world_init(&w);
    load("m", TWO, &m);
    load("next",
         "services: {web: {image: web, labels: {a: b}, " HEALTHY "}, worker: {image: worker, " HEALTHY "}}\n",
         &next);
    deploy(&w, "m", &m, &(struct world_options){0});
    w.observed.at_us = INT64_C(1787493600) * 1000000; /* 2026-08-23T14:00:00Z */
    w.observed.tasks = json_array();
    for (size_t i = 0; i < 2; i++)
        json_array_append_new(w.observed.tasks,
                              json_pack("{s:O, s:{s:s, s:s}}", "ServiceID",
                                        json_object_get(world_find(w.observed.services, "shop_web"), "ID"),
                                        "Status", "State", "failed", "Timestamp",
                                        i ? "2026-08-23T13:49:59Z" : "2026-08-23T13:50:00Z"));
    assert_int_equal(world_plan(&w, &m, &(struct world_options){0}, &plan, &err), 0);
    assert_true(plan.empty);
    plan_release(&plan);
    assert_int_equal(world_plan(&w, &next, &(struct world_options){0}, &plan, &err), 0);
    cleanup_json json_t *roll = json_loads(find_step(&plan, STEP_ROLL, "web")->params, 0, NULL);
    assert_int_equal(json_path_integer(roll, -1, "failures_before", NULL, NULL), 1);
    const char *said = plan_text(&arena, plan.json);
    assert_non_null(strstr(said, "  web: 1 task failure in the 10 minutes before\n"));
    assert_null(strstr(said, "worker: "));
    plan_release(&plan);
    manifest_release(&m);
    manifest_release(&next);
    world_release(&w);
}

/* ---- the text ---- */

static void text(void **state)
{
    (void)state;
    static const char plan_json[] = "{'stack': 'shop', 'commit': '9f3c1abcdef0', 'empty': false, 'objects': "
                                    "[{'kind': 'secret', 'name': 'shop_key', 'action': "
                                    "'create'}], 'migrations': [{'step': 'django', 'service': 'web', "
                                    "'command': 'migrate --noinput', 'skipped': null},"
                                    "{'step': 'seed', 'service': 'web', 'command': 'loaddata', 'skipped': "
                                    "'only on the first deployment'}], 'services': ["
                                    "{'service': 'web', 'action': 'update', 'restarts': true, 'changes': "
                                    "['image', 'env AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'env "
                                    "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB', 'replicas 2 → 3']}, "
                                    "{'service': 'api', 'action': 'update', 'restarts': false, "
                                    "'changes': ['label a']}, {'service': 'new', 'action': 'create', "
                                    "'restarts': false, 'changes': []}, {'service': 'old', "
                                    "'action': 'remove', 'restarts': false, 'changes': []}, {'service': 'x', "
                                    "'action': 'none', 'failures_before': 0}, {'service': 'y', "
                                    "'action': 'none', 'failures_before': 3}], "
                                    "'warnings': ['service web has no healthcheck and no check: its update "
                                    "can only be seen to run, not to work (unverified)', "
                                    "'odd\\u001b[31m\\nlines']}";
    static const char want[] =
        "Stack shop at 9f3c1ab: would change\n"
        "  secret shop_key: create\n"
        "  migration django: migrate --noinput\n"
        "  migration seed: loaddata, skipped: only on the first deployment\n"
        "  service web: update\n"
        "      image, env AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA, env BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB,\n"
        "      replicas 2 → 3\n"
        "  service api: update (restarts no task)\n"
        "      label a\n"
        "  service new: create\n"
        "  service old: remove, after success\n"
        "  2 services unchanged\n"
        "  y: 3 task failures in the 10 minutes before\n"
        "warning: service web has no healthcheck and no check: its update can only be seen to run, not to\n"
        "         work (unverified)\n"
        "warning: odd[31m lines\n";
    cleanup_arena struct arena arena = {0};
    cleanup_json json_t *plan = fixture_json(plan_json),
                        *nothing = fixture_json("{'stack': 'shop', 'commit': null, 'empty': true}");
    expect_text("plan", plan_text(&arena, plan), want);
    expect_text("empty", plan_text(&arena, nothing), "Stack shop: nothing to do\n");
}

/* Whatever a pooler may stand before gets no options; a service's own are left as they are. */
static void what_libpq_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *database, *environment, *want;
    } cases[] = {
        {"", "{}", "null"},
        {"service: db, url_from: U", "{}",
         "[\"PGAPPNAME=deploy-agent/shop/django\",\"PGOPTIONS=-c lock_timeout=5s\"]"},
        {"service: db, url_from: U", "{PGOPTIONS: '', PGAPPNAME: x}", "[\"PGAPPNAME=x\",\"PGOPTIONS=\"]"},
        {"url_from: U", "{A: b}", "[\"A=b\",\"PGAPPNAME=deploy-agent/shop/django\"]"},
        {"service: db, url_from: U, migrate_url_from: V", "{}", "[\"PGAPPNAME=deploy-agent/shop/django\"]"},
        {"service: db, url_from: U, pooler: session", "{}", "[\"PGAPPNAME=deploy-agent/shop/django\"]"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_arena struct arena arena = {0};
        struct manifest m;
        struct plan plan = {0};
        struct error err = {0};
        struct world w;
        world_init(&w);
        load("libpq",
             arena_printf(&arena,
                          "services: {db: {image: db, " HEALTHY "}, web: {image: web, environment: %s}}\n"
                          "x-release: {%s%s%s" STEPS_ONLY "}\n",
                          cases[i].environment, *cases[i].database ? "database: {" : "", cases[i].database,
                          *cases[i].database ? "}, " : ""),
             &m);
        if (world_plan(&w, &m, &(struct world_options){0}, &plan, &err) < 0)
            fail_msg("%s", err.text);
        cleanup_json json_t *run = json_loads(find_step(&plan, STEP_RUN, "django")->params, 0, NULL);
        cleanup_free char *env =
            json_dumps(json_path(run, "job", "TaskTemplate", "ContainerSpec", "Env", NULL),
                       JSON_COMPACT | JSON_ENCODE_ANY);
        assert_string_equal(env ? env : "null", cases[i].want);
        plan_release(&plan);
        world_release(&w);
        manifest_release(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transitions_all),
        cmocka_unit_test(any_to_any),
        cmocka_unit_test(rotation),
        cmocka_unit_test(names_that_are_taken),
        cmocka_unit_test(labels_of_objects),
        cmocka_unit_test(a_service_of_someone_else),
        cmocka_unit_test(nowhere_to_run),
        cmocka_unit_test(long_names),
        cmocka_unit_test(rows),
        cmocka_unit_test(what_libpq_is_told),
        cmocka_unit_test(rows_of_an_update),
        cmocka_unit_test(before_of_what_was_left),
        cmocka_unit_test(rows_of_nothing),
        cmocka_unit_test(deterministic),
        cmocka_unit_test(a_thousand_services),
        cmocka_unit_test(rollback),
        cmocka_unit_test(rollback_without_record),
        cmocka_unit_test(failures_before),
        cmocka_unit_test(text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
