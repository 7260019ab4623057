// train_bench: training steps a second, beside PyTorch's in turns in the same minutes.
// Figures are images a second from the median step. A step in which the threads of the process waited for a
// processor longer than 1 % of the time is left out where enough others remain; the share kept is printed.
// Tidemill's step includes preparing the batch from bytes, PyTorch's does not. PyTorch is that of
// TIDEMILL_PYTHON (~/.cache/tidemill/venv/bin/python).
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>

#include <fcntl.h>
#include <poll.h>

#include "arguments.h"
#include "base/files.h"
#include "base/text.h"
#include "nn/trainer.h"
#include "sys/process.h"

namespace tidemill::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Sample {
  double seconds, waited;
};

struct Options {
  std::string model = "vgg11";
  std::vector<int> batches = {32, 128};
  int rounds = 8;
  bool pieces = false, without_rival = false;
};

// Time that this process's threads were ready to run but had no processor.
double waited() {
  double total = 0;
  std::error_code error;
  for (const auto& task : fs::directory_iterator("/proc/self/task", error)) {
    unsigned long long running = 0, waiting = 0;
    const Result<std::string> text = read_file(task.path() / "schedstat");
    if (text && std::sscanf(text->c_str(), "%llu %llu", &running, &waiting) == 2)
      total += static_cast<double>(waiting) * 1e-9;
  }
  return total;
}

struct Figure {
  double median = 0;  // seconds
  size_t kept = 0, all = 0;
};

Figure figure_of(const std::vector<Sample>& samples) {
  std::vector<double> clean, all;
  for (const Sample& s : samples) {
    all.push_back(s.seconds);
    if (s.waited < std::max(30e-6, 0.01 * s.seconds)) clean.push_back(s.seconds);
  }
  constexpr size_t kEnough = 5;
  std::vector<double>& use = clean.size() >= kEnough ? clean : all;
  if (use.empty()) return {};
  std::sort(use.begin(), use.end());
  return {use[use.size() / 2], clean.size(), all.size()};
}

// One of Tidemill's configurations.
class Own {
 public:
  static Result<Own> create(nn::ModelType model, nn::Precision precision, int batch) {
    nn::TrainerConfig config;
    config.net = TRY(nn::make_net(model, 10));
    config.batch_size = batch;
    config.precision = precision;
    Own own;
    own.trainer_ = TRY(nn::Trainer::create(config));
    std::mt19937 random(3);
    own.images_.resize(static_cast<size_t>(batch) * 3072);
    for (uint8_t& byte : own.images_) byte = static_cast<uint8_t>(random());
    for (int i = 0; i < batch; ++i) {
      own.labels_.push_back(static_cast<uint8_t>(random() % 10));
      own.indices_.push_back(static_cast<uint32_t>(i));
    }
    for (int i = 0; i < 3; ++i) own.step();
    return own;
  }

  void run(int steps, std::vector<Sample>& samples) {
    for (int i = 0; i < steps; ++i) {
      const double before = waited();
      const auto start = Clock::now();
      step();
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      samples.push_back({seconds, waited() - before});
      if (samples.back().waited < 0.01 * seconds)
        for (const nn::PieceTime& piece : trainer_->piece_times())
          pieces_[piece.name].push_back(piece.seconds);
    }
  }

  void print_pieces() {
    for (auto& [name, times] : pieces_) {
      std::sort(times.begin(), times.end());
      fmt::print("    {:<18} {:7.2f} ms\n", name, times[times.size() / 2] * 1e3);
    }
  }

 private:
  void step() { trainer_->train_step({images_, labels_}, indices_, 1e-3F); }

  std::unique_ptr<nn::Trainer> trainer_;
  std::vector<uint8_t> images_, labels_;
  std::vector<uint32_t> indices_;
  std::map<std::string, std::vector<double>> pieces_;
};

// PyTorch in a process of its own that waits for requests.
class Rival {
 public:
  static Result<Rival> start() {
    const char* given = std::getenv("TIDEMILL_PYTHON");
    const char* home = std::getenv("HOME");
    const std::string python =
        given ? given : fmt::format("{}/.cache/tidemill/venv/bin/python", home ? home : "");
    if (!fs::exists(python))
      return fail(Code::kNotFound, "no Python with PyTorch at {}: set TIDEMILL_PYTHON", python);
    TempDir dir = TRY(TempDir::create());
    const fs::path requests = dir.path() / "requests", answers = dir.path() / "answers";
    for (const fs::path& pipe : {requests, answers})
      if (mkfifo(pipe.c_str(), 0600) != 0) return tl::unexpected(errno_error("mkfifo", errno));
    Process process = TRY(Process::start({.argv = {python, TIDEMILL_SOURCE_DIR "/bench/train_rival.py",
                                                   requests.string(), answers.string()}}));
    Rival rival(std::move(dir), std::move(process));
    // Both ends open: neither open() waits for a Python that failed.
    rival.requests_ = TRY(open_file(requests, O_RDWR));
    rival.answers_ = TRY(open_file(answers, O_RDWR));
    return rival;
  }

