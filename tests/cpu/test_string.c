/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * String instructions against a model that does them byte by byte: interpreter and translator.
 *
 *   test-string [--seed N] [--count N] [--index pext|shift|sse]
 *
 * A case is one string instruction on sixteen pages, some of them absent, read-only, a device, or the same
 * memory as another one; the code itself lies on such a page. Indices and counts lie near the pages' borders
 * and near each other, with DF either way, 16-bit addresses that wrap, operands at the end of the address
 * space, and a segment with a limit for the source. The program runs twice, with empty tables and with full
 * ones. Registers, flags, memory, the fault with its frame, CR2 and error code, and which pages were accessed
 * and written are compared each time. The seed of a case that differs is printed with the case.
 *
 * The device raises interrupts and asks for exits as it is accessed, so that repeated instructions stop in
 * the middle and go on.
 *
 * In other cases the instruction changes code: a sled of one-byte instructions, executed before and after,
 * with a sum that tells which bytes were executed.
 */
#include "emu/cpu/jit/jit.h"
#include "tests/cpu/random.h"
#include "tests/cpu/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RAM_SIZE = 0x110000,
    AT_GDT = 0x80000,
    AT_IDT = 0x81000,
    AT_HANDLERS = 0x82000,
    AT_DIRECTORY = 0x83000,
    AT_TABLE_LOW = 0x84000,
    AT_TABLE_HIGH = 0x85000,
    AT_STACK = 0xa0000,
    AT_ARENA = 0x100000, /* physical */
    AT_DEVICE = 0x8000000,
    PAGES = 16,
    ARENA_SIZE = PAGES * 4096,
    STATUS = FLAG_STATUS,
    SLED_MAX = 600,
    INTERRUPT = 0x20,
};

enum form { MOVS, STOS, LODS, SCAS, CMPS };
static const uint8_t opcodes[] = {0xa4, 0xaa, 0xac, 0xae, 0xa6};
static const char *const names[] = {"movs", "stos", "lods", "scas", "cmps"};

struct string_case {
    uint32_t base;          /* linear, of the arena */
    char rights[PAGES + 1]; /* w RAM, r read-only, - absent, d device, a the memory of page 1 */
    enum form form;
    unsigned size;
    bool repe, repne, addr16, fs;
    uint32_t fs_limit;
    uint32_t code; /* offset in the arena */
    uint8_t bytes[SLED_MAX + 64];
    unsigned length, start; /* start: bytes before the string instruction */
    unsigned sled;          /* bytes of code that the instruction may change, 0: none */
    unsigned sled_at;
    uint32_t gpr[8], eflags;
};

struct state {
    uint32_t gpr[8], eip, eflags;
    unsigned vector; /* 256: none */
    uint32_t error, cr2;
    uint8_t memory[ARENA_SIZE]; /* by physical page */
    uint8_t device[4096];
    bool accessed[PAGES], written[PAGES]; /* by linear page; of the model: must be */
    bool maybe[PAGES];                    /* may be accessed and written, by an access that faulted */
};

struct side {
    const char *name;
    struct rig rig;
    struct cpu *cpu; /* the rig's */
    uint8_t *ram;
    uint8_t device[4096];
    bool disturbs; /* accesses of the device raise interrupts and ask for exits */
    unsigned accesses, interrupts, exits;
};

/* ---- cases ---- */

/* An offset in the arena, often near a page's border. */
static uint32_t random_offset(struct random *r)
{
    uint32_t page = random32(r) % PAGES * 4096;

    return random_one_in(r, 2) ? page + random32(r) % 4096 : (page + random32(r) % 96 - 48) % ARENA_SIZE;
}

/* hlt; jmp back: an interrupt may come as late as that */
static const uint8_t ending[] = {0xf4, 0xeb, 0xfd};

static void make_code(struct string_case *c)
{
    uint8_t *at = c->bytes;

    *at++ = c->eflags & FLAG_DF ? 0xfd : 0xfc;
    *at++ = 0x90;
    c->start = (unsigned)(at - c->bytes);
    if (c->fs)
        *at++ = 0x64;
    if (c->addr16)
        *at++ = 0x67;
    if (c->size == 2)
        *at++ = 0x66;
    if (c->repe || c->repne)
        *at++ = c->repe ? 0xf3 : 0xf2;
    *at++ = opcodes[c->form] | (c->size > 1);
    memcpy(at, ending, sizeof(ending));
    c->length = (unsigned)(at - c->bytes) + sizeof(ending);
}

