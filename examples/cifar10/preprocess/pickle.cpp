#include "preprocess/pickle.h"

#include <cstring>
#include <string>
#include <unordered_map>
#include <variant>

namespace tidemill::cifar10 {
namespace {

struct Value;
using Ref = uint32_t;  // index of a value; values never move out of the arena
constexpr size_t kMaxValues = 4'000'000;

enum class Global { kReconstruct, kArrayClass, kDtype };
struct None {};
struct Mark {};
struct List {
  std::vector<Ref> items;
};
struct Tuple {
  std::vector<Ref> items;
};
struct Dict {
  std::vector<std::pair<Ref, Ref>> items;
};
// numpy's array or dtype while its pieces come in; state is its __setstate__ argument.
struct Object {
  Global made_by;
  Ref arguments;
  std::optional<Ref> state;
};

struct Value : std::variant<None, Mark, bool, int64_t, std::string_view, Global, List, Tuple, Dict, Object> {
  using variant::variant;
};

class Machine {
 public:
  explicit Machine(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  Result<Ref> run() {
    for (;;) {
      size_t start = at_;
      uint8_t op = TRY(byte());
      if (op == '.') return pop();
      TRY_IN(fmt::format("byte {}", start), step(op));
    }
  }
  const Value& value(Ref ref) const { return values_[ref]; }

 private:
  tl::unexpected<Error> truncated() {
    return fail(Code::kInvalid, "byte {}: the pickle is truncated", bytes_.size());
  }

  Result<std::span<const uint8_t>> take(size_t count) {
    if (count > bytes_.size() - at_) return truncated();
    auto taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }
  Result<uint8_t> byte() { return TRY(take(1))[0]; }
  Result<uint32_t> little_endian(size_t count) {
    uint32_t number = 0;
    auto raw = TRY(take(count));
    for (size_t i = 0; i < count; ++i) number |= uint32_t{raw[i]} << (8 * i);
    return number;
  }
  Result<std::string_view> text(size_t count) {
    auto raw = TRY(take(count));
    return std::string_view(reinterpret_cast<const char*>(raw.data()), raw.size());
  }
  Result<std::string_view> line() {
    const auto* end = static_cast<const uint8_t*>(memchr(bytes_.data() + at_, '\n', bytes_.size() - at_));
    if (!end) return truncated();
    auto found = TRY(text(static_cast<size_t>(end - bytes_.data()) - at_));
    ++at_;
    return found;
  }

  Result<> push(Value value) {
    if (values_.size() >= kMaxValues) return fail(Code::kInvalid, "more than {} values", kMaxValues);
    stack_.push_back(static_cast<Ref>(values_.size()));
    values_.push_back(std::move(value));
    return {};
  }
  Result<Ref> pop() {
    if (stack_.empty()) return fail(Code::kInvalid, "the pickle's stack is empty");
    Ref top = stack_.back();
    stack_.pop_back();
    return top;
  }
  Result<std::vector<Ref>> pop_to_mark() {
    std::vector<Ref> items;
    for (;;) {
      Ref top = TRY(pop());
      if (std::holds_alternative<Mark>(values_[top])) break;
      items.push_back(top);
    }
    std::reverse(items.begin(), items.end());
    return items;
  }
  template <class T>
  Result<T*> top_as(std::string_view kind) {
    if (!stack_.empty())
      if (T* found = std::get_if<T>(&values_[stack_.back()])) return found;
    return fail(Code::kInvalid, "the pickle needs a {} here", kind);
  }

  Result<> push_global() {
    std::string_view module = TRY(line()), name = TRY(line());
    bool array_module = module == "numpy.core.multiarray" || module == "numpy._core.multiarray";
    if (array_module && name == "_reconstruct") return push(Global::kReconstruct);
    if (module == "numpy" && name == "ndarray") return push(Global::kArrayClass);
    if (module == "numpy" && name == "dtype") return push(Global::kDtype);
    return fail(Code::kInvalid, "the pickle refers to {}.{}; only plain data and numpy arrays are read",
                module, name);
  }
  Result<> reduce() {
    Ref arguments = TRY(pop()), function = TRY(pop());
    const auto* global = std::get_if<Global>(&values_[function]);
    if (!global || *global == Global::kArrayClass || !std::holds_alternative<Tuple>(values_[arguments]))
      return fail(Code::kInvalid, "the pickle calls something other than numpy's array or dtype");
    return push(Object{*global, arguments, std::nullopt});
  }
  Result<> build() {
    Ref state = TRY(pop());
    TRY(top_as<Object>("numpy array"))->state = state;
    return {};
  }
  Result<> append(std::vector<Ref> items) {
    auto& list = TRY(top_as<List>("list"))->items;
    list.insert(list.end(), items.begin(), items.end());
    return {};
  }
  Result<> set_items(const std::vector<Ref>& items) {
    auto& dict = TRY(top_as<Dict>("dict"))->items;
    if (items.size() % 2 != 0) return fail(Code::kInvalid, "a dict of the pickle has a key without a value");
    for (size_t i = 0; i < items.size(); i += 2) dict.emplace_back(items[i], items[i + 1]);
    return {};
  }
  Result<> push_tuple(size_t count) {
    if (stack_.size() < count) return fail(Code::kInvalid, "the pickle's stack is too short");
    Tuple tuple{{stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end()}};
    stack_.resize(stack_.size() - count);
    return push(std::move(tuple));
  }
  Result<> remember(uint32_t slot) {
    if (stack_.empty()) return fail(Code::kInvalid, "the pickle's stack is empty");
    memo_[slot] = stack_.back();
    return {};
  }
  Result<> recall(uint32_t slot) {
    auto found = memo_.find(slot);
    if (found == memo_.end())
      return fail(Code::kInvalid, "the pickle refers to memo {}, which is not set", slot);
    stack_.push_back(found->second);
    return {};
  }
  Result<> push_long() {
    uint8_t count = TRY(byte());
    if (count > 8) return fail(Code::kInvalid, "an integer of {} bytes", count);
    auto raw = TRY(take(count));
    uint64_t number = count > 0 && raw[count - 1] >= 128 ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < count; ++i)
      number = (number & ~(uint64_t{0xff} << (8 * i))) | uint64_t{raw[i]} << (8 * i);
    return push(static_cast<int64_t>(number));
  }

