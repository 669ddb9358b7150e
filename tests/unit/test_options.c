/* SPDX-License-Identifier: MIT
 * SPDX-FileCopyrightText: The netlab authors */
/*
 * The command line: every option taken, refused with the right words, and with the right suggestion; what
 * ends up in the configuration; the help text against its golden copy.
 */
#include "emu/options.h"

#include "emu/cpu/cpu.h"
#include "emu/keyval.h"
#include "emu/net/netdev.h"
#include "emu/trace.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static enum options_outcome parse(const char *line, struct machine_config **config, char **text,
                                  GError **error)
{
    g_autofree char *whole = g_strconcat("netlab-emu ", line, NULL);
    g_auto(GStrv) argv = NULL;
    int argc = 0;
    g_assert_true(g_shell_parse_argv(whole, &argc, &argv, NULL));
    return options_parse(argc, argv, config, text, error);
}

/* Parses a line that must be taken. */
static struct machine_config *take(const char *line)
{
    struct machine_config *config = NULL;
    g_autoptr(GError) error = NULL;
    enum options_outcome outcome = parse(line, &config, NULL, &error);
    if (outcome != OPTIONS_RUN)
        g_error("'%s' was not taken: %s", line, error ? error->message : "(printed)");
    return config;
}

/* ---- taken ---- */

static const char *const taken[] = {
    "-kernel k",
    "--kernel k",
    "--kernel=k",
    "-kernel=k -initrd=i -append=\"a=b c\"",
    "-bios b",
    "-bios b -L /usr/share/seabios -L . -boot order=dc,menu=on",
    "-kernel k -m 64",
    "-kernel k -m size=1.5G",
    "-kernel k -cpu n270,+nx,-sse3",
    "-kernel k -accel interp",
    "-kernel k -accel kvm:interp",
    "-kernel k -accel jit",
    "-kernel k -accel jit,window=0",
    "-kernel k -accel jit,window=500",
    "-kernel k -accel jit,lockstep=on,from=1000,insns=1,sample=32",
    "-kernel k -accel jit,lockstep=on,links=300,window=2",
    "-kernel k -accel jit,lockstep=off -perfmap",
    "-kernel k -accel tcg,thread=single",
    "-kernel k -machine pc,accel=interp,usb=off,vmport=off,graphics=off",
    "-kernel k -machine pc,idle-ticks=late",
    "-kernel k -machine pc,idle-ticks=exact",
    "-kernel k -M pc-i440fx-7.2",
    "-kernel k -m 64M,slots=4,maxmem=1G -mem-path /dev/shm -mem-prealloc -realtime mlock=on",
    "-kernel k -m size=64M,slots=0,maxmem=64M -overcommit mem-lock=on,cpu-pm=off -singlestep -tb-size 0",
    "-kernel k -M pc-0.12 -msg timestamp=on -name r1,process=p,debug-threads=on -enable-fips -vnc :3",
    "-kernel k -accel tcg,tb-size=64,one-insn-per-tb=on --one-insn-per-tb --tb-size=16",
    "-kernel k -acpitable "
    "sig=TEST,rev=1,oem_id=A,oem_table_id=B,oem_rev=2,asl_compiler_id=C,asl_compiler_rev=3,data=a:b",
    "-kernel k -acpitable file=x -smbios file=y -smbios type=1,manufacturer=a,,b,product=c -smbios "
    "type=0,release=1.2",
    "-hda d -boot menu=on,splash=x.jpg,splash-time=9",
    "-kernel k -chroot / -dump-vmstate x -audiodev none,id=s",
    "-kernel k -accel kvm -accel tcg",
    "-kernel k -smp 1",
    "-kernel k -smp cpus=1,cores=1,threads=1,sockets=1,maxcpus=1",
    "-kernel k -name r1",
    "-kernel k -name guest=r1,debug-threads=on",
    "-kernel k -uuid 12345678-1234-1234-1234-123456789abc",
    "-kernel k -rtc base=utc",
    "-kernel k -rtc base=localtime,clock=vm",
    "-kernel k -rtc base=2024-02-29T12:00:00",
    "-kernel k -icount 7,sleep=off -win2k-hack",
    "-kernel k -icount shift=auto",
    "-kernel k -icount shift=10,align=on",
    "-kernel k -bios b",
    "-kernel k -device e1000",
    "-kernel k -device isa-debug-exit,iobase=0xf4,iosize=4",
    "-kernel k -chardev null,id=c -device isa-debugcon,chardev=c,iobase=0x402",
    "-kernel k -chardev null,id=c -device isa-serial,chardev=c,index=1",
    "-kernel k -fw_cfg name=opt/x,string=hello",
    "-kernel k -fw_cfg opt/x,file=/etc/hostname",
    "-kernel k -no-acpi -nodefaults -no-hpet -no-fd-bootchk -no-user-config",
    "-kernel k -no-reboot -no-shutdown -S",
    "-kernel k -action reboot=shutdown,shutdown=pause",
    "-kernel k -nic none",
    "-kernel k -net none",
    "-kernel k -nic tap,ifname=t0,script=no,downscript=no,mac=52:54:00:00:00:01",
    "-kernel k -nic tap,model=e1000",
    "-kernel k -netdev tap,id=n0,ifname=t0,vnet_hdr=on -device "
    "e1000,netdev=n0,mac=52:54:00:00:00:01,id=a,addr=0x4",
    "-kernel k -net nic,model=e1000,macaddr=52:54:00:00:00:01 -net tap,ifname=t0,script=no",
    "-kernel k -net nic -net user -net nic,vlan=1 -net tap,vlan=1 -net dump,vlan=1,file=/tmp/x,len=64",
    "-kernel k -nic user,hostfwd=tcp::8080-:80,hostfwd=udp:127.0.0.1:53-10.0.2.16:53,model=e1000",
    "-kernel k -nic mac=52:54:00:00:00:01",
    "-kernel k -netdev "
    "user,id=u,net=192.168.76.0/24,dhcpstart=192.168.76.9,host=192.168.76.1,dns=192.168.76.2,"
    "restrict=y,hostname=h,domainname=d.example,dnssearch=a,dnssearch=b,tftp=/tmp,bootfile=/pxe,"
    "tftp-server-name=t,ipv6=off -device e1000,netdev=u",
    "-kernel k -nic "
    "user,ipv6=on,ipv6-net=fd00:1::/64,ipv6-host=fd00:1::9,hostfwd=tcp:[::1]:80-[fd00:1::f]:80",
    "-kernel k -nic user,guestfwd=tcp:10.0.2.100:7-cmd:cat,guestfwd=:10.0.2.100:8-tcp:localhost:9",
    "-kernel k -netdev bridge,id=b,br=lan -device e1000,netdev=b",
    "-kernel k -nic l2tpv3,src=1.2.3.4,dst=1.2.3.5,udp,srcport=1,dstport=2,txsession=0xffffffff,rxsession=1,"
    "txcookie=0x0123456789abcdef,rxcookie=0xffffffffffffffff,cookie64=on,counter,offset=2",
    "-kernel k -nic l2tpv3,src=::1,dst=::1,ipv6=on,txsession=1,pincounter=on",
    "-kernel k -nic socket,listen=:1234 -nic socket,connect=localhost:1234 -nic socket,listen=[::1]:1234",
    "-kernel k -nic socket,mcast=230.0.0.1:1234,localaddr=127.0.0.1 -nic socket,udp=h:1,localaddr=:2",
    "-kernel k -nic stream,server=on,addr.type=unix,addr.path=/run/s",
    "-kernel k -nic dgram,local.type=inet,local.host=127.0.0.1,local.port=1,remote.type=inet,remote.port=2",
    "-kernel k -netdev user,id=u -netdev hubport,id=h1,hubid=3,netdev=u -netdev hubport,id=h2,hubid=3 "
    "-device e1000,netdev=h2 -netdev hubport,id=h3,hubid=3 -device e1000,netdev=h3",
    "-kernel k -nic user,id=u -object filter-dump,id=f,netdev=u,file=/tmp/x.pcap,maxlen=96",
    "-kernel k -nic user,id=u -object "
    "filter-dump,id=f,netdev=u,file=/tmp/x,format=pcapng,buffer=16M,queue=rx",
    "-kernel k -nic user,id=u -object filter-dump,id=f,netdev=u,socket=/tmp/x,queue=tx",
    "-kernel k -serial null",
    "-kernel k -serial none",
    "-kernel k -serial stdio -monitor none",
    "-kernel k -serial mon:stdio",
    "-kernel k -serial file:/dev/null -serial pty",
    "-kernel k -serial unix:/run/s,server,nowait -serial unix:/run/t,server=on,wait=off",
    "-kernel k -serial tcp:localhost:4444,server=on,wait=off -serial tcp:[::1]:23",
    "-kernel k -serial fd:0 -serial pipe:/run/p",
    "-kernel k -serial vc -monitor vc:100Cx30C -vnc :0",
    "-kernel k -chardev vc,id=v,cols=100,rows=30 -chardev vc,id=w,width=640,height=480 -serial chardev:v "
    "-mon w",
    "-kernel k -serial /dev/ttyS0 -serial serial:/dev/ttyS1 -chardev tty,id=t,path=/dev/ttyS2 -serial "
    "chardev:t",
    "-kernel k -serial msmouse -chardev msmouse,id=m -serial chardev:m -serial mon:vc",
    "-kernel k -serial telnet:localhost:23 -serial tcp:h:1,ipv4=on,nodelay -serial "
    "tcp::1,server,nowait,to=9,ipv6=off",
    "-kernel k -chardev stdio,id=c,mux=on -serial chardev:c -serial chardev:c -mon c",
    "-kernel k -chardev socket,id=c0,path=/run/s,server=on,wait=off -serial chardev:c0",
    "-kernel k -chardev stdio,id=c0,mux=on,signal=off -serial chardev:c0 -mon chardev=c0,mode=readline",
    "-kernel k -chardev file,id=c0,path=/dev/null,append=on -debugcon chardev:c0",
    "-kernel k -chardev socket,id=c0,host=localhost,port=1234 -mon c0,mode=control,pretty=on",
    "-kernel k -nodefaults -nographic -daemonize",
    "-kernel k -chardev null,id=c0 -mon chardev=c0,id=monitor,mode=control",
    "-kernel k -object secret,id=s,data=aGFsbG8=,format=base64 -vnc :0,password-secret=s",
    "-kernel k -object memory-backend-file,id=m,size=64M,mem-path=/x -machine pc,memory-backend=m",
    "-kernel k -debugcon stdio -display none",
    "-kernel k -parallel none -display none -vga none",
    "-kernel k -nographic -echr 2",
    "-kernel k -qmp unix:/run/q,server=on,wait=off -qmp-pretty tcp:localhost:1,server,nowait",
    "-kernel k -qmp stdio -display none",
    "-kernel k -monitor pty -display none",
    "-kernel k -pidfile /run/x.pid -daemonize -display none -runas nobody -sandbox off",
    "-kernel k -sandbox on,obsolete=allow,elevateprivileges=children,spawn=deny,resourcecontrol=deny -add-fd "
    "fd=9,set=1",
    "-kernel k -hda a -hdb b,c -cdrom d -fda e -no-acpi -append \"a, b=c\" -option-rom r",
    "-machine pc,kernel=k,initrd=i,append=a",
    "-option-rom r -net none",
    "-device ide-hd,drive=n -blockdev driver=raw,node-name=n,file.driver=file,file.filename=a",
    "-kernel k -device e1000,id=n0 -set device.n0.mac=52:54:00:00:00:01 -global e1000.romfile=",
    "-kernel k -global driver=e1000,property=romfile,value=x -trace e1000",
    "-kernel k -trace e1000,irq",
    "-kernel k -trace enable=irq",
    "-kernel k -d int,in_asm,exec,cpu_reset,guest_errors,trace:irq -D /dev/null",
};

