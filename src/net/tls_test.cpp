// The server and the client over TLS, with certificates made on the spot.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/tls_session.h"

namespace tidemill {
namespace {

using ::testing::HasSubstr;

struct CertificateWishes {
  std::string names = "DNS:localhost,IP:127.0.0.1";
  long valid_from = -3600, valid_until = 3600;  // seconds from now
};

template <class Write>
void write_pem(const fs::path& path, Write write) {
  FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  write(file);
  std::fclose(file);
}

// A self-signed certificate and its key as cert.pem and key.pem in the folder.
void make_certificate(const fs::path& folder, const CertificateWishes& wishes) {
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  std::unique_ptr<X509, decltype(&X509_free)> made(X509_new(), &X509_free);
  X509* certificate = made.get();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), wishes.valid_from);
  X509_gmtime_adj(X509_getm_notAfter(certificate), wishes.valid_until);
  X509_set_pubkey(certificate, key.get());
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1,
                             0);
  X509_set_issuer_name(certificate, name);
  X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, wishes.names.c_str());
  X509_add_ext(certificate, names, -1);
  X509_EXTENSION_free(names);
  X509_sign(certificate, key.get(), EVP_sha256());
  write_pem(folder / "cert.pem", [&](FILE* file) { PEM_write_X509(file, certificate); });
  write_pem(folder / "key.pem", [&](FILE* file) {
    PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

class TlsTest : public ::testing::Test {
 protected:
  void start(const CertificateWishes& wishes = {}) {
    make_certificate(folder_.path(), wishes);
    HttpServerOptions options;
    auto context = TlsContext::for_server(certificate(), folder_.path() / "key.pem");
    ASSERT_TRUE(context) << context.error().message;
    options.tls = *context;
    server_.emplace(
        HttpServer::start(std::move(options), [this](HttpRequest request, const Respond& respond) {
          if (request.path == "/stream") {
            auto stream = std::make_shared<ResponseStream>(4 << 20);
            HttpResponse response;
            response.body = stream;
            respond(std::move(response));
            for (int i = 0; i < 100; ++i) EXPECT_TRUE(stream->write(std::string(10'000, 'a')));
            return stream->end();
          }
          if (request.path == "/file")
            return respond(HttpResponse::file(request, folder_.path() / "large").value());
          respond(HttpResponse::text(200, std::move(request.body)));
        }).value());
  }
  fs::path certificate() const { return folder_.path() / "cert.pem"; }
  std::string url(std::string_view host = "localhost") const {
    return fmt::format("https://{}:{}", host, server_->port());
  }
  Result<ClientResponse> send(const TlsTrust& trust, ClientRequest request = {},
                              std::string_view host = "localhost") {
    return TRY(HttpClient::create(url(host), trust)).send(request);
  }

  TempDir folder_ = TempDir::create().value();
  std::optional<HttpServer> server_;
};

TEST_F(TlsTest, LargeBodiesGoBothWaysAndTheConnectionIsKept) {
  start();
  std::string body(3 << 20, 'x');
  for (size_t i = 0; i < body.size(); i += 7) body[i] = static_cast<char>('a' + i % 26);
  auto client = HttpClient::create(url(), {.certificates = certificate()}).value();
  for (int i = 0; i < 3; ++i) {
    auto response = client.send({.method = "POST", .body = body});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_TRUE(response->body == body);
  }
  ASSERT_TRUE(write_file_atomic(folder_.path() / "large", body));
  auto file = client.send({.target = "/file"});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(file->body == body);
  EXPECT_THAT(server_->url(), HasSubstr("https://"));
}

TEST_F(TlsTest, StreamsArriveUntilTheirEnd) {
  start();
  auto response = send({.certificates = certificate()}, {.target = "/stream"}).value();
  EXPECT_TRUE(response.body == std::string(1'000'000, 'a')) << response.body.size();
}

TEST_F(TlsTest, AddressesAreCheckedAsNamesAre) {
  start();
  EXPECT_TRUE(send({.certificates = certificate()}, {}, "127.0.0.1"));
}

TEST_F(TlsTest, UnknownSignerIsRefused) {
  start();
  auto response = send({});
  ASSERT_FALSE(response);
  EXPECT_THAT(response.error().message, HasSubstr("self-signed certificate"));
}

TEST_F(TlsTest, WrongHostNameIsRefused) {
  start({.names = "DNS:example.org"});
  auto response = send({.certificates = certificate()});
  ASSERT_FALSE(response);
  EXPECT_THAT(response.error().message, HasSubstr("hostname mismatch"));
}

TEST_F(TlsTest, ExpiredCertificateIsRefused) {
  start({.valid_from = -7200, .valid_until = -3600});
  auto response = send({.certificates = certificate()});
  ASSERT_FALSE(response);
  EXPECT_THAT(response.error().message, HasSubstr("expired"));
}

TEST_F(TlsTest, AnyCertificateWillDoWhenTold) {
  start({.names = "DNS:example.org", .valid_from = -7200, .valid_until = -3600});
  EXPECT_TRUE(send({.anybody = true}));
}

TEST_F(TlsTest, AClientWithoutTlsIsTurnedAwayAndOthersAreServed) {
  start();
  auto plain = HttpClient::create(fmt::format("http://localhost:{}", server_->port())).value();
  EXPECT_FALSE(plain.send({}));
  EXPECT_TRUE(send({.certificates = certificate()}));
}

TEST_F(TlsTest, AHandshakeThatNeverEndsIsCutOff) {
  make_certificate(folder_.path(), {});
  HttpServerOptions options;
  options.tls = TlsContext::for_server(certificate(), folder_.path() / "key.pem").value();
  options.read_timeout = std::chrono::milliseconds(50);
  auto server = HttpServer::start(std::move(options), [](HttpRequest, const Respond&) {}).value();
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(server.port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const char start_of_hello[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01};
  ASSERT_EQ(::send(socket.get(), start_of_hello, sizeof start_of_hello, MSG_NOSIGNAL), 6);
  char byte;
  EXPECT_LE(::recv(socket.get(), &byte, 1, 0), 0);
}

TEST_F(TlsTest, FilesThatAreNoCertificateAreNamed) {
  make_certificate(folder_.path(), {});
  auto bad = TlsContext::for_server(folder_.path() / "none.pem", folder_.path() / "key.pem");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, HasSubstr("none.pem"));
  TempDir other = TempDir::create().value();
  make_certificate(other.path(), {});
  EXPECT_FALSE(TlsContext::for_server(certificate(), other.path() / "key.pem"));
  EXPECT_FALSE(HttpClient::create("https://localhost", {.certificates = folder_.path() / "none.pem"}));
}

}  // namespace
}  // namespace tidemill
