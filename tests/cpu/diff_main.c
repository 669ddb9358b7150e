/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The host-differential test's driver: generates batches, has both sides execute them, compares, reports.
 *
 *   test-diff [--native PATH] [--seed N] [--count N] [--row NAME] [--list] [--verbose]
 *
 * --count is cases a row (default: short; NETLAB_TEST_FULL=1: long). --row takes a name or a GLob, may be
 * repeated.
 * --seed with --row repeats a failure exactly: each row has its own stream of random numbers.
 * Exit status 0: all the same; 1: differences, of which the first of each row are printed whole; 77: this
 * host cannot run 32-bit programs or modify_ldt is not there (the reason is printed).
 */
#include "tests/cpu/diff_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHORT_COUNT        1200
#define FULL_COUNT         60000
#define SHOWN_PER_ROW      3
#define NATIVE_DEADLINE_MS 20000

struct native {
    pid_t pid;
    int go, done;
    struct diff_batch *batch;
    uint8_t *arena;
};

struct run {
    struct native native;
    struct diff_guest *guest;
    uint64_t seed;
    uint32_t count;
    char **rows;
    bool verbose;
    uint64_t cases, faults, failures, rows_run, rows_failed;
    uint64_t by_trap[32];
};

/* ---- the native side ---- */

static void *shared(size_t size, const char *name, int *fd)
{
    void *at;

    *fd = memfd_create(name, MFD_CLOEXEC);
    if (*fd < 0 || ftruncate(*fd, (off_t)size))
        g_error("memfd: %s", g_strerror(errno));
    at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (at == MAP_FAILED)
        g_error("mmap: %s", g_strerror(errno));
    return at;
}

static bool native_start(struct native *n, const char *path)
{
    int arena_fd, batch_fd, go[2], done[2];

    n->arena = shared(DIFF_ARENA_SIZE, "arena", &arena_fd);
    n->batch = shared((sizeof(struct diff_batch) + 4095) & ~(size_t)4095, "batch", &batch_fd);
    if (pipe2(go, O_CLOEXEC) || pipe2(done, O_CLOEXEC))
        g_error("pipe: %s", g_strerror(errno));
    n->pid = fork();
    if (n->pid == 0) {
        int from[4] = {arena_fd, batch_fd, go[0], done[1]};

        for (int i = 0; i < 4; i++) /* out of the way of where they belong */
            from[i] = fcntl(from[i], F_DUPFD, 20);
        for (int i = 0; i < 4; i++)
            dup2(from[i], DIFF_FD_ARENA + i);
        execl(path, path, NULL);
        _exit(127);
    }
    close(arena_fd);
    close(batch_fd);
    close(go[0]);
    close(done[1]);
    n->go = go[1];
    n->done = done[0];
    return n->pid > 0;
}

static void native_stop(struct native *n)
{
    int status;

    close(n->go);
    kill(n->pid, SIGKILL);
    while (waitpid(n->pid, &status, 0) < 0 && errno == EINTR)
        continue;
}

/* False when the native side is gone or does not answer. */
static bool native_execute(struct native *n)
{
    struct pollfd p = {.fd = n->done, .events = POLLIN};
    char byte = 0;

    if (write(n->go, &byte, 1) != 1 || poll(&p, 1, NATIVE_DEADLINE_MS) != 1)
        return false;
    return read(n->done, &byte, 1) == 1 && byte == 0;
}

/* One INT3, to see whether the native side works on this host at all. */
static bool native_probe(struct native *n)
{
    struct diff_batch *batch = n->batch;
    struct diff_case *c = &batch->cases[0];

    batch->count = 1;
    *c = (struct diff_case){.eip = DIFF_ARENA,
                            .eflags = FLAG_ONE | FLAG_IF,
                            .code_at = DIFF_ARENA,
                            .code = {0xcc},
                            .code_len = 1};
    for (unsigned i = 0; i < 6; i++)
        c->selector[i] = i == DIFF_CS ? DIFF_FLAT_CODE : DIFF_FLAT_DATA;
    if (native_execute(n) && batch->results[0].trap == VEC_BP)
        return true;
    printf("skipped: %s\n", batch->failed == 1   ? "modify_ldt() is not there (CONFIG_MODIFY_LDT_SYSCALL)"
                            : batch->failed == 2 ? "the native side cannot map its memory"
                                                 : "this host does not run 32-bit programs (IA32_EMULATION)");
    return false;
}

