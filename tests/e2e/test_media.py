# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Real media, unmodified: CDs, floppies, disks and network boots made of Debian's own boot loaders, kernels and firmware.

Each is started with the words one would give QEMU; keys are pressed where a person would press them, and what is checked is what is on the
screen, on the serial port, or served by the guest. Where a picture is drawn without a clock in it, it has to be QEMU's, pixel by pixel.
What is missing on the machine is named and left out. docs/media.md is the list, with what more was tried by hand.
"""
import functools
import http.server
import os
import shutil
import subprocess
import tempfile
import threading

import media
from harness import Failure, check, main, wait_until
from media import SECONDS, Pc, Rival, debian, drive, fetch, have, run

RESCUE = "/usr/lib/grub-rescue"
work = tempfile.mkdtemp(prefix="netlab-media-")


def left_out(*paths):
    missing = have(*paths) or ("" if debian("vmlinuz") else "the minimal Debian (media_debian.py)")
    return f"left out: {missing} is not there" if missing else ""


def tree(name):
    path = os.path.join(work, name)
    os.makedirs(path, exist_ok=True)
    return path


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


MENU = """
display boot.msg
default microcore
label microcore
    kernel /boot/vmlinuz
    initrd /boot/core.gz
    append loglevel=3 net.ifnames=0 console=ttyS0 console=tty0
label mc
    kernel /boot/vmlinuz
    append initrd=/boot/core.gz loglevel=3
label memory
    kernel hdt.c32
label floppy
    kernel memdisk
    append initrd=floppy.img
label disk
    kernel chain.c32
    append hd0
label graphics
    kernel vesamenu.c32
    append /boot/isolinux/graphics.cfg
label text
    kernel menu.c32
    append /boot/isolinux/graphics.cfg
prompt 1
timeout 0
F1 boot.msg
"""
GRAPHICS = """
menu title A menu in graphics
menu hidden
menu hiddenrow 5
menu color title 1;36;44 #ff8040ff #00000000 std
label one
    menu label First entry
    kernel chain.c32
    append hd0
label two
    menu label Second entry
    kernel memdisk
    append initrd=floppy.img
label three
    menu label Third entry
    kernel reboot.c32
