/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The machine's event loop: file descriptors and the doorbell.
 *
 * CPU and devices share one thread. While the guest is halted that thread sleeps in epoll (loop_wait). While
 * the guest runs, a doorbell thread waits on the same epoll and calls `ring` (async-signal-safe: it only sets
 * the CPU's exit flag); the CPU returns at the next block boundary and the machine thread calls
 * loop_dispatch(). A timerfd in that thread's set rings for the next timer deadline.
 * All functions but loop_wake() are for the machine's thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_fd;
struct clock;

/* LOOP_HANGUP is reported with any other event asked for; asked for alone, only it is reported. */
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 };

struct loop *loop_new(struct clock *clock, GError **error);
void loop_free(struct loop *loop);

/* Watches fd (not owned). `ready` may add and remove watches, its own included. events 0: registered, silent.
 */
struct loop_fd *loop_add_fd(struct loop *loop, int fd, unsigned events,
                            void (*ready)(void *opaque, unsigned events), void *opaque);
void loop_set_events(struct loop_fd *watch, unsigned events);
void loop_remove_fd(struct loop_fd *watch); /* NULL is allowed */

/* Runs `fn` once from the loop, soon, on the machine's thread. */
void loop_defer(struct loop *loop, void (*fn)(void *opaque), void *opaque);
/* Forgets what was deferred for `opaque`: call it before freeing that. */
void loop_cancel_deferred(struct loop *loop, void *opaque);

/* Handles what is ready and fires timers, without waiting. */
void loop_dispatch(struct loop *loop);
/* Waits until something is ready or a timer is due, then as loop_dispatch(). timeout_ns < 0: no limit. */
void loop_wait(struct loop *loop, int64_t timeout_ns);

/* Tells that whoever reads from descriptors has just looked at them, without being told to: as long as that
 * goes on, no doorbell is needed to interrupt the guest. */
void loop_looked(struct loop *loop);

/* Starts the doorbell thread: `ring(opaque)` is called on it once something is ready, then not again before
 * loop_dispatch() was called. After a loop_wait() that an event ended it may come a fraction of a millisecond
 * late: a guest that halts again by then is not rung. */
bool loop_start_doorbell(struct loop *loop, void (*ring)(void *opaque), void *opaque, GError **error);
/* Ends the thread; afterwards what `ring` uses may be freed. No effect when there is none. */
void loop_stop_doorbell(struct loop *loop);
/* From any thread or signal handler: the loop wakes (or rings). */
void loop_wake(struct loop *loop);
