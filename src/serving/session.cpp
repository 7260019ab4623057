#include "serving/session.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <onnxruntime_c_api.h>

#include <cstdlib>

#include "base/log.h"
#include "base/text.h"
#include "serving/status.h"

namespace tidemill::serving {

namespace {

// The oldest table that has all we call, so that older and newer libraries both work.
constexpr uint32_t kApiVersion = 17;

struct Runtime {
  const OrtApi* api = nullptr;
  OrtEnv* env = nullptr;
  OrtMemoryInfo* memory = nullptr;
  OrtAllocator* allocator = nullptr;
  std::string version;
};
Runtime runtime;

Error take_status(OrtStatus* status) {
  Error error = ort_error(static_cast<OrtCode>(runtime.api->GetErrorCode(status)),
                          runtime.api->GetErrorMessage(status));
  runtime.api->ReleaseStatus(status);
  return error;
}

// Returns from the calling function when an ONNX Runtime call fails.
#define ORT_TRY(call) \
  if (OrtStatus* failed = (call)) return ::tl::unexpected<Error>(take_status(failed))

struct ReleaseOptions {
  void operator()(OrtSessionOptions* p) const { runtime.api->ReleaseSessionOptions(p); }
};
struct ReleaseTypeInfo {
  void operator()(OrtTypeInfo* p) const { runtime.api->ReleaseTypeInfo(p); }
};
struct ReleaseShapeInfo {
  void operator()(OrtTensorTypeAndShapeInfo* p) const { runtime.api->ReleaseTensorTypeAndShapeInfo(p); }
};
struct ReleaseValue {
  void operator()(OrtValue* p) const { runtime.api->ReleaseValue(p); }
};

void ORT_API_CALL forward_log(void*, OrtLoggingLevel severity, const char* category, const char* log_id,
                              const char* location, const char* message) {
  LogLevel level = severity <= ORT_LOGGING_LEVEL_INFO      ? LogLevel::kDebug
                   : severity == ORT_LOGGING_LEVEL_WARNING ? LogLevel::kWarning
                                                           : LogLevel::kError;
  if (log_level() <= level)
    log_line(level, fmt::format("[{} {} {}]: {}", log_id, category, location, message));
}

std::vector<fs::path> places() {
  constexpr const char* kName = "libonnxruntime.so";
  std::vector<fs::path> out;
  std::error_code ignored;
  fs::path here = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  if (!here.empty()) out = {here / kName, here / "../lib" / kName};
  out.push_back(fs::path(TIDEMILL_ORT_DIR) / "lib" / kName);
  return out;
}

Result<void*> open_library(const fs::path& wanted) {
  std::vector<fs::path> candidates;
  const char* from_env = std::getenv("TIDEMILL_ORT_LIBRARY");
  if (!wanted.empty())
    candidates = {wanted};
  else if (from_env && *from_env)
    candidates = {from_env};
  else
    candidates = places();
  std::string tried;
  for (const fs::path& path : candidates) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
      tried += fmt::format("\n  {}: no such file", path.string());
      continue;
    }
    if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
    tried += fmt::format("\n  {}", dlerror());
  }
  return fail(
      Code::kNotFound,
      "cannot load ONNX Runtime; name the library with --ort_library or TIDEMILL_ORT_LIBRARY. Tried:{}",
      tried);
}

Result<> open_runtime(const fs::path& library) {
  // Builds from 1.29 on report usage to their maker unless told not to before they start.
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  void* handle = TRY(open_library(library));
  auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (!get_base) return fail(Code::kInvalid, "the ONNX Runtime library has no OrtGetApiBase");
  const OrtApiBase* base = get_base();
  runtime.version = base->GetVersionString();
  runtime.api = base->GetApi(kApiVersion);
  if (!runtime.api)
    return fail(Code::kInvalid, "ONNX Runtime {} is too old; 1.{} or newer is needed", runtime.version,
                kApiVersion);
  OrtLoggingLevel level =
      log_level() == LogLevel::kDebug ? ORT_LOGGING_LEVEL_INFO : ORT_LOGGING_LEVEL_WARNING;
  ORT_TRY(runtime.api->CreateEnvWithCustomLogger(forward_log, nullptr, level, "onnxruntime", &runtime.env));
  ORT_TRY(runtime.api->DisableTelemetryEvents(runtime.env));
  ORT_TRY(runtime.api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &runtime.memory));
  ORT_TRY(runtime.api->GetAllocatorWithDefaultOptions(&runtime.allocator));
  return {};
}

