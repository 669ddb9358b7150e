/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The event loop and its doorbell: who is called, how often, in which order, and that nothing is lost.
 */
#include "emu/machine/clock.h"
#include "emu/machine/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_NS (10 * NANOSECONDS)

struct fixture {
    struct clock *clock;
    struct loop *loop;
    int pipe[2];
    unsigned reads, writes, hangups, fired, deferred;
    struct loop_fd *watch, *other;
    struct clock_timer *timer;
    int rings; /* atomic */
};

static int64_t host_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NANOSECONDS + ts.tv_nsec;
}

static void setup(struct fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->clock = clock_new();
    f->loop = loop_new(f->clock, &error);
    g_assert_no_error(error);
    g_assert_cmpint(pipe2(f->pipe, O_CLOEXEC | O_NONBLOCK), ==, 0);
}

static void teardown(struct fixture *f, gconstpointer data)
{
    loop_remove_fd(f->watch);
    loop_free(f->loop);
    clock_timer_free(f->timer);
    clock_free(f->clock);
    close(f->pipe[0]);
    if (f->pipe[1] >= 0)
        close(f->pipe[1]);
}

static void on_read(void *opaque, unsigned events)
{
    struct fixture *f = opaque;
    char byte;
    if (events & LOOP_READ) {
        f->reads++;
        while (read(f->pipe[0], &byte, 1) == 1)
            ;
    }
    if (events & LOOP_HANGUP)
        f->hangups++;
}

static void poke(struct fixture *f)
{
    g_assert_cmpint(write(f->pipe[1], "x", 1), ==, 1);
}

static void test_read(struct fixture *f, gconstpointer data)
{
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_read, f);
    loop_dispatch(f->loop);
    g_assert_cmpuint(f->reads, ==, 0);
    poke(f);
    loop_dispatch(f->loop);
    g_assert_cmpuint(f->reads, ==, 1);
    loop_dispatch(f->loop);
    g_assert_cmpuint(f->reads, ==, 1);
    poke(f);
    loop_wait(f->loop, -1);
    g_assert_cmpuint(f->reads, ==, 2);
}

static void test_silent(struct fixture *f, gconstpointer data)
{
    /* Neither data nor a hang-up is heard of while nothing is asked for. */
    f->watch = loop_add_fd(f->loop, f->pipe[0], 0, on_read, f);
    poke(f);
    close(f->pipe[1]);
    f->pipe[1] = -1;
    int64_t before = host_now();
    loop_wait(f->loop, 5000000);
    g_assert_cmpint(host_now() - before, >=, 5000000);
    g_assert_cmpuint(f->reads + f->hangups, ==, 0);
    loop_set_events(f->watch, LOOP_READ);
    loop_wait(f->loop, -1);
    g_assert_cmpuint(f->reads, ==, 1);
}

static void test_hangup_alone(struct fixture *f, gconstpointer data)
{
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_HANGUP, on_read, f);
    poke(f);
    loop_dispatch(f->loop);
    g_assert_cmpuint(f->reads, ==, 0);
    close(f->pipe[1]);
    f->pipe[1] = -1;
    loop_wait(f->loop, DEADLINE_NS);
    g_assert_cmpuint(f->hangups, ==, 1);
    g_assert_cmpuint(f->reads, ==, 0);
}

static void remove_both(void *opaque, unsigned events)
{
    struct fixture *f = opaque;
    f->reads++;
    loop_remove_fd(f->watch);
    loop_remove_fd(f->other);
    f->watch = f->other = NULL;
}

static void test_remove_inside(struct fixture *f, gconstpointer data)
{
    /* Two watches are ready in one batch; whichever comes first removes both. */
    int second = dup(f->pipe[0]);
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, remove_both, f);
    f->other = loop_add_fd(f->loop, second, LOOP_READ, remove_both, f);
    poke(f);
    loop_dispatch(f->loop);
    loop_dispatch(f->loop);
    g_assert_cmpuint(f->reads, ==, 1);
    close(second);
}

static void on_file(void *opaque, unsigned events)
{
    struct fixture *f = opaque;
    char byte;
    g_assert_cmpuint(events, ==, LOOP_READ);
    if (read(f->pipe[0], &byte, 1) == 1)
        f->reads++;
    else
        loop_set_events(f->watch, 0);
}