/* ---- comparing ---- */

#define COMPARED_FLAGS (FLAG_STATUS | FLAG_DF | FLAG_AC | FLAG_NT | FLAG_ID)

/* What cannot be the same on principle. */
static void mask_common(struct diff_result *r)
{
    r->eflags &= COMPARED_FLAGS;
    if (r->trap == VEC_PF)
        r->error &= 6; /* W and U; whether a page that must not be written is present is Linux's affair */
    else
        r->cr2 = 0;
    if (r->trap == VEC_DB || r->trap == VEC_BP)
        r->error = 0; /* Linux keeps the last one */
    else if (r->trap != VEC_PF && r->trap != VEC_GP && r->trap != VEC_SS && r->trap != VEC_NP)
        r->error = 0;
}

static bool results_equal(const struct diff_case *c, const struct diff_result *a, const struct diff_result *b)
{
    if (memcmp(a->gpr, b->gpr, sizeof(a->gpr)) || a->eip != b->eip || a->eflags != b->eflags ||
        memcmp(a->selector, b->selector, sizeof(a->selector)) || a->trap != b->trap || a->error != b->error ||
        a->cr2 != b->cr2)
        return false;
    if (c->want_fx && memcmp(a->fx, b->fx, sizeof(a->fx)))
        return false;
    for (unsigned i = 0; i < c->window_count; i++)
        if (memcmp(a->data + c->window[i].at, b->data + c->window[i].at, c->window[i].len))
            return false;
    return true;
}

static void print_flags(uint32_t eflags)
{
    static const struct {
        uint32_t bit;
        char name[3];
    } names[] = {{FLAG_CF, "CF"}, {FLAG_PF, "PF"}, {FLAG_AF, "AF"}, {FLAG_ZF, "ZF"}, {FLAG_SF, "SF"},
                 {FLAG_TF, "TF"}, {FLAG_DF, "DF"}, {FLAG_OF, "OF"}, {FLAG_AC, "AC"}};

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        if (eflags & names[i].bit)
            printf(" %s", names[i].name);
}

static void print_registers(const char *title, const uint32_t gpr[8], uint32_t eip, uint32_t eflags,
                            const uint16_t selector[6])
{
    printf("  %-7s eax %08x ecx %08x edx %08x ebx %08x esp %08x ebp %08x esi %08x edi %08x\n", title, gpr[0],
           gpr[1], gpr[2], gpr[3], gpr[4], gpr[5], gpr[6], gpr[7]);
    printf("          eip %08x es %04x cs %04x ss %04x ds %04x fs %04x gs %04x flags", eip, selector[0],
           selector[1], selector[2], selector[3], selector[4], selector[5]);
    print_flags(eflags);
    printf("\n");
}

static void print_bytes(const char *title, uint32_t addr, const uint8_t *bytes, uint32_t len)
{
    printf("  %-7s %08x:", title, addr);
    for (uint32_t i = 0; i < len; i++)
        printf("%s%02x", i % 4 ? "" : " ", bytes[i]);
    printf("\n");
}

/* The lines of 16 bytes in which the two differ, with what was there before. */
static void print_memory(const struct diff_case *c, const struct diff_result *ours,
                         const struct diff_result *native)
{
    for (unsigned i = 0; i < c->window_count; i++) {
        const struct diff_window *w = &c->window[i];

        for (uint32_t at = 0; at < w->len; at += 16) {
            uint32_t len = MIN(16u, w->len - at);

            if (!memcmp(ours->data + w->at + at, native->data + w->at + at, len))
                continue;
            print_bytes("before", w->addr + at, c->data + w->at + at, len);
            print_bytes("ours", w->addr + at, ours->data + w->at + at, len);
            print_bytes("native", w->addr + at, native->data + w->at + at, len);
        }
    }
}

