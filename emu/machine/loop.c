/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The event loop: see loop.h.
 *
 * Two epoll sets, one inside the other:
 *
 *   inner   everything watched, and `wake`; the machine's thread waits on it while the guest is halted
 *           (loop_wait), with the next guest deadline as its time-out
 *   outer   the inner set as one EPOLLONESHOT member, `alarm` and `quit`; only the doorbell thread waits on
 * it
 *
 * One-shot gives exactly the promise of loop.h: the doorbell thread is told once, then hears nothing until
 * the machine's thread arms the member again. Arming an inner set that has something ready reports at once,
 * so nothing is lost in between. While the machine's thread sleeps itself the member is disarmed, so that an
 * event wakes one thread, not two; but not after a few sleeps that ended by time-out alone, for then the two
 * system calls would be spent on each tick of an idle guest.
 *
 * A guest that halts again soon after each event (an answer to a frame, a packet to forward) would pay two
 * system calls and a wake-up for a doorbell that nobody needs. So when a sleep was ended by an event the
 * member stays disarmed (`lazy`), and only `alarm` is set, LAZY_NS ahead, and then left alone: a guest that
 * runs that long is rung by it, and the dispatch that follows arms the member. Who looks at descriptors by
 * himself meanwhile says so (loop_looked): then it stays lazy, or becomes so.
 *
 * A halted guest that was woken by events soon after it halted, again and again, will be once more: to sleep
 * and be woken costs more time than it waits, mostly on another processor. So its thread looks for a while
 * before it sleeps (loop_look). The while grows only when looking on would have met the event, at most to
 * LOOK_MOST_NS, and is gone after a few longer waits; a guest whose timer alone wakes it never looks. Between
 * two looks the processor is offered to others, and when they took it nobody here looks for BUSY_NS: with
 * more to do than there are processors this thread sleeps at once, as if there were no looking.
 *
 * What is held back to spare a busy guest is given to a halted one with its event, and timers set while it is
 * told of one are not rung for before it goes on: most end there and then (clock_run_idle).
 *
 * `alarm` is a timerfd that rings for guest deadlines while the guest runs. It may ring too early (the
 * dispatch then sets it right) but never too late, so it is touched only when the earliest deadline moves to
 * an earlier moment than it is set for, and before a sleep that it would end. Then it is set to a little
 * after the end of the sleep: a guest that wakes up for a tick and halts again has not come that far, and one
 * that goes on is rung, once, for nothing. So a tick costs two system calls: this one and the sleep.
 *
 * What the doorbell thread used up (the one shot, the alarm) it notes before it rings; the machine's thread
 * takes the notes in each turn. It may act before it sees a note, but a ring always leads to another turn.
 *
 * Regular files cannot be in an epoll set (EPERM) and are always ready; their watches are kept on a list of
 * their own and looked at in each dispatch, with `wake` kept signalled while one of them asks for anything.
 *
 * A watch removed while a batch of events is handled is marked dead and freed when the batch is over; the
 * batch skips it. Machine thread only, but for loop_wake() and the doorbell's own function.
 */
#include "emu/machine/loop.h"

#include "emu/machine/clock.h"
#include "emu/trace.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct loop_fd {
    struct loop *loop;
    struct loop_fd *next, *previous;
    int fd;
    unsigned events;
    bool in_epoll; /* fd is in the inner set now: silent watches are not, or EPOLLHUP would be reported */
    bool always;   /* a regular file: ready whenever it is asked for */
    bool dead;
    void (*ready)(void *opaque, unsigned events);
    void *opaque;
};

struct loop_deferred {
    void (*fn)(void *opaque);
    void *opaque;
};

