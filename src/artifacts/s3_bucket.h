// One bucket of S3 or of what speaks its language: objects by key, streamed from and to files. Thread-safe.
// What the server could not do just now is tried three times.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "artifacts/aws_config.h"
#include "artifacts/s3_reply.h"
#include "base/result.h"
#include "net/http_client.h"

namespace tidemill::artifacts {

class S3Bucket {
 public:
  static Result<S3Bucket> open(std::string bucket, AwsConfig config);

  // Of an object; `headers` may ask for a range. kNotFound when there is none. The body goes to save_to when
  // that is not empty.
  Result<ClientResponse> get(const std::string& key, const Headers& headers, const fs::path& save_to) const;
  Result<ClientResponse> head(const std::string& key) const;
  Result<> put(const std::string& key, std::string_view bytes) const;
  // Large files in parts, so that a broken connection costs little.
  Result<> put_file(const std::string& key, const fs::path& file) const;
  Result<> remove(const std::string& key) const;  // also when there is none
  // One page of the keys that begin with prefix; delimiter "/": those in it alone, and its folders.
  Result<S3Listing> list(const std::string& prefix, const std::string& delimiter,
                         const std::string& next) const;

  struct Part {
    int number = 0;
    std::string etag;
  };
  Result<std::string> begin_upload(const std::string& key) const;
  Result<> complete_upload(const std::string& key, const std::string& id,
                           const std::vector<Part>& parts) const;
  Result<> abort_upload(const std::string& key, const std::string& id) const;

  // A URL for anybody, for so long.
  std::string presign(const std::string& method, const std::string& key, const Query& query,
                      std::chrono::seconds valid) const;

 private:
  struct Call {
    std::string method;
    std::string key;
    Query query = {};
    ClientRequest request = {};  // body, file, headers
  };
  S3Bucket(HttpClient client, AwsConfig config, std::string base_url, std::string host, std::string path)
      : client_(std::make_shared<HttpClient>(std::move(client))),
        config_(std::move(config)),
        base_url_(std::move(base_url)),
        host_(std::move(host)),
        path_(std::move(path)) {}
  std::string path_of(const std::string& key) const;
  Result<ClientResponse> send(const Call& call) const;
  Result<ClientResponse> send_once(const Call& call) const;
  Result<> put_parts(const std::string& key, const std::string& id, const fs::path& file,
                     uint64_t size) const;

  std::shared_ptr<HttpClient> client_;
  AwsConfig config_;
  std::string base_url_, host_;
  std::string path_;  // of the bucket: "/" where its name is in the host, else "/bucket/"
};

}  // namespace tidemill::artifacts