static void test_taken(void)
{
    uint64_t before = trace_mask;
    for (size_t i = 0; i < G_N_ELEMENTS(taken); i++)
        machine_config_free(take(taken[i]));
    trace_mask = before;
}

/* The sections of a configuration file, and as words of a command line what is said beside it. */
static char *split_config(const char *text, GString *beside)
{
    static const char mark[] = "# beside this file: ";
    GString *sections = g_string_new(NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (!g_str_has_prefix(*line, mark)) {
            g_string_append_printf(sections, "%s%s", *line, **line ? "\n" : "");
            continue;
        }
        const char *word = *line + strlen(mark);
        g_autofree char *name = g_strndup(word, strcspn(word, " "));
        g_autofree char *arg = word[strlen(name)] ? g_shell_quote(word + strlen(name) + 1) : g_strdup("");
        g_string_append_printf(beside, " %s %s", name, arg);
    }
    return g_string_free(sections, FALSE);
}

/* JSON is taken as well; no configuration file can hold it. */
static void test_json(void)
{
    static const char *const lines[] = {
        "-kernel k -object "
        "'{\"qom-type\":\"memory-backend-file\",\"id\":\"m\",\"size\":67108864,\"mem-path\":\"/x\"}' "
        "-machine pc,memory-backend=m",
        "-kernel k -netdev '{\"id\":\"n0\",\"type\":\"user\"}' -device "
        "'{\"netdev\":\"n0\",\"driver\":\"e1000\"}'",
        "-kernel k -audiodev '{\"id\":\"a\",\"driver\":\"none\"}'",
    };
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        struct machine_config *config = take(lines[i]);
        g_assert_cmpstr(config->mem_path, ==, i ? NULL : "/x");
        g_assert_cmpuint(config->ram_size, ==, (uint64_t)(i ? 128 : 64) << 20);
        if (i == 1)
            g_assert_cmpstr(((struct machine_nic *)config->nics->pdata[0])->netdev, ==, "n0");
        machine_config_free(config);
    }
}

/* What is written is read again as the same. */
static void test_round_trip(void)
{
    uint64_t before = trace_mask;
    g_autofree char *folder = g_dir_make_tmp("netlab-options-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "config", NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(taken); i++) {
        g_autofree char *line = g_strconcat(taken[i], " -writeconfig x", NULL);
        struct machine_config *config = take(line);
        g_autoptr(GString) beside = g_string_new(NULL), again = g_string_new(NULL);
        g_autofree char *sections = split_config(config->config_text, beside);
        g_assert_true(g_file_set_contents(path, config->config_text, -1, NULL));
        machine_config_free(config);
        g_autofree char *second = g_strdup_printf("%s -readconfig %s -writeconfig x", beside->str, path);
        config = take(second);
        g_autofree char *sections_again = split_config(config->config_text, again);
        g_assert_cmpstr(sections_again, ==, sections);
        g_assert_cmpstr(again->str, ==, beside->str);
        machine_config_free(config);
    }
    g_assert_cmpint(unlink(path), ==, 0);
    g_assert_cmpint(rmdir(folder), ==, 0);
    trace_mask = before;
}

/* ---- refused ---- */

