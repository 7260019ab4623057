// Records a run at MLFLOW_TRACKING_URI, else at http://127.0.0.1:5000.
#include <iostream>

#include <tidemill/tidemill.h>

int main() {
  auto run = tidemill::sdk::Run::start({.experiment = "mnist"});
  if (!run) return std::cerr << run.error() << '\n', 1;
  run->log_param("learning_rate", "0.001");
  for (int step = 0; step < 100; ++step) run->log_metric("loss", 1.0 / (step + 1), step);
  if (auto ended = run->end(); !ended) return std::cerr << ended.error() << '\n', 1;
  std::cout << run->id() << '\n';
}
