#include <CLI/CLI.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/commands.h"
#include "oci/archive.h"
#include "oci/onnx_file.h"
#include "oci/server_image.h"
#include "sys/terminal.h"

namespace tidemill::cli {
namespace {

struct BuildOptions {
  fs::path model, output, server, onnxruntime;
  std::string tag = "tidemill-model:latest";
  std::vector<std::string> labels;
};

Json object_of(const oci::Pairs& pairs) {
  Json object = Json::object();
  for (const auto& [key, value] : pairs) object[key] = value;
  return object;
}

Result<int> build(const Context& context, const BuildOptions& options) {
  Stopwatch watch;
  oci::ServerImageOptions image;
  image.model = options.model;
  TRY(oci::check_onnx_file(image.model));
  image.server = options.server.empty() ? TRY(oci::find_server()) : options.server;
  image.onnxruntime = options.onnxruntime.empty() ? TRY(oci::find_onnxruntime()) : options.onnxruntime;
  image.name = options.tag;
  image.created = TRY(oci::source_date_epoch());
  for (const std::string& label : options.labels) {
    size_t equals = label.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail(Code::kInvalid, "--label {}: use KEY=VALUE", shell_quote(label));
    image.labels.emplace_back(label.substr(0, equals), label.substr(equals + 1));
  }
  oci::ImageSpec spec = TRY(oci::server_image(image));
  oci::ImageInfo info = TRY(oci::write_image(spec, options.output, oci::default_layer_cache()));
  std::string text = info.digest + "\n";
  if (context.json)
    text = dump_json({{"digest", info.digest},
                      {"image_id", info.image_id},
                      {"archive", options.output.string()},
                      {"archive_bytes", info.archive_bytes},
                      {"unpacked_bytes", info.unpacked_bytes}},
                     2) +
           "\n";
  TRY(print(text));
  fmt::print(stderr, "{}: {} ({} unpacked), in {}\n", options.output.string(),
             human_bytes(info.archive_bytes), human_bytes(info.unpacked_bytes),
             human_duration(watch.seconds()));
  return 0;
}

std::string to_json_text(const oci::ImageArchive& image) {
  Json layers = Json::array();
  for (const oci::ArchiveLayer& layer : image.layers)
    layers.push_back({{"name", layer.comment},
                      {"digest", layer.digest},
                      {"diff_id", layer.diff_id},
                      {"media_type", layer.media_type},
                      {"bytes", layer.size}});
  const oci::ImageConfig& config = image.config;
  Json json = {{"name", image.name},
               {"digest", image.digest},
               {"image_id", image.image_id},
               {"format", image.format},
               {"architecture", config.architecture},
               {"os", config.os},
               {"created", config.created},
               {"bytes", image.bytes},
               {"entrypoint", config.entrypoint},
               {"env", config.env},
               {"ports", config.ports},
               {"user", config.user},
               {"stop_signal", config.stop_signal},
               {"labels", object_of(config.labels)},
               {"index_annotations", object_of(image.index_notes)},
               {"layers", layers}};
  return dump_json(json, 2) + "\n";
}

Result<int> inspect(const Context& context, const fs::path& file) {
  oci::ImageArchive image = TRY(oci::read_archive(file));
  if (context.json) {
    TRY(print(to_json_text(image)));
    return 0;
  }
  const oci::ImageConfig& config = image.config;
  std::string text;
  auto line = [&text](std::string_view name, std::string_view value) {
    if (!value.empty()) text += fmt::format("{:<12}{}\n", name, value);
  };
  line("name", image.name);
  line("digest", image.digest);
  line("image id", image.image_id);
  line("platform", config.os + "/" + config.architecture);
  line("created", config.created);
  line("size", human_bytes(image.bytes));
  line("entry", join(config.entrypoint, " "));
  line("user", config.user);
  line("ports", join(config.ports, ", "));
  for (const std::string& variable : config.env) line("env", variable);
  for (const auto& [key, value] : config.labels) line("label", fmt::format("{}={}", key, value));
  Table table({"LAYER", "SIZE", "CONTENT"});
  for (const oci::ArchiveLayer& layer : image.layers)
    table.add({layer.comment.empty() ? "-" : layer.comment, human_bytes(layer.size), layer.diff_id});
  TRY(print(text + "\n" + table.to_string()));
  return 0;
}

}  // namespace

void add_image(CLI::App& app, Context& context) {
  CLI::App* image =
      app.add_subcommand("image", "Container images of the model server, made without a daemon");
  image->require_subcommand(1);

  auto options = std::make_shared<BuildOptions>();
  CLI::App* make = image->add_subcommand("build", "Pack a model and the server into an image archive");
  make->add_option("--model", options->model, "The ONNX file")->required()->check(CLI::ExistingFile);
  make->add_option("--tag", options->tag, "Name and tag of the image")->capture_default_str();
  make->add_option("-o,--output", options->output, "The archive to write")->required();
  make->add_option("--label", options->labels, "KEY=VALUE, may be repeated");
  make->add_option("--server", options->server,
                   "The server program (default: tidemill-serve beside this one)")
      ->check(CLI::ExistingFile);
  make->add_option("--onnxruntime", options->onnxruntime, "libonnxruntime.so (default: beside this program)")
      ->check(CLI::ExistingFile);
  make->add_flag("--json", context.json, "Print JSON");
  make->footer(
      "Example: tidemill image build --model model.onnx --tag shop/classifier:1.0 -o image.tar\n"
      "         podman load -i image.tar && podman run --rm -p 8001:8001 localhost/shop/classifier:1.0");
  make->callback(
      [&context, options] { context.action = [&context, options] { return build(context, *options); }; });

  auto file = std::make_shared<fs::path>();
  CLI::App* show =
      image->add_subcommand("inspect", "What an image archive holds (OCI layout or docker archive)");
  show->add_option("archive", *file, "The archive")->required()->check(CLI::ExistingFile);
  show->add_flag("--json", context.json, "Print JSON");
  show->footer("Example: tidemill image inspect image.tar --json");
  show->callback([&context, file] { context.action = [&context, file] { return inspect(context, *file); }; });
}

}  // namespace tidemill::cli
