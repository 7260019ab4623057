#include "common/dataset.h"

#include <fcntl.h>

#include <algorithm>

#include "base/json.h"
#include "common/parallel.h"
#include "common/png.h"

namespace tidemill::cifar10 {
namespace {

constexpr uint64_t kMaxJsonBytes = 64 << 20;
constexpr size_t kMaxPngBytes = 1 << 20;
constexpr uint64_t kMaxPixels = 512 * 512;
constexpr uint64_t kMaxSplitBytes = uint64_t{16} << 30;
constexpr size_t kImagesAtOnce = 256;
constexpr int kMaxPointers = 8;  // a cached run may point at another cached run

// One image to read: where it lies, and its label.
struct Item {
  std::string name;
  uint8_t label;
};

bool fit_for_a_path(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

Result<Json> read_json(const fs::path& path) {
  return TRY_IN(path.string(), parse_json(TRY(read_file(path, kMaxJsonBytes))));
}

Result<std::vector<Item>> read_items(const fs::path& folder, std::string_view part,
                                     const std::vector<std::string>& classes) {
  const fs::path path = folder / fmt::format("meta_{}.json", part);
  Json meta = TRY(read_json(path));
  if (!meta.is_object())
    return fail(Code::kInvalid, "{}: not an object of class -> file names", path.string());
  std::vector<Item> items;
  for (auto& [class_name, names] : meta.items()) {
    auto found = std::find(classes.begin(), classes.end(), class_name);
    if (found == classes.end() || !names.is_array())
      return fail(Code::kInvalid, "{}: '{}' is not a class of {} with a list of file names", path.string(),
                  class_name, kClassesFile);
    for (const Json& name : names) {
      if (!name.is_string() || !fit_for_a_path(name.get_ref<const std::string&>()))
        return fail(Code::kInvalid, "{}: {} is not a file name", path.string(), dump_json(name));
      items.push_back({name.get<std::string>(), static_cast<uint8_t>(found - classes.begin())});
    }
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return std::tie(a.name, a.label) < std::tie(b.name, b.label);
  });
  return items;
}

Result<size_t> read_whole(const Fd& folder, const std::string& name, std::span<char> buffer) {
  Fd file(openat(folder.get(), name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return tl::unexpected<Error>(errno_error("open", errno));
  size_t size = 0;
  for (;;) {
    size_t got = TRY(read_some(file, buffer.subspan(size)));
    if (got == 0) return size;
    size += got;
    if (size == buffer.size()) return fail(Code::kInvalid, "larger than {} bytes", buffer.size() - 1);
  }
}

void split_planes(std::span<const uint8_t> rgb, uint8_t* planes) {
  const size_t plane = rgb.size() / 3;
  for (size_t i = 0; i < plane; ++i)
    for (size_t channel = 0; channel < 3; ++channel) planes[channel * plane + i] = rgb[i * 3 + channel];
}

class SplitReader {
 public:
  SplitReader(fs::path part, const std::vector<std::string>& classes, std::vector<Item> items, int threads)
      : part_(std::move(part)), classes_(classes), items_(std::move(items)), threads_(threads) {}

  Result<DataSplit> read() {
    for (const std::string& name : classes_) {
      auto folder = open_file(part_ / name, O_RDONLY | O_DIRECTORY);
      folders_.push_back(folder ? std::move(*folder) : Fd());  // a class without images needs no folder
    }
    TRY(take_size_from_first());
    split_.pixels.resize(items_.size() * split_.image_bytes());
    split_.labels.resize(items_.size());
    split_.names.resize(items_.size());
    for (int i = 0; i < threads_; ++i)
      workers_.push_back({PngDecoder(kMaxPixels), std::vector<char>(kMaxPngBytes + 1)});
    const size_t pieces = (items_.size() + kImagesAtOnce - 1) / kImagesAtOnce;
    TRY(parallel_for(pieces, threads_, [&](size_t piece, int worker) -> Result<> {
      const size_t end = std::min((piece + 1) * kImagesAtOnce, items_.size());
      for (size_t i = piece * kImagesAtOnce; i < end; ++i)
        TRY(read_image(i, workers_[static_cast<size_t>(worker)]));
      return {};
    }));
    return std::move(split_);
  }

 private:
  struct Worker {
    PngDecoder decoder;
    std::vector<char> buffer;
  };

  std::string path_of(const Item& item) const { return (part_ / classes_[item.label] / item.name).string(); }

  Result<PngView> decode(const Item& item, Worker& worker) {
    size_t size = TRY_IN(path_of(item), read_whole(folders_[item.label], item.name, worker.buffer));
    return TRY_IN(path_of(item),
                  worker.decoder.decode({reinterpret_cast<const uint8_t*>(worker.buffer.data()), size}));
  }

  Result<> take_size_from_first() {
    if (items_.empty()) return fail(Code::kInvalid, "{}: no images", part_.string());
    Worker worker{PngDecoder(kMaxPixels), std::vector<char>(kMaxPngBytes + 1)};
    PngView view = TRY(decode(items_[0], worker));
    split_.width = view.width;
    split_.height = view.height;
    if (items_.size() * split_.image_bytes() > kMaxSplitBytes)
      return fail(Code::kInvalid, "{}: {} images of {} x {} do not fit into memory", part_.string(),
                  items_.size(), view.width, view.height);
    return {};
  }

  Result<> read_image(size_t i, Worker& worker) {
    const Item& item = items_[i];
    PngView view = TRY(decode(item, worker));
    if (view.width != split_.width || view.height != split_.height)
      return fail(Code::kInvalid, "{}: {} x {} pixels, but the first image has {} x {}", path_of(item),
                  view.width, view.height, split_.width, split_.height);
    split_planes(view.rgb, &split_.pixels[i * split_.image_bytes()]);
    split_.labels[i] = item.label;
    split_.names[i] = fmt::format("{}/{}", classes_[item.label], item.name);
    return {};
  }

  fs::path part_;
  const std::vector<std::string>& classes_;
  std::vector<Item> items_;
  int threads_;
  std::vector<Fd> folders_;
  std::vector<Worker> workers_;
  DataSplit split_;
};

}  // namespace

Result<fs::path> resolve_data_folder(const fs::path& folder) {
  fs::path at = folder;
  std::error_code ignored;
  for (int i = 0; i < kMaxPointers; ++i) {
    if (fs::exists(at / kClassesFile, ignored)) return at;
    if (!fs::exists(at / kPointerFile, ignored))
      return fail(Code::kNotFound,
                  "{}: no {} there, so it is no prepared data set; make one with cifar10-preprocess",
                  at.string(), kClassesFile);
    std::string target = json_string(TRY(read_json(at / kPointerFile)), "path");
    if (!fs::path(target).is_absolute())
      return fail(Code::kInvalid, "{}: \"path\" must be an absolute path", (at / kPointerFile).string());
    at = target;
  }
  return fail(Code::kInvalid, "{}: {} files point at each other without end", folder.string(), kPointerFile);
}

Result<std::vector<std::string>> read_classes(const fs::path& folder) {
  const fs::path path = folder / kClassesFile;
  Json list = TRY(read_json(path));
  if (!list.is_array() || list.empty() || list.size() > 256)
    return fail(Code::kInvalid, "{}: expected a list of 1 to 256 class names", path.string());
  std::vector<std::string> classes;
  for (const Json& name : list) {
    if (!name.is_string() || !fit_for_a_path(name.get_ref<const std::string&>()))
      return fail(Code::kInvalid, "{}: {} is not a class name", path.string(), dump_json(name));
    classes.push_back(name.get<std::string>());
  }
  return classes;
}

Result<DataSplit> read_split(const fs::path& folder, std::string_view part, size_t limit, int threads) {
  const fs::path data = TRY(resolve_data_folder(folder));
  const std::vector<std::string> classes = TRY(read_classes(data));
  std::vector<Item> items = TRY(read_items(data, part, classes));
  if (limit != 0 && items.size() > limit) items.resize(limit);
  return SplitReader(data / part, classes, std::move(items), threads > 0 ? threads : core_count()).read();
}

}  // namespace tidemill::cifar10
