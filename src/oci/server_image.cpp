#include "oci/server_image.h"

#include <algorithm>
#include <array>

#include "base/hash.h"
#include "base/text.h"
#include "oci/elf.h"
#include "oci/libraries.h"

namespace tidemill::oci {
namespace {

constexpr std::string_view kServerPath = "usr/bin/tidemill-serve";

LayerEntry file_entry(std::string path, fs::path source, uint32_t mode) {
  LayerEntry entry;
  entry.path = std::move(path);
  entry.source = std::move(source);
  entry.mode = mode;
  return entry;
}

LayerEntry library_entry(std::string path, fs::path source) {
  LayerEntry entry = file_entry(std::move(path), std::move(source), 0755);
  entry.drop_symbols = true;
  return entry;
}

LayerEntry text_entry(std::string path, std::string text) {
  LayerEntry entry;
  entry.kind = LayerEntry::Kind::kBytes;
  entry.path = std::move(path);
  entry.text = std::move(text);
  return entry;
}

// The C and C++ run-time libraries: they change when the build machine's system is upgraded, and then
// together.
bool is_system_library(const std::string& name) {
  static constexpr std::array kPrefixes = {"ld-linux",   "ld-musl",      "libc.so",    "libm.so",
                                           "libdl.so",   "librt.so",     "libpthread", "libresolv.so",
                                           "libmvec.so", "libstdc++.so", "libgcc_s.so"};
  return std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

// A folder that the loader searches without any configuration: that of the C library.
std::string library_folder(const Libraries& libraries) {
  for (const Library& library : libraries.needed)
    if (library.name.starts_with("libc.so")) return library.file.parent_path().relative_path().string();
  return "usr/lib";
}

LayerSpec libc_layer(const Libraries& libraries, const std::string& folder) {
  LayerSpec layer{.name = "libc", .entries = {}};
  std::string loader = libraries.interpreter.filename().string();
  for (const Library& library : libraries.needed)
    if (is_system_library(library.name) && library.name != loader)
      layer.entries.push_back(library_entry(folder + "/" + library.name, library.file));
  if (!libraries.interpreter.empty()) {
    std::error_code error;
    fs::path real = fs::canonical(libraries.interpreter, error);
    layer.entries.push_back(
        library_entry(libraries.interpreter.relative_path().string(), error ? libraries.interpreter : real));
  }
  layer.entries.push_back(text_entry("etc/passwd",
                                     "root:x:0:0:root:/:/sbin/nologin\n"
                                     "nonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"));
  layer.entries.push_back(text_entry("etc/group", "root:x:0:\nnonroot:x:65532:\n"));
  layer.entries.push_back(text_entry("etc/nsswitch.conf", "hosts: files dns\n"));
  for (std::string_view name : {"dev", "proc", "run", "sys", "tmp"}) {
    LayerEntry folder_entry;
    folder_entry.kind = LayerEntry::Kind::kDirectory;
    folder_entry.path = name;
    folder_entry.mode = name == "tmp" ? 01777 : 0755;
    layer.entries.push_back(std::move(folder_entry));
  }
  return layer;
}

// libonnxruntime.so is asked for by its own name, or by the name with the version when it has one.
LayerSpec runtime_layer(const fs::path& onnxruntime, const std::string& soname, const std::string& folder) {
  LayerSpec layer{.name = "runtime", .entries = {}};
  layer.entries.push_back(library_entry(folder + "/libonnxruntime.so", onnxruntime));
  if (!soname.empty() && soname != "libonnxruntime.so" && soname.find('/') == std::string::npos) {
    LayerEntry link;
    link.kind = LayerEntry::Kind::kSymlink;
    link.path = folder + "/" + soname;
    link.text = "libonnxruntime.so";
    layer.entries.push_back(std::move(link));
  }
  return layer;
}

LayerSpec server_layer(const fs::path& server, const Libraries& libraries, const std::string& folder) {
  LayerSpec layer{.name = "server", .entries = {}};
  layer.entries.push_back(library_entry(std::string(kServerPath), server));
  for (const Library& library : libraries.needed)
    if (!is_system_library(library.name) && !library.name.starts_with("libonnxruntime"))
      layer.entries.push_back(library_entry(folder + "/" + library.name, library.file));
  return layer;
}

Result<std::string> model_file_name(const fs::path& model) {
  std::string name = model.filename().string();
  bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '_' || c == '-';
  });
  if (!plain || name[0] == '.')
    return fail(Code::kInvalid, "{}: not a file name for a model", model.string());
  return name;
}

Result<fs::path> first_file(const std::vector<fs::path>& places, std::string_view what) {
  std::vector<std::string> looked;
  for (const fs::path& place : places) {
    std::error_code error;
    if (fs::is_regular_file(place, error)) return place;
    looked.push_back(place.string());
  }
  return fail(Code::kNotFound, "{} was not found: looked at {}", what, join(looked, ", "));
}

fs::path own_folder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

}  // namespace

Result<ImageSpec> server_image(const ServerImageOptions& options) {
  std::string model_name = TRY(model_file_name(options.model));
  std::string model_digest = TRY(sha256_file(options.model));
  Libraries libraries = TRY(needed_libraries(options.server, {options.onnxruntime}));
  ElfFile runtime = TRY_IN(options.onnxruntime.string(), parse_elf(TRY(read_file(options.onnxruntime))));
  std::string folder = library_folder(libraries);

  ImageSpec image;
  image.name = options.name;
  image.architecture = std::string(oci_architecture(libraries.machine));
  if (image.architecture.empty())
    return fail(Code::kInvalid, "{}: built for an unknown processor", options.server.string());
  image.created = options.created;
  image.layers.push_back(libc_layer(libraries, folder));
  image.layers.push_back(runtime_layer(options.onnxruntime, runtime.soname, folder));
  image.layers.push_back(server_layer(options.server, libraries, folder));
  // Weights hardly shrink (8 % by gzip): compressing them costs more time than it saves.
  LayerSpec model{.name = "model", .entries = {}, .compression = Compression::kNone, .cached = false};
  model.entries.push_back(file_entry("model/" + model_name, options.model, 0644));
  image.layers.push_back(std::move(model));

  image.entrypoint = {"/" + std::string(kServerPath)};
  image.env = {"PATH=/usr/bin",
               "HTTP_PORT=8001",
               "GRPC_PORT=50051",
               "LOGLEVEL=info",
               "MODEL_PATH=/model/" + model_name,
               "TIDEMILL_ORT_LIBRARY=/" + folder + "/libonnxruntime.so",
               "ORT_DISABLE_TELEMETRY=1"};
  image.ports = {8001, 50051};
  image.labels = {{"ml.tidemill.version", TIDEMILL_VERSION},
                  {"ml.tidemill.model.digest", "sha256:" + model_digest}};
  for (const auto& label : options.labels) image.labels.push_back(label);
  if (!options.run_id.empty()) image.index_notes = {{"ml.tidemill.run_id", options.run_id}};
  return image;
}

Result<fs::path> find_server() {
  return first_file({own_folder() / "tidemill-serve"}, "the server program tidemill-serve");
}

Result<fs::path> find_onnxruntime() {
  fs::path here = own_folder();
  return first_file({here / "libonnxruntime.so", here.parent_path() / "lib/libonnxruntime.so",
                     here.parent_path() / "lib/tidemill/libonnxruntime.so",
                     fs::path(TIDEMILL_ORT_DIR) / "lib/libonnxruntime.so"},
                    "ONNX Runtime (libonnxruntime.so)");
}

}  // namespace tidemill::oci
