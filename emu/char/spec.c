/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The words that name a back end, in both of QEMU's grammars: "unix:/run/s,server,nowait" (-serial, -monitor,
 * -qmp, -debugcon) and "socket,id=c0,path=/run/s,server=on" (-chardev). One row a back end; nothing is
 * opened.
 */
#include "emu/char/backend.h"
#include "emu/keyval.h"

#include <gio/gio.h>
#include <string.h>

enum { RINGBUF_MOST = 1 << 30 };

#define LOG_ROWS                                                                                             \
    {"logfile", KEYVAL_PATH, .help = "file that gets a copy of the output (at most 1 MiB of it)"},           \
    {                                                                                                        \
        "logappend", KEYVAL_BOOL, .help = "keep what is in the log file"                                     \
    }

#define SOCKET_ROWS                                                                                          \
    {"server", KEYVAL_BOOL, .help = "listen instead of connecting"},                                         \
        {"wait", KEYVAL_BOOL, .help = "server: hold the machine until somebody connects"},                   \
        {"reconnect", KEYVAL_NUMBER, .help = "client: seconds before the next attempt", .max = 86400},       \
        {"telnet", KEYVAL_BOOL, .help = "speak the telnet protocol"},                                        \
        {"websocket", KEYVAL_LATER, .help = "connect with socat or nc"},                                     \
        {"tls-creds", KEYVAL_LATER, .help = "use a UNIX socket, or a tunnel"},                               \
        {"tls-authz", KEYVAL_LATER, .help = "use a UNIX socket, or a tunnel"},                               \
        {"nodelay", KEYVAL_BOOL, .help = "TCP: send small pieces at once (the case anyway)"},                \
        {"delay", KEYVAL_BOOL, .help = "TCP: off is nodelay"},                                               \
    {                                                                                                        \
        "to", KEYVAL_NUMBER, .help = "TCP server: the last port to try when others are taken", .max = 65535  \
    }

#define FAMILY_ROWS                                                                                          \
    {"ipv4", KEYVAL_BOOL, .help = "over IPv4 alone"},                                                        \
    {                                                                                                        \
        "ipv6", KEYVAL_BOOL, .help = "over IPv6 alone"                                                       \
    }

static const struct keyval_row unix_rows[] = {
    {"path", KEYVAL_PATH, .help = "socket file"},
    {"abstract", KEYVAL_LATER, .help = "give it a path"},
    LOG_ROWS,
    SOCKET_ROWS,
};
static const struct keyval_row tcp_rows[] = {
    {"address", KEYVAL_PATH, .help = "HOST:PORT"}, FAMILY_ROWS, LOG_ROWS, SOCKET_ROWS};
static const struct keyval_row file_rows[] = {
    {"path", KEYVAL_PATH, .help = "file that takes the output"},
    {"append", KEYVAL_BOOL, .help = "keep what is in it"},
};
static const struct keyval_row udp_rows[] = {
    {"address", KEYVAL_PATH, .help = "[HOST]:PORT[@[HOST]:PORT], the second where to send from"},
    LOG_ROWS,
};
static const struct keyval_row pipe_rows[] = {{"path", KEYVAL_PATH, .help = "FIFO, or PATH.in and PATH.out"}};
static const struct keyval_row fd_rows[] = {
    {"fd", KEYVAL_NUMBER, .help = "an open file descriptor", .max = 1 << 20}};

/* -chardev: every key of every back end it knows, checked per kind afterwards. */
#define CHARDEV_COMMON                                                                                       \
    {"backend", KEYVAL_STRING}, {"id", KEYVAL_NAME, .help = "what others call it by"},                       \
        {"mux", KEYVAL_BOOL, .help = "Ctrl-A escapes and a monitor behind them"}, LOG_ROWS
static const struct keyval_row chardev_plain_rows[] = {CHARDEV_COMMON};
static const struct keyval_row chardev_stdio_rows[] = {
    CHARDEV_COMMON, {"signal", KEYVAL_BOOL, .help = "Ctrl-C ends the program instead of reaching the guest"}};
