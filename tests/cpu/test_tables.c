/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The tables by which translated code finds memory and code (emu/cpu/jit/flat.c): a miss fills more than it
 * asked for, and none of it may be more than the page tables grant.
 *
 * Programs are machine code in flat 32-bit protected mode, translated before their first execution and never
 * hot. The first 4 MiB are mapped one to one, and PAGE in two address spaces as a test says. A ring 3 program
 * ends with INT3 through a gate of ring 0, which is #GP. Every test runs with the interpreter too, which
 * shows that what is expected is right.
 */
#include "emu/cpu/jit/jit.h"
#include "tests/cpu/rig.h"

enum {
    RAM_SIZE = 8 << 20,
    AT_TSS = 0x1800,
    AT_DIRECTORY = 0x9000, /* two, and the tables of PAGE behind them */
    AT_TABLE = 0xb000,     /* of the first 4 MiB, of both */
    AT_PAGES = 0xc000,
    AT_CODE = 0x10000,
    AT_USER = 0x11000,
    FRAME = 0x20000,
    PAGE = 0x40000000,
};

enum { READ4, WRITE4, READ1, WRITE1, WAYS };
static const char *const way_code[WAYS] = {"8b06", "8906", "8a06", "8806"}; /* mov eax or al, [esi]; back */

static void rig_setup(struct rig *rig, gconstpointer data)
{
    g_autoptr(GError) error = NULL;

    rig_make(rig, RAM_SIZE, NULL);
    if (data && !rig_translate(rig, &error))
        g_test_skip(error->message);
    rig_lay_out(rig);
    phys_write32(rig->mem, AT_TSS + 4, RIG_STACK);
    phys_write32(rig->mem, AT_TSS + 8, 0x18);
    for (uint32_t i = 0; i < 1024; i++)
        phys_write32(rig->mem, AT_TABLE + i * 4, i << 12 | 7);
    for (uint32_t space = 0; space < 2; space++) {
        phys_write32(rig->mem, AT_DIRECTORY + space * 0x1000, AT_TABLE | 7);
        phys_write32(rig->mem, AT_DIRECTORY + space * 0x1000 + (PAGE >> 20), (AT_PAGES + space * 0x1000) | 7);
    }
    rig_start(rig, AT_CODE);
    rig->cpu->tr =
        (struct segment){.selector = 0x30, .base = AT_TSS, .limit = 0x67, .max = 0x67, .attr = 0x8b00};
    cpu_write_cr3(rig->cpu, AT_DIRECTORY);
    cpu_write_cr0(rig->cpu, rig->cpu->cr0 | CR0_PG | CR0_WP);
}

static void rig_teardown(struct rig *rig, gconstpointer data)
{
    rig_free(rig);
}

static void map(struct rig *rig, uint32_t space, uint32_t page, uint32_t entry)
{
    phys_write32(rig->mem, AT_PAGES + space * 0x1000 + page * 4, entry);
}

static uint32_t entry_of(struct rig *rig, uint32_t page)
{
    return phys_read32(rig->mem, AT_PAGES + page * 4);
}

static int run_at(struct rig *rig, uint32_t eip)
{
    rig->cpu->eip = eip;
    rig->cpu->halted = false;
    return rig_run(rig);
}

/* The kernel runs it, and halts; −1, or the vector that came. */
static int run(struct rig *rig, const char *hex)
{
    g_autofree char *code = g_strconcat(hex, "f4", NULL);

    rig->cpu->gpr[ESP] = RIG_STACK;
    rig_load(rig, AT_CODE, code);
    return run_at(rig, AT_CODE);
}

/* IRET to `eip` in ring 3. */
static int run_user(struct rig *rig, uint32_t eip)
{
    const uint32_t frame[] = {eip, 0x23, 2, RIG_STACK - 0x400, 0x2b};
    int vector;

    phys_write(rig->mem, RIG_STACK - 20, frame, sizeof(frame));
    rig->cpu->gpr[ESP] = RIG_STACK - 20;
    /* mov edx, 2b; mov ds, edx; mov es, edx; iret */
    rig_load(rig, AT_CODE, "ba2b000000 8eda 8ec2 cf");
    vector = run_at(rig, AT_CODE);
    g_assert_cmpuint(rig->cpu->cpl, ==, 0);
    return vector;
}

/* One access; −1, or the error code of the #PF it raised. */
static int access_at(struct rig *rig, bool user, unsigned way, uint32_t linear)
{
    g_autofree char *code = g_strconcat(way_code[way], "cc", NULL);
    int vector;

    rig->cpu->gpr[ESI] = linear;
    if (user)
        rig_load(rig, AT_USER, code);
    vector = user ? run_user(rig, AT_USER) : run(rig, way_code[way]);
    if (vector != VEC_PF) {
        g_assert_cmpint(vector, ==, user ? VEC_GP : -1);
        return -1;
    }
    g_assert_cmphex(rig->cpu->cr2, ==, linear);
    return (int)phys_read32(rig->mem, rig->cpu->gpr[ESP]);
}