Result<TensorInfo> describe(OrtTypeInfo* raw, std::string name) {
  std::unique_ptr<OrtTypeInfo, ReleaseTypeInfo> owner(raw);
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;
  ORT_TRY(runtime.api->CastTypeInfoToTensorInfo(raw, &tensor));
  if (!tensor)
    return fail(Code::kInvalid, "'{}' is not a tensor; models with sequences or maps cannot be served", name);
  ONNXTensorElementDataType type;
  size_t rank = 0;
  ORT_TRY(runtime.api->GetTensorElementType(tensor, &type));
  ORT_TRY(runtime.api->GetDimensionsCount(tensor, &rank));
  TensorInfo info{std::move(name), static_cast<ElementType>(type), std::vector<int64_t>(rank), {}};
  ORT_TRY(runtime.api->GetDimensions(tensor, info.shape.data(), rank));
  std::vector<const char*> names(rank);
  ORT_TRY(runtime.api->GetSymbolicDimensions(tensor, names.data(), rank));
  if (rank > 0 && info.shape[0] < 0 && names[0]) info.first_dimension = names[0];
  return info;
}

std::string take_name(char* name) {
  std::string copy = name;
  if (OrtStatus* ignored = runtime.api->AllocatorFree(runtime.allocator, name))
    runtime.api->ReleaseStatus(ignored);
  return copy;
}

// The three calls that describe a session's inputs, or its outputs.
struct Side {
  decltype(OrtApi::SessionGetInputCount) count;
  decltype(OrtApi::SessionGetInputName) name;
  decltype(OrtApi::SessionGetInputTypeInfo) type;
};

Result<std::vector<TensorInfo>> describe_all(OrtSession* session, const Side& side) {
  size_t count = 0;
  ORT_TRY(side.count(session, &count));
  std::vector<TensorInfo> out;
  for (size_t i = 0; i < count; ++i) {
    char* name = nullptr;
    OrtTypeInfo* info = nullptr;
    ORT_TRY(side.name(session, i, runtime.allocator, &name));
    std::string copy = take_name(name);
    ORT_TRY(side.type(session, i, &info));
    out.push_back(TRY(describe(info, std::move(copy))));
  }
  return out;
}

Result<std::unique_ptr<OrtValue, ReleaseValue>> string_value(const TensorView& view) {
  OrtValue* raw = nullptr;
  ORT_TRY(runtime.api->CreateTensorAsOrtValue(runtime.allocator, view.dims.data(), view.dims.size(),
                                              ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, &raw));
  std::unique_ptr<OrtValue, ReleaseValue> value(raw);
  for (size_t i = 0; i < view.strings.size(); ++i) {
    char* buffer = nullptr;
    ORT_TRY(runtime.api->GetResizedStringTensorElementBuffer(raw, i, view.strings[i].size(), &buffer));
    std::memcpy(buffer, view.strings[i].data(), view.strings[i].size());
  }
  return value;
}

// The value points into the view's memory unless it holds strings.
Result<std::unique_ptr<OrtValue, ReleaseValue>> value_of(const TensorView& view) {
  const uint64_t count = TRY(element_count(view.dims));
  if (view.type == ElementType::kString) {
    if (view.strings.size() != count)
      return tl::unexpected(ort_error(OrtCode::kInvalidArgument,
                                      fmt::format("input '{}' has {} strings where its shape needs {}",
                                                  view.name, view.strings.size(), count)));
    return string_value(view);
  }
  if (view.bytes.size() != count * element_size(view.type))
    return tl::unexpected(ort_error(OrtCode::kInvalidArgument,
                                    fmt::format("input '{}' has {} bytes where its shape needs {}", view.name,
                                                view.bytes.size(), count * element_size(view.type))));
  OrtValue* raw = nullptr;
  ORT_TRY(runtime.api->CreateTensorWithDataAsOrtValue(
      runtime.memory, const_cast<char*>(view.bytes.data()), view.bytes.size(), view.dims.data(),
      view.dims.size(), static_cast<ONNXTensorElementDataType>(view.type), &raw));
  return std::unique_ptr<OrtValue, ReleaseValue>(raw);
}

