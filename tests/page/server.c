/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The HTTP of agentd over a journal, and nothing else of agentd: nobody polls, nothing is deployed, so the
 * record stays as a test has filled it. For tests/page and for measuring.
 *
 *     page_server CONFIG
 *
 * It says "ready" once it listens, and ends with SIGTERM.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "agentd/http.h"
#include "agentd/live.h"
#include "agentd/manager.h"
#include "agentd/metrics.h"
#include "base/cleanup.h"
#include "base/clock.h"

static int begin(struct manager *manager, struct error *err)
{
    cleanup_arena struct arena arena = {0};
    if (manager_read_config(manager->config_path, &manager->config, &manager->config_text, err) < 0)
        return -1;
    const char *path = config_journal_path(&arena, &manager->config);
    if (journal_open(path, JOURNAL_WRITE, &manager->journal, err) < 0)
        return -1;
    for (size_t i = 0; i < manager->config.n_stacks; i++)
        watch_new(manager, &manager->config.stacks[i])->last_poll_us = wall_us();
    http_open(manager);
    return 0;
}

static void end(struct manager *manager)
{
    http_close(manager);
    for (struct watch *w = manager->watches; w; w = w->next)
        w->config = NULL;
    manager_collect(manager);
    live_free(manager);
    metrics_free(manager);
    journal_close(manager->journal);
    config_release(&manager->config);
    free(manager->config_text);
    sd_event_unref(manager->event);
}

int main(int argc, char **argv)
{
    struct manager manager = {
        .config_path = argc == 2 ? argv[1] : "", .lock_fd = -1, .started_us = wall_us()};
    struct error err = {0};
    sigset_t term;
    memory_json_is_sure();
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    if (sd_event_new(&manager.event) < 0 || sd_event_add_signal(manager.event, NULL, SIGTERM, NULL, NULL) < 0)
        return 1;
    if (begin(&manager, &err) < 0) {
        fprintf(stderr, "page_server: %s\n", err.text);
        return 1;
    }
    puts("ready");
    fflush(stdout);
    sd_event_loop(manager.event);
    end(&manager);
    return 0;
}
