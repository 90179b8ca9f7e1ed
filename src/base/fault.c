/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fault.h"

#ifdef AGENT_FAULTS
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static void act(const char *name, const char *action, int *ret_errno)
{
    fprintf(stderr, "fault point %s: %s\n", name, action);
    if (strcmp(action, "kill") == 0)
        kill(getpid(), SIGKILL);
    else if (strcmp(action, "stop") == 0)
        kill(getpid(), SIGSTOP);
    else if (strcmp(action, "abort") == 0)
        abort();
    else if (strncmp(action, "errno=", 6) == 0)
        *ret_errno = (int)strtol(action + 6, NULL, 10);
    else if (strncmp(action, "sleep=", 6) == 0)
        sleep_us(strtol(action + 6, NULL, 10) * US_PER_S);
}

int fault_point_hit(const char *name)
{
    /* one counter is enough: a test arms one counted point at a time */
    static unsigned long passages;
    const char *spec = getenv("FAULTS");
    int result = 0;
    if (!spec)
        return 0;
    char *copy = strdup(spec), *rest = copy;
    for (char *one; copy && (one = strsep(&rest, ","));) {
        char *action = strchr(one, ':');
        if (!action)
            continue;
        *action++ = '\0';
        if (strcmp(one, name) != 0)
            continue;
        char *nth = strstr(action, ":nth=");
        if (nth) {
            *nth = '\0';
            if (++passages != strtoul(nth + 5, NULL, 10))
                continue;
        }
        act(name, action, &result);
    }
    free(copy);
    return result;
}
#else
typedef int fault_points_are_compiled_out;
#endif
