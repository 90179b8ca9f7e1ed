/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "agentd/manager.h"
#include "agentd/metrics.h"
#include "base/clock.h"

/* agentd itself, under the names that Prometheus' own client libraries use. */

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static double resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%*s %ld", &pages) != 1)
        pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_descriptors(void)
{
    unsigned n = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    for (const struct dirent *entry; (entry = readdir(folder));)
        n += entry->d_name[0] != '.';
    closedir(folder);
    return n - 1; /* without the folder's own */
}

static void gauge(struct str *to, const char *name, const char *help, double value)
{
    metrics_head(to, name, "gauge", help);
    metrics_sample(to, name, NULL, NULL, value);
}

void metrics_print_process(const struct manager *manager, struct str *to)
{
    struct rusage used = {0};
    struct rlimit limit = {0};
    getrusage(RUSAGE_SELF, &used);
    getrlimit(RLIMIT_NOFILE, &limit);
    metrics_head(to, "process_cpu_seconds_total", "counter", "CPU time that agentd has used, in seconds.");
    metrics_sample(to, "process_cpu_seconds_total", NULL, NULL,
                   seconds(&used.ru_utime) + seconds(&used.ru_stime));
    gauge(to, "process_resident_memory_bytes", "Memory of agentd that is resident, in bytes.",
          resident_bytes());
    gauge(to, "process_open_fds", "File descriptors that agentd has open.", open_descriptors());
    gauge(to, "process_max_fds", "File descriptors that agentd may have open.", (double)limit.rlim_cur);
    gauge(to, "process_start_time_seconds", "When agentd started, in seconds since 1970.",
          (double)manager->started_us / US_PER_S);
}