static const struct keyval_row chardev_socket_rows[] = {
    CHARDEV_COMMON,
    {"path", KEYVAL_PATH, .help = "UNIX socket file"},
    {"host", KEYVAL_STRING, .help = "TCP: name or address"},
    {"port", KEYVAL_PATH, .help = "TCP: number or service"},
    {"fd", KEYVAL_NUMBER, .help = "a connected socket, passed in; with server=on one that listens",
     .max = 1 << 20},
    FAMILY_ROWS,
    SOCKET_ROWS,
};
static const struct keyval_row chardev_file_rows[] = {
    CHARDEV_COMMON,
    {"path", KEYVAL_PATH, .help = "file that takes the output"},
    {"append", KEYVAL_BOOL, .help = "keep what is in it"},
    {"input-path", KEYVAL_PATH, .help = "file the input is read from"},
};
static const struct keyval_row chardev_pipe_rows[] = {
    CHARDEV_COMMON, {"path", KEYVAL_PATH, .help = "FIFO, or PATH.in and PATH.out"}};
static const struct keyval_row chardev_udp_rows[] = {
    CHARDEV_COMMON,
    {"host", KEYVAL_STRING, .help = "name or address to send to (localhost)"},
    {"port", KEYVAL_PATH, .help = "number or service there"},
    {"localaddr", KEYVAL_STRING, .help = "address to send from"},
    {"localport", KEYVAL_PATH, .help = "number or service to send from"},
    FAMILY_ROWS,
};
static const struct keyval_row chardev_vc_rows[] = {
    CHARDEV_COMMON,
    {"width", KEYVAL_NUMBER, .help = "in pixels", .max = 2048},
    {"height", KEYVAL_NUMBER, .help = "in pixels", .max = 4096},
    {"cols", KEYVAL_NUMBER, .help = "in characters of 8 pixels (80)", .max = 256},
    {"rows", KEYVAL_NUMBER, .help = "in lines of 16 pixels (24)", .max = 256},
};
static const struct keyval_row chardev_tty_rows[] = {
    CHARDEV_COMMON, {"path", KEYVAL_PATH, .help = "the host's port, as /dev/ttyS0"}};
static const struct keyval_row chardev_parport_rows[] = {
    CHARDEV_COMMON, {"path", KEYVAL_PATH, .help = "the host's port, as /dev/parport0"}};
static const struct keyval_row chardev_ringbuf_rows[] = {
    CHARDEV_COMMON, {"size", KEYVAL_SIZE, .help = "bytes, a power of two (64K)"}};
static const struct keyval_row chardev_fd_rows[] = {
    CHARDEV_COMMON, {"fd", KEYVAL_NUMBER, .help = "an open file descriptor", .max = 1 << 20}};

#define TABLE(name_, rows_, implied_)                                                                        \
    {                                                                                                        \
        .what = name_, .rows = rows_, .count = G_N_ELEMENTS(rows_), .implied = implied_                      \
    }

struct backend_row {
    const char *word;    /* -serial WORD or WORD:… */
    const char *chardev; /* -chardev name, NULL: none */
    const char *form, *help;
    enum char_kind kind;
    bool takes_rest; /* WORD:REST */
    struct keyval_table rest, options;
    const char *later; /* QEMU's, not ours yet: what to do instead */
};

