#include "nn/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/time.h"

namespace tidemill::nn {
namespace {

constexpr std::array<uint32_t, 256> kTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}();

// Protocol buffer fields (https://protobuf.dev/programming-guides/encoding), for three tiny messages.
enum WireType : uint8_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
void put_tag(std::string& out, uint32_t field, WireType type) { put_varint(out, field << 3 | type); }
template <class T>
void put_raw(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  put_tag(out, field, kLength);
  put_varint(out, bytes.size());
  out += bytes;
}

// tensorflow.Event: wall_time = 1, step = 2, file_version = 3, summary = 5.
std::string event(double wall_seconds, int64_t step) {
  std::string out;
  put_tag(out, 1, kFixed64);
  put_raw(out, wall_seconds);
  put_tag(out, 2, kVarint);
  put_varint(out, static_cast<uint64_t>(step));
  return out;
}

}  // namespace

uint32_t masked_crc32c(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (char c : bytes) crc = crc >> 8 ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8U;
}

Result<EventWriter> EventWriter::create(const fs::path& folder) {
  TRY(make_dirs(folder));
  char host[256] = "localhost";
  if (gethostname(host, sizeof host - 1) != 0) strcpy(host, "localhost");
  const int64_t now = now_ms();
  const fs::path path = folder / fmt::format("events.out.tfevents.{:010}.{}.{}", now / 1000, host, getpid());
  EventWriter writer(TRY(open_file(path, O_WRONLY | O_CREAT | O_APPEND)), path);
  std::string first = event(static_cast<double>(now) / 1000, 0);
  put_bytes(first, 3, "brain.Event:2");
  TRY(writer.write_record(first));
  return writer;
}

Result<> EventWriter::add_scalar(std::string_view tag, float value, int64_t step, int64_t wall_ms) {
  std::string scalar;  // Summary.Value: tag = 1, simple_value = 2
  put_bytes(scalar, 1, tag);
  put_tag(scalar, 2, kFixed32);
  put_raw(scalar, value);
  std::string summary;
  put_bytes(summary, 1, scalar);
  std::string message = event(static_cast<double>(wall_ms) / 1000, step);
  put_bytes(message, 5, summary);
  return write_record(message);
}

Result<> EventWriter::write_record(std::string_view message) {
  std::string record;
  put_raw(record, static_cast<uint64_t>(message.size()));
  put_raw(record, masked_crc32c(record));
  record += message;
  put_raw(record, masked_crc32c(message));
  return write_all(file_, record).map_error([&](Error error) { return std::move(error).in(path_.string()); });
}

}  // namespace tidemill::nn