Result<std::vector<std::string>> read_strings(OrtValue* value, uint64_t count) {
  std::vector<std::string> out(count);
  for (uint64_t i = 0; i < count; ++i) {
    size_t length = 0;
    ORT_TRY(runtime.api->GetStringTensorElementLength(value, i, &length));
    out[i].resize(length);
    ORT_TRY(runtime.api->GetStringTensorElement(value, length, i, out[i].data()));
  }
  return out;
}

const TensorInfo* find(const std::vector<TensorInfo>& infos, std::string_view name) {
  for (const TensorInfo& info : infos)
    if (info.name == name) return &info;
  return nullptr;
}

std::string names_of(const std::vector<TensorInfo>& infos) {
  std::vector<std::string> names;
  for (const TensorInfo& info : infos) names.push_back(info.name);
  return join(names, ", ");
}

}  // namespace

Result<> load_onnxruntime(const fs::path& library) {
  static const Result<> result = open_runtime(library);
  return result;
}

std::string onnxruntime_version() { return runtime.version; }

void OutputTensor::Free::operator()(void* value) const {
  runtime.api->ReleaseValue(static_cast<OrtValue*>(value));
}

Result<OutputTensor> OutputTensor::adopt(void* value) {
  OutputTensor out;
  out.value_.reset(value, Free());
  OrtValue* tensor = static_cast<OrtValue*>(value);
  OrtTensorTypeAndShapeInfo* raw = nullptr;
  ORT_TRY(runtime.api->GetTensorTypeAndShape(tensor, &raw));
  std::unique_ptr<OrtTensorTypeAndShapeInfo, ReleaseShapeInfo> info(raw);
  ONNXTensorElementDataType type;
  size_t rank = 0;
  ORT_TRY(runtime.api->GetTensorElementType(raw, &type));
  ORT_TRY(runtime.api->GetDimensionsCount(raw, &rank));
  out.type_ = static_cast<ElementType>(type);
  out.dims_.resize(rank);
  ORT_TRY(runtime.api->GetDimensions(raw, out.dims_.data(), rank));
  out.count_ = TRY(element_count(out.dims_));
  if (out.type_ == ElementType::kString) {
    out.strings_ = TRY(read_strings(tensor, out.count_));
    return out;
  }
  if (element_size(out.type_) == 0)
    return tl::unexpected(
        ort_error(OrtCode::kNotImplemented, "an output of this element type cannot be sent"));
  void* data = nullptr;
  ORT_TRY(runtime.api->GetTensorMutableData(tensor, &data));
  out.bytes_ = {static_cast<const char*>(data), out.count_ * element_size(out.type_)};
  return out;
}

Result<OutputTensor> OutputTensor::rows(int64_t first, int64_t count) const {
  if (type_ == ElementType::kString)
    return tl::unexpected(ort_error(OrtCode::kNotImplemented, "rows of a tensor of strings"));
  OutputTensor out;
  out.value_ = value_;
  out.type_ = type_;
  out.dims_ = dims_;
  out.dims_[0] = count;
  const uint64_t row = count_ / static_cast<uint64_t>(dims_[0]);
  out.count_ = row * static_cast<uint64_t>(count);
  const size_t row_bytes = row * element_size(type_);
  out.bytes_ = bytes_.substr(static_cast<size_t>(first) * row_bytes, static_cast<size_t>(count) * row_bytes);
  return out;
}

struct Session::State {
  OrtSession* session = nullptr;
  OrtRunOptions* run_options = nullptr;
  std::vector<TensorInfo> inputs, outputs;

  ~State() {
    if (run_options) runtime.api->ReleaseRunOptions(run_options);
    if (session) runtime.api->ReleaseSession(session);
  }
  Result<> open(const fs::path& model, int threads);
  Result<> check_inputs(std::span<const TensorView> given) const;
};

