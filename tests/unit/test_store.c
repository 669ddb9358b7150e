/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The store and the plan: journal rows, versions, damage; what is kept and what goes when a topology changes.
 */
#include "netlab/lock.h"
#include "netlab/paths.h"
#include "netlab/plan.h"
#include "netlab/process.h"
#include "netlab/store.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char *folder_new(void)
{
    char *folder = g_dir_make_tmp("netlab-store.XXXXXX", NULL);
    g_assert_nonnull(folder);
    return folder;
}

static void folder_remove(const char *folder)
{
    static const char *const names[] = {"netlab.db", "netlab.db-wal", "netlab.db-shm",
                                        "locks/lab", "locks",         ""};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(folder, names[i], NULL);
        g_remove(path);
    }
}

static int64_t add_lab(struct store *store, const char *name)
{
    struct store_lab lab = {.name = (char *)name,
                            .file = "/labs/x/topology.yml",
                            .directory = "/labs/x",
                            .source = "nodes: {}",
                            .boot_id = "boot",
                            .is_own_namespace = true};
    g_autoptr(GError) error = NULL;
    g_assert_true(store_add_lab(store, &lab, &error));
    g_assert_no_error(error);
    return lab.id;
}

static enum store_object_state state_of(struct store *store, int64_t lab, const char *kind, const char *key)
{
    g_autoptr(store_object) object = store_find_object(store, lab, kind, key, NULL);
    return object ? object->state : STORE_OBJECT_STATES;
}

/* One step through the journal, as a group of its own. */
static bool intend(struct store *store, int64_t lab, int64_t run, bool make, const char *kind,
                   const char *key, struct store_intent *intent)
{
    *intent = (struct store_intent){.make = make, .kind = kind, .key = key, .payload = "{}"};
    return store_intend(store, lab, run, intent, 1, NULL);
}

static bool settle(struct store *store, int64_t lab, struct store_intent *intent, enum store_outcome outcome)
{
    intent->outcome = outcome;
    return store_settle(store, lab, intent, 1, NULL);
}

static void test_journal(void)
{
    g_autofree char *folder = folder_new();
    g_autoptr(GError) error = NULL;
    struct store *store = store_open(folder, &error);
    g_assert_no_error(error);
    int64_t lab = add_lab(store, "one"), run = 0;
    struct store_intent step, other;
    bool was_up = true;
    g_assert_true(store_begin_run(store, lab, "up", &run, NULL));
    g_assert_true(intend(store, lab, run, true, "bridge", "lan", &step));
    g_assert_cmpint(state_of(store, lab, "bridge", "lan"), ==, STORE_MAKING);
    /* The same object twice is refused: the first has to go first. */
    g_assert_false(intend(store, lab, run, true, "bridge", "lan", &other));
    g_assert_cmpint(other.step, ==, 0);
    g_assert_true(store_set_identity(store, lab, "bridge", "lan", "boot/1/2/nlb/mark", NULL));
    g_assert_true(settle(store, lab, &step, STORE_DONE));
    g_assert_cmpint(state_of(store, lab, "bridge", "lan"), ==, STORE_PRESENT);
    g_assert_true(store_was_up(store, lab, &was_up, NULL));
    g_assert_false(was_up);
    g_assert_true(store_end_run(store, run, "done", NULL));
    g_assert_true(store_was_up(store, lab, &was_up, NULL));
    g_assert_true(was_up);

    /* What another handle sees is what was committed. */
    g_autoptr(store) second = store_open(folder, NULL);
    g_autoptr(store_object) seen = store_find_object(second, lab, "bridge", "lan", NULL);
    g_assert_cmpstr(seen->identity, ==, "boot/1/2/nlb/mark");

    g_assert_true(intend(store, lab, run, true, "tap", "h1:eth0", &other));
    g_assert_true(settle(store, lab, &other, STORE_FAILED));
    g_assert_cmpint(state_of(store, lab, "tap", "h1:eth0"), ==, STORE_MAKING);
    g_assert_true(settle(store, lab, &other, STORE_UNDONE));
    g_assert_cmpint(state_of(store, lab, "tap", "h1:eth0"), ==, STORE_OBJECT_STATES);

    g_assert_true(intend(store, lab, run, false, "bridge", "lan", &step));
    g_assert_cmpint(state_of(store, lab, "bridge", "lan"), ==, STORE_REMOVING);
    g_assert_true(settle(store, lab, &step, STORE_DONE));
    g_assert_cmpint(state_of(store, lab, "bridge", "lan"), ==, STORE_OBJECT_STATES);

    g_autoptr(GPtrArray) steps = store_list_steps(store, lab, NULL);
    static const char *const states[] = {"done", "undone", "done"};
    g_assert_cmpuint(steps->len, ==, 3);
    for (guint i = 0; i < 3; i++)
        g_assert_cmpstr(((struct store_step *)steps->pdata[i])->state, ==, states[i]);
    g_assert_true(store_delete_lab(store, lab, NULL));
    g_assert_null(store_find_lab(store, "one", &error));
    g_assert_no_error(error);
    store_close(store);
    folder_remove(folder);
}