enum { BATCH = 32, QUIET = 4 /* time-outs in a row */ };
enum { GRACE_NS = 1000000, SLACK_NS = 1000, LAZY_NS = 300000 };
enum {
    LOOK_FIRST_NS = 20000,
    LOOK_MOST_NS = 200000, /* what a round trip takes that wakes threads at both its ends */
    TAKEN_NS = 10000,      /* a look takes 1000: who comes back this late has lent out the processor */
    BUSY_NS = 10000000,
};
enum { OUTER_INNER, OUTER_QUIT, OUTER_ALARM };

struct loop {
    struct clock *clock;
    int inner, outer, alarm, wake, quit;
    struct loop_fd *first;
    struct loop_fd *graveyard; /* dead watches, singly linked by next */
    unsigned depth;            /* dispatches running, nested ones included */
    unsigned always_count;     /* regular files that ask for something */
    GArray *deferred;
    int64_t armed;     /* guest time the alarm is set for, CLOCK_NEVER: not set */
    int64_t offset;    /* of the clock when it was set */
    unsigned timeouts; /* sleeps in a row that ended by time-out */
    bool no_pwait2;    /* the host's kernel is older than 5.11 */
    bool lazy;         /* the alarm stands in for the doorbell */
    bool waiting;      /* in loop_wait(): the guest is halted */
    int64_t looked;    /* guest time somebody last looked at descriptors */
    int64_t look_ns;   /* how long to look before a sleep; 0: not at all */
    int64_t busy;      /* host time until which the processors are wanted by others */

    pthread_t thread;
    bool has_thread, doorbell_armed;
    int doorbell_used, alarm_used; /* atomic: the doorbell thread's notes */
    void (*ring)(void *opaque);
    void *ring_opaque;
};

static void loop_epoll_update(struct loop_fd *watch)
{
    struct loop *loop = watch->loop;
    struct epoll_event event = {.data.ptr = watch};
    bool want = watch->events != 0;
    if (watch->events & LOOP_READ)
        event.events |= EPOLLIN;
    if (watch->events & LOOP_WRITE)
        event.events |= EPOLLOUT;
    if (want == watch->in_epoll) {
        if (want)
            epoll_ctl(loop->inner, EPOLL_CTL_MOD, watch->fd, &event);
        return;
    }
    if (!want) {
        epoll_ctl(loop->inner, EPOLL_CTL_DEL, watch->fd, NULL);
        watch->in_epoll = false;
        return;
    }
    if (epoll_ctl(loop->inner, EPOLL_CTL_ADD, watch->fd, &event) == 0) {
        watch->in_epoll = true;
    } else if (errno == EPERM) {
        watch->always = true;
    } else {
        trace(LOOP, "fd %d cannot be watched: %s", watch->fd, g_strerror(errno));
    }
}

static void loop_count_always(struct loop *loop)
{
    unsigned count = 0;
    for (struct loop_fd *w = loop->first; w; w = w->next)
        if (w->always && (w->events & (LOOP_READ | LOOP_WRITE)))
            count++;
    if (count > loop->always_count)
        loop_wake(loop);
    loop->always_count = count;
}

struct loop_fd *loop_add_fd(struct loop *loop, int fd, unsigned events,
                            void (*ready)(void *opaque, unsigned events), void *opaque)
{
    struct loop_fd *watch = g_new0(struct loop_fd, 1);
    watch->loop = loop;
    watch->fd = fd;
    watch->ready = ready;
    watch->opaque = opaque;
    watch->next = loop->first;
    if (loop->first)
        loop->first->previous = watch;
    loop->first = watch;
    loop_set_events(watch, events);
    return watch;
}

void loop_set_events(struct loop_fd *watch, unsigned events)
{
    if (watch->events == events)
        return;
    watch->events = events;
    if (!watch->always)
        loop_epoll_update(watch);
    if (watch->always)
        loop_count_always(watch->loop);
}

static void loop_bury(struct loop *loop)
{
    while (loop->graveyard) {
        struct loop_fd *watch = loop->graveyard;
        loop->graveyard = watch->next;
        g_free(watch);
    }
}

