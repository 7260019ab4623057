// Writes the file of a store without contents as C++: make_empty_store FILE.cpp
#include <cstdio>

#include "base/files.h"
#include "db/sqlite.h"
#include "tracking/schema_steps.h"

namespace tidemill {
namespace {

Result<std::string> empty_store() {
  TempDir folder = TRY(TempDir::create());
  fs::path file = folder.path() / "store.db";
  {
    auto connection = TRY(db::open_sqlite({.file = file}));
    TRY(db::migrate(*connection, {.application = tracking::kApplication, .steps = tracking::kSchemaSteps}));
  }
  return read_file(file);
}

Result<> write_source(const fs::path& source) {
  std::string bytes = TRY(empty_store());
  std::string text =
      "#include \"tracking/schema.h\"\n\nnamespace tidemill::tracking {\n\n"
      "static constexpr unsigned char kBytes[] = {";
  for (size_t i = 0; i < bytes.size(); ++i)
    text += fmt::format("{}{},", i % 64 == 0 ? "\n" : "", static_cast<unsigned char>(bytes[i]));
  text +=
      "};\n\nstd::string_view empty_store() { return {reinterpret_cast<const char*>(kBytes), sizeof kBytes}; "
      "}\n\n"
      "}  // namespace tidemill::tracking\n";
  return write_file_atomic(source, text, Durable::no);
}

}  // namespace
}  // namespace tidemill

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto written = tidemill::write_source(argv[1]);
  if (!written) std::fprintf(stderr, "%s\n", written.error().message.c_str());
  return written ? 0 : 1;
}