static void test_regular_file(struct fixture *f, gconstpointer data)
{
    /* epoll refuses regular files; they are always ready instead, until nothing is asked for. */
    FILE *file = tmpfile();
    fputs("abc", file);
    rewind(file);
    dup2(fileno(file), f->pipe[0]);
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_file, f);
    for (unsigned i = 0; i < 10; i++)
        loop_wait(f->loop, 1000000);
    g_assert_cmpuint(f->reads, ==, 3);
    int64_t before = host_now();
    loop_dispatch(f->loop);
    loop_wait(f->loop, 3000000);
    g_assert_cmpint(host_now() - before, >=, 3000000);
    fclose(file);
}

static void on_timer(void *opaque)
{
    ((struct fixture *)opaque)->fired++;
}

static void test_timer(struct fixture *f, gconstpointer data)
{
    f->timer = clock_timer_new(f->clock, on_timer, f);
    clock_timer_set(f->timer, clock_now(f->clock) + 3000000);
    int64_t before = host_now();
    while (!f->fired)
        loop_wait(f->loop, -1);
    int64_t took = host_now() - before;
    g_assert_cmpint(took, >=, 2900000);
    g_assert_cmpint(took, <, DEADLINE_NS);
    /* A later deadline, then an earlier one: the earlier counts. */
    f->fired = 0;
    clock_timer_set(f->timer, clock_now(f->clock) + 60 * NANOSECONDS);
    clock_timer_set(f->timer, clock_now(f->clock) + 1000000);
    before = host_now();
    while (!f->fired)
        loop_wait(f->loop, -1);
    g_assert_cmpint(host_now() - before, <, DEADLINE_NS);
}

static void test_timer_moves_back(struct fixture *f, gconstpointer data)
{
    /* Re-armed for later over and over: it must not fire early, and not be lost. */
    f->timer = clock_timer_new(f->clock, on_timer, f);
    clock_timer_set(f->timer, clock_now(f->clock) + 1000000);
    int64_t due = clock_now(f->clock) + 8000000;
    clock_timer_set(f->timer, due);
    while (!f->fired) {
        loop_wait(f->loop, -1);
        g_assert_true(!f->fired || clock_now(f->clock) >= due);
    }
}

static void test_stopped_clock(struct fixture *f, gconstpointer data)
{
    f->timer = clock_timer_new(f->clock, on_timer, f);
    clock_timer_set(f->timer, clock_now(f->clock) + 2000000);
    clock_stop(f->clock);
    int64_t before = host_now();
    loop_wait(f->loop, 6000000);
    while (host_now() - before < 6000000) /* the armed timerfd may wake it once, with nothing to do */
        loop_wait(f->loop, 6000000);
    g_assert_cmpuint(f->fired, ==, 0);
    clock_continue(f->clock);
    while (!f->fired)
        loop_wait(f->loop, DEADLINE_NS);
    g_assert_cmpuint(f->fired, ==, 1);
}

static void on_deferred(void *opaque)
{
    struct fixture *f = opaque;
    if (++f->deferred == 1)
        loop_defer(f->loop, on_deferred, f);
}

static void test_defer(struct fixture *f, gconstpointer data)
{
    loop_defer(f->loop, on_deferred, f);
    g_assert_cmpuint(f->deferred, ==, 0);
    loop_dispatch(f->loop);
    g_assert_cmpuint(f->deferred, ==, 1); /* what it deferred itself is for the next round */
    loop_wait(f->loop, DEADLINE_NS);
    g_assert_cmpuint(f->deferred, ==, 2);
    loop_defer(f->loop, on_deferred, f);
    loop_cancel_deferred(f->loop, f);
    loop_dispatch(f->loop);
    g_assert_cmpuint(f->deferred, ==, 2);
}

static void *wake_later(void *opaque)
{
    loop_wake(((struct fixture *)opaque)->loop);
    return NULL;
}

static void test_wake(struct fixture *f, gconstpointer data)
{
    pthread_t thread;
    g_assert_cmpint(pthread_create(&thread, NULL, wake_later, f), ==, 0);
    loop_wait(f->loop, -1); /* would hang without the wake */
    pthread_join(thread, NULL);
}

/* ---- doorbell ---- */

static void ring(void *opaque)
{
    g_atomic_int_inc(&((struct fixture *)opaque)->rings);
}

static void wait_for_rings(struct fixture *f, int count)
{
    int64_t until = host_now() + DEADLINE_NS;
    while (g_atomic_int_get(&f->rings) < count) {
        g_assert_cmpint(host_now(), <, until);
        sched_yield();
    }
}

