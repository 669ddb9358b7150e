#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: The netlab authors
"""The table's own arithmetic and files: archives, the place of guest memory, verdicts, sessions that go wrong."""
import importlib.machinery
import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import bench_disk as disk  # noqa: E402
import bench_guests as guests  # noqa: E402
import bench_host as host  # noqa: E402
import bench_net as net  # noqa: E402
import bench_report as report  # noqa: E402
from bench_session import Failed, Session, Way  # noqa: E402
import bench_suites as suites  # noqa: E402
from bench_suites import Row  # noqa: E402


class Archives(unittest.TestCase):
    def make(self):
        tree = guests.base_tree(b"\x7fELF program")
        tree.file("usr/lib/libx.so.1.2", b"odd")
        tree.link("usr/lib/libx.so.1", "libx.so.1.2")
        tree.link("lib", "usr/lib")
        return tree

    def test_cpio_reads_what_we_write(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "a.cpio"
            path.write_bytes(self.make().archive())
            again = guests.read_archive(path)
            self.assertEqual(again.files["usr/lib/libx.so.1.2"][1], b"odd")
            self.assertNotIn("dev/null", again.files)
            if not shutil.which("cpio"):
                self.skipTest("cpio is not installed: our archive is read by ourselves only")
            listed = subprocess.run(["cpio", "-t", "--quiet"], input=path.read_bytes(), stdout=subprocess.PIPE, check=True).stdout
            self.assertEqual(sorted(listed.decode().split()), sorted(self.make().files))

    def test_take_follows_links_of_files_and_folders(self):
        taken = guests.Tree()
        self.assertEqual(taken.take(self.make(), "lib/libx.so.1"), "usr/lib/libx.so.1.2")
        self.assertEqual(set(taken.files), {"lib", "usr", "usr/lib", "usr/lib/libx.so.1", "usr/lib/libx.so.1.2"})
        with self.assertRaises(Failed):
            taken.take(self.make(), "usr/lib/liby.so")

    def test_unpacked_as_written(self):
        with tempfile.TemporaryDirectory() as folder:
            self.make().unpack(pathlib.Path(folder) / "tree")
            self.assertEqual((pathlib.Path(folder) / "tree/lib/libx.so.1").read_bytes(), b"odd")


class Memory(unittest.TestCase):
    def test_ram_in_one_and_in_several_mappings(self):
        mib = 1 << 20
        self.assertEqual(host.guest_ram([(0, mib), (8 * mib, 136 * mib), (136 * mib, 140 * mib)]), (1, 2))
        self.assertEqual(host.guest_ram([(0, mib), (8 * mib, 100 * mib), (100 * mib, 136 * mib), (137 * mib, 138 * mib)]), (1, 3))
        self.assertIsNone(host.guest_ram([(0, mib), (8 * mib, 100 * mib)]))


class Report(unittest.TestCase):
    @staticmethod
    def ways(**seconds):
        return {way: {"seconds": s, "answers": set(), "lies": []} for way, s in seconds.items()}

    def test_medians_and_the_faster_reference(self):
        row = report.judge_row(Row("x", "x", least=4), self.ways(native=[1], qemu=[9, 8, 30], n270=[12], ours=[3, 2, 1]), False)
        self.assertEqual((row["reference"], row["gain"], row["over_native"], row["pass"]), ("qemu", 4.5, 2, True))

    def test_verdicts(self):
        self.assertIs(report.verdict(4, 3.9, None, None), False)
        self.assertIs(report.verdict(4, 4.1, 1.5, 1.6), False)
        self.assertIs(report.verdict(4, 4.1, 1.5, 1.4), True)
        self.assertIs(report.verdict(4, None, None, None, 1, 0.5), None)
        self.assertIs(report.verdict(4, None, None, None, 1, 1.5), False)
        self.assertIs(report.verdict(None, 4, None, 2), None)

    def test_different_answers_are_an_error(self):
        ways = self.ways(qemu=[1], ours=[1])
        ways["qemu"]["answers"], ways["ours"]["answers"] = {"1"}, {"2"}
        self.assertTrue(report.judge_row(Row("x", "x"), ways, True)["errors"])

    def test_geometric(self):
        self.assertAlmostEqual(report.geometric([1, 4]), 2)
        self.assertIsNone(report.geometric([]))


class Sessions(unittest.TestCase):
    def test_time_and_words_between_markers(self):
        with Session(["sh", "-c", "echo noise; echo R; read line; echo S; echo \"E 12 $line\"; cat"], 10) as session:
            seconds, words = session.run("name 3", 10)
        self.assertEqual(words, ["12", "name", "3"])
        self.assertTrue(0 <= seconds < 10)

    def test_markers_that_came_at_once_are_no_time(self):
        # With one write for both there is never a time between them; with two, and the second try, there is.
        at_once = "while read line; do printf 'S\\nE 1\\n'; done"
        second = "read line; printf 'S\\nE 1\\n'; while read line; do echo S; $(which true); echo E 2; done"
        with Session(["sh", "-c", f"echo R; {at_once}"], 10) as session:
            with self.assertRaisesRegex(Failed, "at once"):
                suites.timed(session, Way("native"), "x 1")
        with Session(["sh", "-c", f"echo R; {second}"], 10) as session:
            self.assertEqual(suites.timed(session, Way("native"), "x 1")[1], ["2"])

    def test_end_complaint_and_silence_are_failures(self):
        for program, why in (("echo oops", "ended"), ("echo '? no'; cat", "says: no"), ("exec cat", "within")):
            with self.assertRaisesRegex(Failed, why):
                Session(["sh", "-c", program], 0.5)


class Net(unittest.TestCase):
    ROWS = {row.id: row for row in net.ROWS}

    @staticmethod
    def ways(**figures):
        return {way: {"figures": f} for way, f in figures.items()}

    def test_every_row_has_a_scene_and_an_end(self):
        ends = {"host": {"guest", "host"}, "pair": {"a", "b"}, "router": {"near", "far"}}
        for row in net.ROWS:
            self.assertIn(row.end, ends[row.scene])
        self.assertEqual(len(self.ROWS), len(net.ROWS))
        self.assertEqual(set(ends), set(net.SCENES))

    def test_figures_of_measurements(self):
        self.assertEqual(net.result(self.ROWS["out.tcp"], 2, 500_000_000, 0), 2e9)
        self.assertEqual(net.result(self.ROWS["out.udp"], 0.5, 1000, 0), 2000)
        self.assertEqual(net.result(self.ROWS["echo"], 2, 100, 1), 0.02)
        for took, first, lost in ((1, 0, 0), (0, 5, 0), (1, 90, 10)):
            with self.assertRaises(Failed):
                net.result(self.ROWS["echo"], took, first, lost)

    def test_the_longer_time_counts(self):
        self.assertEqual(net.longer(0.5, ["1", "0", "2000000000"]), 2)
        self.assertEqual(net.longer(2.5, ["1", "0", "2000000000"]), 2.5)

    def test_ratios_are_of_pairs(self):
        # A slow moment in the middle meets both.
        judged = net.judge(self.ROWS["out.tcp"], self.ways(qemu=[400e6, 40e6, 400e6], ours=[2.4e9, 0.2e9, 2.8e9], capture=[2.4e9, 0.1e9, 2.8e9]))
        self.assertEqual((judged["ratio"], judged["median"]["ours"], judged["pass"], judged["kept"]), (6, 2.4e9, True, 1))
        judged = net.judge(self.ROWS["echo"], self.ways(qemu=[200e-6], ours=[50e-6]))
        self.assertEqual((judged["ratio"], judged["pass"]), (4, False))

    def test_verdicts(self):
        for figures, verdict in (({"ours": [2.1e9]}, None), ({"qemu": [0.5e9], "ours": [2.1e9]}, False),
                                 ({"qemu": [0.4e9], "ours": [2.1e9]}, True), ({"qemu": [0.1e9], "ours": [0.9e9]}, False)):
            self.assertIs(net.judge(self.ROWS["pair.tcp"], self.ways(**figures))["pass"], verdict)
        failed = net.judge(self.ROWS["out.tcp"], {"ours": {"figures": [3e9], "error": "gone"}})
        self.assertEqual((failed["pass"], failed["errors"]), (None, ["netlab-emu: gone"]))

    def test_words(self):
        self.assertEqual([net.figure(v, u) for v, u in ((2.5e9, "bit/s"), (36.9e3, "pps"), (12, "pps"), (1.1e-4, "s"), (None, "s"))],
                         ["2.5 Gbit/s", "36.9 kpps", "12 pps", "110 µs", "-"])
        rows = [net.judge(self.ROWS["pair.ping"], self.ways(qemu=[2e-3], ours=[1e-3])),
                net.judge(self.ROWS["user.out"], self.ways(qemu=[1e8], ours=[4e8]))]
        lines = net.table(rows, False).splitlines()
        self.assertRegex(lines[1], r"^ping, guest ↔ guest +2 ms +1 ms +2× +≤150 µs +≤80 µs +MISS$")
        self.assertRegex(lines[2], r"100 Mbit/s +400 Mbit/s +4× +3× +5× +pass$")
        self.assertIn("| ping, guest ↔ guest | 2 ms | 1 ms | 2× | ≤150 µs | ≤80 µs | MISS |", net.table(rows, True))
        self.assertEqual(net.summary(rows), "1 targets reached, 1 missed, 0 rows with errors")


class Disk(unittest.TestCase):
    ROWS = {row.id: row for row in disk.ROWS}

    def test_every_row_has_a_scene_and_a_unit(self):
        self.assertEqual(len(self.ROWS), len(disk.ROWS))
        self.assertEqual({row.scene for row in disk.ROWS}, set(disk.SCENES))
        self.assertEqual({row.unit for row in disk.ROWS}, {"B/s", "IOPS", "s"})

    def test_figures_of_measurements(self):
        self.assertEqual(disk.result(self.ROWS["dma.raw.read"], 2, 500_000_000, 477), 250e6)
        self.assertEqual(disk.result(self.ROWS["pio.qcow2.rwrite"], 0.5, 4096_000, 1000), 2000)
        for took, operations in ((0, 1), (1, 0)):
            with self.assertRaises(Failed):
                disk.result(self.ROWS["dma.raw.sync"], took, 0, operations)

    def test_verdicts_and_words(self):
        ways = Net.ways(qemu=[50e6, 80e6, 50e6], ours=[100e6, 40e6, 125e6])
        judged = disk.judge(self.ROWS["dma.cd.read"], ways)
        self.assertEqual((judged["ratio"], judged["pass"]), (2, True))
        self.assertIn("| DMA, CD: sequential read | 50 MB/s | 100 MB/s | 2× | 1× | - | pass |", disk.table([judged], True))
        judged = disk.judge(self.ROWS["boot.raw"], Net.ways(qemu=[10], ours=[20]))
        self.assertEqual((judged["ratio"], judged["pass"]), (0.5, False))

    def test_streams_are_told_apart(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "stream"
            path.write_bytes(bytes(1 << 20))
            with Session([str(disk.compile_diskload(pathlib.Path(folder)))], 10) as session:
                self.assertEqual(session.run(f"fill {path} 1048576 7 65536", 10)[1][0], "1048576")
                self.assertEqual(session.run(f"verify {path} 1048576 7 4096", 10)[1][:2], ["1048576", "256"])
                data = bytearray(path.read_bytes())
                data[70003] ^= 1
                path.write_bytes(data)
                with self.assertRaisesRegex(Failed, "wrong at byte 70000"):
                    session.run(f"verify {path} 1048576 7 65536", 10)


class Churn(unittest.TestCase):
    def test_growth_is_told_from_noise(self):
        loader = importlib.machinery.SourceFileLoader("churn", str(pathlib.Path(__file__).with_name("churn")))
        churn = importlib.util.module_from_spec(importlib.util.spec_from_loader("churn", loader))
        loader.exec_module(churn)

        def grown(**columns):
            return [name for name, _, _ in churn.verdict([dict({name: 13 for name in churn.SLACK}, **{name: value(i) for name, value
                                                          in columns.items()}) for i in range(60)])]
        self.assertEqual(grown(private_mb=lambda i: 30 + i % 7), [])
        self.assertEqual(grown(private_mb=lambda i: 40 if i < 3 else 30), [])
        self.assertEqual(grown(private_mb=lambda i: 30 + i * 0.1), ["private_mb"])
        self.assertEqual(grown(descriptors=lambda i: 13 + i // 10), ["descriptors"])
        self.assertEqual(grown(mappings=lambda i: 400 + 5 * i), ["mappings"])


if __name__ == "__main__":
    unittest.main()
