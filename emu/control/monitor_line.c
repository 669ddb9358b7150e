/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What a person types at: the monitor's prompt, with a line that can be edited, a history, and completion.
 *
 * The terminal is taken to be an ANSI one in raw mode: the line is drawn again from the cursor on after each
 * change, and the cursor goes back by backspaces. Cursor keys come as ESC [ letter or ESC O letter, or ESC [
 * number ~; every key has a control character besides, Emacs' one. Line feeds of answers become CR LF. The
 * history goes with the connection, for the next peer of a socket may be another person.
 */
#include "emu/control/control_internal.h"

#include <string.h>

static const char prompt[] = "(netlab) ";

/* ---- the terminal ---- */

static void show(struct monitor_session *session, const char *text)
{
    g_autoptr(GString) lines = g_string_new(NULL);
    for (; *text; text++) {
        if (*text == '\n')
            g_string_append_c(lines, '\r');
        g_string_append_c(lines, *text);
    }
    char_write(session->port, (const uint8_t *)lines->str, lines->len);
}

static bool is_inner(char c)
{
    return ((uint8_t)c & 0xc0) == 0x80; /* not the first byte of a character */
}

static unsigned columns(const char *text)
{
    unsigned count = 0;
    for (; *text; text++)
        count += !is_inner(*text);
    return count;
}

/* Shows the line from `from` on, blanks behind it, and puts the cursor where it belongs. */
static void redraw(struct monitor_session *session, size_t from, unsigned blanks)
{
    g_autoptr(GString) text = g_string_new(session->line->str + from);
    unsigned back = columns(session->line->str + session->at) + blanks;
    for (unsigned i = 0; i < blanks; i++)
        g_string_append_c(text, ' ');
    for (unsigned i = 0; i < back; i++)
        g_string_append_c(text, '\b');
    show(session, text->str);
}

void monitor_prompt(struct monitor_session *session)
{
    show(session, "\n");
    show(session, prompt);
    redraw(session, 0, 0);
}

/* ---- editing ---- */

static size_t before(const struct monitor_session *session, size_t at)
{
    while (at > 0 && is_inner(session->line->str[--at]))
        ;
    return at;
}

static size_t behind(const struct monitor_session *session, size_t at)
{
    if (at < session->line->len)
        at++;
    while (at < session->line->len && is_inner(session->line->str[at]))
        at++;
    return at;
}

static void move_to(struct monitor_session *session, size_t at)
{
    const char *text = session->line->str;
    if (at < session->at) {
        g_autofree char *passed = g_strndup(text + at, session->at - at);
        session->at = at;
        g_autofree char *back = g_strnfill(columns(passed), '\b');
        show(session, back);
    } else {
        g_autofree char *passed = g_strndup(text + session->at, at - session->at);
        session->at = at;
        show(session, passed);
    }
}

/* Removes from `from` to `to`, one of which is where the cursor is. */
static void erase(struct monitor_session *session, size_t from, size_t to)
{
    g_autofree char *gone = g_strndup(session->line->str + from, to - from);
    if (from == to)
        return;
    move_to(session, from);
    g_string_erase(session->line, (gssize)from, (gssize)(to - from));
    redraw(session, from, columns(gone));
}

static void insert(struct monitor_session *session, const char *text, size_t len)
{
    size_t from = session->at;
    if (session->line->len + len > MONITOR_LINE_MOST)
        return;
    g_string_insert_len(session->line, (gssize)from, text, (gssize)len);
    session->at += len;
    redraw(session, from, 0);
}

static void replace_line(struct monitor_session *session, const char *text)
{
    move_to(session, 0);
    erase(session, 0, session->line->len);
    insert(session, text, strlen(text));
}

static void erase_word(struct monitor_session *session)
{
    size_t from = session->at;
    while (from > 0 && session->line->str[from - 1] == ' ')
        from--;
    while (from > 0 && session->line->str[from - 1] != ' ')
        from--;
    erase(session, from, session->at);
}

/* ---- history and completion ---- */

static void recall(struct monitor_session *session, unsigned back)
{
    if (back > session->history->length)
        return;
    if (!session->back) {
        g_free(session->typed);
        session->typed = g_strdup(session->line->str);
    }
    session->back = back;
    replace_line(session,
                 back ? g_queue_peek_nth(session->history, session->history->length - back) : session->typed);
}

static void remember(struct monitor_session *session, const char *line)
{
    const char *last = g_queue_peek_tail(session->history);
    session->back = 0;
    if (!*line || (last && g_str_equal(line, last)))
        return;
    g_queue_push_tail(session->history, g_strdup(line));
    if (session->history->length > MONITOR_HISTORY_MOST)
        g_free(g_queue_pop_head(session->history));
}

void monitor_history(const struct monitor_session *session, GString *out)
{
    unsigned number = 0;
    for (const GList *at = session->history->head; at; at = at->next)
        g_string_append_printf(out, "%u: '%s'\n", number++, (const char *)at->data);
}

/* As far as all candidates agree; when that is no further than what is there, they are listed. */
static void complete(struct monitor_session *session)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    g_autofree char *line = g_strndup(session->line->str, session->at);
    const char *space = strrchr(line, ' ');
    size_t have = strlen(space ? space + 1 : line);
    monitor_complete(line, words);
    if (!words->len)
        return;
    const char *first = words->pdata[0];
    size_t same = strlen(first);
    for (guint i = 1; i < words->len; i++)
        while (strncmp(first, words->pdata[i], same))
            same--;
    if (same > have)
        insert(session, first + have, same - have);
    if (words->len == 1) {
        insert(session, " ", 1);
    } else if (same <= have) {
        show(session, "\n");
        for (guint i = 0; i < words->len; i++) {
            show(session, i ? "  " : "");
            show(session, words->pdata[i]);
        }
        monitor_prompt(session);
    }
}

/* ---- keys ---- */

enum {
    KEY_CTRL_A = 1,
    KEY_CTRL_B,
    KEY_CTRL_C,
    KEY_CTRL_D,
    KEY_CTRL_E,
    KEY_CTRL_F,
    KEY_TAB = '\t',
    KEY_CTRL_K = 11,
    KEY_CTRL_N = 14,
    KEY_CTRL_P = 16,
    KEY_CTRL_U = 21,
    KEY_CTRL_W = 23,
    KEY_ESC = 27,
    KEY_DELETE = 127
};

static void drop_line(struct monitor_session *session)
{
    g_string_truncate(session->line, 0);
    session->at = 0;
    session->back = 0;
}

static void run_line(struct monitor_session *session)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *line = g_strdup(session->line->str);
    remember(session, line);
    drop_line(session);
    show(session, "\n");
    session->control->typing = session;
    monitor_execute(session->control, line, out);
    session->control->typing = NULL;
    show(session, out->str);
    show(session, prompt);
}

