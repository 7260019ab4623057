// cifar10-evaluate as the pipeline runs it, with a real image: what it finds, what it says when something is
// wrong, and that nothing of it stays behind however it ends.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>

#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "nn/export_onnx.h"
#include "oci/runtime.h"
#include "sys/process.h"

namespace tidemill::cifar10 {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr size_t kTestImages = 200;
constexpr std::chrono::seconds kPatience{120};

// Random convolutions that keep a core busy for some milliseconds an image, so that an evaluation can be met
// at work.
Result<std::string> slow_model() {
  nn::NetSpec net;
  std::vector<nn::NamedTensor> tensors;
  auto add = [&](std::string name, std::vector<int64_t> shape) {
    size_t count = 1;
    for (int64_t extent : shape) count *= static_cast<size_t>(extent);
    nn::NamedTensor tensor{std::move(name), std::move(shape), std::vector<float>(count)};
    for (size_t i = 0; i < count; ++i) tensor.values[i] = static_cast<float>(i * 7 % 11) / 110 - 0.045F;
    tensors.push_back(std::move(tensor));
  };
  int in = nn::NetSpec::kChannels;
  for (int i = 0; i < 3; ++i) {
    const std::string name = fmt::format("features.{}", i);
    net.layers.push_back({nn::LayerKind::kConv, name, in, 96, 5, 2});
    add(name + ".weight", {96, in, 5, 5});
    in = 96;
  }
  const int features = in * nn::NetSpec::kImageSize * nn::NetSpec::kImageSize;
  net.layers.push_back({nn::LayerKind::kFlatten, "flatten", in, features});
  net.layers.push_back({nn::LayerKind::kLinear, "classifier.0", features, 10});
  add("classifier.0.weight", {10, features});
  add("classifier.0.bias", {10});
  return nn::to_onnx(net, tensors, {});
}

// One data set and one image for all tests; both take seconds to make.
class World : public ::testing::Environment {
 public:
  void SetUp() override {
    dir_ = TempDir::create().value();
    auto model = slow_model();
    ASSERT_TRUE(model) << model.error().message;
    ASSERT_TRUE(write_file_atomic(path("model.onnx"), *model, Durable::no));
    run({program("cifar10-preprocess"), "--synthetic", "--limit", std::to_string(kTestImages * 5), "--output",
         path("data")});
    run({program("cifar10-build"), "--model", path("model.onnx"), "--output", path("image")});
  }
  void TearDown() override { dir_.reset(); }

  std::string path(std::string_view name) const { return (dir_->path() / name).string(); }
  static std::string program(std::string_view name) {
    return fmt::format("{}/bin/{}", TIDEMILL_BINARY_DIR, name);
  }

 private:
  static void run(const std::vector<std::string>& argv) {
    auto done = run_command(argv, kPatience);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_TRUE(done->exit.ok()) << done->errors;
  }
  std::optional<TempDir> dir_;
};
World* const world =
    static_cast<World*>(::testing::AddGlobalTestEnvironment(std::make_unique<World>().release()));

// Processes that have `word` in their command line or their environment.
std::vector<std::string> processes_with(const std::string& word) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().find_first_not_of("0123456789") != std::string::npos) continue;
    auto command = read_file(it->path() / "cmdline"), env = read_file(it->path() / "environ");
    if (command.value_or("").find(word) != std::string::npos ||
        env.value_or("").find(word) != std::string::npos)
      found.push_back(it->path().filename().string() + " " + join(split(command.value_or(""), '\0'), " "));
  }
  return found;
}