static const struct backend_row backends[] = {
    {"stdio", "stdio", "stdio", "this terminal (mon:stdio adds escapes by Ctrl-A)", CHAR_STDIO,
     .options = TABLE("stdio", chardev_stdio_rows, "backend")},
    {"null", "null", "null", "nowhere", CHAR_NULL, .options = TABLE("null", chardev_plain_rows, "backend")},
    {"none", NULL, "none", "the same", CHAR_NULL},
    {"pty", "pty", "pty", "a pseudo-terminal; its name is printed", CHAR_PTY,
     .options = TABLE("pty", chardev_plain_rows, "backend")},
    {"file", "file", "file:PATH", "a file, output only", CHAR_FILE, true, TABLE("", file_rows, "path"),
     TABLE("file", chardev_file_rows, "backend")},
    {"unix", "socket", "unix:PATH[,server=on][,wait=off]", "a UNIX socket", CHAR_UNIX, true,
     TABLE("", unix_rows, "path"), TABLE("socket", chardev_socket_rows, "backend")},
    {"tcp", NULL, "tcp:HOST:PORT[,server=on][,wait=off]", "a TCP connection", CHAR_TCP, true,
     TABLE("", tcp_rows, "address")},
    {"telnet", NULL, "telnet:HOST:PORT[,server=on][,wait=off]", "the same, for telnet", CHAR_TCP, true,
     TABLE("", tcp_rows, "address")},
    {"udp", "udp", "udp:[HOST]:PORT[@[HOST]:PORT]", "datagrams to a port (and from one)", CHAR_UDP, true,
     TABLE("", udp_rows, "address"), TABLE("udp", chardev_udp_rows, "backend")},
    {"ringbuf", "ringbuf", "ringbuf", "memory, for ringbuf_read in the monitor", CHAR_RINGBUF,
     .options = TABLE("ringbuf", chardev_ringbuf_rows, "backend")},
    {"pipe", "pipe", "pipe:PATH", "FIFOs: PATH.in and PATH.out, or PATH", CHAR_PIPE, true,
     TABLE("", pipe_rows, "path"), TABLE("pipe", chardev_pipe_rows, "backend")},
    {"fd", "fd", "fd:N", "a file descriptor that was passed in", CHAR_FD, true, TABLE("", fd_rows, "fd"),
     TABLE("fd", chardev_fd_rows, "backend")},
    {"chardev", NULL, "chardev:ID", "a -chardev", CHAR_REFERENCE, true, TABLE("", pipe_rows, "path")},
    {"vc", "vc", "vc[:WIDTHxHEIGHT|:COLSCxROWSC]", "a text console on the display", CHAR_VC,
     .options = TABLE("vc", chardev_vc_rows, "backend")},
    {"serial", "serial", "serial:PATH or /dev/ttyS…", "a serial port of the host", CHAR_TTY, true,
     TABLE("", pipe_rows, "path"), TABLE("serial", chardev_tty_rows, "backend")},
    {"tty", "tty", "tty:PATH", "the same", CHAR_TTY, true, TABLE("", pipe_rows, "path"),
     TABLE("tty", chardev_tty_rows, "backend")},
    {"parallel", "parallel", "parallel:PATH or /dev/parport…", "a parallel port of the host", CHAR_PARPORT,
     true, TABLE("", pipe_rows, "path"), TABLE("parallel", chardev_parport_rows, "backend")},
    {"parport", "parport", "parport:PATH", "the same", CHAR_PARPORT, true, TABLE("", pipe_rows, "path"),
     TABLE("parport", chardev_parport_rows, "backend")},
    {"msmouse", "msmouse", "msmouse", "a serial mouse that the display moves", CHAR_MSMOUSE,
     .options = TABLE("msmouse", chardev_plain_rows, "backend")},
    {"con", "console", .later = "it is Windows'; use stdio"},
    {"websocket", NULL, .later = "use tcp:HOST:PORT,server"},
    {"braille", "braille", .later = "use a screen reader on the host with stdio"},
    {"spiceport", "spiceport", .later = "there is no SPICE"},
    {"spicevmc", "spicevmc", .later = "there is no SPICE"},
};

G_GNUC_PRINTF(2, 3) static bool fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, text);
    return false;
}

static bool unknown_backend(const char *word, bool chardev, GError **error)
{
    const char *words[G_N_ELEMENTS(backends)];
    size_t count = 0;
    g_autoptr(GString) known = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(backends); i++) {
        const char *name = chardev ? backends[i].chardev : backends[i].word;
        if (!name || backends[i].later)
            continue;
        words[count++] = name;
        g_string_append_printf(known, "%s%s", known->len ? ", " : "", name);
    }
    g_autofree char *suggestion = keyval_suggestion(word, words, count);
    return fail(error, "no character back end '%s'%s; there are: %s", word, suggestion, known->str);
}

static void take_log(const struct keyval *kv, struct char_spec *out)
{
    out->log_path = g_strdup(keyval_string(kv, "logfile", NULL));
    out->log_append = keyval_bool(kv, "logappend", false);
}

static void take_family(const struct keyval *kv, struct char_spec *out)
{
    /* ipv6=off says what ipv4=on does. */
    out->ipv4 = keyval_bool(kv, "ipv4", keyval_has(kv, "ipv6") && !keyval_bool(kv, "ipv6", true));
    out->ipv6 = keyval_bool(kv, "ipv6", keyval_has(kv, "ipv4") && !keyval_bool(kv, "ipv4", true));
}

