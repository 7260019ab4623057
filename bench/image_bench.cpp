// Container images of the model server: the first build, a build after another training (only the model
// changed), and the size unpacked; beside `podman build` of a Containerfile that copies the same files. The
// ways take turns, so that other load hits all alike.
//
// Each build is a whole run of its program: cifar10-build with a layer cache of its own, podman with a store
// of its own. cifar10-build writes an archive that can be carried elsewhere; podman needs `podman save` for
// that, so it is shown without and with it. Figures are medians.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "arguments.h"
#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "measure.h"
#include "oci/archive.h"
#include "oci/elf.h"
#include "oci/gzip.h"
#include "oci/server_image.h"
#include "random_model.h"
#include "sys/process.h"

namespace tidemill::bench {
namespace {

constexpr std::chrono::minutes kPatience{5};
constexpr std::string_view kRivalName = "localhost/tidemill-bench:latest";

class Ours {
 public:
  explicit Ours(const fs::path& folder) : folder_(folder) {}

  void first(const fs::path& model) {
    must(tidemill::remove_all(folder_ / "cache"));
    build(model, first_);
  }
  void again(const fs::path& model) { build(model, again_); }
  fs::path archive() const { return folder_ / "out/image.tar"; }
  Figure first_, again_;

 private:
  void build(const fs::path& model, Figure& figure) {
    must(tidemill::remove_all(folder_ / "out"));
    figure.add(timed({CIFAR10_BUILD, "--model", model.string(), "--output", (folder_ / "out").string()},
                     folder_ / "log", {{"XDG_CACHE_HOME", (folder_ / "cache").string()}}));
  }
  fs::path folder_;
};

class Rival {
 public:
  // `archive` is an image of ours: its files are what the Containerfile copies.
  Rival(const fs::path& folder, const fs::path& archive) : folder_(folder) {
    auto image = must(oci::read_archive(archive));
    must(make_dirs(folder_ / "files/system"));
    must(oci::unpack_image(image, folder_ / "files/system"));
    must(tidemill::remove_all(folder_ / "files/system/model"));
    must(make_dirs(folder_ / "files/model"));
    std::string text = "FROM scratch\nCOPY system /\nENV";
    for (const std::string& variable : image.config.env) text += " " + variable;
    text += fmt::format("\nUSER {}\nENTRYPOINT [\"{}\"]\nCOPY model /model\n", image.config.user,
                        image.config.entrypoint.at(0));
    must(write_file_atomic(folder_ / "Containerfile", text));
  }
  ~Rival() { podman({"rmi", "-a", "-f"}); }

  // Why podman cannot build here; "" when it can.
  std::string obstacle() {
    if (!find_program("podman")) return "podman is not installed";
    auto tried = run_command(command({"info"}), kPatience);
    if (!tried) return tried.error().message;
    return tried->exit.ok() ? "" : tried->errors;
  }
  void first(const fs::path& model) {
    podman({"rmi", "-a", "-f"});
    build(model, first_, first_saved_);
  }
  void again(const fs::path& model) { build(model, again_, again_saved_); }
  Figure first_, again_, first_saved_, again_saved_;

 private:
  std::vector<std::string> command(const std::vector<std::string>& words) const {
    std::vector<std::string> argv = {"podman", "--root", (folder_ / "store").string(), "--runroot",
                                     (folder_ / "run").string()};
    argv.insert(argv.end(), words.begin(), words.end());
    return argv;
  }
  void podman(const std::vector<std::string>& words) const { (void)run_command(command(words), kPatience); }