class Evaluate : public ::testing::Test {
 protected:
  // The program with these words added; `env` replaces variables of ours.
  void start(const std::vector<std::string>& more, std::map<std::string, std::string> env = {}) {
    ProcessOptions options;
    options.argv = {World::program("cifar10-evaluate"), "--output", output().string()};
    auto add_default = [&](const std::string& flag, const std::string& value) {
      if (std::find(more.begin(), more.end(), flag) == more.end())
        options.argv.insert(options.argv.end(), {flag, value});
    };
    add_default("--image", world->path("image"));
    add_default("--data", world->path("data"));
    add_default("--grpc-port", std::to_string(grpc_port_));
    options.argv.insert(options.argv.end(), more.begin(), more.end());
    options.extra_env = std::move(env);
    options.unset_env = {"MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"};
    options.output_file = dir_.path() / "printed";
    process_.emplace(Process::start(options).value());
    pid_ = process_->pid();
  }
  Exit wait() {
    auto exit = process_->wait_for(kPatience);
    if (!exit) ADD_FAILURE() << "it does not end: " << printed();
    return exit.value_or(Exit{.status = -1});
  }
  // Starts it and waits until the server in the container listens; returns early when it ends before that.
  void start_and_meet_at_work(const std::string& runtime) {
    start({"--runtime", runtime});
    while (read_file(output() / "server.log").value_or("").find("Listening at") == std::string::npos)
      if (process_->wait_for(std::chrono::milliseconds(5))) return;
  }
  // This machine cannot run containers, as the program has found out.
  bool no_podman() const {
    return printed().find("podman: not installed") != std::string::npos ||
           printed().find("podman: cannot start a container") != std::string::npos;
  }
  // Nothing that carries this evaluation's port or its owner's mark runs; podman knows no container of it.
  void expect_nothing_left() {
    const std::string port = fmt::format("GRPC_PORT={}", grpc_port_),
                      mark = fmt::format("tidemill-{}-", pid_);
    Stopwatch waited;
    while (waited.seconds() < 60 && !left(port, mark).empty())
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_THAT(left(port, mark), IsEmpty());
  }
  std::vector<fs::path> folders_left() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(fs::temp_directory_path()))
      if (entry.path().filename().string().starts_with(fmt::format("tidemill-container-{}-", pid_)))
        found.push_back(entry.path());
    return found;
  }
  fs::path output() const { return dir_.path() / "out"; }
  std::string printed() const { return read_file(dir_.path() / "printed").value_or(""); }
  Json report() const {
    return parse_json(read_file(output() / "evaluation.json").value_or("null")).value_or(Json());
  }

  TempDir dir_ = TempDir::create().value();
  uint16_t grpc_port_ = oci::free_port().value();
  std::optional<Process> process_;
  pid_t pid_ = 0;

 private:
  static std::vector<std::string> left(const std::string& port, const std::string& mark) {
    std::vector<std::string> found = processes_with(port);
    for (std::string& process : processes_with(mark)) found.push_back(std::move(process));
    if (!find_program("podman")) return found;
    auto listed = run_command({"podman", "ps", "-a", "--format", "{{.Names}}"}, kPatience);
    for (const std::string& name : split(listed ? listed->output : "", '\n'))
      if (name.starts_with(mark)) found.push_back("container " + name);
    return found;
  }
};

class EvaluateWith : public Evaluate, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Runtimes, EvaluateWith, ::testing::Values("podman", "process"),
                         [](const auto& runtime) { return std::string(runtime.param); });

TEST_P(EvaluateWith, EveryImageIsAnsweredAndNothingStays) {
  start({"--runtime", GetParam(), "--limit", "20", "--trained-accuracy", "0.5"});
  Exit exit = wait();
  if (no_podman()) GTEST_SKIP() << printed();
  ASSERT_TRUE(exit.ok()) << printed();
  EXPECT_EQ(json_int(report(), "total_tested"), 20) << dump_json(report());
  EXPECT_EQ(report().value("predictions", Json::array()).size(), 20u);
  EXPECT_THAT(json_string(report(), "runtime"), HasSubstr(GetParam()));
  EXPECT_THAT(printed(), HasSubstr("trained 50.00 %"));
  expect_nothing_left();
  EXPECT_THAT(folders_left(), IsEmpty());
}

