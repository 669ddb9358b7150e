/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Repairing; see repair.h. Five passes, each content with what the one before has left:
 *
 * 1. The store: a damaged one is moved away (never deleted); what it knew is found by marks then.
 * 2. Its labs: those whose `up` was cut off or that are of an earlier boot are taken away. One that is up is
 * made whole: a change that was cut off is taken back, its supervisor replaced if it died.
 * 3. What `netlab host` was about to make or remove (host_objects.h): taken back, or finished.
 * 4. Strangers: processes, links and folders of labs that are in no store. Links that `netlab host` has made
 *    are not among them: somebody wants them, and its verbs know them by their marks.
 * 5. Lock files that nobody holds.
 *
 * What is ours is known by marks alone: a process by NETLAB_OWNER in its environment, with this state
 * directory; a link of this network namespace by its owner mark together with its name, which is a hash of
 * user, lab and object; a folder by the files that are in it. Where another state directory has a lab of that
 * name with a living process, everything of that name is its business. Links in a lab's own namespace go with
 * its processes.
 *
 * Every lab is locked while it is looked at, strangers' too; one that somebody holds is left to them.
 */
#include "netlab/repair.h"
#include "hostnet/link.h"
#include "hostnet/nat.h"
#include "hostnet/uplink.h"
#include "netlab/caller.h"
#include "netlab/cleanup.h"
#include "netlab/host_objects.h"
#include "netlab/hosts.h"
#include "netlab/lock.h"
#include "netlab/machine.h"
#include "netlab/paths.h"
#include "netlab/process.h"
#include "netlab/topology_parse.h"
#include "netlab/unmanaged.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

struct repair {
    const struct repair_options *options;
    GPtrArray *findings;
    GHashTable *known;   /* names of labs in the store */
    GHashTable *foreign; /* names of labs with living processes of other state directories */
    GHashTable *held;    /* names of labs that somebody else has locked */
    GHashTable *claimed; /* names of labs in no store, with our lock on each */
    struct store *store; /* NULL: none to go by */
};

static void finding_free(void *data)
{
    struct repair_finding *finding = data;
    g_free(finding->lab);
    g_free(finding->what);
    g_free(finding->why);
    g_free(finding);
}

/* `what` is taken over. */
static void find(struct repair *r, const char *lab, char *what, const GError *error)
{
    struct repair_finding *finding = g_new0(struct repair_finding, 1);
    *finding = (struct repair_finding){.lab = g_strdup(lab),
                                       .what = what,
                                       .outcome = error                 ? REPAIR_LEFT
                                                  : r->options->dry_run ? REPAIR_PLANNED
                                                                        : REPAIR_DONE,
                                       .why = error ? g_strdup(error->message) : NULL};
    g_ptr_array_add(r->findings, finding);
}

static bool is_meant(const struct repair *r, const char *lab)
{
    return !r->options->lab || g_str_equal(r->options->lab, lab);
}

/* ---- the store ---- */

static bool move_store(struct repair *r, GError **error)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    g_autofree char *path = g_build_filename(r->options->place->state, "netlab.db", NULL), *away = NULL;
    for (int number = 1;; number++) {
        g_free(away);
        away = g_strdup_printf("%s.damaged-%d", path, number);
        if (access(away, F_OK) != 0)
            break;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(suffixes) && !r->options->dry_run; i++) {
        g_autofree char *from = g_strconcat(path, suffixes[i], NULL),
                        *to = g_strconcat(away, suffixes[i], NULL);
        if (g_rename(from, to) == 0 || errno == ENOENT)
            continue;
        g_set_error(error, STORE_ERROR, STORE_ERROR_ACCESS, "moving the damaged store away: %s: %s", from,
                    g_strerror(errno));
        return false;
    }
    find(r, "", g_strdup_printf("move the damaged store to %s", away), NULL);
    return true;
}

