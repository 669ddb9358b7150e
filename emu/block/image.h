/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Images and the files they are in, from the inside of this room. Functions return 0 or an errno; everything
 * but opening is called by one thread at a time (block.c's worker, or the machine's while that one is idle).
 */
#pragma once

#include "emu/block/backend.h"

/* ---- files (file.c) ---- */

struct block_file {
    int fd;
    char *path;
    uint64_t size; /* when it was opened or last grown by us */
    bool read_only, direct, sync_ignored;
    bool is_device;
    bool locked;
};

/* Opens and checks the kind; nothing is locked yet. */
struct block_file *block_file_open(const char *path, bool read_only, enum block_cache cache, GError **error);
/* One writer, or any number of readers; its size is looked at again. No effect when it is locked already. */
bool block_file_lock(struct block_file *file, GError **error);
void block_file_unlock(struct block_file *file);
/* A file without a name, for what is gone at the end. */
struct block_file *block_file_temporary(GError **error);
void block_file_close(struct block_file *file);
/* Exactly len bytes; what lies behind the end of the file reads as zeros and is counted in *beyond. */
int block_file_read(struct block_file *file, uint64_t offset, void *buf, size_t len, size_t *beyond);
int block_file_write(struct block_file *file, uint64_t offset, const void *buf, size_t len);
int block_file_sync(struct block_file *file);
/* Zeros without writing them; ENOTSUP where the file system has no such thing. */
int block_file_zero(struct block_file *file, uint64_t offset, uint64_t len, bool unmap);
int block_file_resize(struct block_file *file, uint64_t size);
int block_file_punch(struct block_file *file, uint64_t offset, uint64_t len);

/* ---- images ---- */

struct image;

/* Snapshots within the image. `key`: the id of one. */
struct image_snapshot_ops {
    unsigned (*count)(const struct image *image);
    const struct block_snapshot *(*get)(const struct image *image, unsigned i);
    /* Bytes of a machine's state, one behind the other, for the next one that is taken; or none of them. */
    int (*state_write)(struct image *image, const void *data, size_t len);
    void (*state_drop)(struct image *image);
    int (*state_read)(struct image *image, const char *key, uint64_t offset, void *buf, size_t len);
    /* All or nothing, even when the process is killed. `what`: its id and size are not looked at; *id: the
     * new one's, to be freed. */
    bool (*take)(struct image *image, const struct block_snapshot *what, char **id, GError **error);
    bool (*apply)(struct image *image, const char *key, GError **error);
    bool (*remove)(struct image *image, const char *key, GError **error);
};

struct image_ops {
    const char *format;
    int (*read)(struct image *image, uint64_t offset, void *buf, size_t len);
    int (*write)(struct image *image, uint64_t offset, const void *buf, size_t len);
    int (*flush)(struct image *image);
    int (*discard)(struct image *image, uint64_t offset, uint64_t len); /* NULL: nothing to gain */
    /* Makes it read as zeros without writing them, or ENOTSUP; unmap: the room may be given back. NULL:
     * never. */
    int (*zero)(struct image *image, uint64_t offset, uint64_t len, bool unmap);
    int (*resize)(struct image *image, uint64_t size);   /* NULL: it has the size it has */
    void (*forget)(struct image *image);                 /* what was written to it is gone; NULL: it stays */
    bool (*commit)(struct image *image, GError **error); /* to the image below; NULL: there is none */
    const struct image_snapshot_ops *snapshots;          /* NULL: the format has none */
    /* Locks the file for use, or lets go of it while nobody uses the image. NULL: it is always locked. */
    bool (*hold)(struct image *image, bool held, GError **error);
    void (*close)(struct image *image);
};

struct image { /* first member of each format's own struct */
    const struct image_ops *ops;
    uint64_t size; /* a multiple of 512 */
    bool read_only;
    char *path;    /* owned */
    char *backing; /* path of the image below, or NULL; owned */
    /* Set once by whoever carries out requests, `damaged` last: what is wrong with the file. */
    char *damage;
    uint64_t damage_offset;
    gint damaged;
};

enum { IMAGE_DEPTH_MOST = 16 }; /* backing files below each other */

/* IDLE: nobody uses it yet, so a raw image is not locked before image_hold(). UNLOCKED: for reading, without
 * keeping others from writing: only what it is is looked at. */
enum { IMAGE_DISCARD = 1, IMAGE_COPY_ON_READ = 2, IMAGE_IDLE = 4, IMAGE_UNLOCKED = 8 };

/* Opens with the format asked for, or the one the first bytes show. `depth`: 0 for the top. below: what is
 * under it, whatever it says itself; NULL: what it says. */
struct image *image_open(const char *path, enum block_format format, bool read_only, enum block_cache cache,
                         unsigned flags, unsigned depth, const struct block_below *below, GError **error);
bool image_hold(struct image *image, GError **error);
void image_relax(struct image *image);
/* The same image for reading, or for writing as well. When that fails it is what it was, or with very bad
 * luck (somebody else took it meanwhile) a stand-in that answers with I/O errors. */
bool image_reopen(struct image **image, bool read_only, enum block_cache cache, GError **error);
void image_close(struct image *image);
/* That stand-in. */
struct image *image_lost(const char *path, uint64_t size);
/* The drive's, or NULL: as it is, to be asked what it is; or when nothing is under way. */
struct image *block_present_image(const struct block *block);
struct image *block_idle_image(struct block *block);

/* Take over `file`, on failure too. guarded: the format was only guessed, so a guest must not turn it into
 * another one by what it writes to the first sector. */
struct image *raw_new(struct block_file *file, bool guarded, bool discard, GError **error);
struct image *qcow2_new(struct block_file *file, bool discard, bool copy_on_read, enum block_cache cache,
                        unsigned depth, const struct block_below *below, GError **error);
/* Takes over `base`. */
struct image *overlay_new(struct image *base, GError **error);

/* ---- discs (volume.c) ---- */

enum { VOLUME_DESCRIPTOR = 2048 };
/* Bytes of the volume that this primary volume descriptor of ECMA-119 tells of, a multiple of 512; 0: it is
 * none, or nonsense. */
uint64_t volume_bytes(const uint8_t descriptor[VOLUME_DESCRIPTOR]);
/* The same of what is in the image; 0 as well when it cannot be read. Reads at most 32 KiB. */
uint64_t volume_size_of(struct image *image);

/* First bytes of a file: the format, AUTO for what is none of ours but known (then *foreign is its name). */
enum { IMAGE_PROBE = 512 };
enum block_format image_probe(const uint8_t bytes[IMAGE_PROBE], const char **foreign);
