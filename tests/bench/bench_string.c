/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * What a string instruction costs by its form and count: nanoseconds each, in the interpreter, in the
 * translator and on this very processor.
 *
 *   bench-string [--form NAME] [--rounds N]
 *
 * One piece of code serves all three, in 32-bit and in 64-bit mode the same bytes: it sets ESI, EDI and ECX,
 * executes the instruction, and counts rounds down in EBP. The guest's memory and the process's low memory
 * have the same addresses. The same without the instruction is subtracted. CPU time is measured, the best of
 * five.
 *
 * Exits 1 when the guest's registers or memory are not what the processor left.
 */
#include "emu/cpu/cpu_internal.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    AT_GDT = 0x1000,
    AT_CODE = 0x10000000, /* where the process can map; the guest's RAM is there too */
    AT_SOURCE = AT_CODE + 0x10000,
    AT_PLACE = AT_CODE + 0x20000,
    SIZE = 0x40000,
    REPEAT = 5,
};

/* `from` and `to` are offsets to the buffers, in elements of `size` from their middle; the instruction goes
 * down when `down`. */
static const struct form {
    const char *name;
    unsigned size;
    int to; /* destination; 0: far away; else the distance to the source in bytes */
    bool down;
    uint8_t code[3];
} forms[] = {
    {"rep movsb", 1, 0, false, {0xf3, 0xa4}},
    {"rep movsl", 4, 0, false, {0xf3, 0xa5}},
    {"rep movsw", 2, 0, false, {0x66, 0xf3, 0xa5}},
    {"rep movsl down", 4, 0, true, {0xf3, 0xa5}},
    {"rep movsb over 1", 1, 1, false, {0xf3, 0xa4}},
    {"rep movsl over 32", 4, 32, false, {0xf3, 0xa5}},
    {"rep stosb", 1, 0, false, {0xf3, 0xaa}},
    {"rep stosl", 4, 0, false, {0xf3, 0xab}},
    {"rep lodsl", 4, 0, false, {0xf3, 0xad}},
    {"repne scasb", 1, 0, false, {0xf2, 0xae}},
    {"repe scasl", 4, 0, false, {0xf3, 0xaf}},
    {"repe cmpsb", 1, 0, false, {0xf3, 0xa6}},
    {"repe cmpsl", 4, 0, false, {0xf3, 0xa7}},
    {"movsl", 4, 0, false, {0xa5}},
    {"stosb", 1, 0, false, {0xaa}},
    {"lodsb", 1, 0, false, {0xac}},
    {"scasb", 1, 0, false, {0xae}},
    {"cmpsb", 1, 0, false, {0xa6}},
};

struct side {
    struct physmap *mem;
    struct portio *io;
    struct clock *clock;
    struct cpu *cpu;
    bool there;
    uint8_t *at; /* AT_CODE */
};

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* other work on the machine must not show */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void guest_make(struct side *s, enum cpu_accel accel)
{
    struct cpu_board board = {.io = s->io = portio_new(), .clock = s->clock = clock_new()};
    g_autoptr(GError) error = NULL;

    s->mem = board.mem = physmap_new(1 << 20, &error);
    g_assert_no_error(error);
    physmap_add_ram(s->mem, "low", 0, 0x10000, 0, 0);
    physmap_add_ram(s->mem, "high", AT_CODE, SIZE, 0x10000, 0);
    s->cpu = cpu_new(NULL, &board);
    physmap_set_change_listener(s->mem, cpu_memory_changed, s->cpu);
    physmap_set_code_listener(s->mem, cpu_code_written, s->cpu);
    s->at = physmap_ram(s->mem) + 0x10000;
    s->there = accel == CPU_ACCEL_INTERP || cpu_set_accel(s->cpu, accel, &error);
    if (!s->there)
        printf("without the translator: %s\n", error->message);
}

static void guest_free(struct side *s)
{
    cpu_free(s->cpu);
    clock_free(s->clock);
    portio_free(s->io);
    physmap_free(s->mem);
}

