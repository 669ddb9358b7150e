/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * Configuration files, -set and -global: what they come to in the machine's configuration, and that every
 * mistake in a file is reported with its line.
 */
#include "emu/keyval.h"
#include "emu/options.h"

#include <string.h>
#include <unistd.h>

struct files {
    char *folder, *path;
};

static void files_set_up(struct files *f, const void *data)
{
    f->folder = g_dir_make_tmp("netlab-config-XXXXXX", NULL);
    g_assert_nonnull(f->folder);
    f->path = g_build_filename(f->folder, "config", NULL);
}

static void files_tear_down(struct files *f, const void *data)
{
    unlink(f->path);
    g_assert_cmpint(rmdir(f->folder), ==, 0);
    g_free(f->path);
    g_free(f->folder);
}

/* Parses -readconfig of `text` and `more` words. */
static struct machine_config *read_config(struct files *f, const char *text, const char *more, GError **error)
{
    struct machine_config *config = NULL;
    g_autofree char *line = g_strdup_printf("netlab-emu -readconfig %s %s", f->path, more);
    g_auto(GStrv) argv = NULL;
    int argc;
    g_assert_true(g_file_set_contents(f->path, text, -1, NULL));
    g_assert_true(g_shell_parse_argv(line, &argc, &argv, NULL));
    enum options_outcome outcome = options_parse(argc, argv, &config, NULL, error);
    g_assert_true(outcome == (config ? OPTIONS_RUN : OPTIONS_ERROR));
    return config;
}

static struct machine_config *take(const char *words)
{
    struct machine_config *config = NULL;
    g_autofree char *line = g_strdup_printf("netlab-emu %s", words);
    g_auto(GStrv) argv = NULL;
    g_autoptr(GError) error = NULL;
    int argc;
    g_assert_true(g_shell_parse_argv(line, &argc, &argv, NULL));
    if (options_parse(argc, argv, &config, NULL, &error) != OPTIONS_RUN)
        g_error("'%s': %s", words, error ? error->message : "(printed)");
    return config;
}

