/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Classes; see class.h.
 */
#include "netlab/class.h"
#include "netlab/limits.h"
#include "netlab/machine_drives.h"
#include "netlab/topology_parse.h"
#include "netlab/topology_student.h"
#include "netlab/wanted.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LAB_NAME_MOST = 32, RESERVE_MIB = 256 /* what stays for the computer itself */ };

void class_plan_free(struct class_plan *plan)
{
    if (!plan)
        return;
    store_class_free(plan->class);
    g_ptr_array_unref(plan->members);
    g_ptr_array_unref(plan->gone);
    g_free(plan);
}

static bool is_chosen(const char *chosen, const char *id)
{
    g_auto(GStrv) words = g_strsplit(chosen ? chosen : "", ",", -1);
    for (char **word = words; *word; word++)
        g_strstrip(*word);
    return !chosen || g_strv_contains((const char *const *)words, id);
}

/* Complains about the first of the chosen ids that is none of `ids`. */
static bool check_chosen(const char *chosen, GPtrArray *ids, const char *where, GError **error)
{
    g_auto(GStrv) words = g_strsplit(chosen ? chosen : "", ",", -1);
    for (char **word = words; *word; word++) {
        bool found = false;
        g_strstrip(*word);
        for (guint i = 0; i < ids->len; i++)
            found = found || g_str_equal(ids->pdata[i], *word);
        if (found || !**word)
            continue;
        const char *nearest = topology_nearest(*word, (const char *const *)ids->pdata, ids->len);
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "there is no student \"%s\" in %s%s%s%s", *word,
                    where, nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
        return false;
    }
    return true;
}

/* ---- planning ---- */

/* 1 … 2^31-1, by the lab and the student. */
static unsigned make_seed(const char *lab, const char *student)
{
    g_autofree char *text = g_strdup_printf("netlab seed\n%s\n%s", lab, student);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    sum[8] = '\0';
    return (unsigned)(g_ascii_strtoull(sum, NULL, 16) & G_MAXINT32) | 1u;
}

static GHashTable *values_of(const struct roster_student *student, const char *lab)
{
    GHashTable *values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, student->values);
    while (g_hash_table_iter_next(&iter, &key, &value))
        g_hash_table_insert(values, g_strdup(key), g_strdup(value));
    g_hash_table_insert(values, g_strdup("id"), g_strdup(student->id));
    if (!g_hash_table_contains(values, "seed"))
        g_hash_table_insert(values, g_strdup("seed"), g_strdup_printf("%u", make_seed(lab, student->id)));
    return values;
}

static struct topology *load(const struct store_class *class, const char *shown, const char *document,
                             const char *student, GError **error)
{
    g_autofree char *text = g_strconcat(class->source, document, NULL);
    struct topology *topology = topology_load_text(class->file, shown, text, error);
    if (!topology)
        g_prefix_error(error, "the copy of %s:\n", student);
    return topology;
}

/* The lab's own name, which is that of its file. */
static bool name_class(struct store_class *class, const char *shown, const struct roster_student *first,
                       GError **error)
{
    g_autoptr(GHashTable) values = values_of(first, "");
    g_autofree char *document = topology_copy_document(NULL, values);
    topology_auto struct topology *topology = load(class, shown, document, first->id, error);
    if (topology)
        class->lab = g_strdup(topology->name);
    return topology != NULL;
}

static const char *value_of(const struct roster_student *student, const char *column)
{
    const char *value = g_hash_table_lookup(student->values, column);
    return value ? value : "";
}

/* What there is of a copy. Owned by the caller. */
static GPtrArray *list_existing(struct store *store, const char *lab, GError **error)
{
    GError *cause = NULL;
    g_autoptr(store_lab) known = store_find_lab(store, lab, &cause);
    if (cause) {
        g_propagate_error(error, cause);
        return NULL;
    }
    return known ? store_list_objects(store, known->id, error)
                 : g_ptr_array_new_with_free_func((GDestroyNotify)store_object_free);
}

