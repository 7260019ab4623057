// The image of the model server: which files, in which layers, with which settings.
#pragma once

#include "oci/image.h"

namespace tidemill::oci {

struct ServerImageOptions {
  fs::path server;       // the tidemill-serve program
  fs::path onnxruntime;  // libonnxruntime.so, which the server loads by itself
  fs::path model;        // an ONNX file
  std::string name = "tidemill-model:latest";
  std::string run_id;  // noted beside the image (index.json), so that it does not change the image's digest
  Pairs labels;        // added to the image's own: part of its digest
  int64_t created = 0;
};

// Layers libc | runtime | server | model. The server is the entry point; it listens on HTTP_PORT (8001) and
// GRPC_PORT (50051) and serves MODEL_PATH (/model/<file name of the model>); its flags are the container's
// arguments.
Result<ImageSpec> server_image(const ServerImageOptions& options);

// Where the server program and ONNX Runtime are found: beside this program (bin/, or ../lib for the library),
// then where the build found ONNX Runtime. kNotFound names the places looked at.
Result<fs::path> find_server();
Result<fs::path> find_onnxruntime();

}  // namespace tidemill::oci
