// One training, from the prepared data set to the model files.
#pragma once

#include "common/recorder.h"
#include "train/settings.h"

namespace tidemill::cifar10 {

// Writes into settings.output:
//   cifar10_<experiment>.safetensors, .pth, .onnx    the net at the end
//   test_predictions.json                            {"accuracy", "predictions": one class an image}
//   checkpoints/, tensorboard/                       while it runs
// kCancelled after an interrupt: a checkpoint of the very step is left, and resume goes on from it.
Result<> train(const Settings& settings, Recorder& recorder);

}  // namespace tidemill::cifar10
