#include "config/command_code.h"

#include <gmock/gmock.h>

namespace tidemill::config {
namespace {

using testing::Contains;
using testing::UnorderedElementsAre;

class CommandCodeTest : public testing::Test {
 protected:
  void write(const fs::path& place, std::string_view text = "") {
    ASSERT_TRUE(make_dirs((dir_.path() / place).parent_path()));
    ASSERT_TRUE(write_file_atomic(dir_.path() / place, text, Durable::no));
  }
  CommandCode code_of(const std::string& command) { return CommandReader(dir_.path()).code_of(command); }

  TempDir dir_ = TempDir::create().value();
};

TEST_F(CommandCodeTest, IsTheFilesThatItNames) {
  write("clean.sh");
  write("sub/deep.awk");
  write("unnamed");
  auto code = code_of("bash ./clean.sh 'sub/deep.awk' <missing.txt && cat /etc/passwd ../outside");
  EXPECT_THAT(code.files, UnorderedElementsAre("clean.sh", "sub/deep.awk"));
  EXPECT_THAT(code.looked_for, Contains("missing.txt"));
  EXPECT_THAT(code.looked_for, testing::Not(Contains(testing::HasSubstr("outside"))));
}

TEST_F(CommandCodeTest, IsWhatStandsInTheFolderItGoesTo) {
  write("sub/h.py");
  write("sub/in/g.sh");
  EXPECT_THAT(code_of("cd sub && python3 h.py; cd in; ./g.sh").files,
              UnorderedElementsAre("sub/h.py", "sub/in/g.sh"));
}

TEST_F(CommandCodeTest, BringsWhatPythonImportsFromBesideIt) {
  write("bin/train.py",
        "import os, helper as h\nfrom nets import vgg\ndef f():\n    from nets.deep import (a as b, c)\n");
  write("bin/helper.py", "import train  # in a circle\n");
  write("bin/nets/__init__.py", "from . import base\n");
  write("bin/nets/base.py", "from ..helper import x\n");
  write("bin/nets/vgg.py", "import numpy");
  write("bin/nets/deep.py", "broken syntax (");
  write("helper.py", "not this one: python looks beside the script");
  auto code = code_of("python3 -u bin/train.py --epochs 3");
  EXPECT_THAT(code.files, UnorderedElementsAre("bin/train.py", "bin/helper.py", "bin/nets/__init__.py",
                                               "bin/nets/base.py", "bin/nets/vgg.py", "bin/nets/deep.py"));
  EXPECT_THAT(code.looked_for, Contains("bin/numpy.py")) << "which would hide the installed one";
}

TEST_F(CommandCodeTest, IsTheModuleThatPythonRuns) {
  write("pkg/__init__.py");
  write("pkg/__main__.py", "from pkg import work\n");
  write("pkg/work.py", "import lib\n");
  write("lib.py");
  EXPECT_THAT(code_of("python3 -m pkg").files,
              UnorderedElementsAre("pkg/__init__.py", "pkg/__main__.py", "pkg/work.py", "lib.py"));
  EXPECT_THAT(code_of("sort -m pkg").files, UnorderedElementsAre());
}

}  // namespace
}  // namespace tidemill::config