void loop_remove_fd(struct loop_fd *watch)
{
    if (!watch)
        return;
    struct loop *loop = watch->loop;
    loop_set_events(watch, 0);
    watch->dead = true;
    if (watch->previous)
        watch->previous->next = watch->next;
    else
        loop->first = watch->next;
    if (watch->next)
        watch->next->previous = watch->previous;
    watch->next = loop->graveyard;
    loop->graveyard = watch;
    if (!loop->depth)
        loop_bury(loop);
}

void loop_defer(struct loop *loop, void (*fn)(void *opaque), void *opaque)
{
    struct loop_deferred deferred = {fn, opaque};
    g_array_append_val(loop->deferred, deferred);
    if (loop->deferred->len == 1)
        loop_wake(loop);
}

void loop_cancel_deferred(struct loop *loop, void *opaque)
{
    for (guint i = loop->deferred->len; i-- > 0;) {
        struct loop_deferred *deferred = &g_array_index(loop->deferred, struct loop_deferred, i);
        if (deferred->opaque == opaque)
            deferred->fn = NULL;
    }
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    int saved = errno; /* signal handlers call this */
    ssize_t ignored = write(loop->wake, &one, sizeof one);
    (void)ignored; /* a full counter is signalled already */
    errno = saved;
}

/* ---- alarm ---- */

static void loop_set_alarm(struct loop *loop, int64_t deadline)
{
    loop->armed = deadline;
    loop->offset = clock_offset(loop->clock);
    if (!loop->has_thread)
        return;
    struct itimerspec when = {0};
    if (deadline != CLOCK_NEVER) {
        int64_t left = deadline - clock_now(loop->clock), delay_ns = MAX(left, 1); /* zero would disarm */
        when.it_value.tv_sec = delay_ns / NANOSECONDS;
        when.it_value.tv_nsec = delay_ns % NANOSECONDS;
    }
    timerfd_settime(loop->alarm, 0, &when, NULL);
}

/* The clock has a new earliest deadline. */
static void loop_rearm(void *opaque)
{
    struct loop *loop = opaque;
    if (clock_is_stopped(loop->clock) || loop->waiting)
        return;
    if (loop->offset != clock_offset(loop->clock)) /* stopped, or saved state was loaded */
        loop->armed = CLOCK_NEVER;
    int64_t alarm = clock_next_alarm(loop->clock);
    if (alarm < loop->armed)
        loop_set_alarm(loop, alarm);
}

/* ---- doorbell ---- */

static void loop_arm_doorbell(struct loop *loop, bool on)
{
    if (!loop->has_thread)
        return;
    if (g_atomic_int_get(&loop->doorbell_used)) {
        g_atomic_int_set(&loop->doorbell_used, 0);
        loop->doorbell_armed = false;
    }
    if (on == loop->doorbell_armed)
        return;
    struct epoll_event event = {.events = on ? EPOLLIN | EPOLLONESHOT : 0, .data.u32 = OUTER_INNER};
    epoll_ctl(loop->outer, EPOLL_CTL_MOD, loop->inner, &event);
    loop->doorbell_armed = on;
}

static void *loop_doorbell(void *opaque)
{
    struct loop *loop = opaque;
    for (;;) {
        struct epoll_event event;
        int count = epoll_wait(loop->outer, &event, 1, -1);
        if (count < 0 && errno != EINTR)
            return NULL;
        if (count < 1)
            continue;
        if (event.data.u32 == OUTER_QUIT)
            return NULL;
        g_atomic_int_set(event.data.u32 == OUTER_ALARM ? &loop->alarm_used : &loop->doorbell_used, 1);
        loop->ring(loop->ring_opaque);
    }
}

