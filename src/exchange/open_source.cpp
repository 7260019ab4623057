#include "exchange/open_source.h"

#include "artifacts/folder_repository.h"
#include "exchange/mlflow_db_source.h"
#include "exchange/mlruns_source.h"
#include "exchange/remote_source.h"

namespace tidemill::exchange {

bool is_server(std::string_view text) { return text.starts_with("http://") || text.starts_with("https://"); }

Result<std::unique_ptr<Source>> open_source(const std::string& text, const fs::path& served,
                                            const ServerAddress& address) {
  if (is_server(text)) return std::make_unique<RemoteSource>(TRY(MlflowApi::connect(address)));
  std::error_code error;
  std::optional<fs::path> folder = artifacts::local_folder(text);
  if (folder && !fs::exists(*folder, error)) return fail(Code::kNotFound, "there is no {}", folder->string());
  if (folder && fs::is_directory(*folder, error))
    return std::make_unique<MlrunsSource>(TRY(MlrunsSource::open(*folder, served)));
  db::Location location = TRY(db::parse_location(folder ? folder->string() : text));
  return std::make_unique<MlflowDbSource>(TRY(MlflowDbSource::open(location, served)));
}

}  // namespace tidemill::exchange
