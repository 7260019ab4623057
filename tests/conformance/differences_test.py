"""What the tests treat as different between MLflow and Tidemill is what docs/differences-from-mlflow.md says."""
import pathlib
import re
import unittest

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "differences-from-mlflow.md"


class Differences(unittest.TestCase):
    def test_each_is_on_the_page_and_in_a_test(self):
        tests = "".join(file.read_text() for file in HERE.glob("*_test.py") if file.name != "differences_test.py")
        tested = set(re.findall(r'on_mlflow\("([^"]+)"\)', tests))
        table = PAGE.read_text().split("<!-- tested -->")[1].split("\n\n##")[0]
        told = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")}
        self.assertEqual(told - {"what", "---"}, tested)


if __name__ == "__main__":
    unittest.main()
