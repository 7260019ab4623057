// Fits a line to points by gradient descent and writes model.json. Usage: train EPOCHS RATE OUTPUT_FOLDER
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <utility>
#include <vector>

#ifdef HAVE_TIDEMILL
#include <tidemill/tidemill.h>
#endif

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: train EPOCHS RATE OUTPUT_FOLDER\n";
    return 2;
  }
  const int epochs = std::atoi(argv[1]);
  const double rate = std::atof(argv[2]);
  const std::filesystem::path output = argv[3];

#ifdef HAVE_TIDEMILL
  auto run = tidemill::sdk::Run::start();  // joins the step's run
  if (!run) {
    std::cerr << run.error() << "\n";
    return 1;
  }
#endif

  std::mt19937 random(1);
  std::uniform_real_distribution<double> position(-1, 1);
  std::normal_distribution<double> noise(0, 0.1);
  std::vector<std::pair<double, double>> points(1000);
  for (auto& [x, y] : points) {
    x = position(random);
    y = 3 * x + 2 + noise(random);
  }

  double slope = 0, offset = 0;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    double error = 0, by_slope = 0, by_offset = 0;
    for (const auto& [x, y] : points) {
      const double gap = slope * x + offset - y;
      error += gap * gap / points.size();
      by_slope += 2 * gap * x / points.size();
      by_offset += 2 * gap / points.size();
    }
    slope -= rate * by_slope;
    offset -= rate * by_offset;
    std::cout << "epoch " << epoch << "  error " << error << "\n";
#ifdef HAVE_TIDEMILL
    run->log_metrics({{"error", error}, {"slope", slope}}, epoch);
#endif
  }

  std::filesystem::create_directories(output);
  std::ofstream(output / "model.json") << "{\"slope\": " << slope << ", \"offset\": " << offset << "}\n";
#ifdef HAVE_TIDEMILL
  if (auto ended = run->end(); !ended) {
    std::cerr << ended.error() << "\n";
    return 1;
  }
#endif
}
