/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "html/pages.h"

/* ---- tones ---- */

const char *tone_class(enum tone tone)
{
    static const char *const classes[] = {
        [TONE_PLAIN] = "plain",     [TONE_GOOD] = "good", [TONE_BAD] = "bad",
        [TONE_CAREFUL] = "careful", [TONE_BUSY] = "busy", [TONE_FAINT] = "faint",
    };
    return classes[tone];
}

enum tone tone_of_deployment(enum deployment_state state)
{
    switch (state) {
    case DEPLOYMENT_SUCCEEDED:
        return TONE_GOOD;
    case DEPLOYMENT_FAILED:
    case DEPLOYMENT_HALTED:
    case DEPLOYMENT_STUCK:
        return TONE_BAD;
    case DEPLOYMENT_ROLLED_BACK:
    case DEPLOYMENT_CANCELLED:
    case DEPLOYMENT_INTERRUPTED:
        return TONE_CAREFUL;
    case DEPLOYMENT_PLANNED:
    case DEPLOYMENT_RUNNING:
        return TONE_BUSY;
    case DEPLOYMENT_SUPERSEDED:
        return TONE_FAINT;
    case DEPLOYMENT_REQUESTED:
        break;
    }
    return TONE_PLAIN;
}

enum tone tone_of_step(enum step_state state)
{
    switch (state) {
    case STEP_DONE:
        return TONE_GOOD;
    case STEP_FAILED:
        return TONE_BAD;
    case STEP_FAILED_ALLOWED:
    case STEP_UNDONE:
        return TONE_CAREFUL;
    case STEP_RUNNING:
        return TONE_BUSY;
    case STEP_PENDING:
    case STEP_SKIPPED:
        break;
    }
    return TONE_FAINT;
}

enum tone tone_of_service(const char *state)
{
    static const struct {
        const char *state;
        enum tone tone;
    } tones[] = {
        {"healthy", TONE_GOOD},        {"degraded", TONE_CAREFUL}, {"unverified", TONE_CAREFUL},
        {"rolled_back", TONE_CAREFUL}, {"failed", TONE_BAD},       {"halted", TONE_BAD},
        {"updating", TONE_BUSY},
    };
    for (size_t i = 0; i < ARRAY_SIZE(tones); i++)
        if (str_eq(tones[i].state, state))
            return tones[i].tone;
    return TONE_FAINT;
}

/* ---- parts ---- */

void part_state(struct html *h, const char *word, enum tone tone)
{
    html(h, "<span class=\"state %s\">%s</span>", tone_class(tone), word);
}

void part_deployment_state(struct html *h, enum deployment_state state)
{
    part_state(h, view_verdict(h->arena, state), tone_of_deployment(state));
}

void part_time(struct html *h, int64_t us)
{
    if (us)
        html(h, "<time datetime=\"%s\" data-ago=\"\">%s</time>", rfc3339_utc(h->arena, us),
             local_minute(h->arena, us));
}

void part_running(struct html *h, int64_t since_us, int64_t now_us)
{
    int64_t passed = now_us > since_us ? now_us - since_us : 0;
    html(h, "<time datetime=\"%s\" data-runs=\"\">%s</time>", rfc3339_utc(h->arena, since_us),
         duration_text(h->arena, passed));
}

void part_commit(struct html *h, const char *commit)
{
    html(h, "<code>%s</code>", arena_printf(h->arena, "%.7s", text_safe(h->arena, commit)));
}

void part_deployment(struct html *h, int64_t id)
{
    html(h, "<a href=\"/deployments/%lld\">#%lld</a>", (long long)id, (long long)id);
}

void part_digest(struct html *h, const char *image)
{
    enum { SHOWN = 12 };
    static const char mark[] = "sha256:";
    const char *digest = image ? strstr(image, mark) : NULL;
    if (!digest || strlen(digest) <= strlen(mark) + SHOWN) {
        html(h, "<code>%s</code>", image);
        return;
    }
    html(h, "<code>%s<span class=\"digest\">%s</span></code>",
         arena_strndup(h->arena, image, (size_t)(digest - image)),
         arena_strndup(h->arena, digest, strlen(mark) + SHOWN));
}

void part_commands(struct html *h, const char *before, const char *const *commands)
{
    html(h, "<p class=\"next\">%s", before);
    for (size_t i = 0; commands[i]; i++)
        html(h, " <code class=\"command\">%s</code>", commands[i]);
    html(h, "</p>");
}

void part_next(struct html *h, const struct ending *ending)
{
    for (size_t i = 0; i < ending->n_next; i++) {
        const struct ending_next *one = &ending->next[i];
        part_commands(h, arena_printf(h->arena, "%s%s", one->words, one->command ? ":" : "."),
                      (const char *[]){one->command, NULL});
    }
}