timeout 0
""".replace("menu hidden\nmenu hiddenrow 5\n", "")


def core_iso():
    """The CD of the recipe, made once."""
    path = os.path.join(work, "Core-current.iso")
    if not os.path.exists(path):
        place = os.path.join(tree("core"), "boot", "isolinux")
        media.core_tree(tree("core"), MENU)
        write(os.path.join(place, "boot.msg"), "\x0c\n  Core is distributed with ABSOLUTELY NO WARRANTY.\n\n  Press <Enter> to begin or F1 for help.\n\n")
        write(os.path.join(place, "graphics.cfg"), GRAPHICS)
        shutil.copy(media.boot_sector(work, "<floppy in memory>", 1440 << 10), os.path.join(place, "floppy.img"))
        media.make_iso(tree("core"), path, "-isohybrid-mbr", "/usr/lib/ISOLINUX/isohdpfx.bin")
    return path


ISO_NEEDS = ("xorriso", "as", "gzip", "/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/memdisk", media.BIOS_MODULES + "/vesamenu.c32")


def recipe_user():
    """The first line of the recipe, word for word (the display is a VNC socket for the test)."""
    missing = left_out(*ISO_NEEDS)
    if missing:
        return missing
    core_iso()
    with Pc("-cdrom", "Core-current.iso", "-boot", "d", "-netdev", "user,id=mynet0,hostfwd=tcp::8080-:80", "-device", "e1000,netdev=mynet0",
            cwd=work) as m:
        m.wait_text("Press <Enter> to begin", SECONDS)
        m.wait_text("boot:")
        m.keys("f1")
        m.type("mc", "boot: ")
        m.wait_text("The web server runs", SECONDS)
        m.wait_text("eth0 has 10.0.2.15/24")
        body = wait_until("the guest's page", lambda: fetch(8080), SECONDS)
        check(body.startswith("Hello from 6.1"), body)
        m.type("cat /proc/cmdline", "tc@box:~$ ")
        m.wait_text("BOOT_IMAGE=/boot/vmlinuz")
        m.type("poweroff -f", "tc@box:~$ ")
        check(m.process.wait(SECONDS) == 0, f"exit code {m.process.returncode}")
    return "isolinux, keys at boot:, DHCP, a page through hostfwd, poweroff"


def recipe_tap():
    """The second line of the recipe, and its bridge and TAP, in the test's namespace; dnsmasq is the network's DHCP server."""
    missing = left_out(*ISO_NEEDS, "dnsmasq")
    if missing:
        return missing
    core_iso()
    for line in ("ip link add br0 type bridge", "ip tuntap add dev tap0 mode tap", "ip link set tap0 master br0", "ip link set tap0 up",
                 "ip address add 192.168.7.1/24 dev br0", "ip link set br0 up"):
        run(*line.split())
    server = subprocess.Popen(["dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=br0", "--bind-interfaces", "--user=root",
                               "--dhcp-range=192.168.7.50,192.168.7.50,255.255.255.0,1h", f"--dhcp-leasefile={work}/leases", f"--pid-file={work}/dnsmasq.pid"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with Pc("-cdrom", "Core-current.iso", "-boot", "d", "-netdev", "tap,id=mynet0,ifname=tap0,script=no,downscript=no", "-device",
                "e1000,netdev=mynet0,mac=52:55:00:d1:55:01", cwd=work) as m:
            m.wait_text("boot:", SECONDS)
            m.keys("ret")
            m.wait_text("eth0 has 192.168.7.50/24", SECONDS)
            body = wait_until("the guest's page", lambda: fetch(80, host="192.168.7.50"), SECONDS)
            check("Hello" in body, body)
        with open(f"{work}/leases") as leases:
            check("52:55:00:d1:55:01 192.168.7.50" in leases.read(), "the lease of the guest's address")
    finally:
        server.terminate()
        server.wait()
        run("ip", "link", "delete", "tap0")
        run("ip", "link", "delete", "br0")
    return "the guest is on the bridge"


def same_picture(words, keys, ready, what, debug=False):
    """Both emulators up to `ready`, then the keys; the picture after each must be the same."""
    with Pc(*words) as ours, Rival(*words) as theirs:
        for m in (ours, theirs):
            ready(m)
        for key in ("", *keys):
            if key:
                ours.keys(key)
                theirs.keys(key)
            pictures = [None, None]

            def same():
                pictures[:] = [ours.picture(), theirs.picture()]
                return pictures[0].rows == pictures[1].rows and pictures[0].width == pictures[1].width
            try:
                wait_until("the same picture", same, 30)
            except Failure:
                a, b = pictures
                raise Failure(f"{what} after {key or 'start'}: ours is {a.width} x {a.height}, QEMU's {b.width} x {b.height}, and they differ\n"
                              f"{a.text()}\n--- QEMU\n{b.text()}") from None


def isolinux_menus():
    missing = left_out(*ISO_NEEDS)
    if missing:
        return missing
    iso, disk, done = core_iso(), media.boot_sector(work, "<first disk>", 1 << 20), []
    cd = ["-m", "96M", "-nic", "none", "-cdrom", iso, "-boot", "d"]
    with Pc(*cd, *drive(disk)) as m:
        m.wait_text("boot:", SECONDS)
        m.type("disk", "boot: ")
        m.wait_said("debug", "<first disk>")
    done.append("chain.c32")
    with Pc(*cd) as m:
        m.wait_text("boot:", SECONDS)
        m.type("floppy", "boot: ")
        m.wait_said("debug", "<floppy in memory>")
    done.append("memdisk")
    with Pc(*cd) as m:
        m.wait_text("boot:", SECONDS)
        m.type("memory", "boot: ")
        m.wait_text("Hardware Detection Tool", SECONDS)
    done.append("hdt.c32")
    if not have("qemu-system-i386"):
        def open_menu(m):
            m.wait_text("boot:", SECONDS)
            m.keys(*"graphics", "ret") if isinstance(m, Rival) else m.type("graphics", "boot: ")
            m.wait_picture(lambda p: p.width == 640 and any(any(row) for row in p.rows), "a menu in graphics")
        same_picture(cd, ("down", "down", "up", "tab", "esc"), open_menu, "vesamenu.c32")
        done.append("vesamenu.c32 as in QEMU")
    with Pc("-m", "128M", "-nic", "none", *drive(iso)) as m:
        m.wait_text("boot:", SECONDS)
        m.keys("ret")
        m.wait_text("The web server runs", SECONDS)
    done.append("the same image as a hard disk")
    return ", ".join(done)


GRUB_MENU = """
set timeout=-1
set pager=0
insmod part_msdos
serial --unit=0 --speed=115200
menuentry 'Linux' {
    echo 'Loading Linux'
    linux /boot/vmlinuz quiet net.ifnames=0 console=ttyS0 console=tty0
    initrd /boot/core.gz
}
menuentry 'Graphics' {
    insmod all_video
    loadfont unicode
    set gfxmode=800x600
    terminal_output gfxterm
}
menuentry 'The disk' {
    set root=(hd0)
    chainloader +1
}
menuentry 'The floppy' {
    linux16 /boot/memdisk
    initrd16 /boot/floppy.img
}
menuentry 'Off' {
    halt
}
"""


def grub_tree():
    """/boot of the GRUB media: the same kernel and initrd as the CD's."""
    path = os.path.join(work, "grub")
    if not os.path.exists(path):
        core_iso()
        os.makedirs(os.path.join(path, "boot", "grub"))
        for name in ("vmlinuz", "core.gz"):
            os.link(os.path.join(work, "core", "boot", name), os.path.join(path, "boot", name))
        shutil.copy("/usr/lib/syslinux/memdisk", os.path.join(path, "boot"))
        shutil.copy(media.boot_sector(work, "<floppy in memory>", 1440 << 10), os.path.join(path, "boot", "floppy.img"))
        write(os.path.join(path, "boot", "grub", "grub.cfg"), GRUB_MENU)
    return path


