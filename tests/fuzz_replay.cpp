// Runs a fuzz target over its corpus where libFuzzer is not used: each file as it is, then damaged in simple
// ways (cut short, one bit flipped, repeated), so that every build exercises the parser's error paths.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

static void feed(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

static void feed_damaged(const std::string& bytes, std::mt19937& random) {
  constexpr int kVariants = 200;
  for (int i = 0; i < kVariants && !bytes.empty(); ++i) {
    std::string variant = bytes;
    for (int flips = i % 4; flips >= 0; --flips)
      variant[random() % variant.size()] ^= static_cast<char>(1 << (random() % 8));
    if (i % 3 == 0) variant.resize(random() % variant.size());
    feed(variant);
  }
  feed(bytes + bytes);
}

int main(int argc, char** argv) {
  std::mt19937 random(1);
  size_t files = 0;
  feed("");
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream in(entry.path(), std::ios::binary);
      std::string bytes{std::istreambuf_iterator<char>(in), {}};
      feed(bytes);
      feed_damaged(bytes, random);
      ++files;
    }
  }
  std::printf("replayed %zu corpus files and their damaged variants\n", files);
  return files > 0 ? 0 : 1;
}
