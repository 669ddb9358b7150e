/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * A VNC server: the RFB protocol (RFC 6143) by libvncserver, on a TCP port or a UNIX socket.
 *
 * libvncserver reads and writes its clients' sockets until a message is through, so it has a thread of its
 * own: a viewer that does not read holds up other viewers (for CLIENT_WAIT_MS, then it is dropped), never the
 * guest. Between the threads is `shared`, under its lock: a copy of the screen with the rectangle that is new
 * in it, and what viewers typed. Each side wakes the other by an eventfd. All of libvncserver is called on
 * the thread alone, which sleeps in poll() with no time limit.
 *
 * A viewer that has connected waits until the machine's side has looked at the screen, so that the size it is
 * told first is the right one.
 */
#include "emu/display/backends.h"

#include "emu/machine/loop.h"
#include "emu/trace.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <rfb/rfb.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    VIEWERS_MOST = 16,
    EVENTS_MOST = 256,
    CLIENT_WAIT_MS = 5000,
    PASSWORD_BYTES = 8,
    CHALLENGE_BYTES = 16
};
enum { EMPTY_WIDTH = 640, EMPTY_HEIGHT = 480 }; /* before there is a picture */

/* What is used of libvncserver. It is loaded with the first server: the libraries it needs in turn cost every
 * other machine as much time at its start as all the rest of it. */
#define RFB_FUNCTIONS(X)                                                                                     \
    X(rfbLogEnable)                                                                                          \
    X(rfbGetScreen)                                                                                          \
    X(rfbInitServer)                                                                                         \
    X(rfbNewFramebuffer)                                                                                     \
    X(rfbNewClient)                                                                                          \
    X(rfbProcessEvents)                                                                                      \
    X(rfbMarkRectAsModified)                                                                                 \
    X(rfbEncryptBytes)                                                                                       \
    X(rfbCloseClient)                                                                                        \
    X(rfbClientConnectionGone)                                                                               \
    X(rfbScreenCleanup)

struct rfb {
#define X(name) __typeof__(name) *name##_;
    RFB_FUNCTIONS(X)
#undef X
    int *client_wait;
};

struct event {
    enum { EVENT_KEY, EVENT_POINTER, EVENT_LEFT } kind;
    uint32_t keysym;
    bool down;
    int x, y, buttons;
};

struct shared {
    pthread_mutex_t lock;
    bool quit;
    uint32_t *pixels; /* width × height */
    unsigned width, height;
    struct display_rect changed;
    bool resized;
    struct event events[EVENTS_MOST];
    unsigned event_count;
    struct vnc_peer peers[VIEWERS_MOST]; /* connected, the waiting ones included */
    unsigned viewers;
    unsigned asks, answers; /* for a look at the screen */
    char password[PASSWORD_BYTES + 1];
    bool has_password;
    int64_t password_ends; /* seconds since 1970; 0: never */
};

struct vnc {
    struct rfb rfb;
    struct display *display;
    struct shared shared;
    int listener;
    int to_thread, to_machine; /* eventfds */
    char *host, *service, *path;
    const char *family;
    char *name;
    bool wants_password;
    enum vnc_share share;

    /* the machine's thread */
    struct display_viewer *viewer;
    struct loop_fd *watch;
    struct typist typist;
    int x, y;               /* of the pointer; -1: not known */
    unsigned width, height; /* of what was given to the server last */
    unsigned looked;        /* the last of `asks` that was answered */
    void (*news)(void *opaque, struct vnc *vnc, enum vnc_news news, const struct vnc_peer *peer);
    void *news_opaque;
    struct vnc_peer told[VIEWERS_MOST];
    unsigned told_count;

    /* the server's thread */
    pthread_t thread;
    bool running;
    rfbScreenInfoPtr screen;
    struct {
        struct vnc_peer peer;
        int fd;           /* accepted, waits for a look; libvncserver's from then on */
        rfbClientPtr who; /* NULL: still waits */
    } seats[VIEWERS_MOST];
    unsigned seat_count, serial;
};