static void test_sections(struct files *f, const void *data)
{
    static const char text[] = "# a machine\n"
                               "[machine]\n"
                               "\ttype = \"pc\"\n"
                               "  kernel=\"/boot/a,b\"\n"
                               "  append = \"console=ttyS0, quiet\"  \n"
                               "\n"
                               "[memory]\n"
                               "size = \"64M\"\n"
                               "[device \"n0\"]\n"
                               "  netdev = \"u\"\n"
                               "  mac = \"52:54:00:00:00:77\"\n"
                               "  driver = \"e1000\"\n"
                               "[netdev \"u\"]\n"
                               "  hostfwd = \"tcp:127.0.0.1:1-:80\"\n"
                               "  type = \"user\"\n"
                               "  hostfwd = \"tcp:127.0.0.1:2-:81\"\n"
                               "[chardev \"c\"]\n"
                               "  backend = \"null\"\n"
                               "[drive \"d\"]\n"
                               "  if = \"none\"\n"
                               "  file = \"x.img\"\n"
                               "[device]\n"
                               "  driver = \"ide-hd\"\n"
                               "  drive = \"d\"\n"
                               "[name]\n"
                               "  guest = \"r1\"";
    g_autoptr(GError) error = NULL;
    struct machine_config *c = read_config(f, text, "-serial chardev:c", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(c->kernel, ==, "/boot/a,b");
    g_assert_cmpstr(c->append, ==, "console=ttyS0, quiet");
    g_assert_cmpstr(c->name, ==, "r1");
    g_assert_cmpuint(c->ram_size, ==, 64 << 20);
    g_assert_cmpuint(c->nics->len, ==, 1);
    const struct machine_nic *nic = c->nics->pdata[0];
    g_assert_cmpstr(nic->id, ==, "n0");
    g_assert_cmpstr(nic->netdev, ==, "u");
    g_assert_cmpint(nic->mac[5], ==, 0x77);
    const struct machine_netdev *netdev = c->netdevs->pdata[0];
    g_assert_cmpstr(netdev->id, ==, "u");
    g_assert_cmpstr(keyval_list(netdev->words, "hostfwd")[1], ==, "tcp:127.0.0.1:2-:81");
    g_assert_cmpuint(c->drives->len, ==, 1);
    g_assert_cmpstr(((struct machine_drive *)c->drives->pdata[0])->file, ==, "x.img");
    machine_config_free(c);
}

static const struct {
    const char *text, *says;
} mistakes[] = {
    {"kernel = \"k\"\n", ":1: a key before the first heading"},
    {"[machine]\nkernel\n", ":2: a line is key = \"value\""},
    {"[machine]\n\nkernel = k\n", ":3: the value of kernel must be in double quotes"},
    {"[machine]\nkernel = \"k\n", ":2: the value of kernel must be in double quotes"},
    {"[machine]\nkernel = \"a\"b\"\n", ":2: the value of kernel must be in double quotes"},
    {"[machine]\n= \"a\"\n", ":2: '' is no key"},
    {"[machine]\nker nel = \"a\"\n", ":2: 'ker nel' is no key"},
    {"[machine\n", ":1: the heading has no ']'"},
    {"[\n", ":1: the heading has no ']'"},
    {"[]\n", ":1: no group ''"},
    {"[machnie]\n", ":1: no group 'machnie' (did you mean 'machine'?)"},
    {"[device \"x]\n", ":1: a heading is [group] or"},
    {"[device \"x\" y]\n", ":1: a heading is [group] or"},
    {"\n\n[device \"x\"]\ndriver=\"e100\"\n", ":3: -device e100,id=x: no device 'e100'"},
    {"[device \"x\"]\ndriver=\"e1000,id=z\"\n", ":2: driver = \"e1000,id=z\": a comma does not fit"},
    {"[device \"9\"]\ndriver=\"e1000\"\n", ":1: -device e1000,id=9: id=9: an id begins with a letter"},
    {"[device \"x,y\"]\ndriver=\"e1000\"\n", "an id begins with a letter"},
    {"[machine]\nkernle = \"k\"\n", ":1: -machine kernle=k: unknown key 'kernle' (did you mean 'kernel'?)"},
    {"[netdev \"n\"]\ntype=\"vde\"\n", ":1: -netdev vde,id=n: 'vde' is QEMU's"},
    {"[memory]\nsize = \"lots\"\n", ":1: -m size=lots: size: 'lots' is not a size"},
    {"\xff", "the file is no text"},
};

static void test_mistakes(struct files *f, const void *data)
{
    for (size_t i = 0; i < G_N_ELEMENTS(mistakes); i++) {
        g_autoptr(GError) error = NULL;
        struct machine_config *config = read_config(f, mistakes[i].text, "-kernel k", &error);
        if (config)
            g_error("'%s' was taken", mistakes[i].text);
        if (!strstr(error->message, mistakes[i].says))
            g_error("'%s' says '%s', not '%s'", mistakes[i].text, error->message, mistakes[i].says);
    }
}

/* The file's place among the other options is that of -readconfig. */
static void test_order(struct files *f, const void *data)
{
    struct machine_config *c = read_config(f, "[memory]\nsize=\"64M\"\n", "-kernel k -m 32M", NULL);
    g_assert_cmpuint(c->ram_size, ==, 32 << 20);
    machine_config_free(c);
    g_autofree char *line =
        g_strdup_printf("-m 32M -kernel k -readconfig %s -readconfig %s", f->path, f->path);
    c = take(line);
    g_assert_cmpuint(c->ram_size, ==, 64 << 20);
    machine_config_free(c);
    g_autoptr(GString) many = g_string_new(NULL);
    for (unsigned i = 0; i < 5000; i++)
        g_string_append(many, "[name]\n");
    g_autoptr(GError) error = NULL;
    g_assert_null(read_config(f, many->str, "-kernel k", &error));
    g_assert_nonnull(strstr(error->message, "more than 4096 sections"));
}

static void test_set(struct files *f, const void *data)
{
    struct machine_config *c =
        take("-kernel k -drive file=a,id=d,serial=S -device e1000,id=n -set drive.d.file=x,y.img "
             "-set device.n.mac=52:54:00:00:00:66 -set drive.d.cache=none -chardev file,id=c,path=p "
             "-set chardev.c.path=q -serial chardev:c");
    const struct machine_drive *drive = c->drives->pdata[0];
    g_assert_cmpstr(drive->file, ==, "x,y.img");
    g_assert_cmpstr(drive->serial, ==, "S");
    g_assert_cmpint(drive->block.cache, ==, BLOCK_CACHE_NONE);
    g_assert_cmpint(((struct machine_nic *)c->nics->pdata[0])->mac[5], ==, 0x66);
    g_assert_cmpstr(((struct machine_chardev *)c->chardevs->pdata[0])->spec.path, ==, "q");
    machine_config_free(c);
    c = read_config(f, "[drive \"d\"]\nfile=\"a\"\n", "-set drive.d.file=b", NULL);
    g_assert_cmpstr(((struct machine_drive *)c->drives->pdata[0])->file, ==, "b");
    machine_config_free(c);
}

static const struct machine_nic *nic_of(const struct machine_config *c, guint i)
{
    g_assert_cmpuint(i, <, c->nics->len);
    return c->nics->pdata[i];
}

/* Before or after the device, for every way one comes about; its own words count more. */
static void test_global(struct files *f, const void *data)
{
    struct machine_config *c =
        take("-kernel k -device e1000,id=a -global e1000.romfile=r,1 -device e1000,id=b,romfile=own "
             "-net nic -nic user -global driver=e1000,property=mac,value=52:54:00:00:00:55 "
             "-set device.b.mac=52:54:00:00:00:44");
    g_assert_cmpstr(nic_of(c, 0)->romfile, ==, "r,1");
    g_assert_cmpint(nic_of(c, 0)->mac[5], ==, 0x55);
    g_assert_cmpstr(nic_of(c, 1)->romfile, ==, "own");
    g_assert_cmpint(nic_of(c, 1)->mac[5], ==, 0x44);
    g_assert_cmpstr(nic_of(c, 2)->romfile, ==, "r,1");
    g_assert_false(nic_of(c, 2)->has_mac); /* as with QEMU, whose -net gives each its own */
    g_assert_cmpstr(nic_of(c, 3)->romfile, ==, "r,1");
    machine_config_free(c);

    c = take("-hda a -drive file=b,serial=own -drive if=none,id=d,file=c -device ide-hd,drive=d "
             "-global ide-hd.serial=G -global VGA.vgamem_mb=4 -vga std "
             "-debugcon null -global isa-debugcon.iobase=0x402 -chardev null,id=c "
             "-device isa-debugcon,chardev=c -global ide-hd.werror=stop");
    g_assert_cmpstr(((struct machine_drive *)c->drives->pdata[0])->serial, ==, "G");
    g_assert_cmpstr(((struct machine_drive *)c->drives->pdata[1])->serial, ==, "own");
    g_assert_cmpstr(((struct machine_drive *)c->drives->pdata[2])->serial, ==, "G");
    g_assert_cmpint(((struct machine_drive *)c->drives->pdata[2])->block.on_write_error, ==,
                    BLOCK_ERROR_STOP);
    g_assert_cmpuint(c->vga_memory, ==, 4 << 20);
    g_assert_cmpuint(((struct machine_debugcon *)c->debugcons->pdata[0])->iobase, ==, 0x402);
    g_assert_cmpuint(((struct machine_debugcon *)c->debugcons->pdata[1])->iobase, ==, 0x402);
    machine_config_free(c);
}

static void test_unused(struct files *f, const void *data)
{
    static const struct {
        const char *global, *why;
    } rows[] = {
        {"VGA.vgamem_mb=8", "this machine has no such device"},
        {"PIIX4_PM.smb_io_base=1", "nothing can be set there"},
        {"virtio-net-pci.mq=on", "is QEMU's and not in netlab-emu"},
        {"e1001.mac=x", "no device has that name (did you mean 'e1000'?)"},
        {"n270-x86_64-cpu.x=1", "nothing can be set there"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = g_strdup_printf("-kernel k -nic none -global %s", rows[i].global);
        struct machine_config *c = take(line);
        g_assert_cmpuint(c->notes->len, ==, 1);
        if (!strstr(c->notes->pdata[0], rows[i].why) || !strstr(c->notes->pdata[0], rows[i].global))
            g_error("%s: %s", rows[i].global, (char *)c->notes->pdata[0]);
        machine_config_free(c);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name)                                                                                           \
    g_test_add("/config/" #name, struct files, NULL, files_set_up, test_##name, files_tear_down)
    TEST(sections);
    TEST(mistakes);
    TEST(order);
    TEST(set);
    TEST(global);
    TEST(unused);
    return g_test_run();
}
