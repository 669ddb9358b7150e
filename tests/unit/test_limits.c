/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Limits of copies (netlab/limits.h), on a folder that stands in for a control group: what is written where,
 * and that a refusal leaves nothing. The kernel's own keeping of them is not tried here.
 */
#include "netlab/limits.h"

#include <glib/gstdio.h>
#include <unistd.h>
#include <string.h>

static char *make_group(void)
{
    char *folder = g_dir_make_tmp("netlab-limits.XXXXXX", NULL);
    g_autofree char *file = g_build_filename(folder, "cgroup.subtree_control", NULL);
    g_assert_true(g_file_set_contents(file, "cpuset cpu io memory pids\n", -1, NULL));
    g_setenv("NETLAB_CGROUP", folder, TRUE);
    return folder;
}

static void put(const char *folder, const char *name)
{
    g_autofree char *file = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(file, "", -1, NULL));
}

static char *get(const char *folder, const char *name)
{
    g_autofree char *file = g_build_filename(folder, name, NULL);
    char *text = NULL;
    g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
    return text;
}

static void test_enter(void)
{
    g_autofree char *folder = make_group(), *why = NULL;
    g_autofree char *group = limits_find_group(true, &why);
    g_assert_cmpstr(group, ==, folder);
    g_assert_null(why);
    /* The kernel makes these files with the group. */
    g_autofree char *copy = g_build_filename(folder, "netlab-lab-anna", NULL);
    g_assert_cmpint(g_mkdir(copy, 0700), ==, 0);
    put(copy, "memory.max");
    put(copy, "cpu.max");
    put(copy, "cgroup.procs");
    int fd = limits_open_group(group, "lab-anna", 300, 50, &why);
    g_assert_cmpint(fd, >=, 0);
    g_autofree char *nobody = get(copy, "cgroup.procs");
    g_assert_cmpstr(nobody, ==, "");
    g_assert_true(limits_join_group(fd));
    close(fd);
    g_autofree char *memory = get(copy, "memory.max"), *cpu = get(copy, "cpu.max"),
                    *procs = get(copy, "cgroup.procs");
    g_assert_cmpstr(memory, ==, "314572800");
    g_assert_cmpstr(cpu, ==, "50000 100000");
    g_assert_cmpstr(procs, ==, "0");
    fd = limits_open_group(group, "lab-anna", 0, 0, &why);
    g_assert_cmpint(fd, >=, 0);
    g_assert_false(limits_join_group(-1));
    close(fd);
    g_autofree char *none = get(copy, "memory.max");
    g_assert_true(g_str_has_prefix(none, "max"));
}

static void test_refused(void)
{
    g_autofree char *folder = make_group(), *why = NULL;
    g_autofree char *copy = g_build_filename(folder, "netlab-lab-ben", NULL);
    /* A plain folder has no memory.max. */
    g_assert_cmpint(limits_open_group(folder, "lab-ben", 300, 50, &why), ==, -1);
    g_assert_nonnull(strstr(why, "netlab-lab-ben: No such file or directory"));
    g_assert_false(g_file_test(copy, G_FILE_TEST_EXISTS));
    g_assert_cmpint(g_mkdir(copy, 0700), ==, 0);
    limits_remove_group(folder, "lab-ben");
    g_assert_false(g_file_test(copy, G_FILE_TEST_EXISTS));
    limits_remove_group(folder, "lab-ben");
    limits_remove_group("", "lab-ben");
}

static void test_not_divided(void)
{
    g_autofree char *folder = make_group(), *why = NULL;
    g_autofree char *file = g_build_filename(folder, "cgroup.subtree_control", NULL);
    g_assert_true(g_file_set_contents(file, "pids memory\n", -1, NULL));
    g_assert_null(limits_find_group(true, &why));
    g_assert_nonnull(strstr(why, "does not hand cpu and memory down"));
}

static void test_free(void)
{
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents("/proc/meminfo", &text, NULL, NULL));
    guint64 total = g_ascii_strtoull(strchr(text, ':') + 1, NULL, 10) >> 10, found = limits_free_memory();
    g_assert_cmpuint(found, >, 0);
    g_assert_cmpuint(found, <=, total);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/limits/enter", test_enter);
    g_test_add_func("/limits/refused", test_refused);
    g_test_add_func("/limits/not-divided", test_not_divided);
    g_test_add_func("/limits/free", test_free);
    return g_test_run();
}