static void print_case(const struct run *run, const char *name, const struct diff_case *c,
                       const struct diff_result *ours, const struct diff_result *native)
{
    bool code32 = c->selector[DIFF_CS] != DIFF_SELECTOR(CODE16);
    char text[128] = "";
    struct insn in;
    uint32_t eip = c->eip;
    const uint8_t *code = c->code;

    printf("row %s, seed %" G_GUINT64_FORMAT ":\n", name, run->seed);
    for (unsigned left = c->code_len; left;) {
        if (insn_decode(code, left, code32, false, NULL, &in) != DECODE_OK)
            break;
        insn_format(&in, eip, text, sizeof(text));
        printf("  %s-bit %08x ", code32 ? "32" : "16", eip);
        for (unsigned i = 0; i < in.length; i++)
            printf("%02x", code[i]);
        printf("  %s\n", text);
        eip += in.length;
        code += in.length;
        left -= in.length;
    }
    print_registers("before", c->gpr, c->eip, c->eflags, c->selector);
    print_registers("ours", ours->gpr, ours->eip, ours->eflags, ours->selector);
    print_registers("native", native->gpr, native->eip, native->eflags, native->selector);
    printf("  ours    vector %u error %x cr2 %08x\n  native  vector %u error %x cr2 %08x\n", ours->trap,
           ours->error, ours->cr2, native->trap, native->error, native->cr2);
    print_memory(c, ours, native);
    if (c->want_fx) {
        for (unsigned at = 0; at < sizeof(ours->fx); at += 16) {
            if (!memcmp(ours->fx + at, native->fx + at, 16))
                continue;
            print_bytes("ours fx", at, ours->fx + at, 16);
            print_bytes("nat. fx", at, native->fx + at, 16);
        }
    }
}

/* ---- running ---- */

static void reset_arenas(struct run *run, struct diff_random *random)
{
    uint8_t *guest = diff_guest_arena(run->guest);

    for (uint32_t i = 0; i < DIFF_ARENA_SIZE; i += 8) {
        uint64_t value = diff_random64(random);

        memcpy(run->native.arena + i, &value, 8);
    }
    cpu_code_written(diff_guest_cpu(run->guest),
                     (uint64_t)(guest - physmap_ram(diff_guest_cpu(run->guest)->board.mem)), DIFF_ARENA_SIZE);
    memcpy(guest, run->native.arena, DIFF_ARENA_SIZE);
}

static const struct diff_domain *domain_of(const struct insn_row *row, enum insn_id id)
{
    if (diff_integer_domain.wants(row, id))
        return &diff_integer_domain;
    return diff_system_domain.wants(row, id) ? &diff_system_domain : NULL;
}

/* Differences in memory that no window saw. */
static bool arenas_equal(struct run *run, const char *name)
{
    const uint8_t *ours = diff_guest_arena(run->guest), *native = run->native.arena;

    if (!memcmp(ours, native, DIFF_ARENA_SIZE))
        return true;
    for (uint32_t i = 0; i < DIFF_ARENA_SIZE; i++) {
        if (ours[i] != native[i]) {
            printf("row %s, seed %" G_GUINT64_FORMAT
                   ": after a batch, memory outside all windows differs at %08x: ours %02x native %02x\n",
                   name, run->seed, DIFF_ARENA + i, ours[i], native[i]);
            break;
        }
    }
    return false;
}

static bool run_row(struct run *run, enum insn_id id, const struct diff_domain *domain, const char *name,
                    uint32_t count)
{
    struct diff_gen gen = {.row = &insn_rows[id], .id = id};
    uint32_t failures = 0, faults = 0;

    gen.random.state = run->seed * 0x9e3779b97f4a7c15ull + g_str_hash(name);
    reset_arenas(run, &gen.random);
    for (uint32_t done = 0; done < count;) {
        struct diff_batch *batch = run->native.batch;
        uint32_t tries = 0;

        batch->count = 0;
        while (batch->count < MIN(DIFF_BATCH, count - done)) {
            gen.c = &batch->cases[batch->count];
            if (domain->generate(&gen))
                batch->count++;
            else if (++tries > 200 * DIFF_BATCH)
                g_error("row %s: no case can be made of it", name);
        }
        if (!native_execute(&run->native)) {
            printf("row %s, seed %" G_GUINT64_FORMAT ": the native side died or hangs (%u)\n", name,
                   run->seed, batch->failed);
            exit(1);
        }
        for (uint32_t i = 0; i < batch->count; i++) {
            static struct diff_result ours, unmasked;
            struct diff_result *native = &batch->results[i];
            const struct diff_case *c = &batch->cases[i];

            diff_guest_execute(run->guest, c, &ours);
            if (ours.trap != VEC_DB && ours.trap != VEC_BP)
                faults++;
            run->by_trap[ours.trap & 31]++;
            mask_common(&ours);
            mask_common(native);
            unmasked = *native;
            if (domain->mask(c, &ours, native))
                diff_guest_adopt(run->guest, c, &unmasked);
            if (!results_equal(c, &ours, native) && failures++ < SHOWN_PER_ROW)
                print_case(run, name, c, &ours, native);
        }
        done += batch->count;
        run->cases += batch->count;
        if (!arenas_equal(run, name)) {
            if (!failures)
                failures++;
            reset_arenas(run, &gen.random);
        }
    }
    if (run->verbose || failures)
        printf("%-20s %-8s %8u cases %7u faults %u different\n", name, domain->name, count, faults, failures);
    run->faults += faults;
    run->failures += failures;
    run->rows_run++;
    run->rows_failed += failures != 0;
    return !failures;
}