/* Who completes a run and who gives it up: whoever is first, and with it the lab's text. */
static void test_complete(void)
{
    g_autofree char *folder = folder_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(store) store = store_open(folder, NULL);
    g_autoptr(store) second = store_open(folder, NULL);
    int64_t lab = add_lab(store, "one"), run = 0;
    bool is_complete = false, is_cut_off = false, was_up = true;

    /* Given up first. */
    g_assert_true(store_begin_run(store, lab, "up", &run, NULL));
    g_assert_true(store_is_cut_off(store, lab, &is_cut_off, NULL));
    g_assert_true(is_cut_off);
    is_complete = true;
    g_assert_true(store_give_up_run(second, run, &is_complete, NULL));
    g_assert_false(is_complete);
    g_assert_false(store_complete_run(store, lab, run, "/labs/y/other.yml", "nodes: {h1: {}}", &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_GIVEN_UP);
    g_clear_error(&error);
    g_autoptr(store_lab) same = store_find_lab(second, "one", NULL);
    g_assert_cmpstr(same->file, ==, "/labs/x/topology.yml");
    g_assert_cmpstr(same->source, ==, "nodes: {}");
    g_assert_true(store_is_cut_off(second, lab, &is_cut_off, NULL));
    g_assert_true(is_cut_off);
    g_assert_true(store_was_up(second, lab, &was_up, NULL));
    g_assert_false(was_up);
    g_assert_true(store_end_run(store, run, "rolled back", NULL));
    g_assert_true(store_is_cut_off(second, lab, &is_cut_off, NULL));
    g_assert_false(is_cut_off);
    /* Neither has a say after that. */
    g_assert_true(store_give_up_run(second, run, &is_complete, NULL));
    g_assert_false(is_complete);
    g_assert_false(store_complete_run(store, lab, run, NULL, NULL, NULL));

    /* Completed first. */
    g_assert_true(store_begin_run(store, lab, "up", &run, NULL));
    g_assert_true(store_complete_run(store, lab, run, "/labs/y/other.yml", "nodes: {h1: {}}", NULL));
    g_assert_true(store_give_up_run(second, run, &is_complete, NULL));
    g_assert_true(is_complete);
    g_autoptr(store_lab) changed = store_find_lab(second, "one", NULL);
    g_assert_cmpstr(changed->file, ==, "/labs/y/other.yml");
    g_assert_cmpstr(changed->directory, ==, "/labs/y");
    g_assert_cmpstr(changed->source, ==, "nodes: {h1: {}}");
    g_assert_true(store_was_up(second, lab, &was_up, NULL));
    g_assert_true(was_up);

    /* The text stays when the run has none; of a lab that is gone there is no run. */
    g_assert_true(store_begin_run(store, lab, "restart", &run, NULL));
    g_assert_true(store_complete_run(store, lab, run, NULL, NULL, NULL));
    g_autoptr(store_lab) kept = store_find_lab(second, "one", NULL);
    g_assert_cmpstr(kept->source, ==, "nodes: {h1: {}}");
    g_assert_true(store_begin_run(store, lab, "up", &run, NULL));
    g_assert_true(store_delete_lab(second, lab, NULL));
    g_assert_false(store_complete_run(store, lab, run, NULL, NULL, NULL));
    is_complete = true;
    g_assert_true(store_give_up_run(second, run, &is_complete, NULL));
    g_assert_false(is_complete);
    g_clear_pointer(&store, store_close);
    g_clear_pointer(&second, store_close);
    folder_remove(folder);
}

/* A write that fails is told with the system's own words. */
static void test_cause(void)
{
    g_autofree char *folder = folder_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(store) store = store_open(folder, NULL);
    struct rlimit whole, none;
    int64_t run = 0, lab = add_lab(store, "one");
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &whole);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = whole.rlim_max};
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &none), ==, 0);
    bool good = store_begin_run(store, lab, "up", &run, &error);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &whole), ==, 0);
    signal(SIGXFSZ, SIG_DFL);
    g_assert_false(good);
    g_assert_error(error, STORE_ERROR, STORE_ERROR_FULL);
    g_assert_nonnull(strstr(error->message, g_strerror(EFBIG)));
    g_assert_null(strstr(error->message, g_strerror(0)));
    g_assert_true(store_begin_run(store, lab, "up", &run, NULL));
    g_clear_pointer(&store, store_close);
    folder_remove(folder);
}

