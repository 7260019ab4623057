#include "preprocess/output.h"

#include <fcntl.h>

#include "base/json.h"
#include "common/dataset.h"
#include "common/parallel.h"
#include "common/png.h"

namespace tidemill::cifar10 {
namespace {

constexpr size_t kImagesAtOnce = 256;

struct Part {
  std::string name;
  size_t first, count;
};

std::array<Part, 2> parts_of(const Images& images) {
  return {Part{"train", 0, images.train_count}, Part{"test", images.train_count, images.test_count()}};
}

std::string file_name(size_t index_in_part) { return fmt::format("{:05}.png", index_in_part); }

// The folders of one part's classes, open, so that a file is made without walking the path.
Result<std::vector<Fd>> make_class_folders(const fs::path& part, const std::vector<std::string>& classes) {
  std::vector<Fd> folders;
  for (const std::string& name : classes) {
    TRY(make_dirs(part / name));
    folders.push_back(TRY(open_file(part / name, O_RDONLY | O_DIRECTORY)));
  }
  return folders;
}

Result<> write_image(const Fd& folder, const std::string& name, std::span<const uint8_t> png) {
  Fd file(openat(folder.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return tl::unexpected<Error>(errno_error("create " + name, errno));
  return write_all(file, {reinterpret_cast<const char*>(png.data()), png.size()});
}

// One encoder for each thread.
Result<> write_part(const Images& images, const Part& part, const fs::path& folder,
                    std::vector<PngEncoder>& encoders, const std::function<void(size_t)>& on_written) {
  const std::vector<Fd> folders = TRY(make_class_folders(folder, images.classes));
  const size_t pieces = (part.count + kImagesAtOnce - 1) / kImagesAtOnce;
  return parallel_for(pieces, static_cast<int>(encoders.size()), [&](size_t piece, int worker) -> Result<> {
    const size_t begin = piece * kImagesAtOnce, end = std::min(begin + kImagesAtOnce, part.count);
    for (size_t i = begin; i < end; ++i) {
      const size_t image = part.first + i;
      auto png =
          encoders[static_cast<size_t>(worker)].encode({&images.pixels[image * kImageBytes], kImageBytes});
      const uint8_t label = images.labels[image];
      TRY_IN((folder / images.classes[label]).string(), write_image(folders[label], file_name(i), png));
    }
    on_written(end - begin);
    return {};
  });
}

Result<> write_meta(const Images& images, const Part& part, const fs::path& folder) {
  std::vector<std::vector<std::string>> names(images.classes.size());
  for (size_t i = 0; i < part.count; ++i) names[images.labels[part.first + i]].push_back(file_name(i));
  Json meta = Json::object();
  for (size_t label = 0; label < names.size(); ++label) meta[images.classes[label]] = std::move(names[label]);
  return write_file_atomic(folder / fmt::format("meta_{}.json", part.name), dump_json(meta), Durable::no);
}

Result<> move_into_place(const fs::path& from, const fs::path& to, std::string_view name) {
  TRY(tidemill::remove_all(to / name));
  std::error_code error;
  fs::rename(from / name, to / name, error);
  if (error)
    return fail(Code::kInternal, "move {} to {}: {}", (from / name).string(), to.string(), error.message());
  return {};
}

}  // namespace

Result<> write_data_set(const Images& images, const fs::path& folder,
                        const std::function<void(size_t)>& on_written) {
  TRY(make_dirs(folder));
  TempDir unfinished = TRY(TempDir::create(folder, ".unfinished-"));
  const fs::path& work = unfinished.path();
  std::vector<PngEncoder> encoders;
  for (int i = 0; i < core_count(); ++i) encoders.emplace_back(kSide, kSide);
  for (const Part& part : parts_of(images)) {
    TRY(write_part(images, part, work / part.name, encoders, on_written));
    TRY(write_meta(images, part, work));
  }
  Json classes = images.classes;
  TRY(write_file_atomic(work / kClassesFile, dump_json(classes), Durable::no));
  TRY(tidemill::remove_all(folder / kClassesFile));  // from here to the end the folder is not a data set
  TRY(tidemill::remove_all(folder / kPointerFile));
  for (std::string_view name : {"train", "test", "meta_train.json", "meta_test.json"})
    TRY(move_into_place(work, folder, name));
  return move_into_place(work, folder, kClassesFile);
}

Result<> write_data_pointer(const fs::path& data, const fs::path& folder) {
  TRY(make_dirs(folder));
  Json pointer = {{"path", fs::absolute(data).lexically_normal().string()}};
  return write_file_atomic(folder / kPointerFile, dump_json(pointer, 2) + "\n", Durable::no);
}

}  // namespace tidemill::cifar10
