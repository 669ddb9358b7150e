/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A stand-in for netlab-emu in tests of the life cycle: it takes the same command line, holds its TAP fds,
 * and answers on the agent and QMP sockets like a booted machine, within milliseconds. Sweeps that bring
 * hundreds of labs up and down use it; other tests run the real one.
 *
 * Lines `run fake NAME [VALUE]` of the node's configuration tell it to misbehave: `exit STATUS` at once,
 * `silent` (never ready), `delay MS` before it is ready, `stubborn` (ignores SIGTERM), `die MS` (ends by
 * itself later), `deaf` (does not power off when asked to).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONSOLE, AGENT, QMP, PORTS, LINE_MOST = 65536 };

struct port {
    int listener, peer;
    char line[LINE_MOST];
    size_t length;
};

static struct port ports[PORTS] = {
    {.listener = -1, .peer = -1}, {.listener = -1, .peer = -1}, {.listener = -1, .peer = -1}};
static long ready_at, die_at;
static bool is_silent, is_deaf;

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void fail(const char *what)
{
    fprintf(stderr, "fake-emu: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void listen_on(struct port *port, const char *spec)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strcspn(spec, ",");
    if (length >= sizeof address.sun_path)
        fail(spec);
    memcpy(address.sun_path, spec, length);
    unlink(address.sun_path);
    port->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (port->listener < 0 || bind(port->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(port->listener, 4) != 0)
        fail(address.sun_path);
}

static void say(struct port *port, const char *text)
{
    if (port->peer >= 0 && send(port->peer, text, strlen(text), MSG_NOSIGNAL) < 0)
        close(port->peer), port->peer = -1;
}

static void read_config(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[4096];
    int value;
    if (!file)
        fail(path);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "run fake exit %d", &value) == 1) {
            fprintf(stderr, "fake-emu: told to exit\n");
            exit(value);
        }
        if (sscanf(line, "run fake delay %d", &value) == 1)
            ready_at = now_ms() + value;
        if (sscanf(line, "run fake die %d", &value) == 1)
            die_at = now_ms() + value;
        if (strncmp(line, "run fake silent", 15) == 0)
            is_silent = true;
        if (strncmp(line, "run fake deaf", 13) == 0)
            is_deaf = true;
        if (strncmp(line, "run fake stubborn", 17) == 0)
            signal(SIGTERM, SIG_IGN);
    }
    fclose(file);
}

static void base64(const unsigned char *data, size_t length, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        unsigned bits =
            data[i] << 16 | (i + 1 < length ? data[i + 1] << 8 : 0) | (i + 2 < length ? data[i + 2] : 0);
        *out++ = digits[bits >> 18 & 63];
        *out++ = digits[bits >> 12 & 63];
        *out++ = i + 1 < length ? digits[bits >> 6 & 63] : '=';
        *out++ = i + 2 < length ? digits[bits & 63] : '=';
    }
    *out = 0;
}

/* guest-exec of {"path":"/bin/sh","arg":["-c","COMMAND"]}: run here, at once. */
static char last_output[16384];
static size_t last_length;
static int last_status;