static void wake(int fd)
{
    uint64_t one = 1;
    ssize_t put = write(fd, &one, sizeof one);
    (void)put; /* full: it is awake */
}

static void drain(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got;
}

/* ---- the machine's side ---- */

static void viewer_pixels(void *opaque, const struct display_surface *surface,
                          const struct display_rect *changed, bool resized)
{
    struct vnc *v = opaque;
    struct shared *s = &v->shared;
    struct display_rect r = *changed;
    v->width = surface->width;
    v->height = surface->height;
    pthread_mutex_lock(&s->lock);
    if (!s->pixels || s->width != surface->width || s->height != surface->height) {
        g_free(s->pixels);
        s->pixels = g_new(uint32_t, (size_t)surface->width * surface->height);
        s->width = surface->width;
        s->height = surface->height;
        s->resized = true;
        s->changed = (struct display_rect){0};
        r = (struct display_rect){0, 0, s->width, s->height};
    }
    for (unsigned y = r.y; y < r.y + r.height; y++)
        memcpy(s->pixels + (size_t)y * s->width + r.x, surface->pixels + (size_t)y * s->width + r.x,
               r.width * sizeof *s->pixels);
    if (s->changed.height) {
        unsigned right = MAX(s->changed.x + s->changed.width, r.x + r.width);
        unsigned bottom = MAX(s->changed.y + s->changed.height, r.y + r.height);
        r.x = MIN(r.x, s->changed.x);
        r.y = MIN(r.y, s->changed.y);
        r.width = right - r.x;
        r.height = bottom - r.y;
    }
    s->changed = r;
    pthread_mutex_unlock(&s->lock);
    wake(v->to_thread);
}

static const struct display_viewer_ops viewer_ops = {.pixels = viewer_pixels};

static void take_pointer(struct vnc *v, const struct event *e)
{
    if (display_front(v->viewer))
        return; /* a text console has no use for it */
    unsigned buttons = (e->buttons & 1) | (e->buttons & 4) >> 1 | (e->buttons & 2) << 1;
    int dz = (e->buttons & 8) ? -1 : (e->buttons & 16) ? 1 : 0;
    display_pointer(v->display, e->x, e->y, v->width, v->height, dz, buttons, &v->x, &v->y);
}

static void take_event(struct vnc *v, const struct event *e)
{
    switch (e->kind) {
    case EVENT_KEY:
        typist_keysym(&v->typist, e->keysym, e->down);
        break;
    case EVENT_POINTER:
        take_pointer(v, e);
        break;
    case EVENT_LEFT:
        typist_release_all(&v->typist);
        v->x = v->y = -1;
        break;
    }
}

static const struct vnc_peer *peer_of(const struct vnc_peer *peers, unsigned count, unsigned serial)
{
    for (unsigned i = 0; i < count; i++)
        if (peers[i].serial == serial)
            return &peers[i];
    return NULL;
}

static void tell(struct vnc *v, const struct vnc_peer *peers, unsigned count)
{
    struct vnc_peer before[VIEWERS_MOST];
    unsigned before_count = v->told_count;
    memcpy(before, v->told, before_count * sizeof *before);
    memcpy(v->told, peers, count * sizeof *peers); /* news may ask for the list */
    v->told_count = count;
    for (unsigned i = 0; v->news && i < before_count; i++)
        if (!peer_of(peers, count, before[i].serial))
            v->news(v->news_opaque, v, VNC_NEWS_DISCONNECTED, &before[i]);
    for (unsigned i = 0; v->news && i < count; i++) {
        const struct vnc_peer *known = peer_of(before, before_count, peers[i].serial);
        if (!known)
            v->news(v->news_opaque, v, VNC_NEWS_CONNECTED, &peers[i]);
        if (peers[i].ready && !(known && known->ready))
            v->news(v->news_opaque, v, VNC_NEWS_INITIALIZED, &peers[i]);
    }
}