static const uint8_t sled_bytes[] = {0x90, 0x42, 0x4a}; /* nop, inc edx, dec edx */

static uint32_t random_sled(struct random *r)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 4; i++)
        value = value << 8 | sled_bytes[random32(r) % sizeof(sled_bytes)];
    return value;
}

/* The sled is passed, then comes the instruction, then the sled again: EBX counts. */
static void make_sled_case(struct string_case *c, struct random *r)
{
    unsigned plain_length, room, back;
    uint32_t at, count, bytes, last;
    uint8_t insn[16], *to;

    memset(c->rights, 'w', PAGES);
    c->form = random_one_in(r, 2) ? MOVS : STOS;
    c->fs = false;
    c->sled = 20 + random32(r) % (SLED_MAX - 20);
    c->code = random_one_in(r, 2) ? 4096 + random32(r) % (4096 - SLED_MAX - 64)
                                  : random_offset(r) % (ARENA_SIZE - SLED_MAX - 64);
    make_code(c);
    plain_length = c->length - c->start - sizeof(ending);
    memcpy(insn, c->bytes + c->start, plain_length);
    to = c->bytes + 1; /* behind CLD or STD */
    *to++ = 0xeb;
    *to++ = (uint8_t)(plain_length);
    c->start = (unsigned)(to - c->bytes);
    memcpy(to, insn, plain_length);
    to += plain_length;
    c->sled_at = (unsigned)(to - c->bytes);
    for (unsigned i = 0; i < c->sled; i++)
        *to++ = sled_bytes[random32(r) % sizeof(sled_bytes)];
    *to++ = 0x4b; /* dec ebx */
    *to++ = 0x0f;
    *to++ = 0x85; /* jnz */
    back = c->start - (unsigned)(to + 4 - c->bytes);
    memcpy(to, &back, 4);
    to += 4;
    memcpy(to, ending, sizeof(ending));
    c->length = (unsigned)(to - c->bytes) + sizeof(ending);

    room = c->sled / c->size;
    count = c->repe || c->repne ? random32(r) % (random_one_in(r, 2) ? MIN(room, 8) + 1 : room + 1) : 1;
    bytes = MAX(count, 1) * c->size;
    at = c->code + c->sled_at + random32(r) % (c->sled - bytes + 1);
    if (c->code / 4096 == 1 && (c->code + c->length) / 4096 == 1 && random_one_in(r, 2)) {
        unsigned other = 3 + random32(r) % 12;

        c->rights[other] = 'a';
        at += (other - 1) * 4096;
    }
    last = c->eflags & FLAG_DF ? bytes - c->size : 0;
    c->gpr[EAX] = random_sled(r);
    c->gpr[EBX] = 2;
    c->gpr[ECX] = c->addr16 ? (c->gpr[ECX] & 0xffff0000) | count : count;
    c->gpr[EDI] = c->base + at + last;
    c->gpr[ESI] = c->base + (random_one_in(r, 2) ? random_offset(r) % (ARENA_SIZE - bytes) : at) + last;
    if (c->form == MOVS && c->gpr[ESI] - c->base - last + bytes > ARENA_SIZE)
        c->gpr[ESI] = c->base + last;
}