static void flush_page(struct rig *rig, uint32_t linear)
{
    rig->cpu->gpr[ESI] = linear;
    g_assert_cmpint(run(rig, "0f013e"), ==, -1); /* invlpg [esi] */
}

static void enter_space(struct rig *rig, uint32_t space)
{
    rig->cpu->gpr[EAX] = AT_DIRECTORY + space * 0x1000;
    g_assert_cmpint(run(rig, "0f22d8"), ==, -1); /* mov cr3, eax */
}

/* From now on a miss of the page fills all that there is. */
static void use_every_way(struct rig *rig, uint32_t page)
{
    map(rig, 0, page, (FRAME + page * 0x1000) | 7);
    flush_page(rig, PAGE + page * 0x1000);
    for (unsigned user = 0; user < 2; user++)
        for (unsigned way = 0; way < WAYS; way++)
            g_assert_cmpint(access_at(rig, user, way, PAGE + page * 0x1000), ==, -1);
}

/* The bits of entries, and which accesses they refuse with which error codes. */
static void test_rights(struct rig *rig, gconstpointer data)
{
    for (uint32_t bits = 0; bits < 8; bits++) {
        for (unsigned first = 0; first < 2 * WAYS; first++) {
            bool present = bits & 1, writable = bits & 2, for_user = bits & 4;

            use_every_way(rig, 0);
            map(rig, 0, 0, FRAME | bits | 0x40); /* dirty: writes are granted by a read's walk */
            if (first & 1)
                flush_page(rig, PAGE);
            else
                enter_space(rig, 0);
            for (unsigned i = 0; i < 2 * WAYS; i++) {
                unsigned n = (first + i) % (2 * WAYS), way = n % WAYS;
                bool user = n >= WAYS, write = way == WRITE4 || way == WRITE1;
                bool allowed = present && (for_user || !user) && (writable || !write);
                int error = (present ? 1 : 0) | (write ? 2 : 0) | (user ? 4 : 0);

                g_assert_cmpint(access_at(rig, user, way, PAGE), ==, allowed ? -1 : error);
            }
        }
    }
}

/* The kernel writes where it may not, with CR0.WP clear; the process still does not. */
static void test_no_protection(struct rig *rig, gconstpointer data)
{
    use_every_way(rig, 0);
    cpu_write_cr0(rig->cpu, rig->cpu->cr0 & ~CR0_WP);
    map(rig, 0, 0, FRAME | 0x45);
    flush_page(rig, PAGE);
    g_assert_cmpint(access_at(rig, false, WRITE4, PAGE), ==, -1);
    g_assert_cmpint(access_at(rig, true, WRITE4, PAGE), ==, 7);
    g_assert_cmpint(access_at(rig, true, READ4, PAGE), ==, -1);
    g_assert_cmpint(access_at(rig, true, WRITE1, PAGE), ==, 7);
    g_assert_cmpint(access_at(rig, false, WRITE1, PAGE), ==, -1);
}

/* A read sets the A bit alone; the first write sets D, whoever read before. */
static void test_dirty(struct rig *rig, gconstpointer data)
{
    for (unsigned who = 0; who < 4; who++) {
        bool reader = who & 1, writer = who & 2;

        use_every_way(rig, 0);
        map(rig, 0, 0, FRAME | 7);
        enter_space(rig, 0);
        g_assert_cmpint(access_at(rig, reader, READ4, PAGE), ==, -1);
        g_assert_cmpint(access_at(rig, writer, READ1, PAGE), ==, -1);
        g_assert_cmphex(entry_of(rig, 0) & 0x60, ==, 0x20);
        g_assert_cmpint(access_at(rig, writer, who & 1 ? WRITE4 : WRITE1, PAGE), ==, -1);
        g_assert_cmphex(entry_of(rig, 0) & 0x60, ==, 0x60);
    }
}

/* A page that was written in every way becomes code: whoever writes to it then changes what is executed. */
static void test_becomes_code(struct rig *rig, gconstpointer data)
{
    for (unsigned user = 0; user < 2; user++) {
        for (unsigned way = WRITE4; way < WAYS; way += 2) {
            use_every_way(rig, 0);
            enter_space(rig, 0);
            rig->cpu->gpr[EAX] = 0;
            g_assert_cmpint(access_at(rig, user, way, PAGE + 0x100), ==, -1);
            rig_load(rig, FRAME, "b311 cc"); /* mov bl, 11; int3 */
            g_assert_cmpint(run_user(rig, PAGE), ==, VEC_GP);
            g_assert_cmphex(rig->cpu->gpr[EBX] & 0xff, ==, 0x11);
            rig->cpu->gpr[EAX] = way == WRITE4 ? 0xcc22b3 : 0xb7; /* bl becomes 22; or bh 11 */
            g_assert_cmpint(access_at(rig, user, way, PAGE), ==, -1);
            g_assert_cmpint(run_user(rig, PAGE), ==, VEC_GP);
            g_assert_cmphex(rig->cpu->gpr[EBX] & 0xffff, ==, way == WRITE4 ? 0x0022 : 0x1111);
            rig->cpu->gpr[EBX] = 0;
        }
    }
}

