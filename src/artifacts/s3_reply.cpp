#include "artifacts/s3_reply.h"

#include <charconv>

#include "base/text.h"

namespace tidemill::artifacts {
namespace {

constexpr size_t kMaxDepth = 16;

tl::unexpected<Error> malformed() {
  return fail(Code::kUnavailable, "the answer of S3 is not well-formed XML");
}

// A character as UTF-8; nothing for what is no character.
bool append_character(std::string& out, uint32_t code) {
  if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
  if (code < 0x80) {
    out += static_cast<char>(code);
    return true;
  }
  int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr uint8_t kFirst[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kFirst[more] | code >> (6 * more));
  while (more-- > 0) out += static_cast<char>(0x80 | (code >> (6 * more) & 0x3F));
  return true;
}

// "amp", "#38", "#x26".
bool append_entity(std::string& out, std::string_view name) {
  constexpr std::pair<std::string_view, char> kNamed[] = {
      {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
  for (const auto& [known, character] : kNamed)
    if (name == known) {
      out += character;
      return true;
    }
  if (!name.starts_with('#')) return false;
  name.remove_prefix(1);
  int base = name.starts_with('x') ? 16 : 10;
  if (base == 16) name.remove_prefix(1);
  uint32_t code = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), code, base);
  return error == std::errc() && end == name.data() + name.size() && append_character(out, code);
}

Result<std::string> decode(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '&') {
      out += text[at];
      continue;
    }
    size_t end = text.find(';', at);
    if (end == std::string_view::npos || !append_entity(out, text.substr(at + 1, end - at - 1)))
      return malformed();
    at = end;
  }
  return out;
}

}  // namespace

Result<> read_leaves(std::string_view xml,
                     const std::function<void(std::string_view path, std::string text)>& leaf) {
  std::vector<std::string> open;
  bool has_children = false, done = false;
  size_t text_from = 0;
  for (size_t at = xml.find('<'); at != std::string_view::npos; at = xml.find('<', at)) {
    std::string_view rest = xml.substr(at);
    if (rest.starts_with("<!--")) {
      size_t end = rest.find("-->", 4);
      if (end == std::string_view::npos || !open.empty()) return malformed();
      at += end + 3;
      continue;
    }
    size_t close = rest.find('>');
    if (close == std::string_view::npos || rest.starts_with("<!") || done) return malformed();
    std::string_view tag = rest.substr(1, close - 1);
    at += close + 1;
    if (tag.starts_with('?')) continue;
    if (tag.starts_with('/')) {
      if (open.empty() || trim(tag.substr(1)) != open.back()) return malformed();
      size_t text_to = at - close - 1;
      if (!has_children) leaf(join(open, "/"), TRY(decode(xml.substr(text_from, text_to - text_from))));
      open.pop_back();
      has_children = true;
      done = open.empty();
      continue;
    }
    std::string name(tag.substr(0, tag.find_first_of(" \t\r\n/")));
    if (name.empty() || open.size() >= kMaxDepth) return malformed();
    open.push_back(std::move(name));
    has_children = false;
    text_from = at;
    if (!tag.ends_with('/')) continue;
    leaf(join(open, "/"), "");
    open.pop_back();
    has_children = true;
    done = open.empty();
  }
  if (done) return {};
  return malformed();
}

// "2026-11-24T16:06:45.000Z"
static std::optional<std::chrono::sys_seconds> time_from(const std::string& text) {
  struct tm parts{};
  const char* end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!end || (*end != '.' && *end != 'Z')) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::seconds(timegm(&parts)));
}

Result<S3Listing> read_listing(std::string_view xml) {
  S3Listing listing;
  bool sizes_good = true, truncated = false;
  TRY(read_leaves(xml, [&](std::string_view path, std::string text) {
    if (path == "ListBucketResult/Contents/Key") {
      listing.objects.push_back({std::move(text), 0});
    } else if (path == "ListBucketResult/Contents/Size" && !listing.objects.empty()) {
      auto [end, error] =
          std::from_chars(text.data(), text.data() + text.size(), listing.objects.back().size);
      sizes_good = sizes_good && error == std::errc() && end == text.data() + text.size();
    } else if (path == "ListBucketResult/Contents/LastModified" && !listing.objects.empty()) {
      listing.objects.back().written = time_from(text);
    } else if (path == "ListBucketResult/Contents/ETag" && !listing.objects.empty()) {
      listing.objects.back().etag = std::move(text);
    } else if (path == "ListBucketResult/CommonPrefixes/Prefix") {
      listing.prefixes.push_back(std::move(text));
    } else if (path == "ListBucketResult/NextContinuationToken") {
      listing.next = std::move(text);
    } else if (path == "ListBucketResult/IsTruncated") {
      truncated = text == "true";
    }
  }));
  if (!sizes_good || (truncated && listing.next.empty())) return malformed();
  if (!truncated) listing.next.clear();
  return listing;
}

Result<std::string> read_upload_id(std::string_view xml) {
  std::string id;
  TRY(read_leaves(xml, [&](std::string_view path, std::string text) {
    if (path == "InitiateMultipartUploadResult/UploadId") id = std::move(text);
  }));
  if (id.empty()) return malformed();
  return id;
}

S3Problem read_problem(std::string_view xml) {
  S3Problem problem;
  auto read = read_leaves(xml, [&](std::string_view path, std::string text) {
    if (path == "Error/Code")
      problem.code = std::move(text);
    else if (path == "Error/Message")
      problem.message = std::move(text);
  });
  return read ? problem : S3Problem{};
}

}  // namespace tidemill::artifacts