static void make_case(struct string_case *c, uint64_t seed)
{
    static const uint32_t bases[] = {0x40000000, 0xffff8000, 0};
    static const char kinds[] = "wwwwwwwwr-da";
    struct random random = {seed}, *r = &random;
    uint32_t from = random_offset(r), to = random_offset(r);
    bool tame = random_one_in(r, 2);

    *c = (struct string_case){
        .base = bases[random32(r) % 3], .form = random32(r) % 5, .size = 1u << random32(r) % 3};
    for (unsigned i = 0; i < PAGES; i++)
        c->rights[i] = tame ? 'w' : kinds[random32(r) % (sizeof(kinds) - 1)];
    c->rights[1] = 'w';
    c->code = random_offset(r) % (ARENA_SIZE - 32);
    /* a page of its own, or of the data's */
    if (random_one_in(r, 2))
        c->code = (random_one_in(r, 2) ? from : to) & ~4095u;
    for (unsigned i = 0; i < 2; i++) {
        char *kind = &c->rights[(c->code + 16 * i) / 4096];

        if (*kind == '-' || *kind == 'd')
            *kind = 'w';
    }
    c->addr16 = c->base == 0 && random_one_in(r, 2);
    if (!random_one_in(r, 4)) {
        c->repe = random_one_in(r, 2);
        c->repne = !c->repe;
    }
    c->fs = random_one_in(r, 8);
    c->fs_limit = random_one_in(r, 2) ? ARENA_SIZE - 1 : from + random32(r) % 64;
    if (random_one_in(r, 2))
        to = from + random32(r) % 137 - 68;
    for (unsigned g = 0; g < 8; g++)
        c->gpr[g] = random32(r);
    if (random_one_in(r, 2))
        c->gpr[EAX] = (c->gpr[EAX] & 1 ? 0x5a : 0) * 0x01010101u;
    c->gpr[ESP] = AT_STACK;
    c->gpr[ECX] = random_one_in(r, 8)   ? 0xffffffff
                  : random_one_in(r, 3) ? random32(r) % 9000 / c->size
                                        : random32(r) % 40;
    c->gpr[ESI] = from + (c->fs ? 0 : c->base);
    c->gpr[EDI] = to + c->base;
    if (c->addr16 && random_one_in(r, 2))
        for (unsigned i = 0; i < 3; i++) {
            static const uint8_t regs[] = {ECX, ESI, EDI};

            c->gpr[regs[i]] = (c->gpr[regs[i]] & 0xffff) | random32(r) << 16;
        }
    c->eflags = FLAG_ONE | (random32(r) & STATUS) | (random_one_in(r, 3) ? FLAG_DF : 0);
    if (random_one_in(r, 2))
        c->eflags |= FLAG_IF;
    if (random_one_in(r, 4))
        make_sled_case(c, r);
    else
        make_code(c);
}

/* What memory holds before: long equal stretches, so that comparisons go on. */
static void fill_memory(const struct string_case *c, uint64_t seed, uint8_t *memory, uint8_t *device)
{
    struct random random = {seed * 3 + 1}, *r = &random;
    unsigned rare = random_one_in(r, 2) ? 3 : 700;

    for (unsigned i = 0; i < ARENA_SIZE; i++)
        memory[i] = random_one_in(r, rare) ? (uint8_t)random32(r) : 0x5a;
    for (unsigned i = 0; i < 4096; i++)
        device[i] = random_one_in(r, rare) ? (uint8_t)random32(r) : 0x5a;
    for (unsigned i = 0; c->sled && i < ARENA_SIZE; i++)
        memory[i] = sled_bytes[random32(r) % sizeof(sled_bytes)];
    for (unsigned i = 0; i < c->length; i++) {
        unsigned page = (c->code + i) / 4096;

        if (c->rights[page] == 'a')
            page = 1;
        memory[page * 4096 + (c->code + i) % 4096] = c->bytes[i];
    }
}

/* ---- the model ---- */

/* The byte at a linear address, or NULL with the fault noted. */
static uint8_t *model_byte(struct state *s, const struct string_case *c, uint32_t linear, uint32_t element,
                           bool write)
{
    uint32_t offset = linear - c->base, page = offset / 4096;
    char kind = offset < ARENA_SIZE ? c->rights[page] : '-';

    if (kind == '-' || (kind == 'r' && write)) {
        s->vector = VEC_PF;
        s->error = (kind == 'r') | (write ? 2 : 0);
        s->cr2 = linear;
        if (linear != element && element - c->base < ARENA_SIZE)
            s->maybe[(element - c->base) / 4096] = true;
        return NULL;
    }
    return kind == 'd' ? &s->device[offset % 4096]
                       : &s->memory[(kind == 'a' ? 1 : page) * 4096 + offset % 4096];
}

/* Reads or writes an element, all or nothing. */
static bool model_access(struct state *s, const struct string_case *c, uint32_t linear, bool write,
                         uint32_t *value)
{
    uint8_t *at[4];

    for (unsigned i = 0; i < c->size; i++)
        if (!(at[i] = model_byte(s, c, linear + i, linear, write)))
            return false;
    if (!write)
        *value = 0;
    for (unsigned i = 0; i < c->size; i++) {
        uint32_t page = (linear + i - c->base) / 4096;

        s->accessed[page] = true;
        s->written[page] |= write;
        if (write)
            *at[i] = (uint8_t)(*value >> 8 * i);
        else
            *value |= (uint32_t)*at[i] << 8 * i;
    }
    return true;
}

