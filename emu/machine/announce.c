/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * announce-self: frames in the name of NICs, by which switches learn where they are now.
 *
 * Each is a reverse ARP request for the NIC's own address (RFC 903) to everybody, as if the guest had sent
 * it; the guest sees nothing of it. A series has a name, "" unless given; another one of the same name takes
 * its place. The times between the rounds grow by a step up to a limit, in guest time.
 */
#include "emu/dev/e1000.h"
#include "emu/machine/machine_internal.h"
#include "emu/net/backend.h"

#include <gio/gio.h>
#include <string.h>

enum { SERIES_MOST = 16, NS_PER_MS = 1000000, FRAME = 60 };

struct series {
    struct machine *machine;
    struct clock_timer *timer;
    struct control_announce how; /* its pointers are those below */
    char *id, **nics;
    unsigned done;
};

static void series_free(void *data)
{
    struct series *s = data;
    clock_timer_free(s->timer);
    g_strfreev(s->nics);
    g_free(s->id);
    g_free(s);
}

static void announce(const struct machine_card *card)
{
    static const uint8_t request[] = {0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3};
    uint8_t frame[FRAME] = {0};
    struct iovec iov = {frame, sizeof frame};
    memset(frame, 0xff, 6);
    memcpy(frame + 6, card->mac, 6);
    memcpy(frame + 12, request, sizeof request);
    memcpy(frame + 22, card->mac, 6); /* of the sender, */
    memcpy(frame + 32, card->mac, 6); /* and of whom it asks about */
    net_send(e1000_port(card->device), &(struct net_frame){.iov = &iov, .count = 1, .length = sizeof frame});
}

static void next_round(void *opaque)
{
    struct series *s = opaque;
    struct machine *m = s->machine;
    for (unsigned i = 0; i < m->card_count; i++)
        if (!s->nics ||
            (m->cards[i].config->id && g_strv_contains((const char *const *)s->nics, m->cards[i].config->id)))
            announce(&m->cards[i]);
    if (++s->done >= s->how.rounds) {
        g_ptr_array_remove(m->announcing, s);
        return;
    }
    int64_t wait = MIN(s->how.initial + (s->done - 1) * s->how.step, s->how.max);
    clock_timer_set(s->timer, clock_now(m->clock) + wait * NS_PER_MS);
}

bool machine_announce(void *opaque, const struct control_announce *how, GError **error)
{
    struct machine *m = opaque;
    if (!m->announcing)
        m->announcing = g_ptr_array_new_with_free_func(series_free);
    for (guint i = 0; i < m->announcing->len; i++)
        if (g_str_equal(((struct series *)m->announcing->pdata[i])->id, how->id))
            g_ptr_array_remove_index(m->announcing, i--);
    if (m->announcing->len >= SERIES_MOST) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_BUSY,
                    "%d series of announcements are on their way; wait for one", SERIES_MOST);
        return false;
    }
    if (!how->rounds)
        return true;
    struct series *s = g_new0(struct series, 1);
    s->machine = m;
    s->how = *how;
    s->id = g_strdup(how->id);
    s->nics = g_strdupv((char **)how->nics);
    s->timer = clock_timer_new(m->clock, next_round, s);
    g_ptr_array_add(m->announcing, s);
    clock_timer_set(s->timer, clock_now(m->clock)); /* from the loop */
    return true;
}

void machine_announce_free(struct machine *m)
{
    g_clear_pointer(&m->announcing, g_ptr_array_unref);
}
