#include "oci/elf.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/text.h"

namespace tidemill::oci {
namespace {

constexpr size_t kMaxProgramHeaders = 1024;
constexpr size_t kMaxDynamicEntries = 65536;
constexpr size_t kMaxText = 4096;

// A structure at an offset, copied because foreign offsets need not be aligned.
template <class T>
std::optional<T> at(std::string_view bytes, uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

Result<Elf64_Ehdr> header_of(std::string_view bytes) {
  auto header = at<Elf64_Ehdr>(bytes, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
    return fail(Code::kInvalid, "not an ELF file");
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB)
    return fail(Code::kInvalid, "not a 64-bit little-endian ELF file");
  return *header;
}

Result<std::vector<Elf64_Phdr>> program_headers(std::string_view bytes, const Elf64_Ehdr& header) {
  if (header.e_phnum > kMaxProgramHeaders || (header.e_phnum > 0 && header.e_phentsize != sizeof(Elf64_Phdr)))
    return fail(Code::kInvalid, "ELF program headers of an unknown form");
  std::vector<Elf64_Phdr> headers;
  for (size_t i = 0; i < header.e_phnum; ++i) {
    uint64_t offset = 0;
    if (__builtin_add_overflow(header.e_phoff, i * sizeof(Elf64_Phdr), &offset))
      return fail(Code::kInvalid, "ELF program headers lie outside the file");
    auto entry = at<Elf64_Phdr>(bytes, offset);
    if (!entry) return fail(Code::kInvalid, "ELF program headers lie outside the file");
    headers.push_back(*entry);
  }
  return headers;
}

std::optional<std::string_view> part(std::string_view bytes, uint64_t offset, uint64_t size) {
  if (offset > bytes.size() || size > bytes.size() - offset) return std::nullopt;
  return bytes.substr(offset, size);
}

std::optional<uint64_t> file_offset(const std::vector<Elf64_Phdr>& headers, uint64_t address) {
  for (const Elf64_Phdr& segment : headers) {
    if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
    if (address - segment.p_vaddr >= segment.p_filesz) continue;
    uint64_t offset = 0;
    if (!__builtin_add_overflow(segment.p_offset, address - segment.p_vaddr, &offset)) return offset;
  }
  return std::nullopt;
}

std::optional<std::string> text_at(std::string_view table, uint64_t offset) {
  if (offset >= table.size()) return std::nullopt;
  std::string_view rest = table.substr(offset, kMaxText);
  size_t end = rest.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  return std::string(rest.substr(0, end));
}

std::vector<std::string> search_path(const std::string& text) {
  std::vector<std::string> dirs;
  for (std::string& dir : split(text, ':'))
    if (!dir.empty()) dirs.push_back(std::move(dir));
  return dirs;
}

Result<> read_dynamic(std::string_view bytes, const std::vector<Elf64_Phdr>& headers,
                      const Elf64_Phdr& dynamic, ElfFile& out) {
  auto table = part(bytes, dynamic.p_offset, dynamic.p_filesz);
  if (!table) return fail(Code::kInvalid, "the ELF dynamic section lies outside the file");
  std::vector<Elf64_Dyn> entries;
  for (size_t i = 0; i < kMaxDynamicEntries; ++i) {
    auto entry = at<Elf64_Dyn>(*table, i * sizeof(Elf64_Dyn));
    if (!entry || entry->d_tag == DT_NULL) break;
    entries.push_back(*entry);
  }
  uint64_t strings_address = 0, strings_size = 0;
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag == DT_STRTAB) strings_address = entry.d_un.d_ptr;
    if (entry.d_tag == DT_STRSZ) strings_size = entry.d_un.d_val;
  }
  auto offset = file_offset(headers, strings_address);
  auto strings = offset ? part(bytes, *offset, strings_size) : std::nullopt;
  if (!strings) return fail(Code::kInvalid, "the ELF string table lies outside the file");

  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag != DT_NEEDED && entry.d_tag != DT_SONAME && entry.d_tag != DT_RPATH &&
        entry.d_tag != DT_RUNPATH)
      continue;
    auto text = text_at(*strings, entry.d_un.d_val);
    if (!text) return fail(Code::kInvalid, "an ELF dynamic entry points outside the string table");
    if (entry.d_tag == DT_NEEDED) out.needed.push_back(std::move(*text));
    if (entry.d_tag == DT_SONAME) out.soname = std::move(*text);
    if (entry.d_tag == DT_RPATH) out.rpath = search_path(*text);
    if (entry.d_tag == DT_RUNPATH) out.runpath = search_path(*text);
  }
  if (!out.runpath.empty()) out.rpath.clear();
  return {};
}

