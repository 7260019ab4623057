// Classifies images by the model server's gRPC interface (onnxruntime.server.PredictionService), one image a
// request, several requests on the way.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/dataset.h"

namespace tidemill::cifar10 {

// x = (pixel / 255 - mean) / deviation per channel: what the training step fed the net.
struct Normalisation {
  std::vector<float> mean = {0.4914f, 0.4822f, 0.4465f};
  std::vector<float> deviation = {0.2470f, 0.2435f, 0.2616f};
};
// One image, [channels][height][width], into out (as many floats).
void normalise(const DataSplit& data, size_t image, const Normalisation& normalisation,
               std::vector<float>& out);

struct ClientOptions {
  std::string target;           // "127.0.0.1:50051"
  std::string input = "input";  // the model's input name
  int connections = 2;
  int in_flight = 8;  // requests on the way for each connection
  Normalisation normalisation;
  std::chrono::milliseconds timeout{30'000};  // of one request
};

struct Answers {
  std::vector<int> predictions;  // index of the largest output, by image
  std::vector<float> seconds;    // from sending to the answer, by image
};

// Waits until the server says SERVING. `alive` is asked now and then; its error ends the wait.
Result<> wait_ready(const std::string& target, std::chrono::milliseconds timeout,
                    const std::function<Result<>()>& alive);

// Sends every image. on_done(1) is called for each answer, from several threads; `alive` as above. The first
// failed request ends all; the error names the image. kCancelled after an interrupt.
Result<Answers> classify(const DataSplit& data, const ClientOptions& options,
                         const std::function<void(size_t)>& on_done, const std::function<Result<>()>& alive);

}  // namespace tidemill::cifar10
