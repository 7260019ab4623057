#!/usr/bin/env python3
"""The JSON Schema of pipeline.yaml, as `tidemill check --schema` prints it: examples fit it, and mistakes that it can
see are refused by it and by `tidemill check` alike.

Usage: pipeline_schema_test.py FOLDER_WITH_THE_PROGRAMS
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import jsonschema
    import yaml
except ImportError as error:
    print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has jsonschema")
    sys.exit(77)

BIN = pathlib.Path(sys.argv.pop(1)).resolve()
ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMA = json.loads(subprocess.run([BIN / "tidemill", "check", "--schema"], text=True, capture_output=True,
                                   check=True).stdout)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

# Each in a folder with the project `a`, whose entry point main has a parameter x.
RIGHT = [
    "steps: {a: {project: a}}",
    "name: p\nmax_parallel: 3\nparams: {x: 1, y: {type: int, default: 2, min: 0}}\nsteps: {a: {project: a, params: {x: '${params.x}'}}}",
    "steps: {a: {project: a, when: \"${steps.b.state} == 'failed' and true\"}, b: {project: a, when: true}}",
    "steps: {a: {project: a, foreach: {r: [1, x], s: '1,2'}, params: {x: '${each.r}'}}, b: {project: a, foreach: a}}",
    "steps: {a: {project: a, foreach: [{r: 1, s: 2}, {r: 3, s: 4}]}}",
    "steps: {a: {project: a}}\nfinally: {b: {project: a}}\non_failure: {c: {project: a}}\non_success: {d: {project: a}}",
    "inputs: {t: x.csv, u: 'https://x/y', v: {file: x}}\nsteps: {a: {project: a, params: {x: '${inputs.t}'}}}",
    "inputs: {t: 's3://b/x', u: {url: 'models:/m@champion'}, v: {query: select 1, database: x.db}}\nsteps: {a: {project: a}}",
    "inputs: {v: {query: select 1, database: {env: DB}, sha256: %s}}\nsteps: {a: {project: a}}" % ("a" * 64),
    "inputs: {v: {query: select 1, database: 'postgresql://me@host:5432/db'}}\nsteps: {a: {project: a}}",
    "steps: {a: {project: a, resources: {cpus: 2, memory: 4GiB, gpus: 1, locks: [x]}}}",
    "secrets: {T: , U: {env: X}, V: {file: /k}}\nsteps: {a: {project: a, secrets: [T, U]}}",
    "steps: {a: {command: 'echo {x}', params: {x: 1}}, b: {project: a, command: ls, code: []}}",
    "outputs: {x: '${steps.a.artifacts}/x', y: 3}\nsteps: {a: {project: a}}",
    "steps: {a: {pipeline: inner.yaml, params: {x: 1}, needs: [b], when: true, foreach: {r: [1, 2]}}, b: {project: a}}",
    "steps: {a: {project: a, timeout: 5, cache: false, needs: b}, b: {project: a, code: [], environment: {N: 3, M: }}}",
    "steps: {a: {project: a, outputs: {t: t.csv, m: model}}, b: {project: a, params: {x: '${steps.a.outputs.t}'}}}",
    "steps: {a: {project: a, cache: {ttl: 1d12h}, probe: 'date {x}'}, b: {project: a, frozen: true}}",
    "inherit: false\nsteps: {a: {project: a, inherit: [A, 'AWS_*']}, b: {project: a, inherit: true}}",
    "steps: {a: {project: a, retry: 3}}",
    "timeout: 1d\nafter_failure: stop\nsteps: {a: {project: a, timeout: {attempt: 90s, total: 1.5h, waiting: 60}}}",
    "steps: {a: {project: a, log_limit: 10M, resources: {memory: 1G}, retry: {times: 1, delay: 2s, more_memory: 1.5, after: [{log: x}, memory]}}}",
    "steps: {a: {project: a, retry: {times: 3, after: [timeout, 75], not_after: [2], infrastructure: 0, delay: 0}}}",
]
WRONG = [
    "steps: {}",
    "name: p",
    "step: {a: {project: a}}",
    "steps: {'a b': {project: a}}",
    "steps: {a: {}}",
    "steps: {a: {project: a, tiemout: 5}}",
    "steps: {a: {project: a, timeout: soon}}",
    "steps: {a: {project: a, timeout: 0}}",
    "steps: {a: {project: a, timeout: 0s}}",
    "steps: {a: {project: a, log_limit: much}}",
    "steps: {a: {project: a, resources: {memory: 0}}}",
    "steps: {a: {project: a, timeout: {attemt: 3}}}",
    "after_failure: ignore\nsteps: {a: {project: a}}",
    "steps: {a: {project: a, retry: {times: 1, after: [{lg: x}]}}}",
    "steps: {a: {project: a, resources: {memory: 1G}, retry: {times: 1, more_memory: 1}}}",
    "steps: {a: {project: a, cache: maybe}}",
    "steps: {a: {project: a, inputs: x}}",
    "inputs: {t: {url: 'ftp://x/y'}}\nsteps: {a: {project: a}}",
    "inputs: {t: {url: 'http://x/y', sha256: abc}}\nsteps: {a: {project: a}}",
    "inputs: {t: {file: x, url: 'http://x/y'}}\nsteps: {a: {project: a}}",
    "inputs: {t: {query: select 1}}\nsteps: {a: {project: a}}",
    "inputs: {t: {database: x.db}}\nsteps: {a: {project: a}}",
    "inputs: {t: {query: select 1, database: 'postgresql://me:secret@host/db'}}\nsteps: {a: {project: a}}",
    "inputs: {t: {query: select 1, database: {env: ''}}}\nsteps: {a: {project: a}}",
    "steps: {a: {project: a, resources: {cpu: 2}}}",
    "steps: {a: {project: a, resources: {cpus: 0}}}",
    "steps: {a: {project: a, resources: {locks: [x, x]}}}",
    "secrets: {T: hunter2}\nsteps: {a: {project: a}}",
    "secrets: {T: {env: X, file: y}}\nsteps: {a: {project: a}}",
    "steps: {a: {command: ''}}",
    "steps: {a: {pipeline: inner.yaml, timeout: 5}}",
    "steps: {a: {pipeline: inner.yaml, project: a}}",
    "outputs: [x]\nsteps: {a: {project: a}}",
    "steps: {a: {project: a, command: ls, entry_point: main}}",
    "steps: {a: {project: a, foreach: {}}}",
    "steps: {a: {project: a, foreach: {r: []}}}",
    "steps: {a: {project: a, foreach: {'r s': [1]}}}",
    "steps: {a: {project: a, foreach: [1, 2]}}",
    "steps: {a: {project: a}}\nfinally: [b]",
    "steps: {a: {project: a}}\nfinally: {b: {projet: a}}",
    "steps: {a: {project: a, outputs: [t.csv]}}",
    "steps: {a: {project: a, outputs: {t: /t.csv}}}",
    "steps: {a: {project: a, outputs: {t: ../t.csv}}}",
    "steps: {a: {project: a, cache: {ttl: soon}}}",
    "steps: {a: {project: a, cache: {tll: 7d}}}",
    "steps: {a: {project: a, frozen: maybe}}",
    "steps: {a: {project: a, probe: ''}}",
    "steps: {a: {project: a, inherit: [A=1]}}",
    "inherit: some\nsteps: {a: {project: a}}",
    "steps: {a: {project: a, retry: -1}}",
    "steps: {a: {project: a, retry: {time: 3}}}",
    "steps: {a: {project: a, retry: {times: 3, after: [crash]}}}",
    "steps: {a: {project: a, retry: {times: 3, after: [256]}}}",
    "steps: {a: {project: a, when: [x]}}",
    "steps: {a: {project: a, needs: {b: c}}}",
    "steps: {a: {project: a, params: [x]}}",
    "params: {x: {type: intt}}\nsteps: {a: {project: a}}",
    "params: {x: {choices: 1}}\nsteps: {a: {project: a}}",
    "max_parallel: 0\nsteps: {a: {project: a}}",
]


class Schema(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temporary.name)
        (self.folder / "a").mkdir()
        (self.folder / "a" / "MLproject").write_text(
            "entry_points:\n  main:\n    parameters: {x: {default: ''}}\n    command: echo {x}\n")
        for name in ("x", "x.csv"):  # inputs
            (self.folder / name).touch()
        (self.folder / "inner.yaml").write_text("params: {x: 0}\nsteps: {i: {project: a, params: {x: '${params.x}'}}}\n")

    def tearDown(self):
        self.temporary.cleanup()

    def check(self, text):
        (self.folder / "pipeline.yaml").write_text(text)
        return subprocess.run([BIN / "tidemill", "check", self.folder], text=True, capture_output=True)

    def test_is_a_schema(self):
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def test_what_is_right_fits(self):
        for text in RIGHT:
            with self.subTest(text):
                VALIDATOR.validate(yaml.safe_load(text))
                checked = self.check(text)
                self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_what_is_wrong_is_refused_by_both(self):
        for text in WRONG:
            with self.subTest(text):
                self.assertFalse(VALIDATOR.is_valid(yaml.safe_load(text)))
                self.assertEqual(self.check(text).returncode, 2)

    def test_the_examples_fit(self):
        examples = list((ROOT / "examples").glob("*/pipeline.yaml"))
        self.assertTrue(examples)
        for example in examples:
            with self.subTest(example):
                VALIDATOR.validate(yaml.safe_load(example.read_text()))
                checked = subprocess.run([BIN / "tidemill", "check", example], text=True, capture_output=True)
                self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_the_pages_about_pipelines_show_what_fits(self):
        blocks = []
        for page in ["pipeline.md", "caching.md", "resume.md"]:
            blocks += re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
        whole = [block for block in map(yaml.safe_load, blocks) if isinstance(block, dict) and "steps" in block]
        self.assertTrue(whole)
        for block in whole:
            with self.subTest(block):
                VALIDATOR.validate(block)


if __name__ == "__main__":
    unittest.main()