/* A group is all or nothing on the disk, and what was never begun is as it was. */
static void test_group(void)
{
    g_autofree char *folder = folder_new();
    g_autoptr(store) store = store_open(folder, NULL);
    int64_t lab = add_lab(store, "one"), run = 0;
    g_assert_true(store_begin_run(store, lab, "up", &run, NULL));
    struct store_intent group[] = {
        {.make = true, .kind = "bridge", .key = "a", .payload = "{}", .identity = "boot/1/2/nlb/a"},
        {.make = true, .kind = "bridge", .key = "b", .payload = "{}"},
        {.make = true, .kind = "bridge", .key = "c", .payload = "{}"},
        {.make = true, .kind = "bridge", .key = "a", .payload = "{}"},
    };
    /* The last is the first once more: none of them is written. */
    g_assert_false(store_intend(store, lab, run, group, 4, NULL));
    g_assert_cmpint(group[0].step, ==, 0);
    g_assert_cmpint(state_of(store, lab, "bridge", "a"), ==, STORE_OBJECT_STATES);
    g_assert_true(store_intend(store, lab, run, group, 3, NULL));
    g_assert_cmpint(group[2].step, ==, group[0].step + 2);
    g_autoptr(store_object) a = store_find_object(store, lab, "bridge", "a", NULL);
    g_assert_cmpstr(a->identity, ==, "boot/1/2/nlb/a");
    group[1].identity = "boot/1/3/nlb/b";
    g_assert_true(store_identify(store, lab, group, 3, NULL));
    g_autoptr(store_object) b = store_find_object(store, lab, "bridge", "b", NULL);
    g_assert_cmpstr(b->identity, ==, "boot/1/3/nlb/b");
    group[0].outcome = STORE_DONE;
    group[1].outcome = STORE_FAILED;
    group[1].why = "no room";
    group[2].outcome = STORE_SKIPPED;
    g_assert_true(store_settle(store, lab, group, 3, NULL));
    g_assert_cmpint(state_of(store, lab, "bridge", "a"), ==, STORE_PRESENT);
    g_assert_cmpint(state_of(store, lab, "bridge", "b"), ==, STORE_MAKING);
    g_assert_cmpint(state_of(store, lab, "bridge", "c"), ==, STORE_OBJECT_STATES);

    struct store_intent unmake[] = {
        {.kind = "bridge", .key = "b", .payload = "{}", .outcome = STORE_SKIPPED},
        {.kind = "bridge", .key = "a", .payload = "{}", .outcome = STORE_SKIPPED}};
    g_assert_true(store_intend(store, lab, run, unmake, 2, NULL));
    g_assert_cmpint(state_of(store, lab, "bridge", "a"), ==, STORE_REMOVING);
    g_assert_true(!unmake[0].was_present && unmake[1].was_present);
    g_assert_true(store_settle(store, lab, unmake, 2, NULL));
    g_assert_cmpint(state_of(store, lab, "bridge", "a"), ==, STORE_PRESENT);
    g_assert_cmpint(state_of(store, lab, "bridge", "b"), ==, STORE_REMOVING); /* half made is never whole */
    folder_remove(folder);
}