static const struct {
    const char *line, *says;
} refused[] = {
    {"", "nothing to boot: give -kernel"},
    {"-machine none -kernel k", "-machine none has no guest that could use -kernel"},
    {"-machine none -device e1000", "-machine none has no guest that could use a NIC"},
    {"-machine none -hda d", "-machine none has no guest that could use a drive"},
    {"-kernel", "-kernel: needs a value: FILE"},
    {"-kernel ''", "-kernel : needs the name of a file"},
    {"-bios b -initrd i", "-initrd needs -kernel"},
    {"-initrd i", "-initrd needs -kernel"},
    {"-append a -nic none", "-append needs -kernel"},
    {"-kernel k -daemonize -display none -serial stdio",
     "-daemonize and a stdio back end exclude each other"},
    {"-kernel k -daemonize -display none -monitor stdio",
     "-daemonize and a stdio back end exclude each other"},
    {"-hda a -display none -daemonize -chardev stdio,id=c -mon c", "exclude each other"},
    {"-readconfig /dev/zero", "File too large"},
    {"-device ide-hd,drive=x -drive id=x,file=a", "drive=x: is plugged in already"},
    {"-bios b -append a", "-append needs -kernel"},
    {"-krenel k", "-krenel: unknown option (did you mean -kernel?)"},
    {"-sreial null", "did you mean -serial?"},
    {"--netdve tap,id=x", "did you mean -netdev?"},
    {"-xyzzy", "-xyzzy: unknown option (see -help)"},
    {"-hda a b", "place 0 (IDE) is taken by file=a"},
    {"-S=yes", "-S: takes no value"},
    {"-hda ''", "needs the name of an image"},
    {"-hda a -hda b", "place 0 (IDE) is taken by file=a"},
    {"-cdrom a -hdc b", "place 2 (IDE) is taken"},
    {"-drive file=a,index=4", "there is no place 4: IDE has two channels"},
    {"-drive file=a,index=1,unit=0", "give index=, or bus= and unit="},
    {"-drive file=a,if=virtio", "if=virtio: QEMU's and not in netlab-emu; use if=ide"},
    {"-drive file=a,if=floppy,media=cdrom", "does not go into a floppy drive"},
    {"-drive file=a,format=vmdk", "must be one of: raw, qcow2"},
    {"-drive file=a,cache=off", "must be one of: none, writeback"},
    {"-drive file=a,bps=1,bps_rd=1", "cannot be limited at the same time"},
    {"-drive 'file=json:{\"driver\": \"raw\",, \"file\": \"n\"}'", "has no nodes to refer to"},
    {"-drive 'file=json:{\"driver\"'", "JSON: "},
    {"-drive 'file=json:{\"driver\": \"qcow2\",, \"file\": {\"driver\": \"file\",, \"filename\": \"a\"},, "
     "\"backing\": \"n\"}'",
     "write the object of \"backing\" out"},
    {"-drive 'file=json:{\"driver\": \"raw\",, \"file\": {\"driver\": \"file\",, \"filename\": \"a\"},, "
     "\"backing\": null}'",
     "a raw image has nothing below"},
    {"-drive 'file=json:{\"driver\": \"qcow2\",, \"file\": {\"driver\": \"file\",, \"filename\": \"a\"},, "
     "\"backing\": {\"driver\": \"file\",, \"filename\": \"b\"}}'",
     "\"backing\" is an image"},
    {"-drive 'file=json:{\"driver\": \"qcow2\",, \"file\": {\"driver\": \"file\",, \"filename\": \"a\"},, "
     "\"backing\": {\"driver\": \"raw\",, \"file\": {\"driver\": \"file\",, \"filename\": \"b\"},, "
     "\"backing\": null}}'",
     "a raw image has nothing below"},
    {"-blockdev driver=file,filename=a", "node-name"},
    {"-blockdev driver=file,node-name=n", "filename= is missing"},
    {"-blockdev driver=qcow2,node-name=n", "file= is missing"},
    {"-blockdev driver=qcow2,node-name=n,filename=a", "belongs to the node below"},
    {"-blockdev driver=qcow2,node-name=n,file=x", "no -blockdev with that node-name"},
    {"-blockdev driver=raw,node-name=n,file=n", "no -blockdev with that node-name"},
    {"-blockdev driver=null-co,node-name=z -blockdev driver=raw,node-name=n,file=z -device ide-hd,drive=z",
     "below another one"},
    {"-blockdev driver=qcow2,node-name=n,file.filename=a,file.driver=file,backing=x",
     "backing=x: there is no -blockdev"},
    {"-blockdev driver=raw,node-name=n,file.filename=a,file.driver=file,backing=", "has nothing below"},
    {"-blockdev driver=null-co,node-name=n,filename=a", "does not go with driver=null-co"},
    {"-blockdev driver=nbd,node-name=n", "must be one of: raw, qcow2"},
    {"-blockdev '{\"driver\": \"raw\"'", "JSON: "},
    {"-blockdev '{\"driver\": [1]}'", "a word, a number"},
    {"-blockdev '{\"driver\": \"file\", \"node-name\": \"n\", \"nam\": 1}'", "nam"},
    {"-blockdev driver=null-co,node-name=n -blockdev driver=null-co,node-name=n", "the name is taken"},
    {"-drive file=a,iops_max=5", "need the matching bps or iops"},
    {"-drive file=a,iops_size=4096", "iops_size needs iops"},
    {"-drive file=a,throttling.bps-total=9,bps_max=5", "cannot be lower than"},
    {"-drive file=a,detect-zeroes=unmap", "detect-zeroes=unmap needs discard=unmap"},
    {"-drive file=a,copy-on-read=on,readonly=on", "copy-on-read=on writes to the image"},
    {"-drive file=a,serial=123456789012345678901", "at most 20 characters"},
    {"-drive file=a,cyls=100", "cyls=, heads= and secs= belong together"},
    {"-drive file=a,cyls=100,heads=17,secs=63", "heads"},
    {"-cdrom a -hdachs 100,16,63", "there is no first hard disk"},
    {"-hda a -hdachs 100,16", "cylinders,heads,sectors"},
    {"-hda a -hdachs 100,16,63,big", "'big' is no translation"},
    {"-drive file=a,if=none,id=x -device ide-hd,drive=x,physical_block_size=1000", "a power of two"},
    {"-drive file=a,if=none,id=x -device ide-hd,drive=x,ver=123456789", "at most 8 characters"},
    {"-drive file=a,if=none,id=x -device ide-cd,drive=x,cyls=1,heads=1,secs=1", "a CD has no cylinders"},
    {"-hda a -hdb b -hdc c -hdd d -drive file=e", "no place is left"},
    {"-drive file=a,id=x -drive file=b,id=x", "the id is taken by another drive"},
    {"-device ide-hd", "drive= is missing"},
    {"-device ide-hd,drive=x", "there is no -drive with that id; add -drive if=none,id=x"},
    {"-drive file=a,id=x -device ide-hd,drive=x", "is plugged in already"},
    {"-boot order=abcd", "at most three letters"},
    {"-boot once=x", "'x' is none of a (floppy)"},
    {"-vnc 0", "'0' is no place for a VNC server"},
    {"-vnc :x", "display: 'x'"},
    {"-vnc :70000", "display"},
    {"-vnc :5,to=4", "is less than the display's own number"},
    {"-vnc unix:", "needs the path of a socket"},
    {"-vnc unix:/x,to=3", "leave it out with unix:"},
    {"-vnc unix:/x,reverse=on", "leave it out with unix:"},
    {"-vnc h:5500,reverse,to=5501", "leave it out with reverse"},
    {"-vnc :0,share=no", "share=no: must be one of"},
    {"-vnc :0,password-secret=s", "there is no -object secret with that id"},
    {"-vnc :0,password=on,password-secret=s", "exclude each other"},
    {"-object secret,id=s", "give one of data= and file="},
    {"-object secret,id=s,data=x,file=y", "give one of data= and file="},
    {"-object secret,id=s,file=/nowhere/x", "file=/nowhere/x: No such file"},
    {"-object secret,id=s,data=a*b,format=base64", "is not base64"},
    {"-object secret,id=s,data=a,keyid=k", "keyid"},
    {"-object secret,id=s,data=a -object secret,id=s,data=b", "id=s is taken"},
    {"-kernel k -object secret,id=s,data=AAAA,format=base64 -vnc :0,password-secret=s",
     "the secret is no text"},
    {"-kernel k -machine pc,memory-backend=m", "there is no -object memory-backend-ram"},
    {"-kernel k -m 32 -object memory-backend-ram,id=m,size=64M -machine pc,memory-backend=m", "differ"},
    {"-object memory-backend-ram,id=m", "size= is missing"},
    {"-object memory-backend-file,id=m,size=1M", "mem-path= is missing"},
    {"-object memory-backend-ram,id=m,size=1M -object memory-backend-ram,id=m,size=1M", "id=m is taken"},
    {"-kernel k -object memory-backend-ram,id=m,size=1234567 -machine pc,memory-backend=m", "whole MiB"},
    {"-device '{\"id\":\"n\"}'", "JSON: \"driver\" is missing"},
    {"-netdev '{\"type\":\"user\"'", "JSON"},
    {"-netdev '{\"type\":\"user\",\"id\":\"n\",\"bad\":1}'", "unknown key 'bad'"},
    {"-g 10x10", "a size is WIDTHxHEIGHT"},
    {"-g 800", "a size is WIDTHxHEIGHT"},
    {"-device VGA,xres=100", "xres"},
    {"-vnc :0,tls-creds=x", "use a UNIX socket"},
    {"-vnc :0,pasword=on", "password"},
    {"-display vnc", "vnc needs a place"},
    {"-display sdl,gl=on", "gl=on: must be one of: off"},
    {"-display dbus", "use -vnc unix:PATH"},
    {"-k xx", "no keyboard layout 'xx'; there are: en-us"},
    {"-kernel k -curses -nographic", "-nographic and -curses exclude each other"},
    {"-kernel k -curses -daemonize", "-daemonize and -curses exclude each other"},
    {"-kernel k -curses -serial stdio", "want the same terminal"},
    {"-gdb null", "use tcp::1234 or unix:PATH"},
    {"-gdb nowhere", "nowhere"},
    {"-enable-kvm", "netlab-emu's own engine"},
    {"-m lots", "-m lots: size: 'lots' is not a size (write 64M"},
    {"-m 64X", "is not a size"},
    {"-m 0", "RAM must be between 1 MiB and 61440 MiB"},
    {"-m 100G", "RAM must be between"},
    {"-m 99999999999999999999", "is not a size"},
    {"-m 9999999999999T", "too large"},
    {"-m size=64M,slots=2", "slots= needs maxmem="},
    {"-m size=64M,slots=300,maxmem=1G", "out of range"},
    {"-m size=64M,maxmem=32M", "maxmem=32M is less than the 64 MiB there are at first"},
    {"-acpitable sig=TEST", "give one of file= (a table with its header) and data="},
    {"-acpitable sig=TESTS,data=x", "sig=TESTS: at most 4 characters"},
    {"-acpitable sgi=TEST,data=x", "did you mean 'sig'?"},
    {"-acpitable rev=256,data=x", "out of range"},
    {"-smbios manufacturer=x", "give file=FILE, or type= of 0 (BIOS)"},
    {"-smbios type=5", "give file=FILE, or type= of 0 (BIOS)"},
    {"-smbios type=1,asset=x", "unknown key 'asset'"},
    {"-smbios type=1,uuid=1", "not a UUID"},
    {"-smbios type=0,release=1", "release=1: wanted MAJOR.MINOR"},
    {"-smbios type=0,release=1.300", "wanted MAJOR.MINOR"},
    {"-smbios type=17,speed=70000", "out of range"},
    {"-smbios file=", "file= needs a value"},
    {"-boot splash=", "splash= needs a value"},
    {"-chroot ''", "needs the name of a folder"},
    {"-dump-vmstate ''", "needs the name of a file"},
    {"-audiodev pa,id=s", "say -audiodev none,id=ID"},
    {"-nic user,model=virtio", "model=virtio is QEMU's and not in netlab-emu yet; use e1000"},
    {"-accel tcg -accel kvm", "-accel kvm: accelerator 'kvm': netlab-emu runs guests in its own engine"},
    {"-mem-path ''", "needs a folder or a file"},
    {"-kernel k -icount shift=11", "shift=11: 0 to 10, or auto"},
    {"-kernel k -icount sleep=off", "shift= is missing"},
    {"-kernel k -icount shift=3,rr=record,rrfile=x", "leave rr, rrfile and rrsnapshot out"},
    {"-kernel k -icount auto,sleep=off", "leave sleep=off out"},
    {"-kernel k -icount 1,align=on,sleep=off", "leave one of them out"},
    {"-kernel k -icount 1 -accel jit,lockstep=on", "leave one of the two out"},
    {"-realtime mlok=on", "unknown key 'mlok' (did you mean 'mlock'?)"},
    {"-overcommit cpu-pm=on", "cpu-pm=on: must be one of: off"},
    {"-msg timestamp=maybe", "must be on or off"},
    {"-name r1,process=", "process= needs a name"},
    {"-tb-size 3", "3 MiB for translated code: from 4 to 512"},
    {"-tb-size x", "size in MiB: 'x' is not a number"},
    {"-accel jit,tb-size=1024", "1024 MiB for translated code"},
    {"-enable-fips -vnc :3,password=on", "which -enable-fips forbids"},
    {"-m sise=64M", "unknown key 'sise' (did you mean 'size'?)"},
    {"-cpu pentium9", "pentium9"},
    {"-cpu n270,+avx512", "avx512"},
    {"-accel kvm", "-accel kvm: accelerator 'kvm': netlab-emu runs guests in its own engine"},
    {"-accel interp,lockstep=on", "lockstep=on compares the translator with the interpreter"},
    {"-accel jit,window=-1", "window"},
    {"-accel jit,window=some", "window"},
    {"-accel jit,insns=1", "insns= is for lockstep=on"},
    {"-accel jit,lockstep=on,insns=33", "insns"},
    {"-accel jit,links=9", "links= is for lockstep=on"},
    {"-accel jit,lockstep=on,links=0", "links"},
    {"-accel intrep", "no accelerator 'intrep' (did you mean 'interp'?)"},
    {"-accel tcg,thraed=single", "unknown key 'thraed' (did you mean 'thread'?)"},
    {"-machine q35", "machine type 'q35' is QEMU's and not in netlab-emu yet"},
    {"-machine pv", "no machine type 'pv' (did you mean 'pc'?)"},
    {"-machine pc,usb=on", "usb=on: must be one of: off"},
    {"-machine pc,idle-ticks=never", "idle-ticks=never: must be one of: late, exact"},
    {"-machine pc,idle-tick=late", "unknown key 'idle-tick' (did you mean 'idle-ticks'?)"},
    {"-machine pc,acel=interp", "unknown key 'acel' (did you mean 'accel'?)"},
    {"-smp 2", "cpus=2: a machine has one CPU here"},
    {"-smp cores=4", "cores=4: a machine has one CPU here"},
    {"-smp 0", "out of range"},
    {"-set drive.d0", "wanted: GROUP.ID.KEY=VALUE"},
    {"-set .d0.file=x", "wanted: GROUP.ID.KEY=VALUE"},
    {"-set drvie.d0.file=x", "no group 'drvie' (did you mean 'drive'?)"},
    {"-set zzzzzz.d0.file=x", "no group 'zzzzzz' (there are: accel, acpi"},
    {"-drive id=d0,file=a -set drive.d1.file=x",
     "there is no -drive with id=d1 before it (did you mean 'd0'?)"},
    {"-set drive.d0.file=x -drive id=d0,file=a", "there is no -drive with id=d0 before it"},
    {"-kernel k -device e1000,id=n -set device.n.mca=x", "-device e1000,id=n,mca=x: unknown key 'mca'"},
    {"-global e1000", "wanted: DRIVER.PROPERTY=VALUE"},
    {"-global driver=e1000,value=x", "property= is missing"},
    {"-global driver=e1000,propery=x", "did you mean 'property'?"},
    {"-kernel k -global e1000.mca=x", "-global e1000.mca=x: unknown key 'mca' (did you mean 'mac'?)"},
    {"-kernel k -device e1000 -global e1000.id=x", "id= belongs to one device"},
    {"-kernel k -vga std -global VGA.vgamem_mb=3", "a power of two"},
    {"-readconfig /nonexistent/file", "-readconfig /nonexistent/file"},
    {"-writeconfig ''", "needs the name of a file"},
    {"-kernel 'a\"b' -writeconfig x", "kernel has a quote or a line break in it"},
    {"-uuid 123", "not a UUID"},
    {"-rtc base=never", "-rtc base=never"},
    {"-boot order=x", "'x' is none of a (floppy)"},
    {"-boot order=acdn", "at most three letters"},
    {"-device", "-device: needs a value"},
    {"-device e100", "no device 'e100' (did you mean 'e1000'?)"},
    {"-device virtio-net-pci", "device 'virtio-net-pci' is QEMU's and not in netlab-emu yet; use e1000"},
    {"-device e1000,mca=52:54:00:00:00:01", "unknown key 'mca' (did you mean 'mac'?)"},
    {"-device e1000,mac=52:54:00:00:00", "not a MAC address"},
    {"-device e1000,mac=53:54:00:00:00:01", "a multicast address"},
    {"-device e1000,addr=1", "slots 0 and 1 are the board's own"},
    {"-device e1000,addr=20", "a PCI slot is a hexadecimal number"},
    {"-device e1000,addr=3.1", "a PCI slot is a hexadecimal number"},
    {"-option-rom ''", "needs the name of a file"},
    {"-kernel k -device e1000,netdev=n1 -netdev tap,id=n0",
     "there is no -netdev with that id (did you mean 'n0'?)"},
    {"-kernel k -netdev tap,id=n0 -device e1000,netdev=n0 -device e1000,netdev=n0",
     "another NIC is cabled to it"},
    {"-kernel k -device e1000,id=a -device e1000,id=a", "the id is taken by another NIC"},
    {"-kernel k -device e1000,mac=52:54:00:00:00:01 -device e1000,mac=52:54:00:00:00:01",
     "has the same address"},
    {"-kernel k -device e1000,addr=4 -device e1000,addr=4", "another NIC has that slot"},
    {"-device isa-debug-exit,iosize=3", "iosize=3: must be 1, 2 or 4"},
    {"-device isa-debug-exit,iobase=0x10000", "out of range"},
    {"-device isa-debugcon", "chardev= is missing"},
    {"-kernel k -device isa-serial,chardev=c", "there is no -chardev with id=c"},
    {"-netdev tap", "id= is missing"},
    {"-netdev tap,ifnme=x", "-netdev tap,ifnme=x: unknown key 'ifnme' (did you mean 'ifname'?)"},
    {"-netdev tpa,id=x", "no network back end 'tpa' (did you mean 'tap'?)"},
    {"-netdev vde,id=x", "'vde' is QEMU's and not in netlab-emu yet"},
    {"-netdev tap,id=x,script=/nonexistent/ifup", "script=/nonexistent/ifup: No such file"},
    {"-netdev tap,id=x,ifname=averyveryverylongname", "an interface name has 1 to 15 characters"},
    {"-netdev tap,id=x,ifname=t0,fd=3", "give one of ifname= and fd="},
    {"-netdev tap,id=x,fd=999", "fd=999: Bad file descriptor"},
    {"-netdev tap,id=9x", "an id begins with a letter"},
    {"-netdev tap,id=x -netdev tap,id=x", "id=x is taken by another -netdev"},
    {"-netdev tap,id=x,ifname=t -netdev tap,id=y,ifname=t", "ifname=t is given twice"},
    {"-netdev tap,id=x,vhost=on", "vhost=on: must be one of: off"},
    {"-nic tap,model=rtl8139", "model=rtl8139 is QEMU's and not in netlab-emu yet"},
    {"-nic tap,model=e10000", "no NIC model 'e10000' (did you mean 'e1000'?)"},
    {"-netdev user", "id= is missing"},
    {"-netdev user,id=u,nett=1", "unknown key 'nett' (did you mean 'net'?)"},
    {"-nic user,net=10.0.2", "net=10.0.2: not an IPv4 address"},
    {"-nic user,net=10.0.2.0/33", "out of range"},
    {"-nic user,net=10.0.2.0/255.0.255.0", "the mask's ones must be its first bits"},
    {"-nic user,host=10.0.3.2", "host=10.0.3.2 is not in the network 10.0.2.0, mask 255.255.255.0"},
    {"-nic user,dns=10.0.2.2", "host= and dns= are the same address"},
    {"-nic user,dhcpstart=10.0.2.3", "dhcpstart= is the address of the host or of the name server"},
    {"-nic user,ipv4=off,ipv6=off", "leave nothing"},
    {"-nic user,ipv4=off,net=10.0.0.0/8", "IPv4 is switched off"},
    {"-nic user,ipv4=on,ipv6-host=fec0::9", "IPv6 is switched off"},
    {"-nic user,ipv6-host=fd00::1", "is not in the network of ipv6-net="},
    {"-nic user,ipv6-net=fec0::/127", "out of range"},
    {"-nic user,hostname=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "longer than the 32 characters"},
    {"-nic user,hostfwd=8080-80", "write [tcp|udp]:"},
    {"-nic user,hostfwd=tpc::8080-:80", "'tpc' is neither tcp nor udp (did you mean 'tcp'?)"},
    {"-nic user,hostfwd=tcp::8080", "the guest's side is missing"},
    {"-nic user,hostfwd=tcp::80800-:80", "out of range"},
    {"-nic user,hostfwd=tcp:localhost:80-:80", "'localhost' is not an address"},
    {"-nic user,guestfwd=tcp:10.0.2.100:7", "write tcp:SERVER:PORT-cmd:COMMAND"},
    {"-nic user,guestfwd=tcp:10.1.2.100:7-cmd:cat", "not in the guest's network"},
    {"-nic user,guestfwd=tcp:10.0.2.2:7-cmd:cat", "taken by the host"},
    {"-nic user,guestfwd=tcp:10.0.2.100:7-cmd:cat,guestfwd=:10.0.2.100:7-null",
     "those of guestfwd=tcp:10.0.2.100:7"},
    {"-nic user,guestfwd=udp:10.0.2.100:7-cmd:cat", "only tcp"},
    {"-nic user,smbserver=10.0.2.4", "smbserver= without smb="},
    {"-nic socket", "give one of listen=, connect=, mcast=, udp= and fd="},
    {"-nic socket,listen=:1,connect=h:1", "give one of listen="},
    {"-nic socket,listen=1234", "listen=1234: write [HOST]:PORT"},
    {"-nic socket,connect=:1234", "connect=:1234: write HOST:PORT"},
    {"-nic socket,connect=h:0", "0 is out of range, from 1"},
    {"-nic socket,mcast=10.0.0.1:1", "not a multicast address"},
    {"-nic socket,udp=h:1", "udp= needs localaddr="},
    {"-nic socket,listen=:1,localaddr=h:1", "localaddr= is for mcast= and udp="},
    {"-nic stream,server=on", "addr.type= is missing"},
    {"-nic stream,addr.type=unix", "addr.path= is missing"},
    {"-nic dgram", "local.type= and remote.type= are missing"},
    {"-nic l2tpv3,src=a,dst=b", "txsession= is missing"},
    {"-nic l2tpv3,src=a,dst=b,txsession=1,udp=on,srcport=1", "udp=on needs dstport="},
    {"-nic l2tpv3,src=a,dst=b,txsession=1,srcport=1", "srcport= is for udp=on"},
    {"-nic l2tpv3,src=a,dst=b,txsession=1,txcookie=1", "give both of txcookie= and rxcookie="},
    {"-nic l2tpv3,src=a,dst=b,txsession=1,txcookie=0x100000000,rxcookie=1", "needs cookie64=on"},
    {"-nic l2tpv3,src=a,dst=b,txsession=0x100000000", "out of range"},
    {"-nic l2tpv3,src=a,dst=b,txsession=1,offset=257", "out of range"},
    {"-netdev bridge,id=b,br=averyveryverylongname", "an interface name has 1 to 15 characters"},
    {"-nic tap,fds=3:4", "the e1000 has one queue"},
    {"-nic tap,helper=/x,ifname=t", "helper= names the TAP itself"},
    {"-netdev dump,id=d", "'dump' is for -net; here it is -object filter-dump"},
    {"-netdev hubport,id=h", "hubid= is missing"},
    {"-kernel k -netdev hubport,id=h,hubid=0,netdev=h", "h is cabled to something else"},
    {"-kernel k -netdev hubport,id=h,hubid=0,netdev=hh", "there is no -netdev with that id"},
    {"-nic hubport,hubid=0", "hubport is for -netdev"},
    {"-net nic,netdev=a,vlan=1", "give one of netdev= and vlan="},
    {"-object rng-random,id=r", "object 'rng-random' is not in netlab-emu"},
    {"-object filter-dump,id=f,file=x", "netdev= is missing"},
    {"-object filter-dump,id=f,netdev=u", "file= is missing"},
    {"-object filter-dump,id=f,netdev=u,file=x,socket=y", "one capture goes to one place"},
    {"-object filter-dump,id=f,netdev=u,socket=y,format=pcap", "takes format=pcapng"},
    {"-object filter-dump,id=f,netdev=u,file=x,buffer=1M", "buffer= is for format=pcapng"},
    {"-object filter-dump,id=f,netdev=u,file=x,format=pcapng,buffer=1K", "not in 256K"},
    {"-object filter-dump,id=f,netdev=u,file=x,format=pcagn", "must be one of: pcap, pcapng"},
    {"-kernel k -object filter-dump,id=f,file=x,netdev=q", "there is no -netdev with that id"},
    {"-serial stdoi", "no character back end 'stdoi' (did you mean 'stdio'?)"},
    {"-serial vc:80x", "the size is vc:640x480 (pixels) or vc:80Cx24C"},
    {"-serial vc:0Cx24C", "the size is vc:640x480"},
    {"-serial vc,x", "nothing may follow vc"},
    {"-chardev vc,id=v,cols=1000", "cols"},
    {"-serial tcp:h:1,to=5", "to= is for TCP servers"},
    {"-serial unix:/x,server,nowait,to=5", "to= is for TCP servers"},
    {"-serial tcp:h:1,delay,nodelay", "give one"},
    {"-serial websocket:h:1", "use tcp:HOST:PORT,server"},
    {"-chardev braille,id=b", "use a screen reader"},
    {"-serial file:", "'file:' is not complete: file:PATH"},
    {"-serial unix:/x,sever", "unknown key 'sever' (did you mean 'server'?)"},
    {"-serial unix:/x,nowait", "wait= is for servers"},
    {"-serial unix:/x,server=on,reconnect=2", "reconnect= is for clients"},
    {"-serial tcp:nowhere", "the port is missing"},
    {"-serial mon:file:/x", "mon: needs something that can be typed into"},
    {"-serial stdio,x=y", "nothing may follow stdio"},
    {"-serial null -serial null -serial null -serial null -serial null", "there are 4 serial ports already"},
    {"-parallel null -parallel null -parallel null -parallel null", "there are 3 parallel ports already"},
    {"-chardev null,id=c,mux=on -device isa-parallel,chardev=c,index=1 -device "
     "isa-parallel,chardev=c,index=1",
     "there is a parallel port at 0x278 already"},
    {"-device isa-parallel", "chardev= is missing"},
    {"-device isa-parallel,chardev=x", "there is no -chardev with id=x"},
    {"-watchdog dog", "there is no watchdog 'dog'; say ib700 or i6300esb"},
    {"-watchdog ib700 -device ib700", "there is an ib700 already"},
    {"-device ib700,addr=5", "an ib700 is an ISA card"},
    {"-watchdog-action explode", "is no action of a watchdog"},
    {"-device pc-testdev -device pc-testdev", "there is one already"},
    {"-chardev stdio", "id= is missing"},
    {"-chardev sokcet,id=x", "no character back end 'sokcet' (did you mean 'socket'?)"},
    {"-chardev socket,id=x", "give one of path="},
    {"-chardev null,id=x -chardev null,id=x", "id=x is taken by another -chardev"},
    {"-kernel k -chardev null,id=abc -serial chardev:abd",
     "there is no -chardev with id=abd (did you mean 'abc'?)"},
    {"-kernel k -chardev stdio,id=c -serial chardev:c -mon c", "add mux=on to share it"},
    {"-kernel k -chardev stdio,id=c,mux=on -serial chardev:c -serial chardev:c -mon c -mon c -mon c",
     "shares it between at most 4"},
    {"-qmp null", "a control connection goes both ways"},
    {"-mon mode=control", "chardev= is missing"},
    {"-mon c,mode=contrl", "mode=contrl: must be one of: readline, control (did you mean 'control'?)"},
    {"-display gtk", "use -display sdl, or -vnc :0 and a viewer"},
    {"-display non", "no display 'non'"},
    {"-vga cirrus", "VGA 'cirrus' is QEMU's"},
    {"-vga stdd", "no VGA 'stdd'; there are: std, none"},
    {"-device VGA,vgamem_mb=3", "a power of two from 1 to 256"},
    {"-device VGA -device VGA", "there is a graphics card already"},
    {"-echr 300", "out of range"},
    {"-kernel k -daemonize -nographic", "-daemonize and -nographic exclude each other"},
    {"-sandbox on,spwan=deny", "did you mean 'spawn'?"},
    {"-sandbox on,spawn=no", "spawn"},
    {"-add-fd fd=2,set=1", "fd"},
    {"-add-fd fd=3", "needs fd= and set="},
    {"-trace e1001", "e1001"},
    {"-d itn", "no item 'itn' (did you mean 'int'?)"},
    {"-fw_cfg name=opt/x", "give one of string= and file="},
    {"-fw_cfg string=x", "name= is missing"},
    {"-fw_cfg opt/x,string=a -fw_cfg opt/x,string=b", "is given twice"},
    {"-fw_cfg opt/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,string=x",
     "at most 55 characters"},
    {"-action reboot=no", "must be one of: reset, shutdown"},
    {"-action watchdog=explode", "watchdog"},
};

static void test_refused(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        struct machine_config *config = NULL;
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;
        if (parse(refused[i].line, &config, &text, &error) != OPTIONS_ERROR)
            g_error("'%s' was taken", refused[i].line);
        g_assert_null(config);
        if (!strstr(error->message, refused[i].says) || strchr(error->message, '\n'))
            g_error("'%s' says '%s', not '%s'", refused[i].line, error->message, refused[i].says);
    }
}