/* NULL without an error: there is none to go by (a dry run with a damaged one). */
static struct store *open_store(struct repair *r, GError **error)
{
    g_autoptr(GError) cause = NULL;
    struct store *store = store_open(r->options->place->state, &cause);
    if (store && store_check(store, &cause))
        return store;
    store_close(store);
    if (!g_error_matches(cause, STORE_ERROR, STORE_ERROR_DAMAGED)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return NULL;
    }
    if (!move_store(r, error))
        return NULL;
    return r->options->dry_run ? NULL : store_open(r->options->place->state, error);
}

/* ---- labs of the store ---- */

static bool take_lock(struct repair *r, const char *lab, struct lock *lock)
{
    g_autoptr(GError) error = NULL;
    if (lock_take(lock, r->options->place->state, lab, "repair", LAB_WAIT_FOR_LOCK_MS, &error))
        return true;
    find(r, lab, g_strdup("look at it"), error);
    g_hash_table_add(r->held, g_strdup(lab));
    return false;
}

/* Taken away whole. */
static void remove_lab(struct repair *r, const struct store_lab *lab, const char *why)
{
    g_autoptr(GError) error = NULL;
    if (!r->options->dry_run) {
        struct lab_down_options down = {.place = r->options->place, .lab = lab->name};
        lab_down(&down, &error);
        /* Its supervisor was taking it away already, and was done before we had the lock. */
        if (g_error_matches(error, LAB_ERROR, LAB_ERROR_NOT_UP))
            g_clear_error(&error);
    }
    find(r, lab->name, g_strdup_printf("take it away: %s", why), error);
}

static void tell_step(void *opaque, enum lab_event event, unsigned index, unsigned count, double seconds,
                      const char *text)
{
    if (event == LAB_STEP)
        g_ptr_array_add(opaque, g_strdup(text));
}

/* A lab that is up: made whole. One whose last change was cut off becomes what it was before, by the text of
 * the last `up` that came to its end: of what was unmade the store may know nothing any more. What there is
 * to do is planned first, for the list of findings. */
static void mend_lab(struct repair *r, const struct store_lab *lab, bool is_cut_off)
{
    g_autoptr(GPtrArray) steps = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    enum lab_up_result result = LAB_UP_NOTHING_TO_DO;
    struct lab_up_options mend = {.place = r->options->place,
                                  .lab = lab->name,
                                  .choice = {.action = is_cut_off ? LAB_START : LAB_MEND, .spares = true},
                                  .dry_run = true,
                                  /* It may have to be made anew. */
                                  .rootless = lab->is_rootless,
                                  .here = !lab->is_own_namespace,
                                  .cancel_fd = r->options->cancel_fd,
                                  .timeout_s = r->options->timeout_s,
                                  .progress = {tell_step, steps}};
    topology_auto struct topology *topology =
        is_cut_off ? topology_load_text(lab->file, lab->file, lab->source, &error) : NULL;
    mend.topology = topology;
    mend.shown_file = lab->file;
    bool good = !error && lab_up(&mend, &result, &error);
    mend.dry_run = false;
    mend.progress = (struct lab_progress){0};
    if (good && result == LAB_UP_PLANNED && !r->options->dry_run)
        good = lab_up(&mend, &result, &error);
    for (guint i = 0; i < steps->len; i++)
        find(r, lab->name, g_strdup(steps->pdata[i]), error);
    if (!good && !steps->len)
        find(r, lab->name, g_strdup("make it whole"), error);
}

static void repair_lab(struct repair *r, struct store *store, const struct store_lab *lab)
{
    char boot_id[37];
    bool was_up = false, is_cut_off = false;
    struct lock lock;
    g_autoptr(GError) error = NULL;
    /* Only to see whether somebody is at it; lab_down() and lab_up() take it themselves. */
    if (!take_lock(r, lab->name, &lock))
        return;
    bool good = store_was_up(store, lab->id, &was_up, &error) &&
                store_is_cut_off(store, lab->id, &is_cut_off, &error);
    lock_release(&lock);
    process_boot_id(boot_id);
    if (!good)
        find(r, lab->name, g_strdup("look at it"), error);
    else if (!g_str_equal(boot_id, lab->boot_id))
        remove_lab(r, lab, "the computer was restarted since it was brought up");
    else if (!was_up)
        remove_lab(r, lab, "its `netlab up` was cut off");
    else
        mend_lab(r, lab, is_cut_off);
}