Result<> Session::State::open(const fs::path& model, int threads) {
  OrtSessionOptions* raw = nullptr;
  ORT_TRY(runtime.api->CreateSessionOptions(&raw));
  std::unique_ptr<OrtSessionOptions, ReleaseOptions> options(raw);
  ORT_TRY(runtime.api->SetIntraOpNumThreads(raw, threads));
  ORT_TRY(runtime.api->SetInterOpNumThreads(raw, 1));
  ORT_TRY(runtime.api->SetSessionGraphOptimizationLevel(raw, ORT_ENABLE_ALL));
  ORT_TRY(runtime.api->AddSessionConfigEntry(raw, "session.intra_op.allow_spinning", "0"));
  ORT_TRY(runtime.api->CreateSession(runtime.env, model.c_str(), raw, &session));
  ORT_TRY(runtime.api->CreateRunOptions(&run_options));
  inputs = TRY(describe_all(session, {runtime.api->SessionGetInputCount, runtime.api->SessionGetInputName,
                                      runtime.api->SessionGetInputTypeInfo}));
  outputs = TRY(describe_all(session, {runtime.api->SessionGetOutputCount, runtime.api->SessionGetOutputName,
                                       runtime.api->SessionGetOutputTypeInfo}));
  return {};
}

Result<> Session::State::check_inputs(std::span<const TensorView> given) const {
  auto wrong = [](std::string text) { return tl::unexpected(ort_error(OrtCode::kInvalidArgument, text)); };
  for (size_t i = 0; i < given.size(); ++i) {
    const TensorInfo* info = find(inputs, given[i].name);
    if (!info)
      return wrong(fmt::format("Invalid Feed Input Name:{}. The model's inputs are: {}", given[i].name,
                               names_of(inputs)));
    if (info->type != given[i].type)
      return wrong(
          fmt::format("Unexpected input data type for '{}'. Actual: (tensor({})) , expected: (tensor({}))",
                      given[i].name, onnx_name(given[i].type), onnx_name(info->type)));
    for (size_t j = 0; j < i; ++j)
      if (given[j].name == given[i].name)
        return wrong(fmt::format("input '{}' is given twice", given[i].name));
  }
  for (const TensorInfo& info : inputs) {
    bool there = false;
    for (const TensorView& view : given) there = there || view.name == info.name;
    if (!there) return wrong(fmt::format("Missing Input: {}", info.name));
  }
  return {};
}

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::~Session() = default;

const std::vector<TensorInfo>& Session::inputs() const { return state_->inputs; }
const std::vector<TensorInfo>& Session::outputs() const { return state_->outputs; }

Result<std::unique_ptr<Session>> Session::load(const fs::path& model, const SessionOptions& options) {
  TRY(load_onnxruntime(options.library));
  TRY(open_file(model, O_RDONLY));
  auto state = std::make_unique<State>();
  TRY_IN(fmt::format("cannot load the model {}", model.string()),
         state->open(model, options.threads_per_call));
  return std::unique_ptr<Session>(new Session(std::move(state)));
}

Result<std::vector<OutputTensor>> Session::run(std::span<const TensorView> inputs,
                                               std::span<const std::string> outputs) {
  TRY(state_->check_inputs(inputs));
  std::vector<std::unique_ptr<OrtValue, ReleaseValue>> owned;
  std::vector<const OrtValue*> values;
  std::vector<const char*> input_pointers, output_pointers;
  for (const TensorView& view : inputs) {
    owned.push_back(TRY(value_of(view)));
    values.push_back(owned.back().get());
    input_pointers.push_back(find(state_->inputs, view.name)->name.c_str());
  }
  for (const std::string& name : outputs) {
    const TensorInfo* info = find(state_->outputs, name);
    if (!info)
      return tl::unexpected(ort_error(OrtCode::kInvalidArgument,
                                      fmt::format("Invalid Output Name:{}. The model's outputs are: {}", name,
                                                  names_of(state_->outputs))));
    output_pointers.push_back(info->name.c_str());
  }
  if (outputs.empty())
    for (const TensorInfo& info : state_->outputs) output_pointers.push_back(info.name.c_str());

  std::vector<OrtValue*> raw(output_pointers.size());
  ORT_TRY(runtime.api->Run(state_->session, state_->run_options, input_pointers.data(), values.data(),
                           values.size(), output_pointers.data(), output_pointers.size(), raw.data()));
  std::vector<std::unique_ptr<OrtValue, ReleaseValue>> guards(raw.begin(), raw.end());
  std::vector<OutputTensor> out;
  for (auto& guard : guards) out.push_back(TRY(OutputTensor::adopt(guard.release())));
  return out;
}

void Session::terminate() {
  if (OrtStatus* ignored = runtime.api->RunOptionsSetTerminate(state_->run_options))
    runtime.api->ReleaseStatus(ignored);
}

}  // namespace tidemill::serving