static void test_doorbell(struct fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_read, f);
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    poke(f);
    wait_for_rings(f, 1);
    /* Not dispatched: however much is ready, it does not ring again. */
    for (unsigned i = 0; i < 1000; i++) {
        poke(f);
        sched_yield();
    }
    g_assert_cmpint(g_atomic_int_get(&f->rings), ==, 1);
    loop_dispatch(f->loop);
    g_assert_cmpuint(f->reads, ==, 1);
    poke(f);
    wait_for_rings(f, 2);
    loop_dispatch(f->loop);
    g_assert_cmpuint(f->reads, ==, 2);
}

static void test_doorbell_timer(struct fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->timer = clock_timer_new(f->clock, on_timer, f);
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    for (int i = 1; i <= 20; i++) {
        clock_timer_set(f->timer, clock_now(f->clock) + 200000);
        int64_t until = host_now() + DEADLINE_NS;
        while (f->fired < (unsigned)i) {
            int before = g_atomic_int_get(&f->rings);
            while (g_atomic_int_get(&f->rings) == before && host_now() < until)
                sched_yield();
            g_assert_cmpint(host_now(), <, until);
            loop_dispatch(f->loop);
        }
    }
}

/* Deadlines that pass while the loop looks at them: none is lost, asleep or awake. */
static void test_near_deadlines(struct fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->timer = clock_timer_new(f->clock, on_timer, f);
    for (int i = 1; i <= 20000; i++) {
        clock_timer_set(f->timer, clock_now(f->clock) + i % 500);
        /* a second end, for what would sleep for ever sleeps that long */
        int64_t began = host_now();
        while (f->fired < (unsigned)i)
            loop_wait(f->loop, DEADLINE_NS);
        g_assert_cmpint(host_now() - began, <, DEADLINE_NS);
    }
    f->fired = 0;
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    for (int i = 1; i <= 20000; i++) {
        int before = g_atomic_int_get(&f->rings);
        clock_timer_set(f->timer, clock_now(f->clock) + i % 500);
        while (f->fired < (unsigned)i) {
            wait_for_rings(f, before + 1);
            before = g_atomic_int_get(&f->rings);
            loop_dispatch(f->loop);
        }
    }
}

static void test_doorbell_asleep(struct fixture *f, gconstpointer data)
{
    /* While the machine's thread sleeps itself, the doorbell stays silent. */
    GError *error = NULL;
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_read, f);
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    for (unsigned i = 0; i < 200; i++) {
        pthread_t thread;
        loop_dispatch(f->loop);
        int before = g_atomic_int_get(&f->rings);
        g_assert_cmpint(pthread_create(&thread, NULL, wake_later, f), ==, 0);
        loop_wait(f->loop, -1);
        pthread_join(thread, NULL);
        /* It may ring for a wake that came before the sleep; never for more than one. */
        g_assert_cmpint(g_atomic_int_get(&f->rings) - before, <=, 1);
    }
}

static void *poke_later(void *opaque)
{
    poke(opaque);
    return NULL;
}

static void tick(void *opaque)
{
    struct fixture *f = opaque;
    f->fired++;
    clock_timer_set(f->timer, clock_now(f->clock) + 500000);
}

static void test_doorbell_after_quiet(struct fixture *f, gconstpointer data)
{
    /* After sleeps that ended by time-out alone the doorbell is not taken out of its set any more. What comes
     * then wakes this thread, and may use up the bell as well: the next thing has to ring all the same. */
    GError *error = NULL;
    f->timer = clock_timer_new(f->clock, tick, f);
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_read, f);
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    int heard = 0;
    for (unsigned i = 0; i < 50; i++) {
        pthread_t thread;
        clock_timer_set(f->timer, clock_now(f->clock) + 500000);
        for (unsigned quiet = f->fired + 8; f->fired < quiet;)
            loop_wait(f->loop, -1);
        clock_timer_cancel(f->timer);
        unsigned reads = f->reads;
        g_assert_cmpint(pthread_create(&thread, NULL, poke_later, f), ==, 0);
        while (f->reads == reads)
            loop_wait(f->loop, -1);
        pthread_join(thread, NULL);
        /* As the run loop does: a ring leads to a dispatch. Whatever rang before, this has to be heard of. */
        poke(f);
        int64_t until = host_now() + DEADLINE_NS;
        while (f->reads < reads + 2) {
            g_assert_cmpint(host_now(), <, until);
            if (g_atomic_int_get(&f->rings) == heard) {
                sched_yield();
                continue;
            }
            heard = g_atomic_int_get(&f->rings);
            loop_dispatch(f->loop);
        }
    }
}