/* ---- drives ---- */

static const struct machine_drive *drive_of(const struct machine_config *config, guint i)
{
    g_assert_cmpuint(i, <, config->drives->len);
    return config->drives->pdata[i];
}

static void test_drives(void)
{
    struct machine_config *c = take("-hda a -cdrom b,c.iso -boot once=d,order=cn,menu=on,splash-time=100");
    g_assert_cmpuint(c->drives->len, ==, 2);
    g_assert_cmpstr(drive_of(c, 0)->id, ==, "ide0-hd0");
    g_assert_cmpstr(drive_of(c, 1)->id, ==, "ide1-cd0");
    g_assert_cmpstr(drive_of(c, 1)->file, ==, "b,c.iso");
    g_assert_cmpint(drive_of(c, 1)->index, ==, 2);
    g_assert_cmpstr(c->bios, ==, "bios-256k.bin");
    g_assert_cmpmem(c->boot_order, 3, ((uint8_t[3]){2, 4, 0}), 3);
    g_assert_cmpint(c->boot_once[0], ==, 3);
    g_assert_cmpint(c->boot_splash_time, ==, 100);
    machine_config_free(c);

    /* A disk's -device may stand before its -drive; what -drive places itself comes first, as in QEMU. */
    c = take("-device '{\"driver\":\"ide-cd\",\"drive\":\"d\"}' -device driver=ide-hd,drive=x,bootindex=3 "
             "-device floppy,drive=f -drive if=none,id=x,file=a -drive if=none,id=f,file=b -drive file=c "
             "-drive if=none,id=d,media=cdrom");
    g_assert_cmpuint(c->drives->len, ==, 4);
    g_assert_cmpint(drive_of(c, 0)->bus, ==, MACHINE_BUS_IDE);
    g_assert_cmpint(drive_of(c, 0)->bootindex, ==, 3);
    g_assert_cmpint(drive_of(c, 1)->bus, ==, MACHINE_BUS_FLOPPY);
    g_assert_cmpstr(drive_of(c, 3)->id, ==, "d");
    g_assert_cmpint(drive_of(c, 3)->media, ==, MACHINE_MEDIA_CD);
    machine_config_free(c);

    c = take(
        "disk.img -drive file=b,,c,format=raw,cache=none,werror=stop,rerror=ignore,readonly=on -snapshot");
    const struct machine_drive *first = drive_of(c, 0), *second = drive_of(c, 1), *cd = drive_of(c, 2);
    g_assert_cmpstr(first->file, ==, "disk.img");
    g_assert_cmpint(first->index, ==, 0);
    g_assert_cmpint(first->block.on_write_error, ==, BLOCK_ERROR_ENOSPC);
    g_assert_cmpstr(second->file, ==, "b,c");
    g_assert_cmpint(second->index, ==, 1);
    g_assert_cmpint(second->block.cache, ==, BLOCK_CACHE_NONE);
    g_assert_cmpint(second->block.format, ==, BLOCK_FORMAT_RAW);
    g_assert_cmpint(second->block.on_write_error, ==, BLOCK_ERROR_STOP);
    g_assert_cmpint(second->block.on_read_error, ==, BLOCK_ERROR_IGNORE);
    g_assert_true(second->block.read_only && first->block.snapshot && second->block.snapshot);
    g_assert_null(cd->file); /* plugged in by itself, empty */
    g_assert_cmpint(cd->media, ==, MACHINE_MEDIA_CD);
    machine_config_free(c);

    c = take(
        "-kernel k -drive if=none,id=x,file=f -device ide-hd,drive=x,bus=ide.1,unit=1,bootindex=3,serial=S1 "
        "-fda g -drive file=h,if=floppy");
    g_assert_cmpuint(c->drives->len, ==, 3); /* with a kernel nothing is plugged in by itself */
    g_assert_cmpint(drive_of(c, 0)->index, ==, 3);
    g_assert_cmpint(drive_of(c, 0)->bootindex, ==, 3);
    g_assert_cmpstr(drive_of(c, 0)->serial, ==, "S1");
    g_assert_cmpint(drive_of(c, 1)->bus, ==, MACHINE_BUS_FLOPPY);
    g_assert_cmpstr(drive_of(c, 2)->id, ==, "floppy1");
    machine_config_free(c);

    c = take("-drive 'file=json:{\"driver\": \"qcow2\",, \"file\": {\"driver\": \"file\",, \"filename\": "
             "\"a\"}}'");
    g_assert_cmpstr(drive_of(c, 0)->file, ==, "a");
    g_assert_cmpint(drive_of(c, 0)->block.format, ==, BLOCK_FORMAT_QCOW2);
    machine_config_free(c);

    /* What is below it, whatever the image says itself. */
    c = take("-drive 'file=json:{\"driver\": \"qcow2\",, \"file\": {\"driver\": \"file\",, \"filename\": "
             "\"a\"},, \"backing\": {\"driver\": \"qcow2\",, \"file\": {\"driver\": \"file\",, \"filename\": "
             "\"b,,c\"},, \"backing\": {\"driver\": \"raw\",, \"file\": {\"driver\": \"file\",, "
             "\"filename\": \"d\"}}}}'");
    const struct block_below *below = drive_of(c, 0)->block.below;
    g_assert_cmpstr(drive_of(c, 0)->file, ==, "a");
    g_assert_cmpstr(below->file, ==, "b,c");
    g_assert_cmpint(below->format, ==, BLOCK_FORMAT_QCOW2);
    g_assert_cmpstr(below->below->file, ==, "d");
    g_assert_cmpint(below->below->format, ==, BLOCK_FORMAT_RAW);
    g_assert_null(below->below->below);
    machine_config_free(c);
    c = take("-drive 'file=json:{\"driver\": \"qcow2\",, \"backing\": null,, \"file\": {\"driver\": \"file\",, "
             "\"filename\": \"a\"}}'");
    g_assert_nonnull(drive_of(c, 0)->block.below);
    g_assert_null(drive_of(c, 0)->block.below->file);
    machine_config_free(c);

    /* Nodes: by words, by reference, by JSON. */
    c = take("-kernel k -blockdev driver=file,node-name=f,filename=a,,b,cache.direct=on "
             "-blockdev driver=qcow2,node-name=q,file=f,read-only=on -device ide-hd,drive=q "
             "-blockdev '{\"driver\": \"raw\", \"node-name\": \"r\", \"discard\": \"unmap\", \"file\": "
             "{\"driver\": \"file\", \"filename\": \"c,d\"}}' -device ide-hd,drive=r "
             "-blockdev null-co,node-name=z -device ide-hd,drive=z");
    g_assert_cmpuint(c->drives->len, ==, 4);
    g_assert_true(drive_of(c, 0)->carries); /* the one under the qcow2 node */
    g_assert_cmpint(drive_of(c, 0)->bus, ==, MACHINE_BUS_NONE);
    g_assert_cmpstr(drive_of(c, 1)->below, ==, "f");
    g_assert_cmpstr(drive_of(c, 1)->file, ==, "a,b");
    g_assert_cmpint(drive_of(c, 1)->block.format, ==, BLOCK_FORMAT_QCOW2);
    g_assert_cmpint(drive_of(c, 1)->block.cache, ==, BLOCK_CACHE_NONE);
    g_assert_true(drive_of(c, 1)->block.read_only);
    g_assert_cmpint(drive_of(c, 1)->index, ==, 0);
    g_assert_cmpstr(drive_of(c, 2)->file, ==, "c,d");
    g_assert_true(drive_of(c, 2)->block.discard);
    g_assert_cmpstr(drive_of(c, 3)->file, ==, "null-co://");
    machine_config_free(c);
}