GRUB_NEEDS = (*ISO_NEEDS, "grub-mkrescue", "grub-mkimage", "/usr/lib/grub/i386-pc/boot.img", "mformat")


def wait_menu(m):
    m.wait_text("Graphics", SECONDS)


def chosen(m, entry):
    """Down to an entry, seeing it marked."""
    m.keys("down")
    m.wait_text(f"*{entry}")


def grub_cd():
    missing = left_out(*GRUB_NEEDS)
    if missing:
        return missing
    iso, disk, done = os.path.join(work, "grub.iso"), media.boot_sector(work, "<first disk>", 1 << 20), []
    run("grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", iso, grub_tree())
    cd = ["-m", "128M", "-nic", "none", "-cdrom", iso, "-boot", "d"]
    with Pc(*cd, *drive(disk)) as m:
        wait_menu(m)
        chosen(m, "Graphics")
        chosen(m, "The disk")
        m.keys("ret")
        m.wait_said("debug", "<first disk>")
    done.append("menu by keys, chainloader")
    with Pc(*cd) as m:
        wait_menu(m)
        for entry in ("Graphics", "The disk", "The floppy"):
            chosen(m, entry)
        m.keys("ret")
        m.wait_said("debug", "<floppy in memory>")
    with Pc(*cd) as m:
        wait_menu(m)
        for entry in ("Graphics", "The disk", "The floppy", "Off"):
            chosen(m, entry)
        m.keys("ret")
        check(m.process.wait(SECONDS) == 0, f"halt: exit code {m.process.returncode}")
    done.append("memdisk by linux16, halt through ACPI")
    with Pc(*cd) as m:
        wait_menu(m)
        m.keys("c")
        m.type("ls (cd)/boot", "grub> ")
        m.wait_text("vmlinuz")
        m.type("lsmmap", "grub> ")
        m.wait_text("length = ")
        m.keys("esc")
        wait_menu(m)
        m.keys("ret")
        m.wait_text("The web server runs", SECONDS)
    done.append("its shell, Linux")
    if not have("qemu-system-i386"):
        def graphics(m):
            wait_menu(m)
            m.keys("down")
            m.wait_text("*Graphics")
            m.keys("ret")
            m.wait_picture(lambda p: (p.width, p.height) == (800, 600) and len(set(p.rows[100])) > 1, "800 x 600")
        same_picture(cd, ("down", "down", "up"), graphics, "gfxterm")
        done.append("gfxterm as in QEMU")
    return ", ".join(done)


