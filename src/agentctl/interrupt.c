/* SPDX-License-Identifier: Apache-2.0 */
#include "agentctl/interrupt.h"

#include <signal.h>
#include <stddef.h>

static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t seen;

static void note(int number)
{
    seen = number;
}

/* No SA_RESTART: a wait in progress must notice. One that is ignored (nohup) stays so. */
static void handle(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler}, before;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
}

void interrupt_catch(void)
{
    handle(note);
}

bool interrupt_seen(void)
{
    return seen != 0;
}

void interrupt_die(void)
{
    handle(SIG_DFL);
    raise(seen);
}
