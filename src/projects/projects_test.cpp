// Fetching projects and making their environments, with git, zip archives, pip and a conda of the same
// command line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "base/text.h"
#include "config/mlproject.h"
#include "projects/command.h"
#include "projects/environment.h"
#include "projects/source.h"
#include "sys/process.h"

namespace tidemill::projects {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

void must(const Result<>& result) { ASSERT_TRUE(result) << result.error().message; }

class ProjectsTest : public testing::Test {
 protected:
  ProjectsTest() {
    setenv("TIDEMILL_CACHE_DIR", (folder() / "cache").c_str(), 1);
    unsetenv("MLFLOW_ENV_ROOT");
    unsetenv("MLFLOW_CONDA_HOME");
  }

  const fs::path& folder() const { return dir_.path(); }
  void write(const fs::path& name, std::string_view text) {
    must(make_dirs((folder() / name).parent_path()));
    must(write_file_atomic(folder() / name, text));
  }
  static std::string shell(const std::string& command) {
    auto run = run_command({"bash", "-ec", command}, std::chrono::minutes(1)).value();
    EXPECT_TRUE(run.exit.ok()) << command << "\n" << run.errors;
    return std::string(trim(run.output));
  }
  // A repository with two commits, the first one tagged; returns its path.
  std::string make_repository() {
    const std::string path = (folder() / "repository").string();
    shell(
        "git init -q -b main " + path + " && cd " + path +
        " && git config user.email a@b && git config user.name n && mkdir sub && echo 'name: one' > MLproject"
        " && echo 'name: inner' > sub/MLproject && git add . && git commit -qm one && git tag v1"
        " && echo 'name: two' > MLproject && git commit -qam two");
    return path;
  }
  static std::string name_of(const Source& source) {
    return config::load_project(source.folder).value().name;
  }
  Result<Environment> make(Manager manager) {
    return make_environment(TRY(config::load_project(folder() / "project")), manager);
  }

 private:
  TempDir dir_ = TempDir::create().value();
};

TEST_F(ProjectsTest, AFolderIsUsedInPlace) {
  write("project/sub/MLproject", "name: x\n");
  auto source = fetch((folder() / "project").string() + "#sub", "").value();
  EXPECT_EQ(source.folder, folder() / "project" / "sub");
  EXPECT_EQ(source.uri, "");
  EXPECT_EQ(fetch("file://" + (folder() / "project").string(), "").value().folder, folder() / "project");
}

TEST_F(ProjectsTest, WrongPlacesAreNamed) {
  write("project/MLproject", "name: x\n");
  const std::string project = (folder() / "project").string();
  EXPECT_THAT(fetch(project + "x", "").error().message, HasSubstr("there is no"));
  EXPECT_THAT(fetch(project + "#missing", "").error().message,
              HasSubstr("Could not find subdirectory missing"));
  EXPECT_EQ(fetch(project + "#../..", "").error().code, Code::kInvalid);
  EXPECT_THAT(fetch(project, "v1").error().message, HasSubstr("only supported for Git"));
  EXPECT_EQ(fetch("--upload-pack=evil", "").error().code, Code::kInvalid);
}

TEST_F(ProjectsTest, AGitProjectIsFetchedAtAVersion) {
  const std::string repository = make_repository();
  EXPECT_EQ(name_of(fetch(repository, "v1").value()), "one");
  EXPECT_EQ(name_of(fetch("file://" + repository, "main").value()), "two");
  EXPECT_EQ(fetch(repository, "main")->branch, "main");
  EXPECT_EQ(fetch(repository, "v1")->branch, "");
  const std::string first = shell("git -C " + repository + " rev-parse v1");
  auto source = fetch(repository, first).value();
  EXPECT_EQ(source.commit, first);
  EXPECT_EQ(name_of(fetch(repository, first.substr(0, 10)).value()), "one");
  EXPECT_EQ(name_of(fetch(repository + "#sub", "main").value()), "inner");
  EXPECT_EQ(shell("git -C " + source.folder.string() + " rev-parse HEAD"), first);
  EXPECT_EQ(shell("git -C " + source.folder.string() + " config --get remote.origin.url"),
            "file://" + fs::canonical(repository).string());
}

TEST_F(ProjectsTest, ABareRepositoryIsCloned) {
  const std::string repository = make_repository(), bare = (folder() / "bare.git").string();
  shell("git clone -q --bare " + repository + " " + bare);
  EXPECT_EQ(name_of(fetch(bare, "").value()), "two");
  EXPECT_EQ(name_of(fetch("file://" + bare, "v1").value()), "one");
}

TEST_F(ProjectsTest, AVersionThatIsNotThereIsNamed) {
  const std::string repository = make_repository();
  auto missing = fetch(repository, "v9");
  EXPECT_THAT(missing.error().message, HasSubstr("Unable to checkout version 'v9'"));
  EXPECT_EQ(fetch(repository, "--upload-pack=evil").error().code, Code::kInvalid);
}

TEST_F(ProjectsTest, WhatAUrlLogsInWithIsShownNowhere) {
  auto refused = fetch("http://ada:s3cret@127.0.0.1:1/repository.git", "");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, Not(HasSubstr("s3cret")));
}