static bool repair_labs(struct repair *r, struct store *store, GError **error)
{
    g_autoptr(GPtrArray) labs = store_list_labs(store, error);
    for (guint i = 0; labs && i < labs->len; i++) {
        const struct store_lab *lab = labs->pdata[i];
        g_hash_table_add(r->known, g_strdup(lab->name));
        if (is_meant(r, lab->name))
            repair_lab(r, store, lab);
    }
    return labs != NULL;
}

/* ---- what `netlab host` has made ---- */

static void find_host_object(void *opaque, char *what, const GError *error)
{
    find(opaque, "", what, error);
}

/* Only what was cut off: the rest is as somebody wants it. */
static void repair_host_objects(struct repair *r)
{
    g_autoptr(GError) error = NULL;
    if (!r->options->lab &&
        !host_objects_repair(r->options->place, r->options->dry_run, find_host_object, r, &error))
        find(r, "", g_strdup("look at the links that `netlab host` has made"), error);
}

/* ---- what is in no store ---- */

static void release_claim(void *opaque)
{
    struct lock *lock = opaque;
    lock_release(lock);
    g_free(lock);
}

/* Nobody makes a lab of this name from now on, nor has begun to since the store was looked at. */
static bool claim(struct repair *r, const char *lab)
{
    if (r->options->dry_run || g_hash_table_contains(r->claimed, lab))
        return true;
    /* The name may come from a stranger's environment. */
    if (strchr(lab, '/') || *lab == '.' || !*lab)
        return false;
    struct lock lock;
    if (!take_lock(r, lab, &lock))
        return false;
    g_hash_table_insert(r->claimed, g_strdup(lab), g_memdup2(&lock, sizeof lock));
    g_autoptr(GError) error = NULL;
    struct store_lab *there = r->store ? store_find_lab(r->store, lab, &error) : NULL;
    bool is_free = !there && !error;
    store_lab_free(there);
    if (!is_free) {
        g_hash_table_add(r->known, g_strdup(lab));
        g_hash_table_remove(r->claimed, lab);
    }
    return is_free;
}

/* Whether a lab of this name is nobody's that we know of, nor of somebody else's state directory. */
static bool is_stray(struct repair *r, const char *lab)
{
    return is_meant(r, lab) && !g_hash_table_contains(r->known, lab) &&
           !g_hash_table_contains(r->foreign, lab) && !g_hash_table_contains(r->held, lab) && claim(r, lab);
}

static void end_processes(struct repair *r)
{
    enum { GRACE_MS = 1000 };
    g_autoptr(GPtrArray) processes = process_list_marked(r->options->place->state);
    g_autoptr(GArray) identities = g_array_new(FALSE, FALSE, sizeof(struct process_identity));
    for (guint i = 0; i < processes->len; i++) {
        const struct process_marked *process = processes->pdata[i];
        if (is_stray(r, process->lab))
            g_array_append_val(identities, process->identity);
    }
    if (!r->options->dry_run)
        process_end_all((struct process_identity *)identities->data, identities->len, GRACE_MS);
    for (guint i = 0; i < processes->len; i++) {
        const struct process_marked *process = processes->pdata[i];
        g_autoptr(GError) error = NULL;
        if (!is_stray(r, process->lab))
            continue;
        if (!r->options->dry_run)
            process_end(&process->identity, GRACE_MS, &error);
        find(r, process->lab,
             *process->node ? g_strdup_printf("end machine %s (pid %d)", process->node, process->identity.pid)
                            : g_strdup_printf("end its supervisor (pid %d)", process->identity.pid),
             error);
    }
}