bool loop_start_doorbell(struct loop *loop, void (*ring)(void *opaque), void *opaque, GError **error)
{
    g_return_val_if_fail(!loop->has_thread, false);
    struct epoll_event inner = {.events = 0, .data.u32 = OUTER_INNER};
    struct epoll_event quit = {.events = EPOLLIN, .data.u32 = OUTER_QUIT};
    struct epoll_event alarm = {.events = EPOLLIN | EPOLLET, .data.u32 = OUTER_ALARM};
    int why = 0;
    if (epoll_ctl(loop->outer, EPOLL_CTL_ADD, loop->inner, &inner) ||
        epoll_ctl(loop->outer, EPOLL_CTL_ADD, loop->quit, &quit) ||
        epoll_ctl(loop->outer, EPOLL_CTL_ADD, loop->alarm, &alarm)) {
        why = errno;
    } else {
        loop->ring = ring;
        loop->ring_opaque = opaque;
        /* Signals are for the machine's thread. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        why = pthread_create(&loop->thread, NULL, loop_doorbell, loop);
        if (!why)
            pthread_setname_np(loop->thread, "doorbell");
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (why) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                    "starting the doorbell thread: %s (check `ulimit -u` and `ulimit -n`)", g_strerror(why));
        return false;
    }
    loop->has_thread = true;
    loop->armed = CLOCK_NEVER;
    loop_rearm(loop);
    loop_arm_doorbell(loop, true);
    /* The kernel may end a sleep this much later than asked: the usual 50 us would be the guest's to see. */
    prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0);
    return true;
}

void loop_stop_doorbell(struct loop *loop)
{
    if (!loop->has_thread)
        return;
    uint64_t one = 1;
    ssize_t ignored = write(loop->quit, &one, sizeof one);
    (void)ignored;
    pthread_join(loop->thread, NULL);
    loop->has_thread = loop->doorbell_armed = false;
}

/* ---- dispatch ---- */

static void loop_run_deferred(struct loop *loop)
{
    /* Only those that were there: one that defers itself again waits for the next round. */
    guint count = loop->deferred->len;
    if (!count)
        return;
    for (guint i = 0; i < count; i++) {
        struct loop_deferred deferred = g_array_index(loop->deferred, struct loop_deferred, i);
        if (deferred.fn)
            deferred.fn(deferred.opaque);
    }
    g_array_remove_range(loop->deferred, 0, count);
    if (loop->deferred->len)
        loop_wake(loop);
}

static void loop_run_always(struct loop *loop)
{
    struct loop_fd *batch[BATCH];
    unsigned count = 0;
    for (struct loop_fd *w = loop->first; w && count < BATCH; w = w->next)
        if (w->always && (w->events & (LOOP_READ | LOOP_WRITE)))
            batch[count++] = w;
    for (unsigned i = 0; i < count; i++) {
        unsigned events = batch[i]->events & (LOOP_READ | LOOP_WRITE);
        if (!batch[i]->dead && events)
            batch[i]->ready(batch[i]->opaque, events);
    }
    if (loop->always_count)
        loop_wake(loop);
}

/* epoll_wait() with a time-out in nanoseconds, -1: none. */
static int loop_sleep(struct loop *loop, struct epoll_event *batch, int64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = timeout_ns / NANOSECONDS, .tv_nsec = timeout_ns % NANOSECONDS};
    if (timeout_ns <= 0)
        return epoll_wait(loop->inner, batch, BATCH, timeout_ns ? -1 : 0);
    if (!loop->no_pwait2) {
        int count = epoll_pwait2(loop->inner, batch, BATCH, &timeout, NULL);
        if (count >= 0 || errno != ENOSYS)
            return count;
        loop->no_pwait2 = true;
    }
    struct pollfd inner = {.fd = loop->inner, .events = POLLIN};
    return ppoll(&inner, 1, &timeout, NULL) <= 0 ? 0 : epoll_wait(loop->inner, batch, BATCH, 0);
}

static int64_t loop_host_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NANOSECONDS + now.tv_nsec;
}

/* How often this thread had to leave the processor to others. */
static long loop_times_taken(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
}

