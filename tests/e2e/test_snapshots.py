# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""Snapshots in images: savevm, loadvm, delvm, -loadvm and QMP's jobs. A guest that counts instructions says the same after it was set back; a
Linux guest finds its memory and its disk as they were; several disks go together; what cannot be is refused, and the machine goes on; a process
killed while it saves leaves an image without damage. qemu-img judges each image.
"""
import json
import os
import random
import resource
import shutil
import subprocess
import time

import disk_guest
import media
import test_icount
import test_saved
from harness import check, main
from media import SECONDS
from test_saved import ENGINES, EXIT, SPIN, STEADY, Machine, linux_words, sector, wait_until, work

COLUMNS = "ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT"


def qemu_img(*words, status=(0,)):
    done = subprocess.run(["qemu-img", *words], capture_output=True, text=True)
    check(done.returncode in status, f"qemu-img {words}: {done.returncode} {done.stdout} {done.stderr}")
    return done.stdout


def image(name, size="16M", source=None, options=""):
    path = os.path.join(work, name)
    if source:
        qemu_img("convert", "-O", "qcow2", *(("-o", options) if options else ()), source, path)
    else:
        qemu_img("create", "-q", "-f", "qcow2", *(("-o", options) if options else ()), path, size)
    return path


def hmp(machine, line):
    answer = machine.say("human-monitor-command", **{"command-line": line})
    check(answer is not None, f"{line}: the machine ended: {machine.errors()}")
    check("return" in answer, f"{line}: {answer}")
    return answer["return"]


def quiet(machine, line):
    said = hmp(machine, line)
    check(said == "", f"{line}: {said}")


def fails(machine, line, *words):
    said = hmp(machine, line)
    check(said.startswith("Error: ") and all(word in said for word in words), f"{line}: {said}")


def end(machine):
    """Not by a signal, which leaves clusters that were counted ahead."""
    machine.say("quit")
    check(machine.process.wait(SECONDS) == 0, f"{machine.process.returncode} {machine.errors()}")


def counter(machine):
    return int(hmp(machine, "xp /1wx 0x500").split()[-1], 16)


def exact():
    """-icount: the same characters from the snapshot on, in this process and in others, in either engine."""
    source = test_icount.GUEST.replace("SLEEP", "20000").replace("movw $7000, %ax", "movw $60000, %ax")
    raw = sector("exact", source)
    words = ("-m", "32M", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", *STEADY, "-icount", "shift=0,sleep=off")
    disk = image("exact.qcow2", source=raw)
    with Machine(*words, "-hda", disk, "-accel", "jit", wait=False) as machine:
        check(machine.process.wait(SECONDS) == EXIT, machine.errors())
        whole = machine.text("debug")
    disk = image("exact.qcow2", source=raw)
    marks = []
    with Machine(*words, "-hda", disk, "-accel", "interp", "-S") as machine:
        while len(marks) < 4:  # on its way: it runs for as long as two words of the monitor take
            machine.say("cont")
            machine.say("stop")
            quiet(machine, f"savevm at{len(marks)}")
            if (at := len(machine.text("debug"))) not in marks:
                marks.append(at)
        check(marks[-1] < len(whole), f"{marks} of {len(whole)}: the guest was too fast")
        text = machine.text("debug")
        check(whole.startswith(text), f"after savevm: {text[-100:]}")
        quiet(machine, "loadvm at1")
        machine.say("cont")
        check(machine.process.wait(SECONDS) == EXIT, machine.errors())
        after = machine.text("debug")[len(text):]
        check(after == whole[marks[1]:], f"loadvm at {marks[1]} of {len(whole)}: {after[:100]!r}, and not {whole[marks[1]:][:100]!r}")
    for turn, engine in enumerate(("interp", "jit", "interp", "jit")):
        with Machine(*words, "-hda", disk, "-accel", engine, "-loadvm", f"at{turn}", wait=False) as machine:
            check(machine.process.wait(SECONDS) == EXIT, machine.errors())
            after = machine.text("debug")
            check(after == whole[marks[turn]:], f"-loadvm at{turn}: {after[:100]!r}, and not {whole[marks[turn]:][:100]!r}")
    qemu_img("check", disk)
    check("at1" in qemu_img("snapshot", "-l", disk), "qemu-img snapshot -l")
    return f"snapshots at {marks} of {len(whole)} characters"


DISK = """
n=0
while :; do
  n=$((n+1))
  echo "$n" > /a; busybox dd if=/a of=/dev/sda bs=512 count=1 conv=fsync,notrunc 2>/dev/null
  busybox head -c 100000 /dev/urandom > /big; busybox dd if=/big of=/dev/sda bs=64k seek=$((n%16+1)) conv=fsync,notrunc 2>/dev/null
  echo 3 > /proc/sys/vm/drop_caches
  read on_disk < /dev/sda
  echo "COUNT $n $on_disk"