TEST_F(ProjectsTest, WhatGitSaysIsToldOnce) {
  for (int i = 0; i < 2; ++i) {
    const std::string said = fetch("http://127.0.0.1:1/repository.git", "").error().message;
    const size_t first = said.find("unable to access");
    ASSERT_NE(first, std::string::npos) << said;
    EXPECT_EQ(said.find("unable to access", first + 1), std::string::npos) << said;
  }
}

TEST_F(ProjectsTest, NewCommitsOfABranchAreSeen) {
  const std::string repository = make_repository();
  EXPECT_EQ(name_of(fetch(repository, "main").value()), "two");
  shell("cd " + repository + " && echo 'name: three' > MLproject && git commit -qam three");
  EXPECT_EQ(name_of(fetch(repository, "main").value()), "three");
}

TEST_F(ProjectsTest, WithoutItsServerAGitProjectIsWhatWasFetchedLast) {
  const std::string repository = make_repository();
  // By its URL: a path that is gone would be no place at all.
  const std::string url = "file://" + repository;
  const auto server = std::make_unique<TempDir>(TempDir::create().value());
  shell("git clone -q --bare " + repository + " " + (server->path() / "r.git").string());
  const std::string remote = "ssh://nowhere.invalid/" + repository;
  EXPECT_EQ(fetch(remote, "main").error().code, Code::kUnavailable);
  const std::string commit = shell("git -C " + repository + " rev-parse v1");
  ASSERT_TRUE(fetch(url, commit));
  fs::rename(repository, repository + ".away");
  must(make_dirs(repository));
  write("repository/HEAD", "not a repository\n");
  EXPECT_EQ(name_of(fetch(url, commit).value()), "one");
}

TEST_F(ProjectsTest, WhatARunLeavesInACheckoutIsGoneInTheNext) {
  const std::string repository = make_repository();
  {
    auto source = fetch(repository, "v1").value();
    must(write_file_atomic(source.folder / "MLproject", "name: changed\n"));
    must(write_file_atomic(source.folder / "left", "x"));
    // While it is in use by one run, another leaves it alone.
    EXPECT_EQ(name_of(fetch(repository, "v1").value()), "changed");
  }
  auto source = fetch(repository, "v1").value();
  EXPECT_EQ(name_of(source), "one");
  EXPECT_FALSE(fs::exists(source.folder / "left"));
}

TEST_F(ProjectsTest, AZipArchiveIsUnpacked) {
  write("in/inner/MLproject", "name: zipped\n");
  write("in/inner/run.sh", "true\n");
  shell("cd " + (folder() / "in").string() +
        " && chmod +x inner/run.sh && python3 -m zipfile -c ../p.zip inner");
  const std::string zip = (folder() / "p.zip").string();
  auto source = fetch(zip + "#inner", "").value();
  EXPECT_EQ(name_of(source), "zipped");
  EXPECT_EQ(source.uri, zip + "#inner");
  EXPECT_EQ(fetch(zip + "#inner", "").value().folder, source.folder);
  EXPECT_THAT(fetch(zip, "v1").error().message, HasSubstr("only supported for Git"));
}

TEST_F(ProjectsTest, HostileArchivesAreRefused) {
  const std::string zip = (folder() / "bad.zip").string();
  shell("python3 -c \"import zipfile; z = zipfile.ZipFile('" + zip + "', 'w'); z.writestr('../out', 'x')\"");
  EXPECT_EQ(fetch(zip, "").error().code, Code::kInvalid);
  EXPECT_FALSE(fs::exists(folder() / "cache" / "projects" / "out"));
  shell("python3 -c \"import zipfile; z = zipfile.ZipFile('" + zip +
        "', 'w'); i = zipfile.ZipInfo('link'); i.external_attr = 0o120777 << 16; z.writestr(i, '/etc')\"");
  EXPECT_EQ(fetch(zip, "").error().code, Code::kInvalid);
  write("bad.zip", "PK\x03\x04 this is not one");
  EXPECT_EQ(fetch(zip, "").error().code, Code::kInvalid);
}