/* Looks for events for a while; how many there are. */
static int loop_look(struct loop *loop, struct epoll_event *batch, int64_t timeout_ns)
{
    int64_t now = loop_host_now(), end = now + loop->look_ns, due = timeout_ns < 0 ? end : now + timeout_ns;
    if (!loop->look_ns || now < loop->busy)
        return 0;
    long taken = loop_times_taken();
    int used = g_atomic_int_get(&loop->alarm_used);
    while (now < MIN(end, due)) {
        int count = epoll_wait(loop->inner, batch, BATCH, 0);
        if (count > 0)
            return count;
        sched_yield();
        int64_t before = now;
        now = loop_host_now();
        if (now - before <= TAKEN_NS)
            continue;
        long times = loop_times_taken();
        if (g_atomic_int_get(&loop->alarm_used) != used) { /* it was our doorbell, with its late alarm */
            used = 1;
            taken = times;
        }
        if (times != taken) { /* else the host's own work, or its hypervisor's */
            loop->busy = now + BUSY_NS;
            return MAX(epoll_wait(loop->inner, batch, BATCH, 0), 0);
        }
    }
    return 0;
}

/* What a wait of that length, ended by an event or not, says about the next one. */
static void loop_learn(struct loop *loop, int64_t waited, bool by_event)
{
    if (waited <= loop->look_ns)
        return;
    if (by_event && waited <= LOOK_MOST_NS)
        loop->look_ns = CLAMP(2 * loop->look_ns, LOOK_FIRST_NS, LOOK_MOST_NS);
    else
        loop->look_ns = loop->look_ns / 2 < LOOK_FIRST_NS ? 0 : loop->look_ns / 2;
}

/* Handles a batch of that many events, and then what is due. */
static void loop_handle(struct loop *loop, struct epoll_event *batch, int count)
{
    loop->depth++;
    for (int i = 0; i < count; i++) {
        void *tag = batch[i].data.ptr;
        if (tag == &loop->wake) {
            uint64_t ignored;
            ssize_t got = read(loop->wake, &ignored, sizeof ignored);
            (void)got;
            continue;
        }
        struct loop_fd *watch = tag;
        unsigned events = 0;
        if (batch[i].events & EPOLLIN)
            events |= LOOP_READ;
        if (batch[i].events & EPOLLOUT)
            events |= LOOP_WRITE;
        if (batch[i].events & (EPOLLHUP | EPOLLERR))
            events |= LOOP_HANGUP;
        events &= watch->events | LOOP_HANGUP; /* an earlier callback of this batch may have changed them */
        if (!watch->dead && watch->events && events) {
            trace(LOOP, "fd %d ready: %s%s%s", watch->fd, events & LOOP_READ ? "read " : "",
                  events & LOOP_WRITE ? "write " : "", events & LOOP_HANGUP ? "hangup" : "");
            watch->ready(watch->opaque, events);
        }
    }
    if (loop->always_count)
        loop_run_always(loop);
    clock_run(loop->clock);
    loop_run_deferred(loop);
    if (!--loop->depth)
        loop_bury(loop);
}

/* After a turn: who rings when the guest runs. Lazy: the alarm in place of the doorbell. */
static void loop_settle(struct loop *loop, bool lazy)
{
    if (g_atomic_int_get(&loop->alarm_used)) {
        g_atomic_int_set(&loop->alarm_used, 0);
        loop->armed = CLOCK_NEVER;
    }
    loop->lazy = lazy;
    if (!lazy) {
        loop_rearm(loop);
        loop_arm_doorbell(loop, true);
        return;
    }
    if (loop->offset != clock_offset(loop->clock))
        loop->armed = CLOCK_NEVER;
    int64_t due = clock_next_alarm(loop->clock), latest = clock_now(loop->clock) + LAZY_NS;
    int64_t alarm = MIN(due, latest);
    if (loop->armed > alarm)
        loop_set_alarm(loop, alarm);
}

