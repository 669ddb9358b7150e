/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What stands behind a drive: an image file or a block device, or nothing while a tray is empty.
 *
 *   drive (emu/dev) ── block_submit() ──► queue ──► one thread a drive ──► image (raw, qcow2, overlay)
 *         ▲                                              │
 *         └────────── done(), machine's thread ◄── eventfd in the loop
 *
 * A drive's requests are carried out one after the other in the order they were given, so a flush covers all
 * writes before it and an image format needs no locks. Without a loop (tests) block_submit() does the work
 * itself and calls done() before it returns; drives must take that, too. All functions are for the machine's
 * thread. Images are hostile: see the formats' files.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block;
struct block_throttle;
struct image;
struct clock;
struct loop;

#define BLOCK_SECTOR 512

enum block_cache {
    BLOCK_CACHE_WRITEBACK,    /* through the host's page cache; a guest's flush is an fdatasync() */
    BLOCK_CACHE_NONE,         /* the same past the host's page cache (O_DIRECT) where the file system can */
    BLOCK_CACHE_WRITETHROUGH, /* each write is on the disk when it is done (O_DSYNC) */
    BLOCK_CACHE_DIRECTSYNC,   /* both */
    BLOCK_CACHE_UNSAFE,       /* flushes are ignored: for images that can be made anew */
    BLOCK_CACHE_COUNT
};
enum block_format { BLOCK_FORMAT_AUTO, BLOCK_FORMAT_RAW, BLOCK_FORMAT_QCOW2 };
/* What becomes of a request the host could not carry out. ENOSPC: stop when the host's disk is full, else
 * report. A stopped request is tried again by block_retry(). */
enum block_on_error { BLOCK_ERROR_REPORT, BLOCK_ERROR_STOP, BLOCK_ERROR_IGNORE, BLOCK_ERROR_ENOSPC };

/* What becomes of sectors of zeros that a guest writes. */
enum block_zeroes { BLOCK_ZEROES_WRITE, BLOCK_ZEROES_DETECT, BLOCK_ZEROES_UNMAP };

/* What is under an image of a format that has such a thing. */
struct block_below {
    const char *file; /* NULL: nothing */
    enum block_format format;
    const struct block_below *below; /* NULL: as that image says itself */
};

/* Of a list whose parts and names are g_malloc()ed. */
void block_below_free(struct block_below *below);

struct block_config {
    const char *id;
    const char *file; /* NULL: nothing in the drive yet */
    enum block_format format;
    enum block_cache cache;
    bool read_only;    /* of the image; a CD drive asks for it always */
    bool snapshot;     /* writes go to a temporary file and are gone at the end */
    bool discard;      /* a guest's discards are passed on as holes */
    bool disc;         /* of a CD drive: see block_shortfall() */
    bool inactive;     /* until block_set_active(): opened to be looked at only */
    bool copy_on_read; /* what is read from the image below is kept in the image */
    enum block_zeroes zeroes;
    enum block_on_error on_read_error, on_write_error;
    const struct block_below *below; /* NULL: as the image says itself; not kept */
};

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_OPS };

/* Owned by who submits it, untouched until done() is called. offset and len: multiples of 512. */
struct block_request {
    enum block_op op;
    uint64_t offset;
    uint32_t len;
    uint8_t *buf;
    void (*done)(void *opaque, int error); /* 0 or an errno; may submit again */
    void *opaque;
    bool narrows; /* who submits it tries less when it fails; a failure that is only reported is told then */

    struct block_request *next; /* block.c's */
    int64_t since;
    int error;
    bool cancelled;
};

/* A snapshot within an image. */
struct block_snapshot {
    char *id, *name;
    uint64_t state_size; /* of the machine's state in it, bytes; 0: the disk alone */
    int64_t date;        /* UNIX time */
    uint32_t date_ns;
    uint64_t clock_ns; /* guest time */
    uint64_t icount;   /* UINT64_MAX: time was not counted in instructions */
    uint64_t size;     /* of the disk, bytes */
};

struct block_counters {
    uint64_t requests[BLOCK_OPS], bytes[BLOCK_OPS], errors[BLOCK_OPS];
    uint64_t ns[BLOCK_OPS]; /* from submission to done, together */
    uint64_t highest;       /* end of what was written farthest back */
    int64_t last;           /* host's monotonic time of the last end, ns; 0: none */
};

/* loop NULL: see above. A failure names file and what to do. */
struct block *block_new(const struct block_config *config, struct loop *loop, GError **error);
/* Requests are carried out and answered at fixed times of `clock`, not when the host is done. Before the
 * first one. */
void block_set_steady(struct block *block, struct clock *clock);
void block_free(struct block *block); /* ends what is in flight, flushes */

/* ---- images that stand by themselves ---- */