def grub_disk():
    """GRUB in the sectors before a partition with ext4; the same image with GRUB on a floppy that finds the disk."""
    missing = left_out(*GRUB_NEEDS, "mkfs.ext4")
    if missing:
        return missing
    import media_debian
    disk, system, done = os.path.join(work, "grub.img"), os.path.join(work, "grub.ext4"), []
    path = grub_tree()
    place = os.path.join(path, "boot", "grub", "i386-pc")
    if not os.path.exists(place):
        shutil.copytree("/usr/lib/grub/i386-pc", place)
    with open(system, "wb") as file:
        file.truncate(64 << 20)
    run("mkfs.ext4", "-q", "-L", "boot", "-d", path, system)
    with open(disk, "wb") as out, open(system, "rb") as file:
        out.truncate((64 << 20) + media_debian.PARTITION_SECTOR * 512)
        media_debian.write_partition(out, 64 << 11)
        os.environ["PATH"] += ":/usr/sbin"
        media_debian.embed_grub(out)
        out.seek(media_debian.PARTITION_SECTOR * 512)
        shutil.copyfileobj(file, out)
    with Pc("-m", "128M", "-nic", "none", *drive(disk)) as m:
        wait_menu(m)
        m.keys("ret")
        m.wait_text("The web server runs", SECONDS)
    done.append("MBR, core.img and ext4")
    core, floppy = os.path.join(work, "floppy.core"), os.path.join(work, "grub-floppy.img")
    run("grub-mkimage", "-O", "i386-pc", "-d", "/usr/lib/grub/i386-pc", "-p", "(hd0,msdos1)/boot/grub", "-o", core, "biosdisk", "part_msdos", "ext2")
    with open(floppy, "wb") as out, open(core, "rb") as file, open("/usr/lib/grub/i386-pc/boot.img", "rb") as boot:
        out.write(boot.read()[:512])
        shutil.copyfileobj(file, out)
        out.truncate(1440 << 10)
    with Pc("-m", "128M", "-nic", "none", *drive(disk), *drive(floppy, "floppy"), "-boot", "a") as m:
        wait_menu(m)
        m.keys("down", "down", "down", "ret")
        m.wait_said("debug", "<floppy in memory>")
    done.append("GRUB on a floppy")
    return ", ".join(done)


def rescue_images():
    """Debian's grub-rescue-pc, as it is."""
    if have(RESCUE + "/grub-rescue-floppy.img"):
        return "left out: the package grub-rescue-pc is not there"
    done = []
    for name, words in (("floppy.img", ["-fda"]), ("cdrom.iso", ["-cdrom"]), ("usb.img", ["-hda"])):
        image = os.path.join(work, name)
        shutil.copy(f"{RESCUE}/grub-rescue-{name}", image)
        with Pc("-m", "64M", "-nic", "none", *words, image) as m:
            m.wait_text("Change the colors", SECONDS)
            m.keys("c")
            m.type("echo $grub_platform $grub_cpu", "grub> ")
            m.wait_text("\npc i386\n")
        done.append(name)
    return ", ".join(done)


