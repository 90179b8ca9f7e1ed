/*
 * web: the application the tests deploy. One static program, an HTTP server whose health misbehaves on request, and
 * the subcommands that stand in for migration jobs. Settings come from the environment, see `web help`.
 *
 * Nothing of deploy-agent is used here on purpose: it is a stranger's application.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char help_text[] =
    "web                  serve HTTP: / answers VERSION, /health a status, /env/NAME a variable\n"
    "web exit N           end with status N\n"
    "web say TEXT...      print each TEXT on a line of its own\n"
    "web sleep S [EXIT]   sleep S seconds, end with status EXIT (0)\n"
    "web spam BYTES       print that many bytes of text, in lines\n"
    "web ignore-term S    sleep S seconds whatever SIGTERM says\n"
    "web eat MIB          use that much memory, end with status 0\n"
    "web append FILE TEXT add a line to a file\n"
    "web cat FILE         print a file\n"
    "web env NAME         print a variable; status 1 when it is not set\n"
    "web probe URL        status 0 when a GET answers 200 within 5 seconds\n"
    "web help             this text\n"
    "\n"
    "settings of the server, all from the environment:\n"
    "PORT=8000            VERSION=text         START_DELAY_S=n (listens only then)\n"
    "HEALTH_STATUS=200    HEALTH_FILE=path (while it exists, the status is the number in it)\n"
    "HEALTH_AFTER_S=n (503 until then)         FAIL_AFTER_S=n (500 from then on)\n"
    "SLOW_MS=n (each answer)                   HANG=1 (/health never answers)\n"
    "EXIT_AFTER_S=n EXIT_CODE=n                REFUSE=1 (ends at once with 1)\n";

static double started;

static int eat(size_t mib)
{
	for (size_t i = 0; i < mib; i++) {
		char *p = malloc(1 << 20);

		if (!p)
			return 1;
		memset(p, (int)i + 1, 1 << 20);
	}
	return 0;
}

static double env_number(const char *name, double fallback)
{
	const char *text = getenv(name);

	return text && *text ? strtod(text, NULL) : fallback;
}

static void sleep_s(double seconds)
{
	struct timespec left = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static double monotonic_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void on_term(int signal_number)
{
	(void)signal_number;
	_exit(0);
}

static void on_term_143(int signal_number)
{
	_exit(128 + signal_number);
}

static int health_status(void)
{
	const char *file = getenv("HEALTH_FILE");
	double up = monotonic_s() - started;
	double fail_after = env_number("FAIL_AFTER_S", -1);

	if (file) {
		FILE *in = fopen(file, "re");
		int status = 500;

		if (in) {
			if (fscanf(in, "%d", &status) != 1)
				status = 500;
			fclose(in);
			return status;
		}
	}
	if (up < env_number("HEALTH_AFTER_S", 0))
		return 503;
	if (fail_after >= 0 && up >= fail_after)
		return 500;
	return (int)env_number("HEALTH_STATUS", 200);
}

static void send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		bytes += n;
		len -= (size_t)n;
	}
}

/* X-Task says which container answered, so that a test sees that its check reached the right one. */
static void answer(int fd, int status, const char *body)
{
	char head[512], host[128] = "";
	int len;

	gethostname(host, sizeof host - 1);
	len = snprintf(head, sizeof head,
		       "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nX-Task: %s\r\n"
		       "Connection: close\r\n\r\n",
		       status, status == 200 ? "OK" : "Status", strlen(body) + 1, host);
	send_all(fd, head, (size_t)len);
	send_all(fd, body, strlen(body));
	send_all(fd, "\n", 1);
}

static void *serve_one(void *arg)
{
	int fd = (int)(long)arg;
	char request[8192], path[1024] = "";
	size_t len = 0;

	while (len < sizeof request - 1) {
		ssize_t n = read(fd, request + len, sizeof request - 1 - len);

		if (n <= 0)
			goto out;
		len += (size_t)n;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n"))
			break;
	}
	if (sscanf(request, "%*15s %1023s", path) != 1)
		goto out;
	path[strcspn(path, "?")] = '\0';
	sleep_s(env_number("SLOW_MS", 0) / 1000);

	if (strcmp(path, "/health") == 0) {
		int status;

		while (env_number("HANG", 0) != 0)
			pause();
		status = health_status();
		answer(fd, status, status == 200 ? "healthy" : "unhealthy");
	} else if (strcmp(path, "/") == 0) {
		const char *version = getenv("VERSION");

		answer(fd, 200, version ? version : "no VERSION");
	} else if (strncmp(path, "/env/", 5) == 0) {
		const char *value = getenv(path + 5);

		answer(fd, value ? 200 : 404, value ? value : "not set");
	} else {
		answer(fd, 404, "no such page");
	}
	shutdown(fd, SHUT_WR);
	/* Let the client close first: a reset would cut the answer off. */
	while (read(fd, request, sizeof request) > 0)
		;
out:
	close(fd);
	return NULL;
}

