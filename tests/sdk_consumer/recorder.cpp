// A training program on strings: starts a run, does what each line of stdin says and answers with a line.
//   points FROM TO   a point of "loss" for each step in [FROM, TO)
//   flush | end
// usage: recorder PATIENCE_IN_SECONDS
#include <tidemill/tidemill.h>

#include <iostream>
#include <string>

int main(int, char** argv) {
  auto run = tidemill::sdk::Run::start(
      {.experiment = "recorder", .patience = std::chrono::seconds(std::stoi(argv[1]))});
  std::cout << (run ? run->id() : "error: " + run.error().message) << std::endl;
  if (!run) return 1;
  run->log_param("optimizer", "adam");
  run->set_tag("language", "C++");
  for (std::string word; std::cin >> word;) {
    tidemill::sdk::Result<> done;
    int from = 0, to = 0;
    if (word == "points" && std::cin >> from >> to)
      for (int step = from; step < to; ++step) run->log_metric("loss", step * 0.5, step);
    if (word == "flush") done = run->flush();
    if (word == "end") done = run->end();
    std::cout << (done ? "ok" : "error: " + done.error().message) << std::endl;
  }
}