static bool take_socket(const struct keyval *kv, struct char_spec *out, GError **error)
{
    out->server = keyval_bool(kv, "server", false);
    out->wait = out->server && keyval_bool(kv, "wait", true);
    out->reconnect_s = (unsigned)keyval_number(kv, "reconnect", 0);
    out->telnet = keyval_bool(kv, "telnet", false);
    if (keyval_has(kv, "delay") && keyval_has(kv, "nodelay"))
        return fail(error, "delay= and nodelay= are the same thing twice: give one");
    out->delay = keyval_bool(kv, "delay", keyval_has(kv, "nodelay") && !keyval_bool(kv, "nodelay", true));
    out->port_to = (unsigned)keyval_number(kv, "to", 0);
    if (out->port_to && (!out->server || out->kind != CHAR_TCP))
        return fail(error, "to= is for TCP servers: add server=on, or leave it out");
    if (!out->server && keyval_has(kv, "wait"))
        return fail(error, "wait= is for servers: add server=on");
    if (out->server && out->reconnect_s)
        return fail(error, "reconnect= is for clients: leave server out");
    return true;
}

/* "host:port", "[v6]:port", ":port". */
static bool split_address(const char *what, const char *text, char **host, char **service, GError **error)
{
    const char *colon = strrchr(text, ':');
    if (!colon || !colon[1])
        return fail(error, "%s:%s: the port is missing (%s:HOST:PORT)", what, text, what);
    size_t len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']')
        *host = g_strndup(text + 1, len - 2);
    else
        *host = g_strndup(text, len);
    *service = g_strdup(colon + 1);
    return true;
}

/* Numbers that fit a port, or names for getaddrinfo(), which would cut larger numbers down to 16 bits. */
static bool check_services(const struct char_spec *spec, GError **error)
{
    const char *services[] = {spec->service, spec->local_service};
    for (size_t i = 0; i < G_N_ELEMENTS(services); i++) {
        const char *text = services[i];
        guint64 port;
        if (text && (g_ascii_isdigit(*text) || *text == '-' || *text == '+') &&
            !g_ascii_string_to_unsigned(text, 10, 0, 65535, &port, NULL))
            return fail(error, "port %s: a port is a number from 0 to 65535, or the name of a service", text);
    }
    return true;
}

/* "[host]:port[@[host]:port]" */
static bool take_udp(const char *text, struct char_spec *out, GError **error)
{
    const char *at = strchr(text, '@');
    g_autofree char *to = at ? g_strndup(text, (size_t)(at - text)) : g_strdup(text);
    if (!split_address("udp", to, &out->host, &out->service, error))
        return false;
    return !at || split_address("udp", at + 1, &out->local_host, &out->local_service, error);
}

/* "80Cx24C" or "640x480". */
static bool take_vc(const char *text, struct char_spec *out, GError **error)
{
    const char *times = strchr(text, 'x');
    size_t len = strlen(text);
    bool cells = times && times > text && times[-1] == 'C' && text[len - 1] == 'C';
    g_autofree char *width = times ? g_strndup(text, (size_t)(times - text) - (cells ? 1 : 0)) : NULL;
    g_autofree char *height = times ? g_strndup(times + 1, strlen(times + 1) - (cells ? 1 : 0)) : NULL;
    guint64 columns, rows;
    if (!times || !g_ascii_string_to_unsigned(width, 10, 1, cells ? 256 : 2048, &columns, NULL) ||
        !g_ascii_string_to_unsigned(height, 10, 1, cells ? 256 : 4096, &rows, NULL))
        return fail(error, "vc:%s: the size is vc:640x480 (pixels) or vc:80Cx24C (characters)", text);
    out->columns = (unsigned)columns / (cells ? 1 : 8);
    out->rows = (unsigned)rows / (cells ? 1 : 16);
    return true;
}