static void machine_ready(void *opaque, unsigned ready)
{
    struct vnc *v = opaque;
    struct shared *s = &v->shared;
    struct event events[EVENTS_MOST];
    struct vnc_peer peers[VIEWERS_MOST];
    drain(v->to_machine);
    pthread_mutex_lock(&s->lock);
    unsigned count = s->event_count, viewers = s->viewers, asks = s->asks;
    memcpy(events, s->events, count * sizeof *events);
    memcpy(peers, s->peers, viewers * sizeof *peers);
    s->event_count = 0;
    pthread_mutex_unlock(&s->lock);
    tell(v, peers, viewers);
    for (unsigned i = 0; i < count; i++)
        take_event(v, &events[i]);
    bool asked = asks != v->looked;
    v->looked = asks;
    display_set_active(v->viewer, viewers > 0);
    if (asked || count)
        display_hurry(v->display, asked);
    if (asked) {
        pthread_mutex_lock(&s->lock);
        s->answers = asks;
        pthread_mutex_unlock(&s->lock);
        wake(v->to_thread);
    }
}

/* ---- the server's side ---- */

static struct vnc *vnc_of(rfbScreenInfoPtr screen)
{
    return screen->screenData;
}

static void post(struct vnc *v, const struct event *event)
{
    struct shared *s = &v->shared;
    pthread_mutex_lock(&s->lock);
    struct event *last = s->event_count > 1 ? &s->events[s->event_count - 1] : NULL;
    bool between = last && last->kind == EVENT_POINTER && last->buttons == event->buttons &&
                   event->kind == EVENT_POINTER && last[-1].kind == EVENT_POINTER;
    if (between) /* a stop on the way; not the first of all, which motion is counted from */
        *last = *event;
    else if (s->event_count < EVENTS_MOST)
        s->events[s->event_count++] = *event;
    pthread_mutex_unlock(&s->lock);
    wake(v->to_machine);
}

static void client_key(rfbBool down, rfbKeySym keysym, rfbClientPtr client)
{
    post(vnc_of(client->screen), &(struct event){.kind = EVENT_KEY, .keysym = keysym, .down = down});
}

static void client_pointer(int buttons, int x, int y, rfbClientPtr client)
{
    post(vnc_of(client->screen), &(struct event){.kind = EVENT_POINTER, .x = x, .y = y, .buttons = buttons});
}

/* Somebody sits down: who it is, as far as the socket knows. */
static void take_seat(struct vnc *v, int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    struct vnc_peer peer = {.serial = ++v->serial, .family = "unix"};
    if (!getpeername(fd, (struct sockaddr *)&address, &size) && address.ss_family != AF_UNIX &&
        !getnameinfo((struct sockaddr *)&address, size, peer.host, sizeof peer.host, peer.service,
                     sizeof peer.service, NI_NUMERICHOST | NI_NUMERICSERV))
        peer.family = address.ss_family == AF_INET6 ? "ipv6" : "ipv4";
    v->seats[v->seat_count].peer = peer;
    v->seats[v->seat_count].who = NULL;
    v->seats[v->seat_count++].fd = fd; /* accept_viewer() keeps within VIEWERS_MOST */
}

/* Of a client, or of a socket that became none. */
static void leave_seat(struct vnc *v, rfbClientPtr who, int fd)
{
    for (unsigned i = 0; i < v->seat_count; i++) {
        if (who ? v->seats[i].who == who : !v->seats[i].who && v->seats[i].fd == fd) {
            v->seats[i] = v->seats[--v->seat_count];
            return;
        }
    }
}

/* Tells the machine's side who is there, when that has changed. */
static void count_viewers(struct vnc *v)
{
    struct shared *s = &v->shared;
    bool same = true;
    pthread_mutex_lock(&s->lock);
    same = s->viewers == v->seat_count;
    for (unsigned i = 0; i < v->seat_count; i++) {
        struct vnc_peer *peer = &v->seats[i].peer;
        peer->ready = peer->ready || (v->seats[i].who && v->seats[i].who->state == RFB_NORMAL);
        same = same && s->peers[i].serial == peer->serial && s->peers[i].ready == peer->ready;
        s->peers[i] = *peer;
    }
    s->viewers = v->seat_count;
    pthread_mutex_unlock(&s->lock);
    if (!same)
        wake(v->to_machine);
}

