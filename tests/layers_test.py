#!/usr/bin/env python3
"""Checks every #include under src/, sdk/ and examples/ against layers.txt.

Prints "file:line: sys may not include pipeline (pipeline/plan.h)" for each breach and exits with 1.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# How a third-party header names its library. Unknown ones in angle brackets are the standard library's.
LIBRARIES = {
    "fmt/": "@fmt", "tl/expected.hpp": "@expected", "nlohmann/": "@json", "openssl/": "@openssl",
    "sqlite3.h": "@sqlite", "re2/": "@re2", "libpq-fe.h": "@postgres", "boost/": "@boost", "yaml-cpp/": "@yaml",
    "zlib.h": "@zlib", "libdeflate.h": "@libdeflate", "archive.h": "@libarchive", "archive_entry.h": "@libarchive",
    "png.h": "@png", "dnnl": "@dnnl", "onnxruntime": "@onnxruntime", "grpc": "@grpc", "absl/": "@grpc", "google/protobuf/": "@protobuf",
    "CLI/": "@cli11", "tidemill/": "@sdk", "gtest/": "@test", "gmock/": "@test",
}
# Generated from proto/.
GENERATED = {"onnx.pb.h": "@onnx", ".grpc.pb.h": "@grpc", ".pb.h": "@protobuf"}


def read_table():
    table = {}
    for line in (ROOT / "layers.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            folder, _, allowed = line.partition(":")
            table[folder.strip()] = set(allowed.split())
    return table


def folder_of(path):
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "src" else parts[0]


def target_of(include, quoted, path):
    for ending, library in GENERATED.items():
        if include.endswith(ending):
            return library
    for prefix, library in LIBRARIES.items():
        if include.startswith(prefix):
            return library
    if not quoted:
        return None
    first = include.split("/")[0]
    if (ROOT / "src" / first).is_dir() and "/" in include:
        return first
    return folder_of(path)  # beside the file


def breaches(table):
    for base in ("src", "sdk", "examples"):
        for path in sorted((ROOT / base).rglob("*")):
            if path.suffix not in (".h", ".cpp"):
                continue
            folder = folder_of(path)
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
                if not match:
                    continue
                target = target_of(match[2], match[1] == '"', path)
                if target in (None, folder, "@test") or (folder == "sdk" and target == "@sdk"):
                    continue
                if target not in table.get(folder, set()) and not path.stem.endswith(("_test", "_fuzz")):
                    yield f"{path.relative_to(ROOT)}:{number}: {folder} may not include {target} ({match[2]})"


found = list(breaches(read_table()))
print("\n".join(found) if found else "every include is in layers.txt")
sys.exit(1 if found else 0)