static bool take_rest(const struct backend_row *row, const char *rest, struct char_spec *out, GError **error)
{
    /* A file's name may hold commas as it stands; only the words of append= are looked for. */
    KEYVAL_AUTO struct keyval *kv = NULL;
    if (row->kind == CHAR_REFERENCE) {
        out->path = g_strdup(rest);
        return true;
    }
    kv = keyval_parse(&row->rest, rest, error);
    if (!kv)
        return false;
    switch (row->kind) {
    case CHAR_FILE:
        out->append = keyval_bool(kv, "append", false);
        out->path = g_strdup(keyval_string(kv, "path", NULL));
        return true;
    case CHAR_TTY:
    case CHAR_PARPORT:
    case CHAR_PIPE:
        out->path = g_strdup(keyval_string(kv, "path", NULL));
        return true;
    case CHAR_UNIX:
        take_log(kv, out);
        out->path = g_strdup(keyval_string(kv, "path", NULL));
        return take_socket(kv, out, error);
    case CHAR_TCP:
        take_log(kv, out);
        take_family(kv, out);
        if (!take_socket(kv, out, error))
            return false;
        out->telnet |= g_str_equal(row->word, "telnet");
        return split_address(row->word, keyval_string(kv, "address", ""), &out->host, &out->service, error);
    case CHAR_UDP:
        take_log(kv, out);
        return take_udp(keyval_string(kv, "address", ""), out, error);
    case CHAR_FD:
        out->fd = (int)keyval_number(kv, "fd", 0);
        return true;
    case CHAR_NULL:
    case CHAR_STDIO:
    case CHAR_PTY:
    case CHAR_RINGBUF:
    case CHAR_VC:
    case CHAR_MSMOUSE:
    case CHAR_REFERENCE:
    case CHAR_KINDS:
        break;
    }
    return fail(error, "%s takes nothing more", row->word);
}

bool char_spec_parse(const char *text, struct char_spec *out, GError **error)
{
    struct char_spec spec = {.fd = -1, .signal = true};
    const char *words = text;
    if (g_str_has_prefix(words, "mon:")) {
        spec.mux = true;
        spec.signal = false;
        words += 4;
    }
    if (g_str_has_prefix(words, "/dev/")) { /* a device's name stands for the port it is */
        spec.kind = g_str_has_prefix(words, "/dev/parport") ? CHAR_PARPORT : CHAR_TTY;
        spec.path = g_strdup(words);
        *out = spec;
        return true;
    }
    size_t len = strcspn(words, ":,");
    g_autofree char *word = g_strndup(words, len);
    const struct backend_row *row = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(backends) && !row; i++)
        if (g_str_equal(backends[i].word, word))
            row = &backends[i];
    if (!row)
        return unknown_backend(word, false, error);
    if (row->later)
        return fail(error, "%s: is QEMU's and not in netlab-emu yet; %s", word, row->later);
    spec.kind = row->kind;
    bool good = true;
    if (row->kind == CHAR_VC && words[len] == ':') {
        good = take_vc(words + len + 1, &spec, error);
    } else if (row->takes_rest) {
        if (words[len] != ':' || !words[len + 1])
            good = fail(error, "'%s' is not complete: %s", text, row->form);
        else
            good = take_rest(row, words + len + 1, &spec, error);
    } else if (words[len]) {
        good = fail(error, "'%s': nothing may follow %s", text, word);
    }
    if (good && spec.mux && spec.kind != CHAR_STDIO && spec.kind != CHAR_UNIX && spec.kind != CHAR_PTY &&
        spec.kind != CHAR_TCP && spec.kind != CHAR_VC && spec.kind != CHAR_TTY)
        good =
            fail(error,
                 "'%s': mon: needs something that can be typed into (stdio, pty, vc, unix:, tcp:, a serial "
                 "port)",
                 text);
    if (!good || !check_services(&spec, error)) {
        char_spec_clear(&spec);
        return false;
    }
    *out = spec;
    return true;
}

