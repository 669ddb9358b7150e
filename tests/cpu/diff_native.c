/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Native side of the host-differential test: a static 32-bit program without a C library (diff.h has the
 * theory).
 *
 * Everything happens in the signal handler. It is entered by the trap or fault that ends a case, stores the
 * result, writes the next case's registers into its own signal frame and returns: the kernel loads them.
 * Between batches it waits in read(). Segment registers are whatever the case left; the kernel gives the
 * handler flat CS, SS, DS and ES, and it uses no others.
 *
 * Linux i386 ABI: arch/x86/include/uapi/asm/sigcontext.h, ldt.h. Signals: any that a user instruction can
 * cause.
 */
#include "diff.h"

/* ---- system calls ---- */
enum {
    NR_exit = 1,
    NR_read = 3,
    NR_write = 4,
    NR_old_mmap = 90,
    NR_modify_ldt = 123,
    NR_rt_sigreturn = 173,
    NR_rt_sigaction = 174,
    NR_sigaltstack = 186
};

static int call3(int nr, int a, int b, int c)
{
    int result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

static int call4(int nr, int a, int b, int c, int d)
{
    int result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
}

static int map(uint32_t at, uint32_t size, int prot, int flags, int fd, uint32_t page_offset)
{
    const uint32_t args[6] = {at, size, (uint32_t)prot, (uint32_t)flags, (uint32_t)fd, page_offset * 4096};

    return call3(NR_old_mmap, (int)args, 0, 0);
}

/* ---- kernel structures ---- */
struct sigcontext32 {
    uint32_t gs, fs, es, ds, edi, esi, ebp, esp, ebx, edx, ecx, eax, trapno, err, eip, cs, eflags,
        esp_at_signal, ss;
    uint32_t fpstate, oldmask, cr2;
};
struct ucontext32 {
    uint32_t flags, link, stack_sp, stack_flags, stack_size;
    struct sigcontext32 mc;
};
struct sigaction32 {
    uint32_t handler, flags, restorer, mask[2];
};
struct user_desc32 {
    uint32_t entry_number, base_addr, limit, bits;
};
enum { SA_SIGINFO_ = 4, SA_RESTORER_ = 0x04000000, SA_ONSTACK_ = 0x08000000, SA_NODEFER_ = 0x40000000 };
#define FXSAVE_IN_FPSTATE 112 /* after the legacy FSAVE image */

static struct diff_batch *const batch = (struct diff_batch *)DIFF_BATCH_AT;
static int current = -1; /* the case that is running; −1 before the first */

static void copy(void *to, const void *from, uint32_t len)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

static void store(const struct ucontext32 *uc)
{
    const struct sigcontext32 *mc = &uc->mc;
    const struct diff_case *c = &batch->cases[current];
    struct diff_result *r = &batch->results[current];
    uint32_t gpr[8] = {mc->eax, mc->ecx, mc->edx, mc->ebx, mc->esp, mc->ebp, mc->esi, mc->edi};

    copy(r->gpr, gpr, sizeof(gpr));
    r->eip = mc->eip;
    r->eflags = mc->eflags;
    r->selector[DIFF_ES] = (uint16_t)mc->es;
    r->selector[DIFF_CS] = (uint16_t)mc->cs;
    r->selector[DIFF_SS] = (uint16_t)mc->ss;
    r->selector[DIFF_DS] = (uint16_t)mc->ds;
    r->selector[DIFF_FS] = (uint16_t)mc->fs;
    r->selector[DIFF_GS] = (uint16_t)mc->gs;
    r->trap = mc->trapno;
    r->error = mc->err;
    r->cr2 = mc->cr2;
    if (c->want_fx && mc->fpstate)
        copy(r->fx, (const void *)(mc->fpstate + FXSAVE_IN_FPSTATE), sizeof(r->fx));
    for (uint32_t i = 0; i < c->window_count; i++)
        copy(r->data + c->window[i].at, (const void *)c->window[i].addr, c->window[i].len);
}

static void load(struct ucontext32 *uc)
{
    struct sigcontext32 *mc = &uc->mc;
    const struct diff_case *c = &batch->cases[current];

    for (uint32_t i = 0; i < c->window_count; i++)
        copy((void *)c->window[i].addr, c->data + c->window[i].at, c->window[i].len);
    copy((void *)c->code_at, c->code, c->code_len);
    mc->eax = c->gpr[0];
    mc->ecx = c->gpr[1];
    mc->edx = c->gpr[2];
    mc->ebx = c->gpr[3];
    mc->esp = c->gpr[4];
    mc->ebp = c->gpr[5];
    mc->esi = c->gpr[6];
    mc->edi = c->gpr[7];
    mc->eip = c->eip;
    mc->eflags = c->eflags;
    mc->es = c->selector[DIFF_ES];
    mc->cs = c->selector[DIFF_CS];
    mc->ss = c->selector[DIFF_SS];
    mc->ds = c->selector[DIFF_DS];
    mc->fs = c->selector[DIFF_FS];
    mc->gs = c->selector[DIFF_GS];
}

static void finish(int status)
{
    for (;;)
        call3(NR_exit, status, 0, 0);
}

static void next_batch(void)
{
    char byte = 0;

    if (current >= 0 && call3(NR_write, DIFF_FD_DONE, (int)&byte, 1) != 1)
        finish(1);
    if (call3(NR_read, DIFF_FD_GO, (int)&byte, 1) != 1) /* the other side is done with us */
        finish(0);
    current = 0;
}

__attribute__((used)) static void on_signal(int number, void *info, struct ucontext32 *uc)
{
    /* A case's AC would make our own misaligned accesses fault. */
    __asm__ volatile("pushl $0x202\n\tpopfl" : : : "cc", "memory");
    if (current >= 0)
        store(uc);
    if (current < 0 || (uint32_t)current + 1 >= batch->count)
        next_batch();
    else
        current++;
    load(uc);
}

__asm__(".globl restore_signal\nrestore_signal:\n\tmovl $173, %eax\n\tint $0x80\n");
extern char restore_signal[];

static void give_up(uint32_t why)
{
    char byte = 1;

    batch->failed = why;
    call3(NR_write, DIFF_FD_DONE, (int)&byte, 1);
    finish(2);
}

static void make_arena(void)
{
    static const char rights[] = DIFF_RIGHTS;
    enum {
        READ = 1,
        WRITE = 2,
        EXEC = 4,
        SHARED = 1,
        PRIVATE_ = 2,
        FIXED = 0x10,
        ANONYMOUS = 0x20,
        POPULATE = 0x8000
    };

    if (map(DIFF_BATCH_AT, (sizeof(struct diff_batch) + 4095) & ~4095u, READ | WRITE, SHARED | FIXED,
            DIFF_FD_BATCH, 0) != (int)DIFF_BATCH_AT)
        finish(3);
    for (uint32_t i = 0; i < DIFF_PAGES; i++) {
        int prot = rights[i] == 'x'   ? READ | WRITE | EXEC
                   : rights[i] == 'w' ? READ | WRITE
                   : rights[i] == 'r' ? READ
                                      : 0;
        uint32_t at = DIFF_ARENA + i * 4096;

        if (map(at, 4096, prot, SHARED | FIXED | (prot ? POPULATE : 0), DIFF_FD_ARENA, i) != (int)at)
            give_up(2);
    }
    if (map(DIFF_STACK_AT, 0x10000, READ | WRITE, PRIVATE_ | ANONYMOUS | FIXED, -1, 0) != (int)DIFF_STACK_AT)
        give_up(2);
}

static void make_segments(void)
{
    static const struct user_desc32 descriptors[] = {
#define X(name, base, limit, is32, contents, readonly, pages)                                                \
    {DIFF_SEG_##name, base, limit, is32 | contents << 1 | readonly << 3 | pages << 4 | 1 << 6},
        DIFF_SEGMENTS(X)
#undef X
    };

    for (uint32_t i = 0; i < DIFF_SEG_COUNT; i++)
        if (call3(NR_modify_ldt, 0x11, (int)&descriptors[i], sizeof(descriptors[i])))
            give_up(1);
}

void _start(void);
void _start(void)
{
    static const uint8_t signals[] = {4 /* ILL */, 5 /* TRAP */, 7 /* BUS */, 8 /* FPE */, 11 /* SEGV */};
    struct sigaction32 action = {(uint32_t)on_signal,
                                 SA_SIGINFO_ | SA_RESTORER_ | SA_ONSTACK_ | SA_NODEFER_,
                                 (uint32_t)restore_signal,
                                 {0, 0}};
    /* SS_AUTODISARM: the kernel switches to it even when the case's ESP happens to lie in it. */
    uint32_t stack[3] = {DIFF_STACK_AT, 1u << 31, 0x10000};

    make_arena();
    make_segments();
    call3(NR_sigaltstack, (int)stack, 0, 0);
    for (uint32_t i = 0; i < sizeof(signals); i++)
        call4(NR_rt_sigaction, signals[i], (int)&action, 0, 8);
    __asm__ volatile("int3");
    finish(4);
}