  Result<> run(std::string_view model, std::string_view variant, int batch, int steps,
               std::vector<Sample>& samples) {
    TRY(write_all(requests_, fmt::format("{} {} {} {}\n", model, variant, batch, steps)));
    while (true) {
      const std::string line = TRY(read_line());
      if (line == "end") return {};
      Sample sample{};
      if (std::sscanf(line.c_str(), "%lf %lf", &sample.seconds, &sample.waited) != 2)
        return fail(Code::kInternal, "train_rival.py answered '{}'", line);
      samples.push_back(sample);
    }
  }

 private:
  Rival(TempDir dir, Process process) : dir_(std::move(dir)), process_(std::move(process)) {}

  Result<std::string> read_line() {
    while (true) {
      if (const size_t end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      pollfd fds[2] = {{answers_.get(), POLLIN, 0}, {process_.pidfd(), POLLIN, 0}};
      poll(fds, 2, -1);
      if (!(fds[0].revents & POLLIN))
        return fail(Code::kInternal, "train_rival.py ended: {}", process_.wait().describe());
      char bytes[4096];
      buffer_.append(bytes, TRY(read_some(answers_, bytes)));
    }
  }

  TempDir dir_;
  Process process_;
  Fd requests_, answers_;
  std::string buffer_;
};

struct Row {
  std::string name;
  std::vector<Sample> samples;
  double images_per_second = 0;
};

void print(Row& row, int batch) {
  const Figure figure = figure_of(row.samples);
  row.images_per_second = figure.median > 0 ? batch / figure.median : 0;
  fmt::print("  {:<44} {:8.1f} img/s   {:8.2f} ms   {} of {} steps undisturbed\n", row.name,
             row.images_per_second, figure.median * 1e3, figure.kept, figure.all);
}

Result<> compare(const Options& options, int batch, std::optional<Rival>& rival) {
  constexpr int kStepsPerTurn = 6;
  const nn::ModelType model = TRY(nn::parse_model_type(options.model));
  Own best = TRY(Own::create(model, nn::Precision::kAuto, batch));
  Own exact = TRY(Own::create(model, nn::Precision::kF32, batch));
  Row rows[] = {{"Tidemill, precision auto"},
                {"Tidemill, f32"},
                {"PyTorch as shipped (f32)"},
                {"PyTorch tuned (bf16, channels_last, fused)"}};
  for (int round = 0; round < options.rounds; ++round) {
    best.run(kStepsPerTurn, rows[0].samples);
    exact.run(kStepsPerTurn, rows[1].samples);
    if (!rival) continue;
    TRY(rival->run(options.model, "shipped", batch, kStepsPerTurn, rows[2].samples));
    TRY(rival->run(options.model, "tuned", batch, kStepsPerTurn, rows[3].samples));
  }
  fmt::print("{} batch {}\n", options.model, batch);
  for (Row& row : rows)
    if (!row.samples.empty()) print(row, batch);
  if (rival)
    fmt::print("  ratio: {:.2f} to PyTorch as shipped, {:.2f} to PyTorch tuned\n",
               rows[0].images_per_second / rows[2].images_per_second,
               rows[0].images_per_second / rows[3].images_per_second);
  if (options.pieces) best.print_pieces();
  std::fflush(stdout);
  return {};
}

Result<> run(const Options& options) {
  std::optional<Rival> rival;
  if (!options.without_rival) {
    Result<Rival> started = Rival::start();
    if (started)
      rival.emplace(std::move(*started));
    else
      fmt::print("Tidemill alone: {}\n", started.error().message);
  }
  for (int batch : options.batches) TRY(compare(options, batch, rival));
  return {};
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  using namespace tidemill;
  bench::Options options;
  bench::read_arguments(
      argc, argv,
      {.measures = "Training steps a second, beside PyTorch's (of TIDEMILL_PYTHON), in turns.",
       .arguments = {{"--model TYPE", &options.model, "The net", 0, {"simple", "vgg11", "vgg16"}},
                     {"--batch N", &options.batches,
                      "Images of a step; several are measured one after another", 1},
                     {"--rounds N", &options.rounds, "Turns of six steps", 1},
                     {"--pieces", &options.pieces, "Print what the parts of Tidemill's step take"},
                     {"--no-rival", &options.without_rival, "Leave PyTorch out"}},
       .examples = {"train_bench --batch 32,128 --rounds 2",
                    "train_bench --model simple --no-rival --pieces"}});
  const Result<> result = bench::run(options);
  if (result) return 0;
  fmt::print(stderr, "train_bench: {}\n", result.error().message);
  return exit_code(result.error().code);
}
