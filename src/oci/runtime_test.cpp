#include "oci/runtime.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <fstream>
#include <thread>

#include "oci/archive.h"
#include "oci/runtime_parts.h"
#include "oci/server_image.h"

namespace tidemill::oci {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// What the server answers to GET /, asked until it answers or the container has ended.
std::string ask(uint16_t port, const std::function<bool()>& running) {
  for (int tries = 0; tries < 3000 && running(); ++tries) {
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
      if (!write_all(socket, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")) continue;
      std::string answer(1000, '\0');
      auto size = read_some(socket, answer);
      answer.resize(size.value_or(0));
      return answer;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return "no answer";
}

class Runtime : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TEST_SECRET", "x", 1);
    ASSERT_TRUE(write_file_atomic(dir_.path() / "m.onnx", "weights"));
    ServerImageOptions options;
    options.server = TEST_SERVER;
    options.onnxruntime = TEST_RUNTIME;
    options.model = dir_.path() / "m.onnx";
    auto spec = server_image(options);
    ASSERT_TRUE(spec) << spec.error().message;
    auto written = write_image(*spec, archive(), "");
    ASSERT_TRUE(written) << written.error().message;
    port_ = free_port().value();
  }
  void TearDown() override { ::unsetenv("TEST_SECRET"); }
  fs::path archive() const { return dir_.path() / "image.tar"; }
  ContainerSpec spec() const {
    return {.archive = archive(),
            .args = {"--flag"},
            .env = {{"HTTP_PORT", std::to_string(port_)}},
            .log_file = dir_.path() / "log"};
  }
  std::string log() const { return read_file(dir_.path() / "log").value_or(""); }

  // Starts, asks, stops; everything a container must do.
  void check(ContainerRuntime& runtime) {
    auto container = runtime.start(spec());
    if (!container && container.error().code == Code::kUnavailable)
      GTEST_SKIP() << runtime.name() << ": " << container.error().message;
    ASSERT_TRUE(container) << container.error().message;
    std::string answer = ask(port_, [&] { return !(*container)->ended(); });
    EXPECT_THAT(answer, HasSubstr("Healthy")) << log();
    (*container)->stop(std::chrono::seconds(10));
    auto ended = (*container)->ended();
    ASSERT_TRUE(ended);
    EXPECT_THAT(log(), HasSubstr("runtime loaded model there argument --flag HOME clean"));
    EXPECT_THAT(log(), HasSubstr("stopping")) << "the server was asked to stop, not killed";
    if (::geteuid() == 0) {
      EXPECT_THAT(log(), HasSubstr("uid 65532"));
    }
    (*container)->stop(std::chrono::seconds(1));
    container->reset();
    for (const auto& entry : fs::directory_iterator(fs::temp_directory_path()))
      EXPECT_FALSE(entry.path().filename().string().starts_with(std::string(kFolderPrefix) + owner_mark()));
  }

  TempDir dir_ = TempDir::create().value();
  uint16_t port_ = 0;
};

TEST_F(Runtime, PodmanRunsTheImageAndRemovesIt) { check(*podman_runtime()); }
TEST_F(Runtime, DockerRunsTheImageAndRemovesIt) { check(*docker_runtime()); }
TEST_F(Runtime, PlainProcessRunsTheImage) { check(*process_runtime()); }

TEST_F(Runtime, BusyPortIsToldByTheServersLog) {
  auto first = process_runtime()->start(spec());
  ASSERT_TRUE(first);
  ASSERT_THAT(ask(port_, [&] { return !(*first)->ended(); }), HasSubstr("Healthy"));
  ContainerSpec again = spec();
  again.log_file = dir_.path() / "second";
  auto second = process_runtime()->start(again);
  ASSERT_TRUE(second);
  for (int i = 0; i < 3000 && !(*second)->ended(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_TRUE((*second)->ended());
  EXPECT_FALSE((*second)->ended()->ok());
  EXPECT_THAT(last_lines(again.log_file), HasSubstr("Address already in use"));
}

TEST_F(Runtime, DamagedImageIsNotTriedElsewhere) {
  std::string bytes = read_file(archive()).value();
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(write_file_atomic(archive(), bytes));
  auto started = start_container(runtimes_for("auto").value(), spec());
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kInvalid);
  EXPECT_THAT(started.error().message, HasSubstr("damaged"));
}

class Broken : public ContainerRuntime {
 public:
  std::string name() const override { return "broken"; }
  Result<std::unique_ptr<Container>> start(const ContainerSpec&) override {
    return fail(Code::kUnavailable, "no daemon");
  }
};

TEST_F(Runtime, NextRuntimeIsTriedAndTheReasonKept) {
  std::vector<std::unique_ptr<ContainerRuntime>> runtimes;
  runtimes.push_back(std::make_unique<Broken>());
  runtimes.push_back(process_runtime());
  auto started = start_container(runtimes, spec());
  ASSERT_TRUE(started) << started.error().message;
  EXPECT_EQ(started->runtime, "process");
  EXPECT_THAT(started->not_used, testing::ElementsAre("broken: no daemon"));
}

TEST_F(Runtime, NoRuntimeAtAllListsEachReason) {
  std::vector<std::unique_ptr<ContainerRuntime>> runtimes;
  runtimes.push_back(std::make_unique<Broken>());
  runtimes.push_back(std::make_unique<Broken>());
  auto started = start_container(runtimes, spec());
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, Code::kUnavailable);
  EXPECT_THAT(started.error().message, HasSubstr("broken: no daemon; broken: no daemon"));
}

TEST(RuntimeChoice, UnknownWordIsRefusedWithTheNearest) {
  auto runtimes = runtimes_for("podmn");
  ASSERT_FALSE(runtimes);
  EXPECT_THAT(runtimes.error().message, HasSubstr("did you mean 'podman'?"));
}

TEST(Owner, LivingDeadAndForeignMarks) {
  EXPECT_FALSE(owner_is_gone(owner_mark()));
  EXPECT_TRUE(owner_is_gone(fmt::format("{}-1", ::getpid()))) << "the id was used again";
  EXPECT_FALSE(owner_is_gone("nonsense"));
}

// Other programs read what was written; each test skips where its program is missing.
class Foreign : public Runtime {
 protected:
  Captured run(std::vector<std::string> argv) {
    return run_command(argv, std::chrono::seconds(60))
        .value_or(Captured{.exit = {.status = 127}, .output = "", .errors = ""});
  }
};

TEST_F(Foreign, SkopeoReadsBothForms) {
  if (!find_program("skopeo")) GTEST_SKIP() << "skopeo is not installed";
  for (std::string_view form : {"oci-archive:", "docker-archive:"}) {
    Captured shown = run({"skopeo", "inspect", std::string(form) + archive().string()});
    EXPECT_TRUE(shown.exit.ok()) << shown.errors;
    EXPECT_THAT(shown.output, HasSubstr("MODEL_PATH=/model/m.onnx"));
  }
  Captured shown = run({"skopeo", "inspect", "oci-archive:" + archive().string()});
  EXPECT_THAT(shown.output, HasSubstr(read_archive(archive()).value().digest));
}

TEST_F(Foreign, PodmanLoadsAndRunsTheArchive) {
  if (!find_program("podman")) GTEST_SKIP() << "podman is not installed";
  Captured loaded = run({"podman", "load", "-q", "-i", archive().string()});
  if (!loaded.exit.ok()) GTEST_SKIP() << "podman load: " << loaded.errors;
  std::string id = read_archive(archive()).value().image_id.substr(7);
  std::string name = "tidemill-test-" + owner_mark();
  Captured started =
      run({"podman", "run", "-d", "--rm", "--name", name, "--network", "host", "--ulimit", "nofile=1024:1024",
           "--ulimit", "nproc=4096:4096", "--env", fmt::format("HTTP_PORT={}", port_), id});
  if (started.exit.ok()) {
    EXPECT_THAT(ask(port_, [] { return true; }), HasSubstr("Healthy"));
  }
  (void)run({"podman", "rm", "-f", "-t", "0", name});
  (void)run({"podman", "rmi", "-f", id});
  if (!started.exit.ok()) GTEST_SKIP() << "podman run: " << started.errors;
}

}  // namespace
}  // namespace tidemill::oci