static void test_printed(void)
{
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"-help", "usage: netlab-emu"},
        {"-h", "usage: netlab-emu"},
        {"--help -krenel", "usage: netlab-emu"},
        {"-version", "netlab-emu " NETLAB_VERSION},
        {"-cpu help", "n270"},
        {"-machine help", "i440FX"},
        {"-accel help", "interp"},
        {"-accel help", "window="},
        {"-accel help", "lockstep="},
        {"-device help", "isa-debug-exit"},
        {"-drive help", "cache=none|writeback"},
        {"-device ide-cd,help", "bootindex="},
        {"-device e1000,help", "mac=MAC"},
        {"-netdev help", "user"},
        {"-netdev tap,help", "ifname="},
        {"-nic user,help", "hostfwd="},
        {"-net help", "dump"},
        {"-object help", "maxlen="},
        {"-nic help", "e1000"},
        {"-chardev help", "unix:PATH"},
        {"-display help", "none"},
        {"-vga help", "std"},
        {"-vnc help", "password"},
        {"-k help", "de"},
        {"-device VGA,help", "vgamem_mb="},
        {"-trace help", "e1000"},
        {"-d help", "cpu_reset"},
        {"-fw_cfg help", "string="},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = NULL;
        g_assert_cmpint(parse(rows[i].line, NULL, &text, NULL), ==, OPTIONS_PRINT);
        if (!strstr(text, rows[i].says))
            g_error("'%s' printed:\n%s", rows[i].line, text);
    }
}