static void *exit_later(void *arg)
{
	(void)arg;
	sleep_s(env_number("EXIT_AFTER_S", 0));
	printf("web: ends, as EXIT_AFTER_S says\n");
	fflush(stdout);
	_exit((int)env_number("EXIT_CODE", 0));
}

static int serve(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	pthread_attr_t detached;
	pthread_t thread;
	int listener, one = 1;

	signal(SIGTERM, on_term);
	signal(SIGINT, on_term);
	if (env_number("REFUSE", 0) != 0) {
		fprintf(stderr, "web: REFUSE is set\n");
		return 1;
	}
	sleep_s(env_number("START_DELAY_S", 0));
	started = monotonic_s();
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	if (getenv("EXIT_AFTER_S"))
		pthread_create(&thread, &detached, exit_later, NULL);

	address.sin_port = htons((in_port_t)env_number("PORT", 8000));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 128) < 0) {
		perror("web: listen");
		return 1;
	}
	printf("web: version %s listens on %d\n", getenv("VERSION") ? getenv("VERSION") : "none", ntohs(address.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (pthread_create(&thread, &detached, serve_one, (void *)(long)fd) != 0)
			close(fd);
	}
}

static int spam(long long bytes)
{
	static const char line[] = "The quick brown fox jumps over the lazy dog while the migration runs.\n";
	long long left = bytes;

	while (left > 0) {
		size_t n = left < (long long)sizeof line - 1 ? (size_t)left : sizeof line - 1;

		if (fwrite(line, 1, n, stdout) != n)
			return 1;
		left -= (long long)n;
	}
	return fflush(stdout) == 0 ? 0 : 1;
}

/* One write of one line: lines of runs that overlap do not mix. */
static int append(const char *file, const char *text)
{
	char line[4096];
	int len = snprintf(line, sizeof line, "%s\n", text);
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0 || len < 0 || (size_t)len >= sizeof line || write(fd, line, (size_t)len) != len || fsync(fd) < 0) {
		perror(file);
		return 1;
	}
	return 0;
}

static int cat(const char *file)
{
	char buffer[65536];
	ssize_t n = -1;
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && (n = read(fd, buffer, sizeof buffer)) > 0)
		if (write(STDOUT_FILENO, buffer, (size_t)n) != n)
			return 1;
	if (fd < 0 || n < 0) {
		perror(file);
		return 1;
	}
	return 0;
}

static int probe(const char *url)
{
	char host[256] = "", port[16] = "80", path[1024] = "/", request[2048], reply[64] = "";
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
	size_t len = 0;
	char *colon;
	int fd, n, status = 0;

	signal(SIGALRM, on_term_143);
	alarm(5);
	if (sscanf(url, "http://%255[^/]%1023s", host, path) < 1) {
		fprintf(stderr, "web: not an http URL: %s\n", url);
		return 64;
	}
	n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
	colon = strrchr(host, ':');
	if (colon) {
		*colon = '\0';
		snprintf(port, sizeof port, "%.15s", colon + 1);
	}
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return 1;
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0) {
		perror(url);
		return 1;
	}
	send_all(fd, request, (size_t)n);
	while (len < 12) {
		ssize_t got = read(fd, reply + len, sizeof reply - 1 - len);

		if (got <= 0)
			break;
		len += (size_t)got;
	}
	if (sscanf(reply, "HTTP/%*s %d", &status) != 1 || status != 200) {
		fprintf(stderr, "web: %s answered %d\n", url, status);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (argc == 1 || strcmp(verb, "serve") == 0)
		return serve();
	signal(SIGTERM, on_term_143);
	if (strcmp(verb, "exit") == 0 && argc == 3)
		return atoi(argv[2]);
	if (strcmp(verb, "say") == 0) {
		for (int i = 2; i < argc; i++)
			puts(argv[i]);
		return 0;
	}
	if (strcmp(verb, "sleep") == 0 && argc >= 3) {
		sleep_s(strtod(argv[2], NULL));
		return argc > 3 ? atoi(argv[3]) : 0;
	}
	if (strcmp(verb, "spam") == 0 && argc == 3)
		return spam(atoll(argv[2]));
	if (strcmp(verb, "ignore-term") == 0 && argc == 3) {
		signal(SIGTERM, SIG_IGN);
		sleep_s(strtod(argv[2], NULL));
		return 0;
	}
	if (strcmp(verb, "eat") == 0 && argc == 3)
		return eat((size_t)atoi(argv[2]));
	if (strcmp(verb, "append") == 0 && argc == 4)
		return append(argv[2], argv[3]);
	if (strcmp(verb, "cat") == 0 && argc == 3)
		return cat(argv[2]);
	if (strcmp(verb, "env") == 0 && argc == 3) {
		const char *value = getenv(argv[2]);

		if (!value)
			return 1;
		puts(value);
		return 0;
	}
	if (strcmp(verb, "probe") == 0 && argc == 3)
		return probe(argv[2]);
	fputs(help_text, strcmp(verb, "help") == 0 ? stdout : stderr);
	return strcmp(verb, "help") == 0 ? 0 : 64;
}
