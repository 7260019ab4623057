#!/usr/bin/env python3
"""The benches' command lines: --help, mistakes, and those that the help and docs/benchmarks.md name. Nothing is measured.

usage: bench_arguments_test.py BENCH...
"""
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest

BENCHES = {path.name: path for path in map(pathlib.Path, sys.argv[1:])}
del sys.argv[1:]
DOCUMENT = pathlib.Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"

# Each takes one of these wrongly, and the error names the words.
MISTAKES = {
    "tracking_bench --alon": ["'--alon'", "did you mean '--alone'?"],
    "tracking_bench soon": ["SECONDS", "soon"],
    "tracking_bench --only log_metric": ["--only", "log_metric", "log-metric"],
    "search_bench 1 2 3": ["'3'", "too many"],
    "artifact_bench 0": ["MEGABYTES", "at least 1"],
    "train_bench --batch 32,0": ["--batch", "at least 1"],
    "serve_bench --rounds": ["--rounds"],
}


class BenchArguments(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def call(self, words):
        """Ends soon and leaves nothing behind, as what measures would not."""
        done = subprocess.run([BENCHES[words[0]], *words[1:]], cwd=self.folder, capture_output=True, text=True, timeout=20)
        self.assertEqual([], list(self.folder.iterdir()))
        return done

    def assert_refused(self, words, *parts):
        done = self.call(words)
        self.assertEqual((2, ""), (done.returncode, done.stdout), done.stderr)
        self.assertTrue(done.stderr.startswith(f"{words[0]}: "), done.stderr)
        self.assertTrue(done.stderr.endswith(f"\nSee: {words[0]} --help\n"), done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)

    def assert_understood(self, command):
        words = shlex.split(re.sub(r"^\w+=\S+ ", "", command))
        self.assert_refused([*words, "--no-such-option"], f"{words[0]}: there is no option '--no-such-option'\n")

    def test_help_and_its_examples(self):
        for name in BENCHES:
            with self.subTest(name):
                done = self.call([name, "--help"])
                self.assertEqual((0, ""), (done.returncode, done.stderr))
                self.assertIn(f"\nUsage: {name} [OPTIONS]", done.stdout)
                examples = done.stdout.split("\nExamples:\n")[1].splitlines()
                self.assertTrue(examples)
                for example in examples:
                    self.assertIn(name, example)
                    self.assert_understood(example.strip())

    def test_documented_command_lines(self):
        commands = re.findall(r"`(\w+_bench\b[^`]*)`", DOCUMENT.read_text())
        self.assertLess(10, len(commands))
        for command in commands:
            with self.subTest(command):
                self.assert_understood(command)

    def test_mistakes_are_named(self):
        for command, parts in MISTAKES.items():
            with self.subTest(command):
                self.assert_refused(command.split(), *parts)


if __name__ == "__main__":
    unittest.main()