/* An image that a drive may be given later, and that is not locked while it is in none (a qcow2 image is). */
struct image *block_image_open(const struct block_config *config, GError **error);
void block_image_close(struct image *image); /* or NULL; flushes */
uint64_t block_image_size(const struct image *image);
bool block_image_read_only(const struct image *image);
const char *block_image_backing(const struct image *image); /* or NULL */
/* Into a drive that is empty. The image is the drive's until `released` gives it back: when the medium is
 * taken out by whomever, or the drive ends. False: somebody else uses the file; it is still the caller's.
 * Cache mode, discards, zeros are as `how` says from then on. */
bool block_put(struct block *block, struct image *image, const struct block_config *how,
               void (*released)(void *opaque, struct image *image), void *opaque, GError **error);

/* The same for an image that is opened anew under the drive: out, flushed and idle, without telling anybody,
 * and another one of the same medium in, at once (false: somebody else uses its file; it is still the
 * caller's). NULL: there is none that somebody else owns. */
struct image *block_lift(struct block *block);
bool block_lower(struct block *block, struct image *image, const struct block_config *how, GError **error);
/* For a node whose file cannot be opened any more: it answers everything with an I/O error. */
struct image *block_image_lost(const char *path, uint64_t size);

void block_submit(struct block *block, struct block_request *request);
/* Takes the request back: done() is not called any more, and its buffer is free when this returns. No effect
 * when it is not in flight. */
void block_cancel(struct block *block, struct block_request *request);
/* Reads without the thread, when nothing is in flight, past counters and policies: 0 or an errno. */
int block_read_now(struct block *block, uint64_t offset, void *buf, uint32_t len);
/* Waits for all that is in flight (but for what stopped the machine). */
void block_drain(struct block *block);
/* The same, but for requests that are answered at a time of the guest's (block_set_steady): those have not
 * been begun. Their owners save them, with the time of the answer (CLOCK_NEVER: there are none), and submit
 * them anew for that time; it is a steady drive's alone. */
void block_settle(struct block *block);
int64_t block_answer_time(const struct block *block);
bool block_is_steady(const struct block *block);
void block_submit_for(struct block *block, struct block_request *request, int64_t time);

/* A request failed, stopped the machine and waits for block_retry(). */
bool block_is_stalled(const struct block *block);

/* Whether this process is the one that uses the image. An inactive drive has let go of an image that it
 * writes, so that another process can have it, and only shows what it is; the guest must not run. Activating
 * fails when somebody else has the image. */
bool block_set_active(struct block *block, bool active, GError **error);
bool block_is_active(const struct block *block);
/* Something was written that is gone at the end (snapshot=on). */
bool block_has_passing_writes(const struct block *block);

const char *block_id(const struct block *block);
bool block_has_medium(const struct block *block);
uint64_t block_size(const struct block *block); /* bytes, a multiple of 512; 0 without a medium */
/* The medium is a disc's image that was cut short: its volume descriptor (ECMA-119) tells of `claimed` bytes,
 * of which `there` are in the image. It is as large as it claims to be, and reading what is missing fails as
 * on a damaged disc. False: it is whole, but for the padding that some writers count and do not write. */
bool block_shortfall(const struct block *block, uint64_t *there, uint64_t *claimed);
bool block_read_only(const struct block *block);
bool block_write_cache(const struct block *block); /* false: writes are durable when they are done */
bool block_discards(const struct block *block);
enum block_cache block_cache_mode(const struct block *block);
enum block_zeroes block_zeroes_mode(const struct block *block);
const char *block_path(const struct block *block);    /* NULL without a medium */
const char *block_format(const struct block *block);  /* "raw", "qcow2"; NULL without a medium */
const char *block_backing(const struct block *block); /* path of the image below, or NULL */
const struct block_counters *block_counters(const struct block *block);

/* Takes effect at once: the guest sees it when it looks. */
bool block_resize(struct block *block, uint64_t size, GError **error);
/* What the image has above the one below it (snapshot=on, qcow2) goes into that one. */
bool block_commit(struct block *block, GError **error);

/* ---- snapshots within images (snapshots.c) ---- */

/* What a snapshot of the machine means for a drive. NEEDLESS: nothing is written that is kept (no medium,
 * read-only, snapshot=on and not written yet). KEPT: in its image. PASSING: snapshot=on, and something was
 * written. */
enum block_snapshots {
    BLOCK_SNAPSHOTS_NEEDLESS,
    BLOCK_SNAPSHOTS_KEPT,
    BLOCK_SNAPSHOTS_NONE,
    BLOCK_SNAPSHOTS_PASSING
};
enum block_snapshots block_snapshot_kind(struct block *block);
unsigned block_snapshot_count(struct block *block);
/* The drive's, until the next change; oldest first. */
const struct block_snapshot *block_snapshot_get(struct block *block, unsigned i);
/* The newest of that name, that id, or both; NULL is any. */
const struct block_snapshot *block_snapshot_find(struct block *block, const char *name, const char *id);
/* All or nothing. `what`: name, date, clock, icount; *id: to be freed. The state written before goes into it.
 */