done
"""


def linux():
    """Memory (the shell's counter) and disk (its first sector) go back together; the image stays good through all of it."""
    words = linux_words()
    if not words:
        return "left out: needs the image mini"
    images = os.environ.get("NETLAB_IMAGE_DIR", "")
    with open(os.path.join(images, "mini", "image.json"), encoding="utf-8") as file:
        package = disk_guest.find_package(json.load(file)["kernel_release"])
    if not package:
        return "left out: needs the kernel package of the image mini (NETLAB_KERNEL_PACKAGE)"
    kernel, base = (os.path.join(images, "mini", name) for name in ("vmlinuz", "initrd.cpio"))
    initrd, disk = os.path.join(work, "disk-initrd"), image("linux.qcow2")
    disk_guest.write_initrd(initrd, base, DISK, disk_guest.drivers(package, ("ata_piix", "sd_mod", "e1000")))
    words = ("-m", "96M", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet cryptomgr.notests noisapnp", "-nic", "user",
             "-drive", f"file={disk},format=qcow2,discard=unmap")

    def rows(machine, start=0):
        return [(int(n), int(m)) for n, m in test_saved.counted(machine.text("serial")[start:])]

    def more(machine, start, least):
        return wait_until(lambda: f"{least} rows: {machine.text('serial')[-300:]} {machine.errors()}",
                          lambda: machine.process.poll() is None and len(found := rows(machine, start)) >= least and found, SECONDS)

    with Machine(*words) as machine:
        more(machine, 0, 3)
        machine.say("stop")
        quiet(machine, "savevm one")
        one = rows(machine)[-1][0]
        start = len(machine.text("serial"))
        machine.say("cont")
        more(machine, start, 3)
        quiet(machine, "savevm two")  # while it runs
        check(machine.status() == "running", machine.status())
        said = hmp(machine, "info snapshots").replace("\r", "").split("\n")
        check(said[0] == "List of snapshots present on all disks:" and said[1] == COLUMNS and [row.split()[:2] for row in said[2:4]] == [["--", "one"], ["--", "two"]], f"{said}")
        for turn in range(3):
            machine.say("stop")
            before = len(machine.text("serial"))
            quiet(machine, "loadvm one")
            check(machine.status() == "paused", machine.status())
            machine.say("cont")
            found = more(machine, before, 3)
            check(found[0][0] in (one, one + 1) and found == [(found[0][0] + i, found[0][0] + i) for i in range(len(found))], f"after loadvm {turn}: {found}, saved at {one}")
        before = len(machine.text("serial"))
        quiet(machine, "loadvm two")
        check(machine.status() == "running", machine.status())
        two = more(machine, before, 2)
        check(two[-1][0] > one + 2 and all(n == m for n, m in two[1:]), f"{two}")
        quiet(machine, "savevm one")  # in place of the old one
        names = [row.split()[1] for row in hmp(machine, "info snapshots").split("\n")[2:] if row.strip()]
        check(sorted(names) == ["one", "two"], f"{names}")
        told = machine.say("query-block")["return"][0]["inserted"]["image"]["snapshots"]
        check([row["name"] for row in told] == ["two", "one"] and all(row["vm-state-size"] > 1 << 20 for row in told), f"{told}")
        end(machine)
    qemu_img("check", disk)
    for engine in ENGINES:
        with Machine(*words, "-accel", engine, "-loadvm", "two") as machine:
            found = more(machine, 0, 3)
            check(all(n == m for n, m in found[1:]) and found[0][0] <= two[0][0] + 1, f"{engine}: {found}, {two}")
            end(machine)
        qemu_img("check", disk)
    with Machine(*words, "-loadvm", "one", "-S") as machine:
        check(machine.status() in ("paused", "prelaunch"), machine.status())
        quiet(machine, "delvm two")
        fails(machine, "delvm two", "two")
        fails(machine, "loadvm two", "does not have the requested snapshot 'two'")
        quiet(machine, "delvm one")
        check(hmp(machine, "info snapshots").startswith("There is no snapshot available."), "after delvm")
        machine.say("cont")
        more(machine, 0, 2)
        end(machine)
    check(qemu_img("check", disk).startswith("No errors"), "leaks after a clean end")
    check(os.stat(disk).st_blocks * 512 < 30 << 20, f"{os.stat(disk).st_blocks} blocks are left after delvm")
    return f"counted to {two[-1][0]}, snapshot at {one}"


def check_image(path):
    """A killed process may leave leaks; damage never."""
    return qemu_img("check", path, status=(0, 3))


def disks():
    """Two qcow2 disks, a CD and an image with snapshot=on go together; a raw disk that is written does not."""
    boot = image("boot.qcow2", source=sector("spin-snap", SPIN), options="compat=0.10,cluster_size=4k")
    second, raw = image("second.qcow2"), sector("raw-snap", SPIN)
    words = ("-m", "16M", *STEADY, "-hda", boot, "-hdb", second)
    with Machine(*words, "-drive", f"file={raw},format=raw,snapshot=on,index=3", "-cdrom", raw) as machine:
        wait_until("it counts", lambda: counter(machine) > 1000, SECONDS)
        quiet(machine, "savevm")
        quiet(machine, "savevm named")
        rows = [row.split()[1] for row in hmp(machine, "info snapshots").split("\n")[2:] if row.strip()]
        check(len(rows) == 2 and rows[0].startswith("vm-2") and rows[1] == "named", f"{rows}")
        saved = counter(machine)
        wait_until("it goes on", lambda: counter(machine) > saved, SECONDS)
        machine.say("stop")
        late = counter(machine)
        quiet(machine, "loadvm named")
        early = counter(machine)
        check(early < late, f"{early} {late}")
        quiet(machine, "delvm " + rows[0])
        quiet(machine, "snapshot_blkdev_internal ide0-hd1 alone")
        said = hmp(machine, "info snapshots")
        check("partial (non-loadable) snapshots on 'ide0-hd1'" in said and "alone" in said, said)
        fails(machine, "loadvm alone", "ide0-hd0", "does not have the requested snapshot 'alone'")
        check(counter(machine) == early and machine.status() == "paused", "unchanged")
        machine.say("cont")
        wait_until("it goes on", lambda: counter(machine) != early, SECONDS)
        gone = machine.say("blockdev-snapshot-delete-internal-sync", device="ide0-hd1", name="alone")
        check(gone["return"]["name"] == "alone" and gone["return"]["vm-state-size"] == 0, f"{gone}")
    check("named" in qemu_img("snapshot", "-l", boot) and "named" in qemu_img("snapshot", "-l", second), "in both")
    check_image(boot), check_image(second)
    with Machine(*words, "-drive", f"file={raw},format=raw,index=2") as machine:
        wait_until("it counts", lambda: counter(machine) > 1000, SECONDS)
        for line in ("savevm x", "loadvm named"):
            fails(machine, line, "ide1-hd0", "writable but does not support snapshots", "convert", "snapshot=on")
        check(machine.status() == "running", machine.status())
    with Machine("-m", "16M", "-drive", f"file={raw},format=raw,readonly=on", "-S") as machine:
        fails(machine, "savevm x", "No block device supports snapshots")
    with Machine("-m", "16M", "-hda", boot, "-S") as machine:  # the second one is not there: the machine is another one
        fails(machine, "loadvm named", "another one", "IDE channel 0, unit 1")
        quiet(machine, "savevm 7")
        fails(machine, "loadvm 99", "99")
        quiet(machine, "loadvm 7")
    return "two images, v2 and v3"


def refused():
    """Another machine's, QEMU's, a full disk, an image that was let go of: the machine goes on as it was."""
    boot = image("refused.qcow2", source=sector("spin-refused", SPIN))
    words = ("-m", "16M", *STEADY, "-hda", boot)
    with Machine(*words) as machine:
        wait_until("it counts", lambda: counter(machine) > 1000, SECONDS)
        quiet(machine, "savevm mine")
    for other, why in ((("-m", "32M"), "memory of"), (("-device", "ib700"), "ib700")):
        with Machine(*words, *other, "-loadvm", "mine", wait=False) as machine:
            check(machine.process.wait(SECONDS) == 1 and "another one" in machine.errors() and why in machine.errors(), f"{other}: {machine.errors()}")
        with Machine(*words, *other) as machine:
            wait_until("it counts", lambda: counter(machine) > 1000, SECONDS)
            before = counter(machine)
            fails(machine, "loadvm mine", "another one", why)
            check(machine.status() == "running", machine.status())
            wait_until("it goes on", lambda: counter(machine) > before, SECONDS)
    for words_of_it in (("-loadvm", "none"), ("-loadvm", "mine", "-incoming", "defer")):
        with Machine(*words, *words_of_it, wait=False) as machine:
            check(machine.process.wait(SECONDS) == 1 and "-loadvm" in machine.errors(), f"{words_of_it}: {machine.process.returncode} {machine.errors()}")
    full(words, boot)
    with Machine(*words) as machine:
        check(machine.save(f"file:{work}/moved")["status"] == "completed", "migrate")
        fails(machine, "savevm x", "postmigrate")
        fails(machine, "loadvm mine", "postmigrate")
        machine.say("cont")
        quiet(machine, "loadvm mine")
    said = foreign(words, boot)
    check_image(boot)
    return said


def full(words, boot):
    with open(boot, "rb") as file:
        kept = file.read()

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) + (1 << 16), resource.RLIM_INFINITY))
    with Machine(*words, preexec_fn=limit) as machine:
        wait_until("it counts", lambda: counter(machine) > 1000, SECONDS)
        machine.say("pmemsave", val=0, size=1, filename="/dev/null")
        fill = machine.say("human-monitor-command", **{"command-line": "savevm mine"})["return"]
        check("Error" in fill and "make room" in fill, fill)
        check(machine.status() == "running", machine.status())
        before = counter(machine)
        wait_until("it goes on", lambda: counter(machine) > before, SECONDS)
        machine.say("quit")
        machine.process.wait(SECONDS)
    check(qemu_img("check", boot).startswith("No errors"), "after a full disk")
    with Machine(*words, "-loadvm", "mine", "-S") as machine:
        check(counter(machine) > 1000, "the old one")