def syslinux_media():
    """SYSLINUX on a FAT floppy and on a FAT hard disk with its own MBR; EXTLINUX where a file system can be mounted."""
    missing = left_out(*ISO_NEEDS, "syslinux", "mkfs.vfat", "mcopy", "/usr/lib/syslinux/mbr/mbr.bin")
    if missing:
        return missing
    core_iso()
    done, place = [], os.path.join(work, "core", "boot", "isolinux")
    floppy, disk = os.path.join(work, "sys-floppy.img"), os.path.join(work, "sys-disk.img")
    menu = write(os.path.join(work, "syslinux.cfg"), "prompt 1\ntimeout 0\ndefault disk\nlabel disk\n kernel chain.c32\n append hd0\n")
    run("mkfs.vfat", "-C", floppy, "1440")
    run("syslinux", "--install", floppy)
    for name in (menu, *(f"{media.BIOS_MODULES}/{name}.c32" for name in ("chain", "libcom32", "libutil"))):
        run("mcopy", "-i", floppy, name, "::")
    with Pc("-m", "64M", "-nic", "none", *drive(floppy, "floppy"), *drive(media.boot_sector(work, "<first disk>", 1 << 20)), "-boot", "a") as m:
        m.wait_text("boot:", SECONDS)
        m.keys("ret")
        m.wait_said("debug", "<first disk>")
    done.append("SYSLINUX floppy")

    import media_debian
    start = media_debian.PARTITION_SECTOR * 512
    with open(disk, "wb") as out, open("/usr/lib/syslinux/mbr/mbr.bin", "rb") as file:
        out.truncate(start + (64 << 20))
        media_debian.write_partition(out, 64 << 11, 0x0c)
        out.seek(0)
        out.write(file.read()[:440])
    run("mkfs.vfat", "-F", "32", f"--offset={media_debian.PARTITION_SECTOR}", "-h", str(media_debian.PARTITION_SECTOR), disk, str(64 << 10))
    run("syslinux", "--install", "--offset", str(start), disk)
    menu = write(os.path.join(work, "syslinux.cfg"), "default core\nlabel core\n kernel vmlinuz\n initrd core.gz\n append loglevel=3 net.ifnames=0\n")
    for name in (menu, os.path.join(work, "core", "boot", "vmlinuz"), os.path.join(work, "core", "boot", "core.gz")):
        run("mcopy", "-i", f"{disk}@@{start}", name, "::")
    with Pc("-m", "128M", "-nic", "none", *drive(disk)) as m:
        m.wait_text("The web server runs", SECONDS)
    done.append("SYSLINUX on a FAT partition")

    if not have("extlinux", "losetup", "mkfs.ext4"):
        system, mount = os.path.join(work, "ext.ext4"), tree("mnt")
        with open(system, "wb") as out:
            out.truncate(64 << 20)
        run("mkfs.ext4", "-q", "-O", "^64bit,^metadata_csum", system)
        if subprocess.run(["mount", "-o", "loop", system, mount], capture_output=True).returncode:
            done.append("EXTLINUX left out: nothing can be mounted here")
        else:
            try:
                run("extlinux", "--install", mount)
                write(os.path.join(mount, "extlinux.conf"), "default core\nlabel core\n kernel vmlinuz\n initrd core.gz\n append loglevel=3 net.ifnames=0\n")
                for name in ("vmlinuz", "core.gz"):
                    shutil.copy(os.path.join(work, "core", "boot", name), mount)
            finally:
                run("umount", mount)
            with open(disk, "r+b") as out, open(system, "rb") as file:
                media_debian.write_partition(out, 64 << 11)
                out.seek(start)
                shutil.copyfileobj(file, out)
            with Pc("-m", "128M", "-nic", "none", *drive(disk)) as m:
                m.wait_text("The web server runs", SECONDS)
            done.append("EXTLINUX on ext4")
    return ", ".join(done)


def pxe_core(folder):
    """PXELINUX and the Core-like system, as a TFTP server hands them out."""
    os.makedirs(os.path.join(folder, "pxelinux.cfg"))
    for name in ("/usr/lib/PXELINUX/pxelinux.0", media.BIOS_MODULES + "/ldlinux.c32", os.path.join(work, "core", "boot", "vmlinuz"),
                 os.path.join(work, "core", "boot", "core.gz")):
        shutil.copy(name, folder)
    write(os.path.join(folder, "pxelinux.cfg", "default"), "default core\nlabel core\n kernel vmlinuz\n initrd core.gz\n append loglevel=3 net.ifnames=0\n")
    return folder