static bool take_chardev(const struct backend_row *row, const struct keyval *kv, struct char_spec *out,
                         GError **error)
{
    out->mux = keyval_bool(kv, "mux", false);
    take_log(kv, out);
    switch (row->kind) {
    case CHAR_STDIO:
        out->signal = keyval_bool(kv, "signal", !out->mux);
        return true;
    case CHAR_NULL:
    case CHAR_PTY:
        return true;
    case CHAR_FILE:
        out->append = keyval_bool(kv, "append", false);
        out->input_path = g_strdup(keyval_string(kv, "input-path", NULL));
        out->path = g_strdup(keyval_string(kv, "path", NULL));
        return keyval_require(kv, "path", error);
    case CHAR_TTY:
    case CHAR_PARPORT:
    case CHAR_PIPE:
        out->path = g_strdup(keyval_string(kv, "path", NULL));
        return keyval_require(kv, "path", error);
    case CHAR_VC:
        out->columns = (unsigned)keyval_number(kv, "cols", keyval_number(kv, "width", 0) / 8);
        out->rows = (unsigned)keyval_number(kv, "rows", keyval_number(kv, "height", 0) / 16);
        return true;
    case CHAR_MSMOUSE:
        return true;
    case CHAR_FD:
        out->fd = (int)keyval_number(kv, "fd", 0);
        return keyval_require(kv, "fd", error);
    case CHAR_UNIX: { /* "socket": one of three */
        unsigned given = keyval_has(kv, "path") + keyval_has(kv, "port") + keyval_has(kv, "fd");
        if (given != 1)
            return fail(error, "socket: give one of path=, host= with port=, or fd=");
        out->path = g_strdup(keyval_string(kv, "path", NULL));
        if (keyval_has(kv, "port")) {
            out->kind = CHAR_TCP;
            out->host = g_strdup(keyval_string(kv, "host", ""));
            out->service = g_strdup(keyval_string(kv, "port", NULL));
        }
        if (keyval_has(kv, "fd")) {
            out->kind = keyval_bool(kv, "server", false) ? CHAR_UNIX : CHAR_FD;
            out->fd = (int)keyval_number(kv, "fd", 0);
        }
        take_family(kv, out);
        return take_socket(kv, out, error);
    }
    case CHAR_UDP:
        take_family(kv, out);
        out->host = g_strdup(keyval_string(kv, "host", "localhost"));
        out->service = g_strdup(keyval_string(kv, "port", NULL));
        out->local_host = g_strdup(keyval_string(kv, "localaddr", NULL));
        out->local_service = g_strdup(keyval_string(kv, "localport", NULL));
        return keyval_require(kv, "port", error);
    case CHAR_RINGBUF: {
        uint64_t size = keyval_number(kv, "size", 65536);
        if (!size || size > RINGBUF_MOST || (size & (size - 1)))
            return fail(error, "ringbuf: size=%s is no power of two up to 1G (65536 unless given)",
                        keyval_string(kv, "size", ""));
        out->size = (uint32_t)size;
        return true;
    }
    case CHAR_TCP:
    case CHAR_REFERENCE:
    case CHAR_KINDS:
        break;
    }
    return false;
}

bool char_spec_parse_chardev(const char *text, struct char_spec *out, char **id, GError **error)
{
    size_t len = strcspn(text, ",");
    g_autofree char *word = g_strndup(text, len);
    const char *name = g_str_has_prefix(word, "backend=") ? word + 8 : word;
    const struct backend_row *row = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(backends) && !row; i++)
        if (backends[i].chardev && g_str_equal(backends[i].chardev, name))
            row = &backends[i];
    if (!row)
        return unknown_backend(name, true, error);
    if (row->later)
        return fail(error, "%s: is QEMU's and not in netlab-emu yet; %s", name, row->later);
    KEYVAL_AUTO struct keyval *kv = keyval_parse(&row->options, text, error);
    if (!kv)
        return false;
    struct char_spec spec = {.kind = row->kind, .fd = -1, .signal = true};
    if (!keyval_require(kv, "id", error) || !take_chardev(row, kv, &spec, error) ||
        !check_services(&spec, error)) {
        char_spec_clear(&spec);
        return false;
    }
    *out = spec;
    *id = g_strdup(keyval_string(kv, "id", NULL));
    return true;
}

void char_spec_clear(struct char_spec *spec)
{
    g_clear_pointer(&spec->path, g_free);
    g_clear_pointer(&spec->host, g_free);
    g_clear_pointer(&spec->service, g_free);
    g_clear_pointer(&spec->local_host, g_free);
    g_clear_pointer(&spec->local_service, g_free);
    g_clear_pointer(&spec->input_path, g_free);
    g_clear_pointer(&spec->log_path, g_free);
}

void char_spec_describe_all(GString *out)
{
    for (size_t i = 0; i < G_N_ELEMENTS(backends); i++)
        if (!backends[i].later)
            g_string_append_printf(out, "  %-38s %s\n", backends[i].form, backends[i].help);
}