/* Every option the help text lists as not here yet says so, whatever its value; every other one is known. */
static void test_each_row(void)
{
    g_autoptr(GString) help = g_string_new(NULL);
    options_describe(help);
    g_auto(GStrv) lines = g_strsplit(help->str, "\n", -1);
    bool later = false;
    unsigned known = 0, missing = 0;
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) words = g_strsplit(g_strstrip(*line), " ", -1);
        later |= g_str_has_prefix(*line, "QEMU's options that are not here yet");
        for (char **word = words; *word; word++) {
            struct machine_config *config = NULL;
            g_autofree char *text = NULL;
            g_autoptr(GError) error = NULL;
            if (**word != '-' || g_str_has_prefix(*line, "netlab-emu"))
                break;
            g_strdelimit(*word, ",", '\0');
            enum options_outcome outcome = parse(*word, &config, &text, &error);
            if (later) {
                g_assert_cmpint(outcome, ==, OPTIONS_ERROR);
                g_assert_nonnull(strstr(error->message, "a QEMU option that netlab-emu does not have yet"));
                missing++;
                continue;
            }
            g_assert_true(!error || !strstr(error->message, "unknown option"));
            known++;
            machine_config_free(config);
            break;
        }
    }
    g_assert_cmpuint(known, >=, 45);
    g_assert_cmpuint(missing, >=, 20);
    g_test_message("%u options of our own, %u of QEMU's that say they are not here yet", known, missing);
}

