/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Class lists (netlab/roster.h) and variables of students (netlab/topology_student.h): what good ones give,
 * and for each mistake the exact message with its place.
 */
#include "netlab/roster.h"
#include "netlab/topology_parse.h"
#include "netlab/topology_student.h"

#include <string.h>

/* "id column=value …; id …", columns in the order of the file. */
static char *describe(const struct roster *roster)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < roster->students->len; i++) {
        const struct roster_student *student = roster->students->pdata[i];
        g_string_append_printf(out, "%s%s", i ? "; " : "", student->id);
        for (guint k = 0; k < roster->columns->len; k++) {
            const char *column = roster->columns->pdata[k],
                       *value = g_hash_table_lookup(student->values, column);
            if (value && !g_str_equal(column, "student"))
                g_string_append_printf(out, " %s=%s", column, value);
        }
    }
    return g_string_free(out, FALSE);
}

static const struct {
    const char *name, *text, *students;
} good[] = {
    {"plain", "student,name\nanna,Anna\nben,Ben\n", "anna name=Anna; ben name=Ben"},
    {"only-ids", "student\n1001\n1002", "1001; 1002"},
    {"crlf-bom", "\xef\xbb\xbfstudent,name\r\nanna,Anna\r\n\r\n", "anna name=Anna"},
    {"old-mac", "student,name\ranna,Anna\r", "anna name=Anna"},
    {"semicolons", "Name;Student;E-Mail\nBerg, Anna;anna;a@x.org\n", "anna name=Berg, Anna e_mail=a@x.org"},
    {"tabs", "student\tname\nanna\tAnna Berg\n", "anna name=Anna Berg"},
    {"sep", "sep=;\r\nstudent;name\r\nanna;\"A;B\"\r\n", "anna name=A;B"},
    {"quoted", "student,name\n\"anna\", \"says \"\"hi\"\", twice\" \n", "anna name=says \"hi\", twice"},
    {"quoted-header", "\"student\",\"a,b\"\nanna,1\n", "anna a_b=1"},
    {"empty-rows", "student,name\n,\nanna,Anna,,\n,,,\n", "anna name=Anna"},
    {"empty-fields", "student,name,seed\nanna,,\n", "anna"},
    {"order", "name,seed,student\nAnna,7,anna\n", "anna name=Anna seed=7"},
    {"nameless-column", "student,,name\nanna,,Anna\n", "anna name=Anna"},
    {"utf8", "student,name\nanna,Änne Öster\n", "anna name=Änne Öster"},
    {"ids", "student\na-b_c\n9\n", "a-b_c; 9"},
};

static void test_good(gconstpointer data)
{
    const char *text = good[GPOINTER_TO_SIZE(data)].text;
    g_autoptr(GError) error = NULL;
    roster_auto struct roster *roster = roster_parse("/x/c.csv", "c.csv", text, strlen(text), &error);
    g_assert_no_error(error);
    g_autofree char *students = describe(roster);
    g_assert_cmpstr(students, ==, good[GPOINTER_TO_SIZE(data)].students);
    g_assert_cmpstr(roster->file, ==, "/x/c.csv");
}