def foreign(words, boot):
    """A state of QEMU's own."""
    program = shutil.which("qemu-system-i386")
    theirs = image("theirs.qcow2", source=os.path.join(work, "spin-refused"))
    if not program:
        return "left out: QEMU's own state needs qemu-system-i386"
    monitor = subprocess.run([program, "-accel", "tcg", "-m", "16M", "-display", "none", "-nic", "none", "-hda", theirs, "-monitor", "stdio", "-S"],
                             input="savevm theirs\nquit\n", capture_output=True, text=True, timeout=SECONDS)
    check("theirs" in qemu_img("snapshot", "-l", theirs), f"{monitor.stdout} {monitor.stderr}")
    with Machine("-m", "16M", *STEADY, "-hda", theirs) as machine:
        wait_until("it counts", lambda: counter(machine) > 1000, SECONDS)
        fails(machine, "loadvm theirs", "QEMU")
        check(machine.status() == "running", machine.status())
        quiet(machine, "savevm ours")
        quiet(machine, "delvm theirs")
        quiet(machine, "loadvm ours")
    check_image(theirs)
    # and ours, by QEMU: it takes the disk, and refuses the state
    done = subprocess.run([program, "-accel", "tcg", "-m", "16M", "-display", "none", "-nic", "none", "-hda", theirs, "-monitor", "stdio", "-S"],
                          input="info snapshots\ndelvm ours\nquit\n", capture_output=True, text=True, timeout=SECONDS)
    check("ours" in done.stdout and "ours" not in qemu_img("snapshot", "-l", theirs), done.stdout)
    check(qemu_img("check", theirs).startswith("No errors"), "after QEMU deleted ours")
    return "QEMU's state refused, ours deleted by QEMU"