bool has_unloaded_symbols(std::string_view bytes, const Elf64_Ehdr& header) {
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum == 0) return false;
  auto names = at<Elf64_Shdr>(bytes, header.e_shoff + uint64_t{header.e_shstrndx} * sizeof(Elf64_Shdr));
  auto table = names ? part(bytes, names->sh_offset, names->sh_size) : std::nullopt;
  if (!table) return false;
  for (size_t i = 0; i < header.e_shnum; ++i) {
    auto section = at<Elf64_Shdr>(bytes, header.e_shoff + i * sizeof(Elf64_Shdr));
    if (!section) return false;
    if (section->sh_type == SHT_SYMTAB) return true;
    auto name = text_at(*table, section->sh_name);
    if (name && name->starts_with(".debug_")) return true;
  }
  return false;
}

}  // namespace

Result<ElfFile> parse_elf(std::string_view bytes) {
  Elf64_Ehdr header = TRY(header_of(bytes));
  std::vector<Elf64_Phdr> headers = TRY(program_headers(bytes, header));
  ElfFile file;
  file.machine = header.e_machine;
  for (const Elf64_Phdr& segment : headers) {
    if (segment.p_type == PT_INTERP) {
      auto text = part(bytes, segment.p_offset, segment.p_filesz);
      if (!text || text->size() > kMaxText)
        return fail(Code::kInvalid, "the ELF interpreter lies outside the file");
      file.interpreter = std::string(text->substr(0, text->find('\0')));
    }
    if (segment.p_type == PT_DYNAMIC) TRY(read_dynamic(bytes, headers, segment, file));
  }
  return file;
}

std::string without_symbols(std::string bytes) {
  auto header = header_of(bytes);
  if (!header || !has_unloaded_symbols(bytes, *header)) return bytes;
  auto headers = program_headers(bytes, *header);
  if (!headers || headers->empty()) return bytes;
  uint64_t end = header->e_phoff + header->e_phnum * sizeof(Elf64_Phdr);
  for (const Elf64_Phdr& segment : *headers) {
    if (!part(bytes, segment.p_offset, segment.p_filesz)) return bytes;
    end = std::max(end, segment.p_offset + segment.p_filesz);
  }
  if (end >= bytes.size()) return bytes;
  const auto before = parse_elf(bytes);
  Elf64_Ehdr stripped = *header;
  stripped.e_shoff = 0;
  stripped.e_shnum = 0;
  stripped.e_shstrndx = SHN_UNDEF;
  std::memcpy(bytes.data(), &stripped, sizeof(stripped));
  // What the loader reads may lie in the header itself, or reach beyond its segment.
  const auto after = parse_elf(std::string_view(bytes).substr(0, end));
  if (before && (!after || after->needed != before->needed || after->interpreter != before->interpreter)) {
    std::memcpy(bytes.data(), &*header, sizeof(*header));
    return bytes;
  }
  bytes.resize(end);
  return bytes;
}

std::string_view oci_architecture(uint16_t elf_machine) {
  switch (elf_machine) {
    case EM_X86_64:
      return "amd64";
    case EM_AARCH64:
      return "arm64";
    case EM_RISCV:
      return "riscv64";
    case EM_PPC64:
      return "ppc64le";
    default:
      return "";
  }
}

}  // namespace tidemill::oci
