// Users for tests, which would take long if their passwords cost what passwords have to.
#pragma once

#include <gtest/gtest.h>

#include "auth/password.h"
#include "auth/rows.h"

namespace tidemill::test {

inline constexpr std::string_view kPassword = "a long password";

enum class Admin { kNo, kYes };

inline void add_user(tracking::Store& store, std::string_view name, Admin admin = Admin::kNo) {
  static const std::string hash = auth::hash_password(kPassword, {.log = 4, .parallel = 1}).value();
  ASSERT_TRUE(auth::change(store, [&](db::Connection& connection) {
    return connection.run("INSERT INTO users (name, password, admin, created) VALUES (?, ?, ?, 0)", name,
                          hash, admin == Admin::kYes);
  }));
}

}  // namespace tidemill::test