static void client_gone(rfbClientPtr client)
{
    struct vnc *v = vnc_of(client->screen);
    leave_seat(v, client, -1);
    post(v, &(struct event){.kind = EVENT_LEFT});
}

static enum rfbNewClientAction client_new(rfbClientPtr client)
{
    struct vnc *v = vnc_of(client->screen);
    client->clientGoneHook = client_gone;
    for (unsigned i = 0; i < v->seat_count; i++)
        if (!v->seats[i].who && v->seats[i].fd == client->sock)
            v->seats[i].who = client;
    return RFB_CLIENT_ACCEPT;
}

/* RFB 7.2.2: the challenge encrypted with the password. */
static rfbBool check_password(rfbClientPtr client, const char *response, int len)
{
    struct vnc *v = vnc_of(client->screen);
    char password[PASSWORD_BYTES + 1];
    uint8_t want[CHALLENGE_BYTES], differ = 0;
    pthread_mutex_lock(&v->shared.lock);
    int64_t ends = v->shared.password_ends;
    bool has = v->shared.has_password && (!ends || g_get_real_time() / G_USEC_PER_SEC < ends);
    memcpy(password, v->shared.password, sizeof password);
    pthread_mutex_unlock(&v->shared.lock);
    if (!has || len != CHALLENGE_BYTES)
        return FALSE;
    memcpy(want, client->authChallenge, CHALLENGE_BYTES);
    v->rfb.rfbEncryptBytes_(want, password);
    for (unsigned i = 0; i < CHALLENGE_BYTES; i++)
        differ |= want[i] ^ (uint8_t)response[i];
    return differ == 0;
}