/* Is this the name that we give to the link of this mark? */
static bool is_our_name(const struct hostnet_link *link, const char *lab, const char *human)
{
    static const char kinds[] = {'b', 't', 'u', 'v', 'w'};
    for (size_t i = 0; i < sizeof kinds; i++) {
        g_autofree char *name = names_interface(kinds[i], getuid(), lab, human);
        if (g_str_equal(name, link->name))
            return true;
    }
    return false;
}

static void delete_links(struct repair *r)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(hostnet) net = hostnet_open(&error);
    g_autoptr(GPtrArray) links = net ? hostnet_link_list_marked(net, NULL, &error) : NULL;
    if (!links)
        find(r, "", g_strdup("look for links with owner marks"), error);
    for (guint i = 0; links && i < links->len; i++) {
        const struct hostnet_link *link = links->pdata[i];
        g_autofree char *lab = NULL, *human = NULL;
        g_autoptr(GError) cause = NULL;
        struct hostnet_link_identity identity;
        if (!hostnet_mark_parse(link->mark, &lab, &human) || !is_our_name(link, lab, human) ||
            !is_stray(r, lab))
            continue;
        hostnet_link_get_identity(net, link, &identity);
        g_autofree char *uplink = names_interface('u', getuid(), lab, human);
        if (g_str_equal(uplink, link->name)) {
            char nic[HOSTNET_NAME_MAX + 1] = "";
            if (!r->options->dry_run)
                hostnet_uplink_rescue(net, &identity, nic, &cause);
            find(r, lab,
                 *nic ? g_strdup_printf("give %s its addresses and routes back and delete the bridge %s", nic,
                                        link->name)
                      : g_strdup_printf("delete the bridge %s, its NIC gets its addresses back", link->name),
                 cause);
            continue;
        }
        if (!r->options->dry_run)
            hostnet_link_delete(net, &identity, &cause);
        find(r, lab, g_strdup_printf("delete link %s (%s)", link->name, human), cause);
    }
}

static void delete_tables(struct repair *r)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(hostnet) net = hostnet_open(&error);
    g_autoptr(GArray) tables = net ? hostnet_nat_list_marked(net, NULL, &error) : NULL;
    /* Who may not list them cannot have made any. */
    if (!tables && !g_error_matches(error, HOSTNET_ERROR, HOSTNET_ERROR_PERMISSION))
        find(r, "", g_strdup("look for nftables with owner marks"), error);
    for (guint i = 0; tables && i < tables->len; i++) {
        const struct hostnet_nat_identity *table = &g_array_index(tables, struct hostnet_nat_identity, i);
        g_autofree char *lab = NULL, *human = NULL;
        g_autoptr(GError) cause = NULL;
        if (!hostnet_mark_parse(table->mark, &lab, &human))
            continue;
        g_autofree char *name = names_interface('n', getuid(), lab, human);
        if (!g_str_equal(name, table->table) || !is_stray(r, lab))
            continue;
        if (!r->options->dry_run)
            hostnet_nat_delete(net, table, &cause);
        find(r, lab, g_strdup_printf("delete nftables table %s (%s)", table->table, human), cause);
    }
}

static bool is_stray_lab(void *opaque, const char *lab)
{
    return is_stray(opaque, lab);
}

static void find_unmanaged(void *opaque, const char *lab, const char *path)
{
    find(opaque, lab, g_strdup_printf("remove %s", path), NULL);
}

/* Files that a folder of ours may hold; anything else in it means hands off. An empty one is ours: somebody
 * was killed between its files and itself. */
static bool holds_only(const char *folder, const char *const *names, bool with_folders)
{
    g_autoptr(GDir) entries = g_dir_open(folder, 0, NULL);
    bool good = entries != NULL;
    for (const char *name; good && (name = g_dir_read_name(entries));) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        bool is_folder = g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK);
        good = is_folder ? with_folders : g_strv_contains(names, name);
    }
    return good;
}