static void test_alarm_after_sleep(struct fixture *f, gconstpointer data)
{
    /* Woken for one deadline the guest runs on: it is rung for the next one, though that was there before. */
    GError *error = NULL;
    struct clock_timer *second = clock_timer_new(f->clock, on_timer, f);
    f->timer = clock_timer_new(f->clock, on_timer, f);
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    int heard = 0;
    for (unsigned i = 0; i < 20; i++) {
        static const int64_t gaps[] = {100000, 700000, 3000000};
        f->fired = 0;
        clock_timer_set(f->timer, clock_now(f->clock) + 1000000);
        clock_timer_set(second, clock_now(f->clock) + 1000000 + gaps[i % 3]);
        while (!f->fired)
            loop_wait(f->loop, -1);
        int64_t until = host_now() + DEADLINE_NS;
        while (f->fired < 2) {
            g_assert_cmpint(host_now(), <, until);
            if (g_atomic_int_get(&f->rings) == heard) {
                sched_yield();
                continue;
            }
            heard = g_atomic_int_get(&f->rings);
            loop_dispatch(f->loop);
        }
    }
    clock_timer_free(second);
}

/* Woken by an event the guest is not rung at once, for it may halt again soon; but it is when it runs on,
 * without a timer of its own, and from then on at once. Who looks by himself is not rung. */
static void test_lazy_doorbell(struct fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_read, f);
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    for (unsigned i = 0; i < 50; i++) {
        unsigned reads = f->reads;
        poke(f);
        while (f->reads == reads)
            loop_wait(f->loop, -1);
        poke(f); /* while the guest runs; it never halts */
        int64_t until = host_now() + DEADLINE_NS;
        int heard = 0;
        while (f->reads < reads + 2) {
            g_assert_cmpint(host_now(), <, until);
            if (g_atomic_int_get(&f->rings) == heard) {
                sched_yield();
                continue;
            }
            heard = g_atomic_int_get(&f->rings);
            loop_looked(f->loop); /* keeps it lazy: the next ring comes all the same */
            loop_dispatch(f->loop);
        }
    }
}

static void on_read_hold(void *opaque, unsigned events)
{
    struct fixture *f = opaque;
    on_read(f, events);
    clock_timer_set(f->timer, clock_now(f->clock) + 3600 * NANOSECONDS);
}

/* What an event would hold back to spare a busy guest a halted one gets with it, and a running one does not.
 */
static void test_held_back(struct fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->timer = clock_timer_new(f->clock, on_timer, f);
    clock_timer_relax(f->timer, 1000);
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_read_hold, f);
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    for (unsigned i = 1; i <= 20; i++) {
        poke(f);
        while (f->reads < 2 * i - 1)
            loop_wait(f->loop, -1);
        g_assert_cmpuint(f->fired, ==, i);
        poke(f);
        loop_dispatch(f->loop);
        g_assert_cmpuint(f->reads, ==, 2 * i);
        g_assert_cmpuint(f->fired, ==, i);
        clock_timer_cancel(f->timer);
    }
}

static void on_read_later(void *opaque, unsigned events)
{
    struct fixture *f = opaque;
    on_read(f, events);
    clock_timer_set(f->timer, clock_now(f->clock) + 200000);
}

/* A timer set while a halted guest was told of an event is rung for when it then runs on. */
static void test_set_asleep(struct fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->timer = clock_timer_new(f->clock, on_timer, f);
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_read_later, f);
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    for (unsigned i = 1, heard = 0; i <= 20; i++) {
        poke(f);
        while (f->reads < i)
            loop_wait(f->loop, -1);
        for (int64_t until = host_now() + DEADLINE_NS; f->fired < i;) {
            g_assert_cmpint(host_now(), <, until);
            if ((unsigned)g_atomic_int_get(&f->rings) == heard) {
                sched_yield();
                continue;
            }
            heard = (unsigned)g_atomic_int_get(&f->rings);
            loop_dispatch(f->loop);
        }
    }
}