static void accept_viewer(struct vnc *v)
{
    int fd = accept4(v->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (fd >= FD_SETSIZE || v->seat_count >= VIEWERS_MOST) { /* libvncserver uses select() */
        trace(DISPLAY, "no room for another viewer");
        close(fd);
        return;
    }
    take_seat(v, fd);
    pthread_mutex_lock(&v->shared.lock);
    v->shared.asks++;
    pthread_mutex_unlock(&v->shared.lock);
    count_viewers(v);
}

static void resize_screen(struct vnc *v, unsigned width, unsigned height)
{
    char *before = v->screen->frameBuffer;
    char *pixels = g_malloc0((size_t)width * height * sizeof(uint32_t));
    v->rfb.rfbNewFramebuffer_(v->screen, pixels, (int)width, (int)height, 8, 3, 4);
    v->screen->serverFormat.redShift = 16;
    v->screen->serverFormat.greenShift = 8;
    v->screen->serverFormat.blueShift = 0;
    g_free(before);
}

/* Takes over what the machine's side has left. False: the end. */
static bool take_shared(struct vnc *v)
{
    struct shared *s = &v->shared;
    pthread_mutex_lock(&s->lock);
    bool quit = s->quit, fresh = s->asks == s->answers;
    struct display_rect r = s->changed;
    if (s->resized)
        resize_screen(v, s->width, s->height);
    for (unsigned y = r.y; y < r.y + r.height; y++)
        memcpy((uint32_t *)(void *)v->screen->frameBuffer + (size_t)y * s->width + r.x,
               s->pixels + (size_t)y * s->width + r.x, r.width * sizeof(uint32_t));
    s->changed = (struct display_rect){0};
    s->resized = false;
    pthread_mutex_unlock(&s->lock);
    if (quit)
        return false;
    if (r.height)
        v->rfb.rfbMarkRectAsModified_(v->screen, (int)r.x, (int)r.y, (int)(r.x + r.width),
                                      (int)(r.y + r.height));
    for (unsigned i = 0; fresh && i < v->seat_count;) {
        int fd = v->seats[i].fd;
        if (v->seats[i].who) {
            i++;
            continue;
        }
        if (!v->rfb.rfbNewClient_(v->screen, fd)) /* it may be off its seat already, and another on it */
            leave_seat(v, NULL, fd);
    }
    return true;
}

static void *serve(void *opaque)
{
    struct vnc *v = opaque;
    for (;;) {
        struct pollfd fds[2 + VIEWERS_MOST] = {{.fd = v->to_thread, .events = POLLIN},
                                               {.fd = v->listener, .events = POLLIN}};
        unsigned count = 2;
        for (unsigned i = 0; i < v->seat_count; i++)
            if (v->seats[i].who)
                fds[count++] = (struct pollfd){.fd = v->seats[i].who->sock, .events = POLLIN};
        if (poll(fds, count, -1) < 0 && errno != EINTR)
            return NULL;
        if (fds[0].revents)
            drain(v->to_thread);
        if (!take_shared(v))
            return NULL;
        if (fds[1].revents & POLLIN)
            accept_viewer(v);
        v->rfb.rfbProcessEvents_(v->screen, 0);
        count_viewers(v);
    }
}

/* ---- listening ---- */

static int listen_unix(struct vnc *v, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(v->path) >= sizeof address.sun_path) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "the path of a socket has at most %zu bytes; %s is longer", sizeof address.sun_path - 1,
                    v->path);
        return -1;
    }
    strcpy(address.sun_path, v->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool bound = fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof address);
    int why = errno;
    if (fd >= 0 && !bound && why == EADDRINUSE) { /* left behind by one that was killed? */
        int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct stat st; /* connecting to a file that is no socket is refused, too */
        bool dead = lstat(v->path, &st) == 0 && S_ISSOCK(st.st_mode) && probe >= 0 &&
                    connect(probe, (struct sockaddr *)&address, sizeof address) && errno == ECONNREFUSED;
        if (probe >= 0)
            close(probe);
        if (dead && !unlink(v->path))
            bound = !bind(fd, (struct sockaddr *)&address, sizeof address);
        why = dead ? errno : EADDRINUSE;
    }
    if (bound && !chmod(v->path, 0600) && !listen(fd, VIEWERS_MOST))
        return fd;
    if (bound) {
        why = errno;
        unlink(v->path);
    }
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                "listening on %s: %s (name a socket that is not in use, "
                "in a folder you may write to)",
                v->path, g_strerror(why));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int listen_tcp(struct vnc *v, const struct vnc_config *config, GError **error)
{
    int why = EADDRNOTAVAIL;
    for (unsigned port = config->port; port <= config->port_to; port++) {
        g_autofree char *service = g_strdup_printf("%u", port);
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
        struct addrinfo *list = NULL;
        int bad = getaddrinfo(config->where, service, &hints, &list);
        if (bad) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "'%s': %s (give an address of this host)", config->where, gai_strerror(bad));
            return -1;
        }
        for (const struct addrinfo *a = list; a; a = a->ai_next) {
            int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            if (fd >= 0) {
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
                if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, VIEWERS_MOST)) {
                    v->family = a->ai_family == AF_INET6 ? "ipv6" : "ipv4";
                    v->service = g_steal_pointer(&service);
                    freeaddrinfo(list);
                    return fd;
                }
            }
            why = errno;
            if (fd >= 0)
                close(fd);
        }
        freeaddrinfo(list);
    }
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                "listening on %s, port %u: %s (take another display number, or let to= find one)",
                config->where, config->port, g_strerror(why));
    return -1;
}

