// libpq, loaded when the first PostgreSQL database is opened. Linking it would bring in LDAP and Kerberos and
// treble the time that every command needs to start (about 6 ms); nor need libpq be there for SQLite.
#pragma once

#include <libpq-fe.h>

#include "base/result.h"

namespace tidemill::db {

#define TIDEMILL_LIBPQ_FUNCTIONS(X) \
  X(PQclear)                        \
  X(PQcmdStatus)                    \
  X(PQcmdTuples)                    \
  X(PQconnectPoll)                  \
  X(PQconnectStartParams)           \
  X(PQconnectionNeedsPassword)      \
  X(PQconninfoFree)                 \
  X(PQconninfoParse)                \
  X(PQenterPipelineMode)            \
  X(PQerrorMessage)                 \
  X(PQexec)                         \
  X(PQexitPipelineMode)             \
  X(PQfinish)                       \
  X(PQflush)                        \
  X(PQfreemem)                      \
  X(PQftype)                        \
  X(PQgetCopyData)                  \
  X(PQgetResult)                    \
  X(PQgetisnull)                    \
  X(PQgetlength)                    \
  X(PQgetvalue)                     \
  X(PQntuples)                      \
  X(PQpipelineSync)                 \
  X(PQresultErrorField)             \
  X(PQresultErrorMessage)           \
  X(PQresultStatus)                 \
  X(PQsendPrepare)                  \
  X(PQsendQueryParams)              \
  X(PQsendQueryPrepared)            \
  X(PQserverVersion)                \
  X(PQsetErrorVerbosity)            \
  X(PQsetNoticeProcessor)           \
  X(PQsocket)                       \
  X(PQstatus)

struct Libpq {
#define TIDEMILL_LIBPQ_MEMBER(name) decltype(&::name) name = nullptr;
  TIDEMILL_LIBPQ_FUNCTIONS(TIDEMILL_LIBPQ_MEMBER)
#undef TIDEMILL_LIBPQ_MEMBER
};

// kUnavailable, with the package to install, when this machine has no libpq, or one before version 14.
Result<const Libpq*> load_libpq();

}  // namespace tidemill::db