static void test_slack(struct fixture *f, gconstpointer data)
{
    f->timer = clock_timer_new(f->clock, on_timer, f);
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_read, f);
    /* Alone it is slept through to the end of its slack. */
    int64_t due = clock_now(f->clock) + 1000000;
    clock_timer_set(f->timer, due);
    clock_timer_set_slack(f->timer, 20000000);
    while (!f->fired)
        loop_wait(f->loop, -1);
    g_assert_cmpint(clock_now(f->clock), >=, due + 20000000);
    /* Whoever is awake after its deadline fires it. */
    clock_timer_set(f->timer, clock_now(f->clock) + 1000);
    clock_timer_set_slack(f->timer, 3600 * NANOSECONDS);
    while (clock_next_deadline(f->clock) > clock_now(f->clock))
        sched_yield();
    poke(f);
    loop_wait(f->loop, -1);
    g_assert_cmpuint(f->fired, ==, 2);
    /* And while the guest runs the bell rings in time, slack or not. */
    GError *error = NULL;
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    clock_timer_set(f->timer, clock_now(f->clock) + 1000000);
    clock_timer_set_slack(f->timer, 3600 * NANOSECONDS);
    wait_for_rings(f, 1);
    for (int64_t until = host_now() + DEADLINE_NS; f->fired < 3;) {
        g_assert_cmpint(host_now(), <, until);
        loop_dispatch(f->loop);
    }
}

static void test_idle_costs_nothing(struct fixture *f, gconstpointer data)
{
    GError *error = NULL;
    struct rusage before, after;
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_read, f);
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    loop_dispatch(f->loop);
    getrusage(RUSAGE_SELF, &before);
    loop_wait(f->loop, 100000000);
    getrusage(RUSAGE_SELF, &after);
    g_assert_cmpint(after.ru_nvcsw - before.ru_nvcsw, <=, 4);
}

static int64_t thread_time(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * NANOSECONDS + ts.tv_nsec;
}

/* Events that soon follow each halt are looked for before the thread sleeps. Each is still handled once, a
 * timer still fires when it is due and not before, and after some waits that only time ended nobody looks any
 * more. */
static void test_look(struct fixture *f, gconstpointer data)
{
    GError *error = NULL;
    f->timer = clock_timer_new(f->clock, on_timer, f);
    f->watch = loop_add_fd(f->loop, f->pipe[0], LOOP_READ, on_read, f);
    g_assert_true(loop_start_doorbell(f->loop, ring, f, &error));
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 20; i++) {
            pthread_t thread;
            unsigned reads = f->reads;
            g_assert_cmpint(pthread_create(&thread, NULL, poke_later, f), ==, 0);
            for (int64_t until = host_now() + DEADLINE_NS; f->reads == reads;) {
                g_assert_cmpint(host_now(), <, until);
                loop_wait(f->loop, NANOSECONDS);
            }
            pthread_join(thread, NULL);
            g_assert_cmpuint(f->reads, ==, reads + 1);
        }
        unsigned fired = f->fired;
        int64_t due = clock_now(f->clock) + 50000; /* within the time that is looked for */
        clock_timer_set(f->timer, due);
        for (int64_t until = host_now() + DEADLINE_NS; f->fired == fired;) {
            g_assert_cmpint(host_now(), <, until);
            loop_wait(f->loop, NANOSECONDS);
        }
        g_assert_cmpuint(f->fired, ==, fired + 1);
        g_assert_cmpint(clock_now(f->clock), >=, due);
    }
    for (unsigned i = 0; i < 8; i++)
        loop_wait(f->loop, 1000000);
    int64_t before = thread_time();
    for (unsigned i = 0; i < 100; i++)
        loop_wait(f->loop, 500000);
    g_assert_cmpint(thread_time() - before, <, 100 * 100000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/loop/" #name, struct fixture, NULL, setup, test_##name, teardown)
    TEST(read);
    TEST(silent);
    TEST(hangup_alone);
    TEST(remove_inside);
    TEST(regular_file);
    TEST(timer);
    TEST(timer_moves_back);
    TEST(stopped_clock);
    TEST(defer);
    TEST(wake);
    TEST(doorbell);
    TEST(doorbell_timer);
    TEST(near_deadlines);
    TEST(doorbell_asleep);
    TEST(doorbell_after_quiet);
    TEST(alarm_after_sleep);
    TEST(lazy_doorbell);
    TEST(held_back);
    TEST(set_asleep);
    TEST(slack);
    TEST(idle_costs_nothing);
    TEST(look);
    return g_test_run();
}