static void model_compare(struct state *s, uint32_t a, uint32_t b, unsigned size)
{
    uint32_t top = 1u << (8 * size - 1), mask = top | (top - 1), result = (a - b) & mask;

    s->eflags &= ~STATUS;
    s->eflags |= (a < b ? FLAG_CF : 0) | (result ? 0 : FLAG_ZF) | (result & top ? FLAG_SF : 0) |
                 ((a ^ b ^ result) & 0x10 ? FLAG_AF : 0) | ((a ^ b) & (a ^ result) & top ? FLAG_OF : 0) |
                 (__builtin_parity(result & 0xff) ? 0 : FLAG_PF);
}

static void move_index(struct state *s, const struct string_case *c, unsigned number, uint32_t delta)
{
    uint32_t mask = c->addr16 ? 0xffff : 0xffffffff;

    s->gpr[number] = (s->gpr[number] & ~mask) | ((s->gpr[number] + delta) & mask);
}

/* One element; false when it faults. */
static bool model_element(struct state *s, const struct string_case *c)
{
    uint32_t mask = c->addr16 ? 0xffff : 0xffffffff, si = s->gpr[ESI] & mask, di = s->gpr[EDI] & mask;
    uint32_t a = 0, b = 0, eax_mask = c->size == 4 ? 0xffffffff : (1u << 8 * c->size) - 1;
    uint32_t delta = c->eflags & FLAG_DF ? -c->size : c->size;
    bool source = c->form == MOVS || c->form == LODS || c->form == CMPS;

    if (source && c->fs) {
        if ((uint64_t)si + c->size - 1 > c->fs_limit) {
            s->vector = VEC_GP;
            s->error = 0;
            return false;
        }
        si += c->base;
    }
    if (source && !model_access(s, c, si, false, &a))
        return false;
    if (c->form == STOS)
        a = s->gpr[EAX];
    if ((c->form == MOVS || c->form == STOS) && !model_access(s, c, di, true, &a))
        return false;
    if ((c->form == SCAS || c->form == CMPS) && !model_access(s, c, di, false, &b))
        return false;
    if (c->form == SCAS)
        model_compare(s, s->gpr[EAX] & eax_mask, b, c->size);
    else if (c->form == CMPS)
        model_compare(s, a, b, c->size);
    else if (c->form == LODS)
        s->gpr[EAX] = (s->gpr[EAX] & ~eax_mask) | a;
    if (source)
        move_index(s, c, ESI, delta);
    if (c->form != LODS)
        move_index(s, c, EDI, delta);
    return true;
}

/* The sled is executed. */
static void model_sled(struct state *s, const struct string_case *c)
{
    for (unsigned i = 0; i < c->sled; i++) {
        uint8_t byte = s->memory[c->code + c->sled_at + i];

        s->gpr[EDX] += byte == 0x42 ? 1u : byte == 0x4a ? -1u : 0;
    }
}

static void model_run(struct state *s, const struct string_case *c)
{
    uint32_t mask = c->addr16 ? 0xffff : 0xffffffff;
    bool compares = c->form == SCAS || c->form == CMPS;

    memcpy(s->gpr, c->gpr, sizeof(s->gpr));
    s->eflags = c->eflags;
    s->vector = 256;
    s->eip = c->base + c->code + c->start;
    for (unsigned i = 0; i + sizeof(ending) < c->length; i++)
        s->accessed[(c->code + i) / 4096] = true;
    for (unsigned i = 1; i <= sizeof(ending); i++)
        s->maybe[(c->code + c->length - i) / 4096] = true; /* it may or may not have been fetched already */
    model_sled(s, c);
    if (!c->repe && !c->repne) {
        if (!model_element(s, c))
            return;
    } else {
        while (s->gpr[ECX] & mask) {
            if (!model_element(s, c))
                return;
            move_index(s, c, ECX, -1u);
            if (compares && !!(s->eflags & FLAG_ZF) != c->repe)
                break;
        }
    }
    model_sled(s, c);
    if (c->sled) {
        s->gpr[EBX] = 0;
        s->eflags = (s->eflags & ~(STATUS & ~FLAG_CF)) | FLAG_ZF | FLAG_PF; /* of DEC EBX */
    }
    s->eip = c->base + c->code + c->length - (uint32_t)sizeof(ending) + 1;
}

