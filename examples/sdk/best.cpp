// Prints the run of the experiment "mnist" that has the lowest loss, and the loss.
#include <iostream>

#include <tidemill/client.h>

int main() {
  auto client = tidemill::sdk::Client::connect();
  if (!client) return std::cerr << client.error() << '\n', 1;
  auto experiment = client->experiment_by_name("mnist");
  if (!experiment) return std::cerr << experiment.error() << '\n', 1;
  auto best = client->search_runs({experiment->id}, {.order_by = {"metrics.loss ASC"}, .max_results = 1});
  if (!best) return std::cerr << best.error() << '\n', 1;
  for (const auto& run : best->items) std::cout << run.id << ' ' << run.metrics.at("loss").value << '\n';
}