// Writes a package that pip installs without a network.
constexpr std::string_view kMakeWheel = R"(
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('tide.py', 'value = 42\n')
    info = 'tide-1.dist-info/'
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\nName: tide\nVersion: 1\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    wheel.writestr(info + 'RECORD', '')
)";

class EnvironmentTest : public ProjectsTest {
 protected:
  EnvironmentTest() {
    const std::string wheel = (folder() / "tide-1-py3-none-any.whl").string();
    write("wheel.py", kMakeWheel);
    shell("python3 " + (folder() / "wheel.py").string() + " " + wheel);
    write("project/MLproject",
          "name: p\npython_env: python_env.yaml\nentry_points: {main: {command: \"true\"}}\n");
    write("project/requirements.txt", wheel + "\n");
    write("project/python_env.yaml", "dependencies: [-r requirements.txt]\n");
    setenv("PIP_NO_INDEX", "1", 1);
  }
  ~EnvironmentTest() override { unsetenv("PIP_NO_INDEX"); }
};

TEST_F(EnvironmentTest, PythonEnvIsMadeOnceWithItsPackages) {
  // What an interrupted run has left is made anew.
  auto half =
      find_environment(config::load_project(folder() / "project").value(), Manager::kDeclared).value();
  must(make_dirs(half.programs()));
  must(write_file_atomic(half.programs() / "python", "#!/bin/false\n"));
  auto made = make(Manager::kDeclared).value();
  EXPECT_EQ(made.manager, Manager::kVirtualenv);
  EXPECT_EQ(shell((made.programs() / "python").string() + " -c 'import tide; print(tide.value)'"), "42");
  EXPECT_EQ(made.variables.at("VIRTUAL_ENV"), made.folder.string());
  auto time = fs::last_write_time(made.folder / "tidemill-environment.json");
  EXPECT_EQ(make(Manager::kVirtualenv).value().folder, made.folder);
  EXPECT_EQ(fs::last_write_time(made.folder / "tidemill-environment.json"), time);
}

// The real one, of scripts/python-tools or in PATH.
fs::path installed_uv() {
  const char *python = std::getenv("TIDEMILL_PYTHON"), *home = std::getenv("HOME");
  std::vector<fs::path> places;
  if (python != nullptr) places.push_back(fs::path(python).parent_path() / "uv");
  if (home != nullptr) places.push_back(fs::path(home) / ".cache/tidemill/venv/bin/uv");
  if (auto found = find_program("uv")) places.push_back(*found);
  for (const auto& place : places)
    if (fs::exists(place)) return place;
  return {};
}

TEST_F(EnvironmentTest, UvMakesItWithItsPackages) {
  const fs::path uv = installed_uv();
  if (uv.empty()) GTEST_SKIP() << "uv is not installed: scripts/python-tools installs it";
  must(make_dirs(folder() / "uv"));
  fs::create_symlink(uv, folder() / "uv" / "uv");
  const std::string path = std::getenv("PATH");
  setenv("PATH", ((folder() / "uv").string() + ":" + path).c_str(), 1);
  setenv("UV_OFFLINE", "1", 1);
  auto made = make(Manager::kUv);
  setenv("PATH", path.c_str(), 1);
  unsetenv("UV_OFFLINE");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->manager, Manager::kUv);
  EXPECT_EQ(shell((made->programs() / "python").string() + " -c 'import tide; print(tide.value)'"), "42");
  EXPECT_THAT(read_file(made->folder / "tidemill-environment.json").value(), HasSubstr("tide"));
}

TEST_F(EnvironmentTest, OtherRequirementsAreAnotherEnvironment) {
  auto project = config::load_project(folder() / "project").value();
  auto before = find_environment(project, Manager::kDeclared).value();
  write("project/requirements.txt", "# changed\n");
  EXPECT_NE(find_environment(project, Manager::kDeclared).value().id, before.id);
  EXPECT_FALSE(fs::exists(before.folder));
}

TEST_F(EnvironmentTest, OneThatCannotBeMadeLeavesNothingAndTellsWhatPipSaid) {
  write("project/requirements.txt", "no-such-package-in-this-world\n");
  auto made = make(Manager::kDeclared);
  EXPECT_THAT(made.error().message, HasSubstr("no-such-package-in-this-world"));
  EXPECT_THAT(made.error().message, StartsWith((folder() / "project/requirements.txt:1:1: ").string()));
  auto project = config::load_project(folder() / "project").value();
  EXPECT_FALSE(fs::exists(find_environment(project, Manager::kDeclared).value().folder));
}