def jobs():
    """QMP: snapshot-save, -load and -delete, their events, and what is refused."""
    boot = image("jobs.qcow2", source=sector("spin-jobs", SPIN))
    with Machine("-m", "16M", *STEADY, "-drive", f"file={boot},id=d0") as machine:
        events = []

        def say(command, **arguments):
            machine.stream.write(json.dumps({"execute": command, "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}}) + "\n")
            machine.stream.flush()
            while True:
                said = json.loads(machine.stream.readline())
                if "event" not in said:
                    return said
                events.append(said)

        def concluded(command, **arguments):
            events.clear()
            check(say(command, **arguments) == {"return": {}}, command)

            def over():
                found = [job for job in say("query-jobs")["return"] if job["id"] == arguments["job_id"]]
                return found and found[0]["status"] == "concluded" and found[0]
            job = wait_until(f"the end of {command}", over, SECONDS)
            check(job["type"] == command and (job["current-progress"], job["total-progress"]) == (1, 1), f"{job}")
            return job, [event["data"]["status"] if event["event"] == "JOB_STATUS_CHANGE" else event["event"] for event in events]
        wait_until("it counts", lambda: counter(machine) > 1000, SECONDS)
        names = [node["node-name"] for node in say("query-named-block-nodes")["return"]]
        check("d0" in names, f"{names}")
        job, seen = concluded("snapshot-save", job_id="s1", tag="t", vmstate="d0", devices=["d0"])
        check("error" not in job and seen == ["created", "running", "STOP", "RESUME", "waiting", "pending", "concluded"], f"{job} {seen}")
        check("error" in say("snapshot-save", job_id="s1", tag="u", vmstate="d0", devices=["d0"]), "the id is taken")
        check("error" in say("snapshot-save", job_id="1 2", tag="u", vmstate="d0", devices=["d0"]), "a bad id")
        check("error" in say("snapshot-save", job_id="s3", tag="u", vmstate="d0", devices=[]), "no devices")
        job, seen = concluded("snapshot-save", job_id="s2", tag="t", vmstate="d0", devices=["d0"])
        check("already exists" in job["error"] and seen == ["created", "running", "aborting", "concluded"], f"{job} {seen}")
        job, seen = concluded("snapshot-load", job_id="s4", tag="none", vmstate="d0", devices=["d0"])
        check("does not have the requested snapshot" in job["error"], f"{job}")
        job, seen = concluded("snapshot-load", job_id="s5", tag="t", vmstate="d0", devices=["nobody"])
        check("No block device node 'nobody'" in job["error"], f"{job}")
        job, seen = concluded("snapshot-load", job_id="s6", tag="t", vmstate="d0", devices=["d0"])
        check("error" not in job and seen[2:4] == ["STOP", "RESUME"], f"{job} {seen}")
        job, seen = concluded("snapshot-delete", job_id="s7", tag="t", devices=["d0"])
        check("error" not in job, f"{job}")
        for verb in ("job-cancel", "job-pause", "job-resume", "job-complete", "job-finalize"):
            check("cannot accept command verb" in say(verb, id="s7")["error"]["desc"], verb)
        check("Job not found" in say("job-dismiss", id="zz")["error"]["desc"], "job-dismiss")
        for name in ("s1", "s2", "s4", "s5", "s6", "s7"):
            events.clear()
            check(say("job-dismiss", id=name) == {"return": {}}, name)
            check([event["data"] for event in events] == [{"id": name, "status": "null"}], f"{events}")
        check(say("query-jobs") == {"return": []}, "query-jobs")
        check(say("blockdev-snapshot-internal-sync", device="d0", name="disk") == {"return": {}}, "internal-sync")
        check("already exists" in say("blockdev-snapshot-internal-sync", device="d0", name="disk")["error"]["desc"], "twice")
        check("error" in say("blockdev-snapshot-delete-internal-sync", device="d0", name="disk", id="99"), "another id")
        check(say("blockdev-snapshot-delete-internal-sync", device="d0", id="1")["return"]["name"] == "disk", "by id")
    check_image(boot)
    return "6 jobs"


def killed():
    """kill -9 at any time of savevm, loadvm and delvm: no damage, and the snapshot that was there can be loaded."""
    boot, turns = image("killed.qcow2", source=sector("spin-killed", SPIN)), 12
    words, leaks, chance = ("-m", "16M", *STEADY, "-hda", boot), 0, random.Random(5)
    with Machine(*words) as machine:
        wait_until("it counts", lambda: counter(machine) > 1000, SECONDS)
        start = time.monotonic()
        quiet(machine, "savevm kept")
        took = time.monotonic() - start
    for turn in range(turns):
        with Machine(*words, "-loadvm", "kept") as machine:
            if turn % 3 == 2:
                quiet(machine, "savevm other")
            line = ("savevm other", "loadvm kept", "delvm other")[turn % 3]
            machine.stream.write(json.dumps({"execute": "human-monitor-command", "arguments": {"command-line": line}}) + "\n")
            machine.stream.flush()
            deadline = time.monotonic() + chance.random() * took * 1.2
            while time.monotonic() < deadline:
                pass
            machine.process.kill()
        leaks += "leaked" in qemu_img("check", boot, status=(0, 3))
    with Machine(*words, "-loadvm", "kept", "-S") as machine:
        check(counter(machine) > 1000, "its memory")
    qemu_img("check", "-r", "leaks", boot)
    return f"{turns} kills within {took:.2f} s, {leaks} left clusters that nobody uses"


if __name__ == "__main__":
    try:
        if not shutil.which("qemu-img"):
            print("left out: needs qemu-img (Debian: qemu-utils)")
            raise SystemExit(77)
        main(exact, linux, disks, refused, jobs, killed)
    finally:
        for folder in (work, test_icount.work):
            shutil.rmtree(folder, ignore_errors=True)