/* A file that a machine writes to can be one copy's only. writers: file → the student whose copy has it. */
static bool check_writers(GHashTable *writers, GPtrArray *objects, const char *student, GError **error)
{
    for (guint i = 0; i < objects->len; i++) {
        const struct object *object = objects->pdata[i];
        g_autoptr(JsonNode) root =
            object->kind == OBJECT_MACHINE ? json_from_string(object->payload, NULL) : NULL;
        JsonArray *media = root ? machine_media(json_node_get_object(root)) : NULL;
        for (guint k = 0; media && k < json_array_get_length(media); k++) {
            JsonObject *medium = json_array_get_object_element(media, k);
            const char *file = json_object_get_string_member_with_default(medium, "file", NULL);
            if (!file || !json_object_get_boolean_member_with_default(medium, "persistent", FALSE))
                continue;
            const char *other = g_hash_table_lookup(writers, file);
            if (other && !g_str_equal(other, student)) {
                g_set_error(
                    error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID,
                    "%s is persistent in the copies of %s and %s, and only one machine may write to it; put "
                    "${student.id} into its name",
                    file, other, student);
                return false;
            }
            g_hash_table_insert(writers, g_strdup(file), (gpointer)student);
        }
    }
    return true;
}

static bool add_member(struct store *store, struct class_plan *plan, GHashTable *writers, const char *shown,
                       const struct roster_student *student, guint rank, GError **error)
{
    struct store_member *member = g_new0(struct store_member, 1);
    g_ptr_array_add(plan->members, member);
    g_autoptr(GHashTable) values = values_of(student, plan->class->lab);
    member->student = g_strdup(student->id);
    member->lab = g_strdup_printf("%s-%s", plan->class->lab, student->id);
    member->document = topology_copy_document(member->lab, values);
    member->name = g_strdup(value_of(student, "name"));
    member->email = g_strdup(value_of(student, "email"));
    member->rank = rank;
    topology_auto struct topology *topology = load(plan->class, shown, member->document, student->id, error);
    if (!topology)
        return false;
    topology_report_auto struct topology_report *report = topology_report_new(shown, topology->source);
    g_autoptr(GPtrArray) existing = list_existing(store, member->lab, error);
    g_autoptr(GPtrArray) objects = existing ? wanted_objects(topology, existing, report) : NULL;
    if (!objects)
        return false;
    if (!topology_report_ok(report, error)) {
        g_prefix_error(error, "the copy of %s:\n", student->id);
        return false;
    }
    if (!check_writers(writers, objects, student->id, error))
        return false;
    unsigned memory = 0, machines = 0;
    for (guint i = 0; i < objects->len; i++) {
        const struct object *object = objects->pdata[i];
        if (object->kind != OBJECT_MACHINE)
            continue;
        memory += (unsigned)payload_number(object->payload, "memory");
        machines++;
    }
    plan->machines += machines;
    plan->memory += memory;
    plan->copy_memory = MAX(plan->copy_memory, memory + machines * LIMITS_OVERHEAD_MIB);
    return true;
}

/* A copy's name is the lab's, a dash and the id, and labs' names have a length. */
static bool check_lengths(const struct class_plan *plan, const struct roster *roster, const char *chosen,
                          GError **error)
{
    for (guint i = 0; i < roster->students->len; i++) {
        const struct roster_student *student = roster->students->pdata[i];
        if (!is_chosen(chosen, student->id) ||
            strlen(plan->class->lab) + 1 + strlen(student->id) <= LAB_NAME_MOST)
            continue;
        g_set_error(
            error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID,
            "%s:%u:%u: the copy would be called \"%s-%s\", and names of labs have at most %d characters; "
            "shorten the lab's \"name:\" or the id",
            roster->file, student->mark.line, student->mark.column, plan->class->lab, student->id,
            LAB_NAME_MOST);
        return false;
    }
    return true;
}

