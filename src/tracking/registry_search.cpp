#include "base/text.h"
#include "tracking/filter.h"
#include "tracking/page_token.h"
#include "tracking/query.h"
#include "tracking/registry.h"
#include "tracking/registry_rows.h"
#include "tracking/store_state.h"

namespace tidemill::tracking {
namespace {

bool is_prompt_test(const Filter& part) {
  return part.kind == Filter::Kind::kClause && part.clause.entity == Entity::kTag &&
         part.clause.key == kPromptTag;
}

// Whether the filter asks for prompts; otherwise they are left out.
bool wants_prompts(const Filter& filter) {
  for (const Filter& part : filter.parts)
    if (const Clause& clause = part.clause; is_prompt_test(part))
      return (clause.op == Op::kEq && to_lower(clause.text) == "true") ||
             (clause.op == Op::kNe && to_lower(clause.text) == "false");
  return false;
}

std::string_view model_column(std::string_view attribute) {
  if (attribute == "name") return "m.name";
  if (attribute == "creation_timestamp") return "m.created";
  return "m.updated";
}

std::string_view version_column(std::string_view attribute) {
  if (attribute == "name") return "m.name";
  if (attribute == "version_number") return "v.version";
  if (attribute == "run_id") return "v.run_id";
  if (attribute == "source_path") return "v.source";
  if (attribute == "creation_timestamp") return "v.created";
  return "v.updated";
}

using ColumnOf = std::string_view (*)(std::string_view attribute);

// AND what the filter says; tags: as for add_tag_test.
Result<> add_conditions(Query& query, Filter filter, ColumnOf column, std::string_view tags) {
  bool prompts = wants_prompts(filter);
  if (!prompts) std::erase_if(filter.parts, is_prompt_test);  // said below
  query.add(" AND ");
  TRY(add_filter(query, filter, [&](const Clause& clause) -> Result<> {
    if (clause.entity == Entity::kTag)
      add_tag_test(query, tags, clause);
    else if (clause.key == "version_number")
      add_number_test(query, column(clause.key), clause);
    else
      add_text_test(query, column(clause.key), clause);
    return {};
  }));
  if (!prompts)
    query.add(
        " AND NOT EXISTS (SELECT 1 FROM registered_model_tags p WHERE p.model = m.id AND p.key = ? AND "
        "p.value = 'true')",
        std::string(kPromptTag));
  return {};
}

std::string order_terms(const std::vector<OrderKey>& keys, ColumnOf column,
                        std::initializer_list<std::string_view> tie_breakers) {
  std::vector<std::string> terms;
  for (const OrderKey& key : keys)
    terms.push_back(fmt::format("{}{}", column(key.key), key.descending ? " DESC" : ""));
  for (std::string_view term : tie_breakers) terms.emplace_back(term);
  return join(terms, ", ");
}

Result<Query> model_query(const SearchRegistry& search, int64_t offset) {
  Filter filter = TRY(parse_filter(search.filter, Subject::kRegisteredModels));
  auto order = TRY(parse_order(search.order_by, Subject::kRegisteredModels));
  Query query;
  query.add(fmt::format("SELECT {} FROM registered_models m WHERE 1 = 1", kModelColumns));
  TRY(add_conditions(query, std::move(filter), model_column, "registered_model_tags t WHERE t.model = m.id"));
  TRY(add_visible(query, "m.name", search.visible, NamesAre::kTexts));
  query.add(fmt::format(" ORDER BY {} LIMIT ? OFFSET ?", order_terms(order, model_column, {"m.name"})),
            search.max_results + 1, offset);
  return query;
}

Result<Query> version_query(const SearchRegistry& search, int64_t offset) {
  Filter filter = TRY(parse_filter(search.filter, Subject::kModelVersions));
  auto order = TRY(parse_order(search.order_by, Subject::kModelVersions));
  if (order.empty()) order.push_back({.key = "last_updated_timestamp", .descending = true});
  Query query;
  query.add(
      fmt::format("SELECT {} FROM model_versions v JOIN registered_models m ON m.id = v.model WHERE 1 = 1",
                  kVersionColumns));
  TRY(add_conditions(query, std::move(filter), version_column,
                     "model_version_tags t WHERE t.version = v.id"));
  TRY(add_visible(query, "m.name", search.visible, NamesAre::kTexts));
  query.add(fmt::format(" ORDER BY {} LIMIT ? OFFSET ?",
                        order_terms(order, version_column, {"m.name", "v.version DESC"})),
            search.max_results + 1, offset);
  return query;
}

// The rows of one page, and the token of the next.
template <class Row, class Read>
Result<std::vector<Row>> read_page(db::Connection& connection, const Query& query,
                                   const SearchRegistry& search, int64_t offset, Read read,
                                   std::string& next_page_token) {
  std::vector<Row> rows;
  db::Statement row = TRY(query.prepare(connection));
  while (TRY(row.step())) {
    if (static_cast<int64_t>(rows.size()) == search.max_results) {
      next_page_token = make_page_token(offset + search.max_results);
      break;
    }
    rows.push_back(read(row));
  }
  return rows;
}

}  // namespace

Result<Page<RegisteredModel>> Registry::search_models(const SearchRegistry& search) {
  if (search.max_results < 0 || search.max_results > kMaxModelResults)
    return fail(Code::kInvalid,
                "Invalid value for request parameter max_results. It must be from 1 to {}, but got value {}",
                kMaxModelResults, search.max_results);
  int64_t offset = TRY(parse_page_token(search.page_token));
  Query query = TRY(model_query(search, offset));
  return state_.read<Page<RegisteredModel>>([&](Reader& reader) -> Result<Page<RegisteredModel>> {
    Page<RegisteredModel> page;
    auto rows =
        TRY(read_page<ModelRow>(*reader.connection, query, search, offset, read_model, page.next_page_token));
    page.items = TRY(complete(*reader.connection, std::move(rows)));
    return page;
  });
}

Result<Page<ModelVersion>> Registry::search_versions(const SearchRegistry& search) {
  if (search.max_results < 1)
    return fail(Code::kInvalid, "Invalid value for max_results. It must be a positive integer, but got {}",
                search.max_results);
  if (search.max_results > kMaxVersionResults)
    return fail(Code::kInvalid,
                "Invalid value for request parameter max_results. It must be at most {}, but got value {}",
                kMaxVersionResults, search.max_results);
  int64_t offset = TRY(parse_page_token(search.page_token));
  Query query = TRY(version_query(search, offset));
  return state_.read<Page<ModelVersion>>([&](Reader& reader) -> Result<Page<ModelVersion>> {
    Page<ModelVersion> page;
    auto rows = TRY(
        read_page<VersionRow>(*reader.connection, query, search, offset, read_version, page.next_page_token));
    page.items = TRY(complete(*reader.connection, std::move(rows)));
    return page;
  });
}

}  // namespace tidemill::tracking