TEST_F(EnvironmentTest, TheLineOfThePackageThatCannotBeHadIsNamed) {
  write("project/python_env.yaml",
        "build_dependencies:\n  - pip\ndependencies:\n  # what for\n  - \"no-such-package == 9\"\n");
  EXPECT_THAT(make(Manager::kDeclared).error().message,
              StartsWith((folder() / "project/python_env.yaml:5:1: environment virtualenv-").string()));
  write("project/python_env.yaml", "dependencies: [-r absent.txt]\n");
  EXPECT_THAT(make(Manager::kDeclared).error().message,
              AllOf(StartsWith((folder() / "project/python_env.yaml: ").string()), HasSubstr("absent.txt")));
}

TEST_F(EnvironmentTest, TwoThatWantTheSameMakeItOnce) {
  write("project/python_env.yaml", "dependencies: []\n");
  Result<Environment> first, second;
  {
    std::jthread one([&] { first = make(Manager::kDeclared); });
    std::jthread two([&] { second = make(Manager::kDeclared); });
  }
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(first->folder, second->folder);
  const std::string log = first->folder.string() + ".log";
  EXPECT_LE(split(read_file(log).value_or(""), '\n').size(), 2u);
}

TEST_F(EnvironmentTest, AMissingPythonIsNamedWithWhatIsThere) {
  write("project/python_env.yaml", "python: \"2.6\"\n");
  EXPECT_THAT(make(Manager::kDeclared).error().message,
              AllOf(StartsWith((folder() / "project/python_env.yaml: ").string()),
                    HasSubstr("asks for Python 2.6, and this machine has 3.")));
}

TEST_F(EnvironmentTest, APythonOfTwoNamesIsListedOnce) {
  for (const char* name : {"python3", "python"})
    write(fs::path("programs") / name, "#!/bin/sh\necho 3.99.7\n");
  shell("chmod +x " + (folder() / "programs").string() + "/*");
  const std::string path = std::getenv("PATH");
  setenv("PATH", ((folder() / "programs").string() + ":" + path).c_str(), 1);
  write("project/python_env.yaml", "python: \"2.6\"\n");
  const std::string said = make(Manager::kDeclared).error().message;
  setenv("PATH", path.c_str(), 1);
  EXPECT_THAT(said, HasSubstr("has 3.99.7; install"));
}

TEST_F(EnvironmentTest, CondaIsAskedWithTheProjectsFile) {
  write("programs/conda", "#!/bin/bash\necho \"$@\" >> " + (folder() / "calls").string() +
                              "\n[ \"$1 $2 $3\" = 'env create --prefix' ] && mkdir -p $4/bin && printf "
                              "'#!/bin/sh\\necho conda' > "
                              "$4/bin/python && chmod +x $4/bin/python\n");
  shell("chmod +x " + (folder() / "programs" / "conda").string() + " && mkdir -p " +
        (folder() / "home" / "bin").string() + " && cp " + (folder() / "programs" / "conda").string() + " " +
        (folder() / "home" / "bin").string());
  setenv("MLFLOW_CONDA_HOME", (folder() / "home").c_str(), 1);
  write("project/MLproject", "name: p\nconda_env: my.yaml\n");
  write("project/my.yaml", "name: x\ndependencies: [python=3.11, numpy, {pip: [tide]}]\n");
  auto made = make(Manager::kDeclared).value();
  EXPECT_EQ(made.manager, Manager::kConda);
  EXPECT_EQ(shell((made.programs() / "python").string()), "conda");
  EXPECT_EQ(made.variables.at("CONDA_PREFIX"), made.folder.string());
  EXPECT_THAT(read_file(folder() / "calls").value(), HasSubstr((folder() / "project" / "my.yaml").string()));
}

TEST_F(EnvironmentTest, TheManagerMustFitTheProject) {
  EXPECT_THAT(make(Manager::kConda).error().message, HasSubstr("python_env is not for conda"));
  EXPECT_EQ(make(Manager::kLocal).value().folder, "");
  write("project/MLproject", "name: p\n");
  fs::remove(folder() / "project" / "python_env.yaml");
  EXPECT_EQ(make(Manager::kVirtualenv).value().manager, Manager::kLocal);
}

TEST(LongCommand, TellsWhatItPrintsLastWhileItRuns) {
  TempDir folder = TempDir::create().value();
  testing::internal::CaptureStderr();
  EXPECT_TRUE(run_long({.argv = {"sh", "-c", "echo collecting; printf 'numpy\\033[1m\\n'; sleep 0.5"},
                        .folder = folder.path(),
                        .log = folder.path() / "log",
                        .tell_every = std::chrono::milliseconds(1)}));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::ContainsRegex("sh: .* so far; numpy.1m"));
}

}  // namespace
}  // namespace tidemill::projects