  void build(const fs::path& model, Figure& figure, Figure& saved) {
    must(write_file_atomic(folder_ / "files/model/model.onnx", must(read_file(model))));
    must(tidemill::remove_all(folder_ / "image.tar"));
    const fs::path log = folder_ / "log";
    const Times built = timed(command({"build", "-q", "-t", std::string(kRivalName), "-f",
                                       (folder_ / "Containerfile").string(), (folder_ / "files").string()}),
                              log);
    const Times archived = timed(command({"save", "-q", "--format", "oci-archive", "-o",
                                          (folder_ / "image.tar").string(), std::string(kRivalName)}),
                                 log);
    figure.add(built);
    saved.add({built.wall + archived.wall, built.processor + archived.processor});
  }
  fs::path folder_;
};

void print_row(std::string_view name, const Figure& first, const Figure& again) {
  fmt::print("{:<28} {:>8.2f} {:>8.2f} {:>12.2f} {:>8.2f}\n", name, median(first.wall),
             median(first.processor), median(again.wall), median(again.processor));
}

void print_ratio(std::string_view name, const Figure& first, const Figure& again, const Ours& ours) {
  fmt::print("time / that of {}: first {:.3f}, model changed {:.3f}\n", name,
             median(ours.first_.wall) / median(first.wall), median(ours.again_.wall) / median(again.wall));
}

void show_levels(int rounds) {
  const std::string library = oci::without_symbols(must(read_file(must(oci::find_onnxruntime()))));
  fmt::print("ONNX Runtime without symbols, {}, medians of {}\n{:<6} {:>8} {:>10}\n",
             human_bytes(library.size()), rounds, "level", "seconds", "bytes");
  for (int level = 1; level <= 12; ++level) {
    std::vector<double> seconds;
    size_t size = 0;
    for (int i = 0; i < rounds; ++i) {
      Stopwatch watch;
      size = must(oci::gzip(library, level)).size();
      seconds.push_back(watch.seconds());
    }
    fmt::print("{:<6} {:>8.3f} {:>10}\n", level, median(seconds), size);
  }
}

void compare(int rounds, bool with_rival) {
  TempDir dir = must(TempDir::create({}, "tidemill-image-bench-"));
  const fs::path model = dir.path() / "model.onnx", other = dir.path() / "other/model.onnx";
  must(make_dirs(other.parent_path()));
  must(write_file_atomic(model, must(random_vgg11(1))));
  must(write_file_atomic(other, must(random_vgg11(2))));
  must(make_dirs(dir.path() / "ours"));
  Ours ours(dir.path() / "ours");
  std::optional<Rival> rival;
  for (int round = 0; round < rounds; ++round) {
    ours.first(model);
    ours.again(other);
    if (round == 0 && with_rival) {
      must(make_dirs(dir.path() / "rival"));
      rival.emplace(dir.path() / "rival", ours.archive());
      if (std::string obstacle = rival->obstacle(); !obstacle.empty()) {
        fmt::print("podman is left out: {}\n", obstacle);
        rival.reset();
      }
    }
    if (!rival) continue;
    rival->first(model);
    rival->again(other);
  }
  auto summary = must(parse_json(must(read_file(ours.archive().parent_path() / "image.json"))));
  fmt::print("{:<28} {:>8} {:>8} {:>12} {:>8}   (medians of {}, seconds)\n", "", "first", "cpu",
             "model changed", "cpu", rounds);
  print_row("cifar10-build", ours.first_, ours.again_);
  if (rival) {
    print_row("podman build", rival->first_, rival->again_);
    print_row("podman build and save", rival->first_saved_, rival->again_saved_);
    print_ratio("podman build", rival->first_, rival->again_, ours);
    print_ratio("podman build and save", rival->first_saved_, rival->again_saved_, ours);
  }
  fmt::print("model {:.1f} MB, unpacked {:.1f} MB, archive {:.1f} MB\n",
             static_cast<double>(fs::file_size(model)) / 1e6,
             static_cast<double>(json_int(summary, "unpacked_bytes")) / 1e6,
             static_cast<double>(json_int(summary, "archive_bytes")) / 1e6);
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  using namespace tidemill::bench;
  int rounds = 5;
  bool levels = false, without_rival = false;
  read_arguments(
      argc, argv,
      {.measures =
           "Container images of the model server: the time of the first build and of one after another\n"
           "training, and the size, beside podman.",
       .arguments = {{"--rounds N", &rounds, "Turns", 1},
                     {"--no-rival", &without_rival, "Leave podman out"},
                     {"--levels", &levels, "Instead: what each level of gzip costs for ONNX Runtime"}},
       .examples = {"image_bench --rounds 3", "image_bench --levels"}});
  if (levels)
    show_levels(rounds);
  else
    compare(rounds, !without_rival);
}