/* Nothing else may have one of the copies' names. */
static bool check_names(struct store *store, const struct class_plan *plan, GError **error)
{
    g_autoptr(GPtrArray) known = store_list_members(store, 0, error);
    if (!known)
        return false;
    for (guint i = 0; i < plan->members->len; i++) {
        const struct store_member *member = plan->members->pdata[i];
        bool is_ours = false;
        for (guint k = 0; k < known->len; k++) {
            const struct store_member *other = known->pdata[k];
            if (!g_str_equal(other->lab, member->lab))
                continue;
            is_ours = other->class_id == plan->class->id;
            if (is_ours)
                break;
            g_set_error(
                error, LAB_ERROR, LAB_ERROR_ELSEWHERE,
                "%s is a copy of another class already (see `netlab status --student %s`); give the lab "
                "another \"name:\", or take that one down first",
                member->lab, member->student);
            return false;
        }
        GError *cause = NULL;
        g_autoptr(store_lab) lab = is_ours ? NULL : store_find_lab(store, member->lab, &cause);
        if (cause) {
            g_propagate_error(error, cause);
            return false;
        }
        if (lab) {
            g_set_error(
                error, LAB_ERROR, LAB_ERROR_ELSEWHERE,
                "a lab named %s is up, and is no copy of this class; give this one another \"name:\", or run "
                "`netlab down --lab %s` first",
                lab->name, lab->name);
            return false;
        }
    }
    return true;
}

/* What the store knows of this class already. */
static bool find_known(struct store *store, struct class_plan *plan, const struct roster *roster,
                       const char *chosen, GError **error)
{
    g_autoptr(GPtrArray) classes = store_list_classes(store, error);
    if (!classes)
        return false;
    for (guint i = 0; i < classes->len; i++) {
        const struct store_class *known = classes->pdata[i];
        if (!g_str_equal(known->lab, plan->class->lab) || !g_str_equal(known->roster, plan->class->roster))
            continue;
        if (!g_str_equal(known->file, plan->class->file) && access(known->file, F_OK) == 0) {
            g_set_error(error, LAB_ERROR, LAB_ERROR_ELSEWHERE,
                        "the class of lab %s is up from %s; give this lab another \"name:\", or run `netlab "
                        "down --for "
                        "%s` first",
                        known->lab, known->file, known->roster);
            return false;
        }
        plan->class->id = known->id;
        plan->class->memory = known->memory;
        plan->class->cpu = known->cpu;
        g_free(plan->class->cgroup);
        plan->class->cgroup = g_strdup(known->cgroup);
    }
    if (!plan->class->id || chosen)
        return true;
    g_autoptr(GPtrArray) members = store_list_members(store, plan->class->id, error);
    for (guint i = members ? members->len : 0; i-- > 0;)
        if (!roster_find(roster, ((struct store_member *)members->pdata[i])->student))
            g_ptr_array_insert(plan->gone, 0, g_ptr_array_steal_index(members, i));
    return members != NULL;
}

static bool fill_plan(struct store *store, struct class_plan *plan, const char *shown,
                      const struct roster *roster, const char *chosen, GError **error)
{
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    for (guint i = 0; i < roster->students->len; i++)
        g_ptr_array_add(ids, ((struct roster_student *)roster->students->pdata[i])->id);
    if (!check_chosen(chosen, ids, roster->file, error) ||
        !name_class(plan->class, shown, roster->students->pdata[0], error) ||
        !check_lengths(plan, roster, chosen, error))
        return false;
    g_autoptr(GHashTable) writers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < roster->students->len; i++) {
        const struct roster_student *student = roster->students->pdata[i];
        if (is_chosen(chosen, student->id) && !add_member(store, plan, writers, shown, student, i, error))
            return false;
    }
    return find_known(store, plan, roster, chosen, error) && check_names(store, plan, error);
}