/* Code that overwrites itself is not for the model, other than in the sled with what that is made of. */
static bool code_stands(const struct state *s, const struct string_case *c)
{
    for (unsigned i = 0; i < c->length; i++) {
        unsigned page = (c->code + i) / 4096;
        uint8_t byte = s->memory[(c->rights[page] == 'a' ? 1 : page) * 4096 + (c->code + i) % 4096];

        if (i - c->sled_at < c->sled ? !memchr(sled_bytes, byte, sizeof(sled_bytes)) : byte != c->bytes[i])
            return false;
    }
    return true;
}

/* ---- the two sides ---- */

static void disturb(struct side *s)
{
    if (!s->disturbs)
        return;
    s->accesses++;
    if (s->accesses % 3 == 0)
        cpu_set_intr(s->cpu, true);
    if (s->accesses % 5 == 0)
        cpu_request_exit(s->cpu);
}

static int acknowledge(void *opaque)
{
    struct side *s = opaque;

    s->interrupts++;
    cpu_set_intr(s->cpu, false);
    return INTERRUPT;
}

static uint32_t device_read(void *opaque, uint32_t offset, unsigned size)
{
    struct side *s = opaque;
    uint32_t value = 0;

    memcpy(&value, s->device + offset, size);
    disturb(s);
    return value;
}

static void device_write(void *opaque, uint32_t offset, uint32_t value, unsigned size)
{
    struct side *s = opaque;

    memcpy(s->device + offset, &value, size);
    disturb(s);
}

static bool side_setup(struct side *s, bool jit)
{
    static const struct mmio_ops ops = {.read = device_read, .write = device_write};
    const struct cpu_board board = {.opaque = s, .acknowledge = acknowledge};
    g_autoptr(GError) error = NULL;

    s->name = jit ? "translator" : "interpreter";
    rig_make(&s->rig, RAM_SIZE, &board);
    physmap_add_mmio(s->rig.mem, "device", AT_DEVICE, 4096, &ops, s, 0);
    s->ram = physmap_ram(s->rig.mem);
    s->cpu = s->rig.cpu;
    if (!jit || rig_translate(&s->rig, &error))
        return true;
    printf("without the translator: %s\n", error->message);
    return false;
}

static void put32(struct side *s, uint32_t at, uint32_t value)
{
    memcpy(s->ram + at, &value, 4);
}
static uint32_t get32(const struct side *s, uint32_t at)
{
    uint32_t value;

    memcpy(&value, s->ram + at, 4);
    return value;
}

/* Where the page-table entry of an arena's page is. */
static uint32_t entry_at(const struct string_case *c, unsigned page)
{
    uint32_t linear = c->base + page * 4096;

    return (linear < 0x400000 ? AT_TABLE_LOW : AT_TABLE_HIGH) + (linear >> 12 & 1023) * 4;
}