static const struct {
    const char *name, *text, *message;
} bad[] = {
    {"empty", "", "c.csv:1:1: there is no student in it; below \"student,name\" put \"anna,Anna Berg\""},
    {"no-students", "student\n",
     "c.csv:2:1: there is no student in it; below \"student,name\" put \"anna,Anna Berg\""},
    {"no-column", "id,name\nanna,Anna\n",
     "c.csv:1:1: the first line names the columns, and \"student\" (the ids) must be one; there are id, "
     "name"},
    {"near-column", "students,name\nanna,Anna\n",
     "c.csv:1:1: the first line names the columns, and \"student\" (the ids) must be one; there are "
     "students, name; "
     "rename students"},
    {"column-twice", "student,name,Name\nanna,A,B\n",
     "c.csv:1:14: there are two columns \"name\"; call one of them something else"},
    {"bad-id", "student\nanna berg\n",
     "c.csv:2:1: \"anna berg\" is no id: letters, digits, - and _, at most 30, the first a letter or digit "
     "(put names "
     "into a column of their own)"},
    {"dot-id", "name,student\nA, ../x\n",
     "c.csv:2:4: \"../x\" is no id: letters, digits, - and _, at most 30, the first a letter or digit (put "
     "names into a "
     "column of their own)"},
    {"option-id", "student\n-x\n",
     "c.csv:2:1: \"-x\" is no id: letters, digits, - and _, at most 30, the first a letter or digit (put "
     "names into a "
     "column of their own)"},
    {"no-id", "student,name\n,Anna\n", "c.csv:2:1: the student's id is missing"},
    {"twice", "student\nanna\nben\nanna\n", "c.csv:4:1: student anna is there already, in line 2"},
    {"case", "student\nanna\nAnna\n",
     "c.csv:3:1: student Anna is there already, in line 2 (ids differ in more than case)"},
    {"seed", "student,seed\nanna,0\nben,x\ncem,2147483648\n",
     "c.csv:2:6: \"0\" is no seed; give a number from 1 to 2147483647, or leave the field empty\n"
     "c.csv:3:5: \"x\" is no seed; give a number from 1 to 2147483647, or leave the field empty\n"
     "c.csv:4:5: \"2147483648\" is no seed; give a number from 1 to 2147483647, or leave the field empty"},
    {"short-row", "student,name,seed\nanna,Anna\n",
     "c.csv:2:1: 2 fields, and the header has 3; quote fields that contain a \",\""},
    {"long-row", "student;name\nanna;Berg;Anna\n",
     "c.csv:2:1: 3 fields, and the header has 2; quote fields that contain a \";\""},
    {"quote", "student,name\nanna,\"Anna\nben,Ben\n",
     "c.csv:2:6: this quotation mark is never closed; put another at the end of the field, and write one "
     "that belongs "
     "to the text twice"},
    {"after-quote", "student,name\nanna,\"A\" B\n",
     "c.csv:2:10: text goes on behind the closing quotation mark; write one that belongs to the text twice"},
    {"line-break", "student,name\nanna,\"A\nB\"\nben,Ben\n",
     "c.csv:2:6: the field \"name\" has a line break or another control character in it; remove it"},
    {"nameless", "student,\nanna,x\n",
     "c.csv:2:6: this field's column has no name; give it one in the first line"},
    {"latin1", "student,name\nanna,\xc4nne\n",
     "c.csv:2:6: the byte 0xc4 is no UTF-8; save the file as \"CSV UTF-8\""},
    {"utf16", "\xff\xfes\n", "c.csv:1:1: this is UTF-16; save it from the spreadsheet as \"CSV UTF-8\""},
    {"columns-in-characters", "student,name,seed\nanna,Ää,0\n",
     "c.csv:2:9: \"0\" is no seed; give a number from 1 to 2147483647, or leave the field empty"},
};

/* The first line of each complaint, joined by newlines. */
static char *complaints(const GError *error)
{
    g_auto(GStrv) lines = g_strsplit(error->message, "\n", -1);
    GString *out = g_string_new(NULL);
    for (int i = 0; lines[i]; i++)
        if (g_str_has_prefix(lines[i], "c.csv"))
            g_string_append_printf(out, "%s%s", out->len ? "\n" : "", lines[i]);
    return g_string_free(out, FALSE);
}

static void test_bad(gconstpointer data)
{
    const char *text = bad[GPOINTER_TO_SIZE(data)].text;
    g_autoptr(GError) error = NULL;
    g_assert_null(roster_parse("/x/c.csv", "c.csv", text, strlen(text), &error));
    g_assert_error(error, TOPOLOGY_ERROR, TOPOLOGY_ERROR_INVALID);
    g_autofree char *found = complaints(error);
    g_assert_cmpstr(found, ==, bad[GPOINTER_TO_SIZE(data)].message);
}