struct class_plan *class_plan_make(struct store *store, const char *topology, const struct roster *roster,
                                   const char *chosen, GError **error)
{
    g_autofree char *source = NULL, *absolute = realpath(topology, NULL);
    size_t length;
    if (!topology_read_file(topology, "topology", "name a topology file or a folder with a topology.yml",
                            &source, &length, error))
        return NULL;
    struct class_plan *plan = g_new0(struct class_plan, 1);
    plan->class = g_new0(struct store_class, 1);
    *plan->class = (struct store_class){.file = g_strdup(absolute ? absolute : topology),
                                        .roster = g_strdup(roster->file),
                                        .source = g_steal_pointer(&source),
                                        .cgroup = g_strdup("")};
    plan->members = g_ptr_array_new_with_free_func((GDestroyNotify)store_member_free);
    plan->gone = g_ptr_array_new_with_free_func((GDestroyNotify)store_member_free);
    if (fill_plan(store, plan, topology, roster, chosen, error))
        return plan;
    class_plan_free(plan);
    return NULL;
}

/* ---- memory ---- */

/* MiB into which running machines may still grow; and of those that belong to the plan, how many there are
 * and what they were given. */
static bool add_running(const struct lab_place *place, struct store *store, const struct class_plan *plan,
                        uint64_t *growth, uint64_t *up_memory, unsigned *up_machines, GError **error)
{
    g_autoptr(GPtrArray) labs = store_list_labs(store, error);
    for (guint i = 0; labs && i < labs->len; i++) {
        const struct store_lab *lab = labs->pdata[i];
        struct lab_status *status = lab_status_read(place, store, lab, error);
        if (!status)
            return false;
        bool is_planned = false;
        for (guint k = 0; k < plan->members->len; k++)
            is_planned =
                is_planned || g_str_equal(((struct store_member *)plan->members->pdata[k])->lab, lab->name);
        for (guint k = 0; k < status->nodes->len; k++) {
            const struct lab_node_status *node = status->nodes->pdata[k];
            if (!node->pid)
                continue;
            uint64_t used = node->resident >> 10, most = node->memory + LIMITS_OVERHEAD_MIB;
            *growth += most > used ? most - used : 0;
            *up_memory += is_planned ? node->memory : 0;
            *up_machines += is_planned;
        }
        lab_status_free(status);
    }
    return labs != NULL;
}

bool class_check_memory(const struct lab_place *place, struct store *store, const struct class_plan *plan,
                        GError **error)
{
    uint64_t growth = 0, up_memory = 0, available = limits_free_memory();
    unsigned up_machines = 0;
    if (!add_running(place, store, plan, &growth, &up_memory, &up_machines, error))
        return false;
    unsigned machines = plan->machines - MIN(plan->machines, up_machines);
    uint64_t memory = plan->memory - MIN(plan->memory, up_memory),
             overhead = (uint64_t)machines * LIMITS_OVERHEAD_MIB;
    if (!machines || memory + overhead + growth + RESERVE_MIB <= available)
        return true;
    g_autofree char *others =
        growth ? g_strdup_printf(", %" PRIu64 " MiB into which machines that run may still grow", growth)
               : g_strdup("");
    g_set_error(error, LAB_ERROR, LAB_ERROR_FAILED,
                "not enough memory: %u machines to start need %" PRIu64 " MiB (%" PRIu64
                " MiB given to guests, %" PRIu64
                " MiB for their emulators%s, %d MiB left to the computer), and %" PRIu64
                " MiB are free; give nodes less (\"memory:\"), start only some (--students a,b), take other "
                "labs down, "
                "or say --force",
                machines, memory + overhead + growth + RESERVE_MIB, memory, overhead, others, RESERVE_MIB,
                available);
    return false;
}

/* ---- looking up ---- */

static void describe(GString *text, const struct store_class *class)
{
    g_autofree char *base = g_path_get_basename(class->roster);
    g_string_append_printf(text, "%s%s --for %s", text->len ? ", " : "", class->lab, base);
}