static const char *const lab_files[] = {"supervisor.sock", "supervisor.log", HOSTS_FILE, HOSTS_FILE ".new",
                                        NULL};
static const char *const node_files[] = {
    "config",      "console.sock", "agent.sock", "qmp.sock", "console.log",
    "machine.log", "previous.log", "leases",     "files",    NULL};

static bool is_lab_folder(const char *folder)
{
    g_autoptr(GDir) entries = holds_only(folder, lab_files, true) ? g_dir_open(folder, 0, NULL) : NULL;
    bool good = entries != NULL;
    for (const char *name; good && (name = g_dir_read_name(entries));) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        bool is_node = g_file_test(path, G_FILE_TEST_IS_DIR);
        good = !is_node || holds_only(path, node_files, false);
    }
    return good;
}

static bool remove_lab_folder(const char *folder, GError **error)
{
    g_autoptr(GDir) entries = g_dir_open(folder, 0, NULL);
    for (const char *name; entries && (name = g_dir_read_name(entries));) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR) && !machine_remove_directory(path, error))
            return false;
        if (g_strv_contains(lab_files, name))
            g_unlink(path);
    }
    return machine_remove_directory(folder, error);
}

static void remove_folders(struct repair *r)
{
    const char *runtime = r->options->place->runtime;
    g_autoptr(GError) mistrust = NULL;
    if (!caller_trust_folder(runtime, true, "NETLAB_RUNTIME_DIR", &mistrust)) {
        find(r, "", g_strdup("look for folders of labs"), mistrust);
        return;
    }
    g_autoptr(GDir) entries = g_dir_open(runtime, 0, NULL);
    for (const char *name; entries && (name = g_dir_read_name(entries));) {
        g_autofree char *folder = paths_lab_directory(runtime, name);
        g_autoptr(GError) error = NULL;
        if (g_file_test(folder, G_FILE_TEST_IS_SYMLINK) || !is_lab_folder(folder) || !is_stray(r, name))
            continue;
        if (!r->options->dry_run)
            remove_lab_folder(folder, &error);
        find(r, name, g_strdup_printf("remove its folder %s", folder), error);
    }
    if (!r->options->dry_run)
        g_rmdir(runtime); /* only when it is empty */
}

/* Another user's lab of an equal name is told from ours by everything that it has: its links' names are made
 * of the user too. That of another state directory of the same user is not. */
static bool is_same_user(const struct process_marked *process)
{
    return process->uid == geteuid() || (geteuid() == 0 && machine_is_our_user(process->uid));
}

/* Labs of our other state directories with a living process, so that what has their name is left alone. */
static void collect_foreign(struct repair *r)
{
    g_autoptr(GPtrArray) processes = process_list_marked(NULL);
    for (guint i = 0; i < processes->len; i++) {
        const struct process_marked *process = processes->pdata[i];
        if (!g_str_equal(process->state, r->options->place->state) && is_same_user(process))
            g_hash_table_add(r->foreign, g_strdup(process->lab));
    }
}

GPtrArray *repair_run(const struct repair_options *options, GError **error)
{
    g_autoptr(GHashTable) known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                          foreign = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                          held = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) findings = g_ptr_array_new_with_free_func(finding_free);
    g_autoptr(GHashTable) claimed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, release_claim);
    struct repair r = {options, findings, known, foreign, held, claimed, NULL};
    GError *cause = NULL;
    g_autoptr(store) store = open_store(&r, &cause);
    r.store = store;
    if (cause || (store && !repair_labs(&r, store, &cause))) {
        g_propagate_error(error, cause);
        return NULL;
    }
    if (store)
        repair_host_objects(&r);
    collect_foreign(&r);
    end_processes(&r);
    delete_links(&r);
    delete_tables(&r);
    unmanaged_sweep(options->dry_run, is_stray_lab, find_unmanaged, &r);
    remove_folders(&r);
    g_hash_table_remove_all(claimed);
    if (!options->dry_run)
        lab_sweep_locks(options->place);
    return g_steal_pointer(&findings);
}