static void execute(const char *line)
{
    const char *at = strstr(line, "\"-c\",\"");
    char command[4096] = "", *out = command;
    at = at ? at + 6 : "";
    for (; *at && *at != '"' && out < command + sizeof command - 1; at++)
        *out++ = *at == '\\' && at[1] ? *++at : *at;
    *out = 0;
    FILE *pipe = popen(command, "r");
    last_length = pipe ? fread(last_output, 1, sizeof last_output, pipe) : 0;
    int status = pipe ? pclose(pipe) : -1;
    last_status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void agent_line(struct port *port, const char *line)
{
    static char answer[3 * sizeof last_output];
    const char *id = strstr(line, "\"id\":");
    if (is_silent)
        return;
    if (strstr(line, "guest-sync")) {
        snprintf(answer, sizeof answer, "%s{\"return\":%lld}\n", strstr(line, "delimited") ? "\xff" : "",
                 id ? atoll(id + 5) : 0LL);
        say(port, answer);
    } else if (strstr(line, "guest-info")) {
        snprintf(answer, sizeof answer, "{\"return\":{\"version\":\"fake\",\"ready\":%s}}\n",
                 now_ms() >= ready_at ? "true" : "false");
        say(port, answer);
    } else if (strstr(line, "guest-shutdown")) {
        if (!is_deaf)
            exit(0);
    } else if (strstr(line, "guest-exec-status")) {
        char text[2 * sizeof last_output];
        base64((unsigned char *)last_output, last_length, text);
        snprintf(answer, sizeof answer,
                 "{\"return\":{\"exited\":true,\"exitcode\":%d,\"out-data\":\"%s\"}}\n", last_status, text);
        say(port, answer);
    } else if (strstr(line, "guest-exec")) {
        execute(line);
        say(port, "{\"return\":{\"pid\":1}}\n");
    } else if (*line) {
        say(port, "{\"return\":{}}\n");
    }
}

static void qmp_line(struct port *port, const char *line)
{
    const char *settings = strstr(line, "\"settings\":\"");
    if (strstr(line, "x-netlab-impair")) {
        FILE *log = fopen("lines.log", "a");
        if (log && settings)
            fprintf(log, "%.*s\n", (int)strcspn(settings + 12, "\""), settings + 12);
        if (log)
            fclose(log);
        say(port, "{\"return\":\"out: off\"}\n");
        return;
    }
    say(port, "{\"return\":{}}\n");
    if (strstr(line, "\"quit\"") || (strstr(line, "system_powerdown") && !is_deaf))
        exit(0);
}

static void serve(int which)
{
    struct port *port = &ports[which];
    char data[4096];
    ssize_t got = read(port->peer, data, sizeof data);
    if (got <= 0) {
        close(port->peer);
        port->peer = -1;
        port->length = 0;
        return;
    }
    for (ssize_t i = 0; i < got; i++) {
        if (which == CONSOLE) {
            if (data[i] == '\r' || data[i] == '\n')
                say(port, "\r\nfake# ");
            else
                send(port->peer, &data[i], 1, MSG_NOSIGNAL);
            continue;
        }
        if (data[i] != '\n') {
            if (port->length < LINE_MOST - 1)
                port->line[port->length++] = data[i];
            continue;
        }
        port->line[port->length] = 0;
        port->length = 0;
        if (which == AGENT)
            agent_line(port, port->line);
        else
            qmp_line(port, port->line);
    }
}

static void loop(void)
{
    for (;;) {
        struct pollfd fds[PORTS * 2];
        for (int i = 0; i < PORTS; i++) {
            fds[i] = (struct pollfd){.fd = ports[i].peer < 0 ? ports[i].listener : -1, .events = POLLIN};
            fds[PORTS + i] = (struct pollfd){.fd = ports[i].peer, .events = POLLIN};
        }
        if (poll(fds, PORTS * 2, 100) < 0 && errno != EINTR)
            fail("poll");
        if (die_at && now_ms() >= die_at)
            exit(0);
        for (int i = 0; i < PORTS; i++) {
            if (fds[PORTS + i].revents)
                serve(i);
            if (fds[i].revents) {
                ports[i].peer = accept(ports[i].listener, NULL, NULL);
                if (i == QMP)
                    say(&ports[i], "{\"QMP\":{\"version\":{}}}\n");
            }
        }
    }
}

int main(int argc, char **argv)
{
    int serial = CONSOLE;
    if (argc > 1 && strcmp(argv[1], "-check") == 0)
        return 0;
    for (int i = 1; i + 1 < argc; i++) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "-serial") == 0 && strncmp(value, "unix:", 5) == 0 && serial <= AGENT)
            listen_on(&ports[serial++], value + 5);
        else if (strcmp(argv[i], "-qmp") == 0 && strncmp(value, "unix:", 5) == 0)
            listen_on(&ports[QMP], value + 5);
        else if (strcmp(argv[i], "-fw_cfg") == 0 && strstr(value, "file="))
            read_config(strstr(value, "file=") + 5);
        else if (strcmp(argv[i], "-kernel") == 0 && access(value, R_OK) != 0)
            fail(value);
        else if (strcmp(argv[i], "-netdev") == 0 && strstr(value, "fd=") &&
                 fcntl(atoi(strstr(value, "fd=") + 3), F_GETFD) < 0)
            fail(value);
    }
    FILE *log = fopen("console.log", "w");
    if (log)
        fprintf(log, "fake console\n"), fclose(log);
    loop();
}