static void test_bounds(void)
{
    g_autoptr(GString) text = g_string_new("student\n");
    g_autoptr(GError) error = NULL;
    for (int i = 0; i < ROSTER_STUDENTS_MOST; i++)
        g_string_append_printf(text, "s%d\n", i);
    roster_auto struct roster *most = roster_parse("/x/c.csv", "c.csv", text->str, text->len, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(most->students->len, ==, ROSTER_STUDENTS_MOST);
    g_string_append(text, "one-more\n");
    g_assert_null(roster_parse("/x/c.csv", "c.csv", text->str, text->len, &error));
    g_assert_true(g_str_has_prefix(error->message, "c.csv:1002:1: more than 1000 students; split the list"));
    g_clear_error(&error);
    g_string_assign(text, "student");
    for (int i = 1; i <= ROSTER_COLUMNS_MOST; i++)
        g_string_append_printf(text, ",c%d", i);
    g_assert_null(roster_parse("/x/c.csv", "c.csv", text->str, text->len, &error));
    g_assert_nonnull(strstr(error->message, ": more than 64 columns"));
    g_clear_error(&error);
    g_string_assign(text, "student,name\na,");
    for (int i = 0; i <= ROSTER_FIELD_MOST; i++)
        g_string_append_c(text, 'x');
    g_assert_null(roster_parse("/x/c.csv", "c.csv", text->str, text->len, &error));
    g_assert_true(g_str_has_prefix(error->message, "c.csv:2:3: longer than 1000 bytes"));
}

/* ---- variables ---- */

static const struct {
    const char *text, *result; /* result "!…": the message */
} expansions[] = {
    {"plain ${HOME} $$ ${", "plain ${HOME} $$ ${"},
    {"10.${student.octet}.0.0/24", "10.7.0.0/24"},
    {"${student.name}, ${student.name}", "Änne, Änne"},
    {"${student.seed % 200 + 10}", "15"},
    {"${student.seed / 254 % 254 + 1}", "173"},
    {"${student.seed+1*2}", "1205007"},
    {"${student.seed * (1 + 1) - 5}", "2410005"},
    {"${student.octet - 10}", "-3"},
    {"${student.seed / -1}", "!a number or student.NAME belongs where \"-1}\" stands"},
    {"$${student.name}", "${student.name}"},
    {"${student.nmae}", "!\"student.nmae\" has no value; did you mean \"student.name\"?"},
    {"${student.quux}", "!\"student.quux\" has no value; it comes from the column \"quux\" of the class list "
                        "(netlab up --for FILE), else "
                        "from \"student: {quux: …}\" in the topology"},
    {"${student.}",
     "!behind \"student.\" comes the name of a column of the class list, like ${student.name}"},
    {"${student.octet", "!\"}\" is missing behind \"${student.octet\""},
    {"${student.octet % 0}", "!division by zero"},
    {"${student.octet % }", "!a number or student.NAME belongs where \"}\" stands"},
    {"${student.octet * 9223372036854775807}", "!the number becomes too large"},
    {"${student.octet * 99999999999999999999}",
     "!it is \"99999999999999999999\", which is no number to reckon with"},
    {"${student.name + 1}", "!student.name is \"Änne\", which is no number to reckon with"},
    {"${student.octet + (1", "!a \")\" is missing"},
    {"${student.octet x}", "!\"}\" is missing behind \"${student.octet \""},
    {"${student.octet + ((((((((((((((((((1}", "!more than 16 parentheses within each other"},
};

static void test_expand(void)
{
    g_autoptr(GHashTable) values = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_insert(values, "octet", "7");
    g_hash_table_insert(values, "seed", "1205005");
    g_hash_table_insert(values, "name", "Änne");
    for (size_t i = 0; i < G_N_ELEMENTS(expansions); i++) {
        g_autofree char *why = NULL;
        g_autofree char *text = topology_expand(expansions[i].text, values, &why);
        g_autofree char *found = why ? g_strconcat("!", why, NULL) : g_strdup(text);
        g_assert_true((text == NULL) == (why != NULL));
        g_assert_cmpstr(found, ==, expansions[i].result);
    }
}

#define TOPOLOGY                                                                                             \
    "name: lab\nstudent: {seed: 3, name: Nobody}\nnetworks: {lan: {subnet: "                                 \
    "\"10.${student.seed}.0.0/24\"}}\n"                                                                      \
    "nodes: {h1: {networks: [lan], run: ['echo ${student.name} ${HOME}']}}\n"

static struct topology *load(const char *text, const char *document, GError **error)
{
    g_autofree char *whole = g_strconcat(text, document, NULL);
    return topology_load_text("/labs/x/topology.yml", "t.yml", whole, error);
}

static const char *run_of(const struct topology *topology)
{
    return ((struct topology_node *)topology->nodes->pdata[0])->run->pdata[0];
}

static unsigned octet_of(const struct topology *topology)
{
    return ((struct topology_network *)topology->networks->pdata[0])->subnet.address >> 16 & 255;
}

/* A value never changes the structure of the file, whatever is in it. */
static void test_copy(void)
{
    g_autoptr(GError) error = NULL;
    topology_auto struct topology *own = load(TOPOLOGY, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(own->name, ==, "lab");
    g_assert_cmpstr(run_of(own), ==, "echo Nobody ${HOME}");
    g_assert_cmpuint(octet_of(own), ==, 3);
    static const char *const names[] = {"Anna", "x: {y: \"z\"}", "--- !copy", "it's\\", "null", "😀, [1"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GHashTable) values = g_hash_table_new(g_str_hash, g_str_equal);
        g_hash_table_insert(values, "seed", "77");
        g_hash_table_insert(values, "name", (char *)names[i]);
        g_autofree char *document = topology_copy_document("lab-anna", values),
                        *expected = g_strdup_printf("echo %s ${HOME}", names[i]);
        topology_auto struct topology *copy = load(TOPOLOGY, document, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(copy->name, ==, "lab-anna");
        g_assert_cmpstr(run_of(copy), ==, expected);
        g_assert_cmpuint(octet_of(copy), ==, 77);
        g_assert_cmpstr(topology_find_copy_document(copy->source), ==, document);
        /* What the store keeps of it is whole. */
        topology_auto struct topology *again = load(copy->source, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(again->name, ==, "lab-anna");
        g_assert_cmpstr(run_of(again), ==, expected);
    }
    g_assert_null(topology_find_copy_document(TOPOLOGY));
}

/* Lines and columns are those of the file; without a list and a default there is a complaint. */
static void test_places(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(load("nodes:\n  h1: {hostname: \"${student.name}\"}\n", NULL, &error));
    g_assert_true(
        g_str_has_prefix(error->message, "t.yml:2:18: \"student.name\" has no value; it comes from"));
    g_clear_error(&error);
    g_assert_null(load("nodes: {h1: }\nstudent: {Name: x}\n", NULL, &error));
    g_assert_true(g_str_has_prefix(error->message, "t.yml:2:11: \"Name\" is no name of a variable"));
    g_clear_error(&error);
    g_assert_null(load("nodes: {h1: }\nstudent: [x]\n", NULL, &error));
    g_assert_true(g_str_has_prefix(error->message, "t.yml:2:10: \"student\" must be a mapping"));
    g_clear_error(&error);
    g_assert_null(load("nodes: {h1: }\n--- {name: x}\n", NULL, &error));
    g_assert_true(g_str_has_prefix(error->message, "t.yml:2:5: a second YAML document begins here"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autofree char *path = g_strdup_printf("/roster/good/%s", good[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_good);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = g_strdup_printf("/roster/bad/%s", bad[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad);
    }
    g_test_add_func("/roster/bounds", test_bounds);
    g_test_add_func("/student/expand", test_expand);
    g_test_add_func("/student/copy", test_copy);
    g_test_add_func("/student/places", test_places);
    return g_test_run();
}