struct store_class *class_select(struct store *store, const char *roster, const char *lab, GError **error)
{
    g_autoptr(GPtrArray) classes = store_list_classes(store, error);
    if (!classes)
        return NULL;
    /* The list may be gone since. */
    g_autofree char *absolute = roster ? realpath(roster, NULL) : NULL;
    g_autofree char *wanted = absolute ? g_strdup(absolute)
                              : roster ? g_canonicalize_filename(roster, NULL)
                                       : NULL;
    g_autoptr(GString) all = g_string_new(NULL);
    guint count = 0, last = 0;
    for (guint i = 0; i < classes->len; i++) {
        const struct store_class *class = classes->pdata[i];
        describe(all, class);
        if ((wanted && !g_str_equal(class->roster, wanted)) || (lab && !g_str_equal(class->lab, lab)))
            continue;
        last = i;
        count++;
    }
    if (count == 1)
        return g_ptr_array_steal_index(classes, last);
    if (!classes->len)
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP,
                    "no class is up; bring one up with `netlab up PATH --for students.csv`");
    else if (count)
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP,
                    "which class is meant? There are %s (choose with --for FILE and "
                    "--lab NAME)",
                    all->str);
    else
        g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "no class %s%s%s%s is up; there %s %s",
                    lab ? "of lab " : "", lab ? lab : "", roster ? (lab ? " from " : "from ") : "",
                    roster ? roster : "", classes->len == 1 ? "is" : "are", all->str);
    return NULL;
}

GPtrArray *class_list_members(struct store *store, const struct store_class *class, const char *chosen,
                              GError **error)
{
    g_autoptr(GPtrArray) members = store_list_members(store, class->id, error);
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    for (guint i = 0; members && i < members->len; i++)
        g_ptr_array_add(ids, ((struct store_member *)members->pdata[i])->student);
    g_autofree char *where = g_strdup_printf("the class of lab %s", class->lab);
    if (!members || !check_chosen(chosen, ids, where, error))
        return NULL;
    for (guint i = members->len; i-- > 0;)
        if (!is_chosen(chosen, ((struct store_member *)members->pdata[i])->student))
            g_ptr_array_remove_index(members, i);
    return g_steal_pointer(&members);
}

char *class_find_copy(struct store *store, const char *student, const char *roster, const char *lab,
                      GError **error)
{
    g_autoptr(store_class) class = class_select(store, roster, lab, error);
    g_autoptr(GPtrArray) members = class ? store_list_members(store, class->id, error) : NULL;
    if (!members)
        return NULL;
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    for (guint i = 0; i < members->len; i++) {
        const struct store_member *member = members->pdata[i];
        if (g_str_equal(member->student, student))
            return g_strdup(member->lab);
        g_ptr_array_add(ids, member->student);
    }
    const char *nearest = topology_nearest(student, (const char *const *)ids->pdata, ids->len);
    g_set_error(error, LAB_ERROR, LAB_ERROR_NOT_UP, "there is no student \"%s\" in the class of lab %s%s%s%s",
                student, class->lab, nearest ? "; did you mean \"" : " (see `netlab status --for FILE`)",
                nearest ? nearest : "", nearest ? "\"?" : "");
    return NULL;
}

/* ---- one copy ---- */

struct topology *class_load_copy(const struct store_class *class, const struct store_member *member,
                                 GError **error)
{
    return load(class, class->file, member->document, member->student, error);
}

bool class_forget(struct store *store, const char *lab, GError **error)
{
    g_autoptr(GPtrArray) members = store_list_members(store, 0, error);
    g_autoptr(GPtrArray) classes = members ? store_list_classes(store, error) : NULL;
    if (!classes)
        return false;
    for (guint i = 0; i < members->len; i++) {
        const struct store_member *member = members->pdata[i];
        if (!g_str_equal(member->lab, lab))
            continue;
        for (guint k = 0; k < classes->len; k++) {
            const struct store_class *class = classes->pdata[k];
            if (class->id == member->class_id)
                limits_remove_group(class->cgroup, lab);
        }
        return store_delete_member(store, lab, error);
    }
    return true;
}

bool class_take_down(const struct lab_down_options *options, const struct store_class *class, GError **error)
{
    GError *cause = NULL;
    if (!lab_down(options, &cause) && !g_error_matches(cause, LAB_ERROR, LAB_ERROR_NOT_UP)) {
        g_propagate_error(error, cause);
        return false;
    }
    g_clear_error(&cause);
    limits_remove_group(class->cgroup, options->lab);
    g_autoptr(store) store = store_open(options->place->state, error);
    return store && store_delete_member(store, options->lab, error);
}
