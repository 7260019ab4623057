// Bytes from the network as the server reads them: requests in pieces, URLs, queries.
#include <cstdint>
#include <cstdlib>

#include "net/request_reader.h"

using tidemill::RequestReader;

static void read_stream(std::string_view stream, size_t piece) {
  std::string pending;
  RequestReader reader(2048, 4096);
  for (size_t given = 0;;) {
    size_t used = 0;
    RequestReader::Step step = reader.feed(pending, used);
    if (used > pending.size()) abort();
    pending.erase(0, used);
    if (step == RequestReader::Step::kFailed) {
      if (reader.status() < 400 || reader.status() > 599) abort();
      return;
    }
    if (step == RequestReader::Step::kDone) {
      tidemill::HttpRequest request = reader.take();
      if (request.body.size() > 4096 || request.path.size() > 2048) abort();
      reader = RequestReader(2048, 4096);
    }
    if (step != RequestReader::Step::kNeedMore) continue;
    if (given == stream.size()) return;
    pending += stream.substr(given, piece);
    given = std::min(stream.size(), given + piece);
  }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (size_t piece : {size_t{1}, size_t{7}, size_t{1 << 16}}) read_stream(text, piece);
  tidemill::parse_query(text);
  tidemill::Url url;
  if (tidemill::parse_url(text, url) &&
      (url.host.empty() || url.port.empty() || !url.target.starts_with('/')))
    abort();
  return 0;
}