static void test_golden_help(void)
{
    const char *path = SOURCE_FOLDER "/tests/golden/netlab-emu-help.txt";
    g_autofree char *golden = NULL;
    g_autoptr(GString) help = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    options_describe(help);
    if (g_getenv("NETLAB_GOLDEN_WRITE"))
        g_assert_true(g_file_set_contents(path, help->str, (gssize)help->len, NULL));
    g_file_get_contents(path, &golden, NULL, &error);
    g_assert_no_error(error);
    if (!g_str_equal(golden, help->str))
        g_error("-help differs from %s; when that is meant, run this test with NETLAB_GOLDEN_WRITE=1:\n%s",
                path, help->str);
}

/* ---- what ends up in the configuration ---- */

static void test_machine_values(void)
{
    struct machine_config *c =
        take("-kernel k -initrd i -append 'a b' -m 1536M -name guest=r1 -no-reboot -S "
             "-uuid 00112233-4455-6677-8899-aabbccddeeff -cpu pentium3 -boot order=dn");
    static const uint8_t uuid[] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                   0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    g_assert_cmpstr(c->kernel, ==, "k");
    g_assert_cmpstr(c->initrd, ==, "i");
    g_assert_cmpstr(c->append, ==, "a b");
    g_assert_cmpstr(c->name, ==, "r1");
    g_assert_cmpuint(c->ram_size, ==, UINT64_C(1536) << 20);
    g_assert_true(c->no_reboot && c->start_stopped && !c->no_shutdown && c->has_uuid && c->acpi);
    g_assert_cmpmem(c->uuid, 16, uuid, 16);
    g_assert_cmpuint(c->boot_order[0], ==, 3);
    g_assert_cmpuint(c->boot_order[1], ==, 4);
    g_assert_true(c->cpu != cpu_model_default());
    machine_config_free(c);
    c = take("-kernel k");
    g_assert_cmpuint(c->ram_size, ==, UINT64_C(128) << 20);
    g_assert_true(c->cpu == cpu_model_default());
    machine_config_free(c);
    c = take("-kernel k -m 8193K"); /* rounded up to whole pages */
    g_assert_cmpuint(c->ram_size, ==, (8192 + 4) * 1024);
    machine_config_free(c);
}

static void test_network_values(void)
{
    struct machine_config *c = take("-kernel k -display none -netdev tap,id=lan,ifname=t1 -device "
                                    "e1000,netdev=lan,mac=52:54:00:00:00:07,addr=1f "
                                    "-nic tap,ifname=t2,vnet_hdr=off -device e1000");
    g_assert_cmpuint(c->nics->len, ==, 3);
    g_assert_cmpuint(c->netdevs->len, ==, 2);
    const struct machine_nic *nic = c->nics->pdata[0];
    g_assert_cmpstr(nic->netdev, ==, "lan");
    g_assert_cmpstr(nic->id, ==, "net0");
    g_assert_cmpint(nic->slot, ==, 0x1f);
    g_assert_true(nic->has_mac && nic->mac[5] == 7);
    nic = c->nics->pdata[1];
    g_assert_cmpint(nic->slot, ==, -1);
    g_assert_false(nic->has_mac);
    const struct machine_netdev *tap = c->netdevs->pdata[1];
    g_assert_cmpstr(nic->netdev, ==, tap->id);
    g_assert_cmpstr(keyval_string(tap->words, "ifname", NULL), ==, "t2");
    g_assert_true(keyval_has(tap->words, "vnet_hdr") && !keyval_bool(tap->words, "vnet_hdr", true));
    g_assert_false(keyval_has(((struct machine_netdev *)c->netdevs->pdata[0])->words, "vnet_hdr"));
    g_assert_cmpuint(c->notes->len, ==, 1); /* the third NIC has no cable */
    g_assert_nonnull(strstr(c->notes->pdata[0], "net2 has no cable"));
    machine_config_free(c);
}

/* The NIC that is there when nothing is said, and what is plugged into which hub. */
static void test_default_network(void)
{
    static const char *const none[] = {"-kernel k -nic none", "-kernel k -net none", "-kernel k -nodefaults"};
    struct machine_config *c = take("-kernel k");
    g_assert_cmpuint(c->nics->len, ==, 1);
    g_assert_cmpuint(c->netdevs->len, ==, 1);
    const struct machine_netdev *netdev = c->netdevs->pdata[0];
    g_assert_cmpstr(netdev->kind->name, ==, "user");
    g_assert_cmpstr(((struct machine_nic *)c->nics->pdata[0])->netdev, ==, netdev->id);
    machine_config_free(c);
    for (size_t i = 0; i < G_N_ELEMENTS(none); i++) {
        c = take(none[i]);
        g_assert_cmpuint(c->nics->len + c->netdevs->len, ==, 0);
        machine_config_free(c);
    }
    c = take("-kernel k -net nic,vlan=7,name=first -net user,vlan=7,name=way -net dump,vlan=7,len=96");
    const struct machine_nic *nic = c->nics->pdata[0];
    g_assert_cmpstr(nic->id, ==, "first");
    g_assert_cmpint(nic->vlan, ==, 7);
    g_assert_null(nic->netdev);
    for (guint i = 0; i < 2; i++)
        g_assert_cmpint(((struct machine_netdev *)c->netdevs->pdata[i])->vlan, ==, 7);
    g_assert_cmpstr(((struct machine_netdev *)c->netdevs->pdata[0])->id, ==, "way");
    g_assert_cmpuint(c->notes->len, ==, 0);
    machine_config_free(c);
    c = take("-kernel k -net nic -net user,vlan=1"); /* two hubs with one thing each */
    g_assert_cmpuint(c->notes->len, ==, 2);
    machine_config_free(c);
}

