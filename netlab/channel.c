/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * JSON lines; see channel.h.
 */
#include "netlab/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LONGEST_LINE = 8 << 20 /* guest-exec's output is at most 1 MiB, in base64 */,
    SEND_TIMEOUT_MS = 10000
};

void channel_init(struct channel *channel, int fd)
{
    *channel = (struct channel){.fd = fd, .cancel_fd = -1, .in = g_byte_array_new(), .received_fd = -1};
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void channel_clear(struct channel *channel)
{
    if (!channel->in)
        return;
    if (channel->fd >= 0)
        close(channel->fd);
    if (channel->received_fd >= 0)
        close(channel->received_fd);
    g_byte_array_unref(channel->in);
    *channel = (struct channel){.fd = -1, .cancel_fd = -1, .received_fd = -1};
}

static bool send_bytes(struct channel *channel, const char *data, size_t length, int fd, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + SEND_TIMEOUT_MS * 1000;
    while (length) {
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec iov = {(void *)data, length};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        if (fd >= 0) {
            message.msg_control = control.bytes;
            message.msg_controllen = sizeof control.bytes;
            struct cmsghdr *header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof fd);
            memcpy(CMSG_DATA(header), &fd, sizeof fd);
        }
        ssize_t sent = sendmsg(channel->fd, &message, MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
            fd = -1;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) {
            g_set_error(error, G_IO_ERROR,
                        errno == EPIPE || errno == ECONNRESET ? G_IO_ERROR_CLOSED : G_IO_ERROR_FAILED,
                        "sending: %s", g_strerror(errno));
            return false;
        }
        int left = (int)((deadline - g_get_monotonic_time()) / 1000);
        struct pollfd poll_fd = {.fd = channel->fd, .events = POLLOUT};
        if (left <= 0 || (poll(&poll_fd, 1, left) == 0)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "sending: the other side does not read");
            return false;
        }
    }
    return true;
}

bool channel_send(struct channel *channel, JsonObject *object, int fd, GError **error)
{
    g_autoptr(JsonNode) node = json_node_alloc();
    json_node_init_object(node, object);
    g_autofree char *text = json_to_string(node, FALSE);
    g_autofree char *line = g_strconcat(text, "\n", NULL);
    return send_bytes(channel, line, strlen(line), fd, error);
}

bool channel_send_text(struct channel *channel, const char *json, GError **error)
{
    g_autofree char *line = g_strconcat(json, "\n", NULL);
    return send_bytes(channel, line, strlen(line), -1, error);
}

/* Reads what is there. 1: something came, 0: nothing now, -1: closed or broken (error set). */
static int read_more(struct channel *channel, GError **error)
{
    char data[65536];
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {data, sizeof data};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CLOSED, "the connection was closed%s%s",
                    got < 0 ? ": " : "", got < 0 ? g_strerror(errno) : "");
        return -1;
    }
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        if (channel->received_fd >= 0)
            close(channel->received_fd);
        memcpy(&channel->received_fd, CMSG_DATA(header), sizeof channel->received_fd);
    }
    g_byte_array_append(channel->in, (guint8 *)data, (guint)got);
    if (channel->in->len > LONGEST_LINE) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other side sent a line of more than %d bytes", LONGEST_LINE);
        return -1;
    }
    return 1;
}

/* Takes a whole line out of the buffer, without its end; NULL when there is none. */
static char *take_line(struct channel *channel)
{
    guint8 *newline = channel->in->len ? memchr(channel->in->data, '\n', channel->in->len) : NULL;
    if (!newline)
        return NULL;
    guint length = (guint)(newline - channel->in->data);
    guint start = 0;
    for (guint i = 0; i < length; i++) {
        if (channel->in->data[i] == 0xff)
            start = i + 1;
    }
    char *line = g_strndup((char *)channel->in->data + start, length - start);
    g_byte_array_remove_range(channel->in, 0, length + 1);
    return line;
}

static bool has_line(const struct channel *channel)
{
    return channel->in->len && memchr(channel->in->data, '\n', channel->in->len);
}

bool channel_try(struct channel *channel, JsonObject **object, GError **error)
{
    *object = NULL;
    g_autofree char *line = take_line(channel);
    if (!line) {
        if (read_more(channel, error) < 0)
            return false;
        line = take_line(channel);
    }
    if (!line || !*g_strstrip(line))
        return true;
    g_autoptr(GError) cause = NULL;
    g_autoptr(JsonNode) root = json_from_string(line, &cause);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                    "the other side sent what is no JSON object: %.100s", line);
        return false;
    }
    *object = json_node_dup_object(root);
    return true;
}

JsonObject *channel_receive(struct channel *channel, int timeout_ms, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    for (;;) {
        JsonObject *object;
        if (!channel_try(channel, &object, error))
            return NULL;
        if (object)
            return object;
        if (has_line(channel))
            continue;
        int left = timeout_ms < 0 ? -1 : (int)((deadline - g_get_monotonic_time()) / 1000);
        if (timeout_ms >= 0 && left <= 0) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "no answer within %g s",
                        timeout_ms / 1000.0);
            return NULL;
        }
        struct pollfd fds[2] = {{.fd = channel->fd, .events = POLLIN},
                                {.fd = channel->cancel_fd, .events = POLLIN}};
        if (poll(fds, 2, left) > 0 && fds[1].revents) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "interrupted");
            return NULL;
        }
    }
}

static JsonNode *value(JsonObject *object, const char *member, GType type)
{
    JsonNode *node = object ? json_object_get_member(object, member) : NULL;
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type ? node : NULL;
}

const char *channel_string(JsonObject *object, const char *member, const char *fallback)
{
    JsonNode *node = value(object, member, G_TYPE_STRING);
    return node ? json_node_get_string(node) : fallback;
}

gint64 channel_number(JsonObject *object, const char *member, gint64 fallback)
{
    JsonNode *node = value(object, member, G_TYPE_INT64);
    return node ? json_node_get_int(node) : fallback;
}

bool channel_flag(JsonObject *object, const char *member)
{
    JsonNode *node = value(object, member, G_TYPE_BOOLEAN);
    return node && json_node_get_boolean(node);
}