static void take_key(struct monitor_session *session, uint8_t key)
{
    switch (key) {
    case '\r':
    case '\n':
        run_line(session);
        break;
    case KEY_ESC:
        session->escape = MONITOR_ESC;
        break;
    case KEY_DELETE:
    case '\b':
        erase(session, before(session, session->at), session->at);
        break;
    case KEY_CTRL_D:
        erase(session, session->at, behind(session, session->at));
        break;
    case KEY_CTRL_K:
        erase(session, session->at, session->line->len);
        break;
    case KEY_CTRL_W:
        erase_word(session);
        break;
    case KEY_CTRL_A:
        move_to(session, 0);
        break;
    case KEY_CTRL_E:
        move_to(session, session->line->len);
        break;
    case KEY_CTRL_B:
        move_to(session, before(session, session->at));
        break;
    case KEY_CTRL_F:
        move_to(session, behind(session, session->at));
        break;
    case KEY_CTRL_P:
        recall(session, session->back + 1);
        break;
    case KEY_CTRL_N:
        if (session->back)
            recall(session, session->back - 1);
        break;
    case KEY_TAB:
        complete(session);
        break;
    case KEY_CTRL_C: /* the line is dropped */
    case KEY_CTRL_U:
        drop_line(session);
        monitor_prompt(session);
        break;
    default:
        if (key >= ' ')
            insert(session, (const char *)&key, 1);
        break;
    }
}