/* A key that may be given several times keeps them all, in order. */
static void test_repeated(void)
{
    struct machine_config *c = take("-kernel k -nic user,hostfwd=tcp::1-:1,dnssearch=a,,b,hostfwd=udp::2-:2");
    const struct keyval *words = ((struct machine_netdev *)c->netdevs->pdata[0])->words;
    const char *const *rules = keyval_list(words, "hostfwd"), *const *domains =
                                                                  keyval_list(words, "dnssearch");
    g_assert_cmpstr(rules[0], ==, "tcp::1-:1");
    g_assert_cmpstr(rules[1], ==, "udp::2-:2");
    g_assert_null(rules[2]);
    g_assert_cmpstr(domains[0], ==, "a,b");
    g_assert_null(domains[1]);
    g_assert_null(keyval_list(words, "guestfwd")[0]);
    machine_config_free(c);
}

static void test_fd(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    g_autofree char *line = g_strdup_printf("-kernel k -netdev tap,id=n,fd=%d -device e1000,netdev=n", fd);
    struct machine_config *c = take(line);
    g_assert_cmpuint(keyval_number(((struct machine_netdev *)c->netdevs->pdata[0])->words, "fd", 0), ==,
                     (guint)fd);
    machine_config_free(c);
    close(fd);
}

/* What is on the terminal when nothing or little is said. */
static void test_terminal(void)
{
    static const struct {
        const char *line;
        int kind; /* of COM1; -1: none was configured */
        bool mux;
        unsigned monitors;
    } rows[] = {
        {"-kernel k", CHAR_STDIO, true, 0},
        {"-kernel k -nographic", CHAR_STDIO, true, 0},
        {"-kernel k -display none", -1, false, 0},
        {"-kernel k -serial stdio", CHAR_STDIO, false, 0},
        {"-kernel k -serial null", CHAR_NULL, false, 0},
        {"-kernel k -nographic -serial null", CHAR_NULL, false, 1},
        {"-kernel k -nographic -serial stdio", CHAR_STDIO, false, 0},
        {"-kernel k -nographic -serial null -monitor none", CHAR_NULL, false, 0},
        {"-kernel k -daemonize", -1, false, 0},
        {"-kernel k -debugcon stdio", -1, false, 0},
        {"-kernel k -vnc :0", CHAR_VC, false, 1},
        {"-kernel k -vnc :0 -nodefaults", -1, false, 0},
        {"-kernel k -vnc :0 -vga none", -1, false, 0},
        {"-kernel k -vnc :0 -serial null", CHAR_NULL, false, 1},
        {"-kernel k -vnc :0 -monitor none", CHAR_VC, false, 0},
        {"-kernel k -vnc :0 -nographic", CHAR_STDIO, true, 0},
        {"-kernel k -curses -monitor none -nodefaults", -1, false, 1},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct machine_config *c = take(rows[i].line);
        const struct char_spec *spec = c->serials->len ? c->serials->pdata[0] : NULL;
        g_test_message("%s", rows[i].line);
        g_assert_cmpint(spec ? (int)spec->kind : -1, ==, rows[i].kind);
        g_assert_true(!spec || spec->mux == rows[i].mux);
        g_assert_cmpuint(c->monitors->len, ==, rows[i].monitors);
        machine_config_free(c);
    }
}

/* What keys of engine and machine come to. */
static void test_engine(void)
{
    static const struct {
        const char *line;
        unsigned heat;
        bool exact_ticks, lockstep;
    } rows[] = {
        {"-kernel k"},
        {"-kernel k -accel jit,window=500", .heat = 500},
        {"-kernel k -accel jit,window=0", .heat = G_MAXUINT32},
        {"-kernel k -accel jit,lockstep=on", .lockstep = true},
        {"-kernel k -machine pc,idle-ticks=late"},
        {"-kernel k -machine pc,idle-ticks=exact", .exact_ticks = true},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct machine_config *c = take(rows[i].line);

        g_assert_cmpuint(c->jit_heat, ==, rows[i].heat);
        g_assert_cmpint(c->exact_ticks, ==, rows[i].exact_ticks);
        g_assert_cmpint(c->lockstep, ==, rows[i].lockstep);
        machine_config_free(c);
    }
}

static void test_notes(void)
{
    struct machine_config *c = take("-kernel k -accel tcg -netdev tap,id=n -fw_cfg etc/x,string=y");
    g_assert_cmpuint(c->notes->len, ==, 3);
    g_assert_nonnull(strstr(c->notes->pdata[0], "own engine instead of TCG"));
    g_assert_nonnull(strstr(c->notes->pdata[1], "outside opt/"));
    g_assert_nonnull(strstr(c->notes->pdata[2], "-netdev n has no NIC"));
    machine_config_free(c);
    c = take("-kernel k -drive file=a,if=none -drive file=b,if=none,id=x");
    g_assert_cmpstr(c->notes->pdata[0], ==,
                    "-drive file=a has if=none and no -device (add id=ID, and -device ide-hd,drive=ID)");
    g_assert_cmpstr(c->notes->pdata[1], ==,
                    "-drive id=x has if=none and no -device (add -device ide-hd,drive=x)");
    machine_config_free(c);
}

/* A line that fails must leave nothing behind, in the process or on disk. */
static void test_nothing_happens(void)
{
    g_autofree char *folder = g_dir_make_tmp("netlab-options-XXXXXX", NULL);
    g_autofree char *line =
        g_strdup_printf("-kernel k -serial file:%s/a -chardev file,id=c,path=%s/b -pidfile %s/c "
                        "-D %s/d -trace irq -qmp unix:%s/e,server,nowait -bogus",
                        folder, folder, folder, folder, folder);
    uint64_t before = trace_mask;
    g_assert_cmpint(parse(line, NULL, NULL, NULL), ==, OPTIONS_ERROR);
    g_assert_cmpuint(trace_mask, ==, before);
    g_assert_cmpint(rmdir(folder), ==, 0); /* which fails unless it is empty */
}

/* ---- keyval ---- */

static void test_keyval(void)
{
    static const struct keyval_row rows[] = {
        {"path", KEYVAL_STRING},
        {"on", KEYVAL_BOOL},
        {"count", KEYVAL_NUMBER, .min = 2, .max = 9},
        {"size", KEYVAL_SIZE},
        {"kind", KEYVAL_CHOICE, "a|b"},
        {"mac", KEYVAL_MAC},
    };
    static const struct keyval_table table = {"x", rows, G_N_ELEMENTS(rows), "path"};
    KEYVAL_AUTO struct keyval *kv =
        keyval_parse(&table, "/a,,b,on,count=0x7,size=1.5k,kind=b,mac=02:00:00:00:00:ff", NULL);
    uint8_t mac[6];
    g_assert_nonnull(kv);
    g_assert_cmpstr(keyval_string(kv, "path", NULL), ==, "/a,b");
    g_assert_true(keyval_bool(kv, "on", false));
    g_assert_cmpuint(keyval_number(kv, "count", 0), ==, 7);
    g_assert_cmpuint(keyval_number(kv, "size", 0), ==, 1536);
    g_assert_true(keyval_mac(kv, "mac", mac) && mac[5] == 255);
    KEYVAL_AUTO struct keyval *off = keyval_parse(&table, "path=,noon", NULL);
    g_assert_nonnull(off);
    g_assert_true(keyval_has(off, "on"));
    g_assert_false(keyval_bool(off, "on", true));
    g_assert_cmpstr(keyval_string(off, "path", NULL), ==, "");
    static const char *const bad[] = {"count=1", "count=10",  "count=x",    "count=", "path=,count", "kind=c",
                                      "mac=1",   "a,,=b,c=d", "on=maybe",   "x,,",    ",",           "a,",
                                      "size=-1", "count=0x",  "size=1.5.5", "=x"};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        KEYVAL_AUTO struct keyval *none = keyval_parse(&table, bad[i], &error);
        if (g_str_equal(bad[i], "x,,")) { /* a value that ends in a comma */
            g_assert_cmpstr(keyval_string(none, "path", NULL), ==, "x,");
            continue;
        }
        if (none)
            g_error("'%s' was taken", bad[i]);
        g_assert_nonnull(error);
    }
}

static void test_nearest(void)
{
    static const char *const words[] = {"serial", "kernel", "netdev", "device"};
    g_assert_cmpstr(keyval_nearest("sreial", words, 4), ==, "serial");
    g_assert_cmpstr(keyval_nearest("Kernel", words, 4), ==, "kernel");
    g_assert_cmpstr(keyval_nearest("devcie", words, 4), ==, "device");
    g_assert_null(keyval_nearest("zzzzzz", words, 4));
    g_assert_null(keyval_nearest("", words, 4));
    g_autofree char *lengthy = g_strnfill(5000, 'k');
    g_assert_null(keyval_nearest(lengthy, words, 4));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/options/" #name, test_##name)
    TEST(taken);
    TEST(round_trip);
    TEST(json);
    TEST(refused);
    TEST(printed);
    TEST(each_row);
    TEST(drives);
    TEST(golden_help);
    TEST(machine_values);
    TEST(network_values);
    TEST(fd);
    TEST(default_network);
    TEST(repeated);
    TEST(terminal);
    TEST(engine);
    TEST(notes);
    TEST(nothing_happens);
    TEST(keyval);
    TEST(nearest);
    return g_test_run();
}