NET_NEEDS = (*ISO_NEEDS, "/usr/lib/ipxe/qemu/pxe-e1000.rom", "/usr/lib/PXELINUX/pxelinux.0")


def network_boot():
    """iPXE's ROM and PXELINUX: from the TFTP server of user networking, and from dnsmasq on the other end of a TAP."""
    missing = left_out(*NET_NEEDS)
    if missing:
        return missing
    core_iso()
    done, folder = [], pxe_core(tree("pxe"))
    with Pc("-m", "192M", "-boot", "n", "-netdev", f"user,id=mynet0,tftp={folder},bootfile=pxelinux.0", "-device", "e1000,netdev=mynet0") as m:
        m.wait_text("The web server runs", SECONDS)
    done.append("TFTP of user networking")
    shutil.copy(media.boot_sector(work, "<from the network>", 512), os.path.join(folder, "hello"))
    disk = media.boot_sector(work, "<first disk>", 1 << 20)
    for nic, hd, wanted in ((1, 2, "<from the network>"), (2, 1, "<first disk>")):
        with Pc("-m", "64M", "-netdev", f"user,id=u,tftp={folder},bootfile=hello", "-device", f"e1000,netdev=u,bootindex={nic}", "-drive",
                f"file={disk},format=raw,if=none,id=d,snapshot=on", "-device", f"ide-hd,drive=d,bootindex={hd}") as m:
            said = m.wait_said("debug", ">")
            check(said.strip() == wanted, f"NIC with bootindex={nic}, disk with {hd}: {said}")
    done.append("bootindex= of a NIC and a disk")
    if not have("dnsmasq"):
        for line in ("ip tuntap add dev tap0 mode tap", "ip link set tap0 up", "ip address add 192.168.7.1/24 dev tap0"):
            run(*line.split())
        server = subprocess.Popen(["dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=tap0", "--bind-interfaces", "--user=root",
                                   "--dhcp-range=192.168.7.50,192.168.7.50,255.255.255.0,1h", f"--dhcp-leasefile={work}/pxe-leases", "--enable-tftp",
                                   f"--tftp-root={folder}", "--dhcp-boot=pxelinux.0", f"--pid-file={work}/dnsmasq.pid"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with Pc("-m", "192M", "-boot", "n", "-netdev", "tap,id=mynet0,ifname=tap0,script=no,downscript=no", "-device", "e1000,netdev=mynet0") as m:
                m.wait_text("eth0 has 192.168.7.50/24", SECONDS)
        finally:
            server.terminate()
            server.wait()
            run("ip", "link", "delete", "tap0")
        done.append("dnsmasq over a TAP")
    return ", ".join(done)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def ipxe_media():
    """iPXE's own CD: its shell, and a boot by HTTP from this host through user networking."""
    missing = left_out(*NET_NEEDS, "/usr/lib/ipxe/ipxe.iso")
    if missing:
        return missing
    core_iso()
    folder = pxe_core(tree("http"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    write(os.path.join(folder, "boot.ipxe"), "#!ipxe\nkernel vmlinuz loglevel=3 net.ifnames=0 initrd=core.gz\ninitrd core.gz\nboot\n")
    try:
        with Pc("-m", "192M", "-cdrom", "/usr/lib/ipxe/ipxe.iso", "-boot", "d", "-netdev", f"user,id=mynet0,bootfile=http://10.0.2.2:{port}/boot.ipxe",
                "-device", "e1000,netdev=mynet0") as m:
            m.wait_text("The web server runs", SECONDS)
    finally:
        server.shutdown()
    return "its CD boots a kernel by HTTP"


def firmware():
    """Other firmware with -bios, and memory testers."""
    missing = left_out("/boot/memtest86+ia32.bin", "/usr/share/qemu/grub.bin")
    if missing:
        return missing
    done = []
    for name, words in (("SeaBIOS of 128 KiB", ["-bios", "/usr/share/seabios/bios.bin"]), ("SeaBIOS", [])):
        with Pc("-m", "64M", "-nic", "none", *words, "-hda", media.boot_sector(work, "<first disk>", 1 << 20)) as m:
            m.wait_said("debug", "<first disk>")
        done.append(name)
    with Pc("-m", "64M", "-nic", "none", "-bios", "/usr/share/qemu/grub.bin") as m:
        m.wait_picture(lambda p: (p.width, p.height) == (640, 400) and len(set(p.rows)) > 50, "GRUB's menu without a video BIOS")
    done.append("GRUB as firmware")
    for name, words in (("CD", ["-cdrom", "/usr/lib/memtest86+/memtest86+ia32.iso"]), ("kernel", ["-vga", "std", "-kernel", "/boot/memtest86+ia32.bin"])):
        with Pc("-m", "32M", "-nic", "none", *words) as m:
            if name == "CD":
                m.wait_text("Memtest86+", SECONDS)
                m.keys("ret")
            text = m.wait_text("Status: Testing", SECONDS)
            check("Errors: 0" in text, text)
        done.append(f"memtest86+ ({name})")
    return ", ".join(done)


def nothing_to_boot():
    """As QEMU: the network is tried when there is no medium, and that is the end of it unless -boot reboot-timeout= says otherwise."""
    if have("/usr/lib/ipxe/qemu/pxe-e1000.rom"):
        return "left out: the package ipxe-qemu is not there"
    with Pc("-m", "64M", "-nic", "none", "-boot", "d") as m:
        text = m.wait_text("No bootable device.", SECONDS)
        check("Retrying" not in text, text)
    with Pc("-m", "64M", "-nic", "none", "-boot", "d,reboot-timeout=30000") as m:
        m.wait_text("No bootable device.  Retrying in 30 seconds.", SECONDS)
    folder = tree("by-itself")
    with open(os.path.join(folder, "first.0"), "wb") as file, open(media.boot_sector(work, "<from the network>", 1024), "rb") as sector:
        file.write(sector.read())
    with Pc("-m", "64M", "-netdev", f"user,id=n,tftp={folder},bootfile=first.0", "-device", "e1000,netdev=n") as m:
        m.wait_said("debug", "<from the network>")
    return "the firmware's last word, and a network that nobody named"


def boot_menu():
    """SeaBIOS's own menu, by its key and by splash-time: another medium than the first is chosen, as in QEMU."""
    if have("/usr/share/seabios/bios-256k.bin"):
        return "left out: the package seabios is not there"
    disk, floppy = media.boot_sector(work, "<from the disk>", 1 << 20), media.boot_sector(work, "<from the floppy>", 1440 << 10)
    words = ("-m", "64M", "-nic", "none", "-hda", disk, "-fda", floppy, "-boot", "order=c,menu=on,splash-time=60000")
    for program in (Pc, media.Rival) if shutil.which("qemu-system-i386") else (Pc,):
        with program(*words) as m:
            m.wait_text("Press ESC for boot menu.", SECONDS)
            m.keys("esc")
            m.wait_text("Select boot device:", SECONDS)
            text = m.wait_text("Floppy", SECONDS)  # lines come one by one
            number = next(line.split(".")[0].strip() for line in text.splitlines() if "Floppy" in line)
            m.keys(number)
            m.wait_said("debug", "<from the floppy>")
            check("<from the disk>" not in m.said("debug"), "the disk was tried first")
    with Pc(*words[:-1], "order=c,menu=on,splash-time=100") as m:
        m.wait_said("debug", "<from the disk>")  # nobody presses a key
    return "by key, and past it"


def clean():
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    try:
        main(recipe_user, recipe_tap, isolinux_menus, grub_cd, grub_disk, rescue_images, syslinux_media, network_boot, ipxe_media, firmware, nothing_to_boot, boot_menu)
    finally:
        clean()