bool block_snapshot_take(struct block *block, const struct block_snapshot *what, char **id, GError **error);
bool block_snapshot_apply(struct block *block, const char *id, GError **error);
bool block_snapshot_remove(struct block *block, const char *id, GError **error);
/* Takes writes of snapshot=on back; false: there is no such thing. */
bool block_forget_passing_writes(struct block *block);
bool block_state_write(struct block *block, const void *data, size_t len, GError **error);
void block_state_drop(struct block *block);
bool block_state_read(struct block *block, const char *id, uint64_t offset, void *buf, size_t len,
                      GError **error);

/* ---- limits of the rate (throttle.c) ---- */

enum block_limit {
    BLOCK_BPS,
    BLOCK_BPS_READ,
    BLOCK_BPS_WRITE,
    BLOCK_IOPS,
    BLOCK_IOPS_READ,
    BLOCK_IOPS_WRITE,
    BLOCK_LIMITS
};
struct block_limits {
    uint64_t rate[BLOCK_LIMITS];    /* a second; 0: no limit */
    uint64_t burst[BLOCK_LIMITS];   /* for `seconds` at a time; 0: no bursts */
    uint32_t seconds[BLOCK_LIMITS]; /* 0 and 1: one */
    uint64_t io_size;               /* a request counts once for each so many bytes; 0: always once */
};
bool block_limits_check(const struct block_limits *limits, GError **error);
/* One reference is the caller's. */
struct block_throttle *block_throttle_new(const char *group, struct clock *clock);
struct block_throttle *block_throttle_ref(struct block_throttle *throttle);
void block_throttle_unref(struct block_throttle *throttle);
const char *block_throttle_group(const struct block_throttle *throttle);
const struct block_limits *block_throttle_limits(const struct block_throttle *throttle);
/* Who waits asks anew when its time has come. */
bool block_throttle_set(struct block_throttle *throttle, const struct block_limits *limits, GError **error);
/* How full the buckets are, for saved machines: thousandths of a byte or request; of each limit the rate's
 * and the burst's. Setting them bounds what no requests can have filled. */
enum { BLOCK_LEVELS = 2 * BLOCK_LIMITS };
void block_throttle_levels(struct block_throttle *throttle, uint64_t levels[BLOCK_LEVELS]);
void block_throttle_set_levels(struct block_throttle *throttle, const uint64_t levels[BLOCK_LEVELS]);
/* Takes a reference; NULL: no limits. */
void block_set_throttle(struct block *block, struct block_throttle *throttle);
struct block_throttle *block_get_throttle(const struct block *block);

/* ---- removable media ---- */

/* changed() is called after a medium was taken out or put in. A drive that sets it is removable. */
void block_set_removable(struct block *block, void (*changed)(void *opaque), void *opaque);
bool block_is_removable(const struct block *block);
/* It has a tray, and `asked` is told when somebody outside wants it open while the guest has it locked. */
void block_set_tray(struct block *block, void (*asked)(void *opaque), void *opaque);
bool block_has_tray(const struct block *block);
/* The guest locks and moves the tray. */
void block_lock_tray(struct block *block, bool locked);
bool block_tray_locked(const struct block *block);
void block_open_tray(struct block *block, bool open);
bool block_tray_open(const struct block *block);
/* From outside, the same; a locked tray is not opened unless `force`, but the guest is asked to (then the
 * error is G_IO_ERROR_PENDING). The medium stays in it. A drive without a tray takes it and does nothing. */
bool block_move_tray(struct block *block, bool open, bool force, GError **error);
/* Out of an open tray, if the drive has one. */
bool block_remove(struct block *block, GError **error);
/* `moved` is told each time the tray was moved, by whomever. */
void block_set_tray_listener(struct block *block, void (*moved)(void *opaque, struct block *block, bool open),
                             void *opaque);
/* From outside. A locked tray is refused unless `force`. */
bool block_eject(struct block *block, bool force, GError **error);
bool block_insert(struct block *block, const char *file, enum block_format format, bool read_only,
                  GError **error);

/* ---- errors that stop the machine ---- */

/* failed() is told each error before its policy is carried out; `stops`: stop the machine, please. */
void block_set_error_listener(struct block *block,
                              void (*failed)(void *opaque, struct block *block, bool write, int error,
                                             bool stops, bool ignored),
                              void *opaque);
void block_retry(struct block *block); /* the machine goes on */
/* `corrupted` is told once that the image is damaged; it is not written from then on. */
void block_set_damage_listener(struct block *block,
                               void (*corrupted)(void *opaque, struct block *block, const char *what,
                                                 uint64_t offset),
                               void *opaque);

/* Words of options: "writeback", "raw", "enospc". */
extern const char *const block_cache_names[BLOCK_CACHE_COUNT];
