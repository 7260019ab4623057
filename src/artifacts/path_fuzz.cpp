// Whatever a client names as an artifact, nothing outside of the repository's folder is read, written or
// removed, also where a link in it leads out.
#include <cstdint>
#include <cstdlib>

#include "artifacts/folder_repository.h"
#include "base/text.h"

using namespace tidemill;
using artifacts::FolderRepository;

namespace {

const std::string kSecret = "nobody's business";

struct World {
  TempDir folder = TempDir::create(fs::exists("/dev/shm") ? "/dev/shm" : "").value();
  fs::path root = folder.path() / "root", outside = folder.path() / "outside", secret = outside / "secret";
  FolderRepository repository{root};

  World() { check(make_dirs(outside) && write_file_atomic(secret, kSecret, Durable::no)); }
  void make_root() const {
    check(tidemill::remove_all(root) && make_dirs(root / "sub") &&
          write_file_atomic(root / "sub" / "file", "x", Durable::no));
    fs::create_symlink(outside, root / "link");
  }
  void is_untouched() const {
    auto content = read_file(secret);
    auto files = std::distance(fs::directory_iterator(outside), fs::directory_iterator());
    auto places = std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator());
    check(content && *content == kSecret && files == 1 && places == 2);
  }
  static void check(bool good) {
    if (!good) std::abort();
  }
};

void try_path(const World& world, std::string_view path) {
  if (auto found = world.repository.find(path)) World::check(artifacts::lies_in(*found, world.root));
  if (auto files = world.repository.list(path))
    for (const auto& file : *files) World::check(file.name != "secret" && file.name != "root");
  (void)world.repository.put(path, "y");
  world.is_untouched();
  (void)world.repository.remove(path);
  world.is_untouched();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const World world;
  std::string_view path(reinterpret_cast<const char*>(data), size);
  for (const std::string& form : {std::string(path), url_decode(path), url_decode(url_decode(path))}) {
    world.make_root();
    try_path(world, form);
  }
  (void)artifacts::local_folder(path);
  (void)artifacts::proxied_path(path);
  return 0;
}