void loop_looked(struct loop *loop)
{
    loop->looked = clock_now(loop->clock);
}

void loop_dispatch(struct loop *loop)
{
    struct epoll_event batch[BATCH];
    loop->timeouts = 0;
    loop_handle(loop, batch, loop_sleep(loop, batch, 0));
    int64_t ago = clock_now(loop->clock) - loop->looked; /* negative when saved state was loaded */
    loop_settle(loop, loop->has_thread && !clock_is_stopped(loop->clock) && !clock_is_derived(loop->clock) &&
                          ago >= 0 && ago < LAZY_NS / 2);
}

/* What is to be set before a sleep until guest time `wake`. */
static void loop_prepare(struct loop *loop, int64_t wake)
{
    if (wake != CLOCK_NEVER) {
        if (!loop->lazy && loop->armed < wake + GRACE_NS / 2)
            loop_set_alarm(loop, wake + GRACE_NS);
    } else if (loop->armed != CLOCK_NEVER) {
        loop_set_alarm(loop, CLOCK_NEVER);
    }
    if (loop->timeouts < QUIET)
        loop_arm_doorbell(loop, false);
}

void loop_wait(struct loop *loop, int64_t timeout_ns)
{
    struct epoll_event batch[BATCH];
    bool stopped = clock_is_stopped(loop->clock);
    loop->waiting = true;
    int64_t wake = stopped ? CLOCK_NEVER : clock_next_wake(loop->clock);
    if (wake != CLOCK_NEVER) {
        int64_t left = wake - clock_now(loop->clock), delay = MAX(left, 0);
        timeout_ns = timeout_ns < 0 ? delay : MIN(timeout_ns, delay);
    }
    int64_t began = loop_host_now();
    int count = stopped ? 0 : loop_look(loop, batch, timeout_ns);
    if (!count) {
        loop_prepare(loop, wake);
        int64_t left = timeout_ns - (loop_host_now() - began);
        if (timeout_ns > 0)
            timeout_ns = MAX(left, 0);
        count = loop_sleep(loop, batch, timeout_ns);
    }
    loop->timeouts = count ? 0 : loop->timeouts + 1;
    loop_learn(loop, loop_host_now() - began, count > 0);
    loop_handle(loop, batch, count);
    clock_run_idle(loop->clock);
    loop->waiting = false;
    bool lazy = loop->has_thread && count > 0 && !stopped;
    if (lazy)
        loop_looked(loop);
    loop_settle(loop, lazy);
}

/* ---- life ---- */

struct loop *loop_new(struct clock *clock, GError **error)
{
    struct loop *loop = g_new0(struct loop, 1);
    loop->clock = clock;
    loop->armed = CLOCK_NEVER;
    loop->deferred = g_array_new(FALSE, FALSE, sizeof(struct loop_deferred));
    loop->inner = epoll_create1(EPOLL_CLOEXEC);
    loop->outer = epoll_create1(EPOLL_CLOEXEC);
    loop->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event wake = {.events = EPOLLIN, .data.ptr = &loop->wake};
    if (loop->inner < 0 || loop->outer < 0 || loop->alarm < 0 || loop->wake < 0 || loop->quit < 0 ||
        epoll_ctl(loop->inner, EPOLL_CTL_ADD, loop->wake, &wake)) {
        int why = errno;
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(why),
                    "making the event loop: %s (check `ulimit -n`)", g_strerror(why));
        loop_free(loop);
        return NULL;
    }
    clock_set_rearm(clock, loop_rearm, loop);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    loop_stop_doorbell(loop);
    clock_set_rearm(loop->clock, NULL, NULL);
    while (loop->first)
        loop_remove_fd(loop->first);
    loop_bury(loop);
    int fds[] = {loop->inner, loop->outer, loop->alarm, loop->wake, loop->quit};
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    g_array_free(loop->deferred, TRUE);
    g_free(loop);
}
