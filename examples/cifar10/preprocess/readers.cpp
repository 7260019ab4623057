#include "preprocess/readers.h"

#include "base/json.h"
#include "base/text.h"
#include "common/parallel.h"
#include "common/png.h"
#include "preprocess/pickle.h"

namespace tidemill::cifar10 {
namespace {

constexpr size_t kPlane = kSide * kSide;

// One published file and where its images go.
struct Batch {
  std::string name;
  size_t first = 0, count = 0;
};

std::vector<Batch> batches_of(DataSet data_set, std::string_view extension) {
  if (data_set == DataSet::kCifar100)
    return {{fmt::format("train{}", extension), 0, 50'000},
            {fmt::format("test{}", extension), 50'000, 10'000}};
  std::vector<Batch> batches;
  for (size_t i = 0; i < 5; ++i)
    batches.push_back({fmt::format("data_batch_{}{}", i + 1, extension), i * 10'000, 10'000});
  batches.push_back({fmt::format("test_batch{}", extension), 50'000, 10'000});
  return batches;
}

Images room_for_all() {
  Images images;
  images.pixels.resize(60'000 * kImageBytes);
  images.labels.resize(60'000);
  images.train_count = 50'000;
  return images;
}

void interleave(const uint8_t* planes, uint8_t* rgb) {
  for (size_t i = 0; i < kPlane; ++i)
    for (size_t channel = 0; channel < 3; ++channel) rgb[i * 3 + channel] = planes[channel * kPlane + i];
}

Result<std::vector<std::string>> names_from_text(const SourceFiles& files, std::string_view name,
                                                 size_t wanted) {
  auto bytes = TRY(files.read(name));
  std::vector<std::string> names;
  for (const std::string& line : split({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, '\n'))
    if (auto word = trim(line); !word.empty()) names.emplace_back(word);
  if (names.size() != wanted)
    return fail(Code::kInvalid, "{}: {} class names, expected {}", files.describe(name), names.size(),
                wanted);
  return names;
}

// A class becomes a folder's name.
Result<> check_class_names(const std::vector<std::string>& names, std::string_view where) {
  for (const std::string& name : names)
    if (name.empty() || name.find_first_of("/\\") != std::string::npos || name[0] == '.')
      return fail(Code::kInvalid, "{}: '{}' cannot be the name of a class folder", where, name);
  return {};
}

Result<> read_label_json(const SourceFiles& files, std::string_view name, std::span<uint8_t> labels) {
  auto bytes = TRY(files.read(name));
  Json list =
      TRY_IN(files.describe(name), parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  if (!list.is_array() || list.size() != labels.size())
    return fail(Code::kInvalid, "{}: expected a list of {} labels", files.describe(name), labels.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!list[i].is_number_unsigned() || list[i] > 9)
      return fail(Code::kInvalid, "{}: label {} is not a number from 0 to 9", files.describe(name), i);
    labels[i] = list[i].get<uint8_t>();
  }
  return {};
}

}  // namespace

std::vector<std::string> cifar10_classes() {
  return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

Result<Images> read_png_rows(const SourceFiles& files) {
  Images images = room_for_all();
  images.classes = cifar10_classes();
  const auto batches = batches_of(DataSet::kCifar10, ".png");
  std::vector<std::span<const uint8_t>> pngs;
  for (const Batch& batch : batches) pngs.push_back(TRY(files.read(batch.name)));
  std::vector<PngDecoder> decoders;  // kept: pages that a new one would touch first cost as much as decoding
  for (int i = 0; i < core_count(); ++i) decoders.emplace_back(kPlane * batches[0].count);
  TRY(parallel_for(batches.size(), core_count(), [&](size_t i, int worker) -> Result<> {
    const Batch& batch = batches[i];
    PngView view = TRY_IN(files.describe(batch.name), decoders[static_cast<size_t>(worker)].decode(pngs[i]));
    if (view.width != kPlane || view.height != batch.count)
      return fail(Code::kInvalid, "{}: {} x {} pixels, expected {} x {} (one image a row)",
                  files.describe(batch.name), view.width, view.height, kPlane, batch.count);
    std::copy(view.rgb.begin(), view.rgb.end(), &images.pixels[batch.first * kImageBytes]);
    return {};
  }));
  std::span labels(images.labels);
  TRY(read_label_json(files, "train_lables.json", labels.first(images.train_count)));
  TRY(read_label_json(files, "test_lables.json", labels.subspan(images.train_count)));
  return images;
}

Result<Images> read_binary(DataSet data_set, const SourceFiles& files) {
  Images images = room_for_all();
  const bool fine = data_set == DataSet::kCifar100;
  images.classes = fine ? TRY(names_from_text(files, "fine_label_names.txt", 100)) : cifar10_classes();
  if (fine) TRY(check_class_names(images.classes, files.describe("fine_label_names.txt")));
  const size_t label_bytes = fine ? 2 : 1, record = label_bytes + kImageBytes;
  for (const Batch& batch : batches_of(data_set, ".bin")) {
    auto bytes = TRY(files.read(batch.name));
    if (bytes.size() != record * batch.count)
      return fail(Code::kInvalid, "{}: {} at byte {}: {} records of {} bytes were expected",
                  files.describe(batch.name), bytes.size() < record * batch.count ? "truncated" : "too long",
                  bytes.size(), batch.count, record);
    TRY(parallel_for(batch.count, core_count(), [&](size_t i, int) -> Result<> {
      const uint8_t* at = &bytes[i * record];
      uint8_t label = at[label_bytes - 1];
      if (label >= images.classes.size())
        return fail(Code::kInvalid, "{}: byte {}: label {} is out of range", files.describe(batch.name),
                    i * record + label_bytes - 1, label);
      images.labels[batch.first + i] = label;
      interleave(at + label_bytes, &images.pixels[(batch.first + i) * kImageBytes]);
      return {};
    }));
  }
  return images;
}

Result<Images> read_python(DataSet data_set, const SourceFiles& files) {
  Images images = room_for_all();
  images.classes = cifar10_classes();
  if (data_set == DataSet::kCifar100) {
    PickledBatch meta = TRY_IN(files.describe("meta"), read_pickled_batch(TRY(files.read("meta"))));
    images.classes.assign(meta.label_names.begin(), meta.label_names.end());
    if (images.classes.size() != 100)
      return fail(Code::kInvalid, "{}: {} class names, expected 100", files.describe("meta"),
                  images.classes.size());
    TRY(check_class_names(images.classes, files.describe("meta")));
  }
  for (const Batch& batch : batches_of(data_set, "")) {
    PickledBatch content =
        TRY_IN(files.describe(batch.name), read_pickled_batch(TRY(files.read(batch.name))));
    const auto wanted =
        std::vector<int64_t>{static_cast<int64_t>(batch.count), static_cast<int64_t>(kImageBytes)};
    if (content.data.shape != wanted || content.labels.size() != batch.count)
      return fail(Code::kInvalid, "{}: expected {} images of {} bytes and as many labels",
                  files.describe(batch.name), batch.count, kImageBytes);
    TRY(parallel_for(batch.count, core_count(), [&](size_t i, int) -> Result<> {
      int64_t label = content.labels[i];
      if (label < 0 || label >= static_cast<int64_t>(images.classes.size()))
        return fail(Code::kInvalid, "{}: label {} of image {} is out of range", files.describe(batch.name),
                    label, i);
      images.labels[batch.first + i] = static_cast<uint8_t>(label);
      interleave(&content.data.bytes[i * kImageBytes], &images.pixels[(batch.first + i) * kImageBytes]);
      return {};
    }));
  }
  return images;
}

}  // namespace tidemill::cifar10
