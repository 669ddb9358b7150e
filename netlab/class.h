/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Classes: one copy of a lab for each student of a list (`netlab up lab.yml --for students.csv`).
 *
 * A copy is a lab like any other, named LAB-STUDENT, and everything the engine promises of labs it promises
 * of copies. This layer only knows which labs belong together: a class (topology and list) and its members,
 * as rows of the store. A member's row is written before its copy is made and deleted after it is gone, so
 * whatever was killed whenever, every copy is found by its class. docs/classroom.md tells the rest.
 */
#pragma once

#include "netlab/lab.h"
#include "netlab/roster.h"

/* What a list and a topology ask for. */
struct class_plan {
    struct store_class *class; /* id 0: not known yet */
    GPtrArray *members;        /* struct store_member *: those of the list that were chosen */
    GPtrArray *gone;           /* struct store_member *: of the store, no longer in the list; none when only
                                  some were chosen */
    unsigned machines;         /* of all members together */
    uint64_t memory;           /* MiB that these were given, of all members */
    unsigned copy_memory;      /* MiB of the largest copy, with its emulators */
};
void class_plan_free(struct class_plan *plan);

/* Reads and checks the copies' topologies, each as its student gets it, and that no other lab has one of
 * their names. `topology`: its path; `chosen`: comma-separated ids (NULL: all). Changes nothing. */
struct class_plan *class_plan_make(struct store *store, const char *topology, const struct roster *roster,
                                   const char *chosen, GError **error);

/* May the members that are not up yet be started as far as memory goes? Those machines of the store that run
 * may still grow to what they were given. The error has the sums and what can be done. */
bool class_check_memory(const struct lab_place *place, struct store *store, const struct class_plan *plan,
                        GError **error);

/* Which class is meant: by its list (or NULL: the only one), and by its lab's name when one list has several.
 * NOT_UP with what there is. Owned by the caller. */
struct store_class *class_select(struct store *store, const char *roster, const char *lab, GError **error);
/* Its members, or those of `chosen` (comma-separated ids). */
GPtrArray *class_list_members(struct store *store, const struct store_class *class, const char *chosen,
                              GError **error);
/* The copy of a student: the name of its lab. Owned by the caller. */
char *class_find_copy(struct store *store, const char *student, const char *roster, const char *lab,
                      GError **error);

/* The topology of a member's copy. */
struct topology *class_load_copy(const struct store_class *class, const struct store_member *member,
                                 GError **error);
/* Takes a copy down and forgets the member. A copy that is not there is no error. */
bool class_take_down(const struct lab_down_options *options, const struct store_class *class, GError **error);
/* After a lab was taken down by its own name: forgets that it was a copy. */
bool class_forget(struct store *store, const char *lab, GError **error);
