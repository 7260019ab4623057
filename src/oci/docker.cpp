// docker load, then docker run by the image's id.
#include "base/text.h"
#include "oci/runtime_parts.h"

namespace tidemill::oci {
namespace {

constexpr std::chrono::seconds kPatience{60};

class DockerContainer final : public ProcessContainer {
 public:
  DockerContainer(std::string docker, std::string name, std::string loaded_image, Process process)
      : ProcessContainer(std::move(process)),
        docker_(std::move(docker)),
        name_(std::move(name)),
        loaded_image_(std::move(loaded_image)) {}
  ~DockerContainer() override { stop(std::chrono::seconds(3)); }

  std::string description() const override { return "docker, from the loaded image"; }

  void stop(std::chrono::milliseconds grace) override {
    if (stopped_) return;
    stopped_ = true;
    if (!ended()) {
      auto seconds = std::chrono::duration_cast<std::chrono::seconds>(grace).count() + 1;
      (void)run_command({docker_, "stop", "-t", std::to_string(seconds), name_}, grace + kPatience);
      exit_ = process_.stop(std::chrono::seconds(5));
    }
    (void)run_command({docker_, "rm", "-f", name_}, kPatience);
    if (!loaded_image_.empty()) (void)run_command({docker_, "rmi", loaded_image_}, kPatience);
  }

 private:
  std::string docker_, name_;
  std::string loaded_image_;  // to be removed again; "" when it had been there before
  bool stopped_ = false;
};

std::string first_line(const Captured& captured) {
  std::string_view text = trim(captured.errors.empty() ? captured.output : captured.errors);
  return std::string(text.substr(0, text.find('\n')));
}

Result<> must(const std::vector<std::string>& argv) {
  Captured captured = TRY(run_command(argv, kPatience));
  if (!captured.exit.ok()) return fail(Code::kUnavailable, "{}", first_line(captured));
  return {};
}

class Docker : public ContainerRuntime {
 public:
  std::string name() const override { return "docker"; }

  Result<std::unique_ptr<Container>> start(const ContainerSpec& spec) override {
    auto program = find_program("docker");
    if (!program) return fail(Code::kUnavailable, "not installed");
    std::string docker = program->string();
    ImageArchive image = TRY(read_archive(spec.archive));
    TRY(must({docker, "version", "--format", "{{.Server.Version}}"}));
    // The classic store names an image by its config, containerd's store by its manifest.
    std::string id = TRY(known_image(docker, image));
    std::string loaded;
    if (id.empty()) {
      TRY(must({docker, "load", "-q", "-i", spec.archive.string()}));
      id = TRY(known_image(docker, image));
      if (id.empty()) id = image.name;
      loaded = id;
    }
    std::string container_name = new_container_name();
    ProcessOptions options;
    options.argv = run_arguments(docker, container_name);
    add_environment(options.argv, spec.env);
    options.argv.push_back(id);
    options.argv.insert(options.argv.end(), spec.args.begin(), spec.args.end());
    options.argv = bound_to_us(std::move(options.argv));
    options.output_file = spec.log_file;
    Process process = TRY(Process::start(options));
    auto container = std::make_unique<DockerContainer>(docker, container_name, loaded, std::move(process));
    auto running = [&] {
      auto state =
          run_command({docker, "inspect", "--format", "{{.State.Running}}", container_name}, kPatience);
      return state && trim(state->output) == "true";
    };
    auto ended_within = [&](std::chrono::milliseconds wait) {
      return container->ended_within(wait).has_value();
    };
    TRY(wait_started({running, ended_within, std::chrono::milliseconds(20), kPatience}, spec.log_file));
    return container;
  }

 private:
  static Result<std::string> known_image(const std::string& docker, const ImageArchive& image) {
    for (const std::string& id : {image.image_id, image.digest}) {
      if (id.empty()) continue;
      Captured captured =
          TRY(run_command({docker, "image", "inspect", "--format", "{{.Id}}", id}, kPatience));
      if (captured.exit.ok()) return id;
    }
    return std::string();
  }
};

}  // namespace

std::unique_ptr<ContainerRuntime> docker_runtime() { return std::make_unique<Docker>(); }

}  // namespace tidemill::oci