/* Connects to a viewer that waits for it. Waits for the connection, before the machine runs. */
static bool connect_viewer(struct vnc *v, const struct vnc_config *config, GError **error)
{
    g_autofree char *service = g_strdup_printf("%u", config->port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int bad = getaddrinfo(config->where, service, &hints, &list), fd = -1, why = EADDRNOTAVAIL;
    if (bad) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "'%s': %s (give a viewer's host)",
                    config->where, gai_strerror(bad));
        return false;
    }
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen)) {
            why = errno;
            close(fd);
            fd = -1;
        }
        v->family = a->ai_family == AF_INET6 ? "ipv6" : "ipv4";
    }
    freeaddrinfo(list);
    if (fd < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(why),
                    "connecting to a viewer at %s, port %u: %s (start it with -listen first)", config->where,
                    config->port, g_strerror(why));
        return false;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    v->host = g_strdup(config->where);
    v->service = g_steal_pointer(&service);
    take_seat(v, fd);
    v->shared.asks++;
    v->shared.peers[0] = v->seats[0].peer;
    v->shared.viewers = 1;
    return true;
}

static bool start_listening(struct vnc *v, const struct vnc_config *config, GError **error)
{
    if (config->reverse)
        return connect_viewer(v, config, error);
    if (g_str_has_prefix(config->where, "unix:")) {
        v->path = g_strdup(config->where + strlen("unix:"));
        v->host = g_strdup(v->path);
        v->family = "unix";
        v->service = g_strdup("");
        v->listener = listen_unix(v, error);
        if (v->listener < 0)
            g_clear_pointer(&v->path, g_free); /* it is another's */
    } else {
        v->host = g_strdup(config->where);
        v->listener = listen_tcp(v, config, error);
    }
    return v->listener >= 0;
}

/* ---- life ---- */

static bool load_library(struct vnc *v, GError **error)
{
    /* It stays loaded until the end: libraries it needs have exit handlers. */
    void *library = dlopen("libvncserver.so.1", RTLD_NOW | RTLD_LOCAL);
    bool whole = library != NULL;
    /* Names that are macros in the header are those they stand for. */
#define TEXT(name) #name
#define X(name)                                                                                              \
    if (whole)                                                                                               \
        whole = (v->rfb.name##_ = (__typeof__(name) *)dlsym(library, TEXT(name))) != NULL;
    RFB_FUNCTIONS(X)
#undef X
#undef TEXT
    if (whole)
        whole = (v->rfb.client_wait = dlsym(library, "rfbMaxClientWait")) != NULL;
    if (!whole)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "VNC needs the library libvncserver: %s (install Debian's package libvncserver1)",
                    dlerror());
    return whole;
}

static void start_screen(struct vnc *v)
{
    v->rfb.rfbLogEnable_(FALSE);
    *v->rfb.client_wait = CLIENT_WAIT_MS;
    v->screen = v->rfb.rfbGetScreen_(NULL, NULL, EMPTY_WIDTH, EMPTY_HEIGHT, 8, 3, 4);
    v->screen->frameBuffer = NULL;
    v->screen->screenData = v;
    v->screen->desktopName = v->name;
    v->screen->alwaysShared = v->share == VNC_SHARE_IGNORE;
    v->screen->dontDisconnect = v->share == VNC_SHARE_FORCED;
    v->screen->deferUpdateTime = 0;
    v->screen->port = v->screen->ipv6port = 0; /* it does not listen itself */
    v->screen->autoPort = FALSE;
    v->screen->cursor = NULL;
    v->screen->kbdAddEvent = client_key;
    v->screen->ptrAddEvent = client_pointer;
    v->screen->newClientHook = client_new;
    if (v->wants_password) {
        v->screen->authPasswdData = v; /* not NULL: authentication it is */
        v->screen->passwordCheck = check_password;
    }
    resize_screen(v, EMPTY_WIDTH, EMPTY_HEIGHT);
    v->rfb.rfbInitServer_(v->screen);
}