static void side_prepare(struct side *s, const struct string_case *c)
{
    static const uint64_t gdt[] = {0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
    struct cpu_boot_state boot = {.eip = 0, .gdt_base = AT_GDT, .gdt_limit = 31, .cs = 0x10, .ds = 0x18};
    struct cpu *cpu = s->cpu;

    cpu_code_written(cpu, 0, RAM_SIZE);
    memset(s->ram + AT_GDT, 0, AT_STACK - AT_GDT);
    memset(s->ram + AT_ARENA, 0, ARENA_SIZE);
    memcpy(s->ram + AT_GDT, gdt, sizeof(gdt));
    for (uint32_t v = 0; v < 256; v++) {
        put32(s, AT_IDT + v * 8, 0x100000 | ((AT_HANDLERS + v * 16) & 0xffff));
        put32(s, AT_IDT + v * 8 + 4, (AT_HANDLERS & 0xffff0000) | 0x8e00);
        s->ram[AT_HANDLERS + v * 16] = 0xf4;
    }
    s->ram[AT_HANDLERS + INTERRUPT * 16] = 0xcf; /* iret */
    s->disturbs = c->eflags & FLAG_IF;
    s->accesses = 0;
    put32(s, AT_DIRECTORY, AT_TABLE_LOW | 3);
    put32(s, AT_DIRECTORY + (c->base ? c->base >> 22 : 1) * 4, AT_TABLE_HIGH | 3);
    for (uint32_t i = 0x80; i < 0xa0; i++)
        put32(s, AT_TABLE_LOW + i * 4, i << 12 | 3);
    for (unsigned i = 0; i < PAGES; i++) {
        char kind = c->rights[i];

        put32(s, entry_at(c, i),
              kind == '-'   ? 0
              : kind == 'd' ? AT_DEVICE | 3
              : kind == 'a' ? (AT_ARENA + 4096) | 3
                            : (AT_ARENA + i * 4096) | (kind == 'r' ? 1 : 3));
    }
    cpu_reset(cpu);
    cpu_set_boot_state(cpu, &boot);
    cpu->idtr = (struct descriptor_table){.base = AT_IDT, .limit = 0x7ff};
    segment_set_cache(cpu, SEG_FS, 0x18, c->base, c->fs_limit,
                      SEG_ATTR_DB | SEG_ATTR_P | SEG_ATTR_S | SEG_ATTR_RW | SEG_ATTR_ACCESSED);
    cpu_write_cr3(cpu, AT_DIRECTORY);
    cpu_write_cr0(cpu, CR0_PE | CR0_ET | CR0_WP | CR0_PG);
    cpu_update_mode(cpu);
}

static void side_run(struct side *s, const struct string_case *c, const struct state *before,
                     struct state *out)
{
    struct cpu *cpu = s->cpu;
    uint32_t frame;

    /* What was written, and not by the CPU: a device would do it so. */
    for (uint32_t i = 0; i < ARENA_SIZE; i += 4096)
        if (memcmp(s->ram + AT_ARENA + i, before->memory + i, 4096))
            phys_write(s->rig.mem, AT_ARENA + i, before->memory + i, 4096);
    memcpy(s->device, before->device, sizeof(s->device));
    memcpy(cpu->gpr, c->gpr, sizeof(c->gpr));
    cpu->eip = c->base + c->code;
    cpu_set_eflags(cpu, c->eflags);
    cpu_set_intr(cpu, false);
    cpu->halted = false;
    cpu->cr2 = 0;
    while (cpu_run(cpu) == CPU_STOP_REQUESTED)
        s->exits++;
    memcpy(out->gpr, cpu->gpr, sizeof(out->gpr));
    out->eip = cpu->eip;
    out->eflags = cpu_eflags(cpu);
    out->vector = 256;
    out->error = 0;
    out->cr2 = cpu->cr2;
    if (cpu->eip - AT_HANDLERS < 0x1000) {
        out->vector = (cpu->eip - AT_HANDLERS) / 16;
        frame = cpu->gpr[ESP];
        if (frame == AT_STACK - 16) {
            out->error = get32(s, frame);
            frame += 4;
        }
        out->eip = get32(s, frame);
        out->eflags = get32(s, frame + 8);
        out->gpr[ESP] = frame + 12;
    }
    memcpy(out->memory, s->ram + AT_ARENA, ARENA_SIZE);
    memcpy(out->device, s->device, sizeof(out->device));
    for (unsigned i = 0; i < PAGES; i++) {
        out->accessed[i] = get32(s, entry_at(c, i)) & 0x20;
        out->written[i] = get32(s, entry_at(c, i)) & 0x40;
    }
}

/* ---- comparing ---- */

static const char *difference(const struct state *want, const struct state *got, const struct string_case *c)
{
    static char text[128];
    static const char *const regs[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};

#define DIFFERS(...)                                                                                         \
    do {                                                                                                     \
        g_snprintf(text, sizeof(text), __VA_ARGS__);                                                         \
        return text;                                                                                         \
    } while (0)
    if (want->vector != got->vector || want->eip != got->eip)
        DIFFERS("ends at %08x by %u, should at %08x by %u", got->eip, got->vector, want->eip, want->vector);
    if (want->error != got->error || want->cr2 != got->cr2)
        DIFFERS("error code %x cr2 %08x, should be %x %08x", got->error, got->cr2, want->error, want->cr2);
    for (unsigned i = 0; i < 8; i++)
        if (want->gpr[i] != got->gpr[i])
            DIFFERS("%s is %08x, should be %08x", regs[i], got->gpr[i], want->gpr[i]);
    if (want->vector == 256 ? want->eflags != got->eflags
                            : want->eflags != (got->eflags & ~FLAG_RF)) /* faults set RF in the frame */
        DIFFERS("eflags are %08x, should be %08x", got->eflags, want->eflags);
    for (unsigned i = 0; i < ARENA_SIZE; i++)
        if (want->memory[i] != got->memory[i])
            DIFFERS("memory at %05x is %02x, should be %02x", i, got->memory[i], want->memory[i]);
    for (unsigned i = 0; i < 4096; i++)
        if (want->device[i] != got->device[i])
            DIFFERS("device at %03x is %02x, should be %02x", i, got->device[i], want->device[i]);
    for (unsigned i = 0; i < PAGES; i++) {
        if (c->rights[i] == '-' || want->maybe[i])
            continue;
        if (want->accessed[i] != got->accessed[i] || want->written[i] != got->written[i])
            DIFFERS("page %u is accessed %d written %d, should be %d %d", i, got->accessed[i],
                    got->written[i], want->accessed[i], want->written[i]);
    }
    return NULL;
#undef DIFFERS
}

static void print_case(const struct string_case *c)
{
    printf("  %s%u %s%s%s%s DF %d base %08x pages %s code %05x fs limit %x\n", names[c->form], c->size * 8,
           c->repe ? "repe" : "", c->repne ? "repne" : "", c->addr16 ? " a16" : "", c->fs ? " fs" : "",
           !!(c->eflags & FLAG_DF), c->base, c->rights, c->code, c->fs_limit);
    if (c->sled)
        printf("  sled at %05x, %u bytes\n", c->code + c->sled_at, c->sled);
    printf("  eax %08x ecx %08x esi %08x edi %08x eflags %08x\n", c->gpr[EAX], c->gpr[ECX], c->gpr[ESI],
           c->gpr[EDI], c->eflags);
}

int main(int argc, char **argv)
{
    g_autofree char *index = NULL;
    gint64 seed = 1;
    gint count = g_strcmp0(g_getenv("NETLAB_TEST_FULL"), "1") ? 10000 : 1000000;
    const GOptionEntry entries[] = {
        {"seed", 0, 0, G_OPTION_ARG_INT64, &seed, "of the first case (default 1)", "N"},
        {"count", 0, 0, G_OPTION_ARG_INT, &count, "cases", "N"},
        {"index", 0, 0, G_OPTION_ARG_STRING, &index, "how the translator indexes its tables", "NAME"},
        G_OPTION_ENTRY_NULL,
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    struct side sides[2] = {0};
    struct state *before = g_new0(struct state, 1), *want = g_new0(struct state, 1),
                 *got = g_new0(struct state, 1);
    unsigned side_count = 1, failures = 0, faults = 0, ran = 0;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        printf("%s\n", error->message);
        return 2;
    }
    side_setup(&sides[0], false);
    side_count += side_setup(&sides[1], true);
    if (index && side_count > 1 && !jit_set_index(sides[1].cpu, index)) {
        printf("skipped: this processor cannot index by %s\n", index);
        return 77;
    }
    for (gint i = 0; i < count && failures < 5; i++) {
        struct string_case c;

        make_case(&c, (uint64_t)(seed + i));
        memset(before, 0, sizeof(*before));
        fill_memory(&c, (uint64_t)(seed + i), before->memory, before->device);
        if (!code_stands(before, &c))
            continue; /* the same memory twice in the code */
        *want = *before;
        model_run(want, &c);
        if (!code_stands(want, &c))
            continue;
        ran++;
        faults += want->vector != 256;
        for (unsigned k = 0; k < side_count; k++) {
            side_prepare(&sides[k], &c);
            for (unsigned pass = 0; pass < 3; pass++) {
                const char *text;

                memset(got, 0, sizeof(*got));
                side_run(&sides[k], &c, before, got);
                text = difference(want, got, &c);
                if (!text)
                    continue;
                printf("seed %" G_GINT64_FORMAT ", %s, pass %u: %s\n", seed + i, sides[k].name, pass, text);
                print_case(&c);
                failures++;
                break;
            }
        }
    }
    printf("seeds %" G_GINT64_FORMAT
           "…: %u cases, %u ended in a fault, %u interrupts and %u exits; %u differ\n",
           seed, ran, faults, sides[0].interrupts + sides[1].interrupts, sides[0].exits + sides[1].exits,
           failures);
    if (count >= 10000 && !(sides[0].interrupts && sides[0].exits)) {
        printf("nothing was ever interrupted\n");
        failures++;
    }
    rig_free(&sides[0].rig);
    rig_free(&sides[1].rig);
    g_free(before);
    g_free(want);
    g_free(got);
    return failures != 0;
}
