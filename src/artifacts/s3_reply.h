// What S3 answers, out of its XML. Only what is needed here; what cannot be read is an error, not a guess.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::artifacts {

// Calls leaf(path, text) for each element without children, path as "ListBucketResult/Contents/Key".
// kUnavailable when it is not well-formed, or is nested deeper than 16. Attributes are skipped; DOCTYPE is
// refused.
Result<> read_leaves(std::string_view xml,
                     const std::function<void(std::string_view path, std::string text)>& leaf);

struct S3Listing {
  struct Object {
    std::string key;
    uint64_t size = 0;
    std::optional<std::chrono::sys_seconds> written = {};
    std::string etag = {};
  };
  std::vector<Object> objects;
  std::vector<std::string> prefixes;  // folders, each with a slash at its end
  std::string next;                   // continuation token; "" on the last page
};
Result<S3Listing> read_listing(std::string_view xml);
Result<std::string> read_upload_id(std::string_view xml);

struct S3Problem {
  std::string code, message;
};
// Both "" when the text is no error.
S3Problem read_problem(std::string_view xml);

}  // namespace tidemill::artifacts
