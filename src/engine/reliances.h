// What the decisions of a run relied upon, told while they are made, so that it can be asked later whether
// all of it is as it was.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/file_tree.h"

namespace tidemill::engine {

// A file, a folder, or a place where nothing was, by its content.
struct Reliance {
  std::string path;      // absolute; a path takes five times the memory of its text
  bool is_code = false;  // a folder without what is no code
  std::string digest;    // FileTree::digest
  TreeStamps stamps;
};

struct Reliances {
  std::vector<Reliance> files;
  std::vector<std::string> no_files;                           // paths where there is no regular file
  std::vector<std::pair<std::string, std::string>> programs;   // where a name leads to; "": nowhere
  std::vector<std::pair<std::string, std::string>> variables;  // of this process
};

std::string encode(const Reliances& reliances);
class Bytes;
bool decode(Bytes& in, Reliances& reliances);

// Whether all of it is as it was. Files that were touched, or written just before they were looked at, are
// read; their stamps are then those of now, and `renewed` tells that there were some.
Result<bool> hold(Reliances& reliances, const FileHashes& hashes, const Options& options, bool& renewed);

// Collects them. Nothing can be relied upon when a thing was met with two contents, or after spoil().
class RelianceLog {
 public:
  // own: as of FileHashes.
  explicit RelianceLog(std::vector<fs::path> own) : own_(std::move(own)) {}

  void add(const fs::path& path, bool is_code, const std::string& digest, TreeStamps stamps);
  // A file that was read already. Spoils when it does not hold this content any more.
  void add_file(const fs::path& path, const std::string& sha256);
  void add_no_file(const fs::path& path) { no_files_.emplace(path.string(), ""); }
  void add_program(const std::string& name, const fs::path& place) {
    programs_.emplace(name, place.string());
  }
  void add_variable(const std::string& name, const std::string& value) { variables_.emplace(name, value); }
  void spoil() { spoilt_ = true; }

  // nullopt when it is of no use. Looks once more at small things that were written just before.
  std::optional<Reliances> take();

 private:
  std::vector<fs::path> own_;
  bool spoilt_ = false;
  struct Content {
    std::string digest;
    TreeStamps stamps;
  };
  std::map<std::pair<std::string, bool>, Content> files_;  // by path and whether it is code
  std::map<std::string, std::string> no_files_, programs_, variables_;
};

}  // namespace tidemill::engine