/* The same where the page was written by way of several addresses: each of them must be noticed. */
static void test_becomes_code_aliases(struct rig *rig, gconstpointer data)
{
    for (uint32_t aliases = 1; aliases <= 5; aliases++) {
        for (uint32_t i = 0; i < aliases; i++) {
            map(rig, 0, i, FRAME | 7);
            flush_page(rig, PAGE + i * 0x1000);
        }
        for (uint32_t i = 0; i < aliases; i++) {
            rig_load(rig, FRAME, "b311 cc"); /* mov bl, 11; int3; and what was code is none any more */
            for (uint32_t j = 0; j < aliases; j++)
                g_assert_cmpint(access_at(rig, j & 1, WRITE4, PAGE + j * 0x1000 + 0x100), ==, -1);
            g_assert_cmpint(run_user(rig, PAGE), ==, VEC_GP);
            g_assert_cmphex(rig->cpu->gpr[EBX] & 0xff, ==, 0x11);
            rig->cpu->gpr[EAX] = 0xcc22b3;
            g_assert_cmpint(access_at(rig, i & 1, WRITE4, PAGE + i * 0x1000), ==, -1);
            g_assert_cmpint(run_user(rig, PAGE), ==, VEC_GP);
            g_assert_cmphex(rig->cpu->gpr[EBX] & 0xff, ==, 0x22);
        }
    }
}

/* Two address spaces have other code at one address, called from a page that they share. */
static void test_spaces(struct rig *rig, gconstpointer data)
{
    /* again: mov eax, [esp + 4 * (ecx & 1) + 4]; mov cr3, eax; call PAGE; dec ecx; jnz again; ret */
    rig_load(rig, 0x12000, "89c8 83e001 8b448404 0f22d8 bd00000040 ffd5 49 75ea c3");
    for (uint32_t space = 0; space < 2; space++)
        map(rig, space, 0, (FRAME + space * 0x1000) | 3);
    rig_load(rig, FRAME, "43 c3");                    /* inc ebx; ret */
    rig_load(rig, FRAME + 0x1000, "81c300000100 c3"); /* add ebx, 10000; ret */
    for (unsigned i = 0; i < 3; i++) {
        rig->cpu->gpr[EBX] = 0;
        rig->cpu->gpr[ECX] = 1000;
        /* push AT_DIRECTORY + 1000; push AT_DIRECTORY; call 12000 */
        g_assert_cmpint(run(rig, "6800a00000 6800900000 e8f11f0000"), ==, -1);
        g_assert_cmphex(rig->cpu->gpr[EBX], ==, 500 << 16 | 500);
    }
    /* and one of them no longer */
    map(rig, 1, 0, 0);
    rig->cpu->gpr[EBX] = 0;
    rig->cpu->gpr[ECX] = 1000;
    g_assert_cmpint(run(rig, "6800a00000 6800900000 e8f11f0000"), ==, VEC_PF);
    g_assert_cmphex(rig->cpu->cr2, ==, PAGE);
    g_assert_cmphex(phys_read32(rig->mem, rig->cpu->gpr[ESP]), ==, 0);
    g_assert_cmphex(rig->cpu->gpr[EBX], ==, 1);
}

/* More misses without a flush than are remembered. */
static void test_many(struct rig *rig, gconstpointer data)
{
    use_every_way(rig, 0);
    use_every_way(rig, 1);
    rig->cpu->gpr[ESI] = PAGE;
    rig->cpu->gpr[ECX] = 40000;
    g_assert_cmpint(run(rig, "0f013e 8b06 8806 49 75f6"), ==, -1); /* invlpg, load, store; dec ecx; jnz */
    for (uint32_t page = 0; page < 2; page++)
        map(rig, 0, page, (FRAME + 0x8000 + page * 0x1000) | 7);
    enter_space(rig, 0);
    for (uint32_t page = 0; page < 2; page++) {
        phys_write32(rig->mem, FRAME + 0x8000 + page * 0x1000, page + 0x55);
        for (unsigned user = 0; user < 2; user++) {
            g_assert_cmpint(access_at(rig, user, READ4, PAGE + page * 0x1000), ==, -1);
            g_assert_cmphex(rig->cpu->gpr[EAX], ==, page + 0x55);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(struct rig *rig, gconstpointer data);
    } tests[] = {
        {"/tables/rights", test_rights},
        {"/tables/no-protection", test_no_protection},
        {"/tables/dirty", test_dirty},
        {"/tables/becomes-code", test_becomes_code},
        {"/tables/becomes-code-aliases", test_becomes_code_aliases},
        {"/tables/address-spaces", test_spaces},
        {"/tables/many", test_many},
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *name = g_strconcat("/interpreter", tests[i].name, NULL);

        g_test_add(name, struct rig, NULL, rig_setup, tests[i].run, rig_teardown);
        g_test_add(tests[i].name, struct rig, GINT_TO_POINTER(1), rig_setup, tests[i].run, rig_teardown);
    }
    return g_test_run();
}