static void test_lab_names_are_unique(void)
{
    g_autofree char *folder = folder_new();
    g_autoptr(store) store = store_open(folder, NULL);
    add_lab(store, "one");
    struct store_lab again = {.name = "one", .file = "f", .directory = "d", .source = "s", .boot_id = "b"};
    g_assert_false(store_add_lab(store, &again, NULL));
    g_autoptr(GPtrArray) labs = store_list_labs(store, NULL);
    g_assert_cmpuint(labs->len, ==, 1);
    folder_remove(folder);
}

static void set_version(const char *folder, int version)
{
    g_autofree char *path = g_build_filename(folder, "netlab.db", NULL);
    g_autofree char *sql = g_strdup_printf("PRAGMA user_version = %d", version);
    sqlite3 *db = NULL;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
    sqlite3_close(db);
}

static void test_newer_version(void)
{
    g_autofree char *folder = folder_new();
    g_autofree char *path = g_build_filename(folder, "netlab.db", NULL);
    g_autoptr(GError) error = NULL;
    store_close(store_open(folder, NULL));
    set_version(folder, STORE_VERSION + 1);
    g_autofree char *before = NULL, *after = NULL;
    gsize before_length, after_length;
    g_assert_true(g_file_get_contents(path, &before, &before_length, NULL));
    g_assert_null(store_open(folder, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_NEWER);
    g_autofree char *says =
        g_strdup_printf("was written by a newer netlab (its version is %d", STORE_VERSION + 1);
    g_assert_nonnull(strstr(error->message, says));
    g_assert_true(g_file_get_contents(path, &after, &after_length, NULL));
    g_assert_cmpmem(before, before_length, after, after_length);
    folder_remove(folder);
}

static void test_damaged(void)
{
    g_autofree char *folder = folder_new();
    g_autofree char *path = g_build_filename(folder, "netlab.db", NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *rubbish = g_strnfill(8192, 'x');
    g_assert_true(g_file_set_contents(path, rubbish, -1, NULL));
    g_assert_null(store_open(folder, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_DAMAGED);
    folder_remove(folder);
}

/* Migrating an empty file twice at once gives one schema. */
static void test_two_at_once(void)
{
    g_autofree char *folder = folder_new();
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            g_autoptr(GError) error = NULL;
            struct store *store = store_open(folder, &error);
            if (!store)
                g_printerr("%s\n", error->message);
            store_close(store);
            _exit(store ? 0 : 1);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status;
        waitpid(children[i], &status, 0);
        g_assert_cmpint(status, ==, 0);
    }
    folder_remove(folder);
}

static void test_lock(void)
{
    g_autofree char *folder = folder_new();
    g_autoptr(GError) error = NULL;
    struct lock lock, second;
    g_assert_true(lock_take(&lock, folder, "lab", "up", 0, &error));
    g_assert_false(lock_take(&second, folder, "lab", "down", 0, &error));
    g_assert_error(error, LOCK_ERROR, LOCK_ERROR_HELD);
    g_autofree char *holder =
        g_strdup_printf("lab lab is being changed by `netlab up` (pid %d, user ", getpid());
    g_assert_true(g_str_has_prefix(error->message, holder));
    g_assert_true(lock_take(&second, folder, "other", "down", 0, NULL));
    lock_release(&second);
    lock_release(&lock);
    g_assert_true(lock_take(&lock, folder, "lab", "up", 0, NULL));
    lock_release(&lock);
    folder_remove(folder);
}

static void test_names(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (int i = 0; i < 20000; i++) {
        g_autofree char *key = g_strdup_printf("a-long-node-name-that-begins-like-all-others-%d:eth0", i);
        char *name = names_interface('t', 1000, "lab", key);
        g_assert_cmpuint(strlen(name), ==, 13);
        g_assert_true(g_hash_table_add(seen, name));
    }
    g_autofree char *a = names_interface('b', 0, "lab", "lan"), *b = names_interface('b', 0, "lab", "lan"),
                    *c = names_interface('b', 1, "lab", "lan"), *d = names_interface('b', 0, "lab2", "lan"),
                    *e = names_interface('t', 0, "lab", "lan");
    g_assert_cmpstr(a, ==, b);
    g_assert_cmpstr(a, !=, c);
    g_assert_cmpstr(a, !=, d);
    g_assert_cmpstr(a, !=, e);
    g_autofree char *own = names_alternative("lab", "h1:eth0", true),
                    *host = names_alternative("lab", "h1:eth0", false);
    g_assert_cmpstr(own, ==, "h1.eth0");
    g_assert_cmpstr(host, ==, "lab.h1.eth0");
}

static void test_process(void)
{
    struct process_identity self, parsed, wrong;
    g_assert_true(process_identify(getpid(), &self));
    g_autofree char *text = process_format(&self);
    g_assert_true(process_parse(text, &parsed));
    g_assert_true(process_is_alive(&parsed));
    wrong = self;
    wrong.start++;
    g_assert_false(process_is_alive(&wrong));
    g_assert_true(process_end(&wrong, 0, NULL)); /* gone already: and we are still here */
    wrong = self;
    strcpy(wrong.boot_id, "00000000-0000-0000-0000-000000000000");
    g_assert_false(process_is_alive(&wrong));
    static const char *const bad[] = {"", "x", "a/b/c", "boot/-1/5", "boot/1/2/3", "boot/1/x"};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_false(process_parse(bad[i], &parsed));

    pid_t child = fork();
    if (child == 0) {
        signal(SIGTERM, SIG_IGN);
        for (;;)
            pause();
    }
    struct process_identity identity;
    g_autoptr(GError) error = NULL;
    g_assert_true(process_identify(child, &identity));
    g_assert_true(process_end(&identity, 50, &error));
    g_assert_no_error(error);
    g_assert_false(process_is_alive(&identity)); /* a zombie is not alive */
    waitpid(child, NULL, 0);
}

/* ---- plans ---- */

static GPtrArray *wanted_new(const char *const *rows)
{
    GPtrArray *wanted = g_ptr_array_new_with_free_func(object_free);
    for (size_t i = 0; rows[i]; i += 3) {
        enum object_kind kind;
        g_assert_true(object_kind_parse(rows[i], &kind));
        g_ptr_array_add(wanted, object_new(kind, rows[i + 1], rows[i + 2]));
    }
    return wanted;
}

static void free_object(void *object)
{
    store_object_free(object);
}

static GPtrArray *existing_of(GPtrArray *wanted)
{
    GPtrArray *existing = g_ptr_array_new_with_free_func(free_object);
    for (guint i = 0; i < wanted->len; i++) {
        const struct object *object = wanted->pdata[i];
        struct store_object *row = g_new0(struct store_object, 1);
        row->kind = g_strdup(object_kind_name(object->kind));
        row->key = g_strdup(object->key);
        row->payload = g_strdup(object->payload);
        row->state = STORE_PRESENT;
        g_ptr_array_add(existing, row);
    }
    return existing;
}

static bool is_alive(const struct store_object *object, void *dead_key)
{
    return !dead_key || !g_str_equal(object->key, dead_key);
}

static char *plan_text(GPtrArray *wanted, GPtrArray *existing, const char *dead)
{
    plan_auto struct plan *plan = plan_make(wanted, existing, is_alive, (void *)dead);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < plan->steps->len; i++) {
        const struct plan_step *step = plan->steps->pdata[i];
        g_string_append_printf(text, "%s%s%s", text->len ? " " : "", step->make ? "+" : "-", step->key);
    }
    if (plan->wait->len)
        g_string_append_printf(text, " (%u)", plan->wait->len);
    return g_string_free(text, FALSE);
}

#define TAP(node, network) "{\"node\":\"" node "\",\"network\":\"" network "\",\"mtu\":1500}"
static const char *const base[] = {
    "bridge",        "lan",     "{}",  "bridge", "dmz",           "{}",     "address",
    "lan",           "{}",      "tap", "a:eth0", TAP("a", "lan"), "tap",    "a:eth1",
    TAP("a", "dmz"), "machine", "a",   "{}",     "tap",           "b:eth0", TAP("b", "lan"),
    "machine",       "b",       "{}",  NULL};

static void check_plan(const char *const *rows, const char *dead, const char *expected)
{
    g_autoptr(GPtrArray) before = wanted_new(base), after = wanted_new(rows);
    g_autoptr(GPtrArray) existing = existing_of(before);
    g_autofree char *text = plan_text(after, existing, dead);
    g_assert_cmpstr(text, ==, expected);
}

static void test_plan(void)
{
    g_autoptr(GPtrArray) wanted = wanted_new(base), nothing = g_ptr_array_new();
    g_autofree char *first = plan_text(wanted, nothing, NULL);
    g_assert_cmpstr(first, ==, "+lan +dmz +lan +a:eth0 +a:eth1 +a +b:eth0 +b (2)");
    check_plan(base, NULL, "");
    /* A machine that died takes its TAPs along, nothing else. */
    check_plan(base, "b", "-b -b:eth0 +b:eth0 +b (1)");
    check_plan(base, "a:eth1", "-a -a:eth1 -a:eth0 +a:eth0 +a:eth1 +a (1)");
    /* A bridge takes its address, its TAPs, their machines, and those machines' other TAPs. */
    check_plan(base, "dmz", "-a -a:eth1 -a:eth0 -dmz +dmz +a:eth0 +a:eth1 +a (1)");

    static const char *const changed[] = {"bridge",  "lan",    "{}",
                                          "bridge",  "dmz",    "{}",
                                          "address", "lan",    "{}",
                                          "tap",     "a:eth0", TAP("a", "lan"),
                                          "tap",     "a:eth1", TAP("a", "dmz"),
                                          "machine", "a",      "{}",
                                          "tap",     "b:eth0", TAP("b", "lan"),
                                          "machine", "b",      "{\"memory\":1}",
                                          NULL};
    check_plan(changed, NULL, "-b -b:eth0 +b:eth0 +b (1)");
    static const char *const fewer[] = {"bridge",        "lan",     "{}", "tap", "b:eth0",
                                        TAP("b", "lan"), "machine", "b",  "{}",  NULL};
    check_plan(fewer, NULL, "-a -a:eth1 -a:eth0 -lan -dmz");
    static const char *const none[] = {NULL};
    check_plan(none, NULL, "-b -b:eth0 -a -a:eth1 -a:eth0 -lan -dmz -lan");
}

static void test_plan_unfinished(void)
{
    g_autoptr(GPtrArray) wanted = wanted_new(base);
    g_autoptr(GPtrArray) existing = existing_of(wanted);
    ((struct store_object *)existing->pdata[7])->state = STORE_MAKING;
    g_autofree char *text = plan_text(wanted, existing, NULL);
    g_assert_cmpstr(text, ==, "-b -b:eth0 +b:eth0 +b (1)");
}

static void test_leases(void)
{
    g_autofree char *folder = folder_new();
    g_autoptr(GError) error = NULL;
    struct store *store = store_open(folder, &error);
    g_assert_no_error(error);
    struct store_lease lease = {.boot_id = (char *)"boot",
                                .netns = UINT64_MAX - 1,
                                .interface = (char *)"eth0",
                                .link = (char *)"boot/1/2/eth0/",
                                .runner = (char *)"",
                                .settings = (char *)"",
                                .lease = (char *)"",
                                .applied = (char *)""};
    g_assert_true(store_put_lease(store, &lease, &error));
    int64_t id = lease.id;
    lease.state = STORE_LEASE_BOUND;
    lease.runner = (char *)"boot/7/8";
    lease.lease = (char *)"address=10.0.0.5\n";
    g_assert_true(store_put_lease(store, &lease, &error));
    g_assert_cmpint(lease.id, ==, id);
    /* One row for one interface of one namespace. */
    struct store_lease twice = lease;
    twice.id = 0;
    g_assert_false(store_put_lease(store, &twice, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_FAILED);
    g_clear_error(&error);
    twice.netns = 5;
    g_assert_true(store_put_lease(store, &twice, &error));
    g_autoptr(GPtrArray) leases = store_list_leases(store, &error);
    g_assert_cmpuint(leases->len, ==, 2);
    const struct store_lease *seen = leases->pdata[0];
    g_assert_cmpuint(seen->netns, ==, UINT64_MAX - 1);
    g_assert_cmpstr(seen->lease, ==, lease.lease);
    g_assert_cmpstr(seen->runner, ==, "boot/7/8");
    g_assert_cmpint(seen->state, ==, STORE_LEASE_BOUND);
    g_assert_true(store_delete_lease(store, id, &error));
    g_assert_true(store_delete_lease(store, twice.id, &error));
    g_autoptr(GPtrArray) none = store_list_leases(store, &error);
    g_assert_cmpuint(none->len, ==, 0);
    store_close(store);
    folder_remove(folder);
}

/* A store of version 1, with a lab in it, becomes one of this version. */
static void test_migration(void)
{
    g_autofree char *folder = folder_new(), *path = g_build_filename(folder, "netlab.db", NULL);
    g_autoptr(GError) error = NULL;
    struct store *store = store_open(folder, &error);
    add_lab(store, "old");
    store_close(store);
    sqlite3 *db;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    g_assert_cmpint(
        sqlite3_exec(db,
                     "DROP TABLE lease; DROP TABLE host_object; DROP TABLE member; DROP TABLE class; "
                     "PRAGMA user_version = 1",
                     NULL, NULL, NULL),
        ==, SQLITE_OK);
    sqlite3_close(db);
    store = store_open(folder, &error);
    g_assert_no_error(error);
    g_autoptr(store_lab) lab = store_find_lab(store, "old", &error);
    g_assert_nonnull(lab);
    g_autoptr(GPtrArray) leases = store_list_leases(store, &error);
    g_assert_cmpuint(leases->len, ==, 0);
    g_autoptr(GPtrArray) objects = store_list_host_objects(store, &error);
    g_assert_cmpuint(objects->len, ==, 0);
    store_close(store);
    folder_remove(folder);
}

static void test_host_objects(void)
{
    g_autofree char *folder = folder_new();
    g_autoptr(GError) error = NULL;
    struct store *store = store_open(folder, &error);
    g_assert_no_error(error);
    struct store_host_object object = {.boot_id = (char *)"boot",
                                       .netns = UINT64_MAX - 1,
                                       .kind = (char *)"bridge",
                                       .name = (char *)"br0",
                                       .identity = (char *)"boot/1/2/br0/mark",
                                       .detail = (char *)""};
    g_assert_true(store_put_host_object(store, &object, &error));
    object.state = STORE_REMOVING;
    g_assert_true(store_put_host_object(store, &object, &error));
    /* One of a kind and name in a namespace; the same name of another kind is another. */
    struct store_host_object twice = object;
    twice.id = 0;
    g_assert_false(store_put_host_object(store, &twice, &error));
    g_assert_error(error, STORE_ERROR, STORE_ERROR_FAILED);
    g_clear_error(&error);
    twice.kind = (char *)"port";
    twice.state = STORE_PRESENT;
    g_assert_true(store_put_host_object(store, &twice, &error));
    g_autoptr(GPtrArray) objects = store_list_host_objects(store, &error);
    g_assert_cmpuint(objects->len, ==, 2);
    const struct store_host_object *seen = objects->pdata[0], *port = objects->pdata[1];
    g_assert_cmpuint(seen->netns, ==, UINT64_MAX - 1);
    g_assert_cmpint(seen->state, ==, STORE_REMOVING);
    g_assert_cmpint(port->state, ==, STORE_PRESENT);
    g_assert_cmpstr(seen->identity, ==, object.identity);
    g_assert_true(store_delete_host_object(store, object.id, &error));
    g_assert_true(store_delete_host_object(store, twice.id, &error));
    g_autoptr(GPtrArray) none = store_list_host_objects(store, &error);
    g_assert_cmpuint(none->len, ==, 0);
    store_close(store);
    folder_remove(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/journal", test_journal);
    g_test_add_func("/store/group", test_group);
    g_test_add_func("/store/complete", test_complete);
    g_test_add_func("/store/cause", test_cause);
    g_test_add_func("/store/unique-names", test_lab_names_are_unique);
    g_test_add_func("/store/newer-version", test_newer_version);
    g_test_add_func("/store/damaged", test_damaged);
    g_test_add_func("/store/two-at-once", test_two_at_once);
    g_test_add_func("/lock", test_lock);
    g_test_add_func("/names", test_names);
    g_test_add_func("/process", test_process);
    g_test_add_func("/plan/steps", test_plan);
    g_test_add_func("/plan/unfinished", test_plan_unfinished);
    g_test_add_func("/store/leases", test_leases);
    g_test_add_func("/store/host-objects", test_host_objects);
    g_test_add_func("/store/migration", test_migration);
    return g_test_run();
}