/* The last character of ESC [ …, as the control character that does the same; 0: none. */
static uint8_t cursor_key(unsigned number, uint8_t letter)
{
    static const struct {
        unsigned number;
        char letter;
        uint8_t key;
    } keys[] = {
        {0, 'A', KEY_CTRL_P}, {0, 'B', KEY_CTRL_N}, {0, 'C', KEY_CTRL_F}, {0, 'D', KEY_CTRL_B},
        {0, 'H', KEY_CTRL_A}, {0, 'F', KEY_CTRL_E}, {1, '~', KEY_CTRL_A}, {3, '~', KEY_CTRL_D},
        {4, '~', KEY_CTRL_E}, {7, '~', KEY_CTRL_A}, {8, '~', KEY_CTRL_E},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if (keys[i].letter == letter && keys[i].number == number)
            return keys[i].key;
    return 0;
}

static void take_byte(struct monitor_session *session, uint8_t byte)
{
    uint8_t key = 0;
    switch (session->escape) {
    case MONITOR_PLAIN:
        take_key(session, byte);
        return;
    case MONITOR_ESC:
        if (byte == KEY_ESC)
            return;
        session->escape = byte == '[' || byte == 'O' ? MONITOR_CSI : MONITOR_PLAIN;
        session->number = 0;
        return;
    case MONITOR_CSI:
        if (g_ascii_isdigit(byte))
            session->number = MIN(session->number * 10 + (byte - '0'), 1000u);
        if (byte >= ' ' && byte < '@') /* parameters; what is below ends it, too */
            return;
        session->escape = MONITOR_PLAIN;
        key = cursor_key(session->number, byte);
        if (key)
            take_key(session, key);
        return;
    }
}

/* ---- sessions ---- */

static void session_input(void *opaque, const uint8_t *data, size_t len)
{
    struct monitor_session *session = opaque;
    for (size_t i = 0; i < len; i++)
        take_byte(session, data[i]);
    char_accept(session->port, 256);
}

static void session_opened(void *opaque)
{
    struct monitor_session *session = opaque;
    drop_line(session);
    g_queue_clear_full(session->history, g_free);
    g_clear_pointer(&session->typed, g_free);
    session->escape = MONITOR_PLAIN;
    char_accept(session->port, 256);
}

/* A face of a shared terminal shows nothing before it comes to the front (control_prompt). */
static void session_opened_alone(void *opaque)
{
    struct monitor_session *session = opaque;
    session_opened(opaque);
    show(session, "netlab-emu " NETLAB_VERSION " monitor - type 'help' for its commands\n");
    show(session, prompt);
}

static const struct char_events face_events = {.input = session_input, .opened = session_opened};
static const struct char_events alone_events = {.input = session_input, .opened = session_opened_alone};

struct monitor_session *monitor_session_new(struct control *control, struct char_port *port)
{
    struct monitor_session *session = g_new0(struct monitor_session, 1);
    session->control = control;
    session->port = port;
    session->line = g_string_new(NULL);
    session->history = g_queue_new();
    char_connect(port, char_is_shared(port) ? &face_events : &alone_events, session);
    return session;
}

void monitor_session_free(struct monitor_session *session)
{
    char_connect(session->port, NULL, NULL);
    g_string_free(session->line, TRUE);
    g_queue_free_full(session->history, g_free);
    g_free(session->typed);
    g_free(session);
}
