/* SPDX-License-Identifier: Apache-2.0 */
#include "pg/conn.h"

/* Small enough that the connection's buffer stays small whatever the size of the data. */
enum { CHUNK = 64 << 10 };

static int flush(PGconn *pg, pg_wait *wait, void *userdata)
{
    for (int r; (r = PQflush(pg)) != 0;)
        if (r < 0 || wait(userdata, true) < 0)
            return -1;
    return 0;
}

/* In the state COPY IN the server takes a failure of its own also between rows: the rest is then dropped by
 * it. */
int pg_copy_in(PGconn *pg, const char *data, size_t len, pg_wait *wait, void *userdata)
{
    for (size_t at = 0; at < len; at += CHUNK) {
        int n = (int)(len - at < CHUNK ? len - at : CHUNK);
        for (int r; (r = PQputCopyData(pg, data + at, n)) != 1;)
            if (r < 0 || wait(userdata, true) < 0)
                return -1;
        if (flush(pg, wait, userdata) < 0)
            return -1;
    }
    for (int r; (r = PQputCopyEnd(pg, data ? NULL : "no rows follow this COPY")) != 1;)
        if (r < 0 || wait(userdata, true) < 0)
            return -1;
    return flush(pg, wait, userdata);
}

int pg_copy_out(PGconn *pg, uint64_t *ret_bytes, pg_wait *wait, void *userdata)
{
    uint64_t bytes = 0;
    for (;;) {
        char *row = NULL;
        int r = PQgetCopyData(pg, &row, 1);
        PQfreemem(row);
        if (r > 0) {
            bytes += (uint64_t)r;
        } else if (r == 0) {
            if (wait(userdata, false) < 0)
                return -1;
        } else {
            *ret_bytes = bytes;
            return 0; /* its end, or a failure: the next result tells */
        }
    }
}