static void native_make(struct side *s)
{
    s->cpu = NULL;
    s->at = mmap((void *)(uintptr_t)AT_CODE, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (s->at == MAP_FAILED)
        s->at = NULL;
}

static void put32(uint8_t **at, unsigned opcode, uint32_t value)
{
    *(*at)++ = (uint8_t)opcode;
    memcpy(*at, &value, 4);
    *at += 4;
}

static void fill(struct side *s, const struct form *f, unsigned count, uint32_t rounds, bool without,
                 bool native)
{
    uint32_t bytes = count * f->size, last = f->down ? bytes - f->size : 0;
    uint8_t code[64], *at = code, *loop;

    for (uint32_t i = 0; i < 0x8000; i++)
        s->at[AT_SOURCE - AT_CODE + i] = s->at[AT_PLACE - AT_CODE + i] = (uint8_t)(i * 7 | 1);
    if (strstr(f->name, "repe scas"))
        memset(s->at + (AT_PLACE - AT_CODE), 0, 0x8000);
    *at++ = f->down ? 0xfd : 0xfc;
    put32(&at, 0xbd, rounds);
    put32(&at, 0xb8, 0); /* mov eax */
    loop = at;
    put32(&at, 0xbe, AT_SOURCE + last);
    put32(&at, 0xbf, (f->to ? AT_SOURCE + (uint32_t)f->to : AT_PLACE) + last);
    put32(&at, 0xb9, count);
    for (unsigned i = 0; i < 3 && f->code[i] && !without; i++)
        *at++ = f->code[i];
    *at++ = 0x83; /* sub ebp, 1 */
    *at++ = 0xed;
    *at++ = 1;
    *at++ = 0x0f; /* jnz */
    put32(&at, 0x85, (uint32_t)(loop - (at + 5)));
    *at++ = 0xfc;
    *at++ = native ? 0xc3 : 0xf4;
    if (s->mem)
        phys_write(s->mem, AT_CODE, code, sizeof(code));
    else
        memcpy(s->at, code, sizeof(code));
}

static double run_native(uint8_t *code, uint32_t registers[3])
{
    uint64_t a = 0, c = 0, si = 0, di = 0;
    double t = seconds();

    /* rbp is kept on the stack, below the red zone */
    __asm__ volatile("addq $-128, %%rsp\n\tpushq %%rbp\n\tcall *%4\n\tpopq %%rbp\n\tsubq $-128, %%rsp"
                     : "+a"(a), "+c"(c), "+S"(si), "+D"(di)
                     : "r"(code)
                     : "memory", "cc", "rdx");
    t = seconds() - t;
    registers[0] = (uint32_t)c;
    registers[1] = (uint32_t)si;
    registers[2] = (uint32_t)di;
    return t;
}

static double run_guest(struct side *s, uint32_t registers[3])
{
    static const uint64_t gdt[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
    struct cpu_boot_state state = {
        .eip = AT_CODE, .gdt_base = AT_GDT, .gdt_limit = 31, .cs = 0x10, .ds = 0x18};
    double t;

    phys_write(s->mem, AT_GDT, gdt, sizeof(gdt));
    cpu_reset(s->cpu);
    cpu_set_boot_state(s->cpu, &state);
    t = seconds();
    while (cpu_run(s->cpu) == CPU_STOP_REQUESTED)
        continue;
    t = seconds() - t;
    registers[0] = s->cpu->gpr[ECX];
    registers[1] = s->cpu->gpr[ESI];
    registers[2] = s->cpu->gpr[EDI];
    return t;
}

/* Nanoseconds; the state at the end in `registers`. */
static double measure(struct side *s, const struct form *f, unsigned count, uint32_t rounds,
                      uint32_t registers[3])
{
    double best[2] = {1e9, 1e9};

    for (unsigned i = 0; i < 2 * REPEAT; i++) {
        bool without = !(i & 1);
        double t;

        fill(s, f, count, rounds, without, !s->cpu);
        t = s->cpu ? run_guest(s, registers) : run_native(s->at, registers);
        best[!without] = MIN(best[!without], t);
    }
    return MAX(best[1] - best[0], 0) / rounds * 1e9;
}

int main(int argc, char **argv)
{
    static const unsigned counts[] = {1, 2, 4, 8, 16, 32, 64, 256, 1024, 4096};
    g_autofree char *only = NULL;
    int rounds = 200000;
    bool good = true;
    struct side side[3] = {0};
    const GOptionEntry entries[] = {
        {"form", 0, 0, G_OPTION_ARG_STRING, &only, "only forms with this in their name", "NAME"},
        {"rounds", 0, 0, G_OPTION_ARG_INT, &rounds, "executions of the shortest (default 200000)", "N"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        printf("%s\n", error->message);
        return 2;
    }
    native_make(&side[0]);
    if (!side[0].at) {
        printf("skipped: this host does not map memory at %08x\n", AT_CODE);
        return 77;
    }
    guest_make(&side[1], CPU_ACCEL_INTERP);
    guest_make(&side[2], CPU_ACCEL_JIT);
    printf("%-20s %6s %12s %12s %12s\n", "ns each", "count", "native", "interpreter", "translator");
    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        const struct form *f = &forms[i];
        bool single = f->code[0] < 0xf0 && f->code[0] != 0x66;

        if (only && !strstr(f->name, only))
            continue;
        for (unsigned c = 0; c < (single ? 1 : G_N_ELEMENTS(counts)); c++) {
            uint32_t registers[3][3] = {0}, n = (uint32_t)MAX(rounds, 1) / (1 + counts[c] / 64);
            double ns[3] = {0};

            if (counts[c] * f->size > 0x4000)
                continue;
            for (unsigned k = 0; k < 3; k++)
                if (k == 0 || side[k].there)
                    ns[k] = measure(&side[k], f, counts[c], MAX(n, 10), registers[k]);
            printf("%-20s %6u %12.1f %12.1f %12.1f", f->name, counts[c], ns[0], ns[1], ns[2]);
            for (unsigned k = 1; k < 3; k++) {
                if (side[k].there && (memcmp(registers[0], registers[k], sizeof(registers[0])) ||
                                      memcmp(side[0].at + 0x10000, side[k].at + 0x10000, SIZE - 0x10000))) {
                    printf("  WRONG RESULT (%s)", k == 1 ? "interpreter" : "translator");
                    good = false;
                }
            }
            printf("\n");
        }
    }
    guest_free(&side[1]);
    guest_free(&side[2]);
    return good ? 0 : 1;
}