struct vnc *vnc_new(struct display *display, const struct vnc_config *config, GError **error)
{
    struct vnc *v = g_new0(struct vnc, 1);
    sigset_t all, before;
    v->display = display;
    v->name = g_strdup_printf("netlab-emu%s%s", config->name ? ": " : "", config->name ? config->name : "");
    v->wants_password = config->password;
    v->share = config->share;
    v->news = config->news;
    v->news_opaque = config->news_opaque;
    v->to_thread = v->to_machine = v->x = v->y = -1;
    pthread_mutex_init(&v->shared.lock, NULL);
    typist_init(&v->typist, display, config->keymap);
    v->listener = -1;
    if (!load_library(v, error) || !start_listening(v, config, error)) {
        vnc_free(v);
        return NULL;
    }
    v->to_thread = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    v->to_machine = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int why = errno;
    if (v->to_thread >= 0 && v->to_machine >= 0) {
        v->viewer = v->typist.viewer = display_add_viewer(display, &viewer_ops, v);
        v->watch = loop_add_fd(display_loop(display), v->to_machine, LOOP_READ, machine_ready, v);
        start_screen(v);
        sigfillset(&all); /* signals are for the machine's thread; SIGPIPE is an error code here */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        why = pthread_create(&v->thread, NULL, serve, v);
        if (!why)
            pthread_setname_np(v->thread, "vnc");
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        v->running = !why;
    }
    if (v->running && config->reverse)
        wake(v->to_machine); /* somebody is there already */
    if (v->running)
        return v;
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why), "starting the VNC server: %s",
                g_strerror(why));
    vnc_free(v);
    return NULL;
}

void vnc_free(struct vnc *v)
{
    if (!v)
        return;
    if (v->running) {
        pthread_mutex_lock(&v->shared.lock);
        v->shared.quit = true;
        pthread_mutex_unlock(&v->shared.lock);
        wake(v->to_thread);
        pthread_join(v->thread, NULL);
    }
    loop_remove_fd(v->watch);
    display_remove_viewer(v->viewer);
    if (v->screen) {
        for (unsigned i = 0; i < v->seat_count;) {
            rfbClientPtr who = v->seats[i].who;
            if (!who) {
                i++;
                continue;
            }
            v->rfb.rfbCloseClient_(who);
            v->rfb.rfbClientConnectionGone_(who); /* calls client_gone() */
        }
        g_free(v->screen->frameBuffer);
        v->screen->frameBuffer = NULL;
        v->rfb.rfbScreenCleanup_(v->screen);
    }
    while (v->seat_count)
        close(v->seats[--v->seat_count].fd);
    if (v->path)
        unlink(v->path);
    if (v->listener >= 0)
        close(v->listener);
    if (v->to_thread >= 0)
        close(v->to_thread);
    if (v->to_machine >= 0)
        close(v->to_machine);
    pthread_mutex_destroy(&v->shared.lock);
    g_free(v->shared.pixels);
    g_free(v->host);
    g_free(v->service);
    g_free(v->path);
    g_free(v->name);
    g_free(v);
}

bool vnc_set_password(struct vnc *v, const char *password)
{
    if (!v->wants_password)
        return false;
    pthread_mutex_lock(&v->shared.lock);
    memset(v->shared.password, 0, sizeof v->shared.password);
    strncpy(v->shared.password, password, PASSWORD_BYTES);
    v->shared.has_password = *password != 0;
    pthread_mutex_unlock(&v->shared.lock);
    return true;
}

bool vnc_expire_password(struct vnc *v, int64_t when)
{
    if (!v->wants_password)
        return false;
    pthread_mutex_lock(&v->shared.lock);
    v->shared.password_ends = when;
    pthread_mutex_unlock(&v->shared.lock);
    return true;
}

bool vnc_wants_password(const struct vnc *v)
{
    return v->wants_password;
}

const char *vnc_family(const struct vnc *v)
{
    return v->family;
}

const char *vnc_host(const struct vnc *v)
{
    return v->host;
}

const char *vnc_service(const struct vnc *v)
{
    return v->service;
}

unsigned vnc_viewers(struct vnc *v)
{
    pthread_mutex_lock(&v->shared.lock);
    unsigned viewers = v->shared.viewers;
    pthread_mutex_unlock(&v->shared.lock);
    return viewers;
}

bool vnc_peer(const struct vnc *v, unsigned index, struct vnc_peer *out)
{
    if (index >= v->told_count)
        return false;
    *out = v->told[index];
    return true;
}