static bool wanted(const struct run *run, const char *name)
{
    if (!run->rows)
        return true;
    for (char **row = run->rows; *row; row++)
        if (g_pattern_match_simple(*row, name))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    struct run run = {.seed = 1};
    g_autofree char *native = NULL;
    gint64 seed = 1, count = 0;
    gboolean list = FALSE, verbose = FALSE;
    const GOptionEntry entries[] = {
        {"native", 0, 0, G_OPTION_ARG_FILENAME, &native, "the native side's program", "PATH"},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &seed, "of all random numbers (default 1)", "N"},
        {"count", 0, 0, G_OPTION_ARG_INT64, &count, "cases a row", "N"},
        {"row", 0, 0, G_OPTION_ARG_STRING_ARRAY, &run.rows, "only rows that match", "NAME"},
        {"list", 0, 0, G_OPTION_ARG_NONE, &list, "list the rows and who tests them", NULL},
        {"verbose", 0, 0, G_OPTION_ARG_NONE, &verbose, "a line a row", NULL},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        printf("%s\n", error->message);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    run.seed = (uint64_t)seed;
    run.verbose = verbose;
    run.count = count                                          ? (uint32_t)count
                : g_strcmp0(g_getenv("NETLAB_TEST_FULL"), "1") ? SHORT_COUNT
                                                               : FULL_COUNT;
    if (list) {
        for (unsigned id = 0; id < INSN_COUNT; id++) {
            const struct diff_domain *domain = domain_of(&insn_rows[id], (enum insn_id)id);

            printf("%-20s %s\n", insn_rows[id].name, domain ? domain->name : "-");
        }
        return 0;
    }
    if (!native)
        native = g_strdup("./diff-native");
    if (!native_start(&run.native, native)) {
        printf("cannot start %s\n", native);
        return 1;
    }
    if (!native_probe(&run.native))
        return 77;
    run.guest = diff_guest_new();
    for (unsigned id = 0; id < INSN_COUNT; id++) {
        const struct diff_domain *domain = domain_of(&insn_rows[id], (enum insn_id)id);

        if (domain && wanted(&run, insn_rows[id].name))
            run_row(&run, (enum insn_id)id, domain, insn_rows[id].name, run.count);
    }
    if (wanted(&run, "sequence"))
        run_row(&run, 0, &diff_sequence_domain, "sequence", run.count * 20);
    native_stop(&run.native);
    printf("seed %" G_GUINT64_FORMAT ": %" G_GUINT64_FORMAT " rows, %" G_GUINT64_FORMAT
           " cases, %" G_GUINT64_FORMAT " ended in a fault; %" G_GUINT64_FORMAT
           " different in %" G_GUINT64_FORMAT " rows\n",
           run.seed, run.rows_run, run.cases, run.faults, run.failures, run.rows_failed);
    printf("ends by vector:");
    for (unsigned i = 0; i < G_N_ELEMENTS(run.by_trap); i++)
        if (run.by_trap[i])
            printf(" %u: %" G_GUINT64_FORMAT, i, run.by_trap[i]);
    printf("\n");
    diff_guest_free(run.guest);
    g_strfreev(run.rows);
    return run.failures ? 1 : 0;
}
