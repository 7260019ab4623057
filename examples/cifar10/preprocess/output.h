// The prepared data set: train/<class>/<name>.png, test/<class>/<name>.png, classes.json, meta_train.json and
// meta_test.json. A name is the image's place in the official order, five digits, counted over train and test
// apart.
#pragma once

#include <functional>

#include "base/files.h"
#include "preprocess/source.h"

namespace tidemill::cifar10 {

// Writes everything beside its place inside folder and moves it there at the end, classes.json last; older
// output in the folder is replaced. After an error or an interrupt nothing of it is left. on_written(n) is
// called from several threads whenever n more images have been written.
Result<> write_data_set(const Images& images, const fs::path& folder,
                        const std::function<void(size_t)>& on_written);

// Makes folder stand for prepared data that lies elsewhere: writes data_location.json with the absolute path.
Result<> write_data_pointer(const fs::path& data, const fs::path& folder);

}  // namespace tidemill::cifar10
