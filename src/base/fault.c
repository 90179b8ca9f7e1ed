/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fault.h"

#ifdef AGENT_FAULTS
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { ARMED_MAX = 256, NAME_MAX_LEN = 160 };

/* The test that counts them reads when each was passed, and by which process. */
static void note_passage(const char *name)
{
    const char *path = getenv("FAULTS_PASSED");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    dprintf(fd, "%lld %ld %s\n", (long long)mono_us(), (long)getpid(), name);
    close(fd);
}

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

/* Is it this passage that the K-th armed point is about? */
static int is_now(char *action, size_t k)
{
    static unsigned long passages[ARMED_MAX];
    char *nth = strstr(action, ":nth=");
    if (!nth)
        return 1;
    *nth = '\0';
    return k < ARMED_MAX && ++passages[k] == strtoul(nth + 5, NULL, 10);
}

int fault_point_hit(const char *name)
{
    const char *spec = getenv("FAULTS");
    int result = 0, kept = errno;
    note_passage(name);
    char *copy = spec ? strdup(spec) : NULL, *rest = copy;
    for (size_t k = 0; rest; k++) {
        const char *one = strsep(&rest, ",");
        char *action = strchr(one, ':');
        if (!action)
            continue;
        *action++ = '\0';
        if (strcmp(one, name) == 0 && is_now(action, k))
            act(name, action, &result);
    }
    free(copy);
    errno = result ? result : kept;
    return result;
}

int fault_point_hitf(const char *format, ...)
{
    char name[NAME_MAX_LEN];
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    return fault_point_hit(name);
}
#else
typedef int fault_points_are_compiled_out;
#endif