TEST_P(EvaluateWith, CtrlCLeavesNothing) {
  start_and_meet_at_work(GetParam());
  if (no_podman()) GTEST_SKIP() << printed();
  process_->signal_group(SIGINT);
  EXPECT_EQ(wait().status, 130) << printed();
  EXPECT_THAT(printed(), HasSubstr("cifar10-evaluate: interrupted"));
  EXPECT_FALSE(fs::exists(output() / "evaluation.json"));
  expect_nothing_left();
  EXPECT_THAT(folders_left(), IsEmpty());
}

TEST_P(EvaluateWith, KilledLeavesNoContainerAndTheNextRunRemovesItsFiles) {
  start_and_meet_at_work(GetParam());
  if (no_podman()) GTEST_SKIP() << printed();
  ::kill(pid_, SIGKILL);
  EXPECT_EQ(process_->wait().signal, SIGKILL);
  expect_nothing_left();
  oci::remove_leftovers();
  EXPECT_THAT(folders_left(), IsEmpty());
}

TEST_F(Evaluate, BusyPortIsNamed) {
  Fd busy(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(busy);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(grpc_port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(busy.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(busy.get(), 1), 0);
  start({"--runtime", "process"});
  EXPECT_EQ(wait().status, 1);
  EXPECT_THAT(printed(), AllOf(HasSubstr("the server ended"), HasSubstr(std::to_string(grpc_port_))))
      << printed();
  expect_nothing_left();
}

TEST_F(Evaluate, DamagedImageIsNamed) {
  std::string bytes = read_file(world->path("image/image.tar")).value();
  bytes[bytes.size() / 2] ^= 1;
  const fs::path damaged = dir_.path() / "damaged.tar";
  ASSERT_TRUE(write_file_atomic(damaged, bytes, Durable::no));
  start({"--image", damaged.string()});
  EXPECT_EQ(wait().status, 2);
  EXPECT_THAT(printed(), AllOf(HasSubstr(damaged.string()), HasSubstr("damaged")));
  EXPECT_THAT(folders_left(), IsEmpty());
}

TEST_F(Evaluate, CutImageIsNamed) {
  std::string bytes = read_file(world->path("image/image.tar")).value();
  bytes.resize(bytes.size() / 2);
  const fs::path cut = dir_.path() / "cut.tar";
  ASSERT_TRUE(write_file_atomic(cut, bytes, Durable::no));
  start({"--image", cut.string()});
  EXPECT_EQ(wait().status, 2);
  EXPECT_THAT(printed(), HasSubstr(cut.string()));
}

TEST_F(Evaluate, NoRuntimeSaysWhatToInstall) {
  start({"--runtime", "podman"}, {{"PATH", dir_.path().string()}});
  EXPECT_EQ(wait().status, 1);
  EXPECT_THAT(printed(), AllOf(HasSubstr("podman"), HasSubstr("not installed"), HasSubstr("--runtime")))
      << printed();
}

TEST_F(Evaluate, MissingImageAndMissingDataAreNamed) {
  start({"--image", dir_.path().string()});
  EXPECT_EQ(wait().status, 1);
  EXPECT_THAT(printed(), HasSubstr("there is no image " + (dir_.path() / "image.tar").string()));
  start({"--data", dir_.path().string(), "--runtime", "process"});
  EXPECT_EQ(wait().status, 1);
  EXPECT_THAT(printed(), HasSubstr(dir_.path().string()));
  expect_nothing_left();
}

TEST_F(Evaluate, UnknownRuntimeIsRefusedBeforeAnythingStarts) {
  start({"--runtime", "podmn"});
  EXPECT_EQ(wait().status, 2);
  EXPECT_THAT(printed(), HasSubstr("did you mean 'podman'?"));
}

}  // namespace
}  // namespace tidemill::cifar10