  Result<> step(uint8_t op) {
    switch (op) {
      case 0x80:
        return byte().map([](uint8_t) {});  // PROTO
      case '(':
        return push(Mark{});
      case 'N':
        return push(None{});
      case 0x88:
        return push(true);
      case 0x89:
        return push(false);
      case 'K':
        return push(int64_t{TRY(byte())});
      case 'M':
        return push(int64_t{TRY(little_endian(2))});
      case 'J':
        return push(int64_t{static_cast<int32_t>(TRY(little_endian(4)))});
      case 0x8a:
        return push_long();
      case 'U':
        return push(TRY(text(TRY(byte()))));
      case 'T':
      case 'X':
        return push(TRY(text(TRY(little_endian(4)))));
      case 'c':
        return push_global();
      case ']':
        return push(List{});
      case '}':
        return push(Dict{});
      case ')':
        return push(Tuple{});
      case 't':
        return push(Tuple{TRY(pop_to_mark())});
      case 'l':
        return push(List{TRY(pop_to_mark())});
      case 0x85:
        return push_tuple(1);
      case 0x86:
        return push_tuple(2);
      case 0x87:
        return push_tuple(3);
      case 'a':
        return append({TRY(pop())});
      case 'e':
        return append(TRY(pop_to_mark()));
      case 's': {
        Ref item = TRY(pop()), key = TRY(pop());
        return set_items({key, item});
      }
      case 'u':
        return set_items(TRY(pop_to_mark()));
      case 'R':
        return reduce();
      case 'b':
        return build();
      case 'q':
        return remember(TRY(byte()));
      case 'r':
        return remember(TRY(little_endian(4)));
      case 'h':
        return recall(TRY(byte()));
      case 'j':
        return recall(TRY(little_endian(4)));
      default:
        return fail(Code::kInvalid, "unknown pickle opcode 0x{:02x}", op);
    }
  }

  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
  std::vector<Value> values_;
  std::vector<Ref> stack_;
  std::unordered_map<uint32_t, Ref> memo_;
};

// ---- From values to the batch ----

tl::unexpected<Error> unexpected_layout(std::string_view what) {
  return fail(Code::kInvalid, "the pickle's {} is not what a CIFAR batch holds", what);
}

// numpy's state: (version, shape, dtype, is_fortran, bytes).
Result<PickledArray> as_array(const Machine& machine, const Value& value) {
  const auto* object = std::get_if<Object>(&value);
  if (!object || object->made_by != Global::kReconstruct || !object->state) return unexpected_layout("data");
  const auto* state = std::get_if<Tuple>(&machine.value(*object->state));
  if (!state || state->items.size() != 5) return unexpected_layout("array state");
  const auto* shape = std::get_if<Tuple>(&machine.value(state->items[1]));
  const auto* dtype = std::get_if<Object>(&machine.value(state->items[2]));
  const auto* fortran = std::get_if<bool>(&machine.value(state->items[3]));
  const auto* bytes = std::get_if<std::string_view>(&machine.value(state->items[4]));
  if (!shape || !dtype || !fortran || !bytes || dtype->made_by != Global::kDtype)
    return unexpected_layout("array state");
  const auto& arguments = std::get<Tuple>(machine.value(dtype->arguments)).items;
  const auto* type =
      arguments.empty() ? nullptr : std::get_if<std::string_view>(&machine.value(arguments[0]));
  if (!type || *type != "u1" || *fortran) return unexpected_layout("array type");

  PickledArray array;
  uint64_t elements = 1;
  for (Ref item : shape->items) {
    const auto* extent = std::get_if<int64_t>(&machine.value(item));
    if (!extent || *extent < 0 || *extent > (int64_t{1} << 31) || elements > (uint64_t{1} << 31))
      return unexpected_layout("array shape");
    array.shape.push_back(*extent);
    elements *= static_cast<uint64_t>(*extent);
  }
  if (elements != bytes->size())
    return fail(Code::kInvalid, "the pickled array has {} bytes where its shape needs {}", bytes->size(),
                elements);
  array.bytes = {reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()};
  return array;
}

template <class T>
Result<std::vector<T>> as_list(const Machine& machine, const Value& value, std::string_view what) {
  const auto* list = std::get_if<List>(&value);
  if (!list) return unexpected_layout(what);
  std::vector<T> items;
  items.reserve(list->items.size());
  for (Ref item : list->items) {
    const T* typed = std::get_if<T>(&machine.value(item));
    if (!typed) return unexpected_layout(what);
    items.push_back(*typed);
  }
  return items;
}

}  // namespace

Result<PickledBatch> read_pickled_batch(std::span<const uint8_t> pickle) {
  Machine machine(pickle);
  Ref top = TRY(machine.run());
  const auto* dict = std::get_if<Dict>(&machine.value(top));
  if (!dict) return unexpected_layout("content");
  PickledBatch batch;
  for (auto [key_ref, value_ref] : dict->items) {
    const auto* key = std::get_if<std::string_view>(&machine.value(key_ref));
    if (!key) return unexpected_layout("key");
    const Value& value = machine.value(value_ref);
    if (*key == "data") batch.data = TRY(as_array(machine, value));
    if (*key == "labels" || *key == "fine_labels") batch.labels = TRY(as_list<int64_t>(machine, value, *key));
    if (*key == "label_names" || *key == "fine_label_names")
      batch.label_names = TRY(as_list<std::string_view>(machine, value, *key));
  }
  return batch;
}

}  // namespace tidemill::cifar10
